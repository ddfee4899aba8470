// Command lab runs the whole identity chain on this machine, without an AWS account. This is its first stage: it compiles
// within seconds, builds the lab's command with a progress that stands there from the first second, and becomes it. What
// the lab does is in ./command.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"k3s-aws-auth/scripts/lab/internal/build"
)

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// start replaces this process by the lab's command. It returns only where that does not work.
func start() error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	scripts, err := scriptsModule()
	if err != nil {
		return err
	}
	path, err := build.Command(ctx, scripts, os.Stderr)
	if err != nil {
		return err
	}
	//nolint:gosec // it is what was built from this checkout
	return syscall.Exec(path, append([]string{path}, os.Args[1:]...), append(os.Environ(), build.ScriptsVariable+"="+scripts))
}

// scriptsModule is the directory of the scripts module: the one that this was compiled in or, where that is not recorded
// (-trimpath), the one of the checkout around the working directory.
func scriptsModule() (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		return filepath.Dir(filepath.Dir(file)), nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		for _, scripts := range []string{dir, filepath.Join(dir, "scripts")} {
			if _, err := os.Stat(filepath.Join(scripts, "lab", "command")); err == nil {
				return scripts, nil
			}
		}
	}
	return "", errors.New("run this inside the project: no scripts/lab/command in this directory or above it")
}
