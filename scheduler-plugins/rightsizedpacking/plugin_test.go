package rightsizedpacking_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	promtest "github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2/ktesting"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	st "k8s.io/kubernetes/pkg/scheduler/testing"
	clocktesting "k8s.io/utils/clock/testing"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/scheduler-plugins/departure"
	"supercargo.dev/scheduler-plugins/feed"
	"supercargo.dev/scheduler-plugins/metrics"
	"supercargo.dev/scheduler-plugins/rightsizedpacking"
)

func makePod(name, node, cpu, memory string) *st.PodWrapper {
	return st.MakePod().Namespace("shop").Name(name).UID(name).ResourceVersion("1").Node(node).
		Req(map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory})
}

// of makes the pod one of a Deployment.
func of(p *st.PodWrapper, deployment string) *st.PodWrapper {
	return p.Label("pod-template-hash", "abc").OwnerReference(deployment+"-abc", appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
}

func makeNode(name string) *st.NodeWrapper {
	return st.MakeNode().Name(name).Capacity(map[corev1.ResourceName]string{corev1.ResourceCPU: "10", corev1.ResourceMemory: "10Gi", corev1.ResourcePods: "100"})
}

func makeScaler(deployment, cpu, memory string) *v1alpha1.WorkloadScaler {
	return &v1alpha1.WorkloadScaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: deployment},
		Spec:       v1alpha1.WorkloadScalerSpec{TargetRef: v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: deployment}},
		Status: v1alpha1.WorkloadScalerStatus{
			Policy: &v1alpha1.MatchedPolicy{Mode: v1alpha1.UpdateModeInPlace},
			Recommendation: &v1alpha1.Recommendation{
				Confidence: v1alpha1.Confidence{Level: v1alpha1.ConfidenceFull},
				Containers: []v1alpha1.ContainerRecommendation{{Name: "con0", Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
				}}},
			},
		},
	}
}

// world is a plugin in a framework whose snapshot the test replaces.
type world struct {
	*rightsizedpacking.Plugin
	*lister
	feed  *feed.Feed
	clock *clocktesting.FakeClock
}

type lister struct{ fwk.SharedLister }

func newWorld(t testing.TB, args string, pods []*corev1.Pod, nodes []*corev1.Node) *world {
	t.Helper()
	_, ctx := ktesting.NewTestContext(t)
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{lister: &lister{cache.NewSnapshot(pods, nodes)}, clock: clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))}
	w.feed = feed.New(m, w.clock)
	handle, err := frameworkruntime.NewFramework(ctx, nil, nil, frameworkruntime.WithSnapshotSharedLister(w.lister))
	if err != nil {
		t.Fatal(err)
	}
	var object runtime.Object
	if args != "" {
		object = &runtime.Unknown{Raw: []byte(args), ContentType: runtime.ContentTypeJSON}
	}
	plugin, err := rightsizedpacking.Factory(w.feed)(ctx, object, handle)
	if err != nil {
		t.Fatal(err)
	}
	w.Plugin = plugin.(*rightsizedpacking.Plugin)
	return w
}

// schedule scores the pod on all nodes.
func (w *world) schedule(t testing.TB, pod *corev1.Pod) map[string]int64 {
	t.Helper()
	infos, err := w.NodeInfos().List()
	if err != nil {
		t.Fatal(err)
	}
	cycle := framework.NewCycleState()
	if status := w.PreScore(context.Background(), cycle, pod, infos); !status.IsSuccess() {
		t.Fatal(status)
	}
	var scores fwk.NodeScoreList
	for _, info := range infos {
		score, status := w.Score(context.Background(), cycle, pod, info)
		if !status.IsSuccess() {
			t.Fatal(status)
		}
		scores = append(scores, fwk.NodeScore{Name: info.Node().Name, Score: score})
	}
	if status := w.ScoreExtensions().NormalizeScore(context.Background(), cycle, pod, scores); !status.IsSuccess() {
		t.Fatal(status)
	}
	byName := map[string]int64{}
	for _, s := range scores {
		byName[s.Name] = s.Score
	}
	return byName
}

