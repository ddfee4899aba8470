package access

import (
	"strings"
)

// stranger stands for what only a wildcard matches. It contains no character that patterns treat specially.
const stranger = "review-stranger"

// covers tells whether a pattern matches all that another one matches. It may say no where the answer is yes, never the
// other way round.
func covers(broad, narrow string) bool {
	if broad == "*" || broad == narrow {
		return true
	}
	if strings.HasPrefix(narrow, butPrefix) || strings.HasPrefix(broad, butPrefix) {
		return false
	}
	return textGlobs(broad, narrow)
}

// textGlobs matches with '*' and '?' in the pattern; in the text, '*' is matched by '*' alone.
func textGlobs(pattern, text string) bool {
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
