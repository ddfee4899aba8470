package impact

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/review/internal/access"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// role is what one side of the preview says about a role.
type role struct {
	there     bool
	policies  access.Policies
	trust     document
	managed   []string // ARNs of attached policies whose content is not in the stack
	unclear   []string
	bounded   bool
	session   int
	reachable bool // by pods, through the metadata service
}

// index of what belongs to roles, so that many roles take linear time.
type roleIndex struct {
	byRole map[string][]*preview.Change // role URN → inline policies and attachments
}

func (w *world) indexRoles() roleIndex {
	ix := roleIndex{byRole: map[string][]*preview.Change{}}
	names := map[string]string{} // id or name → URN
	for _, c := range w.byType[typeRole] {
		for _, r := range []*preview.Resource{c.Before, c.After} {
			if r == nil {
				continue
			}
			if r.ID != "" {
				names[r.ID] = r.URN
			}
			if n, ok := r.Text("name"); ok {
				names[n] = r.URN
			}
		}
	}
	for _, t := range []string{typeRolePolicy, typeAttachment} {
		for _, c := range w.byType[t] {
			owners := map[string]bool{}
			for _, r := range []*preview.Resource{c.Before, c.After} {
				if r == nil {
					continue
				}
				for _, urn := range r.PropertyDependencies["role"] {
					if preview.TypeOf(urn) == typeRole {
						owners[urn] = true
					}
				}
				if name, ok := r.Text("role"); ok && names[name] != "" {
					owners[names[name]] = true
				}
			}
			for urn := range owners {
				ix.byRole[urn] = append(ix.byRole[urn], c)
			}
		}
	}
	return ix
}

// role reads one side of a role.
func (w *world) role(c *preview.Change, ix roleIndex, s side) role {
	r := s.of(c)
	if r == nil {
		return role{}
	}
	out := role{there: true, trust: w.document(r, "assumeRolePolicy"), session: number(r.Value("maxSessionDuration"))}
	if out.session == 0 {
		out.session = 3600
	}
	out.session = w.capped(out.session, r, s)
	if out.trust.unclear != "" {
		out.unclear = append(out.unclear, "trust policy "+out.trust.unclear)
	}
	for _, part := range ix.byRole[r.URN] {
		p := s.of(part)
		if p == nil || !refersTo(p, "role", r) {
			continue
		}
		if p.Type == typeRolePolicy {
			out.add(w.document(p, "policy"), p.Name())
			continue
		}
		w.attached(p, s, &out)
	}
	for _, inline := range asList(r.Value("inlinePolicies")) {
		m, _ := inline.(map[string]any)
		out.add(w.document(&preview.Resource{Inputs: m}, "policy"), "inline policy")
	}
	out.managed = append(out.managed, list(r.Value("managedPolicyArns"))...)
	if arn, _ := r.Text("permissionsBoundary"); arn != "" {
		out.bounded = true
		if d := w.policyByARN(arn, r.PropertyDependencies["permissionsBoundary"], s); d.parsed != nil {
			out.policies.Boundary = []*policy.Document{d.parsed}
		}
	}
	slices.Sort(out.managed)
	out.managed = slices.Compact(out.managed)
	return out
}

// capped is a role's longest session where Roles Anywhere profiles bound it: a session is as long as the profile says,
// and never longer than the role allows.
func (w *world) capped(session int, r *preview.Resource, s side) int {
	longest := 0
	for _, c := range w.byType[typeRAProfile] {
		p := s.of(c)
		if p == nil {
			continue
		}
		arn, _ := r.Output("arn").(string)
		if slices.Contains(p.PropertyDependencies["roleArns"], r.URN) || arn != "" && slices.Contains(list(p.Value("roleArns")), arn) {
			seconds := number(p.Value("durationSeconds"))
			if seconds == 0 {
				seconds = 3600
			}
			longest = max(longest, seconds)
		}
	}
	if longest == 0 {
		return session
	}
	return min(session, longest)
}

func (r *role) add(d document, name string) {
	switch {
	case d.parsed != nil:
		r.policies.Identity = append(r.policies.Identity, d.parsed)
	case d.unclear != "":
		r.unclear = append(r.unclear, "policy "+name+" "+d.unclear)
	}
}

// attached adds a managed policy: its content where the stack has it, its ARN where not.
func (w *world) attached(p *preview.Resource, s side, out *role) {
	arn, known := p.Text("policyArn")
	d := w.policyByARN(arn, p.PropertyDependencies["policyArn"], s)
	switch {
	case d.parsed != nil || d.unclear != "":
		out.add(d, p.Name())
	case known:
		out.managed = append(out.managed, arn)
	default:
		out.unclear = append(out.unclear, "attached policy "+p.Name()+" is known only after the update")
	}
}

