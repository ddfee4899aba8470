package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/doctor/internal/causes"
	"k3s-aws-auth/scripts/internal/cli"
)

// errUnknown says that the catalogue does not have a text.
var errUnknown = errors.New("no cause is known for this text: see docs/causes.md for those that are")

func explainCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain <error text>",
		Short: "Say what an error of AWS, an SDK or the kubelet means, with or without a cluster",
		Long: `explain finds in a pasted error what AWS, an SDK, the credential helper or the kubelet says in it, and prints what leads to
that, the likeliest first, how each is told from the others, and what mends it. It asks neither AWS nor a cluster. Of several
messages in one text AWS's own goes first. With "-" it reads the text from standard input.

Exit codes: 0 a cause is known, 1 none is, 2 wrong command line.`,
		Example: `  doctor explain "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"
  kubectl logs uploader | doctor explain -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usage(errors.New("explain needs the text of an error, or - for standard input"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			text := strings.Join(args, " ")
			if text == "-" {
				data, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
				if err != nil {
					return err
				}
				text = string(data)
			}
			return explain(cmd.OutOrStdout(), text, asJSON)
		},
	}
	cli.Strict(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON list")
	return cmd
}

type explained struct {
	ID      string            `json:"id"`
	Says    string            `json:"says"`
	From    string            `json:"from"`
	Values  map[string]string `json:"values,omitempty"`
	Reasons []causes.Reason   `json:"causes"`
	Page    string            `json:"page"`
}

func explain(w io.Writer, text string, asJSON bool) error {
	found := causes.Explain(text)
	if asJSON {
		list := []explained{}
		for _, m := range found {
			list = append(list, explained{m.Cause.ID, m.Cause.Says, m.Cause.From, m.Values, m.Cause.Reasons, pageOf(m.Cause)})
		}
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(list); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		return errUnknown
	}
	if asJSON {
		return nil
	}
	for i, m := range found {
		if i == 0 {
			writeCause(w, m)
			continue
		}
		if i == 1 {
			fmt.Fprintln(w, "\nThe text also says:")
		}
		fmt.Fprintf(w, "  %s (%s): %s\n", m.Cause.ID, m.Cause.From, m.Cause.Reasons[0].Why)
	}
	return nil
}

func writeCause(w io.Writer, m causes.Match) {
	fmt.Fprintf(w, "%s, said by %s:\n  %s\n", m.Cause.ID, m.Cause.From, m.Cause.Says)
	for _, name := range slices.Sorted(maps.Keys(m.Values)) {
		fmt.Fprintf(w, "  %s: %s\n", name, m.Values[name])
	}
	fmt.Fprintln(w)
	for i, r := range m.Cause.Reasons {
		fmt.Fprintf(w, "%d. %s\n   look: %s\n   do:   %s\n", i+1, r.Why, r.Look, r.Do)
	}
	fmt.Fprintf(w, "\nMore: %s and docs/%s\n", pageOf(m.Cause), m.Cause.Page)
}

// pageOf is where docs have the cause.
func pageOf(c *causes.Cause) string { return "docs/causes.md#" + c.ID }
