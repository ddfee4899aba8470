// Package access compares what policies allow. It decides by inclusion, not by examples: what one side lets through and the
// other provably does too is no difference, and everything else is one. Patterns are regular languages, divided into classes
// that no pattern tells apart; conditions are sets of such classes; a difference is a request that satisfies the one side's
// statements and not the other's, found or excluded by a search.
package access

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
)

// Grant is something that policies allow.
type Grant struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
	// Condition is the condition under which it is allowed; empty for none.
	Condition string `json:"condition,omitempty"`
	// Who is the principal, in policies of resources.
	Who string `json:"who,omitempty"`
}

// Policies are those of one principal. A boundary or session policy of nil is none.
type Policies struct {
	Identity []*policy.Document
	Boundary []*policy.Document
	Session  []*policy.Document
}

func (p Policies) layers() layers {
	out := layers{p.Identity}
	for _, l := range [][]*policy.Document{p.Boundary, p.Session} {
		if l != nil {
			out = append(out, l)
		}
	}
	return out
}

// Compare returns what the second policies allow and the first do not, and the reverse. Both are short: what a broader
// grant of the same list contains is left out. A difference that is not excluded is shown, under the conditions of the
// statement that it comes from.
func Compare(before, after Policies) (gained, lost []Grant) {
	return compare(before.layers(), after.layers(), everybody)
}

func compare(before, after layers, principals []Principal) (gained, lost []Grant) {
	p, ok := newProblem(before, after, principals, nil, nil)
	if !ok {
		return textual(after, before), textual(before, after)
	}
	return p.difference(p.after, p.before, after, before), p.difference(p.before, p.after, before, after)
}

// Grants lists all that policies allow.
func Grants(p Policies) []Grant {
	gained, _ := Compare(Policies{}, p)
	return gained
}

// Allows tells whether an action can be allowed on a resource, under whatever conditions.
func (p Policies) Allows(action, resource string) bool {
	return Gains(Policies{}, p, action, resource)
}

// Gains tells whether the second policies allow an action on a resource where the first do not.
func Gains(before, after Policies, action, resource string) bool {
	p, ok := newProblem(special(before.layers(), action, resource), special(after.layers(), action, resource), everybody, nil, nil)
	if !ok {
		return true
	}
	for a := range p.groups[0] {
		for r := range p.groups[1] {
			if len(p.beyond(p.after, p.before, cell{a, r, 0})) > 0 {
				return true
			}
		}
	}
	return false
}

// GainedBy lists the resources on which the second policies allow an action and the first do not.
func GainedBy(before, after Policies, action string) []Grant {
	gained, _ := compare(special(before.layers(), action, ""), special(after.layers(), action, ""), everybody)
	for i := range gained {
		gained[i].Action = action
	}
	return gained
}

// special leaves of policies what says something about one action and, unless it is empty, one resource.
func special(docs layers, action, resource string) layers {
	out := make(layers, len(docs))
	for i, list := range docs {
		out[i] = []*policy.Document{}
		for _, d := range list {
			if d == nil {
				continue
			}
			short := &policy.Document{Version: d.Version}
			for _, s := range d.Statements {
				about := func(a string) bool { return ActionMatches(a, action) }
				if s.NotActions != nil && slices.ContainsFunc(s.NotActions, about) || s.Actions != nil && !slices.ContainsFunc(s.Actions, about) {
					continue
				}
				s.Actions, s.NotActions = []string{"*"}, nil
				if resource != "" && !specialize(&s, resource, d.Version) {
					continue
				}
				short.Statements = append(short.Statements, s)
			}
			out[i] = append(out[i], short)
		}
	}
	return out
}

// specialize keeps the resources of a statement that can be the one in question. It tells whether there are any.
func specialize(s *policy.Statement, resource, version string) bool {
	keep := func(patterns []string) (plain bool, variable []string) {
		for _, r := range patterns {
			g, v := resourceGlob(r, version)
			switch {
			case !g.matches(resource):
			case v:
				variable = append(variable, r)
			default:
				plain = true
			}
		}
		return plain, variable
	}
	switch {
	case s.NotResources != nil:
		plain, variable := keep(s.NotResources)
		if plain {
			return false
		}
		if len(variable) == 0 {
			s.Resources, s.NotResources = []string{"*"}, nil
		}
	case s.Resources != nil:
		plain, variable := keep(s.Resources)
		if !plain && len(variable) == 0 {
			return false
		}
		s.Resources = variable
		if plain {
			s.Resources = []string{"*"}
		}
	}
	return true
}

