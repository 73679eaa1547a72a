// Package measure runs a function and says what it took: time, processor time, and memory.
package measure

import (
	"fmt"
	"math"
	"runtime"
	"runtime/metrics"
	"syscall"
	"time"
)

// Usage is what one run took.
type Usage struct {
	// Wall is what the clock says, CPU what all threads of the process used of processors meanwhile.
	Wall, CPU time.Duration
	// BaseBytes is what was live on the heap when the run began, such as its inputs.
	BaseBytes int64
	// PeakBytes is by how much the heap grew at the most: bytes of objects, garbage not yet collected included, over what
	// was live when the run began.
	PeakBytes int64
}

// interval between two looks at the heap. A look takes about a microsecond.
const interval = 500 * time.Microsecond

// Run collects garbage, so that no run pays for another's, runs f and says what it took. Memory is looked at every half
// millisecond and once more at the end; what a function keeps or hands out is part of its peak. One run at a time.
func Run(f func() error) (Usage, error) {
	// Twice: the first only starts the sweep of what finalizers and pools still hold.
	runtime.GC()
	runtime.GC()
	var g gauge
	base := g.read()
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		peak := base
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak = max(peak, g.read())
			case <-stop:
				done <- max(peak, g.read())
				return
			}
		}
	}()
	cpu, err := ProcessorTime()
	if err != nil {
		close(stop)
		<-done
		return Usage{}, err
	}
	start := time.Now()
	failed := f()
	u := Usage{Wall: time.Since(start)}
	after, err := ProcessorTime()
	close(stop)
	peak := <-done
	u.CPU = after - cpu
	u.BaseBytes, u.PeakBytes = bytes(base), bytes(peak-min(base, peak))
	if failed != nil {
		return u, failed
	}
	return u, err
}

// gauge reads the size of the heap without adding to it.
type gauge struct{ sample [1]metrics.Sample }

func (g *gauge) read() uint64 {
	g.sample[0].Name = "/memory/classes/heap/objects:bytes"
	metrics.Read(g.sample[:])
	return g.sample[0].Value.Uint64()
}

func bytes(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// ProcessorTime is what this process has used of processors, all threads together: on a shared machine it says more than
// the clock.
func ProcessorTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("reading processor time, %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
