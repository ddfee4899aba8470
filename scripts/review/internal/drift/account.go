package drift

import (
	"context"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// IAM is what of the account is read: all of it is in AWS's policy ReadOnlyAccess.
type IAM interface {
	iam.ListRolePoliciesAPIClient
	iam.ListAttachedRolePoliciesAPIClient
	GetRolePolicy(context.Context, *iam.GetRolePolicyInput, ...func(*iam.Options)) (*iam.GetRolePolicyOutput, error)
	GetPolicy(context.Context, *iam.GetPolicyInput, ...func(*iam.Options)) (*iam.GetPolicyOutput, error)
	GetPolicyVersion(context.Context, *iam.GetPolicyVersionInput, ...func(*iam.Options)) (*iam.GetPolicyVersionOutput, error)
}

// Account adds the inline and attached policies that the stack's roles have in AWS and the stack does not know of. A
// refresh does not show them: a role's own properties for them are computed where the program leaves them out, and a
// policy that is no resource of the stack is not looked for. It takes two calls a role, and returns how many it found.
func (p *Preview) Account(ctx context.Context, api IAM) (found int, err error) {
	roles, policies, err := p.roles()
	if err != nil {
		return 0, err
	}
	for _, r := range roles {
		inline := iam.NewListRolePoliciesPaginator(api, &iam.ListRolePoliciesInput{RoleName: aws.String(r.name)})
		for inline.HasMorePages() {
			page, err := inline.NextPage(ctx)
			if err != nil {
				return found, fmt.Errorf("inline policies of role %s: %w", r.name, err)
			}
			for _, name := range page.PolicyNames {
				if r.inline[name] {
					continue
				}
				policy, err := api.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: aws.String(r.name), PolicyName: aws.String(name)})
				if err != nil {
					return found, fmt.Errorf("inline policy %s of role %s: %w", name, r.name, err)
				}
				document, err := url.QueryUnescape(aws.ToString(policy.PolicyDocument))
				if err != nil {
					return found, fmt.Errorf("inline policy %s of role %s: %w", name, r.name, err)
				}
				found++
				err = p.add("aws:iam/rolePolicy:RolePolicy", "by hand: "+name+" of "+r.name, r.name+":"+name,
					map[string]any{"role": r.name, "name": name, "policy": document})
				if err != nil {
					return found, err
				}
			}
		}
		attached := iam.NewListAttachedRolePoliciesPaginator(api, &iam.ListAttachedRolePoliciesInput{RoleName: aws.String(r.name)})
		for attached.HasMorePages() {
			page, err := attached.NextPage(ctx)
			if err != nil {
				return found, fmt.Errorf("attached policies of role %s: %w", r.name, err)
			}
			for _, a := range page.AttachedPolicies {
				arn := aws.ToString(a.PolicyArn)
				if r.attached[arn] {
					continue
				}
				if !policies[arn] {
					if err := p.policy(ctx, api, arn); err != nil {
						return found, err
					}
					policies[arn] = true
				}
				found++
				err = p.add("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "by hand: "+aws.ToString(a.PolicyName)+" on "+r.name, r.name+"-"+arn,
					map[string]any{"role": r.name, "policyArn": arn})
				if err != nil {
					return found, err
				}
			}
		}
	}
	return found, nil
}

// policy adds a managed policy with what it allows, so that it is judged by that and not by its name.
func (p *Preview) policy(ctx context.Context, api IAM, arn string) error {
	out, err := api.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String(arn)})
	if err != nil {
		return fmt.Errorf("policy %s: %w", arn, err)
	}
	version, err := api.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: aws.String(arn), VersionId: out.Policy.DefaultVersionId})
	if err != nil {
		return fmt.Errorf("policy %s: %w", arn, err)
	}
	document, err := url.QueryUnescape(aws.ToString(version.PolicyVersion.Document))
	if err != nil {
		return fmt.Errorf("policy %s: %w", arn, err)
	}
	return p.add("aws:iam/policy:Policy", "not of the stack: "+aws.ToString(out.Policy.PolicyName), arn,
		map[string]any{"arn": arn, "name": aws.ToString(out.Policy.PolicyName), "policy": document})
}
