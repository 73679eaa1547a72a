package usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"
)

// Cluster is the only node of a source that is asked once for all nodes.
const Cluster = "cluster"

type metricsAPI struct{ client rest.Interface }

// NewMetricsAPI reads metrics.k8s.io, as metrics-server and Prometheus adapters serve it, for clusters whose kubelets may
// not be reached. It is asked once for all pods, so its node is Cluster. Its CPU is a mean over its own window, which the
// server chooses. The client needs the verb list on pods of metrics.k8s.io.
func NewMetricsAPI(client rest.Interface) Source { return metricsAPI{client} }

func (metricsAPI) Name() string { return "metrics.k8s.io" }

const metricsPath = "/apis/metrics.k8s.io/v1beta1/pods"

func (m metricsAPI) Scrape(ctx context.Context, _ string) ([]Sample, error) {
	body, err := m.client.Get().AbsPath(metricsPath).Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading metrics.k8s.io, %w", err)
	}
	samples, err := ParsePodMetrics(io.LimitReader(body, maxAnswer))
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("reading metrics.k8s.io, %w", err)
	}
	return samples, nil
}

// podMetricsList is what is read of a PodMetricsList of metrics.k8s.io/v1beta1.
type podMetricsList struct {
	Kind  string `json:"kind"`
	Items []struct {
		Metadata struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"metadata"`
		Timestamp  time.Time `json:"timestamp"`
		Containers []struct {
			Name  string            `json:"name"`
			Usage map[string]string `json:"usage"`
		} `json:"containers"`
	} `json:"items"`
}

// ParsePodMetrics reads a PodMetricsList. A container whose usage is no quantity is an error that names it; one without a
// timestamp is left out, because a repetition could not be told.
func ParsePodMetrics(r io.Reader) ([]Sample, error) {
	var list podMetricsList
	if err := json.NewDecoder(r).Decode(&list); err != nil {
		return nil, fmt.Errorf("the answer is no PodMetricsList: %w", err)
	}
	if list.Kind != "PodMetricsList" {
		return nil, fmt.Errorf("the answer is a %q, not a PodMetricsList", list.Kind)
	}
	var out []Sample
	for _, p := range list.Items {
		if p.Timestamp.IsZero() || p.Metadata.Namespace == "" || p.Metadata.Name == "" {
			continue
		}
		for _, c := range p.Containers {
			s := Sample{Namespace: p.Metadata.Namespace, Pod: p.Metadata.Name, Container: c.Name, Rated: true}
			for name, text := range c.Usage {
				q, err := resource.ParseQuantity(text)
				if err != nil {
					return nil, fmt.Errorf("%s of container %s of pod %s/%s is %q, %w", name, c.Name, s.Namespace, s.Pod, text, err)
				}
				switch name {
				case "cpu":
					s.CPUAt, s.Cores = p.Timestamp, q.AsApproximateFloat64()
				case "memory":
					s.MemoryAt, s.MemoryBytes = p.Timestamp, q.AsApproximateFloat64()
				}
			}
			out = append(out, s)
		}
	}
	return out, nil
}
