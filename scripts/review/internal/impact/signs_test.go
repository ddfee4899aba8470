package impact

import (
	"slices"
	"strings"
	"testing"

	"k3s-aws-auth/scripts/review/internal/preview"
)

type props = map[string]any

const stackURN = "urn:pulumi:t::k3s-aws-auth::"

func urn(typ, name string) string { return stackURN + typ + "::" + name }

// res is a resource with inputs; option functions add what a case needs.
func res(typ, name string, inputs props, options ...func(*preview.Resource)) *preview.Resource {
	r := &preview.Resource{URN: urn(typ, name), Type: typ, Custom: true, Inputs: inputs, Outputs: props{}, PropertyDependencies: map[string][]string{}}
	for _, o := range options {
		o(r)
	}
	return r
}

func protected(r *preview.Resource) { r.Protect = true }
func retained(r *preview.Resource)  { r.RetainOnDelete = true }
func parent(typ string) func(*preview.Resource) {
	return func(r *preview.Resource) { r.Parent = urn(typ, "parent") }
}
func output(k string, v any) func(*preview.Resource) {
	return func(r *preview.Resource) { r.Outputs[k] = v }
}
func needs(property, urn string) func(*preview.Resource) {
	return func(r *preview.Resource) {
		r.Dependencies = append(r.Dependencies, urn)
		r.PropertyDependencies[property] = append(r.PropertyDependencies[property], urn)
	}
}

func step(op preview.Op, before, after *preview.Resource, properties ...string) *preview.Change {
	return &preview.Change{Op: op, Before: before, After: after, Properties: properties}
}

func created(r *preview.Resource) *preview.Change    { return step(preview.Create, nil, r) }
func deleted(r *preview.Resource) *preview.Change    { return step(preview.Delete, r, nil) }
func replaced(r *preview.Resource) *preview.Change   { return step(preview.Replace, r, r) }
func same(r *preview.Resource) *preview.Change       { return step(preview.Same, r, r) }
func updated(b, a *preview.Resource) *preview.Change { return step(preview.Update, b, a) }

func judge(changes ...*preview.Change) *Report {
	return Review(&preview.Preview{Stack: "t", Changes: changes, Complete: true})
}

func ids(r *Report, level Level) []string {
	var list []string
	for _, s := range r.Signs {
		if s.Level == level {
			list = append(list, s.ID)
		}
	}
	return list
}

const (
	providerARN = "arn:aws:iam::111122223333:oidc-provider/oidc.example.com"
	goodTrust   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + providerARN + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"oidc.example.com:aud":"sts.amazonaws.com","oidc.example.com:sub":"system:serviceaccount:default:uploader"}}}]}`
	raTrust     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rolesanywhere.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:rolesanywhere:eu-central-1:111122223333:trust-anchor/a"},"StringEquals":{"aws:PrincipalTag/x509Subject/CN":"default.uploader"}}}]}`
	ec2Trust    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	keyARN      = "arn:aws:ssm:eu-central-1:111122223333:parameter/k3s-aws-auth/lab/server/service-account/1.key"
)

func podRole(trust string, more ...func(*preview.Resource)) *preview.Resource {
	return res(typeRole, "uploader-role", props{"assumeRolePolicy": trust, "name": "uploader"}, more...)
}

func inline(policy string) *preview.Resource {
	return res(typeRolePolicy, "uploader-policy", props{"policy": policy, "role": "uploader"}, needs("role", urn(typeRole, "uploader-role")))
}

func allow(action, resource string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}]}`
}

func trustChange(from, to string) []*preview.Change {
	return []*preview.Change{updated(podRole(from), podRole(to))}
}

func permissionChange(from, to string) []*preview.Change {
	return []*preview.Change{same(podRole(goodTrust)), updated(inline(from), inline(to))}
}

func instance(name string, hop int, tokens string) *preview.Resource {
	return res(typeInstance, name, props{"metadataOptions": props{"httpEndpoint": "enabled", "httpPutResponseHopLimit": float64(hop), "httpTokens": tokens}})
}

func server(userData string) *preview.Resource {
	r := instance("lab-cluster-server-0", 1, "required")
	r.Inputs["userData"] = userData
	return r
}

func provider(name, url string, clients ...any) *preview.Resource {
	return res(typeOIDCProvider, name, props{"url": url, "clientIdLists": clients})
}

func jwks(content string, keys ...string) *preview.Resource {
	r := res("aws:s3/bucketObjectv2:BucketObjectv2", "jwks", props{"key": "openid/v1/jwks", "content": content}, output("arn", "arn:aws:s3:::issuer/openid/v1/jwks"))
	for _, k := range keys {
		r.Dependencies = append(r.Dependencies, urn(typePrivateKey, k))
	}
	return r
}

func bucketPolicy(principal, action, resource, condition string, more ...func(*preview.Resource)) *preview.Resource {
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"` + action + `","Resource":"` + resource + `"` + condition + `}]}`
	return res(typeBucketPolicy, "policy", props{"policy": text, "bucket": "b"}, more...)
}

