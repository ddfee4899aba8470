// Package chain walks the chain from pod to AWS for every identity of a cluster and says where it breaks. Collect fills
// Facts without changing anything; Check judges them without asking anybody.
package chain

import (
	"slices"
	"strings"
	"time"

	whole "k3s-aws-auth/scripts/internal/account"
)

// Format is the version of the dump. A dump of another is refused.
const Format = 1

// Facts are what a cluster, its issuer and its account show. They have no secret: of Secrets the names and public
// certificates, of tokens the claims, of environments the variables that are no credentials.
type Facts struct {
	Format int       `json:"format"`
	Taken  time.Time `json:"taken"`
	// Stack is what the program's stack says; nil where it was not asked.
	Stack   *Stack  `json:"stack,omitempty"`
	Cluster Cluster `json:"cluster"`
	// Issuers are the documents of each issuer as an anonymous client sees them.
	Issuers []Issuer `json:"issuers,omitempty"`
	Account Account  `json:"account"`
	// Sessions are those that were asked for, where they were.
	Sessions []Session `json:"sessions,omitempty"`
	// Unseen says what could not be looked at, and why.
	Unseen []Unseen `json:"unseen,omitempty"`
}

// Unseen is a part of the chain that could not be looked at.
type Unseen struct {
	What string `json:"what"`
	Why  string `json:"why"`
	// Declined says that whoever asked did not want it looked at: it is told, and no failure.
	Declined bool `json:"declined,omitempty"`
}

// Parts of the chain, as Unseen names them.
const (
	partPods       = "pods"
	partAccounts   = "service accounts"
	partSecrets    = "secrets"
	partConfigMaps = "config maps"
	partNodes      = "nodes"
	partLeases     = "node leases"
	partInjection  = "admission"
	partNodeRoles  = "the cluster roles of nodes"
	partAPI        = "the API server's issuer and keys"
	partToken      = "a token's claims"
	partCaller     = "the AWS caller"
	partRoles      = "roles"
	partProviders  = "OIDC providers"
	partAnchors    = "trust anchors"
	partProfiles   = "profiles of Roles Anywhere"
	partCRLs       = "revocation lists"
	partInstances  = "instances"
	partSessions   = "sessions"
)

// sees tells whether a part was looked at: what is missing from it is then missing.
func (f *Facts) sees(part string) bool {
	return !slices.ContainsFunc(f.Unseen, func(u Unseen) bool { return u.What == part })
}

// Stack is what the outputs of the program's stack say.
type Stack struct {
	Setup string `json:"setup,omitempty"`
	// Presents is what pods of the setup present to AWS (stacks/setups.json).
	Presents   string          `json:"presents,omitempty"`
	Issuer     string          `json:"issuer,omitempty"`
	Identities []StackIdentity `json:"identities,omitempty"`
}

// StackIdentity is an entry of the output identities.
type StackIdentity struct {
	Namespace string `json:"namespace"`
	Account   string `json:"serviceAccount"`
	Role      string `json:"roleArn"`
}

// Cluster is what the API server shows.
type Cluster struct {
	Issuer string `json:"issuer,omitempty"`
	Keys   []Key  `json:"keys,omitempty"`
	// Ahead is how far the API server's clock is before the doctor's, in seconds, by its Date header.
	Ahead *float64 `json:"clockAhead,omitempty"`
	// Serving and Client are the certificates of this connection: the API server's, and the kubeconfig's user's.
	Serving *Validity `json:"servingCertificate,omitempty"`
	Client  *Validity `json:"clientCertificate,omitempty"`
	// Token has the claims of a token that was made for nobody (audience Nobody), and thrown away.
	Token      *Claims          `json:"token,omitempty"`
	Accounts   []ServiceAccount `json:"serviceAccounts,omitempty"`
	Pods       []Pod            `json:"pods,omitempty"`
	Secrets    []Secret         `json:"secrets,omitempty"`
	ConfigMaps []ConfigMap      `json:"configMaps,omitempty"`
	Nodes      []Node           `json:"nodes,omitempty"`
	Injectors  []Injector       `json:"injectors,omitempty"`
	// PullTokens are the service accounts, by name, of which nodes may ask for tokens to pull images by; * is all of them.
	PullTokens []string `json:"pullTokens,omitempty"`
}

