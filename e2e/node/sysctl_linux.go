package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// sysctls are the kernel settings that kubelet and CNI plugins change for the whole machine.
func sysctls() []string {
	return []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
		"kernel/keys/root_maxbytes", "net/ipv4/ip_forward",
	}
}

// saveSysctls writes the values below root, which is /proc/sys, to a file.
func saveSysctls(root, file string) error {
	values := map[string]string{}
	for _, name := range sysctls() {
		value, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) { // not every kernel has every one
			continue
		}
		if err != nil {
			return fmt.Errorf("reading a kernel setting, %w", err)
		}
		values[name] = string(value)
	}
	content, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("saving kernel settings, %w", err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return fmt.Errorf("saving kernel settings, %w", err)
	}
	return nil
}

// restoreSysctls puts back what saveSysctls has written and removes the file. Where there is none, nothing was changed.
func restoreSysctls(root, file string) error {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restoring kernel settings, %w", err)
	}
	saved := map[string]string{}
	if err := json.Unmarshal(content, &saved); err != nil {
		return fmt.Errorf("restoring kernel settings: %s is damaged; remove it, %w", file, err)
	}
	var errs []error
	for _, name := range sysctls() {
		if value, ok := saved[name]; ok {
			errs = append(errs, os.WriteFile(filepath.Join(root, name), []byte(value), 0o644)) //nolint:gosec // it exists
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("restoring kernel settings, %w", err)
	}
	return os.Remove(file)
}
