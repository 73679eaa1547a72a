// Package recommendation keeps WorkloadScalers: it feeds usage and OOM kills of their pods to recommender/estimate, writes what comes
// of it to their status, and hands pods that have drifted to an applier.
//
// The numbers are recommender/estimate's, the decisions recommender/policy's. Here they are brought together, at an interval and
// whenever something they depend on has changed.
package recommendation
