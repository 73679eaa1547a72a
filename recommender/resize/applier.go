package resize

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/workload"
)

// Recorder records events. *events.Recorder of client-go does.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Prover says whether the admission webhook was seen to work just now.
type Prover interface {
	Proven(ctx context.Context) (bool, error)
}

// Options of an Applier. The zero value has the defaults stated.
type Options struct {
	// DeferredDeadline is how long a resize that the node defers may wait before it is taken back. Default 10 min.
	DeferredDeadline time.Duration
	// RetryAfter is how long a resize that was refused or taken back is not tried again with the same numbers. Default 1 h.
	RetryAfter time.Duration
	// RevertWindow is how long after a shrink an OOM kill is blamed on it. Default 24 h.
	RevertWindow time.Duration
	// MaxInFlightPercent bounds the pods of one workload whose resize is under way. Default 25, and one pod at least.
	MaxInFlightPercent int32
	// Predict says what the cluster allows.
	Predict policy.PredictOptions
}

func (o *Options) setDefaults() {
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&o.DeferredDeadline, 10 * time.Minute}, {&o.RetryAfter, time.Hour}, {&o.RevertWindow, 24 * time.Hour}} {
		if *d.value <= 0 {
			*d.value = d.def
		}
	}
	if o.MaxInFlightPercent <= 0 {
		o.MaxInFlightPercent = 25
	}
}

// Applier brings pods to what they are to have.
type Applier struct {
	client   client.Client
	limiter  *Limiter
	prover   Prover
	recorder Recorder
	clock    clock.PassiveClock
	options  Options
	recent   *recent
}

// NewApplier returns an applier.
func NewApplier(c client.Client, l *Limiter, p Prover, r Recorder, k clock.PassiveClock, o Options) *Applier {
	o.setDefaults()
	return &Applier{client: c, limiter: l, prover: p, recorder: r, clock: k, options: o, recent: newRecent(k)}
}

// Request is one workload and what its pods are to have.
type Request struct {
	Scaler    *v1alpha1.WorkloadScaler
	Workload  *workload.Workload
	Situation policy.Situation
	Rules     policy.Rules
	Changes   []Change
}

// Outcome is what was done to a workload, and what stands in the way of the rest.
type Outcome struct {
	Resized, Recreated int64
	// Verdict says why pods that have drifted were left. Its Stop is false where none were.
	Verdict policy.Verdict
	// BoostsEnded counts pods whose startup boost ended in this pass; BoostFailed says why one could not end, empty where none failed.
	BoostsEnded int64
	BoostFailed string
	// Left counts pods that Release has still to give back what they asked for.
	Left int
	// Again is when to look again without an event; zero: at the next interval.
	Again time.Duration
}

func (o *Outcome) hold(reason, format string, args ...any) {
	if !o.Verdict.Stop {
		o.Verdict = policy.Verdict{Reason: reason, Message: fmt.Sprintf(format, args...), Stop: true}
	}
}

func (o *Outcome) again(d time.Duration) {
	if d > 0 && (o.Again == 0 || d < o.Again) {
		o.Again = d
	}
}

// soon is when to look again at something under way, should its event be missed.
const soon = 30 * time.Second

// Apply changes the pods that have drifted, as far as gates and rates allow, and looks after the resizes under way. It returns an
// error only for what may pass when it is tried again.
func (a *Applier) Apply(ctx context.Context, r Request) (Outcome, error) {
	var out Outcome
	if r.Situation.Paused || r.Situation.Target.Disabled() {
		out.Verdict = policy.WorkloadGates().Check(r.Situation)
		return out, nil
	}
	if err := a.endBoosts(ctx, r, &out); err != nil {
		return out, err
	}
	// Whatever the mode is by now: what was asked for in another is not left hanging.
	flight, err := a.attend(ctx, r, &out)
	if err != nil {
		return out, err
	}
	if v := policy.WorkloadGates().Check(r.Situation); v.Stop {
		out.Verdict = v
		return out, nil
	}
	room := max(1, int(int64(len(r.Changes))*int64(a.options.MaxInFlightPercent)/100)) - flight
	for _, c := range newestFirst(r.Changes) {
		if err := a.complete(ctx, c); err != nil {
			return out, err
		}
		if len(c.Deviations) == 0 || c.Boosted || underWay(c.Pod) {
			continue
		}
		if a.recent.has(c.Pod.UID) {
			out.again(settle)
			continue
		}
		if room <= 0 {
			out.hold("ResizeUnderWay", "%d pods are being changed", flight)
			out.again(soon)
			break
		}
		acted, stop, err := a.one(ctx, r, c, &out)
		if err != nil || stop {
			return out, err
		}
		if acted {
			room--
			flight++
		}
	}
	return out, nil
}

