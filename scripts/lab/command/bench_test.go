package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/lab/internal/state"
)

// BenchmarkUp times a warm `up` of irsa-s3, from the start of its daemon to the last proof, and `down`, as a user runs
// them, in labs of its own. Run it by `make bench`.
func BenchmarkUp(b *testing.B) {
	if os.Getenv("LAB_BENCH") != "1" {
		b.Skip("it deploys whole setups: set LAB_BENCH=1, or run make bench")
	}
	lab := filepath.Join(b.TempDir(), "lab")
	build := exec.Command("go", "build", "-o", lab, ".")
	build.Stderr = os.Stderr
	require.NoError(b, build.Run())
	b.Setenv(state.RootVariable, filepath.Join(b.TempDir(), "labs"))
	run := func(args ...string) []byte {
		cmd := exec.Command(lab, args...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		require.NoError(b, err, "lab %v", args)
		return out
	}
	b.Cleanup(func() {
		if b.Failed() {
			_ = exec.Command(lab, "down", "--setup", "irsa-s3").Run()
		}
	})
	run("tools") // building is not what is timed
	var ups, downs float64
	for b.Loop() {
		var result upResult
		require.NoError(b, json.Unmarshal(run("up", "--setup", "irsa-s3", "--json"), &result))
		require.Len(b, result.Identities, 1)
		require.Equal(b, "ok", result.Identities[0].PutObject)
		ups += result.Seconds
		start := time.Now()
		run("down", "--setup", "irsa-s3", "--json")
		downs += time.Since(start).Seconds()
	}
	b.ReportMetric(ups/float64(b.N), "up-s")
	b.ReportMetric(downs/float64(b.N), "down-s")
	b.ReportMetric(0, "ns/op")
}
