package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/disruption"
	"sigs.k8s.io/karpenter/pkg/controllers/dynamicresources/deviceallocation"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/operator/options"
	"sigs.k8s.io/karpenter/pkg/state/virtualpods"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/bench/consolidation/model"
)

// Options are what may differ from Karpenter's defaults.
type Options struct {
	// SpotToSpot turns on Karpenter's feature gate SpotToSpotConsolidation, off by default.
	SpotToSpot bool
}

// Karpenter is Karpenter's consolidation beside a cluster. Close it when done.
type Karpenter struct {
	cluster  *state.Cluster
	store    *store
	cloud    *cloud
	clock    clock.Clock
	queue    *disruption.Queue
	options  *options.Options
	types    map[string]int
	model    *model.Cluster
	pods     map[client.ObjectKey]*corev1.Pod // of the model
	empty    disruption.Method
	multi    disruption.Method
	single   *disruption.SingleNodeConsolidation
	recorder silence
}

// age of all nodes: old enough for everything that waits.
const age = 24 * time.Hour

// New builds Karpenter's state of a cluster. The cluster is not written to, except through the commands that the caller
// applies and then reports to Applied.
func New(ctx context.Context, c *model.Cluster, o Options) (*Karpenter, error) {
	s, err := newStore(ctx)
	if err != nil {
		return nil, err
	}
	k := &Karpenter{
		store: s, cloud: &cloud{types: instanceTypes(c.Pool.Types)}, clock: clock.RealClock{}, model: c, types: map[string]int{},
		pods: map[client.ObjectKey]*corev1.Pod{},
	}
	for i, t := range k.cloud.types {
		k.types[t.Name] = i
	}
	gates := options.DefaultFeatureGates()
	gates.SpotToSpotConsolidation = o.SpotToSpot
	k.options = &options.Options{
		CPURequests: 1000, BatchIdleDuration: time.Second, BatchMaxDuration: 10 * time.Second,
		PreferencePolicy: options.PreferencePolicyRespect, MinValuesPolicy: options.MinValuesPolicyStrict, IgnoreDRARequests: true,
		FeatureGates: gates,
	}
	ctx = k.context(ctx)
	k.cluster = state.NewCluster(k.clock, s, k.cloud)
	provisioner := provisioning.NewProvisioner(s, k.recorder, k.cloud, k.cluster, k.clock,
		deviceallocation.NewController(s), virtualpods.NewVirtualPodCache(s))
	k.queue = disruption.NewQueue(s, k.recorder, k.cluster, k.clock, provisioner)
	base := disruption.MakeConsolidation(k.clock, k.cluster, s, provisioner, k.cloud, k.recorder, k.queue)
	unvalidated := disruption.WithValidator(trust{})
	k.empty = disruption.NewEmptiness(base, unvalidated)
	k.multi = disruption.NewMultiNodeConsolidation(base, unvalidated)
	k.single = disruption.NewSingleNodeConsolidation(base, unvalidated)
	if err := k.fill(ctx); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// Close ends what New began.
func (k *Karpenter) Close() { k.store.close() }

// context carries Karpenter's options, and no logs.
func (k *Karpenter) context(ctx context.Context) context.Context {
	return options.ToContext(log.IntoContext(ctx, logr.Discard()), k.options)
}

// trust takes a command as it is: the state has not changed since it was computed.
type trust struct{}

// Validate implements disruption.Validator.
func (trust) Validate(_ context.Context, c disruption.Command, _ time.Duration) (disruption.Command, error) {
	return c, nil
}

func (k *Karpenter) fill(ctx context.Context) error {
	if err := k.store.put(ctx, k.nodePool()); err != nil {
		return err
	}
	namespaces := map[string]bool{}
	for _, n := range k.model.Nodes() {
		for _, p := range n.Pods {
			namespaces[p.Namespace] = true
			k.pods[client.ObjectKeyFromObject(p)] = p
		}
	}
	for name := range namespaces {
		if err := k.store.put(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return err
		}
	}
	for _, n := range k.model.Nodes() {
		if err := k.addNode(ctx, n); err != nil {
			return err
		}
		if err := k.bind(ctx, n.Name, n.Pods); err != nil {
			return err
		}
	}
	for _, t := range k.model.DaemonSets {
		ds := &appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Name: t.Name, Namespace: t.Namespace, UID: types.UID(t.Name)},
			Spec:       appsv1.DaemonSetSpec{Template: corev1.PodTemplateSpec{ObjectMeta: *t.ObjectMeta.DeepCopy(), Spec: *t.Spec.DeepCopy()}},
		}
		if err := k.store.put(ctx, ds); err != nil {
			return err
		}
		if err := k.cluster.UpdateDaemonSet(ctx, ds); err != nil {
			return fmt.Errorf("tracking daemonset %q, %w", ds.Name, err)
		}
	}
	if !k.cluster.Synced(ctx) {
		return fmt.Errorf("karpenter's state of the cluster is not in step with its cache")
	}
	return nil
}

