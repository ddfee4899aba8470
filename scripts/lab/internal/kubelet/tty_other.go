//go:build !linux

package kubelet

import (
	"context"
	"errors"
	"io"

	"k8s.io/client-go/tools/remotecommand"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// execTerminal fails: terminals are made on Linux only.
func execTerminal(context.Context, Process, sandbox.ExecSpec, io.Reader, io.Writer, <-chan remotecommand.TerminalSize) (sandbox.ExitStatus, error) {
	return sandbox.ExitStatus{}, errors.New("a terminal is not supported here: use exec without -t")
}
