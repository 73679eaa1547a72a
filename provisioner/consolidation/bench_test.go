package consolidation_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/provisioner/consolidation"
)

func BenchmarkSearch500Nodes(b *testing.B) {
	for seed := range uint64(3) {
		b.Run(fmt.Sprintf("seed %d", seed+1), func(b *testing.B) {
			s := fragmented(500, seed+1)
			s.Options.TimeBudget = 10 * time.Second
			measure(b, s)
		})
	}
}

// ruled gives the pods of a state labels of apps of twenty; a third of the apps is
// spread over zones, and a tenth avoids its own kind.
func ruled(s consolidation.State) consolidation.State {
	n := 0
	for i := range s.Candidates {
		for k := range s.Candidates[i].Pods {
			p := s.Candidates[i].Pods[k].Pod
			app := n % (len(s.Candidates) / 2)
			n++
			match := &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprint(app)}}
			p.Labels = match.MatchLabels
			switch app % 10 {
			case 0, 1, 2:
				p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
					MaxSkew: 2, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: match,
				}}
			case 3:
				p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
					RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname, LabelSelector: match}},
				}}
			}
		}
	}
	return s
}

func BenchmarkSearch500NodesWithRules(b *testing.B) {
	s := ruled(fragmented(500, 3))
	s.Options.TimeBudget = 10 * time.Second
	measure(b, s)
}

func BenchmarkFirstMoveOf5000Nodes(b *testing.B) {
	s := fragmented(5000, 3)
	s.Options.TimeBudget, s.Options.MaxMoves = 10*time.Second, 1
	measure(b, s)
}

func measure(b *testing.B, s consolidation.State) {
	var plan consolidation.Plan
	for b.Loop() {
		var err error
		if plan, err = consolidation.Search(context.Background(), s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(plan.After/plan.LowerBound, "after/bound")
	b.Logf("cost %.3f after %.3f bound %.3f moves %d stats %+v", plan.Cost, plan.After, plan.LowerBound, len(plan.Moves), plan.Stats)
}
