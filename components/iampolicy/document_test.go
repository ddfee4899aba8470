package iampolicy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/internal/pulumitest"
)

func text(t *testing.T, document iampolicy.Document) string {
	t.Helper()
	out, err := document.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return pulumitest.IndentJSON(t, out)
}

func TestTrustPolicies(t *testing.T) {
	const account = "111122223333"
	providers := []iampolicy.WebIdentity{
		{ProviderArn: "arn:aws:iam::" + account + ":oidc-provider/oidc.example.com", IssuerHostPath: "oidc.example.com"},
		{ProviderArn: "arn:aws:iam::" + account + ":oidc-provider/old.example.com/path", IssuerHostPath: "old.example.com/path"},
	}
	subject := iampolicy.Subject("default", "uploader")
	anchors := []string{"arn:aws:rolesanywhere:eu-central-1:" + account + ":trust-anchor/a", "arn:aws:rolesanywhere:eu-central-1:" + account + ":trust-anchor/b"}
	for name, document := range map[string]iampolicy.Document{
		"ec2.json":                                 iampolicy.EC2Trust(""),
		"ec2-china.json":                           iampolicy.EC2Trust("amazonaws.com.cn"),
		"web-identity.json":                        iampolicy.WebIdentityTrust(providers[:1], "sts.amazonaws.com", subject),
		"web-identity-migration.json":              iampolicy.WebIdentityTrust(providers, "sts.amazonaws.com", subject),
		"assume-role.json":                         iampolicy.AssumeRoleTrust("arn:aws:iam::"+account+":role/lab-uploader", "", false),
		"assume-role-external-id.json":             iampolicy.AssumeRoleTrust("arn:aws:iam::"+account+":role/lab-uploader", "42", false),
		"assume-role-certificate.json":             iampolicy.AssumeRoleTrust("arn:aws:iam::"+account+":role/lab-uploader", "42", true),
		"assume-role-permissions.json":             iampolicy.New(iampolicy.AssumeRole("arn:aws:iam::444455556666:role/reader", "42", false)...),
		"assume-role-permissions-certificate.json": iampolicy.New(iampolicy.AssumeRole("arn:aws:iam::444455556666:role/reader", "42", true)...),
		"roles-anywhere.json":                      iampolicy.RolesAnywhereTrust(anchors[:1], "default.uploader"),
		"roles-anywhere-two-anchors.json":          iampolicy.RolesAnywhereTrust(anchors, "default.uploader"),
	} {
		t.Run(name, func(t *testing.T) { pulumitest.Golden(t, name, text(t, document)) })
	}
}

// Every trust policy for pods must fail without its conditions' values: an
// empty one would be compared with nothing and trust anybody or nobody.
func TestTrustPoliciesNeedTheirParts(t *testing.T) {
	for name, document := range map[string]iampolicy.Document{
		"no issuers":    iampolicy.WebIdentityTrust(nil, "sts.amazonaws.com", "system:serviceaccount:a:b"),
		"no provider":   iampolicy.WebIdentityTrust([]iampolicy.WebIdentity{{IssuerHostPath: "x.example.com"}}, "sts.amazonaws.com", "s"),
		"no audience":   iampolicy.WebIdentityTrust([]iampolicy.WebIdentity{{ProviderArn: "arn:aws:iam::1:oidc-provider/x", IssuerHostPath: "x"}}, "", "s"),
		"no subject":    iampolicy.WebIdentityTrust([]iampolicy.WebIdentity{{ProviderArn: "arn:aws:iam::1:oidc-provider/x", IssuerHostPath: "x"}}, "a", ""),
		"no host":       iampolicy.WebIdentityTrust([]iampolicy.WebIdentity{{ProviderArn: "arn:aws:iam::1:oidc-provider/x"}}, "a", "s"),
		"no anchors":    iampolicy.RolesAnywhereTrust(nil, "default.uploader"),
		"empty anchor":  iampolicy.RolesAnywhereTrust([]string{""}, "default.uploader"),
		"no commonname": iampolicy.RolesAnywhereTrust([]string{"arn:aws:rolesanywhere:r:1:trust-anchor/x"}, ""),
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := document.JSON(); err == nil {
				t.Errorf("accepted: %s", out)
			}
		})
	}
}

