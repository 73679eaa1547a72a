package oracle

import (
	"fmt"
	"math"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"supercargo.dev/provisioner/packing"
)

// world is the cluster that a plan makes, in the scheduler's terms.
type world struct {
	problem   *packing.Problem
	plan      *packing.Plan
	nodes     []*corev1.Node
	byName    map[string]*corev1.Node
	residents []*corev1.Pod
	placed    []*corev1.Pod
	index     []int // of placed pods in the problem
	storage   storage
	// sample of the placed pods that are looked at; nil means all.
	sample map[*corev1.Pod]bool
}

func newWorld(problem *packing.Problem, plan *packing.Plan) (*world, []Violation) {
	w := &world{problem: problem, plan: plan, byName: map[string]*corev1.Node{}}
	var out []Violation
	for i := range problem.Nodes {
		n := &problem.Nodes[i]
		w.node(n.Name, n.Labels, n.Taints, n.Allocatable)
		for k := range n.Pods {
			w.residents = append(w.residents, w.on(&n.Pods[k], n.Name, fmt.Sprintf("resident-%d-%d", i, k)))
		}
		w.storage.attach(n.Name, n.Attached)
		if len(n.Daemons) > 0 {
			w.residents = append(w.residents, w.on(&packing.Pod{Pod: &corev1.Pod{}, Requests: n.Daemons}, n.Name, "daemons-"+n.Name))
		}
	}
	at := make([]string, len(problem.Pods))
	seat := func(pod int, node string) {
		if at[pod] != "" {
			out = append(out, Violation{problem.Pods[pod].Name, "plan", "placed twice"})
		}
		at[pod] = node
	}
	for _, b := range plan.Bindings {
		seat(b.Pod, b.Node)
	}
	for i := range plan.Nodes {
		name := fmt.Sprintf("new-%d", i)
		if why := w.buy(name, &plan.Nodes[i]); why != "" {
			out = append(out, Violation{name, "plan", why})
		}
		for _, pod := range plan.Nodes[i].Pods {
			seat(pod, name)
		}
	}
	for _, u := range plan.Unplaced {
		seat(u.Pod, "unplaced")
	}
	for i, node := range at {
		switch node {
		case "":
			out = append(out, Violation{problem.Pods[i].Name, "plan", "neither placed nor reported"})
		case "unplaced":
		default:
			pod := w.on(&problem.Pods[i], node, fmt.Sprintf("pod-%d", i))
			pod.DeletionTimestamp = nil // of a pod that is going it is the successor that is placed
			w.placed = append(w.placed, pod)
			w.index = append(w.index, i)
		}
	}
	return w, out
}

// draw chooses n of the placed pods to look at.
func (w *world) draw(n int, seed uint64) {
	if n >= len(w.placed) {
		return
	}
	w.sample = make(map[*corev1.Pod]bool, n)
	for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(len(w.placed))[:n] {
		w.sample[w.placed[i]] = true
	}
}

func (w *world) looked(pod *corev1.Pod) bool { return w.sample == nil || w.sample[pod] }

func (w *world) node(name string, labels map[string]string, taints []corev1.Taint, allocatable corev1.ResourceList) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
	for k, v := range labels {
		n.Labels[k] = v
	}
	n.Spec.Taints = taints
	n.Status.Allocatable = allocatable
	w.nodes = append(w.nodes, n)
	w.byName[name] = n
	return n
}

// buy adds a planned node with the daemonsets that would run on it.
func (w *world) buy(name string, p *packing.PlannedNode) string {
	for i := range w.problem.Pools {
		pool := &w.problem.Pools[i]
		if pool.Name != p.Pool {
			continue
		}
		for k := range pool.Types {
			if pool.Types[k].Name != p.InstanceType {
				continue
			}
			n := w.node(name, p.Labels, pool.Taints, pool.Types[k].Allocatable)
			for d, ds := range w.problem.DaemonSets {
				if runsOn(ds, n) {
					w.residents = append(w.residents, w.on(&packing.Pod{Pod: ds}, name, fmt.Sprintf("daemon-%d-%s", d, name)))
				}
			}
			return ""
		}
	}
	return "unknown pool or instance type"
}

func runsOn(pod *corev1.Pod, n *corev1.Node) bool {
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(n); err != nil || !ok {
		return false
	}
	for i := range n.Spec.Taints {
		if n.Spec.Taints[i].Effect == corev1.TaintEffectPreferNoSchedule {
			continue
		}
		ok := false
		for k := range pod.Spec.Tolerations {
			ok = ok || pod.Spec.Tolerations[k].ToleratesTaint(klog.Background(), &n.Spec.Taints[i], false)
		}
		if !ok {
			return false
		}
	}
	return true
}

