package causes

// Sources of the messages.
const (
	stsAPI     = "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html"
	iamDenied  = "https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"
	commonErrs = "https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html"
	raGuide    = "https://docs.aws.amazon.com/rolesanywhere/latest/userguide/introduction.html; texts as users report them"
	raTrust    = "https://docs.aws.amazon.com/rolesanywhere/latest/userguide/trust-model.html"
	helper     = "aws/rolesanywhere-credential-helper aws_signing_helper"
	goWeb      = "aws/aws-sdk-go-v2 credentials/stscreds/web_identity_provider.go"
	goProcess  = "aws/aws-sdk-go-v2 credentials/processcreds/provider.go"
	goIMDS     = "aws/aws-sdk-go-v2 credentials/ec2rolecreds/provider.go, feature/ec2/imds"
	goConfig   = "aws/aws-sdk-go-v2 config/resolve_credentials.go"
	boto       = "boto/botocore botocore/exceptions.py"
	botoCreds  = "boto/botocore botocore/credentials.py" //nolint:gosec // where a message comes from
	javaWeb    = "aws/aws-sdk-java-v2 core/auth WebIdentityCredentialsUtils, WebIdentityTokenFileCredentialsProvider"
	javaChain  = "aws/aws-sdk-java-v2 core/auth AwsCredentialsProviderChain"
	javaProc   = "aws/aws-sdk-java-v2 core/auth ProcessCredentialsProvider"
	jsWeb      = "aws/aws-sdk-js-v3 packages/credential-provider-web-identity"
	jsProcess  = "aws/aws-sdk-js-v3 packages/credential-provider-process"
	jsChain    = "aws/aws-sdk-js-v3 packages/credential-provider-node"
	rust       = "smithy-lang/smithy-rs aws/rust-runtime/aws-config"
	kubelet    = "kubernetes/kubernetes pkg/kubelet, pkg/volume"
	pulling    = "kubernetes/kubernetes pkg/credentialprovider/plugin, pkg/kubelet/images; containerd core/remotes/docker"
)

// Pages of docs/.
const (
	pageSetups    = "setups.md"
	pageIssuer    = "oidc-issuer.md"
	pageInjection = "injection.md"
	pageRA        = "roles-anywhere.md"
	pageIdentity  = "identities.md"
	pageCluster   = "cluster.md"
	pageImages    = "images.md"
)

// Commands that several reasons have in common.
const (
	upAgain    = "`pulumi up` writes it again as the configuration says"
	upRefresh  = "`pulumi up --refresh` makes again what was deleted by hand"
	podAgain   = "`kubectl delete pod <pod>`, so that it is made again with what it lacks"
	whichTrust = "`aws iam get-role --role-name <role> --query Role.AssumeRolePolicyDocument`"
	claimsOf   = "read the token's claims in the pod: `cut -d. -f2 \"$AWS_WEB_IDENTITY_TOKEN_FILE\" | base64 -d`"
)

