package main

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
)

// Tally counts what happens to pods and machines, from the events of the API server alone. It is not safe for concurrent use.
type Tally struct {
	pods   map[types.UID]*podState
	claims map[types.UID]claimState
	counts Counts
}

// Counts of what happened only grow; those of what there is do not.
type Counts struct {
	// Pods that are neither over nor going; Bound of them have a node, Running of them are ready.
	Pods, Bound, Running int
	// Unschedulable pods were tried by a scheduler, and no node has room.
	Unschedulable int
	// Moved pods ran and were told to go by something else than the scaling of their workload: an eviction, or the loss of their node.
	Moved int
	// Rejected pods were turned away by a kubelet.
	Rejected int
	// Claims is how many machines were asked for; Disrupted how many were given up for a reason of the engine, by reason.
	Claims    int
	Disrupted map[string]int
	// UnboundSeconds is the sum over pods of the time without a node, of those that have one now or are gone.
	UnboundSeconds float64
}

type podState struct {
	since               time.Time // when it was first seen without a node
	bound, running      bool
	ran, moved, refused bool
	going, unplaced     bool
}

type claimState struct{ disrupted bool }

// NewTally has seen nothing.
func NewTally() *Tally {
	return &Tally{pods: map[types.UID]*podState{}, claims: map[types.UID]claimState{}, counts: Counts{Disrupted: map[string]int{}}}
}

// SetPod notes that a pod is there or has changed.
func (t *Tally) SetPod(pod *corev1.Pod, now time.Time) {
	if !counted(pod) {
		return
	}
	s := t.pods[pod.UID]
	if s == nil {
		s = &podState{since: now}
		t.pods[pod.UID] = s
	}
	if pod.Status.Phase == corev1.PodRunning {
		s.ran = true
	}
	if pod.Status.Phase == corev1.PodFailed && !s.refused && !s.ran {
		s.refused = true
		t.counts.Rejected++
	}
	if s.ran && !s.moved && disrupted(pod) {
		s.moved = true
		t.counts.Moved++
	}
	if !s.bound && pod.Spec.NodeName != "" {
		t.counts.UnboundSeconds += now.Sub(s.since).Seconds()
	}
	s.bound = pod.Spec.NodeName != ""
	s.running, s.unplaced = ready(pod), unschedulable(pod)
	s.going = !pod.DeletionTimestamp.IsZero() || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}

// DeletePod notes that a pod is no more. The pod is as it was last.
func (t *Tally) DeletePod(pod *corev1.Pod, now time.Time) {
	if !counted(pod) {
		return
	}
	t.SetPod(pod, now)
	if s := t.pods[pod.UID]; !s.bound {
		t.counts.UnboundSeconds += now.Sub(s.since).Seconds()
	}
	delete(t.pods, pod.UID)
}

// counted tells whether the pod is of a workload of the benchmark, and no agent.
func counted(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOfNoCopy(pod)
	return owner != nil && owner.Kind == "ReplicaSet"
}

// disrupted tells whether somebody other than the pod's owner had it go: the eviction API, the scheduler and the garbage collection
// of pods on lost nodes all say so in a condition before they delete the pod.
func disrupted(pod *corev1.Pod) bool { return isTrue(pod, corev1.DisruptionTarget) }

func ready(pod *corev1.Pod) bool { return isTrue(pod, corev1.PodReady) }

func unschedulable(pod *corev1.Pod) bool {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodScheduled {
			return c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
		}
	}
	return false
}

func isTrue(pod *corev1.Pod, condition corev1.PodConditionType) bool {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == condition {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// SetClaim notes that a NodeClaim is there or has changed.
func (t *Tally) SetClaim(claim *karpv1.NodeClaim) {
	s, known := t.claims[claim.UID]
	if !known {
		t.counts.Claims++
	}
	if !s.disrupted && !claim.DeletionTimestamp.IsZero() {
		s.disrupted = true
		t.counts.Disrupted[reason(claim)]++
	}
	t.claims[claim.UID] = s
}

// DeleteClaim notes that a NodeClaim is no more.
func (t *Tally) DeleteClaim(claim *karpv1.NodeClaim) {
	t.SetClaim(claim)
	delete(t.claims, claim.UID)
}

// reason is why an engine gave a machine up, "" where it does not say.
func reason(claim *karpv1.NodeClaim) string {
	for i := range claim.Status.Conditions {
		if c := &claim.Status.Conditions[i]; c.Type == karpv1.ConditionTypeDisruptionReason && c.Status == metav1.ConditionTrue {
			return c.Reason
		}
	}
	return ""
}

// Counts returns the counts so far; pods that wait are charged up to now.
func (t *Tally) Counts(now time.Time) Counts {
	c := t.counts
	c.Disrupted = map[string]int{}
	for k, v := range t.counts.Disrupted {
		c.Disrupted[k] = v
	}
	for _, s := range t.pods {
		if !s.bound {
			c.UnboundSeconds += now.Sub(s.since).Seconds()
		}
		if s.going {
			continue
		}
		c.Pods++
		if s.bound {
			c.Bound++
		}
		if s.running {
			c.Running++
		}
		if s.unplaced {
			c.Unschedulable++
		}
	}
	return c
}
