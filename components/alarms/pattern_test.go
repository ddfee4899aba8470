package alarms

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// matches is EventBridge's matching, as far as the patterns here use it: every
// field of the pattern is there, with one of its values; an event's list matches
// with any of its entries.
func matches(t *testing.T, pattern, event any) bool {
	t.Helper()
	switch p := pattern.(type) {
	case map[string]any:
		fields, _ := event.(map[string]any) // of what is none, no field is there
		for name, inner := range p {
			if !matches(t, inner, fields[name]) {
				return false
			}
		}
		return true
	case []any:
		if list, ok := event.([]any); ok {
			if len(list) == 0 { // as if it were not there
				return matches(t, pattern, nil)
			}
			for _, entry := range list {
				if matches(t, pattern, entry) {
					return true
				}
			}
			return false
		}
		for _, value := range p {
			if filter, ok := value.(map[string]any); ok {
				if filtered(t, filter, event) {
					return true
				}
			} else if value == event {
				return true
			}
		}
		return false
	}
	t.Fatalf("%v is no pattern", pattern)
	return false
}

func filtered(t *testing.T, filter map[string]any, value any) bool {
	t.Helper()
	require.Len(t, filter, 1)
	for name, operand := range filter {
		switch name {
		case "exists":
			return operand.(bool) == (value != nil)
		case "prefix":
			text, ok := value.(string)
			prefix := operand.(string)
			return ok && len(text) >= len(prefix) && text[:len(prefix)] == prefix
		case "numeric":
			number, ok := value.(float64)
			comparison := operand.([]any)
			require.Equal(t, "<=", comparison[0])
			return ok && number <= comparison[1].(float64)
		}
		t.Fatalf("the test knows no filter %s", name)
	}
	return false
}

// An event of CloudTrail as EventBridge hands it on, and the two of Roles
// Anywhere in the form that its user guide shows.
const (
	refusedEvent = `{"source":"aws.sts","detail-type":"AWS API Call via CloudTrail","region":"eu-central-1","detail":{
		"eventSource":"sts.amazonaws.com","eventName":"AssumeRoleWithWebIdentity","errorCode":"AccessDenied","sourceIPAddress":"203.0.113.7",
		"errorMessage":"Not authorized to perform sts:AssumeRoleWithWebIdentity","requestParameters":{
		"roleArn":"arn:aws:iam::111122223333:role/prod-reports-role-0123456","roleSessionName":"billing.reports"}}}`
	sessionEvent = `{"source":"aws.rolesanywhere","detail-type":"AWS API Call via CloudTrail","detail":{
		"eventSource":"rolesanywhere.amazonaws.com","eventName":"CreateSession","errorCode":"AccessDeniedException",
		"requestParameters":{"trustAnchorArn":"` + anchor + `","roleArn":"arn:aws:iam::111122223333:role/prod-reports-role-0123456"}}}`
	caEvent = `{"source":"aws.rolesanywhere","detail-type":"Roles Anywhere Certificate Expiration State Change","resources":["` + anchor + `"],
		"detail":{"certificate-serial-number":"00936EACBE07F201DF","days-to-expiry":40,"issuer":"O=k3s-aws-auth,CN=prod-ca-ca-1"}}`
	leafEvent = `{"source":"aws.rolesanywhere","detail-type":"Roles Anywhere Certificate Expiration State Change",
		"detail":{"certificate-serial-number":"00936EACBE07F201E0","days-to-expiry":15,"issuer":"O=k3s-aws-auth,CN=prod-ca-ca-1"}}`
)

// with changes one field of an event: the last of the path.
func with(t *testing.T, event string, value any, path ...string) any {
	t.Helper()
	var decoded map[string]any
	require.NoError(t, json.Unmarshal([]byte(event), &decoded))
	at := decoded
	for _, name := range path[:max(len(path)-1, 0)] {
		at = at[name].(map[string]any)
	}
	if len(path) > 0 {
		at[path[len(path)-1]] = value
		if value == nil {
			delete(at, path[len(path)-1])
		}
	}
	return decoded
}

// TestPatterns holds which events each rule tells of.
func TestPatterns(t *testing.T) {
	recorder, _ := everything(t)
	for rule, events := range map[string]struct{ told, untold []any }{
		"alarms-refused": {
			told: []any{
				with(t, refusedEvent, nil),
				with(t, refusedEvent, "AssumeRole", "detail", "eventName"),
			},
			untold: []any{
				with(t, refusedEvent, nil, "detail", "errorCode"), // it succeeded
				with(t, refusedEvent, "ExpiredTokenException", "detail", "errorCode"),
				with(t, refusedEvent, "GetSessionToken", "detail", "eventName"),
				with(t, refusedEvent, "arn:aws:iam::111122223333:role/other", "detail", "requestParameters", "roleArn"),
				with(t, refusedEvent, "arn:aws:iam::444455556666:role/prod-x", "detail", "requestParameters", "roleArn"),
				with(t, sessionEvent, nil), with(t, caEvent, nil), with(t, leafEvent, nil),
			},
		},
		"alarms-refused-sessions": {
			told: []any{
				with(t, sessionEvent, nil),
				with(t, sessionEvent, "ValidationException", "detail", "errorCode"),
				with(t, sessionEvent, nil, "detail", "requestParameters"), // as a refused call may have it
			},
			untold: []any{
				with(t, sessionEvent, nil, "detail", "errorCode"),
				with(t, sessionEvent, anchor+"b", "detail", "requestParameters", "trustAnchorArn"),
				with(t, sessionEvent, "GetProfile", "detail", "eventName"),
				with(t, refusedEvent, nil), with(t, caEvent, nil), with(t, leafEvent, nil),
			},
		},
		"alarms-ca-expiry": {
			told:   []any{with(t, caEvent, nil), with(t, caEvent, -3.0, "detail", "days-to-expiry")},
			untold: []any{with(t, caEvent, []any{anchor + "b"}, "resources"), with(t, leafEvent, nil), with(t, sessionEvent, nil)},
		},
		"alarms-leaf-expiry": {
			told: []any{with(t, leafEvent, nil), with(t, leafEvent, []any{}, "resources"), with(t, leafEvent, 0.0, "detail", "days-to-expiry")},
			untold: []any{
				with(t, leafEvent, 16.0, "detail", "days-to-expiry"), // a deployment has had half of its time only
				with(t, caEvent, 3.0, "detail", "days-to-expiry"),    // which another rule tells
				with(t, sessionEvent, nil), with(t, refusedEvent, nil),
			},
		},
	} {
		var pattern any
		text := recorder.Find(t, "aws:cloudwatch/eventRule:EventRule", rule).Input("eventPattern").(string)
		require.NoError(t, json.Unmarshal([]byte(text), &pattern))
		for i, event := range events.told {
			require.True(t, matches(t, pattern, event), "%s must tell of %d: %v", rule, i, event)
		}
		for i, event := range events.untold {
			require.False(t, matches(t, pattern, event), "%s must not tell of %d: %v", rule, i, event)
		}
	}
}