// difference lists what one side allows and the other does not.
func (p *problem) difference(wide, narrow side, wideDocs, narrowDocs layers) []Grant {
	var out []Grant
	for who := range p.groups[2] {
		out = append(out, p.differenceFor(who, wide, narrow, wideDocs, narrowDocs)...)
	}
	return compact(out)
}

func (p *problem) differenceFor(who int, wide, narrow side, wideDocs, narrowDocs layers) []Grant {
	n, m := len(p.actions.classes), len(p.resources.classes)
	gained := map[*rule][]bits{} // for each action class: the resource classes
	const (
		all = iota
		live
		any
	)
	alive := make([]bits, n) // what is allowed at all
	for i := range alive {
		alive[i] = newBits(m)
	}
	ofAction, ofResource := p.members()
	for a := range p.groups[0] {
		for r := range p.groups[1] {
			c := cell{a, r, who}
			if !p.allowed(wide, c) {
				continue
			}
			for _, class := range ofAction[a] {
				alive[class] = alive[class].or(ofResource[r])
			}
			for _, rule := range p.beyond(wide, narrow, c) {
				if gained[rule] == nil {
					gained[rule] = make([]bits, n)
				}
				for _, class := range ofAction[a] {
					if gained[rule][class] == nil {
						gained[rule][class] = newBits(m)
					}
					gained[rule][class] = gained[rule][class].or(ofResource[r])
				}
			}
		}
	}
	if len(gained) == 0 {
		return nil
	}
	name := ""
	if first := p.principals[p.groups[2][who].first]; first.Kind != "" {
		name = first.String()
	}
	var rules []*rule
	for r := range gained {
		rules = append(rules, r)
	}
	slices.SortFunc(rules, func(a, b *rule) int { return a.number - b.number })
	limits := p.limits(wideDocs, narrowDocs)
	var out []Grant
	for _, r := range rules {
		condition := Conditions(r.s.Conditions)
		covered := make([]bits, n)
		for i := range covered {
			covered[i] = newBits(m)
		}
		none := newBits(m)
		// report tells whether a pair says something that was not said yet. fit is how well it has to: all of the pair is
		// gained; all of it that is allowed at all; any of it.
		report := func(actions, resources bits, fit int) bool {
			some := false
			for class := range n {
				if !actions.has(class) {
					continue
				}
				now := gained[r][class]
				if now == nil {
					now = none
				}
				if fit == all && !resources.within(now) || fit == live && !alive[class].and(resources).within(now) {
					return false
				}
				some = some || !now.and(resources).within(covered[class])
			}
			if some {
				for class := range n {
					if actions.has(class) {
						covered[class] = covered[class].or(resources)
					}
				}
			}
			return some
		}
		own := p.pairs(r)
		for _, list := range []struct {
			pairs []pair
			fit   int
		}{{own, all}, {limits, live}, {own, any}} {
			for _, q := range list.pairs {
				if report(q.actions, q.resources, list.fit) {
					out = append(out, Grant{Action: q.action, Resource: q.resource, Condition: condition, Who: name})
				}
			}
		}
	}
	return out
}

// members are the classes of each group: those of actions as a list, those of resources as a set.
func (p *problem) members() ([][]int, []bits) {
	actions := make([][]int, len(p.groups[0]))
	for class, g := range p.actionOf {
		actions[g] = append(actions[g], class)
	}
	resources := make([]bits, len(p.groups[1]))
	for i := range resources {
		resources[i] = newBits(len(p.sourceOf))
	}
	for class, g := range p.sourceOf {
		resources[g].set(class)
	}
	return actions, resources
}

// pair is an action and a resource as they are written, with the classes that they stand for.
type pair struct {
	action, resource   string
	actions, resources bits
}

