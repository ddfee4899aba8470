package kubelet

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/tools/remotecommand"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// execTerminal runs a process on a new terminal and waits for its end.
func execTerminal(ctx context.Context, proc Process, spec sandbox.ExecSpec, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) (sandbox.ExitStatus, error) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return sandbox.ExitStatus{}, fmt.Errorf("terminal: %w", err)
	}
	defer func() { _ = terminal.Close() }()
	raw, err := terminal.SyscallConn()
	if err != nil {
		return sandbox.ExitStatus{}, err
	}
	var number int
	control := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if control != nil || err != nil {
		return sandbox.ExitStatus{}, fmt.Errorf("terminal: %w", err)
	}
	side, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return sandbox.ExitStatus{}, fmt.Errorf("terminal: %w", err)
	}
	spec.Stdin, spec.Stdout, spec.Stderr = side, side, side
	e, err := proc.Exec(spec)
	_ = side.Close()
	if err != nil {
		return sandbox.ExitStatus{}, err
	}
	go func() {
		for {
			select {
			case size, ok := <-resize:
				if !ok {
					return
				}
				_ = raw.Control(func(fd uintptr) {
					_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
				})
			case <-e.Done():
				return
			}
		}
	}()
	if in != nil {
		go func() { _, _ = io.Copy(terminal, in) }()
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(out, terminal) // ends with an error when the last process on the terminal is gone
	}()
	select {
	case <-e.Done():
	case <-ctx.Done():
		e.Kill(0)
	}
	<-copied
	return e.Wait(), nil
}
