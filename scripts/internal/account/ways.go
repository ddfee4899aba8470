package account

// way is what somebody could do to a resource of the stack, and so be, or make, its identities. The actions and their
// resources are those of the AWS Service Authorization Reference.
type way struct {
	id, what, fix string
	actions       []string
}

const (
	everyIdentity = "whoever can is every identity of the cluster"
	leave         = "narrow its policies, or accept it with --known"
)

// ways are by kind of target.
var ways = map[string][]way{
	"signing-key": {
		{"reads-signing-key", "may read the cluster's private keys: " + everyIdentity, leave,
			[]string{"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory"}},
		{"writes-signing-key", "may write the cluster's private keys: servers boot with the keys that it chooses", leave,
			[]string{"ssm:PutParameter", "ssm:DeleteParameter", "ssm:DeleteParameters"}},
	},
	"join-token": {
		{"reads-join-token", "may read the agents' join token: its machine can join the cluster, and is given pods with their tokens", leave,
			[]string{"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory"}},
	},
	"state": {
		{"reads-state", "may read the stack's state, with the signing key and the CA's key in it: who also has the secrets' passphrase or KMS key is every identity of the cluster", leave,
			[]string{"s3:GetObject", "s3:GetObjectVersion"}},
		{"writes-state", "may write the stack's state: the next `pulumi up` does what it says", leave,
			[]string{"s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"}},
	},
	"state-bucket": {
		{"opens-state", "may say who reads and writes the stack's state", leave,
			[]string{"s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutBucketAcl", "s3:PutReplicationConfiguration"}},
	},
	"issuer-object": {
		{"writes-key-set", "may write the issuer's documents: " + everyIdentity, leave,
			[]string{"s3:PutObject", "s3:DeleteObject", "s3:PutObjectAcl", "s3:RestoreObject", "s3:DeleteObjectVersion", "s3:ReplicateObject"}},
	},
	"issuer-bucket": {
		{"opens-key-set", "may say who writes the issuer's documents: " + everyIdentity, leave,
			[]string{"s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutBucketAcl", "s3:PutBucketPublicAccessBlock", "s3:PutBucketOwnershipControls",
				"s3:PutReplicationConfiguration", "s3:DeleteBucket", "s3:PutBucketWebsite", "s3:PutLifecycleConfiguration"}},
	},
	"distribution": {
		{"changes-issuer", "may change what the issuer's CloudFront distribution answers: " + everyIdentity, leave,
			[]string{"cloudfront:UpdateDistribution", "cloudfront:UpdateDistributionWithStagingConfig", "cloudfront:DeleteDistribution", "cloudfront:AssociateAlias"}},
	},
	"zone": {
		{"changes-issuer", "may change where the issuer's name leads: " + everyIdentity, leave,
			[]string{"route53:ChangeResourceRecordSets", "route53:DeleteHostedZone"}},
	},
	"server": {
		{"reaches-servers", "may get onto the cluster's servers, with the signing key on their disks: " + everyIdentity, leave,
			[]string{"ssm:StartSession", "ssm:SendCommand", "ec2:ModifyInstanceAttribute", "ec2:ReplaceIamInstanceProfileAssociation", "ec2:AssociateIamInstanceProfile",
				"ec2-instance-connect:SendSSHPublicKey", "ec2-instance-connect:SendSerialConsoleSSHPublicKey", "ec2:CreateReplaceRootVolumeTask", "ec2:GetPasswordData"}},
	},
	"role": {
		{"changes-trust", "may change who can be a role of the stack", leave, []string{"iam:UpdateAssumeRolePolicy"}},
		{"changes-permissions", "may change what a role of the stack may do", leave,
			[]string{"iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:PutRolePermissionsBoundary"}},
	},
	"policy": {
		{"changes-permissions", "may rewrite a managed policy that a role of the stack has", leave, []string{"iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion"}},
	},
	"provider": {
		{"changes-provider", "may change whose tokens AWS takes, and for whom they were made", leave,
			[]string{"iam:AddClientIDToOpenIDConnectProvider", "iam:UpdateOpenIDConnectProviderThumbprint", "iam:DeleteOpenIDConnectProvider"}},
	},
	"anchor": {
		{"changes-anchor", "may exchange the CA whose certificates AWS takes", leave, []string{"rolesanywhere:UpdateTrustAnchor"}},
	},
	"profile": {
		{"changes-profile", "may change which roles certificates open, and what limits their sessions", leave,
			[]string{"rolesanywhere:UpdateProfile", "rolesanywhere:PutAttributeMapping", "rolesanywhere:DeleteAttributeMapping"}},
	},
}

// passing are what hands a role on to a machine.
var passing = []string{"ec2:RunInstances", "ec2:AssociateIamInstanceProfile", "ec2:ReplaceIamInstanceProfileAssociation", "ec2:RequestSpotInstances", "autoscaling:CreateAutoScalingGroup",
	"autoscaling:CreateLaunchConfiguration", "ec2:CreateFleet"}

// takeovers are how one principal becomes another, or gives itself what it wants: by the kind of the other, with the actions
// ("AWS IAM Privilege Escalation Methods", Rhino Security Labs; pathfinding.cloud).
var takeovers = map[string][]string{
	"user": {"iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:UpdateLoginProfile"},
	"role": {"iam:UpdateAssumeRolePolicy"},
}

// gifts are what a principal could do to itself, by its kind, to its groups and to its own policies.
var gifts = map[string][]string{
	"user":   {"iam:PutUserPolicy", "iam:AttachUserPolicy"},
	"role":   {"iam:PutRolePolicy", "iam:AttachRolePolicy"},
	"group":  {"iam:PutGroupPolicy", "iam:AttachGroupPolicy"},
	"policy": {"iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion"},
}
