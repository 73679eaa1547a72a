package plan_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"supercargo.dev/plan"
	"supercargo.dev/plan/dump"
	"supercargo.dev/plan/plantest"
)

func generated(t testing.TB, seed uint64) *dump.Objects {
	t.Helper()
	var text bytes.Buffer
	if err := plantest.Write(&text, plantest.Options{Nodes: 12, Pods: 200, Seed: seed, Lean: true}); err != nil {
		t.Fatal(err)
	}
	var o dump.Objects
	if err := o.Read(context.Background(), "generated", &text, dump.Options{}); err != nil {
		t.Fatal(err)
	}
	return &o
}

const deployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":%q,"namespace":"web"},"spec":{"replicas":%d,"template":{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":%q,"memory":"1Gi"}}}]}}}}`

func TestAChangeIsPricedBeforeItIsMade(t *testing.T) {
	for name, tc := range map[string]struct {
		workload string
		replicas int
		cpu      string
		want     []plan.ChangedWorkload
		pods     int
		// asIs and packed say whether it costs more, the same or less.
		asIs, packed int
	}{
		"that fits free capacity":    {"new", 2, "900m", []plan.ChangedWorkload{{Kind: "Deployment", Namespace: "web", Name: "new", After: 2}}, 2, 0, 0},
		"that needs nodes":           {"new", 20, "1", []plan.ChangedWorkload{{Kind: "Deployment", Namespace: "web", Name: "new", After: 20}}, 20, 1, 1},
		"that changes a workload":    {"x", 1, "100m", []plan.ChangedWorkload{{Kind: "Deployment", Namespace: "web", Name: "x", Before: 2, After: 1}}, -1, 0, -1},
		"that changes nothing":       {"x", 2, "3", []plan.ChangedWorkload{{Kind: "Deployment", Namespace: "web", Name: "x", Before: 2, After: 2}}, 0, 0, 0},
		"that takes a workload to 0": {"x", 0, "3", []plan.ChangedWorkload{{Kind: "Deployment", Namespace: "web", Name: "x", Before: 2}}, -2, 0, -1},
	} {
		t.Run(name, func(t *testing.T) {
			now := new(cluster).node("n", "m5.2xlarge", "us-east-1a", "").pod("a", "n", "3", "", "").pod("b", "n", "3", "", "")
			change := new(cluster).add(deployment, tc.workload, tc.replicas, tc.cpu)
			before := now.plan(t, plan.Options{})
			r, err := plan.Make(context.Background(), now.objects(t), change.objects(t), plan.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, r.Change.Workloads); d != "" || r.Change.Pods != tc.pods {
				t.Errorf("%d pods more, want %d; -want +got:\n%s", r.Change.Pods, tc.pods, d)
			}
			if got := sign(r.Change.AsIs.PricePerHour); got != tc.asIs {
				t.Errorf("as is: %+v", r.Change.AsIs)
			}
			if got := sign(r.Change.Packed.PricePerHour); got != tc.packed {
				t.Errorf("packed: %+v", r.Change.Packed)
			}
			if !near(r.Planned.PricePerHour-before.Planned.PricePerHour, r.Change.Packed.PricePerHour) {
				t.Errorf("planned %v, before %v, change %v", r.Planned.PricePerHour, before.Planned.PricePerHour, r.Change.Packed.PricePerHour)
			}
			if d := cmp.Diff(before.Current, r.Current); d != "" {
				t.Errorf("the change alters what is: %s", d)
			}
		})
	}
}

func sign(v float64) int {
	switch {
	case v > 1e-6:
		return 1
	case v < -1e-6:
		return -1
	}
	return 0
}

func TestAChangeIsPricedWithoutACluster(t *testing.T) {
	change := new(cluster).add(deployment, "new", 10, "1")
	r, err := plan.Make(context.Background(), &dump.Objects{}, change.objects(t), plan.Options{Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Current.Nodes != 0 || r.Planned.Pods != 10 || !near(r.Change.AsIs.PricePerHour, r.Planned.PricePerHour) {
		t.Errorf("current %+v planned %+v change %+v", r.Current, r.Planned, r.Change.AsIs)
	}
}

func TestADaemonSetOfAChangeIsOverheadOfEveryNode(t *testing.T) {
	now := new(cluster).node("n", "m5.2xlarge", "us-east-1a", "").pod("a", "n", "3", "", "")
	change := new(cluster).add(`{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"agent","namespace":"ops"},"spec":{"template":{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1","memory":"1Gi"}}}]}}}}`)
	r, err := plan.Make(context.Background(), now.objects(t), change.objects(t), plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Change.Packed.PricePerHour <= 0 || r.Planned.Pods != 1+r.Planned.Nodes || r.Change.Pods != 0 {
		t.Errorf("change %+v, planned %+v", r.Change, r.Planned)
	}
}

func TestPodsOfAChangeWithoutAPlaceSayWhy(t *testing.T) {
	now := new(cluster).node("n", "m5.2xlarge", "us-east-1a", "").pod("a", "n", "3", "", "")
	change := new(cluster).add(deployment, "huge", 2, "500")
	r, err := plan.Make(context.Background(), now.objects(t), change.objects(t), plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for where, list := range map[string][]plan.Unplaced{"as is": r.Change.AsIs.Unplaced, "packed": r.Unplaced} {
		if len(list) != 1 || list[0].Pods != 2 || list[0].Workload != "Deployment web/huge" || list[0].Message == "" || list[0].Remedy == "" {
			t.Errorf("%s: %+v", where, list)
		}
	}
}
