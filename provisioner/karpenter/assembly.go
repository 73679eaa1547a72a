package karpenter

import (
	"context"
	"fmt"
	"time"

	"github.com/awslabs/operatorpkg/controller"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/controllers/capacitybuffer"
	"sigs.k8s.io/karpenter/pkg/controllers/disruption"
	"sigs.k8s.io/karpenter/pkg/controllers/dynamicresources/deviceallocation"
	metricsnode "sigs.k8s.io/karpenter/pkg/controllers/metrics/node"
	metricsnodepool "sigs.k8s.io/karpenter/pkg/controllers/metrics/nodepool"
	metricspod "sigs.k8s.io/karpenter/pkg/controllers/metrics/pod"
	"sigs.k8s.io/karpenter/pkg/controllers/node/health"
	nodehydration "sigs.k8s.io/karpenter/pkg/controllers/node/hydration"
	"sigs.k8s.io/karpenter/pkg/controllers/node/termination"
	"sigs.k8s.io/karpenter/pkg/controllers/node/termination/terminator"
	nodeclaimconsistency "sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/consistency"
	nodeclaimdisruption "sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/disruption"
	"sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/expiration"
	nodeclaimgarbagecollection "sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/garbagecollection"
	nodeclaimhydration "sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/hydration"
	nodeclaimlifecycle "sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/lifecycle"
	"sigs.k8s.io/karpenter/pkg/controllers/nodeclaim/podevents"
	nodepoolcounter "sigs.k8s.io/karpenter/pkg/controllers/nodepool/counter"
	nodepoolhash "sigs.k8s.io/karpenter/pkg/controllers/nodepool/hash"
	nodepoolreadiness "sigs.k8s.io/karpenter/pkg/controllers/nodepool/readiness"
	nodepoolregistrationhealth "sigs.k8s.io/karpenter/pkg/controllers/nodepool/registrationhealth"
	nodepoolvalidation "sigs.k8s.io/karpenter/pkg/controllers/nodepool/validation"
	karpprovisioning "sigs.k8s.io/karpenter/pkg/controllers/provisioning"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/controllers/state/informer"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/operator/options"
	"sigs.k8s.io/karpenter/pkg/state/cost"
	"sigs.k8s.io/karpenter/pkg/state/nodepoolhealth"
	"sigs.k8s.io/karpenter/pkg/state/virtualpods"

	ourcloud "supercargo.dev/cloudprovider"
	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/succession"
)

// Demand says what a running pod holds: max(spec, allocated, actual), without the "pods" resource.
type Demand func(pod *corev1.Pod) corev1.ResourceList

// Placement says what nodes pods may use beyond what their specs say.
type Placement interface {
	// Terms returns ORed terms for each pod; nil means any node.
	Terms(ctx context.Context, pods []*corev1.Pod) ([][]corev1.NodeSelectorTerm, error)
}

// Config is what the machinery is made of.
type Config struct {
	Client        client.Client
	CloudProvider cloudprovider.CloudProvider
	Recorder      events.Recorder
	Clock         clock.Clock
	// Demand of running pods. Required.
	Demand Demand
	// Expectation of what pods and their successors will ask for; nil: what they hold, or their templates say.
	Expectation Expectation
	// Placement of pods to place. Required.
	Placement Placement
	// Market says how likely spot offerings are to be interrupted. Required.
	Market ourcloud.Market
	// Consolidation tunes the search for savings.
	Consolidation consolidation.Options
	// PodMoveCost in USD is what moving one pod of ordinary eviction cost is thought to cost: a few seconds of a pod's work and
	// of two nodes' overlap. Karpenter's eviction cost (priority, pod-deletion-cost) and what consolidation.PodMove knows scale
	// it. Zero means consolidation.DefaultPodCost, negative none.
	PodMoveCost float64
	// ValidationDelay is the time between finding a saving and carrying it out, after which it must still be one.
	// It keeps pods that come and go from causing moves. Zero means 15 s, as Karpenter waits.
	ValidationDelay time.Duration
	// CapacitySettle is how long capacity that was out must have stayed before nodes are replaced by it; pods that wait use it
	// at once. Zero means consolidation.DefaultCapacitySettle, negative none.
	CapacitySettle time.Duration
	// Packing tunes the packer.
	Packing packing.Options
}

