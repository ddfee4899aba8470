package main

import (
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/review/internal/comment"
	"k3s-aws-auth/scripts/review/internal/drift"
	"k3s-aws-auth/scripts/review/internal/impact"
	"k3s-aws-auth/scripts/review/internal/preview"
	"k3s-aws-auth/scripts/review/internal/verdict"
)

func driftCommand(stdout io.Writer) *cobra.Command {
	var previewFile, stack, out string
	var account bool
	cmd := &cobra.Command{
		Use:   "drift --preview FILE --stack NAME",
		Short: "What AWS has that the program does not say, judged as a change by whoever made it",
		Long: `Reads what "pulumi preview --refresh --json --show-sames" prints for a program that has not changed, and turns it
around: what somebody has added by hand is a gain. --account also reads the stack's roles in IAM for policies that are no
resources of the stack, which a refresh does not see; it needs AWS credentials that may read IAM.

Exit code 0 where AWS is as the program says, 1 where it is not.`,
		Example: `  pulumi preview --refresh --json --show-sames > drift.json
  review drift --preview drift.json --stack prod --account --out drift.md`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if previewFile == "" || stack == "" {
				return cli.Usage(fmt.Errorf("--preview FILE and --stack NAME are needed, found %q and %q", previewFile, stack))
			}
			data, err := bounded(previewFile)
			if err != nil {
				return err
			}
			turned, err := drift.Reverse(data)
			if err != nil {
				return err
			}
			if account {
				cfg, err := config.LoadDefaultConfig(cmd.Context())
				if err != nil {
					return err
				}
				if _, err := turned.Account(cmd.Context(), iam.NewFromConfig(cfg)); err != nil {
					return err
				}
			}
			if data, err = turned.JSON(); err != nil {
				return err
			}
			p, err := preview.Parse(data, nil)
			if err != nil {
				return err
			}
			r := impact.Review(p)
			if want := verdict.StackName(stack); r.Stack != want {
				return fmt.Errorf("the preview is of stack %q, not of %q", r.Stack, want)
			}
			text := driftHead(account) + comment.Markdown(r)
			if out == "" {
				_, err = io.WriteString(stdout, text)
			} else {
				err = os.WriteFile(out, []byte(text), 0o600)
			}
			if err != nil {
				return err
			}
			differ := len(r.Resources)
			if differ == 0 && r.Verdict == impact.Quiet {
				return nil
			}
			return fmt.Errorf("AWS differs from the program in %d resources; the verdict is %s", differ, r.Verdict)
		},
	}
	f := cmd.Flags()
	f.StringVar(&previewFile, "preview", "", "`FILE` with what pulumi preview --refresh --json --show-sames printed")
	f.StringVar(&stack, "stack", "", "`NAME` of the stack")
	f.BoolVar(&account, "account", false, "read the stack's roles in AWS for policies that are not in the stack")
	f.StringVar(&out, "out", "", "`FILE` for the comment, in place of standard output")
	return cmd
}

func driftHead(account bool) string {
	text := "What AWS has, beside what the program says: \"to create\" and \"may now also\" are what somebody has added, and \"to delete\" and \"may no longer\" what somebody has taken away.\n"
	if !account {
		text += "Policies that are not in the stack were not looked for (`--account`).\n"
	}
	return text + "\n"
}
