// Command lab runs the whole identity chain on this machine, without an AWS account: the product's own program through
// the Pulumi engine, against an emulated account whose identity plane checks every signature, token, certificate and
// policy, with a real Kubernetes control plane and pods that run as processes in namespaces of their own.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/setups"
	"k3s-aws-auth/scripts/lab/internal/build"
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
	cmd.AddCommand(runCommand(), upCommand(), verifyCommand(), previewCommand(), downCommand(), statusCommand(), envCommand(), pulumiCommand(), clientsCommand(), serveCommand(), toolsCommand(), scaleCommand(), scaleStepCommand())
	for _, c := range cmd.Commands() {
		if c.Args == nil {
			c.Args = cli.NoArgs
		}
	}
	return cmd
}

// setupFlag adds --setup; the value is checked against what the project has.
func setupFlag(cmd *cobra.Command, setup *string, value string, all bool) {
	usage := setups.Usage()
	if all {
		usage += " or " + setups.All
	}
	cmd.Flags().StringVar(setup, "setup", value, usage)
}

// chosen returns the setups that a --setup value stands for.
func chosen(setup string, all bool) ([]string, error) {
	list, err := projectSetups()
	if err != nil {
		return nil, err
	}
	if all && setup == setups.All {
		return list.Names(), nil
	}
	if _, ok := list.Find(setup); !ok {
		return nil, cli.Usage(fmt.Errorf("--setup: found %q: must be one of %s", setup, strings.Join(list.Names(), ", ")))
	}
	return []string{setup}, nil
}

// projectSetups are the setups of the project around.
func projectSetups() (setups.List, error) {
	product, _, err := directories()
	if err != nil {
		return nil, err
	}
	return setups.Load(product)
}

// setupOf are the facts of a project's setup; the project is the one around where it is empty.
func setupOf(project, name string) (setups.Setup, error) {
	product, _, err := directories()
	if err != nil {
		return setups.Setup{}, err
	}
	list, err := setups.Load(cmp.Or(project, product))
	if err != nil {
		return setups.Setup{}, err
	}
	return list.Get(name)
}

// tools builds what a lab of some setups needs, with provider plugins of the caller's in place of the lab's own.
func tools(ctx context.Context, project string, plugins map[string]string, names ...string) (*build.Tools, error) {
	_, scripts, err := directories()
	if err != nil {
		return nil, err
	}
	wish := build.Wish{Project: project, Plugins: plugins}
	for _, name := range names {
		s, err := setupOf(project, name)
		if err != nil {
			return nil, err
		}
		wish.SigningHelper = wish.SigningHelper || s.PresentsCertificate()
	}
	return build.All(ctx, scripts, os.Stderr, wish)
}

// directories returns the product's directory and that of the scripts module: those that the first stage names, or the
// ones around the working directory.
func directories() (product, scripts string, err error) {
	if scripts := os.Getenv(build.ScriptsVariable); scripts != "" {
		return filepath.Dir(scripts), scripts, nil
	}
	return labs.Directories()
}
