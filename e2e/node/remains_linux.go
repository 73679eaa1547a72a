package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// cgroupRoot is the cgroup of everything that the node runs; the kubelet puts its own "kubepods" below it.
	cgroupRoot = "/supercargo-node"
	// runtimeCgroup is that of containerd and its shims.
	runtimeCgroup = cgroupRoot + "/runtime"
	// home is where a node keeps everything. One path for all runs, so that what a run leaves behind when it is killed is found.
	home = "/var/tmp/supercargo-node"
	// lockFile is held while a node runs. It is not in home, which is removed.
	lockFile = "/var/tmp/supercargo-node.lock"
	// sysctlFile holds the kernel settings from before the node that runs, or was killed.
	sysctlFile = "/var/tmp/supercargo-node.sysctls"
	// lockPoll is between two tries to get the lock.
	lockPoll = time.Second
)

// lock waits until no other node runs on this machine. The kernel gives the lock back when the process ends, however it does.
func lock(ctx context.Context) (release func() error, err error) {
	f, err := os.OpenFile(lockFile, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the node's lock, %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // file descriptors are small
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("locking %s, %w", lockFile, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("waiting for another node on this machine to stop (%s is locked), %w", lockFile, ctx.Err()), f.Close())
		case <-time.After(lockPoll):
		}
	}
}

// clear ends and removes everything that a node has left: processes, mounts, cgroups, files. The caller holds the lock, and kubelet
// and containerd do not run.
func (c *cgroups) clear(dir string) error {
	if err := c.kill(cgroupRoot); err != nil {
		return err
	}
	if err := c.remove(cgroupRoot); err != nil {
		return err
	}
	if err := unmountBelow(dir); err != nil { // or the removal would go into what is mounted
		return err
	}
	errs := []error{removeAll(shimSockets(filepath.Join(dir, "containerd"))...), removeAll(outside(dir)...)}
	if err := os.RemoveAll(dir); err != nil {
		errs = append(errs, fmt.Errorf("removing the node's directory, %w", err))
	}
	return errors.Join(errs...)
}

// outside are the files of a node that kubelet and the CNI library insist on keeping elsewhere.
func outside(dir string) []string {
	var out []string
	for _, sandbox := range glob(filepath.Join(dir, "containerd/root/io.containerd.grpc.v1.cri/sandboxes/*")) {
		out = append(out, glob("/var/lib/cni/results/*-"+filepath.Base(sandbox)+"-*")...)
	}
	for _, link := range glob("/var/log/containers/*") {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, dir+"/") {
			out = append(out, link)
		}
	}
	return out
}

// glob is filepath.Glob for patterns that are not malformed.
func glob(pattern string) []string {
	found, err := filepath.Glob(pattern)
	if err != nil {
		panic(err)
	}
	return found
}
