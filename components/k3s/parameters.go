package k3s

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ssm"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Where nodes keep their tokens. K3s keeps copies of its own under its data
// directory; these are the ones that config.yaml names.
const (
	tokenFile      = "/etc/rancher/k3s/token"       //nolint:gosec // a path
	agentTokenFile = "/etc/rancher/k3s/agent-token" //nolint:gosec // a path
	tlsDirectory   = "/var/lib/rancher/k3s/server/tls/"
)

// standardTier is that of a parameter that is free and holds 4 KB.
const standardTier = "Standard"

// parameterRoot is the path of all of a cluster's parameters.
func parameterRoot(clusterName string) string { return "/k3s-aws-auth/" + clusterName }

// secretFile is a secret on its way from the graph to a node's disk: an SSM
// parameter, and the file that the boot script makes of it.
type secretFile struct {
	// key is the parameter's path below the cluster's root. Its first element,
	// server or agent, says which roles may read it.
	key   string
	path  string
	value pulumi.StringOutput
}

// serverSecrets and agentSecrets are what each role fetches at boot, in order.
// Servers need the agents' token too: they verify it.
func serverSecrets(p *keyring, t *tokens) []secretFile {
	files := []secretFile{}
	for _, ca := range []struct {
		name string
		authority
	}{
		{"server-ca", p.server},
		{"client-ca", p.client},
		{"request-header-ca", p.requestHeader},
		{"etcd/peer-ca", p.etcdPeer},
		{"etcd/server-ca", p.etcdServer},
	} {
		files = append(files,
			secretFile{"server/" + ca.name + ".crt", tlsDirectory + ca.name + ".crt", ca.bundlePEM},
			secretFile{"server/" + ca.name + ".key", tlsDirectory + ca.name + ".key", ca.keyPEM})
	}
	files = append(files, signingSecrets(p.signing)...)
	files = append(files, secretFile{"server/token", tokenFile, t.server})
	return append(files, agentSecrets(t)...)
}

func agentSecrets(t *tokens) []secretFile {
	return []secretFile{{"agent/token", agentTokenFile, t.agent}}
}

// founderParameter is the name of the parameter that says which machine started
// a cluster of several servers.
func founderParameter(clusterName string) string {
	return parameterRoot(clusterName) + "/server/founder"
}

// newFounder makes the parameter in which the first machine that boots as server
// 0 leaves its instance id. Whoever finds another id there joins. Without it, a
// machine that replaces server 0 would have an empty disk and the order to start
// etcd, and start a second cluster with the keys of the first behind the same
// load balancer.
//
// A cluster of one server has none: a machine that replaces it can only start
// anew.
func newFounder(ctx *pulumi.Context, name string, args *ClusterArgs, parent pulumi.ResourceOption) ([]pulumi.Resource, error) {
	if args.Servers == 1 {
		return nil, nil
	}
	founder, err := ssm.NewParameter(ctx, name+"-founder", &ssm.ParameterArgs{
		Name:        pulumi.String(founderParameter(args.ClusterName)),
		Type:        pulumi.String("String"),
		Value:       pulumi.String("none"),
		Tier:        pulumi.String(standardTier),
		Description: pulumi.Sprintf("K3s cluster %s: the instance that started it; set to none to start it anew", args.ClusterName),
		Tags:        pulumi.ToStringMap(args.Tags),
		// What the machine has written is not to be written over: neither by its
		// own value, nor with it, as SSM does when the description changes.
	}, parent, pulumi.IgnoreChanges([]string{"value", "description"}))
	if err != nil {
		return nil, fmt.Errorf("parameter of the founder: %w", err)
	}
	return []pulumi.Resource{founder}, nil
}

// newParameters stores the secrets as SecureStrings under the account's default
// key (aws/ssm). Its key policy lets everybody of the account decrypt through
// SSM, so what guards a value is ssm:GetParameter, and roles need no kms:Decrypt.
func newParameters(ctx *pulumi.Context, name string, args *ClusterArgs, files []secretFile, parent pulumi.ResourceOption) ([]pulumi.Resource, error) {
	parameters := make([]pulumi.Resource, 0, len(files))
	for _, file := range files {
		parameter, err := ssm.NewParameter(ctx, name+"-"+strings.ReplaceAll(file.key, "/", "-"), &ssm.ParameterArgs{
			Name:        pulumi.Sprintf("%s/%s", parameterRoot(args.ClusterName), file.key),
			Type:        pulumi.String("SecureString"),
			Value:       file.value,
			Tier:        pulumi.String(standardTier),
			Description: pulumi.Sprintf("K3s cluster %s: %s on its nodes", args.ClusterName, file.path),
			Tags:        pulumi.ToStringMap(args.Tags),
		}, parent)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", file.key, err)
		}
		parameters = append(parameters, parameter)
	}
	return parameters, nil
}
