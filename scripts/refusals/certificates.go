package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere/types"

	"k3s-aws-auth/scripts/internal/forge"
)

const (
	denied       = "AccessDeniedException"
	untrusted    = "Untrusted signing certificate"
	insufficient = "Untrusted certificate. Insufficient certificate"
	unable       = "Unable to assume role for "
)

// Tries with certificates at Roles Anywhere. What the right CA has issued shows what holds where it issues too much.
var certificateCases = []Case{
	certificate("cert-foreign-ca", "a certificate of another CA with the name and serial number of the right one", untrusted, func(t *Target, ca forge.Certified) (forge.Certified, error) {
		impostor, err := forge.Impostor(ca.Cert)
		if err != nil {
			return impostor, err
		}
		return t.leafOf(impostor, nil)
	}),
	certificate("cert-foreign-ca-in-chain", "a certificate of another CA that is sent along", untrusted, func(t *Target, ca forge.Certified) (forge.Certified, error) {
		impostor, err := forge.Impostor(ca.Cert)
		if err != nil {
			return impostor, err
		}
		leaf, err := t.leafOf(impostor, nil)
		leaf.Chain = []*x509.Certificate{impostor.Cert}
		return leaf, err
	}),
	certificate("cert-self-signed", "a certificate that signs itself", untrusted, func(t *Target, ca forge.Certified) (forge.Certified, error) {
		own, err := t.leafOf(ca, nil)
		if err != nil {
			return own, err
		}
		return forge.NewLeaf(own, own.Cert, own.Key, nil)
	}),
	certificate("cert-issued-by-leaf", "a certificate issued by another identity's, which is no CA", untrusted, func(t *Target, ca forge.Certified) (forge.Certified, error) {
		other, err := t.leafOf(ca, func(c *x509.Certificate) { c.Subject.CommonName = "somebody.else" })
		if err != nil {
			return other, err
		}
		leaf, err := t.leafOf(other, nil)
		leaf.Chain = []*x509.Certificate{other.Cert}
		return leaf, err
	}),
	issued("cert-expired", "a certificate that has expired", "", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}),
	issued("cert-not-yet-valid", "a certificate for tomorrow", "", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)
	}),
	issued("cert-no-digital-signature", "a certificate whose key usage is key encipherment", insufficient, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }),
	issued("cert-no-key-usage", "a certificate without a key usage", insufficient, func(c *x509.Certificate) { c.KeyUsage = 0 }),
	issued("cert-is-ca", "a certificate that is a CA", insufficient, func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
	}),
	certificate("cert-the-ca-itself", "the CA's own certificate and key", insufficient, func(_ *Target, ca forge.Certified) (forge.Certified, error) { return ca, nil }),
	issued("cert-sha1", "a certificate signed with SHA-1", "", func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }),
	certificate("cert-weak-key", "a certificate with a 1024-bit RSA key", insufficient, func(t *Target, ca forge.Certified) (forge.Certified, error) {
		key, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // it must be refused
		if err != nil {
			return forge.Certified{}, err
		}
		model, err := t.leaf()
		if err != nil {
			return model, err
		}
		return forge.NewLeaf(ca, model.Cert, key, nil)
	}),
	issued("cert-no-subject", "a certificate without a subject", insufficient, func(c *x509.Certificate) { c.Subject = pkix.Name{} }),
	named("cert-other-name", "another identity's common name", func(string) string { return "somebody.else" }),
	named("cert-longer-name", "a common name that begins with the right one", func(cn string) string { return cn + nobodys }),
	named("cert-shorter-name", "a common name that lacks the last letter", func(cn string) string { return cn[:len(cn)-1] }),
	named("cert-name-in-capitals", "the common name in capital letters", strings.ToUpper),
	named("cert-name-look-alike", "a common name with a Cyrillic letter that looks like a Latin one", func(cn string) string { return strings.Replace(cn, "a", "\u0430", 1) }),
	named("cert-name-with-space", "the common name with a space at its end", func(cn string) string { return cn + " " }),
	named("cert-name-wildcard", "a common name that is itself a pattern", func(string) string { return "*" }),
	named("cert-name-with-nul", "the common name with a NUL and more behind it", func(cn string) string { return cn + "\x00.example" }),
	issued("cert-two-names", "a certificate with a second common name beside the right one", unable, func(c *x509.Certificate) {
		c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: commonName, Value: "admin"}, {Type: commonName, Value: c.Subject.CommonName}}
	}),
	issued("cert-name-as-alternative", "the right name among the alternative names only", unable, func(c *x509.Certificate) {
		c.DNSNames, c.Subject.CommonName = []string{"uploader"}, "somebody.else"
	}),
	issued("cert-name-as-unit", "the right name as organizational unit", unable, func(c *x509.Certificate) {
		c.Subject.OrganizationalUnit, c.Subject.CommonName = []string{c.Subject.CommonName}, "somebody.else"
	}),
	{Name: "cert-revoked", For: certificates, What: "a certificate in an imported revocation list", Code: denied, Try: revoked},
	{Name: "cert-without-key", For: certificates, What: "the identity's certificate with another key", Code: denied, Text: "Invalid signature",
		Try: func(ctx context.Context, t *Target) error {
			own, err := t.leaf()
			if err != nil {
				return err
			}
			ca, err := t.authority()
			if err != nil {
				return err
			}
			other, err := t.leafOf(ca, nil)
			if err != nil {
				return broken(err)
			}
			_, err = t.createSession(ctx, forge.Certified{Cert: own.Cert, Key: other.Key}, nil, nil)
			return err
		}},
	{Name: "anchor-of-another", For: certificates, What: "the right name from another trust anchor of the account, for the identity's role (confused deputy)", Code: denied, Text: unable,
		Try: func(ctx context.Context, t *Target) error {
			return t.otherAnchor(ctx, func(anchor string, ca forge.Certified) error {
				leaf, err := t.leafOf(ca, nil)
				if err != nil {
					return broken(err)
				}
				_, err = t.createSession(ctx, leaf, func(s *forge.Session) { s.AnchorARN = anchor }, nil)
				return err
			})
		}},
	{Name: "anchor-of-another-certificate", For: certificates, What: "the identity's certificate at another trust anchor", Code: denied, Text: untrusted,
		Try: func(ctx context.Context, t *Target) error {
			return t.otherAnchor(ctx, func(anchor string, _ forge.Certified) error {
				own, err := t.leaf()
				if err != nil {
					return err
				}
				_, err = t.createSession(ctx, own, func(s *forge.Session) { s.AnchorARN = anchor }, nil)
				return err
			})
		}},
	{Name: "anchor-disabled", For: certificates, What: "a certificate of a trust anchor that is disabled", Code: denied,
		Try: func(ctx context.Context, t *Target) error {
			return t.otherAnchor(ctx, func(anchor string, ca forge.Certified) error {
				id := anchor[strings.LastIndexByte(anchor, '/')+1:]
				if _, err := t.anywhere().DisableTrustAnchor(ctx, &rolesanywhere.DisableTrustAnchorInput{TrustAnchorId: &id}); err != nil {
					return broken(err)
				}
				leaf, err := t.leafOf(ca, nil)
				if err != nil {
					return broken(err)
				}
				_, err = t.createSession(ctx, leaf, func(s *forge.Session) { s.AnchorARN = anchor }, nil)
				return err
			})
		}},
}

