package spotpreference_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	st "k8s.io/kubernetes/pkg/scheduler/testing"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/demand"
	"supercargo.dev/scheduler-plugins/feed"
	"supercargo.dev/scheduler-plugins/metrics"
	"supercargo.dev/scheduler-plugins/offering"
	"supercargo.dev/scheduler-plugins/replicas"
	"supercargo.dev/scheduler-plugins/spotpreference"
)

func makePod(name string, spot v1alpha1.SpotTolerance) *st.PodWrapper {
	p := st.MakePod().Namespace("shop").Name(name).UID(name).ResourceVersion("1").
		Req(map[corev1.ResourceName]string{corev1.ResourceCPU: "1", corev1.ResourceMemory: "1Gi"})
	if spot != "" {
		p.Annotation(v1alpha1.SpotAnnotation, string(spot))
	}
	return p
}

func of(p *st.PodWrapper, deployment string) *st.PodWrapper {
	return p.Label("pod-template-hash", "abc").OwnerReference(deployment+"-abc", appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
}

func ownerOf(deployment string) demand.Owner {
	return demand.Owner{Namespace: "shop", Group: "apps", Kind: "Deployment", Name: deployment}
}

func makeNode(name, capacityType, price string) *st.NodeWrapper {
	n := st.MakeNode().Name(name).Label(corev1.LabelInstanceTypeStable, "m.large").Label(corev1.LabelTopologyZone, "z-"+name).
		Capacity(map[corev1.ResourceName]string{corev1.ResourceCPU: "10", corev1.ResourceMemory: "10Gi", corev1.ResourcePods: "100"})
	if capacityType != "" {
		n.Label(offering.CapacityTypeLabel, capacityType)
	}
	if price != "" {
		n.Annotation(v1alpha1.PriceAnnotation, price)
	}
	return n
}

type world struct {
	*spotpreference.Plugin
	fwk.SharedLister
	feed *feed.Feed
}

// newWorld has a namespace "shop" behind it, and a feed that reads no API server.
func newWorld(t testing.TB, args string, namespace *corev1.Namespace, nodes ...*corev1.Node) *world {
	t.Helper()
	_, ctx := ktesting.NewTestContext(t)
	ctx, cancel := context.WithCancel(ctx)
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{SharedLister: cache.NewSnapshot(nil, nodes), feed: feed.New(m, clocktesting.NewFakeClock(time.Unix(0, 0)))}
	if namespace == nil {
		namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	}
	factory := informers.NewSharedInformerFactory(fake.NewClientset(namespace), 0)
	handle, err := frameworkruntime.NewFramework(ctx, nil, nil, frameworkruntime.WithSnapshotSharedLister(w), frameworkruntime.WithInformerFactory(factory))
	if err != nil {
		t.Fatal(err)
	}
	var object runtime.Object
	if args != "" {
		object = &runtime.Unknown{Raw: []byte(args), ContentType: runtime.ContentTypeJSON}
	}
	plugin, err := spotpreference.Factory(w.feed)(ctx, object, handle)
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	t.Cleanup(func() {
		cancel()
		factory.Shutdown()
		w.feed.Wait()
	})
	for _, n := range nodes {
		w.feed.Replicas.SetNode(n.Name, replicas.Node{Spot: offering.IsSpot(n), Pool: offering.PoolOf(n)})
	}
	w.Plugin = plugin.(*spotpreference.Plugin)
	return w
}

// schedule returns the scores of the nodes that pass, and the reasons of the others.
func (w *world) schedule(t testing.TB, pod *corev1.Pod) (map[string]int64, map[string]string) {
	t.Helper()
	ctx, cycle := context.Background(), framework.NewCycleState()
	infos, err := w.NodeInfos().List()
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	_, status := w.PreFilter(ctx, cycle, pod, infos)
	if !status.IsSuccess() && !status.IsSkip() {
		return nil, map[string]string{"*": status.Message()}
	}
	var passed []fwk.NodeInfo
	for _, info := range infos {
		if !status.IsSkip() {
			if s := w.Filter(ctx, cycle, pod, info); !s.IsSuccess() {
				reasons[info.Node().Name] = s.Message()
				continue
			}
		}
		passed = append(passed, info)
	}
	if s := w.PreScore(ctx, cycle, pod, passed); !s.IsSuccess() {
		t.Fatal(s)
	}
	var scores fwk.NodeScoreList
	for _, info := range passed {
		score, s := w.Score(ctx, cycle, pod, info)
		if !s.IsSuccess() {
			t.Fatal(s)
		}
		scores = append(scores, fwk.NodeScore{Name: info.Node().Name, Score: score})
	}
	if s := w.NormalizeScore(ctx, cycle, pod, scores); !s.IsSuccess() {
		t.Fatal(s)
	}
	byName := map[string]int64{}
	for _, s := range scores {
		byName[s.Name] = s.Score
	}
	return byName, reasons
}

func setPolicy(t testing.TB, w *world, name string, spec v1alpha1.PlacementPolicySpec) {
	t.Helper()
	if _, err := w.feed.Policies.Set(&v1alpha1.PlacementPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}); err != nil {
		t.Fatal(err)
	}
}

