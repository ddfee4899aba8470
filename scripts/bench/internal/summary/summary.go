// Package summary turns the rows of a benchmark into one entry for each case, and compares them with the targets.
package summary

import (
	"fmt"
	"math"
	"slices"

	"k3s-aws-auth/scripts/bench/internal/runs"
	"k3s-aws-auth/scripts/bench/internal/stats"
	"k3s-aws-auth/scripts/internal/setups"
)

// Baseline is the name of the setup that others are compared with: the first whose pods need no more than their machine
// has; empty where none is like that.
func Baseline(list setups.List) string {
	if plain := list.Where(setups.Setup.PresentsMetadata); len(plain) > 0 {
		return plain[0].Name
	}
	return ""
}

// Metric is a duration of a run, in seconds.
type Metric struct {
	Name, Title string
	Of          func(*runs.Row) float64
}

// Metrics are all that is summarised, the one of the targets first.
var Metrics = []Metric{
	{"start_to_answer", "app container's start to STS's answer", func(r *runs.Row) float64 { return r.StartToAnswer() }},
	{"scheduled_to_answer", "pod bound to a node to STS's answer, with volumes, network and init containers", func(r *runs.Row) float64 { return r.Answered - r.Scheduled }},
	{"apply_to_answer", "pod created to STS's answer", func(r *runs.Row) float64 { return r.Answered }},
}

// Ratio compares a case's median with the baseline's.
type Ratio struct {
	Value float64
	CI    stats.Interval
}

// Entry is what was measured of a case by one metric.
type Entry struct {
	Metric Metric
	Values []float64
	stats.Summary
	// Ratio is of the medians; nil for the baseline and where there is none.
	Ratio *Ratio
}

// Phase is a part of a case's time: the median over its runs.
type Phase struct {
	Name    string
	Seconds float64
}

// Case is the summary of a case.
type Case struct {
	Name, Setup, Client, Helper, Keys, Image, Version string
	// Runs succeeded, Failed did not; neither counts the warm-up.
	Runs, Failed int
	Errors       []string
	Entries      []Entry
	Phases       []Phase
	// Calls are medians over the runs; Observed says whether there are any.
	Observed                                                                 bool
	Metadata, STS, CreateSession, Documents, Misses, Connections, RoundTrips float64
	// DocumentRuns is how many runs made AWS fetch the issuer's documents.
	DocumentRuns int
}

// Summarize makes the summaries, in the order of the project's setups and then of appearance. A case of another setup is
// an error.
func Summarize(rows []*runs.Row, list setups.List, seed uint64) ([]*Case, error) {
	var cases []*Case
	byName := map[string]*Case{}
	all := map[string][]*runs.Row{}
	for _, r := range rows {
		c := byName[r.Case]
		if c == nil {
			if _, err := list.Get(r.Setup); err != nil {
				return nil, fmt.Errorf("case %s: %w", r.Case, err)
			}
			c = &Case{Name: r.Case, Setup: r.Setup, Client: r.Client, Helper: r.Helper, Keys: r.Keys, Image: r.Image}
			byName[r.Case] = c
			cases = append(cases, c)
		}
		if r.Version != "" {
			c.Version = r.Version
		}
		switch {
		case r.OK():
			all[r.Case] = append(all[r.Case], r)
		case !r.Warmup:
			c.Failed++
			if !slices.Contains(c.Errors, r.Error) && len(c.Errors) < 5 {
				c.Errors = append(c.Errors, r.Error)
			}
		}
	}
	for _, c := range cases {
		c.summarize(all[c.Name], seed)
	}
	baseline := Baseline(list)
	for _, c := range cases {
		c.compare(cases, baseline, seed)
	}
	slices.SortStableFunc(cases, func(a, b *Case) int { return list.Rank(a.Setup) - list.Rank(b.Setup) })
	return cases, nil
}

func (c *Case) summarize(rows []*runs.Row, seed uint64) {
	c.Runs = len(rows)
	for _, m := range Metrics {
		e := Entry{Metric: m, Values: finite(rows, m.Of)}
		e.Summary = stats.Summarize(e.Values, seed)
		c.Entries = append(c.Entries, e)
	}
	c.Phases = phases(rows)
	median := func(f func(*runs.Row) int) float64 {
		return stats.Median(finite(rows, func(r *runs.Row) float64 { return float64(f(r)) }))
	}
	for _, r := range rows {
		c.Observed = c.Observed || r.Observed
		if r.Calls.Documents > 0 {
			c.DocumentRuns++
		}
	}
	c.Metadata = median(func(r *runs.Row) int { return r.Calls.Metadata })
	c.STS = median(func(r *runs.Row) int { return r.Calls.STS })
	c.CreateSession = median(func(r *runs.Row) int { return r.Calls.CreateSession })
	c.Documents = median(func(r *runs.Row) int { return r.Calls.Documents })
	c.Misses = median(func(r *runs.Row) int { return r.Calls.EdgeMisses })
	c.Connections = median(func(r *runs.Row) int { return r.Calls.Connections })
	c.RoundTrips = median(func(r *runs.Row) int { return r.Calls.RoundTrips })
}

// compare sets the ratios to the baseline with the same client.
func (c *Case) compare(cases []*Case, baseline string, seed uint64) {
	base := baselineOf(cases, baseline, c.Client)
	if base == nil || base == c {
		return
	}
	for i := range c.Entries {
		e, b := &c.Entries[i], base.Entries[i]
		if len(e.Values) > 0 && len(b.Values) > 0 {
			e.Ratio = &Ratio{e.Median / b.Median,
				stats.BootstrapRatio(e.Values, b.Values, stats.Median, stats.Confidence, stats.Resamples, seed)}
		}
	}
}

// baselineOf is the first case of the baseline's setup with a client.
func baselineOf(cases []*Case, baseline, client string) *Case {
	for _, c := range cases {
		if c.Setup == baseline && c.Client == client {
			return c
		}
	}
	return nil
}

// phases are the medians of the parts of the runs that were observed in all their instants, up to where they were.
func phases(rows []*runs.Row) []Phase {
	parts := []struct {
		name string
		of   func(*runs.Row) float64
	}{
		{"scheduled", func(r *runs.Row) float64 { return r.Scheduled }},
		{"containers started", func(r *runs.Row) float64 { return r.Started - r.Scheduled }},
		{"credentials obtained", func(r *runs.Row) float64 { return r.Credentials - r.Started }},
		{"STS answered", func(r *runs.Row) float64 { return r.STS - r.Credentials }},
		{"client ended", func(r *runs.Row) float64 { return r.Answered - r.STS }},
	}
	if !slices.ContainsFunc(rows, func(r *runs.Row) bool { return r.Observed }) {
		parts = append(parts[:2], struct {
			name string
			of   func(*runs.Row) float64
		}{"STS answered", func(r *runs.Row) float64 { return r.StartToAnswer() }})
	}
	var out []Phase
	for _, p := range parts {
		out = append(out, Phase{p.name, stats.Median(finite(rows, p.of))})
	}
	return out
}

func finite(rows []*runs.Row, of func(*runs.Row) float64) []float64 {
	values := []float64{}
	for _, r := range rows {
		if v := of(r); !math.IsNaN(v) && !math.IsInf(v, 0) {
			values = append(values, v)
		}
	}
	return values
}
