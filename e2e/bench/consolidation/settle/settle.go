// Package settle lets an engine consolidate a cluster round by round until it finds nothing more, and keeps the books.
package settle

import (
	"context"
	"fmt"
	"time"

	"supercargo.dev/e2e/bench/consolidation/model"
	"supercargo.dev/e2e/bench/measure"
)

// Engine decides what to do with a cluster.
type Engine interface {
	// Next computes commands for the cluster as it is. Settled says that there is nothing left to do.
	Next(context.Context) (commands []model.Command, settled bool, err error)
	// Applied tells the engine that one of them was carried out.
	Applied(context.Context, model.Command, model.Change) error
}

// Limits bound a run.
type Limits struct {
	// Rounds and Time of computing, after which the engine is stopped between two rounds.
	Rounds int
	Time   time.Duration
	// Checked is the number of commands that are replayed through kube-scheduler's plugins at most, spread evenly over each
	// round; 0 is none.
	Checked int
}

// Outcome is what a run came to.
type Outcome struct {
	// Rounds that found something, and the commands of all.
	Rounds, Commands int
	// Moved counts pods, each time they move.
	Moved int
	// Saved in USD per hour.
	Saved float64
	// Computing is what all rounds took, First what it took to the end of the round that found the first command that saves.
	Computing, First measure.Usage
	// Settled is set when the engine found nothing more; otherwise Stopped says why it was stopped.
	Settled bool
	Stopped string
	// Violations of hard rules found in Checked commands; Example is one of them.
	Violations, Checked int
	Example             string
	// Course is how the cluster's cost fell, command by command.
	Course []Point
}

// Point of a course.
type Point struct {
	// Seconds of computing until the command was known, by the clock.
	Seconds float64
	// Cost in USD per hour after it, and pods moved until then.
	Cost  float64
	Moved int
}

// MovedFor is how many pods had been moved when so many USD per hour had been saved; false when less was ever saved.
func (o *Outcome) MovedFor(saved float64) (int, bool) {
	for _, p := range o.Course {
		if o.Course[0].Cost-p.Cost >= saved-1e-9 {
			return p.Moved, true
		}
	}
	return 0, false
}

// Run carries out what an engine finds on a cluster until it is settled or a limit is reached. Carrying out takes no time.
func Run(ctx context.Context, e Engine, c *model.Cluster, limits Limits) (Outcome, error) {
	out := Outcome{Course: []Point{{Cost: c.Cost()}}}
	for {
		var commands []model.Command
		var settled bool
		u, err := measure.Run(func() (err error) {
			commands, settled, err = e.Next(ctx)
			return err
		})
		if err != nil {
			return out, err
		}
		out.Computing = sum(out.Computing, u)
		saved, err := out.apply(ctx, e, c, commands, limits.Checked)
		if err != nil {
			return out, err
		}
		if out.First.Wall == 0 && saved > 0 {
			out.First = out.Computing
		}
		switch {
		case settled:
			out.Settled = true
			return out, nil
		case len(commands) == 0:
			out.Stopped = "found nothing more within its own time limit"
			return out, nil
		}
		out.Rounds++
		switch {
		case limits.Rounds > 0 && out.Rounds >= limits.Rounds:
			out.Stopped = fmt.Sprintf("stopped after %d rounds", out.Rounds)
			return out, nil
		case limits.Time > 0 && out.Computing.Wall >= limits.Time:
			out.Stopped = fmt.Sprintf("stopped after %s", out.Computing.Wall.Round(time.Second))
			return out, nil
		}
	}
}

// apply carries out the commands of a round, and returns what they save.
func (o *Outcome) apply(ctx context.Context, e Engine, c *model.Cluster, commands []model.Command, checks int) (saved float64, err error) {
	checks = max(0, checks-o.Checked)
	for i, cmd := range commands {
		if due(i, len(commands), checks) {
			found, err := c.Violations(ctx, cmd)
			if err != nil {
				return 0, err
			}
			o.Checked++
			o.Violations += len(found)
			if len(found) > 0 && o.Example == "" {
				o.Example = found[0].String()
			}
		}
		change, err := c.Apply(cmd)
		if err != nil {
			return 0, fmt.Errorf("carrying out command %d of %d of round %d, %w", i+1, len(commands), o.Rounds+1, err)
		}
		o.Commands++
		o.Moved += change.Moved
		o.Saved += change.Saved
		saved += change.Saved
		o.Course = append(o.Course, Point{o.Computing.Wall.Seconds(), o.Course[len(o.Course)-1].Cost - change.Saved, o.Moved})
		if err := e.Applied(ctx, cmd, change); err != nil {
			return 0, err
		}
	}
	return saved, nil
}

// due tells whether number i of n is among so many that are spread evenly.
func due(i, n, wanted int) bool {
	if wanted >= n {
		return true
	}
	return wanted > 0 && (i == 0 || i*wanted/n != (i-1)*wanted/n)
}

func sum(a, b measure.Usage) measure.Usage {
	return measure.Usage{Wall: a.Wall + b.Wall, CPU: a.CPU + b.CPU, PeakBytes: max(a.PeakBytes, b.PeakBytes)}
}
