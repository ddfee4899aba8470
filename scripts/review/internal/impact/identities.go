package impact

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// role is what one side of the preview says about a role, or about a user or group.
type role struct {
	there     bool
	policies  access.Policies
	shown     access.Policies // the same without AWS's managed policies, which are shown by name
	trust     document
	managed   []string // ARNs of attached policies that are not in the stack
	unknown   []string // those of managed whose content is not known here either
	unclear   []string
	lost      bool   // a policy is not known, so nothing can be called lost
	boundary  string // the boundary's ARN where its content is not known
	bounded   bool
	session   int
	reachable bool // by pods, through the metadata service
	arn       string
}

// holder is a role, user or group, in the stack or named by it.
type holder struct {
	change *preview.Change // nil for one that is not in the stack
	key    string          // its URN, or kind/name
	kind   string          // role, user, group
	name   string
	parts  []*preview.Change // policies and attachments
}

// holds are the types that give somebody policies: by which property, to whom.
var holds = []struct {
	typ, property, kind string
	many                bool // the property is a list
}{
	{typeRolePolicy, "role", "role", false},
	{typeAttachment, "role", "role", false},
	{typeExclusive, "roleName", "role", false},
	{"aws:iam/userPolicy:UserPolicy", "user", "user", false},
	{"aws:iam/userPolicyAttachment:UserPolicyAttachment", "user", "user", false},
	{"aws:iam/groupPolicy:GroupPolicy", "group", "group", false},
	{"aws:iam/groupPolicyAttachment:GroupPolicyAttachment", "group", "group", false},
	{"aws:iam/policyAttachment:PolicyAttachment", "roles", "role", true},
	{"aws:iam/policyAttachment:PolicyAttachment", "users", "user", true},
	{"aws:iam/policyAttachment:PolicyAttachment", "groups", "group", true},
}

var holderTypes = map[string]string{typeRole: "role", "aws:iam/user:User": "user", "aws:iam/group:Group": "group"}

