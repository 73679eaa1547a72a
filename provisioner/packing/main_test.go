package packing_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain has the random problems drawn from one seed, so that a failure is of the change that is tested and comes back when it is
// looked for. Others are drawn by -args -rapid.seed=N, more by -rapid.checks=N, which is worth a night after larger changes.
func TestMain(m *testing.M) {
	flag.Parse()
	if seed := flag.Lookup("rapid.seed"); seed != nil && seed.Value.String() == seed.DefValue {
		if err := seed.Value.Set("20261122"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
