package departure_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/scheduler-plugins/departure"
)

func TestAnnounced(t *testing.T) {
	taint := func(key string) *corev1.Node {
		return &corev1.Node{Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: key}}}}
	}
	now := metav1.Now()
	for name, tc := range map[string]struct {
		node *corev1.Node
		want bool
	}{
		"a node like any other":             {node: &corev1.Node{}},
		"a node of some taint":              {node: taint("example.com/gpu")},
		"a node that starts":                {node: taint("node.kubernetes.io/not-ready")},
		"deleted":                           {node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}}, want: true},
		"cordoned":                          {node: &corev1.Node{Spec: corev1.NodeSpec{Unschedulable: true}}, want: true},
		"disrupted by Karpenter":            {node: taint("karpenter.sh/disrupted"), want: true},
		"a candidate of Cluster Autoscaler": {node: taint("DeletionCandidateOfClusterAutoscaler"), want: true},
		"a spot notice of AWS":              {node: taint("aws-node-termination-handler/spot-itn"), want: true},
		"a notice of GCP":                   {node: taint("cloud.google.com/impending-node-termination"), want: true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := departure.Announced(tc.node); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestLeaves(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		claim departure.Claim
		want  bool
	}{
		"one that stays":          {},
		"one that is going":       {departure.Claim{Going: true}, true},
		"one that expires soon":   {departure.Claim{Expires: now.Add(time.Hour)}, true},
		"one that expires later":  {departure.Claim{Expires: now.Add(time.Hour + time.Second)}, false},
		"one that should be gone": {departure.Claim{Expires: now.Add(-time.Hour)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.claim.Leaves(now, time.Hour); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	c := departure.NewClaims()
	c.Set("claim", departure.Claim{})
	if _, ok := c.Of(""); ok {
		t.Error("a claim in flight has a node")
	}
	c.Set("claim", departure.Claim{Node: "n"})
	version := c.Version()
	c.Set("claim", departure.Claim{Node: "n"})
	if c.Version() != version {
		t.Error("the same again is a change")
	}
	c.Set("claim", departure.Claim{Node: "n", Going: true})
	if got, ok := c.Of("n"); !ok || !got.Going || c.Version() == version {
		t.Errorf("got %+v, %v", got, ok)
	}
	// The claim's successor took the node's name before the claim was seen to go.
	c.Set("successor", departure.Claim{Node: "n"})
	c.Delete("claim")
	if got, ok := c.Of("n"); !ok || got.Going {
		t.Errorf("got %+v, %v", got, ok)
	}
	c.Delete("successor")
	if _, ok := c.Of("n"); ok {
		t.Error("the node has a claim that is gone")
	}
}
