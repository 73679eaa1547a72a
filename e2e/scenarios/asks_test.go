package scenarios

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/provisioner/provisioning"
)

// TestNodesGoBackToSpotOnceItsCapacityHasStayed: while spot is out, on-demand nodes are bought; when it is back they are
// replaced, but not at once (kubernetes-sigs/karpenter#1829).
func TestNodesGoBackToSpotOnceItsCapacityHasStayed(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner(movesCostNothing, "--consolidation-capacity-settle=25s")
	out := w.fault(sim.Fault{Kind: sim.FaultPriceUnknown, Match: sim.Match{CapacityTypes: []string{sim.Spot}}})
	w.create(nodePool("default")...)
	w.create(deployment("web", 4, "900m", "1Gi"))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 4))
	for _, i := range w.instances() {
		if i.CapacityType != sim.OnDemand {
			t.Errorf("instance %s is %s while spot is out", i.ID, i.CapacityType)
		}
	}
	before := w.costPerHour()
	if err := w.cloud.RemoveFaults(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	w.eventually("a node says that capacity must stay first", w.eventOn("Node", "", "Unconsolidatable", "until they have stayed"))
	w.eventually("all nodes are spot", func(context.Context) string {
		for _, i := range w.instances() {
			if i.CapacityType != sim.Spot {
				return fmt.Sprintf("%s is %s", i.ID, i.CapacityType)
			}
		}
		return ""
	})
	w.eventually("pods run again", w.allRun(metav1.NamespaceDefault, 4))
	if now := w.costPerHour(); now > before/2 {
		t.Errorf("$%.4f/h on spot after $%.4f/h on demand", now, before)
	}
}

// TestPodsThatWaitForCapacityHoldUpNobody: 200 pods want capacity that is out. Claims for them are not made and deleted in a
// tight loop, the pods say what they wait for, and pods of another pool get their nodes meanwhile
// (kubernetes-sigs/karpenter#3152, #3198, #1899).
func TestPodsThatWaitForCapacityHoldUpNobody(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.fault(sim.Fault{Kind: sim.FaultInsufficientCapacity, Match: sim.Match{Families: []string{"r6i"}}})
	w.create(nodePool("scarce", noConsolidation, requiring("supercargo.dev/instance-family", "r6i"), func(np *karpv1.NodePool) {
		np.Spec.Template.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "scarce", Effect: corev1.TaintEffectNoSchedule}}
	})...)
	w.create(nodePool("default", noConsolidation)...)
	claims := w.watchClaims("scarce")
	w.create(deployment("scarce", 200, "3", "24Gi", func(p *corev1.PodTemplateSpec) {
		p.Spec.NodeSelector = map[string]string{karpv1.NodePoolLabelKey: "scarce"}
		p.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
	}))
	w.eventually("a pod says what it waits for", w.eventOn("Pod", "scarce", provisioning.ReasonNoPlace, "unavailable"))
	w.create(deployment("light", 3, "900m", "1Gi"))
	w.eventually("pods of another pool run", w.allRun(metav1.NamespaceDefault, 3))
	made := claims.count()
	w.throughout(10*time.Second, "nothing is tried that is known to be out", func(context.Context) string {
		if n := claims.count(); n > made+3 {
			return fmt.Sprintf("%d claims after %d", n, made)
		}
		return ""
	})
	t.Logf("%d claims were made for 200 pods", claims.count())
	if n := claims.count(); n > 200 {
		t.Errorf("%d claims were made for 200 pods that cannot have nodes", n)
	}
}

