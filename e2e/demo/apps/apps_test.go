package apps

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"supercargo.dev/e2e/cluster/kubelet"
)

func TestApplicationsRequestWhatTheirManifestsState(t *testing.T) {
	for _, tc := range []struct {
		application         Application
		wantServices        int
		wantCPU, wantMemory int64 // of one replica of each service, thousandths of a core and MiB
		wantData            int
	}{
		{application: Boutique(8), wantServices: 11, wantCPU: 1270, wantMemory: 1112, wantData: 1},
		{application: SockShop(6), wantServices: 14, wantCPU: 799, wantMemory: 1700, wantData: 6},
	} {
		t.Run(tc.application.Title, func(t *testing.T) {
			var cpu, memory int64
			data := 0
			for _, s := range tc.application.Services {
				cpu, memory = cpu+s.Requests.MilliCPU, memory+s.Requests.MemoryMi
				if s.Data {
					data++
				}
				if s.Limits.MilliCPU < s.Requests.MilliCPU || s.Limits.MemoryMi < s.Requests.MemoryMi {
					t.Errorf("%s: limits %+v are below requests %+v", s.Name, s.Limits, s.Requests)
				}
			}
			if len(tc.application.Services) != tc.wantServices || cpu != tc.wantCPU || memory != tc.wantMemory || data != tc.wantData {
				t.Errorf("%d services, %dm, %dMi, %d databases", len(tc.application.Services), cpu, memory, data)
			}
		})
	}
}

func TestUsageIsBelowTheRequestAndParses(t *testing.T) {
	for _, a := range []Application{Boutique(8), SockShop(6)} {
		for _, s := range a.Services {
			for seed := range int64(20) {
				d, err := a.Deployment(seed, s)
				if err != nil {
					t.Fatal(err)
				}
				profiles, err := kubelet.ParseProfiles(d.Spec.Template.Annotations[kubelet.AnnotationUsage])
				if err != nil {
					t.Fatalf("%s: %v", s.Name, err)
				}
				p, ok := profiles.For(s.Container)
				if !ok || p.MilliCPU <= 0 || p.MemoryBytes <= 0 {
					t.Fatalf("%s: profile %+v", s.Name, p)
				}
				if s.Data && s.Requests == (Amount{}) {
					continue
				}
				if cpu := p.MilliCPU / float64(s.Requests.MilliCPU); cpu < 0.1 || cpu > 0.32 {
					t.Errorf("%s uses %.2f of its CPU", s.Name, cpu)
				}
				if memory := float64(p.MemoryBytes) / float64(s.Requests.MemoryMi<<20); memory < 0.4 || memory > 0.72 {
					t.Errorf("%s uses %.2f of its memory", s.Name, memory)
				}
			}
		}
	}
}

func TestPastPodsAreNamedAndUsedAsThoseThatFollow(t *testing.T) {
	a := Boutique(2)
	pods, err := PastPods(7, a)
	if err != nil {
		t.Fatal(err)
	}
	if len(pods) != a.Pods() {
		t.Fatalf("%d pods, want %d", len(pods), a.Pods())
	}
	again, err := PastPods(7, a)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(again, pods); diff != "" {
		t.Errorf("one seed gives two histories:\n%s", diff)
	}
	name := regexp.MustCompile(`^emailservice-[a-z0-9]{9}-[a-z0-9]{5}$`)
	if !name.MatchString(pods[0].Name) {
		t.Errorf("pod %s is not named as a Deployment's", pods[0].Name)
	}
	// Noise is a pod's own; everything else must be as of the pod that follows, whose ReplicaSet has another hash.
	next := pods[0].DeepCopy()
	next.Labels["pod-template-hash"] = "other"
	next.OwnerReferences[0].Name = "emailservice-other"
	usage := kubelet.NewAnnotatedUsage(7)
	for hour := range 24 {
		at := time.Date(2026, 11, 20, hour, 0, 0, 0, time.UTC)
		was, _ := usage.At(pods[0], "server", at)
		is, _ := usage.At(next, "server", at)
		if math.Abs(was-is) > 1e-9 {
			t.Errorf("at %s the pod of the past uses %v, its successor %v", at, was, is)
		}
	}
}

