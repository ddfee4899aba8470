package presets

import "k3s-aws-auth/components/iampolicy"

// Condition keys of route53:ChangeResourceRecordSets. Names are normalised:
// lower case, without the trailing dot.
//
// Source: Route 53 developer guide, "Using IAM policy conditions for
// fine-grained access control"
// (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-conditions-route53.html).
const (
	recordNames = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
	recordTypes = "route53:ChangeResourceRecordSetsRecordTypes"
)

// certManager returns the permissions of cert-manager's DNS01 solver: it waits
// for changes, and writes the TXT records of ACME challenges, no others, in the
// zones that are listed. There is no route53:ListHostedZonesByName: the solver
// needs it only to find a zone whose hostedZoneID its issuer does not say.
//
// Source: https://cert-manager.io/docs/configuration/acme/dns01/route53/, where
// the record types are limited, names and zones are not.
func certManager(a Args) []iampolicy.Statement {
	return []iampolicy.Statement{
		{
			Sid:       "CertManagerWait",
			Actions:   []string{"route53:GetChange"},
			Resources: []string{a.arn("route53", "", "", "change/*")},
		},
		{
			Sid:       "CertManagerReadZones",
			Actions:   []string{"route53:ListResourceRecordSets"},
			Resources: a.zones(),
		},
		{
			Sid:       "CertManagerChallenges",
			Actions:   []string{"route53:ChangeResourceRecordSets"},
			Resources: a.zones(),
			Conditions: map[string]map[string][]string{
				"ForAllValues:StringLike":   {recordNames: {"_acme-challenge.*"}},
				"ForAllValues:StringEquals": {recordTypes: {"TXT"}},
				"Null":                      present(recordNames, recordTypes),
			},
		},
	}
}

// externalDNS returns the permissions of external-dns: it lists all zones, which
// route53:ListHostedZones knows no way around, and writes the records that it
// manages by default, and the TXT records by which it knows its own, in the
// zones that are listed. NS records in particular are none of these: with them
// it could delegate a part of a zone to anybody.
//
// Source: https://kubernetes-sigs.github.io/external-dns/latest/docs/tutorials/aws/,
// where zones and record types are not limited.
func externalDNS(a Args) []iampolicy.Statement {
	return []iampolicy.Statement{
		{
			Sid:       "ExternalDNSFindZones",
			Actions:   []string{"route53:ListHostedZones"},
			Resources: []string{"*"},
		},
		{
			Sid:       "ExternalDNSReadZones",
			Actions:   []string{"route53:ListResourceRecordSets", "route53:ListTagsForResources"},
			Resources: a.zones(),
		},
		{
			Sid:       "ExternalDNSRecords",
			Actions:   []string{"route53:ChangeResourceRecordSets"},
			Resources: a.zones(),
			Conditions: map[string]map[string][]string{
				"ForAllValues:StringEquals": {recordTypes: {"A", "AAAA", "CNAME", "TXT"}},
				"Null":                      present(recordTypes),
			},
		},
	}
}

func (a Args) zones() []string {
	var arns []string
	for _, id := range a.HostedZoneIDs {
		arns = append(arns, a.arn("route53", "", "", "hostedzone/"+id))
	}
	return arns
}

// present says that the keys are in the request: ForAllValues alone also holds
// where they are not.
func present(keys ...string) map[string][]string {
	block := map[string][]string{}
	for _, key := range keys {
		block[key] = []string{"false"}
	}
	return block
}
