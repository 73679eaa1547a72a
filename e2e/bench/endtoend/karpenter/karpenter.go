// Package karpenter runs stock Karpenter on the simulated cloud: the controllers of its own release, assembled by its own function,
// with its default options. The cloud provider is the one that Supercargo's provisioner buys through.
package karpenter

import (
	"context"
	"flag"
	"fmt"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/overlay"
	"sigs.k8s.io/karpenter/pkg/controllers"
	"sigs.k8s.io/karpenter/pkg/controllers/nodeoverlay"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/operator/options"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	ours "supercargo.dev/provisioner/karpenter"
)

// Options say where cluster and cloud are.
type Options struct {
	// Kubeconfig of an administrator.
	Kubeconfig string
	// Cloud is the URL of the simulated cloud.
	Cloud string
	// Health is the host:port of /healthz and /readyz.
	Health string
}

// Run runs Karpenter until the context ends. What it does differently from operator.NewOperator and main of Karpenter's kwok
// provider: servers listen on the loopback only, metrics are not served, there is one replica without a lease, and errors are returned
// instead of panicking.
func Run(ctx context.Context, o Options) error {
	core, err := defaults()
	if err != nil {
		return err
	}
	zapLogger, err := zap.NewProduction()
	if err != nil {
		return fmt.Errorf("building the log, %w", err)
	}
	logger := zapr.NewLogger(zapLogger)
	log.SetLogger(logger)
	klog.SetLogger(logger)
	ctx = options.ToContext(log.IntoContext(ctx, logger), core)

	if err := v1alpha1.AddToScheme(scheme.Scheme); err != nil {
		return fmt.Errorf("registering kinds, %w", err)
	}
	mgr, err := newManager(ctx, o, core)
	if err != nil {
		return err
	}
	// The same indexes as operator.setupIndexers, which is not exported.
	if err := ours.Index(ctx, mgr); err != nil {
		return err
	}
	clk := clock.RealClock{}
	recorder := events.NewRecorder(mgr.GetEventRecorderFor("karpenter")) //nolint:staticcheck // Karpenter's recorder takes the old kind
	undecorated := sim.NewCloudProvider(mgr.GetClient(), sim.NewClient(o.Cloud), clk)
	store := nodeoverlay.NewInstanceTypeStore()
	provider := overlay.Decorate(undecorated, mgr.GetClient(), store)
	all := controllers.NewControllers(ctx, mgr, clk, mgr.GetClient(), recorder, provider, undecorated,
		state.NewCluster(clk, mgr.GetClient(), provider), store)
	// A provider brings the controllers of its own kinds along.
	all = append(all, sim.NewNodeClassController(mgr.GetClient(), undecorated), sim.NewSweepController(mgr.GetClient(), undecorated))
	for _, c := range all {
		if err := c.Register(ctx, mgr); err != nil {
			return fmt.Errorf("registering %T, %w", c, err)
		}
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running karpenter, %w", err)
	}
	return nil
}

// defaults are Karpenter's options as they are without flags. The environment is read as Karpenter reads it.
func defaults() (*options.Options, error) {
	o := &options.Options{}
	flags := &options.FlagSet{FlagSet: flag.NewFlagSet("karpenter", flag.ContinueOnError)}
	o.AddFlags(flags)
	if err := o.Parse(flags); err != nil {
		return nil, fmt.Errorf("karpenter's options, %w", err)
	}
	return o, nil
}

func newManager(ctx context.Context, o Options, core *options.Options) (manager.Manager, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig, %w", err)
	}
	cfg.QPS, cfg.Burst = float32(core.KubeClientQPS), core.KubeClientBurst
	cfg.UserAgent = "karpenter"
	mgr, err := manager.New(cfg, ours.ManagerOptions(ctx, manager.Options{
		Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: o.Health,
	}))
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster, %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("adding the readiness check, %w", err)
	}
	return mgr, nil
}
