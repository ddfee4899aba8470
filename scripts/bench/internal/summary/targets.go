package summary

import (
	"math"

	"k3s-aws-auth/scripts/bench/internal/stats"
	"k3s-aws-auth/scripts/internal/setups"
)

// Target is a bound that a benchmark is held against: Value ≤ Limit.
type Target struct {
	Text         string
	Limit, Value float64
	// CI is the value's 95 % interval.
	CI  stats.Interval
	Met bool
}

// limits of the median from the app container's start to STS's answer, relative to the baseline, with the AWS CLI. The
// published comparison's own ratios were 0.8, 1.25 and 1.9, of the whole time from apply.
var limits = map[string]float64{setups.Token: 1.15, setups.Certificate: 1.3}

// tail is the limit of the 95th percentile where a CDN has the issuer's documents, relative to that where a bucket does.
const tail = 1.2

// Targets compares the cases with the targets. Those whose cases were not measured are absent, and setups whose pods
// present what no limit is known for have none.
func Targets(cases []*Case, list setups.List, seed uint64) []Target {
	plain := func(setup string) *Case {
		for _, c := range cases {
			if c.Setup == setup && c.Client == "cli" && c.Keys == "" && len(c.Entries) > 0 && c.Entries[0].N > 0 && c.isDefault() {
				return c
			}
		}
		return nil
	}
	var out []Target
	for _, s := range list {
		limit, has := limits[s.Presents]
		if c := plain(s.Name); has && c != nil && c.Entries[0].Ratio != nil {
			r := c.Entries[0].Ratio
			out = append(out, Target{"median of " + s.Name + " / median of " + Baseline(list), limit, r.Value, r.CI, r.Value <= limit})
		}
	}
	p95 := func(v []float64) float64 { return stats.Quantile(v, 0.95) }
	for _, near := range list.Where(setups.Setup.IssuerIsBucket) {
		for _, far := range list.Where(setups.Setup.IssuerIsDistribution) {
			bucket, cdn := plain(near.Name), plain(far.Name)
			if bucket == nil || cdn == nil {
				continue
			}
			a, b := cdn.Entries[0].Values, bucket.Entries[0].Values
			value := p95(a) / p95(b)
			out = append(out, Target{"p95 of " + far.Name + " / p95 of " + near.Name, tail, value,
				stats.BootstrapRatio(a, b, p95, stats.Confidence, stats.Resamples, seed), !math.IsNaN(value) && value <= tail})
		}
	}
	return out
}

// isDefault tells the case of a setup as the program has it from one with changes: its name begins with the setup's,
// with the client behind it where there are several.
func (c *Case) isDefault() bool { return c.Name == c.Setup || c.Name == c.Setup+"/"+c.Client }
