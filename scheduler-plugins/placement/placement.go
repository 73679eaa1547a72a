// Package placement decides which rules on spot capacity hold for a pod: its own annotation, then its namespace's, then the
// PlacementPolicy that matches. It does not decide where the pod goes.
package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"supercargo.dev/api/v1alpha1"
)

// Rules are what holds for one pod.
type Rules struct {
	// Tolerance of spot capacity.
	Tolerance v1alpha1.SpotTolerance
	// MinOnDemand replicas of the pod's workload stay off spot.
	MinOnDemand int32
	// MaxSpotPercent of the replicas of the pod's workload may be on spot, 0 to 100.
	MaxSpotPercent int32
	// Source says where the tolerance comes from, for messages.
	Source string
}

// Limited says whether it matters how many replicas of the workload are on spot. A pod that requires spot is never kept off
// it for the sake of a share: it could not run at all.
func (r Rules) Limited() bool {
	return (r.MinOnDemand > 0 || r.MaxSpotPercent < 100) && (r.Tolerance == v1alpha1.SpotTolerate || r.Tolerance == v1alpha1.SpotPrefer)
}

// Replicas counts the live replicas of a workload.
type Replicas struct {
	// Total of pods that have neither finished nor are going, the pod to place included.
	Total int32
	// Spot replicas have a spot node, OnDemand replicas another one. The pod to place is in neither.
	Spot, OnDemand int32
}

// SpotOpen says whether one more replica may go to spot, and if not, why.
func (r Rules) SpotOpen(have Replicas) (bool, string) {
	if !r.Limited() {
		return true, ""
	}
	if have.OnDemand < r.MinOnDemand {
		return false, fmt.Sprintf("%d of %d on-demand replicas that the workload keeps are placed", have.OnDemand, r.MinOnDemand)
	}
	if allowed := int64(have.Total) * int64(r.MaxSpotPercent) / 100; int64(have.Spot) >= allowed {
		return false, fmt.Sprintf("%d of %d replicas are on spot and the workload allows %d%%", have.Spot, have.Total, r.MaxSpotPercent)
	}
	return true, ""
}

// Policy is a PlacementPolicy, parsed.
type Policy struct {
	name       string
	priority   int32
	created    metav1.Time
	namespaces labels.Selector
	pods       labels.Selector
	rules      Rules
}

// Parse returns the policy, or an error for selectors that do not parse.
func Parse(object *v1alpha1.PlacementPolicy) (Policy, error) {
	p := Policy{
		name:       object.Name,
		priority:   object.Spec.Priority,
		created:    object.CreationTimestamp,
		namespaces: labels.Everything(),
		pods:       labels.Everything(),
		rules: Rules{
			Tolerance:      object.Spec.Spot,
			MinOnDemand:    max(0, object.Spec.MinOnDemandReplicas),
			MaxSpotPercent: min(100, max(0, ptr.Deref(object.Spec.MaxSpotSharePercent, 100))),
			Source:         "placementpolicy " + object.Name,
		},
	}
	if p.rules.Tolerance == "" {
		p.rules.Tolerance = v1alpha1.SpotTolerate
	}
	var err error
	if object.Spec.NamespaceSelector != nil {
		if p.namespaces, err = metav1.LabelSelectorAsSelector(object.Spec.NamespaceSelector); err != nil {
			return Policy{}, fmt.Errorf("parsing namespaceSelector of placementpolicy %s, %w", object.Name, err)
		}
	}
	if object.Spec.PodSelector != nil {
		if p.pods, err = metav1.LabelSelectorAsSelector(object.Spec.PodSelector); err != nil {
			return Policy{}, fmt.Errorf("parsing podSelector of placementpolicy %s, %w", object.Name, err)
		}
	}
	return p, nil
}

// Sort orders policies by precedence: the higher priority, of equals the older, of those the first by name.
func Sort(policies []Policy) {
	slices.SortFunc(policies, func(a, b Policy) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), a.created.Compare(b.created.Time), strings.Compare(a.name, b.name))
	})
}

// Object is a pod or a namespace, as far as rules look at it.
type Object struct {
	Labels, Annotations map[string]string
}

// Resolve returns the rules for a pod, given the policies in order of precedence. The annotations decide on the tolerance
// only; how many replicas a workload keeps off spot is the policy's to say.
func Resolve(pod, namespace Object, policies []Policy, fallback v1alpha1.SpotTolerance) Rules {
	rules := Rules{Tolerance: fallback, MaxSpotPercent: 100, Source: "default"}
	for i := range policies {
		if p := &policies[i]; p.namespaces.Matches(labels.Set(namespace.Labels)) && p.pods.Matches(labels.Set(pod.Labels)) {
			rules = p.rules
			break
		}
	}
	if value, ok := pod.Annotations[v1alpha1.SpotAnnotation]; ok {
		rules.Tolerance, rules.Source = parse(value), "pod annotation"
	} else if value, ok := namespace.Annotations[v1alpha1.SpotAnnotation]; ok {
		rules.Tolerance, rules.Source = parse(value), "namespace annotation"
	}
	return rules
}

// parse reads an annotation. Whoever wrote something that is not understood cared about spot, and most likely about not being
// interrupted: such a pod stays off spot rather than being treated as if nothing had been said.
func parse(value string) v1alpha1.SpotTolerance {
	switch t := v1alpha1.SpotTolerance(strings.ToLower(strings.TrimSpace(value))); t {
	case v1alpha1.SpotNever, v1alpha1.SpotTolerate, v1alpha1.SpotPrefer, v1alpha1.SpotRequire:
		return t
	default:
		return v1alpha1.SpotNever
	}
}
