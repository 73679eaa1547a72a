package scenarios

import (
	"context"
	"fmt"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/provisioner/provisioning"
)

// TestASpreadOverZonesThatIsRequiredIsKept buys nodes in every zone that the pool has.
func TestASpreadOverZonesThatIsRequiredIsKept(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	zones := w.zones()
	w.create(nodePool("default", noConsolidation, requiring(corev1.LabelTopologyZone, zones...))...)
	w.create(deployment("web", 7, "900m", "1Gi", spreadOver(corev1.LabelTopologyZone, corev1.DoNotSchedule)))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 7))
	count := w.zonesOf("web")
	for _, zone := range zones {
		if n := count[zone]; n < 2 || n > 3 {
			t.Errorf("7 pods are in zones %v, want 2 or 3 in each of %v", count, zones)
		}
	}
}

// TestPodsThatMustBeSpreadFillOneNodeInEachZone: kube-scheduler counts pods that are nominated to a node as if they ran there, and those of
// other nodes not at all. Were all nominated at once, it would find each zone ahead of the others, and bind none of them.
func TestPodsThatMustBeSpreadFillOneNodeInEachZone(t *testing.T) {
	w := newWorld(t, realStart)
	w.withProvisioner()
	zones := w.zones()
	w.create(nodePool("default", noConsolidation, onlyType("m6i.2xlarge"), requiring(corev1.LabelTopologyZone, zones...))...)
	const replicas = 36 // 12 fill a node
	w.create(deployment("web", replicas, "600m", "1Gi", spreadOver(corev1.LabelTopologyZone, corev1.DoNotSchedule)))
	w.eventually("all pods run", w.allRun(metav1.NamespaceDefault, replicas))
	w.boughtOnly(len(zones))
	count := w.zonesOf("web")
	for _, zone := range zones {
		if count[zone] != replicas/len(zones) {
			t.Errorf("pods are in zones %v, want %d in each of %v", count, replicas/len(zones), zones)
		}
	}
}

// spreadOver spreads the pods of a workload as evenly as can be.
func spreadOver(key string, when corev1.UnsatisfiableConstraintAction) func(*corev1.PodTemplateSpec) {
	return func(p *corev1.PodTemplateSpec) {
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: when, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels},
		}}
	}
}

// zonesOf counts the pods of a workload by the zone that they run in.
func (w *world) zonesOf(app string) map[string]int {
	w.t.Helper()
	count := map[string]int{}
	for _, p := range w.livePods(app) {
		count[w.nodeOf(&p).Labels[corev1.LabelTopologyZone]]++
	}
	return count
}

// TestReplicasThatRefuseToShareANodeGetOneEach neither more nodes nor fewer.
func TestReplicasThatRefuseToShareANodeGetOneEach(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.create(nodePool("default", noConsolidation)...)
	w.create(deployment("web", 3, "200m", "256Mi", func(p *corev1.PodTemplateSpec) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels},
			}},
		}}
	}))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
	w.boughtOnly(3)
}

// TestAPodGetsANodeInTheZoneOfItsVolume although that zone is not the cheapest.
func TestAPodGetsANodeInTheZoneOfItsVolume(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.create(nodePool("default", noConsolidation)...)
	for _, zone := range w.zones() {
		name := "db-" + zone
		w.create(volumeIn(zone, name)...)
		w.create(deployment(name, 1, "900m", "1Gi", func(p *corev1.PodTemplateSpec) {
			p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
			}}}
		}))
	}
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
	for _, zone := range w.zones() {
		for _, p := range w.livePods("db-" + zone) {
			if is := w.nodeOf(&p).Labels[corev1.LabelTopologyZone]; is != zone {
				t.Errorf("the pod with a volume in %s runs in %s", zone, is)
			}
		}
	}
}

// TestATaintedPoolIsForThePodsThatTolerateIt and the others are told so.
func TestATaintedPoolIsForThePodsThatTolerateIt(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.create(nodePool("batch", noConsolidation, func(np *karpv1.NodePool) {
		np.Spec.Template.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "batch", Effect: corev1.TaintEffectNoSchedule}}
	})...)
	w.create(deployment("web", 2, "900m", "1Gi"), deployment("job", 2, "900m", "1Gi", func(p *corev1.PodTemplateSpec) {
		p.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpEqual, Value: "batch", Effect: corev1.TaintEffectNoSchedule}}
	}))
	w.eventually("the pods that tolerate it run", w.allRun(metav1.NamespaceDefault, 2))
	w.eventually("the others are told of the taint", w.eventOn("Pod", "web", provisioning.ReasonNoPlace, "taint"))
	w.create(nodePool("default", noConsolidation)...)
	w.eventually("all pods run", w.allRun(metav1.NamespaceDefault, 4))
	for _, p := range w.livePods("web") {
		if pool := w.nodeOf(&p).Labels[karpv1.NodePoolLabelKey]; pool != "default" {
			t.Errorf("pod %s runs in pool %s", p.Name, pool)
		}
	}
}

// TestANewNodeHasRoomForItsDaemonsToo: the smallest node for the pods alone would leave one of them pending.
func TestANewNodeHasRoomForItsDaemonsToo(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	pod := deployment("agent", 1, "600m", "1Gi").Spec.Template
	w.create(&appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent", Namespace: metav1.NamespaceDefault},
		Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: pod.Labels}, Template: pod},
	})
	w.create(nodePool("default", noConsolidation)...)
	w.create(deployment("web", 1, "1500m", "2Gi")) // with 600m more than the 1.93 CPUs of the smallest types
	w.eventually("pod and daemon run", w.allRun(metav1.NamespaceDefault, 2))
	w.boughtOnly(1)
}

