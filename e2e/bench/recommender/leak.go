package recommender

// withLeaks adds a leak to each trace: memory grows by two MiB a minute for four hours, then the container is killed at
// its own limit and begins anew. What grows beyond anything seen before is nobody's fault; below the peak of the leak
// before, a kill is the recommendation's.
func withLeaks(traces []Trace) []Trace {
	const cycle, perMinute = 240, 2 * mib
	out := make([]Trace, len(traces))
	for i, t := range traces {
		leaking := t
		leaking.Source += "+leaks"
		leaking.Samples = make([]Sample, len(t.Samples))
		for k, s := range t.Samples {
			s.MemoryBytes += float64(k%cycle) * perMinute
			leaking.Samples[k] = s
		}
		out[i] = leaking
	}
	return out
}
