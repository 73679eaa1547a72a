package sim

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	karpenter "sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"
	"sigs.k8s.io/karpenter/pkg/utils/resources"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider"
)

// maxOffered is how many alternatives of each capacity type one request offers the cloud: when all spot capacity is gone,
// the same request still reaches on-demand capacity.
const maxOffered = 100

// Create launches an instance for the NodeClaim: the cheapest offering, spot or on-demand, that satisfies its
// requirements, holds its requests and has capacity. The cloud tries them in the order of price within one call, which
// the NodeClaim's UID makes idempotent: after a lost response the repetition finds the instance.
//
// It returns InsufficientCapacityError when nothing could be had, NodeClassNotReadyError, or CreateError.
func (c *CloudProvider) Create(ctx context.Context, claim *karpv1.NodeClaim) (*karpv1.NodeClaim, error) {
	if claim.Spec.NodeClassRef == nil {
		return nil, karpenter.NewCreateError(fmt.Errorf("nodeclaim %s names no node class", claim.Name), "NodeClassMissing", "NodeClaim names no node class")
	}
	class, err := c.nodeClass(ctx, claim.Spec.NodeClassRef.Name)
	switch {
	case apierrors.IsNotFound(err):
		// Without its node class there is nothing the claim could be launched as: as good as no capacity.
		return nil, karpenter.NewInsufficientCapacityError(fmt.Errorf("resolving node class, %w", err))
	case err != nil:
		return nil, fmt.Errorf("resolving node class, %w", err)
	}
	if err := readiness(class); err != nil {
		return nil, err
	}
	instanceTypes, err := c.instanceTypes(ctx, class)
	if err != nil {
		return nil, karpenter.NewCreateError(fmt.Errorf("resolving instance types, %w", err), "InstanceTypeResolutionFailed", "The cloud does not describe its instance types")
	}
	offered, err := alternatives(claim, instanceTypes)
	if err != nil {
		return nil, err
	}
	created, err := c.cloud.Create(ctx, request(claim, class, offered))
	if err != nil {
		c.markSkipped(SkippedOf(err))
		return nil, createError(err)
	}
	c.markSkipped(created.Skipped)
	if created.Instance.State != Running {
		return nil, karpenter.NewInsufficientCapacityError(fmt.Errorf("instance %s of nodeclaim %s is %s already (%s)",
			created.Instance.ID, claim.Name, created.Instance.State, created.Instance.Reason))
	}
	launched := nodeClaim(&created.Instance)
	launched.Annotations = map[string]string{
		v1alpha1.SimNodeClassHashAnnotation:        class.Hash(),
		v1alpha1.SimNodeClassHashVersionAnnotation: v1alpha1.SimNodeClassHashVersion,
	}
	return launched, nil
}

// alternatives are the available offerings that hold the claim, cheapest first.
func alternatives(claim *karpv1.NodeClaim, instanceTypes karpenter.InstanceTypes) ([]Alternative, error) {
	requirements := scheduling.NewNodeSelectorRequirementsWithMinValues(claim.Spec.Requirements...)
	type priced struct {
		Alternative
		price float64
	}
	var offered []priced
	var fitting karpenter.InstanceTypes
	for _, it := range instanceTypes {
		if !requirements.IsCompatible(it.Requirements, scheduling.AllowUndefinedWellKnownLabels) ||
			!resources.Fits(claim.Spec.Resources.Requests, it.Allocatable()) {
			continue
		}
		offerings := it.Offerings.Available().Compatible(requirements)
		if len(offerings) > 0 {
			fitting = append(fitting, it)
		}
		for _, o := range offerings {
			offered = append(offered, priced{Alternative{InstanceType: it.Name, Zone: o.Zone(), CapacityType: o.CapacityType()}, o.Price})
		}
	}
	if len(offered) == 0 {
		return nil, karpenter.NewInsufficientCapacityError(fmt.Errorf("no offering that satisfies nodeclaim %s has capacity", claim.Name))
	}
	if _, unmet, err := fitting.SatisfiesMinValues(requirements); err != nil {
		return nil, karpenter.NewCreateError(fmt.Errorf("offerings of nodeclaim %s, %w: %v", claim.Name, err, unmet), "InstanceTypeFilteringFailed", "Too few instance types have capacity to meet minValues")
	}
	slices.SortFunc(offered, func(a, b priced) int {
		return cmp.Or(cmp.Compare(a.price, b.price), cmp.Compare(a.InstanceType, b.InstanceType), cmp.Compare(a.Zone, b.Zone))
	})
	var list []Alternative
	count := map[string]int{}
	for _, o := range offered {
		if count[o.CapacityType]++; count[o.CapacityType] <= maxOffered {
			list = append(list, o.Alternative)
		}
	}
	return list, nil
}

