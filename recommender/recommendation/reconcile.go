package recommendation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/governance"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/resize"
	"supercargo.dev/recommender/workload"
)

const (
	// evaluation is how often a scaler is looked at without an event: usage may have outgrown the recommendation, a schedule begun.
	evaluation = time.Minute
	// eager is how often a scaler without recommendation is looked at while it is young: its first usage may arrive at any moment.
	eager = 5 * time.Second
	young = 5 * time.Minute
	// defaultInterval is how often a recommendation is computed where the scaler does not say.
	defaultInterval = 30 * time.Minute
	// staleAfter is the age from which usage counts as no longer arriving.
	staleAfter = 10 * time.Minute
)

// Applier changes pods that have drifted.
type Applier interface {
	Apply(ctx context.Context, r resize.Request) (resize.Outcome, error)
	// Release gives pods back what they asked for, because the policy that changed them went.
	Release(ctx context.Context, r resize.Request, how v1alpha1.RemovalPolicy) (resize.Outcome, error)
}

// Backfill brings the usage of a workload from before it was first watched.
type Backfill interface {
	// Ready says that there is nothing to wait for. Where it is false the past has been asked for, and the scaler will be woken.
	Ready(scaler types.NamespacedName, w estimate.Workload) bool
}

// Prices of resources where nothing better is known, in USD.
type Prices struct{ PerCPUHour, PerGiBHour float64 }

// Reconciler keeps the status of WorkloadScalers.
type Reconciler struct {
	Client   client.Client
	Resolver *workload.Resolver
	Governor *governance.Governor
	Store    *estimate.Store
	Registry *Registry
	Applier  Applier
	Backfill Backfill // nil: there is none
	Recorder resize.Recorder
	Clock    clock.PassiveClock
	Prices   Prices
	Metrics  *Metrics
	// Restored is closed once the history of before the start has been read. Nothing is recommended earlier.
	Restored <-chan struct{}

	mu       sync.Mutex
	computed map[types.NamespacedName]basis
}

// basis is what a recommendation was computed from, apart from usage.
type basis struct {
	at          time.Time
	fingerprint string
	mean        map[string]used // by container
}

// view is what one reconciliation knows of a scaler.
type view struct {
	scaler    *v1alpha1.WorkloadScaler // its status is the one to be written
	workload  *workload.Workload
	key       estimate.Workload
	governing governance.Governing
	now       time.Time
}

// Reconcile computes and writes the status of one scaler and applies its recommendation.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	select {
	case <-r.Restored:
	case <-ctx.Done():
		return reconcile.Result{}, ctx.Err()
	}
	found := &v1alpha1.WorkloadScaler{}
	err := r.Client.Get(ctx, req.NamespacedName, found)
	if apierrors.IsNotFound(err) {
		r.forget(req.NamespacedName)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading workloadscaler, %w", err)
	}
	if found.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	v := &view{scaler: found.DeepCopy(), now: r.Clock.Now()}
	v.scaler.Status.ObservedGeneration = found.Generation
	again, failed := r.evaluate(ctx, v)
	if err := r.write(ctx, found, v.scaler); err != nil {
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return reconcile.Result{}, failed
	}
	return reconcile.Result{RequeueAfter: again}, nil
}

// write patches the status where it changed.
func (r *Reconciler) write(ctx context.Context, before, after *v1alpha1.WorkloadScaler) error {
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return nil
	}
	patch, err := statusPatch(before, after)
	if err != nil {
		return fmt.Errorf("writing the status of workloadscaler %s/%s, %w", before.Namespace, before.Name, err)
	}
	target := &v1alpha1.WorkloadScaler{}
	target.Namespace, target.Name = before.Namespace, before.Name
	if err := r.Client.Status().Patch(ctx, target, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of workloadscaler %s/%s, %w", before.Namespace, before.Name, err)
	}
	return nil
}

func (r *Reconciler) forget(scaler types.NamespacedName) {
	r.Registry.Remove(scaler) // its history stays for a day, should the scaler come back
	r.mu.Lock()
	delete(r.computed, scaler)
	r.mu.Unlock()
	r.Metrics.forget(scaler)
}

