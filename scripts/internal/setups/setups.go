// Package setups reads which setups the project's program has from stacks/setups.json, so that a tool need not be
// compiled together with the program.
package setups

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Certificate is what pods of a setup present that has the credential helper of IAM Roles Anywhere in them.
const Certificate = "certificate"

// Setup is one way of giving pods their AWS credentials.
type Setup struct {
	// Name is the value of the configuration key setup.
	Name string `json:"name"`
	// Presents is what a pod shows to AWS: instance-metadata, service-account-token or certificate.
	Presents string `json:"presents"`
}

// List is every setup of a project, in the program's own order.
type List []Setup

// Load reads the setups of the project in a directory.
func Load(project string) (List, error) {
	path := filepath.Join(project, "stacks", "setups.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list List
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// Names lists the setups' names.
func (l List) Names() []string {
	var names []string
	for _, s := range l {
		names = append(names, s.Name)
	}
	return names
}

// Find returns the setup of a name, and whether there is one.
func (l List) Find(name string) (Setup, bool) {
	i := slices.IndexFunc(l, func(s Setup) bool { return s.Name == name })
	if i < 0 {
		return Setup{}, false
	}
	return l[i], true
}
