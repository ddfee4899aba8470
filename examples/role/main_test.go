package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/examples/internal/preview"
)

func TestPreview(t *testing.T) {
	config := map[string]string{
		"example:providerArn": "arn:aws:iam::111122223333:oidc-provider/oidc.example.com", "example:issuerHostPath": "oidc.example.com",
		"example:namespace": "shop", "example:serviceAccount": "reader", "example:bucket": "acme-data",
	}
	made, err := preview.Resources(program, config)
	require.NoError(t, err)
	all := strings.Join(made, "\n")
	for _, kind := range []string{"aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"} {
		require.Contains(t, all, kind+" ")
	}

	made, err = preview.Resources(program, nil)
	require.Empty(t, strings.ReplaceAll(strings.Join(made, ""), "pulumi:pulumi:Stack example-preview", ""), "nothing is made of an incomplete configuration")
	for key := range config {
		require.ErrorContains(t, err, key+": found nothing")
	}
}
