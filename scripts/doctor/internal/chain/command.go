package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/setups"
	"k3s-aws-auth/scripts/internal/stack"
)

// exitUnseen is the exit code where nothing was found, and not everything could be looked at.
const exitUnseen = 2

// Ways to print a report.
const (
	asText  = "text"
	asJSON  = "json"
	asSARIF = "sarif"
)

var outputs = []string{asText, asJSON, asSARIF}

type options struct {
	setup, stack, state, kubeconfig, region string
	noSecrets, noToken, sessions            bool
	from, output                            string
	watch                                   bool
	every                                   time.Duration
}

// what adds the flags that say what to look at.
func (o *options) what(cmd *cobra.Command) {
	cli.Strict(cmd)
	s := cmd.Flags()
	s.StringVar(&o.setup, "setup", "", "look at the running lab of this "+setups.Usage())
	s.StringVar(&o.stack, "stack", "", "full `NAME` of the stack, which the Pulumi CLI exports: its identities are then known without their pods")
	s.StringVar(&o.state, "state", "", "`FILE` that `pulumi stack export` has printed, instead")
	s.StringVar(&o.kubeconfig, "kubeconfig", "", "`FILE` that leads to the cluster; KUBECONFIG where empty")
	s.StringVar(&o.region, "region", "", "region of the stack; that of the environment where empty")
	s.BoolVar(&o.noSecrets, "no-secrets", false, "read no Secrets: certificates in them are then not judged")
	s.BoolVar(&o.sessions, "sessions", false, "ask STS for a session of every identity whose pods present tokens, as such a pod would, and throw it away")
	s.BoolVar(&o.noToken, "no-token", false, "ask for no token: which key signs is then not judged")
}

const whatIsRead = `It reads the cluster of your kubeconfig, the account of your AWS credentials and the issuer's documents, and changes
nothing. Of Secrets it takes the names and public certificates. It asks the API server for one token, for an audience that
nobody takes, reads its claims and throws it away; --no-token and --no-secrets leave these out. With --sessions it also asks for
a token of each identity and for a session with it: CloudTrail then has one named doctor.`

// Commands are `doctor check` and `doctor dump`.
func Commands() []*cobra.Command { return []*cobra.Command{checkCommand(), dumpCommand()} }

func checkCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Walk the chain from pod to AWS for every identity, and say where it breaks",
		Long: `check walks from the pods to AWS: service account, token or certificate, API server, issuer, OIDC provider or trust
anchor, role, machine. Each finding says what was seen, what was expected, what leads to it (the likeliest first) and what
mends it.

` + whatIsRead + `

Exit codes: 0 nothing was found, 1 something was, 2 something could not be looked at (which is printed; what --no-secrets and
--no-token leave out is printed and does not count), or a wrong command line.`,
		Example: `  doctor check                                       the cluster of KUBECONFIG and the account of your AWS credentials
  doctor check --setup irsa-s3                       a running lab
  doctor check --stack organization/k3s-aws-auth/prod --output sarif > doctor.sarif
  doctor check --from dump.json                      without cluster and account
  doctor check --watch --every 1m                    what changes`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.check(cmd) },
	}
	o.what(cmd)
	s := cmd.Flags()
	s.StringVar(&o.from, "from", "", "judge this `FILE` that doctor dump has written, and ask nobody")
	s.StringVar(&o.output, "output", asText, "print as "+strings.Join(outputs, ", "))
	s.BoolVar(&o.watch, "watch", false, "go on, and print what comes and goes")
	s.DurationVar(&o.every, "every", 30*time.Second, "with --watch: how often to look")
	return cmd
}

func dumpCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Write what check looks at as JSON, free of secrets",
		Long: `dump writes what check looks at: whoever has it can judge it with doctor check --from, without cluster and account. It
has names, ARNs, policies, public keys and certificates, and no secret.

` + whatIsRead,
		Example: `  doctor dump > dump.json
  doctor check --from dump.json`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			collect, err := o.collector(cmd.Context())
			if err != nil {
				return err
			}
			return encode(cmd.OutOrStdout(), collect(cmd.Context()))
		},
	}
	o.what(cmd)
	return cmd
}

