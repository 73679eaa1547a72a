package packing

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Capacity types of an offering, as karpenter.sh/capacity-type spells them.
const (
	CapacitySpot     = "spot"
	CapacityOnDemand = "on-demand"
	CapacityReserved = "reserved"
)

// LabelCapacityType is the node label that carries an offering's capacity type.
const LabelCapacityType = "karpenter.sh/capacity-type"

// LabelNodePool is the node label that carries the name of a node's pool.
const LabelNodePool = "karpenter.sh/nodepool"

// ResourceNodes is the key of Pool.Limits that limits the number of nodes.
const ResourceNodes corev1.ResourceName = "nodes"

// Problem is all that Solve looks at. It is not written to.
type Problem struct {
	// Pods are to be placed. Their order does not matter to the cost; equal
	// pods are interchangeable.
	Pods []Pod
	// Nodes are existing nodes and claims in flight, with what already runs, or
	// is planned, on them.
	Nodes []Node
	// Pools are the NodePools that nodes may be bought from.
	Pools []Pool
	// DaemonSets holds one template pod per DaemonSet. Each new node that
	// matches one pays its requests.
	DaemonSets []*corev1.Pod
	// Namespaces maps the name of a namespace to its labels, for the
	// namespaceSelector of pod affinity.
	Namespaces map[string]map[string]string
	// Memo, when given, is shared with other problems about the same nodes.
	Memo *Memo
	// Options tunes the search; its zero value is sensible.
	Options Options

	// yielding pods, by index, leave their exclusive volumes to others: they were
	// found to have no place.
	yielding map[int]bool
}

// Options tunes Solve. In each field zero means the stated default.
type Options struct {
	// Seed decides between plans of equal worth. The same problem and seed give
	// the same plan, unless time runs out.
	Seed uint64
	// TimeBudget bounds the search; the best plan so far is returned when it
	// ends. Default 5 s. A plan is usually complete long before.
	TimeBudget time.Duration
	// NodeFee is what each further node is thought to cost beyond its price, in
	// USD per hour: it settles ties towards fewer nodes. Default 0.0002; a
	// negative value means none. It is not part of Plan.Cost.
	NodeFee float64
	// InterruptionCost is what one interruption is thought to cost, in USD; an
	// offering is charged Risk × InterruptionCost per hour on top of its price
	// when offerings are compared. Default 0. It is not part of Plan.Cost.
	InterruptionCost float64
	// PreferencePrice is what it may cost to honour one preferred rule of weight
	// 100 of one pod, in USD per hour; lesser weights count proportionally, and
	// one pod of skew over a ScheduleAnyway constraint counts as weight 100.
	// Default 0.0005; a negative value means preferences are ignored.
	PreferencePrice float64
	// MaxAlternatives caps PlannedNode.Alternatives. Default 60, the most
	// instance types that Karpenter sends with one launch.
	MaxAlternatives int
	// AlternativePriceCap is the highest price of an alternative, as a multiple
	// of the chosen offering's. Default 2. More is allowed where a pool's
	// minValues demand it.
	AlternativePriceCap float64
	// Effort scales the number of improvement rounds: 1 is the default, negative
	// means none. Consolidation uses little of it, an offline plan more.
	Effort float64
	// MaxNode leaves out instance types that have more capacity than this of some
	// resource, so that no one node holds too much. Nil means any size.
	MaxNode corev1.ResourceList
	// MaxNodeShare is the largest share of the pods of one workload, 0 to 1, that one
	// node may hold, though always one pod; see Pod.Workload. Pods that must share a
	// node by required affinity are exempt. Default 1.
	MaxNodeShare float64
	// MaxSpotPoolShare is the same of the nodes bought of one spot pool: one instance
	// type in one zone, which the cloud takes back together. No node holds more of a
	// workload than a spot pool may. Default 1.
	MaxSpotPoolShare float64
	// MaxCost, when above 0, lets the search give up as soon as it sees that the nodes to
	// buy would cost more than this in USD per hour, or that there are none to buy
	// and room is short; Stats.TooDear is then set, and pods are left unplaced
	// without a reason.
	MaxCost float64
}