func TestDocumentGolden(t *testing.T) {
	pulumitest.Golden(t, "document.json", text(t, iampolicy.New(
		iampolicy.Statement{
			Sid: "Put", Actions: []string{"s3:PutObject"},
			Resources:  []string{"arn:aws:s3:::b/uploader/*"},
			Conditions: map[string]map[string][]string{"StringLike": {"s3:prefix": {"a<b>&c", "d"}}, "Bool": {"aws:SecureTransport": {"true"}}},
		},
		iampolicy.Statement{Effect: iampolicy.Deny, NotActions: []string{"s3:*", "sts:*"}, NotResources: []string{"*"}},
		iampolicy.Statement{Principal: &iampolicy.Principal{Anyone: true}, Actions: []string{"s3:GetObject"}, Resources: []string{"*"}},
		iampolicy.Statement{Principal: &iampolicy.Principal{AWS: []string{"111122223333"}, Service: []string{"a.amazonaws.com", "b.amazonaws.com"}}, Actions: []string{"*"}, Resources: []string{"*"}},
	)))
}

func TestJSONIsDeterministic(t *testing.T) {
	statement := iampolicy.Statement{Actions: []string{"s3:GetObject"}, Resources: []string{"*"}, Conditions: map[string]map[string][]string{}}
	for _, operator := range []string{"StringEquals", "StringLike", "Bool", "Null", "ArnLike"} {
		statement.Conditions[operator] = map[string][]string{"aws:a": {"1"}, "aws:b": {"2"}, "aws:c": {"3"}}
	}
	first, err := iampolicy.New(statement).JSON()
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if again, _ := iampolicy.New(statement).JSON(); again != first {
			t.Fatalf("%s\n%s", first, again)
		}
	}
}

func TestStatementFromConfiguration(t *testing.T) {
	const source = `
sid: Put
effect: Allow
actions: ["s3:PutObject"]
resources: ["arn:aws:s3:::b/*"]
conditions: {StringEquals: {"aws:PrincipalTag/x": [y]}}
`
	var fromYAML iampolicy.Statement
	if err := yaml.Unmarshal([]byte(source), &fromYAML); err != nil {
		t.Fatal(err)
	}
	var fromJSON iampolicy.Statement
	if err := json.Unmarshal([]byte(`{"sid":"Put","effect":"Allow","actions":["s3:PutObject"],"resources":["arn:aws:s3:::b/*"],"conditions":{"StringEquals":{"aws:PrincipalTag/x":["y"]}}}`), &fromJSON); err != nil {
		t.Fatal(err)
	}
	a, b := text(t, iampolicy.New(fromYAML)), text(t, iampolicy.New(fromJSON))
	if a != b || !strings.Contains(a, `"aws:PrincipalTag/x": "y"`) {
		t.Errorf("YAML gives\n%s\nJSON gives\n%s", a, b)
	}
}

