package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withStatement is a valid configuration of a region with one statement.
func withStatement(t *testing.T, region string, statement map[string]any) map[string]string {
	t.Helper()
	text, err := json.Marshal([]map[string]any{{"name": "app", "namespace": "apps", "serviceAccount": "app", "statements": []any{statement}}})
	require.NoError(t, err)
	values := valid()
	values["aws:region"], values["k3s-aws-auth:identities"] = region, string(text)
	values["k3s-aws-auth:network"] = `{"zones":["` + region + `a"],"apiCidrs":["203.0.113.7/32"]}`
	return values
}

type (
	keys       = map[string][]string
	conditions = map[string]keys
)

// TestTakesWhatIAMTakes holds that policies as people publish them are not refused.
func TestTakesWhatIAMTakes(t *testing.T) {
	for name, c := range map[string]struct {
		resource   string
		conditions conditions
	}{
		"an empty prefix, AWS's own example": {"arn:aws:s3:::example-company", conditions{"StringEquals": {"s3:prefix": {"", "home/"}, "s3:delimiter": {"/"}}}},
		"spaces in an object's name":         {"arn:aws:s3:::example-bucket/Team Reports/*", nil},
		"a default with a space":             {"arn:aws:s3:::example-bucket/${aws:PrincipalTag/team, 'x'}/*", nil},
		"a tag with spaces as a variable":    {"arn:aws:s3:::example-bucket/${aws:PrincipalTag/cost center}/*", nil},
		"variables between colons":           {"arn:aws:ec2:${aws:RequestedRegion}:${aws:PrincipalAccount}:instance/*", nil},
		"a tag with spaces as a key":         {"*", conditions{"StringEquals": {"aws:ResourceTag/cost center": {"4 2"}}}},
		"keys of an OIDC provider":           {"*", conditions{"StringEquals": {"oidc.eks.eu-central-1.amazonaws.com/id/ABC:sub": {"x"}, "token.actions.githubusercontent.com:aud": {"y"}}}},
		"keys with colons":                   {"*", conditions{"StringEquals": {"kms:EncryptionContext:aws:s3:arn": {"x"}, "aws:ResourceTag/eks:cluster-name": {"y"}}}},
		"any partition":                      {"arn:*:s3:::example/*", nil},
		"an ARN of fewer parts":              {"arn:aws:logs:*", nil},
		"a parameter of any account":         {"arn:aws:ssm:*:parameter/x", nil},
		"an account of AWS":                  {"arn:aws:iam::aws:policy/*", nil},
		"all of IAM":                         {"arn:aws:iam::*:*", nil},
		"an access point":                    {"arn:aws:s3:*:111122223333:accesspoint/x", nil},
		"dates":                              {"*", conditions{"DateLessThan": {"aws:CurrentTime": {"2026-12-31T00:00:00Z", "2026-12-31", "1798675200"}}}},
		"numbers":                            {"*", conditions{"NumericLessThanEqualsIfExists": {"s3:max-keys": {"10", "0.5"}}}},
		"addresses":                          {"*", conditions{"NotIpAddress": {"aws:SourceIp": {"203.0.113.7", "203.0.113.7/24", "2001:db8::/32"}}}},
		"ARNs of any partition":              {"*", conditions{"ForAnyValue:ArnLike": {"aws:SourceArn": {"arn:aws:sns:*:*:x", "arn:*:sns:*:*:x", "*"}}}},
		"truth":                              {"*", conditions{"Bool": {"aws:SecureTransport": {"True"}}, "Null": {"aws:TokenIssueTime": {"false"}}}},
		"variables as operands":              {"*", conditions{"ArnEquals": {"aws:SourceArn": {"${aws:PrincipalArn}"}}, "StringLike": {"s3:prefix": {"${aws:username}/*"}}}},
		"an encryption context with spaces":  {"*", conditions{"StringEquals": {"kms:EncryptionContext:cost center": {"x"}}}},
		"white space beyond the quota":       {"*", conditions{"StringEquals": {"aws:ResourceTag/x": {strings.Repeat("a ", 10000/2) + strings.Repeat("a", 5000)}}}},
	} {
		t.Run(name, func(t *testing.T) {
			statement := map[string]any{"actions": []string{"s3:ListBucket"}, "resources": []string{c.resource}}
			if c.conditions != nil {
				statement["conditions"] = c.conditions
			}
			_, err := loadMap(withStatement(t, "eu-central-1", statement))
			require.NoError(t, err)
		})
	}
}

