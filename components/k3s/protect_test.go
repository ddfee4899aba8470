package k3s

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProtect holds that what every node and every kubeconfig trusts is
// protected where that is asked for, and nothing else: what is renewed must be
// replaceable.
func TestProtect(t *testing.T) {
	args := labArgs()
	args.Protect, args.SigningKeys = true, nil
	protected := map[string]bool{}
	for _, r := range preview(t, args).Resources() {
		if r.Protect {
			require.True(t, strings.HasPrefix(r.Type, "tls:"), r.Name)
			protected[strings.TrimPrefix(r.Type, "tls:index/")+" "+r.Name] = true
		}
	}
	for _, ca := range []string{"server-root-ca", "server-ca", "client-ca", "request-header-ca", "etcd-peer-ca", "etcd-server-ca"} {
		require.True(t, protected["privateKey:PrivateKey lab-"+ca+"-key"], ca)
		kind := "selfSignedCert:SelfSignedCert lab-"
		if ca == "server-ca" {
			kind = "locallySignedCert:LocallySignedCert lab-"
		}
		require.True(t, protected[kind+ca], ca)
	}
	require.True(t, protected["privateKey:PrivateKey lab-service-key"])
	require.True(t, protected["privateKey:PrivateKey lab-server-token-key"])
	for name := range protected {
		require.NotContains(t, name, "admin", "the kubeconfig's certificate is renewed")
		require.NotContains(t, name, "agent-token")
	}
	for _, r := range preview(t, labArgs()).Resources() {
		require.False(t, r.Protect, r.Name)
	}
}

func TestPermissionsBoundary(t *testing.T) {
	args := labArgs()
	args.PermissionsBoundary = "arn:aws:iam::111122223333:policy/boundary"
	roles := preview(t, args).OfType("aws:iam/role:Role")
	require.Len(t, roles, 2)
	for _, role := range roles {
		require.Equal(t, args.PermissionsBoundary, role.Input("permissionsBoundary"), role.Name)
	}
	args.PermissionsBoundary = "boundary"
	require.ErrorContains(t, args.validate(), `args.PermissionsBoundary: is "boundary"`)
}
