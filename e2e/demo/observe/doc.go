// Package observe watches a cluster from outside, as an auditor would: what its machines cost, how full they are, which pods run,
// which were restarted or moved, whether a disruption budget was ever violated, and what the same pods would cost at least.
//
// It changes nothing. What it is told comes from the API server, the kubelets and the cloud's bill; nothing comes from Supercargo's
// own components but the status that they publish.
package observe
