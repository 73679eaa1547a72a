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
	// PeakBytes is by how much the heap grew at the most: bytes of objects, garbage not yet collected included, over what
	// was live when the run began.
	PeakBytes int64
}

// interval between two looks at the heap. A look takes about a microsecond.
const interval = 500 * time.Microsecond

const heapObjects = "/memory/classes/heap/objects:bytes"

// Run collects garbage, so that no run pays for another's, runs f and says what it took. Memory is looked at every half
// millisecond and once more at the end; what a function keeps or hands out is part of its peak. One run at a time.
func Run(f func() error) (Usage, error) {
	// Twice: the first only starts the sweep of what finalizers and pools still hold.
	runtime.GC()
	runtime.GC()
	base := heap()
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		peak := base
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak = max(peak, heap())
			case <-stop:
				done <- max(peak, heap())
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
	u.PeakBytes = int64(min(peak-min(base, peak), math.MaxInt64))
	if failed != nil {
		return u, failed
	}
	return u, err
}

func heap() uint64 {
	sample := []metrics.Sample{{Name: heapObjects}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// ProcessorTime is what this process has used of processors, all threads together: on a shared machine it says more than
// the clock.
func ProcessorTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("reading processor time, %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
