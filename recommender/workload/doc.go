// Package workload finds what a WorkloadScaler's targetRef names: the workload, its pod template, its pods, and whether it is
// settled enough to be changed.
//
// It reads through a client and decides nothing about resources; that is left to recommender/policy and recommender/estimate.
package workload
