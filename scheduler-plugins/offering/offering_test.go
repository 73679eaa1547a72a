package offering_test

import (
	"math"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/scheduler-plugins/offering"
)

func node(labels map[string]string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
}

func TestIsSpot(t *testing.T) {
	for name, tc := range map[string]struct {
		labels map[string]string
		want   bool
	}{
		"nothing is said":                {},
		"spot":                           {map[string]string{offering.CapacityTypeLabel: "spot"}, true},
		"on-demand":                      {map[string]string{offering.CapacityTypeLabel: "on-demand"}, false},
		"reserved":                       {map[string]string{offering.CapacityTypeLabel: "reserved"}, false},
		"Karpenter's word is the last":   {map[string]string{offering.CapacityTypeLabel: "on-demand", "cloud.google.com/gke-spot": "true"}, false},
		"an EKS managed group":           {map[string]string{"eks.amazonaws.com/capacityType": "SPOT"}, true},
		"an EKS managed on-demand group": {map[string]string{"eks.amazonaws.com/capacityType": "ON_DEMAND"}, false},
		"GKE spot":                       {map[string]string{"cloud.google.com/gke-spot": "true"}, true},
		"GKE preemptible":                {map[string]string{"cloud.google.com/gke-preemptible": "true"}, true},
		"AKS spot":                       {map[string]string{"kubernetes.azure.com/scalesetpriority": "spot"}, true},
		"kOps spot":                      {map[string]string{"node.kubernetes.io/lifecycle": "spot"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := offering.IsSpot(node(tc.labels)); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestPrice(t *testing.T) {
	for text, want := range map[string]struct {
		price float64
		known bool
	}{
		"0.0416": {0.0416, true}, "0": {0, true}, "": {}, "-1": {}, "NaN": {}, "Inf": {}, "$1": {}, "1e-3": {0.001, true}, "1e999": {},
	} {
		n := node(nil)
		n.Annotations = map[string]string{v1alpha1.PriceAnnotation: text, v1alpha1.RiskAnnotation: text}
		if got, known := offering.Price(n); got != want.price || known != want.known {
			t.Errorf("price %q: got %v, %v", text, got, known)
		}
		if got, known := offering.Risk(n); got != want.price || known != want.known {
			t.Errorf("risk %q: got %v, %v", text, got, known)
		}
	}
}

func FuzzPrice(f *testing.F) {
	f.Add("0.1")
	f.Add("nan")
	f.Add("0x1p-2")
	f.Fuzz(func(t *testing.T, text string) {
		n := node(nil)
		n.Annotations = map[string]string{v1alpha1.PriceAnnotation: text}
		if got, known := offering.Price(n); known && (math.IsNaN(got) || math.IsInf(got, 0) || got < 0) {
			t.Errorf("%q became %v", text, got)
		}
	})
}
