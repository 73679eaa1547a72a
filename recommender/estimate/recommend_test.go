package estimate

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/api/v1alpha1"
)

func requests(cpus, memories string) corev1.ResourceRequirements {
	out := corev1.ResourceRequirements{Requests: corev1.ResourceList{}}
	if cpus != "" {
		out.Requests[corev1.ResourceCPU] = resource.MustParse(cpus)
	}
	if memories != "" {
		out.Requests[corev1.ResourceMemory] = resource.MustParse(memories)
	}
	return out
}

func inputs(now time.Time, current corev1.ResourceRequirements) Inputs {
	return Inputs{Now: now, Containers: []Container{{Name: "app", Current: current}}}
}

func recommend(t testing.TB, s *Store, p Policy, in Inputs) ContainerRecommendation {
	t.Helper()
	r, err := s.Recommend(testWorkload, p, in)
	if err != nil {
		t.Fatal(err)
	}
	return r.Containers[0]
}

func request1(r ContainerRecommendation, name corev1.ResourceName) string {
	q, ok := r.Requests[name]
	if !ok {
		return "none"
	}
	return q.String()
}

// previous is a recommendation as it stands in status.
func previous(level v1alpha1.ConfidenceLevel, watched time.Duration, r corev1.ResourceRequirements) *v1alpha1.Recommendation {
	return &v1alpha1.Recommendation{
		Confidence: v1alpha1.Confidence{Level: level, Watched: metav1.Duration{Duration: watched}},
		Containers: []v1alpha1.ContainerRecommendation{{Name: "app", Requests: r.Requests}},
	}
}

func TestRequestsFollowUsageOverheadBoundsAndLimitRange(t *testing.T) {
	bounded := DefaultPolicy()
	bounded.CPU.Floor, bounded.CPU.Ceiling = 300, 400
	bounded.Memory.Ceiling = 64 * mi
	ranges := []corev1.LimitRange{{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer,
		Min:  corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")},
		Max:  corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("48Mi")},
	}}}}}
	for name, c := range map[string]struct {
		policy              Policy
		ranges              []corev1.LimitRange
		wantCPU, wantMemory string
		wantSteps           []string
	}{
		"by default 10 percent are added": {DefaultPolicy(), nil, "221m", "111Mi", []string{"Percentile", "Overhead", "Max", "Overhead"}},
		"the bounds of the policy hold":   {bounded, nil, "300m", "64Mi", []string{"Percentile", "Overhead", "Bounds", "Max", "Overhead", "Bounds"}},
		"a LimitRange wins over the bounds of the policy": {
			bounded, ranges, "500m", "48Mi",
			[]string{"Percentile", "Overhead", "Bounds", "LimitRange", "Max", "Overhead", "Bounds", "LimitRange"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(Options{})
			end := feed(s, "a", t0, flat(200, 4*24*60), flat(100*mi, 4*24*60))
			in := inputs(end, requests("1", "1Gi"))
			in.LimitRanges = c.ranges
			got := recommend(t, s, c.policy, in)
			if d := cmp.Diff([]string{c.wantCPU, c.wantMemory}, []string{request1(got, corev1.ResourceCPU), request1(got, corev1.ResourceMemory)}); d != "" {
				t.Error(d)
			}
			var steps []string
			for _, e := range got.Explanation {
				steps = append(steps, e.Step)
			}
			if d := cmp.Diff(c.wantSteps, steps); d != "" {
				t.Error(d)
			}
			last := got.Explanation[len(got.Explanation)-1]
			if last.Resource != corev1.ResourceMemory || last.Value != request1(got, corev1.ResourceMemory) {
				t.Errorf("the last step ends at %s, the request is %s", last.Value, request1(got, corev1.ResourceMemory))
			}
		})
	}
}

func TestAContainerThatIsNotInTheTemplateGetsNoRecommendation(t *testing.T) {
	s := NewStore(Options{})
	end := feed(s, "a", t0, flat(200, 10), flat(100*mi, 10))
	sidecar := testKey
	sidecar.Container = "istio-proxy"
	s.Observe(sidecar, "a", end, 10, mi)
	r, err := s.Recommend(testWorkload, DefaultPolicy(), inputs(end, requests("1", "1Gi")))
	if err != nil || len(r.Containers) != 1 || r.Containers[0].Name != "app" {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestAnUnknownWorkloadHasNoRecommendation(t *testing.T) {
	_, err := NewStore(Options{}).Recommend(testWorkload, DefaultPolicy(), inputs(t0, requests("1", "1Gi")))
	if !errors.Is(err, ErrNoData) {
		t.Errorf("got %v", err)
	}
}

func TestLowConfidenceNeverLowers(t *testing.T) {
	for name, c := range map[string]struct {
		minutes int
		usage   float64 // thousandths, against a request of 1 core
		byHand  bool
		want    string
	}{
		"idle for an hour stays":                         {60, 10, false, "1"},
		"idle for 23 hours stays":                        {23 * 60, 10, false, "1"},
		"idle for two days waits for coverage":           {48 * 60, 10, false, "1"},
		"idle for three days at 40 percent coverage":     {3*24*60 + 60, 10, false, "11m"},
		"busy for two hours rises by 10 percent":         {120, 2000, false, "1100m"},
		"busy for three hours rises by 25 percent":       {180, 2000, false, "1250m"},
		"busy for ten hours rises by 35 percent":         {600, 2000, false, "1350m"},
		"busy for two days waits for coverage":           {48 * 60, 2000, false, "1"},
		"a person's decision is carried out at once":     {60, 10, true, "13m"},
		"a person's decision raises without restriction": {60, 2000, true, "2235m"},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(Options{})
			end := feed(s, "a", t0, flat(c.usage, c.minutes), nil)
			in := inputs(end, requests("1", ""))
			in.ByHand = c.byHand
			got := recommend(t, s, DefaultPolicy(), in)
			want := resource.MustParse(c.want)
			q := got.Requests[corev1.ResourceCPU]
			within(t, "request", float64(q.MilliValue()), float64(want.MilliValue()), RelativeError+0.01)
		})
	}
}

