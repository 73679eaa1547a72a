// Package karpenter is the one place that touches Karpenter's controllers.
//
// Karpenter is used as a library: its NodePool and NodeClaim APIs and its node lifecycle (launch, registration,
// initialization, drain and termination, garbage collection, expiration, drift, repair, disruption budgets) run as upstream
// wrote them. Its brain is replaced: provisioning decides through provisioner/packing and consolidation through
// provisioner/consolidation. This package assembles the controllers, shows the cluster in the terms of packing
// ([Machinery.Snapshot]), turns planned nodes into NodeClaims ([Machinery.Launch]) and carries consolidation moves out as a
// disruption method of Karpenter's.
package karpenter