// TestPodsEndUpOnTheNodeThatTheyAreToldBeforeItIsReady follows status.nominatedNodeName.
func TestPodsEndUpOnTheNodeThatTheyAreToldBeforeItIsReady(t *testing.T) {
	w := newWorld(t, realStart)
	w.withoutPreemption()
	w.withProvisioner()
	watched := w.watchNominations()
	w.create(nodePool("default", noConsolidation, onlyType("m6i.large"))...)
	// Two small pods and a large one fill a node; no two large ones share one.
	w.create(deployment("large", 3, "1200m", "1Gi"), deployment("small", 6, "300m", "512Mi"))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 9))
	for _, p := range list(w, &corev1.PodList{}, client.InNamespace(metav1.NamespaceDefault)).Items {
		w.eventually("the watch has seen pod "+p.Name+" bound", func(context.Context) string {
			if watched.of(p.UID).bound == "" {
				return "not yet"
			}
			return ""
		})
		if n := watched.of(p.UID); n.nominated != n.bound {
			t.Errorf("pod %s was told node %q and runs on %s", p.Name, n.nominated, n.bound)
		}
	}
}

// realStart leaves time between the registration of a node and its readiness, as real machines do: pods are told of it meanwhile.
const realStart = "--node-start-delay=3s"

// withoutPreemption gives pods a class that does not preempt. A pod that may is tried by kube-scheduler whenever some node becomes
// ready; where it finds nothing to preempt, it clears status.nominatedNodeName (Evaluator.Preempt in pkg/scheduler/framework/preemption),
// and until the provisioner has written it again another pod may take the place.
func (w *world) withoutPreemption() {
	w.t.Helper()
	w.create(&schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{Name: "patient"}, GlobalDefault: true, PreemptionPolicy: ptr.To(corev1.PreemptNever),
	})
}

// nomination is what a pod was told last before it was bound, and where it was.
type nomination struct{ nominated, bound string }

// nominationLog collects the nominations of pods.
type nominationLog struct {
	mu   sync.Mutex
	pods map[types.UID]nomination
}

func (l *nominationLog) of(pod types.UID) nomination {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pods[pod]
}

func (l *nominationLog) saw(p *corev1.Pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.pods[p.UID]
	if n.bound != "" {
		return
	}
	if p.Spec.NodeName == "" {
		n.nominated = p.Status.NominatedNodeName
	}
	n.bound = p.Spec.NodeName
	l.pods[p.UID] = n
}

// watchNominations follows the pods of the default namespace until the test ends. The API server clears the field when it binds a
// pod, so that only a watch sees it.
func (w *world) watchNominations() *nominationLog {
	w.t.Helper()
	c, err := client.NewWithWatch(w.Config(), client.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	events, err := c.Watch(w.t.Context(), &corev1.PodList{}, client.InNamespace(metav1.NamespaceDefault))
	if err != nil {
		w.t.Fatal(err)
	}
	log := &nominationLog{pods: map[types.UID]nomination{}}
	var following sync.WaitGroup
	following.Go(func() {
		for e := range events.ResultChan() {
			if p, ok := e.Object.(*corev1.Pod); ok {
				log.saw(p)
			}
		}
	})
	w.t.Cleanup(func() { events.Stop(); following.Wait() })
	return log
}

// zones are three of those that sell what our NodePools buy; not every zone of a region does.
func (w *world) zones() []string {
	w.t.Helper()
	region, err := w.cloud.Types(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range region.Types {
		if region.Types[i].Name == "m6i.large" {
			return region.Types[i].Zones[:3]
		}
	}
	w.t.Fatal("the cloud does not sell m6i.large")
	return nil
}

// nodeOf is the node that a pod runs on.
func (w *world) nodeOf(p *corev1.Pod) *corev1.Node {
	w.t.Helper()
	node := &corev1.Node{}
	if err := w.Get(w.t.Context(), client.ObjectKey{Name: p.Spec.NodeName}, node); err != nil {
		w.t.Fatalf("reading the node of pod %s: %v", p.Name, err)
	}
	return node
}

// boughtOnly fails the test unless this many instances were bought, those that are gone again included.
func (w *world) boughtOnly(n int) {
	w.t.Helper()
	bill, err := w.cloud.Billing(w.t.Context(), false)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(bill.Instances) != n {
		w.t.Errorf("%d instances were bought, want %d: %+v", len(bill.Instances), n, bill.Instances)
	}
}

// volumeIn makes a volume that exists in a zone already, and the claim that owns it.
func volumeIn(zone, name string) []client.Object {
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	noClass := ""
	return []client.Object{
		&corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PersistentVolumeSpec{
				Capacity: size, AccessModes: modes,
				ClaimRef: &corev1.ObjectReference{Namespace: metav1.NamespaceDefault, Name: name},
				PersistentVolumeSource: corev1.PersistentVolumeSource{
					CSI: &corev1.CSIPersistentVolumeSource{Driver: "disk.example.com", VolumeHandle: fmt.Sprintf("vol-%s", name)},
				},
				NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}}},
				}}}},
			},
		},
		&corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: modes, StorageClassName: &noClass, VolumeName: name,
				Resources: corev1.VolumeResourceRequirements{Requests: size},
			},
		},
	}
}
