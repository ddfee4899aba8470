package engine

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"k3s-aws-auth/scripts/lab/internal/standin/facts"
)

// defaultsKey is the bridge's record, in the checked inputs of an object, of the properties that the program did not
// give: an automatic name is kept only while it stands there.
const defaultsKey = "__defaults"

// Failure is one refused input.
type Failure struct {
	// Property is the property's path, as in a program (`rule.objectOwnership`, `ingress[0].fromPort`).
	Property string
	Reason   string
}

// Checker is one Check of one resource, for the handlers' own rules.
type Checker[C any] struct {
	Client C
	Name   string
	// In holds the inputs; a handler may normalise them in place.
	In Map
	// Old holds the old checked inputs, empty for a new resource.
	Old      Map
	failures *[]Failure
	warnings *[]string
}

// Fail refuses the property at path.
func (c *Checker[C]) Fail(path, format string, args ...any) {
	*c.failures = append(*c.failures, Failure{Property: path, Reason: fmt.Sprintf(format, args...) + examine(c.Name, path)})
}

// Warn tells the user something without refusing.
func (c *Checker[C]) Warn(format string, args ...any) {
	*c.warnings = append(*c.warnings, fmt.Sprintf(format, args...))
}

// Given says whether a property is set, known or not.
func (c *Checker[C]) Given(name string) bool { _, ok := c.In[name]; return ok }

