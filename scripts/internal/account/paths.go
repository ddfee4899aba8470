package account

import (
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/access"
)

// reason is why somebody can make identities of the cluster.
type reason struct{ id, text string }

// paths looks for principals that could be, or make, identities of the cluster: by what they may do to the stack's resources,
// and by whom they can become. Administrators are listed instead, and so are no findings.
func (j *judge) paths() {
	targets := j.targets()
	dangerous := map[*actor]reason{}
	for _, a := range j.actors {
		if a.admin {
			dangerous[a] = reason{"administrator", "may do everything in the account"}
			continue
		}
		if a.linked || j.accepted(a.entity.ARN) {
			continue
		}
		for _, t := range targets {
			for _, w := range ways[t.Kind] {
				j.try(a, t, w, dangerous)
			}
		}
		j.passes(a, dangerous)
	}
	if !j.stack.Foreign || len(j.stack.Targets) > 0 {
		j.takeovers(dangerous)
	}
	if linked := slices.DeleteFunc(slices.Clone(j.actors), func(a *actor) bool { return !a.linked }); len(linked) > 0 {
		j.report.Missing = append(j.report.Missing, fmt.Sprintf("%d service-linked roles: AWS's services alone take them on, with permissions of AWS's making", len(linked)))
	}
}

// targets are the stack's resources, with its roles, their managed policies, and what vouches for them.
func (j *judge) targets() []Target {
	list := slices.Clone(j.stack.Targets)
	for _, r := range j.stack.Roles {
		tags := r.Tags
		if live := j.roles[r.ARN]; live != nil {
			tags = live.entity.Tags
			if tags == nil {
				tags = map[string]string{}
			}
			for _, arn := range live.entity.Attached {
				if segment(arn, 4) == j.s.Account && !slices.ContainsFunc(list, func(t Target) bool { return t.ARN == arn }) {
					list = append(list, Target{ARN: arn, Kind: "policy"})
				}
			}
		}
		list = append(list, Target{ARN: r.ARN, Kind: "role", Tags: tags})
	}
	for _, p := range j.stack.Issuers {
		list = append(list, Target{ARN: p.ARN, Kind: "provider"})
	}
	for _, a := range j.stack.Anchors {
		list = append(list, Target{ARN: a.ARN, Kind: "anchor"})
	}
	for _, p := range j.stack.Profiles {
		if p.ARN != "" {
			list = append(list, Target{ARN: p.ARN, Kind: "profile"})
		}
	}
	return list
}

// try makes a finding where a principal has a way to a target; one for each way, with the first target and action.
func (j *judge) try(a *actor, t Target, w way, dangerous map[*actor]reason) {
	done := a.entity.ARN + "\n" + w.id
	if j.told[done] {
		return
	}
	for _, action := range w.actions {
		for _, resource := range access.ActedOn(action, t.ARN) {
			condition, ok := j.may(a, action, resource, t.Tags, nil)
			if !ok {
				continue
			}
			if t.Key != "" && strings.HasPrefix(action, "ssm:Get") && !mayDecrypt(a, t.Key) {
				j.report.Undecided = append(j.report.Undecided, Undecided{a.entity.ARN, fmt.Sprintf("it may %s %s, which key %s encrypts: whether that key's own policy lets it decrypt is not looked at", action, t.ARN, t.Key)})
				continue
			}
			j.told[done] = true
			f := Finding{ID: w.id, Level: Warning, Subject: a.entity.ARN, Object: t.ARN, Condition: condition, Expected: "administrators and the stack's own roles alone", Fix: w.fix,
				Seen: fmt.Sprintf("%s %s (%s on %s)%s", a, w.what, action, resource, j.holders(a))}
			if a.stack != nil || j.isReached(a) {
				f.Level = Error // pods can
			}
			j.find(f)
			if _, there := dangerous[a]; !there {
				dangerous[a] = reason{w.id, w.what}
			}
			return
		}
	}
}

func (j *judge) isReached(a *actor) bool {
	_, ok := j.reached[a.entity.ARN]
	return ok
}

