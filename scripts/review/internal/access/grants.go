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
}

// Policies are those of one principal. A boundary of nil is no boundary.
type Policies struct {
	Identity []*policy.Document
	Boundary []*policy.Document
}

func (p Policies) allows(req policy.Request) bool {
	if policy.Evaluate(req, p.Identity...).Decision != policy.Allow {
		return false
	}
	return p.Boundary == nil || policy.Evaluate(req, p.Boundary...).Decision == policy.Allow
}

// Allows tells whether an action is allowed on a resource, under the conditions of any of the statements.
func (p Policies) Allows(action, resource string) bool {
	docs := append(slices.Clone(p.Identity), p.Boundary...)
	for _, c := range contexts(docs) {
		if p.allows(policy.Request{Action: action, Resource: resource, Context: c.values}) {
			return true
		}
	}
	return false
}

// Compare returns what the second policies allow and the first do not, and the reverse. Both are short: what a broader
// grant of the same list contains is left out.
func Compare(before, after Policies) (gained, lost []Grant) {
	identity, boundary := slices.Concat(before.Identity, after.Identity), slices.Concat(before.Boundary, after.Boundary)
	situations := contexts(slices.Concat(identity, boundary))
	was, is := narrow(before), narrow(after)
	for _, q := range questions(identity, boundary) {
		gainedPlain, lostPlain := false, false
		for i, s := range situations {
			variables := map[string][]string{}
			req := policy.Request{
				Action:   witness(q.Action, variables),
				Resource: resourceWitness(q.Resource, variables),
				Context:  s.with(variables),
			}
			old, now := was.to(req).allows(req), is.to(req).allows(req)
			grant := Grant{Action: q.Action, Resource: q.Resource, Condition: s.text}
			switch {
			case !old && now && !gainedPlain:
				gained = append(gained, grant)
				gainedPlain = gainedPlain || i == 0
			case old && !now && !lostPlain:
				lost = append(lost, grant)
				lostPlain = lostPlain || i == 0
			}
		}
	}
	return compact(gained), compact(lost)
}

// Grants lists all that policies allow.
func Grants(p Policies) []Grant {
	gained, _ := Compare(Policies{}, p)
	return gained
}

// questions are the pairs of patterns to ask about: those of each statement, and where a statement takes something away
// (a denial, an exception, a boundary), what it shares with each other one.
func questions(identity, boundary []*policy.Document) []Grant {
	seen := map[Grant]bool{}
	var list, limits []Grant
	add := func(g Grant) {
		if !seen[g] {
			seen[g] = true
			list = append(list, g)
		}
	}
	collect := func(docs []*policy.Document, bounds bool) {
		for _, d := range docs {
			if d == nil {
				continue
			}
			for i := range d.Statements {
				s := &d.Statements[i]
				limit := bounds || s.Effect == "Deny" || s.NotActions != nil || s.NotResources != nil
				for _, a := range actions(s) {
					for _, r := range resources(s) {
						g := Grant{Action: a, Resource: r}
						add(g)
						if limit {
							limits = append(limits, g)
						}
					}
				}
			}
		}
	}
	collect(identity, false)
	collect(boundary, true)
	own := slices.Clone(list)
	for _, x := range limits {
		for _, y := range own {
			a, ok := narrower(x.Action, y.Action, coversAction)
			if !ok {
				continue
			}
			if r, ok := narrower(x.Resource, y.Resource, coversResource); ok {
				add(Grant{Action: a, Resource: r})
			}
		}
	}
	return list
}

func narrower(a, b string, covers func(broad, narrow string) bool) (string, bool) {
	switch {
	case covers(a, b):
		return b, true
	case covers(b, a):
		return a, true
	}
	return "", false
}

func actions(s *policy.Statement) []string {
	if s.NotActions != nil {
		return append([]string{"*"}, s.NotActions...)
	}
	return s.Actions
}

func resources(s *policy.Statement) []string {
	switch {
	case s.NotResources != nil:
		return append([]string{"*"}, s.NotResources...)
	case s.Resources != nil:
		return s.Resources
	}
	return []string{"*"}
}

