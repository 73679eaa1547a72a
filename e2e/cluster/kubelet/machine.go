package kubelet

import (
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// timing are the durations of the simulation.
type timing struct {
	PodStartDelay, ContainerStartDelay, InitRunFor, StopAfter, ResizeDelay time.Duration
}

// machine is one simulated kubelet with what runs on it. It has no client and no clock: callers bring pods and the time.
type machine struct {
	spec   NodeSpec
	rules  resizeRules
	timing timing
	usage  Usage
	seed   int64
	host   string        // the machine's address
	ips    func() string // gives a new pod its address

	mu      sync.Mutex
	node    *corev1.Node // as the API server has it; what was registered, until then
	readyAt time.Time    // containers start from then on
	booted  time.Time
	pods    map[types.NamespacedName]*pod
	pending []*pod // with resizes to allocate, in the order to try
	retried time.Time
	notes   []note
	dirty   map[types.NamespacedName]bool // other pods whose status a call changed

	pressure        bool      // MemoryPressure
	pressureSince   time.Time // of the last eviction
	pressureChanged time.Time // when the condition last changed; zero: never
	cpuNanos        uint64    // of pods that are gone
	sampled         time.Time // of the system's own CPU
}

func newMachine(spec NodeSpec, o Options, host string, ips func() string) (*machine, error) {
	rules, err := resizeRulesOf(spec)
	if err != nil {
		return nil, err
	}
	m := &machine{
		spec: spec, rules: rules, usage: o.Usage, seed: o.Seed, host: host, ips: ips,
		timing: timing{
			PodStartDelay: o.PodStartDelay, ContainerStartDelay: o.ContainerStartDelay, InitRunFor: o.InitRunFor,
			StopAfter: o.StopAfter, ResizeDelay: o.ResizeDelay,
		},
		pods:  map[types.NamespacedName]*pod{},
		dirty: map[types.NamespacedName]bool{},
	}
	return m, nil
}

// outcome is what came of syncing a pod.
type outcome struct {
	status *corev1.PodStatus      // to be written; nil: leave it alone
	remove bool                   // the API object may go
	next   time.Time              // when to sync again; zero: when something changes
	dirty  []types.NamespacedName // other pods to be synced
	notes  []note
}

// setNode tells the machine what its Node object looks like now.
func (m *machine) setNode(node *corev1.Node) {
	own := *node
	own.Labels = maps.Clone(node.Labels)
	if own.Labels == nil {
		own.Labels = map[string]string{}
	}
	if own.Labels[corev1.LabelOSStable] == "" {
		own.Labels[corev1.LabelOSStable] = "linux" // admission writes it into the map otherwise, in every call
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.node != nil && m.node.UID == own.UID && older(own.ResourceVersion, m.node.ResourceVersion) {
		return // what was read before a newer one came by the watch
	}
	m.node = &own
}

// older reports whether a is a resource version before b; false when either is no number.
func older(a, b string) bool {
	before, errA := strconv.ParseUint(a, 10, 64)
	after, errB := strconv.ParseUint(b, 10, 64)
	return errA == nil && errB == nil && before < after
}

// becomeReady fixes when containers may start and the node is ready.
func (m *machine) becomeReady(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readyAt = at
}

// sync brings the simulated pod up to now and to what the API server has.
func (m *machine) sync(api *corev1.Pod, now time.Time) outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := types.NamespacedName{Namespace: api.Namespace, Name: api.Name}
	p, known := m.pods[key]
	if known && p.api.UID != api.UID { // deleted and created again before anyone looked
		m.drop(key, now)
		known = false
	}
	if !known {
		p = m.add(key, api, now)
	} else {
		m.update(p, api, now)
	}
	wasActive := p.active()
	next := m.advance(p, now)
	if wasActive && !p.active() {
		m.unpend(p)
		m.retryPending(now)
	}
	delete(m.dirty, key)
	out := outcome{next: next}
	if !p.found {
		p.status = p.makeStatus(now)
		out.status = &p.status
	}
	out.remove = api.DeletionTimestamp != nil && !p.active() &&
		(api.DeletionGracePeriodSeconds == nil || *api.DeletionGracePeriodSeconds != 0)
	out.dirty, out.notes = m.collect()
	return out
}

// forget removes a pod whose API object is gone.
func (m *machine) forget(key types.NamespacedName, now time.Time) outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(key, now)
	var out outcome
	out.dirty, out.notes = m.collect()
	return out
}

func (m *machine) drop(key types.NamespacedName, now time.Time) {
	p, known := m.pods[key]
	if !known {
		return
	}
	for _, c := range p.containers {
		c.consume(m.usage, p.view(), now)
		p.cpuNanos += c.cpuNanos
	}
	m.cpuNanos += p.cpuNanos
	delete(m.pods, key)
	delete(m.dirty, key)
	m.unpend(p)
	m.retryPending(now)
}

