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
	acted, err = a.replace(ctx, r, c, out)
	return acted, true, err
}

// replace takes from the rate and replaces one pod.
func (a *Applier) replace(ctx context.Context, r Request, c Change, out *Outcome) (acted bool, err error) {
	deployment, rolls := r.Workload.Object.(*appsv1.Deployment)
	rolls = rolls && r.Workload.Replicas == 1 && !r.Workload.HasVolumeClaims()
	if !rolls { // workloads that their budgets block must not spend the rate of the others
		if free, err := a.evictPod(ctx, c.Pod, out, true); err != nil || !free {
			return false, err
		}
	}
	wait, ok, err := a.limiter.Take(ctx, KindRecreate, r.Workload.Key())
	if err != nil {
		return false, err
	}
	if !ok {
		out.hold("RateLimited", "the rate of replacements is spent; the next may come in %s", wait.Round(time.Second))
		out.again(wait)
		return false, nil
	}
	if rolls {
		return true, a.rollOut(ctx, r, deployment, c, out)
	}
	return true, a.evict(ctx, r, c, out)
}

const (
	// successorWithin is how soon after a change a new pod counts as the successor of the pod that was replaced. Later ones come for other
	// reasons, such as a scale-up while the schedule said Off, and are right to carry no recommendation.
	successorWithin = 5 * time.Minute
	// successorTried is how long a successor that came up unchanged keeps others from being replaced: then one is tried again.
	successorTried = 24 * time.Hour
)

// unmutated names a pod that was created right after the last change without getting a recommendation, "" where there is none. It is
// what an eviction loop looks like from inside (kubernetes/autoscaler#7392).
func (a *Applier) unmutated(r Request) string {
	last := r.Scaler.Status.Applied.LastAppliedAt
	if last == nil || r.Scaler.Status.Applied.Recreated == 0 {
		return ""
	}
	for _, c := range r.Changes {
		after := c.Pod.CreationTimestamp.Sub(last.Time)
		if after > 0 && after <= successorWithin && a.clock.Since(c.Pod.CreationTimestamp.Time) < successorTried &&
			c.Pod.Annotations[v1alpha1.RecommendationAnnotation] == "" {
			return c.Pod.Name
		}
	}
	return ""
}

// evictPod evicts a pod, or as a dry run asks whether its budgets allow it. done is false where they do not, or the pod is gone.
func (a *Applier) evictPod(ctx context.Context, pod *corev1.Pod, out *Outcome, dryRun bool) (done bool, err error) {
	eviction := &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}},
	}
	if dryRun {
		eviction.DeleteOptions.DryRun = []string{metav1.DryRunAll}
	}
	target := &corev1.Pod{}
	target.Namespace, target.Name = pod.Namespace, pod.Name
	err = a.client.SubResource("eviction").Create(ctx, target, eviction)
	switch {
	case apierrors.IsTooManyRequests(err):
		out.hold("DisruptionBudget", "pod %s: %v", pod.Name, err)
		out.again(soon)
		return false, nil
	case apierrors.IsForbidden(err):
		out.hold("EvictionForbidden", "pod %s: %v", pod.Name, err)
		out.again(5 * time.Minute)
		return false, nil
	case err != nil:
		return false, ignoreGone(fmt.Errorf("evicting pod %s/%s, %w", pod.Namespace, pod.Name, err))
	}
	return true, nil
}

func (a *Applier) evict(ctx context.Context, r Request, c Change, out *Outcome) error {
	if done, err := a.evictPod(ctx, c.Pod, out, false); err != nil || !done {
		return err
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
