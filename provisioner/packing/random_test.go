package packing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
	"pgregory.net/rapid"

	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/packing/oracle"
)

func TestRandomPlansPassTheSchedulersOwnFilters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, true)
		plan, err := packing.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		violations, err := oracle.Check(context.Background(), &p, &plan)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range violations {
			t.Errorf("violation: %s", v)
		}
		if plan.Stats.UnknownPrices == 0 && plan.LowerBound > plan.Cost*(1+1e-9)+1e-12 {
			t.Errorf("lower bound %.6f exceeds the cost %.6f of a valid plan", plan.LowerBound, plan.Cost)
		}
		if t.Failed() {
			t.Log(describe(&p, &plan))
		}
	})
}

// describe prints a problem and its plan in brief.
func describe(p *packing.Problem, plan *packing.Plan) string {
	var b strings.Builder
	brief := func(pod *corev1.Pod) string {
		spec := pod.Spec.DeepCopy()
		out, err := json.Marshal(map[string]any{
			"ns": pod.Namespace, "labels": pod.Labels, "req": spec.Containers[0].Resources.Requests,
			"spread": spec.TopologySpreadConstraints, "affinity": spec.Affinity, "sel": spec.NodeSelector, "tol": spec.Tolerations, "ports": spec.Containers[0].Ports,
		})
		if err != nil {
			return err.Error()
		}
		return string(out)
	}
	for i := range p.Pools {
		fmt.Fprintf(&b, "pool %s weight %d labels %v taints %v reqs %v limits %v types %d\n", p.Pools[i].Name, p.Pools[i].Weight, p.Pools[i].Labels, p.Pools[i].Taints, p.Pools[i].Requirements, p.Pools[i].Limits, len(p.Pools[i].Types))
	}
	for i := range p.Nodes {
		fmt.Fprintf(&b, "node %s %v taints %v\n", p.Nodes[i].Name, p.Nodes[i].Labels, p.Nodes[i].Taints)
		for k := range p.Nodes[i].Pods {
			fmt.Fprintf(&b, "  runs %s\n", brief(p.Nodes[i].Pods[k].Pod))
		}
	}
	for i := range p.Pods {
		fmt.Fprintf(&b, "%d: %s %s terms %v\n", i, p.Pods[i].Name, brief(p.Pods[i].Pod), p.Pods[i].NodeTerms)
	}
	for i, n := range plan.Nodes {
		fmt.Fprintf(&b, "buy new-%d %s %s %s %s: %v\n", i, n.Pool, n.InstanceType, n.Zone, n.CapacityType, n.Pods)
	}
	fmt.Fprintf(&b, "bindings %v unplaced %+v\n", plan.Bindings, plan.Unplaced)
	return b.String()
}

// nodeFor is a planned node of one offering that holds nothing yet.
func nodeFor(p *packing.Pool, it *packing.InstanceType, of *packing.Offering) packing.PlannedNode {
	labels := map[string]string{packing.LabelNodePool: p.Name}
	for _, m := range []map[string]string{p.Labels, it.Labels} {
		for k, v := range m {
			labels[k] = v
		}
	}
	labels[corev1.LabelTopologyZone], labels[packing.LabelCapacityType] = of.Zone, of.CapacityType
	return packing.PlannedNode{
		Pool: p.Name, InstanceType: it.Name, Zone: of.Zone, CapacityType: of.CapacityType, Price: of.Price, Labels: labels,
		Alternatives: []packing.Alternative{{InstanceType: it.Name, Zone: of.Zone, CapacityType: of.CapacityType, Price: of.Price}},
	}
}

// admits tells whether a node's own labels, taints and size admit a pod: whether it is worth asking the oracle, which takes a while.
func admits(pod *packing.Pod, node *packing.PlannedNode, pool *packing.Pool, it *packing.InstanceType) bool {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: node.Labels}, Spec: corev1.NodeSpec{Taints: pool.Taints}}
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(pod.Pod).Match(n); err != nil || !ok {
		return false
	}
	if _, untolerated := corev1helpers.FindMatchingUntoleratedTaint(klog.Background(), n.Spec.Taints, pod.Spec.Tolerations, func(t *corev1.Taint) bool {
		return t.Effect != corev1.TaintEffectPreferNoSchedule
	}, false); untolerated {
		return false
	}
	for name, q := range pod.Spec.Containers[0].Resources.Requests {
		if has := it.Allocatable[name]; q.Cmp(has) > 0 {
			return false
		}
	}
	return len(pod.Spec.ResourceClaims) == 0
}

// TestNoUnplacedPodFitsOnOneMoreNode shows that what a plan leaves out could not
// simply have been bought for. Workloads with rules about one another are left out:
// which of them come first decides, and no order suits all; and so are limits, which
// may be too tight for a whole bundle and wide enough for one more pod.
func TestNoUnplacedPodFitsOnOneMoreNode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t, false)
		plan, err := packing.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		for n, u := range plan.Unplaced {
			if len(u.Reasons) == 0 || u.Message == "" || u.Remedy == "" {
				t.Errorf("pod %d is unplaced without an explanation: %+v", u.Pod, u)
			}
			if n > 1 {
				continue
			}
			for i := range p.Pools {
				for k := range p.Pools[i].Types {
					it := &p.Pools[i].Types[k]
					for o := range it.Offerings {
						if !it.Offerings[o].Available {
							continue
						}
						more := plan
						node := nodeFor(&p.Pools[i], it, &it.Offerings[o])
						for _, r := range p.Pools[i].Requirements {
							if _, ok := node.Labels[r.Key]; !ok && len(r.Values) > 0 {
								node.Labels[r.Key] = r.Values[0]
							}
						}
						if !admits(&p.Pods[u.Pod], &node, &p.Pools[i], it) {
							continue
						}
						node.Pods = []int{u.Pod}
						more.Nodes = append(append([]packing.PlannedNode(nil), plan.Nodes...), node)
						more.Unplaced = append(append([]packing.Unplaced(nil), plan.Unplaced[:n]...), plan.Unplaced[n+1:]...)
						violations, err := oracle.Check(context.Background(), &p, &more)
						if err != nil {
							t.Fatal(err)
						}
						if len(violations) == 0 {
							t.Fatalf("pod %d is unplaced (%s) but fits on %s %s in %s\n%s", u.Pod, u.Message, p.Pools[i].Name, it.Name, it.Offerings[o].Zone, describe(&p, &plan))
						}
					}
				}
			}
		}
	})
}

