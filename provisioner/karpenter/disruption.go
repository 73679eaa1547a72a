package karpenter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/log"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/disruption"
	disruptionevents "sigs.k8s.io/karpenter/pkg/controllers/disruption/events"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	disruptionutils "sigs.k8s.io/karpenter/pkg/utils/disruption"
	"sigs.k8s.io/karpenter/pkg/utils/pdb"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/succession"
)

// defaultValidationDelay is what Karpenter waits before it carries a consolidation out (disruption.consolidationTTL).
const defaultValidationDelay = 15 * time.Second

// consolidationMethod replaces Karpenter's multi- and single-node consolidation. Karpenter chooses the candidates, keeps the
// budgets and carries the commands out; what to remove and what to launch is decided by consolidation.Search.
type consolidationMethod struct {
	*Machinery
	restraint consolidation.Restraint
	base      interface {
		ShouldDisrupt(context.Context, *disruption.Candidate) bool
	}
}

func newConsolidation(m *Machinery, base interface {
	ShouldDisrupt(context.Context, *disruption.Candidate) bool
},
) *consolidationMethod {
	return &consolidationMethod{Machinery: m, base: base}
}

// ShouldDisrupt implements disruption.Method.
func (c *consolidationMethod) ShouldDisrupt(ctx context.Context, cn *disruption.Candidate) bool {
	return c.base.ShouldDisrupt(ctx, cn)
}

// Reason implements disruption.Method.
func (c *consolidationMethod) Reason() karpv1.DisruptionReason {
	return karpv1.DisruptionReasonUnderutilized
}

// Class implements disruption.Method.
func (c *consolidationMethod) Class() string { return disruption.GracefulDisruptionClass }

// ConsolidationType implements disruption.Method.
func (c *consolidationMethod) ConsolidationType() string { return "mix" }

// ComputeCommands implements disruption.Method. A saving is looked for twice, with a delay in between: what is carried out is
// the second finding, over the nodes of the first alone.
func (c *consolidationMethod) ComputeCommands(ctx context.Context, budgets map[string]int, candidates ...*disruption.Candidate) ([]disruption.Command, error) {
	first, plan, err := c.search(ctx, budgets, candidates)
	if err != nil {
		return nil, ignoreNotSynced(err)
	}
	cost, demand := first.costAndDemand()
	if until, held := c.restraint.Held(c.cfg.Clock.Now(), cost, demand, len(first.Moving) > 0); held {
		c.explainHeld(ctx, first, plan, until)
		return nil, nil
	}
	if len(plan.Moves) == 0 {
		c.explain(first, plan)
		return nil, nil
	}
	delay := c.cfg.ValidationDelay
	if delay == 0 {
		delay = defaultValidationDelay
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.cfg.Clock.After(delay):
	}
	removed := map[string]bool{}
	for _, move := range plan.Moves {
		for _, name := range move.Remove {
			removed[name] = true
		}
	}
	again, err := c.stillCandidates(ctx, removed)
	if err != nil {
		return nil, err
	}
	second, plan, err := c.search(ctx, budgets, again)
	if err != nil {
		return nil, ignoreNotSynced(err)
	}
	if len(plan.Moves) == 0 {
		log.FromContext(ctx).Info("abandoning consolidation, the saving did not last", "nodes", lo.Keys(removed))
		return nil, nil
	}
	commands, promised, err := c.commands(ctx, second, plan, again)
	if err == nil && len(commands) > 0 {
		c.restraint.Moved(c.cfg.Clock.Now(), cost, demand, promised)
	}
	return commands, err
}

func ignoreNotSynced(err error) error {
	if errors.Is(err, ErrNotSynced) {
		return nil
	}
	return err
}

// stillCandidates asks Karpenter anew which of the nodes may be disrupted: pods, budgets and annotations may have changed.
func (c *consolidationMethod) stillCandidates(ctx context.Context, names map[string]bool) ([]*disruption.Candidate, error) {
	filter := func(ctx context.Context, cn *disruption.Candidate) bool {
		return names[cn.Name()] && c.ShouldDisrupt(ctx, cn)
	}
	candidates, err := disruption.GetCandidates(ctx, c.cluster, c.cfg.Client, c.cfg.Recorder, c.cfg.Clock, c.cfg.CloudProvider, filter, c.Class(), c.queue)
	if err != nil {
		return nil, fmt.Errorf("listing candidates, %w", err)
	}
	return candidates, nil
}

