package access

import (
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
)

// ResourceGrant is something that a resource's policy lets somebody do.
type ResourceGrant struct {
	Grant
	// Public is set where it lets strangers do it, whatever else they are: nothing in the conditions keeps them out.
	Public bool
}

// CompareResource returns whom a resource's policy lets do what after and not before, and the reverse. A nil document lets
// nobody in. Principals are told apart as far as the policies do.
func CompareResource(before, after *policy.Document) (gained, lost []ResourceGrant) {
	more := map[string][]string{}
	for k, v := range strangers {
		more[k] = v
	}
	b, a := layers{{before}}, layers{{after}}
	p, ok := newProblem(b, a, principalsOf(before, after), nil, more)
	if !ok {
		for _, g := range textual(compacted(a), compacted(b)) {
			gained = append(gained, ResourceGrant{Grant: g, Public: true})
		}
		return gained, nil
	}
	return p.resourceDifference(p.after, p.before, a, b), p.resourceDifference(p.before, p.after, b, a)
}

func compacted(l layers) layers {
	if l[0][0] == nil {
		return layers{{}}
	}
	return l
}

func (p *problem) resourceDifference(wide, narrow side, wideDocs, narrowDocs layers) []ResourceGrant {
	var out []ResourceGrant
	strange := p.stranger()
	seen := map[string]bool{}
	for who := range p.groups[2] {
		first := p.principals[p.groups[2][who].first]
		isStranger := first.Stranger && (first.Kind == "anonymous" || first.Account == StrangerAccount)
		for _, g := range p.differenceFor(who, wide, narrow, wideDocs, narrowDocs) {
			r := ResourceGrant{Grant: g}
			if isStranger {
				r.Public = p.public(wide, narrow, who, g, strange)
				r.Who = "everybody"
			}
			k := r.Action + "\n" + r.Resource + "\n" + r.Condition
			if isStranger {
				seen[k] = true // everybody else gains it too
			} else if seen[k] {
				continue
			}
			out = append(out, r)
		}
	}
	return out
}

// public tells whether what is gained is open to somebody who has nothing to do with the account.
func (p *problem) public(wide, narrow side, who int, g Grant, strange []literal) bool {
	for a := range p.groups[0] {
		for r := range p.groups[1] {
			c := cell{a, r, who}
			if len(p.beyond(wide, narrow, c, strange...)) == 0 {
				continue
			}
			if at, known := p.actionAt[g.Action]; known && !p.inGroup(0, a, p.actions.in[at]) {
				continue
			}
			return true
		}
	}
	return false
}

// inGroup tells whether a group has a class of a set.
func (p *problem) inGroup(dimension, group int, set bits) bool {
	at := p.actionOf
	if dimension == 1 {
		at = p.sourceOf
	}
	for class, g := range at {
		if g == group && set.has(class) {
			return true
		}
	}
	return false
}

// ActedOn are the resources that a request for a target may name. GetParametersByPath names a path, and gives all that is below
// it, at any depth (Systems Manager User Guide, "Restricting access to Parameter Store parameters using IAM policies").
func ActedOn(action, arn string) []string {
	list := []string{arn}
	head, name, ok := strings.Cut(arn, ":parameter/")
	if action != "ssm:GetParametersByPath" || !ok {
		return list
	}
	for i := strings.LastIndex(name, "/"); i >= 0; i = strings.LastIndex(name, "/") {
		name = name[:i]
		list = append(list, head+":parameter/"+name, head+":parameter/"+name+"/")
	}
	return append(list, head+":parameter/")
}
