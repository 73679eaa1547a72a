package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"supercargo.dev/e2e/cluster/loopback"
	"supercargo.dev/e2e/sandbox"
)

// Settings are what a node offers and how it behaves. Reconfigure changes them.
type Settings struct {
	// MilliCPU and Memory (bytes) are what the node has for pods. The rest of the machine is reserved.
	MilliCPU, Memory int64
	// StaticCPUManager gives whole CPUs to guaranteed pods. The kubelet then reserves a CPU, so that MilliCPU must leave one.
	StaticCPUManager bool
	// EvictionThreshold in bytes: pods are evicted when less than this is left of Memory plus EvictionThreshold. 0: never.
	EvictionThreshold int64
}

// memoryPressureFor is how long a node says that it lacks memory after it no longer does; 5 min by default.
const memoryPressureFor = 5 * time.Second

// configuration is the kubelet's configuration on a machine of the given capacity.
func (s Settings) configuration(dir, caFile string, port int, capacity corev1.ResourceList, runtimeSocket string) (*kubeletconfig.KubeletConfiguration, error) {
	reserved := map[string]string{}
	for _, r := range []struct {
		name corev1.ResourceName
		want resource.Quantity
	}{
		{corev1.ResourceCPU, *resource.NewMilliQuantity(s.MilliCPU, resource.DecimalSI)},
		// What is kept free of pods is no pod's either.
		{corev1.ResourceMemory, *resource.NewQuantity(s.Memory+s.EvictionThreshold, resource.BinarySI)},
	} {
		has := capacity[r.name]
		if has.Cmp(r.want) < 0 {
			return nil, fmt.Errorf("the machine has %s of %s; the node needs %s", has.String(), r.name, r.want.String())
		}
		has.Sub(r.want)
		if !has.IsZero() {
			reserved[string(r.name)] = has.String()
		}
	}
	if s.StaticCPUManager && reserved[string(corev1.ResourceCPU)] == "" {
		return nil, errors.New("with the static CPU manager some CPU must be reserved: ask for less than the machine has")
	}
	c := &kubeletconfig.KubeletConfiguration{
		TypeMeta:                 metav1.TypeMeta{APIVersion: kubeletconfig.SchemeGroupVersion.String(), Kind: "KubeletConfiguration"},
		Address:                  "127.0.0.1", // the API server of package cluster asks there
		Port:                     int32(port), //nolint:gosec // a port
		HealthzPort:              ptr.To(int32(0)),
		Authentication:           kubeletconfig.KubeletAuthentication{X509: kubeletconfig.KubeletX509Authentication{ClientCAFile: caFile}, Anonymous: kubeletconfig.KubeletAnonymousAuthentication{Enabled: ptr.To(false)}},
		Authorization:            kubeletconfig.KubeletAuthorization{Mode: kubeletconfig.KubeletAuthorizationModeWebhook},
		ContainerRuntimeEndpoint: "unix://" + runtimeSocket,
		CgroupDriver:             "cgroupfs",
		CgroupRoot:               cgroupRoot,
		PodLogsDir:               filepath.Join(dir, "pod-logs"),
		VolumePluginDir:          filepath.Join(dir, "volume-plugins"),
		// There is no DNS; the kubelet would complain about each pod.
		ClusterDNS: []string{"10.96.0.10"},
		// Machines that this runs on.
		FailCgroupV1:           ptr.To(false),
		FailSwapOn:             ptr.To(false),
		ProtectKernelDefaults:  false,
		MakeIPTablesUtilChains: ptr.To(false),
		// How full the machine's disk is says nothing about us.
		EvictionHard:                map[string]string{"nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.inodesFree": "0%"},
		ImageGCHighThresholdPercent: ptr.To(int32(100)),
		EnforceNodeAllocatable:      []string{"none"},
		SystemReserved:              reserved,
		// A test does not wait for what a cluster may take its time for.
		NodeStatusUpdateFrequency:        metav1.Duration{Duration: 2 * time.Second},
		EvictionPressureTransitionPeriod: metav1.Duration{Duration: memoryPressureFor},
		SerializeImagePulls:              ptr.To(false),
	}
	if s.EvictionThreshold > 0 {
		// The kubelet watches the memory of all pods against what is allocatable only where it enforces that.
		c.EnforceNodeAllocatable = []string{"pods"}
		c.EvictionHard["memory.available"] = strconv.FormatInt(s.EvictionThreshold, 10)
	}
	if s.StaticCPUManager {
		c.CPUManagerPolicy = "static"
	}
	return c, nil
}

