package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/labs"
	"k3s-aws-auth/scripts/rotate/internal/walk"
)

// place is a stack as its owner has it: a project with the stack's file, and an environment that leads to its backend and
// its account.
type place struct {
	dir   string // of the project
	stack string // its name, full or short
	out   io.Writer
}

// here is the stack of a project directory and of this process's environment. A lab's variables become those of the process:
// what it starts and what it asks has them, as if a shell had read `lab env`.
func here(ctx context.Context, dir, stack, lab string, out io.Writer) (*place, error) {
	if lab != "" {
		if dir != "" || stack != "" {
			return nil, cli.Usage(errors.New("--lab says which stack it is: leave out --dir and --stack"))
		}
		var err error
		if dir, err = enter(ctx, lab); err != nil {
			return nil, err
		}
		stack = "lab"
	}
	if dir == "" {
		var err error
		if dir, _, err = labs.Directories(); err != nil {
			return nil, err
		}
	}
	if stack == "" {
		stack = os.Getenv("PULUMI_STACK")
	}
	p := &place{dir: dir, stack: stack, out: out}
	if p.stack == "" {
		name, err := p.ask(ctx, "stack", "--show-name", "--non-interactive")
		if err != nil {
			return nil, fmt.Errorf("which stack: %w (--stack says it)", err)
		}
		p.stack = strings.TrimSpace(string(name))
	}
	return p, nil
}

// enter takes the environment of a running lab, with the programs that the lab has built.
func enter(ctx context.Context, setup string) (dir string, err error) {
	if _, err := labs.Open("", setup); err != nil {
		return "", err
	}
	_, scripts, err := labs.Directories()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "run", "./lab", "env", "--setup", setup, "--json")
	cmd.Dir, cmd.Stderr = scripts, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("lab env: %w", err)
	}
	env := map[string]string{}
	if err := json.Unmarshal(text, &env); err != nil {
		return "", fmt.Errorf("lab env: %w", err)
	}
	program, home := labs.Built("pulumi-cli-*/bin/pulumi"), labs.Built("pulumi-home-*")
	if program == "" || home == "" {
		return "", errors.New("the lab's Pulumi is not built: run `make lab`")
	}
	env["PATH"] = filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH")
	env["PULUMI_HOME"] = home
	for k, v := range env {
		if err := os.Setenv(k, v); err != nil {
			return "", err
		}
	}
	for _, k := range []string{"AWS_PROFILE", "AWS_SESSION_TOKEN", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE"} { // the user's own
		if err := os.Unsetenv(k); err != nil {
			return "", err
		}
	}
	root, err := labs.Root()
	return filepath.Join(root, setup, "work"), err
}

// file is the stack's file.
func (p *place) file() string {
	return filepath.Join(p.dir, "Pulumi."+p.stack[strings.LastIndexByte(p.stack, '/')+1:]+".yaml")
}

// ask runs a pulumi command that changes nothing, and returns what it prints.
func (p *place) ask(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "pulumi", args...)
	cmd.Dir = p.dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		// Errors of the program are in what a preview prints.
		return out, fmt.Errorf("pulumi %s: %w: %s", args[0], err, strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}

// errLocked says that another update of the stack runs.
var errLocked = errors.New("the stack is locked by another update")

// run runs a pulumi command that changes something. It goes on where this process is killed: it has a process group and files
// of its own, no pipe that would end with its reader. It is interrupted, as Pulumi wants it, where this process is.
func (p *place) run(ctx context.Context, args ...string) error {
	log, err := os.CreateTemp("", "rotate-*.log")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(log.Name()) }()
	defer func() { _ = log.Close() }()
	shown, err := os.Open(log.Name())
	if err != nil {
		return err
	}
	defer func() { _ = shown.Close() }()
	cmd := exec.CommandContext(ctx, "pulumi", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for done := false; !done; {
		select {
		case err = <-ended:
			done = true
		case <-time.After(200 * time.Millisecond):
		}
		_, _ = io.Copy(p.out, shown)
	}
	if err == nil {
		return nil
	}
	said, _ := os.ReadFile(log.Name())
	// backend/diy/lock.go, and the answer 409 of Pulumi Cloud.
	for _, sign := range []string{"the stack is currently locked by", "Another update is currently in progress"} {
		if strings.Contains(string(said), sign) {
			return errLocked
		}
	}
	return fmt.Errorf("pulumi %s: %w", args[0], err)
}

// pageSize is how many updates are asked for at once.
const pageSize = 100

// history reads the stack's updates, the newest first. The history says what each update was given, whether it succeeded and
// when it ended; the stack's outputs do not say the latter, and are of whatever program ran last.
func (p *place) history(ctx context.Context, set func(config map[string]string) (walk.Set, error)) ([]walk.Update, error) {
	var updates []walk.Update
	for page := 1; ; page++ {
		text, err := p.ask(ctx, "stack", "history", "--json", "--stack", p.stack, "--page-size", fmt.Sprint(pageSize), "--page", fmt.Sprint(page))
		if err != nil {
			return nil, err
		}
		more, n, err := readHistory(text, set)
		if err != nil {
			return nil, err
		}
		updates = append(updates, more...)
		if n < pageSize {
			return updates, nil
		}
	}
}

// readHistory reads what `pulumi stack history --json` prints, and counts its entries.
func readHistory(text []byte, set func(map[string]string) (walk.Set, error)) ([]walk.Update, int, error) {
	var entries []struct {
		Kind        string
		Result      string
		EndTime     *time.Time
		Environment map[string]string
		Config      map[string]struct {
			Value *string
		}
	}
	if err := json.Unmarshal(text, &entries); err != nil {
		return nil, 0, fmt.Errorf("pulumi stack history: %w", err)
	}
	var updates []walk.Update
	for i, e := range entries {
		u := walk.Update{Succeeded: e.Result == "succeeded"}
		if e.EndTime != nil {
			u.End = *e.EndTime
		}
		switch e.Kind {
		case "destroy":
			updates = append(updates, u)
			continue
		case "update":
		default:
			continue // a refresh or an import gives AWS nothing
		}
		for _, flag := range []string{"target", "exclude"} {
			if _, given := e.Environment["pulumi.flag."+flag]; given {
				u.Succeeded = false // it was of a part of the stack
			}
		}
		values := map[string]string{}
		for key, v := range e.Config {
			if v.Value != nil {
				values[key] = *v.Value
			}
		}
		var err error
		if u.Set, err = set(values); err != nil {
			return nil, 0, fmt.Errorf("pulumi stack history: entry %d: %w", i, err)
		}
		updates = append(updates, u)
	}
	return updates, len(entries), nil
}
