package plan_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"supercargo.dev/plan"
	"supercargo.dev/plan/dump"
	"supercargo.dev/plan/plantest"
)

// BenchmarkPlan reads and plans the cluster that the bar is set on: 1,000 nodes and 20,000 pods.
func BenchmarkPlan(b *testing.B) {
	var text bytes.Buffer
	if err := plantest.Write(&text, plantest.Options{Nodes: 1000, Pods: 20000, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	b.Logf("dump of %d MiB", text.Len()>>20)
	b.SetBytes(int64(text.Len()))
	var read time.Duration
	for b.Loop() {
		start := time.Now()
		var objects dump.Objects
		if err := objects.Read(context.Background(), "dump", bytes.NewReader(text.Bytes()), dump.Options{}); err != nil {
			b.Fatal(err)
		}
		read += time.Since(start)
		r, err := plan.Make(context.Background(), &objects, nil, plan.Options{TimeBudget: 30 * time.Second})
		if err != nil {
			b.Fatal(err)
		}
		if len(objects.Problems) > 0 || len(r.Unplaced) > 0 {
			b.Fatalf("problems %v, unplaced %v", objects.Problems, r.Unplaced)
		}
	}
	b.ReportMetric(read.Seconds()/float64(b.N), "read-s/op")
}
