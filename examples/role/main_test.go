package main

import (
	"testing"

	"k3s-aws-auth/examples/internal/preview"
)

func TestPreview(t *testing.T) {
	config := map[string]string{
		"example:providerArn": "arn:aws:iam::111122223333:oidc-provider/oidc.example.com", "example:issuerHostPath": "oidc.example.com",
		"example:namespace": "shop", "example:serviceAccount": "reader", "example:bucket": "acme-data",
	}
	preview.Check(t, program, config, "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy")
}
