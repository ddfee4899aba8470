package k3s

import (
	"slices"

	"k3s-aws-auth/components/names"
	"k3s-aws-auth/components/rules"
)

// Where the boot script puts the credential provider, and its configuration is:
// K3s's own defaults (pkg/cli/cmds/agent.go). Agents name them all the same, in
// K3s's own flags, which K3s gives its kubelet as image-credential-provider-bin-dir
// and image-credential-provider-config.
const (
	providerDir    = "/var/lib/rancher/credentialprovider/bin"
	providerConfig = "/var/lib/rancher/credentialprovider/config.yaml"
)

// credentialProviders is a CredentialProviderConfig of kubelet.config.k8s.io/v1, as
// far as it is used.
type credentialProviders struct {
	APIVersion string               `yaml:"apiVersion"`
	Kind       string               `yaml:"kind"`
	Providers  []credentialProvider `yaml:"providers"`
}

type credentialProvider struct {
	Name                 string           `yaml:"name"`
	APIVersion           string           `yaml:"apiVersion"`
	MatchImages          []string         `yaml:"matchImages"`
	DefaultCacheDuration string           `yaml:"defaultCacheDuration"`
	TokenAttributes      *tokenAttributes `yaml:"tokenAttributes,omitempty"`
	Env                  []envVar         `yaml:"env,omitempty"`
}

type tokenAttributes struct {
	ServiceAccountTokenAudience          string   `yaml:"serviceAccountTokenAudience"`
	CacheType                            string   `yaml:"cacheType"`
	RequireServiceAccount                bool     `yaml:"requireServiceAccount"`
	RequiredServiceAccountAnnotationKeys []string `yaml:"requiredServiceAccountAnnotationKeys"`
}

type envVar struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// providers is the configuration of the agents' credential provider. Whole
// registries are matched, so that a further repository changes no machine.
func (pulls *ImagePulls) providers(p place) credentialProviders {
	provider := credentialProvider{
		Name:       "ecr-credential-provider",
		APIVersion: "credentialprovider.kubelet.k8s.io/v1",
		// The provider says itself how long its answers are good: half of a token's
		// twelve hours. This counts where it says nothing, and then keeps nothing.
		DefaultCacheDuration: "0s",
	}
	for _, arn := range pulls.Repositories {
		provider.MatchImages = append(provider.MatchImages, rules.Registry(arn, p.dnsSuffix))
	}
	slices.Sort(provider.MatchImages)
	provider.MatchImages = slices.Compact(provider.MatchImages)
	if pulls.ByPods {
		provider.TokenAttributes = &tokenAttributes{
			ServiceAccountTokenAudience: names.PullAudience,
			// What it answers depends on the ServiceAccount alone, whichever pod asks.
			CacheType: "ServiceAccount",
			// The provider falls back to the machine's own role for a pod without the
			// annotation: kubelets do not call it for one.
			RequireServiceAccount:                true,
			RequiredServiceAccountAnnotationKeys: []string{names.PullRoleAnnotation},
		}
		// Nor does it for an annotation that is empty.
		provider.Env = []envVar{{"AWS_EC2_METADATA_DISABLED", "true"}}
	}
	return credentialProviders{APIVersion: "kubelet.config.k8s.io/v1", Kind: "CredentialProviderConfig", Providers: []credentialProvider{provider}}
}

// nodeRepositories are those that the agents' role may pull from.
func (args *ClusterArgs) nodeRepositories() []string {
	if args.ImagePulls == nil || args.ImagePulls.ByPods {
		return nil
	}
	return args.ImagePulls.Repositories
}
