package access

import (
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
)

// Trustee is somebody who may assume a role.
type Trustee struct {
	// Who is one line for a reader, such as "ServiceAccount default/uploader".
	Who string `json:"who"`
	// Issuer is the OIDC issuer (host and path) whose tokens these are; empty for other trustees.
	Issuer string `json:"issuer,omitempty"`
	// Open says what is missing or too wide in the trust; None where it names exactly one identity.
	Open Opening `json:"open,omitempty"`
	// Minor is set where nobody new can be the role: what changes is up to the caller anyway, such as the session's name.
	Minor bool `json:"minor,omitempty"`
}

// Named is who it is, with the issuer, which the conditions of Who then need not repeat.
func (t Trustee) Named() string {
	if t.Issuer == "" {
		return t.Who
	}
	who, conditions, some := strings.Cut(t.Who, ", if ")
	if !strings.Contains(who, t.Issuer) {
		who += " of " + t.Issuer
	}
	if some {
		who += ", if " + strings.ReplaceAll(conditions, t.Issuer+":", "")
	}
	return who
}

// Opening is a way in which a trust policy lets in more than it should.
type Opening string

// The openings.
const (
	None           Opening = ""
	AnySubject     Opening = "any-subject"     // any ServiceAccount, or any of a namespace
	AnyAudience    Opening = "any-audience"    // tokens made for anybody
	AnyCertificate Opening = "any-certificate" // any common name
	AnyAnchor      Opening = "any-anchor"      // any trust anchor of the account
	Anybody        Opening = "anybody"         // any AWS account, or the world
)

const (
	subjectPrefix = "system:serviceaccount:"
	cnKey         = "aws:PrincipalTag/x509Subject/CN"
	anchorKey     = "aws:SourceArn"
)

// certificateKeys are the attributes of a certificate that name one holder.
var certificateKeys = []string{cnKey, "aws:PrincipalTag/x509SAN/URI", "aws:PrincipalTag/x509SAN/DNS", "aws:PrincipalTag/x509SAN/Name/CN", "aws:PrincipalTag/x509Subject/UID"}

// freeKeys are chosen by whoever calls: a condition on them keeps nobody out.
var freeKeys = []string{"sts:RoleSessionName", "aws:UserAgent", "aws:Referer"}

// strangers has, for the condition keys that tell who calls and from where, the values of somebody unknown: what he has in an
// account of his own he names as he likes. Keys that are not here are of the caller's choosing, or tell nothing about who it
// is: aws:VpcSourceIp among them, since anybody may make a VPC with the same addresses. IAM User Guide, "AWS global condition
// context keys".
var strangers = map[string][]string{
	"aws:PrincipalOrgID": {"o-reviewstranger"}, "aws:PrincipalOrgPaths": {"o-reviewstranger/*"}, "aws:PrincipalAccount": {StrangerAccount},
	"aws:PrincipalArn": {"arn:*:*::" + StrangerAccount + ":*"}, "aws:SourceAccount": {StrangerAccount},
	"aws:SourceArn": {"arn:*:*:*:" + StrangerAccount + ":*", "arn:aws:s3:::" + stranger}, "aws:SourceOrgID": {"o-reviewstranger"},
	"aws:SourceOrgPaths": {"o-reviewstranger/*"}, "aws:SourceIp": {"198.51.100.77"},
	"aws:SourceVpc": {"vpc-0reviewstranger"}, "aws:SourceVpce": {"vpce-0reviewstranger"}, "sts:ExternalId": {stranger}, "aws:userid": {"AIDAREVIEWSTRANGER", "AROAREVIEWSTRANGER:*"},
	"aws:PrincipalIsAWSService": {"false"}, "aws:PrincipalServiceName": {stranger}, "kms:CallerAccount": {StrangerAccount}, "aws:SourceOwner": {StrangerAccount},
	"aws:VpceAccount": {StrangerAccount}, "aws:VpceOrgID": {"o-reviewstranger"}, "s3:DataAccessPointAccount": {StrangerAccount},
	"s3:DataAccessPointArn": {"arn:*:s3:*:" + StrangerAccount + ":accesspoint/*"}, "aws:FederatedProvider": {stranger, "arn:*:iam::" + StrangerAccount + ":*"},
}

// foreign are issuers that are not clusters'.
var foreign = []string{"token.actions.githubusercontent.com", "gitlab.com", "accounts.google.com", "cognito-identity.amazonaws.com",
	"app.terraform.io", "oidc.circleci.com", "www.amazon.com", "graph.facebook.com", "sts.windows.net", "api.pulumi.com"}

