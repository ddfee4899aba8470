// Identities for a cluster that you have: the role of one pod, and in the cluster
// its namespace and its ServiceAccount, annotated as the EKS pod identity webhook
// reads it and labelled for the admission policy.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/existing"
	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/oidcissuer"
	"k3s-aws-auth/components/podrole"
	"k3s-aws-auth/components/workload"
	"k3s-aws-auth/examples/internal/settings"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg, err := settings.Read(ctx, "kubeconfig", "providerArn", "issuerHostPath", "namespace", "serviceAccount", "policyArn", "aws:region")
	if err != nil {
		return err
	}
	namespace, account := cfg["namespace"], cfg["serviceAccount"]
	cluster, err := existing.NewCluster(ctx, "cluster", &existing.ClusterArgs{
		Kubeconfig: cfg["kubeconfig"], // set it with --secret; the component keeps it one
	})
	if err != nil {
		return err
	}
	role, err := podrole.NewPodRole(ctx, account, &podrole.PodRoleArgs{
		Trust: podrole.WebIdentityTrust(podrole.Tokens{
			Issuers: []podrole.WebIdentityIssuer{{
				Arn:      pulumi.String(cfg["providerArn"]),
				HostPath: pulumi.String(cfg["issuerHostPath"]),
			}},
			Audience: oidcissuer.AudienceSTS, Subjects: []string{iampolicy.Subject(namespace, account)},
		}),
		ManagedPolicyArns: []string{cfg["policyArn"]},
	})
	if err != nil {
		return err
	}
	// All of it in that cluster, not in the one that kubectl happens to point to.
	there := pulumi.Provider(cluster.Provider)
	place, err := workload.NewNamespace(ctx, namespace, &workload.NamespaceArgs{Name: namespace}, there)
	if err != nil {
		return err
	}
	made, err := workload.NewWebIdentity(ctx, account, &workload.WebIdentityArgs{
		Identity: workload.Identity{
			Namespace: namespace, ServiceAccount: account,
			After:  []pulumi.Resource{place.Resource},
			Region: cfg["aws:region"],
		},
		RoleArn:  role.Arn,
		Injected: true, // for the admission policy, beside the webhook's annotations
	}, there)
	if err != nil {
		return err
	}
	ctx.Export("roleArn", role.Arn)
	ctx.Export("serviceAccount", made.ServiceAccount)
	return nil
}
