// Package typeschema reads the schemas of CloudFormation's resource types as far as the lab's types go, holds desired states
// against them, and makes and applies the JSON patches of Cloud Control. The definition of such schemas:
// https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html.
package typeschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Model is the state of a resource: its properties by name, as encoding/json decodes them.
type Model = map[string]any

// Schema is a resource type's schema.
type Schema struct {
	TypeName          string              `json:"typeName"`
	Definitions       map[string]property `json:"definitions"`
	CreateOnly        []string            `json:"createOnlyProperties"`
	ReadOnly          []string            `json:"readOnlyProperties"`
	PrimaryIdentifier []string            `json:"primaryIdentifier"`
	Handlers          map[string]struct {
		Permissions []string `json:"permissions"`
	} `json:"handlers"`
	property
}

type property struct {
	Type       string              `json:"type"`
	Ref        string              `json:"$ref"`
	Properties map[string]property `json:"properties"`
	Items      *property           `json:"items"`
	Required   []string            `json:"required"`
	Enum       []string            `json:"enum"`
	Pattern    string              `json:"pattern"`
	Minimum    *float64            `json:"minimum"`
	Maximum    *float64            `json:"maximum"`
	MinLength  int                 `json:"minLength"`
	MaxLength  int                 `json:"maxLength"`
	MaxItems   int                 `json:"maxItems"`
}

// Parse reads a schema.
func Parse(text string) (*Schema, error) {
	s := &Schema{}
	if err := json.Unmarshal([]byte(text), s); err != nil {
		return nil, fmt.Errorf("parsing CloudFormation Resource Schema JSON: %w", err)
	}
	s.Type = "object"
	return s, nil
}

// Decode reads a state, which must be one JSON object.
func Decode(text string) (Model, error) {
	var m Model
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&m); err != nil {
		return nil, err
	}
	if m == nil || d.More() {
		return nil, errors.New("not a JSON object")
	}
	return m, nil
}

// Validate holds a state against the schema: everything that is wrong with it, in CloudFormation's form.
func (s *Schema) Validate(m Model) error {
	var faults []string
	s.check(&s.property, m, "#", &faults)
	if len(faults) == 0 {
		return nil
	}
	return errors.New("Model validation failed (" + strings.Join(faults, "; ") + ")") // AWS's own words
}

func (s *Schema) check(p *property, value any, at string, faults *[]string) {
	for p.Ref != "" {
		named, ok := s.Definitions[strings.TrimPrefix(p.Ref, "#/definitions/")]
		if !ok {
			*faults = append(*faults, at+": unknown definition "+p.Ref)
			return
		}
		p = &named
	}
	fault := func(format string, args ...any) { *faults = append(*faults, at+": "+fmt.Sprintf(format, args...)) }
	if have := typeOf(value); have != p.Type && (p.Type != "integer" || have != "number") {
		fault("expected type: %s, found: %s", p.Type, have)
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for _, name := range p.Required {
			if _, ok := v[name]; !ok {
				fault("required key [%s] not found", name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			child, ok := p.Properties[name]
			if !ok {
				fault("extraneous key [%s] is not permitted", name)
				continue
			}
			s.check(&child, v[name], at+"/"+name, faults)
		}
	case []any:
		if p.MaxItems > 0 && len(v) > p.MaxItems {
			fault("expected maximum item count: %d, found: %d", p.MaxItems, len(v))
		}
		for i, e := range v {
			s.check(p.Items, e, at+"/"+strconv.Itoa(i), faults)
		}
	case string:
		switch {
		case len(v) < p.MinLength:
			fault("expected minLength: %d, actual: %d", p.MinLength, len(v))
		case p.MaxLength > 0 && len(v) > p.MaxLength:
			fault("expected maxLength: %d, actual: %d", p.MaxLength, len(v))
		case p.Enum != nil && !slices.Contains(p.Enum, v):
			fault("%s is not a valid enum value", v)
		case p.Pattern != "" && !regexp.MustCompile(p.Pattern).MatchString(v):
			fault("failed validation constraint for keyword [pattern]")
		}
	case float64:
		switch {
		case p.Minimum != nil && v < *p.Minimum:
			fault("%v is not greater or equal to %v", v, *p.Minimum)
		case p.Maximum != nil && v > *p.Maximum:
			fault("%v is not less or equal to %v", v, *p.Maximum)
		}
	}
}

func typeOf(value any) string {
	switch value.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	}
	return "null"
}

// Listed tells whether a path of a patch is one of the schema's paths (/properties/Name), or below it.
func Listed(paths []string, path string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		p = strings.TrimPrefix(p, "/properties")
		return path == p || strings.HasPrefix(path, p+"/")
	})
}

