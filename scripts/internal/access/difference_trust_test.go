package access

import (
	"math/rand"
	"testing"

	"k3s-aws-auth/scripts/internal/policy"
)

const (
	somePool  = "arn:aws:iam::1:oidc-provider/i.example.com"
	otherPool = "arn:aws:iam::1:oidc-provider/token.actions.githubusercontent.com"
	roleOne   = "arn:aws:iam::111111111111:role/one"
)

var (
	principalForms = []policy.PrincipalElement{
		{Federated: []string{somePool}}, {Federated: []string{somePool}}, {Federated: []string{somePool, otherPool}}, {Service: []string{"rolesanywhere.amazonaws.com"}}, {Service: []string{"ec2.amazonaws.com", "lambda.amazonaws.com"}},
		{AWS: []string{"111111111111"}}, {AWS: []string{roleOne}}, {AWS: []string{"arn:aws:iam::222222222222:root", roleOne}}, {Any: true}, {AWS: []string{"*"}},
	}
	callers = []*policy.Principal{nil, {Federated: somePool}, {Federated: otherPool}, {Service: "rolesanywhere.amazonaws.com"}, {Service: "ec2.amazonaws.com"}, {Service: "lambda.amazonaws.com"},
		{ARN: "arn:aws:sts::111111111111:assumed-role/one/s", RoleARN: roleOne, Account: "111111111111"}, {ARN: "arn:aws:iam::111111111111:user/u", Account: "111111111111"},
		{ARN: "arn:aws:iam::222222222222:user/u", Account: "222222222222"}, {ARN: "arn:aws:iam::333333333333:user/u", Account: "333333333333"}}
	trustConditions = []policy.Condition{
		{Operator: "StringEquals", Key: "i.example.com:sub", Values: []string{"system:serviceaccount:a:b"}},
		{Operator: "StringLike", Key: "i.example.com:sub", Values: []string{"system:serviceaccount:a:*"}},
		{Operator: "StringLike", Key: "i.example.com:sub", Values: []string{"*"}},
		{Operator: "StringNotEquals", Key: "i.example.com:sub", Values: []string{"system:serviceaccount:a:c"}},
		{Operator: "StringEquals", Key: "i.example.com:aud", Values: []string{"sts.amazonaws.com"}},
		{Operator: "StringEquals", Key: "i.example.com:aud", Values: []string{"sts.amazonaws.com", "vault"}},
		{Operator: "StringEqualsIfExists", Key: "i.example.com:aud", Values: []string{"vault"}},
		{Operator: "StringEquals", Key: "aws:PrincipalTag/x509Subject/CN", Values: []string{"a.b"}},
		{Operator: "StringLike", Key: "aws:PrincipalTag/x509Subject/CN", Values: []string{"a.*"}},
		{Operator: "ArnEquals", Key: "aws:SourceArn", Values: []string{"arn:aws:rolesanywhere:eu:1:trust-anchor/a"}},
		{Operator: "ArnLike", Key: "aws:SourceArn", Values: []string{"arn:aws:rolesanywhere:*:1:trust-anchor/*"}},
		{Operator: "StringEquals", Key: "sts:ExternalId", Values: []string{"x"}},
		{Operator: "StringEquals", Key: "sts:RoleSessionName", Values: []string{"n"}},
		{Operator: "StringEquals", Key: "aws:PrincipalOrgID", Values: []string{"o-1"}},
		{Operator: "IpAddress", Key: "aws:SourceIp", Values: []string{"10.0.0.0/8"}},
		{Operator: "NotIpAddress", Key: "aws:SourceIp", Values: []string{"10.0.0.0/8"}},
	}
	trustValues = map[string][]string{
		"i.example.com:sub":               {"system:serviceaccount:a:b", "system:serviceaccount:a:c", "system:serviceaccount:x:y"},
		"i.example.com:aud":               {"sts.amazonaws.com", "vault", "other"},
		"aws:PrincipalTag/x509Subject/CN": {"a.b", "a.c", "x"},
		"aws:SourceArn":                   {"arn:aws:rolesanywhere:eu:1:trust-anchor/a", "arn:aws:rolesanywhere:us:1:trust-anchor/b", "arn:aws:rolesanywhere:us:2:trust-anchor/a"},
		"sts:ExternalId":                  {"", "x", "y"}, "sts:RoleSessionName": {"n", "m"}, "aws:PrincipalOrgID": {"", "o-1", "o-2"}, "aws:SourceIp": {"10.1.1.1", "192.0.2.1"},
	}
)

