package recommender

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"supercargo.dev/e2e/bench/measure"
)

// podsPerScaler is how many pods each scaler has in measurements of scale.
const podsPerScaler = 10

// Registering is measured up to so many times where it takes less than that.
const (
	registerTries   = 5
	registerBriefly = 500 * time.Millisecond
)

// population is an engine that holds many workloads at once.
type population interface {
	// register adds a scaler and its pods; their containers are the next podsPerScaler.
	register() error
	// observe adds a sample of container i.
	observe(i int, at time.Time, milliCPU, bytes float64) error
	// recompute recommends for all containers of all workloads and returns how many there are.
	recompute(now time.Time) (int, error)
}

// Scale measures an engine with so many containers. The history before is that of a population as it stands; the
// samples are the same for all engines, in the same order.
type Scale struct {
	Engine     string
	Containers int
	// Rounds of samples, one of each container a minute.
	Rounds int
	// Filled says that containers have eight days of history before. It is Supercargo's only: what VPA keeps of a
	// container does not grow with history.
	Filled bool
}

// start of synthetic samples.
func start() time.Time { return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) }

const lookbackMinutes = 8 * 24 * 60

// load of container i: a daily rhythm of a factor of three, and noise.
func load(r *rand.Rand, i int, at time.Time) (milliCPU, bytes float64) {
	rhythm := 2 + math.Sin(float64(at.Unix()%86400)/86400*2*math.Pi)
	milliCPU = float64(20+i%400) * rhythm * math.Exp(0.3*r.NormFloat64())
	bytes = float64(64<<20+i%1000<<20) * (1 + 0.1*rhythm + 0.01*r.NormFloat64())
	return milliCPU, bytes
}

// samples are made before they are timed.
type samples struct{ cpu, memory []float64 }

func newSamples() samples {
	const n = 1 << 14
	r := rand.New(rand.NewPCG(1, 2))
	s := samples{make([]float64, n), make([]float64, n)}
	for i := range n {
		s.cpu[i], s.memory[i] = load(r, i, start().Add(time.Duration(i)*time.Minute))
	}
	return s
}

func (s samples) of(i, round int) (milliCPU, bytes float64) {
	n := len(s.cpu)
	return s.cpu[(i*31+round*7)%n], s.memory[i%n]
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// Measure runs the scale and returns its row.
func (s Scale) Measure() (Row, error) {
	row := Row{Case: fmt.Sprintf("scale/%d", s.Containers), Engine: s.Engine, Setting: settingDefault, Containers: s.Containers}
	feed := newSamples()
	history, err := s.history()
	if err != nil {
		return row, err
	}
	begin := start().Add(lookbackMinutes * time.Minute)
	round := func(p population, m int) error {
		at := begin.Add(time.Duration(m) * time.Minute)
		for i := range s.Containers {
			milliCPU, bytes := feed.of(i, m)
			if err := p.observe(i, at, milliCPU, bytes); err != nil {
				return err
			}
		}
		return nil
	}
	// Registered is what has its first sample: only with it some engines make a place.
	register := func() (population, time.Duration, error) {
		p, err := s.population(history)
		if err != nil {
			return nil, 0, err
		}
		used, err := measure.Run(func() error {
			for range s.Containers / podsPerScaler {
				if err := p.register(); err != nil {
					return err
				}
			}
			return round(p, 0)
		})
		if err != nil {
			return nil, 0, fmt.Errorf("registering with %s, %w", s.Engine, err)
		}
		return p, used.CPU, nil
	}
	before := liveHeap()
	p, took, err := register()
	if err != nil {
		return row, err
	}
	if !s.Filled { // filling is not registering
		// What takes milliseconds is disturbed by everything else on the machine: the least of a few is nearest the truth.
		for try := 1; try < registerTries && took < registerBriefly; try++ {
			_, again, err := register()
			if err != nil {
				return row, err
			}
			took = min(took, again)
		}
		row.RegisterSeconds = took.Seconds()
	}
	allocated := mallocs()
	used, err := measure.Run(func() error {
		for m := range s.Rounds {
			if err := round(p, m+1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return row, fmt.Errorf("adding samples to %s, %w", s.Engine, err)
	}
	count := float64(s.Containers * s.Rounds)
	allocs := math.Round(float64(mallocs()-allocated)/count*1000) / 1000
	row.NsPerSample, row.AllocsPerSample = float64(used.CPU)/count, &allocs
	computed := 0
	if used, err = measure.Run(func() error {
		computed, err = p.recompute(begin.Add(time.Duration(s.Rounds+1) * time.Minute))
		return err
	}); err != nil {
		return row, fmt.Errorf("recomputing with %s, %w", s.Engine, err)
	}
	if computed != s.Containers {
		return row, fmt.Errorf("%s recommended for %d of %d containers", s.Engine, computed, s.Containers)
	}
	row.ContainersPerSecond = float64(computed) / used.CPU.Seconds()
	row.BytesPerContainer = float64(liveHeap()-before) / float64(s.Containers)
	runtime.KeepAlive(p)
	return row, nil
}

func (s Scale) history() ([][]byte, error) {
	if !s.Filled {
		return nil, nil
	}
	return histories(min(s.Containers/podsPerScaler, 40))
}

func (s Scale) population(history [][]byte) (population, error) {
	switch s.Engine {
	case Supercargo:
		return newOurs(history), nil
	case VPA:
		return newTheirs(), nil
	}
	return nil, fmt.Errorf("there is no engine %q", s.Engine)
}

// names of the n-th workload and its pods, as long as in a cluster.
func workloadName(n int) string { return fmt.Sprintf("service-%07d", n) }

func podName(n, pod int) string {
	return fmt.Sprintf("%s-7d9fbd6c4f-%s", workloadName(n), strings.Repeat(string(rune('a'+pod)), 5))
}
