package engine

import (
	"strings"

	"k3s-aws-auth/scripts/lab/internal/standin/facts"
)

// Kind is what happens to a property.
type Kind int

// The kinds of a change.
const (
	Added Kind = iota
	Deleted
	Updated
)

// Change is one property that differs.
type Change struct {
	// Path is the property's path, as in a program.
	Path    string
	Kind    Kind
	Replace bool
}

// Top returns the top-level property of the change.
func (c Change) Top() string {
	if i := strings.IndexAny(c.Path, ".["); i >= 0 {
		return c.Path[:i]
	}
	return c.Path
}

// Difference is what an update would change, for the handlers' own rules.
type Difference[C any] struct {
	Client C
	// In holds the new inputs, Old the old state, OldIn the old inputs.
	In, Old, OldIn Map
	Changes        []Change
	// DeleteBeforeReplace asks for the old resource to go first, should there be a replacement.
	DeleteBeforeReplace bool
}

// Has says whether a top-level property differs.
func (d *Difference[C]) Has(name string) bool {
	for _, c := range d.Changes {
		if c.Top() == name {
			return true
		}
	}
	return false
}

// Replace makes the changes of the top-level properties replace the resource.
func (d *Difference[C]) Replace(names ...string) {
	for i, c := range d.Changes {
		if contains(names, c.Top()) {
			d.Changes[i].Replace = true
		}
	}
}

// InPlace makes the changes of the top-level properties not replace the resource.
func (d *Difference[C]) InPlace(names ...string) {
	for i, c := range d.Changes {
		if contains(names, c.Top()) {
			d.Changes[i].Replace = false
		}
	}
}

// Drop removes the changes of the top-level properties.
func (d *Difference[C]) Drop(names ...string) {
	var kept []Change
	for _, c := range d.Changes {
		if !contains(names, c.Top()) {
			kept = append(kept, c)
		}
	}
	d.Changes = kept
}

// DropPaths removes the changes at the paths and below them. A path may use * for a key or an index.
func (d *Difference[C]) DropPaths(paths ...string) {
	var kept []Change
	for _, c := range d.Changes {
		if !under(c.Path, paths) {
			kept = append(kept, c)
		}
	}
	d.Changes = kept
}

// Add notes a change that the comparison of inputs does not see.
func (d *Difference[C]) Add(c Change) { d.Changes = append(d.Changes, c) }

// Replaces says whether any change replaces the resource.
func (d *Difference[C]) Replaces() bool {
	for _, c := range d.Changes {
		if c.Replace {
			return true
		}
	}
	return false
}

// differ compares new inputs with an old state by the facts.
type differ struct {
	same    map[string]func(old, new any) bool
	echo    map[string]func(any) any
	changes []Change
}

func (d *differ) add(path string, kind Kind, replace bool) {
	d.changes = append(d.changes, Change{Path: path, Kind: kind, Replace: replace})
}

// object compares the properties of one object.
func (d *differ) object(shape *facts.Object, old, new Map, path string, replace bool) {
	for _, key := range shape.Order {
		d.property(shape.Properties[key], old[key], new[key], pathKey(path, key), replace)
	}
}

// property compares one property: old from the state, new from the inputs (nil when the program does not set it).
func (d *differ) property(p *facts.Property, old, new any, path string, replace bool) {
	replace = replace || p.ForceNew
	switch {
	case new == nil && (p.Computed || isZero(old)):
		return
	case new == nil:
		d.add(path, Deleted, replace)
		return
	case containsUnknownTop(new):
		kind := Updated
		if isZero(old) {
			kind = Added
		}
		d.add(path, kind, replace)
		return
	}
	if f := d.same[p.Path]; f != nil && f(old, new) {
		return
	}
	if f := d.echo[p.Path]; f != nil && d.equal(p, old, f(new)) {
		return
	}
	switch n := new.(type) {
	case Map:
		o, isMap := old.(Map)
		if !isMap || o == nil {
			if !isZero(n) || (p.Object != nil && p.Type == "object" && hasReal(n)) {
				d.add(path, Added, replace || d.anyForceNew(p))
			}
			return
		}
		if p.Object != nil {
			d.object(p.Object, o, n, path, false)
			return
		}
		d.texts(o, n, path, replace)
	case []any:
		o, _ := old.([]any)
		if p.Set {
			d.set(p, o, n, path, replace)
			return
		}
		d.list(p, o, n, path, replace)
	default:
		if d.equal(p, old, new) {
			return
		}
		kind := Updated
		if old == nil {
			kind = Added
		}
		d.add(path, kind, replace)
	}
}

// containsUnknownTop says whether a value as a whole is unknown; unknown parts of collections differ one by one.
func containsUnknownTop(v any) bool { _, ok := v.(Unknown); return ok }

func hasReal(m Map) bool {
	for k := range m {
		if k != defaultsKey {
			return true
		}
	}
	return false
}

// anyForceNew says whether a property below p replaces: then adding or removing the whole does too.
func (d *differ) anyForceNew(p *facts.Property) bool {
	if p.Object == nil {
		return false
	}
	for _, q := range p.Object.Properties {
		if q.ForceNew || d.anyForceNew(q) {
			return true
		}
	}
	return false
}