// add admits or rejects a pod seen for the first time.
func (m *machine) add(key types.NamespacedName, api *corev1.Pod, now time.Time) *pod {
	p := &pod{api: api, seen: api, alloc: wantedBy(api), generation: api.Generation, startTime: now}
	p.allocated = api
	m.pods[key] = p
	if api.Status.Phase == corev1.PodSucceeded || api.Status.Phase == corev1.PodFailed {
		p.found, p.done = true, true
		return p
	}
	if p.rejected = admitPod(m.node, api, m.others(p), m.pressure); p.rejected != nil {
		m.note(api, corev1.EventTypeWarning, p.rejected.reason, p.rejected.message)
		return p
	}
	var err error
	if p.direction, err = parseDirection(api, m.timing.StopAfter); err != nil {
		m.note(api, corev1.EventTypeWarning, "InvalidAnnotation", err.Error())
	}
	if v, ok := m.usage.(usageValidator); ok {
		if err := v.Validate(api); err != nil {
			m.note(api, corev1.EventTypeWarning, "InvalidUsage", fmt.Sprintf("annotation %s, %v", AnnotationUsage, err))
		}
	}
	p.containers = newContainers(&api.Spec)
	for _, c := range p.containers {
		c.resume(api, now)
	}
	if api.DeletionTimestamp != nil {
		p.done = true // deleted before it started
		return p
	}
	start := now
	if m.readyAt.After(now) {
		start = m.readyAt // no network before
	}
	p.sandboxAt = start.Add(m.timing.PodStartDelay + m.jitter(string(api.UID), m.timing.PodStartDelay))
	p.host, p.ip = m.host, m.host
	if !api.Spec.HostNetwork {
		p.ip = m.ips()
	}
	return p
}

// update takes over what the API server has of a pod the machine knows.
func (m *machine) update(p *pod, api *corev1.Pod, now time.Time) {
	before := p.allocated
	if p.seen == p.api && p.generation == api.Generation {
		p.seen = api // the same spec: one copy in memory is enough
	}
	p.api = api
	if !p.active() {
		return
	}
	p.allocated = p.alloc.applyTo(api)
	if len(m.pending) > 0 && shrank(before, p.allocated) {
		m.retryPending(now)
	}
	if api.DeletionTimestamp != nil {
		m.stop(p, now)
		return
	}
	if p.generation != api.Generation {
		p.generation = api.Generation
		m.wantResize(p, now)
	}
}

// stop begins, or hastens, the end of a pod that is being deleted.
func (m *machine) stop(p *pod, now time.Time) {
	grace := 30 * time.Second
	if seconds := p.api.DeletionGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	if p.killing {
		if end := p.api.DeletionTimestamp.Time; end.Before(p.stopAt) && end.After(now) {
			p.stopAt, p.stopCode = end, 137 // the grace period was shortened
		}
		return
	}
	m.unpend(p)
	p.kill(now, grace)
	for _, c := range p.containers {
		if c.state == running {
			m.note(p.api, corev1.EventTypeNormal, "Killing", "Stopping container "+c.name)
		}
	}
}

// others are the pods that hold resources of the node beside p, with what is allocated to them.
func (m *machine) others(p *pod) []*corev1.Pod {
	others := make([]*corev1.Pod, 0, len(m.pods))
	for _, q := range m.pods {
		if q != p && q.active() {
			others = append(others, q.allocated)
		}
	}
	return others
}

func (m *machine) note(pod *corev1.Pod, kind, reason, message string) {
	m.notes = append(m.notes, note{pod: pod, kind: kind, reason: reason, message: message})
}

func (m *machine) collect() ([]types.NamespacedName, []note) {
	notes := m.notes
	m.notes = nil
	var dirty []types.NamespacedName
	for key := range m.dirty {
		dirty = append(dirty, key)
	}
	clear(m.dirty)
	return dirty, notes
}

func (m *machine) touch(p *pod) {
	m.dirty[types.NamespacedName{Namespace: p.api.Namespace, Name: p.api.Name}] = true
}

// jitter is a duration below most that depends on the seed and on what it is for.
func (m *machine) jitter(what string, most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return time.Duration(m.hash(what) % uint64(most))
}

func (m *machine) hash(what string) uint64 {
	hash := fnv.New64a()
	_, _ = fmt.Fprintf(hash, "%d/%s/%s", m.seed, m.spec.Name, what) // a hash's Write never fails
	return hash.Sum64()
}

func (m *machine) containerID(pod *corev1.Pod, c *container) string {
	what := fmt.Sprintf("%s/%s/%d", pod.UID, c.name, c.restarts)
	return fmt.Sprintf("%016x%016x%016x%016x", m.hash(what), m.hash(what+"1"), m.hash(what+"2"), m.hash(what+"3"))
}
