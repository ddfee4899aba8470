package account

import (
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/internal/policy"
)

const raService = "rolesanywhere.amazonaws.com"

// trusts looks at who can be every role: by a token of the cluster's issuer, by a certificate of its CA, and by anybody.
func (j *judge) trusts() {
	for _, a := range j.actors {
		if a.kind != "role" || a.linked || j.roles[a.entity.ARN] != a {
			continue
		}
		trust := j.parse(a.role.Trust, "the trust of role "+a.entity.Name)
		if trust == nil {
			continue
		}
		trust = j.ours(trust)
		var who []access.Trustee
		who = append(who, j.byToken(trust)...)
		who = append(who, j.byCertificate(a, trust)...)
		if a.stack != nil {
			j.trustChanged(a, trust)
		} else if len(who) > 0 && !j.accepted(a.entity.ARN) && !j.stack.Foreign {
			j.find(Finding{ID: "role-not-in-stack", Level: Error, Subject: a.entity.ARN, Expected: "only roles of the stack trust the cluster",
				Seen: fmt.Sprintf("role %s, which is not the stack's, can be taken on by %s", a.entity.Name, names(who)),
				Fix:  "take the cluster out of its trust policy, bring it into the stack, or accept it with --known"})
		}
		if len(who) > 0 {
			j.reach(a, who, "")
		}
		j.openings(a, trust, who)
	}
	for _, r := range j.stack.Roles { // of machines, where pods have those
		if _, there := j.reached[r.ARN]; there || r.Kind == Pod || j.roles[r.ARN] == nil {
			continue
		}
		for _, account := range r.Pods {
			j.reach(j.roles[r.ARN], []access.Trustee{{Who: "ServiceAccount " + account + ", if it is on the stack's machines"}}, "")
		}
	}
}

