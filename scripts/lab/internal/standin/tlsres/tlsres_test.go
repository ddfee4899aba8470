package tlsres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha1" // #nosec G505 -- what the provider's ids are
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/sig"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"google.golang.org/protobuf/types/known/structpb"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

type world struct {
	t      *testing.T
	server *engine.Server[Client]
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, server: engine.NewServer(Package("0.0.1"), "")}
	_, err := w.server.Configure(context.Background(), &pulumirpc.ConfigureRequest{})
	require.NoError(t, err)
	return w
}

func (w *world) object(in m) *structpb.Struct {
	s, err := structpb.NewStruct(in)
	require.NoError(w.t, err)
	return s
}

const name = "test"

func urn(token string) string { return "urn:pulumi:test::test::" + token + "::" + name }

func (w *world) check(token string, in m) (*structpb.Struct, []*pulumirpc.CheckFailure) {
	w.t.Helper()
	resp, err := w.server.Check(context.Background(), &pulumirpc.CheckRequest{Urn: urn(token), News: w.object(in), RandomSeed: []byte("seed")})
	require.NoError(w.t, err)
	return resp.GetInputs(), resp.GetFailures()
}

func (w *world) create(token string, in m) (string, m) {
	w.t.Helper()
	inputs, failures := w.check(token, in)
	require.Empty(w.t, failures)
	resp, err := w.server.Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn(token), Properties: inputs})
	require.NoError(w.t, err)
	diff, err := w.server.Diff(context.Background(), &pulumirpc.DiffRequest{Id: resp.GetId(), Urn: urn(token), Olds: resp.GetProperties(), OldInputs: inputs, News: inputs})
	require.NoError(w.t, err)
	require.Equal(w.t, pulumirpc.DiffResponse_DIFF_NONE, diff.GetChanges(), "%v", diff.GetDetailedDiff())
	return resp.GetId(), resp.GetProperties().AsMap()
}

// open unwraps a secret, and fails when it is none.
func open(t *testing.T, v any) string {
	t.Helper()
	secret, ok := v.(map[string]any)
	require.True(t, ok, "%v is not secret", v)
	require.Equal(t, sig.Secret, secret[sig.Key])
	return secret["value"].(string)
}

const (
	keyType    = "tls:index/privateKey:PrivateKey"
	caType     = "tls:index/selfSignedCert:SelfSignedCert"
	csrType    = "tls:index/certRequest:CertRequest"
	signedType = "tls:index/locallySignedCert:LocallySignedCert"
)

func TestPrivateKeyForms(t *testing.T) {
	for _, c := range []struct {
		in         m
		block      string
		hasOpenSSH bool
	}{
		{m{"algorithm": "RSA"}, "RSA PRIVATE KEY", true},
		{m{"algorithm": "ECDSA", "ecdsaCurve": "P256"}, "EC PRIVATE KEY", true},
		{m{"algorithm": "ECDSA", "ecdsaCurve": "P521"}, "EC PRIVATE KEY", true},
		{m{"algorithm": "ECDSA"}, "EC PRIVATE KEY", false},
		{m{"algorithm": "ED25519"}, "PRIVATE KEY", true},
	} {
		t.Run(strings.TrimSpace(c.in["algorithm"].(string)+" "+c.block), func(t *testing.T) {
			w := newWorld(t)
			id, out := w.create(keyType, c.in)
			text := open(t, out["privateKeyPem"])
			block, rest := pem.Decode([]byte(text))
			require.Empty(t, rest)
			require.Equal(t, c.block, block.Type)
			key, err := parseKey(text)
			require.NoError(t, err)
			again, err := parseKey(open(t, out["privateKeyPemPkcs8"]))
			require.NoError(t, err)
			require.Equal(t, key.Public(), again.Public())
			require.EqualValues(t, 2048, out["rsaBits"], "stored whatever the algorithm")
			der, err := x509.MarshalPKIXPublicKey(key.Public())
			require.NoError(t, err)
			require.Equal(t, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), out["publicKeyPem"])
			if trimmed := strings.TrimSpace(string(der)); len(trimmed) == len(der) {
				sum := sha1.Sum(der) // #nosec G401 -- an id
				require.Equal(t, hex.EncodeToString(sum[:]), id)
			}
			if !c.hasOpenSSH {
				require.Empty(t, out["publicKeyOpenssh"])
				require.Empty(t, open(t, out["privateKeyOpenssh"]))
				require.Equal(t, elliptic.P224(), key.Public().(*ecdsa.PublicKey).Curve, "the default curve")
				return
			}
			parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(out["publicKeyOpenssh"].(string)))
			require.NoError(t, err)
			require.Equal(t, ssh.FingerprintSHA256(parsed), out["publicKeyFingerprintSha256"])
			require.True(t, strings.HasSuffix(out["publicKeyOpenssh"].(string), "\n"))
			third, err := parseKey(open(t, out["privateKeyOpenssh"]))
			require.NoError(t, err)
			require.Equal(t, key.Public(), third.Public())

			got, err := w.server.Invoke(context.Background(), &pulumirpc.InvokeRequest{Tok: "tls:index/getPublicKey:getPublicKey", Args: w.object(m{"privateKeyPem": text})})
			require.NoError(t, err)
			require.Equal(t, out["publicKeyPem"], got.GetReturn().AsMap()["publicKeyPem"])
			require.Equal(t, id, got.GetReturn().AsMap()["id"])
		})
	}
}