// TestAPodResizedInPlaceIsNotMovedToWhereItsSuccessorHasNoRoom: two pods of 1850m run on a node of 1.93 CPUs each, and somebody
// resizes them to 100m. Both would fit on one node as they are; a successor would ask for 1850m again, wait, and have a node
// bought, for ever (kubernetes-sigs/karpenter#829).
func TestAPodResizedInPlaceIsNotMovedToWhereItsSuccessorHasNoRoom(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner(movesCostNothing)
	w.create(nodePool("default", onlyType("m6i.large"))...)
	w.create(deployment("web", 2, "1850m", "1Gi"))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 2))
	before := sets.New[types.UID]()
	for _, p := range w.pods("web") {
		before.Insert(p.UID)
		patch := client.RawPatch(types.StrategicMergePatchType, []byte(`{"spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"100m"}}}]}}`))
		if err := w.SubResource("resize").Patch(t.Context(), &p, patch); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("the pods hold what they were resized to", func(context.Context) string {
		for _, p := range w.pods("web") {
			if r := p.Status.ContainerStatuses[0].Resources; r == nil || r.Requests.Cpu().MilliValue() != 100 {
				return p.Name + " does not"
			}
		}
		return ""
	})
	w.throughout(25*time.Second, "both stay", func(context.Context) string {
		if n := len(w.nodesOf("default")) - w.leaving("default"); n != 2 {
			return fmt.Sprintf("%d nodes stay", n)
		}
		for _, p := range w.pods("web") {
			if !before.Has(p.UID) {
				return p.Name + " was moved"
			}
		}
		return ""
	})
	w.eventually("a node says why", w.eventOn("Node", "", "Unconsolidatable", "kept because", "no place"))
}

// TestHeadroomIsThereBeforePodsAsk: room for two more pods is bought and not given back, pods that come take it without waiting
// for a node, and room is made anew (kubernetes-sigs/karpenter#749).
func TestHeadroomIsThereBeforePodsAsk(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner(movesCostNothing)
	w.create(nodePool("default", onlyType("m6i.large"))...)
	w.create(deployment("web", 0, "1500m", "1Gi"))
	w.create(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer",
		"metadata": map[string]any{"name": "spare", "namespace": metav1.NamespaceDefault},
		"spec": map[string]any{
			"scalableRef": map[string]any{"apiGroup": "apps", "kind": "Deployment", "name": "web"}, "replicas": int64(2),
		},
	}})
	w.eventually("room for two pods is there", w.bufferIs("spare", "True"))
	w.throughout(15*time.Second, "it is not given back as empty", func(context.Context) string {
		if n := len(w.instances()); n != 2 {
			return fmt.Sprintf("%d nodes", n)
		}
		return ""
	})
	ready := sets.New[string]()
	for _, n := range w.nodesOf("default") {
		ready.Insert(n.Name)
	}
	w.scale("web", 2)
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 2))
	for _, p := range w.pods("web") {
		if !ready.Has(p.Spec.NodeName) {
			t.Errorf("pod %s waited for node %s although there was headroom", p.Name, p.Spec.NodeName)
		}
	}
	w.eventually("headroom is made anew", func(ctx context.Context) string {
		if n := len(w.nodesOf("default")); n != 4 {
			return fmt.Sprintf("%d nodes", n)
		}
		return w.bufferIs("spare", "True")(ctx)
	})
}

// bufferIs is a condition: all of a CapacityBuffer's room is there, or not.
func (w *world) bufferIs(name, provisioned string) func(context.Context) string {
	return func(ctx context.Context) string {
		b := &unstructured.Unstructured{}
		b.SetAPIVersion("autoscaling.x-k8s.io/v1beta1")
		b.SetKind("CapacityBuffer")
		if err := w.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, b); err != nil {
			return err.Error()
		}
		conditions, _, _ := unstructured.NestedSlice(b.Object, "status", "conditions")
		for _, c := range conditions {
			if condition, ok := c.(map[string]any); ok && condition["type"] == "Provisioning" && condition["status"] == provisioned {
				return ""
			}
		}
		return fmt.Sprintf("its conditions are %v", conditions)
	}
}

// claimLog counts the claims that were made, those that are gone again included.
type claimLog struct {
	mu   sync.Mutex
	made sets.Set[types.UID]
}

func (l *claimLog) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made.Len()
}

