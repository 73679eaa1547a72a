package scenarios

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/provisioner/provisioning"
)

// TestPendingPodsGetNodesAndScaleDownFollowsTheirEnd is the life of a node: bought just in time, planned for its pods, given
// back when they are gone.
func TestPendingPodsGetNodesAndScaleDownFollowsTheirEnd(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.create(nodePool("default")...)
	w.create(deployment("web", 6, "900m", "1Gi"))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 6))
	w.eventually("instances match claims", w.instancesMatchClaims)
	if cost := w.costPerHour(); cost <= 0 {
		t.Errorf("the cloud charges $%.4f/h for nodes that run", cost)
	}
	for _, n := range list(w, &corev1.NodeList{}).Items {
		w.eventually("price on node "+n.Name, func(ctx context.Context) string {
			node := &corev1.Node{}
			if err := w.Get(ctx, client.ObjectKeyFromObject(&n), node); client.IgnoreNotFound(err) != nil || node.Annotations[v1alpha1.PriceAnnotation] == "" {
				return fmt.Sprintf("annotations %v, %v", node.Annotations, err)
			}
			return ""
		})
	}
	if err := w.DeleteAllOf(t.Context(), deployment("web", 0, "1", "1"), client.InNamespace(metav1.NamespaceDefault)); err != nil {
		t.Fatal(err)
	}
	w.eventually("the nodes are given back", func(context.Context) string {
		if n := len(w.instances()); n > 0 {
			return fmt.Sprintf("%d instances are left", n)
		}
		return ""
	})
}

// TestEveryPodThatCannotBePlacedSaysWhy covers what users get wrong: each pod has an event that names the rule.
func TestEveryPodThatCannotBePlacedSaysWhy(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.create(nodePool("default", noConsolidation)...)
	tooBig := deployment("too-big", 1, "4000", "1Gi")
	nowhere := deployment("nowhere", 1, "1", "1Gi", func(p *corev1.PodTemplateSpec) {
		p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: "moon-1a"}
	})
	gpu := deployment("gpu", 1, "1", "1Gi", func(p *corev1.PodTemplateSpec) {
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}
	})
	w.create(tooBig, nowhere, gpu, deployment("fits", 1, "1", "1Gi"))
	w.eventually("the pod that fits runs", func(ctx context.Context) string {
		for _, p := range list(w, &corev1.PodList{}, client.MatchingLabels{"app": "fits"}).Items {
			if p.Status.Phase == corev1.PodRunning {
				return ""
			}
		}
		return "it does not"
	})
	w.eventually("too big", w.eventOn("Pod", "too-big", provisioning.ReasonNoPlace, "cpu"))
	w.eventually("nowhere", w.eventOn("Pod", "nowhere", provisioning.ReasonNoPlace, "node affinity"))
	w.eventually("gpu", w.eventOn("Pod", "gpu", provisioning.ReasonNoPlace, "nvidia.com/gpu"))
	if n := len(w.instances()); n != 1 {
		t.Errorf("%d instances for the one pod that fits", n)
	}
}

// TestBadPoolsAreNamedAndDoNotStopTheOthers covers NodePools and node classes that cannot work.
func TestBadPoolsAreNamedAndDoNotStopTheOthers(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	unknown := nodePool("unknown-family", noConsolidation)
	unknown[0].(*v1alpha1.SimNodeClass).Spec.InstanceFamilies = []string{"z99"}
	w.create(unknown...)
	w.create(nodePool("gone", noConsolidation)[1]) // its SimNodeClass does not exist
	w.create(nodePool("no-type", noConsolidation, requiring(v1alpha1.InstanceFamilyLabel, "z99"))...)
	w.create(nodePool("default", noConsolidation)...)
	w.create(deployment("web", 2, "1", "1Gi"))
	w.eventually("pods run all the same", w.allRun(metav1.NamespaceDefault, 2))
	w.eventually("the unknown family is named", func(ctx context.Context) string {
		nc := &v1alpha1.SimNodeClass{}
		if err := w.Get(ctx, client.ObjectKey{Name: "unknown-family"}, nc); err != nil {
			return err.Error()
		}
		for _, c := range nc.Status.Conditions {
			if c.Type == "Ready" && c.Status == metav1.ConditionFalse && strings.Contains(c.Message, "z99") {
				return ""
			}
		}
		return fmt.Sprintf("conditions %v", nc.Status.Conditions)
	})
	w.eventually("the pool without its class is not ready", func(ctx context.Context) string {
		np := &karpv1.NodePool{}
		if err := w.Get(ctx, client.ObjectKey{Name: "gone"}, np); err != nil {
			return err.Error()
		}
		if c := np.StatusConditions().Get(karpv1.ConditionTypeNodeClassReady); !c.IsFalse() {
			return fmt.Sprintf("condition %v", c)
		}
		return ""
	})
}

