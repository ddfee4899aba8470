// Package presets knows the AWS permissions of what runs in nearly every
// cluster: external-secrets, the Secrets Store CSI driver, cert-manager,
// external-dns, the EBS CSI driver and the cluster autoscaler.
//
// Each preset is a pure function from the names of what it may touch to policy
// statements. They are narrower than the policies that the projects' own
// documentation shows: by account and region, by the zones, secrets and
// parameters that are listed, and by the tags of one cluster, so that two
// clusters of one account leave each other alone. What they leave out, because
// few need it, an identity adds as statements of its own.
package presets

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k3s-aws-auth/components/iampolicy"
)

// Names of the presets.
const (
	CertManager       = "cert-manager"
	ClusterAutoscaler = "cluster-autoscaler"
	EBSCSI            = "ebs-csi"
	ExternalDNS       = "external-dns"
	ExternalSecrets   = "external-secrets"
	SecretsStoreCSI   = "secrets-store-csi"
)

// Args is what a preset's statements are made from.
type Args struct {
	// Partition, Account and Region are where the cluster is.
	Partition, Account, Region string
	// ClusterName is in the tags that ebs-csi and cluster-autoscaler go by.
	ClusterName string
	// NodeTagKey and NodeTagValue are a tag of the cluster's machines, to which
	// alone ebs-csi attaches volumes. Without a key any machine of the region
	// will do: for clusters whose machines somebody else tags.
	NodeTagKey, NodeTagValue string
	Lists
}

// Lists name what a preset is about. [Validate] says which a preset takes.
type Lists struct {
	// HostedZoneIDs are Route 53 zones, such as Z0123456789ABCDEFGHIJ.
	HostedZoneIDs []string
	// SecretARNs are secrets of Secrets Manager, and ParameterARNs parameters of
	// SSM. Both may be patterns of a name, not of an account or a region.
	SecretARNs, ParameterARNs []string
	// KMSKeyARNs are keys of one's own that secrets, parameters or volumes are
	// encrypted with. AWS's own keys (aws/secretsmanager, aws/ssm, aws/ebs) need
	// no permission.
	KMSKeyARNs []string
}

// ServiceAccount is an account of Kubernetes.
type ServiceAccount struct{ Namespace, Name string }

// preset is one entry of the registry.
type preset struct {
	// usual is the account that the project's own chart uses.
	usual ServiceAccount
	// takes are the lists that the preset knows.
	takes []string
	// needs are lists of which at least one must have an entry.
	needs      []string
	statements func(Args) []iampolicy.Statement
}

// Keys of the lists, as they stand in configuration.
const (
	keyZones      = "hostedZoneIds"
	keySecrets    = "secretArns"
	keyParameters = "parameterArns"
	keyKeys       = "kmsKeyArns"
)

var registry = map[string]preset{
	CertManager: {
		usual: ServiceAccount{"cert-manager", "cert-manager"},
		takes: []string{keyZones}, needs: []string{keyZones}, statements: certManager,
	},
	ClusterAutoscaler: {
		usual: ServiceAccount{"kube-system", "cluster-autoscaler"}, statements: clusterAutoscaler,
	},
	EBSCSI: {
		usual: ServiceAccount{"kube-system", "ebs-csi-controller-sa"},
		takes: []string{keyKeys}, statements: ebsCSI,
	},
	ExternalDNS: {
		usual: ServiceAccount{"external-dns", "external-dns"},
		takes: []string{keyZones}, needs: []string{keyZones}, statements: externalDNS,
	},
	ExternalSecrets: {
		usual: ServiceAccount{"external-secrets", "external-secrets"},
		takes: []string{keySecrets, keyParameters, keyKeys}, needs: []string{keySecrets, keyParameters}, statements: externalSecrets,
	},
	// The driver asks with the account of the pod that mounts, so there is no
	// usual one.
	SecretsStoreCSI: {
		takes: []string{keySecrets, keyParameters, keyKeys}, needs: []string{keySecrets, keyParameters}, statements: secretsStoreCSI,
	},
}

// Names returns the names of all presets, sorted.
func Names() []string {
	names := make([]string, 0, len(registry))
	for name := range registry {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Usual returns the service account that the preset's own chart uses. It is
// empty for secrets-store-csi, which uses that of the mounting pod, and for a
// name that is no preset's.
func Usual(name string) ServiceAccount { return registry[name].usual }

// Statements returns the permissions of a preset, in an order that depends on
// the arguments alone. It fails for arguments that [Validate] finds fault with,
// and where account, region or partition are missing.
func Statements(name string, args Args) ([]iampolicy.Statement, error) {
	var errs []error
	for _, problem := range Validate(name, args.Partition, args.Lists) {
		errs = append(errs, problem)
	}
	for _, field := range []struct{ name, value string }{
		{"Partition", args.Partition}, {"Account", args.Account}, {"Region", args.Region}, {"ClusterName", args.ClusterName},
	} {
		if field.value == "" {
			errs = append(errs, fmt.Errorf("%s is missing", field.name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("preset %q: %w", name, err)
	}
	return registry[name].statements(args), nil
}

// arn is an ARN in the arguments' partition.
func (a Args) arn(service, region, account, resource string) string {
	return strings.Join([]string{"arn", a.Partition, service, region, account, resource}, ":")
}

// equals is a condition of a single key.
func equals(key string, values ...string) map[string]map[string][]string {
	return map[string]map[string][]string{"StringEquals": {key: values}}
}

// inRegion is the condition of calls that name no resource: that they are made
// in the cluster's region.
func (a Args) inRegion() map[string]map[string][]string {
	return equals("aws:RequestedRegion", a.Region)
}
