// Package forge makes credentials that are wrong in exactly one way: web identity tokens, certificates and signed
// requests. It is what a caller with some of the keys, or none, could make.
package forge

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Claims reads the claims and the key id of a token without verifying it.
func Claims(token string) (claims map[string]any, kid string, err error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		return nil, "", err
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return nil, "", err
	}
	return claims, parsed.Headers[0].KeyID, nil
}

// With returns claims with some of them replaced; a nil value removes one.
func With(claims, change map[string]any) map[string]any {
	out := maps.Clone(claims)
	for k, v := range change {
		if out[k] = v; v == nil {
			delete(out, k)
		}
	}
	return out
}

// Sign makes a token of claims, signed with an algorithm and a key.
func Sign(algorithm jose.SignatureAlgorithm, key crypto.PrivateKey, kid string, claims map[string]any) (string, error) {
	options := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		options = options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

// Assemble joins a header, claims and a signature into a token, right or wrong.
func Assemble(header, claims map[string]any, signature []byte) (string, error) {
	input, err := signingInput(header, claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), err
}

// HMAC makes a token whose signature is an HMAC-SHA256 by a secret, whatever its header says.
func HMAC(header, claims map[string]any, secret []byte) (string, error) {
	input, err := signingInput(header, claims)
	if err != nil {
		return "", err
	}
	h := hmac.New(sha256.New, secret)
	_, _ = h.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil)), nil
}

// SignHeader makes a token with a header of one's own, signed by RSA PKCS #1 v1.5 or ECDSA over SHA-256 as the key says.
func SignHeader(header, claims map[string]any, key crypto.Signer) (string, error) {
	algorithm, _ := header["alg"].(string)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key}, &jose.SignerOptions{ExtraHeaders: extra(header)})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func extra(header map[string]any) map[jose.HeaderKey]any {
	out := map[jose.HeaderKey]any{}
	for k, v := range header {
		if k != "alg" {
			out[jose.HeaderKey(k)] = v
		}
	}
	return out
}

// ReplacePart replaces one part of a token (0 header, 1 claims, 2 signature) by a text.
func ReplacePart(token string, part int, text string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("a token has 3 parts, not %d", len(parts))
	}
	parts[part] = text
	return strings.Join(parts, "."), nil
}

// Encode is the form of a header or of claims in a token.
func Encode(v any) (string, error) {
	data, err := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(data), err
}

func signingInput(header, claims map[string]any) (string, error) {
	h, err := Encode(header)
	if err != nil {
		return "", err
	}
	c, err := Encode(claims)
	return h + "." + c, err
}
