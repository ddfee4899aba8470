package gate

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/policy"
)

var ctx = context.Background()

func TestRoleLifecycle(t *testing.T) {
	l := newLab(t)
	c := l.iam()
	name := aws.String("app")
	made, err := c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, Path: aws.String("/pods/"), AssumeRolePolicyDocument: aws.String(trustEC2),
		Description: aws.String("a <role>"), MaxSessionDuration: aws.Int32(7200), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}})
	require.NoError(t, err)
	require.Equal(t, "arn:aws:iam::111122223333:role/pods/app", *made.Role.Arn)
	require.True(t, strings.HasPrefix(*made.Role.RoleId, "AROA"))
	require.Len(t, *made.Role.RoleId, 21)

	got, err := c.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	require.NoError(t, err)
	document, err := url.QueryUnescape(*got.Role.AssumeRolePolicyDocument)
	require.NoError(t, err)
	require.Equal(t, trustEC2, document)
	require.Equal(t, int32(7200), *got.Role.MaxSessionDuration)
	require.Equal(t, "a <role>", *got.Role.Description)
	require.Equal(t, "red", *got.Role.Tags[0].Value)
	require.NotNil(t, got.Role.CreateDate)

	_, err = c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("APP"), AssumeRolePolicyDocument: aws.String(trustEC2)})
	failure(t, err, "EntityAlreadyExists", "Role with name APP already exists.", 409)
	_, err = c.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("other")})
	failure(t, err, "NoSuchEntity", "The role with name other cannot be found.", 404)

	_, err = c.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name, MaxSessionDuration: aws.Int32(3600)})
	require.NoError(t, err)
	_, err = c.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name, MaxSessionDuration: aws.Int32(43201)})
	failure(t, err, "ValidationError", "less than or equal to 43200", 400)
	_, err = c.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: aws.String(trustAccount)})
	require.NoError(t, err)

	_, err = c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("put"), PolicyDocument: aws.String(putOnly)})
	require.NoError(t, err)
	inline, err := c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: aws.String("put")})
	require.NoError(t, err)
	document, err = url.QueryUnescape(*inline.PolicyDocument)
	require.NoError(t, err)
	require.Equal(t, putOnly, document)
	require.Equal(t, "app", *inline.RoleName)
	names, err := c.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: name})
	require.NoError(t, err)
	require.Equal(t, []string{"put"}, names.PolicyNames)
	_, err = c.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: aws.String("nope")})
	failure(t, err, "NoSuchEntity", "The role policy with name nope cannot be found.", 404)

	ssmCore := aws.String("arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")
	_, err = c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: ssmCore})
	require.NoError(t, err)
	_, err = c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: aws.String("arn:aws:iam::aws:policy/Unknown")})
	failure(t, err, "NoSuchEntity", "Policy arn:aws:iam::aws:policy/Unknown does not exist or is not attachable.", 404)
	attached, err := c.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name})
	require.NoError(t, err)
	require.Equal(t, "AmazonSSMManagedInstanceCore", *attached.AttachedPolicies[0].PolicyName)

	_, err = c.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []types.Tag{{Key: aws.String("Team"), Value: aws.String("blue")}, {Key: aws.String("x"), Value: aws.String("")}}})
	require.NoError(t, err)
	_, err = c.UntagRole(ctx, &iam.UntagRoleInput{RoleName: name, TagKeys: []string{"x"}})
	require.NoError(t, err)
	tags, err := c.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: name})
	require.NoError(t, err)
	require.Len(t, tags.Tags, 1)
	require.Equal(t, "blue", *tags.Tags[0].Value)
	_, err = c.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []types.Tag{{Key: aws.String("aws:x"), Value: aws.String("")}}})
	failure(t, err, "InvalidInput", "", 400)

	_, err = c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	failure(t, err, "DeleteConflict", "Cannot delete entity, must detach all policies first.", 409)
	_, err = c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: ssmCore})
	require.NoError(t, err)
	_, err = c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: ssmCore})
	failure(t, err, "NoSuchEntity", "", 404)
	_, err = c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	failure(t, err, "DeleteConflict", "Cannot delete entity, must delete policies first.", 409)
	_, err = c.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("put")})
	require.NoError(t, err)
	_, err = c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: name})
	require.NoError(t, err)
	_, err = c.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: name})
	require.NoError(t, err)
	_, err = c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	failure(t, err, "DeleteConflict", "must remove roles from instance profile first", 409)
	profiles, err := c.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: name})
	require.NoError(t, err)
	require.Equal(t, "app", *profiles.InstanceProfiles[0].Roles[0].RoleName)
	_, err = c.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name, RoleName: name})
	require.NoError(t, err)
	_, err = c.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: name})
	require.NoError(t, err)
	_, err = c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	require.NoError(t, err)
	require.Empty(t, l.Inventory())
}

