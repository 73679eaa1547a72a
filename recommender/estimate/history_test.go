package estimate

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rich is a store with everything that a history holds.
func rich(t testing.TB) (*Store, time.Time) {
	t.Helper()
	s := NewStore(Options{})
	r := rand.New(rand.NewPCG(5, 5))
	end := t0
	for _, pod := range []string{"a", "b"} {
		for m := range 3*24*60 + 7 {
			end = t0.Add(time.Duration(m) * time.Minute)
			c, mem := load(r, 3, end)
			s.Observe(testKey, pod, end, c, mem)
		}
	}
	s.OOM(testKey, Kill{Pod: "a", At: end, Applied: true, MemoryBytes: 300 * mi}, DefaultPolicy().OOM)
	s.Evicted(testKey, end, 400*mi)
	return s, end
}

func checkpoint(t testing.TB, s *Store) []byte {
	t.Helper()
	h, ok := s.Snapshot(testWorkload)
	if !ok {
		t.Fatal("nothing to write")
	}
	b, err := h.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func restore(t testing.TB, s *Store, b []byte) {
	t.Helper()
	var h History
	if err := h.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(h); err != nil {
		t.Fatal(err)
	}
}

func TestARestartChangesNoRecommendation(t *testing.T) {
	s, end := rich(t)
	in := inputs(end, requests("1", "1Gi"))
	want, err := s.Recommend(testWorkload, DefaultPolicy(), in)
	if err != nil {
		t.Fatal(err)
	}
	b := checkpoint(t, s)
	restarted := NewStore(Options{})
	restore(t, restarted, b)
	got, err := restarted.Recommend(testWorkload, DefaultPolicy(), in)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(b, checkpoint(t, restarted)); d != "" {
		t.Error("a checkpoint of what was restored is another one")
	}
	// A pod that goes on keeps its seat.
	restarted.Observe(testKey, "a", end.Add(time.Minute), 1, 1)
	if got := restarted.Stats().Seats; got != 2 {
		t.Errorf("%d seats after a restart, want 2", got)
	}
}

func TestRestoringAfterTheFirstSamplesLosesNeither(t *testing.T) {
	s, end := rich(t)
	b := checkpoint(t, s)
	peak := usageOf(t, s, DefaultPolicy())[memory].peak
	started := NewStore(Options{})
	started.Observe(testKey, "a", end.Add(2*time.Minute), 9999, 10*mi)
	restore(t, started, b)
	got := usageOf(t, started, DefaultPolicy())
	if got[memory].peak != peak || got[cpu].peak < 9999 {
		t.Errorf("peaks are %v and %v", got[cpu].peak, got[memory].peak)
	}
}

func TestEveryDamagedByteOfACheckpointIsNoticed(t *testing.T) {
	s, _ := rich(t)
	b := checkpoint(t, s)
	for i := range b {
		damaged := append([]byte(nil), b...)
		damaged[i] ^= 0x40
		var h History
		if err := h.UnmarshalBinary(damaged); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d damaged: %v", i, err)
		}
		if err := h.UnmarshalBinary(b[:i]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut after %d bytes: %v", i, err)
		}
	}
}

func TestAnUnknownVersionIsRefused(t *testing.T) {
	s, _ := rich(t)
	b := checkpoint(t, s)
	b[len(checkpointMagic)] = 99
	var h History
	if err := h.UnmarshalBinary(b); err == nil {
		t.Error("version 99 is read")
	}
}

// FuzzHistory reads arbitrary content under a right checksum: what is accepted can be restored, used and written again.
func FuzzHistory(f *testing.F) {
	s, _ := rich(f)
	b := checkpoint(f, s)
	f.Add(b[4 : len(b)-4])
	small := NewStore(Options{})
	small.Observe(testKey, "a", t0, 1, 1)
	b = checkpoint(f, small)
	f.Add(b[4 : len(b)-4])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		whole := append([]byte(checkpointMagic), checkpointVersion)
		whole = append(whole, content...)
		sum := checksum(whole)
		whole = append(whole, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
		var h History
		if h.UnmarshalBinary(whole) != nil {
			return
		}
		s := NewStore(Options{})
		if s.Restore(h) != nil {
			return
		}
		p := DefaultPolicy()
		needs := s.AppendNeeds(nil, h.Workload, &p, t0)
		for i, n := range needs {
			s.Observe(Key{h.Workload.Namespace, h.Workload.Kind, h.Workload.Name, n.Container}, "a", t0.Add(time.Duration(i)*time.Minute), 1, 1)
		}
		if again, ok := s.Snapshot(h.Workload); ok {
			if _, err := again.MarshalBinary(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
