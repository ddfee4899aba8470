package chain

import "slices"

// Commands that mend several kinds.
const (
	up        = "pulumi up"
	upRefresh = "pulumi up --refresh"
	podAgain  = "kubectl --namespace <namespace> delete pod <pod>"
)

// Causes that several errors have.
const (
	suspended = "somebody suspended the identity: `identities[].suspended`, or a Deny by hand"
	byHand    = "the trust policy was changed by hand"

	madeBefore = "the pod was made before its service account's annotation changed, or its manifest names a role itself"
)

// kinds are all findings that there are, in the order of the chain and within a link from what hides others to what does not.
var kinds = []kind{
	{"clock-here", linkClock, Risk, "the clock of the machine on which doctor runs within a minute of AWS's", because("this machine's clock is wrong: what doctor says of times is by AWS's clock", "clock-skew"), "timedatectl set-ntp true", ""},
	{"clock-server", linkClock, Broken, "the servers' clocks within a minute of AWS's", slices.Concat(catalogue("sts-token-not-yet-valid", 0), because("the servers' clock is wrong: certificates that they issue and check have wrong times", "clock-skew")), "timedatectl set-ntp true   (on each server)", ""},
	{"clock-node", linkClock, Broken, "the node's clock within a minute of the API server's", catalogue("clock-skew", 0), "timedatectl set-ntp true   (on node <node>)", ""},

	{"issuer-changed", linkAPI, Broken, "<expected>, which the roles trust", slices.Concat(catalogue("sts-no-provider", 1), catalogue("sts-no-provider", 0)), "ssh <server> cat /etc/rancher/k3s/config.yaml   (kube-apiserver-arg: service-account-issuer)", ""},
	{"issuer-spelled", linkAPI, Broken, "<expected>, to the byte", catalogue("sts-no-provider", 2), "ssh <server> cat /etc/rancher/k3s/config.yaml   (kube-apiserver-arg: service-account-issuer)", ""},
	{"issuer-insecure", linkAPI, Broken, "an issuer that begins with https://: IAM takes no other", catalogue("sts-no-provider", 1), "ssh <server> cat /etc/rancher/k3s/config.yaml   (kube-apiserver-arg: service-account-issuer)", ""},

	{"issuer-untrusted", linkIssuer, Broken, "a certificate of a publicly trusted CA for the issuer's name", catalogue("sts-thumbprint", 0, 1), "openssl s_client -connect <host>:443 -servername <host> -showcerts", ""},
	{"issuer-unreachable", linkIssuer, Broken, "an answer within 5 s, for anybody", slices.Concat(catalogue("sts-idp-communication", 0), catalogue("sts-verification-key", 0)), "curl -v <url>", ""},
	{"distribution-refuses", linkIssuer, Broken, "200, for anybody", because("the distribution is disabled, lacks the issuer's name among its own, or has a firewall: the bucket is not asked at all", "sts-verification-key"), "aws cloudfront list-distributions --query \"DistributionList.Items[?contains(Aliases.Items || `[]`, '<host>')].[Id,Enabled,Status]\"", ""},
	{"discovery-refused", linkIssuer, Broken, "200, for anybody", catalogue("sts-verification-key", 0), "curl -i <url>", ""},
	{"discovery-malformed", linkIssuer, Broken, "JSON with issuer and jwks_uri", catalogue("sts-verification-key", 3), up, ""},
	{"discovery-issuer", linkIssuer, Broken, "issuer <expected>, to the byte", catalogue("sts-verification-key", 3), up, ""},
	{"jwks-unreachable", linkIssuer, Broken, "200 with a key set, for anybody", catalogue("sts-verification-key", 3, 0), "curl -i <url>", ""},
	{"jwks-malformed", linkIssuer, Broken, "JSON with a list keys", catalogue("sts-verification-key", 2), up, ""},
	{"jwks-empty", linkIssuer, Broken, "at least one RSA or EC key", catalogue("sts-verification-key", 2), up, ""},
	{"key-not-published", linkIssuer, Broken, "every key that the API server has, first of all the one that signs", catalogue("sts-verification-key", 1, 4), up, ""},
	{"key-differs", linkIssuer, Broken, "the same key under the same kid at the API server and in the published key set", catalogue("sts-verification-key", 1), up, ""},
	{"issuer-slow", linkIssuer, Risk, "an answer within 5 s", slices.Concat(catalogue("sts-verification-key", 4), catalogue("sts-idp-communication", 1)), "curl -o /dev/null -w '%{time_total}' <url>", ""},
	{"discovery-type", linkIssuer, Risk, "content type application/json", because("the object was written by hand: somebody uploaded the documents without their type", "sts-verification-key"), up, "oidc-issuer.md"},
	{"issuer-cached-long", linkIssuer, Risk, "caches that forget a key set within a day, so that a new key is seen", catalogue("sts-verification-key", 4), up, ""},
	{"issuer-certificate-ends", linkIssuer, Risk, "a certificate with time left", because("the certificate of the issuer's host was not renewed: ACM renews while the validation record is in DNS", "sts-thumbprint"), "openssl s_client -connect <host>:443 -servername <host> </dev/null | openssl x509 -noout -enddate", "oidc-issuer.md"},

	{"provider-missing", linkProvider, Broken, "an IAM OIDC provider of <issuer> in the account", catalogue("sts-no-provider", 0), upRefresh, ""},
	{"provider-audience", linkProvider, Broken, "client ids with the audience of the pods' tokens, <audience>", catalogue("sts-audience", 2), up, ""},

	{"injector-missing", linkInjector, Broken, "an admission policy or webhook that gives pods of labelled service accounts their identity", slices.Concat(because("the admission policy or its binding was deleted: pods made now get no identity", "no-credentials"), catalogue("no-credentials", 0)), upRefresh, "injection.md"},
	{"injector-fails", linkInjector, Broken, "an injector that works", because("the injector is there and cannot act: pods made now get no identity", "no-credentials"), upRefresh, "injection.md"},

	{"anchor-missing", linkAuthority, Broken, "the trust anchor that pods name", catalogue("ra-not-found", 0, 1), up, ""},
	{"anchor-disabled", linkAuthority, Broken, "an enabled trust anchor", catalogue("ra-disabled", 0), "aws rolesanywhere enable-trust-anchor --trust-anchor-id <id>", ""},
	{"anchor-certificate", linkAuthority, Broken, "a CA: basicConstraints CA:TRUE, key usage Certificate Sign", catalogue("ra-anchor-constraints", 0), up, ""},
	{"anchor-ended", linkAuthority, Broken, "a CA that is valid", because("the CA has ended, and with it every certificate of it", "ra-certificate-ended"), up, "rotation.md"},
	{"anchor-ends", linkAuthority, Risk, "a CA with time left", because("the CA was not rotated in time", "ra-certificate-ended"), up, "rotation.md"},
	{"profile-missing", linkAuthority, Broken, "the profile that pods name", catalogue("ra-not-found", 0, 1), up, ""},
	{"profile-disabled", linkAuthority, Broken, "an enabled profile", catalogue("ra-disabled", 0), "aws rolesanywhere enable-profile --profile-id <id>", ""},

	{"hop-limit-low", linkNode, Broken, "hop limit 2, so that pods reach the metadata service", catalogue("imds-hop-limit", 1), "aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2 --instance-id <instance>", ""},
	{"metadata-off", linkNode, Broken, "a metadata service that answers", because("somebody switched the instance's metadata service off", "imds-hop-limit"), "aws ec2 modify-instance-metadata-options --http-endpoint enabled --instance-id <instance>", ""},
	{"instance-profile-missing", linkNode, Broken, "an instance profile with the identity's role, <role>", catalogue("imds-hop-limit", 1), up, ""},
	{"hop-limit-high", linkNode, Risk, "hop limit 1: no pod reaches the node's role", because("the hop limit was raised: a pod without an identity gets its node's", "denied-node"), "aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 1 --instance-id <instance>", ""},
	{"imdsv1", linkNode, Risk, "a metadata service that insists on IMDSv2", because("the instance takes requests without a token: what forges a request from a pod or a server reads the node's credentials", "imds-hop-limit"), "aws ec2 modify-instance-metadata-options --http-tokens required --instance-id <instance>", "cluster.md"},

	{"role-missing", linkRole, Broken, "the role <role>", slices.Concat(catalogue("sts-web-identity-denied", 1), catalogue("ra-unable-to-assume", 2)), upRefresh, ""},
	{"trust-unreadable", linkRole, Broken, "a trust policy by IAM's grammar", slices.Concat(because(byHand, "sts-web-identity-denied"), because(byHand, "ra-unable-to-assume")), up, ""},
	{"trust-suspended", linkRole, Broken, "a trust policy that lets the identity in", slices.Concat(because(suspended, "sts-web-identity-denied"), because(suspended, "ra-unable-to-assume"), because(suspended, "imds-hop-limit")), "pulumi config get --path identities", "rotation.md"},
	{"trust-provider", linkRole, Broken, "the provider <provider>", catalogue("sts-web-identity-denied", 3), up, ""},
	{"trust-wildcard", linkRole, Broken, "the subject <subject>, in full", catalogue("sts-web-identity-denied", 4), up, ""},
	{"trust-subject", linkRole, Broken, "the subject <subject>", catalogue("sts-web-identity-denied", 0), "aws iam get-role --role-name <name> --query Role.AssumeRolePolicyDocument", ""},
	{"trust-audience", linkRole, Broken, "the audience <audience>", catalogue("sts-web-identity-denied", 2), up, ""},
	{"trust-refuses", linkRole, Broken, "a trust policy that lets the identity in", slices.Concat(catalogue("sts-web-identity-denied", 0)), "aws iam get-role --role-name <name> --query Role.AssumeRolePolicyDocument", ""},
	{"trust-name", linkRole, Broken, "the certificate's common name, <cn>", catalogue("ra-unable-to-assume", 0), up, ""},
	{"trust-anchor", linkRole, Broken, "the trust anchor <anchor>", catalogue("ra-unable-to-assume", 3), up, ""},
	{"trust-actions", linkRole, Broken, "sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity", catalogue("ra-unable-to-assume", 3), up, ""},
	{"trust-machines", linkRole, Broken, "the service ec2.amazonaws.com", because("the role's trust policy was changed: EC2 may not hand it to machines", "imds-hop-limit"), up, ""},
	{"role-allows-nothing", linkRole, Broken, "a policy: the identity is there to do something", catalogue("denied-identity-policy", 0), up, ""},
	{"boundary-allows-nothing", linkRole, Broken, "a permissions boundary that leaves something of what the policies allow", catalogue("denied-boundary", 0), "aws iam get-role --role-name <name> --query Role.PermissionsBoundary", ""},
	{"trust-conditions", linkRole, Risk, "a trust policy that asks for nothing but subject and audience, or certificate and trust anchor: the rest doctor cannot see", because("the trust policy has more conditions, which may shut the identity out", ""), "aws iam get-role --role-name <name> --query Role.AssumeRolePolicyDocument", "identities.md"},
	{"trust-broad", linkRole, Risk, "a trust policy that names one identity", because("the trust policy was widened: others can be this role", ""), up, "identities.md"},

	{"session-refused", linkRole, Broken, "a session of <role> (--sessions)", because("AWS refuses what the policies that were read allow: an organization's policy, or the policy of the VPC endpoint that STS is reached by", "sts-web-identity-denied"), "aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=AssumeRoleWithWebIdentity", ""},

	{"certificate-secret-missing", linkCertificate, Broken, "the Secret with the identity's certificate", catalogue("mount-secret-missing", 0), upRefresh, ""},
	{"aws-config-missing", linkCertificate, Broken, "the ConfigMap with the identity's AWS configuration", catalogue("mount-secret-missing", 0), upRefresh, ""},
	{"certificate-unreadable", linkCertificate, Broken, "a certificate and its key in PEM", catalogue("helper-files", 0), up, ""},
	{"certificate-key", linkCertificate, Broken, "the key of the certificate", catalogue("ra-signature", 0), up, ""},
	{"certificate-ended", linkCertificate, Broken, "a certificate that is valid", catalogue("ra-certificate-ended", 0), up, ""},
	{"certificate-early", linkCertificate, Broken, "a certificate that is valid", catalogue("ra-certificate-ended", 1), up, ""},
	{"certificate-insufficient", linkCertificate, Broken, "X.509 v3, CA:FALSE, key usage digitalSignature, SHA-256 or stronger, a subject", catalogue("ra-insufficient", 0), up, ""},
	{"certificate-subject", linkCertificate, Broken, "a subject with a common name", catalogue("ra-insufficient", 1), up, ""},
	{"certificate-untrusted", linkCertificate, Broken, "a chain to a CA of the trust anchor", catalogue("ra-untrusted-signing", 0, 1, 2), up, ""},
	{"certificate-revoked", linkCertificate, Broken, "a certificate that no revocation list has", catalogue("ra-revoked", 0), "pulumi up --replace <urn of the certificate>", ""},
	{"certificate-ends", linkCertificate, Risk, "a certificate that was renewed in time", catalogue("ra-certificate-ended", 0), up, ""},
	{"regions-differ", linkCertificate, Broken, "one region for trust anchor, profile and helper", catalogue("helper-region", 0), up, ""},
	{"profile-role", linkCertificate, Broken, "the role <role> in the profile", catalogue("ra-unable-to-assume", 1), up, ""},
	{"profile-session-name", linkCertificate, Broken, "a profile that accepts session names, or a helper without --role-session-name", catalogue("ra-session-name", 0), up, ""},
	{"session-too-long", linkCertificate, Broken, "sessions no longer than the role's maximum, <maximum> s", catalogue("sts-duration", 2, 0), up, ""},
	{"helper-arguments", linkCertificate, Broken, "a credential helper with trust anchor, profile and role", because("the AWS configuration or the sidecar's arguments were changed by hand", "helper-region"), up, "roles-anywhere.md"},

	{"service-account-missing", linkPod, Broken, "the service account, which tokens are made for", catalogue("mount-token-failed", 0), upRefresh, ""},
	{"static-keys-first", linkPod, Broken, "no access keys in the container: they go before the identity", slices.Concat(catalogue("session-expired", 0), catalogue("session-unknown", 1)), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"half-keys", linkPod, Broken, "no access keys in the container: they go before the identity", catalogue("partial-credentials", 0), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"not-injected", linkPod, Broken, "AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE and the token's volume", catalogue("no-credentials", 0, 2, 3), podAgain, ""},
	{"container-left-out", linkPod, Broken, "the parts of the identity in every container of the pod", catalogue("no-credentials", 3), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"half-web-identity", linkPod, Broken, "both AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE", catalogue("web-identity-no-role", 0), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"token-not-mounted", linkPod, Broken, "a volume with a projected token at <file>", catalogue("token-file-missing", 0, 1), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"token-path", linkPod, Broken, "a token at <file>", slices.Concat(catalogue("token-file-missing", 1)), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"token-of-api-server", linkPod, Broken, "the projected token for <audience>", catalogue("sts-audience", 1), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"token-audience", linkPod, Broken, "the audience <audience>", catalogue("sts-audience", 0), podAgain, ""},
	{"token-sub-path", linkPod, Broken, "the volume's directory mounted: the kubelet never renews a subPath", catalogue("sts-token-expired", 2), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"role-other", linkPod, Broken, "the role of the service account, <role>", slices.Concat(because(madeBefore, "sts-web-identity-denied"), because(madeBefore, "ra-unable-to-assume")), podAgain, ""},
	{"secret-unreadable", linkPod, Broken, "files that the container's user may read", catalogue("token-file-denied", 0), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"certificate-not-mounted", linkPod, Broken, "the certificate's Secret at <file>", catalogue("process-failed", 1), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"no-certificate-parts", linkPod, Broken, "the certificate, the AWS configuration and the helper, or its sidecar", slices.Concat(catalogue("no-credentials", 2, 0, 1)), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"aws-config-not-mounted", linkPod, Broken, "the identity's AWS configuration at <file>", catalogue("no-profile", 0), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"metadata-disabled", linkPod, Broken, "no AWS_EC2_METADATA_DISABLED: this pod gets its identity by the metadata interface, its machine's or its sidecar's", because("the manifest keeps SDKs from the metadata service, which this identity needs", "imds-disabled"), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"sidecar-not-asked", linkPod, Broken, "AWS_EC2_METADATA_SERVICE_ENDPOINT with the sidecar's address", because("the container asks its machine for credentials instead of the sidecar: the variable was left out", "imds-hop-limit"), "kubectl --namespace <namespace> get pod <pod> --output yaml", "roles-anywhere.md"},
	{"on-server", linkPod, Broken, "an agent: servers' hop limit is 1, and their role is not for pods", because("the pod tolerates the servers' taint, or names its node", "imds-hop-limit"), podAgain, "cluster.md"},
	{"no-region", linkPod, Broken, "AWS_REGION or AWS_DEFAULT_REGION", catalogue("no-region", 0), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},
	{"pull-annotation", linkPod, Broken, "eks.amazonaws.com/ecr-role-arn: <role>, by which the identity's pods are pulled", catalogue("pull-unauthorized", 0), upRefresh, ""},
	{"pull-tokens", linkPod, Broken, "a ClusterRole by which nodes may ask for tokens of the service account", catalogue("pull-unauthorized", 1), upRefresh, ""},
	{"host-network", linkPod, Risk, "the pod's own network: on its node's it reaches the node's role whatever the hop limit", catalogue("denied-node", 0), "kubectl --namespace <namespace> get pod <pod> --output yaml", ""},

	{"account-shared", linkPod, Risk, "a service account for each workload: pods with one account have one role, and CloudTrail cannot tell them apart", because("several workloads were given one service account, so each may do what any of them needs", ""), "kubectl --namespace <namespace> get pods --output custom-columns=POD:.metadata.name,ACCOUNT:.spec.serviceAccountName", "identities.md"},

	{"static-keys", linkKeys, Risk, "no long-term access keys in the cluster", because("somebody put an access key where an identity would do", "session-unknown"), "aws iam list-access-keys --user-name <user>", "identities.md"},
	{"cluster-certificate-ends", linkKeys, Risk, "a certificate with time left", because("K3s renews its certificates only when it starts, and the kubeconfig's is renewed by an `up`", ""), "k3s certificate check   (on each server)", "cluster.md"},
}

// because is a cause that the catalogue has not in these words, with the id of the error that pods then get.
func because(why, id string) []Cause {
	if id != "" {
		catalogue(id) // must be there
	}
	return []Cause{{why, id}}
}
