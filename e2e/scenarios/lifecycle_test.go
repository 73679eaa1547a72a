package scenarios

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/e2e/sandbox"
)

// movesCostNothing lets a node that was launched a moment ago be given up: else it must first earn what moving its pods costs.
const movesCostNothing = "--consolidation-pod-move-cost=0"

// TestDeletingANodePoolMovesItsPodsAndReturnsItsNodes is D8: the pods go to what another pool buys, within their disruption budget.
func TestDeletingANodePoolMovesItsPodsAndReturnsItsNodes(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.create(nodePool("leaving", noConsolidation, onlyType("m6i.large"))...)
	w.create(deployment("web", 4, "900m", "1Gi"), budget("web", 3))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 4))
	w.create(nodePool("staying", noConsolidation)...)
	if err := w.Delete(t.Context(), nodePool("leaving")[1]); err != nil {
		t.Fatal(err)
	}
	w.eventually("the pool's nodes are returned", func(ctx context.Context) string {
		w.keepsBudget(ctx, "web")
		if n := len(w.nodesOf("leaving")); n > 0 {
			return fmt.Sprintf("%d nodes are left", n)
		}
		for _, i := range w.instances() {
			if i.Labels[karpv1.NodePoolLabelKey] == "leaving" {
				return fmt.Sprintf("instance %s runs", i.ID)
			}
		}
		return ""
	})
	w.eventually("pods run again", w.allRun(metav1.NamespaceDefault, 4))
	w.eventually("the pool is gone", func(ctx context.Context) string {
		if err := w.Get(ctx, client.ObjectKey{Name: "leaving"}, &karpv1.NodePool{}); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Sprintf("it is there, %v", err)
		}
		return ""
	})
}

// TestTheProvisionerRefusesToStartBesideClusterAutoscaler is D6.
func TestTheProvisionerRefusesToStartBesideClusterAutoscaler(t *testing.T) {
	w := newWorld(t)
	w.create(&coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "cluster-autoscaler"},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To("cluster-autoscaler-0"), LeaseDurationSeconds: ptr.To[int32](600), RenewTime: ptr.To(metav1.NowMicro()),
		},
	})
	p, err := w.Component(t.Context(), sandbox.Provisioner)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Wait(ctx); err == nil || ctx.Err() != nil {
		t.Fatalf("it ended with %v, want an exit code", err)
	}
	said, err := os.ReadFile(p.Log())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(said), "Cluster Autoscaler runs in this cluster") || !strings.Contains(string(said), "--allow-rivals") {
		t.Errorf("it says neither what is wrong nor what to do:\n%s", said)
	}
	w.withProvisioner("--allow-rivals") // becomes ready
}

// TestABudgetOfNoNodesKeepsThemAndABudgetOfOneLetsThemGoOneByOne is D5.
func TestABudgetOfNoNodesKeepsThemAndABudgetOfOneLetsThemGoOneByOne(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner(movesCostNothing)
	w.create(nodePool("default", onlyType("m6i.large"), budgetOf("0"))...)
	w.halfEmptyNodes(3)
	w.eventually("the pool says that its budget holds its nodes", w.eventOn("NodePool", "default", "DisruptionBlocked", "Underutilized", "budget"))
	w.throughout(5*time.Second, "no node goes", func(context.Context) string {
		if left := len(w.nodesOf("default")) - w.leaving("default"); left != 3 {
			return fmt.Sprintf("%d nodes stay", left)
		}
		return ""
	})
	w.change("default", budgetOf("1"))
	w.eventually("one node is left", func(context.Context) string {
		if n := w.leaving("default"); n > 1 {
			t.Errorf("%d nodes go at a time", n)
		}
		if n := len(w.nodesOf("default")); n != 1 {
			return fmt.Sprintf("%d nodes", n)
		}
		return ""
	})
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
}

// TestAPodThatMustNotBeDisruptedKeepsItsNode lets consolidation have every node but that one.
func TestAPodThatMustNotBeDisruptedKeepsItsNode(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner(movesCostNothing)
	w.create(nodePool("default", onlyType("m6i.large"), budgetOf("0"))...)
	w.halfEmptyNodes(3)
	kept := w.pods("small")[0]
	before := kept.DeepCopy()
	metav1.SetMetaDataAnnotation(&kept.ObjectMeta, karpv1.DoNotDisruptAnnotationKey, "true")
	if err := w.Patch(t.Context(), &kept, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	w.change("default", budgetOf("100%"))
	w.eventually("the other nodes go", func(context.Context) string {
		if n := len(w.nodesOf("default")); n != 1 {
			return fmt.Sprintf("%d nodes", n)
		}
		return ""
	})
	after := &corev1.Pod{}
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(&kept), after); err != nil || after.UID != kept.UID {
		t.Errorf("the pod was moved: %v", err)
	}
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
}

