package chain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFollow looks three times: something breaks, cannot be looked at, and is mended.
func TestFollow(t *testing.T) {
	broken := load(t, "irsa-s3")
	broken.Account.Providers = nil
	blind := load(t, "irsa-s3")
	blind.Account.Providers, blind.Unseen = nil, []Unseen{{What: partProviders, Why: "AccessDenied"}}
	looks := []*Facts{load(t, "irsa-s3"), broken, blind, load(t, "irsa-s3")}
	for output, want := range map[string][]string{
		asText: {"watching 1 identity with 1 pod", "BROKEN  provider-missing", "cannot be looked at: OIDC providers: AccessDenied", "can be looked at again: OIDC providers", "gone: provider-missing"},
		asJSON: {`"id":"provider-missing"`, `"unseen":{"what":"OIDC providers"`, `"gone":true,"unseen"`},
	} {
		t.Run(output, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			at := 0
			var out bytes.Buffer
			o := options{output: output, every: time.Millisecond}
			require.NoError(t, o.follow(ctx, &out, func(context.Context) *Facts {
				if at++; at > len(looks) {
					cancel()
					return looks[0]
				}
				return looks[at-1]
			}))
			rest := out.String()
			for _, part := range want {
				_, after, ok := strings.Cut(rest, part)
				require.True(t, ok, "%q is not in %s", part, rest)
				rest = after
			}
			if output == asJSON {
				for line := range strings.Lines(out.String()) {
					require.NoError(t, json.Unmarshal([]byte(line), &change{}))
				}
			}
		})
	}
}

// TestChanges holds what is told: while something cannot be looked at, nothing has gone.
func TestChanges(t *testing.T) {
	at := time.Unix(0, 0)
	finding := Finding{ID: "a", Where: "x"}
	some, none, blind := &Report{Findings: []Finding{finding}}, &Report{}, &Report{Unseen: []Unseen{{What: "p", Why: "q"}}}
	require.Empty(t, changes(some, some, at))
	require.Equal(t, []change{{Time: at, Finding: &finding}}, changes(none, some, at))
	require.Equal(t, []change{{Time: at, Gone: true, Finding: &finding}}, changes(some, none, at))
	require.Equal(t, []change{{Time: at, Unseen: &Unseen{What: "p", Why: "q"}}}, changes(some, blind, at))
}

func TestFromExport(t *testing.T) {
	presents := func(setup string) (string, error) {
		if setup != "irsa-s3" {
			return "", errors.New("no such setup")
		}
		return presentsToken, nil
	}
	export := `{"version":3,"deployment":{"resources":[{"urn":"u","type":"pulumi:pulumi:Stack","outputs":{"setup":"irsa-s3","issuerUrl":"https://i",
"identities":[{"name":"n","namespace":"a","serviceAccount":"b","roleArn":"arn"}],"kubeconfig":{"4dabf18193072939515e22adb298388d":"1b47061264138c4ac30d75fd1eb44270","ciphertext":"v1:x"}}}]}}`
	s, err := FromExport([]byte(export), presents)
	require.NoError(t, err)
	require.Equal(t, &Stack{Setup: "irsa-s3", Presents: presentsToken, Issuer: "https://i", Identities: []StackIdentity{{"a", "b", "arn"}}}, s)
	for _, bad := range []string{"x", "{}", strings.Replace(export, `"setup":"irsa-s3"`, `"setup":"other"`, 1), strings.Replace(export, `[{"name"`, `{"x":[{"name"`, 1)} {
		_, err := FromExport([]byte(bad), presents)
		require.Error(t, err)
	}
}

// TestStackKnowsMore lists an identity that has neither pod nor service account.
func TestStackKnowsMore(t *testing.T) {
	f := load(t, "irsa-s3")
	f.Stack.Identities = []StackIdentity{{"default", "uploader", role(f).ARN}, {"shop", "cart", "arn:aws:iam::111122223333:role/cart"}}
	found := Check(f)
	require.Equal(t, []string{"role-missing", "service-account-missing"}, idsOf(found))
	require.Equal(t, []string{"shop/cart"}, found[0].Identities)
}
