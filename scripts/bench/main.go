// Command bench measures what the four setups cost a pod: the time until AWS STS answers it, and the calls that many
// pods make at once. It works on the lab, which it can start by itself, and on clusters on AWS.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes: 0 all is well, 1 something was found or failed, 2 the command was not understood.
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
	fmt.Fprintln(os.Stderr, "bench:", err)
	var usage usageError
	if errors.As(err, &usage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailure)
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what the setups cost a pod",
		Long: `bench measures, in the lab or on AWS, how long a new pod takes until AWS STS answers it, and what many pods at once ask for.

Exit codes: 0 measured, 1 a case never succeeded or a target was missed with --check, 2 wrong command line.`,
		Example: `  bench cold-start --up                       all four setups in the lab, 30 runs each
  bench cold-start --setup irsa-s3,irsa-cloudfront --client cli,sdk --runs 50
  bench burst --setup roles-anywhere --pods 20
  bench report --dir out                      make the report again from the raw data`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.AddCommand(coldStartCommand(), burstCommand(), reportCommand())
	for _, c := range cmd.Commands() {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("%s takes no arguments, found %q", cmd.Name(), args)}
			}
			return nil
		}
	}
	return cmd
}
