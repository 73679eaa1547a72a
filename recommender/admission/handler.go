package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/governance"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/resize"
	"supercargo.dev/recommender/workload"
)

const (
	// Path that the API server calls.
	Path = "/mutate-pods"
	// ProbeLabel marks the pods of the self-check, which are created as a dry run only. Its value is to come back as annotation.
	ProbeLabel = v1alpha1.GroupName + "/probe"
)

// Handler answers admission requests for new pods. It reads from the cache and allows every pod.
type Handler struct {
	Resolver *workload.Resolver
	Governor *governance.Governor
	Clock    clock.PassiveClock
	Decoder  admission.Decoder
	// NoBoost turns startup boosts off: where the cluster cannot resize pods in place, they could not be ended.
	NoBoost bool
}

// Handle implements admission.Handler.
func (h *Handler) Handle(ctx context.Context, req admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := h.Decoder.Decode(req, pod); err != nil {
		return admission.Allowed("the pod cannot be read: " + err.Error()) // the API server will say so better
	}
	if nonce := pod.Labels[ProbeLabel]; nonce != "" && req.Namespace == h.Governor.Namespace {
		return respond(req, pod, map[string]string{v1alpha1.RecommendationAnnotation: nonce})
	}
	mutated, reason, err := h.mutate(ctx, req.Namespace, pod)
	if err != nil {
		log.FromContext(ctx).Error(err, "new pod is admitted as it is", "namespace", req.Namespace, "pod", pod.Name+pod.GenerateName)
		return admission.Allowed("")
	}
	if mutated == nil {
		return admission.Allowed(reason)
	}
	return respond(req, mutated, nil)
}

func respond(req admission.Request, pod *corev1.Pod, annotations map[string]string) admission.Response {
	for k, v := range annotations {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[k] = v
	}
	b, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err) // failurePolicy Ignore admits the pod
	}
	return admission.PatchResponseFromRaw(req.Object.Raw, b)
}

// mutate returns the pod with its recommendation, or nil and why it stays as it is.
func (h *Handler) mutate(ctx context.Context, namespace string, pod *corev1.Pod) (*corev1.Pod, string, error) {
	if pod.Annotations[v1alpha1.DisabledAnnotation] == "true" || pod.Annotations[corev1.MirrorPodAnnotationKey] != "" {
		return nil, "the pod is left alone", nil
	}
	scaler, err := h.Resolver.ScalerOf(ctx, namespace, pod)
	if err != nil {
		return nil, "", err
	}
	if scaler == nil {
		return nil, "no workloadscaler binds the pod", nil
	}
	w, err := h.Resolver.Object(ctx, scaler)
	if err != nil {
		return nil, "", err
	}
	governing, err := h.Governor.For(ctx, scaler, w)
	if err != nil {
		return nil, "", err
	}
	s := governing.Situation(h.Clock.Now(), w, scaler)
	s.Pod = pod
	if w.Template == nil { // nothing but the pod itself says what it uses
		s.ReviewOnly = policy.ReviewOnly(pod.Spec)
	}
	if !governance.Applies(s.Active.Mode) {
		return nil, "mode " + string(s.Active.Mode), nil
	}
	boost := governing.Rules.Boost
	if h.NoBoost || !resize.MayBoost(scaler, h.Clock.Now()) {
		boost = nil
	}
	verdict := policy.AdmissionGates().Check(s)
	if verdict.Stop && (boost == nil || policy.BoostGates().Check(s).Stop) {
		return nil, verdict.Reason + ": " + verdict.Message, nil
	}
	var recommended []v1alpha1.ContainerRecommendation // none: a new workload is boosted from what it asks for
	if !verdict.Stop {
		recommended = scaler.Status.Recommendation.Containers
	}
	var quotas corev1.ResourceQuotaList
	if err := h.Governor.Reader.List(ctx, &quotas, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, "", fmt.Errorf("listing resourcequotas, %w", err)
	}
	short := ""
	for _, b := range []*policy.Boost{boost, nil} { // with the boost, else without, else as it is: no pod is lost to a quota by us
		if b == nil && len(recommended) == 0 {
			break
		}
		changed, err := desired(pod, w, recommended, governing.Rules, b)
		if err != nil {
			return nil, "", err
		}
		if short = policy.QuotaShort(quotas.Items, pod, changed); short == "" {
			return changed, "", nil
		}
	}
	return nil, "QuotaShort: " + short, nil
}

// desired gives the workload's own containers what is recommended, and on top of it the boost. Containers that were injected stay as
// they are, unless the scaler says otherwise.
func desired(
	pod *corev1.Pod, w *workload.Workload, recommended []v1alpha1.ContainerRecommendation, rules policy.Rules, boost *policy.Boost,
) (*corev1.Pod, error) {
	original := policy.Containers(pod.Spec)
	for name := range original {
		if !w.Ours(name) {
			delete(original, name)
		}
	}
	originals, err := policy.Originals(original)
	if err != nil {
		return nil, err
	}
	want := policy.Desired(original, w.Recommended(pod, recommended), rules)
	out := policy.Apply(pod, want)
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	if boost != nil {
		boosted := policy.Boosted(want, *boost, rules.LimitRanges)
		if policy.Hash(boosted) != policy.Hash(want) {
			if out.Annotations[v1alpha1.UnboostedResourcesAnnotation], err = policy.Originals(want); err != nil {
				return nil, err
			}
			out.Annotations[v1alpha1.StartupBoostAnnotation] = v1alpha1.BoostActive
			out = policy.Apply(out, boosted)
		}
	}
	if len(recommended) > 0 {
		out.Annotations[v1alpha1.RecommendationAnnotation] = policy.Hash(want)
	}
	if _, known := out.Annotations[v1alpha1.OriginalResourcesAnnotation]; !known {
		out.Annotations[v1alpha1.OriginalResourcesAnnotation] = originals
	}
	return out, nil
}
