package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"supercargo.dev/e2e/sandbox"
)

const (
	// look is between two looks at a condition.
	look = 100 * time.Millisecond
	// patience bounds each wait; it is far above what any takes on a machine of its own.
	patience = 10 * time.Minute
	// tailLines of a log are shown when something goes wrong.
	tailLines = 15
)

// nextSample returns when the bill has been read once more.
func (r *run) nextSample(ctx context.Context) error {
	now := time.Now()
	return r.await(ctx, "the next reading of the bill", func(context.Context) (string, error) {
		if s, ok := r.watch.Last(); !ok || s.At.Before(now) {
			return "none yet", nil
		}
		return "", nil
	})
}

// await waits until the condition has nothing left to wait for.
func (r *run) await(ctx context.Context, what string, condition func(context.Context) (missing string, err error)) error {
	begin := time.Now()
	for {
		missing, err := condition(ctx)
		if err != nil || missing == "" {
			return err
		}
		if err := r.alive(); err != nil {
			return fmt.Errorf("waiting for %s, %w", what, err)
		}
		if time.Since(begin) > patience {
			log := r.box.Process().Log()
			if r.engine != nil {
				log = r.engine.Log()
			}
			return fmt.Errorf("waited %s for %s: %s; %s ends:\n%s", patience, what, missing, log, sandbox.Tail(log, tailLines))
		}
		if err := sleep(ctx, look); err != nil {
			return err
		}
	}
}

// alive fails where the engine or the sandbox has ended.
func (r *run) alive() error {
	for _, p := range []*sandbox.Process{r.box.Process(), r.engine} {
		if p == nil {
			continue
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s has ended; its log %s ends:\n%s", p.Name(), p.Log(), sandbox.Tail(p.Log(), tailLines))
		default:
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// cpuSeconds is the processor time that a process has used, 0 where the system does not tell. It does not depend on what else the
// machine does.
func cpuSeconds(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// utime and stime are the 14th and 15th field (proc(5)); the second is a name in brackets that may hold blanks.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	const ticksPerSecond = 100 // USER_HZ, on every architecture that Go runs on
	total := 0.0
	for _, f := range fields[11:13] {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0
		}
		total += n
	}
	return total / ticksPerSecond
}
