package stack

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func secret(t *testing.T, v any) map[string]any {
	t.Helper()
	plain, err := json.Marshal(v)
	require.NoError(t, err)
	return map[string]any{SignatureKey: SecretSignature, "plaintext": string(plain)}
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func state(t *testing.T, resources ...any) *State {
	t.Helper()
	data, err := json.Marshal(map[string]any{"resources": resources})
	require.NoError(t, err)
	s, err := Parse(data)
	require.NoError(t, err)
	return s
}

func TestNamed(t *testing.T) {
	const typ = "pulumi:providers:kubernetes"
	s := state(t, map[string]any{"type": typ, "urn": "urn:pulumi:lab::p::a$" + typ + "::lab-cluster-kubernetes", "outputs": map[string]any{"kubeconfig": secret(t, "k")}},
		map[string]any{"type": typ, "urn": "urn:pulumi:lab::p::" + typ + "::lab-cluster-kubernetes-adopting", "outputs": map[string]any{"kubeconfig": "other"}})
	got, err := s.Named(typ, "lab-cluster-kubernetes", "kubeconfig")
	require.NoError(t, err)
	require.Equal(t, "k", got)
	_, err = s.Named(typ, "kubernetes", "kubeconfig")
	require.Error(t, err)
	_, err = s.Named(typ, "lab-cluster-kubernetes", "context")
	require.Error(t, err)
}

func TestOutput(t *testing.T) {
	s := state(t, map[string]any{"type": "pulumi:pulumi:Stack", "urn": "urn:stack", "outputs": map[string]any{
		"plain": "a", "kubeconfig": secret(t, "k"), "list": []any{map[string]any{"name": "x", "key": secret(t, "y")}}, "none": nil}})
	for name, want := range map[string]string{"plain": "a", "kubeconfig": "k"} {
		var got string
		found, err := s.Output(name, &got)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, want, got)
	}
	var list []struct{ Name, Key string }
	found, err := s.Output("list", &list)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "y", list[0].Key)
	for _, name := range []string{"none", "missing"} {
		found, err = s.Output(name, &list)
		require.NoError(t, err)
		require.False(t, found)
	}
	_, err = s.Output("plain", &list)
	require.ErrorContains(t, err, "output plain")
	require.ElementsMatch(t, []string{"k", "y"}, s.Secrets())
}

func TestKeys(t *testing.T) {
	signing, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	issue := func(of *x509.Certificate, public crypto.PublicKey) string {
		der, err := x509.CreateCertificate(rand.Reader, of, ca, public, caKey)
		require.NoError(t, err)
		return pemOf("CERTIFICATE", der)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "uploader"}, NotAfter: time.Now().Add(time.Hour)}
	sec1 := func(k *ecdsa.PrivateKey) string {
		der, err := x509.MarshalECPrivateKey(k)
		require.NoError(t, err)
		return pemOf("EC PRIVATE KEY", der)
	}
	const private = "tls:index/privateKey:PrivateKey"
	s := state(t,
		map[string]any{"type": private, "urn": "urn:lab-signing", "outputs": map[string]any{"privateKeyPem": secret(t, pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(signing)))}},
		map[string]any{"type": private, "urn": "urn:lab-rolesanywhere-ca", "outputs": map[string]any{"privateKeyPem": secret(t, sec1(caKey))}},
		map[string]any{"type": private, "urn": "urn:lab-leaf", "outputs": map[string]any{"privateKeyPem": secret(t, sec1(leafKey))}},
		map[string]any{"type": "tls:index/selfSignedCert:SelfSignedCert", "urn": "urn:lab-rolesanywhere-ca", "inputs": map[string]any{"privateKeyPem": secret(t, sec1(caKey))},
			"outputs": map[string]any{"certPem": issue(ca, caKey.Public())}},
		map[string]any{"type": "tls:index/locallySignedCert:LocallySignedCert", "urn": "urn:lab-rolesanywhere-leaf", "outputs": map[string]any{"certPem": issue(leaf, leafKey.Public())}})
	key, err := s.SigningKey()
	require.NoError(t, err)
	require.True(t, key.Equal(signing))
	signer, cert, err := s.Authority()
	require.NoError(t, err)
	require.Equal(t, "ca", cert.Subject.CommonName)
	require.True(t, caKey.PublicKey.Equal(signer.Public()))
	signer, cert, err = s.Leaf()
	require.NoError(t, err)
	require.Equal(t, "uploader", cert.Subject.CommonName)
	require.True(t, leafKey.PublicKey.Equal(signer.Public()), "not the CA's key")

	empty := state(t)
	_, err = empty.SigningKey()
	require.Error(t, err)
	_, _, err = empty.Leaf()
	require.Error(t, err)
	_, err = Parse([]byte("no JSON"))
	require.Error(t, err)
}
