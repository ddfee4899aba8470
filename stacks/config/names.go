package config

import (
	"net/netip"
	"regexp"
	"strings"

	"k3s-aws-auth/components/iampolicy"
)

// Limits that setups apply too. Both are IAM's.
const (
	// MaxManagedPolicies is how many a role may have, by the default quota.
	MaxManagedPolicies = 10
	// MaxInlinePolicy is the size of a role's inline policies together, in
	// characters.
	MaxInlinePolicy = 10240
)

// Limits, each with the one who sets it.
const (
	maxClusterName  = 28  // S3: 63, less "-issuer-", an account id, "-" and the longest region
	maxIdentityName = 40  // Kubernetes: pod names and labels 63, with room for what is added to them
	maxLabel        = 63  // DNS-1123 label: namespaces
	maxSubdomain    = 253 // DNS-1123 subdomain: service accounts
	maxACMDomain    = 64  // ACM: a certificate's first name becomes its common name
	maxBucket       = 63  // S3
	maxUserTags     = 8   // S3: an object has at most 10 tags, and the program adds two
	minSession      = 900 // STS and Roles Anywhere
	minRoleMaximum  = 3600
	maxSession      = 43200
	maxExternalID   = 1224 // STS
)

var (
	labelPattern     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	clusterPattern   = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	bucketPattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*[a-z0-9]$`)
	versionPattern   = regexp.MustCompile(`^v1\.([1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})(-rc[1-9][0-9]?)?\+k3s[1-9][0-9]?$`)
	sha256Pattern    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	amiPattern       = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)
	instancePattern  = regexp.MustCompile(`^[a-z][a-z0-9]*[0-9][a-z0-9-]*\.(nano|micro|small|medium|large|[0-9]*xlarge|metal(-[0-9]+xl)?)$`)
	regionPattern    = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+){1,2}-[1-9][0-9]?$`)
	zoneIDPattern    = regexp.MustCompile(`^Z[0-9A-Z]{1,31}$`)
	policyArnPattern = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::(aws|[0-9]{12}):policy/[0-9A-Za-z_+=,.@/-]{1,512}$`)
	roleArnPattern   = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::[0-9]{12}:role/[0-9A-Za-z_+=,.@/-]{1,512}$`)
	actionPattern    = regexp.MustCompile(`^(\*|[0-9A-Za-z-]+:[0-9A-Za-z*?]+)$`)
	sidPattern       = regexp.MustCompile(`^[0-9A-Za-z]*$`)
	// conditionKey is service:name, and behind a slash a tag's key, in which tags
	// have spaces. The service of an OIDC provider's keys is its URL without the
	// scheme.
	conditionKey    = regexp.MustCompile(`^[0-9A-Za-z._-]+(/[0-9A-Za-z._~/-]+)?:[^\s/]+(/[^\x00-\x1f]*\S)?$`)
	tagPattern      = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	imagePattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9._:/-]*$`)
	nodePathPattern = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)
	cronPattern     = regexp.MustCompile(`^[0-9*/,-]+( [0-9A-Za-z*/,?-]+){4}$`)
	digestPattern   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	imageTagPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	// externalIDPattern is STS's, of AssumeRole, but for the longest length.
	externalIDPattern = regexp.MustCompile(`^[0-9A-Za-z_+=,.@:/-]{2,}$`)
	// issuerPattern is what IAM takes as the URL of an OIDC provider, as far as
	// tokens of Kubernetes use it.
	issuerPattern     = regexp.MustCompile(`^https://[a-z0-9.-]+(/[0-9A-Za-z._~-]+)*/?$`)
	nodeLabelPattern  = regexp.MustCompile(`^([a-z0-9.-]{1,253}/)?[0-9A-Za-z]([0-9A-Za-z_.-]{0,61}[0-9A-Za-z])?$`)
	labelValuePattern = regexp.MustCompile(`^([0-9A-Za-z]([0-9A-Za-z_.-]{0,61}[0-9A-Za-z])?)?$`)
	operatorPattern   = regexp.MustCompile(`^((ForAllValues|ForAnyValue):)?(` +
		`(String(Not)?Equals(IgnoreCase)?|String(Not)?Like|` +
		`Numeric(NotEquals|Equals|LessThan|LessThanEquals|GreaterThan|GreaterThanEquals)|` +
		`Date(NotEquals|Equals|LessThan|LessThanEquals|GreaterThan|GreaterThanEquals)|` +
		`Bool|BinaryEquals|(Not)?IpAddress|Arn(Not)?(Equals|Like))(IfExists)?|Null)$`)
)

// isLabel reports whether s is a DNS-1123 label.
func isLabel(s string) bool { return len(s) <= maxLabel && labelPattern.MatchString(s) }

// isSubdomain reports whether s is a DNS-1123 subdomain: labels with dots
// between them. Kubernetes does not limit a label of it to 63 characters.
func isSubdomain(s string) bool {
	if len(s) > maxSubdomain {
		return false
	}
	for _, label := range strings.Split(s, ".") {
		if !labelPattern.MatchString(label) {
			return false
		}
	}
	return true
}

// isHostname reports whether s can be a host's DNS name with at least two
// labels, in lower case, without a trailing dot.
func isHostname(s string) bool {
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return false
		}
	}
	// A numeric top label would make it an address, or nothing that resolves.
	return len(labels) > 1 && strings.ContainsAny(labels[len(labels)-1], "abcdefghijklmnopqrstuvwxyz")
}

// armPattern matches the instance families with Arm processors: the letter
// behind the generation is g, or it is the first of them, a1.
var armPattern = regexp.MustCompile(`^(a1|[a-z]+[0-9]+g[a-z]*)\.`)

func arm(instanceType string) bool { return armPattern.MatchString(instanceType) }

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
	if partition == "" || !regionPattern.MatchString(c.Region) || partition == c.Partition() {
		return true
	}
	p.Add(key, Quote(arn), "in partition %s, that of %s", c.Partition(), c.Region)
	return false
}

// Partition returns the AWS partition that the stack's region is in.
func (c *Config) Partition() string { return partitionOf(c.Region) }

// reservedBucketName returns what makes a bucket name reserved, or "".
//
// Source: Amazon S3 User Guide, general purpose bucket naming rules.
func reservedBucketName(bucket string) string {
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(bucket, prefix) {
			return "a name that does not start with " + prefix
		}
	}
	for _, suffix := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3", "-an"} {
		if strings.HasSuffix(bucket, suffix) {
			return "a name that does not end with " + suffix
		}
	}
	return ""
}

// ipv4Block parses an IPv4 CIDR block in its canonical form, without host bits:
// AWS would silently clear them, and every later preview would show a change.
func ipv4Block(s string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil || !prefix.Addr().Is4() || prefix.Masked() != prefix || prefix.String() != s {
		return netip.Prefix{}, false
	}
	return prefix, true
}

// isDigestImage reports whether s names a container image by digest.
func isDigestImage(s string) bool { return strings.Contains(s, "@") && isPinnedImage(s) }

// isPinnedImage reports whether s names a container image by digest or by a tag
// other than latest.
func isPinnedImage(s string) bool {
	name, digest, byDigest := strings.Cut(s, "@")
	if byDigest && !digestPattern.MatchString(digest) {
		return false
	}
	slash := strings.LastIndexByte(name, '/')
	repository, tag, tagged := strings.Cut(name[slash+1:], ":")
	if repository == "" || !imagePattern.MatchString(name[:slash+1]+repository) {
		return false
	}
	if tagged && (!imageTagPattern.MatchString(tag) || (tag == "latest" && !byDigest)) {
		return false
	}
	return byDigest || tagged
}
