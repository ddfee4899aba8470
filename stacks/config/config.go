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
	"k3s-aws-auth/components/rules"
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
//
// These types are where a key is written: the tables of docs/config.md, the config
// section of Pulumi.yaml and the schema of stack files are made of the fields'
// comments, tags and defaults, by `make generate`. Tags say what a type does not:
// setups names those that use a key, where not all do or those of the object around
// it; required, that it is ("mostly": something else can take its place); default,
// the default of a key in words; key, the full key of a field of another namespace.
type Config struct {
	// How pods get their AWS credentials: `instance-profile`, `irsa-s3`, `irsa-cloudfront` or
	// `roles-anywhere`.
	Setup string `json:"setup" required:"always"`
	// Refuses what only a trial should do: blocks in `network.apiCidrs` that are wider than a /8. Protects
	// what all identities hang on from deletion, and keeps old versions of the issuer's documents: see [A
	// production stack](production.md).
	Production bool `json:"production"`
	// The beginning of all names in AWS: lower-case letters, digits and hyphens, a letter first, at most
	// 28 characters. Unique in the account and region. Changing it replaces everything.
	ClusterName string `json:"clusterName" default:"the stack's name"`
	// The K3s cluster and its machines, or the kubeconfig (a secret) of an existing cluster.
	Cluster Cluster `json:"cluster"`
	// The VPC, its availability zones and who may reach the Kubernetes API (zones and apiCidrs are
	// required).
	Network Network `json:"network"`
	// How the cluster's OIDC documents are published.
	Issuer Issuer `json:"issuer" setups:"irsa-s3,irsa-cloudfront"`
	// The issuers of the cluster's tokens, of which the active one is in new tokens. Without it: one, named
	// `1`, as `issuer` describes it.
	Issuers []IssuerMember `json:"issuers" setups:"irsa-s3,irsa-cloudfront" default:"one, named 1"`
	// The keys that sign service account tokens, at most 5.
	SigningKeys []Member `json:"signingKeys" setups:"irsa-s3,irsa-cloudfront" default:"one, named 1"`
	// Certificates, sessions and the credential helper.
	RolesAnywhere RolesAnywhere `json:"rolesAnywhere" setups:"roles-anywhere"`
	// Who gives a pod its token, role and region, or its certificate and the credential helper: `manifest`
	// leaves it to the pod's own manifest, `admission-policy` lets the API server do it for pods of
	// annotated service accounts (Kubernetes 1.34 or newer), `webhook` runs the
	// amazon-eks-pod-identity-webhook (not with `roles-anywhere`).
	Injection string `json:"injection" setups:"irsa-s3,irsa-cloudfront,roles-anywhere"`
	// The amazon-eks-pod-identity-webhook, with `injection: webhook`.
	Webhook Webhook `json:"webhook" setups:"irsa-s3,irsa-cloudfront"`
	// Pod identities, each with a name, a namespace, a service account and its permissions: at least one;
	// with `roles-anywhere` at most 250.
	Identities []Identity `json:"identities" required:"always"`
	// The ARN of a managed policy, of AWS or of the account that is deployed to, that bounds every role
	// that the program makes.
	PermissionsBoundary string `json:"permissionsBoundary"`
	// Whether to make alarms for the identity chain, and whom to mail.
	Alarms Alarms `json:"alarms"`
	// Whether to make a bucket, and for each identity a pod that proves it: the pod is ready, and `pulumi
	// up` done, only when it has called STS as its role and put an object below `<name>/` of the bucket.
	// Each identity needs permission for that, as in the example of [identities](#identities).
	Demo bool `json:"demo"`
	// The image of the demo pods, with the AWS CLI and a shell, by a tag other than `latest` or by digest.
	DemoImage string `json:"demoImage"`
	// Tags for every AWS resource that takes tags, at most 8 with those of `aws:defaultTags`. The program
	// adds `k3s-aws-auth/cluster` with the cluster's name and, with `production`,
	// `k3s-aws-auth/production`, by which [drills](experiments.md) keep away.
	Tags map[string]string `json:"tags"`
	// The region of everything but CloudFront's certificate, which is in `us-east-1`. It is part of names
	// and of the issuer's URL, so `AWS_REGION` alone does not do. `irsa-cloudfront` needs a region of the
	// partition `aws`.
	Region string `json:"-" key:"aws:region" required:"always"`

	facts       Facts          // of the setup
	defaultTags map[string]any // those that the AWS provider adds (aws:defaultTags)
}

