package services_test

import (
	"bytes"
	"net/http"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	ratypes "github.com/aws/aws-sdk-go-v2/service/rolesanywhere/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"
)

const (
	ec2Trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	readS3   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
)

func iamTags(name string) []iamtypes.Tag {
	return []iamtypes.Tag{{Key: aws.String("Name"), Value: &name}}
}

// TestProviderRole follows a role with its policies, their attachment and an instance profile: iam/role.go, role_policy.go,
// role_policy_attachment.go, policy.go, instance_profile.go.
func TestProviderRole(t *testing.T) {
	p := newPublished(t).deploying("aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy", "aws:iam/rolePolicyAttachment:RolePolicyAttachment", "aws:iam/instanceProfile:InstanceProfile")
	c := iam.NewFromConfig(p.at(region))
	name := aws.String("node-1a2b3c4")
	// retryCreateRole takes "Invalid principal in policy" for a principal that is not there yet.
	_, err := c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("early"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:role/absent"},"Action":"sts:AssumeRole"}]}`)})
	requireCode(t, err, "MalformedPolicyDocument", "Invalid principal in policy")
	do(t, c.CreateRole, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(ec2Trust), Path: aws.String("/"), Description: aws.String("nodes"),
		MaxSessionDuration: aws.Int32(3600), Tags: iamTags("node")})
	read := func() *iamtypes.Role {
		role := do(t, c.GetRole, &iam.GetRoleInput{RoleName: name}).Role
		do(t, c.ListRolePolicies, &iam.ListRolePoliciesInput{RoleName: name})
		do(t, c.ListAttachedRolePolicies, &iam.ListAttachedRolePoliciesInput{RoleName: name})
		return role
	}
	role := read()
	require.Equal(t, "arn:aws:iam::"+account+":role/"+*name, *role.Arn)
	require.NotNil(t, role.CreateDate)
	require.EqualValues(t, 3600, *role.MaxSessionDuration)
	trust, err := url.QueryUnescape(*role.AssumeRolePolicyDocument)
	require.NoError(t, err)
	require.JSONEq(t, ec2Trust, trust)
	require.Equal(t, "node", *role.Tags[0].Value)

	inline := aws.String("read")
	do(t, c.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: name, PolicyName: inline, PolicyDocument: aws.String(readS3)})
	policy := do(t, c.GetRolePolicy, &iam.GetRolePolicyInput{RoleName: name, PolicyName: inline})
	document, err := url.QueryUnescape(*policy.PolicyDocument)
	require.NoError(t, err)
	require.JSONEq(t, readS3, document)
	managed := do(t, c.CreatePolicy, &iam.CreatePolicyInput{PolicyName: aws.String("own"), PolicyDocument: aws.String(readS3), Path: aws.String("/"), Tags: iamTags("own")}).Policy
	found := do(t, c.GetPolicy, &iam.GetPolicyInput{PolicyArn: managed.Arn}).Policy
	version := do(t, c.GetPolicyVersion, &iam.GetPolicyVersionInput{PolicyArn: managed.Arn, VersionId: found.DefaultVersionId}).PolicyVersion
	require.NotEmpty(t, *version.Document)
	for _, arn := range []string{*managed.Arn, "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"} {
		do(t, c.AttachRolePolicy, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: &arn})
		var attached []string
		for _, a := range do(t, c.ListAttachedRolePolicies, &iam.ListAttachedRolePoliciesInput{RoleName: name}).AttachedPolicies {
			attached = append(attached, *a.PolicyArn)
		}
		require.Contains(t, attached, arn)
	}
	profile := aws.String("node-profile")
	do(t, c.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: profile, Path: aws.String("/"), Tags: iamTags("node")})
	do(t, c.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: profile}) // NewInstanceProfileExistsWaiter
	do(t, c.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: profile, RoleName: name})
	got := do(t, c.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: profile}).InstanceProfile
	require.Equal(t, *name, *got.Roles[0].RoleName)
	require.NotNil(t, got.CreateDate)
	require.NotEmpty(t, *got.InstanceProfileId)
	require.Equal(t, "node", *got.Tags[0].Value)

	// Updates.
	do(t, c.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: aws.String(ec2Trust)})
	do(t, c.UpdateRoleDescription, &iam.UpdateRoleDescriptionInput{RoleName: name, Description: aws.String("machines")})
	do(t, c.UpdateRole, &iam.UpdateRoleInput{RoleName: name, MaxSessionDuration: aws.Int32(7200)})
	do(t, c.PutRolePermissionsBoundary, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: managed.Arn})
	do(t, c.UntagRole, &iam.UntagRoleInput{RoleName: name, TagKeys: []string{"Name"}})
	do(t, c.TagRole, &iam.TagRoleInput{RoleName: name, Tags: iamTags("machine")})
	role = read()
	require.Equal(t, *managed.Arn, *role.PermissionsBoundary.PermissionsBoundaryArn)
	require.Equal(t, "machines", *role.Description)
	require.EqualValues(t, 7200, *role.MaxSessionDuration)
	do(t, c.DeleteRolePermissionsBoundary, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name})
	do(t, c.ListPolicyVersions, &iam.ListPolicyVersionsInput{PolicyArn: managed.Arn})
	do(t, c.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: managed.Arn, PolicyDocument: aws.String(readS3), SetAsDefault: true})

	// Deletes, in the order in which the engine destroys.
	do(t, c.RemoveRoleFromInstanceProfile, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: profile, RoleName: name})
	do(t, c.DeleteInstanceProfile, &iam.DeleteInstanceProfileInput{InstanceProfileName: profile})
	refused(t, "NoSuchEntity", c.GetInstanceProfile, &iam.GetInstanceProfileInput{InstanceProfileName: profile})
	for _, arn := range []string{*managed.Arn, "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"} {
		do(t, c.DetachRolePolicy, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: &arn})
		refused(t, "NoSuchEntity", c.DetachRolePolicy, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: &arn})
	}
	for _, v := range do(t, c.ListPolicyVersions, &iam.ListPolicyVersionsInput{PolicyArn: managed.Arn}).Versions {
		if !v.IsDefaultVersion {
			do(t, c.DeletePolicyVersion, &iam.DeletePolicyVersionInput{PolicyArn: managed.Arn, VersionId: v.VersionId})
		}
	}
	do(t, c.DeletePolicy, &iam.DeletePolicyInput{PolicyArn: managed.Arn})
	refused(t, "NoSuchEntity", c.GetPolicy, &iam.GetPolicyInput{PolicyArn: managed.Arn})
	refused(t, "DeleteConflict", c.DeleteRole, &iam.DeleteRoleInput{RoleName: name})
	do(t, c.DeleteRolePolicy, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: inline})
	refused(t, "NoSuchEntity", c.GetRolePolicy, &iam.GetRolePolicyInput{RoleName: name, PolicyName: inline})
	require.Empty(t, do(t, c.ListInstanceProfilesForRole, &iam.ListInstanceProfilesForRoleInput{RoleName: name}).InstanceProfiles)
	do(t, c.DeleteRole, &iam.DeleteRoleInput{RoleName: name})
	refused(t, "NoSuchEntity", c.GetRole, &iam.GetRoleInput{RoleName: name})
	refused(t, "NoSuchEntity", c.ListInstanceProfilesForRole, &iam.ListInstanceProfilesForRoleInput{RoleName: name})
	refused(t, "NoSuchEntity", c.ListAttachedRolePolicies, &iam.ListAttachedRolePoliciesInput{RoleName: name})
}

