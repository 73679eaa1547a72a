package consolidation

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/provisioner/packing"
)

func one() *resource.Quantity { return resource.NewQuantity(1, resource.DecimalSI) }

// commit applies a move to the fleet: the nodes go, their pods are where the
// move puts them, and what it launches stays for the rest of the plan.
func (h *hunt) commit(set []*member, move Move, pods []placed) {
	f := h.fleet
	for _, m := range set {
		m.gone = true
		if left, limited := f.budgets[m.Pool]; limited {
			f.budgets[m.Pool] = left - 1
		}
	}
	for _, b := range move.Bindings {
		f.place(b.Node, move.Pods[b.Pod], pods[b.Pod].cost)
	}
	for i := range move.Launch {
		f.launch(&move.Launch[i], move.Pods)
	}
	h.moves = append(h.moves, move)
}

// launch adds a replacement as a node in flight. It is full: were later moves to
// use its room, they would depend on its launch. Its pods still count for rules
// about other pods.
func (f *fleet) launch(n *packing.PlannedNode, pods []packing.Pod) {
	node := f.inFlight(n, pods)
	for _, k := range n.Pods {
		node.Pods = append(node.Pods, pods[k])
	}
	f.launched = append(f.launched, node)
	f.price += n.Price
}

// inFlight is a planned node with room for just the pods that are planned on it.
func (f *fleet) inFlight(n *packing.PlannedNode, pods []packing.Pod) packing.Node {
	f.seq++
	node := packing.Node{Name: fmt.Sprintf("replacement-%d", f.seq), Labels: maps.Clone(n.Labels), Price: n.Price, Allocatable: n.Requests}
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	node.Labels[corev1.LabelHostname] = node.Name
	for i := range f.state.Pools {
		if f.state.Pools[i].Name == n.Pool {
			node.Taints = f.state.Pools[i].Taints
		}
	}
	own := corev1.ResourceList{}
	for _, k := range n.Pods {
		for name, q := range pods[k].Requests {
			sum := own[name]
			sum.Add(q)
			own[name] = sum
		}
	}
	// What the plan requests beyond the pods is the daemonsets' share.
	node.Daemons = corev1.ResourceList{}
	for name, q := range n.Requests {
		q = q.DeepCopy()
		if name == corev1.ResourcePods {
			q.Sub(*resource.NewQuantity(int64(len(n.Pods)), resource.DecimalSI))
		} else if sum, ok := own[name]; ok {
			q.Sub(sum)
		}
		if q.Sign() > 0 {
			node.Daemons[name] = q
		}
	}
	return node
}
