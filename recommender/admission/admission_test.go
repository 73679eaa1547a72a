package admission

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	admissionreview "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/governance"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/workload"
)

const own = "supercargo-system"

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	return s
}

func builder(t *testing.T, objects ...client.Object) *fake.ClientBuilder {
	t.Helper()
	return fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(objects...).
		WithIndex(&v1alpha1.WorkloadScaler{}, workload.TargetField, workload.TargetIndex).
		WithIndex(&v1alpha1.WorkloadScaler{}, workload.SelectorField, workload.SelectorIndex)
}

func requests(cpu, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
	}}
}

func owned(kind, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: types.UID(name), Controller: &yes}}
}

// world is Deployment web with a ReplicaSet, its scaler and a recommendation of 100m and 128Mi.
func world(mode v1alpha1.UpdateMode, change ...func(*v1alpha1.WorkloadScaler, *appsv1.Deployment)) []client.Object {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "web"}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Resources: requests("1", "1Gi")}}
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", UID: "web-1", OwnerReferences: owned("Deployment", "web")}}
	s := &v1alpha1.WorkloadScaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	s.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}
	s.Spec.Resources.UpdatePolicy.UpdateMode = mode
	s.Status.Recommendation = &v1alpha1.Recommendation{
		Hash: "h", PolicyHash: policy.HashSpec(v1alpha1.RecommendationPolicySpec{}),
		Containers: []v1alpha1.ContainerRecommendation{{Name: "app", Requests: requests("100m", "128Mi").Requests}, {Name: "injected", Requests: requests("5", "5Gi").Requests}},
	}
	for _, c := range change {
		c(s, d)
	}
	return []client.Object{d, rs, s}
}

func TestHandle(t *testing.T) {
	for _, tc := range []struct {
		name    string
		objects []client.Object
		pod     func(*corev1.Pod)
		want    string // cpu of container app, and whether annotated
	}{
		{name: "OnCreate gives a new pod its recommendation", objects: world(v1alpha1.UpdateModeOnCreate), want: "100m annotated"},
		{name: "so do the modes that imply it", objects: world(v1alpha1.UpdateModeInPlace), want: "100m annotated"},
		{name: "Preview changes nothing", objects: world(v1alpha1.UpdateModePreview), want: "1"},
		{name: "a pod without a scaler is left", objects: nil, want: "1"},
		{name: "a workload that opted out is left", want: "1", objects: world(v1alpha1.UpdateModeAuto, func(_ *v1alpha1.WorkloadScaler, d *appsv1.Deployment) {
			d.Annotations = map[string]string{v1alpha1.DisabledAnnotation: "true"}
		})},
		{name: "the pause switch holds it", want: "1", objects: append(world(v1alpha1.UpdateModeAuto),
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: own, Name: governance.SwitchName}, Data: map[string]string{"paused": "true"}})},
		{name: "a recommendation of another policy is not applied", want: "1", objects: world(v1alpha1.UpdateModeAuto, func(s *v1alpha1.WorkloadScaler, _ *appsv1.Deployment) {
			s.Status.Recommendation.PolicyHash = "stale"
		})},
		{name: "a static pod is left", objects: world(v1alpha1.UpdateModeAuto), want: "1", pod: func(p *corev1.Pod) {
			p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		}},
		{name: "a label of the self-check means nothing elsewhere", objects: nil, want: "1", pod: func(p *corev1.Pod) {
			p.Labels = map[string]string{ProbeLabel: "x"}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := builder(t, tc.objects...).Build()
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "web-1-", OwnerReferences: owned("ReplicaSet", "web-1")}}
			p.Spec.Containers = []corev1.Container{{Name: "app", Image: "app", Resources: requests("1", "1Gi")}, {Name: "injected", Image: "proxy", Resources: requests("10m", "10Mi")}}
			if tc.pod != nil {
				tc.pod(p)
			}
			got := admitted(t, handle(t, c, "shop", p), p)
			text := got.Spec.Containers[0].Resources.Requests.Cpu().String()
			if got.Annotations[v1alpha1.RecommendationAnnotation] != "" && got.Annotations[v1alpha1.OriginalResourcesAnnotation] != "" {
				text += " annotated"
			}
			if text != tc.want || got.Spec.Containers[1].Resources.Requests.Cpu().String() != "10m" {
				t.Errorf("%s, injected %s; want %s and 10m", text, got.Spec.Containers[1].Resources.Requests.Cpu(), tc.want)
			}
		})
	}
}

