package recommendation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/usage"
)

func TestASourceThatIsDownForHoursAgesVisiblyAndLowersNothing(t *testing.T) {
	b := newBench(t, web(v1alpha1.UpdateModePreview)...)
	b.reconcile()
	b.use(4 * 24 * time.Hour)
	before := b.reconcile()
	b.expect(before, v1alpha1.ConditionUsageFresh, metav1.ConditionTrue, "Fresh")
	had := before.Status.Recommendation.Containers[0].Requests
	for range 24 { // half hours
		b.clock.Step(30 * time.Minute)
		s := b.reconcile()
		b.expect(s, v1alpha1.ConditionUsageFresh, metav1.ConditionFalse, "Stale")
		for name, q := range s.Status.Recommendation.Containers[0].Requests {
			if was := had[name]; q.Cmp(was) < 0 {
				t.Fatalf("%s fell from %s to %s while nothing was seen", name, was.String(), q.String())
			}
		}
	}
	newest := meta.FindStatusCondition(b.reconcile().Status.Conditions, v1alpha1.ConditionUsageFresh).Message
	if want := "the newest usage is of 2026-03-04T23:55:00Z"; newest != want {
		t.Errorf("the condition says %q, want %q", newest, want)
	}
	b.use(10 * time.Minute)
	b.expect(b.reconcile(), v1alpha1.ConditionUsageFresh, metav1.ConditionTrue, "Fresh")
}

// faulty is a source of one container of half a core and 100 MiB. Each minute something else is wrong.
type faulty struct {
	mu     sync.Mutex
	minute int
	cpu    float64
}

func (*faulty) Name() string { return "faulty" }

func (f *faulty) Scrape(context.Context, string) ([]usage.Sample, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.minute++
	f.cpu += 30
	at := time.Now()
	s := usage.Sample{Namespace: "shop", Pod: "a", Container: "app", CPUAt: at, MemoryAt: at, CPUSeconds: f.cpu, MemoryBytes: 100 << 20}
	switch f.minute % 12 {
	case 1: // the container restarted
		f.cpu = 30
		s.CPUSeconds = f.cpu
	case 3:
		s.CPUSeconds = math.NaN()
	case 4:
		s.CPUSeconds, s.MemoryBytes = math.Inf(1), math.Inf(1)
	case 5:
		s.MemoryBytes = -1
	case 6:
		s.MemoryBytes = math.NaN()
	case 7: // more than any machine has
		s.CPUSeconds, s.MemoryBytes = f.cpu+1e12, 1e18
		f.cpu = s.CPUSeconds
	case 9:
		return nil, errors.New("the kubelet does not answer")
	case 10: // the node's clock is an hour ahead from now on, until the next
		s.CPUAt, s.MemoryAt = at.Add(time.Hour), at.Add(time.Hour)
	case 11: // and goes back
	}
	return []usage.Sample{s}, nil
}

func TestFaultsOfASourceDoNotReachTheRecommendation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := estimate.NewStore(estimate.Options{})
		registry := NewRegistry()
		w := estimate.Workload{Namespace: "shop", Kind: "Deployment", Name: "cart"}
		registry.Set(types.NamespacedName{Namespace: "shop", Name: "s"}, w, []string{"a"}, []string{"app"}, nil)
		source := &faulty{}
		c, err := usage.NewCollector(usage.CollectorOptions{
			Source: source, Sink: registry.Sink(store), Nodes: func() []string { return []string{"node"} }, Interval: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Start(ctx) }()
		time.Sleep(3 * 24 * time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		last, ok := store.LastSample(w)
		if age := time.Since(last); !ok || age > 5*time.Minute || age < -time.Minute {
			t.Errorf("the newest sample is %s old", age)
		}
		p := estimate.DefaultPolicy()
		need := store.AppendNeeds(nil, w, &p, time.Now())[0]
		if need.MilliCPU < 540 || need.MilliCPU > 600 || need.MemoryBytes < 110<<20 || need.MemoryBytes > 114<<20 {
			t.Errorf("half a core and 100 MiB, with faults, need %dm and %d MiB", need.MilliCPU, need.MemoryBytes>>20)
		}
		if n := c.Counts(); n.Resets == 0 || n.Absurd == 0 || n.Skewed == 0 || n.Taken == 0 {
			t.Errorf("not every fault took place: %+v", n)
		}
	})
}