// newestFirst orders changes as policy.Order orders pods, which also leaves out pods that must not be touched.
func newestFirst(changes []Change) []Change {
	pods := make([]*corev1.Pod, 0, len(changes))
	byUID := make(map[string]Change, len(changes))
	for _, c := range changes {
		pods = append(pods, c.Pod)
		byUID[c.Pod.Namespace+"/"+c.Pod.Name] = c
	}
	out := make([]Change, 0, len(changes))
	for _, p := range policy.Order(pods) {
		out = append(out, byUID[p.Namespace+"/"+p.Name])
	}
	return out
}

// one changes one pod. stop says that no further pod of the workload is to be changed in this pass.
func (a *Applier) one(ctx context.Context, r Request, c Change, out *Outcome) (acted, stop bool, err error) {
	s := r.Situation
	s.Pod, s.Deviations = c.Pod, c.Deviations
	if v := policy.PodGates().Check(s); v.Stop {
		out.hold(v.Reason, "pod %s: %s", c.Pod.Name, v.Message)
		return false, false, nil
	}
	switch s.Active.Mode {
	case v1alpha1.UpdateModeReCreate:
		return a.recreate(ctx, r, s, c, out)
	case v1alpha1.UpdateModeInPlace, v1alpha1.UpdateModeAuto:
	default: // new pods only
		out.hold("OnCreate", "running pods keep what they have in mode %s", s.Active.Mode)
		return false, true, nil
	}
	if record, ok := recordOf(c.Pod); ok && record.Outcome != "" && record.Hash == c.Hash {
		// These numbers did not work for this pod a while ago.
		if record.Outcome != outcomeReverted && a.fallsBack(r, record.Reason) {
			return a.recreate(ctx, r, s, c, out)
		}
		if left := a.options.RetryAfter - a.clock.Since(record.At); left > 0 || record.Outcome == outcomeReverted {
			out.hold(record.Outcome, "pod %s: the resize of %s was taken back or refused (%s)", c.Pod.Name, record.At.Format(time.RFC3339), record.Reason)
			out.again(left)
			return false, false, nil
		}
	}
	if refusal := policy.Predict(c.Pod, c.Desired, a.options.Predict); refusal != nil {
		return a.refused(ctx, r, s, c, refusal, out)
	}
	return a.resize(ctx, r, s, c, out)
}

func (a *Applier) fallsBack(r Request, reason v1alpha1.FallbackReason) bool {
	return policy.Fallback(r.Rules.Fallback, reason) == v1alpha1.FallbackRecreate
}

// refused falls back to a new pod or holds, by the policy for the reason.
func (a *Applier) refused(ctx context.Context, r Request, s policy.Situation, c Change, refusal *policy.Refusal, out *Outcome) (acted, stop bool, err error) {
	if a.fallsBack(r, refusal.Reason) {
		return a.recreate(ctx, r, s, c, out)
	}
	out.hold(string(refusal.Reason), "pod %s: %s", c.Pod.Name, refusal.Message)
	return false, false, nil
}

