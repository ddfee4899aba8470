package chain

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/doctor/internal/causes"
	"k3s-aws-auth/scripts/internal/setups"
)

// healthy are the dumps of running labs: `lab up --setup NAME`, `doctor dump --setup NAME`. After the point is what their
// configuration says: injection=admission-policy, rolesAnywhere.helper.delivery=sidecar.
var healthy = []string{"instance-profile", "irsa-s3", "irsa-s3.admission-policy", "irsa-cloudfront", "roles-anywhere", "roles-anywhere.sidecar", "roles-anywhere.admission-policy",
	"roles-anywhere.sidecar.admission-policy"}

var (
	tokens       = []string{"irsa-s3", "irsa-cloudfront", "irsa-s3.admission-policy"}
	injected     = []string{"irsa-s3.admission-policy", "roles-anywhere.admission-policy", "roles-anywhere.sidecar.admission-policy"}
	certificated = []string{"roles-anywhere", "roles-anywhere.admission-policy"}
	sidecars     = []string{"roles-anywhere.sidecar"}
	machines     = []string{"instance-profile"}
	everywhere   = healthy
	// away are the setups in which pods must not reach their machine.
	away = []string{"irsa-s3", "irsa-cloudfront", "irsa-s3.admission-policy", "roles-anywhere", "roles-anywhere.sidecar", "roles-anywhere.admission-policy",
		"roles-anywhere.sidecar.admission-policy"}
	// own are the setups in which each identity has a role of its own.
	own = away
)

func load(t testing.TB, name string) *Facts {
	t.Helper()
	f, err := read(filepath.Join("testdata", name+".json"))
	require.NoError(t, err)
	return f
}

func both(lists ...[]string) []string { return slices.Concat(lists...) }

// pod is the identity's pod, and app its container.
func pod(f *Facts) *Pod {
	return find(f.Cluster.Pods, func(p *Pod) bool { return p.Namespace == "default" && p.Name == "uploader" })
}

func app(f *Facts) *Container {
	return find(pod(f).Containers, func(c *Container) bool { return c.Name == "app" })
}

func account(f *Facts) *ServiceAccount { return f.account("default", "uploader") }

// pulled lets the identity's pods be pulled with its role.
func pulled(f *Facts) {
	role(f).Policies = append(role(f).Policies, `{"Version":"2012-10-17","Statement":{"Sid":"PullImages","Effect":"Allow","Action":"ecr:BatchGetImage","Resource":"*"}}`)
	account(f).PullRole, f.Cluster.PullTokens = role(f).ARN, []string{"uploader"}
}

// TestPullsAreHealthy holds that what the program makes for pulls is no finding, also by a role for all service accounts.
func TestPullsAreHealthy(t *testing.T) {
	f := load(t, "irsa-s3")
	pulled(f)
	require.Empty(t, Check(f))
	f.Cluster.PullTokens = []string{"*"}
	require.Empty(t, Check(f))
	f.Cluster.PullTokens, f.Unseen = nil, []Unseen{{What: partNodeRoles, Why: "forbidden"}}
	require.Empty(t, Check(f))
}

func role(f *Facts) *Role {
	for _, i := range Identities(f) {
		if r := f.role(i.Role); r != nil {
			return r
		}
	}
	return nil
}

// trust changes the text of the role's trust policy; what it looks for must be there.
func trust(old, with string) func(*testing.T, *Facts) {
	return func(t *testing.T, f *Facts) {
		t.Helper()
		r := role(f)
		require.Contains(t, r.Trust, old)
		r.Trust = strings.ReplaceAll(r.Trust, old, with)
	}
}

func node(f *Facts) *Node { return f.node(pod(f).Node) }

// authority lets the trust anchor trust a CA of the test, and gives the pod's Secret a certificate of it.
func authority(change func(leaf *x509.Certificate)) func(*testing.T, *Facts) {
	return func(t *testing.T, f *Facts) { t.Helper(); issue(t, f, change) }
}

func issue(t *testing.T, f *Facts, change func(leaf *x509.Certificate)) (ca, leaf *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: f.Taken.AddDate(-9, 0, 0), NotAfter: f.Taken.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	require.NoError(t, err)
	ca, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	end := &x509.Certificate{SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "default.uploader"}, NotBefore: f.Taken.Add(-time.Hour), NotAfter: f.Taken.AddDate(0, 3, 0),
		KeyUsage: x509.KeyUsageDigitalSignature}
	change(end)
	der, err = x509.CreateCertificate(rand.Reader, end, ca, key.Public(), key)
	require.NoError(t, err)
	leaf, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	f.Account.Anchors[0].Certificates = append(f.Account.Anchors[0].Certificates, base64.StdEncoding.EncodeToString(ca.Raw))
	f.secret("default", "uploader-rolesanywhere").Certificates = []string{base64.StdEncoding.EncodeToString(der)}
	return ca, leaf
}

func helper(f *Facts) *Helper {
	p := pod(f)
	for i := range p.Containers {
		if p.Containers[i].Helper != nil {
			return p.Containers[i].Helper
		}
	}
	for _, m := range f.Cluster.ConfigMaps {
		for _, c := range m.Files {
			if c.Process != nil {
				return c.Process
			}
		}
	}
	return nil
}

type fault struct {
	name   string
	setups []string
	seed   func(*testing.T, *Facts)
	// id of the first finding, and the catalogue's id of its first cause.
	id, cause string
	// others is the same where pods present something else.
	others map[string]string
}

