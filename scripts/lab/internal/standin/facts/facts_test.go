package facts

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/lab/internal/standin/facts/distill"
)

// TestTablesMatchTheSchema holds the committed tables against the schema facts. `go generate` rewrites them; this test
// still fails in the run that finds them different.
func TestTablesMatchTheSchema(t *testing.T) {
	data, err := os.ReadFile("schema.json")
	require.NoError(t, err)
	tables, err := distill.Tables(data)
	require.NoError(t, err)
	for pkg, want := range tables {
		got, err := os.ReadFile(pkg + ".json")
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s.json is not what the schema facts say: run go generate", pkg)
	}
}

// TestTypesBesideTheSchema holds that the table kept by hand repeats nothing, and that its properties are there.
func TestTypesBesideTheSchema(t *testing.T) {
	generated, more := mustParse(awsJSON), mustParse(awsMore)
	for token := range more {
		require.NotContains(t, generated, token)
		require.Contains(t, AWS(), token)
	}
	nat, endpoint := AWS()["aws:ec2/natGateway:NatGateway"], AWS()["aws:ec2/vpcEndpoint:VpcEndpoint"]
	require.True(t, nat.Property("allocationId").ForceNew, "another address is another gateway")
	require.False(t, endpoint.Property("subnetIds").ForceNew, "endpoints move in place")
	require.True(t, endpoint.Property("serviceName").ForceNew)
	require.Equal(t, "Gateway", endpoint.Property("vpcEndpointType").DefaultValue)
	require.Equal(t, "json", endpoint.Property("policy").Format)
}

func TestTableShape(t *testing.T) {
	table := AWS()
	role := table["aws:iam/role:Role"]
	require.NotNil(t, role)
	require.True(t, role.HasTags())
	require.Equal(t, "json", role.Property("assumeRolePolicy").Format)
	require.True(t, role.Property("assumeRolePolicy").Required)
	require.True(t, role.Property("name").ForceNew)
	require.EqualValues(t, 3600, role.Property("maxSessionDuration").DefaultValue)
	require.Equal(t, 43200, *role.Property("maxSessionDuration").Max)
	require.Equal(t, []string{"namePrefix"}, role.Property("name").Conflicts)
	require.Equal(t, 64, role.AutoName.MaxLen)
	require.Equal(t, []string{"BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced"},
		table["aws:s3/bucketOwnershipControls:BucketOwnershipControls"].Property("rule.objectOwnership").Enum)
	require.True(t, table["aws:iam/rolePolicyAttachment:RolePolicyAttachment"].DeleteBeforeReplace)
	require.Nil(t, table["aws:acm/certificate:Certificate"].Property("keyAlgorithm").Enum, "an open list refuses nothing")
	require.Equal(t, []string{"privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"},
		TLS()["tls:index/privateKey:PrivateKey"].SecretOutputs)
	require.True(t, table["aws:ssm/getParameter:getParameter"].Function)
}
