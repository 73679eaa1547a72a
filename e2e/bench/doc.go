// Package bench and the packages below measure Supercargo beside its peers in one process: Karpenter's scheduler and
// consolidation, and the Vertical Pod Autoscaler's recommender. It is a module of its own, so that nobody who uses
// Supercargo downloads the peers.
package bench
