package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/awslabs/operatorpkg/status"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	karpenter "sigs.k8s.io/karpenter/pkg/cloudprovider"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider"
	"supercargo.dev/cloudprovider/catalog"
)

const (
	// Name of the cloud provider.
	Name = "sim"
	// NodeClassDrifted is the reason of drift when a node was launched from another SimNodeClass spec.
	NodeClassDrifted karpenter.DriftReason = "NodeClassDrifted"

	providerIDPrefix = "sim:///"
	// tagNodeClaim and tagNodePool mark the instances that are ours and say whose.
	tagNodeClaim = "karpenter.sh/nodeclaim"
	tagNodePool  = karpv1.NodePoolLabelKey
	tagNodeClass = "supercargo.dev/simnodeclass"
)

// CloudProvider is the simulated cloud as Karpenter and Supercargo see it. It is safe for concurrent use.
type CloudProvider struct {
	kube        client.Client
	cloud       *Client
	clock       clock.Clock
	prices      *cached[Prices]
	region      *cached[Region]
	unavailable *unavailable

	mu      sync.Mutex
	catalog *catalog.Region
	built   map[types.UID]*builtTypes
}

var (
	_ karpenter.CloudProvider     = (*CloudProvider)(nil)
	_ cloudprovider.Market        = (*CloudProvider)(nil)
	_ cloudprovider.Interruptions = (*CloudProvider)(nil)

	registerOnce sync.Once
)

// NewCloudProvider returns the cloud provider on a client of the cloud.
//
// It makes the cloud's own labels well known to Karpenter and adds SimNodeClass to client-go's scheme, where Karpenter
// looks up the kinds of node classes. Both are variables of the process, so this happens in the process that provisions
// and not, as in an init function, in every program that merely contains the simulated cloud. Call it before Karpenter's
// controllers start: they read the variables without a lock.
func NewCloudProvider(kube client.Client, cloud *Client, c clock.Clock) *CloudProvider {
	registerOnce.Do(func() {
		karpv1.WellKnownLabels.Insert(LabelInstanceFamily, LabelInstanceSize, LabelInstanceCPU, LabelInstanceMemory,
			LabelInstanceGPUName, LabelInstanceGPUCount)
		if err := v1alpha1.AddToScheme(scheme.Scheme); err != nil {
			panic(err) // two different types under one name: a programming error, seen at the first start
		}
	})
	return &CloudProvider{
		kube: kube, cloud: cloud, clock: c,
		prices:      &cached[Prices]{clock: c, ttl: pricesTTL, fetch: cloud.Prices},
		region:      &cached[Region]{clock: c, ttl: typesTTL, fetch: cloud.Types},
		unavailable: newUnavailable(c),
		built:       map[types.UID]*builtTypes{},
	}
}

// Name returns "sim".
func (c *CloudProvider) Name() string { return Name }

// GetSupportedNodeClasses returns SimNodeClass.
func (c *CloudProvider) GetSupportedNodeClasses() []status.Object {
	return []status.Object{&v1alpha1.SimNodeClass{}}
}

// RepairPolicies replaces nodes whose kubelet has not been ready for ten minutes.
func (c *CloudProvider) RepairPolicies() []karpenter.RepairPolicy {
	return []karpenter.RepairPolicy{
		{ConditionType: corev1.NodeReady, ConditionStatus: corev1.ConditionFalse, TolerationDuration: 10 * time.Minute},
		{ConditionType: corev1.NodeReady, ConditionStatus: corev1.ConditionUnknown, TolerationDuration: 10 * time.Minute},
	}
}

// Collectors are the metrics of the provider and its client, for the caller to register.
func (c *CloudProvider) Collectors() []prometheus.Collector {
	return append(c.cloud.Collectors(), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "supercargo_cloud_price_age_seconds",
		Help: "Age of the prices last stated by the cloud; -1 before the first.",
	}, func() float64 {
		if p := c.lastPrices(); p != nil {
			return c.clock.Since(p.At).Seconds()
		}
		return -1
	}))
}

// Delete terminates the NodeClaim's instance. As Karpenter's contract says, it returns nil while the termination is
// under way and NodeClaimNotFoundError once the instance is gone.
func (c *CloudProvider) Delete(ctx context.Context, claim *karpv1.NodeClaim) error {
	id, err := instanceID(claim.Status.ProviderID)
	if err != nil {
		return fmt.Errorf("deleting nodeclaim, %w", err)
	}
	i, err := c.cloud.Terminate(ctx, id)
	switch {
	case IsCode(err, CodeNotFound):
		return karpenter.NewNodeClaimNotFoundError(fmt.Errorf("terminating instance, %w", err))
	case err != nil:
		return fmt.Errorf("terminating instance, %w", err)
	case i.State == Terminated:
		return karpenter.NewNodeClaimNotFoundError(fmt.Errorf("instance %s is terminated", id))
	}
	return nil
}

