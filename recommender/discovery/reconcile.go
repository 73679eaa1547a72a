package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/workload"
)

// resync is how often a rule is reconciled without an event: workloads of custom kinds are not watched.
const resync = 5 * time.Minute

// Reconciler keeps the scalers of WorkloadScalerRules.
type Reconciler struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// Direct reads custom kinds from the API server.
	Direct client.Reader
}

// Reconcile brings the scalers of one rule in line with the workloads that it selects.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	rule := &v1alpha1.WorkloadScalerRule{}
	err := r.Client.Get(ctx, req.NamespacedName, rule)
	if apierrors.IsNotFound(err) || err == nil && rule.DeletionTimestamp != nil {
		return reconcile.Result{}, r.remove(ctx, RuleLabelValue(req.Name), nil)
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading workloadscalerrule, %w", err)
	}
	found, unread, err := r.matching(ctx, rule)
	var invalid *invalidSelectorError
	if errors.As(err, &invalid) { // the scalers stay: a slip of the pen must not delete what was discovered
		return reconcile.Result{}, r.report(ctx, rule, -1, metav1.ConditionFalse, invalid.reason, invalid.message)
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	refused, applied := r.apply(ctx, rule, found, unread)
	status, reason, message := metav1.ConditionTrue, "Discovered", fmt.Sprintf("%d workloads selected", len(found))
	switch {
	case applied != nil:
		status, reason, message = metav1.ConditionFalse, "WriteFailed", applied.Error()
	case len(unread) > 0:
		notes := slices.Sorted(maps.Values(unread))
		status, reason, message = metav1.ConditionFalse, "KindUnavailable", strings.Join(notes, "; ")
	case len(refused) > 0:
		status, reason, message = metav1.ConditionFalse, "InvalidUpdateMode", strings.Join(refused, "; ")
	}
	if err := r.report(ctx, rule, len(found), status, reason, message); err != nil {
		applied = errors.Join(applied, err)
	}
	return reconcile.Result{RequeueAfter: resync}, applied
}

// apply creates, updates and deletes scalers. A failure on one does not keep the others from being written. Those of kinds that could
// not be read stay: what is gone takes its scaler along by its owner reference. refused says which overrides of the mode mean nothing.
func (r *Reconciler) apply(
	ctx context.Context, rule *v1alpha1.WorkloadScalerRule, found []candidate, unread map[schema.GroupKind]string,
) (refused []string, failed error) {
	var all v1alpha1.WorkloadScalerList
	if err := r.Client.List(ctx, &all); err != nil {
		return nil, fmt.Errorf("listing workloadscalers, %w", err)
	}
	label := RuleLabelValue(rule.Name)
	keep := make(map[string]bool, len(found))
	byTarget := make(map[string][]*v1alpha1.WorkloadScaler, len(all.Items))
	for i := range all.Items {
		s := &all.Items[i]
		key := workload.TargetKey(s)
		byTarget[key] = append(byTarget[key], s)
		if _, unknown := unread[schema.FromAPIVersionAndKind(s.Spec.TargetRef.APIVersion, s.Spec.TargetRef.Kind).GroupKind()]; unknown {
			keep[key] = true
		}
		if _, err := policy.ModeOverride(s); err != nil && s.Labels[v1alpha1.RuleLabel] == label {
			refused = append(refused, err.Error())
		}
	}
	for _, c := range found {
		own, foreign := split(byTarget[c.key()], label)
		if foreign { // somebody else's scaler serves this workload: ours, if there is one, goes
			continue
		}
		keep[c.key()] = true
		var err error
		if own == nil {
			err = r.create(ctx, rule, c)
		} else {
			err = r.update(ctx, rule, c, own)
		}
		if err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return refused, errors.Join(failed, r.remove(ctx, label, keep))
}

// split finds the scaler of a rule among those of one workload, and says whether another's has precedence. A scaler without a
// rule belongs to a person and always has it; of two rules the one that came first keeps its scaler.
func split(scalers []*v1alpha1.WorkloadScaler, label string) (own *v1alpha1.WorkloadScaler, foreign bool) {
	for _, s := range scalers {
		if s.Labels[v1alpha1.RuleLabel] == label && (own == nil || s.CreationTimestamp.Before(&own.CreationTimestamp)) {
			own = s
		}
	}
	for _, s := range scalers {
		switch s.Labels[v1alpha1.RuleLabel] {
		case label:
		case "":
			foreign = true
		default:
			foreign = foreign || own == nil || s.CreationTimestamp.Before(&own.CreationTimestamp)
		}
	}
	return own, foreign
}

func (r *Reconciler) create(ctx context.Context, rule *v1alpha1.WorkloadScalerRule, c candidate) error {
	for _, name := range []string{scalerName(c.GetName(), c.gvk.Kind), alternativeName(c.GetName(), c.gvk.Kind, c.key())} {
		s := &v1alpha1.WorkloadScaler{}
		s.Namespace, s.Name = c.GetNamespace(), name
		shape(rule, c, s)
		s.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: c.gvk.GroupVersion().String(), Kind: c.gvk.Kind, Name: c.GetName()}
		err := r.Client.Create(ctx, s)
		switch {
		case err == nil:
			log.FromContext(ctx).Info("created workloadscaler", "workload", c.key(), "scaler", name)
			return nil
		case apierrors.HasStatusCause(err, "NamespaceTerminating"):
			return nil
		case !apierrors.IsAlreadyExists(err):
			return fmt.Errorf("creating the workloadscaler of %s, %w", c.key(), err)
		}
		taken := &v1alpha1.WorkloadScaler{}
		if err := r.Direct.Get(ctx, client.ObjectKeyFromObject(s), taken); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading workloadscaler %s/%s, %w", s.Namespace, name, err)
		}
		if workload.TargetKey(taken) == c.key() {
			return nil // created a moment ago, by another rule or before the cache saw it
		}
	}
	return fmt.Errorf("creating the workloadscaler of %s: both of its names are taken", c.key())
}

