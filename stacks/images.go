package stacks

import (
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/k3s"
	"k3s-aws-auth/components/workload"
	"k3s-aws-auth/stacks/config"
)

// imagePulls is what agents pull from private ECR repositories, or nil.
func imagePulls(cfg *config.Config) *k3s.ImagePulls {
	c := cfg.Cluster
	if c.ImagePulls == "" {
		return nil
	}
	pulls := &k3s.ImagePulls{
		ProviderURL: c.CredentialProvider.URL, ProviderSHA256: c.CredentialProvider.SHA256,
		Repositories: c.PullRepositories,
	}
	if c.ImagePulls == config.PullsByPod {
		pulls.Repositories, pulls.ByPods = cfg.PodRepositories(), true
	}
	return pulls
}

// newPullTokens lets kubelets ask for tokens of those identities whose pods are
// pulled with their own roles.
func newPullTokens(ctx *pulumi.Context, cfg *config.Config, cluster *cluster) error {
	var accounts []string
	for _, identity := range cfg.Identities {
		if len(identity.Pull) == 0 {
			continue
		}
		for _, account := range identity.Accounts() {
			accounts = append(accounts, account.Name)
		}
	}
	if len(accounts) == 0 {
		return nil
	}
	slices.Sort(accounts)
	_, err := workload.NewPullTokens(ctx, named(cfg, "pull-tokens"), &workload.PullTokensArgs{
		Name: named(cfg, "pull-tokens"), ServiceAccounts: slices.Compact(accounts),
	}, pulumi.Provider(cluster.provider))
	return err
}
