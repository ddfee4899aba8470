// Package stack reads a Pulumi stack as its owner may: its outputs, and the keys and certificates that its state keeps
// secret. Nothing is written anywhere.
package stack

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// State is a stack's deployment with its secrets in plain.
type State struct {
	resources []resource
}

type resource struct {
	URN     string         `json:"urn"`
	Type    string         `json:"type"`
	Outputs map[string]any `json:"outputs"`
	Inputs  map[string]any `json:"inputs"`
}

// The signature by which the engine marks a secret in a state
// (https://www.pulumi.com/docs/iac/concepts/secrets/).
const (
	SignatureKey    = "4dabf18193072939515e22adb298388d"
	SecretSignature = "1b47061264138c4ac30d75fd1eb44270"
)

// Parse reads the deployment of a state exported with its secrets in plain.
func Parse(deployment []byte) (*State, error) {
	var d struct{ Resources []resource }
	if err := json.Unmarshal(deployment, &d); err != nil {
		return nil, fmt.Errorf("the stack's deployment: %w", err)
	}
	return &State{resources: d.Resources}, nil
}

// find returns the first resource of a type whose URN has a part.
func (s *State) find(typ, part string) (resource, error) {
	for _, r := range s.resources {
		if r.Type == typ && strings.Contains(r.URN, part) {
			return r, nil
		}
	}
	return resource{}, fmt.Errorf("the state has no %s with %q in its URN", typ, part)
}

// Output returns an output of the stack, secret or not, decoded into v. found is false where the stack has none of that
// name.
func (s *State) Output(name string, v any) (found bool, err error) {
	r, err := s.find("pulumi:pulumi:Stack", "")
	if err != nil {
		return false, err
	}
	value, ok := r.Outputs[name]
	if !ok || value == nil {
		return false, nil
	}
	data, err := json.Marshal(Reveal(value))
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("output %s: %w", name, err)
	}
	return true, nil
}

// Text reads one string of a resource's outputs, found by the resource's type and a part of its URN.
func (s *State) Text(typ, part, name string) (string, error) {
	r, err := s.find(typ, part)
	if err != nil {
		return "", err
	}
	return text(r.Outputs, name)
}

// SigningKey is the key of the cluster's ServiceAccount tokens: the one whose public half is in the issuer's JWKS.
func (s *State) SigningKey() (*rsa.PrivateKey, error) {
	key, err := s.Text("tls:index/privateKey:PrivateKey", "signing", "privateKeyPem")
	if err != nil {
		return nil, err
	}
	return ParseSigningKey(key)
}

// ParseSigningKey reads a signing key in the form that Kubernetes has it: PEM, RSA PRIVATE KEY.
func ParseSigningKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the signing key is no PEM")
	}
	return x509.ParsePKCS1PrivateKey(block.Bytes)
}

// Authority is the CA of Roles Anywhere.
func (s *State) Authority() (crypto.Signer, *x509.Certificate, error) {
	r, err := s.find("tls:index/selfSignedCert:SelfSignedCert", "rolesanywhere")
	if err != nil {
		return nil, nil, err
	}
	return pair(r)
}

// Leaf is the first identity's certificate of Roles Anywhere with its key.
func (s *State) Leaf() (crypto.Signer, *x509.Certificate, error) {
	r, err := s.find("tls:index/locallySignedCert:LocallySignedCert", "rolesanywhere")
	if err != nil {
		return nil, nil, err
	}
	cert, err := certificate(r)
	if err != nil {
		return nil, nil, err
	}
	// The request was made with the leaf's key, which is a resource of its own: its public half tells which.
	for _, k := range s.resources {
		if k.Type != "tls:index/privateKey:PrivateKey" {
			continue
		}
		plain, err := text(k.Outputs, "privateKeyPem")
		if err != nil {
			continue
		}
		key, err := parseKey(plain)
		if err != nil {
			continue
		}
		if public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && public.Equal(key.Public()) {
			return key, cert, nil
		}
	}
	return nil, nil, errors.New("the state has no key of the identity's certificate")
}

func pair(r resource) (crypto.Signer, *x509.Certificate, error) {
	cert, err := certificate(r)
	if err != nil {
		return nil, nil, err
	}
	plain, err := text(r.Inputs, "privateKeyPem")
	if err != nil {
		return nil, nil, err
	}
	key, err := parseKey(plain)
	return key, cert, err
}

