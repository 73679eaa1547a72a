package cost

import (
	"fmt"
	"math"
	"sort"
	"time"
)

// Reference rates in USD per hour, by which a node's price is divided into cpu and memory: only their proportion matters, the
// node's own price decides the level. They are the least-squares fit of AWS's on-demand prices of the c, m and r families in
// us-east-1 that OpenCost and Kubecost use as their default (0.031611 per vCPU and 0.004237 per GiB).
const (
	ReferenceCPUHour = 0.031611
	ReferenceGiBHour = 0.004237
)

const gib = 1 << 30

// Resources is an amount of cpu and memory.
type Resources struct {
	MilliCPU    int64
	MemoryBytes int64
}

// Max is the larger of each.
func (r Resources) Max(o Resources) Resources {
	return Resources{max(r.MilliCPU, o.MilliCPU), max(r.MemoryBytes, o.MemoryBytes)}
}

func (r Resources) clamp() Resources { return Resources{max(0, r.MilliCPU), max(0, r.MemoryBytes)} }

// Node is a node that is paid for.
type Node struct {
	Name string
	// PricePerHour in USD; NaN when it is not known.
	PricePerHour float64
	// Capacity of the machine: what is paid for, not what is allocatable.
	Capacity Resources
	// Spot is whether it is spot capacity.
	Spot bool
}

// Pod is a pod that runs on a node.
type Pod struct {
	Namespace, Name, Node string
	// Workload is the kind and name of the owner, for example Deployment/web.
	Workload string
	// Request and Usage; the larger of the two, by resource, is charged.
	Request, Usage Resources
}

// Allocation is what a pod costs per hour.
type Allocation struct {
	Pod         *Pod
	CPU, Memory NanoUSD
}

// Total is cpu and memory together.
func (a Allocation) Total() NanoUSD { return a.CPU + a.Memory }

// NodeShare is how the price of a node divides.
type NodeShare struct {
	Node *Node
	// Price per hour; zero where Unknown.
	Price NanoUSD
	// Idle is what no pod is charged for. Idle + the allocations = Price, exactly.
	Idle NanoUSD
	// Unknown is set where the price is not known: the cost of the node's pods is then "at least" what is shown.
	Unknown bool
}

// Statement is the cost of a cluster at one instant, per hour.
type Statement struct {
	Nodes       []NodeShare
	Allocations []Allocation
	// Price, Allocated and Idle per hour; Price = Allocated + Idle.
	Price, Allocated, Idle NanoUSD
	// UnknownPrices counts nodes whose price is not known; totals are "at least" when it is not zero.
	UnknownPrices int
}

// State divides the price of each node over its pods. Pods on nodes that are not named are an error: they would cost nothing.
func State(nodes []Node, pods []Pod) (Statement, error) {
	byNode := make(map[string][]int, len(nodes))
	for i := range nodes {
		if _, twice := byNode[nodes[i].Name]; twice {
			return Statement{}, fmt.Errorf("node %q is given twice", nodes[i].Name)
		}
		byNode[nodes[i].Name] = nil
	}
	for i := range pods {
		if _, ok := byNode[pods[i].Node]; !ok {
			return Statement{}, fmt.Errorf("pod %s/%s runs on node %q, which is not among the nodes", pods[i].Namespace, pods[i].Name, pods[i].Node)
		}
		byNode[pods[i].Node] = append(byNode[pods[i].Node], i)
	}
	s := Statement{Nodes: make([]NodeShare, 0, len(nodes)), Allocations: make([]Allocation, 0, len(pods))}
	for i := range nodes {
		share, allocations := divide(&nodes[i], pods, byNode[nodes[i].Name])
		s.Nodes = append(s.Nodes, share)
		s.Allocations = append(s.Allocations, allocations...)
		s.Price += share.Price
		s.Idle += share.Idle
		if share.Unknown {
			s.UnknownPrices++
		}
	}
	s.Allocated = s.Price - s.Idle
	return s, nil
}

