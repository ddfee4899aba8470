package build

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestChangedModulesFromAnEmptyModuleCache holds that a machine that has downloaded nothing gets at the modules of which
// parts are left out: the go command knows no directory of a module that is not there, and used to be asked for it.
func TestChangedModulesFromAnEmptyModuleCache(t *testing.T) {
	if os.Getenv("CI") == "" {
		t.Skip("it downloads modules anew: set CI=true")
	}
	tools, err := filepath.Abs("../../../tools")
	require.NoError(t, err)
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOFLAGS", os.Getenv("GOFLAGS")+" -modcacherw") // so that the test can remove them
	var out bytes.Buffer
	show := newProgress(&out, "modules")
	modfile, err := leanModules(t.Context(), t.TempDir(), tools, show)
	show.end()
	require.NoError(t, err, out.String())
	changed := filepath.Join(filepath.Dir(modfile), "github.com/pulumi/pulumi-kubernetes/provider/v4/cmd/pulumi-resource-kubernetes")
	for _, embedded := range []string{"schema.json", "terraform-mapping.json"} {
		require.FileExists(t, filepath.Join(changed, embedded))
	}
	own, err := os.ReadFile(filepath.Join(tools, "_leaner/github.com/pulumi/pulumi-kubernetes/provider/v4/cmd/pulumi-resource-kubernetes/main.go"))
	require.NoError(t, err)
	used, err := os.ReadFile(filepath.Join(changed, "main.go"))
	require.NoError(t, err)
	require.Equal(t, string(own), string(used))
}
