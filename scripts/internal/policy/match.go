package policy

import (
	"strings"
)

// glyph is one character of a pattern; wild is '*' or '?' for wildcards, 0 for the character itself.
type glyph struct {
	r    rune
	wild byte
}

// attributes are the condition keys of a request by lower-case name.
type attributes map[string][]string

func newAttributes(context map[string][]string) attributes {
	out := make(attributes, len(context))
	for k, v := range context {
		out[strings.ToLower(k)] = v
	}
	return out
}

// compile turns a policy string into glyphs. Where the document is of version 2012-10-17, ${name} becomes the request's
// value as plain text (its first; ${name, 'default'} has a fallback), and ${*}, ${?}, ${$} the plain characters. A
// variable without value makes ok false: what contains it matches nothing, which missing then names.
func compile(text, version string, a attributes) (pattern []glyph, missing string, ok bool) {
	runes := []rune(text)
	pattern = make([]glyph, 0, len(runes))
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case r == '*' || r == '?':
			pattern = append(pattern, glyph{r: r, wild: byte(r)})
		case r == '$' && version == Version2012 && i+1 < len(runes) && runes[i+1] == '{':
			end := i + 2
			for end < len(runes) && runes[end] != '}' {
				end++
			}
			if end == len(runes) {
				pattern = append(pattern, glyph{r: r})
				continue
			}
			name := string(runes[i+2 : end])
			value, found := variable(name, a)
			if !found {
				return nil, name, false
			}
			for _, v := range value {
				pattern = append(pattern, glyph{r: v})
			}
			i = end
		default:
			pattern = append(pattern, glyph{r: r})
		}
	}
	return pattern, "", true
}

func variable(name string, a attributes) (string, bool) {
	if name == "*" || name == "?" || name == "$" {
		return name, true
	}
	key, fallback, hasFallback := strings.Cut(name, ",")
	if v := a[strings.ToLower(strings.TrimSpace(key))]; len(v) == 1 {
		return v[0], true
	}
	if hasFallback {
		fallback = strings.TrimSpace(fallback)
		if len(fallback) >= 2 && fallback[0] == '\'' && fallback[len(fallback)-1] == '\'' {
			return fallback[1 : len(fallback)-1], true
		}
	}
	return "", false
}

// plain is the text of a pattern with its wildcards as characters.
func plain(pattern []glyph) string {
	var b strings.Builder
	for _, g := range pattern {
		b.WriteRune(g.r)
	}
	return b.String()
}

// glob matches a whole text in time proportional to the product of the lengths at worst.
func glob(pattern []glyph, text []rune) bool {
	p, t := 0, 0
	star, mark := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p].wild == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p].wild == '?' || pattern[p].wild == 0 && pattern[p].r == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p].wild == '*' {
		p++
	}
	return p == len(pattern)
}

// arnSegments is the number of colon-separated segments of an ARN; further colons belong to the last.
const arnSegments = 6

// globARN matches an ARN segment by segment. A pattern with fewer segments than an ARN covers the rest with its last.
func globARN(pattern []glyph, text string) bool {
	segments := splitPattern(pattern)
	parts := strings.SplitN(text, ":", len(segments))
	if len(parts) != len(segments) {
		return false
	}
	for i := range segments {
		if !glob(segments[i], []rune(parts[i])) {
			return false
		}
	}
	return true
}

// globResource matches the ARN of a resource. Other than in conditions, a star that ends the segment of the region or the
// account "can expand to match beyond the colon boundaries" (IAM User Guide, "IAM JSON policy elements: Resource"), as in
// arn:aws:ssm:*:parameter/x; partition and service are named in full.
func globResource(pattern []glyph, text string) bool {
	colon := make([]bool, len(pattern)) // the wildcards that match colons
	segments := splitPattern(pattern)
	beyond, start := false, 0
	for i, s := range segments {
		end := start + len(s)
		for j := start; j < end; j++ {
			colon[j] = i == len(segments)-1 || i > serviceSegment && j == end-1 && pattern[j].wild == '*'
			beyond = beyond || colon[j] && i < len(segments)-1
		}
		start = end + 1
	}
	if !beyond {
		return globARN(pattern, text)
	}
	at := make([]bool, len(pattern)+1) // how far in the pattern one can be
	at[0] = true
	skip := func() {
		for i, g := range pattern {
			at[i+1] = at[i+1] || at[i] && g.wild == '*'
		}
	}
	skip()
	for _, r := range text {
		next := make([]bool, len(at))
		for i, g := range pattern {
			switch {
			case !at[i], g.wild == 0 && g.r != r, g.wild != 0 && r == ':' && !colon[i]:
			case g.wild == '*':
				next[i] = true
			default:
				next[i+1] = true
			}
		}
		at = next
		skip()
	}
	return at[len(pattern)]
}

// serviceSegment is the segment of an ARN that names the service.
const serviceSegment = 2

func splitPattern(pattern []glyph) [][]glyph {
	var out [][]glyph
	start := 0
	for i, g := range pattern {
		if g.wild == 0 && g.r == ':' && len(out) < arnSegments-1 {
			out = append(out, pattern[start:i])
			start = i + 1
		}
	}
	return append(out, pattern[start:])
}

// matchAction compares case-insensitively; actions know wildcards but no variables.
func matchAction(pattern, action string) bool {
	compiled, _, _ := compile(strings.ToLower(pattern), Version2008, nil)
	return glob(compiled, []rune(strings.ToLower(action)))
}

func matchResource(pattern, resource, version string, a attributes) bool {
	if pattern == "*" {
		return true
	}
	compiled, _, ok := compile(pattern, version, a)
	return ok && globResource(compiled, resource)
}

// match tells how the element names the principal.
func (e *PrincipalElement) match(p *Principal) PrincipalMatch {
	best := NoPrincipal
	better := func(m PrincipalMatch) {
		if m > best {
			best = m
		}
	}
	if e.Any {
		better(MatchAny)
	}
	for _, v := range e.AWS {
		better(matchAWS(v, p))
	}
	if p == nil {
		return best
	}
	for _, v := range e.Service {
		if p.Service != "" && strings.EqualFold(v, p.Service) {
			better(MatchExact)
		}
	}
	for _, v := range e.Federated {
		if p.Federated != "" && v == p.Federated {
			better(MatchExact)
		}
	}
	return best
}

func matchAWS(v string, p *Principal) PrincipalMatch {
	switch {
	case v == "*":
		return MatchAny
	case p == nil || p.Service != "" || p.Federated != "":
		return NoPrincipal
	case p.ARN != "" && v == p.ARN:
		return MatchExact
	case p.RoleARN != "" && v == p.RoleARN:
		return MatchRole
	case p.Account == "":
		return NoPrincipal
	case v == p.Account:
		return MatchAccount
	}
	parts := strings.SplitN(v, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" && parts[2] == "iam" && parts[4] == p.Account && parts[5] == "root" {
		return MatchAccount
	}
	return NoPrincipal
}
