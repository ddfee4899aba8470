package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMissing(t *testing.T) {
	require.Empty(t, missing("/usr/bin"), "what exists needs no directory taken apart")
	require.Empty(t, missing("/etc/new/file"), "/etc is the container's own")
	require.Empty(t, missing("/memory/x"), "a new directory of the root is too")
	require.Equal(t, []string{"/usr/bin", "/usr"}, missing("/usr/bin/no-such-program"))
	require.Equal(t, []string{"/usr/lib", "/usr"}, missing("/usr/lib/no/such/path"))
	if target, err := os.Readlink("/bin"); err == nil && filepath.Base(target) == "bin" {
		require.Equal(t, []string{"/usr/bin", "/usr"}, missing("/bin/no-such-program"), "links are followed")
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(program, nil, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data"), nil, 0o644))
	env := []string{"PATH=/nonexistent:" + dir}
	for _, test := range []struct{ name, want, err string }{
		{"program", program, ""},
		{program, program, ""},
		{"data", "", `exec: "data": executable file not found in $PATH`},
		{"none", "", `exec: "none": executable file not found in $PATH`},
		{"/none", "", `exec: "/none": stat /none: no such file or directory: executable file not found`},
		{dir, "", "is a directory"},
	} {
		got, err := lookPath(test.name, env)
		require.Equal(t, test.want, got)
		if test.err != "" {
			require.ErrorContains(t, err, test.err)
		} else {
			require.NoError(t, err)
		}
	}
}
