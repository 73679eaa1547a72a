package plannednode

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2/ktesting"
	fwk "k8s.io/kube-scheduler/framework"
	clocktesting "k8s.io/utils/clock/testing"

	"supercargo.dev/scheduler-plugins/config"
	"supercargo.dev/scheduler-plugins/feed"
	"supercargo.dev/scheduler-plugins/metrics"
	"supercargo.dev/scheduler-plugins/plans"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newPlugin(t *testing.T, nodes ...*corev1.Node) *Plugin {
	t.Helper()
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	args, err := config.Decode[config.PlannedNodeArgs](nil)
	if err != nil {
		t.Fatal(err)
	}
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, n := range nodes {
		if err := indexer.Add(n); err != nil {
			t.Fatal(err)
		}
	}
	return &Plugin{feed: feed.New(m, clocktesting.NewFakeClock(now)), args: args, nodes: corelisters.NewNodeLister(indexer)}
}

func clockAt(after time.Duration) *clocktesting.FakeClock { return clocktesting.NewFakeClock(now.Add(after)) }

func node(name string, status corev1.ConditionStatus, taints ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
	for _, key := range taints {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key})
	}
	return n
}

func waitingPod(nominated string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "uid"}, Status: corev1.PodStatus{NominatedNodeName: nominated}}
}

func TestAPodIsHeldWhileItsNodeIsOnItsWayAndNoLonger(t *testing.T) {
	for name, tc := range map[string]struct {
		plan      *plans.Plan
		nominated string
		nodes     []*corev1.Node
		wantHeld  bool
	}{
		"no node was bought for it":             {},
		"its node is being bought":              {plan: &plans.Plan{Claim: "c", Created: now}, wantHeld: true},
		"its node has a name but is not there":  {plan: &plans.Plan{Claim: "c", Created: now, Node: "n"}, wantHeld: true},
		"its node starts":                       {plan: &plans.Plan{Claim: "c", Created: now, Node: "n"}, nodes: []*corev1.Node{node("n", corev1.ConditionFalse)}, wantHeld: true},
		"Karpenter does not know its node yet":  {plan: &plans.Plan{Claim: "c", Created: now, Node: "n"}, nodes: []*corev1.Node{node("n", corev1.ConditionTrue, unregistered)}, wantHeld: true},
		"its node is ready":                     {plan: &plans.Plan{Claim: "c", Created: now, Node: "n"}, nodes: []*corev1.Node{node("n", corev1.ConditionTrue, "example.com/own")}},
		"its claim is given up":                 {plan: &plans.Plan{Claim: "c", Created: now, Going: true}},
		"it has waited for as long as it may":   {plan: &plans.Plan{Claim: "c", Created: now.Add(-5 * time.Minute)}},
		"it has waited for almost as long":      {plan: &plans.Plan{Claim: "c", Created: now.Add(-5*time.Minute + time.Second)}, wantHeld: true},
		"another node that is ready was chosen": {plan: &plans.Plan{Claim: "c", Created: now}, nominated: "o", nodes: []*corev1.Node{node("o", corev1.ConditionTrue)}},
		"another node that is not ready was":    {plan: &plans.Plan{Claim: "c", Created: now}, nominated: "o", nodes: []*corev1.Node{node("o", corev1.ConditionFalse)}, wantHeld: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlugin(t, tc.nodes...)
			if tc.plan != nil {
				p.feed.Plans.Set(*tc.plan, []types.UID{"uid"})
			}
			status := p.PreEnqueue(t.Context(), waitingPod(tc.nominated))
			if held := !status.IsSuccess(); held != tc.wantHeld {
				t.Fatalf("held: %t (%v), want %t", held, status, tc.wantHeld)
			}
			if tc.wantHeld && !strings.Contains(status.Message(), "nodeclaim c") {
				t.Errorf("it is told %q, which does not name the claim", status.Message())
			}
		})
	}
}

func TestAHeldPodIsTriedAgainWhenItsOwnNodeIsReady(t *testing.T) {
	for name, tc := range map[string]struct {
		after *corev1.Node
		want  fwk.QueueingHint
	}{
		"its node is ready":       {node("n", corev1.ConditionTrue), fwk.Queue},
		"its node still starts":   {node("n", corev1.ConditionFalse), fwk.QueueSkip},
		"another's node is ready": {node("o", corev1.ConditionTrue), fwk.QueueSkip},
	} {
		t.Run(name, func(t *testing.T) {
			logger, _ := ktesting.NewTestContext(t)
			p := newPlugin(t)
			p.feed.Plans.Set(plans.Plan{Claim: "c", Created: now, Node: "n"}, []types.UID{"uid"})
			got, err := p.afterNodeChange(logger, waitingPod(""), node(tc.after.Name, corev1.ConditionFalse), tc.after)
			if err != nil || got != tc.want {
				t.Errorf("hint %v, %v; want %v", got, err, tc.want)
			}
		})
	}
	p := newPlugin(t)
	logger, _ := ktesting.NewTestContext(t)
	if got, err := p.afterNodeChange(logger, waitingPod(""), nil, node("n", corev1.ConditionTrue)); err != nil || got != fwk.Queue {
		t.Errorf("hint for a pod whose plan is gone: %v, %v; want it queued", got, err)
	}
}