// Ways in which cluster.mode may say that the cluster comes about.
const (
	ModeCreate   = "create"
	ModeExisting = "existing"
)

// Values of cluster.imagePulls: who pulls images from private ECR repositories.
const (
	PullsByNode = "node"
	PullsByPod  = "pod"
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
	// `create` makes the cluster and its network; `existing` deploys only the identity plane, for a
	// cluster of yours: see [Existing clusters](#existing-clusters).
	Mode string `json:"mode"`
	// A secret: a kubeconfig of the existing cluster, with everything in it (`kubectl config view --raw
	// --minify --flatten`). Required by `existing`, refused otherwise.
	Kubeconfig string `json:"kubeconfig" setups:"irsa-s3,irsa-cloudfront,roles-anywhere"`
	// The keys that verify the existing cluster's tokens, in PEM form. Without them they are read from the
	// cluster.
	PublicKeys []string `json:"publicKeys" setups:"irsa-s3,irsa-cloudfront"`
	// The K3s release. `roles-anywhere` with `image-volume` needs Kubernetes 1.35.
	Version string `json:"version"`
	// The SHA-256 of the `k3s` binary, 64 hex digits. Without it, nodes check the release's own list of
	// digests, which finds damage but not a release that was tampered with.
	BinarySHA256 string `json:"binarySha256"`
	// Machines of the control plane: 1, 3 or 5. They run no workloads. More than one are behind a load
	// balancer and survive the loss of one (of 5: two). See [The cluster](cluster.md).
	Servers int `json:"servers"`
	// Machines for workloads, 1 to 100.
	Agents int `json:"agents"`
	// EC2 instance type of servers; its family decides between x86-64 and arm64.
	ServerInstanceType string `json:"serverInstanceType"`
	// EC2 instance type of agents. With arm64, `roles-anywhere` needs `rolesAnywhere.helper.image`.
	AgentInstanceType string `json:"agentInstanceType"`
	// An Ubuntu 24.04 image for all nodes; changing it replaces them. Without it, a new node gets
	// Canonical's current image and keeps it.
	AmiID string `json:"amiId"`
	// Size of each node's encrypted root volume, 8 to 16384 GiB.
	RootVolumeGiB int `json:"rootVolumeGiB"`
	// `standard` or `unlimited`, for burstable types. `unlimited`, which is what EC2 itself takes for T3
	// and T4g, costs extra only where a machine uses more than its baseline on the average of 24 hours:
	// $0.05 for each vCPU-hour above it ($0.04 for T4g). With `standard` such machines have no credits
	// when they boot and run at 20 to 30 % of a CPU (only T2 gets launch credits): a server takes twice as
	// long, and the program warns.
	CPUCredits string `json:"cpuCredits"`
	// `public`: the API has an address on the internet, for `network.apiCidrs` only. `private`: it has
	// addresses of the VPC alone, and whoever deploys must have a way into it.
	APIAccess string `json:"apiAccess"`
	// Where copies of etcd go beyond the servers' disks.
	EtcdSnapshots EtcdSnapshots `json:"etcdSnapshots"`
	// Who pulls images from private ECR repositories: `node`, each agent with its own role, whatever pod
	// it is for; `pod`, each pod with the role of its identity (Kubernetes 1.35 or newer). Without it:
	// nobody. See [Images](images.md).
	ImagePulls string `json:"imagePulls"`
	// The ARNs of the repositories that agents may pull from, with `node`; those of pods are in
	// `identities[].pull`. Another account's are that account's to open to the agents' role too.
	PullRepositories []string `json:"pullRepositories"`
	// The program by which kubelets get credentials for ECR: upstream's `ecr-credential-provider`.
	CredentialProvider CredentialProvider `json:"credentialProvider"`
}

