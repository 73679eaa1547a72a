package estimate

import (
	"strings"
	"testing"
	"time"
)

// office is a workload of 1 core from 9 to 17 on weekdays and 50m else.
func office(at time.Time) float64 {
	if d := at.Weekday(); d == time.Saturday || d == time.Sunday || at.Hour() < 9 || at.Hour() >= 17 {
		return 50
	}
	return 1000
}

func byPattern() Policy {
	p := DefaultPolicy()
	p.CPU.Pattern = true
	return p
}

// work feeds days of office hours, learning as the recommender does.
func work(s *Store, p *Policy, from time.Time, days int) time.Time {
	at := from
	x := s.Series(testKey, "a")
	for range days * 24 * 60 / 2 {
		at = at.Add(2 * time.Minute)
		x.Observe(at, office(at), 100*mi)
		if at.Minute() == 10 {
			s.Learn(testWorkload, p)
		}
	}
	return at
}

func TestAPatternFollowsTheHourOfTheWeek(t *testing.T) {
	monday := t0.Truncate(day).AddDate(0, 0, -int(t0.Weekday()-time.Monday))
	for name, c := range map[string]struct {
		hours float64
		want  float64
	}{
		"in the night there is little":             {3, 55},
		"an hour before work begins there is room": {8.2, 1100},
		"at work there is room":                    {12, 1100},
		"in the evening there is little":           {20, 55},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(Options{})
			p := byPattern()
			end := work(s, &p, monday, 15) // to the third Monday's end
			x := s.Series(testKey, "a")
			for now := end; now.Before(end.Add(time.Duration(c.hours * float64(time.Hour)))); now = now.Add(2 * time.Minute) {
				x.Observe(now, office(now), 100*mi)
				if now.Minute() == 10 {
					s.Learn(testWorkload, &p)
				}
			}
			got := s.AppendNeeds(nil, testWorkload, &p, end.Add(time.Duration(c.hours*float64(time.Hour))))[0]
			within(t, "need", float64(got.MilliCPU), c.want, RelativeError+0.04)
		})
	}
}

func TestUntilTwoWeeksAreKnownAPatternIsThePercentile(t *testing.T) {
	p := byPattern()
	s := NewStore(Options{})
	monday := t0.Truncate(day).AddDate(0, 0, -int(t0.Weekday()-time.Monday))
	at := work(s, &p, monday, 8) // to the second Monday's end: one week of the night hours of Tuesday
	got := s.AppendNeeds(nil, testWorkload, &p, at)[0]
	within(t, "need", float64(got.MilliCPU), 1100, RelativeError+0.02)
	steps := recommend(t, s, p, inputs(at, requests("1", "1Gi"))).Explanation
	if steps[0].Step != "Percentile" || !strings.Contains(steps[0].Message, "until 2 weeks are known") {
		t.Errorf("it is explained as %+v", steps[0])
	}
}

func TestAnUnusualDayIsFollowedBesideThePattern(t *testing.T) {
	p := byPattern()
	s := NewStore(Options{})
	monday := t0.Truncate(day).AddDate(0, 0, -int(t0.Weekday()-time.Monday))
	at := work(s, &p, monday, 15)
	x := s.Series(testKey, "a")
	for range 60 {
		at = at.Add(time.Minute)
		x.Observe(at, 3000, 100*mi)
	}
	got := s.AppendNeeds(nil, testWorkload, &p, at)[0]
	within(t, "need", float64(got.MilliCPU), 3300, RelativeError+0.02)
}

func TestAPatternOutlivesARestart(t *testing.T) {
	p := byPattern()
	s := NewStore(Options{})
	monday := t0.Truncate(day).AddDate(0, 0, -int(t0.Weekday()-time.Monday))
	at := work(s, &p, monday, 15)
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
	if err := restarted.Restore(back); err != nil {
		t.Fatal(err)
	}
	want, got := s.AppendNeeds(nil, testWorkload, &p, at)[0], restarted.AppendNeeds(nil, testWorkload, &p, at)[0]
	if want.MilliCPU != got.MilliCPU || got.MilliCPU > 100 {
		t.Errorf("the need is %dm, before the restart it was %dm", got.MilliCPU, want.MilliCPU)
	}
}

func TestOnlyAPatternCostsItsMemory(t *testing.T) {
	p := DefaultPolicy()
	s := NewStore(Options{})
	end := feed(s, "a", t0, flat(100, 300), nil)
	s.Learn(testWorkload, &p)
	known, sh := s.find(testWorkload)
	defer sh.mu.Unlock()
	if known.container("app").pattern != nil {
		t.Errorf("a pattern was begun at %s that nobody asked for", end)
	}
}
