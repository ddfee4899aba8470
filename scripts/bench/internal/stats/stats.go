// Package stats has the few statistics of the benchmarks, as pure functions.
package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Quantile returns the p-quantile of values, 0 ≤ p ≤ 1, by linear interpolation between the two order statistics
// around (n-1)p: type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), the default of R and
// NumPy. It is NaN without values. The values may be in any order and are left as they are.
func Quantile(values []float64, p float64) float64 {
	return sortedQuantile(slices.Sorted(slices.Values(values)), p)
}

func sortedQuantile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 || math.IsNaN(p) {
		return math.NaN()
	}
	h := float64(len(sorted)-1) * min(max(p, 0), 1)
	i := int(math.Floor(h))
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (h-float64(i))*(sorted[i+1]-sorted[i])
}

// Median is the 0.5-quantile.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Mean is the arithmetic mean, NaN without values.
func Mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Interval is a range that holds the true value with some confidence.
type Interval struct{ Low, High float64 }

// Bootstrap returns the percentile bootstrap interval of a statistic (Efron and Tibshirani, "An Introduction to the
// Bootstrap", 1993, chapter 13): the statistic of many samples that are drawn from the values with replacement, of which
// the middle part is kept. confidence is 0.95 for a 95 % interval; the same seed gives the same interval. It is NaN
// without values.
func Bootstrap(values []float64, statistic func([]float64) float64, confidence float64, resamples int, seed uint64) Interval {
	return bootstrap(func(r *rand.Rand) float64 { return statistic(resample(r, values)) }, len(values), confidence, resamples, seed)
}

// BootstrapRatio returns the interval of statistic(values)/statistic(baseline); both are drawn from independently.
func BootstrapRatio(values, baseline []float64, statistic func([]float64) float64, confidence float64, resamples int, seed uint64) Interval {
	return bootstrap(func(r *rand.Rand) float64 { return statistic(resample(r, values)) / statistic(resample(r, baseline)) },
		min(len(values), len(baseline)), confidence, resamples, seed)
}

func bootstrap(draw func(*rand.Rand) float64, n int, confidence float64, resamples int, seed uint64) Interval {
	if n == 0 || resamples < 1 {
		return Interval{math.NaN(), math.NaN()}
	}
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a repeatable resampling, not a secret
	drawn := make([]float64, resamples)
	for i := range drawn {
		drawn[i] = draw(r)
	}
	slices.Sort(drawn)
	tail := (1 - confidence) / 2
	return Interval{sortedQuantile(drawn, tail), sortedQuantile(drawn, 1-tail)}
}

func resample(r *rand.Rand, values []float64) []float64 {
	out := make([]float64, len(values))
	for i := range out {
		out[i] = values[r.IntN(len(values))]
	}
	return out
}

// Parameters of the intervals in summaries.
const (
	Confidence = 0.95
	Resamples  = 5000
)

// Summary describes one sample. Times are in the unit of the values.
type Summary struct {
	N                           int
	Min, Median, P90, P95, Max  float64
	Mean                        float64
	MedianCI, P90CI, P95CI, MCI Interval
}

// Summarize computes a summary; without values everything but N is NaN.
func Summarize(values []float64, seed uint64) Summary {
	sorted := slices.Sorted(slices.Values(values))
	interval := func(f func([]float64) float64) Interval { return Bootstrap(sorted, f, Confidence, Resamples, seed) }
	quantile := func(p float64) func([]float64) float64 {
		return func(v []float64) float64 { return Quantile(v, p) }
	}
	return Summary{
		N: len(sorted), Min: sortedQuantile(sorted, 0), Median: sortedQuantile(sorted, 0.5), P90: sortedQuantile(sorted, 0.9),
		P95: sortedQuantile(sorted, 0.95), Max: sortedQuantile(sorted, 1), Mean: Mean(sorted),
		MedianCI: interval(Median), P90CI: interval(quantile(0.9)), P95CI: interval(quantile(0.95)), MCI: interval(Mean),
	}
}

// PeakRate returns the largest number of instants (in seconds, in any order) within any half-open window of the given
// length in seconds.
func PeakRate(instants []float64, window float64) int {
	sorted := slices.Sorted(slices.Values(instants))
	peak, first := 0, 0
	for i, t := range sorted {
		for t-sorted[first] >= window {
			first++
		}
		peak = max(peak, i-first+1)
	}
	return peak
}
