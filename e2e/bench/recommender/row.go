package recommender

// Row is one measured point, as out/bench/recommender.json has it. What was not measured is left out.
type Row struct {
	// Case is a trace or a scale point.
	Case string `json:"case"`
	// Engine is supercargo, vpa, kruize or hindsight, and Setting how it was set.
	Engine  string `json:"engine"`
	Setting string `json:"setting"`
	// Containers that were replayed or held.
	Containers int `json:"containers"`
	// BytesPerContainer is live heap per container, with everything that is kept of it.
	BytesPerContainer float64 `json:"bytesPerContainer,omitempty"`
	// NsPerSample is processor time of one sample of CPU and memory, AllocsPerSample its allocations.
	NsPerSample     float64  `json:"nsPerSample,omitempty"`
	AllocsPerSample *float64 `json:"allocsPerSample,omitempty"`
	// ContainersPerSecond are recomputed per second of one core.
	ContainersPerSecond float64 `json:"containersPerSecond,omitempty"`
	// RegisterSeconds is processor time to register all containers, ten to a scaler, with the first sample of each.
	RegisterSeconds float64 `json:"registerSeconds,omitempty"`
	// ReservedCost and UsedCost are in USD over the judged minutes.
	ReservedCost float64 `json:"reservedCost,omitempty"`
	UsedCost     float64 `json:"usedCost,omitempty"`
	// CPUViolationRate and MemoryViolationRate are the shares of minutes above the request.
	CPUViolationRate    *float64 `json:"cpuViolationRate,omitempty"`
	MemoryViolationRate *float64 `json:"memoryViolationRate,omitempty"`
	// OOMEvents are rises of memory above the request, OOMsCaused those to a height that was seen before.
	OOMEvents  *int `json:"oomEvents,omitempty"`
	OOMsCaused *int `json:"oomsCaused,omitempty"`
	// ChangesPerDay is how often a day the request of a workload moved by at least 10%.
	ChangesPerDay *float64 `json:"changesPerDay,omitempty"`
}

func qualityRow(name, engine, setting string, containers int, o Outcome) Row {
	cpu, memory, changes := o.CPURate(), o.MemoryRate(), o.ChangesPerDay()
	return Row{
		Case: name, Engine: engine, Setting: setting, Containers: containers, ReservedCost: o.Reserved, UsedCost: o.Used,
		CPUViolationRate: &cpu, MemoryViolationRate: &memory, OOMEvents: &o.OOMs, OOMsCaused: &o.Caused,
		ChangesPerDay: &changes,
	}
}

// Ratio of reserved to used cost.
func (r Row) Ratio() float64 { return r.ReservedCost / r.UsedCost }
