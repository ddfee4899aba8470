// Package report writes the benchmarks' reports in Markdown.
package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/bench/internal/latency"
	"k3s-aws-auth/scripts/bench/internal/runs"
	"k3s-aws-auth/scripts/bench/internal/stats"
	"k3s-aws-auth/scripts/bench/internal/summary"
)

// ColdStart is what a report of cold starts is made of.
type ColdStart struct {
	Rows  []*runs.Row
	Cases []*summary.Case
	// Baseline is the setup that others are compared with.
	Baseline string
	Targets  []summary.Target
	// Charts are file names beside the report.
	Charts []string
	// Profile is nil where none was in force, or the report is made from the file alone.
	Profile *latency.Profile
	// Command is how the runs were made, if known.
	Command string
}

// Write writes the report.
func (c *ColdStart) Write(out io.Writer) error {
	w := &writer{w: out}
	w.line("# Cold start: from a new pod to the first answer of STS\n")
	c.environment(w)
	c.results(w)
	c.targets(w)
	c.phases(w)
	c.calls(w)
	c.profile(w)
	c.limits(w)
	return w.err
}

type writer struct {
	w   io.Writer
	err error
}

func (w *writer) line(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.w, format+"\n", args...)
	}
}

func (c *ColdStart) has(f func(*runs.Row) bool) bool { return slices.ContainsFunc(c.Rows, f) }

func (c *ColdStart) lab() bool { return c.has(func(r *runs.Row) bool { return r.Where == "lab" }) }

