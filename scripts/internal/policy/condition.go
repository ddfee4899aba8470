package policy

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// operator is a parsed condition operator.
type operator struct {
	set      string // "", "ForAnyValue", "ForAllValues"
	base     string // the positive form: StringEquals for StringNotEquals
	negated  bool
	ifExists bool
	compare  func(pattern []glyph, want, have string) bool
}

// comparisons are the positive operators. want is the policy's value (also compiled, for wildcards), have the request's.
var comparisons = map[string]func(pattern []glyph, want, have string) bool{
	"StringEquals":           func(_ []glyph, want, have string) bool { return want == have },
	"StringEqualsIgnoreCase": func(_ []glyph, want, have string) bool { return strings.EqualFold(want, have) },
	"StringLike":             func(pattern []glyph, _, have string) bool { return glob(pattern, []rune(have)) },
	"ArnEquals":              compareARN,
	"ArnLike":                compareARN,
	"NumericEquals":          numeric(func(c int) bool { return c == 0 }),
	"NumericLessThan":        numeric(func(c int) bool { return c < 0 }),
	"NumericLessThanEquals":  numeric(func(c int) bool { return c <= 0 }),
	"NumericGreaterThan":     numeric(func(c int) bool { return c > 0 }),
	"NumericGreaterThanEquals": numeric(func(c int) bool {
		return c >= 0
	}),
	"DateEquals":            date(func(c int) bool { return c == 0 }),
	"DateLessThan":          date(func(c int) bool { return c < 0 }),
	"DateLessThanEquals":    date(func(c int) bool { return c <= 0 }),
	"DateGreaterThan":       date(func(c int) bool { return c > 0 }),
	"DateGreaterThanEquals": date(func(c int) bool { return c >= 0 }),
	"Bool":                  compareBool,
	"BinaryEquals":          compareBinary,
	"IpAddress":             compareIP,
}

// negations name the negative operators.
var negations = map[string]string{
	"StringNotEquals":           "StringEquals",
	"StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
	"StringNotLike":             "StringLike",
	"ArnNotEquals":              "ArnEquals",
	"ArnNotLike":                "ArnLike",
	"NumericNotEquals":          "NumericEquals",
	"DateNotEquals":             "DateEquals",
	"NotIpAddress":              "IpAddress",
}

// parseOperator reads "[ForAnyValue:|ForAllValues:]Name[IfExists]".
func parseOperator(text string) (operator, error) {
	var o operator
	name := text
	if set, rest, ok := strings.Cut(text, ":"); ok {
		if set != "ForAnyValue" && set != "ForAllValues" {
			return o, fmt.Errorf("unknown set operator %q", set)
		}
		o.set, name = set, rest
	}
	if name == "Null" && o.set == "" {
		o.base = name
		return o, nil
	}
	if rest, ok := strings.CutSuffix(name, "IfExists"); ok {
		o.ifExists, name = true, rest
	}
	if positive, ok := negations[name]; ok {
		o.negated, name = true, positive
	}
	compare, ok := comparisons[name]
	if !ok {
		return o, fmt.Errorf("unknown condition operator %q", text)
	}
	o.base, o.compare = name, compare
	return o, nil
}

// holds evaluates one condition. note says why it does not hold. An error means that the operator is unknown.
func (c *Condition) holds(version string, a attributes) (ok bool, note string, err error) {
	o, err := parseOperator(c.Operator)
	if err != nil {
		return false, "", err
	}
	have, present := a[strings.ToLower(c.Key)]
	present = present && len(have) > 0
	if o.base == "Null" {
		for _, v := range c.Values {
			if strings.EqualFold(v, "true") != present {
				return true, "", nil
			}
		}
		return false, c.explain(have, present), nil
	}
	if !present {
		switch {
		case o.ifExists, o.set == "ForAllValues":
			return true, "", nil
		case o.set == "ForAnyValue":
			return false, c.explain(nil, false), nil
		case o.negated:
			return true, "", nil
		}
		return false, c.explain(nil, false), nil
	}
	type value struct {
		pattern []glyph
		text    string
	}
	var wants []value
	for _, v := range c.Values {
		pattern, missing, ok := compile(v, version, a)
		if !ok {
			note = fmt.Sprintf("%s %s: the request has no %s", c.Operator, c.Key, missing)
			continue
		}
		wants = append(wants, value{pattern, plain(pattern)})
	}
	equal := func(h string) bool {
		for _, w := range wants {
			if o.compare(w.pattern, w.text, h) {
				return true
			}
		}
		return false
	}
	matched := 0 // request values that satisfy the operator, negation included
	for _, h := range have {
		if equal(h) != o.negated {
			matched++
		}
	}
	switch {
	case o.negated && note != "": // what needs a variable without value matches nothing, its negation included
	case o.set == "ForAllValues", o.set == "" && o.negated:
		ok = matched == len(have)
	default:
		ok = matched > 0
	}
	if ok {
		return true, "", nil
	}
	if note == "" {
		note = c.explain(have, true)
	}
	return false, note, nil
}

func (c *Condition) explain(have []string, present bool) string {
	got := "is absent from the request"
	if present {
		got = fmt.Sprintf("is %q", have)
	}
	return fmt.Sprintf("%s %s wants %q, but it %s", c.Operator, c.Key, c.Values, got)
}

// compareARN compares all six segments, each on its own.
func compareARN(pattern []glyph, _, have string) bool {
	return len(splitPattern(pattern)) == arnSegments && globARN(pattern, have)
}

func numeric(ok func(int) bool) func([]glyph, string, string) bool {
	return func(_ []glyph, want, have string) bool {
		w, err1 := strconv.ParseFloat(want, 64)
		h, err2 := strconv.ParseFloat(have, 64)
		if err1 != nil || err2 != nil || w != w || h != h {
			return false
		}
		switch {
		case h < w:
			return ok(-1)
		case h > w:
			return ok(1)
		}
		return ok(0)
	}
}

func date(ok func(int) bool) func([]glyph, string, string) bool {
	return func(_ []glyph, want, have string) bool {
		w, err1 := parseDate(want)
		h, err2 := parseDate(have)
		return err1 == nil && err2 == nil && ok(h.Compare(w))
	}
}

// parseDate reads ISO 8601 (a date, or a date with time and zone) or seconds since the epoch.
func parseDate(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a date nor an epoch", s)
	}
	return time.Unix(n, 0), nil
}

func compareBool(_ []glyph, want, have string) bool {
	w, h := strings.ToLower(want), strings.ToLower(have)
	return w == h && (w == "true" || w == "false")
}

func compareBinary(_ []glyph, want, have string) bool {
	w, err1 := base64.StdEncoding.DecodeString(want)
	h, err2 := base64.StdEncoding.DecodeString(have)
	return err1 == nil && err2 == nil && string(w) == string(h)
}

func compareIP(_ []glyph, want, have string) bool {
	h, err := netip.ParseAddr(have)
	if err != nil {
		return false
	}
	h = h.Unmap().WithZone("")
	if w, err := netip.ParseAddr(want); err == nil {
		return w.Unmap() == h
	}
	w, err := netip.ParsePrefix(want)
	return err == nil && w.Contains(h)
}
