package resize

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// RolloutAnnotation of a pod template holds the hash of the recommendation for which it was rolled out.
const RolloutAnnotation = v1alpha1.GroupName + "/rollout"

// recreate replaces one pod, by a rolling update where it is the only one and nothing binds it to a volume, else by eviction. It
// always stops the pass: pods are replaced one by one.
func (a *Applier) recreate(ctx context.Context, r Request, s policy.Situation, c Change, out *Outcome) (acted, stop bool, err error) {
	s.AdmissionProven = true // asked last, since it costs a request
	if v := policy.RecreateGates().Check(s); v.Stop {
		out.hold(v.Reason, "pod %s: %s", c.Pod.Name, v.Message)
		return false, true, nil
	}
	if name := a.unmutated(r); name != "" {
		out.hold("AdmissionNotEffective", "pod %s was created after the last change and does not carry the recommendation: "+
			"replacing more pods would change nothing", name)
		return false, true, nil
	}
	if s.AdmissionProven, err = a.prover.Proven(ctx); err != nil {
		return false, true, err
	}
	if v := policy.RecreateGates().Check(s); v.Stop {
		out.hold(v.Reason, "pod %s: %s", c.Pod.Name, v.Message)
		out.again(time.Minute)
		return false, true, nil
	}
	wait, ok, err := a.limiter.Take(ctx, KindRecreate, r.Workload.Key())
	if err != nil {
		return false, true, err
	}
	if !ok {
		out.hold("RateLimited", "the rate of replacements is spent; the next may come in %s", wait.Round(time.Second))
		out.again(wait)
		return false, true, nil
	}
	if deployment, single := r.Workload.Object.(*appsv1.Deployment); single && r.Workload.Replicas == 1 && !r.Workload.HasVolumeClaims() {
		return true, true, a.rollOut(ctx, r, deployment, c, out)
	}
	return true, true, a.evict(ctx, r, c, out)
}

// unmutated names a pod that was created after the last change without getting a recommendation, "" where there is none. It is what
// an eviction loop looks like from inside (kubernetes/autoscaler#7392).
func (a *Applier) unmutated(r Request) string {
	last := r.Scaler.Status.Applied.LastAppliedAt
	if last == nil || r.Scaler.Status.Applied.Recreated == 0 {
		return ""
	}
	for _, c := range r.Changes {
		if c.Pod.CreationTimestamp.After(last.Time) && c.Pod.Annotations[v1alpha1.RecommendationAnnotation] == "" {
			return c.Pod.Name
		}
	}
	return ""
}

func (a *Applier) evict(ctx context.Context, r Request, c Change, out *Outcome) error {
	eviction := &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: c.Pod.Namespace, Name: c.Pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &c.Pod.UID}},
	}
	target := &corev1.Pod{}
	target.Namespace, target.Name = c.Pod.Namespace, c.Pod.Name
	err := a.client.SubResource("eviction").Create(ctx, target, eviction)
	switch {
	case apierrors.IsTooManyRequests(err):
		out.hold("DisruptionBudget", "pod %s: %v", c.Pod.Name, err)
		out.again(soon)
		return nil
	case apierrors.IsForbidden(err):
		out.hold("EvictionForbidden", "pod %s: %v", c.Pod.Name, err)
		out.again(5 * time.Minute)
		return nil
	case err != nil:
		return ignoreGone(fmt.Errorf("evicting pod %s/%s, %w", c.Pod.Namespace, c.Pod.Name, err))
	}
	out.Recreated++
	a.recorder.Eventf(c.Pod, r.Scaler, corev1.EventTypeNormal, "EvictedForRecommendation", "Evict", "%s", describe(c.Deviations))
	a.recorder.Eventf(r.Scaler, c.Pod, corev1.EventTypeNormal, "PodEvicted", "Evict", "pod %s: %s", c.Pod.Name, describe(c.Deviations))
	return nil
}

func (a *Applier) rollOut(ctx context.Context, r Request, d *appsv1.Deployment, c Change, out *Outcome) error {
	if d.Spec.Template.Annotations[RolloutAnnotation] == c.Hash {
		out.hold("AdmissionNotEffective", "the deployment was rolled out for this recommendation already and its pod does not have it")
		return nil
	}
	b, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": d.UID},
		"spec":     map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]string{RolloutAnnotation: c.Hash}}}},
	})
	if err != nil {
		return fmt.Errorf("writing the rollout of deployment %s/%s, %w", d.Namespace, d.Name, err)
	}
	target := &appsv1.Deployment{}
	target.Namespace, target.Name = d.Namespace, d.Name
	if err := a.client.Patch(ctx, target, client.RawPatch(types.StrategicMergePatchType, b)); err != nil {
		return ignoreGone(fmt.Errorf("rolling out deployment %s/%s, %w", d.Namespace, d.Name, err))
	}
	out.Recreated++
	a.recorder.Eventf(r.Scaler, d, corev1.EventTypeNormal, "RolledOut", "RollOut", "rolling update of the only replica: %s", describe(c.Deviations))
	return nil
}
