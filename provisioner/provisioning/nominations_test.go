package provisioning

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"supercargo.dev/provisioner/karpenter"
)

func TestAClearedNominationIsWrittenAgainWhileItHolds(t *testing.T) {
	for _, c := range []struct {
		name string
		// then is what happens between the nomination and its clearing.
		then func(n *nominations, pod *corev1.Pod)
		want string
	}{
		{name: "cleared by the scheduler", then: func(*nominations, *corev1.Pod) {}, want: "node-a"},
		{name: "planned on a claim since", then: func(n *nominations, pod *corev1.Pod) { n.planned("claim", []*corev1.Pod{pod}) }},
		{name: "planned on another node since", then: func(n *nominations, pod *corev1.Pod) {
			n.planned("second", []*corev1.Pod{pod})
			n.registered(t.Context(), "second", "node-b")
		}, want: "node-b"},
		{name: "no longer waiting", then: func(n *nominations, _ *corev1.Pod) { n.prune(t.Context(), &karpenter.Snapshot{}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: types.UID("1")}}
			kube := fake.NewClientBuilder().WithObjects(pod, node("node-a"), node("node-b")).WithStatusSubresource(pod).Build()
			n := newNominations(kube)
			n.planned("first", []*corev1.Pod{pod})
			n.registered(ctx, "first", "node-a")
			c.then(n, pod)
			if err := kube.Status().Patch(ctx, pod, client.RawPatch(types.MergePatchType, []byte(`{"status":{"nominatedNodeName":null}}`))); err != nil {
				t.Fatal(err)
			}
			n.restore(ctx, pod)
			if err := kube.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
				t.Fatal(err)
			}
			if got := pod.Status.NominatedNodeName; got != c.want {
				t.Errorf("nominated node is %q, want %q", got, c.want)
			}
		})
	}
}

func TestThePlaceThatAConsolidationPlannedIsWrittenOnTheSuccessorThatWaits(t *testing.T) {
	ctx := t.Context()
	pod := func(name string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}}
	}
	succeeds, planned := pod("succeeds"), pod("planned")
	kube := fake.NewClientBuilder().WithObjects(succeeds, planned, node("node-a")).WithStatusSubresource(planned).Build()
	n := newNominations(kube)
	s := &karpenter.Snapshot{Kept: []karpenter.Kept{{Pod: succeeds, Node: "claim", Succeeds: true}, {Pod: planned, Node: "claim"}}}
	n.bind(ctx, s, nil)
	n.prune(ctx, s)
	n.registered(ctx, "claim", "node-a")
	for pod, want := range map[*corev1.Pod]string{succeeds: "node-a", planned: ""} {
		if err := kube.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			t.Fatal(err)
		}
		if got := pod.Status.NominatedNodeName; got != want {
			t.Errorf("nominated node of %s is %q, want %q", pod.Name, got, want)
		}
	}
	n.prune(ctx, s)
	if got := n.places()[succeeds.UID]; got != "node-a" {
		t.Errorf("its place is forgotten while it waits: %q", got)
	}
}

func node(name string, taints ...corev1.Taint) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Taints: taints}}
}

func TestANodeThatIsNotReadyIsWrittenOnItsPodsAgainOnlyWhenItOpens(t *testing.T) {
	ctx := t.Context()
	waiting := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: types.UID("1")}}
	notReady := node("node-a", corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
	kube := fake.NewClientBuilder().WithObjects(waiting, notReady).WithStatusSubresource(waiting).Build()
	n := newNominations(kube)
	n.planned("claim", []*corev1.Pod{waiting})
	n.registered(ctx, "claim", "node-a")
	if err := kube.Status().Patch(ctx, waiting, client.RawPatch(types.MergePatchType, []byte(`{"status":{"nominatedNodeName":null}}`))); err != nil {
		t.Fatal(err)
	}
	nominated := func() string {
		t.Helper()
		if err := kube.Get(ctx, client.ObjectKeyFromObject(waiting), waiting); err != nil {
			t.Fatal(err)
		}
		return waiting.Status.NominatedNodeName
	}
	n.restore(ctx, waiting)
	if got := nominated(); got != "" {
		t.Errorf("nominated to %q while it takes no pods", got)
	}
	n.opened(ctx, "node-b")
	if got := nominated(); got != "" {
		t.Errorf("nominated to %q when another node opened", got)
	}
	n.opened(ctx, "node-a")
	if got := nominated(); got != "node-a" {
		t.Errorf("nominated to %q after its node opened, want node-a", got)
	}
}

