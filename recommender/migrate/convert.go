package migrate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
)

// Options of a conversion.
type Options struct {
	// KeepModes takes the update modes over. Otherwise everything starts in Preview (or, where a policy is needed, Off).
	KeepModes bool
}

// Result is what a conversion makes.
type Result struct {
	// Objects to apply: for each VerticalPodAutoscaler a WorkloadScaler and, where its settings need them, a RecommendationPolicy and
	// an AutoscalingPolicy that name its workload and no other.
	Objects []client.Object
	// Notes say what has no counterpart, in the order of the objects.
	Notes []Note
}

// Note is a setting that could not be taken over as it is.
type Note struct {
	// Object is the namespace and name of the VerticalPodAutoscaler.
	Object string
	// Field of it.
	Field string
	// Message says what becomes of it, and what to do.
	Message string
}

// String is the note in one line.
func (n Note) String() string { return n.Object + ": " + n.Field + ": " + n.Message }

// FromVPA converts VerticalPodAutoscalers.
func FromVPA(all []VPA, o Options) Result {
	c := converter{options: o, seen: map[string]string{}, names: map[string]bool{}}
	for i := range all {
		c.vpa(&all[i])
	}
	return c.out
}

type converter struct {
	options Options
	out     Result
	seen    map[string]string // workload → the object that bound it first
	names   map[string]bool   // of the policies made, which have no namespace
	of      string            // the object being converted
}

func (c *converter) note(field, format string, args ...any) {
	c.out.Notes = append(c.out.Notes, Note{c.of, field, fmt.Sprintf(format, args...)})
}

// settings are what a VerticalPodAutoscaler says, in our words.
type settings struct {
	mode      v1alpha1.UpdateMode
	estimate  v1alpha1.RecommendationPolicySpec
	resources []corev1.ResourceName
	boost     *v1alpha1.StartupBoost
	fallback  v1alpha1.FallbackPolicy
	// estimated and governed say that a RecommendationPolicy, or an AutoscalingPolicy, is needed to say it.
	estimated, governed bool
}

func (c *converter) vpa(v *VPA) {
	if v.Metadata.Namespace == "" {
		v.Metadata.Namespace = metav1.NamespaceDefault
	}
	c.of = v.key()
	ref := v.Spec.TargetRef
	apiVersion := ref.APIVersion
	if apiVersion == "" {
		apiVersion = builtin(ref.Kind)
	}
	if apiVersion == "" {
		c.note("spec.targetRef.apiVersion", "it is missing, and %s is no built-in kind: nothing was made; add it", ref.Kind)
		return
	}
	workload := v.Metadata.Namespace + "/" + ref.Kind + "/" + ref.Name
	if other, taken := c.seen[workload]; taken {
		c.note("spec.targetRef", "%s binds the same workload: nothing was made; decide for one of the two", other)
		return
	}
	c.seen[workload] = c.of

	s := settings{mode: c.mode(v)}
	if s.mode == v1alpha1.UpdateModeInPlace { // never evicts
		s.fallback, s.governed = v1alpha1.FallbackHold, true
	}
	c.boost(&s, v.Spec.StartupBoost, "spec.startupBoost")
	if p := v.Spec.ResourcePolicy; p != nil {
		c.containers(&s, p.ContainerPolicies)
	}
	if len(v.Spec.Recommenders) > 0 {
		c.note("spec.recommenders", "there is one recommender here; %s is not called", v.Spec.Recommenders[0].Name)
	}
	if !c.options.KeepModes {
		s.mode = v1alpha1.UpdateModePreview
	}
	c.write(v, apiVersion, &s)
}

// builtin is the API version of a kind that a VerticalPodAutoscaler may name without one.
func builtin(kind string) string {
	switch kind {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		return "apps/v1"
	case "Job", "CronJob":
		return "batch/v1"
	case "ReplicationController":
		return "v1"
	}
	return ""
}

func (c *converter) mode(v *VPA) v1alpha1.UpdateMode {
	p := v.Spec.UpdatePolicy
	if p == nil {
		return v1alpha1.UpdateModeReCreate // its default
	}
	if p.MinReplicas != nil {
		c.note("spec.updatePolicy.minReplicas", "evictions here keep to PodDisruptionBudgets, and the only replica of a workload is rolled, not evicted; where %d replicas must stay, say so in a budget", *p.MinReplicas)
	}
	if len(p.EvictionRequirements) > 0 && string(p.EvictionRequirements) != "null" {
		c.note("spec.updatePolicy.evictionRequirements", "changes go both ways here, past the drift thresholds (driftThresholds, driftBase)")
	}
	if p.EvictAfterOOMSeconds != nil {
		c.note("spec.updatePolicy.evictAfterOOMSeconds", "an OOM kill raises the memory at once here, whenever it happens")
	}
	switch ptr.Deref(p.UpdateMode, "Recreate") {
	case "Off":
		return v1alpha1.UpdateModePreview
	case "Initial":
		return v1alpha1.UpdateModeOnCreate
	case "Recreate", "Auto":
		return v1alpha1.UpdateModeReCreate
	case "InPlaceOrRecreate":
		return v1alpha1.UpdateModeAuto
	case "InPlace":
		return v1alpha1.UpdateModeInPlace
	}
	c.note("spec.updatePolicy.updateMode", "%q is not known; the scaler starts in Preview", *p.UpdateMode)
	return v1alpha1.UpdateModePreview
}

