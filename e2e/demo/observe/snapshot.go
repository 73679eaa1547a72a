package observe

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/cost"
	"supercargo.dev/recommender/demand"
)

// Snapshot is the cluster at one instant.
type Snapshot struct {
	At    time.Time
	Nodes []Node
	// Pods by what they do, over the namespaces that are watched; those of DaemonSets are left out.
	Pods PodCounts
	// Requested and Used by all pods on nodes, those of DaemonSets included.
	Requested, Used cost.Resources
	// Ledger is what the ledger says: the rate of the nodes seen, at the market's prices, and what it added up to.
	Ledger Money
	// Bill is what the cloud charges.
	Bill Money
	// Misplaced pods are on spot although they must not be, by namespace/name.
	Misplaced []string
	// Instances that the cloud runs, and Claims that stand for one.
	Instances, Claims int
	Scalers           []Scaler
	Counts            Counts
	Violations        []Violation
	// Quiet is for how long no machine was bought, started or removed.
	Quiet time.Duration
}

// Money is a rate and its sum so far, in USD.
type Money struct{ PerHour, Spent float64 }

// PodCounts counts pods.
type PodCounts struct {
	Total, Ready, Pending, Leaving int
	// Succeeded and Failed pods are of Jobs and not in Total.
	Succeeded, Failed int
}

// Node is a machine that is paid for, or asked for.
type Node struct {
	// Name of the node, or of the claim while there is none; Instance is the cloud's name.
	Name, Instance         string
	InstanceType, Zone     string
	Spot                   bool
	Phase                  Phase
	USDPerHour             float64 // NaN when not known
	Allocatable, Requested cost.Resources
	Pods                   int // DaemonSets' left out
	MovablePods            int // of ReplicaSets
}

// Fill is the share of the machine that is requested, of the scarcer resource.
func (n Node) Fill() float64 {
	share := func(part, of int64) float64 {
		if of == 0 {
			return 0
		}
		return float64(part) / float64(of)
	}
	return max(share(n.Requested.MilliCPU, n.Allocatable.MilliCPU), share(n.Requested.MemoryBytes, n.Allocatable.MemoryBytes))
}

// Scaler is the state of one WorkloadScaler.
type Scaler struct {
	Namespace, Workload string
	Mode                v1alpha1.UpdateMode
	Confidence          v1alpha1.ConfidenceLevel // empty while there is no recommendation
	Pods, UpToDate      int32
	Resized, Recreated  int64
	// Message says what is in the way, where the scaler says so.
	Message string
}

// Settled says that nothing is under way: every pod runs and no machine comes or goes.
func (s Snapshot) Settled() bool {
	return s.Pods.Ready == s.Pods.Total && s.Pods.Pending == 0 && s.Pods.Leaving == 0 && s.NotReady() == 0 && s.Instances == s.Claims
}

// NotReady counts machines that come or go.
func (s Snapshot) NotReady() int {
	n := 0
	for i := range s.Nodes {
		if s.Nodes[i].Phase != Ready {
			n++
		}
	}
	return n
}

// Spot counts spot machines.
func (s Snapshot) Spot() int {
	n := 0
	for i := range s.Nodes {
		if s.Nodes[i].Spot {
			n++
		}
	}
	return n
}

// snapshot is the world in terms of a Snapshot, and as nodes and pods that the ledger charges. prices may be nil.
func (w *world) snapshot(now time.Time, prices *sim.Prices, used map[string]cost.Resources) (Snapshot, []cost.Node, []cost.Pod) {
	s := Snapshot{At: now, Counts: w.counts, Violations: slices.Clone(w.budgets.all), Quiet: now.Sub(w.changedAt)}
	byNode := map[string]*Node{}
	var machines []cost.Node
	for _, claim := range w.claims {
		n := machine(claim, prices)
		if node := w.nodes[claim.Status.NodeName]; node != nil {
			n.Allocatable = resources(node.Status.Allocatable)
		}
		s.Nodes = append(s.Nodes, n)
		if n.Phase != Launching && n.Phase != Terminating {
			s.Claims++
			machines = append(machines, cost.Node{
				Name: n.Name, PricePerHour: n.USDPerHour, Capacity: resources(claim.Status.Capacity), Spot: n.Spot,
			})
		}
	}
	slices.SortFunc(s.Nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	for i := range s.Nodes {
		byNode[s.Nodes[i].Name] = &s.Nodes[i]
	}
	charged := w.charge(&s, byNode, used)
	for _, scaler := range w.scalers {
		s.Scalers = append(s.Scalers, scalerOf(scaler))
	}
	slices.SortFunc(s.Scalers, func(a, b Scaler) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Workload, b.Workload))
	})
	return s, machines, charged
}

