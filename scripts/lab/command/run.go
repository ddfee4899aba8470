package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/setups"
	"k3s-aws-auth/scripts/lab/internal/program"
)

// row is one setup's line of the table.
type row struct {
	up      *upResult
	checked *verification
	total   float64
}

func runCommand() *cobra.Command {
	var setup, project string
	var plugins map[string]string
	var changes program.Changes
	var keep, skip, existing bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Deploy, prove, verify and take down setups, one after the other",
		Example: `  lab run --setup all
  lab run --setup roles-anywhere --keep
  lab run --setup irsa-s3 --existing
  lab run --stack prod
  lab run --setup irsa-s3 --config injection=admission-policy`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := stackSetup(cmd, project, changes.Stack, &setup); err != nil {
				return err
			}
			list, err := chosen(setup, true)
			if err != nil {
				return err
			}
			if err := settleProject(&project, plugins); err != nil {
				return err
			}
			return runAll(cmd.Context(), list, project, plugins, changes, keep, skip, existing)
		},
	}
	setupFlag(cmd, &setup, setups.All, true)
	stackFlag(cmd, &changes.Stack)
	configFlag(cmd, &changes.Values)
	existingFlag(cmd, &existing)
	projectFlag(cmd, &project)
	pluginFlag(cmd, &plugins)
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the labs running")
	cmd.Flags().BoolVar(&skip, "skip-verify", false, "prove the identities only: no wrong callers, no second update, no search for secrets")
	return cmd
}

func runAll(ctx context.Context, setups []string, project string, plugins map[string]string, changes program.Changes, keep, skip, existing bool) error {
	if _, err := tools(ctx, project, plugins, setups...); err != nil {
		return err
	}
	var rows []row
	for _, s := range setups {
		start := time.Now()
		r := row{up: &upResult{Setup: s}}
		args := []string{"up", "--setup", s, "--json"}
		if changes.Stack != "" {
			args = append(args, "--stack", changes.Stack)
		}
		for _, value := range changes.Values {
			args = append(args, "--config", value)
		}
		if existing {
			args = append(args, "--existing")
		}
		args = append(args, projectArgs(project, plugins)...)
		err := child(ctx, r.up, args...)
		if err == nil && !skip {
			r.checked = &verification{}
			err = child(ctx, r.checked, "verify", "--setup", s, "--json")
		}
		if err == nil && !keep {
			err = child(ctx, &struct{}{}, "down", "--setup", s, "--json")
		}
		if err != nil {
			table(os.Stdout, rows)
			return fmt.Errorf("%s: %w", s, err)
		}
		r.total = seconds(start)
		rows = append(rows, r)
	}
	table(os.Stdout, rows)
	return nil
}

// child runs another command of this program in a process of its own: each lab has its own environment. Its output is
// decoded into result.
func child(ctx context.Context, result any, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("lab %s: %w", args[0], err)
	}
	if err := json.Unmarshal(out, result); err != nil {
		return errors.Join(fmt.Errorf("lab %s printed no JSON", args[0]), err)
	}
	return nil
}

// table prints what was proven.
func table(out io.Writer, rows []row) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SETUP\tIDENTITY\tCALLER ARN\tSESSION NAME\tPUT OBJECT\tREFUSED\tRESOURCES\tUP (S)\tTOTAL (S)")
	for _, r := range rows {
		refused, total := "-", "-"
		if r.checked != nil {
			refused = fmt.Sprint(len(r.checked.Refused))
		}
		if r.total > 0 {
			total = fmt.Sprintf("%.1f", r.total)
		}
		for _, i := range r.up.Identities {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%.1f\t%s\n", r.up.Setup, i.Name, i.CallerARN, i.SessionName,
				i.PutObject, refused, r.up.Resources, r.up.Seconds, total)
		}
	}
	w.Flush()
}