func certificate(r resource) (*x509.Certificate, error) {
	plain, err := text(r.Outputs, "certPem")
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(plain))
	if block == nil {
		return nil, errors.New("not a PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(plain string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(plain))
	if block == nil {
		return nil, errors.New("the key is no PEM")
	}
	return ParseKey(block)
}

// ParseKey reads a private key as the tls provider and openssl write it: SEC 1, PKCS #1 or PKCS #8. An error quotes nothing of it.
func ParseKey(block *pem.Block) (crypto.Signer, error) {
	switch block.Type {
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return signer, nil
}

// text reads one string, secret or not, of a resource's inputs or outputs.
func text(properties map[string]any, name string) (string, error) {
	if v, ok := Reveal(properties[name]).(string); ok {
		return v, nil
	}
	return "", fmt.Errorf("the state has no %s", name)
}

// Reveal takes the marks of secrets off a value, however deep.
func Reveal(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = Reveal(e)
		}
		return out
	case map[string]any:
		if v[SignatureKey] == SecretSignature {
			var inner any
			if plain, ok := v["plaintext"].(string); ok && json.Unmarshal([]byte(plain), &inner) == nil {
				return Reveal(inner)
			}
			return nil
		}
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = Reveal(e)
		}
		return out
	}
	return v
}

// Secrets lists all secret strings, however deep.
func (s *State) Secrets() []string {
	var out []string
	var walk func(v any, secret bool)
	walk = func(v any, secret bool) {
		switch v := v.(type) {
		case string:
			if secret {
				out = append(out, v)
			}
		case []any:
			for _, e := range v {
				walk(e, secret)
			}
		case map[string]any:
			if v[SignatureKey] == SecretSignature {
				walk(Reveal(v), true)
				return
			}
			for _, e := range v {
				walk(e, secret)
			}
		}
	}
	for _, r := range s.resources {
		for _, m := range []map[string]any{r.Inputs, r.Outputs} {
			for _, v := range m {
				walk(v, false)
			}
		}
	}
	return out
}

// named returns the one resource of a name, of a type that ends with one of types.
func (s *State) named(name string, types ...string) (resource, error) {
	var found []resource
	for _, r := range s.resources {
		if strings.HasSuffix(r.URN, "::"+name) && slices.ContainsFunc(types, func(t string) bool { return strings.HasSuffix(r.Type, t) }) {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		return resource{}, fmt.Errorf("the state has %d resources %s (%s)", len(found), name, strings.Join(types, ", "))
	}
	return found[0], nil
}

// URN is that of the one resource of a type with a name.
func (s *State) URN(typ, name string) (string, error) {
	r, err := s.named(name, typ)
	return r.URN, err
}

// Named reads one string of the outputs of the one resource of a type with a name. Unlike the stack's own outputs they are
// there after an update that failed: the engine has those of the program's run that ended last, however it ended.
func (s *State) Named(typ, name, output string) (string, error) {
	r, err := s.named(name, typ)
	if err != nil {
		return "", err
	}
	return text(r.Outputs, output)
}

// PublicKey is the public half of the RSA key with a resource name.
func (s *State) PublicKey(name string) (*rsa.PublicKey, error) {
	r, err := s.named(name, "tls:index/privateKey:PrivateKey")
	if err != nil {
		return nil, err
	}
	plain, err := text(r.Outputs, "privateKeyPem")
	if err != nil {
		return nil, err
	}
	key, err := ParseSigningKey(plain)
	if err != nil {
		return nil, err
	}
	return &key.PublicKey, nil
}

// Certificate is the certificate with a resource name, signed by itself or by a CA.
func (s *State) Certificate(name string) (*x509.Certificate, error) {
	r, err := s.named(name, "tls:index/selfSignedCert:SelfSignedCert", "tls:index/locallySignedCert:LocallySignedCert")
	if err != nil {
		return nil, err
	}
	return certificate(r)
}

// IssuerURL is the URL of the published issuer with a component's name.
func (s *State) IssuerURL(name string) (string, error) {
	r, err := s.named(name, ":oidcissuer:BucketIssuer", ":oidcissuer:CloudFrontIssuer")
	if err != nil {
		return "", err
	}
	return text(r.Outputs, "url")
}
