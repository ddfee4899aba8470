package summary

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/bench/internal/coldstart"
	"k3s-aws-auth/scripts/bench/internal/runs"
	"k3s-aws-auth/scripts/internal/setups"
)

// row is a run that took seconds from the app container's start, 0.1 s after the pod was created.
func row(name, setup, client string, seconds float64) *runs.Row {
	p := coldstart.Phases{Created: 0.01, Scheduled: 0.02, Network: 0.05, Started: 0.1, Credentials: 0.1 + seconds/2, STS: 0.1 + seconds*0.75, Answered: 0.1 + seconds}
	return &runs.Row{Case: name, Setup: setup, Client: client, Phases: p, Observed: true, Calls: coldstart.Calls{STS: 2, RoundTrips: 6}}
}

func rows(name, setup, client string, seconds ...float64) (out []*runs.Row) {
	for _, s := range seconds {
		out = append(out, row(name, setup, client, s))
	}
	return out
}

const base = "instance-profile"

// project are the project's own setups.
func project(t *testing.T) setups.List {
	t.Helper()
	list, err := setups.Around()
	require.NoError(t, err)
	return list
}

func summarize(t *testing.T, rows []*runs.Row) []*Case {
	t.Helper()
	cases, err := Summarize(rows, project(t), 1)
	require.NoError(t, err)
	return cases
}

func TestSummarize(t *testing.T) {
	all := rows("irsa-s3", "irsa-s3", "cli", 2, 3, 4)
	all = append(all, rows(base, base, "cli", 1, 2, 3)...)
	warm := row("irsa-s3", "irsa-s3", "cli", 99)
	warm.Warmup, warm.Version = true, "aws-cli/2"
	failed := row("irsa-s3", "irsa-s3", "cli", math.NaN())
	failed.Error = "no answer"
	cases := summarize(t, append(all, warm, failed, failed))
	require.Equal(t, []string{base, "irsa-s3"}, []string{cases[0].Name, cases[1].Name}, "the baseline first")
	s3 := cases[1]
	require.Equal(t, []int{3, 2}, []int{s3.Runs, s3.Failed})
	require.Equal(t, []string{"no answer"}, s3.Errors)
	require.Equal(t, "aws-cli/2", s3.Version)
	require.InDelta(t, 3, s3.Entries[0].Median, 1e-9, "neither warm-up nor failures count")
	require.InDelta(t, 3.08, s3.Entries[1].Median, 1e-9)
	require.InDelta(t, 3.1, s3.Entries[2].Median, 1e-9)
	require.InDelta(t, 1.5, s3.Entries[0].Ratio.Value, 1e-9)
	require.Nil(t, cases[0].Entries[0].Ratio, "the baseline is not compared with itself")
	require.Equal(t, []float64{2, 6}, []float64{s3.STS, s3.RoundTrips})
	names := []string{}
	for _, p := range s3.Phases {
		names = append(names, p.Name)
	}
	require.Equal(t, []string{"scheduled", "containers started", "credentials obtained", "STS answered", "client ended"}, names)
	require.InDelta(t, 0.08, s3.Phases[1].Seconds, 1e-9)
}

func TestRatioIsToTheSameClient(t *testing.T) {
	all := append(rows("instance-profile/cli", base, "cli", 1), rows("instance-profile/sdk", base, "sdk", 0.1)...)
	all = append(all, rows("irsa-s3/sdk", "irsa-s3", "sdk", 0.2)...)
	all = append(all, rows("hop", base, "cli", 3)...)
	byName := map[string]*Case{}
	for _, c := range summarize(t, all) {
		byName[c.Name] = c
	}
	require.InDelta(t, 2, byName["irsa-s3/sdk"].Entries[0].Ratio.Value, 1e-9)
	require.Nil(t, byName["instance-profile/sdk"].Entries[0].Ratio)
	require.InDelta(t, 3, byName["hop"].Entries[0].Ratio.Value, 1e-9, "a variant of the baseline is compared with it")
	require.Nil(t, summarize(t, rows("irsa-s3", "irsa-s3", "cli", 1))[0].Entries[0].Ratio, "no baseline, no ratio")
}

