package sim

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/cloudprovider"
)

const (
	// noticeWait is how long one request waits for a notice.
	noticeWait = 20 * time.Second
	// noticePause is the time between attempts while the cloud does not answer.
	noticePause = time.Second
	// noticeMaxAge is how old a notice may be when the stream begins: what was said before a restart still counts,
	// what was said long ago does not.
	noticeMaxAge = 15 * time.Minute
)

// Notices implements cloudprovider.Interruptions. It returns no error: while the cloud cannot be reached the stream is
// silent, and goes on where it was.
func (c *CloudProvider) Notices(ctx context.Context) (<-chan cloudprovider.Notice, error) {
	stream := make(chan cloudprovider.Notice)
	go c.follow(ctx, stream)
	return stream, nil
}

// follow sends the notices until the context ends, and closes the stream.
func (c *CloudProvider) follow(ctx context.Context, stream chan<- cloudprovider.Notice) {
	defer close(stream)
	oldest := c.clock.Now().Add(-noticeMaxAge)
	for after := int64(0); ctx.Err() == nil; {
		page, err := c.cloud.Notices(ctx, after, noticeWait)
		if err != nil {
			if ctx.Err() == nil {
				log.FromContext(ctx).Error(err, "the cloud's interruption notices cannot be read")
			}
			c.sleep(ctx, noticePause)
			continue
		}
		for _, n := range page.Notices {
			if n.At.Before(oldest) {
				continue
			}
			notice := cloudprovider.Notice{ProviderID: n.ProviderID, Kind: n.Kind, At: n.At, Deadline: n.Deadline}
			select {
			case stream <- notice:
			case <-ctx.Done():
				return
			}
		}
		if page.Next < after {
			page.Next = 0 // the cloud was restarted and counts from the beginning
		}
		after = page.Next
	}
}

func (c *CloudProvider) sleep(ctx context.Context, d time.Duration) {
	timer := c.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}
