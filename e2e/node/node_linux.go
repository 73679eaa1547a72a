package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// tailLines is how much of a log an error message shows.
const tailLines = 30

// startTimeout bounds the start of a node, without what must be installed and without waiting for another node to stop.
const startTimeout = 90 * time.Second

// procSys is where the kernel shows its settings.
const procSys = "/proc/sys"

// Options configures Start.
type Options struct {
	// Config acts as administrator of the cluster to join.
	Config *rest.Config
	// Kubelet and Workload are the paths of the built programs.
	Kubelet, Workload string
	// Name of the node.
	Name string
	// Settings at the start.
	Settings Settings
	// Out is told what is installed on the machine; nil: nobody.
	Out io.Writer
}

// Node is a running node. Its methods must not be called concurrently, but for Cgroup and Logs.
type Node struct {
	options Options
	dir     string
	client  kubernetes.Interface
	cgroups *cgroups
	runtime *containerd
	kubelet *kubelet
	release func() error // the lock
}

// Start installs what is missing, ends what an earlier run has left, and starts a node that joins the cluster. It returns when the
// node is ready. ctx bounds the start only; the caller must Stop the node.
func Start(ctx context.Context, o Options) (_ *Node, err error) {
	if reason := Unsupported(); reason != "" {
		return nil, errors.New(reason)
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	release, err := lock(ctx)
	if err != nil {
		return nil, err
	}
	n := &Node{options: o, dir: home, release: release}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Stop())
		}
	}()
	if err := Install(ctx, o.Out); err != nil {
		return nil, err
	}
	mounts, err := readMounts()
	if err != nil {
		return nil, err
	}
	if n.cgroups, err = findCgroups(mounts); err != nil {
		return nil, err
	}
	if err := errors.Join(n.cgroups.clear(n.dir), restoreSysctls(procSys, sysctlFile)); err != nil {
		return nil, fmt.Errorf("removing what an earlier run has left, %w", err)
	}
	if err := saveSysctls(procSys, sysctlFile); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return n, n.start(ctx)
}

func (n *Node) start(ctx context.Context) (err error) {
	if err := os.MkdirAll(n.dir, 0o711); err != nil { //nolint:gosec // containers may run as other users
		return fmt.Errorf("creating the node's directory, %w", err)
	}
	for _, path := range []string{cgroupRoot, runtimeCgroup} {
		if err := n.cgroups.create(path); err != nil {
			return err
		}
	}
	if n.client, err = kubernetes.NewForConfig(n.options.Config); err != nil {
		return fmt.Errorf("creating client, %w", err)
	}
	if err := os.WriteFile(n.caFile(), n.options.Config.CAData, 0o600); err != nil {
		return fmt.Errorf("writing the cluster's certificate, %w", err)
	}
	if err := join(ctx, n.client, n.options.Config, n.options.Name, n.kubeconfig()); err != nil {
		return err
	}
	if n.runtime, err = startContainerd(ctx, filepath.Join(n.dir, "containerd"), n.cgroups, n.options.Workload); err != nil {
		return err
	}
	return n.run(ctx, n.options.Settings)
}

// portTries is how often another port is tried: between its choice and the kubelet's listening somebody else may take it.
const portTries = 3

func (n *Node) run(ctx context.Context, s Settings) (err error) {
	// Heartbeats are in whole seconds.
	since := time.Now().Truncate(time.Second)
	for range portTries {
		if err = n.startKubelet(ctx, s); err != nil {
			return err
		}
		if err = n.awaitReady(ctx, since); err == nil || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
	return err
}

func (n *Node) caFile() string     { return filepath.Join(n.dir, "ca.crt") }
func (n *Node) kubeconfig() string { return filepath.Join(n.dir, "kubelet.kubeconfig") }

// Name returns the node's name.
func (n *Node) Name() string { return n.options.Name }

// Logs returns the paths of the logs of runtime and kubelet.
func (n *Node) Logs() []string {
	var out []string
	if n.runtime != nil {
		out = append(out, n.runtime.log())
	}
	if n.kubelet != nil {
		out = append(out, n.kubelet.log())
	}
	return out
}

// Reconfigure restarts the kubelet with other settings and waits until it is ready. Containers go on running; where the CPU manager
// changes there must be none.
func (n *Node) Reconfigure(ctx context.Context, s Settings) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := n.kubelet.process.Stop(); err != nil {
		return err
	}
	return n.run(ctx, s)
}

// Stop stops kubelet, containerd and all containers, and leaves nothing behind. It may be called again.
func (n *Node) Stop() error {
	if n.release == nil {
		return nil
	}
	var errs []error
	if n.kubelet != nil {
		errs = append(errs, n.kubelet.process.Stop())
	}
	if n.runtime != nil && n.runtime.process != nil {
		errs = append(errs, n.runtime.process.Stop())
	}
	if n.cgroups != nil {
		errs = append(errs, n.cgroups.clear(n.dir))
	}
	errs = append(errs, restoreSysctls(procSys, sysctlFile), n.release())
	n.release = nil
	return errors.Join(errs...)
}

// machineCapacity is what the kubelet will report as this machine's capacity.
func machineCapacity() (corev1.ResourceList, error) {
	content, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, fmt.Errorf("reading the machine's memory, %w", err)
	}
	memory, err := memTotal(string(content))
	if err != nil {
		return nil, err
	}
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(memory, resource.BinarySI),
	}, nil
}

// memTotal reads MemTotal, in bytes, from /proc/meminfo.
func memTotal(meminfo string) (int64, error) {
	for _, line := range strings.Split(meminfo, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("reading the machine's memory: MemTotal is %q", fields[1])
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("reading the machine's memory: /proc/meminfo has no MemTotal")
}
