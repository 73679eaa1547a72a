// Package governance reads which policies, switches and autoscalers govern a workload at this moment.
//
// It gathers what recommender/policy decides on; applying the decision is left to recommender/resize and recommender/admission,
// which both ask here, so that a running pod and a new one are never governed by different rules.
package governance

import (
	"context"
	"fmt"
	"maps"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/workload"
)

const (
	// SwitchName is the ConfigMap, in the namespace of the installation, with the switches of the whole cluster.
	SwitchName = "supercargo"
	// PausedKey of the ConfigMap: "true" stops every change to pods and workloads, recommendations go on.
	PausedKey = "paused"
)

// ProtectedNamespaces are never changed, whatever a policy selects: their pods keep the cluster alive, or are our own.
func ProtectedNamespaces(own string) sets.Set[string] {
	return sets.New(own, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease)
}

// Governor reads what governs workloads.
type Governor struct {
	// Reader is a cache.
	Reader client.Reader
	Clock  clock.PassiveClock
	// Namespace of the installation.
	Namespace string
}

// Governing is what governs a workload at one moment.
type Governing struct {
	// Policy that matched; nil where the scaler's own update policy holds.
	Policy *v1alpha1.AutoscalingPolicy
	// Rules of the policy, or the defaults, without the resources that are held.
	Rules policy.Rules
	// Active schedule item and mode.
	Active policy.Active
	// Asked is the mode that the scaler or its policy states, before anything held back bears on it.
	Asked v1alpha1.UpdateMode
	// Estimate is how the numbers are computed; where Problem is set, the defaults, so that what happens meanwhile is not lost.
	Estimate estimate.Policy
	// Fit shapes requests to fill a typical node; nil: they are not shaped.
	Fit *policy.NodeFit
	// EstimateName is the RecommendationPolicy; empty for the defaults.
	EstimateName string
	// PolicyHash identifies the spec of the RecommendationPolicy.
	PolicyHash string
	// Problem says why no recommendation can be computed, for a condition; nil where it can.
	Problem *Problem
	// Held names the resources that are left alone, and why.
	Held map[corev1.ResourceName]string
	// ByHand is true where a person turned this one workload on.
	ByHand bool
	// Removal is what becomes of the pods because the policy that governed them went, with its name; nil where nothing does.
	Removal *Removal
	// Paused by the cluster-wide switch.
	Paused bool
	// Protected is true in a namespace that is never changed.
	Protected bool
}

// Removal is a policy that went, and how the pods get back what they asked for.
type Removal struct {
	AutoscalingPolicy string
	Plan              v1alpha1.RemovalPlan
}

// Problem is a reason in CamelCase and a message.
type Problem struct{ Reason, Message string }

// TargetOf describes a workload to recommender/policy. A Java workload has the runtime label besides its own.
func TargetOf(w *workload.Workload) policy.Target {
	t := policy.Target{
		Kind: w.GVK.Kind, Namespace: w.Object.GetNamespace(), Name: w.Object.GetName(),
		Labels: w.Object.GetLabels(), Annotations: w.Object.GetAnnotations(),
	}
	if policy.RunsJava(w.Spec()) {
		t.Labels = maps.Clone(t.Labels)
		if t.Labels == nil {
			t.Labels = map[string]string{}
		}
		t.Labels[v1alpha1.RuntimeLabel] = v1alpha1.RuntimeJava
	}
	return t
}

