// Package role makes an IAM role and what gives it its permissions: the roles of
// pods and of machines are made here, each under names of its own.
package role

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/rules"
)

// Args describes a role. All names are logical ones, as the engine gets them.
type Args struct {
	Name  string
	Trust pulumi.StringInput // JSON
	// Description and PermissionsBoundary may be empty.
	Description, PermissionsBoundary string
	// RoleName is the physical name; empty leaves it to Pulumi.
	RoleName string
	// MaxSessionSeconds is the longest session; 0 leaves it to IAM.
	MaxSessionSeconds int
	Tags              map[string]string
	// Inline are the role's own policies, in the order in which they are made.
	Inline []Policy
	// Managed are the ARNs of policies that are attached.
	Managed []string
	// AttachmentName names the attachment of a policy by its ARN.
	AttachmentName func(arn string) string
	// Formerly are names of an earlier release, by those that have taken their place.
	Formerly map[string]string
}

// Policy is an inline policy.
type Policy struct {
	Name string
	JSON pulumi.StringInput
}

// Role is a role, and the resources that give it its permissions.
type Role struct {
	*iam.Role
	Permissions []pulumi.Resource
}

// New makes the role with its policies, as children of a component.
func New(ctx *pulumi.Context, args *Args, parent pulumi.Resource) (*Role, error) {
	inputs := &iam.RoleArgs{AssumeRolePolicy: args.Trust, Tags: pulumi.ToStringMap(args.Tags)}
	if args.RoleName != "" {
		inputs.Name = pulumi.String(args.RoleName)
	}
	if args.Description != "" {
		inputs.Description = pulumi.String(args.Description)
	}
	if args.PermissionsBoundary != "" {
		inputs.PermissionsBoundary = pulumi.String(args.PermissionsBoundary)
	}
	if args.MaxSessionSeconds != 0 {
		inputs.MaxSessionDuration = pulumi.Int(args.MaxSessionSeconds)
	}
	child := pulumi.Parent(parent)
	made, err := iam.NewRole(ctx, args.Name, inputs, child, args.alias(args.Name))
	if err != nil {
		return nil, fmt.Errorf("role %s: %w", args.Name, err)
	}
	role := &Role{Role: made}
	for _, policy := range args.Inline {
		inline, err := iam.NewRolePolicy(ctx, policy.Name, &iam.RolePolicyArgs{Role: made.Name, Policy: policy.JSON}, child, args.alias(policy.Name))
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", policy.Name, err)
		}
		role.Permissions = append(role.Permissions, inline)
	}
	for _, arn := range args.Managed {
		attachment, err := iam.NewRolePolicyAttachment(ctx, args.AttachmentName(arn), &iam.RolePolicyAttachmentArgs{
			Role: made.Name, PolicyArn: pulumi.String(arn),
		}, child)
		if err != nil {
			return nil, fmt.Errorf("attachment of %s: %w", arn, err)
		}
		role.Permissions = append(role.Permissions, attachment)
	}
	return role, nil
}

func (args *Args) alias(name string) pulumi.ResourceOption {
	former, had := args.Formerly[name]
	if !had {
		return pulumi.Aliases(nil)
	}
	return pulumi.Aliases([]pulumi.Alias{{Name: pulumi.String(former)}})
}

// Check returns what is wrong with the policies that are to be attached to a role,
// and with its boundary, which may be empty.
func Check(managed []string, boundary string) []error {
	var errs []error
	seen := map[string]bool{}
	for i, arn := range managed {
		key := fmt.Sprintf("ManagedPolicyArns[%d]", i)
		errs = append(errs, rules.Fault(key, arn, rules.PolicyARN(arn)))
		if seen[arn] {
			// Two attachments of one pair succeed, and then destroying one
			// detaches for both.
			errs = append(errs, fmt.Errorf("%s: %s is listed twice", key, arn))
		}
		seen[arn] = true
	}
	if len(managed) > rules.MaxManagedPolicies {
		errs = append(errs, fmt.Errorf("ManagedPolicyArns: found %d, must be at most %d, which is IAM's quota", len(managed), rules.MaxManagedPolicies))
	}
	if boundary != "" {
		errs = append(errs, rules.Fault("PermissionsBoundary", boundary, rules.PolicyARN(boundary)))
	}
	return errs
}
