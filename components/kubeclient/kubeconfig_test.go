package kubeclient

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"k3s-aws-auth/components/internal/kubetest"
)

// What a kubeconfig says of who asks, and through whom, reaches the API server.
func TestParseHonours(t *testing.T) {
	var asked *http.Request
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked = r }))
	defer api.Close()
	through := ""
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through = r.Method + " " + r.Host
		w.WriteHeader(http.StatusTeapot)
	}))
	defer proxy.Close()
	ca := "certificate-authority-data: " + base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}))

	client, err := Parse(kubetest.Kubeconfig(api.URL, ca+"\n    tls-server-name: example.com\n    disable-compression: true",
		`{username: u, password: p, as: deployer, as-uid: "7", as-groups: [a, b], as-user-extra: {Some/Thing: [x, y], "a:b@c=d e": [z]}}`))
	require.NoError(t, err)
	_, err = client.Do(t.Context(), Request{Path: "/"})
	require.NoError(t, err)
	user, password, _ := asked.BasicAuth()
	require.Equal(t, []string{"u", "p"}, []string{user, password})
	require.Equal(t, "deployer", asked.Header.Get("Impersonate-User"))
	require.Equal(t, "7", asked.Header.Get("Impersonate-Uid"))
	require.Equal(t, []string{"a", "b"}, asked.Header.Values("Impersonate-Group"))
	require.Equal(t, []string{"x", "y"}, asked.Header.Values("Impersonate-Extra-some%2Fthing"))
	require.Equal(t, []string{"z"}, asked.Header.Values("Impersonate-Extra-a%3Ab%40c%3Dd%20e"))
	require.Empty(t, asked.Header.Get("Accept-Encoding"))

	client, err = Parse(kubetest.Kubeconfig(api.URL, ca+"\n    proxy-url: "+proxy.URL, "token: t"))
	require.NoError(t, err)
	_, err = client.Do(t.Context(), Request{Path: "/"})
	require.Error(t, err, "the proxy refuses")
	require.Equal(t, "CONNECT "+strings.TrimPrefix(api.URL, "https://"), through)
}

func TestParseRefuses(t *testing.T) {
	ca := "certificate-authority-data: aGVsbG8="
	tests := []struct{ name, text, want string }{
		{"nothing", "", "current-context names no context"},
		{"no YAML", "\tsecret: [", "is not YAML"},
		{"plain HTTP", kubetest.Kubeconfig("http://c.example.com", "", "token: t"), "server must be an https URL"},
		{"anybody", kubetest.Kubeconfig("https://c.example.com", "insecure-skip-tls-verify: true", "token: t"), "insecure-skip-tls-verify would let anybody"},
		{"CA in a file", kubetest.Kubeconfig("https://c.example.com", "certificate-authority: /ca.pem", "token: t"), "kubectl config view --raw --minify --flatten"},
		{"no CA", kubetest.Kubeconfig("https://c.example.com", ca, "token: t"), "certificate-authority-data has no certificate"},
		{"no pair", kubetest.Kubeconfig("https://c.example.com", "", "client-certificate-data: aGVsbG8=\n    client-key-data: aGVsbG8="), "do not belong together"},
		{"command", kubetest.Kubeconfig("https://c.example.com", "", "exec: {command: aws}"), "its user is a command (exec)"},
		{"nobody", kubetest.Kubeconfig("https://c.example.com", "", "as: x"), "neither client-certificate-data nor a token"},
		{"proxy", kubetest.Kubeconfig("https://c.example.com", "proxy-url: ftp://x", "token: t"), "proxy-url must be"},
		{"token file", kubetest.Kubeconfig("https://c.example.com", "", "tokenFile: /t"), "tokenFile is a file"},
		{"certificate file", kubetest.Kubeconfig("https://c.example.com", "", "client-certificate: /c"), "client-certificate is a file"},
		{"key file", kubetest.Kubeconfig("https://c.example.com", "", "client-key: /c"), "client-key is a file"},
		{"provider", kubetest.Kubeconfig("https://c.example.com", "", "auth-provider: {name: gcp}"), "auth-provider"},
		{"a block of YAML", kubetest.Kubeconfig("https://c.example.com", "", "token: |\n      t"), "white space"},
		{"two ways", kubetest.Kubeconfig("https://c.example.com", "", "token: t\n    username: u"), "a token and a password"},
		{"two clusters", strings.ReplaceAll(kubetest.Kubeconfig("https://c.example.com", "", "token: t"), "name: other\n  cluster", "name: c\n  cluster"), `clusters has "c" twice`},
		{"two users", strings.ReplaceAll(kubetest.Kubeconfig("https://c.example.com", "", "token: t"), "name: other\n  user", "name: u\n  user"), `users has "u" twice`},
		{"two contexts", strings.ReplaceAll(kubetest.Kubeconfig("https://c.example.com", "", "token: t"), "name: other\n  context", "name: mine\n  context"), `contexts has "mine" twice`},
		{"user in the server's URL", kubetest.Kubeconfig("https://u:aGVsbG8=@c.example.com", "", "token: t"), "without user, query and fragment"},
		{"query in the server's URL", kubetest.Kubeconfig("https://c.example.com/?x=y", "", "token: t"), "without user, query and fragment"},
		{"certificate that has ended", kubetest.Kubeconfig("https://c.example.com", "", clientPair(t, time.Now().Add(-time.Minute))), "certificate ended on"},
		{"group alone", kubetest.Kubeconfig("https://c.example.com", "", "token: t\n    as-groups: [g]"), "need as"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.text)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "aGVsbG8=")
		})
	}
}