var commonName = []int{2, 5, 4, 3}

// certificate tries a certificate that build makes with the help of the right CA.
func certificate(name, what, text string, build func(t *Target, ca forge.Certified) (forge.Certified, error)) Case {
	return Case{Name: name, For: certificates, What: what, Code: denied, Text: text, Try: func(ctx context.Context, t *Target) error {
		ca, err := t.authority()
		if err != nil {
			return err
		}
		id, err := build(t, ca)
		if err != nil {
			return broken(err)
		}
		_, err = t.createSession(ctx, id, nil, nil)
		return err
	}}
}

// issued tries a certificate of the right CA, changed in one way.
func issued(name, what, text string, change func(*x509.Certificate)) Case {
	return certificate(name, what, text, func(t *Target, ca forge.Certified) (forge.Certified, error) { return t.leafOf(ca, change) })
}

// named tries a certificate of the right CA with another common name.
func named(name, what string, change func(string) string) Case {
	return issued(name, what, unable, func(c *x509.Certificate) { c.Subject.CommonName = change(c.Subject.CommonName) })
}

// leafOf is a certificate like the identity's own, issued by a CA and changed in one way.
func (t *Target) leafOf(ca forge.Certified, change func(*x509.Certificate)) (forge.Certified, error) {
	model, err := t.leaf()
	if err != nil {
		return model, err
	}
	return forge.NewLeaf(ca, model.Cert, nil, change)
}

