package resize

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// Release gives the pods of a workload back what they asked for before a recommendation was first applied to them, in place or by new
// pods, within the same rates as any other change. Nothing governs the workload any more, so a new pod comes up as its template says.
// The outcome says how many pods are left. It returns an error only for what may pass when it is tried again.
func (a *Applier) Release(ctx context.Context, r Request, how v1alpha1.RemovalPolicy) (Outcome, error) {
	var out Outcome
	if r.Situation.Target.Disabled() {
		return out, nil // the workload opted out of every change, of this one too
	}
	for _, c := range r.Changes {
		if changedByUs(c.Pod) {
			out.Left++
		}
	}
	if r.Situation.Paused {
		out.hold("Paused", "changes are paused in the whole cluster")
		return out, nil
	}
	for _, c := range newestFirst(r.Changes) {
		if !changedByUs(c.Pod) {
			continue
		}
		if a.recent.has(c.Pod.UID) {
			out.again(settle)
			continue
		}
		if stop, err := a.releaseOne(ctx, r, c, how, &out); err != nil || stop {
			return out, err
		}
	}
	return out, nil
}

func changedByUs(pod *corev1.Pod) bool {
	_, changed := pod.Annotations[v1alpha1.OriginalResourcesAnnotation]
	return changed
}

// releaseOne gives one pod back what it asked for. stop says that the rate is spent, or that pods are replaced one by one.
func (a *Applier) releaseOne(ctx context.Context, r Request, c Change, how v1alpha1.RemovalPolicy, out *Outcome) (stop bool, err error) {
	if c.Desired, err = Originals(c.Pod); err != nil {
		return false, fmt.Errorf("reading what pod %s/%s asked for, %w", c.Pod.Namespace, c.Pod.Name, err)
	}
	c.Current = policy.Containers(c.Pod.Spec)
	for name := range c.Current {
		if _, ours := c.Desired[name]; !ours {
			delete(c.Current, name)
		}
	}
	c.Hash, c.Deviations = policy.Hash(c.Desired), policy.Drift(c.Current, c.Desired, policy.Rules{})
	record, ours := recordOf(c.Pod)
	ours = ours && record.Hash == c.Hash
	if ours && record.Outcome == "" {
		if done, err := a.attendOne(ctx, r, c, record, out); err != nil || done {
			return false, err
		}
	}
	switch {
	case underWay(c.Pod):
		out.hold("ResizeUnderWay", "pod %s is being resized", c.Pod.Name)
		out.again(soon)
		return false, nil
	case policy.Hash(c.Current) == c.Hash:
		out.Left--
		return false, ignoreGone(forget(ctx, a.client, c.Pod))
	case how == v1alpha1.RemovalReCreate:
		return true, a.releaseByNewPod(ctx, r, c, out)
	}
	refusal := policy.Predict(c.Pod, c.Desired, a.options.Predict)
	if ours && record.Outcome != "" && a.clock.Since(record.At) < a.options.RetryAfter {
		refusal = &policy.Refusal{Reason: record.Reason, Message: "the resize was refused or taken back before"}
	}
	if refusal == nil {
		if refusal, stop, err = a.releaseInPlace(ctx, r, c, out); err != nil || stop || refusal == nil {
			return stop, err
		}
	}
	if a.fallsBack(r, refusal.Reason) {
		return true, a.releaseByNewPod(ctx, r, c, out)
	}
	out.hold(string(refusal.Reason), "pod %s: %s", c.Pod.Name, refusal.Message)
	return false, nil
}

func (a *Applier) releaseInPlace(ctx context.Context, r Request, c Change, out *Outcome) (refusal *policy.Refusal, stop bool, err error) {
	wait, ok, err := a.limiter.Take(ctx, KindResize, r.Workload.Key())
	if err != nil || !ok {
		out.again(wait)
		return nil, true, err
	}
	before, err := policy.Originals(c.Current)
	if err != nil {
		return nil, true, err
	}
	a.recent.add(c.Pod.UID)
	err = resources(ctx, a.client, c.Pod, c.Desired)
	record := Record{Hash: c.Hash, Before: before}
	switch refusal = classify(err); {
	case refusal != nil:
		record.Outcome, record.Reason = outcomeRefused, refusal.Reason
		return refusal, false, ignoreGone(a.note(ctx, c.Pod, record, nil))
	case apierrors.IsForbidden(err):
		out.hold("ResizeForbidden", "pod %s: %v", c.Pod.Name, err)
		out.again(time.Minute)
		return nil, true, nil
	case err != nil:
		return nil, true, ignoreGone(err)
	}
	out.Resized++
	out.again(settle)
	a.recorder.Eventf(c.Pod, r.Scaler, corev1.EventTypeNormal, "Released", "Resize", "its policy went: %s", describe(c.Deviations))
	return nil, false, ignoreGone(a.note(ctx, c.Pod, record, nil))
}

// releaseByNewPod replaces a pod. It asks for no proof of admission: the successor is to come up as the template says.
func (a *Applier) releaseByNewPod(ctx context.Context, r Request, c Change, out *Outcome) error {
	s := r.Situation
	s.Pod, s.AdmissionProven = c.Pod, true
	if v := policy.RecreateGates().Check(s); v.Stop {
		out.hold(v.Reason, "pod %s: %s", c.Pod.Name, v.Message)
		return nil
	}
	if !s.WorkloadReady {
		out.hold("NotReady", "the workload is not ready")
		out.again(soon)
		return nil
	}
	acted, err := a.replace(ctx, r, c, out)
	if acted {
		out.again(settle)
	}
	return err
}

// forget takes every trace of a recommendation off a pod.
func forget(ctx context.Context, c client.Client, pod *corev1.Pod) error {
	none := map[string]any{}
	for _, key := range []string{
		v1alpha1.RecommendationAnnotation, v1alpha1.OriginalResourcesAnnotation, RecordAnnotation,
		v1alpha1.StartupBoostAnnotation, v1alpha1.UnboostedResourcesAnnotation,
	} {
		none[key] = nil
	}
	b, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "annotations": none}})
	if err != nil {
		return fmt.Errorf("writing annotations of pod %s/%s, %w", pod.Namespace, pod.Name, err)
	}
	target := &corev1.Pod{}
	target.Namespace, target.Name = pod.Namespace, pod.Name
	if err := c.Patch(ctx, target, client.RawPatch(types.MergePatchType, b)); err != nil {
		return fmt.Errorf("taking the annotations off pod %s/%s, %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