// evaluate fills the status and applies it. It returns when to look again. Whatever it learnt before an error stays in the status.
func (r *Reconciler) evaluate(ctx context.Context, v *view) (again time.Duration, err error) {
	if ok, err := r.resolve(ctx, v); err != nil || !ok {
		return 5 * time.Minute, err
	}
	if v.governing, err = r.Governor.For(ctx, v.scaler, v.workload); err != nil {
		return 0, err
	}
	if err := r.label(ctx, v); err != nil {
		return 0, err
	}
	if err := r.horizontal(ctx, v, v.governing.Asked); err != nil {
		return 0, err
	}
	r.Store.Learn(v.key, &v.governing.Estimate)
	killed, evicted, surged := r.killed(v), r.evicted(v), r.surged(v)
	situation := v.governing.Situation(v.now, v.workload, v.scaler)
	v.matched(situation)
	r.freshness(v)
	if err := r.recommend(v, killed || evicted || surged); err != nil {
		return 0, err
	}
	rec := v.scaler.Status.Recommendation
	if v.governing.Removal != nil {
		return r.release(ctx, v, situation)
	}
	if rec == nil {
		return r.unrecommended(ctx, v, situation)
	}
	changes, err := resize.Changes(v.workload, rec.Containers, v.governing.Rules)
	if err != nil {
		return 0, err
	}
	r.appraise(v, changes)
	situation.Recommendation, situation.UsageAge = rec, r.age(v)
	outcome, err := r.Applier.Apply(ctx, resize.Request{
		Scaler: v.scaler, Workload: v.workload, Situation: situation, Rules: v.governing.Rules, Changes: changes,
	})
	v.applied(outcome, changes)
	r.Metrics.observe(v)
	return soonest(v.now, situation.Active.Until, outcome.Again), err
}

// soonest is the time to the next look: at most the evaluation interval, sooner where a schedule turns or an applier asks.
func soonest(now, until time.Time, again time.Duration) time.Duration {
	next := evaluation
	if !until.IsZero() {
		next = min(next, max(until.Sub(now), time.Second))
	}
	if again > 0 {
		next = min(next, again)
	}
	return next
}

// resolve finds the workload and its pods, and tells the registry. ok is false where the scaler has nothing to work on.
func (r *Reconciler) resolve(ctx context.Context, v *view) (ok bool, err error) {
	if other, err := r.older(ctx, v.scaler); err != nil {
		return false, err
	} else if other != "" {
		r.Registry.Remove(client.ObjectKeyFromObject(v.scaler))
		v.condition(v1alpha1.ConditionTargetFound, metav1.ConditionFalse, "Duplicate",
			fmt.Sprintf("workloadscaler %s is older and binds the same workload; delete one of the two", other))
		v.scaler.Status.Policy = nil
		return false, nil
	}
	v.workload, err = r.Resolver.Resolve(ctx, v.scaler)
	var invalid *workload.InvalidTargetError
	reason := ""
	switch {
	case err == nil:
	case errors.As(err, &invalid):
		reason = invalid.Reason
	case apierrors.IsNotFound(err):
		reason = "NotFound"
	case workload.NotServed(err):
		reason = "KindNotServed"
	case apierrors.IsForbidden(err):
		reason = "Forbidden"
	default:
		return false, err
	}
	if reason != "" {
		r.Registry.Remove(client.ObjectKeyFromObject(v.scaler))
		v.condition(v1alpha1.ConditionTargetFound, metav1.ConditionFalse, reason, err.Error())
		v.scaler.Status.Policy = nil // nobody may act on a recommendation for a workload that is not there
		return false, nil
	}
	v.condition(v1alpha1.ConditionTargetFound, metav1.ConditionTrue, "Found", v.workload.Note)
	v.scaler.Status.PodSelector = v.workload.PodSelector
	v.key = estimate.Workload{Namespace: v.scaler.Namespace, Kind: v.workload.GVK.GroupKind().String(), Name: v.workload.Object.GetName()}
	var containers, pods []string
	for _, c := range v.workload.Containers() {
		containers = append(containers, c.Name)
	}
	for _, p := range v.workload.Pods {
		pods = append(pods, p.Name)
	}
	for _, pod := range r.Registry.Set(client.ObjectKeyFromObject(v.scaler), v.key, pods, containers, v.workload.Groups()) {
		r.Store.PodGone(v.key, pod)
	}
	return true, nil
}

