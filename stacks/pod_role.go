package stacks

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/podrole"
	"k3s-aws-auth/stacks/config"
)

// newPodRole makes an identity's role with the identity's permissions. Who may
// assume it is up to the setup.
func newPodRole(ctx *pulumi.Context, cfg *config.Config, identity config.Identity, bucket *demoBucket, trust pulumi.StringInput) (*podrole.PodRole, error) {
	return podrole.NewPodRole(ctx, named(cfg, identity.Name), &podrole.PodRoleArgs{
		Description:       fmt.Sprintf("Pods of cluster %s with service account %s/%s", cfg.ClusterName, identity.Namespace, identity.ServiceAccount),
		Trust:             trust,
		Statements:        identity.Policy(bucket.bucketArn()),
		ManagedPolicyArns: identity.ManagedPolicyArns,
		MaxSessionSeconds: identity.MaxSessionSeconds,
		Tags:              cfg.ResourceTags(),
	})
}
