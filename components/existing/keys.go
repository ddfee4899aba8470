package existing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"k3s-aws-auth/components/oidcissuer"
)

// keySet is a JSON Web Key Set (RFC 7517) with keys of RFC 7518, section 6.
type keySet struct {
	Keys []jsonWebKey `json:"keys"`
}

type jsonWebKey struct {
	Kty string `json:"kty"`
	Kid string `json:"kid"`
	Use string `json:"use"`
	N   string `json:"n"`
	E   string `json:"e"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
	D   string `json:"d"`
}

// publicKeys returns the keys as PEM, each with its id where that is its own.
func (set keySet) publicKeys() ([]string, error) {
	var keys []string
	for i, jwk := range set.Keys {
		if jwk.Use == "enc" { // signs no token (RFC 7517, section 4.2)
			continue
		}
		key, err := jwk.public()
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		if jwk.Kid == "" {
			return nil, fmt.Errorf("key %d: has no id, and AWS looks keys up by it", i)
		}
		// The id is what tokens name, whoever signs them: an API server gives its keys
		// one that follows from the key, an external signer gives its own.
		id, err := oidcissuer.KeyID(key)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		block := &pem.Block{Type: "PUBLIC KEY"}
		if id != jwk.Kid {
			block.Headers = map[string]string{oidcissuer.KeyIDHeader: jwk.Kid}
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		block.Bytes = der
		text := pem.EncodeToMemory(block)
		if ids, err := oidcissuer.KeyIDs([]string{string(text)}); err != nil || ids[0] != jwk.Kid {
			return nil, fmt.Errorf("key %d: its id %q cannot be published: %w", i, jwk.Kid, err)
		}
		keys = append(keys, string(text))
	}
	if len(keys) == 0 {
		return nil, oidcissuer.ErrNoKeys
	}
	return keys, nil
}

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

func (jwk jsonWebKey) public() (crypto.PublicKey, error) {
	if jwk.D != "" {
		return nil, oidcissuer.ErrPrivateKey
	}
	switch jwk.Kty {
	case "RSA":
		n, errN := number(jwk.N)
		e, errE := number(jwk.E)
		if errN != nil || errE != nil || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 {
			return nil, errors.New("is no RSA key")
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	case "EC":
		curve, ok := curves[jwk.Crv]
		if !ok {
			return nil, fmt.Errorf("has the curve %q, which IAM does not support", jwk.Crv)
		}
		size := (curve.Params().BitSize + 7) / 8
		x, errX := base64.RawURLEncoding.DecodeString(jwk.X)
		y, errY := base64.RawURLEncoding.DecodeString(jwk.Y)
		if errX != nil || errY != nil || len(x) != size || len(y) != size {
			return nil, errors.New("is no EC key")
		}
		key, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
		if err != nil {
			return nil, errors.New("is not on its curve")
		}
		return key, nil
	}
	return nil, fmt.Errorf("has the type %q, which IAM does not support", jwk.Kty)
}

func number(text string) (*big.Int, error) {
	octets, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(octets) == 0 {
		return nil, errors.New("is no number")
	}
	return new(big.Int).SetBytes(octets), nil
}