// Exactly refuses unless exactly one of the properties is set.
func (c *Checker[C]) Exactly(names ...string) {
	var given []string
	for _, n := range names {
		if c.Given(n) {
			given = append(given, n)
		}
	}
	if len(given) != 1 {
		c.Fail(names[0], "Invalid combination of arguments. %q: one of `%s` must be specified, and only one (given: %s).",
			names[0], strings.Join(names, ","), orNone(given))
	}
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// examine is the bridge's pointer to the place of a mistake.
func examine(name, path string) string { return fmt.Sprintf(" Examine values at '%s.%s'.", name, path) }

// check walks inputs by the facts.
type check struct {
	name     string
	failures []Failure
	warnings []string
}

func (c *check) fail(path, format string, args ...any) {
	c.failures = append(c.failures, Failure{Property: path, Reason: fmt.Sprintf(format, args...) + examine(c.name, path)})
}

// object returns the checked form of one object: types coerced, defaults filled in, everything else refused. olds are
// the old checked inputs of the same object.
func (c *check) object(shape *facts.Object, in, olds Map, path string) Map {
	out := Map{}
	for _, key := range sortedKeys(in) {
		if key == defaultsKey {
			continue
		}
		where := pathKey(path, key)
		p, ok := shape.Properties[key]
		if !ok {
			c.fail(where, "Invalid or unknown key. The type has no property %q.", key)
			continue
		}
		var old any
		if olds != nil {
			old = olds[key]
		}
		if v := c.value(p, in[key], old, where); v != nil {
			out[key] = v
		}
	}
	var defaulted []any
	for _, key := range shape.Order {
		p := shape.Properties[key]
		if _, given := out[key]; given {
			continue
		}
		if p.DefaultValue != nil && !p.Deprecated && !anyGiven(out, p.Conflicts) && !anyGiven(out, p.OneOf) {
			out[key] = clone(p.DefaultValue)
			defaulted = append(defaulted, key)
		}
	}
	out[defaultsKey] = append([]any{}, defaulted...)
	return out
}

// rules applies what needs the whole object: required properties and those that exclude or need each other.
func (c *check) rules(shape *facts.Object, out, given Map, path string) {
	groups := map[string]bool{}
	for _, key := range shape.Order {
		p, where := shape.Properties[key], pathKey(path, key)
		v, set := out[key]
		_, tried := given[key] // a refused value is not missing too
		if p.Required && !set && (!tried || given[key] == nil) {
			c.fail(where, "Missing required argument. The argument %q is required, but no definition was found.", key)
		}
		if set && !defaultedIn(out, key) {
			for _, other := range p.Conflicts {
				if _, also := out[other]; also && !defaultedIn(out, other) && other != key {
					c.fail(where, "Conflicting configuration arguments. %q: conflicts with %s.", key, other)
				}
			}
			for _, other := range p.Requires {
				if _, also := out[other]; !also {
					c.fail(where, "Missing required argument. %q: all of `%s,%s` must be specified.", key, key, other)
				}
			}
		}
		if id := strings.Join(p.OneOf, ","); id != "" && !groups[id] {
			groups[id] = true
			var have []string
			for _, n := range p.OneOf {
				if _, ok := out[n]; ok {
					have = append(have, n)
				}
			}
			if len(have) != 1 {
				c.fail(where, "Invalid combination of arguments. %q: one of `%s` must be specified, and only one (given: %s).",
					key, id, orNone(have))
			}
		}
		switch v := v.(type) {
		case Map:
			if p.Object != nil {
				c.rules(p.Object, v, mapOf(given[key]), where)
			}
		case []any:
			if p.Object == nil {
				break
			}
			was, _ := given[key].([]any)
			for i, e := range v {
				if o, ok := e.(Map); ok {
					var g Map
					if i < len(was) {
						g = mapOf(was[i])
					}
					c.rules(p.Object, o, g, pathIndex(where, i))
				}
			}
		}
	}
}

func mapOf(v any) Map { m, _ := v.(Map); return m }

func anyGiven(m Map, names []string) bool {
	for _, n := range names {
		if _, ok := m[n]; ok {
			return true
		}
	}
	return false
}

func defaultedIn(m Map, key string) bool {
	list, _ := m[defaultsKey].([]any)
	for _, e := range list {
		if e == key {
			return true
		}
	}
	return false
}

// value returns the checked form of one property, nil when it is unset or refused.
func (c *check) value(p *facts.Property, v, old any, path string) any {
	switch v.(type) {
	case nil:
		return nil
	case Unknown:
		return v
	}
	switch p.Type {
	case "object":
		m, ok := v.(Map)
		if !ok {
			return c.mistyped(path, "an object", v)
		}
		if p.Object == nil {
			return cloneMap(m)
		}
		return c.object(p.Object, m, mapOf(old), path)
	case "map":
		m, ok := v.(Map)
		if !ok {
			return c.mistyped(path, "a map", v)
		}
		out := Map{}
		for _, k := range sortedKeys(m) {
			if k == defaultsKey || m[k] == nil {
				continue
			}
			if e := c.scalar("string", m[k], pathKey(path, k)); e != nil {
				out[k] = e
			}
		}
		return out
	case "list":
		return c.list(p, v, old, path)
	case "asset":
		if _, ok := v.(*Asset); ok {
			return v
		}
		if s, ok := v.(string); ok && s != "" { // the bridge takes a path too
			return &Asset{Raw: Map{"path": s}}
		}
		return c.mistyped(path, "an asset", v)
	}
	s := c.scalar(p.Type, v, path)
	if s != nil {
		c.limits(p, s, path)
	}
	return s
}

func (c *check) list(p *facts.Property, v, old any, path string) any {
	list, ok := v.([]any)
	if !ok {
		return c.mistyped(path, "a list", v)
	}
	if p.MaxItems > 0 && len(list) > p.MaxItems {
		c.fail(path, "Too many list items. No more than %d are allowed, got %d.", p.MaxItems, len(list))
	}
	olds, _ := old.([]any)
	out := make([]any, 0, len(list))
	for i, e := range list {
		where := pathIndex(path, i)
		var was any
		if i < len(olds) {
			was = olds[i]
		}
		switch e := e.(type) {
		case nil:
			continue
		case Unknown:
			out = append(out, e)
			continue
		case Map:
			if p.Elem == "object" || p.Elem == "" {
				if p.Object == nil {
					out = append(out, cloneMap(e))
				} else {
					out = append(out, c.object(p.Object, e, mapOf(was), where))
				}
				continue
			}
		}
		if p.Elem == "object" {
			c.mistyped(where, "an object", e)
			continue
		}
		elem := p.Elem
		if elem == "" {
			elem = "string"
		}
		if s := c.scalar(elem, e, where); s != nil {
			c.limits(p, s, where)
			out = append(out, s)
		}
	}
	if p.Elem == "object" && !containsUnknown(v) {
		if (p.Min != nil && len(out) < *p.Min) || (p.Max != nil && len(out) > *p.Max) {
			c.fail(path, "expected %q to have %s items, got %d.", p.Name, span(p.Min, p.Max), len(out))
		}
	}
	return out
}

// scalar coerces v to a scalar type as the bridge does: texts that spell a number or a truth value pass for one, and
// the reverse.
func (c *check) scalar(kind string, v any, path string) any {
	if _, unknown := v.(Unknown); unknown {
		return v
	}
	switch kind {
	case "bool":
		switch v := v.(type) {
		case bool:
			return v
		case string:
			if b, err := strconv.ParseBool(v); err == nil {
				return b
			}
		}
		return c.mistyped(path, "a boolean", v)
	case "int", "number":
		f, ok := v.(float64)
		if s, isText := v.(string); isText {
			parsed, err := strconv.ParseFloat(s, 64)
			f, ok = parsed, err == nil
		}
		if !ok {
			return c.mistyped(path, "a number", v)
		}
		if kind == "int" && !isIntegral(f) {
			return c.mistyped(path, "a whole number", v)
		}
		return f
	case "string":
		switch v := v.(type) {
		case string:
			return v
		case bool:
			return strconv.FormatBool(v)
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		return c.mistyped(path, "a string", v)
	}
	return v // a list whose element type the facts do not give
}

func (c *check) mistyped(path, want string, got any) any {
	c.fail(path, "Incorrect attribute value type. Inappropriate value for attribute: %s is required, got %s.", want, kindOf(got))
	return nil
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case []any:
		return "a list"
	case Map:
		return "an object"
	case *Asset:
		return "an asset"
	}
	return fmt.Sprintf("%T", v)
}

// limits applies the facts' value rules to one scalar.
func (c *check) limits(p *facts.Property, v any, path string) {
	switch v := v.(type) {
	case float64:
		if (p.Min != nil && v < float64(*p.Min)) || (p.Max != nil && v > float64(*p.Max)) {
			c.fail(path, "expected %q to be in the range (%s), got %v.", p.Name, span(p.Min, p.Max), v)
		}
	case string:
		if len(p.Enum) > 0 && !contains(p.Enum, v) && (v != "" || p.Required) {
			c.fail(path, "expected %q to be one of %s, got %s.", p.Name, quoted(p.Enum), v)
		}
		n := utf8.RuneCountInString(v)
		if (p.Min != nil && n < *p.Min && v != "") || (p.Max != nil && n > *p.Max) {
			c.fail(path, "expected length of %q to be in the range (%s), got %d characters.", p.Name, span(p.Min, p.Max), n)
		}
		switch p.Format {
		case "json":
			if v != "" && !json.Valid([]byte(v)) {
				c.fail(path, "%q contains an invalid JSON.", p.Name)
			}
		case "arn":
			if v != "" && !validARN(v) {
				c.fail(path, "%q (%s) is an invalid ARN: arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE is needed.", p.Name, v)
			}
		case "ipv4cidr":
			if prefix, err := netip.ParsePrefix(v); v != "" && (err != nil || !prefix.Addr().Is4() || prefix != prefix.Masked()) {
				c.fail(path, "%q must contain a valid network Value, expected a CIDR block whose host bits are zero, got %q.", p.Name, v)
			}
		}
	}
}

func validARN(s string) bool {
	parts := strings.SplitN(s, ":", 6)
	return len(parts) == 6 && parts[0] == "arn" && parts[1] != "" && parts[2] != "" && parts[5] != ""
}

func span(lo, hi *int) string {
	switch {
	case lo == nil && hi == nil:
		return "any"
	case hi == nil:
		return fmt.Sprintf("at least %d", *lo)
	case lo == nil:
		return fmt.Sprintf("at most %d", *hi)
	}
	return fmt.Sprintf("%d - %d", *lo, *hi)
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

func quoted(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(q, " ") + "]"
}

// checkInputs checks the inputs of a resource or function against the facts.
func checkInputs(t *facts.Type, name string, news, olds Map) (Map, []Failure, []string) {
	c := &check{name: name}
	in := news
	if t.HasTags() {
		if _, given := news["tagsAll"]; given { // computed below; the old SDKs send it back
			in = cloneMap(news)
			delete(in, "tagsAll")
		}
	}
	out := c.object(t.Inputs, in, olds, "")
	for _, key := range t.Inputs.Order {
		if _, given := in[key]; given && t.Inputs.Properties[key].Deprecated && !t.Function {
			c.warnings = append(c.warnings, fmt.Sprintf("%s: property %q is deprecated", name, key))
		}
	}
	sort.Strings(c.warnings)
	// Required properties are judged once names are made: the caller runs rules.
	return out, c.failures, c.warnings
}
