// Package deployer says what whoever deploys a stack must be allowed to do, from the resources that the stack makes: for
// each type the calls that the provider makes for it, and no more.
package deployer

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/scripts/internal/graph"
)

// Phase is a part of a stack's life.
type Phase string

const (
	// Up is the first `pulumi up`.
	Up Phase = "up"
	// Later is what comes after it: refresh, changes in place, destroy.
	Later Phase = "later"
)

// Phases lists both.
var Phases = []Phase{Up, Later}

// MaxPolicyCharacters is IAM's quota of a managed policy, without white space
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).
const MaxPolicyCharacters = 6144

// Site is where a stack is deployed.
type Site struct {
	Partition, Account, Region string
	// Cluster is clusterName, with which all names begin.
	Cluster string
	// Buckets are the names of the stack's buckets that do not begin with it.
	Buckets []string
	// HostedZoneID is the Route 53 zone of the issuer's records; empty where there are none.
	HostedZoneID string
	// PermissionsBoundary is that of every role; empty for none.
	PermissionsBoundary string
}

// Need are the IAM actions that a type takes.
type Need struct {
	// Up makes one and reads it.
	Up []string `json:"up"`
	// Later reads it again, and deletes it.
	Later []string `json:"later"`
}

// needsJSON has the needs by type token, and those of functions by theirs. It is what the stand-in provider calls, which
// repeats the calls of terraform-provider-aws; a test of scripts/lab/internal/rehearsal holds it against them.
//
//go:embed needs.json
var needsJSON []byte

// free are functions that need no permission.
var free = []string{"aws:index/getCallerIdentity:getCallerIdentity", "aws:index/getPartition:getPartition"}

// Types lists the types of AWS's resources that a stack makes and the functions that it asks and that need permissions,
// each once, sorted: what a first preview shows. See [graph.Of] for the arguments.
func Types(ctx context.Context, stack, account string, values map[string]string, secrets ...string) ([]string, error) {
	made, err := graph.Of(ctx, stack, account, values, secrets...)
	if err != nil {
		return nil, err
	}
	types := slices.Clone(made.Calls)
	for _, r := range made.Resources {
		types = append(types, r.Type)
	}
	slices.Sort(types)
	return slices.DeleteFunc(slices.Compact(types), func(token string) bool {
		return !strings.HasPrefix(token, "aws:") || slices.Contains(free, token)
	}), nil
}

// Needs returns the needs of all types and functions that a stack may have.
func Needs() map[string]Need {
	needs := map[string]Need{}
	if err := json.Unmarshal(needsJSON, &needs); err != nil {
		panic("deployer: needs.json: " + err.Error()) // it is part of the program
	}
	return needs
}