// TestProviderOpenIDConnect follows iam/openid_connect_provider.go.
func TestProviderOpenIDConnect(t *testing.T) {
	p := newPublished(t).deploying("aws:iam/openIdConnectProvider:OpenIdConnectProvider")
	c := iam.NewFromConfig(p.at(region))
	made := do(t, c.CreateOpenIDConnectProvider, &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://oidc.example.com"), ClientIDList: []string{"sts.amazonaws.com"},
		ThumbprintList: []string{"9E99A48A9960B14926BB7F3B02E22DA2B0AB7280"}, Tags: iamTags("issuer")})
	arn := made.OpenIDConnectProviderArn
	read := do(t, c.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	require.Equal(t, "oidc.example.com", *read.Url)
	require.Equal(t, []string{"sts.amazonaws.com"}, read.ClientIDList)
	require.Equal(t, []string{"9e99a48a9960b14926bb7f3b02e22da2b0ab7280"}, read.ThumbprintList)
	require.Equal(t, "issuer", *read.Tags[0].Value)
	do(t, c.UpdateOpenIDConnectProviderThumbprint, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{"08745487e891c19e3078c1f2a07e452950ef36f6"}})
	do(t, c.AddClientIDToOpenIDConnectProvider, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("other")})
	do(t, c.RemoveClientIDFromOpenIDConnectProvider, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("other")})
	do(t, c.UntagOpenIDConnectProvider, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, TagKeys: []string{"Name"}})
	do(t, c.TagOpenIDConnectProvider, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, Tags: iamTags("other")})
	do(t, c.DeleteOpenIDConnectProvider, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	refused(t, "NoSuchEntity", c.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
}

// TestProviderRolesAnywhere follows rolesanywhere/trust_anchor.go and profile.go.
func TestProviderRolesAnywhere(t *testing.T) {
	p := newPublished(t).deploying("aws:iam/role:Role", "aws:rolesanywhere/profile:Profile", "aws:rolesanywhere/trustAnchor:TrustAnchor")
	c, identity := rolesanywhere.NewFromConfig(p.at(region)), iam.NewFromConfig(p.at(region))
	source := &ratypes.Source{SourceType: ratypes.TrustAnchorTypeCertificateBundle, SourceData: &ratypes.SourceDataMemberX509CertificateData{Value: string(p.CA())}}
	tags := []ratypes.Tag{{Key: aws.String("Name"), Value: aws.String("ca")}}
	anchor := do(t, c.CreateTrustAnchor, &rolesanywhere.CreateTrustAnchorInput{Name: aws.String("ca"), Enabled: aws.Bool(true), Source: source, Tags: tags}).TrustAnchor
	read := do(t, c.GetTrustAnchor, &rolesanywhere.GetTrustAnchorInput{TrustAnchorId: anchor.TrustAnchorId}).TrustAnchor
	require.True(t, *read.Enabled)
	require.Equal(t, ratypes.TrustAnchorTypeCertificateBundle, read.Source.SourceType)
	require.Equal(t, string(p.CA()), read.Source.SourceData.(*ratypes.SourceDataMemberX509CertificateData).Value)
	require.Len(t, read.NotificationSettings, 2)
	require.Equal(t, "ca", *do(t, c.ListTagsForResource, &rolesanywhere.ListTagsForResourceInput{ResourceArn: anchor.TrustAnchorArn}).Tags[0].Value)
	do(t, c.UpdateTrustAnchor, &rolesanywhere.UpdateTrustAnchorInput{TrustAnchorId: anchor.TrustAnchorId, Name: aws.String("ca2"), Source: source})
	do(t, c.DisableTrustAnchor, &rolesanywhere.DisableTrustAnchorInput{TrustAnchorId: anchor.TrustAnchorId})
	do(t, c.EnableTrustAnchor, &rolesanywhere.EnableTrustAnchorInput{TrustAnchorId: anchor.TrustAnchorId})
	do(t, c.UntagResource, &rolesanywhere.UntagResourceInput{ResourceArn: anchor.TrustAnchorArn, TagKeys: []string{"Name"}})
	do(t, c.TagResource, &rolesanywhere.TagResourceInput{ResourceArn: anchor.TrustAnchorArn, Tags: tags})

	role := do(t, identity.CreateRole, &iam.CreateRoleInput{RoleName: aws.String("pod"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rolesanywhere.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`)}).Role
	profile := do(t, c.CreateProfile, &rolesanywhere.CreateProfileInput{Name: aws.String("pod"), Enabled: aws.Bool(true), RoleArns: []string{*role.Arn}, DurationSeconds: aws.Int32(3600),
		AcceptRoleSessionName: aws.Bool(false), RequireInstanceProperties: aws.Bool(false), Tags: tags}).Profile
	got := do(t, c.GetProfile, &rolesanywhere.GetProfileInput{ProfileId: profile.ProfileId}).Profile
	require.Equal(t, []string{*role.Arn}, got.RoleArns)
	require.EqualValues(t, 3600, *got.DurationSeconds)
	require.True(t, *got.Enabled)
	require.Empty(t, got.ManagedPolicyArns)
	require.Nil(t, got.SessionPolicy)
	do(t, c.ListTagsForResource, &rolesanywhere.ListTagsForResourceInput{ResourceArn: profile.ProfileArn})
	do(t, c.UpdateProfile, &rolesanywhere.UpdateProfileInput{ProfileId: profile.ProfileId, Name: aws.String("pod"), RoleArns: []string{*role.Arn}, DurationSeconds: aws.Int32(900),
		AcceptRoleSessionName: aws.Bool(true), SessionPolicy: aws.String(readS3)})
	do(t, c.DisableProfile, &rolesanywhere.DisableProfileInput{ProfileId: profile.ProfileId})
	do(t, c.EnableProfile, &rolesanywhere.EnableProfileInput{ProfileId: profile.ProfileId})
	do(t, c.DeleteProfile, &rolesanywhere.DeleteProfileInput{ProfileId: profile.ProfileId})
	refused(t, "ResourceNotFoundException", c.GetProfile, &rolesanywhere.GetProfileInput{ProfileId: profile.ProfileId})
	do(t, c.DeleteTrustAnchor, &rolesanywhere.DeleteTrustAnchorInput{TrustAnchorId: anchor.TrustAnchorId})
	refused(t, "ResourceNotFoundException", c.GetTrustAnchor, &rolesanywhere.GetTrustAnchorInput{TrustAnchorId: anchor.TrustAnchorId})
	refused(t, "ResourceNotFoundException", c.DeleteTrustAnchor, &rolesanywhere.DeleteTrustAnchorInput{TrustAnchorId: anchor.TrustAnchorId})
}

// TestProviderParameter follows ssm/parameter.go, and the public parameter of ssm/parameter_data_source.go.
func TestProviderParameter(t *testing.T) {
	p := newPublished(t).deploying("aws:ssm/parameter:Parameter", "aws:ssm/getParameter:getParameter")
	c := ssm.NewFromConfig(p.at(region))
	name := aws.String("/lab/cluster/token")
	do(t, c.PutParameter, &ssm.PutParameterInput{AllowedPattern: aws.String(""), Name: name, Overwrite: aws.Bool(false), Type: ssmtypes.ParameterTypeSecureString, Value: aws.String("one"),
		Description: aws.String("token"), Tier: ssmtypes.ParameterTierStandard, Tags: []ssmtypes.Tag{{Key: aws.String("Name"), Value: aws.String("token")}}})
	read := func() (*ssmtypes.Parameter, ssmtypes.ParameterMetadata) {
		got := do(t, c.GetParameter, &ssm.GetParameterInput{Name: name, WithDecryption: aws.Bool(true)}).Parameter
		all := do(t, c.DescribeParameters, &ssm.DescribeParametersInput{ParameterFilters: []ssmtypes.ParameterStringFilter{{Key: aws.String("Name"), Option: aws.String("Equals"), Values: []string{*name}}}})
		require.Len(t, all.Parameters, 1)
		return got, all.Parameters[0]
	}
	got, detail := read()
	require.Equal(t, "one", *got.Value)
	require.EqualValues(t, 1, got.Version)
	require.Equal(t, "arn:aws:ssm:"+region+":"+account+":parameter"+*name, *got.ARN)
	require.Equal(t, "alias/aws/ssm", *detail.KeyId)
	require.Equal(t, "text", *detail.DataType)
	require.Equal(t, ssmtypes.ParameterTierStandard, detail.Tier)
	tags := do(t, c.ListTagsForResource, &ssm.ListTagsForResourceInput{ResourceId: name, ResourceType: ssmtypes.ResourceTypeForTaggingParameter})
	require.Equal(t, "token", *tags.TagList[0].Value)
	do(t, c.PutParameter, &ssm.PutParameterInput{AllowedPattern: aws.String(""), Name: name, Overwrite: aws.Bool(true), Tier: ssmtypes.ParameterTierStandard, Type: ssmtypes.ParameterTypeSecureString,
		Value: aws.String("two"), Description: aws.String("")})
	got, _ = read()
	require.Equal(t, "two", *got.Value)
	require.EqualValues(t, 2, got.Version)
	do(t, c.RemoveTagsFromResource, &ssm.RemoveTagsFromResourceInput{ResourceId: name, ResourceType: ssmtypes.ResourceTypeForTaggingParameter, TagKeys: []string{"Name"}})
	do(t, c.AddTagsToResource, &ssm.AddTagsToResourceInput{ResourceId: name, ResourceType: ssmtypes.ResourceTypeForTaggingParameter,
		Tags: []ssmtypes.Tag{{Key: aws.String("Name"), Value: aws.String("other")}}})
	do(t, c.DeleteParameter, &ssm.DeleteParameterInput{Name: name})
	refused(t, "ParameterNotFound", c.GetParameter, &ssm.GetParameterInput{Name: name, WithDecryption: aws.Bool(true)})
	refused(t, "ParameterNotFound", c.DeleteParameter, &ssm.DeleteParameterInput{Name: name})
	public := do(t, c.GetParameter, &ssm.GetParameterInput{Name: aws.String("/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"), WithDecryption: aws.Bool(true)})
	require.Regexp(t, "^ami-", *public.Parameter.Value)
}

// TestProviderBucket follows a bucket and all that is put on it: s3/bucket.go, bucket_versioning.go,
// bucket_public_access_block.go, bucket_ownership_controls.go, bucket_server_side_encryption_configuration.go,
// bucket_policy.go, bucket_logging.go, bucket_lifecycle_configuration.go and object.go.
func TestProviderBucket(t *testing.T) {
	p := newPublished(t).deploying("aws:s3/bucketV2:BucketV2", "aws:s3/bucketVersioningV2:BucketVersioningV2", "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
		"aws:s3/bucketOwnershipControls:BucketOwnershipControls", "aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2",
		"aws:s3/bucketPolicy:BucketPolicy", "aws:s3/bucketLoggingV2:BucketLoggingV2", "aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", "aws:s3/bucketObjectv2:BucketObjectv2")
	c := s3.NewFromConfig(p.at(region))
	name := aws.String("lab-bucket-1a2b3c4")
	absent := func(code string, err error) {
		t.Helper()
		requireCode(t, err, code)
	}
	_, err := c.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: name})
	absent("NotFound", err)
	do(t, c.CreateBucket, &s3.CreateBucketInput{Bucket: name, ACL: s3types.BucketCannedACLPrivate,
		CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(region)}})
	_, err = c.GetBucketTagging(t.Context(), &s3.GetBucketTaggingInput{Bucket: name}) // bucketUpdateTags keeps AWS's own tags
	absent("NoSuchTagSet", err)
	do(t, c.PutBucketTagging, &s3.PutBucketTaggingInput{Bucket: name, Tagging: &s3types.Tagging{TagSet: []s3types.Tag{{Key: aws.String("Name"), Value: aws.String("lab")}}}})

	// resourceBucketRead asks for all of it, and knows each code of what is not there.
	head := do(t, c.HeadBucket, &s3.HeadBucketInput{Bucket: name})
	require.Equal(t, region, *head.BucketRegion) // findBucketRegion, by the header
	// The SDK's GetBucketRegion sends no signature unless told, and reads the header of a refusal.
	anonymous := s3.NewFromConfig(p.at(region), func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })
	_, err = anonymous.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: name})
	absent("Forbidden", err)
	var answer *smithyhttp.ResponseError
	require.ErrorAs(t, err, &answer)
	require.Equal(t, http.StatusForbidden, answer.HTTPStatusCode())
	require.Equal(t, region, answer.Response.Header.Get("x-amz-bucket-region"))
	_, err = c.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: name})
	absent("NoSuchBucketPolicy", err)
	acl := do(t, c.GetBucketAcl, &s3.GetBucketAclInput{Bucket: name})
	require.Equal(t, *acl.Owner.ID, *acl.Grants[0].Grantee.ID)
	require.Equal(t, s3types.TypeCanonicalUser, acl.Grants[0].Grantee.Type)
	_, err = c.GetBucketCors(t.Context(), &s3.GetBucketCorsInput{Bucket: name})
	absent("NoSuchCORSConfiguration", err)
	_, err = c.GetBucketWebsite(t.Context(), &s3.GetBucketWebsiteInput{Bucket: name})
	absent("NoSuchWebsiteConfiguration", err)
	require.Empty(t, do(t, c.GetBucketVersioning, &s3.GetBucketVersioningInput{Bucket: name}).Status)
	require.Empty(t, do(t, c.GetBucketAccelerateConfiguration, &s3.GetBucketAccelerateConfigurationInput{Bucket: name}).Status)
	require.Equal(t, s3types.PayerBucketOwner, do(t, c.GetBucketRequestPayment, &s3.GetBucketRequestPaymentInput{Bucket: name}).Payer)
	require.Nil(t, do(t, c.GetBucketLogging, &s3.GetBucketLoggingInput{Bucket: name}).LoggingEnabled)
	_, err = c.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: name})
	absent("NoSuchLifecycleConfiguration", err)
	_, err = c.GetBucketReplication(t.Context(), &s3.GetBucketReplicationInput{Bucket: name})
	absent("ReplicationConfigurationNotFoundError", err)
	encryption := do(t, c.GetBucketEncryption, &s3.GetBucketEncryptionInput{Bucket: name}).ServerSideEncryptionConfiguration.Rules[0]
	require.Equal(t, s3types.ServerSideEncryptionAes256, encryption.ApplyServerSideEncryptionByDefault.SSEAlgorithm)
	_, err = c.GetObjectLockConfiguration(t.Context(), &s3.GetObjectLockConfigurationInput{Bucket: name})
	absent("ObjectLockConfigurationNotFoundError", err)
	require.Equal(t, "lab", *do(t, c.GetBucketTagging, &s3.GetBucketTaggingInput{Bucket: name}).TagSet[0].Value)

	// What stands beside the bucket. Each waits until the read has it.
	do(t, c.PutBucketOwnershipControls, &s3.PutBucketOwnershipControlsInput{Bucket: name, OwnershipControls: &s3types.OwnershipControls{
		Rules: []s3types.OwnershipControlsRule{{ObjectOwnership: s3types.ObjectOwnershipBucketOwnerEnforced}}}})
	require.Equal(t, s3types.ObjectOwnershipBucketOwnerEnforced, do(t, c.GetBucketOwnershipControls, &s3.GetBucketOwnershipControlsInput{Bucket: name}).OwnershipControls.Rules[0].ObjectOwnership)
	do(t, c.PutPublicAccessBlock, &s3.PutPublicAccessBlockInput{Bucket: name, PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{BlockPublicAcls: aws.Bool(true),
		BlockPublicPolicy: aws.Bool(true), IgnorePublicAcls: aws.Bool(true), RestrictPublicBuckets: aws.Bool(true)}})
	require.True(t, *do(t, c.GetPublicAccessBlock, &s3.GetPublicAccessBlockInput{Bucket: name}).PublicAccessBlockConfiguration.RestrictPublicBuckets)
	do(t, c.PutBucketEncryption, &s3.PutBucketEncryptionInput{Bucket: name, ServerSideEncryptionConfiguration: &s3types.ServerSideEncryptionConfiguration{
		Rules: []s3types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &s3types.ServerSideEncryptionByDefault{SSEAlgorithm: s3types.ServerSideEncryptionAes256}}}}})
	do(t, c.GetBucketEncryption, &s3.GetBucketEncryptionInput{Bucket: name})
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::` + *name + `","arn:aws:s3:::` + *name +
		`/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
	do(t, c.PutBucketPolicy, &s3.PutBucketPolicyInput{Bucket: name, Policy: &policy})
	require.JSONEq(t, policy, *do(t, c.GetBucketPolicy, &s3.GetBucketPolicyInput{Bucket: name}).Policy)
	rules := []s3types.LifecycleRule{{ID: aws.String("expire"), Status: s3types.ExpirationStatusEnabled, Filter: &s3types.LifecycleRuleFilter{Prefix: aws.String("")},
		Expiration: &s3types.LifecycleExpiration{Days: aws.Int32(90)}}}
	do(t, c.PutBucketLifecycleConfiguration, &s3.PutBucketLifecycleConfigurationInput{Bucket: name, TransitionDefaultMinimumObjectSize: s3types.TransitionDefaultMinimumObjectSizeAllStorageClasses128k,
		LifecycleConfiguration: &s3types.BucketLifecycleConfiguration{Rules: rules}})
	lifecycle := do(t, c.GetBucketLifecycleConfiguration, &s3.GetBucketLifecycleConfigurationInput{Bucket: name})
	require.Equal(t, rules, lifecycle.Rules, "lifecycleConfigEqual compares with DeepEqual, and waits until it holds")
	require.Equal(t, s3types.TransitionDefaultMinimumObjectSizeAllStorageClasses128k, lifecycle.TransitionDefaultMinimumObjectSize)
	rules[0].Filter = &s3types.LifecycleRuleFilter{} // a rule without a filter
	do(t, c.PutBucketLifecycleConfiguration, &s3.PutBucketLifecycleConfigurationInput{Bucket: name, LifecycleConfiguration: &s3types.BucketLifecycleConfiguration{Rules: rules}})
	require.Equal(t, rules, do(t, c.GetBucketLifecycleConfiguration, &s3.GetBucketLifecycleConfigurationInput{Bucket: name}).Rules)
	logs := aws.String("lab-logs-1a2b3c4")
	do(t, c.CreateBucket, &s3.CreateBucketInput{Bucket: logs, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(region)}})
	delivery := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::` + *logs +
		`/s3/*","Condition":{"StringEquals":{"aws:SourceAccount":"` + account + `"}}}]}`
	do(t, c.PutBucketPolicy, &s3.PutBucketPolicyInput{Bucket: logs, Policy: &delivery})
	do(t, c.PutBucketLogging, &s3.PutBucketLoggingInput{Bucket: name, BucketLoggingStatus: &s3types.BucketLoggingStatus{
		LoggingEnabled: &s3types.LoggingEnabled{TargetBucket: logs, TargetPrefix: aws.String("s3/")}}})
	require.Equal(t, *logs, *do(t, c.GetBucketLogging, &s3.GetBucketLoggingInput{Bucket: name}).LoggingEnabled.TargetBucket)

	// An object before versions are kept, and one after: resourceObjectUpload, resourceObjectRead.
	put := func(key, text string) *s3.HeadObjectOutput {
		do(t, c.PutObject, &s3.PutObjectInput{Bucket: name, Key: &key, Body: bytes.NewReader([]byte(text)), ContentType: aws.String("application/json"), CacheControl: aws.String("max-age=60"),
			Tagging: aws.String("Name=lab&kind=keys")})
		got := do(t, c.HeadObject, &s3.HeadObjectInput{Bucket: name, Key: &key, ChecksumMode: s3types.ChecksumModeEnabled})
		require.Equal(t, "application/json", *got.ContentType)
		require.Equal(t, "max-age=60", *got.CacheControl)
		require.Equal(t, s3types.ServerSideEncryptionAes256, got.ServerSideEncryption)
		require.NotEmpty(t, *got.ETag)
		require.Len(t, do(t, c.GetObjectTagging, &s3.GetObjectTaggingInput{Bucket: name, Key: &key}).TagSet, 2)
		return got
	}
	require.Nil(t, put("first.json", "{}").VersionId)
	do(t, c.PutBucketVersioning, &s3.PutBucketVersioningInput{Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}})
	require.Equal(t, s3types.BucketVersioningStatusEnabled, do(t, c.GetBucketVersioning, &s3.GetBucketVersioningInput{Bucket: name}).Status)
	require.NotEmpty(t, *put("second.json", "{}").VersionId)
	put("second.json", `{"keys":[]}`)
	tags := []s3types.Tag{{Key: aws.String("Name"), Value: aws.String("other")}}
	do(t, c.PutObjectTagging, &s3.PutObjectTaggingInput{Bucket: name, Key: aws.String("second.json"), Tagging: &s3types.Tagging{TagSet: tags}})

	// Destroy. deleteAllObjectVersions lists by the key's prefix and deletes version by version, then the markers.
	sweep := func(prefix string) {
		list := do(t, c.ListObjectVersions, &s3.ListObjectVersionsInput{Bucket: name, Prefix: &prefix})
		for _, v := range list.Versions {
			do(t, c.DeleteObject, &s3.DeleteObjectInput{Bucket: name, Key: v.Key, VersionId: v.VersionId})
		}
		for _, v := range do(t, c.ListObjectVersions, &s3.ListObjectVersionsInput{Bucket: name, Prefix: &prefix}).DeleteMarkers {
			do(t, c.DeleteObject, &s3.DeleteObjectInput{Bucket: name, Key: v.Key, VersionId: v.VersionId})
		}
	}
	sweep("second.json")
	_, err = c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: name, Key: aws.String("second.json")})
	absent("NotFound", err)
	do(t, c.DeleteObject, &s3.DeleteObjectInput{Bucket: name, Key: aws.String("first.json")}) // one that has no version in state: a marker
	do(t, c.PutBucketVersioning, &s3.PutBucketVersioningInput{Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusSuspended}})
	do(t, c.PutBucketLogging, &s3.PutBucketLoggingInput{Bucket: name, BucketLoggingStatus: &s3types.BucketLoggingStatus{}})
	do(t, c.DeleteBucketLifecycle, &s3.DeleteBucketLifecycleInput{Bucket: name})
	_, err = c.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: name})
	absent("NoSuchLifecycleConfiguration", err)
	do(t, c.DeleteBucketPolicy, &s3.DeleteBucketPolicyInput{Bucket: name})
	do(t, c.DeleteBucketEncryption, &s3.DeleteBucketEncryptionInput{Bucket: name})
	do(t, c.DeletePublicAccessBlock, &s3.DeletePublicAccessBlockInput{Bucket: name})
	_, err = c.GetPublicAccessBlock(t.Context(), &s3.GetPublicAccessBlockInput{Bucket: name})
	absent("NoSuchPublicAccessBlockConfiguration", err)
	do(t, c.DeleteBucketOwnershipControls, &s3.DeleteBucketOwnershipControlsInput{Bucket: name})
	_, err = c.GetBucketOwnershipControls(t.Context(), &s3.GetBucketOwnershipControlsInput{Bucket: name})
	absent("OwnershipControlsNotFoundError", err)
	_, err = c.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: name})
	absent("BucketNotEmpty", err)
	// force_destroy: emptyBucket deletes pages of versions, then of markers, in batches.
	list := do(t, c.ListObjectVersions, &s3.ListObjectVersionsInput{Bucket: name, MaxKeys: aws.Int32(1000)})
	var batch []s3types.ObjectIdentifier
	for _, v := range list.Versions {
		batch = append(batch, s3types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
	}
	for _, v := range list.DeleteMarkers {
		batch = append(batch, s3types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
	}
	require.Len(t, batch, 2)
	require.Empty(t, do(t, c.DeleteObjects, &s3.DeleteObjectsInput{Bucket: name, Delete: &s3types.Delete{Objects: batch, Quiet: aws.Bool(true)}}).Errors)
	do(t, c.DeleteBucket, &s3.DeleteBucketInput{Bucket: name})
	_, err = c.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: name}) // RetryUntilNotFound
	absent("NotFound", err)
	_, err = c.GetBucketVersioning(t.Context(), &s3.GetBucketVersioningInput{Bucket: name})
	absent("NoSuchBucket", err)
}
