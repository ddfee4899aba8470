package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/stacks/config"
)

// Logical names say what a resource is, never where it stands in a list: what an
// identity has is named after its namespace and ServiceAccount, a namespace after
// itself. So identities can be added, moved, renamed and removed, and nothing of
// the others changes.

// named is the logical name of a part of the cluster. Physical names begin with
// it, so that an AWS account shows which cluster a resource belongs to.
func named(cfg *config.Config, part string) string { return cfg.ClusterName + "-" + part }

// formerName is how releases before 0.2 named what an identity has: after the
// identity's name in the list.
func formerName(cfg *config.Config, identity config.Identity) string {
	return named(cfg, identity.Name)
}

// formerly carries a component of an identity's own service account over from such
// a release. Children whose names begin with their component's come along.
func formerly(cfg *config.Config, identity config.Identity, who config.Account, suffix ...string) pulumi.ResourceOption {
	if who != identity.Account() {
		return pulumi.Aliases(nil)
	}
	name := formerName(cfg, identity)
	for _, s := range suffix {
		name += s
	}
	return pulumi.Aliases([]pulumi.Alias{{Name: pulumi.String(name)}})
}
