// Package demand says what a pod needs: now, and once its recommendation is applied.
//
// Two figures are kept apart. Enforced demand is what kubelet, quota and every feasibility check count at this moment.
// Expected demand is what the pod will ask for after the update policy of its workload has done its work; scores,
// consolidation targets and projected savings use it. Whatever cannot be expected with confidence equals what is enforced.
//
// The package computes no recommendation and applies none: it reads WorkloadScalers, and finds the one that governs a pod.
package demand
