// An OIDC issuer alone: two public documents in a bucket, and the IAM provider
// that lets roles of the account trust tokens of that issuer.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/oidcissuer"
	"k3s-aws-auth/examples/internal/settings"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg, err := settings.Read(ctx, "bucket", "publicKey", "aws:region")
	if err != nil {
		return err
	}
	bucket, region := cfg["bucket"], cfg["aws:region"]
	published, err := oidcissuer.NewBucketIssuer(ctx, "issuer", &oidcissuer.BucketIssuerArgs{
		Bucket: bucket,
		Region: region,
		// What verifies the cluster's tokens: the public half of the key that
		// its API servers sign with, as PEM.
		PublicKeys: pulumi.StringArray{pulumi.String(cfg["publicKey"])},
	})
	if err != nil {
		return err
	}
	provider, err := oidcissuer.NewProvider(ctx, "provider", &oidcissuer.ProviderArgs{
		Issuers: []oidcissuer.Issuer{{URL: oidcissuer.IssuerURLFromBucket(bucket, region, ""), Ready: published.Ready}},
	})
	if err != nil {
		return err
	}
	// Every API server needs it as --service-account-issuer.
	ctx.Export("issuerUrl", published.URL)
	ctx.Export("providerArn", provider.Arn)
	return nil
}
