// One role for one pod: exactly one ServiceAccount can assume it, in a cluster
// whose issuer IAM knows, such as one of EKS or of the example issuer.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/oidcissuer"
	"k3s-aws-auth/components/podrole"
	"k3s-aws-auth/examples/internal/settings"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg, err := settings.Read(ctx, "providerArn", "issuerHostPath", "namespace", "serviceAccount", "bucket")
	if err != nil {
		return err
	}
	issuers := []podrole.WebIdentityIssuer{{
		Arn:      pulumi.String(cfg["providerArn"]),
		HostPath: pulumi.String(cfg["issuerHostPath"]), // the issuer's URL without https://
	}}
	role, err := podrole.NewPodRole(ctx, "reader", &podrole.PodRoleArgs{
		Trust: podrole.WebIdentityTrust(podrole.Tokens{
			Issuers: issuers, Audience: oidcissuer.AudienceSTS,
			Subjects: []string{iampolicy.Subject(cfg["namespace"], cfg["serviceAccount"])},
		}),
		Statements: []iampolicy.Statement{{
			Effect:    iampolicy.Allow,
			Actions:   []string{"s3:GetObject"},
			Resources: []string{"arn:aws:s3:::" + cfg["bucket"] + "/*"},
		}},
	})
	if err != nil {
		return err
	}
	ctx.Export("roleArn", role.Arn)
	return nil
}