// CredentialProvider is upstream's ecr-credential-provider, as agents download it.
type CredentialProvider struct {
	// Where agents download `ecr-credential-provider` for their architecture, over HTTPS. Required with
	// `cluster.imagePulls`.
	URL string `json:"url"`
	// Its SHA-256, 64 hex digits: agents run nothing else. Required with `cluster.imagePulls`.
	SHA256 string `json:"sha256"`
}

// EtcdSnapshots describes where copies of etcd go beyond the servers' disks: to
// a bucket, where one is named.
type EtcdSnapshots struct {
	// A bucket of yours in the same region for etcd's snapshots, which servers then keep there below
	// `<clusterName>/`. It must outlive the cluster and stay private: a snapshot holds everything of the
	// cluster. Without it, snapshots are on the servers' disks alone.
	Bucket string `json:"bucket"`
	// When, as a cron expression in UTC. Counts with a bucket.
	Schedule string `json:"schedule"`
	// How many snapshots to keep on each server, and how many in the bucket, where those of all servers
	// count together: with three servers, `6` are those of the last two times. Counts with a bucket.
	Retention int `json:"retention"`
}

// Network describes the VPC.
type Network struct {
	// The VPC's private IPv4 block, /16 to /24, without host bits, apart from 10.42.0.0/16 and
	// 10.43.0.0/16, which K3s gives to pods and services.
	CIDR string `json:"cidr"`
	// Availability zones of the region, each once, at most 6. Nodes are spread over them in this order;
	// add new ones at the end, since a subnet's block follows from its place.
	Zones []string `json:"zones" required:"mostly"`
	// IPv4 blocks that may reach the Kubernetes API, among them the address that you deploy from: without
	// it `pulumi up` waits for an API that it cannot reach. Nothing is looked up for you, so that a
	// deployment from elsewhere changes no firewall.
	APICIDRs []string `json:"apiCidrs" required:"mostly"`
	// Whether nodes are in private subnets, without public addresses. Changing it replaces all nodes.
	Private bool `json:"private"`
	// How private subnets get out: `single` is one NAT gateway for all zones, `per-zone` one in each.
	// `none` needs `vpcEndpoints` and an image in `cluster.amiId` that has K3s and its container images,
	// since nodes then cannot download them.
	NAT string `json:"nat"`
	// Whether nodes reach S3, SSM and STS by VPC endpoints, within AWS's network. The ones of SSM and STS
	// cost by the hour.
	VPCEndpoints bool `json:"vpcEndpoints"`
}

// Ways in which network.nat may say that private subnets get out.
const (
	NATNone    = "none"
	NATSingle  = "single"
	NATPerZone = "per-zone"
)

// Issuer describes how the cluster's OIDC documents are published.
type Issuer struct {
	// The name of the bucket with the OIDC documents, without dots (TLS could not serve it). Without it:
	// `<clusterName>-issuer-<account>-<region>`. With `irsa-s3` it is part of the issuer's URL, so
	// changing it changes the issuer of all tokens.
	Bucket string `json:"bucket"`
	// The issuer's host name, at most 64 characters (ACM). Required by `irsa-cloudfront`.
	Domain string `json:"domain" setups:"irsa-cloudfront"`
	// `route53` writes the DNS records; `external` shows them, in the log while it waits for them and as
	// the output `dnsRecords`.
	DNS string `json:"dns" setups:"irsa-cloudfront"`
	// The Route 53 zone of the domain. Required with `route53`, refused with `external`.
	HostedZoneID string `json:"hostedZoneId" setups:"irsa-cloudfront"`
	// `none` gives IAM no thumbprint, since AWS trusts the CAs of S3 and CloudFront; `dynamic` reads the
	// chain that the issuer presents. A thumbprint cannot be removed again.
	Thumbprint string `json:"thumbprint"`
	// How long the documents may be cached, 1 to 86400 seconds: what a rotation of signing keys has to
	// wait.
	CacheTTLSeconds int `json:"cacheTtlSeconds"`
	// CloudFront's price class: `PriceClass_100`, `PriceClass_200` or `PriceClass_All`.
	PriceClass string `json:"priceClass" setups:"irsa-cloudfront"`
	// How many days to keep the access logs of the bucket and of the distribution, in a bucket that the
	// program makes; 0 keeps none. CloudFront delivers no standard logs to buckets of regions that an
	// account opts in to, where only 0 is allowed with `irsa-cloudfront`.
	AccessLogDays int `json:"accessLogDays"`
	// Issuers of clusters whose stacks are in other accounts, to register with IAM in this one, so that
	// `identities[].issuers` can name them.
	Register []string `json:"register"`
}

