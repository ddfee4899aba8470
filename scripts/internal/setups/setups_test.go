package setups

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLoad reads this project's own setups, and says of a file that it cannot read which one that is.
func TestLoad(t *testing.T) {
	list, err := Load(filepath.Join("..", "..", ".."))
	require.NoError(t, err)
	require.Contains(t, list.Names(), "irsa-s3")
	anywhere, ok := list.Find("roles-anywhere")
	require.True(t, ok)
	require.Equal(t, Certificate, anywhere.Presents)
	_, ok = list.Find("none")
	require.False(t, ok)

	other := t.TempDir()
	_, err = Load(other)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Join(other, "stacks"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(other, "stacks", "setups.json"), []byte("{"), 0o600))
	_, err = Load(other)
	require.ErrorContains(t, err, "setups.json")
}
