package config

import (
	"net/netip"
	"regexp"
	"strings"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/rules"
)

// Limits, each with the one who sets it.
const (
	maxIdentityName = 40   // Kubernetes: pod names and labels 63, with room for what is added to them
	maxUserTags     = 8    // S3: an object has at most 10 tags, and the program adds two
	maxExternalID   = 1224 // STS
	maxIssuer       = 255  // IAM: the URL of an OIDC provider
)

var (
	roleArnPattern  = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::[0-9]{12}:role/[0-9A-Za-z_+=,.@/-]{1,512}$`)
	tagPattern      = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	nodePathPattern = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)
	// externalIDPattern is STS's, of AssumeRole, but for the longest length.
	externalIDPattern = regexp.MustCompile(`^[0-9A-Za-z_+=,.@:/-]{2,}$`)
	// issuerPattern is what IAM takes as the URL of an OIDC provider, as far as
	// tokens of Kubernetes use it.
	issuerPattern     = regexp.MustCompile(`^https://[a-z0-9.-]+(/[0-9A-Za-z._~-]+)*/?$`)
	nodeLabelPattern  = regexp.MustCompile(`^([a-z0-9.-]{1,253}/)?[0-9A-Za-z]([0-9A-Za-z_.-]{0,61}[0-9A-Za-z])?$`)
	labelValuePattern = regexp.MustCompile(`^([0-9A-Za-z]([0-9A-Za-z_.-]{0,61}[0-9A-Za-z])?)?$`)
)

// partitionOf returns the AWS partition of a well-formed region's name.
func partitionOf(region string) string {
	for _, p := range []struct{ prefix, partition string }{
		{"cn-", "aws-cn"},
		{"us-gov-", "aws-us-gov"},
		{"us-isob-", "aws-iso-b"},
		{"us-isof-", "aws-iso-f"},
		{"eu-isoe-", "aws-iso-e"},
		{"us-iso-", "aws-iso"},
		{"eusc-", "aws-eusc"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}

// partitions are those that the program knows its way in: their host names are in
// the boot script and in issuers' URLs, and pulumi-aws v6 and what it is made of
// know their regions. aws-eusc, the European Sovereign Cloud, is newer than that
// provider.
var partitions = []string{"aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"}

// inPartition reports whether an ARN is in the stack's partition, and adds a
// problem where it names another. It is the one rule for every list of ARNs: IAM
// refuses a policy that names another partition (MalformedPolicyDocument), in the
// middle of a deployment, and no role is assumed and no policy attached across
// them.
func (c *Config) inPartition(key, arn string, p *Problems) bool {
	partition := iampolicy.Partition(arn)
	if partition == "" || rules.Region(c.Region) != "" || partition == c.Partition() {
		return true
	}
	p.Add(key, Quote(arn), "in partition %s, that of %s", c.Partition(), c.Region)
	return false
}

// Partition returns the AWS partition that the stack's region is in.
func (c *Config) Partition() string { return partitionOf(c.Region) }

// ipv4Block parses an IPv4 CIDR block in its canonical form, without host bits:
// AWS would silently clear them, and every later preview would show a change.
func ipv4Block(s string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil || !prefix.Addr().Is4() || prefix.Masked() != prefix || prefix.String() != s {
		return netip.Prefix{}, false
	}
	return prefix, true
}