// TestRefusesWhatIAMRefuses holds that what IAM would refuse in the middle of a
// deployment, or take and never match, is refused before it.
func TestRefusesWhatIAMRefuses(t *testing.T) {
	const at = "identities[0].statements[0]."
	for name, c := range map[string]struct {
		resource   string
		conditions conditions
		want       string
	}{
		"date":        {"*", conditions{"DateLessThan": {"aws:CurrentTime": {"tomorrow"}}}, `conditions.DateLessThan["aws:CurrentTime"][0]: found "tomorrow": must be a date such as`},
		"no such day": {"*", conditions{"DateGreaterThan": {"aws:CurrentTime": {"2026-13-31"}}}, "must be a date"},
		"date without its quotes": {"*", conditions{"DateLessThan": {"aws:CurrentTime": {"2026-12-31 00:00:00 +0000 UTC"}}},
			`conditions.DateLessThan["aws:CurrentTime"][0]: found the date "2026-12-31 00:00:00 +0000 UTC": must be text: put it in quotes`},
		"an epoch before 1970":      {"*", conditions{"DateLessThan": {"aws:EpochTime": {"-1"}}}, "must be a date"},
		"a part of a second":        {"*", conditions{"DateLessThan": {"aws:EpochTime": {"1798675200.5"}}}, "must be a date"},
		"a date without hyphens":    {"*", conditions{"DateLessThan": {"aws:CurrentTime": {"20261231"}}}, "must be a date"},
		"a week":                    {"*", conditions{"DateLessThan": {"aws:CurrentTime": {"2026-W53-4"}}}, "must be a date"},
		"a time without its zone":   {"*", conditions{"DateLessThan": {"aws:CurrentTime": {"2026-12-31T00:00:00"}}}, "must be a date"},
		"a variable as a date":      {"*", conditions{"DateLessThan": {"aws:CurrentTime": {"${aws:PrincipalTag/end}"}}}, "must be a date"},
		"a variable as a number":    {"*", conditions{"NumericEquals": {"s3:max-keys": {"${aws:PrincipalTag/n}"}}}, "must be a number"},
		"a variable as truth":       {"*", conditions{"Bool": {"aws:SecureTransport": {"${aws:PrincipalTag/tls}"}}}, `must be "true" or "false"`},
		"a variable as an address":  {"*", conditions{"IpAddress": {"aws:SourceIp": {"${aws:PrincipalTag/ip}"}}}, "must be an address"},
		"an address of one machine": {"*", conditions{"IpAddress": {"aws:SourceIp": {"fe80::1%eth0"}}}, "must be an address"},
		"a key beyond Latin-1":      {"*", conditions{"StringEquals": {"aws:ResourceTag/部": {"x"}}}, "must be a condition key"},
		"number":                    {"*", conditions{"NumericEquals": {"s3:max-keys": {"ten"}}}, "must be a number for NumericEquals"},
		"truth":                     {"*", conditions{"Bool": {"aws:SecureTransport": {"yes"}}}, `must be "true" or "false" for Bool`},
		"address":                   {"*", conditions{"IpAddress": {"aws:SourceIp": {"203.0.113"}}}, "must be an address or a block"},
		"binary":                    {"*", conditions{"BinaryEquals": {"x:y": {"%"}}}, "must be base64"},
		"any service":               {"arn:aws:*:::x", nil, `resources[0]: found "arn:aws:*:::x": must be an ARN that names its service in full`},
		"some services":             {"arn:aws:s*:::x", nil, "names its service in full"},
		"a service by a variable":   {"arn:aws:${aws:PrincipalTag/service}:::x", nil, "names its service in full"},
		"some partitions":           {"arn:aws-*:s3:::x", nil, "a partition in full"},
		"a partition by a variable": {"arn:${aws:PrincipalTag/p}:s3:::x", nil, "a partition in full"},
		"a role in a region":        {"arn:aws:iam:eu-central-1:111122223333:role/x", nil, "an ARN of IAM without a region"},
		"a role in any region":      {"arn:aws:iam:*:111122223333:role/x", nil, "an ARN of IAM without a region"},
		"nothing of IAM":            {"arn:aws:iam::111122223333:uploader", nil, "such as role/"},
		"all kinds of IAM":          {"arn:aws:iam::111122223333:*/uploader", nil, "such as role/"},
		"an ARN without its parts":  {"arn:aws:s3::x", nil, "must be *, an ARN"},
		"no ARN":                    {"*", conditions{"ArnLike": {"aws:SourceArn": {"topic"}}}, "must be an ARN"},
		"another partition":         {"*", conditions{"ArnLike": {"aws:SourceArn": {"arn:aws-cn:sns:*:*:x"}}}, "must be in partition aws, that of eu-central-1"},
		"a resource's":              {"arn:aws-us-gov:s3:::x", nil, `resources[0]: found "arn:aws-us-gov:s3:::x": must be in partition aws, that of eu-central-1`},
		"beyond Latin-1":            {"arn:aws:s3:::x/€", nil, "characters up to U+00FF"},
		"a control character":       {"arn:aws:s3:::x/\t", nil, "resources[0]"},
		"a default without quotes":  {"arn:aws:s3:::x/${aws:PrincipalTag/team, x}", nil, "a policy variable of IAM"},
		"a key with a space":        {"*", conditions{"StringEquals": {"aws:Source Ip": {"x"}}}, "must be a condition key"},
	} {
		t.Run(name, func(t *testing.T) {
			statement := map[string]any{"actions": []string{"s3:ListBucket"}, "resources": []string{c.resource}}
			if c.conditions != nil {
				statement["conditions"] = c.conditions
			}
			_, err := loadMap(withStatement(t, "eu-central-1", statement))
			require.ErrorContains(t, err, at)
			require.ErrorContains(t, err, c.want)
			require.Len(t, strings.Split(err.Error(), "\n"), 1, "one problem: %v", err)
		})
	}
}

