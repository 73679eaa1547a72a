package plannednode

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/ptr"

	"github.com/google/go-cmp/cmp"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/provisioner/succession"
	"supercargo.dev/scheduler-plugins/plans"
)

// snapshots is a framework that knows nodes and pods, and which pods are to be tried again.
type snapshots struct {
	*cache.Snapshot
	activated sets.Set[string]
}

func (s *snapshots) SnapshotSharedLister() fwk.SharedLister { return s.Snapshot }

func (s *snapshots) Activate(_ klog.Logger, pods map[string]*corev1.Pod) {
	for key := range pods {
		s.activated.Insert(key)
	}
}

func podOf(owner, name, cpu string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)},
		}}}},
	}
	if owner != "" {
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", UID: types.UID(owner), Controller: ptr.To(true)}}
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func on(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

// planned is a ready node of 4 CPUs with a plan: places for two pods of web and one of db, of 1 CPU each.
func planned(t *testing.T, name string, taints ...string) *corev1.Node {
	t.Helper()
	n := node(name, corev1.ConditionTrue, taints...)
	for i := range n.Spec.Taints {
		n.Spec.Taints[i].Effect = corev1.TaintEffectNoSchedule
	}
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourcePods: resource.MustParse("10")}
	one := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	value, err := succession.Encode([]succession.Plan{{Made: metav1.NewTime(now), From: []string{"old"}, Places: []succession.Place{
		{Owner: "db", Pods: 1, Requests: one}, {Owner: "web", Pods: 2, Requests: one},
	}}}, now)
	if err != nil {
		t.Fatal(err)
	}
	n.Annotations = map[string]string{v1alpha1.PlannedSuccessorsAnnotation: value}
	return n
}

// among is a plugin that sees nodes and pods, and another node that is going.
func among(t *testing.T, nodes []*corev1.Node, pods ...*corev1.Pod) (*Plugin, *snapshots) {
	t.Helper()
	old := node("old", corev1.ConditionTrue, "karpenter.sh/disrupted")
	p := newPlugin(t, append(nodes, old)...)
	s := &snapshots{cache.NewSnapshot(pods, nodes), sets.New[string]()}
	p.handle = s
	for _, n := range nodes {
		if err := p.feed.Successors.SetNode(n.Name, n.Annotations[v1alpha1.PlannedSuccessorsAnnotation]); err != nil {
			t.Fatal(err)
		}
	}
	for _, owner := range []types.UID{"web", "db"} { // each has a pod on the node that goes
		p.feed.Successors.SetPod("last of "+owner, owner)
	}
	return p, s
}

func TestASuccessorIsLedToItsPlace(t *testing.T) {
	tried := func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
	}
	for name, tc := range map[string]struct {
		nodes func(t *testing.T) []*corev1.Node // those with a plan; nil: one, n
		pods  []*corev1.Pod
		pod   *corev1.Pod
		plan  *plans.Plan // by the pod's UID
		want  []string    // nil: anywhere
	}{
		"to the node with its place": {pod: podOf("web", "new", "1"), want: []string{"n"}},
		"to either of two": {
			nodes: func(t *testing.T) []*corev1.Node { return []*corev1.Node{planned(t, "n"), planned(t, "m")} },
			pod:   podOf("web", "new", "1"), want: []string{"m", "n"},
		},
		"to the second place after another came to the first": {pods: []*corev1.Pod{podOf("web", "first", "1", on("n"))}, pod: podOf("web", "new", "1"), want: []string{"n"}},
		"not when all places are taken":                       {pods: []*corev1.Pod{podOf("web", "first", "1", on("n")), podOf("web", "second", "1", on("n"))}, pod: podOf("web", "new", "1")},
		"not when others have filled the node":                {pods: []*corev1.Pod{podOf("", "x", "3500m", on("n"))}, pod: podOf("web", "new", "1")},
		"not when it was tried":                               {pod: podOf("web", "new", "1", tried)},
		"not when a node was chosen for it":                   {pod: podOf("web", "new", "1", func(p *corev1.Pod) { p.Status.NominatedNodeName = "other" })},
		"not when a node was bought for it":                   {pod: podOf("web", "new", "1"), plan: &plans.Plan{Claim: "c", Created: now}},
		"not a pod of another owner":                          {pod: podOf("api", "new", "1")},
		"not a pod without owner":                             {pod: podOf("", "new", "1")},
		"not to a node that is not ready": {
			nodes: func(t *testing.T) []*corev1.Node { return []*corev1.Node{planned(t, "n", corev1.TaintNodeNotReady)} }, pod: podOf("web", "new", "1"),
		},
		"not to a node that is going itself": {
			nodes: func(t *testing.T) []*corev1.Node { return []*corev1.Node{planned(t, "n", "karpenter.sh/disrupted")} }, pod: podOf("web", "new", "1"),
		},
		"not to a node that it does not tolerate": {
			nodes: func(t *testing.T) []*corev1.Node { return []*corev1.Node{planned(t, "n", "example.com/own")} }, pod: podOf("web", "new", "1"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := []*corev1.Node{planned(t, "n")}
			if tc.nodes != nil {
				nodes = tc.nodes(t)
			}
			p, s := among(t, nodes, tc.pods...)
			if tc.plan != nil {
				p.feed.Plans.Set(*tc.plan, []types.UID{tc.pod.UID})
			}
			result, status := p.PreFilter(t.Context(), framework.NewCycleState(), tc.pod, nil)
			if !status.IsSuccess() {
				t.Fatal(status)
			}
			var got []string
			if result != nil {
				got = sets.List(result.NodeNames)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
			if again := s.activated.Has("shop/new"); again != (tc.want != nil) {
				t.Errorf("it is tried again when it is refused there: %t", again)
			}
		})
	}
}

func TestPlacesAreKeptFreeForThoseTheyAreFor(t *testing.T) {
	first := podOf("web", "first", "1", on("n"))
	priority := func(p *corev1.Pod) { p.Spec.Priority = ptr.To(int32(1)) }
	daemon := func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "DaemonSet", UID: "agent", Controller: ptr.To(true)}}
	}
	for name, tc := range map[string]struct {
		pods  []*corev1.Pod
		pod   *corev1.Pod
		after time.Duration
		want  bool // it may come
	}{
		"one takes what no place needs":                {pod: podOf("", "new", "1"), want: true},
		"one would take the room of a place":           {pod: podOf("", "new", "1100m")},
		"a place is taken, and its room counts once":   {pods: []*corev1.Pod{first}, pod: podOf("", "new", "1"), want: true},
		"a successor takes its own":                    {pods: []*corev1.Pod{podOf("", "x", "3", on("n"))}, pod: podOf("web", "new", "1"), want: true},
		"a third of two successors is like others":     {pods: []*corev1.Pod{first, podOf("web", "second", "1", on("n"))}, pod: podOf("web", "new", "1100m")},
		"one of higher priority need not wait":         {pod: podOf("", "new", "4", priority), want: true},
		"a pod of the node's own has no other":         {pod: podOf("", "new", "4", daemon), want: true},
		"the node has no room anyway":                  {pod: podOf("", "new", "5"), want: true}, // NodeResourcesFit says so
		"the plan has ended":                           {pod: podOf("", "new", "4"), after: succession.MaxAge, want: true},
		"a pod that asks for nothing takes no place":   {pods: []*corev1.Pod{podOf("", "x", "1", on("n"))}, pod: podOf("", "new", "0"), want: true},
		"but may take the last of the number of pods":  {pods: many(7), pod: podOf("", "new", "0")},
		"and one that leaves enough of them is let in": {pods: many(6), pod: podOf("", "new", "0"), want: true},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := among(t, []*corev1.Node{planned(t, "n")}, tc.pods...)
			p.feed.Clock = clockAt(tc.after)
			state := framework.NewCycleState()
			if _, status := p.PreFilter(t.Context(), state, tc.pod, nil); !status.IsSuccess() && !status.IsSkip() {
				t.Fatal(status)
			}
			info, err := s.NodeInfos().Get("n")
			if err != nil {
				t.Fatal(err)
			}
			status := p.Filter(t.Context(), state, tc.pod, info)
			if status.IsSuccess() != tc.want {
				t.Errorf("it may come: %t (%v), want %t", status.IsSuccess(), status, tc.want)
			}
			if !tc.want && status.Code() != fwk.Unschedulable {
				t.Errorf("the code is %s: preemption would not be tried", status.Code())
			}
		})
	}
}

// many pods on the node, all but free.
func many(n int) (out []*corev1.Pod) {
	for i := range n {
		out = append(out, podOf("", string(rune('a'+i)), "1m", on("n")))
	}
	return out
}

func TestPodsThatAreLedAreNotBatchedAndOthersAre(t *testing.T) {
	p, _ := among(t, []*corev1.Node{planned(t, "n")})
	for owner, want := range map[string]bool{"web": false, "api": true, "": true} {
		if _, status := p.SignPod(t.Context(), podOf(owner, "new", "1")); status.IsSuccess() != want {
			t.Errorf("a pod of owner %q is signed: %t, want %t", owner, status.IsSuccess(), want)
		}
	}
}

func TestWithoutWaitingNothingIsKept(t *testing.T) {
	p, _ := among(t, []*corev1.Node{planned(t, "n")})
	p.args.MaxWait = &metav1.Duration{}
	if _, status := p.PreFilter(t.Context(), framework.NewCycleState(), podOf("web", "new", "1"), nil); !status.IsSkip() {
		t.Errorf("status %v, want Skip", status)
	}
}
