package recommendation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/governance"
	"supercargo.dev/recommender/policy"
)

// recommend computes the recommendation where it is due. What is there stays where it is not, and where it cannot be computed.
// urgent says that something happened that it must answer at once.
func (r *Reconciler) recommend(v *view, urgent bool) error {
	if urgent {
		r.outdate(v)
	}
	if p := v.governing.Problem; p != nil {
		v.condition(v1alpha1.ConditionRecommended, metav1.ConditionFalse, p.Reason, p.Message)
		return nil
	}
	if r.Backfill != nil && !r.Backfill.Ready(client.ObjectKeyFromObject(v.scaler), v.key) {
		v.condition(v1alpha1.ConditionRecommended, metav1.ConditionFalse, "LoadingHistory", "usage from before the start is being read")
		return nil
	}
	interval := intervalOf(v.scaler)
	if interval <= 0 {
		v.condition(v1alpha1.ConditionRecommended, metav1.ConditionFalse, "InvalidInterval",
			fmt.Sprintf("spec.interval %q is not a duration such as 30m or 1d", v.scaler.Spec.Interval))
		return nil
	}
	in := estimate.Inputs{
		Now: v.now, LimitRanges: v.governing.Rules.LimitRanges, ByHand: v.governing.ByHand, Previous: v.scaler.Status.Recommendation,
	}
	for _, c := range v.workload.Containers() {
		in.Containers = append(in.Containers, estimate.Container{Name: c.Name, Current: c.Resources})
	}
	now, err := v.basis(in)
	if err != nil {
		return err
	}
	if !r.due(v, now, interval) {
		return nil
	}
	computed, err := r.Store.Recommend(v.key, v.governing.Estimate, in)
	if errors.Is(err, estimate.ErrNoData) {
		if v.scaler.Status.Recommendation == nil {
			v.condition(v1alpha1.ConditionRecommended, metav1.ConditionFalse, "NoUsage", "no usage of the workload has been seen yet")
		}
		return nil
	}
	if err != nil {
		v.condition(v1alpha1.ConditionRecommended, metav1.ConditionFalse, "Failed", err.Error())
		return nil
	}
	r.publish(v, computed)
	now.mean = means(computed)
	r.mu.Lock()
	if r.computed == nil {
		r.computed = map[client.ObjectKey]basis{}
	}
	r.computed[client.ObjectKeyFromObject(v.scaler)] = now
	r.mu.Unlock()
	return nil
}

// intervalOf is how often the recommendation of a scaler is computed; 0 where what it says is no duration.
func intervalOf(s *v1alpha1.WorkloadScaler) time.Duration {
	if s.Spec.Interval == "" {
		return defaultInterval
	}
	interval, err := estimate.ParseDuration(s.Spec.Interval)
	if err != nil {
		return 0
	}
	return interval
}

// basis is what the recommendation is computed from now, so that a change of any of it is noticed.
func (v *view) basis(in estimate.Inputs) (basis, error) {
	content := struct {
		Generation int64
		Policy     string
		ByHand     bool
		Rules      policy.Rules
		Held       map[corev1.ResourceName]string
		Hour       int64 // of a pattern
		Containers []estimate.Container
	}{
		Generation: v.scaler.Generation, Policy: v.governing.PolicyHash, ByHand: in.ByHand, Rules: v.governing.Rules,
		Held: v.governing.Held, Containers: in.Containers,
	}
	if v.governing.Estimate.CPU.Pattern {
		content.Hour = v.now.Unix() / 3600
	}
	b, err := json.Marshal(content)
	if err != nil {
		return basis{}, fmt.Errorf("writing down what a recommendation is computed from, %w", err)
	}
	sum := sha256.Sum256(b)
	return basis{at: v.now, fingerprint: hex.EncodeToString(sum[:])}, nil
}

// outdate makes the recommendation due, now or as soon as it can be computed.
func (r *Reconciler) outdate(v *view) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(v.scaler)
	if last, known := r.computed[key]; known {
		last.fingerprint = ""
		r.computed[key] = last
	}
}