// situation is a request context, with the words of the conditions that it satisfies.
type situation struct {
	values map[string][]string
	text   string
}

func (s situation) with(variables map[string][]string) map[string][]string {
	if len(variables) == 0 {
		return s.values
	}
	all := map[string][]string{}
	for _, m := range []map[string][]string{variables, s.values} {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

// contexts returns the empty context, and one for each set of conditions.
func contexts(docs []*policy.Document) []situation {
	list := []situation{{}}
	seen := map[string]bool{"": true}
	for _, d := range docs {
		if d == nil {
			continue
		}
		for i := range d.Statements {
			text := Conditions(d.Statements[i].Conditions)
			if seen[text] {
				continue
			}
			seen[text] = true
			list = append(list, situation{satisfy(d.Statements[i].Conditions), text})
		}
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

// satisfy returns a context in which the conditions hold, as far as one value a key can make them.
func satisfy(conditions []policy.Condition) map[string][]string {
	values := map[string][]string{}
	for _, c := range conditions {
		if len(c.Values) == 0 {
			continue
		}
		operator := c.Operator
		if _, rest, ok := strings.Cut(operator, ":"); ok {
			operator = rest
		}
		operator = strings.TrimSuffix(operator, "IfExists")
		switch value := c.Values[0]; {
		case operator == "Null":
			if strings.EqualFold(value, "false") {
				if _, set := values[c.Key]; !set {
					values[c.Key] = []string{stranger}
				}
			}
		case operator == "NotIpAddress":
			values[c.Key] = []string{"198.51.100.1"}
		case strings.Contains(operator, "Not"):
			values[c.Key] = []string{stranger}
		case operator == "IpAddress":
			values[c.Key] = []string{strings.SplitN(value, "/", 2)[0]}
		case operator == "NumericLessThan":
			values[c.Key] = []string{"-1"}
		case operator == "NumericGreaterThan":
			values[c.Key] = []string{"1e18"}
		case operator == "DateLessThan":
			values[c.Key] = []string{"0"}
		case operator == "DateGreaterThan":
			values[c.Key] = []string{"9999-12-31"}
		default:
			values[c.Key] = []string{witness(value, values)}
		}
	}
	return values
}

// compact sorts grants and drops those that another one contains.
func compact(grants []Grant) []Grant {
	actions := newRelation(coversAction, grants, func(g Grant) string { return g.Action })
	resources := newRelation(coversResource, grants, func(g Grant) string { return g.Resource })
	var kept []Grant
	for i, g := range grants {
		contained := false
		for j, other := range grants {
			if i == j || other.Condition != "" && other.Condition != g.Condition || !actions.covers(j, i) || !resources.covers(j, i) {
				continue
			}
			mutual := actions.covers(i, j) && resources.covers(i, j) && other.Condition == g.Condition
			if !mutual || j < i {
				contained = true
				break
			}
		}
		if !contained {
			kept = append(kept, g)
		}
	}
	slices.SortFunc(kept, func(a, b Grant) int {
		return cmp.Or(strings.Compare(a.Resource, b.Resource), strings.Compare(a.Action, b.Action), strings.Compare(a.Condition, b.Condition))
	})
	return kept
}

// relation answers which of a list's patterns cover which, each pair of distinct patterns once.
type relation struct {
	index []int
	yes   [][]bool
}

func newRelation(covers func(broad, narrow string) bool, grants []Grant, pattern func(Grant) string) *relation {
	r := &relation{}
	numbers := map[string]int{}
	var distinct []string
	for _, g := range grants {
		p := pattern(g)
		n, known := numbers[p]
		if !known {
			n = len(distinct)
			numbers[p] = n
			distinct = append(distinct, p)
		}
		r.index = append(r.index, n)
	}
	for _, broad := range distinct {
		row := make([]bool, len(distinct))
		for j, narrow := range distinct {
			row[j] = covers(broad, narrow)
		}
		r.yes = append(r.yes, row)
	}
	return r
}

func (r *relation) covers(i, j int) bool { return r.yes[r.index[i]][r.index[j]] }
