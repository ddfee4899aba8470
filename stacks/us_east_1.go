package stacks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/stacks/config"
)

// newUsEast1 makes a provider for us-east-1, where CloudFront takes its
// certificates from. Everything else uses the default provider.
//
// An explicit provider does not read the stack's aws:* configuration, so every key
// of it is handed on, or refused by its name: who deploys, with which session, and
// what every resource is tagged with. Should another one decide it, the account's
// id makes the provider refuse, rather than leave a certificate in a foreign
// account.
func newUsEast1(ctx *pulumi.Context, cfg *config.Config, acct *account) (*aws.Provider, error) {
	args := &aws.ProviderArgs{}
	p := &config.Problems{}
	for key, setting := range awsSettings {
		text, given := ctx.GetConfig("aws:" + key)
		if !given {
			continue
		}
		if err := setting(text, args); err != nil {
			p.Add("aws:"+key, "a value", "%v", err) // which may be a secret
		}
	}
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("provider for us-east-1: %w", err)
	}
	args.Region = pulumi.String("us-east-1")
	args.AllowedAccountIds = pulumi.StringArray{pulumi.String(acct.id)}
	provider, err := aws.NewProvider(ctx, named(cfg, "us-east-1"), args)
	if err != nil {
		return nil, fmt.Errorf("provider for us-east-1: %w", err)
	}
	return provider, nil
}

// awsSettings are all keys that the AWS provider reads, and how each is handed on.
// NewProvider marks keys and token as secrets.
var awsSettings = map[string]func(text string, args *aws.ProviderArgs) error{
	"accessKey":                      asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.AccessKey }),
	"secretKey":                      asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.SecretKey }),
	"token":                          asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.Token }),
	"profile":                        asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.Profile }),
	"customCaBundle":                 asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.CustomCaBundle }),
	"ec2MetadataServiceEndpoint":     asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.Ec2MetadataServiceEndpoint }),
	"ec2MetadataServiceEndpointMode": asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.Ec2MetadataServiceEndpointMode }),
	"httpProxy":                      asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.HttpProxy }),
	"httpsProxy":                     asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.HttpsProxy }),
	"noProxy":                        asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.NoProxy }),
	"retryMode":                      asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.RetryMode }),
	"s3UsEast1RegionalEndpoint":      asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.S3UsEast1RegionalEndpoint }),
	"stsRegion":                      asText(func(a *aws.ProviderArgs) *pulumi.StringPtrInput { return &a.StsRegion }),
	"insecure":                       asBool(func(a *aws.ProviderArgs) *pulumi.BoolPtrInput { return &a.Insecure }),
	"s3UsePathStyle":                 asBool(func(a *aws.ProviderArgs) *pulumi.BoolPtrInput { return &a.S3UsePathStyle }),
	"skipCredentialsValidation":      asBool(func(a *aws.ProviderArgs) *pulumi.BoolPtrInput { return &a.SkipCredentialsValidation }),
	"skipMetadataApiCheck":           asBool(func(a *aws.ProviderArgs) *pulumi.BoolPtrInput { return &a.SkipMetadataApiCheck }),
	"skipRegionValidation":           asBool(func(a *aws.ProviderArgs) *pulumi.BoolPtrInput { return &a.SkipRegionValidation }),
	"skipRequestingAccountId":        asBool(func(a *aws.ProviderArgs) *pulumi.BoolPtrInput { return &a.SkipRequestingAccountId }),
	"useDualstackEndpoint":           asBool(func(a *aws.ProviderArgs) *pulumi.BoolPtrInput { return &a.UseDualstackEndpoint }),
	"useFipsEndpoint":                asBool(func(a *aws.ProviderArgs) *pulumi.BoolPtrInput { return &a.UseFipsEndpoint }),
	"maxRetries":                     asInt(func(a *aws.ProviderArgs) *pulumi.IntPtrInput { return &a.MaxRetries }),
	"tokenBucketRateLimiterCapacity": asInt(func(a *aws.ProviderArgs) *pulumi.IntPtrInput { return &a.TokenBucketRateLimiterCapacity }),
	"sharedConfigFiles":              asList(func(a *aws.ProviderArgs) *pulumi.StringArrayInput { return &a.SharedConfigFiles }),
	"sharedCredentialsFiles":         asList(func(a *aws.ProviderArgs) *pulumi.StringArrayInput { return &a.SharedCredentialsFiles }),
	"forbiddenAccountIds":            asList(func(a *aws.ProviderArgs) *pulumi.StringArrayInput { return &a.ForbiddenAccountIds }),
	// The default provider holds the account against it; this one has the account.
	"allowedAccountIds": func(string, *aws.ProviderArgs) error { return nil },
	"region":            func(string, *aws.ProviderArgs) error { return nil },
	"endpoints": func(string, *aws.ProviderArgs) error {
		return errors.New("left out for setup irsa-cloudfront: what answers there for one region need not for us-east-1 (AWS_ENDPOINT_URL counts for both)")
	},
	"assumeRole":                assumeRole,
	"assumeRoleWithWebIdentity": assumeRoleWithWebIdentity,
	"defaultTags": func(text string, args *aws.ProviderArgs) error {
		var tags struct{ Tags map[string]string }
		err := strictly(text, &tags)
		args.DefaultTags = aws.ProviderDefaultTagsArgs{Tags: pulumi.ToStringMap(tags.Tags)}
		return err
	},
	"ignoreTags": func(text string, args *aws.ProviderArgs) error {
		var tags struct{ Keys, KeyPrefixes []string }
		err := strictly(text, &tags)
		args.IgnoreTags = aws.ProviderIgnoreTagsArgs{Keys: pulumi.ToStringArray(tags.Keys), KeyPrefixes: pulumi.ToStringArray(tags.KeyPrefixes)}
		return err
	},
}

