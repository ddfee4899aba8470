package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"k3s-aws-auth/scripts/lab/internal/sandbox/wire"
)

// ContainerSpec describes a process with a scratch root: the host's programs read-only, and an /etc, /run, /var and
// /tmp of its own, in which the mounts' targets are real paths.
type ContainerSpec struct {
	Node string // whose network the process is in; with Pod set only for messages
	Pod  string // "" = the node's own network

	Args []string // Args[0] is looked up in Env's PATH inside the root
	Env  []string // NAME=value; nothing is inherited
	Dir  string   // working directory, "" = /

	UID, GID         int // as the process sees itself; outside it is the user that runs the lab
	Hostname         string
	Mounts           []Mount // in order; a later one may lie inside an earlier one
	Files            []File  // written into the root, over the defaults for /etc/hosts and the like
	ReadOnlyRoot     bool    // everything but mounts is read-only
	DropCapabilities bool    // no capabilities even for UID 0
	NoNewPrivileges  bool

	Stdin, Stdout, Stderr *os.File // nil = /dev/null; the caller closes its copies after Run
	TTY                   bool     // Stdin is a terminal and becomes the process's controlling terminal
}

// ExecSpec describes a further process in a running container's namespaces.
type ExecSpec struct {
	Args, Env             []string
	Dir                   string
	Stdin, Stdout, Stderr *os.File
	TTY                   bool
}

// ExitStatus is how a process ended: its exit status, or 128 + Signal.
type ExitStatus struct{ Code, Signal int }

// Process is a running or ended process of the sandbox.
type Process struct {
	sandbox *Sandbox
	id      uint64
	once    sync.Once
	done    chan struct{}
	status  ExitStatus
}

func (p *Process) finish(status ExitStatus) {
	p.once.Do(func() {
		p.status = status
		close(p.done)
	})
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait blocks until the process has ended.
func (p *Process) Wait() ExitStatus {
	<-p.done
	return p.status
}

// Signal sends a signal to the process; to an ended one it does nothing.
func (p *Process) Signal(sig syscall.Signal) error { return p.signal(sig, false) }

// SignalGroup sends a signal to every process of the process's session.
func (p *Process) SignalGroup(sig syscall.Signal) error { return p.signal(sig, true) }

func (p *Process) signal(sig syscall.Signal, group bool) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	_, err := p.sandbox.call(wire.Request{Op: wire.OpSignal, Signal: &wire.Signal{Process: p.id, Number: int(sig), Group: group}})
	return err
}

// Kill asks the process to end by SIGTERM, and ends it and all of its container by SIGKILL after the grace period.
// As in a container runtime SIGTERM goes to the first process alone, for which a signal without a handler does nothing.
func (p *Process) Kill(grace time.Duration) ExitStatus {
	if grace > 0 {
		_ = p.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
			return p.status
		case <-time.After(grace):
		}
	}
	_ = p.SignalGroup(syscall.SIGKILL)
	_ = p.Signal(syscall.SIGKILL)
	return p.Wait()
}

// Run starts a container. Its error wraps ErrNotFound where Args[0] does not exist in the root.
func (s *Sandbox) Run(spec ContainerSpec) (*Process, error) {
	if len(spec.Args) == 0 {
		return nil, errors.New("container: no command")
	}
	c := &wire.Container{
		Namespace: wire.NodeNamespace(spec.Node), RootDir: s.rootDir,
		Args: spec.Args, Env: spec.Env, Dir: spec.Dir, UID: spec.UID, GID: spec.GID, Hostname: spec.Hostname,
		ReadOnlyRoot: spec.ReadOnlyRoot, DropCapabilities: spec.DropCapabilities, NoNewPrivileges: spec.NoNewPrivileges, TTY: spec.TTY,
	}
	if spec.Pod != "" {
		c.Namespace = wire.PodNamespace(spec.Pod)
	}
	c.Files = append(defaultFiles(spec.Hostname), spec.Files...)
	mounts, err := s.trust()
	if err != nil {
		return nil, err
	}
	for _, m := range spec.Mounts {
		if m.Source != "" {
			// Links are followed here: inside, an absolute link would lead into the container's own root.
			if m.Source, err = filepath.EvalSymlinks(m.Source); err != nil {
				return nil, fmt.Errorf("mount at %s: %w", m.Target, err)
			}
		}
		mounts = append(mounts, m)
	}
	c.Mounts = mounts
	return s.start(wire.Request{Op: wire.OpRun, Container: c}, spec.Stdin, spec.Stdout, spec.Stderr)
}