// owners are whom a property names: URNs of holders of the stack, or kind/name of others.
func owners(r *preview.Resource, property, kind string, names map[string]string) []string {
	var out []string
	add := func(o string) {
		if !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	texts := list(r.Value(property))
	if t, ok := r.Text(property); ok {
		texts = append(texts, t)
	}
	var others []string
	for _, t := range texts { // what is written counts, before what the engine says it was made of
		t = t[strings.LastIndex(t, "/")+1:] // a role by its ARN
		switch {
		case names[kind+"/"+t] != "":
			add(names[kind+"/"+t])
		case t != "" && t != preview.Unknown && t != preview.Secret:
			others = append(others, t)
		}
	}
	if len(out) == 0 {
		named := map[string]bool{} // they would have been found by their names
		if len(others) > 0 {
			for _, urn := range names {
				named[urn] = true
			}
		}
		for _, urn := range r.PropertyDependencies[property] {
			if holderTypes[preview.TypeOf(urn)] == kind && !named[urn] {
				add(urn)
			}
		}
	}
	if len(out) == 0 {
		for _, t := range others {
			add(kind + "/" + t)
		}
	}
	if len(out) == 0 {
		add(kind + "/unknown")
	}
	return out
}

// holders lists everybody who has policies, in a stable order.
func (w *world) holders() []*holder {
	index := map[string]*holder{}
	var order []*holder
	names := map[string]string{} // kind/name → URN
	add := func(key string, h *holder) *holder {
		if index[key] == nil {
			index[key] = h
			order = append(order, h)
		}
		return index[key]
	}
	for _, c := range w.p.Changes {
		kind := holderTypes[c.Now().Type]
		if kind == "" {
			continue
		}
		add(c.Now().URN, &holder{change: c, key: c.Now().URN, kind: kind, name: c.Now().Name()})
		for _, r := range []*preview.Resource{c.Before, c.After} {
			if r == nil {
				continue
			}
			if r.ID != "" {
				names[kind+"/"+r.ID] = r.URN
			}
			if n, ok := r.Text("name"); ok {
				names[kind+"/"+n] = r.URN
			}
		}
	}
	for _, h := range holds {
		for _, c := range w.byType[h.typ] {
			seen := map[string]bool{}
			for _, r := range []*preview.Resource{c.Before, c.After} {
				if r == nil || h.many && r.Value(h.property) == nil {
					continue
				}
				for _, o := range owners(r, h.property, h.kind, names) {
					if !seen[o] {
						seen[o] = true
						name := h.kind + " " + lastName(o) + " (not in this stack)"
						if strings.HasPrefix(o, "urn:") {
							name = lastName(o) + " (not in this preview)"
						}
						x := add(o, &holder{key: o, kind: h.kind, name: name})
						x.parts = append(x.parts, c)
					}
				}
			}
		}
	}
	w.names = names
	return order
}

// belongs tells whether a part is of a holder on one side.
func (w *world) belongs(h *holder, r *preview.Resource) bool {
	for _, x := range holds {
		if x.typ != r.Type || x.kind != h.kind || x.many && r.Value(x.property) == nil {
			continue
		}
		for _, o := range owners(r, x.property, x.kind, w.names) {
			if o == h.key {
				return true
			}
		}
	}
	return false
}

// role reads one side of a holder.
func (w *world) role(h *holder, s side) role {
	out := role{}
	var r *preview.Resource
	if h.change != nil {
		if r = s.of(h.change); r == nil {
			return role{}
		}
	}
	out.there = true
	for _, c := range h.parts {
		p := s.of(c)
		if p == nil || !w.belongs(h, p) {
			continue
		}
		if p.Value("policyArn") == nil && p.Value("policy") != nil {
			out.add(w.document(p, "policy"), p.Name())
			continue
		}
		if p.Type == typeExclusive {
			for _, arn := range list(p.Value("policyArns")) {
				w.managed(arn, p.PropertyDependencies["policyArns"], p.Name(), s, &out)
			}
			if v := p.Value("policyArns"); v != nil && asList(v) == nil {
				out.unclear, out.lost = append(out.unclear, "attached policies of "+p.Name()+" are known only after the update"), true
			}
			continue
		}
		w.attached(p, s, &out)
	}
	if r == nil {
		return out
	}
	out.arn = w.arn(r)
	if h.kind == "role" {
		out.trust = w.document(r, "assumeRolePolicy")
		out.session = number(r.Value("maxSessionDuration"))
		if out.session == 0 {
			out.session = 3600
		}
		w.profiles(r, s, &out)
		if out.trust.unclear != "" {
			out.unclear = append(out.unclear, "trust policy "+out.trust.unclear)
		}
	}
	for _, inline := range asList(r.Value("inlinePolicies")) {
		m, _ := inline.(map[string]any)
		out.add(w.document(&preview.Resource{Inputs: m}, "policy"), "inline policy")
	}
	for _, arn := range list(r.Value("managedPolicyArns")) {
		w.managed(arn, nil, "policy of the role", s, &out)
	}
	if v := r.Value("managedPolicyArns"); v != nil && asList(v) == nil {
		out.unclear, out.lost = append(out.unclear, "managed policies are known only after the update"), true
	}
	if arn, known := r.Text("permissionsBoundary"); arn != "" {
		out.bounded = true
		d := w.policyByARN(arn, r.PropertyDependencies["permissionsBoundary"], s)
		switch {
		case d.parsed != nil:
			out.policies.Boundary = []*policy.Document{d.parsed}
			out.shown.Boundary = out.policies.Boundary
		case known:
			out.boundary = arn
		default:
			out.boundary = "a policy that is known only after the update"
		}
	}
	slices.Sort(out.managed)
	out.managed = slices.Compact(out.managed)
	return out
}

// profiles are what Roles Anywhere profiles say about a role: how long a session is, never longer than the role allows, and
// what a session policy leaves of its permissions.
func (w *world) profiles(r *preview.Resource, s side, out *role) {
	longest := 0
	var session []*policy.Document
	open := false
	for _, c := range w.byType[typeRAProfile] {
		p := s.of(c)
		if p == nil || !profileHas(p, r, out.arn) {
			continue
		}
		seconds := number(p.Value("durationSeconds"))
		if seconds == 0 {
			seconds = 3600
		}
		longest = max(longest, seconds)
		d := w.document(p, "sessionPolicy")
		switch {
		case d.parsed != nil:
			session = append(session, d.parsed)
		case d.unclear != "":
			out.unclear = append(out.unclear, "session policy "+d.unclear)
			open = true
		default:
			open = true
		}
	}
	if longest == 0 {
		return
	}
	out.session = min(out.session, longest)
	if !open && len(session) == 1 && onlyCertificates(out.trust.parsed) {
		out.policies.Session, out.shown.Session = session, session
	}
}

// onlyCertificates tells whether nobody but Roles Anywhere may assume a role, so that a profile's session policy binds everybody.
func onlyCertificates(d *policy.Document) bool {
	if d == nil {
		return false
	}
	for _, s := range d.Statements {
		if s.Effect != "Allow" {
			continue
		}
		p := s.Principal
		if p == nil || p.Any || len(p.AWS)+len(p.Federated)+len(p.CanonicalUser) > 0 ||
			slices.ContainsFunc(p.Service, func(v string) bool { return !strings.HasPrefix(v, "rolesanywhere.") }) {
			return false
		}
	}
	return true
}

func profileHas(p, r *preview.Resource, arn string) bool {
	return slices.Contains(p.PropertyDependencies["roleArns"], r.URN) || arn != "" && slices.Contains(list(p.Value("roleArns")), arn)
}

func (r *role) add(d document, name string) {
	switch {
	case d.parsed != nil:
		r.policies.Identity = append(r.policies.Identity, d.parsed)
		r.shown.Identity = append(r.shown.Identity, d.parsed)
	case d.unclear != "":
		r.unclear, r.lost = append(r.unclear, "policy "+name+" "+d.unclear), true
	}
}

// attached adds a managed policy.
func (w *world) attached(p *preview.Resource, s side, out *role) {
	arn, known := p.Text("policyArn")
	if !known && len(p.PropertyDependencies["policyArn"]) == 0 {
		out.unclear, out.lost = append(out.unclear, "attached policy "+p.Name()+" is known only after the update"), true
		return
	}
	w.managed(arn, p.PropertyDependencies["policyArn"], p.Name(), s, out)
}

// managed adds a managed policy: by content where the stack or the table of AWS's own has it, else as one that is not known.
func (w *world) managed(arn string, dependencies []string, name string, s side, out *role) {
	d := w.policyByARN(arn, dependencies, s)
	switch {
	case d.parsed != nil || d.unclear != "":
		out.add(d, name)
	case arn == "" || arn == preview.Unknown:
		out.unclear, out.lost = append(out.unclear, "attached policy "+name+" is known only after the update"), true
	default:
		out.managed = append(out.managed, arn)
		if aws := awsManaged(arn); aws != nil {
			out.policies.Identity = append(out.policies.Identity, aws)
		} else {
			out.unknown = append(out.unknown, arn)
		}
	}
}

var loadManaged = sync.OnceValue(func() map[string]*policy.Document {
	out := map[string]*policy.Document{}
	for name, text := range policy.AWSManaged {
		if d, err := policy.Parse([]byte(text)); err == nil {
			out[name] = d
		}
	}
	return out
})

// awsManaged is one of AWS's managed policies whose content is known here, or nil.
func awsManaged(arn string) *policy.Document {
	_, name, ok := strings.Cut(arn, ":iam::aws:policy")
	if !ok {
		return nil
	}
	return loadManaged()[name]
}

func (w *world) policyByARN(arn string, dependencies []string, s side) document {
	c := w.policies[arn]
	parts := strings.SplitN(arn, ":", 6)
	if c == nil && len(parts) == 6 && parts[4] != "aws" {
		c = w.policies[parts[5]]
	}
	if c == nil && (len(parts) != 6 || parts[4] != "aws") {
		for _, urn := range dependencies {
			if preview.TypeOf(urn) == typePolicy && w.policies[urn] != nil {
				c = w.policies[urn]
				break
			}
		}
	}
	if c == nil || s.of(c) == nil {
		return document{}
	}
	return w.document(s.of(c), "policy")
}

func asList(v any) []any { l, _ := v.([]any); return l }

// identities compares everybody who has policies, and returns the signs that follow from it.
func (w *world) identities() ([]Identity, []Sign) {
	holders := w.holders()
	podsReach := w.rolesInReachOfPods()
	var all []Identity
	var signs []Sign
	for _, h := range holders {
		was, is := w.role(h, before), w.role(h, after)
		i := Identity{Role: h.name, Op: preview.Same, Kind: Other, Name: h.name, urn: h.key, Elsewhere: h.change == nil || h.kind != "role"}
		if h.change != nil {
			urn := h.change.Now().URN
			was.reachable, is.reachable = podsReach[before][urn], podsReach[after][urn]
			i.Op = h.change.Op
			if h.kind == "role" {
				i.Name, i.Kind = w.describe(h.change, was, is)
			}
		}
		i.SessionBefore, i.SessionAfter = was.session, is.session
		i.Unclear = difference(is.unclear, was.unclear)
		if len(is.unclear) > 0 && len(i.Unclear) == 0 && changedParts(h) {
			i.Unclear = is.unclear
		}
		if equalDocuments(was, is) {
			i.ReachBefore.Pods, i.ReachAfter.Pods = was.reachable, is.reachable
			if was.reachable == is.reachable && was.session == is.session && len(i.Unclear) == 0 {
				all = append(all, i)
				if h.change != nil && h.change.Op == preview.Replace {
					signs = append(signs, w.roleSigns(&i, h, was, is)...)
				}
				continue
			}
		}
		i.PermissionsGained, i.PermissionsLost = permissions(was, is)
		if is.lost {
			i.PermissionsLost = nil // what is not known may allow the same
		}
		var trustNow, trustBefore []access.Trustee
		if was.trust.parsed != is.trust.parsed && is.trust.unclear == "" {
			i.TrustGained, i.TrustLost, trustNow = access.CompareTrust(was.trust.parsed, is.trust.parsed)
		} else if is.trust.parsed != nil {
			trustNow = w.trusted(is.trust.parsed)
		}
		if was.trust.parsed != nil {
			trustBefore = w.trusted(was.trust.parsed)
		}
		i.ManagedGained, i.ManagedLost = difference(is.managed, was.managed), difference(was.managed, is.managed)
		i.ReachBefore, i.ReachAfter = reach(was, trustBefore), reach(is, trustNow)
		signs = append(signs, w.roleSigns(&i, h, was, is)...)
		all = append(all, i)
	}
	loose, more := w.loosePolicies(holders)
	all, signs = append(all, loose...), append(signs, more...)
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

// loosePolicies are managed policies of the stack that change and that nobody of the stack has: somebody else may.
func (w *world) loosePolicies(holders []*holder) ([]Identity, []Sign) {
	var all []Identity
	var signs []Sign
	var changing []*preview.Change
	for _, c := range w.byType[typePolicy] {
		if c.Before != nil && c.After != nil && changed(c, "policy") {
			changing = append(changing, c)
		}
	}
	if len(changing) == 0 {
		return nil, nil
	}
	used := map[*policy.Document]bool{}
	for _, h := range holders {
		r := w.role(h, after)
		for _, d := range slices.Concat(r.policies.Identity, r.policies.Boundary) {
			used[d] = true
		}
	}
	for _, c := range changing {
		was, is := w.document(c.Before, "policy"), w.document(c.After, "policy")
		if is.parsed != nil && used[is.parsed] {
			continue
		}
		name := "policy " + c.Now().Name() + " (nobody of this stack has it)"
		i := Identity{Name: name, Role: c.Now().Name(), Op: preview.Same, Kind: Other, Elsewhere: true}
		if is.unclear != "" {
			signs = append(signs, sign(Warning, "unclear", "the "+name+" "+is.unclear, "the preview cannot show what it will allow", "make what it is computed from exist first", c))
			continue
		}
		old, now := role{there: true}, role{there: true}
		old.add(was, name)
		now.add(is, name)
		i.PermissionsGained, i.PermissionsLost = access.Compare(old.shown, now.shown)
		if len(i.PermissionsGained)+len(i.PermissionsLost) == 0 {
			continue
		}
		if len(i.PermissionsGained) > 0 {
			signs = append(signs, sign(Warning, "policy-wider", "the "+name+" allows more", "whoever else it is attached to gains that", "attach it in the stack, so that it is seen to whom", c))
		}
		signs = append(signs, w.pathSigns(&i, old, now)...)
		i.ReachBefore, i.ReachAfter = reach(old, nil), reach(now, nil)
		all = append(all, i)
	}
	return all, signs
}

// permissions compares what both sides allow. AWS's managed policies that come or go are shown by name; those that stay count:
// by their content, or as everything, so that a denial that goes is seen under them too.
func permissions(was, is role) (gained, lost []access.Grant) {
	a, b := was.shown, is.shown
	for _, d := range was.policies.Identity {
		if slices.Contains(is.policies.Identity, d) && !slices.Contains(was.shown.Identity, d) {
			a.Identity = append(slices.Clone(a.Identity), d)
			b.Identity = append(slices.Clone(b.Identity), d)
		}
	}
	gained, lost = access.Compare(a, b)
	if slices.ContainsFunc(was.unknown, func(arn string) bool { return slices.Contains(is.unknown, arn) }) {
		all := &policy.Document{Version: policy.Version2012, Statements: []policy.Statement{{Effect: "Allow", Actions: []string{"*"}, Resources: []string{"*"}}}}
		a.Identity, b.Identity = append(slices.Clone(a.Identity), all), append(slices.Clone(b.Identity), all)
		more, less := access.Compare(a, b)
		for _, g := range more {
			if !slices.Contains(gained, g) {
				gained = append(gained, g)
			}
		}
		for _, g := range less {
			if !slices.Contains(lost, g) {
				lost = append(lost, g)
			}
		}
	}
	return gained, lost
}

// filled makes a list that JSON shows as [] rather than null.
func filled[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

func kindRank(k Kind) int { return slices.Index([]Kind{Pod, Node, Other}, k) }

func changedParts(h *holder) bool {
	return h.change != nil && h.change.Op != preview.Same ||
		slices.ContainsFunc(h.parts, func(c *preview.Change) bool { return c.Op != preview.Same })
}

// equalDocuments tells whether both sides have the very same policies.
func equalDocuments(a, b role) bool {
	return a.there == b.there && a.trust.parsed == b.trust.parsed && slices.Equal(a.policies.Identity, b.policies.Identity) &&
		slices.Equal(a.policies.Boundary, b.policies.Boundary) && slices.Equal(a.policies.Session, b.policies.Session) &&
		slices.Equal(a.managed, b.managed) && a.bounded == b.bounded && a.boundary == b.boundary
}

// reach weighs what a thief of the identity has.
func reach(r role, trusted []access.Trustee) Reach {
	out := Reach{Managed: len(r.unknown), Trusted: len(trusted), Pods: r.reachable, Unclear: r.lost}
	actions, resources, wide := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, g := range access.Grants(r.policies) {
		switch {
		case strings.HasPrefix(g.Action, "everything but "), g.Action == "*":
			out.EveryAction = true
		case strings.ContainsAny(g.Action, "*?"):
			wide[g.Action] = true
		default:
			actions[g.Action] = true
		}
		if g.Action == "ecr:GetAuthorizationToken" {
			continue // it knows no resource, and says nothing of what may be pulled
		}
		if g.Resource == "*" || strings.HasPrefix(g.Resource, "everything but ") {
			out.EveryResource = true
		}
		resources[g.Resource] = true
	}
	for a := range wide {
		out.Wide = append(out.Wide, a)
	}
	slices.Sort(out.Wide)
	out.Actions, out.Resources = len(actions), len(resources)
	for _, t := range trusted {
		out.Open = out.Open || t.Open != access.None
	}
	return out
}

// describe names a role for a reader, and tells what it is for. A role is a pod's where its trust is in an issuer of the
// stack's clusters, or in Roles Anywhere: then the signing key, or the CA, can be it.
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
			case p == nil || s.Effect != "Allow":
			case slices.ContainsFunc(p.Federated, w.ownIssuer), slices.ContainsFunc(p.Service, func(s string) bool { return strings.HasPrefix(s, "rolesanywhere.") }):
				kind = Pod
			case kind == Other && slices.ContainsFunc(p.Service, func(s string) bool { return strings.HasPrefix(s, "ec2.") }):
				kind = Node
			}
		}
	}
	return name, kind
}

