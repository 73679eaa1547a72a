package recommendation

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/usage"
)

func sample(pod, container string, milliCPU float64) usage.Usage {
	return usage.Usage{Namespace: "shop", Pod: pod, Container: container, At: time.Unix(1_800_000_000, 0), MilliCPU: milliCPU, MemoryBytes: math.NaN()}
}

func TestUsageReachesTheWorkloadThatIsBoundNow(t *testing.T) {
	for name, keep := range map[string]bool{"with places": true, "without": false} {
		t.Run(name, func(t *testing.T) { usageReaches(t, keep) })
	}
}

func usageReaches(t *testing.T, keep bool) {
	places := map[string]*usage.Place{}
	sample := func(pod, container string, milliCPU float64) usage.Usage {
		u := sample(pod, container, milliCPU)
		if keep {
			if places[pod+container] == nil {
				places[pod+container] = &usage.Place{}
			}
			u.Place = places[pod+container]
		}
		return u
	}
	store := estimate.NewStore(estimate.Options{})
	r := NewRegistry()
	sink := r.Sink(store)
	scaler := types.NamespacedName{Namespace: "shop", Name: "s"}
	cart, front := estimate.Workload{Namespace: "shop", Kind: "Deployment", Name: "cart"}, estimate.Workload{Namespace: "shop", Kind: "Deployment", Name: "front"}
	seats := func() int { return store.Stats().Seats }

	sink(sample("a", "app", 1))
	if seats() != 0 {
		t.Error("usage of a pod that nobody binds was kept")
	}
	r.Set(scaler, cart, []string{"a", "b"}, []string{"app"}, nil)
	sink(sample("a", "app", 1))
	sink(sample("a", "istio-proxy", 1))
	if seats() != 1 {
		t.Errorf("%d series after one sample of the container of the template", seats())
	}
	if gone := r.Set(scaler, cart, []string{"b", "c"}, []string{"app"}, nil); !cmp.Equal(gone, []string{"a"}) {
		t.Errorf("gone are %v, want a", gone)
	}
	sink(sample("a", "app", 1))
	sink(sample("b", "app", 1))
	sink(sample("c", "app", 1))
	if seats() != 3 {
		t.Errorf("%d series, want those of a, b and c", seats())
	}
	r.Set(scaler, front, []string{"c"}, []string{"app"}, nil) // the scaler binds another workload now
	sink(sample("c", "app", 1))
	if _, ok := store.LastSample(front); !ok {
		t.Error("the sample of c did not reach the workload that is bound now")
	}
	r.Remove(scaler)
	before := store.Stats()
	sink(sample("c", "app", 1))
	if d := cmp.Diff(before, store.Stats()); d != "" {
		t.Error(d)
	}
}

func TestASampleOfAKnownContainerAllocatesNothing(t *testing.T) {
	store := estimate.NewStore(estimate.Options{})
	r := NewRegistry()
	sink := r.Sink(store)
	r.Set(types.NamespacedName{Namespace: "shop", Name: "s"}, estimate.Workload{Namespace: "shop", Kind: "Deployment", Name: "cart"}, []string{"a"}, []string{"app"}, nil)
	u := sample("a", "app", 100)
	for range 100 {
		sink(u)
	}
	if n := testing.AllocsPerRun(100, func() { sink(u) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkSink is a sample on its way from a collector through the registry into the store.
func BenchmarkSink(b *testing.B) {
	n := 20_000
	if s := os.Getenv("SUPERCARGO_BENCH_CONTAINERS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	store := estimate.NewStore(estimate.Options{})
	r := NewRegistry()
	sink := r.Sink(store)
	samples := make([]usage.Usage, 0, n)
	for w := range n / 10 {
		var pods []string
		for p := range 10 {
			name := fmt.Sprintf("service-%d-7d9fbd6c4f-%05d", w, p)
			pods = append(pods, name)
			u := sample(name, "app", float64(20+p))
			u.Place = &usage.Place{}
			u.MemoryBytes = 100 << 20
			samples = append(samples, u)
		}
		name := fmt.Sprintf("service-%d", w)
		r.Set(types.NamespacedName{Namespace: "shop", Name: name}, estimate.Workload{Namespace: "shop", Kind: "Deployment", Name: name}, pods, []string{"app"}, nil)
	}
	for round := range 13 {
		for i := range samples {
			samples[i].At = samples[i].At.Add(time.Duration(min(round, 1)) * time.Minute)
			sink(samples[i])
		}
	}
	cpu := func() time.Duration { // of the process: on a machine with other work, time on the wall says little
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			b.Fatal(err)
		}
		return time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	for i := range b.N {
		u := &samples[i%len(samples)]
		u.At = u.At.Add(time.Minute)
		sink(*u)
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
}
