package wire

import (
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"
)

// HexID returns prefix and 17 lower-case hexadecimal digits, as EC2 names its resources.
func HexID(prefix string) string {
	return prefix + Hex(17)
}

// Hex returns n random lower-case hexadecimal digits.
func Hex(n int) string {
	b := make([]byte, (n+1)/2)
	_, _ = rand.Read(b) // crypto/rand.Read does not fail
	return hex.EncodeToString(b)[:n]
}

// UpperID returns prefix and n random capitals and digits, as CloudFront ("E…") and Route 53 ("Z…") name resources.
func UpperID(prefix string, n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	b := make([]byte, n)
	_, _ = rand.Read(b)
	var out strings.Builder
	out.WriteString(prefix)
	for _, c := range b {
		out.WriteByte(alphabet[int(c)%len(alphabet)])
	}
	return out.String()
}

// UUID returns a random version 4 UUID.
func UUID() string { return uuid.NewString() }
