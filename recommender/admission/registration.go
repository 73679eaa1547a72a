package admission

import (
	"context"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/recommender/governance"
)

const (
	// ConfigurationName of the MutatingWebhookConfiguration.
	ConfigurationName = "supercargo-recommender"
	// ServiceName through which the API server reaches the webhook.
	ServiceName = "supercargo-recommender-webhook"
	// timeoutSeconds is how long the API server waits for an answer before it admits the pod as it is.
	timeoutSeconds = 2
	// recheck is how often the registration is compared with what it should be.
	recheck = 30 * time.Second
)

// Registration keeps the MutatingWebhookConfiguration. It is a manager.Runnable that runs on the leader only.
type Registration struct {
	Client client.Client
	Direct client.Reader
	// Namespace of the installation.
	Namespace string
	// URL of the webhook without path, for a recommender outside of the cluster; empty: its Service.
	URL     string
	Keyring *Keyring
	Clock   clock.WithTicker
}

// NeedLeaderElection makes the manager start it on the leader only.
func (r *Registration) NeedLeaderElection() bool { return true }

// Start keeps the registration until the context ends. It stays when the recommender goes: its absence blocks nobody.
func (r *Registration) Start(ctx context.Context) error {
	ticker := r.Clock.NewTicker(recheck)
	defer ticker.Stop()
	for {
		wait := ticker.C()
		if len(r.Keyring.Authorities()) == 0 { // the certificate is being made
			timer := r.Clock.NewTimer(200 * time.Millisecond)
			wait = timer.C()
		} else if err := r.Sync(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "the webhook could not be registered; trying again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wait:
		}
	}
}

// Sync writes the configuration where it is missing or differs.
func (r *Registration) Sync(ctx context.Context) error {
	want := r.configuration()
	have := &admissionv1.MutatingWebhookConfiguration{}
	err := r.Direct.Get(ctx, types.NamespacedName{Name: ConfigurationName}, have)
	if apierrors.IsNotFound(err) {
		if err := r.Client.Create(ctx, want); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("registering the webhook, %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the webhook's registration, %w", err)
	}
	if equality.Semantic.DeepEqual(have.Webhooks, want.Webhooks) {
		return nil
	}
	have.Webhooks = want.Webhooks
	if err := r.Client.Update(ctx, have); err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("registering the webhook, %w", err)
	}
	return nil
}

// configuration states every field, those with a default too, so that it can be compared with what the API server returns.
func (r *Registration) configuration() *admissionv1.MutatingWebhookConfiguration {
	config := admissionv1.WebhookClientConfig{CABundle: r.Keyring.Authorities()}
	if r.URL != "" {
		config.URL = ptr.To(r.URL + Path)
	} else {
		config.Service = &admissionv1.ServiceReference{Namespace: r.Namespace, Name: ServiceName, Path: ptr.To(Path), Port: ptr.To[int32](443)}
	}
	hook := func(name string, namespaces, objects *metav1.LabelSelector) admissionv1.MutatingWebhook {
		return admissionv1.MutatingWebhook{
			Name: name, ClientConfig: config, NamespaceSelector: namespaces, ObjectSelector: objects,
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule: admissionv1.Rule{
					APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
					Scope: ptr.To(admissionv1.NamespacedScope),
				},
			}},
			FailurePolicy: ptr.To(admissionv1.Ignore), MatchPolicy: ptr.To(admissionv1.Equivalent),
			SideEffects: ptr.To(admissionv1.SideEffectClassNone), TimeoutSeconds: ptr.To[int32](timeoutSeconds),
			AdmissionReviewVersions: []string{"v1"}, ReinvocationPolicy: ptr.To(admissionv1.NeverReinvocationPolicy),
		}
	}
	namespaces := func(op metav1.LabelSelectorOperator, names ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: corev1.LabelMetadataName, Operator: op, Values: names}}}
	}
	protected := sets.List(governance.ProtectedNamespaces(r.Namespace))
	out := &admissionv1.MutatingWebhookConfiguration{Webhooks: []admissionv1.MutatingWebhook{
		hook("pods.supercargo.dev", namespaces(metav1.LabelSelectorOpNotIn, protected...), &metav1.LabelSelector{}),
		hook("probe.supercargo.dev", namespaces(metav1.LabelSelectorOpIn, r.Namespace), &metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: ProbeLabel, Operator: metav1.LabelSelectorOpExists}},
		}),
	}}
	out.Name = ConfigurationName
	return out
}
