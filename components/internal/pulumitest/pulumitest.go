// Package pulumitest runs programs against recorded mocks of the Pulumi engine
// and compares texts with golden files. For tests only.
package pulumitest

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

var update = flag.Bool("update", false, "rewrite the golden files that differ (and still fail)")

// Resource is one registration that the engine saw.
type Resource struct {
	Type, Name string
	// Parent and Provider are logical names, empty for the stack and for the
	// default provider.
	Parent, Provider string
	// DependsOn are the logical names of the resources it waits for, by option
	// or by input, sorted.
	DependsOn     []string
	IgnoreChanges []string
	// DeleteBeforeReplace is false also where the option is not given.
	DeleteBeforeReplace bool
	Protect             bool
	RetainOnDelete      bool
	// Hooks are the hooks that it is bound to, as "before create <name>".
	Hooks  []string
	Inputs resource.PropertyMap
}

// Input returns an input as plain Go values, secrets unwrapped, or nil.
func (r Resource) Input(key string) any {
	return plain(r.Inputs[resource.PropertyKey(key)])
}

// IsSecret reports whether an input is a secret as a whole, or any part of it
// is.
func (r Resource) IsSecret(key string) bool {
	return r.Inputs[resource.PropertyKey(key)].ContainsSecrets()
}

// JSON returns all inputs as indented JSON, secrets unwrapped.
func (r Resource) JSON() string {
	out, err := json.MarshalIndent(plain(resource.NewObjectProperty(r.Inputs)), "", "  ")
	if err != nil {
		panic(err)
	}
	return string(out) + "\n"
}

// Recorder holds what the engine saw, in the order in which it saw it.
type Recorder struct {
	mu        sync.Mutex
	resources []Resource
	options   Options
}

// Options change what the mocked engine answers.
type Options struct {
	// Preview makes the run a preview.
	Preview bool
	// Outputs returns outputs of a resource beside its inputs.
	Outputs func(Resource) resource.PropertyMap
	// Call answers an invoke.
	Call func(token string, args resource.PropertyMap) (resource.PropertyMap, error)
	// Fail makes the registration of a resource fail.
	Fail func(Resource) error
}

// Run runs the program and returns what was registered, and the program's
// error.
func Run(t *testing.T, options Options, program pulumi.RunFunc) (*Recorder, error) {
	t.Helper()
	recorder := &Recorder{options: options}
	err := pulumi.RunErr(program, pulumi.WithMocks("project", "stack", recorder), func(info *pulumi.RunInfo) {
		info.DryRun = options.Preview
	})
	return recorder, err
}

// Result keeps in into what an output resolves to. It exports the output, so
// that the program's end waits for it: it does not for outputs that no resource
// is behind.
func Result[T any](ctx *pulumi.Context, output pulumi.Output, into *T) {
	ctx.Export(fmt.Sprintf("result %p", into), pulumi.All(output).ApplyT(func(values []any) string {
		*into = values[0].(T)
		return ""
	}))
}

// NewResource implements pulumi.MockResourceMonitor.
func (r *Recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	seen := Resource{
		Type: args.TypeToken, Name: args.Name, Inputs: args.Inputs,
		Parent: nameOf(args.RegisterRPC.GetParent()), Provider: nameOf(args.Provider), Protect: args.RegisterRPC.GetProtect(),
		RetainOnDelete: args.RegisterRPC.GetRetainOnDelete(),
		IgnoreChanges:  args.RegisterRPC.GetIgnoreChanges(), DeleteBeforeReplace: args.RegisterRPC.GetDeleteBeforeReplace(),
	}
	for _, urn := range args.RegisterRPC.GetDependencies() {
		seen.DependsOn = append(seen.DependsOn, nameOf(urn))
	}
	slices.Sort(seen.DependsOn)
	hooks := args.RegisterRPC.GetHooks()
	for _, bound := range []struct {
		when  string
		names []string
	}{
		{"before create", hooks.GetBeforeCreate()}, {"after create", hooks.GetAfterCreate()},
		{"before update", hooks.GetBeforeUpdate()}, {"after update", hooks.GetAfterUpdate()},
	} {
		for _, name := range bound.names {
			seen.Hooks = append(seen.Hooks, bound.when+" "+name)
		}
	}
	if r.options.Fail != nil {
		if err := r.options.Fail(seen); err != nil {
			return "", nil, err
		}
	}
	r.mu.Lock()
	r.resources = append(r.resources, seen)
	r.mu.Unlock()
	outputs := args.Inputs.Copy()
	if r.options.Outputs != nil {
		for key, value := range r.options.Outputs(seen) {
			outputs[key] = value
		}
	}
	id := ""
	if args.Custom {
		id = args.Name + "-id"
	}
	return id, outputs, nil
}

