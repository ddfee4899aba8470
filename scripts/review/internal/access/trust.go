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

// question is a request to assume a role, with the words for who asks.
type question struct {
	Trustee
	request policy.Request
}

// CompareTrust returns who may assume a role after and not before, and the reverse, by evaluating both trust policies;
// now lists all who may after. A nil document trusts nobody.
func CompareTrust(before, after *policy.Document) (gained, lost, now []Trustee) {
	seen := map[string]bool{}
	for _, q := range append(trustQuestions(before), trustQuestions(after)...) {
		if seen[q.Who+"\n"+q.Issuer] {
			continue
		}
		seen[q.Who+"\n"+q.Issuer] = true
		was := policy.Evaluate(q.request, before).Decision == policy.Allow
		is := policy.Evaluate(q.request, after).Decision == policy.Allow
		switch {
		case is && !was:
			gained = append(gained, q.Trustee)
		case was && !is:
			lost = append(lost, q.Trustee)
		}
		if is {
			now = append(now, q.Trustee)
		}
	}
	return ordered(gained), ordered(lost), ordered(now)
}

func ordered(list []Trustee) []Trustee {
	slices.SortStableFunc(list, func(a, b Trustee) int { return strings.Compare(a.Who+"\n"+a.Issuer, b.Who+"\n"+b.Issuer) })
	return list
}

// trustQuestions asks for everybody whom a trust policy names, and for strangers.
func trustQuestions(d *policy.Document) []question {
	if d == nil {
		return nil
	}
	var list []question
	for i := range d.Statements {
		s := &d.Statements[i]
		if s.Effect != "Allow" {
			continue
		}
		switch {
		case s.NotPrincipal != nil || s.Principal != nil && (s.Principal.Any || slices.Contains(s.Principal.AWS, "*")):
			list = append(list, anybody(s))
		case s.Principal != nil:
			for _, provider := range s.Principal.Federated {
				list = append(list, federated(s, provider)...)
			}
			for _, service := range s.Principal.Service {
				list = append(list, serviceQuestions(s, service)...)
			}
			for _, account := range s.Principal.AWS {
				list = append(list, awsPrincipal(s, account))
			}
		}
	}
	return list
}

func anybody(s *policy.Statement) question {
	q := question{Trustee: Trustee{Who: "anybody in any AWS account", Open: Anybody}, request: policy.Request{
		Action: "sts:AssumeRole", Resource: "*", Context: satisfy(s.Conditions),
		Principal: &policy.Principal{ARN: "arn:aws:iam::999999999999:user/" + stranger, Account: "999999999999"},
	}}
	if text := Conditions(s.Conditions); text != "" {
		q.Who += ", if " + text
	}
	return q
}

func awsPrincipal(s *policy.Statement, name string) question {
	arn := name
	account := name
	if parts := strings.SplitN(name, ":", 6); len(parts) == 6 {
		account = parts[4]
	} else {
		arn = "arn:aws:iam::" + name + ":root"
	}
	who := "AWS principal " + name
	if strings.HasSuffix(arn, ":root") {
		who = "everybody whom AWS account " + account + " permits"
	}
	principal := &policy.Principal{ARN: arn, Account: account}
	if strings.Contains(arn, ":role/") {
		principal.RoleARN = arn
	}
	q := question{Trustee: Trustee{Who: who}, request: policy.Request{
		Action: "sts:AssumeRole", Resource: "*", Principal: principal, Context: satisfy(s.Conditions),
	}}
	if text := Conditions(s.Conditions); text != "" {
		q.Who += ", if " + text
	}
	return q
}

