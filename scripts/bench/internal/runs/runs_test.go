package runs

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/bench/internal/coldstart"
)

func TestRowsSurviveTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.csv")
	full := &Row{
		Environment: Environment{"lab", "abc+", 7, "p", "v1.35.4", "Linux", "cpu, fast", 2},
		Case:        "irsa-s3", Setup: "irsa-s3", Client: "cli", Helper: "sidecar", Keys: "cold", Image: "i", Warmup: true, Round: 3,
		Phases: coldstart.Phases{Created: 0.01, Scheduled: 0.02, Network: 0.03, Started: 0.04, Credentials: 0.5, STS: 0.6, Answered: 0.7},
		Node:   "n", Began: time.Date(2026, 5, 6, 7, 8, 9, 123456789, time.UTC), Attempts: 2, Observed: true,
		Calls: coldstart.Calls{Metadata: 1, STS: 2, CreateSession: 3, Documents: 4, EdgeMisses: 5, Connections: 6, RoundTrips: 7},
		Load:  1.5, Caller: "arn", Version: "aws-cli/2", Error: "said \"no\",\nand more",
	}
	failed := &Row{Phases: coldstart.Nowhere(), Load: math.NaN(), Error: "no answer"}
	for _, r := range []*Row{full, failed} { // the file is opened anew, as after an interruption
		f, err := Append(path)
		require.NoError(t, err)
		require.NoError(t, f.Add(r))
		require.NoError(t, f.Close())
	}
	rows, err := Read(path)
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, full, rows[0])
	require.True(t, math.IsNaN(rows[1].Answered))
	require.Equal(t, "no answer", rows[1].Error)
	require.False(t, rows[1].OK())
	require.False(t, rows[0].OK())
	require.True(t, (&Row{}).OK())
}

func TestOtherColumns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.csv")
	require.NoError(t, os.WriteFile(path, []byte("a,b\n1,2\n"), 0o600))
	_, err := Append(path)
	require.ErrorContains(t, err, "other columns")
	_, err = Read(path)
	require.ErrorContains(t, err, "first line")
}

func TestMalformedField(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.csv")
	f, err := Append(path)
	require.NoError(t, err)
	record := (&Row{Phases: coldstart.Nowhere()}).Record()
	record[9] = "soon"
	require.NoError(t, f.write(record))
	require.NoError(t, f.Close())
	_, err = Read(path)
	require.ErrorContains(t, err, "line 2: column created_s")
}
