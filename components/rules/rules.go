// Package rules has the rules of AWS, K3s and Kubernetes that more than one
// package enforces, each of them once. A rule takes a value and returns what a
// value must be, as the end of a sentence that begins with "must be", or "" where
// it is that. Rules that one component alone knows are that component's.
package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Limits, each with the one who sets it.
const (
	// MaxClusterName is S3's 63, less "-issuer-", an account id, "-" and the longest
	// region: an issuer's bucket is named after the cluster.
	MaxClusterName = 28
	// MaxBucket is S3's.
	MaxBucket = 63
	// MaxLabel is that of a DNS-1123 label: namespaces.
	MaxLabel = 63
	// MaxSubdomain is that of a DNS-1123 subdomain: service accounts.
	MaxSubdomain = 253
	// MaxCertificateDomain is ACM's: a certificate's first name becomes its common
	// name.
	MaxCertificateDomain = 64
	// MaxManagedPolicies is how many a role may have, by IAM's default quota.
	MaxManagedPolicies = 10
	// MaxInlinePolicy is the size of a role's inline policies together, in
	// characters; white space does not count (IAM).
	MaxInlinePolicy = 10240
	// MinSessionSeconds and MaxSessionSeconds are those of STS and Roles Anywhere;
	// MinRoleSessionSeconds is the least that a role's longest session may be (IAM).
	MinSessionSeconds     = 900
	MinRoleSessionSeconds = 3600
	MaxSessionSeconds     = 43200
	// MaxProfileRoles is how many roles a profile of Roles Anywhere may have.
	MaxProfileRoles = 250
	// MinRootVolume and MaxRootVolume are in GiB: what Ubuntu's images and EBS's gp3
	// ask for.
	MinRootVolume = 8
	MaxRootVolume = 16384
	// NonRoot is the user, group and fsGroup of all pods that the program makes: the
	// one that the credential helper's image uses, so that key files suit it.
	NonRoot = 65532
	// MaxLogDays is the longest time that access logs are kept: ten years.
	MaxLogDays = 3650
)

var (
	region      = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+){1,2}-[1-9][0-9]?$`)
	account     = regexp.MustCompile(`^[0-9]{12}$`)
	clusterName = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	bucket      = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*[a-z0-9]$`)
	label       = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	k3sVersion  = regexp.MustCompile(`^v1\.([1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})(-rc[1-9][0-9]?)?\+k3s[1-9][0-9]?$`)
	sha256      = regexp.MustCompile(`^[0-9a-f]{64}$`)
	machine     = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*\.(nano|micro|small|medium|large|[0-9]*xlarge|metal(-[0-9]+xl)?)$`)
	machineOS   = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)
	serial      = regexp.MustCompile(`^[0-9a-f]{1,40}$`)
	zoneID      = regexp.MustCompile(`^Z[0-9A-Z]{1,31}$`)
	policyARN   = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::(aws|[0-9]{12}):policy/[0-9A-Za-z_+=,.@/-]{1,512}$`)
	repository  = regexp.MustCompile(`^arn:(aws[a-z-]*):ecr:([a-z0-9-]+):([0-9]{12}):repository/([a-z0-9]+([._-][a-z0-9]+)*/)*[a-z0-9]+([._-][a-z0-9]+)*$`)
	download    = regexp.MustCompile(`^https://[a-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~%+@=-]+)+$`)
	cron        = regexp.MustCompile(`^[0-9*/,-]+( [0-9A-Za-z*/,?-]+){4}$`)
	image       = regexp.MustCompile(`^([a-z0-9][a-z0-9.-]*(:[0-9]+)?/)?([a-z0-9][a-z0-9._-]*/)*[a-z0-9][a-z0-9._-]*$`)
	imageTag    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	// graviton matches the families with Arm processors: the attribute behind the
	// generation begins with g (t4g, m7gd, im4gn, g5g), or it is the first one, a1, or
	// one with Grace Blackwell chips (p6e-gb200).
	graviton = regexp.MustCompile(`^(a1|[a-z]+[0-9]+g[a-z]*|[a-z0-9]+-gb[0-9]+)\.`)
	// unfit matches families that no image of Ubuntu 24.04 boots on
	// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-mac-instances.html and
	// ComponentsAMIs.html, "Virtualization types").
	unfit = regexp.MustCompile(`^(mac(-[a-z]|[0-9])[a-z0-9-]*|t1|m1|m2|c1)\.`)
)

