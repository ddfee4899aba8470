package stacks

import (
	"fmt"

	"github.com/pulumi/pulumi-tls/sdk/v5/go/tls"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/stacks/config"
)

// signingKeyIDs names the keys of ServiceAccount tokens, the one that signs
// first. Keys are named, not numbered by their place, so that one can be added,
// promoted and removed without touching the others.
var signingKeyIDs = []string{"1"}

// signingKeys are the keys of ServiceAccount tokens, the one that signs first.
type signingKeys struct {
	private pulumi.StringArray // secret, traditional RSA PEM
	public  pulumi.StringArray // PEM
}

// newSigningKeys makes RSA keys: STS verifies RS256, and it is what the API
// server signs with. 2048 bits keep tokens short, and are what EKS uses.
func newSigningKeys(ctx *pulumi.Context, cfg *config.Config) (*signingKeys, error) {
	keys := &signingKeys{}
	for _, id := range signingKeyIDs {
		key, err := tls.NewPrivateKey(ctx, named(cfg, "signing-key-"+id), &tls.PrivateKeyArgs{
			Algorithm: pulumi.String("RSA"),
			RsaBits:   pulumi.Int(2048),
		})
		if err != nil {
			return nil, fmt.Errorf("signing key %s of service account tokens: %w", id, err)
		}
		keys.private = append(keys.private, key.PrivateKeyPem)
		keys.public = append(keys.public, key.PublicKeyPem)
	}
	return keys, nil
}
