package forge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/sigv4"
)

func TestTokens(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	claims := map[string]any{"sub": "uploader", "aud": []any{"sts.amazonaws.com"}}
	token, err := Sign(jose.RS256, key, "k1", claims)
	require.NoError(t, err)
	got, kid, err := Claims(token)
	require.NoError(t, err)
	require.Equal(t, "k1", kid)
	require.Equal(t, claims, got)

	verifies := func(token string) error {
		parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			return err
		}
		return parsed.Claims(key.Public(), &map[string]any{})
	}
	require.NoError(t, verifies(token))
	with, err := SignHeader(map[string]any{"alg": "RS256", "kid": "k1", "typ": "JWT"}, claims, key)
	require.NoError(t, err)
	require.NoError(t, verifies(with))
	cut, err := ReplacePart(token, 2, "")
	require.NoError(t, err)
	require.Error(t, verifies(cut))
	secret := []byte(strings.Repeat("s", 32))
	confused, err := HMAC(map[string]any{"alg": "HS256"}, claims, secret)
	require.NoError(t, err)
	hs, err := jwt.ParseSigned(confused, []jose.SignatureAlgorithm{jose.HS256})
	require.NoError(t, err)
	require.NoError(t, hs.Claims(secret, &map[string]any{}), "the HMAC is a right one")
	unsigned, err := Assemble(map[string]any{"alg": "none"}, claims, nil)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(unsigned, "."))
	_, err = ReplacePart("a.b", 0, "c")
	require.Error(t, err)

	require.Equal(t, map[string]any{"sub": "x", "new": 1}, With(claims, map[string]any{"sub": "x", "aud": nil, "new": 1}))
	require.Equal(t, "uploader", claims["sub"], "the model stays")
}

func TestCertificatesAndSession(t *testing.T) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	ca := Certified{Cert: cert, Key: caKey}
	model := &x509.Certificate{Subject: pkix.Name{CommonName: "uploader"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	verify := func(id Certified) error {
		roots := x509.NewCertPool()
		roots.AddCert(cert)
		_, err := id.Cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err
	}
	right, err := NewLeaf(ca, model, nil, nil)
	require.NoError(t, err)
	require.NoError(t, verify(right))
	require.Equal(t, "uploader", right.Cert.Subject.CommonName)
	old, err := NewLeaf(ca, model, nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) })
	require.NoError(t, err)
	require.Error(t, verify(old))
	impostor, err := Impostor(cert)
	require.NoError(t, err)
	require.Equal(t, cert.RawSubject, impostor.Cert.RawSubject)
	foreign, err := NewLeaf(impostor, model, nil, nil)
	require.NoError(t, err)
	require.Error(t, verify(foreign))

	for _, key := range []Certified{right, foreign} {
		r, err := Session{Host: "rolesanywhere.eu-central-1.amazonaws.com", Region: "eu-central-1", AnchorARN: "a", ProfileARN: "p", RoleARN: "arn:aws:iam::111122223333:role/app"}.
			Sign(t.Context(), Certified{Cert: right.Cert, Key: key.Key, Chain: []*x509.Certificate{cert}})
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		signature, err := sigv4.Parse(r)
		require.NoError(t, err)
		leaf, chain, err := sigv4.Certificates(r)
		require.NoError(t, err)
		require.Len(t, chain, 1)
		if err = signature.VerifyX509(r, body, leaf); key.Key == right.Key {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, sigv4.ErrMismatch)
		}
	}
}
