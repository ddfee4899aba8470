package build

import (
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
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
	same("cmd/testdata/x.json", "{}\n")
	same("cmd/README.md", "what it is\n")
	same("lib/other/go.mod", "module other\n") // a module of its own, with all that is in it
	same("lib/other/other.go", "package other\n")
	other("cmd/main.go", "package main // changed\n")
	other("cmd/new.go", "package main\n")
	other("lib/deep/data.json", "[]\n")
	other("go.mod", "module x // changed\n")
	other("go.sum", "x v1 h1:\n")
	require.NotEqual(t, first, key("go1.27"))

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
	own, err := program(scripts, filepath.Dir(scripts))
	require.NoError(t, err)
	for _, target := range append(slices.Clone(targets), own) {
		files, err := target.files(scripts)
		require.NoError(t, err, target.name)
		out, err := goOutput(t.Context(), filepath.Join(scripts, target.dir), "list", "-e", "-deps",
			"-f", `{{with .Module}}{{if .Main}}{{range $.GoFiles}}{{$.Dir}}/{{.}} {{end}}{{range $.EmbedFiles}}{{$.Dir}}/{{.}} {{end}}{{end}}{{end}}`, target.pkg)
		require.NoError(t, err, target.name)
		compiled := strings.Fields(string(out))
		require.Equal(t, !strings.HasPrefix(target.pkg, "."), len(compiled) == 0, "%s: upstream's alone has no code of the project", target.name)
		for _, path := range compiled {
			rel, err := filepath.Rel(scripts, filepath.FromSlash(path))
			require.NoError(t, err)
			require.Contains(t, files, rel, "%s is made of it", target.name)
		}
	}
}

// TestWhatIsLeftOutIsOfAModule holds that each file of tools/_leaner has a module, and builds nothing.
func TestWhatIsLeftOutIsOfAModule(t *testing.T) {
	tools, err := filepath.Abs("../../../tools")
	require.NoError(t, err)
	files, err := sourceFiles(tools, "_leaner")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	mod, err := os.ReadFile(filepath.Join(tools, "go.mod"))
	require.NoError(t, err)
	for _, f := range files {
		require.True(t, filepath.Ext(f) == ".go" || strings.HasSuffix(f, ".go.edits.json"), f)
		rel := filepath.ToSlash(strings.TrimPrefix(f, "_leaner"+string(filepath.Separator)))
		found := false
		for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
			found = found || strings.Contains(string(mod), "\t"+dir+" ")
		}
		require.True(t, found, "%s belongs to no module that the tools need", f)
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

func TestLinks(t *testing.T) {
	root := t.TempDir()
	binary := filepath.Join(root, "aws-plugin")
	require.NoError(t, os.WriteFile(binary, nil, 0o700))
	const link = "plugins/resource-aws-v6.83.4/pulumi-resource-aws"
	home, err := links(root, "pulumi-home", map[string]string{link: binary})
	require.NoError(t, err)
	leads, err := os.Stat(filepath.Join(home, link))
	require.NoError(t, err)
	itself, err := os.Stat(binary)
	require.NoError(t, err)
	require.True(t, os.SameFile(leads, itself))

	again, err := links(root, "pulumi-home", map[string]string{link: binary})
	require.NoError(t, err)
	require.Equal(t, home, again)
	other, err := links(root, "pulumi-home", map[string]string{link: binary + "-2"})
	require.NoError(t, err)
	require.NotEqual(t, home, other, "a lab that runs keeps its plugins")
}

// TestPlugin holds what somebody may name in place of the lab's own provider plugins.
func TestPlugin(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "pulumi-resource-aws")
	require.NoError(t, os.WriteFile(binary, nil, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "text"), nil, 0o600))
	for _, path := range []string{binary, dir} {
		got, err := Plugin("aws", path)
		require.NoError(t, err)
		require.Equal(t, binary, got)
	}
	for path, want := range map[string]string{filepath.Join(dir, "none"): "none", filepath.Join(dir, "text"): "must be the plugin's program"} {
		_, err := Plugin("aws", path)
		require.ErrorContains(t, err, want)
	}
	_, err := Plugin("tls", dir)
	require.ErrorContains(t, err, "pulumi-resource-tls")
	_, err = Plugin("random", binary)
	require.ErrorContains(t, err, "must be aws, kubernetes or tls")
}

// TestProgressIsThereAtOnce holds that a build says what it does before it does anything, and what it waits for.
func TestProgressIsThereAtOnce(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, "building everything")
	require.Equal(t, "building everything: 0s\n", out.String())
	p.downloaded("example.com/a v1")
	p.of(3)
	p.compiled("example.com/a")
	p.end()
	require.Contains(t, out.String(), "1 modules downloaded, 1 of at most 3 packages compiled, done\n")
}

// TestFirstStageIsSmall holds that the lab's first stage, which a bare machine compiles in silence, is made of the standard
// library alone, and of no network code of it.
func TestFirstStageIsSmall(t *testing.T) {
	scripts, err := filepath.Abs("../../..")
	require.NoError(t, err)
	out, err := goOutput(t.Context(), scripts, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./lab")
	require.NoError(t, err)
	require.Equal(t, []string{"k3s-aws-auth/scripts/lab/internal/build", "k3s-aws-auth/scripts/lab"}, strings.Fields(string(out)))
	out, err = goOutput(t.Context(), scripts, "list", "-deps", "./lab")
	require.NoError(t, err)
	require.NotContains(t, strings.Fields(string(out)), "net")
}

func TestLockKeepsOthersOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var said bytes.Buffer
	unlock, err := lock(path, io.Discard)
	require.NoError(t, err)
	entered := make(chan error, 1)
	go func() {
		second, err := lock(path, &said)
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
		require.Contains(t, said.String(), "waiting for another build of the lab's programs (process "+strconv.Itoa(os.Getpid())+")")
	case <-time.After(10 * time.Second):
		t.Fatal("the second never got the lock")
	}
}

// TestEverythingIsBuiltWithoutCgo holds that a machine without a C compiler can build all tools.
func TestEverythingIsBuiltWithoutCgo(t *testing.T) {
	require.Contains(t, goCommand(t.Context(), t.TempDir(), "version").Env, "CGO_ENABLED=0")
	out, err := goOutput(t.Context(), t.TempDir(), "env", "GOOS")
	require.NoError(t, err)
	require.Equal(t, runtime.GOOS+"\n", string(out))
	_, err = goOutput(t.Context(), t.TempDir(), "list", "-m", "example.invalid/none@v1")
	require.ErrorContains(t, err, "go list -m")
}
