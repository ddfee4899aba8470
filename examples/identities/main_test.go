package main

import (
	"testing"

	"k3s-aws-auth/examples/internal/preview"
)

func TestPreview(t *testing.T) {
	config := map[string]string{
		"example:kubeconfig":  `{"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "clusters": [{"name": "c", "cluster": {"server": "https://c.example.com"}}], "users": [{"name": "u", "user": {"token": "t"}}]}`,
		"example:providerArn": "arn:aws:iam::111122223333:oidc-provider/oidc.example.com", "example:issuerHostPath": "oidc.example.com",
		"example:namespace": "shop", "example:serviceAccount": "reader", "example:policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess",
		"aws:region": "eu-central-1",
	}
	preview.Check(t, program, config, "aws:iam/role:Role", "aws:iam/rolePolicyAttachment:RolePolicyAttachment", "kubernetes:core/v1:Namespace", "kubernetes:core/v1:ServiceAccount")
}