// divide splits the price of one node first into cpu and memory, by the reference rates over the node's own capacity, and
// then each of the two over the pods and idle.
func divide(node *Node, pods []Pod, on []int) (NodeShare, []Allocation) {
	price, known := USD(node.PricePerHour)
	share := NodeShare{Node: node, Price: price, Unknown: !known}
	capacity := node.Capacity.clamp()
	halves, rest := split(price, []float64{
		float64(capacity.MilliCPU) / 1000 * ReferenceCPUHour,
		float64(capacity.MemoryBytes) / gib * ReferenceGiBHour,
	})
	share.Idle = rest
	charged := make([]Resources, len(on))
	for i, p := range on {
		charged[i] = pods[p].Request.clamp().Max(pods[p].Usage.clamp())
	}
	cpu, idleCPU := shareOut(halves[0], capacity.MilliCPU, charged, func(r Resources) int64 { return r.MilliCPU })
	memory, idleMemory := shareOut(halves[1], capacity.MemoryBytes, charged, func(r Resources) int64 { return r.MemoryBytes })
	share.Idle += idleCPU + idleMemory
	allocations := make([]Allocation, len(on))
	for i, p := range on {
		allocations[i] = Allocation{Pod: &pods[p], CPU: cpu[i], Memory: memory[i]}
	}
	return share, allocations
}

// shareOut splits an amount over pods in proportion to what each is charged for of the capacity. The last weight is what is
// left of the capacity; pods that together burst above it share the whole amount, so that idle is never negative.
func shareOut(amount NanoUSD, capacity int64, charged []Resources, of func(Resources) int64) (parts []NanoUSD, idle NanoUSD) {
	weights := make([]float64, len(charged)+1)
	left := float64(capacity)
	for i, r := range charged {
		weights[i] = float64(of(r))
		left -= weights[i]
	}
	weights[len(charged)] = math.Max(0, left)
	parts, rest := split(amount, weights)
	return parts[:len(charged)], parts[len(charged)] + rest
}

// Ledger adds statements up over time.
type Ledger struct {
	last       time.Time
	rate       Statement
	spent      NanoUSD
	idle       NanoUSD
	unknown    time.Duration
	byWorkload map[string]NanoUSD
	carry      map[string]float64
}

// NewLedger returns a ledger that begins at the first statement it is given.
func NewLedger() *Ledger {
	return &Ledger{byWorkload: map[string]NanoUSD{}, carry: map[string]float64{}}
}

// Record closes the time since the last statement at its rates, and goes on with this one. A statement that is older than the
// last is an error and changes nothing.
func (l *Ledger) Record(at time.Time, s Statement) error {
	if at.Before(l.last) {
		return fmt.Errorf("statement of %s is older than the last of %s", at.Format(time.RFC3339Nano), l.last.Format(time.RFC3339Nano))
	}
	if !l.last.IsZero() {
		hours := at.Sub(l.last).Hours()
		l.unknown += at.Sub(l.last) * time.Duration(l.rate.UnknownPrices)
		l.spent += l.accrue("", l.rate.Price, hours)
		l.idle += l.accrue("\x00idle", l.rate.Idle, hours)
		byWorkload := map[string]NanoUSD{}
		for _, a := range l.rate.Allocations {
			byWorkload[a.Pod.Namespace+"/"+a.Pod.Workload] += a.Total()
		}
		for w, rate := range byWorkload {
			l.byWorkload[w] += l.accrue(w, rate, hours)
		}
	}
	l.last, l.rate = at, s
	return nil
}

// accrue is rate × hours in whole NanoUSD; the fraction is carried to the next time.
func (l *Ledger) accrue(key string, rate NanoUSD, hours float64) NanoUSD {
	exact := float64(rate)*hours + l.carry[key]
	whole := math.Floor(exact)
	l.carry[key] = exact - whole
	return NanoUSD(whole)
}

// Unknown is for how long nodes ran whose price was not known, added up over the nodes. Where it is not zero, Spent and what
// workloads have cost are "at least".
func (l *Ledger) Unknown() time.Duration { return l.unknown }

// Spent since the first statement.
func (l *Ledger) Spent() NanoUSD { return l.spent }

// Idle is the part of Spent that no pod was charged for.
func (l *Ledger) Idle() NanoUSD { return l.idle }

// WorkloadCost is what a workload has cost.
type WorkloadCost struct {
	// Workload as namespace/kind/name.
	Workload string
	Spent    NanoUSD
}

// Workloads since the first statement, the dearest first.
func (l *Ledger) Workloads() []WorkloadCost {
	out := make([]WorkloadCost, 0, len(l.byWorkload))
	for w, spent := range l.byWorkload {
		out = append(out, WorkloadCost{w, spent})
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Spent != out[j].Spent {
			return out[i].Spent > out[j].Spent
		}
		return out[i].Workload < out[j].Workload
	})
	return out
}