// watchClaims follows the claims of a NodePool until the test ends.
func (w *world) watchClaims(pool string) *claimLog {
	w.t.Helper()
	c, err := client.NewWithWatch(w.Config(), client.Options{Scheme: w.Scheme()})
	if err != nil {
		w.t.Fatal(err)
	}
	events, err := c.Watch(w.t.Context(), &karpv1.NodeClaimList{}, client.MatchingLabels{karpv1.NodePoolLabelKey: pool})
	if err != nil {
		w.t.Fatal(err)
	}
	log := &claimLog{made: sets.New[types.UID]()}
	var following sync.WaitGroup
	following.Go(func() {
		for e := range events.ResultChan() {
			if nc, ok := e.Object.(*karpv1.NodeClaim); ok {
				log.mu.Lock()
				log.made.Insert(nc.UID)
				log.mu.Unlock()
			}
		}
	})
	w.t.Cleanup(func() { events.Stop(); following.Wait() })
	return log
}

// TestAPodWaitsForTheNodeThatWasBoughtForIt although room becomes free elsewhere meanwhile, which it would leave for what was not
// planned, and its own node would come for nothing (kubernetes-sigs/karpenter#742, #2030). When its node is given up it waits no
// more, and goes there.
func TestAPodWaitsForTheNodeThatWasBoughtForIt(t *testing.T) {
	w := newWorld(t)
	w.component(sandbox.Scheduler)
	w.withProvisioner()
	w.create(nodePool("default", noConsolidation, onlyType("m6i.large"))...)
	w.create(deployment("first", 1, "1500m", "1Gi", ours), deployment("second", 1, "1500m", "1Gi", ours))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 2))
	had := sets.New[string]()
	for _, n := range w.nodesOf("default") {
		had.Insert(n.Name)
	}
	slow := w.fault(sim.Fault{Kind: sim.FaultRegistrationDelay, Delay: metav1.Duration{Duration: 20 * time.Second}})
	w.create(deployment("late", 1, "1500m", "1Gi", ours))
	w.eventually("a node is bought for it", w.claimsNumber(3))
	w.scale("first", 0)
	w.eventually("its node is there", func(context.Context) string {
		for _, p := range w.livePods("late") {
			if p.Spec.NodeName != "" && had.Has(p.Spec.NodeName) {
				t.Fatalf("the pod took room that became free on %s, its own node comes for nothing", p.Spec.NodeName)
			}
		}
		if n := len(w.nodesOf("default")); n != 3 {
			return fmt.Sprintf("%d nodes", n)
		}
		return ""
	})
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 2))

	if err := w.cloud.RemoveFaults(t.Context(), slow); err != nil {
		t.Fatal(err)
	}
	w.scale("first", 1) // takes the room that became free
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
	w.fault(sim.Fault{Kind: sim.FaultNeverRegister})
	w.create(deployment("later", 1, "1500m", "1Gi", ours))
	w.eventually("a node is bought for it", w.claimsNumber(4))
	w.scale("second", 0)
	w.throughout(5*time.Second, "it waits for its node", func(context.Context) string {
		for _, p := range w.livePods("later") {
			if p.Spec.NodeName != "" {
				return "it runs on " + p.Spec.NodeName
			}
		}
		return ""
	})
	for _, nc := range list(w, &karpv1.NodeClaimList{}).Items {
		if nc.Status.NodeName == "" {
			if err := w.Delete(t.Context(), &nc); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.eventually("pods run where there is room", w.allRun(metav1.NamespaceDefault, 3))
	for _, p := range w.livePods("later") {
		if !had.Has(p.Spec.NodeName) {
			t.Errorf("pod %s waited for another node although its own was given up", p.Name)
		}
	}
}

// ours has the pods of a workload scheduled by supercargo-scheduler.
func ours(p *corev1.PodTemplateSpec) { p.Spec.SchedulerName = sandbox.Scheduler }

// claimsNumber is a condition: there are so many claims.
func (w *world) claimsNumber(n int) func(context.Context) string {
	return func(context.Context) string {
		if got := len(list(w, &karpv1.NodeClaimList{}).Items); got != n {
			return fmt.Sprintf("%d claims, want %d", got, n)
		}
		return ""
	}
}
