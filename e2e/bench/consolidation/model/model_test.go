package model_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/e2e/bench/consolidation/model"
	"supercargo.dev/provisioner/packing"
)

func pod(name, cpu string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("1Gi")},
		}}}},
	}
}

func sold(name, cpu string, price float64) packing.InstanceType {
	list := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("20"),
	}
	return packing.InstanceType{Name: name, Capacity: list, Allocatable: list, Offerings: []packing.Offering{
		{Zone: "a", CapacityType: packing.CapacityOnDemand, Price: price, Available: true},
		{Zone: "b", CapacityType: packing.CapacityOnDemand, Price: price, Available: false},
	}}
}

func cluster(t *testing.T, pods ...*corev1.Pod) *model.Cluster {
	t.Helper()
	c := model.New(packing.Pool{Name: "default", Types: []packing.InstanceType{sold("small", "2", 0.1), sold("large", "4", 0.2)}}, []*corev1.Pod{pod("agent", "100m")})
	for _, p := range pods {
		if _, err := c.Buy(model.Launch{InstanceType: "large", Zone: "a", CapacityType: packing.CapacityOnDemand, Pods: []*corev1.Pod{p}}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestACommandMovesPodsAndIsPriced(t *testing.T) {
	p, q, r := pod("p", "1"), pod("q", "1"), pod("r", "1")
	c := cluster(t, p, q, r)
	before := c.Clone()
	change, err := c.Apply(model.Command{
		Remove: []string{"node-00001", "node-00002"},
		Launch: []model.Launch{{InstanceType: "small", Zone: "a", CapacityType: packing.CapacityOnDemand, Pods: []*corev1.Pod{p}}},
		Bind:   []model.Binding{{Pod: q, Node: "node-00003"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range c.Nodes() {
		line := n.Name + " " + n.InstanceType
		for _, p := range n.Pods {
			line += " " + p.Name
		}
		got = append(got, line)
	}
	if diff := cmp.Diff([]string{"node-00003 large r q", "node-00004 small p"}, got); diff != "" {
		t.Errorf("cluster after (-want +got):\n%s", diff)
	}
	if change.Moved != 2 || !same(change.Saved, 0.3) || !same(before.Cost()-c.Cost(), 0.3) {
		t.Errorf("moved %d, saved %.3f, cost fell by %.3f; want 2 and 0.3", change.Moved, change.Saved, before.Cost()-c.Cost())
	}
	if len(before.Nodes()) != 3 || len(before.Pods()) != 3 {
		t.Error("the clone changed with the cluster")
	}
}

func same(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

func TestACommandThatLosesAPodIsRefused(t *testing.T) {
	p, q := pod("p", "1"), pod("q", "1")
	launch := func(zone string, pods ...*corev1.Pod) []model.Launch {
		return []model.Launch{{InstanceType: "small", Zone: zone, CapacityType: packing.CapacityOnDemand, Pods: pods}}
	}
	for _, c := range []struct {
		name, want string
		command    model.Command
	}{
		{"without a place for it", "given no place", model.Command{Remove: []string{"node-00001"}}},
		{"with two places for it", "given two", model.Command{Remove: []string{"node-00001"}, Bind: []model.Binding{{Pod: p, Node: "node-00002"}}, Launch: launch("a", p)}},
		{"with a place for one that stays", "was not displaced", model.Command{Bind: []model.Binding{{Pod: q, Node: "node-00001"}}}},
		{"on a node that goes", "does not stay", model.Command{Remove: []string{"node-00001", "node-00002"}, Bind: []model.Binding{{Pod: p, Node: "node-00002"}}}},
		{"of a node that is not there", "not there", model.Command{Remove: []string{"node-7"}}},
		{"on what is not to be had", "not sold", model.Command{Remove: []string{"node-00001"}, Launch: launch("b", p)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := cluster(t, p, q)
			if _, err := at.Apply(c.command); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one that says %q", err, c.want)
			}
		})
	}
}

func TestReplayFindsWhatKubeSchedulerRefuses(t *testing.T) {
	apart := func(p *corev1.Pod) *corev1.Pod {
		p.Labels = map[string]string{"app": "apart"}
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
			{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}},
		}}}
		return p
	}
	for _, c := range []struct {
		name string
		p, q *corev1.Pod
		want int
	}{
		{"nothing in what fits", pod("p", "1"), pod("q", "1"), 0},
		{"want of room", pod("p", "3"), pod("q", "3"), 1},
		{"pods that may not meet", apart(pod("p", "1")), apart(pod("q", "1")), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := cluster(t, c.p, c.q)
			found, err := at.Violations(context.Background(), model.Command{Remove: []string{"node-00001"}, Bind: []model.Binding{{Pod: c.p, Node: "node-00002"}}})
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != c.want {
				t.Errorf("violations = %v, want %d", found, c.want)
			}
			if len(at.Nodes()) != 2 {
				t.Error("the replay changed the cluster")
			}
		})
	}
}
