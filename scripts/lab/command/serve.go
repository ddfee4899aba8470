package main

import (
	"os"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/lab/internal/build"
	"k3s-aws-auth/scripts/lab/internal/daemon"
	"k3s-aws-auth/scripts/lab/internal/state"
)

func serveCommand() *cobra.Command {
	var setup, project string
	var plugins map[string]string
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
			tools, err := tools(cmd.Context(), project, plugins, setup)
			if err != nil {
				return err
			}
			_, scripts, err := directories()
			if err != nil {
				return err
			}
			return daemon.Run(cmd.Context(), daemon.Options{Setup: setup, Dir: dir, Project: project, Plugins: plugins, Tools: tools, Log: os.Stderr,
				CredentialProvider: func() (string, error) { return build.CredentialProvider(cmd.Context(), scripts, os.Stderr) }})
		},
	}
	setupFlag(cmd, &setup, "", false)
	projectFlag(cmd, &project)
	pluginFlag(cmd, &plugins)
	return cmd
}
