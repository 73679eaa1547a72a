package plan

import (
	"time"

	"supercargo.dev/plan/dump"
)

// HoursPerMonth is the vendors' month of price calculations: 365 days / 12.
const HoursPerMonth = 730

// APIVersion and Kind of a Report.
const (
	APIVersion = "cli.supercargo.dev/v1alpha1"
	Kind       = "Plan"
)

// Report is the answer, and the documented structure of the output in JSON and YAML. Money is in USD, memory in GiB. A price
// that is not known is absent, never 0. Fields are added, not renamed or removed, within one apiVersion.
type Report struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Pricing is what the plan may buy, and where its prices come from.
	Pricing Pricing `json:"pricing"`
	// Current is the cluster as it is, Planned what it would be.
	Current Summary `json:"current"`
	Planned Summary `json:"planned"`
	// Bound is what no packing of these pods on these machines can cost less than.
	Bound Bound `json:"bound"`
	// Savings is Current less Planned; negative where the plan costs more.
	Savings Savings `json:"savings"`
	// Change is what the workloads of --filename cost, where some are given. Current is then the cluster without them and
	// Planned the cluster with them.
	Change *Change `json:"change,omitempty"`
	// Buy are the nodes of the plan, the dearest group first.
	Buy []Purchase `json:"buy"`
	// Keep are the nodes that stay.
	Keep []Kept `json:"keep,omitempty"`
	// Unplaced are the pods for which there is no place in the plan.
	Unplaced []Unplaced `json:"unplaced,omitempty"`
	// Blockers are what stands between the cluster and the plan.
	Blockers []Blocker `json:"blockers,omitempty"`
	// UnknownPrices are the nodes whose price is not known.
	UnknownPrices []UnknownPrice `json:"unknownPrices,omitempty"`
	// Notes are what the plan had to assume.
	Notes []string `json:"notes,omitempty"`
	// Input is what was read.
	Input Input `json:"input"`
}

// Pricing is what a plan may buy.
type Pricing struct {
	Cloud         string   `json:"cloud"`
	Region        string   `json:"region"`
	Zones         []string `json:"zones"`
	Families      []string `json:"families"`
	Architectures []string `json:"architectures"`
	Spot          SpotMode `json:"spot"`
	// InstanceTypes is how many types that leaves.
	InstanceTypes int `json:"instanceTypes"`
	// OnDemandAt and SpotAt are the days on which the catalog's prices were read.
	OnDemandAt string `json:"onDemandAt,omitempty"`
	SpotAt     string `json:"spotAt,omitempty"`
	Rightsized bool   `json:"rightsized"`
	Currency   string `json:"currency"`
}

// Summary is the size and cost of a cluster.
type Summary struct {
	Nodes     int     `json:"nodes"`
	SpotNodes int     `json:"spotNodes"`
	VCPU      float64 `json:"vcpu"`
	MemoryGiB float64 `json:"memoryGiB"`
	// Pods that run on the nodes, daemonset and static pods included.
	Pods int `json:"pods"`
	// PricePerHour and PricePerMonth are "at least" where UnknownPrices is not 0.
	PricePerHour  float64 `json:"pricePerHour"`
	PricePerMonth float64 `json:"pricePerMonth"`
	// UnknownPrices counts the nodes whose price is not known.
	UnknownPrices int `json:"unknownPrices"`
	// CPUPercent and MemoryPercent are what pods request of what is allocatable.
	CPUPercent    float64 `json:"cpuPercent"`
	MemoryPercent float64 `json:"memoryPercent"`
}

// Bound is the least that any packing could cost: what is kept, and a lower bound on what must be bought.
type Bound struct {
	PricePerHour  float64 `json:"pricePerHour"`
	PricePerMonth float64 `json:"pricePerMonth"`
	// GapPercent is how far the plan is above the bound, at most.
	GapPercent float64 `json:"gapPercent"`
}

// Savings is money.
type Savings struct {
	PerHour  float64 `json:"perHour"`
	PerMonth float64 `json:"perMonth"`
	// Percent of the current price.
	Percent float64 `json:"percent"`
	// AtLeast is set where current nodes have no known price, so that the savings can only be larger.
	AtLeast bool `json:"atLeast,omitempty"`
	// Unknown is set where a planned node has no known price, so that nothing can be said about savings.
	Unknown bool `json:"unknown,omitempty"`
}

