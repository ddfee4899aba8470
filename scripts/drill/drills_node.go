package main

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func nodeDrills() []*Drill {
	shut := Expectation{Kept: Works, Fresh: Works, New: Fails, Error: noCredentials}
	return []*Drill{
		{
			ID: "node-role-abused", Title: "node role taken from a pod",
			Does: "start a pod without an identity on an agent and let it ask the machine for its credentials (nothing is changed)",
			Expect: map[string]Expectation{instanceProfile: unaffected, irsaS3: shut, irsaCloudFront: shut,
				rolesAnywhere: shut},
			Note:     "In instance-profile any pod gets in: that is the setup. Elsewhere the hop limit of the metadata service keeps it out.",
			Stranger: true,
		},
		{
			ID: "injection-missing", Title: "webhook or admission policy missing",
			Does:   "take away the webhook or admission policy that gives pods their identity",
			Expect: inAll(unaffected),
			Absent: injection,
		},
	}
}

// injection looks for what changes pods on admission. The stacks have none: their manifests say it all.
func injection(ctx context.Context, t *Target) (string, error) {
	admission := t.Cluster.Client.AdmissionregistrationV1()
	hooks, err := admission.MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, h := range hooks.Items {
		if strings.Contains(h.Name, "identity") || strings.Contains(h.Name, "k3s-aws-auth") {
			return "the cluster has webhook " + h.Name + ", which this drill does not know how to take away", nil
		}
	}
	return "nothing injects identities here: pods carry their own volumes and variables", nil
}
