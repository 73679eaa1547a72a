package replicas_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"supercargo.dev/recommender/demand"
	"supercargo.dev/scheduler-plugins/offering"
	"supercargo.dev/scheduler-plugins/placement"
	"supercargo.dev/scheduler-plugins/replicas"
)

func owner(name string) demand.Owner {
	return demand.Owner{Namespace: "shop", Kind: "Deployment", Name: name}
}

func TestAssumedPodsCountUntilTheyAreReleased(t *testing.T) {
	c := replicas.New()
	c.SetNode("spot", replicas.Node{Spot: true, Pool: offering.Pool{InstanceType: "m"}})
	for _, uid := range []types.UID{"a", "b", "c"} {
		c.SetPod(uid, owner("web"), "")
	}
	c.Assume("a", owner("web"), "spot")
	// The pod is updated for some other reason before its binding is seen.
	c.SetPod("a", owner("web"), "")
	if got, want := c.Of(owner("web"), "b"), (placement.Replicas{Total: 3, Spot: 1}); got != want {
		t.Errorf("after assuming: got %+v, want %+v", got, want)
	}
	if got, want := c.Of(owner("web"), "a"), (placement.Replicas{Total: 3}); got != want {
		t.Errorf("the pod itself: got %+v, want %+v", got, want)
	}
	c.Release("a")
	if got, want := c.Of(owner("web"), "b"), (placement.Replicas{Total: 3}); got != want {
		t.Errorf("after releasing: got %+v, want %+v", got, want)
	}
	c.Assume("a", owner("web"), "spot")
	c.SetPod("a", owner("web"), "spot")
	c.Release("a")
	if got, want := c.Of(owner("web"), "b"), (placement.Replicas{Total: 3, Spot: 1}); got != want {
		t.Errorf("releasing what is bound: got %+v, want %+v", got, want)
	}
	if got, want := c.Of(owner("web"), "unseen"), (placement.Replicas{Total: 4, Spot: 1}); got != want {
		t.Errorf("a pod that was not seen yet: got %+v, want %+v", got, want)
	}
}

func TestNodesMayComeAfterTheirPodsAndGoBeforeThem(t *testing.T) {
	c := replicas.New()
	c.SetPod("a", owner("web"), "n")
	if got, want := c.Of(owner("web"), "x"), (placement.Replicas{Total: 2, OnDemand: 1}); got != want {
		t.Errorf("before the node: got %+v, want %+v", got, want)
	}
	pool := offering.Pool{InstanceType: "m", Zone: "z"}
	c.SetNode("n", replicas.Node{Spot: true, Pool: pool})
	byPool, total := c.Pools(owner("web"))
	if diff := cmp.Diff(map[offering.Pool]int32{pool: 1}, byPool); diff != "" || total != 1 {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
	c.DeleteNode("n")
	c.DeleteNode("n")
	if got, want := c.Of(owner("web"), "x"), (placement.Replicas{Total: 2, OnDemand: 1}); got != want {
		t.Errorf("after the node: got %+v, want %+v", got, want)
	}
	c.DeletePod("a")
	c.DeletePod("a")
	if got, want := c.Of(owner("web"), "x"), (placement.Replicas{Total: 1}); got != want {
		t.Errorf("at the end: got %+v, want %+v", got, want)
	}
}

// TestCountsAreThoseOfAFullCount compares the counter with one that counts everything anew after each step.
func TestCountsAreThoseOfAFullCount(t *testing.T) {
	type pod struct {
		owner   demand.Owner
		node    string
		assumed bool
	}
	rapid.Check(t, func(t *rapid.T) {
		c, pods, nodes := replicas.New(), map[types.UID]pod{}, map[string]replicas.Node{}
		uid := rapid.Map(rapid.IntRange(0, 5), func(i int) types.UID { return types.UID(fmt.Sprint("pod-", i)) })
		node := rapid.Map(rapid.IntRange(0, 2), func(i int) string { return fmt.Sprint("node-", i) })
		ownerOf := func(u types.UID) demand.Owner { return owner(string(u[len(u)-1]%2 + '0')) }
		t.Repeat(map[string]func(*rapid.T){
			"pending": func(t *rapid.T) {
				u := uid.Draw(t, "uid")
				if p := pods[u]; !p.assumed {
					pods[u] = pod{owner: ownerOf(u)}
				}
				c.SetPod(u, ownerOf(u), "")
			},
			"bound": func(t *rapid.T) {
				u, n := uid.Draw(t, "uid"), node.Draw(t, "node")
				pods[u] = pod{owner: ownerOf(u), node: n}
				c.SetPod(u, ownerOf(u), n)
			},
			"assume": func(t *rapid.T) {
				u, n := uid.Draw(t, "uid"), node.Draw(t, "node")
				pods[u] = pod{owner: ownerOf(u), node: n, assumed: true}
				c.Assume(u, ownerOf(u), n)
			},
			"release": func(t *rapid.T) {
				u := uid.Draw(t, "uid")
				if p, ok := pods[u]; ok && p.assumed {
					pods[u] = pod{owner: p.owner}
				}
				c.Release(u)
			},
			"delete pod": func(t *rapid.T) {
				u := uid.Draw(t, "uid")
				delete(pods, u)
				c.DeletePod(u)
			},
			"node": func(t *rapid.T) {
				n := node.Draw(t, "node")
				nodes[n] = replicas.Node{Spot: rapid.Bool().Draw(t, "spot"), Pool: offering.Pool{Zone: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "zone")}}
				c.SetNode(n, nodes[n])
			},
			"delete node": func(t *rapid.T) {
				n := node.Draw(t, "node")
				delete(nodes, n)
				c.DeleteNode(n)
			},
			"": func(t *rapid.T) {
				for _, o := range []demand.Owner{owner("0"), owner("1")} {
					want, pools := placement.Replicas{Total: 1}, map[offering.Pool]int32(nil)
					for _, p := range pods {
						if p.owner != o {
							continue
						}
						want.Total++
						switch {
						case p.node == "":
						case nodes[p.node].Spot:
							want.Spot++
							if pools == nil {
								pools = map[offering.Pool]int32{}
							}
							pools[nodes[p.node].Pool]++
						default:
							want.OnDemand++
						}
					}
					if got := c.Of(o, "another"); got != want {
						t.Fatalf("got %+v, want %+v", got, want)
					}
					got, total := c.Pools(o)
					if diff := cmp.Diff(pools, got); diff != "" || total != want.Spot {
						t.Fatalf("pools of %d (-want +got):\n%s", total, diff)
					}
				}
			},
		})
	})
}