func parse(t *testing.T, text any) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text.(string)))
	require.NotNil(t, block)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert
}

func (w *world) key() string {
	_, out := w.create(keyType, m{"algorithm": "ECDSA", "ecdsaCurve": "P256"})
	return open(w.t, out["privateKeyPem"])
}

func (w *world) ca(key string) m {
	_, ca := w.create(caType, m{
		"privateKeyPem": key, "isCaCertificate": true, "validityPeriodHours": 48, "subject": m{"commonName": "CA", "organization": "lab"},
		"allowedUses": []any{"cert_signing", "crl_signing", "digital_signature"},
	})
	return ca
}

func TestCertificates(t *testing.T) {
	w := newWorld(t)
	caKey, leafKey := w.key(), w.key()
	ca := w.ca(caKey)
	caCert := parse(t, ca["certPem"])
	require.True(t, caCert.IsCA)
	require.True(t, caCert.BasicConstraintsValid)
	require.Equal(t, x509.KeyUsageCertSign|x509.KeyUsageCRLSign|x509.KeyUsageDigitalSignature, caCert.KeyUsage)
	require.NotEmpty(t, caCert.SubjectKeyId)
	require.Equal(t, caKey, open(t, ca["privateKeyPem"]), "the key stays secret in the state")
	require.Equal(t, "ECDSA", ca["keyAlgorithm"])

	_, request := w.create(csrType, m{
		"privateKeyPem": leafKey, "subject": m{"commonName": "uploader"}, "dnsNames": []any{"a.example"}, "ipAddresses": []any{"127.0.0.1"},
		"uris": []any{"spiffe://lab/uploader"},
	})
	id, leaf := w.create(signedType, m{
		"certRequestPem": request["certRequestPem"], "caCertPem": ca["certPem"], "caPrivateKeyPem": caKey, "validityPeriodHours": 24,
		"allowedUses": []any{"digital_signature", "client_auth"}, "earlyRenewalHours": 8,
	})
	cert := parse(t, leaf["certPem"])
	require.Equal(t, "uploader", cert.Subject.CommonName)
	require.Equal(t, []string{"a.example"}, cert.DNSNames)
	require.True(t, cert.IPAddresses[0].Equal(net.IPv4(127, 0, 0, 1)))
	require.Equal(t, "spiffe://lab/uploader", cert.URIs[0].String())
	require.Equal(t, cert.SerialNumber.String(), id)
	require.Equal(t, caCert.SubjectKeyId, cert.AuthorityKeyId)
	require.Equal(t, x509.KeyUsageDigitalSignature, cert.KeyUsage)
	require.False(t, cert.IsCA)
	require.NoError(t, cert.CheckSignatureFrom(caCert))
	require.Equal(t, cert.NotBefore.Add(24*time.Hour), cert.NotAfter)
	require.Equal(t, false, leaf["readyForRenewal"])
	end, err := time.Parse(time.RFC3339, leaf["validityEndTime"].(string))
	require.NoError(t, err)
	require.True(t, end.Equal(cert.NotAfter))
}

func TestChecks(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		token string
		in    m
		at    string
	}{
		{keyType, m{}, "algorithm"},
		{keyType, m{"algorithm": "DSA"}, "algorithm"},
		{keyType, m{"algorithm": "RSA", "curve": "P256"}, "curve"},
		{caType, m{"privateKeyPem": "x", "validityPeriodHours": 1, "allowedUses": []any{"certSigning"}}, "allowedUses[0]"},
		{caType, m{"privateKeyPem": "x", "validityPeriodHours": -1, "allowedUses": []any{}}, "validityPeriodHours"},
		{caType, m{"privateKeyPem": "x", "validityPeriodHours": 1, "allowedUses": []any{}, "setAuthorityKeyId": true}, "setAuthorityKeyId"},
		{csrType, m{"privateKeyPem": "x", "subject": m{"cn": "x"}}, "subject.cn"},
		{signedType, m{"caCertPem": "x", "caPrivateKeyPem": "x", "allowedUses": []any{}, "validityPeriodHours": 1}, "certRequestPem"},
	} {
		_, failures := w.check(c.token, c.in)
		require.Len(t, failures, 1, "%v: %v", c.in, failures)
		require.Equal(t, c.at, failures[0].GetProperty())
	}
}

