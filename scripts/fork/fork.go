package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"k3s-aws-auth/scripts/internal/cli"
)

// fork makes to the module path of the checkout at dir. It returns the path that the module had, and how many files it
// changed. Everything is worked out before the first file is written, and the root's go.mod, which says what the path was,
// is written last.
func fork(ctx context.Context, dir, to string) (was string, changed int, err error) {
	if err := checkPath(to); err != nil {
		return "", 0, cli.Usage(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", 0, err
	}
	if was = modfile.ModulePath(content); was == "" {
		return "", 0, fmt.Errorf("%s names no module", filepath.Join(dir, "go.mod"))
	}
	if was == to {
		return was, 0, nil
	}
	files, err := tracked(ctx, dir)
	if err != nil {
		return was, 0, err
	}
	rewritten, err := rewriteAll(dir, files, was, to)
	if err != nil {
		return was, 0, err
	}
	for _, name := range slices.Backward(files) {
		if text, ok := rewritten[name]; ok && name != "go.mod" {
			if err := replaceContent(filepath.Join(dir, name), text); err != nil {
				return was, 0, err
			}
		}
	}
	return was, len(rewritten), replaceContent(filepath.Join(dir, "go.mod"), rewritten["go.mod"])
}

// checkPath refuses what cannot be the path of a module that others import
// (https://go.dev/ref/mod#module-path), and major version suffixes: tags of a fork begin anew.
func checkPath(to string) error {
	const must = "must be where the repository is found, such as github.com/acme/platform-identity"
	if err := module.CheckPath(to); err != nil {
		return fmt.Errorf("MODULE: found %q: %s: %w", to, must, err)
	}
	if _, major, _ := module.SplitPathVersion(to); major != "" {
		return fmt.Errorf("MODULE: found %q: %s, without %s: a fork's releases begin at v0 or v1", to, must, major)
	}
	return nil
}

// tracked lists the files of the checkout that git knows, and refuses one with changes that are not committed.
func tracked(ctx context.Context, dir string) ([]string, error) {
	git := func(args ...string) (string, error) {
		var stderr bytes.Buffer
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
		}
		return string(out), nil
	}
	prefix, err := git("rev-parse", "--show-prefix")
	if err != nil || strings.TrimSpace(prefix) != "" {
		return nil, errors.Join(errors.New("this must run in a git repository of its own, so that the change can be seen and undone: "+
			"git init && git add --all && git commit"), err)
	}
	status, err := git("status", "--porcelain")
	if err != nil {
		return nil, err
	}
	if status != "" {
		return nil, fmt.Errorf("commit or stash your changes first, so that what this changes stands alone:\n%s", strings.TrimRight(status, "\n"))
	}
	list, err := git("ls-files", "-z")
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(list, func(r rune) bool { return r == 0 }), nil
}

// rewriteAll returns the new text of each file that changes.
func rewriteAll(dir string, files []string, was, to string) (map[string][]byte, error) {
	mentions := mentionsOf(was, files)
	rewritten := map[string][]byte{}
	for _, name := range files {
		at := filepath.Join(dir, name)
		if info, err := os.Lstat(at); err != nil || !info.Mode().IsRegular() {
			continue // a link's target is a file of its own
		}
		before, err := os.ReadFile(at)
		if err != nil {
			return nil, err
		}
		after := before
		if path.Base(name) == "go.mod" {
			after, err = rewriteModule(name, before, was, to)
		} else if bytes.IndexByte(before, 0) < 0 {
			after = rewriteText(before, mentions, was, to)
			if path.Ext(name) == ".go" && !bytes.Equal(before, after) {
				after, err = format.Source(after) // imports are in the order of their paths
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if !bytes.Equal(before, after) {
			rewritten[name] = after
		}
	}
	return rewritten, nil
}

// rewriteModule sets the paths that a go.mod names: its own and those of the modules and tools beside it.
func rewriteModule(name string, content []byte, was, to string) ([]byte, error) {
	file, err := modfile.Parse(name, content, nil)
	if err != nil {
		return nil, err
	}
	found := false
	replace := func(tokens []string) {
		for i, token := range tokens {
			if token == was || strings.HasPrefix(token, was+"/") {
				tokens[i], found = to+strings.TrimPrefix(token, was), true
			}
		}
	}
	for _, statement := range file.Syntax.Stmt {
		switch s := statement.(type) {
		case *modfile.Line:
			replace(s.Token)
		case *modfile.LineBlock:
			for _, line := range s.Line {
				replace(line.Token)
			}
		}
	}
	if !found {
		return content, nil
	}
	if file, err = modfile.Parse(name, modfile.Format(file.Syntax), nil); err != nil {
		return nil, err
	}
	file.SortBlocks()
	return modfile.Format(file.Syntax), nil
}

// mentionsOf matches a mention of the module's packages or of a module below it: was, a slash, and a directory with such
// things. Everything else that begins like the module, such as names of tags, parameters and images, is no path
// of a package, whatever it looks like. The mention is the second group, since what is before it may be no part of a longer
// path; the directory is the third.
func mentionsOf(was string, files []string) *regexp.Regexp {
	var dirs []string
	for _, name := range files {
		if path.Ext(name) == ".go" || path.Base(name) == "go.mod" {
			for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
				dirs = append(dirs, regexp.QuoteMeta(dir))
			}
		}
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	slices.Reverse(dirs) // the longest of those that begin alike comes first
	return regexp.MustCompile(`(^|[^A-Za-z0-9_./-])(` + regexp.QuoteMeta(was) + `/(` + strings.Join(dirs, "|") + `))($|[^A-Za-z0-9_/-]|/\.\.\.)`)
}

// rewriteText replaces each mention.
func rewriteText(text []byte, mentions *regexp.Regexp, was, to string) []byte {
	var out []byte
	for at := 0; ; {
		found := mentions.FindSubmatchIndex(text[at:])
		if found == nil {
			return append(out, text[at:]...)
		}
		start, end := at+found[4], at+found[5]
		out = append(append(out, text[at:start]...), to...)
		out = append(out, text[start+len(was):end]...)
		at = end // what ends one mention may begin the next
	}
}

// replaceContent writes a file that exists, which keeps its mode.
func replaceContent(name string, content []byte) error {
	return os.WriteFile(name, content, 0o644)
}