// collector finds the way to what is looked at. What it returns looks anew each time.
func (o *options) collector(ctx context.Context) (func(context.Context) *Facts, error) {
	if o.from != "" {
		f, err := read(o.from)
		return func(context.Context) *Facts { return f }, err
	}
	if o.stack != "" && o.state != "" {
		return nil, cli.Usage(errors.New("--stack and --state exclude each other"))
	}
	known, err := o.known(ctx)
	if err != nil {
		return nil, err
	}
	var access Access
	if o.setup != "" {
		lab, err := labs.Open("", o.setup)
		if err != nil {
			return nil, err
		}
		access, err = Lab(lab)
		if err != nil {
			return nil, err
		}
	} else if access, err = Here(ctx, o.kubeconfig, o.region); err != nil {
		return nil, err
	}
	access.NoSecrets, access.NoToken, access.Sessions = o.noSecrets, o.noToken, o.sessions
	return func(ctx context.Context) *Facts { return Collect(ctx, access, known) }, nil
}

// known is what the stack or the lab says of itself.
func (o *options) known(ctx context.Context) (*Stack, error) {
	if o.setup == "" && o.stack == "" && o.state == "" {
		return nil, nil
	}
	list, err := setups.Around()
	if err != nil {
		return nil, err
	}
	presents := func(name string) (string, error) {
		s, err := list.Get(name)
		return s.Presents, err
	}
	var export []byte
	switch {
	case o.state != "":
		export, err = os.ReadFile(o.state)
	case o.stack != "":
		export, err = stack.ExportPlain(ctx, o.stack)
	default:
		what, err := presents(o.setup)
		if err != nil {
			err = cli.Usage(err)
		}
		return &Stack{Setup: o.setup, Presents: what}, err
	}
	if err != nil {
		return nil, err
	}
	return FromExport(export, presents)
}

// read reads a dump.
func read(file string) (*Facts, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	f := &Facts{}
	if err := json.Unmarshal(data, f); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if f.Format != Format {
		return nil, fmt.Errorf("%s: format: found %d: must be %d, as doctor dump writes it", file, f.Format, Format)
	}
	return f, nil
}

func (o *options) check(cmd *cobra.Command) error {
	var errs []error
	if !slices.Contains(outputs, o.output) {
		errs = append(errs, fmt.Errorf("--output: found %q: must be one of %s", o.output, strings.Join(outputs, ", ")))
	}
	if o.watch && (o.from != "" || o.output == asSARIF) {
		errs = append(errs, errors.New("--watch looks again and again: it does not go with --from and --output sarif"))
	}
	if o.every < time.Second {
		errs = append(errs, fmt.Errorf("--every: found %s: must be at least 1s", o.every))
	}
	if o.from != "" && (o.setup != "" || o.stack != "" || o.state != "" || o.kubeconfig != "") {
		errs = append(errs, errors.New("--from has all that is looked at: it does not go with --setup, --stack, --state and --kubeconfig"))
	}
	if err := errors.Join(errs...); err != nil {
		return cli.Usage(err)
	}
	collect, err := o.collector(cmd.Context())
	if err != nil {
		var usage cli.UsageError
		if errors.As(err, &usage) {
			return err
		}
		return cli.Exit(err, exitUnseen)
	}
	if o.watch {
		return o.follow(cmd.Context(), cmd.OutOrStdout(), collect)
	}
	r := Examine(collect(cmd.Context()))
	switch o.output {
	case asJSON:
		err = r.JSON(cmd.OutOrStdout())
	case asSARIF:
		err = r.SARIF(cmd.OutOrStdout())
	default:
		r.Text(cmd.OutOrStdout())
	}
	if err != nil {
		return err
	}
	return r.err()
}

