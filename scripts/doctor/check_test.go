package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/cli"
)

// dump writes a dump that differs from a healthy one, and returns its path.
func dump(t *testing.T, old, with string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("internal", "chain", "testdata", "irsa-s3.json"))
	require.NoError(t, err)
	require.Contains(t, string(data), old)
	file := filepath.Join(t.TempDir(), "dump.json")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(data), old, with, 1)), 0o600))
	return file
}

func TestCheck(t *testing.T) {
	healthy := dump(t, `"format": 1`, `"format": 1`)
	broken := dump(t, `"audience": "sts.amazonaws.com",`+"\n"+`            "path"`, `"audience": "vault",`+"\n"+`            "path"`)
	unseen := dump(t, `"format": 1`, `"format": 1, "unseen": [{"what": "roles", "why": "AccessDenied"}]`)

	code, out, _ := run(t, "", "check", "--from", healthy)
	require.Zero(t, code)
	require.Equal(t, "1 identity with 1 pod: 0 findings\n", out)

	code, out, errs := run(t, "", "check", "--from", broken)
	require.Equal(t, cli.ExitFailure, code)
	require.Contains(t, errs, "1 finding")
	for _, want := range []string{"BROKEN  token-audience", "pod default/uploader", "asks for vault", "audience sts.amazonaws.com", "(sts-audience)",
		"kubectl --namespace default delete pod uploader", "docs/causes.md#sts-audience"} {
		require.Contains(t, out, want)
	}

	code, out, errs = run(t, "", "check", "--from", unseen)
	require.Equal(t, 2, code)
	require.Contains(t, out, "roles: AccessDenied")
	require.Contains(t, errs, "1 part could not be looked at")

	code, out, _ = run(t, "", "check", "--from", broken, "--output", "json")
	require.Equal(t, cli.ExitFailure, code)
	var report struct {
		Findings []struct {
			ID, Severity, Seen, Expected, Do, Page string
			Causes                                 []struct{ Why, Error string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Equal(t, "token-audience", report.Findings[0].ID)
	require.Equal(t, "sts-audience", report.Findings[0].Causes[0].Error)

	code, out, _ = run(t, "", "check", "--from", broken, "--output", "sarif")
	require.Equal(t, cli.ExitFailure, code)
	var log struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct{ RuleID, Level string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &log))
	require.Equal(t, "2.1.0", log.Version)
	require.Equal(t, "token-audience", log.Runs[0].Results[0].RuleID)
	require.Equal(t, "error", log.Runs[0].Results[0].Level)
	require.Equal(t, "token-audience", log.Runs[0].Tool.Driver.Rules[0].ID)

	for said, args := range map[string][]string{
		`--output: found "xml"`: {"check", "--from", healthy, "--output", "xml"},
		"does not go with":      {"check", "--from", healthy, "--watch"},
		"--from has all":        {"check", "--from", healthy, "--setup", "irsa-s3"},
		"--every":               {"check", "--every", "1ms"},
		"exclude each other":    {"dump", "--stack", "a", "--state", "b"},
		"must be one of":        {"check", "--setup", "irsa"},
		"format: found 7":       {"check", "--from", dump(t, `"format": 1`, `"format": 7`)},
	} {
		code, _, errs := run(t, "", args...)
		require.Equal(t, 2, code, args)
		require.Contains(t, errs, said)
	}
}
