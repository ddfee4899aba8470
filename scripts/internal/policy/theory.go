package policy

import (
	"strings"
	"time"
)

// Operator is a condition operator taken apart, for tools that reason about policies rather than ask them.
type Operator struct {
	// Set is "", "ForAnyValue" or "ForAllValues".
	Set string
	// Base is the positive form: StringEquals for StringNotEqualsIfExists.
	Base              string
	Negated, IfExists bool
}

// ParseOperator reads a condition operator. It is an error where the operator is not known; such a condition never lets an
// Allow apply and never keeps a Deny from it.
func ParseOperator(text string) (Operator, error) {
	o, err := parseOperator(text)
	return Operator{Set: o.set, Base: o.base, Negated: o.negated, IfExists: o.ifExists}, err
}

// HoldsFor tells whether a condition holds where its key has these values in the request, and no value where there are none.
// Policy variables have no value. An operator that is not known holds never.
func (c *Condition) HoldsFor(version string, values ...string) bool {
	a := attributes{}
	if len(values) > 0 {
		a[strings.ToLower(c.Key)] = values
	}
	ok, _, err := c.holds(version, a)
	return ok && err == nil
}

// ParseDate reads a value of a date operator: ISO 8601, or seconds since the epoch.
func ParseDate(s string) (time.Time, error) { return parseDate(s) }

// Match tells how an element names a principal. A role is named too by the ARN of any session of it.
func (e *PrincipalElement) Match(p *Principal) PrincipalMatch {
	best := e.match(p)
	if p == nil || p.RoleARN == "" {
		return best
	}
	sessions := strings.Replace(p.RoleARN, ":iam:", ":sts:", 1)
	head, path, _ := strings.Cut(sessions, ":role/")
	sessions = head + ":assumed-role/" + path[strings.LastIndexByte(path, '/')+1:] + "/"
	for _, v := range e.AWS {
		if strings.HasPrefix(v, sessions) {
			return MatchExact
		}
	}
	return best
}

// Known is what is known of every request of a kind: the values of condition keys, by name in lower case.
type Known struct {
	Values map[string][]string
	// Closed are beginnings of names of keys, of which every request has those in Values and no others.
	Closed []string
}

// values of a key: certain tells whether they are known, be it that there are none.
func (k *Known) values(key string) (values []string, certain bool) {
	key = strings.ToLower(strings.TrimSpace(key))
	if v, ok := k.Values[key]; ok {
		return v, true
	}
	for _, c := range k.Closed {
		if strings.HasPrefix(key, c) {
			return nil, true
		}
	}
	return nil, false
}

// Assume is what remains of a document where that much is known: conditions that hold are left out, statements whose
// conditions do not hold too, and policy variables have their values. The document is not changed.
func (k *Known) Assume(d *Document) *Document {
	out := *d
	out.Statements = nil
	for _, s := range d.Statements {
		if kept, ok := k.statement(s, d.Version); ok {
			out.Statements = append(out.Statements, kept)
		}
	}
	return &out
}

func (k *Known) statement(s Statement, version string) (Statement, bool) {
	var conditions []Condition
	for _, c := range s.Conditions {
		// Where a variable has no value, the condition stays as it is: what it means then is the evaluation's to say.
		if filled := k.fill(c.Values, version); len(filled) == len(c.Values) {
			c.Values = filled
		}
		values, certain := k.values(c.Key)
		if _, err := parseOperator(c.Operator); err != nil || !certain || version == Version2012 && hasVariable(c.Values) {
			conditions = append(conditions, c)
			continue
		}
		if !c.HoldsFor(version, values...) {
			return s, false
		}
	}
	s.Conditions = conditions
	if s.Resources != nil {
		if s.Resources = k.fill(s.Resources, version); len(s.Resources) == 0 {
			return s, false // each of them has a variable without a value
		}
	}
	if s.NotResources != nil {
		s.NotResources = k.fill(s.NotResources, version)
	}
	return s, true
}

func hasVariable(texts []string) bool {
	for _, t := range texts {
		for rest := t; ; {
			i := strings.Index(rest, "${")
			if i < 0 {
				break
			}
			if rest = rest[i+2:]; len(rest) < 2 || !strings.ContainsRune("*?$", rune(rest[0])) || rest[1] != '}' {
				return true
			}
		}
	}
	return false
}

// fill puts known values in the place of variables. What has a variable that is known to have no value matches nothing, and
// is left out.
func (k *Known) fill(texts []string, version string) []string {
	if version != Version2012 || !hasVariable(texts) {
		return texts
	}
	out := []string{}
next:
	for _, t := range texts {
		var b strings.Builder
		for {
			before, rest, some := strings.Cut(t, "${")
			name, after, closed := strings.Cut(rest, "}")
			b.WriteString(before)
			if !some || !closed {
				if some {
					b.WriteString("${" + rest)
				}
				break
			}
			t = after
			key, fallback, hasFallback := strings.Cut(name, ",")
			values, certain := k.values(key)
			fallback = strings.Trim(strings.TrimSpace(fallback), "'")
			switch {
			case !certain:
				b.WriteString("${" + name + "}")
			case len(values) == 1:
				b.WriteString(literal(values[0]))
			case hasFallback:
				b.WriteString(literal(fallback))
			default:
				continue next
			}
		}
		out = append(out, b.String())
	}
	return out
}

// literal is a text in which no character is a wildcard or begins a variable.
func literal(text string) string {
	return strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace(text)
}