func (a *Applier) resize(ctx context.Context, r Request, s policy.Situation, c Change, out *Outcome) (acted, stop bool, err error) {
	wait, ok, err := a.limiter.Take(ctx, KindResize, r.Workload.Key())
	if err != nil {
		return false, true, err
	}
	if !ok {
		out.hold("RateLimited", "the rate of resizes is spent; the next may come in %s", wait.Round(time.Second))
		out.again(wait)
		return false, true, nil
	}
	before, err := a.remember(ctx, c)
	if err != nil {
		return false, true, ignoreGone(err)
	}
	a.recent.add(c.Pod.UID)
	err = resources(ctx, a.client, c.Pod, c.Desired)
	if refusal := classify(err); refusal != nil {
		a.recorder.Eventf(c.Pod, r.Scaler, corev1.EventTypeWarning, "ResizeRefused", "Resize", "%s: %s", refusal.Reason, refusal.Message)
		if err := a.note(ctx, c.Pod, Record{Hash: c.Hash, Before: before, Outcome: outcomeRefused, Reason: refusal.Reason}, nil); err != nil {
			return false, true, ignoreGone(err)
		}
		return a.refused(ctx, r, s, c, refusal, out)
	}
	if apierrors.IsForbidden(err) { // quota, or our own permissions: trying the next pod would only repeat it
		out.hold("ResizeForbidden", "pod %s: %v", c.Pod.Name, err)
		out.again(5 * time.Minute)
		return false, true, nil
	}
	if err != nil {
		return false, true, ignoreGone(err)
	}
	if err := a.note(ctx, c.Pod, Record{Hash: c.Hash, Before: before}, map[string]string{v1alpha1.RecommendationAnnotation: c.Hash}); err != nil {
		return true, true, ignoreGone(err)
	}
	out.Resized++
	out.again(soon)
	a.recorder.Eventf(c.Pod, r.Scaler, corev1.EventTypeNormal, "Resized", "Resize", "%s", describe(c.Deviations))
	a.recorder.Eventf(r.Scaler, c.Pod, corev1.EventTypeNormal, "PodResized", "Resize", "pod %s: %s", c.Pod.Name, describe(c.Deviations))
	return true, false, nil
}

// complete writes what a death between a resize and its record left unwritten: the pod has what it is to have, it was about to be
// changed for the first time, and nothing says that it was.
func (a *Applier) complete(ctx context.Context, c Change) error {
	before, begun := c.Pod.Annotations[v1alpha1.OriginalResourcesAnnotation]
	_, told := c.Pod.Annotations[v1alpha1.RecommendationAnnotation]
	if !begun || told || c.Boosted || policy.Hash(c.Current) != c.Hash || a.recent.has(c.Pod.UID) {
		return nil
	}
	return ignoreGone(a.note(ctx, c.Pod, Record{Hash: c.Hash, Before: before}, map[string]string{v1alpha1.RecommendationAnnotation: c.Hash}))
}

// remember writes what the pod asked for before it is changed for the first time, and returns what it has now.
func (a *Applier) remember(ctx context.Context, c Change) (before string, err error) {
	if before, err = policy.Originals(c.Current); err != nil {
		return "", fmt.Errorf("writing what pod %s/%s asked for, %w", c.Pod.Namespace, c.Pod.Name, err)
	}
	if _, known := c.Pod.Annotations[v1alpha1.OriginalResourcesAnnotation]; known {
		return before, nil
	}
	return before, annotate(ctx, a.client, c.Pod, map[string]string{v1alpha1.OriginalResourcesAnnotation: before})
}

// note writes the record of a resize, stamped with the time, and further annotations.
func (a *Applier) note(ctx context.Context, pod *corev1.Pod, r Record, more map[string]string) error {
	r.At = a.clock.Now().UTC().Truncate(time.Second)
	text, err := r.encode()
	if err != nil {
		return err
	}
	set := map[string]string{RecordAnnotation: text}
	for k, v := range more {
		set[k] = v
	}
	return annotate(ctx, a.client, pod, set)
}

// ignoreGone drops the errors of a pod that is gone or was replaced, which is no failure. Wrapped errors are understood.
func ignoreGone(err error) error {
	var status apierrors.APIStatus
	if errors.As(err, &status) && (apierrors.IsNotFound(err) || apierrors.IsConflict(err)) {
		return nil
	}
	return err
}
