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
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	Setup string
	// Kubeconfig is the path of an administrator's kubeconfig.
	Kubeconfig string
	// Control and ControlToken lead to the lab's own interface.
	Control      string
	ControlToken string
}

// Up deploys a setup with changes (key=value) of the lab's configuration in the labs directory root ("" is the usual
// one), and proves it.
func (c *Command) Up(ctx context.Context, root, setup string, changes ...string) (*Lab, error) {
	args := []string{"up", "--setup", setup, "--json"}
	for _, change := range changes {
		args = append(args, "--config", change)
	}
	if _, err := c.run(ctx, root, args...); err != nil {
		return nil, err
	}
	return c.Open(ctx, root, setup)
}

// Running lists the setups that have a lab in root.
func (c *Command) Running(ctx context.Context, root string) ([]string, error) {
	out, err := c.run(ctx, root, "status", "--json")
	if err != nil {
		return nil, err
	}
	var entries []struct{ Setup string }
	if err := json.Unmarshal(out, &entries); err != nil {
		return nil, fmt.Errorf("lab status: %w", err)
	}
	setups := []string{}
	for _, e := range entries {
		setups = append(setups, e.Setup)
	}
	return setups, nil
}

// Open reads where a running lab is.
func (c *Command) Open(ctx context.Context, root, setup string) (*Lab, error) {
	out, err := c.run(ctx, root, "env", "--setup", setup, "--json")
	if err != nil {
		return nil, err
	}
	var env map[string]string
	if err := json.Unmarshal(out, &env); err != nil {
		return nil, fmt.Errorf("lab env: %w", err)
	}
	kubeconfig := env["KUBECONFIG"]
	data, err := os.ReadFile(filepath.Join(filepath.Dir(kubeconfig), "lab.json"))
	if err != nil {
		return nil, err
	}
	lab := &Lab{}
	if err := json.Unmarshal(data, lab); err != nil {
		return nil, fmt.Errorf("lab of %s: %w", setup, err)
	}
	lab.Setup, lab.Kubeconfig = setup, kubeconfig
	return lab, nil
}

// Down destroys a setup's lab; an error says what is left behind.
func (c *Command) Down(ctx context.Context, root, setup string) error {
	_, err := c.run(ctx, root, "down", "--setup", setup, "--json")
	return err
}

func (c *Command) run(ctx context.Context, root string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Stderr = c.stderr
	if root != "" {
		cmd.Env = append(os.Environ(), RootVariable+"="+root)
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
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
