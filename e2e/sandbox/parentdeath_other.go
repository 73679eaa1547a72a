//go:build unix && !linux

package sandbox

import "syscall"

// dieWithParent cannot be had from this kernel: children of a killed parent go on.
func dieWithParent(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
