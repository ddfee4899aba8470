package causes

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/causes.md")

// TestExplain has messages as AWS, the kubelet and clients write them, whole.
func TestExplain(t *testing.T) {
	for text, want := range map[string]string{
		"An error occurred (InvalidIdentityToken) when calling the AssumeRoleWithWebIdentity operation: No OpenIDConnect provider found in your account for https://oidc.example.com": "sts-no-provider",
		"InvalidIdentityToken: Incorrect token audience": "sts-audience",
		"get identity: get credentials: failed to refresh cached credentials, failed to retrieve credentials, operation error STS: AssumeRoleWithWebIdentity, https response error StatusCode: 400, RequestID: 1, InvalidIdentityToken: Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements": "sts-verification-key",
		"InvalidIdentityToken: OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint":                                                                                            "sts-thumbprint",
		"ExpiredTokenException: Token expired: current date/time 1700000000 must be before the expiration date/time 1600000000":                                                                           "sts-token-expired",
		"InvalidIdentityToken: Token is not yet valid":                                                                                                                                                    "sts-token-not-yet-valid",
		"InvalidIdentityToken: The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)":                                                                            "sts-malformed-token",
		"An error occurred (AccessDenied) when calling the AssumeRoleWithWebIdentity operation: Not authorized to perform sts:AssumeRoleWithWebIdentity":                                                  "sts-web-identity-denied",
		"AccessDenied: Not authorized to perform sts:TagSession":                                                                                                                                          "sts-tags-denied",
		"ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role.":                                                                                                "sts-duration",
		"IDPCommunicationError: Error communicating with the identity provider https://x":                                                                                                                 "sts-idp-communication",
		"api error ThrottlingException: Rate exceeded":                                                                                                                                                    "sts-throttled",
		"User: arn:aws:sts::111122223333:assumed-role/app/x is not authorized to perform: s3:PutObject on resource: \"arn:aws:s3:::b/k\" because no identity-based policy allows the s3:PutObject action": "denied-identity-policy",
		"User: arn:aws:sts::111122223333:assumed-role/app/x is not authorized to perform: s3:PutObject on resource: \"arn:aws:s3:::b/k\" because no permissions boundary allows the s3:PutObject action":  "denied-boundary",
		"User: arn:aws:sts::111122223333:assumed-role/app/x is not authorized to perform: s3:PutObject on resource: \"arn:aws:s3:::b/k\" because no session policy allows the s3:PutObject action":        "denied-session-policy",
		"User: arn:aws:sts::111122223333:assumed-role/app/x is not authorized to perform: s3:PutObject with an explicit deny in a service control policy":                                                 "denied-organization",
		"User: arn:aws:sts::111122223333:assumed-role/app/x is not authorized to perform: s3:PutObject on resource: x with an explicit deny in a resource-based policy":                                   "denied-resource-policy",
		"User: arn:aws:sts::111122223333:assumed-role/node/i-0123456789abcdef0 is not authorized to perform: s3:PutObject on resource: x because no identity-based policy allows the s3:PutObject action": "denied-node",
		"User: arn:aws:sts::111122223333:assumed-role/app/x is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::444455556666:role/y":                                                   "sts-assume-role-denied",
		"An error occurred (AccessDenied) when calling the PutObject operation: Access Denied":                                                                                                            "s3-access-denied",
		"AccessDeniedException: Unable to assume role for arn:aws:iam::111122223333:role/app":                                                                                                             "ra-unable-to-assume",
		"AccessDeniedException: Untrusted signing certificate":                                                                                                                                            "ra-untrusted-signing",
		"AccessDeniedException: Untrusted certificate. Insufficient certificate":                                                                                                                          "ra-insufficient",
		"AccessDeniedException: Untrusted certificate. Certificate is expired or not yet valid":                                                                                                           "ra-certificate-ended",
		"AccessDeniedException: Untrusted certificate. Certificate is revoked":                                                                                                                            "ra-revoked",
		"ValidationException: Incorrect basic constraints for CA certificate":                                                                                                                             "ra-anchor-constraints",
		"AccessDeniedException: Trust anchor is disabled":                                                                                                                                                 "ra-disabled",
		"AccessDeniedException: Not authorized to set roleSessionName.":                                                                                                                                   "ra-session-name",
		"ResourceNotFoundException: Trust anchor arn:aws:rolesanywhere:eu-central-1:1:trust-anchor/x could not be found":                                                                                  "ra-not-found",
		"AccessDeniedException: Invalid signature":                                                                                                                                                        "ra-signature",
		"SignatureDoesNotMatch: Signature not yet current: 20260501T170000Z is still later than 20260501T120500Z":                                                                                         "clock-skew",
		"the cluster's API server does not serve MutatingAdmissionPolicy: set the flags":                                                                                                                  "policy-not-served",
		"pods do not get their identity: service account billing/reports: a pod was let through without its identity":                                                                                     "not-injected",
		"pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false":                                                                                          "pod-security",
		"policy 'lab-pod-identity' with binding 'lab-pod-identity' denied request: expression 'variables.a' resulted in error: no such key: k3s-aws-auth/role":                                            "admission-annotation",
		"policy 'lab-pod-identity' with binding 'lab-pod-identity' denied request: expression 'x' resulted in error: no such key: the pod has a volume aws-iam-token of its own":                          "admission-part-taken",
		"failed to create containerd task: exec: \"/bin/cp\": stat /bin/cp: no such file or directory: unknown":                                                                                           "helper-not-started",
		"date value out of range": "session-of-year-one",
		"RequestTimeTooSkewed: The difference between the request time and the current time is too large.":                                             "clock-skew",
		"InvalidClientTokenId: The security token included in the request is invalid.":                                                                 "session-unknown",
		"ExpiredToken: The security token included in the request is expired":                                                                          "session-expired",
		`FailedMount: MountVolume.SetUp failed for volume "aws-certificate" : secret "uploader-rolesanywhere" not found`:                               "mount-secret-missing",
		`MountVolume.SetUp failed for volume "aws-iam-token" : failed to fetch token: serviceaccounts "x" is forbidden`:                                "mount-token-failed",
		`pods "x" is forbidden: policy 'lab-pod-identity' with binding 'b' denied request: no such key: the pod has a volume aws-iam-token of its own`: "admission-part-taken",
		"failed to refresh cached credentials, failed to retrieve jwt from provide source, unable to read file at /var/run/secrets/eks.amazonaws.com/serviceaccount/token: open /var/run/secrets/eks.amazonaws.com/serviceaccount/token: no such file or directory": "token-file-missing",
		"[Errno 13] Permission denied: '/var/run/secrets/eks.amazonaws.com/serviceaccount/token'":                                                                "token-file-denied",
		"The provided profile or the current environment is configured to assume role with web identity but has no role ARN configured. Ensure that the profile": "web-identity-no-role",
		"To use web identity tokens, the 'sts' service module must be on the class path.":                                                                        "java-sts-module",
		"CredentialsProviderError: Profile default credential_process returned invalid JSON.":                                                                    "process-output",
		"process provider error: wrong version in process output (not 1)":                                                                                        "process-output",
		"process provider error: error in credential_process: exit status 1":                                                                                     "process-failed",
		"Error when retrieving credentials from custom-process: exit 1":                                                                                          "process-failed",
		"trust anchor and profile regions don't match":                                                                                                           "helper-region",
		"unable to parse PEM data": "helper-files",
		"failed to refresh cached credentials, no EC2 IMDS role found, operation error ec2imds: GetMetadata, canceled, context deadline exceeded": "imds-hop-limit",
		"failed to load IMDS session token": "imds-hop-limit",
		"no EC2 IMDS role found, operation error ec2imds: GetMetadata, access disabled to EC2 IMDS via client option, or \"AWS_EC2_METADATA_DISABLED\" environment variable": "imds-disabled",
		"Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY":                                                                                                   "partial-credentials",
		"You must specify a region. You can also configure your region by running \"aws configure\".":                                                                        "no-region",
		"The config profile (app) could not be found":                                                                                                                        "no-profile",
		"Unable to locate credentials. You can configure credentials by running \"aws configure\".":                                                                          "no-credentials",
		"software.amazon.awssdk.core.exception.SdkClientException: Unable to load credentials from any of the providers in the chain AwsCredentialsProviderChain(":           "no-credentials",
		"CredentialsProviderError: Could not load credentials from any providers":                                                                                            "no-credentials",
		"dispatch failure: other: the credential provider was not enabled: no providers in chain provided credentials":                                                       "no-credentials",
		"Could not connect to the endpoint URL: \"https://sts.eu-central-1.amazonaws.com/\"":                                                                                 "endpoint-unreachable",
	} {
		found := Explain(text)
		require.NotEmpty(t, found, text)
		require.Equal(t, want, found[0].Cause.ID, text)
	}
	require.Empty(t, Explain("all is well"))
	wrapped := Explain("InvalidIdentityToken: No OpenIDConnect provider\n  found in your account for https://oidc.example.com.")
	require.Equal(t, "https://oidc.example.com", wrapped[0].Values["issuer"])
}