func (d *differ) texts(old, new Map, path string, replace bool) {
	for _, k := range sortedKeys(new) {
		was, had := old[k]
		switch {
		case !had:
			d.add(pathKey(path, k), Added, replace)
		case containsUnknownTop(new[k]) || was != new[k]:
			d.add(pathKey(path, k), Updated, replace)
		}
	}
	for _, k := range sortedKeys(old) {
		if _, has := new[k]; !has && k != defaultsKey {
			d.add(pathKey(path, k), Deleted, replace)
		}
	}
}

func (d *differ) list(p *facts.Property, old, new []any, path string, replace bool) {
	for i := range max(len(old), len(new)) {
		where := pathIndex(path, i)
		switch {
		case i >= len(old):
			d.add(where, Added, replace || d.anyForceNew(p))
		case i >= len(new):
			d.add(where, Deleted, replace || d.anyForceNew(p))
		default:
			n, isObject := new[i].(Map)
			o, wasObject := old[i].(Map)
			if isObject && wasObject && p.Object != nil {
				d.object(p.Object, o, n, where, replace)
			} else if containsUnknown(new[i]) || !d.equalElement(p, old[i], new[i]) {
				d.add(where, Updated, replace)
			}
		}
	}
}

func (d *differ) set(p *facts.Property, old, new []any, path string, replace bool) {
	replace = replace || d.anyForceNew(p)
	matched := make([]bool, len(old))
	var extra []int
	for i, n := range new {
		found := false
		for j, o := range old {
			if !matched[j] && !containsUnknown(n) && d.equalElement(p, o, n) {
				matched[j], found = true, true
				break
			}
		}
		if !found {
			extra = append(extra, i)
		}
	}
	var gone []int
	for j := range old {
		if !matched[j] {
			gone = append(gone, j)
		}
	}
	for k, i := range extra { // a set has no places: one that came for one that went reads as a change
		kind := Added
		if k < len(gone) {
			kind = Updated
		}
		d.add(pathIndex(path, i), kind, replace)
	}
	for k := len(extra); k < len(gone); k++ {
		d.add(pathIndex(path, gone[k]), Deleted, replace)
	}
}

// equalElement compares one element of a list or set.
func (d *differ) equalElement(p *facts.Property, old, new any) bool {
	n, isObject := new.(Map)
	o, wasObject := old.(Map)
	if isObject && wasObject && p.Object != nil {
		inner := &differ{same: d.same, echo: d.echo}
		inner.object(p.Object, o, n, "", false)
		return len(inner.changes) == 0
	}
	return d.equal(p, old, new)
}

// equal compares two values of a property that are not walked further.
func (d *differ) equal(p *facts.Property, old, new any) bool {
	if isZero(old) && isZero(new) {
		return true
	}
	switch n := new.(type) {
	case string:
		o, ok := old.(string)
		if !ok {
			return false
		}
		return o == n || (p.Format == "json" && SameJSON(o, n))
	case *Asset:
		o, ok := old.(*Asset)
		return ok && o.Hash() != "" && o.Hash() == n.Hash()
	case []any:
		o, ok := old.([]any)
		if !ok || len(o) != len(n) {
			return false
		}
		inner := &differ{}
		if p.Set {
			inner.set(p, o, n, "", false)
		} else {
			inner.list(p, o, n, "", false)
		}
		return len(inner.changes) == 0
	case Map:
		o, ok := old.(Map)
		if !ok {
			return false
		}
		inner := &differ{}
		if p.Object != nil {
			inner.object(p.Object, o, n, "", false)
		} else {
			inner.texts(o, n, "", false)
		}
		return len(inner.changes) == 0
	}
	return old == new
}

// compare returns the changes between an old state and new inputs.
func compare(t *facts.Type, old, new Map, same map[string]func(old, new any) bool, echo map[string]func(any) any) []Change {
	d := &differ{same: same, echo: echo}
	d.object(t.Inputs, old, new, "", false)
	if t.HasTags() {
		was, _ := old["tagsAll"].(Map)
		switch now := new["tagsAll"].(type) {
		case Unknown:
			d.add("tagsAll", Updated, false)
		case Map:
			d.texts(was, now, "tagsAll", false)
		}
	}
	return d.changes
}

// under says whether path is one of the patterns or below one.
func under(path string, patterns []string) bool {
	have := segments(path)
	for _, pattern := range patterns {
		want := segments(pattern)
		if len(want) > len(have) {
			continue
		}
		match := true
		for i, w := range want {
			if w != "*" && w != have[i] {
				match = false
				break
			}
		}
		if match {
			return true
		}
	}
	return false
}

// segments splits a property path: a.b[0]["c.d"] gives a, b, 0, c.d.
func segments(path string) []string {
	var out []string
	for path != "" {
		switch path[0] {
		case '.':
			path = path[1:]
		case '[':
			end := strings.IndexByte(path, ']')
			if strings.HasPrefix(path, `["`) {
				if q := strings.Index(path[2:], `"]`); q >= 0 {
					out, path = append(out, path[2:2+q]), path[2+q+2:]
					continue
				}
			}
			if end < 0 {
				return append(out, path[1:])
			}
			out, path = append(out, path[1:end]), path[end+1:]
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				return append(out, path)
			}
			out, path = append(out, path[:end]), path[end:]
		}
	}
	return out
}
