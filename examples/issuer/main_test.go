package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/examples/internal/preview"
)

func TestPreview(t *testing.T) {
	config := map[string]string{
		"example:bucket": "acme-issuer", "aws:region": "eu-central-1", "example:publicKey": key(t),
	}
	made, err := preview.Resources(program, config)
	require.NoError(t, err)
	all := strings.Join(made, "\n")
	for _, kind := range []string{"aws:iam/openIdConnectProvider:OpenIdConnectProvider", "aws:s3/bucketPolicy:BucketPolicy"} {
		require.Contains(t, all, kind+" ")
	}

	made, err = preview.Resources(program, nil)
	require.Empty(t, strings.ReplaceAll(strings.Join(made, ""), "pulumi:pulumi:Stack example-preview", ""), "nothing is made of an incomplete configuration")
	for key := range config {
		require.ErrorContains(t, err, key+": found nothing")
	}
}

func key(t *testing.T) string {
	t.Helper()
	made, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(made.Public())
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}
