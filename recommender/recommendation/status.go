package recommendation

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/governance"
	"supercargo.dev/recommender/insight"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/resize"
)

// condition sets a condition of the scaler. Its transition time moves only with its status.
func (v *view) condition(kind string, status metav1.ConditionStatus, reason, message string) {
	c := metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: v.scaler.Generation,
		LastTransitionTime: metav1.NewTime(v.now.Truncate(time.Second)),
	}
	if old := meta.FindStatusCondition(v.scaler.Status.Conditions, kind); old != nil && old.Status == status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	meta.SetStatusCondition(&v.scaler.Status.Conditions, c)
}

// statusPatch is the merge patch from one status to another. A status that was never written is empty on the server, where ours has
// zeros that are required there: they count as changes.
func statusPatch(before, after *v1alpha1.WorkloadScaler) (client.Patch, error) {
	type object struct {
		Status any `json:"status"`
	}
	var from any = before.Status
	if before.Status.ObservedGeneration == 0 {
		from = struct{}{}
	}
	was, err := json.Marshal(object{from})
	if err != nil {
		return nil, err
	}
	is, err := json.Marshal(object{after.Status})
	if err != nil {
		return nil, err
	}
	patch, err := jsonpatch.CreateMergePatch(was, is)
	if err != nil {
		return nil, err
	}
	return client.RawPatch(types.MergePatchType, patch), nil
}

// matched writes which policies govern the workload, with the mode that really holds: consumers of the status act on it.
func (v *view) matched(s policy.Situation) {
	v.scaler.Status.Labels, v.scaler.Status.ReviewOnly = v.workload.Object.GetLabels(), s.ReviewOnly
	out := &v1alpha1.MatchedPolicy{
		RecommendationPolicy: v.governing.EstimateName, Schedule: s.Active.Item, Mode: s.Active.Mode,
		Resources: v.governing.Rules.Resources,
	}
	if v.governing.Policy != nil {
		out.AutoscalingPolicy = v.governing.Policy.Name
		out.OnRemoval = policy.RemovalOf(v.governing.Policy)
	}
	if gone := v.governing.Removal; gone != nil {
		out.AutoscalingPolicy, out.OnRemoval, out.Mode = gone.AutoscalingPolicy, gone.Plan.DeepCopy(), v1alpha1.UpdateModeOff
	}
	switch {
	case s.Target.Disabled():
		out.Mode = v1alpha1.UpdateModeOff
	case s.PodLevel && governance.Applies(out.Mode), s.ReviewOnly != "" && !s.ByHand && governance.Applies(out.Mode):
		out.Mode = v1alpha1.UpdateModePreview
	}
	v.scaler.Status.Policy = out
}

func (r *Reconciler) age(v *view) time.Duration {
	last, ok := r.Store.LastSample(v.key)
	if !ok {
		return governance.NeverUsed
	}
	return max(0, v.now.Sub(last))
}

func (r *Reconciler) freshness(v *view) {
	age := r.age(v)
	switch {
	case len(v.workload.Pods) == 0:
		v.condition(v1alpha1.ConditionUsageFresh, metav1.ConditionTrue, "NoPods", "the workload has no pods to use anything")
	case age == governance.NeverUsed:
		v.condition(v1alpha1.ConditionUsageFresh, metav1.ConditionFalse, "NeverSeen", "no usage of the workload has been seen yet")
	case age > staleAfter:
		last := v.now.Add(-age).UTC().Format(time.RFC3339)
		v.condition(v1alpha1.ConditionUsageFresh, metav1.ConditionFalse, "Stale", "the newest usage is of "+last)
	default:
		v.condition(v1alpha1.ConditionUsageFresh, metav1.ConditionTrue, "Fresh", "")
	}
}

// applied counts pods and says whether they run with the recommendation, or why not.
func (v *view) applied(o resize.Outcome, changes []resize.Change) {
	v.count(o, changes)
	v.boost(o)
	a := &v.scaler.Status.Applied
	mode := v.scaler.Status.Policy.Mode
	behind := a.Pods - a.UpToDate
	switch {
	case behind == 0:
		v.condition(v1alpha1.ConditionApplied, metav1.ConditionTrue, "UpToDate", "")
	case o.Verdict.Stop && (governance.Applies(mode) || o.Verdict.Reason != "ModeOff"):
		v.condition(v1alpha1.ConditionApplied, metav1.ConditionFalse, o.Verdict.Reason, o.Verdict.Message)
	case !governance.Applies(mode):
		v.condition(v1alpha1.ConditionApplied, metav1.ConditionFalse, string(mode), fmt.Sprintf("%d of %d pods would be changed", behind, a.Pods))
	default:
		v.condition(v1alpha1.ConditionApplied, metav1.ConditionFalse, "Applying", fmt.Sprintf("%d of %d pods have drifted", behind, a.Pods))
	}
}

// count counts pods and what was done to them.
func (v *view) count(o resize.Outcome, changes []resize.Change) {
	a := &v.scaler.Status.Applied
	a.Pods, a.UpToDate, a.Boosted = int32(len(changes)), 0, 0 //nolint:gosec // fewer than 2^31 pods
	for _, c := range changes {
		if c.Boosted {
			a.Boosted++
		}
		if len(c.Deviations) == 0 {
			a.UpToDate++
		}
	}
	a.Boosted = max(0, a.Boosted-int32(o.BoostsEnded)) //nolint:gosec // fewer than 2^31 pods
	a.Resized += o.Resized
	a.Recreated += o.Recreated
	if o.Resized+o.Recreated > 0 {
		at := metav1.NewTime(v.now.Truncate(time.Second))
		a.LastAppliedAt = &at
	}
}

