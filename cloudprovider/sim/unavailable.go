package sim

import (
	"sync"
	"time"

	"k8s.io/utils/clock"

	"supercargo.dev/cloudprovider"
)

// unavailableTTL is how long an offering that had no capacity is not tried again; Karpenter's AWS provider waits as
// long (pkg/cache: UnavailableOfferingsTTL).
const unavailableTTL = 3 * time.Minute

// unavailable remembers the offerings that lately had no capacity.
type unavailable struct {
	clock clock.Clock

	mu      sync.Mutex
	until   map[cloudprovider.Offering]time.Time
	changes int
}

func newUnavailable(c clock.Clock) *unavailable {
	return &unavailable{clock: c, until: map[cloudprovider.Offering]time.Time{}}
}

// mark remembers an offering, or remembers it longer.
func (u *unavailable) mark(o cloudprovider.Offering) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.until[o] = u.clock.Now().Add(unavailableTTL)
	u.changes++
}

// snapshot returns the offerings that are not to be tried, and a number that changes whenever they do.
func (u *unavailable) snapshot() (map[cloudprovider.Offering]bool, int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.clock.Now()
	offerings := make(map[cloudprovider.Offering]bool, len(u.until))
	for o, until := range u.until {
		if now.Before(until) {
			offerings[o] = true
			continue
		}
		delete(u.until, o)
		u.changes++
	}
	return offerings, u.changes
}
