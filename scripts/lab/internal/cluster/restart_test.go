package cluster

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChangeReplacesOnlyWhatItNames(t *testing.T) {
	args := []string{"--secure-port=1", "--service-account-issuer=https://a", "--service-account-issuer=https://b",
		"--service-account-key-file=/k", "--service-account-signing-key-file=/s"}
	same, env, err := Change{}.apply(args, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, args, same)
	require.Empty(t, env)

	changed, env, err := Change{Issuers: []string{"https://c", "https://a"}, TokenClock: 5 * time.Hour}.apply(args, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, []string{"--secure-port=1", "--service-account-key-file=/k", "--service-account-signing-key-file=/s",
		"--service-account-issuer=https://c", "--service-account-issuer=https://a"}, changed)
	require.Equal(t, []string{"LAB_TOKEN_CLOCK_OFFSET=5h0m0s"}, env)
	require.Len(t, args, 5, "the arguments of the next start stay as they were")
	require.True(t, slices.Contains(args, "--service-account-issuer=https://b"))
}

func TestChangeRefusesAKeyThatCannotSign(t *testing.T) {
	dir := t.TempDir()
	_, _, err := Change{SigningKey: "nonsense"}.apply([]string{"--service-account-key-file=/k"}, dir)
	require.ErrorContains(t, err, "signing key")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
