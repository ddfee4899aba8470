package existing

import (
	"errors"
	"fmt"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/kubeclient"
	"k3s-aws-auth/components/outputs"
)

// Type is the component's type token. Changing it needs an alias.
const Type = "k3s-aws-auth:existing:Cluster"

// ClusterArgs are the inputs of [NewCluster].
type ClusterArgs struct {
	// Kubeconfig is what [Parse] accepts.
	Kubeconfig string
}

// Cluster is an existing cluster as a place for Kubernetes resources.
type Cluster struct {
	pulumi.ResourceState

	// Kubeconfig is the given one, secret.
	Kubeconfig pulumi.StringOutput `pulumi:"kubeconfig"`
	// Endpoint is the API's URL.
	Endpoint pulumi.StringOutput `pulumi:"endpoint"`
	// Provider makes Kubernetes resources in the cluster.
	Provider *kubernetes.Provider
}

// NewCluster makes the provider for a cluster's resources. It changes nothing in
// the cluster. It fails before registering anything if args is nil or its
// kubeconfig is not one that [Parse] accepts.
func NewCluster(ctx *pulumi.Context, name string, args *ClusterArgs, opts ...pulumi.ResourceOption) (*Cluster, error) {
	if args == nil {
		return nil, fmt.Errorf("existing cluster %s: %w", name, errors.New("args are nil"))
	}
	access, err := Parse(args.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("existing cluster %s: args.Kubeconfig: %w", name, err)
	}
	cluster := &Cluster{}
	if err := ctx.RegisterComponentResource(Type, name, cluster, opts...); err != nil {
		return nil, fmt.Errorf("existing cluster %s: %w", name, err)
	}
	cluster.Kubeconfig = pulumi.ToSecret(pulumi.String(args.Kubeconfig).ToStringOutput()).(pulumi.StringOutput)
	cluster.Endpoint = pulumi.String(access.Endpoint).ToStringOutput()
	cluster.Provider, err = kubernetes.NewProvider(ctx, name+"-kubernetes", kubeclient.ProviderArgs(cluster.Kubeconfig, name), pulumi.Parent(cluster))
	if err != nil {
		return nil, fmt.Errorf("existing cluster %s: kubernetes provider: %w", name, err)
	}
	err = outputs.Register(ctx, cluster)
	if err != nil {
		return nil, fmt.Errorf("existing cluster %s: %w", name, err)
	}
	return cluster, nil
}
