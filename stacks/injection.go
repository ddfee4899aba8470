package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/injection"
	"k3s-aws-auth/stacks/config"
)

// servesInjection adds what API servers need to inject identities to what a setup
// gives to its cluster.
func servesInjection(cfg *config.Config, plane identityPlane) identityPlane {
	if cfg.Injection == config.InjectionAdmissionPolicy {
		plane.featureGates, plane.runtimeConfig = injection.PolicyFeatureGates, injection.PolicyRuntimeConfig
	}
	return plane
}

// newInjector makes what gives pods their identity, or returns nil where their
// manifests do. certificates are for a policy; nil is for pods with tokens.
func newInjector(ctx *pulumi.Context, cfg *config.Config, cluster *cluster, certificates *injection.Parts) (*injection.Injector, error) {
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

			Certificates: certificates,
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