// missed are the parts that somebody wanted to be looked at, and that could not be.
func (r *Report) missed() int {
	n := 0
	for _, u := range r.Unseen {
		if !u.Declined {
			n++
		}
	}
	return n
}

// err is what a report makes a command end with.
func (r *Report) err() error {
	switch {
	case len(r.Findings) > 0:
		return fmt.Errorf("%s", count(len(r.Findings), "finding", "findings"))
	case r.missed() > 0:
		return cli.Exit(fmt.Errorf("%s could not be looked at", count(r.missed(), "part", "parts")), exitUnseen)
	case r.Identities == 0:
		return cli.Exit(errors.New("the cluster has no identities: no service account with a role, no pod with a token or certificate for AWS"), exitUnseen)
	}
	return nil
}

// change is what comes or goes between two looks.
type change struct {
	Time    time.Time `json:"time"`
	Gone    bool      `json:"gone,omitempty"`
	Finding *Finding  `json:"finding,omitempty"`
	Unseen  *Unseen   `json:"unseen,omitempty"`
}

// follow looks again and again until it is interrupted, and prints what changes.
func (o *options) follow(ctx context.Context, w io.Writer, collect func(context.Context) *Facts) error {
	before := &Report{}
	for first := true; ; first = false {
		f := collect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		r := Examine(f)
		for _, c := range changes(before, r, f.Taken) {
			if o.output == asJSON {
				if err := json.NewEncoder(w).Encode(c); err != nil {
					return err
				}
				continue
			}
			c.text(w)
		}
		if first && o.output == asText {
			fmt.Fprintf(w, "%s  watching %s with %s\n", f.Taken.Format(time.TimeOnly), count(r.Identities, "identity", "identities"), count(r.Pods, "pod", "pods"))
		}
		if r.missed() > 0 { // what was found before has not gone, as far as anybody can see
			for _, b := range before.Findings {
				if find(r.Findings, b.same) == nil {
					r.Findings = append(r.Findings, b)
				}
			}
		}
		before = r
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(o.every):
		}
	}
}

func (c *change) text(w io.Writer) {
	at := c.Time.Format(time.TimeOnly)
	switch {
	case c.Unseen != nil && c.Gone:
		fmt.Fprintf(w, "%s  can be looked at again: %s\n", at, c.Unseen.What)
	case c.Unseen != nil:
		fmt.Fprintf(w, "%s  cannot be looked at: %s: %s\n", at, c.Unseen.What, c.Unseen.Why)
	case c.Gone:
		fmt.Fprintf(w, "%s  gone: %s, %s\n", at, c.Finding.ID, c.Finding.Where)
	default:
		fmt.Fprintf(w, "%s  ", at)
		c.Finding.Text(w)
	}
}

// same tells whether two looks found the same.
func (f *Finding) same(other *Finding) bool { return f.ID == other.ID && f.Where == other.Where }

// changes are what the second report has and the first had not, and the reverse. What could not be looked at at the second
// look has not gone.
func changes(before, after *Report, at time.Time) (out []change) {
	for i := range after.Findings {
		a := &after.Findings[i]
		if find(before.Findings, a.same) == nil {
			out = append(out, change{Time: at, Finding: a})
		}
	}
	for i := range after.Unseen {
		a := &after.Unseen[i]
		if find(before.Unseen, func(b *Unseen) bool { return a.What == b.What }) == nil {
			out = append(out, change{Time: at, Unseen: a})
		}
	}
	for i := range before.Unseen {
		b := &before.Unseen[i]
		if find(after.Unseen, func(a *Unseen) bool { return a.What == b.What }) == nil {
			out = append(out, change{Time: at, Gone: true, Unseen: b})
		}
	}
	for i := range before.Findings {
		b := &before.Findings[i]
		if len(after.Unseen) == 0 && find(after.Findings, b.same) == nil {
			out = append(out, change{Time: at, Gone: true, Finding: b})
		}
	}
	return out
}
