// Package estimate turns usage samples into what each container of a workload needs.
//
// It decides numbers and says how it came to them; when and how they are applied is decided by recommender/policy
// and done by the controllers. It knows no Kubernetes client and no clock: samples come with their time, and now is
// an argument.
//
// Usage is kept per workload, container and seat. A seat is the series of one replica: when a pod goes, the pod that
// follows it takes over its seat, so that a workload needs as much memory as it has replicas, however often it is
// rolled out. A seat holds mergeable log-bucketed sketches (DDSketch, Masson et al., VLDB 2019) per slice of time.
package estimate
