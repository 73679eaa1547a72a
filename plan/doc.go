// Package plan says what a cluster costs, what it would cost packed anew on the machines of a cloud's price list, on which
// nodes, and how near that is to the least that any packing could cost.
//
// It is pure: objects that were read of a cluster go in, a [Report] comes out. It changes nothing, and what it cannot know it
// says: a node without a price has an unknown price and never none, and the totals are then "at least".
//
// # What is planned
//
// Every pod that runs or waits, and that its node does not own, is packed from zero with provisioner/packing onto nodes of the
// catalog. Nodes that a plan has no business replacing stay as they are, with what runs on them: control planes, machines
// with accelerators, serverless nodes, other systems than Linux, nodes that hold local volumes or pods nailed to them, and
// those that the caller names. Daemonsets, and static pods that run on most nodes, are overhead of every new node.
//
// New nodes get the labels and taints of the groups of nodes that there are now, as far as pods ask for them.
// A pod stays on the architecture that it runs on, since its image may have no other.
package plan
