package kubeclient

import (
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// ProviderArgs are those of a provider of resources in the cluster of a kubeconfig.
// The identifier names the cluster, whatever way leads to it.
func ProviderArgs(kubeconfig pulumi.StringInput, identifier string) *kubernetes.ProviderArgs {
	return &kubernetes.ProviderArgs{
		Kubeconfig: kubeconfig.ToStringOutput(),
		// Without it, another endpoint (one server becomes three), or one that is not
		// known before a server is replaced, passes for another cluster, and everything
		// in this one is replaced.
		ClusterIdentifier: pulumi.String(identifier),
		// A Secret is changed in place: deleted and made again, it would be missing for
		// pods that start between the two.
		EnableSecretMutable: pulumi.Bool(true),
	}
}