// Fault is the error of a field whose value does not follow a rule, which returned
// must; nil where it does.
func Fault(field, value, must string) error {
	if must == "" {
		return nil
	}
	return fmt.Errorf("%s is %q, must be %s", field, value, must)
}

func matches(pattern *regexp.Regexp, value, must string) string {
	if pattern.MatchString(value) {
		return ""
	}
	return must
}

// Region is the rule of an AWS region's name. Whether there is such a region only
// AWS knows.
func Region(value string) string { return matches(region, value, "a region such as eu-central-1") }

// Account is the rule of an AWS account's id.
func Account(value string) string { return matches(account, value, "12 digits") }

// ClusterName is the rule of a cluster's name, with which all its names in AWS
// begin.
func ClusterName(value string) string {
	if len(value) > MaxClusterName || !clusterName.MatchString(value) {
		return fmt.Sprintf("a lower-case letter, then letters, digits and hyphens, at most %d characters", MaxClusterName)
	}
	return ""
}

// Bucket is the rule of a bucket's name: S3's, and no dots.
//
// Source: Amazon S3 User Guide, general purpose bucket naming rules.
func Bucket(value string) string {
	if strings.Contains(value, ".") {
		return "a name without dots: the certificate of *.s3.<region>.amazonaws.com covers one label, so TLS to the bucket would fail"
	}
	if len(value) < 3 || len(value) > MaxBucket || !bucket.MatchString(value) {
		return fmt.Sprintf("3 to %d lower-case letters, digits and hyphens, with a letter or digit at both ends", MaxBucket)
	}
	if reserved := ReservedBucket(value); reserved != "" {
		return reserved + ", which S3 reserves"
	}
	return ""
}

// MaxSigningKeys is how many keys a set of signing keys may have: more than one
// change at a time needs, and few enough for the user data of servers.
const MaxSigningKeys = 5

// ReservedBucket returns what a bucket's name must be that begins or ends as S3
// does not allow, or "".
func ReservedBucket(value string) string {
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(value, prefix) {
			return "a name that does not start with " + prefix
		}
	}
	for _, suffix := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3", "-an"} {
		if strings.HasSuffix(value, suffix) {
			return "a name that does not end with " + suffix
		}
	}
	return ""
}

// Label is the rule of a DNS-1123 label, as names of namespaces are.
func Label(value string) string {
	if len(value) > MaxLabel || !label.MatchString(value) {
		return fmt.Sprintf("1 to %d lower-case letters, digits and hyphens, with a letter or digit at both ends", MaxLabel)
	}
	return ""
}

// Subdomain is the rule of a DNS-1123 subdomain, as most names in Kubernetes are:
// labels with dots between them. Kubernetes does not limit a label of it to 63
// characters.
func Subdomain(value string) string {
	bad := func(part string) bool { return !label.MatchString(part) }
	if len(value) > MaxSubdomain || slices.ContainsFunc(strings.Split(value, "."), bad) {
		return fmt.Sprintf("1 to %d lower-case letters, digits, hyphens and dots, with a letter or digit at both ends of each part", MaxSubdomain)
	}
	return ""
}

// Hostname is the rule of a host's DNS name: at least two labels, in lower case,
// without a trailing dot.
func Hostname(value string) string {
	labels := strings.Split(value, ".")
	// A numeric top label would make it an address, or nothing that resolves.
	if len(labels) < 2 || slices.ContainsFunc(labels, func(l string) bool { return Label(l) != "" }) ||
		!strings.ContainsAny(labels[len(labels)-1], "abcdefghijklmnopqrstuvwxyz") {
		return "a host name in lower case with at least two labels, such as oidc.example.com"
	}
	return ""
}

// Domain is the rule of a domain that a certificate is made for: a host's name,
// at most 64 characters.
func Domain(value string) string {
	if must := Hostname(value); must != "" {
		return must
	}
	if len(value) > MaxCertificateDomain {
		return fmt.Sprintf("at most %d characters, the limit of a certificate's common name", MaxCertificateDomain)
	}
	return ""
}

// K3sVersion is the rule of a K3s release.
func K3sVersion(value string) string {
	return matches(k3sVersion, value, "a K3s release such as v1.35.4+k3s1")
}

