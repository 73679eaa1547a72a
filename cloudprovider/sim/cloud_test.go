package sim

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hurried is a clock whose timers fire at once: what waits, does not.
type hurried struct{ clock.Clock }

func (h hurried) NewTimer(time.Duration) clock.Timer { return h.Clock.NewTimer(0) }

// machines records what the cloud asks for.
type machines struct {
	mu      sync.Mutex
	booted  []Instance
	stopped []string
	stops   chan string
	fail    error
}

func (m *machines) Boot(i Instance) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.booted = append(m.booted, i)
	return m.fail
}

func (m *machines) Shutdown(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = append(m.stopped, id)
	if m.stops != nil {
		m.stops <- id
	}
}

// cloud is a simulated cloud on a fake clock behind a real HTTP server.
type cloud struct {
	*Client
	t        *testing.T
	server   *Server
	url      string
	clock    *clocktesting.FakeClock
	machines *machines
}

func newCloud(t *testing.T, change func(*Options)) *cloud {
	t.Helper()
	c := &cloud{t: t, clock: clocktesting.NewFakeClock(epoch), machines: &machines{}}
	o := Options{Seed: 7, Clock: c.clock, Machines: c.machines}
	if change != nil {
		change(&o)
	}
	var err error
	if c.server, err = NewServer(o); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(c.server)
	t.Cleanup(h.Close)
	c.url = h.URL
	c.Client = NewClient(h.URL, WithClientClock(hurried{clock.RealClock{}}), WithClientSeed(1))
	return c
}

func (c *cloud) create(token string, alternatives ...Alternative) *Created {
	c.t.Helper()
	created, err := c.Create(context.Background(), &CreateRequest{ClientToken: token, Alternatives: alternatives, Tags: map[string]string{"owner": "test"}})
	if err != nil {
		c.t.Fatal(err)
	}
	return created
}

func (c *cloud) fault(f Fault) *FaultResult {
	c.t.Helper()
	result, err := c.AddFault(context.Background(), f)
	if err != nil {
		c.t.Fatal(err)
	}
	return result
}

func (c *cloud) get(id string) *Instance {
	c.t.Helper()
	i, err := c.Get(context.Background(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	return i
}

func (c *cloud) list() []Instance {
	c.t.Helper()
	all, err := c.List(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

func (c *cloud) billing() *Billing {
	c.t.Helper()
	b, err := c.Billing(context.Background(), true)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

var (
	spotA     = Alternative{InstanceType: "m5.large", Zone: "us-east-1a", CapacityType: Spot}
	spotB     = Alternative{InstanceType: "m5.large", Zone: "us-east-1b", CapacityType: Spot}
	onDemandA = Alternative{InstanceType: "m5.large", Zone: "us-east-1a", CapacityType: OnDemand}
)
