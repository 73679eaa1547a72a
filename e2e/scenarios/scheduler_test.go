package scenarios

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/manifests"
)

// islandLabel keeps the machines and pods of one scenario apart from those of others in the same world.
const islandLabel = "scenario.supercargo.dev/island"

// machine boots an instance without a NodePool and returns its node once pods may run there.
func (w *world) machine(island, instanceType, capacityType, price string) *corev1.Node {
	w.t.Helper()
	region, err := w.cloud.Types(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	created, err := w.cloud.Create(w.t.Context(), &sim.CreateRequest{
		ClientToken:  fmt.Sprintf("%s-%s-%d", island, capacityType, time.Now().UnixNano()),
		Alternatives: []sim.Alternative{{InstanceType: instanceType, Zone: region.Zones[0], CapacityType: capacityType}},
		Labels:       map[string]string{islandLabel: island},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	node := &corev1.Node{}
	w.eventually("the machine registers and is ready", func(ctx context.Context) string {
		if err := w.Get(ctx, client.ObjectKey{Name: created.Instance.ID}, node); err != nil {
			return err.Error()
		}
		if !slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}) {
			return "not ready"
		}
		// In the place of Karpenter's lifecycle, and of the provisioner, which are not here.
		before := node.DeepCopy()
		node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return strings.HasPrefix(t.Key, "karpenter.sh/") })
		metav1.SetMetaDataAnnotation(&node.ObjectMeta, v1alpha1.PriceAnnotation, price)
		if err := w.Patch(ctx, node, client.MergeFrom(before)); err != nil {
			return err.Error()
		}
		return ""
	})
	w.eventually("nothing keeps pods off the machine", func(ctx context.Context) string {
		if err := w.Get(ctx, client.ObjectKeyFromObject(node), node); err != nil {
			return err.Error()
		}
		if len(node.Spec.Taints) > 0 {
			return fmt.Sprintf("taints %v", node.Spec.Taints)
		}
		return ""
	})
	return node
}

// on puts pods on an island, under our scheduler, with a word on spot.
func on(island string, spot v1alpha1.SpotTolerance) func(*corev1.PodTemplateSpec) {
	return func(p *corev1.PodTemplateSpec) {
		p.Spec.SchedulerName = sandbox.Scheduler
		p.Spec.NodeSelector = map[string]string{islandLabel: island}
		if spot != "" {
			metav1.SetMetaDataAnnotation(&p.ObjectMeta, v1alpha1.SpotAnnotation, string(spot))
		}
	}
}

// livePods are the pods of a deployment that are neither finished nor going.
func (w *world) livePods(app string) []corev1.Pod {
	w.t.Helper()
	return slices.DeleteFunc(list(w, &corev1.PodList{}, client.MatchingLabels{"app": app}).Items, func(p corev1.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	})
}

// placed is a condition: the pods of a deployment are bound to nodes in these numbers, by node name; "" is pending.
func (w *world) placed(app string, want map[string]int) func(context.Context) string {
	return func(context.Context) string {
		got := map[string]int{}
		for _, p := range w.livePods(app) {
			got[p.Spec.NodeName]++
		}
		if !maps.Equal(got, want) {
			return fmt.Sprintf("pods of %s are on %v, want %v", app, got, want)
		}
		return ""
	}
}

