package instanceprofile

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/internal/pulumitest"
)

const readOnly = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"

// run names roles and profiles as the provider would.
func run(t *testing.T, program pulumi.RunFunc) (*pulumitest.Recorder, error) {
	t.Helper()
	return pulumitest.Run(t, pulumitest.Options{
		Outputs: func(r pulumitest.Resource) resource.PropertyMap {
			if r.Type != "aws:iam/role:Role" && r.Type != "aws:iam/instanceProfile:InstanceProfile" {
				return nil
			}
			return resource.NewPropertyMapFromMap(map[string]any{
				"name": r.Name + "-0a1b2c3",
				"arn":  "arn:aws:iam::111122223333:thing/" + r.Name + "-0a1b2c3",
			})
		},
		Call: func(string, resource.PropertyMap) (resource.PropertyMap, error) {
			return resource.NewPropertyMapFromMap(map[string]any{"partition": "aws", "dnsSuffix": "amazonaws.com"}), nil
		},
	}, program)
}

func TestNewInstanceProfile(t *testing.T) {
	outputs := map[string]string{}
	recorder, err := run(t, func(ctx *pulumi.Context) error {
		profile, err := NewInstanceProfile(ctx, "lab-agent", &InstanceProfileArgs{
			Statements: []iampolicy.Statement{{
				Actions:   []string{"s3:PutObject"},
				Resources: []string{"arn:aws:s3:::lab-demo/uploader/*"},
			}},
			Policies:            map[string]pulumi.StringInput{"boot": pulumi.String(`{"Version":"2012-10-17","Statement":[]}`)},
			ManagedPolicyArns:   []string{readOnly},
			PermissionsBoundary: "arn:aws:iam::111122223333:policy/boundary",
			Tags:                map[string]string{"team": "platform"},
		})
		if err != nil {
			return err
		}
		for key, output := range map[string]pulumi.StringOutput{
			"roleName": profile.RoleName, "roleArn": profile.RoleArn, "profileName": profile.ProfileName,
		} {
			ctx.Export(key, output.ApplyT(func(value string) string { outputs[key] = value; return value }))
		}
		return nil
	})
	require.NoError(t, err)
	pulumitest.Golden(t, "resources.golden", recorder.Graph())
	require.Equal(t, map[string]string{
		"roleName":    "lab-agent-role-0a1b2c3",
		"roleArn":     "arn:aws:iam::111122223333:thing/lab-agent-role-0a1b2c3",
		"profileName": "lab-agent-0a1b2c3",
	}, outputs)

	role := recorder.Find(t, "aws:iam/role:Role", "lab-agent-role")
	pulumitest.Golden(t, "trust.json", pulumitest.IndentJSON(t, role.Inputs["assumeRolePolicy"].StringValue()))
	require.Equal(t, "arn:aws:iam::111122223333:policy/boundary", role.Inputs["permissionsBoundary"].StringValue())
	require.Equal(t, "platform", role.Inputs["tags"].ObjectValue()["team"].StringValue())
	require.False(t, role.Inputs.HasValue("name"), "the role's name is AWS's business")
	require.False(t, role.Inputs.HasValue("inlinePolicies"), "inline and separate policies remove each other")
	statements := recorder.Find(t, "aws:iam/rolePolicy:RolePolicy", "lab-agent-statements")
	pulumitest.Golden(t, "statements.json", pulumitest.IndentJSON(t, statements.Inputs["policy"].StringValue()))
	require.Equal(t, "lab-agent-role-0a1b2c3", statements.Inputs["role"].StringValue(), "a policy takes the role's name, not its ARN")
	require.Len(t, recorder.OfType("aws:iam/rolePolicyAttachment:RolePolicyAttachment"), 1)
	profile := recorder.Find(t, "aws:iam/instanceProfile:InstanceProfile", "lab-agent")
	require.Equal(t, "lab-agent-role-0a1b2c3", profile.Inputs["role"].StringValue())
}

func TestNewInstanceProfileWithoutPermissions(t *testing.T) {
	recorder, err := run(t, func(ctx *pulumi.Context) error {
		_, err := NewInstanceProfile(ctx, "plain", &InstanceProfileArgs{})
		return err
	})
	require.NoError(t, err)
	require.Empty(t, recorder.OfType("aws:iam/rolePolicy:RolePolicy"))
	require.False(t, recorder.Find(t, "aws:iam/role:Role", "plain-role").Inputs.HasValue("permissionsBoundary"))
}

func TestNewInstanceProfileRefuses(t *testing.T) {
	good := iampolicy.Statement{Actions: []string{"s3:PutObject"}, Resources: []string{"*"}}
	tests := []struct {
		name string
		args *InstanceProfileArgs
		want []string
	}{
		{"nil", nil, []string{"args are nil"}},
		{"nil policy", &InstanceProfileArgs{Policies: map[string]pulumi.StringInput{"a": nil}}, []string{"Policies[a]: is nil"}},
		{"no name", &InstanceProfileArgs{Policies: map[string]pulumi.StringInput{"": pulumi.String("{}")}}, []string{"has no name"}},
		{"taken name", &InstanceProfileArgs{
			Statements: []iampolicy.Statement{good},
			Policies:   map[string]pulumi.StringInput{"statements": pulumi.String("{}")},
		}, []string{"Policies[statements]"}},
		{"bad statement", &InstanceProfileArgs{Statements: []iampolicy.Statement{good, {Actions: []string{"PutObject"}}}},
			[]string{"Statements: statement 1"}},
		{"bad ARNs", &InstanceProfileArgs{ManagedPolicyArns: []string{"ReadOnly", readOnly, readOnly}},
			[]string{"ManagedPolicyArns[0]", "ManagedPolicyArns[2]", "listed twice"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			recorder, err := run(t, func(ctx *pulumi.Context) error {
				_, err := NewInstanceProfile(ctx, "lab", tt.args)
				return err
			})
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.Empty(t, recorder.Resources(), "something was registered before the error")
		})
	}
}

func TestAttachmentName(t *testing.T) {
	here := attachmentName("arn:aws:iam::111122223333:policy/team/Uploader")
	there := attachmentName("arn:aws:iam::444455556666:policy/team/Uploader")
	require.True(t, strings.HasPrefix(here, "Uploader-"), here)
	require.NotEqual(t, here, there)
	require.Equal(t, here, attachmentName("arn:aws:iam::111122223333:policy/team/Uploader"))
}
