package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuantile(t *testing.T) {
	ten := []float64{10, 1, 9, 2, 8, 3, 7, 4, 6, 5}
	for _, c := range []struct {
		name   string
		values []float64
		p      float64
		want   float64
	}{
		{"minimum", ten, 0, 1},
		{"maximum", ten, 1, 10},
		{"median of an even number", ten, 0.5, 5.5},
		{"p90 by R: quantile(1:10, .9)", ten, 0.9, 9.1},
		{"p95 by R: quantile(1:10, .95)", ten, 0.95, 9.55},
		{"median of an odd number", []float64{3, 1, 2}, 0.5, 2},
		{"one value", []float64{7}, 0.95, 7},
		{"p below zero", ten, -1, 1},
		{"p above one", ten, 2, 10},
	} {
		t.Run(c.name, func(t *testing.T) { require.InDelta(t, c.want, Quantile(c.values, c.p), 1e-12) })
	}
	require.True(t, math.IsNaN(Quantile(nil, 0.5)))
	require.True(t, math.IsNaN(Quantile(ten, math.NaN())))
	require.Equal(t, []float64{10, 1, 9, 2, 8, 3, 7, 4, 6, 5}, ten, "the values are left as they were")
}

// The "p95" of ten runs in the published comparison is the largest of them; a percentile is not.
func TestP95IsNotTheMaximum(t *testing.T) {
	runs := []float64{2.3, 2.6, 3.1, 3.6, 3.9, 4.0, 5.0, 5.5, 13.4, 13.68}
	require.Less(t, Quantile(runs, 0.95), 13.68)
}

func TestMean(t *testing.T) {
	require.InDelta(t, 2.5, Mean([]float64{1, 2, 3, 4}), 1e-12)
	require.True(t, math.IsNaN(Mean(nil)))
}

func TestBootstrap(t *testing.T) {
	constant := []float64{2, 2, 2, 2}
	require.Equal(t, Interval{2, 2}, Bootstrap(constant, Median, 0.95, 100, 1))
	values := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	a, b := Bootstrap(values, Mean, 0.95, 2000, 7), Bootstrap(values, Mean, 0.95, 2000, 7)
	require.Equal(t, a, b, "the seed decides")
	require.NotEqual(t, a, Bootstrap(values, Mean, 0.95, 2000, 8))
	require.Less(t, a.Low, 5.5)
	require.Greater(t, a.High, 5.5)
	narrow := Bootstrap(values, Mean, 0.5, 2000, 7)
	require.Less(t, narrow.High-narrow.Low, a.High-a.Low, "less confidence, a narrower interval")
	// The standard error of this mean is 0.908: a 95 % interval is about ±1.78.
	require.InDelta(t, 5.5-1.78, a.Low, 0.25)
	require.InDelta(t, 5.5+1.78, a.High, 0.25)
	require.True(t, math.IsNaN(Bootstrap(nil, Mean, 0.95, 10, 1).Low))
	require.True(t, math.IsNaN(Bootstrap(values, Mean, 0.95, 0, 1).Low))
}

// Of many intervals about 95 % hold the true median.
func TestBootstrapCovers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	held := 0
	const samples = 200
	for i := range samples {
		values := make([]float64, 40)
		for k := range values {
			values[k] = r.NormFloat64()
		}
		if in := Bootstrap(values, Median, 0.95, 400, uint64(i)); in.Low <= 0 && in.High >= 0 {
			held++
		}
	}
	require.InDelta(t, 0.95, float64(held)/samples, 0.05)
}

func TestBootstrapRatio(t *testing.T) {
	a, b := []float64{2, 2, 2}, []float64{1, 1, 1}
	require.Equal(t, Interval{2, 2}, BootstrapRatio(a, b, Median, 0.95, 50, 1))
	require.True(t, math.IsNaN(BootstrapRatio(a, nil, Median, 0.95, 50, 1).Low))
}

func TestSummarize(t *testing.T) {
	s := Summarize([]float64{4, 1, 3, 2}, 1)
	require.Equal(t, 4, s.N)
	require.Equal(t, []float64{1, 2.5, 2.5, 4}, []float64{s.Min, s.Median, s.Mean, s.Max})
	require.LessOrEqual(t, s.MedianCI.Low, s.Median)
	require.GreaterOrEqual(t, s.P95CI.High, s.P95)
	empty := Summarize(nil, 1)
	require.Zero(t, empty.N)
	require.True(t, math.IsNaN(empty.Median))
}

func TestPeakRate(t *testing.T) {
	require.Equal(t, 3, PeakRate([]float64{5, 0, 0.5, 0.99, 1, 2.5}, 1), "0, 0.5 and 0.99; the window is half-open")
	require.Equal(t, 1, PeakRate([]float64{0, 1, 2}, 1))
	require.Zero(t, PeakRate(nil, 1))
}

func FuzzQuantile(f *testing.F) {
	f.Add(1.0, 2.0, 3.0, 0.5)
	f.Fuzz(func(t *testing.T, a, b, c, p float64) {
		values := []float64{a, b, c}
		for _, v := range append(values, p) {
			if math.IsNaN(v) || math.Abs(v) > 1e150 {
				t.Skip()
			}
		}
		q := Quantile(values, p)
		if q < slices.Min(values) || q > slices.Max(values) {
			t.Fatalf("quantile %v of %v is %v", p, values, q)
		}
	})
}
