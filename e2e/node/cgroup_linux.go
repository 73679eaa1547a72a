package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroups is the cgroup file system of a machine.
type cgroups struct {
	// unified says that version 2 has the controllers.
	unified bool
	// roots maps a controller of version 1 to where its hierarchy is mounted, and unifiedRoot to that of version 2, which machines
	// with version 1 may have beside it, without controllers.
	roots map[string]string
}

const unifiedRoot = ""

// findCgroups reads from the mounts which version of cgroups this machine has, and where.
func findCgroups(mounts []mount) (*cgroups, error) {
	c := &cgroups{roots: map[string]string{}}
	for _, m := range mounts {
		switch m.kind {
		case "cgroup":
			for _, o := range strings.Split(m.options, ",") {
				if o != "rw" && o != "ro" {
					c.roots[o] = m.point
				}
			}
		case "cgroup2":
			c.roots[unifiedRoot] = m.point
		}
	}
	if _, ok := c.roots["memory"]; ok {
		for _, controller := range []string{"cpu", "cpuacct", "cpuset", "pids"} {
			if _, ok := c.roots[controller]; !ok {
				return nil, fmt.Errorf("cgroup controller %s is not mounted; the kubelet needs it", controller)
			}
		}
		return c, nil
	}
	if _, ok := c.roots[unifiedRoot]; !ok {
		return nil, errors.New("no cgroup file system with a memory controller is mounted")
	}
	c.unified = true
	return c, nil
}

// dirs are the directories of a cgroup, one for each hierarchy.
func (c *cgroups) dirs(path string) []string {
	var out []string
	for _, root := range c.roots {
		if dir := filepath.Join(root, path); !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	slices.Sort(out)
	return out
}

// controller is the directory of a cgroup in the hierarchy of a controller.
func (c *cgroups) controller(name, path string) string {
	if c.unified {
		name = unifiedRoot
	}
	return filepath.Join(c.roots[name], path)
}

// create makes a cgroup right below the root of each hierarchy, ready to have children.
func (c *cgroups) create(path string) error {
	for _, dir := range c.dirs(path) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("creating a cgroup, %w", err)
		}
	}
	if c.unified {
		for _, dir := range []string{c.roots[unifiedRoot], c.controller("", path)} {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+cpuset +cpu +io +memory +pids"), 0); err != nil {
				return fmt.Errorf("delegating cgroup controllers, %w", err)
			}
		}
		return nil
	}
	// A cgroup of version 1 begins without CPUs and without memory nodes.
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		all, err := os.ReadFile(filepath.Join(c.roots["cpuset"], name))
		if err != nil {
			return fmt.Errorf("reading the machine's cpuset, %w", err)
		}
		if err := os.WriteFile(filepath.Join(c.controller("cpuset", path), name), bytes.TrimSpace(all), 0); err != nil {
			return fmt.Errorf("giving a cgroup its cpuset, %w", err)
		}
	}
	return nil
}

// join moves a process, and whatever it starts later, into a cgroup.
func (c *cgroups) join(path string, pid int) error {
	for _, root := range c.dirs(path) {
		if err := os.WriteFile(filepath.Join(root, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("moving process %d into cgroup %s, %w", pid, path, err)
		}
	}
	return nil
}

// processes are those in a cgroup and below it.
func (c *cgroups) processes(path string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(c.controller("pids", path), func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // gone while we walk
			return nil
		}
		if err != nil || entry.Name() != "cgroup.procs" {
			return err
		}
		content, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			return nil
		}
		for _, field := range strings.Fields(string(content)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return err
			}
			pids = append(pids, pid)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the processes of cgroup %s, %w", path, err)
	}
	return pids, nil
}

// Bounds of waiting for processes that were killed, and for the kernel to let go of their cgroups.
const (
	killPoll  = 20 * time.Millisecond
	killTries = 500
)

// kill ends every process in a cgroup and below it, and waits until they are gone.
func (c *cgroups) kill(path string) error {
	for range killTries {
		pids, err := c.processes(path)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("killing process %d, %w", pid, err)
			}
		}
		time.Sleep(killPoll)
	}
	return fmt.Errorf("processes in cgroup %s do not end", path)
}

// remove removes a cgroup and those below it. There must be no processes in them.
func (c *cgroups) remove(path string) error {
	for _, dir := range c.dirs(path) {
		var all []string
		err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				all = append(all, name)
			}
			return ignore(err, fs.ErrNotExist)
		})
		if err != nil {
			return fmt.Errorf("removing cgroup %s, %w", path, err)
		}
		slices.Reverse(all)
		for _, name := range all {
			// Processes leave their cgroup a moment after they end.
			for i := 0; ; i++ {
				err := ignore(syscall.Rmdir(name), fs.ErrNotExist)
				if err == nil {
					break
				}
				if !errors.Is(err, syscall.EBUSY) || i == killTries {
					return fmt.Errorf("removing cgroup %s, %w", name, err)
				}
				time.Sleep(killPoll)
			}
		}
	}
	return nil
}

// ignore returns err, or nil where it is one of those to be expected.
func ignore(err error, expected ...error) error {
	for _, e := range expected {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}
