package gate

import (
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/stretchr/testify/require"
)

// groupOf makes a group with a policy, and puts a user into it, who gets a key.
func groupOf(l *lab, group, user, inline string) aws.Config {
	l.t.Helper()
	c := l.iam()
	_, err := c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &group, Path: aws.String("/people/")})
	require.NoError(l.t, err)
	_, err = c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: &group, PolicyName: aws.String("own"), PolicyDocument: &inline})
	require.NoError(l.t, err)
	_, err = c.CreateUser(ctx, &iam.CreateUserInput{UserName: &user})
	require.NoError(l.t, err)
	_, err = c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: &group, UserName: &user})
	require.NoError(l.t, err)
	k, err := c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &user})
	require.NoError(l.t, err)
	return l.config(*k.AccessKey.AccessKeyId, *k.AccessKey.SecretAccessKey, "")
}

func TestUsersHaveTheirGroupsPolicies(t *testing.T) {
	l := newLab(t)
	c := l.iam()
	const list = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*"}]}`
	person := groupOf(l, "people", "jo", list)
	_, err := iam.NewFromConfig(person).ListRoles(ctx, &iam.ListRolesInput{})
	require.NoError(t, err)
	got, err := c.GetGroup(ctx, &iam.GetGroupInput{GroupName: aws.String("people")})
	require.NoError(t, err)
	require.Equal(t, "jo", *got.Users[0].UserName)
	require.True(t, strings.HasPrefix(*got.Group.GroupId, "AGPA"))
	require.Equal(t, "arn:aws:iam::111122223333:group/people/people", *got.Group.Arn)
	of, err := c.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: aws.String("jo")})
	require.NoError(t, err)
	require.Equal(t, "people", *of.Groups[0].GroupName)
	require.Equal(t, []string{"people"}, l.Inventory()["iam group"])

	_, err = c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: aws.String("people")})
	failure(t, err, "DeleteConflict", "must remove users from group first", 409)
	_, err = c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: aws.String("people"), UserName: aws.String("jo")})
	require.NoError(t, err)
	_, err = iam.NewFromConfig(person).ListRoles(ctx, &iam.ListRolesInput{})
	failure(t, err, "AccessDenied", "no identity-based policy allows the iam:ListRoles action", 403)
	_, err = c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: aws.String("people")})
	failure(t, err, "DeleteConflict", "must delete policies first", 409)
	_, err = c.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: aws.String("people"), PolicyName: aws.String("own")})
	require.NoError(t, err)
	_, err = c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: aws.String("people")})
	require.NoError(t, err)
	_, err = c.GetGroup(ctx, &iam.GetGroupInput{GroupName: aws.String("people")})
	failure(t, err, "NoSuchEntity", "The group with name people cannot be found.", 404)
}

func TestAccountAuthorizationDetails(t *testing.T) {
	l := newLab(t)
	c := l.iam()
	groupOf(l, "people", "jo", putOnly)
	l.role("node", trustEC2, putOnly)
	l.role("app", trustAccount, "")
	made, err := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("mine"), PolicyDocument: aws.String(putOnly)})
	require.NoError(t, err)
	_, err = c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: made.Policy.Arn, PolicyDocument: aws.String(strings.ReplaceAll(putOnly, "s3:PutObject", "s3:GetObject")), SetAsDefault: true})
	require.NoError(t, err)
	for _, arn := range []string{*made.Policy.Arn, "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"} {
		_, err = c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: aws.String(arn)})
		require.NoError(t, err)
	}
	_, err = c.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: aws.String("app"), PermissionsBoundary: made.Policy.Arn})
	require.NoError(t, err)
	_, err = c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("machines")})
	require.NoError(t, err)
	_, err = c.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("machines"), RoleName: aws.String("node")})
	require.NoError(t, err)

	// However it is cut, it is the same.
	type all struct {
		users, groups, roles, policies []string
	}
	read := func(size int32, filter ...types.EntityType) (names all, pages int) {
		in := &iam.GetAccountAuthorizationDetailsInput{Filter: filter}
		if size > 0 {
			in.MaxItems = &size
		}
		p := iam.NewGetAccountAuthorizationDetailsPaginator(c, in)
		for p.HasMorePages() {
			page, err := p.NextPage(ctx)
			require.NoError(t, err)
			pages++
			for _, x := range page.UserDetailList {
				names.users = append(names.users, *x.UserName)
			}
			for _, x := range page.GroupDetailList {
				names.groups = append(names.groups, *x.GroupName)
			}
			for _, x := range page.RoleDetailList {
				names.roles = append(names.roles, *x.RoleName)
			}
			for _, x := range page.Policies {
				names.policies = append(names.policies, *x.PolicyName)
			}
		}
		return names, pages
	}
	want := all{[]string{"admin", "jo"}, []string{"people"}, []string{"app", "node"}, []string{"mine", "AdministratorAccess", "AmazonS3ReadOnlyAccess"}}
	for size := range int32(9) {
		got, pages := read(size)
		require.Equal(t, want, got)
		if size == 1 {
			require.Equal(t, 8, pages)
		}
	}
	got, _ := read(0, types.EntityTypeGroup, types.EntityTypeLocalManagedPolicy)
	require.Equal(t, all{groups: want.groups, policies: want.policies[:1]}, got)

	out, err := c.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{})
	require.NoError(t, err)
	plain := func(document *string) string {
		require.NotContains(t, *document, "{")
		text, err := url.QueryUnescape(*document)
		require.NoError(t, err)
		return text
	}
	app, node := out.RoleDetailList[0], out.RoleDetailList[1]
	require.Equal(t, trustAccount, plain(app.AssumeRolePolicyDocument))
	require.Equal(t, *made.Policy.Arn, *app.PermissionsBoundary.PermissionsBoundaryArn)
	require.Len(t, app.AttachedManagedPolicies, 2)
	require.Equal(t, putOnly, plain(node.RolePolicyList[0].PolicyDocument))
	require.Equal(t, "machines", *node.InstanceProfileList[0].InstanceProfileName)
	require.Equal(t, []string{"people"}, out.UserDetailList[1].GroupList)
	require.Equal(t, putOnly, plain(out.GroupDetailList[0].GroupPolicyList[0].PolicyDocument))
	require.Equal(t, "v2", *out.Policies[0].DefaultVersionId)
	require.Len(t, out.Policies[0].PolicyVersionList, 2)
	require.True(t, out.Policies[0].PolicyVersionList[0].IsDefaultVersion)
	require.Contains(t, plain(out.Policies[0].PolicyVersionList[0].Document), "s3:GetObject")
	require.Equal(t, int32(1), *out.Policies[0].PermissionsBoundaryUsageCount)

	_, err = c.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{"Policy"}})
	failure(t, err, "ValidationError", "enum value set", 400)
	reader := l.assume(l.admin(), l.role("reader", trustAccount, putOnly), "someone")
	_, err = iam.NewFromConfig(reader).GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{})
	failure(t, err, "AccessDenied", "is not authorized to perform: iam:GetAccountAuthorizationDetails", 403)
}