func TestRenewalReplaces(t *testing.T) {
	w := newWorld(t)
	key := w.key()
	in := m{"privateKeyPem": key, "validityPeriodHours": 10, "allowedUses": []any{}, "earlyRenewalHours": 5}
	inputs, failures := w.check(caType, in)
	require.Empty(t, failures)
	made, err := w.server.Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn(caType), Properties: inputs})
	require.NoError(t, err)
	diff := func(news *structpb.Struct) *pulumirpc.DiffResponse {
		resp, err := w.server.Diff(context.Background(), &pulumirpc.DiffRequest{Id: made.GetId(), Urn: urn(caType), Olds: made.GetProperties(), OldInputs: inputs, News: news})
		require.NoError(t, err)
		return resp
	}
	require.Equal(t, pulumirpc.DiffResponse_DIFF_NONE, diff(inputs).GetChanges())

	in["earlyRenewalHours"] = 10 // due at once
	early, _ := w.check(caType, in)
	require.Equal(t, []string{"readyForRenewal"}, diff(early).GetReplaces())
	in["earlyRenewalHours"] = 6
	later, _ := w.check(caType, in)
	require.Equal(t, []string{"earlyRenewalHours"}, diff(later).GetDiffs())
	require.Empty(t, diff(later).GetReplaces(), "earlyRenewalHours alone is in place")
	in["privateKeyPem"] = w.key()
	other, _ := w.check(caType, in)
	require.Equal(t, []string{"privateKeyPem"}, diff(other).GetReplaces())

	expired := made.GetProperties()
	expired.Fields["validityEndTime"] = structpb.NewStringValue(time.Now().Add(-time.Minute).Format(time.RFC3339))
	require.Equal(t, []string{"readyForRenewal"}, diff(inputs).GetReplaces())
}

func TestPreviewOfAKey(t *testing.T) {
	w := newWorld(t)
	inputs, _ := w.check(keyType, m{"algorithm": "RSA"})
	resp, err := w.server.Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn(keyType), Properties: inputs, Preview: true})
	require.NoError(t, err)
	out := resp.GetProperties().AsMap()
	require.Equal(t, "RSA", out["algorithm"])
	require.Equal(t, sig.UnknownStringValue, out["publicKeyPem"])
	require.Equal(t, sig.UnknownStringValue, open(t, out["privateKeyPem"]), "unknown and secret")
}

func TestGetCertificate(t *testing.T) {
	w := newWorld(t)
	caKey, leafKey := w.key(), w.key()
	ca := w.ca(caKey)
	_, request := w.create(csrType, m{"privateKeyPem": leafKey, "subject": m{"commonName": "localhost"}, "ipAddresses": []any{"127.0.0.1"}})
	_, leaf := w.create(signedType, m{
		"certRequestPem": request["certRequestPem"], "caCertPem": ca["certPem"], "caPrivateKeyPem": caKey, "validityPeriodHours": 1,
		"allowedUses": []any{"server_auth"},
	})
	pair, err := tls.X509KeyPair([]byte(leaf["certPem"].(string)+ca["certPem"].(string)), []byte(leafKey))
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()

	invoke := func(in m) (m, error) {
		resp, err := w.server.Invoke(context.Background(), &pulumirpc.InvokeRequest{Tok: "tls:index/getCertificate:getCertificate", Args: w.object(in)})
		if err != nil {
			return nil, err
		}
		require.Empty(t, resp.GetFailures())
		return resp.GetReturn().AsMap(), nil
	}
	got, err := invoke(m{"url": server.URL, "verifyChain": false})
	require.NoError(t, err)
	list := got["certificates"].([]any)
	require.Len(t, list, 2)
	top := list[0].(m)
	require.Equal(t, ca["certPem"], top["certPem"], "the topmost first")
	require.Equal(t, leaf["certPem"], list[1].(m)["certPem"], "the leaf last")
	sum := sha1.Sum(parse(t, ca["certPem"]).Raw) // #nosec G401 -- the thumbprint
	require.Equal(t, hex.EncodeToString(sum[:]), top["sha1Fingerprint"])
	require.Equal(t, true, top["isCa"])

	_, err = invoke(m{"url": server.URL})
	require.ErrorContains(t, err, "certificate", "the chain is verified by default")
	_, err = invoke(m{"url": "tls://127.0.0.1"})
	require.ErrorContains(t, err, "needs a port")
	got, err = invoke(m{"content": leaf["certPem"]})
	require.NoError(t, err)
	require.Len(t, got["certificates"], 1)
}

// TestConnect dials through a CONNECT proxy. (The environment's proxy is read once a process, so the test names it.)
func TestConnect(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	target := strings.TrimPrefix(server.URL, "https://")
	var asked string
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.Host
		if r.Host == "refused.example:443" {
			http.Error(rw, "no", http.StatusForbidden)
			return
		}
		far, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		rw.WriteHeader(http.StatusOK)
		near, early, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(far, early); _ = far.Close() }() // the first bytes may be read already
		_, _ = io.Copy(near, far)
		_ = near.Close()
	}))
	defer proxy.Close()
	conn, err := connect(context.Background(), mustURL(t, proxy.URL), "issuer.example:443")
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.Equal(t, "CONNECT issuer.example:443", asked)
	client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // #nosec G402 -- a test's own server
	require.NoError(t, client.Handshake())
	require.Equal(t, server.Certificate().Raw, client.ConnectionState().PeerCertificates[0].Raw)
	_, err = connect(context.Background(), mustURL(t, proxy.URL), "refused.example:443")
	require.ErrorContains(t, err, "403")
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}