// TestOnePartition holds one rule for every list of ARNs, in every partition.
func TestOnePartition(t *testing.T) {
	for region, partition := range map[string]string{"us-gov-west-1": "aws-us-gov", "cn-northwest-1": "aws-cn", "us-iso-east-1": "aws-iso"} {
		values := withStatement(t, region, map[string]any{"actions": []string{"s3:GetObject"}, "resources": []string{"arn:" + partition + ":s3:::x/*"}})
		_, err := loadMap(values)
		require.NoError(t, err, region)

		values["k3s-aws-auth:permissionsBoundary"] = "arn:aws:iam::aws:policy/X"
		values["k3s-aws-auth:identities"] = `[{"name":"app","namespace":"apps","serviceAccount":"app","managedPolicyArns":["arn:aws:iam::aws:policy/X"],` +
			`"statements":[{"actions":["s3:*"],"resources":["arn:aws:s3:::x","arn:aws:ec2:*:*:security-group/*"]},{"effect":"Deny","actions":["s3:*"],"notResources":["arn:aws:s3:::y"]}],` +
			`"assumeRoles":[{"roleArn":"arn:aws:iam::111122223333:role/x"}],` +
			`"preset":{"name":"external-secrets","secretArns":["arn:aws:secretsmanager:x-y-1:111122223333:secret:a-??????"],` +
			`"parameterArns":["arn:aws:ssm:x-y-1:111122223333:parameter/p"],"kmsKeyArns":["arn:aws:kms:x-y-1:111122223333:key/k"]}}]`
		_, err = loadMap(values)
		for _, key := range []string{
			"permissionsBoundary", "identities[0].managedPolicyArns[0]", "identities[0].statements[0].resources[0]", "identities[0].statements[0].resources[1]",
			"identities[0].statements[1].notResources[0]", "identities[0].assumeRoles[0].roleArn", "identities[0].preset.secretArns[0]",
			"identities[0].preset.parameterArns[0]", "identities[0].preset.kmsKeyArns[0]",
		} {
			require.ErrorContains(t, err, key+": found", region)
		}
		require.Equal(t, 9, strings.Count(err.Error(), "must be in partition "+partition), err)
	}
}