// boost says whether startup boosts end as they should. A failure holds boosts back for a while from now, so its time is the newest.
func (v *view) boost(o resize.Outcome) {
	switch {
	case o.BoostFailed != "":
		known := meta.FindStatusCondition(v.scaler.Status.Conditions, v1alpha1.ConditionStartupBoost)
		fresh := resize.MayBoost(v.scaler, v.now)
		v.condition(v1alpha1.ConditionStartupBoost, metav1.ConditionFalse, "NotEnded", o.BoostFailed+"; new pods are not boosted for a day")
		if known != nil && fresh {
			meta.FindStatusCondition(v.scaler.Status.Conditions, v1alpha1.ConditionStartupBoost).LastTransitionTime = metav1.NewTime(v.now.Truncate(time.Second))
		}
	case o.BoostsEnded > 0:
		v.condition(v1alpha1.ConditionStartupBoost, metav1.ConditionTrue, "Ended", "")
	}
}

const gib = 1 << 30

// appraise writes score, efficiency and cost impact, over the pods as they are now.
func (r *Reconciler) appraise(v *view, changes []resize.Change) {
	r.mu.Lock()
	last, known := r.computed[client.ObjectKeyFromObject(v.scaler)]
	r.mu.Unlock()
	if !known { // after a restart, while nothing can be computed: what was found before stands
		return
	}
	st := &v.scaler.Status
	onNodePools, realisable := "", ""
	if st.CostImpact != nil { // the provisioner's fields
		onNodePools, realisable = st.CostImpact.OnNodePools, st.CostImpact.Realisable
	}
	st.Score, st.EfficiencyPercent, st.ResourceScores, st.CostImpact, st.Priority = nil, nil, nil, nil, ""
	cpu := insight.Resource{Name: string(corev1.ResourceCPU), Price: r.Prices.PerCPUHour, InDrift: true}
	memory := insight.Resource{Name: string(corev1.ResourceMemory), Price: r.Prices.PerGiBHour, InDrift: true}
	for _, change := range changes {
		for name, current := range change.Current {
			u := last.mean[v.workload.Group(name)]
			sum(&cpu, current, change.Desired[name], u.milliCPU/1000, 1)
			sum(&memory, current, change.Desired[name], u.bytes/gib, gib)
		}
		for _, d := range change.Deviations {
			if d.Field != "requests" {
				continue
			}
			cpu.InDrift = cpu.InDrift && d.Resource != corev1.ResourceCPU
			memory.InDrift = memory.InDrift && d.Resource != corev1.ResourceMemory
		}
	}
	if len(changes) == 0 {
		return
	}
	s := insight.Summarize([]insight.Resource{cpu, memory})
	st.Score = whole(s.Score)
	st.EfficiencyPercent = whole(100 * s.Efficiency)
	for _, score := range s.Resources {
		value, efficiency := whole(score.Score), whole(100*score.Efficiency)
		if value == nil {
			continue
		}
		out := v1alpha1.ResourceScore{Resource: corev1.ResourceName(score.Name), Score: *value}
		if efficiency != nil {
			out.EfficiencyPercent = *efficiency
		}
		st.ResourceScores = append(st.ResourceScores, out)
	}
	if !math.IsNaN(s.Net) {
		st.CostImpact = &v1alpha1.CostImpact{
			Savings: usd(s.Savings), Reinvestment: usd(s.Reinvestment), Net: usd(s.Net), OnNodePools: onNodePools, Realisable: realisable,
		}
		st.Priority = usd(insight.Priority(s.Net, v.outlook([]insight.Resource{cpu, memory})))
	}
}

// outlook is how safe the change of a workload would be.
func (v *view) outlook(all []insight.Resource) insight.Outlook {
	out := insight.Outlook{Stability: insight.Stability(all), Risk: insight.Risk(all, v.workload.Replicas, v.scaler.Status.ReviewOnly != "")}
	if rec := v.scaler.Status.Recommendation; rec != nil {
		out.Confidence = float64(rec.Confidence.CoveragePercent) / 100
		if rec.Confidence.Level == v1alpha1.ConfidenceFull {
			out.Confidence = 1
		}
	}
	return out
}

// sum adds one container of one pod to a resource, in units of scale.
func sum(to *insight.Resource, current, desired corev1.ResourceRequirements, used, scale float64) {
	name := corev1.ResourceName(to.Name)
	request := current.Requests[name]
	to.Request += request.AsApproximateFloat64() / scale
	wanted, ok := desired.Requests[name]
	if !ok {
		wanted = request
	}
	to.Recommended += wanted.AsApproximateFloat64() / scale
	if !math.IsNaN(used) {
		to.Usage += used
	}
}

// used is the mean usage of one pod's container, in millicores and bytes.
type used struct{ milliCPU, bytes float64 }

func means(computed estimate.Recommendation) map[string]used {
	out := make(map[string]used, len(computed.Containers))
	for _, c := range computed.Containers {
		out[c.Name] = used{c.MeanMilliCPU, c.MeanMemoryBytes}
	}
	return out
}

// whole rounds to an integer of the status; nil for NaN.
func whole(f float64) *int32 {
	if math.IsNaN(f) {
		return nil
	}
	n := int32(math.Round(min(max(f, 0), math.MaxInt32)))
	return &n
}

// usd writes an amount with two decimals, and no negative zero.
func usd(f float64) string {
	return strconv.FormatFloat(math.Round(f*100)/100+0, 'f', 2, 64)
}
