// Package node runs a real Kubernetes node on this machine: containerd, runc and the kubelet of k8s.io/kubernetes as child processes,
// joined to a running control plane, with containers that really burn CPU and memory.
//
// It decides how runtime and kubelet are installed, configured, started and stopped, and that nothing of them is left behind. What
// runs on the node, and what is expected of it, is left to its tests (package scenarios).
//
// Everything that the node makes lies below one directory and one cgroup of its own, but for empty directories of kubelet and CNI
// in /var/lib; no other containerd or network of the machine is touched. Kernel settings that the kubelet changes are put back.
// Containers, and the processes that hold them, outlive a process that is killed; the next Start on the machine finds and ends
// them. A machine runs one such node at a time, and no other kubelet beside it.
//
// It needs Linux and root. Both cgroup versions are supported by the code; version 1 is what it has been run on.
package node
