package governance

import (
	"math"
	"time"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/workload"
)

// NeverUsed is the age of usage where there was none.
const NeverUsed = time.Duration(math.MaxInt64)

// Situation is what the gates of recommender/policy ask about a workload.
func (g *Governing) Situation(now time.Time, w *workload.Workload, s *v1alpha1.WorkloadScaler) policy.Situation {
	out := policy.Situation{
		Now: now, Target: TargetOf(w), WorkloadReady: w.Ready, Paused: g.Paused, Active: g.Active,
		Recommendation: s.Status.Recommendation, PolicyHash: g.PolicyHash, ByHand: g.ByHand,
	}
	if spec := w.Spec(); spec != nil {
		out.ReviewOnly = policy.ReviewOnly(*spec)
		out.Deferred = policy.Deferred(w.GVK.Kind, *spec, g.Policy != nil && g.Policy.Spec.RestartRollouts)
	}
	if g.Protected {
		out.Active.Mode = v1alpha1.UpdateModePreview
	}
	return out
}
