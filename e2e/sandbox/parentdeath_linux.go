package sandbox

import "syscall"

// dieWithParent makes the kernel send signal to the child when the thread that started it ends. Process keeps that thread.
func dieWithParent(signal syscall.Signal) *syscall.SysProcAttr {
	// Of its own group, so that Ctrl-C in a terminal reaches the parent alone, which then stops its children in order.
	return &syscall.SysProcAttr{Pdeathsig: signal, Setpgid: true}
}
