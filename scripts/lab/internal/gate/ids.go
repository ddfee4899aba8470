package gate

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
)

// newID returns an AWS-like unique id: a prefix of four letters and 17 characters (16 for access keys).
func newID(prefix string) string {
	n := 17
	if prefix == "AKIA" || prefix == "ASIA" {
		n = 16
	}
	b := make([]byte, 12)
	_, _ = rand.Read(b)
	return prefix + base32.StdEncoding.EncodeToString(b)[:n]
}

// newSecret returns a secret access key of 40 characters.
func newSecret() string {
	b := make([]byte, 30)
	_, _ = rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// newToken returns an opaque session token.
func newToken() string {
	b := make([]byte, 264)
	_, _ = rand.Read(b)
	return "IQoJ" + base64.StdEncoding.EncodeToString(b)
}
