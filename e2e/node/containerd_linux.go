package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"supercargo.dev/e2e/sandbox"
)

// podSubnet is one of those that RFC 2544 sets aside for benchmarks: no machine routes it. Only one node runs at a time.
const podSubnet = "198.18.0.0/24"

// containerdConfig differs from the default in where everything lies, and in restrict_oom_score_adj: without CAP_SYS_RESOURCE, as in
// most sandboxes, the score that the kubelet asks for the pause container cannot be set, and no pod would start.
var containerdConfig = template.Must(template.New("containerd").Parse(`version = 2
root = {{.Root}}
state = {{.State}}
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]

[grpc]
  address = {{.Socket}}

[plugins."io.containerd.internal.v1.opt"]
  path = {{.Opt}}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {{.PauseImage}}
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {{.CNIPlugins}}
    conf_dir = {{.CNIConfig}}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = {{.Snapshotter}}
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = {{.Runc}}
`))

// containerd is a runtime of our own.
type containerd struct {
	dir     string
	process *sandbox.Process
}

func (c *containerd) path(name string) string { return filepath.Join(c.dir, name) }
func (c *containerd) socket() string          { return c.path("containerd.sock") }
func (c *containerd) log() string             { return filepath.Join(filepath.Dir(c.dir), "containerd.log") }

// startContainerd starts containerd with everything below dir and imports the images made of the workload program.
func startContainerd(ctx context.Context, dir string, g *cgroups, workload string) (_ *containerd, err error) {
	c := &containerd{dir: dir}
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // containers may run as other users
		return nil, fmt.Errorf("creating containerd's directory, %w", err)
	}
	if err := c.configure(); err != nil {
		return nil, err
	}
	path, err := exec.LookPath("containerd")
	if err != nil {
		return nil, fmt.Errorf("looking for containerd, %w", err)
	}
	c.process, err = sandbox.StartProcess(sandbox.Command{Path: path, Args: []string{"--config", c.path("config.toml")}, Log: c.log()})
	if err != nil {
		return nil, err
	}
	// The shims that it starts inherit the cgroup: that is how they are found again, whatever became of containerd.
	if err := g.join(runtimeCgroup, c.process.PID()); err != nil {
		return c, err
	}
	if err := c.awaitReady(ctx); err != nil {
		return c, err
	}
	archive := c.path("images.tar")
	if err := writeImageFile(archive, workload); err != nil {
		return c, err
	}
	return c, c.ctr(ctx, "images", "import", archive)
}

func (c *containerd) configure() error {
	snapshotter, err := snapshotterFor(c.dir)
	if err != nil {
		return err
	}
	values := map[string]string{
		"Root": c.path("root"), "State": c.path("state"), "Socket": c.socket(), "Opt": c.path("opt"), "PauseImage": pauseImage,
		"CNIPlugins": cniPlugins, "CNIConfig": c.path("net.d"), "Snapshotter": snapshotter, "Runc": c.path("runc"),
	}
	for name, value := range values {
		quoted, err := json.Marshal(value) // TOML's basic strings have JSON's escapes
		if err != nil {
			return fmt.Errorf("configuring containerd, %w", err)
		}
		values[name] = string(quoted)
	}
	var text strings.Builder
	if err := containerdConfig.Execute(&text, values); err != nil {
		return fmt.Errorf("configuring containerd, %w", err)
	}
	network, err := json.Marshal(map[string]any{
		"cniVersion": "0.4.0", "name": "supercargo-node",
		"plugins": []any{map[string]any{
			"type": "ptp", "ipam": map[string]any{"type": "host-local", "subnet": podSubnet, "dataDir": c.path("ipam")},
		}},
	})
	if err != nil {
		return fmt.Errorf("configuring the network, %w", err)
	}
	if err := os.MkdirAll(c.path("net.d"), 0o755); err != nil {
		return fmt.Errorf("configuring the network, %w", err)
	}
	return errors.Join(os.WriteFile(c.path("config.toml"), []byte(text.String()), 0o600),
		os.WriteFile(c.path("net.d/10-supercargo.conflist"), network, 0o600))
}

// ctr runs containerd's own client in the namespace of Kubernetes.
func (c *containerd) ctr(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "ctr", append([]string{"--address", c.socket(), "--namespace", "k8s.io"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("running %s, %w: %s", cmd, err, out)
	}
	return nil
}

// awaitReady waits until containerd answers. It fails at once when it ends.
func (c *containerd) awaitReady(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		select {
		case <-c.process.Done():
			return false, errors.New("it ended")
		default:
		}
		last = c.ctr(ctx, "version")
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for containerd, %w; its log ends:\n%s", errors.Join(err, last), sandbox.Tail(c.log(), tailLines))
	}
	return nil
}

// shimSockets are the sockets of the shims below a containerd directory. Containerd makes them outside of it.
func shimSockets(dir string) []string {
	var out []string
	for _, f := range glob(filepath.Join(dir, "state/io.containerd.runtime.v2.task/*/*/address")) {
		if content, err := os.ReadFile(f); err == nil {
			out = append(out, strings.TrimPrefix(string(content), "unix://"))
		}
	}
	return out
}

// removeAll removes files that may be gone.
func removeAll(paths ...string) error {
	var errs []error
	for _, p := range paths {
		errs = append(errs, ignore(os.Remove(p), fs.ErrNotExist, syscall.ENOTDIR))
	}
	return errors.Join(errs...)
}
