package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/cloudprovider"
	"supercargo.dev/cloudprovider/catalog"
)

// FaultKind says what goes wrong.
type FaultKind string

const (
	// FaultInsufficientCapacity refuses matching alternatives.
	FaultInsufficientCapacity FaultKind = "InsufficientCapacity"
	// FaultLatency holds matching operations for Delay.
	FaultLatency FaultKind = "Latency"
	// FaultThrottle answers 429, with Delay (default 1 s) as Retry-After.
	FaultThrottle FaultKind = "Throttle"
	// FaultError answers 500 before doing anything.
	FaultError FaultKind = "Error"
	// FaultTimeout does nothing and answers nothing until the client gives up, at most for Delay (default 1 min).
	FaultTimeout FaultKind = "Timeout"
	// FaultLostResponse does what was asked and then breaks the connection: a create leaks its instance.
	FaultLostResponse FaultKind = "LostResponse"
	// FaultRegistrationDelay makes nodes of matching instances register Delay after the launch.
	FaultRegistrationDelay FaultKind = "RegistrationDelay"
	// FaultNeverRegister never boots matching instances. They are billed.
	FaultNeverRegister FaultKind = "NeverRegister"
	// FaultListDelay hides instances younger than Delay from list and get: eventual consistency.
	FaultListDelay FaultKind = "ListDelay"
	// FaultPriceUnknown leaves prices of matching offerings out of the answer. They are billed.
	FaultPriceUnknown FaultKind = "PriceUnknown"
	// FaultPreempt gives notice to a share (Rate) of the matching instances, now, and takes them back after Warning.
	// Without instance ids and capacity types it matches spot instances.
	FaultPreempt FaultKind = "Preempt"
)

// Fault makes something go wrong from now on.
type Fault struct {
	// ID is given by the cloud.
	ID   string    `json:"id,omitempty"`
	Kind FaultKind `json:"kind"`
	// Match limits the offerings or instances. Empty matches all.
	Match Match `json:"match,omitzero"`
	// Operations limits faults of the API to some Operations. Empty matches all.
	Operations []Operation `json:"operations,omitempty"`
	// Rate is the share of matching events it happens to, 0 to 1; 0 is 1.
	Rate float64 `json:"rate,omitempty"`
	// Delay is explained at each kind.
	Delay metav1.Duration `json:"delay,omitzero"`
	// For is how long the fault lasts; 0 is until it is deleted.
	For metav1.Duration `json:"for,omitzero"`
	// Count is how often it happens; 0 is without limit.
	Count int `json:"count,omitempty"`
	// Warning is the time between notice and termination of FaultPreempt; absent is the cloud's default, 0 is
	// termination without a warning.
	Warning *metav1.Duration `json:"warning,omitempty"`
	// Notice is the kind of notice of FaultPreempt; empty is SpotInterruption. Rebalance terminates nothing.
	Notice cloudprovider.NoticeKind `json:"notice,omitempty"`

	until time.Time
	used  int
}

// FaultResult is the answer to POST /v1/faults.
type FaultResult struct {
	// ID deletes the fault; empty when it was an event of the moment.
	ID string `json:"id,omitempty"`
	// Affected are the ids of the instances that were given notice.
	Affected []string `json:"affected,omitempty"`
}

// Operation names a call of the API.
type Operation string

// The operations that faults can be limited to.
const (
	OpDescribeTypes     Operation = "DescribeTypes"
	OpDescribePrices    Operation = "DescribePrices"
	OpCreateInstance    Operation = "CreateInstance"
	OpDescribeInstances Operation = "DescribeInstances"
	OpDescribeInstance  Operation = "DescribeInstance"
	OpTerminateInstance Operation = "TerminateInstance"
	OpWatchNotices      Operation = "WatchNotices"
)

// Match selects offerings, or instances by what they are. Every field that is not empty must match.
type Match struct {
	InstanceIDs   []string `json:"instanceIDs,omitempty"`
	InstanceTypes []string `json:"instanceTypes,omitempty"`
	Families      []string `json:"families,omitempty"`
	Zones         []string `json:"zones,omitempty"`
	CapacityTypes []string `json:"capacityTypes,omitempty"`
}

