package summary

import (
	"math"

	"k3s-aws-auth/scripts/bench/internal/stats"
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
var limits = []struct {
	setup string
	limit float64
}{{"irsa-s3", 1.15}, {"irsa-cloudfront", 1.15}, {"roles-anywhere", 1.3}}

// tail is the limit of irsa-cloudfront's 95th percentile relative to that of irsa-s3.
const tail = 1.2

// Targets compares the cases with the targets. Those whose cases were not measured are absent.
func Targets(cases []*Case, seed uint64) []Target {
	plain := func(setup string) *Case {
		for _, c := range cases {
			if c.Setup == setup && c.Client == "cli" && c.Keys == "" && len(c.Entries) > 0 && c.Entries[0].N > 0 && c.isDefault() {
				return c
			}
		}
		return nil
	}
	var out []Target
	for _, l := range limits {
		if c := plain(l.setup); c != nil && c.Entries[0].Ratio != nil {
			r := c.Entries[0].Ratio
			out = append(out, Target{"median of " + l.setup + " / median of " + Baseline, l.limit, r.Value, r.CI, r.Value <= l.limit})
		}
	}
	s3, cf := plain("irsa-s3"), plain("irsa-cloudfront")
	if s3 != nil && cf != nil {
		p95 := func(v []float64) float64 { return stats.Quantile(v, 0.95) }
		a, b := cf.Entries[0].Values, s3.Entries[0].Values
		value := p95(a) / p95(b)
		out = append(out, Target{"p95 of irsa-cloudfront / p95 of irsa-s3", tail, value,
			stats.BootstrapRatio(a, b, p95, stats.Confidence, stats.Resamples, seed), !math.IsNaN(value) && value <= tail})
	}
	return out
}

// isDefault tells the case of a setup as the program has it from one with changes: its name begins with the setup's,
// with the client behind it where there are several.
func (c *Case) isDefault() bool { return c.Name == c.Setup || c.Name == c.Setup+"/"+c.Client }
