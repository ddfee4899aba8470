// Package podrole makes the IAM role of one pod identity: a role that exactly
// one Kubernetes ServiceAccount, or exactly one certificate common name, can
// assume.
package podrole

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/internal/role"
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
	// ManagedPolicyArns are attached, at most 10 (IAM's default quota). They are
	// plain: each attachment is named after its policy, and a preview must know
	// which there are.
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
		if policy, err = iampolicy.Permissions(args.Statements); err != nil {
			return nil, fmt.Errorf("PodRole %q: permissions: %w", name, err)
		}
	}
	component := &PodRole{}
	if err := ctx.RegisterComponentResource(Type, name, component, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", Type, name, err)
	}
	roleArgs := &role.Args{
		Name:                names.Autonamed(name+"-role", names.MaxRole),
		RoleName:            args.RoleName, // contractual: see PodRoleArgs
		Trust:               args.Trust,
		Description:         args.Description,
		PermissionsBoundary: args.PermissionsBoundary,
		MaxSessionSeconds:   args.maxSession(),
		Tags:                args.Tags,
		Managed:             args.ManagedPolicyArns,
		// Named after the policy, so that a change of the list's order touches
		// nothing, and its account ("aws" for AWS's own), which also ends the
		// role's part of the name: it stands before the first colon.
		AttachmentName: func(arn string) string {
			_, policyName, _ := strings.Cut(arn, "::")
			return name + "-" + policyName
		},
	}
	if policy != "" {
		roleArgs.Inline = []role.Policy{{Name: names.Autonamed(name+"-policy", names.MaxPolicy), JSON: pulumi.String(policy)}}
	}
	if args.FormerName != "" {
		// Names that are shortened need not begin with their component's, by
		// which Pulumi would find them.
		roleArgs.Formerly = map[string]string{
			roleArgs.Name: names.Autonamed(args.FormerName+"-role", names.MaxRole),
			names.Autonamed(name+"-policy", names.MaxPolicy): names.Autonamed(args.FormerName+"-policy", names.MaxPolicy),
		}
	}
	made, err := role.New(ctx, roleArgs, component)
	if err != nil {
		return nil, fmt.Errorf("PodRole %q: %w", name, err)
	}
	component.Arn = made.Arn
	component.Name = made.Name
	if err := outputs.Register(ctx, component); err != nil {
		return nil, fmt.Errorf("%s %q: %w", Type, name, err)
	}
	return component, nil
}

func (args *PodRoleArgs) maxSession() int {
	if args.MaxSessionSeconds == 0 {
		return rules.DefaultSessionSeconds
	}
	return args.MaxSessionSeconds
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
	errs = append(errs, role.Check(args.ManagedPolicyArns, args.PermissionsBoundary)...)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("PodRole %q: %w", name, err)
	}
	return nil
}