// Member is one of a set of keys, issuers or CAs: exactly one of a set is active.
type Member struct {
	// Its name in the set, which is part of its resources' names: 1 to 32 lower-case letters, digits and
	// hyphens. Another name is another key.
	Name string `json:"name" required:"always"`
	// `active` signs; `next` is accepted already and signs nothing yet; `retiring` signs nothing any more
	// and is still accepted.
	State string `json:"state" required:"always"`
}

// IssuerMember is one of the issuers of a cluster's tokens: where it publishes
// its documents.
type IssuerMember struct {
	// Its name in the set, which is part of its resources' names: 1 to 32 lower-case letters, digits and
	// hyphens.
	Name string `json:"name" required:"always"`
	// `active` is in new tokens; `next` and `retiring` are published, registered with IAM and accepted by
	// API servers and roles. The active one is what `setup` says: with a domain for `irsa-cloudfront`,
	// without one for `irsa-s3`.
	State string `json:"state" required:"always"`
	// As `issuer.bucket`. Without it: `<clusterName>-issuer-<name>-<account>-<region>`, without the name for
	// the one that is named `1`.
	Bucket string `json:"bucket"`
	// As `issuer.domain`. With it the issuer is behind CloudFront, without it a public bucket.
	Domain string `json:"domain"`
	// As `issuer.dns`.
	DNS string `json:"dns"`
	// As `issuer.hostedZoneId`.
	HostedZoneID string `json:"hostedZoneId"`
}

// RolesAnywhere describes the certificate authority, the leaf certificates and
// the sessions of setup roles-anywhere.
type RolesAnywhere struct {
	// The CAs that the trust anchor accepts, at most 2 (AWS's limit), of which the active one signs.
	CAs []Member `json:"cas" default:"one, named 1"`
	// Certificates that get no new sessions: serial numbers (as `pulumi stack output` shows them, in
	// hexadecimal), or names of identities, whose present certificates are meant.
	Revoked []string `json:"revoked"`
	// How long the CA is valid (ten years).
	CAValidityHours int `json:"caValidityHours"`
	// How long an identity's certificate is valid (90 days); less than the CA.
	LeafValidityHours int `json:"leafValidityHours"`
	// How long before its end a certificate is renewed (30 days), by the next `pulumi up`: nothing renews
	// it in between. Less than `leafValidityHours`, or every run would renew.
	LeafEarlyRenewalHours int `json:"leafEarlyRenewalHours"`
	// Length of a session, 900 to 43200 seconds, at most each identity's `maxSessionSeconds`.
	SessionSeconds int `json:"sessionSeconds"`
	// What sessions are named by, in CloudTrail and in `sts get-caller-identity`: `serial`, the certificate's
	// serial number, or `pod`, `<namespace>.<serviceAccount>`. A label, no proof: see
	// [the session's name](roles-anywhere.md#the-sessions-name), also for how to change it while pods run.
	SessionName string `json:"sessionName"`
	// How the credential helper gets into pods.
	Helper Helper `json:"helper"`
}

