// Package ours runs Supercargo's search for savings on a cluster of package model, as provisioner/karpenter does on a real one.
package ours

import (
	"context"
	"fmt"
	"time"

	"supercargo.dev/e2e/bench/consolidation/model"
	"supercargo.dev/provisioner/consolidation"
)

// Supercargo is the search beside a cluster.
type Supercargo struct {
	model   *model.Cluster
	options consolidation.Options
	young   map[string]time.Time
	now     time.Time
}

// pause is the time that passes in the model between two rounds: more than the break-even of any node that is worth buying.
const pause = time.Hour

// New makes the search. Unset options are the engine's defaults, except for its time budget, which is the caller's.
func New(c *model.Cluster, o consolidation.Options) *Supercargo {
	return &Supercargo{model: c, options: o, young: map[string]time.Time{}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// Unrestrained are options under which any saving at all is a move: no minimum, no cost of moving pods, no age.
func Unrestrained() consolidation.Options {
	return consolidation.Options{MinSavingFraction: -1, MinSavingPerHour: -1, DefaultPodCost: -1, BreakEven: -1, LaunchOverlap: time.Nanosecond}
}

// longest is the time budget up to which a search that found nothing is given twice the time.
const longest = 8 * time.Second

// Next searches. A search that found nothing because its time was over is repeated with twice the time, so that what the
// engine comes to depends on the machine and its load in the time that it takes only. It is settled when nothing was found
// though there was time to look everywhere.
func (s *Supercargo) Next(ctx context.Context) (commands []model.Command, settled bool, err error) {
	state, err := s.State()
	if err != nil {
		return nil, false, err
	}
	if state.Options.TimeBudget == 0 {
		state.Options.TimeBudget = consolidation.DefaultTimeBudget
	}
	plan, err := consolidation.Search(ctx, state)
	for err == nil && len(plan.Moves) == 0 && plan.Stats.Truncated && state.Options.TimeBudget < longest && ctx.Err() == nil {
		state.Options.TimeBudget *= 2
		plan, err = consolidation.Search(ctx, state)
	}
	if err != nil {
		return nil, false, fmt.Errorf("searching, %w", err)
	}
	for _, m := range plan.Moves {
		commands = append(commands, translate(m))
	}
	s.now = s.now.Add(pause)
	return commands, len(commands) == 0 && !plan.Stats.Truncated, nil
}

// State is the cluster as the search wants it.
func (s *Supercargo) State() (consolidation.State, error) {
	out := consolidation.State{DaemonSets: s.model.DaemonSets, Options: s.options}
	out.Pools = append(out.Pools, s.model.Pool)
	out.Options.Now = s.now
	for _, n := range s.model.Nodes() {
		packed, err := s.model.Packed(n)
		if err != nil {
			return consolidation.State{}, err
		}
		launched, ok := s.young[n.Name]
		if !ok {
			launched = s.now.Add(-24 * time.Hour)
		}
		out.Candidates = append(out.Candidates, consolidation.Candidate{
			Node: packed, Pool: s.model.Pool.Name, CapacityType: n.CapacityType, InstanceType: n.InstanceType, Zone: n.Zone, LaunchedAt: launched,
		})
	}
	return out, nil
}

// Applied notes what was launched.
func (s *Supercargo) Applied(_ context.Context, _ model.Command, change model.Change) error {
	for _, n := range change.Added {
		s.young[n.Name] = s.now.Add(-pause)
	}
	return nil
}

func translate(m consolidation.Move) model.Command {
	out := model.Command{Remove: m.Remove}
	for _, b := range m.Bindings {
		out.Bind = append(out.Bind, model.Binding{Pod: m.Pods[b.Pod].Pod, Node: b.Node})
	}
	for _, k := range m.Order {
		out.Order = append(out.Order, m.Pods[k].Pod)
	}
	for _, n := range m.Launch {
		l := model.Launch{InstanceType: n.InstanceType, Zone: n.Zone, CapacityType: n.CapacityType, Labels: n.Labels}
		for _, i := range n.Pods {
			l.Pods = append(l.Pods, m.Pods[i].Pod)
		}
		out.Launch = append(out.Launch, l)
	}
	return out
}
