package main

import (
	"os"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/lab/internal/build"
	"k3s-aws-auth/scripts/lab/internal/daemon"
	"k3s-aws-auth/scripts/lab/internal/state"
)

func serveCommand() *cobra.Command {
	var setup string
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Hold a lab's account and machines; `up` starts it in the background",
		Example: "  lab serve --setup irsa-s3",
		Hidden:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := chosen(setup, false); err != nil {
				return err
			}
			dir, err := state.Dir(setup)
			if err != nil {
				return err
			}
			_, scripts, err := directories()
			if err != nil {
				return err
			}
			tools, err := build.All(cmd.Context(), scripts, os.Stderr)
			if err != nil {
				return err
			}
			return daemon.Run(cmd.Context(), setup, dir, tools, os.Stderr)
		},
	}
	setupFlag(cmd, &setup, "", false)
	return cmd
}
