package impact

import (
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
	for _, c := range []struct {
		name    string
		least   Level
		changes []*preview.Change
	}{
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
		{"another image of a pod", Quiet, pair("kubernetes:core/v1:Pod", "p", spec(props{"containers": []any{props{"image": "a"}}}), spec(props{"containers": []any{props{"image": "b"}}}))},
		{"an administrator of the cluster", Danger, []*preview.Change{created(res("kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding", "b", props{"roleRef": props{"name": "cluster-admin"}, "subjects": []any{props{"kind": "User", "name": "bob"}}}))}},
		{"tokens of others", Danger, []*preview.Change{created(res("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "r", props{"rules": []any{props{"apiGroups": []any{""}, "resources": []any{"serviceaccounts/*", "serviceaccounts/token"}, "verbs": []any{"create"}}}}))}},
		{"fewer verbs", Quiet, pair("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "r", props{"rules": []any{props{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"get", "list"}}}}, props{"rules": []any{props{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"get"}}}})},
		{"injection goes", Warning, []*preview.Change{deleted(res("kubernetes:admissionregistration.k8s.io/v1beta1:MutatingAdmissionPolicy", "p", nil))}},
		{"another role in an annotation", Warning, pair("kubernetes:core/v1:ServiceAccount", "a", account, props{"metadata": props{"annotations": props{"eks.amazonaws.com/role-arn": "b"}}})},

		{"a type that nobody knows", Warning, []*preview.Change{same(podRole(goodTrust)), created(res("aws:foo/bar:Bar", "x", nil))}},
		{"a property that nobody knows", Warning, pair(typeBucket, "b", props{}, props{"objectLockEnabled": true})},
		{"a tag", Quiet, pair(typeBucket, "b", props{"tags": props{"a": "b"}}, props{"tags": props{"a": "c"}})},
		{"secret outputs", Warning, []*preview.Change{updated(res(typePrivateKey, "k", nil, func(r *preview.Resource) { r.SecretOutputs = []string{"privateKeyPem"} }), res(typePrivateKey, "k", nil))}},
		{"kept no longer", Warning, []*preview.Change{step(preview.Same, res(typeBucket, "b", nil, retained), res(typeBucket, "b", nil))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := judge(c.changes...)
			rank := []Level{Quiet, Warning, Danger}
			if c.least == Quiet && r.Verdict != Quiet || slices.Index(rank, r.Verdict) < slices.Index(rank, c.least) {
				t.Errorf("verdict %s, want %s: %+v", r.Verdict, c.least, r.Signs)
			}
		})
	}
}
