package provisioning

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/provisioner/karpenter"
	"supercargo.dev/provisioner/packing"
)

// nominations writes planned nodes to pod.status.nominatedNodeName (KEP-5278), where kube-scheduler looks first. A node that
// is still being bought has no name yet, so its pods are remembered until it has. A restart forgets them; the next round
// plans the pods again, onto the same claims.
type nominations struct {
	client client.Client
	mu     sync.Mutex
	pods   map[string][]podRef
}

type podRef struct {
	key client.ObjectKey
	uid types.UID
}

func newNominations(c client.Client) *nominations {
	return &nominations{client: c, pods: map[string][]podRef{}}
}

// planned remembers the pods of a claim.
func (n *nominations) planned(claim string, pods []*corev1.Pod) {
	refs := make([]podRef, 0, len(pods))
	for _, p := range pods {
		if p.Spec.NodeName == "" {
			refs = append(refs, podRef{client.ObjectKeyFromObject(p), p.UID})
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pods[claim] = append(n.pods[claim], refs...)
}

// forget drops a claim.
func (n *nominations) forget(claim string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pods, claim)
}

// registered writes the node of a claim on the pods planned for it.
func (n *nominations) registered(ctx context.Context, claim, node string) {
	n.mu.Lock()
	refs := n.pods[claim]
	delete(n.pods, claim)
	n.mu.Unlock()
	n.write(ctx, node, refs)
}

// bind writes existing nodes on the pods planned for them, and remembers those of claims in flight.
func (n *nominations) bind(ctx context.Context, s *karpenter.Snapshot, bindings []packing.Binding) {
	byNode := map[string][]podRef{}
	for _, b := range bindings {
		pod := s.Pod(b.Pod)
		if pod.Spec.NodeName != "" {
			continue // it still runs on a node that is going; its successor will be planned in its own right
		}
		state := s.State(b.Node)
		switch {
		case state == nil:
			n.planned(b.Node, []*corev1.Pod{pod})
		case state.Node == nil:
			n.planned(state.NodeClaim.Name, []*corev1.Pod{pod})
		case pod.Status.NominatedNodeName != state.Node.Name:
			byNode[state.Node.Name] = append(byNode[state.Node.Name], podRef{client.ObjectKeyFromObject(pod), pod.UID})
		}
	}
	for node, refs := range byNode {
		n.write(ctx, node, refs)
	}
}

// write patches the status of pods that still wait. A nomination is a hint: where it cannot be written, scheduling goes on
// without it.
func (n *nominations) write(ctx context.Context, node string, refs []podRef) {
	workqueue.ParallelizeUntil(ctx, parallelWrites, len(refs), func(i int) {
		ref := refs[i]
		pod := &corev1.Pod{}
		pod.Namespace, pod.Name = ref.key.Namespace, ref.key.Name
		// The UID in the patch makes the API server refuse it for another pod of the same name.
		patch := fmt.Sprintf(`{"metadata":{"uid":%q},"status":{"nominatedNodeName":%q}}`, ref.uid, node)
		err := n.client.Status().Patch(ctx, pod, client.RawPatch(types.MergePatchType, []byte(patch)))
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && !apierrors.IsInvalid(err) {
			log.FromContext(ctx).Error(err, "writing the planned node on a pod", "pod", ref.key, "node", node)
		}
	})
}
