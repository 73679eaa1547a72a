package realisable

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/provisioner/packing"
)

func quantities(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

// pods of a Deployment.
func pods(deployment string, n int, cpu, memory string) []packing.Pod {
	out := make([]packing.Pod, n)
	for i := range out {
		p := &corev1.Pod{}
		p.Namespace, p.Name = "shop", fmt.Sprintf("%s-6bdf9c7c5d-%05d", deployment, i)
		p.UID = types.UID(p.Name)
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "ReplicaSet", Name: deployment + "-6bdf9c7c5d", Controller: ptr.To(true)}}
		p.Labels = map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: "6bdf9c7c5d"}
		p.Spec.Containers = []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{Requests: quantities(cpu, memory)}}}
		out[i] = packing.Pod{Pod: p, Requests: quantities(cpu, memory)}
	}
	return out
}

// problem sells one type: 4 cores, 16Gi, at $0.20 an hour.
func problem(all ...[]packing.Pod) packing.Problem {
	capacity := quantities("4", "16Gi")
	capacity[corev1.ResourcePods] = resource.MustParse("110")
	out := packing.Problem{Pools: []packing.Pool{{Name: "general", Types: []packing.InstanceType{{
		Name: "m.xlarge", Allocatable: capacity, Capacity: capacity,
		Labels:    map[string]string{corev1.LabelInstanceTypeStable: "m.xlarge", corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux"},
		Offerings: []packing.Offering{{Zone: "a", CapacityType: packing.CapacityOnDemand, Price: 0.2, Available: true}},
	}}}}}
	for _, p := range all {
		out.Pods = append(out.Pods, p...)
	}
	return out
}

func TestARequestThatIsLoweredWhereNoNodeGoesSavesNothing(t *testing.T) {
	resized := func(cpu, memory string) func(*corev1.Pod) corev1.ResourceList {
		return func(*corev1.Pod) corev1.ResourceList { return quantities(cpu, memory) }
	}
	for name, tc := range map[string]struct {
		pods   []packing.Pod
		wanted func(*corev1.Pod) corev1.ResourceList
		want   float64 // USD per hour
	}{
		"half the cpu of eight pods on two nodes saves one node": {pods("web", 8, "1", "1Gi"), resized("500m", "1Gi"), 0.2},
		"half the cpu of pods that memory keeps apart":           {pods("web", 4, "2", "16Gi"), resized("1", "16Gi"), 0},
		"a little less cpu where as many fit":                    {pods("web", 4, "1", "1Gi"), resized("900m", "1Gi"), 0},
		"twice the cpu costs another node":                       {pods("web", 4, "1", "1Gi"), resized("2", "1Gi"), -0.2},
		"pods that fit nowhere count in neither":                 {append(pods("web", 8, "1", "1Gi"), pods("huge", 2, "9", "1Gi")...), resized("500m", "1Gi"), 0.2},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := Saved(t.Context(), problem(tc.pods), tc.wanted)
			if err != nil || math.Abs(got-tc.want) > 1e-9 {
				t.Errorf("saves %v, %v; want %v", got, err, tc.want)
			}
		})
	}
}

