package k3s

import (
	"encoding/base64"
	"fmt"

	"gopkg.in/yaml.v3"
)

// kubeconfig is the little of a kubeconfig that an admin with a client
// certificate needs.
type kubeconfig struct {
	APIVersion     string         `yaml:"apiVersion"`
	Kind           string         `yaml:"kind"`
	Clusters       []namedCluster `yaml:"clusters"`
	Users          []namedUser    `yaml:"users"`
	Contexts       []namedContext `yaml:"contexts"`
	CurrentContext string         `yaml:"current-context"`
}

type namedCluster struct {
	Name    string `yaml:"name"`
	Cluster struct {
		Server string `yaml:"server"`
		CAData string `yaml:"certificate-authority-data"`
	} `yaml:"cluster"`
}

type namedUser struct {
	Name string `yaml:"name"`
	User struct {
		CertData string `yaml:"client-certificate-data"`
		KeyData  string `yaml:"client-key-data"`
	} `yaml:"user"`
}

type namedContext struct {
	Name    string `yaml:"name"`
	Context struct {
		Cluster string `yaml:"cluster"`
		User    string `yaml:"user"`
	} `yaml:"context"`
}

// adminKubeconfig renders the kubeconfig of the cluster's admin. Cluster, user
// and context have the cluster's name, so that several merge into one file.
func adminKubeconfig(clusterName string, access apiAccess) (string, error) {
	encode := func(pem string) string { return base64.StdEncoding.EncodeToString([]byte(pem)) }
	cluster, user, context := namedCluster{Name: clusterName}, namedUser{Name: clusterName}, namedContext{Name: clusterName}
	cluster.Cluster.Server = access.endpoint
	cluster.Cluster.CAData = encode(access.caPEM)
	user.User.CertData = encode(access.certPEM)
	user.User.KeyData = encode(access.keyPEM)
	context.Context.Cluster, context.Context.User = clusterName, clusterName
	body, err := yaml.Marshal(kubeconfig{
		APIVersion:     "v1",
		Kind:           "Config",
		Clusters:       []namedCluster{cluster},
		Users:          []namedUser{user},
		Contexts:       []namedContext{context},
		CurrentContext: clusterName,
	})
	if err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	return string(body), nil
}