// Validity is a certificate's.
type Validity struct {
	From time.Time `json:"notBefore"`
	To   time.Time `json:"notAfter"`
}

// Key is a public key of a key set. Sum is a digest of its material.
type Key struct {
	ID  string `json:"kid"`
	Alg string `json:"alg,omitempty"`
	Sum string `json:"sum"`
}

// Claims are those of a token, and the key that has signed it.
type Claims struct {
	Issuer  string    `json:"iss"`
	Subject string    `json:"sub"`
	KeyID   string    `json:"kid"`
	Issued  time.Time `json:"iat"`
	Begins  time.Time `json:"nbf"`
	Ends    time.Time `json:"exp"`
	// Asked is when the token was asked for, by the doctor's clock.
	Asked time.Time `json:"asked"`
}

// ServiceAccount is one with what its pods' identity is made of.
type ServiceAccount struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// PartOf is set where the program has made it, Labelled where the admission policy looks at it.
	PartOf   bool   `json:"partOf,omitempty"`
	Labelled bool   `json:"labelled,omitempty"`
	Role     string `json:"role,omitempty"`
	Audience string `json:"audience,omitempty"`
	// PullRole is the role by which its pods' images are pulled.
	PullRole string `json:"pullRole,omitempty"`
	// Certificate is the Secret that the policy gives to pods, and Helper what it tells their sidecar.
	Certificate string  `json:"certificate,omitempty"`
	Helper      *Helper `json:"helper,omitempty"`
}

// Pod is a pod that has not ended.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Account   string `json:"serviceAccount"`
	Node      string `json:"node,omitempty"`
	// Workload is what the pod is of, such as Deployment app; empty for one of nobody's.
	Workload    string        `json:"workload,omitempty"`
	Phase       string        `json:"phase,omitempty"`
	Waiting     string        `json:"waiting,omitempty"`
	HostNetwork bool          `json:"hostNetwork,omitempty"`
	Skip        []string      `json:"skipContainers,omitempty"`
	FSGroup     *int64        `json:"fsGroup,omitempty"`
	Tokens      []TokenVolume `json:"tokens,omitempty"`
	Secrets     []Volume      `json:"secrets,omitempty"`
	ConfigMaps  []Volume      `json:"configMaps,omitempty"`
	Containers  []Container   `json:"containers"`
}

// TokenVolume is a projected service account token.
type TokenVolume struct {
	Volume   string `json:"volume"`
	Audience string `json:"audience"`
	Path     string `json:"path"`
	Seconds  int64  `json:"seconds"`
}

// Volume is a Secret or ConfigMap in a pod.
type Volume struct {
	Volume   string `json:"volume"`
	Name     string `json:"name"`
	Optional bool   `json:"optional,omitempty"`
	Mode     int32  `json:"mode,omitempty"`
}

// Container is a container of a pod. A sidecar is an init container that goes on.
type Container struct {
	Name string `json:"name"`
	Init bool   `json:"init,omitempty"`
	User *int64 `json:"runAsUser,omitempty"`
	// Env has the values of variables that say where credentials are and are none.
	Env map[string]string `json:"env,omitempty"`
	// Static are the names of variables that hold credentials, with where they come from.
	Static []string `json:"static,omitempty"`
	Mounts []Mount  `json:"mounts,omitempty"`
	// Helper are the arguments of a credential helper that runs here.
	Helper *Helper `json:"helper,omitempty"`
}

// Mount is a volume's place in a container.
type Mount struct {
	Volume  string `json:"volume"`
	Path    string `json:"path"`
	SubPath string `json:"subPath,omitempty"`
}

