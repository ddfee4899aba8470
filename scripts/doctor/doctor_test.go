package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/cli"
)

// run runs the command and returns its exit code and what it printed.
func run(t *testing.T, stdin string, args ...string) (int, string, string) {
	t.Helper()
	cmd := root()
	var stdout, stderr bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	code := cli.Run(context.Background(), cmd, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestExplain(t *testing.T) {
	const text = "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"
	code, out, _ := run(t, "", "explain", text)
	require.Zero(t, code)
	require.Contains(t, out, "sts-web-identity-denied, said by STS")
	require.Contains(t, out, "docs/causes.md#sts-web-identity-denied")

	code, out, _ = run(t, "failed to refresh cached credentials, "+text, "explain", "-", "--json")
	require.Zero(t, code)
	var list []explained
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.Equal(t, "sts-web-identity-denied", list[0].ID)
	require.Equal(t, "refresh-failed", list[1].ID)

	code, _, errs := run(t, "", "explain", "all is well")
	require.Equal(t, cli.ExitFailure, code)
	require.Contains(t, errs, "no cause is known")
	code, _, _ = run(t, "", "explain")
	require.Equal(t, cli.ExitUsage, code)
}
