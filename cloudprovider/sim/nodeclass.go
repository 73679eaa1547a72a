package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/awslabs/operatorpkg/status"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	controllerruntime "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
)

const (
	// nodeClassInterval is how often a valid node class is validated again.
	nodeClassInterval = 5 * time.Minute
	// nodeClassRetry is the time between attempts while the cloud does not describe itself.
	nodeClassRetry = 10 * time.Second
)

// NodeClassController validates SimNodeClasses against the cloud, keeps the hash that drift is recognised by, and lets
// a node class go only when no NodeClaim uses it.
type NodeClassController struct {
	kube  client.Client
	cloud *CloudProvider
}

// NewNodeClassController returns the controller.
func NewNodeClassController(kube client.Client, cloud *CloudProvider) *NodeClassController {
	return &NodeClassController{kube: kube, cloud: cloud}
}

// Name of the controller.
func (c *NodeClassController) Name() string { return "simnodeclass" }

// Register adds the controller to a manager.
func (c *NodeClassController) Register(_ context.Context, m manager.Manager) error {
	return controllerruntime.NewControllerManagedBy(m).
		Named(c.Name()).
		For(&v1alpha1.SimNodeClass{}).
		// A node class that is being deleted waits for the last of its NodeClaims.
		Watches(&karpv1.NodeClaim{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
			claim, ok := o.(*karpv1.NodeClaim)
			if !ok || !usesSim(claim) {
				return nil
			}
			return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: claim.Spec.NodeClassRef.Name}}}
		})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 2}).
		Complete(reconcile.AsReconciler(m.GetClient(), c))
}

// Reconcile validates one node class.
func (c *NodeClassController) Reconcile(ctx context.Context, class *v1alpha1.SimNodeClass) (reconcile.Result, error) {
	if !class.DeletionTimestamp.IsZero() {
		return c.finalize(ctx, class)
	}
	if err := c.annotate(ctx, class); err != nil {
		return reconcile.Result{}, requeued(err)
	}
	stored := class.DeepCopy()
	result := reconcile.Result{RequeueAfter: nodeClassInterval}
	conditions := class.StatusConditions(status.WithClock(c.cloud.clock))
	region, err := c.cloud.region.get(ctx)
	switch {
	case err != nil:
		// What was valid stays so: that the cloud does not answer says nothing about the node class.
		if conditions.Get(status.ConditionReady).IsUnknown() {
			conditions.SetUnknownWithReason(status.ConditionReady, "CloudUnreachable", "The cloud does not describe itself: "+err.Error())
		}
		result.RequeueAfter = nodeClassRetry
	default:
		if problem := validateNodeClass(&class.Spec, region); problem != "" {
			conditions.SetFalse(status.ConditionReady, "InvalidSpec", problem)
		} else {
			conditions.SetTrue(status.ConditionReady)
		}
	}
	if equality.Semantic.DeepEqual(stored, class) {
		return result, nil
	}
	if err := c.kube.Status().Patch(ctx, class, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{})); err != nil {
		return reconcile.Result{}, requeued(fmt.Errorf("patching the status of simnodeclass %s, %w", class.Name, err))
	}
	return result, nil
}

// annotate stores the finalizer and the hash of the spec. When the version of the hash function changed, the NodeClaims
// get the new hash first: an upgrade of ours is no drift of theirs.
func (c *NodeClassController) annotate(ctx context.Context, class *v1alpha1.SimNodeClass) error {
	if v := class.Annotations[v1alpha1.SimNodeClassHashVersionAnnotation]; v != "" && v != v1alpha1.SimNodeClassHashVersion {
		if err := c.rehash(ctx, class); err != nil {
			return err
		}
	}
	stored := class.DeepCopy()
	controllerutil.AddFinalizer(class, karpv1.TerminationFinalizer)
	class.Annotations = withHash(class.Annotations, class)
	if equality.Semantic.DeepEqual(stored, class) {
		return nil
	}
	if err := c.kube.Patch(ctx, class, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("annotating simnodeclass %s, %w", class.Name, err)
	}
	return nil
}

