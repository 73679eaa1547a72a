package main

import (
	"context"
	"time"

	"supercargo.dev/e2e/bench/consolidation/fragment"
	"supercargo.dev/e2e/bench/consolidation/model"
	"supercargo.dev/e2e/bench/consolidation/ours"
	"supercargo.dev/e2e/bench/consolidation/peer"
	"supercargo.dev/e2e/bench/consolidation/settle"
	"supercargo.dev/e2e/bench/measure"
	"supercargo.dev/e2e/bench/report"
	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/packing"
)

// Engines, as consolidation.json names them.
const (
	supercargo = "supercargo"
	karpenter  = "karpenter"
)

// Settings of the rows; the first of each engine is its default.
const (
	atDefaults   = "defaults"
	unrestrained = "no restraint"
	spotToSpot   = "spot to spot"
)

// line is what one engine made of one trial.
type line struct {
	trial
	engine, setting string
	// before and after are numbers of nodes; left is the number of pods.
	before, after, left int
	types               int
	cost, bound         float64
	// plan is what the first plan took: one search, or Karpenter's multi-node and single-node consolidation at that state.
	plan measure.Usage
	// first is the time until the first command that saves, by the clock.
	first time.Duration
	settle.Outcome
	// rival is the other engine's line at defaults, nil when there is none.
	rival *line
}

// rounds of Supercargo's after which it is stopped; it has always come to rest long before.
const rounds = 60

// checks is how many commands of a run are replayed through kube-scheduler's plugins at most.
const checks = 200

func (s *settings) measure(ctx context.Context, t trial) ([]line, error) {
	c, err := fragment.New(ctx, t.draw, fragment.Options{Nodes: t.nodes, Pods: t.pods, CapacityType: t.capacityType, Seed: s.Seed})
	if err != nil {
		return nil, err
	}
	bound, err := c.LowerBound(ctx)
	if err != nil {
		return nil, err
	}
	base := line{trial: t, before: len(c.Nodes()), left: len(c.Pods()), types: len(c.Pool.Types), bound: bound}
	out := make([]line, 0, 4)
	mine, err := s.ours(ctx, base, c, atDefaults, consolidation.Options{})
	if err != nil {
		return nil, err
	}
	out = append(out, mine)
	if t.alone {
		return out, nil
	}
	theirs, err := s.theirs(ctx, base, c, atDefaults, peer.Options{})
	if err != nil {
		return nil, err
	}
	out = append(out, theirs)
	loose, err := s.ours(ctx, base, c, unrestrained, ours.Unrestrained())
	if err != nil {
		return nil, err
	}
	out = append(out, loose)
	if t.capacityType == packing.CapacitySpot {
		bolder, err := s.theirs(ctx, base, c, spotToSpot, peer.Options{SpotToSpot: true})
		if err != nil {
			return nil, err
		}
		out = append(out, bolder)
	}
	for i := range out {
		if out[i].engine == supercargo {
			out[i].rival = &theirs
		} else {
			out[i].rival = &mine
		}
	}
	return out, nil
}

func (s *settings) ours(ctx context.Context, l line, c *model.Cluster, setting string, o consolidation.Options) (line, error) {
	l.engine, l.setting = supercargo, setting
	search := func(o consolidation.Options) (measure.Usage, error) {
		return s.median(func() (measure.Usage, error) {
			state, err := ours.New(c, o).State()
			if err != nil {
				return measure.Usage{}, err
			}
			return measure.Run(func() error {
				_, err := consolidation.Search(ctx, state)
				return err
			})
		})
	}
	var err error
	if l.plan, err = search(o); err != nil {
		return l, err
	}
	one := o
	one.MaxMoves = 1
	first, err := search(one)
	if err != nil {
		return l, err
	}
	l.first = first.Wall
	limits := settle.Limits{Rounds: rounds, Checked: checks}
	if l.alone {
		limits = settle.Limits{Rounds: 1, Checked: 10}
	}
	copied := c.Clone()
	if l.Outcome, err = settle.Run(ctx, ours.New(copied, o), copied, limits); err != nil {
		return l, err
	}
	l.cost, l.after = copied.Cost(), len(copied.Nodes())
	return l, nil
}

func (s *settings) theirs(ctx context.Context, l line, c *model.Cluster, setting string, o peer.Options) (line, error) {
	l.engine, l.setting = karpenter, setting
	var err error
	l.plan, err = s.median(func() (measure.Usage, error) {
		k, err := peer.New(ctx, c.Clone(), o)
		if err != nil {
			return measure.Usage{}, err
		}
		defer k.Close()
		return measure.Run(func() error { return k.Both(ctx) })
	})
	if err != nil {
		return l, err
	}
	copied := c.Clone()
	k, err := peer.New(ctx, copied, o)
	if err != nil {
		return l, err
	}
	defer k.Close()
	if l.Outcome, err = settle.Run(ctx, k, copied, settle.Limits{Time: s.patience, Checked: checks}); err != nil {
		return l, err
	}
	l.first = l.First.Wall
	l.cost, l.after = copied.Cost(), len(copied.Nodes())
	return l, nil
}

// median runs something a few times and returns the run in the middle.
func (s *settings) median(f func() (measure.Usage, error)) (measure.Usage, error) {
	var all []measure.Usage
	for range s.Runs {
		u, err := f()
		if err != nil {
			return measure.Usage{}, err
		}
		all = append(all, u)
	}
	return report.MedianBy(all, func(u measure.Usage) time.Duration { return u.Wall }), nil
}
