package tlsres

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// createPrivateKey makes a key of the algorithm that the inputs name.
func createPrivateKey(_ context.Context, c *call) (string, m, error) {
	key, err := newKey(engine.Str(c.In, "algorithm"), int(engine.Int(c.In, "rsaBits")), engine.Str(c.In, "ecdsaCurve"))
	if err != nil {
		return "", nil, err
	}
	state, id, err := publicParts(key.Public())
	if err != nil {
		return "", nil, err
	}
	delete(state, "algorithm")
	block, err := privatePEM(key)
	if err != nil {
		return "", nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", nil, err
	}
	state["privateKeyPem"] = string(pem.EncodeToMemory(block))
	state["privateKeyPemPkcs8"] = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	state["privateKeyOpenssh"] = ""
	if state["publicKeyOpenssh"] != "" {
		openssh, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			return "", nil, err
		}
		state["privateKeyOpenssh"] = string(pem.EncodeToMemory(openssh))
	}
	return id, state, nil
}

func newKey(algorithm string, bits int, curve string) (crypto.Signer, error) {
	switch algorithm {
	case "RSA":
		return rsa.GenerateKey(rand.Reader, bits)
	case "ECDSA":
		curves := map[string]elliptic.Curve{
			"P224": elliptic.P224(), "P256": elliptic.P256(), "P384": elliptic.P384(), "P521": elliptic.P521(),
		}
		c, ok := curves[curve]
		if !ok {
			return nil, fmt.Errorf("invalid ECDSA curve %q", curve)
		}
		return ecdsa.GenerateKey(c, rand.Reader)
	case "ED25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("invalid key algorithm %q", algorithm)
}

// privatePEM returns the key in the traditional form of its algorithm: PKCS#1, SEC 1, or PKCS#8 for Ed25519.
func privatePEM(key crypto.Signer) (*pem.Block, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}, nil
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(key)
		return &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}, err
	case ed25519.PrivateKey:
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return &pem.Block{Type: "PRIVATE KEY", Bytes: der}, err
	}
	return nil, fmt.Errorf("a key of the unsupported type %T", key)
}

// publicParts returns the outputs that follow from a public key, and its id. The OpenSSH forms are empty for ECDSA P224,
// which OpenSSH does not have.
func publicParts(public crypto.PublicKey) (m, string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, "", fmt.Errorf("marshalling the public key: %w", err)
	}
	state := m{
		"algorithm":                  algorithmOf(public),
		"publicKeyPem":               string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"publicKeyOpenssh":           "",
		"publicKeyFingerprintMd5":    "",
		"publicKeyFingerprintSha256": "",
	}
	if k, ok := public.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P224() {
		sshKey, err := ssh.NewPublicKey(public)
		if err != nil {
			return nil, "", err
		}
		state["publicKeyOpenssh"] = string(ssh.MarshalAuthorizedKey(sshKey))
		state["publicKeyFingerprintMd5"] = ssh.FingerprintLegacyMD5(sshKey)
		state["publicKeyFingerprintSha256"] = ssh.FingerprintSHA256(sshKey)
	}
	return state, digest(der), nil
}

func algorithmOf(public crypto.PublicKey) string {
	switch public.(type) {
	case *rsa.PublicKey:
		return "RSA"
	case *ecdsa.PublicKey:
		return "ECDSA"
	case ed25519.PublicKey:
		return "ED25519"
	}
	return ""
}

var errNoPEM = errors.New("no PEM block found")

// parseKey reads a private key in any of the forms that createPrivateKey writes.
func parseKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("private key: %w", errNoPEM)
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "OPENSSH PRIVATE KEY":
		key, err = ssh.ParseRawPrivateKey([]byte(text))
	default:
		return nil, fmt.Errorf("private key: the PEM block is a %q", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	if p, ok := key.(*ed25519.PrivateKey); ok {
		return *p, nil
	}
	signer, ok := key.(crypto.Signer)
	if !ok || algorithmOf(signer.Public()) == "" {
		return nil, fmt.Errorf("private key: a %T is not supported", key)
	}
	return signer, nil
}

// getPublicKey returns the public parts of a private key.
func getPublicKey(_ context.Context, c *call) (m, error) {
	text := engine.Str(c.In, "privateKeyPem")
	if text == "" {
		text = engine.Str(c.In, "privateKeyOpenssh")
	}
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("the private key is empty")
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, err
	}
	state, id, err := publicParts(key.Public())
	if err != nil {
		return nil, err
	}
	state["id"] = id
	return state, nil
}
