// Package config is the only reader of the stack's configuration. It turns what
// Pulumi hands a program into one typed, validated value, or into a complete
// list of what is wrong with it.
//
// Nothing here registers a resource, calls AWS or reads a file, so a wrong
// configuration stops a run before anything has changed.
package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/presets"
)

// Values that several rules and the documentation share.
const (
	// Project is the Pulumi project, and so the namespace of the keys.
	Project = "k3s-aws-auth"
	// TagPrefix starts the tag keys that the program itself writes.
	TagPrefix = "k3s-aws-auth/"
	// DemoBucketArn, in a statement's resources or condition values, stands for
	// the ARN of the demo bucket, whose name a configuration cannot know.
	DemoBucketArn = "${demo.bucketArn}"
)

// Ways in which issuer.dns may say that the DNS records come about.
const (
	DNSRoute53  = "route53"
	DNSExternal = "external"
)

// Pod Security levels of namespaces, the strictest first.
const (
	LevelRestricted = "restricted"
	LevelBaseline   = "baseline"
	LevelPrivileged = "privileged"
)

// Config is a stack's whole configuration, validated. Each field's json tag is
// its configuration key.
type Config struct {
	Setup               string            `json:"setup"`
	Production          bool              `json:"production"`
	ClusterName         string            `json:"clusterName"`
	Cluster             Cluster           `json:"cluster"`
	Network             Network           `json:"network"`
	Issuer              Issuer            `json:"issuer"`
	RolesAnywhere       RolesAnywhere     `json:"rolesAnywhere"`
	Injection           string            `json:"injection"`
	Webhook             Webhook           `json:"webhook"`
	Identities          []Identity        `json:"identities"`
	PermissionsBoundary string            `json:"permissionsBoundary"`
	Alarms              Alarms            `json:"alarms"`
	Demo                bool              `json:"demo"`
	DemoImage           string            `json:"demoImage"`
	Tags                map[string]string `json:"tags"`
	Region              string            `json:"-"` // aws:region
}

// Ways in which cluster.mode may say that the cluster comes about.
const (
	ModeCreate   = "create"
	ModeExisting = "existing"
)

// Ways in which cluster.apiAccess may say that the API is reached.
const (
	APIPublic  = "public"
	APIPrivate = "private"
)

// Values of cluster.cpuCredits: what a burstable machine does without credits.
const (
	CreditsStandard  = "standard"
	CreditsUnlimited = "unlimited"
)

// Cluster describes the K3s cluster and its machines, or the cluster of somebody
// else that identities are for.
type Cluster struct {
	Mode               string        `json:"mode"`
	Kubeconfig         string        `json:"kubeconfig"`
	PublicKeys         []string      `json:"publicKeys"`
	Version            string        `json:"version"`
	BinarySHA256       string        `json:"binarySha256"`
	Servers            int           `json:"servers"`
	Agents             int           `json:"agents"`
	ServerInstanceType string        `json:"serverInstanceType"`
	AgentInstanceType  string        `json:"agentInstanceType"`
	AmiID              string        `json:"amiId"`
	RootVolumeGiB      int           `json:"rootVolumeGiB"`
	CPUCredits         string        `json:"cpuCredits"`
	APIAccess          string        `json:"apiAccess"`
	EtcdSnapshots      EtcdSnapshots `json:"etcdSnapshots"`
}

// EtcdSnapshots describes where copies of etcd go beyond the servers' disks: to
// a bucket, where one is named.
type EtcdSnapshots struct {
	Bucket    string `json:"bucket"`
	Schedule  string `json:"schedule"`
	Retention int    `json:"retention"`
}

// Network describes the VPC.
type Network struct {
	CIDR         string   `json:"cidr"`
	Zones        []string `json:"zones"`
	APICIDRs     []string `json:"apiCidrs"`
	Private      bool     `json:"private"`
	NAT          string   `json:"nat"`
	VPCEndpoints bool     `json:"vpcEndpoints"`
}

// Ways in which network.nat may say that private subnets get out.
const (
	NATNone    = "none"
	NATSingle  = "single"
	NATPerZone = "per-zone"
)

