package build

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// compile builds targets of one module and moves each to its path.
func compile(ctx context.Context, root, scripts, dir string, list []target, paths map[string]string, out io.Writer, step string) error {
	moduleDir := filepath.Join(scripts, dir)
	show := newProgress(out, fmt.Sprintf("building %s (%s)", names(list), step))
	defer show.end()
	var flags []string
	if filepath.ToSlash(dir) == "tools" {
		file, err := leanModules(ctx, root, moduleDir, show)
		if err != nil {
			return err
		}
		flags = append(flags, "-modfile", file)
	}
	// Beside the cache, so that a finished program is moved and not copied.
	tmp, err := os.MkdirTemp(root, ".build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	var packages []string
	for _, t := range list {
		packages = append(packages, t.pkg)
	}
	show.say("resolving modules")
	deps, err := run(ctx, moduleDir, show, append(append([]string{"list", "-deps", "-f", "{{.ImportPath}}"}, flags...), packages...)...)
	if err != nil {
		return err
	}
	show.of(strings.Count(string(deps), "\n"))
	args := append([]string{"build", "-v", "-ldflags", ldflags(dir), "-o", tmp + string(filepath.Separator)}, flags...)
	if _, err := run(ctx, moduleDir, show, append(args, packages...)...); err != nil {
		return err
	}
	for _, t := range list {
		made, err := onlyBinary(ctx, moduleDir, tmp, t, flags)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(paths[t.name]), 0o755); err != nil {
			return err
		}
		if err := os.Rename(made, paths[t.name]); err != nil {
			return err
		}
		if err := dropOld(filepath.Dir(paths[t.name]), t.name); err != nil {
			return err
		}
	}
	return nil
}

// onlyBinary is what the compiler has called a target's program: the last part of its package's path.
func onlyBinary(ctx context.Context, moduleDir, tmp string, t target, flags []string) (string, error) {
	out, err := goOutput(ctx, moduleDir, append(append([]string{"list", "-f", "{{.Target}}"}, flags...), t.pkg)...)
	if err != nil {
		return "", err
	}
	return filepath.Join(tmp, filepath.Base(strings.TrimSpace(string(out)))), nil
}

// run calls the go command, shows what it says and returns what it prints.
func run(ctx context.Context, dir string, show *progress, args ...string) ([]byte, error) {
	cmd := goCommand(ctx, dir, args...)
	var printed strings.Builder
	cmd.Stdout = &printed
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var said []string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		line := lines.Text()
		switch module, download := strings.CutPrefix(line, "go: downloading "); {
		case download:
			show.downloaded(module)
		case !strings.Contains(line, " "):
			show.compiled(line) // with -v the compiler names each package that it compiles
		default:
			said = append(said, line)
		}
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, strings.Join(said[max(0, len(said)-40):], "\n"))
	}
	return []byte(printed.String()), nil
}

// leanModules copies the modules that tools/_leaner changes, changed, and returns a go.mod of the tools module that takes
// the copies: the compiler does not let an overlay stand for a file of the module cache. They are downloaded first, since
// the go command knows no directory of a module that is not there.
func leanModules(ctx context.Context, root, tools string, show *progress) (modfile string, err error) {
	files, err := sourceFiles(tools, "_leaner")
	if err != nil {
		return "", err
	}
	h := target{name: "sources", dir: ".", sources: []string{"_leaner"}}
	key, err := h.key(tools, "")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, h.name+"-"+key)
	modfile = filepath.Join(dir, "tools.mod")
	if _, err := os.Stat(modfile); err == nil {
		return modfile, nil
	}
	show.say("fetching the modules of which parts are left out")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	modules, err := changedModules(ctx, tools, files, show)
	if err != nil {
		return "", err
	}
	if err := copyFile(filepath.Join(tools, "go.sum"), filepath.Join(dir, "tools.sum")); err != nil {
		return "", err
	}
	unfinished := filepath.Join(dir, "unfinished.mod")
	if err := copyFile(filepath.Join(tools, "go.mod"), unfinished); err != nil {
		return "", err
	}
	for path, from := range modules {
		to := filepath.Join(dir, filepath.FromSlash(path))
		if err := copyModule(from, to); err != nil {
			return "", err
		}
		own := filepath.Join("_leaner", filepath.FromSlash(path)) + string(filepath.Separator)
		for _, f := range files {
			rel, of := strings.CutPrefix(f, own)
			if !of {
				continue
			}
			if original, edits := strings.CutSuffix(rel, ".edits.json"); edits {
				if err := edited(filepath.Join(from, original), filepath.Join(tools, f), filepath.Join(to, original)); err != nil {
					return "", err
				}
				continue
			}
			if _, err := os.Stat(filepath.Join(from, rel)); err != nil {
				return "", fmt.Errorf("%s stands for a file that %s does not have: %w", f, path, err)
			}
			if err := copyFile(filepath.Join(tools, f), filepath.Join(to, rel)); err != nil {
				return "", err
			}
		}
		if _, err := goOutput(ctx, tools, "mod", "edit", "-replace="+path+"="+to, unfinished); err != nil {
			return "", err
		}
	}
	return modfile, errors.Join(os.Rename(unfinished, modfile), dropOld(dir, h.name))
}

