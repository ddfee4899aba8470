package tlsres

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // #nosec G505 -- the subject key id of RFC 5280, section 4.2.1.2, method 1
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var keyUsages = map[string]x509.KeyUsage{
	"digital_signature":  x509.KeyUsageDigitalSignature,
	"content_commitment": x509.KeyUsageContentCommitment,
	"key_encipherment":   x509.KeyUsageKeyEncipherment,
	"data_encipherment":  x509.KeyUsageDataEncipherment,
	"key_agreement":      x509.KeyUsageKeyAgreement,
	"cert_signing":       x509.KeyUsageCertSign,
	"crl_signing":        x509.KeyUsageCRLSign,
	"encipher_only":      x509.KeyUsageEncipherOnly,
	"decipher_only":      x509.KeyUsageDecipherOnly,
}

var extKeyUsages = map[string]x509.ExtKeyUsage{
	"any_extended":                      x509.ExtKeyUsageAny,
	"server_auth":                       x509.ExtKeyUsageServerAuth,
	"client_auth":                       x509.ExtKeyUsageClientAuth,
	"code_signing":                      x509.ExtKeyUsageCodeSigning,
	"email_protection":                  x509.ExtKeyUsageEmailProtection,
	"ipsec_end_system":                  x509.ExtKeyUsageIPSECEndSystem,
	"ipsec_tunnel":                      x509.ExtKeyUsageIPSECTunnel,
	"ipsec_user":                        x509.ExtKeyUsageIPSECUser,
	"timestamping":                      x509.ExtKeyUsageTimeStamping,
	"ocsp_signing":                      x509.ExtKeyUsageOCSPSigning,
	"microsoft_server_gated_crypto":     x509.ExtKeyUsageMicrosoftServerGatedCrypto,
	"netscape_server_gated_crypto":      x509.ExtKeyUsageNetscapeServerGatedCrypto,
	"microsoft_commercial_code_signing": x509.ExtKeyUsageMicrosoftCommercialCodeSigning,
	"microsoft_kernel_code_signing":     x509.ExtKeyUsageMicrosoftKernelCodeSigning,
}

// names are the parts of a certificate that its request may name.
type names struct {
	subject pkix.Name
	dns     []string
	ips     []net.IP
	uris    []*url.URL
}

func readNames(in m) (names, error) {
	n := names{subject: subjectOf(engine.Obj(in, "subject")), dns: engine.Strs(in, "dnsNames")}
	for _, text := range engine.Strs(in, "ipAddresses") {
		ip := net.ParseIP(text)
		if ip == nil {
			return names{}, fmt.Errorf("ipAddresses: %q is not an IP address", text)
		}
		n.ips = append(n.ips, ip)
	}
	for _, text := range engine.Strs(in, "uris") {
		u, err := url.Parse(text)
		if err != nil {
			return names{}, fmt.Errorf("uris: %w", err)
		}
		n.uris = append(n.uris, u)
	}
	return n, nil
}

func subjectOf(in m) pkix.Name {
	one := func(name string) []string {
		if s := engine.Str(in, name); s != "" {
			return []string{s}
		}
		return nil
	}
	return pkix.Name{
		CommonName: engine.Str(in, "commonName"), SerialNumber: engine.Str(in, "serialNumber"),
		Organization: one("organization"), OrganizationalUnit: one("organizationalUnit"), Country: one("country"),
		Locality: one("locality"), Province: one("province"), PostalCode: one("postalCode"),
		StreetAddress: engine.Strs(in, "streetAddresses"),
	}
}

// createCertRequest makes a PKCS#10 request.
func createCertRequest(_ context.Context, c *call) (string, m, error) {
	key, err := parseKey(engine.Str(c.In, "privateKeyPem"))
	if err != nil {
		return "", nil, err
	}
	n, err := readNames(c.In)
	if err != nil {
		return "", nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: n.subject, DNSNames: n.dns, IPAddresses: n.ips, URIs: n.uris,
	}, key)
	if err != nil {
		return "", nil, fmt.Errorf("creating the certificate request: %w", err)
	}
	return digest(der), m{
		"certRequestPem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})),
		"keyAlgorithm":   algorithmOf(key.Public()),
	}, nil
}

// checkSelfSigned refuses at preview what the create would refuse.
func checkSelfSigned(c *engine.Checker[Client]) {
	if engine.Bool(c.In, "setAuthorityKeyId") && !engine.Bool(c.In, "setSubjectKeyId") && !engine.Bool(c.In, "isCaCertificate") {
		for _, name := range []string{"setSubjectKeyId", "isCaCertificate"} {
			if _, unknown := c.In[name].(engine.Unknown); unknown {
				return
			}
		}
		c.Fail("setAuthorityKeyId", "an authority key id needs a subject key id: set setSubjectKeyId or isCaCertificate.")
	}
}

