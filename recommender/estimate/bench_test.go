package estimate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// benchContainers is how many containers the scale benchmarks hold; SUPERCARGO_BENCH_CONTAINERS overrides it.
func benchContainers(b *testing.B) int {
	if s := os.Getenv("SUPERCARGO_BENCH_CONTAINERS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	return 20_000
}

type fleet struct {
	keys []Key
	pods []string
}

// newFleet names n containers, ten to a workload.
func newFleet(n int) fleet {
	var f fleet
	for i := range n {
		w := i / 10
		f.keys = append(f.keys, Key{fmt.Sprintf("team-%d", w/50), "Deployment", fmt.Sprintf("service-%d", w), "app"})
		f.pods = append(f.pods, fmt.Sprintf("service-%d-7d9fbd6c4f-%05d", w, i))
	}
	return f
}

var benchStart = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// load of a container: a daily rhythm of a factor of three, and noise.
func load(r *rand.Rand, i int, at time.Time) (milliCPU, memory float64) {
	rhythm := 2 + math.Sin(float64(at.Unix()%86400)/86400*2*math.Pi)
	milliCPU = float64(20+i%400) * rhythm * math.Exp(0.3*r.NormFloat64())
	memory = float64(64<<20+i%1000<<20) * (1 + 0.1*rhythm + 0.01*r.NormFloat64())
	return milliCPU, memory
}

// cpuTime that the process has used. On a machine with other work, time on the wall says little.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMemory fills eight days at a sample a minute and reports what a container takes, names and maps included.
func BenchmarkMemory(b *testing.B) {
	for _, pods := range []int{1, 10} {
		b.Run(fmt.Sprintf("pods=%d", pods), func(b *testing.B) {
			n := 500 * benchContainers(b) / 20_000
			for range b.N {
				s := NewStore(Options{})
				before := heap() // the fixed 0.6 MiB of a store left out
				for i := range n {
					r := rand.New(rand.NewPCG(1, uint64(i)))
					k := Key{"team-" + strconv.Itoa(i/50), "Deployment", "service-" + strconv.Itoa(i/pods), "app"}
					pod := fmt.Sprintf("service-%d-7d9fbd6c4f-%05d", i/pods, i)
					for m := range 8 * 24 * 60 {
						at := benchStart.Add(time.Duration(m) * time.Minute)
						c, mem := load(r, i, at)
						s.Observe(k, pod, at, c, mem)
					}
				}
				b.ReportMetric(float64(heap()-before)/float64(n), "bytes/container")
				b.ReportMetric(float64(s.Stats().Bytes)/float64(n), "counted-bytes/container")
				runtime.KeepAlive(s)
			}
		})
	}
}

// BenchmarkObserve adds one sample to each container in turn, as scrapes do, or at random.
func BenchmarkObserve(b *testing.B) {
	f := newFleet(benchContainers(b))
	for _, order := range []string{"in order", "at random", "by series"} {
		b.Run(order, func(b *testing.B) {
			s := NewStore(Options{})
			r := rand.New(rand.NewPCG(1, 2))
			n := len(f.keys)
			visit := make([]int, n)
			for i := range visit {
				visit[i] = i
			}
			if order == "at random" {
				r.Shuffle(n, func(i, j int) { visit[i], visit[j] = visit[j], visit[i] })
			}
			cpus, memories := make([]float64, 4096), make([]float64, 4096)
			for i := range cpus {
				cpus[i], memories[i] = load(r, i, benchStart.Add(time.Duration(i)*time.Minute))
			}
			for round := range 13 { // every container has its place and encoded history
				for _, i := range visit {
					s.Observe(f.keys[i], f.pods[i], benchStart.Add(time.Duration(round)*time.Minute), cpus[(i+round)%4096], memories[i%4096])
				}
			}
			var series []*Series
			if order == "by series" {
				for i := range f.keys {
					series = append(series, s.Series(f.keys[i], f.pods[i]))
					series[i].Observe(benchStart.Add(13*time.Minute), 1, 1)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			for j := range b.N {
				i := visit[j%n]
				if series != nil {
					series[i].Observe(benchStart.Add(time.Duration(14+j/n)*time.Minute), cpus[(i+j)%4096], memories[i%4096])
					continue
				}
				at := benchStart.Add(time.Duration(13+j/n) * time.Minute)
				s.Observe(f.keys[i], f.pods[i], at, cpus[(i+j)%4096], memories[i%4096])
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkRecompute computes the needs of workloads of ten pods with eight days of history.
func BenchmarkRecompute(b *testing.B) {
	s := NewStore(Options{})
	const n = 200
	f := newFleet(n)
	for i := range n {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		for m := range 8 * 24 * 60 {
			at := benchStart.Add(time.Duration(m) * time.Minute)
			c, mem := load(r, i, at)
			s.Observe(f.keys[i], f.pods[i], at, c, mem)
		}
	}
	p := DefaultPolicy()
	now := benchStart.Add(8 * 24 * time.Hour)
	var needs []Need
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	for j := range b.N {
		needs = s.AppendNeeds(needs[:0], f.keys[j*10%n].Workload(), &p, now)
	}
	b.ReportMetric(10*float64(b.N)/(cpuTime(b)-before).Seconds(), "containers/cpu-s")
}

// BenchmarkRegister registers 4,000 workloads of ten pods.
func BenchmarkRegister(b *testing.B) {
	f := newFleet(40_000)
	for range b.N {
		s := NewStore(Options{})
		for i, k := range f.keys {
			s.Observe(k, f.pods[i], benchStart, 1, 1)
		}
	}
}