// clientPair is a client's certificate that ends then, and its key.
func clientPair(t *testing.T, end time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-time.Hour), NotAfter: end}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	encode := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return "client-certificate-data: " + encode("CERTIFICATE", certificate) + "\n    client-key-data: " + encode("PRIVATE KEY", private)
}

// TestParseForms holds that one kubeconfig is read in every form that client-go
// reads it in, and a certificate that has ended beside a token is no fault of its own.
func TestParseForms(t *testing.T) {
	text := kubetest.Kubeconfig("https://c.example.com", "", "token: t")
	var value any
	require.NoError(t, yaml.Unmarshal([]byte(text), &value))
	asJSON, err := json.MarshalIndent(value, "", "\t")
	require.NoError(t, err)
	for name, text := range map[string]string{
		"YAML": text, "CRLF": strings.ReplaceAll(text, "\n", "\r\n"), "BOM": "\uFEFF" + text, "a document's mark": "---\n" + text,
		"JSON": string(asJSON), "JSON with CRLF": strings.ReplaceAll(string(asJSON), "\n", "\r\n"),
		"certificate": kubetest.Kubeconfig("https://c.example.com", "", clientPair(t, time.Now().Add(time.Hour))),
		"both":        kubetest.Kubeconfig("https://c.example.com", "", "token: t\n    "+clientPair(t, time.Now().Add(-time.Hour))),
	} {
		client, err := Parse(text)
		require.NoError(t, err, name)
		require.Equal(t, "https://c.example.com", client.Endpoint, name)
	}
}

// The kubeconfig that is written is one that is read, whole.
func TestAdminKubeconfig(t *testing.T) {
	text, err := Admin{ClusterName: "lab", Endpoint: "https://203.0.113.7:6443", CAPem: "ca", CertPem: "cert", KeyPem: "key"}.Kubeconfig()
	require.NoError(t, err)
	require.Equal(t, `apiVersion: v1
kind: Config
clusters:
    - name: lab
      cluster:
        server: https://203.0.113.7:6443
        certificate-authority-data: Y2E=
users:
    - name: lab
      user:
        client-certificate-data: Y2VydA==
        client-key-data: a2V5
contexts:
    - name: lab
      context:
        cluster: lab
        user: lab
current-context: lab
`, text, "what changes here changes the provider of every cluster's resources")
	_, err = Parse(text)
	require.ErrorContains(t, err, "has no certificate")
}
