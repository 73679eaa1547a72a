package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/awslabs/operatorpkg/controller"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/events"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/karpenter"
	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/pricing"
	"supercargo.dev/provisioner/provisioning"
	"supercargo.dev/provisioner/realisable"
	"supercargo.dev/provisioner/rivals"
	"supercargo.dev/provisioner/spot"
	"supercargo.dev/recommender/demand"
)

// name of the binary, its ServiceAccount and its lease.
const name = "supercargo-provisioner"

// newProvisioner puts the parts together. Everything that runs is owned by the manager that it returns.
func newProvisioner(ctx context.Context, o options) (manager.Manager, error) {
	logger, err := o.StartLog()
	if err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(scheme.Scheme); err != nil {
		return nil, fmt.Errorf("registering our kinds, %w", err)
	}
	cfg, err := o.Config(name, version)
	if err != nil {
		return nil, err
	}
	headroom, err := karpenter.HasCapacityBuffers(cfg)
	if err != nil {
		return nil, err
	}
	if !headroom {
		logger.Info("keeping no headroom: the CRD of CapacityBuffers (autoscaling.x-k8s.io) is not installed")
	}
	ctx = karpenter.WithOptions(log.IntoContext(ctx, logger), o.batchIdle, o.batchMax, headroom)
	mgr, err := newManager(ctx, cfg, o)
	if err != nil {
		return nil, err
	}
	if err := checkSurroundings(ctx, mgr.GetAPIReader(), o); err != nil {
		return nil, err
	}
	if err := karpenter.Index(ctx, mgr); err != nil {
		return nil, err
	}
	index, err := newDemand(ctx, mgr)
	if err != nil {
		return nil, err
	}
	clk := clock.RealClock{}
	cloud := sim.NewCloudProvider(mgr.GetClient(), sim.NewClient(o.simEndpoint), clk)
	metrics.Registry.MustRegister(cloud.Collectors()...)
	recorder := events.NewRecorder(mgr.GetEventRecorderFor(name)) //nolint:staticcheck // Karpenter's recorder takes the old kind
	packingOptions := packing.Options{
		TimeBudget: o.planBudget, NodeFee: o.nodeFee, InterruptionCost: o.interruptionCost,
		MaxNodeShare: o.maxNodeShare, MaxSpotPoolShare: o.maxSpotPoolShare,
	}
	if o.maxNodeCPU > 0 {
		packingOptions.MaxNode = corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(o.maxNodeCPU, resource.DecimalSI)}
	}
	machinery := karpenter.New(karpenter.Config{
		Client: mgr.GetClient(), CloudProvider: cloud, Recorder: recorder, Clock: clk,
		Demand: demand.Enforced, Expectation: index, Placement: spot.NewPlacement(mgr.GetClient()), Market: cloud,
		Consolidation: consolidation.Options{
			TimeBudget: o.searchBudget, BreakEven: orNone(o.breakEven), LaunchOverlap: orNone(o.launchOverlap),
			MinSavingFraction: zeroIsNone(o.minSavingFraction), MinSavingPerHour: zeroIsNone(o.minSavingPerHour), InterruptionCost: o.interruptionCost,
		},
		PodMoveCost: zeroIsNone(o.podMoveCost), ValidationDelay: orNone(o.validationDelay), CapacitySettle: orNone(o.capacitySettle), Packing: packingOptions,
	})
	provisioner := provisioning.New(provisioning.Config{
		Client: mgr.GetClient(), Cluster: machinery, Recorder: recorder, Clock: clk,
		Rightsizer: provisioning.NewPendingRightsizer(mgr.GetClient(), mgr.GetAPIReader(), index),
		Window:     provisioning.Window{Idle: o.batchIdle, Max: o.batchMax},
		Limits:     limits(o), Metrics: provisioning.NewMetrics(metrics.Registry),
	})
	controllers := append(machinery.Controllers(ctx, provisioner.Trigger, machinery.RegistrationHook(provisioner.NodeComing)),
		sim.NewNodeClassController(mgr.GetClient(), cloud), sim.NewSweepController(mgr.GetClient(), cloud))
	if err := register(ctx, mgr, controllers); err != nil {
		return nil, err
	}
	if err := provisioner.Register(mgr); err != nil {
		return nil, fmt.Errorf("registering provisioning, %w", err)
	}
	interruption := spot.New(spot.Config{
		Client: mgr.GetClient(), Source: cloud, Nodes: machinery, Recorder: recorder, Clock: clk,
		Plan: provisioner.Trigger, Metrics: spot.NewMetrics(metrics.Registry),
	})
	if err := interruption.Register(mgr); err != nil {
		return nil, fmt.Errorf("registering interruption handling, %w", err)
	}
	if err := pricing.NewController(mgr.GetClient(), cloud).Register(mgr); err != nil {
		return nil, fmt.Errorf("registering pricing, %w", err)
	}
	if o.realisableInterval > 0 {
		report := &realisable.Controller{Client: mgr.GetClient(), Cluster: machinery, Clock: clk, Interval: o.realisableInterval}
		if err := mgr.Add(report); err != nil {
			return nil, fmt.Errorf("registering the report of realisable savings, %w", err)
		}
	}
	return mgr, nil
}

