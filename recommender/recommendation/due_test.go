package recommendation

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/usage"
)

// A recommendation is computed anew after half an hour, and at once where usage is half above it or its LimitRange
// changes.
func TestARecommendationIsComputedWhenItIsDue(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*testing.T, *bench)
		want bool
	}{
		"not after ten minutes": {func(_ *testing.T, b *bench) { b.use(10 * time.Minute) }, false},
		"after half an hour":    {func(_ *testing.T, b *bench) { b.use(30 * time.Minute) }, true},
		"at once where usage is half above": {func(_ *testing.T, b *bench) {
			b.clock.Step(time.Minute)
			b.Registry.Sink(b.Store)(usage.Usage{Namespace: "shop", Pod: "web-1-a", Container: "app", At: b.clock.Now(), MilliCPU: 180, MemoryBytes: 128 << 20})
		}, true},
		"not where usage is a fifth above": {func(_ *testing.T, b *bench) {
			b.clock.Step(time.Minute)
			b.Registry.Sink(b.Store)(usage.Usage{Namespace: "shop", Pod: "web-1-a", Container: "app", At: b.clock.Now(), MilliCPU: 132, MemoryBytes: 128 << 20})
		}, false},
		"at once where a LimitRange came": {func(t *testing.T, b *bench) {
			b.clock.Step(time.Minute)
			lr := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "least"}}
			lr.Spec.Limits = []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Min: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")}}}
			if err := b.Client.Create(t.Context(), lr); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, web(v1alpha1.UpdateModePreview)...)
			b.reconcile()
			b.use(4 * 24 * time.Hour)
			before := b.reconcile().Status.Recommendation
			c.do(t, b)
			after := b.reconcile().Status.Recommendation
			if computed := !after.ComputedAt.Equal(&before.ComputedAt); computed != c.want {
				t.Errorf("computed anew: %v, want %v", computed, c.want)
			}
			if cpu := after.Containers[0].Requests.Cpu(); name == "at once where a LimitRange came" && cpu.String() != "500m" {
				t.Errorf("cpu is %s, below the LimitRange", cpu)
			}
		})
	}
}

func TestLowConfidenceIsShown(t *testing.T) {
	b := newBench(t, web(v1alpha1.UpdateModePreview)...)
	b.reconcile()
	b.use(6 * time.Hour)
	s := b.reconcile()
	if c := s.Status.Recommendation.Confidence; c.Level != v1alpha1.ConfidenceLow {
		t.Errorf("after six hours confidence is %+v", c)
	}
	said := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionRecommended).Message
	if !strings.HasPrefix(said, "Low confidence, 5h55m0s watched") {
		t.Errorf("the condition says %q", said)
	}
	explained := ""
	for _, step := range s.Status.Recommendation.Containers[0].Explanation {
		if step.Step == "Confidence" && step.Resource == corev1.ResourceCPU {
			explained = step.Message
		}
	}
	if want := "confidence is low: nothing is lowered yet; 18h5m0s of watching are missing to full confidence"; explained != want {
		t.Errorf("explained as %q, want %q", explained, want)
	}
}
