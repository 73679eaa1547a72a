package observe

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
)

// world is what was seen of the cluster, fed by events.
type world struct {
	pods    map[types.NamespacedName]*corev1.Pod
	nodes   map[string]*corev1.Node
	claims  map[string]*karpv1.NodeClaim
	scalers map[types.NamespacedName]*v1alpha1.WorkloadScaler
	budgets budgets

	restarts map[types.UID]int32 // of containers, by pod
	ran      map[types.UID]bool  // pods that were seen running
	moved    map[types.UID]bool  // pods that ran and were then told to go
	rejected map[types.UID]bool  // pods that a kubelet did not admit
	counts   Counts
	// changedAt is when a claim last came, went or turned.
	changedAt time.Time
}

// Counts only grow.
type Counts struct {
	// Restarts of containers, but for those of Jobs, which are meant to end.
	Restarts int
	// Moved counts pods of ReplicaSets that ran and were told to go, for another pod to take their place.
	Moved int
	// Rejected counts pods that a kubelet did not admit for want of resources: two schedulers that do not know of each other's latest
	// decisions may fill the same node. Such a pod is replaced and never ran.
	Rejected int
}

func newWorld() *world {
	return &world{
		pods: map[types.NamespacedName]*corev1.Pod{}, nodes: map[string]*corev1.Node{}, claims: map[string]*karpv1.NodeClaim{},
		scalers: map[types.NamespacedName]*v1alpha1.WorkloadScaler{}, budgets: newBudgets(),
		restarts: map[types.UID]int32{}, ran: map[types.UID]bool{}, moved: map[types.UID]bool{}, rejected: map[types.UID]bool{},
	}
}

func (w *world) setPod(pod *corev1.Pod) {
	w.pods[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = pod
	if pod.Status.Phase == corev1.PodRunning {
		w.ran[pod.UID] = true
	}
	// The reasons of k8s.io/kubernetes/pkg/kubelet/lifecycle: OutOfcpu, OutOfmemory, OutOfpods and so on.
	if strings.HasPrefix(pod.Status.Reason, "OutOf") && !w.rejected[pod.UID] {
		w.rejected[pod.UID] = true
		w.counts.Rejected++
	}
	if ownedBy(pod, "Job") {
		return
	}
	var restarts int32
	for i := range pod.Status.ContainerStatuses {
		restarts += pod.Status.ContainerStatuses[i].RestartCount
	}
	if more := restarts - w.restarts[pod.UID]; more > 0 {
		w.restarts[pod.UID] = restarts
		w.counts.Restarts += int(more)
	}
	if !pod.DeletionTimestamp.IsZero() || pod.Status.Phase == corev1.PodFailed {
		w.gone(pod)
	}
}

func (w *world) deletePod(pod *corev1.Pod) {
	delete(w.pods, types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	w.gone(pod)
	delete(w.restarts, pod.UID)
	delete(w.ran, pod.UID)
}

func (w *world) gone(pod *corev1.Pod) {
	if w.ran[pod.UID] && !w.moved[pod.UID] && ownedBy(pod, "ReplicaSet") {
		w.moved[pod.UID] = true
		w.counts.Moved++
	}
}

func (w *world) setClaim(claim *karpv1.NodeClaim, now time.Time) {
	before := w.claims[claim.Name]
	w.claims[claim.Name] = claim
	if before == nil || phaseOf(before) != phaseOf(claim) {
		w.changedAt = now
	}
}

func (w *world) deleteClaim(name string, now time.Time) {
	delete(w.claims, name)
	w.changedAt = now
}

func ownedBy(pod *corev1.Pod, kind string) bool {
	owner := metav1.GetControllerOfNoCopy(pod)
	return owner != nil && owner.Kind == kind
}

// Phase is where a machine is in its life, as its NodeClaim says.
type Phase string

// Phases in the order they are gone through.
const (
	Launching   Phase = "launching"
	Starting    Phase = "starting"
	Ready       Phase = "ready"
	Leaving     Phase = "leaving"
	Terminating Phase = "terminating"
)

func phaseOf(claim *karpv1.NodeClaim) Phase {
	isTrue := func(condition string) bool {
		for i := range claim.Status.Conditions {
			if c := &claim.Status.Conditions[i]; c.Type == condition {
				return c.Status == metav1.ConditionTrue
			}
		}
		return false
	}
	switch {
	case isTrue(karpv1.ConditionTypeInstanceTerminating):
		return Terminating
	case !claim.DeletionTimestamp.IsZero():
		return Leaving
	case isTrue(karpv1.ConditionTypeInitialized):
		return Ready
	case claim.Status.ProviderID != "":
		return Starting
	}
	return Launching
}
