package account

import (
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/internal/policy"
)

// actor is a user or a role of the account with all that it may do.
type actor struct {
	entity *Entity
	kind   string // "user" or "role"
	role   *Role
	stack  *StackRole // the role as the stack made it; nil for others
	self   policy.Principal
	known  policy.Known
	// policies with what is known of the actor filled in. made are those that the stack gave it, likewise.
	policies, made access.Policies
	allowing       map[string][]*policy.Statement // what allows an action, by action
	admin          bool
	linked         bool // a service-linked role, which its service alone can take on
}

func (a *actor) String() string { return a.kind + " " + a.entity.Name }

// parse reads a policy. One that cannot be read is an error in the report, once.
func (j *judge) parse(text, where string) *policy.Document {
	if d, ok := j.parsed[text]; ok {
		return d
	}
	d, err := policy.Parse([]byte(text))
	if err != nil {
		j.report.Missing = append(j.report.Missing, where+" cannot be read: "+err.Error())
		d = nil
	}
	j.parsed[text] = d
	return d
}

// managed is the document of a managed policy.
func (j *judge) managed(arn, of string) *policy.Document {
	text, ok := j.documents[arn]
	if !ok {
		if !j.told[arn] {
			j.told[arn] = true
			j.report.Missing = append(j.report.Missing, "policy "+arn+" of "+of+" is not in the snapshot: what it allows is not judged")
		}
		return nil
	}
	return j.parse(text, "policy "+arn)
}

// policiesOf are an entity's policies, and those of groups.
func (j *judge) policiesOf(e *Entity, groups ...*Entity) (p access.Policies) {
	add := func(d *policy.Document) {
		if d != nil {
			p.Identity = append(p.Identity, d)
		}
	}
	for _, x := range append([]*Entity{e}, groups...) {
		for _, i := range x.Inline {
			add(j.parse(i.Document, "policy "+i.Name+" of "+x.Name))
		}
		for _, arn := range x.Attached {
			add(j.managed(arn, x.Name))
		}
	}
	if e.Boundary != "" {
		p.Boundary = []*policy.Document{}
		if d := j.managed(e.Boundary, e.Name); d != nil {
			p.Boundary = append(p.Boundary, d)
		}
	}
	return p
}

func assume(k *policy.Known, p access.Policies) access.Policies {
	all := func(list []*policy.Document) []*policy.Document {
		if list == nil {
			return nil
		}
		out := []*policy.Document{}
		for _, d := range list {
			out = append(out, k.Assume(d))
		}
		return out
	}
	return access.Policies{Identity: all(p.Identity), Boundary: all(p.Boundary)}
}

// newActor fills in what every request of a principal has: IAM User Guide, "AWS global condition context keys", properties
// of the principal. A role's session may bring tags of its own where the role's trust lets sts:TagSession through; then the
// role's own are not certain.
func (j *judge) newActor(kind string, e *Entity, role *Role, groups []*Entity) *actor {
	a := &actor{entity: e, kind: kind, role: role}
	values := map[string][]string{
		"aws:principalarn": {e.ARN}, "aws:principalaccount": {j.s.Account}, "aws:principalisawsservice": {"false"}, "aws:resourceaccount": {j.s.Account},
	}
	a.self = policy.Principal{ARN: e.ARN, Account: j.s.Account}
	tags := true
	if kind == "user" {
		values["aws:principaltype"] = []string{"User"}
		values["aws:username"] = []string{e.Name}
	} else {
		values["aws:principaltype"] = []string{"AssumedRole"}
		values["aws:username"] = nil
		a.self = policy.Principal{ARN: e.ARN, RoleARN: e.ARN, Account: j.s.Account}
		a.linked = strings.Contains(e.ARN, ":role/aws-service-role/")
		if trust := j.parse(role.Trust, "the trust of role "+e.Name); trust != nil {
			for _, s := range trust.Statements {
				tags = tags && (s.Effect != "Allow" || !matchesAny(s.Actions, s.NotActions, "sts:TagSession"))
			}
		}
		a.stack = j.stack.role(e.ARN)
	}
	a.known = policy.Known{Values: values}
	if tags {
		for k, v := range e.Tags {
			values["aws:principaltag/"+strings.ToLower(k)] = []string{v}
		}
		a.known.Closed = []string{"aws:principaltag/"}
	}
	a.policies = assume(&a.known, j.policiesOf(e, groups...))
	if a.stack != nil {
		a.made = assume(&a.known, j.policiesOf(&a.stack.Entity))
	}
	a.admin = !a.linked && a.stack == nil && j.administrator(a.policies)
	return a
}

