package settle

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/e2e/bench/consolidation/model"
	"supercargo.dev/provisioner/packing"
)

// script is an engine that says what it was told to, a round at a time, and then is settled.
type script struct {
	rounds [][]model.Command
	at     int
	stuck  bool
}

func (s *script) Next(context.Context) ([]model.Command, bool, error) {
	if s.at == len(s.rounds) {
		return nil, !s.stuck, nil
	}
	s.at++
	return s.rounds[s.at-1], false, nil
}

func (*script) Applied(context.Context, model.Command, model.Change) error { return nil }

func three(t *testing.T) (*model.Cluster, [][]model.Command) {
	t.Helper()
	list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("4Gi"), corev1.ResourcePods: resource.MustParse("10")}
	c := model.New(packing.Pool{Name: "default", Types: []packing.InstanceType{{Name: "m", Capacity: list, Allocatable: list, Offerings: []packing.Offering{
		{Zone: "a", CapacityType: packing.CapacityOnDemand, Price: 1, Available: true},
	}}}}, nil)
	var pods []*corev1.Pod
	for _, name := range []string{"p", "q", "r"} {
		pods = append(pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}})
		if _, err := c.Buy(model.Launch{InstanceType: "m", Zone: "a", CapacityType: packing.CapacityOnDemand, Pods: pods[len(pods)-1:]}); err != nil {
			t.Fatal(err)
		}
	}
	return c, [][]model.Command{
		{{Remove: []string{"node-00001"}, Bind: []model.Binding{{Pod: pods[0], Node: "node-00002"}}}},
		{{Remove: []string{"node-00002"}, Bind: []model.Binding{{Pod: pods[0], Node: "node-00003"}, {Pod: pods[1], Node: "node-00003"}}}},
	}
}

func TestTheBooksOfARun(t *testing.T) {
	c, rounds := three(t)
	got, err := Run(context.Background(), &script{rounds: rounds}, c, Limits{Checked: 10})
	if err != nil {
		t.Fatal(err)
	}
	if !got.Settled || got.Rounds != 2 || got.Commands != 2 || got.Checked != 2 || got.Violations != 0 {
		t.Errorf("outcome = %+v, want settled after two rounds of a command each, without violations", got)
	}
	if got.Moved != 3 || got.Saved != 2 || c.Cost() != 1 {
		t.Errorf("moved %d, saved %.1f, cost %.1f; want 3 (p moves twice), 2 and 1", got.Moved, got.Saved, c.Cost())
	}
	if got.First.Wall <= 0 || got.First.Wall > got.Computing.Wall {
		t.Errorf("first saving after %s of %s", got.First.Wall, got.Computing.Wall)
	}
	for _, want := range []struct {
		saved float64
		moved int
		ok    bool
	}{{0, 0, true}, {0.5, 1, true}, {1, 1, true}, {1.5, 3, true}, {2, 3, true}, {2.1, 0, false}} {
		if moved, ok := got.MovedFor(want.saved); moved != want.moved || ok != want.ok {
			t.Errorf("pods moved to save %.1f = %d, %v; want %d, %v", want.saved, moved, ok, want.moved, want.ok)
		}
	}
}

func TestARunIsStopped(t *testing.T) {
	for _, c := range []struct {
		name, want string
		stuck      bool
		limits     Limits
	}{
		{"after so many rounds", "stopped after 1 rounds", false, Limits{Rounds: 1}},
		{"after so much computing", "stopped after 0s", false, Limits{Time: 1}},
		{"when the engine gives up", "found nothing more within its own time limit", true, Limits{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, rounds := three(t)
			got, err := Run(context.Background(), &script{rounds: rounds, stuck: c.stuck}, at, c.limits)
			if err != nil {
				t.Fatal(err)
			}
			if got.Settled || got.Stopped != c.want {
				t.Errorf("settled %v, stopped %q; want %q", got.Settled, got.Stopped, c.want)
			}
		})
	}
}

func TestChecksAreSpreadEvenly(t *testing.T) {
	for _, c := range []struct {
		n, wanted int
		want      []int
	}{{4, 9, []int{0, 1, 2, 3}}, {4, 4, []int{0, 1, 2, 3}}, {10, 3, []int{0, 4, 7}}, {5, 1, []int{0}}, {5, 0, nil}} {
		var got []int
		for i := range c.n {
			if due(i, c.n, c.wanted) {
				got = append(got, i)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%d of %d (-want +got):\n%s", c.wanted, c.n, diff)
		}
	}
}
