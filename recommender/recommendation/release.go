package recommendation

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/resize"
)

// releaseDeadline is how long the pods of a policy that went are tried for without any progress, before they are let go as they are.
const releaseDeadline = 10 * time.Minute

// release has the pods of a policy that went get back what they asked for. When they have, or nothing has moved for too long, the
// policy is forgotten.
func (r *Reconciler) release(ctx context.Context, v *view, s policy.Situation) (again time.Duration, err error) {
	changes, err := resize.Changes(v.workload, nil, v.governing.Rules)
	if err != nil {
		return 0, err
	}
	outcome, err := r.Applier.Release(ctx, resize.Request{
		Scaler: v.scaler, Workload: v.workload, Situation: s, Rules: v.governing.Rules, Changes: changes,
	}, v.governing.Removal.Plan.Policy)
	v.released(outcome, changes, err == nil)
	if v.governing.Removal == nil {
		v.matched(s)
	}
	return soonest(v.now, time.Time{}, outcome.Again), err
}

// released writes how far a release is, and ends it where it is complete or blocked for too long.
func (v *view) released(o resize.Outcome, changes []resize.Change, complete bool) {
	gone := v.governing.Removal.AutoscalingPolicy
	was := meta.FindStatusCondition(v.scaler.Status.Conditions, v1alpha1.ConditionRestored)
	moved := v.now
	if was != nil && was.Status == metav1.ConditionFalse {
		moved = was.LastTransitionTime.Time
	}
	v.count(o, changes)
	if at := v.scaler.Status.Applied.LastAppliedAt; at != nil && at.After(moved) {
		moved = at.Time
	}
	v.condition(v1alpha1.ConditionApplied, metav1.ConditionFalse, "PolicyRemoved", fmt.Sprintf("autoscalingpolicy %s went", gone))
	switch {
	case complete && o.Left == 0:
		v.condition(v1alpha1.ConditionRestored, metav1.ConditionTrue, "Restored", "")
	case v.now.Sub(moved) >= releaseDeadline && !v.governing.Paused:
		v.condition(v1alpha1.ConditionRestored, metav1.ConditionTrue, "LetGo",
			fmt.Sprintf("%d pods keep what autoscalingpolicy %s gave them: %s", o.Left, gone, o.Verdict.Message))
	default:
		v.condition(v1alpha1.ConditionRestored, metav1.ConditionFalse, "Restoring", fmt.Sprintf(
			"autoscalingpolicy %s went; %d of %d pods are still to get back what they asked for. %s", gone, o.Left, len(changes), o.Verdict.Message))
		return
	}
	v.governing.Removal = nil
}
