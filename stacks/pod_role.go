package stacks

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/podrole"
	"k3s-aws-auth/components/presets"
	"k3s-aws-auth/stacks/config"
)

// newPodRole makes an identity's role with the identity's permissions. Who may
// assume it is up to the setup.
func newPodRole(ctx *pulumi.Context, cfg *config.Config, identity config.Identity, site config.Site, trust pulumi.StringInput) (*podrole.PodRole, error) {
	statements, err := cfg.Permissions(identity, site)
	if err != nil {
		return nil, fmt.Errorf("permissions of identity %s: %w", identity.Name, err)
	}
	return podrole.NewPodRole(ctx, named(cfg, identity.Account().Key()), &podrole.PodRoleArgs{
		FormerName:          formerName(cfg, identity),
		Description:         describe(cfg, identity),
		Trust:               trust,
		Statements:          statements,
		ManagedPolicyArns:   identity.ManagedPolicyArns,
		MaxSessionSeconds:   identity.MaxSessionSeconds,
		PermissionsBoundary: cfg.PermissionsBoundary,
		Tags:                cfg.ResourceTags(),
	}, formerly(cfg, identity, identity.Account()))
}

// describe says of a role who has it, in at most 1000 characters, IAM's limit.
func describe(cfg *config.Config, identity config.Identity) string {
	own := identity.Account()
	text := fmt.Sprintf("Pods of cluster %s with service account %s/%s", cfg.ClusterName, own.Namespace, own.Name)
	switch n := len(identity.ServiceAccounts); n {
	case 0:
	case 1:
		text += " or one other"
	default:
		text += fmt.Sprintf(" or one of %d others", n)
	}
	return text
}

// refuseWithoutTokens adds identities whose preset works with tokens of service
// accounts alone, for setups that give pods none.
func refuseWithoutTokens(cfg *config.Config, p *config.Problems) {
	for i, identity := range cfg.Identities {
		if identity.Preset.Name == presets.SecretsStoreCSI {
			p.Add(fmt.Sprintf("identities[%d].preset.name", i), identity.Preset.Name,
				"another preset for setup %s: the provider exchanges a token of the pod's service account, as in irsa-s3 and irsa-cloudfront", cfg.Setup)
		}
	}
}
