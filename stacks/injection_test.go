package stacks

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
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
	for _, setup := range []string{"irsa-s3", "irsa-cloudfront", "roles-anywhere"} {
		t.Run(setup, func(t *testing.T) {
			plain, e := runLab(t, setup, true, many), runLab(t, setup, true, many, injecting("admission-policy"))
			require.ElementsMatch(t, e.custom(), append(plain.custom(),
				policyType+" lab-injection-policy", policyType+"Binding lab-injection-binding"))
			for _, r := range append(e.of(policyType), e.of(policyType+"Binding")...) {
				require.Equal(t, "lab-kubernetes-adopting", providerName(r.Provider), r.Name)
			}
			for _, r := range e.of("kubernetes:core/v1:Pod") {
				require.NotContains(t, fmt.Sprint(r.Inputs), "AWS_", "its identity is injected")
				require.NotContains(t, fmt.Sprint(r.Inputs), "credential-helper", "its identity is injected")
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

// TestInjectionIsForIdentities holds that pods that use their node's role have
// nothing to be injected, and that no webhook is made that could not inject.
func TestInjectionIsForIdentities(t *testing.T) {
	for _, mode := range []string{"admission-policy", "webhook"} {
		require.ElementsMatch(t, runLab(t, "instance-profile", true).custom(), runLab(t, "instance-profile", true, injecting(mode)).custom())
	}
	values, e := labConfig(t), &testEngine{known: true}
	values["k3s-aws-auth:setup"] = "roles-anywhere"
	injecting("webhook")(values)
	require.ErrorContains(t, e.run(t, values), `injection: found "webhook": must be admission-policy or manifest for setup roles-anywhere`)
	require.Empty(t, e.custom())
}

// TestInjectionOfCertificates holds that what is configured of the helper reaches
// the policy, which no preview leaves open, and that one is like the other: a
// ServiceAccount says what its pods cannot be injected without.
func TestInjectionOfCertificates(t *testing.T) {
	of := func(helper string) (policy, account string) {
		e := runLab(t, "roles-anywhere", false, injecting("admission-policy"), func(values map[string]string) {
			values["k3s-aws-auth:rolesAnywhere"] = `{"sessionSeconds":1800,"sessionName":"pod","helper":` + helper + `}`
		})
		made := e.one(t, policyType, "lab-injection-policy")
		require.False(t, made.Inputs.ContainsUnknowns())
		account = fmt.Sprint(e.of("kubernetes:core/v1:ServiceAccount")[0].Inputs)
		needed := regexp.MustCompile(`params\.metadata\.annotations\["([^"]+)`).FindAllStringSubmatch(fmt.Sprint(made.Inputs), -1)
		require.NotEmpty(t, needed)
		for _, annotation := range needed {
			require.Contains(t, account, annotation[1])
		}
		return fmt.Sprint(made.Inputs), account
	}
	policy, account := of(`{"delivery":"sidecar","image":"registry.example.com/helper:1@sha256:` + strings.Repeat("cd", 32) + `"}`)
	for _, has := range []string{"registry.example.com/helper:1@sha256:cdcd", "1800", "--role-session-name", "serve"} {
		require.Contains(t, policy, has)
	}
	require.Contains(t, account, "k3s-aws-auth/trust-anchor-arn")
	policy, account = of(`{"delivery":"node","nodePath":"/usr/bin/helper","nodeSha256":"` + strings.Repeat("ef", 32) + `"}`)
	for _, has := range []string{"/usr/bin/helper", "efefef"} {
		require.Contains(t, policy, has)
	}
	require.NotContains(t, account, "k3s-aws-auth/trust-anchor-arn", "the AWS configuration has it")
}

// TestInjectionIntoExistingClusters holds that the policy goes there too.
func TestInjectionIntoExistingClusters(t *testing.T) {
	for _, setup := range []string{"irsa-s3", "roles-anywhere"} {
		o := newOwner(t, labIssuer, ownerJWKS(t))
		o.change = injecting("admission-policy")
		e, err := o.run(t, setup)
		require.NoError(t, err)
		require.Len(t, e.of(policyType), 1)
		provider := e.one(t, "pulumi:providers:kubernetes", "lab-kubernetes-adopting")
		require.Equal(t, "lab-kubernetes-adopting", providerName(e.of(policyType)[0].Provider))
		require.True(t, provider.Inputs["upsertExistingObjects"].BoolValue(), "what an earlier policy left is taken over")
		require.Equal(t, e.one(t, "pulumi:providers:kubernetes", "lab-cluster-kubernetes").Inputs["clusterIdentifier"], provider.Inputs["clusterIdentifier"])
	}
}
