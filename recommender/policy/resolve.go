package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"supercargo.dev/api/v1alpha1"
)

// Target is the workload that a policy is looked for.
type Target struct {
	Kind, Namespace, Name string
	// Labels of the workload object itself.
	Labels map[string]string
	// Annotations of the workload object itself.
	Annotations map[string]string
}

// Disabled tells whether the workload opted out of every change by annotation.
func (t Target) Disabled() bool { return t.Annotations[v1alpha1.DisabledAnnotation] == "true" }

// Resolve finds the policy that governs a workload: of those that are enabled, valid, not being deleted and match, the
// one of highest priority; of equals the oldest; of equally old ones the first by name. Nil where none matches.
func Resolve(policies []v1alpha1.AutoscalingPolicy, t Target) *v1alpha1.AutoscalingPolicy {
	var best *v1alpha1.AutoscalingPolicy
	for i := range policies {
		p := &policies[i]
		if !inForce(p) || (best != nil && !Precedes(p, best)) || !targets(p, t) || len(Validate(p.Spec)) > 0 {
			continue
		}
		best = p
	}
	return best
}

// Shadowed lists the policies that match the workload too but are not the one that governs it, by precedence.
func Shadowed(policies []v1alpha1.AutoscalingPolicy, t Target) []*v1alpha1.AutoscalingPolicy {
	governing := Resolve(policies, t)
	var out []*v1alpha1.AutoscalingPolicy
	for i := range policies {
		p := &policies[i]
		if p != governing && inForce(p) && targets(p, t) && len(Validate(p.Spec)) == 0 {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *v1alpha1.AutoscalingPolicy) int {
		if Precedes(a, b) {
			return -1
		}
		return 1
	})
	return out
}

// RemovalOf is what becomes of the pods of a workload that the policy governs, nil where they stay as they are.
func RemovalOf(p *v1alpha1.AutoscalingPolicy) *v1alpha1.RemovalPlan {
	if p == nil || p.Spec.OnPolicyRemoval == "" || p.Spec.OnPolicyRemoval == v1alpha1.RemovalOff {
		return nil
	}
	return &v1alpha1.RemovalPlan{Policy: p.Spec.OnPolicyRemoval, InPlaceFallback: *p.Spec.InPlaceFallback.DeepCopy()}
}

// Removed tells whether the policy of a name was deleted or turned off. One that is invalid, or that no longer selects a workload, was
// not: that may be a slip of the pen.
func Removed(policies []v1alpha1.AutoscalingPolicy, name string) bool {
	for i := range policies {
		if policies[i].Name == name {
			return !inForce(&policies[i])
		}
	}
	return true
}

func inForce(p *v1alpha1.AutoscalingPolicy) bool {
	return (p.Spec.Enable == nil || *p.Spec.Enable) && p.DeletionTimestamp.IsZero()
}

// Precedes tells whether a is preferred to b where both match.
func Precedes(a, b *v1alpha1.AutoscalingPolicy) bool {
	if a.Spec.Priority != b.Spec.Priority {
		return a.Spec.Priority > b.Spec.Priority
	}
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Name < b.Name
}

func targets(p *v1alpha1.AutoscalingPolicy, t Target) bool {
	if len(p.Spec.TargetRefs) == 0 {
		return true
	}
	return slices.ContainsFunc(p.Spec.TargetRefs, func(s v1alpha1.WorkloadSelector) bool {
		ok, err := Matches(s, t)
		return err == nil && ok // Validate says what is wrong with it
	})
}

// Matches tells whether a selector selects a workload. The error names a malformed glob or label selector.
func Matches(s v1alpha1.WorkloadSelector, t Target) (bool, error) {
	name, err := MatchGlob(s.Name, t.Name)
	if err != nil {
		return false, fmt.Errorf("name: %w", err)
	}
	namespace, err := MatchGlob(s.Namespace, t.Namespace)
	if err != nil {
		return false, fmt.Errorf("namespace: %w", err)
	}
	if !name || !namespace || s.Kind != "" && s.Kind != t.Kind {
		return false, nil
	}
	if s.LabelSelector == nil {
		return true, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(s.LabelSelector)
	if err != nil {
		return false, fmt.Errorf("labelSelector: %w", err)
	}
	return selector.Matches(labels.Set(t.Labels)), nil
}

// MatchGlob tells whether a whole value matches a glob of *, ?, [a-z] and [^0-9]. An empty glob matches everything.
func MatchGlob(glob, value string) (bool, error) {
	if glob == "" || glob == "*" {
		return true, nil
	}
	// path.Match has this grammar; only its * stops at a slash, which neither names nor namespaces contain.
	ok, err := path.Match(glob, strings.ReplaceAll(value, "/", "_"))
	if err != nil {
		return false, fmt.Errorf("%q is not a glob of *, ?, [a-z] and [^0-9]", glob)
	}
	return ok, nil
}