// Pod is a pod to place, or one that is on a node already.
type Pod struct {
	// Pod is only read.
	*corev1.Pod
	// Requests is what to pack with, without the "pods" resource. Nil means
	// what the scheduler counts for the spec (component-helpers PodRequests).
	Requests corev1.ResourceList
	// NodeTerms are further requirements on the node, ORed, such as the zones of
	// the pod's volumes. Nil means none; an empty list matches no node.
	NodeTerms []corev1.NodeSelectorTerm
	// Workload names what the pod is a replica of, for Options.MaxNodeShare and
	// MaxSpotPoolShare; empty means neither counts for it.
	Workload string
	// Volumes are those that have to be attached where the pod runs.
	Volumes []Volume
	// Expected is what the pod is thought to request soon, for scoring only;
	// feasibility never uses it. Nil means the same as Requests.
	Expected corev1.ResourceList
	// Daemon marks a pod that belongs to its node and goes with it.
	Daemon bool
}

// Node is an existing node or a claim in flight.
type Node struct {
	// Name is the node's name, or the claim's while it is in flight. Names are
	// unique within a Problem.
	Name        string
	Labels      map[string]string
	Taints      []corev1.Taint
	Allocatable corev1.ResourceList
	// Pods run here or are planned here, daemonset pods included.
	Pods []Pod
	// Daemons is what daemonsets will still request here.
	Daemons corev1.ResourceList
	// Attached are volumes on the node besides those of Pods, such as those that
	// are still to be detached.
	Attached []Volume
	// Price in USD per hour, NaN when unknown. Solve does not need it.
	Price float64
}

// Pool is a NodePool: a template of nodes, and the types it may use.
type Pool struct {
	Name string
	// Weight orders pools strictly: higher first.
	Weight int32
	// Labels that every node of the pool gets.
	Labels map[string]string
	// Taints that every node of the pool keeps.
	Taints []corev1.Taint
	// StartupTaints go away before pods arrive; they never decide feasibility.
	StartupTaints []corev1.Taint
	// Requirements narrow the offerings, and give nodes labels.
	Requirements []Requirement
	// Limits is what may still be bought, compared with the types' Capacity
	// (and, under "nodes", with the number of nodes). Nil means no limit.
	Limits corev1.ResourceList
	Types  []InstanceType
}

// Requirement narrows the offerings of a pool by a label.
type Requirement struct {
	Key      string
	Operator corev1.NodeSelectorOperator
	Values   []string
	// MinValues is the least number of different values of Key that the
	// alternatives of every planned node must offer. Nil means none.
	MinValues *int
}

// InstanceType is a kind of machine.
type InstanceType struct {
	Name string
	// Labels with one value each: instance type, arch, os, family and so on.
	Labels map[string]string
	// Allocatable is what pods may use; Capacity is what limits count.
	Allocatable, Capacity corev1.ResourceList
	Offerings             []Offering
}

// Offering is one way to buy an instance type.
type Offering struct {
	Zone string
	// CapacityType is spot, on-demand or reserved.
	CapacityType string
	// Labels holds further labels, such as a reservation's id.
	Labels map[string]string
	// Price in USD per hour; NaN when unknown. An unknown price is never
	// treated as zero: such an offering is used only where no priced one fits.
	Price float64
	// Risk is interruptions per hour, 0 when unknown.
	Risk      float64
	Available bool
}

