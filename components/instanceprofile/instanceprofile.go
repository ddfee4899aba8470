// Package instanceprofile gives EC2 machines a role: the role itself, the
// profile that carries it, and its permissions.
package instanceprofile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/internal/role"
	"k3s-aws-auth/components/outputs"
)

// Type is the component's type token. Changing it needs an alias.
const Type = "k3s-aws-auth:instanceprofile:InstanceProfile"

// StatementsPolicy is the name under which Statements become an inline policy.
const StatementsPolicy = "statements"

// InstanceProfileArgs are the inputs of [NewInstanceProfile]. A role without
// any permission is valid: machines can then prove who they are and do nothing.
type InstanceProfileArgs struct {
	// Statements become one inline policy.
	Statements []iampolicy.Statement
	// Policies are further inline policies as JSON, by a name that only tells
	// the resources apart. [StatementsPolicy] is taken where Statements are
	// given. All inline policies of a role together may have 10,240 characters.
	Policies map[string]pulumi.StringInput
	// ManagedPolicyArns are attached to the role, 10 at most (IAM's default
	// quota). They are plain: each attachment is named after its policy, and a
	// preview must know which there are.
	ManagedPolicyArns []string
	// PermissionsBoundary is the ARN of a policy that caps the role, or empty.
	PermissionsBoundary string
	// Tags are put on the role and the profile.
	Tags map[string]string
}

// InstanceProfile is a role for EC2 machines. A machine that needs the
// permissions at boot must depend on Permissions (pulumi.DependsOn), not only
// use ProfileName: the name is known before the policies are in place.
type InstanceProfile struct {
	pulumi.ResourceState

	// RoleName and RoleArn are the role's, both given by AWS.
	RoleName pulumi.StringOutput `pulumi:"roleName"`
	RoleArn  pulumi.StringOutput `pulumi:"roleArn"`
	// ProfileName is what a machine takes as its instance profile.
	ProfileName pulumi.StringOutput `pulumi:"profileName"`
	// Permissions are the resources that give the role its permissions. To
	// depend on the component instead would not do: the SDK adds a component's
	// children in the background, and misses those that it has not added yet.
	Permissions []pulumi.Resource
}

// NewInstanceProfile makes a role that EC2 may assume, its inline policies and
// attachments, and the instance profile.
//
// It fails before registering anything if args is nil or has an empty or
// duplicate policy.
func NewInstanceProfile(ctx *pulumi.Context, name string, args *InstanceProfileArgs, opts ...pulumi.ResourceOption) (*InstanceProfile, error) {
	policies, err := args.policies()
	if err != nil {
		return nil, fmt.Errorf("instance profile %s: %w", name, err)
	}
	profile := &InstanceProfile{}
	if err := ctx.RegisterComponentResource(Type, name, profile, opts...); err != nil {
		return nil, fmt.Errorf("instance profile %s: %w", name, err)
	}
	parent := pulumi.Parent(profile)

	partition, err := aws.GetPartition(ctx, nil, parent)
	if err != nil {
		return nil, fmt.Errorf("instance profile %s: look up the partition: %w", name, err)
	}
	trust, err := iampolicy.EC2Trust(partition.DnsSuffix).JSON()
	if err != nil {
		return nil, fmt.Errorf("instance profile %s: trust policy: %w", name, err)
	}
	roleArgs := &role.Args{
		Name:                name + "-role",
		Trust:               pulumi.String(trust),
		Description:         "Role of the EC2 machines of " + name,
		PermissionsBoundary: args.PermissionsBoundary,
		Tags:                args.Tags,
		Managed:             args.ManagedPolicyArns,
		AttachmentName:      func(arn string) string { return name + "-" + attachmentName(arn) },
	}
	for _, policy := range slices.Sorted(maps.Keys(policies)) {
		roleArgs.Inline = append(roleArgs.Inline, role.Policy{Name: name + "-" + policy, JSON: policies[policy]})
	}
	made, err := role.New(ctx, roleArgs, profile)
	if err != nil {
		return nil, fmt.Errorf("instance profile %s: %w", name, err)
	}
	instanceProfile, err := iam.NewInstanceProfile(ctx, name, &iam.InstanceProfileArgs{
		Role: made.Name,
		Tags: pulumi.ToStringMap(args.Tags),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("instance profile %s: %w", name, err)
	}

	profile.RoleName = made.Name
	profile.RoleArn = made.Arn
	profile.Permissions = made.Permissions
	profile.ProfileName = instanceProfile.Name
	err = outputs.Register(ctx, profile)
	if err != nil {
		return nil, fmt.Errorf("instance profile %s: %w", name, err)
	}
	return profile, nil
}

// policies validates the arguments and returns all inline policies by name.
func (args *InstanceProfileArgs) policies() (map[string]pulumi.StringInput, error) {
	if args == nil {
		return nil, errors.New("args are nil")
	}
	var errs []error
	policies := make(map[string]pulumi.StringInput, len(args.Policies)+1)
	for _, policy := range slices.Sorted(maps.Keys(args.Policies)) {
		if policy == "" {
			errs = append(errs, errors.New("args.Policies: a policy has no name"))
		}
		if args.Policies[policy] == nil {
			errs = append(errs, fmt.Errorf("args.Policies[%s]: is nil, must be a policy document as JSON", policy))
		}
		policies[policy] = args.Policies[policy]
	}
	if len(args.Statements) > 0 {
		if _, taken := policies[StatementsPolicy]; taken {
			errs = append(errs, fmt.Errorf("args.Policies[%s]: the name is that of the policy made of Statements", StatementsPolicy))
		}
		document, err := iampolicy.Permissions(args.Statements)
		if err != nil {
			errs = append(errs, fmt.Errorf("args.Statements: %w", err))
		}
		policies[StatementsPolicy] = pulumi.String(document)
	}
	errs = append(errs, role.Check(args.ManagedPolicyArns, args.PermissionsBoundary)...)
	return policies, errors.Join(errs...)
}

// attachmentName names an attachment by its policy, not by its position, so
// that reordering the list changes nothing. The hash keeps policies of one name
// in different paths or accounts apart.
func attachmentName(arn string) string {
	sum := sha256.Sum256([]byte(arn))
	return arn[strings.LastIndexAny(arn, "/:")+1:] + "-" + hex.EncodeToString(sum[:3])
}