// edited writes a file with the edits of another one. Each must fit exactly once, so that another version of the module
// is noticed.
func edited(from, edits, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(edits)
	if err != nil {
		return err
	}
	var list []struct{ Old, New string }
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("%s: %w", edits, err)
	}
	result := string(text)
	for i, e := range list {
		if n := strings.Count(result, e.Old); n != 1 {
			return fmt.Errorf("%s: edit %d fits %d times, must fit once: the module is another version than it was made for", edits, i, n)
		}
		result = strings.Replace(result, e.Old, e.New, 1)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	// The copy of the module has the original, which may be read-only.
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(to, []byte(result), 0o644)
}

// changedModules downloads the modules that the given files belong to and returns each one's directory. The longest path
// that is a module of the build list is a file's module.
func changedModules(ctx context.Context, tools string, files []string, show *progress) (map[string]string, error) {
	listed, err := run(ctx, tools, show, "list", "-m", "all")
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, line := range strings.Split(string(listed), "\n") {
		path, _, _ := strings.Cut(line, " ")
		known[path] = true
	}
	modules := map[string]string{}
	for _, f := range files {
		path := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(f, "_leaner"+string(filepath.Separator))))
		for ; !known[path]; path = path[:strings.LastIndex(path, "/")] {
			if !strings.Contains(path, "/") {
				return nil, fmt.Errorf("%s belongs to no module of %s", f, filepath.Join(tools, "go.mod"))
			}
		}
		if modules[path] != "" {
			continue
		}
		out, err := run(ctx, tools, show, "mod", "download", "-json", path)
		if err != nil {
			return nil, err
		}
		var downloaded struct{ Dir string }
		if err := json.Unmarshal(out, &downloaded); err != nil {
			return nil, err
		}
		modules[path] = downloaded.Dir
	}
	return modules, nil
}

// copyModule copies what a module's packages are compiled from.
func copyModule(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(d.Name(), "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyFile(path, filepath.Join(to, rel))
	})
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// keep is how long a build that is no longer asked for stays in the cache: a lab that runs may still use it.
const keep = 7 * 24 * time.Hour

// dropOld removes what earlier sources or versions of the same target left in the cache.
func dropOld(dir, name string) error {
	siblings, err := filepath.Glob(filepath.Join(filepath.Dir(dir), name+"-*"))
	if err != nil {
		return err
	}
	for _, s := range siblings {
		info, err := os.Stat(s)
		// The suffix is a key of 16 digits: "pulumi-*" must not reach "pulumi-resource-aws-…".
		if err != nil || s == dir || len(filepath.Base(s)) != len(name)+17 || time.Since(info.ModTime()) < keep {
			continue
		}
		if err := os.RemoveAll(s); err != nil {
			return err
		}
	}
	return nil
}

// links lays programs out in a directory of links, as their user looks for them: paths by the links' names.
func links(root, name string, programs map[string]string) (string, error) {
	dir := filepath.Join(root, name+"-"+digest(programs))
	for link, program := range programs {
		link = filepath.Join(dir, filepath.FromSlash(link))
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return "", err
		}
		// A hard link is the program itself: the Pulumi CLI looks for its language host beside its own, resolved path. The
		// cache may be of several file systems.
		if err := os.Link(program, link); err == nil || errors.Is(err, fs.ErrExist) {
			continue
		}
		if err := os.Symlink(program, link); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return dir, dropOld(dir, name)
}

// goCommand is a call of the go command in a module. Everything is built without cgo, since a machine may have no C
// compiler: then all modules share what is compiled of the packages that they have in common.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd
}

func goOutput(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := goCommand(ctx, dir, args...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	return out, err
}
