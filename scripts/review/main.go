// Command review tells a reviewer what a change of a stack does to who can do what. It reads what `pulumi preview --json`
// prints and writes a comment for the pull request, or JSON. It needs no network and no credentials.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/review/internal/comment"
	"k3s-aws-auth/scripts/review/internal/impact"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// errFound says that the review found what --fail-on names.
var errFound = errors.New("the review found what --fail-on names")

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the command with its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := command(stdin, stdout)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return cli.Run(context.Background(), cmd, stderr)
}

func command(stdin io.Reader, stdout io.Writer) *cobra.Command {
	var previewFile, stateFile, accountFile, out, failOn, stack string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "review --preview FILE",
		Short: "What a change of a stack does to who can do what",
		Long: `Reads what "pulumi preview --json" prints and writes a comment for the pull request: what each identity gains and
loses, who can be it, and what is dangerous about the change, with the safe way.

Give the preview --show-sames, or this command --state (what "pulumi stack export" prints): a role's policies that do
not change are part of what it may do.`,
		Example: `  pulumi preview --json --show-sames > preview.json
  review --preview preview.json                          the comment on standard output
  review --preview preview.json --out comment.md --fail-on danger
  review --preview preview.json --json                   the same for machines
  review --preview preview.json --account account.json   with what "doctor account --json" printed
  pulumi preview --json --show-sames | review --preview -`,
		Args: cli.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if previewFile == "" {
				return cli.Usage(errors.New("--preview is missing: a file with what `pulumi preview --json` prints, or -"))
			}
			level := impact.Level(failOn)
			if failOn != "" && level != impact.Danger && level != impact.Warning {
				return cli.Usage(fmt.Errorf("--fail-on: found %q: must be danger or warning", failOn))
			}
			report, err := review(stdin, previewFile, stateFile)
			if err != nil {
				return err
			}
			if report.Stack == "" { // a preview that failed before its first resource
				report.Stack = stack
			}
			about, err := account(accountFile)
			if err != nil {
				return err
			}
			if err := write(report, about, stdout, out, asJSON); err != nil {
				return err
			}
			if failOn != "" && report.Reaches(level) {
				return fmt.Errorf("%w: the verdict is %s", errFound, report.Verdict)
			}
			return nil
		},
	}
	cmd.AddCommand(subcommands(stdin, stdout)...)
	cli.Strict(cmd)
	cmd.Flags().StringVar(&previewFile, "preview", "", "`FILE` with what pulumi preview --json prints; - for standard input")
	cmd.Flags().StringVar(&stateFile, "state", "", "`FILE` with what pulumi stack export prints; not needed with --show-sames")
	cmd.Flags().StringVar(&accountFile, "account", "", accountUsage)
	cmd.Flags().StringVar(&out, "out", "", "`FILE` for the comment, in place of standard output")
	cmd.Flags().StringVar(&stack, "stack", cmp.Or(os.Getenv("PULUMI_STACK"), "lab"), "`NAME` of the stack, for a preview that failed before it named one; $PULUMI_STACK where that is set")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object on standard output")
	cmd.Flags().StringVar(&failOn, "fail-on", "", "exit with 1 where the review finds a `LEVEL` or worse: danger, warning")
	return cmd
}

func review(stdin io.Reader, previewFile, stateFile string) (*impact.Report, error) {
	var data []byte
	var err error
	if previewFile == "-" {
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(previewFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read the preview: %w", err)
	}
	var state []byte
	if stateFile != "" {
		if state, err = os.ReadFile(stateFile); err != nil {
			return nil, fmt.Errorf("read the state: %w", err)
		}
	}
	p, err := preview.Parse(data, state)
	if err != nil {
		return nil, err
	}
	p.Now = time.Now()
	return impact.Review(p), nil
}

// write writes the comment, or the report as JSON, which says nothing of the account: `doctor account --json` is that.
func write(report *impact.Report, account []byte, stdout io.Writer, out string, asJSON bool) error {
	text := comment.Markdown(report)
	if account != nil {
		text += comment.Account(account)
	}
	if out != "" {
		if err := os.WriteFile(out, []byte(text), 0o600); err != nil {
			return err
		}
	} else if !asJSON {
		if _, err := io.WriteString(stdout, text); err != nil {
			return err
		}
	}
	if asJSON {
		return json.NewEncoder(stdout).Encode(report)
	}
	return nil
}