// search looks for savings. Only the given candidates may be removed; every other managed node is kept and said why.
func (c *consolidationMethod) search(ctx context.Context, budgets map[string]int, candidates []*disruption.Candidate) (*Snapshot, consolidation.Plan, error) {
	s, err := c.Snapshot(ctx)
	if err != nil {
		return nil, consolidation.Plan{}, err
	}
	c.Protect(ctx, s, nil)
	awaited := sets.New[string]()
	for _, k := range slices.Concat(s.Kept, s.Expected) {
		awaited.Insert(k.Node)
	}
	mayGo := lo.SliceToMap(candidates, func(cn *disruption.Candidate) (string, *disruption.Candidate) { return cn.Name(), cn })
	pdbs, err := pdb.NewLimits(ctx, c.cfg.Client)
	if err != nil {
		return nil, consolidation.Plan{}, fmt.Errorf("reading PodDisruptionBudgets, %w", err)
	}
	in := consolidation.State{
		Pools: s.Problem.Pools, DaemonSets: s.Problem.DaemonSets, Namespaces: s.Problem.Namespaces,
		Pending: slices.Concat(s.Problem.Pods, s.Moving), Budgets: budgets, Options: c.cfg.Consolidation,
	}
	moves, err := c.podMoves(ctx)
	if err != nil {
		return nil, consolidation.Plan{}, err
	}
	in.Options.Now = c.cfg.Clock.Now()
	in.Pools, in.Returning = c.comebacks.Settled(in.Options.Now, in.Pools)
	in.Options.Packing = c.cfg.Packing
	for _, node := range s.Problem.Nodes {
		n := s.states[node.Name]
		if n == nil || n.NodeClaim == nil {
			in.Fixed = append(in.Fixed, node)
			continue
		}
		candidate := consolidation.Candidate{
			Node: node, Pool: node.Labels[karpv1.NodePoolLabelKey], CapacityType: node.Labels[karpv1.CapacityTypeLabelKey],
			InstanceType: node.Labels[corev1.LabelInstanceTypeStable], Zone: node.Labels[corev1.LabelTopologyZone],
			LaunchedAt: n.NodeClaim.CreationTimestamp.Time,
		}
		if mayGo[node.Name] == nil {
			candidate.Blocked = c.blocked(ctx, s, node, pdbs)
		}
		if candidate.Blocked == "" && awaited.Has(node.Name) {
			candidate.Blocked = "pods that are planned on it are on their way"
		}
		if candidate.Blocked == "" {
			candidate.Blocked = consolidation.HeldBy(node.Pods)
		}
		if candidate.Blocked == "" {
			candidate.PodCost = moves.costs(ctx, &node)
			if err := c.movable(ctx, &candidate); err != nil {
				return nil, consolidation.Plan{}, err
			}
		}
		in.Candidates = append(in.Candidates, candidate)
	}
	plan, err := consolidation.Search(ctx, in)
	if err != nil {
		return nil, consolidation.Plan{}, fmt.Errorf("searching for savings, %w", err)
	}
	return s, plan, nil
}

// movable writes on the pods of a candidate what they will ask for, and what their next node must be: they need places anew, so
// their volumes and their tolerance of spot count as those of pending pods do.
func (c *consolidationMethod) movable(ctx context.Context, candidate *consolidation.Candidate) error {
	pods := candidate.Pods
	placed, err := c.toPlace(ctx, lo.Map(pods, func(p packing.Pod, _ int) *corev1.Pod { return p.Pod }))
	if err != nil {
		return err
	}
	candidate.Anew = make([]corev1.ResourceList, len(pods))
	for i := range pods {
		if pods[i].Daemon {
			continue
		}
		pods[i].NodeTerms = placed[i].NodeTerms
		pods[i].Expected = c.expected(pods[i].Pod, pods[i].Requests)
		if candidate.Anew[i], err = c.anew(ctx, pods[i].Pod, pods[i].Requests); err != nil {
			return err
		}
	}
	return nil
}

// blocked says why Karpenter does not offer a managed node as a candidate.
func (c *consolidationMethod) blocked(ctx context.Context, s *Snapshot, node packing.Node, pdbs pdb.Limits) string {
	n := s.states[node.Name]
	if c.queue.HasAny(n.ProviderID()) {
		return "it is being disrupted already"
	}
	if err := n.ValidateNodeDisruptable(c.cfg.Clock); err != nil {
		return err.Error()
	}
	np := s.pools.byName[node.Labels[karpv1.NodePoolLabelKey]]
	if np == nil {
		return fmt.Sprintf("its nodepool %q is gone", node.Labels[karpv1.NodePoolLabelKey])
	}
	if np.Spec.Disruption.ConsolidateAfter.Duration == nil {
		return fmt.Sprintf("nodepool %q has consolidation turned off (consolidateAfter: Never)", np.Name)
	}
	if disruptionutils.IsUnderConsolidateAfter(np, n.NodeClaim, c.cfg.Clock) {
		return fmt.Sprintf("its pods changed less than %s ago (consolidateAfter of nodepool %q)", np.Spec.Disruption.ConsolidateAfter.Duration, np.Name)
	}
	if _, err := n.ValidatePodsDisruptable(ctx, c.cfg.Client, pdbs, c.cfg.Clock, c.cfg.Recorder); err != nil {
		return err.Error()
	}
	return "it is not a candidate for consolidation now"
}

