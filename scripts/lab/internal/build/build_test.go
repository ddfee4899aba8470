package build

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// module lays out a scripts module of one target.
func module(t *testing.T) (scripts string, own target) {
	t.Helper()
	scripts = t.TempDir()
	for path, text := range map[string]string{
		"go.mod": "module x\n", "go.sum": "", "cmd/main.go": "package main\n", "cmd/main_test.go": "package main\n",
		"lib/deep/data.json": "{}\n", "elsewhere/main.go": "package main\n",
	} {
		edit(t, scripts, path, text)
	}
	return scripts, target{name: "own", dir: ".", pkg: "./cmd", sources: []string{"cmd", "lib"}}
}

func edit(t *testing.T, scripts, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(scripts, filepath.Dir(path)), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(scripts, path), []byte(text), 0o600))
}

// TestKey holds that a target is built again exactly when something that goes into it has changed.
func TestKey(t *testing.T) {
	scripts, own := module(t)
	key := func(goVersion string) string {
		t.Helper()
		k, err := own.key(scripts, goVersion)
		require.NoError(t, err)
		require.Len(t, k, 16)
		return k
	}
	first := key("go1.26")
	same := func(path, text string) {
		t.Helper()
		edit(t, scripts, path, text)
		require.Equal(t, first, key("go1.26"), path)
	}
	other := func(path, text string) {
		t.Helper()
		old, err := os.ReadFile(filepath.Join(scripts, path))
		if err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
		edit(t, scripts, path, text)
		require.NotEqual(t, first, key("go1.26"), path)
		if err != nil {
			require.NoError(t, os.Remove(filepath.Join(scripts, path)))
		} else {
			edit(t, scripts, path, string(old))
		}
		require.Equal(t, first, key("go1.26"), "%s as it was", path)
	}
	same("cmd/main_test.go", "package main // changed\n")
	same("elsewhere/main.go", "package main // changed\n")
	other("cmd/main.go", "package main // changed\n")
	other("cmd/new.go", "package main\n")
	other("lib/deep/data.json", "[]\n")
	other("go.mod", "module x // changed\n")
	other("go.sum", "x v1 h1:\n")
	require.NotEqual(t, first, key("go1.27"))
	own.ldflags = "-X main.Version=2"
	require.NotEqual(t, first, key("go1.26"))

	own.sources = []string{"gone"}
	_, err := own.key(scripts, "go1.26")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestKeysCoverTheModule holds that each source directory that a target names is there, in this module.
func TestKeysCoverTheModule(t *testing.T) {
	scripts, err := filepath.Abs("../../..")
	require.NoError(t, err)
	keys := map[string]string{}
	for _, target := range targets {
		key, err := target.key(scripts, "go")
		require.NoError(t, err, target.name)
		require.Empty(t, keys[key], "%s and %s", target.name, keys[key])
		keys[key] = target.name
	}
}

// TestSourcesCoverWhatIsCompiled holds that a change of any package of this project that a target is made of changes
// the target's key.
func TestSourcesCoverWhatIsCompiled(t *testing.T) {
	scripts, err := filepath.Abs("../../..")
	require.NoError(t, err)
	for _, target := range targets {
		out, err := goOutput(t.Context(), filepath.Join(scripts, target.dir), "list", "-e", "-deps",
			"-f", `{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}`, target.pkg)
		require.NoError(t, err, target.name)
		for _, dir := range strings.Fields(string(out)) {
			rel, err := filepath.Rel(scripts, dir)
			require.NoError(t, err)
			covered := slices.ContainsFunc(target.sources, func(source string) bool {
				return rel == filepath.FromSlash(source) || strings.HasPrefix(rel, filepath.FromSlash(source)+string(filepath.Separator))
			})
			require.True(t, covered, "%s is made of %s, which is not among its sources", target.name, rel)
		}
	}
}

func TestDropOld(t *testing.T) {
	root := t.TempDir()
	const key = "0123456789abcdef"
	long := time.Now().Add(-keep - time.Hour)
	for _, d := range []struct {
		name string
		at   time.Time
	}{
		{"pulumi-" + key, long},                         // what was just built, however old its directory
		{"pulumi-1123456789abcdef", long},               // goes
		{"pulumi-2123456789abcdef", time.Now()},         // a lab may still run it
		{"pulumi-resource-aws-3123456789abcdef", long},  // another target
		{"pulumi-home-4123456789abcdef", long},          // another target
		{"pulumi-resource-aws-3123456789abcdef2", long}, // no key
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, d.name, "bin"), 0o700))
		require.NoError(t, os.Chtimes(filepath.Join(root, d.name), d.at, d.at))
	}
	require.NoError(t, dropOld(filepath.Join(root, "pulumi-"+key), "pulumi"))
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	require.Equal(t, []string{"pulumi-0123456789abcdef", "pulumi-2123456789abcdef", "pulumi-home-4123456789abcdef",
		"pulumi-resource-aws-3123456789abcdef", "pulumi-resource-aws-3123456789abcdef2"}, left)
}

func TestPulumiHome(t *testing.T) {
	root := t.TempDir()
	binary := filepath.Join(root, "aws-plugin")
	require.NoError(t, os.WriteFile(binary, nil, 0o700))
	plugins := map[string]string{"aws-v6.83.4": binary}
	home, err := pulumiHome(root, plugins)
	require.NoError(t, err)
	leads, err := filepath.EvalSymlinks(filepath.Join(home, "plugins", "resource-aws-v6.83.4", "pulumi-resource-aws"))
	require.NoError(t, err)
	binary, err = filepath.EvalSymlinks(binary)
	require.NoError(t, err)
	require.Equal(t, binary, leads)

	again, err := pulumiHome(root, plugins)
	require.NoError(t, err)
	require.Equal(t, home, again)
	other, err := pulumiHome(root, map[string]string{"aws-v6.83.4": binary + "-2"})
	require.NoError(t, err)
	require.NotEqual(t, home, other, "a lab that runs keeps its plugins")
}

func TestLockKeepsOthersOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(path)
	require.NoError(t, err)
	entered := make(chan error, 1)
	go func() {
		second, err := lock(path)
		if err == nil {
			second()
		}
		entered <- err
	}()
	select {
	case err := <-entered:
		t.Fatal("two hold the lock: ", err)
	case <-time.After(50 * time.Millisecond):
	}
	unlock()
	select {
	case err := <-entered:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("the second never got the lock")
	}
}

// TestToolsModuleIsBuiltWithoutCgo holds that a machine without a C compiler can build all tools.
func TestToolsModuleIsBuiltWithoutCgo(t *testing.T) {
	require.Contains(t, goCommand(t.Context(), filepath.Join("scripts", "tools"), "version").Env, "CGO_ENABLED=0")
	require.Contains(t, goCommand(t.Context(), filepath.Join("scripts", "tools", "aws_signing_helper"), "version").Env, "CGO_ENABLED=0")
	out, err := goOutput(t.Context(), t.TempDir(), "env", "GOOS")
	require.NoError(t, err)
	require.Equal(t, runtime.GOOS+"\n", string(out))
	_, err = goOutput(t.Context(), t.TempDir(), "list", "-m", "example.invalid/none@v1")
	require.ErrorContains(t, err, "go list -m")
}