func TestValidateIdentity(t *testing.T) {
	ok := iampolicy.Statement{Actions: []string{"s3:PutObject"}, Resources: []string{"arn:aws:s3:::b/*"}}
	if err := ok.ValidateIdentity(); err != nil {
		t.Errorf("a good statement was refused: %v", err)
	}
	for name, tc := range map[string]struct {
		change func(*iampolicy.Statement)
		want   string
	}{
		"effect":            {func(s *iampolicy.Statement) { s.Effect = "allow" }, "effect:"},
		"sid":               {func(s *iampolicy.Statement) { s.Sid = "a-b" }, "sid:"},
		"no action":         {func(s *iampolicy.Statement) { s.Actions = nil }, "actions: is empty"},
		"both actions":      {func(s *iampolicy.Statement) { s.NotActions = []string{"s3:*"} }, "notActions"},
		"no resource":       {func(s *iampolicy.Statement) { s.Resources = nil }, "resources: is empty"},
		"both resources":    {func(s *iampolicy.Statement) { s.NotResources = []string{"*"} }, "notResources"},
		"no service":        {func(s *iampolicy.Statement) { s.Actions = []string{"PutObject"} }, "actions[0]"},
		"service wildcard":  {func(s *iampolicy.Statement) { s.Actions = []string{"s*:Put"} }, "actions[0]"},
		"two colons":        {func(s *iampolicy.Statement) { s.Actions = []string{"*:*:*"} }, "actions[0]"},
		"key beyond Latin":  {func(s *iampolicy.Statement) { s.Conditions = cond("StringEquals", "aws:ResourceTag/部", "y") }, `key "aws:ResourceTag/部"`},
		"not an arn":        {func(s *iampolicy.Statement) { s.Resources = []string{"bucket/*"} }, "resources[0]"},
		"short arn":         {func(s *iampolicy.Statement) { s.Resources = []string{"arn:aws:s3"} }, "resources[0]"},
		"operator":          {func(s *iampolicy.Statement) { s.Conditions = cond("StringEqual", "aws:x", "y") }, "conditions.StringEqual"},
		"operator suffix":   {func(s *iampolicy.Statement) { s.Conditions = cond("NullIfExists", "aws:x", "y") }, "conditions.NullIfExists"},
		"key":               {func(s *iampolicy.Statement) { s.Conditions = cond("Bool", "x", "y") }, `key "x"`},
		"no value":          {func(s *iampolicy.Statement) { s.Conditions = cond("Bool", "aws:x") }, "conditions.Bool.aws:x"},
		"principal":         {func(s *iampolicy.Statement) { s.Principal = &iampolicy.Principal{Anyone: true} }, "principal:"},
		"newline in an arn": {func(s *iampolicy.Statement) { s.Resources = []string{"arn:aws:s3:::b\n/*"} }, "resources[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			statement := ok
			tc.change(&statement)
			err := statement.ValidateIdentity()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	for _, operator := range []string{"StringEquals", "StringNotLike", "StringEqualsIgnoreCase", "ForAnyValue:StringLikeIfExists",
		"ForAllValues:StringEquals", "NumericLessThanEquals", "DateGreaterThan",
		"IpAddress", "NotIpAddress", "ArnLikeIfExists", "Null", "BinaryEquals"} {
		statement := ok
		statement.Conditions = cond(operator, "aws:x", "y")
		if err := statement.ValidateIdentity(); err != nil {
			t.Errorf("operator %s was refused: %v", operator, err)
		}
	}
}

func TestSidsAreUnique(t *testing.T) {
	s := iampolicy.Statement{Sid: "A", Actions: []string{"s3:*"}, Resources: []string{"*"}}
	if _, err := iampolicy.New(s, s).JSON(); err == nil || !strings.Contains(err.Error(), "unique") {
		t.Errorf("two statements with one sid: error %v", err)
	}
}

func TestStatementNeedsPrincipalOrResources(t *testing.T) {
	if out, err := iampolicy.New(iampolicy.Statement{Actions: []string{"s3:*"}}).JSON(); err == nil {
		t.Errorf("accepted: %s", out)
	}
	// An identity statement says so once, in the words of configuration.
	err := iampolicy.Statement{Actions: []string{"s3:*"}}.ValidateIdentity()
	if err == nil || strings.Count(err.Error(), "\n") != 0 {
		t.Errorf("error %v, want one line", err)
	}
}

func cond(operator, key string, values ...string) map[string]map[string][]string {
	return map[string]map[string][]string{operator: {key: values}}
}

// Whatever the strings, a document is either refused or valid JSON from which
// the same strings come back: nothing breaks out of its place.
func FuzzDocument(f *testing.F) {
	f.Add("s3:PutObject", "arn:aws:s3:::b/*", "aws:PrincipalTag/a", `x"y\`)
	f.Add("s3:*", "*", "aws:x", "<>&\u2028")
	f.Fuzz(func(t *testing.T, action, resource, key, value string) {
		out, err := iampolicy.New(iampolicy.Statement{
			Actions: []string{action}, Resources: []string{resource}, Conditions: cond("StringEquals", key, value),
		}).JSON()
		if err != nil {
			return
		}
		var back struct {
			Statement []struct {
				Action, Resource string
				Condition        map[string]map[string]string
			}
		}
		if err := json.Unmarshal([]byte(out), &back); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if len(back.Statement) != 1 || back.Statement[0].Action != action {
			t.Fatalf("action %q came back as %s", action, out)
		}
		want := strings.ToValidUTF8(value, "\uFFFD")
		for _, got := range back.Statement[0].Condition["StringEquals"] {
			if strings.ToValidUTF8(got, "\uFFFD") != got || (got != want && strings.ToValidUTF8(value, "") == value) {
				t.Fatalf("value %q came back as %q", value, got)
			}
		}
	})
}
