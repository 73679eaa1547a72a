package sim

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	karpenter "sigs.k8s.io/karpenter/pkg/cloudprovider"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/catalog"
)

// provider is the cloud provider on a cloud and an API server in memory, both on one fake clock.
type provider struct {
	*CloudProvider
	cloud *cloud
	kube  client.Client
	class *v1alpha1.SimNodeClass
}

func newProvider(t *testing.T, spec v1alpha1.SimNodeClassSpec) *provider {
	t.Helper()
	c := newCloud(t, nil)
	NewCloudProvider(nil, c.Client, c.clock) // puts SimNodeClass into the scheme
	class := &v1alpha1.SimNodeClass{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "class"}, Spec: spec}
	kube := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(class).
		WithStatusSubresource(&v1alpha1.SimNodeClass{}, &karpv1.NodeClaim{}).Build()
	p := &provider{CloudProvider: NewCloudProvider(kube, c.Client, c.clock), cloud: c, kube: kube, class: class}
	p.reconcile(t)
	return p
}

// reconcile lets the node class controller see the class as it is stored.
func (p *provider) reconcile(t *testing.T) *v1alpha1.SimNodeClass {
	t.Helper()
	class := &v1alpha1.SimNodeClass{}
	if err := p.kube.Get(context.Background(), types.NamespacedName{Name: "default"}, class); err != nil {
		t.Fatal(err)
	}
	if _, err := NewNodeClassController(p.kube, p.CloudProvider).Reconcile(context.Background(), class); err != nil {
		t.Fatal(err)
	}
	return class
}

func pool() *karpv1.NodePool {
	p := &karpv1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "general"}}
	p.Spec.Template.Spec.NodeClassRef = &karpv1.NodeClassReference{Group: v1alpha1.GroupName, Kind: "SimNodeClass", Name: "default"}
	return p
}

func claim(name string, requirements ...karpv1.NodeSelectorRequirementWithMinValues) *karpv1.NodeClaim {
	c := &karpv1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{karpv1.NodePoolLabelKey: "general"}}}
	c.Spec.NodeClassRef = pool().Spec.Template.Spec.NodeClassRef
	c.Spec.Requirements = requirements
	c.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("2Gi")}
	return c
}

func require(key string, values ...string) karpv1.NodeSelectorRequirementWithMinValues {
	return karpv1.NodeSelectorRequirementWithMinValues{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}
}

