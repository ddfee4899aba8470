// Command lab runs the whole identity chain on this machine, without an AWS account: the product's own program through
// the Pulumi engine, against an emulated account whose identity plane checks every signature, token, certificate and
// policy, with a real Kubernetes control plane and pods that run as processes in namespaces of their own.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/stacks"
)

func main() { cli.Main(root()) }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "The four setups on this machine, without an AWS account",
		Example: `  lab run --setup all            prove all four setups, one after the other, and take them down again
  lab up --setup irsa-s3         bring one setup up, prove it and leave it running
  eval "$(lab env)"              point aws, kubectl and pulumi at the running lab
  lab down                       take everything down`,
	}
	cli.Strict(cmd)
	cmd.AddCommand(runCommand(), upCommand(), previewCommand(), verifyCommand(), downCommand(), statusCommand(), envCommand(), serveCommand(), toolsCommand(), scaleCommand(), scaleStepCommand())
	for _, c := range cmd.Commands() {
		c.Args = cli.NoArgs
	}
	return cmd
}

const allSetups = "all"

// setupFlag adds --setup; the value is checked against the product's registry.
func setupFlag(cmd *cobra.Command, setup *string, value string, all bool) {
	choices := strings.Join(stacks.Setups(), ", ")
	if all {
		choices += " or " + allSetups
	}
	cmd.Flags().StringVar(setup, "setup", value, "setup: "+choices)
}

// chosen returns the setups that a --setup value stands for.
func chosen(setup string, all bool) ([]string, error) {
	if all && setup == allSetups {
		return order(stacks.Setups()), nil
	}
	if !slices.Contains(stacks.Setups(), setup) {
		return nil, cli.Usage(fmt.Errorf("--setup: found %q: must be one of %s", setup, strings.Join(stacks.Setups(), ", ")))
	}
	return []string{setup}, nil
}

// order puts the setups in the order of the article's letters; one that it does not know comes last.
func order(setups []string) []string {
	letters := []string{"instance-profile", "irsa-s3", "irsa-cloudfront", "roles-anywhere"}
	rank := func(s string) int {
		if i := slices.Index(letters, s); i >= 0 {
			return i
		}
		return len(letters)
	}
	slices.SortStableFunc(setups, func(a, b string) int { return rank(a) - rank(b) })
	return setups
}

// directories returns the product's directory and that of the scripts module.
func directories() (product, scripts string, err error) {
	candidates := []string{"."}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		candidates = append(candidates, filepath.Dir(filepath.Dir(file)))
	}
	for _, c := range candidates {
		dir, err := filepath.Abs(c)
		if err != nil {
			return "", "", err
		}
		for ; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "Pulumi.lab.yaml")); err == nil {
				return dir, filepath.Join(dir, "scripts"), nil
			}
		}
	}
	return "", "", errors.New("run this inside the project: no Pulumi.lab.yaml in this directory or above it")
}
