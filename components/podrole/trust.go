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

// Tokens says which tokens a role accepts.
type Tokens struct {
	Issuers  []WebIdentityIssuer
	Audience string
	// Subjects are their service accounts; see [iampolicy.Subject].
	Subjects []string
	// Suspended shuts everybody out, for as long as it is set.
	Suspended bool
}

// WebIdentityTrust returns the trust policy of a role that tokens of exactly
// these service accounts and exactly this audience may assume, as JSON.
func WebIdentityTrust(who Tokens) pulumi.StringOutput {
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
		return trustJSON(iampolicy.WebIdentityTrust(trusted, who.Audience, who.Subjects...), who.Suspended)
	}).(pulumi.StringOutput)
}

// Certificates says which certificates a role accepts.
type Certificates struct {
	// TrustAnchorArns are the anchors that any of them may come through.
	TrustAnchorArns pulumi.StringArrayInput
	CommonNames     []string
	// Suspended shuts everybody out, for as long as it is set.
	Suspended bool
}

// RolesAnywhereTrust returns the trust policy of a role that certificates of
// exactly one of these common names may assume, as JSON.
func RolesAnywhereTrust(who Certificates) pulumi.StringOutput {
	return who.TrustAnchorArns.ToStringArrayOutput().ApplyT(func(arns []string) (string, error) {
		return trustJSON(iampolicy.RolesAnywhereTrust(arns, who.CommonNames...), who.Suspended)
	}).(pulumi.StringOutput)
}

// TrustCharacters is how many characters a trust policy has by IAM's count once it
// is suspended, which is when it is longest.
func TrustCharacters(document iampolicy.Document) (int, error) {
	text, err := document.Suspended().JSON()
	return iampolicy.Size(text), err
}

func trustJSON(document iampolicy.Document, suspended bool) (string, error) {
	if suspended {
		document = document.Suspended()
	}
	text, err := document.JSON()
	if err != nil {
		return "", fmt.Errorf("trust policy: %w", err)
	}
	if size := iampolicy.Size(text); size > MaxTrustPolicyCharacters {
		return "", fmt.Errorf("trust policy has %d characters, IAM's quota is %d: list fewer issuers, trust anchors or service accounts", size, MaxTrustPolicyCharacters)
	}
	return text, nil
}
