package oidcissuer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudfront"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/accesslogs"
	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/names"
	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/rules"
)

// CloudFrontIssuerType is the type token of [CloudFrontIssuer].
const CloudFrontIssuerType = "k3s-aws-auth:oidcissuer:CloudFrontIssuer"

// Where the issuer's DNS records are made.
const (
	// DNSRoute53 makes them in the hosted zone that the arguments name.
	DNSRoute53 = "route53"
	// DNSExternal makes none: they are logged while the deployment waits for
	// them and returned as an output, for somebody to add elsewhere.
	DNSExternal = "external"
)

const originID = "documents"

var priceClasses = []string{"PriceClass_100", "PriceClass_200", "PriceClass_All"}

// CloudFrontIssuerArgs describes an issuer on a domain of one's own.
type CloudFrontIssuerArgs struct {
	// Domain is the issuer's host name; the URL is https:// and this name.
	Domain string
	// DNS is [DNSRoute53] or [DNSExternal].
	DNS string
	// HostedZoneID is the Route 53 zone of the domain; only with DNSRoute53.
	HostedZoneID string
	// Bucket is the physical name of the private bucket behind the
	// distribution.
	Bucket string
	// PublicKeys are the PEM public keys that verify tokens: the signing key
	// first, then keys that are to be published too (rotation).
	PublicKeys pulumi.StringArrayInput
	// CacheTTLSeconds is how long edges and clients may keep the documents; 0
	// means [rules.DefaultCacheSeconds]. It is both the objects' max-age and
	// the longest time in the cache policy.
	CacheTTLSeconds int
	// PriceClass is a CloudFront price class; empty means [rules.DefaultPriceClass].
	PriceClass string
	// UsEast1 is an AWS provider for us-east-1, where CloudFront's
	// certificates must be. Only the certificate and its validation use it.
	UsEast1 pulumi.ProviderResource
	// Protect makes Pulumi refuse to delete the bucket and the distribution.
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

// CloudFrontIssuer is an OIDC issuer whose two documents are in a private
// bucket that only one CloudFront distribution can read.
type CloudFrontIssuer struct {
	pulumi.ResourceState

	// URL is the issuer's URL, known from the arguments alone.
	URL pulumi.StringOutput `pulumi:"url"`
	// Ready is the same URL, but resolves only when both documents answer
	// anonymously on the domain (in a preview at once).
	Ready pulumi.StringOutput `pulumi:"ready"`
	// DistributionID and DistributionArn are the distribution's.
	DistributionID  pulumi.StringOutput `pulumi:"distributionId"`
	DistributionArn pulumi.StringOutput `pulumi:"distributionArn"`
	// DistributionDomain is the distribution's own name, dNNN.cloudfront.net.
	DistributionDomain pulumi.StringOutput `pulumi:"distributionDomain"`
	// CertificateArn is the ARN of the certificate in us-east-1.
	CertificateArn pulumi.StringOutput `pulumi:"certificateArn"`
	// BucketName is the bucket's name.
	BucketName pulumi.StringOutput `pulumi:"bucketName"`
	// Records are the DNS records to add with [DNSExternal] (none with
	// Route 53), each with the keys name, type, value and purpose.
	Records pulumi.StringMapArrayOutput `pulumi:"records"`
}

// NewCloudFrontIssuer publishes the issuer: private bucket with every block on,
// origin access control, cache policy, certificate with DNS validation,
// distribution, and the domain's records.
func NewCloudFrontIssuer(ctx *pulumi.Context, name string, args *CloudFrontIssuerArgs, opts ...pulumi.ResourceOption) (*CloudFrontIssuer, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	issuer := &CloudFrontIssuer{}
	if err := ctx.RegisterComponentResource(CloudFrontIssuerType, name, issuer, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", CloudFrontIssuerType, name, err)
	}
	url := IssuerURLFromDomain(args.Domain)
	tags := pulumi.ToStringMap(args.Tags)
	storage, err := newStorage(ctx, name, issuer, storageArgs{
		bucket:        args.Bucket,
		issuer:        url,
		publicKeys:    args.PublicKeys,
		maxAgeSeconds: cmp.Or(args.CacheTTLSeconds, rules.DefaultCacheSeconds),
		public:        false,
		protect:       args.Protect,
		versioned:     args.Versioned,
		logBucket:     args.LogBucket,
		forceDestroy:  args.ForceDestroy,
		tags:          tags,
	})
	if err != nil {
		return nil, err
	}
	certificate, err := newCertificate(ctx, name, issuer, args, tags)
	if err != nil {
		return nil, err
	}
	distribution, err := newDistribution(ctx, name, issuer, args, storage, certificate.validatedArn, tags)
	if err != nil {
		return nil, err
	}
	policy, err := s3.NewBucketPolicy(ctx, name+"-policy", &s3.BucketPolicyArgs{
		Bucket: storage.bucket.ID(),
		Policy: pulumi.All(storage.bucket.Arn, distribution.Arn).ApplyT(func(arns []any) (string, error) {
			return distributionDocumentsPolicy(arns[0].(string), arns[1].(string)).JSON()
		}).(pulumi.StringOutput),
	}, pulumi.Parent(issuer),
		// S3 refuses two changes of one bucket's settings at a time.
		pulumi.DependsOn(storage.settled))
	if err != nil {
		return nil, fmt.Errorf("policy of the OIDC documents' bucket: %w", err)
	}
	records, err := newRecords(ctx, name, issuer, args, distribution)
	if err != nil {
		return nil, err
	}
	if args.DNS == DNSExternal {
		issuer.Records = externalRecords(ctx, issuer, args.Domain, certificate.certificate, distribution)
	} else {
		issuer.Records = pulumi.StringMapArray{}.ToStringMapArrayOutput()
	}

	issuer.URL = pulumi.String(url).ToStringOutput()
	issuer.DistributionID = distribution.ID().ToStringOutput()
	issuer.DistributionArn = distribution.Arn
	issuer.CertificateArn = certificate.certificate.Arn
	issuer.DistributionDomain = distribution.DomainName
	issuer.BucketName = storage.bucket.Bucket
	deadline := route53Deadline
	if args.DNS == DNSExternal {
		deadline = externalDeadline
	}
	after := []pulumi.Output{policy.Policy, storage.discovery.Etag, storage.jwks.Etag, distribution.DomainName}
	for _, record := range records {
		after = append(after, record.Fqdn)
	}
	issuer.Ready = awaitDocuments(ctx, issuer, probe{
		issuer:   url,
		deadline: deadline,
		causes: []string{
			"the bucket's policy does not name this distribution, or its origin access control was changed outside this stack",
			"an object is missing, which S3 answers with 403 to those who may not list the bucket",
			"the domain is an alternate name of another distribution, or a WAF or geo restriction was added to this one",
		},
	}, args.PublicKeys, after...)

	if err := outputs.Register(ctx, issuer); err != nil {
		return nil, fmt.Errorf("%s %q: %w", CloudFrontIssuerType, name, err)
	}
	return issuer, nil
}

// newDistribution makes the origin access control, the cache policy and the
// distribution.
func newDistribution(ctx *pulumi.Context, name string, parent pulumi.Resource, args *CloudFrontIssuerArgs,
	storage *storage, certificateArn pulumi.StringInput, tags pulumi.StringMap) (*cloudfront.Distribution, error) {
	child := pulumi.Parent(parent)
	oac, err := cloudfront.NewOriginAccessControl(ctx, names.Autonamed(name+"-oac", names.MaxOriginAccess), &cloudfront.OriginAccessControlArgs{
		Description:                   pulumi.String("OIDC documents of " + args.Domain),
		OriginAccessControlOriginType: pulumi.String("s3"),
		SigningBehavior:               pulumi.String("always"),
		SigningProtocol:               pulumi.String("sigv4"),
	}, child)
	if err != nil {
		return nil, fmt.Errorf("origin access control: %w", err)
	}
	cache, err := newCachePolicy(ctx, name, parent, args)
	if err != nil {
		return nil, err
	}
	distribution, err := cloudfront.NewDistribution(ctx, name+"-cdn", &cloudfront.DistributionArgs{
		Enabled:       pulumi.Bool(true),
		IsIpv6Enabled: pulumi.Bool(true),
		HttpVersion:   pulumi.String("http2"),
		Comment:       pulumi.String("OIDC issuer " + args.Domain),
		Aliases:       pulumi.StringArray{pulumi.String(args.Domain)},
		PriceClass:    pulumi.String(priceClass(args)),
		LoggingConfig: loggingConfig(args),
		Origins: cloudfront.DistributionOriginArray{cloudfront.DistributionOriginArgs{
			OriginId: pulumi.String(originID),
			// The regional name, never the website endpoint: that one has no
			// TLS and takes no signature of an origin access control.
			DomainName:            storage.bucket.BucketRegionalDomainName,
			OriginAccessControlId: oac.ID(),
		}},
		DefaultCacheBehavior: cloudfront.DistributionDefaultCacheBehaviorArgs{
			TargetOriginId: pulumi.String(originID),
			AllowedMethods: pulumi.ToStringArray([]string{"GET", "HEAD"}),
			CachedMethods:  pulumi.ToStringArray([]string{"GET", "HEAD"}),
			// An issuer is https only; a redirect would only hide a client
			// that has the wrong URL.
			ViewerProtocolPolicy: pulumi.String("https-only"),
			CachePolicyId:        cache.ID(),
		},
		Restrictions: cloudfront.DistributionRestrictionsArgs{
			GeoRestriction: cloudfront.DistributionRestrictionsGeoRestrictionArgs{
				RestrictionType: pulumi.String("none"),
			},
		},
		ViewerCertificate: cloudfront.DistributionViewerCertificateArgs{
			AcmCertificateArn: certificateArn,
			// The default is TLSv1. Not a TLS-1.3-only policy: what STS speaks
			// is not documented.
			MinimumProtocolVersion: pulumi.String("TLSv1.2_2021"),
			SslSupportMethod:       pulumi.String("sni-only"),
		},
		WaitForDeployment: pulumi.Bool(true),
		Tags:              tags,
	}, child,
		// Without its issuer, no token of the cluster can be verified.
		pulumi.Protect(args.Protect))
	if err != nil {
		return nil, fmt.Errorf("distribution of the OIDC documents: %w", err)
	}
	return distribution, nil
}

func newCachePolicy(ctx *pulumi.Context, name string, parent pulumi.Resource, args *CloudFrontIssuerArgs) (*cloudfront.CachePolicy, error) {
	ttl := pulumi.Int(cmp.Or(args.CacheTTLSeconds, rules.DefaultCacheSeconds))
	none := pulumi.String("none")
	policy, err := cloudfront.NewCachePolicy(ctx, names.Autonamed(name+"-cache", names.MaxPolicy), &cloudfront.CachePolicyArgs{
		Comment: pulumi.String("OIDC documents of " + args.Domain),
		// The objects' max-age counts between the shortest and the longest
		// time; with both ends here a rotation never waits longer than this.
		MinTtl:     pulumi.Int(0),
		DefaultTtl: ttl,
		MaxTtl:     ttl,
		ParametersInCacheKeyAndForwardedToOrigin: cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginArgs{
			CookiesConfig:              cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginCookiesConfigArgs{CookieBehavior: none},
			HeadersConfig:              cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginHeadersConfigArgs{HeaderBehavior: none},
			QueryStringsConfig:         cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginQueryStringsConfigArgs{QueryStringBehavior: none},
			EnableAcceptEncodingBrotli: pulumi.Bool(false),
			EnableAcceptEncodingGzip:   pulumi.Bool(false),
		},
	}, pulumi.Parent(parent))
	if err != nil {
		return nil, fmt.Errorf("cache policy: %w", err)
	}
	return policy, nil
}

// loggingConfig is that of CloudFront's standard logs in their first form, which
// is part of the distribution. It names the bucket by its domain.
func loggingConfig(args *CloudFrontIssuerArgs) cloudfront.DistributionLoggingConfigPtrInput {
	if args.LogBucket == nil {
		return nil
	}
	return cloudfront.DistributionLoggingConfigArgs{
		Bucket: pulumi.Sprintf("%s.s3.amazonaws.com", args.LogBucket),
		Prefix: pulumi.String(accesslogs.CloudFrontPrefix),
	}
}

func priceClass(args *CloudFrontIssuerArgs) string {
	if args.PriceClass == "" {
		return rules.DefaultPriceClass
	}
	return args.PriceClass
}

// distributionDocumentsPolicy is the bucket policy of a private issuer:
// CloudFront may get the two documents for this one distribution. It cannot
// list the bucket, so a missing object answers 403.
func distributionDocumentsPolicy(bucketArn, distributionArn string) iampolicy.Document {
	return iampolicy.New(iampolicy.Statement{
		Sid:       "ReadOIDCDocuments",
		Principal: &iampolicy.Principal{Service: []string{"cloudfront.amazonaws.com"}},
		Actions:   []string{"s3:GetObject"},
		Resources: documentArns(bucketArn),
		Conditions: map[string]map[string][]string{
			"StringEquals": {"AWS:SourceArn": {distributionArn}},
		},
	})
}

func (args *CloudFrontIssuerArgs) validate(name string) error {
	if args == nil {
		return fmt.Errorf("CloudFrontIssuer %q: args are missing", name)
	}
	errs := []error{ValidateDomain(args.Domain), ValidateBucketName(args.Bucket)}
	check := func(bad bool, format string, a ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	check(args.DNS != DNSRoute53 && args.DNS != DNSExternal, "DNS is %q, must be %s or %s", args.DNS, DNSRoute53, DNSExternal)
	check(args.DNS == DNSRoute53 && args.HostedZoneID == "", "HostedZoneID is missing, must be the Route 53 zone of %s", args.Domain)
	check(args.DNS == DNSExternal && args.HostedZoneID != "", "HostedZoneID is set, but DNS is external")
	check(args.PublicKeys == nil, "PublicKeys are missing")
	check(args.UsEast1 == nil, "UsEast1 is missing: CloudFront takes certificates of us-east-1 only")
	check(args.CacheTTLSeconds < 0, "CacheTTLSeconds is %d, must not be negative", args.CacheTTLSeconds)
	check(args.PriceClass != "" && !slices.Contains(priceClasses, args.PriceClass),
		"PriceClass is %q, must be one of %s", args.PriceClass, strings.Join(priceClasses, ", "))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("CloudFrontIssuer %q: %w", name, err)
	}
	return nil
}
