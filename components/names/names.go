// Package names makes names that fit AWS's and Kubernetes' length limits
// without two different long names becoming one.
package names

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of the names that the program gives, in characters. Each is the
// service's own limit except CommonName, which is 3 less than STS's limit of 64
// for a source identity, because Roles Anywhere sets that to "CN=<common name>".
const (
	MaxRole              = 64
	maxSession           = 64
	MaxCommonName        = 61
	MaxOriginAccess      = 64
	MaxPolicy            = 128
	MaxKubernetesObject  = 253
	autonameRandomSuffix = 8 // "-" and 7 hex digits, appended by the provider
)

// hashLength is the length of the suffix of a shortened name: 10 base32
// characters are 50 bits, far beyond an accidental or a cheap deliberate
// collision of two names in one configuration.
const hashLength = 10

// MinLimit is the smallest limit that [Shorten] accepts: one character of the
// name, a hyphen and the hash.
const MinLimit = 1 + 1 + hashLength

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Shorten returns name if it has at most limit bytes, and otherwise its
// beginning, a hyphen and a hash of the whole name, limit bytes at most. The
// same name always gives the same result, and different names give different
// ones. The hash is lower-case letters and digits, so that a name of any
// service's alphabet stays in it; separators before the hash are dropped and no
// UTF-8 character is cut in two. Limits below [MinLimit] are a programming
// error and panic.
func Shorten(name string, limit int) string {
	if limit < MinLimit {
		panic(fmt.Sprintf("names.Shorten: limit %d is below %d", limit, MinLimit))
	}
	if len(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	hash := encoding.EncodeToString(sum[:])[:hashLength]
	end := limit - hashLength - 1
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	head := strings.TrimRight(name[:end], "-._")
	if head == "" {
		return hash
	}
	return head + "-" + hash
}

// Autonamed shortens a logical resource name so that the physical name which
// the provider makes from it (the logical name, a hyphen and 7 hex digits) stays
// within limit. The provider itself checks only its own, wider limit.
func Autonamed(logical string, limit int) string {
	return Shorten(logical, limit-autonameRandomSuffix)
}

// identity returns "<namespace>.<service account>", shortened to limit: the
// form in which a pod's identity appears in session names and certificates. A
// namespace has no dots, so the first dot always ends it. STS allows no slash
// and no colon in these names.
func identity(namespace, serviceAccount string, limit int) string {
	return Shorten(namespace+"."+serviceAccount, limit)
}

// Session is the role session name of a pod's identity.
func Session(namespace, serviceAccount string) string {
	return identity(namespace, serviceAccount, maxSession)
}

// CommonName is the certificate subject common name of a pod's identity.
func CommonName(namespace, serviceAccount string) string {
	return identity(namespace, serviceAccount, MaxCommonName)
}