func TestMalformedDocuments(t *testing.T) {
	l := newLab(t)
	c := l.iam()
	l.role("there", trustAccount, "")
	for name, x := range map[string]struct{ trust, want string }{
		"not JSON":           {`{`, "Syntax errors in policy"},
		"resource":           {`{"Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole","Resource":"*"}}`, "Has prohibited field Resource"},
		"no principal":       {`{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole"}}`, "Missing required field Principal"},
		"other action":       {`{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject"}}`, "AssumeRole policy may only specify STS AssumeRole actions."},
		"role not there":     {`{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/nope"},"Action":"sts:AssumeRole"}}`, `Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:role/nope"`},
		"not an ARN":         {`{"Statement":{"Effect":"Allow","Principal":{"AWS":"someone"},"Action":"sts:AssumeRole"}}`, `Invalid principal in policy: "AWS":"someone"`},
		"service":            {`{"Statement":{"Effect":"Allow","Principal":{"Service":"ec2"},"Action":"sts:AssumeRole"}}`, `Invalid principal in policy: "SERVICE":"ec2"`},
		"federated":          {`{"Statement":{"Effect":"Allow","Principal":{"Federated":"https://x"},"Action":"sts:AssumeRoleWithWebIdentity"}}`, "Federated principals must be valid domain names"},
		"unknown operator":   {`{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringMatches":{"a:b":"c"}}}}`, "Invalid Condition type : StringMatches."},
		"role there":         {`{"Statement":{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:role/there","arn:aws:iam::111122223333:user/admin","444455556666"]},"Action":"sts:AssumeRole"}}`, ""},
		"provider elsewhere": {`{"Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/issuer"},"Action":"sts:AssumeRoleWithWebIdentity"}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r-" + strings.ReplaceAll(name, " ", "-")), AssumeRolePolicyDocument: &x.trust})
			if x.want == "" {
				require.NoError(t, err)
				return
			}
			failure(t, err, "MalformedPolicyDocument", x.want, 400)
		})
	}
	_, err := c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("there"), PolicyName: aws.String("x"), PolicyDocument: aws.String(trustEC2)})
	failure(t, err, "MalformedPolicyDocument", "should not specify a principal", 400)
	long := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":["arn:aws:s3:::` + strings.Repeat("x", 10300) + `"]}]}`
	_, err = c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("there"), PolicyName: aws.String("x"), PolicyDocument: &long})
	failure(t, err, "LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role there", 409)
	_, err = c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("x"), PolicyDocument: &long})
	failure(t, err, "LimitExceeded", "PolicySize: 6144", 409)
	for field, in := range map[string]*iam.CreateRoleInput{
		"name":     {RoleName: aws.String("a b"), AssumeRolePolicyDocument: aws.String(trustEC2)},
		"long":     {RoleName: aws.String(strings.Repeat("a", 65)), AssumeRolePolicyDocument: aws.String(trustEC2)},
		"path":     {RoleName: aws.String("ab"), Path: aws.String("x"), AssumeRolePolicyDocument: aws.String(trustEC2)},
		"duration": {RoleName: aws.String("ab"), MaxSessionDuration: aws.Int32(900), AssumeRolePolicyDocument: aws.String(trustEC2)},
	} {
		_, err := c.CreateRole(ctx, in)
		require.Error(t, err, field)
		failure(t, err, "ValidationError", "", 400)
	}
	_, err = c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("ab"), PermissionsBoundary: aws.String("arn:aws:iam::111122223333:policy/none"), AssumeRolePolicyDocument: aws.String(trustEC2)})
	failure(t, err, "NoSuchEntity", "", 404)
}