// Operation is one operation of a JSON patch (RFC 6902).
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Diff is the patch from one state to another, as the provider's library makes it (github.com/mattbaird/jsonpatch, which
// terraform-provider-aws's internal/service/cloudcontrol/resource.go calls): lists of equal length element by element, of
// different lengths by removing and adding single elements at their places.
func Diff(from, to Model) []Operation {
	var out []Operation
	diffObjects("", from, to, &out)
	return out
}

func diffObjects(at string, from, to map[string]any, out *[]Operation) {
	for _, name := range slices.Sorted(maps.Keys(to)) {
		if was, ok := from[name]; !ok {
			*out = append(*out, Operation{"add", at + "/" + escape(name), to[name]})
		} else {
			diffValues(at+"/"+escape(name), was, to[name], out)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if _, ok := to[name]; !ok {
			*out = append(*out, Operation{Op: "remove", Path: at + "/" + escape(name)})
		}
	}
}

func diffValues(at string, from, to any, out *[]Operation) {
	if reflect.DeepEqual(from, to) {
		return
	}
	a, object := from.(map[string]any)
	b, objects := to.(map[string]any)
	x, list := from.([]any)
	y, lists := to.([]any)
	switch {
	case object && objects:
		diffObjects(at, a, b, out)
	case list && lists && len(x) == len(y):
		for i := range x {
			diffValues(at+"/"+strconv.Itoa(i), x[i], y[i], out)
		}
	case list && lists:
		for i, e := range slices.Backward(x) {
			if !contains(y, e) {
				*out = append(*out, Operation{Op: "remove", Path: at + "/" + strconv.Itoa(i)})
			}
		}
		for i, e := range y {
			if !contains(x, e) {
				*out = append(*out, Operation{"add", at + "/" + strconv.Itoa(i), e})
			}
		}
	default:
		*out = append(*out, Operation{"replace", at, to})
	}
}

func contains(list []any, e any) bool {
	return slices.ContainsFunc(list, func(o any) bool { return reflect.DeepEqual(o, e) })
}

func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// Patch applies add, remove and replace to a state and returns the new one; the state stays as it is. A path that is not
// there is an error.
func Patch(m Model, patch []Operation) (Model, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	var whole any
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&whole); err != nil {
		return nil, err
	}
	for _, o := range patch {
		var steps []string
		for _, step := range strings.Split(strings.TrimPrefix(o.Path, "/"), "/") {
			steps = append(steps, strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~"))
		}
		if whole, err = apply(whole, steps, o); err != nil {
			return nil, fmt.Errorf("%s %s: %w", o.Op, o.Path, err)
		}
	}
	return whole.(Model), nil
}

var errNoPath = errors.New("there is nothing at this path")

func apply(in any, steps []string, o Operation) (any, error) {
	last := len(steps) == 1
	switch v := in.(type) {
	case map[string]any:
		old, there := v[steps[0]]
		switch {
		case !last || o.Op != "add":
			if !there {
				return nil, errNoPath
			}
			if !last {
				changed, err := apply(old, steps[1:], o)
				v[steps[0]] = changed
				return v, err
			}
		}
		if delete(v, steps[0]); o.Op != "remove" {
			v[steps[0]] = o.Value
		}
		return v, nil
	case []any:
		i, err := strconv.Atoi(steps[0])
		if steps[0] == "-" && last && o.Op == "add" {
			i, err = len(v), nil
		}
		if err != nil || i < 0 || i > len(v) || i == len(v) && (!last || o.Op != "add") {
			return nil, errNoPath
		}
		switch {
		case !last:
			changed, err := apply(v[i], steps[1:], o)
			v[i] = changed
			return v, err
		case o.Op == "add":
			return slices.Insert(v, i, o.Value), nil
		case o.Op == "remove":
			return slices.Delete(v, i, i+1), nil
		}
		v[i] = o.Value
		return v, nil
	}
	return nil, errNoPath
}
