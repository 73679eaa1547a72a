package sim

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/awslabs/operatorpkg/status"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
)

func TestWhatTheCloudDoesNotKnowIsNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		spec v1alpha1.SimNodeClassSpec
		want string // "" is ready
	}{
		"an empty spec":        {v1alpha1.SimNodeClassSpec{}, ""},
		"everything known":     {v1alpha1.SimNodeClassSpec{Region: "us-east-1", Zones: []string{"us-east-1b"}, InstanceFamilies: []string{"m5", "c5"}}, ""},
		"another region":       {v1alpha1.SimNodeClassSpec{Region: "eu-west-1"}, `spec.region: "eu-west-1"`},
		"an unknown zone":      {v1alpha1.SimNodeClassSpec{Zones: []string{"us-east-1a", "us-east-1x"}}, `spec.zones[1]: "us-east-1x"`},
		"an unknown family":    {v1alpha1.SimNodeClassSpec{InstanceFamilies: []string{"m99"}}, `spec.instanceFamilies[0]: "m99"`},
		"a volume of no size":  {v1alpha1.SimNodeClassSpec{EphemeralStorage: new(resource.MustParse("0"))}, "spec.ephemeralStorage"},
		"two mistakes at once": {v1alpha1.SimNodeClassSpec{Region: "x", InstanceFamilies: []string{"m99"}}, `spec.instanceFamilies[0]`},
	} {
		t.Run(name, func(t *testing.T) {
			ready := newProvider(t, tc.spec).reconcile(t).StatusConditions().Get(status.ConditionReady)
			if tc.want == "" && !ready.IsTrue() || tc.want != "" && (!ready.IsFalse() || !strings.Contains(ready.Message, tc.want)) {
				t.Errorf("Ready %+v", ready)
			}
		})
	}
}

func TestANodeClassStaysUntilItsLastClaimIsGone(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	ctx := context.Background()
	asked := claim("a")
	if err := p.kube.Create(ctx, asked); err != nil {
		t.Fatal(err)
	}
	if err := p.kube.Delete(ctx, p.reconcile(t)); err != nil {
		t.Fatal(err)
	}
	p.reconcile(t)
	key := types.NamespacedName{Name: "default"}
	if err := p.kube.Get(ctx, key, &v1alpha1.SimNodeClass{}); err != nil {
		t.Fatalf("gone before its claim: %v", err)
	}
	if err := p.kube.Delete(ctx, asked); err != nil {
		t.Fatal(err)
	}
	p.reconcile(t)
	if err := p.kube.Get(ctx, key, &v1alpha1.SimNodeClass{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("still there: %v", err)
	}
}

func TestANewHashVersionIsNoDrift(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	ctx := context.Background()
	old := map[string]string{v1alpha1.SimNodeClassHashAnnotation: "old", v1alpha1.SimNodeClassHashVersionAnnotation: "v0"}
	kept, drifted := claim("kept"), claim("drifted")
	kept.Annotations, drifted.Annotations = old, old
	drifted.StatusConditions().SetTrue(karpv1.ConditionTypeDrifted)
	class := p.reconcile(t)
	class.Annotations[v1alpha1.SimNodeClassHashVersionAnnotation] = "v0"
	for _, err := range []error{p.kube.Create(ctx, kept), p.kube.Create(ctx, drifted), p.kube.Status().Update(ctx, drifted), p.kube.Update(ctx, class)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p.reconcile(t)
	for name, want := range map[string]string{"kept": class.Hash(), "drifted": "old"} {
		got := &karpv1.NodeClaim{}
		if err := p.kube.Get(ctx, types.NamespacedName{Name: name}, got); err != nil {
			t.Fatal(err)
		}
		if got.Annotations[v1alpha1.SimNodeClassHashAnnotation] != want || got.Annotations[v1alpha1.SimNodeClassHashVersionAnnotation] != v1alpha1.SimNodeClassHashVersion {
			t.Errorf("%s: %v", name, got.Annotations)
		}
	}
}

func TestSweepTerminatesOnlyWhatLeaked(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	ctx := context.Background()
	launch := func(name string) *karpv1.NodeClaim { return p.launch(t, claim(name)) }
	recorded := claim("recorded")
	recorded.Status.ProviderID = launch("recorded").Status.ProviderID
	pending := claim("pending")
	launch("pending")
	leaked := launch("leaked").Status.ProviderID
	for _, err := range []error{p.kube.Create(ctx, recorded), p.kube.Status().Update(ctx, recorded), p.kube.Create(ctx, pending)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sweep := func() []string {
		t.Helper()
		if _, err := NewSweepController(p.kube, p.CloudProvider).Reconcile(ctx); err != nil {
			t.Fatal(err)
		}
		var gone []string
		for _, i := range p.cloud.list() {
			if i.State == Terminated {
				gone = append(gone, i.ProviderID)
			}
		}
		return gone
	}
	if gone := sweep(); len(gone) != 0 {
		t.Errorf("a fresh instance was taken for leaked: %v", gone)
	}
	p.cloud.clock.Step(leakAge + time.Second)
	if gone := sweep(); len(gone) != 1 || gone[0] != leaked {
		t.Errorf("terminated %v, want %s", gone, leaked)
	}
	p.cloud.fault(Fault{Kind: FaultError, Operations: []Operation{OpDescribeInstances}})
	if _, err := NewSweepController(p.kube, p.CloudProvider).Reconcile(ctx); err == nil {
		t.Error("a list that failed was taken for an empty one")
	}
}

func TestAddingAnOptionalFieldChangesNoHash(t *testing.T) {
	// These are the hashes of nodes that run: they may change only together with the version of the hash.
	for want, spec := range map[string]v1alpha1.SimNodeClassSpec{
		"c735ad1983dc7ddd": {},
		"66051869b914f317": {
			Image: "v1", MaxPods: new(int32(110)), EphemeralStorage: new(resource.MustParse("50Gi")),
			Tags: map[string]string{"b": "2", "a": "1"}, Zones: []string{"us-east-1a"},
		},
	} {
		if got := (&v1alpha1.SimNodeClass{Spec: spec}).Hash(); got != want {
			t.Errorf("hash %s, want %s", got, want)
		}
	}
}
