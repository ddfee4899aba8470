// Package causes is the catalogue of what AWS, its SDKs and the kubelet say when a pod does not get its identity: one table,
// from which the doctor decodes errors and docs/causes.md is made.
package causes

import (
	"regexp"
	"strings"
)

// Cause is one message, with what may have led to it.
type Cause struct {
	// ID is stable: scripts may rely on it. It is the anchor in docs/causes.md as well.
	ID string
	// Says is the message as a reader meets it, with … for what differs.
	Says string
	// From is who says it, and Source where that is written down.
	From, Source string
	// Pattern finds the message in a text.
	Pattern *regexp.Regexp
	// Reasons are what leads to it, the likeliest first.
	Reasons []Reason
	// Page is the page of docs/ with more, with its anchor.
	Page string
}

// Reason is one explanation of a message.
type Reason struct {
	// Why is what is wrong, Look how to tell it from the others, Do what mends it.
	Why, Look, Do string
}

// Match is a cause found in a text.
type Match struct {
	Cause *Cause
	// Values are what the message names, such as the issuer, by the names of the pattern's groups.
	Values map[string]string
	at     int
}

// Explain returns the causes that a text shows: AWS's own refusals before what a client says about them, since the catalogue
// has them in that order. It is empty where none is known.
func Explain(text string) []Match {
	text = strings.Join(strings.Fields(text), " ") // logs break lines anywhere
	var out []Match
	for i := range catalogue {
		c := &catalogue[i]
		found := c.Pattern.FindStringSubmatchIndex(text)
		if found == nil {
			continue
		}
		m := Match{Cause: c, Values: map[string]string{}, at: found[0]}
		for n, name := range c.Pattern.SubexpNames() {
			if name != "" && found[2*n] >= 0 {
				m.Values[name] = strings.TrimRight(text[found[2*n]:found[2*n+1]], `.,;:"'`)
			}
		}
		out = append(out, m)
	}
	return out
}

// All returns the catalogue in its order.
func All() []Cause { return catalogue }

// Get returns the cause of an id, nil where there is none.
func Get(id string) *Cause {
	for i := range catalogue {
		if catalogue[i].ID == id {
			return &catalogue[i]
		}
	}
	return nil
}

// says makes a pattern that finds a text literally, whatever the case.
func says(text string) *regexp.Regexp { return regexp.MustCompile(`(?i)` + regexp.QuoteMeta(text)) }

// matches makes a pattern of an expression, whatever the case.
func matches(expression string) *regexp.Regexp { return regexp.MustCompile(`(?i)` + expression) }