// question is a set of requests to assume a role, with the words for who makes them.
type question struct {
	Trustee
	s      *policy.Statement
	who    int // principal
	action string
	given  []literal
	aspect bool // says how, of somebody whom another question is about
}

// trust is the comparison of two trust policies.
type trust struct {
	*problem
	asked []question
}

var assume = []string{"sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:AssumeRoleWithSAML"}

func newTrust(before, after *policy.Document) (*trust, bool) {
	more := map[string][]string{}
	for k, v := range strangers {
		more[k] = v
	}
	principals := principalsOf(before, after)
	for _, p := range principals {
		if strings.HasPrefix(p.Value, "rolesanywhere.") {
			for _, k := range certificateKeys {
				more[k] = []string{stranger}
			}
		}
		if host, ok := issuerOf(p); ok {
			more[host+":sub"] = []string{subjectPrefix + stranger + ":" + stranger, stranger}
			more[host+":aud"] = []string{stranger}
		}
	}
	p, ok := newProblem(layers{{before}}, layers{{after}}, principals, assume, more)
	if !ok {
		return nil, false
	}
	t := &trust{problem: p}
	for _, d := range []*policy.Document{before, after} {
		if d == nil {
			continue
		}
		for i := range d.Statements {
			if s := &d.Statements[i]; s.Effect == "Allow" {
				t.ask(s)
			}
		}
	}
	return t, true
}

// issuerOf is the issuer of an OIDC provider.
func issuerOf(p Principal) (string, bool) {
	if p.Kind != "federated" || strings.Contains(p.Value, ":saml-provider/") {
		return "", false
	}
	if _, host, ok := strings.Cut(p.Value, "oidc-provider/"); ok {
		return host, true
	}
	return p.Value, true
}

// CompareTrust returns who may assume a role after and not before, and the reverse; now lists all who may after. A nil
// document trusts nobody. What is gained without being anybody whom the questions name is listed in the policy's words.
func CompareTrust(before, after *policy.Document) (gained, lost, now []Trustee) {
	t, ok := newTrust(before, after)
	if !ok {
		return []Trustee{{Who: "somebody: the trust policy is too intricate to compare", Open: Anybody}}, nil, nil
	}
	seen := map[string]bool{}
	told := map[*policy.Statement]bool{}
	var wider, narrower []question
	for _, q := range t.asked {
		if seen[q.Who+"\n"+q.Issuer] {
			continue
		}
		seen[q.Who+"\n"+q.Issuer] = true
		c := cell{t.actionGroup(q.action), 0, t.principalGroup(q.who)}
		was, is := t.allowed(t.before, c, q.given...), t.allowed(t.after, c, q.given...)
		if q.aspect && (!t.allowed(t.before, c) || !t.allowed(t.after, c)) {
			continue
		}
		switch {
		case is && !was:
			gained = append(gained, q.Trustee)
			for _, r := range t.beyond(t.after, t.before, c, q.given...) {
				told[r.s] = true
			}
		case was && !is:
			lost = append(lost, q.Trustee)
		case is && was && !q.aspect:
			if len(t.beyond(t.after, t.before, c, q.given...)) > 0 {
				wider = append(wider, q)
			} else if len(t.beyond(t.before, t.after, c, q.given...)) > 0 {
				narrower = append(narrower, q)
			}
		}
		if is && !q.aspect {
			now = append(now, q.Trustee)
		}
	}
	gained = append(gained, t.rest(before, after, told, wider)...)
	if len(lost) == 0 {
		lost = t.shutOut(before, after, narrower)
	}
	return ordered(gained), ordered(lost), ordered(now)
}

// shutOut is what is lost of those who stay: some of their requests.
func (t *trust) shutOut(before, after *policy.Document, narrower []question) []Trustee {
	var out, open []Trustee
	for _, q := range narrower {
		x := Trustee{Who: "some requests of " + q.Who + conditionsNow(before, after, t.principals[q.who]), Issuer: q.Issuer}
		if q.Open == None {
			out = append(out, x)
		} else if len(open) == 0 {
			open = append(open, x)
		}
	}
	if len(out) == 0 {
		out = open
	}
	for who := 0; len(out) == 0 && who < len(t.groups[2]); who++ {
		p := t.principals[t.groups[2][who].first]
		for a := range t.groups[0] {
			if len(t.beyond(t.before, t.after, cell{a, 0, who}, t.always(p)...)) > 0 {
				out = append(out, Trustee{Who: "some requests of " + p.String() + conditionsNow(before, after, p)})
				break
			}
		}
	}
	return out
}

