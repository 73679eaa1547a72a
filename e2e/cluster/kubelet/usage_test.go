package kubelet

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestParseProfiles(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       Profiles
		wantErr    string
	}{
		{
			name: "every field is read", text: `{"web": {"cpu": "80m", "memory": "120Mi", "daily": 0.4, "noise": 0.05, "leak": "36Ki/h"}}`,
			want: Profiles{"web": {MilliCPU: 80, MemoryBytes: 120 << 20, Daily: 0.4, Noise: 0.05, LeakBytesPerSecond: 10.24}},
		},
		{name: "what is not named is zero", text: `{"*": {"cpu": "1"}}`, want: Profiles{"*": {MilliCPU: 1000}}},
		{name: "a fraction of a thousandth counts", text: `{"a": {"cpu": "500u"}}`, want: Profiles{"a": {MilliCPU: 0.5}}},
		{
			name: "leaks are per second, minute, hour or day", text: `{"s":{"leak":"1/s"},"m":{"leak":"60/m"},"h":{"leak":"3600/h"},"d":{"leak":"86400/d"}}`,
			want: Profiles{"s": {LeakBytesPerSecond: 1}, "m": {LeakBytesPerSecond: 1}, "h": {LeakBytesPerSecond: 1}, "d": {LeakBytesPerSecond: 1}},
		},
		{name: "nobody is declared", text: `{}`, want: Profiles{}},
		{name: "text that is no JSON", text: `80m`, wantErr: "no JSON object"},
		{name: "text after the object", text: `{} {}`, wantErr: "text after"},
		{name: "a field that does not exist", text: `{"a": {"mem": "1Mi"}}`, wantErr: `container "a": parsing, json: unknown field "mem"`},
		{name: "an amount that is no quantity", text: `{"a": {"cpu": "much"}}`, wantErr: `container "a": cpu is "much"`},
		{name: "a negative amount", text: `{"a": {"memory": "-1Mi"}}`, wantErr: `memory is "-1Mi", want a quantity from 0`},
		{name: "an amount no machine has", text: `{"a": {"memory": "9Ei"}}`, wantErr: `memory is "9Ei"`},
		{name: "an amount that takes seconds to parse", text: `{"a": {"cpu": "1e-10000000"}}`, wantErr: `cpu is "1e-10000000", want a quantity of at most`},
		{name: "a share above one", text: `{"a": {"noise": 1.5}}`, wantErr: "noise is 1.5, want a share"},
		{name: "a leak without time", text: `{"a": {"leak": "1Mi"}}`, wantErr: `leak is "1Mi", want an amount of memory per time`},
		{name: "a leak per week", text: `{"a": {"leak": "1Mi/w"}}`, wantErr: `leak is per "w"`},
		{name: "of several errors the first by name is told", text: `{"b": {"cpu": "x"}, "a": {"cpu": "y"}}`, wantErr: `container "a"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseProfiles(tc.text)
			if (err == nil) != (tc.wantErr == "") || (err != nil && !strings.Contains(err.Error(), tc.wantErr)) {
				t.Fatalf("error %v, want %q", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseProfiles(f *testing.F) {
	for _, seed := range []string{`{"web": {"cpu": "80m", "memory": "120Mi", "daily": 0.4, "noise": 0.05, "leak": "1Mi/h"}}`, `{"*":{"leak":"1e3/s"}}`, `{"a":null}`, `[]`} {
		f.Add(seed)
	}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		p := usingPod("fuzz", "")
		p.Annotations[AnnotationUsage] = text
		p.CreationTimestamp = metav1.NewTime(begin)
		usage := NewAnnotatedUsage(1)
		if _, err := ParseProfiles(text); (err == nil) != (usage.Validate(p) == nil) {
			t.Errorf("parsing says %v, validation %v", err, usage.Validate(p))
		}
		for _, at := range []time.Duration{-time.Hour, 0, time.Minute, 20000 * time.Hour} {
			cpu, memory := usage.At(p, "main", begin.Add(at))
			if cpu < 0 || math.IsNaN(cpu) || math.IsInf(cpu, 0) || memory < 0 || memory > maxUsageBytes {
				t.Errorf("uses %v and %d at %s", cpu, memory, at)
			}
		}
	})
}

func usingPod(name, usage string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{}}}
	if usage != "" {
		p.Annotations[AnnotationUsage] = usage
	}
	p.Spec.Containers = []corev1.Container{{Name: "main"}, {Name: "bare"}}
	p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi"),
	}
	return p
}

func TestAnnotatedUsage(t *testing.T) {
	midnight := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	usage := NewAnnotatedUsage(7)

	t.Run("a daily cycle peaks in the afternoon and means what was declared", func(t *testing.T) {
		p := usingPod("daily", `{"main": {"cpu": "100m", "daily": 0.5}}`)
		var sum, most float64
		var peak time.Duration
		const minutes = 24 * 60
		for i := range minutes {
			at := time.Duration(i) * time.Minute
			cpu, _ := usage.At(p, "main", midnight.Add(at))
			sum += cpu
			if cpu > most {
				most, peak = cpu, at
			}
		}
		if mean := sum / minutes; math.Abs(mean-100) > 0.1 || math.Abs(most-150) > 0.1 {
			t.Errorf("mean %v, most %v", mean, most)
		}
		if peak < 12*time.Hour || peak > 16*time.Hour {
			t.Errorf("peak at %s", peak)
		}
	})
	t.Run("a leak grows from the start of the container's run", func(t *testing.T) {
		p := usingPod("leak", `{"main": {"memory": "100Mi", "leak": "60Mi/h"}}`)
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{
			Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(midnight)},
		}}}
		if _, memory := usage.At(p, "main", midnight.Add(30*time.Minute)); memory != 130<<20 {
			t.Errorf("%d after half an hour", memory)
		}
		p.Status.ContainerStatuses[0].State.Running.StartedAt = metav1.NewTime(midnight.Add(time.Hour))
		if _, memory := usage.At(p, "main", midnight.Add(time.Hour)); memory != 100<<20 {
			t.Errorf("%d after a restart", memory)
		}
	})
	t.Run("noise stays within its amplitude and differs between pods", func(t *testing.T) {
		text := `{"*": {"cpu": "100m", "memory": "100Mi", "noise": 0.1}}`
		a, b := usingPod("a", text), usingPod("b", text)
		same := true
		for i := range 1000 {
			at := midnight.Add(time.Duration(i) * noiseStep)
			cpuA, memoryA := usage.At(a, "main", at)
			cpuB, _ := usage.At(b, "main", at)
			if cpuA < 90 || cpuA > 110 || memoryA < 90<<20 || memoryA > 110<<20 {
				t.Fatalf("uses %v and %d", cpuA, memoryA)
			}
			same = same && cpuA == cpuB
		}
		if same {
			t.Error("two pods have the same noise")
		}
	})
	t.Run("without a declaration it is a share of the request, or a constant", func(t *testing.T) {
		p := usingPod("plain", "")
		_, memory := usage.At(p, "main", midnight)
		if share := float64(memory) / (1 << 30); share < minFraction*0.95 || share > maxFraction*1.05 {
			t.Errorf("uses %v of its request", share)
		}
		if _, memory := usage.At(p, "bare", midnight); math.Abs(float64(memory)-unrequestedMemoryBytes) > 0.05*unrequestedMemoryBytes {
			t.Errorf("without request uses %d", memory)
		}
		wrong := usingPod("plain", `{"main": 1}`)
		if _, other := usage.At(wrong, "main", midnight); other != memory {
			t.Errorf("with a wrong declaration uses %d, without %d", other, memory)
		}
	})
	t.Run("replicas of one workload use alike, other seeds differ", func(t *testing.T) {
		controller := true
		replica := func(name string) *corev1.Pod {
			p := usingPod(name, "")
			p.Labels = map[string]string{"pod-template-hash": "abc"}
			p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-abc", Controller: &controller}}
			return p
		}
		if got := workloadOf(replica("web-abc-1")); got != "default/web" {
			t.Errorf("workload %s", got)
		}
		fraction := usage.fraction(replica("web-abc-1"), "main", "cpu")
		if other := usage.fraction(replica("web-abc-2"), "main", "cpu"); other != fraction {
			t.Errorf("replicas use %v and %v", fraction, other)
		}
		if other := NewAnnotatedUsage(8).fraction(replica("web-abc-1"), "main", "cpu"); other == fraction {
			t.Error("another seed gives the same")
		}
	})
}

func BenchmarkUsageAt(b *testing.B) {
	usage, p := NewAnnotatedUsage(1), usingPod("a", `{"*": {"cpu": "100m", "memory": "100Mi", "daily": 0.5, "noise": 0.1}}`)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		usage.At(p, "main", at)
	}
}