// Helper describes how the Roles Anywhere credential helper gets into a pod.
type Helper struct {
	// How the credential helper gets into pods: `image-volume`, `sidecar` or `node`. Only `sidecar` uses
	// the helper's `serve`; the others use `credential-process`.
	Delivery string `json:"delivery"`
	// The helper's image with its digest, for `image-volume` and `sidecar`. Without it: the published
	// image for x86-64, pinned.
	Image string `json:"image"`
	// Where `node` expects the helper on the nodes.
	NodePath string `json:"nodePath"`
	// The SHA-256 of the helper on the nodes, checked at each pod's start. Required by `node`.
	NodeSHA256 string `json:"nodeSha256"`
}

// What rolesAnywhere.sessionName may name sessions by: the certificate's serial
// number, or namespace and service account.
const (
	SessionSerial = "serial"
	SessionPod    = "pod"
)

// Ways in which rolesAnywhere.helper.delivery may say that it does.
const (
	DeliveryImageVolume = "image-volume"
	DeliverySidecar     = "sidecar"
	DeliveryNode        = "node"
)

// Ways in which injection may say that a pod gets what it needs to have its
// identity (the webhook in setups irsa-s3 and irsa-cloudfront alone).
const (
	InjectionManifest        = "manifest"
	InjectionAdmissionPolicy = "admission-policy"
	InjectionWebhook         = "webhook"
)

// Webhook describes the amazon-eks-pod-identity-webhook.
type Webhook struct {
	// The namespace of the webhook, which the program makes.
	Namespace string `json:"namespace"`
	// Its image, by a tag other than `latest` or by digest.
	Image string `json:"image"`
	// How many pods of it run, 1 to 10.
	Replicas int `json:"replicas"`
	// Labels of the nodes that it may run on.
	NodeSelector map[string]string `json:"nodeSelector"`
	// Taints that its pods tolerate.
	Tolerations []Toleration `json:"tolerations"`
}

// Toleration is one toleration of the webhook's pods, in Kubernetes's own words.
type Toleration struct {
	// The taint's key; only `Exists` may go without.
	Key string `json:"key"`
	// `Equal` or `Exists`.
	Operator string `json:"operator"`
	// The taint's value, with `Equal`.
	Value string `json:"value"`
	// `NoSchedule`, `PreferNoSchedule` or `NoExecute`; without it, all of them.
	Effect string `json:"effect"`
}

// Alarms describes who is told when the identity chain is about to fail, or is
// being tried.
type Alarms struct {
	// Whether to make a topic, and alarms for it: refused attempts to assume roles, certificates that are
	// about to expire, errors of the distribution.
	Enabled bool `json:"enabled"`
	// Who gets mail from the topic; AWS asks each address to confirm. At most 20.
	Emails []string `json:"emails"`
}

