package workload

import (
	"fmt"
	"slices"
	"strings"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/rules"
)

// NamespaceType is the type token of [Namespace].
const NamespaceType = "k3s-aws-auth:workload:Namespace"

// Pod Security levels of a namespace
// (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
const (
	LevelRestricted = "restricted"
	LevelBaseline   = "baseline"
	LevelPrivileged = "privileged"
)

// Levels returns the Pod Security levels, the strictest and default first.
func Levels() []string { return []string{LevelRestricted, LevelBaseline, LevelPrivileged} }

// Labels with which the API server reads a namespace's level.
const (
	EnforceLabel = "pod-security.kubernetes.io/enforce"
	WarnLabel    = "pod-security.kubernetes.io/warn"
	// OwnerLabel says which cluster's stack has made an object.
	OwnerLabel = "k3s-aws-auth/cluster"
)

// NamespaceArgs describes a namespace for pods of identities.
type NamespaceArgs struct {
	// Name is the namespace's name.
	Name string
	// Owner is the value of [OwnerLabel].
	Owner string
	// Level is the Pod Security level that is enforced; empty means
	// [LevelRestricted], which is also what is warned about at every level.
	Level string
	// Clear resolves once the name is known to be free, or the namespace to be the
	// stack's own. Nil does not wait.
	Clear pulumi.StringInput
	// FormerURNs are those that the namespace had.
	FormerURNs []pulumi.URN
}

// Namespace is a namespace that has no owner among the identities in it.
type Namespace struct {
	pulumi.ResourceState

	// Resource is the namespace itself, which everything in it waits for.
	Resource pulumi.Resource
}

// NewNamespace makes a namespace. Pulumi never deletes it: whoever deletes a
// namespace deletes all that anybody has put into it since, and Pulumi can neither
// see that nor be told to look. It stays when the last identity of it is removed,
// and at `pulumi destroy`; a cluster that the program made takes it along, and
// elsewhere `kubectl delete namespace` does once it is empty.
func NewNamespace(ctx *pulumi.Context, name string, args *NamespaceArgs, opts ...pulumi.ResourceOption) (*Namespace, error) {
	if args == nil {
		return nil, fmt.Errorf("Namespace %q: args are missing", name)
	}
	level := args.Level
	if level == "" {
		level = LevelRestricted
	}
	if err := rules.Fault("name", args.Name, rules.Label(args.Name)); err != nil {
		return nil, fmt.Errorf("Namespace %q: %w", name, err)
	}
	if !slices.Contains(Levels(), level) {
		return nil, fmt.Errorf("Namespace %q: Level is %q, must be one of %s", name, level, strings.Join(Levels(), ", "))
	}
	namespace := &Namespace{}
	if err := ctx.RegisterComponentResource(NamespaceType, name, namespace, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", NamespaceType, name, err)
	}
	labels := pulumi.StringMap{
		EnforceLabel: pulumi.String(level),
		WarnLabel:    pulumi.String(LevelRestricted),
		PartOfLabel:  pulumi.String(PartOf),
	}
	if args.Owner != "" {
		labels[OwnerLabel] = pulumi.String(args.Owner)
	}
	physical := pulumi.String(args.Name).ToStringOutput()
	if args.Clear != nil {
		physical = once(args.Clear, args.Name)
	}
	var former []pulumi.Alias
	for _, urn := range args.FormerURNs {
		former = append(former, pulumi.Alias{URN: urn})
	}
	made, err := corev1.NewNamespace(ctx, name+"-namespace", &corev1.NamespaceArgs{
		Metadata: metav1.ObjectMetaArgs{Name: physical, Labels: labels},
	}, pulumi.Parent(namespace), pulumi.Aliases(former),
		// See above.
		pulumi.RetainOnDelete(true))
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", args.Name, err)
	}
	namespace.Resource = made
	if err := outputs.Register(ctx, namespace); err != nil {
		return nil, fmt.Errorf("%s %q: %w", NamespaceType, name, err)
	}
	return namespace, nil
}
