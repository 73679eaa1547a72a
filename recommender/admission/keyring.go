package admission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/api/v1alpha1"
)

const (
	// SecretName of the webhook's certificate, in the namespace of the installation.
	SecretName = "supercargo-recommender-webhook" //nolint:gosec // a name
	// refresh is how often the Secret is read: another replica may have renewed it.
	refresh = time.Minute

	authoritiesKey  = "ca.crt"
	authorityKeyKey = "ca.key"
)

// Keyring holds the webhook's certificate, which all replicas share through a Secret, and renews it in time. It is a manager.Runnable
// that runs on every replica.
type Keyring struct {
	Client client.Client
	// Direct reads from the API server, so that no Secret is ever cached or listed.
	Direct    client.Reader
	Namespace string
	// Hosts that the certificate is for: names or IP addresses.
	Hosts []string
	Clock clock.WithTicker

	mu          sync.RWMutex
	certificate *tls.Certificate
	authorities []byte
}

// NeedLeaderElection makes the manager start it on every replica.
func (k *Keyring) NeedLeaderElection() bool { return false }

// GetCertificate is for tls.Config.
func (k *Keyring) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.certificate == nil {
		return nil, errors.New("the webhook's certificate has not been made yet")
	}
	return k.certificate, nil
}

// Authorities are the trusted certificates in PEM, nil before there are any.
func (k *Keyring) Authorities() []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.authorities
}

// Start keeps the certificate until the context ends.
func (k *Keyring) Start(ctx context.Context) error {
	ticker := k.Clock.NewTicker(refresh)
	defer ticker.Stop()
	for {
		if err := k.Sync(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "the webhook's certificate could not be kept; trying again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// Sync reads the Secret, renews what is in it where that is due, and takes it into use.
func (k *Keyring) Sync(ctx context.Context) error {
	for range 3 { // another replica may write at the same moment
		secret, err := k.read(ctx)
		if err != nil {
			return err
		}
		b, renewed, err := open(secret).renew(k.Hosts, k.Clock.Now())
		if err != nil {
			return err
		}
		if renewed {
			err = k.write(ctx, secret, b)
			if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("writing the webhook's certificate, %w", err)
			}
		}
		return k.use(b)
	}
	return errors.New("writing the webhook's certificate: others keep writing it")
}

func open(s *corev1.Secret) bundle {
	return bundle{
		authorities: s.Data[authoritiesKey], caKey: s.Data[authorityKeyKey],
		cert: s.Data[corev1.TLSCertKey], key: s.Data[corev1.TLSPrivateKeyKey],
	}
}

func (k *Keyring) read(ctx context.Context) (*corev1.Secret, error) {
	s := &corev1.Secret{}
	err := k.Direct.Get(ctx, types.NamespacedName{Namespace: k.Namespace, Name: SecretName}, s)
	if apierrors.IsNotFound(err) {
		s = &corev1.Secret{Type: corev1.SecretTypeTLS}
		s.Namespace, s.Name = k.Namespace, SecretName
		s.Labels = map[string]string{"app.kubernetes.io/managed-by": v1alpha1.GroupName}
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the webhook's certificate, %w", err)
	}
	return s, nil
}

func (k *Keyring) write(ctx context.Context, s *corev1.Secret, b bundle) error {
	s.Data = map[string][]byte{
		authoritiesKey: b.authorities, authorityKeyKey: b.caKey, corev1.TLSCertKey: b.cert, corev1.TLSPrivateKeyKey: b.key,
	}
	if s.ResourceVersion == "" {
		return k.Client.Create(ctx, s)
	}
	return k.Client.Update(ctx, s)
}

func (k *Keyring) use(b bundle) error {
	p, err := b.parse()
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.certificate, k.authorities = &p.tls, b.authorities
	return nil
}