// catalogue has AWS's refusals first, then the kubelet's and the clients' own messages, each from the particular to the general.
var catalogue = []Cause{
	{
		ID: "sts-no-provider", Says: "InvalidIdentityToken: No OpenIDConnect provider found in your account for …", From: "STS", Source: stsAPI,
		Pattern: matches(`No OpenIDConnect provider found in your account for (?P<issuer>\S+)`), Page: pageIssuer,
		Reasons: []Reason{
			{"the account has no IAM OIDC provider of this issuer: it was deleted, or the role is of another account", "`aws iam list-open-id-connect-providers` lacks the issuer of the message; compare the account in the role's ARN", upRefresh},
			{"the API server signs with another `service-account-issuer` than the stack's", claimsOf + ": `iss` is not the stack's output `issuerUrl`", "put the issuer back first in the API servers' `kube-apiserver-arg` and restart K3s; pods that got a token meanwhile must be made again"},
			{"issuer and provider differ in a character: a slash at the end, a port, capitals", "compare `iss` with the provider's `Url` to the byte", "change the issuer of the API server; IAM's URL cannot be changed, only made again"},
		},
	},
	{
		ID: "sts-audience", Says: "InvalidIdentityToken: Incorrect token audience", From: "STS", Source: stsAPI,
		Pattern: says("Incorrect token audience"), Page: pageInjection,
		Reasons: []Reason{
			{"the pod's token volume asks for another audience than `sts.amazonaws.com`", "`kubectl get pod <pod> -o jsonpath='{.spec.volumes[*].projected.sources[*].serviceAccountToken.audience}'`", "set `audience: sts.amazonaws.com`, or take the annotation `eks.amazonaws.com/audience` off the service account, and make the pod again"},
			{"AWS_WEB_IDENTITY_TOKEN_FILE names the Kubernetes API's own token (/var/run/secrets/kubernetes.io/…)", "`aud` in the token is the cluster's", "let the variable name the projected token"},
			{"the provider's client ids lack `sts.amazonaws.com`", "`aws iam get-open-id-connect-provider --open-id-connect-provider-arn <arn> --query ClientIDList`", upAgain},
		},
	},
	{
		ID: "sts-verification-key", Says: "InvalidIdentityToken: Couldn't retrieve verification key from your identity provider, …", From: "STS", Source: stsAPI,
		Pattern: says("Couldn't retrieve verification key from your identity provider"), Page: pageIssuer,
		Reasons: []Reason{
			{"the issuer's documents are not public: Block Public Access of the bucket or of the account, a bucket policy, a disabled distribution", "`curl -i <issuer>/.well-known/openid-configuration` without credentials answers 403 or nothing", "irsa-s3: let S3's account-level Block Public Access off for policies; then `pulumi up`"},
			{"the key set has no key with the token's `kid`: the signing key was replaced and not published", "compare `kid` in the token's header with those of the JWKS", "publish the key (`pulumi up`), or give the API servers the published one; pods made meanwhile must be made again"},
			{"the key set is empty, no JSON, or has no RSA or EC key", "`curl <jwks_uri>`", upAgain},
			{"`issuer` in the discovery document is not the issuer to the byte, or `jwks_uri` leads nowhere", "`curl <issuer>/.well-known/openid-configuration`", upAgain},
			{"the documents take longer than 5 s, or CloudFront's caches still have an older key set", "`curl -w '%{time_total}'`; the header `age`", "wait for max-age, or invalidate the path in CloudFront"},
		},
	},
	{
		ID: "sts-thumbprint", Says: "InvalidIdentityToken: OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint", From: "STS", Source: stsAPI,
		Pattern: says("HTTPS certificate doesn't match configured thumbprint"), Page: pageIssuer,
		Reasons: []Reason{
			{"the issuer's TLS certificate is of a CA that AWS does not trust, and the provider has the thumbprint of another", "`openssl s_client -connect <host>:443 -showcerts`", "serve the issuer with a publicly trusted certificate; S3 and CloudFront need no thumbprint"},
			{"something between AWS and the issuer answers: DNS leads elsewhere", "resolve the issuer's name outside your network", "mend the DNS record"},
		},
	},
	{
		ID: "sts-idp-communication", Says: "IDPCommunicationError: Error communicating with the identity provider …", From: "STS", Source: stsAPI,
		Pattern: matches(`IDPCommunicationError|IDPCommunicationErrorException`), Page: pageIssuer,
		Reasons: []Reason{
			{"the issuer's host does not answer STS: a disabled distribution, a DNS record that is gone", "`curl -v <issuer>/.well-known/openid-configuration` from outside", "enable the distribution, restore the record; clients may retry this error"},
			{"the issuer answers slower than STS waits", "`curl -w '%{time_total}'`", "serve the documents from a cache"},
		},
	},
	{
		ID: "sts-token-expired", Says: "ExpiredTokenException: Token expired: current date/time … must be before the expiration date/time …", From: "STS", Source: stsAPI,
		Pattern: matches(`Token expired: current date/time (?P<now>\d+) must be before the expiration date/time (?P<expiry>\d+)`), Page: pageInjection,
		Reasons: []Reason{
			{"the client read the token once and never again", "the file in the pod is younger than the token that was sent", "use a client that reads AWS_WEB_IDENTITY_TOKEN_FILE at each refresh; restart the pod for now"},
			{"the kubelet cannot renew the token: the API server is away, or the service account is gone", "events of the node and pod: `kubectl get events`; the kubelet's log names `token`", "mend the API server or make the service account again"},
			{"a token was copied out of a pod, or is mounted by `subPath`, which is never renewed", "`kubectl get pod <pod> -o yaml` has `subPath` in the mount", "mount the volume's directory"},
		},
	},
	{
		ID: "sts-token-not-yet-valid", Says: "InvalidIdentityToken: Token is not yet valid", From: "STS", Source: "AWS does not document the text",
		Pattern: matches(`InvalidIdentityToken.*not yet valid`), Page: pageSetups,
		Reasons: []Reason{{"the servers' clock is ahead: the API server writes a token's times", "`iat` of a new token against `date -u`", "start time synchronisation on the servers (`timedatectl`), then make the pods again"}},
	},
	{
		ID: "sts-malformed-token", Says: "InvalidIdentityToken: The ID Token provided is not a valid JWT. …; Missing a required claim; Provided Token is not a …", From: "STS", Source: stsAPI,
		Pattern: matches(`ID Token provided is not a valid JWT|Missing a required claim|Provided Token is not a`), Page: pageInjection,
		Reasons: []Reason{
			{"the file has something else than a token: a path was passed as the token, or the file was cut", "`wc -c \"$AWS_WEB_IDENTITY_TOKEN_FILE\"`; a token has two dots", "pass the file's content where the API wants a token, its path in AWS_WEB_IDENTITY_TOKEN_FILE"},
			{"the token is one of a legacy Secret, which has no `exp` and another issuer", claimsOf, "use a projected token"},
		},
	},
	{
		ID: "sts-web-identity-denied", Says: "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity", From: "STS", Source: stsAPI,
		Pattern: says("Not authorized to perform sts:AssumeRoleWithWebIdentity"), Page: pageIdentity,
		Reasons: []Reason{
			{"the role trusts another subject: namespace or service account of the pod are not those of the trust policy's `sub`", whichTrust + " against `system:serviceaccount:<namespace>:<service account>`", "let the pod use the identity's service account, or correct `identities` and run `pulumi up`"},
			{"the role does not exist, or AWS_ROLE_ARN has a typing error or another account", "`aws iam get-role --role-name <role>`", "correct the annotation `eks.amazonaws.com/role-arn`; " + upRefresh},
			{"the trust policy's `aud` is not the token's", whichTrust, upAgain},
			{"the trust policy names the provider of another cluster, or its condition keys another issuer", whichTrust + ": Principal.Federated and the keys before `:sub`", upAgain},
			{"the trust policy names the subject with StringEquals and a wildcard, which is then plain text", whichTrust, "name the subject in full"},
		},
	},
	{
		ID: "sts-tags-denied", Says: "AccessDenied: Not authorized to perform sts:TagSession (or sts:SetSourceIdentity)", From: "STS", Source: stsAPI,
		Pattern: matches(`Not authorized to perform sts:(TagSession|SetSourceIdentity)`), Page: pageIdentity,
		Reasons: []Reason{{"the token or caller carries session tags or a source identity, and the role's trust does not allow these actions", whichTrust, "allow them in the trust policy beside the assume action"}},
	},
	{
		ID: "sts-assume-role-denied", Says: "AccessDenied: User: … is not authorized to perform: sts:AssumeRole on resource: …", From: "STS", Source: iamDenied,
		Pattern: matches(`User: (?P<caller>\S+) is not authorized to perform: sts:AssumeRole on resource: (?P<role>\S+)`), Page: pageIdentity,
		Reasons: []Reason{
			{"the target role does not trust the caller's role", "the target's trust policy; output `identities` shows the one that it needs", "put that trust policy on the target role"},
			{"the caller's own policies or boundary do not allow sts:AssumeRole on it", "`identities[].assumeRoles` lacks the role", "list it there and run `pulumi up`"},
			{"the caller is not who you think: a node's role", "the caller in the message ends with an instance id (`i-…`)", "see finding node-identity"},
		},
	},
	{
		ID: "sts-duration", Says: "ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", From: "STS, Roles Anywhere", Source: stsAPI,
		Pattern: says("DurationSeconds exceeds the MaxSessionDuration"), Page: pageIdentity,
		Reasons: []Reason{
			{"the client asks for longer sessions than the role allows", "`aws iam get-role --query Role.MaxSessionDuration`; `duration_seconds` of the profile, AWS_ROLE_DURATION", "ask for less, or raise the role's maximum"},
			{"the role is assumed by another role's session, which AWS limits to one hour", "the caller is an assumed role", "ask for at most 3600"},
			{"the Roles Anywhere profile's duration is longer than the role's maximum", "`aws rolesanywhere get-profile`", upAgain},
		},
	},
	{
		ID: "sts-throttled", Says: "Throttling: Rate exceeded; ThrottlingException; TooManyRequestsException; SlowDown", From: "any AWS service", Source: commonErrs,
		Pattern: matches(`ThrottlingException|Throttling: |\(Throttling\)|Rate exceeded|TooManyRequestsException|RequestLimitExceeded`), Page: "experiments.md",
		Reasons: []Reason{
			{"many pods start at once: CreateSession has a quota of 10 a second, STS's is the account's", "the number of pods that started in that second", "let the client retry (`AWS_RETRY_MODE=adaptive`), spread the start; Service Quotas raises STS's"},
			{"something asks for a session with each call: the AWS CLI in a loop", "the calls in CloudTrail", "keep one client, which keeps its session"},
		},
	},
	{
		ID: "denied-boundary", Says: "… is not authorized to perform: … because no permissions boundary allows the … action", From: "any AWS service", Source: iamDenied,
		Pattern: matches(`User: (?P<caller>\S+) is not authorized to perform: (?P<action>\S+).*permissions boundary`), Page: pageIdentity,
		Reasons: []Reason{{"the role's permissions boundary lacks the action, whatever its policies say", "`aws iam get-role --query Role.PermissionsBoundary`", "ask the boundary's owner; `permissionsBoundary` of the configuration names it"}},
	},
	{
		ID: "denied-session-policy", Says: "… is not authorized to perform: … because no session policy allows the … action", From: "any AWS service", Source: iamDenied,
		Pattern: matches(`User: (?P<caller>\S+) is not authorized to perform: (?P<action>\S+).*session policy`), Page: pageRA,
		Reasons: []Reason{{"the session was made with a policy that lacks the action: of the Roles Anywhere profile, or of the client", "`aws rolesanywhere get-profile`: sessionPolicy, managedPolicyArns", "take it off the profile, or allow the action there"}},
	},
	{
		ID: "denied-organization", Says: "… is not authorized to perform: … with an explicit deny in a service control policy (or: because no service control policy allows)", From: "any AWS service", Source: iamDenied,
		Pattern: matches(`is not authorized to perform: (?P<action>\S+).*(service|resource) control policy`), Page: "account.md",
		Reasons: []Reason{{"the organization forbids the action in this account", "ask who runs the organization; the account itself cannot see it", "an exception of the organization, or another action"}},
	},
	{
		ID: "denied-resource-policy", Says: "… is not authorized to perform: … because no resource-based policy allows, or with an explicit deny in a resource-based policy", From: "any AWS service", Source: iamDenied,
		Pattern: matches(`User: (?P<caller>\S+) is not authorized to perform: (?P<action>\S+).*(resource-based policy|VPC endpoint policy)`), Page: pageIdentity,
		Reasons: []Reason{{"the resource's own policy (a bucket's, a key's, an endpoint's) refuses the caller", "the policy of the resource that the message names", "allow the role there, or take the deny away"}},
	},
	{
		ID: "denied-node", Says: "User: arn:aws:sts::…:assumed-role/…/i-… is not authorized to perform: …", From: "any AWS service", Source: iamDenied,
		Pattern: matches(`User: (?P<caller>arn:[\w-]+:sts::\d+:assumed-role/[^/\s]+/i-[0-9a-f]{8,17}) is not authorized to perform: (?P<action>\S+)`), Page: pageInjection,
		Reasons: []Reason{
			{"the pod calls as its node: it has no identity of its own, and the SDK fell back to the metadata service", "`kubectl get pod <pod> -o yaml` has no AWS_ROLE_ARN; the pod has hostNetwork, or the node's hop limit is 2", "give the pod the identity's service account and make it again; set AWS_EC2_METADATA_DISABLED=true, so that this fails loudly"},
			{"setup instance-profile: the agents' role lacks the identity's permission", "`aws iam list-role-policies --role-name <role>`", upAgain},
		},
	},
	{
		ID: "denied-identity-policy", Says: "User: … is not authorized to perform: … because no identity-based policy allows the … action", From: "any AWS service", Source: iamDenied,
		Pattern: matches(`User: (?P<caller>\S+) is not authorized to perform: (?P<action>\S+)( on resource: (?P<resource>\S+))?`), Page: pageIdentity,
		Reasons: []Reason{
			{"the role's policies lack the action, or the resource: the identity works, its permissions do not reach", "`aws iam list-role-policies`, `list-attached-role-policies`; mind that an object's ARN ends with /*", "add a statement to `identities[].statements` and run `pulumi up`"},
			{"the caller in the message is another than you think", "its role and session name", "see sts-web-identity-denied for who may be whom"},
			{"a condition of the policy does not hold: region, tags, source address", "the statement's Condition", "correct the condition"},
		},
	},
	{
		ID: "s3-access-denied", Says: "AccessDenied: Access Denied", From: "S3", Source: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html",
		Pattern: matches(`AccessDenied[^A-Za-z]+(when calling the \w+ operation: )?Access Denied`), Page: pageIdentity,
		Reasons: []Reason{
			{"the caller is anonymous, or of another account: S3 then says no more than this", "`aws sts get-caller-identity` in the pod", "see which of the messages above the caller gets first"},
			{"the object is not there and the caller may not list the bucket: S3 answers 403 for 404", "`aws s3api head-object` as an administrator", "allow s3:ListBucket, or correct the key"},
			{"Block Public Access refuses a public policy or reader", "`aws s3api get-public-access-block`, and the account's", "irsa-s3 needs both off for policies; irsa-cloudfront does without"},
			{"a permission that has just been given takes some seconds", "try again", "wait"},
		},
	},
	{
		ID: "ra-unable-to-assume", Says: "AccessDeniedException: Unable to assume role for …", From: "Roles Anywhere", Source: raGuide,
		Pattern: matches(`Unable to assume role for (?P<role>\S+)`), Page: pageRA,
		Reasons: []Reason{
			{"the role trusts another certificate name: `aws:PrincipalTag/x509Subject/CN` is not the certificate's CN", whichTrust + "; `openssl x509 -noout -subject` of the Secret's tls.crt", "correct `identities` and run `pulumi up`"},
			{"the profile does not list the role", "`aws rolesanywhere get-profile`: roleArns", upAgain},
			{"the role is gone", "`aws iam get-role --role-name <role>`", upRefresh},
			{"the trust policy lacks sts:SetSourceIdentity or sts:TagSession, or names another trust anchor in aws:SourceArn", whichTrust, upAgain},
		},
	},
	{
		ID: "ra-untrusted-signing", Says: "AccessDeniedException: Untrusted signing certificate", From: "Roles Anywhere", Source: raGuide,
		Pattern: says("Untrusted signing certificate"), Page: pageRA,
		Reasons: []Reason{
			{"another CA than the trust anchor's has signed the certificate", "issuer of the leaf against `aws rolesanywhere get-trust-anchor`", "`pulumi up`, then make the pods again, since they keep the mounted files until the kubelet renews them"},
			{"an intermediate is missing: the helper must send it with --intermediates", "`openssl verify -CAfile anchor.pem tls.crt`", "put the chain into the Secret"},
			{"AWS_CONFIG or the helper's arguments name the trust anchor of another stack", "--trust-anchor-arn in the pod's ConfigMap", upAgain},
		},
	},
	{
		ID: "ra-certificate-ended", Says: "AccessDeniedException: Untrusted certificate. Certificate is expired or not yet valid", From: "Roles Anywhere", Source: "AWS does not document the text",
		Pattern: matches(`Untrusted certificate\. Certificate is expired|certificate has expired or is not yet valid`), Page: pageRA,
		Reasons: []Reason{
			{"the leaf has ended: no `pulumi up` ran in its renewal window", "`openssl x509 -noout -enddate` of the Secret's tls.crt", "`pulumi up` renews it"},
			{"the machine that wrote the certificate, or the node, has a wrong clock", "`date -u` on the node; notBefore", "start time synchronisation"},
		},
	},
	{
		ID: "ra-revoked", Says: "AccessDeniedException: Untrusted certificate. Certificate is revoked", From: "Roles Anywhere", Source: "AWS does not document the text",
		Pattern: matches(`Certificate is revoked|certificate revoked`), Page: pageRA,
		Reasons: []Reason{{"a revocation list of the trust anchor has the certificate's serial number", "`aws rolesanywhere list-crls`", "issue the identity a new certificate: `pulumi up --replace <urn of the certificate>`"}},
	},
	{
		ID: "ra-insufficient", Says: "AccessDeniedException: Untrusted certificate. Insufficient certificate", From: "Roles Anywhere", Source: raTrust,
		Pattern: says("Insufficient certificate"), Page: pageRA,
		Reasons: []Reason{
			{"the leaf lacks key usage digitalSignature, is a CA, or is signed with SHA-1", "`openssl x509 -noout -text`: X509v3 Key Usage, Basic Constraints, Signature Algorithm", "issue it with digital_signature, CA:FALSE and SHA-256"},
			{"the certificate has no subject, or is X.509 v1", "`openssl x509 -noout -subject -text`", "give it a common name and version 3"},
		},
	},
	{
		ID: "ra-anchor-constraints", Says: "ValidationException: Incorrect basic constraints for CA certificate", From: "Roles Anywhere (CreateTrustAnchor)", Source: raTrust,
		Pattern: says("Incorrect basic constraints for CA certificate"), Page: pageRA,
		Reasons: []Reason{{"the CA's certificate is no CA: basicConstraints lacks CA:TRUE, or keyUsage Certificate Sign", "`openssl x509 -noout -text`", "issue the CA with both"}},
	},
	{
		ID: "ra-disabled", Says: "AccessDeniedException: Trust anchor is disabled; Profile is disabled", From: "Roles Anywhere", Source: "AWS does not document the texts",
		Pattern: matches(`(trust anchor|profile) (is|was) disabled`), Page: pageRA,
		Reasons: []Reason{{"somebody disabled it, or it was made without Enabled", "`aws rolesanywhere get-trust-anchor`, `get-profile`: enabled", "`aws rolesanywhere enable-trust-anchor --trust-anchor-id <id>` or `enable-profile --profile-id <id>`"}},
	},
	{
		ID: "ra-session-name", Says: "AccessDeniedException: Not authorized to set roleSessionName.", From: "Roles Anywhere", Source: raGuide,
		Pattern: says("Not authorized to set roleSessionName"), Page: pageRA,
		Reasons: []Reason{{"the client asks for a session name, and the profile does not accept one", "--role-session-name in the pod's AWS configuration", "set `rolesAnywhere.sessionName: pod`, or take the argument away"}},
	},
	{
		ID: "ra-not-found", Says: "ResourceNotFoundException: Trust anchor … (or profile) could not be found", From: "Roles Anywhere", Source: raGuide,
		Pattern: matches(`(Trust anchor|Profile) (?P<arn>arn:\S+) could not be found|ResourceNotFoundException.*(trust anchor|profile|CreateSession)`), Page: pageRA,
		Reasons: []Reason{
			{"the trust anchor or profile was deleted or made again: its ARN changed", "`aws rolesanywhere list-trust-anchors`, `list-profiles`", "`pulumi up`, then make the pods again"},
			{"the helper asks another region", "--region and the region in the ARNs", "let all three be one region"},
		},
	},
	{
		ID: "ra-signature", Says: "AccessDeniedException: Invalid signature (403)", From: "Roles Anywhere", Source: raGuide,
		Pattern: matches(`Invalid signature`), Page: pageRA,
		Reasons: []Reason{
			{"key and certificate do not belong together", "the public keys of tls.key and tls.crt differ", upAgain},
			{"the node's clock is wrong by more than five minutes", "`date -u`", "start time synchronisation"},
			{"a proxy changed the request", "HTTPS_PROXY in the pod", "let Roles Anywhere pass the proxy unchanged"},
		},
	},
	{
		ID: "clock-skew", Says: "SignatureDoesNotMatch: Signature not yet current / Signature expired; RequestTimeTooSkewed; RequestExpired", From: "any AWS service", Source: commonErrs,
		Pattern: matches(`Signature not yet current|Signature expired|RequestTimeTooSkewed|still expired|RequestExpired|Request has expired`), Page: pageSetups,
		Reasons: []Reason{{"the clock of the pod's node is wrong by more than five minutes (15 at S3)", "`date -u` on the node against the time in the message", "`timedatectl set-ntp true` on the node; 169.254.169.123 is EC2's own time server"}},
	},
	{
		ID: "signature-mismatch", Says: "SignatureDoesNotMatch: The request signature we calculated does not match …", From: "any AWS service", Source: commonErrs,
		Pattern: matches(`SignatureDoesNotMatch|request signature we calculated does not match`), Page: pageSetups,
		Reasons: []Reason{
			{"static keys in the environment are wrong or half replaced", "`env | grep AWS_` in the pod", "take AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY out: they go before the pod's identity"},
			{"a proxy changes requests", "HTTPS_PROXY", "let AWS's hosts pass unchanged"},
		},
	},
	{
		ID: "session-unknown", Says: "InvalidClientTokenId / UnrecognizedClientException: The security token included in the request is invalid.; InvalidAccessKeyId", From: "any AWS service", Source: commonErrs,
		Pattern: matches(`InvalidClientTokenId|UnrecognizedClientException|security token included in the request is invalid|InvalidAccessKeyId`), Page: pageSetups,
		Reasons: []Reason{
			{"the role was deleted, or deleted and made again: sessions of the old one are void", "the role's CreateDate is after the session's", "restart the client, so that it asks for a new session"},
			{"static keys of a user who is gone are in the environment", "`env | grep AWS_ACCESS_KEY_ID`: a key that begins with AKIA", "take them out"},
			{"the session token is missing: only key and secret were copied", "an ASIA key without AWS_SESSION_TOKEN", "pass all three"},
			{"a region that the account has to opt in to gets sessions of the global STS endpoint", "AWS_STS_REGIONAL_ENDPOINTS", "set it to `regional`"},
		},
	},
	{
		ID: "session-expired", Says: "ExpiredToken / ExpiredTokenException: The security token included in the request is expired", From: "any AWS service", Source: commonErrs,
		Pattern: matches(`security token included in the request is expired|The provided token has expired|\(ExpiredToken(Exception)?\)|ExpiredToken: `), Page: pageRA,
		Reasons: []Reason{
			{"the client never refreshes: credentials were read from a file or the environment once", "AWS_ACCESS_KEY_ID in the environment, a credentials file of `aws_signing_helper update`", "let the client use the pod's own provider (web identity or credential_process)"},
			{"refreshing fails, and the client goes on with what it has", "earlier lines of its log", "explain that error instead"},
			{"the node's clock is behind", "`date -u`", "start time synchronisation"},
		},
	},
	{
		ID: "malformed-authorization", Says: "MissingAuthenticationToken; IncompleteSignature; AuthFailure: AWS was not able to validate the provided access credentials", From: "any AWS service", Source: commonErrs,
		Pattern: matches(`MissingAuthenticationToken|IncompleteSignature|AWS was not able to validate the provided access credentials|AuthorizationHeaderMalformed|Credential should be scoped to a valid region`), Page: pageSetups,
		Reasons: []Reason{
			{"the request is unsigned, or its signature is for another region or service", "AWS_REGION, AWS_ENDPOINT_URL in the pod", "set AWS_REGION to the stack's region"},
			{"empty credentials were used: `serve` of an old credential helper answers success with empty keys", "the helper's version; a session that expires in year 1", "use credential_process, or a helper of 1.8.5 or newer"},
		},
	},
	{
		ID: "mount-secret-missing", Says: "MountVolume.SetUp failed for volume …: secret … not found", From: "kubelet", Source: kubelet,
		Pattern: matches(`MountVolume\.SetUp failed for volume "?(?P<volume>[^" ]+)"?.*(secret|configmap) \\?"?(?P<object>[^" \\]+)\\?"? not found|references non-existent secret key`), Page: pageRA,
		Reasons: []Reason{{"the Secret or ConfigMap of the identity is gone from the pod's namespace, or the pod is in another", "`kubectl -n <namespace> get secret,configmap`", upRefresh}},
	},
	{
		ID: "mount-token-failed", Says: "MountVolume.SetUp failed for volume …: failed to fetch token: …", From: "kubelet", Source: kubelet,
		Pattern: matches(`failed to fetch token|serviceaccount "?(?P<account>\S+?)"? not found`), Page: pageInjection,
		Reasons: []Reason{
			{"the pod's service account does not exist in its namespace", "`kubectl -n <namespace> get serviceaccount`", "make it, or correct serviceAccountName"},
			{"the API server refuses a token for this audience or life (at least 600 s)", "the rest of the message", "correct the volume"},
		},
	},
	{
		ID: "pull-unauthorized", Says: "Failed to pull image …: pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials", From: "container runtime", Source: pulling,
		Pattern: matches(`no basic auth credentials|pull access denied, repository does not exist or may require authorization`), Page: pageImages,
		Reasons: []Reason{
			{"the pod's service account has no annotation `eks.amazonaws.com/ecr-role-arn`: no kubelet asks for its credentials", "`kubectl get serviceaccount <account> -o yaml`", "list the repository in identities[].pull of the service account's identity; of an account that somebody else makes, run the command of the output `identities[].annotate`"},
			{"the node may not ask for the pod's token: the ClusterRole for nodes is gone, or does not name the service account", "`not found in pod spec volume` in `sudo journalctl -u k3s-agent`", upRefresh},
			{"the role gives the kubelet no session, or no token of the registry: it trusts somebody else, is suspended, or may not call ecr:GetAuthorizationToken", "`Failed to provide credentials` in `sudo journalctl -u k3s-agent` goes on with AWS's own words: `doctor explain` them", upAgain},
			{"the image's registry is none that agents know: of another account or region than the repositories listed", "`/var/lib/rancher/credentialprovider/config.yaml` on the node: matchImages", "list the repository, so that agents learn its registry"},
		},
	},
	{
		ID: "pull-denied", Says: "Failed to pull image …: unexpected status from HEAD request to https://….dkr.ecr.….amazonaws.com/…: 403 Forbidden", From: "container runtime", Source: pulling,
		Pattern: matches(`unexpected status from \w+ request to https://\d{12}\.dkr\.ecr\.\S+: 403 Forbidden`), Page: pageImages,
		Reasons: []Reason{
			{"the role that pulls may not pull from this repository: it is not among the identity's `pull`, or not among `cluster.pullRepositories`", "`aws iam get-role-policy` of the role: the statement PullImages", "list the repository"},
			{"the repository is another account's, which has not opened it to the role", "`aws ecr get-repository-policy` there", "let its policy allow the role ecr:BatchGetImage and ecr:GetDownloadUrlForLayer"},
		},
	},
	{
		ID: "pull-audience", Says: "failed to get service account token: … audience \"sts.amazonaws.com\" not found in pod spec volume, …", From: "kubelet", Source: "kubernetes/kubernetes plugin/pkg/admission/noderestriction",
		Pattern: says("not found in pod spec volume"), Page: pageImages,
		Reasons: []Reason{{"no role of the cluster lets nodes ask for tokens of this audience for this service account", "`kubectl get clusterrole -l app.kubernetes.io/part-of=k3s-aws-auth -o yaml`: resourceNames", upRefresh}},
	},
	{
		ID: "pull-provider", Says: "failed to register CRI auth plugins: plugin binary executable … did not exist; failed to validate credential provider config", From: "kubelet", Source: pulling,
		Pattern: matches(`failed to register CRI auth plugins|plugin binary executable \S* ?did not exist|credential provider config`), Page: pageImages,
		Reasons: []Reason{{"the credential provider is not on the node: its download failed, or its digest is another one", "`sudo journalctl -u k3s-boot`", "correct cluster.credentialProvider, `pulumi up`; on the node `sudo k3s-boot`"}},
	},
	{
		ID: "policy-not-served", Says: "the cluster's API server does not serve MutatingAdmissionPolicy", From: "`pulumi up`", Source: "components/injection/await.go",
		Pattern: says("API server does not serve MutatingAdmissionPolicy"), Page: pageInjection,
		Reasons: []Reason{
			{"a cluster of yours without the flags of the policy, or older than Kubernetes 1.34", "`kubectl api-resources --api-group admissionregistration.k8s.io`, and the flags in docs/injection.md", "set the flags on every server and restart them one after the other"},
			{"a server of the program's own cluster has not restarted yet", "`kubectl get nodes`; K3s's log on the servers", "run `pulumi up` again"},
		},
	},
	{
		ID: "not-injected", Says: "pods do not get their identity …: a pod was let through without its identity; … 403", From: "`pulumi up`", Source: "components/injection/await.go",
		Pattern: says("pods do not get their identity"), Page: pageInjection,
		Reasons: []Reason{
			{"a quota or another admission policy of the namespace refuses any pod", "403 in the message, which names it", "make room in the quota, or have the policy let the pods through"},
			{"the service account lacks its label or an annotation, or is another stack's of the same name", "`kubectl get serviceaccount <name> -o yaml` against the output identities[].annotate", "run the commands of that output, or give the identity a service account of its own"},
			{"the webhook is not reached by the API servers", "`kubectl --namespace pod-identity-webhook get pods`; the API server's log names it", "see the webhook's pods and its certificate; a firewall between servers and agents"},
		},
	},
	{
		ID: "admission-part-taken", Says: "policy '…' … denied request: … no such key: the pod has a volume … of its own; no such key: a container …", From: "API server", Source: "docs/injection.md",
		Pattern: matches(`no such key: (the pod|a container)`), Page: pageInjection,
		Reasons: []Reason{{"something of the pod is in the place of the token, the certificate, the helper or a variable of theirs", "the message names it; it is in the events of the ReplicaSet, StatefulSet or Job", "give the volume, mount, container or port another name, or take the variable out"}},
	},
	{
		ID: "admission-annotation", Says: "policy '…' … denied request: … no such key: k3s-aws-auth/…; an annotation of the ServiceAccount is empty", From: "API server", Source: "docs/injection.md",
		Pattern: matches(`no such key: (k3s-aws-auth/|an annotation )`), Page: pageInjection,
		Reasons: []Reason{
			{"the service account is one of yours (createServiceAccount: false) and lacks an annotation", "`kubectl get serviceaccount <name> -o yaml` against the output identities[].annotate", "run the commands of that output"},
			{"the delivery of the helper has changed, and the service account still has the annotations of the former", "the same", upAgain},
		},
	},
	{
		ID: "pod-security", Says: "pods … is forbidden: violates PodSecurity \"restricted:latest\"", From: "API server", Source: "https://kubernetes.io/docs/concepts/security/pod-security-admission/",
		Pattern: says("violates PodSecurity"), Page: pageIdentity,
		Reasons: []Reason{
			{"the namespace is one that createNamespace made, which enforces the level `restricted`", "`kubectl get namespace <name> -o yaml`: the label pod-security.kubernetes.io/enforce", "add the securityContext that the message lists, or set identities[].podSecurity"},
			{"the helper's delivery `node` needs a hostPath volume, which baseline and restricted forbid", "`hostPath` in the message", "podSecurity: privileged for that namespace, or another delivery"},
		},
	},
	{
		ID: "admission-refused", Says: "policy '…' … denied request", From: "API server", Source: "docs/injection.md",
		Pattern: matches(`(ValidatingAdmissionPolicy|MutatingAdmissionPolicy|policy) '[^']+'.* denied request`), Page: pageInjection,
		Reasons: []Reason{{"the admission policy cannot inject: an annotation has no text that it can use", "the event names the expression", "correct the annotation as the output identities[].annotate has it"}},
	},
	{
		ID: "helper-not-started", Says: "StartError of the init container credential-helper: exec: \"/bin/cp\" (or \"/bin/sh\"): stat …: no such file or directory", From: "container runtime", Source: "opencontainers/runc libcontainer",
		Pattern: matches(`exec: "/bin/(cp|sh)":.*no such file or directory|credential-helper.*StartError|StartError.*credential-helper`), Page: pageRA,
		Reasons: []Reason{{"the image of the pod's first container has no /bin/cp or, with the delivery `node`, no shell: distroless and scratch images", "`kubectl describe pod <pod>`", "`rolesAnywhere.helper.delivery: sidecar`, which needs nothing of the app's image"}},
	},
	{
		ID: "token-file-missing", Says: "unable to read file at …: no such file or directory; [Errno 2] No such file or directory: '…token'; ENOENT", From: "SDKs (Go, botocore, Java, JavaScript, Rust)", Source: goWeb + "; " + jsWeb,
		Pattern: matches(`(unable to read file at|No such file or directory|ENOENT|NoSuchFileException)[^.]*(?P<file>/var/run/secrets/\S+|\S*aws-iam-token\S*|\S+token\S*)`), Page: pageInjection,
		Reasons: []Reason{
			{"AWS_WEB_IDENTITY_TOKEN_FILE is set, and the container has no such mount", "`kubectl get pod <pod> -o yaml`: volumeMounts of this very container", "mount the token volume in each container that has the variable"},
			{"the path in the variable is not mountPath and path together", "compare the three", "correct the variable"},
		},
	},
	{
		ID: "token-file-denied", Says: "unable to read file at …: permission denied; [Errno 13] Permission denied; EACCES; AccessDeniedException: /var/run/…", From: "SDKs (Go, botocore, Java, JavaScript, Rust)", Source: goWeb,
		Pattern: matches(`(permission denied|EACCES|AccessDeniedException: /)[^\n]*`), Page: pageInjection,
		Reasons: []Reason{
			{"the token's or key's file is not readable by the container's user", "`ls -ln` of the file; runAsUser and fsGroup of the pod", "set fsGroup in the pod's securityContext"},
			{"credential_process names a program that may not be executed: image volumes are mounted noexec", "the message names the program", "copy it to an emptyDir, as the demo pod does"},
		},
	},
	{
		ID: "web-identity-no-role", Says: "configured to assume role with web identity but has no role ARN configured; role ARN is not set; Web identity configuration not specified", From: "SDKs (botocore, Go, JavaScript)", Source: botoCreds + "; " + goConfig + "; " + jsWeb,
		Pattern: matches(`no role ARN configured|role ARN is not set|token file path is not set|Web identity configuration not specified|AWS_WEB_IDENTITY_TOKEN_FILE or the javaproperty`), Page: pageInjection,
		Reasons: []Reason{
			{"only one of AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE is set: the container sets one itself, and so injection leaves both alone", "`env | grep AWS_` in the container", "take both out of the manifest, or write both"},
			{"a profile of the AWS configuration has one of role_arn and web_identity_token_file", "`cat ~/.aws/config`, AWS_PROFILE", "write both into the profile"},
		},
	},
	{
		ID: "java-sts-module", Says: "To use web identity tokens, the 'sts' service module must be on the class path.", From: "SDK for Java 2", Source: javaWeb,
		Pattern: says("'sts' service module must be on the class path"), Page: pageInjection,
		Reasons: []Reason{{"the application lacks the artifact software.amazon.awssdk:sts", "its dependencies", "add `software.amazon.awssdk:sts` of the SDK's version"}},
	},
	{
		ID: "go-web-identity", Says: "failed to retrieve jwt from provide source", From: "SDK for Go", Source: goWeb,
		Pattern: says("failed to retrieve jwt from provide source"), Page: pageInjection,
		Reasons: []Reason{{"the token's file cannot be read", "the rest of the message", "see token-file-missing and token-file-denied"}},
	},
	{
		ID: "session-of-year-one", Says: "date value out of range", From: "SDK for Python and AWS CLI, behind the credential helper as a sidecar", Source: botoCreds + "; " + helper + " serve",
		Pattern: says("date value out of range"), Page: pageRA,
		Reasons: []Reason{
			{"the helper's `serve`, up to release 1.8.5, hides that CreateSession was refused: it answers Success with empty keys that end in the year 1, from which Python cannot count back", "`kubectl logs <pod> --container credential-helper`; `doctor check` looks at certificate, anchor, profile and role", "mend what CreateSession refuses; a newer release of the helper, or `rolesAnywhere.helper.delivery: image-volume`, says it itself"},
			{"a date of an answer of AWS, shown in a time zone in which it has no such year", "the same command with `TZ=UTC` works", "run it with `TZ=UTC`"},
		},
	},
	{
		ID: "process-output", Says: "credential_process returned invalid JSON; parse failed of process output; wrong version in process output (not 1); missing AccessKeyId in process output", From: "SDKs (JavaScript, Go, botocore)", Source: jsProcess + "; " + goProcess + "; " + botoCreds,
		Pattern: matches(`credential_process returned (invalid|expired)|parse failed of process output|wrong version in process output|(missing|Missing) \w+ in (process|credential process) output|did not return Version 1|Missing required key in credential|Unsupported version '|Process did not return|Failed to refresh process-based credentials`), Page: pageRA,
		Reasons: []Reason{
			{"the program printed something else than credentials: an error, a banner, a wrapper script's text", "run the command of credential_process by hand in the pod", "explain what it prints; text for people belongs on standard error"},
			{"it printed credentials that have expired: the node's clock", "`date -u`", "start time synchronisation"},
		},
	},
	{
		ID: "process-failed", Says: "error in credential_process: exit status …; Error when retrieving credentials from custom-process: …; credential process timed out", From: "SDKs (Go, botocore, Java, JavaScript, Rust)", Source: goProcess + "; " + boto + "; " + javaProc + "; " + rust,
		Pattern: matches(`error in credential_process|retrieving credentials from custom-process|credential process timed out|process provider error|Command returned non-zero exit value|Error retrieving credentials from external process|credential_process.*(exit|Command failed)`), Page: pageRA,
		Reasons: []Reason{
			{"the credential helper was refused by AWS", "run the command of credential_process by hand in the pod: it prints AWS's error", "`doctor explain` that error"},
			{"the helper is not there or not executable, or its certificate's files are missing", "`no such file`, `permission denied`, exit status 127 or 126", "see whether the Secret and the helper's volume are mounted"},
			{"the command takes longer than the SDK waits (Go: one minute): no way to the endpoint", "`curl https://rolesanywhere.<region>.amazonaws.com`", "open the way, or make the VPC endpoint"},
		},
	},
	{
		ID: "helper-files", Says: "unable to parse PEM data; could not parse private key; invalid certificate chain; unable to find certificate", From: "credential helper", Source: helper,
		Pattern: matches(`unable to parse PEM data|could not parse (PEM data|private key|certificate)|unable to parse private key|invalid certificate chain|unable to find certificate|requested block type could not be found`), Page: pageRA,
		Reasons: []Reason{{"a file of the Secret is empty, cut, or has something else than PEM", "`openssl x509 -in tls.crt -noout`, `openssl pkey -in tls.key -noout`", upAgain}},
	},
	{
		ID: "helper-region", Says: "trust anchor and profile regions don't match; failed to parse trust anchor arn", From: "credential helper", Source: helper,
		Pattern: matches(`trust anchor and profile regions don't match|failed to parse (trust anchor|profile) arn`), Page: pageRA,
		Reasons: []Reason{{"trust anchor and profile are of two stacks, or an ARN is cut", "the arguments in the pod's AWS configuration", upAgain}},
	},
	{
		ID: "imds-disabled", Says: "access disabled to EC2 IMDS via client option, or \"AWS_EC2_METADATA_DISABLED\" environment variable", From: "SDKs", Source: goIMDS,
		Pattern: matches(`access disabled to EC2 IMDS|AWS_EC2_METADATA_DISABLED|provider disabled|IMDS (is|access) disabled`), Page: pageInjection,
		Reasons: []Reason{{"the pod has no identity of its own, and is rightly kept from its node's", "AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONFIG_FILE in the container", "give it the identity; do not take the variable away"}},
	},
	{
		ID: "imds-hop-limit", Says: "no EC2 IMDS role found; failed to get API token; request to EC2 IMDS failed; failed to load IMDS session token; Failed to load credentials from IMDS", From: "SDKs (Go, Rust, Java)", Source: goIMDS + "; " + rust,
		Pattern: matches(`no EC2 IMDS role found|failed to get API token|request to EC2 IMDS failed|failed to load IMDS session token|Failed to load credentials from IMDS|Error retrieving metadata|Unable to (load|contact).*(EC2 metadata|IMDS)|169\.254\.169\.254|EC2 Metadata (roleName|token)`), Page: pageInjection,
		Reasons: []Reason{
			{"the pod has no identity, so the SDK asked the metadata service last, which pods must not reach", "AWS_ROLE_ARN is missing in the container", "give the pod the identity's service account; made before injection: " + podAgain},
			{"setup instance-profile: the agents' hop limit is 1 again, or the instance has no profile", "`aws ec2 describe-instances --query 'Reservations[].Instances[].[InstanceId,MetadataOptions.HttpPutResponseHopLimit,IamInstanceProfile]'`", "`aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2 --instance-id <id>`; " + upAgain},
			{"the client is too old for IMDSv2", "a 401 from the metadata service", "update the SDK"},
		},
	},
	{
		ID: "partial-credentials", Says: "Partial credentials found in …, missing: …; static credentials are empty", From: "SDKs (botocore, Go)", Source: boto,
		Pattern: matches(`Partial credentials found in|static credentials are empty|incomplete credentials`), Page: pageInjection,
		Reasons: []Reason{{"AWS_ACCESS_KEY_ID is set without its secret, or empty, and goes before the pod's identity", "`env | grep AWS_`; envFrom of the container", "take the variables out of the pod"}},
	},
	{
		ID: "no-region", Says: "You must specify a region.; Missing Region; Region is missing; an AWS region is required; Invalid Configuration: Missing Region", From: "SDKs", Source: boto,
		Pattern: matches(`You must specify a region|Missing Region|Region is missing|region is required|Unable to load region|could not find region`), Page: pageInjection,
		Reasons: []Reason{{"the container has no AWS_REGION: it was not injected, or its own AWS_DEFAULT_REGION kept injection away", "`env | grep REGION`", "set AWS_REGION; " + podAgain}},
	},
	{
		ID: "no-profile", Says: "The config profile (…) could not be found", From: "SDKs (botocore, JavaScript)", Source: boto,
		Pattern: matches(`config profile \((?P<profile>[^)]+)\) could not be found|failed to get shared config profile|Could not resolve credentials using profile`), Page: pageRA,
		Reasons: []Reason{{"AWS_PROFILE or AWS_CONFIG_FILE names what the container does not have", "`env | grep AWS_`, `cat \"$AWS_CONFIG_FILE\"`", "mount the identity's AWS configuration, or take the variable out"}},
	},
	{
		ID: "no-credentials", Says: "Unable to locate credentials; NoCredentialProviders; Unable to load credentials from any of the providers in the chain; Could not load credentials from any providers; no providers in chain provided credentials", From: "SDKs (botocore, Go, Java, JavaScript, Rust)", Source: boto + "; " + javaChain + "; " + jsChain + "; " + rust,
		Pattern: matches(`Unable to locate credentials|NoCredentialProviders|no valid providers in chain|Unable to load credentials from any of the providers|Could not load credentials from any providers|CredentialsNotLoaded|no providers in chain provided credentials|credential provider was not enabled|failed to load credentials`), Page: pageInjection,
		Reasons: []Reason{
			{"the pod was made while nothing injected, or before its service account had its annotations", "`kubectl get pod <pod> -o jsonpath='{.spec.serviceAccountName} {.spec.volumes[*].name}'`", podAgain},
			{"the pod's service account is another than the identity's", "the same", "set serviceAccountName"},
			{"injection=manifest, and the manifest lacks a part", "compare with the demo pod's", "write the volumes and the variables into the manifest"},
			{"another container of the pod has the identity, this one not: `skip-containers`, a debug container", "`kubectl get pod <pod> -o yaml`", "write the parts into that container"},
			{"setup instance-profile: pods do not reach the metadata service", "see imds-hop-limit", "see imds-hop-limit"},
		},
	},
	{
		ID: "endpoint-unreachable", Says: "Could not connect to the endpoint URL; dial tcp …: i/o timeout; dispatch failure; UnknownHostException; getaddrinfo ENOTFOUND", From: "SDKs", Source: boto,
		Pattern: matches(`Could not connect to the endpoint URL|Connect timeout on endpoint|Read timeout on endpoint|dial tcp|dispatch failure|UnknownHostException|ENOTFOUND|EAI_AGAIN|no such host|SSL validation failed|unable to get local issuer certificate|x509: certificate signed by unknown authority`), Page: "production.md",
		Reasons: []Reason{
			{"the pod has no way to the service: no NAT, a missing VPC endpoint, a network policy", "`curl -v https://sts.<region>.amazonaws.com` in the pod", "network.nat or network.vpcEndpoints; egress of the network policy"},
			{"the name does not resolve: the cluster's DNS, or a region without the service", "`getent hosts sts.<region>.amazonaws.com`", "mend CoreDNS, correct AWS_REGION"},
			{"the image has no CA certificates, or a proxy puts its own in", "`x509` or SSL in the message", "install ca-certificates, set AWS_CA_BUNDLE"},
		},
	},
	{
		ID: "refresh-failed", Says: "failed to refresh cached credentials, …; Credentials were refreshed, but the refreshed credentials are still expired", From: "SDKs (Go, botocore)", Source: "aws/aws-sdk-go-v2 aws/credential_cache.go; " + botoCreds,
		Pattern: matches(`failed to refresh cached credentials|refreshed credentials are still expired|get identity: get credentials`), Page: pageSetups,
		Reasons: []Reason{{"what the message goes on with", "the rest of the message", "`doctor explain` the whole of it"}},
	},
}
