package k3s

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/components/rules"
)

// ClusterArgs are the inputs of [NewCluster]. What shapes the graph is plain;
// what may come from other resources is an input.
type ClusterArgs struct {
	// ClusterName is contractual: the secrets' SSM parameters live under
	// /k3s-aws-auth/<ClusterName>, so it is unique in account and region.
	ClusterName string
	// Version is the K3s release, for example v1.35.4+k3s1.
	Version string
	// BinarySHA256 is the hex digest of the k3s binary. Empty means that nodes
	// check it against the release's own list of digests, which guards against
	// damage but not against a release that was tampered with.
	BinarySHA256 string
	// Servers is the number of machines of the control plane: 1, 3 or 5, an odd
	// number since etcd needs a majority of them. More than one need a
	// LoadBalancer.
	Servers int
	// Agents is the number of machines for workloads, at least 1: servers take
	// none.
	Agents int
	// ServerInstanceType and AgentInstanceType choose the machines and, by
	// their family, the architecture.
	ServerInstanceType, AgentInstanceType string
	// AmiID is an Ubuntu 24.04 server image for all nodes. Empty means
	// Canonical's current one when a node is created; later images then do not
	// replace it.
	AmiID string
	// RootVolumeGiB is the size of each node's root volume, at least 8.
	RootVolumeGiB int
	// CPUCredits is "standard" or "unlimited", for burstable instance types. With
	// "standard" T3 and T4g boot at their baseline, since only T2 gets credits at
	// launch.
	CPUCredits string
	// LoadBalancer says what the API is reached by: "" is an elastic address on
	// the only server, "internet" a load balancer that faces the internet and
	// "internal" one with private addresses alone. Behind either, nodes join by a
	// load balancer with private addresses.
	LoadBalancer string
	// VpcID and SubnetIDs are where nodes live, spread over the subnets. These
	// need a way to SSM and to K3s's releases, and public addresses on launch
	// where LoadBalancer is "".
	VpcID     pulumi.StringInput
	SubnetIDs pulumi.StringArrayInput
	// PublicSubnetIDs are where a load balancer that faces the internet has its
	// addresses, one subnet a zone. Nil means SubnetIDs.
	PublicSubnetIDs pulumi.StringArrayInput
	// VpcCIDR is the VPC's range. It must not overlap the ranges of pods and
	// services; empty means that it is not checked.
	VpcCIDR string
	// APICIDRs may reach the Kubernetes API, beside the nodes. The machine that
	// runs this program must be among them.
	APICIDRs []string
	// Issuers are the issuers of ServiceAccount tokens: the first signs, all
	// are accepted. Nil or empty means K3s's own default.
	Issuers pulumi.StringArrayInput
	// SigningKeys are the ServiceAccount keys: the active one signs, all verify.
	// Nil means that the component makes one.
	SigningKeys []SigningKey
	// EtcdSnapshots sends etcd's snapshots to a bucket; nil keeps them on the
	// servers' disks alone.
	EtcdSnapshots *EtcdSnapshots
	// AgentHopLimit is the metadata hop limit of agents: 1 keeps pods from the
	// node's role, 2 gives it to them. Servers always have 1.
	AgentHopLimit int
	// AgentPolicies (JSON, by name) and AgentManagedPolicyArns are permissions
	// of the agents' role beyond what a node needs.
	AgentPolicies          map[string]pulumi.StringInput
	AgentManagedPolicyArns []string
	// ImagePulls gives agents' kubelets credentials for private ECR repositories; nil
	// does not.
	ImagePulls *ImagePulls
	// PermissionsBoundary is the ARN of a policy that caps the nodes' roles, or
	// empty.
	PermissionsBoundary string
	// Protect makes Pulumi refuse to delete the keys and certificates of the
	// cluster's CAs, the ServiceAccount key that the component makes and the
	// servers' token: without them no node and no kubeconfig is known to the cluster
	// any more, and no snapshot of etcd can be restored.
	Protect bool
	// FeatureGates (Name=true) and RuntimeConfig (group/version=true) are given
	// to the API server.
	FeatureGates  []string
	RuntimeConfig []string
	// Region is the provider's region.
	Region string
	// Tags are put on every resource that takes tags.
	Tags map[string]string
}

// SigningKey is a member of the set of keys that ServiceAccount tokens are signed
// with.
type SigningKey struct {
	keyset.Member
	// PrivateKeyPem is the key, secret, as traditional RSA PEM.
	PrivateKeyPem pulumi.StringInput
}

