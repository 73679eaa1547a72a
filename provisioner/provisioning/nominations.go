package provisioning

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/karpenter/pkg/scheduling"

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
	// nodes are those written on pods that still wait, for restore and opened.
	nodes map[types.UID]nomination
}

type podRef struct {
	key client.ObjectKey
	uid types.UID
}

// nomination is a pod and the node that it is planned on.
type nomination struct {
	podRef
	node string
}

func newNominations(c client.Client) *nominations {
	return &nominations{client: c, pods: map[string][]podRef{}, nodes: map[types.UID]nomination{}}
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
	// What was planned before no longer holds.
	moved := make(map[types.UID]bool, len(refs))
	for _, ref := range refs {
		moved[ref.uid] = true
		delete(n.nodes, ref.uid)
	}
	for other, before := range n.pods {
		n.pods[other] = slices.DeleteFunc(before, func(ref podRef) bool { return moved[ref.uid] })
	}
	n.pods[claim] = append(n.pods[claim], refs...)
}

// restore writes the planned node on a pod again after kube-scheduler has cleared it. It does so whenever it finds no pod to
// preempt (pkg/scheduler/framework/preemption, Evaluator.Preempt), as for every pod of a node that is not ready yet when another
// becomes so. Without the nomination nothing keeps smaller pods from taking the place, and one more node would be bought.
//
// While the node takes no pods there is no place to be taken, and the scheduler would clear again what is written: see opened.
func (n *nominations) restore(ctx context.Context, pod *corev1.Pod) {
	n.mu.Lock()
	to, nominated := n.nodes[pod.UID]
	n.mu.Unlock()
	if nominated && pod.Status.NominatedNodeName == "" && n.open(ctx, to.node) {
		n.write(ctx, to)
	}
}

// open tells whether pods may come to a node.
func (n *nominations) open(ctx context.Context, name string) bool {
	node := &corev1.Node{}
	// A node that is not in the cache yet has not been opened yet.
	return n.client.Get(ctx, client.ObjectKey{Name: name}, node) == nil && isOpen(node)
}

// isOpen tells whether a node has none of the taints that go when it is ready.
func isOpen(node *corev1.Node) bool {
	for i := range node.Spec.Taints {
		if scheduling.IsKnownEphemeralTaint(&node.Spec.Taints[i]) {
			return false
		}
	}
	return true
}

// opened writes a node that takes pods from now on to those of its pods on which it was cleared meanwhile.
func (n *nominations) opened(ctx context.Context, node string) {
	n.mu.Lock()
	var all []nomination
	for _, to := range n.nodes {
		if to.node == node {
			all = append(all, to)
		}
	}
	n.mu.Unlock()
	all = slices.DeleteFunc(all, func(to nomination) bool {
		pod := &corev1.Pod{}
		return n.client.Get(ctx, to.key, pod) != nil || pod.UID != to.uid || pod.Spec.NodeName != "" || pod.Status.NominatedNodeName == node
	})
	n.write(ctx, all...)
}

// prune forgets pods that no longer wait.
func (n *nominations) prune(s *karpenter.Snapshot) {
	waiting := make(map[types.UID]bool, s.Pending)
	for i := range s.Pending {
		waiting[s.Pod(i).UID] = true
	}
	for _, k := range s.Kept {
		waiting[k.Pod.UID] = true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.DeleteFunc(n.nodes, func(uid types.UID, _ nomination) bool { return !waiting[uid] })
}

// places are the nodes and claims that pods were planned on, by the pods' UIDs.
func (n *nominations) places() map[types.UID]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make(map[types.UID]string, len(n.nodes))
	for claim, refs := range n.pods {
		for _, ref := range refs {
			out[ref.uid] = claim
		}
	}
	for uid, to := range n.nodes {
		out[uid] = to.node
	}
	return out
}

// forget drops a claim.
func (n *nominations) forget(claim string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pods, claim)
}

// registered writes the node of a claim on the pods planned for it. Best while the node is still closed to pods: kube-scheduler keeps
// the room of nominated pods free, and pods of other nodes, which are there earlier or later, take what is not.
func (n *nominations) registered(ctx context.Context, claim, node string) {
	n.mu.Lock()
	refs := n.pods[claim]
	delete(n.pods, claim)
	n.mu.Unlock()
	all := make([]nomination, 0, len(refs))
	for _, ref := range refs {
		all = append(all, nomination{ref, node})
	}
	n.write(ctx, all...)
}

// bind writes existing nodes on the pods planned for them, now or by a consolidation, and remembers those of claims in flight.
func (n *nominations) bind(ctx context.Context, s *karpenter.Snapshot, bindings []packing.Binding) {
	var all []nomination
	put := func(pod *corev1.Pod, node string) {
		state := s.State(node)
		switch {
		case state == nil:
			n.planned(node, []*corev1.Pod{pod})
		case state.Node == nil:
			n.planned(state.NodeClaim.Name, []*corev1.Pod{pod})
		case pod.Status.NominatedNodeName != state.Node.Name:
			all = append(all, nomination{podRef{client.ObjectKeyFromObject(pod), pod.UID}, state.Node.Name})
		}
	}
	for _, k := range s.Kept {
		if k.Succeeds {
			put(k.Pod, k.Node)
		}
	}
	for _, b := range bindings {
		// One that still runs, on a node that is going, has a successor that will be planned in its own right.
		if pod := s.Pod(b.Pod); pod.Spec.NodeName == "" {
			put(pod, b.Node)
		}
	}
	n.write(ctx, all...)
}

// write patches the status of pods that still wait. A nomination is a hint: where it cannot be written, scheduling goes on
// without it.
func (n *nominations) write(ctx context.Context, all ...nomination) {
	n.mu.Lock()
	for _, to := range all {
		n.nodes[to.uid] = to
	}
	n.mu.Unlock()
	workqueue.ParallelizeUntil(ctx, parallelWrites, len(all), func(i int) {
		ref, node := all[i].podRef, all[i].node
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
