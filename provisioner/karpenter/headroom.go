package karpenter

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/karpenter/pkg/apis/autoscaling/v1beta1"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/operator/options"

	"supercargo.dev/provisioner/packing"
)

// ReasonHeadroomMissing is the reason of the event on a CapacityBuffer of which some pods have no place.
const ReasonHeadroomMissing = "NoPlace"

// planner lets Karpenter's buffer controller ask for a round of provisioning.
type planner func()

// Trigger implements capacitybuffer.ProvisionerTrigger.
func (p planner) Trigger(types.UID) { p() }

// HasCapacityBuffers asks an API server whether it serves CapacityBuffers. Without their CRD there is no headroom, and
// everything else works.
func HasCapacityBuffers(cfg *rest.Config) (bool, error) {
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return false, fmt.Errorf("connecting for discovery, %w", err)
	}
	// Other kinds share the group, Cluster Autoscaler's ProvisioningRequest among them.
	served, err := d.ServerResourcesForGroupVersion(v1beta1.Group + "/v1beta1")
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("listing the kinds of %s, %w", v1beta1.Group, err)
	}
	for i := range served.APIResources {
		if served.APIResources[i].Name == "capacitybuffers" {
			return true, nil
		}
	}
	return false, nil
}

// headroom are the pods that CapacityBuffers keep room for. They are packed like pending pods of the lowest priority, exist
// nowhere, and are never bound: a real pod takes the room at once, and the next round makes room anew.
func (m *Machinery) headroom(ctx context.Context) []*corev1.Pod {
	if !options.FromContext(ctx).FeatureGates.CapacityBuffer {
		return nil
	}
	pods := m.virtual.GetAll(ctx)
	sort.Slice(pods, func(i, j int) bool { return pods[i].UID < pods[j].UID })
	return pods
}

// IsHeadroom says whether the pod at an index of Problem.Pods is one that a CapacityBuffer keeps room for.
func (s *Snapshot) IsHeadroom(i int) bool { return i >= len(s.Problem.Pods)-s.Headroom }

// real are the bindings of pods that exist.
func (s *Snapshot) real(bindings []packing.Binding) []packing.Binding {
	var out []packing.Binding
	for _, b := range bindings {
		if !s.IsHeadroom(b.Pod) {
			out = append(out, b)
		}
	}
	return out
}

// isVirtual tells a pod of a CapacityBuffer from a real one.
func isVirtual(pod *corev1.Pod) bool {
	return pod.Annotations[v1beta1.FakePodAnnotationKey] == v1beta1.FakePodAnnotationValue
}

// headroom is what a plan holds free for one CapacityBuffer, in pods.
type headroom struct{ ready, ordered, missing int }

// KeepHeadroom takes the pods of CapacityBuffers out of a plan, for they need room and nothing else, and says on each buffer
// whether it has its room. Nodes that hold some are not empty from then on.
func (m *Machinery) KeepHeadroom(ctx context.Context, s *Snapshot, plan packing.Plan) (packing.Plan, error) {
	if !options.FromContext(ctx).FeatureGates.CapacityBuffer {
		return plan, nil
	}
	onNode, byBuffer := map[string]int{}, map[client.ObjectKey]*headroom{}
	count := func(pod int) *headroom {
		a := s.Pod(pod).Annotations
		key := client.ObjectKey{Namespace: a[v1beta1.BufferNamespaceAnnotation], Name: a[v1beta1.BufferNameAnnotation]}
		if byBuffer[key] == nil {
			byBuffer[key] = &headroom{}
		}
		return byBuffer[key]
	}
	for _, b := range plan.Bindings {
		if !s.IsHeadroom(b.Pod) {
			continue
		}
		n := s.states[b.Node]
		if n != nil {
			onNode[n.ProviderID()]++
		}
		if n != nil && n.Initialized() {
			count(b.Pod).ready++
		} else {
			count(b.Pod).ordered++
		}
	}
	for i := range plan.Nodes {
		for _, p := range plan.Nodes[i].Pods {
			if s.IsHeadroom(p) {
				count(p).ordered++
			}
		}
	}
	var unplaced []packing.Unplaced
	why := map[client.ObjectKey]string{}
	for _, u := range plan.Unplaced {
		if !s.IsHeadroom(u.Pod) {
			unplaced = append(unplaced, u)
			continue
		}
		count(u.Pod).missing++
		a := s.Pod(u.Pod).Annotations
		why[client.ObjectKey{Namespace: a[v1beta1.BufferNamespaceAnnotation], Name: a[v1beta1.BufferNameAnnotation]}] = u.Message
	}
	m.cluster.UpdateBufferPodCounts(onNode)
	plan.Bindings, plan.Unplaced = s.real(plan.Bindings), unplaced
	var errs []error
	for key, h := range byBuffer {
		errs = append(errs, m.tellHeadroom(ctx, key, *h, why[key]))
	}
	return plan, errors.Join(errs...)
}

// tellHeadroom writes Karpenter's condition Provisioning on a buffer: true when all of its room is there.
func (m *Machinery) tellHeadroom(ctx context.Context, key client.ObjectKey, h headroom, why string) error {
	buffer := &v1beta1.CapacityBuffer{}
	if err := m.cfg.Client.Get(ctx, key, buffer); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("reading capacitybuffer %s, %w", key, err))
	}
	condition := metav1.Condition{
		Type: v1beta1.ProvisioningCondition, Status: metav1.ConditionTrue, Reason: "FitsExistingCapacity", ObservedGeneration: buffer.Generation,
		Message: fmt.Sprintf("There is room for all %d pods", h.ready),
	}
	if h.ordered > 0 || h.missing > 0 {
		condition.Status, condition.Reason = metav1.ConditionFalse, "RequiresNewCapacity"
		condition.Message = fmt.Sprintf("There is room for %d pods, nodes for %d are on their way, and %d have no place", h.ready, h.ordered, h.missing)
	}
	if h.missing > 0 {
		message := fmt.Sprintf("%d pods of headroom have no place: %s", h.missing, why)
		m.cfg.Recorder.Publish(events.Event{
			InvolvedObject: buffer, Type: corev1.EventTypeWarning, Reason: ReasonHeadroomMissing, Message: message,
			DedupeValues: []string{string(buffer.UID), message}, DedupeTimeout: 5 * time.Minute,
		})
	}
	stored := buffer.DeepCopy()
	if !meta.SetStatusCondition(&buffer.Status.Conditions, condition) {
		return nil
	}
	if err := m.cfg.Client.Status().Patch(ctx, buffer, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing the status of capacitybuffer %s, %w", key, err)
	}
	return nil
}
