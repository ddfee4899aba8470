package account

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/internal/policy"
)

// judge judges one snapshot.
type judge struct {
	s      *Snapshot
	stack  *Stack
	known  []string
	report *Report

	parsed    map[string]*policy.Document
	documents map[string]string // managed policies by ARN
	told      map[string]bool
	actors    []*actor
	roles     map[string]*actor // by ARN
	reached   map[string]int    // role → index in report.Reach
}

// Analyze judges a snapshot by what the stack made. known are patterns of ARNs of principals and roles that are accepted: an
// operator's, a deployer's, those of other stacks. It asks nobody, and changes neither of the two.
func Analyze(s *Snapshot, stack *Stack, known ...string) *Report {
	j := &judge{s: s, stack: stack, known: known, parsed: map[string]*policy.Document{}, documents: map[string]string{}, told: map[string]bool{},
		roles: map[string]*actor{}, reached: map[string]int{},
		report: &Report{Account: s.Account, Stack: stack.Name, Roles: len(s.Roles), Users: len(s.Users), Reach: []Reach{}, Findings: []Finding{}, Missing: slices.Clone(s.Missing)}}
	if stack.Account != "" && stack.Account != s.Account {
		j.report.Missing = append(j.report.Missing, fmt.Sprintf("the stack is in account %s, the snapshot of account %s: nothing is judged", stack.Account, s.Account))
		return j.report
	}
	for _, list := range [][]Managed{stack.Policies, s.Policies} {
		for _, p := range list {
			j.documents[p.ARN] = p.Document
		}
	}
	j.people()
	j.trusts()
	j.chains()
	if !stack.Foreign {
		j.byHand()
		j.machines()
	}
	j.identityProviders()
	j.authorities()
	j.bucketPolicies()
	j.paths()
	j.permissions()
	j.finish()
	return j.report
}

func (j *judge) finish() {
	r := j.report
	level := []string{Error, Warning, Note}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(slices.Index(level, a.Level)-slices.Index(level, b.Level), strings.Compare(a.ID, b.ID), strings.Compare(a.Subject, b.Subject), strings.Compare(a.Object, b.Object))
	})
	r.Findings = slices.CompactFunc(r.Findings, func(a, b Finding) bool { return a.ID == b.ID && a.Subject == b.Subject && a.Object == b.Object })
	slices.SortStableFunc(r.Reach, func(a, b Reach) int {
		in := func(x Reach) int {
			if x.InStack || x.Known {
				return 1
			}
			return 0
		}
		return cmp.Or(in(a)-in(b), strings.Compare(a.Role, b.Role))
	})
}

func (j *judge) find(f Finding) { j.report.Findings = append(j.report.Findings, f) }

// accepted tells whether whoever asked knows of a principal.
func (j *judge) accepted(arn string) bool {
	return slices.ContainsFunc(j.known, func(pattern string) bool { return access.ResourceMatches(pattern, arn) })
}

// people makes an actor of every user and role.
func (j *judge) people() {
	groups := map[string]*Entity{}
	for i := range j.s.Groups {
		groups[j.s.Groups[i].Name] = &j.s.Groups[i]
	}
	for i := range j.s.Users {
		u := &j.s.Users[i]
		var of []*Entity
		for _, name := range u.Groups {
			if g := groups[name]; g != nil {
				of = append(of, g)
			}
		}
		j.actors = append(j.actors, j.newActor("user", &u.Entity, nil, of))
	}
	for i := range j.s.Roles {
		r := &j.s.Roles[i]
		a := j.newActor("role", &r.Entity, r, nil)
		j.actors = append(j.actors, a)
		j.roles[r.ARN] = a
	}
	for _, a := range j.actors {
		if a.admin {
			j.report.Administrators = append(j.report.Administrators, a.entity.ARN)
		}
		if j.accepted(a.entity.ARN) {
			j.report.Known = append(j.report.Known, a.entity.ARN)
		}
	}
}

