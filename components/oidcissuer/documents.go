// Package oidcissuer publishes the OpenID Connect documents of a Kubernetes
// cluster, so that AWS STS can verify its ServiceAccount tokens: as two public
// objects of a bucket ([NewBucketIssuer]) or behind CloudFront on a domain of
// one's own ([NewCloudFrontIssuer]), and registers the issuer with IAM
// ([NewProvider]).
package oidcissuer

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// Paths of the two documents below the issuer's URL. The first is fixed by
// OpenID Connect Discovery; the second is where a Kubernetes API server serves
// its own keys, so that both can be compared or copied as they are.
const (
	DiscoveryPath = ".well-known/openid-configuration"
	JWKSPath      = "openid/v1/jwks"
)

// DefaultAlgorithm is how Kubernetes signs ServiceAccount tokens with RSA keys.
const DefaultAlgorithm = "RS256"

// maxKeysPerKind is how many keys of one kind IAM reads from a JWKS.
const maxKeysPerKind = 100

// Errors that callers can test for.
var (
	ErrNoKeys     = errors.New("no public keys: an issuer without keys would make every token invalid")
	ErrPrivateKey = errors.New("is a private key, which must never be published")
)

// IssuerURLFromBucket returns the issuer URL of a public bucket: its virtual
// hosted-style address without a trailing slash. The bucket's name must have no
// dots (see [ValidateBucketName]), since the certificate of S3 covers one label.
// An empty DNS suffix means amazonaws.com.
func IssuerURLFromBucket(bucket, region, dnsSuffix string) string {
	if dnsSuffix == "" {
		dnsSuffix = "amazonaws.com"
	}
	return "https://" + bucket + ".s3." + region + "." + dnsSuffix
}

// IssuerURLFromDomain returns the issuer URL of a domain.
func IssuerURLFromDomain(domain string) string { return "https://" + domain }

// Discovery returns the discovery document of the issuer, with the fields that
// IAM needs and no other, as Kubernetes itself writes them. The algorithms are
// those of the keys (see [Algorithms]); none means [DefaultAlgorithm].
func Discovery(issuer string, algorithms ...string) ([]byte, error) {
	if err := ValidateIssuerURL(issuer); err != nil {
		return nil, err
	}
	if strings.HasSuffix(issuer, "/") {
		return nil, fmt.Errorf("issuer URL %q must not end with a slash, since this program's own has none", issuer)
	}
	if len(algorithms) == 0 {
		algorithms = []string{DefaultAlgorithm}
	}
	return marshal(discoveryDocument{
		Issuer:        issuer,
		JWKSURI:       issuer + "/" + JWKSPath,
		ResponseTypes: []string{"id_token"},
		SubjectTypes:  []string{"public"},
		Algorithms:    algorithms,
	})
}