func assumeRole(text string, args *aws.ProviderArgs) error {
	var role struct {
		RoleArn, ExternalID, SessionName, Duration, Policy, SourceIdentity string
		PolicyArns, TransitiveTagKeys                                      []string
		Tags                                                               map[string]string
	}
	err := strictly(text, &role)
	made := aws.ProviderAssumeRoleArgs{
		RoleArn:        optional(role.RoleArn),
		ExternalId:     optional(role.ExternalID),
		SessionName:    optional(role.SessionName),
		Duration:       optional(role.Duration),
		Policy:         optional(role.Policy),
		SourceIdentity: optional(role.SourceIdentity),
	}
	if role.PolicyArns != nil {
		made.PolicyArns = pulumi.ToStringArray(role.PolicyArns)
	}
	if role.TransitiveTagKeys != nil {
		made.TransitiveTagKeys = pulumi.ToStringArray(role.TransitiveTagKeys)
	}
	if role.Tags != nil {
		made.Tags = pulumi.ToStringMap(role.Tags)
	}
	args.AssumeRole = made
	return err
}

func assumeRoleWithWebIdentity(text string, args *aws.ProviderArgs) error {
	var role struct {
		RoleArn, SessionName, Duration, Policy, WebIdentityToken, WebIdentityTokenFile string
		PolicyArns                                                                     []string
	}
	err := strictly(text, &role)
	made := aws.ProviderAssumeRoleWithWebIdentityArgs{
		RoleArn:              optional(role.RoleArn),
		SessionName:          optional(role.SessionName),
		Duration:             optional(role.Duration),
		Policy:               optional(role.Policy),
		WebIdentityTokenFile: optional(role.WebIdentityTokenFile),
	}
	if role.WebIdentityToken != "" {
		made.WebIdentityToken = pulumi.ToSecret(pulumi.String(role.WebIdentityToken)).(pulumi.StringOutput).ToStringPtrOutput()
	}
	if role.PolicyArns != nil {
		made.PolicyArns = pulumi.ToStringArray(role.PolicyArns)
	}
	args.AssumeRoleWithWebIdentity = made
	return err
}

// strictly reads JSON in which every key must be known. Its error quotes no value.
func strictly(text string, into any) error {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("readable, to be handed on to the provider for us-east-1: %w", err)
	}
	return nil
}

func asText(field func(*aws.ProviderArgs) *pulumi.StringPtrInput) func(string, *aws.ProviderArgs) error {
	return func(text string, args *aws.ProviderArgs) error {
		*field(args) = pulumi.String(text)
		return nil
	}
}

func asBool(field func(*aws.ProviderArgs) *pulumi.BoolPtrInput) func(string, *aws.ProviderArgs) error {
	return func(text string, args *aws.ProviderArgs) error {
		var value bool
		err := strictly(text, &value)
		*field(args) = pulumi.Bool(value)
		return err
	}
}

func asInt(field func(*aws.ProviderArgs) *pulumi.IntPtrInput) func(string, *aws.ProviderArgs) error {
	return func(text string, args *aws.ProviderArgs) error {
		var value int
		err := strictly(text, &value)
		*field(args) = pulumi.Int(value)
		return err
	}
}

func asList(field func(*aws.ProviderArgs) *pulumi.StringArrayInput) func(string, *aws.ProviderArgs) error {
	return func(text string, args *aws.ProviderArgs) error {
		var value []string
		err := strictly(text, &value)
		*field(args) = pulumi.ToStringArray(value)
		return err
	}
}

func optional(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.String(s)
}
