package access

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
)

// theory knows what conditions say about each other. The values of a condition key are divided into classes that no
// condition of either policy tells apart; a condition is then a set of classes, and implication and contradiction are
// questions about sets. What is not understood (an operator that is not known, a policy variable, operators of different
// kinds on one key) is a fact of its own, which implies nothing but itself.
type theory struct {
	keys   map[string]*domain // by lower-case name
	opaque map[string]int     // text → number
}

// domain is a condition key with the classes of its values.
type domain struct {
	name     string
	kind     string // "text", "number", "date", "address", "binary", or "" where only presence is asked
	patterns map[string]int
	globs    []glob
	values   *partition // text
	samples  []string   // other kinds: a value of each class
	networks []string   // those that conditions name
	n        int        // classes
	failed   bool       // too many patterns: conditions on this key are opaque
	asked    int        // globs from this one on are of questions, not of conditions
}

// literal is a condition, or its negation, as a set of classes of its key's values. A request's values satisfy it where
// all of them are in the set, or any; absent tells whether a request without the key does.
type literal struct {
	key    string
	set    bits
	all    bool
	absent bool
	// opaque is not zero for what is not understood; negative where it is negated.
	opaque int
}

var kinds = map[string]string{
	"StringEquals": "text", "StringEqualsIgnoreCase": "text", "StringLike": "text", "ArnEquals": "text", "ArnLike": "text", "Bool": "text",
	"NumericEquals": "number", "NumericLessThan": "number", "NumericLessThanEquals": "number", "NumericGreaterThan": "number", "NumericGreaterThanEquals": "number",
	"DateEquals": "date", "DateLessThan": "date", "DateLessThanEquals": "date", "DateGreaterThan": "date", "DateGreaterThanEquals": "date",
	"IpAddress": "address", "BinaryEquals": "binary", "Null": "",
}

// newTheory reads the conditions of statements. more has texts of keys that questions will be about.
func newTheory(docs []*policy.Document, more map[string][]string) *theory {
	t := &theory{keys: map[string]*domain{}, opaque: map[string]int{}}
	raw := map[string][]string{} // values of keys of other kinds
	eachCondition(docs, func(c *policy.Condition, version string) {
		o, err := policy.ParseOperator(c.Operator)
		if err != nil {
			return
		}
		d := t.domain(c.Key)
		kind := kinds[o.Base]
		if kind == "" || d.kind != "" && d.kind != kind || hasVariables(c, version) {
			return
		}
		d.kind = kind
		for _, v := range c.Values {
			if kind == "text" {
				d.add(textGlob(o.Base, v, version))
			} else {
				raw[d.name] = append(raw[d.name], v)
			}
		}
	})
	for _, d := range t.keys {
		d.asked = len(d.globs)
		if d.kind == "address" {
			d.networks = slices.Clone(raw[d.name])
		}
	}
	for name, texts := range more {
		if t.keys[strings.ToLower(name)] == nil && strangers[name] != nil && name != anchorKey {
			continue // no condition asks who that is
		}
		d := t.domain(name)
		if d.kind == "" {
			d.kind = "text"
		}
		for _, v := range texts {
			if d.kind == "text" {
				d.add(askedGlob(v))
			} else {
				raw[d.name] = append(raw[d.name], v)
			}
		}
	}
	for _, d := range t.keys {
		d.divide(raw[d.name])
	}
	return t
}

func eachCondition(docs []*policy.Document, do func(*policy.Condition, string)) {
	for _, d := range docs {
		if d == nil {
			continue
		}
		for i := range d.Statements {
			for j := range d.Statements[i].Conditions {
				do(&d.Statements[i].Conditions[j], d.Version)
			}
		}
	}
}

func (t *theory) domain(key string) *domain {
	name := strings.ToLower(key)
	if t.keys[name] == nil {
		t.keys[name] = &domain{name: name, patterns: map[string]int{}}
	}
	return t.keys[name]
}

func (d *domain) add(g glob) {
	if g == nil {
		return
	}
	if _, known := d.patterns[g.key()]; !known {
		d.patterns[g.key()] = len(d.globs)
		d.globs = append(d.globs, g)
	}
}

