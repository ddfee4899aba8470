package existing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/internal/kubetest"
	"k3s-aws-auth/components/internal/pulumitest"
	"k3s-aws-auth/components/oidcissuer"
)

const token = "very-secret-token"

// newAPI is an API server that shows documents by their path to whoever has the
// token, and the kubeconfig for it.
func newAPI(t *testing.T, documents map[string]string) string {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document, ok := documents[r.URL.Path]
		switch {
		case r.Header.Get("Authorization") != "Bearer "+token:
			http.Error(w, "who?", http.StatusUnauthorized)
		case !ok:
			http.NotFound(w, r)
		case !strings.Contains(r.Header.Get("Accept"), mediaType(r.URL.Path)):
			w.WriteHeader(http.StatusNotAcceptable)
		case document == "redirect":
			http.Redirect(w, r, "https://elsewhere.example.com/", http.StatusFound)
		default:
			fmt.Fprint(w, document)
		}
	}))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return kubetest.Kubeconfig(server.URL, "certificate-authority-data: "+base64.StdEncoding.EncodeToString(ca), "token: "+token)
}

// stranger is the way into a cluster of somebody whom it does not know.
func stranger(t *testing.T, documents map[string]string) *Access {
	t.Helper()
	access, err := Parse(strings.ReplaceAll(newAPI(t, documents), token, "other"))
	require.NoError(t, err)
	return access
}

// mediaType is what the API server insists on serving a document as.
func mediaType(path string) string {
	if path == jwksPath {
		return "application/jwk-set+json"
	}
	return "application/json"
}