// Get describes the instance of a provider id as a NodeClaim, or returns NodeClaimNotFoundError.
func (c *CloudProvider) Get(ctx context.Context, providerID string) (*karpv1.NodeClaim, error) {
	id, err := instanceID(providerID)
	if err != nil {
		return nil, fmt.Errorf("getting nodeclaim, %w", err)
	}
	i, err := c.cloud.Get(ctx, id)
	switch {
	case IsCode(err, CodeNotFound):
		return nil, karpenter.NewNodeClaimNotFoundError(fmt.Errorf("getting instance, %w", err))
	case err != nil:
		return nil, fmt.Errorf("getting instance, %w", err)
	case i.State == Terminated:
		return nil, karpenter.NewNodeClaimNotFoundError(fmt.Errorf("instance %s is terminated", id))
	}
	return nodeClaim(i), nil
}

// List describes all instances that were launched for NodeClaims and are not gone, also those whose NodeClaim is.
func (c *CloudProvider) List(ctx context.Context) ([]*karpv1.NodeClaim, error) {
	instances, err := c.cloud.List(ctx, tagNodeClaim)
	if err != nil {
		return nil, fmt.Errorf("listing instances, %w", err)
	}
	claims := make([]*karpv1.NodeClaim, 0, len(instances))
	for n := range instances {
		if instances[n].State != Terminated {
			claims = append(claims, nodeClaim(&instances[n]))
		}
	}
	return claims, nil
}

// IsDrifted compares the node class that the NodeClaim was launched from with what it is now.
func (c *CloudProvider) IsDrifted(ctx context.Context, claim *karpv1.NodeClaim) (karpenter.DriftReason, error) {
	if claim.Spec.NodeClassRef == nil {
		return "", nil
	}
	class, err := c.nodeClass(ctx, claim.Spec.NodeClassRef.Name)
	if err != nil {
		return "", client.IgnoreNotFound(fmt.Errorf("resolving node class, %w", err))
	}
	was, is := claim.Annotations, class.Annotations
	// Hashes are comparable only when both were made by the same version of the function.
	if was[v1alpha1.SimNodeClassHashVersionAnnotation] != is[v1alpha1.SimNodeClassHashVersionAnnotation] ||
		was[v1alpha1.SimNodeClassHashAnnotation] == "" || is[v1alpha1.SimNodeClassHashAnnotation] == "" {
		return "", nil
	}
	if was[v1alpha1.SimNodeClassHashAnnotation] != is[v1alpha1.SimNodeClassHashAnnotation] {
		return NodeClassDrifted, nil
	}
	return "", nil
}

// nodeClass reads a node class. One that is being deleted is not found.
func (c *CloudProvider) nodeClass(ctx context.Context, name string) (*v1alpha1.SimNodeClass, error) {
	class := &v1alpha1.SimNodeClass{}
	if err := c.kube.Get(ctx, types.NamespacedName{Name: name}, class); err != nil {
		return nil, err
	}
	if !class.DeletionTimestamp.IsZero() {
		e := apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("simnodeclasses").GroupResource(), name)
		e.ErrStatus.Message += ", it is being deleted"
		return nil, e
	}
	return class, nil
}

// instanceID takes the id from a provider id "sim:///zone/id".
func instanceID(providerID string) (string, error) {
	rest, ok := strings.CutPrefix(providerID, providerIDPrefix)
	zone, id, both := strings.Cut(rest, "/")
	if !ok || !both || zone == "" || id == "" || strings.Contains(id, "/") {
		return "", fmt.Errorf("provider id %q is not of the form %szone/id", providerID, providerIDPrefix)
	}
	return id, nil
}

// readiness is Karpenter's error of a node class that cannot be used; nil when it can.
func readiness(class *v1alpha1.SimNodeClass) error {
	ready := class.StatusConditions(status.WithObservedOnly()).Get(status.ConditionReady)
	switch {
	case ready.IsFalse():
		return karpenter.NewNodeClassNotReadyError(errors.New(ready.Message))
	case ready.IsUnknown():
		return karpenter.NewCreateError(fmt.Errorf("node class %s has not been validated yet", class.Name), "NodeClassReadinessUnknown", "NodeClass is in Ready=Unknown")
	case ready.ObservedGeneration != class.Generation:
		return karpenter.NewNodeClassNotReadyError(fmt.Errorf("node class %s has not been validated since it changed", class.Name))
	}
	return nil
}
