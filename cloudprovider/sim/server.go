package sim

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"supercargo.dev/cloudprovider/catalog"
)

// Machines is what turns an instance into a node. The calls for one instance come in order, one at a time.
type Machines interface {
	// Boot starts the machine. An error means that the hardware failed: the instance is billed, and never registers.
	Boot(Instance) error
	// Shutdown stops the machine of an instance id.
	Shutdown(id string)
}

// Options configure a cloud. The zero value of every field is usable.
type Options struct {
	// Seed makes the market, the chances of faults and the interruptions reproducible.
	Seed uint64
	// Region is one of the catalog's; default us-east-1.
	Region string
	// Zones limits the zones; default all of the region.
	Zones []string
	// Clock is the time of the cloud; default the real one.
	Clock clock.Clock
	// Latency is the mean time an API call takes; calls take half to one and a half of it.
	Latency time.Duration
	// RegistrationDelay is how long machines take from launch until their node registers.
	RegistrationDelay time.Duration
	// TerminationDelay is how long instances stay shutting down.
	TerminationDelay time.Duration
	// ListDelay is how long a new instance is not yet visible.
	ListDelay time.Duration
	// InterruptionWarning is the time between notice and termination; default two minutes, as on AWS.
	InterruptionWarning time.Duration
	// InterruptionScale multiplies the catalog's rates of interruption; 0 is none but those asked for by a fault.
	InterruptionScale float64
	// PriceInterval is how often spot prices move; default five minutes.
	PriceInterval time.Duration
	// RequestsPerSecond throttles the API, with Burst requests at once; 0 is without limit.
	RequestsPerSecond float64
	// Burst defaults to RequestsPerSecond, at least 1.
	Burst int
	// Quotas limit the running vCPUs by capacity type; absent is without limit.
	Quotas map[string]int
	// MinimumBilling is billed for every instance at least; 0 bills by time alone. AWS bills 60 s at least.
	MinimumBilling time.Duration
	// Machines boots instances; nil boots nothing.
	Machines Machines
}

// Server is the simulated cloud, an http.Handler. Its goroutines are those of its callers: everything that happens by
// itself happens in Run, and, so that tests can step a clock, at the latest before the next request is served.
type Server struct {
	o      Options
	region *catalog.Region
	market market
	mux    *http.ServeMux
	limit  *rate.Limiter
	wake   chan struct{}

	mu        sync.Mutex
	rand      *rand.Rand
	instances map[string]*instance
	order     []*instance // as they were created
	tokens    map[string]*instance
	accounts  []*account
	quotas    map[string]int
	agenda    agenda
	faults    faults
	notices   notices
	effects   []func()

	// doing is held while effects run, so that they run in order.
	doing sync.Mutex
}

// NewServer makes a cloud. It fails when the catalog does not know the region or a zone. The caller runs Run beside it.
func NewServer(o Options) (*Server, error) {
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.InterruptionWarning == 0 {
		o.InterruptionWarning = 2 * time.Minute
	}
	if o.PriceInterval == 0 {
		o.PriceInterval = 5 * time.Minute
	}
	region, err := catalog.Load(o.Region)
	if err != nil {
		return nil, fmt.Errorf("starting the simulated cloud, %w", err)
	}
	for _, z := range o.Zones {
		if !slices.Contains(region.Zones, z) {
			return nil, fmt.Errorf("starting the simulated cloud, zone %q is not in region %s, which has %s", z, o.Region, strings.Join(region.Zones, ", "))
		}
	}
	if len(o.Zones) == 0 {
		o.Zones = region.Zones
	}
	s := &Server{
		o: o, region: region, market: market{seed: o.Seed, interval: o.PriceInterval},
		wake:      make(chan struct{}, 1),
		rand:      rand.New(rand.NewPCG(o.Seed, 1)),
		instances: map[string]*instance{}, tokens: map[string]*instance{}, quotas: maps.Clone(o.Quotas),
		faults:  faults{rand: rand.New(rand.NewPCG(o.Seed, 2))},
		notices: notices{changed: make(chan struct{})},
	}
	if o.RequestsPerSecond > 0 {
		s.limit = rate.NewLimiter(rate.Limit(o.RequestsPerSecond), max(o.Burst, int(o.RequestsPerSecond), 1))
	}
	s.routes()
	return s, nil
}

// Run lets time pass in the cloud until the context ends: deadlines of interruptions, ends of shutdowns. It returns nil.
func (s *Server) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		s.locked(func(time.Time) {})
		s.mu.Lock()
		next, planned := s.agenda.next()
		s.mu.Unlock()
		var due <-chan time.Time
		var timer clock.Timer
		if planned {
			timer = s.o.Clock.NewTimer(max(next.Sub(s.o.Clock.Now()), 0))
			due = timer.C()
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-due:
		}
		if timer != nil {
			timer.Stop()
		}
	}
	return nil
}

// locked runs f with the lock held, after everything that is due by now, and then does what both asked of Machines.
func (s *Server) locked(f func(now time.Time)) {
	s.mu.Lock()
	now := s.o.Clock.Now()
	for e, ok := s.agenda.due(now); ok; e, ok = s.agenda.due(now) {
		e.do(e.at)
	}
	s.faults.expire(now)
	f(now)
	pending := len(s.effects) > 0
	s.mu.Unlock()
	if pending {
		s.perform()
	}
}

// plan puts an event on the agenda and tells Run.
func (s *Server) plan(at time.Time, do func(now time.Time)) {
	s.agenda.add(at, do)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// perform runs the effects in the order they were asked for: a machine is not shut down before it is booted.
func (s *Server) perform() {
	s.doing.Lock()
	defer s.doing.Unlock()
	for {
		s.mu.Lock()
		effects := s.effects
		s.effects = nil
		s.mu.Unlock()
		if len(effects) == 0 {
			return
		}
		for _, do := range effects {
			do()
		}
	}
}