// Machinery is Karpenter's state and launching, as the rest of the provisioner uses it.
type Machinery struct {
	cfg         Config
	cluster     *state.Cluster
	provisioner *karpprovisioning.Provisioner
	queue       *disruption.Queue
	volumes     *scheduling.VolumeTopology
	launched    launches
	// consolidated nodes are those that a consolidation gives up.
	consolidated *nodeSet
	comebacks    *consolidation.Comebacks
	// departures tell which plans for successors still hold.
	departures succession.Departures
	// virtual pods are those that CapacityBuffers keep room for.
	virtual *virtualpods.Cache
}

// New makes the machinery. It registers nothing; see [Machinery.Controllers].
func New(cfg Config) *Machinery {
	if cfg.CapacitySettle == 0 {
		cfg.CapacitySettle = consolidation.DefaultCapacitySettle
	}
	m := &Machinery{
		cfg:      cfg,
		cluster:  state.NewCluster(cfg.Clock, cfg.Client, cfg.CloudProvider),
		volumes:  scheduling.NewVolumeTopology(cfg.Client),
		launched: newLaunches(), consolidated: newNodeSet(cfg.Clock), comebacks: consolidation.NewComebacks(cfg.CapacitySettle),
		virtual: virtualpods.NewVirtualPodCache(cfg.Client),
	}
	// The Provisioner is kept as an object because the disruption queue launches through it; it is never registered, so its
	// own scheduling loop does not run.
	m.provisioner = karpprovisioning.NewProvisioner(cfg.Client, cfg.Recorder, cfg.CloudProvider, m.cluster, cfg.Clock,
		deviceallocation.NewController(cfg.Client), m.virtual)
	m.queue = disruption.NewQueue(cfg.Client, cfg.Recorder, m.cluster, cfg.Clock, m.provisioner)
	return m
}

// Controllers returns Karpenter's lifecycle controllers with consolidation replaced by ours and provisioning left out, for
// which plan is called instead. The context must carry Karpenter's options; see [WithOptions]. Hooks run before a node is open
// to pods; see [Machinery.RegistrationHook].
func (m *Machinery) Controllers(ctx context.Context, plan func(), hooks ...cloudprovider.NodeLifecycleHook) []controller.Controller {
	kube, cp, clk, recorder := m.cfg.Client, m.cfg.CloudProvider, m.cfg.Clock, m.cfg.Recorder
	evictions := terminator.NewQueue(kube, recorder)
	poolHealth := nodepoolhealth.NewState()
	clusterCost := cost.NewClusterCost(ctx, cp, kube)
	base := disruption.MakeConsolidation(clk, m.cluster, kube, m.provisioner, cp, recorder, m.queue)
	methods := []disruption.Method{
		disruption.NewEmptiness(base),
		disruption.NewStaticDrift(m.cluster, m.provisioner, cp),
		disruption.NewDrift(kube, m.cluster, m.provisioner, recorder, clk),
		newConsolidation(m, &base),
	}
	controllers := []controller.Controller{
		evictions, m.queue,
		disruption.NewController(clk, kube, m.provisioner, cp, recorder, m.cluster, m.queue, clusterCost, disruption.WithMethods(methods...)),
		nodepoolhash.NewController(kube, cp),
		expiration.NewController(clk, kube, cp),
		informer.NewDaemonSetController(kube, m.cluster),
		informer.NewNodeController(kube, m.cluster),
		informer.NewPodController(kube, m.cluster),
		informer.NewNodePoolController(kube, cp, m.cluster, clusterCost),
		informer.NewNodeClaimController(kube, cp, m.cluster, clusterCost),
		informer.NewPricingController(kube, cp, clusterCost),
		termination.NewController(clk, kube, cp, terminator.NewTerminator(clk, kube, evictions, recorder), recorder),
		nodepoolreadiness.NewController(clk, kube, cp),
		nodepoolregistrationhealth.NewController(clk, kube, cp, poolHealth),
		nodepoolcounter.NewController(kube, cp, m.cluster),
		nodepoolvalidation.NewController(clk, kube, cp),
		podevents.NewController(clk, kube, cp),
		nodeclaimconsistency.NewController(clk, kube, cp, recorder),
		nodeclaimlifecycle.NewController(clk, kube, cp, recorder, poolHealth, nil),
		nodeclaimgarbagecollection.NewController(clk, kube, cp),
		nodeclaimdisruption.NewController(clk, kube, cp),
		nodeclaimhydration.NewController(kube, cp),
		nodehydration.NewController(kube, cp),
		metricspod.NewController(kube, m.cluster),
		metricsnodepool.NewController(kube, cp, clusterCost),
		metricsnode.NewController(m.cluster),
	}
	if len(cp.RepairPolicies()) != 0 && options.FromContext(ctx).FeatureGates.NodeRepair {
		controllers = append(controllers, health.NewController(kube, cp, clk, recorder))
	}
	if options.FromContext(ctx).FeatureGates.CapacityBuffer {
		controllers = append(controllers, capacitybuffer.NewController(kube, planner(plan), m.virtual))
	}
	return controllers
}

