package oidcissuer

import (
	"context"
	"fmt"
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/accesslogs"
)

const contentType = "application/json"

// storage is the bucket that holds the documents, and the documents.
type storage struct {
	bucket    *s3.BucketV2
	access    *s3.BucketPublicAccessBlock
	ownership *s3.BucketOwnershipControls
	// settled are the last of the bucket's settings: what comes after them meets
	// a bucket that is as it shall be.
	settled         []pulumi.Resource
	discovery, jwks *s3.BucketObjectv2
}

type storageArgs struct {
	bucket        string
	issuer        string
	publicKeys    pulumi.StringArrayInput
	maxAgeSeconds int
	public        bool
	protect       bool
	versioned     bool
	logBucket     pulumi.StringInput // nil for no access logs
	forceDestroy  bool
	tags          pulumi.StringMap
	// onAccess is an option of the public access block; nil for none.
	onAccess pulumi.ResourceOption
}

// newStorage makes the bucket with its access settings and the two objects. A
// public bucket lets a bucket policy open objects, and nothing else; a private
// one has every block on. ACLs are off in both.
func newStorage(ctx *pulumi.Context, name string, parent pulumi.Resource, args storageArgs) (*storage, error) {
	var (
		s   storage
		err error
	)
	child := pulumi.Parent(parent)
	s.bucket, err = s3.NewBucketV2(ctx, name+"-bucket", &s3.BucketV2Args{
		// The name is contractual: it is in the public issuer's URL.
		Bucket:       pulumi.String(args.bucket),
		ForceDestroy: pulumi.Bool(args.forceDestroy),
		Tags:         args.tags,
	}, child,
		// Without its issuer, no token of the cluster can be verified and every
		// pod loses its identity.
		pulumi.Protect(args.protect))
	if err != nil {
		return nil, fmt.Errorf("bucket of the OIDC documents: %w", err)
	}
	access := []pulumi.ResourceOption{child}
	if args.onAccess != nil {
		access = append(access, args.onAccess)
	}
	// All four flags are given, since one that is left out is sent as false.
	s.access, err = s3.NewBucketPublicAccessBlock(ctx, name+"-access", &s3.BucketPublicAccessBlockArgs{
		Bucket:                s.bucket.ID(),
		BlockPublicAcls:       pulumi.Bool(true),
		IgnorePublicAcls:      pulumi.Bool(true),
		BlockPublicPolicy:     pulumi.Bool(!args.public),
		RestrictPublicBuckets: pulumi.Bool(!args.public),
	}, access...)
	if err != nil {
		return nil, fmt.Errorf("public access block of the OIDC documents' bucket: %w", err)
	}
	s.ownership, err = s3.NewBucketOwnershipControls(ctx, name+"-ownership", &s3.BucketOwnershipControlsArgs{
		Bucket: s.bucket.ID(),
		Rule:   s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String("BucketOwnerEnforced")},
	}, child,
		// S3 refuses two changes of one bucket's settings at a time
		// (OperationAborted), and the provider retries that only on delete.
		pulumi.DependsOn([]pulumi.Resource{s.access}))
	if err != nil {
		return nil, fmt.Errorf("ownership controls of the OIDC documents' bucket: %w", err)
	}

	s.settled = []pulumi.Resource{s.access, s.ownership}
	if args.versioned {
		if err := s.keepVersions(ctx, name, child); err != nil {
			return nil, err
		}
	}
	if args.logBucket != nil {
		if err := s.logTo(ctx, name, args.logBucket, child); err != nil {
			return nil, err
		}
	}

	keys := published(args.publicKeys)
	discovery := keys.ApplyT(func(keys []string) (string, error) {
		algorithms, err := Algorithms(keys)
		if err != nil {
			return "", err
		}
		document, err := Discovery(args.issuer, algorithms...)
		return string(document), err
	}).(pulumi.StringOutput)
	jwks := keys.ApplyT(func(keys []string) (string, error) {
		document, err := JWKS(keys)
		return string(document), err
	}).(pulumi.StringOutput)
	for _, object := range []struct {
		resource **s3.BucketObjectv2
		suffix   string
		key      string
		content  pulumi.StringOutput
	}{
		{&s.discovery, "-discovery", DiscoveryPath, discovery},
		{&s.jwks, "-jwks", JWKSPath, jwks},
	} {
		*object.resource, err = s3.NewBucketObjectv2(ctx, name+object.suffix, &s3.BucketObjectv2Args{
			Bucket:       s.bucket.ID(),
			Key:          pulumi.String(object.key),
			Content:      object.content,
			ContentType:  pulumi.String(contentType),
			CacheControl: pulumi.Sprintf("max-age=%d", args.maxAgeSeconds),
			Tags:         args.tags,
		}, child,
			// No object is written before the bucket's settings stand.
			pulumi.DependsOn(s.settled))
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", object.key, err)
		}
	}
	return &s, nil
}

