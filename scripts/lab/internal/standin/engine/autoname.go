package engine

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"k3s-aws-auth/scripts/lab/internal/standin/facts"
)

// Naming is what the Pulumi engine's autonaming configuration asks for.
type Naming struct {
	// Proposed is the name that the engine proposes, "" for none.
	Proposed string
	// Enforced forbids changing the proposal, Disabled forbids making a name at all.
	Enforced, Disabled bool
}

// nameDigits is the number of random hex digits in an automatic name.
const nameDigits = 7

// autoName fills in a name that the program left out: the old one while it was automatic, else one from the engine's
// random seed, so that a preview and the update after it agree.
func autoName(t *facts.Type, name string, in, olds Map, seed []byte, naming *Naming) error {
	a := t.AutoName
	if a == nil {
		return nil
	}
	if _, given := in[a.Property]; given {
		return nil
	}
	if _, given := in[prefixOf(a.Property)]; given {
		return nil
	}
	if old, ok := olds[a.Property].(string); ok && old != "" && defaultedIn(olds, a.Property) {
		setDefault(in, a.Property, old)
		return nil
	}
	made, err := makeName(a.MaxLen, a.Lower, a.Exact, name, seed, naming)
	if err != nil {
		return fmt.Errorf("could not make a value for property %q: %w", a.Property, err)
	}
	if made != "" {
		setDefault(in, a.Property, made)
	}
	return nil
}

func makeName(maxLen int, lower, exact bool, name string, seed []byte, naming *Naming) (string, error) {
	if exact {
		return name, nil
	}
	if naming != nil {
		switch {
		case naming.Disabled:
			return "", nil
		case naming.Proposed != "" && (naming.Enforced || maxLen == 0 || len(naming.Proposed) <= maxLen):
			return naming.Proposed, nil
		}
	}
	prefix := name + "-"
	if lower {
		prefix = strings.ToLower(prefix)
	}
	return resource.NewUniqueName(seed, prefix, nameDigits, maxLen, []rune("0123456789abcdef"))
}

func setDefault(in Map, property string, value any) {
	in[property] = value
	list, _ := in[defaultsKey].([]any)
	in[defaultsKey] = append(list, property)
}

// prefixOf returns the property that asks for a generated name with a prefix: namePrefix for name, bucketPrefix for
// bucket.
func prefixOf(property string) string { return property + "Prefix" }

var uniqueCounter atomic.Uint32

// UniqueSuffix returns 26 characters that no earlier call returned: a UTC time of creation and a counter, as Terraform's
// unique ids.
func UniqueSuffix() string {
	var b [2]byte
	_, _ = rand.Read(b[:])
	stamp := strings.ReplaceAll(time.Now().UTC().Format("20060102150405.0000"), ".", "")
	return fmt.Sprintf("%s%04x%s", stamp, uniqueCounter.Add(1)&0xffff, hex.EncodeToString(b[:]))
}

// nameFromPrefix gives the create call its name where the program asked for a prefix only.
func nameFromPrefix(t *facts.Type, in Map) {
	for _, property := range []string{"name", "bucket"} {
		if t.Inputs.Properties[property] == nil {
			continue
		}
		if prefix, ok := in[prefixOf(property)].(string); ok && prefix != "" {
			if _, given := in[property]; !given {
				in[property] = prefix + UniqueSuffix()
			}
		}
	}
}
