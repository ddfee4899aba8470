package impact

import (
	"encoding/base64"
	"strings"
	"testing"

	"k3s-aws-auth/scripts/review/internal/preview"
)

// TestNothingHides: what is judged and cannot be seen any more is said, of every type and property, at any depth.
func TestNothingHides(t *testing.T) {
	try := func(typ, property string) {
		for _, hidden := range []string{preview.Unknown, preview.Secret} {
			for name, v := range map[string]any{"itself": hidden, "in a list": []any{hidden}, "in a map": props{"x": hidden}} {
				if r := judge(pair(typ, "x", props{property: "a"}, props{property: v})...); r.Verdict == Quiet {
					t.Errorf("%s of %s becomes %s, %s, and nothing is said", property, typ, hidden, name)
				}
			}
		}
	}
	for typ, o := range opinions {
		for _, p := range strings.Fields(o.judged + " " + o.policy) {
			try(typ, p)
		}
	}
	for kind, o := range kubernetesOpinions {
		for _, p := range strings.Fields(o.judged) {
			try("kubernetes:x/v1:"+kind, p)
		}
	}
}

// TestSettingsThatMove: a setting that moves to another bucket is gone from the one that it was of.
func TestSettingsThatMove(t *testing.T) {
	to := func(r *preview.Resource, bucket string) *preview.Resource {
		as := *r
		as.Inputs = props{}
		for k, v := range r.Inputs {
			as.Inputs[k] = v
		}
		as.Inputs["bucket"] = bucket
		return &as
	}
	issuer := parent(typeBucketIssuer)
	read := bucketPolicy(`"*"`, "s3:GetObject", "arn:aws:s3:::b/openid/v1/jwks", "", issuer)
	owned := res("aws:s3/bucketOwnershipControls:BucketOwnershipControls", "o", props{"bucket": "b", "rule": props{"objectOwnership": "BucketOwnerEnforced"}})
	account := func(id string) *preview.Resource {
		return res("aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock", "a", props{"accountId": id, "blockPublicAcls": true, "ignorePublicAcls": true, "blockPublicPolicy": true, "restrictPublicBuckets": true})
	}
	judgeAll(t, []kindCase{
		{"Block Public Access", Danger, []*preview.Change{step(preview.Replace, block(true), to(block(true), "c"))}},
		{"Block Public Access of a new bucket", Danger, []*preview.Change{step(preview.Replace, block(true, needs("bucket", "b")), to(block(true, needs("bucket", "c")), preview.Unknown))}},
		{"Block Public Access of a bucket that is made anew", Quiet, []*preview.Change{step(preview.Replace, block(true, needs("bucket", "b")), to(block(true, needs("bucket", "b")), preview.Unknown))}},
		{"Block Public Access that stays", Quiet, []*preview.Change{updated(block(true), block(true))}},
		{"Block Public Access that is deleted after it is made", Warning, []*preview.Change{replaced(block(true))}},
		{"an issuer's policy", Danger, []*preview.Change{step(preview.Replace, read, to(read, "c"))}},
		{"Block Public Access of another account", Danger, []*preview.Change{step(preview.Replace, account("111122223333"), account("444455556666"))}},
		{"owners", Warning, []*preview.Change{step(preview.Replace, owned, to(owned, "c"))}},
	})
}

