// Package latency reads profiles of delays, which put the distance to AWS into the lab.
package latency

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"

	"k3s-aws-auth/scripts/internal/labs"
)

// Profile is a file of delays.
type Profile struct {
	Name  string `json:"name"`
	Rules []Rule `json:"rules"`
}

// Rule is a rule of the lab with the source of its numbers.
type Rule struct {
	labs.LatencyRule `json:",inline"`
	// Source says where the numbers are from.
	Source string `json:"source"`
}

// Read reads a profile. Every rule needs a source; unknown keys are errors.
func Read(path string) (*Profile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("latency profile %s: %w", path, err)
	}
	return p, nil
}

func parse(data []byte) (*Profile, error) {
	p := &Profile{}
	if err := yaml.UnmarshalStrict(bytes.TrimSpace(data), p); err != nil {
		return nil, err
	}
	var errs []error
	if p.Name == "" {
		errs = append(errs, errors.New("name is missing"))
	}
	if len(p.Rules) == 0 {
		errs = append(errs, errors.New("rules are missing"))
	}
	for i, r := range p.Rules {
		switch {
		case r.Host == "":
			errs = append(errs, fmt.Errorf("rules[%d]: host is missing", i))
		case strings.TrimSpace(r.Source) == "":
			errs = append(errs, fmt.Errorf("rules[%d] (%s): source is missing: say where the numbers are from", i, r.Host))
		case r.ConnectMs < 0 || r.RequestMs < 0:
			errs = append(errs, fmt.Errorf("rules[%d] (%s): delays must not be negative", i, r.Host))
		}
	}
	return p, errors.Join(errs...)
}

// ForLab returns the rules as the lab takes them.
func (p *Profile) ForLab() []labs.LatencyRule {
	out := make([]labs.LatencyRule, len(p.Rules))
	for i, r := range p.Rules {
		out[i] = r.LatencyRule
	}
	return out
}
