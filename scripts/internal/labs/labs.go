// Package labs drives the lab's command from other tools: it starts and ends labs, and reads their event record. What
// the tools do in a cluster they do by its kubeconfig, as on AWS.
package labs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// RootVariable names the directory of the labs, in place of the user's cache.
const RootVariable = "K3S_AWS_AUTH_LABS"

// Command is the lab's program.
type Command struct {
	path   string
	stderr io.Writer
}

// Build compiles the lab's command from the scripts module into dir. out gets what the compiler and the commands say.
func Build(ctx context.Context, scripts, dir string, out io.Writer) (*Command, error) {
	path := filepath.Join(dir, "lab")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "./lab")
	cmd.Dir, cmd.Stdout, cmd.Stderr = scripts, out, out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("build the lab's command: %w", err)
	}
	return &Command{path: path, stderr: out}, nil
}

// Lab is a running lab.
type Lab struct {
	Setup string `json:"setup"`
	// Kubeconfig is the path of an administrator's kubeconfig.
	Kubeconfig string `json:"-"`
	// Control and ControlToken lead to the lab's own interface.
	Control      string `json:"control"`
	ControlToken string `json:"controlToken"`
}

// Up deploys a setup with changes (key=value) of the lab's configuration in the labs directory root ("" is the usual
// one), and proves it.
func (c *Command) Up(ctx context.Context, root, setup string, changes ...string) (*Lab, error) {
	args := []string{"up", "--setup", setup, "--json"}
	for _, change := range changes {
		args = append(args, "--config", change)
	}
	if err := c.run(ctx, root, args...); err != nil {
		return nil, err
	}
	return Open(root, setup)
}

// ErrNotRunning says that a setup has no lab.
var ErrNotRunning = errors.New("no lab is running")

// Open reads where the running lab of a setup is. The error is ErrNotRunning where there is none.
func Open(root, setup string) (*Lab, error) {
	if root == "" {
		var err error
		if root, err = Root(); err != nil {
			return nil, err
		}
	}
	dir := filepath.Join(root, setup)
	data, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w for setup %s in %s", ErrNotRunning, setup, root)
	}
	if err != nil {
		return nil, err
	}
	var file struct {
		PID int `json:"pid"`
		Lab
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("lab of %s: %w", setup, err)
	}
	if file.PID <= 0 || syscall.Kill(file.PID, 0) != nil {
		return nil, fmt.Errorf("%w for setup %s in %s: its process has ended", ErrNotRunning, setup, root)
	}
	lab := file.Lab
	lab.Setup, lab.Kubeconfig = setup, filepath.Join(dir, "kubeconfig")
	return &lab, nil
}

// Built is the newest of the programs that the lab has built and a pattern matches, below its directory of tools; empty where
// there is none.
func Built(pattern string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	found, _ := filepath.Glob(filepath.Join(cache, "k3s-aws-auth", "tools", filepath.FromSlash(pattern))) // fails for a bad pattern alone
	path, made := "", time.Time{}
	for _, f := range found {
		if info, err := os.Stat(f); err == nil && info.ModTime().After(made) {
			path, made = f, info.ModTime()
		}
	}
	return path
}

// Root is the usual directory of the labs.
func Root() (string, error) {
	if root := os.Getenv(RootVariable); root != "" {
		return filepath.Abs(root)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory for the labs: %w", err)
	}
	return filepath.Join(cache, "k3s-aws-auth", "labs"), nil
}

// Down destroys a setup's lab; an error says what is left behind.
func (c *Command) Down(ctx context.Context, root, setup string) error {
	return c.run(ctx, root, "down", "--setup", setup, "--json")
}

func (c *Command) run(ctx context.Context, root string, args ...string) error {
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Stderr = c.stderr
	if root != "" {
		cmd.Env = append(os.Environ(), RootVariable+"="+root)
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("lab %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// Directories returns the product's directory and that of the scripts module, looked for from the working directory
// upward.
func Directories() (product, scripts string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", "", err
	}
	for ; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "Pulumi.lab.yaml")); err == nil {
			return dir, filepath.Join(dir, "scripts"), nil
		}
	}
	return "", "", errors.New("run this inside the project: no Pulumi.lab.yaml in this directory or above it")
}

// Call calls the lab's own interface. in and out are JSON; either may be nil.
func (l *Lab) Call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, l.Control+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+l.ControlToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("lab of %s: %w", l.Setup, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("lab of %s: %s %s: %s: %s", l.Setup, method, path, resp.Status, strings.TrimSpace(string(data)))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}
