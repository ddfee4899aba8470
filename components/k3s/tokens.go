package k3s

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/pki"
)

// tokens are what nodes join with. Both are secret.
type tokens struct {
	// server admits to the control plane and encrypts K3s's copy of the CA
	// keys; agent only admits an agent.
	server, agent pulumi.StringOutput
}

// newTokens derives both tokens from the randomness of a private key each,
// which serves no other purpose. They are in K3s's secure form, by which a node
// verifies the server before it shows the secret.
func newTokens(ctx *pulumi.Context, name string, p *keyring, keep, parent pulumi.ResourceOption) (*tokens, error) {
	// Without the servers' token no snapshot of etcd can be restored.
	serverSeed, err := pki.NewKey(ctx, name+"-server-token-key", parent, keep)
	if err != nil {
		return nil, err
	}
	agentSeed, err := pki.NewKey(ctx, name+"-agent-token-key", parent)
	if err != nil {
		return nil, err
	}
	secure := func(user string, seed pulumi.StringOutput) pulumi.StringOutput {
		return pulumi.All(p.serverRootPEM, seed).ApplyT(func(parts []any) (string, error) {
			return secureToken(parts[0].(string), user, parts[1].(string))
		}).(pulumi.StringOutput)
	}
	return &tokens{server: secure("server", serverSeed.PrivateKeyPem), agent: secure("node", agentSeed.PrivateKeyPem)}, nil
}

// secureToken is K10<hash>::<user>:<password>. The hash is the SHA-256 of the
// root's DER, which is what K3s computes of the bundle at /cacerts where it has
// more than one certificate (pkg/clientaccess, hashCA; of a single certificate
// it would hash the file's bytes). The password is the SHA-256 of the seed.
func secureToken(rootPEM, user, seed string) (string, error) {
	block, _ := pem.Decode([]byte(rootPEM))
	if block == nil {
		return "", errors.New("join token: the server root CA is not PEM")
	}
	hash := sha256.Sum256(block.Bytes)
	password := sha256.Sum256([]byte(seed))
	return "K10" + hex.EncodeToString(hash[:]) + "::" + user + ":" + hex.EncodeToString(password[:]), nil
}
