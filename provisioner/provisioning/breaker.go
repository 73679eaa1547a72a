package provisioning

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// Limits bounds what a mistake can cost.
type Limits struct {
	// LaunchesPerMinute over all pools; as many may come at once.
	LaunchesPerMinute int
	// FailuresBeforeBackoff is how many launches of a pool may fail in a row, each with other offerings left to try, before
	// the pool is left alone for a while.
	FailuresBeforeBackoff int
	// BackoffBase is how long a pool is left alone at first; it doubles with each further failure up to BackoffMax.
	BackoffBase, BackoffMax time.Duration
}

// DefaultLimits are far above what a healthy cluster needs: Karpenter's worst known storm made about 100 claims a minute.
func DefaultLimits() Limits {
	return Limits{LaunchesPerMinute: 200, FailuresBeforeBackoff: 3, BackoffBase: 2 * time.Second, BackoffMax: 2 * time.Minute}
}

// Breaker bounds launches per minute and leaves a pool alone whose launches keep failing.
type Breaker struct {
	limits Limits
	clock  clock.PassiveClock
	rate   *rate.Limiter

	mu       sync.Mutex
	failures map[string]int
	until    map[string]time.Time
}

// NewBreaker returns a breaker that lets everything through until its limits are met.
func NewBreaker(l Limits, clk clock.PassiveClock) *Breaker {
	return &Breaker{
		limits: l, clock: clk, rate: rate.NewLimiter(rate.Limit(float64(l.LaunchesPerMinute)/60), l.LaunchesPerMinute),
		failures: map[string]int{}, until: map[string]time.Time{},
	}
}

// Allow takes one launch out of the rate, or says that there is none left.
func (b *Breaker) Allow() bool { return b.rate.AllowN(b.clock.Now(), 1) }

// Open reports whether a pool is left alone, and until when.
func (b *Breaker) Open(pool string) (until time.Time, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	until, open = b.until[pool]
	if open && !b.clock.Now().Before(until) {
		delete(b.until, pool)
		return time.Time{}, false
	}
	return until, open
}

// Failed records that a launch of a pool came to nothing.
func (b *Breaker) Failed(pool string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures[pool]++
	over := b.failures[pool] - b.limits.FailuresBeforeBackoff
	if over < 0 {
		return
	}
	wait := b.limits.BackoffMax
	// 2^16 times any base of a millisecond or more is above any maximum in use; the bound keeps the shift from overflowing.
	if over < 16 {
		wait = min(wait, b.limits.BackoffBase<<over)
	}
	b.until[pool] = b.clock.Now().Add(wait)
}

// Succeeded records that a launch of a pool was answered.
func (b *Breaker) Succeeded(pool string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.failures, pool)
	delete(b.until, pool)
}
