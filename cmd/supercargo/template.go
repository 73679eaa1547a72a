package main

import (
	"fmt"
	"io"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// template is an empty object of the kind of a workload whose template may be changed, or why it may not.
func template(s *v1alpha1.WorkloadScaler) (object client.Object, why string) {
	switch ref := s.Spec.TargetRef; ref.APIVersion + "/" + ref.Kind {
	case "apps/v1/Deployment":
		return &appsv1.Deployment{}, ""
	case "apps/v1/StatefulSet":
		return &appsv1.StatefulSet{}, ""
	case "apps/v1/DaemonSet":
		return &appsv1.DaemonSet{}, ""
	case "apps/v1/ReplicaSet":
		return &appsv1.ReplicaSet{}, ""
	case "batch/v1/CronJob":
		return &batchv1.CronJob{}, ""
	case "batch/v1/Job":
		return nil, "the template of a Job cannot be changed"
	default:
		return nil, fmt.Sprintf("the shape of a %s %s is not known here; --mode lets the recommender change its pods", ref.APIVersion, ref.Kind)
	}
}

// podSpec is the spec within the template of a workload.
func podSpec(o client.Object) *corev1.PodSpec {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return &o.Spec.Template.Spec
	case *appsv1.DaemonSet:
		return &o.Spec.Template.Spec
	case *appsv1.ReplicaSet:
		return &o.Spec.Template.Spec
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template.Spec
	}
	return &corev1.PodSpec{}
}

// ofTemplate is what is recommended for the containers of a template, by their own names: those of groups are told apart.
func ofTemplate(s *v1alpha1.WorkloadScaler, spec *corev1.PodSpec) []v1alpha1.ContainerRecommendation {
	return policy.ForPod(&corev1.Pod{Spec: *spec}, s.Spec.Resources.ContainerGroups, s.Status.Recommendation.Containers, nil)
}

// resizeTemplate gives the containers of a template what is recommended, and says what that changes. Resources lists what may be
// changed; empty means cpu and memory.
func resizeTemplate(spec *corev1.PodSpec, recommended []v1alpha1.ContainerRecommendation, resources []corev1.ResourceName) []string {
	if len(resources) == 0 {
		resources = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
	}
	var lines []string
	for i := range spec.Containers {
		c := &spec.Containers[i]
		at := slices.IndexFunc(recommended, func(r v1alpha1.ContainerRecommendation) bool { return r.Name == c.Name })
		if at < 0 {
			continue
		}
		r := &recommended[at]
		for _, name := range resources {
			request, ok := r.Requests[name]
			if !ok {
				continue
			}
			before := c.Resources.DeepCopy()
			if c.Resources.Requests == nil {
				c.Resources.Requests = corev1.ResourceList{}
			}
			c.Resources.Requests[name] = request
			if limit, limited := r.Limits[name]; limited {
				if c.Resources.Limits == nil {
					c.Resources.Limits = corev1.ResourceList{}
				}
				c.Resources.Limits[name] = limit
			} else {
				delete(c.Resources.Limits, name)
			}
			for _, field := range []struct {
				word        string
				was, became corev1.ResourceList
			}{{"request", before.Requests, c.Resources.Requests}, {"limit", before.Limits, c.Resources.Limits}} {
				was, had := field.was[name]
				is, has := field.became[name]
				if had != has || was.Cmp(is) != 0 {
					lines = append(lines, fmt.Sprintf("container %s: %s %s %s", c.Name, name, field.word, change(field.was, field.became, name)))
				}
			}
		}
	}
	return lines
}

// writePatch writes a change as a strategic merge patch, the form that kustomize takes. A null takes a limit away.
func writePatch(w io.Writer, p *pendingChange) error {
	var spec any
	metadata := map[string]any{"namespace": p.object.GetNamespace(), "name": p.object.GetName()}
	if scaler, ok := p.object.(*v1alpha1.WorkloadScaler); ok {
		spec = map[string]any{"resources": scaler.Spec.Resources}
		if mode, set := scaler.Annotations[v1alpha1.UpdateModeAnnotation]; set {
			metadata["annotations"] = map[string]string{v1alpha1.UpdateModeAnnotation: mode}
		} else if p.before.GetAnnotations()[v1alpha1.UpdateModeAnnotation] != "" {
			metadata["annotations"] = map[string]any{v1alpha1.UpdateModeAnnotation: nil}
		}
	} else {
		pod := map[string]any{"template": map[string]any{"spec": map[string]any{"containers": containerPatches(podSpec(p.before), podSpec(p.object))}}}
		spec = pod
		if _, ok := p.object.(*batchv1.CronJob); ok {
			spec = map[string]any{"jobTemplate": map[string]any{"spec": pod}}
		}
	}
	data, err := yaml.Marshal(map[string]any{
		"apiVersion": p.kind.GroupVersion().String(), "kind": p.kind.Kind,
		"metadata": metadata,
		"spec":     spec,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "---\n%s", data)
	return err
}

// containerPatches lists the containers that changed, with the resources that changed.
func containerPatches(before, after *corev1.PodSpec) []map[string]any {
	var out []map[string]any
	for i := range after.Containers {
		was, is := before.Containers[i].Resources, after.Containers[i].Resources
		resources := map[string]any{}
		if requests := listPatch(was.Requests, is.Requests); len(requests) > 0 {
			resources["requests"] = requests
		}
		if limits := listPatch(was.Limits, is.Limits); len(limits) > 0 {
			resources["limits"] = limits
		}
		if len(resources) > 0 {
			out = append(out, map[string]any{"name": after.Containers[i].Name, "resources": resources})
		}
	}
	return out
}

func listPatch(was, is corev1.ResourceList) map[corev1.ResourceName]any {
	out := map[corev1.ResourceName]any{}
	for name, q := range is {
		if old, had := was[name]; !had || old.Cmp(q) != 0 {
			out[name] = q.String()
		}
	}
	for name := range was {
		if _, has := is[name]; !has {
			out[name] = nil
		}
	}
	return out
}
