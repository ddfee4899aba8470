package daemon

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/lab/internal/build"
)

// TestGuard holds that nobody reads the lab's events or plays its DNS provider without the token.
func TestGuard(t *testing.T) {
	reached := 0
	h := guard("secret", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	for _, c := range []struct {
		header string
		want   int
	}{
		{"", http.StatusUnauthorized},
		{"secret", http.StatusUnauthorized},
		{"Bearer ", http.StatusUnauthorized},
		{"Bearer secre", http.StatusUnauthorized},
		{"Bearer secret2", http.StatusUnauthorized},
		{"bearer secret", http.StatusUnauthorized},
		{"Bearer secret", http.StatusOK},
	} {
		req := httptest.NewRequest(http.MethodGet, "/_lab/events", nil)
		if c.header != "" {
			req.Header.Set("Authorization", c.header)
		}
		w := httptest.NewRecorder()
		before := reached
		h.ServeHTTP(w, req)
		require.Equal(t, c.want, w.Code, "%q", c.header)
		require.Equal(t, c.want == http.StatusOK, reached > before, "%q", c.header)
		require.NotContains(t, w.Body.String(), "secret")
	}
}

func TestTokensDiffer(t *testing.T) {
	a, err := newToken()
	require.NoError(t, err)
	b, err := newToken()
	require.NoError(t, err)
	require.Len(t, a, 48)
	require.NotEqual(t, a, b)
}

func TestServeHTTPIsForThisMachineAlone(t *testing.T) {
	l, err := serveHTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	require.NoError(t, err)
	defer l.Close()
	require.True(t, strings.HasPrefix(l.Addr().String(), "127.0.0.1:"), l.Addr())
	resp, err := http.Get("http://" + l.Addr().String())
	require.NoError(t, err)
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "here", string(said))
}

func TestAddressBase(t *testing.T) {
	seen := map[string]string{}
	for _, dir := range []string{"/labs/instance-profile", "/labs/irsa-s3", "/labs/irsa-cloudfront", "/labs/roles-anywhere", "/home/other/labs/irsa-s3"} {
		a := addressBase(dir)
		require.True(t, a.IsLoopback())
		require.NotEqual(t, byte(0), a.As4()[1], "127.0.x.y is others'")
		require.Equal(t, a, addressBase(dir), "the same each time")
		require.Empty(t, seen[a.String()], "%s and %s", dir, seen[a.String()])
		seen[a.String()] = dir
	}
}

func TestImagesWithoutAWSCLI(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	images := images(&build.Tools{Probe: "/cache/aws", SigningHelper: "/cache/helper"}, "/lab")
	cli := images["public.ecr.aws/aws-cli/aws-cli"]
	require.Equal(t, map[string]string{"/usr/local/bin/aws": "/cache/aws"}, cli.Files, "the lab's own client, under the CLI's name")
	require.Equal(t, cli, images["amazon/aws-cli"])
	helper := images["public.ecr.aws/rolesanywhere/credential-helper"]
	require.Equal(t, "/cache/helper", helper.Files[helper.Entrypoint[0]])
	require.NotZero(t, helper.User, "it does not run as root")
}

func TestImagesWithAWSCLI(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	installed, bin := filepath.Join(root, "v2"), filepath.Join(root, "bin")
	for _, dir := range []string{installed, bin} {
		require.NoError(t, os.Mkdir(dir, 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(installed, "aws"), []byte("#!/bin/sh\n"), 0o700))
	require.NoError(t, os.Symlink(filepath.Join(installed, "aws"), filepath.Join(bin, "aws")))
	t.Setenv("PATH", bin)
	cli := images(&build.Tools{Probe: "/cache/aws"}, "/lab")["amazon/aws-cli"]
	require.Equal(t, []string{filepath.Join(installed, "aws")}, cli.Entrypoint, "the program itself, not the link to it")

	require.NoError(t, os.Remove(filepath.Join(bin, "aws")))
	require.NoError(t, os.WriteFile(filepath.Join(installed, "wrapper"), []byte("#!/bin/sh\n"), 0o700))
	require.NoError(t, os.Symlink(filepath.Join(installed, "wrapper"), filepath.Join(bin, "aws")))
	require.Empty(t, awsCLI(), "a link to something else is not the CLI")
}