// serviceQuestions asks for a service principal: for Roles Anywhere for certificates, known and strange.
func serviceQuestions(s *policy.Statement, service string) []question {
	ask := func(who string, open Opening, change map[string]string) question {
		context := satisfy(s.Conditions)
		for k, v := range change {
			set(context, k, v)
		}
		return question{Trustee: Trustee{Who: who, Open: open}, request: policy.Request{
			Action: "sts:AssumeRole", Resource: "*", Principal: &policy.Principal{Service: service}, Context: context,
		}}
	}
	if !strings.HasPrefix(service, "rolesanywhere.") {
		name, _, _ := strings.Cut(service, ".")
		if name == "ec2" {
			return []question{ask("EC2 machines with its instance profile", None, nil)}
		}
		return []question{ask("AWS service "+service, None, nil)}
	}
	var list []question
	for _, cn := range values(s, cnKey) {
		if !wild(cn) {
			list = append(list, ask("certificate CN="+cn, None, map[string]string{cnKey: cn}))
		}
	}
	anchor := "arn:aws:rolesanywhere:" + stranger + ":000000000000:trust-anchor/" + stranger
	return append(list,
		ask("certificates of any common name", AnyCertificate, map[string]string{cnKey: stranger}),
		ask("certificates of any trust anchor of the account", AnyAnchor, map[string]string{anchorKey: anchor}))
}

// federated asks for tokens of an OIDC provider: of the subjects that the statement names, and of strangers.
func federated(s *policy.Statement, provider string) []question {
	_, host, ok := strings.Cut(provider, "oidc-provider/")
	if !ok {
		host = provider
	}
	sub, aud := host+":sub", host+":aud"
	ask := func(who string, open Opening, change map[string]string) question {
		context := satisfy(s.Conditions)
		// A token always has both claims, whether or not the policy asks for them.
		if !has(context, aud) {
			set(context, aud, "sts.amazonaws.com")
		}
		if !has(context, sub) {
			set(context, sub, subjectPrefix+stranger+":"+stranger)
		}
		for k, v := range change {
			set(context, k, v)
		}
		return question{Trustee: Trustee{Who: who, Issuer: host, Open: open}, request: policy.Request{
			Action: "sts:AssumeRoleWithWebIdentity", Resource: "*",
			Principal: &policy.Principal{Federated: provider}, Context: context,
		}}
	}
	var list []question
	for _, subject := range values(s, sub) {
		account, isAccount := strings.CutPrefix(subject, subjectPrefix)
		namespace, name, _ := strings.Cut(account, ":")
		if wild(subject) {
			if covers(subject, subjectPrefix+stranger+":"+stranger) {
				continue // asked below
			}
			if isAccount && !wild(namespace) {
				list = append(list, ask("any ServiceAccount of namespace "+namespace, AnySubject,
					map[string]string{sub: subjectPrefix + namespace + ":" + stranger}))
			} else if isAccount && !wild(name) && name != "" {
				list = append(list, ask("ServiceAccount "+name+" of any namespace", AnySubject,
					map[string]string{sub: subjectPrefix + stranger + ":" + name}))
			} else {
				list = append(list, ask("subjects "+subject, AnySubject, nil))
			}
			continue
		}
		who := "subject " + subject
		if isAccount {
			who = "ServiceAccount " + namespace + "/" + name
		}
		list = append(list, ask(who, None, map[string]string{sub: subject}))
	}
	return append(list,
		ask("any ServiceAccount", AnySubject, map[string]string{sub: subjectPrefix + stranger + ":" + stranger}),
		ask("tokens made for any audience", AnyAudience, map[string]string{aud: stranger}))
}

// values are the values that a statement's conditions compare a key with.
func values(s *policy.Statement, key string) []string {
	var list []string
	for _, c := range s.Conditions {
		if strings.EqualFold(c.Key, key) && !strings.Contains(c.Operator, "Not") {
			list = append(list, c.Values...)
		}
	}
	return list
}

func wild(s string) bool { return strings.ContainsAny(s, "*?") }

func has(context map[string][]string, key string) bool {
	for k := range context {
		if strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}

func set(context map[string][]string, key, value string) {
	for k := range context {
		if strings.EqualFold(k, key) {
			delete(context, k)
		}
	}
	context[key] = []string{value}
}
