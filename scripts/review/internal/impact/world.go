package impact

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// Types that the review knows.
const (
	typeRole           = "aws:iam/role:Role"
	typeRolePolicy     = "aws:iam/rolePolicy:RolePolicy"
	typeAttachment     = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
	typeExclusive      = "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive"
	typePolicy         = "aws:iam/policy:Policy"
	typeProfile        = "aws:iam/instanceProfile:InstanceProfile"
	typeOIDCProvider   = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
	typeTrustAnchor    = "aws:rolesanywhere/trustAnchor:TrustAnchor"
	typeRAProfile      = "aws:rolesanywhere/profile:Profile"
	typeInstance       = "aws:ec2/instance:Instance"
	typeLaunchTemplate = "aws:ec2/launchTemplate:LaunchTemplate"
	typeBucket         = "aws:s3/bucketV2:BucketV2"
	typeOldBucket      = "aws:s3/bucket:Bucket"
	typeBucketPolicy   = "aws:s3/bucketPolicy:BucketPolicy"
	typeAccessBlock    = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
	typeBucketACL      = "aws:s3/bucketAclV2:BucketAclV2"
	typeParameter      = "aws:ssm/parameter:Parameter"
	typePrivateKey     = "tls:index/privateKey:PrivateKey"
	typeSelfSigned     = "tls:index/selfSignedCert:SelfSignedCert"
	typeLocallySigned  = "tls:index/locallySignedCert:LocallySignedCert"
	typeCertRequest    = "tls:index/certRequest:CertRequest"
	typeIngressRule    = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
	typeSecurityGroup  = "aws:ec2/securityGroup:SecurityGroup"
	typeDefaultGroup   = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
	typeGroupRule      = "aws:ec2/securityGroupRule:SecurityGroupRule"
	typeDistribution   = "aws:cloudfront/distribution:Distribution"
	typeRecord         = "aws:route53/record:Record"

	typeBucketIssuer = "k3s-aws-auth:oidcissuer:BucketIssuer"
)

func isObject(t string) bool {
	return t == "aws:s3/bucketObjectv2:BucketObjectv2" || t == "aws:s3/bucketObject:BucketObject"
}

// world is a preview with its cross-references.
type world struct {
	p      *preview.Preview
	byURN  map[string]*preview.Change
	byType map[string][]*preview.Change
	// users lists, for a URN, the changes whose resource depends on it, before or after.
	users map[string][]*preview.Change
	// parsed caches policy documents by their text.
	parsed map[string]*policy.Document
	// policies are the managed policies of the stack, by URN and by ARN.
	policies map[string]*preview.Change
	// account and region are those that the preview's ARNs name, as far as it tells.
	partition, account, region string
	// names maps kind/name to the URN of a role, user or group.
	names    map[string]string
	targeted []target
	servants map[string]bool
	// trustees caches whom a trust policy trusts; profilesOn the roles of instance profiles on each side.
	trustees   map[*policy.Document][]access.Trustee
	profilesOn [2]map[string]string
	// steps are the steps of rotations that the change is.
	steps []Step
	// signing caches the answers of [world.signers].
	signing [2]map[*preview.Change]signer
	// retiredIssuers caches the answer of [world.retired].
	retiredIssuers map[string]bool
	// initial is set where nothing of the stack exists yet, as far as the preview tells all.
	initial bool
}

func newWorld(p *preview.Preview) *world {
	w := &world{
		p: p, byURN: map[string]*preview.Change{}, byType: map[string][]*preview.Change{},
		users: map[string][]*preview.Change{}, parsed: map[string]*policy.Document{}, policies: map[string]*preview.Change{}, trustees: map[*policy.Document][]access.Trustee{},
		partition: "aws", account: "000000000000", region: "*", initial: p.Complete,
	}
	for _, c := range p.Changes {
		now := c.Now()
		w.byURN[now.URN] = c
		if c.Before != nil && c.Before.Custom {
			w.initial = false
		}
		w.learn(c)
		w.byType[now.Type] = append(w.byType[now.Type], c)
		seen := map[string]bool{}
		for _, r := range []*preview.Resource{c.Before, c.After} {
			if r == nil {
				continue
			}
			for _, urn := range r.Dependencies {
				if !seen[urn] {
					seen[urn] = true
					w.users[urn] = append(w.users[urn], c)
				}
			}
		}
	}
	return w
}

var anyARN = regexp.MustCompile(`^arn:(aws[a-z-]*):[a-z0-9-]+:([a-z0-9-]*):([0-9]{12}):`)

// learn notes where the stack is, and the ARNs of its managed policies.
func (w *world) learn(c *preview.Change) {
	for _, r := range []*preview.Resource{c.Before, c.After} {
		if r == nil {
			continue
		}
		arn, _ := r.Output("arn").(string)
		if m := anyARN.FindStringSubmatch(arn); m != nil {
			w.partition, w.account = m[1], m[3]
			if m[2] != "" {
				w.region = m[2]
			}
		}
		if r.Type == typePolicy {
			w.policies[r.URN] = c
			for _, name := range []string{arn, r.ID} {
				if strings.HasPrefix(name, "arn:") {
					w.policies[name] = c
				}
			}
			if name, ok := r.Text("name"); ok {
				path, _ := r.Text("path")
				w.policies["policy"+cmp.Or(path, "/")+name] = c
			}
		}
	}
}

