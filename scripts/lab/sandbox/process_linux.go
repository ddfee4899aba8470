package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"k3s-aws-auth/scripts/lab/internal/sandbox/wire"
)

// File descriptors of a process that is being started, beside its three streams.
const (
	specFD   = 3 // start as JSON
	statusFD = 4 // an error as text, or nothing where the program was executed
	selfFD   = 5 // the sandbox binary; only for "enter", which finds no path to it
)

// start is what a starting process is told.
type start struct {
	wire.Container
	Ambient bool `json:"ambient"` // it holds its capabilities as ambient ones, because its user is not 0
}

// child is a started process: a container's first, or a further one with the container's user.
type child struct {
	pid      int
	uid, gid int
	done     bool // reaped: the pid may be another process's
}

// starter is the one thread that starts containers: their parent-death signal is tied to the thread that started them,
// so it must live as long as the sandbox.
type starter struct{ jobs chan func() }

func newStarter() *starter {
	s := &starter{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *starter) do(f func() error) error {
	done := make(chan error, 1)
	s.jobs <- func() { done <- f() }
	return <-done
}

// pipes are the two pipes by which a starting process gets its description and tells how it went.
type pipes struct{ specR, specW, statusR, statusW *os.File }

func newPipes() (p pipes, err error) {
	if p.specR, p.specW, err = os.Pipe(); err != nil {
		return p, err
	}
	if p.statusR, p.statusW, err = os.Pipe(); err != nil {
		closeFiles([]*os.File{p.specR, p.specW})
	}
	return p, err
}

func (p pipes) close() { closeFiles([]*os.File{p.specR, p.specW, p.statusR, p.statusW}) }

// finish sends the description and waits until the program is executed or its set-up failed.
func (p pipes) finish(spec start) error {
	_ = p.specR.Close()
	_ = p.statusW.Close()
	sent := json.NewEncoder(p.specW).Encode(spec)
	_ = p.specW.Close()
	message, err := io.ReadAll(p.statusR)
	if len(message) > 0 {
		return errors.New(string(message))
	}
	return errors.Join(sent, err)
}

// run starts a container. The returned function, called once the daemon knows the process, watches for its end.
func (s *server) run(spec wire.Container, streams []*os.File) (uint64, func(), error) {
	ns, err := s.network.namespace(spec.Namespace)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = ns.Close() }()
	p, err := newPipes()
	if err != nil {
		return 0, nil, err
	}
	defer p.close()
	attr := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		// One user of the container's choice is mapped to the one user that the sandbox has.
		UidMappings: []syscall.SysProcIDMap{{ContainerID: spec.UID, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: spec.GID, HostID: 0, Size: 1}},
		Setsid:      true,
		Setctty:     spec.TTY,
		Pdeathsig:   syscall.SIGKILL,
	}
	if spec.UID != 0 {
		// Executing the sandbox binary as another user than 0 would lose the capabilities that set-up needs.
		attr.AmbientCaps = setUpCapabilities
	}
	var pid int
	err = s.starter.do(func() error {
		back, err := enterNetwork(ns)
		if err != nil {
			return err
		}
		pid, err = forkExec("/proc/self/exe", "init", attr, streams, p)
		return errors.Join(err, back())
	})
	if err != nil {
		if pid > 0 {
			reap(pid)
		}
		return 0, nil, fmt.Errorf("start container: %w", err)
	}
	if err := p.finish(start{Container: spec, Ambient: spec.UID != 0}); err != nil {
		reap(pid)
		return 0, nil, err
	}
	id, watch := s.watch(&child{pid: pid, uid: spec.UID, gid: spec.GID})
	return id, watch, nil
}

// exec starts a further process in a container. Only a process's own single-threaded child can enter a user namespace,
// so the process gets a user namespace beside the container's, with the same user and no capabilities.
func (s *server) exec(spec wire.Exec, streams []*os.File) (uint64, func(), error) {
	s.mu.Lock()
	target := s.children[spec.Process]
	s.mu.Unlock()
	if target == nil {
		return 0, nil, errors.New("container is not running")
	}
	var namespaces []*os.File
	defer func() { closeFiles(namespaces) }()
	for _, name := range []string{"net", "uts", "ipc", "pid", "mnt"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", target.pid, name))
		if err != nil {
			return 0, nil, fmt.Errorf("container is not running: %w", err)
		}
		namespaces = append(namespaces, f)
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = self.Close() }()
	p, err := newPipes()
	if err != nil {
		return 0, nil, err
	}
	defer p.close()
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, Setsid: true, Setctty: spec.TTY}

	// On a thread of its own that is thrown away: not every namespace of the sandbox can be entered again.
	type result struct {
		pid int
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		// A mount namespace can be entered only by a thread that shares its root directory with no other.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			done <- result{err: err}
			return
		}
		for _, ns := range namespaces {
			if err := unix.Setns(int(ns.Fd()), 0); err != nil {
				done <- result{err: fmt.Errorf("enter %s: %w", ns.Name(), err)}
				return
			}
		}
		pid, err := forkExec("/proc/self/fd/"+strconv.Itoa(selfFD), "enter", attr, streams, p, self)
		done <- result{pid, err}
	}()
	r := <-done
	pid, err := r.pid, r.err
	if err == nil {
		err = mapUser(pid, target.uid, target.gid)
	}
	if err != nil {
		if pid > 0 {
			reap(pid)
		}
		return 0, nil, fmt.Errorf("exec in container: %w", err)
	}
	description := start{Container: wire.Container{Args: spec.Args, Env: spec.Env, Dir: spec.Dir, NoNewPrivileges: true}}
	if err := p.finish(description); err != nil {
		reap(pid)
		return 0, nil, err
	}
	id, watch := s.watch(&child{pid: pid, uid: target.uid, gid: target.gid})
	return id, watch, nil
}