// keepVersions makes the bucket keep what is overwritten or deleted, and says in
// the configuration that its contents are encrypted.
func (s *storage) keepVersions(ctx *pulumi.Context, name string, child pulumi.ResourceOption) error {
	// One after the other: S3 refuses two changes of one bucket's settings at a
	// time.
	encryption, err := s3.NewBucketServerSideEncryptionConfigurationV2(ctx, name+"-encryption", &s3.BucketServerSideEncryptionConfigurationV2Args{
		Bucket: s.bucket.ID(),
		Rules: s3.BucketServerSideEncryptionConfigurationV2RuleArray{s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
			ApplyServerSideEncryptionByDefault: s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs{
				// S3's own keys. The documents are public, so there is nothing to
				// hide, and a KMS key would shut anonymous readers out: whoever
				// reads must then be allowed to use the key.
				SseAlgorithm: pulumi.String("AES256"),
			},
		}},
	}, child, pulumi.DependsOn(s.settled))
	if err != nil {
		return fmt.Errorf("encryption of the OIDC documents' bucket: %w", err)
	}
	versioning, err := s3.NewBucketVersioningV2(ctx, name+"-versioning", &s3.BucketVersioningV2Args{
		Bucket:                  s.bucket.ID(),
		VersioningConfiguration: s3.BucketVersioningV2VersioningConfigurationArgs{Status: pulumi.String("Enabled")},
	}, child, pulumi.DependsOn([]pulumi.Resource{encryption}))
	if err != nil {
		return fmt.Errorf("versioning of the OIDC documents' bucket: %w", err)
	}
	s.settled = append(s.settled, versioning)
	return nil
}

// logTo sends the bucket's server access logs to another one.
func (s *storage) logTo(ctx *pulumi.Context, name string, bucket pulumi.StringInput, child pulumi.ResourceOption) error {
	logging, err := s3.NewBucketLoggingV2(ctx, name+"-logging", &s3.BucketLoggingV2Args{
		Bucket:       s.bucket.ID(),
		TargetBucket: bucket,
		TargetPrefix: pulumi.String(accesslogs.S3Prefix),
	}, child, pulumi.DependsOn(s.settled))
	if err != nil {
		return fmt.Errorf("access logs of the OIDC documents' bucket: %w", err)
	}
	s.settled = append(s.settled, logging)
	return nil
}

// published returns the public keys in plain even where they were computed from
// a secret: they are about to be published, and a reviewer must see them in the
// preview.
func published(keys pulumi.StringArrayInput) pulumi.StringArrayOutput {
	return pulumi.Unsecret(keys.ToStringArrayOutput()).(pulumi.StringArrayOutput)
}

// documentArns returns the ARNs of the two documents and of nothing else.
func documentArns(bucketArn string) []string {
	return []string{bucketArn + "/" + DiscoveryPath, bucketArn + "/" + JWKSPath}
}

// awaitDocuments returns the issuer's URL as an output that resolves once both
// documents can be read anonymously. In a preview it resolves without looking,
// since what it would look at may not exist yet. After the resources given, so
// that a change of any of them is probed too.
func awaitDocuments(ctx *pulumi.Context, parent pulumi.Resource, p probe, keys pulumi.StringArrayInput, after ...pulumi.Output) pulumi.StringOutput {
	inputs := []any{published(keys)}
	for _, output := range after {
		inputs = append(inputs, output)
	}
	return pulumi.All(inputs...).ApplyTWithContext(ctx.Context(), func(c context.Context, values []any) (string, error) {
		if ctx.DryRun() {
			return p.issuer, nil
		}
		ids, err := KeyIDs(values[0].([]string))
		if err != nil {
			return "", err
		}
		p.keyIDs = ids
		p.progress = func(message string) {
			_ = ctx.Log.Info(message, &pulumi.LogArgs{Resource: parent})
		}
		if err := p.wait(c); err != nil {
			return "", err
		}
		return p.issuer, nil
	}).(pulumi.StringOutput)
}

// Deadlines of the wait for the documents. Through Route 53 a resolver may
// remember the missing name for the zone's SOA minimum (900 s by default);
// external records wait for a person.
const (
	bucketDeadline   = 5 * time.Minute
	route53Deadline  = 20 * time.Minute
	externalDeadline = 60 * time.Minute
)