// changes are the actions that change a resource in place, by type: what `pulumi up` calls when a stack's configuration
// changes. Each is in an Update of the lab's stand-in provider.
var changes = map[string][]string{
	// Of the types that Cloud Control handles the program has AWS::RolesAnywhere::Profile, to whose update handler the first
	// belong beside Cloud Control's own, and AWS::RolesAnywhere::CRL, whose lists come and go while a stack lives.
	"aws:cloudcontrol/resource:Resource": {
		"cloudformation:UpdateResource", "iam:GetRole", "iam:PassRole", "rolesanywhere:UpdateProfile",
		"rolesanywhere:EnableProfile", "rolesanywhere:TagResource", "rolesanywhere:UntagResource",
		"rolesanywhere:ImportCrl", "rolesanywhere:GetCrl", "rolesanywhere:UpdateCrl", "rolesanywhere:EnableCrl", "rolesanywhere:DeleteCrl",
	},
	"aws:acm/certificate:Certificate": {"acm:AddTagsToCertificate", "acm:RemoveTagsFromCertificate"},
	"aws:cloudfront/distribution:Distribution": {
		"cloudfront:UpdateDistribution", "cloudfront:TagResource", "cloudfront:UntagResource",
	},
	"aws:cloudfront/cachePolicy:CachePolicy":                 {"cloudfront:UpdateCachePolicy"},
	"aws:cloudfront/originAccessControl:OriginAccessControl": {"cloudfront:UpdateOriginAccessControl"},
	"aws:cloudwatch/eventRule:EventRule":                     {"events:PutRule", "events:TagResource", "events:UntagResource"},
	"aws:cloudwatch/eventTarget:EventTarget":                 {"events:PutTargets"},
	"aws:cloudwatch/metricAlarm:MetricAlarm": {
		"cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource",
	},
	"aws:ec2/eip:Eip": {"ec2:DisassociateAddress"},
	"aws:ec2/instance:Instance": {
		"ec2:DescribeIamInstanceProfileAssociations", "ec2:ReplaceIamInstanceProfileAssociation",
		"ec2:ModifyNetworkInterfaceAttribute", "ec2:ModifyInstanceAttribute", "ec2:ModifyInstanceCreditSpecification",
		"ec2:ModifyInstanceMetadataOptions", "ec2:ModifyVolume", "ec2:StartInstances", "ec2:StopInstances",
		"ec2:CreateTags", "ec2:DeleteTags",
	},
	"aws:ec2/vpcEndpoint:VpcEndpoint":         {"ec2:ModifyVpcEndpoint"},
	"aws:iam/instanceProfile:InstanceProfile": {"iam:TagInstanceProfile", "iam:UntagInstanceProfile"},
	"aws:iam/openIdConnectProvider:OpenIdConnectProvider": {
		"iam:AddClientIDToOpenIDConnectProvider", "iam:RemoveClientIDFromOpenIDConnectProvider",
		"iam:TagOpenIDConnectProvider", "iam:UntagOpenIDConnectProvider", "iam:UpdateOpenIDConnectProviderThumbprint",
	},
	"aws:iam/role:Role": {
		"iam:PutRolePermissionsBoundary", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole",
		"iam:UpdateRoleDescription",
	},
	"aws:iam/rolePolicy:RolePolicy":                     {"iam:PutRolePolicy"},
	"aws:iam/rolePolicyAttachment:RolePolicyAttachment": {"iam:AttachRolePolicy"},
	"aws:lb/listener:Listener":                          {"elasticloadbalancing:ModifyListener"},
	"aws:lb/loadBalancer:LoadBalancer": {
		"elasticloadbalancing:SetSubnets", "elasticloadbalancing:SetSecurityGroups",
		"elasticloadbalancing:ModifyLoadBalancerAttributes", "elasticloadbalancing:AddTags",
		"elasticloadbalancing:RemoveTags",
	},
	"aws:lb/targetGroup:TargetGroup": {
		"elasticloadbalancing:ModifyTargetGroup", "elasticloadbalancing:ModifyTargetGroupAttributes",
	},
	"aws:rolesanywhere/profile:Profile": {
		"iam:PassRole", "rolesanywhere:UpdateProfile", "rolesanywhere:EnableProfile", "rolesanywhere:TagResource",
		"rolesanywhere:UntagResource",
	},
	"aws:rolesanywhere/trustAnchor:TrustAnchor": {
		"rolesanywhere:UpdateTrustAnchor", "rolesanywhere:EnableTrustAnchor", "rolesanywhere:TagResource",
		"rolesanywhere:UntagResource",
	},
	"aws:route53/record:Record":                                 {"route53:ChangeResourceRecordSets"},
	"aws:s3/bucketObjectv2:BucketObjectv2":                      {"s3:PutObject", "s3:PutObjectTagging"},
	"aws:s3/bucketPolicy:BucketPolicy":                          {"s3:PutBucketPolicy"},
	"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock":    {"s3:PutBucketPublicAccessBlock"},
	"aws:s3/bucketV2:BucketV2":                                  {"s3:PutBucketTagging"},
	"aws:sns/topic:Topic":                                       {"sns:SetTopicAttributes", "sns:TagResource", "sns:UntagResource"},
	"aws:sns/topicPolicy:TopicPolicy":                           {"sns:SetTopicAttributes"},
	"aws:ssm/parameter:Parameter":                               {"ssm:PutParameter", "ssm:AddTagsToResource", "ssm:RemoveTagsFromResource"},
	"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": {"ec2:ModifySecurityGroupRules"},
	"aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule":   {"ec2:ModifySecurityGroupRules"},
}