// metric returns the sum of a metric's series that have the labels given.
func (w *world) metric(p *sandbox.Process, name string, labels map[string]string) float64 {
	w.t.Helper()
	response, err := http.Get(p.Metrics())
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		matching := 0
		for _, l := range m.GetLabel() {
			if labels[l.GetName()] == l.GetValue() {
				matching++
			}
		}
		if matching == len(labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// TestScheduler runs our scheduler beside the default one on a real control plane, with the rights of its ServiceAccount.
func TestScheduler(t *testing.T) {
	w := newWorld(t)
	w.withoutPlacementPolicies()
	scheduler := w.component(sandbox.Scheduler)
	t.Run("without its CRDs it schedules, and picks them up when they appear", func(t *testing.T) { w.in(t).testMissingCRDs(scheduler) })
	t.Run("what pods say of spot is honoured", func(t *testing.T) { w.in(t).testSpot(scheduler) })
	t.Run("a workload keeps its on-demand base", func(t *testing.T) { w.in(t).testBase() })
	t.Run("a pod that waits for another capacity type goes when it may use what there is", func(t *testing.T) { w.in(t).testRequeue() })
	t.Run("the planned node wins", func(t *testing.T) { w.in(t).testPlanned(scheduler) })
	t.Run("pods gather where they will fit best once rightsized", func(t *testing.T) { w.in(t).testRightsized() })
	t.Run("a race with the default scheduler loses no pod", func(t *testing.T) { w.in(t).testRace(scheduler) })
}

// in returns the world for a subtest.
func (w *world) in(t *testing.T) *world {
	sub := *w
	sub.t = t
	return &sub
}

const policiesCRD = "placementpolicies.supercargo.dev"

func (w *world) withoutPlacementPolicies() {
	w.t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName(policiesCRD)
	if err := w.Delete(w.t.Context(), crd); err != nil {
		w.t.Fatal(err)
	}
	w.eventually("the CRD is gone", func(ctx context.Context) string {
		if err := w.Get(ctx, client.ObjectKeyFromObject(crd), crd); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Sprintf("it is there, %v", err)
		}
		return ""
	})
}

func (w *world) testMissingCRDs(scheduler *sandbox.Process) {
	node := w.machine("bare", "m6i.xlarge", "spot", "0.05")
	w.create(deployment("bare", 2, "100m", "100Mi", on("bare", "")))
	w.eventually("pods are placed without the CRD", w.placed("bare", map[string]int{node.Name: 2}))
	source := map[string]string{"resource": "placementpolicies"}
	if got := w.metric(scheduler, "supercargo_scheduler_source_synced", source); got != 0 {
		w.t.Errorf("the metric says that policies are read: %v", got)
	}
	objects, err := sandbox.Read(manifests.CRDs, "crds/supercargo.dev_placementpolicies.yaml")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.Sandbox.Apply(w.t.Context(), objects...); err != nil {
		w.t.Fatal(err)
	}
	w.eventually("the policies are read", func(context.Context) string {
		if got := w.metric(scheduler, "supercargo_scheduler_source_synced", source); got != 1 {
			return fmt.Sprintf("the metric is %v", got)
		}
		return ""
	})
}

func (w *world) testSpot(scheduler *sandbox.Process) {
	spot, onDemand := w.machine("spot", "m6i.xlarge", "spot", "0.05"), w.machine("spot", "m6i.xlarge", "on-demand", "0.20")
	w.create(
		deployment("spot-never", 3, "100m", "100Mi", on("spot", v1alpha1.SpotNever)),
		deployment("spot-require", 3, "100m", "100Mi", on("spot", v1alpha1.SpotRequire)),
		deployment("spot-prefer", 3, "100m", "100Mi", on("spot", v1alpha1.SpotPrefer)),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "steady", Annotations: map[string]string{v1alpha1.SpotAnnotation: "never"}}},
	)
	steady := deployment("spot-steady", 3, "100m", "100Mi", on("spot", ""))
	steady.Namespace = "steady"
	w.create(steady)
	w.eventually("never", w.placed("spot-never", map[string]int{onDemand.Name: 3}))
	w.eventually("never, by its namespace", w.placed("spot-steady", map[string]int{onDemand.Name: 3}))
	w.eventually("require", w.placed("spot-require", map[string]int{spot.Name: 3}))
	w.eventually("prefer", w.placed("spot-prefer", map[string]int{spot.Name: 3}))
	w.eventually("they run", func(context.Context) string {
		for _, app := range []string{"spot-never", "spot-steady", "spot-require", "spot-prefer"} {
			for _, p := range w.livePods(app) {
				if p.Status.Phase != corev1.PodRunning {
					return p.Name + " does not"
				}
			}
		}
		return ""
	})
	if got := w.metric(scheduler, "supercargo_scheduler_spot_pods_total", map[string]string{"tolerance": "never", "capacity": "spot"}); got != 0 {
		w.t.Errorf("%v pods that said never were put on spot", got)
	}
	if got := w.metric(scheduler, "supercargo_scheduler_spot_pods_total", map[string]string{"tolerance": "never", "capacity": "other"}); got < 6 {
		w.t.Errorf("the metric counts %v pods that said never", got)
	}
}

