package stacks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/stacks/config"
)

// demoBucketType is the component's type token. Changing it needs an alias.
const demoBucketType = "k3s-aws-auth:stacks:DemoBucket"

// demoBucket is a bucket to prove identities on. Each identity's pod writes
// below a prefix of its own.
type demoBucket struct {
	pulumi.ResourceState

	// arn is plain, since policies are made from it.
	arn string
	// Name resolves when the bucket is ready to be written to.
	Name pulumi.StringOutput `pulumi:"name"`
}

// newDemoBucket makes the private bucket of a stack that has demo set, and
// returns nil for one that has not.
func newDemoBucket(ctx *pulumi.Context, cfg *config.Config, acct *account) (*demoBucket, error) {
	if !cfg.Demo {
		return nil, nil
	}
	for _, warning := range unproven(cfg.Facts(), cfg.Identities) {
		if err := ctx.Log.Warn(warning, nil); err != nil {
			return nil, err
		}
	}
	name, physical := named(cfg, "demo"), acct.bucket(cfg, "demo")
	demo := &demoBucket{arn: fmt.Sprintf("arn:%s:s3:::%s", acct.partition, physical)}
	if err := ctx.RegisterComponentResource(demoBucketType, name, demo); err != nil {
		return nil, fmt.Errorf("demo bucket: %w", err)
	}
	child := pulumi.Parent(demo)
	bucket, err := s3.NewBucketV2(ctx, name+"-bucket", &s3.BucketV2Args{
		Bucket: pulumi.String(physical),
		// What pods write to prove themselves is worth nothing afterwards.
		ForceDestroy: pulumi.Bool(true),
		Tags:         pulumi.ToStringMap(cfg.ResourceTags()),
	}, child)
	if err != nil {
		return nil, fmt.Errorf("demo bucket: %w", err)
	}
	access, err := s3.NewBucketPublicAccessBlock(ctx, name+"-access", &s3.BucketPublicAccessBlockArgs{
		Bucket:                bucket.Bucket,
		BlockPublicAcls:       pulumi.Bool(true),
		BlockPublicPolicy:     pulumi.Bool(true),
		IgnorePublicAcls:      pulumi.Bool(true),
		RestrictPublicBuckets: pulumi.Bool(true),
	}, child)
	if err != nil {
		return nil, fmt.Errorf("public access block of the demo bucket: %w", err)
	}
	ownership, err := s3.NewBucketOwnershipControls(ctx, name+"-ownership", &s3.BucketOwnershipControlsArgs{
		Bucket: bucket.Bucket,
		Rule:   s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String("BucketOwnerEnforced")},
	}, child,
		// S3 refuses two changes of one bucket's settings at a time.
		pulumi.DependsOn([]pulumi.Resource{access}))
	if err != nil {
		return nil, fmt.Errorf("ownership controls of the demo bucket: %w", err)
	}
	demo.Name = ownership.Bucket
	if err := outputs.Register(ctx, demo); err != nil {
		return nil, fmt.Errorf("demo bucket: %w", err)
	}
	ctx.Export("demoBucket", demo.Name)
	return demo, nil
}

// unproven tells of identities that may not put an object that one of their demo pods
// puts. They name objects of the demo bucket, nothing but those, and never this one:
// mostly an identity that was renamed and whose statements were not. Or all that they
// may do is something else, such as to pull images. Such a pod would not become ready,
// and the run wait for it as long as it waits for any.
func unproven(facts config.Facts, identities []config.Identity) []string {
	if !facts.OwnRoles {
		return nil // an identity has what any other has
	}
	var warnings []string
	for i, identity := range identities {
		if len(identity.ManagedPolicyArns) > 0 || slices.ContainsFunc(identity.PrefixPerPod, inDemoBucket) {
			continue
		}
		for _, account := range identity.Accounts() {
			object := demoPrefix(identity, account) + identity.PodName(account) + ".json"
			if maybePuts(identity.Statements, object) {
				continue
			}
			warnings = append(warnings, fmt.Sprintf("identities[%d].statements: nothing there lets identity %s put %s/%s, by which its demo pod proves it. "+
				"The pod will not become ready, and this run waits for it in vain: allow s3:PutObject on %s/%s/*",
				i, identity.Name, config.DemoBucketArn, object, config.DemoBucketArn, identity.Name))
			break // the one line mends them all
		}
	}
	return warnings
}

// maybePuts tells whether statements could let somebody put an object of the demo
// bucket, as far as it shows at a glance: without any of them nobody could.
func maybePuts(statements []config.Statement, object string) bool {
	mentioned, may := len(statements) == 0, false
	for _, s := range statements {
		if s.Effect != iampolicy.Allow {
			continue
		}
		may = may || len(s.Resources) == 0
		for _, resource := range s.Resources {
			literal, _, wild := strings.Cut(resource, "*")
			prefix, ours := strings.CutPrefix(literal, config.DemoBucketArn+"/")
			mentioned = mentioned || ours
			may = may || !ours || prefix == object || wild && strings.HasPrefix(object, prefix) || strings.Contains(prefix, "?") || strings.Contains(prefix, "$")
		}
	}
	return may || !mentioned
}

// demoPrefix begins the keys of an account's objects in the demo bucket: the
// identity's name, or what is the account's own by prefixPerPod.
func demoPrefix(identity config.Identity, account config.Account) string {
	if at := slices.IndexFunc(identity.PrefixPerPod, inDemoBucket); at >= 0 {
		return config.OwnPrefix(identity.PrefixPerPod[at], account)
	}
	return identity.Name + "/"
}

func inDemoBucket(location string) bool { return strings.HasPrefix(location, config.DemoBucketArn) }

// prefixes are where an account has objects of its own, by prefixPerPod.
func prefixes(identity config.Identity, account config.Account, bucket *demoBucket) pulumi.StringArray {
	var all pulumi.StringArray
	for _, location := range identity.PrefixPerPod {
		arn, _, _ := strings.Cut(strings.ReplaceAll(location, config.DemoBucketArn, bucket.bucketArn()), "/")
		all = append(all, pulumi.String("s3://"+arn[strings.LastIndex(arn, ":")+1:]+"/"+config.OwnPrefix(location, account)))
	}
	return all
}

// bucketArn is the ARN for policies: that of the bucket, or nothing where there
// is none, which no valid configuration refers to.
func (d *demoBucket) bucketArn() string {
	if d == nil {
		return ""
	}
	return d.arn
}
