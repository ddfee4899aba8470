package runs

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Here describes this machine and the project's state; dir is the project's directory. What cannot be found out stays
// empty.
func Here(ctx context.Context, dir string) Environment {
	e := Environment{OS: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), CPU: cpu()}
	if out, err := exec.CommandContext(ctx, "uname", "-sr").Output(); err == nil {
		e.OS = strings.TrimSpace(string(out)) + " " + runtime.GOARCH
	}
	if out, err := exec.CommandContext(ctx, "git", "-C", dir, "rev-parse", "--short=12", "HEAD").Output(); err == nil {
		e.Commit = strings.TrimSpace(string(out))
		if out, err := exec.CommandContext(ctx, "git", "-C", dir, "status", "--porcelain").Output(); err == nil && len(out) > 0 {
			e.Commit += "+"
		}
	}
	return e
}

func cpu() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