func names(list []access.Trustee) string {
	const most = 4
	var out []string
	for _, t := range list {
		if n := t.Named(); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	if more := len(out) - most; more > 0 {
		out = append(out[:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(out, ", ")
}

// reach notes a role that the cluster can become.
func (j *judge) reach(a *actor, who []access.Trustee, via string) {
	i, there := j.reached[a.entity.ARN]
	if !there {
		i = len(j.report.Reach)
		j.reached[a.entity.ARN] = i
		j.report.Reach = append(j.report.Reach, Reach{Role: a.entity.ARN, InStack: a.stack != nil, Known: j.accepted(a.entity.ARN), Via: via, Who: []string{}})
	}
	r := &j.report.Reach[i]
	for _, t := range who {
		if n := t.Named(); !slices.Contains(r.Who, n) {
			r.Who = append(r.Who, n)
		}
		if account, ok := strings.CutPrefix(t.Who, "ServiceAccount "); ok && t.Open == access.None {
			account, _, _ = strings.Cut(account, ",")
			r.Accounts = append(r.Accounts, account)
		}
	}
}

// ours is a trust policy as far as it is about this account: a provider of another account vouches for nobody here, and
// whoever names everybody names the cluster's provider too (IAM User Guide, "AWS JSON policy elements: Principal").
func (j *judge) ours(d *policy.Document) *policy.Document {
	out := *d
	out.Statements = nil
	for _, s := range d.Statements {
		if s.Principal != nil && len(s.Principal.Federated) > 0 {
			p := *s.Principal
			p.Federated = slices.DeleteFunc(slices.Clone(p.Federated), func(v string) bool {
				account := segment(v, 4)
				return account != "" && account != j.s.Account
			})
			s.Principal = &p
			if !p.Any && len(p.AWS)+len(p.Service)+len(p.Federated)+len(p.CanonicalUser) == 0 {
				continue
			}
		}
		out.Statements = append(out.Statements, s)
	}
	return &out
}

// everyone tells whether an Allow names everybody, or everybody but some.
func everyone(s *policy.Statement) bool {
	return s.Effect == "Allow" && (s.NotPrincipal != nil || s.Principal != nil && (s.Principal.Any || slices.Contains(s.Principal.AWS, "*")))
}

// naming is a trust policy in which a principal is named where everybody is.
func naming(d *policy.Document, who policy.PrincipalElement) *policy.Document {
	out := *d
	out.Statements = nil
	for _, s := range d.Statements {
		if everyone(&s) {
			if s.NotPrincipal != nil && (intersects(s.NotPrincipal.Federated, who.Federated) || intersects(s.NotPrincipal.Service, who.Service)) {
				continue
			}
			s.NotPrincipal = nil
			s.Principal = &who
		} else if s.Effect == "Allow" && (s.Principal == nil || !intersects(s.Principal.Federated, who.Federated) && !intersects(s.Principal.Service, who.Service)) {
			continue
		}
		out.Statements = append(out.Statements, s)
	}
	return &out
}

func intersects(a, b []string) bool {
	return slices.ContainsFunc(a, func(v string) bool { return slices.Contains(b, v) })
}

// byToken are those who have a token of the cluster's issuer and can be a role: the provider has to be there, and to take the
// audience.
func (j *judge) byToken(trust *policy.Document) (out []access.Trustee) {
	for _, issuer := range j.stack.Issuers {
		for _, p := range j.s.Providers {
			if p.ARN != issuer.ARN {
				continue
			}
			doc := naming(trust, policy.PrincipalElement{Federated: []string{p.ARN}})
			if !some(doc) {
				continue
			}
			for _, client := range p.Clients {
				k := policy.Known{Values: map[string][]string{strings.ToLower(p.URL) + ":aud": {client}, "aws:federatedprovider": {p.ARN}}}
				_, _, now := access.CompareTrust(nil, k.Assume(doc))
				for _, t := range now {
					if t.Issuer != p.URL || t.Open == access.AnyAudience || strings.HasPrefix(t.Who, "tokens ") {
						continue
					}
					if strings.HasPrefix(t.Who, "subject ") {
						continue // the subjects of a cluster's tokens are service accounts
					}
					if !slices.ContainsFunc(out, func(o access.Trustee) bool { return o.Who == t.Who && o.Issuer == t.Issuer }) {
						out = append(out, t)
					}
				}
			}
		}
	}
	return out
}

func some(d *policy.Document) bool {
	return slices.ContainsFunc(d.Statements, func(s policy.Statement) bool { return s.Effect == "Allow" })
}

// byCertificate are those who have a certificate of the cluster's CA and can be a role: by an anchor that is switched on and
// takes it, and a profile of the same region that is switched on and has the role.
func (j *judge) byCertificate(a *actor, trust *policy.Document) (out []access.Trustee) {
	doc := naming(trust, policy.PrincipalElement{Service: []string{raService}})
	if !some(doc) {
		return nil
	}
	keys := map[string]bool{}
	for _, w := range j.stack.Anchors {
		for _, k := range w.Keys {
			keys[k] = true
		}
	}
	for _, anchor := range j.s.Anchors {
		if !anchor.Enabled || !j.anchorOfStack(anchor.ARN) && !slices.ContainsFunc(anchor.Keys, func(k string) bool { return keys[k] }) {
			continue
		}
		opened := slices.ContainsFunc(j.s.Profiles, func(p Profile) bool {
			return p.Enabled && segment(p.ARN, 3) == segment(anchor.ARN, 3) && slices.Contains(p.Roles, a.entity.ARN)
		})
		if !opened {
			continue
		}
		k := policy.Known{Values: map[string][]string{"aws:sourcearn": {anchor.ARN}, "aws:sourceaccount": {j.s.Account}}}
		_, _, now := access.CompareTrust(nil, k.Assume(doc))
		for _, t := range now {
			if t.Open == access.AnyAnchor || strings.HasPrefix(t.Who, "AWS service ") {
				continue
			}
			if !slices.ContainsFunc(out, func(o access.Trustee) bool { return o.Who == t.Who }) {
				out = append(out, t)
			}
		}
	}
	return out
}

var openings = map[access.Opening]struct{ id, what, want string }{
	access.AnySubject:     {"trust-any-subject", "more than one subject of the issuer", "one service account, by StringEquals on the issuer's :sub"},
	access.AnyAudience:    {"trust-any-audience", "tokens of the cluster made for any audience", "the audience, by StringEquals on the issuer's :aud"},
	access.AnyCertificate: {"trust-any-certificate", "certificates of more than one common name", "one name, by StringEquals on aws:PrincipalTag/x509Subject/CN"},
	access.AnyAnchor:      {"trust-any-anchor", "certificates of any trust anchor of the account", "one anchor, by ArnEquals on aws:SourceArn"},
}

// openings looks for trust that is broader than one identity: of those who have to do with the cluster, and of everybody.
func (j *judge) openings(a *actor, trust *policy.Document, reach []access.Trustee) {
	if !slices.ContainsFunc(trust.Statements, func(s policy.Statement) bool { return everyone(&s) }) && len(reach) == 0 {
		return
	}
	if j.accepted(a.entity.ARN) {
		return
	}
	var asked []access.Trustee
	_, _, now := access.CompareTrust(nil, trust)
	asked = append(asked, now...)
	for _, p := range j.stack.Issuers {
		_, _, now := access.CompareTrust(nil, naming(trust, policy.PrincipalElement{Federated: []string{p.ARN}}))
		asked = append(asked, now...)
	}
	if len(j.stack.Anchors) > 0 {
		_, _, now := access.CompareTrust(nil, naming(trust, policy.PrincipalElement{Service: []string{raService}}))
		asked = append(asked, now...)
	}
	for _, t := range asked {
		if t.Open == access.Anybody {
			j.find(Finding{ID: "trust-anybody", Level: Error, Subject: a.entity.ARN, Expected: "a principal that is named, or a condition that keeps strangers out",
				Seen: fmt.Sprintf("role %s can be taken on by %s", a.entity.Name, t.Named()), Fix: "aws iam update-assume-role-policy --role-name " + a.entity.Name + " --policy-document file://…"})
			continue
		}
		o, wide := openings[t.Open]
		if t.Open == access.None && strings.HasPrefix(t.Who, "anybody in any AWS account, if ") {
			j.report.Undecided = append(j.report.Undecided, Undecided{a.entity.ARN, "its trust names everybody; whether pods can take it on depends on: " + strings.TrimPrefix(t.Who, "anybody in any AWS account, if ")})
		}
		if !wide || len(reach) == 0 || t.Issuer != "" && !slices.ContainsFunc(j.stack.Issuers, func(p Provider) bool { return p.URL == t.Issuer }) {
			continue
		}
		if t.Open == access.AnySubject && !slices.ContainsFunc(reach, func(r access.Trustee) bool { return r.Who == t.Who }) {
			continue // no token of the cluster has such a subject
		}
		f := Finding{ID: o.id, Level: Error, Subject: a.entity.ARN, Expected: o.want, Fix: "aws iam update-assume-role-policy --role-name " + a.entity.Name + " --policy-document file://…",
			Seen: fmt.Sprintf("the trust of role %s lets in %s: %s", a.entity.Name, o.what, t.Named())}
		if t.Open == access.AnyAudience {
			f.Level = Warning // the provider's own list of audiences still counts
		}
		j.find(f)
	}
}

// trustChanged compares the trust of a role of the stack with what the stack says.
func (j *judge) trustChanged(a *actor, trust *policy.Document) {
	want := j.parse(a.stack.Trust, "the trust that the stack gave role "+a.entity.Name)
	if want == nil {
		return
	}
	gained, _, _ := access.CompareTrust(j.ours(want), trust)
	gained = slices.DeleteFunc(gained, func(t access.Trustee) bool { return t.Minor })
	if len(gained) == 0 {
		return
	}
	j.find(Finding{ID: "trust-changed", Level: Error, Subject: a.entity.ARN, Expected: "the trust that the stack gave it", Fix: "pulumi up --refresh",
		Seen: fmt.Sprintf("role %s of the stack can be taken on by others than the stack says: %s", a.entity.Name, names(gained))})
}

// chains follows sts:AssumeRole from the roles that the cluster can become, and from its machines' roles.
func (j *judge) chains() {
	var queue []*actor
	seen := map[*actor]bool{}
	start := func(a *actor) {
		if !seen[a] {
			seen[a] = true
			queue = append(queue, a)
		}
	}
	for _, a := range j.actors {
		if _, ok := j.reached[a.entity.ARN]; ok || a.stack != nil {
			start(a)
		}
	}
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		for _, to := range j.actors {
			if to.kind != "role" || to == from || to.linked || seen[to] {
				continue
			}
			condition, ok := j.canAssume(from, to, true)
			if !ok {
				continue
			}
			meant := from.stack != nil && from.made.Allows("sts:AssumeRole", to.entity.ARN)
			j.reach(to, []access.Trustee{{Who: "whoever is role " + from.entity.Name}}, from.entity.ARN)
			start(to)
			if !meant && to.stack == nil && !j.accepted(to.entity.ARN) && !j.stack.Foreign {
				j.find(Finding{ID: "role-not-in-stack", Level: Error, Subject: to.entity.ARN, Object: from.entity.ARN, Condition: condition, Expected: "only roles that the stack names are assumed from its roles",
					Seen: fmt.Sprintf("role %s, which is not the stack's, can be assumed by role %s, which the cluster can be", to.entity.Name, from.entity.Name),
					Fix:  "take it out of its trust policy, name it in the identity's assumeRoles, or accept it with --known"})
			}
		}
	}
}

// canAssume tells whether one principal can assume a role of the same account. The role's trust has to let it in: by its own
// name or as everybody, which is enough, or as the account, which leaves it to the principal's own policies (IAM User Guide,
// "Policy evaluation for requests within a single account"). firm leaves out those whose conditions on everybody cannot be
// decided.
func (j *judge) canAssume(from, to *actor, firm bool) (condition string, ok bool) {
	trust := j.parse(to.role.Trust, "the trust of role "+to.entity.Name)
	if trust == nil {
		return "", false
	}
	candidate := false
	for i := range trust.Statements {
		s := &trust.Statements[i]
		if s.Effect == "Allow" && (s.NotPrincipal != nil || s.Principal != nil && (s.Principal.Any || len(s.Principal.AWS) > 0)) && matchesAny(s.Actions, s.NotActions, "sts:AssumeRole") {
			candidate = true
		}
	}
	if !candidate {
		return "", false
	}
	trust = from.known.Assume(trust)
	var direct, delegated, denials policy.Document
	direct.Version, delegated.Version, denials.Version = trust.Version, trust.Version, trust.Version
	for _, s := range trust.Statements {
		match := policy.NoPrincipal
		switch {
		case s.Principal != nil:
			match = s.Principal.Match(&from.self)
		case s.NotPrincipal != nil && s.NotPrincipal.Match(&from.self) == policy.NoPrincipal:
			match = policy.MatchAny
		}
		if match == policy.NoPrincipal {
			continue
		}
		s.Principal, s.NotPrincipal, s.Resources = nil, nil, []string{"*"}
		switch {
		case s.Effect == "Deny":
			denials.Statements = append(denials.Statements, s)
		case match == policy.MatchAccount:
			delegated.Statements = append(delegated.Statements, s)
		case match == policy.MatchAny && len(s.Conditions) > 0 && firm && slices.ContainsFunc(s.Conditions, outside):
			// told as undecided
		default:
			direct.Statements = append(direct.Statements, s)
		}
	}
	const action = "sts:AssumeRole"
	arn := to.entity.ARN
	identity := from.policies
	identity.Identity = append(slices.Clone(identity.Identity), &denials, &direct)
	if from.kind == "user" && len(direct.Statements) > 0 {
		identity.Boundary = nil // it does not limit what a resource grants the user itself
	}
	if len(direct.Statements) > 0 && (access.Policies{Identity: []*policy.Document{&direct}}).Allows(action, arn) && identity.Allows(action, arn) {
		return access.Conditions(direct.Statements[0].Conditions), true
	}
	if len(delegated.Statements) == 0 {
		return "", false
	}
	// Both have to allow: the trust is a further limit.
	both := from.policies
	both.Identity = append(slices.Clone(both.Identity), &denials)
	both.Session = []*policy.Document{&delegated}
	if !from.roughly(action, arn) || !both.Allows(action, arn) {
		return "", false
	}
	return access.Conditions(delegated.Statements[0].Conditions), true
}

// outside tells whether a condition asks for what only AWS or an organization knows of the caller.
func outside(c policy.Condition) bool {
	return strings.HasPrefix(strings.ToLower(c.Key), "aws:principalorg")
}