// spreading is a pod of a workload that must be spread over zones.
func spreading(workload, name string) *corev1.Pod {
	of := map[string]string{"app": workload}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: of},
		Spec: corev1.PodSpec{TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: of},
		}}},
	}
}

func TestPodsThatCountForEachOthersSpreadAreNominatedToANodeOneAtATime(t *testing.T) {
	ctx := t.Context()
	pods := []*corev1.Pod{spreading("web", "web-0"), spreading("web", "web-1"), spreading("web", "web-2"), spreading("api", "api-0"), spreading("web", "web-3")}
	// One that is not spread itself, and counts for those that are.
	canary := spreading("web", "web-canary")
	canary.Spec.TopologySpreadConstraints = nil
	// One that may be spread badly, and one of another namespace.
	soft, elsewhere := spreading("soft", "soft-0"), spreading("web", "web-0")
	soft.Spec.TopologySpreadConstraints[0].WhenUnsatisfiable = corev1.ScheduleAnyway
	elsewhere.Namespace, elsewhere.UID = "elsewhere", "elsewhere"
	pods = append(pods, canary, soft, elsewhere)
	builder := fake.NewClientBuilder().WithObjects(node("node-a"), node("node-b")).WithStatusSubresource(&corev1.Pod{})
	for _, p := range pods {
		builder.WithObjects(p)
	}
	kube := builder.Build()
	nominated := func() map[string]string {
		t.Helper()
		list := &corev1.PodList{}
		if err := kube.List(ctx, list); err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for i := range list.Items {
			if p := &list.Items[i]; p.Status.NominatedNodeName != "" {
				out[p.Namespace+"/"+p.Name] = p.Status.NominatedNodeName
			}
		}
		return out
	}
	check := func(when string, want map[string]string) {
		t.Helper()
		if diff := cmp.Diff(want, nominated()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	n := newNominations(kube)
	n.planned("first", slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return p.Name == "web-3" }))
	n.planned("second", []*corev1.Pod{pods[4]})
	n.registered(ctx, "first", "node-a")
	n.registered(ctx, "second", "node-b")
	want := map[string]string{
		"default/web-0": "node-a", "default/api-0": "node-a", "default/soft-0": "node-a", "elsewhere/web-0": "node-a", "default/web-3": "node-b",
	}
	check("nodes have come", want)

	if err := kube.Get(ctx, client.ObjectKeyFromObject(pods[1]), pods[1]); err != nil {
		t.Fatal(err)
	}
	n.restore(ctx, pods[1])
	n.opened(ctx, "node-a")
	check("the next one is looked at before its turn", want)

	if err := kube.Delete(ctx, pods[0]); err != nil { // as good as bound
		t.Fatal(err)
	}
	n.left(ctx, client.ObjectKeyFromObject(pods[0]), pods[0].UID)
	delete(want, "default/web-0")
	check("the first still waits, as far as is known", want)
	n.left(ctx, client.ObjectKeyFromObject(pods[0]), "")
	want["default/web-1"] = "node-a"
	check("the first has left", want)

	n.left(ctx, client.ObjectKeyFromObject(pods[1]), "another of the same name")
	want["default/web-2"] = "node-a"
	check("the second is another pod now", want)
}