func (w *world) policyByARN(arn string, dependencies []string, s side) document {
	for _, c := range w.byType[typePolicy] {
		r := s.of(c)
		if r == nil {
			continue
		}
		own, _ := r.Output("arn").(string)
		if slices.Contains(dependencies, r.URN) || arn != "" && (own == arn || r.ID == arn) {
			return w.document(r, "policy")
		}
	}
	return document{}
}

func asList(v any) []any { l, _ := v.([]any); return l }

// identities compares every role, and returns the signs that follow from it.
func (w *world) identities() ([]Identity, []Sign) {
	ix := w.indexRoles()
	podsReach := w.rolesInReachOfPods()
	var all []Identity
	var signs []Sign
	for _, c := range w.byType[typeRole] {
		was, is := w.role(c, ix, before), w.role(c, ix, after)
		was.reachable, is.reachable = podsReach[before][c.Now().URN], podsReach[after][c.Now().URN]
		i := Identity{Role: c.Now().Name(), Op: c.Op, SessionBefore: was.session, SessionAfter: is.session}
		i.Name, i.Kind = w.describe(c, was, is)
		i.Unclear = difference(is.unclear, was.unclear)
		if unchanged(w, c, ix) {
			i.ReachBefore.Pods, i.ReachAfter.Pods = was.reachable, is.reachable
			if was.reachable == is.reachable && was.session == is.session {
				all = append(all, i)
				continue
			}
		}
		i.PermissionsGained, i.PermissionsLost = access.Compare(was.policies, is.policies)
		var trustNow []access.Trustee
		_, _, trustBefore := access.CompareTrust(nil, was.trust.parsed)
		if is.trust.unclear == "" {
			i.TrustGained, i.TrustLost, trustNow = access.CompareTrust(was.trust.parsed, is.trust.parsed)
		}
		i.ManagedGained, i.ManagedLost = difference(is.managed, was.managed), difference(was.managed, is.managed)
		i.ReachBefore, i.ReachAfter = reach(was, trustBefore), reach(is, trustNow)
		all = append(all, i)
		signs = append(signs, w.roleSigns(&i, c, was, is)...)
	}
	for i := range all {
		filled(&all[i].PermissionsGained)
		filled(&all[i].PermissionsLost)
		filled(&all[i].TrustGained)
		filled(&all[i].TrustLost)
		filled(&all[i].ManagedGained)
		filled(&all[i].ManagedLost)
	}
	slices.SortStableFunc(all, func(a, b Identity) int {
		return cmp.Or(kindRank(a.Kind)-kindRank(b.Kind), strings.Compare(a.Name, b.Name))
	})
	return all, signs
}

