package provisioning

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
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
//
// Pods that count for each other's spread are nominated to a node one at a time. Kube-scheduler counts a pod that is nominated to a node as
// if it ran there, but only for that node (RunFilterPluginsWithNominatedPods in pkg/scheduler/framework/runtime): were two of a Deployment
// nominated in each of its zones, it would find every zone ahead of the others, and bind none of them.
type nominations struct {
	client client.Client
	mu     sync.Mutex
	// pods are those that are planned and wait; claims and nodes are the same by where they are to go, one of the two for each.
	pods          map[client.ObjectKey]*nomination
	claims, nodes map[string]map[client.ObjectKey]*nomination
}

// nomination is a pod and the claim or the node that it is planned on.
type nomination struct {
	key         client.ObjectKey
	uid         types.UID
	claim, node string
	labels      labels.Set
	spread      []labels.Selector // of the pods that count for its spread
	// held is a pod whose turn has not come. It is guarded by the lock; nothing else changes.
	held bool
}

func newNominations(c client.Client) *nominations {
	return &nominations{
		client: c, pods: map[client.ObjectKey]*nomination{},
		claims: map[string]map[client.ObjectKey]*nomination{}, nodes: map[string]map[client.ObjectKey]*nomination{},
	}
}

func toClaim(pod *corev1.Pod, claim string) *nomination {
	to := &nomination{key: client.ObjectKeyFromObject(pod), uid: pod.UID, claim: claim, labels: pod.Labels}
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		if c.WhenUnsatisfiable != corev1.DoNotSchedule {
			continue
		}
		// The API server admits no selector that cannot be read.
		if s, err := metav1.LabelSelectorAsSelector(c.LabelSelector); err == nil {
			to.spread = append(to.spread, s)
		}
	}
	return to
}

func (to nomination) toNode(node string) *nomination {
	to.claim, to.node, to.held = "", node, true
	return &to
}

// counts tells whether one of two pods counts for the spread of the other.
func (to *nomination) counts(other *nomination) bool {
	return to.key.Namespace == other.key.Namespace && (to.selects(other) || other.selects(to))
}

func (to *nomination) selects(other *nomination) bool {
	return slices.ContainsFunc(to.spread, func(s labels.Selector) bool { return s.Matches(other.labels) })
}

// put replaces what was planned for a pod. The lock is held.
func (n *nominations) put(to *nomination) {
	n.drop(to.key)
	n.pods[to.key] = to
	index, name := n.place(to)
	if index[name] == nil {
		index[name] = map[client.ObjectKey]*nomination{}
	}
	index[name][to.key] = to
}

// drop forgets what was planned for a pod. The lock is held.
func (n *nominations) drop(key client.ObjectKey) {
	to, ok := n.pods[key]
	if !ok {
		return
	}
	delete(n.pods, key)
	index, name := n.place(to)
	if delete(index[name], key); len(index[name]) == 0 {
		delete(index, name)
	}
}

func (n *nominations) place(to *nomination) (index map[string]map[client.ObjectKey]*nomination, name string) {
	if to.node != "" {
		return n.nodes, to.node
	}
	return n.claims, to.claim
}

// of is what is planned for a pod, or nil.
func (n *nominations) of(pod *corev1.Pod) *nomination {
	n.mu.Lock()
	defer n.mu.Unlock()
	if to := n.pods[client.ObjectKeyFromObject(pod)]; to != nil && to.uid == pod.UID {
		return to
	}
	return nil
}

// planned remembers the pods of a claim.
func (n *nominations) planned(claim string, pods []*corev1.Pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range pods {
		if p.Spec.NodeName == "" {
			n.put(toClaim(p, claim))
		}
	}
}

// restore writes the planned node on a pod again after kube-scheduler has cleared it. It does so whenever it finds no pod to
// preempt (pkg/scheduler/framework/preemption, Evaluator.Preempt), as for every pod of a node that is not ready yet when another
// becomes so. Without the nomination nothing keeps smaller pods from taking the place, and one more node would be bought.
//
// While the node takes no pods there is no place to be taken, and the scheduler would clear again what is written: see opened.
func (n *nominations) restore(ctx context.Context, pod *corev1.Pod) {
	if to := n.of(pod); to != nil && to.node != "" && pod.Status.NominatedNodeName == "" && n.open(ctx, to.node) {
		n.write(ctx, n.turn(to))
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
	all := values(n.nodes[node])
	n.mu.Unlock()
	cleared := slices.DeleteFunc(all, func(to *nomination) bool {
		pod := &corev1.Pod{}
		return n.client.Get(ctx, to.key, pod) != nil || pod.UID != to.uid || pod.Spec.NodeName != "" || pod.Status.NominatedNodeName == node
	})
	n.write(ctx, n.turn(cleared...))
}

// values are the nominations of a node or a claim, in an order that is always the same.
func values(of map[client.ObjectKey]*nomination) []*nomination {
	out := make([]*nomination, 0, len(of))
	for _, to := range of {
		out = append(out, to)
	}
	slices.SortFunc(out, func(a, b *nomination) int {
		return cmp.Or(cmp.Compare(a.key.Namespace, b.key.Namespace), cmp.Compare(a.key.Name, b.key.Name))
	})
	return out
}

// waits tells whether something is planned for the pod of a name.
func (n *nominations) waits(key client.ObjectKey) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pods[key] != nil
}

