package injection_test

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/injection"
	"k3s-aws-auth/components/internal/pulumitest"
)

func webhookArgs() *injection.WebhookArgs {
	return &injection.WebhookArgs{
		Name: "lab-pod-identity", Namespace: "pod-identity-webhook",
		Image: "public.ecr.aws/eks/amazon-eks-pod-identity-webhook:v0.6.17", Replicas: 2,
		NodeSelector: map[string]string{"node-role.kubernetes.io/infra": "true"},
		Tolerations: []injection.Toleration{
			{Key: "infra", Operator: "Equal", Value: "true", Effect: "NoSchedule"},
			{Key: "CriticalAddonsOnly", Operator: "Exists"},
		},
		Region: "eu-central-1", Kubeconfig: pulumi.String("apiVersion: v1"),
	}
}

func newWebhook(args *injection.WebhookArgs) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		_, err := injection.NewWebhook(ctx, "lab-injection", args)
		return err
	}
}

// certificates are the provider's outputs that the manifests carry.
func certificates(r pulumitest.Resource) resource.PropertyMap {
	switch r.Type {
	case "tls:index/privateKey:PrivateKey":
		return resource.PropertyMap{"privateKeyPem": resource.MakeSecret(resource.NewStringProperty("KEY of " + r.Name))}
	case "tls:index/selfSignedCert:SelfSignedCert", "tls:index/locallySignedCert:LocallySignedCert":
		return resource.PropertyMap{"certPem": resource.NewStringProperty("CERT of " + r.Name)}
	case "tls:index/certRequest:CertRequest":
		return resource.PropertyMap{"certRequestPem": resource.NewStringProperty("REQUEST of " + r.Name)}
	}
	return nil
}

func TestWebhook(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: certificates}, newWebhook(webhookArgs()))
	require.NoError(t, err)
	pulumitest.Golden(t, "webhook/graph.txt", recorder.Graph())
	for _, child := range []string{"namespace", "account", "role", "role-binding", "certificate", "deployment", "service", "budget", "configuration", "server", "ca"} {
		for _, r := range recorder.Resources() {
			if r.Name == "lab-injection-"+child && r.Type != "tls:index/locallySignedCert:LocallySignedCert" {
				pulumitest.Golden(t, "webhook/"+child+".json", r.JSON())
			}
		}
	}
	require.True(t, recorder.Get(t, "lab-injection-certificate").IsSecret("data"), "the webhook's key")
	require.False(t, recorder.Get(t, "lab-injection-configuration").IsSecret("webhooks"), "a CA's certificate is no secret")
	order := []string{"namespace", "account", "role", "role-binding", "certificate", "deployment", "service", "budget", "configuration"}
	for i, child := range order[1:] {
		require.Contains(t, recorder.Get(t, "lab-injection-"+child).DependsOn, "lab-injection-"+order[i],
			"the API server must not call what is not there, nor on the way down")
	}
}

func TestWebhookArgs(t *testing.T) {
	_, err := pulumitest.Run(t, pulumitest.Options{}, newWebhook(nil))
	require.ErrorContains(t, err, "args are missing")
	recorder, err := pulumitest.Run(t, pulumitest.Options{}, newWebhook(&injection.WebhookArgs{Name: "Lab", Namespace: "a b", Image: "webhook:latest"}))
	for _, want := range []string{`name is "Lab"`, `namespace is "a b"`, `image is "webhook:latest"`, "replicas is 0", `region is ""`, "kubeconfig is missing"} {
		require.ErrorContains(t, err, want)
	}
	require.Empty(t, recorder.Resources())
}