func TestScore(t *testing.T) {
	for name, tc := range map[string]struct {
		args          string
		pods          []*corev1.Pod
		nodes         []*corev1.Node
		scalers       []*v1alpha1.WorkloadScaler
		claims        map[string]departure.Claim
		pod           *corev1.Pod
		better, worse string
	}{
		"the fuller node": {
			pods:   []*corev1.Pod{makePod("p", "a", "5", "5Gi").Obj(), makePod("q", "b", "2", "2Gi").Obj()},
			nodes:  []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()},
			better: "a", worse: "b",
		},
		"the node that is fuller once its pods have shrunk": {
			pods:    []*corev1.Pod{of(makePod("p", "a", "6", "6Gi"), "fat").Obj(), makePod("q", "b", "4", "4Gi").Obj()},
			nodes:   []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()},
			scalers: []*v1alpha1.WorkloadScaler{makeScaler("fat", "1", "1Gi")},
			better:  "b", worse: "a",
		},
		"recommendations do not matter when enforced demand is scored": {
			args:    `{"demand":"Enforced"}`,
			pods:    []*corev1.Pod{of(makePod("p", "a", "6", "6Gi"), "fat").Obj(), makePod("q", "b", "4", "4Gi").Obj()},
			nodes:   []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()},
			scalers: []*v1alpha1.WorkloadScaler{makeScaler("fat", "1", "1Gi")},
			better:  "a", worse: "b",
		},
		"a node that will not hold its pods once they have grown": {
			pods:    []*corev1.Pod{of(makePod("p", "a", "6", "6Gi"), "hungry").Obj(), makePod("q", "b", "1", "1Gi").Obj()},
			nodes:   []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()},
			scalers: []*v1alpha1.WorkloadScaler{makeScaler("hungry", "9500m", "6Gi")},
			better:  "b", worse: "a",
		},
		"a node that consolidation could remove for nothing": {
			pods:   []*corev1.Pod{makePod("p", "a", "1", "1Gi").Obj()},
			nodes:  []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()},
			better: "a", worse: "b",
		},
		"a node with nothing but daemons is as good as empty": {
			args:   `{"stayPercent":100}`,
			pods:   []*corev1.Pod{makePod("p", "a", "100m", "1Mi").Obj(), makePod("d", "b", "100m", "1Mi").OwnerReference("agent", appsv1.SchemeGroupVersion.WithKind("DaemonSet")).Obj()},
			nodes:  []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()},
			better: "a", worse: "b",
		},
		"a node that is held is better than a fuller one": {
			pods:   []*corev1.Pod{makePod("p", "a", "5", "5Gi").Annotation("karpenter.sh/do-not-disrupt", "true").Obj(), makePod("q", "b", "6", "6Gi").Obj()},
			nodes:  []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()},
			better: "a", worse: "b",
		},
		"a node that is being disrupted": {
			pods:   []*corev1.Pod{makePod("p", "a", "5", "5Gi").Obj()},
			nodes:  []*corev1.Node{makeNode("a").Taints([]corev1.Taint{{Key: "karpenter.sh/disrupted", Effect: corev1.TaintEffectNoSchedule}}).Obj(), makeNode("b").Obj()},
			better: "b", worse: "a",
		},
		"a node whose claim has drifted": {
			pods:   []*corev1.Pod{makePod("p", "a", "5", "5Gi").Obj()},
			nodes:  []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()},
			claims: map[string]departure.Claim{"claim-a": {Node: "a", Going: true}},
			better: "b", worse: "a",
		},
		"a node that expires within the hour": {
			pods:   []*corev1.Pod{makePod("p", "a", "5", "5Gi").Obj()},
			nodes:  []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()},
			claims: map[string]departure.Claim{"claim-a": {Node: "a", Expires: time.Date(2026, 1, 1, 0, 30, 0, 0, time.UTC)}, "claim-b": {Node: "b", Expires: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}},
			better: "b", worse: "a",
		},
		"the planned node wins over a fuller one": {
			pods:   []*corev1.Pod{makePod("p", "a", "5", "5Gi").Obj()},
			nodes:  []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()},
			pod:    makePod("new", "", "1", "1Gi").NominatedNodeName("b").Obj(),
			better: "b", worse: "a",
		},
		"a pod without a need for the GPU leaves it free": {
			args: `{"resources":[{"name":"cpu","weight":1},{"name":"memory","weight":1},{"name":"nvidia.com/gpu","weight":2}]}`,
			pods: []*corev1.Pod{makePod("p", "a", "2", "2Gi").Obj(), makePod("q", "b", "2", "2Gi").Obj()},
			nodes: []*corev1.Node{makeNode("a").Obj(), st.MakeNode().Name("b").Capacity(map[corev1.ResourceName]string{
				corev1.ResourceCPU: "10", corev1.ResourceMemory: "10Gi", corev1.ResourcePods: "100", "nvidia.com/gpu": "4",
			}).Obj()},
			better: "a", worse: "b",
		},
		"room that is balanced": {
			pods:   []*corev1.Pod{makePod("p", "a", "4", "4Gi").Obj(), makePod("q", "b", "8", "100Mi").Obj()},
			nodes:  []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()},
			better: "a", worse: "b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.args, tc.pods, tc.nodes)
			for _, s := range tc.scalers {
				if err := w.feed.Demand.SetScaler(s); err != nil {
					t.Fatal(err)
				}
			}
			for name, claim := range tc.claims {
				w.feed.Claims.Set(name, claim)
			}
			pod := tc.pod
			if pod == nil {
				pod = makePod("new", "", "1", "1Gi").Obj()
			}
			if got := w.schedule(t, pod); got[tc.better] <= got[tc.worse] {
				t.Errorf("%s has %d, %s has %d", tc.better, got[tc.better], tc.worse, got[tc.worse])
			}
		})
	}
}

