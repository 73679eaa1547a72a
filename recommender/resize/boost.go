package resize

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// boostRetry is how long new pods of a workload are not boosted after a boost could not be ended in place: the fallback replaces the
// pod, and its successor, boosted again, would have to be replaced too.
const boostRetry = 24 * time.Hour

// MayBoost says whether new pods of a workload may be boosted: the last boost could be ended, or that was long ago.
func MayBoost(s *v1alpha1.WorkloadScaler, now time.Time) bool {
	c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionStartupBoost)
	return c == nil || c.Status != metav1.ConditionFalse || now.Sub(c.LastTransitionTime.Time) >= boostRetry
}

// unboosted is what the end of its boost gives a pod.
func unboosted(pod *corev1.Pod) (map[string]corev1.ResourceRequirements, error) {
	return policy.ParseOriginals(pod.Annotations[v1alpha1.UnboostedResourcesAnnotation])
}

// endBoosts ends the startup boosts that are over, in place, and looks after those that have just ended. It asks neither mode nor
// drift nor the readiness of the workload: a boost is lent.
func (a *Applier) endBoosts(ctx context.Context, r Request, out *Outcome) error {
	for _, c := range r.Changes {
		if c.Pod.DeletionTimestamp != nil || a.recent.has(c.Pod.UID) {
			continue
		}
		if record, ours := recordOf(c.Pod); ours && record.Boost && record.Outcome == "" && !c.Boosted {
			if _, err := a.attendOne(ctx, r, c, record, out); err != nil {
				return err
			}
			continue
		}
		if !c.Boosted {
			continue
		}
		over, wait := policy.BoostOver(c.Pod, r.Rules.Boost, r.Situation.Now)
		if !over {
			out.again(wait)
			continue
		}
		if stop, err := a.endBoost(ctx, r, c, out); err != nil || stop {
			return err
		}
	}
	return nil
}

// endBoost ends the boost of one pod. stop says that nothing more is to be done in this pass.
func (a *Applier) endBoost(ctx context.Context, r Request, c Change, out *Outcome) (stop bool, err error) {
	if c.Desired, err = unboosted(c.Pod); err != nil {
		return false, fmt.Errorf("reading what pod %s/%s has without its boost, %w", c.Pod.Namespace, c.Pod.Name, err)
	}
	c.Current, c.Hash = policy.Containers(c.Pod.Spec), policy.Hash(c.Desired)
	for name := range c.Current {
		if _, ours := c.Desired[name]; !ours {
			delete(c.Current, name)
		}
	}
	if record, ok := recordOf(c.Pod); ok && record.Outcome != "" && record.Hash == c.Hash && a.clock.Since(record.At) < a.options.RetryAfter {
		return a.boostRefused(ctx, r, c, &policy.Refusal{Reason: record.Reason, Message: "the resize was refused or taken back before"}, out)
	}
	if policy.Hash(c.Current) == c.Hash { // it was ended, and its record was not written before we died
		return false, ignoreGone(annotate(ctx, a.client, c.Pod, map[string]string{v1alpha1.StartupBoostAnnotation: v1alpha1.BoostReverted}))
	}
	if refusal := policy.Predict(c.Pod, c.Desired, a.options.Predict); refusal != nil {
		return a.boostRefused(ctx, r, c, refusal, out)
	}
	wait, ok, err := a.limiter.Take(ctx, KindResize, r.Workload.Key())
	if err != nil || !ok {
		out.again(wait)
		return true, err
	}
	before, err := policy.Originals(c.Current)
	if err != nil {
		return false, err
	}
	a.recent.add(c.Pod.UID)
	err = resources(ctx, a.client, c.Pod, c.Desired)
	record := Record{Hash: c.Hash, Before: before, Boost: true}
	if refusal := classify(err); refusal != nil {
		a.recorder.Eventf(c.Pod, r.Scaler, corev1.EventTypeWarning, "BoostNotEnded", "Resize", "%s: %s", refusal.Reason, refusal.Message)
		record.Outcome, record.Reason = outcomeRefused, refusal.Reason
		if err := a.note(ctx, c.Pod, record, nil); err != nil {
			return true, ignoreGone(err)
		}
		return a.boostRefused(ctx, r, c, refusal, out)
	}
	if apierrors.IsForbidden(err) {
		out.hold("ResizeForbidden", "pod %s: %v", c.Pod.Name, err)
		out.again(5 * time.Minute)
		return true, nil
	}
	if err != nil {
		return true, ignoreGone(err)
	}
	if err := a.note(ctx, c.Pod, record, map[string]string{v1alpha1.StartupBoostAnnotation: v1alpha1.BoostReverted}); err != nil {
		return true, ignoreGone(err)
	}
	out.BoostsEnded++
	out.again(soon)
	a.recorder.Eventf(c.Pod, r.Scaler, corev1.EventTypeNormal, "BoostEnded", "Resize", "the startup boost is over: %s",
		describe(policy.Drift(c.Current, c.Desired, policy.Rules{})))
	return false, nil
}

// boostRefused falls back by the policy for the reason. The pod is replaced only once the scaler says that new pods are not boosted,
// or its successor would be in the same place.
func (a *Applier) boostRefused(ctx context.Context, r Request, c Change, refusal *policy.Refusal, out *Outcome) (stop bool, err error) {
	out.BoostFailed = fmt.Sprintf("pod %s: %s: %s", c.Pod.Name, refusal.Reason, refusal.Message)
	out.hold(string(refusal.Reason), "pod %s: its startup boost could not be ended: %s", c.Pod.Name, refusal.Message)
	if !a.fallsBack(r, refusal.Reason) {
		return false, nil
	}
	if MayBoost(r.Scaler, r.Situation.Now) {
		out.again(time.Second)
		return false, nil
	}
	s := r.Situation
	s.Pod = c.Pod
	_, stop, err = a.recreate(ctx, r, s, c, out)
	return stop, err
}
