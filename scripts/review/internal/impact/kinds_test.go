package impact

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"k3s-aws-auth/scripts/review/internal/preview"
)

func pair(typ, name string, was, is props, more ...func(*preview.Resource)) []*preview.Change {
	return []*preview.Change{updated(res(typ, name, was, more...), res(typ, name, is, more...))}
}

func beside(list []*preview.Change, more ...*preview.Change) []*preview.Change {
	return append(list, more...)
}

func statements(list ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`
}

// TestKinds has changes of every kind that gives somebody something, each with the least that must be said, and beside them
// changes that give nobody anything. What is found of the first is allowed to be worse.
func TestKinds(t *testing.T) {
	put := `{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*"}`
	perm := func(from, to string) []*preview.Change {
		return permissionChange(statements(from), statements(to))
	}
	with := func(more string) []*preview.Change { return perm(put, put+","+more) }
	trust := func(replace ...string) []*preview.Change {
		return trustChange(goodTrust, strings.NewReplacer(replace...).Replace(goodTrust))
	}
	add := func(statement string) []*preview.Change {
		return trustChange(goodTrust, strings.Replace(goodTrust, `"Statement":[`, `"Statement":[`+statement+`,`, 1))
	}
	object := func(key, content string) props { return props{"key": key, "content": content} }
	const objectType = "aws:s3/bucketObjectv2:BucketObjectv2"
	spec := func(s props) props { return props{"spec": s} }
	cluster := func(flags string) props { return props{"userData": "ROLE=server\nkube-apiserver-arg:\n" + flags} }
	account := props{"metadata": props{"annotations": props{"eks.amazonaws.com/role-arn": "a"}}}
	discovery := `{"issuer":"https://i.example.com","jwks_uri":"https://i.example.com/openid/v1/jwks","x":1}`
	judgeAll(t, []kindCase{
		{"the same in other words", Quiet, perm(put, `{"Sid":"x","Effect":"Allow","Action":["S3:putobject"],"Resource":["arn:aws:s3:::b/*"]}`)},
		{"a condition more", Quiet, perm(put, strings.TrimSuffix(put, "}")+`,"Condition":{"Bool":{"aws:SecureTransport":"true"}}}`)},
		{"iam under a condition", Danger, with(`{"Effect":"Allow","Action":"iam:*","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}`)},
		{"everything but", Danger, with(`{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`)},
		{"a wildcard in an action", Danger, with(`{"Effect":"Allow","Action":"iam:PutRolePolic?","Resource":"*"}`)},
		{"some roles", Warning, with(`{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::1:role/a*"}`)},
		{"a denial of iam goes", Danger, perm(`{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"iam:*","Resource":"*"}`, `{"Effect":"Allow","Action":"*","Resource":"*"}`)},
		{"iam on objects of a bucket is nothing", Quiet, with(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/x"}`)},
		{"a policy that cannot be read", Warning, permissionChange(statements(put), "{")},
		{"a policy that is a secret", Warning, permissionChange(statements(put), preview.Secret)},
		{"a known policy of AWS", Quiet, beside([]*preview.Change{same(podRole(goodTrust))}, created(res(typeAttachment, "a", props{"role": "uploader", "policyArn": "arn:aws:iam::aws:policy/CloudWatchAgentServerPolicy"})))},
		{"an unknown policy of AWS", Warning, beside([]*preview.Change{same(podRole(goodTrust))}, created(res(typeAttachment, "a", props{"role": "uploader", "policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"})))},
		{"an administrator elsewhere", Danger, []*preview.Change{created(res(typeAttachment, "a", props{"role": "another", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"})), same(podRole(goodTrust))}},
		{"an administrator by group", Danger, []*preview.Change{created(res("aws:iam/groupPolicy:GroupPolicy", "g", props{"group": "g", "policy": allow("*", "*")}))}},
		{"a policy that nobody here has", Danger, pair(typePolicy, "p", props{"policy": allow("s3:GetObject", "*")}, props{"policy": allow("iam:*", "*")})},
		{"an access key", Warning, []*preview.Change{same(podRole(goodTrust)), created(res("aws:iam/accessKey:AccessKey", "k", props{"user": "u"}))}},
		{"another boundary", Warning, []*preview.Change{updated(podRole(goodTrust, func(r *preview.Resource) { r.Inputs["permissionsBoundary"] = "arn:aws:iam::111122223333:policy/b" }), podRole(goodTrust, func(r *preview.Resource) { r.Inputs["permissionsBoundary"] = "arn:aws:iam::111122223333:policy/c" }))}},
		{"a role anew", Warning, []*preview.Change{replaced(podRole(goodTrust))}},

		{"a session's name asked for", Quiet, trust(`"StringEquals":{`, `"StringEquals":{"sts:RoleSessionName":"x",`)},
		{"claims that are always there", Quiet, trust(`"StringEquals"`, `"StringEqualsIfExists"`)},
		{"one more audience", Warning, trust(`"sts.amazonaws.com"`, `["sts.amazonaws.com","vault"]`)},
		{"a subject with a question mark", Warning, trust("StringEquals", "StringLike", "uploader", "uploade?")},
		{"a subject that is not somebody", Danger, trust(`,"oidc.example.com:sub":"system:serviceaccount:default:uploader"}`, `},"StringNotEquals":{"oidc.example.com:sub":"x"}`)},
		{"SAML", Warning, add(`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::1:saml-provider/x"},"Action":"sts:AssumeRoleWithSAML"}`)},
		{"anybody of an organization", Warning, add(`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}`)},
		{"anybody with a name of their choice", Danger, add(`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:RoleSessionName":"x"}}}`)},
		{"everybody but one", Danger, add(`{"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::1:root"},"Action":"sts:AssumeRole"}`)},
		{"any anchor of the account", Danger, trustChange(raTrust, strings.NewReplacer("ArnEquals", "ArnLike", "trust-anchor/a", "trust-anchor/*").Replace(raTrust))},
		{"another anchor", Warning, trustChange(raTrust, strings.Replace(raTrust, "trust-anchor/a", "trust-anchor/b", 1))},
		{"certificates of a namespace", Warning, trustChange(raTrust, strings.NewReplacer("StringEquals", "StringLike", "default.uploader", "default.*").Replace(raTrust))},

		{"a stranger's key", Danger, pair(objectType, "jwks", object("openid/v1/jwks", `{"keys":[{"kid":"a","kty":"RSA","n":"AQ"}]}`), object("openid/v1/jwks", `{"keys":[{"kid":"a","kty":"RSA","n":"AQ"},{"kid":"b","kty":"RSA","n":"Ag"}]}`))},
		{"another key under the same id", Danger, pair(objectType, "jwks", object("openid/v1/jwks", `{"keys":[{"kid":"a","kty":"RSA","n":"AQ"}]}`), object("openid/v1/jwks", `{"keys":[{"kid":"a","kty":"RSA","n":"Ag"}]}`))},
		{"the key set in another layout", Quiet, pair(objectType, "jwks", object("openid/v1/jwks", `{"keys":[{"kid":"a","kty":"RSA","n":"AQ"}]}`), object("openid/v1/jwks", `{ "keys": [ {"kty":"RSA","kid":"a","n":"AQ"} ] }`))},
		{"a file for a key set", Danger, pair(objectType, "jwks", object("openid/v1/jwks", `{"keys":[]}`), props{"key": "openid/v1/jwks", "source": props{"path": "x"}})},
		{"the key set moves", Danger, pair(objectType, "jwks", object("openid/v1/jwks", "{}"), object("openid/v2/jwks", "{}"))},
		{"keys from elsewhere", Danger, pair(objectType, "d", object(".well-known/openid-configuration", discovery), object(".well-known/openid-configuration", strings.Replace(discovery, "https://i.example.com/openid", "https://evil.example.com", 1)))},
		{"another field of the discovery document", Warning, pair(objectType, "d", object(".well-known/openid-configuration", discovery), object(".well-known/openid-configuration", strings.Replace(discovery, `"x":1`, `"x":2`, 1)))},
		{"an origin", Danger, pair(typeDistribution, "cdn", props{"origins": []any{props{"domainName": "a"}}}, props{"origins": []any{props{"domainName": "b"}}})},
		{"plain HTTP", Warning, pair(typeDistribution, "cdn", props{"defaultCacheBehavior": props{"viewerProtocolPolicy": "https-only"}}, props{"defaultCacheBehavior": props{"viewerProtocolPolicy": "allow-all"}})},
		{"a comment", Quiet, pair(typeDistribution, "cdn", props{"comment": "a"}, props{"comment": "b"})},
		{"a record", Danger, beside(pair(typeRecord, "r", props{"name": "oidc.example.com", "records": []any{"1"}}, props{"name": "oidc.example.com", "records": []any{"2"}}), same(provider("p", "https://oidc.example.com")))},
		{"a key's policy", Danger, []*preview.Change{created(res("aws:kms/key:Key", "k", props{"policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`}))}},
		{"a condition that keeps nobody out", Danger, []*preview.Change{created(bucketPolicy(`{"AWS":"*"}`, "s3:PutObject", "arn:aws:s3:::b/*", `,"Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:*"}}`))}},
		{"no block for the account", Danger, []*preview.Change{deleted(res("aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock", "a", props{"blockPublicAcls": true}))}},

		{"everything is allowed in the cluster", Danger, pair(typeInstance, "c-server-0", cluster("  - service-account-issuer=https://a\n"), cluster("  - service-account-issuer=https://a\n  - 'authorization-mode=AlwaysAllow'\n"))},
		{"an issuer in quotes", Danger, pair(typeInstance, "c-server-0", cluster("  - 'service-account-issuer=https://a'\n"), cluster("  - \"service-account-issuer=https://b\"\n"))},
		{"a secret in user data", Danger, pair(typeInstance, "c-agent-0", props{"userData": "x"}, props{"userDataBase64": "QVdTX1NFQ1JFVF9BQ0NFU1NfS0VZPXdKYWxyWFV0bkZFTUkvSzdNREVORy9iUHhSZmlDWUVYQU1QTEVLRVk="})},
		{"what a machine runs", Warning, pair(typeInstance, "c-agent-0", props{"userData": "a"}, props{"userData": "b"})},
		{"an image", Warning, pair(typeInstance, "c-agent-0", props{"ami": "a"}, props{"ami": "b"})},
		{"the world in a group", Warning, pair(typeSecurityGroup, "g", props{}, props{"ingress": []any{props{"protocol": "-1", "cidrBlocks": []any{"0.0.0.0/0"}}}})},
		{"the same rule in another form", Quiet, []*preview.Change{
			updated(res(typeSecurityGroup, "g", props{"ingress": []any{props{"protocol": "tcp", "fromPort": 6443.0, "toPort": 6443.0, "cidrBlocks": []any{"0.0.0.0/0"}}}}), res(typeSecurityGroup, "g", props{})),
			created(res(typeIngressRule, "r", props{"ipProtocol": "tcp", "fromPort": 6443.0, "toPort": 6443.0, "cidrIpv4": "0.0.0.0/0"}, needs("securityGroupId", urn(typeSecurityGroup, "g"))))}},
		{"a plain parameter", Warning, []*preview.Change{same(podRole(goodTrust)), created(res(typeParameter, "p", props{"name": "/k3s-aws-auth/lab/server/token2", "type": "String", "value": "x"}))}},
		{"the address goes", Warning, []*preview.Change{deleted(res("aws:ec2/eip:Eip", "api", nil))}},
		{"the profile goes off", Danger, pair(typeRAProfile, "p", props{"enabled": true}, props{"enabled": false})},
		{"a leaf that signs", Danger, pair(typeLocallySigned, "l", props{"isCaCertificate": false}, props{"isCaCertificate": true})},

		{"the host's network", Danger, pair("kubernetes:core/v1:Pod", "p", spec(props{}), spec(props{"hostNetwork": true}))},
		{"the host's files", Danger, pair("kubernetes:apps/v1:DaemonSet", "p", props{}, spec(props{"template": spec(props{"volumes": []any{props{"hostPath": props{"path": "/"}}}})}))},
		{"another image of a pod", Quiet, pair("kubernetes:core/v1:Pod", "p", spec(props{"containers": []any{props{"image": "a:1"}}}), spec(props{"containers": []any{props{"image": "a:2"}}}))},
		{"an administrator of the cluster", Danger, []*preview.Change{created(res("kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding", "b", props{"roleRef": props{"name": "cluster-admin"}, "subjects": []any{props{"kind": "User", "name": "bob"}}}))}},
		{"tokens of others", Danger, []*preview.Change{created(res("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "r", props{"rules": []any{props{"apiGroups": []any{""}, "resources": []any{"serviceaccounts/*", "serviceaccounts/token"}, "verbs": []any{"create"}}}}))}},
		{"tokens to pull by", Warning, pulling("system:nodes", props{"resourceNames": []any{"uploader"}, "verbs": []any{pullVerb}})},
		{"tokens of everybody to pull by", Warning, pulling("system:nodes", props{"verbs": []any{pullVerb}})},
		{"tokens of any audience", Danger, pulling("system:nodes", props{"resources": []any{"*"}, "verbs": []any{pullVerb}})},
		{"tokens to pull by, and more", Danger, pulling("system:nodes", props{"verbs": []any{pullVerb, "get"}})},
		{"tokens to pull by, for pods", Danger, pulling("system:serviceaccounts", props{"verbs": []any{pullVerb}})},
		{"another role of pulls", Warning, pair("kubernetes:core/v1:ServiceAccount", "a", props{"metadata": props{"name": "a", "annotations": props{"eks.amazonaws.com/ecr-role-arn": "x"}}}, props{"metadata": props{"name": "a"}})},
		{"fewer verbs", Quiet, pair("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "r", props{"rules": []any{props{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"get", "list"}}}}, props{"rules": []any{props{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"get"}}}})},
		{"injection goes", Warning, []*preview.Change{deleted(res("kubernetes:admissionregistration.k8s.io/v1beta1:MutatingAdmissionPolicy", "p", nil))}},
		{"injection does something else", Warning, pair("kubernetes:admissionregistration.k8s.io/v1beta1:MutatingAdmissionPolicy", "p",
			props{"spec": props{"failurePolicy": "Fail"}}, props{"spec": props{"failurePolicy": "Ignore"}})},
		{"another certificate in an annotation", Warning, pair("kubernetes:core/v1:ServiceAccount", "a",
			props{"metadata": props{"annotations": props{"k3s-aws-auth/certificate": "a"}}}, props{"metadata": props{"annotations": props{"k3s-aws-auth/certificate": "b"}}})},
		{"a ServiceAccount that is injected no longer", Warning, pair("kubernetes:core/v1:ServiceAccount", "a",
			props{"metadata": props{"labels": props{"k3s-aws-auth/injection": "enabled"}}}, props{"metadata": props{"labels": props{}}})},
		{"a ServiceAccount that is injected now", Quiet, pair("kubernetes:core/v1:ServiceAccount", "a",
			props{"metadata": props{}}, props{"metadata": props{"labels": props{"k3s-aws-auth/injection": "enabled"}}})},
		{"another role in an annotation", Warning, pair("kubernetes:core/v1:ServiceAccount", "a", account, props{"metadata": props{"annotations": props{"eks.amazonaws.com/role-arn": "b"}}})},

		{"a type that nobody knows", Warning, []*preview.Change{same(podRole(goodTrust)), created(res("aws:foo/bar:Bar", "x", nil))}},
		{"a property that nobody knows", Warning, pair(typeBucket, "b", props{}, props{"objectLockEnabled": true})},
		{"a tag", Quiet, pair(typeBucket, "b", props{"tags": props{"a": "b"}}, props{"tags": props{"a": "c"}})},
		{"secret outputs", Warning, []*preview.Change{updated(res(typePrivateKey, "k", nil, func(r *preview.Resource) { r.SecretOutputs = []string{"privateKeyPem"} }), res(typePrivateKey, "k", nil))}},
		{"kept no longer", Warning, []*preview.Change{step(preview.Same, res(typeBucket, "b", nil, retained), res(typeBucket, "b", nil))}},
	})
}

// kindCase is a change, with the least that must be said of it; Quiet is exact.
type kindCase struct {
	name    string
	least   Level
	changes []*preview.Change
}

func judgeAll(t *testing.T, cases []kindCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := judge(c.changes...)
			rank := []Level{Quiet, Warning, Danger}
			if c.least == Quiet && r.Verdict != Quiet || slices.Index(rank, r.Verdict) < slices.Index(rank, c.least) {
				t.Errorf("verdict %s, want %s: %+v", r.Verdict, c.least, r.Signs)
			}
		})
	}
}

// TestNewBesideWhatIsNotShown: a preview without the resources that stay is not a stack's first one.
func TestNewBesideWhatIsNotShown(t *testing.T) {
	issuer := created(provider("p", "https://evil.example.com"))
	for complete, want := range map[bool]bool{true: false, false: true} {
		r := Review(&preview.Preview{Stack: "t", Changes: []*preview.Change{issuer}, Complete: complete})
		if got := slices.Contains(ids(r, Warning), "issuer-added"); got != want {
			t.Errorf("complete %t: issuer-added %t, want %t: %+v", complete, got, want, r.Signs)
		}
	}
}

// TestKindsAround has what stands around identities: what is switched on, what leads to an issuer, what copies a secret, and
// what changes an object that is not there to see.
func TestKindsAround(t *testing.T) {
	role := same(podRole(raTrust, output("arn", "arn:aws:iam::111122223333:role/uploader")))
	arns := []any{"arn:aws:iam::111122223333:role/uploader"}
	profile := func(name string, more props) *preview.Resource {
		p := props{"roleArns": arns}
		for k, v := range more {
			p[k] = v
		}
		return res(typeRAProfile, name, p)
	}
	limited := props{"sessionPolicy": allow("s3:*", "*")}
	record := func(name, recordName, kind, to string) *preview.Resource {
		return res(typeRecord, name, props{"name": recordName, "type": kind, "records": []any{to}})
	}
	issuer := same(provider("p", "https://oidc.example.com"))
	known := same(record("r", "oidc.example.com", "A", "192.0.2.1"))
	pod := func(spec props) props { return props{"spec": spec} }
	const podType, clusterRole = "kubernetes:core/v1:Pod", "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"
	image := func(name string) props { return pod(props{"containers": []any{props{"image": name}}}) }
	seccomp := func(kind string) props {
		return pod(props{"securityContext": props{"seccompProfile": props{"type": kind}}})
	}
	secretRules := []any{props{"apiGroups": []any{""}, "resources": []any{"secrets"}, "verbs": []any{"get"}}}
	labelled := func(label string) props { return props{"metadata": props{"labels": props{label: "true"}}} }
	disk := func(on bool) props { return props{"rootBlockDevice": props{"encrypted": on}} }
	bucket := res(typeBucket, "b", props{"bucket": "b"})
	rules := res("aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", "l", props{"bucket": "b"}, needs("bucket", urn(typeBucket, "b")))
	signing := res(typePrivateKey, "signing-key-1", nil)
	at := func(name string) *preview.Resource {
		return res(typeParameter, "copy", props{"name": name, "type": "SecureString", "value": preview.Secret}, needs("value", urn(typePrivateKey, "signing-key-1")))
	}
	exclusive := func(arn string) *preview.Resource {
		return res(typeExclusive, "x", props{"roleName": "uploader", "policyArns": []any{arn}})
	}
	by := func(provider string) *preview.Resource {
		return res(typeBucket, "b", nil, func(r *preview.Resource) { r.Provider = "urn:pulumi:t::p::pulumi:providers:aws::" + provider + "::id" })
	}
	route := func(name string, p props) *preview.Resource { return res("aws:ec2/route:Route", name, p) }
	document := func(more props) props {
		p := props{"key": "openid/v1/jwks", "content": `{"keys":[{"kid":"a","kty":"RSA","n":"AQ"}]}`}
		for k, v := range more {
			p[k] = v
		}
		return p
	}
	attached := func(arn string) *preview.Resource {
		return res(typeAttachment, "a", props{"role": "uploader", "policyArn": arn})
	}
	boots := func(text string) props { return props{"userData": "ROLE=server\nkubelet-arg:\n" + text} }
	part := func(text string) props {
		return props{"userData": "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"B\"\n\n--B\nContent-Type: text/cloud-config\nContent-Transfer-Encoding: base64\n\n" +
			base64.StdEncoding.EncodeToString([]byte(text)) + "\n--B--\n"}
	}
	imds := props{"httpTokens": "required", "httpPutResponseHopLimit": 1.0}
	issuers := "ROLE=server\nkube-apiserver-arg:\n  - service-account-issuer=https://a\n"
	ignoreCase := strings.Replace(goodTrust, "StringEquals", "StringEqualsIgnoreCase", 1)
	judgeAll(t, []kindCase{
		{"an anchor goes on", Warning, pair(typeTrustAnchor, "a", props{"enabled": false}, props{"enabled": true})},
		{"a profile goes on", Warning, []*preview.Change{role, updated(profile("p", props{"enabled": false}), profile("p", props{"enabled": true}))}},
		{"a profile without the other's session policy", Warning, []*preview.Change{role, same(profile("p", limited)), created(profile("q", nil))}},
		{"a profile that gives the same", Quiet, []*preview.Change{role, same(profile("p", nil)), created(profile("q", nil))}},
		{"a profile for a stranger's role", Warning, []*preview.Change{role, same(profile("p", nil)), created(profile("q", props{"roleArns": []any{"arn:aws:iam::111122223333:role/admin"}}))}},
		{"a subject in any case", Warning, trustChange(goodTrust, ignoreCase)},
		{"the keys by their path", Danger, beside(permissionChange(allow("s3:GetObject", "*"), statements(
			`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`, `{"Effect":"Allow","Action":"ssm:GetParametersByPath","Resource":"arn:aws:ssm:eu-central-1:111122223333:parameter/k3s-aws-auth/lab/server"}`)),
			same(res(typeParameter, "k", props{"name": "/k3s-aws-auth/lab/server/service-account/1.key"}, parent("k3s-aws-auth:k3s:Cluster"), output("arn", keyARN))))},
		{"an administrator by an exclusive list", Danger, []*preview.Change{role, created(exclusive("arn:aws:iam::aws:policy/AdministratorAccess"))}},
		{"denials that nobody knows go", Warning, []*preview.Change{role, deleted(attached("arn:aws:iam::111122223333:policy/guardrails"))}},
		{"a denial of AWS's goes", Warning, []*preview.Change{role, deleted(attached("arn:aws:iam::aws:policy/AWSDenyAll"))}},
		{"a policy of AWS's goes", Quiet, []*preview.Change{role, deleted(attached("arn:aws:iam::aws:policy/ReadOnlyAccess"))}},
		{"a new role whose trust is not known", Warning, []*preview.Change{role, created(res(typeRole, "r", props{"assumeRolePolicy": preview.Unknown}))}},

		{"an issuer's second address", Danger, []*preview.Change{issuer, known, created(record("r6", "oidc.example.com", "AAAA", "2001:db8::1"))}},
		{"an issuer's address again", Danger, []*preview.Change{issuer, known, created(record("s", "OIDC.example.com.", "A", "203.0.113.1"))}},
		{"an issuer's zone delegated", Danger, []*preview.Change{issuer, created(record("ns", "example.com", "NS", "ns.example.net"))}},
		{"a record in other words", Quiet, []*preview.Change{issuer, updated(record("r", "oidc.example.com", "CNAME", "d1.example.net"), record("r", "OIDC.example.com.", "CNAME", "D1.example.net."))}},
		{"a key set that nobody can decrypt", Warning, pair("aws:s3/bucketObjectv2:BucketObjectv2", "jwks", document(nil), document(props{"serverSideEncryption": "aws:kms"}))},
		{"a key set in the archive", Warning, pair("aws:s3/bucketObjectv2:BucketObjectv2", "jwks", document(nil), document(props{"storageClass": "GLACIER"}))},

		{"a flag in a list of one line", Danger, pair(typeInstance, "c-server-0", boots(""), boots("kubelet-arg: [\"v=2\", \"authorization-mode=AlwaysAllow\"]\n"))},
		{"a flag as a text", Danger, pair(typeInstance, "c-server-0", boots(""), boots("kubelet-arg: anonymous-auth=true\n"))},
		{"a flag on a command line", Danger, pair(typeInstance, "c-server-0", boots(""), boots("k3s server --kubelet-arg=v=2 --kube-apiserver-arg authorization-mode=AlwaysAllow\n"))},
		{"a flag in a part of MIME data", Danger, pair(typeInstance, "c-server-0", part(issuers), part(issuers+"  - authorization-mode=AlwaysAllow\n"))},
		{"a new machine like another", Quiet, []*preview.Change{same(res(typeInstance, "c-agent-0", props{"userData": "a", "metadataOptions": imds})), created(res(typeInstance, "c-agent-1", props{"userData": "a", "metadataOptions": imds}))}},
		{"a new machine unlike another", Warning, []*preview.Change{same(res(typeInstance, "c-agent-0", props{"userData": "a", "metadataOptions": imds})), created(res(typeInstance, "c-agent-1", props{"userData": "b", "metadataOptions": imds}))}},
		{"a new machine that nobody can read", Warning, []*preview.Change{same(bucket), created(res(typeInstance, "c-agent-1", props{"userData": preview.Unknown, "metadataOptions": imds}))}},
		{"a disk in plain", Warning, pair(typeInstance, "c-agent-0", disk(true), disk(false))},
		{"a machine without a role", Warning, pair(typeInstance, "c-agent-0", props{"iamInstanceProfile": "p"}, props{})},
		{"a route to another network", Warning, []*preview.Change{same(bucket), created(route("r", props{"routeTableId": "rtb-1", "vpcPeeringConnectionId": "pcx-1"}))}},
		{"a route to a NAT gateway", Quiet, []*preview.Change{same(bucket), created(route("r", props{"routeTableId": "rtb-1", "natGatewayId": "nat-1"}))}},
		{"public addresses", Warning, pair("aws:ec2/subnet:Subnet", "s", props{}, props{"mapPublicIpOnLaunch": true})},
		{"the signing key where agents read", Danger, []*preview.Change{same(signing), created(at("/k3s-aws-auth/lab/agent/service.key"))}},
		{"the signing key where servers read", Quiet, []*preview.Change{same(signing), created(at("/k3s-aws-auth/lab/server/service-account/1.key"))}},
		{"objects that run out", Warning, []*preview.Change{same(bucket), created(rules)}},
		{"objects of a new bucket that run out", Quiet, []*preview.Change{same(known.After), created(bucket), created(rules)}},
		{"a bucket that goes with what it holds", Warning, pair(typeBucket, "b", props{"forceDestroy": false}, props{"forceDestroy": true})},
		{"another account's provider", Warning, []*preview.Change{updated(by("default_6_1_0"), by("other"))}},
		{"a newer provider", Quiet, []*preview.Change{updated(by("default_6_1_0"), by("default_6_2_0"))}},

		{"a new thing with what nobody knows", Warning, []*preview.Change{same(bucket), created(res(typeBucket, "c", props{"bucket": "c", "websites": []any{props{}}}))}},
		{"a new thing with what is known", Quiet, []*preview.Change{same(bucket), created(res(typeBucket, "c", props{"bucket": "c", "tags": props{}, "__defaults": []any{"x"}, "x": 1.0}))}},
		{"commands by an event", Warning, []*preview.Change{same(bucket), created(res("aws:cloudwatch/eventTarget:EventTarget", "t", props{"rule": "r", "arn": "a", "runCommandTargets": []any{props{}}}))}},
		{"an alarm", Quiet, []*preview.Change{same(bucket), created(res("aws:cloudwatch/metricAlarm:MetricAlarm", "a", props{"metricName": "m", "threshold": 1.0, "alarmActions": []any{"t"}}))}},

		{"an image of somebody else", Warning, pair(podType, "p", image("a.example.com/x:1"), image("b.example.com/x:1"))},
		{"a newer image", Quiet, pair(podType, "p", image("a.example.com:443/x:1"), image("a.example.com:443/x:2@sha256:00"))},
		{"no seccomp profile", Warning, pair(podType, "p", seccomp("RuntimeDefault"), seccomp("Unconfined"))},
		{"a process of the host", Danger, pair(podType, "p", pod(props{}), pod(props{"securityContext": props{"windowsOptions": props{"hostProcess": true}}}))},
		{"tokens to somebody else's STS", Warning, pair(podType, "p", pod(props{"containers": []any{props{}}}), pod(props{"containers": []any{props{"env": []any{props{"name": "AWS_ENDPOINT_URL_STS", "value": "https://sts.example.com"}}}}}))},
		{"rules that become part of another role", Danger, []*preview.Change{updated(
			res(clusterRole, "r", props{"rules": secretRules}), res(clusterRole, "r", props{"rules": secretRules, "metadata": labelled("rbac.authorization.k8s.io/aggregate-to-view")["metadata"]}))}},
		{"another label of a role", Quiet, pair(clusterRole, "r", props{}, labelled("team"))},
		{"a webhook that sees everything", Warning, []*preview.Change{same(bucket), created(res("kubernetes:admissionregistration.k8s.io/v1:ValidatingWebhookConfiguration", "w", props{"webhooks": []any{}}))}},
		{"a Service that leads elsewhere", Warning, pair("kubernetes:core/v1:Service", "s", pod(props{"selector": props{"a": "b"}}), pod(props{"selector": props{"a": "c"}}))},
		{"a Secret in plain", Warning, []*preview.Change{same(bucket), created(res("kubernetes:core/v1:Secret", "s", props{"stringData": props{"password": "x"}}))}},
		{"a patch of what is not there", Warning, []*preview.Change{same(bucket), created(res("kubernetes:core/v1:ServiceAccountPatch", "s", props{"metadata": props{}}))}},
	})
}

// TestImagesThatStay: a machine that has pulled for all pods keeps that, and one that has not keeps nothing.
func TestImagesThatStay(t *testing.T) {
	const byMachine, byPods = "kind: CredentialProviderConfig\nproviders:\n", "kind: CredentialProviderConfig\nproviders:\n  tokenAttributes:\n"
	for _, c := range []struct {
		name, was, is string
		op            preview.Op
		kept          bool
	}{
		{"by the machine, then by pods", byMachine, byPods, preview.Update, true},
		{"on a new machine", byMachine, byPods, preview.Replace, false},
		{"by nobody, then by pods", "a: b\n", byPods, preview.Update, false},
		{"by pods, then by the machine", byPods, byMachine, preview.Update, false},
		{"by pods of another registry", byPods, byPods + "  env:\n", preview.Update, false},
	} {
		r := judge(step(c.op, res(typeInstance, "c-agent-0", props{"userData": "ROLE=agent\n" + c.was}), res(typeInstance, "c-agent-0", props{"userData": "ROLE=agent\n" + c.is})))
		if kept := slices.ContainsFunc(r.Signs, func(s Sign) bool { return s.ID == "images-kept" }); kept != c.kept {
			t.Errorf("%s: kept is %v: %+v", c.name, kept, r.Signs)
		}
	}
}

// pulling is a role that is new and bound to a group.
func pulling(group string, rule props) []*preview.Change {
	rule["apiGroups"] = []any{""}
	if rule["resources"] == nil {
		rule["resources"] = []any{"sts.amazonaws.com"}
	}
	const rbac = "kubernetes:rbac.authorization.k8s.io/v1:"
	return []*preview.Change{
		created(res(rbac+"ClusterRole", "r", props{"metadata": props{"name": "pulls"}, "rules": []any{rule}})),
		created(res(rbac+"ClusterRoleBinding", "b", props{"roleRef": props{"kind": "ClusterRole", "name": "pulls"}, "subjects": []any{props{"kind": "Group", "name": group}}})),
	}
}
