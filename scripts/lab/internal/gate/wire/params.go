package wire

import (
	"encoding/base64"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// Params are the parameters of a query-protocol request ("Filter.1.Name=vpc-id"), seen from a prefix.
type Params struct {
	values url.Values
	prefix string
}

// NewParams wraps a parsed form.
func NewParams(values url.Values) Params { return Params{values: values} }

// Has reports whether the parameter, or one below it, was sent.
func (p Params) Has(name string) bool {
	full := p.prefix + name
	if _, ok := p.values[full]; ok {
		return true
	}
	for k := range p.values {
		if strings.HasPrefix(k, full+".") {
			return true
		}
	}
	return false
}

// Str returns a parameter, empty where absent.
func (p Params) Str(name string) string { return p.values.Get(p.prefix + name) }

// Ptr returns a parameter, nil where absent.
func (p Params) Ptr(name string) *string {
	if v, ok := p.values[p.prefix+name]; ok && len(v) > 0 {
		return &v[0]
	}
	return nil
}

// Bool returns a boolean parameter, fallback where absent.
func (p Params) Bool(name string, fallback bool) bool {
	if v := p.Str(name); v != "" {
		return strings.EqualFold(v, "true")
	}
	return fallback
}

// Int returns a numeric parameter, fallback where absent or no number.
func (p Params) Int(name string, fallback int) int {
	if n, err := strconv.Atoi(p.Str(name)); err == nil {
		return n
	}
	return fallback
}

// Blob returns a base64 parameter decoded, or as sent where it is not base64.
func (p Params) Blob(name string) []byte {
	v := p.Str(name)
	if b, err := base64.StdEncoding.DecodeString(v); err == nil {
		return b
	}
	return []byte(v)
}

// Sub is the view of the parameters below a structure's name.
func (p Params) Sub(name string) Params {
	return Params{values: p.values, prefix: p.prefix + name + "."}
}

// Strings returns the list name.1, name.2, … (or name.member.1, …) in the order of the index.
func (p Params) Strings(name string) []string {
	var out []string
	for _, i := range p.indices(name) {
		out = append(out, p.values.Get(p.prefix+name+"."+i))
	}
	return out
}

// Structs returns a view for each structure of the list name.1.X, name.2.X, … in the order of the index.
func (p Params) Structs(name string) []Params {
	var out []Params
	for _, i := range p.indices(name) {
		out = append(out, p.Sub(name+"."+i))
	}
	return out
}

// indices returns the distinct indices below a list's name ("1" or "member.1"), sorted by number.
func (p Params) indices(name string) []string {
	full := p.prefix + name + "."
	seen := map[int]string{}
	for k := range p.values {
		rest, ok := strings.CutPrefix(k, full)
		if !ok {
			continue
		}
		member := ""
		if m, ok := strings.CutPrefix(rest, "member."); ok {
			rest, member = m, "member."
		}
		index, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(index); err == nil {
			seen[n] = member + index
		}
	}
	numbers := make([]int, 0, len(seen))
	for n := range seen {
		numbers = append(numbers, n)
	}
	sort.Ints(numbers)
	out := make([]string, 0, len(numbers))
	for _, n := range numbers {
		out = append(out, seen[n])
	}
	return out
}

// Top returns the distinct first segments of the parameters' names below the prefix, sorted.
func (p Params) Top() []string {
	seen := map[string]bool{}
	for k := range p.values {
		if rest, ok := strings.CutPrefix(k, p.prefix); ok {
			first, _, _ := strings.Cut(rest, ".")
			seen[first] = true
		}
	}
	out := make([]string, 0, len(seen))
	for k := range seen {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
