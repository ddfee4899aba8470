// Command drill breaks one thing after another in a cluster with pod identities, watches what an existing and a new pod
// come to, repairs it, measures the repair, and compares with what should have come of it. It works by the plain APIs of
// AWS and Kubernetes, on the lab and on real clusters alike; what needs hands on machines it does itself in the lab alone.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes: 0 all as expected, 1 something differs or failed, 2 the command was not understood.
const (
	exitDifferent = 1
	exitUsage     = 2
)

// usageError marks errors of the command line.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := root().ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "drill:", err)
	var usage usageError
	if errors.As(err, &usage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitDifferent)
}