func TestGradualCapsFollowTheAgeOfTheData(t *testing.T) {
	for watched, want := range map[time.Duration]float64{
		0: 0.10, 143 * time.Minute: 0.10, 144 * time.Minute: 0.25, 359 * time.Minute: 0.25, 6 * time.Hour: 0.35, 24*time.Hour - 1: 0.35,
	} {
		if got, ok := GradualCap(watched); !ok || got != want {
			t.Errorf("after %s: %v, %v, want %v", watched, got, ok, want)
		}
	}
	if _, ok := GradualCap(24 * time.Hour); ok {
		t.Error("after a day there is a cap still")
	}
}

func TestLostHistoryShrinksNothing(t *testing.T) {
	for name, byHand := range map[string]bool{"by policy": false, "by hand": true} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(Options{}) // what was watched for a month is gone
			in := inputs(t0, requests("2", "4Gi"))
			in.ByHand = byHand
			in.Previous = previous(v1alpha1.ConfidenceFull, 30*day, requests("500m", "1Gi"))
			at := t0
			for range 60 { // an hour to two and a half days: the first answer replaces the previous one in status
				at = feed(s, "a", at, flat(10, 60), flat(10*mi, 60)).Add(time.Minute)
				in.Now = at
				r, err := s.Recommend(testWorkload, DefaultPolicy(), in)
				if err != nil {
					t.Fatal(err)
				}
				got := r.Containers[0]
				if d := cmp.Diff([]string{"500m", "1Gi"}, []string{request1(got, corev1.ResourceCPU), request1(got, corev1.ResourceMemory)}); d != "" {
					t.Fatalf("at %s: %s", at, d)
				}
				in.Previous = &v1alpha1.Recommendation{Confidence: r.Confidence, Containers: r.API()}
			}
			feed(s, "a", at, flat(10, 24*60), flat(10*mi, 24*60))
			in.Now = at.Add(day)
			if got := recommend(t, s, DefaultPolicy(), in); request1(got, corev1.ResourceCPU) != "11m" {
				t.Errorf("with full confidence the request is %s, want 11m", request1(got, corev1.ResourceCPU))
			}
		})
	}
}

func TestASourceThatFailsLowersNothing(t *testing.T) {
	s := NewStore(Options{})
	feed(s, "a", t0, flat(900, 24*60), flat(900*mi, 24*60))
	end := feed(s, "a", t0.Add(day), flat(100, 5*24*60), flat(100*mi, 5*24*60))
	s.OOM(testKey, Kill{Pod: "a", At: end, Applied: true}, DefaultPolicy().OOM)
	before := recommend(t, s, DefaultPolicy(), inputs(end, requests("1", "1Gi")))
	after := recommend(t, s, DefaultPolicy(), inputs(end.Add(20*day), requests("1", "1Gi")))
	if d := cmp.Diff(before.Requests, after.Requests); d != "" {
		t.Errorf("twenty days without samples changed the recommendation: %s", d)
	}
}

func TestMemoryIsNeverBelowThePeakOfTheLookback(t *testing.T) {
	s := NewStore(Options{})
	usage := flat(50*mi, 7*24*60)
	usage[3] = 777 * mi // seven days ago, for one sample
	end := feed(s, "a", t0, nil, usage)
	got := recommend(t, s, DefaultPolicy(), inputs(end, requests("", "2Gi")))
	if q := got.Requests[corev1.ResourceMemory]; q.Value() < 777*mi {
		t.Errorf("memory is %s, the peak was 777Mi", q.String())
	}
}

func TestWithoutUsageTheCurrentRequestIsKept(t *testing.T) {
	s := NewStore(Options{})
	end := feed(s, "a", t0, flat(100, 4*24*60), nil)
	got := recommend(t, s, DefaultPolicy(), inputs(end, requests("1", "1Gi")))
	if request1(got, corev1.ResourceMemory) != "1Gi" {
		t.Errorf("memory, of which nothing was seen, is %s", request1(got, corev1.ResourceMemory))
	}
	got = recommend(t, s, DefaultPolicy(), inputs(end, requests("1", "")))
	if request1(got, corev1.ResourceMemory) != "none" {
		t.Errorf("memory, of which nothing was seen or stated, is %s", request1(got, corev1.ResourceMemory))
	}
}

func TestUsageHalfAboveTheRecommendationAsksForANewOne(t *testing.T) {
	s := NewStore(Options{})
	end := feed(s, "a", t0, flat(100, 60), flat(100*mi, 60))
	have := []v1alpha1.ContainerRecommendation{{Name: "app", Requests: requests("110m", "110Mi").Requests}}
	if s.Surpassed(testWorkload, have) {
		t.Error("usage below the recommendation surpasses it")
	}
	s.Observe(testKey, "a", end.Add(time.Minute), 170, math.NaN())
	if !s.Surpassed(testWorkload, have) {
		t.Error("usage of 170m does not surpass 110m")
	}
}
