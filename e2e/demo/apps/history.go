package apps

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"supercargo.dev/e2e/cluster/kubelet"
)

// HistoryStep is between two samples of the history, and integration within a step goes in parts: usage moves faster than that.
const (
	HistoryStep  = 5 * time.Minute
	historyParts = 4
)

// nameAlphabet is what Kubernetes draws the random parts of names from (k8s.io/apimachinery/pkg/util/rand).
const nameAlphabet = "bcdfghjklmnpqrstvwxz2456789"

// PastPods are the pods that the applications ran before the demo began, named as a Deployment's pods are. Their usage is that of
// the pods that follow them, since it depends on the workload.
func PastPods(seed int64, applications ...Application) ([]*corev1.Pod, error) {
	var pods []*corev1.Pod
	for _, a := range applications {
		for _, s := range a.Services {
			d, err := a.Deployment(seed, s)
			if err != nil {
				return nil, err
			}
			pods = append(pods, Predecessors(seed, d)...)
		}
	}
	return pods, nil
}

// Predecessors are pods that a Deployment ran in the past, as many as it has replicas.
func Predecessors(seed int64, d *appsv1.Deployment) []*corev1.Pod {
	h := fnv.New64a()
	_, _ = io.WriteString(h, d.Namespace+"/"+d.Name)          // a hash never fails, by its documentation
	random := rand.New(rand.NewPCG(uint64(seed), ^h.Sum64())) //nolint:gosec // any bit pattern is a seed, and nothing here is a secret
	letters := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = nameAlphabet[random.IntN(len(nameAlphabet))]
		}
		return string(b)
	}
	hash := letters(9)
	set := d.Name + "-" + hash
	pods := make([]*corev1.Pod, 0, *d.Spec.Replicas)
	for range *d.Spec.Replicas {
		pod := &corev1.Pod{ObjectMeta: *d.Spec.Template.ObjectMeta.DeepCopy(), Spec: d.Spec.Template.Spec}
		pod.Namespace, pod.Name = d.Namespace, set+"-"+letters(5)
		pod.Labels["pod-template-hash"] = hash
		pod.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "ReplicaSet", Name: set, Controller: ptr.To(true),
		}}
		pods = append(pods, pod)
	}
	return pods
}

// WriteHistory writes what the pods used from one time to another as OpenMetrics text with timestamps, a sample each HistoryStep.
// Counters of CPU begin at 0.
func WriteHistory(w io.Writer, usage kubelet.Usage, pods []*corev1.Pod, from, to time.Time) error {
	out := bufio.NewWriterSize(w, 1<<16)
	var line []byte
	write := func(metric string, pod *corev1.Pod, container string, value float64, at time.Time) {
		line = append(line[:0], metric...)
		line = fmt.Appendf(line, "{namespace=%q,pod=%q,container=%q} ", pod.Namespace, pod.Name, container)
		line = strconv.AppendFloat(line, value, 'f', -1, 64)
		line = append(line, ' ')
		line = strconv.AppendInt(line, at.Unix(), 10)
		line = append(line, '\n')
		_, _ = out.Write(line) // the writer keeps the error until Flush
	}
	_, _ = out.WriteString("# TYPE container_cpu_usage_seconds counter\n# UNIT container_cpu_usage_seconds seconds\n") // likewise
	for _, pod := range pods {
		for i := range pod.Spec.Containers {
			container := pod.Spec.Containers[i].Name
			milliSeconds := 0.0
			for at := from; !at.After(to); at = at.Add(HistoryStep) {
				write("container_cpu_usage_seconds_total", pod, container, milliSeconds/1000, at)
				for part := range historyParts {
					const length = HistoryStep / historyParts
					milliCPU, _ := usage.At(pod, container, at.Add(time.Duration(part)*length+length/2))
					milliSeconds += milliCPU * length.Seconds()
				}
			}
		}
	}
	_, _ = out.WriteString("# TYPE container_memory_working_set_bytes gauge\n# UNIT container_memory_working_set_bytes bytes\n") // likewise
	for _, pod := range pods {
		for i := range pod.Spec.Containers {
			for at := from; !at.After(to); at = at.Add(HistoryStep) {
				_, memoryBytes := usage.At(pod, pod.Spec.Containers[i].Name, at)
				write("container_memory_working_set_bytes", pod, pod.Spec.Containers[i].Name, float64(memoryBytes), at)
			}
		}
	}
	_, _ = out.WriteString("# EOF\n") // likewise
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing usage history, %w", err)
	}
	return nil
}