func (k *Karpenter) nodePool() *karpv1.NodePool {
	p := &k.model.Pool
	np := &karpv1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: p.Name, UID: types.UID(p.Name)}}
	np.Spec.Template.Spec.NodeClassRef = classRef()
	np.Spec.Template.Spec.Taints = p.Taints
	np.Spec.Template.Labels = p.Labels
	for _, r := range p.Requirements {
		np.Spec.Template.Spec.Requirements = append(np.Spec.Template.Spec.Requirements, karpv1.NodeSelectorRequirementWithMinValues{
			Key: r.Key, Operator: r.Operator, Values: r.Values, MinValues: r.MinValues,
		})
	}
	np.Spec.Disruption = karpv1.Disruption{
		ConsolidateAfter:    karpv1.MustParseNillableDuration("0s"),
		ConsolidationPolicy: karpv1.ConsolidationPolicyWhenEmptyOrUnderutilized,
		Budgets:             []karpv1.Budget{{Nodes: "100%"}},
	}
	for _, c := range []string{karpv1.ConditionTypeValidationSucceeded, karpv1.ConditionTypeNodeClassReady, karpv1.ConditionTypeNodeRegistrationHealthy} {
		np.StatusConditions().SetTrue(c)
	}
	return np
}

func classRef() *karpv1.NodeClassReference {
	return &karpv1.NodeClassReference{Group: v1alpha1.GroupName, Kind: "SimNodeClass", Name: "default"}
}

func providerID(node string) string { return "bench:///" + node }

// addNode adds a node, its claim and its daemonsets' pods.
func (k *Karpenter) addNode(ctx context.Context, n *model.Node) error {
	it := k.cloud.types[k.types[n.InstanceType]]
	labels := map[string]string{karpv1.NodeRegisteredLabelKey: "true", karpv1.NodeInitializedLabelKey: "true"}
	for key, v := range n.Labels {
		labels[key] = v
	}
	old := metav1.NewTime(k.clock.Now().Add(-age))
	claim := &karpv1.NodeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: types.UID("claim-" + n.Name), Labels: labels, CreationTimestamp: old},
		Spec:       karpv1.NodeClaimSpec{NodeClassRef: classRef(), Taints: k.model.Pool.Taints},
		Status:     karpv1.NodeClaimStatus{ProviderID: providerID(n.Name), NodeName: n.Name, Capacity: it.Capacity, Allocatable: it.Allocatable()},
	}
	claim.StatusConditions().SetTrue(karpv1.ConditionTypeLaunched)
	claim.StatusConditions().SetTrue(karpv1.ConditionTypeRegistered)
	claim.StatusConditions().SetTrue(karpv1.ConditionTypeInitialized)
	claim.StatusConditions().SetTrue(karpv1.ConditionTypeConsolidatable)
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: types.UID(n.Name), Labels: labels, CreationTimestamp: old},
		Spec:       corev1.NodeSpec{ProviderID: providerID(n.Name), Taints: k.model.Pool.Taints},
		Status: corev1.NodeStatus{
			Capacity: it.Capacity, Allocatable: it.Allocatable(),
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	if err := k.store.put(ctx, claim); err != nil {
		return err
	}
	if err := k.store.put(ctx, node); err != nil {
		return err
	}
	k.cluster.UpdateNodeClaim(claim)
	if err := k.cluster.UpdateNode(ctx, node); err != nil {
		return fmt.Errorf("tracking node %q, %w", n.Name, err)
	}
	return k.bind(ctx, n.Name, n.Daemons)
}

// bind puts pods on a node.
func (k *Karpenter) bind(ctx context.Context, node string, pods []*corev1.Pod) error {
	for _, p := range pods {
		bound := p.DeepCopy()
		bound.Spec.NodeName = node
		bound.Status.Phase = corev1.PodRunning
		bound.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
		if len(bound.OwnerReferences) == 0 { // Karpenter, like drain, leaves pods alone that nobody would make anew
			bound.OwnerReferences = []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "owner", UID: "owner", Controller: ptr.To(true),
			}}
		}
		if err := k.store.put(ctx, bound); err != nil {
			return err
		}
		if err := k.cluster.UpdatePod(ctx, bound); err != nil {
			return fmt.Errorf("tracking pod %q, %w", p.Name, err)
		}
	}
	return nil
}

// Applied brings Karpenter's state up to what a command has changed in the cluster.
func (k *Karpenter) Applied(ctx context.Context, cmd model.Command, change model.Change) error {
	ctx = k.context(ctx)
	for _, n := range change.Added {
		if err := k.addNode(ctx, n); err != nil {
			return err
		}
		if err := k.bind(ctx, n.Name, n.Pods); err != nil {
			return err
		}
	}
	for _, b := range cmd.Bind {
		if err := k.bind(ctx, b.Node, []*corev1.Pod{b.Pod}); err != nil {
			return err
		}
	}
	for _, n := range change.Removed {
		for _, p := range n.Daemons {
			if err := k.store.remove(ctx, p); err != nil {
				return err
			}
			k.cluster.DeletePod(client.ObjectKeyFromObject(p))
		}
		if err := k.store.remove(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}); err != nil {
			return err
		}
		if err := k.store.remove(ctx, &karpv1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}); err != nil {
			return err
		}
		k.cluster.DeleteNode(n.Name)
		k.cluster.DeleteNodeClaim(n.Name)
	}
	return nil
}
