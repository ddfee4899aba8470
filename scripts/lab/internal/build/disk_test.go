package build

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFullDisk holds that a build that fails for want of space says which directories have how much, and what moves them.
func TestFullDisk(t *testing.T) {
	t.Setenv("GOTMPDIR", "")
	t.Setenv("GOCACHE", filepath.Join(t.TempDir(), "not", "there"))
	scripts, err := filepath.Abs("../../..")
	require.NoError(t, err)
	list, err := places(t.Context(), scripts, t.TempDir())
	require.NoError(t, err)
	require.Len(t, list, 4)
	require.Empty(t, room(list, 0), "nothing has less than nothing free")
	short := room(list, 1e9)
	for _, by := range []string{"XDG_CACHE_HOME", "GOMODCACHE", "GOCACHE", "TMPDIR"} {
		require.Contains(t, short, "("+by+" moves it)")
	}

	other := errors.New("go build: exit status 1")
	require.Equal(t, other, explainFullDisk(t.Context(), scripts, t.TempDir(), other))
	require.NoError(t, explainFullDisk(t.Context(), scripts, t.TempDir(), nil))
	full := errors.New("compile: writing output: write $WORK/b3259/_pkg_.a: no space left on device")
	told := explainFullDisk(t.Context(), scripts, t.TempDir(), full)
	require.ErrorIs(t, told, full)
	require.ErrorContains(t, told, "the disk is full: a first build writes up to 8 GB")
}
