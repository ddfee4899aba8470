package stacks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/rules"
	"k3s-aws-auth/components/workload"
	"k3s-aws-auth/stacks/config"
)

// instanceProfile gives pods the role of the machine that they run on. A pod
// has no identity of its own there, so the permissions of all identities go to
// that one role.
var instanceProfile = setup{
	name: "instance-profile",
	facts: config.Facts{
		Presents: config.PresentsMetadata, Issuer: config.IssuerNone, OwnRoles: false, SourceIdentity: false, SessionName: config.SessionOfInstance,
	},
	check: func(cfg *config.Config, p *config.Problems) {
		if cfg.Existing() {
			p.Add("cluster.mode", config.ModeExisting, "create for setup instance-profile: pods use the role of their machine, "+
				"and the program gives no roles to the machines of an existing cluster")
		}
		refuseWithoutTokens(cfg, p)
		most := config.AgentPolicyRoom - cfg.NodePullCharacters()
		if n := cfg.PolicyCharacters(); n > most {
			p.Add("identities", fmt.Sprintf("policies of %d characters together", n),
				"at most %d characters for setup instance-profile, which gives all of them to one role", most)
		}
		if n := len(managedPolicyArns(cfg)); n > rules.MaxManagedPolicies {
			p.Add("identities", fmt.Sprintf("%d managed policies together", n),
				"at most %d for setup instance-profile, which gives all of them to one role", rules.MaxManagedPolicies)
		}
	},
	deploy: func(ctx *pulumi.Context, cfg *config.Config) error {
		acct, err := lookUpAccount(ctx, cfg)
		if err != nil {
			return err
		}
		bucket, err := newDemoBucket(ctx, cfg, acct)
		if err != nil {
			return err
		}
		policies, err := inlinePolicies(cfg, acct.site(bucket))
		if err != nil {
			return err
		}
		cluster, err := newCluster(ctx, cfg, identityPlane{
			podsUseNodeRole:       true,
			nodePolicies:          policies,
			nodeManagedPolicyArns: managedPolicyArns(cfg),
		})
		if err != nil {
			return err
		}
		kubernetes, err := newKubernetesSide(ctx, cfg, cluster, bucket, workload.InstanceProfileType)
		if err != nil {
			return err
		}
		for _, identity := range cfg.Identities {
			for _, who := range identity.Accounts() {
				if err := kubernetes.instanceProfile(identity, who); err != nil {
					return err
				}
			}
		}
		if err := newAlarms(ctx, cfg, acct, watched{}); err != nil {
			return err
		}
		warning := sharedRoleWarning(cfg)
		if err := ctx.Log.Warn(warning, nil); err != nil {
			return err
		}
		ctx.Export("warning", pulumi.String(warning))
		kubernetes.export()
		return nil
	},
}

// inlinePolicies returns each identity's permissions as JSON, by identity.
func inlinePolicies(cfg *config.Config, site config.Site) (map[string]pulumi.StringInput, error) {
	policies := map[string]pulumi.StringInput{}
	for _, identity := range cfg.Identities {
		statements, err := cfg.Permissions(identity, site)
		if err != nil {
			return nil, fmt.Errorf("permissions of identity %s: %w", identity.Name, err)
		}
		if len(statements) == 0 {
			continue
		}
		document, err := iampolicy.Permissions(statements)
		if err != nil {
			return nil, fmt.Errorf("permissions of identity %s: %w", identity.Name, err)
		}
		policies["identity-"+identity.Name] = pulumi.String(document)
	}
	return policies, nil
}

// managedPolicyArns returns the managed policies of all identities, each once.
func managedPolicyArns(cfg *config.Config) []string {
	var arns []string
	for _, identity := range cfg.Identities {
		arns = append(arns, identity.ManagedPolicyArns...)
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}

// sharedRoleWarning says what this setup cannot do.
func sharedRoleWarning(cfg *config.Config) string {
	var names []string
	for _, identity := range cfg.Identities {
		names = append(names, identity.Name)
	}
	return fmt.Sprintf("setup instance-profile: every pod on the agents of cluster %s has all permissions of all identities (%s), "+
		"whatever its namespace and service account, and AWS sees the machine, not the pod", cfg.ClusterName, strings.Join(names, ", "))
}