// containers takes over what is said of containers. Bounds hold for all containers of a workload here.
func (c *converter) containers(s *settings, policies []VPAContainerPolicy) {
	several, first := len(policies) > 1, true
	for i := range policies {
		p := &policies[i]
		field := "spec.resourcePolicy.containerPolicies[" + p.ContainerName + "]"
		if ptr.Deref(p.Mode, "Auto") == "Off" {
			c.note(field+".mode", "Off: every container of a workload's template is changed here; the workload starts in Preview")
			s.mode = v1alpha1.UpdateModePreview
			continue // its bounds bound nothing
		}
		c.bounds(s, p.MinAllowed, field+".minAllowed", several, lower)
		c.bounds(s, p.MaxAllowed, field+".maxAllowed", several, higher)
		c.controlled(s, p, first, field)
		first = false
		c.memory(s, p, field)
		c.boost(s, p.StartupBoost, field+".startupBoost")
	}
}

type which bool

const (
	lower  which = false // a least: the lowest of several holds
	higher which = true
)

func (c *converter) bounds(s *settings, bounds corev1.ResourceList, field string, several bool, w which) {
	for _, name := range sortedNames(bounds) {
		var estimate *v1alpha1.ResourceEstimate
		switch name {
		case corev1.ResourceCPU:
			estimate = &s.estimate.CPU
		case corev1.ResourceMemory:
			estimate = &s.estimate.Memory
		default:
			c.note(field, "only cpu and memory are managed; %s was left out", name)
			continue
		}
		s.estimated = true
		held := &estimate.Min
		if w == higher {
			held = &estimate.Max
		}
		q := bounds[name]
		if *held == nil || (q.Cmp(**held) > 0) == bool(w) {
			*held = ptr.To(q.DeepCopy())
		}
		if several {
			c.note(field, "bounds hold for all containers of a workload here: %s is bounded by %s, the widest of them", name, (*held).String())
		}
	}
}

// resources takes over what is controlled: the same for all containers of a workload here, so that of several containers which differ
// the least is: what each of them has controlled.
func (c *converter) resources(s *settings, controlled []corev1.ResourceName, first bool, field string) {
	both := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
	if controlled == nil {
		controlled = both // its default
	}
	before := s.resources
	if first || before == nil {
		before = both
	}
	now := slices.DeleteFunc(slices.Clone(before), func(name corev1.ResourceName) bool { return !slices.Contains(controlled, name) })
	if len(now) == 0 {
		c.note(field, "no resource is controlled of every container; the workload starts in Preview")
		s.mode = v1alpha1.UpdateModePreview
		return
	}
	if !first && (len(now) != len(before) || slices.ContainsFunc(both, func(name corev1.ResourceName) bool {
		return slices.Contains(controlled, name) && !slices.Contains(now, name)
	})) {
		c.note(field, "what is changed is the same for all containers of a workload here: %s", join(now))
	}
	if len(now) < len(both) {
		s.resources, s.governed = now, true
	}
}

func (c *converter) controlled(s *settings, p *VPAContainerPolicy, first bool, field string) {
	c.resources(s, p.ControlledResources, first, field+".controlledResources")
	if ptr.Deref(p.ControlledValues, "RequestsAndLimits") == "RequestsAndLimits" && p.ControlledValues != nil {
		c.note(field+".controlledValues", "limits stay as they are here and requests stay within them; to move limits too set limitPolicies to Multiplier with the ratio wanted")
	}
}

func (c *converter) memory(s *settings, p *VPAContainerPolicy, field string) {
	if q := p.OOMBumpUpRatio; q != nil {
		step := quantityFactor(*resource.NewMilliQuantity((q.MilliValue()-1000)*100, resource.DecimalSI))
		if q.MilliValue() <= 1000 {
			c.note(field+".oomBumpUpRatio", "%s raises nothing; the default step of 20%% holds", q.String())
		} else {
			s.estimate.OOM.Step, s.estimated = step+"%", true
		}
	}
	if p.OOMMinBumpUp != nil {
		c.note(field+".oomMinBumpUp", "the step after an OOM kill is a share here, not an amount; see oom.step of the RecommendationPolicy")
	}
	if p.MemoryAggregationIntervalSeconds != nil || p.MemoryAggregationIntervalCount != nil {
		window := time.Duration(ptr.Deref(p.MemoryAggregationIntervalSeconds, 86400)) * time.Second * time.Duration(ptr.Deref(p.MemoryAggregationIntervalCount, 8))
		const longest = 30 * 24 * time.Hour
		if window > longest || window <= 0 {
			c.note(field+".memoryAggregationIntervalCount", "the lookback is at most 30d here")
			window = longest
		}
		s.estimate.Memory.Lookback, s.estimated = fmt.Sprintf("%dm", max(1, int64(window.Minutes()))), true
	}
}