// flat uses 500 thousandths of a core and 1 MiB.
type flat struct{}

func (flat) At(*corev1.Pod, string, time.Time) (float64, int64) { return 500, 1 << 20 }

func TestWriteHistory(t *testing.T) {
	d, err := Boutique(1).Deployment(1, Boutique(1).Services[0])
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"}, Spec: d.Spec.Template.Spec}
	var out bytes.Buffer
	from := time.Unix(1_700_000_100, 0)
	if err := WriteHistory(&out, flat{}, []*corev1.Pod{pod}, from, from.Add(2*HistoryStep)); err != nil {
		t.Fatal(err)
	}
	want := `# TYPE container_cpu_usage_seconds counter
# UNIT container_cpu_usage_seconds seconds
container_cpu_usage_seconds_total{namespace="n",pod="p",container="server"} 0 1700000100
container_cpu_usage_seconds_total{namespace="n",pod="p",container="server"} 150 1700000400
container_cpu_usage_seconds_total{namespace="n",pod="p",container="server"} 300 1700000700
# TYPE container_memory_working_set_bytes gauge
# UNIT container_memory_working_set_bytes bytes
container_memory_working_set_bytes{namespace="n",pod="p",container="server"} 1048576 1700000100
container_memory_working_set_bytes{namespace="n",pod="p",container="server"} 1048576 1700000400
container_memory_working_set_bytes{namespace="n",pod="p",container="server"} 1048576 1700000700
# EOF
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriteHistoryNeverTurnsACounterBack(t *testing.T) {
	pods, err := PastPods(3, SockShop(1))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	to := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	if err := WriteHistory(&out, kubelet.NewAnnotatedUsage(3), pods, to.Add(-24*time.Hour), to); err != nil {
		t.Fatal(err)
	}
	last := map[string]float64{}
	samples := 0
	for scanner := bufio.NewScanner(&out); scanner.Scan(); {
		series, rest, ok := strings.Cut(scanner.Text(), "} ")
		if !ok || !strings.HasPrefix(series, "container_cpu") {
			continue
		}
		samples++
		var value float64
		var at int64
		if _, err := fmt.Sscan(rest, &value, &at); err != nil {
			t.Fatal(err)
		}
		if value < last[series] {
			t.Fatalf("%s falls from %v to %v", series, last[series], value)
		}
		last[series] = value
	}
	if want := len(pods) * (24*12 + 1); samples != want {
		t.Errorf("%d samples of CPU, want %d", samples, want)
	}
}

func TestObjects(t *testing.T) {
	objects, err := SockShop(6).Objects(1)
	if err != nil {
		t.Fatal(err)
	}
	deployments := map[string]*appsv1.Deployment{}
	for _, o := range objects {
		if d, ok := o.(*appsv1.Deployment); ok {
			deployments[d.Name] = d
		}
	}
	for name, tc := range map[string]struct {
		scheduler string
		replicas  *int32
		strategy  appsv1.DeploymentStrategyType
	}{
		"orders":  {scheduler: "", replicas: ptr.To(int32(6))},
		"user-db": {scheduler: OurScheduler, replicas: ptr.To(int32(1)), strategy: appsv1.RecreateDeploymentStrategyType},
	} {
		d := deployments[name]
		if d == nil || d.Spec.Template.Spec.SchedulerName != tc.scheduler || *d.Spec.Replicas != *tc.replicas || d.Spec.Strategy.Type != tc.strategy {
			t.Errorf("deployment %s is %+v", name, d)
		}
	}
	// A namespace, a budget for each of 8 services, 14 Deployments.
	if len(objects) != 1+8+14 {
		t.Errorf("%d objects", len(objects))
	}
}