func (m Match) offering(t *catalog.Type, zone, capacityType string) bool {
	return matches(m.InstanceTypes, t.Name) && matches(m.Families, t.Family) &&
		matches(m.Zones, zone) && matches(m.CapacityTypes, capacityType)
}

func matches(allowed []string, value string) bool {
	return len(allowed) == 0 || slices.Contains(allowed, value)
}

// faults are the faults in force.
type faults struct {
	all  []*Fault
	seq  int
	rand *rand.Rand
}

func (f *Fault) validate() error {
	switch f.Kind {
	case FaultInsufficientCapacity, FaultThrottle, FaultError, FaultTimeout, FaultLostResponse, FaultNeverRegister, FaultPriceUnknown, FaultPreempt:
	case FaultLatency, FaultRegistrationDelay, FaultListDelay:
		if f.Delay.Duration <= 0 {
			return fmt.Errorf("fault %s needs a delay", f.Kind)
		}
	default:
		return fmt.Errorf("unknown kind of fault %q", f.Kind)
	}
	if f.Rate < 0 || f.Rate > 1 || f.Delay.Duration < 0 || f.For.Duration < 0 || f.Count < 0 {
		return fmt.Errorf("fault %s: rate must be 0 to 1, delay, for and count not negative", f.Kind)
	}
	return nil
}

// add puts a fault in force and names it.
func (fs *faults) add(f Fault, now time.Time) string {
	fs.seq++
	f.ID = fmt.Sprintf("fault-%d", fs.seq)
	if f.Rate == 0 {
		f.Rate = 1
	}
	if f.For.Duration > 0 {
		f.until = now.Add(f.For.Duration)
	}
	fs.all = append(fs.all, &f)
	return f.ID
}

// remove ends a fault, or all when id is empty, and says whether there was one.
func (fs *faults) remove(id string) bool {
	n := len(fs.all)
	fs.all = slices.DeleteFunc(fs.all, func(f *Fault) bool { return id == "" || f.ID == id })
	return len(fs.all) < n
}

// expire forgets the faults whose time or count is over.
func (fs *faults) expire(now time.Time) {
	fs.all = slices.DeleteFunc(fs.all, func(f *Fault) bool {
		return (!f.until.IsZero() && !now.Before(f.until)) || (f.Count > 0 && f.used >= f.Count)
	})
}

// strike returns the first fault of a kind that happens to something matching, and counts it.
func (fs *faults) strike(kind FaultKind, now time.Time, match func(*Fault) bool) *Fault {
	for _, f := range fs.all {
		switch {
		case f.Kind != kind || !match(f):
		case !f.until.IsZero() && !now.Before(f.until):
		case f.Count > 0 && f.used >= f.Count:
		case f.Rate < 1 && fs.rand.Float64() >= f.Rate:
		default:
			f.used++
			return f
		}
	}
	return nil
}

// call returns the fault of a kind that happens to an operation.
func (fs *faults) call(kind FaultKind, op Operation, now time.Time) *Fault {
	return fs.strike(kind, now, func(f *Fault) bool {
		return len(f.Operations) == 0 || slices.Contains(f.Operations, op)
	})
}

// offering returns the fault of a kind that happens to an offering.
func (fs *faults) offering(kind FaultKind, t *catalog.Type, zone, capacityType string, now time.Time) *Fault {
	return fs.strike(kind, now, func(f *Fault) bool { return f.Match.offering(t, zone, capacityType) })
}

// inForce returns a fault of a kind that concerns an offering, without chance and without counting it: for faults that
// are a state rather than an event.
func (fs *faults) inForce(kind FaultKind, t *catalog.Type, zone, capacityType string, now time.Time) *Fault {
	for _, f := range fs.all {
		if f.Kind == kind && (f.until.IsZero() || now.Before(f.until)) && f.Match.offering(t, zone, capacityType) {
			return f
		}
	}
	return nil
}
