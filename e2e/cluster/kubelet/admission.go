package kubelet

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
	resourcehelper "k8s.io/component-helpers/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	v1qos "k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"
	kubelettypes "k8s.io/kubernetes/pkg/kubelet/types"
	schedulerframework "k8s.io/kubernetes/pkg/scheduler/framework"
)

// verdict says why a pod, or a resize of it, is not accepted; nil when it is.
type verdict struct {
	reason, message string
}

// admitPod decides whether a pod may start on the node, beside the pods that already hold resources there: the real
// kubelet's predicate (OS, resources, node affinity, host ports, NoExecute taints) with its reasons and messages, after
// the eviction manager's rule for nodes under memory pressure. The others carry their allocated resources.
func admitPod(node *corev1.Node, pod *corev1.Pod, others []*corev1.Pod, memoryPressure bool) *verdict {
	if memoryPressure && !kubelettypes.IsCriticalPod(pod) && v1qos.GetPodQOS(pod) == corev1.PodQOSBestEffort &&
		!corev1helpers.TolerationsTolerateTaint(klog.Background(), pod.Spec.Tolerations,
			&corev1.Taint{Key: corev1.TaintNodeMemoryPressure, Effect: corev1.TaintEffectNoSchedule}, false) {
		return &verdict{reason: "Evicted", message: "The node had condition: [MemoryPressure]. "}
	}
	return predicate(node, pod, others, lifecycle.AddOperation)
}

// resizeRules are the properties of a node that decide about resizes beside its resources.
type resizeRules struct {
	staticCPUManager              bool
	beyondAllocatableIsInfeasible bool
}

func resizeRulesOf(spec NodeSpec) (resizeRules, error) {
	rules := resizeRules{staticCPUManager: spec.StaticCPUManager}
	if spec.KubeletVersion != "" {
		v, err := version.ParseSemantic(spec.KubeletVersion)
		if err != nil {
			return resizeRules{}, fmt.Errorf("kubelet version %q, %w", spec.KubeletVersion, err)
		}
		rules.beyondAllocatableIsInfeasible = v.LessThan(version.MajorMinor(1, 36))
	}
	return rules, nil
}

// admitResize decides whether the pod's wanted resources can be allocated now. The verdict's reason is
// PodReasonInfeasible if never on this node; any other reason means Deferred.
func admitResize(node *corev1.Node, rules resizeRules, pod *corev1.Pod, allocated resources, others []*corev1.Pod) *verdict {
	if rules.staticCPUManager && v1qos.GetPodQOS(pod) == corev1.PodQOSGuaranteed && cpuRequestChanges(allocated, wantedBy(pod)) {
		return &verdict{
			reason:  corev1.PodReasonInfeasible,
			message: `Resize is infeasible for Guaranteed Pods alongside CPU Manager policy "static"`,
		}
	}
	if rules.beyondAllocatableIsInfeasible {
		// canResizePod of kubelets v1.33 to v1.35.
		wanted := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, available := wanted[name], node.Status.Allocatable[name]
			if request.Cmp(available) <= 0 {
				continue
			}
			r, a := request.Value(), available.Value()
			if name == corev1.ResourceCPU {
				r, a = request.MilliValue(), available.MilliValue()
			}
			return &verdict{
				reason:  corev1.PodReasonInfeasible,
				message: fmt.Sprintf("Node didn't have enough capacity: %s, requested: %d, capacity: %d", name, r, a),
			}
		}
	}
	return predicate(node, pod, others, lifecycle.ResizeOperation)
}

func cpuRequestChanges(from, to resources) bool {
	for _, lists := range [][2][]corev1.ResourceRequirements{{from.init, to.init}, {from.regular, to.regular}} {
		for i := range lists[0] {
			if !lists[0][i].Requests[corev1.ResourceCPU].Equal(lists[1][i].Requests[corev1.ResourceCPU]) {
				return true
			}
		}
	}
	return false
}

// predicate runs the kubelet's own admission code.
func predicate(node *corev1.Node, pod *corev1.Pod, others []*corev1.Pod, operation lifecycle.Operation) *verdict {
	handler := lifecycle.NewPredicateAdmitHandler(
		func(context.Context, bool) (*corev1.Node, error) { return node, nil },
		lifecycle.NewAdmissionFailureHandlerStub(),
		func(*schedulerframework.NodeInfo, *lifecycle.PodAdmitAttributes) error { return nil }, // no device plugins
	)
	result := handler.Admit(&lifecycle.PodAdmitAttributes{Pod: pod, OtherPods: others, Operation: operation})
	if result.Admit {
		return nil
	}
	return &verdict{reason: result.Reason, message: result.Message}
}
