package main

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/e2e/bench/consolidation/fragment"
	"supercargo.dev/e2e/bench/consolidation/model"
	"supercargo.dev/e2e/bench/consolidation/ours"
	"supercargo.dev/e2e/bench/consolidation/peer"
	"supercargo.dev/e2e/bench/consolidation/settle"
	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/packing"
)

func small(t *testing.T, capacityType string) *model.Cluster {
	t.Helper()
	c, err := fragment.New(context.Background(), fragment.Deployments, fragment.Options{Nodes: 8, Pods: 60, CapacityType: capacityType, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func names(pods []*corev1.Pod) map[string]bool {
	out := map[string]bool{}
	for _, p := range pods {
		out[p.Name] = true
	}
	return out
}

// Both engines are let loose on a small cluster: what they command can be carried out, keeps every pod and every rule, and
// ends between the bound and where it began.
func TestEnginesConsolidateTheSameCluster(t *testing.T) {
	ctx := context.Background()
	for _, capacityType := range []string{packing.CapacityOnDemand, packing.CapacitySpot} {
		c := small(t, capacityType)
		bound, err := c.LowerBound(ctx)
		if err != nil {
			t.Fatal(err)
		}
		engines := map[string]func(*model.Cluster) settle.Engine{
			supercargo: func(c *model.Cluster) settle.Engine { return ours.New(c, consolidation.Options{}) },
			karpenter: func(c *model.Cluster) settle.Engine {
				k, err := peer.New(ctx, c, peer.Options{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(k.Close)
				return k
			},
		}
		for name, engine := range engines {
			t.Run(name+" "+capacityType, func(t *testing.T) {
				at := c.Clone()
				got, err := settle.Run(ctx, engine(at), at, settle.Limits{Rounds: 40, Checked: 1000})
				if err != nil {
					t.Fatal(err)
				}
				if got.Commands == 0 || got.Saved <= 0 {
					t.Errorf("%d commands save $%.4f/h, want some to save something", got.Commands, got.Saved)
				}
				if got.Violations > 0 {
					t.Errorf("%d violations, such as %s", got.Violations, got.Example)
				}
				if at.Cost() < bound-1e-9 || at.Cost() > c.Cost()-got.Saved+1e-9 {
					t.Errorf("cost = %.4f, want $%.4f less than %.4f and no less than the bound %.4f", at.Cost(), got.Saved, c.Cost(), bound)
				}
				if diff := cmp.Diff(names(c.Pods()), names(at.Pods())); diff != "" {
					t.Errorf("pods (-before +after):\n%s", diff)
				}
			})
		}
	}
}

func TestAClusterIsTheSameForASeed(t *testing.T) {
	a, b := small(t, packing.CapacityOnDemand), small(t, packing.CapacityOnDemand)
	if diff := cmp.Diff(a.Nodes(), b.Nodes(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("two clusters of one seed differ:\n%s", diff)
	}
	if len(a.Pods()) != 60 {
		t.Errorf("%d pods are left, want 60", len(a.Pods()))
	}
}
