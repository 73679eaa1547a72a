package apps

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
)

const (
	// PoolName is the name of NodePool and SimNodeClass.
	PoolName = "default"
	// PolicyName is the name of AutoscalingPolicy and RecommendationPolicy.
	PolicyName = "services"
	// HistoryLength is how far back the demo's usage history goes, and the lookback of its policy.
	HistoryLength = 72 * time.Hour
)

// Families that the pool buys: general purpose, compute and memory, of two generations and both architectures.
func Families() []string {
	return []string{"c6g", "c7g", "m6g", "m7g", "r6g", "r7g", "c6i", "c7i", "m6i", "m7i", "r6i", "r7i"}
}

// Zones that the pool buys in: those that offer every family of it.
func Zones() []string { return []string{"us-east-1a", "us-east-1b", "us-east-1d"} }

// Sizes that the pool buys. Larger machines would hold a whole application each: the loss of one would be the loss of much.
func Sizes() []string { return []string{"medium", "large", "xlarge"} }

// NoBudget holds all voluntary disruption back; ConsolidationBudget is the budget of nodes once consolidation may begin.
const (
	NoBudget            = "0"
	ConsolidationBudget = "50%"
)

// PoolOptions is what differs between pools of the same families and zones.
type PoolOptions struct {
	// Sizes of machines to buy.
	Sizes []string
	// ConsolidateAfter is for how long a node must be quiet, and Budget how many nodes may be disrupted at a time, as in a NodePool.
	ConsolidateAfter, Budget string
}

// Pool is the NodePool of the demo. Nothing is consolidated until the budget is changed to ConsolidationBudget, so that what each
// step saves can be told apart.
func Pool() []client.Object {
	return NewPool(PoolOptions{Sizes: Sizes(), ConsolidateAfter: "5s", Budget: NoBudget})
}

// NewPool is a NodePool and its node class: spot and on-demand machines of both architectures.
func NewPool(o PoolOptions) []client.Object {
	in := func(key string, values ...string) karpv1.NodeSelectorRequirementWithMinValues {
		return karpv1.NodeSelectorRequirementWithMinValues{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}
	}
	return []client.Object{
		&v1alpha1.SimNodeClass{ObjectMeta: metav1.ObjectMeta{Name: PoolName}, Spec: v1alpha1.SimNodeClassSpec{Zones: Zones()}},
		&karpv1.NodePool{
			ObjectMeta: metav1.ObjectMeta{Name: PoolName},
			Spec: karpv1.NodePoolSpec{
				Template: karpv1.NodeClaimTemplate{Spec: karpv1.NodeClaimTemplateSpec{
					NodeClassRef: &karpv1.NodeClassReference{Group: v1alpha1.GroupName, Kind: "SimNodeClass", Name: PoolName},
					ExpireAfter:  karpv1.MustParseNillableDuration("720h"),
					Requirements: []karpv1.NodeSelectorRequirementWithMinValues{
						in(corev1.LabelOSStable, string(corev1.Linux)),
						in(corev1.LabelArchStable, "amd64", "arm64"),
						in(karpv1.CapacityTypeLabelKey, karpv1.CapacityTypeSpot, karpv1.CapacityTypeOnDemand),
						in(sim.LabelInstanceFamily, Families()...),
						in(sim.LabelInstanceSize, o.Sizes...),
					},
				}},
				Disruption: karpv1.Disruption{
					ConsolidationPolicy: karpv1.ConsolidationPolicyWhenEmptyOrUnderutilized,
					ConsolidateAfter:    karpv1.MustParseNillableDuration(o.ConsolidateAfter),
					Budgets:             []karpv1.Budget{{Nodes: o.Budget}},
				},
			},
		},
	}
}

// Rule gives every Deployment of the applications a WorkloadScaler that shows what it needs and changes nothing.
func Rule(namespaces ...string) client.Object {
	rule := &v1alpha1.WorkloadScalerRule{ObjectMeta: metav1.ObjectMeta{Name: "applications"}}
	for _, n := range namespaces {
		rule.Spec.ResourceSelectors = append(rule.Spec.ResourceSelectors, v1alpha1.ResourceSelector{Kind: "Deployment", Namespace: n})
	}
	rule.Spec.Resources.UpdatePolicy.UpdateMode = v1alpha1.UpdateModePreview
	return rule
}

// Policies let services be resized in place. Data is left in preview; nothing is ever restarted.
func Policies(namespaces ...string) []client.Object {
	estimate := func(e v1alpha1.ResourceEstimate) v1alpha1.ResourceEstimate {
		e.Lookback, e.Overhead = "3d", "10%"
		return e
	}
	policy := &v1alpha1.AutoscalingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: PolicyName},
		Spec: v1alpha1.AutoscalingPolicySpec{
			RecommendationPolicyName: PolicyName,
			UpdateSchedule:           []v1alpha1.ScheduleItem{{Name: "always", Mode: v1alpha1.UpdateModeInPlace}},
			UpdateResources:          []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory},
			LimitPolicies: map[corev1.ResourceName]v1alpha1.LimitPolicy{
				corev1.ResourceCPU: {Policy: v1alpha1.LimitKeep}, corev1.ResourceMemory: {Policy: v1alpha1.LimitKeep},
			},
			InPlaceFallback: v1alpha1.InPlaceFallback{DefaultPolicy: v1alpha1.FallbackHold},
			OnPolicyRemoval: v1alpha1.RemovalOff,
		},
	}
	for _, n := range namespaces {
		policy.Spec.TargetRefs = append(policy.Spec.TargetRefs, v1alpha1.WorkloadSelector{
			Kind: "Deployment", Namespace: n,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{TierLabel: TierService}},
		})
	}
	return []client.Object{
		&v1alpha1.RecommendationPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: PolicyName},
			Spec: v1alpha1.RecommendationPolicySpec{
				CPU:    estimate(v1alpha1.ResourceEstimate{Percentile: ptr.To(int32(95))}),
				Memory: estimate(v1alpha1.ResourceEstimate{Function: v1alpha1.FunctionMax}),
			},
		},
		policy,
	}
}
