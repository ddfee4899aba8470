package access

import (
	"encoding/binary"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
)

// rule is a statement of either side with the classes it applies to. A statement with a policy variable in a resource is
// several rules: one for each such resource, which applies where an opaque fact says so.
type rule struct {
	s                             *policy.Statement
	number                        int // distinct for each rule
	conditions                    []literal
	actions, resources, principal bits
}

// layer is a set of documents of one kind: an Allow among them lets through, a Deny does not.
type layer struct{ allow, deny []*rule }

// side is what decides a request: every layer has to let it through.
type side []layer

// problem holds two sides and the classes of requests between which none of their statements makes a difference.
type problem struct {
	*theory
	actions, resources *partition
	actionAt           map[string]int // pattern → index in the partition
	resourceAt         map[string]int
	principals         []Principal
	before, after      side
	rules              []*rule
	groups             [3][]group         // actions, resources, principals
	actionOf, sourceOf []int              // class → group
	witness            func(cell, *state) // of each difference; for tests
}

// group is a set of classes that no statement tells apart.
type group struct {
	first int  // a class of it
	rules bits // those that apply
	size  int
}

// layers of a side as documents; nil is no layer.
type layers [][]*policy.Document

// newProblem prepares a comparison. ok is false where the patterns are beyond what is worth computing.
// actions and more are texts that questions will be about, the latter by condition key.
func newProblem(before, after layers, principals []Principal, actions []string, more map[string][]string) (*problem, bool) {
	p := &problem{actionAt: map[string]int{}, resourceAt: map[string]int{}, principals: principals}
	var docs []*policy.Document
	for _, l := range append(slices.Clone(before), after...) {
		docs = append(docs, l...)
	}
	p.theory = newTheory(docs, more)
	var actionGlobs, resourceGlobs []glob
	for _, a := range actions {
		p.actionAt[a] = len(actionGlobs)
		actionGlobs = append(actionGlobs, actionGlob(a))
	}
	for _, d := range docs {
		if d == nil {
			continue
		}
		for i := range d.Statements {
			s := &d.Statements[i]
			for _, a := range append(slices.Clone(s.Actions), s.NotActions...) {
				if _, known := p.actionAt[a]; !known {
					p.actionAt[a] = len(actionGlobs)
					actionGlobs = append(actionGlobs, actionGlob(a))
				}
			}
			for _, r := range append(slices.Clone(s.Resources), s.NotResources...) {
				k := r + "\n" + d.Version
				if _, known := p.resourceAt[k]; !known {
					g, _ := resourceGlob(r, d.Version)
					p.resourceAt[k] = len(resourceGlobs)
					resourceGlobs = append(resourceGlobs, g)
				}
			}
		}
	}
	var ok bool
	// A real action is a service and an operation.
	if p.actions, ok = divide(actionGlobs, glob{{wild: '*', colon: true}, {chars: []rune{':'}}, {wild: '*', colon: true}}); !ok {
		return nil, false
	}
	if p.resources, ok = divide(resourceGlobs, anything); !ok {
		return nil, false
	}
	p.before, p.after = p.read(before), p.read(after)
	p.group()
	return p, true
}

func (p *problem) read(docs layers) side {
	var out side
	for _, list := range docs {
		var l layer
		for _, d := range list {
			if d == nil {
				continue
			}
			for i := range d.Statements {
				s := &d.Statements[i]
				for _, r := range p.rulesOf(s, d.Version) {
					r.number = len(p.rules)
					p.rules = append(p.rules, r)
					if s.Effect == "Deny" {
						l.deny = append(l.deny, r)
					} else {
						l.allow = append(l.allow, r)
					}
				}
			}
		}
		out = append(out, l)
	}
	return out
}

func (p *problem) rulesOf(s *policy.Statement, version string) []*rule {
	base := rule{s: s, principal: newBits(len(p.principals))}
	for i, who := range p.principals {
		if who.matches(s) {
			base.principal.set(i)
		}
	}
	n := len(p.actions.classes)
	base.actions = newBits(n)
	for _, a := range append(slices.Clone(s.Actions), s.NotActions...) {
		base.actions = base.actions.or(p.actions.in[p.actionAt[a]])
	}
	if s.NotActions != nil {
		base.actions = base.actions.not(n)
	}
	for i := range s.Conditions {
		base.conditions = append(base.conditions, p.literal(&s.Conditions[i], version))
	}
	n = len(p.resources.classes)
	in := func(r string) bits { return p.resources.in[p.resourceAt[r+"\n"+version]] }
	base.resources = newBits(n)
	var list []*rule
	switch {
	case s.NotResources != nil:
		variable := false
		for _, r := range s.NotResources {
			_, v := resourceGlob(r, version)
			variable = variable || v
			base.resources = base.resources.or(in(r))
		}
		base.resources = base.resources.not(n)
		if variable {
			base.resources = fullBits(n)
			base.conditions = append(base.conditions, p.unknown("not resource "+strings.Join(s.NotResources, "\n")))
		}
	case s.Resources != nil:
		for _, r := range s.Resources {
			if _, variable := resourceGlob(r, version); variable {
				one := base
				one.resources = in(r)
				one.conditions = append(slices.Clone(base.conditions), p.unknown("resource "+r))
				list = append(list, &one)
				continue
			}
			base.resources = base.resources.or(in(r))
		}
		if len(list) == len(s.Resources) {
			return list
		}
	default: // trust policies
		base.resources = fullBits(n)
	}
	return append(list, &base)
}

