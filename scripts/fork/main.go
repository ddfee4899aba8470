// Command fork gives a checkout of this repository a module path of its own, so that others can import its components.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
)

func main() { cli.Main(command()) }

func command() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "fork MODULE",
		Short: "Give this checkout a module path of its own",
		Long: `Sets the module path of every go.mod of the repository, and every import path and other mention of a package below it, in
all files that git knows. Type tokens, names, labels, tags and the Pulumi project's name stay what they are: stacks that exist
do not change. It refuses a tree with changes of its own, so that "git diff" shows what it did and "git restore ." undoes it.
A second run with the same path changes nothing.`,
		Example: "  fork github.com/acme/platform-identity",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return cli.Usage(fmt.Errorf("name one module path, such as github.com/acme/platform-identity; found %q", args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			was, changed, err := fork(cmd.Context(), dir, args[0])
			if err != nil {
				return err
			}
			if changed == 0 {
				fmt.Printf("the module is already %s: nothing to do\n", args[0])
				return nil
			}
			fmt.Printf("%s is now %s, in %d files. What stacks have in their state is the same.\n"+
				"Look at it with `git diff --stat`, prove it with `make test`, and commit it.\n", was, args[0], changed)
			return nil
		},
	}
	cli.Strict(cmd)
	cmd.Flags().StringVar(&dir, "dir", root(), "`DIRECTORY` of the checkout")
	return cmd
}

// root is the checkout that the command runs in: the directory itself, or the one above it for `go -C scripts run`.
func root() string {
	if _, err := os.Stat("Pulumi.yaml"); err == nil {
		return "."
	}
	return filepath.Clean("..")
}