func block(on bool, more ...func(*preview.Resource)) *preview.Resource {
	return res(typeAccessBlock, "access", props{"blockPublicAcls": true, "ignorePublicAcls": true, "blockPublicPolicy": on, "restrictPublicBuckets": on, "bucket": "b"}, more...)
}

func anchor(pem string, enabled bool) *preview.Resource {
	return res(typeTrustAnchor, "anchor", props{"enabled": enabled, "source": props{"sourceData": props{"x509CertificateData": pem}}})
}

func pem(body string) string {
	return "-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----\n"
}

// TestDangerSigns has for each sign a change that raises it, and the change beside it that must not.
func TestDangerSigns(t *testing.T) {
	replace := strings.NewReplacer
	key, ca := res(typePrivateKey, "signing-key-1", nil), res(typeSelfSigned, "ca", props{"isCaCertificate": true}, needs("privateKeyPem", urn(typePrivateKey, "ca-key")))
	cases := []struct {
		id      string
		danger  []*preview.Change
		quieter []*preview.Change
	}{
		{"trust-subject-wildcard",
			trustChange(goodTrust, replace("StringEquals", "StringLike", "default:uploader", "*").Replace(goodTrust)),
			trustChange(goodTrust, replace("StringEquals", "StringLike").Replace(goodTrust))},
		{"trust-subject-wildcard", // a whole namespace
			trustChange(goodTrust, replace("StringEquals", "StringLike", "default:uploader", "default:*").Replace(goodTrust)), nil},
		{"trust-subject-wildcard", // no sub at all
			trustChange(goodTrust, replace(`,"oidc.example.com:sub":"system:serviceaccount:default:uploader"`, "").Replace(goodTrust)), nil},
		{"trust-audience-missing",
			trustChange(goodTrust, replace(`"oidc.example.com:aud":"sts.amazonaws.com",`, "").Replace(goodTrust)),
			trustChange(goodTrust, replace("sts.amazonaws.com\",", "another.example.com\",").Replace(goodTrust))},
		{"trust-any-certificate",
			trustChange(raTrust, replace(`,"StringEquals":{"aws:PrincipalTag/x509Subject/CN":"default.uploader"}`, "").Replace(raTrust)),
			trustChange(raTrust, replace("default.uploader", "default.other").Replace(raTrust))},
		{"trust-any-anchor",
			trustChange(raTrust, replace(`"ArnEquals":{"aws:SourceArn":"arn:aws:rolesanywhere:eu-central-1:111122223333:trust-anchor/a"},`, "").Replace(raTrust)), nil},
		{"trust-anybody",
			trustChange(goodTrust, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}`),
			trustChange(goodTrust, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":"sts:AssumeRole"}]}`)},
		{"boundary-removed",
			[]*preview.Change{updated(podRole(goodTrust, func(r *preview.Resource) { r.Inputs["permissionsBoundary"] = "arn:aws:iam::111122223333:policy/b" }), podRole(goodTrust))}, nil},
		{"permissions-escalate", permissionChange(allow("s3:GetObject", "*"), allow("*", "*")), permissionChange(allow("s3:GetObject", "arn:aws:s3:::b/*"), allow("s3:*", "arn:aws:s3:::b/*"))},
		{"permissions-escalate", permissionChange(allow("s3:GetObject", "*"), allow("iam:PutRole*", "*")), permissionChange(allow("s3:GetObject", "*"), allow("iam:GetRole", "*"))},
		{"permissions-escalate", permissionChange(allow("s3:GetObject", "*"), allow("iam:PassRole", "*")), permissionChange(allow("s3:GetObject", "*"), allow("iam:PassRole", "arn:aws:iam::111122223333:role/one"))},
		{"reads-signing-key",
			append(permissionChange(allow("s3:GetObject", "*"), allow("ssm:Get*", "arn:aws:ssm:*:*:parameter/k3s-aws-auth/*")), same(res(typeParameter, "service.key", props{"type": "SecureString"}, output("arn", keyARN)))),
			append(permissionChange(allow("s3:GetObject", "*"), allow("ssm:Get*", "arn:aws:ssm:*:*:parameter/k3s-aws-auth/lab/agent/*")), same(res(typeParameter, "service.key", props{"type": "SecureString"}, output("arn", keyARN))))},
		{"writes-key-set",
			append(permissionChange(allow("s3:GetObject", "*"), allow("s3:Put*", "arn:aws:s3:::issuer/*")), same(jwks("{}"))),
			append(permissionChange(allow("s3:GetObject", "*"), allow("s3:Put*", "arn:aws:s3:::other/*")), same(jwks("{}")))},
		{"issuer-changed",
			[]*preview.Change{deleted(provider("old", "https://old.example.com")), created(provider("new", "https://new.example.com"))},
			[]*preview.Change{same(provider("old", "https://old.example.com")), created(provider("new", "https://new.example.com"))}},
		{"oidc-provider-replaced",
			[]*preview.Change{replaced(provider("p", "https://oidc.example.com"))},
			[]*preview.Change{updated(provider("p", "https://oidc.example.com", "a"), provider("p", "https://oidc.example.com", "a", "b"))}},
		{"audience-removed",
			[]*preview.Change{updated(provider("p", "https://oidc.example.com", "sts.amazonaws.com"), provider("p", "https://oidc.example.com", "b"))}, nil},
		{"issuer-dropped",
			[]*preview.Change{updated(server("  - service-account-issuer=https://a\n"), server("  - service-account-issuer=https://b\n"))},
			[]*preview.Change{updated(server("  - service-account-issuer=https://a\n"), server("  - service-account-issuer=https://b\n  - service-account-issuer=https://a\n"))}},
		{"trust-anchor-replaced", []*preview.Change{replaced(anchor(pem("A"), true))}, nil},
		{"trust-anchor-disabled", []*preview.Change{updated(anchor(pem("A"), true), anchor(pem("A"), false))}, nil},
		{"ca-replaced",
			[]*preview.Change{updated(anchor(pem("A"), true), anchor(preview.Unknown, true))},
			[]*preview.Change{updated(anchor(pem("A"), true), anchor(pem("B")+pem("A"), true))}},
		{"ca-replaced",
			[]*preview.Change{replaced(ca)},
			[]*preview.Change{replaced(res(typeLocallySigned, "leaf", props{"isCaCertificate": false}))}},
		{"ca-replaced",
			[]*preview.Change{replaced(res(typePrivateKey, "ca-key", nil)), same(ca)},
			[]*preview.Change{replaced(res(typePrivateKey, "leaf-key", nil)), same(res("tls:index/certRequest:CertRequest", "leaf", nil, needs("privateKeyPem", urn(typePrivateKey, "leaf-key"))))}},
		{"signing-key-replaced",
			[]*preview.Change{replaced(key), same(jwks("{}", "signing-key-1"))},
			[]*preview.Change{same(key), created(res(typePrivateKey, "signing-key-2", nil)), updated(jwks("{}", "signing-key-1"), jwks(preview.Unknown, "signing-key-1", "signing-key-2"))}},
		{"jwks-key-removed",
			[]*preview.Change{updated(jwks(`{"keys":[{"kid":"a"},{"kid":"b"}]}`), jwks(`{"keys":[{"kid":"b"}]}`))},
			[]*preview.Change{updated(jwks(`{"keys":[{"kid":"a"}]}`), jwks(`{"keys":[{"kid":"b"},{"kid":"a"}]}`))}},
		{"jwks-key-removed", // computed: the old key is no longer an input
			[]*preview.Change{updated(jwks("{}", "signing-key-1"), jwks(preview.Unknown, "signing-key-2"))},
			[]*preview.Change{updated(jwks("{}", "signing-key-1"), jwks(preview.Unknown, "signing-key-1", "signing-key-2"))}},
		{"issuer-document-deleted", []*preview.Change{deleted(jwks("{}"))}, nil},
		{"server-replaced",
			[]*preview.Change{replaced(server(""))},
			[]*preview.Change{replaced(instance("lab-cluster-agent-0", 1, "required"))}},
		{"bucket-public",
			[]*preview.Change{updated(block(true), block(false))},
			[]*preview.Change{created(block(false, parent(typeBucketIssuer)))}},
		{"bucket-public", []*preview.Change{deleted(block(true))}, nil},
		{"bucket-public",
			[]*preview.Change{created(bucketPolicy(`"*"`, "s3:GetObject", "arn:aws:s3:::b/*", ""))},
			[]*preview.Change{created(bucketPolicy(`"*"`, "s3:GetObject", "arn:aws:s3:::b/.well-known/openid-configuration", "", parent(typeBucketIssuer)))}},
		{"bucket-public", // the issuer's bucket, but more than its documents
			[]*preview.Change{updated(bucketPolicy(`"*"`, "s3:GetObject", "arn:aws:s3:::b/openid/v1/jwks", "", parent(typeBucketIssuer)),
				bucketPolicy(`"*"`, "s3:*", "arn:aws:s3:::b/openid/v1/jwks", "", parent(typeBucketIssuer)))},
			[]*preview.Change{created(bucketPolicy(`{"Service":"cloudfront.amazonaws.com"}`, "s3:GetObject", "arn:aws:s3:::b/*", ""))}},
		{"bucket-public",
			[]*preview.Change{created(bucketPolicy(`{"AWS":"*"}`, "s3:PutObject", "arn:aws:s3:::b/*", ""))},
			[]*preview.Change{created(bucketPolicy(`{"AWS":"*"}`, "s3:PutObject", "arn:aws:s3:::b/*", `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`))}},
		{"bucket-public", []*preview.Change{created(res(typeBucketACL, "acl", props{"acl": "public-read"}))}, []*preview.Change{created(res(typeBucketACL, "acl", props{"acl": "private"}))}},
		{"hop-limit-raised",
			[]*preview.Change{updated(instance("lab-cluster-agent-0", 1, "required"), instance("lab-cluster-agent-0", 2, "required"))},
			[]*preview.Change{updated(instance("lab-cluster-agent-0", 2, "required"), instance("lab-cluster-agent-0", 1, "required"))}},
		{"hop-limit-raised", []*preview.Change{created(instance("lab-cluster-server-1", 2, "required"))}, []*preview.Change{created(instance("lab-cluster-agent-1", 2, "required"))}},
		{"imdsv1",
			[]*preview.Change{updated(instance("lab-cluster-agent-0", 1, "required"), instance("lab-cluster-agent-0", 1, "optional"))},
			[]*preview.Change{updated(instance("lab-cluster-agent-0", 1, "optional"), instance("lab-cluster-agent-0", 1, "required"))}},
		{"imdsv1", []*preview.Change{created(instance("lab-cluster-agent-0", 1, "optional"))}, nil},
		{"protect-removed",
			[]*preview.Change{step(preview.Same, res(typeBucket, "b", nil, protected), res(typeBucket, "b", nil))},
			[]*preview.Change{step(preview.Same, res(typeBucket, "b", nil), res(typeBucket, "b", nil, protected))}},
		{"data-deleted", []*preview.Change{deleted(res(typeBucket, "b", nil))}, []*preview.Change{deleted(res(typeBucket, "b", nil, retained))}},
		{"data-deleted", []*preview.Change{replaced(res("kubernetes:core/v1:PersistentVolumeClaim", "data", nil))}, []*preview.Change{replaced(res("kubernetes:core/v1:Pod", "pod", nil))}},
		{"secret-plain",
			[]*preview.Change{updated(res(typeParameter, "p", props{"value": preview.Secret}), res(typeParameter, "p", props{"value": "hunter2"}))},
			[]*preview.Change{updated(res(typeParameter, "p", props{"value": preview.Secret}), res(typeParameter, "p", props{"value": preview.Unknown}))}},
		{"secret-plain", []*preview.Change{updated(res(typeParameter, "p", props{"type": "SecureString"}), res(typeParameter, "p", props{"type": "String"}))}, nil},
		{"secret-plain",
			[]*preview.Change{created(res(typeInstance, "lab-agent-0", props{"userData": "x\n-----BEGIN RSA PRIVATE KEY-----\n", "metadataOptions": props{"httpTokens": "required"}}))},
			[]*preview.Change{created(res(typeInstance, "lab-agent-0", props{"userData": "x\n-----BEGIN PUBLIC KEY-----\n", "metadataOptions": props{"httpTokens": "required"}}))}},
	}
	for i, c := range cases {
		t.Run(c.id, func(t *testing.T) {
			r := judge(c.danger...)
			if !slices.Contains(ids(r, Danger), c.id) {
				t.Errorf("case %d: no danger sign %s, but %q and warnings %q", i, c.id, ids(r, Danger), ids(r, Warning))
			}
			if c.quieter == nil {
				return
			}
			if r := judge(c.quieter...); slices.Contains(ids(r, Danger), c.id) {
				t.Errorf("case %d: danger sign %s where there is none: %+v", i, c.id, r.Signs)
			}
		})
	}
}

