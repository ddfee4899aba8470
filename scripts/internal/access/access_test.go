package access

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k3s-aws-auth/scripts/internal/policy"
)

func parse(t *testing.T, statements ...string) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func text(grants []Grant) string {
	var list []string
	for _, g := range grants {
		s := g.Action + " " + g.Resource
		if g.Condition != "" {
			s += " if " + g.Condition
		}
		list = append(list, s)
	}
	return strings.Join(list, "; ")
}

func TestCompare(t *testing.T) {
	const (
		get      = `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`
		getAny   = `{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/*"}`
		getTLS   = `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`
		getIP    = `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`
		own      = `{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team}/*"}`
		denyPut  = `{"Effect":"Deny","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/locked/*"}`
		all      = `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/*"}`
		notIAM   = `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`
		anything = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	)
	for _, c := range []struct {
		name          string
		before, after []string
		gained, lost  string
	}{
		{"nothing", []string{get}, []string{get}, "", ""},
		{"new", nil, []string{get}, "s3:GetObject arn:aws:s3:::b/*", ""},
		{"gone", []string{get}, nil, "", "s3:GetObject arn:aws:s3:::b/*"},
		{"wider action", []string{get}, []string{getAny}, "s3:Get* arn:aws:s3:::b/*", ""},
		{"narrower action", []string{getAny}, []string{get}, "", "s3:Get* arn:aws:s3:::b/*"},
		{"already contained", []string{all}, []string{all, get}, "", ""},
		{"condition added", []string{get}, []string{getTLS}, "", "s3:GetObject arn:aws:s3:::b/*"},
		{"condition dropped", []string{getIP}, []string{get}, "s3:GetObject arn:aws:s3:::b/*", ""},
		{"conditional", nil, []string{getIP}, "s3:GetObject arn:aws:s3:::b/* if aws:SourceIp IpAddress 10.0.0.0/8", ""},
		{"policy variable", nil, []string{own}, "s3:PutObject arn:aws:s3:::b/${aws:PrincipalTag/team}/*", ""},
		{"deny added", []string{all}, []string{all, denyPut}, "", "s3:PutObject arn:aws:s3:::b/locked/*"},
		{"deny removed", []string{all, denyPut}, []string{all}, "s3:PutObject arn:aws:s3:::b/locked/*", ""},
		{"not action", []string{notIAM}, []string{anything}, "iam:* *", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			gained, lost := Compare(Policies{Identity: []*policy.Document{parse(t, c.before...)}}, Policies{Identity: []*policy.Document{parse(t, c.after...)}})
			if text(gained) != c.gained || text(lost) != c.lost {
				t.Errorf("gained %q, lost %q; want %q, %q", text(gained), text(lost), c.gained, c.lost)
			}
		})
	}
}

func TestBoundary(t *testing.T) {
	all := []*policy.Document{parse(t, `{"Effect":"Allow","Action":"*","Resource":"*"}`)}
	boundary := []*policy.Document{parse(t, `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)}
	gained, lost := Compare(Policies{Identity: all, Boundary: boundary}, Policies{Identity: all})
	if text(gained) != "* *" || len(lost) > 0 {
		t.Errorf("a boundary went: gained %q, lost %q", text(gained), text(lost))
	}
	if got := text(Grants(Policies{Identity: all, Boundary: boundary})); got != "s3:* *" {
		t.Errorf("all within s3: %q", got)
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		broad, narrow string
		want          bool
	}{
		{"*", "x*", true}, {"x*", "*", false}, {"s3:Get*", "s3:GetObject", true}, {"s3:GetObject", "s3:Get*", false},
		{"a?c", "abc", true}, {"a?c", "a*c", false}, {"a*c", "a?c", true}, {"a*c", "a*b*c", true},
	} {
		if got := covers(c.broad, c.narrow); got != c.want {
			t.Errorf("covers(%q, %q) = %v", c.broad, c.narrow, got)
		}
	}
	if coversResource("arn:aws:s3:::*", "arn:aws:iam::1:role/x") || !coversResource("arn:aws:s3:::*", "arn:aws:s3:::b/x") {
		t.Error("resources are not compared by segment")
	}
}

func TestCompareTrust(t *testing.T) {
	irsa := func(sub string) string {
		return `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::1:oidc-provider/i.example.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringLike":{"i.example.com:aud":"sts.amazonaws.com","i.example.com:sub":"` + sub + `"}}}`
	}
	for _, c := range []struct {
		name, before, after, gained, lost string
	}{
		{"same", irsa("system:serviceaccount:a:b"), irsa("system:serviceaccount:a:b"), "", ""},
		{"another account", irsa("system:serviceaccount:a:b"), irsa("system:serviceaccount:a:c"), "ServiceAccount a/c", "ServiceAccount a/b"},
		{"namespace", irsa("system:serviceaccount:a:b"), irsa("system:serviceaccount:a:*"), "any ServiceAccount of namespace a[any-subject]", ""},
		{"name", irsa("system:serviceaccount:a:b"), irsa("system:serviceaccount:*:b"), "ServiceAccount b of any namespace[any-subject]", ""},
		{"all", irsa("system:serviceaccount:a:b"), irsa("*"), "any ServiceAccount[any-subject]", ""},
		{"deny", irsa("system:serviceaccount:a:b"), irsa("system:serviceaccount:a:b") + `,{"Effect":"Deny","Principal":"*","Action":"sts:*"}`, "", "ServiceAccount a/b"},
		{"account", irsa("system:serviceaccount:a:b"), irsa("system:serviceaccount:a:b") + `,{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x"}}}`,
			"everybody whom AWS account 444455556666 permits, if sts:ExternalId StringEquals x", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			gained, lost, now := CompareTrust(parse(t, c.before), parse(t, c.after))
			if who(gained) != c.gained || who(lost) != c.lost {
				t.Errorf("gained %q, lost %q; want %q, %q", who(gained), who(lost), c.gained, c.lost)
			}
			for _, g := range gained {
				if !slices.Contains(now, g) {
					t.Errorf("%v is gained and may not", g)
				}
			}
		})
	}
}

