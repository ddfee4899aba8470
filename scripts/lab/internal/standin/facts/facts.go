// Package facts holds what the stand-in providers know of pulumi-aws v6.83.4 and pulumi-tls v5.5.1: which types,
// functions and properties exist, and which properties are required, computed, defaulted, unordered, secret or replace
// the resource. aws-more.json is kept by hand; the other tables are generated from schema.json, an extract of what the
// providers' sources say: pulumi-aws v6.83.4, terraform-provider-aws v5.100.0, on which it is built, and pulumi-tls v5.0.0
// (5.5.1 adds maxPathLength alone, which the program does not set). Each entry's `source` says where it was read.
//
//go:generate go run ./generate
package facts

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"sort"
	"strings"
	"sync"

	"k3s-aws-auth/scripts/lab/internal/standin/facts/distill"
)

//go:embed aws.json
var awsJSON []byte

// awsMore has the types that schema.json does not have, with the inputs that the stand-in follows: any other is an
// error. Names and outputs are those of pulumi-aws's Go SDK v6.83.4 (aws/ec2/natGateway.go and vpcEndpoint.go), what
// replaces, defaults and is computed is that of terraform-provider-aws v5.100.0 (internal/service/ec2/vpc_nat_gateway.go
// and vpc_endpoint.go, cloudcontrol/resource.go, s3/bucket_lifecycle_configuration.go and bucket_logging.go, sns/topic.go,
// topic_policy.go and topic_subscription.go, events/rule.go and target.go, and for the lookups of instances ec2/ec2_instance_data_source.go and
// ec2_instances_data_source.go), which it is built on.
//
//go:embed aws-more.json
var awsMore []byte

//go:embed tls.json
var tlsJSON []byte

// AWS returns the table of the aws provider. It is read once, at the first call.
var AWS = sync.OnceValue(func() Table {
	table := mustParse(awsJSON)
	maps.Copy(table, mustParse(awsMore))
	return table
})

// TLS returns the table of the tls provider. It is read once, at the first call.
var TLS = sync.OnceValue(func() Table { return mustParse(tlsJSON) })

// Table maps type and function tokens to their facts.
type Table map[string]*Type

// Type holds the facts of one resource type or function.
type Type struct {
	Token               string
	Function            bool
	Inputs              *Object
	Outputs             map[string]bool // output-only properties, and inputs whose output differs
	AutoName            *distill.AutoName
	SecretOutputs       []string
	DeleteBeforeReplace bool
}

// Object is the shape of an object: the type itself, or a nested one.
type Object struct {
	Properties map[string]*Property
	Order      []string // the property names, sorted
}

// Property holds the facts of one input property.
type Property struct {
	distill.Input
	Name string
	// Path is the dotted path from the top of the type.
	Path string
	// Object is the shape of an object, or of each object of a list; nil for other types and for objects whose
	// properties the facts do not list.
	Object *Object
	// DefaultValue is the decoded default, nil where there is none.
	DefaultValue any
}

// Property returns a property by its dotted path, or nil.
func (t *Type) Property(path string) *Property {
	o := t.Inputs
	var p *Property
	for _, name := range strings.Split(path, ".") {
		if o == nil {
			return nil
		}
		if p = o.Properties[name]; p == nil {
			return nil
		}
		o = p.Object
	}
	return p
}

// HasTags says whether the type takes tags and so reports tagsAll.
func (t *Type) HasTags() bool { return !t.Function && t.Inputs.Properties["tags"] != nil }

func mustParse(data []byte) Table {
	table, err := Parse(data)
	if err != nil {
		panic(err) // the table is embedded: a build with a broken one cannot work at all
	}
	return table
}

// Parse reads a table as package distill writes it.
func Parse(data []byte) (Table, error) {
	var entries map[string]distill.Entry
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("fact table: %w", err)
	}
	table := Table{}
	for token, e := range entries {
		t := &Type{
			Token: token, Function: e.Function, AutoName: e.AutoName, SecretOutputs: e.SecretOutputs,
			DeleteBeforeReplace: e.DeleteBeforeReplace, Outputs: map[string]bool{}, Inputs: newObject(),
		}
		for _, o := range e.Outputs {
			t.Outputs[o] = true
		}
		paths := make([]string, 0, len(e.Inputs))
		for path := range e.Inputs {
			paths = append(paths, path)
		}
		sort.Slice(paths, func(i, j int) bool { // parents before children
			a, b := strings.Count(paths[i], "."), strings.Count(paths[j], ".")
			if a != b {
				return a < b
			}
			return paths[i] < paths[j]
		})
		for _, path := range paths {
			if err := t.add(path, e.Inputs[path]); err != nil {
				return nil, fmt.Errorf("fact table: %s: %w", token, err)
			}
		}
		table[token] = t
	}
	return table, nil
}

func newObject() *Object { return &Object{Properties: map[string]*Property{}} }

func (t *Type) add(path string, in distill.Input) error {
	parent, name := t.Inputs, path
	if i := strings.LastIndex(path, "."); i >= 0 {
		owner := t.Property(path[:i])
		if owner == nil {
			return fmt.Errorf("%s has no parent", path)
		}
		if owner.Object == nil {
			owner.Object = newObject()
		}
		parent, name = owner.Object, path[i+1:]
	}
	p := &Property{Input: in, Name: name, Path: path}
	if len(in.Default) > 0 {
		if err := json.Unmarshal(in.Default, &p.DefaultValue); err != nil {
			return fmt.Errorf("%s: default: %w", path, err)
		}
	}
	parent.Properties[name] = p
	parent.Order = append(parent.Order, name)
	sort.Strings(parent.Order)
	return nil
}