func TestWithoutRecord(t *testing.T) {
	r := row("a", "irsa-s3", "cli", 2)
	r.Observed, r.Credentials, r.STS = false, math.NaN(), math.NaN()
	c := summarize(t, []*runs.Row{r})[0]
	require.False(t, c.Observed)
	require.Len(t, c.Phases, 3)
	require.InDelta(t, 2, c.Phases[2].Seconds, 1e-9)
}

func TestTargets(t *testing.T) {
	all := rows(base, base, "cli", 1, 1, 1)
	all = append(all, rows("irsa-s3", "irsa-s3", "cli", 1.1, 1.1, 1.1)...)
	all = append(all, rows("irsa-cloudfront", "irsa-cloudfront", "cli", 1.2, 1.2, 1.5)...)
	all = append(all, rows("sidecar", "roles-anywhere", "cli", 1)...)
	sdk := rows("irsa-s3/sdk", "irsa-s3", "sdk", 9)
	got := map[string]bool{}
	for _, target := range Targets(summarize(t, append(all, sdk...)), project(t), 1) {
		got[target.Text] = target.Met
	}
	require.Equal(t, map[string]bool{
		"median of irsa-s3 / median of instance-profile":         true,
		"median of irsa-cloudfront / median of instance-profile": false,
		"p95 of irsa-cloudfront / p95 of irsa-s3":                false, // 1.47 / 1.1
	}, got, "variants and the SDK client are not what the targets are about")
	require.Empty(t, Targets(nil, project(t), 1))
}

// TestFifthSetup holds a fifth setup against the limit for what its pods present, and against the buckets where a CDN has
// its documents. One that the project does not have is an error.
func TestFifthSetup(t *testing.T) {
	all := rows(base, base, "cli", 1, 1, 1)
	all = append(all, rows("toy", "toy", "cli", 1.2, 1.2, 1.5)...)
	all = append(all, rows("irsa-s3", "irsa-s3", "cli", 1.1, 1.1, 1.1)...)
	_, err := Summarize(all, project(t), 1)
	require.ErrorContains(t, err, `case toy: setup: found "toy": must be one of instance-profile, irsa-s3, irsa-cloudfront, roles-anywhere`)

	five := append(project(t), setups.Setup{Name: "toy", Presents: setups.Token, Issuer: setups.Distribution})
	cases, err := Summarize(all, five, 1)
	require.NoError(t, err)
	require.Equal(t, []string{base, "irsa-s3", "toy"}, []string{cases[0].Name, cases[1].Name, cases[2].Name})
	got := map[string]bool{}
	for _, target := range Targets(cases, five, 1) {
		got[target.Text] = target.Met
	}
	require.Equal(t, map[string]bool{
		"median of irsa-s3 / median of instance-profile": true, "median of toy / median of instance-profile": false, "p95 of toy / p95 of irsa-s3": false,
	}, got)
}

func TestWriteCSVAndJSON(t *testing.T) {
	failed := row("b", "irsa-s3", "cli", math.NaN())
	failed.Error = "x"
	cases := summarize(t, append(rows("a", base, "cli", 1, 2), failed))
	var out bytes.Buffer
	require.NoError(t, WriteCSV(&out, cases))
	lines, err := csv.NewReader(&out).ReadAll()
	require.NoError(t, err)
	require.Len(t, lines, 1+2*len(Metrics))
	require.Equal(t, []string{"a", "instance-profile", "cli", "", "", "start_to_answer", "2", "0", "1.0000", "1.5000"}, lines[1][:10])
	require.Equal(t, "", lines[4][9], "what is unknown is empty")
	data, err := json.Marshal(JSON(cases, nil))
	require.NoError(t, err)
	require.Contains(t, string(data), `"median":null`)
	require.False(t, strings.Contains(string(data), "NaN"))
}