func TestFilterAndScore(t *testing.T) {
	spot, onDemand, plain := makeNode("spot", "spot", "0.10").Obj(), makeNode("demand", "on-demand", "0.40").Obj(), makeNode("plain", "", "").Obj()
	for name, tc := range map[string]struct {
		args      string
		pod       *corev1.Pod
		namespace map[string]string
		policy    *v1alpha1.PlacementPolicySpec
		nodes     []*corev1.Node
		scores    map[string]int64
		reasons   map[string]string
	}{
		"never keeps a pod off spot": {
			pod: makePod("p", v1alpha1.SpotNever).Obj(), nodes: []*corev1.Node{spot, onDemand, plain},
			scores: map[string]int64{"demand": 99, "plain": 99}, reasons: map[string]string{"spot": spotpreference.ReasonNever},
		},
		"require keeps it on spot": {
			pod: makePod("p", v1alpha1.SpotRequire).Obj(), nodes: []*corev1.Node{spot, onDemand, plain},
			scores: map[string]int64{"spot": 99}, reasons: map[string]string{"demand": spotpreference.ReasonRequire, "plain": spotpreference.ReasonRequire},
		},
		"tolerate goes by price": {
			pod: makePod("p", v1alpha1.SpotTolerate).Obj(), nodes: []*corev1.Node{spot, onDemand},
			scores: map[string]int64{"spot": 99, "demand": 25},
		},
		"a pod that says nothing tolerates": {
			pod: makePod("p", "").Obj(), nodes: []*corev1.Node{spot, onDemand},
			scores: map[string]int64{"spot": 99, "demand": 25},
		},
		"unless the profile says otherwise": {
			args: `{"defaultTolerance":"never"}`,
			pod:  makePod("p", "").Obj(), nodes: []*corev1.Node{spot, onDemand},
			scores: map[string]int64{"demand": 99}, reasons: map[string]string{"spot": spotpreference.ReasonNever},
		},
		"prefer takes dear spot before cheap on-demand": {
			pod: makePod("p", v1alpha1.SpotPrefer).Obj(), nodes: []*corev1.Node{makeNode("dear", "spot", "3").Obj(), makeNode("cheap", "on-demand", "0.01").Obj()},
			scores: map[string]int64{"dear": 99, "cheap": 49},
		},
		"a word that is not understood is taken for never": {
			pod: makePod("p", "Nevr").Obj(), nodes: []*corev1.Node{spot, onDemand},
			scores: map[string]int64{"demand": 99}, reasons: map[string]string{"spot": spotpreference.ReasonNever},
		},
		"the namespace speaks for its pods": {
			pod: makePod("p", "").Obj(), namespace: map[string]string{v1alpha1.SpotAnnotation: "never"}, nodes: []*corev1.Node{spot, onDemand},
			scores: map[string]int64{"demand": 99}, reasons: map[string]string{"spot": spotpreference.ReasonNever},
		},
		"the pod's own word is stronger": {
			pod: makePod("p", v1alpha1.SpotTolerate).Obj(), namespace: map[string]string{v1alpha1.SpotAnnotation: "never"}, nodes: []*corev1.Node{spot, onDemand},
			scores: map[string]int64{"spot": 99, "demand": 25},
		},
		"a policy speaks for pods that nobody else speaks for": {
			pod: makePod("p", "").Label("tier", "db").Obj(), policy: &v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotNever, PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "db"}}},
			nodes: []*corev1.Node{spot, onDemand}, scores: map[string]int64{"demand": 99}, reasons: map[string]string{"spot": spotpreference.ReasonNever},
		},
		"without prices nothing is better than anything else": {
			pod: makePod("p", "").Obj(), nodes: []*corev1.Node{makeNode("a", "spot", "").Obj(), makeNode("b", "on-demand", "").Obj(), makeNode("c", "", "").Obj()},
			scores: map[string]int64{"a": 50, "b": 50, "c": 50},
		},
		"a node without a price is in the middle": {
			pod: makePod("p", "").Obj(), nodes: []*corev1.Node{spot, onDemand, plain},
			scores: map[string]int64{"spot": 99, "demand": 25, "plain": 62},
		},
		"a risky pool must be cheaper": {
			args: `{"interruptionLoss":"10h"}`,
			pod:  makePod("p", "").Obj(), nodes: []*corev1.Node{makeNode("risky", "spot", "0.10").Annotation(v1alpha1.RiskAnnotation, "0.5").Obj(), makeNode("calm", "spot", "0.20").Obj()},
			scores: map[string]int64{"risky": 33, "calm": 99},
		},
		"the planned node wins": {
			pod: makePod("p", "").NominatedNodeName("demand").Obj(), nodes: []*corev1.Node{spot, onDemand},
			scores: map[string]int64{"spot": 99, "demand": 100},
		},
		"the planned node does not win against never": {
			pod: makePod("p", v1alpha1.SpotNever).NominatedNodeName("spot").Obj(), nodes: []*corev1.Node{spot, onDemand},
			scores: map[string]int64{"demand": 99}, reasons: map[string]string{"spot": spotpreference.ReasonNever},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.args, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: tc.namespace}}, tc.nodes...)
			if tc.policy != nil {
				setPolicy(t, w, "policy", *tc.policy)
			}
			scores, reasons := w.schedule(t, tc.pod)
			if diff := cmp.Diff(tc.scores, scores); diff != "" {
				t.Errorf("scores (-want +got):\n%s", diff)
			}
			if tc.reasons == nil {
				tc.reasons = map[string]string{}
			}
			if diff := cmp.Diff(tc.reasons, reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

// place runs replicas through filter, score and reserve one after another, as a burst is: no binding is seen in between.
func place(t *testing.T, w *world, deployment string, count int, tolerance v1alpha1.SpotTolerance) map[string]int {
	t.Helper()
	placed := map[string]int{}
	for i := range count {
		w.feed.Replicas.SetPod(types.UID(fmt.Sprintf("%s-%d", deployment, i)), ownerOf(deployment), "")
	}
	for i := range count {
		pod := of(makePod(fmt.Sprintf("%s-%d", deployment, i), tolerance), deployment).Obj()
		scores, _ := w.schedule(t, pod)
		best := ""
		for node, score := range scores {
			if best == "" || score > scores[best] || score == scores[best] && node < best {
				best = node
			}
		}
		if status := w.Reserve(context.Background(), nil, pod, best); !status.IsSuccess() {
			t.Fatal(status)
		}
		placed[best]++
	}
	return placed
}

func TestAWorkloadKeepsItsOnDemandBase(t *testing.T) {
	nodes := []*corev1.Node{makeNode("spot", "spot", "0.10").Obj(), makeNode("demand", "on-demand", "0.40").Obj()}
	for name, tc := range map[string]struct {
		policy    v1alpha1.PlacementPolicySpec
		tolerance v1alpha1.SpotTolerance
		want      map[string]int
	}{
		"no base":                       {want: map[string]int{"spot": 10}},
		"two replicas stay":             {policy: v1alpha1.PlacementPolicySpec{MinOnDemandReplicas: 2}, want: map[string]int{"spot": 8, "demand": 2}},
		"at most 70% on spot":           {policy: v1alpha1.PlacementPolicySpec{MaxSpotSharePercent: ptr.To[int32](70)}, want: map[string]int{"spot": 7, "demand": 3}},
		"both: the stricter one counts": {policy: v1alpha1.PlacementPolicySpec{MinOnDemandReplicas: 4, MaxSpotSharePercent: ptr.To[int32](70)}, want: map[string]int{"spot": 6, "demand": 4}},
		"none on spot":                  {policy: v1alpha1.PlacementPolicySpec{MaxSpotSharePercent: ptr.To[int32](0)}, want: map[string]int{"demand": 10}},
		"also for whom prefers spot":    {policy: v1alpha1.PlacementPolicySpec{MinOnDemandReplicas: 3}, tolerance: v1alpha1.SpotPrefer, want: map[string]int{"spot": 7, "demand": 3}},
		"not for whom requires it":      {policy: v1alpha1.PlacementPolicySpec{MinOnDemandReplicas: 3}, tolerance: v1alpha1.SpotRequire, want: map[string]int{"spot": 10}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "", nil, nodes...)
			setPolicy(t, w, "base", tc.policy)
			if diff := cmp.Diff(tc.want, place(t, w, "web", 10, tc.tolerance)); diff != "" {
				t.Errorf("placed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFailedBindingGivesItsPlaceBack(t *testing.T) {
	w := newWorld(t, "", nil, makeNode("spot", "spot", "0.10").Obj(), makeNode("demand", "on-demand", "0.40").Obj())
	setPolicy(t, w, "base", v1alpha1.PlacementPolicySpec{MinOnDemandReplicas: 1})
	first, second := of(makePod("web-0", ""), "web").Obj(), of(makePod("web-1", ""), "web").Obj()
	w.Reserve(context.Background(), nil, first, "demand")
	if scores, _ := w.schedule(t, second); scores["spot"] == 0 {
		t.Errorf("with the base in place spot is closed: %v", scores)
	}
	w.Unreserve(context.Background(), nil, first, "demand")
	if scores, reasons := w.schedule(t, second); scores["spot"] != 0 || reasons["spot"] != spotpreference.ReasonShare {
		t.Errorf("without the base spot is open: %v, %v", scores, reasons)
	}
}

func TestSpotReplicasSpreadOverPools(t *testing.T) {
	w := newWorld(t, `{"poolSpreadPercent":50}`, nil, makeNode("a", "spot", "0.100").Obj(), makeNode("b", "spot", "0.101").Obj(), makeNode("c", "spot", "0.30").Obj())
	if diff := cmp.Diff(map[string]int{"a": 5, "b": 5}, place(t, w, "web", 10, "")); diff != "" {
		t.Errorf("placed (-want +got):\n%s", diff)
	}
}

func TestPodsWaitUntilPoliciesAreKnown(t *testing.T) {
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	_, ctx := ktesting.NewTestContext(t)
	handle, err := frameworkruntime.NewFramework(ctx, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A framework without informers starts nothing, so that the policies stay unknown.
	plugin, err := spotpreference.Factory(feed.New(m, clocktesting.NewFakeClock(time.Unix(0, 0))))(ctx, nil, handle)
	if err != nil {
		t.Fatal(err)
	}
	_, status := plugin.(*spotpreference.Plugin).PreFilter(ctx, framework.NewCycleState(), makePod("p", v1alpha1.SpotRequire).Obj(), nil)
	if status.Code() != fwk.UnschedulableAndUnresolvable || status.Message() != spotpreference.ReasonNotReady {
		t.Errorf("got %v", status)
	}
	if _, status := plugin.(*spotpreference.Plugin).SignPod(ctx, makePod("p", "").Obj()); status.IsSuccess() {
		t.Error("a pod of unknown rules was signed")
	}
}

func TestQueueingHints(t *testing.T) {
	spot, onDemand := makeNode("spot", "spot", "").Obj(), makeNode("demand", "on-demand", "").Obj()
	never, require := makePod("never", v1alpha1.SpotNever).Obj(), makePod("require", v1alpha1.SpotRequire).Obj()
	limited, sibling := of(makePod("web-0", ""), "web").Label("limited", "yes").Obj(), of(makePod("web-1", ""), "web").Node("spot").Obj()
	stranger := of(makePod("other-1", ""), "other").Node("spot").Obj()
	for name, tc := range map[string]struct {
		resource      fwk.EventResource
		pod           *corev1.Pod
		before, after any
		want          fwk.QueueingHint
	}{
		"a spot node is nothing to whom may never use it":   {fwk.Node, never, nil, spot, fwk.QueueSkip},
		"an on-demand node is":                              {fwk.Node, never, nil, onDemand, fwk.Queue},
		"a spot node is what one waited for that needs it":  {fwk.Node, require, nil, spot, fwk.Queue},
		"an on-demand node is not":                          {fwk.Node, require, nil, onDemand, fwk.QueueSkip},
		"a node that became spot":                           {fwk.Node, require, onDemand, spot, fwk.Queue},
		"a node that was spot before":                       {fwk.Node, require, spot, spot, fwk.QueueSkip},
		"a base that is missing waits for on-demand":        {fwk.Node, limited, nil, onDemand, fwk.Queue},
		"and not for spot":                                  {fwk.Node, limited, nil, spot, fwk.QueueSkip},
		"a sibling that was placed changes the share":       {fwk.Pod, limited, nil, sibling, fwk.Queue},
		"a sibling that is gone too":                        {fwk.Pod, limited, sibling, nil, fwk.Queue},
		"another workload's pod does not":                   {fwk.Pod, limited, nil, stranger, fwk.QueueSkip},
		"siblings do not matter to whom may never use spot": {fwk.Pod, of(makePod("web-2", v1alpha1.SpotNever), "web").Obj(), nil, sibling, fwk.QueueSkip},
		"a pod whose own labels changed":                    {fwk.Pod, limited, limited, limited, fwk.Queue},
		"something that is no node":                         {fwk.Node, never, nil, never, fwk.Queue},
		"something that is no pod":                          {fwk.Pod, never, nil, spot, fwk.Queue},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "", nil)
			setPolicy(t, w, "base", v1alpha1.PlacementPolicySpec{MinOnDemandReplicas: 1, PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"limited": "yes"}}})
			events, err := w.EventsToRegister(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if e.Event.Resource != tc.resource {
					continue
				}
				got, err := e.QueueingHintFn(klog.Background(), tc.pod, tc.before, tc.after)
				if got != tc.want {
					t.Errorf("got %v, %v, want %v", got, err, tc.want)
				}
			}
		})
	}
}

