package recommender

import (
	"cmp"
	"slices"
	"time"
)

// Sample is what one container used in one minute.
type Sample struct {
	At time.Time
	// MilliCPU is in thousandths of a core.
	MilliCPU float64
	// MemoryBytes is the working set.
	MemoryBytes float64
}

// Trace is the usage of one container of one pod, a sample a minute.
type Trace struct {
	// Source is the file or data set that it comes from.
	Source string
	// Workload and Pod name what used it.
	Workload, Pod string
	Samples       []Sample
	// JudgeFrom leaves out what comes before it, so that engines are compared on the same minutes. Zero: nothing.
	JudgeFrom time.Time
}

// sortTraces orders traces by name and samples by time, so that a replay does not depend on the order of files.
func sortTraces(traces []Trace) {
	for _, t := range traces {
		slices.SortStableFunc(t.Samples, func(a, b Sample) int { return a.At.Compare(b.At) })
	}
	slices.SortStableFunc(traces, func(a, b Trace) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.Pod, b.Pod))
	})
}
