package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Cgroup is what the kernel enforces on a container, and what it has counted.
type Cgroup struct {
	// MilliCPURequest is the weight of the container when CPU is short, as the request that it stands for: exact with cgroups of
	// version 1, within 3% and a few thousandths with version 2, whose scale is coarser.
	MilliCPURequest int64
	// MilliCPULimit and MemoryLimit (bytes) are 0 where there is no limit.
	MilliCPULimit, MemoryLimit int64
	// CPUSeconds used since the container started.
	CPUSeconds float64
	// WorkingSet is the memory used in bytes, without files that could be dropped at once: what a kubelet reports.
	WorkingSet int64
}

// Cgroup reads the cgroup of a running container of a pod.
func (n *Node) Cgroup(pod *corev1.Pod, container string) (Cgroup, error) {
	path, err := cgroupPath(pod, container)
	if err != nil {
		return Cgroup{}, err
	}
	read := func(controller, name string) (string, error) {
		content, err := os.ReadFile(filepath.Join(n.cgroups.controller(controller, path), name))
		return strings.TrimSpace(string(content)), err
	}
	parse := cgroupV1
	if n.cgroups.unified {
		parse = cgroupV2
	}
	out, err := parse(read)
	if err != nil {
		return Cgroup{}, fmt.Errorf("reading the cgroup of container %s of pod %s, %w", container, pod.Name, err)
	}
	return out, nil
}

// cgroupPath is where kubelet and runc put a container, with the cgroupfs driver.
func cgroupPath(pod *corev1.Pod, container string) (string, error) {
	for _, s := range pod.Status.ContainerStatuses {
		_, id, ok := strings.Cut(s.ContainerID, "://")
		if s.Name != container || !ok {
			continue
		}
		class := strings.ToLower(string(pod.Status.QOSClass))
		if pod.Status.QOSClass == corev1.PodQOSGuaranteed {
			class = ""
		}
		return filepath.Join(cgroupRoot, "kubepods", class, "pod"+string(pod.UID), id), nil
	}
	return "", fmt.Errorf("pod %s has no running container %s", pod.Name, container)
}

// reader reads one file of a controller.
type reader func(controller, file string) (string, error)

// number reads a file that holds one number.
func (read reader) number(controller, file string) (int64, error) {
	text, err := read(controller, file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is %q, want a number", file, text)
	}
	return n, nil
}

// keyed reads a number from a file of lines "key number".
func (read reader) keyed(controller, file, key string) (int64, error) {
	text, err := read(controller, file)
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(text, "\n") {
		if name, value, _ := strings.Cut(line, " "); name == key {
			return strconv.ParseInt(value, 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, key)
}

// noLimit is the least number of memory.limit_in_bytes that stands for no limit: the largest multiple of a page.
const noLimit = 1 << 62

// cgroupV1 reads the files of Documentation/admin-guide/cgroup-v1 in Linux.
func cgroupV1(read reader) (out Cgroup, err error) {
	values := map[string]int64{}
	for _, f := range [][2]string{
		{"cpu", "cpu.shares"},
		{"cpu", "cpu.cfs_quota_us"},
		{"cpu", "cpu.cfs_period_us"},
		{"memory", "memory.limit_in_bytes"},
		{"memory", "memory.usage_in_bytes"},
		{"cpuacct", "cpuacct.usage"},
	} {
		if values[f[1]], err = read.number(f[0], f[1]); err != nil {
			return Cgroup{}, err
		}
	}
	inactive, err := read.keyed("memory", "memory.stat", "total_inactive_file")
	if err != nil {
		return Cgroup{}, err
	}
	// MilliCPUToShares of the kubelet, undone: it rounds down.
	out.MilliCPURequest = (values["cpu.shares"]*1000 + 1023) / 1024
	if quota := values["cpu.cfs_quota_us"]; quota > 0 {
		out.MilliCPULimit = quota * 1000 / values["cpu.cfs_period_us"]
	}
	if limit := values["memory.limit_in_bytes"]; limit < noLimit {
		out.MemoryLimit = limit
	}
	out.CPUSeconds = float64(values["cpuacct.usage"]) / 1e9
	out.WorkingSet = max(0, values["memory.usage_in_bytes"]-inactive)
	return out, nil
}

// cgroupV2 reads the files of Documentation/admin-guide/cgroup-v2.rst in Linux.
func cgroupV2(read reader) (out Cgroup, err error) {
	weight, err := read.number("cpu", "cpu.weight")
	if err != nil {
		return Cgroup{}, err
	}
	// ConvertCPUSharesToCgroupV2Value of runc's libcontainer, weight = 1 + (shares-2)·9999/262142, undone.
	shares := 2 + (weight-1)*262142/9999
	out.MilliCPURequest = shares * 1000 / 1024
	text, err := read("cpu", "cpu.max")
	if err != nil {
		return Cgroup{}, err
	}
	if quota, period, _ := strings.Cut(text, " "); quota != "max" {
		q, err := strconv.ParseInt(quota, 10, 64)
		if err != nil {
			return Cgroup{}, fmt.Errorf("cpu.max is %q", text)
		}
		p, err := strconv.ParseInt(period, 10, 64)
		if err != nil || p <= 0 {
			return Cgroup{}, fmt.Errorf("cpu.max is %q", text)
		}
		out.MilliCPULimit = q * 1000 / p
	}
	if text, err = read("memory", "memory.max"); err != nil {
		return Cgroup{}, err
	}
	if text != "max" {
		if out.MemoryLimit, err = strconv.ParseInt(text, 10, 64); err != nil {
			return Cgroup{}, fmt.Errorf("memory.max is %q", text)
		}
	}
	used, err := read.keyed("cpu", "cpu.stat", "usage_usec")
	if err != nil {
		return Cgroup{}, err
	}
	out.CPUSeconds = float64(used) / 1e6
	current, err := read.number("memory", "memory.current")
	if err != nil {
		return Cgroup{}, err
	}
	inactive, err := read.keyed("memory", "memory.stat", "inactive_file")
	if err != nil {
		return Cgroup{}, err
	}
	out.WorkingSet = max(0, current-inactive)
	return out, nil
}