func who(list []Trustee) string {
	var parts []string
	for _, t := range list {
		s := t.Who
		if t.Open != None {
			s += fmt.Sprintf("[%s]", t.Open)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

// FuzzCompare: comparing a policy with itself finds no difference, and whatever is gained one way is lost the other.
func FuzzCompare(f *testing.F) {
	f.Add("s3:Get*", "arn:aws:s3:::b/*", "s3:*", "*", "Deny")
	f.Add("*", "*", "iam:PassRole", "arn:aws:iam::1:role/${aws:username}", "Allow")
	f.Fuzz(func(t *testing.T, a1, r1, a2, r2, effect string) {
		if effect != "Deny" {
			effect = "Allow"
		}
		x := Policies{Identity: []*policy.Document{{Version: policy.Version2012, Statements: []policy.Statement{{Effect: "Allow", Actions: []string{a1}, Resources: []string{r1}}}}}}
		y := Policies{Identity: []*policy.Document{{Version: policy.Version2012, Statements: []policy.Statement{
			{Effect: "Allow", Actions: []string{a1}, Resources: []string{r1}}, {Effect: effect, Actions: []string{a2}, Resources: []string{r2}}}}}}
		if g, l := Compare(y, y); len(g)+len(l) > 0 {
			t.Fatalf("differs from itself: %v %v", g, l)
		}
		g, l := Compare(x, y)
		l2, g2 := Compare(y, x)
		if !slices.Equal(g, g2) || !slices.Equal(l, l2) {
			t.Fatalf("not symmetric: %v %v, %v %v", g, l, g2, l2)
		}
	})
}

// BenchmarkLargestPolicies compares policies of 80 by 80 patterns, in one statement and in 80 statements of one each: more
// than IAM allows a role inline.
func BenchmarkLargestPolicies(b *testing.B) {
	one := func(prefix string) Policies {
		s := policy.Statement{Effect: "Allow"}
		for i := range 80 {
			s.Actions = append(s.Actions, fmt.Sprintf("service%d:%sOperation*", i, prefix))
			s.Resources = append(s.Resources, fmt.Sprintf("arn:aws:service:::%d/%s/*", i, prefix))
		}
		deny := policy.Statement{Effect: "Deny", Actions: []string{"*"}, Resources: []string{"arn:aws:service:::7/*"}}
		return Policies{Identity: []*policy.Document{{Version: policy.Version2012, Statements: []policy.Statement{s, deny}}}}
	}
	many := func(prefix, value string) Policies {
		d := &policy.Document{Version: policy.Version2012}
		for i := range 80 {
			s := policy.Statement{Effect: "Allow", Actions: []string{fmt.Sprintf("service%d:%s*", i%40, prefix), fmt.Sprintf("service%d:List*", i)},
				Resources:  []string{fmt.Sprintf("arn:aws:service:::%d/*", i), fmt.Sprintf("arn:aws:service:*:*:%d*", i)},
				Conditions: []policy.Condition{{Operator: "StringLike", Key: "aws:PrincipalTag/team", Values: []string{fmt.Sprintf("team-%d-*", i), value}}}}
			if i%8 == 0 {
				s.Effect = "Deny"
			}
			d.Statements = append(d.Statements, s)
		}
		return Policies{Identity: []*policy.Document{d}}
	}
	intertwined := func(prefix string) Policies {
		s := policy.Statement{Effect: "Allow", Actions: []string{"*"}}
		for i := range 80 {
			s.Resources = append(s.Resources, fmt.Sprintf("arn:aws:s3:::*%s%d*", prefix, i))
		}
		return Policies{Identity: []*policy.Document{{Version: policy.Version2012, Statements: []policy.Statement{s}}}}
	}
	for _, c := range []struct {
		name          string
		before, after Policies
	}{{"patterns", one("Get"), one("Put")}, {"statements", many("Get", "a"), many("Put", "b")}, {"intertwined", intertwined("x"), intertwined("y")}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				Compare(c.before, c.after)
			}
		})
	}
}
