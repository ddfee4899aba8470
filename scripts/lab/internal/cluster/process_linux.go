package cluster

import "syscall"

// processAttributes ties a component to the lab's own process: it must not outlive it.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
