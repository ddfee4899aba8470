// Command rotate changes the keys, issuers and certificate authorities of a stack step by step, so that no call fails, and
// shuts certificates and identities out.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/rotate/internal/walk"
	"k3s-aws-auth/stacks/config"
)

func main() { cli.Main(root(os.Stdin, os.Stdout)) }

// options are what all commands take.
type options struct {
	mode
	dir, stack, lab string
	in              io.Reader
	out             io.Writer
}

func root(in io.Reader, out io.Writer) *cobra.Command {
	o := &options{in: in, out: out}
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Rotate keys, issuers and CAs, and shut certificates and identities out, without a call that fails",
		Long: `Each step edits the stack's file, shows what "pulumi preview" and the review say, runs "pulumi up", and looks at the
world until the step holds. The next step comes when what the last one changed has reached everybody.

All that is known is in the stack's file, in its history in Pulumi's backend, and in the world: a command that was killed,
anywhere, is run again, on any machine, and goes on.`,
		Example: `  rotate key 2026-11 --plan                  phases and waits; nothing is changed
  rotate key 2026-11                         all of it, which takes a day
  rotate key 2026-11 --step --yes            as much as may be done now, for a daily job
  rotate key 2026-11 --edit                  edits the file alone, for a pull request
  rotate key 2026-11 --abort                 back to the key before
  rotate issuer cdn --domain oidc.example.com --hosted-zone Z0123456789ABCDEFGHIJ
  rotate ca 2036
  rotate leaf uploader                       a new certificate, with a new key
  rotate revoke 4f1c0e                       no new session for a certificate
  rotate suspend uploader                    nobody is this identity any more
  rotate --lab irsa-s3 key 2                 in a running lab`,
	}
	cli.Strict(cmd)
	f := cmd.PersistentFlags()
	f.StringVar(&o.dir, "dir", "", "`DIRECTORY` of the Pulumi project; the one around, where it is left out")
	f.StringVar(&o.stack, "stack", "", "`NAME` of the stack; $PULUMI_STACK or the selected one, where it is left out")
	f.StringVar(&o.lab, "lab", "", "`SETUP` of a running lab, whose stack it is")
	f.BoolVar(&o.plan, "plan", false, "show phases, waits and why, and change nothing")
	f.BoolVar(&o.step, "step", false, "one phase at most, and do not wait: say when the next one may be")
	f.BoolVar(&o.edit, "edit", false, "edit the stack's file for the next phase, and apply nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask before each update")
	f.BoolVar(&o.danger, "accept-danger", false, "go on where the review says danger")
	f.StringVar(&o.review, "review", "", "the review's `PROGRAM`; built from this repository, where it is left out")
	cmd.AddCommand(setCommand(o, "key", "the key that signs ServiceAccount tokens"), issuerCommand(o),
		setCommand(o, "ca", "the certificate authority of the identities' certificates"),
		leafCommand(o), revokeCommand(o), unrevokeCommand(o), suspendCommand(o), resumeCommand(o))
	return cmd
}

// setCommand rotates a set.
func setCommand(o *options, name, what string) *cobra.Command {
	var abort bool
	cmd := &cobra.Command{
		Use:     name + " NAME",
		Short:   "Rotate " + what,
		Long:    "Makes NAME, a new name, the only member of the set: " + what + ". With --abort it goes back to the one before.",
		Example: "  rotate " + name + " 2026-11 --plan\n  rotate " + name + " 2026-11",
		Args:    oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.rotate(cmd.Context(), kinds[name], walk.Goal{Name: args[0], Abort: abort}, nil)
		},
	}
	cli.Strict(cmd)
	cmd.Flags().BoolVar(&abort, "abort", false, "go back to the member before NAME, as far as that is safe")
	return cmd
}

func issuerCommand(o *options) *cobra.Command {
	var abort bool
	var m member
	cmd := &cobra.Command{
		Use:   "issuer NAME",
		Short: "Rotate the issuer of ServiceAccount tokens",
		Long: `Makes NAME the only issuer. A new one is behind CloudFront where it has a domain (setup irsa-cloudfront), else in a
public bucket (setup irsa-s3). With --abort it goes back to the one before.`,
		Example: "  rotate issuer cdn --domain oidc.example.com --dns external --plan\n  rotate issuer bucket2",
		Args:    oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if m.domain == "" && (m.zone != "" || cmd.Flags().Changed("dns")) {
				return cli.Usage(errors.New("--dns and --hosted-zone are of a --domain"))
			}
			return o.rotate(cmd.Context(), kinds["issuer"], walk.Goal{Name: args[0], Abort: abort}, map[string]member{args[0]: m})
		},
	}
	cli.Strict(cmd)
	f := cmd.Flags()
	f.BoolVar(&abort, "abort", false, "go back to the issuer before NAME, as far as that is safe")
	f.StringVar(&m.domain, "domain", "", "`HOST` of a new issuer behind CloudFront")
	f.StringVar(&m.dns, "dns", config.DNSRoute53, "who makes its records: route53 or external")
	f.StringVar(&m.zone, "hosted-zone", "", "`ID` of the Route 53 zone of --domain")
	f.StringVar(&m.bucket, "bucket", "", "`NAME` of its bucket; the program names it, where it is left out")
	return cmd
}

func oneName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return cli.Usage(fmt.Errorf("%s takes one name, found %q", cmd.Name(), args))
	}
	set := []keyset.Member{{Name: args[0], State: keyset.Active}}
	for _, problem := range keyset.Validate(set, 1) {
		return cli.Usage(fmt.Errorf("%s NAME: found %q: must be %s", cmd.Name(), args[0], problem.Must))
	}
	return nil
}

func (o *options) rotate(ctx context.Context, k *kind, goal walk.Goal, fresh map[string]member) error {
	if o.step && o.edit || o.plan && (o.step || o.edit) {
		return cli.Usage(errors.New("--plan, --step and --edit exclude each other"))
	}
	p, err := here(ctx, o.dir, o.stack, o.lab, o.out)
	if err != nil {
		return err
	}
	r := &rotation{place: p, mode: o.mode, kind: k, goal: goal, fresh: fresh, in: o.in}
	return r.walk(ctx)
}
