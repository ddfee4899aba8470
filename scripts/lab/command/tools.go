package main

import (
	"encoding/json"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/lab/internal/build"
)

// toolsCommand is for this project's own tests: `make test-lab` gives them the programs that they start.
func toolsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "tools",
		Short: "Build the lab's programs where they are missing, and print shell exports of their paths",
		Example: `  eval "$(lab tools)"
  lab tools --json`,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := projectSetups()
			if err != nil {
				return err
			}
			tools, err := tools(cmd.Context(), "", nil, list.Names()...)
			if err != nil {
				return err
			}
			paths := toolPaths(tools)
			if asJSON {
				return json.NewEncoder(os.Stdout).Encode(paths)
			}
			return exports(os.Stdout, paths)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object on standard output")
	return cmd
}

// toolPaths are the variables under which tests look for programs. A program that this system has none of (a sandbox
// outside Linux) is left out.
func toolPaths(tools *build.Tools) map[string]string {
	paths := map[string]string{}
	for variable, path := range map[string]string{
		"LAB_KUBERNETES": tools.Kubernetes,
		"LAB_SANDBOX":    tools.Sandbox,
	} {
		if path != "" {
			paths[variable] = path
		}
	}
	for kind, path := range tools.Plugins {
		paths["LAB_PLUGIN_"+strings.ToUpper(kind)] = path
	}
	return paths
}
