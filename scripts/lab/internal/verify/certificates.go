package verify

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/forge"
)

// certificateAttempts are the wrong callers of Roles Anywhere.
func (t *Target) certificateAttempts() ([]attempt, error) {
	caKey, caCert, err := t.Secrets.Authority()
	if err != nil {
		return nil, err
	}
	_, leaf, err := t.Secrets.Leaf()
	if err != nil {
		return nil, err
	}
	ca := forge.Certified{Cert: caCert, Key: caKey}
	foreign, err := forge.Impostor(caCert)
	if err != nil {
		return nil, err
	}
	with := func(ca forge.Certified, change func(*x509.Certificate)) func(context.Context) error {
		return func(ctx context.Context) error { return t.session(ctx, ca, leaf, change) }
	}
	// What is changed must be all that is wrong.
	if err := with(ca, nil)(context.Background()); err != nil {
		return nil, fmt.Errorf("a right certificate is refused: %w", err)
	}
	return []attempt{
		{"a certificate of another CA", "AccessDeniedException", with(foreign, nil)},
		{"an expired certificate", "AccessDeniedException", with(ca, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
		})},
		{"another common name", "Unable to assume role for " + t.Identity.RoleARN, with(ca, func(c *x509.Certificate) {
			c.Subject.CommonName = "somebody.else"
		})},
	}, nil
}

// session asks for credentials with a certificate like the identity's own, changed in one way.
func (t *Target) session(ctx context.Context, ca forge.Certified, leaf *x509.Certificate, change func(*x509.Certificate)) error {
	id, err := forge.NewLeaf(ca, leaf, nil, change)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(id.Key)
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
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Cert.Raw}), 0o600),
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