// arn is a resource's ARN: as the preview says, or built of its name.
func (w *world) arn(r *preview.Resource) string {
	if arn, _ := r.Output("arn").(string); strings.HasPrefix(arn, "arn:") {
		return arn
	}
	if strings.HasPrefix(r.ID, "arn:") {
		return r.ID
	}
	named := func(property string) string {
		name, known := r.Text(property)
		if !known {
			return ""
		}
		return name
	}
	switch {
	case r.Type == typeParameter:
		if name := named("name"); name != "" {
			return fmt.Sprintf("arn:%s:ssm:%s:%s:parameter/%s", w.partition, w.region, w.account, strings.TrimPrefix(name, "/"))
		}
	case isObject(r.Type):
		if bucket, key := named("bucket"), named("key"); bucket != "" && key != "" {
			return fmt.Sprintf("arn:%s:s3:::%s/%s", w.partition, bucket, key)
		}
	case r.Type == typeBucket || r.Type == typeOldBucket:
		if name := named("bucket"); name != "" {
			return fmt.Sprintf("arn:%s:s3:::%s", w.partition, name)
		}
	case r.Type == typeRole:
		if name := named("name"); name != "" {
			return fmt.Sprintf("arn:%s:iam::%s:role%s%s", w.partition, w.account, cmp.Or(named("path"), "/"), name)
		}
	case r.Type == typeOIDCProvider:
		if url := named("url"); url != "" {
			return fmt.Sprintf("arn:%s:iam::%s:oidc-provider/%s", w.partition, w.account, host(url))
		}
	case r.ID == "":
	case r.Type == typeInstance:
		return fmt.Sprintf("arn:%s:ec2:%s:%s:instance/%s", w.partition, w.region, w.account, r.ID)
	case r.Type == typeDistribution:
		return fmt.Sprintf("arn:%s:cloudfront::%s:distribution/%s", w.partition, w.account, r.ID)
	}
	return ""
}

// side is one of the two pictures.
type side int

const (
	before side = iota
	after
)

func (s side) of(c *preview.Change) *preview.Resource {
	switch {
	case c == nil:
		return nil
	case s == before:
		return c.Before
	}
	return c.After
}

// document is a policy as far as the preview tells: exactly one of its fields says something, or none where there is no
// policy at all.
type document struct {
	parsed  *policy.Document
	unclear string // why there is no parsed policy
}

func (w *world) document(r *preview.Resource, property string) document {
	if r == nil {
		return document{}
	}
	v := r.Value(property)
	if v == nil {
		v = r.Output(property)
	}
	text, ok := v.(string)
	if m, object := v.(map[string]any); object { // a policy may be written as an object
		data, err := json.Marshal(plainValue(m))
		text, ok = string(data), err == nil
	}
	switch {
	case v == nil || ok && text == "":
		return document{}
	case !ok:
		return document{unclear: "is not text"}
	case text == preview.Secret:
		return document{unclear: "is a secret"}
	case strings.Contains(text, preview.Unknown):
		return document{unclear: "is known only after the update"}
	case strings.Contains(text, preview.Secret):
		return document{unclear: "is partly secret"}
	}
	if d, cached := w.parsed[text]; cached {
		return document{parsed: d}
	}
	d, err := policy.Parse([]byte(text))
	if err != nil {
		return document{unclear: fmt.Sprintf("cannot be read: %v", err)}
	}
	w.parsed[text] = d
	return document{parsed: d}
}

// refersTo tells whether a property of a resource names another one: by dependency, or by its id, name or ARN.
func refersTo(r *preview.Resource, property string, target *preview.Resource) bool {
	if r == nil || target == nil {
		return false
	}
	if slices.Contains(r.PropertyDependencies[property], target.URN) {
		return true
	}
	text, known := r.Text(property)
	if !known {
		return false
	}
	if text == target.ID {
		return true
	}
	for _, p := range []string{"name", "arn", "bucket"} {
		if name, ok := target.Text(p); ok && name == text {
			return true
		}
	}
	return false
}

// removed tells whether a resource goes or is replaced.
func removed(c *preview.Change) bool { return c.Op == preview.Delete || c.Op == preview.Replace }

// verb is the operation as a word in a sentence.
func verb(c *preview.Change) string {
	if c.Op == preview.Delete {
		return "deleted"
	}
	return "replaced"
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if len(line) > 300 {
		line = line[:300] + "…"
	}
	return line
}

// number reads a number of a property, which may be written as text; 0 where there is none.
func number(v any) int {
	switch v := v.(type) {
	case float64:
		return int(v)
	case string:
		n, _ := strconv.Atoi(v)
		return n
	}
	return 0
}

// list reads a list of texts.
func list(v any) []string {
	var texts []string
	items, _ := v.([]any)
	for _, i := range items {
		if s, ok := i.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts
}
