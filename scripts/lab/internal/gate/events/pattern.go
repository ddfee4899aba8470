package events

import (
	"encoding/json"
	"net/http"
	"slices"

	"k3s-aws-auth/scripts/lab/internal/gate"
)

// Comparisons that a pattern may make beside equality ("Comparison operators for use in event patterns"): those that the
// lab makes too, and the others.
var (
	filters    = []string{"anything-but", "equals-ignore-case", "exists", "numeric", "prefix", "suffix"}
	notModeled = []string{"cidr", "wildcard"}
)

func badPattern(format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, "InvalidEventPatternException", "Event pattern is not valid. Reason: "+format, args...)
}

// checkPattern refuses what EventBridge refuses: a pattern is an object whose leaves are lists of values and filters.
func checkPattern(text string) error {
	if len(text) > 4096 {
		return badPattern("longer than 4096 characters")
	}
	var pattern map[string]any
	if err := json.Unmarshal([]byte(text), &pattern); err != nil {
		return badPattern("Filter is not an object")
	}
	if len(pattern) == 0 {
		return badPattern("Empty objects are not allowed")
	}
	return checkObject(pattern)
}

func checkObject(pattern map[string]any) error {
	for name, value := range pattern {
		switch v := value.(type) {
		case map[string]any:
			if len(v) == 0 {
				return badPattern("Empty objects are not allowed at %s", name)
			}
			if err := checkObject(v); err != nil {
				return err
			}
		case []any:
			if len(v) == 0 {
				return badPattern("Empty arrays are not allowed at %s", name)
			}
			for _, e := range v {
				if err := checkEntry(name, e); err != nil {
					return err
				}
			}
		default:
			return badPattern("%q must be an object or an array", name)
		}
	}
	return nil
}

func checkEntry(name string, entry any) error {
	if name == "$or" {
		return gate.NotImplemented("$or in an event pattern")
	}
	switch e := entry.(type) {
	case []any:
		return badPattern("an array in the array %s", name)
	case map[string]any:
		if len(e) != 1 {
			return badPattern("a match of %s must have one comparison", name)
		}
		for filter, operand := range e {
			if slices.Contains(notModeled, filter) {
				return gate.NotImplemented("the comparison " + filter + " in an event pattern")
			}
			if !slices.Contains(filters, filter) {
				return badPattern("Unrecognized match type %s", filter)
			}
			if _, ok := operand.(bool); filter == "exists" && !ok {
				return badPattern("exists match pattern must be either true or false.")
			}
			switch operand.(type) {
			case string, float64, bool, []any:
			default:
				return gate.NotImplemented("a comparison within " + filter + " in an event pattern")
			}
			if list, ok := operand.([]any); filter == "numeric" && (!ok || len(list)%2 != 0 || len(list) == 0) {
				return badPattern("numeric needs operators with a number each")
			}
		}
	}
	return nil
}