// TestASecondReplicaTakesOverWhenTheLeaderIsKilled in the middle of a purchase: nothing is bought twice.
func TestASecondReplicaTakesOverWhenTheLeaderIsKilled(t *testing.T) {
	w := newWorld(t)
	leader := w.withProvisioner()
	w.create(nodePool("default", noConsolidation)...)
	w.create(deployment("first", 1, "900m", "1Gi"))
	w.eventually("the leader provisions", w.allRun(metav1.NamespaceDefault, 1))
	w.withProvisioner()
	bought := len(w.instances())
	w.create(deployment("second", 4, "1500m", "2Gi"))
	w.eventually("the leader buys", func(context.Context) string {
		if n := len(list(w, &karpv1.NodeClaimList{}).Items); n == bought {
			return "no claim is new"
		}
		return ""
	})
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	w.create(deployment("third", 2, "900m", "1Gi"))
	w.eventually("the second replica provisions", w.allRun(metav1.NamespaceDefault, 7))
	w.eventually("instances match claims", w.instancesMatchClaims)
	w.everyInstanceIsUsed()
}

// TestAChangedTemplateReplacesNodesWithinTheBudget is drift.
func TestAChangedTemplateReplacesNodesWithinTheBudget(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.create(nodePool("default", noConsolidation, onlyType("m6i.large"), budgetOf("1"))...)
	w.create(deployment("web", 3, "1500m", "2Gi"), budget("web", 2))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
	const label = "scenario.supercargo.dev/generation"
	w.change("default", func(np *karpv1.NodePool) { np.Spec.Template.Labels = map[string]string{label: "new"} })
	w.eventually("every node is of the new template", func(ctx context.Context) string {
		w.keepsBudget(ctx, "web")
		if n := w.leaving("default"); n > 1 {
			t.Errorf("%d nodes go at a time", n)
		}
		old := 0
		for _, n := range w.nodesOf("default") {
			if n.Labels[label] != "new" {
				old++
			}
		}
		if old > 0 {
			return fmt.Sprintf("%d are of the old one", old)
		}
		return ""
	})
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
	w.eventually("instances match claims", w.instancesMatchClaims)
	if n := len(w.instances()); n != 3 {
		t.Errorf("%d nodes in the place of 3", n)
	}
}

// halfEmptyNodes leaves nodes of m6i.large (1.93 CPUs) with a pod of 300m each: a large one that filled each of them is gone.
func (w *world) halfEmptyNodes(n int32) {
	w.t.Helper()
	w.create(deployment("big", n, "1500m", "2Gi"))
	w.eventually("large pods run", w.allRun(metav1.NamespaceDefault, int(n)))
	w.create(deployment("small", n, "300m", "256Mi"))
	w.eventually("all pods run", w.allRun(metav1.NamespaceDefault, int(2*n)))
	w.scale("big", 0)
	w.eventually("small pods are left", w.allRun(metav1.NamespaceDefault, int(n)))
}

// nodesOf are the nodes of a NodePool.
func (w *world) nodesOf(pool string) []corev1.Node {
	w.t.Helper()
	return list(w, &corev1.NodeList{}, client.MatchingLabels{karpv1.NodePoolLabelKey: pool}).Items
}

// leaving counts the nodes of a NodePool that are being given up.
func (w *world) leaving(pool string) int {
	w.t.Helper()
	n := 0
	for _, node := range w.nodesOf(pool) {
		for _, taint := range node.Spec.Taints {
			if taint.MatchTaint(&karpv1.DisruptedNoScheduleTaint) {
				n++
			}
		}
	}
	return n
}

// keepsBudget fails the test when a PodDisruptionBudget is broken.
func (w *world) keepsBudget(ctx context.Context, name string) {
	w.t.Helper()
	pdb := &policyv1.PodDisruptionBudget{}
	if err := w.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, pdb); err != nil {
		w.t.Fatal(err)
	}
	if pdb.Status.CurrentHealthy < pdb.Status.DesiredHealthy {
		w.t.Errorf("%d healthy pods, the budget promises %d", pdb.Status.CurrentHealthy, pdb.Status.DesiredHealthy)
	}
}

// change updates a NodePool.
func (w *world) change(pool string, change func(*karpv1.NodePool)) {
	w.t.Helper()
	np := &karpv1.NodePool{}
	if err := w.Get(w.t.Context(), client.ObjectKey{Name: pool}, np); err != nil {
		w.t.Fatal(err)
	}
	before := np.DeepCopy()
	change(np)
	if err := w.Patch(w.t.Context(), np, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}

// budget makes a PodDisruptionBudget for a Deployment of the name.
func budget(deployment string, minAvailable int32) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: deployment, Namespace: metav1.NamespaceDefault},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: ptr.To(intstr.FromInt32(minAvailable)),
			Selector:     &metav1.LabelSelector{MatchLabels: map[string]string{"app": deployment}},
		},
	}
}

// onlyType makes a NodePool buy one instance type, on demand, so that the size of its nodes is known.
func onlyType(name string) func(*karpv1.NodePool) {
	return func(np *karpv1.NodePool) {
		requiring(corev1.LabelInstanceTypeStable, name)(np)
		requiring(karpv1.CapacityTypeLabelKey, karpv1.CapacityTypeOnDemand)(np)
	}
}

// budgetOf sets how many nodes of a NodePool may be disrupted at a time.
func budgetOf(nodes string) func(*karpv1.NodePool) {
	return func(np *karpv1.NodePool) { np.Spec.Disruption.Budgets = []karpv1.Budget{{Nodes: nodes}} }
}
