package recommendation

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// container of the workload's template by name, nil where it has none.
func (v *view) container(name string) *corev1.Container {
	containers := v.workload.Containers()
	for i := range containers {
		if containers[i].Name == name {
			return &containers[i]
		}
	}
	return nil
}

// keepHeap keeps the memory request of a Java container from shrinking below its heap and what the JVM needs besides: a heap that has
// not been filled yet is no memory to spare.
func keepHeap(c *v1alpha1.ContainerRecommendation, template corev1.Container) {
	jvm, java := policy.DetectJVM(template)
	wanted, has := c.Requests[corev1.ResourceMemory]
	if !java || !has {
		return
	}
	current, stated := template.Resources.Requests[corev1.ResourceMemory]
	limit := template.Resources.Limits[corev1.ResourceMemory]
	if !stated {
		current = limit
	}
	floor := *resource.NewQuantity(jvm.Floor(limit.Value()), resource.BinarySI)
	if floor.Cmp(current) > 0 {
		floor = current
	}
	if wanted.Cmp(floor) >= 0 {
		return
	}
	c.Requests[corev1.ResourceMemory] = floor
	c.Explanation = append(c.Explanation, v1alpha1.ExplanationStep{
		Resource: corev1.ResourceMemory, Step: "JVM", Value: floor.String(), Message: "memory of a JVM does not shrink below its heap and what it needs besides",
	})
}

// label writes on the scaler which runtime its workload was recognised by.
func (r *Reconciler) label(ctx context.Context, v *view) error {
	want := ""
	if policy.RunsJava(v.workload.Spec()) {
		want = v1alpha1.RuntimeJava
	}
	if v.scaler.Labels[v1alpha1.RuntimeLabel] == want || v.workload.Spec() == nil {
		return nil
	}
	var value any
	if want != "" {
		value = want
	}
	b, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": v.scaler.UID, "labels": map[string]any{v1alpha1.RuntimeLabel: value}}})
	if err != nil {
		return fmt.Errorf("labelling workloadscaler %s/%s, %w", v.scaler.Namespace, v.scaler.Name, err)
	}
	target := &v1alpha1.WorkloadScaler{}
	target.Namespace, target.Name = v.scaler.Namespace, v.scaler.Name
	if err := r.Client.Patch(ctx, target, client.RawPatch(types.MergePatchType, b)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("labelling workloadscaler %s/%s, %w", v.scaler.Namespace, v.scaler.Name, err)
	}
	return nil
}
