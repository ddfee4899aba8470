package stacks

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/existing"
	"k3s-aws-auth/components/k3s"
	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/components/oidcissuer"
	"k3s-aws-auth/components/pki"
	"k3s-aws-auth/stacks/config"
)

// signingKeys are the keys of ServiceAccount tokens.
type signingKeys struct {
	private []k3s.SigningKey   // none of an existing cluster
	public  pulumi.StringArray // PEM, by the keys' names
}

// newSigningKeys makes the keys of the tokens of an issuer, or finds out those of
// an existing cluster.
func newSigningKeys(ctx *pulumi.Context, cfg *config.Config, issuerURL string) (*signingKeys, error) {
	if cfg.Existing() {
		return existingKeys(ctx, cfg, issuerURL)
	}
	keys := &signingKeys{}
	for _, member := range keyset.Sorted(cfg.SigningKeySet()) {
		key, err := pki.NewServiceAccountKey(ctx, named(cfg, "signing-key-"+member.Name),
			// Without it no token of the cluster can be signed for the keys that
			// are published. One that is retiring is about to be removed.
			pulumi.Protect(cfg.Production && member.State != keyset.Retiring))
		if err != nil {
			return nil, err
		}
		keys.private = append(keys.private, k3s.SigningKey{Member: member, PrivateKeyPem: key.PrivateKeyPem})
		keys.public = append(keys.public, key.PublicKeyPem)
	}
	return keys, nil
}

// existingKeys are the public keys of the existing cluster: those that are given,
// or those that its API server shows. They are read while the graph is built, so
// that a run whose cluster shows none, or signs for another issuer, changes
// nothing at all.
func existingKeys(ctx *pulumi.Context, cfg *config.Config, issuerURL string) (*signingKeys, error) {
	access, err := existing.Parse(cfg.Cluster.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("cluster.kubeconfig: %w", err)
	}
	public := cfg.Cluster.PublicKeys
	given := len(public) > 0
	if !given {
		if public, err = access.PublicKeys(ctx.Context()); err != nil {
			return nil, fmt.Errorf("keys of the existing cluster: %w. Nothing was published. "+
				"cluster.publicKeys can give them instead", err)
		}
	}
	if _, err := oidcissuer.JWKS(public); err != nil {
		return nil, fmt.Errorf("keys of the existing cluster: %w", err)
	}
	if err := checkIssuer(ctx, access, issuerURL, given); err != nil {
		return nil, err
	}
	return &signingKeys{public: pulumi.ToStringArray(public)}, nil
}

// checkIssuer holds the issuer of the existing cluster's tokens against the one
// that is published. Where the cluster does not show it, it warns if the keys
// were given, as for a cluster that shows neither.
func checkIssuer(ctx *pulumi.Context, access *existing.Access, issuerURL string, keysGiven bool) error {
	found, err := access.Issuer(ctx.Context())
	switch {
	case err != nil && keysGiven:
		return ctx.Log.Warn(fmt.Sprintf("the issuer of the existing cluster could not be compared (%v): "+
			"it must be %s, by --service-account-issuer of every API server", err, issuerURL), nil)
	case err != nil:
		return fmt.Errorf("issuer of the existing cluster: %w", err)
	case found != issuerURL:
		return fmt.Errorf("the existing cluster's tokens have the issuer %s, and AWS would look for %s: give every API server "+
			"--service-account-issuer=%[2]s first and --service-account-issuer=%[1]s second, and run this again", found, issuerURL)
	}
	return nil
}
