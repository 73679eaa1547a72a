package scenarios

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/karpenter/pkg/apis"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/sandbox"
)

const (
	// patience bounds each wait of a scenario; it is far above what any takes, because the machine may be busy.
	patience = 3 * time.Minute
	// look is between two looks at the world.
	look = 100 * time.Millisecond
)

// world is a sandbox, its API and its cloud.
type world struct {
	*sandbox.Sandbox
	client.Client
	t     testing.TB
	cloud *sim.Client
}

// newWorld starts a sandbox for one test. Tests run side by side: most of their time they wait for controllers.
func newWorld(t *testing.T, args ...string) *world {
	t.Helper()
	t.Parallel()
	s := sandbox.ForTest(t, sandbox.Options{Seed: 1, Args: append([]string{"--registration-delay=500ms"}, args...)})
	c, err := client.New(s.Config(), client.Options{Scheme: newScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Sandbox: s, Client: c, t: t, cloud: sim.NewClient(s.Cloud)}
	t.Cleanup(w.tellEvents)
	return w
}

// newScheme knows Kubernetes' kinds, ours and Karpenter's. Each world has its own, because tests run side by side.
func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	if err := v1alpha1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	karpenter := schema.GroupVersion{Group: apis.Group, Version: "v1"}
	s.AddKnownTypes(karpenter, &karpv1.NodePool{}, &karpv1.NodePoolList{}, &karpv1.NodeClaim{}, &karpv1.NodeClaimList{})
	metav1.AddToGroupVersion(s, karpenter)
	return s
}