// byHand looks for what roles of the stack have that the stack did not give them.
func (j *judge) byHand() {
	for _, want := range j.stack.Roles {
		a := j.roles[want.ARN]
		if a == nil {
			continue // it is not there: a refresh shows that
		}
		have := a.entity
		added := func(kind, name, object string, rest access.Policies, fix string) {
			f := Finding{ID: "policy-by-hand", Level: Error, Subject: want.ARN, Object: object, Fix: fix, Expected: "only policies of the stack",
				Seen: fmt.Sprintf("role %s has the %s policy %s, which is not the stack's", want.Name, kind, name)}
			gained, lost := access.Compare(rest, a.policies)
			switch {
			case len(gained) > 0:
				f.Seen += ": it adds " + grants(gained)
			case len(lost) > 0:
				f.Level, f.Seen = Warning, f.Seen+": it takes away "+grants(lost)
			default:
				f.Level, f.Seen = Note, f.Seen+": it changes nothing, since the role has it already, or a boundary or denial cuts it off"
			}
			j.find(f)
		}
		trimmed := *have // what is left without what was added
		for _, i := range have.Inline {
			if !slices.ContainsFunc(want.Inline, func(w Inline) bool { return w.Name == i.Name }) {
				without := *have
				without.Inline = slices.DeleteFunc(slices.Clone(have.Inline), func(o Inline) bool { return o.Name == i.Name })
				trimmed.Inline = slices.DeleteFunc(slices.Clone(trimmed.Inline), func(o Inline) bool { return o.Name == i.Name })
				added("inline", i.Name, i.Name, assume(&a.known, j.policiesOf(&without)), fmt.Sprintf("aws iam delete-role-policy --role-name %s --policy-name %s", want.Name, i.Name))
			}
		}
		for _, arn := range have.Attached {
			if !slices.Contains(want.Attached, arn) {
				without := *have
				without.Attached = slices.DeleteFunc(slices.Clone(have.Attached), func(o string) bool { return o == arn })
				trimmed.Attached = slices.DeleteFunc(slices.Clone(trimmed.Attached), func(o string) bool { return o == arn })
				added("managed", arn, arn, assume(&a.known, j.policiesOf(&without)), fmt.Sprintf("aws iam detach-role-policy --role-name %s --policy-arn %s", want.Name, arn))
			}
		}
		if have.Boundary != want.Boundary {
			f := Finding{ID: "boundary-changed", Level: Error, Subject: want.ARN, Object: have.Boundary, Expected: "the boundary " + orNone(want.Boundary), Fix: "pulumi up --refresh",
				Seen: fmt.Sprintf("role %s has the permissions boundary %s", want.Name, orNone(have.Boundary))}
			if want.Boundary == "" {
				f.Level = Note // it can only narrow
			}
			j.find(f)
			trimmed.Boundary = want.Boundary
		}
		made := j.stackPolicies(a)
		if gained, _ := access.Compare(made, assume(&a.known, j.policiesOf(&trimmed))); len(gained) > 0 {
			j.find(Finding{ID: "policy-changed", Level: Error, Subject: want.ARN, Expected: "what the stack says", Fix: "pulumi up --refresh",
				Seen: fmt.Sprintf("policies that the stack made for role %s allow more than it says: %s", want.Name, grants(gained))})
		}
	}
}

