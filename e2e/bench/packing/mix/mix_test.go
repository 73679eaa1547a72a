package mix

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/e2e/bench/packing/contest"
)

func TestKarpentersOwnMixHasAFifthOfEachKind(t *testing.T) {
	in := KarpenterOwn(502, 1)
	got := map[string]int{}
	for _, p := range in.Pods {
		switch s, a := p.Spec.TopologySpreadConstraints, p.Spec.Affinity; {
		case len(s) > 0:
			got["spread over "+s[0].TopologyKey]++
		case a != nil && a.PodAffinity != nil:
			got["together in "+a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].TopologyKey]++
		case a != nil && a.PodAntiAffinity != nil:
			got["apart by "+a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].TopologyKey]++
		default:
			got["plain"]++
		}
	}
	want := map[string]int{
		"plain": 102, "spread over " + corev1.LabelTopologyZone: 100, "spread over " + corev1.LabelHostname: 100,
		"together in " + corev1.LabelTopologyZone: 100, "apart by " + corev1.LabelHostname: 100,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := in.Types(); got != KarpenterTypes {
		t.Errorf("%d types, want %d", got, KarpenterTypes)
	}
}

func TestASeedAlwaysMakesTheSamePods(t *testing.T) {
	for name, make := range map[string]func(seed uint64) []*corev1.Pod{
		"Karpenter's own": func(seed uint64) []*corev1.Pod { return KarpenterOwn(60, seed).Pods },
		"deployments":     func(seed uint64) []*corev1.Pod { return Deployments(60, seed) },
	} {
		if diff := cmp.Diff(make(3), make(3)); diff != "" {
			t.Errorf("%s differ from run to run:\n%s", name, diff)
		}
		if cmp.Equal(make(3), make(4)) {
			t.Errorf("%s do not depend on the seed", name)
		}
	}
}

func TestPodsHaveUIDsOfTheirOwn(t *testing.T) {
	for _, kind := range Odd() {
		for seed := range uint64(3) {
			in, err := kind.Make(seed)
			if err != nil {
				t.Fatalf("%s: %v", kind.Name, err)
			}
			distinct(t, kind.Name, in)
		}
	}
	distinct(t, "Karpenter's own", KarpenterOwn(100, 1))
}

func distinct(t *testing.T, name string, in *contest.Input) {
	t.Helper()
	seen := map[string]bool{}
	for _, p := range in.Pods {
		if seen[string(p.UID)] {
			t.Errorf("%s: two pods have the UID %s", name, p.UID)
		}
		seen[string(p.UID)] = true
	}
}

func TestRealTypesAreOrdinaryMachinesAtKnownPrices(t *testing.T) {
	for name, m := range map[string]Market{"on demand": {}, "spot": {Spot: true}, "gpus": {GPUs: true}} {
		types, err := RealTypes(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(types) < 300 {
			t.Errorf("%s: only %d types", name, len(types))
		}
		spot, gpus := 0, 0
		for _, it := range types {
			gpu := it.Capacity["nvidia.com/gpu"]
			gpus += int(gpu.Value())
			for _, o := range it.Offerings {
				if !(o.Price > 0) {
					t.Errorf("%s: %s costs %v", name, it.Name, o.Price)
				}
				if o.CapacityType() == karpv1.CapacityTypeSpot {
					spot++
				}
			}
		}
		if (spot > 0) != m.Spot || (gpus > 0) != m.GPUs {
			t.Errorf("%s: %d spot offerings and %d GPUs", name, spot, gpus)
		}
	}
}

func TestTheTraceOfAGPUClusterIsSampledEvenly(t *testing.T) {
	const data = "../../../../../shared/data"
	if _, err := os.Stat(filepath.Join(data, OpenbFile)); err != nil {
		t.Skipf("the trace is not there: %v", err)
	}
	in, err := Openb(data, 100, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Pods) != 100 || in.Pods[0].Name != "openb-pod-0000" || in.Pods[99].Name < "openb-pod-8000" {
		t.Errorf("%d pods from %s to %s, want 100 over the whole trace", len(in.Pods), in.Pods[0].Name, in.Pods[len(in.Pods)-1].Name)
	}
	if !WantsGPUs(in.Pods) {
		t.Error("no pod asks for a GPU")
	}
	all, err := Openb(data, 0, 1)
	if err != nil || len(all.Pods) != 8152 {
		t.Errorf("%d pods, %v, want all 8152", len(all.Pods), err)
	}
}