// Helper is what the credential helper of Roles Anywhere is told.
type Helper struct {
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"privateKey,omitempty"`
	Anchor      string `json:"trustAnchorArn,omitempty"`
	Profile     string `json:"profileArn,omitempty"`
	Role        string `json:"roleArn,omitempty"`
	Region      string `json:"region,omitempty"`
	SessionName string `json:"sessionName,omitempty"`
	Seconds     int    `json:"seconds,omitempty"`
}

// Secret is a Secret that a pod mounts, or that holds static keys.
type Secret struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Certificates are those of tls.crt, DER in base64: public. Problem is what is wrong with the pair, in words.
	Certificates []string `json:"certificates,omitempty"`
	Problem      string   `json:"problem,omitempty"`
	// Foreign is set where the private key is another one's than the certificate's.
	Foreign bool `json:"foreignKey,omitempty"`
	// Static are the names of entries with access keys.
	Static []string `json:"static,omitempty"`
}

// ConfigMap is a ConfigMap that a pod mounts, or that holds static keys.
type ConfigMap struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Files are the AWS configurations in it, by the entry's name.
	Files  map[string]Config `json:"files,omitempty"`
	Static []string          `json:"static,omitempty"`
}

// Config is the profile default of an AWS configuration file.
type Config struct {
	Region    string  `json:"region,omitempty"`
	Role      string  `json:"roleArn,omitempty"`
	TokenFile string  `json:"webIdentityTokenFile,omitempty"`
	Process   *Helper `json:"credentialProcess,omitempty"`
}

// Node is a node. Its instance is found by the id in its providerID or, where that is K3s's own (k3s://<name>), by its
// address.
type Node struct {
	Name      string   `json:"name"`
	Instance  string   `json:"instance,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Server    bool     `json:"server,omitempty"`
	Ready     bool     `json:"ready"`
	// Ahead is how far its clock is before the API server's, in seconds: by its lease, which its kubelet dates every 10 s
	// (k8s.io/component-helpers apimachinery/lease), or by its status where that is dated ahead. Behind, on a node that is
	// not ready, it says nothing.
	Ahead *float64 `json:"clockAhead,omitempty"`
	// posted is when its kubelet last posted that it is ready, by its own clock.
	posted time.Time
}

// Kinds of injectors.
const (
	admissionPolicy = "admission-policy"
	webhook         = "webhook"
)

// Injector is what gives pods their identity when they are made.
type Injector struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Works is false where it is there and cannot act: without a binding, or without a pod behind its service.
	Works bool   `json:"works"`
	Why   string `json:"why,omitempty"`
}

// Issuer is what the world sees of an issuer.
type Issuer struct {
	URL       string   `json:"url"`
	Discovery Document `json:"discovery"`
	// Issuer and JWKSURI are what the discovery document says.
	Issuer  string   `json:"issuer,omitempty"`
	JWKSURI string   `json:"jwksUri,omitempty"`
	JWKS    Document `json:"jwks"`
	Keys    []Key    `json:"keys,omitempty"`
}

