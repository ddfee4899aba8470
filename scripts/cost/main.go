// Command cost estimates what a stack costs a month, from its configuration alone: it never calls AWS. Prices are in a
// table of their own, each with its source and its date.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes: 0 estimated, 1 the stack's file is not valid or a price is missing, 2 the command was not understood.
const (
	exitFailure = 1
	exitUsage   = 2
)

// usageError marks errors of the command line.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root().ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "cost:", err)
	var usage usageError
	if errors.As(err, &usage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailure)
}
