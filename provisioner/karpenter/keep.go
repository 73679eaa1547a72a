package karpenter

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/utils/resources"

	"supercargo.dev/provisioner/packing"
)

// keepFor is how long after its node is ready a pod is expected to come to it: kube-scheduler tries a pod that it could not place again
// after 10 s at most, and takes its time over hundreds.
const keepFor = 30 * time.Second

// Keep takes pods that were planned already out of the problem and puts them on the nodes they were planned on, as long as those are on
// their way or have just come. Planned anew, onto nodes that were made to measure, some would not fit any more and have more nodes
// bought for them; and the others would be sent elsewhere again and again. Planned maps the UID of a pod to its node or claim.
//
// A pod whose node is gone, has been ready for a while, or has no room left stays in the problem.
func (s *Snapshot) Keep(planned map[types.UID]string, now time.Time) {
	if len(planned) == 0 {
		return
	}
	coming := map[string]*packing.Node{}
	for i := range s.Problem.Nodes {
		node := &s.Problem.Nodes[i]
		n := s.states[node.Name]
		switch {
		case n == nil: // the cloud has not answered
			coming[node.Name] = node
		case n.NodeClaim == nil:
		case isComing(n.NodeClaim, now):
			coming[node.Name], coming[n.NodeClaim.Name] = node, node
			if n.Node != nil {
				coming[n.Node.Name] = node
			}
		}
	}
	free := rooms{}
	pods := s.Problem.Pods[:0:0]
	pending := 0
	for i := range s.Problem.Pods {
		pod := s.Problem.Pods[i]
		if i < s.Pending {
			if node := coming[planned[pod.UID]]; node != nil && free.put(node, pod) {
				s.Kept = append(s.Kept, Kept{Pod: pod.Pod, Node: node.Name})
				continue
			}
			pending++
		}
		pods = append(pods, pod)
	}
	s.Problem.Pods, s.Pending = pods, pending
}

// isComing tells whether pods are still expected on the node of a claim.
func isComing(nc *karpv1.NodeClaim, now time.Time) bool {
	ready := nc.StatusConditions().Get(karpv1.ConditionTypeInitialized)
	return !ready.IsTrue() || now.Sub(ready.LastTransitionTime.Time) < keepFor
}

// rooms are what nodes have left, for those asked about before.
type rooms map[*packing.Node]corev1.ResourceList

// put puts a pod on a node, if there is room.
func (r rooms) put(node *packing.Node, pod packing.Pod) bool {
	left, known := r[node]
	if !known {
		left = resources.Subtract(node.Allocatable, node.Daemons)
		for i := range node.Pods {
			left = resources.Subtract(left, requests(&node.Pods[i]))
		}
		r[node] = left
	}
	wanted := requests(&pod)
	if !resources.Fits(wanted, left) {
		return false
	}
	r[node] = resources.Subtract(left, wanted)
	node.Pods = append(node.Pods, pod)
	return true
}

// requests of a pod, itself counted as one.
func requests(pod *packing.Pod) corev1.ResourceList {
	out := pod.Requests.DeepCopy()
	if pod.Requests == nil {
		out = resources.RequestsForPods(pod.Pod)
	}
	if out == nil {
		out = corev1.ResourceList{}
	}
	out[corev1.ResourcePods] = *oneNode()
	return out
}