// left forgets what was planned for the pod of a name, unless that is the pod with this UID, and nominates those whose turn it is then.
func (n *nominations) left(ctx context.Context, key client.ObjectKey, unless types.UID) {
	n.mu.Lock()
	to := n.pods[key]
	if to == nil || to.uid == unless {
		n.mu.Unlock()
		return
	}
	n.drop(key)
	next := slices.DeleteFunc(values(n.nodes[to.node]), func(other *nomination) bool { return !other.held || !other.counts(to) })
	n.mu.Unlock()
	n.write(ctx, n.turn(next...))
}

// prune forgets pods that were planned on nodes and no longer wait.
func (n *nominations) prune(ctx context.Context, s *karpenter.Snapshot) {
	waiting := make(map[types.UID]bool, s.Pending)
	for i := range s.Pending {
		waiting[s.Pod(i).UID] = true
	}
	for _, k := range s.Kept {
		waiting[k.Pod.UID] = true
	}
	var gone []client.ObjectKey
	n.mu.Lock()
	for key, to := range n.pods {
		if to.node != "" && !waiting[to.uid] {
			gone = append(gone, key)
		}
	}
	n.mu.Unlock()
	for _, key := range gone {
		n.left(ctx, key, "")
	}
}

// places are the nodes and claims that pods were planned on, by the pods' UIDs.
func (n *nominations) places() map[types.UID]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make(map[types.UID]string, len(n.pods))
	for _, to := range n.pods {
		_, out[to.uid] = n.place(to)
	}
	return out
}

// awaited says whether a pod was planned on a node that takes no pods yet, or on a claim.
func (n *nominations) awaited(ctx context.Context, pod *corev1.Pod) bool {
	to := n.of(pod)
	return to != nil && (to.node == "" || !n.open(ctx, to.node))
}

// forget drops a claim.
func (n *nominations) forget(claim string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key := range n.claims[claim] {
		n.drop(key)
	}
}

// registered writes the node of a claim on the pods planned for it. Best while the node is still closed to pods: kube-scheduler keeps
// the room of nominated pods free, and pods of other nodes, which are there earlier or later, take what is not.
func (n *nominations) registered(ctx context.Context, claim, node string) {
	n.mu.Lock()
	all := values(n.claims[claim])
	for i, to := range all {
		all[i] = to.toNode(node)
		n.put(all[i])
	}
	n.mu.Unlock()
	n.write(ctx, n.turn(all...))
}

// bind writes existing nodes on the pods planned for them, now or by a consolidation, and remembers those of claims in flight.
func (n *nominations) bind(ctx context.Context, s *karpenter.Snapshot, bindings []packing.Binding) {
	var told, untold []*nomination
	put := func(pod *corev1.Pod, node string) {
		state := s.State(node)
		switch {
		case state == nil:
			n.planned(node, []*corev1.Pod{pod})
		case state.Node == nil:
			n.planned(state.NodeClaim.Name, []*corev1.Pod{pod})
		case pod.Status.NominatedNodeName == state.Node.Name:
			told = append(told, toClaim(pod, "").toNode(state.Node.Name))
		default:
			untold = append(untold, toClaim(pod, "").toNode(state.Node.Name))
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
	n.mu.Lock()
	for _, to := range slices.Concat(told, untold) {
		n.put(to)
	}
	n.mu.Unlock()
	n.turn(told...) // first, so that they do not lose their turn
	n.write(ctx, n.turn(untold...))
}

// turn takes out of some pods those that may be nominated to their nodes now.
func (n *nominations) turn(all ...*nomination) []*nomination {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(all, func(to *nomination) bool {
		if n.pods[to.key] != to {
			return true // planned otherwise meanwhile
		}
		for _, other := range n.nodes[to.node] {
			if to.held && !other.held && to.counts(other) {
				return true
			}
		}
		to.held = false
		return false
	})
}

// write patches the status of pods that still wait. A nomination is a hint: where it cannot be written, scheduling goes on
// without it.
func (n *nominations) write(ctx context.Context, all []*nomination) {
	workqueue.ParallelizeUntil(ctx, parallelWrites, len(all), func(i int) {
		to := all[i]
		pod := &corev1.Pod{}
		pod.Namespace, pod.Name = to.key.Namespace, to.key.Name
		// The UID in the patch makes the API server refuse it for another pod of the same name.
		patch := fmt.Sprintf(`{"metadata":{"uid":%q},"status":{"nominatedNodeName":%q}}`, to.uid, to.node)
		err := n.client.Status().Patch(ctx, pod, client.RawPatch(types.MergePatchType, []byte(patch)))
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && !apierrors.IsInvalid(err) {
			log.FromContext(ctx).Error(err, "writing the planned node on a pod", "pod", to.key, "node", to.node)
		}
	})
}
