// Package consolidation decides which nodes of a running cluster to give up,
// and what to launch in their place, so that the cluster costs less by more
// than the disruption is worth.
//
// It is pure: a [State] goes in and a [Plan] comes out. Disruption budgets,
// validation and termination are carried out by its callers.
package consolidation

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// State is all that Search looks at. It is not written to.
type State struct {
	// Candidates are nodes that may be given up; those with Blocked set stay.
	Candidates []Candidate
	// Fixed are nodes that stay: unmanaged ones, and claims in flight. Their
	// free capacity may be used.
	Fixed []packing.Node
	// Pools, DaemonSets and Namespaces are as in packing.Problem.
	Pools      []packing.Pool
	DaemonSets []*corev1.Pod
	Namespaces map[string]map[string]string
	// Pending pods have no node yet. Space is kept for them: a move may not
	// take the last place of one.
	Pending []packing.Pod
	// Budgets is the number of nodes of each pool that may be disrupted now. A
	// pool that is absent is not limited.
	Budgets map[string]int
	// Returning counts the offerings that were left out of Pools because they had
	// no capacity a short while ago; see [Comebacks]. It is said of nodes that
	// stay for want of something cheaper.
	Returning int
	Options   Options
}

// Options tunes Search. In each field zero means the stated default.
type Options struct {
	Seed uint64
	// Now is the time at which break-even is judged; zero means LaunchedAt is
	// ignored.
	Now time.Time
	// TimeBudget bounds the search; the moves found so far are returned when it
	// ends. Default 2 s.
	TimeBudget time.Duration
	// MinSavingFraction and MinSavingPerHour: a move that launches nodes must
	// save at least this share of the price of what it removes, and at least
	// this many USD per hour. Default 3% and $0.01; negative means none. A move
	// that only removes nodes need but be worth its disruption.
	MinSavingFraction, MinSavingPerHour float64
	// Horizon is how long a saving is expected to last; the disruption is
	// written off over it. Default 1 h.
	Horizon time.Duration
	// LaunchOverlap is how long a replacement and what it replaces are both
	// paid. Default 3 min.
	LaunchOverlap time.Duration
	// BreakEven is the least age at which a node may be given up, whatever that
	// saves: default 15 min; negative means none. See [BreakEvenAge] for when a
	// node must be older.
	BreakEven time.Duration
	// DefaultPodCost in USD is what moving a pod costs where PodCost does not
	// say. Default $0.0005; negative means none.
	DefaultPodCost float64
	// MaxMoves bounds the number of moves of a plan. Default: no limit.
	MaxMoves int
	// MaxRemove bounds the nodes that one move removes. Default 30.
	MaxRemove int
	// InterruptionCost is as in packing.Options. Further interruptions taken on
	// count against the saving of a move; fewer do not count for it, because they
	// are no money that is saved for certain.
	InterruptionCost float64
	// Packing options for the packer underneath; Seed and TimeBudget are set by
	// the search.
	Packing packing.Options
}

// Candidate is a node that may be given up.
type Candidate struct {
	packing.Node
	Pool, CapacityType, InstanceType, Zone string
	// LaunchedAt is when the node was bought; zero when unknown.
	LaunchedAt time.Time
	// PodCost is the cost of moving each pod in USD, in the order of Node.Pods.
	// Entries of daemonset pods are ignored. Nil means Options.DefaultPodCost.
	PodCost []float64
	// Anew is what each pod's successor on another node will ask for, in the order
	// of Node.Pods, where that is not Requests: a pod that was resized in place
	// may start again with more. Nil, and nil entries, mean the same.
	Anew []corev1.ResourceList
	// Blocked says why the node may not be disrupted; empty means it may.
	Blocked string
}

// Plan is a list of moves that may be carried out one after another.
type Plan struct {
	// Moves, best saving per disruption first as far as rules between pods allow.
	// Each holds given that those before it were carried out.
	Moves []Move
	// Kept says why each node that stays does so, in the order of Candidates.
	Kept []Kept
	// Cost of all candidates now, After all moves, and LowerBound of any packing
	// of their pods on what the pools sell and on Fixed; in USD per hour.
	// Nodes of unknown price are left out of all three.
	Cost, After, LowerBound float64
	Stats                   Stats
}

// Move is one disruption command: remove nodes, launch others.
type Move struct {
	// Remove names the candidates to give up.
	Remove []string
	// Launch are the replacements; their Pods index Move.Pods.
	Launch []packing.PlannedNode
	// Pods are the pods displaced, without daemonset pods.
	Pods []packing.Pod
	// Bindings put displaced pods on nodes that stay; they index Move.Pods.
	Bindings []packing.Binding
	// Order lists Pods so that kube-scheduler accepts each in its place after those before it. It is nil where no rule looks
	// beyond the node, so that any order will do.
	Order []int
	// SavedPerHour is the price of Remove less that of Launch, in USD per hour.
	SavedPerHour float64
	// RiskPerHour is what further interruptions of the replacements are expected
	// to cost, in USD per hour: negative when what is given up is interrupted more
	// often.
	RiskPerHour float64
	// DisruptionCost in USD: pods moved, and the time for which both the
	// replacements and what they replace are paid.
	DisruptionCost float64
	// Why in a sentence.
	Why string
}

// Kept is a candidate that stays.
type Kept struct{ Node, Why string }

// Stats says how the plan came about.
type Stats struct {
	// Tried and Found count the removal sets that were tried, and that paid.
	Tried, Found int
	// Truncated is set when time ran out or the context ended.
	Truncated bool
	Elapsed   time.Duration
}
