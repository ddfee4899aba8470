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