// pairs are what a rule allows or denies in its own words.
func (p *problem) pairs(r *rule) []pair {
	var actions, resources []pair
	if r.s.NotActions != nil {
		actions = append(actions, pair{action: exceptions(r.s.NotActions), actions: r.actions})
	}
	for _, a := range r.s.Actions {
		actions = append(actions, pair{action: a, actions: p.actions.in[p.actionAt[a]]})
	}
	if r.s.NotResources != nil {
		resources = append(resources, pair{resource: exceptions(r.s.NotResources), resources: r.resources})
	}
	for _, version := range []string{policy.Version2012, policy.Version2008} {
		for _, x := range r.s.Resources {
			if i, known := p.resourceAt[x+"\n"+version]; known && !slices.ContainsFunc(resources, func(q pair) bool { return q.resource == x }) {
				resources = append(resources, pair{resource: x, resources: p.resources.in[i]})
			}
		}
	}
	if r.s.Resources == nil && r.s.NotResources == nil {
		resources = append(resources, pair{resource: "*", resources: r.resources})
	}
	var out []pair
	for _, a := range actions {
		for _, x := range resources {
			out = append(out, pair{a.action, x.resource, a.actions, x.resources})
		}
	}
	return out
}

// butPrefix begins what stands for a NotAction or NotResource.
const butPrefix = "everything but "

func exceptions(list []string) string { return butPrefix + strings.Join(list, ", ") }

// limits are the pairs that tell best what a denial, an exception or a boundary used to keep away: what each of them has in
// common with the statements.
func (p *problem) limits(wide, narrow layers) []pair {
	const most = 20000
	var limits, own []pair
	written := func(s *policy.Statement, version string, negative bool) []pair {
		actions, resources := s.Actions, s.Resources
		if negative {
			actions, resources = append([]string{"*"}, s.NotActions...), append([]string{"*"}, s.NotResources...)
			if s.NotActions == nil {
				actions = s.Actions
			}
			if s.NotResources == nil {
				resources = s.Resources
			}
		}
		if resources == nil {
			resources = []string{"*"}
		}
		var out []pair
		for _, a := range actions {
			for _, r := range resources {
				q := pair{action: a, resource: r, actions: fullBits(len(p.actions.classes)), resources: fullBits(len(p.resources.classes))}
				if i, known := p.actionAt[a]; known {
					q.actions = p.actions.in[i]
				}
				if i, known := p.resourceAt[r+"\n"+version]; known {
					q.resources = p.resources.in[i]
				}
				out = append(out, q)
			}
		}
		return out
	}
	for side, docs := range []layers{wide, narrow} {
		for layer, list := range docs {
			for _, d := range list {
				if d == nil {
					continue
				}
				for i := range d.Statements {
					s := &d.Statements[i]
					list := written(s, d.Version, true)
					if side == 1 || layer > 0 || s.Effect == "Deny" || s.NotActions != nil || s.NotResources != nil {
						limits = append(limits, list...)
					}
					if side == 0 {
						own = append(own, list...)
					}
				}
			}
		}
	}
	if len(limits)*len(own) > most {
		return limits[:min(most, len(limits))]
	}
	var out []pair // the narrower first
	for _, x := range limits {
		for _, y := range own {
			a, ok := narrower(x.action, y.action, x.actions, y.actions)
			if !ok {
				continue
			}
			if r, ok := narrower(x.resource, y.resource, x.resources, y.resources); ok {
				out = append(out, pair{a, r, x.actions.and(y.actions), x.resources.and(y.resources)})
			}
		}
	}
	return append(out, limits...)
}

func narrower(a, b string, x, y bits) (string, bool) {
	switch {
	case y.within(x):
		return b, true
	case x.within(y):
		return a, true
	}
	return "", false
}