// always is what every request of a principal has.
func (t *trust) always(p Principal) []literal {
	if issuer, ok := issuerOf(p); ok {
		return []literal{t.present(issuer + ":sub"), t.present(issuer + ":aud")}
	}
	if strings.HasPrefix(p.Value, "rolesanywhere.") {
		return []literal{t.present(anchorKey)}
	}
	return nil
}

// rest is what is gained beyond those whom the questions name.
func (t *trust) rest(before, after *policy.Document, told map[*policy.Statement]bool, wider []question) []Trustee {
	var out []Trustee
	for _, q := range wider {
		c := cell{t.actionGroup(q.action), 0, t.principalGroup(q.who)}
		for _, r := range t.beyond(t.after, t.before, c, q.given...) {
			if told[r.s] {
				continue
			}
			told[r.s] = true
			x := Trustee{Who: q.Who + ", under other conditions than before" + suffix(r.s), Issuer: q.Issuer}
			x.Minor = freeOnly(before, after)
			out = append(out, x)
		}
	}
	for who := range t.groups[2] {
		for a := range t.groups[0] {
			p := t.principals[t.groups[2][who].first]
			issuer, _ := issuerOf(p)
			for _, r := range t.beyond(t.after, t.before, cell{a, 0, who}, t.always(p)...) {
				if told[r.s] {
					continue
				}
				told[r.s] = true
				name := p.String()
				if everyone(r.s) {
					name = "anybody in any AWS account"
				}
				out = append(out, Trustee{Who: name + " (" + strings.Join(cmpOr(r.s.Actions, exceptions(r.s.NotActions)), ", ") + ")" + suffix(r.s), Issuer: issuer, Minor: freeOnly(before, after)})
			}
		}
	}
	return out
}

func suffix(s *policy.Statement) string {
	if text := Conditions(s.Conditions); text != "" {
		return ", if " + text
	}
	return ""
}

