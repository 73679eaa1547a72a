package plan_test

import (
	"bytes"
	"context"
	"math"
	"testing"
	"time"

	"supercargo.dev/plan"
	"supercargo.dev/plan/dump"
)

// FuzzMake holds the plan of any input to be finite, or an error, and to print.
func FuzzMake(f *testing.F) {
	c := new(cluster).node("a", "m5.2xlarge", "us-east-1a", `,"team":"x"`).node("b", "c5.xlarge", "us-east-1b", "").
		pod("p", "a", "1", "", `,"nodeSelector":{"team":"x"}`).
		pod("q", "b", "100m", "", `,"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"c"}}]`).
		pod("r", "", "2", "", `,"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"x"}}}]}}`).
		add(daemonPod, "a").
		add(`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"c","namespace":"web"},"spec":{"volumeName":"pv"}}`).
		add(`{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"x","namespace":"web"},"spec":{"selector":{}},"status":{"expectedPods":1}}`)
	f.Add([]byte(c.text.String()), false)
	f.Add([]byte(new(cluster).add(deployment, "x", 3, "1").text.String()), true)
	f.Fuzz(func(t *testing.T, data []byte, asChange bool) {
		var fuzzed dump.Objects
		if err := fuzzed.Read(context.Background(), "fuzz", bytes.NewReader(data), dump.Options{}); err != nil {
			t.Fatal(err)
		}
		for _, w := range fuzzed.Workloads {
			if w.Replicas > 100 {
				t.Skip("large")
			}
		}
		objects, change := &fuzzed, (*dump.Objects)(nil)
		if asChange {
			objects, change = new(cluster).node("n", "m5.2xlarge", "us-east-1a", "").pod("p", "n", "1", "", "").objects(t), &fuzzed
		}
		r, err := plan.Make(context.Background(), objects, change, plan.Options{Spot: plan.SpotOn, TimeBudget: 100 * time.Millisecond, Families: []string{"m5", "c5"}})
		if err != nil {
			return
		}
		for _, v := range []float64{r.Current.PricePerHour, r.Planned.PricePerHour, r.Bound.PricePerHour, r.Savings.Percent, r.Planned.CPUPercent} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("not a number in %+v %+v %+v", r.Current, r.Planned, r.Bound)
			}
		}
		var out bytes.Buffer
		if err := r.WriteTable(&out); err != nil || out.Len() == 0 {
			t.Errorf("printing: %v", err)
		}
	})
}