func TestANodeOfUnknownSizeIsNeitherGoodNorBad(t *testing.T) {
	w := newWorld(t, "", []*corev1.Pod{makePod("p", "full", "8", "8Gi").Obj()}, []*corev1.Node{makeNode("full").Obj(), st.MakeNode().Name("unknown").Obj(), makeNode("empty").Obj()})
	got := w.schedule(t, makePod("new", "", "1", "1Gi").Obj())
	if got["full"] <= got["unknown"] || got["unknown"] <= got["empty"] {
		t.Errorf("got %v", got)
	}
}

func TestSummariesFollowPodsScalersClaimsAndTime(t *testing.T) {
	nodes := []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()}
	pods := []*corev1.Pod{of(makePod("p", "a", "6", "6Gi"), "web").Obj(), makePod("q", "b", "4", "4Gi").Obj()}
	w := newWorld(t, "", pods, nodes)
	pod := makePod("new", "", "1", "1Gi").Obj()
	best := func(step, want string) {
		t.Helper()
		got := w.schedule(t, pod)
		other := map[string]string{"a": "b", "b": "a"}[want]
		if got[want] <= got[other] {
			t.Errorf("%s: got %v, want %s", step, got, want)
		}
	}
	best("a is fuller", "a")
	if err := w.feed.Demand.SetScaler(makeScaler("web", "100m", "100Mi")); err != nil {
		t.Fatal(err)
	}
	best("the pod on a will shrink", "b")
	w.feed.Demand.DeleteScaler("shop", "web")
	best("its scaler is gone", "a")
	w.feed.Claims.Set("claim-a", departure.Claim{Node: "a", Expires: w.clock.Now().Add(2 * time.Hour)})
	best("a expires, but not soon", "a")
	w.clock.Step(90 * time.Minute)
	best("a expires soon", "b")
	w.feed.Claims.Delete("claim-a")
	best("the claim is gone", "a")
	w.SharedLister = cache.NewSnapshot(append(pods, makePod("r", "b", "5", "5Gi").Obj()), nodes)
	best("a pod came to b", "b")
	w.SharedLister = cache.NewSnapshot(nil, []*corev1.Node{makeNode("c").Obj(), makeNode("d").Obj()})
	if got := w.schedule(t, pod); len(got) != 2 || got["c"] != got["d"] {
		t.Errorf("new nodes: got %v", got)
	}
}

func TestSignPod(t *testing.T) {
	w := newWorld(t, "", nil, nil)
	sign := func(p *corev1.Pod) []fwk.SignFragment {
		t.Helper()
		fragments, status := w.SignPod(context.Background(), p)
		if !status.IsSuccess() {
			t.Fatal(status)
		}
		return fragments
	}
	web, other := of(makePod("p", "", "1", "1Gi"), "web").Obj(), of(makePod("q", "", "1", "1Gi"), "other").Obj()
	if diff := cmp.Diff(sign(web), sign(other)); diff != "" {
		t.Errorf("pods that need the same differ:\n%s", diff)
	}
	if err := w.feed.Demand.SetScaler(makeScaler("web", "2", "1Gi")); err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(sign(web), sign(other)) {
		t.Error("pods that will need different amounts have one signature")
	}
	planned := other.DeepCopy()
	planned.Status.NominatedNodeName = "a"
	if cmp.Equal(sign(planned), sign(other)) {
		t.Error("a pod with a planned node has the signature of one without")
	}
}