// Exec starts a further process in the container.
func (p *Process) Exec(spec ExecSpec) (*Process, error) {
	if len(spec.Args) == 0 {
		return nil, errors.New("exec: no command")
	}
	e := &wire.Exec{Process: p.id, Args: spec.Args, Env: spec.Env, Dir: spec.Dir, TTY: spec.TTY}
	return p.sandbox.start(wire.Request{Op: wire.OpExec, Exec: e}, spec.Stdin, spec.Stdout, spec.Stderr)
}

func (s *Sandbox) start(req wire.Request, streams ...*os.File) (*Process, error) {
	for i, f := range streams {
		if f == nil {
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				return nil, err
			}
			defer func() { _ = null.Close() }()
			streams[i] = null
		}
	}
	r, err := s.call(req, streams...)
	if err != nil {
		return nil, err
	}
	p := &Process{sandbox: s, id: r.Process, done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if exit, ok := s.early[p.id]; ok {
		delete(s.early, p.id)
		p.finish(ExitStatus{Code: exit.Code, Signal: exit.Signal})
	} else if s.closed != nil {
		p.finish(ExitStatus{Code: 137, Signal: 9})
	} else {
		s.running[p.id] = p
	}
	return p, nil
}

// caPaths are where the TLS libraries of the usual distributions look for the certificates that they trust.
var caPaths = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/ssl/cert.pem",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/tls/cert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
}

func (s *Sandbox) trust() ([]Mount, error) {
	if s.options.CA == "" {
		return nil, nil
	}
	source, err := filepath.EvalSymlinks(s.options.CA)
	if err != nil {
		return nil, fmt.Errorf("CA bundle: %w", err)
	}
	var mounts []Mount
	for _, p := range caPaths {
		mounts = append(mounts, Mount{Source: source, Target: p, ReadOnly: true})
	}
	return mounts, nil
}

func defaultFiles(hostname string) []File {
	hosts := "127.0.0.1\tlocalhost\n"
	if hostname != "" {
		hosts += "127.0.1.1\t" + hostname + "\n"
	}
	return []File{
		{Path: "/etc/hosts", Data: hosts, Mode: 0o644},
		{Path: "/etc/hostname", Data: hostname + "\n", Mode: 0o644},
		{Path: "/etc/resolv.conf", Data: "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n", Mode: 0o644},
		{Path: "/etc/passwd", Data: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n", Mode: 0o644},
		{Path: "/etc/group", Data: "root:x:0:\nnogroup:x:65534:\n", Mode: 0o644},
		{Path: "/etc/nsswitch.conf", Data: "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n", Mode: 0o644},
	}
}

// notFoundMark is how the sandbox binary's message tells that the program does not exist.
const notFoundMark = "executable file not found"

func wireError(message string) error {
	if strings.Contains(message, notFoundMark) {
		return &notFoundError{message}
	}
	return errors.New(message)
}

type notFoundError struct{ message string }

func (e *notFoundError) Error() string        { return e.message }
func (e *notFoundError) Is(target error) bool { return target == ErrNotFound }

// NodePaths are the directories that a machine keeps: what its boot script and its services write.
var NodePaths = []string{"/etc/rancher", "/etc/k3s-aws-auth", "/etc/systemd/system", "/usr/local", "/var/lib", "/var/log", "/run", "/tmp", "/root"}

// NodeMounts makes each path below a machine's persistent root directory and returns the mounts that put them, writable,
// at the same path of a container. No paths means NodePaths.
func NodeMounts(root string, paths ...string) ([]Mount, error) {
	if len(paths) == 0 {
		paths = NodePaths
	}
	mounts := make([]Mount, 0, len(paths))
	for _, p := range paths {
		source := filepath.Join(root, p)
		if err := os.MkdirAll(source, 0o755); err != nil {
			return nil, fmt.Errorf("machine's root: %w", err)
		}
		mounts = append(mounts, Mount{Source: source, Target: p})
	}
	return mounts, nil
}
