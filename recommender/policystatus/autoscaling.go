package policystatus

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/governance"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/workload"
)

// ConditionPriorityConflict is True where another policy of the same priority matches the same workloads. Who wins is settled (the
// older does), but hardly what anybody meant.
const ConditionPriorityConflict = "PriorityConflict"

// recount is how often policies count their workloads without an event.
const recount = time.Minute

// Autoscaling keeps the status of AutoscalingPolicies. One reconciliation serves them all: each workload belongs to one of them.
type Autoscaling struct {
	Client   client.Client
	Resolver *workload.Resolver
}

var _ reconcile.Reconciler = (*Autoscaling)(nil)

// SetupWithManager registers the controller.
func (a *Autoscaling) SetupWithManager(mgr manager.Manager) error {
	err := builder.ControllerManagedBy(mgr).Named("autoscalingpolicy").
		Watches(&v1alpha1.AutoscalingPolicy{}, together(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.RecommendationPolicy{}, together(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.WorkloadScaler{}, together(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(a)
	if err != nil {
		return fmt.Errorf("building the autoscalingpolicy controller, %w", err)
	}
	return nil
}

// together maps every event to one request, after a moment in which others may come.
func together() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(q queue) {
		q.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Name: "all"}}, time.Second)
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, _ event.CreateEvent, q queue) { enqueue(q) },
		UpdateFunc: func(_ context.Context, _ event.UpdateEvent, q queue) { enqueue(q) },
		DeleteFunc: func(_ context.Context, _ event.DeleteEvent, q queue) { enqueue(q) },
	}
}

// finding is what is known of one policy.
type finding struct {
	workloads int32
	// rivals of the same priority, with an example of a workload that both match.
	rivals map[string]string
	// loses is true where a rival is older, so that it has a workload that this policy matches too.
	loses bool
}

// Reconcile writes the status of all policies where it changed.
func (a *Autoscaling) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var policies v1alpha1.AutoscalingPolicyList
	if err := a.Client.List(ctx, &policies); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing autoscalingpolicies, %w", err)
	}
	if len(policies.Items) == 0 {
		return reconcile.Result{}, nil
	}
	targets, err := a.targets(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	findings := find(policies.Items, targets)
	var failed error
	for i := range policies.Items {
		p := &policies.Items[i]
		if err := a.report(ctx, p, findings[p.Name]); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return reconcile.Result{RequeueAfter: recount}, failed
}

// targets are the workloads that scalers bind.
func (a *Autoscaling) targets(ctx context.Context) ([]policy.Target, error) {
	var scalers v1alpha1.WorkloadScalerList
	if err := a.Client.List(ctx, &scalers, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing workloadscalers, %w", err)
	}
	out := make([]policy.Target, 0, len(scalers.Items))
	for i := range scalers.Items {
		w, err := a.Resolver.Object(ctx, &scalers.Items[i])
		if err != nil { // the scaler's own status says what is wrong with its target
			continue
		}
		out = append(out, governance.TargetOf(w))
	}
	return out, nil
}

func find(policies []v1alpha1.AutoscalingPolicy, targets []policy.Target) map[string]*finding {
	out := make(map[string]*finding, len(policies))
	valid := make([]v1alpha1.AutoscalingPolicy, 0, len(policies))
	for i := range policies {
		p := &policies[i]
		out[p.Name] = &finding{rivals: map[string]string{}}
		if p.DeletionTimestamp == nil && (p.Spec.Enable == nil || *p.Spec.Enable) && len(policy.Validate(p.Spec)) == 0 {
			valid = append(valid, *p)
		}
	}
	for _, t := range targets {
		winner := policy.Resolve(valid, t)
		if winner == nil {
			continue
		}
		out[winner.Name].workloads++
		name := t.Kind + " " + t.Namespace + "/" + t.Name
		for i := range valid {
			p := &valid[i]
			if p.Name != winner.Name && p.Spec.Priority == winner.Spec.Priority && matches(p, t) {
				out[winner.Name].rivals[p.Name] = name
				out[p.Name].rivals[winner.Name] = name
				out[p.Name].loses = true
			}
		}
	}
	return out
}

func matches(p *v1alpha1.AutoscalingPolicy, t policy.Target) bool {
	if len(p.Spec.TargetRefs) == 0 {
		return true
	}
	for _, ref := range p.Spec.TargetRefs {
		if ok, err := policy.Matches(ref, t); ok && err == nil {
			return true
		}
	}
	return false
}

func (a *Autoscaling) report(ctx context.Context, p *v1alpha1.AutoscalingPolicy, f *finding) error {
	changed := p.DeepCopy()
	changed.Status.ObservedGeneration = p.Generation
	changed.Status.Workloads = f.workloads
	ready, err := a.ready(ctx, p)
	if err != nil {
		return err
	}
	conflict := f.conflict()
	for _, c := range []metav1.Condition{ready, conflict} {
		c.ObservedGeneration = p.Generation
		meta.SetStatusCondition(&changed.Status.Conditions, c)
	}
	if equality.Semantic.DeepEqual(p.Status, changed.Status) {
		return nil
	}
	if err := a.Client.Status().Patch(ctx, changed, client.MergeFrom(p)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of autoscalingpolicy %s, %w", p.Name, err)
	}
	return nil
}

func (a *Autoscaling) ready(ctx context.Context, p *v1alpha1.AutoscalingPolicy) (metav1.Condition, error) {
	no := func(reason, message string) (metav1.Condition, error) {
		return metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message}, nil
	}
	if invalid := policy.Validate(p.Spec); len(invalid) > 0 {
		return no(reasonOf(invalid[0].Field), invalid.ToAggregate().Error())
	}
	if p.Spec.Enable != nil && !*p.Spec.Enable {
		return no("Disabled", "spec.enable is false")
	}
	if name := p.Spec.RecommendationPolicyName; name != "" {
		err := a.Client.Get(ctx, types.NamespacedName{Name: name}, &v1alpha1.RecommendationPolicy{})
		if apierrors.IsNotFound(err) {
			return no("RecommendationPolicyNotFound", fmt.Sprintf("recommendationpolicy %s does not exist; its workloads get no new recommendation", name))
		}
		if err != nil {
			return metav1.Condition{}, fmt.Errorf("reading recommendationpolicy %s, %w", name, err)
		}
	}
	return metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "InForce"}, nil
}

func (f *finding) conflict() metav1.Condition {
	c := metav1.Condition{Type: ConditionPriorityConflict, Status: metav1.ConditionFalse, Reason: "NoConflict"}
	if len(f.rivals) == 0 {
		return c
	}
	parts := make([]string, 0, len(f.rivals))
	for rival, example := range f.rivals {
		parts = append(parts, fmt.Sprintf("%s (%s)", rival, example))
	}
	sort.Strings(parts)
	c.Status, c.Reason = metav1.ConditionTrue, "OlderWins"
	outcome := "this policy is the older one and governs"
	if f.loses {
		outcome = "the older one governs; give them different priorities"
	}
	c.Message = fmt.Sprintf("of the same priority and matching the same workloads: %s; %s", strings.Join(parts, ", "), outcome)
	return c
}