// Issuer describes how the cluster's OIDC documents are published.
type Issuer struct {
	Bucket          string   `json:"bucket"`
	Domain          string   `json:"domain"`
	DNS             string   `json:"dns"`
	HostedZoneID    string   `json:"hostedZoneId"`
	Thumbprint      string   `json:"thumbprint"`
	CacheTTLSeconds int      `json:"cacheTtlSeconds"`
	PriceClass      string   `json:"priceClass"`
	AccessLogDays   int      `json:"accessLogDays"`
	Register        []string `json:"register"`
}

// RolesAnywhere describes the certificate authority, the leaf certificates and
// the sessions of setup roles-anywhere.
type RolesAnywhere struct {
	CAValidityHours       int    `json:"caValidityHours"`
	LeafValidityHours     int    `json:"leafValidityHours"`
	LeafEarlyRenewalHours int    `json:"leafEarlyRenewalHours"`
	SessionSeconds        int    `json:"sessionSeconds"`
	Helper                Helper `json:"helper"`
}

// Helper describes how the Roles Anywhere credential helper gets into a pod.
type Helper struct {
	Delivery   string `json:"delivery"`
	Image      string `json:"image"`
	NodePath   string `json:"nodePath"`
	NodeSHA256 string `json:"nodeSha256"`
}

// Ways in which rolesAnywhere.helper.delivery may say that it does.
const (
	DeliveryImageVolume = "image-volume"
	DeliverySidecar     = "sidecar"
	DeliveryNode        = "node"
)

// Ways in which injection may say that a pod gets what it needs to have its
// identity (setups irsa-s3 and irsa-cloudfront).
const (
	InjectionManifest        = "manifest"
	InjectionAdmissionPolicy = "admission-policy"
	InjectionWebhook         = "webhook"
)

// Webhook describes the amazon-eks-pod-identity-webhook.
type Webhook struct {
	Namespace    string            `json:"namespace"`
	Image        string            `json:"image"`
	Replicas     int               `json:"replicas"`
	NodeSelector map[string]string `json:"nodeSelector"`
	Tolerations  []Toleration      `json:"tolerations"`
}