func (w *world) testBase() {
	spot, onDemand := w.machine("base", "m6i.xlarge", "spot", "0.05"), w.machine("base", "m6i.xlarge", "on-demand", "0.20")
	share := int32(75)
	w.create(&v1alpha1.PlacementPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "base"},
		Spec: v1alpha1.PlacementPolicySpec{
			PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "base"}},
			Spot:        v1alpha1.SpotPrefer, MinOnDemandReplicas: 2, MaxSpotSharePercent: &share,
		},
	})
	// The scheduler learns of the policy by its watch; a pod of its own shows when.
	w.eventually("the policy is known", func(ctx context.Context) string {
		probe := deployment("base", 1, "10m", "10Mi", on("base", ""))
		probe.Name = "probe"
		if err := w.Create(ctx, probe); client.IgnoreAlreadyExists(err) != nil {
			return err.Error()
		}
		return w.placed("base", map[string]int{onDemand.Name: 1})(ctx)
	})
	if err := w.Delete(w.t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: metav1.NamespaceDefault}}); err != nil {
		w.t.Fatal(err)
	}
	w.eventually("the probe is gone", w.placed("base", map[string]int{}))
	w.create(deployment("base", 12, "50m", "50Mi", on("base", "")))
	w.eventually("nine on spot, three not", func(ctx context.Context) string {
		got := map[string]int{}
		for _, p := range w.livePods("base") {
			got[p.Spec.NodeName]++
		}
		if got[""] > 0 || got[spot.Name]+got[onDemand.Name] != 12 {
			return fmt.Sprintf("placed %v", got)
		}
		return ""
	})
	onSpot := 0
	for _, p := range w.livePods("base") {
		if p.Spec.NodeName == spot.Name {
			onSpot++
		}
	}
	// Replicas arrive in waves; each is judged by those that exist, so that the share is a ceiling and the base a floor.
	if onSpot > 9 || onSpot < 6 {
		w.t.Errorf("%d of 12 replicas are on spot, want at most 9 and most of them", onSpot)
	}
}

func (w *world) testRequeue() {
	node := w.machine("wait", "m6i.xlarge", "spot", "0.05")
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "wait", Annotations: map[string]string{v1alpha1.SpotAnnotation: "never"}}})
	d := deployment("wait", 1, "100m", "100Mi", on("wait", ""))
	d.Namespace = "wait"
	w.create(d)
	w.eventually("the pod is told why it waits", w.eventOn("Pod", "wait-", "FailedScheduling", "spot capacity, which the pod may never use"))
	namespace := &corev1.Namespace{}
	if err := w.Get(w.t.Context(), client.ObjectKey{Name: "wait"}, namespace); err != nil {
		w.t.Fatal(err)
	}
	before := namespace.DeepCopy()
	namespace.Annotations[v1alpha1.SpotAnnotation] = "tolerate"
	if err := w.Patch(w.t.Context(), namespace, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
	w.eventually("the pod is placed", w.placed("wait", map[string]int{node.Name: 1}))
}

func (w *world) testPlanned(scheduler *sandbox.Process) {
	full, planned := w.machine("plan", "m6i.xlarge", "on-demand", "0.20"), w.machine("plan", "m6i.xlarge", "on-demand", "0.20")
	w.create(deployment("ballast", 4, "300m", "300Mi", on("plan", ""), func(p *corev1.PodTemplateSpec) {
		p.Spec.NodeSelector[corev1.LabelHostname] = full.Labels[corev1.LabelHostname]
	}))
	w.eventually("one node is fuller", w.placed("ballast", map[string]int{full.Name: 4}))
	w.create(deployment("free", 2, "100m", "100Mi", on("plan", "")))
	w.eventually("pods gather there", w.placed("free", map[string]int{full.Name: 2}))

	template := deployment("planned", 1, "100m", "100Mi", on("plan", "")).Spec.Template
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "planned", Namespace: metav1.NamespaceDefault, Labels: template.Labels}, Spec: template.Spec}
	pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "supercargo.dev/test"}}
	w.create(pod)
	before := pod.DeepCopy()
	pod.Status.NominatedNodeName = planned.Name
	if err := w.Status().Patch(w.t.Context(), pod, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
	before = pod.DeepCopy()
	pod.Spec.SchedulingGates = nil
	if err := w.Patch(w.t.Context(), pod, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
	w.eventually("the pod is where it was planned", w.placed("planned", map[string]int{planned.Name: 1}))
	w.eventually("it is counted", func(context.Context) string {
		if got := w.metric(scheduler, "supercargo_scheduler_planned_pods_total", map[string]string{"result": "honoured"}); got != 1 {
			return fmt.Sprintf("%v planned pods were honoured", got)
		}
		return ""
	})
}

func (w *world) testRightsized() {
	fat, lean := w.machine("size", "m6i.xlarge", "on-demand", "0.20"), w.machine("size", "m6i.xlarge", "on-demand", "0.20")
	to := func(n *corev1.Node) func(*corev1.PodTemplateSpec) {
		return func(p *corev1.PodTemplateSpec) {
			p.Spec.NodeSelector[corev1.LabelHostname] = n.Labels[corev1.LabelHostname]
		}
	}
	w.create(deployment("fat", 2, "1200m", "4Gi", on("size", ""), to(fat)), deployment("lean", 2, "800m", "3Gi", on("size", ""), to(lean)))
	w.eventually("fat", w.placed("fat", map[string]int{fat.Name: 2}))
	w.eventually("lean", w.placed("lean", map[string]int{lean.Name: 2}))
	w.create(deployment("before", 1, "100m", "100Mi", on("size", "")))
	w.eventually("the node that is fuller now", w.placed("before", map[string]int{fat.Name: 1}))

	scaler := &v1alpha1.WorkloadScaler{
		ObjectMeta: metav1.ObjectMeta{Name: "fat", Namespace: metav1.NamespaceDefault},
		Spec:       v1alpha1.WorkloadScalerSpec{TargetRef: v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "fat"}},
	}
	w.create(scaler)
	scaler.Status = v1alpha1.WorkloadScalerStatus{
		Policy: &v1alpha1.MatchedPolicy{Mode: v1alpha1.UpdateModeInPlace},
		Recommendation: &v1alpha1.Recommendation{
			ComputedAt: metav1.Now(), Hash: "h", Confidence: v1alpha1.Confidence{Level: v1alpha1.ConfidenceFull},
			Containers: []v1alpha1.ContainerRecommendation{{Name: "app", Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("200Mi"),
			}}},
		},
	}
	if err := w.Status().Update(w.t.Context(), scaler); err != nil {
		w.t.Fatal(err)
	}
	n := 0
	w.eventually("the node that will be fuller once the pods are rightsized", func(ctx context.Context) string {
		n++ // the scheduler hears of the recommendation at some moment; each try is a pod of its own
		app := fmt.Sprintf("after-%d", n)
		if err := w.Create(ctx, deployment(app, 1, "10m", "10Mi", on("size", ""))); err != nil {
			return err.Error()
		}
		w.eventually(app+" is placed", func(context.Context) string {
			if pods := w.livePods(app); len(pods) == 1 && pods[0].Spec.NodeName != "" {
				return ""
			}
			return "it is not"
		})
		return w.placed(app, map[string]int{lean.Name: 1})(ctx)
	})
}