// TestCatalogue holds each entry to what its readers need: pages that exist, ids that are unique, a pattern that finds the
// entry's own text.
func TestCatalogue(t *testing.T) {
	seen, id := map[string]bool{}, regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	for _, c := range All() {
		require.Regexp(t, id, c.ID)
		require.False(t, seen[c.ID], c.ID)
		seen[c.ID] = true
		require.NotEmpty(t, c.Reasons, c.ID)
		require.NotEmpty(t, c.Source, c.ID)
		for _, r := range c.Reasons {
			require.NotEmpty(t, r.Why, c.ID)
			require.NotEmpty(t, r.Look, c.ID)
			require.NotEmpty(t, r.Do, c.ID)
		}
		require.FileExists(t, filepath.Join("..", "..", "..", "..", "docs", c.Page), c.ID)
		for _, word := range regexp.MustCompile(`see ([a-z]+-[a-z-]+)`).FindAllStringSubmatch(c.Reasons[0].Do+" "+c.Reasons[len(c.Reasons)-1].Do, -1) {
			require.NotNil(t, Get(word[1]), "%s refers to %s", c.ID, word[1])
		}
	}
	require.Nil(t, Get("none"))
}

// TestGenerated holds docs/causes.md against the catalogue. With -update it writes it.
func TestGenerated(t *testing.T) {
	const file, begin, end = "../../../../docs/causes.md", "<!-- begin: the causes -->\n\n", "<!-- end -->"
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(data), begin)
	require.True(t, ok, "%s has no %q", file, begin)
	_, tail, ok := strings.Cut(rest, end)
	require.True(t, ok, "%s has no %q", file, end)
	want := head + begin + Markdown() + end + tail
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o600))
		return
	}
	require.Equal(t, string(data), want, "%s is stale: run `make generate`", file)
}

func FuzzExplain(f *testing.F) {
	f.Add("AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range Explain(text) {
			if m.Cause == nil {
				t.Fatal("a match without a cause")
			}
		}
	})
}
