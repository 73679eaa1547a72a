package kubelet_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/e2e/cluster/kubelet"
	"supercargo.dev/e2e/cluster/kubelet/resizecases"
)

func (e *env) testResize(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "resizing"})
	p := pod("inplace", "resizing", "500m 256Mi", "1 512Mi")
	p.Annotations[kubelet.AnnotationUsage] = `{"*": {"cpu": "100m", "memory": "64Mi"}}`
	before := e.run(t, p)
	if err := e.resize(t, p.Name, `{"requests":{"cpu":"800m","memory":"128Mi"},"limits":{"memory":"256Mi"}}`); err != nil {
		t.Fatal(err)
	}
	after := e.until(t, p.Name, "is resized", func(p *corev1.Pod) bool {
		r := p.Status.ContainerStatuses[0].Resources
		return r.Requests.Cpu().String() == "800m" && condition(p, corev1.PodResizeInProgress) == ""
	})
	s := after.Status.ContainerStatuses[0]
	if diff := cmp.Diff(after.Spec.Containers[0].Resources, *s.Resources); diff != "" {
		t.Errorf("actual resources (-spec +status):\n%s", diff)
	}
	if s.RestartCount != 0 || s.ContainerID != before.Status.ContainerStatuses[0].ContainerID {
		t.Errorf("restarted: %+v", s)
	}
	if after.Status.ObservedGeneration != after.Generation {
		t.Errorf("observed generation %d of %d", after.Status.ObservedGeneration, after.Generation)
	}
}

func (e *env) testDeferred(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "crowded", Capacity: quantities("2", "8Gi")})
	e.run(t, pod("neighbour", "crowded", "1 64Mi", ""))
	e.run(t, pod("grows", "crowded", "500m 64Mi", ""))
	if err := e.resize(t, "grows", `{"requests":{"cpu":"1800m"}}`); err != nil {
		t.Fatal(err)
	}
	e.until(t, "grows", "is deferred", func(p *corev1.Pod) bool { return condition(p, corev1.PodResizePending) == "True Deferred" })
	if err := e.client.CoreV1().Pods(metav1.NamespaceDefault).Delete(t.Context(), "neighbour", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	e.until(t, "grows", "is resized", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses[0]
		return s.AllocatedResources.Cpu().String() == "1800m" && s.Resources.Requests.Cpu().String() == "1800m" &&
			condition(p, corev1.PodResizePending) == "" && condition(p, corev1.PodResizeInProgress) == ""
	})
}

func (e *env) testInfeasible(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "small", Capacity: quantities("2", "4Gi"), StaticCPUManager: true})
	e.run(t, pod("infeasible", "small", "1 64Mi", "1 64Mi"))
	if err := e.resize(t, "infeasible", `{"requests":{"cpu":"3"},"limits":{"cpu":"3"}}`); !apierrors.IsForbidden(err) {
		t.Errorf("beyond the node: %v", err)
	}
	if err := e.resize(t, "infeasible", `{"requests":{"cpu":"1500m"},"limits":{"cpu":"1500m"}}`); err != nil {
		t.Fatal(err)
	}
	e.until(t, "infeasible", "is infeasible", func(p *corev1.Pod) bool { return condition(p, corev1.PodResizePending) == "True Infeasible" })
	if err := e.resize(t, "infeasible", `{"requests":{"cpu":"1"},"limits":{"cpu":"1"}}`); err != nil {
		t.Fatal(err)
	}
	e.until(t, "infeasible", "is as it was", func(p *corev1.Pod) bool { return condition(p, corev1.PodResizePending) == "" })
}

func (e *env) testLimitDecrease(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "decreasing"})
	p := pod("busy", "decreasing", "100m 128Mi", "1 512Mi")
	p.Annotations[kubelet.AnnotationUsage] = `{"main": {"memory": "300Mi"}}`
	e.run(t, p)
	if err := e.resize(t, p.Name, `{"limits":{"memory":"200Mi"}}`); err != nil {
		t.Fatal(err)
	}
	got := e.until(t, p.Name, "has an error", func(p *corev1.Pod) bool { return condition(p, corev1.PodResizeInProgress) == "True Error" })
	if limit := got.Status.ContainerStatuses[0].Resources.Limits.Memory().String(); limit != "512Mi" {
		t.Errorf("limit %s in force", limit)
	}
	if err := e.resize(t, p.Name, `{"limits":{"memory":"400Mi"}}`); err != nil {
		t.Fatal(err)
	}
	e.until(t, p.Name, "is resized", func(p *corev1.Pod) bool {
		return condition(p, corev1.PodResizeInProgress) == "" && p.Status.ContainerStatuses[0].Resources.Limits.Memory().String() == "400Mi"
	})
}

func (e *env) testResizeCases(t *testing.T) {
	for i, tc := range resizecases.Cases() {
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprintf("resize-%d", i)
			e.boot(t, kubelet.NodeSpec{Name: name, Capacity: resizecases.List("2 2Gi"), StaticCPUManager: tc.StaticCPUManager})
			for _, p := range tc.Pods {
				made := p.Object()
				made.Name = name + "-" + p.Name
				made.Spec.NodeName = name
				made.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
				made.Annotations = map[string]string{kubelet.AnnotationUsage: usageOf(p.Memory)}
				if p.Priority != 0 {
					made.Spec.PriorityClassName = e.priorityClass(t, p.Priority)
				}
				e.run(t, made)
			}
			for number, step := range tc.Steps {
				e.do(t, name, step)
				for pod, want := range step.Want {
					var got resizecases.State
					e.until(t, name+"-"+pod, fmt.Sprintf("is in the state of step %d, %+v", number+1, want), func(p *corev1.Pod) bool {
						var err error
						got, err = resizecases.StateOf(&p.Status)
						return err == nil && got == want
					})
				}
			}
		})
	}
}

func usageOf(memory string) string {
	if memory == "" {
		memory = "10Mi"
	}
	return fmt.Sprintf(`{"main": {"cpu": "10m", "memory": %q}}`, memory)
}

func (e *env) priorityClass(t *testing.T, value int32) string {
	t.Helper()
	name := fmt.Sprintf("priority-%d", value)
	_, err := e.client.SchedulingV1().PriorityClasses().Create(t.Context(),
		&schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	return name
}

func (e *env) do(t *testing.T, node string, step resizecases.Step) {
	t.Helper()
	pods := e.client.CoreV1().Pods(metav1.NamespaceDefault)
	if step.Delete != "" {
		if err := pods.Delete(t.Context(), node+"-"+step.Delete, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		return
	}
	name := node + "-" + step.Resize
	if step.Memory != "" {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{kubelet.AnnotationUsage: usageOf(step.Memory)}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pods.Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	resources, err := json.Marshal(corev1.ResourceRequirements{Requests: resizecases.List(step.Requests), Limits: resizecases.List(step.Limits)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.resize(t, name, string(resources)); err != nil {
		t.Fatal(err)
	}
}
