// Package accesslogs makes a private bucket for the access logs of other buckets
// and of CloudFront distributions, which forgets them after a time.
package accesslogs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/rules"
)

// Type is the component's type token. Changing it needs an alias.
const Type = "k3s-aws-auth:accesslogs:Bucket"

// Prefixes below which logs are, by the service that writes them.
const (
	S3Prefix         = "s3/"
	CloudFrontPrefix = "cloudfront/"
)

// BucketArgs describes a bucket for access logs.
type BucketArgs struct {
	// Name is the bucket's physical name. No dots.
	Name string
	// Days is how long logs are kept, 1 to [rules.MaxLogDays].
	Days int
	// SourceArns are the ARNs of the buckets whose logs come here; they are in
	// the bucket's account and region.
	SourceArns []string
	// AccountID is the account of the deployment.
	AccountID string
	// CloudFront admits the standard logs of distributions.
	CloudFront bool
	// Protect makes Pulumi refuse to delete the bucket.
	Protect bool
	// ForceDestroy lets a destroy delete the logs too.
	ForceDestroy bool
	Tags         map[string]string
}

// Bucket is a bucket for access logs.
type Bucket struct {
	pulumi.ResourceState

	// Name is the bucket's name; it resolves once the bucket takes logs.
	Name pulumi.StringOutput `pulumi:"name"`
}

// NewBucket makes the bucket, private with every public access block on, with
// encryption, expiry, and a policy that lets S3 write logs of the given buckets.
//
// S3's server access logs need no ACL. CloudFront's standard logs, in the form
// that is part of a distribution, do: CloudFront adds a grant for the account
// that delivers its logs (awslogsdelivery) to the bucket's ACL when the
// distribution names the bucket, and refuses a bucket that has ACLs switched
// off. The grant is to that one account, so the public access block stays whole.
//
// Sources: S3 User Guide, "Enabling Amazon S3 server access logging";
// CloudFront Developer Guide, "Standard logging (legacy)".
func NewBucket(ctx *pulumi.Context, name string, args *BucketArgs, opts ...pulumi.ResourceOption) (*Bucket, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	logs := &Bucket{}
	if err := ctx.RegisterComponentResource(Type, name, logs, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", Type, name, err)
	}
	child := pulumi.Parent(logs)
	bucket, err := s3.NewBucketV2(ctx, name+"-bucket", &s3.BucketV2Args{
		// Contractual: people and tools look for logs there.
		Bucket:       pulumi.String(args.Name),
		ForceDestroy: pulumi.Bool(args.ForceDestroy),
		Tags:         pulumi.ToStringMap(args.Tags),
	}, child,
		// Logs are what an incident is reconstructed from.
		pulumi.Protect(args.Protect))
	if err != nil {
		return nil, fmt.Errorf("bucket of access logs: %w", err)
	}
	access, err := s3.NewBucketPublicAccessBlock(ctx, name+"-access", &s3.BucketPublicAccessBlockArgs{
		Bucket:                bucket.ID(),
		BlockPublicAcls:       pulumi.Bool(true),
		IgnorePublicAcls:      pulumi.Bool(true),
		BlockPublicPolicy:     pulumi.Bool(true),
		RestrictPublicBuckets: pulumi.Bool(true),
	}, child)
	if err != nil {
		return nil, fmt.Errorf("public access block of the access logs' bucket: %w", err)
	}
	ownership, err := s3.NewBucketOwnershipControls(ctx, name+"-ownership", &s3.BucketOwnershipControlsArgs{
		Bucket: bucket.ID(),
		Rule:   s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String(args.ownership())},
	}, child,
		// Here and below: S3 refuses two changes of one bucket's settings at a
		// time.
		pulumi.DependsOn([]pulumi.Resource{access}))
	if err != nil {
		return nil, fmt.Errorf("ownership controls of the access logs' bucket: %w", err)
	}
	encryption, err := s3.NewBucketServerSideEncryptionConfigurationV2(ctx, name+"-encryption", &s3.BucketServerSideEncryptionConfigurationV2Args{
		Bucket: bucket.ID(),
		Rules: s3.BucketServerSideEncryptionConfigurationV2RuleArray{s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
			ApplyServerSideEncryptionByDefault: s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs{
				// The only one that S3 delivers its access logs to.
				SseAlgorithm: pulumi.String("AES256"),
			},
		}},
	}, child, pulumi.DependsOn([]pulumi.Resource{ownership}))
	if err != nil {
		return nil, fmt.Errorf("encryption of the access logs' bucket: %w", err)
	}
	expiry, err := s3.NewBucketLifecycleConfigurationV2(ctx, name+"-expiry", &s3.BucketLifecycleConfigurationV2Args{
		Bucket: bucket.ID(),
		Rules: s3.BucketLifecycleConfigurationV2RuleArray{s3.BucketLifecycleConfigurationV2RuleArgs{
			Id:         pulumi.String("expire"),
			Status:     pulumi.String("Enabled"),
			Filter:     s3.BucketLifecycleConfigurationV2RuleFilterArgs{Prefix: pulumi.String("")},
			Expiration: s3.BucketLifecycleConfigurationV2RuleExpirationArgs{Days: pulumi.Int(args.Days)},
		}},
	}, child, pulumi.DependsOn([]pulumi.Resource{encryption}))
	if err != nil {
		return nil, fmt.Errorf("expiry of the access logs: %w", err)
	}
	policy, err := s3.NewBucketPolicy(ctx, name+"-policy", &s3.BucketPolicyArgs{
		Bucket: bucket.ID(),
		Policy: bucket.Arn.ApplyT(func(arn string) (string, error) {
			return deliveryPolicy(arn, args.SourceArns, args.AccountID).JSON()
		}).(pulumi.StringOutput),
	}, child, pulumi.DependsOn([]pulumi.Resource{expiry}))
	if err != nil {
		return nil, fmt.Errorf("policy of the access logs' bucket: %w", err)
	}
	logs.Name = policy.Bucket
	if err := outputs.Register(ctx, logs); err != nil {
		return nil, fmt.Errorf("%s %q: %w", Type, name, err)
	}
	return logs, nil
}