func TestRealisticPlansPassTheSchedulersOwnFilters(t *testing.T) {
	for seed := range uint64(3) {
		p := packing.Problem{Pods: deployments(300, seed), Pools: []packing.Pool{pool("default", listed(true))}, DaemonSets: daemonSets()}
		plan, err := packing.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		violations, err := oracle.Check(context.Background(), &p, &plan)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range violations {
			t.Errorf("seed %d: %s", seed, v)
		}
		if len(plan.Unplaced) > 0 {
			t.Errorf("seed %d: %d pods unplaced: %s", seed, len(plan.Unplaced), plan.Unplaced[0].Message)
		}
	}
}

func TestAPodThatMustJoinOneThatAvoidsItStaysUnplaced(t *testing.T) {
	p := packing.Problem{
		Pods: []packing.Pod{
			makePod("shy").req(100, 100).label("app", "shy").anti(corev1.LabelTopologyZone, map[string]string{"app": "fan"}).pod(),
			makePod("fan").req(100, 100).label("app", "fan").with(corev1.LabelHostname, map[string]string{"app": "shy"}).pod(),
		},
		Pools: []packing.Pool{pool("default", listed(false))},
	}
	plan, err := packing.Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Unplaced) != 1 || plan.Unplaced[0].Pod != 1 {
		t.Errorf("unplaced = %+v, want the fan alone", plan.Unplaced)
	}
	violations, err := oracle.Check(context.Background(), &p, &plan)
	if err != nil || len(violations) > 0 {
		t.Errorf("violations = %v, error %v", violations, err)
	}
}

func TestPlansAreDeterministic(t *testing.T) {
	p := packing.Problem{Pods: deployments(200, 5), Pools: []packing.Pool{pool("default", listed(true))}, DaemonSets: daemonSets()}
	p.Options.TimeBudget = time.Minute
	var plans [2]packing.Plan
	for i := range plans {
		var err error
		if plans[i], err = packing.Solve(context.Background(), p); err != nil {
			t.Fatal(err)
		}
		plans[i].Stats = packing.Stats{}
	}
	if diff := cmp.Diff(plans[0], plans[1]); diff != "" {
		t.Errorf("two plans of one problem and seed differ (-first +second):\n%s", diff)
	}
}

func TestACancelledSolveReturnsAPlan(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := packing.Problem{Pods: deployments(50, 5), Pools: []packing.Pool{pool("default", listed(true))}}
	plan, err := packing.Solve(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	placed := 0
	for _, n := range plan.Nodes {
		placed += len(n.Pods)
	}
	if !plan.Stats.Truncated || placed+len(plan.Unplaced) != len(p.Pods) {
		t.Errorf("truncated %t, %d placed, %d unplaced of %d", plan.Stats.Truncated, placed, len(plan.Unplaced), len(p.Pods))
	}
}

// TestAPlanCutShortIsValid lets time run out at several points of the search.
func TestAPlanCutShortIsValid(t *testing.T) {
	for _, budget := range []time.Duration{time.Microsecond, time.Millisecond, 5 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond} {
		p := packing.Problem{Pods: deployments(250, 5), Pools: []packing.Pool{pool("default", listed(true))}, DaemonSets: daemonSets()}
		p.Options.TimeBudget = budget
		plan := solve(t, &p)
		placed := len(plan.Unplaced)
		for _, n := range plan.Nodes {
			placed += len(n.Pods)
		}
		if placed != len(p.Pods) {
			t.Errorf("after %s %d of %d pods are accounted for", budget, placed, len(p.Pods))
		}
		if plan.LowerBound > plan.Cost*(1+1e-9) {
			t.Errorf("after %s the bound %.4f exceeds the cost %.4f", budget, plan.LowerBound, plan.Cost)
		}
	}
}

// fuse is a context that ends when it has been asked so many times whether it has.
type fuse struct {
	context.Context

	left int
}

func (f *fuse) Err() error {
	if f.left--; f.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func TestAPlanCutShortAnywhereKeepsAllRules(t *testing.T) {
	for after := range 25 {
		p := packing.Problem{Pods: deployments(250, uint64(5+after%5)), Pools: []packing.Pool{pool("default", listed(true))}, DaemonSets: daemonSets()}
		plan, err := packing.SolveOnce(&fuse{t.Context(), after}, p)
		if err != nil {
			t.Fatal(err)
		}
		violations, err := oracle.Check(t.Context(), &p, &plan)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range violations {
			t.Errorf("ended when asked for the %dth time: %s", after+1, v)
		}
	}
}
