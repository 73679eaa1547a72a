package kubelet

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"
)

// Usage simulates what containers consume.
type Usage interface {
	// At is the container's CPU rate (in thousandths of a core, before throttling) and its working set (bytes) at t. The
	// same arguments give the same answer, and neither is negative. The pod carries the spec its kubelet first saw, so that a
	// resize alone does not change what the program inside consumes, and its current annotations and status.
	At(pod *corev1.Pod, container string, t time.Time) (milliCPU float64, memoryBytes int64)
}

// usageValidator is implemented by a Usage that can tell that a pod's declaration is wrong.
type usageValidator interface {
	Validate(pod *corev1.Pod) error
}

const (
	// Without a request there is nothing to take a fraction of: a small web service's idle usage.
	unrequestedMilliCPU    = 20
	unrequestedMemoryBytes = 64 << 20

	// minFraction and maxFraction bound the share of its request that a container without declaration uses.
	minFraction, maxFraction = 0.2, 0.5

	// noiseStep is how long one draw of noise lasts: shorter than a scrape interval, so that neighbouring samples differ.
	noiseStep = 15 * time.Second

	// maxUsageBytes keeps the sum over a node's containers within an int64, however long a leak runs.
	maxUsageBytes = 1 << 52

	// profileCacheSize bounds the parsed declarations kept; pods of one workload share one.
	profileCacheSize = 4096
)

// AnnotatedUsage is the default Usage: what AnnotationUsage declares, otherwise a seeded fraction of the request.
type AnnotatedUsage struct {
	seed  int64
	cache *lru.Cache // annotation → parsedProfiles
}

type parsedProfiles struct {
	profiles Profiles
	err      error
}

// NewAnnotatedUsage returns an AnnotatedUsage; equal seeds give equal usage.
func NewAnnotatedUsage(seed int64) *AnnotatedUsage {
	return &AnnotatedUsage{seed: seed, cache: lru.New(profileCacheSize)}
}

// Validate returns what is wrong with the pod's AnnotationUsage; such a pod uses what one without annotation does.
func (u *AnnotatedUsage) Validate(pod *corev1.Pod) error {
	_, err := u.profiles(pod)
	return err
}

// At implements Usage.
func (u *AnnotatedUsage) At(pod *corev1.Pod, container string, t time.Time) (milliCPU float64, memoryBytes int64) {
	profiles, err := u.profiles(pod)
	profile, declared := profiles.For(container)
	if err != nil || !declared {
		profile = u.undeclared(pod, container)
	}
	load := 1 + profile.Daily*u.sunshine(pod, t)
	seconds := t.Sub(startOf(pod, container)).Seconds()
	memory := float64(profile.MemoryBytes)*(1+profile.Noise*u.noise(pod, container, "memory", t)) +
		profile.LeakBytesPerSecond*math.Max(0, seconds)
	cpu := profile.MilliCPU * load * (1 + profile.Noise*u.noise(pod, container, "cpu", t))
	return math.Max(0, cpu), int64(math.Min(math.Max(0, memory), maxUsageBytes))
}

func (u *AnnotatedUsage) profiles(pod *corev1.Pod) (Profiles, error) {
	text, ok := pod.Annotations[AnnotationUsage]
	if !ok {
		return nil, nil
	}
	if cached, ok := u.cache.Get(text); ok {
		if parsed, ok := cached.(parsedProfiles); ok {
			return parsed.profiles, parsed.err
		}
	}
	profiles, err := ParseProfiles(text)
	u.cache.Add(text, parsedProfiles{profiles: profiles, err: err})
	return profiles, err
}

// undeclared is the profile of a container without declaration: between minFraction and maxFraction of its request.
func (u *AnnotatedUsage) undeclared(pod *corev1.Pod, container string) Profile {
	profile := Profile{MilliCPU: unrequestedMilliCPU, MemoryBytes: unrequestedMemoryBytes, Daily: 0.2, Noise: 0.05}
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name != container {
				continue
			}
			requests := list[i].Resources.Requests
			if cpu, ok := requests[corev1.ResourceCPU]; ok && !cpu.IsZero() {
				profile.MilliCPU = float64(cpu.MilliValue()) * u.fraction(pod, container, "cpu")
			}
			if memory, ok := requests[corev1.ResourceMemory]; ok && !memory.IsZero() {
				profile.MemoryBytes = int64(float64(memory.Value()) * u.fraction(pod, container, "memory"))
			}
			return profile
		}
	}
	return profile
}

// fraction is alike for the pods of one workload: replicas of one program do the same work.
func (u *AnnotatedUsage) fraction(pod *corev1.Pod, container, resource string) float64 {
	return minFraction + (maxFraction-minFraction)*u.draw(workloadOf(pod), container, resource, 0)
}

// sunshine is the daily cycle in [-1, 1]: its peak falls between 12:00 and 16:00 UTC, at one time for all of a workload.
func (u *AnnotatedUsage) sunshine(pod *corev1.Pod, t time.Time) float64 {
	const day = 24 * time.Hour
	peak := 12*time.Hour + time.Duration(4*u.draw(workloadOf(pod), "", "peak", 0)*float64(time.Hour))
	sinceMidnight := t.Sub(t.UTC().Truncate(day))
	return math.Cos(2 * math.Pi * float64(sinceMidnight-peak) / float64(day))
}

// noise is in [-1, 1], redrawn every noiseStep, of the pod's own.
func (u *AnnotatedUsage) noise(pod *corev1.Pod, container, resource string, t time.Time) float64 {
	return 2*u.draw(pod.Namespace+"/"+pod.Name, container, resource, t.UnixNano()/int64(noiseStep)) - 1
}

// draw returns a number in [0, 1) that depends on nothing but its arguments and the seed.
func (u *AnnotatedUsage) draw(who, container, what string, step int64) float64 {
	hash := fnv.New64a()
	var head [16]byte
	binary.LittleEndian.PutUint64(head[:8], uint64(u.seed))
	binary.LittleEndian.PutUint64(head[8:], uint64(step))
	for _, part := range [][]byte{head[:], []byte(who), {0}, []byte(container), {0}, []byte(what)} {
		_, _ = hash.Write(part) // never fails, by its documentation
	}
	// FNV mixes its last bytes little; a multiplicative finalizer (Murmur3's) spreads them.
	x := hash.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}

// workloadOf names what a pod is a replica of: its controller, without the hash of a ReplicaSet's name.
func workloadOf(pod *corev1.Pod) string {
	if owner := metav1.GetControllerOf(pod); owner != nil {
		name := owner.Name
		if hash := pod.Labels["pod-template-hash"]; hash != "" && len(name) > len(hash)+1 && name[len(name)-len(hash):] == hash {
			name = name[:len(name)-len(hash)-1]
		}
		return pod.Namespace + "/" + name
	}
	return pod.Namespace + "/" + pod.Name
}

// startOf is when the container's present run began: a leak starts anew with every run.
func startOf(pod *corev1.Pod, container string) time.Time {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range list {
			if list[i].Name == container && list[i].State.Running != nil {
				return list[i].State.Running.StartedAt.Time
			}
		}
	}
	if pod.Status.StartTime != nil {
		return pod.Status.StartTime.Time
	}
	return pod.CreationTimestamp.Time
}