// commands turns moves into Karpenter's commands, and sums what they promise to save in USD per hour. A move that would remove
// a node on which an earlier one counts is left for the next round.
func (c *consolidationMethod) commands(ctx context.Context, s *Snapshot, plan consolidation.Plan, candidates []*disruption.Candidate) (commands []disruption.Command, promised float64, err error) {
	byName := lo.SliceToMap(candidates, func(cn *disruption.Candidate) (string, *disruption.Candidate) { return cn.Name(), cn })
	counted := map[string]bool{}
	successors := map[string][]succession.Plan{}
	for _, move := range plan.Moves {
		if lo.SomeBy(move.Remove, func(name string) bool { return counted[name] }) {
			continue
		}
		var command disruption.Command
		for _, name := range move.Remove {
			if cn := byName[name]; cn != nil {
				command.Candidates = append(command.Candidates, cn)
			}
		}
		if len(command.Candidates) != len(move.Remove) {
			continue
		}
		for _, node := range move.Launch {
			pods := lo.FilterMap(node.Pods, func(i, _ int) (*corev1.Pod, bool) { return move.Pods[i].Pod, !isVirtual(move.Pods[i].Pod) })
			claim, err := s.nodeClaim(node, pods)
			if err != nil {
				return nil, 0, err
			}
			if planned, ok := c.successors(&move, node.Pods); ok {
				if claim.Annotations[v1alpha1.PlannedSuccessorsAnnotation], err = succession.Encode([]succession.Plan{planned}, c.cfg.Clock.Now()); err != nil {
					return nil, 0, err
				}
			}
			command.Replacements = append(command.Replacements, &disruption.Replacement{NodeClaim: claim})
			command.Results.NewNodeClaims = append(command.Results.NewNodeClaims, claim)
		}
		onNode := map[string][]int{}
		for _, b := range move.Bindings {
			counted[b.Node] = true
			onNode[b.Node] = append(onNode[b.Node], b.Pod)
			if n := s.states[b.Node]; n != nil && !isVirtual(move.Pods[b.Pod].Pod) {
				command.Results.ExistingNodes = append(command.Results.ExistingNodes, &scheduling.ExistingNode{
					StateNode: n, Pods: []*corev1.Pod{move.Pods[b.Pod].Pod},
				})
			}
		}
		for name, pods := range onNode {
			if planned, ok := c.successors(&move, pods); ok {
				successors[name] = append(successors[name], planned)
			}
		}
		log.FromContext(ctx).Info("consolidating", "remove", move.Remove, "launch", len(move.Launch), "pods", len(move.Pods),
			"savedPerHour", move.SavedPerHour, "disruptionCost", move.DisruptionCost, "why", move.Why)
		for _, cn := range command.Candidates {
			c.consolidated.add(cn.ProviderID())
		}
		commands = append(commands, command)
		promised += move.SavedPerHour
	}
	// Before the first pod is evicted, which a command does that has nothing to wait for.
	c.planSuccessors(ctx, s, successors)
	return commands, promised, nil
}

// explainHeld says on the nodes that could be given up why they are not.
func (c *consolidationMethod) explainHeld(ctx context.Context, s *Snapshot, plan consolidation.Plan, until time.Time) {
	if len(plan.Moves) == 0 {
		return
	}
	why := fmt.Sprintf("kept until %s because earlier consolidations did not save what they promised", until.UTC().Format(time.TimeOnly))
	log.FromContext(ctx).Info("holding consolidation back", "until", until, "moves", len(plan.Moves))
	for _, move := range plan.Moves {
		for _, name := range move.Remove {
			plan.Kept = append(plan.Kept, consolidation.Kept{Node: name, Why: why})
		}
	}
	c.explain(s, plan)
}

// explain says on each node that is kept why it is.
func (c *consolidationMethod) explain(s *Snapshot, plan consolidation.Plan) {
	for _, kept := range plan.Kept {
		if n := s.states[kept.Node]; n != nil && n.Node != nil && n.NodeClaim != nil {
			for _, e := range disruptionevents.Unconsolidatable(n.Node, n.NodeClaim, kept.Why) {
				// Karpenter says one thing of a node every 15 min, whatever else becomes true meanwhile.
				e.DedupeValues = append(e.DedupeValues, withoutFigures(kept.Why))
				c.cfg.Recorder.Publish(e)
			}
		}
	}
}

// withoutFigures is a message less its digits: ages and prices change all the time, and that is no news.
func withoutFigures(message string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, message)
}
