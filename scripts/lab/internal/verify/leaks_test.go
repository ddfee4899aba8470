package verify

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/stack"
)

const token = "K10aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa::server:0123456789abcdef0123456789abcdef"

// newKey returns a private key, a line of it that is secret, and its public half.
func newKey(t *testing.T) (key, line, public string) {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	key = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}))
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	require.NoError(t, err)
	public = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})) +
		base64.RawURLEncoding.EncodeToString(k.N.Bytes())
	return key, strings.Split(key, "\n")[15], public
}

func stateWith(t *testing.T, secrets ...any) *Secrets {
	t.Helper()
	outputs := map[string]any{"plain": "nothing to hide here"}
	for i, s := range secrets {
		text, err := json.Marshal(s)
		require.NoError(t, err)
		outputs[string(rune('a'+i))] = map[string]any{stack.SignatureKey: stack.SecretSignature, "plaintext": string(text)}
	}
	data, err := json.Marshal(map[string]any{"resources": []any{
		map[string]any{"urn": "urn:x", "type": "t", "outputs": outputs}}})
	require.NoError(t, err)
	s, err := ParseSecrets(data)
	require.NoError(t, err)
	return s
}

func TestLeaks(t *testing.T) {
	key, keyLine, public := newKey(t)
	kubeconfig := "apiVersion: v1\nusers:\n- user:\n    client-key-data: " + base64.StdEncoding.EncodeToString([]byte(key)) + "\n"
	for name, tt := range map[string]struct {
		secret any
		place  string
		leaks  bool
	}{
		"a line of a key":                   {key, "x " + keyLine + " x", true},
		"a key in base64":                   {strings.Repeat(key, 2), base64.StdEncoding.EncodeToString([]byte(strings.Repeat(key, 2))), true},
		"a token":                           {token, "token: " + token, true},
		"a token's password":                {token, "0123456789abcdef0123456789abcdef", true},
		"the key of a kubeconfig":           {kubeconfig, "k: " + base64.StdEncoding.EncodeToString([]byte(key)), true},
		"a secret below others":             {map[string]any{"list": []any{token}}, token, true},
		"the public half of a key":          {key, public, false},
		"what a kubeconfig has of no worth": {kubeconfig, "apiVersion: v1\nusers:\n- user:\n", false},
		"an address that a secret has":      {"https://127.20.0.1:6443", "https://127.20.0.1:6443", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := stateWith(t, tt.secret).Leaks([]Place{{Name: "there", Data: []byte(tt.place)}})
			if !tt.leaks {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "there has a secret in plain")
			require.NotContains(t, err.Error(), keyLine)
			require.NotContains(t, err.Error(), token)
		})
	}
}