// deliveryPolicy is the policy of the log bucket: S3's log delivery may write
// below its prefix, for the given buckets of the given account. Without the two
// conditions, anybody could name this bucket as theirs.
func deliveryPolicy(bucketArn string, sourceArns []string, accountID string) iampolicy.Document {
	return iampolicy.New(iampolicy.Statement{
		Sid:       "WriteServerAccessLogs",
		Principal: &iampolicy.Principal{Service: []string{"logging.s3.amazonaws.com"}},
		Actions:   []string{"s3:PutObject"},
		Resources: []string{bucketArn + "/" + S3Prefix + "*"},
		Conditions: map[string]map[string][]string{
			"ArnLike":      {"aws:SourceArn": sourceArns},
			"StringEquals": {"aws:SourceAccount": {accountID}},
		},
	})
}

// ownership is BucketOwnerPreferred where CloudFront needs ACLs, and else off.
func (args *BucketArgs) ownership() string {
	if args.CloudFront {
		return "BucketOwnerPreferred"
	}
	return "BucketOwnerEnforced"
}

func (args *BucketArgs) validate(name string) error {
	if args == nil {
		return fmt.Errorf("access logs %q: args are missing", name)
	}
	var errs []error
	check := func(ok bool, format string, a ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	errs = append(errs, rules.Fault("Name", args.Name, rules.Bucket(args.Name)))
	check(args.Days >= 1 && args.Days <= rules.MaxLogDays, "Days is %d, must be 1 to %d", args.Days, rules.MaxLogDays)
	check(len(args.SourceArns) > 0, "SourceArns are missing")
	for i, arn := range args.SourceArns {
		check(strings.HasPrefix(arn, "arn:") && strings.Contains(arn, ":s3:::"), "SourceArns[%d] is %q, must be the ARN of a bucket", i, arn)
		check(!strings.HasSuffix(arn, ":"+args.Name), "SourceArns[%d] is the log bucket itself, whose logs would make more logs", i)
	}
	errs = append(errs, rules.Fault("AccountID", args.AccountID, rules.Account(args.AccountID)))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("access logs %q: %w", name, err)
	}
	return nil
}
