package summary

import (
	"encoding/csv"
	"io"
	"math"
	"strconv"
)

// WriteCSV writes one line for each case and metric. Times are in seconds.
func WriteCSV(w io.Writer, cases []*Case) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"case", "setup", "client", "helper", "keys", "metric", "n", "failed", "min_s", "median_s", "median_low_s", "median_high_s",
		"p90_s", "p90_low_s", "p90_high_s", "p95_s", "p95_low_s", "p95_high_s", "mean_s", "mean_low_s", "mean_high_s", "max_s",
		"ratio", "ratio_low", "ratio_high"}); err != nil {
		return err
	}
	for _, c := range cases {
		for _, e := range c.Entries {
			line := []string{c.Name, c.Setup, c.Client, c.Helper, c.Keys, e.Metric.Name, strconv.Itoa(e.N), strconv.Itoa(c.Failed)}
			for _, v := range []float64{e.Min, e.Median, e.MedianCI.Low, e.MedianCI.High, e.P90, e.P90CI.Low, e.P90CI.High,
				e.P95, e.P95CI.Low, e.P95CI.High, e.Mean, e.MCI.Low, e.MCI.High, e.Max} {
				line = append(line, number(v))
			}
			ratio := []float64{math.NaN(), math.NaN(), math.NaN()}
			if e.Ratio != nil {
				ratio = []float64{e.Ratio.Value, e.Ratio.CI.Low, e.Ratio.CI.High}
			}
			for _, v := range ratio {
				line = append(line, number(v))
			}
			if err := out.Write(line); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func number(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'f', 4, 64)
}

// JSON is the machine-readable form of the summaries; what is unknown is null.
func JSON(cases []*Case, targets []Target) any {
	type entry map[string]any
	out := struct {
		Cases   []entry `json:"cases"`
		Targets []entry `json:"targets"`
	}{[]entry{}, []entry{}}
	for _, c := range cases {
		metrics := entry{}
		for _, e := range c.Entries {
			m := entry{"n": e.N, "median": null(e.Median), "medianLow": null(e.MedianCI.Low), "medianHigh": null(e.MedianCI.High),
				"p90": null(e.P90), "p95": null(e.P95), "mean": null(e.Mean), "min": null(e.Min), "max": null(e.Max)}
			if e.Ratio != nil {
				m["ratio"], m["ratioLow"], m["ratioHigh"] = null(e.Ratio.Value), null(e.Ratio.CI.Low), null(e.Ratio.CI.High)
			}
			metrics[e.Metric.Name] = m
		}
		phases := entry{}
		for _, p := range c.Phases {
			phases[p.Name] = null(p.Seconds)
		}
		o := entry{"case": c.Name, "setup": c.Setup, "client": c.Client, "helper": c.Helper, "keys": c.Keys, "runs": c.Runs, "failed": c.Failed,
			"errors": c.Errors, "seconds": metrics, "phases": phases}
		if c.Observed {
			o["calls"] = entry{"metadata": null(c.Metadata), "sts": null(c.STS), "createSession": null(c.CreateSession), "issuerDocuments": null(c.Documents),
				"connections": null(c.Connections), "roundTrips": null(c.RoundTrips), "runsThatFetchedDocuments": c.DocumentRuns}
		}
		out.Cases = append(out.Cases, o)
	}
	for _, t := range targets {
		out.Targets = append(out.Targets, entry{"target": t.Text, "limit": t.Limit, "value": null(t.Value), "low": null(t.CI.Low), "high": null(t.CI.High), "met": t.Met})
	}
	return out
}

func null(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return math.Round(v*1e6) / 1e6
}
