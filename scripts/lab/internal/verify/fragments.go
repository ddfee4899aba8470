package verify

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// fragments are the pieces of a secret by which it would be known anywhere: the lines of a private key, the key data of
// a kubeconfig, a token and the password at its end, each as it is and in base64 as Kubernetes and user data carry it.
// What a secret document has of public things (certificates, addresses) is not among them.
func fragments(secret string) []string {
	var out []string
	lines := strings.Split(strings.TrimSpace(secret), "\n")
	out = append(out, keyLines(secret)...)
	for _, line := range lines {
		line = strings.TrimSpace(line)
		for _, key := range []string{"client-key-data", `"client-key-data"`} {
			if v, ok := strings.CutPrefix(line, key+":"); ok {
				v = strings.Trim(strings.TrimSpace(v), `",`)
				out = append(out, v)
				if pem, err := base64.StdEncoding.DecodeString(v); err == nil {
					out = append(out, fragments(string(pem))...)
				}
			}
		}
	}
	if len(lines) == 1 && len(secret) >= 16 && !strings.ContainsAny(secret, " {") && !strings.Contains(secret, "://") &&
		!strings.HasPrefix(secret, "arn:") {
		out = append(out, secret, base64.StdEncoding.EncodeToString([]byte(secret)))
		if i := strings.LastIndex(secret, ":"); i >= 0 && len(secret)-i > 16 {
			out = append(out, secret[i+1:])
		}
	}
	if strings.Contains(secret, "PRIVATE KEY") {
		// In base64 the document as a whole is one string; its middle will do whatever stands before or behind it.
		whole := base64.StdEncoding.EncodeToString([]byte(secret))
		if n := len(whole); n >= 96 {
			out = append(out, whole[n/3/4*4:n/3/4*4+48])
		}
	}
	return out
}

// keyLines are the lines of private keys in PEM. A private key's encoding holds the public half too, which stands in
// certificates and the JWKS with good reason: lines of that are left out.
func keyLines(text string) []string {
	var out []string
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out
		}
		if !strings.Contains(block.Type, "PRIVATE KEY") {
			continue
		}
		encoded := pem.EncodeToMemory(block)
		half := publicHalf(encoded)
		for _, line := range strings.Split(string(encoded), "\n") {
			plain, err := base64.StdEncoding.DecodeString(line)
			if err == nil && len(line) >= 24 && !bytes.Contains(half, plain) {
				out = append(out, line)
			}
		}
	}
}

// publicHalf is the public key of a private one, as SSH and as X.509 encode it. A key that cannot be read has none.
func publicHalf(keyPEM []byte) []byte {
	key, err := ssh.ParseRawPrivateKey(keyPEM)
	if err != nil {
		return nil
	}
	if p, ok := key.(*ed25519.PrivateKey); ok {
		key = *p
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil
	}
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return nil
	}
	if p, err := ssh.NewPublicKey(signer.Public()); err == nil {
		der = append(der, p.Marshal()...)
	}
	return der
}

// Unpack decodes user data as EC2 gives it, and beside the document itself what its write_files carry compressed, so
// that a search reaches everything that the machine will see.
func Unpack(userData string) ([]byte, error) {
	document, err := base64.StdEncoding.DecodeString(userData)
	if err != nil {
		return nil, err
	}
	all := document
	for _, word := range strings.Fields(string(document)) {
		packed, err := base64.StdEncoding.DecodeString(strings.Trim(word, `"'`))
		if err != nil {
			continue
		}
		all = append(all, packed...)
		if r, err := gzip.NewReader(bytes.NewReader(packed)); err == nil {
			plain, err := io.ReadAll(r)
			if err != nil {
				return nil, err
			}
			all = append(all, plain...)
		}
	}
	return all, nil
}
