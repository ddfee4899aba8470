package iampolicy

import "slices"

// Shut returns the statements of a role's own policy by which sessions of the role
// may do nothing: all of them while suspended, and those from before a moment
// (RFC 3339; empty for none), as AWS's own button "Revoke active sessions" does it.
// A deny counts for sessions that run, whatever the trust policy says by now.
//
// Source: IAM user guide, "Revoke IAM role temporary security credentials".
func Shut(suspended bool, before string) []Statement {
	var statements []Statement
	if suspended {
		statements = append(statements, Statement{Sid: "Suspended", Effect: Deny, Actions: []string{"*"}, Resources: []string{"*"}})
	}
	if before != "" {
		statements = append(statements, Statement{
			Sid: "RevokeSessionsBefore", Effect: Deny, Actions: []string{"*"}, Resources: []string{"*"},
			Conditions: map[string]map[string][]string{"DateLessThan": {"aws:TokenIssueTime": {before}}},
		})
	}
	return statements
}

// Suspended returns a trust policy by which nobody can assume the role any more:
// the given one, and a deny of all that it allows.
func (d Document) Suspended() Document {
	deny := Statement{Sid: "Suspended", Effect: Deny, Principal: &Principal{Anyone: true}}
	for _, s := range d.Statements {
		for _, action := range s.Actions {
			if !slices.Contains(deny.Actions, action) {
				deny.Actions = append(deny.Actions, action)
			}
		}
	}
	return New(append(slices.Clone(d.Statements), deny)...)
}
