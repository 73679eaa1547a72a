// Package packing decides which nodes to buy, and which pod goes where, so that
// every hard rule of the scheduler holds and the cost per hour is least.
//
// It is pure: a [Problem] goes in and a [Plan] comes out. Launching, watching
// and prices belong to its callers.
//
// # Method
//
//  1. Compile. Equal pods become classes with counts. Label rules of class ×
//     slot (an offering of a pool, or an existing node) become bitsets, computed
//     once through an index from label to slots.
//  2. Assign domains. Spread, affinity and anti-affinity over a key other than
//     the host name become a choice of cell (one value of each key) per pod,
//     made one pod at a time in an order kube-scheduler could take. What follows
//     treats the cell as part of the pod's feasibility.
//  3. Price. A small linear program covers what all pods ask for in total, and the
//     number of nodes that pods which must be apart need, by nodes bought in
//     fractions. Its duals price each kind of pod; kinds that only dearer offerings
//     hold are raised until those are worth their cost; where that does badly, column
//     generation refines them. The same numbers give a lower
//     bound on the cost of any plan, and Farley's (1990) another. Once there is a plan, a
//     larger program over which pods fit on a node together gives a better one; see [Bound].
//  4. Construct. Existing nodes are filled with what is dearest to buy for. Then
//     nodes are bought one pattern after another: the bounded knapsack that the prices
//     pay for best (Gilmore and Gomory 1961), taking little more than a node's share of
//     each kind, so that what is left still fills nodes well. No style of choosing
//     sizes is best for all, so it is done over and over in different styles, each time with the prices
//     of the kinds moved towards what their nodes cost the last time. A problem small enough is solved
//     exactly by dynamic programming instead.
//  5. Improve. Nodes are downsized, emptied into one another's slack, and small
//     groups of the worst are taken apart and packed anew, until the cost is close to
//     the bound or a measured amount of work is spent.
//  6. Try again, where that may help: with spread domains read more widely; in tiers of
//     priority, where capacity is short and the wrong pods have it; with preferences about
//     sharing nodes kept as if they were rules; and small problems with other domains.
//  7. Check. Every placement is replayed against the rules by code that shares
//     nothing with the construction; a pod that fails is taken out and reported.
//
// # What the plan promises
//
// Pools of higher weight are strictly preferred, as Karpenter does: a pod is
// offered to a pool of lower weight only when no pool of higher weight can hold
// it, by its rules or by its limits. Existing capacity costs nothing and is
// used first, and counts for pods of higher priority first, as do the pools' limits.
// Preferred rules carry a small price ([Options.PreferencePrice]) and
// are dropped when that is cheaper than to honour them.
package packing