func TestInjectedContainersAreChangedWhereTheScalerSaysSo(t *testing.T) {
	c := builder(t, world(v1alpha1.UpdateModeOnCreate, func(s *v1alpha1.WorkloadScaler, _ *appsv1.Deployment) {
		s.Spec.Resources.InjectedContainers = v1alpha1.InjectedOptimize
	})...).Build()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "web-1-", OwnerReferences: owned("ReplicaSet", "web-1")}}
	p.Spec.Containers = []corev1.Container{{Name: "app", Image: "app", Resources: requests("1", "1Gi")}, {Name: "injected", Image: "proxy", Resources: requests("10m", "10Mi")}}
	got := admitted(t, handle(t, c, "shop", p), p)
	if cpu := got.Spec.Containers[1].Resources.Requests.Cpu().String(); cpu != "5" {
		t.Errorf("the injected container asks for %s, want 5", cpu)
	}
}

// boosting is a policy that triples cpu and doubles memory requests of new pods.
func boosting(mode v1alpha1.UpdateMode) *v1alpha1.AutoscalingPolicy {
	p := &v1alpha1.AutoscalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: "boost"}}
	p.Spec.UpdateSchedule = []v1alpha1.ScheduleItem{{Name: "always", Mode: mode}}
	p.Spec.StartupBoost = &v1alpha1.StartupBoost{Enabled: true, CPUMultiplier: "3", MemoryMultiplier: "2"}
	return p
}

func TestNewPodsAreBoostedOnTopOfWhatTheyAreToHave(t *testing.T) {
	for _, tc := range []struct {
		name           string
		mode           v1alpha1.UpdateMode
		change         func(*v1alpha1.WorkloadScaler, *appsv1.Deployment)
		cpu, unboosted string // of container app
		quota          string // of cpu requests, nothing of which is used
	}{
		{name: "three times the recommendation", mode: v1alpha1.UpdateModeInPlace, cpu: "300m", unboosted: `"cpu":"100m"`},
		{
			name: "three times what it asks for, while nothing is recommended", mode: v1alpha1.UpdateModeInPlace, cpu: "3", unboosted: `"cpu":"1"`,
			change: func(s *v1alpha1.WorkloadScaler, _ *appsv1.Deployment) { s.Status.Recommendation = nil },
		},
		{
			name: "only the recommendation, where the quota has no room for the boost", mode: v1alpha1.UpdateModeInPlace, cpu: "1500m", quota: "1600m",
			change: func(s *v1alpha1.WorkloadScaler, _ *appsv1.Deployment) {
				s.Status.Recommendation.Containers[0].Requests = requests("1500m", "128Mi").Requests
			},
		},
		{
			name: "as it is, where the quota has no room for the recommendation", mode: v1alpha1.UpdateModeInPlace, cpu: "1", quota: "1200m",
			change: func(s *v1alpha1.WorkloadScaler, _ *appsv1.Deployment) {
				s.Status.Recommendation.Containers[0].Requests = requests("1500m", "128Mi").Requests
			},
		},
		{name: "not in mode Off", mode: v1alpha1.UpdateModeOff, cpu: "1"},
		{name: "not a workload that opted out", mode: v1alpha1.UpdateModeInPlace, cpu: "1", change: func(_ *v1alpha1.WorkloadScaler, d *appsv1.Deployment) {
			d.Annotations = map[string]string{v1alpha1.DisabledAnnotation: "true"}
		}},
		{name: "not after a boost could not be ended", mode: v1alpha1.UpdateModeInPlace, cpu: "100m", change: func(s *v1alpha1.WorkloadScaler, _ *appsv1.Deployment) {
			s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStartupBoost, Status: metav1.ConditionFalse, LastTransitionTime: metav1.NewTime(now)}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			objects := world(v1alpha1.UpdateModePreview)
			if tc.change != nil {
				objects = world(v1alpha1.UpdateModePreview, tc.change)
			}
			if tc.quota != "" {
				q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "team"}}
				q.Status.Hard = corev1.ResourceList{corev1.ResourceRequestsCPU: resource.MustParse(tc.quota)}
				objects = append(objects, q)
			}
			c := builder(t, append(objects, boosting(tc.mode))...).Build()
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "web-1-", OwnerReferences: owned("ReplicaSet", "web-1")}}
			p.Spec.Containers = []corev1.Container{{Name: "app", Image: "app", Resources: requests("1", "1Gi")}, {Name: "injected", Image: "proxy", Resources: requests("10m", "10Mi")}}
			got := admitted(t, handle(t, c, "shop", p), p)
			if cpu := got.Spec.Containers[0].Resources.Requests.Cpu().String(); cpu != tc.cpu || got.Spec.Containers[1].Resources.Requests.Cpu().String() != "10m" {
				t.Errorf("cpu %s, injected %v; want %s and 10m", cpu, got.Spec.Containers[1].Resources, tc.cpu)
			}
			if is := policy.IsBoosted(got); is != (tc.unboosted != "") || !strings.Contains(got.Annotations[v1alpha1.UnboostedResourcesAnnotation], tc.unboosted) {
				t.Errorf("annotations %v", got.Annotations)
			}
		})
	}
}

