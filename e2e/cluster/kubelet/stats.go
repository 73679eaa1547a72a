package kubelet

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// systemMilliCPU is what the operating system and the kubelet use.
const systemMilliCPU = 50

// summary returns the statistics a kubelet would have at now. Usage is only computed here and in housekeeping: a node
// nobody looks at costs nothing.
func (m *machine) summary(now time.Time) *statsapi.Summary {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := metav1.NewTime(now)
	if m.sampled.IsZero() {
		m.sampled = m.booted
	}
	if elapsed := now.Sub(m.sampled); elapsed > 0 {
		m.cpuNanos += uint64(elapsed.Seconds() * systemMilliCPU * 1e6)
	}
	m.sampled = now
	node := use{cpuNanos: m.cpuNanos, nanoCores: systemMilliCPU * 1e6, memory: m.systemMemory()}
	s := &statsapi.Summary{}
	for _, p := range m.pods {
		node.cpuNanos += p.cpuNanos
		if !p.active() || !p.holdsSandbox(now) {
			continue
		}
		stats, total := p.stats(m.usage, now)
		node.add(total)
		node.cpuNanos -= p.cpuNanos // in total, too
		s.Pods = append(s.Pods, stats)
	}
	slices.SortFunc(s.Pods, func(a, b statsapi.PodStats) int {
		return strings.Compare(a.PodRef.Namespace+"/"+a.PodRef.Name, b.PodRef.Namespace+"/"+b.PodRef.Name)
	})
	capacity := m.node.Status.Capacity[corev1.ResourceMemory]
	s.Node = statsapi.NodeStats{
		NodeName: m.spec.Name, StartTime: metav1.NewTime(m.booted),
		CPU: node.cpu(at), Memory: node.memoryStats(at, capacity.Value()),
	}
	return s
}

// use is an amount of consumption.
type use struct {
	cpuNanos, nanoCores uint64
	memory              int64
}

func (u *use) add(v use) {
	u.cpuNanos += v.cpuNanos
	u.nanoCores += v.nanoCores
	u.memory += v.memory
}

func (u *use) cpu(at metav1.Time) *statsapi.CPUStats {
	return &statsapi.CPUStats{Time: at, UsageNanoCores: &u.nanoCores, UsageCoreNanoSeconds: &u.cpuNanos}
}

func (u *use) memoryStats(at metav1.Time, limit int64) *statsapi.MemoryStats {
	workingSet := uint64(u.memory)
	stats := &statsapi.MemoryStats{Time: at, WorkingSetBytes: &workingSet, UsageBytes: &workingSet, RSSBytes: &workingSet}
	if limit > 0 {
		available := uint64(max(0, limit-u.memory))
		stats.AvailableBytes = &available
	}
	return stats
}

// stats samples the pod's running containers.
func (p *pod) stats(usage Usage, now time.Time) (statsapi.PodStats, use) {
	at, view := metav1.NewTime(now), p.view()
	stats := statsapi.PodStats{
		PodRef:    statsapi.PodReference{Name: p.api.Name, Namespace: p.api.Namespace, UID: string(p.api.UID)},
		StartTime: metav1.NewTime(p.startTime),
	}
	total := use{cpuNanos: p.cpuNanos}
	for _, c := range p.containers {
		if c.state != running {
			continue
		}
		limit := memoryLimit(c.actuated)
		u := use{nanoCores: c.consume(usage, view, now), memory: c.memory(usage, view, now)}
		u.cpuNanos = c.cpuNanos
		if limit > 0 {
			u.memory = min(u.memory, limit) // no more can be charged: beyond is the OOM killer's
		}
		total.add(u)
		stats.Containers = append(stats.Containers, statsapi.ContainerStats{
			Name: c.name, StartTime: metav1.NewTime(c.startedAt),
			CPU: u.cpu(at), Memory: u.memoryStats(at, limit),
		})
	}
	stats.CPU, stats.Memory = total.cpu(at), total.memoryStats(at, podMemoryLimit(p.allocated))
	return stats, total
}