// withCertificate is what the error is with a certificate.
func withCertificate(cause string) map[string]string {
	return map[string]string{presentsCertificate: cause}
}

// seeded breaks one thing at a time. Each has to be the first finding, with the right first cause.
var seeded = []fault{
	// clocks
	{"servers date tokens five hours ahead", tokens, func(_ *testing.T, f *Facts) {
		f.Cluster.Token.Issued = f.Cluster.Token.Issued.Add(5 * time.Hour)
	}, "clock-server", "sts-token-not-yet-valid", nil},
	{"the API server's clock is two minutes ahead", everywhere, func(_ *testing.T, f *Facts) {
		f.Cluster.Ahead = new(120.0)
		f.Cluster.Token = nil
	}, "clock-server", "sts-token-not-yet-valid", map[string]string{presentsCertificate: "clock-skew", presentsMetadata: "clock-skew"}},
	{"an agent's clock is five hours ahead", everywhere, func(_ *testing.T, f *Facts) { node(f).Ahead = new(5 * 3600.0) }, "clock-node", "clock-skew", nil},
	{"an agent's clock is an hour behind", everywhere, func(_ *testing.T, f *Facts) { node(f).Ahead = new(-3600.0) }, "clock-node", "clock-skew", nil},

	// the API server
	{"the issuer was changed", tokens, func(_ *testing.T, f *Facts) {
		f.Cluster.Issuer, f.Cluster.Token.Issuer, f.Issuers = "https://other.example.com", "https://other.example.com", nil
	}, "issuer-changed", "sts-no-provider", nil},
	{"the issuer has a slash at its end", tokens, func(_ *testing.T, f *Facts) { f.Cluster.Token.Issuer += "/" }, "issuer-spelled", "sts-no-provider", nil},
	{"the issuer has a port", tokens, func(_ *testing.T, f *Facts) { f.Cluster.Token.Issuer += ":443" }, "issuer-spelled", "sts-no-provider", nil},
	{"the issuer is K3s's default without a scheme", tokens, func(_ *testing.T, f *Facts) {
		f.Cluster.Token.Issuer = "kubernetes/serviceaccount"
	}, "issuer-insecure", "sts-no-provider", nil},
	{"the signing key was replaced", tokens, func(_ *testing.T, f *Facts) {
		f.Cluster.Token.KeyID, f.Cluster.Keys[0] = "new", Key{ID: "new", Sum: "new"}
	}, "key-not-published", "sts-verification-key", nil},
	{"the same without a token", tokens, func(_ *testing.T, f *Facts) {
		f.Cluster.Token, f.Cluster.Keys[0] = nil, Key{ID: "new", Sum: "new"}
	}, "key-not-published", "sts-verification-key", nil},
	{"a key of the same kid is another", tokens, func(_ *testing.T, f *Facts) { f.Issuers[0].Keys[0].Sum = "other" }, "key-differs", "sts-verification-key", nil},

	// what the world sees
	{"the bucket is blocked", tokens, func(_ *testing.T, f *Facts) {
		f.Issuers[0] = Issuer{URL: f.Issuers[0].URL, Discovery: Document{URL: "u", Status: 403}}
	}, "discovery-refused", "sts-verification-key", nil},
	{"CloudFront refuses by itself", tokens, func(_ *testing.T, f *Facts) {
		f.Issuers[0] = Issuer{URL: f.Issuers[0].URL, Discovery: Document{URL: "u", Status: 403, Server: "CloudFront"}}
	}, "distribution-refuses", "sts-verification-key", nil},
	{"the documents were deleted", tokens, func(_ *testing.T, f *Facts) {
		f.Issuers[0] = Issuer{URL: f.Issuers[0].URL, Discovery: Document{URL: "u", Status: 404}}
	}, "discovery-refused", "sts-verification-key", nil},
	{"the issuer redirects", tokens, func(_ *testing.T, f *Facts) {
		f.Issuers[0] = Issuer{URL: f.Issuers[0].URL, Discovery: Document{URL: "u", Status: 301}}
	}, "discovery-refused", "sts-verification-key", nil},
	{"the issuer's name is gone", tokens, func(_ *testing.T, f *Facts) {
		f.Issuers[0] = Issuer{URL: f.Issuers[0].URL, Discovery: Document{URL: "u", Error: "dial tcp: no such host"}}
	}, "issuer-unreachable", "sts-idp-communication", nil},
	{"the issuer's certificate is not trusted", tokens, func(_ *testing.T, f *Facts) {
		f.Issuers[0] = Issuer{URL: f.Issuers[0].URL, Discovery: Document{URL: "u", Error: "x509: unknown authority", Untrusted: true}}
	}, "issuer-untrusted", "sts-thumbprint", nil},
	{"the discovery document is a page of HTML", tokens, func(_ *testing.T, f *Facts) {
		f.Issuers[0].Discovery.Malformed = "it is no JSON"
	}, "discovery-malformed", "sts-verification-key", nil},
	{"the discovery document names another issuer", tokens, func(_ *testing.T, f *Facts) { f.Issuers[0].Issuer += "/" }, "discovery-issuer", "sts-verification-key", nil},
	{"jwks_uri leads nowhere", tokens, func(_ *testing.T, f *Facts) {
		f.Issuers[0].JWKS, f.Issuers[0].Keys = Document{URL: "u", Status: 403}, nil
	}, "jwks-unreachable", "sts-verification-key", nil},
	{"jwks_uri has a host that is not there", tokens, func(_ *testing.T, f *Facts) {
		f.Issuers[0].JWKS, f.Issuers[0].Keys = Document{URL: "u", Error: "no such host"}, nil
	}, "jwks-unreachable", "sts-verification-key", nil},
	{"the key set is no JSON", tokens, func(_ *testing.T, f *Facts) {
		f.Issuers[0].JWKS.Malformed, f.Issuers[0].Keys = "it is no JSON", nil
	}, "jwks-malformed", "sts-verification-key", nil},
	{"the key set was emptied", tokens, func(_ *testing.T, f *Facts) { f.Issuers[0].Keys = nil }, "jwks-empty", "sts-verification-key", nil},
	{"the issuer is slow", tokens, func(_ *testing.T, f *Facts) { f.Issuers[0].JWKS.Seconds = 7 }, "issuer-slow", "sts-verification-key", nil},
	{"the documents are text/html", tokens, func(_ *testing.T, f *Facts) { f.Issuers[0].Discovery.Type = "binary/octet-stream" }, "discovery-type", "sts-verification-key", nil},
	{"caches keep the key set for a month", tokens, func(_ *testing.T, f *Facts) { f.Issuers[0].JWKS.MaxAge = new(30 * 86400) }, "issuer-cached-long", "sts-verification-key", nil},
	{"the issuer's certificate ends tomorrow", tokens, func(_ *testing.T, f *Facts) {
		*f.Issuers[0].Discovery.TLS = Validity{f.Taken.AddDate(0, -3, 0), f.Taken.AddDate(0, 0, 1)}
	}, "issuer-certificate-ends", "sts-thumbprint", nil},

	// IAM's provider
	{"the provider was deleted", tokens, func(_ *testing.T, f *Facts) { f.Account.Providers = nil }, "provider-missing", "sts-no-provider", nil},
	{"the provider lacks the audience", tokens, func(_ *testing.T, f *Facts) { f.Account.Providers[0].Clients = []string{"other"} }, "provider-audience", "sts-audience", nil},

	// injection
	{"the admission policy's binding was deleted", injected, func(_ *testing.T, f *Facts) {
		f.Cluster.Injectors[0].Works, f.Cluster.Injectors[0].Why = false, "no binding names it"
	}, "injector-fails", "no-credentials", nil},
	{"the admission policy was deleted", injected, func(_ *testing.T, f *Facts) { f.Cluster.Injectors = nil }, "injector-missing", "no-credentials", nil},
	{"the webhook has no pod", injected, func(_ *testing.T, f *Facts) {
		f.Cluster.Injectors = []Injector{{Kind: webhook, Name: "pod-identity-webhook", Why: "no pod behind its service is ready"}}
	}, "injector-fails", "no-credentials", nil},

	// roles
	{"the role was deleted", own, func(t *testing.T, f *Facts) {
		arn := role(f).ARN
		f.Account.Roles = slices.DeleteFunc(f.Account.Roles, func(r Role) bool { return r.ARN == arn })
	}, "role-missing", "sts-web-identity-denied", withCertificate("ra-unable-to-assume")},
	{"the role trusts another service account", tokens, trust(":uploader\"", ":uploader-drill\""), "trust-subject", "sts-web-identity-denied", nil},
	{"the role trusts another namespace", tokens, trust("system:serviceaccount:default:", "system:serviceaccount:other:"), "trust-subject", "sts-web-identity-denied", nil},
	{"the role trusts another audience", tokens, trust(":aud\":\"sts.amazonaws.com\"", ":aud\":\"kubernetes\""), "trust-audience", "sts-web-identity-denied", nil},
	{"the role trusts a wildcard by StringEquals", tokens, trust("system:serviceaccount:default:uploader", "system:serviceaccount:default:*"), "trust-wildcard", "sts-web-identity-denied", nil},
	{"the role trusts another namespace's wildcard", tokens, func(t *testing.T, f *Facts) {
		trust("StringEquals", "StringLike")(t, f)
		trust("system:serviceaccount:default:uploader", "system:serviceaccount:other:*")(t, f)
	}, "trust-subject", "sts-web-identity-denied", nil},
	{"the role trusts another cluster's provider", tokens, func(t *testing.T, f *Facts) {
		trust(host(f.Cluster.Issuer), "oidc.example.com")(t, f)
	}, "trust-provider", "sts-web-identity-denied", nil},
	{"the role asks for an address too", tokens, trust(`"StringEquals":{`, `"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"StringEquals":{`), "trust-conditions", "", nil},
	{"the role asks for an address of a certificate too", both(certificated, sidecars), trust(`"StringEquals":{`, `"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"StringEquals":{`), "trust-conditions", "", nil},
	{"the role is suspended", own, func(_ *testing.T, f *Facts) {
		r := role(f)
		r.Trust = strings.TrimSuffix(r.Trust, "]}") + `,{"Sid":"Suspended","Effect":"Deny","Principal":"*","Action":["sts:AssumeRole","sts:AssumeRoleWithWebIdentity"]}]}`
	}, "trust-suspended", "sts-web-identity-denied", withCertificate("ra-unable-to-assume")},
	{"the trust policy is broken", own, func(_ *testing.T, f *Facts) { role(f).Trust = "{" }, "trust-unreadable", "sts-web-identity-denied", withCertificate("ra-unable-to-assume")},
	{"the role has no policy", own, func(_ *testing.T, f *Facts) { role(f).Policies = nil }, "role-allows-nothing", "denied-identity-policy", nil},
	{"the boundary leaves nothing", own, func(_ *testing.T, f *Facts) {
		r := role(f)
		r.Boundary, r.BoundaryPolicy = "arn:aws:iam::111122223333:policy/b", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}`
	}, "boundary-allows-nothing", "denied-boundary", nil},
	{"the role trusts the whole namespace", tokens, func(t *testing.T, f *Facts) {
		trust("StringEquals", "StringLike")(t, f)
		trust("system:serviceaccount:default:uploader", "system:serviceaccount:default:*")(t, f)
	}, "trust-broad", "", nil},
	{"the role trusts any certificate", both(certificated, sidecars), trust(`,"StringEquals":{"aws:PrincipalTag/x509Subject/CN":"default.uploader"}`, ""), "trust-broad", "", nil},
	{"the role trusts another certificate", both(certificated, sidecars), trust(`"default.uploader"`, `"default.uploader-drill"`), "trust-name", "ra-unable-to-assume", nil},
	{"the role trusts another trust anchor", both(certificated, sidecars), trust(":trust-anchor/", ":trust-anchor/0"), "trust-anchor", "ra-unable-to-assume", nil},
	{"the role does not allow sts:SetSourceIdentity", both(certificated, sidecars), trust(`,"sts:SetSourceIdentity"`, ""), "trust-actions", "ra-unable-to-assume", nil},
	{"the machines' role trusts no machine", machines, func(t *testing.T, f *Facts) {
		for i := range f.Account.Roles {
			f.Account.Roles[i].Trust = strings.ReplaceAll(f.Account.Roles[i].Trust, "ec2.amazonaws.com", "lambda.amazonaws.com")
		}
		f.Stack.Identities = []StackIdentity{{"default", "uploader", find(f.Account.Roles, func(r *Role) bool { return strings.Contains(r.ARN, "agent") }).ARN}}
	}, "trust-machines", "imds-hop-limit", nil},

	// pods with a token
	{"the service account was deleted", away, func(_ *testing.T, f *Facts) {
		f.Cluster.Accounts = slices.DeleteFunc(f.Cluster.Accounts, func(a ServiceAccount) bool { return a.Name == "uploader" })
	}, "service-account-missing", "mount-token-failed", nil},
	{"nothing was injected", tokens, func(_ *testing.T, f *Facts) {
		pod(f).Tokens, app(f).Env, app(f).Mounts = nil, nil, nil
	}, "not-injected", "no-credentials", nil},
	{"another container was left out", injected, func(_ *testing.T, f *Facts) {
		pod(f).Containers = append(pod(f).Containers, Container{Name: "debug"})
	}, "container-left-out", "no-credentials", nil},
	{"the role's variable is missing", tokens, func(_ *testing.T, f *Facts) { delete(app(f).Env, "AWS_ROLE_ARN") }, "half-web-identity", "web-identity-no-role", nil},
	{"the token's variable is missing", tokens, func(_ *testing.T, f *Facts) { delete(app(f).Env, "AWS_WEB_IDENTITY_TOKEN_FILE") }, "half-web-identity", "web-identity-no-role", nil},
	{"the token's volume is not mounted", tokens, func(_ *testing.T, f *Facts) { app(f).Mounts = nil }, "token-not-mounted", "token-file-missing", nil},
	{"the token's volume has no token", tokens, func(_ *testing.T, f *Facts) { pod(f).Tokens = nil }, "token-not-mounted", "token-file-missing", nil},
	{"the variable names another file", tokens, func(_ *testing.T, f *Facts) { app(f).Env["AWS_WEB_IDENTITY_TOKEN_FILE"] += "s" }, "token-path", "token-file-missing", nil},
	{"the variable names the API server's token", tokens, func(_ *testing.T, f *Facts) {
		app(f).Env["AWS_WEB_IDENTITY_TOKEN_FILE"] = apiServerToken + "/token"
	}, "token-of-api-server", "sts-audience", nil},
	{"the token is for another audience", tokens, func(_ *testing.T, f *Facts) { pod(f).Tokens[0].Audience = "vault" }, "token-audience", "sts-audience", nil},
	{"the token is mounted by subPath", tokens, func(_ *testing.T, f *Facts) {
		find(app(f).Mounts, func(m *Mount) bool { return m.Volume == "aws-iam-token" }).SubPath = "token"
	}, "token-sub-path", "sts-token-expired", nil},
	{"the pod has another role than its service account", tokens, func(_ *testing.T, f *Facts) {
		f.Account.Roles = append(f.Account.Roles, *role(f))
		account(f).Role += "-new"
		f.Account.Roles[len(f.Account.Roles)-1].ARN = account(f).Role
	}, "role-other", "sts-web-identity-denied", nil},
	{"the service account lost the role of pulls", tokens, func(_ *testing.T, f *Facts) {
		pulled(f)
		account(f).PullRole = ""
	}, "pull-annotation", "pull-unauthorized", nil},
	{"the service account names another role for pulls", tokens, func(_ *testing.T, f *Facts) {
		pulled(f)
		account(f).PullRole += "-old"
	}, "pull-annotation", "pull-unauthorized", nil},
	{"nodes may not ask for tokens to pull by", tokens, func(_ *testing.T, f *Facts) {
		pulled(f)
		f.Cluster.PullTokens = []string{"another"}
	}, "pull-tokens", "pull-unauthorized", nil},
	{"the pod runs as another service account", tokens, func(_ *testing.T, f *Facts) { pod(f).Account = "default" }, "trust-subject", "sts-web-identity-denied", nil},
	{"the pod has no region", tokens, func(_ *testing.T, f *Facts) {
		delete(app(f).Env, "AWS_REGION")
		delete(app(f).Env, "AWS_DEFAULT_REGION")
	}, "no-region", "no-region", nil},

	// pods of every setup
	{"access keys go before the identity", everywhere, func(_ *testing.T, f *Facts) {
		app(f).Static = []string{"AWS_ACCESS_KEY_ID of Secret old", "AWS_SECRET_ACCESS_KEY of Secret old"}
	}, "static-keys-first", "session-expired", nil},
	{"half an access key", everywhere, func(_ *testing.T, f *Facts) { app(f).Static = []string{"AWS_ACCESS_KEY_ID"} }, "half-keys", "partial-credentials", nil},
	{"the pod is on its node's network", away, func(_ *testing.T, f *Facts) { pod(f).HostNetwork = true }, "host-network", "denied-node", nil},
	{"two workloads have one service account", everywhere, func(_ *testing.T, f *Facts) {
		one := *pod(f)
		one.Name, one.Workload = "other", "Deployment other"
		pod(f).Workload = "StatefulSet uploader"
		f.Cluster.Pods = append(f.Cluster.Pods, one)
	}, "account-shared", "", nil},
	{"another pod has access keys", everywhere, func(_ *testing.T, f *Facts) {
		f.Cluster.Pods = append(f.Cluster.Pods, Pod{Namespace: "shop", Name: "cart", Account: "default", Containers: []Container{{Name: "app", Static: []string{"AWS_ACCESS_KEY_ID"}}}})
	}, "static-keys", "session-unknown", nil},
	{"a Secret has an access key", everywhere, func(_ *testing.T, f *Facts) {
		f.Cluster.Secrets = append(f.Cluster.Secrets, Secret{Namespace: "shop", Name: "s3", Static: []string{"AWS_ACCESS_KEY_ID"}})
	}, "static-keys", "session-unknown", nil},
	{"a ConfigMap has an access key", everywhere, func(_ *testing.T, f *Facts) {
		f.Cluster.ConfigMaps = append(f.Cluster.ConfigMaps, ConfigMap{Namespace: "shop", Name: "s3", Static: []string{"credentials"}})
	}, "static-keys", "session-unknown", nil},
	{"the API server's certificate ends in a day", everywhere, func(_ *testing.T, f *Facts) {
		*f.Cluster.Serving = Validity{f.Taken.AddDate(-1, 0, 0), f.Taken.AddDate(0, 0, 1)}
	}, "cluster-certificate-ends", "", nil},
	{"the kubeconfig's certificate ends in a day", everywhere, func(_ *testing.T, f *Facts) {
		*f.Cluster.Client = Validity{f.Taken.AddDate(-1, 0, 0), f.Taken.AddDate(0, 0, 1)}
	}, "cluster-certificate-ends", "", nil},

	// certificates
	{"the Secret was deleted", both(certificated, sidecars), func(_ *testing.T, f *Facts) { f.Cluster.Secrets = nil }, "certificate-secret-missing", "mount-secret-missing", nil},
	{"the ConfigMap was deleted", certificated, func(_ *testing.T, f *Facts) { f.Cluster.ConfigMaps = nil }, "aws-config-missing", "mount-secret-missing", nil},
	{"the certificate is cut", both(certificated, sidecars), func(_ *testing.T, f *Facts) {
		f.Cluster.Secrets[0].Problem, f.Cluster.Secrets[0].Certificates = "tls.crt has no certificate", nil
	}, "certificate-unreadable", "helper-files", nil},
	{"the key is another's", both(certificated, sidecars), func(_ *testing.T, f *Facts) { f.Cluster.Secrets[0].Foreign = true }, "certificate-key", "ra-signature", nil},
	{"the certificate has ended", both(certificated, sidecars), authority(func(l *x509.Certificate) {
		l.NotBefore, l.NotAfter = l.NotBefore.AddDate(-1, 0, 0), l.NotBefore.AddDate(0, 0, -1)
	}), "certificate-ended", "ra-certificate-ended", nil},
	{"the certificate has not begun", both(certificated, sidecars), authority(func(l *x509.Certificate) { l.NotBefore = l.NotBefore.AddDate(0, 1, 0) }), "certificate-early", "ra-certificate-ended", nil},
	{"the certificate ends tomorrow", both(certificated, sidecars), authority(func(l *x509.Certificate) {
		l.NotBefore, l.NotAfter = l.NotBefore.AddDate(0, -3, 0), l.NotBefore.AddDate(0, 0, 1)
	}), "certificate-ends", "ra-certificate-ended", nil},
	{"the certificate lacks digitalSignature", both(certificated, sidecars), authority(func(l *x509.Certificate) { l.KeyUsage = x509.KeyUsageKeyEncipherment }), "certificate-insufficient", "ra-insufficient", nil},
	{"the certificate is a CA", both(certificated, sidecars), authority(func(l *x509.Certificate) { l.IsCA, l.BasicConstraintsValid = true, true }), "certificate-insufficient", "ra-insufficient", nil},
	{"the certificate has no common name", both(certificated, sidecars), authority(func(l *x509.Certificate) { l.Subject = pkix.Name{} }), "certificate-subject", "ra-insufficient", nil},
	{"the certificate is another identity's", both(certificated, sidecars), authority(func(l *x509.Certificate) { l.Subject.CommonName = "default.other" }), "trust-name", "ra-unable-to-assume", nil},
	{"the trust anchor does not know the CA", both(certificated, sidecars), func(t *testing.T, f *Facts) {
		issue(t, f, func(*x509.Certificate) {})
		f.Account.Anchors[0].Certificates = f.Account.Anchors[0].Certificates[:1]
	}, "certificate-untrusted", "ra-untrusted-signing", nil},
	{"the certificate is revoked", both(certificated, sidecars), func(t *testing.T, f *Facts) {
		_, leaf := issue(t, f, func(*x509.Certificate) {})
		f.Account.CRLs = []CRL{{ARN: "crl", Anchor: f.Account.Anchors[0].ARN, Enabled: true, Issuer: base64.StdEncoding.EncodeToString(leaf.RawIssuer), Serials: []string{hex.EncodeToString(leaf.SerialNumber.Bytes())}}}
	}, "certificate-revoked", "ra-revoked", nil},
	{"the trust anchor was deleted", both(certificated, sidecars), func(_ *testing.T, f *Facts) { f.Account.Anchors = nil }, "anchor-missing", "ra-not-found", nil},
	{"the trust anchor is disabled", both(certificated, sidecars), func(_ *testing.T, f *Facts) { f.Account.Anchors[0].Enabled = false }, "anchor-disabled", "ra-disabled", nil},
	{"the trust anchor's certificate is no CA", both(certificated, sidecars), func(_ *testing.T, f *Facts) {
		f.Account.Anchors[0].Certificates = append(f.Account.Anchors[0].Certificates, f.Cluster.Secrets[0].Certificates[0])
	}, "anchor-certificate", "ra-anchor-constraints", nil},
	{"the CA has ended", both(certificated, sidecars), func(_ *testing.T, f *Facts) {
		f.Taken = f.Taken.AddDate(11, 0, 0)
		f.Cluster.Serving, f.Cluster.Client = nil, nil
	}, "anchor-ended", "ra-certificate-ended", nil},
	{"the profile was deleted", both(certificated, sidecars), func(_ *testing.T, f *Facts) { f.Account.Profiles = nil }, "profile-missing", "ra-not-found", nil},
	{"the profile is disabled", both(certificated, sidecars), func(_ *testing.T, f *Facts) { f.Account.Profiles[0].Enabled = false }, "profile-disabled", "ra-disabled", nil},
	{"the profile lacks the role", both(certificated, sidecars), func(_ *testing.T, f *Facts) { f.Account.Profiles[0].Roles = []string{"other"} }, "profile-role", "ra-unable-to-assume", nil},
	{"the profile accepts no session name", both(certificated, sidecars), func(_ *testing.T, f *Facts) { helper(f).SessionName = "uploader" }, "profile-session-name", "ra-session-name", nil},
	{"sessions are longer than the role's maximum", both(certificated, sidecars), func(_ *testing.T, f *Facts) {
		helper(f).Seconds, f.Account.Profiles[0].Seconds = 7200, 7200
	}, "session-too-long", "sts-duration", nil},
	{"the profile is of another region", both(certificated, sidecars), func(_ *testing.T, f *Facts) {
		helper(f).Profile = strings.Replace(helper(f).Profile, "eu-central-1", "us-east-1", 1)
	}, "regions-differ", "helper-region", nil},
	{"the helper is told no profile", both(certificated, sidecars), func(_ *testing.T, f *Facts) { helper(f).Profile = "" }, "helper-arguments", "helper-region", nil},
	{"the certificate is not mounted", certificated, func(_ *testing.T, f *Facts) {
		app(f).Mounts = slices.DeleteFunc(app(f).Mounts, func(m Mount) bool { return strings.HasSuffix(m.Volume, "certificate") })
	}, "certificate-not-mounted", "process-failed", nil},
	{"the AWS configuration is not mounted", certificated, func(_ *testing.T, f *Facts) {
		app(f).Mounts = slices.DeleteFunc(app(f).Mounts, func(m Mount) bool { return strings.HasSuffix(m.Volume, "aws-config") })
	}, "aws-config-not-mounted", "no-profile", nil},
	{"the pod has none of its parts", both(certificated), func(_ *testing.T, f *Facts) {
		pod(f).Secrets, pod(f).ConfigMaps, pod(f).Containers = nil, nil, []Container{{Name: "app"}}
	}, "no-certificate-parts", "no-credentials", nil},
	{"the key is not readable", both([]string{"roles-anywhere"}, sidecars), func(_ *testing.T, f *Facts) { pod(f).FSGroup = nil }, "secret-unreadable", "token-file-denied", nil},

	{"the sidecar was made for another role", sidecars, func(_ *testing.T, f *Facts) {
		now, made := *helper(f), *role(f)
		now.Role += "-now"
		made.ARN = now.Role
		account(f).Helper, f.Account.Roles = &now, append(f.Account.Roles, made)
		f.Account.Profiles[0].Roles = append(f.Account.Profiles[0].Roles, now.Role)
	}, "role-other", "ra-unable-to-assume", nil},
	{"the sidecar is not asked", sidecars, func(_ *testing.T, f *Facts) { delete(app(f).Env, "AWS_EC2_METADATA_SERVICE_ENDPOINT") }, "sidecar-not-asked", "imds-hop-limit", nil},
	{"the sidecar may not be asked", sidecars, func(_ *testing.T, f *Facts) {
		app(f).Env["AWS_EC2_METADATA_DISABLED"] = "true"
	}, "metadata-disabled", "imds-disabled", nil},

	// machines
	{"the hop limit is 1 again", machines, func(_ *testing.T, f *Facts) { f.instance(node(f)).HopLimit = 1 }, "hop-limit-low", "imds-hop-limit", nil},
	{"the metadata service is off", machines, func(_ *testing.T, f *Facts) { f.instance(node(f)).Endpoint = false }, "metadata-off", "imds-hop-limit", nil},
	{"the instance has no profile", machines, func(_ *testing.T, f *Facts) { f.instance(node(f)).Profile = "" }, "instance-profile-missing", "imds-hop-limit", nil},
	{"the instance has another profile", machines, func(_ *testing.T, f *Facts) { f.instance(node(f)).Profile = "other" }, "instance-profile-missing", "imds-hop-limit", nil},
	{"the pod may not ask for metadata", machines, func(_ *testing.T, f *Facts) {
		app(f).Env["AWS_EC2_METADATA_DISABLED"] = "true"
	}, "metadata-disabled", "imds-disabled", nil},
	{"the pod is on a server", machines, func(_ *testing.T, f *Facts) {
		pod(f).Node = find(f.Cluster.Nodes, func(n *Node) bool { return n.Server }).Name
	}, "on-server", "imds-hop-limit", nil},
	{"the hop limit lets pods in", away, func(_ *testing.T, f *Facts) { f.instance(node(f)).HopLimit = 2 }, "hop-limit-high", "denied-node", nil},
	{"a server's hop limit lets pods in", machines, func(_ *testing.T, f *Facts) {
		f.instance(find(f.Cluster.Nodes, func(n *Node) bool { return n.Server })).HopLimit = 2
	}, "hop-limit-high", "denied-node", nil},
	{"an instance takes IMDSv1", everywhere, func(_ *testing.T, f *Facts) { f.instance(node(f)).Tokens = false }, "imdsv1", "imds-hop-limit", nil},
}

func TestSeededFaults(t *testing.T) {
	told := map[string]bool{}
	require.Greater(t, len(seeded), 40)
	for _, s := range seeded {
		require.NotEmpty(t, s.setups, s.name)
		told[s.id] = true
		for _, name := range s.setups {
			t.Run(s.name+"/"+name, func(t *testing.T) {
				f := load(t, name)
				s.seed(t, f)
				found := Check(f)
				require.NotEmpty(t, found, "nothing was found")
				first := found[0]
				require.Equal(t, s.id, first.ID, "first of %+v", found)
				require.NotEmpty(t, first.Causes)
				cause := s.cause
				if other, ok := s.others[load(t, name).Stack.Presents]; ok {
					cause = other
				}
				require.Equal(t, cause, first.Causes[0].Error)
				require.NotContains(t, first.Do+first.Expected+first.Causes[0].Why, "<namespace>")
			})
		}
	}
}

func TestHealthy(t *testing.T) {
	list, err := setups.Load(filepath.Join("..", "..", "..", ".."))
	require.NoError(t, err)
	for _, name := range list.Names() {
		require.Contains(t, healthy, name, "a healthy dump of each setup")
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, len(healthy))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			f := load(t, name)
			r := Examine(f)
			require.Empty(t, r.Findings)
			require.Empty(t, r.Unseen)
			require.Equal(t, 1, r.Identities)
			require.Equal(t, 1, r.Pods)
			// Without the setup's name the same is seen.
			f.Stack = nil
			require.Empty(t, Check(f))
			require.Len(t, Identities(f), 1)
		})
	}
}

// TestDumpHasNoSecret looks for what private keys, tokens and access keys look like.
func TestDumpHasNoSecret(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	require.NoError(t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, sign := range []string{"PRIVATE", "eyJ", "AKIA", "ASIA"} {
			require.NotContains(t, string(data), sign, file)
		}
	}
}

// TestAnnotationsTellOfCertificates holds that a service account which somebody else makes is known by its annotations,
// before it has a pod.
func TestAnnotationsTellOfCertificates(t *testing.T) {
	f := load(t, "roles-anywhere.sidecar")
	told := *helper(f)
	f.Cluster.Pods, f.Stack = nil, nil
	account(f).PartOf, account(f).Labelled, account(f).Certificate, account(f).Helper = false, true, "theirs", &told
	require.Equal(t, []Identity{{"default", "uploader", told.Role, presentsCertificate}}, Identities(f))
	f.Cluster.Injectors = []Injector{{Kind: admissionPolicy, Name: "lab", Works: true}}
	found := Check(f)
	require.Len(t, found, 1)
	require.Equal(t, "certificate-secret-missing", found[0].ID)
	require.Equal(t, "Secret default/theirs", found[0].Where)
	told.Anchor += "0"
	require.Equal(t, "anchor-missing", Check(f)[0].ID)

	f = load(t, "roles-anywhere.admission-policy")
	role := helper(f).Role
	f.Cluster.Pods, f.Stack = nil, nil
	account(f).PartOf = false
	account(f).Certificate = "uploader-rolesanywhere"
	require.Equal(t, []Identity{{"default", "uploader", role, presentsCertificate}}, Identities(f))
	require.Empty(t, Check(f))
}

// TestUnseenIsNotJudged takes one part after another away: what was not looked at is no finding.
func TestUnseenIsNotJudged(t *testing.T) {
	for _, name := range healthy {
		for part, forget := range map[string]func(*Facts){
			partAccounts:  func(f *Facts) { f.Cluster.Accounts = nil },
			partSecrets:   func(f *Facts) { f.Cluster.Secrets = nil },
			partNodes:     func(f *Facts) { f.Cluster.Nodes = nil },
			partRoles:     func(f *Facts) { f.Account.Roles = nil },
			partProviders: func(f *Facts) { f.Account.Providers = nil },
			partAnchors:   func(f *Facts) { f.Account.Anchors = nil },
			partProfiles:  func(f *Facts) { f.Account.Profiles = nil },
			partInstances: func(f *Facts) { f.Account.Instances = nil },
			partToken:     func(f *Facts) { f.Cluster.Token = nil },
			partInjection: func(f *Facts) { f.Cluster.Injectors = nil },
			partCaller:    func(f *Facts) { f.Account = Account{} },
		} {
			t.Run(name+"/"+part, func(t *testing.T) {
				f := load(t, name)
				forget(f)
				f.Unseen = []Unseen{{What: part, Why: "forbidden"}}
				require.Empty(t, Check(f))
			})
		}
	}
}

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for i, k := range kinds {
		require.False(t, seen[k.id], "%s twice", k.id)
		seen[k.id] = true
		require.NotEmpty(t, k.causes, k.id)
		require.NotEmpty(t, k.expected, k.id)
		require.NotEmpty(t, k.do, k.id)
		require.False(t, i > 0 && k.link < kinds[i-1].link, "%s: the kinds are in the order of the chain", k.id)
		for _, c := range k.causes {
			if c.Error != "" {
				require.NotNil(t, causes.Get(c.Error), k.id)
			}
		}
		if k.page != "" {
			_, err := os.Stat(filepath.Join("..", "..", "..", "..", "docs", k.page))
			require.NoError(t, err, k.id)
		} else {
			require.NotEmpty(t, k.causes[0].Error, "%s has neither a page nor a cause with one", k.id)
		}
	}
}

func TestStaticEntries(t *testing.T) {
	require.Equal(t, []string{"AWS_ACCESS_KEY_ID", "aws_secret_access_key", "credentials", "note"}, staticEntries(map[string]string{
		"AWS_ACCESS_KEY_ID": "x", "aws_secret_access_key": "x", "credentials": "[default]\naws_secret_access_key = x\n", "note": "key AKIA" + "IOSFODNN7EXAMPLE.",
		"plain": "AKIA alone", "AWS_REGION": "eu-central-1"}))
}

func TestPair(t *testing.T) {
	one, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, one.Public(), one)
	require.NoError(t, err)
	cert := pemOf("CERTIFICATE", der)
	keyOf := func(k *rsa.PrivateKey) []byte { return pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k)) }
	for name, test := range map[string]struct {
		cert, key []byte
		want      Secret
	}{
		"a pair":         {cert, keyOf(one), Secret{}},
		"another's key":  {cert, keyOf(other), Secret{Foreign: true}},
		"no certificate": {nil, keyOf(one), Secret{Problem: "tls.crt has no certificate"}},
		"no key":         {cert, []byte("x"), Secret{Problem: "tls.key has no PEM"}},
		"a key as both":  {keyOf(one), keyOf(one), Secret{Problem: "tls.crt has something else than certificates"}},
		"cert as both":   {cert, cert, Secret{Problem: "tls.key has no private key"}},
	} {
		t.Run(name, func(t *testing.T) {
			var s Secret
			s.pair(test.cert, test.key)
			s.Certificates = nil
			require.Equal(t, test.want, s)
		})
	}
}

func TestClaims(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	c, err := claimsOf(encode([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + encode([]byte(`{"iss":"i","sub":"s","iat":5,"nbf":6,"exp":7}`)) + ".signature")
	require.NoError(t, err)
	require.Equal(t, &Claims{Issuer: "i", Subject: "s", KeyID: "k", Issued: time.Unix(5, 0).UTC(), Begins: time.Unix(6, 0).UTC(), Ends: time.Unix(7, 0).UTC()}, c)
	for _, bad := range []string{"", "a.b", "a.b.c", encode([]byte("x")) + "." + encode([]byte("{}")) + "."} {
		_, err := claimsOf(bad)
		require.ErrorContains(t, err, "no JWT")
	}
}

// TestLarge checks that 100 identities with two pods each are judged in a moment, and told apart.
func TestLarge(t *testing.T) {
	f := large(t)
	began := time.Now()
	r := Examine(f)
	require.Empty(t, r.Findings)
	require.Equal(t, 100, r.Identities)
	require.Equal(t, 200, r.Pods)
	require.Less(t, time.Since(began), 5*time.Second)
	f.Account.Providers = nil
	found := Check(f)
	require.Len(t, found, 1, "one finding, not one for each identity")
	require.Len(t, found[0].Identities, 100)
}

func large(t testing.TB) *Facts {
	t.Helper()
	one := load(t, "irsa-s3")
	data, err := json.Marshal(one)
	require.NoError(t, err)
	f := load(t, "irsa-s3")
	f.Cluster.Pods, f.Cluster.Accounts = nil, nil
	for i := range 100 {
		name := "id" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		var copied Facts
		require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(string(data), "uploader", name)), &copied))
		f.Cluster.Accounts = append(f.Cluster.Accounts, *copied.account("default", name))
		f.Account.Roles = append(f.Account.Roles, *copied.role(copied.account("default", name).Role))
		for _, suffix := range []string{"-1", "-2"} {
			p := copied.Cluster.Pods[0]
			p.Name += suffix
			f.Cluster.Pods = append(f.Cluster.Pods, p)
		}
	}
	return f
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
