package kubelet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	kubelettypes "k8s.io/kubernetes/pkg/kubelet/types"
)

const (
	// evictionThreshold is the kubelet's default for memory.available, in bytes.
	evictionThreshold = 100 << 20
	// evictionGrace is what an evicted pod has to stop: the second that the eviction manager gives, raised to the least that the
	// runtime manager gives anyone.
	evictionGrace = 2 * time.Second
	// pressureTransition is how long MemoryPressure lasts after the last eviction
	// (evictionPressureTransitionPeriod's default).
	pressureTransition = 5 * time.Minute
)

// evictionCandidate is a pod with what decides its rank.
type evictionCandidate struct {
	pod   *corev1.Pod // with its allocated resources
	usage int64       // bytes of memory
}

// rankForEviction orders candidates as the kubelet does under memory pressure, the first to go first: those above their
// request before the others, lower priority first, larger use above request first (rankMemoryPressure in pkg/kubelet/eviction).
func rankForEviction(candidates []evictionCandidate) {
	slices.SortStableFunc(candidates, func(a, b evictionCandidate) int {
		aboveA, aboveB := a.usage-memoryRequest(a.pod), b.usage-memoryRequest(b.pod)
		return cmp.Or(
			preferTrue(aboveA > 0, aboveB > 0),
			cmp.Compare(priorityOf(a.pod), priorityOf(b.pod)),
			cmp.Compare(aboveB, aboveA),
			cmp.Compare(a.pod.Namespace+"/"+a.pod.Name, b.pod.Namespace+"/"+b.pod.Name), // a total order, for reproducible runs
		)
	})
}

func memoryRequest(pod *corev1.Pod) int64 {
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	return requests.Memory().Value()
}

// evictionMessage is the kubelet's, with the containers that use more than they request.
func evictionMessage(pod *corev1.Pod, available int64, use map[string]int64) string {
	message := fmt.Sprintf("The node was low on resource: %v. Threshold quantity: %v, available: %v. ",
		corev1.ResourceMemory, bytesQuantity(evictionThreshold), kibibytes(available))
	for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		request := c.Resources.Requests[corev1.ResourceMemory]
		if used := use[c.Name]; used > request.Value() {
			message += fmt.Sprintf("Container %s was using %s, request is %s, has larger consumption of %v. ",
				c.Name, kibibytes(used), request.String(), corev1.ResourceMemory)
		}
	}
	return message
}

func bytesQuantity(n int64) *resource.Quantity { return resource.NewQuantity(n, resource.BinarySI) }

// kibibytes is n in whole KiB, as cgroups count memory in pages.
func kibibytes(n int64) *resource.Quantity { return bytesQuantity(n &^ 1023) }

// housekeep kills containers above their memory limit and, under memory pressure, evicts pods until it is relieved. It
// reports whether the node's MemoryPressure changed.
func (m *machine) housekeep(now time.Time) (out outcome, pressureChanged bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pods {
		if p.active() {
			m.killOverLimit(p, now)
		}
	}
	before := m.pressure
	for m.evictOne(now) {
		m.pressure, m.pressureSince = true, now
	}
	if m.pressure && now.Sub(m.pressureSince) >= pressureTransition {
		m.pressure = false
	}
	if m.pressure != before {
		m.pressureChanged = now
	}
	if len(m.pending) > 0 && now.Sub(m.retried) >= pendingRetry {
		m.retryPending(now)
	}
	out.dirty, out.notes = m.collect()
	return out, before != m.pressure
}

// killOverLimit is the kernel's OOM killer within the pod's cgroups.
func (m *machine) killOverLimit(p *pod, now time.Time) {
	view := p.view()
	var sum, most int64
	var largest *container
	kill := func(c *container) {
		m.exit(p, c, now, 137)
		c.reason = "OOMKilled"
		m.settle(p, now)
		m.touch(p)
	}
	for _, c := range p.containers {
		memory := c.memory(m.usage, view, now)
		if limit := memoryLimit(c.actuated); limit > 0 && memory > limit {
			kill(c)
			continue
		}
		sum += memory
		if c.state == running && memory >= most {
			largest, most = c, memory
		}
	}
	if p.alloc.pod == nil || largest == nil {
		return
	}
	if limit := podMemoryLimit(p.allocated); limit > 0 && sum > limit {
		kill(largest)
	}
}

// evictOne evicts the first pod in line if memory is short, and reports whether it did.
func (m *machine) evictOne(now time.Time) bool {
	candidates := make([]evictionCandidate, 0, len(m.pods))
	uses := make(map[*corev1.Pod]map[string]int64, len(m.pods))
	byPod := make(map[*corev1.Pod]*pod, len(m.pods))
	var used int64
	for _, p := range m.pods {
		if !p.active() {
			continue
		}
		if p.evicted != nil {
			return false // the eviction manager waits until the pod before has stopped
		}
		view, use, sum := p.view(), map[string]int64{}, int64(0)
		for _, c := range p.containers {
			use[c.name] = c.memory(m.usage, view, now)
			sum += use[c.name]
		}
		used += sum
		if sum > 0 && !p.killing && !kubelettypes.IsCriticalPod(p.api) {
			candidates = append(candidates, evictionCandidate{pod: p.allocated, usage: sum})
			uses[p.allocated], byPod[p.allocated] = use, p
		}
	}
	available := m.memoryAvailable(used)
	if available >= evictionThreshold || len(candidates) == 0 {
		return false
	}
	rankForEviction(candidates)
	victim := byPod[candidates[0].pod]
	victim.evicted = &verdict{reason: "Evicted", message: evictionMessage(victim.allocated, available, uses[victim.allocated])}
	m.note(victim.api, corev1.EventTypeWarning, victim.evicted.reason, victim.evicted.message)
	m.unpend(victim)
	victim.kill(now, evictionGrace)
	m.advance(victim, now)
	m.touch(victim)
	m.retryPending(now)
	return true
}

// memoryAvailable is what the eviction manager compares with its threshold: the smaller of the machine's memory and the pods'
// share of it (capacity without reservations, so allocatable plus threshold) that is not used.
func (m *machine) memoryAvailable(usedByPods int64) int64 {
	capacity, allocatable := m.node.Status.Capacity.Memory().Value(), m.node.Status.Allocatable.Memory().Value()
	return min(capacity-m.systemMemory()-usedByPods, min(allocatable+evictionThreshold, capacity)-usedByPods)
}

// systemMemory is what the operating system and the kubelet use, in bytes: half of what is reserved for them.
func (m *machine) systemMemory() int64 {
	capacity, allocatable := m.node.Status.Capacity.Memory().Value(), m.node.Status.Allocatable.Memory().Value()
	return max(0, capacity-allocatable-evictionThreshold) / 2
}