// Index adds the field indexes that Karpenter's controllers list by.
func Index(ctx context.Context, mgr manager.Manager) error {
	index := func(obj client.Object, field string, value func(client.Object) string) error {
		err := mgr.GetFieldIndexer().IndexField(ctx, obj, field, func(o client.Object) []string { return []string{value(o)} })
		if err != nil {
			return fmt.Errorf("indexing %T by %s, %w", obj, field, err)
		}
		return nil
	}
	claimClass := func(get func(*karpv1.NodeClassReference) string) func(client.Object) string {
		return func(o client.Object) string { return get(o.(*karpv1.NodeClaim).Spec.NodeClassRef) }
	}
	poolClass := func(get func(*karpv1.NodeClassReference) string) func(client.Object) string {
		return func(o client.Object) string { return get(o.(*karpv1.NodePool).Spec.Template.Spec.NodeClassRef) }
	}
	group := func(r *karpv1.NodeClassReference) string { return r.Group }
	kind := func(r *karpv1.NodeClassReference) string { return r.Kind }
	name := func(r *karpv1.NodeClassReference) string { return r.Name }
	for _, i := range []struct {
		obj   client.Object
		field string
		value func(client.Object) string
	}{
		{&corev1.Pod{}, "spec.nodeName", func(o client.Object) string { return o.(*corev1.Pod).Spec.NodeName }},
		{&corev1.Node{}, "spec.providerID", func(o client.Object) string { return o.(*corev1.Node).Spec.ProviderID }},
		{&storagev1.VolumeAttachment{}, "spec.nodeName", func(o client.Object) string { return o.(*storagev1.VolumeAttachment).Spec.NodeName }},
		{&karpv1.NodeClaim{}, "status.providerID", func(o client.Object) string { return o.(*karpv1.NodeClaim).Status.ProviderID }},
		{&karpv1.NodeClaim{}, "spec.nodeClassRef.group", claimClass(group)},
		{&karpv1.NodeClaim{}, "spec.nodeClassRef.kind", claimClass(kind)},
		{&karpv1.NodeClaim{}, "spec.nodeClassRef.name", claimClass(name)},
		{&karpv1.NodePool{}, "spec.template.spec.nodeClassRef.group", poolClass(group)},
		{&karpv1.NodePool{}, "spec.template.spec.nodeClassRef.kind", poolClass(kind)},
		{&karpv1.NodePool{}, "spec.template.spec.nodeClassRef.name", poolClass(name)},
	} {
		if err := index(i.obj, i.field, i.value); err != nil {
			return err
		}
	}
	return nil
}

// WithOptions returns a context with the options that Karpenter's controllers read from theirs, and panic without.
// Batch windows are given because Karpenter derives from them how long a nomination protects a node. Headroom is kept where
// CapacityBuffers are served; see [HasCapacityBuffers].
func WithOptions(ctx context.Context, batchIdle, batchMax time.Duration, headroom bool) context.Context {
	gates := options.DefaultFeatureGates()
	gates.CapacityBuffer = headroom
	return options.ToContext(ctx, &options.Options{
		CPURequests:       1000,
		BatchIdleDuration: batchIdle,
		BatchMaxDuration:  batchMax,
		PreferencePolicy:  options.PreferencePolicyRespect,
		MinValuesPolicy:   options.MinValuesPolicyStrict,
		IgnoreDRARequests: true,
		FeatureGates:      gates,
	})
}
