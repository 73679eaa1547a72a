package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/api/v1alpha1"
)

// Containers gives the resources of the containers of a pod or template by name, init containers left out.
func Containers(spec corev1.PodSpec) map[string]corev1.ResourceRequirements {
	out := make(map[string]corev1.ResourceRequirements, len(spec.Containers))
	for _, c := range spec.Containers {
		out[c.Name] = c.Resources
	}
	return out
}

// Desired is what the containers of a pod are to have. Original is what the template states (or, for a pod that was
// changed before, what its original-resources annotation holds); a container without a recommendation keeps it.
// Unmanaged resources keep the original. Limits follow the limit policy of each resource, or the QoS class. No request exceeds its limit.
func Desired(original map[string]corev1.ResourceRequirements, recommended []v1alpha1.ContainerRecommendation, r Rules) map[string]corev1.ResourceRequirements {
	out := make(map[string]corev1.ResourceRequirements, len(original))
	for name, resources := range original {
		out[name] = *resources.DeepCopy()
	}
	for _, c := range recommended {
		before, ok := original[c.Name]
		if !ok {
			continue
		}
		after := out[c.Name]
		for _, name := range managed() {
			if request, ok := c.Requests[name]; ok && r.manages(name) {
				r.set(&after, before, name, request)
			}
		}
		out[c.Name] = after
	}
	r.class(out, original)
	return out
}

// set gives a container the request of one resource and the limit that follows.
func (r Rules) set(after *corev1.ResourceRequirements, before corev1.ResourceRequirements, name corev1.ResourceName, request resource.Quantity) {
	limit, limited := before.Limits[name]
	rule := r.limit(name)
	switch rule.Policy {
	case v1alpha1.LimitRemove:
		limited = false
	case v1alpha1.LimitMultiplier:
		limit, limited = multiply(name, request, rule.Multiplier), true
	case v1alpha1.LimitAuto:
		if higher := multiply(name, request, rule.Multiplier); limited && higher.Cmp(limit) > 0 {
			limit = higher
		}
	case v1alpha1.LimitKeep:
	}
	limit, limited = r.clampLimit(name, request, limit, limited)
	if limited && request.Cmp(limit) > 0 {
		request = limit
	}
	if after.Requests == nil {
		after.Requests = corev1.ResourceList{}
	}
	after.Requests[name] = request
	if !limited {
		delete(after.Limits, name)
		if len(after.Limits) == 0 {
			after.Limits = nil
		}
		return
	}
	if after.Limits == nil {
		after.Limits = corev1.ResourceList{}
	}
	after.Limits[name] = limit
}

// clampLimit keeps a limit within the LimitRanges. A namespace that bounds limits from above demands one.
func (r Rules) clampLimit(name corev1.ResourceName, request, limit resource.Quantity, limited bool) (resource.Quantity, bool) {
	for _, lr := range r.LimitRanges {
		for _, item := range lr.Spec.Limits {
			if item.Type != corev1.LimitTypeContainer {
				continue
			}
			if ratio, ok := item.MaxLimitRequestRatio[name]; ok {
				if highest := multiply(name, request, ratio.AsApproximateFloat64()); !limited || limit.Cmp(highest) > 0 {
					limit, limited = highest, true
				}
			}
			if lowest, ok := item.Min[name]; ok && limited && limit.Cmp(lowest) < 0 {
				limit = lowest
			}
			if highest, ok := item.Max[name]; ok && (!limited || limit.Cmp(highest) > 0) {
				limit, limited = highest, true
			}
		}
	}
	return limit, limited
}

// multiply a quantity, rounding up to thousandths of a core or bytes.
func multiply(name corev1.ResourceName, q resource.Quantity, by float64) resource.Quantity {
	up := func(v int64) int64 {
		// A product that is a hair above a whole number, by rounding of floating point, is that number.
		return int64(min(math.Ceil(float64(v)*by*(1-1e-12)), math.MaxInt64/2))
	}
	if name == corev1.ResourceCPU {
		return *resource.NewMilliQuantity(up(q.MilliValue()), resource.DecimalSI)
	}
	return *resource.NewQuantity(up(q.Value()), q.Format)
}

// Complete fills the limits of recommended containers by the rules, for status.
func Complete(recommended []v1alpha1.ContainerRecommendation, r Rules) []v1alpha1.ContainerRecommendation {
	out := make([]v1alpha1.ContainerRecommendation, 0, len(recommended))
	for _, c := range recommended {
		desired := Desired(map[string]corev1.ResourceRequirements{c.Name: c.Current}, []v1alpha1.ContainerRecommendation{c}, r)
		filled := *c.DeepCopy()
		filled.Limits = desired[c.Name].Limits
		out = append(out, filled)
	}
	return out
}

// Hash identifies what containers are to have: the value of the recommendation annotation of a pod. It does not
// depend on how quantities are written.
func Hash(desired map[string]corev1.ResourceRequirements) string {
	type canonical struct{ Requests, Limits map[string]int64 }
	list := func(l corev1.ResourceList) map[string]int64 {
		out := make(map[string]int64, len(l))
		for name, q := range l {
			out[string(name)] = milli(name, q)
		}
		return out
	}
	all := make(map[string]canonical, len(desired))
	for name, r := range desired {
		all[name] = canonical{list(r.Requests), list(r.Limits)}
	}
	return digest(all)
}

// HashSpec identifies the spec of a RecommendationPolicy.
func HashSpec(spec v1alpha1.RecommendationPolicySpec) string { return digest(spec) }

// digest of a value's JSON, in which maps are sorted.
func digest(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		// The types that come here always marshal. A hash that equals no other asks for a new computation, no harm else.
		b = []byte(err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Originals writes the original-resources annotation; ParseOriginals reads it.
func Originals(m map[string]corev1.ResourceRequirements) (string, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("writing original resources, %w", err)
	}
	return string(b), nil
}

// ParseOriginals reads what Originals wrote.
func ParseOriginals(s string) (map[string]corev1.ResourceRequirements, error) {
	var m map[string]corev1.ResourceRequirements
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		return nil, fmt.Errorf("reading annotation %s, %w", v1alpha1.OriginalResourcesAnnotation, err)
	}
	return m, nil
}
