package provisioning

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func TestTheBreakerBoundsLaunchesPerMinute(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	b := NewBreaker(Limits{LaunchesPerMinute: 3, FailuresBeforeBackoff: 3, BackoffBase: time.Second, BackoffMax: time.Minute}, clk)
	launch := func() (allowed int) {
		for range 10 {
			if b.Allow() {
				allowed++
			}
		}
		return allowed
	}
	if got := launch(); got != 3 {
		t.Errorf("%d launches at once, want 3", got)
	}
	clk.Step(20 * time.Second)
	if got := launch(); got != 1 {
		t.Errorf("%d launches after a third of a minute, want 1", got)
	}
	clk.Step(time.Hour)
	if got := launch(); got != 3 {
		t.Errorf("%d launches after a long rest, want 3", got)
	}
}

func TestAPoolWhoseLaunchesKeepFailingIsLeftAloneForLongerAndLonger(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Now())
	b := NewBreaker(Limits{LaunchesPerMinute: 100, FailuresBeforeBackoff: 3, BackoffBase: 2 * time.Second, BackoffMax: 10 * time.Second}, clk)
	for i, want := range []time.Duration{0, 0, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second} {
		b.Failed("spot")
		until, open := b.Open("spot")
		if got := until.Sub(clk.Now()); open != (want > 0) || (open && got != want) {
			t.Errorf("after %d failures the pool is left alone for %s (%t), want %s", i+1, got, open, want)
		}
	}
	if _, open := b.Open("other"); open {
		t.Error("another pool is left alone as well")
	}
	clk.Step(10 * time.Second)
	if _, open := b.Open("spot"); open {
		t.Error("the pool is still left alone after its time")
	}
	b.Succeeded("spot")
	b.Failed("spot")
	if _, open := b.Open("spot"); open {
		t.Error("one failure after a success leaves the pool alone")
	}
}
