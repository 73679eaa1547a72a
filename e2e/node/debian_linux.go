package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// cniPlugins is where Debian's containernetworking-plugins puts them.
const cniPlugins = "/usr/lib/cni"

// needed maps what a node runs to the Debian package that it comes from.
var needed = []struct{ file, packageName string }{
	{"containerd", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{filepath.Join(cniPlugins, "ptp"), "containernetworking-plugins"},
	{filepath.Join(cniPlugins, "host-local"), "containernetworking-plugins"},
	{filepath.Join(cniPlugins, "loopback"), "containernetworking-plugins"},
}

// Unsupported says why this machine cannot run a node at all, empty when it can: what is merely not installed is left to Install.
func Unsupported() string {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Sprintf("a real node needs root, and this is user %d", uid)
	}
	return ""
}

// missing returns the packages of what is not there.
func missing() (packages []string) {
	for _, n := range needed {
		if _, err := exec.LookPath(n.file); err != nil && !slices.Contains(packages, n.packageName) {
			packages = append(packages, n.packageName)
		}
	}
	return packages
}

// Install installs the Debian packages of containerd, runc and the CNI plugins that are missing, telling out what it does. A daemon
// that an installation would start is not started: the node runs its own.
func Install(ctx context.Context, out io.Writer) error {
	packages := missing()
	if len(packages) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("installing %s: this machine has no apt-get; install what they are called here", strings.Join(packages, ", "))
	}
	_, _ = fmt.Fprintf(out, "installing Debian packages: %s\n", strings.Join(packages, ", ")) // telling is all it is for
	undo, err := forbidServices()
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-y", "-q", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		output, err := cmd.CombinedOutput()
		if err != nil {
			return errors.Join(fmt.Errorf("running %s, %w:\n%s", cmd, err, output), undo())
		}
	}
	if err := undo(); err != nil {
		return err
	}
	if packages := missing(); len(packages) > 0 {
		return fmt.Errorf("%s: installed, and still not found in PATH (%s) and %s", strings.Join(packages, ", "), os.Getenv("PATH"), cniPlugins)
	}
	return nil
}

// policyFile is what Debian's packages ask before they start a service; exit code 101 forbids it.
const policyFile = "/usr/sbin/policy-rc.d"

// forbidServices keeps packages from starting their services until undo. Where the administrator has such a policy, it stands.
func forbidServices() (undo func() error, err error) {
	f, err := os.OpenFile(policyFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755) //nolint:gosec // must be executable
	if errors.Is(err, os.ErrExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keeping packages from starting services, %w", err)
	}
	undo = func() error { return os.Remove(policyFile) }
	if _, err := f.WriteString("#!/bin/sh\nexit 101\n"); err != nil {
		return nil, errors.Join(fmt.Errorf("keeping packages from starting services, %w", err), f.Close(), undo())
	}
	return undo, f.Close()
}