// kubelet is a running kubelet.
type kubelet struct {
	dir     string
	process *sandbox.Process
}

func (k *kubelet) log() string { return k.dir + ".log" }

// startKubelet starts the kubelet. It does not wait for its node.
func (n *Node) startKubelet(ctx context.Context, s Settings) error {
	k := &kubelet{dir: filepath.Join(n.dir, "kubelet")}
	if err := os.MkdirAll(k.dir, 0o755); err != nil { //nolint:gosec // containers may run as other users
		return fmt.Errorf("creating the kubelet's directory, %w", err)
	}
	// The kubelet does not start on a state of another policy.
	if err := removeAll(filepath.Join(k.dir, "cpu_manager_state"), filepath.Join(k.dir, "memory_manager_state")); err != nil {
		return err
	}
	listener, err := loopback.Listen(ctx)
	if err != nil {
		return err
	}
	port, err := loopback.Port(listener)
	if err := errors.Join(err, listener.Close()); err != nil {
		return err
	}
	capacity, err := machineCapacity()
	if err != nil {
		return err
	}
	config, err := s.configuration(k.dir, n.caFile(), port, capacity, n.runtime.socket())
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return fmt.Errorf("writing the kubelet's configuration, %w", err)
	}
	file := k.dir + ".yaml"
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("writing the kubelet's configuration, %w", err)
	}
	address, err := hostAddress()
	if err != nil {
		return err
	}
	k.process, err = sandbox.StartProcess(sandbox.Command{
		Path: n.options.Kubelet, Log: k.log(),
		Args: []string{
			"--config=" + file, "--kubeconfig=" + n.kubeconfig(), "--root-dir=" + k.dir, "--cert-dir=" + filepath.Join(k.dir, "pki"),
			"--hostname-override=" + n.options.Name, "--node-ip=" + address,
			// cAdvisor's own flag. Usage older than this must not decide over a resize in a test.
			"--housekeeping-interval=" + housekeeping.String(), "--v=2",
		},
	})
	if err != nil {
		return err
	}
	n.kubelet = k
	return nil
}

// housekeeping is between two looks of the kubelet at what containers use; 10 s by default.
const housekeeping = 2 * time.Second

// awaitReady waits until the kubelet of this moment says that its node is ready.
func (n *Node) awaitReady(ctx context.Context, since time.Time) error {
	var last string
	err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		select {
		case <-n.kubelet.process.Done():
			return false, errors.New("it ended")
		default:
		}
		node, err := n.client.CoreV1().Nodes().Get(ctx, n.options.Name, metav1.GetOptions{})
		if err != nil {
			last = err.Error()
			return false, nil //nolint:nilerr // told at the end, should there be no success
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady {
				last = c.Message
				return c.Status == corev1.ConditionTrue && c.LastHeartbeatTime.Time.After(since), nil
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the kubelet, %w (%s); its log ends:\n%s", err, last, sandbox.Tail(n.kubelet.log(), tailLines))
	}
	return nil
}

// hostAddress is an address of this machine that may stand in a Node: the kubelet accepts none of loopback.
func hostAddress() (string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("listing the machine's addresses, %w", err)
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			return ip.IP.String(), nil
		}
	}
	return "", errors.New("this machine has no IPv4 address but loopback; the kubelet needs one to report")
}
