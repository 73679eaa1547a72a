package peer

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/controllers/disruption"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"

	"supercargo.dev/e2e/bench/consolidation/model"
)

// Next runs Karpenter's methods in the order of its disruption controller, emptiness, multi-node, single-node, until one
// finds something to do. Without commands and with settled it has nothing left to do; without either, a method gave up at its
// time limit and would begin anew with the same candidates.
func (k *Karpenter) Next(ctx context.Context) (commands []model.Command, settled bool, err error) {
	for _, m := range []disruption.Method{k.empty, k.multi, k.single} {
		if commands, err = k.compute(ctx, m); err != nil || len(commands) > 0 {
			return commands, false, err
		}
	}
	return nil, k.single.IsConsolidated(), nil
}

// Both runs multi-node and single-node consolidation at the present state, one after the other, whatever the first finds.
func (k *Karpenter) Both(ctx context.Context) error {
	for _, m := range []disruption.Method{k.multi, k.single} {
		if _, err := k.compute(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// compute is what disruption.Controller does with one method, short of carrying commands out.
func (k *Karpenter) compute(ctx context.Context, m disruption.Method) ([]model.Command, error) {
	ctx = k.context(ctx)
	candidates, totals, err := disruption.GetCandidatesWithTotals(ctx, k.cluster, k.store, k.recorder, k.clock, k.cloud, m.ShouldDisrupt, m.Class(), k.queue, nil)
	if err != nil {
		return nil, fmt.Errorf("listing candidates, %w", err)
	}
	if len(candidates) == 0 {
		return nil, nil
	}
	if s, ok := m.(disruption.NodePoolTotalsSetter); ok {
		s.SetNodePoolTotals(totals)
	}
	budgets, err := disruption.BuildDisruptionBudgetMapping(ctx, k.cluster, k.clock, k.store, k.cloud, k.recorder, m.Reason())
	if err != nil {
		return nil, fmt.Errorf("building disruption budgets, %w", err)
	}
	found, err := m.ComputeCommands(ctx, budgets, candidates...)
	if err != nil {
		return nil, fmt.Errorf("computing commands, %w", err)
	}
	var out []model.Command
	for _, c := range found {
		if c.Decision() == disruption.NoOpDecision {
			continue
		}
		command, err := k.translate(c)
		if err != nil {
			return nil, err
		}
		out = append(out, command)
	}
	return out, nil
}

// translate says a command of Karpenter's in the terms of the model: pods go where its simulation put them, and of what a
// replacement may be, the cheapest is launched.
func (k *Karpenter) translate(c disruption.Command) (model.Command, error) {
	var out model.Command
	for _, cn := range c.Candidates {
		out.Remove = append(out.Remove, cn.Name())
	}
	for _, n := range c.Results.ExistingNodes {
		for _, p := range n.Pods {
			out.Bind = append(out.Bind, model.Binding{Pod: k.pods[client.ObjectKeyFromObject(p)], Node: n.Name()})
		}
	}
	for _, r := range c.Replacements {
		launch, err := cheapest(r.NodeClaim)
		if err != nil {
			return model.Command{}, err
		}
		for _, p := range r.Pods {
			launch.Pods = append(launch.Pods, k.pods[client.ObjectKeyFromObject(p)])
		}
		out.Launch = append(out.Launch, launch)
	}
	return out, nil
}

// cheapest is what a cloud that sells the cheapest first makes of a claim.
func cheapest(claim *scheduling.NodeClaim) (model.Launch, error) {
	type choice struct {
		it       *cloudprovider.InstanceType
		offering *cloudprovider.Offering
	}
	var all []choice
	for _, it := range claim.InstanceTypeOptions {
		for _, o := range it.Offerings.Available().Compatible(claim.Requirements) {
			all = append(all, choice{it, o})
		}
	}
	if len(all) == 0 {
		return model.Launch{}, fmt.Errorf("a replacement may be none of what is sold: %s", claim.Requirements)
	}
	best := slices.MinFunc(all, func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.offering.Price, b.offering.Price), cmp.Compare(a.it.Name, b.it.Name), cmp.Compare(a.offering.Zone(), b.offering.Zone()))
	})
	out := model.Launch{
		InstanceType: best.it.Name, Zone: best.offering.Zone(), CapacityType: best.offering.CapacityType(), Labels: map[string]string{},
	}
	for key, r := range claim.Requirements {
		if r.Operator() == corev1.NodeSelectorOpIn && r.Len() == 1 && key != corev1.LabelHostname && key != karpv1.NodePoolLabelKey {
			out.Labels[key] = r.Any()
		}
	}
	return out, nil
}
