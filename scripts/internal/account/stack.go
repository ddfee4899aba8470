package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/internal/stack"
)

// Stack is what the stack of a cluster has made in the account, as plain data without secrets: what the account should have.
type Stack struct {
	Name    string `json:"name"`
	Account string `json:"account,omitempty"`
	// Issuers are those of the cluster's tokens (host and path), with the audiences that the stack has given them.
	Issuers []Provider `json:"issuers,omitempty"`
	Anchors []Anchor   `json:"anchors,omitempty"`
	// Profiles are those of Roles Anywhere.
	Profiles []Profile   `json:"profiles,omitempty"`
	Roles    []StackRole `json:"roles,omitempty"`
	// Policies are managed policies that the stack made.
	Policies []Managed `json:"policies,omitempty"`
	// Machines are the names of the instance profiles that the stack made.
	Machines []string `json:"instanceProfiles,omitempty"`
	// Targets are the resources from which identities are made.
	Targets []Target `json:"targets,omitempty"`
	// Buckets have the policies that the stack gave them.
	Buckets []Bucket `json:"buckets,omitempty"`
	// Foreign is set where no stack is known, but an issuer or an anchor alone: then nothing can be "not of the stack".
	Foreign bool `json:"foreign,omitempty"`
}

// Kinds of the stack's roles.
const (
	Pod    = "pod"
	Server = "server"
	Node   = "node"
)

// StackRole is a role that the stack made, with the policies that the stack gave it.
type StackRole struct {
	Entity
	Trust string `json:"trust"`
	// Kind is Pod, Server or Node.
	Kind string `json:"kind"`
	// Pods are the service accounts (namespace/name) that have it, as the stack's outputs tell.
	Pods []string `json:"pods,omitempty"`
}

// Target is a resource of the stack, by what it is for.
type Target struct {
	ARN string `json:"arn"`
	// Kind is one of the keys of ways.
	Kind string            `json:"kind"`
	Tags map[string]string `json:"tags,omitempty"`
	// Key is the KMS key of one's own that encrypts it.
	Key string `json:"key,omitempty"`
}

// resource is one of the state's.
type resource struct {
	URN     string         `json:"urn"`
	Type    string         `json:"type"`
	ID      string         `json:"id"`
	Inputs  map[string]any `json:"inputs"`
	Outputs map[string]any `json:"outputs"`
}

func (r *resource) value(key string) any {
	for _, m := range []map[string]any{r.Outputs, r.Inputs} {
		v := m[key]
		if marked, ok := v.(map[string]any); ok && marked[stack.SignatureKey] != nil {
			return nil // a secret, of which nothing is wanted here
		}
		if v != nil && v != "" {
			return v
		}
	}
	return nil
}

func (r *resource) text(key string) string {
	t, _ := r.value(key).(string)
	return t
}

func (r *resource) texts(key string) (out []string) {
	list, _ := r.value(key).([]any)
	for _, v := range list {
		if t, ok := v.(string); ok {
			out = append(out, t)
		}
	}
	return out
}

func (r *resource) tags() map[string]string {
	m, _ := r.value("tagsAll").(map[string]any)
	if len(m) == 0 {
		m, _ = r.value("tags").(map[string]any)
	}
	out := map[string]string{}
	for k, v := range m {
		if t, ok := v.(string); ok {
			out[k] = t
		}
	}
	return out
}

func (r *resource) name() string { return r.URN[strings.LastIndex(r.URN, "::")+2:] }

// within tells whether a resource is below a component of a type.
func (r *resource) within(component string) bool {
	parts := strings.SplitN(r.URN, "::", 4)
	return len(parts) == 4 && strings.Contains(parts[2]+"$", component+"$")
}

// document is a policy of a resource, which may be text or a value.
func (r *resource) document(key string) string {
	switch v := r.value(key).(type) {
	case string:
		return v
	case nil:
		return ""
	default:
		text, _ := json.Marshal(v) // it came from JSON
		return string(text)
	}
}