func TestPartitionThatIsNotSupported(t *testing.T) {
	_, err := loadMap(withStatement(t, "eusc-de-east-1", map[string]any{"actions": []string{"s3:GetObject"}, "resources": []string{"arn:aws-eusc:s3:::x/*"}}))
	require.EqualError(t, err, `aws:region: found "eusc-de-east-1": must be in one of the partitions aws, aws-cn, aws-us-gov, aws-iso, aws-iso-b, aws-iso-e or aws-iso-f: `+
		`partition aws-eusc is not supported`)
}

// TestIssuersOfAKS holds that the slash which AKS ends its issuers with is theirs.
func TestIssuersOfAKS(t *testing.T) {
	values := valid()
	values["k3s-aws-auth:issuer"] = `{"register":["https://eastus.oic.prod-aks.azure.com/11111111-2222-3333-4444-555555555555/66666666-7777-8888-9999-000000000000/","https://a.example.com/"]}`
	got, err := loadMap(values)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(got.Issuer.Register[0], "/"))
}

// TestIssuersThatNobodyReads holds that what only a cluster itself reaches is not
// registered: STS would find no keys there, and IAM takes it without a word.
func TestIssuersThatNobodyReads(t *testing.T) {
	for _, url := range []string{"https://kubernetes.default.svc.cluster.local", "https://kubernetes.default.svc", "https://k3s.home.arpa", "https://node.local",
		"https://ip-10-0-0-1.eu-central-1.compute.internal/x", "https://api.localhost"} {
		values := valid()
		values["k3s-aws-auth:issuer"] = `{"register":["` + url + `"]}`
		_, err := loadMap(values)
		require.ErrorContains(t, err, `issuer.register[0]: found "`+url+`": must be an issuer that AWS reaches`)
	}
	long := "https://oidc.example.com/" + strings.Repeat("a", 231)
	values := valid()
	values["k3s-aws-auth:issuer"] = `{"register":["` + long + `"]}`
	_, err := loadMap(values)
	require.ErrorContains(t, err, "at most 255 characters")
	values["k3s-aws-auth:issuer"] = `{"register":["` + long[:255] + `"]}`
	_, err = loadMap(values)
	require.NoError(t, err)
	values = valid()
	values["k3s-aws-auth:issuer"] = `{"register":["https://svc.example.com","https://container.googleapis.com/v1/projects/p/locations/europe-west1/clusters/local"]}`
	_, err = loadMap(values)
	require.NoError(t, err)
}

// TestDatesNeedQuotes holds that no moment gets in where text was meant, whatever
// the key.
func TestDatesNeedQuotes(t *testing.T) {
	for key, text := range map[string]string{
		"tags":        `{"expires":"2026-12-31 00:00:00 +0000 UTC"}`,
		"clusterName": "2026-12-31 00:00:00 +0000 UTC",
		"issuer":      `{"bucket":"2026-12-31 10:20:30.5 +0200 +0200"}`,
	} {
		values := valid()
		values["k3s-aws-auth:"+key] = text
		_, err := loadMap(values)
		require.ErrorContains(t, err, "put it in quotes", key)
	}
	values := valid()
	values["k3s-aws-auth:tags"] = `{"2026-12-31 00:00:00 +0000 UTC":"x"}`
	_, err := loadMap(values)
	require.ErrorContains(t, err, "as a key: must be text: put it in quotes")
	values["k3s-aws-auth:tags"] = `{"expires":"2026-12-31"}`
	_, err = loadMap(values)
	require.NoError(t, err)
}