func TestManagedPolicies(t *testing.T) {
	l := newLab(t)
	withObjects(l)
	c := l.iam()
	made, err := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("put"), PolicyDocument: aws.String(putOnly), Description: aws.String("d")})
	require.NoError(t, err)
	arn := made.Policy.Arn
	require.Equal(t, "arn:aws:iam::111122223333:policy/put", *arn)
	require.Equal(t, "v1", *made.Policy.DefaultVersionId)
	_, err = c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("put"), PolicyDocument: aws.String(putOnly)})
	failure(t, err, "EntityAlreadyExists", "", 409)
	role := l.role("app", trustAccount, "")
	_, err = c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: arn})
	require.NoError(t, err)
	session := l.assume(l.admin(), role, "pod")
	require.NoError(t, put(session, "in/a", ""))

	nothing := strings.Replace(putOnly, "s3:PutObject", "s3:GetObject", 1)
	v2, err := c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &nothing, SetAsDefault: true})
	require.NoError(t, err)
	require.Equal(t, "v2", *v2.PolicyVersion.VersionId)
	failure(t, put(session, "in/a", ""), "AccessDenied", "", 403)
	_, err = c.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")})
	require.NoError(t, err)
	require.NoError(t, put(session, "in/a", ""))
	_, err = c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")})
	failure(t, err, "DeleteConflict", "Cannot delete the default version of a policy.", 409)
	for i := 3; i <= 5; i++ {
		_, err = c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: aws.String(putOnly)})
		require.NoError(t, err)
	}
	_, err = c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: aws.String(putOnly)})
	failure(t, err, "LimitExceeded", "up to 5 versions", 409)
	version, err := c.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")})
	require.NoError(t, err)
	document, _ := url.QueryUnescape(*version.PolicyVersion.Document)
	require.Equal(t, nothing, document)
	versions, err := c.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn})
	require.NoError(t, err)
	require.Len(t, versions.Versions, 5)
	entities, err := c.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: arn})
	require.NoError(t, err)
	require.Equal(t, "app", *entities.PolicyRoles[0].RoleName)
	got, err := c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn})
	require.NoError(t, err)
	require.Equal(t, int32(1), *got.Policy.AttachmentCount)
	_, err = c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
	failure(t, err, "DeleteConflict", "Cannot delete a policy attached to entities.", 409)
	_, err = c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: arn})
	require.NoError(t, err)
	_, err = c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
	failure(t, err, "DeleteConflict", "more than one version", 409)
	for _, v := range versions.Versions {
		if !v.IsDefaultVersion {
			_, err = c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: v.VersionId})
			require.NoError(t, err)
		}
	}
	_, err = c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
	require.NoError(t, err)
	_, err = c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn})
	failure(t, err, "NoSuchEntity", "", 404)

	admin := aws.String("arn:aws:iam::aws:policy/AdministratorAccess")
	_, err = c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: admin})
	require.NoError(t, err)
	_, err = c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: admin})
	failure(t, err, "AccessDenied", "", 403)
	all, err := c.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeAws})
	require.NoError(t, err)
	require.Len(t, all.Policies, len(policy.AWSManaged))
}

func TestPages(t *testing.T) {
	l := newLab(t)
	for i := range 5 {
		l.role(fmt.Sprintf("role-%d", i), trustEC2, "")
	}
	var names []string
	pages := iam.NewListRolesPaginator(l.iam(), &iam.ListRolesInput{MaxItems: aws.Int32(2)})
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		require.NoError(t, err)
		n++
		for _, r := range page.Roles {
			names = append(names, *r.RoleName)
		}
	}
	require.Equal(t, 3, n)
	require.Equal(t, []string{"role-0", "role-1", "role-2", "role-3", "role-4"}, names)
	_, err := l.iam().ListRoles(ctx, &iam.ListRolesInput{MaxItems: aws.Int32(1001)})
	failure(t, err, "ValidationError", "", 400)
}