// filled makes a list that JSON shows as [] rather than null.
func filled[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

func kindRank(k Kind) int { return slices.Index([]Kind{Pod, Node, Other}, k) }

// unchanged tells whether neither the role nor any policy of it changes.
func unchanged(w *world, c *preview.Change, ix roleIndex) bool {
	if c.Op != preview.Same {
		return false
	}
	for _, part := range ix.byRole[c.Now().URN] {
		if part.Op != preview.Same {
			return false
		}
		// An attached policy of the stack's own may change under an attachment that does not.
		for _, urn := range part.Now().PropertyDependencies["policyArn"] {
			if p := w.byURN[urn]; p != nil && p.Op != preview.Same {
				return false
			}
		}
	}
	for _, urn := range c.Now().PropertyDependencies["permissionsBoundary"] {
		if p := w.byURN[urn]; p != nil && p.Op != preview.Same {
			return false
		}
	}
	return true
}

func reach(r role, trusted []access.Trustee) Reach {
	actions, resources := map[string]bool{}, map[string]bool{}
	for _, g := range access.Grants(r.policies) {
		actions[g.Action], resources[g.Resource] = true, true
	}
	out := Reach{Actions: len(actions), Resources: len(resources), Managed: len(r.managed), Trusted: len(trusted), Pods: r.reachable}
	for _, t := range trusted {
		out.Open = out.Open || t.Open != access.None
	}
	return out
}

// describe names a role for a reader, and tells what it is for.
func (w *world) describe(c *preview.Change, was, is role) (string, Kind) {
	r := c.Now()
	name := strings.TrimSuffix(r.Name(), "-role")
	kind := Other
	if r.ParentType() == "k3s-aws-auth:podrole:PodRole" {
		kind = Pod
	}
	for _, d := range []document{is.trust, was.trust} {
		if d.parsed == nil {
			continue
		}
		for _, s := range d.parsed.Statements {
			switch p := s.Principal; {
			case p == nil:
			case len(p.Federated) > 0, slices.ContainsFunc(p.Service, func(s string) bool { return strings.HasPrefix(s, "rolesanywhere.") }):
				kind = Pod
			case kind == Other && slices.ContainsFunc(p.Service, func(s string) bool { return strings.HasPrefix(s, "ec2.") }):
				kind = Node
			}
		}
	}
	return name, kind
}

func difference(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

// rolesInReachOfPods finds the roles that pods get from their machine: those of agents whose hop limit lets pods' requests
// through.
func (w *world) rolesInReachOfPods() [2]map[string]bool {
	roles := [2]map[string]bool{{}, {}}
	profiles := map[string]string{} // URN, id or name of an instance profile → role URN
	for _, c := range w.byType[typeProfile] {
		for _, p := range []*preview.Resource{c.Before, c.After} {
			if p == nil {
				continue
			}
			for _, urn := range p.PropertyDependencies["role"] {
				if preview.TypeOf(urn) != typeRole {
					continue
				}
				profiles[p.URN] = urn
				if p.ID != "" {
					profiles[p.ID] = urn
				}
				if n, ok := p.Text("name"); ok {
					profiles[n] = urn
				}
			}
		}
	}
	for _, c := range w.byType[typeInstance] {
		for _, s := range []side{before, after} {
			r := s.of(c)
			if r == nil || number(r.Value("metadataOptions", "httpPutResponseHopLimit")) < 2 {
				continue
			}
			for _, urn := range r.PropertyDependencies["iamInstanceProfile"] {
				if profiles[urn] != "" {
					roles[s][profiles[urn]] = true
				}
			}
			if n, ok := r.Text("iamInstanceProfile"); ok && profiles[n] != "" {
				roles[s][profiles[n]] = true
			}
		}
	}
	return roles
}

// roleSigns are the dangers of one role's change.
func (w *world) roleSigns(i *Identity, c *preview.Change, was, is role) []Sign {
	var signs []Sign
	add := func(level Level, id, what, why, safe string) {
		signs = append(signs, Sign{ID: id, Level: level, What: what, Why: why, Safe: safe, Resources: []string{i.Role}})
	}
	for _, t := range i.TrustGained {
		switch t.Open {
		case access.AnySubject:
			add(Danger, "trust-subject-wildcard", fmt.Sprintf("%s may be assumed by %s", i.Name, t.Who),
				"whoever can make a ServiceAccount or a namespace gets the role", "name namespace and ServiceAccount in `sub` with StringEquals; one role for each identity")
		case access.AnyAudience:
			add(Danger, "trust-audience-missing", fmt.Sprintf("%s may be assumed with %s", i.Name, t.Who),
				"a token that a pod gave to another service can be replayed to AWS", "require `aud` = sts.amazonaws.com with StringEquals")
		case access.AnyCertificate:
			add(Danger, "trust-any-certificate", fmt.Sprintf("%s may be assumed with %s", i.Name, t.Who),
				"every identity's certificate opens this role", "require aws:PrincipalTag/x509Subject/CN with StringEquals")
		case access.AnyAnchor:
			add(Danger, "trust-any-anchor", fmt.Sprintf("%s may be assumed with %s", i.Name, t.Who),
				"whoever may add a trust anchor to the account gets the role", "require aws:SourceArn = the trust anchor with ArnEquals")
		case access.Anybody:
			add(Danger, "trust-anybody", fmt.Sprintf("%s may be assumed by %s", i.Name, t.Who),
				"strangers get the role", "name the one principal, and an external id for another account")
		default:
			if was.there {
				add(Warning, "trust-gained", fmt.Sprintf("%s may now also be assumed by %s", i.Name, t.Who),
					"somebody else gets all permissions of the role", "give a new identity a role of its own")
			}
		}
	}
	if is.there {
		_, _, now := access.CompareTrust(nil, is.trust.parsed)
		for _, t := range now {
			if t.Open != access.None && !slices.ContainsFunc(i.TrustGained, func(g access.Trustee) bool { return g.Who == t.Who && g.Issuer == t.Issuer }) {
				add(Warning, "trust-open-already", fmt.Sprintf("%s may be assumed by %s, as before", i.Name, t.Who),
					"the trust is wider than one identity", "narrow it while you are here")
			}
		}
	}
	if was.there && is.there && was.bounded && !is.bounded {
		add(Danger, "boundary-removed", i.Name+" loses its permissions boundary", "nothing limits what its policies may grant from now on",
			"change the boundary's policy in place, reviewed like any other")
	}
	if len(i.Unclear) > 0 && was.there && c.Op != preview.Create {
		add(Warning, "unclear", i.Name+": "+strings.Join(i.Unclear, ", "),
			"the preview cannot show what the role will allow", "make what it is computed from exist first, in a change of its own")
	}
	for _, g := range i.PermissionsGained {
		if what := escalation(g); what != "" {
			add(Danger, "permissions-escalate", fmt.Sprintf("%s gains %s on %s", i.Name, g.Action, g.Resource), what,
				"grant the actions that are used, on the resources that they are used on")
		}
	}
	for _, arn := range i.ManagedGained {
		name := arn[strings.LastIndex(arn, "/")+1:]
		if name == "AdministratorAccess" || name == "IAMFullAccess" || name == "PowerUserAccess" {
			add(Danger, "permissions-escalate", i.Name+" gains the managed policy "+name, "it contains everything, or the way there",
				"grant the actions that are used, on the resources that they are used on")
		}
	}
	if c.Op == preview.Delete {
		add(Warning, "identity-removed", i.Name+" is removed", "pods that still use it are refused within the length of a session",
			"take the pods away first")
	}
	if i.SessionAfter > i.SessionBefore && was.there && i.SessionAfter > 4*3600 {
		add(Warning, "session-long", fmt.Sprintf("sessions of %s may last %s", i.Name, duration(i.SessionAfter)),
			"stolen credentials stay good that long", "keep sessions at an hour: SDKs renew them")
	}
	return append(signs, w.keyPlaneSigns(i, was, is)...)
}

func duration(seconds int) string {
	if seconds%3600 == 0 {
		return fmt.Sprintf("%d h", seconds/3600)
	}
	return fmt.Sprintf("%d min", seconds/60)
}

// escalating are actions with which one makes oneself an administrator, on whatever resource.
var escalating = []string{
	"iam:AttachRolePolicy", "iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:CreateAccessKey", "iam:CreatePolicyVersion",
	"iam:SetDefaultPolicyVersion", "iam:AttachUserPolicy", "iam:PutUserPolicy", "iam:DeleteRolePermissionsBoundary",
	"iam:CreateOpenIDConnectProvider", "iam:UpdateOpenIDConnectProviderThumbprint", "rolesanywhere:CreateTrustAnchor", "rolesanywhere:UpdateTrustAnchor",
}

// escalation says why a grant leads beyond itself, or nothing.
func escalation(g access.Grant) string {
	any := access.Policies{Identity: []*policy.Document{{Version: policy.Version2012, Statements: []policy.Statement{
		{Effect: "Allow", Actions: []string{g.Action}, Resources: []string{"*"}}}}}}
	anywhere := g.Resource == "*" || strings.HasSuffix(g.Resource, ":role/*")
	switch {
	case g.Action == "*" && g.Resource == "*":
		return "that is an administrator"
	case anywhere && (any.Allows("iam:PassRole", "*") || any.Allows("sts:AssumeRole", "*")):
		return "it can take on every role of the account"
	}
	for _, a := range escalating {
		if any.Allows(a, "*") {
			return a + " leads to every permission that IAM can give"
		}
	}
	return ""
}

// keyPlaneSigns look for roles that can make identities: read a private key, or write the published keys.
func (w *world) keyPlaneSigns(i *Identity, was, is role) []Sign {
	if !is.there || len(i.PermissionsGained) == 0 {
		return nil
	}
	var signs []Sign
	if i.Kind != Node || !strings.Contains(i.Role, "-server") {
		for _, c := range w.byType[typeParameter] {
			arn, ok := c.Now().Output("arn").(string)
			if !ok || !strings.Contains(arn, "/server/") || !strings.HasSuffix(arn, ".key") {
				continue
			}
			for _, action := range []string{"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory"} {
				if is.policies.Allows(action, arn) && !was.policies.Allows(action, arn) {
					signs = append(signs, Sign{ID: "reads-signing-key", Level: Danger, What: i.Name + " may read the cluster's private keys",
						Why: "whoever reads the signing key can be every identity", Safe: "leave the parameters below server/ to the servers' role alone", Resources: []string{i.Role}})
					break
				}
			}
		}
	}
	for _, c := range w.p.Changes {
		r := c.Now()
		if !isObject(r.Type) || !isKeySet(r) {
			continue
		}
		arn, ok := r.Output("arn").(string)
		if ok && is.policies.Allows("s3:PutObject", arn) && !was.policies.Allows("s3:PutObject", arn) {
			signs = append(signs, Sign{ID: "writes-key-set", Level: Danger, What: i.Name + " may write the published key set",
				Why: "whoever adds a key to it can be every identity", Safe: "grant writes below a prefix of a bucket of its own", Resources: []string{i.Role}})
		}
	}
	return signs
}
