package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	ctrladmission "sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/admission"
	"supercargo.dev/recommender/governance"
)

const name = "supercargo-recommender"

// shutdown is how long controllers may take to end; the last checkpoint is written within it.
const shutdown = 25 * time.Second

func run(ctx context.Context, o options) error {
	if _, err := o.StartLog(); err != nil {
		return err
	}
	cfg, err := o.Config(name, version)
	if err != nil {
		return err
	}
	r := &recommender{options: o, config: cfg}
	if o.webhook() {
		r.keyring = &admission.Keyring{}
	}
	if r.manager, err = newManager(cfg, o, r.keyring); err != nil {
		return err
	}
	if err := r.wire(ctx); err != nil {
		return err
	}
	if err := r.manager.Start(ctx); err != nil {
		return fmt.Errorf("running, %w", err)
	}
	return nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("building the scheme, %w", err)
		}
	}
	return scheme, nil
}

func newManager(cfg *rest.Config, o options, keyring *admission.Keyring) (manager.Manager, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	grace := shutdown
	m := o.Manager(name)
	m.Scheme, m.GracefulShutdownTimeout = scheme, &grace
	m.Cache = cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			// The switches only: checkpoints are ConfigMaps too, and large.
			&corev1.ConfigMap{}: {
				Namespaces: map[string]cache.Config{o.Namespace: {}},
				Field:      fields.OneTermEqualSelector("metadata.name", governance.SwitchName),
			},
		},
	}
	// Read by name through the API reader where they are needed, so that no informer is started for them.
	m.Client = client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}}
	if keyring != nil {
		host, port, err := o.webhookHostPort()
		if err != nil {
			return nil, err
		}
		m.WebhookServer = webhook.NewServer(webhook.Options{Host: host, Port: port, TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.MinVersion = tls.VersionTLS12
			c.GetCertificate = keyring.GetCertificate
		}}})
	}
	mgr, err := manager.New(cfg, m)
	if err != nil {
		return nil, fmt.Errorf("building the manager, %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("adding the liveness check, %w", err)
	}
	ready := healthz.Ping
	if keyring != nil {
		ready = mgr.GetWebhookServer().StartedChecker()
	}
	if err := mgr.AddReadyzCheck("webhook", ready); err != nil {
		return nil, fmt.Errorf("adding the readiness check, %w", err)
	}
	return mgr, nil
}

// webhookDecoder reads the objects of admission requests.
func webhookDecoder(mgr manager.Manager) ctrladmission.Decoder {
	return ctrladmission.NewDecoder(mgr.GetScheme())
}