func randomTrust(r *rand.Rand) policy.Statement {
	s := policy.Statement{Effect: "Allow", Actions: []string{"sts:*"}}
	p := pick(r, principalForms)
	s.Principal = &p
	if r.Intn(4) == 0 {
		s.Effect = "Deny"
		s.Principal = &policy.PrincipalElement{Any: true}
	} else if r.Intn(15) == 0 {
		s.Principal, s.NotPrincipal = nil, &p
	}
	seen := map[string]bool{}
	for r.Intn(3) > 0 && len(s.Conditions) < 3 {
		c := pick(r, trustConditions)
		if !seen[c.Operator+c.Key] {
			seen[c.Operator+c.Key] = true
			s.Conditions = append(s.Conditions, c)
		}
	}
	return s
}

// TestNoSilentTrustees: whoever may assume a role after a change and not before makes the comparison say so; and where it says
// that somebody is lost, there is a request that is.
func TestNoSilentTrustees(t *testing.T) {
	n := rounds(t, 3000)
	failed, differ := 0, 0
	for i := range n {
		r := rand.New(rand.NewSource(int64(i) + 1<<41))
		before := &policy.Document{Version: policy.Version2012}
		for range 1 + r.Intn(2) {
			before.Statements = append(before.Statements, randomTrust(r))
		}
		after := &policy.Document{Version: policy.Version2012}
		for _, s := range before.Statements {
			switch r.Intn(4) {
			case 0:
				s = randomTrust(r)
			case 1:
				if len(s.Conditions) > 0 {
					s.Conditions = s.Conditions[1:]
				}
			}
			after.Statements = append(after.Statements, s)
		}
		if r.Intn(3) == 0 {
			after.Statements = append(after.Statements, randomTrust(r))
		}
		gained, lost, _ := CompareTrust(before, after)
		resource, _ := CompareResource(before, after)
		anyGain := false
		for range 150 {
			context := map[string][]string{}
			for _, key := range []string{"i.example.com:sub", "i.example.com:aud", "aws:PrincipalTag/x509Subject/CN", "aws:SourceArn", "sts:ExternalId", "sts:RoleSessionName", "aws:PrincipalOrgID", "aws:SourceIp"} {
				if v := pick(r, trustValues[key]); v != "" {
					context[key] = []string{v}
				}
			}
			who := pick(r, callers)
			action := "sts:AssumeRole"
			if who != nil && who.Federated != "" {
				action = "sts:AssumeRoleWithWebIdentity"
			}
			req := policy.Request{Action: action, Resource: "*", Principal: who, Context: context}
			was, is := policy.Evaluate(req, before).Decision == policy.Allow, policy.Evaluate(req, after).Decision == policy.Allow
			if is && !was {
				anyGain = true
				if len(gained) == 0 || len(resource) == 0 {
					failed++
					t.Errorf("pair %d: %+v of %+v is let in silently (%d trustees, %d grants)\nbefore %+v\nafter  %+v", i, context, who, len(gained), len(resource), before.Statements, after.Statements)
					break
				}
			}
			if was && !is && len(lost) == 0 && len(gained) == 0 {
				failed++
				t.Errorf("pair %d: %+v of %+v is shut out silently\nbefore %+v\nafter  %+v", i, context, who, before.Statements, after.Statements)
				break
			}
		}
		if anyGain {
			differ++
		}
		if failed > 3 {
			break
		}
	}
	t.Logf("%d pairs, %d of them let somebody in; %d silent", n, differ, failed)
}
