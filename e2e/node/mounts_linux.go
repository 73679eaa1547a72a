package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// mount is one line of /proc/self/mountinfo.
type mount struct {
	point, kind, options string // options of the file system, not of the mount
}

// readMounts reads the mounts that this process sees, in the order in which they were made.
func readMounts() ([]mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading mounts, %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	return parseMounts(f)
}

// parseMounts reads the format of proc_pid_mountinfo(5).
func parseMounts(r io.Reader) ([]mount, error) {
	var out []mount
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		left, right, ok := strings.Cut(lines.Text(), " - ")
		before, after := strings.Fields(left), strings.Fields(right)
		if !ok || len(before) < 5 || len(after) < 3 {
			return nil, fmt.Errorf("reading mounts: line %q is no mount", lines.Text())
		}
		out = append(out, mount{point: unescape(before[4]), kind: after[0], options: after[2]})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading mounts, %w", err)
	}
	return out, nil
}

// unescape undoes the octal escapes of spaces, tabs, newlines and backslashes.
func unescape(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// below are the mount points in a directory or on it, those made last first.
func below(mounts []mount, dir string) []string {
	var out []string
	for _, m := range mounts {
		if m.point == dir || strings.HasPrefix(m.point, strings.TrimSuffix(dir, "/")+"/") {
			out = append(out, m.point)
		}
	}
	slices.Reverse(out)
	return out
}

// unmountBelow unmounts everything below a directory and fails where something stays.
func unmountBelow(dir string) error {
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	var errs []error
	for _, point := range below(mounts, dir) {
		if err := syscall.Unmount(point, syscall.MNT_DETACH|umountNoFollow); err != nil && !errors.Is(err, syscall.EINVAL) {
			errs = append(errs, fmt.Errorf("unmounting %s, %w", point, err))
		}
	}
	if mounts, err = readMounts(); err != nil {
		return errors.Join(append(errs, err)...)
	}
	if left := below(mounts, dir); len(left) > 0 {
		errs = append(errs, fmt.Errorf("still mounted: %s", strings.Join(left, ", ")))
	}
	return errors.Join(errs...)
}

// umountNoFollow is UMOUNT_NOFOLLOW of umount(2).
const umountNoFollow = 0x8

// overlayMagic is OVERLAYFS_SUPER_MAGIC of statfs(2).
const overlayMagic = 0x794c7630

// snapshotterFor is containerd's snapshotter for a root directory: an overlay cannot lie on an overlay.
func snapshotterFor(dir string) (string, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(filepath.Clean(dir), &s); err != nil {
		return "", fmt.Errorf("looking at the file system of %s, %w", dir, err)
	}
	if s.Type == overlayMagic {
		return "native", nil
	}
	return "overlayfs", nil
}
