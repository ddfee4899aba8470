package engine

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"sort"
)

// SameJSON says whether two JSON texts mean the same. IAM policy documents are compared as AWS reads them: one value or
// a list of one, and any order of statements, actions, resources, principals and condition values.
func SameJSON(a, b string) bool {
	if a == b {
		return true
	}
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	return reflect.DeepEqual(canonical(x), canonical(y))
}

func canonical(v any) any {
	doc, ok := v.(map[string]any)
	if !ok {
		return v
	}
	statements, isPolicy := doc["Statement"]
	if !isPolicy {
		return v
	}
	out := map[string]any{}
	for k, e := range doc {
		out[k] = e
	}
	var list []any
	for _, s := range asList(statements) {
		list = append(list, canonicalStatement(s))
	}
	sortByText(list)
	out["Statement"] = list
	return out
}

func canonicalStatement(v any) any {
	s, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for k, e := range s {
		switch k {
		case "Action", "NotAction", "Resource", "NotResource":
			out[k] = sortedTexts(e)
		case "Principal", "NotPrincipal":
			out[k] = canonicalPrincipal(e)
		case "Condition":
			out[k] = canonicalCondition(e)
		case "Sid":
			if e != "" {
				out[k] = e
			}
		default:
			out[k] = e
		}
	}
	return out
}

var accountRoot = regexp.MustCompile(`^arn:[^:]+:iam::(\d{12}):root$`)

func canonicalPrincipal(v any) any {
	if v == "*" {
		v = map[string]any{"AWS": "*"}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for k, e := range m {
		list := sortedTexts(e)
		for i, p := range list {
			if text, isText := p.(string); isText {
				if root := accountRoot.FindStringSubmatch(text); root != nil {
					list[i] = root[1]
				}
			}
		}
		sortByText(list)
		out[k] = list
	}
	return out
}

func canonicalCondition(v any) any {
	operators, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for op, keys := range operators {
		m, ok := keys.(map[string]any)
		if !ok {
			out[op] = keys
			continue
		}
		inner := map[string]any{}
		for k, e := range m {
			inner[k] = sortedTexts(e)
		}
		out[op] = inner
	}
	return out
}

// sortedTexts returns a value or list of values as a sorted list in which numbers and truth values are texts.
func sortedTexts(v any) []any {
	list := append([]any(nil), asList(v)...)
	for i, e := range list {
		switch e.(type) {
		case bool, float64:
			list[i] = fmt.Sprint(e)
		}
	}
	sortByText(list)
	return list
}

func asList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

func sortByText(list []any) {
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(b)
	}
	sort.SliceStable(list, func(i, j int) bool { return text(list[i]) < text(list[j]) })
}