// TestACapacityStormEndsOnOnDemand: all spot capacity is refused; pods run on on-demand, and few calls are made.
func TestACapacityStormEndsOnOnDemand(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.fault(sim.Fault{Kind: sim.FaultInsufficientCapacity, Match: sim.Match{CapacityTypes: []string{sim.Spot}}})
	w.create(nodePool("default", noConsolidation)...)
	w.create(deployment("web", 10, "900m", "1Gi"))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 10))
	for _, i := range w.instances() {
		if i.CapacityType != sim.OnDemand {
			t.Errorf("instance %s is %s", i.ID, i.CapacityType)
		}
	}
}

// TestASpotNodeIsReplacedBeforeItIsDrained: on notice a replacement is bought, and the pods move within their budget.
func TestASpotNodeIsReplacedBeforeItIsDrained(t *testing.T) {
	w := newWorld(t, "--interruption-warning=1m")
	w.withProvisioner()
	w.create(nodePool("default", noConsolidation, requiring(karpv1.CapacityTypeLabelKey, "spot"))...)
	w.create(deployment("web", 4, "900m", "1Gi"))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 4))
	victim := w.instances()[0]
	w.fault(sim.Fault{Kind: sim.FaultPreempt, Match: sim.Match{InstanceIDs: []string{victim.ID}}})
	replaced := false
	w.eventually("the node is drained", func(ctx context.Context) string {
		on, elsewhere := 0, 0
		for _, n := range list(w, &corev1.NodeList{}).Items {
			if n.Name == victim.ID {
				on++
			} else if n.Labels[karpv1.NodeInitializedLabelKey] == "true" {
				elsewhere++
			}
		}
		nc := list(w, &karpv1.NodeClaimList{}).Items
		for i := range nc {
			if nc[i].Status.ProviderID == victim.ProviderID && !nc[i].DeletionTimestamp.IsZero() && elsewhere > 0 {
				replaced = true
			}
		}
		if on > 0 {
			return "it is there"
		}
		return ""
	})
	if !replaced {
		t.Error("the node was drained before its replacement was ready")
	}
	w.eventually("pods run again", w.allRun(metav1.NamespaceDefault, 4))
	w.eventually("instances match claims", w.instancesMatchClaims)
}

// TestNothingIsBoughtTwice: the cloud loses an answer and the provisioner is killed in the middle; afterwards every instance
// has its claim, and every node was needed.
func TestNothingIsBoughtTwice(t *testing.T) {
	w := newWorld(t)
	p := w.withProvisioner("--leader-elect=false")
	w.fault(sim.Fault{Kind: sim.FaultLostResponse, Operations: []sim.Operation{sim.OpCreateInstance}, Count: 1})
	w.create(nodePool("default", noConsolidation)...)
	w.create(deployment("web", 3, "900m", "1Gi"))
	w.eventually("a claim is made", func(context.Context) string {
		if len(list(w, &karpv1.NodeClaimList{}).Items) == 0 {
			return "none yet"
		}
		return ""
	})
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
	w.eventually("instances match claims", w.instancesMatchClaims)
	w.everyInstanceIsUsed()
}

// TestThrottlingAndOutagesDelayAndNothingElse: the cloud throttles and fails, then the API server goes away for a while.
func TestThrottlingAndOutagesDelayAndNothingElse(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.create(nodePool("default", noConsolidation)...)
	w.fault(sim.Fault{Kind: sim.FaultThrottle, Rate: 0.5, Count: 20})
	w.fault(sim.Fault{Kind: sim.FaultError, Rate: 0.5, Count: 10})
	w.create(deployment("web", 3, "900m", "1Gi"))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
	if err := w.Outage(t.Context(), 3*time.Second); err != nil {
		t.Fatal(err)
	}
	w.create(deployment("late", 2, "900m", "1Gi"))
	w.eventually("pods run after the outage", w.allRun(metav1.NamespaceDefault, 5))
	if err := w.cloud.RemoveFaults(t.Context(), ""); err != nil {
		t.Fatal(err) // this test's own calls would be throttled too
	}
	w.eventually("instances match claims", w.instancesMatchClaims)
}

// TestLimitsAreNeverExceeded: pods for more than the limit arrive at once; the rest say that the limit holds them.
func TestLimitsAreNeverExceeded(t *testing.T) {
	w := newWorld(t)
	w.withProvisioner()
	w.create(nodePool("default", noConsolidation, func(np *karpv1.NodePool) {
		np.Spec.Limits = karpv1.Limits{corev1.ResourceCPU: resource.MustParse("8")}
	})...)
	w.create(deployment("web", 20, "900m", "1Gi"))
	w.eventually("a pod says that the limit holds it", w.eventOn("Pod", "web", provisioning.ReasonNoPlace, "limit"))
	w.throughout(5*time.Second, "the limit", func(context.Context) string {
		var cpu int64
		for _, i := range w.instances() {
			cpu += i.Capacity.Cpu().Value()
		}
		if cpu > 8 {
			return fmt.Sprintf("%d CPUs are bought under a limit of 8", cpu)
		}
		return ""
	})
}

// fault makes something go wrong in the cloud, and returns the fault's id.
func (w *world) fault(f sim.Fault) string {
	w.t.Helper()
	added, err := w.cloud.AddFault(w.t.Context(), f)
	if err != nil {
		w.t.Fatalf("adding a fault: %v", err)
	}
	return added.ID
}
