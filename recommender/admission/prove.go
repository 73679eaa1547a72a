package admission

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/api/v1alpha1"
)

// provenFor is how long one proof holds.
const provenFor = 30 * time.Second

// Prover proves that the API server calls the webhook and takes its answer, by creating a pod as a dry run. Without such a proof no
// pod may be replaced: its successor would come up as it was, and be replaced again.
type Prover struct {
	client    client.Client
	namespace string
	account   string
	clock     clock.PassiveClock

	mu    sync.Mutex
	rand  *rand.Rand
	at    time.Time
	works bool
}

// NewProver returns a prover that creates its probes in a namespace, under a ServiceAccount that exists there.
func NewProver(c client.Client, namespace, account string, k clock.PassiveClock, seed uint64) *Prover {
	return &Prover{client: c, namespace: namespace, account: account, clock: k, rand: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // no secret
}

// Proven says whether a probe was mutated within the last 30 s. The error is that of the context.
func (p *Prover) Proven(ctx context.Context) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.at.IsZero() && p.clock.Since(p.at) < provenFor {
		return p.works, nil
	}
	err := p.prove(ctx)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		log.FromContext(ctx).Error(err, "the admission webhook is not proven to work; no pod will be replaced")
	}
	p.at, p.works = p.clock.Now(), err == nil
	return p.works, nil
}

// Prove sends a probe now. The error says why it was not mutated.
func (p *Prover) Prove(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.prove(ctx)
}

var errNotCalled = errors.New("the API server does not call the webhook, or does not take its answer")

func (p *Prover) prove(ctx context.Context) error {
	nonce := strconv.FormatUint(p.rand.Uint64(), 36)
	probe := p.probe(nonce)
	if err := p.client.Create(ctx, probe, client.DryRunAll); err != nil {
		return fmt.Errorf("creating a pod as a dry run, %w", err)
	}
	if probe.Annotations[v1alpha1.RecommendationAnnotation] != nonce {
		return errNotCalled
	}
	return nil
}

// probe is a pod that the restricted Pod Security Standard admits.
func (p *Prover) probe(nonce string) *corev1.Pod {
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		ServiceAccountName: p.account, AutomountServiceAccountToken: ptr.To(false), RestartPolicy: corev1.RestartPolicyNever,
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers: []corev1.Container{{
			Name: "probe", Image: "registry.k8s.io/pause:3.10",
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), RunAsUser: ptr.To[int64](65532),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}}
	pod.Namespace, pod.GenerateName = p.namespace, "supercargo-admission-probe-"
	pod.Labels = map[string]string{ProbeLabel: nonce}
	return pod
}
