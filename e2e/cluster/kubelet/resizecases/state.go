package resizecases

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var resizable = [...]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

// List is the resource list that an amount of a case means. It panics on what is no quantity: the table is wrong then.
func List(amounts string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i, amount := range strings.Fields(amounts) {
		if amount != "-" {
			list[resizable[i]] = resource.MustParse(amount)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list
}

// Amounts is the inverse of List.
func Amounts(list corev1.ResourceList) string {
	amounts := make([]string, len(resizable))
	for i, name := range resizable {
		amounts[i] = "-"
		if q, ok := list[name]; ok {
			amounts[i] = q.String()
		}
	}
	return strings.Join(amounts, " ")
}

// Object is the pod as it is created, without anything that says where it runs and what it uses.
func (p Pod) Object() *corev1.Pod {
	grace := int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: metav1.NamespaceDefault},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyAlways,
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: "main", Image: "supercargo.dev/workload",
				Resources:    corev1.ResourceRequirements{Requests: List(p.Requests), Limits: List(p.Limits)},
				ResizePolicy: p.Policy,
			}},
		},
	}
}

// StateOf reads a pod's state from its status.
func StateOf(status *corev1.PodStatus) (State, error) {
	if len(status.ContainerStatuses) != 1 || status.ContainerStatuses[0].Resources == nil {
		return State{}, fmt.Errorf("status reports no resources of one container: %+v", status.ContainerStatuses)
	}
	c := status.ContainerStatuses[0]
	s := State{
		Allocated: Amounts(c.AllocatedResources), Actual: Amounts(c.Resources.Requests), Limits: Amounts(c.Resources.Limits),
		Restarts: c.RestartCount,
	}
	for i := range status.Conditions {
		reason := status.Conditions[i].Reason
		if reason == "" {
			reason = "Going on"
		}
		switch status.Conditions[i].Type {
		case corev1.PodResizePending:
			s.Pending = reason
		case corev1.PodResizeInProgress:
			s.InProgress = reason
		default:
		}
	}
	return s, nil
}
