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
// this subject and this audience may assume, one statement per issuer. Both
// conditions are StringEquals: without the audience, any token of the subject
// would do, whomever it was made for; with StringLike, a namespace could be
// named so as to match. With several issuers (a migration) each is trusted for
// the same subject.
func WebIdentityTrust(issuers []WebIdentity, audience, subject string) Document {
	var doc Document
	for _, issuer := range issuers {
		doc.Statements = append(doc.Statements, Statement{
			Principal: &Principal{Federated: []string{issuer.ProviderArn}},
			Actions:   []string{"sts:AssumeRoleWithWebIdentity"},
			Conditions: map[string]map[string][]string{
				"StringEquals": {
					issuer.IssuerHostPath + ":aud": {audience},
					issuer.IssuerHostPath + ":sub": {subject},
				},
			},
		})
	}
	return doc
}

// RolesAnywhereTrust returns the trust policy of a role that certificates with
// exactly this subject common name may assume when they come through one of the
// given trust anchors. Without the two conditions any certificate of any trust
// anchor of the account could assume the role. The three actions are those that
// CreateSession performs: it always tags the session with the certificate's
// attributes and sets the source identity to CN=<common name>.
//
// Source: IAM Roles Anywhere user guide, trust policy.
func RolesAnywhereTrust(trustAnchorArns []string, commonName string) Document {
	return New(Statement{
		Principal: &Principal{Service: []string{"rolesanywhere.amazonaws.com"}},
		Actions:   []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"},
		Conditions: map[string]map[string][]string{
			"ArnEquals":    {"aws:SourceArn": trustAnchorArns},
			"StringEquals": {"aws:PrincipalTag/x509Subject/CN": {commonName}},
		},
	})
}

// Subject is the sub claim of a Kubernetes service account's tokens.
func Subject(namespace, serviceAccount string) string {
	return "system:serviceaccount:" + namespace + ":" + serviceAccount
}
