// Package policy decides which AutoscalingPolicy governs a workload, what mode it is in at an instant, what resources
// its containers are to have, whether a pod is off far enough to be changed, and how: in place, by a new pod, or not.
//
// Everything here is values in, values out. Reading the cluster and changing it is left to the controllers.
package policy
