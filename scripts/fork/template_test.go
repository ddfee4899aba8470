package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"k3s-aws-auth/scripts/internal/stack"
)

// TestPulumiNew holds that `pulumi new` makes a project of this repository, with every file as it is here, and that the
// stack that it makes has what it asked for.
func TestPulumiNew(t *testing.T) {
	cli, labs, err := stack.FindCLI()
	if err != nil {
		t.Skip(err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(cli), "pulumi-language-go")); labs && err != nil {
		t.Skip("the lab has not built its language host yet: run `make lab`")
	}
	template, files := copyOf(t)
	if !strings.Contains(files["Pulumi.yaml"], "\ntemplate:\n") {
		t.Skip("this was made by pulumi new, which takes the template away")
	}
	dir := t.TempDir()
	args := []string{"new", template, "--yes", "--offline"}
	if labs {
		args = append(args, "--stack", "dev")
	} else {
		args = append(args, "--generate-only") // another's language host would look for modules
	}
	cmd := exec.CommandContext(t.Context(), cli, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PULUMI_HOME="+t.TempDir(), "PULUMI_BACKEND_URL=file://"+t.TempDir(), "PULUMI_CONFIG_PASSPHRASE=x",
		"PULUMI_SKIP_UPDATE_CHECK=true")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "pulumi config set --path 'network.zones[0]'", "it says what to set next")

	for name, content := range files {
		made, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		if name != "Pulumi.yaml" {
			require.Equal(t, content, string(made), name)
		}
	}
	if !labs {
		return
	}
	content, err := os.ReadFile(filepath.Join(dir, "Pulumi.dev.yaml"))
	require.NoError(t, err)
	var made struct{ Config map[string]string }
	require.NoError(t, yaml.Unmarshal(content, &made))
	require.Equal(t, map[string]string{"aws:region": "eu-central-1", "k3s-aws-auth:setup": "irsa-s3", "k3s-aws-auth:demo": "true"}, made.Config)
}
