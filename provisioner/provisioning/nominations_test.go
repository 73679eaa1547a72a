package provisioning

import (
	"testing"

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
			n.write(t.Context(), nomination{podRef{client.ObjectKeyFromObject(pod), pod.UID}, "node-b"})
		}, want: "node-b"},
		{name: "no longer waiting", then: func(n *nominations, _ *corev1.Pod) { n.prune(&karpenter.Snapshot{}) }},
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
	n.prune(s)
	n.registered(ctx, "claim", "node-a")
	for pod, want := range map[*corev1.Pod]string{succeeds: "node-a", planned: ""} {
		if err := kube.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			t.Fatal(err)
		}
		if got := pod.Status.NominatedNodeName; got != want {
			t.Errorf("nominated node of %s is %q, want %q", pod.Name, got, want)
		}
	}
	n.prune(s)
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
