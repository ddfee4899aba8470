package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDrillsInARunningLab runs drills end to end on the running labs (K3S_AWS_AUTH_LABS names their directory), and
// interrupts one: it must leave nothing broken. It runs where DRILL_LAB names the setup to use.
func TestDrillsInARunningLab(t *testing.T) {
	setup := os.Getenv("DRILL_LAB")
	if setup == "" {
		t.Skip("DRILL_LAB names no setup with a running lab")
	}
	bin := filepath.Join(t.TempDir(), "drill")
	out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	args := []string{"--setup", setup, "--yes", "--only", "F-06,node-role-abused"}

	interrupted := exec.Command(bin, args...)
	require.NoError(t, interrupted.Start())
	time.Sleep(2 * time.Second)
	require.NoError(t, interrupted.Process.Signal(syscall.SIGINT))
	require.Error(t, interrupted.Wait(), "an interrupted run has proven nothing")

	dir := t.TempDir()
	out, err = exec.Command(bin, append(args, "--out", dir)...).CombinedOutput()
	require.NoError(t, err, string(out))
	for _, name := range []string{"drill.csv", "drill.md", "drill.json"} {
		require.FileExists(t, filepath.Join(dir, name))
	}
}
