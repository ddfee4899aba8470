package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/oidcissuer"
	"k3s-aws-auth/components/podrole"
	"k3s-aws-auth/stacks/config"
)

// issuer is a published OIDC issuer: its URL, plain, and an output of the same
// URL that resolves once its documents can be read.
type issuer struct {
	url   string
	ready pulumi.StringOutput
}

// deployIRSA does what follows once the issuers are published, wherever that
// is: a cluster that signs for them, their IAM providers, and a role for each
// identity, which only tokens of its service account can assume. The first
// issuer is the one that signs.
func deployIRSA(ctx *pulumi.Context, cfg *config.Config, acct *account, keys *signingKeys, issuers []issuer) error {
	provider, err := newOIDCProvider(ctx, cfg, issuers)
	if err != nil {
		return err
	}
	var urls pulumi.StringArray
	for _, i := range issuers {
		urls = append(urls, pulumi.String(i.url))
	}
	cluster, err := newCluster(ctx, cfg, identityPlane{issuers: urls, signingKeys: keys.private})
	if err != nil {
		return err
	}
	bucket, err := newDemoBucket(ctx, cfg, acct)
	if err != nil {
		return err
	}
	kubernetes := newKubernetesSide(ctx, cfg, cluster, bucket)
	for _, identity := range cfg.Identities {
		role, err := newPodRole(ctx, cfg, identity, bucket, podrole.WebIdentityTrust(
			trusted(provider), oidcissuer.AudienceSTS, identity.Namespace, identity.ServiceAccount))
		if err != nil {
			return err
		}
		if err := kubernetes.webIdentity(identity, role); err != nil {
			return err
		}
	}
	ctx.Export("issuerUrl", pulumi.String(issuers[0].url))
	kubernetes.export()
	return nil
}

// newOIDCProvider registers the issuers with IAM, each once it can be read.
func newOIDCProvider(ctx *pulumi.Context, cfg *config.Config, issuers []issuer) (*oidcissuer.Provider, error) {
	args := &oidcissuer.ProviderArgs{Thumbprint: cfg.Issuer.Thumbprint, Tags: cfg.ResourceTags()}
	for _, i := range issuers {
		args.Issuers = append(args.Issuers, oidcissuer.Issuer{URL: i.url, Ready: i.ready})
	}
	return oidcissuer.NewProvider(ctx, named(cfg, "oidc"), args)
}

// trusted lists the issuers whose tokens roles accept: all that are registered.
func trusted(provider *oidcissuer.Provider) []podrole.WebIdentityIssuer {
	var issuers []podrole.WebIdentityIssuer
	for _, r := range provider.Issuers {
		issuers = append(issuers, podrole.WebIdentityIssuer{Arn: r.Arn, HostPath: r.IssuerHostPath})
	}
	return issuers
}
