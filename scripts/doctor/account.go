package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/account"
	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/internal/stack"
)

// errFound says that the account has what has to be mended.
var errFound = errors.New("the account has what has to be mended")

type accountFlags struct {
	stack, state, snapshot, save, picture, theme, kubeconfig, stateBucket, region string
	issuers, anchors, known                                                       []string
	asJSON                                                                        bool
}

func accountCommand() *cobra.Command {
	var f accountFlags
	cmd := &cobra.Command{
		Use:   "account",
		Short: "Say who in the AWS account can be whom: what the cluster can become, and who could make its identities",
		Long: `account reads the account's IAM, OIDC providers, trust anchors and profiles, and the policies of the issuer's and the
state's buckets, with the AWS credentials of your environment. It changes nothing. It compares them with what the stack made
(its export), and says which roles pods can become, what the stack did not make among that, what was attached by hand, which
trust is broader than one identity, and who else could read the keys or change what vouches for the pods.

Without a stack, --issuer and --anchor tell what to look for in the account of any cluster.

Exit codes: 0 nothing has to be mended, 1 something has, or it could not be read, 2 wrong command line.`,
		Example: `  doctor account --stack organization/k3s-aws-auth/prod --state-bucket my-pulumi-state
  doctor account --state export.json --known 'arn:aws:iam::111122223333:role/deployer-*' --picture account.svg
  doctor account --issuer oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE
  doctor account --state export.json --save snapshot.json      read once,
  doctor account --state export.json --snapshot snapshot.json  judge later, without AWS`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	cli.Strict(cmd)
	s := cmd.Flags()
	s.StringVar(&f.stack, "stack", "", "full `NAME` of the stack, which the Pulumi CLI exports")
	s.StringVar(&f.state, "state", "", "`FILE` that `pulumi stack export` has printed, instead")
	s.StringArrayVar(&f.issuers, "issuer", nil, "`URL` of a cluster's issuer, where there is no stack")
	s.StringArrayVar(&f.anchors, "anchor", nil, "`ARN` of a trust anchor, where there is no stack")
	s.StringArrayVar(&f.known, "known", nil, "`PATTERN` of ARNs that are accepted: deployers, operators, roles of other stacks")
	s.StringVar(&f.stateBucket, "state-bucket", "", "`NAME` of the bucket of the stack's state")
	s.StringVar(&f.region, "region", "", "region of the stack; that of the environment where empty")
	s.StringVar(&f.snapshot, "snapshot", "", "judge this `FILE` instead of asking AWS")
	s.StringVar(&f.save, "save", "", "`FILE` to write what was read to")
	s.StringVar(&f.picture, "picture", "", "`FILE` to draw pods, roles and permissions in (SVG)")
	s.StringVar(&f.theme, "theme", "light", "colours of the picture: light or dark")
	s.StringVar(&f.kubeconfig, "kubeconfig", "", "`FILE` by which the cluster's pods are listed for the picture")
	s.BoolVar(&f.asJSON, "json", false, "print one JSON object")
	return cmd
}

func (f accountFlags) check() error {
	var errs []error
	given := 0
	for _, some := range []bool{f.stack != "", f.state != "", len(f.issuers)+len(f.anchors) > 0} {
		if some {
			given++
		}
	}
	if given != 1 {
		errs = append(errs, fmt.Errorf("one of --stack, --state and (--issuer, --anchor) is needed, found %d", given))
	}
	if f.theme != "light" && f.theme != "dark" {
		errs = append(errs, fmt.Errorf("--theme is %q, must be light or dark", f.theme))
	}
	if f.snapshot != "" && f.save != "" {
		errs = append(errs, errors.New("--snapshot and --save exclude each other"))
	}
	return errors.Join(errs...)
}

func (f accountFlags) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return cli.Usage(err)
	}
	made, err := f.read(cmd)
	if err != nil {
		return err
	}
	snapshot, err := f.gather(cmd, made)
	if err != nil {
		return err
	}
	if made.Foreign {
		made.LookFor(snapshot, f.issuers, f.anchors)
	}
	report := account.Analyze(snapshot, made, f.known...)
	if f.picture != "" {
		pods, err := f.pods(cmd)
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.picture, report.Picture(pods, f.theme == "dark"), 0o644); err != nil {
			return err
		}
	}
	if f.asJSON {
		err = report.JSON(cmd.OutOrStdout())
	} else {
		report.Text(cmd.OutOrStdout())
	}
	if err == nil && report.Failed() {
		err = errFound
	}
	if err == nil && len(snapshot.Missing) > 0 {
		err = fmt.Errorf("not all of the account could be read: %s", strings.Join(snapshot.Missing, "; "))
	}
	return err
}

// read is what the stack made.
func (f accountFlags) read(cmd *cobra.Command) (*account.Stack, error) {
	var export []byte
	var err error
	switch {
	case f.state != "":
		export, err = os.ReadFile(f.state)
	case f.stack != "":
		export, err = stack.ExportPlain(cmd.Context(), f.stack)
	default:
		return &account.Stack{Foreign: true}, nil
	}
	if err != nil {
		return nil, err
	}
	return account.FromState(export)
}

func (f accountFlags) gather(cmd *cobra.Command, made *account.Stack) (*account.Snapshot, error) {
	if f.snapshot != "" {
		data, err := os.ReadFile(f.snapshot)
		if err != nil {
			return nil, err
		}
		s := &account.Snapshot{}
		if err := json.Unmarshal(data, s); err != nil {
			return nil, fmt.Errorf("%s: %w", f.snapshot, err)
		}
		if f.stateBucket != "" {
			made.StateBucket(f.stateBucket, s.Partition)
		}
		return s, nil
	}
	cfg, err := config.LoadDefaultConfig(cmd.Context())
	if err != nil {
		return nil, err
	}
	if f.region != "" {
		cfg.Region = f.region
	}
	if f.stateBucket != "" {
		made.StateBucket(f.stateBucket, "aws")
	}
	s, err := account.Gather(cmd.Context(), cfg, made.BucketNames()...)
	if err != nil || f.save == "" {
		return s, err
	}
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return nil, err
	}
	return s, os.WriteFile(f.save, data, 0o600)
}

// pods lists the cluster's, where a kubeconfig leads to it.
func (f accountFlags) pods(cmd *cobra.Command) ([]account.PodOf, error) {
	if f.kubeconfig == "" {
		return nil, nil
	}
	cluster, err := kube.Connect(f.kubeconfig)
	if err != nil {
		return nil, err
	}
	return account.Pods(cmd.Context(), cluster.Client)
}