// logBucket is a type that only a bucket for access logs comes with.
const logBucket = "aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2"

// Actions are the actions that a stack of these types and functions takes in a phase, sorted. It fails where it does not
// know one of them.
func Actions(types []string, phase Phase) ([]string, error) {
	needs, all := Needs(), map[string]bool{}
	for _, t := range types {
		need, known := needs[t]
		if !known && strings.HasPrefix(t, "aws:") {
			return nil, fmt.Errorf("what a deployer needs for %s is not known", t)
		}
		list := need.Up
		if phase == Later {
			list = slices.Concat(need.Later, changes[t])
		}
		for _, action := range list {
			// CloudFront puts its log delivery into the bucket's ACL where it logs at all.
			if action == "s3:PutBucketAcl" && !slices.Contains(types, logBucket) {
				continue
			}
			all[action] = true
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// scope is what a deployer may do actions on.
type scope struct {
	sid string
	// of tells which actions it is for.
	of func(action string) bool
	// on are their resources, and when the conditions.
	on   func(Site) []string
	when func(Site) map[string]map[string][]string
}

func prefixed(prefixes ...string) func(string) bool {
	return func(action string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(action, p) })
	}
}

func containing(service string, parts ...string) func(string) bool {
	return func(action string) bool {
		return strings.HasPrefix(action, service) && slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(action, p) })
	}
}

func exactly(actions ...string) func(string) bool {
	return func(action string) bool { return slices.Contains(actions, action) }
}

func anything(Site) []string { return []string{"*"} }

func (s Site) arn(service, region, account, rest string) string {
	return "arn:" + s.Partition + ":" + service + ":" + region + ":" + account + ":" + rest
}

func (s Site) iam(rest string) []string { return []string{s.arn("iam", "", s.Account, rest)} }

func (s Site) bucketArns(suffix string) []string {
	list := []string{s.arn("s3", "", "", s.Cluster+"-*"+suffix)}
	for _, name := range s.Buckets {
		list = append(list, s.arn("s3", "", "", name+suffix))
	}
	return list
}

// inRegion keeps services whose resources have names that AWS makes up to the stack's region.
func inRegion(s Site) map[string]map[string][]string {
	return map[string]map[string][]string{"StringEquals": {"aws:RequestedRegion": {s.Region}}}
}

// boundedRoles lets roles be made with the boundary alone, where there is one. Nobody is given what takes it off.
func boundedRoles(s Site) map[string]map[string][]string {
	if s.PermissionsBoundary == "" {
		return nil
	}
	return map[string]map[string][]string{"StringEquals": {"iam:PermissionsBoundary": {s.PermissionsBoundary}}}
}

func always(Site) map[string]map[string][]string { return nil }

