package services_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	cf "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53 "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/lab/internal/gate"
)

// edge is the whole of an issuer behind CloudFront, as a program would make it.
type edge struct {
	*lab
	cf       *cloudfront.Client
	s3       *s3.Client
	zone     string
	cert     string
	oac      string
	bucket   string
	url      string
	id, etag string
	arn      string
	domain   string
}

func (l *lab) zone(name string) string {
	l.t.Helper()
	out, err := route53.NewFromConfig(l.config("us-east-1")).CreateHostedZone(context.Background(), &route53.CreateHostedZoneInput{Name: &name, CallerReference: aws.String(name)})
	require.NoError(l.t, err)
	require.Len(l.t, out.DelegationSet.NameServers, 4)
	return strings.TrimPrefix(*out.HostedZone.Id, "/hostedzone/")
}

func (l *lab) record(zone string, action r53.ChangeAction, set *r53.ResourceRecordSet) error {
	_, err := route53.NewFromConfig(l.config("us-east-1")).ChangeResourceRecordSets(context.Background(), &route53.ChangeResourceRecordSetsInput{HostedZoneId: &zone,
		ChangeBatch: &r53.ChangeBatch{Changes: []r53.Change{{Action: action, ResourceRecordSet: set}}}})
	return err
}

func cname(name, value string) *r53.ResourceRecordSet {
	return &r53.ResourceRecordSet{Name: &name, Type: "CNAME", TTL: aws.Int64(60), ResourceRecords: []r53.ResourceRecord{{Value: &value}}}
}

// certificate requests one in a region and returns its ARN and validation record.
func (l *lab) certificate(in, domain string) (arn string, record *acmtypes.ResourceRecord) {
	l.t.Helper()
	c := acm.NewFromConfig(l.config(in))
	req, err := c.RequestCertificate(context.Background(), &acm.RequestCertificateInput{DomainName: &domain, ValidationMethod: "DNS"})
	require.NoError(l.t, err)
	d, err := c.DescribeCertificate(context.Background(), &acm.DescribeCertificateInput{CertificateArn: req.CertificateArn})
	require.NoError(l.t, err)
	require.Equal(l.t, acmtypes.CertificateStatusPendingValidation, d.Certificate.Status)
	require.True(l.t, strings.HasSuffix(*d.Certificate.DomainValidationOptions[0].ResourceRecord.Name, "."))
	return *req.CertificateArn, d.Certificate.DomainValidationOptions[0].ResourceRecord
}

func (e *edge) config() *cf.DistributionConfig {
	return &cf.DistributionConfig{CallerReference: aws.String("ref"), Comment: aws.String("issuer"), Enabled: aws.Bool(true), PriceClass: "PriceClass_100",
		Aliases: &cf.Aliases{Quantity: aws.Int32(1), Items: []string{"oidc.lab.example"}},
		Origins: &cf.Origins{Quantity: aws.Int32(1), Items: []cf.Origin{{Id: aws.String("s3"), DomainName: aws.String(e.bucket + ".s3.eu-central-1.amazonaws.com"),
			OriginAccessControlId: &e.oac, S3OriginConfig: &cf.S3OriginConfig{OriginAccessIdentity: aws.String("")}}}},
		DefaultCacheBehavior: &cf.DefaultCacheBehavior{TargetOriginId: aws.String("s3"), ViewerProtocolPolicy: "redirect-to-https", CachePolicyId: aws.String("658327ea-f89d-4fab-a63d-7e88639e58f6"), Compress: aws.Bool(true)},
		ViewerCertificate:    &cf.ViewerCertificate{ACMCertificateArn: &e.cert, SSLSupportMethod: "sni-only", MinimumProtocolVersion: "TLSv1.2_2021"}}
}

