//go:build unix

package kubelet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// NewHostRunner runs pods as plain processes of this machine, where there are no namespaces: what a manifest mounts is
// found under other paths, which are rewritten in commands, arguments, environment and configuration files, and env
// (AWS_ENDPOINT_URL, AWS_CA_BUNDLE, AWS_EC2_METADATA_SERVICE_ENDPOINT ...) leads clients to the lab. Dir is for the
// files that images bring.
func NewHostRunner(dir string, env []string) Runner { return &hostRunner{dir: dir, env: env} }

type hostRunner struct {
	dir string
	env []string
}

func (r *hostRunner) Weaker() []string {
	return []string{
		"the metadata hop limit is not enforced: a pod reaches its node's credentials whatever the limit says",
		"pods share this machine's network: a pod has no address of its own, and DNS and AWS's host names are not the lab's",
		"read-only mounts, noexec, read-only root file systems and dropped capabilities are not enforced",
		"a container sees this machine's files, and runs as the user that runs the lab",
	}
}

func (r *hostRunner) AddPod(string) (sandbox.PodNet, error) {
	return sandbox.PodNet{IP: "127.0.0.1"}, nil
}
func (r *hostRunner) RemovePod(string) error     { return nil }
func (r *hostRunner) Memory(string, int64) error { return nil }
func (r *hostRunner) ReleaseMemory(dir string) error {
	return nil
}

func (r *hostRunner) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// beforePath and afterPath are the characters that may stand around a path in a text; a path also begins and ends with
// the text, and goes on after a slash.
const (
	beforePath = " \t\n\"'=:;,&|<>({["
	afterPath  = "/ \t\n\"'\\:;,&|<>)=]}"
)

