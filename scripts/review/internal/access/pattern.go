// Package access compares what policies allow, by evaluating them: not their text. It asks the evaluator about
// representative requests, made of the patterns of both sides: for s3:Get* an action that only a wildcard can match, for
// arn:…:bucket/* an object that no longer pattern names.
package access

import (
	"strings"
)

// stranger stands for what only a wildcard matches. It contains no character that patterns treat specially.
const stranger = "review-stranger"

// witness returns a text that a pattern matches and that nothing narrower is likely to match. Policy variables stand for
// a value of the caller; their names are added to variables.
func witness(pattern string, variables map[string][]string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '*':
			b.WriteString(stranger)
		case c == '?':
			b.WriteByte('~')
		case c == '$' && strings.HasPrefix(pattern[i:], "${"):
			end := strings.IndexByte(pattern[i:], '}')
			if end < 0 {
				b.WriteByte(c)
				continue
			}
			name, _, _ := strings.Cut(pattern[i+2:i+end], ",")
			switch name = strings.TrimSpace(name); name {
			case "*", "?", "$":
				b.WriteString(name)
			default:
				variables[name] = []string{stranger + "-caller"}
				b.WriteString(stranger + "-caller")
			}
			i += end
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// resourceWitness is a witness with the six segments that an ARN has.
func resourceWitness(pattern string, variables map[string][]string) string {
	if pattern == "*" {
		return "arn:aws:" + stranger + ":" + stranger + ":000000000000:" + stranger
	}
	w := witness(pattern, variables)
	for strings.Count(w, ":") < 5 && strings.HasSuffix(pattern, "*") {
		w += ":" + stranger
	}
	return w
}

// covers tells whether a pattern matches all that another one matches. It may say no where the answer is yes, never the
// other way round.
func covers(broad, narrow string) bool {
	if broad == "*" || broad == narrow {
		return true
	}
	return glob(broad, narrow)
}

// glob matches with '*' and '?' in the pattern; in the text, '*' is matched by '*' alone.
func glob(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == text[t] && text[t] != '*' || pattern[p] == '?' && text[t] != '*'):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// coversAction is covers for actions, whose case does not matter.
func coversAction(broad, narrow string) bool {
	return covers(strings.ToLower(broad), strings.ToLower(narrow))
}

// coversResource is covers by ARN segment, as resources match.
func coversResource(broad, narrow string) bool {
	if broad == "*" {
		return true
	}
	b, n := strings.SplitN(broad, ":", 6), strings.SplitN(narrow, ":", 6)
	if len(b) != len(n) {
		return covers(broad, narrow)
	}
	for i := range b {
		if !covers(b[i], n[i]) {
			return false
		}
	}
	return true
}
