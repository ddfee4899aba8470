package access

import (
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
)

// Principal is somebody whom a policy may name.
type Principal struct {
	// Kind is "aws", "service", "federated", "canonical" or "anonymous"; empty in policies that name nobody.
	Kind string
	// Value is the ARN, the service's name or the canonical id. Role is the role of a session.
	Value, Role, Account string
	// Stranger is set where no policy names it: it stands for everybody else.
	Stranger bool
}

// everybody is the one principal of policies that name nobody.
var everybody = []Principal{{}}

// StrangerAccount is an account that is nobody's.
const StrangerAccount = "999999999999"

// String names the principal for a reader.
func (p Principal) String() string {
	switch {
	case p.Kind == "anonymous":
		return "everybody without credentials"
	case p.Stranger && p.Kind == "aws" && p.Account == StrangerAccount:
		return "anybody in any AWS account"
	case p.Kind == "aws" && (p.Stranger || strings.HasSuffix(p.Value, ":root")):
		return "everybody whom AWS account " + p.Account + " permits"
	case p.Stranger && p.Kind == "service":
		return "every AWS service"
	case p.Stranger && p.Kind == "federated":
		return "every identity provider"
	case p.Kind == "service":
		return "AWS service " + p.Value
	case p.Kind == "federated":
		return "identity provider " + p.Value
	case p.Kind == "canonical":
		return "canonical user " + p.Value
	}
	return "AWS principal " + p.Value
}

// matches tells whether a statement is about the principal.
func (p Principal) matches(s *policy.Statement) bool {
	switch {
	case p.Kind == "":
		return true
	case s.Principal != nil:
		return p.named(s.Principal)
	case s.NotPrincipal != nil:
		return !p.named(s.NotPrincipal)
	}
	return true
}

func (p Principal) named(e *policy.PrincipalElement) bool {
	if e.Any || slices.Contains(e.AWS, "*") {
		return true
	}
	in := func(list []string, match func(string) bool) bool { return slices.ContainsFunc(list, match) }
	same := func(v string) bool {
		return v == p.Value || strings.ContainsAny(v, "*?") && actionGlob(v).matches(strings.ToLower(p.Value))
	}
	switch p.Kind {
	case "aws":
		return in(e.AWS, func(v string) bool {
			return same(v) || v == p.Role && v != "" || accountOf(v) != "" && accountOf(v) == p.Account
		})
	case "service":
		return in(e.Service, func(v string) bool { return strings.EqualFold(v, p.Value) || same(v) })
	case "federated":
		return in(e.Federated, same)
	case "canonical":
		return in(e.CanonicalUser, same)
	}
	return false
}

// accountOf returns the account where a value stands for all of one.
func accountOf(v string) string {
	if len(v) == 12 && strings.Trim(v, "0123456789") == "" {
		return v
	}
	parts := strings.SplitN(v, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" && parts[2] == "iam" && parts[5] == "root" {
		return parts[4]
	}
	return ""
}

// principalOf makes a principal of a value in the AWS list.
func principalOf(v string) Principal {
	p := Principal{Kind: "aws", Value: v}
	if a := accountOf(v); a != "" {
		p.Account = a
		p.Value = "arn:aws:iam::" + a + ":root"
		return p
	}
	p.Value = strings.NewReplacer("*", stranger, "?", "~").Replace(v)
	parts := strings.SplitN(v, ":", 6)
	if len(parts) != 6 {
		return p
	}
	p.Account = parts[4]
	if parts[2] == "iam" && strings.HasPrefix(parts[5], "role/") {
		p.Role = p.Value
	}
	if name, ok := strings.CutPrefix(parts[5], "assumed-role/"); ok && parts[2] == "sts" {
		role, _, _ := strings.Cut(name, "/")
		p.Role = "arn:" + parts[1] + ":iam::" + parts[4] + ":role/" + role
	}
	return p
}

// principalsOf lists everybody whom policies tell apart: those that they name, and strangers.
func principalsOf(docs ...*policy.Document) []Principal {
	list := []Principal{
		{Kind: "anonymous", Stranger: true},
		{Kind: "aws", Value: "arn:aws:iam::" + StrangerAccount + ":user/" + stranger, Account: StrangerAccount, Stranger: true},
		{Kind: "service", Value: stranger + ".amazonaws.com", Stranger: true},
		{Kind: "federated", Value: "arn:aws:iam::" + StrangerAccount + ":oidc-provider/" + stranger, Stranger: true},
	}
	add := func(p Principal) {
		if !slices.ContainsFunc(list, func(q Principal) bool { return q.Kind == p.Kind && q.Value == p.Value }) {
			list = append(list, p)
		}
	}
	for _, d := range docs {
		if d == nil {
			continue
		}
		for i := range d.Statements {
			for _, e := range []*policy.PrincipalElement{d.Statements[i].Principal, d.Statements[i].NotPrincipal} {
				if e == nil {
					continue
				}
				for _, v := range e.AWS {
					if v == "*" {
						continue
					}
					p := principalOf(v)
					add(p)
					if p.Account != "" && accountOf(v) == "" {
						add(Principal{Kind: "aws", Value: "arn:aws:iam::" + p.Account + ":user/" + stranger, Account: p.Account, Stranger: true})
					}
				}
				for _, v := range e.Service {
					add(Principal{Kind: "service", Value: strings.NewReplacer("*", stranger).Replace(v)})
				}
				for _, v := range e.Federated {
					add(Principal{Kind: "federated", Value: strings.NewReplacer("*", stranger).Replace(v)})
				}
				for _, v := range e.CanonicalUser {
					add(Principal{Kind: "canonical", Value: v})
				}
			}
		}
	}
	return list
}
