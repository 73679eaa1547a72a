package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/e2e/cluster/kubelet"
	"supercargo.dev/e2e/demo/apps"
)

const (
	// namespace of all workloads.
	namespace = "bench"
	// nameLabel carries a workload's name on its objects and pods.
	nameLabel = "app.kubernetes.io/name"
	// container is the name of every pod's only container.
	container = "app"
	// gracePeriod of pods in seconds: what a service takes to finish its requests.
	gracePeriod = 5
	// minHealthy is what disruption budgets demand.
	minHealthy = "80%"
)

// kind is a sort of workload. Shares of all kinds sum to 1.
type kind struct {
	name string
	// share of all pods, divided among so many Deployments.
	share     float64
	workloads int
	// Requests are drawn between these, evenly.
	milliCPU, memoryMi [2]int64
	constrain          func(spec *corev1.PodSpec, selector *metav1.LabelSelector)
}

// kinds are what clusters run: mostly small services, some that must be spread, some that must not lose their machine, some large
// work that may.
var kinds = []kind{
	{name: "web", share: 0.28, workloads: 6, milliCPU: [2]int64{100, 400}, memoryMi: [2]int64{128, 512}, constrain: spread(corev1.LabelTopologyZone, corev1.ScheduleAnyway)},
	{name: "api", share: 0.22, workloads: 5, milliCPU: [2]int64{200, 750}, memoryMi: [2]int64{256, 1024}, constrain: spread(corev1.LabelTopologyZone, corev1.DoNotSchedule)},
	{name: "cache", share: 0.08, workloads: 3, milliCPU: [2]int64{100, 300}, memoryMi: [2]int64{2048, 5120}, constrain: none},
	{name: "quorum", share: 0.02, workloads: 4, milliCPU: [2]int64{250, 500}, memoryMi: [2]int64{1024, 2048}, constrain: apart},
	{name: "ledger", share: 0.2, workloads: 4, milliCPU: [2]int64{250, 1000}, memoryMi: [2]int64{512, 2048}, constrain: onDemand},
	{name: "batch", share: 0.2, workloads: 4, milliCPU: [2]int64{500, 1750}, memoryMi: [2]int64{1024, 3072}, constrain: none},
}

func none(*corev1.PodSpec, *metav1.LabelSelector) {}

func spread(key string, when corev1.UnsatisfiableConstraintAction) func(*corev1.PodSpec, *metav1.LabelSelector) {
	return func(spec *corev1.PodSpec, selector *metav1.LabelSelector) {
		spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: when, LabelSelector: selector,
		}}
	}
}

// apart forbids two pods of the workload on one node.
func apart(spec *corev1.PodSpec, selector *metav1.LabelSelector) {
	spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname, LabelSelector: selector}},
	}}
}

// onDemand keeps pods off spot by a node selector, which both engines know, rather than by Supercargo's annotation.
func onDemand(spec *corev1.PodSpec, _ *metav1.LabelSelector) {
	spec.NodeSelector = map[string]string{karpv1.CapacityTypeLabelKey: karpv1.CapacityTypeOnDemand}
}

// Workload is a Deployment and what it starts with.
type Workload struct {
	Name               string
	Replicas           int32
	MilliCPU, MemoryMi int64
	// UsedMilliCPU and UsedMemoryMi are what a pod really uses, on average over a day.
	UsedMilliCPU, UsedMemoryMi int64
	kind                       *kind
}

// What pods use of their requests, as shares: as in the demo, and as in studies of clusters that nobody rightsized.
const (
	minCPUShare, maxCPUShare       = 0.10, 0.30
	minMemoryShare, maxMemoryShare = 0.40, 0.70
)

// minPods leave none of the workloads without one.
const minPods = 100

