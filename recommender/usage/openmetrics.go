package usage

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
)

// reading is one value of a container read from a file or server. A file of a cluster holds millions.
type reading struct {
	at        int64 // milliseconds since 1970
	value     float64
	container int32
	memory    bool
}

// OpenMetrics reads usage from text in the OpenMetrics format with timestamps: container_cpu_usage_seconds_total and
// container_memory_working_set_bytes with the labels namespace, pod and container. Other metrics are skipped. Errors
// name line and field.
//
// The text lists one series after the other, so that all of it is read before the first usage is handed out; a sample
// takes 24 bytes meanwhile.
func OpenMetrics(r io.Reader) Stream {
	return func(ctx context.Context, yield func(Usage) error) error {
		var all []reading
		var names []identity
		index := map[identity]int32{}
		err := scan(r, openMetricsText, func(line int, p point) error {
			if line%4096 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if p.metric != cpuMetric && p.metric != memoryMetric || p.container == "POD" {
				return nil
			}
			if err := p.complete(); err != nil {
				return err
			}
			id := identity{p.namespace, p.pod, p.container}
			n, ok := index[id]
			if !ok {
				n = int32(len(names))
				id = identity{strings.Clone(p.namespace), strings.Clone(p.pod), strings.Clone(p.container)}
				names = append(names, id)
				index[id] = n
			}
			all = append(all, reading{at: p.at.UnixMilli(), value: p.value, container: n, memory: p.metric == memoryMetric})
			return nil
		})
		if err != nil {
			return err
		}
		return replay(ctx, all, names, yield)
	}
}

// complete tells whether a point says whose it is and when.
func (p point) complete() error {
	switch {
	case p.namespace == "":
		return errors.New("label namespace is missing")
	case p.pod == "":
		return errors.New("label pod is missing")
	case p.container == "":
		return errors.New("label container is missing")
	case p.at.IsZero():
		return errors.New("timestamp is missing")
	}
	return nil
}

// replay turns readings of counters and gauges into usage, in the order of time.
func replay(ctx context.Context, all []reading, names []identity, yield func(Usage) error) error {
	slices.SortStableFunc(all, func(a, b reading) int {
		if a.at != b.at {
			return int(min(max(a.at-b.at, -1), 1))
		}
		return int(a.container - b.container)
	})
	t := newTracker(&counters{})
	for i := 0; i < len(all); {
		if err := ctx.Err(); err != nil {
			return err
		}
		first := all[i]
		at := time.UnixMilli(first.at)
		id := names[first.container]
		s := Sample{Namespace: id.namespace, Pod: id.pod, Container: id.container}
		for ; i < len(all) && all[i].at == first.at && all[i].container == first.container; i++ {
			if all[i].memory {
				s.MemoryAt, s.MemoryBytes = at, all[i].value
			} else {
				s.CPUAt, s.CPUSeconds = at, all[i].value
			}
		}
		if u, ok := t.usage(s, time.Time{}); ok {
			if err := yield(u); err != nil {
				return err
			}
		}
	}
	return nil
}