// Identity is one pod identity: who it is in Kubernetes and what it may do in
// AWS. It becomes exactly one role (in setup instance-profile, its permissions
// go to the agents' role instead).
type Identity struct {
	// The identity's name: lower-case letters, digits and hyphens, at most 40 characters, unique in the
	// stack.
	Name string `json:"name" required:"always"`
	// The namespace of the service account; no wildcards. With a preset, that of its chart may be left
	// out.
	Namespace string `json:"namespace" required:"mostly"`
	// The service account, which the program makes unless `createServiceAccount` is `false`; unique in its
	// namespace, no wildcards. With a preset, that of its chart may be left out. Not `default`, which
	// every pod has that names none.
	ServiceAccount string `json:"serviceAccount" required:"mostly"`
	// Further service accounts with the same role, and no others: names in the entry's namespace, or
	// `namespace/name`. See [identities](identities.md#one-role-for-several-service-accounts).
	ServiceAccounts []string `json:"serviceAccounts"`
	// Whether to make the namespace, and those of `serviceAccounts` but for `default` and `kube-…`. One
	// entry that asks for it is enough. It enforces a Pod Security
	// level (`podSecurity`), and the program never deletes it: see [Namespaces and service
	// accounts](identities.md#namespaces-and-service-accounts).
	CreateNamespace bool `json:"createNamespace"`
	// The [Pod Security level](https://kubernetes.io/docs/concepts/security/pod-security-standards/) that
	// a namespace made by `createNamespace` enforces: `restricted`, `baseline` or `privileged`. Without
	// it: `restricted`, which refuses pods without a `securityContext`, and log shippers and other pods
	// with hostPath volumes; with `rolesAnywhere.helper.delivery: node`, `privileged`. Entries of one
	// namespace must not contradict each other.
	PodSecurity string `json:"podSecurity"`
	// Whether to make the service accounts. With `false` they are others', such as a chart's, and the
	// output `identities[].annotate` has the commands that give each what it needs.
	CreateAccount bool `json:"createServiceAccount"`
	// The longest session of the role, 3600 to 43200 seconds.
	MaxSessionSeconds int `json:"maxSessionSeconds" setups:"irsa-s3,irsa-cloudfront,roles-anywhere"`
	// Shuts the identity: its role gives no new sessions, and those that run may do nothing, until it is
	// `false` again.
	Suspended bool `json:"suspended" setups:"irsa-s3,irsa-cloudfront,roles-anywhere"`
	// A moment, in quotes, such as `"2026-11-30T12:00:00Z"`: sessions from before it may do nothing. New
	// ones work.
	RevokeSessionsBefore string `json:"revokeSessionsBefore" setups:"irsa-s3,irsa-cloudfront,roles-anywhere"`
	// Permissions as an inline policy, at most 10240 characters as JSON with what `suspended` and
	// `revokeSessionsBefore` add. Required unless
	// `managedPolicyArns`, `preset`, `prefixPerPod`, `assumeRoles` or `pull` gives permissions.
	Statements []Statement `json:"statements"`
	// Buckets, or paths in them, in which each service account of the entry may list, read, write and
	// delete objects below a prefix of its own: `arn:aws:s3:::my-bucket/tenants` gives pods of
	// `billing/worker` what begins with `tenants/billing.worker/`. See
	// [identities](identities.md#one-role-for-several-service-accounts).
	PrefixPerPod []string `json:"prefixPerPod" setups:"roles-anywhere"`
	// Managed policies to attach, at most 10, of AWS or of the account that is deployed to.
	ManagedPolicyArns []string `json:"managedPolicyArns"`
	// Permissions of a controller that most clusters have, and what they are for.
	Preset Preset `json:"preset"`
	// Roles that the identity may assume in its turn, mostly of other accounts. See
	// [identities](identities.md#roles-of-other-accounts).
	AssumeRoles []Assumed `json:"assumeRoles"`
	// The ARNs of the private ECR repositories that the identity's pods are pulled from, with its role and
	// `cluster.imagePulls: pod`. Another account's are that account's to open to the role too. See
	// [Images](images.md).
	Pull []string `json:"pull" setups:"irsa-s3,irsa-cloudfront"`
	// Issuers of other clusters whose tokens for the same namespace and service account may assume the
	// role too. Each must be registered with IAM in this account: by the stack of that cluster, or by
	// `issuer.register`. See [identities](identities.md#several-clusters).
	Issuers []string `json:"issuers" setups:"irsa-s3,irsa-cloudfront"`
}

// Preset names the permissions of a controller that most clusters have, and what
// they are for.
type Preset struct {
	// Permissions of a controller that most clusters have: `external-secrets`, `secrets-store-csi`,
	// `cert-manager`, `external-dns`, `ebs-csi` or `cluster-autoscaler`. They are added to the entry's
	// own. See [identities](identities.md#presets).
	Name string `json:"name"`
	// The Route 53 zones of `cert-manager` and `external-dns`.
	HostedZoneIDs []string `json:"hostedZoneIds"`
	// The Secrets Manager secrets of `external-secrets` and `secrets-store-csi`.
	SecretArns []string `json:"secretArns"`
	// The SSM parameters of `external-secrets` and `secrets-store-csi`.
	ParameterArns []string `json:"parameterArns"`
	// The KMS keys that the secrets, parameters or volumes are encrypted with, where these are not AWS's
	// own.
	KMSKeyArns []string `json:"kmsKeyArns"`
}

