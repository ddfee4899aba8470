package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"k3s-aws-auth/scripts/lab/internal/sandbox/wire"
)

// Start runs the sandbox binary in namespaces of its own and waits until it answers. The error wraps ErrUnsupported
// where the kernel or its policy refuses the namespaces. The sandbox ends with Close, with ctx, and with this process.
func Start(ctx context.Context, o Options) (*Sandbox, error) {
	if o.Binary == "" || o.Dir == "" {
		return nil, errors.New("sandbox: Binary and Dir are required")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "root"), 0o755); err != nil {
		return nil, fmt.Errorf("sandbox directory: %w", err)
	}
	if o.Dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("sandbox directory: %w", err)
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	// A pid namespace needs a proc file system of its own, which hosts with a masked /proc refuse; the second try does
	// without, and then the children's parent-death signal alone ends them with the sandbox.
	var errs []error
	for _, flags := range []uintptr{syscall.CLONE_NEWPID, 0} {
		s, err := start(ctx, o, flags)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func start(ctx context.Context, o Options, extra uintptr) (*Sandbox, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("sandbox socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "sandbox"), os.NewFile(uintptr(pair[1]), "sandbox")
	defer func() { _ = errors.Join(ours.Close(), theirs.Close()) }()

	var stderr tail
	cmd := exec.Command(o.Binary, "serve")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = io.MultiWriter(o.Log, &stderr)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=2"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | extra,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
		Setsid:      true,
	}
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		// The parent-death signal is tied to the thread that starts the child: keep it for the child's whole life.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%w: the kernel refuses namespaces: %w", ErrUnsupported, err)
	}
	s, err := newSandbox(o, ours, func() {
		select {
		case <-ended:
		case <-time.After(2 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	if err != nil {
		_ = cmd.Process.Kill()
		<-ended
		return nil, err
	}
	_ = theirs.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	if _, err := s.call(wire.Request{Op: wire.OpHello}); err != nil {
		stop()
		_ = s.Close()
		return nil, fmt.Errorf("%w: %w: %s", ErrUnsupported, err, strings.TrimSpace(stderr.String()))
	}
	return s, nil
}

// tail keeps the beginning of what the binary says, for the error of a failed start.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	if len(t.b) < 4096 {
		t.b = append(t.b, p...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.b) }
