package program

// Row is what one engine made of one problem, as the JSON files have it.
type Row struct {
	Case   string `json:"case"`
	Engine string `json:"engine"`
	Pods   int    `json:"pods"`
	// Nodes that exist beforehand.
	Nodes int `json:"nodes"`
	Types int `json:"types"`
	// Seconds to a plan by the clock, and the pods of the problem over them.
	Seconds       float64 `json:"seconds"`
	PodsPerSecond float64 `json:"podsPerSecond"`
	// CostPerHour and LowerBound in USD; Ratio is the one divided by the other.
	CostPerHour float64 `json:"costPerHour"`
	LowerBound  float64 `json:"lowerBound"`
	Ratio       float64 `json:"ratio"`
	// NodesUsed afterwards.
	NodesUsed  int   `json:"nodesUsed"`
	Violations int   `json:"violations"`
	PeakBytes  int64 `json:"peakBytes"`
}