type discoveryDocument struct {
	Issuer        string   `json:"issuer"`
	JWKSURI       string   `json:"jwks_uri"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
}

// JWKS returns the JSON Web Key Set of the public keys, in their order. Each
// string is one or more PEM blocks (PUBLIC KEY or RSA PUBLIC KEY); a key that is
// listed twice is published once. It fails on an empty list, on anything that is
// not a public key, and on keys that IAM does not read: RSA below 2048 bits,
// curves other than P-256, P-384 and P-521, more than 100 of a kind.
func JWKS(publicKeyPEMs []string) ([]byte, error) {
	keys, err := parseKeys(publicKeyPEMs)
	if err != nil {
		return nil, err
	}
	set := keySet{Keys: make([]jsonWebKey, 0, len(keys))}
	for _, key := range keys {
		set.Keys = append(set.Keys, key.jwk)
	}
	return marshal(set)
}

// Algorithms returns the signing algorithms of the keys, each once, in the
// keys' order.
func Algorithms(publicKeyPEMs []string) ([]string, error) {
	keys, err := parseKeys(publicKeyPEMs)
	if err != nil {
		return nil, err
	}
	var algorithms []string
	for _, key := range keys {
		if !slices.Contains(algorithms, key.jwk.Alg) {
			algorithms = append(algorithms, key.jwk.Alg)
		}
	}
	return algorithms, nil
}

// KeyIDHeader is a PEM header that gives a key the id by which its tokens name it.
// Without one it has the id that Kubernetes gives it; see [KeyID].
const KeyIDHeader = "Kid"

var kidPattern = regexp.MustCompile(`^[!-~]([ -~]{0,253}[!-~])?$`)

// KeyIDs returns the key ids of the keys, in their order.
func KeyIDs(publicKeyPEMs []string) ([]string, error) {
	keys, err := parseKeys(publicKeyPEMs)
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(keys))
	for _, key := range keys {
		ids = append(ids, key.jwk.Kid)
	}
	return ids, nil
}

// KeyID returns the key id that the Kubernetes API server writes into the
// header of tokens signed with this key: the unpadded base64url form of the
// SHA-256 of the public key's PKIX DER.
//
// Source: k8s.io/kubernetes pkg/serviceaccount/jwt.go, keyIDFromPublicKey.
func KeyID(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("key id of public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

type keySet struct {
	Keys []jsonWebKey `json:"keys"`
}

// jsonWebKey is the part of RFC 7517 and 7518 that ServiceAccount keys use.
type jsonWebKey struct {
	Use string `json:"use"`
	Kty string `json:"kty"`
	Kid string `json:"kid"`
	Alg string `json:"alg"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

type publicKey struct {
	jwk jsonWebKey
}

// parseKeys reads all PEM blocks of all strings and drops repetitions.
func parseKeys(publicKeyPEMs []string) ([]publicKey, error) {
	var keys []publicKey
	seen := map[string]jsonWebKey{}
	kinds := map[string]int{}
	for i, text := range publicKeyPEMs {
		rest := []byte(text)
		for blocks := 0; ; blocks++ {
			rest = bytes.TrimSpace(rest)
			if len(rest) == 0 {
				if blocks == 0 {
					return nil, fmt.Errorf("public key %d is empty", i)
				}
				break
			}
			// pem.Decode skips text before a block, and with it a block that
			// is damaged: that key would silently not be published.
			if !bytes.HasPrefix(rest, []byte("-----BEGIN ")) {
				return nil, fmt.Errorf("public key %d has text outside PEM blocks", i)
			}
			next := bytes.Index(rest[1:], []byte("-----BEGIN "))
			block, after := pem.Decode(rest)
			if block == nil || (next >= 0 && len(rest)-len(after) > next+1+len("-----BEGIN ")) {
				return nil, fmt.Errorf("public key %d has a damaged PEM block", i)
			}
			rest = after
			jwk, err := toJWK(block)
			if err != nil {
				return nil, fmt.Errorf("public key %d: %w", i, err)
			}
			if first, taken := seen[jwk.Kid]; taken {
				if first != jwk {
					return nil, fmt.Errorf("public key %d: another key has its id %q, by which AWS looks a key up", i, jwk.Kid)
				}
				continue
			}
			seen[jwk.Kid] = jwk
			if kinds[jwk.Kty]++; kinds[jwk.Kty] > maxKeysPerKind {
				return nil, fmt.Errorf("more than %d %s keys: IAM reads no more", maxKeysPerKind, jwk.Kty)
			}
			keys = append(keys, publicKey{jwk: jwk})
		}
	}
	if len(keys) == 0 {
		return nil, ErrNoKeys
	}
	return keys, nil
}

func toJWK(block *pem.Block) (jsonWebKey, error) {
	var (
		key crypto.PublicKey
		err error
	)
	switch {
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return jsonWebKey{}, fmt.Errorf("PEM block %q %w", block.Type, ErrPrivateKey)
	case block.Type == "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return jsonWebKey{}, fmt.Errorf("PEM block %q is not a public key", block.Type)
	}
	if err != nil {
		return jsonWebKey{}, err
	}
	kid, err := KeyID(key)
	if err != nil {
		return jsonWebKey{}, err
	}
	if own, has := block.Headers[KeyIDHeader]; has {
		if !kidPattern.MatchString(own) {
			return jsonWebKey{}, fmt.Errorf("%s is %q, must be 1 to 255 printable characters", KeyIDHeader, own)
		}
		kid = own
	}
	jwk := jsonWebKey{Use: "sig", Kid: kid}
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return jsonWebKey{}, fmt.Errorf("RSA key has %d bits, must have at least 2048", key.N.BitLen())
		}
		jwk.Kty, jwk.Alg = "RSA", DefaultAlgorithm
		jwk.N = encode(key.N.Bytes())
		jwk.E = encode(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		if err := ecJWK(key, &jwk); err != nil {
			return jsonWebKey{}, err
		}
	default:
		return jsonWebKey{}, fmt.Errorf("key of type %T, must be RSA or ECDSA", key)
	}
	return jwk, nil
}

func ecJWK(key *ecdsa.PublicKey, jwk *jsonWebKey) error {
	switch key.Curve {
	case elliptic.P256():
		jwk.Crv, jwk.Alg = "P-256", "ES256"
	case elliptic.P384():
		jwk.Crv, jwk.Alg = "P-384", "ES384"
	case elliptic.P521():
		jwk.Crv, jwk.Alg = "P-521", "ES512"
	default:
		return fmt.Errorf("ECDSA curve %s, must be P-256, P-384 or P-521", key.Curve.Params().Name)
	}
	// The uncompressed point: 0x04, X and Y, both of the curve's full length,
	// as RFC 7518 section 6.2.1.2 wants them.
	point, err := key.Bytes()
	if err != nil {
		return fmt.Errorf("encode ECDSA key: %w", err)
	}
	half := (len(point) - 1) / 2
	jwk.Kty, jwk.X, jwk.Y = "EC", encode(point[1:1+half]), encode(point[1+half:])
	return nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// marshal writes indented JSON: these documents are read by people who look for
// the cause of an InvalidIdentityToken.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("marshal OIDC document: %w", err)
	}
	return buf.Bytes(), nil
}