func handle(t *testing.T, c client.Client, namespace string, p *corev1.Pod) admission.Response {
	t.Helper()
	h := &Handler{
		Resolver: &workload.Resolver{Reader: c, Direct: c}, Clock: testclock.NewFakeClock(now), Decoder: admission.NewDecoder(newScheme(t)),
		Governor: &governance.Governor{Reader: c, Clock: testclock.NewFakeClock(now), Namespace: own},
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	req := admission.Request{AdmissionRequest: admissionreview.AdmissionRequest{Namespace: namespace, Object: runtime.RawExtension{Raw: raw}}}
	return h.Handle(t.Context(), req)
}

// admitted is the pod as the answer makes it.
func admitted(t *testing.T, r admission.Response, p *corev1.Pod) *corev1.Pod {
	t.Helper()
	if !r.Allowed {
		t.Fatalf("the pod is refused: %v", r.Result)
	}
	c := fake.NewClientBuilder().WithScheme(newScheme(t)).Build()
	created := p.DeepCopy()
	created.Namespace, created.Name = "shop", "created"
	if err := c.Create(t.Context(), created); err != nil {
		t.Fatal(err)
	}
	if len(r.Patches) == 0 {
		return created
	}
	patch, err := json.Marshal(r.Patches)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Patch(t.Context(), created, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		t.Fatal(err)
	}
	return created
}

func TestAPodIsAdmittedAsItIsWhenTheClusterCannotBeRead(t *testing.T) {
	c := builder(t).WithInterceptorFuncs(interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
		return context.DeadlineExceeded
	}}).Build()
	if r := handle(t, c, "shop", &corev1.Pod{}); !r.Allowed || len(r.Patches) > 0 {
		t.Errorf("%+v", r)
	}
}

func TestTheSelfCheckIsAnswered(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{ProbeLabel: "nonce"}}}
	got := admitted(t, handle(t, builder(t).Build(), own, p), p)
	if got.Annotations[v1alpha1.RecommendationAnnotation] != "nonce" {
		t.Errorf("annotations %v", got.Annotations)
	}
}

func TestAdmissionIsProvenOnlyByAMutatedProbe(t *testing.T) {
	for _, tc := range []struct {
		name    string
		answers string
		err     error
		want    bool
	}{{"the nonce comes back", "nonce", nil, true}, {"nothing comes back", "", nil, false}, {"the probe is refused", "", errors.New("forbidden"), false}} {
		t.Run(tc.name, func(t *testing.T) {
			probes := 0
			c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithInterceptorFuncs(interceptor.Funcs{
				Create: func(_ context.Context, _ client.WithWatch, o client.Object, opts ...client.CreateOption) error {
					probes++
					var made client.CreateOptions
					made.ApplyOptions(opts)
					if len(made.DryRun) != 1 {
						t.Error("the probe is no dry run")
					}
					if tc.answers != "" {
						o.SetAnnotations(map[string]string{v1alpha1.RecommendationAnnotation: o.GetLabels()[ProbeLabel]})
					}
					return tc.err
				},
			}).Build()
			clock := testclock.NewFakeClock(now)
			p := NewProver(c, own, "supercargo-recommender", clock, 1)
			for range 2 {
				if got, err := p.Proven(t.Context()); got != tc.want || err != nil {
					t.Errorf("proven %t, error %v", got, err)
				}
			}
			clock.Step(provenFor)
			if _, err := p.Proven(t.Context()); err != nil || probes != 2 {
				t.Errorf("%d probes, want one per %s; error %v", probes, provenFor, err)
			}
		})
	}
}

