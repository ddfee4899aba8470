package stacks

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/oidcissuer"
)

const labIssuer = "https://lab-issuer-111122223333-eu-central-1.s3.eu-central-1.amazonaws.com"

// owner is a cluster that somebody else made, as far as its API server tells of
// its tokens, and the configuration for it.
type owner struct {
	issuer, jwks string
	objects      map[string]string // by path
	asked        []string
	url, ca      string
	// change alters the configuration that it is run with.
	change func(map[string]string)
}

func newOwner(t *testing.T, issuer, jwks string) *owner {
	t.Helper()
	o := &owner{issuer: issuer, jwks: jwks}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.asked = append(o.asked, r.URL.Path)
		switch {
		case r.URL.Path == "/openid/v1/jwks" && o.jwks != "":
			fmt.Fprint(w, o.jwks)
		case r.URL.Path == "/.well-known/openid-configuration" && o.issuer != "":
			fmt.Fprintf(w, `{"issuer":%q}`, o.issuer)
		case o.objects[r.URL.Path] != "":
			fmt.Fprint(w, o.objects[r.URL.Path])
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	o.url = server.URL
	o.ca = base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return o
}

// run runs a setup for the cluster. The configuration has no network.
func (o *owner) run(t *testing.T, setup string, publicKeys ...string) (*testEngine, error) {
	t.Helper()
	cluster, err := json.Marshal(map[string]any{
		"mode": "existing", "publicKeys": publicKeys,
		"kubeconfig": `{"current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],` +
			`"clusters":[{"name":"x","cluster":{"server":"` + o.url + `","certificate-authority-data":"` + o.ca + `"}}],` +
			`"users":[{"name":"x","user":{"token":"very-secret-token"}}]}`,
	})
	require.NoError(t, err)
	values := labConfig(t)
	values["k3s-aws-auth:setup"], values["k3s-aws-auth:cluster"] = setup, string(cluster)
	delete(values, "k3s-aws-auth:network")
	if o.change != nil {
		o.change(values)
	}
	e := &testEngine{known: true}
	return e, e.run(t, values, "k3s-aws-auth:cluster")
}

func ownerKey() string {
	return testKey("owner", "RSA")["publicKeyPem"].StringValue()
}

func ownerJWKS(t *testing.T) string {
	t.Helper()
	set, err := oidcissuer.JWKS([]string{ownerKey()})
	require.NoError(t, err)
	return string(set)
}

// TestExistingCluster holds that the identity plane alone is deployed, with the
// cluster's own keys, and that the kubeconfig stays a secret.
func TestExistingCluster(t *testing.T) {
	for setup, issuer := range map[string]string{"irsa-s3": labIssuer, "irsa-cloudfront": "https://oidc.lab.example.com", "roles-anywhere": ""} {
		t.Run(setup, func(t *testing.T) {
			o := newOwner(t, issuer, ownerJWKS(t))
			e, err := o.run(t, setup)
			require.NoError(t, err)
			for _, r := range e.resources {
				for _, not := range []string{"aws:ec2/", "aws:lb/", "aws:ssm/", "aws:vpc/", "kubernetes:core/v1:Namespace"} {
					require.False(t, strings.HasPrefix(r.Type, not), "%s %s", r.Type, r.Name)
				}
				for _, plain := range plainText(resource.NewObjectProperty(r.Inputs)) {
					require.NotContains(t, plain, "very-secret-token", r.Name)
				}
				if strings.HasPrefix(r.Type, "kubernetes:") {
					require.Equal(t, "lab-cluster-kubernetes", providerName(r.Provider), r.Name)
				}
			}
			require.Len(t, e.of("kubernetes:core/v1:Pod"), 1)
			outputs := e.stackOutputs()
			require.True(t, outputs["kubeconfig"].IsSecret())
			require.Equal(t, o.url, outputs["endpoint"].StringValue())
			if setup == "roles-anywhere" {
				require.Equal(t, []string{"/api/v1/namespaces/default/serviceaccounts"}, o.asked, "certificates do not depend on the cluster's keys")
				return
			}
			require.Empty(t, e.of("tls:index/privateKey:PrivateKey"), "the cluster has its own keys")
			require.Equal(t, issuer, outputs["issuerUrl"].StringValue())
			published := slices.IndexFunc(e.resources, func(r registered) bool {
				return r.Type == "aws:s3/bucketObjectv2:BucketObjectv2" && strings.HasSuffix(r.Inputs["key"].StringValue(), "jwks")
			})
			require.JSONEq(t, ownerJWKS(t), e.resources[published].Inputs["content"].StringValue())
		})
	}
}

// TestExistingClusterHasIt holds that namespaces and ServiceAccounts of others are
// refused, all of them at once, before anything is registered, with the way on.
func TestExistingClusterHasIt(t *testing.T) {
	helm := `"labels":{"app.kubernetes.io/managed-by":"Helm"},"annotations":{"meta.helm.sh/release-name":"chart"}`
	o := newOwner(t, "", "")
	o.objects = map[string]string{
		"/api/v1/namespaces/billing":                 `{"metadata":{"name":"billing",` + helm + `}}`,
		"/api/v1/namespaces/billing/serviceaccounts": `{"items":[{"metadata":{"name":"reports",` + helm + `}}]}`,
	}
	identities := func(more string) func(map[string]string) {
		return func(values map[string]string) {
			values["k3s-aws-auth:demo"] = "false"
			values["k3s-aws-auth:identities"] = `[{"name":"a","namespace":"billing","serviceAccount":"reports"` + more + `,"managedPolicyArns":["arn:aws:iam::aws:policy/X"]}]`
		}
	}
	o.change = identities(`,"createNamespace":true`)
	e, err := o.run(t, "roles-anywhere")
	require.ErrorContains(t, err, "identities[0].createNamespace: found true: must be false: namespace billing is there already, made by Helm release chart")
	require.ErrorContains(t, err, "identities[0].serviceAccount: found \"reports\": must be free: service account billing/reports is there already, made by Helm release chart")
	require.ErrorContains(t, err, "createServiceAccount: false")
	require.Len(t, e.resources, 1, "the stack alone")

	// One of several accounts: what is said to do is about all of them.
	require.NotContains(t, err.Error(), "all service accounts of the entry")
	o.change = identities(`,"serviceAccounts":["worker"]`)
	_, err = o.run(t, "roles-anywhere")
	require.ErrorContains(t, err, "identities[0].serviceAccount: found \"reports\"")
	require.ErrorContains(t, err, "createServiceAccount: false, which is for all service accounts of the entry: the stack deletes those that it made, and annotate it")

	// What the message says to do, does.
	o.change = identities(`,"createServiceAccount":false`)
	e, err = o.run(t, "roles-anywhere")
	require.NoError(t, err)
	require.Empty(t, e.of("kubernetes:core/v1:ServiceAccount"))
	require.Empty(t, e.of("kubernetes:core/v1:Namespace"))

	// Nobody reaches the cluster: a preview says so and goes on.
	o.url = "https://127.0.0.1:1"
	o.change = identities("")
	e, err = o.run(t, "roles-anywhere")
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(e.logs, func(l *pulumirpc.LogRequest) bool { return strings.Contains(l.GetMessage(), errUnseen.Error()) }))
}

