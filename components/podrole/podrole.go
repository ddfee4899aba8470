// Package podrole makes the IAM role of one pod identity: a role that exactly
// one Kubernetes ServiceAccount, or exactly one certificate common name, can
// assume.
package podrole

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/names"
	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/rules"
)

// Type is the type token of [PodRole].
const Type = "k3s-aws-auth:podrole:PodRole"

var roleNamePattern = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)

// PodRoleArgs describes a pod's role.
type PodRoleArgs struct {
	// RoleName is the physical name, letters, digits and _+=,.@-, at most 64;
	// empty leaves it to Pulumi. A fixed name is what a pod's proof and an
	// operator's search look for; changing it replaces the role.
	RoleName string
	// FormerName is the component's name in an earlier release, whose role, policy
	// and attachments are carried over; empty for none. The caller gives the
	// component itself an alias too.
	FormerName string
	// Description is what the role is for, at most 1000 characters.
	Description string
	// Trust is the trust policy's JSON (see [WebIdentityTrust] and
	// [RolesAnywhereTrust]).
	Trust pulumi.StringInput
	// Statements are the permissions, as an inline policy; none gives no
	// permissions of the role's own.
	Statements []iampolicy.Statement
	// ManagedPolicyArns are attached, at most 10 (IAM's default quota).
	ManagedPolicyArns []string
	// MaxSessionSeconds is the longest session, 3600 to 43200; 0 means
	// [rules.DefaultSessionSeconds].
	MaxSessionSeconds int
	// PermissionsBoundary is the ARN of a boundary policy, or empty.
	PermissionsBoundary string
	Tags                map[string]string
}

// PodRole is the role of one pod identity.
type PodRole struct {
	pulumi.ResourceState

	Arn  pulumi.StringOutput `pulumi:"arn"`
	Name pulumi.StringOutput `pulumi:"name"`
}

// NewPodRole makes the role, at most one inline policy and an attachment for
// each managed policy.
func NewPodRole(ctx *pulumi.Context, name string, args *PodRoleArgs, opts ...pulumi.ResourceOption) (*PodRole, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	policy := "" // none
	if len(args.Statements) > 0 {
		var err error
		if policy, err = PermissionsPolicy(args.Statements); err != nil {
			return nil, fmt.Errorf("PodRole %q: permissions: %w", name, err)
		}
	}
	component := &PodRole{}
	if err := ctx.RegisterComponentResource(Type, name, component, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", Type, name, err)
	}
	child := pulumi.Parent(component)
	roleArgs := &iam.RoleArgs{
		AssumeRolePolicy:   args.Trust,
		MaxSessionDuration: pulumi.Int(args.maxSession()),
		Tags:               pulumi.ToStringMap(args.Tags),
	}
	if args.RoleName != "" {
		// Contractual: see PodRoleArgs.
		roleArgs.Name = pulumi.String(args.RoleName)
	}
	if args.Description != "" {
		roleArgs.Description = pulumi.String(args.Description)
	}
	if args.PermissionsBoundary != "" {
		roleArgs.PermissionsBoundary = pulumi.String(args.PermissionsBoundary)
	}
	role, err := iam.NewRole(ctx, names.Autonamed(name+"-role", names.MaxRole), roleArgs, child, args.formerly("-role", names.MaxRole))
	if err != nil {
		return nil, fmt.Errorf("role of %s: %w", name, err)
	}
	if policy != "" {
		if _, err := iam.NewRolePolicy(ctx, names.Autonamed(name+"-policy", names.MaxPolicy), &iam.RolePolicyArgs{
			Role:   role.Name,
			Policy: pulumi.String(policy),
		}, child, args.formerly("-policy", names.MaxPolicy)); err != nil {
			return nil, fmt.Errorf("policy of role %s: %w", name, err)
		}
	}
	for _, arn := range args.ManagedPolicyArns {
		// Named after the policy, so that a change of the list's order touches
		// nothing, and its account ("aws" for AWS's own), which also ends the
		// role's part of the name: it stands before the first colon.
		_, policyName, _ := strings.Cut(arn, "::")
		if _, err := iam.NewRolePolicyAttachment(ctx, name+"-"+policyName, &iam.RolePolicyAttachmentArgs{
			Role:      role.Name,
			PolicyArn: pulumi.String(arn),
		}, child); err != nil {
			return nil, fmt.Errorf("attachment of %s to role %s: %w", arn, name, err)
		}
	}
	component.Arn = role.Arn
	component.Name = role.Name
	if err := outputs.Register(ctx, component); err != nil {
		return nil, fmt.Errorf("%s %q: %w", Type, name, err)
	}
	return component, nil
}