// Document is an answer to an anonymous GET.
type Document struct {
	URL    string `json:"url,omitempty"`
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
	Type   string `json:"contentType,omitempty"`
	// Server is who says that it answers: CloudFront says so where it refuses by itself, and not for its origin
	// (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/http-403-permission-denied.html).
	Server  string  `json:"server,omitempty"`
	MaxAge  *int    `json:"maxAge,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	// Malformed says that the body is not what it should be.
	Malformed string    `json:"malformed,omitempty"`
	TLS       *Validity `json:"tls,omitempty"`
	// Untrusted is set where the host's certificate is not one to trust.
	Untrusted bool `json:"untrusted,omitempty"`
}

// Account is what AWS shows.
type Account struct {
	ID     string `json:"id,omitempty"`
	Region string `json:"region,omitempty"`
	Caller string `json:"caller,omitempty"`
	// Ahead is how far AWS's clock is before the doctor's, in seconds.
	Ahead     *float64   `json:"clockAhead,omitempty"`
	Roles     []Role     `json:"roles,omitempty"`
	Providers []Provider `json:"providers,omitempty"`
	Anchors   []Anchor   `json:"trustAnchors,omitempty"`
	Profiles  []Profile  `json:"profiles,omitempty"`
	CRLs      []CRL      `json:"crls,omitempty"`
	Instances []Instance `json:"instances,omitempty"`
}

// Role is a role that an identity has or should have.
type Role struct {
	ARN   string `json:"arn"`
	Trust string `json:"trust"`
	// Policies are the documents of inline and attached policies that could be read.
	Policies []string `json:"policies,omitempty"`
	// Unread are ARNs of attached policies whose documents are not there.
	Unread []string `json:"unreadPolicies,omitempty"`
	// Boundary is the ARN of the permissions boundary, BoundaryPolicy its document.
	Boundary       string   `json:"boundary,omitempty"`
	BoundaryPolicy string   `json:"boundaryPolicy,omitempty"`
	MaxSeconds     int      `json:"maxSessionSeconds,omitempty"`
	Machines       []string `json:"instanceProfiles,omitempty"`
}

// Provider is an IAM OIDC provider.
type Provider = whole.Provider

// Anchor is a trust anchor with its certificates.
type Anchor = whole.Anchor

// Profile is a profile of Roles Anywhere.
type Profile = whole.Profile

// CRL is a revocation list: the serial numbers, in hexadecimal, of certificates of an issuer, whose name is DER in base64.
type CRL struct {
	ARN     string   `json:"arn"`
	Anchor  string   `json:"trustAnchorArn"`
	Enabled bool     `json:"enabled"`
	Issuer  string   `json:"issuer"`
	Serials []string `json:"serials,omitempty"`
}

// Instance is a machine.
type Instance struct {
	ID        string   `json:"id"`
	Addresses []string `json:"addresses,omitempty"`
	// Profile is the name of its instance profile.
	Profile string `json:"instanceProfile,omitempty"`
	// Endpoint is whether the metadata service answers, Tokens whether it insists on IMDSv2.
	Endpoint bool `json:"metadata"`
	Tokens   bool `json:"tokensRequired"`
	HopLimit int  `json:"hopLimit"`
}

func find[T any](list []T, is func(*T) bool) *T {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

func (f *Facts) account(namespace, name string) *ServiceAccount {
	return find(f.Cluster.Accounts, func(a *ServiceAccount) bool { return a.Namespace == namespace && a.Name == name })
}

func (f *Facts) secret(namespace, name string) *Secret {
	return find(f.Cluster.Secrets, func(s *Secret) bool { return s.Namespace == namespace && s.Name == name })
}

func (f *Facts) configMap(namespace, name string) *ConfigMap {
	return find(f.Cluster.ConfigMaps, func(c *ConfigMap) bool { return c.Namespace == namespace && c.Name == name })
}

func (f *Facts) role(arn string) *Role {
	return find(f.Account.Roles, func(r *Role) bool { return r.ARN == arn })
}

func (f *Facts) node(name string) *Node {
	return find(f.Cluster.Nodes, func(n *Node) bool { return n.Name == name })
}

// instance is a node's machine; nil where there is none, or where several networks of the account have its address.
func (f *Facts) instance(n *Node) *Instance {
	var found *Instance
	for k := range f.Account.Instances {
		switch i := &f.Account.Instances[k]; {
		case n.Instance != "" && i.ID == n.Instance:
			return i
		case n.Instance == "" && slices.ContainsFunc(i.Addresses, func(a string) bool { return slices.Contains(n.Addresses, a) }):
			if found != nil {
				return nil
			}
			found = i
		}
	}
	return found
}

// host is an issuer as IAM writes it: without its scheme.
func host(issuer string) string { return strings.TrimPrefix(issuer, "https://") }

// segment is the part of an ARN with a number.
func segment(arn string, n int) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) <= n {
		return ""
	}
	return parts[n]
}

func nameOf(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
