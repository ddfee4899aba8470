package rules_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/rules"
)

var hex = strings.Repeat("0a", 32)

// samples are values that follow a rule, and near misses that do not.
var samples = map[string]struct {
	rule      func(string) string
	good, bad []string
}{
	"region": {rules.Region, []string{"eu-central-1", "ap-southeast-7", "us-gov-west-1", "cn-north-1", "us-isof-south-1", "eusc-de-east-1"},
		[]string{"", "eu-central", "eu-central-0", "EU-central-1", "eu-central-1a", "eu central-1", "eu-central-1\n"}},
	"account":      {rules.Account, []string{"111122223333"}, []string{"", "11112222333", "1111222233334", "11112222333a"}},
	"cluster name": {rules.ClusterName, []string{"a", "lab", "a-1", strings.Repeat("a", 28)}, []string{"", "1a", "-a", "a-", "Lab", "a_b", strings.Repeat("a", 29)}},
	"bucket": {rules.Bucket, []string{"abc", "a-1", strings.Repeat("a", 63)},
		[]string{"", "ab", "a.b.c", "-abc", "abc-", "Abc", strings.Repeat("a", 64), "xn--abc", "sthree-a", "abc-s3alias", "abc--x-s3", "abc-an"}},
	"label":     {rules.Label, []string{"a", "0", "a-b", strings.Repeat("a", 63)}, []string{"", "-a", "a-", "A", "a.b", "a_b", strings.Repeat("a", 64)}},
	"subdomain": {rules.Subdomain, []string{"a", "a.b-c", strings.Repeat("a", 253)}, []string{"", ".a", "a.", "a..b", "a.-b", "A", strings.Repeat("a", 254)}},
	"host name": {rules.Hostname, []string{"oidc.example.com", "a.b", strings.Repeat("a", 63) + ".b"},
		[]string{"", "localhost", "a.b.", "1.2.3.4", "A.b", strings.Repeat("a", 64) + ".b", "https://a.b"}},
	"domain":      {rules.Domain, []string{"oidc.example.com", strings.Repeat("a", 56) + ".example"}, []string{"", strings.Repeat("a", 57) + ".example", "oidc"}},
	"K3s version": {rules.K3sVersion, []string{"v1.35.4+k3s1", "v1.34.0-rc1+k3s2"}, []string{"", "v1.35.4", "1.35.4+k3s1", "v1.35+k3s1", "v1.035.4+k3s1", "v2.0.0+k3s1"}},
	"SHA-256":     {rules.SHA256, []string{hex}, []string{"", hex[1:], hex + "0", strings.ToUpper(hex), "sha256:" + hex}},
	"instance type": {rules.InstanceType, []string{"t3.medium", "m7gd.2xlarge", "u-6tb1.metal", "c7i.metal-24xl", "hpc7g.4xlarge", "u7i-12tb.224xlarge", "m3.medium", "p6e-gb200.36xlarge"},
		[]string{"", "t3", "t3.", "medium", "T3.medium", "t3.medium ", "mac1.metal", "mac2.metal", "mac2-m1ultra.metal", "mac-m4.metal", "t1.micro", "m1.small", "m2.xlarge", "c1.medium"}},
	"image": {rules.Image, []string{"ami-01234567", "ami-0123456789abcdef0"}, []string{"", "ami-", "ami-0123456", "ami-0123456789abcdefg", "AMI-01234567"}},
	"zone":  {rules.ZoneID, []string{"Z1", "Z0123456789ABCDEFGHIJ"}, []string{"", "Z", "/hostedzone/Z1", "z1", "A1"}},
	"policy": {rules.PolicyARN, []string{"arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws-cn:iam::111122223333:policy/team/x"},
		[]string{"", "ReadOnlyAccess", "arn:aws:iam::111122223333:role/x", "arn:aws:iam::1:policy/x", "arn:aws:iam::aws:policy/", "arn:aws:iam::aws:policy/a b"}},
	"repository": {rules.RepositoryARN, []string{"arn:aws:ecr:eu-central-1:111122223333:repository/team/app", "arn:aws-cn:ecr:cn-north-1:111122223333:repository/a-b.c_d"},
		[]string{"", "arn:aws:ecr:eu-central-1:111122223333:repository/*", "arn:aws:ecr:*:111122223333:repository/app", "arn:aws:ecr:eu-central-1:1:repository/app", "arn:aws:ecr:eu-central-1:111122223333:repository/a",
			"arn:aws:ecr:eu-central-1:111122223333:repository/Team", "arn:aws:ecr:eu-central-1:111122223333:repository/a//b", "arn:aws:ecr:eu-central-1:111122223333:repository/" + strings.Repeat("a", 257), "arn:aws:ecr-public::111122223333:repository/app"}},
	"download": {rules.Download, []string{"https://artifacts.k8s.io/binaries/cloud-provider-aws/v1.37.0/linux/amd64/ecr-credential-provider-linux-amd64", "https://a.example.com:8443/x%2By"},
		[]string{"", "http://a.example.com/x", "https://a.example.com", "https://a.example.com/", "https://u@a.example.com/x", "https://a.example.com/x?y", "https://a.example.com/x&y", "https://a.example.com/$(x)", "https://a.example.com/x y"}},
	"schedule": {rules.Cron, []string{"0 */12 * * *", "30 4 1,15 * MON-FRI"}, []string{"", "* * * *", "@daily", "0 0 * * * *", "0;rm * * * *"}},
	"pinned image": {rules.PinnedImage, []string{"a:1", "registry.example.com:5000/a/b:v1", "a@sha256:" + hex, "a:latest@sha256:" + hex},
		[]string{"", "a", "a:latest", "a:", "https://a.example.com/b:1", "docker://a:1", "a//b:1", "a/:1", "a:b/c:1", "a@sha256:1", "a@md5:" + hex, "A:1", "registry.example.com:5000/a", "/a:1 "}},
	"digest": {rules.DigestImage, []string{"a@sha256:" + hex, "a:1@sha256:" + hex}, []string{"", "a:1", "a", "a@" + hex}},
}

