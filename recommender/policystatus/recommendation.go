package policystatus

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/policy"
)

// Recommendation keeps the status of RecommendationPolicies.
type Recommendation struct{ Client client.Client }

var _ reconcile.Reconciler = (*Recommendation)(nil)

// SetupWithManager registers the controller.
func (r *Recommendation) SetupWithManager(mgr manager.Manager) error {
	err := builder.ControllerManagedBy(mgr).Named("recommendationpolicy").
		For(&v1alpha1.RecommendationPolicy{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
	if err != nil {
		return fmt.Errorf("building the recommendationpolicy controller, %w", err)
	}
	return nil
}

// Reconcile says whether one policy can be read.
func (r *Recommendation) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	p := &v1alpha1.RecommendationPolicy{}
	if err := r.Client.Get(ctx, req.NamespacedName, p); err != nil {
		if apierrors.IsNotFound(err) {
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("reading recommendationpolicy, %w", err)
	}
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "InForce", ObservedGeneration: p.Generation}
	parsed, err := estimate.ParsePolicy(p.Spec)
	if err == nil {
		_, err = policy.ParseNodeFit(p.Spec.NodeFit, parsed.Memory.Overhead)
	}
	if err != nil {
		field, _, _ := strings.Cut(err.Error(), ": ") // errors begin with the path of their field
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, reasonOf(field), err.Error()
	}
	changed := p.DeepCopy()
	changed.Status.ObservedGeneration = p.Generation
	meta.SetStatusCondition(&changed.Status.Conditions, ready)
	if equality.Semantic.DeepEqual(p.Status, changed.Status) {
		return reconcile.Result{}, nil
	}
	if err := r.Client.Status().Patch(ctx, changed, client.MergeFrom(p)); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("writing the status of recommendationpolicy %s, %w", p.Name, err)
	}
	return reconcile.Result{}, nil
}