func TestThreeServersLoseOne(t *testing.T) {
	var changes []*preview.Change
	for _, n := range []string{"lab-cluster-server-0", "lab-cluster-server-1"} {
		changes = append(changes, same(instance(n, 1, "required")))
	}
	r := judge(append(changes, replaced(instance("lab-cluster-server-2", 1, "required")))...)
	if r.Verdict != Warning || !slices.Contains(ids(r, Warning), "server-replaced") {
		t.Errorf("one of three servers: %+v", r.Signs)
	}
}

func TestUnknownTrustIsNeverSilent(t *testing.T) {
	r := judge(trustChange(goodTrust, preview.Unknown)...)
	if !r.Reaches(Warning) || !slices.Contains(ids(r, Warning), "unclear") {
		t.Errorf("a trust that nobody can see passes: %+v", r.Signs)
	}
	if r := judge(created(podRole(preview.Unknown))); r.Reaches(Warning) {
		t.Errorf("a new role on a new provider is not suspicious: %+v", r.Signs)
	}
}

func TestFailedPreviewIsDangerous(t *testing.T) {
	r := Review(&preview.Preview{Stack: "t", Errors: []string{"boom"}, Complete: true})
	if r.Verdict != Danger {
		t.Errorf("verdict %s", r.Verdict)
	}
}

