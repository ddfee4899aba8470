package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadDiagnosis(t *testing.T) {
	for report, want := range map[string]Diagnosis{
		`{"findings":[],"unseen":[]}`: {},
		`{"findings":[{"id":"role-missing"},{"id":"hop-limit-high"}],"unseen":[]}`: {First: "role-missing"},
		`{"findings":[],"unseen":[{"what":"roles","why":"AccessDenied"}]}`:         {Unseen: []string{"roles"}},
		`{"findings":[],"unseen":[{"what":"the cluster","why":"refused"}]}`:        {First: unseenCluster, Unseen: []string{"the cluster"}},
	} {
		got, err := readDiagnosis([]byte(report))
		require.NoError(t, err)
		require.Equal(t, want, *got, report)
	}
	_, err := readDiagnosis([]byte("no JSON"))
	require.Error(t, err)
}

// program writes a doctor that answers with a script.
func program(t *testing.T, script string) *Doctor {
	t.Helper()
	path := filepath.Join(t.TempDir(), "doctor")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700))
	return &Doctor{path: path, args: []string{"--setup", "x"}}
}

func TestDiagnose(t *testing.T) {
	target := &Target{Pace: Pace{Observe: 100 * time.Millisecond, Poll: 10 * time.Millisecond}}
	target.Doctor = program(t, `[ "$*" = "check --output json --setup x" ] || exit 3
echo '{"findings":[{"id":"role-missing"}]}'
exit 1`)
	d, err := target.diagnose(context.Background(), "role-missing")
	require.NoError(t, err)
	require.Equal(t, &Diagnosis{First: "role-missing", Expected: "role-missing"}, d)
	// What stays otherwise is what was said last, and a difference.
	d, err = target.diagnose(context.Background(), "jwks-empty")
	require.NoError(t, err)
	require.Equal(t, []string{`doctor: first finding "role-missing", expected "jwks-empty"`}, compare(&Result{Doctor: d}))
	target.Doctor = program(t, "echo wrong arguments >&2; exit 2")
	_, err = target.diagnose(context.Background(), "")
	require.ErrorContains(t, err, "wrong arguments")
}