// holders tells who of other accounts can be a role.
func (j *judge) holders(a *actor) string {
	if a.kind != "role" {
		return ""
	}
	trust := j.parse(a.role.Trust, "the trust of role "+a.entity.Name)
	if trust == nil {
		return ""
	}
	var out []string
	for _, s := range trust.Statements {
		if s.Effect != "Allow" || s.Principal == nil {
			continue
		}
		for _, v := range s.Principal.AWS {
			account := segment(v, 4)
			if account == "" {
				account = v
			}
			if account != j.s.Account && account != "*" && !slices.Contains(out, account) {
				out = append(out, account)
			}
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "; account " + strings.Join(out, ", ") + " can take it on"
}

func mayDecrypt(a *actor, key string) bool {
	if !strings.HasPrefix(key, "arn:") {
		return a.roughly("kms:Decrypt", "*")
	}
	return a.policies.Allows("kms:Decrypt", key)
}

// passes looks for principals that can hand a role of the stack's machines to a machine of theirs.
func (j *judge) passes(a *actor, dangerous map[*actor]reason) {
	for _, r := range j.stack.Roles {
		if r.Kind == Pod {
			continue
		}
		condition, ok := j.may(a, "iam:PassRole", r.ARN, r.Tags, map[string][]string{"iam:PassedToService": {"ec2.amazonaws.com"}})
		if !ok {
			continue
		}
		for _, action := range passing {
			if !mayAnywhere(a, action) {
				continue
			}
			what := "may start a machine with the role of the stack's " + r.Kind + "s"
			j.find(Finding{ID: "passes-role", Level: Warning, Subject: a.entity.ARN, Object: r.ARN, Condition: condition, Expected: "administrators alone", Fix: leave,
				Seen: fmt.Sprintf("%s %s (iam:PassRole on %s, with %s)%s", a, what, r.ARN, action, j.holders(a))})
			if _, there := dangerous[a]; !there {
				dangerous[a] = reason{"passes-role", what}
			}
			return
		}
	}
}

// mayAnywhere tells whether an actor may take an action on some resource.
func mayAnywhere(a *actor, action string) bool {
	a.roughly(action, "")
	return len(a.allowing[action]) > 0 && len(access.GainedBy(access.Policies{}, a.policies, action)) > 0
}

// takeovers looks for principals that can become one that is dangerous, or give themselves what they want.
func (j *judge) takeovers(dangerous map[*actor]reason) {
	groups := map[string]*Entity{}
	for i := range j.s.Groups {
		groups[j.s.Groups[i].Name] = &j.s.Groups[i]
	}
	for changed := true; changed; {
		changed = false
		for _, a := range j.actors {
			if _, there := dangerous[a]; there || a.linked || j.accepted(a.entity.ARN) {
				continue
			}
			if f, ok := j.gift(a, groups); ok {
				j.find(f)
				dangerous[a] = reason{f.ID, "may give itself every permission"}
				changed = true
				continue
			}
			for _, b := range j.actors {
				why, there := dangerous[b]
				if !there || a == b || b.linked {
					continue
				}
				how, condition, ok := j.become(a, b)
				if !ok {
					continue
				}
				f := Finding{ID: "becomes", Level: Warning, Subject: a.entity.ARN, Object: b.entity.ARN, Condition: condition, Expected: "administrators alone", Fix: leave,
					Seen: fmt.Sprintf("%s can become %s (%s), which %s%s", a, b, how, why.text, j.holders(a))}
				if a.stack != nil || j.isReached(a) {
					f.Level = Error
				}
				j.find(f)
				dangerous[a] = reason{"becomes", why.text}
				changed = true
				break
			}
		}
	}
}

// gift tells whether a principal can give itself permissions.
func (j *judge) gift(a *actor, groups map[string]*Entity) (Finding, bool) {
	type object struct {
		kind string
		e    *Entity
	}
	list := []object{{a.kind, a.entity}}
	if a.kind == "user" {
		for _, u := range j.s.Users {
			if u.ARN != a.entity.ARN {
				continue
			}
			for _, name := range u.Groups {
				if g := groups[name]; g != nil {
					list = append(list, object{"group", g})
				}
			}
		}
	}
	for _, o := range slices.Clone(list) {
		for _, arn := range o.e.Attached {
			if segment(arn, 4) == j.s.Account {
				list = append(list, object{"policy", &Entity{ARN: arn}})
			}
		}
	}
	for _, o := range list {
		for _, action := range gifts[o.kind] {
			tags := o.e.Tags
			if o.kind == "user" || o.kind == "role" {
				if tags == nil {
					tags = map[string]string{}
				}
			}
			if condition, ok := j.may(a, action, o.e.ARN, tags, nil); ok {
				return Finding{ID: "escalates", Level: Warning, Subject: a.entity.ARN, Object: o.e.ARN, Condition: condition, Expected: "administrators alone", Fix: leave,
					Seen: fmt.Sprintf("%s may give itself every permission, and so those that make identities of the cluster (%s on %s)%s", a, action, o.e.ARN, j.holders(a))}, true
			}
		}
	}
	return Finding{}, false
}

// become tells how one principal can be another.
func (j *judge) become(a, b *actor) (how, condition string, ok bool) {
	if b.kind == "role" {
		if condition, ok := j.canAssume(a, b, true); ok {
			return "sts:AssumeRole", condition, true
		}
	}
	tags := b.entity.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	for _, action := range takeovers[b.kind] {
		if condition, ok := j.may(a, action, b.entity.ARN, tags, nil); ok {
			return action, condition, true
		}
	}
	return "", "", false
}

// permissions tells what the roles that the cluster can become allow.
func (j *judge) permissions() {
	const most = 40
	for i := range j.report.Reach {
		r := &j.report.Reach[i]
		a := j.roles[r.Role]
		r.Permissions = []string{}
		for _, g := range access.Grants(a.policies) {
			r.Permissions = append(r.Permissions, grant(g))
		}
		if a.stack != nil {
			r.Accounts = append(r.Accounts, a.stack.Pods...)
			gained, _ := access.Compare(j.stackPolicies(a), a.policies)
			for _, g := range gained {
				r.Beyond = append(r.Beyond, grant(g))
			}
		}
		if more := len(r.Permissions) - most; more > 0 {
			r.Permissions = append(r.Permissions[:most], fmt.Sprintf("and %d more", more))
		}
		slices.Sort(r.Who)
		slices.Sort(r.Accounts)
		r.Accounts = slices.Compact(r.Accounts)
	}
}