// createSelfSigned makes a certificate that its own key signs.
func createSelfSigned(_ context.Context, c *call) (string, m, error) {
	key, err := parseKey(engine.Str(c.In, "privateKeyPem"))
	if err != nil {
		return "", nil, err
	}
	n, err := readNames(c.In)
	if err != nil {
		return "", nil, err
	}
	template, err := newTemplate(c.In, n, key.Public())
	if err != nil {
		return "", nil, err
	}
	if template.IsCA && len(n.subject.ToRDNSequence()) == 0 {
		return "", nil, errors.New("a CA certificate must have a subject")
	}
	if engine.Bool(c.In, "setAuthorityKeyId") {
		template.AuthorityKeyId = template.SubjectKeyId
	}
	id, state, err := sign(template, template, key.Public(), key)
	if err != nil {
		return "", nil, err
	}
	state["keyAlgorithm"] = algorithmOf(key.Public())
	return id, state, nil
}

// createLocallySigned makes a certificate from a request, signed by a CA. Of the request it takes subject, DNS names,
// addresses and URIs; whether the CA certificate is one, and outlives the new one, nothing checks.
func createLocallySigned(_ context.Context, c *call) (string, m, error) {
	block, _ := pem.Decode([]byte(engine.Str(c.In, "certRequestPem")))
	if block == nil {
		return "", nil, fmt.Errorf("certRequestPem: %w", errNoPEM)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return "", nil, fmt.Errorf("certRequestPem: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return "", nil, fmt.Errorf("certRequestPem: %w", err)
	}
	if block, _ = pem.Decode([]byte(engine.Str(c.In, "caCertPem"))); block == nil {
		return "", nil, fmt.Errorf("caCertPem: %w", errNoPEM)
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", nil, fmt.Errorf("caCertPem: %w", err)
	}
	key, err := parseKey(engine.Str(c.In, "caPrivateKeyPem"))
	if err != nil {
		return "", nil, fmt.Errorf("caPrivateKeyPem: %w", err)
	}
	template, err := newTemplate(c.In, names{
		subject: request.Subject, dns: request.DNSNames, ips: request.IPAddresses, uris: request.URIs,
	}, request.PublicKey)
	if err != nil {
		return "", nil, err
	}
	id, state, err := sign(template, ca, request.PublicKey, key)
	if err != nil {
		return "", nil, err
	}
	state["caKeyAlgorithm"] = algorithmOf(key.Public())
	return id, state, nil
}

func newTemplate(in m, n names, public crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial, Subject: n.subject, DNSNames: n.dns, IPAddresses: n.ips, URIs: n.uris,
		NotBefore: now, NotAfter: now.Add(time.Duration(engine.Int(in, "validityPeriodHours")) * time.Hour),
		BasicConstraintsValid: true, IsCA: engine.Bool(in, "isCaCertificate"),
	}
	for _, use := range engine.Strs(in, "allowedUses") {
		if u, ok := keyUsages[use]; ok {
			t.KeyUsage |= u
		} else if u, ok := extKeyUsages[use]; ok {
			t.ExtKeyUsage = append(t.ExtKeyUsage, u)
		} else {
			return nil, fmt.Errorf("allowedUses: %q is not a use", use)
		}
	}
	if t.IsCA || engine.Bool(in, "setSubjectKeyId") {
		if t.SubjectKeyId, err = subjectKeyID(public); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// subjectKeyID is the SHA-1 of the public key's bytes: the PKCS#1 key for RSA, the uncompressed point for ECDSA.
func subjectKeyID(public crypto.PublicKey) ([]byte, error) {
	var raw []byte
	switch k := public.(type) {
	case *rsa.PublicKey:
		raw = x509.MarshalPKCS1PublicKey(k)
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return nil, err
		}
		raw = point
	case ed25519.PublicKey:
		raw = k
	default:
		return nil, fmt.Errorf("a public key of the unsupported type %T", public)
	}
	sum := sha1.Sum(raw) // #nosec G401 -- an identifier
	return sum[:], nil
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (string, m, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return "", nil, fmt.Errorf("creating the certificate: %w", err)
	}
	return template.SerialNumber.String(), m{
		"certPem":           string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"readyForRenewal":   false,
		"validityStartTime": template.NotBefore.Format(time.RFC3339),
		"validityEndTime":   template.NotAfter.Format(time.RFC3339),
	}, nil
}

// renewal replaces a certificate once its end, less the hours of early renewal, has come.
func renewal(d *engine.Difference[Client]) {
	end, err := time.Parse(time.RFC3339, engine.Str(d.Old, "validityEndTime"))
	if err != nil {
		return
	}
	early := time.Duration(engine.Int(d.In, "earlyRenewalHours")) * time.Hour
	if !time.Now().Before(end.Add(-early)) {
		d.Add(engine.Change{Path: "readyForRenewal", Kind: engine.Updated, Replace: true})
	}
}
