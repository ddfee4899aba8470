package oidcissuer

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/rules"
)

// BucketIssuerType is the type token of [BucketIssuer].
const BucketIssuerType = "k3s-aws-auth:oidcissuer:BucketIssuer"

// BucketIssuerArgs describes an issuer that S3 itself serves.
type BucketIssuerArgs struct {
	// Bucket is the bucket's physical name. It is part of the issuer's URL and
	// so of every token: changing it is a migration of the issuer. No dots.
	Bucket string
	// Region is the bucket's region, also in the URL.
	Region string
	// DNSSuffix is that of the partition; empty means amazonaws.com.
	DNSSuffix string
	// PublicKeys are the PEM public keys that verify tokens: the signing key
	// first, then keys that are to be published too (rotation).
	PublicKeys pulumi.StringArrayInput
	// CacheMaxAgeSeconds is the documents' Cache-Control max-age; 0 means
	// [rules.DefaultCacheSeconds].
	CacheMaxAgeSeconds int
	// Protect makes Pulumi refuse to delete the bucket.
	Protect bool
	// Versioned makes the bucket keep what is overwritten or deleted, so that a
	// wrong set of keys can be taken back, and states its encryption.
	Versioned bool
	// LogBucket is the name of the bucket of package accesslogs that access logs
	// go to, below its prefixes; nil for none.
	LogBucket pulumi.StringInput
	// ForceDestroy lets a destroy delete what else is in the bucket: objects of
	// others, and versions that were left when versioning was switched on or off.
	ForceDestroy bool
	Tags         map[string]string
}

// BucketIssuer is an OIDC issuer whose two documents are public objects of a
// bucket.
type BucketIssuer struct {
	pulumi.ResourceState

	// URL is the issuer's URL, known from the arguments alone.
	URL pulumi.StringOutput `pulumi:"url"`
	// Ready is the same URL, but resolves only when both documents answer
	// anonymously (in a preview at once). What must not exist before the
	// issuer works takes this one.
	Ready pulumi.StringOutput `pulumi:"ready"`
	// BucketName is the bucket's name.
	BucketName pulumi.StringOutput `pulumi:"bucketName"`
}

// NewBucketIssuer publishes the issuer. The bucket policy opens the two
// documents and nothing else, there are no ACLs, and of the public access block
// only the two flags about policies are off.
//
// An account-level or organization-level Block Public Access forbids all of
// this: S3 then answers AccessDenied and names BlockPublicPolicy, and the
// CloudFront issuer is the way out.
func NewBucketIssuer(ctx *pulumi.Context, name string, args *BucketIssuerArgs, opts ...pulumi.ResourceOption) (*BucketIssuer, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	issuer := &BucketIssuer{}
	if err := ctx.RegisterComponentResource(BucketIssuerType, name, issuer, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", BucketIssuerType, name, err)
	}
	url := IssuerURLFromBucket(args.Bucket, args.Region, args.DNSSuffix)
	afterBlock, beforePolicy, err := newLag(ctx, name+"-public", publicPolicyLag)
	if err != nil {
		return nil, err
	}
	storage, err := newStorage(ctx, name, issuer, storageArgs{
		bucket:        args.Bucket,
		issuer:        url,
		publicKeys:    args.PublicKeys,
		maxAgeSeconds: cmp.Or(args.CacheMaxAgeSeconds, rules.DefaultCacheSeconds),
		public:        true,
		protect:       args.Protect,
		versioned:     args.Versioned,
		logBucket:     args.LogBucket,
		forceDestroy:  args.ForceDestroy,
		tags:          pulumi.ToStringMap(args.Tags),
		onAccess:      afterBlock,
	})
	if err != nil {
		return nil, err
	}
	policy, err := s3.NewBucketPolicy(ctx, name+"-policy", &s3.BucketPolicyArgs{
		Bucket: storage.bucket.ID(),
		Policy: storage.bucket.Arn.ApplyT(func(arn string) (string, error) {
			return publicDocumentsPolicy(arn).JSON()
		}).(pulumi.StringOutput),
	}, pulumi.Parent(issuer),
		// S3 refuses a public policy while the block is on, and for a while after.
		// So it comes last: after the settings, the objects, and the rest of that
		// while.
		pulumi.DependsOn(append([]pulumi.Resource{storage.discovery, storage.jwks}, storage.settled...)), beforePolicy)
	if err != nil {
		return nil, fmt.Errorf("policy of the OIDC documents' bucket: %w", err)
	}

	issuer.URL = pulumi.String(url).ToStringOutput()
	issuer.BucketName = storage.bucket.Bucket
	issuer.Ready = awaitDocuments(ctx, issuer, probe{
		issuer:   url,
		deadline: bucketDeadline,
		causes: []string{
			"S3 Block Public Access of the account or the organization is on and overrides the bucket's (issuer by CloudFront needs no public bucket)",
			"the bucket's own public access block or policy was changed outside this stack",
			"the object is missing, which S3 answers with 403 to those who may not list the bucket",
		},
	}, args.PublicKeys, policy.Policy, storage.discovery.Etag, storage.jwks.Etag)

	if err := outputs.Register(ctx, issuer); err != nil {
		return nil, fmt.Errorf("%s %q: %w", BucketIssuerType, name, err)
	}
	return issuer, nil
}

// publicDocumentsPolicy is the bucket policy of a public issuer: anybody may
// get the two documents.
func publicDocumentsPolicy(bucketArn string) iampolicy.Document {
	return iampolicy.New(iampolicy.Statement{
		Sid:       "ReadOIDCDocuments",
		Principal: &iampolicy.Principal{Anyone: true},
		Actions:   []string{"s3:GetObject"},
		Resources: documentArns(bucketArn),
	})
}

func (args *BucketIssuerArgs) validate(name string) error {
	if args == nil {
		return fmt.Errorf("BucketIssuer %q: args are missing", name)
	}
	var errs []error
	errs = append(errs, ValidateBucketName(args.Bucket), validateRegion(args.Region))
	if args.PublicKeys == nil {
		errs = append(errs, errors.New("PublicKeys are missing"))
	}
	if args.CacheMaxAgeSeconds < 0 {
		errs = append(errs, fmt.Errorf("CacheMaxAgeSeconds is %d, must not be negative", args.CacheMaxAgeSeconds))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("BucketIssuer %q: %w", name, err)
	}
	return nil
}