func (d *domain) divide(raw []string) {
	switch d.kind {
	case "text":
		var ok bool
		if d.values, ok = divide(d.globs, anything); !ok {
			d.failed = true
			return
		}
		d.samples = d.values.classes
	case "number":
		d.samples = numbers(raw)
	case "date":
		d.samples = dates(raw)
	case "address":
		d.samples = addresses(raw)
	case "binary":
		d.samples = append(slices.Clone(raw), "AAECAwQFBgcICQ==", "not base64")
	default:
		d.samples = []string{"x"}
	}
	d.n = len(d.samples)
}

// textGlob is the language of one value of a text operator; nil where it matches nothing.
func textGlob(base, value, version string) glob {
	g, _ := tokens(value, version)
	if g == nil {
		g = glob{}
	}
	switch base {
	case "StringLike":
		return g
	case "ArnEquals", "ArnLike":
		g, segments, _ := arnGlob(value, version)
		if segments != 6 {
			return nil
		}
		return g
	case "Bool":
		v := strings.ToLower(value)
		if v != "true" && v != "false" {
			return nil
		}
		out := literalGlob(v)
		for i := range out {
			out[i].chars = []rune{out[i].chars[0] - 'a' + 'A', out[i].chars[0]}
		}
		return out
	}
	for i, t := range g { // wildcards are characters here
		if t.wild != 0 {
			g[i] = token{chars: []rune{rune(t.wild)}}
		}
	}
	if base == "StringEqualsIgnoreCase" {
		return folded(g)
	}
	return g
}

// askedGlob is the language of a text that a question is about; its wildcards stay within their segment.
func askedGlob(text string) glob {
	g, _, _ := arnGlob(text, policy.Version2008)
	return g
}

func hasVariables(c *policy.Condition, version string) bool {
	return slices.ContainsFunc(c.Values, func(v string) bool { _, variables := tokens(v, version); return variables })
}

// literal translates a condition.
func (t *theory) literal(c *policy.Condition, version string) literal {
	o, err := policy.ParseOperator(c.Operator)
	if err != nil {
		return t.unknown(conditionKey(c, version))
	}
	d := t.domain(c.Key)
	if o.Base == "Null" {
		l := literal{key: d.name, absent: c.HoldsFor(version), set: newBits(d.n)}
		if c.HoldsFor(version, "x") {
			l.set = fullBits(d.n)
		}
		if d.failed {
			return t.unknown(conditionKey(c, version))
		}
		return l
	}
	if d.failed || kinds[o.Base] != d.kind || hasVariables(c, version) {
		return t.unknown(conditionKey(c, version))
	}
	l := literal{key: d.name, set: newBits(d.n), absent: c.HoldsFor(version), all: o.Set == "ForAllValues" || o.Set == "" && o.Negated}
	if d.kind == "text" {
		for _, v := range c.Values {
			if g := textGlob(o.Base, v, version); g != nil {
				l.set = l.set.or(d.values.in[d.patterns[g.key()]])
			}
		}
		if o.Negated {
			l.set = l.set.not(d.n)
		}
		return l
	}
	for i, s := range d.samples {
		if c.HoldsFor(version, s) {
			l.set.set(i)
		}
	}
	return l
}

func conditionKey(c *policy.Condition, version string) string {
	values := slices.Clone(c.Values)
	slices.Sort(values)
	return fmt.Sprintf("%s %s %q %s", strings.ToLower(c.Key), c.Operator, values, version)
}

// unknown is a fact that implies nothing but itself.
func (t *theory) unknown(text string) literal {
	n, known := t.opaque[text]
	if !known {
		n = len(t.opaque) + 1
		t.opaque[text] = n
	}
	return literal{opaque: n}
}

// not is the negation.
func (t *theory) not(l literal) literal {
	if l.opaque != 0 {
		return literal{opaque: -l.opaque}
	}
	return literal{key: l.key, set: l.set.not(t.keys[l.key].n), all: !l.all, absent: !l.absent}
}