// scopes are tried in their order; the first that an action is of is its own.
var scopes = []scope{
	{"PassRoles", exactly("iam:PassRole"), func(s Site) []string { return s.iam("role/" + s.Cluster + "-*") }, func(Site) map[string]map[string][]string {
		return map[string]map[string][]string{"StringEquals": {"iam:PassedToService": {"ec2.amazonaws.com", "rolesanywhere.amazonaws.com"}}}
	}},
	{"FirstUse", exactly("iam:CreateServiceLinkedRole"), func(s Site) []string { return s.iam("role/aws-service-role/*") }, func(Site) map[string]map[string][]string {
		return map[string]map[string][]string{"StringEquals": {"iam:AWSServiceName": {"elasticloadbalancing.amazonaws.com", "rolesanywhere.amazonaws.com"}}}
	}},
	{"MakeRoles", exactly("iam:CreateRole", "iam:PutRolePermissionsBoundary"), func(s Site) []string { return s.iam("role/" + s.Cluster + "-*") }, boundedRoles},
	{"Issuers", containing("iam:", "OpenIDConnectProvider"), func(s Site) []string { return s.iam("oidc-provider/*") }, always},
	{"Profiles", func(action string) bool {
		return containing("iam:", "InstanceProfile")(action) && action != "iam:ListInstanceProfilesForRole"
	}, func(s Site) []string { return s.iam("instance-profile/" + s.Cluster + "-*") }, always},
	{"Policies", func(action string) bool {
		return strings.HasPrefix(action, "iam:") && !strings.Contains(action, "Role")
	}, func(s Site) []string { return s.iam("policy/" + s.Cluster + "-*") }, always},
	{"Roles", prefixed("iam:"), func(s Site) []string { return s.iam("role/" + s.Cluster + "-*") }, always},
	{"Objects", containing("s3:", "Object"), func(s Site) []string { return append(s.bucketArns("/*"), s.bucketArns("")...) }, always},
	{"Buckets", prefixed("s3:"), func(s Site) []string { return s.bucketArns("") }, always},
	{"ListParameters", exactly("ssm:DescribeParameters"), func(s Site) []string { return []string{s.arn("ssm", s.Region, s.Account, "*")} }, always},
	{"Parameters", prefixed("ssm:"), func(s Site) []string {
		return []string{s.arn("ssm", s.Region, s.Account, "parameter/k3s-aws-auth/"+s.Cluster+"/*"), s.arn("ssm", s.Region, "", "parameter/aws/service/canonical/*")}
	}, always},
	{"Topics", prefixed("sns:"), func(s Site) []string { return []string{s.arn("sns", "*", s.Account, s.Cluster+"-*")} }, always},
	{"Rules", prefixed("events:"), func(s Site) []string { return []string{s.arn("events", s.Region, s.Account, "rule/"+s.Cluster+"-*")} }, always},
	{"ListAlarms", exactly("cloudwatch:DescribeAlarms"), func(s Site) []string { return []string{s.arn("cloudwatch", "us-east-1", s.Account, "alarm:*")} }, always},
	{"Alarms", prefixed("cloudwatch:"), func(s Site) []string {
		return []string{s.arn("cloudwatch", "us-east-1", s.Account, "alarm:"+s.Cluster+"-*")}
	}, always},
	{"Records", func(action string) bool {
		return strings.HasPrefix(action, "route53:") && action != "route53:GetChange"
	}, func(s Site) []string {
		return []string{s.arn("route53", "", "", "hostedzone/"+s.HostedZoneID)}
	}, always},
	{"Regional", prefixed("cloudformation:", "ec2:", "elasticloadbalancing:", "rolesanywhere:"), anything, inRegion},
	{"Global", func(string) bool { return true }, anything, always},
}

// Policies are the documents that allow what a stack of these types and functions takes in a phase, each within IAM's quota
// of a managed policy.
func Policies(types []string, at Site, phase Phase) ([]iampolicy.Document, error) {
	actions, err := Actions(types, phase)
	if err != nil {
		return nil, err
	}
	bySid := map[string][]string{}
	for _, action := range actions {
		i := slices.IndexFunc(scopes, func(s scope) bool { return s.of(action) })
		bySid[scopes[i].sid] = append(bySid[scopes[i].sid], action)
	}
	var documents []iampolicy.Document
	var open iampolicy.Document
	for _, s := range scopes {
		if len(bySid[s.sid]) == 0 {
			continue
		}
		statement := iampolicy.Statement{Sid: s.sid, Actions: bySid[s.sid], Resources: s.on(at), Conditions: s.when(at)}
		grown := iampolicy.Document{Statements: append(slices.Clone(open.Statements), statement)}
		text, err := grown.JSON()
		if err != nil {
			return nil, fmt.Errorf("policy of a deployer: %w", err)
		}
		if len(text) > MaxPolicyCharacters && len(open.Statements) > 0 {
			documents, grown = append(documents, open), iampolicy.New(statement)
		}
		open = grown
	}
	if len(open.Statements) > 0 {
		documents = append(documents, open)
	}
	return documents, nil
}
