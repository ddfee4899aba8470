package chain

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/findings.md")

// TestGenerated holds docs/findings.md against the table of findings. With -update it writes it.
func TestGenerated(t *testing.T) {
	const file, begin, end = "../../../../docs/findings.md", "<!-- begin: the findings -->\n\n", "<!-- end -->"
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(data), begin)
	require.True(t, ok, "%s has no %q", file, begin)
	_, tail, ok := strings.Cut(rest, end)
	require.True(t, ok, "%s has no %q", file, end)
	want := head + begin + Markdown() + end + tail
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o600))
		return
	}
	require.Equal(t, string(data), want, "%s is stale: run `make generate`", file)
}

func TestConfig(t *testing.T) {
	c, ok := configOf("[profile other]\nrole_arn = no\n[default]\nregion = eu-central-1\ncredential_process = /opt/aws_signing_helper credential-process " +
		"--certificate /c/tls.crt --private-key=/c/tls.key --trust-anchor-arn a --profile-arn p --role-arn r --region x --session-duration 900 --role-session-name n\n")
	require.True(t, ok)
	require.Equal(t, Config{Region: "eu-central-1", Process: &Helper{Certificate: "/c/tls.crt", Key: "/c/tls.key", Anchor: "a", Profile: "p", Role: "r", Region: "x", SessionName: "n", Seconds: 900}}, c)
	c, ok = configOf("[default]\nrole_arn = r\nweb_identity_token_file = /t\n")
	require.True(t, ok)
	require.Equal(t, Config{Role: "r", TokenFile: "/t"}, c)
	_, ok = configOf("[default]\nregion = x\n")
	require.False(t, ok)
}

func TestKeySet(t *testing.T) {
	keys, err := keySet([]byte(`{"keys":[{"kty":"RSA","kid":"a","alg":"RS256","n":"n","e":"AQAB"},{"kty":"EC","kid":"b","crv":"P-256","x":"x","y":"y"},{"kty":"oct","kid":"c","k":"secret"}]}`))
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.NotEqual(t, keys[0].Sum, keys[1].Sum)
	again, err := keySet([]byte(`{"keys":[{"kty":"RSA","kid":"other","n":"n","e":"AQAB"}]}`))
	require.NoError(t, err)
	require.Equal(t, keys[0].Sum, again[0].Sum, "the sum is of the key, not of its name")
	for _, bad := range []string{"<html>", "{}", `{"keys":null}`} {
		_, err := keySet([]byte(bad))
		require.Error(t, err)
	}
	none, err := keySet([]byte(`{"keys":[]}`))
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestMaxAge(t *testing.T) {
	require.Equal(t, 300, *maxAge("public, max-age=300"))
	require.Nil(t, maxAge("no-cache"))
	require.Nil(t, maxAge("max-age=soon"))
}

// FuzzParse reads what a cluster and the world hand in, whatever it is.
func FuzzParse(f *testing.F) {
	f.Add("[default]\ncredential_process = x --trust-anchor-arn=a")
	f.Add(`{"keys":[{"kty":"RSA","n":1}]}`)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		if c, ok := configOf(text); !ok && c.Process != nil {
			t.Fatal("a credential_process that is none")
		}
		keys, err := keySet([]byte(text))
		for _, k := range keys {
			if err != nil || k.Sum == "" {
				t.Fatalf("%+v of what is no key set: %v", k, err)
			}
		}
		if c, err := claimsOf(text); err == nil && c == nil {
			t.Fatal("neither claims nor an error")
		}
		var s Secret
		s.pair([]byte(text), []byte(text))
		if s.Problem == "" {
			t.Fatal("a text that is certificate and key at once")
		}
	})
}