// on copies a pod as placed on a node, with the requests it is packed with.
func (w *world) on(p *packing.Pod, node, uid string) *corev1.Pod {
	out := p.DeepCopy()
	out.UID = types.UID(uid)
	if out.Name == "" {
		out.Name = uid
	}
	out.Spec.NodeName = node
	w.storage.mount(out, p)
	if p.Requests != nil {
		out.Status = corev1.PodStatus{}
		out.Spec.InitContainers, out.Spec.Overhead, out.Spec.Resources = nil, nil, nil
		if len(out.Spec.Containers) == 0 {
			out.Spec.Containers = []corev1.Container{{Name: "main"}}
		}
		for i := range out.Spec.Containers {
			out.Spec.Containers[i].Resources = corev1.ResourceRequirements{}
		}
		list := p.Requests.DeepCopy()
		delete(list, corev1.ResourcePods)
		out.Spec.Containers[0].Resources.Requests = list
	}
	return out
}

// volumes says why pod i's own node terms refuse its node.
func (w *world) volumes(i int) string {
	p := &w.problem.Pods[w.index[i]]
	if p.NodeTerms == nil {
		return ""
	}
	s, err := nodeaffinity.NewNodeSelector(&corev1.NodeSelector{NodeSelectorTerms: p.NodeTerms})
	if err != nil {
		return err.Error()
	}
	if !s.Match(w.byName[w.placed[i].Spec.NodeName]) {
		return "node terms do not match"
	}
	return ""
}

// purchases checks limits, availability and requirements of what is bought.
func (w *world) purchases() []Violation {
	var out []Violation
	for i := range w.problem.Pools {
		pool := &w.problem.Pools[i]
		bought := corev1.ResourceList{}
		for k := range w.plan.Nodes {
			n := &w.plan.Nodes[k]
			if n.Pool != pool.Name {
				continue
			}
			if why := w.offered(pool, n); why != "" {
				out = append(out, Violation{fmt.Sprintf("new-%d", k), "plan", why})
			}
			for t := range pool.Types {
				if pool.Types[t].Name == n.InstanceType {
					add(bought, pool.Types[t].Capacity)
				}
			}
			add(bought, corev1.ResourceList{packing.ResourceNodes: *resource.NewQuantity(1, resource.DecimalSI)})
		}
		for name, limit := range pool.Limits {
			if q := bought[name]; q.Cmp(limit) > 0 {
				out = append(out, Violation{pool.Name, "limits", fmt.Sprintf("%s of %s bought, limit %s", q.String(), name, limit.String())})
			}
		}
	}
	return out
}

func add(to, list corev1.ResourceList) {
	for name, q := range list {
		sum := to[name]
		sum.Add(q)
		to[name] = sum
	}
}

// offered says what is wrong with a planned node and its alternatives.
func (w *world) offered(pool *packing.Pool, n *packing.PlannedNode) string {
	if len(n.Alternatives) == 0 {
		return "no alternatives, not even itself"
	}
	values := map[string]map[string]bool{}
	for i, a := range n.Alternatives {
		if i == 0 && (a.InstanceType != n.InstanceType || a.Zone != n.Zone || a.CapacityType != n.CapacityType) {
			return "the first alternative is not the choice"
		}
		found := false
		for t := range pool.Types {
			it := &pool.Types[t]
			for o := range it.Offerings {
				of := &it.Offerings[o]
				if it.Name == a.InstanceType && of.Zone == a.Zone && of.CapacityType == a.CapacityType && of.Available &&
					(of.Price == a.Price || math.IsNaN(of.Price) && math.IsNaN(a.Price)) {
					found = true
					for k, v := range it.Labels {
						if values[k] == nil {
							values[k] = map[string]bool{}
						}
						values[k][v] = true
					}
					for name, q := range n.Requests {
						if have := it.Allocatable[name]; q.Cmp(have) > 0 && a.InstanceType == n.InstanceType {
							return fmt.Sprintf("requests %s of %s, allocatable %s", q.String(), name, have.String())
						}
					}
				}
			}
		}
		if !found {
			return fmt.Sprintf("alternative %+v is not on offer", a)
		}
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: n.Labels}}
	for _, r := range pool.Requirements {
		s, err := nodeaffinity.NewNodeSelector(&corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: r.Key, Operator: r.Operator, Values: r.Values}},
		}}})
		if err != nil {
			return err.Error()
		}
		if !s.Match(node) {
			return fmt.Sprintf("labels do not satisfy the pool's requirement on %s", r.Key)
		}
		if r.MinValues != nil && len(values[r.Key]) < *r.MinValues {
			return fmt.Sprintf("%d values of %s among alternatives, minValues %d", len(values[r.Key]), r.Key, *r.MinValues)
		}
	}
	return ""
}
