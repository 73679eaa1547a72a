// Package peer runs Karpenter's own consolidation, its emptiness, multi-node and single-node methods, on a cluster of package
// model. What it assembles is what Karpenter's operator assembles: its cluster state, its provisioner object, its queue, and a
// client that reads from controller-runtime's informer cache, with its indexes and its copies. Only the API server behind the
// cache is missing; the cache is written directly.
//
// What is left out makes Karpenter quicker than it is in production: no events, no logs, no controllers beside it, and
// neither the validation delay (15 s for each command) nor the simulation that follows it, which would find the same state.
package peer
