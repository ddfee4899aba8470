// Package preview runs an example as a preview does, without an engine. For tests only.
package preview

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"
)

// Check holds that a program makes the kinds of resources with the configuration
// (full keys), and without it names every key and makes nothing.
func Check(t *testing.T, program pulumi.RunFunc, config map[string]string, kinds ...string) {
	t.Helper()
	made, err := resources(program, config)
	require.NoError(t, err)
	all := strings.Join(made, "\n")
	for _, kind := range kinds {
		require.Contains(t, all, kind+" ")
	}

	made, err = resources(program, nil)
	require.Empty(t, strings.ReplaceAll(strings.Join(made, ""), "pulumi:pulumi:Stack example-preview", ""), "nothing is made of an incomplete configuration")
	for key := range config {
		require.ErrorContains(t, err, key+": found nothing")
	}
}

// resources runs a program with configuration (full keys) and returns the types
// and names of what it makes, sorted, and the program's error.
func resources(program pulumi.RunFunc, config map[string]string) ([]string, error) {
	seen := &engine{}
	err := pulumi.RunErr(program, pulumi.WithMocks("example", "preview", seen), func(info *pulumi.RunInfo) {
		info.DryRun, info.Config = true, config
	})
	slices.Sort(seen.resources)
	return seen.resources, err
}

type engine struct {
	mu        sync.Mutex
	resources []string
}

// NewResource takes a resource down.
func (e *engine) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resources = append(e.resources, args.TypeToken+" "+args.Name)
	return args.Name, args.Inputs, nil
}

// Call answers nothing: no example asks.
func (e *engine) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return resource.PropertyMap{}, nil
}