// group joins classes that the same rules apply to.
func (p *problem) group() {
	collect := func(n int, of func(*rule) bits) ([]group, []int) {
		index := map[string]int{}
		var groups []group
		at := make([]int, n)
		var buffer []byte
		for class := range n {
			applies := newBits(len(p.rules))
			for _, r := range p.rules {
				if of(r).has(class) {
					applies.set(r.number)
				}
			}
			buffer = buffer[:0]
			for _, w := range applies {
				buffer = binary.LittleEndian.AppendUint64(buffer, w)
			}
			i, known := index[string(buffer)]
			if !known {
				i = len(groups)
				index[string(buffer)] = i
				groups = append(groups, group{first: class, rules: applies})
			}
			groups[i].size++
			at[class] = i
		}
		return groups, at
	}
	p.groups[0], p.actionOf = collect(len(p.actions.classes), func(r *rule) bits { return r.actions })
	p.groups[1], p.sourceOf = collect(len(p.resources.classes), func(r *rule) bits { return r.resources })
	p.groups[2], _ = collect(len(p.principals), func(r *rule) bits { return r.principal })
}

// actionGroup is the group of an action that newProblem was told about.
func (p *problem) actionGroup(action string) int {
	for class, g := range p.actionOf {
		if p.actions.in[p.actionAt[action]].has(class) {
			return g
		}
	}
	return 0
}

// cell is a set of requests that no statement tells apart, but for their conditions.
type cell struct{ action, resource, principal int }

func (p *problem) applies(c cell) bits {
	return p.groups[0][c.action].rules.and(p.groups[1][c.resource].rules).and(p.groups[2][c.principal].rules)
}

func selected(list []*rule, applies bits) []*rule {
	var out []*rule
	for _, r := range list {
		if applies.has(r.number) {
			out = append(out, r)
		}
	}
	return out
}

// grants calls do for each Allow of a side's first layer that applies, with the state in which it lets a request through,
// as far as conjunctions go, and the clauses that the denials add; until do returns true. given restricts the context.
func (p *problem) grants(s side, applies bits, given []literal, do func(r *rule, st *state, clauses [][]literal) bool) bool {
	if len(s) == 0 {
		return false
	}
	var clauses [][]literal
	for _, l := range s {
		for _, d := range selected(l.deny, applies) {
			clauses = append(clauses, p.negated(d))
		}
	}
	start := p.assumeAll(nil, given)
	if start == nil {
		return false
	}
	var through func(st *state, rest side, r *rule) bool
	through = func(st *state, rest side, r *rule) bool {
		if len(rest) == 0 {
			return do(r, st, clauses)
		}
		for _, next := range selected(rest[0].allow, applies) {
			if s := p.assumeAll(st, next.conditions); s != nil && through(s, rest[1:], r) {
				return true
			}
		}
		return false
	}
	for _, r := range selected(s[0].allow, applies) {
		if st := p.assumeAll(start, r.conditions); st != nil && through(st, s[1:], r) {
			return true
		}
	}
	return false
}

// negated is the clause that says that a rule does not apply.
func (p *problem) negated(r *rule) []literal {
	clause := make([]literal, 0, len(r.conditions))
	for _, l := range r.conditions {
		clause = append(clause, p.not(l))
	}
	return clause
}

// allowed tells whether a side can let requests of a cell through.
func (p *problem) allowed(s side, c cell, given ...literal) bool {
	return p.grants(s, p.applies(c), given, func(_ *rule, st *state, clauses [][]literal) bool { return p.possible(st, clauses) != nil })
}

// beyond returns the Allow statements of one side's first layer that let requests of a cell through which the other side
// does not.
func (p *problem) beyond(wide, narrow side, c cell, given ...literal) []*rule {
	applies := p.applies(c)
	var out []*rule
	var refusals []*rule // of narrow
	for _, l := range narrow {
		refusals = append(refusals, selected(l.deny, applies)...)
	}
	add := func(r *rule, found *state) {
		out = append(out, r)
		if p.witness != nil {
			p.witness(c, found)
		}
	}
	p.grants(wide, applies, given, func(r *rule, st *state, clauses [][]literal) bool {
		if slices.Contains(out, r) || p.possible(st, clauses) == nil {
			return false
		}
		for _, l := range narrow {
			missing := slices.Clone(clauses)
			for _, a := range selected(l.allow, applies) {
				missing = append(missing, p.negated(a))
			}
			if found := p.possible(st, missing); found != nil {
				add(r, found)
				return false
			}
		}
		for _, d := range refusals {
			if found := p.possible(p.assumeAll(st, d.conditions), clauses); found != nil {
				add(r, found)
				return false
			}
		}
		return false
	})
	return out
}
