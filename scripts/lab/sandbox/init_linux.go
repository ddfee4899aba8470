package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// setUpCapabilities are what a container's first process needs until its program is executed: mounting, changing the
// root, and limiting the capabilities that are left.
var setUpCapabilities = []uintptr{
	unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SETPCAP, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER,
}

// defaultCapabilities are what container runtimes leave to user 0.
var defaultCapabilities = map[int]bool{
	unix.CAP_CHOWN: true, unix.CAP_DAC_OVERRIDE: true, unix.CAP_FSETID: true, unix.CAP_FOWNER: true, unix.CAP_MKNOD: true,
	unix.CAP_NET_RAW: true, unix.CAP_SETGID: true, unix.CAP_SETUID: true, unix.CAP_SETFCAP: true, unix.CAP_SETPCAP: true,
	unix.CAP_NET_BIND_SERVICE: true, unix.CAP_SYS_CHROOT: true, unix.CAP_KILL: true, unix.CAP_AUDIT_WRITE: true,
}

// become reads what this process is to be, prepares it and executes the program in its place. It returns never: a
// failure is written to the status pipe and ends the process with status 1.
func become(prepare func(*start) error) {
	unix.CloseOnExec(statusFD)
	unix.CloseOnExec(selfFD)
	status := os.NewFile(statusFD, "status")
	err := func() error {
		spec := os.NewFile(specFD, "spec")
		var s start
		if err := json.NewDecoder(spec).Decode(&s); err != nil {
			return fmt.Errorf("read container description: %w", err)
		}
		_ = spec.Close()
		if err := prepare(&s); err != nil {
			return err
		}
		return execute(&s)
	}()
	_, _ = status.WriteString(err.Error())
	os.Exit(1)
}

// setUp makes the container around the calling process.
func setUp(s *start) error {
	if s.Hostname != "" {
		if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
			return fmt.Errorf("host name: %w", err)
		}
	}
	if err := buildRoot(&s.Container); err != nil {
		return err
	}
	return limitCapabilities(s)
}

// limitCapabilities leaves user 0 the container runtimes' default set or nothing, and other users nothing.
func limitCapabilities(s *start) error {
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		if !s.DropCapabilities && defaultCapabilities[c] {
			continue
		}
		// A kernel older than a capability answers EINVAL.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if s.Ambient {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
			return fmt.Errorf("clear ambient capabilities: %w", err)
		}
	}
	var keep uint64
	if s.UID == 0 && !s.DropCapabilities {
		for c := range defaultCapabilities {
			keep |= 1 << c
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{}
	for i := range data {
		data[i].Permitted = uint32(keep >> (32 * i))
		data[i].Effective = data[i].Permitted
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("limit capabilities: %w", err)
	}
	return nil
}

// execute replaces the process by the program.
func execute(s *start) error {
	if s.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no new privileges: %w", err)
		}
	}
	dir := s.Dir
	if dir == "" {
		dir = "/"
	}
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	program, err := lookPath(s.Args[0], s.Env)
	if err != nil {
		return err
	}
	if err := syscall.Exec(program, s.Args, s.Env); err != nil {
		return fmt.Errorf("exec: %q: %w", program, err)
	}
	return nil
}
