package state

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func saved(t *testing.T, setup string, pid int) *Lab {
	t.Helper()
	dir, err := Dir(setup)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	l := &Lab{Setup: setup, PID: pid, Endpoint: "https://127.0.0.1:1", Proxy: "http://127.0.0.1:2", Control: "http://127.0.0.1:3", ControlToken: "t",
		Region: "eu-central-1", AccountID: "111122223333", AccessKeyID: "AKIA", SecretKey: "s", Weaker: []string{"no namespaces"}}
	require.NoError(t, l.Save(dir))
	return l
}

// ended is the id of a process that is no more.
func ended(t *testing.T) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	require.NoError(t, cmd.Run())
	return cmd.Process.Pid
}

func TestSaveAndLoad(t *testing.T) {
	t.Setenv(RootVariable, t.TempDir())
	want := saved(t, "irsa-s3", os.Getpid())
	got, dir, err := Load("irsa-s3")
	require.NoError(t, err)
	require.Equal(t, want, got)

	info, err := os.Stat(file(dir))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it has the lab's secret key and token")
	require.NoFileExists(t, file(dir)+".part")
}

func TestLoadWithoutLab(t *testing.T) {
	root := t.TempDir()
	t.Setenv(RootVariable, root)
	_, dir, err := Load("irsa-s3")
	require.ErrorIs(t, err, ErrNotRunning)
	require.Equal(t, filepath.Join(root, "irsa-s3"), dir, "known all the same")

	saved(t, "irsa-s3", ended(t))
	_, dir, err = Load("irsa-s3")
	require.ErrorIs(t, err, ErrNotRunning)
	require.ErrorContains(t, err, DaemonLog(dir), "where to look why")

	require.NoError(t, os.WriteFile(file(dir), []byte("{"), 0o600))
	_, _, err = Load("irsa-s3")
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrNotRunning, "a lab may be running: its directory must not be taken away")
}

func TestRunning(t *testing.T) {
	root := t.TempDir()
	t.Setenv(RootVariable, filepath.Join(root, "none"))
	setups, err := Running()
	require.NoError(t, err)
	require.Empty(t, setups)

	t.Setenv(RootVariable, root)
	saved(t, "roles-anywhere", os.Getpid())
	saved(t, "irsa-s3", os.Getpid())
	saved(t, "irsa-cloudfront", ended(t))
	require.NoError(t, os.WriteFile(filepath.Join(root, "notes"), nil, 0o600))
	setups, err = Running()
	require.NoError(t, err)
	require.Equal(t, []string{"irsa-s3", "roles-anywhere"}, setups)
}

func TestRoot(t *testing.T) {
	t.Setenv(RootVariable, "labs")
	root, err := Root()
	require.NoError(t, err)
	require.True(t, filepath.IsAbs(root), "commands that run elsewhere mean the same directory: %s", root)

	t.Setenv(RootVariable, "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	root, err = Root()
	require.NoError(t, err)
	require.Equal(t, filepath.Join("k3s-aws-auth", "labs"), filepath.Join(filepath.Base(filepath.Dir(root)), filepath.Base(root)))
}