func TestTheShareOfSavingsNeverExceedsThem(t *testing.T) {
	for name, tc := range map[string]struct{ saved, net, want float64 }{
		"half of it":                    {50, 100, 0.5},
		"nodes save more than requests": {150, 100, 1},
		"nodes save nothing":            {0, 100, 0},
		"nodes cost more all the same":  {-10, 100, 0},
		"a net cost, all of it":         {-100, -100, 1},
		"a net cost that fits in":       {0, -100, 0},
		"nothing to share":              {50, 0, 0},
	} {
		if got := Share(tc.saved, tc.net); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// cluster is one problem, or an error.
type cluster struct {
	problem packing.Problem
	err     error
}

func (c cluster) Everything(context.Context) (packing.Problem, error) { return c.problem, c.err }

func scaler(deployment, net string, level v1alpha1.ConfidenceLevel, requests corev1.ResourceList) *v1alpha1.WorkloadScaler {
	s := &v1alpha1.WorkloadScaler{}
	s.Namespace, s.Name = "shop", deployment
	s.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: deployment}
	s.Status.CostImpact = &v1alpha1.CostImpact{Savings: net, Reinvestment: "0.00", Net: net, Realisable: "1.00"}
	s.Status.Policy = &v1alpha1.MatchedPolicy{Mode: v1alpha1.UpdateModePreview}
	s.Status.Recommendation = &v1alpha1.Recommendation{
		Confidence: v1alpha1.Confidence{Level: level}, Containers: []v1alpha1.ContainerRecommendation{{Name: "app", Requests: requests}},
	}
	return s
}

// written runs one round and returns what each scaler says then.
func written(t *testing.T, c cluster, scalers ...*v1alpha1.WorkloadScaler) (map[string]string, error) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	build := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.WorkloadScaler{})
	for _, s := range scalers {
		build = build.WithObjects(s)
	}
	kube := build.Build()
	failed := (&Controller{Client: kube, Cluster: c, Clock: testclock.NewFakeClock(time.Unix(0, 0)), Interval: DefaultInterval}).Round(t.Context())
	out := map[string]string{}
	for _, s := range scalers {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil {
			t.Fatal(err)
		}
		out[s.Name] = s.Status.CostImpact.OnNodePools + " " + s.Status.CostImpact.Realisable
	}
	return out, failed
}

func TestSavingsAreSharedOutByNetImpactOfWhatIsSure(t *testing.T) {
	// Eight pods fill two nodes; at half their size they fill one: $0.20 an hour, $146 a month, of $292 that are promised.
	got, err := written(t, cluster{problem: problem(pods("web", 4, "1", "1Gi"), pods("api", 4, "1", "1Gi"))},
		scaler("web", "219.00", v1alpha1.ConfidenceFull, quantities("500m", "1Gi")),
		scaler("api", "73.00", v1alpha1.ConfidenceFull, quantities("500m", "1Gi")),
		scaler("new", "500.00", v1alpha1.ConfidenceLow, quantities("100m", "1Gi")))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"web": "219.00 109.50", "api": "73.00 36.50", "new": " "} {
		if got[name] != want {
			t.Errorf("%s realises %q, want %q", name, got[name], want)
		}
	}
}

func TestOnlyTheNetOfPodsOfNodePoolsIsShared(t *testing.T) {
	// Of web's eight pods four run elsewhere, and so do all of api's; huge fits on no node that is sold.
	web, api := scaler("web", "219.00", v1alpha1.ConfidenceFull, quantities("500m", "1Gi")), scaler("api", "73.00", v1alpha1.ConfidenceFull, quantities("500m", "1Gi"))
	huge := scaler("huge", "50.00", v1alpha1.ConfidenceFull, quantities("8", "1Gi"))
	web.Status.Applied.Pods, api.Status.Applied.Pods, huge.Status.Applied.Pods = 8, 2, 1
	got, err := written(t, cluster{problem: problem(pods("web", 4, "2", "1Gi"), pods("huge", 1, "9", "1Gi"))}, web, api, huge)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"web": "109.50 109.50", "api": "0.00 ", "huge": "0.00 "} {
		if got[name] != want {
			t.Errorf("%s has %q on NodePools and realisable, want %q", name, got[name], want)
		}
	}
}

func TestWhatWasFoundStandsWhileTheClusterCannotBeRead(t *testing.T) {
	gone := errors.New("not synced")
	got, err := written(t, cluster{err: gone}, scaler("web", "219.00", v1alpha1.ConfidenceFull, quantities("500m", "1Gi")))
	if !errors.Is(err, gone) || got["web"] != " 1.00" {
		t.Errorf("realises %q, error %v; want 1.00 and that the cluster could not be read", got["web"], err)
	}
}