// stackPolicies are what the stack gave a role, with its own managed policies as it made them.
func (j *judge) stackPolicies(a *actor) access.Policies {
	live := map[string]string{}
	for _, p := range j.stack.Policies {
		live[p.ARN] = j.documents[p.ARN]
		j.documents[p.ARN] = p.Document
	}
	defer func() {
		for arn, text := range live {
			j.documents[arn] = text
		}
	}()
	return assume(&a.known, j.policiesOf(&a.stack.Entity))
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// grants are the first of a list for a reader.
func grants(list []access.Grant) string {
	const most = 3
	var parts []string
	for _, g := range list[:min(most, len(list))] {
		parts = append(parts, grant(g))
	}
	text := strings.Join(parts, "; ")
	if more := len(list) - most; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

func grant(g access.Grant) string {
	text := g.Action + " on " + g.Resource
	if g.Condition != "" {
		text += ", if " + g.Condition
	}
	return text
}

// machines looks for roles of the stack in the hands of machines that the stack did not make, and the reverse.
func (j *judge) machines() {
	for _, r := range j.s.Roles {
		ours := j.stack.role(r.ARN) != nil
		for _, name := range r.Machines {
			made := slices.Contains(j.stack.Machines, name)
			if ours == made {
				continue
			}
			f := Finding{ID: "instance-profile", Level: Error, Subject: r.ARN, Object: name,
				Fix: fmt.Sprintf("aws iam remove-role-from-instance-profile --instance-profile-name %s --role-name %s", name, r.Name)}
			if ours {
				f.Seen = fmt.Sprintf("instance profile %s, which is not the stack's, has role %s of the stack: a machine with it is that role", name, r.Name)
				f.Expected = "no instance profile but the stack's"
			} else {
				f.Seen = fmt.Sprintf("instance profile %s of the stack has role %s, which is not the stack's: its machines are that role", name, r.Name)
				f.Expected = "the role that the stack gave it"
			}
			j.find(f)
		}
	}
}

// identityProviders looks at the OIDC providers.
func (j *judge) identityProviders() {
	hosts := map[string]bool{}
	for _, want := range j.stack.Issuers {
		host, _, _ := strings.Cut(want.URL, "/")
		hosts[host] = true
		for _, have := range j.s.Providers {
			if have.ARN != want.ARN || j.stack.Foreign {
				continue
			}
			for _, c := range have.Clients {
				if !slices.Contains(want.Clients, c) {
					j.find(Finding{ID: "provider-audience", Level: Error, Subject: have.ARN, Object: c, Expected: "the audiences " + strings.Join(want.Clients, ", "),
						Seen: fmt.Sprintf("the cluster's OIDC provider takes tokens for the audience %q too: tokens made for somebody else are good for roles that do not ask for the audience", c),
						Fix:  fmt.Sprintf("aws iam remove-client-id-from-open-id-connect-provider --open-id-connect-provider-arn %s --client-id %s", have.ARN, c)})
				}
			}
		}
	}
	for _, t := range j.stack.Targets {
		if t.Kind == "issuer-bucket" {
			name := t.ARN[strings.LastIndex(t.ARN, ":")+1:]
			for _, p := range j.s.Providers {
				host, path, _ := strings.Cut(p.URL, "/")
				if strings.HasPrefix(host, name+".s3.") || strings.HasPrefix(host, "s3.") && strings.HasPrefix(path+"/", name+"/") {
					hosts[host] = true
				}
			}
		}
	}
	for _, p := range j.s.Providers {
		host, _, _ := strings.Cut(p.URL, "/")
		if hosts[host] && !slices.ContainsFunc(j.stack.Issuers, func(w Provider) bool { return w.ARN == p.ARN }) && !j.stack.Foreign && !j.accepted(p.ARN) {
			j.find(Finding{ID: "provider-beside", Level: Error, Subject: p.ARN, Expected: "one OIDC provider for the issuer's host", Fix: "aws iam delete-open-id-connect-provider --open-id-connect-provider-arn " + p.ARN,
				Seen: "an OIDC provider that is not the stack's trusts documents on the issuer's host: " + p.URL})
		}
	}
}

// authorities looks at the trust anchors and profiles of Roles Anywhere.
func (j *judge) authorities() {
	if j.stack.Foreign {
		return
	}
	keys := map[string]bool{}
	for _, want := range j.stack.Anchors {
		for _, k := range want.Keys {
			keys[k] = true
		}
		for _, have := range j.s.Anchors {
			if have.ARN != want.ARN {
				continue
			}
			if extra := slices.DeleteFunc(slices.Clone(have.Keys), func(k string) bool { return slices.Contains(want.Keys, k) }); len(extra) > 0 || have.PCA != want.PCA {
				j.find(Finding{ID: "anchor-changed", Level: Error, Subject: have.ARN, Expected: "the CA of the stack", Fix: "pulumi up --refresh",
					Seen: fmt.Sprintf("trust anchor %s takes certificates of another CA: whoever has its key is every identity of the cluster", have.Name)})
			}
		}
	}
	for _, have := range j.s.Anchors {
		if !j.anchorOfStack(have.ARN) && slices.ContainsFunc(have.Keys, func(k string) bool { return keys[k] }) && !j.accepted(have.ARN) {
			j.find(Finding{ID: "anchor-beside", Level: Error, Subject: have.ARN, Expected: "one trust anchor for the cluster's CA", Fix: "aws rolesanywhere delete-trust-anchor --trust-anchor-id " + have.ARN[strings.LastIndex(have.ARN, "/")+1:],
				Seen: fmt.Sprintf("trust anchor %s, which is not the stack's, takes certificates of the cluster's CA too: they open roles that name it, and revocations of the stack's anchor do not count there", have.Name)})
		}
	}
	for _, have := range j.s.Profiles {
		id := have.ARN[strings.LastIndex(have.ARN, "/")+1:]
		i := slices.IndexFunc(j.stack.Profiles, func(w Profile) bool { return w.ARN == have.ARN })
		if i < 0 {
			for _, role := range have.Roles {
				if r := j.stack.role(role); r != nil && have.Enabled && !j.accepted(have.ARN) {
					j.find(Finding{ID: "profile-beside", Level: Error, Subject: have.ARN, Object: role, Expected: "profiles of the stack alone", Fix: "aws rolesanywhere delete-profile --profile-id " + id,
						Seen: fmt.Sprintf("profile %s, which is not the stack's, opens role %s of the stack, without what limits sessions of the stack's own profile", have.Name, r.Name)})
				}
			}
			continue
		}
		want := j.stack.Profiles[i]
		for _, role := range have.Roles {
			if !slices.Contains(want.Roles, role) {
				j.find(Finding{ID: "profile-changed", Level: Error, Subject: have.ARN, Object: role, Expected: "the roles of the stack", Fix: "pulumi up --refresh",
					Seen: fmt.Sprintf("profile %s of the stack opens role %s, which the stack did not put there", have.Name, role)})
			}
		}
		if !same(have.Policy, want.Policy) || !sameSet(have.Policies, want.Policies) {
			j.find(Finding{ID: "profile-changed", Level: Error, Subject: have.ARN, Object: "session policies", Expected: "the session policies of the stack", Fix: "pulumi up --refresh",
				Seen: fmt.Sprintf("the policies that limit sessions of profile %s are not those of the stack", have.Name)})
		}
	}
}

func (j *judge) anchorOfStack(arn string) bool {
	return slices.ContainsFunc(j.stack.Anchors, func(a Anchor) bool { return a.ARN == arn })
}

// same compares two policies, spaces aside.
func same(a, b string) bool {
	return strings.Join(strings.Fields(a), "") == strings.Join(strings.Fields(b), "")
}

func sameSet(a, b []string) bool {
	x, y := slices.Clone(a), slices.Clone(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// bucketPolicies looks at who may do what by the policies of the issuer's and the state's buckets.
func (j *judge) bucketPolicies() {
	if j.stack.Foreign {
		return // what such a bucket should have is not known
	}
	for _, have := range j.s.Buckets {
		var was *policy.Document
		for _, want := range j.stack.Buckets {
			if want.Name == have.Name && want.Policy != "" {
				was = j.parse(want.Policy, "the policy of bucket "+want.Name)
			}
		}
		if have.Policy == "" {
			continue
		}
		gained, _ := access.CompareResource(was, j.parse(have.Policy, "the policy of bucket "+have.Name))
		for _, g := range gained {
			f := Finding{ID: "bucket-policy", Level: Error, Subject: "arn:" + j.s.Partition + ":s3:::" + have.Name, Object: g.Who + " " + grant(g.Grant), Fix: "pulumi up --refresh",
				Expected: "the policy that the stack gave it", Seen: fmt.Sprintf("the policy of bucket %s lets %s do %s", have.Name, orEverybody(g.Who), grant(g.Grant))}
			if was == nil && j.mine(g.Who) {
				continue // a bucket that the stack did not make: its owner's account
			}
			j.find(f)
		}
	}
}

func orEverybody(who string) string {
	if who == "" {
		return "everybody"
	}
	return who
}

// mine tells whether somebody whom a policy names is of this account.
func (j *judge) mine(who string) bool {
	return strings.Contains(who, ":"+j.s.Account+":") || strings.Contains(who, "account "+j.s.Account+" ")
}
