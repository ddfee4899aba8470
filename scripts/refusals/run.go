package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/setups"
)

// tryAll tries the wanted cases of each setup. Its error names the labs that could not be reached, and says whether a
// case was not refused.
func tryAll(ctx context.Context, o options, chosen setups.List, wanted map[string][]Case) ([]Result, error) {
	results := []Result{}
	var errs []error
	for _, setup := range chosen {
		if len(wanted[setup.Name]) == 0 || ctx.Err() != nil {
			continue
		}
		got, err := trySetup(ctx, o, setup, wanted[setup.Name])
		results = append(results, got...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", setup.Name, err))
		}
	}
	wrong := 0
	for _, r := range results {
		if !r.OK {
			wrong++
		}
	}
	if wrong > 0 {
		errs = append(errs, fmt.Errorf("%d of %d cases were not refused as they must", wrong, len(results)))
	}
	return results, errors.Join(append(errs, ctx.Err())...)
}

func trySetup(ctx context.Context, o options, setup setups.Setup, wanted []Case) (results []Result, err error) {
	env, done, err := environment(ctx, o, setup.Name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	t, err := newTarget(ctx, env, o.stack)
	if err != nil {
		return nil, err
	}
	defer t.close()
	name := t.Setup.Name
	t.Setup = setup
	if name != setup.Name {
		if o.setup == setups.All && o.here {
			return nil, nil // the shell's stack has one setup
		}
		return nil, fmt.Errorf("the stack's setup is %s", name)
	}
	if err := t.control(ctx); err != nil {
		return nil, fmt.Errorf("what is right is refused, so refusals prove nothing: %w", err)
	}
	wanted = slices.DeleteFunc(slices.Clone(wanted), func(c Case) bool { return c.Here != nil && !c.Here(t) })
	for i, c := range wanted {
		if ctx.Err() != nil {
			break
		}
		progress("%s %d/%d %s", setup.Name, i+1, len(wanted), c.Name)
		results = append(results, try(ctx, t, c))
	}
	progress("")
	return results, nil
}

// progress rewrites one line of a terminal, and is silent elsewhere.
func progress(format string, args ...any) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\033[K"+format, args...)
	}
}

func try(ctx context.Context, t *Target, c Case) Result {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r := Result{Setup: t.Setup.Name, Name: c.Name, What: c.What, Want: c.want()}
	r.Got, r.OK = c.judge(c.Try(ctx, t))
	r.Seconds = time.Since(start).Round(time.Millisecond).Seconds()
	return r
}

// environment returns the variables that lead to a setup's stack. done takes down the lab that was started for it.
func environment(ctx context.Context, o options, setup string) (env map[string]string, done func() error, err error) {
	nothing := func() error { return nil }
	if o.here {
		env = map[string]string{}
		for _, kv := range os.Environ() {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		return env, nothing, nil
	}
	lab := labCommand(o.lab)
	if env, err := labEnvironment(ctx, lab, setup); err == nil {
		return env, nothing, nil
	}
	up := []string{"up", "--setup", setup, "--json"}
	for _, change := range o.config {
		up = append(up, "--config", change)
	}
	if _, err := lab(ctx, up...); err != nil {
		return nil, nil, err
	}
	done = func() error {
		if o.keep {
			return nil
		}
		_, err := lab(context.WithoutCancel(ctx), "down", "--setup", setup, "--json")
		return err
	}
	env, err = labEnvironment(ctx, lab, setup)
	if err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return env, done, nil
}

// labCommand runs the lab's commands: a program, or the source beside this one's.
func labCommand(program string) func(ctx context.Context, args ...string) ([]byte, error) {
	return func(ctx context.Context, args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, program, args...)
		if program == "" {
			cmd = exec.CommandContext(ctx, "go", append([]string{"run", "./lab"}, args...)...)
			cmd.Dir = scriptsDir()
		}
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		if args[0] != "env" {
			cmd.Stderr = os.Stderr
		}
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("lab %s: %w", args[0], err)
		}
		return out, nil
	}
}

// scriptsDir is the scripts module: this program is started in it, or built from it.
func scriptsDir() string {
	if _, err := os.Stat("lab"); err == nil {
		return "."
	}
	if _, err := os.Stat(filepath.Join("scripts", "lab")); err == nil {
		return "scripts"
	}
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}

func labEnvironment(ctx context.Context, lab func(context.Context, ...string) ([]byte, error), setup string) (map[string]string, error) {
	out, err := lab(ctx, "env", "--setup", setup, "--json")
	if err != nil {
		return nil, err
	}
	lines := map[string]string{}
	if err := json.Unmarshal(out, &lines); err != nil {
		return nil, fmt.Errorf("lab env: %w", err)
	}
	env := map[string]string{}
	for _, k := range []string{"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME"} {
		if v, ok := os.LookupEnv(k); ok {
			env[k] = v
		}
	}
	for k, v := range lines {
		env[k] = v
	}
	return env, nil
}
