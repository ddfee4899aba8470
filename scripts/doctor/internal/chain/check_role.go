package chain

import (
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/internal/policy"
)

// roleOf finds an identity's role, and says where it is missing. Nil where there is nothing to look at.
func (c *checker) roleOf(id Identity) (*Role, *policy.Document) {
	if id.Role == "" || !c.sees(partRoles) || !c.sees(partCaller) || segment(id.Role, 4) != c.Account.ID {
		return nil, nil
	}
	r := c.role(id.Role)
	if r == nil {
		c.add("role-missing", "role "+id.Role, []Identity{id}, "it does not exist", "role", id.Role)
		return nil, nil
	}
	d, err := policy.Parse([]byte(r.Trust))
	if err != nil {
		c.add("trust-unreadable", "role "+id.Role, []Identity{id}, err.Error())
		return nil, nil
	}
	c.permissions(id, r)
	_, _, who := access.CompareTrust(nil, d)
	for _, w := range who {
		if w.Open != access.None {
			c.add("trust-broad", "role "+id.Role, []Identity{id}, "it trusts "+w.Named())
		}
	}
	return r, d
}

// permissions checks that a role may do anything at all: which calls its pods make, nobody says here.
func (c *checker) permissions(id Identity, r *Role) {
	parse := func(texts []string) (out []*policy.Document) {
		for _, t := range texts {
			if d, err := policy.Parse([]byte(t)); err == nil {
				out = append(out, d)
			}
		}
		return out
	}
	if len(r.Policies)+len(r.Unread) == 0 {
		c.add("role-allows-nothing", "role "+r.ARN, []Identity{id}, "it has no policy")
		return
	}
	if r.BoundaryPolicy == "" || len(r.Unread) > 0 {
		return
	}
	p := access.Policies{Identity: parse(r.Policies), Boundary: parse([]string{r.BoundaryPolicy})}
	if len(access.Grants(p)) == 0 && len(access.Grants(access.Policies{Identity: p.Identity})) > 0 {
		c.add("boundary-allows-nothing", "role "+r.ARN, []Identity{id}, "nothing of what its policies allow is within "+r.Boundary, "name", nameOf(r.ARN))
	}
}

// tokenRole checks that the role of an identity lets its tokens in.
func (c *checker) tokenRole(id Identity) {
	r, d := c.roleOf(id)
	issuer := c.signs()
	if r == nil || issuer == "" || c.foreign {
		return
	}
	trusted := trustedIssuers(r.Trust)
	where := "role " + r.ARN
	arn := strings.Join(strings.SplitN(r.ARN, ":", 6)[:5], ":") + ":oidc-provider/" + host(issuer)
	subject, audience := "system:serviceaccount:"+id.Namespace+":"+id.Account, c.audience(id)
	full := d
	d = plainly(full, host(issuer)+":sub", host(issuer)+":aud")
	ask := func(sub, aud string) policy.Decision {
		return policy.Evaluate(policy.Request{Action: "sts:AssumeRoleWithWebIdentity", Resource: r.ARN, Principal: &policy.Principal{Federated: arn},
			Context: map[string][]string{host(issuer) + ":sub": {sub}, host(issuer) + ":aud": {aud}}}, d).Decision
	}
	decision := ask(subject, audience)
	if decision == policy.Allow {
		if d = full; ask(subject, audience) != policy.Allow {
			c.add("trust-conditions", where, []Identity{id}, "it also looks at "+list(others(full, host(issuer)+":sub", host(issuer)+":aud")), "name", nameOf(r.ARN))
		}
		return
	}
	subjects, audiences := values(d, host(issuer)+":sub"), values(d, host(issuer)+":aud")
	anyOf := func(subs, auds []string) bool {
		return slices.ContainsFunc(subs, func(s string) bool {
			return slices.ContainsFunc(auds, func(a string) bool { return ask(s, a) == policy.Allow })
		})
	}
	ids := []Identity{id}
	switch {
	case decision == policy.ExplicitDeny:
		c.add("trust-suspended", where, ids, "a Deny statement of its trust policy shuts the identity out")
	case !slices.Contains(trusted, host(issuer)):
		c.add("trust-provider", where, ids, "it trusts "+list(trusted), "provider", arn)
	case anyOf([]string{subject}, audiences):
		c.add("trust-audience", where, ids, "it trusts the audience "+list(audiences), "audience", audience)
	case literalWildcard(d, host(issuer)+":sub"):
		c.add("trust-wildcard", where, ids, "it trusts the subject "+list(subjects)+" by StringEquals, which takes * and ? for themselves", "subject", subject)
	case anyOf(subjects, []string{audience}):
		c.add("trust-subject", where, ids, "it trusts the subject "+list(subjects), "subject", subject, "name", nameOf(r.ARN))
	default:
		c.add("trust-refuses", where, ids, "its trust policy does not let subject "+subject+" with audience "+audience+" in", "name", nameOf(r.ARN))
	}
}

// literalWildcard tells whether a trust policy compares a key with a pattern where it is none: StringEquals takes * and ? for
// themselves (IAM User Guide, "String condition operators").
func literalWildcard(d *policy.Document, key string) bool {
	return slices.ContainsFunc(d.Statements, func(s policy.Statement) bool {
		return slices.ContainsFunc(s.Conditions, func(c policy.Condition) bool {
			return strings.EqualFold(c.Key, key) && strings.HasPrefix(c.Operator, "StringEquals") && strings.ContainsAny(strings.Join(c.Values, ""), "*?")
		})
	})
}

// others are the condition keys of a trust policy beside those that are known.
func others(d *policy.Document, known ...string) (out []string) {
	for _, s := range d.Statements {
		for _, c := range s.Conditions {
			if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, c.Key) }) && !slices.Contains(out, c.Key) {
				out = append(out, c.Key)
			}
		}
	}
	return out
}

// plainly is a trust policy as it is where all conditions on other keys hold that let in, and none that shuts out.
func plainly(d *policy.Document, known ...string) *policy.Document {
	out := &policy.Document{Version: d.Version}
	for _, s := range d.Statements {
		one := &policy.Document{Statements: []policy.Statement{s}}
		if len(others(one, known...)) > 0 {
			if s.Effect == "Deny" {
				continue
			}
			s.Conditions = slices.DeleteFunc(slices.Clone(s.Conditions), func(c policy.Condition) bool {
				return !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, c.Key) })
			})
		}
		out.Statements = append(out.Statements, s)
	}
	return out
}

// values are what a trust policy compares a condition key with.
func values(d *policy.Document, key string) (out []string) {
	for _, s := range d.Statements {
		if s.Effect != "Allow" {
			continue
		}
		for _, c := range s.Conditions {
			if strings.EqualFold(c.Key, key) {
				out = append(out, c.Values...)
			}
		}
	}
	return out
}

// machineRole checks the role that an identity shares with its machines.
func (c *checker) machineRole(id Identity) {
	r, d := c.roleOf(id)
	if r == nil {
		return
	}
	suffix := "amazonaws.com"
	if segment(r.ARN, 1) == "aws-cn" {
		suffix = "amazonaws.com.cn"
	}
	if policy.Evaluate(policy.Request{Action: "sts:AssumeRole", Resource: r.ARN, Principal: &policy.Principal{Service: "ec2." + suffix}}, d).Decision != policy.Allow {
		c.add("trust-machines", "role "+r.ARN, []Identity{id}, "its trust policy does not let EC2 in")
	}
}