// Plan says what to buy and what goes where.
type Plan struct {
	// Nodes to buy.
	Nodes []PlannedNode
	// Bindings put pods on existing nodes.
	Bindings []Binding
	// Unplaced pods, each with the rules that removed its last options.
	Unplaced []Unplaced
	// Order lists the placed pods so that kube-scheduler accepts each of them on its node after those before it.
	// Spread and affinity constraints bind when a pod is scheduled; in another order some pods might be refused.
	Order []int
	// Classes holds a number for each pod of the problem. Pods of one number may change places.
	Classes []int
	// Cost of Nodes in USD per hour. A node of unknown price counts as zero
	// here, and Stats.UnknownPrices counts such nodes.
	Cost float64
	// LowerBound in USD per hour: no plan that places the same pods costs less. Bound has a
	// better one for plans of many pods.
	LowerBound float64
	// Gap is Cost/LowerBound − 1; 0 when nothing is bought, +Inf when the bound
	// is 0 and something is.
	Gap   float64
	Stats Stats
}

// PlannedNode is a node to buy.
type PlannedNode struct {
	Pool, InstanceType, Zone, CapacityType string
	// Price in USD per hour, NaN when unknown.
	Price float64
	// Labels that the node must carry for the plan to hold: those of the
	// offering, its type and pool, and the value chosen for each label that
	// the pool leaves open.
	Labels map[string]string
	// Alternatives hold the same pods under the same rules, cheapest first; the
	// chosen offering comes first.
	Alternatives []Alternative
	// Pods indexes Problem.Pods.
	Pods []int
	// Requests sums pods and daemons.
	Requests corev1.ResourceList
}

// Alternative is an offering that holds the same pods as a planned node's.
type Alternative struct {
	InstanceType, Zone, CapacityType string
	// Price in USD per hour, NaN when unknown.
	Price float64
}

// Binding puts a pod on an existing node.
type Binding struct {
	// Pod indexes Problem.Pods.
	Pod int
	// Node is the Name of a node of the problem.
	Node string
}

// Unplaced is a pod that has no place.
type Unplaced struct {
	// Pod indexes Problem.Pods.
	Pod int
	// Reasons say which rules removed how many options, most first. Options are
	// the offerings of all pools and the existing nodes.
	Reasons []Reason
	// Message says it in a sentence; Remedy names the field to change.
	Message, Remedy string
}

// Reason is one rule and the options it removed.
type Reason struct {
	// Rule is the Rule… constant, followed by what it is about in parentheses,
	// e.g. "resources(nvidia.com/gpu)".
	Rule string
	// Options it was the first to remove.
	Options int
}

// Rules that remove options, in the order in which they are tried.
const (
	RuleUnavailable   = "offering unavailable"
	RuleClaims        = "dynamic resource allocation"
	RuleNodeAffinity  = "node affinity"
	RuleVolumeZone    = "volume node affinity"
	RuleVolumeInUse   = "volume in use by another pod"
	RuleTaint         = "taint"
	RuleResources     = "resources"
	RuleVolumeLimit   = "volume limit"
	RuleHostPort      = "host port"
	RuleSpread        = "topology spread"
	RulePodAffinity   = "pod affinity"
	RuleAntiAffinity  = "pod anti-affinity"
	RulePoolLimit     = "pool limit"
	RuleMinValues     = "minValues"
	RuleNodeSize      = "cap on node size"
	RuleTimeBudget    = "time budget"
	RuleExistingTaken = "capacity taken by other pods"
)

// Stats says how the plan came about.
type Stats struct {
	Classes, Options, Columns, Rounds int
	// ResourceBound is the resource-only part of LowerBound, in USD per hour.
	ResourceBound float64
	// UnknownPrices counts planned nodes whose price is not known.
	UnknownPrices int
	// PreferencesDropped counts preferred rules that the plan does not honour,
	// and PreferencePrice what honouring them was thought to be worth at most,
	// in USD per hour.
	PreferencesDropped int
	PreferencePrice    float64
	// Exact is set when dynamic programming proved the packing of the classes
	// optimal for the domains chosen.
	Exact bool
	// Truncated is set when time ran out or the context ended.
	Truncated bool
	// TooDear is set when the search gave up for Options.MaxCost.
	TooDear bool
	// Evicted counts placements that the final check took out: always 0 unless
	// rules interact in a way that the construction does not foresee.
	Evicted int
	// Compile, Price, Construct and Improve say where the time went.
	Compile, Price, Construct, Improve time.Duration
}
