package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/bench/internal/chart"
	"k3s-aws-auth/scripts/bench/internal/coldstart"
	"k3s-aws-auth/scripts/bench/internal/latency"
	"k3s-aws-auth/scripts/bench/internal/runs"
	"k3s-aws-auth/scripts/bench/internal/summary"
	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/setups"
)

func sample(where string) []*runs.Row {
	var rows []*runs.Row
	for i, setup := range []string{"instance-profile", "irsa-s3", "irsa-cloudfront", "roles-anywhere"} {
		for n := range 5 {
			s := 1 + 0.1*float64(i) + 0.01*float64(n)
			rows = append(rows, &runs.Row{Environment: runs.Environment{Where: where, CPU: "fast", CPUs: 2, OS: "Linux", Kubernetes: "v1.35.4", Seed: 5},
				Case: setup, Setup: setup, Client: "cli", Image: "cli:1", Version: "aws-cli/2", Load: 0.5, Observed: where == "lab",
				Began:  time.Date(2026, 5, 6, 7, i, n, 0, time.UTC),
				Phases: coldstart.Phases{Scheduled: 0.02, Started: 0.1, Credentials: s, STS: s + 0.01, Answered: s + 0.1}})
		}
	}
	return append(rows, &runs.Row{Case: "broken", Setup: "irsa-s3", Client: "cli", Phases: coldstart.Nowhere(), Load: math.NaN(), Error: "An error\noccurred `x`"})
}

func summarize(t *testing.T, rows []*runs.Row) ([]*summary.Case, setups.List) {
	t.Helper()
	list, err := setups.Around()
	require.NoError(t, err)
	cases, err := summary.Summarize(rows, list, 1)
	require.NoError(t, err)
	return cases, list
}

func text(t *testing.T, rows []*runs.Row, p *latency.Profile) string {
	t.Helper()
	cases, list := summarize(t, rows)
	var out bytes.Buffer
	c := &ColdStart{Rows: rows, Cases: cases, Baseline: summary.Baseline(list), Targets: summary.Targets(cases, list, 1), Charts: []string{"a.svg", "a.png", "phases.svg"}, Profile: p, Command: "bench cold-start"}
	require.NoError(t, c.Write(&out))
	return out.String()
}

func TestColdStart(t *testing.T) {
	p := &latency.Profile{Name: "far", Rules: []latency.Rule{{LatencyRule: labs.LatencyRule{Host: "sts.*", RequestMs: 40}, Source: "a\n measurement"}}}
	got := text(t, sample("lab"), p)
	for _, want := range []string{
		"**the lab** on one machine", "not AWS's times", "| median of irsa-s3 / median of instance-profile | 1.15 | 1.10 (", "| met",
		"| median of roles-anywhere / median of instance-profile | 1.30 | 1.29 (", "broken never succeeded", "broken failed: `An error occurred 'x'`",
		"![all runs](a.svg)", "![phases](phases.svg)", "## Latency profile far", "| `sts.*` | 0 ms | 40 ms | a measurement |",
		"What these figures cannot say", "type 7", "With 5 runs a case", "## Calls and round trips",
	} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, got, "NaN")
	require.NotContains(t, got, "%!")
	aws := text(t, sample("cluster"), nil)
	require.NotContains(t, aws, "the lab")
	require.NotContains(t, aws, "## Calls and round trips")
	require.Contains(t, aws, "two clocks")
	require.NotContains(t, aws, "Latency profile")
	require.Contains(t, text(t, nil, nil), "No runs.")
}

func TestWriteBursts(t *testing.T) {
	b := &Burst{Case: "roles-anywhere", Pods: 20, Failed: 1, StartToAnswer: []float64{1, 2, 3}, ApplyToAnswer: []float64{2, 3, 4},
		Counts:      []coldstart.Count{{What: "rolesanywhere:CreateSession", Calls: 20, Peak: 15}, {What: "sts:GetCallerIdentity", Calls: 30, Peak: 30}},
		Environment: runs.Environment{Where: "lab"}}
	var out bytes.Buffer
	require.NoError(t, WriteBursts(&out, []*Burst{b}))
	require.Contains(t, out.String(), "| roles-anywhere | 20 | 1 | 2.00 | 2.90 | 3.00 | 3.00 | 3.90 | 4.00 |")
	require.Contains(t, out.String(), "| roles-anywhere | sts:GetCallerIdentity | 30 | 1.50 | 0 | 30 |")
	require.Contains(t, out.String(), "asked for 15 sessions within one second")
	b.Counts[0].Peak = 10
	out.Reset()
	require.NoError(t, WriteBursts(&out, []*Burst{b}))
	require.NotContains(t, out.String(), "sessions within one second")
}

// The charts are well-formed and have every point.
func TestCharts(t *testing.T) {
	dir := t.TempDir()
	cases, _ := summarize(t, sample("lab"))
	files, err := chart.Points(cases, 0, "every run", dir, "points")
	require.NoError(t, err)
	require.Equal(t, []string{"points.svg", "points.png"}, files)
	more, err := chart.Phases(cases, "phases", dir, "phases")
	require.NoError(t, err)
	for _, f := range append(files, more...) {
		data, err := os.ReadFile(filepath.Join(dir, f))
		require.NoError(t, err)
		if strings.HasSuffix(f, ".png") {
			image, err := png.Decode(bytes.NewReader(data))
			require.NoError(t, err)
			require.Greater(t, image.Bounds().Dx(), 500)
			continue
		}
		points := 0
		decoder := xml.NewDecoder(bytes.NewReader(data))
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			if e, ok := token.(xml.StartElement); ok {
				for _, a := range e.Attr {
					if a.Name.Local == "style" && strings.Contains(a.Value, "fill-opacity") {
						points++
					}
				}
			}
		}
		if f == "points.svg" {
			require.GreaterOrEqual(t, points, 20)
		}
		require.Contains(t, string(data), "roles-anywhere")
	}
}
