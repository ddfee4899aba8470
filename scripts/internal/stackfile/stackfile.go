// Package stackfile reads a stack's file as the program would.
package stackfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	pulumiconfig "github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/stacks"
	"k3s-aws-auth/stacks/config"
)

// Stack is what a stack's file says.
type Stack struct {
	Name   string
	Config *config.Config
	// Values are the configuration as the engine hands it to a program: full keys, with objects as JSON. A word stands in
	// the place of each secret.
	Values map[string]string
	// Secrets are the keys of values that are secret, or have a part that is.
	Secrets []string
}

// Read reads a stack's file, Pulumi.<stack>.yaml, as the program would: by Pulumi's own reader, since what becomes of a
// date, a key without the project's name or a number as a key is its doing, with the same defaults and the same rules.
// Rules of a single setup are left out.
func Read(path string) (*Stack, error) {
	name := filepath.Base(path)
	stack, ok := strings.CutPrefix(strings.TrimSuffix(name, filepath.Ext(name)), "Pulumi.")
	if !ok || stack == "" {
		return nil, cli.Usage(fmt.Errorf("%s is no stack's file: its name must be Pulumi.<stack>.yaml", path))
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err // Pulumi takes it for a stack without configuration
	}
	file, err := workspace.LoadProjectStack(nil, &workspace.Project{Name: config.Project}, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	plain, err := file.Config.Decrypt(pulumiconfig.NewBlindingDecrypter())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	values, secrets := map[string]string{}, []string(nil)
	for key, value := range plain {
		values[key.String()] = value
	}
	for key, value := range file.Config {
		if value.Secure() {
			secrets = append(secrets, key.String())
		}
	}
	cfg, err := config.Parse(values, secrets, stack, stacks.Facts())
	if err != nil {
		return nil, fmt.Errorf("%s is not valid:\n%w", path, err)
	}
	return &Stack{Name: stack, Config: cfg, Values: values, Secrets: secrets}, nil
}