func (t *Target) anywhere() *rolesanywhere.Client {
	return rolesanywhere.NewFromConfig(t.config(t.admin))
}

// otherAnchor makes another trust anchor with a CA of its own, lets use try it, and removes it.
func (t *Target) otherAnchor(ctx context.Context, use func(anchor string, ca forge.Certified) error) error {
	right, err := t.authority()
	if err != nil {
		return err
	}
	ca, err := forge.Impostor(right.Cert)
	if err != nil {
		return broken(err)
	}
	out, err := t.anywhere().CreateTrustAnchor(ctx, &rolesanywhere.CreateTrustAnchorInput{Name: aws.String(unique("anchor")), Enabled: aws.Bool(true),
		Source: &types.Source{SourceType: types.TrustAnchorTypeCertificateBundle, SourceData: &types.SourceDataMemberX509CertificateData{
			Value: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Cert.Raw}))}}})
	if err != nil {
		return broken(err)
	}
	defer func() {
		_, _ = t.anywhere().DeleteTrustAnchor(context.WithoutCancel(ctx), &rolesanywhere.DeleteTrustAnchorInput{TrustAnchorId: out.TrustAnchor.TrustAnchorId})
	}()
	return use(*out.TrustAnchor.TrustAnchorArn, ca)
}

// revoked issues a certificate, which must work, revokes it by a list of the CA, and tries it again.
func revoked(ctx context.Context, t *Target) error {
	ca, err := t.authority()
	if err != nil {
		return err
	}
	leaf, err := t.leafOf(ca, nil)
	if err != nil {
		return broken(err)
	}
	if _, err := t.createSession(ctx, leaf, nil, nil); err != nil {
		return broken(fmt.Errorf("before its revocation: %w", err))
	}
	anchor, err := t.output("trustAnchorArn")
	if err != nil {
		return err
	}
	now := time.Now()
	issuer := *ca.Cert
	issuer.KeyUsage |= x509.KeyUsageCRLSign // Go refuses to sign a list for a CA that only certSign is said of
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: leaf.Cert.SerialNumber, RevocationTime: now.Add(-time.Minute)}}}, &issuer, ca.Key)
	if err != nil {
		return broken(err)
	}
	out, err := t.anywhere().ImportCrl(ctx, &rolesanywhere.ImportCrlInput{Name: aws.String(unique("crl")), Enabled: aws.Bool(true), TrustAnchorArn: &anchor,
		CrlData: pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list})})
	if err != nil {
		return broken(err)
	}
	defer func() {
		_, _ = t.anywhere().DeleteCrl(context.WithoutCancel(ctx), &rolesanywhere.DeleteCrlInput{CrlId: out.Crl.CrlId})
	}()
	_, err = t.createSession(ctx, leaf, nil, nil)
	own, ownErr := t.leaf()
	if ownErr == nil && slices.Compare(own.Cert.SerialNumber.Bytes(), leaf.Cert.SerialNumber.Bytes()) != 0 {
		if _, ownErr = t.createSession(ctx, own, nil, nil); ownErr != nil {
			return broken(errors.Join(errors.New("the list revokes another certificate too"), ownErr))
		}
	}
	return err
}
