package nodecache_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	st "k8s.io/kubernetes/pkg/scheduler/testing"

	"supercargo.dev/scheduler-plugins/nodecache"
)

func snapshot(t *testing.T, names ...string) fwk.NodeInfoLister {
	t.Helper()
	var nodes []*corev1.Node
	for _, name := range names {
		nodes = append(nodes, st.MakeNode().Name(name).Obj())
	}
	return cache.NewSnapshot(nil, nodes).NodeInfos()
}

func TestCache(t *testing.T) {
	lister := snapshot(t, "a", "b")
	infos, err := lister.List()
	if err != nil {
		t.Fatal(err)
	}
	computed := 0
	c := nodecache.New(func(info fwk.NodeInfo, epoch int) string {
		computed++
		return info.Node().Name
	})
	look := func(step string, epoch, want int) {
		t.Helper()
		c.Begin(lister)
		computed = 0
		for _, info := range infos {
			if got := *c.Of(info, epoch); got != info.Node().Name {
				t.Errorf("%s: got %q for %q", step, got, info.Node().Name)
			}
		}
		if computed != want {
			t.Errorf("%s: computed %d times, want %d", step, computed, want)
		}
	}
	look("new nodes", 1, 2)
	look("nothing changed", 1, 0)
	look("another epoch", 2, 2)
	infos[0].SetNode(infos[0].Node())
	look("one node changed", 2, 1)
	look("nothing changed again", 2, 0)
	if got := testing.AllocsPerRun(100, func() { c.Of(infos[0], 2) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
	lister = snapshot(t, "b", "c")
	if infos, err = lister.List(); err != nil {
		t.Fatal(err)
	}
	look("other nodes", 2, 2)
	c.Begin(lister)
	if got := c.Len(); got != 2 {
		t.Errorf("%d nodes are remembered, want the 2 that exist", got)
	}
}
