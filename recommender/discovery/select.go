package discovery

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/workload"
)

// selector is a ResourceSelector, parsed.
type selector struct {
	gvk             schema.GroupVersionKind
	namespace, name string // globs
	labels          labels.Selector
	pods            string // podNamePattern
}

// invalidSelectorError says which part of a rule cannot be read.
type invalidSelectorError struct{ reason, message string }

func (e *invalidSelectorError) Error() string { return e.message }

// builtin are the kinds whose apiVersion may be left out, with the list that reads them.
func builtin(kind string) (schema.GroupVersionKind, client.ObjectList) {
	switch kind {
	case "Deployment":
		return appsv1.SchemeGroupVersion.WithKind(kind), &appsv1.DeploymentList{}
	case "StatefulSet":
		return appsv1.SchemeGroupVersion.WithKind(kind), &appsv1.StatefulSetList{}
	case "DaemonSet":
		return appsv1.SchemeGroupVersion.WithKind(kind), &appsv1.DaemonSetList{}
	case "ReplicaSet":
		return appsv1.SchemeGroupVersion.WithKind(kind), &appsv1.ReplicaSetList{}
	case "Job":
		return batchv1.SchemeGroupVersion.WithKind(kind), &batchv1.JobList{}
	case "CronJob":
		return batchv1.SchemeGroupVersion.WithKind(kind), &batchv1.CronJobList{}
	}
	return schema.GroupVersionKind{}, nil
}

func parse(i int, rs *v1alpha1.ResourceSelector) (selector, error) {
	invalid := func(reason, field string, err error) (selector, error) {
		return selector{}, &invalidSelectorError{reason, fmt.Sprintf("resourceSelectors[%d].%s, %v", i, field, err)}
	}
	s := selector{labels: labels.Everything()}
	s.gvk, _ = builtin(rs.Kind)
	switch {
	case rs.APIVersion != "":
		gv, err := schema.ParseGroupVersion(rs.APIVersion)
		if err != nil {
			return invalid("InvalidAPIVersion", "apiVersion", err)
		}
		if s.gvk.Kind == "" || gv.Group != s.gvk.Group {
			s.gvk = gv.WithKind(rs.Kind)
		}
	case s.gvk.Kind == "":
		return invalid("InvalidAPIVersion", "apiVersion", fmt.Errorf("%s is no built-in kind, so its apiVersion is needed", rs.Kind))
	}
	var err error
	s.namespace, s.name = rs.Namespace, rs.Name
	if _, err = policy.MatchGlob(s.namespace, ""); err != nil {
		return invalid("InvalidPattern", "namespace", err)
	}
	if _, err = policy.MatchGlob(s.name, ""); err != nil {
		return invalid("InvalidPattern", "name", err)
	}
	if s.pods = rs.PodNamePattern; s.pods != "" {
		example := v1alpha1.WorkloadScaler{Spec: v1alpha1.WorkloadScalerSpec{PodNamePattern: s.pods, TargetRef: v1alpha1.TargetRef{Name: "name"}}}
		if _, err := policy.PodMatcher(&example); err != nil {
			return selector{}, &invalidSelectorError{"InvalidPattern", fmt.Sprintf("resourceSelectors[%d]: %v", i, err)}
		}
	}
	if rs.LabelSelector != nil {
		if s.labels, err = metav1.LabelSelectorAsSelector(rs.LabelSelector); err != nil {
			return invalid("InvalidLabelSelector", "labelSelector", err)
		}
	}
	return s, nil
}

// candidate is a workload that a rule selects.
type candidate struct {
	client.Object
	gvk schema.GroupVersionKind
	// pods is the podNamePattern of its scaler.
	pods string
}

func (c candidate) key() string {
	return workload.Key(c.gvk.GroupKind(), c.GetNamespace(), c.GetName())
}

// matching lists the workloads that the rule selects, each once, and says of the kinds that are not served, or may not be read, why.
func (r *Reconciler) matching(ctx context.Context, rule *v1alpha1.WorkloadScalerRule) (found []candidate, unread map[schema.GroupKind]string, err error) {
	seen := map[string]bool{}
	unread = map[schema.GroupKind]string{}
	for i := range rule.Spec.ResourceSelectors {
		s, err := parse(i, &rule.Spec.ResourceSelectors[i])
		if err != nil {
			return nil, nil, err
		}
		objects, err := r.list(ctx, s.gvk)
		switch {
		case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
			unread[s.gvk.GroupKind()] = fmt.Sprintf("%s is not served by this cluster", s.gvk.GroupKind())
			continue
		case apierrors.IsForbidden(err):
			unread[s.gvk.GroupKind()] = fmt.Sprintf("%s may not be listed: %v", s.gvk.GroupKind(), err)
			continue
		case err != nil:
			return nil, nil, err
		}
		for _, o := range objects {
			c := candidate{Object: o, gvk: s.gvk, pods: s.pods}
			if s.selects(o) && eligible(o) && !seen[c.key()] {
				seen[c.key()] = true
				found = append(found, c)
			}
		}
	}
	return found, unread, nil
}

func (s *selector) selects(o client.Object) bool {
	return matches(s.namespace, o.GetNamespace()) && matches(s.name, o.GetName()) && s.labels.Matches(labels.Set(o.GetLabels()))
}

func matches(glob, value string) bool {
	ok, err := policy.MatchGlob(glob, value)
	return ok && err == nil // parse has refused globs that are malformed
}

// eligible leaves out workloads that opted out, that are going, that have ended, and those whose controller is what a scaler
// should bind: the ReplicaSet of a Deployment, the Job of a CronJob.
func eligible(o client.Object) bool {
	if o.GetDeletionTimestamp() != nil || o.GetAnnotations()[v1alpha1.DisabledAnnotation] == "true" {
		return false
	}
	switch o := o.(type) {
	case *appsv1.ReplicaSet:
		return metav1.GetControllerOfNoCopy(o) == nil
	case *batchv1.Job:
		return metav1.GetControllerOfNoCopy(o) == nil && !finished(o)
	}
	return true
}

func finished(j *batchv1.Job) bool {
	for i := range j.Status.Conditions {
		c := &j.Status.Conditions[i]
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

func (r *Reconciler) list(ctx context.Context, gvk schema.GroupVersionKind) ([]client.Object, error) {
	if known, list := builtin(gvk.Kind); list != nil && known.GroupKind() == gvk.GroupKind() {
		if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing %s, %w", gvk.GroupKind(), err)
		}
		return objects(list)
	}
	var out []client.Object
	for token := ""; ; {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err := r.Direct.List(ctx, list, client.Limit(page), client.Continue(token)); err != nil {
			return nil, fmt.Errorf("listing %s, %w", gvk.GroupKind(), err)
		}
		found, err := objects(list)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
		if token = list.GetContinue(); token == "" {
			return out, nil
		}
	}
}

// page is how many objects of a custom kind are read in one request, so that a large list costs neither us nor the API server its memory.
const page = 500

func objects(list client.ObjectList) ([]client.Object, error) {
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, fmt.Errorf("reading %T, %w", list, err)
	}
	out := make([]client.Object, 0, len(items))
	for _, item := range items {
		if o, ok := item.(client.Object); ok {
			out = append(out, o)
		}
	}
	return out, nil
}
