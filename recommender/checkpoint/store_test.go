package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"supercargo.dev/recommender/estimate"
)

const namespace = "supercargo-system"

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// histories of n workloads with a day of usage each.
func histories(t testing.TB, n int) []estimate.History {
	t.Helper()
	store := estimate.NewStore(estimate.Options{})
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // test data
	for i := range n {
		key := estimate.Key{Namespace: "shop", Kind: "Deployment.apps", Name: fmt.Sprintf("web-%d", i), Container: "app"}
		for m := 0; m < 24*60; m += 5 {
			store.Observe(key, "p", start.Add(time.Duration(m)*time.Minute), 50+100*random.Float64(), 1e8*(1+random.Float64()))
		}
	}
	var out []estimate.History
	for _, w := range store.Workloads() {
		h, ok := store.Snapshot(w)
		if !ok {
			t.Fatalf("no history of %v", w)
		}
		out = append(out, h)
	}
	return out
}

func objects(c client.Client) *Objects { return &Objects{Client: c, Direct: c, Namespace: namespace} }

func load(t *testing.T, o *Objects) Loaded {
	t.Helper()
	l, err := o.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func chunkMaps(t *testing.T, c client.Client) []corev1.ConfigMap {
	t.Helper()
	var list corev1.ConfigMapList
	if err := c.List(t.Context(), &list, client.InNamespace(namespace), client.HasLabels{chunkLabel}); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// texts are the encodings of histories by workload.
func texts(t *testing.T, list []estimate.History) map[estimate.Workload]string {
	t.Helper()
	out := map[estimate.Workload]string{}
	for _, h := range list {
		b, err := h.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		out[h.Workload] = string(b)
	}
	return out
}

func TestWhatIsSavedIsLoaded(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()
	want := histories(t, 50)
	first := objects(c)
	if l := load(t, first); len(l.Histories) != 0 || len(l.Damage) != 0 {
		t.Fatalf("an empty cluster holds %+v", l)
	}
	if err := first.Save(t.Context(), want, start); err != nil {
		t.Fatal(err)
	}
	l := load(t, objects(c))
	if len(l.Damage) != 0 || !l.Written.Equal(start) {
		t.Fatalf("damage %v, written %s", l.Damage, l.Written)
	}
	if diff := cmp.Diff(texts(t, want), texts(t, l.Histories)); diff != "" {
		t.Error(diff)
	}
	if err := first.Save(t.Context(), want[:1], start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := len(chunkMaps(t, c)); n != 1 {
		t.Errorf("%d chunks are left, want the one that is used", n)
	}
}

func TestChunksFitAnObject(t *testing.T) {
	data := make([]byte, 3*chunkBytes+1)
	pieces := chunks(data)
	sum := 0
	for _, p := range pieces {
		sum += len(p)
		if len(p) > chunkBytes {
			t.Errorf("a chunk of %d bytes", len(p))
		}
	}
	if len(pieces) != 4 || sum != len(data) {
		t.Errorf("%d chunks, %d bytes", len(pieces), sum)
	}
}

func TestDamageIsReportedAndTheRestIsRead(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(cm *corev1.ConfigMap, c client.Client) error
	}{
		{"a chunk is missing", func(cm *corev1.ConfigMap, c client.Client) error { return c.Delete(context.Background(), cm) }},
		{"a chunk was changed", func(cm *corev1.ConfigMap, c client.Client) error {
			cm.BinaryData[contentKey][10] ^= 0xff
			return c.Update(context.Background(), cm)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()
			o := objects(c)
			load(t, o)
			if err := o.Save(t.Context(), histories(t, 3), start); err != nil {
				t.Fatal(err)
			}
			if err := tc.damage(&chunkMaps(t, c)[0], c); err != nil {
				t.Fatal(err)
			}
			if l := load(t, objects(c)); len(l.Damage) != 1 || len(l.Histories) != 0 {
				t.Errorf("%d histories, damage %v", len(l.Histories), l.Damage)
			}
		})
	}
}

func TestASecondWriterIsNotOverwritten(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()
	old, leader := objects(c), objects(c)
	load(t, old)
	if err := old.Save(t.Context(), histories(t, 1), start); err != nil {
		t.Fatal(err)
	}
	load(t, leader)
	want := histories(t, 2)
	if err := leader.Save(t.Context(), want, start.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := old.Save(t.Context(), histories(t, 1), start.Add(time.Hour)); !errors.Is(err, ErrOtherWriter) {
		t.Fatalf("error %v, want %v", err, ErrOtherWriter)
	}
	if l := load(t, objects(c)); len(l.Histories) != 2 || len(l.Damage) != 0 {
		t.Errorf("%d histories, damage %v", len(l.Histories), l.Damage)
	}
}

// TestADeathAtAnyWriteLeavesAWholeCheckpoint: whichever request is the last, a reader sees the former or the new checkpoint.
func TestADeathAtAnyWriteLeavesAWholeCheckpoint(t *testing.T) {
	for deadline := range 8 {
		t.Run(fmt.Sprintf("after %d writes", deadline), func(t *testing.T) {
			left := 1 << 20
			write := func() error {
				if left--; left < 0 {
					return errors.New("killed")
				}
				return nil
			}
			c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
					return errors.Join(write(), doIf(left >= 0, func() error { return c.Create(ctx, o, opts...) }))
				},
				Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
					return errors.Join(write(), doIf(left >= 0, func() error { return c.Update(ctx, o, opts...) }))
				},
				Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
					return errors.Join(write(), doIf(left >= 0, func() error { return c.Delete(ctx, o, opts...) }))
				},
			}).Build()
			o := objects(c)
			load(t, o)
			if err := o.Save(t.Context(), histories(t, 2), start); err != nil {
				t.Fatal(err)
			}
			left = deadline
			_ = o.Save(t.Context(), histories(t, 5), start.Add(time.Minute)) // fails where it is told to
			l := load(t, objects(c))
			if n := len(l.Histories); len(l.Damage) != 0 || n != 2 && n != 5 {
				t.Errorf("%d histories, damage %v", n, l.Damage)
			}
		})
	}
}

