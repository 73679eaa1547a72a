package scenarios

import (
	"context"
	"fmt"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
)

// quick is a RecommendationPolicy that trusts what it has seen at once.
func quick() *v1alpha1.RecommendationPolicy {
	p := &v1alpha1.RecommendationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "quick"}}
	p.Spec.Confidence = v1alpha1.ConfidencePolicy{MinWatched: metav1.Duration{Duration: time.Second}, Coverage: "0%"}
	return p
}

// has is a condition: the only pod of a Deployment was neither restarted nor replaced, and asks for as much as the check wants.
func (w *world) has(deployment string, check func(r corev1.ResourceRequirements) bool) func(context.Context) string {
	return func(ctx context.Context) string {
		pods := w.pods(deployment)
		if len(pods) != 1 || len(pods[0].Status.ContainerStatuses) != 1 || pods[0].Status.ContainerStatuses[0].RestartCount != 0 {
			return fmt.Sprintf("%d pods", len(pods))
		}
		if r := pods[0].Spec.Containers[0].Resources; !check(r) {
			return fmt.Sprintf("requests %v, limits %v; %s", r.Requests, r.Limits, conditions(w.scaler(ctx, deployment).Status.Conditions))
		}
		return ""
	}
}

// TestWorkloadsOfEachShapeAreChangedAsTheirPolicySays resizes, in one world, workloads that each need something of their own.
func TestWorkloadsOfEachShapeAreChangedAsTheirPolicySays(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	java := func(options string) func(*corev1.PodTemplateSpec) {
		return func(p *corev1.PodTemplateSpec) {
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "JAVA_TOOL_OPTIONS", Value: options}}
		}
	}
	limited := func(cpu, memory string) func(*corev1.PodTemplateSpec) {
		return func(p *corev1.PodTemplateSpec) {
			limits := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}
			if cpu != "" {
				limits[corev1.ResourceCPU] = resource.MustParse(cpu)
			}
			p.Spec.Containers[0].Resources.Limits = limits
		}
	}
	heap, share, same, half := greedy("heap", 1, java("-Xmx512m")), greedy("share", 1, java("-XX:MaxRAMPercentage=75"), limited("", "1Gi")),
		greedy("same", 1, limited("1", "1Gi")), greedy("half", 1)
	scaled, apart, queue := greedy("scaled", 1), greedy("apart", 1), greedy("queue", 1)
	apart.Annotations = map[string]string{v1alpha1.DisabledAnnotation: "true"}
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "scaled"}}
	hpa.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "scaled"}
	hpa.Spec.MaxReplicas = 5
	hpa.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](70)},
	}}}
	w.create(heap, share, same, half, scaled, apart, queue, hpa, quick())
	inPlace := func(name string, change ...func(*v1alpha1.AutoscalingPolicySpec)) *v1alpha1.AutoscalingPolicy {
		return autoscaling(name, v1alpha1.UpdateModeInPlace, name, append(change, func(s *v1alpha1.AutoscalingPolicySpec) { s.RecommendationPolicyName = "quick" })...)
	}
	doubled := func(s *v1alpha1.AutoscalingPolicySpec) {
		s.LimitPolicies = map[corev1.ResourceName]v1alpha1.LimitPolicy{corev1.ResourceMemory: {Policy: v1alpha1.LimitMultiplier, Multiplier: "2"}}
		s.InPlaceFallback.ReasonPolicies = map[string]v1alpha1.FallbackPolicy{string(v1alpha1.ReasonJVMHeapDrift): v1alpha1.FallbackHold}
	}
	w.create(inPlace("heap"), inPlace("share", doubled), inPlace("same", func(s *v1alpha1.AutoscalingPolicySpec) { s.QOSClass = v1alpha1.QOSPreserve }),
		inPlace("half", func(s *v1alpha1.AutoscalingPolicySpec) {
			s.Priority, s.UpdateResources = 10, []corev1.ResourceName{corev1.ResourceCPU}
		}),
		inPlace("scaled"), inPlace("apart"), inPlace("queue"))
	rival := inPlace("half") // for the same workload, with both resources: of lower priority
	rival.Name = "rival"
	w.create(rival)
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 7))
	w.withRecommender(nil)
	for _, name := range []string{"heap", "share", "same", "half", "scaled", "apart"} {
		w.create(scaler(name, v1alpha1.UpdateModePreview))
	}
	both := scaler("queue", v1alpha1.UpdateModePreview)
	both.Spec.Optimize = []v1alpha1.OptimizeScope{v1alpha1.OptimizeResource, v1alpha1.OptimizeReplicas}
	both.Spec.Horizontal = &v1alpha1.HorizontalScaling{MaxReplicas: 4, Queue: &v1alpha1.QueueMetric{Metric: "jobs_waiting", AverageValue: resource.MustParse("30")}}
	w.create(both)
	small := func(q *resource.Quantity) bool { return q.MilliValue() <= 120 }

	t.Run("memory of a JVM does not shrink below its heap", func(t *testing.T) {
		w.eventually("heap is resized", w.has("heap", func(r corev1.ResourceRequirements) bool {
			return small(r.Requests.Cpu()) && r.Requests.Memory().String() == "896Mi"
		}))
		if s := w.scaler(t.Context(), "heap"); s.Labels[v1alpha1.RuntimeLabel] != v1alpha1.RuntimeJava {
			t.Errorf("labels %v", s.Labels)
		}
	})
	t.Run("another limit under MaxRAMPercentage is JVMHeapDrift and is held where the policy says so", func(t *testing.T) {
		w.eventually("share says so", func(ctx context.Context) string {
			s := w.scaler(ctx, "share")
			if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionApplied); c == nil || c.Reason != "JVMHeapDrift" {
				return conditions(s.Status.Conditions)
			}
			return ""
		})
		if broken := w.has("share", func(r corev1.ResourceRequirements) bool { return r.Limits.Memory().String() == "1Gi" })(t.Context()); broken != "" {
			t.Error(broken)
		}
	})
	t.Run("a Guaranteed pod stays Guaranteed in place", func(t *testing.T) {
		w.eventually("same is resized", w.has("same", func(r corev1.ResourceRequirements) bool {
			return small(r.Requests.Cpu()) && r.Requests.Cpu().Equal(*r.Limits.Cpu()) && r.Requests.Memory().Value() < 256<<20 && r.Requests.Memory().Equal(*r.Limits.Memory())
		}))
	})
	t.Run("of two policies the one of higher priority holds, and only its resource is changed", func(t *testing.T) {
		w.eventually("half is resized", w.has("half", func(r corev1.ResourceRequirements) bool { return small(r.Requests.Cpu()) }))
		before := w.pods("half")[0].Generation
		w.throughout(4*time.Second, "the two do not take turns", func(ctx context.Context) string {
			if is := w.pods("half")[0].Generation; is != before {
				return fmt.Sprintf("generation %d, then %d", before, is)
			}
			return w.has("half", func(r corev1.ResourceRequirements) bool { return r.Requests.Memory().String() == "1Gi" })(ctx)
		})
	})
	t.Run("what an HPA scales on is left alone, and the rest is not", func(t *testing.T) {
		w.eventually("scaled is resized", w.has("scaled", func(r corev1.ResourceRequirements) bool {
			return r.Requests.Cpu().String() == "1" && r.Requests.Memory().Value() < 256<<20
		}))
	})
	t.Run("a workload that opted out is recommended for and left alone", func(t *testing.T) {
		w.eventually("apart is recommended", func(ctx context.Context) string {
			s := w.scaler(ctx, "apart")
			if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionApplied); s.Status.Recommendation == nil || c == nil || c.Reason != "Disabled" {
				return conditions(s.Status.Conditions)
			}
			return w.has("apart", func(r corev1.ResourceRequirements) bool { return r.Requests.Cpu().String() == "1" })(ctx)
		})
	})
	t.Run("where replicas are optimized too, an HPA is made once, and CPU left to it", func(t *testing.T) {
		w.eventually("queue is resized", w.has("queue", func(r corev1.ResourceRequirements) bool {
			return r.Requests.Cpu().String() == "1" && r.Requests.Memory().Value() < 256<<20
		}))
		made := &autoscalingv2.HorizontalPodAutoscaler{}
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(both), made); err != nil {
			t.Fatal(err)
		}
		if len(made.Spec.Metrics) != 2 || *made.Spec.Behavior.ScaleDown.StabilizationWindowSeconds != 300 {
			t.Errorf("%+v", made.Spec)
		}
		if n := w.requested("patch", "/horizontalpodautoscalers/queue"); n != 0 {
			t.Errorf("it was changed %d times after it was made", n)
		}
	})
	t.Run("a changed LimitRange regenerates at once", func(t *testing.T) {
		lr := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "bounds"}}
		lr.Spec.Limits = []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Min: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("300m")}}}
		w.create(lr)
		w.eventually("half is resized to the minimum", w.has("half", func(r corev1.ResourceRequirements) bool { return r.Requests.Cpu().String() == "300m" }))
	})
	w.nothingWasForbidden()
}
