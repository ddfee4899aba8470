package iampolicy

// WebIdentity is one OIDC issuer that a role trusts.
type WebIdentity struct {
	// ProviderArn is the ARN of the IAM OIDC provider.
	ProviderArn string
	// IssuerHostPath is the issuer's URL without "https://": the url that IAM
	// itself reports for the provider, and the prefix of its condition keys.
	IssuerHostPath string
}

// EC2Trust returns the trust policy by which EC2 machines get a role through
// their instance profile. The DNS suffix is that of the partition
// (amazonaws.com, amazonaws.com.cn); empty means amazonaws.com.
func EC2Trust(dnsSuffix string) Document {
	if dnsSuffix == "" {
		dnsSuffix = "amazonaws.com"
	}
	return New(Statement{
		Principal: &Principal{Service: []string{"ec2." + dnsSuffix}},
		Actions:   []string{"sts:AssumeRole"},
	})
}

// WebIdentityTrust returns the trust policy of a role that tokens with exactly
// one of these subjects and this audience may assume, one statement per issuer.
// Both conditions are StringEquals: without the audience, any token of a subject
// would do, whomever it was made for; with StringLike, a namespace could be
// named so as to match. With several issuers (a migration) each is trusted for
// the same subjects.
func WebIdentityTrust(issuers []WebIdentity, audience string, subjects ...string) Document {
	var doc Document
	for _, issuer := range issuers {
		doc.Statements = append(doc.Statements, Statement{
			Principal: &Principal{Federated: []string{issuer.ProviderArn}},
			Actions:   []string{"sts:AssumeRoleWithWebIdentity"},
			Conditions: map[string]map[string][]string{
				"StringEquals": {
					issuer.IssuerHostPath + ":aud": {audience},
					issuer.IssuerHostPath + ":sub": subjects,
				},
			},
		})
	}
	return doc
}

// CommonNameKey is the condition key of a certificate's subject common name: a tag
// of the session, which CreateSession sets from the certificate and the caller
// cannot.
//
// Source: IAM Roles Anywhere user guide, trust model.
const CommonNameKey = "aws:PrincipalTag/x509Subject/CN"

// RolesAnywhereTrust returns the trust policy of a role that certificates with
// exactly one of these subject common names may assume when they come through
// one of the given trust anchors. Without the two conditions any certificate of any trust
// anchor of the account could assume the role. The three actions are those that
// CreateSession performs: it always tags the session with the certificate's
// attributes and sets the source identity to CN=<common name>.
//
// Source: IAM Roles Anywhere user guide, trust policy.
func RolesAnywhereTrust(trustAnchorArns []string, commonNames ...string) Document {
	return New(Statement{
		Principal: &Principal{Service: []string{"rolesanywhere.amazonaws.com"}},
		Actions:   []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"},
		Conditions: map[string]map[string][]string{
			"ArnEquals":    {"aws:SourceArn": trustAnchorArns},
			"StringEquals": {CommonNameKey: commonNames},
		},
	})
}

// AssumeRole returns the statements by which a role may assume exactly one other
// role, and only with the external id where one is given. Sessions that carry a
// source identity, as those of Roles Anywhere do, hand it on, and STS asks for the
// permission to do so on both sides; it is a statement of its own because an
// external id need not be in what STS asks about it.
//
// Source: IAM user guide, "Monitor and control actions taken with assumed roles".
func AssumeRole(roleArn, externalID string, sourceIdentity bool) []Statement {
	return chained(Statement{Resources: []string{roleArn}}, externalID, sourceIdentity)
}

// AssumeRoleTrust returns the trust policy that a role needs which exactly one
// other role, mostly of another account, is to assume as [AssumeRole] lets it.
func AssumeRoleTrust(principalArn, externalID string, sourceIdentity bool) Document {
	return New(chained(Statement{Principal: &Principal{AWS: []string{principalArn}}}, externalID, sourceIdentity)...)
}

// chained is one side of a role that assumes another.
func chained(side Statement, externalID string, sourceIdentity bool) []Statement {
	assume := side
	assume.Actions = []string{"sts:AssumeRole"}
	if externalID != "" {
		assume.Conditions = map[string]map[string][]string{"StringEquals": {"sts:ExternalId": {externalID}}}
	}
	if !sourceIdentity {
		return []Statement{assume}
	}
	side.Actions = []string{"sts:SetSourceIdentity"}
	return []Statement{assume, side}
}

// Subject is the sub claim of a Kubernetes service account's tokens.
func Subject(namespace, serviceAccount string) string {
	return "system:serviceaccount:" + namespace + ":" + serviceAccount
}