func matchesAny(actions, but []string, action string) bool {
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(p string) bool { return access.ActionMatches(p, action) })
	}
	if but != nil {
		return !in(but)
	}
	return in(actions)
}

// administrator tells whether policies have a statement for everything, and neither boundary nor denial cuts off what
// administrators do.
func (j *judge) administrator(p access.Policies) bool {
	all := slices.ContainsFunc(p.Identity, func(d *policy.Document) bool {
		return slices.ContainsFunc(d.Statements, func(s policy.Statement) bool {
			return s.Effect == "Allow" && slices.Contains(s.Actions, "*") && slices.Contains(s.Resources, "*")
		})
	})
	if !all {
		return false
	}
	for _, probe := range [][2]string{{"iam:PutRolePolicy", ":role/x"}, {"iam:CreateAccessKey", ":user/x"}, {"iam:CreatePolicyVersion", ":policy/x"}} {
		if !p.Allows(probe[0], "arn:"+j.s.Partition+":iam::"+j.s.Account+probe[1]) {
			return false
		}
	}
	return true
}

// may tells whether an actor may take an action on a resource that its stack did not give it. condition is that of the
// statement where it is not certain to hold.
func (j *judge) may(a *actor, action, resource string, tags map[string]string, more map[string][]string) (condition string, ok bool) {
	if !a.roughly(action, resource) {
		return "", false
	}
	k := requestKeys(action, resource, tags, more)
	live, made := assume(k, a.policies), access.Policies{}
	if a.stack != nil {
		made = assume(k, a.made)
	}
	if !access.Gains(made, live, action, resource) {
		return "", false
	}
	for _, g := range access.GainedBy(made, live, action) {
		if g.Resource == "*" || strings.HasPrefix(g.Resource, "everything but ") || access.ResourceMatches(g.Resource, resource) {
			if g.Condition == "" {
				return "", true
			}
			condition = g.Condition
		}
	}
	return condition, true
}

// requestKeys is what is known of a request by its resource: where it is sent, and the tags of what it is about, by the names
// that the services give them (Service Authorization Reference).
func requestKeys(action, resource string, tags map[string]string, more map[string][]string) *policy.Known {
	service, _, _ := strings.Cut(action, ":")
	k := &policy.Known{Values: map[string][]string{}}
	for key, v := range more {
		k.Values[strings.ToLower(key)] = v
	}
	switch region := segment(resource, 3); {
	case region != "":
		k.Values["aws:requestedregion"] = []string{region}
	case service == "iam" || service == "cloudfront" || service == "route53":
		k.Values["aws:requestedregion"] = []string{"us-east-1"}
	}
	if tags == nil || service == "s3" || service == "sts" {
		return k // not known
	}
	for _, prefix := range []string{"aws:resourcetag/", service + ":resourcetag/"} {
		k.Closed = append(k.Closed, prefix)
		for name, v := range tags {
			k.Values[prefix+strings.ToLower(name)] = []string{v}
		}
	}
	return k
}

// roughly tells whether a statement could allow an actor an action on a resource, denials, boundaries and conditions aside.
func (a *actor) roughly(action, resource string) bool {
	list, known := a.allowing[action]
	if !known {
		for _, d := range a.policies.Identity {
			for i := range d.Statements {
				if s := &d.Statements[i]; s.Effect == "Allow" && matchesAny(s.Actions, s.NotActions, action) {
					list = append(list, s)
				}
			}
		}
		if a.allowing == nil {
			a.allowing = map[string][]*policy.Statement{}
		}
		a.allowing[action] = list
	}
	return slices.ContainsFunc(list, func(s *policy.Statement) bool {
		return s.Resources == nil || slices.ContainsFunc(s.Resources, func(r string) bool { return r == "*" || access.ResourceMatches(r, resource) })
	})
}
