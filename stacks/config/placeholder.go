package config

import (
	"cmp"
	"strings"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/rules"
)

// sampleBucketArn stands for the demo bucket while a configuration is checked.
// It is as long as any, since the size of policies is checked with it.
var sampleBucketArn = "arn:aws-us-gov:s3:::" + strings.Repeat("b", rules.MaxBucket)

// sampleSite stands for where a stack is deployed to while its configuration is
// checked.
func (c *Config) sampleSite() Site {
	return Site{Partition: c.Partition(), Account: "111122223333", Region: c.Region, DemoBucketArn: sampleBucketArn, SourceIdentity: c.facts.SourceIdentity}
}

// sampleMoment is as long as any moment that revokeSessionsBefore may name but for
// parts of seconds.
const sampleMoment = "2026-11-30T12:00:00+00:00"

// policyCharacters is the size of the identity's inline policy, by IAM's count, with
// what shuts the identity where it has a role of its own: a policy without that room
// could not be shut in an emergency. A preset with faults, which are reported, counts
// as nothing.
func (c *Config) policyCharacters(i Identity) int {
	if c.facts.OwnRoles {
		i.Suspended, i.RevokeSessionsBefore = true, cmp.Or(i.RevokeSessionsBefore, sampleMoment)
	}
	statements, err := c.Permissions(i, c.sampleSite())
	if err != nil {
		return 0
	}
	return characters(statements)
}

// characters is the size of a policy of the statements, by IAM's count; without any
// there is no policy.
func characters(statements []iampolicy.Statement) int {
	if len(statements) == 0 {
		return 0
	}
	document, err := iampolicy.New(statements...).MarshalJSON()
	if err != nil {
		return 0
	}
	return iampolicy.Size(string(document))
}

// PolicyCharacters is the size of all identities' inline policies together, by
// IAM's count: what a role has to hold that is to have all of them.
func (c *Config) PolicyCharacters() int {
	total := 0
	for _, i := range c.Identities {
		total += c.policyCharacters(i)
	}
	return total
}

// validatePlaceholders checks every ${...} in a statement's value. The demo
// bucket's is replaced by the program; those with a colon in them (and ${*},
// ${?} and ${$}) are IAM's own policy variables and stay.
func validatePlaceholders(key, value string, demo bool, p *Problems) {
	for rest := value; ; {
		_, after, found := strings.Cut(rest, "${")
		if !found {
			return
		}
		name, tail, closed := strings.Cut(after, "}")
		whole := "${" + name + "}"
		switch {
		case !closed:
			p.Add(key, Quote(value), "closed: a ${ needs its }")
			return
		case whole == DemoBucketArn && !demo:
			p.Add(key, Quote(whole), "used only where demo is true, since there is no demo bucket otherwise")
		case whole == DemoBucketArn, isPolicyVariable(name):
		default:
			p.Add(key, Quote(whole), "%s or a policy variable of IAM such as ${aws:PrincipalAccount} or ${aws:PrincipalTag/team, 'none'}%s",
				DemoBucketArn, didYouMean(whole, []string{DemoBucketArn}))
		}
		rest = tail
	}
}

// isPolicyVariable reports whether ${name} is in the form of an IAM policy
// variable: a condition key, with or without a default value.
func isPolicyVariable(name string) bool {
	if name == "*" || name == "?" || name == "$" {
		return true
	}
	key, otherwise, has := strings.Cut(name, ",")
	if otherwise = strings.TrimSpace(otherwise); has && (len(otherwise) < 2 || otherwise[0] != '\'' || otherwise[len(otherwise)-1] != '\'') {
		return false
	}
	return iampolicy.IsConditionKey(strings.TrimSpace(key))
}

// substitute puts the demo bucket's ARN in its place.
func substitute(value, demoBucketArn string) string {
	return strings.ReplaceAll(value, DemoBucketArn, demoBucketArn)
}

// policy is the statement as the policy package wants it.
func (s Statement) policy(demoBucketArn string) iampolicy.Statement {
	all := func(values []string) []string {
		var out []string
		for _, value := range values {
			out = append(out, substitute(value, demoBucketArn))
		}
		return out
	}
	conditions := make(map[string]map[string][]string, len(s.Conditions))
	for operator, keys := range s.Conditions {
		conditions[operator] = make(map[string][]string, len(keys))
		for key, values := range keys {
			conditions[operator][key] = all(values)
		}
	}
	return iampolicy.Statement{
		Sid:          s.Sid,
		Effect:       s.Effect,
		Actions:      s.Actions,
		NotActions:   s.NotActions,
		Resources:    all(s.Resources),
		NotResources: all(s.NotResources),
		Conditions:   conditions,
	}
}