func doIf(yes bool, f func() error) error {
	if !yes {
		return nil
	}
	return f()
}

func TestAKeeperRestoresBeforeItIsReadyAndSavesAtItsEnd(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()
	o := objects(c)
	load(t, o)
	if err := o.Save(t.Context(), histories(t, 3), start); err != nil {
		t.Fatal(err)
	}
	store, ready := estimate.NewStore(estimate.Options{}), make(chan struct{})
	var newest map[estimate.Workload]time.Time
	k := &Keeper{
		Objects: objects(c), Store: store, Recorder: events.NewFakeRecorder(10), Clock: testclock.NewFakeClock(start.Add(24 * time.Hour)),
		Interval: time.Minute, Ready: ready, Bound: func() sets.Set[estimate.Workload] { return sets.New(store.Workloads()...) },
		Restored: func(m map[estimate.Workload]time.Time) { newest = m },
	}
	if err := k.Register(prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- k.Start(ctx) }()
	<-ready
	if len(newest) != 3 || len(store.Workloads()) != 3 {
		t.Errorf("%d workloads restored, %d told", len(store.Workloads()), len(newest))
	}
	store.Observe(estimate.Key{Namespace: "shop", Kind: "Deployment.apps", Name: "late", Container: "app"}, "p", start.Add(23*time.Hour), 1, 1)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if l := load(t, objects(c)); len(l.Histories) != 4 {
		t.Errorf("%d histories after the end, want the late one too", len(l.Histories))
	}
	if n := testutil.ToFloat64(k.saves); n != 1 {
		t.Errorf("%v saves counted", n)
	}
}

func FuzzDecode(f *testing.F) {
	shards, err := encode(histories(f, 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shards[0].data)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := decode(data)
		if err == nil {
			if _, err := encode(list); err != nil {
				t.Errorf("what was read cannot be written: %v", err)
			}
		}
	})
}
