package k3s

import (
	"bytes"
	_ "embed" // for the boot script
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"k3s-aws-auth/components/keyset"
)

// bootScript is what a node runs at every boot: boot.sh without the lines that are
// only a comment, compressed as cloud-init unpacks it: user data is limited. The
// compressed form is kept, not made: another release of a compressor would be
// another user data, and restart every machine. The package's tests hold it
// against boot.sh, and write it with -update.
//
//go:embed boot.sh.gz
var bootScript []byte

// maxUserData is EC2's limit, in bytes before encoding.
const maxUserData = 16384

// Roles of a node.
const (
	serverRole = "server"
	agentRole  = "agent"
)

// serverLabel has the number of a server among several.
const serverLabel = "k3s-aws-auth/server"

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
	ClusterInit bool `yaml:"cluster-init,omitempty"`
	// Server is where a server joins that does not start etcd: it counts until
	// the server has a datastore of its own.
	Server         string   `yaml:"server,omitempty"`
	TokenFile      string   `yaml:"token-file"`
	AgentTokenFile string   `yaml:"agent-token-file"`
	TLSSAN         []string `yaml:"tls-san"`
	NodeLabel      []string `yaml:"node-label,omitempty"`
	NodeTaint      []string `yaml:"node-taint"`
	Disable        []string `yaml:"disable"`
	// SecretsEncryption encrypts Secrets in etcd. It can be switched on without
	// further ado only before the first start.
	SecretsEncryption   bool     `yaml:"secrets-encryption"`
	WriteKubeconfigMode string   `yaml:"write-kubeconfig-mode"`
	KubeAPIServerArg    []string `yaml:"kube-apiserver-arg,omitempty"`
	// ControllerManagerArg has the key that the controller manager signs with.
	ControllerManagerArg []string `yaml:"kube-controller-manager-arg"`

	snapshotConfig `yaml:",inline"`
}

// authenticationFile lets anybody ask a server whether it is ready, and nothing
// else: a load balancer has no credentials, and without this every question is
// answered 401, before the server looks at its etcd. K3s leaves its own flag
// anonymous-auth out where there is such a file.
const authenticationFile = "/etc/rancher/k3s/authentication.yaml"

const (
	// anonymousMinor is the first minor version in which anonymous requests can be
	// allowed for single paths without a feature gate, stableMinor that whose
	// kind is stable (KEP-4633, KEP-3331).
	anonymousMinor, stableMinor = 32, 34
)

// authentication is the content of authenticationFile; empty for versions that
// do not know it.
func authentication(version string) string {
	api := "v1"
	switch {
	case minor(version) < anonymousMinor:
		return ""
	case minor(version) < stableMinor:
		api = "v1beta1"
	}
	return "apiVersion: apiserver.config.k8s.io/" + api + `
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
    - path: /readyz
`
}

// readyMatcher is what a load balancer takes for ready.
func readyMatcher(version string) string {
	if authentication(version) == "" {
		return "200,401"
	}
	return "200"
}

// snapshotConfig sends etcd's snapshots to a bucket. Without keys in it K3s uses
// the machine's role.
type snapshotConfig struct {
	EtcdS3         bool   `yaml:"etcd-s3,omitempty"`
	EtcdS3Bucket   string `yaml:"etcd-s3-bucket,omitempty"`
	EtcdS3Endpoint string `yaml:"etcd-s3-endpoint,omitempty"`
	EtcdS3Folder   string `yaml:"etcd-s3-folder,omitempty"`
	EtcdS3Region   string `yaml:"etcd-s3-region,omitempty"`
	Schedule       string `yaml:"etcd-snapshot-schedule-cron,omitempty"`
	Retention      int    `yaml:"etcd-snapshot-retention,omitempty"`
	S3Retention    int    `yaml:"etcd-s3-retention,omitempty"`
}

// newSnapshotConfig is empty where no bucket is given: K3s then keeps its own
// schedule of snapshots on disk.
func newSnapshotConfig(args *ClusterArgs, p place) snapshotConfig {
	snapshots := args.EtcdSnapshots
	if snapshots == nil {
		return snapshotConfig{}
	}
	config := snapshotConfig{
		EtcdS3:         true,
		EtcdS3Bucket:   snapshots.Bucket,
		EtcdS3Endpoint: fmt.Sprintf("s3.%s.%s", p.region, p.dnsSuffix),
		// K3s lists what begins with it: without the slash also what is in the
		// folder of a cluster whose name begins alike.
		EtcdS3Folder: args.ClusterName + "/",
		EtcdS3Region: p.region,
		Schedule:     snapshots.Schedule,
		Retention:    snapshots.Retention,
	}
	// Its own count for the bucket came with 1.34; K3s does not start with a flag
	// that it does not know, and before that one count was for both.
	if minor(args.Version) >= 34 {
		config.S3Retention = snapshots.Retention
	}
	return config
}

// minor is the minor version of a K3s release that validate has accepted.
func minor(version string) int {
	number, _ := strconv.Atoi(strings.Split(version, ".")[1])
	return number
}

// member is what one server is among several: its number, and the URL of the
// load balancer that nodes join by. Its zero value is the only server.
type member struct {
	number int
	join   string
}