// exact tells the classes of a text key that hold a single value because a condition names it.
func (t *theory) exact(key string) bits {
	d := t.domain(key)
	out := newBits(d.n)
	if d.kind != "text" || d.failed {
		return out
	}
	for i, g := range d.globs[:d.asked] {
		if g.exact() {
			out = out.or(d.values.in[i])
		}
	}
	return out
}

// class restricts a key to one of its values, which newTheory was told about.
func (t *theory) class(key, value string) literal {
	d := t.domain(key)
	l := literal{key: d.name, set: newBits(d.n), all: true}
	if d.failed {
		l.set = fullBits(d.n)
		return l
	}
	switch d.kind {
	case "text":
		if i, known := d.patterns[literalGlob(value).key()]; known {
			l.set = d.values.in[i]
		}
	default:
		if i := slices.Index(d.samples, value); i >= 0 {
			l.set.set(i)
		}
	}
	return l
}

// matching restricts a text key to the values of a pattern that a condition has.
func (t *theory) matching(key string, g glob) literal {
	d := t.domain(key)
	l := literal{key: d.name, set: newBits(d.n), all: true}
	if d.failed {
		l.set = fullBits(d.n)
		return l
	}
	if i, known := d.patterns[g.key()]; known && d.kind == "text" {
		l.set = d.values.in[i]
	}
	return l
}

// facts are what is assumed about one key.
type facts struct {
	absent  bool // the request may lack the key
	allowed bits // every value is in it
	some    []bits
}

// state is a set of assumptions about a request's context.
type state struct {
	keys   map[string]*facts
	opaque map[int]bool
}

// assume adds a literal. It returns nil where that contradicts.
func (t *theory) assume(s *state, l literal) *state {
	out := &state{keys: map[string]*facts{}, opaque: map[int]bool{}}
	if s != nil {
		for k, v := range s.keys {
			out.keys[k] = v
		}
		for k, v := range s.opaque {
			out.opaque[k] = v
		}
	}
	if l.opaque != 0 {
		if out.opaque[-l.opaque] {
			return nil
		}
		out.opaque[l.opaque] = true
		return out
	}
	f := &facts{absent: l.absent, allowed: fullBits(t.keys[l.key].n)}
	if old := out.keys[l.key]; old != nil {
		f.absent = old.absent && l.absent
		f.allowed, f.some = old.allowed, slices.Clip(old.some)
	}
	if l.all {
		f.allowed = f.allowed.and(l.set)
	} else {
		f.some = append(f.some, l.set)
	}
	if !f.presentPossible() {
		if !f.absent {
			return nil
		}
		f.allowed, f.some = newBits(t.keys[l.key].n), nil // only a request without the key is left
	}
	out.keys[l.key] = f
	return out
}

func (f *facts) presentPossible() bool {
	if f.allowed.empty() {
		return false
	}
	for _, s := range f.some {
		if !s.meets(f.allowed) {
			return false
		}
	}
	return true
}

func (t *theory) assumeAll(s *state, list []literal) *state {
	if s == nil {
		s = &state{}
	}
	for _, l := range list {
		if s = t.assume(s, l); s == nil {
			return nil
		}
	}
	return s
}

// maxSearch bounds a search. What it does not settle counts as possible: a gain that may not be one is shown.
const maxSearch = 5000

// possible finds out whether a context can satisfy the assumptions and one literal of each clause: what is then assumed,
// or nil.
func (t *theory) possible(s *state, clauses [][]literal) *state {
	budget := maxSearch
	return t.search(s, clauses, &budget)
}

func (t *theory) search(s *state, clauses [][]literal, budget *int) *state {
	if s == nil || len(clauses) == 0 {
		return s
	}
	best := 0
	for i, c := range clauses {
		if len(c) < len(clauses[best]) {
			best = i
		}
	}
	rest := append(slices.Clone(clauses[:best]), clauses[best+1:]...)
	for _, l := range clauses[best] {
		if *budget--; *budget < 0 {
			return s
		}
		if next := t.assume(s, l); next != nil {
			if found := t.search(next, rest, budget); found != nil {
				return found
			}
		}
	}
	return nil
}