// Change is what adding or changing workloads costs.
type Change struct {
	Workloads []ChangedWorkload `json:"workloads"`
	// Pods more than now; negative where a workload shrinks.
	Pods int `json:"pods"`
	// AsIs is the cluster as it is with the new pods on free capacity first, and nodes bought for the rest.
	AsIs ChangeCost `json:"asIs"`
	// Packed is the difference between the cluster packed anew with and without the change.
	Packed ChangeCost `json:"packed"`
}

// ChangedWorkload is one workload of the change.
type ChangedWorkload struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Before and After are its numbers of pods.
	Before int `json:"before"`
	After  int `json:"after"`
}

// ChangeCost is what a change costs per hour and month, and on which nodes.
type ChangeCost struct {
	PricePerHour  float64    `json:"pricePerHour"`
	PricePerMonth float64    `json:"pricePerMonth"`
	Nodes         int        `json:"nodes"`
	Buy           []Purchase `json:"buy,omitempty"`
	// UnknownPrices counts nodes to buy whose price is not known.
	UnknownPrices int        `json:"unknownPrices,omitempty"`
	Unplaced      []Unplaced `json:"unplaced,omitempty"`
}

// Purchase is a group of equal nodes to buy.
type Purchase struct {
	// Group of nodes that they join: their labels and taints.
	Group        string `json:"group"`
	InstanceType string `json:"instanceType"`
	Zone         string `json:"zone"`
	CapacityType string `json:"capacityType"`
	Count        int    `json:"count"`
	// PricePerHour of one of them and TotalPerHour of all; absent when not known.
	PricePerHour *float64 `json:"pricePerHour,omitempty"`
	TotalPerHour *float64 `json:"totalPerHour,omitempty"`
	// Pods on all of them, without daemonsets.
	Pods int `json:"pods"`
}

// Kept is a group of nodes that stay, for one reason.
type Kept struct {
	Reason       string  `json:"reason"`
	Nodes        int     `json:"nodes"`
	Example      string  `json:"example"`
	PricePerHour float64 `json:"pricePerHour"`
	// UnknownPrices counts those whose price is not known.
	UnknownPrices int `json:"unknownPrices,omitempty"`
}

// Unplaced is a group of pods of one workload that have no place, for one reason.
type Unplaced struct {
	Workload string `json:"workload"`
	Pods     int    `json:"pods"`
	Example  string `json:"example"`
	Message  string `json:"message"`
	Remedy   string `json:"remedy"`
}

// Blocker is one kind of obstacle on the way to the plan.
type Blocker struct {
	// Reason is stable: doNotDisrupt, budgetExhausted, noController, localStorage or strictAntiAffinity.
	Reason string `json:"reason"`
	// Description says it in words, Remedy what would help.
	Description string `json:"description"`
	Remedy      string `json:"remedy"`
	Pods        int    `json:"pods"`
	// Nodes that hold such pods, and what they cost.
	Nodes        int     `json:"nodes"`
	PricePerHour float64 `json:"pricePerHour"`
	Example      string  `json:"example"`
}

// UnknownPrice is a group of nodes whose price is not known, for one reason.
type UnknownPrice struct {
	Reason  string `json:"reason"`
	Nodes   int    `json:"nodes"`
	Example string `json:"example"`
}

// Input counts what was read.
type Input struct {
	Nodes         int `json:"nodes"`
	Pods          int `json:"pods"`
	FinishedPods  int `json:"finishedPods"`
	PendingPods   int `json:"pendingPods"`
	DaemonPods    int `json:"daemonPods"`
	StaticPods    int `json:"staticPods"`
	GatedPods     int `json:"gatedPods"`
	RepeatedItems int `json:"repeatedItems"`
	// Ignored counts the objects of kinds that a plan does not need.
	Ignored map[string]int `json:"ignored,omitempty"`
	// Problems are the items that could not be read: the plan is then made of the rest.
	Problems []dump.Problem `json:"problems,omitempty"`
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}
