// Package cli is how the commands of this module begin and end: by cobra, until done or interrupted, with exit code 0
// where all is well, 1 where something was found or failed, and 2 where the command line was not understood.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes of all commands.
const (
	ExitFailure = 1
	ExitUsage   = 2
)

// UsageError is a mistake of the command line.
type UsageError struct{ err error }

func (e UsageError) Error() string { return e.err.Error() }

// Unwrap is the mistake itself.
func (e UsageError) Unwrap() error { return e.err }

// Usage marks an error as one of the command line.
func Usage(err error) error { return UsageError{err} }

// CodedError ends a command with a code of its own choice.
type CodedError struct {
	err  error
	code int
}

func (e CodedError) Error() string { return e.err.Error() }

// Unwrap is the error itself.
func (e CodedError) Unwrap() error { return e.err }

// Exit gives an error the exit code that it ends its command with.
func Exit(err error, code int) error { return CodedError{err, code} }

// Main runs a command, with a context that ends where the user interrupts it, and ends the process with its exit code.
func Main(root *cobra.Command) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := Run(ctx, root, os.Stderr)
	stop()
	os.Exit(code)
}

// Run runs a command, reports its error to stderr under the command's name, and returns its exit code.
func Run(ctx context.Context, root *cobra.Command, stderr io.Writer) int {
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v\n", root.Name(), err)
	if errors.As(err, &UsageError{}) {
		return ExitUsage
	}
	var coded CodedError
	if errors.As(err, &coded) {
		return coded.code
	}
	return ExitFailure
}

// Strict makes mistakes in a command's flags, in those of the commands below it, and in their names usage errors, and
// leaves it to [Run] to report errors.
func Strict(cmd *cobra.Command) {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usage(err) })
	if !cmd.Runnable() { // it has commands below it, and shows its help by itself
		cmd.Args = known
		cmd.SuggestionsMinimumDistance = 2 // cobra's own default, which it sets too late for this
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
}

// known refuses the name of a command that is not there: cobra's own refusal could not be told from a failure.
func known(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = " (did you mean " + strings.Join(similar, " or ") + "?)"
	}
	return Usage(fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint))
}

// NoArgs is for commands without arguments.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usage(fmt.Errorf("%s takes no arguments, found %q", cmd.Name(), args))
	}
	return nil
}