// maxBoost is the highest factor of a startup boost.
const maxBoost = 5

func (c *converter) boost(s *settings, b *VPAStartupBoost, field string) {
	if b == nil || b.CPU == nil {
		return
	}
	if b.CPU.Type != "Factor" || b.CPU.Factor == nil {
		c.note(field+".cpu", "a boost is a factor here, not an amount: it was left out; see startupBoost.cpuMultiplier")
		return
	}
	factor := *b.CPU.Factor
	if factor > maxBoost {
		c.note(field+".cpu.factor", "%d is more than a boost may be; %d holds", factor, maxBoost)
		factor = maxBoost
	}
	s.governed = true
	s.boost = &v1alpha1.StartupBoost{
		Enabled: true, CPUMultiplier: fmt.Sprint(max(1, factor)),
		MinReady: &metav1.Duration{Duration: time.Duration(ptr.Deref(b.CPU.DurationSeconds, 0)) * time.Second},
	}
}

func join(names []corev1.ResourceName) string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, string(n))
	}
	return strings.Join(out, ", ")
}

// policyName is a name for the policies of a VerticalPodAutoscaler, which have no namespace to tell them apart by: namespace a-b with c,
// and a with b-c, would share one.
func (c *converter) policyName(namespace, name string) string {
	out := namespace + "-" + name
	if c.names[out] || len(out) > validation.DNS1123SubdomainMaxLength {
		sum := sha256.Sum256([]byte(namespace + "/" + name))
		out = strings.TrimRight(out[:min(len(out), validation.DNS1123SubdomainMaxLength-9)], "-.") + "-" + hex.EncodeToString(sum[:4])
	}
	c.names[out] = true
	return out
}

// write makes the objects.
func (c *converter) write(v *VPA, apiVersion string, s *settings) {
	ref := v.Spec.TargetRef
	policyName := c.policyName(v.Metadata.Namespace, v.Metadata.Name)
	kind := func(name string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: name}
	}
	scaler := &v1alpha1.WorkloadScaler{TypeMeta: kind("WorkloadScaler")}
	scaler.Namespace, scaler.Name = v.Metadata.Namespace, v.Metadata.Name
	scaler.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: apiVersion, Kind: ref.Kind, Name: ref.Name}
	scaler.Spec.Resources.UpdatePolicy.UpdateMode = s.mode
	c.out.Objects = append(c.out.Objects, scaler)
	if !s.estimated && !s.governed {
		return
	}
	policy := &v1alpha1.AutoscalingPolicy{TypeMeta: kind("AutoscalingPolicy"), Spec: v1alpha1.AutoscalingPolicySpec{
		Priority:        1, // before the policies that hold for many
		TargetRefs:      []v1alpha1.WorkloadSelector{{Kind: ref.Kind, Namespace: v.Metadata.Namespace, Name: ref.Name}},
		UpdateSchedule:  []v1alpha1.ScheduleItem{{Name: "always", Mode: scheduled(s.mode)}},
		UpdateResources: s.resources, StartupBoost: s.boost,
		InPlaceFallback: v1alpha1.InPlaceFallback{DefaultPolicy: s.fallback},
	}}
	policy.Name = policyName
	if s.estimated {
		estimate := &v1alpha1.RecommendationPolicy{TypeMeta: kind("RecommendationPolicy"), Spec: s.estimate}
		estimate.Name = policyName
		policy.Spec.RecommendationPolicyName = policyName
		c.out.Objects = append(c.out.Objects, estimate)
	}
	c.out.Objects = append(c.out.Objects, policy)
}

// scheduled is a mode in the words of a schedule, which has no Preview and falls back by inPlaceFallback instead of by Auto.
func scheduled(m v1alpha1.UpdateMode) v1alpha1.UpdateMode {
	switch m {
	case v1alpha1.UpdateModePreview:
		return v1alpha1.UpdateModeOff
	case v1alpha1.UpdateModeAuto:
		return v1alpha1.UpdateModeInPlace
	case v1alpha1.UpdateModeOff, v1alpha1.UpdateModeOnCreate, v1alpha1.UpdateModeReCreate, v1alpha1.UpdateModeInPlace:
	}
	return m
}