// K3sMinor is the minor version of Kubernetes in a K3s release, or "".
func K3sMinor(value string) string {
	if match := k3sVersion.FindStringSubmatch(value); match != nil {
		return match[1]
	}
	return ""
}

// SHA256 is the rule of a file's digest.
func SHA256(value string) string {
	return matches(sha256, value, "64 lower-case hex digits, a SHA-256")
}

// InstanceType is the rule of an EC2 instance type's name.
func InstanceType(value string) string {
	if unfit.MatchString(value) {
		return "an EC2 instance type that Ubuntu's images boot on: Macs are dedicated hosts for macOS, and t1, m1, m2 and c1 have no hardware virtualization"
	}
	return matches(machine, value, "an EC2 instance type such as t3.medium")
}

// Arm tells whether an instance type has an Arm processor, by its name.
func Arm(instanceType string) bool { return graviton.MatchString(instanceType) }

// Image is the rule of a machine image's id.
func Image(value string) string {
	return matches(machineOS, value, "an AMI id such as ami-0123456789abcdef0")
}

// Servers is the rule of how many servers a cluster has.
func Servers(n int) string {
	if slices.Contains([]int{1, 3, 5}, n) {
		return ""
	}
	return "1, 3 or 5: etcd needs a majority, and an even number adds none"
}

// Serial is the rule of a certificate's serial number as it is written here
// (20 octets at most: RFC 5280, section 4.1.2.2).
func Serial(value string) string {
	return matches(serial, value, "a serial number of at most 40 lower-case hex digits, without colons")
}

// ZoneID is the rule of a Route 53 hosted zone's id.
func ZoneID(value string) string {
	return matches(zoneID, value, "a Route 53 zone id such as Z0123456789ABCDEFGHIJ, without /hostedzone/")
}

// PolicyARN is the rule of a managed policy's ARN, AWS's own or an account's.
func PolicyARN(value string) string {
	return matches(policyARN, value, "the ARN of an IAM policy")
}

// PolicyOwner is the account in a managed policy's ARN, aws for AWS's own, or "".
func PolicyOwner(value string) string {
	if match := policyARN.FindStringSubmatch(value); match != nil {
		return match[2]
	}
	return ""
}

// RepositoryARN is the rule of the ARN of one private ECR repository, of any account
// (https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
// for the name).
func RepositoryARN(value string) string {
	const must = "the ARN of one private ECR repository such as arn:aws:ecr:eu-central-1:111122223333:repository/team/app, without wildcards"
	match := repository.FindStringSubmatch(value)
	_, name, _ := strings.Cut(value, ":repository/")
	if match == nil || Region(match[2]) != "" || len(name) < 2 || len(name) > 256 {
		return must
	}
	return ""
}

// Registry is the host that a private ECR repository's images are pulled from, where
// AWS's names end in suffix.
func Registry(arn, suffix string) string {
	match := repository.FindStringSubmatch(arn)
	return fmt.Sprintf("%s.dkr.ecr.%s.%s", match[3], match[2], suffix)
}

// Download is the rule of where a node gets a program from. It stands in a shell's
// variable there, so it has none of a shell's characters.
func Download(value string) string {
	return matches(download, value, "a URL that begins with https:// and has no user, query or fragment")
}

// Cron is the rule of a schedule: a cron expression of five fields.
func Cron(value string) string {
	return matches(cron, value, "a cron expression of five fields such as 0 */6 * * *")
}

// PinnedImage is the rule of a container image that stays the same: named by
// digest, or by a tag other than latest.
func PinnedImage(value string) string {
	const must = "an image with a digest (name@sha256:...) or a tag other than latest"
	name, digest, byDigest := strings.Cut(value, "@")
	hex, ok := strings.CutPrefix(digest, "sha256:")
	if byDigest && (!ok || !sha256.MatchString(hex)) {
		return must
	}
	slash := strings.LastIndexByte(name, '/')
	repository, tag, tagged := strings.Cut(name[slash+1:], ":")
	if repository == "" || !image.MatchString(name[:slash+1]+repository) ||
		tagged && (!imageTag.MatchString(tag) || (tag == "latest" && !byDigest)) || !byDigest && !tagged {
		return must
	}
	return ""
}

// DigestImage is the rule of a container image that is named by digest.
func DigestImage(value string) string {
	if !strings.Contains(value, "@") || PinnedImage(value) != "" {
		return "an image with a digest (name@sha256:...)"
	}
	return ""
}
