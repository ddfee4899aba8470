package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/review/internal/settings"
)

func setupCommand(stdin io.Reader, stdout io.Writer) *cobra.Command {
	var export, checked string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "setup (--export OWNER/REPOSITORY | --check FILE)",
		Short: "What a repository must set on GitHub, and whether it does",
		Long: `The workflows hold only where the repository's settings keep a pull request from changing its judge: rulesets,
code owners, environments, permissions and variables. --export prints these settings as JSON, by "gh api" with the
login that gh has (an administrator's, or who may bypass the rules is not shown). --check reads such an export, needs no
network, and says what is missing: exit code 1 where anything is. What the export does not have counts as missing.`,
		Example: `  review setup --export example/k3s-aws-auth > settings.json
  review setup --check settings.json
  review setup --export example/k3s-aws-auth | review setup --check -`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (export == "") == (checked == "") {
				return cli.Usage(errors.New("give one of --export OWNER/REPOSITORY and --check FILE"))
			}
			if export != "" {
				all, err := settings.Collect(cmd.Context(), settings.GitHub, export)
				if err != nil {
					return err
				}
				encoder := json.NewEncoder(stdout)
				encoder.SetIndent("", "  ")
				return encoder.Encode(all)
			}
			var data []byte
			var err error
			if checked == "-" {
				data, err = io.ReadAll(stdin)
			} else {
				data, err = os.ReadFile(checked)
			}
			if err != nil {
				return err
			}
			e, err := settings.Parse(data)
			if err != nil {
				return err
			}
			return report(stdout, settings.Check(e), asJSON)
		},
	}
	cmd.Flags().StringVar(&export, "export", "", "print the settings of `OWNER/REPOSITORY` as JSON")
	cmd.Flags().StringVar(&checked, "check", "", "`FILE` with such an export; - for standard input")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object on standard output")
	return cmd
}

// report prints findings and is an error where one of them is more than advice.
func report(stdout io.Writer, findings []settings.Finding, asJSON bool) error {
	missing := 0
	for _, f := range findings {
		if !f.Advice {
			missing++
		}
	}
	if asJSON {
		if findings == nil {
			findings = []settings.Finding{}
		}
		if err := json.NewEncoder(stdout).Encode(map[string]any{"missing": missing, "findings": findings}); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			kind := "missing"
			if f.Advice {
				kind = "advice"
			}
			if _, err := fmt.Fprintf(stdout, "%s: %s: found %s; set: %s\n", kind, f.Setting, f.Found, f.Set); err != nil {
				return err
			}
		}
		if missing == 0 {
			if _, err := fmt.Fprintln(stdout, "nothing is missing"); err != nil {
				return err
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d settings are missing", missing)
	}
	return nil
}
