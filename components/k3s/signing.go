package k3s

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/keyset"
	"k3s-aws-auth/components/pki"
)

// The ServiceAccount keys are files of this program's own, which flags of the API
// server and of the controller manager name. In K3s's own place,
// server/tls/service.key, they would be part of its bootstrap data: a server whose
// files differ from those of the datastore does not start, and one that joins takes
// the datastore's (K3s pkg/cluster/bootstrap.go), so that no key could follow from
// the configuration. K3s still makes a key of its own there, which nothing uses.

// signingDirectory is where servers have the keys. The boot script keeps in it
// exactly what is listed.
const signingDirectory = "/etc/rancher/k3s/service-account"

// members are the keys as a set.
func members(keys []SigningKey) []keyset.Member {
	list := make([]keyset.Member, len(keys))
	for i, key := range keys {
		list[i] = key.Member
	}
	return list
}

// newSigningKeys returns the given keys, checked, or one that is made.
func newSigningKeys(ctx *pulumi.Context, name string, given []SigningKey, options ...pulumi.ResourceOption) ([]SigningKey, error) {
	if given == nil {
		key, err := pki.NewServiceAccountKey(ctx, name+"-service-key", options...)
		if err != nil {
			return nil, err
		}
		return []SigningKey{{Member: keyset.Default()[0], PrivateKeyPem: key.PrivateKeyPem}}, nil
	}
	keys := make([]SigningKey, len(given))
	for i, key := range given {
		checked := key.PrivateKeyPem.ToStringOutput().ApplyT(func(text string) (string, error) {
			return signingKeyFile(i, text)
		}).(pulumi.StringOutput)
		keys[i] = SigningKey{Member: key.Member, PrivateKeyPem: pulumi.ToSecret(checked).(pulumi.StringOutput)}
	}
	return keys, nil
}

// signingKeyFile returns key number i as a file. Kubernetes reads other forms too;
// one form is enough. The errors never quote a key.
func signingKeyFile(i int, text string) (string, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "RSA PRIVATE KEY" || strings.TrimSpace(string(rest)) != "" {
		return "", fmt.Errorf("args.SigningKeys[%d].PrivateKeyPem: must be one PEM block of type RSA PRIVATE KEY", i)
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
		return "", fmt.Errorf("args.SigningKeys[%d].PrivateKeyPem: must be an RSA private key in PKCS #1 form", i)
	}
	return string(pem.EncodeToMemory(block)), nil
}

// signingFile is where servers have a key.
func signingFile(key keyset.Member) string { return signingDirectory + "/" + key.Name + ".key" }

// signingParameter is where a key is on its way to the servers. The key of
// clusters that list none has the parameter that it always had.
func signingParameter(key keyset.Member) string {
	if key.Name == keyset.DefaultName {
		return "server/service.key"
	}
	return "server/service-account/" + key.Name + ".key"
}

// signingSecrets are the keys on their way to the servers.
func signingSecrets(keys []SigningKey) []secretFile {
	var files []secretFile
	for _, key := range keys {
		files = append(files, secretFile{signingParameter(key.Member), signingFile(key.Member), key.PrivateKeyPem.ToStringOutput()})
	}
	return files
}

// signingFlags are the flags of the API server and of the controller manager by
// which the active key signs and all verify. A plain flag takes the place of
// K3s's own (GetArgs in K3s's pkg/daemons/config/types.go), and key files may
// repeat. They are sorted by name, so that who is active shows in one flag alone.
func signingFlags(keys []keyset.Member) (apiServer, controllerManager []string) {
	active := signingFile(keyset.ActiveOf(keys))
	for _, key := range keyset.Sorted(keys) {
		apiServer = append(apiServer, "service-account-key-file="+signingFile(key))
	}
	// The controller manager signs the tokens of Secrets of the type
	// kubernetes.io/service-account-token.
	return append(apiServer, "service-account-signing-key-file="+active), []string{"service-account-private-key-file=" + active}
}
