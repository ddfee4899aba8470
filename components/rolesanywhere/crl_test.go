package rolesanywhere

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newTestCA makes a CA as the tls provider writes it: EC, SEC 1.
func newTestCA(t *testing.T) (keyPEM, certPEM string, certificate *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("EC PRIVATE KEY", private), encode("CERTIFICATE", der), certificate
}

// TestRevocationList holds that a list is the same whenever it is made of the same serial numbers, in whatever order and
// however often each is given: else every deployment would change it.
func TestRevocationList(t *testing.T) {
	key, cert, ca := newTestCA(t)
	list, err := revocationList(key, cert, []string{"ff", "0a1b", "ff"})
	require.NoError(t, err)
	again, err := revocationList(key, cert, []string{"0a1b", "ff"})
	require.NoError(t, err)
	require.Equal(t, list, again)
	block, rest := pem.Decode([]byte(list))
	require.Empty(t, rest)
	require.Equal(t, "X509 CRL", block.Type)
	parsed, err := x509.ParseRevocationList(block.Bytes)
	require.NoError(t, err)
	require.NoError(t, parsed.CheckSignatureFrom(ca))
	require.Equal(t, ca.NotAfter, parsed.NextUpdate, "a list ends with its CA")
	var serials []int64
	for _, e := range parsed.RevokedCertificateEntries {
		serials = append(serials, e.SerialNumber.Int64())
	}
	require.ElementsMatch(t, []int64{0x0a1b, 0xff}, serials)

	serial, err := serialOf(cert)
	require.NoError(t, err)
	require.Equal(t, "7", serial)
	for name, c := range map[string]struct{ key, cert, serial, want string }{
		"no PEM":   {"", cert, "1", "is not PEM"},
		"no key":   {cert, cert, "1", "no EC key"},
		"colons":   {key, cert, "0a:1b", "must be a serial number"},
		"too long": {key, cert, "11111111111111111111111111111111111111111", "must be a serial number"},
	} {
		_, err := revocationList(c.key, c.cert, []string{c.serial})
		require.ErrorContains(t, err, c.want, name)
	}
	_, err = revocationList(key, cert, nil)
	require.Error(t, err)
}
