package presets

import (
	"slices"
	"strings"

	"k3s-aws-auth/components/iampolicy"
)

// externalSecrets returns the permissions of external-secrets: it reads the
// secrets and parameters that are listed, one by one. Searches (dataFrom.find)
// and what writes (PushSecret) need more, on resources of "*".
//
// Sources: https://external-secrets.io/latest/provider/aws-secrets-manager/ and
// https://external-secrets.io/latest/provider/aws-parameter-store/, where
// ssm:GetParameter* also reads histories and paths.
func externalSecrets(a Args) []iampolicy.Statement {
	return a.reading("ExternalSecrets", "ssm:GetParameter")
}

// secretsStoreCSI returns the permissions of a pod that mounts secrets and
// parameters through the Secrets Store CSI driver and its provider for AWS
// (ASCP), which asks in the name of the pod's service account, and for
// parameters in batches.
//
// Source: https://github.com/aws/secrets-store-csi-driver-provider-aws and
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/integrating_ascp_irsa.html.
func secretsStoreCSI(a Args) []iampolicy.Statement {
	return a.reading("SecretsStore", "ssm:GetParameters")
}

func (a Args) reading(prefix, getParameter string) []iampolicy.Statement {
	var statements []iampolicy.Statement
	if len(a.SecretARNs) > 0 {
		statements = append(statements, iampolicy.Statement{
			Sid:       prefix + "Secrets",
			Actions:   []string{"secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"},
			Resources: a.SecretARNs,
		})
	}
	if len(a.ParameterARNs) > 0 {
		statements = append(statements, iampolicy.Statement{
			Sid:       prefix + "Parameters",
			Actions:   []string{getParameter},
			Resources: a.ParameterARNs,
		})
	}
	var services []string
	if len(a.SecretARNs) > 0 {
		services = append(services, "secretsmanager")
	}
	if len(a.ParameterARNs) > 0 {
		services = append(services, "ssm")
	}
	if len(a.KMSKeyARNs) > 0 {
		statements = append(statements, iampolicy.Statement{
			Sid:        prefix + "Keys",
			Actions:    []string{"kms:Decrypt"},
			Resources:  a.KMSKeyARNs,
			Conditions: equals("kms:ViaService", a.via(services...)...),
		})
	}
	return statements
}

// via lists the values of kms:ViaService for calls that the services make, in
// the regions of the keys, on behalf of whoever has the permission: the keys are
// of no use to it otherwise.
//
// Source: https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service.
func (a Args) via(services ...string) []string {
	var values []string
	for _, key := range a.KMSKeyARNs {
		region := strings.Split(key, ":")[3]
		for _, service := range services {
			values = append(values, service+"."+region+".amazonaws.com")
			if a.Partition == "aws-cn" {
				// In China services have names in both domains, and which of them KMS
				// compares with is not documented. Both belong to the service.
				values = append(values, service+"."+region+".amazonaws.com.cn")
			}
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}
