// Package stackfile reads a stack's file as the program would.
package stackfile

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"

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

// Read reads a stack's file, Pulumi.<stack>.yaml, as the program would: the same defaults, the same rules. Rules of a
// single setup are left out.
func Read(path string) (*Stack, error) {
	name := filepath.Base(path)
	stack, ok := strings.CutPrefix(strings.TrimSuffix(name, filepath.Ext(name)), "Pulumi.")
	if !ok || stack == "" {
		return nil, cli.Usage(fmt.Errorf("%s is no stack's file: its name must be Pulumi.<stack>.yaml", path))
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	values, secrets := map[string]string{}, []string(nil)
	for key, value := range file.Config {
		value, secret := hide(value)
		if secret {
			secrets = append(secrets, key)
		}
		text, ok := value.(string)
		if !ok {
			encoded, err := json.Marshal(value)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path, key, err)
			}
			text = string(encoded)
		}
		values[key] = text
	}
	cfg, err := config.Parse(values, secrets, stack, stacks.Facts())
	if err != nil {
		return nil, fmt.Errorf("%s is not valid:\n%w", path, err)
	}
	return &Stack{Name: stack, Config: cfg, Values: values, Secrets: secrets}, nil
}

// hide puts a word in the place of encrypted values, which no estimate needs, and reports whether there are any.
func hide(value any) (any, bool) {
	switch v := value.(type) {
	case map[string]any:
		if _, secure := v["secure"]; secure && len(v) == 1 {
			return "secret", true
		}
		found := false
		for key, inner := range v {
			hidden, secret := hide(inner)
			v[key], found = hidden, found || secret
		}
		return v, found
	case []any:
		found := false
		for i, inner := range v {
			hidden, secret := hide(inner)
			v[i], found = hidden, found || secret
		}
		return v, found
	}
	return value, false
}