// testKeys are an RSA and an EC key as PEM, and their JWKS.
func testKeys(t *testing.T) ([]string, string) {
	t.Helper()
	first, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	second, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	var keys []string
	for _, key := range []any{first.Public(), second.Public()} {
		der, err := x509.MarshalPKIXPublicKey(key)
		require.NoError(t, err)
		keys = append(keys, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	}
	set, err := oidcissuer.JWKS(keys)
	require.NoError(t, err)
	return keys, string(set)
}

func TestPublicKeysAreTheClusters(t *testing.T) {
	want, set := testKeys(t)
	access, err := Parse(newAPI(t, map[string]string{jwksPath: set}))
	require.NoError(t, err)
	got, err := access.PublicKeys(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
	published, err := oidcissuer.JWKS(got)
	require.NoError(t, err)
	require.JSONEq(t, set, string(published), "what is published is what the cluster shows")
}

// Whatever is wrong with a JWKS, nothing comes of it that could be published.
func TestPublicKeysRefuse(t *testing.T) {
	_, good := testKeys(t)
	change := func(f func(key map[string]any)) string {
		var set struct {
			Keys []map[string]any `json:"keys"`
		}
		require.NoError(t, json.Unmarshal([]byte(good), &set))
		f(set.Keys[0])
		out, err := json.Marshal(set)
		require.NoError(t, err)
		return string(out)
	}
	tests := []struct{ name, document, want string }{
		{"empty", `{"keys":[]}`, oidcissuer.ErrNoKeys.Error()},
		{"no keys", `{}`, oidcissuer.ErrNoKeys.Error()},
		{"keys that sign nothing", `{"keys":[{"kty":"RSA","use":"enc","kid":"x","alg":"RSA-OAEP","n":"AQAB","e":"AQAB"}]}`, oidcissuer.ErrNoKeys.Error()},
		{"status", `{"kind":"Status","status":"Failure"}`, oidcissuer.ErrNoKeys.Error()},
		{"nothing", ``, "is not the expected JSON"},
		{"HTML", `<html>`, "is not the expected JSON"},
		{"redirect", `redirect`, "302 Found"},
		{"no id", change(func(k map[string]any) { delete(k, "kid") }), "key 0: has no id"},
		{"an id in two lines", change(func(k map[string]any) { k["kid"] = "a\nb" }), "cannot be published"},
		{"private", change(func(k map[string]any) { k["d"] = "AQAB" }), oidcissuer.ErrPrivateKey.Error()},
		{"symmetric", `{"keys":[{"kty":"oct","kid":"x","k":"AQAB"}]}`, `has the type "oct"`},
		{"no number", change(func(k map[string]any) { k["n"] = "" }), "key 0: is no RSA key"},
		{"curve", `{"keys":[{"kty":"EC","crv":"secp256k1","kid":"x"}]}`, `has the curve "secp256k1"`},
		{"off the curve", `{"keys":[{"kty":"EC","crv":"P-256","kid":"x","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}]}`, "is not on its curve"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			access, err := Parse(newAPI(t, map[string]string{jwksPath: tt.document}))
			require.NoError(t, err)
			keys, err := access.PublicKeys(t.Context())
			require.ErrorContains(t, err, tt.want)
			require.Empty(t, keys)
			require.NotContains(t, err.Error(), token)
		})
	}
	access, err := Parse(newAPI(t, nil))
	require.NoError(t, err)
	_, err = access.PublicKeys(t.Context())
	require.ErrorIs(t, err, ErrNoDocument)
	access = stranger(t, nil)
	_, err = access.PublicKeys(t.Context())
	require.ErrorContains(t, err, "system:service-account-issuer-discovery")
}

// A key keeps the id that the cluster shows: it is what tokens name.
func TestPublicKeysKeepTheirIDs(t *testing.T) {
	_, set := testKeys(t)
	var document struct {
		Keys []map[string]any `json:"keys"`
	}
	require.NoError(t, json.Unmarshal([]byte(set), &document))
	document.Keys[0]["kid"] = "2026-11: mine"
	text, err := json.Marshal(document)
	require.NoError(t, err)
	access, err := Parse(newAPI(t, map[string]string{jwksPath: string(text)}))
	require.NoError(t, err)
	keys, err := access.PublicKeys(t.Context())
	require.NoError(t, err)
	published, err := oidcissuer.JWKS(keys)
	require.NoError(t, err)
	require.JSONEq(t, string(text), string(published))

	// Members that AWS does not read, and keys that sign nothing, are left out.
	more := document
	more.Keys = append(slices.Clone(document.Keys), map[string]any{"kty": "RSA", "use": "enc", "kid": "x", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"})
	more.Keys[0] = maps.Clone(more.Keys[0])
	more.Keys[0]["x5c"], more.Keys[0]["x5t"], more.Keys[0]["key_ops"] = []string{"MIIB"}, "x", []string{"verify"}
	richer, err := json.Marshal(more)
	require.NoError(t, err)
	access, err = Parse(newAPI(t, map[string]string{jwksPath: string(richer)}))
	require.NoError(t, err)
	keys, err = access.PublicKeys(t.Context())
	require.NoError(t, err)
	published, err = oidcissuer.JWKS(keys)
	require.NoError(t, err)
	require.JSONEq(t, string(text), string(published))

	document.Keys[1]["kid"] = "2026-11: mine"
	text, err = json.Marshal(document)
	require.NoError(t, err)
	access, err = Parse(newAPI(t, map[string]string{jwksPath: string(text)}))
	require.NoError(t, err)
	keys, err = access.PublicKeys(t.Context())
	require.NoError(t, err)
	_, err = oidcissuer.JWKS(keys)
	require.ErrorContains(t, err, "another key has its id")
}

// TestTaken holds what of a cluster's objects is another's.
func TestTaken(t *testing.T) {
	mark := Mark{PartOf: [2]string{"part-of", "us"}, Owner: [2]string{"owner", "lab"}, Former: map[string][]string{"level": {"high", "low"}}}
	namespace := func(metadata string) string { return `{"metadata":{"name":"n",` + metadata + `}}` }
	for name, tc := range map[string]struct {
		documents map[string]string
		want      []Taken
	}{
		"nothing is there": {map[string]string{"/api/v1/namespaces/n/serviceaccounts": `{"items":[]}`}, nil},
		"all is ours": {map[string]string{
			"/api/v1/namespaces/n":                 namespace(`"labels":{"part-of":"us","owner":"lab"}`),
			"/api/v1/namespaces/n/serviceaccounts": `{"items":[{"metadata":{"name":"a","labels":{"part-of":"us"}}},{"metadata":{"name":"other"}}]}`}, nil},
		"an earlier release's namespace": {map[string]string{
			"/api/v1/namespaces/n": namespace(`"labels":{"level":"low"},"managedFields":[{"manager":"pulumi-kubernetes-1a2b"}]`)}, nil},
		"a namespace like it": {map[string]string{
			"/api/v1/namespaces/n": namespace(`"labels":{"level":"low"},"managedFields":[{"manager":"kubectl"}]`)}, []Taken{{"n", "", "kubectl"}}},
		"Helm's": {map[string]string{
			"/api/v1/namespaces/n":                 namespace(`"labels":{"app.kubernetes.io/managed-by":"Helm"}`),
			"/api/v1/namespaces/n/serviceaccounts": `{"items":[{"metadata":{"name":"a","annotations":{"meta.helm.sh/release-name":"chart"}}}]}`},
			[]Taken{{"n", "", "Helm"}, {"n", "a", "Helm release chart"}}},
		"another stack's": {map[string]string{
			"/api/v1/namespaces/n":                 namespace(`"labels":{"part-of":"us","owner":"prod"}`),
			"/api/v1/namespaces/n/serviceaccounts": `{"items":[{"metadata":{"name":"a","labels":{"part-of":"us","owner":"prod"}}}]}`},
			[]Taken{{"n", "", "the stack of cluster prod"}, {"n", "a", "the stack of cluster prod"}}},
	} {
		t.Run(name, func(t *testing.T) {
			access, err := Parse(newAPI(t, tc.documents))
			require.NoError(t, err)
			got, err := access.Taken(t.Context(), Wanted{Namespaces: []string{"n"}, Accounts: map[string][]string{"n": {"a"}}}, mark)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
	access := stranger(t, nil)
	_, err := access.Taken(t.Context(), Wanted{Namespaces: []string{"n"}}, mark)
	require.ErrorContains(t, err, "must be allowed to read it", "what cannot be seen is not free")
}

func TestIssuer(t *testing.T) {
	access, err := Parse(newAPI(t, map[string]string{discoveryPath: `{"issuer":"https://issuer.example.com"}`}))
	require.NoError(t, err)
	issuer, err := access.Issuer(t.Context())
	require.NoError(t, err)
	require.Equal(t, "https://issuer.example.com", issuer)
	for _, documents := range []map[string]string{nil, {discoveryPath: `{}`}} {
		access, err := Parse(newAPI(t, documents))
		require.NoError(t, err)
		_, err = access.Issuer(t.Context())
		require.ErrorIs(t, err, ErrNoDocument)
	}
}

func TestNewCluster(t *testing.T) {
	text := newAPI(t, nil)
	recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
		_, err := NewCluster(ctx, "mine", &ClusterArgs{Kubeconfig: text})
		return err
	})
	require.NoError(t, err)
	require.Equal(t, "k3s-aws-auth:existing:Cluster mine\npulumi:providers:kubernetes mine-kubernetes < mine\n", recorder.Graph())
	require.True(t, recorder.Get(t, "mine-kubernetes").IsSecret("kubeconfig"))
	require.Equal(t, "mine", recorder.Get(t, "mine-kubernetes").Input("clusterIdentifier"))

	for _, args := range []*ClusterArgs{nil, {}} {
		recorder, err := pulumitest.Run(t, pulumitest.Options{}, func(ctx *pulumi.Context) error {
			_, err := NewCluster(ctx, "mine", args)
			return err
		})
		require.Error(t, err)
		require.Empty(t, recorder.Resources())
	}
}