// Workloads are those of a seed, with so many pods together. Each has a pod at least.
func Workloads(seed uint64, pods int) ([]Workload, error) {
	if pods < minPods {
		return nil, fmt.Errorf("%d pods are too few to be of every kind; it must be %d at least", pods, minPods)
	}
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // nothing here is a secret
	between := func(limits [2]int64, step int64) int64 {
		return (limits[0] + random.Int64N(limits[1]-limits[0]+1)) / step * step
	}
	var all []Workload
	left := pods
	for i := range kinds {
		k := &kinds[i]
		total := max(k.workloads, int(k.share*float64(pods)+0.5))
		for n := range k.workloads {
			w := Workload{
				Name: fmt.Sprintf("%s-%d", k.name, n), kind: k, Replicas: int32(share(total, k.workloads, n)), //nolint:gosec // far from overflow
				MilliCPU: between(k.milliCPU, 10), MemoryMi: between(k.memoryMi, 16),
			}
			w.UsedMilliCPU = int64(float64(w.MilliCPU) * (minCPUShare + (maxCPUShare-minCPUShare)*random.Float64()))
			w.UsedMemoryMi = int64(float64(w.MemoryMi) * (minMemoryShare + (maxMemoryShare-minMemoryShare)*random.Float64()))
			all = append(all, w)
			left -= int(w.Replicas)
		}
	}
	// What rounding left over, or took too much of, is the first workload's: it has the most pods.
	all[0].Replicas += int32(left) //nolint:gosec // far from overflow
	return all, nil
}

// share is the n-th of parts that are as equal as whole numbers can be.
func share(total, parts, n int) int { return (n+1)*total/parts - n*total/parts }

// Objects of the workload: its disruption budget, where it has pods enough for one, and its Deployment.
func (w *Workload) Objects(scheduler string) ([]client.Object, error) {
	usage, err := w.usage()
	if err != nil {
		return nil, err
	}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{nameLabel: w.Name}}
	labels := map[string]string{nameLabel: w.Name, apps.TierLabel: apps.TierService}
	spec := corev1.PodSpec{
		SchedulerName:                 scheduler,
		TerminationGracePeriodSeconds: ptr.To(int64(gracePeriod)),
		Containers: []corev1.Container{{
			Name: container, Image: namespace + "/" + w.Name,
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU:    *resource.NewMilliQuantity(w.MilliCPU, resource.DecimalSI),
				corev1.ResourceMemory: *resource.NewQuantity(w.MemoryMi<<20, resource.BinarySI),
			}},
		}},
	}
	w.kind.constrain(&spec, selector)
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: w.Name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(w.Replicas), Selector: selector,
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{kubelet.AnnotationUsage: usage}},
				Spec:       spec,
			},
		},
	}
	if w.Replicas < 2 {
		return []client.Object{deployment}, nil
	}
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: w.Name},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: selector, MinAvailable: ptr.To(intstr.FromString(minHealthy))},
	}
	if w.Replicas < 5 { // a share of few is all of them
		budget.Spec.MinAvailable, budget.Spec.MaxUnavailable = nil, ptr.To(intstr.FromInt32(1))
	}
	return []client.Object{budget, deployment}, nil
}

// usage declares what a pod uses, as the simulated kubelets want it.
func (w *Workload) usage() (string, error) {
	type profile struct {
		CPU    string  `json:"cpu"`
		Memory string  `json:"memory"`
		Daily  float64 `json:"daily"`
		Noise  float64 `json:"noise"`
	}
	text, err := json.Marshal(map[string]profile{container: {
		CPU: fmt.Sprintf("%dm", w.UsedMilliCPU), Memory: fmt.Sprintf("%dMi", w.UsedMemoryMi), Daily: 0.4, Noise: 0.05,
	}})
	if err != nil {
		return "", fmt.Errorf("declaring the usage of %s, %w", w.Name, err)
	}
	return string(text), nil
}

// sizes of the machines to buy, larger ones than the demo's: there are more pods.
func sizes() []string { return []string{"large", "xlarge", "2xlarge", "4xlarge"} }

// Pool is the NodePool of every run and its node class, in the families and zones of the demo.
func Pool(o Options) []client.Object {
	return apps.NewPool(apps.PoolOptions{Sizes: sizes(), ConsolidateAfter: o.ConsolidateAfter.String(), Budget: o.DisruptionBudget})
}