// TestPodSecurity holds who may set a namespace's level, and that nobody else's is
// touched.
func TestPodSecurity(t *testing.T) {
	one := func(name, more string) string {
		return `{"name":"` + name + `","namespace":"logging","serviceAccount":"` + name + `"` + more + `,"managedPolicyArns":["arn:aws:iam::aws:policy/X"]}`
	}
	load := func(list ...string) (*Config, error) {
		values := valid()
		values["k3s-aws-auth:identities"] = "[" + strings.Join(list, ",") + "]"
		return loadMap(values)
	}
	for _, list := range [][]string{
		{one("a", `,"createNamespace":true`), one("b", `,"createNamespace":true,"podSecurity":"privileged"`)},
		{one("b", `,"createNamespace":true,"podSecurity":"privileged"`), one("a", "")},
	} {
		got, err := load(list...)
		require.NoError(t, err)
		require.Equal(t, []Namespace{{"logging", "privileged"}}, got.Namespaces())
	}
	got, err := load(one("a", `,"createNamespace":true`))
	require.NoError(t, err)
	require.Equal(t, []Namespace{{"logging", "restricted"}}, got.Namespaces())
	_, err = load(one("a", `,"podSecurity":"baseline"`))
	require.ErrorContains(t, err, `identities[0].podSecurity: found "baseline": must be left out unless createNamespace is true`)
	_, err = load(one("a", `,"createNamespace":true,"podSecurity":"none"`))
	require.ErrorContains(t, err, `identities[0].podSecurity: found "none": must be restricted, baseline or privileged`)
	_, err = load(one("a", `,"createNamespace":true,"podSecurity":"baseline"`), one("b", `,"createNamespace":true,"podSecurity":"restricted"`))
	require.ErrorContains(t, err, `identities[1].podSecurity: found "restricted": must be baseline, which identities[0].podSecurity says of the same namespace`)
}

// TestDefaultTags holds that the provider's default tags count with the stack's, on
// whose resources they are.
func TestDefaultTags(t *testing.T) {
	for defaults, want := range map[string]string{
		`{"tags":{"team":"ops","cost center":42}}`: "", // the same key: the stack's counts
		`{"tags":{"Team":"ops"}}`:                  `tags.team: found "team" as the tag's key: must be different from Team by more than letter case`,
		`{"tags":{"aws:x":"y"}}`:                   `aws:defaultTags.tags["aws:x"]: found "aws:x" as the tag's key: must be without the prefix aws:`,
		`{"tags":{"a":"<"}}`:                       `aws:defaultTags.tags.a: found "<": must be at most 256 letters`,
		`{"tags":{"a":"","b":"","c":"","d":"","e":"","f":"","g":"","h":""}}`: "tags: found 9 tags with those of aws:defaultTags: must be at most 8",
		`{"tags":{"k3s-aws-auth/cluster":"x"}}`:                              "which the program writes itself",
		"":                                                                   "", "null": "", "x": "",
	} {
		values := valid()
		values["k3s-aws-auth:tags"], values["aws:defaultTags"] = `{"team":"identity"}`, defaults
		_, err := loadMap(values)
		if want == "" {
			require.NoError(t, err, defaults)
		} else {
			require.ErrorContains(t, err, want)
		}
	}
}

// TestActions holds what IAM takes as an action: case does not count, wildcards are
// behind the colon, and *:* is everything.
func TestActions(t *testing.T) {
	for action, taken := range map[string]bool{
		"*": true, "*:*": true, "s3:*": true, "S3:GETOBJECT": true, "ec2:*Describe?s*": true, "execute-api:Invoke": true,
		"": false, "s3": false, "s3:": false, ":*": false, "s3:*:*": false, "s*:Get": false, "?:*": false, "*:Get*": false, "s3:Get Object": false, " s3:Get": false, "s3:${aws:x}": false,
	} {
		_, err := loadMap(withStatement(t, "eu-central-1", map[string]any{"actions": []string{action}, "resources": []string{"*"}}))
		if taken {
			require.NoError(t, err, action)
		} else {
			require.ErrorContains(t, err, "actions[0]: found "+Quote(action)+": must be service:Action", action)
		}
	}
}