// context makes a request's context of assumptions.
func (t *theory) context(s *state) map[string][]string {
	out := map[string][]string{}
	for key, f := range s.keys {
		d := t.keys[key]
		if !f.presentPossible() {
			continue
		}
		for _, some := range f.some {
			for i := range d.n {
				if some.has(i) && f.allowed.has(i) {
					out[key] = append(out[key], d.samples[i])
					break
				}
			}
		}
		for i := 0; i < d.n && len(out[key]) == 0 && !f.absent; i++ {
			if f.allowed.has(i) {
				out[key] = []string{d.samples[i]}
			}
		}
	}
	return out
}

// numbers returns a value in each cell that comparisons with these values can tell apart, and one that is no number.
func numbers(values []string) []string {
	var points []float64
	for _, v := range values {
		if f, err := strconv.ParseFloat(v, 64); err == nil && f == f {
			points = append(points, f)
		}
	}
	slices.Sort(points)
	points = slices.Compact(points)
	out := []string{"not a number"}
	text := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	last := math.Inf(-1)
	for i, p := range points {
		if below := math.Nextafter(p, math.Inf(-1)); below < p && (i == 0 || below > last) {
			out = append(out, text(below))
		}
		out = append(out, text(p))
		last = p
	}
	if len(points) == 0 {
		return append(out, "0")
	}
	if above := math.Nextafter(last, math.Inf(1)); above > last {
		out = append(out, text(above))
	}
	return out
}

func dates(values []string) []string {
	var points []time.Time
	for _, v := range values {
		if d, err := policy.ParseDate(v); err == nil {
			points = append(points, d)
		}
	}
	slices.SortFunc(points, func(a, b time.Time) int { return a.Compare(b) })
	out := []string{"not a date"}
	add := func(d time.Time) {
		text := d.UTC().Format(time.RFC3339Nano)
		if year := d.UTC().Year(); year < 0 || year > 9999 {
			text = strconv.FormatInt(d.Unix(), 10)
		}
		if back, err := policy.ParseDate(text); err == nil && back.Equal(d) && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	step := func(d time.Time) time.Duration {
		if year := d.UTC().Year(); year < 1 || year > 9998 {
			return time.Second
		}
		return time.Nanosecond
	}
	for _, p := range points {
		add(p.Add(-step(p)))
		add(p)
		add(p.Add(step(p)))
	}
	if len(points) == 0 {
		add(time.Unix(0, 0))
	}
	return out
}

// addresses returns the first address of every stretch that networks can tell apart.
func addresses(values []string) []string {
	starts := []netip.Addr{netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("::")}
	for _, v := range values {
		if a, err := netip.ParseAddr(v); err == nil {
			a = a.Unmap().WithZone("")
			starts = append(starts, a, a.Next())
			continue
		}
		p, err := netip.ParsePrefix(v)
		if err != nil {
			continue
		}
		p = p.Masked()
		a := p.Addr().AsSlice()
		for i := p.Bits(); i < len(a)*8; i++ {
			a[i/8] |= 1 << (7 - i%8)
		}
		last, _ := netip.AddrFromSlice(a)
		starts = append(starts, p.Addr(), last.Next())
	}
	out := []string{"not an address"}
	for _, a := range starts {
		if a.IsValid() && !slices.Contains(out, a.String()) {
			out = append(out, a.String())
		}
	}
	return out
}

// anybodys tells whether an address can be a stranger's: no network that conditions name has it, but for those that are a good
// part of the internet.
func anybodys(address string, networks []string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && !slices.ContainsFunc(networks, func(text string) bool {
		if one, err := netip.ParseAddr(text); err == nil {
			return one.Unmap().WithZone("") == a
		}
		p, err := netip.ParsePrefix(text)
		return err == nil && !Wide(p) && p.Contains(a)
	})
}

// Wide tells whether a network is as good as the internet.
func Wide(p netip.Prefix) bool {
	return p.Addr().Is4() && p.Bits() <= 7 || p.Addr().Is6() && p.Bits() <= 16
}
