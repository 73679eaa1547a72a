package evidence

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/recommender/checkpoint"
)

// Past is how far back WriteHistory reaches: enough for full confidence with a lookback of 7 d.
const Past = 4 * 24 * time.Hour

// step is between two samples.
const step = 5 * time.Minute

// Usage is what a container of the default namespace used, the same all the time.
type Usage struct {
	Pod, Container string
	MilliCPU       int64
	Mebibytes      int64
}

// WriteHistory writes usage of the days before now into a file, as OpenMetrics text that supercargo-recommender's --history-file reads.
func WriteHistory(path string, now time.Time, of []Usage) error {
	var out bytes.Buffer
	begin := now.Truncate(step).Add(-Past)
	family := func(name, kind string, value func(u *Usage, since time.Duration) float64) {
		fmt.Fprintf(&out, "# TYPE %s %s\n", strings.TrimSuffix(name, "_total"), kind)
		for i := range of {
			u := &of[i]
			for since := time.Duration(0); since < Past; since += step {
				fmt.Fprintf(&out, "%s{namespace=\"default\",pod=%q,container=%q} %g %d\n", name, u.Pod, u.Container, value(u, since), begin.Add(since).Unix())
			}
		}
	}
	family("container_cpu_usage_seconds_total", "counter", func(u *Usage, since time.Duration) float64 {
		return float64(u.MilliCPU) / 1000 * since.Seconds()
	})
	family("container_memory_working_set_bytes", "gauge", func(u *Usage, _ time.Duration) float64 { return float64(u.Mebibytes << 20) })
	fmt.Fprintln(&out, "# EOF")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing usage of the past, %w", err)
	}
	return nil
}

// PodsOf are the names of n pods as a Deployment gives them.
func PodsOf(deployment string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s-6bdf9c7c5d-abc%d%d", deployment, i, i)
	}
	return names
}

// Checkpointed returns nil once the recommender has kept its history since, and what it has kept until then.
func Checkpointed(ctx context.Context, c client.Reader, since time.Time) error {
	cm := &corev1.ConfigMap{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: sandbox.Namespace, Name: checkpoint.ManifestName}, cm); err != nil {
		return fmt.Errorf("reading the checkpoint's manifest, %w", err)
	}
	var m struct{ Written time.Time }
	if err := json.Unmarshal([]byte(cm.Data["manifest"]), &m); err != nil {
		return fmt.Errorf("the checkpoint's manifest %q, %w", cm.Data["manifest"], err)
	}
	if m.Written.Before(since) {
		return fmt.Errorf("the newest checkpoint is of %s, before %s", m.Written, since)
	}
	return nil
}
