// Package cluster runs a real Kubernetes control plane inside the calling process: etcd, kube-apiserver with custom
// resources and the aggregation layer, kube-controller-manager and the default kube-scheduler, all on loopback.
//
// It decides how those components are configured and in which order they start and stop. What joins the cluster
// (nodes, a cloud, our own components) is left to others: see packages kubelet and sandbox.
//
// What differs from a cluster on machines, because there is no pod network here:
//
//   - The API server reaches every kubelet at 127.0.0.1, on the port that the node's status.daemonEndpoints gives, whatever
//     address the node reports. Nodes must report an address that the API server accepts to proxy to (a global unicast
//     one, such as 10.0.0.7; it refuses 127.0.0.1).
//   - Webhooks and aggregated APIs are reached by URL on 127.0.0.1, or through a Service of type ExternalName for "localhost".
//   - The Service "kubernetes" has no endpoints.
//
// Feature gates, metric registries and logging belong to the process in Kubernetes' code, so that one process runs one control
// plane at a time. Several processes may run one each.
package cluster
