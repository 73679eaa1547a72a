package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"supercargo.dev/api/v1alpha1"
)

func fit(t testing.TB, cpu, memory, tolerance string) *NodeFit {
	t.Helper()
	f, err := ParseNodeFit(&v1alpha1.NodeFit{CPU: resource.MustParse(cpu), Memory: resource.MustParse(memory), Tolerance: tolerance}, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRequestsAreShapedALittleUnderFractionsOfANode(t *testing.T) {
	for _, tc := range []struct {
		name string
		fit  *NodeFit
		have []corev1.ResourceList
		want []string // cpu/memory by container
		fits int64
	}{
		{"just too large for a fourth", fit(t, "3920m", "14Gi", ""), []corev1.ResourceList{list("1", "1Gi")}, []string{"980m/1Gi"}, 4},
		{"too large beyond the tolerance", fit(t, "3920m", "14Gi", "1%"), []corev1.ResourceList{list("1", "1Gi")}, []string{"1/1Gi"}, 3},
		{"memory too", fit(t, "100", "10000Mi", ""), []corev1.ResourceList{list("100m", "2600Mi")}, []string{"100m/2500Mi"}, 4},
		{"memory never by more than its overhead", fit(t, "100", "10000Mi", "20%"), []corev1.ResourceList{list("100m", "2900Mi")}, []string{"100m/2900Mi"}, 3},
		{"both, or neither: a pod that memory keeps out gains nothing from less cpu", fit(t, "3920m", "4Gi", ""), []corev1.ResourceList{list("1", "2Gi")}, []string{"1/2Gi"}, 2},
		{"containers share what is taken", fit(t, "4", "100Gi", ""), []corev1.ResourceList{list("300m", "1Gi"), list("720m", "1Gi")}, []string{"294m/1Gi", "705m/1Gi"}, 4},
		{"what fits is left", fit(t, "4", "100Gi", ""), []corev1.ResourceList{list("1", "1Gi")}, []string{"1/1Gi"}, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var containers []v1alpha1.ContainerRecommendation
			for _, l := range tc.have {
				containers = append(containers, v1alpha1.ContainerRecommendation{Requests: l})
			}
			fits, _ := tc.fit.Shape(containers)
			var got []string
			for _, c := range containers {
				got = append(got, c.Requests.Cpu().String()+"/"+c.Requests.Memory().String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || fits != tc.fits {
				t.Errorf("%d fit, want %d (-want +got)\n%s", fits, tc.fits, diff)
			}
		})
	}
}

func TestAShapedPodReallyFitsAndIsWithinItsTolerance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &NodeFit{
			Node:      map[corev1.ResourceName]int64{corev1.ResourceCPU: rapid.Int64Range(1000, 96000).Draw(t, "cpu"), corev1.ResourceMemory: rapid.Int64Range(1, 400).Draw(t, "gib") << 30},
			Tolerance: map[corev1.ResourceName]float64{corev1.ResourceCPU: 0.05, corev1.ResourceMemory: 0.05},
		}
		cpu, memory := rapid.Int64Range(10, 20000).Draw(t, "request"), rapid.Int64Range(32, 50000).Draw(t, "mib")
		c := []v1alpha1.ContainerRecommendation{{Requests: corev1.ResourceList{
			corev1.ResourceCPU: *resource.NewMilliQuantity(cpu, resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(memory<<20, resource.BinarySI),
		}}}
		fits, lowered := f.Shape(c)
		newCPU, newMemory := c[0].Requests.Cpu().MilliValue(), c[0].Requests.Memory().Value()
		if newCPU*fits > f.Node[corev1.ResourceCPU] || newMemory*fits > f.Node[corev1.ResourceMemory] {
			t.Fatalf("%d pods of %dm and %d do not fit", fits, newCPU, newMemory)
		}
		// One thousandth of a core and one MiB of rounding.
		if float64(newCPU+1) < float64(cpu)*0.95 || float64(newMemory+fitMemoryStep) < float64(memory<<20)*0.95 || newCPU > cpu || newMemory > memory<<20 {
			t.Fatalf("%dm became %dm, %d MiB became %d", cpu, newCPU, memory, newMemory>>20)
		}
		if len(lowered) == 0 && (newCPU != cpu || newMemory != memory<<20) {
			t.Fatal("something was lowered and not told")
		}
	})
}

func TestMemoryStaysAboveWhatWasUsedToTheLastByte(t *testing.T) {
	// 111Mi is 10% on what was used. Rounded down to whole MiB, a request that just fits would be below that.
	recommended := int64(111 << 20)
	used := recommended * 10 / 11
	for _, node := range []string{"1010Mi", "1033728Ki", "1112Mi"} {
		f := fit(t, "100", node, "20%")
		c := []v1alpha1.ContainerRecommendation{{Requests: list("100m", "111Mi")}}
		fits, _ := f.Shape(c)
		if got := c[0].Requests.Memory().Value(); got < used || got*fits > f.Node[corev1.ResourceMemory] {
			t.Errorf("on a node of %s %d fit with a request of %d; %d were used", node, fits, got, used)
		}
	}
}

func TestNodesThatNobodyHasAreRefused(t *testing.T) {
	for _, spec := range []v1alpha1.NodeFit{
		{Memory: resource.MustParse("1Gi")},
		{CPU: resource.MustParse("4")},
		{CPU: resource.MustParse("4"), Memory: resource.MustParse("1Gi"), Tolerance: "50%"},
		{CPU: resource.MustParse("4"), Memory: resource.MustParse("1Gi"), Tolerance: "some"},
	} {
		if _, err := ParseNodeFit(&spec, 0.1); err == nil {
			t.Errorf("%+v is taken", spec)
		}
	}
}