// testRace lets both schedulers fill the same machines at the same moment. Neither sees what the other is about to bind, so that
// kubelets must refuse some pods; their ReplicaSets replace them, and in the end everything runs and no machine holds too much.
func (w *world) testRace(scheduler *sandbox.Process) {
	const machines, replicas = 4, 14
	for range machines {
		w.machine("race", "m6i.xlarge", "on-demand", "0.20")
	}
	// 2 × 14 × 450m = 12.6 of 4 × 3.9 cores: with eight places on each machine, four of 32 stay free.
	ours := deployment("race-ours", replicas, "450m", "64Mi", on("race", ""))
	theirs := deployment("race-theirs", replicas, "450m", "64Mi", on("race", ""), func(p *corev1.PodTemplateSpec) { p.Spec.SchedulerName = corev1.DefaultSchedulerName })
	w.create(ours, theirs)
	w.eventually("all replicas run", func(context.Context) string {
		for _, app := range []string{"race-ours", "race-theirs"} {
			running := 0
			for _, p := range w.livePods(app) {
				if p.Status.Phase == corev1.PodRunning {
					running++
				}
			}
			if running != replicas {
				return fmt.Sprintf("%d of %d pods of %s run", running, replicas, app)
			}
		}
		return ""
	})
	used := map[string]int64{}
	refused := map[string]int{}
	for _, p := range list(w, &corev1.PodList{}).Items {
		switch {
		case p.Status.Phase == corev1.PodRunning:
			for _, c := range p.Spec.Containers {
				used[p.Spec.NodeName] += c.Resources.Requests.Cpu().MilliValue()
			}
		case p.Status.Phase == corev1.PodFailed && strings.HasPrefix(p.Status.Reason, "OutOf"):
			refused[p.Spec.SchedulerName]++
		}
	}
	for _, n := range list(w, &corev1.NodeList{}, client.MatchingLabels{islandLabel: "race"}).Items {
		if allocatable := n.Status.Allocatable.Cpu().MilliValue(); used[n.Name] > allocatable {
			w.t.Errorf("%s runs %dm on %dm", n.Name, used[n.Name], allocatable)
		}
	}
	w.t.Logf("refused by kubelets: %v", refused)
	w.eventually("every refused pod of ours is counted", func(context.Context) string {
		if got := w.metric(scheduler, "supercargo_scheduler_refused_pods_total", nil); int(got) != refused[sandbox.Scheduler] {
			return fmt.Sprintf("the metric says %v, %d pods were refused", got, refused[sandbox.Scheduler])
		}
		return ""
	})
}
