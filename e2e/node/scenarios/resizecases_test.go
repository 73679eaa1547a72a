//go:build linux

package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/e2e/cluster/kubelet/resizecases"
	"supercargo.dev/e2e/node"
)

// TestResizes runs the table that the simulated kubelets run, on the real one: they are to make the same of each resize.
func TestResizes(t *testing.T) {
	w := newWorld(t)
	for _, static := range []bool{false, true} {
		if static {
			w.reconfigure(staticCPUs())
		}
		for _, tc := range resizecases.Cases() {
			if tc.StaticCPUManager == static {
				t.Run(tc.Name, func(t *testing.T) { newWorld(t).resizeCase(tc) })
			}
		}
	}
}

func (w *world) resizeCase(tc resizecases.Case) {
	for _, p := range tc.Pods {
		made := p.Object()
		made.Spec.NodeName = nodeName
		made.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		made.Spec.Containers[0].Image, made.Spec.Containers[0].ImagePullPolicy = node.WorkloadImage, corev1.PullNever
		if p.Memory != "" {
			made.Spec.Containers[0].Args = []string{"--memory-mib=" + strconv.FormatInt(mebibytes(p.Memory), 10)}
		}
		if p.Priority != 0 {
			made.Spec.PriorityClassName = w.priorityClass(p.Priority)
		}
		w.create(made)
		w.eventually("pod "+p.Name+" is ready", w.ready(p.Name))
		// The kubelet decides by what it has measured, and a container takes its time to fill its memory.
		w.eventually("the kubelet knows what pod "+p.Name+" uses", w.measured(p.Name, mebibytes(p.Memory)))
	}
	for i, step := range tc.Steps {
		w.resizeStep(step)
		for name, want := range step.Want {
			w.eventually(fmt.Sprintf("pod %s is after step %d in the state %+v", name, i+1, want), func(context.Context) string {
				p := w.pod(name)
				got, err := resizecases.StateOf(&p.Status)
				if err != nil {
					return err.Error()
				}
				if got != want {
					return fmt.Sprintf("%+v", got)
				}
				return ""
			})
		}
	}
}

func (w *world) resizeStep(step resizecases.Step) {
	if step.Delete != "" {
		if err := w.Delete(w.t.Context(), w.pod(step.Delete)); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	if step.Memory != "" {
		w.use(step.Resize, "memoryMiB", mebibytes(step.Memory))
	}
	w.resize(step.Resize, corev1.ResourceRequirements{Requests: resizecases.List(step.Requests), Limits: resizecases.List(step.Limits)})
}

// resize resizes container main of a pod through the resize subresource.
func (w *world) resize(name string, to corev1.ResourceRequirements) {
	w.t.Helper()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "main", "resources": to}}}})
	if err != nil {
		w.t.Fatal(err)
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}}
	if err := w.SubResource("resize").Patch(w.t.Context(), p, client.RawPatch(types.StrategicMergePatchType, patch)); err != nil {
		w.t.Fatalf("resizing pod %s: %v", name, err)
	}
}

func (w *world) priorityClass(value int32) string {
	w.t.Helper()
	name := fmt.Sprintf("priority-%d", value)
	err := w.Create(w.t.Context(), &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
	return name
}

// mebibytes of a quantity, 0 of none.
func mebibytes(quantity string) int64 {
	if quantity == "" {
		return 0
	}
	q := resource.MustParse(quantity)
	return q.Value() >> 20
}
