package podrole

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
)

// MaxTrustPolicyCharacters is IAM's default quota for a trust policy.
const MaxTrustPolicyCharacters = 2048

// WebIdentityIssuer is an OIDC issuer that a role trusts: the ARN of its IAM
// provider, and the url that IAM reports for it (host and path, no scheme).
type WebIdentityIssuer struct {
	Arn      pulumi.StringInput
	HostPath pulumi.StringInput
}

// WebIdentityTrust returns the trust policy of a role that tokens of exactly
// this ServiceAccount and exactly this audience may assume, as JSON; nobody, while
// it is suspended.
func WebIdentityTrust(issuers []WebIdentityIssuer, audience, namespace, serviceAccount string, suspended bool) pulumi.StringOutput {
	var inputs []any
	for _, issuer := range issuers {
		inputs = append(inputs, issuer.Arn, issuer.HostPath)
	}
	return pulumi.All(inputs...).ApplyT(func(values []any) (string, error) {
		var trusted []iampolicy.WebIdentity
		for i := 0; i < len(values); i += 2 {
			trusted = append(trusted, iampolicy.WebIdentity{
				ProviderArn:    values[i].(string),
				IssuerHostPath: values[i+1].(string),
			})
		}
		return trustJSON(iampolicy.WebIdentityTrust(trusted, audience, iampolicy.Subject(namespace, serviceAccount)), suspended)
	}).(pulumi.StringOutput)
}

// RolesAnywhereTrust returns the trust policy of a role that certificates of
// exactly this common name may assume through one of the trust anchors, as
// JSON; nobody, while it is suspended.
func RolesAnywhereTrust(trustAnchorArns pulumi.StringArrayInput, commonName string, suspended bool) pulumi.StringOutput {
	return trustAnchorArns.ToStringArrayOutput().ApplyT(func(arns []string) (string, error) {
		return trustJSON(iampolicy.RolesAnywhereTrust(arns, commonName), suspended)
	}).(pulumi.StringOutput)
}

func trustJSON(document iampolicy.Document, suspended bool) (string, error) {
	if suspended {
		document = document.Suspended()
	}
	text, err := document.JSON()
	if err != nil {
		return "", fmt.Errorf("trust policy: %w", err)
	}
	if len(text) > MaxTrustPolicyCharacters {
		return "", fmt.Errorf("trust policy has %d characters, IAM's quota is %d: list fewer issuers or trust anchors", len(text), MaxTrustPolicyCharacters)
	}
	return text, nil
}