// due says whether to compute: there is no recommendation, its interval is over, what it was computed from has changed (or is not
// known, after a restart), or usage has outgrown it.
func (r *Reconciler) due(v *view, now basis, interval time.Duration) bool {
	rec := v.scaler.Status.Recommendation
	if rec == nil {
		return true
	}
	r.mu.Lock()
	last, known := r.computed[client.ObjectKeyFromObject(v.scaler)]
	r.mu.Unlock()
	if r.Store.Surging(v.key, &v.governing.Estimate) {
		interval = min(interval, estimate.SurgeInterval)
	}
	return !known || last.fingerprint != now.fingerprint || v.now.Sub(last.at) >= interval || r.Store.Surpassed(v.key, rec.Containers)
}

// publish puts a computed recommendation into the status.
func (r *Reconciler) publish(v *view, computed estimate.Recommendation) {
	containers := make([]v1alpha1.ContainerRecommendation, 0, len(computed.Containers))
	shaped := r.shape(v, &computed)
	for i := range computed.Containers {
		c := &computed.Containers[i]
		out := v1alpha1.ContainerRecommendation{Name: c.Name, Requests: c.Requests, Current: c.Current, Explanation: c.Explanation}
		out.Explanation = append(slices.Clip(out.Explanation), shaped[c.Name]...)
		hold(&out, v.governing)
		if template := v.container(c.Name); template != nil {
			keepHeap(&out, *template)
		}
		containers = append(containers, out)
	}
	containers = policy.Complete(containers, v.governing.Rules)
	template := map[string]corev1.ResourceRequirements{}
	for _, c := range v.workload.Containers() {
		template[c.Name] = c.Resources
	}
	rec := &v1alpha1.Recommendation{
		ComputedAt: metav1.NewTime(v.now.Truncate(time.Second)), PolicyHash: v.governing.PolicyHash, Confidence: computed.Confidence,
		Containers: containers, Hash: policy.Hash(policy.Desired(template, containers, v.governing.Rules)),
	}
	if old := v.scaler.Status.Recommendation; old != nil && old.Hash != rec.Hash {
		r.Metrics.changed()
	}
	if old := v.scaler.Status.Recommendation; old == nil || !equality.Semantic.DeepEqual(old, rec) {
		v.scaler.Status.Recommendation = rec
	}
	message := fmt.Sprintf("%s confidence, %s watched, %d%% of the lookback covered",
		rec.Confidence.Level, rec.Confidence.Watched.Round(time.Minute), rec.Confidence.CoveragePercent)
	v.condition(v1alpha1.ConditionRecommended, metav1.ConditionTrue, "Computed", message)
}

// shape fits the requests of a pod into a typical node, where the policy asks for that and enough is known, and explains it.
func (r *Reconciler) shape(v *view, computed *estimate.Recommendation) map[string][]v1alpha1.ExplanationStep {
	if v.governing.Fit == nil || computed.Confidence.Level != v1alpha1.ConfidenceFull {
		return nil
	}
	list := make([]v1alpha1.ContainerRecommendation, len(computed.Containers))
	for i := range computed.Containers {
		list[i] = v1alpha1.ContainerRecommendation{Name: computed.Containers[i].Name, Requests: computed.Containers[i].Requests.DeepCopy()}
	}
	pods, lowered := v.governing.Fit.Shape(list)
	out := map[string][]v1alpha1.ExplanationStep{}
	for i := range list {
		computed.Containers[i].Requests = list[i].Requests
		for _, name := range lowered {
			q := list[i].Requests[name]
			out[list[i].Name] = append(out[list[i].Name], v1alpha1.ExplanationStep{
				Resource: name, Step: "NodeFit", Value: q.String(), Message: fmt.Sprintf("lowered a little, so that %d pods fill a typical node", pods),
			})
		}
	}
	return out
}

// hold keeps the requests of resources that something else depends on, so that everybody who reads the status leaves them alone.
func hold(c *v1alpha1.ContainerRecommendation, g governance.Governing) {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		why, held := g.Held[name]
		current, has := c.Current.Requests[name]
		if !held || !has {
			continue
		}
		if c.Requests == nil {
			c.Requests = corev1.ResourceList{}
		}
		c.Requests[name] = current
		c.Explanation = append(c.Explanation, v1alpha1.ExplanationStep{Resource: name, Step: "Held", Value: current.String(), Message: why})
	}
}
