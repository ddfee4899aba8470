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

// ServiceAccount says whose tokens a role accepts.
type ServiceAccount struct {
	Issuers         []WebIdentityIssuer
	Audience        string
	Namespace, Name string
	// Suspended shuts everybody out, for as long as it is set.
	Suspended bool
}

// WebIdentityTrust returns the trust policy of a role that tokens of exactly
// this ServiceAccount and exactly this audience may assume, as JSON.
func WebIdentityTrust(who ServiceAccount) pulumi.StringOutput {
	var inputs []any
	for _, issuer := range who.Issuers {
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
		return trustJSON(iampolicy.WebIdentityTrust(trusted, who.Audience, iampolicy.Subject(who.Namespace, who.Name)), who.Suspended)
	}).(pulumi.StringOutput)
}

// Certificate says whose certificates a role accepts.
type Certificate struct {
	// TrustAnchorArns are the anchors that any of them may come through.
	TrustAnchorArns pulumi.StringArrayInput
	CommonName      string
	// Suspended shuts everybody out, for as long as it is set.
	Suspended bool
}

// RolesAnywhereTrust returns the trust policy of a role that certificates of
// exactly this common name may assume, as JSON.
func RolesAnywhereTrust(who Certificate) pulumi.StringOutput {
	return who.TrustAnchorArns.ToStringArrayOutput().ApplyT(func(arns []string) (string, error) {
		return trustJSON(iampolicy.RolesAnywhereTrust(arns, who.CommonName), who.Suspended)
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
