package main

import (
	"io"

	"github.com/spf13/cobra"
)

// subcommands are what the workflows run beside the review itself.
func subcommands(stdin io.Reader, stdout io.Writer) []*cobra.Command {
	return []*cobra.Command{verdictCommand(stdout), setupCommand(stdin, stdout), driftCommand(stdout)}
}