// agentConfig is K3s's config.yaml on an agent.
type agentConfig struct {
	Server         string `yaml:"server"`
	TokenFile      string `yaml:"token-file"`
	ProviderDir    string `yaml:"image-credential-provider-bin-dir,omitempty"`
	ProviderConfig string `yaml:"image-credential-provider-config,omitempty"`
}

// newServerConfig is the configuration of a server that is reached by the given
// names and addresses. It fails for an issuer that no API server would take.
func newServerConfig(args *ClusterArgs, p place, m member, keys []keyset.Member, reachedBy, issuers []string) (serverConfig, error) {
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
	signing, controllerManager := signingFlags(keys)
	flags = append(flags, signing...)
	if authentication(args.Version) != "" {
		flags = append(flags, "authentication-config="+authenticationFile)
	}
	if len(args.FeatureGates) > 0 {
		flags = append(flags, "feature-gates="+strings.Join(args.FeatureGates, ","))
	}
	if len(args.RuntimeConfig) > 0 {
		flags = append(flags, "runtime-config="+strings.Join(args.RuntimeConfig, ","))
	}
	config := serverConfig{
		ClusterInit:          true,
		TokenFile:            tokenFile,
		AgentTokenFile:       agentTokenFile,
		TLSSAN:               reachedBy,
		NodeTaint:            []string{controlPlaneTaint},
		Disable:              []string{"traefik", "servicelb"},
		SecretsEncryption:    true,
		WriteKubeconfigMode:  "0600",
		KubeAPIServerArg:     flags,
		ControllerManagerArg: controllerManager,
		snapshotConfig:       newSnapshotConfig(args, p),
	}
	if args.Servers > 1 {
		// By this label a server finds the machine that it takes the place of.
		config.NodeLabel = []string{fmt.Sprintf("%s=%d", serverLabel, m.number)}
	}
	if m.number > 0 {
		config.ClusterInit, config.Server = false, m.join
	}
	return config, nil
}

// newAgentConfig is the configuration of an agent that joins at a URL. Once it
// has, K3s tells it all servers, and it goes to them directly.
func newAgentConfig(args *ClusterArgs, join string) agentConfig {
	config := agentConfig{Server: join, TokenFile: agentTokenFile}
	if args.ImagePulls != nil {
		config.ProviderDir, config.ProviderConfig = providerDir, providerConfig
	}
	return config
}

// apiURL is the API's URL at a host.
func apiURL(host string) string { return fmt.Sprintf("https://%s:%d", host, apiPort) }

// cloudConfig is a #cloud-config as far as nodes need one.
type cloudConfig struct {
	WriteFiles []cloudFile `yaml:"write_files"`
	RunCmd     [][]string  `yaml:"runcmd"`
}

type cloudFile struct {
	Path        string `yaml:"path"`
	Permissions string `yaml:"permissions"`
	// Encoding is cloud-init's name of how Content is written; empty is as it is.
	Encoding string `yaml:"encoding,omitempty"`
	Content  string `yaml:"content"`
}

// userData renders a node's user data: K3s's configuration (a serverConfig or
// an agentConfig), what the boot script needs to know, which parameters it makes
// into which files, and the script. The same inputs give the same bytes.
//
// User data is readable by everything on the machine that reaches the metadata
// service, so it names secrets and never holds one.
func userData(role string, args *ClusterArgs, p place, m member, config any, files []secretFile) (string, error) {
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
	if role == serverRole && args.Servers > 1 {
		env += fmt.Sprintf("SERVER=%d\nJOIN=%s\n", m.number, m.join)
		if m.number == 0 {
			env += "FOUNDER=" + founderParameter(args.ClusterName) + "\n"
		}
	}
	pulls := args.ImagePulls
	if role != agentRole {
		pulls = nil // servers take no workloads
	}
	if pulls != nil {
		env += fmt.Sprintf("PROVIDER_URL=%s\nPROVIDER_SHA256=%s\n", pulls.ProviderURL, pulls.ProviderSHA256)
	}
	written := []cloudFile{
		{Path: "/etc/rancher/k3s/config.yaml", Permissions: "0600", Content: configYAML},
		{Path: "/etc/k3s-aws-auth/boot.env", Permissions: "0644", Content: env},
		{Path: "/etc/k3s-aws-auth/parameters", Permissions: "0644", Content: parameters.String()},
		{Path: "/usr/local/sbin/k3s-boot", Permissions: "0755", Encoding: "gz+b64", Content: base64.StdEncoding.EncodeToString(bootScript)},
	}
	if content := authentication(args.Version); role == serverRole && content != "" {
		written = append(written, cloudFile{Path: authenticationFile, Permissions: "0644", Content: content})
	}
	if pulls != nil {
		content, err := encodeYAML(pulls.providers(p))
		if err != nil {
			return "", fmt.Errorf("credential providers: %w", err)
		}
		written = append(written, cloudFile{Path: providerConfig, Permissions: "0644", Content: content})
	}
	document, err := encodeYAML(cloudConfig{
		WriteFiles: written,
		RunCmd:     [][]string{{"/usr/local/sbin/k3s-boot"}},
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
