package cluster

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRenderArgs(t *testing.T) {
	defaults := map[string]string{"api-audiences": "k3s", "service-account-issuer": "https://default", "profiling": "false"}
	tests := []struct {
		name  string
		extra []string
		want  []string
	}{
		{"defaults alone", nil,
			[]string{"--api-audiences=k3s", "--profiling=false", "--service-account-issuer=https://default"}},
		{"a value replaces the default and repeats keep their order",
			[]string{"service-account-issuer=https://new", "service-account-issuer=https://old"},
			[]string{"--api-audiences=k3s", "--profiling=false", "--service-account-issuer=https://new", "--service-account-issuer=https://old"}},
		{"plus adds behind the default", []string{"service-account-issuer+=https://old"},
			[]string{"--api-audiences=k3s", "--profiling=false", "--service-account-issuer=https://default", "--service-account-issuer=https://old"}},
		{"minus adds before the default", []string{"service-account-issuer-=https://new"},
			[]string{"--api-audiences=k3s", "--profiling=false", "--service-account-issuer=https://new", "--service-account-issuer=https://default"}},
		{"a flag without a value is true", []string{"profiling"},
			[]string{"--api-audiences=k3s", "--profiling=true", "--service-account-issuer=https://default"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := renderArgs(defaults, tt.extra)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestReadConfigRefusesUnknownKeys(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "etc/rancher/k3s")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("tls-sans: [a]\n"), 0o600))
	_, err := ReadConfig(root)
	require.ErrorContains(t, err, "tls-sans")
}

func TestReadConfigTakesOneValueForAList(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "etc/rancher/k3s")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"),
		[]byte("tls-san: a\nkube-apiserver-arg:\n- x=1\n- x=2\n"), 0o600))
	c, err := ReadConfig(root)
	require.NoError(t, err)
	require.Equal(t, stringList{"a"}, c.TLSSAN)
	require.Equal(t, stringList{"x=1", "x=2"}, c.APIServerArg)
	require.Equal(t, "/var/lib/rancher/k3s", c.DataDir)
}
