package engine

import (
	"sort"
)

// The accessors below read checked inputs and states, whose types the engine has made sure of: an absent property gives
// the zero value.

// Str returns a text, "" where absent.
func Str(m Map, name string) string { s, _ := m[name].(string); return s }

// StrPtr returns a text, nil where absent or empty.
func StrPtr(m Map, name string) *string {
	if s := Str(m, name); s != "" {
		return &s
	}
	return nil
}

// Bool returns a truth value, false where absent.
func Bool(m Map, name string) bool { b, _ := m[name].(bool); return b }

// BoolPtr returns a truth value, nil where absent.
func BoolPtr(m Map, name string) *bool {
	if b, ok := m[name].(bool); ok {
		return &b
	}
	return nil
}

// Int returns a whole number, 0 where absent.
func Int(m Map, name string) int32 { f, _ := m[name].(float64); return int32(f) }

// IntPtr returns a whole number, nil where absent.
func IntPtr(m Map, name string) *int32 {
	if f, ok := m[name].(float64); ok {
		n := int32(f)
		return &n
	}
	return nil
}

// Int64Ptr returns a whole number, nil where absent.
func Int64Ptr(m Map, name string) *int64 {
	if f, ok := m[name].(float64); ok {
		n := int64(f)
		return &n
	}
	return nil
}

// Obj returns an object, nil where absent.
func Obj(m Map, name string) Map { o, _ := m[name].(Map); return o }

// Strs returns a list of texts, nil where absent.
func Strs(m Map, name string) []string {
	list, _ := m[name].([]any)
	var out []string
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Objs returns a list of objects, nil where absent.
func Objs(m Map, name string) []Map {
	list, _ := m[name].([]any)
	var out []Map
	for _, e := range list {
		if o, ok := e.(Map); ok {
			out = append(out, o)
		}
	}
	return out
}

// StrMap returns a map of texts, empty where absent.
func StrMap(m Map, name string) map[string]string { return stringMap(m[name]) }

// Has says whether a property is set at all.
func Has(m Map, name string) bool { _, ok := m[name]; return ok }

// List turns texts into a property value; the result is never nil.
func List(texts []string) []any {
	out := make([]any, 0, len(texts))
	for _, s := range texts {
		out = append(out, s)
	}
	return out
}

// SortedList is List of the texts in order, for sets.
func SortedList(texts []string) []any {
	sorted := append([]string(nil), texts...)
	sort.Strings(sorted)
	return List(sorted)
}

// SetChanges returns the texts that now has and was lacks, and the reverse.
func SetChanges(was, now []string) (add, remove []string) {
	old, cur := map[string]bool{}, map[string]bool{}
	for _, s := range was {
		old[s] = true
	}
	for _, s := range now {
		if !old[s] && !cur[s] {
			add = append(add, s)
		}
		cur[s] = true
	}
	for _, s := range was {
		if !cur[s] {
			remove = append(remove, s)
			cur[s] = true
		}
	}
	return add, remove
}
