package sigv4

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// MaxChain is the greatest number of certificates in X-Amz-X509-Chain.
const MaxChain = 5

// Certificates reads the leaf (X-Amz-X509) and the intermediates (X-Amz-X509-Chain) of a request of Roles Anywhere:
// base64 DER, the chain separated by commas. Errors wrap ErrMalformed.
func Certificates(r *http.Request) (leaf *x509.Certificate, chain []*x509.Certificate, err error) {
	if leaf, err = decodeCertificate(r.Header.Get("X-Amz-X509")); err != nil {
		return nil, nil, fmt.Errorf("%w: X-Amz-X509: %w", ErrMalformed, err)
	}
	text := r.Header.Get("X-Amz-X509-Chain")
	if text == "" {
		return leaf, nil, nil
	}
	parts := strings.Split(text, ",")
	if len(parts) > MaxChain {
		return nil, nil, fmt.Errorf("%w: X-Amz-X509-Chain has %d certificates, at most %d are allowed", ErrMalformed, len(parts), MaxChain)
	}
	for _, p := range parts {
		c, err := decodeCertificate(p)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: X-Amz-X509-Chain: %w", ErrMalformed, err)
		}
		chain = append(chain, c)
	}
	return leaf, chain, nil
}

func decodeCertificate(text string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// VerifyX509 checks that the request was signed with the key of the leaf: the credential is the leaf's decimal serial
// number, the certificate headers are signed, and the signature is RSA PKCS #1 v1.5 or ECDSA (ASN.1) over SHA-256.
// Whether the leaf is to be trusted is the caller's question. Errors: ErrMalformed, ErrMismatch, ErrPayload.
func (s *Signature) VerifyX509(r *http.Request, body []byte, leaf *x509.Certificate) error {
	if s.KeyID != leaf.SerialNumber.String() {
		return fmt.Errorf("%w: the credential is not the certificate's serial number", ErrMalformed)
	}
	if !slices.Contains(s.SignedHeaders, "x-amz-x509") {
		return fmt.Errorf("%w: X-Amz-X509 is not signed", ErrMalformed)
	}
	if r.Header.Get("X-Amz-X509-Chain") != "" && !slices.Contains(s.SignedHeaders, "x-amz-x509-chain") {
		return fmt.Errorf("%w: X-Amz-X509-Chain is not signed", ErrMalformed)
	}
	hash, err := s.PayloadHash(r, body)
	if err != nil {
		return err
	}
	signature, err := hex.DecodeString(s.Value)
	// One form only, as with HMACs: the text of a valid signature cannot be changed.
	if err != nil || hex.EncodeToString(signature) != s.Value {
		return fmt.Errorf("%w: signature is not lower-case hex", ErrMalformed)
	}
	digest := sha256.Sum256([]byte(s.StringToSign(r, hash)))
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if s.Algorithm != X509RSA || rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) != nil {
			return ErrMismatch
		}
	case *ecdsa.PublicKey:
		if s.Algorithm != X509ECDSA || !ecdsa.VerifyASN1(key, digest[:], signature) {
			return ErrMismatch
		}
	default:
		return fmt.Errorf("%w: key type %T", ErrMalformed, key)
	}
	return nil
}
