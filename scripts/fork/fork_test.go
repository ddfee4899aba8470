package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

const acme = "github.com/acme/platform-identity"

// run runs a program in a directory and returns what it printed.
func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s%s", args, out, stderr.String())
	return string(out)
}

// commit makes a git repository of a directory, with all that is in it.
func commit(t *testing.T, dir string) {
	t.Helper()
	run(t, dir, "git", "init", "--quiet")
	run(t, dir, "git", "add", "--all", "--force")
	run(t, dir, "git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "all")
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
}

// copyOf copies this repository's files, those that are not committed yet too.
func copyOf(t *testing.T) (dir string, files map[string]string) {
	t.Helper()
	if exec.CommandContext(t.Context(), "git", "rev-parse").Run() != nil {
		t.Skip("this is no git repository")
	}
	dir, files = t.TempDir(), map[string]string{}
	for _, name := range strings.Split(run(t, "../..", "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00") {
		info, err := os.Lstat(filepath.Join("../..", name))
		if err != nil || !info.Mode().IsRegular() { // deleted and not committed, or no name
			continue
		}
		content, err := os.ReadFile(filepath.Join("../..", name))
		require.NoError(t, err)
		write(t, dir, name, string(content))
		require.NoError(t, os.Chmod(filepath.Join(dir, name), info.Mode()))
		files[name] = string(content)
	}
	commit(t, dir)
	return dir, files
}

// TestForkOfThisRepository holds, of all files of this repository, that a fork differs from it in the module path alone,
// that nothing is left which names a package by the old one, and that every package is found by the new one. With CI set it
// compiles all of both modules too, and holds the golden files of names and types against what the fork makes.
func TestForkOfThisRepository(t *testing.T) {
	dir, before := copyOf(t)
	const other = "example.com/" + "a-fork/of-this" // a path that stands nowhere yet
	was, changed, err := fork(t.Context(), dir, other)
	require.NoError(t, err)
	require.Equal(t, modfile.ModulePath([]byte(before["go.mod"])), was)
	require.Greater(t, changed, 100)

	lines := func(text string) []string { // imports are sorted, and requirements
		all := strings.Split(text, "\n")
		slices.Sort(all)
		return all
	}
	mentions := mentionsOf(was, strings.Split(strings.TrimSuffix(run(t, dir, "git", "ls-files", "-z"), "\x00"), "\x00"))
	for name, content := range before {
		after, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.False(t, bytes.Contains(after, []byte(was+"/")) && mentions.Match(after), "%s names a package of %s", name, was)
		for _, word := range []string{"PROJECT", "DESCRIPTION"} {
			require.NotContains(t, content, "${"+word+"}", "%s: `pulumi new` would put something else there", name)
		}
		if string(after) != content {
			require.Equal(t, lines(content), lines(strings.ReplaceAll(string(after), other, was)), name)
		}
	}
	for name, content := range before {
		if filepath.Base(name) == "go.mod" && strings.HasPrefix(modfile.ModulePath([]byte(content)), was) {
			after, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, strings.TrimSuffix(other+"/"+filepath.ToSlash(filepath.Dir(name)), "/."), modfile.ModulePath(after))
		}
	}
	for _, module := range []string{dir, filepath.Join(dir, "scripts")} {
		require.Empty(t, run(t, module, "go", "list", "-e", "-f", "{{with .Error}}{{.}}\n{{end}}{{range .DepsErrors}}{{.}}\n{{end}}", "./..."))
	}
	if os.Getenv("CI") == "" {
		t.Log("not compiled: set CI=true")
		return
	}
	run(t, dir, "go", "vet", "./...")
	run(t, dir, "go", "test", "./stacks")
	run(t, filepath.Join(dir, "scripts"), "go", "vet", "./...")
}

// TestForkTwice holds that a second run changes nothing, also where the first is not committed, and that another path can
// follow.
func TestForkTwice(t *testing.T) {
	dir := small(t)
	_, changed, err := fork(t.Context(), dir, acme)
	require.NoError(t, err)
	require.Equal(t, 4, changed)
	was, changed, err := fork(t.Context(), dir, acme)
	require.NoError(t, err)
	require.Equal(t, acme, was)
	require.Zero(t, changed)
	commit(t, dir)
	was, changed, err = fork(t.Context(), dir, "example.com/a/thing")
	require.NoError(t, err)
	require.Equal(t, acme, was)
	require.Equal(t, 4, changed)
	content, err := os.ReadFile(filepath.Join(dir, "main.go"))
	require.NoError(t, err)
	require.Contains(t, string(content), `"example.com/a/thing/stacks"`)
}

// small makes a repository of two modules.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "go.mod", "module thing\n\ngo 1.26\n")
	write(t, dir, "main.go", "package main\n\nimport (\n\t_ \"thing/stacks\"\n\n\t_ \"os\"\n)\n\nfunc main() { println(\"thing/tag\", \"thing:stacks:Type\") }\n")
	write(t, dir, "stacks/stacks.go", "package stacks\n\n// Type is a token.\nconst Type = \"thing:stacks:Type\"\n")
	write(t, dir, "scripts/go.mod", "module thing/scripts\n\ngo 1.26\n\nrequire thing v0.0.0\n\nreplace thing => ../\n")
	write(t, dir, "scripts/x/x.go", "package main\n\nimport _ \"thing/stacks\"\n\nfunc main() {}\n")
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "link")))
	commit(t, dir)
	return dir
}

