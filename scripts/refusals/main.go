// Command refusals tries to get in where nobody may: with forged and stolen tokens, certificates, signatures and
// sessions, at the metadata service, the issuer's bucket and its CDN. Each try must be refused, with AWS's own error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/setups"
)

func main() { cli.Main(command()) }

type options struct {
	setup  string
	only   []string
	list   bool
	asJSON bool
	keep   bool
	here   bool
	stack  string
	lab    string
	config []string
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "refusals",
		Short: "Hold a stack against callers who must be refused",
		Long: `Refusals tries callers that must not get in: each case is wrong in exactly one way, and passes when it is refused
with the code (and the text, where AWS documents one) that it names. Before the cases of a setup, the right credential
must be accepted: else its refusals would prove nothing.

A setup whose lab runs is tried there. For others a lab is started, and taken down again. What a case makes (roles,
providers, buckets, trust anchors, pods) it removes.`,
		Example: `  refusals                                     all cases of all four setups
  refusals --setup irsa-s3 --keep              one setup; its lab goes on
  refusals --only token-,jwks                  cases whose names contain one of these
  refusals --list                              what there is, and which error each case must get
  eval "$(lab env)"; refusals --here           the stack that this shell's variables lead to
  refusals --setup roles-anywhere --config injection=admission-policy --only injection-
  refusals --json | jq '.[] | select(.ok|not)' what was not refused as it must`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	cli.Strict(cmd)
	f := cmd.Flags()
	f.StringVar(&o.setup, "setup", setups.All, setups.Usage()+" or "+setups.All)
	f.StringSliceVar(&o.only, "only", nil, "only cases whose names contain one of these, separated by commas")
	f.BoolVar(&o.list, "list", false, "list the cases and try none")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON list on standard output")
	f.BoolVar(&o.keep, "keep", false, "leave the labs running that were started")
	f.BoolVar(&o.here, "here", false, "use this shell's AWS, Kubernetes and Pulumi variables, and start no lab")
	f.StringVar(&o.stack, "stack", "organization/k3s-aws-auth/lab", "the stack's full name in Pulumi's backend")
	f.StringArrayVar(&o.config, "config", nil, "key=value of the configuration of labs that are started (repeatable)")
	f.StringVar(&o.lab, "lab", "", "the lab's program; built by `go run` where empty")
	return cmd
}

func run(ctx context.Context, o options) error {
	all, err := setups.Load(filepath.Join(scriptsDir(), ".."))
	if err != nil {
		return err
	}
	chosen, err := all.Choose(o.setup)
	if err != nil {
		return cli.Usage(err)
	}
	wanted := map[string][]Case{}
	total := 0
	for _, s := range chosen {
		wanted[s.Name] = casesOf(s, o.only)
		total += len(wanted[s.Name])
	}
	if total == 0 {
		return cli.Usage(fmt.Errorf("--only %s: no case of %s has such a name; --list shows them", strings.Join(o.only, ","), o.setup))
	}
	if o.list {
		return list(os.Stdout, chosen, wanted, o.asJSON)
	}
	results, err := tryAll(ctx, o, chosen, wanted)
	if o.asJSON {
		return errors.Join(err, json.NewEncoder(os.Stdout).Encode(results))
	}
	return errors.Join(err, show(os.Stdout, results))
}

// list prints the cases by setup.
func list(w io.Writer, chosen setups.List, wanted map[string][]Case, asJSON bool) error {
	type entry struct {
		Setup, Name, What, Code, Message string
	}
	entries := []entry{}
	for _, s := range chosen {
		for _, c := range wanted[s.Name] {
			entries = append(entries, entry{s.Name, c.Name, c.What, c.Code, c.Text})
		}
	}
	if asJSON {
		return json.NewEncoder(w).Encode(entries)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SETUP\tCASE\tMUST GET\tWHAT IS TRIED")
	for _, e := range entries {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", e.Setup, e.Name, e.Code, e.What)
	}
	return t.Flush()
}

// show prints what came of each case, and the count.
func show(w io.Writer, results []Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	wrong := 0
	for _, r := range results {
		mark := "refused"
		if !r.OK {
			mark = "WRONG"
			wrong++
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", mark, r.Setup, r.Name, shorten(r.Got))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d cases, %d refused as they must, %d not\n", len(results), len(results)-wrong, wrong)
	return err
}

// shorten keeps a line of the table readable; --json has the whole text.
func shorten(s string) string {
	const most = 140
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
