package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/lab/internal/program"
	"k3s-aws-auth/scripts/lab/internal/state"
)

func envCommand() *cobra.Command {
	var setup string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print shell exports that point aws, kubectl and pulumi at a running lab",
		Example: `  eval "$(lab env)"                        the only running lab
  eval "$(lab env --setup irsa-cloudfront)"`,
		RunE: func(*cobra.Command, []string) error {
			lab, dir, err := theLab(setup)
			if err != nil {
				return err
			}
			env := program.Environment(lab, dir)
			if asJSON {
				return json.NewEncoder(os.Stdout).Encode(env)
			}
			return exports(os.Stdout, env)
		},
	}
	setupFlag(cmd, &setup, "", false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object on standard output")
	return cmd
}

// exports prints variables as a shell reads them, sorted.
func exports(out io.Writer, env map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(env)) {
		if _, err := fmt.Fprintf(out, "export %s='%s'\n", k, strings.ReplaceAll(env[k], "'", `'\''`)); err != nil {
			return err
		}
	}
	return nil
}

// theLab is the running lab of a setup, or the only one.
func theLab(setup string) (*state.Lab, string, error) {
	name, err := onlyOne(setup)
	if err != nil {
		return nil, "", err
	}
	return state.Load(name)
}

// onlyOne returns the given setup, or the one whose lab is running.
func onlyOne(setup string) (string, error) {
	if setup != "" {
		_, err := chosen(setup, false)
		return setup, err
	}
	running, err := state.Running()
	if err != nil {
		return "", err
	}
	switch len(running) {
	case 1:
		return running[0], nil
	case 0:
		return "", fmt.Errorf("%w: start one with `lab up`", state.ErrNotRunning)
	}
	return "", cli.Usage(fmt.Errorf("--setup: several labs are running (%s): choose one", strings.Join(running, ", ")))
}

func statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "List the running labs",
		Example: "  lab status --json",
		RunE: func(*cobra.Command, []string) error {
			running, err := state.Running()
			if err != nil {
				return err
			}
			type entry struct {
				Setup    string `json:"setup"`
				PID      int    `json:"pid"`
				Endpoint string `json:"endpoint"`
				Dir      string `json:"dir"`
			}
			entries := []entry{}
			for _, s := range running {
				lab, dir, err := state.Load(s)
				if err != nil {
					continue // it ended between the two looks
				}
				entries = append(entries, entry{s, lab.PID, lab.Endpoint, dir})
			}
			if asJSON {
				return json.NewEncoder(os.Stdout).Encode(entries)
			}
			if len(entries) == 0 {
				fmt.Println("no lab is running")
			}
			for _, e := range entries {
				fmt.Printf("%-18s %s  process %d  %s\n", e.Setup, e.Endpoint, e.PID, e.Dir)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON list on standard output")
	return cmd
}
