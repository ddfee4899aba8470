package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// nodeRoot lays out what the program gives a server.
func nodeRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "var/lib/rancher/k3s/server/tls")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "etcd"), 0o700))
	for i, name := range []string{"server-ca", "client-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true,
			BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
		require.NoError(t, err)
		keyDER, err := x509.MarshalECPrivateKey(key)
		require.NoError(t, err)
		writePEM(t, filepath.Join(dir, name+".crt"), "CERTIFICATE", der)
		writePEM(t, filepath.Join(dir, name+".key"), "EC PRIVATE KEY", keyDER)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	writePEM(t, filepath.Join(dir, "service.key"), "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	write(t, filepath.Join(root, "etc/rancher/k3s/token"), "K10"+hashOf(t, dir)+"::server:secret")
	write(t, filepath.Join(root, "etc/rancher/k3s/agent-token"), "agents")
	write(t, filepath.Join(root, "etc/rancher/k3s/config.yaml"), `
token-file: /etc/rancher/k3s/token
agent-token-file: /etc/rancher/k3s/agent-token
kube-apiserver-arg:
- service-account-issuer=https://new.example.com
- service-account-issuer=https://old.example.com
`)
	return root
}

func hashOf(t *testing.T, dir string) string {
	a, err := loadAuthority(dir, "server-ca")
	require.NoError(t, err)
	return a.hash()
}

func write(t *testing.T, path, data string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(data), 0o600))
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

func TestStartServerNamesEveryMissingFile(t *testing.T) {
	root := nodeRoot(t)
	dir := filepath.Join(root, "var/lib/rancher/k3s/server/tls")
	require.NoError(t, os.Remove(filepath.Join(dir, "client-ca.key")))
	require.NoError(t, os.Remove(filepath.Join(dir, "etcd/peer-ca.crt")))
	_, err := StartServer(context.Background(), ServerOptions{Root: root, Dir: t.TempDir()})
	require.ErrorContains(t, err, "client-ca.key")
	require.ErrorContains(t, err, "peer-ca.crt")
}

func TestCredential(t *testing.T) {
	_, _, err := credential("K10abc::server:x")
	require.Error(t, err, "a CA hash has 64 digits")
	_, password, err := credential("short")
	require.NoError(t, err)
	require.Equal(t, "short", password)
}

// TestServer runs the control plane itself where its binary is named by LAB_KUBERNETES.
func TestServer(t *testing.T) {
	binary := os.Getenv("LAB_KUBERNETES")
	if binary == "" {
		t.Skip("LAB_KUBERNETES does not name the control plane's binary")
	}
	root := nodeRoot(t)
	s, err := StartServer(context.Background(), ServerOptions{Name: "server", Root: root, Dir: t.TempDir(), Kubernetes: binary, PrivateIP: "10.0.0.10"})
	require.NoError(t, err)
	defer s.Stop()

	_, err = s.Join("wrong", "agent", "127.0.0.1")
	require.ErrorContains(t, err, "not authorized")
	_, err = s.Join("K10"+"0000000000000000000000000000000000000000000000000000000000000000::node:agents", "agent")
	require.ErrorContains(t, err, "does not match")
	_, err = s.Join("agents", "agent", "127.0.0.1")
	require.NoError(t, err)

	config, err := s.RESTConfig("admin", []string{"system:masters"})
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := client.CoreV1().ServiceAccounts("default").Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	}, 20*time.Second, 50*time.Millisecond)
	seconds := int64(600)
	tr, err := client.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "default",
		&authv1.TokenRequest{Spec: authv1.TokenRequestSpec{Audiences: []string{"sts.amazonaws.com"}, ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	require.NoError(t, err)
	review, err := client.AuthenticationV1().TokenReviews().Create(t.Context(),
		&authv1.TokenReview{Spec: authv1.TokenReviewSpec{Token: tr.Status.Token, Audiences: []string{"sts.amazonaws.com"}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.True(t, review.Status.Authenticated, review.Status.Error)
}
