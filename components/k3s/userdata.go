package k3s

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"gopkg.in/yaml.v3"
)

// bootScript is what a node runs at every boot.
//
//go:embed boot.sh
var bootScript string

// maxUserData is EC2's limit, in bytes before encoding.
const maxUserData = 16384

// Roles of a node.
const (
	serverRole = "server"
	agentRole  = "agent"
)

// controlPlaneTaint keeps workloads off servers: whoever runs there can read
// the keys that make identities.
const controlPlaneTaint = "node-role.kubernetes.io/control-plane=true:NoSchedule"

// serverConfig is K3s's config.yaml on a server. There is no node-external-ip:
// K3s would advertise it as the API's address inside the cluster, and pods and
// agents would leave the VPC to reach it, past the security groups' rules for
// nodes.
type serverConfig struct {
	// ClusterInit starts embedded etcd instead of SQLite also for one server:
	// it has scheduled snapshots, and more servers can join it later.
	ClusterInit    bool     `yaml:"cluster-init"`
	TokenFile      string   `yaml:"token-file"`
	AgentTokenFile string   `yaml:"agent-token-file"`
	TLSSAN         []string `yaml:"tls-san"`
	NodeTaint      []string `yaml:"node-taint"`
	Disable        []string `yaml:"disable"`
	// SecretsEncryption encrypts Secrets in etcd. It can be switched on without
	// further ado only before the first start.
	SecretsEncryption   bool     `yaml:"secrets-encryption"`
	WriteKubeconfigMode string   `yaml:"write-kubeconfig-mode"`
	KubeAPIServerArg    []string `yaml:"kube-apiserver-arg,omitempty"`
}

// agentConfig is K3s's config.yaml on an agent.
type agentConfig struct {
	Server    string `yaml:"server"`
	TokenFile string `yaml:"token-file"`
}

// newServerConfig is the configuration of a server that is reached by address.
// It fails for an issuer that no API server would take.
func newServerConfig(args *ClusterArgs, address string, issuers []string) (serverConfig, error) {
	flags := []string{}
	for i, issuer := range issuers {
		parsed, err := url.Parse(issuer)
		if err != nil || parsed.Scheme != "https" || parsed.Host == "" || parsed.RawQuery != "" || parsed.Fragment != "" ||
			strings.ContainsAny(issuer, " \t\r\n") {
			return serverConfig{}, fmt.Errorf("args.Issuers[%d]: is %q, must be an https URL without query", i, issuer)
		}
		// A plain key replaces K3s's default, and repeats keep their order: the
		// first signs. api-audiences stays K3s's own, since pods ask for their
		// audience by name.
		flags = append(flags, "service-account-issuer="+issuer)
	}
	if len(args.FeatureGates) > 0 {
		flags = append(flags, "feature-gates="+strings.Join(args.FeatureGates, ","))
	}
	if len(args.RuntimeConfig) > 0 {
		flags = append(flags, "runtime-config="+strings.Join(args.RuntimeConfig, ","))
	}
	return serverConfig{
		ClusterInit:         true,
		TokenFile:           tokenFile,
		AgentTokenFile:      agentTokenFile,
		TLSSAN:              []string{address},
		NodeTaint:           []string{controlPlaneTaint},
		Disable:             []string{"traefik", "servicelb"},
		SecretsEncryption:   true,
		WriteKubeconfigMode: "0600",
		KubeAPIServerArg:    flags,
	}, nil
}

// newAgentConfig is the configuration of an agent that joins the server at a
// private address.
func newAgentConfig(serverAddress string) agentConfig {
	return agentConfig{
		Server:    fmt.Sprintf("https://%s:%d", serverAddress, apiPort),
		TokenFile: agentTokenFile,
	}
}

// cloudConfig is a #cloud-config as far as nodes need one.
type cloudConfig struct {
	WriteFiles []cloudFile `yaml:"write_files"`
	RunCmd     [][]string  `yaml:"runcmd"`
}

type cloudFile struct {
	Path        string `yaml:"path"`
	Permissions string `yaml:"permissions"`
	Content     string `yaml:"content"`
}

// userData renders a node's user data: K3s's configuration (a serverConfig or
// an agentConfig), what the boot script needs to know, which parameters it makes
// into which files, and the script. The same inputs give the same bytes.
//
// User data is readable by everything on the machine that reaches the metadata
// service, so it names secrets and never holds one.
func userData(role string, args *ClusterArgs, p place, config any, files []secretFile) (string, error) {
	configYAML, err := encodeYAML(config)
	if err != nil {
		return "", fmt.Errorf("config.yaml: %w", err)
	}
	var parameters strings.Builder
	for _, file := range files {
		fmt.Fprintf(&parameters, "%s/%s %s 0600\n", parameterRoot(args.ClusterName), file.key, file.path)
	}
	env := fmt.Sprintf("ROLE=%s\nK3S_VERSION=%s\nK3S_SHA256=%s\nREGION=%s\nDNS_SUFFIX=%s\n",
		role, args.Version, args.BinarySHA256, p.region, p.dnsSuffix)
	document, err := encodeYAML(cloudConfig{
		WriteFiles: []cloudFile{
			{"/etc/rancher/k3s/config.yaml", "0600", configYAML},
			{"/etc/k3s-aws-auth/boot.env", "0644", env},
			{"/etc/k3s-aws-auth/parameters", "0644", parameters.String()},
			{"/usr/local/sbin/k3s-boot", "0755", bootScript},
		},
		RunCmd: [][]string{{"/usr/local/sbin/k3s-boot"}},
	})
	if err != nil {
		return "", fmt.Errorf("cloud-config: %w", err)
	}
	document = "#cloud-config\n" + document
	if len(document) > maxUserData {
		return "", errors.New("user data of a " + role + " is larger than EC2 takes: give fewer Issuers, FeatureGates or RuntimeConfig")
	}
	return document, nil
}

func encodeYAML(value any) (string, error) {
	var buffer bytes.Buffer
	encoder := yaml.NewEncoder(&buffer)
	encoder.SetIndent(2)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	if err := encoder.Close(); err != nil {
		return "", err
	}
	return buffer.String(), nil
}