func request(claim *karpv1.NodeClaim, class *v1alpha1.SimNodeClass, offered []Alternative) *CreateRequest {
	tags := maps.Clone(class.Spec.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags[tagNodeClaim], tags[tagNodePool], tags[tagNodeClass] = claim.Name, claim.Labels[karpv1.NodePoolLabelKey], class.Name

	labels := map[string]string{}
	for _, r := range claim.Spec.Requirements {
		if r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1 {
			labels[r.Key] = r.Values[0]
		}
	}
	maps.Copy(labels, claim.Labels)
	taints := append(slices.Clone(claim.Spec.Taints), claim.Spec.StartupTaints...)

	r := &CreateRequest{
		ClientToken: cmp.Or(string(claim.UID), claim.Name), Alternatives: offered,
		// Karpenter's lifecycle takes the taint away once it has recognised the node.
		Labels: labels, Taints: append(taints, karpv1.UnregisteredNoExecuteTaint), Tags: tags, Image: class.Spec.Image,
	}
	if class.Spec.MaxPods != nil {
		r.MaxPods = int(*class.Spec.MaxPods)
	}
	if class.Spec.EphemeralStorage != nil {
		r.EphemeralStorage = class.Spec.EphemeralStorage.Value()
	}
	return r
}

// markSkipped remembers the offerings that had no capacity.
func (c *CloudProvider) markSkipped(skipped []Skipped) {
	for _, s := range skipped {
		c.unavailable.mark(cloudprovider.Offering{InstanceType: s.InstanceType, Zone: s.Zone, CapacityType: s.CapacityType})
	}
}

// createError gives the cloud's error the type that Karpenter acts on.
func createError(err error) error {
	switch {
	case IsCode(err, CodeInsufficientCapacity):
		return karpenter.NewInsufficientCapacityError(err)
	case IsCode(err, CodeThrottled):
		return karpenter.NewCreateError(err, CodeThrottled, "The cloud refuses because of too many requests")
	case IsCode(err, CodeInvalid):
		return karpenter.NewCreateError(err, CodeInvalid, err.Error())
	}
	return karpenter.NewCreateError(err, "LaunchFailed", "The cloud did not launch the instance")
}

// nodeClaim describes an instance.
func nodeClaim(i *Instance) *karpv1.NodeClaim {
	claim := &karpv1.NodeClaim{}
	claim.Name = i.Tags[tagNodeClaim]
	claim.CreationTimestamp = metav1.NewTime(i.LaunchedAt)
	if i.State != Running && i.TerminatedAt != nil {
		claim.DeletionTimestamp = &metav1.Time{Time: *i.TerminatedAt}
	}
	claim.Labels = maps.Clone(i.Labels)
	delete(claim.Labels, corev1.LabelHostname) // the node's own, which Karpenter does not allow on a claim
	if pool := i.Tags[tagNodePool]; pool != "" {
		claim.Labels[karpv1.NodePoolLabelKey] = pool
	}
	if class := i.Tags[tagNodeClass]; class != "" {
		claim.Spec.NodeClassRef = &karpv1.NodeClassReference{Group: v1alpha1.GroupName, Kind: "SimNodeClass", Name: class}
	}
	claim.Status.ProviderID, claim.Status.ImageID = i.ProviderID, i.Image
	claim.Status.Capacity, claim.Status.Allocatable = i.Capacity, i.Allocatable
	return claim
}
