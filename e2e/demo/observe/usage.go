package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"supercargo.dev/cost"
)

const (
	// usageTimeout bounds the visit of one kubelet, and usageParallel those at a time.
	usageTimeout  = 2 * time.Second
	usageParallel = 4
)

// readUsage asks every kubelet what its pods use, by namespace/name. Kubelets that do not answer are left out: nodes go at any time.
func (o *Observer) readUsage(ctx context.Context) (map[string]cost.Resources, error) {
	o.mu.Lock()
	names := make([]string, 0, len(o.world.nodes))
	for name := range o.world.nodes {
		names = append(names, name)
	}
	o.mu.Unlock()
	var mu sync.Mutex
	used := map[string]cost.Resources{}
	var errs []error
	var group errgroup.Group
	group.SetLimit(usageParallel)
	for _, name := range names {
		group.Go(func() error {
			summary, err := o.summary(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return nil
			}
			for i := range summary.Pods {
				p := &summary.Pods[i]
				used[p.PodRef.Namespace+"/"+p.PodRef.Name] = usedBy(p)
			}
			return nil
		})
	}
	_ = group.Wait() // the functions return no error
	return used, errors.Join(errs...)
}

func (o *Observer) summary(ctx context.Context, node string) (*statsapi.Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	text, err := o.kube.CoreV1().RESTClient().Get().Resource("nodes").Name(node).SubResource("proxy").Suffix("stats/summary").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the usage of node %s, %w", node, err)
	}
	summary := &statsapi.Summary{}
	if err := json.Unmarshal(text, summary); err != nil {
		return nil, fmt.Errorf("reading the usage of node %s, %w", node, err)
	}
	return summary, nil
}

func usedBy(p *statsapi.PodStats) cost.Resources {
	var r cost.Resources
	if p.CPU != nil && p.CPU.UsageNanoCores != nil {
		r.MilliCPU = int64(*p.CPU.UsageNanoCores / 1e6) //nolint:gosec // a rate in nanocores is far from overflow
	}
	if p.Memory != nil && p.Memory.WorkingSetBytes != nil {
		r.MemoryBytes = int64(*p.Memory.WorkingSetBytes) //nolint:gosec // memory in bytes is far from overflow
	}
	return r
}
