package verify

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"strings"
)

// fragments are the pieces of a secret by which it would be known anywhere: the lines of a private key, the key data of
// a kubeconfig, a token and the password at its end, each as it is and in base64 as Kubernetes and user data carry it.
// What a secret document has of public things (certificates, addresses) is not among them.
func fragments(secret string) []string {
	var out []string
	private := false
	lines := strings.Split(strings.TrimSpace(secret), "\n")
	for _, line := range lines {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "-----BEGIN"):
			private = strings.Contains(line, "PRIVATE KEY")
		case strings.HasPrefix(line, "-----END"):
			private = false
		case private && len(line) >= 24:
			out = append(out, line)
		}
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