// Toleration is one toleration of the webhook's pods, in Kubernetes's own words.
type Toleration struct {
	Key      string `json:"key"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
	Effect   string `json:"effect"`
}

// Alarms describes who is told when the identity chain is about to fail, or is
// being tried.
type Alarms struct {
	Enabled bool     `json:"enabled"`
	Emails  []string `json:"emails"`
}

// Identity is one pod identity: who it is in Kubernetes and what it may do in
// AWS. It becomes exactly one role (in setup instance-profile, its permissions
// go to the agents' role instead).
type Identity struct {
	Name              string      `json:"name"`
	Namespace         string      `json:"namespace"`
	ServiceAccount    string      `json:"serviceAccount"`
	CreateNamespace   bool        `json:"createNamespace"`
	PodSecurity       string      `json:"podSecurity"`
	CreateAccount     bool        `json:"createServiceAccount"`
	MaxSessionSeconds int         `json:"maxSessionSeconds"`
	Statements        []Statement `json:"statements"`
	ManagedPolicyArns []string    `json:"managedPolicyArns"`
	Preset            Preset      `json:"preset"`
	AssumeRoles       []Assumed   `json:"assumeRoles"`
	Issuers           []string    `json:"issuers"`
}

// Preset names the permissions of a controller that most clusters have, and what
// they are for.
type Preset struct {
	Name          string   `json:"name"`
	HostedZoneIDs []string `json:"hostedZoneIds"`
	SecretArns    []string `json:"secretArns"`
	ParameterArns []string `json:"parameterArns"`
	KMSKeyArns    []string `json:"kmsKeyArns"`
}

// Assumed is a role, mostly of another account, that an identity may assume in
// its turn.
type Assumed struct {
	RoleArn    string `json:"roleArn"`
	ExternalID string `json:"externalId"`
}

// Statement is one statement of an identity's permissions, in the lower-case
// keys of this configuration. It has no principal: the identity is it.
type Statement struct {
	Sid          string                         `json:"sid"`
	Effect       string                         `json:"effect"`
	Actions      []string                       `json:"actions"`
	NotActions   []string                       `json:"notActions"`
	Resources    []string                       `json:"resources"`
	NotResources []string                       `json:"notResources"`
	Conditions   map[string]map[string][]string `json:"conditions"`
}

// Defaults returns the configuration of a stack that sets nothing. It is not
// valid by itself: setup, aws:region, zones, apiCidrs and identities are the
// user's to give. The cluster's name defaults to the stack's.
func Defaults(stack string) Config {
	return Config{
		ClusterName: stack,
		Cluster: Cluster{
			Mode:               ModeCreate,
			Version:            "v1.35.4+k3s1",
			Servers:            1,
			Agents:             2,
			ServerInstanceType: "t3.medium",
			AgentInstanceType:  "t3.medium",
			RootVolumeGiB:      20,
			CPUCredits:         CreditsUnlimited,
			APIAccess:          APIPublic,
			EtcdSnapshots:      EtcdSnapshots{Schedule: "0 */12 * * *", Retention: 5},
		},
		Network: Network{CIDR: "10.0.0.0/16", NAT: NATNone},
		Issuer: Issuer{
			DNS:             DNSRoute53,
			Thumbprint:      "none",
			CacheTTLSeconds: 300,
			PriceClass:      "PriceClass_100",
		},
		RolesAnywhere: RolesAnywhere{
			CAValidityHours:       87600, // ten years
			LeafValidityHours:     2160,  // 90 days
			LeafEarlyRenewalHours: 720,   // 30 days
			SessionSeconds:        3600,
			Helper:                Helper{Delivery: DeliveryImageVolume, NodePath: "/usr/local/bin/aws_signing_helper"},
		},
		Injection: InjectionManifest,
		Webhook: Webhook{
			Namespace: "pod-identity-webhook",
			Image:     "public.ecr.aws/eks/amazon-eks-pod-identity-webhook:v0.6.17",
			Replicas:  2,
		},
		DemoImage: "public.ecr.aws/aws-cli/aws-cli:2.34.43",
	}
}

// KubernetesMinor is the minor version of the cluster's Kubernetes, or 0 where
// cluster.version is malformed.
func (c *Config) KubernetesMinor() int {
	match := versionPattern.FindStringSubmatch(c.Cluster.Version)
	if match == nil {
		return 0
	}
	minor, _ := strconv.Atoi(match[1]) // at most three digits
	return minor
}

// Injects reports whether the setup gives pods something that could be injected.
func (c *Config) Injects() bool { return c.Setup == "irsa-s3" || c.Setup == "irsa-cloudfront" }

// Existing reports whether the cluster is somebody else's.
func (c *Config) Existing() bool { return c.Cluster.Mode == ModeExisting }

// Balanced reports whether the API is behind a load balancer: what an elastic
// address on the only server cannot do.
func (c *Config) Balanced() bool {
	return c.Cluster.Servers > 1 || c.Network.Private || c.Cluster.APIAccess == APIPrivate
}

// ThrottledServers reports whether the servers run at their baseline, a fifth to
// a third of a CPU, whenever they are out of credits, from the first boot on: T3
// and T4g get none at launch, unlike T2
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances-standard-mode-concepts.html).
func (c *Config) ThrottledServers() bool {
	family, _, _ := strings.Cut(c.Cluster.ServerInstanceType, ".")
	return !c.Existing() && c.Cluster.CPUCredits == CreditsStandard && slices.Contains([]string{"t3", "t3a", "t4g"}, family)
}

// ArmAgents reports whether the agents have Arm processors.
func (c *Config) ArmAgents() bool { return arm(c.Cluster.AgentInstanceType) }

// setDefaults gives a list entry its defaults before its keys are read.
func (i *Identity) setDefaults() { i.CreateAccount, i.MaxSessionSeconds = true, 3600 }

// Key is what an identity is: its namespace and its ServiceAccount, of which no
// two identities have both. The names of its resources begin with it. A namespace
// has no dots, so the first one ends it, and no earlier name (an identity's Name)
// has any.
func (i *Identity) Key() string { return i.Namespace + "." + i.ServiceAccount }

// setDefaults gives a list entry its defaults before its keys are read.
func (s *Statement) setDefaults() { s.Effect = iampolicy.Allow }

// setDefaults gives a list entry its defaults before its keys are read.
func (t *Toleration) setDefaults() { t.Operator = "Equal" }

// setDefaults has none to give: it makes an entry of a list.
func (a *Assumed) setDefaults() {}

// useUsualAccount gives an identity with a preset the namespace and the service
// account of the preset's own chart, as far as it names none.
func (i *Identity) useUsualAccount() {
	usual := presets.Usual(i.Preset.Name)
	if i.Namespace == "" {
		i.Namespace = usual.Namespace
	}
	if i.ServiceAccount == "" {
		i.ServiceAccount = usual.Name
	}
}

// Namespace is one that the program makes.
type Namespace struct {
	Name string
	// Level is the Pod Security level that is enforced there.
	Level string
}

// Namespaces returns the namespaces to make, sorted by name: those that any
// identity asks for, each with the one level that its identities agree on.
func (c *Config) Namespaces() []Namespace {
	levels := map[string]string{}
	for _, i := range c.Identities {
		if i.CreateNamespace && levels[i.Namespace] == "" {
			levels[i.Namespace] = i.PodSecurity
		}
	}
	var all []Namespace
	for _, name := range sortedKeys(levels) {
		all = append(all, Namespace{Name: name, Level: cmp.Or(levels[name], c.defaultLevel())})
	}
	return all
}

// defaultLevel is the level of a namespace for which nobody names one: the
// strictest that the program's own pods meet.
func (c *Config) defaultLevel() string {
	if c.Setup == "roles-anywhere" && c.RolesAnywhere.Helper.Delivery == DeliveryNode {
		return LevelPrivileged // its volume is a hostPath
	}
	return LevelRestricted
}

// ResourceTags returns the tags of every taggable resource: the user's, one that
// tells which cluster the resource belongs to, and one that marks production, by
// which tools that break things on purpose keep away.
func (c *Config) ResourceTags() map[string]string {
	tags := map[string]string{TagPrefix + "cluster": c.ClusterName}
	if c.Production {
		tags[TagPrefix+"production"] = "true"
	}
	for key, value := range c.Tags {
		tags[key] = value
	}
	return tags
}

// Site is where a stack is deployed to, as far as policies say it.
type Site struct {
	Partition, Account, Region string
	// DemoBucketArn is empty where there is none, which no valid configuration
	// refers to.
	DemoBucketArn string
	// SourceIdentity says that sessions of pods carry a source identity, which
	// they hand on when they assume another role.
	SourceIdentity bool
}

// Permissions returns all that the identity's own policy allows: its statements,
// in the order of the configuration, those of its preset, and those that let it
// assume other roles.
func (c *Config) Permissions(i Identity, at Site) ([]iampolicy.Statement, error) {
	var statements []iampolicy.Statement
	for _, s := range i.Statements {
		statements = append(statements, s.policy(at.DemoBucketArn))
	}
	preset, err := c.presetStatements(i, at)
	if err != nil {
		return nil, err
	}
	statements = append(statements, preset...)
	for _, role := range i.AssumeRoles {
		statements = append(statements, iampolicy.AssumeRole(role.RoleArn, role.ExternalID, at.SourceIdentity)...)
	}
	return statements, nil
}

// presetStatements returns the statements of the identity's preset, if it has
// one.
func (c *Config) presetStatements(i Identity, at Site) ([]iampolicy.Statement, error) {
	if i.Preset.Name == "" {
		return nil, nil
	}
	args := presets.Args{
		Partition: at.Partition, Account: at.Account, Region: at.Region,
		ClusterName: c.ClusterName,
		Lists:       i.Preset.lists(),
	}
	if !c.Existing() { // the tags of other machines are not known
		args.NodeTagKey, args.NodeTagValue = TagPrefix+"cluster", c.ClusterName
	}
	return presets.Statements(i.Preset.Name, args)
}

func (p Preset) lists() presets.Lists {
	return presets.Lists{HostedZoneIDs: p.HostedZoneIDs, SecretARNs: p.SecretArns, ParameterARNs: p.ParameterArns, KMSKeyARNs: p.KMSKeyArns}
}