// checkSurroundings refuses to start where this would do harm.
func checkSurroundings(ctx context.Context, r client.Reader, o options) error {
	managed, err := rivals.Managed(ctx, r, os.Getenv("NODE_NAME"))
	if err != nil {
		return err
	}
	if managed {
		return fmt.Errorf("node %q is one that this provisioner manages: keep it off such nodes with a node affinity (%s DoesNotExist)",
			os.Getenv("NODE_NAME"), karpv1.NodePoolLabelKey)
	}
	running, err := rivals.Running(ctx, r, time.Now())
	if err != nil {
		return err
	}
	if len(running) > 0 && !o.allowRivals {
		return fmt.Errorf("%s runs in this cluster: stop it first, or, where it is kept to node groups of its own, start with --allow-rivals",
			strings.Join(running, " and "))
	}
	return nil
}

// orNone and zeroIsNone turn a flag's 0, which means none, into what the packages mean by none: their 0 means the default.
func orNone(d time.Duration) time.Duration { return max(d, time.Nanosecond) }

func zeroIsNone(f float64) float64 {
	if f == 0 {
		return -1
	}
	return f
}

func limits(o options) provisioning.Limits {
	l := provisioning.DefaultLimits()
	l.LaunchesPerMinute = o.launchesPerMinute
	return l
}

func register(ctx context.Context, mgr manager.Manager, controllers []controller.Controller) error {
	for _, c := range controllers {
		if err := c.Register(ctx, mgr); err != nil {
			return fmt.Errorf("registering %T, %w", c, err)
		}
	}
	return nil
}

func newManager(ctx context.Context, cfg *rest.Config, o options) (manager.Manager, error) {
	mgr, err := manager.New(cfg, karpenter.ManagerOptions(ctx, o.Manager(name)))
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster, %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("adding the health check, %w", err)
	}
	synced := func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return fmt.Errorf("the cache is not synced")
		}
		return nil
	}
	if err := mgr.AddReadyzCheck("cache", synced); err != nil {
		return nil, fmt.Errorf("adding the readiness check, %w", err)
	}
	return mgr, nil
}

// newDemand makes the index that says what pods will ask once their recommendations are applied.
func newDemand(ctx context.Context, mgr manager.Manager) (*demand.Index, error) {
	index := demand.NewIndex(demand.Options{})
	scalers, err := mgr.GetCache().GetInformer(ctx, &v1alpha1.WorkloadScaler{})
	if err != nil {
		return nil, fmt.Errorf("watching workloadscalers, %w", err)
	}
	if _, err := index.WatchScalers(ctx, scalers); err != nil {
		return nil, err
	}
	pods, err := mgr.GetCache().GetInformer(ctx, &corev1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("watching pods, %w", err)
	}
	if _, err := index.WatchPods(pods); err != nil {
		return nil, err
	}
	return index, nil
}
