package kubelet

import "time"

const (
	// initialBackoff and maxBackoff bound the wait before a container is restarted again, which doubles each time, and
	// backoffReset is how long a container must have been left alone to start anew (pkg/kubelet/kubelet.go).
	initialBackoff = 10 * time.Second
	maxBackoff     = 5 * time.Minute
	backoffReset   = 10 * time.Minute
)

// backoff is the crash-loop back-off of one container. The first restart is immediate.
type backoff struct {
	delay   time.Duration // 0: never restarted
	updated time.Time
}

// wait is how long after its exit the container must wait.
func (b backoff) wait(exited time.Time) time.Duration {
	if exited.Sub(b.updated) > backoffReset {
		return 0
	}
	return b.delay
}

// next is the back-off after a restart at now of a container that exited then.
func (b backoff) next(exited, now time.Time) backoff {
	if b.delay == 0 || exited.Sub(b.updated) > backoffReset {
		return backoff{delay: initialBackoff, updated: now}
	}
	return backoff{delay: min(2*b.delay, maxBackoff), updated: now}
}