func (p *provider) launch(t *testing.T, c *karpv1.NodeClaim) *karpv1.NodeClaim {
	t.Helper()
	launched, err := p.Create(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return launched
}

func (p *provider) instanceTypesByName(t *testing.T) map[string]*karpenter.InstanceType {
	t.Helper()
	all, err := p.GetInstanceTypes(context.Background(), pool())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*karpenter.InstanceType{}
	for _, it := range all {
		byName[it.Name] = it
	}
	return byName
}

func TestInstanceTypesAreTheCatalogs(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	region, err := catalog.Load("us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	got := p.instanceTypesByName(t)
	if len(got) != len(region.Types) {
		t.Errorf("%d types, the catalog has %d", len(got), len(region.Types))
	}
	for i := range region.Types {
		typ := &region.Types[i]
		it := got[typ.Name]
		if it == nil {
			t.Errorf("%s is missing", typ.Name)
			continue
		}
		want := typ.Resources(catalog.NodeOptions{})
		if d := cmp.Diff(want.Allocatable(), it.Allocatable()); d != "" {
			t.Errorf("%s: allocatable -catalog +provider:\n%s", typ.Name, d)
		}
		for _, key := range []string{
			corev1.LabelInstanceTypeStable, corev1.LabelArchStable, corev1.LabelOSStable, corev1.LabelTopologyZone,
			corev1.LabelTopologyRegion, karpv1.CapacityTypeLabelKey, corev1.LabelWindowsBuild, LabelInstanceFamily, LabelInstanceSize, LabelInstanceCPU, LabelInstanceMemory,
		} {
			if !it.Requirements.Has(key) {
				t.Errorf("%s says nothing of %s", typ.Name, key)
			}
		}
		for _, o := range it.Offerings {
			if !o.Available || !(o.Price > 0) {
				t.Errorf("%s %s %s: available %t, price %v", typ.Name, o.Zone(), o.CapacityType(), o.Available, o.Price)
			}
			if o.CapacityType() == Spot && (o.Price < typ.Spot.Min || o.Price > typ.Spot.Max) {
				t.Errorf("%s %s: spot price %v outside %v", typ.Name, o.Zone(), o.Price, typ.Spot)
			}
			if o.CapacityType() == OnDemand && o.Price != typ.OnDemand {
				t.Errorf("%s: on-demand price %v, want %v", typ.Name, o.Price, typ.OnDemand)
			}
		}
	}
	if d := cmp.Diff([]string{"nvidia-t4-tensor-core"}, got["g4dn.xlarge"].Requirements.Get(LabelInstanceGPUName).Values()); d != "" {
		t.Error(d)
	}
}

func TestTheNodeClassLimitsWhatIsOffered(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{Zones: []string{"us-east-1a", "us-east-1b"}, InstanceFamilies: []string{"m5"}, MaxPods: new(int32(110))})
	for name, it := range p.instanceTypesByName(t) {
		if !strings.HasPrefix(name, "m5.") || it.Capacity.Pods().Value() != 110 {
			t.Errorf("%s with %s pods", name, it.Capacity.Pods())
		}
		for _, o := range it.Offerings {
			if z := o.Zone(); z != "us-east-1a" && z != "us-east-1b" {
				t.Errorf("%s in %s", name, z)
			}
		}
	}
	other := pool()
	other.Spec.Template.Spec.NodeClassRef.Name = "missing"
	if types, err := p.GetInstanceTypes(context.Background(), other); err != nil || len(types) != 0 {
		t.Errorf("of a missing node class: %d types, %v", len(types), err)
	}
}

func TestDeleteGetAndListFollowTheInstance(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	ctx := context.Background()
	launched := p.launch(t, claim("a"))
	got, err := p.Get(ctx, launched.Status.ProviderID)
	if err != nil || got.Name != "a" || got.Status.ProviderID != launched.Status.ProviderID {
		t.Errorf("got %v, %v", got, err)
	}
	p.cloud.create("foreign", spotA) // not launched for a claim
	if all, err := p.List(ctx); err != nil || len(all) != 1 || !all[0].CreationTimestamp.Time.Equal(epoch) {
		t.Errorf("listed %v, %v", all, err)
	}
	p.cloud.server.o.TerminationDelay = time.Minute
	if err := p.Delete(ctx, launched); err != nil {
		t.Errorf("the first deletion: %v", err)
	}
	if all, err := p.List(ctx); err != nil || len(all) != 1 || all[0].DeletionTimestamp.IsZero() {
		t.Errorf("while shutting down: %v, %v", all, err)
	}
	p.cloud.clock.Step(time.Minute)
	if err := p.Delete(ctx, launched); !karpenter.IsNodeClaimNotFoundError(err) {
		t.Errorf("once it is gone: %v", err)
	}
	if _, err := p.Get(ctx, launched.Status.ProviderID); !karpenter.IsNodeClaimNotFoundError(err) {
		t.Errorf("get: %v", err)
	}
	for _, id := range []string{"", "sim:///", "aws:///us-east-1a/i-1", "sim:///us-east-1a/i-1/x"} {
		if _, err := p.Get(ctx, id); err == nil || karpenter.IsNodeClaimNotFoundError(err) {
			t.Errorf("provider id %q: %v", id, err)
		}
	}
}

func TestAnotherSpecOfTheNodeClassIsDrift(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{Image: "v1"})
	ctx := context.Background()
	asked := claim("a")
	asked.Annotations = p.launch(t, asked).Annotations
	drift := func() karpenter.DriftReason {
		t.Helper()
		p.reconcile(t)
		reason, err := p.IsDrifted(ctx, asked)
		if err != nil {
			t.Fatal(err)
		}
		return reason
	}
	if r := drift(); r != "" {
		t.Errorf("drifted at once: %s", r)
	}
	change := func(f func(*v1alpha1.SimNodeClass)) {
		t.Helper()
		class := p.reconcile(t)
		f(class)
		if err := p.kube.Update(ctx, class); err != nil {
			t.Fatal(err)
		}
	}
	change(func(c *v1alpha1.SimNodeClass) { c.Spec.Zones = []string{"us-east-1a"} })
	if r := drift(); r != "" {
		t.Errorf("drifted because of where the next may be bought: %s", r)
	}
	change(func(c *v1alpha1.SimNodeClass) { c.Spec.Image = "v2" })
	if r := drift(); r != NodeClassDrifted {
		t.Errorf("reason %q", r)
	}
	asked.Annotations[v1alpha1.SimNodeClassHashVersionAnnotation] = "v0"
	if r := drift(); r != "" {
		t.Errorf("hashes of two versions were compared: %s", r)
	}
}
