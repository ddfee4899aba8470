package forge

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"
)

// Certified is a certificate with its key, and the intermediates that are sent along.
type Certified struct {
	Cert  *x509.Certificate
	Key   crypto.Signer
	Chain []*x509.Certificate
}

// NewLeaf makes a certificate like a model, issued by a CA, changed in one way. key nil makes a new P-256 key. The
// serial is random and the certificate is valid from a minute ago for an hour, unless change says otherwise.
func NewLeaf(ca Certified, model *x509.Certificate, key crypto.Signer, change func(*x509.Certificate)) (Certified, error) {
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return Certified{}, err
		}
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return Certified{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: model.Subject.CommonName, Organization: model.Subject.Organization},
		NotBefore:    time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: model.KeyUsage, ExtKeyUsage: model.ExtKeyUsage, BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Cert, key.Public(), ca.Key)
	if err != nil {
		return Certified{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return Certified{Cert: cert, Key: key}, err
}

// Impostor is a CA with the name and serial number of another: only its key differs.
func Impostor(ca *x509.Certificate) (Certified, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certified{}, err
	}
	template := *ca
	template.SubjectKeyId, template.AuthorityKeyId, template.PublicKey = nil, nil, key.Public()
	template.SignatureAlgorithm = x509.UnknownSignatureAlgorithm
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return Certified{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return Certified{Cert: cert, Key: key}, err
}
