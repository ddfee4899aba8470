package stacks

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/require"
)

const (
	policyType  = "kubernetes:admissionregistration.k8s.io/v1beta1:MutatingAdmissionPolicy"
	webhookType = "kubernetes:admissionregistration.k8s.io/v1:MutatingWebhookConfiguration"
)

func injecting(mode string) func(map[string]string) {
	return func(values map[string]string) { values["k3s-aws-auth:injection"] = mode }
}

// custom lists the resources that a provider makes, by type and name.
func (e *testEngine) custom() []string {
	var all []string
	for _, r := range e.resources {
		if r.Custom && !strings.HasPrefix(r.Type, "pulumi:") {
			all = append(all, r.Type+" "+r.Name)
		}
	}
	return all
}

// userData is that of a machine, unpacked as cloud-init does.
func userData(t *testing.T, r registered) string {
	t.Helper()
	for _, key := range []resource.PropertyKey{"userDataBase64", "userData"} {
		value := r.Inputs[key]
		if !value.IsString() {
			continue
		}
		text := []byte(value.StringValue())
		if decoded, err := base64.StdEncoding.DecodeString(string(text)); err == nil {
			text = decoded
		}
		if reader, err := gzip.NewReader(bytes.NewReader(text)); err == nil {
			text, err = io.ReadAll(reader)
			require.NoError(t, err)
		}
		return string(text)
	}
	t.Fatalf("%s has no known user data", r.Name)
	return ""
}

// TestInjectionByPolicy holds what the admission policy adds to a stack: two
// resources, however many identities there are, and the API servers' flags.
func TestInjectionByPolicy(t *testing.T) {
	many := func(values map[string]string) {
		values["k3s-aws-auth:identities"] = `[{"name":"a","namespace":"a","serviceAccount":"a","managedPolicyArns":["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]},
{"name":"b","namespace":"a","serviceAccount":"b","managedPolicyArns":["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]}]`
	}
	for _, setup := range []string{"irsa-s3", "irsa-cloudfront"} {
		t.Run(setup, func(t *testing.T) {
			plain, e := runLab(t, setup, true, many), runLab(t, setup, true, many, injecting("admission-policy"))
			require.ElementsMatch(t, e.custom(), append(plain.custom(),
				policyType+" lab-injection-policy", policyType+"Binding lab-injection-binding"))
			for _, r := range append(e.of(policyType), e.of(policyType+"Binding")...) {
				require.Equal(t, "lab-kubernetes-adopting", providerName(r.Provider), r.Name)
			}
			for _, r := range e.of("kubernetes:core/v1:Pod") {
				require.NotContains(t, fmt.Sprint(r.Inputs), "AWS_ROLE_ARN", "its identity is injected")
			}
			for _, r := range e.of("kubernetes:core/v1:ServiceAccount") {
				require.Contains(t, fmt.Sprint(r.Inputs), "k3s-aws-auth/injection")
			}
			for _, r := range e.of("aws:ec2/instance:Instance") {
				flags := strings.Contains(userData(t, r), "MutatingAdmissionPolicy=true") && strings.Contains(userData(t, r), "admissionregistration.k8s.io/v1beta1=true")
				require.Equal(t, strings.Contains(r.Name, "-server-"), flags, r.Name)
			}
		})
	}
}

// TestInjectionByWebhook holds that what is configured of the webhook reaches
// it, and that no API server gets other flags for it.
func TestInjectionByWebhook(t *testing.T) {
	e := runLab(t, "irsa-s3", true, injecting("webhook"), func(values map[string]string) {
		values["k3s-aws-auth:webhook"] = `{"namespace":"hook","image":"registry.example.com/hook:v1","replicas":3,"nodeSelector":{"infra":"yes"},
"tolerations":[{"key":"infra","operator":"Exists","effect":"NoSchedule"}]}`
	})
	require.Len(t, e.of(webhookType), 1)
	require.Empty(t, e.of(policyType))
	deployment := e.one(t, "kubernetes:apps/v1:Deployment", "lab-injection-deployment")
	spec := deployment.Inputs["spec"].ObjectValue()
	require.Equal(t, 3.0, spec["replicas"].NumberValue())
	require.Equal(t, "hook", deployment.Inputs["metadata"].ObjectValue()["namespace"].StringValue())
	pod := spec["template"].ObjectValue()["spec"].ObjectValue()
	require.Equal(t, "yes", pod["nodeSelector"].ObjectValue()["infra"].StringValue())
	require.Equal(t, "infra", pod["tolerations"].ArrayValue()[0].ObjectValue()["key"].StringValue())
	require.Equal(t, "registry.example.com/hook:v1", pod["containers"].ArrayValue()[0].ObjectValue()["image"].StringValue())
	for _, r := range e.of("aws:ec2/instance:Instance") {
		require.NotContains(t, userData(t, r), "MutatingAdmissionPolicy")
	}
}

// TestInjectionIsForWebIdentity holds that the other setups have nothing to
// inject.
func TestInjectionIsForWebIdentity(t *testing.T) {
	for _, setup := range []string{"instance-profile", "roles-anywhere"} {
		for _, mode := range []string{"admission-policy", "webhook"} {
			require.ElementsMatch(t, runLab(t, setup, true).custom(), runLab(t, setup, true, injecting(mode)).custom(), setup)
		}
	}
}

// TestInjectionIntoExistingClusters holds that the policy goes there too.
func TestInjectionIntoExistingClusters(t *testing.T) {
	o := newOwner(t, labIssuer, ownerJWKS(t))
	o.change = injecting("admission-policy")
	e, err := o.run(t, "irsa-s3")
	require.NoError(t, err)
	require.Len(t, e.of(policyType), 1)
	provider := e.one(t, "pulumi:providers:kubernetes", "lab-kubernetes-adopting")
	require.Equal(t, "lab-kubernetes-adopting", providerName(e.of(policyType)[0].Provider))
	require.True(t, provider.Inputs["upsertExistingObjects"].BoolValue(), "what an earlier policy left is taken over")
	require.Equal(t, e.one(t, "pulumi:providers:kubernetes", "lab-cluster-kubernetes").Inputs["clusterIdentifier"], provider.Inputs["clusterIdentifier"])
}
