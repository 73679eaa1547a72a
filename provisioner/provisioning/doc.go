// Package provisioning buys nodes for pods that wait for one.
//
// It batches pods, rightsizes those whose policy says so before anything is bought for them, packs them
// (provisioner/packing), launches NodeClaims (provisioner/karpenter), writes the planned node on each pod, and says on each
// pod that has no place which rule took the last one. A breaker bounds launches.
package provisioning