func TestUsersAndKeys(t *testing.T) {
	l := newLab(t)
	withObjects(l)
	c := l.iam()
	who, err := c.GetUser(ctx, &iam.GetUserInput{})
	require.NoError(t, err)
	require.Equal(t, "admin", *who.User.UserName)
	_, err = c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("ann")})
	require.NoError(t, err)
	key, err := c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("ann")})
	require.NoError(t, err)
	ann := l.config(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	failure(t, put(ann, "in/x", ""), "AccessDenied", "User: arn:aws:iam::111122223333:user/ann is not authorized", 403)
	home := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::demo/${aws:username}/*"}]}`
	_, err = c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("home"), PolicyDocument: &home})
	require.NoError(t, err)
	require.NoError(t, put(ann, "ann/x", ""))
	failure(t, put(ann, "bob/x", ""), "AccessDenied", "", 403)
	_, err = c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: aws.String("ann"), AccessKeyId: key.AccessKey.AccessKeyId, Status: types.StatusTypeInactive})
	require.NoError(t, err)
	failure(t, put(ann, "ann/x", ""), "InvalidAccessKeyId", "", 403)
	_, err = c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("ann")})
	failure(t, err, "DeleteConflict", "must delete access keys first", 409)
	keys, err := c.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: aws.String("ann")})
	require.NoError(t, err)
	require.Len(t, keys.AccessKeyMetadata, 1)
	_, err = c.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: aws.String("ann"), AccessKeyId: key.AccessKey.AccessKeyId})
	require.NoError(t, err)
	_, err = c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String("ann"), PolicyName: aws.String("home")})
	require.NoError(t, err)
	_, err = c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("ann")})
	require.NoError(t, err)
	require.NotContains(t, l.Inventory(), "iam user")
}

func TestProviders(t *testing.T) {
	l := newLab(t)
	c := l.iam()
	newSite(l, "issuer.example.com")
	create := func(url string, thumbprints ...string) (*iam.CreateOpenIDConnectProviderOutput, error) {
		return c.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: &url, ClientIDList: []string{"sts.amazonaws.com"}, ThumbprintList: thumbprints})
	}
	for _, url := range []string{"http://issuer.example.com", "https://issuer.example.com:8443", "https://issuer.example.com/?x=1", "https://issuer.example.com/#a", "issuer.example.com", "https://"} {
		_, err := create(url)
		failure(t, err, "ValidationError", "Invalid Open ID Connect Provider URL", 400)
	}
	_, err := create("https://nowhere.example.com")
	failure(t, err, "OpenIdIdpCommunicationError", "https://nowhere.example.com", 400)
	_, err = create("https://nowhere.example.com", "xyz")
	failure(t, err, "InvalidInput", "", 400)

	made, err := create("https://issuer.example.com/path")
	require.NoError(t, err)
	require.Equal(t, "arn:aws:iam::111122223333:oidc-provider/issuer.example.com/path", *made.OpenIDConnectProviderArn)
	_, err = create("https://issuer.example.com/path")
	failure(t, err, "EntityAlreadyExists", "Provider with url https://issuer.example.com/path already exists.", 409)
	arn := made.OpenIDConnectProviderArn
	got, err := c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	require.NoError(t, err)
	require.Equal(t, "issuer.example.com/path", *got.Url)
	require.Equal(t, []string{"sts.amazonaws.com"}, got.ClientIDList)
	require.Equal(t, []string{thumbprintOf(l.web.cert)}, got.ThumbprintList, "the top of the chain that IAM was shown")
	_, err = c.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("other")})
	require.NoError(t, err)
	_, err = c.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("sts.amazonaws.com")})
	require.NoError(t, err)
	_, err = c.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{}})
	require.Error(t, err, "thumbprints cannot be cleared")
	_, err = c.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{strings.Repeat("AB", 20)}})
	require.NoError(t, err)
	_, err = c.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	require.NoError(t, err)
	got, err = c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	require.NoError(t, err)
	require.Equal(t, []string{"other"}, got.ClientIDList)
	require.Equal(t, []string{strings.Repeat("ab", 20)}, got.ThumbprintList)
	require.Len(t, got.Tags, 1)
	list, err := c.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{})
	require.NoError(t, err)
	require.Len(t, list.OpenIDConnectProviderList, 1)
	_, err = c.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	require.NoError(t, err)
	_, err = c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	failure(t, err, "NoSuchEntity", "OpenIDConnect Provider not found for arn", 404)
}

func TestUnknownActionIsNotImplemented(t *testing.T) {
	l := newLab(t)
	_, err := l.iam().CreateSAMLProvider(ctx, &iam.CreateSAMLProviderInput{Name: aws.String("s"), SAMLMetadataDocument: aws.String(strings.Repeat("x", 1000))})
	failure(t, err, "NotImplemented", "iam:CreateSAMLProvider is not implemented by this lab", 501)
	_, err = sts.NewFromConfig(l.admin()).GetSessionToken(ctx, nil)
	failure(t, err, "NotImplemented", "sts:GetSessionToken", 501)
}

func TestPassRole(t *testing.T) {
	l := newLab(t)
	c := l.iam()
	l.role("node", trustEC2, "")
	builder := l.role("builder", trustAccount, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:CreateInstanceProfile","iam:AddRoleToInstanceProfile"],"Resource":"*"},
{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}}]}`)
	_, err := c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("node")})
	require.NoError(t, err)
	session := iam.NewFromConfig(l.assume(l.admin(), builder, "ci"))
	_, err = session.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("node"), RoleName: aws.String("node")})
	failure(t, err, "AccessDenied", "is not authorized to perform: iam:PassRole on resource: arn:aws:iam::111122223333:role/node", http.StatusForbidden)
}
