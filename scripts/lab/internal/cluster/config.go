// Package cluster plays K3s in the lab: from the config.yaml and the files that a node was given it starts the
// upstream control plane with the arguments that K3s would give it, and admits agents by their token. It knows nothing
// of the program that made those files.
package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Config is what the lab understands of K3s's config.yaml
// (https://docs.k3s.io/installation/configuration#configuration-file). Any other key is an error.
type Config struct {
	Server                string     `json:"server"`
	Token                 string     `json:"token"`
	TokenFile             string     `json:"token-file"`
	AgentToken            string     `json:"agent-token"`
	AgentTokenFile        string     `json:"agent-token-file"`
	DataDir               string     `json:"data-dir"`
	ClusterInit           bool       `json:"cluster-init"`
	TLSSAN                stringList `json:"tls-san"`
	NodeName              string     `json:"node-name"`
	NodeIP                stringList `json:"node-ip"`
	NodeExternalIP        stringList `json:"node-external-ip"`
	NodeLabel             stringList `json:"node-label"`
	NodeTaint             stringList `json:"node-taint"`
	ClusterCIDR           string     `json:"cluster-cidr"`
	ServiceCIDR           string     `json:"service-cidr"`
	Disable               stringList `json:"disable"`
	DisableCloud          bool       `json:"disable-cloud-controller"`
	WriteKubeconfigMode   string     `json:"write-kubeconfig-mode"`
	SecretsEncryption     bool       `json:"secrets-encryption"`
	ProtectKernelDefaults bool       `json:"protect-kernel-defaults"`
	FlannelBackend        string     `json:"flannel-backend"`
	KubeletArg            stringList `json:"kubelet-arg"`
	ProviderDir           string     `json:"image-credential-provider-bin-dir"`
	ProviderConfig        string     `json:"image-credential-provider-config"`
	APIServerArg          stringList `json:"kube-apiserver-arg"`
	ControllerManagerArg  stringList `json:"kube-controller-manager-arg"`
	SchedulerArg          stringList `json:"kube-scheduler-arg"`

	// The lab takes no scheduled snapshots of etcd.
	EtcdS3            bool   `json:"etcd-s3"`
	EtcdS3Bucket      string `json:"etcd-s3-bucket"`
	EtcdS3Endpoint    string `json:"etcd-s3-endpoint"`
	EtcdS3Folder      string `json:"etcd-s3-folder"`
	EtcdS3Region      string `json:"etcd-s3-region"`
	EtcdS3Retention   int    `json:"etcd-s3-retention"`
	SnapshotSchedule  string `json:"etcd-snapshot-schedule-cron"`
	SnapshotRetention int    `json:"etcd-snapshot-retention"`
}

// stringList reads a list, or one value where K3s accepts both.
type stringList []string

func (l *stringList) UnmarshalJSON(data []byte) error {
	var one string
	if yaml.Unmarshal(data, &one) == nil {
		*l = stringList{one}
		return nil
	}
	var many []string
	if err := yaml.Unmarshal(data, &many); err != nil {
		return err
	}
	*l = many
	return nil
}

// ReadConfig reads /etc/rancher/k3s/config.yaml below a node's root, and config.yaml.d/*.yaml over it: in the order of
// their names a key replaces the one before, and key+ adds to its list (k3s-io/k3s, pkg/configfilearg/parser.go).
func ReadConfig(root string) (*Config, error) {
	const main = "/etc/rancher/k3s/config.yaml"
	data, err := os.ReadFile(filepath.Join(root, main))
	if err != nil {
		return nil, err
	}
	merged := map[string]any{}
	if err := yaml.Unmarshal(data, &merged); err != nil {
		return nil, fmt.Errorf("%s: %w", main, err)
	}
	more, err := filepath.Glob(filepath.Join(root, main+".d", "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, path := range more {
		one := map[string]any{}
		data, err := os.ReadFile(path)
		if err == nil {
			err = yaml.Unmarshal(data, &one)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimPrefix(path, root), err)
		}
		for _, key := range slices.Sorted(maps.Keys(one)) {
			name, adds := strings.CutSuffix(key, "+")
			if !adds {
				merged[name] = one[key]
				continue
			}
			merged[name] = append(asList(merged[name]), asList(one[key])...)
		}
	}
	if data, err = yaml.Marshal(merged); err != nil {
		return nil, err
	}
	c := &Config{}
	if err := yaml.UnmarshalStrict(data, c); err != nil {
		return nil, fmt.Errorf("%s: %w", main, err)
	}
	c.DataDir = cmp.Or(c.DataDir, "/var/lib/rancher/k3s")
	c.ProviderDir = cmp.Or(c.ProviderDir, "/var/lib/rancher/credentialprovider/bin")
	c.ProviderConfig = cmp.Or(c.ProviderConfig, "/var/lib/rancher/credentialprovider/config.yaml")
	c.ServiceCIDR = cmp.Or(c.ServiceCIDR, "10.43.0.0/16")
	c.ClusterCIDR = cmp.Or(c.ClusterCIDR, "10.42.0.0/16")
	return c, nil
}

func asList(value any) []any {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{value}
}

// ProviderID is the providerID of a node: the kubelet's argument or, where it has none, the one that K3s's own cloud
// controller gives (pkg/cloudprovider/instances.go: InstanceMetadata).
func (c *Config) ProviderID(node string) string {
	id := "k3s://" + node
	for _, a := range c.KubeletArg {
		if value, ok := strings.CutPrefix(strings.TrimPrefix(a, "--"), "provider-id="); ok {
			id = value
		}
	}
	return id
}

// token returns the value of a token given in place or by file; where names the keys in the error.
func token(root, value, file, where string) (string, error) {
	if file != "" {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return "", fmt.Errorf("%s-file: %w", where, err)
		}
		value = strings.TrimSpace(string(data))
	}
	if value == "" {
		return "", fmt.Errorf("%s: K3s needs a token here and config.yaml has neither %s nor %s-file", where, where, where)
	}
	return value, nil
}

// renderArgs joins a component's defaults with the user's arguments as K3s does: `key=v` replaces the default and
// repeats keep their order, `key+=v` adds behind the default, `key-=v` before it. The result is sorted by key.
func renderArgs(defaults map[string]string, extra []string) ([]string, error) {
	values := map[string][]string{}
	for k, v := range defaults {
		values[k] = []string{v}
	}
	replaced := map[string]bool{}
	var errs []error
	for _, arg := range extra {
		key, value, ok := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !ok {
			value = "true"
		}
		name := strings.TrimRight(key, "+-")
		if name == "" {
			errs = append(errs, fmt.Errorf("argument %q has no name", arg))
			continue
		}
		switch {
		case strings.HasSuffix(key, "+"):
			values[name] = append(values[name], value)
		case strings.HasSuffix(key, "-"):
			values[name] = append([]string{value}, values[name]...)
		case replaced[name]:
			values[name] = append(values[name], value)
		default:
			values[name] = []string{value}
		}
		replaced[name] = true
	}
	var args []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, v := range values[name] {
			args = append(args, "--"+name+"="+v)
		}
	}
	return args, errors.Join(errs...)
}
