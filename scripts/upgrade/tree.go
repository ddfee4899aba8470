package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"k3s-aws-auth/scripts/internal/labs"
)

// tree is a directory with a program and, beside it, the lab of this directory: the lab that tries an old program is
// always the newest one.
type tree struct {
	root string
	// labs is the directory of the labs, bin the lab's command.
	labs, bin string
}

// trees makes the tree of a ref below dir, and returns it with the one that is upgraded to. to is this directory where it
// is empty.
func trees(ctx context.Context, ref, to, dir string) (old, now *tree, err error) {
	product, scripts, err := labs.Directories()
	if err != nil {
		return nil, nil, err
	}
	old = &tree{root: filepath.Join(dir, "old"), labs: filepath.Join(dir, "labs"), bin: filepath.Join(dir, "lab-old")}
	if err := extract(ctx, product, ref, old.root); err != nil {
		return nil, nil, err
	}
	now = &tree{root: product, labs: old.labs, bin: filepath.Join(dir, "lab-new")}
	others := []*tree{old}
	if to != "" {
		if to, err = filepath.Abs(to); err != nil {
			return nil, nil, err
		}
		now.root = filepath.Join(dir, "new")
		if err := copyTree(to, now.root); err != nil {
			return nil, nil, err
		}
		others = append(others, now)
	}
	for _, t := range others {
		if err := os.RemoveAll(filepath.Join(t.root, "scripts")); err != nil {
			return nil, nil, err
		}
		if err := copyTree(scripts, filepath.Join(t.root, "scripts")); err != nil {
			return nil, nil, err
		}
	}
	return old, now, nil
}

// extract writes the files of a ref into a directory.
func extract(ctx context.Context, repository, ref, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// The ref is an argument of rev-parse alone, and what comes out of it is a hash.
	commit, err := output(ctx, "git", "-C", repository, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err != nil {
		return fmt.Errorf("--from: found %q: must be a commit, branch or tag of this repository: %w", ref, err)
	}
	archive := filepath.Join(dir, ".tar")
	if _, err := output(ctx, "git", "-C", repository, "archive", "--format=tar", "--output="+archive, strings.TrimSpace(commit)); err != nil {
		return err
	}
	if _, err := output(ctx, "tar", "-xf", archive, "-C", dir); err != nil {
		return err
	}
	return os.Remove(archive)
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}

// copyTree copies the regular files of a directory, without what git and others keep in directories that begin with a
// dot.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && rel != "." && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, info.Mode().Perm())
	})
}

func (t *tree) file(name string) string { return filepath.Join(t.root, name) }

func (t *tree) kubeconfig(setup string) string { return filepath.Join(t.labs, setup, "kubeconfig") }

// build compiles the lab's command with the tree's program.
func (t *tree) build(ctx context.Context) error {
	fmt.Fprintf(os.Stderr, "compiling the lab with the program in %s\n", t.root)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", t.bin, "./lab")
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.file("scripts"), os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compile the lab with the program in %s: %w", t.root, err)
	}
	return nil
}

// lab runs the lab's command in the tree. out gets what it prints; nil is nobody.
func (t *tree) lab(ctx context.Context, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, t.bin, args...)
	cmd.Dir = t.root
	cmd.Env = append(os.Environ(), labs.RootVariable+"="+t.labs)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return fmt.Errorf("lab %s: %w", strings.Join(args, " "), err)
	}
	return nil
}
