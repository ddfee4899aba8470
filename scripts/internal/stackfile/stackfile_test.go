package stackfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const valid = `config:
  aws:region: eu-central-1
  setup: irsa-s3
  k3s-aws-auth:network: {zones: [eu-central-1a], apiCidrs: [203.0.113.7/32]}
  k3s-aws-auth:identities:
    - &app {name: app, namespace: apps, serviceAccount: app, statements: [{actions: ["s3:*"], resources: ["*"]}]}
    - <<: *app
      name: other
      serviceAccount: other
`

func read(t *testing.T, text string) (*Stack, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Pulumi.lab.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return Read(path)
}

// A tool reads of a stack's file what the program is given.
func TestReadsAsPulumiDoes(t *testing.T) {
	stack, err := read(t, "\uFEFF"+valid+"  k3s-aws-auth:tags: {7: x, on: yes}\n")
	require.NoError(t, err)
	require.Equal(t, "irsa-s3", stack.Config.Setup, "a key without a name is the project's")
	require.Equal(t, map[string]string{"7": "x", "on": "yes"}, stack.Config.Tags)
	require.Len(t, stack.Config.Identities, 2)

	for name, c := range map[string]struct{ text, want string }{
		"a date":                  {valid + "  tags: {until: 2026-12-31}\n", "tags.until: found the date"},
		"a date as a key":         {valid + "  tags: {2026-12-31: x}\n", "as a key"},
		"a secret":                {valid + "  tags: {team: {secure: AAAA}}\n", "tags: found a secret"},
		"a key without a name":    {valid + "  setpu: x\n", "did you mean setup?"},
		"nothing":                 {valid + "  demo:\n", "demo: found"},
		"a key twice":             {valid + "  setup: irsa-s3\n", "already defined"},
		"a number beyond numbers": {valid + "  cluster: {agents: .inf}\n", "unsupported value"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(t, c.text)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err = Read(filepath.Join(t.TempDir(), "Pulumi.lab.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestReadKeepsSecretsSecret(t *testing.T) {
	stack, err := read(t, valid+"  cluster: {mode: existing, kubeconfig: {secure: AAAA}}\n")
	require.NoError(t, err)
	require.Equal(t, []string{"k3s-aws-auth:cluster"}, stack.Secrets)
	require.NotContains(t, stack.Values["k3s-aws-auth:cluster"], "AAAA")
}
