package injection_test

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/injection"
	"k3s-aws-auth/components/internal/pulumitest"
)

func policyArgs() *injection.AdmissionPolicyArgs {
	return &injection.AdmissionPolicyArgs{Name: "lab-pod-identity", Region: "eu-central-1", Kubeconfig: pulumi.String("apiVersion: v1")}
}

func newPolicy(args *injection.AdmissionPolicyArgs) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		_, err := injection.NewAdmissionPolicy(ctx, "lab-injection", args)
		return err
	}
}

func TestAdmissionPolicy(t *testing.T) {
	recorder, err := pulumitest.Run(t, pulumitest.Options{Preview: true}, newPolicy(policyArgs()))
	require.NoError(t, err)
	pulumitest.Golden(t, "admission-policy/graph.txt", recorder.Graph())
	for _, child := range []string{"policy", "binding"} {
		pulumitest.Golden(t, "admission-policy/"+child+".json", recorder.Get(t, "lab-injection-"+child).JSON())
	}
	require.Contains(t, recorder.Get(t, "lab-injection-binding").DependsOn, "lab-injection-policy",
		"a binding without its policy injects nothing")
}

func TestAdmissionPolicyArgs(t *testing.T) {
	_, err := pulumitest.Run(t, pulumitest.Options{Preview: true}, newPolicy(nil))
	require.ErrorContains(t, err, "args are missing")
	recorder, err := pulumitest.Run(t, pulumitest.Options{Preview: true}, newPolicy(&injection.AdmissionPolicyArgs{Name: "Lab", Region: "Frankfurt\"+x"}))
	require.ErrorContains(t, err, `name is "Lab"`)
	require.ErrorContains(t, err, `region is "Frankfurt\"+x"`)
	require.ErrorContains(t, err, "kubeconfig is missing")
	require.Empty(t, recorder.Resources())
}