// conditionsNow tells what newly narrows a principal's way in: the conditions of Allow and Deny statements that were not there.
func conditionsNow(before, after *policy.Document, who Principal) string {
	if after == nil {
		return ""
	}
	words := func(s *policy.Statement) string { return s.Effect + Conditions(s.Conditions) }
	var list []string
	for i := range after.Statements {
		s := &after.Statements[i]
		text := Conditions(s.Conditions)
		if !who.matches(s) || text == "" || before != nil && slices.ContainsFunc(before.Statements, func(o policy.Statement) bool { return words(&o) == words(s) }) {
			continue
		}
		if s.Effect == "Deny" {
			list = append(list, "refused if "+text)
		} else {
			list = append(list, "let in only if "+text)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return ": " + strings.Join(list, "; ")
}

// freeOnly tells whether whoever may be the role after a change could before, with one choice of what a caller chooses freely.
func freeOnly(before, after *policy.Document) bool {
	if before == nil || after == nil {
		return false
	}
	free := func(c policy.Condition) bool {
		return slices.ContainsFunc(freeKeys, func(k string) bool { return strings.EqualFold(k, c.Key) })
	}
	widest := &policy.Document{Version: after.Version} // as if a caller could choose what suits each statement
	for _, s := range after.Statements {
		if s.Effect == "Deny" && slices.ContainsFunc(s.Conditions, free) {
			continue
		}
		s.Conditions = slices.DeleteFunc(slices.Clone(s.Conditions), free)
		widest.Statements = append(widest.Statements, s)
	}
	const anyName = "??*" // a session's name has two characters or more
	more := map[string][]string{}
	for _, k := range freeKeys {
		more[k] = []string{anyName}
	}
	p, ok := newProblem(layers{{before}}, layers{{widest}}, principalsOf(before, after), nil, more)
	if !ok {
		return false
	}
	choices := [][]literal{nil}
	for _, k := range freeKeys {
		d := p.domain(k)
		if d.kind != "text" || d.failed {
			continue
		}
		var longer [][]literal
		for class := range d.n {
			one := literal{key: d.name, set: newBits(d.n), all: true}
			if one.set.set(class); one.set.within(p.matching(k, askedGlob(anyName)).set) {
				for _, c := range choices {
					longer = append(longer, append(slices.Clone(c), one))
				}
			}
		}
		choices = longer
	}
	return slices.ContainsFunc(choices, func(choice []literal) bool {
		for who := range p.groups[2] {
			for action := range p.groups[0] {
				if len(p.beyond(p.after, p.before, cell{action, 0, who}, choice...)) > 0 {
					return false
				}
			}
		}
		return true
	})
}

func ordered(list []Trustee) []Trustee {
	slices.SortStableFunc(list, func(a, b Trustee) int { return strings.Compare(a.Who+"\n"+a.Issuer, b.Who+"\n"+b.Issuer) })
	return list
}

func (p *problem) principalGroup(who int) int {
	for i, g := range p.groups[2] {
		same := true
		for _, r := range p.rules {
			if r.principal.has(who) != g.rules.has(r.number) {
				same = false
				break
			}
		}
		if same {
			return i
		}
	}
	return 0
}

func everyone(s *policy.Statement) bool {
	return s.NotPrincipal != nil || s.Principal != nil && (s.Principal.Any || slices.Contains(s.Principal.AWS, "*"))
}

// ask makes the questions that a statement suggests: about everybody whom it names, and about strangers.
func (t *trust) ask(s *policy.Statement) {
	find := func(match func(Principal) bool) int { return slices.IndexFunc(t.principals, match) }
	add := func(q question) {
		q.s = s
		t.asked = append(t.asked, q)
	}
	if everyone(s) {
		who := find(func(p Principal) bool { return p.Stranger && p.Kind == "aws" && p.Account == StrangerAccount })
		// Somebody who has nothing to do with the account or its networks, whatever else the request says.
		add(question{Trustee: Trustee{Who: "anybody in any AWS account", Open: Anybody}, who: who, action: assume[0], given: t.stranger()})
		if text := Conditions(s.Conditions); text != "" {
			add(question{Trustee: Trustee{Who: "anybody in any AWS account, if " + text}, who: who, action: assume[0]})
		} else {
			add(question{Trustee: Trustee{Who: "anybody in any AWS account, unless a Deny applies"}, who: who, action: assume[0]})
		}
		return
	}
	if s.Principal == nil {
		return
	}
	for _, v := range s.Principal.Federated {
		who := find(func(p Principal) bool {
			return p.Kind == "federated" && (p.Value == v || p.named(s.Principal)) && !p.Stranger
		})
		if host, ok := issuerOf(t.principals[who]); ok {
			t.askIssuer(s, who, host, add)
		} else {
			add(question{Trustee: Trustee{Who: "users of " + v + suffix(s)}, who: who, action: assume[2]})
		}
	}
	for _, v := range s.Principal.Service {
		who := find(func(p Principal) bool { return p.Kind == "service" && !p.Stranger && strings.EqualFold(p.Value, v) })
		if who < 0 {
			continue
		}
		switch name, _, _ := strings.Cut(v, "."); name {
		case "rolesanywhere":
			t.askCertificates(s, who, add)
		case "ec2":
			add(question{Trustee: Trustee{Who: "EC2 machines with its instance profile" + suffix(s)}, who: who, action: assume[0]})
		default:
			add(question{Trustee: Trustee{Who: "AWS service " + v + suffix(s)}, who: who, action: assume[0]})
		}
	}
	for _, v := range s.Principal.AWS {
		p := principalOf(v)
		who := find(func(q Principal) bool { return q.Kind == "aws" && q.Value == p.Value })
		name := "AWS principal " + v
		if accountOf(v) != "" {
			name = p.String()
		}
		add(question{Trustee: Trustee{Who: name + suffix(s)}, who: who, action: assume[0]})
	}
	for _, v := range s.Principal.CanonicalUser {
		who := find(func(q Principal) bool { return q.Kind == "canonical" && q.Value == v })
		add(question{Trustee: Trustee{Who: "canonical user " + v}, who: who, action: assume[0]})
	}
}

// stranger restricts a context to that of somebody who has nothing to do with the account.
func (t *theory) stranger() []literal {
	var out []literal
	for k, patterns := range strangers {
		d := t.keys[strings.ToLower(k)]
		if d == nil {
			continue
		}
		l := literal{key: d.name, set: newBits(d.n), all: true, absent: true}
		switch {
		case d.kind == "text" && !d.failed:
			for _, v := range patterns {
				l.set = l.set.or(t.matching(k, askedGlob(v)).set)
			}
		case d.kind == "address":
			for i, a := range d.samples {
				if anybodys(a, d.networks) {
					l.set.set(i)
				}
			}
		default: // compared as what it is not
			l.set = fullBits(d.n)
		}
		out = append(out, l)
	}
	return out
}

// present says that a request has a key.
func (t *theory) present(key string) literal {
	d := t.domain(key)
	return literal{key: d.name, set: fullBits(d.n), all: true}
}

// inexact restricts a key to values that no condition names as such.
func (t *theory) inexact(key string) literal {
	d := t.domain(key)
	return literal{key: d.name, set: t.exact(key).not(d.n), all: true}
}

func (t *trust) askIssuer(s *policy.Statement, who int, host string, add func(question)) {
	sub, aud := host+":sub", host+":aud"
	// A token always has both claims, whether or not the policy asks for them.
	claims := []literal{t.present(sub), t.present(aud)}
	one := func(name string, open Opening, aspect bool, given ...literal) {
		add(question{Trustee: Trustee{Who: name, Issuer: host, Open: open}, who: who, action: assume[1], given: append(slices.Clone(claims), given...), aspect: aspect})
	}
	for _, v := range patterns(s, sub) {
		account, isAccount := strings.CutPrefix(v.text, subjectPrefix)
		namespace, name, _ := strings.Cut(account, ":")
		given := t.matching(sub, v.glob)
		if !v.glob.exact() {
			given.set = given.set.and(t.exact(sub).not(t.domain(sub).n))
			switch {
			case v.glob.matches(subjectPrefix + stranger + ":" + stranger): // asked below
			case isAccount && !wild(namespace) && name == "*":
				one("any ServiceAccount of namespace "+namespace, AnySubject, false, given)
			case isAccount && !wild(name) && name != "" && namespace == "*":
				one("ServiceAccount "+name+" of any namespace", AnySubject, false, given)
			default:
				one("subjects "+v.text, AnySubject, false, given)
			}
			continue
		}
		if isAccount {
			one("ServiceAccount "+namespace+"/"+name, None, false, given)
		} else {
			one("subject "+v.text, None, false, given)
		}
	}
	all := "any ServiceAccount"
	if Foreign(host) {
		all = "any subject"
	}
	one(all, AnySubject, false, t.class(sub, subjectPrefix+stranger+":"+stranger))
	one("tokens made for any audience", AnyAudience, false, t.inexact(aud))
	for _, v := range patterns(s, aud) {
		if v.glob.exact() {
			one("tokens for the audience "+v.text, None, true, t.matching(aud, v.glob))
		}
	}
}

// askCertificates asks for Roles Anywhere: for certificates, known and strange.
func (t *trust) askCertificates(s *policy.Statement, who int, add func(question)) {
	one := func(name string, open Opening, aspect bool, given ...literal) {
		add(question{Trustee: Trustee{Who: name, Open: open}, who: who, action: assume[0], given: append([]literal{t.present(anchorKey)}, given...), aspect: aspect})
	}
	var unnamed []literal
	for _, k := range certificateKeys {
		l := t.inexact(k)
		l.absent = true
		unnamed = append(unnamed, l)
	}
	for _, k := range certificateKeys {
		_, attribute, _ := strings.Cut(k, "/")
		attribute = strings.TrimPrefix(attribute, "x509Subject/")
		for _, v := range patterns(s, k) {
			if v.glob.exact() {
				one("certificate "+attribute+"="+v.text, None, false, t.matching(k, v.glob))
			} else if !v.glob.matches(stranger) {
				given := t.matching(k, v.glob)
				given.set = given.set.and(t.exact(k).not(t.domain(k).n))
				one("certificates "+attribute+"="+v.text, AnyCertificate, false, given)
			}
		}
	}
	strange := t.class(cnKey, stranger)
	strange.absent = true
	one("certificates of any common name", AnyCertificate, false, append(slices.Clone(unnamed), strange)...)
	one("certificates of any trust anchor of the account", AnyAnchor, false, t.inexact(anchorKey))
	for _, v := range patterns(s, anchorKey) {
		if v.glob.exact() {
			one("certificates of the trust anchor "+v.text, None, true, t.matching(anchorKey, v.glob))
		}
	}
}

// pattern is a value that a statement compares a key with.
type namedPattern struct {
	text string
	glob glob
}

// patterns are the values that a statement's conditions compare a key with.
func patterns(s *policy.Statement, key string) []namedPattern {
	var list []namedPattern
	for _, c := range s.Conditions {
		o, err := policy.ParseOperator(c.Operator)
		if err != nil || o.Negated || !strings.EqualFold(c.Key, key) {
			continue
		}
		for _, v := range c.Values {
			if g := textGlob(o.Base, v, policy.Version2012); g != nil && kinds[o.Base] == "text" {
				list = append(list, namedPattern{v, g})
			}
		}
	}
	return list
}

func wild(s string) bool { return strings.ContainsAny(s, "*?") }

// Foreign tells whether an issuer is known to be no cluster's, such as a forge's.
func Foreign(issuer string) bool {
	return slices.Contains(foreign, strings.SplitN(issuer, "/", 2)[0])
}