// For reads what governs the workload of a scaler now.
func (g *Governor) For(ctx context.Context, s *v1alpha1.WorkloadScaler, w *workload.Workload) (Governing, error) {
	var policies v1alpha1.AutoscalingPolicyList
	if err := g.Reader.List(ctx, &policies); err != nil {
		return Governing{}, fmt.Errorf("listing autoscalingpolicies, %w", err)
	}
	out := Governing{
		Policy:    policy.Resolve(policies.Items, TargetOf(w)),
		Protected: ProtectedNamespaces(g.Namespace).Has(s.Namespace),
	}
	if err := g.rules(&out, s); err != nil {
		return Governing{}, err
	}
	out.Asked = out.Active.Mode
	if was := s.Status.Policy; out.Policy == nil && was != nil && was.OnRemoval != nil && !Applies(out.Active.Mode) &&
		policy.Removed(policies.Items, was.AutoscalingPolicy) {
		out.Removal = &Removal{AutoscalingPolicy: was.AutoscalingPolicy, Plan: *was.OnRemoval}
		out.Rules.Fallback = was.OnRemoval.InPlaceFallback
	}
	if err := g.ranges(ctx, &out, s.Namespace); err != nil {
		return Governing{}, err
	}
	if err := g.estimate(ctx, &out, w); err != nil {
		return Governing{}, err
	}
	if err := g.hold(ctx, &out, w); err != nil {
		return Governing{}, err
	}
	var err error
	out.Paused, err = g.Paused(ctx)
	return out, err
}

func (g *Governor) rules(out *Governing, s *v1alpha1.WorkloadScaler) error {
	var spec *v1alpha1.AutoscalingPolicySpec
	if out.Policy == nil {
		out.Active = policy.Active{Mode: s.Spec.Resources.UpdatePolicy.UpdateMode}
		if out.Active.Mode == "" {
			out.Active.Mode = v1alpha1.UpdateModePreview
		}
		out.ByHand = policy.SetByHand(s) && Applies(out.Active.Mode)
	} else {
		spec = &out.Policy.Spec
		schedule, invalid := policy.ParseSchedule(spec.UpdateSchedule, nil)
		if len(invalid) > 0 { // policy.Resolve leaves invalid policies out
			return fmt.Errorf("reading the schedule of autoscalingpolicy %s, %w", out.Policy.Name, invalid.ToAggregate())
		}
		out.Active = schedule.At(g.Clock.Now())
	}
	var err error
	if out.Rules, err = policy.ParseRules(spec); err != nil {
		return fmt.Errorf("reading the rules of autoscalingpolicy %s, %w", out.Policy.Name, err)
	}
	return nil
}

// ranges adds the namespace's LimitRanges to the rules: they win over every policy.
func (g *Governor) ranges(ctx context.Context, out *Governing, namespace string) error {
	var list corev1.LimitRangeList
	if err := g.Reader.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing limitranges, %w", err)
	}
	for i := range list.Items {
		out.Rules.LimitRanges = append(out.Rules.LimitRanges, corev1.LimitRange{Spec: list.Items[i].Spec})
	}
	return nil
}

// Applies says that a mode changes pods, new ones at least.
func Applies(m v1alpha1.UpdateMode) bool {
	switch m {
	case v1alpha1.UpdateModeOnCreate, v1alpha1.UpdateModeReCreate, v1alpha1.UpdateModeInPlace, v1alpha1.UpdateModeAuto:
		return true
	case v1alpha1.UpdateModePreview, v1alpha1.UpdateModeOff:
	}
	return false
}

func (g *Governor) estimate(ctx context.Context, out *Governing, w *workload.Workload) error {
	var spec v1alpha1.RecommendationPolicySpec
	out.Estimate = estimate.DefaultPolicy()
	defer func() {
		if w.GVK.Kind == "DaemonSet" { // nodes differ: what the average pod needs starves those on the largest nodes
			out.Estimate.CPU.Largest, out.Estimate.Memory.Largest, out.Estimate.CPU.Pattern = true, true, false
		}
	}()
	if out.Policy != nil && out.Policy.Spec.RecommendationPolicyName != "" {
		out.EstimateName = out.Policy.Spec.RecommendationPolicyName
		p := &v1alpha1.RecommendationPolicy{}
		err := g.Reader.Get(ctx, types.NamespacedName{Name: out.EstimateName}, p)
		if apierrors.IsNotFound(err) {
			out.Problem = &Problem{"RecommendationPolicyNotFound", fmt.Sprintf(
				"autoscalingpolicy %s names recommendationpolicy %s, which does not exist", out.Policy.Name, out.EstimateName)}
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading recommendationpolicy %s, %w", out.EstimateName, err)
		}
		spec = p.Spec
	}
	out.PolicyHash = policy.HashSpec(spec)
	parsed, err := estimate.ParsePolicy(spec)
	if err != nil {
		out.Problem = &Problem{"RecommendationPolicyInvalid", fmt.Sprintf("recommendationpolicy %s, %v", out.EstimateName, err)}
		return nil
	}
	out.Estimate = parsed
	if out.Fit, err = policy.ParseNodeFit(spec.NodeFit, out.Estimate.Memory.Overhead); err != nil {
		out.Problem = &Problem{"RecommendationPolicyInvalid", fmt.Sprintf("recommendationpolicy %s, %v", out.EstimateName, err)}
	}
	return nil
}