// ownIssuer tells whether a provider can be one of the stack's clusters: it is in the stack, or the stack has none of its own
// and it is nobody's whom one knows.
func (w *world) ownIssuer(provider string) bool {
	_, issuer, ok := strings.Cut(provider, "oidc-provider/")
	if !ok || access.Foreign(issuer) {
		return false
	}
	known := false
	for _, c := range w.byType[typeOIDCProvider] {
		for _, r := range []*preview.Resource{c.Before, c.After} {
			if url, ok := r.Text("url"); ok {
				known = true
				if host(url) == issuer {
					return true
				}
			}
		}
	}
	return !known
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

// machineRoles maps what an instance may name as its profile (URN, id, name or ARN) to the role's URN, on one side.
func (w *world) machineRoles(s side) map[string]string {
	if w.profilesOn[s] != nil {
		return w.profilesOn[s]
	}
	profiles := map[string]string{}
	w.profilesOn[s] = profiles
	for _, c := range w.byType[typeProfile] {
		p := s.of(c)
		if p == nil {
			continue
		}
		role := ""
		for _, o := range owners(p, "role", "role", w.names) {
			role = o
		}
		names := []string{p.URN, p.ID, w.arn(p)}
		if n, ok := p.Text("name"); ok {
			names = append(names, n)
		}
		for _, n := range names {
			if n != "" {
				profiles[n] = role
			}
		}
	}
	return profiles
}

// roleOf is the role (URN, or role/name) that a machine or launch template gets; empty where it is not known.
func roleOf(r *preview.Resource, profiles map[string]string) string {
	if r == nil {
		return ""
	}
	n, known := r.Text("iamInstanceProfile")
	if m, ok := r.Value("iamInstanceProfile").(map[string]any); ok {
		n, _ = m["name"].(string)
		if n == "" {
			n, _ = m["arn"].(string)
			n = n[strings.LastIndex(n, "/")+1:]
		}
		known = n != "" && n != preview.Unknown
	}
	if known { // what is written counts, before what the engine says it was made of
		return profiles[n]
	}
	for _, urn := range r.PropertyDependencies["iamInstanceProfile"] {
		if profiles[urn] != "" && preview.TypeOf(urn) == typeProfile {
			return profiles[urn]
		}
	}
	return ""
}

// rolesInReachOfPods finds the roles that pods get from their machine: those whose hop limit lets pods' requests through, and
// those of all machines of a launch template that does.
func (w *world) rolesInReachOfPods() [2]map[string]bool {
	roles := [2]map[string]bool{{}, {}}
	for _, s := range []side{before, after} {
		profiles := w.machineRoles(s)
		for _, t := range []string{typeInstance, typeLaunchTemplate} {
			for _, c := range w.byType[t] {
				if r := s.of(c); r != nil && hopLimit(r) >= 2 {
					if role := roleOf(r, profiles); role != "" {
						roles[s][role] = true
					}
				}
			}
		}
	}
	return roles
}

// hopLimit is that of the metadata service, 0 where it is off or nothing is said.
func hopLimit(r *preview.Resource) int {
	if metadataOff(r) {
		return 0
	}
	return number(r.Value("metadataOptions", "httpPutResponseHopLimit"))
}

// roleSigns are the dangers of one holder's change.
func (w *world) roleSigns(i *Identity, h *holder, was, is role) []Sign {
	var signs []Sign
	add := func(level Level, id, what, why, safe string) {
		signs = append(signs, Sign{ID: id, Level: level, What: what, Why: why, Safe: safe, Resources: []string{i.Role}})
	}
	w.trustSigns(i, was, is, add)
	c := h.change
	if was.there && is.there {
		boundarySigns(i, was, is, add)
	}
	if len(i.Unclear) > 0 && (c == nil || was.there || !w.initial) {
		add(Warning, "unclear", i.Name+": "+strings.Join(i.Unclear, ", "),
			"the preview cannot show what the "+h.kind+" will allow", "make what it is computed from exist first, in a change of its own")
	}
	const less = "grant the actions that are used, on the resources that they are used on"
	for _, arn := range i.ManagedGained {
		name := arn[strings.LastIndex(arn, "/")+1:]
		switch {
		case isMighty(arn):
			add(Danger, "permissions-escalate", i.Name+" gains the managed policy "+name, "it contains everything, or the way there", less)
		case slices.Contains(is.unknown, arn):
			add(Warning, "policy-unknown", i.Name+" gains the managed policy "+name,
				"its content is not known here: treat it as everything", "put what is needed of it into a policy of the stack")
		}
	}
	for _, arn := range i.ManagedLost {
		name := arn[strings.LastIndex(arn, "/")+1:]
		aws := strings.Contains(arn, ":iam::aws:policy/")
		if is.there && slices.Contains(was.unknown, arn) && (!aws || strings.Contains(name, "Deny") || strings.Contains(name, "Quarantine")) {
			add(Warning, "policy-unknown", i.Name+" loses the managed policy "+name, "its content is not known here: what it denied, if anything, is allowed from now on", "see that it denies nothing")
		}
	}
	if h.change == nil && len(i.PermissionsGained) > 0 {
		add(Warning, "foreign-holder", i.Name+" gains permissions", "the rest of what it may do, and who can be it, is not in this preview", less)
	}
	if h.kind != "role" && h.change != nil && (len(i.PermissionsGained) > 0) {
		add(Warning, "user-gains", "the "+h.kind+" "+i.Name+" gains permissions", "users have long-lived credentials", "give permissions to roles")
	}
	if c != nil {
		w.lifeSigns(i, h, was, is, add)
	}
	if i.SessionAfter > i.SessionBefore && was.there && i.SessionAfter > 4*3600 {
		add(Warning, "session-long", fmt.Sprintf("sessions of %s may last %s", i.Name, duration(i.SessionAfter)),
			"stolen credentials stay good that long", "keep sessions at an hour: SDKs renew them")
	}
	if was.policies.Session != nil && is.policies.Session == nil && is.there && h.kind == "role" {
		add(Warning, "session-policy-removed", "no session policy limits sessions of "+i.Name+" any more", "the role's own policies apply in full",
			"keep the profile's session policy, or see that the role's policies are as narrow")
	}
	signs = append(signs, w.pathSigns(i, was, is)...)
	if is.there && !was.reachable && is.reachable && was.there && w.byNewMachine(c) {
		add(Danger, "hop-limit-raised", "every pod on a new machine has the role "+i.Name,
			"pods reach the machine's role through the metadata service, whatever identity they have", "keep the hop limit at 1 and give pods identities of their own")
	}
	return signs
}

// mighty are AWS's managed policies that contain everything, or the way there (AWS Managed Policy Reference Guide).
var mighty = []string{"AdministratorAccess", "IAMFullAccess", "PowerUserAccess", "AdministratorAccess-Amplify", "AdministratorAccess-AWSElasticBeanstalk",
	"AmazonSSMFullAccess", "AWSOrganizationsFullAccess", "AWSCloudFormationFullAccess"}

func isMighty(arn string) bool {
	return strings.Contains(arn, ":iam::aws:policy/") && slices.Contains(mighty, arn[strings.LastIndex(arn, "/")+1:])
}

func (w *world) trustSigns(i *Identity, was, is role, add func(level Level, id, what, why, safe string)) {
	for _, t := range i.TrustGained {
		switch t.Open {
		case access.AnySubject:
			add(Danger, "trust-subject-wildcard", fmt.Sprintf("%s may be assumed by %s", i.Name, t.Named()),
				"whoever can make such a subject, for a cluster a ServiceAccount or a namespace, gets the role", "name namespace and ServiceAccount in `sub` with StringEquals; one role for each identity")
		case access.AnyAudience:
			add(Danger, "trust-audience-missing", fmt.Sprintf("%s may be assumed with %s", i.Name, t.Named()),
				"a token that a pod gave to another service can be replayed to AWS", "require `aud` = sts.amazonaws.com with StringEquals")
		case access.AnyCertificate:
			add(Danger, "trust-any-certificate", fmt.Sprintf("%s may be assumed with %s", i.Name, t.Named()),
				"other identities' certificates open this role", "require aws:PrincipalTag/x509Subject/CN with StringEquals")
		case access.AnyAnchor:
			add(Danger, "trust-any-anchor", fmt.Sprintf("%s may be assumed with %s", i.Name, t.Named()),
				"whoever may add a trust anchor to the account gets the role", "require aws:SourceArn = the trust anchor with ArnEquals")
		case access.Anybody:
			add(Danger, "trust-anybody", fmt.Sprintf("%s may be assumed by %s", i.Name, t.Named()),
				"strangers get the role", "name the one principal, and an external id for another account")
		default:
			switch {
			case t.Minor:
			case was.there:
				add(Warning, "trust-gained", fmt.Sprintf("%s may now also be assumed by %s", i.Name, t.Named()),
					"somebody else, or from somewhere else, gets all permissions of the role", "give a new identity a role of its own")
			case strings.HasPrefix(t.Who, "anybody"), t.Issuer != "" && !w.issuerInStack(t.Issuer):
				add(Warning, "trust-gained", fmt.Sprintf("the new role %s may be assumed by %s", i.Name, t.Named()),
					"who that is does not follow from this stack", "see that the issuer and the account are yours")
			case w.otherAccount(t.Who):
				add(Warning, "trust-gained", fmt.Sprintf("the new role %s may be assumed by %s", i.Name, t.Named()),
					"that is another account", "require an external id, and see that the account is yours")
			}
		}
	}
	if !is.there || was.trust.parsed == is.trust.parsed && !was.there {
		return
	}
	for _, t := range w.trusted(is.trust.parsed) {
		if t.Open != access.None && !slices.ContainsFunc(i.TrustGained, func(g access.Trustee) bool { return g.Who == t.Who && g.Issuer == t.Issuer }) {
			add(Warning, "trust-open-already", fmt.Sprintf("%s may be assumed by %s, as before", i.Name, t.Named()),
				"the trust is wider than one identity", "narrow it while you are here")
		}
	}
}

// trusted lists all whom a trust policy trusts.
func (w *world) trusted(d *policy.Document) []access.Trustee {
	if d == nil {
		return nil
	}
	list, known := w.trustees[d]
	if !known {
		_, _, list = access.CompareTrust(nil, d)
		w.trustees[d] = list
	}
	return list
}

func (w *world) issuerInStack(issuer string) bool {
	for _, c := range w.byType[typeOIDCProvider] {
		if url, ok := c.Now().Text("url"); ok && host(url) == issuer {
			return true
		}
	}
	return len(w.byType[typeOIDCProvider]) == 0 && !access.Foreign(issuer)
}

var twelveDigits = regexp.MustCompile(`\b[0-9]{12}\b`)

func (w *world) otherAccount(who string) bool {
	for _, a := range twelveDigits.FindAllString(who, -1) {
		if a != w.account {
			return true
		}
	}
	return false
}

func boundarySigns(i *Identity, was, is role, add func(level Level, id, what, why, safe string)) {
	const safe = "change the boundary's policy in place, reviewed like any other"
	switch {
	case was.bounded && !is.bounded:
		add(Danger, "boundary-removed", i.Name+" loses its permissions boundary", "nothing limits what its policies may grant from now on", safe)
	case was.bounded && was.boundary != is.boundary && isMighty(is.boundary):
		add(Danger, "boundary-removed", fmt.Sprintf("the permissions boundary of %s becomes %s", i.Name, is.boundary), "it limits nothing that matters", safe)
	case was.bounded && was.boundary != is.boundary:
		what := is.boundary
		if what == "" {
			what = "another one"
		}
		add(Warning, "boundary-changed", fmt.Sprintf("the permissions boundary of %s becomes %s", i.Name, what),
			"what one of the two allows is not known here: treat it as everything", safe)
	}
}

// lifeSigns: what is created, replaced and deleted.
func (w *world) lifeSigns(i *Identity, h *holder, was, is role, add func(level Level, id, what, why, safe string)) {
	c := h.change
	switch {
	case c.Op == preview.Delete:
		add(Warning, "identity-removed", i.Name+" is removed", "pods that still use it are refused within the length of a session",
			"take the pods away first")
	case c.Op == preview.Replace:
		what := i.Name + " is replaced by a new " + h.kind
		if was.arn != "" && is.arn != "" && was.arn != is.arn {
			what += ", and its ARN becomes " + is.arn
		}
		add(Warning, "identity-replaced", what, "sessions end, and policies that name the old one no longer match", "keep name and path, or make the new one beside the old one")
	case c.Op == preview.Create && h.kind == "user" && !w.initial:
		add(Warning, "user-created", "a new IAM user, "+i.Name, "users have long-lived credentials", "use a role")
	}
}

// byNewMachine tells whether a machine that is made now brings a role into the reach of pods.
func (w *world) byNewMachine(role *preview.Change) bool {
	profiles := w.machineRoles(after)
	for _, c := range w.byType[typeInstance] {
		if c.Before == nil && c.After != nil && hopLimit(c.After) >= 2 && role != nil && roleOf(c.After, profiles) == role.Now().URN {
			return true
		}
	}
	return false
}

func duration(seconds int) string {
	if seconds%3600 == 0 {
		return fmt.Sprintf("%d h", seconds/3600)
	}
	return fmt.Sprintf("%d min", seconds/60)
}