func TestPodsRenamedEveryMinuteDoNotGrowMemory(t *testing.T) {
	for name, told := range map[string]bool{"told that pods went": true, "told too late": false} {
		t.Run(name, func(t *testing.T) {
			store := estimate.NewStore(estimate.Options{})
			registry := NewRegistry()
			sink := registry.Sink(store)
			scaler := types.NamespacedName{Namespace: "shop", Name: "s"}
			w := estimate.Workload{Namespace: "shop", Kind: "Deployment", Name: "cart"}
			at := start
			var early int64
			for minute := range 3 * 24 * 60 {
				at = at.Add(time.Minute)
				pods := []string{fmt.Sprintf("a-%d", minute), fmt.Sprintf("b-%d", minute), fmt.Sprintf("c-%d", minute)}
				for _, gone := range registry.Set(scaler, w, pods, []string{"app"}, nil) {
					if told {
						store.PodGone(w, gone)
					}
				}
				for i, pod := range pods {
					sink(usage.Usage{Namespace: "shop", Pod: pod, Container: "app", At: at, MilliCPU: float64(100 + i), MemoryBytes: float64(100+minute%7) * (1 << 20)})
				}
				if minute == 24*60 {
					early = store.Stats().Bytes
				}
			}
			most := 3 * 2 // those that go and those that come
			if !told {
				most = 3 * 12 // a seat is free ten minutes after its last sample
			}
			st := store.Stats()
			if st.Seats > most || st.Bytes > early+early/4 {
				t.Errorf("%d series of %d bytes, %d after a day; want at most %d series", st.Seats, st.Bytes, early, most)
			}
			if len(registry.pods) != 3 {
				t.Errorf("the registry knows %d pods", len(registry.pods))
			}
			p := estimate.DefaultPolicy()
			if need := store.AppendNeeds(nil, w, &p, at)[0]; need.MilliCPU < 105 || need.MilliCPU > 125 || need.Confidence != v1alpha1.ConfidenceFull {
				t.Errorf("need %+v", need)
			}
		})
	}
}

func TestTenThousandWorkloadsAreHeldAndRecommended(t *testing.T) {
	const workloads, pods = 10_000, 3
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	store := estimate.NewStore(estimate.Options{})
	registry := NewRegistry()
	sink := registry.Sink(store)
	all := make([]estimate.Workload, 0, workloads)
	for n := range workloads {
		name := fmt.Sprintf("service-%d", n)
		w := estimate.Workload{Namespace: "shop", Kind: "Deployment", Name: name}
		all = append(all, w)
		var bound []string
		for p := range pods {
			bound = append(bound, fmt.Sprintf("%s-7d9fbd6c4f-%05d", name, p))
		}
		registry.Set(types.NamespacedName{Namespace: "shop", Name: name}, w, bound, []string{"app"}, nil)
	}
	at := start
	for round := range 30 {
		at = at.Add(time.Minute)
		registry.Pods(func(namespace, pod string, w estimate.Workload) {
			sink(usage.Usage{Namespace: namespace, Pod: pod, Container: "app", At: at, MilliCPU: float64(50 + round), MemoryBytes: 100 << 20})
		})
	}
	per := float64(heap()-before) / (workloads * pods)
	if per > 1200 {
		t.Errorf("a container takes %.0f bytes, its place in the registry included", per)
	}
	for _, w := range all {
		r, err := store.Recommend(w, estimate.DefaultPolicy(), estimate.Inputs{Now: at, Containers: []estimate.Container{{Name: "app"}}})
		if err != nil || r.Containers[0].Requests.Cpu().MilliValue() < 80 {
			t.Fatalf("%s: %v, %v", w.Name, r, err)
		}
	}
	runtime.KeepAlive(registry)
}