// EtcdSnapshots is where K3s puts copies of etcd beyond the servers' disks, and
// when. A snapshot holds everything of the cluster, its Secrets and keys too.
type EtcdSnapshots struct {
	// Bucket is the name of a bucket in the cluster's region that outlives the
	// cluster. Snapshots are below the cluster's name.
	Bucket string
	// Schedule is a cron expression of five fields, in the servers' time (UTC).
	Schedule string
	// Retention is how many scheduled snapshots each server keeps on its disk, and
	// how many all servers together keep in the bucket: every server makes one each
	// time, so that of three servers the bucket has the last Retention/3 times. At
	// least 1.
	Retention int
}

// ImagePulls is what images agents pull from private ECR repositories, and as whom.
type ImagePulls struct {
	// ProviderURL and ProviderSHA256 are upstream's ecr-credential-provider for the
	// agents' architecture.
	ProviderURL, ProviderSHA256 string
	// Repositories are the ARNs of the repositories.
	Repositories []string
	// ByPods pulls with the role that a pod's ServiceAccount names in the annotation
	// eks.amazonaws.com/ecr-role-arn, and not at all for one that names none; who may
	// pull what is up to these roles. Otherwise the agents' role pulls, and may pull
	// from all of the repositories.
	ByPods bool
}

// Values of ClusterArgs.LoadBalancer.
const (
	LoadBalancerNone     = ""
	LoadBalancerInternet = "internet"
	LoadBalancerInternal = "internal"
)

// balanced tells whether the API is behind a load balancer.
func (args *ClusterArgs) balanced() bool { return args.LoadBalancer != LoadBalancerNone }

// Names under which the component itself gives policies to nodes.
const (
	bootPolicy    = "boot"
	sessionPolicy = "session-manager"
	// snapshotPolicy is the servers' alone, pullPolicy the agents'.
	snapshotPolicy = "etcd-snapshots"
	pullPolicy     = "image-pulls"
)

// Ranges that K3s gives to pods and services by default.
var clusterRanges = map[string]netip.Prefix{
	"pods":     netip.MustParsePrefix("10.42.0.0/16"),
	"services": netip.MustParsePrefix("10.43.0.0/16"),
}

var (
	featureGatePattern   = regexp.MustCompile(`^[A-Za-z0-9]+=(true|false)$`)
	runtimeConfigPattern = regexp.MustCompile(`^[a-z0-9./-]+=(true|false)$`)
)