// distinct lists the values of a field over all runs.
func (c *ColdStart) distinct(of func(*runs.Row) string) string {
	var all []string
	for _, r := range c.Rows {
		if v := of(r); v != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (c *ColdStart) environment(w *writer) {
	if len(c.Rows) == 0 {
		w.line("No runs.\n")
		return
	}
	where := "a cluster on AWS"
	if c.lab() {
		where = "**the lab** on one machine: an emulated AWS without distance. These are not AWS's times"
	}
	first, last := c.Rows[0].Began, c.Rows[len(c.Rows)-1].Began
	low, high := math.Inf(1), math.Inf(-1)
	for _, r := range c.Rows {
		if !math.IsNaN(r.Load) {
			low, high = min(low, r.Load), max(high, r.Load)
		}
	}
	w.line("Measured on %s.\n", where)
	w.line("| | |\n|---|---|")
	w.line("| time | %s to %s |", first.UTC().Format("2006-01-02 15:04"), last.UTC().Format("15:04 MST"))
	w.line("| machine of the benchmark | %s, %d CPUs, %s |", c.distinct(func(r *runs.Row) string { return r.CPU }), c.Rows[0].CPUs, c.distinct(func(r *runs.Row) string { return r.OS }))
	if high >= low {
		w.line("| its load average | %.1f to %.1f |", low, high)
	}
	w.line("| Kubernetes | %s |", c.distinct(func(r *runs.Row) string { return r.Kubernetes }))
	w.line("| clients | %s |", c.distinct(func(r *runs.Row) string { return r.Version }))
	w.line("| images | %s, pulled before (`IfNotPresent`) |", c.distinct(func(r *runs.Row) string { return r.Image }))
	if p := c.distinct(func(r *runs.Row) string { return r.Profile }); p != "" {
		w.line("| latency profile | %s |", p)
	}
	w.line("| commit, seed | %s, %d |", c.distinct(func(r *runs.Row) string { return r.Commit }), c.Rows[0].Seed)
	if c.Command != "" {
		w.line("| command | `%s` |", c.Command)
	}
	w.line("")
	w.line("Each run creates a copy of the setup's demo pod, whose app container asks STS who it is, every 200 ms until it answers; " +
		"then the pod is deleted, and the next run begins when it is gone. The cases take turns, each round in a random order of its own. " +
		"Warm-up runs are in the raw data and in no figure.\n")
}

func (c *ColdStart) results(w *writer) {
	for i, m := range summary.Metrics {
		w.line("## %s\n", strings.ToUpper(m.Title[:1])+m.Title[1:])
		w.line("Seconds, with 95 %% intervals; the ratio is of the medians, to `%s` with the same client.\n", c.Baseline)
		w.line("| case | n | failed | median | p90 | p95 | mean | max | ratio |\n|---|---|---|---|---|---|---|---|---|")
		for _, k := range c.Cases {
			e := k.Entries[i]
			ratio := "1"
			if e.Ratio != nil {
				ratio = with(e.Ratio.Value, e.Ratio.CI, 2)
			} else if k.Setup != c.Baseline {
				ratio = "–"
			}
			w.line("| %s | %d | %d | %s | %s | %s | %s | %s | %s |", k.Name, e.N, k.Failed, with(e.Median, e.MedianCI, 3), with(e.P90, e.P90CI, 3),
				with(e.P95, e.P95CI, 3), with(e.Mean, e.MCI, 3), number(e.Max, 3), ratio)
		}
		w.line("")
		if i == 0 {
			for _, chart := range c.Charts {
				if strings.HasSuffix(chart, ".svg") && !strings.Contains(chart, "phases") {
					w.line("![all runs](%s)\n", chart)
				}
			}
		}
	}
	for _, k := range c.Cases {
		if k.Runs == 0 {
			w.line("**%s never succeeded.**\n", k.Name)
		}
		for _, e := range k.Errors {
			w.line("%s failed: `%s`\n", k.Name, strings.ReplaceAll(strings.ReplaceAll(e, "\n", " "), "`", "'"))
		}
	}
}

func (c *ColdStart) targets(w *writer) {
	if len(c.Targets) == 0 {
		return
	}
	w.line("## Targets\n")
	w.line("By the time from the app container's start, with the AWS CLI.\n")
	w.line("| target | at most | measured | |\n|---|---|---|---|")
	for _, t := range c.Targets {
		verdict := "missed"
		switch {
		case t.Met && t.CI.High > t.Limit:
			verdict = "met, but the interval reaches beyond"
		case t.Met:
			verdict = "met"
		}
		w.line("| %s | %.2f | %s | %s |", t.Text, t.Limit, with(t.Value, t.CI, 2), verdict)
	}
	w.line("")
}

func (c *ColdStart) phases(w *writer) {
	var names []string
	for _, k := range c.Cases {
		if len(k.Phases) > len(names) {
			names = names[:0]
			for _, p := range k.Phases {
				names = append(names, p.Name)
			}
		}
	}
	if len(names) == 0 {
		return
	}
	w.line("## Phases\n")
	w.line("Medians of each phase by itself, in seconds; they need not add up to the median of the whole.\n")
	w.line("| case | %s |", strings.Join(names, " | "))
	w.line("|---%s|", strings.Repeat("|---", len(names)))
	for _, k := range c.Cases {
		cells := make([]string, len(names))
		for i := range cells {
			cells[i] = "–"
			if i < len(k.Phases) {
				cells[i] = number(k.Phases[i].Seconds, 3)
			}
		}
		w.line("| %s | %s |", k.Name, strings.Join(cells, " | "))
	}
	w.line("")
	w.line("*Scheduled* ends when a watch of the API server showed it. *Containers started* ends with the app container's first command: " +
		"volumes, network and init containers are in it. *Credentials obtained* begins there: it has the client's own start.\n")
	for _, chart := range c.Charts {
		if strings.HasSuffix(chart, ".svg") && strings.Contains(chart, "phases") {
			w.line("![phases](%s)\n", chart)
		}
	}
}

func (c *ColdStart) calls(w *writer) {
	if !slices.ContainsFunc(c.Cases, func(k *summary.Case) bool { return k.Observed }) {
		return
	}
	w.line("## Calls and round trips\n")
	w.line("Medians of one run, by the record of the lab's AWS, until STS had answered.\n")
	w.line("| case | metadata requests | STS calls | CreateSession | new connections | sequential round trips of the pod | issuer documents that AWS fetched | runs in which it did |")
	w.line("|---|---|---|---|---|---|---|---|")
	for _, k := range c.Cases {
		if k.Observed {
			w.line("| %s | %s | %s | %s | %s | %s | %s | %d of %d |", k.Name, number(k.Metadata, 0), number(k.STS, 0), number(k.CreateSession, 0),
				number(k.Connections, 0), number(k.RoundTrips, 0), number(k.Documents, 0), k.DocumentRuns, k.Runs)
		}
	}
	w.line("")
	w.line("Round trips: one a request, one more for each TCP connection, one more for each TLS 1.3 handshake. Those to the metadata " +
		"service stay on the machine, those to a sidecar of the pod are not counted; DNS comes on top of the others. While AWS fetches the issuer's documents the pod's call waits.\n")
}

func (c *ColdStart) profile(w *writer) {
	if c.Profile == nil {
		return
	}
	w.line("## Latency profile %s\n", c.Profile.Name)
	w.line("| host | new connection | request | source |\n|---|---|---|---|")
	for _, r := range c.Profile.Rules {
		w.line("| `%s` | %g ms | %g ms | %s |", r.Host, r.ConnectMs, r.RequestMs, strings.Join(strings.Fields(r.Source), " "))
	}
	w.line("")
}

func (c *ColdStart) limits(w *writer) {
	w.line("## What these figures cannot say\n")
	if c.lab() {
		w.line("- Everything runs on one machine: pods, API server and the emulated AWS share its processors, and the setups' labs run side by " +
			"side. Absolute times are the machine's; compare cases only.")
		w.line("- The lab's AWS checks what AWS checks, but its own time to do so is not AWS's. Without a latency profile a call costs less than " +
			"a millisecond of network; with one, the delays are constants without spread, so tails are too short.")
		w.line("- When AWS fetches an issuer's documents, and how long it keeps them, is not documented; the lab keeps them for a minute.")
		w.line("- A container is a process in namespaces of its own: no image is unpacked and no containerd is asked, so a pod starts faster than " +
			"on a real node.")
	} else {
		w.line("- The API server's times and the container's come from two clocks: phases across them have the machines' difference in them. " +
			"The time from the app container's start is by one clock.")
		w.line("- When credentials were obtained is not observed on AWS: CloudTrail comes minutes later.")
	}
	w.line("- Percentiles interpolate between order statistics (Hyndman and Fan, type 7). Intervals are percentile bootstraps with %d resamples; "+
		"they describe chance within this session, not what another machine or day would show. With %d runs a case, p95 rests on the few slowest.", stats.Resamples, c.n())
	w.line("- The AWS CLI's own start takes most of the time and hides much of what the setups differ in; the SDK client (`--client sdk`) does not.")
	w.line("- The client's output is polled every 200 ms after a failed attempt, so failed first attempts cost at least that.")
}

// n is the number of runs of the case with the fewest, of those that succeeded at all.
func (c *ColdStart) n() int {
	n := 0
	for _, k := range c.Cases {
		if k.Runs > 0 && (n == 0 || k.Runs < n) {
			n = k.Runs
		}
	}
	return n
}

func number(v float64, digits int) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, v)
}

func with(v float64, ci stats.Interval, digits int) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, v, digits, ci.Low, digits, ci.High)
}
