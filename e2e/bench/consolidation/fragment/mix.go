package fragment

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Mix draws pods. Calls with the same arguments give the same pods.
type Mix func(n int, rng *rand.Rand) []*corev1.Pod

func newPod(name string, cpuMilli, memoryMiB int64, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name), Labels: labels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "pause", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{
				corev1.ResourceCPU:    *resource.NewMilliQuantity(cpuMilli, resource.DecimalSI),
				corev1.ResourceMemory: *resource.NewQuantity(memoryMiB<<20, resource.BinarySI),
			},
		}}}},
	}
}

func spread(p *corev1.Pod, key string, skew int32, match map[string]string) {
	p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
		MaxSkew: skew, TopologyKey: key, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: match},
	})
}

func term(key string, match map[string]string) []corev1.PodAffinityTerm {
	return []corev1.PodAffinityTerm{{TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: match}}}
}

func apart(p *corev1.Pod, match map[string]string) {
	p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: term(corev1.LabelHostname, match),
	}}
}

// Deployments are small services of 2 to 20 replicas, some of them heavy on memory; three in ten are spread over zones, one
// in ten, of up to 6 replicas, avoids its own kind, one in ten is spread over hosts.
func Deployments(n int, rng *rand.Rand) []*corev1.Pod {
	cpus := []int64{50, 100, 150, 250, 300, 500, 750, 1000, 1500, 2000, 4000}
	ratio := []int64{1, 2, 2, 3, 4, 4, 6, 8} // GiB per core
	var pods []*corev1.Pod
	for d := 0; len(pods) < n; d++ {
		cpu := cpus[min(len(cpus)-1, int(float64(len(cpus))*rng.Float64()*rng.Float64()*1.3))]
		memory := max(64, cpu*ratio[rng.IntN(len(ratio))]*1024/1000/16*16)
		app := map[string]string{"app": fmt.Sprintf("app-%d", d)}
		kind, replicas := rng.IntN(10), 2+rng.IntN(19)
		if kind == 3 {
			replicas = min(replicas, 6)
		}
		for r := 0; r < replicas && len(pods) < n; r++ {
			p := newPod(fmt.Sprintf("app-%d-%d", d, r), cpu, memory, app)
			switch kind {
			case 0, 1, 2:
				spread(p, corev1.LabelTopologyZone, 1, app)
			case 3:
				apart(p, app)
			case 4:
				spread(p, corev1.LabelHostname, 2, app)
			}
			pods = append(pods, p)
		}
	}
	return pods
}

// Diverse is the mix of Karpenter's own scheduling benchmark (pkg/controllers/provisioning/scheduling/
// scheduling_benchmark_test.go): fifths of generic pods, zone spread, host spread, affinity to their own kind in a zone, and
// anti-affinity over hosts, with random sizes and labels.
func Diverse(n int, rng *rand.Rand) []*corev1.Pod {
	letter := func() string { return string(rune('a' + rng.IntN(7))) }
	cpus, memories := []int64{100, 250, 500, 1000, 1500}, []int64{100, 256, 512, 1024, 2048, 4096}
	pods := make([]*corev1.Pod, 0, n)
	for i := range n {
		p := newPod(fmt.Sprintf("pod-%d", i), cpus[rng.IntN(len(cpus))], memories[rng.IntN(len(memories))], map[string]string{})
		match := map[string]string{"my-label": letter()}
		switch i * 5 / n {
		case 0:
			p.Labels["my-label"] = letter()
		case 1:
			p.Labels["my-label"] = letter()
			spread(p, corev1.LabelTopologyZone, 1, match)
		case 2:
			p.Labels["my-label"] = letter()
			spread(p, corev1.LabelHostname, 1, match)
		case 3:
			self := map[string]string{"my-affinity": letter()}
			p.Labels["my-affinity"] = self["my-affinity"]
			p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: term(corev1.LabelTopologyZone, self),
			}}
		case 4:
			p.Labels["app"] = "nginx"
			apart(p, map[string]string{"app": "nginx"})
		}
		pods = append(pods, p)
	}
	return pods
}

// Sampled draws from given pods, in random order, again from the start when there are not enough.
func Sampled(from []*corev1.Pod) Mix {
	return func(n int, rng *rand.Rand) []*corev1.Pod {
		order := rng.Perm(len(from))
		pods := make([]*corev1.Pod, 0, n)
		for i := range n {
			p := from[order[i%len(order)]].DeepCopy()
			p.Name = fmt.Sprintf("%s-%d", p.Name, i)
			p.UID = types.UID(p.Name)
			pods = append(pods, p)
		}
		return pods
	}
}

// ReadOpenB reads the pods without GPUs of the openb trace: what a production cluster asked for.
func ReadOpenB(path string) (pods []*corev1.Pod, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the openb trace, %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("unpacking %s, %w", path, err)
	}
	return parseOpenB(z)
}

func parseOpenB(r io.Reader) ([]*corev1.Pod, error) {
	rows := csv.NewReader(r)
	head, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("reading the head of the openb trace, %w", err)
	}
	at := map[string]int{}
	for i, name := range head {
		at[name] = i
	}
	for _, want := range []string{"name", "cpu_milli", "memory_mib", "num_gpu"} {
		if _, ok := at[want]; !ok {
			return nil, fmt.Errorf("the openb trace has no column %q", want)
		}
	}
	var pods []*corev1.Pod
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading the openb trace, %w", err)
		}
		var figures [3]int64
		for i, name := range []string{"cpu_milli", "memory_mib", "num_gpu"} {
			if figures[i], err = strconv.ParseInt(row[at[name]], 10, 64); err != nil {
				return nil, fmt.Errorf("reading %s of pod %q in the openb trace, %w", name, row[at["name"]], err)
			}
		}
		if figures[2] == 0 && figures[0] > 0 {
			pods = append(pods, newPod(row[at["name"]], figures[0], figures[1], map[string]string{}))
		}
	}
	if len(pods) == 0 {
		return nil, errors.New("the openb trace has no pods without GPUs")
	}
	return pods, nil
}

// ReadPods reads pods as JSON, one a line. Where they ran does not matter.
func ReadPods(r io.Reader) ([]*corev1.Pod, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	var pods []*corev1.Pod
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		p := &corev1.Pod{}
		if err := json.Unmarshal(lines.Bytes(), p); err != nil {
			return nil, fmt.Errorf("reading the pod in line %d, %w", n, err)
		}
		if len(p.Spec.Containers) == 0 {
			return nil, fmt.Errorf("the pod in line %d has no containers: give one Pod as JSON in each line", n)
		}
		if p.Namespace == "" {
			p.Namespace = "default"
		}
		p.Spec.NodeName, p.Status, p.OwnerReferences = "", corev1.PodStatus{}, nil
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		pods = append(pods, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading pods, %w", err)
	}
	if len(pods) == 0 {
		return nil, errors.New("no pods: give one Pod as JSON in each line")
	}
	return pods, nil
}
