package resize

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// settle is how long a pod that was just changed is not looked at again: the cache may still show it as it was.
const settle = 5 * time.Second

// recent remembers the pods that were changed a moment ago.
type recent struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	at    map[types.UID]time.Time
}

func newRecent(c clock.PassiveClock) *recent {
	return &recent{clock: c, at: map[types.UID]time.Time{}}
}

func (r *recent) add(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	for u, at := range r.at { // it holds what the rate limit lets through in a few seconds
		if now.Sub(at) >= settle {
			delete(r.at, u)
		}
	}
	r.at[uid] = now
}

func (r *recent) has(uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.at[uid]
	return ok && r.clock.Since(at) < settle
}
