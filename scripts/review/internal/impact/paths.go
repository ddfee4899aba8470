package impact

import (
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// path is an action that leads to somebody else's permissions, with the kind of resource that it acts on.
type path struct {
	action string
	kind   string // of resources, see kindsOfResources
	why    string
}

// paths are the ways from an action to others' permissions. The actions and the resources that they act on are those of the
// AWS Service Authorization Reference (pages for IAM, STS, IAM Roles Anywhere, EC2, Systems Manager, Lambda, CloudFormation,
// Organizations and SSO); that each of them leads further is described in Rhino Security Labs' "AWS IAM Privilege Escalation
// Methods" and the pathfinding.cloud catalogue.
var paths = []path{
	{"iam:AttachRolePolicy", "role", "it can give a role every permission"},
	{"iam:PutRolePolicy", "role", "it can give a role every permission"},
	{"iam:UpdateAssumeRolePolicy", "role", "it can say who may be a role"},
	{"iam:DeleteRolePermissionsBoundary", "role", "it can lift a role's boundary"},
	{"iam:PutRolePermissionsBoundary", "role", "it can exchange a role's boundary"},
	{"iam:DeleteRolePolicy", "role", "it can remove a role's denials"},
	{"iam:DetachRolePolicy", "role", "it can remove a role's denials"},
	{"iam:CreateRole", "role", "with PassRole or a trust of its own it makes new identities"},
	{"iam:PassRole", "role", "it can let a service run as a role, and so take it on"},
	{"sts:AssumeRole", "role", "it can take on a role"},
	{"iam:AddRoleToInstanceProfile", "instance-profile", "it can give a machine another role"},
	{"iam:CreateInstanceProfile", "instance-profile", "it can give a machine another role"},
	{"iam:AttachUserPolicy", "user", "it can give a user every permission"},
	{"iam:PutUserPolicy", "user", "it can give a user every permission"},
	{"iam:CreateAccessKey", "user", "it can be a user for good"},
	{"iam:UpdateAccessKey", "user", "it can switch a user's keys on"},
	{"iam:CreateLoginProfile", "user", "it can be a user"},
	{"iam:UpdateLoginProfile", "user", "it can be a user"},
	{"iam:CreateUser", "user", "it can make users"},
	{"iam:AddUserToGroup", "group", "it can give a user the permissions of a group"},
	{"iam:DeleteUserPermissionsBoundary", "user", "it can lift a user's boundary"},
	{"iam:PutUserPermissionsBoundary", "user", "it can exchange a user's boundary"},
	{"iam:DeleteUserPolicy", "user", "it can remove a user's denials"},
	{"iam:DetachUserPolicy", "user", "it can remove a user's denials"},
	{"iam:DeactivateMFADevice", "user", "it can take a user's second factor away"},
	{"iam:CreateServiceSpecificCredential", "user", "it can be a user for a service"},
	{"iam:ResetServiceSpecificCredential", "user", "it can be a user for a service"},
	{"iam:UploadSigningCertificate", "user", "it can be a user"},
	{"iam:UploadSSHPublicKey", "user", "it can be a user for CodeCommit"},
	{"iam:AttachGroupPolicy", "group", "it can give a group every permission"},
	{"iam:PutGroupPolicy", "group", "it can give a group every permission"},
	{"iam:DetachGroupPolicy", "group", "it can remove a group's denials"},
	{"iam:DeleteGroupPolicy", "group", "it can remove a group's denials"},
	{"iam:CreatePolicyVersion", "policy", "it can rewrite a managed policy"},
	{"iam:SetDefaultPolicyVersion", "policy", "it can bring an old version of a managed policy back"},
	{"iam:CreateOpenIDConnectProvider", "oidc-provider", "it can add an issuer of identities"},
	{"iam:UpdateOpenIDConnectProviderThumbprint", "oidc-provider", "it can change which server IAM takes keys from"},
	{"iam:AddClientIDToOpenIDConnectProvider", "oidc-provider", "it can have tokens accepted that were made for others"},
	{"iam:CreateSAMLProvider", "saml-provider", "it can add an issuer of identities"},
	{"iam:UpdateSAMLProvider", "saml-provider", "it can exchange the issuer of identities"},
	{"rolesanywhere:CreateTrustAnchor", "any", "it can add a CA whose certificates are identities"},
	{"rolesanywhere:UpdateTrustAnchor", "trust-anchor", "it can exchange the CA whose certificates are identities"},
	{"rolesanywhere:EnableTrustAnchor", "trust-anchor", "it can switch a CA on"},
	{"rolesanywhere:CreateProfile", "any", "it can open roles to the CA's certificates"},
	{"rolesanywhere:UpdateProfile", "profile", "it can open roles to the CA's certificates, and lift session policies"},
	{"rolesanywhere:PutAttributeMapping", "profile", "it can change whom a certificate stands for"},
	{"rolesanywhere:DisableCrl", "any", "it can make revoked certificates good again"},
	{"rolesanywhere:DeleteCrl", "any", "it can make revoked certificates good again"},
	{"ssm:StartSession", "instance", "it can log in to machines, and so take on their roles and read the servers' keys"},
	{"ssm:ResumeSession", "any", "it can log in to machines, and so take on their roles and read the servers' keys"},
	{"ssm:SendCommand", "instance", "it can run commands on machines, and so take on their roles and read the servers' keys"},
	{"ssm:StartAutomationExecution", "any", "it can run commands on machines, and as a role"},
	{"ssm:CreateAssociation", "any", "it can run commands on machines"},
	{"ssm:UpdateAssociation", "any", "it can run commands on machines"},
	{"ec2-instance-connect:SendSSHPublicKey", "instance", "it can log in to machines"},
	{"ec2-instance-connect:SendSerialConsoleSSHPublicKey", "instance", "it can log in to machines"},
	{"ec2-instance-connect:OpenTunnel", "any", "it can reach machines behind their firewall"},
	{"ec2:ModifyInstanceAttribute", "instance", "it can exchange what a machine runs when it boots"},
	{"ec2:ModifyInstanceMetadataOptions", "instance", "it can let pods reach their machine's role"},
	{"ec2:ReplaceIamInstanceProfileAssociation", "instance", "it can give a machine another role"},
	{"ec2:AssociateIamInstanceProfile", "instance", "it can give a machine a role"},
	{"ec2:CreateLaunchTemplateVersion", "any", "it can exchange what new machines run"},
	{"ec2:ModifyLaunchTemplate", "any", "it can exchange what new machines run"},
	{"ec2:CreateReplaceRootVolumeTask", "instance", "it can exchange a machine's disk"},
	{"lambda:UpdateFunctionCode", "any", "it can run as a function's role"},
	{"lambda:UpdateFunctionConfiguration", "any", "it can run as a function's role"},
	{"cloudformation:UpdateStack", "any", "it can act as the stack's role"},
	{"cloudformation:SetStackPolicy", "any", "it can act as the stack's role"},
	{"codebuild:UpdateProject", "any", "it can act as the project's role"},
	{"glue:UpdateDevEndpoint", "any", "it can act as the endpoint's role"},
	{"sagemaker:CreatePresignedNotebookInstanceUrl", "any", "it can act as the notebook's role"},
	{"states:UpdateStateMachine", "any", "it can act as the machine's role"},
	{"sso:PutInlinePolicyToPermissionSet", "any", "it can give people every permission"},
	{"sso:AttachManagedPolicyToPermissionSet", "any", "it can give people every permission"},
	{"organizations:DetachPolicy", "any", "it can lift what the organization forbids"},
	{"organizations:DisablePolicyType", "any", "it can lift what the organization forbids"},
	{"sts:AssumeRoot", "root", "it can be the root user of a member account"},
	{"rolesanywhere:EnableProfile", "profile", "it can open roles to the CA's certificates"},
	{"rolesanywhere:DeleteAttributeMapping", "profile", "it can change whom a certificate stands for"},
	{"rolesanywhere:UpdateCrl", "any", "it can make revoked certificates good again"},
	{"ssm:UpdateDocument", "any", "it can exchange what documents run on machines"},
	{"ssm:UpdateDocumentDefaultVersion", "any", "it can exchange what documents run on machines"},
	{"ssm:RegisterTaskWithMaintenanceWindow", "any", "it can run commands on machines"},
	{"ssm:UpdateMaintenanceWindowTask", "any", "it can run commands on machines"},
	{"cloudformation:CreateChangeSet", "any", "it can act as the stack's role"},
	{"cloudformation:ExecuteChangeSet", "any", "it can act as the stack's role"},
	{"cloudformation:UpdateStackSet", "any", "it can act as the stack set's role, in every account that it has"},
	{"cloudformation:CreateStackInstances", "any", "it can act as the stack set's role, in every account that it has"},
	{"codebuild:StartBuild", "any", "it can run commands as the project's role"},
	{"codebuild:StartBuildBatch", "any", "it can run commands as the project's role"},
	{"codedeploy:CreateDeployment", "any", "it can run commands on machines"},
	{"ecs:ExecuteCommand", "any", "it can run commands as a task's role"},
	{"batch:SubmitJob", "any", "it can run commands as a job's role"},
	{"elasticmapreduce:AddJobFlowSteps", "any", "it can run commands as a cluster's role"},
	{"airflow:CreateCliToken", "any", "it can run commands as the environment's role"},
	{"airflow:CreateWebLoginToken", "any", "it can run commands as the environment's role"},
	{"bedrock-agentcore:InvokeCodeInterpreter", "any", "it can run commands as the interpreter's role"},
	{"sagemaker:CreatePresignedDomainUrl", "any", "it can act as a user profile's role"},
	{"sagemaker:UpdateNotebookInstanceLifecycleConfig", "any", "it can act as the notebook's role"},
	{"eks:AssociateAccessPolicy", "any", "it can be an administrator of EKS clusters"},
	{"eks:UpdateAccessEntry", "any", "it can be an administrator of EKS clusters"},
	{"sso:CreateAccountAssignment", "any", "it can give people every permission"},
	{"sso:AttachCustomerManagedPolicyReferenceToPermissionSet", "any", "it can give people every permission"},
	{"sso:DeletePermissionsBoundaryFromPermissionSet", "any", "it can lift the boundary of people"},
	{"identitystore:CreateGroupMembership", "any", "it can give people the permissions of a group"},
	{"organizations:UpdatePolicy", "any", "it can lift what the organization forbids"},
	{"organizations:DeletePolicy", "any", "it can lift what the organization forbids"},
	{"organizations:LeaveOrganization", "any", "it can lift what the organization forbids"},
	{"cognito-identity:UpdateIdentityPool", "any", "it can give roles to strangers"},
	{"route53domains:UpdateDomainNameservers", "any", "it can change where a whole domain leads, an issuer's among them"},
	{"route53domains:TransferDomainToAnotherAwsAccount", "any", "it can give a domain away, an issuer's among them"},
	{"kms:PutKeyPolicy", "kms", "it can open a key"},
	{"kms:CreateGrant", "kms", "it can open a key"},
	{"secretsmanager:GetSecretValue", "secret", "it can read secrets"},
	{"sts:GetFederationToken", "everything", "it can make credentials for others"},
	{"iam:TagRole", "everything", "it can change what policies that ask for tags allow"},
	{"iam:TagUser", "everything", "it can change what policies that ask for tags allow"},
	{"iam:DeleteOpenIDConnectProvider", "everything", "it can shut every pod out"},
	{"iam:RemoveClientIDFromOpenIDConnectProvider", "everything", "it can shut every pod out"},
	{"iam:DeleteRole", "everything", "it can shut every pod out"},
	{"rolesanywhere:DisableTrustAnchor", "everything", "it can shut every pod out"},
	{"rolesanywhere:DeleteTrustAnchor", "everything", "it can shut every pod out"},
	{"rolesanywhere:DisableProfile", "everything", "it can shut every pod out"},
	{"route53:ChangeResourceRecordSets", "everything", "it can change where every name leads, an issuer's among them"},
	{"cloudfront:UpdateDistribution", "everything", "it can change what every distribution answers, an issuer's among them"},
	{"s3:PutObject", "everything", "it can write every bucket, an issuer's and a state's among them"},
	{"s3:PutBucketPolicy", "everything", "it can open every bucket, an issuer's and a state's among them"},
	{"s3:PutBucketAcl", "everything", "it can open every bucket, an issuer's and a state's among them"},
	{"s3:PutObjectAcl", "everything", "it can open every object"},
	{"s3:PutBucketPublicAccessBlock", "everything", "it can lift what keeps buckets closed"},
	{"s3:PutAccountPublicAccessBlock", "everything", "it can lift what keeps buckets closed"},
	{"s3:GetObject", "everything", "it can read every bucket, a state's and the cluster's snapshots among them"},
	{"ssm:GetParameter", "everything", "it can read every parameter, the cluster's keys among them"},
	{"ssm:GetParameters", "everything", "it can read every parameter, the cluster's keys among them"},
	{"ssm:GetParametersByPath", "everything", "it can read every parameter, the cluster's keys among them"},
	{"ssm:GetParameterHistory", "everything", "it can read every parameter, the cluster's keys among them"},
	{"ssm:PutParameter", "everything", "it can write every parameter, the cluster's keys among them"},
	{"kms:Decrypt", "everything", "it can decrypt with every key, a stack's secrets among what that opens"},
	{"ec2:CreateSnapshot", "everything", "it can copy disks, those of servers with the signing key among them"},
	{"ec2:CreateImage", "everything", "it can copy disks, those of servers with the signing key among them"},
	{"ec2:AttachVolume", "everything", "it can read disks, those of servers with the signing key among them"},
	{"ec2:ModifySnapshotAttribute", "everything", "it can give disks away"},
	{"ebs:GetSnapshotBlock", "everything", "it can read disks, those of servers with the signing key among them"},
	{"ec2:AuthorizeSecurityGroupIngress", "everything", "it can open the machines to the internet"},
	{"ec2:GetPasswordData", "everything", "it can log in to machines"},
	{"ec2:RunInstances", "everything", "with PassRole it runs as a role"},
	{"ecr:PutImage", "everything", "it can exchange what pods run"},
	{"acm:ExportCertificate", "everything", "it can take private keys of certificates"},
	{"acm-pca:IssueCertificate", "everything", "where the CA is a trust anchor's it makes identities"},
	{"cloudtrail:StopLogging", "everything", "it can switch off the record"},
	{"cloudtrail:DeleteTrail", "everything", "it can switch off the record"},
	{"cloudtrail:PutEventSelectors", "everything", "it can switch off the record"},
	{"cloudtrail:UpdateTrail", "everything", "it can switch off the record"},
	{"events:DisableRule", "everything", "it can switch off the alarms"},
	{"events:DeleteRule", "everything", "it can switch off the alarms"},
	{"logs:DeleteLogGroup", "everything", "it can remove the record"},
	{"glue:UpdateJob", "any", "with PassRole it acts as a role"},
	{"iam:EnableOrganizationsRootSessions", "everything", "it can let others be the root user of member accounts"},
	{"iam:EnableMFADevice", "everything", "it can add a user's second factor"},
	{"secretsmanager:PutResourcePolicy", "everything", "it can open every secret"},
	{"ssm:PutResourcePolicy", "everything", "it can open every parameter"},
	{"ram:CreateResourceShare", "everything", "it can share what the account has with others"},
	{"ec2:CreateSnapshots", "everything", "it can copy disks, those of servers with the signing key among them"},
	{"ec2:DetachVolume", "everything", "it can take disks from machines, those of servers with the signing key among them"},
	{"ec2:EnableSerialConsoleAccess", "everything", "it can open a way to log in to machines"},
	{"ec2:ModifySecurityGroupRules", "everything", "it can open the machines to the internet"},
	{"ec2:AssociateAddress", "everything", "it can lead the API server's clients to another machine"},
	{"ec2:ReplaceRoute", "everything", "it can lead what machines send to another machine"},
	{"ec2:ModifyImageAttribute", "everything", "it can give images away"},
	{"ec2:TerminateInstances", "everything", "it can remove the cluster's servers, and its database with them"},
	{"cloudfront:UpdateFunction", "everything", "it can change what distributions answer"},
	{"cloudfront:PublishFunction", "everything", "it can change what distributions answer"},
	{"acm:ImportCertificate", "everything", "it can exchange certificates"},
	{"kms:ReplicateKey", "everything", "it can open a key elsewhere"},
	{"kms:ScheduleKeyDeletion", "everything", "what the key has encrypted is lost with it"},
	{"kms:DisableKey", "everything", "what the key has encrypted cannot be read meanwhile"},
	{"cloudtrail:DeleteEventDataStore", "everything", "it can switch off the record"},
	{"config:StopConfigurationRecorder", "everything", "it can switch off the record"},
	{"guardduty:DeleteDetector", "everything", "it can switch off the record"},
	{"guardduty:UpdateDetector", "everything", "it can switch off the record"},
	{"securityhub:DisableSecurityHub", "everything", "it can switch off the record"},
	{"logs:DeleteLogStream", "everything", "it can switch off the record"},
	{"cloudwatch:DeleteAlarms", "everything", "it can switch off the alarms"},
	{"cloudwatch:DisableAlarmActions", "everything", "it can switch off the alarms"},
	{"events:PutRule", "everything", "it can switch off the alarms"},
	{"events:RemoveTargets", "everything", "it can switch off the alarms"},
	{"sns:DeleteTopic", "everything", "it can switch off the alarms"},
	{"cognito-identity:SetIdentityPoolRoles", "any", "it can give roles to strangers"},
	{"cloudformation:CreateStack", "any", "with PassRole it acts as a role"},
	{"glue:CreateDevEndpoint", "any", "with PassRole it acts as a role"},
	{"datapipeline:PutPipelineDefinition", "any", "it can act as the pipeline's role"},
	{"ecs:RegisterTaskDefinition", "any", "with PassRole it acts as a role"},
	{"batch:RegisterJobDefinition", "any", "with PassRole it acts as a role"},
	{"autoscaling:CreateLaunchConfiguration", "any", "with PassRole it acts as a role"},
	{"bedrock-agentcore:CreateCodeInterpreter", "any", "with PassRole it acts as a role"},
	{"apprunner:UpdateService", "any", "it can act as the service's role"},
	{"eks:CreateAccessEntry", "any", "it can be an administrator of EKS clusters"},
	{"eks-auth:AssumeRoleForPodIdentity", "any", "it can take on pods' roles"},
	{"lambda:AddPermission", "any", "it can let others call a function"},
	{"lambda:CreateFunction", "any", "with PassRole it acts as a role"},
}

// kindsOfResources are the ARNs of a kind, and one that no policy names as such.
var kindsOfResources = map[string][2]string{
	"role":             {"arn:*:iam::*:role/*", "arn:aws:iam::ACCOUNT:role/review-stranger"},
	"root":             {"arn:*:iam::*:root", "arn:aws:iam::ACCOUNT:root"},
	"instance-profile": {"arn:*:iam::*:instance-profile/*", "arn:aws:iam::ACCOUNT:instance-profile/review-stranger"},
	"user":             {"arn:*:iam::*:user/*", "arn:aws:iam::ACCOUNT:user/review-stranger"},
	"group":            {"arn:*:iam::*:group/*", "arn:aws:iam::ACCOUNT:group/review-stranger"},
	"policy":           {"arn:*:iam::*:policy/*", "arn:aws:iam::ACCOUNT:policy/review-stranger"},
	"oidc-provider":    {"arn:*:iam::*:oidc-provider/*", "arn:aws:iam::ACCOUNT:oidc-provider/review-stranger"},
	"saml-provider":    {"arn:*:iam::*:saml-provider/*", "arn:aws:iam::ACCOUNT:saml-provider/review-stranger"},
	"trust-anchor":     {"arn:*:rolesanywhere:*:*:trust-anchor/*", "arn:aws:rolesanywhere:REGION:ACCOUNT:trust-anchor/review-stranger"},
	"profile":          {"arn:*:rolesanywhere:*:*:profile/*", "arn:aws:rolesanywhere:REGION:ACCOUNT:profile/review-stranger"},
	"instance":         {"arn:*:*:*:*:*instance/*", "arn:aws:ec2:REGION:ACCOUNT:instance/i-0reviewstranger"},
	"kms":              {"arn:*:kms:*:*:key/*", "arn:aws:kms:REGION:ACCOUNT:key/review-stranger"},
	"secret":           {"arn:*:secretsmanager:*:*:secret:*", "arn:aws:secretsmanager:REGION:ACCOUNT:secret:review-stranger"},
	"any":              {"*", ""},
}

// target is a resource of the stack from which identities are made.
type target struct {
	arn, id, what, why, safe string
	actions                  []string
}

// shutsOut is the sign of who can only break what makes identities.
const shutsOut = "permissions-lead-on"

// targets lists what of the stack makes identities: the private keys, the issuer's documents and all that stands between them
// and AWS, the servers, the trust anchors and profiles.
func (w *world) targets() []target {
	if w.targeted != nil {
		return w.targeted
	}
	list := []target{}
	const be = "whoever adds a key to it can be every identity"
	add := func(arn, id, what, why, safe string, actions ...string) {
		if arn != "" && !slices.ContainsFunc(list, func(t target) bool { return t.arn == arn && t.what == what }) {
			list = append(list, target{arn, id, what, why, safe, actions})
		}
	}
	issuerBuckets := map[string]bool{}
	for _, c := range w.p.Changes {
		r := c.Now()
		arn := w.arn(r)
		switch {
		case isObject(r.Type) && (isKeySet(r) || isDiscovery(r)):
			add(arn, "writes-key-set", "may write the published key set", be, "grant writes below a prefix of a bucket of its own",
				"s3:PutObject", "s3:DeleteObject", "s3:PutObjectAcl", "s3:RestoreObject", "s3:DeleteObjectVersion", "s3:ReplicateObject")
			if bucket, ok := r.Text("bucket"); ok && !issuerBuckets[bucket] {
				issuerBuckets[bucket] = true
				add(fmt.Sprintf("arn:%s:s3:::%s", w.partition, bucket), "writes-key-set", "may say who writes the published key set", be, "leave the issuer's bucket to the stack",
					"s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutBucketAcl", "s3:PutBucketPublicAccessBlock", "s3:PutBucketOwnershipControls",
					"s3:PutReplicationConfiguration", "s3:DeleteBucket", "s3:PutBucketWebsite", "s3:PutLifecycleConfiguration")
			}
		case r.Type == typeParameter && isPrivate(r):
			add(arn, "reads-signing-key", "may read the cluster's private keys", "whoever reads the signing key can be every identity", "leave the parameters below server/ to the servers' role alone",
				"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory")
			add(arn, "writes-signing-key", "may write the cluster's private keys", "servers boot with the key that it chooses", "leave the parameters below server/ to the stack",
				"ssm:PutParameter", "ssm:DeleteParameter", "ssm:DeleteParameters")
		case r.Type == typeParameter && isJoinToken(r):
			add(arn, "reads-join-token", "may read the agents' join token", "with it a machine joins the cluster, and is given pods and their tokens", "leave the token to the agents' role",
				"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory")
		case r.Type == typeDistribution:
			add(arn, "writes-key-set", "may change what the issuer's CloudFront distribution answers", "whoever publishes the keys can be every identity", "leave the distribution to the stack",
				"cloudfront:UpdateDistribution", "cloudfront:UpdateDistributionWithStagingConfig", "cloudfront:DeleteDistribution", "cloudfront:AssociateAlias", "cloudfront:TagResource")
		case r.Type == typeRecord:
			if zone, ok := r.Text("zoneId"); ok {
				add(fmt.Sprintf("arn:%s:route53:::hostedzone/%s", w.partition, zone), "writes-key-set", "may change where the issuer's name leads", "whoever owns the name publishes the keys, and can be every identity",
					"leave the zone's records to the stack", "route53:ChangeResourceRecordSets", "route53:DeleteHostedZone")
			}
		case r.Type == typeTrustAnchor:
			add(arn, "writes-key-set", "may exchange the CA whose certificates are identities", "whoever has that CA's key can be every identity", "leave the trust anchor to the stack", "rolesanywhere:UpdateTrustAnchor")
			add(arn, shutsOut, "may switch the trust anchor off", "no pod gets a session any more", "leave the trust anchor to the stack", "rolesanywhere:DisableTrustAnchor", "rolesanywhere:DeleteTrustAnchor")
		case r.Type == typeRAProfile:
			add(arn, shutsOut, "may switch the profile off", "no pod gets a session any more", "leave the profile to the stack", "rolesanywhere:DisableProfile", "rolesanywhere:DeleteProfile", "rolesanywhere:UpdateProfile")
		case r.Type == typeOIDCProvider:
			add(arn, shutsOut, "may shut every pod out", "no token is accepted without the IAM OIDC provider", "leave the provider to the stack", "iam:DeleteOpenIDConnectProvider", "iam:RemoveClientIDFromOpenIDConnectProvider")
		case r.Type == typeInstance && isServer(r):
			add(arn, "reaches-servers", "may get onto the cluster's servers", "the signing key is on their disks: whoever reads it can be every identity", "give access to machines to people, not to pods",
				"ssm:StartSession", "ssm:SendCommand", "ec2:ModifyInstanceAttribute", "ec2:ReplaceIamInstanceProfileAssociation", "ec2:AssociateIamInstanceProfile",
				"ec2-instance-connect:SendSSHPublicKey", "ec2:ModifyInstanceMetadataOptions", "ec2:CreateReplaceRootVolumeTask", "ec2:GetPasswordData")
		}
	}
	w.targeted = list
	return list
}

// isPrivate tells whether a parameter holds a private key or the token of the cluster's servers.
func isPrivate(r *preview.Resource) bool {
	name := parameterName(r)
	return strings.Contains(name, "/server/") && (strings.HasSuffix(name, ".key") || strings.HasSuffix(name, "/token"))
}

// parameterName is the name of a parameter that is the cluster's; empty for others.
func parameterName(r *preview.Resource) string {
	name, _ := r.Text("name")
	if name == "" {
		name, _ = r.Output("arn").(string)
	}
	if r.ParentType() != "k3s-aws-auth:k3s:Cluster" && !strings.Contains(name, "/k3s-aws-auth/") {
		return ""
	}
	return name
}

func isJoinToken(r *preview.Resource) bool {
	return strings.HasSuffix(parameterName(r), "/agent/token")
}

// mayHave tells whether policies can have an action, resources and conditions aside.
func mayHave(docs []*policy.Document, action string) bool {
	for _, d := range docs {
		for i := range d.Statements {
			s := &d.Statements[i]
			if s.Effect == "Allow" && (s.NotActions != nil || slices.ContainsFunc(s.Actions, func(a string) bool { return access.ActionMatches(a, action) })) {
				return true
			}
		}
	}
	return false
}

// pathSigns look for ways that an identity newly has to others' permissions, and to what makes identities.
func (w *world) pathSigns(i *Identity, was, is role) []Sign {
	if !is.there || slices.Equal(was.policies.Identity, is.policies.Identity) && slices.Equal(was.policies.Boundary, is.policies.Boundary) && slices.Equal(was.policies.Session, is.policies.Session) {
		return nil
	}
	var signs []Sign
	seen := map[string]bool{}
	told := map[string]bool{}
	add := func(level Level, id, what, why, safe string) {
		if !seen[id+what] {
			seen[id+what] = true
			signs = append(signs, Sign{ID: id, Level: level, What: what, Why: why, Safe: safe, Resources: []string{i.Role}})
		}
	}
	server := w.serverRoles()[i.urn]
	for _, t := range w.targets() {
		if server || t.id == "reads-join-token" && i.Kind == Node || seen[t.id+i.Name+" "+t.what] {
			continue
		}
		for _, action := range t.actions {
			if mayHave(is.policies.Identity, action) && slices.ContainsFunc(access.ActedOn(action, t.arn), func(arn string) bool { return access.Gains(was.policies, is.policies, action, arn) }) {
				level := Danger
				if t.id == shutsOut {
					level = Warning
				}
				add(level, t.id, i.Name+" "+t.what, action+": "+t.why, t.safe)
				told[action] = true
				break
			}
		}
	}
	const safe = "grant the actions that are used, on the resources that they are used on"
	// One sign for each grant, with the first of its ways: an administrator has all of them.
	type way struct {
		level Level
		why   []string
	}
	byGrant := map[string]*way{}
	var order []string
	for _, p := range paths {
		if !mayHave(is.policies.Identity, p.action) {
			continue
		}
		for _, g := range access.GainedBy(was.policies, is.policies, p.action) {
			level, ok := w.reaches(p, g, is)
			if !ok || p.action == "secretsmanager:GetSecretValue" && level != Danger {
				continue
			}
			if told[p.action] && p.kind == "everything" {
				continue // said of the stack's own
			}
			if p.action == "secretsmanager:GetSecretValue" || strings.HasPrefix(p.action, "kms:") {
				level = Warning
			}
			k := g.Resource
			if g.Condition != "" {
				k += ", if " + g.Condition
			}
			if byGrant[k] == nil {
				byGrant[k] = &way{level: Warning}
				order = append(order, k)
			}
			b := byGrant[k]
			if level == Danger {
				if b.level != Danger {
					b.why = nil
				}
				b.level = Danger
			} else if b.level == Danger {
				continue
			}
			b.why = append(b.why, p.action+": "+p.why)
		}
	}
	for _, k := range order {
		b := byGrant[k]
		why := b.why[0]
		if more := len(b.why) - 1; more > 0 {
			why += fmt.Sprintf("; and %d more ways", more)
		}
		action, _, _ := strings.Cut(b.why[0], ": ")
		id, what := "permissions-escalate", fmt.Sprintf("%s gains %s on %s", i.Name, action, k)
		if administrator(is) && !administrator(was) && strings.HasPrefix(k, "*") {
			what, why = fmt.Sprintf("%s gains every action on %s", i.Name, k), "that is an administrator"
		}
		if b.level == Warning {
			id = "permissions-lead-on"
		}
		add(b.level, id, what, why, safe)
	}
	return signs
}

// administrator tells whether every action is allowed on everything, under whatever conditions.
func administrator(r role) bool {
	for _, d := range r.policies.Identity {
		for _, s := range d.Statements {
			if s.Effect == "Allow" && slices.Contains(s.Actions, "*") && slices.Contains(s.Resources, "*") {
				return r.policies.Boundary == nil && r.policies.Session == nil
			}
		}
	}
	return false
}

// reaches tells how far a grant of a path's action leads: to every resource of the kind, or to one that makes identities
// (danger), to some (a warning), or to none.
func (w *world) reaches(p path, g access.Grant, is role) (Level, bool) {
	kind := kindsOfResources[p.kind]
	if p.kind == "everything" { // a specific resource is what it was meant for; those of the stack are among the targets
		return Warning, g.Resource == "*" || strings.HasPrefix(g.Resource, "everything but ") || wideARN(g.Resource)
	}
	if p.kind == "any" {
		service, _, _ := strings.Cut(p.action, ":")
		service = strings.TrimSuffix(strings.TrimSuffix(service, "-instance-connect"), "-auth")
		if g.Resource != "*" && !strings.HasPrefix(g.Resource, "everything but ") && !access.ResourcesOverlap(g.Resource, "arn:*:"+service+":*") {
			return "", false
		}
		if g.Resource == "*" || strings.HasPrefix(g.Resource, "everything but ") || strings.HasSuffix(g.Resource, ":*") || wideARN(g.Resource) {
			return Danger, true
		}
		return Warning, true
	}
	if strings.HasPrefix(g.Resource, "everything but ") {
		return Danger, true
	}
	if !access.ResourcesOverlap(g.Resource, kind[0]) {
		return "", false
	}
	stranger := strings.NewReplacer("ACCOUNT", w.account, "REGION", w.regionOr("eu-central-1"), "arn:aws:", "arn:"+w.partition+":").Replace(kind[1])
	if access.ResourceMatches(g.Resource, stranger) {
		return Danger, true
	}
	if is.arn != "" && p.kind == "role" && p.action != "sts:AssumeRole" && p.action != "iam:PassRole" && access.ResourceMatches(g.Resource, is.arn) {
		return Danger, true // itself
	}
	if p.kind == "role" {
		for _, c := range w.byType[typeRole] {
			if arn := w.arn(c.Now()); arn != "" && access.ResourceMatches(g.Resource, arn) && w.serverRoles()[c.Now().URN] {
				return Danger, true
			}
		}
	}
	return Warning, true
}

// wideARN tells whether a pattern has all resources of a service: nothing but wildcards after its account.
func wideARN(pattern string) bool {
	parts := strings.SplitN(pattern, ":", 6)
	return strings.HasSuffix(pattern, "*") && (len(parts) < 6 || strings.Trim(parts[5], "*/") == "" || strings.Count(parts[5], "/") == 1 && strings.HasSuffix(parts[5], "/*") && parts[2] != "s3")
}

func (w *world) regionOr(text string) string {
	if w.region == "*" {
		return text
	}
	return w.region
}

// serverRoles are the roles (URNs) of the machines that are the cluster's servers, which have the keys anyway. Where the
// preview has no such machine, names tell.
func (w *world) serverRoles() map[string]bool {
	if w.servants != nil {
		return w.servants
	}
	w.servants = map[string]bool{}
	for _, s := range []side{before, after} {
		profiles := w.machineRoles(s)
		if len(w.servants) > 0 {
			break // a machine that is new says nothing of who has the keys anyway
		}
		for _, m := range w.byType[typeInstance] {
			if r := s.of(m); r != nil && isServer(r) {
				if role := roleOf(r, profiles); role != "" {
					w.servants[role] = true
				}
			}
		}
	}
	if len(w.servants) == 0 {
		for _, c := range w.byType[typeRole] {
			if c.Now().ParentType() == "k3s-aws-auth:instanceprofile:InstanceProfile" && strings.HasSuffix(strings.TrimSuffix(c.Now().Name(), "-role"), "-server") {
				w.servants[c.Now().URN] = true
			}
		}
	}
	return w.servants
}
