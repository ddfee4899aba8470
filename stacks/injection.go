package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/injection"
	"k3s-aws-auth/stacks/config"
)

// newInjector makes what gives pods their identity, or returns nil where their
// manifests do.
func newInjector(ctx *pulumi.Context, cfg *config.Config, cluster *cluster) (*injection.Injector, error) {
	name := named(cfg, "injection")
	if cfg.Injection == config.InjectionManifest {
		return nil, nil
	}
	adopting, err := cluster.adopting(ctx, cfg)
	if err != nil {
		return nil, err
	}
	switch cfg.Injection {
	case config.InjectionAdmissionPolicy:
		return injection.NewAdmissionPolicy(ctx, name, &injection.AdmissionPolicyArgs{
			Name:       named(cfg, "pod-identity"),
			Region:     cfg.Region,
			Kubeconfig: cluster.kubeconfig,
		}, pulumi.Provider(adopting))
	case config.InjectionWebhook:
		var tolerations []injection.Toleration
		for _, t := range cfg.Webhook.Tolerations {
			tolerations = append(tolerations, injection.Toleration(t))
		}
		return injection.NewWebhook(ctx, name, &injection.WebhookArgs{
			Name:         named(cfg, "pod-identity"),
			Namespace:    cfg.Webhook.Namespace,
			Image:        cfg.Webhook.Image,
			Replicas:     cfg.Webhook.Replicas,
			NodeSelector: cfg.Webhook.NodeSelector,
			Tolerations:  tolerations,
			Region:       cfg.Region,
			Kubeconfig:   cluster.kubeconfig,

			NamespaceProvider: adopting,
			Owner:             cfg.ClusterName,
		}, pulumi.Provider(cluster.provider))
	}
	return nil, nil
}
