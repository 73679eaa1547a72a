package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Outage stops the API server, keeps its port closed for downtime and starts a new one on the same port over the same etcd. It
// returns when the new one is ready. Clients see what they see when a real API server goes away: watches end, connections are
// refused, and caches must catch up. When ctx ends during the downtime the server is not started again and the cluster is of
// no further use but to be stopped.
func (c *Cluster) Outage(ctx context.Context, downtime time.Duration) error {
	c.outage.Lock()
	defer c.outage.Unlock()
	if c.stopped {
		return errors.New("API server outage: the control plane is stopped")
	}
	if err := c.apiServer.stop(componentStop); err != nil {
		return err
	}
	timer := time.NewTimer(downtime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return fmt.Errorf("API server outage, %w", ctx.Err())
	}
	return c.startAPIServer(ctx)
}

// RestartAPIServer is an Outage no longer than the restart takes.
func (c *Cluster) RestartAPIServer(ctx context.Context) error { return c.Outage(ctx, 0) }