func newEdge(t *testing.T, bucket string) *edge {
	t.Helper()
	l, ctx := newLab(t), context.Background()
	e := &edge{lab: l, cf: cloudfront.NewFromConfig(l.lab().config("us-east-1")), bucket: bucket, url: "https://oidc.lab.example"}
	e.s3 = l.bucket(bucket)
	require.NoError(t, put(e.s3, bucket, "keys.json", `{"keys":[]}`, func(in *s3.PutObjectInput) {
		in.ContentType, in.CacheControl = aws.String("application/json"), aws.String("public, max-age=300")
	}))
	e.zone = l.zone("lab.example")
	var record *acmtypes.ResourceRecord
	e.cert, record = l.certificate("us-east-1", "oidc.lab.example")
	oac, err := e.cf.CreateOriginAccessControl(ctx, &cloudfront.CreateOriginAccessControlInput{OriginAccessControlConfig: &cf.OriginAccessControlConfig{
		Name: aws.String("issuer"), OriginAccessControlOriginType: "s3", SigningBehavior: "always", SigningProtocol: "sigv4"}})
	require.NoError(t, err)
	e.oac = *oac.OriginAccessControl.Id
	_, err = e.cf.CreateDistribution(ctx, &cloudfront.CreateDistributionInput{DistributionConfig: e.config()})
	requireCode(t, err, "InvalidViewerCertificate", "isn't valid")
	require.NoError(t, l.record(e.zone, "CREATE", cname(*record.Name, *record.Value)))
	requireCode(t, l.record(e.zone, "CREATE", cname(*record.Name, *record.Value)), "InvalidChangeBatch", "but it already exists")
	d, err := acm.NewFromConfig(l.config("us-east-1")).DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &e.cert})
	require.NoError(t, err)
	require.Equal(t, acmtypes.CertificateStatusIssued, d.Certificate.Status)
	out, err := e.cf.CreateDistributionWithTags(ctx, &cloudfront.CreateDistributionWithTagsInput{DistributionConfigWithTags: &cf.DistributionConfigWithTags{
		DistributionConfig: e.config(), Tags: &cf.Tags{Items: []cf.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}}})
	require.NoError(t, err)
	require.Equal(t, "InProgress", *out.Distribution.Status)
	e.id, e.etag, e.arn, e.domain = *out.Distribution.Id, *out.ETag, *out.Distribution.ARN, *out.Distribution.DomainName
	got, err := e.cf.GetDistribution(ctx, &cloudfront.GetDistributionInput{Id: &e.id})
	require.NoError(t, err)
	require.Equal(t, "Deployed", *got.Distribution.Status)
	require.Equal(t, "oidc.lab.example", got.Distribution.DistributionConfig.Aliases.Items[0])
	for _, kind := range []r53.RRType{"A", "AAAA"} {
		require.NoError(t, l.record(e.zone, "CREATE", &r53.ResourceRecordSet{Name: aws.String("oidc.lab.example"), Type: kind,
			AliasTarget: &r53.AliasTarget{HostedZoneId: aws.String("Z2FDTNDATAQYW2"), DNSName: &e.domain}}))
	}
	return e
}

func (l *lab) lab() *lab { return l }

