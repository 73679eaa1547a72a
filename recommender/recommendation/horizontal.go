package recommendation

import (
	"context"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/governance"
)

// Autoscaler is the HorizontalPodAutoscaler that a scaler asks for: CPU at 70% and the queue, up by 100% in 60 s after 60 s, down by 50%
// in 60 s after 300 s. The scaler must have spec.horizontal.
func Autoscaler(s *v1alpha1.WorkloadScaler) *autoscalingv2.HorizontalPodAutoscaler {
	h := s.Spec.Horizontal
	utilization := h.CPUUtilizationPercent
	if utilization == 0 {
		utilization = 70
	}
	metrics := []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &utilization},
	}}}
	if h.Queue != nil {
		metrics = append(metrics, autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: h.Queue.Metric, Selector: h.Queue.Selector},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: ptr.To(h.Queue.AverageValue)},
		}})
	}
	by := func(percent, window int32) *autoscalingv2.HPAScalingRules {
		return &autoscalingv2.HPAScalingRules{
			StabilizationWindowSeconds: &window, SelectPolicy: ptr.To(autoscalingv2.MaxChangePolicySelect),
			Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PercentScalingPolicy, Value: percent, PeriodSeconds: 60}},
		}
	}
	out := &autoscalingv2.HorizontalPodAutoscaler{}
	out.Namespace, out.Name = s.Namespace, s.Name
	out.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "WorkloadScaler", Name: s.Name, UID: s.UID, Controller: ptr.To(true),
	}}
	out.Spec = autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{
			APIVersion: s.Spec.TargetRef.APIVersion, Kind: s.Spec.TargetRef.Kind, Name: s.Spec.TargetRef.Name,
		},
		MinReplicas: ptr.To(max(h.MinReplicas, 1)), MaxReplicas: h.MaxReplicas, Metrics: metrics,
		Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: by(100, 60), ScaleDown: by(50, 300)},
	}
	return out
}

// horizontal makes, changes or removes the autoscaler of a scaler. One that somebody else made is left alone. asked is the mode that
// the scaler or its policy states, before anything else bears on it.
func (r *Reconciler) horizontal(ctx context.Context, v *view, asked v1alpha1.UpdateMode) error {
	wanted := governance.Optimizes(v.scaler, v1alpha1.OptimizeReplicas) && v.scaler.Spec.Horizontal != nil
	have := &autoscalingv2.HorizontalPodAutoscaler{}
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(v.scaler), have)
	switch {
	case apierrors.IsNotFound(err):
		have = nil
	case err != nil:
		return fmt.Errorf("reading the horizontalpodautoscaler of workloadscaler %s/%s, %w", v.scaler.Namespace, v.scaler.Name, err)
	}
	ours := have != nil && metav1.IsControlledBy(have, v.scaler)
	switch {
	case v.governing.Paused || v.governing.Protected || governance.TargetOf(v.workload).Disabled():
		return nil // nothing is changed, in either direction
	case !wanted && !ours:
		return nil
	case !wanted:
		if err := r.Client.Delete(ctx, have, client.Preconditions{UID: &have.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting horizontalpodautoscaler %s/%s, %w", have.Namespace, have.Name, err)
		}
		v.condition(v1alpha1.ConditionHorizontal, metav1.ConditionFalse, "NotWanted", "optimize lists no replicas any more")
		return nil
	case have != nil && !ours:
		v.condition(v1alpha1.ConditionHorizontal, metav1.ConditionFalse, "NameTaken",
			fmt.Sprintf("horizontalpodautoscaler %s was made by somebody else; delete it or take replicas out of optimize", have.Name))
		return nil
	case have == nil && !governance.Applies(asked):
		v.condition(v1alpha1.ConditionHorizontal, metav1.ConditionFalse, "NotApplied", "it is made once the mode is none of Preview and Off")
		return nil
	}
	want := Autoscaler(v.scaler)
	if have == nil {
		if err := r.Client.Create(ctx, want); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating horizontalpodautoscaler %s/%s, %w", want.Namespace, want.Name, err)
		}
	} else if !equality.Semantic.DeepEqual(have.Spec, want.Spec) {
		changed := have.DeepCopy()
		changed.Spec = want.Spec
		if err := r.Client.Patch(ctx, changed, client.MergeFromWithOptions(have, client.MergeFromWithOptimisticLock{})); err != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("changing horizontalpodautoscaler %s/%s, %w", want.Namespace, want.Name, err)
		}
	}
	v.condition(v1alpha1.ConditionHorizontal, metav1.ConditionTrue, "Made", "")
	return nil
}