// Call implements pulumi.MockResourceMonitor.
func (r *Recorder) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	if r.options.Call == nil {
		return resource.PropertyMap{}, nil
	}
	return r.options.Call(args.Token, args.Args)
}

// Resources returns the registrations, in order.
func (r *Recorder) Resources() []Resource {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.resources)
}

// Get returns the resource of a logical name, or fails the test.
func (r *Recorder) Get(t *testing.T, name string) Resource {
	t.Helper()
	var known []string
	for _, resource := range r.Resources() {
		if resource.Name == name {
			return resource
		}
		known = append(known, resource.Name)
	}
	t.Fatalf("no resource %q; there are: %s", name, strings.Join(known, ", "))
	return Resource{}
}

// OfType returns the resources of a type, in order of their names.
func (r *Recorder) OfType(token string) []Resource {
	found := slices.DeleteFunc(r.Resources(), func(resource Resource) bool { return resource.Type != token })
	slices.SortFunc(found, func(a, b Resource) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// Find returns the resource of a type and a logical name, for names that
// several types share, or fails the test.
func (r *Recorder) Find(t *testing.T, token, name string) Resource {
	t.Helper()
	for _, resource := range r.OfType(token) {
		if resource.Name == name {
			return resource
		}
	}
	t.Fatalf("no resource %s %q", token, name)
	return Resource{}
}

// Graph returns one line for each resource, sorted: type, name, parent and,
// where they are not the defaults, provider and protection.
func (r *Recorder) Graph() string {
	var lines []string
	for _, resource := range r.Resources() {
		line := resource.Type + " " + resource.Name
		if resource.Parent != "" {
			line += " < " + resource.Parent
		}
		if resource.Provider != "" {
			line += " provider=" + resource.Provider
		}
		if resource.Protect {
			line += " protected"
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// Updating tells whether the tests run with -update.
func Updating() bool { return *update }

// Golden compares got with the file testdata/<name>. With -update a file that
// differs is rewritten, and the test fails all the same, so that no run passes
// on a text that nobody has looked at.
func Golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(name))
	want, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err == nil && string(want) == got {
		return
	}
	diff := cmp.Diff(strings.SplitAfter(string(want), "\n"), strings.SplitAfter(got, "\n"))
	if !*update {
		t.Errorf("%s differs (-want +got); rewrite it with: go test . -update\n%s", path, diff)
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Errorf("%s rewritten (-want +got); look at it and run again\n%s", path, diff)
}

// IndentJSON returns JSON text indented, for golden files of policies.
func IndentJSON(t *testing.T, text string) string {
	t.Helper()
	var value json.RawMessage = []byte(text)
	out, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatalf("not JSON: %v\n%s", err, text)
	}
	return string(out) + "\n"
}

// nameOf is the last part of a URN, which a provider reference follows with an
// id.
func nameOf(urn string) string {
	parts := strings.Split(urn, "::")
	if len(parts) < 4 {
		return ""
	}
	if strings.Contains(parts[2], "pulumi:pulumi:Stack") {
		return ""
	}
	return parts[3]
}

func plain(value resource.PropertyValue) any {
	switch {
	case value.IsSecret():
		return plain(value.SecretValue().Element)
	case value.IsOutput():
		if !value.OutputValue().Known {
			return "<unknown>"
		}
		return plain(value.OutputValue().Element)
	case value.IsComputed():
		return "<unknown>"
	case value.IsArray():
		out := []any{}
		for _, element := range value.ArrayValue() {
			out = append(out, plain(element))
		}
		return out
	case value.IsObject():
		out := map[string]any{}
		for key, element := range value.ObjectValue() {
			out[string(key)] = plain(element)
		}
		return out
	}
	return value.V
}
