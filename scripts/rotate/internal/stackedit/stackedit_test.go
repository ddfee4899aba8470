package stackedit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/keyset"
)

// open copies the lab's stack file.
func open(t *testing.T) (*File, string) {
	t.Helper()
	data, err := os.ReadFile("../../../../Pulumi.lab.yaml")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "Pulumi.lab.yaml")
	require.NoError(t, os.WriteFile(path, data, 0o640))
	f, err := Open(path)
	require.NoError(t, err)
	return f, path
}

// saved is the file's text after it was saved.
func saved(t *testing.T, f *File, path string) string {
	t.Helper()
	changed, err := f.Save()
	require.NoError(t, err)
	require.True(t, changed)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// TestNothingElseChanges holds that a change there and back leaves the file as it was, comments and all.
func TestNothingElseChanges(t *testing.T) {
	f, path := open(t)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, f.SetMembers([]keyset.Member{{Name: "1", State: keyset.Active}, {Name: "2026-11", State: keyset.Next}}, nil, "signingKeys"))
	text := saved(t, f, path)
	require.Contains(t, text, `  k3s-aws-auth:signingKeys:
    - name: "1"
      state: active
    - name: 2026-11
      state: next
`)
	require.Contains(t, text, "# Who may reach the Kubernetes API")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode())

	f, err = Open(path)
	require.NoError(t, err)
	f.Remove("signingKeys")
	require.Equal(t, string(before), saved(t, f, path))
}

func TestObjects(t *testing.T) {
	f, path := open(t)
	require.NoError(t, f.SetTexts([]string{"uploader", "4812"}, "rolesAnywhere", "revoked"))
	require.NoError(t, f.Set("roles-anywhere", "setup"))
	require.Equal(t, "roles-anywhere", f.Text("setup"))
	require.Contains(t, saved(t, f, path), "  k3s-aws-auth:rolesAnywhere:\n    revoked:\n      - uploader\n      - \"4812\"\n", "a serial number is no number")
	f, err := Open(path)
	require.NoError(t, err)
	f.Remove("rolesAnywhere", "revoked")
	f.Remove("rolesAnywhere", "revoked")
	require.NotContains(t, saved(t, f, path), "rolesAnywhere", "what is empty goes")
	require.Equal(t, "oidc.lab.example.com", f.Text("issuer", "domain"))
	require.Empty(t, f.Text("issuer"))
}

// TestElements changes an element of a list and back.
func TestElements(t *testing.T) {
	f, path := open(t)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	changed, err := f.Save()
	require.NoError(t, err)
	require.False(t, changed)
	require.NoError(t, f.SetIn(0, "suspended", true, "identities"))
	require.NoError(t, f.SetIn(0, "revokeSessionsBefore", "2026-11-30T12:00:00Z", "identities"))
	text := saved(t, f, path)
	require.Contains(t, text, "      suspended: true\n      revokeSessionsBefore: \"2026-11-30T12:00:00Z\"\n")
	f, err = Open(path)
	require.NoError(t, err)
	require.NoError(t, f.SetIn(0, "suspended", nil, "identities"))
	require.NoError(t, f.SetIn(0, "revokeSessionsBefore", nil, "identities"))
	require.Equal(t, string(before), saved(t, f, path))
	require.ErrorContains(t, f.SetIn(1, "suspended", true, "identities"), "must be an object")
	require.Error(t, f.SetIn(0, "suspended", 1, "identities"))
}

// TestRefused holds that what the program would refuse is not written.
func TestRefused(t *testing.T) {
	f, path := open(t)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, f.SetMembers([]keyset.Member{{Name: "a", State: keyset.Next}}, nil, "signingKeys"))
	_, err = f.Save()
	require.ErrorContains(t, err, "no active member")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1)

	require.Error(t, f.Set("x", "setup", "deeper"))
	_, err = f.List("setup")
	require.ErrorContains(t, err, "must be a list")
	require.NoError(t, os.WriteFile(path, []byte("encryptionsalt: a\n"), 0o600))
	_, err = Open(path)
	require.ErrorContains(t, err, "found no config")
	require.True(t, strings.HasSuffix(path, "Pulumi.lab.yaml"))
}
