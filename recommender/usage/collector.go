package usage

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// CollectorOptions of a Collector.
type CollectorOptions struct {
	Source Source
	Sink   Sink
	Clock  clock.Clock
	// Nodes lists the nodes to visit; it is asked at the start of each round.
	Nodes func() []string
	// Interval between two visits of a node. Default 60 s.
	Interval time.Duration
	// Concurrency bounds visits under way. Default 16.
	Concurrency int
	// Timeout of one visit. Default 10 s.
	Timeout time.Duration
	// Seed of the jitter.
	Seed uint64
	// OnError is called for each failed visit, from several goroutines; nil: nothing.
	OnError func(node string, err error)
}

// Collector visits every node each interval. It is a manager.Runnable.
type Collector struct {
	o      CollectorOptions
	counts counters

	mu    sync.Mutex
	nodes map[string]*visits
}

// visits of one node. Its tracker is used by one visit at a time.
type visits struct {
	status  NodeStatus
	tracker *tracker
	busy    bool
}

// NewCollector returns a collector; it does nothing before Start.
func NewCollector(o CollectorOptions) (*Collector, error) {
	if o.Source == nil || o.Sink == nil || o.Nodes == nil {
		return nil, errors.New("a collector needs a source, a sink and nodes")
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Interval <= 0 {
		o.Interval = time.Minute
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 16
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.OnError == nil {
		o.OnError = func(string, error) {}
	}
	return &Collector{o: o, nodes: map[string]*visits{}}, nil
}

// Start visits nodes until the context ends, and returns when all its goroutines have.
func (c *Collector) Start(ctx context.Context) error {
	due := make(chan string)
	var workers sync.WaitGroup
	for range c.o.Concurrency {
		workers.Go(func() {
			for node := range due {
				c.visit(ctx, node)
			}
		})
	}
	for ctx.Err() == nil {
		c.round(ctx, due)
	}
	close(due)
	workers.Wait()
	return nil
}

// round hands each node to a worker at its own moment of the interval, and returns at the end of the interval.
func (c *Collector) round(ctx context.Context, due chan<- string) {
	start := c.o.Clock.Now()
	nodes := slices.Clone(c.o.Nodes())
	c.forget(nodes)
	slices.SortFunc(nodes, func(a, b string) int {
		if d := c.offset(a) - c.offset(b); d != 0 {
			return int(d)
		}
		return strings.Compare(a, b)
	})
	for _, node := range slices.Compact(nodes) {
		if !c.sleep(ctx, start.Add(c.offset(node))) {
			return
		}
		select {
		case due <- node:
		case <-ctx.Done():
			return
		}
	}
	c.sleep(ctx, start.Add(c.o.Interval))
}

// offset of a node in the interval: fixed, so that its visits are evenly spaced, and different from other nodes', so
// that the API server is not asked for all at once.
func (c *Collector) offset(node string) time.Duration {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d/%s", c.o.Seed, node) // a hash never fails
	return time.Duration(h.Sum64() % uint64(c.o.Interval))
}

// sleep until a time; false where the context ended.
func (c *Collector) sleep(ctx context.Context, until time.Time) bool {
	timer := c.o.Clock.NewTimer(until.Sub(c.o.Clock.Now()))
	defer timer.Stop()
	select {
	case <-timer.C():
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// forget drops what is known of nodes that are gone.
func (c *Collector) forget(nodes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.nodes {
		if !slices.Contains(nodes, name) {
			delete(c.nodes, name)
		}
	}
}

// visit reads one node. Where the visit before is still under way, nothing is done.
func (c *Collector) visit(ctx context.Context, node string) {
	c.mu.Lock()
	v := c.nodes[node]
	if v == nil {
		v = &visits{status: NodeStatus{Node: node}, tracker: newTracker(&c.counts)}
		c.nodes[node] = v
	}
	busy := v.busy
	v.busy = true
	c.mu.Unlock()
	if busy {
		return
	}
	visit, cancel := context.WithTimeout(ctx, c.o.Timeout)
	samples, err := c.o.Source.Scrape(visit, node)
	cancel()
	if err == nil {
		c.take(v.tracker, samples)
	} else if ctx.Err() == nil {
		c.o.OnError(node, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v.busy = false
	v.status.Err = err
	if err == nil {
		v.status.LastSuccess = c.o.Clock.Now()
		v.status.Containers = len(samples)
	}
}

func (c *Collector) take(t *tracker, samples []Sample) {
	now := c.o.Clock.Now()
	for _, s := range samples {
		u, ok := t.usage(s, now)
		if !ok {
			continue
		}
		if skew := u.At.Sub(now); skew > maxSkew || skew < -maxSkew {
			c.counts.skewed.Add(1)
			u.At = now
		}
		c.counts.taken.Add(1)
		c.o.Sink(u)
	}
	t.prune()
}

// NodeStatus is how a node's visits go.
type NodeStatus struct {
	Node string
	// LastSuccess is zero before the first.
	LastSuccess time.Time
	// Err of the latest visit; nil if it succeeded.
	Err        error
	Containers int
}

// Nodes tells how visits go, sorted by node.
func (c *Collector) Nodes() []NodeStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]NodeStatus, 0, len(c.nodes))
	for _, v := range c.nodes {
		out = append(out, v.status)
	}
	slices.SortFunc(out, func(a, b NodeStatus) int { return strings.Compare(a.Node, b.Node) })
	return out
}

// Age of the usage of a node: the time since its last successful visit; false if there was none.
func (c *Collector) Age(node string) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.nodes[node]
	if v == nil || v.status.LastSuccess.IsZero() {
		return 0, false
	}
	return c.o.Clock.Since(v.status.LastSuccess), true
}

// Counts of what was taken and rejected, by reason.
func (c *Collector) Counts() Counts { return c.counts.read() }
