package stacks

import (
	"encoding/json"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/stacks/config"
)

// newUsEast1 makes a provider for us-east-1, where CloudFront takes its
// certificates from. Everything else uses the default provider.
//
// An explicit provider does not read the stack's aws:* configuration, so the
// keys that say who deploys are handed on. Should another one decide it, the
// account's id makes the provider refuse, rather than leave a certificate in a
// foreign account.
func newUsEast1(ctx *pulumi.Context, cfg *config.Config, acct *account) (*aws.Provider, error) {
	args := &aws.ProviderArgs{
		Region:            pulumi.String("us-east-1"),
		AllowedAccountIds: pulumi.StringArray{pulumi.String(acct.id)},
	}
	for key, input := range map[string]*pulumi.StringPtrInput{
		"profile":   &args.Profile,
		"accessKey": &args.AccessKey,
		"secretKey": &args.SecretKey,
		"token":     &args.Token,
	} {
		if value, ok := ctx.GetConfig("aws:" + key); ok {
			*input = pulumi.String(value) // NewProvider marks the keys and the token as secrets
		}
	}
	if text, ok := ctx.GetConfig("aws:assumeRole"); ok {
		var role struct{ RoleArn, ExternalID, SessionName, Duration string }
		if err := json.Unmarshal([]byte(text), &role); err != nil {
			return nil, fmt.Errorf("provider for us-east-1: read aws:assumeRole: %w", err)
		}
		args.AssumeRole = aws.ProviderAssumeRoleArgs{
			RoleArn:     pulumi.String(role.RoleArn),
			ExternalId:  optional(role.ExternalID),
			SessionName: optional(role.SessionName),
			Duration:    optional(role.Duration),
		}
	}
	provider, err := aws.NewProvider(ctx, named(cfg, "us-east-1"), args)
	if err != nil {
		return nil, fmt.Errorf("provider for us-east-1: %w", err)
	}
	return provider, nil
}

func optional(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.String(s)
}