// older names the scaler that binds the same workload and came first, "" where this one did.
func (r *Reconciler) older(ctx context.Context, s *v1alpha1.WorkloadScaler) (string, error) {
	var list v1alpha1.WorkloadScalerList
	err := r.Client.List(ctx, &list, client.InNamespace(s.Namespace), client.MatchingFields{workload.TargetField: workload.TargetKey(s)},
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return "", fmt.Errorf("listing workloadscalers of the same target, %w", err)
	}
	if o := workload.Oldest(list.Items); o != nil && o.Name != s.Name {
		return o.Name, nil
	}
	return "", nil
}

// killed hands the OOM kills that pods show to the store and says whether any was new.
func (r *Reconciler) killed(v *view) bool {
	fresh := false
	rec := v.scaler.Status.Recommendation
	for _, pod := range slices.Concat(v.workload.Pods, v.workload.Finished) {
		for i := range pod.Spec.Containers {
			c := &pod.Spec.Containers[i]
			if !v.workload.Ours(c.Name) {
				continue
			}
			for _, t := range resize.Terminations(pod, c.Name) {
				if !resize.OOMKilled(t) || t.FinishedAt.IsZero() {
					continue
				}
				kill := estimate.Kill{
					Pod: pod.Name, At: t.FinishedAt.Time, ID: t.ContainerID, MemoryBytes: memoryOf(pod, c.Name),
					Applied: rec != nil && pod.Annotations[v1alpha1.RecommendationAnnotation] == rec.Hash,
				}
				key := estimate.Key{Namespace: v.key.Namespace, Kind: v.key.Kind, Name: v.key.Name, Container: v.workload.Group(c.Name)}
				if !r.Store.OOM(key, kill, v.governing.Estimate.OOM) {
					continue
				}
				fresh = true
				r.Metrics.oom()
				r.Recorder.Eventf(v.scaler, pod, corev1.EventTypeWarning, "OOMKilled", "Recommend",
					"container %s of pod %s was OOM killed at %s", c.Name, pod.Name, t.FinishedAt.UTC().Format(time.RFC3339))
			}
		}
	}
	return fresh
}

// memoryOf is the memory limit of a container in bytes: what it is known to have used when it was killed. 0 where it has none.
func memoryOf(pod *corev1.Pod, container string) float64 {
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == container {
			if q, ok := c.Resources.Limits[corev1.ResourceMemory]; ok {
				return q.AsApproximateFloat64()
			}
		}
	}
	return 0
}

// unrecommended looks after a workload without a recommendation: there is nothing to apply, but startup boosts have to end.
func (r *Reconciler) unrecommended(ctx context.Context, v *view, s policy.Situation) (again time.Duration, err error) {
	v.condition(v1alpha1.ConditionApplied, metav1.ConditionFalse, "NoRecommendation", "there is nothing to apply yet")
	again = evaluation
	if v.now.Sub(v.scaler.CreationTimestamp.Time) < young && len(v.workload.Pods) > 0 {
		again = eager
	}
	if !slices.ContainsFunc(v.workload.Pods, func(p *corev1.Pod) bool { return p.Annotations[v1alpha1.StartupBoostAnnotation] != "" }) {
		return again, nil
	}
	changes, err := resize.Changes(v.workload, nil, v.governing.Rules)
	if err != nil {
		return 0, err
	}
	outcome, err := r.Applier.Apply(ctx, resize.Request{
		Scaler: v.scaler, Workload: v.workload, Situation: s, Rules: v.governing.Rules, Changes: changes,
	})
	v.count(outcome, changes)
	v.boost(outcome)
	if outcome.Again > 0 {
		again = min(again, outcome.Again)
	}
	return again, err
}
