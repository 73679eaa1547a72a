package packing_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

func BenchmarkSolveRealistic(b *testing.B) {
	for _, n := range []int{200, 1000, 5000, 10000, 100000} {
		b.Run(fmt.Sprintf("%d pods", n), func(b *testing.B) {
			measure(b, packing.Problem{Pods: deployments(n, 7), Pools: []packing.Pool{pool("default", general(onDemand(b)))}, DaemonSets: daemonSets()})
		})
	}
}

// general leaves out burstable types, and all but three zones.
func general(types []packing.InstanceType) []packing.InstanceType {
	types = slices.DeleteFunc(types, func(it packing.InstanceType) bool { return it.Name[0] == 't' })
	for i := range types {
		types[i].Offerings = slices.DeleteFunc(types[i].Offerings, func(o packing.Offering) bool {
			return !slices.Contains([]string{"us-east-1a", "us-east-1b", "us-east-1d"}, o.Zone)
		})
	}
	return types
}

func BenchmarkSolveFewTypes(b *testing.B) {
	for _, n := range []int{200, 1000, 5000} {
		b.Run(fmt.Sprintf("%d pods", n), func(b *testing.B) {
			measure(b, packing.Problem{Pods: deployments(n, 7), Pools: []packing.Pool{pool("default", listed(false))}, DaemonSets: daemonSets()})
		})
	}
}

func BenchmarkSolveDiverse(b *testing.B) {
	for _, n := range []int{1000, 5000, 10000} {
		b.Run(fmt.Sprintf("%d pods", n), func(b *testing.B) {
			measure(b, packing.Problem{Pods: diverse(n, 7), Pools: []packing.Pool{pool("default", fakeTypes(400))}})
		})
	}
}

// measure solves a problem over and over and reports speed by the clock and by
// processor time, and the cost as a multiple of the lower bound.
func measure(b *testing.B, p packing.Problem) {
	var plan packing.Plan
	if e, err := strconv.ParseFloat(os.Getenv("EFFORT"), 64); err == nil {
		p.Options.Effort = e
	}
	before := processorTime(b)
	for b.Loop() {
		var err error
		if plan, err = packing.Solve(context.Background(), p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((processorTime(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(len(p.Pods))*float64(b.N)/b.Elapsed().Seconds(), "pods/s")
	b.ReportMetric(plan.Cost/plan.LowerBound, "cost/bound")
	b.ReportMetric(plan.Cost/plan.Stats.ResourceBound, "cost/resources")
	b.Logf("nodes %d cost %.3f bound %.3f unplaced %d stats %+v", len(plan.Nodes), plan.Cost, plan.LowerBound, len(plan.Unplaced), plan.Stats)
}

// diverse makes Karpenter's own benchmark mix: fifths of generic pods, zone
// spread, host name spread, zone self-affinity and host name anti-affinity, with
// random labels, selectors and sizes.
func diverse(n int, seed uint64) []packing.Pod {
	rng := rand.New(rand.NewPCG(seed, 3))
	letter := func() string { return string(rune('a' + rng.IntN(7))) }
	cpus, mems := []int64{100, 250, 500, 1000, 1500}, []int64{100, 256, 512, 1024, 2048, 4096}
	pods := make([]packing.Pod, 0, n)
	for i := range n {
		b := makePod(fmt.Sprintf("pod-%d", i)).req(cpus[rng.IntN(len(cpus))], mems[rng.IntN(len(mems))])
		match := map[string]string{"my-label": letter()}
		switch i * 5 / n {
		case 0:
			b.label("my-label", letter())
		case 1:
			b.label("my-label", letter()).spread(corev1.LabelTopologyZone, 1, corev1.DoNotSchedule, match)
		case 2:
			b.label("my-label", letter()).spread(corev1.LabelHostname, 1, corev1.DoNotSchedule, match)
		case 3:
			self := map[string]string{"my-affinity": letter()}
			b.label("my-affinity", self["my-affinity"]).with(corev1.LabelTopologyZone, self)
		case 4:
			b.label("app", "nginx").anti(corev1.LabelHostname, map[string]string{"app": "nginx"})
		}
		pods = append(pods, b.pod())
	}
	return pods
}
