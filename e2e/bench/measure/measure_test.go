package measure

import (
	"errors"
	"runtime"
	"testing"
)

func TestPeakCountsWhatARunHeldAndNotWhatWasThereBefore(t *testing.T) {
	before := make([]byte, 64<<20)
	u, err := Run(func() error {
		held := make([]byte, 32<<20)
		for i := range held {
			held[i] = 1
		}
		runtime.KeepAlive(held)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(before)
	if u.PeakBytes < 32<<20 || u.PeakBytes > 48<<20 {
		t.Errorf("peak %d, want the 32 MiB of the run", u.PeakBytes)
	}
	if u.Wall <= 0 {
		t.Errorf("wall %v, want some", u.Wall)
	}
}

func TestARunThatFailsSaysWhy(t *testing.T) {
	want := errors.New("no")
	if _, err := Run(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}
