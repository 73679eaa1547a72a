//go:build unix

package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	// period is that of the duty cycle: short against the 100 ms over which the kernel counts a CPU limit.
	period = 10 * time.Millisecond
	// chunk is the unit in which memory is taken and given back.
	chunk = 1 << 20
	// Bounds of what may be asked for: a slip of the pen must not take a machine.
	maxMilliCPU  = 64_000
	maxMemoryMiB = 1 << 20
)

// use is what a workload uses.
type use struct {
	MilliCPU  int64 `json:"milliCPU"`
	MemoryMiB int64 `json:"memoryMiB"`
}

// burner uses CPU and memory. Its goroutines end with its context.
type burner struct {
	life context.Context

	mu     sync.Mutex
	now    use
	held   [][]byte // chunks, mapped outside of Go's heap: given back at once, and of exactly their size
	cancel context.CancelFunc
}

func newBurner(ctx context.Context) *burner {
	return &burner{life: ctx, cancel: func() {}}
}

func (b *burner) get() use {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// set changes what is used. It returns when the memory is taken or given back, if the kernel lets it.
func (b *burner) set(u use) error {
	if u.MilliCPU < 0 || u.MilliCPU > maxMilliCPU {
		return fmt.Errorf("CPU is %d, want 0 to %d thousandths of a core", u.MilliCPU, maxMilliCPU)
	}
	if u.MemoryMiB < 0 || u.MemoryMiB > maxMemoryMiB {
		return fmt.Errorf("memory is %d, want 0 to %d MiB", u.MemoryMiB, maxMemoryMiB)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.hold(int(u.MemoryMiB)); err != nil {
		return err
	}
	if u.MilliCPU != b.now.MilliCPU {
		b.cancel()
		var ctx context.Context
		ctx, b.cancel = context.WithCancel(b.life)
		for left := u.MilliCPU; left > 0; left -= 1000 {
			go burn(ctx, min(left, 1000))
		}
	}
	b.now = u
	return nil
}

// hold takes or gives back memory until it holds that many chunks.
func (b *burner) hold(chunks int) error {
	for len(b.held) > chunks {
		last := len(b.held) - 1
		if err := syscall.Munmap(b.held[last]); err != nil {
			return fmt.Errorf("giving memory back, %w", err)
		}
		b.held = b.held[:last]
	}
	for len(b.held) < chunks {
		m, err := syscall.Mmap(-1, 0, chunk, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err != nil {
			return fmt.Errorf("taking memory, %w", err)
		}
		// Memory that was never written to is not used.
		for i := 0; i < len(m); i += syscall.Getpagesize() {
			m[i] = 1
		}
		b.held = append(b.held, m)
	}
	return nil
}

// burn uses a share of one core, in thousandths, until the context ends. Time in which it was not let run is lost, so that it never
// makes up for a limit afterwards.
func burn(ctx context.Context, milli int64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	busy := period * time.Duration(milli) / 1000
	for ctx.Err() == nil {
		start := time.Now()
		for time.Since(start) < busy {
		}
		time.Sleep(period - time.Since(start))
	}
}
