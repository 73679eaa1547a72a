package estimate

import (
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Workload identifies a workload: the namespace, kind and name of the target of a WorkloadScaler.
type Workload struct{ Namespace, Kind, Name string }

// Key identifies one container of a workload.
type Key struct{ Namespace, Kind, Name, Container string }

// Workload that the container belongs to.
func (k Key) Workload() Workload { return Workload{k.Namespace, k.Kind, k.Name} }

const (
	day = 24 * time.Hour
	// MaxLookback is the longest lookback and retention.
	MaxLookback      = 30 * day
	defaultRetention = 8 * day
	numShards        = 64
)

// Options of a Store. The zero value is usable.
type Options struct {
	// Retention is how far back history is kept: the longest lookback of any policy and a day. Default 8 d, at most 31 d.
	// A seat of 8 d takes at most 512 bytes of history; longer retentions take proportionally more.
	Retention time.Duration
}

// Store holds the history of all workloads. It is safe for concurrent use.
type Store struct {
	retention uint32 // hours
	scales    [resources]*scale
	seed      maphash.Seed
	dropped   atomic.Int64
	shards    [numShards]shard
}

// shard is a part of the workloads under one lock.
type shard struct {
	mu        sync.Mutex
	workloads map[uint64]*workload
	seats     map[uint64]*seat
	scratch   *scratch
}

type workload struct {
	Workload
	containers []*container
}

// NewStore returns an empty store.
func NewStore(o Options) *Store {
	retention := o.Retention
	if retention <= 0 {
		retention = defaultRetention
	}
	retention = min(retention, MaxLookback+day)
	s := &Store{
		retention: uint32((retention + time.Hour - 1) / time.Hour),
		scales:    [resources]*scale{cpu: newScale(cpuFloor), memory: newScale(memoryFloor)},
		seed:      maphash.MakeSeed(),
	}
	for i := range s.shards {
		s.shards[i] = shard{workloads: map[uint64]*workload{}, seats: map[uint64]*seat{}, scratch: newScratch()}
	}
	return s
}

// Retention is how far back history reaches. A longer lookback of a policy is cut to it.
func (s *Store) Retention() time.Duration { return time.Duration(s.retention) * time.Hour }

// mix joins hashes so that the order of parts matters.
func mix(h, next uint64) uint64 { return (h ^ next) * 0x9e3779b97f4a7c15 }

// Identities are 64-bit hashes with a random seed: with 1,000,000 of them, the chance that any two are equal is 3e-8.
func (s *Store) workloadID(namespace, kind, name string) uint64 {
	h := mix(maphash.String(s.seed, namespace), maphash.String(s.seed, kind))
	return mix(h, maphash.String(s.seed, name))
}

func (s *Store) seatID(workload uint64, container, pod string) uint64 {
	return mix(mix(workload, maphash.String(s.seed, container)), maphash.String(s.seed, pod))
}

func (s *Store) shardOf(workload uint64) *shard { return &s.shards[workload>>58] }

// Observe adds one sample of a container of a pod: CPU in thousandths of a core and memory in bytes. A value that is
// NaN, infinite or negative is left out, so that either resource may come alone. Samples of one pod are expected in
// the order of their time; one that comes late is still counted where it belongs. Samples older than the retention
// are dropped.
//
// Who has many samples of the same container does better with a Series, which finds its place once.
func (s *Store) Observe(k Key, pod string, at time.Time, milliCPU, memoryBytes float64) {
	if !finite(milliCPU) && !finite(memoryBytes) {
		return
	}
	id := s.workloadID(k.Namespace, k.Kind, k.Name)
	sh := s.shardOf(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	second := seconds(at)
	x := sh.seats[s.seatID(id, k.Container, pod)]
	if x == nil {
		x = s.sit(sh, id, k, pod, second)
	}
	s.observe(sh, x, second, milliCPU, memoryBytes)
}

// Series is the place of one container of one pod in a store. It is safe for concurrent use.
type Series struct {
	store *Store
	key   *Key
	pod   string
	id    uint64 // of the workload
	seat  *seat  // under the lock of the shard; another pod may have taken it since
	own   uint64 // the seat's identity while it is ours
}

// Series returns the place of a container of a pod. It stays right when the pod loses its seat or the workload is
// forgotten: the next sample finds a new place.
func (s *Store) Series(k Key, pod string) *Series { return s.SeriesOf(&k, pod) }

// SeriesOf is Series with a key that many pods share, and that must not change. A pod's place then takes 64 bytes.
func (s *Store) SeriesOf(k *Key, pod string) *Series {
	id := s.workloadID(k.Namespace, k.Kind, k.Name)
	return &Series{store: s, key: k, pod: pod, id: id, own: s.seatID(id, k.Container, pod)}
}

// Observe adds one sample, as Store.Observe does.
func (x *Series) Observe(at time.Time, milliCPU, memoryBytes float64) {
	if !finite(milliCPU) && !finite(memoryBytes) {
		return
	}
	sh := x.store.shardOf(x.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	second := seconds(at)
	if x.seat == nil || x.seat.id != x.own {
		if x.seat = sh.seats[x.own]; x.seat == nil {
			x.seat = x.store.sit(sh, x.id, *x.key, x.pod, second)
		}
	}
	x.store.observe(sh, x.seat, second, milliCPU, memoryBytes)
}

// finite tells whether a value can be a usage.
func finite(v float64) bool { return v >= 0 && v <= math.MaxFloat64 }

// observe adds a sample to a seat. The shard is locked.
func (s *Store) observe(sh *shard, x *seat, second uint32, milliCPU, memoryBytes float64) {
	hour := hourOf(second)
	if x.held > 0 && hour != x.hour || x.held == bufferLength {
		x.flush(sh.scratch, s.retention)
	}
	if x.held == 0 {
		if hour+s.retention < hourOf(x.last) {
			s.dropped.Add(1)
			return
		}
		x.hour = hour
		x.container.saw(second)
	}
	b := &x.buffer[x.held]
	b.cpu, b.memory = missing, missing
	if finite(milliCPU) {
		p := s.scales[cpu].position(milliCPU)
		b.cpu = uint16(p >> fractionBits)
		x.top[cpu] = max(x.top[cpu], p)
	}
	if finite(memoryBytes) {
		p := s.scales[memory].position(memoryBytes)
		b.memory = uint16(p >> fractionBits)
		x.top[memory] = max(x.top[memory], p)
	}
	x.held++
	x.last = max(x.last, second)
	x.container.last = max(x.container.last, second)
	x.released = false
}

// sit finds a seat for a pod that has none: one whose pod is gone, or a new one.
func (s *Store) sit(sh *shard, id uint64, k Key, pod string, second uint32) *seat {
	c := s.container(sh, id, k)
	var x *seat
	for _, old := range c.seats {
		if old.last < second && (old.released || old.last+staleAfter < second) {
			x = old
			delete(sh.seats, x.id)
			break
		}
	}
	if x == nil {
		x = &seat{container: c}
		c.seats = append(c.seats, x)
	}
	x.pod = strings.Clone(pod) // it may be part of a large text
	x.id = s.seatID(id, k.Container, pod)
	x.released = false
	sh.seats[x.id] = x
	return x
}

func (s *Store) container(sh *shard, id uint64, k Key) *container {
	w := sh.workloads[id]
	if w == nil {
		// One string behind the three keeps what is compared together, and nothing else alive.
		all := k.Namespace + k.Kind + k.Name
		n, m := len(k.Namespace), len(k.Namespace)+len(k.Kind)
		w = &workload{Workload: Workload{all[:n], all[n:m], all[m:]}}
		sh.workloads[id] = w
	}
	if c := w.container(k.Container); c != nil {
		return c
	}
	c := &container{name: strings.Clone(k.Container), hours: make([]uint64, (s.retention+63)/64)}
	w.containers = append(w.containers, c)
	return c
}

func (w *workload) container(name string) *container {
	for _, c := range w.containers {
		if c.name == name {
			return c
		}
	}
	return nil
}

// find returns a workload and its shard, which is locked. The caller unlocks it.
func (s *Store) find(w Workload) (*workload, *shard) {
	id := s.workloadID(w.Namespace, w.Kind, w.Name)
	sh := s.shardOf(id)
	sh.mu.Lock()
	return sh.workloads[id], sh
}

// Forget drops the history of a workload that is gone.
func (s *Store) Forget(w Workload) {
	known, sh := s.find(w)
	defer sh.mu.Unlock()
	if known == nil {
		return
	}
	for _, c := range known.containers {
		for _, x := range c.seats {
			delete(sh.seats, x.id)
			x.id = 0 // whoever holds it finds that it is no longer theirs
		}
	}
	delete(sh.workloads, s.workloadID(w.Namespace, w.Kind, w.Name))
}

// PodGone frees the seats of a pod, for the pod that follows it. It is a hint: a pod that sends no samples for ten
// minutes loses its seat without it.
func (s *Store) PodGone(w Workload, pod string) {
	known, sh := s.find(w)
	defer sh.mu.Unlock()
	if known == nil {
		return
	}
	id := s.workloadID(w.Namespace, w.Kind, w.Name)
	for _, c := range known.containers {
		if x := sh.seats[s.seatID(id, c.name, pod)]; x != nil {
			x.released = true
		}
	}
}

// Workloads of which there is history, in no particular order.
func (s *Store) Workloads() []Workload {
	var out []Workload
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for _, w := range sh.workloads {
			out = append(out, w.Workload)
		}
		sh.mu.Unlock()
	}
	return out
}

// LastSample is when the newest sample of a workload was taken; false if there is none.
func (s *Store) LastSample(w Workload) (time.Time, bool) {
	known, sh := s.find(w)
	defer sh.mu.Unlock()
	last := uint32(0)
	if known != nil {
		for _, c := range known.containers {
			last = max(last, c.last)
		}
	}
	if last == 0 {
		return time.Time{}, false
	}
	return instant(last), true
}

// Stats of a store, for metrics.
type Stats struct {
	Workloads, Containers, Seats int
	// Bytes that histories occupy, without the overhead of maps and the allocator.
	Bytes int64
	// Dropped samples: older than the retention.
	Dropped int64
}

// Stats counts what the store holds. It visits every seat.
func (s *Store) Stats() Stats {
	out := Stats{Dropped: s.dropped.Load()}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		out.Workloads += len(sh.workloads)
		for _, w := range sh.workloads {
			out.Containers += len(w.containers)
			out.Bytes += int64(unsafe.Sizeof(*w)) + int64(len(w.Namespace)+len(w.Kind)+len(w.Name))
			for _, c := range w.containers {
				out.Seats += len(c.seats)
				out.Bytes += int64(unsafe.Sizeof(*c)) + int64(len(c.name)+8*cap(c.seats)+8*cap(c.hours))
				for _, x := range c.seats {
					out.Bytes += int64(unsafe.Sizeof(*x)) + int64(cap(x.data)+len(x.pod))
				}
			}
		}
		sh.mu.Unlock()
	}
	return out
}