// hold leaves alone what a HorizontalPodAutoscaler scales on by utilisation: changing the request would move its scale point, so
// that the two chase each other.
func (g *Governor) hold(ctx context.Context, out *Governing, w *workload.Workload) error {
	var hpas autoscalingv2.HorizontalPodAutoscalerList
	if err := g.Reader.List(ctx, &hpas, client.InNamespace(w.Object.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing horizontalpodautoscalers, %w", err)
	}
	for i := range hpas.Items {
		h := &hpas.Items[i]
		if ref := h.Spec.ScaleTargetRef; ref.Kind != w.GVK.Kind || ref.Name != w.Object.GetName() || !sameGroup(ref.APIVersion, w.GVK.Group) {
			continue
		}
		for _, name := range utilisation(h.Spec.Metrics) {
			if out.Held == nil {
				out.Held = map[corev1.ResourceName]string{}
			}
			out.Held[name] = fmt.Sprintf("horizontalpodautoscaler %s scales on its utilisation", h.Name)
		}
	}
	out.withoutHeld()
	return nil
}

func (g *Governing) withoutHeld() {
	if len(g.Held) == 0 {
		return
	}
	if g.Rules.Boost != nil { // a boosted request moves the scale point as any other does
		boost := *g.Rules.Boost
		if _, held := g.Held[corev1.ResourceCPU]; held {
			boost.CPU = 1
		}
		if _, held := g.Held[corev1.ResourceMemory]; held {
			boost.Memory = 1
		}
		g.Rules.Boost = &boost
	}
	managed := g.Rules.Resources
	if len(managed) == 0 {
		managed = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
	}
	kept := make([]corev1.ResourceName, 0, len(managed))
	for _, name := range managed {
		if _, held := g.Held[name]; !held {
			kept = append(kept, name)
		}
	}
	g.Rules.Resources = kept
	if len(kept) == 0 { // an empty list would mean both
		g.Active.Mode = v1alpha1.UpdateModePreview
	}
}

func sameGroup(apiVersion, group string) bool {
	head, _, found := strings.Cut(apiVersion, "/")
	if !found {
		return group == ""
	}
	return head == group
}

// utilisation lists cpu and memory where metrics compare usage with requests. No metrics at all means 80% of cpu.
func utilisation(metrics []autoscalingv2.MetricSpec) []corev1.ResourceName {
	if len(metrics) == 0 {
		return []corev1.ResourceName{corev1.ResourceCPU}
	}
	var out []corev1.ResourceName
	for i := range metrics {
		m := &metrics[i]
		switch {
		case m.Resource != nil && m.Resource.Target.Type == autoscalingv2.UtilizationMetricType:
			out = append(out, m.Resource.Name)
		case m.ContainerResource != nil && m.ContainerResource.Target.Type == autoscalingv2.UtilizationMetricType:
			out = append(out, m.ContainerResource.Name)
		}
	}
	return out
}

// Paused reads the cluster-wide switch. Where it cannot be read the answer is an error, and nothing is to be changed.
func (g *Governor) Paused(ctx context.Context) (bool, error) {
	cm := &corev1.ConfigMap{}
	err := g.Reader.Get(ctx, types.NamespacedName{Namespace: g.Namespace, Name: SwitchName}, cm)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("reading the pause switch, %w", err)
	}
	return strings.EqualFold(strings.TrimSpace(cm.Data[PausedKey]), "true"), nil
}
