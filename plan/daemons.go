package plan

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/plan/dump"
)

// findDaemons collects what every new node has to carry: daemonsets from the input, or from their pods where the input lacks
// them, and static pods that run on most nodes that are replaced.
func (c *cluster) findDaemons(objects *dump.Objects, sizes *sizes) {
	known := map[string]bool{}
	for i := range objects.Workloads {
		w := &objects.Workloads[i]
		if w.Kind == "DaemonSet" {
			known["DaemonSet "+w.Namespace+"/"+w.Name] = true
			c.daemons = append(c.daemons, sizes.template(w.Pod))
		}
	}
	inferred := 0
	for _, p := range c.pods {
		if p.role != daemon || known[p.owner] {
			continue
		}
		known[p.owner] = true
		inferred++
		c.daemons = append(c.daemons, sizes.template(unbound(p.Pod)))
	}
	if inferred > 0 {
		c.notef("%d daemonsets are not in the input; what they ask for is taken from one of their pods each", inferred)
	}
	c.staticPods()
}

// staticPods takes a static pod that runs on at least half of the nodes for overhead, and ignores the others: they are made
// by files on nodes that the plan does not have.
func (c *cluster) staticPods() {
	count := map[string]int{}
	first := map[string]*corev1.Pod{}
	replaced := 0
	for _, n := range c.nodes {
		if n.keep != "" {
			continue
		}
		replaced++
		for _, p := range n.pods {
			if p.role != static {
				continue
			}
			name := p.Namespace + "/" + strings.TrimSuffix(p.Name, "-"+n.Name)
			if count[name]++; first[name] == nil {
				first[name] = p.Pod
			}
		}
	}
	names := make([]string, 0, len(count))
	dropped := 0
	for name, n := range count {
		if 2*n >= replaced {
			names = append(names, name)
		} else {
			dropped += n
		}
	}
	slices.Sort(names)
	for _, name := range names {
		template := unbound(first[name])
		template.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		c.daemons = append(c.daemons, template)
	}
	if dropped > 0 {
		c.notef("%d static pods run on less than half of the nodes and are not planned for", dropped)
	}
}

// unbound is a daemon's pod without what ties it to its node.
func unbound(p *corev1.Pod) *corev1.Pod {
	out := p.DeepCopy()
	out.Name, out.UID = "", ""
	out.Spec.NodeName = ""
	out.Status = corev1.PodStatus{}
	if a := out.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		// The controller replaces the node's name in the terms that the daemonset itself has.
		var terms []corev1.NodeSelectorTerm
		for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			if term.MatchFields = nil; len(term.MatchExpressions) > 0 {
				terms = append(terms, term)
			}
		}
		a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
		if len(terms) > 0 {
			a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: terms}
		}
	}
	return out
}

func controllerKind(p *corev1.Pod) string {
	if controller := metav1.GetControllerOfNoCopy(p); controller != nil {
		return controller.Kind
	}
	return ""
}
