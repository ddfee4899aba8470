package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/examples/internal/preview"
)

func TestPreview(t *testing.T) {
	config := map[string]string{
		"example:bucket": "acme-issuer", "aws:region": "eu-central-1", "example:publicKey": key(t),
	}
	preview.Check(t, program, config, "aws:iam/openIdConnectProvider:OpenIdConnectProvider", "aws:s3/bucketPolicy:BucketPolicy")
}

func key(t *testing.T) string {
	t.Helper()
	made, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(made.Public())
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}