func TestReserveCounts(t *testing.T) {
	w := newWorld(t, "", []*corev1.Pod{makePod("p", "a", "1", "1Gi").Obj()}, []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()})
	pod := makePod("new", "", "1", "1Gi").NominatedNodeName("a").Obj()
	w.schedule(t, pod)
	for _, node := range []string{"a", "b", "z"} {
		w.Reserve(context.Background(), nil, pod, node)
	}
	for label, want := range map[string]float64{"filled": 1, "empty": 1, "unknown": 1, "leaving": 0} {
		if got := promtest.ToFloat64(w.feed.Metrics.Packed.WithLabelValues("", label)); got != want {
			t.Errorf("%s: got %v, want %v", label, got, want)
		}
	}
	for label, want := range map[string]float64{"honoured": 1, "missed": 2} {
		if got := promtest.ToFloat64(w.feed.Metrics.Planned.WithLabelValues("", label)); got != want {
			t.Errorf("%s: got %v, want %v", label, got, want)
		}
	}
}

func TestFactoryRefusesArguments(t *testing.T) {
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	_, ctx := ktesting.NewTestContext(t)
	_, err = rightsizedpacking.Factory(feed.New(m, clocktesting.NewFakeClock(time.Unix(0, 0))))(ctx, &runtime.Unknown{Raw: []byte(`{"stayPercentage": 3}`)}, nil)
	if err == nil {
		t.Error("a misspelt argument was accepted")
	}
}

func TestTwoProfilesDoNotShareArguments(t *testing.T) {
	pods := []*corev1.Pod{of(makePod("p", "a", "6", "6Gi"), "fat").Obj(), makePod("q", "b", "4", "4Gi").Obj()}
	nodes := []*corev1.Node{makeNode("a").Obj(), makeNode("b").Obj()}
	expected, enforced := newWorld(t, "", pods, nodes), newWorld(t, `{"demand":"Enforced"}`, pods, nodes)
	for _, w := range []*world{expected, enforced} {
		if err := w.feed.Demand.SetScaler(makeScaler("fat", "1", "1Gi")); err != nil {
			t.Fatal(err)
		}
	}
	pod := makePod("new", "", "1", "1Gi").Obj()
	if e, f := expected.schedule(t, pod), enforced.schedule(t, pod); e["a"] >= e["b"] || f["a"] <= f["b"] {
		t.Errorf("got %v and %v", e, f)
	}
}

// prepared returns a plugin with nodes of 30 pods each, ready to score.
func prepared(t testing.TB, nodes int) (*world, fwk.CycleState, *corev1.Pod, []fwk.NodeInfo) {
	var all []*corev1.Node
	var pods []*corev1.Pod
	for n := range nodes {
		name := fmt.Sprintf("node-%d", n)
		all = append(all, makeNode(name).Obj())
		for i := range 30 {
			pods = append(pods, of(makePod(fmt.Sprintf("%s-%d", name, i), name, "200m", "200Mi"), "web").Obj())
		}
	}
	w := newWorld(t, "", pods, all)
	if err := w.feed.Demand.SetScaler(makeScaler("web", "100m", "100Mi")); err != nil {
		t.Fatal(err)
	}
	pod, cycle := makePod("new", "", "1", "1Gi").Obj(), framework.NewCycleState()
	infos, err := w.NodeInfos().List()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // nodes that are met in one cycle are remembered from the next on
		if status := w.PreScore(context.Background(), cycle, pod, infos); !status.IsSuccess() {
			t.Fatal(status)
		}
		for _, info := range infos {
			if _, status := w.Score(context.Background(), cycle, pod, info); !status.IsSuccess() {
				t.Fatal(status)
			}
		}
	}
	return w, cycle, pod, infos
}

func TestScoreDoesNotAllocate(t *testing.T) {
	w, cycle, pod, infos := prepared(t, 1)
	if got := testing.AllocsPerRun(100, func() { _, _ = w.Score(context.Background(), cycle, pod, infos[0]) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkScore(b *testing.B) {
	w, cycle, pod, infos := prepared(b, 500)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, status := w.Score(context.Background(), cycle, pod, infos[i%len(infos)]); status != nil {
			b.Fatal(status)
		}
	}
}

// BenchmarkScoreOfChangedNode is for a node of 30 pods to which something happened.
func BenchmarkScoreOfChangedNode(b *testing.B) {
	w, cycle, pod, infos := prepared(b, 500)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		info := infos[i%len(infos)]
		info.SetNode(info.Node())
		if _, status := w.Score(context.Background(), cycle, pod, info); status != nil {
			b.Fatal(status)
		}
	}
}
