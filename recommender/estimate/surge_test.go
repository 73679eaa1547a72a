package estimate

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

func TestALookbackHalvesEveryQuarterOfAnHour(t *testing.T) {
	for elapsed, want := range map[time.Duration]time.Duration{
		-time.Hour: 8 * time.Hour, 0: 8 * time.Hour, 14 * time.Minute: 8 * time.Hour, 15 * time.Minute: 4 * time.Hour,
		45 * time.Minute: time.Hour, 75 * time.Minute: 15 * time.Minute, 24 * time.Hour: 15 * time.Minute,
	} {
		if got := SurgeLookback(8*time.Hour, elapsed); got != want {
			t.Errorf("after %s: %s, want %s", elapsed, got, want)
		}
	}
	if got := SurgeLookback(5*time.Minute, time.Hour); got != 5*time.Minute {
		t.Errorf("a lookback of 5m became %s", got)
	}
}

func TestAPercentileRisesByAFifthOfTheRestEveryFiveMinutes(t *testing.T) {
	for elapsed, want := range map[time.Duration]float64{
		0: 90, 299 * time.Second: 90, 5 * time.Minute: 92, 10 * time.Minute: 93.6, 24 * time.Hour: 100,
	} {
		if got := SurgePercentile(90, elapsed); math.Abs(got-want) > 1e-9 {
			t.Errorf("after %s: p%v, want p%v", elapsed, got, want)
		}
	}
}

func TestASurgeLastsTheShorterTheHigherThePercentile(t *testing.T) {
	for percentile, want := range map[float64]time.Duration{50: 12 * time.Hour, 99: time.Hour, 74.5: 6*time.Hour + 30*time.Minute, 1: 23 * time.Hour} {
		if got := SurgeFor(percentile).Round(time.Minute); got != want {
			t.Errorf("p%v: %s, want %s", percentile, got, want)
		}
	}
}

func TestASurgeBeginsFarAboveTheRecommendationOnly(t *testing.T) {
	byPercentile := DefaultPolicy()
	byPercentile.Surge, byPercentile.Memory.Max = true, false
	for name, c := range map[string]struct {
		edit        func(*Policy)
		cpu, memory float64 // usage, against 100m and 1000Mi
		want        []corev1.ResourceName
	}{
		"CPU doubled and 100m above":               {nil, 206, 900 * mi, []corev1.ResourceName{corev1.ResourceCPU}},
		"CPU not doubled":                          {nil, 190, 900 * mi, nil},
		"memory a fifth and 100Mi above":           {nil, 50, 1250 * mi, []corev1.ResourceName{corev1.ResourceMemory}},
		"memory less than a fifth above":           {nil, 50, 1150 * mi, nil},
		"both":                                     {nil, 500, 2000 * mi, []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}},
		"not where the maximum is asked for":       {func(p *Policy) { p.Memory.Max = true }, 50, 2000 * mi, nil},
		"not at the 100th percentile":              {func(p *Policy) { p.CPU.Percentile = 100 }, 500, 900 * mi, nil},
		"not where the policy leaves surges alone": {func(p *Policy) { p.Surge = false }, 500, 2000 * mi, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := byPercentile
			if c.edit != nil {
				c.edit(&p)
			}
			s := NewStore(Options{})
			// Two pods whose mean is the usage.
			feed(s, "a", t0, flat(c.cpu*0.5, 5), flat(c.memory*0.5, 5))
			feed(s, "b", t0, flat(c.cpu*1.5, 5), flat(c.memory*1.5, 5))
			rec := []v1alpha1.ContainerRecommendation{{Name: "app", Requests: requests("100m", "1000Mi").Requests}}
			var got []corev1.ResourceName
			for _, x := range s.Surge(testWorkload, &p, rec) {
				got = append(got, x.Resource)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if again := s.Surge(testWorkload, &p, rec); len(again) > 0 {
				t.Errorf("a surge under way began once more: %v", again)
			}
			if s.Surging(testWorkload, &p) != (len(c.want) > 0) {
				t.Error("whether it surges is not what was said")
			}
		})
	}
}

func TestASurgeIsFollowedWithinHoursAndExpires(t *testing.T) {
	p := DefaultPolicy()
	p.Surge, p.CPU.Percentile = true, 95
	s := NewStore(Options{})
	at := feed(s, "a", t0, flat(100, 7*24*60), nil)
	rec := []v1alpha1.ContainerRecommendation{{Name: "app", Requests: requests("110m", "").Requests}}
	at = feed(s, "a", at.Add(time.Minute), flat(1000, 2), nil)
	if began := s.Surge(testWorkload, &p, rec); len(began) != 1 {
		t.Fatalf("began: %v", began)
	}
	need := func() float64 { return float64(s.AppendNeeds(nil, testWorkload, &p, at)[0].MilliCPU) }
	if got := need(); got > 120 {
		t.Errorf("at once the need is %vm: a week of 100m is still what counts", got)
	}
	last := 0.0
	reached := time.Duration(0)
	for range 7 { // quarters of an hour
		at = feed(s, "a", at.Add(time.Minute), flat(1000, 15), nil)
		if got := need(); got < last {
			t.Errorf("after %s the need fell from %vm to %vm in a surge", at, last, got)
		} else {
			last = got
		}
		if last > 1000 && reached == 0 {
			reached = at.Sub(t0.Add(7 * day))
			in := inputs(at, requests("110m", ""))
			steps := recommend(t, s, p, in).Explanation
			if steps[0].Step != "Surge" || !strings.Contains(steps[0].Message, "instead of p95 of 7d") {
				t.Errorf("it is explained as %+v", steps[0])
			}
		}
	}
	if reached == 0 || reached > 2*time.Hour {
		t.Errorf("1 core was reached after %s, want within 2h", reached)
	}
	at = feed(s, "a", at.Add(time.Minute), flat(100, 60), nil)
	if s.Surging(testWorkload, &p) {
		t.Errorf("a surge lasts longer than %s", SurgeFor(95))
	}
	if got := need(); got > 200 {
		t.Errorf("after the surge has expired the need is %vm", got)
	}
}

func TestASurgeOutlivesARestart(t *testing.T) {
	p := DefaultPolicy()
	p.Surge = true
	s := NewStore(Options{})
	feed(s, "a", t0, flat(1000, 5), nil)
	s.Surge(testWorkload, &p, []v1alpha1.ContainerRecommendation{{Name: "app", Requests: requests("110m", "").Requests}})
	h, _ := s.Snapshot(testWorkload)
	b, err := h.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var back History
	if err := back.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	restarted := NewStore(Options{})
	if err := restarted.Restore(back); err != nil || !restarted.Surging(testWorkload, &p) {
		t.Errorf("the surge was forgotten: %v", err)
	}
}