func (e *edge) allowOrigin(sourceArn string) {
	e.t.Helper()
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"cloudfront.amazonaws.com"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::%s/*","Condition":{"StringEquals":{"AWS:SourceArn":%q}}}]}`, e.bucket, sourceArn)
	_, err := e.s3.PutBucketPolicy(context.Background(), &s3.PutBucketPolicyInput{Bucket: &e.bucket, Policy: &policy})
	require.NoError(e.t, err)
}

func (e *edge) get(path string) (int, string, http.Header) { return e.anonymous(e.url + path) }

func TestEdge(t *testing.T) {
	e := newEdge(t, "edge-lab")
	ctx := context.Background()
	status, _, header := e.get("/keys.json")
	require.Equal(t, 403, status, "the bucket lets nobody in yet")
	require.Equal(t, "Error from cloudfront", header.Get("X-Cache"))
	e.allowOrigin(e.arn + "X")
	e.later(11 * time.Second) // errors are kept for ten seconds
	status, _, _ = e.get("/keys.json")
	require.Equal(t, 403, status, "another distribution's ARN")
	e.allowOrigin(e.arn)
	status, _, _ = e.get("/keys.json")
	require.Equal(t, 403, status, "the error is still in the cache")
	e.later(11 * time.Second)
	status, body, header := e.get("/keys.json")
	require.Equal(t, 200, status)
	require.Equal(t, `{"keys":[]}`, body)
	require.Equal(t, "Miss from cloudfront", header.Get("X-Cache"))
	require.Equal(t, "application/json", header.Get("Content-Type"))
	require.Contains(t, header.Get("Via"), e.domain)
	e.later(30 * time.Second)
	_, _, header = e.get("/keys.json?ignored=1")
	require.Equal(t, "Hit from cloudfront", header.Get("X-Cache"))
	age := header.Get("Age")
	require.Contains(t, []string{"30", "31"}, age)

	// A new object shows when max-age has passed, between the policy's bounds.
	require.NoError(t, put(e.s3, e.bucket, "keys.json", `{"keys":[1]}`, func(in *s3.PutObjectInput) { in.CacheControl = aws.String("max-age=0") }))
	_, body, _ = e.get("/keys.json")
	require.Equal(t, `{"keys":[]}`, body)
	e.later(271 * time.Second)
	_, body, header = e.get("/keys.json")
	require.Equal(t, `{"keys":[1]}`, body, header)
	require.Equal(t, "Miss from cloudfront", header.Get("X-Cache"))
	e.later(1100 * time.Millisecond) // max-age=0, but CachingOptimized keeps everything for a second
	_, _, header = e.get("/keys.json")
	require.Equal(t, "RefreshHit from cloudfront", header.Get("X-Cache"))
	status, _, _ = e.get("/missing")
	require.Equal(t, 403, status, "without ListBucket a missing key looks forbidden")
	status, _, _ = e.anonymous("https://" + e.bucket + ".s3.eu-central-1.amazonaws.com/keys.json")
	require.Equal(t, 403, status, "the bucket itself stays private")
	status, _, _ = e.anonymous("https://" + e.domain + "/keys.json")
	require.Equal(t, 200, status)

	// The origin request is in the record as CloudFront's.
	found := false
	for _, ev := range e.Events() {
		found = found || (ev.Service == "s3" && ev.Action == "GetObject" && ev.Caller == "cloudfront.amazonaws.com" && ev.Status == 200)
	}
	require.True(t, found)

	// Invalidation.
	require.NoError(t, put(e.s3, e.bucket, "keys.json", `{"keys":[2]}`, func(in *s3.PutObjectInput) { in.CacheControl = aws.String("max-age=3600") }))
	inv, err := e.cf.CreateInvalidation(ctx, &cloudfront.CreateInvalidationInput{DistributionId: &e.id, InvalidationBatch: &cf.InvalidationBatch{CallerReference: aws.String("i"), Paths: &cf.Paths{Quantity: aws.Int32(1), Items: []string{"/*"}}}})
	require.NoError(t, err)
	done, err := e.cf.GetInvalidation(ctx, &cloudfront.GetInvalidationInput{DistributionId: &e.id, Id: inv.Invalidation.Id})
	require.NoError(t, err)
	require.Equal(t, "Completed", *done.Invalidation.Status)
	_, body, _ = e.get("/keys.json")
	require.Equal(t, `{"keys":[2]}`, body)

	// Without a signature on origin requests the private bucket answers nothing.
	oac, err := e.cf.GetOriginAccessControl(ctx, &cloudfront.GetOriginAccessControlInput{Id: &e.oac})
	require.NoError(t, err)
	config := oac.OriginAccessControl.OriginAccessControlConfig
	config.SigningBehavior = "never"
	_, err = e.cf.UpdateOriginAccessControl(ctx, &cloudfront.UpdateOriginAccessControlInput{Id: &e.oac, OriginAccessControlConfig: config, IfMatch: aws.String("wrong")})
	requireCode(t, err, "PreconditionFailed")
	_, err = e.cf.UpdateOriginAccessControl(ctx, &cloudfront.UpdateOriginAccessControlInput{Id: &e.oac, OriginAccessControlConfig: config, IfMatch: oac.ETag})
	require.NoError(t, err)
	status, _, _ = e.get("/uncached")
	require.Equal(t, 403, status)
}

func TestEdgeTLS(t *testing.T) {
	e := newEdge(t, "tls-lab")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = e.ServeTLS(l, "host") }()
	t.Cleanup(func() { _ = l.Close() })
	dial := func(name string, low, high uint16) (*tls.Conn, error) {
		return tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: name, RootCAs: e.CertPool(), MinVersion: low, MaxVersion: high})
	}
	c, err := dial("oidc.lab.example", tls.VersionTLS12, tls.VersionTLS13)
	require.NoError(t, err)
	require.Equal(t, []string{"oidc.lab.example"}, c.ConnectionState().PeerCertificates[0].DNSNames)
	_ = c.Close()
	_, err = dial("oidc.lab.example", tls.VersionTLS10, tls.VersionTLS11)
	require.Error(t, err, "TLSv1.2_2021 refuses older versions")
	_, err = dial("other.lab.example", tls.VersionTLS12, tls.VersionTLS13)
	require.Error(t, err)
}

func TestDistributionLifecycle(t *testing.T) {
	e := newEdge(t, "dist-lab")
	ctx := context.Background()
	tags, err := e.cf.ListTagsForResource(ctx, &cloudfront.ListTagsForResourceInput{Resource: &e.arn})
	require.NoError(t, err)
	require.Equal(t, "b", *tags.Tags.Items[0].Value)
	_, err = e.cf.TagResource(ctx, &cloudfront.TagResourceInput{Resource: &e.arn, Tags: &cf.Tags{Items: []cf.Tag{{Key: aws.String("c"), Value: aws.String("d")}}}})
	require.NoError(t, err)
	_, err = e.cf.UntagResource(ctx, &cloudfront.UntagResourceInput{Resource: &e.arn, TagKeys: &cf.TagKeys{Items: []string{"a"}}})
	require.NoError(t, err)

	other := e.config()
	other.CallerReference = aws.String("other")
	_, err = e.cf.CreateDistribution(ctx, &cloudfront.CreateDistributionInput{DistributionConfig: other})
	requireCode(t, err, "CNAMEAlreadyExists")
	other.Aliases.Items = []string{"www.lab.example"}
	_, err = e.cf.CreateDistribution(ctx, &cloudfront.CreateDistributionInput{DistributionConfig: other})
	requireCode(t, err, "InvalidViewerCertificate", "doesn't cover the alternate domain name")
	other.ViewerCertificate = &cf.ViewerCertificate{CloudFrontDefaultCertificate: aws.Bool(true)}
	_, err = e.cf.CreateDistribution(ctx, &cloudfront.CreateDistributionInput{DistributionConfig: other})
	requireCode(t, err, "InvalidViewerCertificate", "you must attach a trusted certificate")
	regional, record := e.certificate(region, "www.lab.example")
	require.NoError(t, e.record(e.zone, "CREATE", cname(*record.Name, *record.Value)))
	other.ViewerCertificate = &cf.ViewerCertificate{ACMCertificateArn: &regional, SSLSupportMethod: "sni-only"}
	_, err = e.cf.CreateDistribution(ctx, &cloudfront.CreateDistributionInput{DistributionConfig: other})
	requireCode(t, err, "InvalidViewerCertificate", "isn't in us-east-1")
	other = e.config()
	other.CallerReference, other.Aliases, other.ViewerCertificate = aws.String("x"), nil, nil
	other.WebACLId = aws.String("acl")
	_, err = e.cf.CreateDistribution(ctx, &cloudfront.CreateDistributionInput{DistributionConfig: other})
	requireCode(t, err, "NotImplemented", "web ACL")

	_, err = acm.NewFromConfig(e.lab.config("us-east-1")).DeleteCertificate(ctx, &acm.DeleteCertificateInput{CertificateArn: &e.cert})
	requireCode(t, err, "ResourceInUseException")
	oac, err := e.cf.GetOriginAccessControl(ctx, &cloudfront.GetOriginAccessControlInput{Id: &e.oac})
	require.NoError(t, err)
	_, err = e.cf.DeleteOriginAccessControl(ctx, &cloudfront.DeleteOriginAccessControlInput{Id: &e.oac, IfMatch: oac.ETag})
	requireCode(t, err, "OriginAccessControlInUse")
	_, err = e.cf.DeleteDistribution(ctx, &cloudfront.DeleteDistributionInput{Id: &e.id, IfMatch: &e.etag})
	requireCode(t, err, "DistributionNotDisabled")

	got, err := e.cf.GetDistributionConfig(ctx, &cloudfront.GetDistributionConfigInput{Id: &e.id})
	require.NoError(t, err)
	require.Equal(t, cf.HttpVersionHttp2, got.DistributionConfig.HttpVersion)
	got.DistributionConfig.Enabled = aws.Bool(false)
	_, err = e.cf.UpdateDistribution(ctx, &cloudfront.UpdateDistributionInput{Id: &e.id, DistributionConfig: got.DistributionConfig})
	requireCode(t, err, "InvalidIfMatchVersion")
	updated, err := e.cf.UpdateDistribution(ctx, &cloudfront.UpdateDistributionInput{Id: &e.id, IfMatch: got.ETag, DistributionConfig: got.DistributionConfig})
	require.NoError(t, err)
	require.NotEqual(t, *got.ETag, *updated.ETag)
	status, _, _ := e.get("/keys.json")
	require.Equal(t, 403, status, "a disabled distribution serves nothing")
	_, err = e.cf.DeleteDistribution(ctx, &cloudfront.DeleteDistributionInput{Id: &e.id, IfMatch: updated.ETag})
	require.NoError(t, err)
	_, err = e.cf.GetDistribution(ctx, &cloudfront.GetDistributionInput{Id: &e.id})
	requireCode(t, err, "NoSuchDistribution")
	_, err = e.cf.DeleteOriginAccessControl(ctx, &cloudfront.DeleteOriginAccessControlInput{Id: &e.oac, IfMatch: oac.ETag})
	require.NoError(t, err)
	_, ok := e.Resolve(e.domain)
	require.False(t, ok)
}

func TestCachePolicies(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := cloudfront.NewFromConfig(l.config("us-east-1"))
	list, err := c.ListCachePolicies(ctx, &cloudfront.ListCachePoliciesInput{Type: "managed"})
	require.NoError(t, err)
	names := map[string]string{}
	for _, p := range list.CachePolicyList.Items {
		names[*p.CachePolicy.CachePolicyConfig.Name] = *p.CachePolicy.Id
	}
	require.Equal(t, "658327ea-f89d-4fab-a63d-7e88639e58f6", names["Managed-CachingOptimized"])
	require.Equal(t, "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", names["Managed-CachingDisabled"])
	none := &cf.ParametersInCacheKeyAndForwardedToOrigin{EnableAcceptEncodingGzip: aws.Bool(true), CookiesConfig: &cf.CachePolicyCookiesConfig{CookieBehavior: "none"},
		HeadersConfig: &cf.CachePolicyHeadersConfig{HeaderBehavior: "none"}, QueryStringsConfig: &cf.CachePolicyQueryStringsConfig{QueryStringBehavior: "none"}}
	config := &cf.CachePolicyConfig{Name: aws.String("issuer"), MinTTL: aws.Int64(0), DefaultTTL: aws.Int64(0), MaxTTL: aws.Int64(0), ParametersInCacheKeyAndForwardedToOrigin: none}
	_, err = c.CreateCachePolicy(ctx, &cloudfront.CreateCachePolicyInput{CachePolicyConfig: config})
	requireCode(t, err, "InvalidArgument", "caching disabled")
	config.MaxTTL, config.DefaultTTL = aws.Int64(300), aws.Int64(300)
	made, err := c.CreateCachePolicy(ctx, &cloudfront.CreateCachePolicyInput{CachePolicyConfig: config})
	require.NoError(t, err)
	_, err = c.CreateCachePolicy(ctx, &cloudfront.CreateCachePolicyInput{CachePolicyConfig: config})
	requireCode(t, err, "CachePolicyAlreadyExists")
	config.MaxTTL = aws.Int64(600)
	updated, err := c.UpdateCachePolicy(ctx, &cloudfront.UpdateCachePolicyInput{Id: made.CachePolicy.Id, IfMatch: made.ETag, CachePolicyConfig: config})
	require.NoError(t, err)
	require.EqualValues(t, 600, *updated.CachePolicy.CachePolicyConfig.MaxTTL)
	_, err = c.DeleteCachePolicy(ctx, &cloudfront.DeleteCachePolicyInput{Id: made.CachePolicy.Id, IfMatch: updated.ETag})
	require.NoError(t, err)
	headers, err := c.CreateResponseHeadersPolicy(ctx, &cloudfront.CreateResponseHeadersPolicyInput{ResponseHeadersPolicyConfig: &cf.ResponseHeadersPolicyConfig{Name: aws.String("h"),
		SecurityHeadersConfig: &cf.ResponseHeadersPolicySecurityHeadersConfig{ContentTypeOptions: &cf.ResponseHeadersPolicyContentTypeOptions{Override: aws.Bool(true)}}}})
	require.NoError(t, err)
	got, err := c.GetResponseHeadersPolicy(ctx, &cloudfront.GetResponseHeadersPolicyInput{Id: headers.ResponseHeadersPolicy.Id})
	require.NoError(t, err)
	require.True(t, *got.ResponseHeadersPolicy.ResponseHeadersPolicyConfig.SecurityHeadersConfig.ContentTypeOptions.Override)
	_, err = c.DeleteResponseHeadersPolicy(ctx, &cloudfront.DeleteResponseHeadersPolicyInput{Id: headers.ResponseHeadersPolicy.Id, IfMatch: got.ETag})
	require.NoError(t, err)
}

func TestExternalDNSValidation(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	arn, record := l.certificate("us-east-1", "*.ext.example")
	c := acm.NewFromConfig(l.config("us-east-1"))
	status := func() acmtypes.CertificateStatus {
		d, err := c.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &arn})
		require.NoError(t, err)
		return d.Certificate.Status
	}
	l.AddExternalDNS(gate.DNSRecord{Name: *record.Name, Type: "CNAME", Value: "wrong.acm-validations.aws."})
	require.Equal(t, acmtypes.CertificateStatusPendingValidation, status())
	l.AddExternalDNS(gate.DNSRecord{Name: *record.Name, Type: "CNAME", Value: *record.Value})
	require.Equal(t, acmtypes.CertificateStatusIssued, status())
	_, err := c.AddTagsToCertificate(ctx, &acm.AddTagsToCertificateInput{CertificateArn: &arn, Tags: []acmtypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	require.NoError(t, err)
	tags, err := c.ListTagsForCertificate(ctx, &acm.ListTagsForCertificateInput{CertificateArn: &arn})
	require.NoError(t, err)
	require.Len(t, tags.Tags, 1)
	_, err = acm.NewFromConfig(l.config(region)).DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &arn})
	requireCode(t, err, "ResourceNotFoundException")
	late, _ := l.certificate("us-east-1", "late.example")
	l.later(73 * time.Hour)
	// The SDK's clock stays behind; so the later state is read from the service first.
	timedOut, ok := l.ACM.Certificate(late)
	require.True(t, ok)
	require.Equal(t, "VALIDATION_TIMED_OUT", timedOut.Status)
	l.later(-73 * time.Hour)
	d, err := c.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &late})
	require.NoError(t, err)
	require.Equal(t, acmtypes.CertificateStatusValidationTimedOut, d.Certificate.Status)
	_, err = c.DeleteCertificate(ctx, &acm.DeleteCertificateInput{CertificateArn: &arn})
	require.NoError(t, err)
}