// charge puts the pods into the snapshot and on its nodes, and returns those that the ledger charges.
func (w *world) charge(s *Snapshot, byNode map[string]*Node, used map[string]cost.Resources) []cost.Pod {
	var charged []cost.Pod
	for key, pod := range w.pods {
		daemon := ownedBy(pod, "DaemonSet")
		if !daemon {
			s.Pods.add(pod)
		}
		node := byNode[pod.Spec.NodeName]
		if pod.Spec.NodeName == "" || node == nil || over(pod) {
			continue
		}
		requested, usage := resources(demand.Enforced(pod)), used[key.String()]
		node.Requested = sum(node.Requested, requested)
		s.Requested, s.Used = sum(s.Requested, requested), sum(s.Used, usage)
		if !daemon {
			node.Pods++
		}
		if ownedBy(pod, "ReplicaSet") {
			node.MovablePods++
		}
		if node.Spot && mustNotBeOnSpot(pod) {
			s.Misplaced = append(s.Misplaced, key.String())
		}
		if node.Phase != Launching && node.Phase != Terminating {
			charged = append(charged, cost.Pod{
				Namespace: pod.Namespace, Name: pod.Name, Node: node.Name, Workload: pod.Labels["app.kubernetes.io/name"], Request: requested, Usage: usage,
			})
		}
	}
	return charged
}

func (c *PodCounts) add(pod *corev1.Pod) {
	switch {
	case pod.Status.Phase == corev1.PodSucceeded:
		c.Succeeded++
		return
	case pod.Status.Phase == corev1.PodFailed:
		c.Failed++
		return
	}
	c.Total++
	switch {
	case !pod.DeletionTimestamp.IsZero():
		c.Leaving++
	case ready(pod):
		c.Ready++
	case pod.Spec.NodeName == "":
		c.Pending++
	}
}

func mustNotBeOnSpot(pod *corev1.Pod) bool {
	return v1alpha1.SpotTolerance(pod.Annotations[v1alpha1.SpotAnnotation]) == v1alpha1.SpotNever
}

func ready(pod *corev1.Pod) bool {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func over(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func machine(claim *karpv1.NodeClaim, prices *sim.Prices) Node {
	labels := claim.Labels
	n := Node{
		Name: cmp.Or(claim.Status.NodeName, claim.Name), Phase: phaseOf(claim),
		InstanceType: labels[corev1.LabelInstanceTypeStable], Zone: labels[corev1.LabelTopologyZone],
		Spot:        labels[karpv1.CapacityTypeLabelKey] == karpv1.CapacityTypeSpot,
		Allocatable: resources(claim.Status.Allocatable), USDPerHour: math.NaN(),
	}
	if id := claim.Status.ProviderID; id != "" {
		n.Instance = id[strings.LastIndexByte(id, '/')+1:]
	}
	if prices == nil {
		return n
	}
	price := prices.OnDemand[n.InstanceType]
	if n.Spot {
		price = prices.Spot[n.InstanceType][n.Zone]
	}
	if price > 0 { // absent is unknown, and never free
		n.USDPerHour = price
	}
	return n
}

func resources(list corev1.ResourceList) cost.Resources {
	return cost.Resources{MilliCPU: list.Cpu().MilliValue(), MemoryBytes: list.Memory().Value()}
}

func sum(a, b cost.Resources) cost.Resources {
	return cost.Resources{MilliCPU: a.MilliCPU + b.MilliCPU, MemoryBytes: a.MemoryBytes + b.MemoryBytes}
}

func scalerOf(o *v1alpha1.WorkloadScaler) Scaler {
	s := Scaler{
		Namespace: o.Namespace, Workload: o.Spec.TargetRef.Name, Pods: o.Status.Applied.Pods, UpToDate: o.Status.Applied.UpToDate,
		Resized: o.Status.Applied.Resized, Recreated: o.Status.Applied.Recreated,
	}
	if o.Status.Policy != nil {
		s.Mode = o.Status.Policy.Mode
	}
	if o.Status.Recommendation != nil {
		s.Confidence = o.Status.Recommendation.Confidence.Level
	}
	for i := range o.Status.Conditions {
		c := &o.Status.Conditions[i]
		if c.Status == metav1.ConditionFalse && (c.Type == v1alpha1.ConditionApplied || c.Type == v1alpha1.ConditionRecommended) {
			s.Message = c.Type + " " + c.Reason + ": " + c.Message
		}
	}
	return s
}
