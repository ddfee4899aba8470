// Package lab finds a running lab and what it was built with, for the tests of the preview workflow and for recordings.
package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k3s-aws-auth/scripts/internal/labs"
)

// ErrNone says that there is no running lab, or that its tools are not built.
var ErrNone = errors.New("no lab")

// Environment returns the environment in which a shell works on the running lab of a setup as on AWS: that of this
// process with what `lab env` prints, the lab's Pulumi CLI and plugins, and host (a directory with pulumi-language-go)
// on the path. scripts is the directory of the scripts module.
func Environment(scripts, setup, host string) ([]string, error) {
	cmd := exec.Command("go", "run", "./lab", "env", "--setup", setup, "--json")
	cmd.Dir = scripts
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNone, strings.TrimSpace(said.String()))
	}
	values := map[string]string{}
	if err := json.Unmarshal(out, &values); err != nil {
		return nil, fmt.Errorf("lab env: %w", err)
	}
	cli, err := newest("pulumi-*/bin/pulumi")
	if err != nil {
		return nil, err
	}
	plugins, err := newest("pulumi-home-*/plugins")
	if err != nil {
		return nil, err
	}
	values["PULUMI_HOME"] = filepath.Dir(plugins)
	values["PATH"] = strings.Join([]string{host, filepath.Dir(cli), os.Getenv("PATH")}, string(os.PathListSeparator))
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if _, set := values[name]; set || name == "AWS_PROFILE" || name == "AWS_SESSION_TOKEN" || name == "PULUMI_ACCESS_TOKEN" || name == "PULUMI_CONFIG_PASSPHRASE" {
			continue
		}
		env = append(env, kv)
	}
	for k, v := range values {
		env = append(env, k+"="+v)
	}
	return env, nil
}

// Built returns [ErrNone] where the parts of the lab that take minutes to build have not been built on this machine.
func Built() error {
	for _, pattern := range []string{"pulumi-*/bin/pulumi", "pulumi-resource-kubernetes-*/pulumi-resource-kubernetes", "kubernetes-*/kubernetes"} {
		if _, err := newest(pattern); err != nil {
			return err
		}
	}
	return nil
}

// newest returns the youngest match of a pattern among the lab's built tools.
func newest(pattern string) (string, error) {
	best := labs.Built(pattern)
	if best == "" {
		return "", fmt.Errorf("%w: the lab's tools are not built (%s): run `make lab` once", ErrNone, pattern)
	}
	return best, nil
}

// Host builds the language host into a directory, which it returns.
func Host(scripts, dir string) (string, error) {
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "pulumi-language-go"), "./review/internal/recorder/pulumi-language-go")
	cmd.Dir = scripts
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build pulumi-language-go: %w\n%s", err, out)
	}
	return dir, nil
}