// textual compares by text where there is too much to compute: every grant that is not written on the other side in the
// same words, and all of them where denials, boundaries or session policies differ.
func textual(wide, narrow layers) []Grant {
	words := func(d *policy.Document, s *policy.Statement) string { return fmt.Sprintf("%s %+v", d.Version, *s) }
	split := func(docs layers) (allows map[string]bool, limits string) {
		allows = map[string]bool{}
		var rest []string
		for i, list := range docs {
			for _, d := range list {
				for j := range d.Statements {
					if w := words(d, &d.Statements[j]); i == 0 && d.Statements[j].Effect == "Allow" {
						allows[w] = true
					} else {
						rest = append(rest, fmt.Sprint(i, w))
					}
				}
			}
		}
		slices.Sort(rest)
		return allows, strings.Join(rest, "\n")
	}
	_, ours := split(wide)
	theirs, others := split(narrow)
	var out []Grant
	for _, d := range wide[0] {
		for i := range d.Statements {
			s := &d.Statements[i]
			if s.Effect == "Deny" || ours == others && theirs[words(d, s)] {
				continue
			}
			for _, a := range cmpOr(s.Actions, exceptions(s.NotActions)) {
				for _, r := range cmpOr(s.Resources, exceptions(s.NotResources)) {
					out = append(out, Grant{Action: a, Resource: r, Condition: Conditions(s.Conditions)})
				}
			}
		}
	}
	return compact(out)
}

func cmpOr(list []string, instead string) []string {
	if list == nil {
		return []string{instead}
	}
	return list
}

// Conditions is a set of conditions in one line.
func Conditions(conditions []policy.Condition) string {
	var parts []string
	for _, c := range conditions {
		parts = append(parts, fmt.Sprintf("%s %s %s", c.Key, c.Operator, strings.Join(c.Values, "|")))
	}
	slices.Sort(parts)
	return strings.Join(parts, " and ")
}

// compact sorts grants and drops those that another one contains.
func compact(grants []Grant) []Grant {
	broaderAction := broader(grants, func(g Grant) string { return g.Action }, coversAction)
	broaderResource := broader(grants, func(g Grant) string { return g.Resource }, coversResource)
	type place struct{ action, resource string }
	at := map[place][]int{}
	for i, g := range grants {
		p := place{g.Action, g.Resource}
		at[p] = append(at[p], i)
	}
	var kept []Grant
	for i, g := range grants {
		contained := func(j int, mutual bool) bool {
			other := grants[j]
			if i == j || other.Who != g.Who || other.Condition != "" && other.Condition != g.Condition {
				return false
			}
			return !mutual || other.Condition != g.Condition || j < i
		}
		found := false
		for _, a := range broaderAction[g.Action] {
			for _, r := range broaderResource[g.Resource] {
				if found {
					break
				}
				mutual := slices.Contains(broaderAction[a], g.Action) && slices.Contains(broaderResource[r], g.Resource)
				found = slices.ContainsFunc(at[place{a, r}], func(j int) bool { return contained(j, mutual) })
			}
		}
		if !found {
			kept = append(kept, g)
		}
	}
	slices.SortFunc(kept, func(a, b Grant) int {
		return cmp.Or(strings.Compare(a.Resource, b.Resource), strings.Compare(a.Action, b.Action), strings.Compare(a.Condition, b.Condition), strings.Compare(a.Who, b.Who))
	})
	return kept
}

// broader lists, for each distinct pattern, those that cover it, itself among them.
func broader(grants []Grant, pattern func(Grant) string, covers func(broad, narrow string) bool) map[string][]string {
	out := map[string][]string{}
	var distinct []string
	for _, g := range grants {
		if p := pattern(g); out[p] == nil {
			out[p] = []string{}
			distinct = append(distinct, p)
		}
	}
	for _, narrow := range distinct {
		for _, broad := range distinct {
			if covers(broad, narrow) {
				out[narrow] = append(out[narrow], broad)
			}
		}
	}
	return out
}

// ActionMatches tells whether a pattern of actions has an action.
func ActionMatches(pattern, action string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return strings.EqualFold(pattern, action)
	}
	return actionGlob(pattern).matches(strings.ToLower(action))
}

// ResourceMatches tells whether a resource of a statement has an ARN; a policy variable can be anything.
func ResourceMatches(pattern, arn string) bool {
	g, _ := resourceGlob(pattern, policy.Version2012)
	return g.matches(arn)
}

// ResourcesOverlap tells whether two patterns of ARNs have one in common.
func ResourcesOverlap(a, b string) bool {
	x, _ := resourceGlob(a, policy.Version2012)
	y, _ := resourceGlob(b, policy.Version2012)
	return overlaps(x, y)
}
