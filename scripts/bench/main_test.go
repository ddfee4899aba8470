package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/bench/internal/coldstart"
	"k3s-aws-auth/scripts/bench/internal/runs"
	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/setups"
)

func execute(t *testing.T, args ...string) error {
	t.Helper()
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	return cmd.ExecuteContext(context.Background())
}

func TestWrongCommandLines(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		text string
	}{
		{"cold-start --setup ec2", "--setup"},
		{"cold-start --runs 0", "--runs"},
		{"cold-start --warmup -1", "--warmup"},
		{"cold-start --timeout 10ms", "--timeout"},
		{"cold-start --client curl", "--client"},
		{"cold-start --keys hot", "--keys"},
		{"cold-start --variant a", "NAME=SETUP"},
		{"cold-start --variant a=irsa-s3", "NAME=SETUP"},
		{"cold-start --variant a=ec2,x=y", "found setup"},
		{"cold-start --variant ../a=irsa-s3,x=y", "without slashes"},
		{"cold-start --variant irsa-s3=irsa-s3,x=y --setup irsa-s3", "there already"},
		{"cold-start --latency absent.yaml", "absent.yaml"},
		{"cold-start --cluster a=irsa-s3,kubeconfig --latency profiles/eu-central-1.yaml", "--cluster"},
		{"cold-start now", "no arguments"},
		{"report --check", "--dir"},
		{"cold-start --frobnicate", "unknown flag"},
		{"burst --pods 0", "--pods"},
		{"burst --cronjob 99", "--cronjob"},
		{"burst --timeout 0s", "--timeout"},
	} {
		t.Run(c.args, func(t *testing.T) {
			err := execute(t, append(strings.Fields(c.args), map[bool][]string{true: {"--dir", dir}}[!strings.Contains(c.args, "now") && !strings.Contains(c.args, "report")]...)...)
			var usage cli.UsageError
			require.True(t, errors.As(err, &usage), err)
			require.ErrorContains(t, err, c.text)
		})
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "a wrong command line leaves nothing")
}

func TestEveryCommandHasExamples(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		require.NotEmpty(t, c.Example, c.Name())
		require.NotEmpty(t, c.Short, c.Name())
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root())
}

func TestNoLabIsRunning(t *testing.T) {
	t.Setenv(labs.RootVariable, t.TempDir())
	dir := t.TempDir()
	err := execute(t, "cold-start", "--setup", "irsa-s3", "--dir", dir)
	require.ErrorIs(t, err, labs.ErrNotRunning)
	var usage cli.UsageError
	require.False(t, errors.As(err, &usage))
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	require.Error(t, execute(t, "report", "--dir", dir), "no runs.csv")
	f, err := runs.Append(filepath.Join(dir, runsFile))
	require.NoError(t, err)
	require.ErrorContains(t, execute(t, "report", "--dir", dir), "has no runs")
	for setup, seconds := range map[string]float64{"instance-profile": 1, "irsa-s3": 2} {
		require.NoError(t, f.Add(&runs.Row{Case: setup, Setup: setup, Client: "cli", Phases: coldstart.Phases{Answered: seconds}}))
	}
	require.NoError(t, f.Close())
	require.NoError(t, execute(t, "report", "--dir", dir, "--json"))
	for _, name := range []string{"report.md", "summary.csv", "start_to_answer.svg", "start_to_answer.png", "phases.svg", "phases.png"} {
		require.FileExists(t, filepath.Join(dir, name))
	}
	require.ErrorContains(t, execute(t, "report", "--dir", dir, "--check"), "target missed: median of irsa-s3 / median of instance-profile is 2.00")
}

func TestResultsAreNotMixed(t *testing.T) {
	t.Chdir(t.TempDir())
	dir := "out"
	f, err := results(&dir, runsFile, false)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = results(&dir, runsFile, false)
	var usage cli.UsageError
	require.True(t, errors.As(err, &usage))
	require.ErrorContains(t, err, "--append")
	f, err = results(&dir, runsFile, true)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	dir = ""
	_, err = results(&dir, runsFile, true)
	require.ErrorContains(t, err, "needs --dir")
	f, err = results(&dir, runsFile, false)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.True(t, strings.HasPrefix(dir, "bench-results"), dir)
}

func TestPlan(t *testing.T) {
	p, err := (&where{clients: []string{"cli"}, keys: []string{"cached"}}).plan()
	require.NoError(t, err)
	list, err := setups.Around()
	require.NoError(t, err)
	require.Equal(t, list.Names(), p.setups, "all by default")
	p, err = (&where{clients: []string{"cli"}, keys: []string{"cached", "cold"}, clusters: []string{"a=irsa-s3,/k"},
		variants: []string{"ttl=irsa-cloudfront,issuer.cacheTtlSeconds=1,demo=true"}}).plan()
	require.NoError(t, err)
	require.Empty(t, p.setups, "not where --cluster is given")
	require.Equal(t, []bool{false, true}, p.cold)
	require.Equal(t, variant{"ttl", "irsa-cloudfront", []string{"issuer.cacheTtlSeconds=1", "demo=true"}}, p.variants[0])
	require.Equal(t, []variant{{"a", "irsa-s3", []string{"/k"}}}, p.clusters)
}
