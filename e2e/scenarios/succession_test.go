package scenarios

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/e2e/sandbox"
)

// TestTheSuccessorsOfConsolidatedPodsLandWhereTheyWerePlanned although others want the room: four nodes are half empty, and two become
// four halves. Their disruption budget lets one pod go at a time, and as soon as the first may, a pod comes that nobody planned. It
// would take the room of the last, for which a node would be bought again (kubernetes-sigs/karpenter#742, #2030).
func TestTheSuccessorsOfConsolidatedPodsLandWhereTheyWerePlanned(t *testing.T) {
	w := newWorld(t)
	w.component(sandbox.Scheduler)
	w.withProvisioner(movesCostNothing)
	w.create(nodePool("default", noConsolidation, onlyType("m6i.large"))...)
	w.create(deployment("web", 0, "900m", "1Gi", ours), deployment("filler", 0, "900m", "1Gi", ours), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "web"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, MaxUnavailable: ptr.To(intstr.FromInt32(1)),
		},
	})
	for n := range int32(4) { // one of each fills a node
		w.scale("web", n+1)
		w.scale("filler", n+1)
		w.eventually("pods run", w.allRun(metav1.NamespaceDefault, int(2*n+2)))
	}
	had := sets.New[string]()
	for _, n := range w.nodesOf("default") {
		had.Insert(n.Name)
	}
	if had.Len() != 4 {
		t.Fatalf("pods run on %d nodes, want 4", had.Len())
	}
	w.scale("filler", 0)
	w.eventually("half of the room is free", w.allRun(metav1.NamespaceDefault, 4))
	// No decision before all nodes may be given up: two of them go together.
	w.change("default", budgetOf("0"))
	w.change("default", func(np *karpv1.NodePool) {
		np.Spec.Disruption.ConsolidateAfter = karpv1.MustParseNillableDuration("1s")
	})
	w.eventually("all nodes may be consolidated", func(context.Context) string {
		for _, nc := range list(w, &karpv1.NodeClaimList{}).Items {
			if !nc.StatusConditions().IsTrue(karpv1.ConditionTypeConsolidatable) {
				return nc.Name + " may not"
			}
		}
		return ""
	})
	w.change("default", budgetOf("100%"))
	w.eventually("two nodes are given up", func(context.Context) string {
		if n := w.leaving("default"); n != 2 {
			return fmt.Sprintf("%d nodes are leaving", n)
		}
		return ""
	})
	w.create(deployment("stranger", 1, "900m", "1Gi", ours))
	w.eventually("two nodes have gone", func(context.Context) string {
		old := had.Clone()
		for _, n := range w.nodesOf("default") {
			old.Delete(n.Name)
		}
		if old.Len() != 2 {
			return fmt.Sprintf("%d have", old.Len())
		}
		return ""
	})
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 5))
	for _, p := range w.livePods("web") {
		if !had.Has(p.Spec.NodeName) {
			t.Errorf("pod %s runs on %s, which was bought although there was room", p.Name, p.Spec.NodeName)
		}
	}
	for _, p := range w.livePods("stranger") {
		if had.Has(p.Spec.NodeName) {
			t.Errorf("pod %s took room on %s that was planned for another", p.Name, p.Spec.NodeName)
		}
	}
}
