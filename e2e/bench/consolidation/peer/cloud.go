package peer

import (
	"context"
	"errors"

	"github.com/awslabs/operatorpkg/status"
	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/scheduling"
	"sigs.k8s.io/karpenter/pkg/utils/resources"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/provisioner/packing"
)

// cloud sells what a pool of the packing model sells, and launches nothing: commands are carried out on the model.
type cloud struct{ types []*cloudprovider.InstanceType }

var errModelOnly = errors.New("the benchmark's cloud sells, and launches nothing")

// GetInstanceTypes implements cloudprovider.CloudProvider.
func (c *cloud) GetInstanceTypes(context.Context, *karpv1.NodePool) ([]*cloudprovider.InstanceType, error) {
	return c.types, nil
}

// GetSupportedNodeClasses implements cloudprovider.CloudProvider.
func (*cloud) GetSupportedNodeClasses() []status.Object {
	return []status.Object{&v1alpha1.SimNodeClass{}}
}

// Create implements cloudprovider.CloudProvider.
func (*cloud) Create(context.Context, *karpv1.NodeClaim) (*karpv1.NodeClaim, error) {
	return nil, errModelOnly
}

// Delete implements cloudprovider.CloudProvider.
func (*cloud) Delete(context.Context, *karpv1.NodeClaim) error { return errModelOnly }

// Get implements cloudprovider.CloudProvider.
func (*cloud) Get(context.Context, string) (*karpv1.NodeClaim, error) { return nil, errModelOnly }

// List implements cloudprovider.CloudProvider.
func (*cloud) List(context.Context) ([]*karpv1.NodeClaim, error) { return nil, errModelOnly }

// IsDrifted implements cloudprovider.CloudProvider.
func (*cloud) IsDrifted(context.Context, *karpv1.NodeClaim) (cloudprovider.DriftReason, error) {
	return "", nil
}

// RepairPolicies implements cloudprovider.CloudProvider.
func (*cloud) RepairPolicies() []cloudprovider.RepairPolicy { return nil }

// Name implements cloudprovider.CloudProvider.
func (*cloud) Name() string { return "benchmark" }

// instanceTypes turns the types of a packing pool into Karpenter's, with the same allocatable, offerings and prices.
func instanceTypes(types []packing.InstanceType) []*cloudprovider.InstanceType {
	out := make([]*cloudprovider.InstanceType, 0, len(types))
	for i := range types {
		t := &types[i]
		zones, capacityTypes := map[string]bool{}, map[string]bool{}
		it := &cloudprovider.InstanceType{
			Name: t.Name, Capacity: t.Capacity,
			Overhead: &cloudprovider.InstanceTypeOverhead{KubeReserved: resources.Subtract(t.Capacity, t.Allocatable)},
		}
		for _, o := range t.Offerings {
			zones[o.Zone], capacityTypes[o.CapacityType] = true, true
			it.Offerings = append(it.Offerings, &cloudprovider.Offering{
				Requirements: scheduling.NewRequirements(in(corev1.LabelTopologyZone, o.Zone), in(karpv1.CapacityTypeLabelKey, o.CapacityType)),
				Price:        o.Price, Available: o.Available,
			})
		}
		it.Requirements = scheduling.NewRequirements(
			in(corev1.LabelInstanceTypeStable, t.Name), in(corev1.LabelTopologyZone, keys(zones)...),
			in(karpv1.CapacityTypeLabelKey, keys(capacityTypes)...),
			scheduling.NewRequirement(corev1.LabelWindowsBuild, corev1.NodeSelectorOpDoesNotExist),
		)
		for key, value := range t.Labels {
			it.Requirements[key] = in(key, value)
		}
		out = append(out, it)
	}
	return out
}

func in(key string, values ...string) *scheduling.Requirement {
	return scheduling.NewRequirement(key, corev1.NodeSelectorOpIn, values...)
}

func keys(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for k := range set {
		out = append(out, k)
	}
	return out
}

// silence drops events.
type silence struct{}

// Publish implements events.Recorder.
func (silence) Publish(...events.Event) {}
