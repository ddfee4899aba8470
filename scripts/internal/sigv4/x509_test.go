package sigv4

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// certificate makes a self-signed certificate for a key.
func certificate(t *testing.T, key crypto.Signer, serial int64) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "leaf"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

// signX509 signs as the Roles Anywhere credential helper does: sorted headers, canonical query, hex signature.
func signX509(t *testing.T, r *http.Request, body []byte, key crypto.Signer, cert *x509.Certificate, chain string, algorithm string) {
	t.Helper()
	r.Header.Set("X-Amz-Date", at.Format(TimeFormat))
	r.Header.Set("X-Amz-X509", base64.StdEncoding.EncodeToString(cert.Raw))
	headers := []string{"content-type", "host", "x-amz-date", "x-amz-x509"}
	if chain != "" {
		r.Header.Set("X-Amz-X509-Chain", chain)
		headers = append(headers, "x-amz-x509-chain")
	}
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20") + "\n"
	for _, h := range headers {
		value := r.Header.Get(h)
		if h == "host" {
			value = r.URL.Host
		}
		canonical += h + ":" + value + "\n"
	}
	canonical += "\n" + strings.Join(headers, ";") + "\n" + hash(body)
	scope := at.Format("20060102") + "/eu-central-1/rolesanywhere/aws4_request"
	digest := sha256.Sum256([]byte(algorithm + "\n" + at.Format(TimeFormat) + "\n" + scope + "\n" + hash([]byte(canonical))))
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	require.NoError(t, err)
	r.Header.Set("Authorization", algorithm+" Credential="+cert.SerialNumber.String()+"/"+scope+", SignedHeaders="+strings.Join(headers, ";")+", Signature="+hex.EncodeToString(signature))
}

func TestX509(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	const body = `{"durationSeconds":3600}`
	chainOf := func(n int) string {
		one := base64.StdEncoding.EncodeToString(certificate(t, ec, 7).Raw)
		return strings.TrimSuffix(strings.Repeat(one+",", n), ",")
	}
	for name, c := range map[string]struct {
		key       crypto.Signer
		cert      *x509.Certificate
		algorithm string
		chain     string
		change    func(*http.Request)
		body      string
		parse     error
		want      error
	}{
		"ecdsa":             {key: ec, cert: certificate(t, ec, 4711), algorithm: X509ECDSA},
		"rsa":               {key: rs, cert: certificate(t, rs, 4711), algorithm: X509RSA},
		"chain":             {key: ec, cert: certificate(t, ec, 4711), algorithm: X509ECDSA, chain: chainOf(5)},
		"chain too long":    {key: ec, cert: certificate(t, ec, 4711), algorithm: X509ECDSA, chain: chainOf(6), parse: ErrMalformed},
		"key of another":    {key: other, cert: certificate(t, ec, 4711), algorithm: X509ECDSA, want: ErrMismatch},
		"algorithm of rsa":  {key: ec, cert: certificate(t, ec, 4711), algorithm: X509RSA, want: ErrMismatch},
		"other payload":     {key: ec, cert: certificate(t, ec, 4711), algorithm: X509ECDSA, body: "{}", want: ErrMismatch},
		"other certificate": {key: ec, cert: certificate(t, ec, 4711), algorithm: X509ECDSA, change: func(r *http.Request) { r.Header.Set("X-Amz-X509", chainOf(1)) }, want: ErrMalformed},
		"signature in capitals": {key: ec, cert: certificate(t, ec, 4711), algorithm: X509ECDSA, change: func(r *http.Request) {
			head, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", head+"Signature="+strings.ToUpper(signature))
		}, want: ErrMalformed},
		"no certificate":      {key: ec, cert: certificate(t, ec, 4711), algorithm: X509ECDSA, change: func(r *http.Request) { r.Header.Del("X-Amz-X509") }, parse: ErrMalformed},
		"chain added":         {key: ec, cert: certificate(t, ec, 4711), algorithm: X509ECDSA, change: func(r *http.Request) { r.Header.Set("X-Amz-X509-Chain", chainOf(1)) }, want: ErrMalformed},
		"role of another ARN": {key: ec, cert: certificate(t, ec, 4711), algorithm: X509ECDSA, change: func(r *http.Request) { r.URL.RawQuery += "x" }, want: ErrMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequest("POST", "https://rolesanywhere.eu-central-1.amazonaws.com/sessions?roleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fapp&profileArn=p", strings.NewReader(body))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/json")
			signX509(t, r, []byte(body), c.key, c.cert, c.chain, c.algorithm)
			got, sent := through(t, r)
			if c.change != nil {
				c.change(got)
			}
			if c.body != "" {
				sent = []byte(c.body)
			}
			s, err := Parse(got)
			require.NoError(t, err)
			require.Equal(t, "4711", s.KeyID)
			leaf, chain, err := Certificates(got)
			if c.parse != nil {
				require.ErrorIs(t, err, c.parse)
				return
			}
			require.NoError(t, err)
			if c.chain != "" {
				require.Len(t, chain, 5)
			}
			err = s.VerifyX509(got, sent, leaf)
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
			require.ErrorIs(t, s.Verify(got, sent, "x"), ErrMalformed, "an HMAC cannot stand in for a certificate")
		})
	}
}
