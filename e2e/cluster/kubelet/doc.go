// Package kubelet simulates the kubelets of a whole fleet of machines inside one process, close enough to the
// real one that schedulers, autoscalers and resize controllers cannot tell: machines register and heartbeat, admit
// or reject pods, run their containers, resize them in place, kill them out of memory, evict them under memory
// pressure, and serve /metrics/resource and /stats/summary from simulated usage.
//
// The package decides everything a kubelet decides: admission (with the kubelet's own predicate code), allocation of
// in-place resizes (the rules of k8s.io/kubernetes/pkg/kubelet/allocation v1.36.3), actuation, restarts and their
// back-off, eviction order. It leaves to others when a machine appears and disappears (the cloud), and who deletes its
// Node object.
//
// A machine (type machine) holds one simulated kubelet and is pure: pods and a time go in, statuses, events and the
// next time to look come out. The Fleet is the thin part with a client: one watch of bound pods and one of nodes for
// all machines, a fixed set of workers, one delaying queue.
//
// Pods direct the simulation through the annotations listed at AnnotationUsage and below.
package kubelet