func TestEvaluationNotText(t *testing.T) {
	// Another text, the same permissions: nothing gained, nothing lost.
	from := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::b/*"}]}`
	to := `{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow","Action":"s3:PutObject","Resource":["arn:aws:s3:::b/*"]},{"Sid":"B","Effect":"Allow","Action":"S3:getobject","Resource":"arn:aws:s3:::b/*"}]}`
	if r := judge(permissionChange(from, to)...); len(r.Identities) != 0 {
		t.Errorf("the same permissions in other words: %+v", r.Identities)
	}
	// A Deny that goes is a gain.
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/*"},{"Effect":"Deny","Action":"s3:DeleteObject","Resource":"*"}]}`
	r := judge(permissionChange(deny, allow("s3:*", "arn:aws:s3:::b/*"))...)
	if len(r.Identities) != 1 || len(r.Identities[0].PermissionsGained) != 1 || r.Identities[0].PermissionsGained[0].Action != "s3:DeleteObject" ||
		r.Identities[0].PermissionsGained[0].Resource != "arn:aws:s3:::b/*" {
		t.Errorf("a Deny went: %+v", r.Identities)
	}
}

// TestDenialUnderManagedPolicy: a Deny that goes is a gain under a managed policy that stays, whether or not its content is known.
func TestDenialUnderManagedPolicy(t *testing.T) {
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::locked/*"}]}`
	for _, name := range []string{"AmazonS3FullAccess", "ReadOnlyAccess"} {
		attached := res(typeAttachment, "a", props{"role": "uploader", "policyArn": "arn:aws:iam::aws:policy/" + name})
		r := judge(same(podRole(goodTrust)), same(attached), deleted(inline(deny)))
		if len(r.Identities) != 1 || len(r.Identities[0].PermissionsGained) != 1 || r.Identities[0].PermissionsGained[0].Resource != "arn:aws:s3:::locked/*" {
			t.Errorf("%s: a Deny went: %+v", name, r.Identities)
		}
	}
}