// TestExistingClusterRefuses holds that a run that cannot be right changes
// nothing at all.
func TestExistingClusterRefuses(t *testing.T) {
	tests := []struct{ name, setup, issuer, jwks, want string }{
		{"no keys", "irsa-s3", labIssuer, `{"keys":[]}`, "no public keys"},
		{"unreadable keys", "irsa-s3", labIssuer, "", "JWKS of the cluster"},
		{"no JSON", "irsa-cloudfront", "https://oidc.lab.example.com", "<html>", "Nothing was published"},
		{"other issuer", "irsa-s3", "https://kubernetes.default.svc.cluster.local", "good",
			"--service-account-issuer=" + labIssuer + " first and --service-account-issuer=https://kubernetes.default.svc.cluster.local second"},
		{"no issuer", "irsa-s3", "", "good", "issuer of the existing cluster: discovery document of the cluster"},
		{"instance profile", "instance-profile", labIssuer, "good", "cluster.mode: found existing: must be create for setup instance-profile"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			jwks := tt.jwks
			if jwks == "good" {
				jwks = ownerJWKS(t)
			}
			e, err := newOwner(t, tt.issuer, jwks).run(t, tt.setup)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "very-secret-token")
			require.Len(t, e.resources, 1, "the stack itself")
		})
	}
	o := newOwner(t, labIssuer, "")
	o.ca = ""
	o.url = "http" + strings.TrimPrefix(o.url, "https")
	o.change = func(values map[string]string) { values["k3s-aws-auth:demo"] = "yes" }
	e, err := o.run(t, "roles-anywhere")
	require.ErrorContains(t, err, "kubeconfig: server must be an https URL")
	require.ErrorContains(t, err, `demo: found "yes"`, "all that is wrong, at once")
	require.Len(t, e.resources, 1)
}

// TestExistingKeysCanBeGiven is for a cluster whose API server shows nothing of
// its tokens to the one who deploys.
func TestExistingKeysCanBeGiven(t *testing.T) {
	o := newOwner(t, "", "")
	e, err := o.run(t, "irsa-s3", ownerKey())
	require.NoError(t, err)
	require.NotContains(t, o.asked, "/openid/v1/jwks")
	require.True(t, slices.ContainsFunc(e.logs, func(l *pulumirpc.LogRequest) bool {
		return strings.Contains(l.GetMessage(), "could not be compared") && strings.Contains(l.GetMessage(), labIssuer)
	}), "a comparison that was left out is said")
	_, err = newOwner(t, "https://other.example.com", "").run(t, "irsa-s3", ownerKey())
	require.ErrorContains(t, err, "https://other.example.com", "what can be seen is compared")
}
