package main

import (
	"context"
	"fmt"

	"k8s.io/client-go/tools/events"
	"k8s.io/component-base/compatibility"
	"k8s.io/component-base/featuregate"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	schedulerconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	"k8s.io/kubernetes/pkg/scheduler"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
)

// run schedules until ctx ends or the lease is lost.
func run(ctx context.Context, o *options, kube *scheduleroptions.Options) error {
	level, err := verbosity(o.logLevel)
	if err != nil {
		return err
	}
	gates := kube.ComponentGlobalsRegistry.FeatureGateFor(compatibility.DefaultKubeComponent)
	kube.Logs.Verbosity = logsapi.VerbosityLevel(level)
	if err := logsapi.ValidateAndApply(kube.Logs, gates); err != nil {
		return fmt.Errorf("setting up logging, %w", err)
	}
	if kube.ComponentConfig, err = o.load(); err != nil {
		return err
	}
	// Metrics and health are served like those of our other components, without kube-scheduler's own TLS and authorization.
	kube.SecureServing.BindPort = 0

	cc, s, err := assemble(ctx, kube)
	if err != nil {
		return err
	}
	if mutable, ok := gates.(featuregate.MutableFeatureGate); ok {
		mutable.AddMetrics()
	}
	kube.ComponentGlobalsRegistry.AddMetrics()
	servers, err := listen(o, cc, readiness(ctx, s))
	if err != nil {
		return err
	}
	defer servers.start(ctx)()
	if err := app.Run(ctx, cc, s); ctx.Err() == nil {
		return fmt.Errorf("scheduling, %w", err)
	}
	return nil
}

// assemble does what app.Setup does, but with a configuration that is loaded already: app.Setup reads one from a file or from
// flags, never from both, and so cannot be given a kubeconfig beside a configuration.
func assemble(ctx context.Context, kube *scheduleroptions.Options) (*schedulerconfig.CompletedConfig, *scheduler.Scheduler, error) {
	for _, err := range kube.Validate() {
		return nil, nil, fmt.Errorf("validating scheduler configuration, %w", err)
	}
	c, err := kube.Config(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("configuring scheduler, %w", err)
	}
	cc := c.Complete()
	registry := frameworkruntime.Registry{}
	added, err := plugins()
	if err != nil {
		return nil, nil, err
	}
	for _, add := range added {
		if err := add(registry); err != nil {
			return nil, nil, fmt.Errorf("registering plugin, %w", err)
		}
	}
	s, err := scheduler.New(ctx, cc.Client, cc.InformerFactory, cc.DynInformerFactory,
		func(name string) events.EventRecorderLogger { return cc.EventBroadcaster.NewRecorder(name) },
		scheduler.WithComponentConfigVersion(cc.ComponentConfig.APIVersion),
		scheduler.WithKubeConfig(cc.KubeConfig),
		scheduler.WithProfiles(cc.ComponentConfig.Profiles...),
		scheduler.WithPercentageOfNodesToScore(cc.ComponentConfig.PercentageOfNodesToScore),
		scheduler.WithFrameworkOutOfTreeRegistry(registry),
		scheduler.WithPodMaxBackoffSeconds(cc.ComponentConfig.PodMaxBackoffSeconds),
		scheduler.WithPodInitialBackoffSeconds(cc.ComponentConfig.PodInitialBackoffSeconds),
		scheduler.WithPodMaxInUnschedulablePodsDuration(cc.PodMaxInUnschedulablePodsDuration),
		scheduler.WithExtenders(cc.ComponentConfig.Extenders...),
		scheduler.WithParallelism(cc.ComponentConfig.Parallelism),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("building scheduler, %w", err)
	}
	return &cc, s, nil
}
