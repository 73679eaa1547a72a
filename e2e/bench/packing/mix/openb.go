package mix

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/e2e/bench/packing/contest"
)

// OpenbFile is the trace of a production GPU cluster, in the folder of shared data.
const OpenbFile = "pods-openb/openb_pod_list_default.csv.gz"

// Openb are pods of a production GPU cluster on real types with GPUs and spot prices: what they ask for of processors and
// memory, and whole GPUs, because sharing one needs more than Kubernetes has. n of 0 is all 8,152; otherwise every k-th, so
// that the sample spans the trace. The trace has neither affinities nor spread.
func Openb(data string, n int, seed uint64) (*contest.Input, error) {
	f, err := os.Open(filepath.Join(data, OpenbFile))
	if err != nil {
		return nil, fmt.Errorf("opening the trace, %w", err)
	}
	defer f.Close() // only read
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s, %w", OpenbFile, err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading %s, %w", OpenbFile, err)
	}
	rows = rows[1:] // name,cpu_milli,memory_mib,num_gpu,…
	if n == 0 || n > len(rows) {
		n = len(rows)
	}
	types, err := RealTypes(Market{Spot: true, GPUs: true})
	if err != nil {
		return nil, err
	}
	in := &contest.Input{Daemons: Daemons(), Seed: seed, Pools: []contest.Pool{{NodePool: NodePool("default"), Types: types}}}
	for i := range n {
		p, err := openbPod(rows[i*len(rows)/n])
		if err != nil {
			return nil, fmt.Errorf("reading row %d of %s, %w", i*len(rows)/n+2, OpenbFile, err)
		}
		in.Pods = append(in.Pods, p)
	}
	return in, nil
}

func openbPod(row []string) (*corev1.Pod, error) {
	var numbers [3]int64
	for i := range numbers {
		v, err := strconv.ParseInt(row[1+i], 10, 64)
		if err != nil {
			return nil, err
		}
		numbers[i] = v
	}
	p := newPod(row[0], numbers[0], numbers[1])
	if numbers[2] > 0 {
		p.request("nvidia.com/gpu", numbers[2])
		// Kubernetes wants limits of extended resources to equal their requests.
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{"nvidia.com/gpu": p.Spec.Containers[0].Resources.Requests["nvidia.com/gpu"]}
	}
	return p.Pod, nil
}

// WantsGPUs says whether any of the pods asks for an NVIDIA accelerator.
func WantsGPUs(pods []*corev1.Pod) bool {
	return slices.ContainsFunc(pods, func(p *corev1.Pod) bool {
		return slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool {
			q := c.Resources.Requests["nvidia.com/gpu"]
			return q.Sign() > 0
		})
	})
}