// Assumed is a role, mostly of another account, that an identity may assume in
// its turn.
type Assumed struct {
	// The role's ARN.
	RoleArn string `json:"roleArn" required:"always"`
	// The external id that the role's trust policy asks for.
	ExternalID string `json:"externalId"`
}

// Statement is one statement of an identity's permissions, in the lower-case
// keys of this configuration. It has no principal: the identity is it.
type Statement struct {
	// The statement's id: letters and digits, unique in the identity.
	Sid string `json:"sid"`
	// `Allow` or `Deny`.
	Effect string `json:"effect"`
	// Actions such as `s3:PutObject`, or `*`. Exactly one of `actions` and `notActions`.
	Actions []string `json:"actions"`
	// All actions but these.
	NotActions []string `json:"notActions"`
	// ARNs or `*`. Exactly one of `resources` and `notResources`.
	Resources []string `json:"resources"`
	// All resources but these.
	NotResources []string `json:"notResources"`
	// Condition operators, below each its condition keys with a list of values.
	Conditions map[string]map[string][]string `json:"conditions"`
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
			CacheTTLSeconds: rules.DefaultCacheSeconds,
			PriceClass:      rules.DefaultPriceClass,
		},
		RolesAnywhere: RolesAnywhere{
			CAValidityHours:       rules.DefaultCAValidityHours,
			LeafValidityHours:     rules.DefaultLeafValidityHours,
			LeafEarlyRenewalHours: rules.DefaultLeafEarlyRenewalHours,
			SessionSeconds:        rules.DefaultSessionSeconds,
			SessionName:           SessionSerial,
			Helper:                Helper{Delivery: DeliveryImageVolume, NodePath: rules.DefaultHelperPath},
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
	minor, _ := strconv.Atoi(rules.K3sMinor(c.Cluster.Version)) // at most three digits
	return minor
}

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
func (c *Config) ArmAgents() bool { return rules.Arm(c.Cluster.AgentInstanceType) }

// setDefaults gives a list entry its defaults before its keys are read.
func (i *Identity) setDefaults() {
	i.CreateAccount, i.MaxSessionSeconds = true, rules.DefaultSessionSeconds
}

// setDefaults gives a list entry its defaults before its keys are read.
func (s *Statement) setDefaults() { s.Effect = iampolicy.Allow }

// setDefaults gives a list entry its defaults before its keys are read.
func (t *Toleration) setDefaults() { t.Operator = "Equal" }

// setDefaults has none to give: it makes an entry of a list.
func (m *Member) setDefaults() {}

// setDefaults gives a list entry its defaults before its keys are read.
func (m *IssuerMember) setDefaults() { m.DNS = DNSRoute53 }

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
		if !i.CreateNamespace {
			continue
		}
		for _, account := range i.Accounts() {
			if levels[account.Namespace] == "" && !builtIn(account.Namespace) {
				levels[account.Namespace] = i.PodSecurity
			}
		}
	}
	var all []Namespace
	for _, name := range sortedKeys(levels) {
		all = append(all, Namespace{Name: name, Level: cmp.Or(levels[name], c.defaultLevel())})
	}
	return all
}

// builtIn reports whether Kubernetes makes a namespace itself.
func builtIn(namespace string) bool {
	return namespace == "default" || strings.HasPrefix(namespace, "kube-")
}

// defaultLevel is the level of a namespace for which nobody names one: the
// strictest that the program's own pods meet.
func (c *Config) defaultLevel() string {
	if c.facts.Presents == PresentsCertificate && c.RolesAnywhere.Helper.Delivery == DeliveryNode {
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
// in the order of the configuration, those of its preset, those of its pods'
// prefixes, and those that let it pull images and assume other roles.
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
	for _, location := range i.PrefixPerPod {
		statements = append(statements, iampolicy.PerCommonName(substitute(location, at.DemoBucketArn))...)
	}
	statements = append(statements, iampolicy.Pull(i.Pull)...)
	statements = append(statements, iampolicy.Shut(i.Suspended, i.RevokeSessionsBefore)...)
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