// rehash gives the class's NodeClaims its hash of the present version, but for those that have drifted already: whether
// they still do cannot be told.
func (c *NodeClassController) rehash(ctx context.Context, class *v1alpha1.SimNodeClass) error {
	claims, err := c.claims(ctx, class)
	if err != nil {
		return err
	}
	for _, claim := range claims {
		if claim.Annotations[v1alpha1.SimNodeClassHashVersionAnnotation] == v1alpha1.SimNodeClassHashVersion {
			continue
		}
		stored := claim.DeepCopy()
		hash, drifted := claim.Annotations[v1alpha1.SimNodeClassHashAnnotation], claim.StatusConditions(status.WithObservedOnly()).Get(karpv1.ConditionTypeDrifted).IsTrue()
		claim.Annotations = withHash(claim.Annotations, class)
		if drifted {
			claim.Annotations[v1alpha1.SimNodeClassHashAnnotation] = hash
		}
		if err := c.kube.Patch(ctx, claim, client.MergeFrom(stored)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("annotating nodeclaim %s, %w", claim.Name, err)
		}
	}
	return nil
}

func withHash(annotations map[string]string, class *v1alpha1.SimNodeClass) map[string]string {
	all := maps.Clone(annotations)
	if all == nil {
		all = map[string]string{}
	}
	all[v1alpha1.SimNodeClassHashAnnotation] = class.Hash()
	all[v1alpha1.SimNodeClassHashVersionAnnotation] = v1alpha1.SimNodeClassHashVersion
	return all
}

func (c *NodeClassController) finalize(ctx context.Context, class *v1alpha1.SimNodeClass) (reconcile.Result, error) {
	claims, err := c.claims(ctx, class)
	if err != nil || len(claims) > 0 {
		return reconcile.Result{}, err // the end of each claim brings us back
	}
	stored := class.DeepCopy()
	if !controllerutil.RemoveFinalizer(class, karpv1.TerminationFinalizer) {
		return reconcile.Result{}, nil
	}
	c.cloud.forget(class)
	if err := c.kube.Patch(ctx, class, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{})); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, requeued(fmt.Errorf("releasing simnodeclass %s, %w", class.Name, err))
	}
	return reconcile.Result{}, nil
}

// claims are the NodeClaims that use the class.
func (c *NodeClassController) claims(ctx context.Context, class *v1alpha1.SimNodeClass) ([]*karpv1.NodeClaim, error) {
	var all karpv1.NodeClaimList
	if err := c.kube.List(ctx, &all); err != nil {
		return nil, fmt.Errorf("listing nodeclaims of simnodeclass %s, %w", class.Name, err)
	}
	var using []*karpv1.NodeClaim
	for i := range all.Items {
		if claim := &all.Items[i]; usesSim(claim) && claim.Spec.NodeClassRef.Name == class.Name {
			using = append(using, claim)
		}
	}
	return using, nil
}

func usesSim(claim *karpv1.NodeClaim) bool {
	ref := claim.Spec.NodeClassRef
	return ref != nil && ref.Group == v1alpha1.GroupName && ref.Kind == "SimNodeClass"
}

// requeued turns a conflict, which only says that the cache is behind, into a silent retry.
func requeued(err error) error {
	if apierrors.IsConflict(err) {
		return nil // the newer version brings us back
	}
	return client.IgnoreNotFound(err)
}

// validateNodeClass names every field that the cloud does not know; empty when it knows all.
func validateNodeClass(spec *v1alpha1.SimNodeClassSpec, region *Region) string {
	var problems []string
	if spec.Region != "" && spec.Region != region.Name {
		problems = append(problems, fmt.Sprintf("spec.region: %q is not the cloud's region, which is %s", spec.Region, region.Name))
	}
	for i, z := range spec.Zones {
		if !slices.Contains(region.Zones, z) {
			problems = append(problems, fmt.Sprintf("spec.zones[%d]: %q is not a zone of %s, which has %s", i, z, region.Name, strings.Join(region.Zones, ", ")))
		}
	}
	families := map[string]bool{}
	for i := range region.Types {
		family, _, _ := strings.Cut(region.Types[i].Name, ".")
		families[family] = true
	}
	for i, f := range spec.InstanceFamilies {
		if !families[f] {
			problems = append(problems, fmt.Sprintf("spec.instanceFamilies[%d]: %q is not an instance family of %s", i, f, region.Name))
		}
	}
	if q := spec.EphemeralStorage; q != nil && q.Sign() <= 0 {
		problems = append(problems, fmt.Sprintf("spec.ephemeralStorage: %s is not positive", q))
	}
	return strings.Join(problems, "; ")
}