// TestRules holds each rule to its samples.
func TestRules(t *testing.T) {
	for name, s := range samples {
		for _, value := range s.good {
			require.Empty(t, s.rule(value), "%s: %q", name, value)
		}
		for _, value := range s.bad {
			must := s.rule(value)
			require.NotEmpty(t, must, "%s: %q", name, value)
			require.NotContains(t, must, "must be", "%s: it is the end of a sentence that has these words", name)
		}
	}
}

// TestArm holds the architecture of instance types to some that AWS has.
func TestArm(t *testing.T) {
	for instanceType, arm := range map[string]bool{"a1.medium": true, "t4g.small": true, "m7gd.large": true, "im4gn.large": true, "g5g.xlarge": true,
		"x2gd.medium": true, "t3.medium": false, "g4dn.xlarge": false, "g5.xlarge": false, "hpc7g.4xlarge": true, "c7gn.metal": true,
		"p6e-gb200.36xlarge": true, "p6-b200.48xlarge": false, "gr6.4xlarge": false, "g6e.xlarge": false, "m7i.large": false, "trn1.2xlarge": false} {
		require.Equal(t, arm, rules.Arm(instanceType), instanceType)
	}
}

// TestServers holds the sizes of a control plane.
func TestServers(t *testing.T) {
	for n := -1; n < 9; n++ {
		require.Equal(t, n == 1 || n == 3 || n == 5, rules.Servers(n) == "", n)
	}
}

// TestPartsOfNames holds what is read from a value that follows its rule, and
// nothing from one that does not.
func TestPartsOfNames(t *testing.T) {
	require.Equal(t, "35", rules.K3sMinor("v1.35.4+k3s1"))
	require.Empty(t, rules.K3sMinor("v1.35.4"))
	require.Equal(t, "aws", rules.PolicyOwner("arn:aws:iam::aws:policy/ReadOnlyAccess"))
	require.Equal(t, "111122223333", rules.PolicyOwner("arn:aws:iam::111122223333:policy/x"))
	require.Empty(t, rules.PolicyOwner("arn:aws:iam::111122223333:role/x"))
}

func TestRegistry(t *testing.T) {
	require.Equal(t, "111122223333.dkr.ecr.eu-central-1.amazonaws.com", rules.Registry("arn:aws:ecr:eu-central-1:111122223333:repository/team/app", "amazonaws.com"))
	require.Equal(t, "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", rules.Registry("arn:aws-cn:ecr:cn-north-1:111122223333:repository/app", "amazonaws.com.cn"))
}
