package governance

import (
	"math"
	"slices"
	"time"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/workload"
)

// NeverUsed is the age of usage where there was none.
const NeverUsed = time.Duration(math.MaxInt64)

// Optimizes tells whether a scaler asks for something to be optimized; resource is, where it does not say.
func Optimizes(s *v1alpha1.WorkloadScaler, what v1alpha1.OptimizeScope) bool {
	if len(s.Spec.Optimize) == 0 {
		return what == v1alpha1.OptimizeResource
	}
	return slices.Contains(s.Spec.Optimize, what)
}

// Situation is what the gates of recommender/policy ask about a workload.
func (g *Governing) Situation(now time.Time, w *workload.Workload, s *v1alpha1.WorkloadScaler) policy.Situation {
	out := policy.Situation{
		Now: now, Target: TargetOf(w), WorkloadReady: w.Ready, Paused: g.Paused, Active: g.Active,
		Recommendation: s.Status.Recommendation, PolicyHash: g.PolicyHash, ByHand: g.ByHand,
	}
	if spec := w.Spec(); spec != nil {
		out.ReviewOnly, out.PodLevel = policy.ReviewOnly(*spec), policy.PodLevel(*spec)
		out.Deferred = policy.Deferred(w.GVK.Kind, *spec, g.Policy != nil && g.Policy.Spec.RestartRollouts)
	}
	if g.Protected || !Optimizes(s, v1alpha1.OptimizeResource) {
		out.Active.Mode = v1alpha1.UpdateModePreview
	}
	return out
}
