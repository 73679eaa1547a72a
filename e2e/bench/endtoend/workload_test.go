package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/e2e/cluster/kubelet"
)

func TestWorkloadsHaveAsManyPodsAsAskedFor(t *testing.T) {
	for _, pods := range []int{100, 101, 200, 1000, 4999} {
		for seed := range uint64(5) {
			all, err := Workloads(seed, pods)
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for i := range all {
				if all[i].Replicas < 1 {
					t.Errorf("seed %d, %d pods: %s has %d", seed, pods, all[i].Name, all[i].Replicas)
				}
				got += int(all[i].Replicas)
			}
			if got != pods {
				t.Errorf("seed %d: got %d pods, want %d", seed, got, pods)
			}
		}
	}
}

func TestTooFewPodsAreAnError(t *testing.T) {
	if all, err := Workloads(1, 99); err == nil {
		t.Errorf("got %d workloads for 99 pods, want an error", len(all))
	}
}

func TestASeedRepeatsItselfAndAnotherDoesNot(t *testing.T) {
	schedule := func(seed uint64) []Step {
		all, err := Workloads(seed, 200)
		if err != nil {
			t.Fatal(err)
		}
		return Churn(seed, all, time.Minute)
	}
	if diff := cmp.Diff(schedule(1), schedule(1)); diff != "" {
		t.Errorf("the same seed gives another schedule:\n%s", diff)
	}
	if cmp.Equal(schedule(1), schedule(2)) {
		t.Error("two seeds give the same schedule")
	}
}

func TestPodsUseLessThanTheyRequestAndSaySo(t *testing.T) {
	all, err := Workloads(7, 300)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		w := &all[i]
		if w.UsedMilliCPU <= 0 || w.UsedMilliCPU >= w.MilliCPU || w.UsedMemoryMi <= 0 || w.UsedMemoryMi >= w.MemoryMi {
			t.Errorf("%s uses %dm and %dMi of %dm and %dMi", w.Name, w.UsedMilliCPU, w.UsedMemoryMi, w.MilliCPU, w.MemoryMi)
		}
		objects, err := w.Objects(corev1.DefaultSchedulerName)
		if err != nil {
			t.Fatal(err)
		}
		d, ok := objects[len(objects)-1].(*appsv1.Deployment)
		if !ok {
			t.Fatalf("the last object of %s is a %T", w.Name, objects[len(objects)-1])
		}
		pod := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
		if err := kubelet.NewAnnotatedUsage(1).Validate(pod); err != nil {
			t.Errorf("%s: the kubelet does not understand its usage: %v", w.Name, err)
		}
	}
}

func TestChurn(t *testing.T) {
	all, err := Workloads(3, 500)
	if err != nil {
		t.Fatal(err)
	}
	steps := Churn(3, all, 2*time.Minute)
	if len(steps) != 24 {
		t.Errorf("got %d steps in two minutes, want one each 5 s", len(steps))
	}
	seen := map[string]bool{}
	for i, s := range steps {
		if s.Replicas < 1 || s.After != time.Duration(i)*churnEvery {
			t.Errorf("step %d scales %s to %d after %s", i, s.Workload, s.Replicas, s.After)
		}
		if seen[s.Workload] {
			t.Errorf("%s has its second turn before all had one", s.Workload)
		}
		seen[s.Workload] = true
	}
}

func TestThePodsAfterTheChurnAreThoseOfTheLastSteps(t *testing.T) {
	all := []Workload{{Name: "a", Replicas: 10}, {Name: "b", Replicas: 5}}
	steps := []Step{{Workload: "a", Replicas: 3}, {Workload: "a", Replicas: 7}}
	if got := podsAfter(all, steps); got != 12 {
		t.Errorf("got %d pods, want 7 + 5", got)
	}
}