func TestReplicasShareOneCertificateThatIsRenewedInTime(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(newScheme(t)).Build()
	clock := testclock.NewFakeClock(now)
	ring := func() *Keyring {
		return &Keyring{Client: c, Direct: c, Namespace: own, Hosts: []string{"supercargo-recommender-webhook.supercargo-system.svc", "127.0.0.1"}, Clock: clock}
	}
	a, b := ring(), ring()
	sync := func(rings ...*Keyring) (serials []string) {
		t.Helper()
		for _, k := range rings {
			if err := k.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			serials = append(serials, leaf(t, k, clock.Now()).SerialNumber.String())
		}
		return serials
	}
	first := sync(a, b)
	if first[0] != first[1] {
		t.Error("two replicas serve two certificates")
	}
	trusted := a.Authorities()
	clock.Step(61 * 24 * time.Hour)
	second := sync(a, b)
	if second[0] == first[0] || second[0] != second[1] {
		t.Errorf("not renewed after 61 d of 90: %v, %v", first, second)
	}
	if string(a.Authorities()) != string(trusted) {
		t.Error("the authority changed with the certificate")
	}
	clock.Step(4*365*24*time.Hour - 61*24*time.Hour + time.Hour)
	sync(a, b)
	if len(a.Authorities()) < 2*len(trusted)-100 {
		t.Error("a new authority drops the former, which clients still trust, at once")
	}
	secret := &corev1.Secret{}
	if err := c.Get(t.Context(), types.NamespacedName{Namespace: own, Name: SecretName}, secret); err != nil {
		t.Fatal(err)
	}
	secret.Data[corev1.TLSCertKey] = []byte("rubbish")
	if err := c.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	sync(a, b)
}

// leaf is the certificate that a keyring serves, verified for the hosts at a time.
func leaf(t *testing.T, k *Keyring, at time.Time) *x509.Certificate {
	t.Helper()
	served, err := k.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(served.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(k.Authorities()) {
		t.Fatal("no authority")
	}
	for _, host := range k.Hosts {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: at}); err != nil {
			t.Errorf("host %s: %v", host, err)
		}
	}
	return cert
}

func TestTheRegistrationIsWrittenOnceAndPutRight(t *testing.T) {
	writes := 0
	c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithInterceptorFuncs(interceptor.Funcs{
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			writes++
			return c.Update(ctx, o, opts...)
		},
	}).Build()
	k := &Keyring{Client: c, Direct: c, Namespace: own, Hosts: []string{"127.0.0.1"}, Clock: testclock.NewFakeClock(now)}
	if err := k.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	writes = 0
	r := &Registration{Client: c, Direct: c, Namespace: own, URL: "https://127.0.0.1:9443", Keyring: k}
	for range 3 {
		if err := r.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	config := &admissionv1.MutatingWebhookConfiguration{}
	if err := c.Get(t.Context(), types.NamespacedName{Name: ConfigurationName}, config); err != nil {
		t.Fatal(err)
	}
	if writes != 0 || *config.Webhooks[0].FailurePolicy != admissionv1.Ignore || *config.Webhooks[0].ClientConfig.URL != "https://127.0.0.1:9443"+Path {
		t.Errorf("%d updates, %+v", writes, config.Webhooks[0])
	}
	config.Webhooks[0].ClientConfig.CABundle = []byte("old")
	if err := c.Update(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := r.Sync(t.Context()); err != nil || writes != 2 {
		t.Errorf("%d updates, error %v", writes, err)
	}
}
