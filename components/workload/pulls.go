package workload

import (
	"errors"
	"fmt"

	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	rbacv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/rbac/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/names"
	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/rules"
)

// PullTokensType is the type token of [PullTokens].
const PullTokensType = "k3s-aws-auth:workload:PullTokens" //nolint:gosec // a type, not a token

// PullTokensArgs says for which ServiceAccounts kubelets may ask for tokens to pull
// images by.
type PullTokensArgs struct {
	// Name is that of the ClusterRole and of its binding.
	Name string
	// ServiceAccounts are their names, in whatever namespace.
	ServiceAccounts []string
}

// PullTokens lets kubelets ask for the tokens by which images are pulled.
type PullTokens struct {
	pulumi.ResourceState
}

// NewPullTokens makes a ClusterRole for all nodes. A kubelet asks for tokens of pods
// on its own node alone, and since Kubernetes 1.33 only for audiences that the pod
// mounts a token of, or that a role allows by this verb
// (ServiceAccountNodeAudienceRestriction, KEP-4412: the audience is the rule's
// resource, the ServiceAccount its resource name; plugin/pkg/admission/noderestriction).
func NewPullTokens(ctx *pulumi.Context, name string, args *PullTokensArgs, opts ...pulumi.ResourceOption) (*PullTokens, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("PullTokens %q: %w", name, err)
	}
	component := &PullTokens{}
	if err := ctx.RegisterComponentResource(PullTokensType, name, component, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", PullTokensType, name, err)
	}
	metadata := metav1.ObjectMetaArgs{Name: pulumi.String(args.Name), Labels: pulumi.StringMap{PartOfLabel: pulumi.String(PartOf)}}
	role, err := rbacv1.NewClusterRole(ctx, name+"-role", &rbacv1.ClusterRoleArgs{
		Metadata: metadata,
		Rules: rbacv1.PolicyRuleArray{rbacv1.PolicyRuleArgs{
			ApiGroups:     pulumi.ToStringArray([]string{""}),
			Resources:     pulumi.ToStringArray([]string{names.PullAudience}),
			ResourceNames: pulumi.ToStringArray(args.ServiceAccounts),
			Verbs:         pulumi.ToStringArray([]string{"request-serviceaccounts-token-audience"}),
		}},
	}, pulumi.Parent(component))
	if err != nil {
		return nil, fmt.Errorf("%s %q: role: %w", PullTokensType, name, err)
	}
	_, err = rbacv1.NewClusterRoleBinding(ctx, name+"-binding", &rbacv1.ClusterRoleBindingArgs{
		Metadata: metadata,
		RoleRef: rbacv1.RoleRefArgs{
			ApiGroup: pulumi.String("rbac.authorization.k8s.io"), Kind: pulumi.String("ClusterRole"), Name: pulumi.String(args.Name),
		},
		Subjects: rbacv1.SubjectArray{rbacv1.SubjectArgs{
			ApiGroup: pulumi.String("rbac.authorization.k8s.io"), Kind: pulumi.String("Group"), Name: pulumi.String("system:nodes"),
		}},
	}, pulumi.Parent(component), pulumi.DependsOn([]pulumi.Resource{role}))
	if err != nil {
		return nil, fmt.Errorf("%s %q: binding: %w", PullTokensType, name, err)
	}
	if err := outputs.Register(ctx, component); err != nil {
		return nil, fmt.Errorf("%s %q: %w", PullTokensType, name, err)
	}
	return component, nil
}

func (args *PullTokensArgs) validate() error {
	if args == nil {
		return errors.New("args are missing")
	}
	errs := []error{rules.Fault("Name", args.Name, rules.Subdomain(args.Name))}
	if len(args.ServiceAccounts) == 0 {
		errs = append(errs, errors.New("ServiceAccounts are missing: without names the role would be for all of them"))
	}
	for i, account := range args.ServiceAccounts {
		errs = append(errs, rules.Fault(fmt.Sprintf("ServiceAccounts[%d]", i), account, rules.Subdomain(account)))
	}
	return errors.Join(errs...)
}
