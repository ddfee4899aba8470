package stacks

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/stacks/config"
)

// account is where a stack is deployed to, looked up while the graph is built,
// so that names and policies made from it are plain text in every preview.
type account struct {
	id, partition, dnsSuffix, region string
}

// lookUpAccount asks AWS for the account, and holds the configuration against it
// before anything is registered.
func lookUpAccount(ctx *pulumi.Context, cfg *config.Config) (*account, error) {
	caller, err := aws.GetCallerIdentity(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("look up the AWS account that is deployed to: %w", err)
	}
	if err := cfg.CheckAccount(caller.AccountId); err != nil {
		return nil, fmt.Errorf("the stack's configuration is not valid:\n%w", err)
	}
	partition, err := aws.GetPartition(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("look up the AWS partition of %s: %w", cfg.Region, err)
	}
	return &account{id: caller.AccountId, partition: partition.Partition, dnsSuffix: partition.DnsSuffix, region: cfg.Region}, nil
}

// bucket is the physical name of one of the stack's buckets. It is contractual:
// it stands in the issuer's URL and in policies. Account and region are in it
// because bucket names are global.
func (a *account) bucket(cfg *config.Config, part string) string {
	return fmt.Sprintf("%s-%s-%s", named(cfg, part), a.id, a.region)
}

// site is the account as policies see it, and the demo bucket, which may be nil.
func (a *account) site(bucket *demoBucket) config.Site {
	return config.Site{Partition: a.partition, Account: a.id, Region: a.region, DemoBucketArn: bucket.bucketArn()}
}

// oidcProviderArn is the ARN of an issuer's provider in this account, whoever
// registers it.
func (a *account) oidcProviderArn(issuerURL string) string {
	return fmt.Sprintf("arn:%s:iam::%s:oidc-provider/%s", a.partition, a.id, strings.TrimPrefix(issuerURL, "https://"))
}
