package consolidation_test

import (
	"math"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/packing"
)

func TestWhatMovingAPodCosts(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	ordinary := consolidation.PodMove{Base: 0.001, Weight: 1, Now: now}
	with := func(change func(*consolidation.PodMove)) consolidation.PodMove {
		m := ordinary
		change(&m)
		return m
	}
	started := func(ago time.Duration) func(*packing.Pod) {
		return func(p *packing.Pod) { p.Status.StartTime = &metav1.Time{Time: now.Add(-ago)} }
	}
	annotated := func(value string) func(*packing.Pod) {
		return func(p *packing.Pod) {
			metav1.SetMetaDataAnnotation(&p.ObjectMeta, consolidation.SafeToEvictAnnotation, value)
		}
	}
	job := func(p *packing.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(&metav1.ObjectMeta{Name: "job"}, batchv1.SchemeGroupVersion.WithKind("Job"))}
	}
	for name, tc := range map[string]struct {
		move   consolidation.PodMove
		change []func(*packing.Pod)
		want   float64
	}{
		"an ordinary pod costs the base":                       {ordinary, nil, 0.001},
		"a pod of twice the eviction cost costs twice as much": {with(func(m *consolidation.PodMove) { m.Weight = 2 }), nil, 0.002},
		"a pod that asks to be deleted first costs nothing":    {with(func(m *consolidation.PodMove) { m.Weight = -3 }), nil, 0},
		"the last eviction of a budget doubles the cost":       {with(func(m *consolidation.PodMove) { m.Slack = 1 }), nil, 0.002},
		"one eviction of ten adds a tenth":                     {with(func(m *consolidation.PodMove) { m.Slack = 10 }), nil, 0.0011},
		"a pod that has just started costs double":             {ordinary, []func(*packing.Pod){started(0)}, 0.002},
		"half an hour later it costs half as much again":       {ordinary, []func(*packing.Pod){started(30 * time.Minute)}, 0.0015},
		"a pod that has run for long costs the base":           {ordinary, []func(*packing.Pod){started(100 * time.Hour)}, 0.001},
		"a Job's pod costs the work that it has done":          {ordinary, []func(*packing.Pod){started(10 * time.Hour), job}, 0.001 + 10*0.096/2},
		"a pod marked as safe to evict costs a tenth":          {ordinary, []func(*packing.Pod){annotated("true")}, 0.0001},
		"a Job's pod marked as safe to evict loses no work":    {ordinary, []func(*packing.Pod){started(10 * time.Hour), job, annotated("true")}, 0.0001},
		"with no base every pod is free to move":               {with(func(m *consolidation.PodMove) { m.Base = 0; m.Slack = 1 }), []func(*packing.Pod){started(10 * time.Hour), job}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod("p", 1000, 1024) // half of the node's CPU
			p.Requests = p.Spec.Containers[0].Resources.Requests
			for _, change := range tc.change {
				change(&p)
			}
			node := candidate("n", m("large", 1), "a", p).Node
			if got := tc.move.Cost(&node, &p); math.Abs(got-tc.want) > 1e-9 {
				t.Errorf("moving it costs $%.6f, want $%.6f", got, tc.want)
			}
		})
	}
}

func TestAPodThatIsNotSafeToEvictHoldsItsNode(t *testing.T) {
	held := func(change ...func(*packing.Pod)) packing.Pod {
		p := pod("p", 100, 100)
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, consolidation.SafeToEvictAnnotation, "false")
		for _, c := range change {
			c(&p)
		}
		return p
	}
	for name, tc := range map[string]struct {
		pod  packing.Pod
		want string
	}{
		"one that says so":            {held(), `pod default/p has the annotation cluster-autoscaler.kubernetes.io/safe-to-evict: "false"`},
		"not one that says nothing":   {pod("p", 100, 100), ""},
		"not one that has ended":      {held(func(p *packing.Pod) { p.Status.Phase = corev1.PodSucceeded }), ""},
		"not one of a daemonset":      {held(func(p *packing.Pod) { p.Daemon = true }), ""},
		"not one on its way out":      {held(func(p *packing.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Now()} }), ""},
		"not one that says the other": {held(func(p *packing.Pod) { p.Annotations[consolidation.SafeToEvictAnnotation] = "true" }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := consolidation.HeldBy([]packing.Pod{tc.pod}); got != tc.want {
				t.Errorf("held by %q, want %q", got, tc.want)
			}
		})
	}
}