func forkExec(path, role string, attr *syscall.SysProcAttr, streams []*os.File, p pipes, more ...*os.File) (int, error) {
	files := append(append([]*os.File{}, streams...), p.specR, p.statusW)
	fds := make([]uintptr, 0, len(files)+len(more))
	for _, f := range append(files, more...) {
		fds = append(fds, f.Fd())
	}
	pid, err := syscall.ForkExec(path, []string{"sandbox", role}, &syscall.ProcAttr{Env: []string{"GOMAXPROCS=1", "GOGC=off"}, Files: fds, Sys: attr})
	if err != nil {
		return pid, fmt.Errorf("clone: %w", err)
	}
	return pid, nil
}

// mapUser gives a process in a new user namespace the container's user. It must run outside the starter's thread,
// where /proc belongs to the sandbox's own pid namespace.
func mapUser(pid, uid, gid int) error {
	dir := fmt.Sprintf("/proc/%d/", pid)
	for _, w := range []struct{ file, text string }{
		{"setgroups", "deny"},
		{"gid_map", fmt.Sprintf("%d 0 1\n", gid)},
		{"uid_map", fmt.Sprintf("%d 0 1\n", uid)},
	} {
		if err := os.WriteFile(dir+w.file, []byte(w.text), 0); err != nil {
			return fmt.Errorf("map user: %w", err)
		}
	}
	return nil
}

// reap kills a process that failed to start, and its container with it.
func reap(pid int) {
	_ = unix.Kill(pid, unix.SIGKILL)
	_, _ = unix.Wait4(pid, nil, 0, nil)
}

// watch registers a process and returns what waits for its end and tells the daemon.
func (s *server) watch(c *child) (uint64, func()) {
	s.mu.Lock()
	s.next++
	id := s.next
	s.children[id] = c
	s.mu.Unlock()
	return id, func() {
		go func() {
			exit := wire.Exit{Process: id, Code: 255}
			// Wait without reaping, so that a signal sent meanwhile cannot hit another process with the same pid.
			var info unix.Siginfo
			for {
				if err := unix.Waitid(unix.P_PID, c.pid, &info, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
					break
				}
			}
			s.mu.Lock()
			c.done = true
			delete(s.children, id)
			var status unix.WaitStatus
			if _, err := unix.Wait4(c.pid, &status, 0, nil); err == nil {
				exit.Code = status.ExitStatus()
				if status.Signaled() {
					exit.Signal = int(status.Signal())
					exit.Code = 128 + exit.Signal
				}
			}
			s.mu.Unlock()
			if err := s.conn.Send(wire.Response{Exit: &exit}); err != nil {
				fmt.Fprintln(os.Stderr, "sandbox: exit:", err)
			}
		}()
	}
}

func (s *server) signal(req wire.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.children[req.Process]
	if c == nil || c.done {
		return nil
	}
	pid := c.pid
	if req.Group {
		pid = -pid
	}
	if err := unix.Kill(pid, unix.Signal(req.Number)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal %d: %w", req.Number, err)
	}
	return nil
}

// killAll ends what is left; the pid namespace's end would do the same where there is one.
func (s *server) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.children {
		if !c.done {
			_ = unix.Kill(c.pid, unix.SIGKILL)
		}
	}
}

// lookPath finds a program as the container sees it.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return "", fmt.Errorf("exec: %q: stat %s: no such file or directory: executable file not found", name, name)
		case err != nil:
			return "", fmt.Errorf("exec: %q: %w", name, err)
		case info.IsDir():
			return "", fmt.Errorf("exec: %q: is a directory", name)
		}
		return name, nil
	}
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	for dir := range strings.SplitSeq(path, ":") {
		if dir == "" {
			continue
		}
		full := dir + "/" + name
		if info, err := os.Stat(full); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", fmt.Errorf("exec: %q: executable file not found in $PATH", name)
}
