package demo

import (
	"time"

	"supercargo.dev/cost"
	"supercargo.dev/e2e/demo/observe"
)

// Names of the stages, in order.
const (
	StageBought       = "bought"
	StageRightsized   = "rightsized in place"
	StageConsolidated = "consolidated"
	StageInterrupted  = "after the spot interruption"
	StageBatchDone    = "after the batch is done"
)

// Stage is the cluster at the end of one step.
type Stage struct {
	Name string `json:"stage"`
	// Seconds that the step took.
	Seconds float64 `json:"seconds"`
	Nodes   int     `json:"nodes"`
	Spot    int     `json:"spot"`
	// USDPerHour is what the cloud bills, LedgerUSDPerHour what the ledger says.
	USDPerHour       float64 `json:"usdPerHour"`
	LedgerUSDPerHour float64 `json:"ledgerUSDPerHour"`
	// LowerBound in USD per hour: no packing of the same pods costs less.
	LowerBound float64 `json:"lowerBoundUSDPerHour"`
	// PricesMoved since the end of the step before: the market moves every few minutes, and the bound is at the prices of its moment.
	PricesMoved bool `json:"spotPricesMoved"`
	// Requested and Used by all pods.
	Requested Amounts `json:"requested"`
	Used      Amounts `json:"used"`
	// Pods that are to run, and those that do.
	Pods  int `json:"pods"`
	Ready int `json:"podsReady"`
	// Restarted counts, within the step, container restarts and pods that were moved to another machine, which starts them anew.
	Restarted int `json:"podsRestarted"`
	// Rejected counts, within the step, pods that a kubelet did not admit because two schedulers had filled its node at once. They
	// never ran; others took their place.
	Rejected int `json:"podsRejected"`
	// Violations of disruption budgets within the step.
	Violations []string `json:"pdbViolations"`
	// Misplaced pods are on spot although they must not be.
	Misplaced []string `json:"misplaced"`
	// Instances that the cloud bills, and NodeClaims that stand for them.
	Instances int `json:"instances"`
	Claims    int `json:"claims"`
}

// Amounts of CPU in cores and of memory in GiB.
type Amounts struct {
	Cores     float64 `json:"cores"`
	MemoryGiB float64 `json:"memoryGiB"`
}

func amounts(r cost.Resources) Amounts {
	return Amounts{Cores: float64(r.MilliCPU) / 1000, MemoryGiB: float64(r.MemoryBytes) / (1 << 30)}
}

// Report is the outcome of a demo.
type Report struct {
	Seed int64 `json:"seed"`
	// Usage says where usage came from.
	Usage  string  `json:"usage"`
	Stages []Stage `json:"stages"`
	// SavedPercent is how much less the cluster costs once consolidated than when it was bought.
	SavedPercent float64 `json:"savedPercent"`
	// ScaleDownSeconds is from the end of the last Job to the end of the machines bought for them.
	ScaleDownSeconds float64 `json:"scaleDownSeconds"`
	// BilledUSD is what the cloud billed in all, LedgerUSD what the ledger added up to, ToleranceUSD how far they may be apart.
	BilledUSD    float64 `json:"billedUSD"`
	LedgerUSD    float64 `json:"ledgerUSD"`
	ToleranceUSD float64 `json:"toleranceUSD"`
	// Seconds from the first look at an empty cluster to the end.
	Seconds    float64     `json:"seconds"`
	Invariants []Invariant `json:"invariants"`
	// Failure is why the demo ended early; empty: it did not.
	Failure string `json:"failure,omitempty"`
}

// stage returns a stage by name, nil where it was not reached.
func (r *Report) stage(name string) *Stage {
	for i := range r.Stages {
		if r.Stages[i].Name == name {
			return &r.Stages[i]
		}
	}
	return nil
}

// stageOf is the stage that ends with a snapshot and began with the counts of another.
func stageOf(name string, begin, end observe.Snapshot, bound float64) Stage {
	s := Stage{
		Name: name, Seconds: end.At.Sub(begin.At).Round(100 * time.Millisecond).Seconds(),
		Nodes: len(end.Nodes), Spot: end.Spot(), USDPerHour: end.Bill.PerHour, LedgerUSDPerHour: end.Ledger.PerHour, LowerBound: bound,
		Requested: amounts(end.Requested), Used: amounts(end.Used), Pods: end.Pods.Total, Ready: end.Pods.Ready,
		Restarted:  end.Counts.Restarts - begin.Counts.Restarts + end.Counts.Moved - begin.Counts.Moved,
		Rejected:   end.Counts.Rejected - begin.Counts.Rejected,
		Violations: []string{}, Misplaced: append([]string{}, end.Misplaced...), Instances: end.Instances, Claims: end.Claims,
	}
	for _, v := range end.Violations[len(begin.Violations):] {
		s.Violations = append(s.Violations, v.String())
	}
	return s
}
