// Package pki makes keys and certificates in the graph, so that they are known
// before anything that uses them is made. Keys are secrets of the stack.
package pki

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-tls/sdk/v5/go/tls"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Usages of keys. The tls provider wants snake_case; the camelCase of its SDK's
// comments is refused.
const (
	CertSigning      = "cert_signing"
	CRLSigning       = "crl_signing"
	DigitalSignature = "digital_signature"
	KeyEncipherment  = "key_encipherment"
	ClientAuth       = "client_auth"
	ServerAuth       = "server_auth"
)

// CertificateArgs describes a certificate and the key that is made for it.
type CertificateArgs struct {
	// Name is the certificate's logical name, KeyName its key's. RequestName is that
	// of its signing request, if somebody else signs it.
	Name, KeyName, RequestName string
	// CommonName and Organization are the subject; an empty one is left out.
	CommonName, Organization string
	// DNSNames are the names that a server proves itself by.
	DNSNames []string
	// Uses are what the key may be used for.
	Uses []string
	// IsCA makes it the certificate of an authority.
	IsCA bool
	// SubjectKeyID writes the key's id into a certificate that somebody else signs;
	// the provider does it by itself for others.
	SubjectKeyID bool
	// ValidityHours is how long it is valid. EarlyRenewalHours is how long before its
	// end an update renews it; nil leaves it until it has ended.
	ValidityHours     int
	EarlyRenewalHours pulumi.IntPtrInput
	// KeyRenewal is a value whose change makes the key anew, and with it the
	// certificate; nil keeps the key.
	KeyRenewal pulumi.StringInput
	// Issuer signs it; nil makes it self-signed.
	Issuer *Issuer
}

// Issuer is an authority that signs certificates.
type Issuer struct {
	CertPem, KeyPem pulumi.StringInput
}

// Certificate is a certificate with its key.
type Certificate struct {
	CertPem pulumi.StringOutput
	// KeyPem is a secret, as SEC 1 PEM.
	KeyPem pulumi.StringOutput
	// ValidFrom and ValidUntil are its beginning and end, RFC 3339.
	ValidFrom, ValidUntil pulumi.StringOutput
}

// Issuer is the certificate as one that signs others.
func (c *Certificate) Issuer() *Issuer { return &Issuer{CertPem: c.CertPem, KeyPem: c.KeyPem} }

// NewCertificate makes an ECDSA key and a certificate for it. The options are
// given to each of the resources.
func NewCertificate(ctx *pulumi.Context, args *CertificateArgs, opts ...pulumi.ResourceOption) (*Certificate, error) {
	keyOpts := opts
	if args.KeyRenewal != nil {
		keyOpts = append(slices.Clone(opts), pulumi.ReplacementTrigger(args.KeyRenewal))
	}
	key, err := NewKey(ctx, args.KeyName, keyOpts...)
	if err != nil {
		return nil, err
	}
	made := &Certificate{KeyPem: key.PrivateKeyPem}
	if args.Issuer == nil {
		certificate, err := tls.NewSelfSignedCert(ctx, args.Name, &tls.SelfSignedCertArgs{
			PrivateKeyPem: key.PrivateKeyPem,
			Subject: tls.SelfSignedCertSubjectArgs{
				CommonName: optional(args.CommonName), Organization: optional(args.Organization),
			},
			DnsNames:            optionalList(args.DNSNames),
			IsCaCertificate:     optionalBool(args.IsCA),
			AllowedUses:         pulumi.ToStringArray(args.Uses),
			ValidityPeriodHours: pulumi.Int(args.ValidityHours),
			EarlyRenewalHours:   args.EarlyRenewalHours,
		}, opts...)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", args.Name, err)
		}
		made.CertPem, made.ValidFrom, made.ValidUntil = certificate.CertPem, certificate.ValidityStartTime, certificate.ValidityEndTime
		return made, nil
	}
	request, err := tls.NewCertRequest(ctx, args.RequestName, &tls.CertRequestArgs{
		PrivateKeyPem: key.PrivateKeyPem,
		Subject: tls.CertRequestSubjectArgs{
			CommonName: optional(args.CommonName), Organization: optional(args.Organization),
		},
		DnsNames: optionalList(args.DNSNames),
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("certificate request %s: %w", args.RequestName, err)
	}
	certificate, err := tls.NewLocallySignedCert(ctx, args.Name, &tls.LocallySignedCertArgs{
		CertRequestPem:      request.CertRequestPem,
		CaCertPem:           args.Issuer.CertPem,
		CaPrivateKeyPem:     args.Issuer.KeyPem,
		IsCaCertificate:     optionalBool(args.IsCA),
		SetSubjectKeyId:     optionalBool(args.SubjectKeyID),
		AllowedUses:         pulumi.ToStringArray(args.Uses),
		ValidityPeriodHours: pulumi.Int(args.ValidityHours),
		EarlyRenewalHours:   args.EarlyRenewalHours,
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", args.Name, err)
	}
	made.CertPem, made.ValidFrom, made.ValidUntil = certificate.CertPem, certificate.ValidityStartTime, certificate.ValidityEndTime
	return made, nil
}

// NewKey makes an ECDSA key.
func NewKey(ctx *pulumi.Context, name string, opts ...pulumi.ResourceOption) (*tls.PrivateKey, error) {
	key, err := tls.NewPrivateKey(ctx, name, &tls.PrivateKeyArgs{
		Algorithm: pulumi.String("ECDSA"),
		// The provider's default, P224, is one that Go and browsers refuse.
		EcdsaCurve: pulumi.String("P256"),
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	return key, nil
}

// NewServiceAccountKey makes a key for the tokens of ServiceAccounts: RSA, since
// STS verifies RS256 and it is what the API server signs with, with 2048 bits,
// which keep tokens short and are what EKS uses.
func NewServiceAccountKey(ctx *pulumi.Context, name string, opts ...pulumi.ResourceOption) (*tls.PrivateKey, error) {
	key, err := tls.NewPrivateKey(ctx, name, &tls.PrivateKeyArgs{
		Algorithm: pulumi.String("RSA"),
		RsaBits:   pulumi.Int(2048),
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("signing key %s of service account tokens: %w", name, err)
	}
	return key, nil
}

func optional(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.String(s)
}

func optionalBool(b bool) pulumi.BoolPtrInput {
	if !b {
		return nil
	}
	return pulumi.Bool(true)
}

func optionalList(list []string) pulumi.StringArrayInput {
	if list == nil {
		return nil
	}
	return pulumi.ToStringArray(list)
}
