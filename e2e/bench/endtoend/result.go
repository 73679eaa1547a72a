package main

import (
	"time"
)

// Result is what one case came to. Money is USD, by the cloud's bill.
type Result struct {
	Case    string `json:"case"`
	Engine  string `json:"engine"`
	Setting string `json:"setting"`
	Pods    int    `json:"pods"`
	Seed    uint64 `json:"seed"`

	// Binding: from the start of the engine with all pods pending.
	SecondsToAllBound   float64 `json:"secondsToAllBound"`
	SecondsToAllRunning float64 `json:"secondsToAllRunning"`
	BindCPUSeconds      float64 `json:"bindCPUSeconds"`
	UnboundPodSeconds   float64 `json:"unboundPodSeconds"`
	Nodes               int     `json:"nodes"`
	SpotNodes           int     `json:"spotNodes"`
	CostPerHour         float64 `json:"costPerHour"`
	LowerBound          float64 `json:"lowerBound"`
	Ratio               float64 `json:"ratio"`
	MovedWhileBinding   int     `json:"movedWhileBinding"`

	// CostPerHourChurn is at the end of the churn.
	CostPerHourChurn float64 `json:"costPerHourChurn"`

	// After settling. What is counted is counted from the start of the churn, but for Launched and Disruptions.
	PodsAfter              int            `json:"podsAfter"`
	Settled                bool           `json:"settled"`
	SecondsToSettle        float64        `json:"secondsToSettle"`
	NodesAfter             int            `json:"nodesAfter"`
	SpotNodesAfter         int            `json:"spotNodesAfter"`
	CostPerHourAfter       float64        `json:"costPerHourAfter"`
	LowerBoundAfter        float64        `json:"lowerBoundAfter"`
	RatioAfter             float64        `json:"ratioAfter"`
	PodsMoved              int            `json:"podsMoved"`
	PodsRejected           int            `json:"podsRejected"`
	Launched               int            `json:"launched"`
	Disruptions            map[string]int `json:"disruptions"`
	UnboundPodSecondsChurn float64        `json:"unboundPodSecondsChurn"`
	EngineCPUSeconds       float64        `json:"engineCPUSeconds"`
	// DollarsTotal is from the start of the churn over its length and the settle limit, for every case.
	DollarsTotal float64 `json:"dollarsTotal"`
	// Seconds from the start of the engine to the end.
	Seconds float64 `json:"seconds"`

	spentBefore float64
	churnBegan  time.Time
	before      Counts
}

// disrupted is how many machines were given up.
func (r *Result) disrupted() int {
	n := 0
	for _, k := range r.Disruptions {
		n += k
	}
	return n
}