func TestSignPod(t *testing.T) {
	w := newWorld(t, "", nil)
	sign := func(p *corev1.Pod) []fwk.SignFragment {
		t.Helper()
		fragments, status := w.SignPod(context.Background(), p)
		if !status.IsSuccess() {
			t.Fatal(status)
		}
		return fragments
	}
	a := sign(of(makePod("web-0", ""), "web").Obj())
	if diff := cmp.Diff(a, sign(of(makePod("web-1", ""), "web").Obj())); diff != "" {
		t.Errorf("replicas differ:\n%s", diff)
	}
	for name, other := range map[string]*corev1.Pod{
		"of another tolerance": of(makePod("web-0", v1alpha1.SpotPrefer), "web").Obj(),
		"of another workload":  of(makePod("web-0", ""), "api").Obj(),
		"with a planned node":  of(makePod("web-0", ""), "web").NominatedNodeName("a").Obj(),
	} {
		if cmp.Equal(a, sign(other)) {
			t.Errorf("a pod %s has the same signature", name)
		}
	}
	setPolicy(t, w, "base", v1alpha1.PlacementPolicySpec{MinOnDemandReplicas: 1})
	if _, status := w.SignPod(context.Background(), of(makePod("web-0", ""), "web").Obj()); status.IsSuccess() {
		t.Error("a pod whose place depends on its siblings was signed")
	}
}

func prepared(t testing.TB) (*world, fwk.CycleState, *corev1.Pod, []fwk.NodeInfo) {
	var nodes []*corev1.Node
	for i := range 500 {
		nodes = append(nodes, makeNode(fmt.Sprintf("n%d", i), []string{"spot", "on-demand"}[i%2], "0.1234").Annotation(v1alpha1.RiskAnnotation, "0.0012").Obj())
	}
	w := newWorld(t, "", nil, nodes...)
	for i := range 20 {
		w.feed.Replicas.SetPod(types.UID(fmt.Sprint(i)), ownerOf("web"), fmt.Sprintf("n%d", i))
	}
	pod, cycle := of(makePod("web-x", ""), "web").Obj(), framework.NewCycleState()
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
	w, cycle, pod, infos := prepared(t)
	for _, info := range infos[:2] {
		if got := testing.AllocsPerRun(100, func() { _, _ = w.Score(context.Background(), cycle, pod, info) }); got != 0 {
			t.Errorf("%v allocations", got)
		}
	}
}

func BenchmarkScore(b *testing.B) {
	w, cycle, pod, infos := prepared(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, status := w.Score(context.Background(), cycle, pod, infos[i%len(infos)]); status != nil {
			b.Fatal(status)
		}
	}
}