// TestWhatIsAMention holds what is the path of a package and what only looks like one.
func TestWhatIsAMention(t *testing.T) {
	files := []string{"main.go", "components/k3s/k3s.go", "components/k3s/testdata/x.json", "scripts/go.mod", "scripts/lab/internal/x/x.go", "docs/a.md"}
	mentions := mentionsOf("acme-iam", files)
	for text, want := range map[string]string{
		`import "acme-iam/components/k3s"`:                     `import "NEW/components/k3s"`,
		"go build -ldflags '-X acme-iam/components/k3s.V=1'":   "go build -ldflags '-X NEW/components/k3s.V=1'",
		"//go:linkname a acme-iam/scripts/lab/internal/x.a":    "//go:linkname a NEW/scripts/lab/internal/x.a",
		"go list acme-iam/components/... acme-iam/scripts":     "go list NEW/components/... NEW/scripts",
		"acme-iam/scripts acme-iam/scripts":                    "NEW/scripts NEW/scripts",
		"go get acme-iam/components/k3s@v1":                    "go get NEW/components/k3s@v1",
		`"acme-iam:k3s:Cluster"`:                               `"acme-iam:k3s:Cluster"`,
		`"acme-iam"`:                                           `"acme-iam"`,
		`"acme-iam/cluster"`:                                   `"acme-iam/cluster"`,
		`"acme-iam/docs"`:                                      `"acme-iam/docs"`,
		`"acme-iam/components/k3s/testdata"`:                   `"acme-iam/components/k3s/testdata"`,
		`"acme-iam/components/k3s-x"`:                          `"acme-iam/components/k3s-x"`,
		"/etc/acme-iam/scripts":                                "/etc/acme-iam/scripts",
		"https://github.com/acme/acme-iam/scripts":             "https://github.com/acme/acme-iam/scripts",
		"other-acme-iam/components/k3s":                        "other-acme-iam/components/k3s",
		"acme-iam/scripts/lab/internal/x_test is no directory": "acme-iam/scripts/lab/internal/x_test is no directory",
	} {
		require.Equal(t, want, string(rewriteText([]byte(text), mentions, "acme-iam", "NEW")))
	}
}

// TestRefusals holds that nothing is touched where the path, or the state of the tree, is not as it must be.
func TestRefusals(t *testing.T) {
	dir := small(t)
	for path, want := range map[string]string{
		"":                               "malformed module path",
		"platform-identity":              "missing dot in first path element",
		"https://github.com/acme/x":      "malformed module path",
		"github.com/acme/x/":             "trailing slash",
		"github.com/Acme Corp/x":         "invalid char ' '",
		"github.com/acme/x/v2":           "without /v2",
		"gopkg.in/acme.v3":               "without .v3",
		"github.com/acme/../x":           "malformed",
		"git@github.com:acme/x.git":      "malformed",
		"github.com/acme/x\nreplace a=b": "malformed",
	} {
		_, _, err := fork(t.Context(), dir, path)
		require.ErrorContains(t, err, want, path)
		require.ErrorContains(t, err, "such as github.com/acme/platform-identity", path)
	}
	write(t, dir, "new.go", "package main\n")
	_, _, err := fork(t.Context(), dir, acme)
	require.ErrorContains(t, err, "commit or stash your changes first")
	require.ErrorContains(t, err, "new.go")
	require.NoError(t, os.Remove(filepath.Join(dir, "new.go")))
	require.Empty(t, run(t, dir, "git", "status", "--porcelain"))

	require.NoError(t, os.RemoveAll(filepath.Join(dir, ".git")))
	_, _, err = fork(t.Context(), dir, acme)
	require.ErrorContains(t, err, "git init && git add --all && git commit")
}
