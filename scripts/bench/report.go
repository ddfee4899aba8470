package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/bench/internal/chart"
	"k3s-aws-auth/scripts/bench/internal/latency"
	"k3s-aws-auth/scripts/bench/internal/report"
	"k3s-aws-auth/scripts/bench/internal/runs"
	"k3s-aws-auth/scripts/bench/internal/summary"
	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/setups"
)

// Files of a result.
const (
	runsFile    = "runs.csv"
	summaryFile = "summary.csv"
	reportFile  = "report.md"
)

func reportCommand() *cobra.Command {
	var dir, profile string
	var asJSON, check bool
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Make summary, charts and report again from runs.csv",
		Example: `  bench report --dir out
  bench report --dir out --json --check`,
		RunE: func(*cobra.Command, []string) error {
			if dir == "" {
				return cli.Usage(errors.New("--dir: is required"))
			}
			var p *latency.Profile
			if profile != "" {
				var err error
				if p, err = latency.Read(profile); err != nil {
					return cli.Usage(err)
				}
			}
			res, err := makeReport(dir, p, "")
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(os.Stdout).Encode(res.json())
			} else {
				res.print(os.Stdout)
			}
			if err == nil && check {
				err = res.missed()
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory of the results")
	cmd.Flags().StringVar(&profile, "latency", "", "the latency profile that was in force, to show it")
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 where a target is missed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object on standard output")
	return cmd
}

// result is a finished report.
type result struct {
	cases    []*summary.Case
	baseline string
	targets  []summary.Target
	dir      string
}

// makeReport makes all files of a result from its runs.
func makeReport(dir string, profile *latency.Profile, command string) (*result, error) {
	rows, err := runs.Read(filepath.Join(dir, runsFile))
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s has no runs", filepath.Join(dir, runsFile))
	}
	seed := uint64(rows[0].Seed)
	list, err := setups.Around()
	if err != nil {
		return nil, err
	}
	cases, err := summary.Summarize(rows, list, seed)
	if err != nil {
		return nil, err
	}
	res := &result{cases: cases, baseline: summary.Baseline(list), targets: summary.Targets(cases, list, seed), dir: dir}
	if err := write(filepath.Join(dir, summaryFile), func(w io.Writer) error { return summary.WriteCSV(w, res.cases) }); err != nil {
		return nil, err
	}
	var charts []string
	for i, m := range summary.Metrics {
		files, err := chart.Points(res.cases, i, m.Title+": every run", dir, m.Name)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			charts = append(charts, files...)
		}
	}
	files, err := chart.Phases(res.cases, "median of each phase", dir, "phases")
	if err != nil {
		return nil, err
	}
	r := &report.ColdStart{Rows: rows, Cases: res.cases, Baseline: res.baseline, Targets: res.targets, Charts: append(charts, files...), Profile: profile, Command: command}
	return res, write(filepath.Join(dir, reportFile), r.Write)
}

func write(path string, f func(io.Writer) error) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return f(out)
}

func (r *result) json() any {
	return struct {
		Dir    string `json:"dir"`
		Result any    `json:"result"`
	}{r.dir, summary.JSON(r.cases, r.targets)}
}

// print shows the measure of the targets.
func (r *result) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "CASE\tN\tFAILED\tMEDIAN\tP90\tP95\tMEAN\tRATIO\tROUND TRIPS\tFROM APPLY")
	for _, c := range r.cases {
		e, ratio, trips := c.Entries[0], "1", "–"
		if e.Ratio != nil {
			ratio = fmt.Sprintf("%.2f (%.2f–%.2f)", e.Ratio.Value, e.Ratio.CI.Low, e.Ratio.CI.High)
		} else if c.Setup != r.baseline {
			ratio = "–"
		}
		if c.Observed && !math.IsNaN(c.RoundTrips) {
			trips = fmt.Sprintf("%.0f", c.RoundTrips)
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%.3f s\t%.3f s\t%.3f s\t%.3f s\t%s\t%s\t%.3f s\n", c.Name, e.N, c.Failed, e.Median, e.P90, e.P95, e.Mean, ratio, trips,
			c.Entries[len(c.Entries)-1].Median)
	}
	_ = w.Flush()
	for _, t := range r.targets {
		verdict := "missed"
		if t.Met {
			verdict = "met"
		}
		_, _ = fmt.Fprintf(out, "target %s ≤ %.2f: %.2f (%.2f–%.2f), %s\n", t.Text, t.Limit, t.Value, t.CI.Low, t.CI.High, verdict)
	}
	_, _ = fmt.Fprintf(out, "report: %s\n", filepath.Join(r.dir, reportFile))
}

// missed is an error that names the targets that were missed.
func (r *result) missed() error {
	var errs []error
	for _, t := range r.targets {
		if !t.Met {
			errs = append(errs, fmt.Errorf("target missed: %s is %.2f, must be at most %.2f", t.Text, t.Value, t.Limit))
		}
	}
	return errors.Join(errs...)
}
