package ec2

import (
	"net/http"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// filtered keeps the resources that match every Filter of the request. values answers a filter's name with the
// resource's values; ok is false for a name that the lab does not model, which is an error and not an empty answer.
// The tag filters (tag:KEY, tag-key) work for all.
func filtered[T any](q *request, in []T, id func(T) string, values func(v T, name string) (have []string, ok bool)) ([]T, error) {
	filters := q.Structs("Filter")
	out := make([]T, 0, len(in))
	for _, f := range filters {
		if len(f.Strings("Value")) == 0 {
			return nil, gate.Errorf(http.StatusBadRequest, "InvalidParameterValue", "The filter '%s' has no values", f.Str("Name"))
		}
	}
	// A filter's name is checked even where there is nothing to filter.
	var zero T
	for _, f := range filters {
		name := f.Str("Name")
		if strings.HasPrefix(name, "tag:") || name == "tag-key" {
			continue
		}
		if len(in) == 0 {
			continue
		}
		zero = in[0]
		if _, ok := values(zero, name); !ok {
			return nil, gate.NotImplemented("filter " + name + " of EC2 action " + q.call.Action)
		}
	}
	for _, v := range in {
		keep := true
		for _, f := range filters {
			name := f.Str("Name")
			var have []string
			if key, ok := strings.CutPrefix(name, "tag:"); ok {
				if t, ok := q.s.tags[id(v)][key]; ok {
					have = []string{t}
				}
			} else if name == "tag-key" {
				for k := range q.s.tags[id(v)] {
					have = append(have, k)
				}
			} else {
				have, _ = values(v, name)
			}
			if !matchAny(have, f.Strings("Value")) {
				keep = false
				break
			}
		}
		if keep {
			out = append(out, v)
		}
	}
	return out, nil
}

func matchAny(have, patterns []string) bool {
	for _, p := range patterns {
		for _, h := range have {
			if wildcard(p, h) {
				return true
			}
		}
	}
	return false
}

// wildcard matches EC2's filter patterns: * for any run, ? for one character, a backslash takes the next one as is.
func wildcard(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	switch pattern[0] {
	case '*':
		for i := 0; i <= len(s); i++ {
			if wildcard(pattern[1:], s[i:]) {
				return true
			}
		}
		return false
	case '?':
		return s != "" && wildcard(pattern[1:], s[1:])
	case '\\':
		if len(pattern) > 1 {
			pattern = pattern[1:]
		}
	}
	return s != "" && s[0] == pattern[0] && wildcard(pattern[1:], s[1:])
}

// selected returns the resources that a Describe call names by id (all where it names none), each missing one being
// the error notFound.
func selected[T any](t *table[T], ids []string, notFound func(id string) error) ([]T, error) {
	if len(ids) == 0 {
		return t.all(), nil
	}
	out := make([]T, 0, len(ids))
	for _, id := range ids {
		v, ok := t.get(id)
		if !ok {
			return nil, notFound(id)
		}
		out = append(out, v)
	}
	return out, nil
}

// notFound is EC2's error for a missing resource, with the id put into the message's %s.
func notFound(code, message string) func(string) error {
	return func(id string) error {
		return gate.Errorf(http.StatusBadRequest, code, message, id)
	}
}

func dependency(format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, "DependencyViolation", format, args...)
}

func invalid(format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, "InvalidParameterValue", format, args...)
}

func missing(parameter string) error {
	return gate.Errorf(http.StatusBadRequest, "MissingParameter", "The request must contain the parameter %s", parameter)
}

func yesNo(b bool) []string {
	if b {
		return []string{"true"}
	}
	return []string{"false"}
}

func nodes(n ...wire.Node) []wire.Node { return n }
