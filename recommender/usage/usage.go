// Package usage brings what containers use: from kubelets or metrics.k8s.io while the system runs, and from an OpenMetrics file or a
// Prometheus server when it starts.
//
// It turns counters into rates and rejects what cannot be; which workload a pod belongs to, and what follows from the
// usage, is left to others.
package usage

import (
	"context"
	"time"
)

// Usage is what one container used at one time.
type Usage struct {
	Namespace, Pod, Container string
	At                        time.Time
	// MilliCPU is the mean since the sample before, in thousandths of a core; NaN when unknown.
	MilliCPU float64
	// MemoryBytes is the working set; NaN when unknown.
	MemoryBytes float64
	// Place is the container's, the same from one sample to the next, and used by one goroutine at a time. Nil where the
	// source has none.
	Place *Place
}

// Place is where a sink keeps what it found for a container, so that it need not look it up for each sample.
type Place struct{ Kept any }

// Sample is what a source reads: a counter of CPU, or its rate where Rated, and a gauge of memory.
type Sample struct {
	Namespace, Pod, Container string
	// CPUAt and MemoryAt are the times of measurement; zero where the value is missing.
	CPUAt, MemoryAt time.Time
	// CPUSeconds is a counter of core-seconds.
	CPUSeconds float64
	// Rated says that the source gives Cores, a mean over a window of its own, instead of CPUSeconds.
	Rated bool
	Cores float64
	// MemoryBytes is the working set.
	MemoryBytes float64
}

// Source reads the samples of one node, or of all where the only node is Cluster.
type Source interface {
	Name() string
	Scrape(ctx context.Context, node string) ([]Sample, error)
}

// Sink takes usage. It is called from several goroutines.
type Sink func(Usage)

// Stream calls yield for each usage in the order of time within a container, until yield returns an error.
type Stream func(ctx context.Context, yield func(Usage) error) error
