package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/labs"
)

// Export reads a stack by `pulumi stack export --show-secrets`. env is the environment that leads to the stack's backend
// (all of it, as for os/exec), name the stack's full name, such as organization/k3s-aws-auth/lab.
func Export(ctx context.Context, env []string, name string) (*State, error) {
	cli, own, err := FindCLI()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "stack-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cmd := exec.CommandContext(ctx, cli, "stack", "export", "--show-secrets", "--stack", name)
	cmd.Dir, cmd.Env = dir, env // a directory without a project: the name says it all
	if own {
		cmd.Env = append(slices.Clone(env), "PULUMI_HOME="+dir)
	}
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, fmt.Errorf("pulumi stack export: %w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, fmt.Errorf("pulumi stack export: %w", err)
	}
	return ParseExport(out)
}

// ParseExport reads what `pulumi stack export --show-secrets` prints.
func ParseExport(text []byte) (*State, error) {
	var exported struct{ Deployment json.RawMessage }
	if err := json.Unmarshal(text, &exported); err != nil {
		return nil, fmt.Errorf("pulumi stack export: %w", err)
	}
	return Parse(exported.Deployment)
}

// ExportPlain is what `pulumi stack export` prints of a stack in the backend that this process's environment leads to:
// whatever is secret in it stays encrypted.
func ExportPlain(ctx context.Context, name string) ([]byte, error) {
	path, _, err := FindCLI()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, "stack", "export", "--stack", name)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("pulumi stack export: %w", err)
	}
	return out, nil
}

// FindCLI returns the user's Pulumi CLI, else the newest that the lab has built. own tells the latter, which must not
// touch the user's Pulumi home.
func FindCLI() (path string, own bool, err error) {
	if path, err := exec.LookPath("pulumi"); err == nil {
		return path, false, nil
	}
	if path = labs.Built("pulumi-cli-*/bin/pulumi"); path == "" {
		return "", false, errors.New("no pulumi on the PATH and none built by the lab: run `make lab`, or install the Pulumi CLI")
	}
	return path, true, nil
}