// FromState reads a stack's export (`pulumi stack export`, secrets encrypted or not, of which it keeps none).
func FromState(export []byte) (*Stack, error) {
	var file struct {
		Deployment *struct {
			Resources []*resource `json:"resources"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal(export, &file); err != nil {
		return nil, fmt.Errorf("the stack's export: %w", err)
	}
	if file.Deployment == nil || len(file.Deployment.Resources) == 0 {
		return nil, errors.New("the stack's export has no resources: it must be what `pulumi stack export` prints of a deployed stack")
	}
	s := &Stack{}
	roles := map[string]*StackRole{}
	var order []string
	for _, r := range file.Deployment.Resources {
		if r.Type == "aws:iam/role:Role" {
			role := &StackRole{Kind: Pod, Trust: r.document("assumeRolePolicy"), Entity: Entity{ARN: r.text("arn"), Name: r.ID, Boundary: r.text("permissionsBoundary"), Tags: r.tags()}}
			if r.within("k3s-aws-auth:instanceprofile:InstanceProfile") {
				role.Kind = Node
				if strings.HasSuffix(strings.TrimSuffix(r.name(), "-role"), "-server") {
					role.Kind = Server
				}
			}
			for _, v := range asList(r.value("inlinePolicies")) {
				m, _ := v.(map[string]any)
				name, _ := m["name"].(string)
				text, _ := m["policy"].(string)
				role.Inline = append(role.Inline, Inline{name, text})
			}
			role.Attached = r.texts("managedPolicyArns")
			roles[r.ID] = role
			order = append(order, r.ID)
		}
	}
	for _, r := range file.Deployment.Resources {
		s.read(r, roles)
	}
	for _, id := range order {
		s.Roles = append(s.Roles, *roles[id])
		if s.Account == "" {
			s.Account = segment(roles[id].ARN, 4)
		}
	}
	return s, nil
}

func asList(v any) []any {
	l, _ := v.([]any)
	return l
}

// segment is the part of an ARN with a number.
func segment(arn string, n int) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) <= n {
		return ""
	}
	return parts[n]
}

// read takes what counts of one resource.
func (s *Stack) read(r *resource, roles map[string]*StackRole) {
	target := func(arn, kind string) {
		if arn != "" && !slices.ContainsFunc(s.Targets, func(t Target) bool { return t.ARN == arn && t.Kind == kind }) {
			s.Targets = append(s.Targets, Target{ARN: arn, Kind: kind, Tags: r.tags()})
		}
	}
	switch r.Type {
	case "pulumi:pulumi:Stack":
		if parts := strings.SplitN(r.URN, "::", 3); len(parts) == 3 {
			s.Name = strings.TrimPrefix(parts[0], "urn:pulumi:")
		}
		for _, v := range asList(r.Outputs["identities"]) {
			m, _ := v.(map[string]any)
			arn, _ := m["roleArn"].(string)
			namespace, _ := m["namespace"].(string)
			account, _ := m["serviceAccount"].(string)
			for _, role := range roles {
				if role.ARN == arn && account != "" {
					role.Pods = append(role.Pods, namespace+"/"+account)
				}
			}
		}
	case "aws:iam/rolePolicy:RolePolicy":
		name, policy, _ := strings.Cut(r.ID, ":")
		if role := roles[name]; role != nil {
			role.Inline = append(role.Inline, Inline{policy, r.document("policy")})
		}
	case "aws:iam/rolePolicyAttachment:RolePolicyAttachment":
		if role := roles[r.text("role")]; role != nil {
			role.Attached = append(role.Attached, r.text("policyArn"))
		}
	case "aws:iam/policyAttachment:PolicyAttachment":
		for _, name := range r.texts("roles") {
			if role := roles[name]; role != nil {
				role.Attached = append(role.Attached, r.text("policyArn"))
			}
		}
	case "aws:iam/policy:Policy":
		s.Policies = append(s.Policies, Managed{r.text("arn"), r.document("policy")})
	case "aws:iam/instanceProfile:InstanceProfile":
		s.Machines = append(s.Machines, r.ID)
	case "aws:iam/openIdConnectProvider:OpenIdConnectProvider":
		s.Issuers = append(s.Issuers, Provider{ARN: r.text("arn"), URL: strings.TrimPrefix(r.text("url"), "https://"), Clients: r.texts("clientIdLists")})
	case "aws:rolesanywhere/trustAnchor:TrustAnchor":
		a := Anchor{ARN: r.text("arn"), Name: r.text("name"), Enabled: true}
		source, _ := r.value("source").(map[string]any)
		data, _ := source["sourceData"].(map[string]any)
		bundle, _ := data["x509CertificateData"].(string)
		a.PCA, _ = data["acmPcaArn"].(string)
		a.trust(bundle)
		s.Anchors = append(s.Anchors, a)
	case "aws:rolesanywhere/profile:Profile":
		s.Profiles = append(s.Profiles, Profile{ARN: r.text("arn"), Name: r.text("name"), Enabled: true, Roles: r.texts("roleArns"), Policy: r.text("sessionPolicy"), Policies: r.texts("managedPolicyArns")})
	case "aws:cloudcontrol/resource:Resource":
		s.cloudControl(r)
	case "aws:ssm/parameter:Parameter":
		name := r.text("name")
		switch {
		case strings.Contains(name, "/server/") && (strings.HasSuffix(name, ".key") || strings.HasSuffix(name, "/token")):
			target(r.text("arn"), "signing-key")
		case strings.HasSuffix(name, "/agent/token"):
			target(r.text("arn"), "join-token")
		default:
			return
		}
		if key := r.text("keyId"); key != "" && !strings.HasSuffix(key, "alias/aws/ssm") {
			s.Targets[len(s.Targets)-1].Key = key
		}
	case "aws:s3/bucketObjectv2:BucketObjectv2", "aws:s3/bucketObject:BucketObject":
		if strings.Contains(r.URN, "k3s-aws-auth:oidcissuer:") {
			arn := r.text("arn")
			target(arn, "issuer-object")
			if bucket, _, ok := strings.Cut(arn, "/"); ok {
				target(bucket, "issuer-bucket")
			}
		}
	case "aws:s3/bucketPolicy:BucketPolicy":
		if strings.Contains(r.URN, "k3s-aws-auth:oidcissuer:") {
			s.Buckets = append(s.Buckets, Bucket{r.text("bucket"), r.document("policy")})
		}
	case "aws:cloudfront/distribution:Distribution":
		target(r.text("arn"), "distribution")
	case "aws:route53/record:Record":
		if zone := r.text("zoneId"); zone != "" {
			target("arn:aws:route53:::hostedzone/"+zone, "zone")
		}
	case "aws:ec2/instance:Instance":
		if strings.Contains(r.name(), "-server-") {
			target(r.text("arn"), "server")
		}
	}
}

// cloudControl reads a profile that was made by Cloud Control: its state is one JSON text.
func (s *Stack) cloudControl(r *resource) {
	if r.text("typeName") != "AWS::RolesAnywhere::Profile" {
		return
	}
	var p struct {
		ProfileArn, Name, SessionPolicy string
		RoleArns, ManagedPolicyArns     []string
	}
	for _, text := range []string{r.text("desiredState"), r.text("properties")} {
		_ = json.Unmarshal([]byte(text), &p) // one of the two may be empty
	}
	s.Profiles = append(s.Profiles, Profile{ARN: p.ProfileArn, Name: p.Name, Enabled: true, Roles: p.RoleArns, Policy: p.SessionPolicy, Policies: p.ManagedPolicyArns})
}

// StateBucket adds the bucket that keeps the stack's state, which no stack knows itself. Its name comes from the backend's
// URL (s3://NAME).
func (s *Stack) StateBucket(name, partition string) {
	arn := "arn:" + partition + ":s3:::" + name
	s.Targets = append(s.Targets, Target{ARN: arn + "/.pulumi/state", Kind: "state"}, Target{ARN: arn, Kind: "state-bucket"})
}

// BucketNames are the buckets whose policies count.
func (s *Stack) BucketNames() []string {
	names := map[string]bool{}
	for _, t := range s.Targets {
		if t.Kind == "issuer-bucket" || t.Kind == "state-bucket" {
			names[t.ARN[strings.LastIndex(t.ARN, ":")+1:]] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// role is a role of the stack by its ARN.
func (s *Stack) role(arn string) *StackRole {
	for i := range s.Roles {
		if s.Roles[i].ARN == arn {
			return &s.Roles[i]
		}
	}
	return nil
}

// LookFor says what to look for where no stack is known: an issuer's provider, and anchors with their keys.
func (s *Stack) LookFor(in *Snapshot, issuers, anchors []string) {
	for _, url := range issuers {
		url = strings.TrimPrefix(url, "https://")
		s.Issuers = append(s.Issuers, Provider{ARN: "arn:" + in.Partition + ":iam::" + in.Account + ":oidc-provider/" + url, URL: url})
	}
	for _, arn := range anchors {
		for _, a := range in.Anchors {
			if a.ARN == arn {
				s.Anchors = append(s.Anchors, a)
			}
		}
	}
}
