package verify

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// certificateAttempts are the wrong callers of Roles Anywhere.
func (t *Target) certificateAttempts() ([]attempt, error) {
	caKey, caCert, err := t.Secrets.authority()
	if err != nil {
		return nil, err
	}
	leaf, err := t.Secrets.leaf()
	if err != nil {
		return nil, err
	}
	foreignKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// The foreign CA has the right CA's name and serial: only its key differs.
	foreign := *caCert
	foreign.SubjectKeyId, foreign.AuthorityKeyId, foreign.PublicKey = nil, nil, foreignKey.Public()
	der, err := x509.CreateCertificate(rand.Reader, &foreign, &foreign, foreignKey.Public(), foreignKey)
	if err != nil {
		return nil, err
	}
	foreignCert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	with := func(ca *x509.Certificate, key crypto.Signer, change func(*x509.Certificate)) func(context.Context) error {
		return func(ctx context.Context) error { return t.session(ctx, ca, key, leaf, change) }
	}
	// What is changed must be all that is wrong.
	if err := with(caCert, caKey, func(*x509.Certificate) {})(context.Background()); err != nil {
		return nil, fmt.Errorf("a right certificate is refused: %w", err)
	}
	return []attempt{
		{"a certificate of another CA", "AccessDeniedException", with(foreignCert, foreignKey, func(*x509.Certificate) {})},
		{"an expired certificate", "AccessDeniedException", with(caCert, caKey, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
		})},
		{"another common name", "Unable to assume role for " + t.Identity.RoleARN, with(caCert, caKey, func(c *x509.Certificate) {
			c.Subject.CommonName = "somebody.else"
		})},
	}, nil
}

// session asks for credentials with a certificate like the identity's own, changed in one way.
func (t *Target) session(ctx context.Context, ca *x509.Certificate, caKey crypto.Signer, leaf *x509.Certificate, change func(*x509.Certificate)) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: leaf.Subject.CommonName, Organization: leaf.Subject.Organization},
		NotBefore:    time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: leaf.KeyUsage, ExtKeyUsage: leaf.ExtKeyUsage, BasicConstraintsValid: true,
	}
	change(tmpl)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(t.Dir, "verify-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cert, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	err = errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	if err != nil {
		return err
	}
	anchor, _ := t.Outputs["trustAnchorArn"].Value.(string)
	profile, _ := t.Outputs["profileArn"].Value.(string)
	// The helper as in a pod: AWS's own host names, by way of the lab's proxy.
	cmd := exec.CommandContext(ctx, t.SigningHelper, "credential-process", "--with-proxy", "--certificate", cert, "--private-key", keyFile,
		"--trust-anchor-arn", anchor, "--profile-arn", profile, "--role-arn", t.Identity.RoleARN)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (s *Secrets) authority() (crypto.Signer, *x509.Certificate, error) {
	r, err := s.find("tls:index/selfSignedCert:SelfSignedCert", "rolesanywhere")
	if err != nil {
		return nil, nil, err
	}
	certPEM, certErr := text(r.Outputs, "certPem")
	keyPEM, keyErr := text(r.Inputs, "privateKeyPem")
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, nil, err
	}
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode([]byte(keyPEM))
	if block == nil {
		return nil, nil, errors.New("the CA's key is no PEM")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	return key, cert, err
}

func (s *Secrets) leaf() (*x509.Certificate, error) {
	r, err := s.find("tls:index/locallySignedCert:LocallySignedCert", "rolesanywhere")
	if err != nil {
		return nil, err
	}
	certPEM, err := text(r.Outputs, "certPem")
	if err != nil {
		return nil, err
	}
	return parseCertificate(certPEM)
}

func parseCertificate(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("not a PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}
