package build

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEdited holds that an edit that does not fit exactly once is an error, not a provider that behaves as before.
func TestEdited(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	from, to := write("a.go", "one two two"), write("b.go", "the copy")
	require.NoError(t, edited(from, write("good.json", `[{"old":"one","new":"1"},{"old":"1 two","new":"12"}]`), to))
	got, err := os.ReadFile(to)
	require.NoError(t, err)
	require.Equal(t, "12 two", string(got))
	for _, old := range []string{"two", "three"} {
		require.ErrorContains(t, edited(from, write("bad.json", `[{"old":"`+old+`","new":""}]`), to), "must fit once")
	}
}