// validate reports everything that is wrong with the arguments at once. The
// values end in shell variables and YAML of the nodes, so each has a shape that
// needs no quoting there.
func (args *ClusterArgs) validate() error {
	if args == nil {
		return errors.New("args are nil")
	}
	var errs []error
	check := func(ok bool, format string, values ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("args."+format, values...))
		}
	}
	follows := func(must, field, value string) { check(must == "", "%s: is %q, must be %s", field, value, must) }
	follows(rules.ClusterName(args.ClusterName), "ClusterName", args.ClusterName)
	follows(rules.K3sVersion(args.Version), "Version", args.Version)
	if args.BinarySHA256 != "" {
		follows(rules.SHA256(args.BinarySHA256), "BinarySHA256", args.BinarySHA256)
	}
	must := rules.Servers(args.Servers)
	check(must == "", "Servers: is %d, must be %s", args.Servers, must)
	switch args.LoadBalancer {
	case LoadBalancerInternet, LoadBalancerInternal:
	case LoadBalancerNone:
		check(args.Servers <= 1, "LoadBalancer: is empty, must be internet or internal for %d servers", args.Servers)
	default:
		check(false, "LoadBalancer: is %q, must be internet, internal or empty", args.LoadBalancer)
	}
	if snapshots := args.EtcdSnapshots; snapshots != nil {
		// K3s asks by path where a name has dots.
		follows(rules.Bucket(strings.ReplaceAll(snapshots.Bucket, ".", "-")), "EtcdSnapshots.Bucket", snapshots.Bucket)
		follows(rules.Cron(snapshots.Schedule), "EtcdSnapshots.Schedule", snapshots.Schedule)
		check(snapshots.Retention >= 1, "EtcdSnapshots.Retention: is %d, must be at least 1", snapshots.Retention)
	}
	if pulls := args.ImagePulls; pulls != nil {
		follows(rules.Download(pulls.ProviderURL), "ImagePulls.ProviderURL", pulls.ProviderURL)
		follows(rules.SHA256(pulls.ProviderSHA256), "ImagePulls.ProviderSHA256", pulls.ProviderSHA256)
		check(len(pulls.Repositories) > 0, "ImagePulls.Repositories: is empty, must have at least one")
		for i, arn := range pulls.Repositories {
			follows(rules.RepositoryARN(arn), fmt.Sprintf("ImagePulls.Repositories[%d]", i), arn)
		}
		check(!pulls.ByPods || minor(args.Version) >= 35, "ImagePulls.ByPods: is true, must be false before Kubernetes 1.35: "+
			"what one pod has pulled would be every pod's on that node")
	}
	check(args.Agents >= 1, "Agents: is %d, must be at least 1: servers take no workloads", args.Agents)
	follows(rules.InstanceType(args.ServerInstanceType), "ServerInstanceType", args.ServerInstanceType)
	follows(rules.InstanceType(args.AgentInstanceType), "AgentInstanceType", args.AgentInstanceType)
	if architecture(args.ServerInstanceType) != architecture(args.AgentInstanceType) {
		check(args.BinarySHA256 == "", "BinarySHA256: is one digest, but %s and %s need binaries of two architectures",
			args.ServerInstanceType, args.AgentInstanceType)
		check(args.AmiID == "", "AmiID: is one image, but %s and %s need images of two architectures",
			args.ServerInstanceType, args.AgentInstanceType)
	}
	if args.AmiID != "" {
		follows(rules.Image(args.AmiID), "AmiID", args.AmiID)
	}
	check(args.RootVolumeGiB >= rules.MinRootVolume && args.RootVolumeGiB <= rules.MaxRootVolume,
		"RootVolumeGiB: is %d, must be %d to %d", args.RootVolumeGiB, rules.MinRootVolume, rules.MaxRootVolume)
	check(args.CPUCredits == "standard" || args.CPUCredits == "unlimited",
		"CPUCredits: is %q, must be standard or unlimited", args.CPUCredits)
	check(args.VpcID != nil, "VpcID: is nil")
	check(args.SubnetIDs != nil, "SubnetIDs: is nil")
	if args.VpcCIDR != "" {
		vpc, err := netip.ParsePrefix(args.VpcCIDR)
		check(err == nil, "VpcCIDR: is %q, must be a range such as 10.0.0.0/16", args.VpcCIDR)
		for _, use := range []string{"pods", "services"} {
			check(err != nil || !vpc.Overlaps(clusterRanges[use]),
				"VpcCIDR: %s overlaps %s, which K3s gives to %s", args.VpcCIDR, clusterRanges[use], use)
		}
	}
	check(len(args.APICIDRs) > 0, "APICIDRs: is empty, must have the address that this program runs from: it waits for the API")
	seen := map[string]bool{}
	for i, cidr := range args.APICIDRs {
		prefix, err := netip.ParsePrefix(cidr)
		check(err == nil && prefix.Addr().Is4() && prefix.Masked() == prefix,
			"APICIDRs[%d]: is %q, must be an IPv4 range such as 203.0.113.7/32", i, cidr)
		check(!seen[cidr], "APICIDRs[%d]: %s is listed twice", i, cidr)
		seen[cidr] = true
	}
	if args.SigningKeys != nil {
		for _, problem := range keyset.Validate(members(args.SigningKeys), rules.MaxSigningKeys) {
			check(false, "SigningKeys%s: found %s, must be %s", problem.Key, problem.Found, problem.Must)
		}
	}
	for i, key := range args.SigningKeys {
		check(key.PrivateKeyPem != nil, "SigningKeys[%d].PrivateKeyPem: is nil", i)
	}
	check(args.AgentHopLimit == 1 || args.AgentHopLimit == 2, "AgentHopLimit: is %d, must be 1 or 2", args.AgentHopLimit)
	for _, name := range []string{bootPolicy, sessionPolicy, pullPolicy} {
		_, taken := args.AgentPolicies[name]
		check(!taken, "AgentPolicies[%s]: the name is that of a policy of the component", name)
	}
	if args.PermissionsBoundary != "" {
		follows(rules.PolicyARN(args.PermissionsBoundary), "PermissionsBoundary", args.PermissionsBoundary)
	}
	for i, gate := range args.FeatureGates {
		check(featureGatePattern.MatchString(gate), "FeatureGates[%d]: is %q, must be Name=true or Name=false", i, gate)
	}
	for i, api := range args.RuntimeConfig {
		check(runtimeConfigPattern.MatchString(api), "RuntimeConfig[%d]: is %q, must be such as example.k8s.io/v1beta1=true", i, api)
	}
	follows(rules.Region(args.Region), "Region", args.Region)
	return errors.Join(errs...)
}

// architecture is the processor architecture of an instance type, by the name
// that images use.
func architecture(instanceType string) string {
	if rules.Arm(instanceType) {
		return "arm64"
	}
	return "amd64"
}

// burstableFamily matches t2, t3, t3a, t4g, and not trn1.
var burstableFamily = regexp.MustCompile(`^t[0-9]`)

// burstable tells whether an instance type works with CPU credits; EC2 refuses
// a credit specification for others.
func burstable(instanceType string) bool {
	return burstableFamily.MatchString(instanceType)
}
