package apps

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// What the services use of their requests, as shares, and the amplitude of their daily swing of CPU.
const (
	minCPUShare, maxCPUShare       = 0.10, 0.30
	minMemoryShare, maxMemoryShare = 0.40, 0.70
	minDaily, maxDaily             = 0.30, 0.50
	usageNoise                     = 0.05
)

// unrequested is what a database without requests uses at most; it uses half of it at least.
var unrequested = Amount{MilliCPU: 20, MemoryMi: 120}

// usageOf declares what the container of a service uses, as kubelet.AnnotationUsage wants it. It depends on the seed and on names
// alone.
func usageOf(seed int64, namespace string, s Service) (string, error) {
	h := fnv.New64a()
	if _, err := h.Write([]byte(namespace + "/" + s.Name)); err != nil {
		return "", fmt.Errorf("hashing the name of %s, %w", s.Name, err)
	}
	random := rand.New(rand.NewPCG(uint64(seed), h.Sum64())) //nolint:gosec // any bit pattern is a seed, and nothing here is a secret
	between := func(low, high float64) float64 { return low + (high-low)*random.Float64() }
	cpu := float64(s.Requests.MilliCPU) * between(minCPUShare, maxCPUShare)
	memory := float64(s.Requests.MemoryMi) * between(minMemoryShare, maxMemoryShare)
	if s.Requests == (Amount{}) {
		cpu = float64(unrequested.MilliCPU) * between(0.5, 1)
		memory = float64(unrequested.MemoryMi) * between(0.5, 1)
	}
	return declare(s.Container, cpu, memory, between(minDaily, maxDaily))
}

// declare writes one container's usage; CPU in thousandths of a core, memory in MiB.
func declare(container string, milliCPU, memoryMi, daily float64) (string, error) {
	type profile struct {
		CPU    string  `json:"cpu"`
		Memory string  `json:"memory"`
		Daily  float64 `json:"daily"`
		Noise  float64 `json:"noise"`
	}
	text, err := json.Marshal(map[string]profile{container: {
		CPU: fmt.Sprintf("%dm", int64(math.Ceil(milliCPU))), Memory: fmt.Sprintf("%dMi", int64(math.Ceil(memoryMi))),
		Daily: math.Round(daily*100) / 100, Noise: usageNoise,
	}})
	if err != nil {
		return "", fmt.Errorf("declaring the usage of container %s, %w", container, err)
	}
	return string(text), nil
}