// formerly is the alias of a child whose name is shortened, and so need not begin
// with its component's, by which Pulumi would find it.
func (args *PodRoleArgs) formerly(suffix string, limit int) pulumi.ResourceOption {
	if args.FormerName == "" {
		return pulumi.Aliases(nil)
	}
	return pulumi.Aliases([]pulumi.Alias{{Name: pulumi.String(names.Autonamed(args.FormerName+suffix, limit))}})
}

func (args *PodRoleArgs) maxSession() int {
	if args.MaxSessionSeconds == 0 {
		return rules.DefaultSessionSeconds
	}
	return args.MaxSessionSeconds
}

// PermissionsPolicy returns the identity policy of the statements as JSON, or
// an error for each statement that is unfit for one, or where it is longer than
// IAM allows.
func PermissionsPolicy(statements []iampolicy.Statement) (string, error) {
	var errs []error
	for i, statement := range statements {
		if err := statement.ValidateIdentity(); err != nil {
			errs = append(errs, fmt.Errorf("statement %d: %w", i, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	text, err := iampolicy.New(statements...).JSON()
	if err != nil {
		return "", err
	}
	return text, checkSize(text)
}

func checkSize(policy string) error {
	size := 0
	for _, r := range policy {
		if !unicode.IsSpace(r) {
			size++
		}
	}
	if size > rules.MaxInlinePolicy {
		return fmt.Errorf("inline policy has %d characters, IAM allows %d: use managed policies", size, rules.MaxInlinePolicy)
	}
	return nil
}

func (args *PodRoleArgs) validate(name string) error {
	if args == nil {
		return fmt.Errorf("PodRole %q: args are missing", name)
	}
	var errs []error
	check := func(bad bool, format string, a ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	check(args.RoleName != "" && !roleNamePattern.MatchString(args.RoleName),
		"RoleName is %q, must be 1 to 64 letters, digits and _+=,.@-", args.RoleName)
	check(len(args.Description) > 1000, "Description has %d characters, must have at most 1000", len(args.Description))
	check(args.Trust == nil, "Trust is missing")
	check(args.maxSession() < rules.MinRoleSessionSeconds || args.maxSession() > rules.MaxSessionSeconds,
		"MaxSessionSeconds is %d, must be %d to %d", args.MaxSessionSeconds, rules.MinRoleSessionSeconds, rules.MaxSessionSeconds)
	check(len(args.ManagedPolicyArns) > rules.MaxManagedPolicies, "%d managed policies, IAM's quota is %d", len(args.ManagedPolicyArns), rules.MaxManagedPolicies)
	seen := map[string]bool{}
	for _, arn := range args.ManagedPolicyArns {
		check(rules.PolicyARN(arn) != "", "managed policy %q must be %s", arn, rules.PolicyARN(arn))
		check(seen[arn], "managed policy %s is listed twice", arn)
		seen[arn] = true
	}
	if args.PermissionsBoundary != "" {
		errs = append(errs, rules.Fault("PermissionsBoundary", args.PermissionsBoundary, rules.PolicyARN(args.PermissionsBoundary)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("PodRole %q: %w", name, err)
	}
	return nil
}
