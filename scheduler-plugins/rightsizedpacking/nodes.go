package rightsizedpacking

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/clock"

	"supercargo.dev/recommender/demand"
	"supercargo.dev/scheduler-plugins/departure"
)

// doNotDisruptAnnotation on a pod is Karpenter's: its node is not disrupted while the pod runs.
const doNotDisruptAnnotation = "karpenter.sh/do-not-disrupt"

// summary is what is remembered of a node: what takes a walk over its pods.
type summary struct {
	// change that recommendations will make to what the pods on the node ask for, in sum.
	change demand.Resources
	standing
}

// epoch tells whether a summary still holds for a node that has not changed itself.
type epoch struct {
	demand, claims uint64
	minute         int64 // expiry comes by itself
}

// surveyor works summaries out.
type surveyor struct {
	demand  *demand.Index
	claims  *departure.Claims
	clock   clock.PassiveClock
	expires time.Duration
	scored  bool // by expected demand; otherwise changes are not looked at
}

func (s *surveyor) epoch() epoch {
	return epoch{demand: s.demand.Version(), claims: s.claims.Version(), minute: s.clock.Now().Unix() / 60}
}

func (s *surveyor) survey(info fwk.NodeInfo, at epoch) summary {
	var found summary
	node := info.Node()
	claim, claimed := s.claims.Of(node.Name)
	found.leaving = departure.Announced(node) || claimed && claim.Leaves(time.Unix(at.minute*60, 0), s.expires)
	for _, podInfo := range info.GetPods() {
		pod := podInfo.GetPod()
		if s.scored {
			found.change = found.change.Add(s.demand.Change(pod))
		}
		if !movable(pod) {
			continue
		}
		found.movable++
		found.held = found.held || pod.Annotations[doNotDisruptAnnotation] == "true"
	}
	return found
}

// movable says whether a pod has to find another place when its node goes: not those that belong to the node, and not those
// that are going anyway.
func movable(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	if _, static := pod.Annotations[corev1.MirrorPodAnnotationKey]; static {
		return false
	}
	controller := metav1.GetControllerOfNoCopy(pod)
	return controller == nil || controller.Kind != "DaemonSet"
}
