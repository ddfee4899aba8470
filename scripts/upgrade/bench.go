package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/internal/setups"
)

// bench is an old and a new program, and the lab of this checkout, which tries both.
type bench struct {
	// old and now are the directories of the two programs, labs is that of the labs, and command the lab's command.
	old, now, labs, command string
}

// prepare extracts the program of a ref, and builds the lab's command below dir. The old program is kept in the user's
// cache, by its commit: the compiler's own cache knows programs by their directory. to is the program to upgrade to; this
// checkout's where it is empty.
func prepare(ctx context.Context, ref, to, dir string) (*bench, error) {
	product, scripts, err := labs.Directories()
	if err != nil {
		return nil, err
	}
	b := &bench{now: product, labs: filepath.Join(dir, "labs"), command: filepath.Join(dir, "lab")}
	if b.old, err = extract(ctx, product, ref); err != nil {
		return nil, err
	}
	if to != "" {
		if b.now, err = filepath.Abs(to); err != nil {
			return nil, err
		}
	}
	// Releases before this list existed have the setups that it began with, and those before it said all that it says
	// have the same.
	list := filepath.Join("stacks", "setups.json")
	if _, err := setups.Load(b.old); err != nil {
		data, err := os.ReadFile(filepath.Join(product, list))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(b.old, list), data, 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", b.command, "./lab")
	cmd.Dir, cmd.Stdout, cmd.Stderr = scripts, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("build the lab's command: %w", err)
	}
	return b, nil
}

// extract writes the files of a ref into a directory, which it returns, without the scripts: the lab that tries a program
// is the newest.
func extract(ctx context.Context, repository, ref string) (string, error) {
	// The ref is an argument of rev-parse alone, and what comes out of it is a hash.
	commit, err := output(ctx, "git", "-C", repository, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("--from: found %q: must be a commit, branch or tag of this repository: %w", ref, err)
	}
	commit = strings.TrimSpace(commit)
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "k3s-aws-auth", "upgrade", commit)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return "", err
	}
	archive := filepath.Join(dir, ".tar")
	if _, err := output(ctx, "git", "-C", repository, "archive", "--format=tar", "--output="+archive, commit); err != nil {
		return "", err
	}
	if _, err := output(ctx, "tar", "-xf", archive, "-C", dir); err != nil {
		return "", err
	}
	return dir, errors.Join(os.Remove(archive), os.RemoveAll(filepath.Join(dir, "scripts")))
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

// lab runs the lab's command. out gets what it prints; nil is nobody.
func (b *bench) lab(ctx context.Context, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, b.command, args...)
	cmd.Env = append(os.Environ(), labs.RootVariable+"="+b.labs)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("lab %s: %w", strings.Join(args, " "), errors.Join(ctx.Err(), err))
	}
	return nil
}
