package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/deployer"
	"k3s-aws-auth/scripts/internal/stackfile"
)

func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return cli.Usage(fmt.Errorf("needs one stack file such as Pulumi.lab.yaml, found %d arguments", len(args)))
	}
	return nil
}

func root() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "preflight <stack file>",
		Short: "Say what an account lacks for a stack, before the first `pulumi up`",
		Long: `preflight reads a stack's file and asks AWS, with the credentials of your environment, whether the account has what the
stack needs: quotas, zones with the instance types and endpoints, S3's account-level Block Public Access, the hosted zone,
a trail for alarms, and what the caller may do. It reads only, and says everything at once. What AWS does not let it see
is unknown, with how to find out.

Exit codes: 0 nothing is missing, 1 something is or a check could not begin, 2 wrong command line.`,
		Example: `  preflight Pulumi.try.yaml
  preflight Pulumi.prod.yaml --json
  preflight policy Pulumi.prod.yaml --account 111122223333`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			stack, err := stackfile.Read(args[0])
			if err != nil {
				return err
			}
			cfg, err := config.LoadDefaultConfig(cmd.Context(), config.WithRegion(stack.Config.Region))
			if err != nil {
				return err
			}
			return check(cmd, stack, real{cfg}, asJSON)
		},
	}
	cli.Strict(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON list")
	cmd.AddCommand(policies())
	return cmd
}

func check(cmd *cobra.Command, stack *stackfile.Stack, aws account, asJSON bool) error {
	c := &checker{aws: aws, stack: stack, cfg: stack.Config}
	if err := c.run(cmd.Context()); err != nil {
		return err
	}
	out, lacking := cmd.OutOrStdout(), 0
	for _, f := range c.findings {
		if f.Status == missing {
			lacking++
		}
		if !asJSON {
			write(out, f)
		}
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(c.findings); err != nil {
			return err
		}
	}
	if lacking > 0 {
		return fmt.Errorf("%d of %d checks found something missing", lacking, len(c.findings))
	}
	return nil
}

func write(w io.Writer, f finding) {
	fmt.Fprintf(w, "%-8s %s: %s\n", f.Status, f.Check, f.Found)
	if f.Do != "" {
		fmt.Fprintf(w, "         %s\n", f.Do)
	}
}

var accountPattern = regexp.MustCompile(`^[0-9]{12}$`)

func policies() *cobra.Command {
	var id, phase string
	cmd := &cobra.Command{
		Use:   "policy <stack file>",
		Short: "Print the IAM policies that a stack's deployer needs, from the resources that the stack makes",
		Long: `policy works out from a stack's file which resources of AWS it makes, and prints the policies that allow exactly what
making them calls (--phase up), or reading, changing and deleting them later (--phase later): one JSON document a line, each
small enough for a managed policy. It never calls AWS.

Whoever has them can make roles for pods, with any policy: give permissionsBoundary, so that no role exceeds it.`,
		Example: `  preflight policy Pulumi.try.yaml --account 111122223333 > up.json
  preflight policy Pulumi.try.yaml --account 111122223333 --phase later > later.json`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !accountPattern.MatchString(id) {
				return cli.Usage(fmt.Errorf("--account is %q, must be the 12 digits of the account", id))
			}
			if phase != string(deployer.Up) && phase != string(deployer.Later) {
				return cli.Usage(fmt.Errorf("--phase is %q, must be up or later", phase))
			}
			stack, err := stackfile.Read(args[0])
			if err != nil {
				return err
			}
			types, err := deployer.Types(cmd.Context(), stack.Name, id, stack.Values, stack.Secrets...)
			if err != nil {
				return err
			}
			documents, err := deployer.Policies(types, site(stack.Config, id), deployer.Phase(phase))
			if err != nil {
				return err
			}
			for _, d := range documents {
				text, err := d.JSON()
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), text)
			}
			return nil
		},
	}
	cli.Strict(cmd)
	cmd.Flags().StringVar(&id, "account", "", "the account that is deployed to")
	cmd.Flags().StringVar(&phase, "phase", string(deployer.Up), "up or later")
	return cmd
}