// TestBlindSpots are changes that the review once took for nothing, or for less than they are, and those beside them.
func TestBlindSpots(t *testing.T) {
	const clusterRole, podType, serviceType = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "kubernetes:core/v1:Pod", "kubernetes:core/v1:Service"
	there := same(res(typeBucket, "b", props{"bucket": "b"}))
	imds := func(options props) props { return props{"metadataOptions": options} }
	off := imds(props{"httpEndpoint": "disabled", "httpTokens": "optional", "httpPutResponseHopLimit": 2.0})
	one := props{"httpTokens": "required", "httpPutResponseHopLimit": 1.0}
	machine := func(was, is props) []*preview.Change { return pair(typeInstance, "c-agent-0", was, is) }
	boots := func(flags string) props { return props{"userData": "ROLE=server\nkube-apiserver-arg:\n" + flags} }
	fresh := func(r *preview.Resource) []*preview.Change { return []*preview.Change{there, created(r)} }
	text := func(v string) []*preview.Change {
		return fresh(res(typeParameter, "p", props{"name": "/app/x", "type": "String", "insecureValue": v}))
	}
	key := "-----BEGIN " + "EC PRIVATE KEY-----\nMHcCAQEEIA==\n-----END EC PRIVATE KEY-----\n"
	secret := strings.Repeat("wJalrXUtnF", 4)
	container := func(security, more props) props {
		c := props{"name": "app", "securityContext": security}
		for k, v := range more {
			c[k] = v
		}
		return props{"spec": props{"automountServiceAccountToken": false, "containers": []any{c}, "securityContext": props{"seccompProfile": props{"type": "RuntimeDefault"}}}}
	}
	hard := func(without string) props {
		m := props{"allowPrivilegeEscalation": false, "runAsNonRoot": true, "readOnlyRootFilesystem": true, "capabilities": props{"drop": []any{"ALL"}}}
		delete(m, without)
		return m
	}
	pod := func(security, more props) []*preview.Change {
		return pair(podType, "p", container(hard(""), nil), container(security, more))
	}
	env := func(name, value string) []*preview.Change {
		return pod(hard(""), props{"env": []any{props{"name": name, "value": value}}})
	}
	may := func(group, resource, verb string) []*preview.Change {
		return fresh(res(clusterRole, "r", props{"rules": []any{props{"apiGroups": []any{group}, "resources": []any{resource}, "verbs": []any{verb}}}}))
	}
	bound := func(kind, role string) []*preview.Change {
		return fresh(res("kubernetes:rbac.authorization.k8s.io/v1:"+kind, "b", props{"roleRef": props{"name": role}, "subjects": []any{props{"kind": "ServiceAccount", "namespace": "a", "name": "b"}}}))
	}
	service := func(was, is props) []*preview.Change { return pair(serviceType, "s", was, is) }
	balanced := func(ranges ...any) props {
		return props{"spec": props{"type": "LoadBalancer", "loadBalancerSourceRanges": ranges}}
	}

	behaviour := func(origin, function string, more ...any) props {
		b := props{"targetOriginId": origin}
		if function != "" {
			b["functionAssociations"] = []any{props{"functionArn": function}}
		}
		return props{"origins": []any{props{"originId": "a", "domainName": "a.example.com"}, props{"originId": "b", "domainName": "b.example.com"}}, "defaultCacheBehavior": b, "orderedCacheBehaviors": more}
	}
	cdn := func(was, is props) []*preview.Change { return pair(typeDistribution, "d", was, is) }
	const self, guard = `{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}`, `{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*"}`
	held := func(list ...string) *preview.Resource {
		return res(typeBucketPolicy, "policy", props{"bucket": "b", "policy": statements(list...)})
	}
	documents := func(keys ...string) *preview.Resource {
		var list []string
		for _, k := range keys {
			list = append(list, `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/`+k+`"}`)
		}
		return res(typeBucketPolicy, "policy", props{"bucket": "b", "policy": statements(list...)}, parent(typeBucketIssuer))
	}
	object := func(k string) *preview.Change {
		return same(res("aws:s3/bucketObjectv2:BucketObjectv2", k, props{"bucket": "b", "key": k, "content": "{}"}))
	}
	const jwksKey, discoveryKey = "openid/v1/jwks", ".well-known/openid-configuration"
	bounded := func(arn string) []*preview.Change {
		return pair(typeRole, "uploader-role", props{"assumeRolePolicy": goodTrust, "name": "uploader", "permissionsBoundary": "arn:aws:iam::111122223333:policy/bound"}, props{"assumeRolePolicy": goodTrust, "name": "uploader", "permissionsBoundary": arn})
	}
	signing := same(res(typeParameter, "k", props{"name": "/k3s-aws-auth/lab/server/service-account/1.key"}, parent("k3s-aws-auth:k3s:Cluster"), output("arn", keyARN)))
	server := same(res(typeInstance, "c-server-0", props{"iamInstanceProfile": "servers", "metadataOptions": one}))
	servers := same(res(typeProfile, "servers", props{"name": "servers", "role": "servers"}))
	wider := permissionChange(allow("s3:GetObject", "*"), statements(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`, `{"Effect":"Allow","Action":"ssm:GetParameter","Resource":"`+keyARN+`"}`))
	published := func(url string) []*preview.Change {
		r := provider("p", url)
		r.Parent = urn("k3s-aws-auth:oidcissuer:Provider", "p")
		return fresh(r)
	}
	handed := func(typ, property string, v any) []*preview.Change {
		return []*preview.Change{there, same(res(typePrivateKey, "signing-key-1", nil)), created(res(typ, "x", props{property: v}, needs(property, urn(typePrivateKey, "signing-key-1"))))}
	}
	const anchorARN = "arn:aws:rolesanywhere:eu-central-1:111122223333:trust-anchor/a"
	trusted := same(res(typeTrustAnchor, "anchor", props{}, output("arn", anchorARN)))
	request := func(name, holder string) *preview.Resource {
		return res(typeCertRequest, name, props{"subject": props{"commonName": holder}})
	}
	moved := func(typ string, p props) []*preview.Change {
		in := func(namespace string) props {
			out := props{"metadata": props{"name": "x", "namespace": namespace}}
			for k, v := range p {
				out[k] = v
			}
			return out
		}
		return pair(typ, "x", in("a"), in("b"))
	}
	volumes := func(volume props, mount props) props {
		return props{"spec": props{"volumes": []any{volume}, "containers": []any{props{"volumeMounts": []any{mount}}}}}
	}
	host := func(readOnly bool) props {
		return volumes(props{"name": "h", "hostPath": props{"path": "/opt"}}, props{"name": "h", "readOnly": readOnly})
	}
	tokens := func(seconds float64) props {
		return volumes(props{"name": "t", "projected": props{"sources": []any{props{"serviceAccountToken": props{"audience": "a", "expirationSeconds": seconds}}}}}, props{"name": "t"})
	}
	annotated := func(seconds string) props {
		return props{"metadata": props{"annotations": props{"eks.amazonaws.com/token-expiration": seconds}}}
	}
	group := res(typeSecurityGroup, "g", props{})
	group.ID = "sg-1"
	rule := func(id string) *preview.Resource {
		return res(typeIngressRule, "r", props{"securityGroupId": id, "cidrIpv4": "10.0.0.0/8", "ipProtocol": "tcp", "fromPort": 22.0, "toPort": 22.0}, needs("securityGroupId", group.URN))
	}
	judgeAll(t, []kindCase{
		{"a hop limit as text", Danger, machine(imds(one), imds(props{"httpTokens": "required", "httpPutResponseHopLimit": "2"}))},
		{"no hop limit any more", Warning, machine(imds(one), imds(props{"httpTokens": "required"}))},
		{"a machine without a hop limit", Warning, fresh(res(typeInstance, "c-agent-1", imds(props{"httpTokens": "required"})))},
		{"a metadata service that goes on", Danger, machine(off, imds(props{"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 2.0}))},
		{"a metadata service that goes on, for everybody", Danger, machine(off, imds(props{"httpEndpoint": "enabled", "httpTokens": "optional", "httpPutResponseHopLimit": 1.0}))},
		{"a metadata service that goes off", Quiet, machine(imds(one), off)},
		{"somebody else's profile", Warning, machine(props{"iamInstanceProfile": "a"}, props{"iamInstanceProfile": "b"})},
		{"another subnet", Warning, machine(props{"subnetId": "a"}, props{"subnetId": "b"})},

		{"a flag by a digit", Danger, pair(typeInstance, "c-server-0", boots(""), boots("  - anonymous-auth=1\n"))},
		{"a flag by a letter", Danger, pair(typeInstance, "c-server-0", boots(""), boots("  - service-account-lookup=F\n"))},
		{"a flag that is off", Warning, pair(typeInstance, "c-server-0", boots(""), boots("  - anonymous-auth=0\n"))},
		{"sessions named by callers", Warning, pair(typeRAProfile, "p", props{}, props{"acceptRoleSessionName": true})},

		{"the signing key in a Secret", Danger, handed("kubernetes:core/v1:Secret", "stringData", preview.Secret)},
		{"the signing key in an object", Danger, handed("aws:s3/bucketObjectv2:BucketObjectv2", "content", preview.Secret)},
		{"the signing key in a pod", Danger, handed(podType, "spec", props{"containers": []any{props{"env": []any{props{"name": "KEY", "value": preview.Secret}}}}})},
		{"the public key in an object", Quiet, handed("aws:s3/bucketObjectv2:BucketObjectv2", "content", "public")},
		{"a second certificate of a name", Warning, []*preview.Change{same(request("a", "default.uploader")), created(request("b", "default.uploader"))}},
		{"a certificate of another name", Quiet, []*preview.Change{same(request("a", "default.uploader")), created(request("b", "default.reader"))}},
		{"another role in a ConfigMap", Warning, pair("kubernetes:core/v1:ConfigMap", "m", props{"data": props{"config": "role_arn = arn:aws:iam::111122223333:role/a"}}, props{"data": props{"config": "role_arn = arn:aws:iam::111122223333:role/b"}})},
		{"another setting in a ConfigMap", Quiet, pair("kubernetes:core/v1:ConfigMap", "m", props{"data": props{"config": "role_arn = arn:aws:iam::111122223333:role/a"}}, props{"data": props{"config": "role_arn = arn:aws:iam::111122223333:role/a\nregion = eu-central-1"}})},
		{"the servers' role on a first agent", Danger, []*preview.Change{created(res(typeProfile, "servers", props{"name": "servers", "role": "servers"})),
			created(res(typeInstance, "c-server-0", props{"iamInstanceProfile": "servers", "metadataOptions": one})), created(res(typeInstance, "c-agent-0", props{"iamInstanceProfile": "servers", "metadataOptions": one}))}},

		{"a private key", Danger, text(key)},
		{"a private key in base64", Danger, text(base64.StdEncoding.EncodeToString([]byte(key)))},
		{"a private key of PGP", Danger, text("-----BEGIN PGP " + "PRIVATE KEY BLOCK-----")},
		{"a private JSON Web Key", Danger, text(`{"kty":"EC","x":"a","d":"` + strings.Repeat("A", 43) + `"}`)},
		{"a public JSON Web Key", Quiet, text(`{"kty":"EC","x":"` + strings.Repeat("A", 43) + `"}`)},
		{"a certificate in base64", Quiet, text(base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\nMHcCAQEEIA==\n-----END CERTIFICATE-----\n")))},
		{"a token", Danger, text("eyJ" + "hbGciOiJSUzI1NiJ9.eyJ" + "zdWIiOiJhIn0xyz.c2lnbmF0dXJlc2lnbmF0dXJl")},
		{"a secret by its variable", Danger, env("AWS_SECRET_ACCESS_KEY", secret)},
		{"a secret by its property", Danger, fresh(res("kubernetes:core/v1:ConfigMap", "m", props{"data": props{"AWS_SECRET_ACCESS_KEY": secret}}))},
		{"a long text by another name", Quiet, fresh(res("kubernetes:core/v1:ConfigMap", "m", props{"data": props{"x": secret}}))},

		{"as hard as before", Quiet, pod(hard(""), nil)},
		{"capabilities", Warning, pod(hard("capabilities"), nil)},
		{"root", Warning, pod(hard("runAsNonRoot"), nil)},
		{"escalation", Warning, pod(hard("allowPrivilegeEscalation"), nil)},
		{"a writable filesystem", Warning, pod(hard("readOnlyRootFilesystem"), nil)},
		{"a capability in small letters", Danger, pod(props{"capabilities": props{"add": []any{"sys_admin"}}}, nil)},
		{"a token of Kubernetes", Warning, pair(podType, "p", props{"spec": props{"automountServiceAccountToken": false}}, props{"spec": props{}})},
		{"another address of STS", Warning, pair(podType, "p", props{"spec": props{}}, props{"spec": props{"hostAliases": []any{props{"ip": "203.0.113.9", "hostnames": []any{"sts.amazonaws.com"}}}}})},
		{"another name server", Warning, pair(podType, "p", props{"spec": props{}}, props{"spec": props{"dnsConfig": props{"nameservers": []any{"203.0.113.9"}}}})},
		{"a place on the servers", Warning, pair(podType, "p", props{"spec": props{}}, props{"spec": props{"nodeSelector": props{"node-role.kubernetes.io/control-plane": "true"}}})},
		{"another namespace", Warning, pair(podType, "p", props{"metadata": props{"namespace": "a"}}, props{"metadata": props{"namespace": "b"}})},
		{"a Secret for another namespace", Warning, moved("kubernetes:core/v1:Secret", props{"data": preview.Secret})},
		{"a binding for another namespace", Danger, moved("kubernetes:rbac.authorization.k8s.io/v1:RoleBinding", props{"roleRef": props{"name": "edit"}, "subjects": []any{props{"kind": "ServiceAccount", "namespace": "a", "name": "b"}}})},
		{"a path of the machine to write to", Danger, pair(podType, "p", host(true), host(false))},
		{"a path of the machine to read again", Quiet, pair(podType, "p", host(false), host(true))},
		{"a token for a month", Warning, pair(podType, "p", tokens(86400.0), tokens(2592000.0))},
		{"a token for an hour", Quiet, pair(podType, "p", tokens(86400.0), tokens(3600.0))},
		{"tokens for a month", Warning, pair("kubernetes:core/v1:ServiceAccount", "a", annotated("86400"), annotated("2592000"))},
		{"a rule of another group", Warning, []*preview.Change{there, same(group), updated(rule("sg-1"), rule("sg-2"))}},
		{"an issuer's bucket without a policy", Danger, []*preview.Change{object(jwksKey), updated(documents(jwksKey), res(typeBucketPolicy, "policy", props{"bucket": "b"}, parent(typeBucketIssuer)))}},
		{"a proxy", Warning, env("https_proxy", "http://203.0.113.9")},
		{"another role", Warning, env("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/x")},
		{"another variable", Quiet, env("LOG_LEVEL", "debug")},

		{"charts of K3s", Danger, may("helm.cattle.io", "helmcharts", "create")},
		{"validating webhooks", Danger, may("admissionregistration.k8s.io", "validatingwebhookconfigurations", "patch")},
		{"aggregated APIs", Danger, may("apiregistration.k8s.io", "apiservices", "update")},
		{"daemon sets", Danger, may("apps", "daemonsets", "update")},
		{"reading pods", Quiet, may("", "pods", "list")},
		{"edit in a namespace", Danger, bound("RoleBinding", "edit")},
		{"a controller's role", Danger, bound("ClusterRoleBinding", "system:controller:generic-garbage-collector")},
		{"open to all addresses", Warning, service(balanced("10.0.0.0/8"), balanced())},
		{"open to more addresses", Warning, service(balanced("10.0.0.0/8"), balanced("10.0.0.0/8", "192.0.2.0/24"))},
		{"open to fewer addresses", Quiet, service(balanced("10.0.0.0/8", "192.0.2.0/24"), balanced("10.0.0.0/8"))},
		{"no longer internal", Warning, service(props{"metadata": props{"annotations": props{"service.beta.kubernetes.io/aws-load-balancer-internal": "true"}}}, props{"metadata": props{}})},

		{"another function", Danger, cdn(behaviour("a", "f"), behaviour("a", "g"))},
		{"another origin of those that are there", Danger, cdn(behaviour("a", ""), behaviour("b", ""))},
		{"another origin for some paths", Danger, cdn(behaviour("a", ""), behaviour("a", "", props{"pathPattern": "openid/*", "targetOriginId": "b"}))},
		{"the same origin for some paths", Warning, cdn(behaviour("a", ""), behaviour("a", "", props{"pathPattern": "openid/*", "targetOriginId": "a"}))},

		{"a denial that goes", Warning, []*preview.Change{updated(held(self, guard), held(self))}},
		{"a denial more", Quiet, []*preview.Change{updated(held(self), held(self, guard))}},
		{"one of the documents", Danger, []*preview.Change{object(jwksKey), object(discoveryKey), updated(documents(jwksKey, discoveryKey), documents(discoveryKey))}},
		{"the same documents", Quiet, []*preview.Change{object(jwksKey), object(discoveryKey), updated(documents(jwksKey, discoveryKey), documents(discoveryKey, jwksKey))}},
		{"a policy over another", Warning, []*preview.Change{same(held(self, guard)), created(res(typeBucketPolicy, "second", props{"bucket": "b", "policy": statements(self)}))}},
		{"a policy under another name", Warning, []*preview.Change{there, deleted(res(typeRolePolicy, "a", props{"role": "r", "name": "n", "policy": allow("s3:GetObject", "*")})), created(res(typeRolePolicy, "b", props{"role": "r", "name": "n", "policy": allow("s3:GetObject", "*")}))}},
		{"a policy in place of itself", Warning, []*preview.Change{replaced(held(self))}},
		{"another encryption of a bucket", Warning, pair("aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", "e", props{"bucket": "b", "rules": []any{"AES256"}}, props{"bucket": "b", "rules": []any{"aws:kms"}})},
		{"an instance profile that goes", Warning, []*preview.Change{there, deleted(res(typeProfile, "p", props{"name": "p", "role": "r"}))}},
		{"a parameter over another", Warning, []*preview.Change{signing, created(res(typeParameter, "k2", props{"name": "/k3s-aws-auth/lab/server/service-account/1.key", "type": "SecureString", "value": preview.Secret}))}},

		{"a boundary that allows everything", Danger, bounded("arn:aws:iam::aws:policy/AdministratorAccess")},
		{"a boundary that nobody knows", Warning, bounded("arn:aws:iam::111122223333:policy/other")},
		{"keys for a server that is none", Danger, beside(wider, signing, server, servers, created(res(typeProfile, "p", props{"name": "p", "role": "uploader"})),
			created(res(typeInstance, "evil-server", props{"iamInstanceProfile": "p", "metadataOptions": one})))},
		{"who may exchange the CA", Danger, beside(permissionChange(allow("s3:GetObject", "*"), statements(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`, `{"Effect":"Allow","Action":"rolesanywhere:UpdateTrustAnchor","Resource":"`+anchorARN+`"}`)), trusted)},
		{"who may switch it off", Warning, beside(permissionChange(allow("s3:GetObject", "*"), statements(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`, `{"Effect":"Allow","Action":"rolesanywhere:DisableTrustAnchor","Resource":"`+anchorARN+`"}`)), trusted)},
		{"who may look at it", Quiet, beside(permissionChange(allow("s3:GetObject", "*"), statements(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`, `{"Effect":"Allow","Action":"rolesanywhere:GetTrustAnchor","Resource":"`+anchorARN+`"}`)), trusted)},
		{"somebody else's issuer", Warning, published("https://evil.example.com")},
		{"the stack's issuer", Quiet, published("https://b.s3.eu-central-1.amazonaws.com")},
		{"an issuer that begins like the stack's", Warning, published("https://b.s3evil.example.com")},
		{"another machine behind the load balancer", Warning, pair("aws:lb/targetGroupAttachment:TargetGroupAttachment", "t", props{"targetId": "i-1"}, props{"targetId": "i-2"})},
		{"a default tag that a policy asks for", Warning, beside(pair("pulumi:providers:aws", "aws", props{"defaultTags": props{"tags": props{"team": "a"}}}, props{"defaultTags": props{"tags": props{"team": "b"}}}),
			same(inline(strings.TrimSuffix(allow("s3:GetObject", "*"), "}]}")+`,"Condition":{"StringEquals":{"aws:ResourceTag/team":"a"}}}]}`)))},
	})
}

// TestPaths: each of the ways is said where somebody gains it on everything, with its own reason where it is gained alone, and no
// action is listed twice.
func TestPaths(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range paths {
		if seen[p.action] {
			t.Errorf("%s is there twice", p.action)
		}
		seen[p.action] = true
		if _, known := kindsOfResources[p.kind]; !known && p.kind != "everything" {
			t.Errorf("%s is of the kind %s, which is none", p.action, p.kind)
		}
		r := judge(permissionChange(allow("sqs:SendMessage", "*"), statements(`{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*"}`, `{"Effect":"Allow","Action":"`+p.action+`","Resource":"*"}`))...)
		if r.Verdict == Quiet || p.kind != "everything" && r.Verdict != Danger && !strings.HasPrefix(p.action, "kms:") && !strings.HasPrefix(p.action, "secretsmanager:") {
			t.Errorf("%s on everything: verdict %s", p.action, r.Verdict)
		}
	}
}