// Rewrite replaces mount targets by their sources, the longest that fits, where they stand as whole path elements. What
// was put in is not looked at again.
func (r *hostRunner) Rewrite(text string, mounts []sandbox.Mount) string {
	sources := map[string]string{}
	for _, m := range mounts {
		if target := filepath.Clean(m.Target); m.Source != "" && target != "/" {
			sources[target] = m.Source
			// /var/run is a link to /run, so both names lead to the mount.
			if rest, ok := strings.CutPrefix(target, "/var/run/"); ok {
				sources["/run/"+rest] = m.Source
			}
		}
	}
	targets := slices.SortedFunc(maps.Keys(sources), func(a, b string) int { return len(b) - len(a) })
	fits := func(i int) string {
		if text[i] != '/' || i > 0 && !strings.ContainsRune(beforePath, rune(text[i-1])) {
			return ""
		}
		for _, t := range targets {
			if rest, ok := strings.CutPrefix(text[i:], t); ok && (rest == "" || strings.ContainsRune(afterPath, rune(rest[0]))) {
				return t
			}
		}
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		if t := fits(i); t != "" {
			b.WriteString(sources[t])
			i += len(t)
			continue
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

func (r *hostRunner) Run(spec sandbox.ContainerSpec) (Process, error) {
	if len(spec.Args) == 0 {
		return nil, errors.New("container: no command")
	}
	mounts := slices.Clone(spec.Mounts)
	var own []string // directories that end with the container
	// /tmp is a container's own: without a mount on it, it gets a directory.
	if !slices.ContainsFunc(mounts, func(m sandbox.Mount) bool { return filepath.Clean(m.Target) == "/tmp" }) {
		if err := os.MkdirAll(r.dir, 0o700); err != nil {
			return nil, err
		}
		tmp, err := os.MkdirTemp(r.dir, "tmp-")
		if err != nil {
			return nil, fmt.Errorf("container's /tmp: %w", err)
		}
		mounts = append(mounts, sandbox.Mount{Source: tmp, Target: "/tmp"})
		own = append(own, tmp)
	}
	// A program that is mounted from elsewhere under its own name is found through a directory of links.
	bin, err := r.bin(spec.Mounts)
	if err == nil {
		own = append(own, bin)
		p := &hostProcess{runner: r, mounts: mounts, bin: bin, own: own}
		if err = p.start(spec.Args, spec.Env, spec.Dir, spec.Stdin, spec.Stdout, spec.Stderr, spec.TTY); err == nil {
			return p, nil
		}
	}
	return nil, errors.Join(err, removeAll(own))
}

func removeAll(dirs []string) error {
	var errs []error
	for _, d := range dirs {
		errs = append(errs, os.RemoveAll(d))
	}
	return errors.Join(errs...)
}

// bin makes a directory with a link for every executable file among the mounts.
func (r *hostRunner) bin(mounts []sandbox.Mount) (string, error) {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return "", err
	}
	bin, err := os.MkdirTemp(r.dir, "bin-")
	if err != nil {
		return "", err
	}
	for _, m := range mounts {
		if m.Source == "" {
			continue
		}
		if info, err := os.Stat(m.Source); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			if err := os.Symlink(m.Source, filepath.Join(bin, filepath.Base(m.Target))); err != nil && !errors.Is(err, os.ErrExist) {
				return "", err
			}
		}
	}
	return bin, nil
}

type hostProcess struct {
	runner *hostRunner
	mounts []sandbox.Mount
	bin    string
	own    []string
	cmd    *exec.Cmd
	done   chan struct{}
	status sandbox.ExitStatus
}

func (p *hostProcess) start(args, env []string, dir string, stdin, stdout, stderr *os.File, tty bool) error {
	rewritten := make([]string, len(args))
	for i, a := range args {
		rewritten[i] = p.runner.Rewrite(a, p.mounts)
	}
	path, full := os.Getenv("PATH"), []string{}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		if name == "PATH" {
			continue // the container's directories do not exist here
		}
		full = append(full, name+"="+p.runner.Rewrite(value, p.mounts))
	}
	full = append(full, "PATH="+p.bin+":"+path)
	full = append(full, p.runner.env...)
	program := rewritten[0]
	if !strings.Contains(program, "/") {
		found := false
		for _, d := range filepath.SplitList(p.bin + ":" + path) {
			candidate := filepath.Join(d, program)
			if info, err := os.Stat(candidate); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				program, found = candidate, true
				break
			}
		}
		if !found {
			return fmt.Errorf("exec: %q: %w in $PATH", args[0], sandbox.ErrNotFound)
		}
	} else if _, err := os.Stat(program); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("exec: %q: stat %s: no such file or directory: %w", args[0], program, sandbox.ErrNotFound)
	}
	p.cmd = &exec.Cmd{Path: program, Args: rewritten, Env: full}
	if dir != "" {
		if d := p.runner.Rewrite(dir, p.mounts); isDir(d) {
			p.cmd.Dir = d
		}
	}
	// Assigned only where set: a nil *os.File in an interface is not nil.
	if stdin != nil {
		p.cmd.Stdin = stdin
	}
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	if stderr != nil {
		p.cmd.Stderr = stderr
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: tty}
	p.done = make(chan struct{})
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = p.cmd.Wait()
		if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			p.status = sandbox.ExitStatus{Code: 128 + int(status.Signal()), Signal: int(status.Signal())}
		} else {
			p.status = sandbox.ExitStatus{Code: p.cmd.ProcessState.ExitCode()}
		}
		// Nothing of the container outlives its first process.
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		_ = removeAll(p.own)
		close(p.done)
	}()
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (p *hostProcess) Done() <-chan struct{} { return p.done }

func (p *hostProcess) Wait() sandbox.ExitStatus {
	<-p.done
	return p.status
}

func (p *hostProcess) Kill(grace time.Duration) sandbox.ExitStatus {
	select {
	case <-p.done:
		return p.status
	default:
	}
	if grace > 0 {
		_ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGTERM) // to the first process alone, as in a sandbox
		select {
		case <-p.done:
			return p.status
		case <-time.After(grace):
		}
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	return p.Wait()
}

func (p *hostProcess) Exec(spec sandbox.ExecSpec) (Process, error) {
	if len(spec.Args) == 0 {
		return nil, errors.New("exec: no command")
	}
	e := &hostProcess{runner: p.runner, mounts: p.mounts, bin: p.bin}
	err := e.start(spec.Args, spec.Env, spec.Dir, spec.Stdin, spec.Stdout, spec.Stderr, spec.TTY)
	if err != nil {
		return nil, err
	}
	return e, nil
}
