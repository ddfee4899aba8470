package events

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Put matches an event with the rules of a region and sends it to the targets of those that it matches. What cannot be
// delivered is dropped, as EventBridge drops it in the end, and logged.
func (s *Service) Put(region string, event map[string]any) {
	text, err := json.Marshal(event)
	if err != nil {
		return // unreachable: events are made of what JSON has
	}
	var decoded map[string]any // numbers as patterns have them
	if err := json.Unmarshal(text, &decoded); err != nil {
		return
	}
	s.mu.Lock()
	var matched []*rule
	for _, name := range slices.Sorted(maps.Keys(s.rules[region])) {
		r := s.rules[region][name]
		if r.state == "DISABLED" || r.state == "ENABLED" && readsOnly(decoded) {
			continue
		}
		var pattern map[string]any
		if json.Unmarshal([]byte(r.pattern), &pattern) == nil && matchObject(pattern, decoded) {
			copied := *r
			copied.targets = maps.Clone(r.targets)
			matched = append(matched, &copied)
		}
	}
	s.mu.Unlock()
	for _, r := range matched {
		for _, id := range slices.Sorted(maps.Keys(r.targets)) {
			t := r.targets[id]
			if err := s.topics.PublishFor("events.amazonaws.com", t.ARN, t.message(decoded, string(text))); err != nil {
				s.g.Logf("EventBridge rule %s: target %s: %v", r.name, t.ARN, err)
			}
		}
	}
}

// readsOnly tells a management event of CloudTrail about a call that changes nothing, such as each call of STS: rules in
// state ENABLED do not see it, those in ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS do
// (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html).
func readsOnly(event map[string]any) bool {
	detail, _ := event["detail"].(map[string]any)
	return event["detail-type"] == "AWS API Call via CloudTrail" && detail["managementEvent"] == true && detail["readOnly"] == true
}

// message is what a target gets of an event.
func (t target) message(event map[string]any, whole string) string {
	switch {
	case t.Input != "":
		return t.Input
	case t.InputPath != "":
		return text(at(event, t.InputPath))
	case t.InputTransformer == nil:
		return whole
	}
	return placeholder.ReplaceAllStringFunc(t.InputTransformer.InputTemplate, func(found string) string {
		value := at(event, t.InputTransformer.InputPathsMap[strings.Trim(found, "<>")])
		if value == nil {
			return ""
		}
		if s, ok := value.(string); ok { // within the template's own quotes
			quoted, _ := json.Marshal(s)
			return strings.Trim(string(quoted), `"`)
		}
		return text(value)
	})
}

// at finds the value at a path such as $.detail.eventName, nil where there is none.
func at(event map[string]any, path string) any {
	var value any = event
	for _, name := range strings.Split(strings.TrimPrefix(path, "$."), ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

func text(value any) string {
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(b)
}

func matchObject(pattern, event map[string]any) bool {
	for name, want := range pattern {
		switch w := want.(type) {
		case map[string]any:
			inner, ok := event[name].(map[string]any)
			if !ok {
				inner = map[string]any{} // what must not be there is not
			}
			if !matchObject(w, inner) {
				return false
			}
		case []any:
			value, given := event[name]
			if !given {
				value = absent{}
			}
			if !matchAny(w, value) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// matchAny tells whether a value, or any entry of a list, is one that the pattern takes. An empty list is nothing.
func matchAny(wanted []any, value any) bool {
	values := []any{value}
	if list, ok := value.([]any); ok {
		values = list
		if len(list) == 0 {
			values = []any{absent{}}
		}
	}
	for _, w := range wanted {
		for _, v := range values {
			if matchOne(w, v) {
				return true
			}
		}
	}
	return false
}

// absent is the value of a field that an event does not have.
type absent struct{}

func matchOne(wanted, value any) bool {
	filter, ok := wanted.(map[string]any)
	if !ok {
		return wanted == value
	}
	s, isText := value.(string)
	_, isAbsent := value.(absent)
	_, isObject := value.(map[string]any)
	for name, operand := range filter { // one
		o, _ := operand.(string)
		switch name {
		case "exists":
			// Of leaves, null among them, and of nothing else: an object is not there
			// (https://github.com/aws/event-ruler#exists-matching).
			return operand == (!isAbsent && !isObject)
		case "prefix":
			return isText && strings.HasPrefix(s, o)
		case "suffix":
			return isText && strings.HasSuffix(s, o)
		case "equals-ignore-case":
			return isText && strings.EqualFold(s, o)
		case "anything-but":
			not, ok := operand.([]any)
			if !ok {
				not = []any{operand}
			}
			return !isAbsent && !isObject && !slices.Contains(not, value)
		case "numeric":
			n, ok := value.(float64)
			return ok && inRange(operand.([]any), n)
		}
	}
	return false
}

func inRange(comparisons []any, n float64) bool {
	for i := 0; i+1 < len(comparisons); i += 2 {
		limit, ok := comparisons[i+1].(float64)
		if !ok {
			return false
		}
		holds := false
		switch comparisons[i] {
		case "=":
			holds = n == limit
		case "<":
			holds = n < limit
		case "<=":
			holds = n <= limit
		case ">":
			holds = n > limit
		case ">=":
			holds = n >= limit
		}
		if !holds {
			return false
		}
	}
	return true
}
