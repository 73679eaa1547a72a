package usage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/client-go/rest"
)

// maxScrape bounds what is read from one kubelet: a thousand containers take about 1 MiB.
const maxScrape = 64 << 20

type kubelet struct{ client rest.Interface }

// NewKubelet reads /metrics/resource of kubelets through the API server's node proxy: nothing has to be installed. The
// client is that of the core API group; it needs the verb get on nodes/proxy.
func NewKubelet(client rest.Interface) Source { return kubelet{client} }

func (kubelet) Name() string { return "kubelet" }

func (k kubelet) Scrape(ctx context.Context, node string) ([]Sample, error) {
	body, err := k.client.Get().Resource("nodes").Name(node).SubResource("proxy").Suffix("metrics", "resource").Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading /metrics/resource of node %s, %w", node, err)
	}
	samples, err := ParseResourceMetrics(io.LimitReader(body, maxScrape))
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("reading /metrics/resource of node %s, %w", node, err)
	}
	return samples, nil
}

// errScrape is the kubelet's own word that it could not measure.
var errScrape = errors.New("the kubelet could not measure containers (" + scrapeErrorMetric + ")")

// ParseResourceMetrics reads the text of a kubelet's /metrics/resource. Lines about anything but containers are
// skipped, and so are samples without a timestamp: without it, neither a rate nor a repetition could be told.
func ParseResourceMetrics(r io.Reader) ([]Sample, error) {
	var out []Sample
	at := map[identity]int{}
	failed := false
	err := scan(r, prometheusText, func(_ int, p point) error {
		if p.metric == scrapeErrorMetric || p.metric == "scrape_error" {
			failed = failed || p.value != 0
			return nil
		}
		if p.metric != cpuMetric && p.metric != memoryMetric || p.container == "" || p.pod == "" || p.namespace == "" || p.at.IsZero() {
			return nil
		}
		id := identity{p.namespace, p.pod, p.container}
		i, ok := at[id]
		if !ok {
			i = len(out)
			// The strings are clones: else one container's name would keep the whole line.
			out = append(out, Sample{Namespace: strings.Clone(p.namespace), Pod: strings.Clone(p.pod), Container: strings.Clone(p.container)})
			at[identity{out[i].Namespace, out[i].Pod, out[i].Container}] = i
		}
		if p.metric == cpuMetric {
			out[i].CPUSeconds, out[i].CPUAt = p.value, p.at
		} else {
			out[i].MemoryBytes, out[i].MemoryAt = p.value, p.at
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if failed && len(out) == 0 {
		return nil, errScrape
	}
	return out, nil
}