func (r *Reconciler) update(ctx context.Context, rule *v1alpha1.WorkloadScalerRule, c candidate, own *v1alpha1.WorkloadScaler) error {
	changed := own.DeepCopy()
	shape(rule, c, changed)
	if equality.Semantic.DeepEqual(own.Spec, changed.Spec) && equality.Semantic.DeepEqual(own.OwnerReferences, changed.OwnerReferences) {
		return nil
	}
	patch := client.MergeFromWithOptions(own, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, changed, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("updating the workloadscaler of %s, %w", c.key(), err)
	}
	return nil
}

// shape sets what a rule decides about its scaler, and the owner reference with which it goes when its workload goes.
func shape(rule *v1alpha1.WorkloadScalerRule, c candidate, s *v1alpha1.WorkloadScaler) {
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	s.Labels[v1alpha1.RuleLabel] = RuleLabelValue(rule.Name)
	s.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: c.gvk.GroupVersion().String(), Kind: c.gvk.Kind, Name: c.GetName(), UID: c.GetUID(),
	}}
	s.Spec.PodNamePattern = c.pods
	s.Spec.Optimize = []v1alpha1.OptimizeScope{v1alpha1.OptimizeResource}
	if s.Spec.Interval = rule.Spec.Interval; s.Spec.Interval == "" {
		s.Spec.Interval = "30m"
	}
	s.Spec.Resources = rule.Spec.Resources
	if s.Spec.Resources.UpdatePolicy.UpdateMode == "" {
		s.Spec.Resources.UpdatePolicy.UpdateMode = v1alpha1.UpdateModePreview
	}
	if mode, err := policy.ModeOverride(s); err == nil && mode != "" {
		s.Spec.Resources.UpdatePolicy.UpdateMode = mode
	}
}

// remove deletes the scalers with the rule's label whose workload is not in keep, and doubles.
func (r *Reconciler) remove(ctx context.Context, label string, keep map[string]bool) error {
	var list v1alpha1.WorkloadScalerList
	if err := r.Client.List(ctx, &list, client.MatchingLabels{v1alpha1.RuleLabel: label}); err != nil {
		return fmt.Errorf("listing workloadscalers of the rule, %w", err)
	}
	sort.Slice(list.Items, func(i, j int) bool {
		return list.Items[i].CreationTimestamp.Before(&list.Items[j].CreationTimestamp)
	})
	served := make(map[string]bool, len(keep))
	var failed error
	for i := range list.Items {
		s := &list.Items[i]
		key := workload.TargetKey(s)
		if keep[key] && !served[key] {
			served[key] = true
			continue
		}
		if s.DeletionTimestamp != nil {
			continue
		}
		err := r.Client.Delete(ctx, s, client.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion})
		if client.IgnoreNotFound(err) != nil {
			failed = errors.Join(failed, fmt.Errorf("deleting workloadscaler %s/%s, %w", s.Namespace, s.Name, err))
			continue
		}
		log.FromContext(ctx).Info("deleted workloadscaler: its workload is no longer selected", "workload", key, "scaler", s.Name)
	}
	return failed
}

// report writes the rule's status where it changed. A negative number of matches keeps the one reported before.
func (r *Reconciler) report(ctx context.Context, rule *v1alpha1.WorkloadScalerRule, matched int, status metav1.ConditionStatus, reason, message string) error {
	var list v1alpha1.WorkloadScalerList
	if err := r.Client.List(ctx, &list, client.MatchingLabels{v1alpha1.RuleLabel: RuleLabelValue(rule.Name)}); err != nil {
		return fmt.Errorf("counting workloadscalers of the rule, %w", err)
	}
	changed := rule.DeepCopy()
	changed.Status.ObservedGeneration = rule.Generation
	changed.Status.Created = int32(len(list.Items)) //nolint:gosec // fewer than 2^31 objects
	if matched >= 0 {
		changed.Status.Matched = int32(matched) //nolint:gosec // fewer than 2^31 objects
	}
	meta.SetStatusCondition(&changed.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message, ObservedGeneration: rule.Generation,
	})
	if equality.Semantic.DeepEqual(rule.Status, changed.Status) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, changed, client.MergeFrom(rule)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of workloadscalerrule %s, %w", rule.Name, err)
	}
	return nil
}
