package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"github.com/awslabs/operatorpkg/status"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

func pod(owner string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "a", UID: "a", OwnerReferences: []metav1.OwnerReference{{Kind: owner, Controller: ptr.To(true)}},
	}}
	for _, c := range change {
		c(p)
	}
	return p
}

func bound(p *corev1.Pod) { p.Spec.NodeName = "node" }

func running(p *corev1.Pod) {
	bound(p)
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
}

func evicted(p *corev1.Pod) {
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue})
}

func going(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: t0} }

func unplaced(p *corev1.Pod) {
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
	})
}

func TestPods(t *testing.T) {
	for name, tc := range map[string]struct {
		events func(*Tally)
		want   Counts
	}{
		"a pod that no node has room for waits, and waiting counts up to now": {
			events: func(c *Tally) { c.SetPod(pod("ReplicaSet", unplaced), at(0)) },
			want:   Counts{Pods: 1, Unschedulable: 1, UnboundSeconds: 10},
		},
		"a bound pod waits no longer": {
			events: func(c *Tally) {
				c.SetPod(pod("ReplicaSet"), at(0))
				c.SetPod(pod("ReplicaSet", bound), at(4))
			},
			want: Counts{Pods: 1, Bound: 1, UnboundSeconds: 4},
		},
		"a pod that goes without a node has waited until then": {
			events: func(c *Tally) {
				c.SetPod(pod("ReplicaSet"), at(0))
				c.DeletePod(pod("ReplicaSet"), at(3))
			},
			want: Counts{UnboundSeconds: 3},
		},
		"an evicted pod has moved, once": {
			events: func(c *Tally) {
				c.SetPod(pod("ReplicaSet", running), at(0))
				c.SetPod(pod("ReplicaSet", running, evicted), at(1))
				c.SetPod(pod("ReplicaSet", running, evicted, going), at(2))
				c.DeletePod(pod("ReplicaSet", running, evicted, going), at(3))
			},
			want: Counts{Moved: 1},
		},
		"a pod that scaling down ends has not moved": {
			events: func(c *Tally) {
				c.SetPod(pod("ReplicaSet", running), at(0))
				c.SetPod(pod("ReplicaSet", running, going), at(1))
				c.DeletePod(pod("ReplicaSet", running, going), at(2))
			},
		},
		"an eviction that is seen only with the end counts": {
			events: func(c *Tally) {
				c.SetPod(pod("ReplicaSet", running), at(0))
				c.DeletePod(pod("ReplicaSet", running, evicted), at(1))
			},
			want: Counts{Moved: 1},
		},
		"an evicted pod that never ran has not moved": {
			events: func(c *Tally) { c.SetPod(pod("ReplicaSet", bound, evicted), at(0)) },
			want:   Counts{Pods: 1, Bound: 1},
		},
		"a pod that goes is no longer there": {
			events: func(c *Tally) { c.SetPod(pod("ReplicaSet", running, going), at(0)) },
		},
		"a pod that a kubelet turns away is rejected": {
			events: func(c *Tally) {
				refused := pod("ReplicaSet", bound)
				refused.Status.Phase = corev1.PodFailed
				c.SetPod(refused, at(0))
				c.SetPod(refused, at(1))
			},
			want: Counts{Rejected: 1},
		},
		"a running pod runs": {
			events: func(c *Tally) { c.SetPod(pod("ReplicaSet", running), at(0)) },
			want:   Counts{Pods: 1, Bound: 1, Running: 1},
		},
		"agents do not count": {
			events: func(c *Tally) {
				c.SetPod(pod("DaemonSet", running, evicted), at(0))
				c.DeletePod(pod("DaemonSet", running, evicted), at(1))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewTally()
			tc.events(c)
			tc.want.Disrupted = map[string]int{}
			if diff := cmp.Diff(tc.want, c.Counts(at(10))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestClaimsAreCountedOnceByTheReasonTheyGoFor(t *testing.T) {
	claim := func(uid string, why string, leaving bool) *karpv1.NodeClaim {
		c := &karpv1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: uid, UID: types.UID(uid)}}
		if why != "" {
			c.Status.Conditions = []status.Condition{{Type: karpv1.ConditionTypeDisruptionReason, Status: metav1.ConditionTrue, Reason: why}}
		}
		if leaving {
			c.DeletionTimestamp = &metav1.Time{Time: t0}
		}
		return c
	}
	c := NewTally()
	c.SetClaim(claim("stays", "", false))
	c.SetClaim(claim("empty", "Empty", false)) // chosen, and not given up yet
	c.SetClaim(claim("empty", "Empty", true))
	c.SetClaim(claim("empty", "Empty", true))
	c.DeleteClaim(claim("empty", "Empty", true))
	c.DeleteClaim(claim("lost", "", true))
	got := c.Counts(at(0))
	if diff := cmp.Diff(Counts{Claims: 3, Disrupted: map[string]int{"Empty": 1, "": 1}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSteadySince(t *testing.T) {
	sample := func(second int, rate float64, pods, runs int) Sample {
		return Sample{At: at(second), USDPerHour: rate, Nodes: 3, Launched: 3, Pods: pods, Running: runs}
	}
	for name, tc := range map[string]struct {
		samples []Sample
		want    int
	}{
		"nothing seen yet":                  {nil, 10},
		"from the last change of the rate":  {[]Sample{sample(0, 2, 5, 5), sample(1, 1, 5, 5), sample(2, 1, 5, 5)}, 1},
		"not while a pod does not run":      {[]Sample{sample(0, 1, 5, 5), sample(1, 1, 5, 4)}, 10},
		"from when the last pod ran":        {[]Sample{sample(0, 1, 5, 5), sample(1, 1, 5, 4), sample(2, 1, 5, 5)}, 2},
		"from the last change of the pods":  {[]Sample{sample(0, 1, 6, 6), sample(1, 1, 5, 5), sample(2, 1, 5, 5)}, 1},
		"from the beginning, if all is one": {[]Sample{sample(0, 1, 5, 5), sample(1, 1, 5, 5)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := steadySince(tc.samples, at(10)); !got.Equal(at(tc.want)) {
				t.Errorf("got %s after t0, want %d s", got.Sub(t0), tc.want)
			}
		})
	}
}
