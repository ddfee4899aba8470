package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/examples/internal/preview"
)

func TestPreview(t *testing.T) {
	config := map[string]string{
		"example:kubeconfig":  `{"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "clusters": [{"name": "c", "cluster": {"server": "https://c.example.com"}}], "users": [{"name": "u", "user": {"token": "t"}}]}`,
		"example:providerArn": "arn:aws:iam::111122223333:oidc-provider/oidc.example.com", "example:issuerHostPath": "oidc.example.com",
		"example:namespace": "shop", "example:serviceAccount": "reader", "example:policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess",
		"aws:region": "eu-central-1",
	}
	made, err := preview.Resources(program, config)
	require.NoError(t, err)
	all := strings.Join(made, "\n")
	for _, kind := range []string{"aws:iam/role:Role", "aws:iam/rolePolicyAttachment:RolePolicyAttachment", "kubernetes:core/v1:Namespace", "kubernetes:core/v1:ServiceAccount"} {
		require.Contains(t, all, kind+" ")
	}

	made, err = preview.Resources(program, nil)
	require.Empty(t, strings.ReplaceAll(strings.Join(made, ""), "pulumi:pulumi:Stack example-preview", ""), "nothing is made of an incomplete configuration")
	for key := range config {
		require.ErrorContains(t, err, key+": found nothing")
	}
}