// tellEvents prints the events of a world whose test failed: they are what a user would look at first.
func (w *world) tellEvents() {
	events := &corev1.EventList{}
	if !w.t.Failed() || w.List(context.Background(), events) != nil {
		return
	}
	for _, e := range events.Items {
		w.t.Logf("event %s %s/%s %s: %s", e.LastTimestamp.Format(time.TimeOnly), e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
	}
}

// withProvisioner starts the provisioner, tuned for tests.
func (w *world) withProvisioner(args ...string) *sandbox.Process {
	w.t.Helper()
	return w.component(sandbox.Provisioner, append([]string{
		"--batch-idle-duration=200ms", "--consolidation-validation-delay=0s", "--consolidation-break-even=0s",
		"--consolidation-launch-overlap=3s",
	}, args...)...)
}

func (w *world) component(name string, args ...string) *sandbox.Process {
	w.t.Helper()
	p, err := w.Component(w.t.Context(), name, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := p.AwaitReady(ctx); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// create creates objects.
func (w *world) create(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		if err := w.Create(w.t.Context(), o); err != nil {
			w.t.Fatalf("creating %T %s: %v", o, o.GetName(), err)
		}
	}
}

// eventually waits until the condition returns an empty string; else it is what is still awaited.
func (w *world) eventually(what string, condition func(ctx context.Context) string) {
	w.t.Helper()
	var last string
	err := wait.PollUntilContextTimeout(w.t.Context(), look, patience, true, func(ctx context.Context) (bool, error) {
		last = condition(ctx)
		return last == "", nil
	})
	if err != nil {
		w.t.Fatalf("%s: %s (%v)", what, last, err)
	}
}

// throughout checks that the condition holds all along.
func (w *world) throughout(d time.Duration, what string, condition func(ctx context.Context) string) {
	w.t.Helper()
	_ = wait.PollUntilContextTimeout(w.t.Context(), look, d, true, func(ctx context.Context) (bool, error) {
		if broken := condition(ctx); broken != "" {
			w.t.Fatalf("%s: %s", what, broken)
		}
		return false, nil
	})
}

// list lists objects or fails.
func list[L client.ObjectList](w *world, into L, opts ...client.ListOption) L {
	w.t.Helper()
	if err := w.List(w.t.Context(), into, opts...); err != nil {
		w.t.Fatalf("listing %T: %v", into, err)
	}
	return into
}

// allRun is a condition: n pods of the namespace are Running and Ready.
func (w *world) allRun(namespace string, n int) func(context.Context) string {
	return func(context.Context) string {
		running := 0
		var waiting []string
		for _, p := range list(w, &corev1.PodList{}, client.InNamespace(namespace)).Items {
			if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp.IsZero() && isReady(&p) {
				running++
				continue
			}
			waiting = append(waiting, fmt.Sprintf("%s %s", p.Name, p.Status.Phase))
		}
		if running != n {
			return fmt.Sprintf("%d of %d pods run; others: %s", running, n, strings.Join(waiting, ", "))
		}
		return ""
	}
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// instances are the running instances of the cloud.
func (w *world) instances() []sim.Instance {
	w.t.Helper()
	all, err := w.cloud.List(w.t.Context())
	if err != nil {
		w.t.Fatalf("listing instances: %v", err)
	}
	return slices.DeleteFunc(all, func(i sim.Instance) bool { return i.State != sim.Running })
}

// costPerHour is what the cloud charges now.
func (w *world) costPerHour() float64 {
	w.t.Helper()
	b, err := w.cloud.Billing(w.t.Context(), false)
	if err != nil {
		w.t.Fatalf("reading the bill: %v", err)
	}
	return b.USDPerHour
}

// instancesMatchClaims is a condition: every instance belongs to a claim and every claim has its instance.
func (w *world) instancesMatchClaims(context.Context) string {
	claims := map[string]bool{}
	for _, nc := range list(w, &karpv1.NodeClaimList{}).Items {
		claims[nc.Status.ProviderID] = true
	}
	instances := w.instances()
	for _, i := range instances {
		if !claims[i.ProviderID] {
			return fmt.Sprintf("instance %s has no claim", i.ID)
		}
	}
	if len(instances) != len(claims) {
		return fmt.Sprintf("%d instances, %d claims", len(instances), len(claims))
	}
	return ""
}

// everyInstanceIsUsed checks that a pod of the default namespace runs on every instance: none was bought for nothing.
func (w *world) everyInstanceIsUsed() {
	w.t.Helper()
	used := map[string]bool{}
	for _, p := range list(w, &corev1.PodList{}, client.InNamespace(metav1.NamespaceDefault)).Items {
		used[p.Spec.NodeName] = true
	}
	for _, i := range w.instances() {
		if !used[i.ID] {
			w.t.Errorf("instance %s was bought and no pod runs on it", i.ID)
		}
	}
}

// eventOn is a condition: an event of the reason about an object of the name, whose message has all the words.
func (w *world) eventOn(kind, name, reason string, words ...string) func(context.Context) string {
	return func(context.Context) string {
		var seen []string
		for _, e := range list(w, &corev1.EventList{}).Items {
			if e.InvolvedObject.Kind != kind || !strings.HasPrefix(e.InvolvedObject.Name, name) {
				continue
			}
			if e.Reason == reason && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(e.Message, word) }) {
				return ""
			}
			seen = append(seen, e.Reason+": "+e.Message)
		}
		return fmt.Sprintf("no event %s with %q on %s %s, only %q", reason, words, kind, name, seen)
	}
}

// nodePool makes a NodePool of the simulated cloud and its SimNodeClass, both of the name.
func nodePool(name string, change ...func(*karpv1.NodePool)) []client.Object {
	after := karpv1.MustParseNillableDuration("1s")
	np := &karpv1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: name}}
	np.Spec.Template.Spec.NodeClassRef = &karpv1.NodeClassReference{Group: v1alpha1.GroupName, Kind: "SimNodeClass", Name: name}
	np.Spec.Template.Spec.Requirements = []karpv1.NodeSelectorRequirementWithMinValues{
		{Key: karpv1.CapacityTypeLabelKey, Operator: corev1.NodeSelectorOpIn, Values: []string{"spot", "on-demand"}},
		{Key: v1alpha1.InstanceFamilyLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{"c6i", "m6i", "r6i", "c7g", "m7g", "r7g"}},
	}
	np.Spec.Disruption = karpv1.Disruption{
		ConsolidationPolicy: karpv1.ConsolidationPolicyWhenEmptyOrUnderutilized, ConsolidateAfter: after,
		Budgets: []karpv1.Budget{{Nodes: "100%"}},
	}
	for _, c := range change {
		c(np)
	}
	return []client.Object{&v1alpha1.SimNodeClass{ObjectMeta: metav1.ObjectMeta{Name: name}}, np}
}

// requiring replaces a requirement of a NodePool.
func requiring(key string, values ...string) func(*karpv1.NodePool) {
	return func(np *karpv1.NodePool) {
		reqs := &np.Spec.Template.Spec.Requirements
		*reqs = slices.DeleteFunc(*reqs, func(r karpv1.NodeSelectorRequirementWithMinValues) bool { return r.Key == key })
		*reqs = append(*reqs, karpv1.NodeSelectorRequirementWithMinValues{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values})
	}
}

// noConsolidation turns consolidation off.
func noConsolidation(np *karpv1.NodePool) {
	np.Spec.Disruption.ConsolidateAfter = karpv1.MustParseNillableDuration("Never")
}

// deployment makes a Deployment in the default namespace.
func deployment(name string, replicas int32, cpu, memory string, change ...func(*corev1.PodTemplateSpec)) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "app", Image: "app", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
						corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
					}},
				}}},
			},
		},
	}
	for _, c := range change {
		c(&d.Spec.Template)
	}
	return d
}

// scale sets the replicas of a Deployment in the default namespace.
func (w *world) scale(name string, replicas int32) {
	w.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault}}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	if err := w.Patch(w.t.Context(), d, patch); err != nil {
		w.t.Fatalf("scaling %s: %v", name, err)
	}
}
