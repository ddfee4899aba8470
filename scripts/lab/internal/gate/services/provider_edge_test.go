package services_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/require"
)

// TestProviderDistribution follows a certificate with its validation by a record, and a distribution: acm/certificate.go,
// certificate_validation.go; route53/zone.go, record.go; cloudfront/origin_access_control.go, cache_policy.go,
// distribution.go.
func TestProviderDistribution(t *testing.T) {
	p := newPublished(t).deploying("aws:acm/certificate:Certificate", "aws:acm/certificateValidation:CertificateValidation", "aws:route53/record:Record", "aws:s3/bucketV2:BucketV2",
		"aws:cloudfront/cachePolicy:CachePolicy", "aws:cloudfront/distribution:Distribution", "aws:cloudfront/originAccessControl:OriginAccessControl")
	edge := p.at("us-east-1")
	certs, dns, cdn, buckets := acm.NewFromConfig(edge), route53.NewFromConfig(p.at(region)), cloudfront.NewFromConfig(p.at(region)), s3.NewFromConfig(p.at(region))

	// The zone and its wait for INSYNC.
	made := do(t, dns.CreateHostedZone, &route53.CreateHostedZoneInput{CallerReference: aws.String("terraform-1"), Name: aws.String("example.com"),
		HostedZoneConfig: &r53types.HostedZoneConfig{Comment: aws.String("Managed by Pulumi")}})
	zone := aws.String(strings.TrimPrefix(*made.HostedZone.Id, "/hostedzone/"))
	insync := func(change *r53types.ChangeInfo) {
		t.Helper()
		id := strings.TrimPrefix(*change.Id, "/change/")
		require.Equal(t, r53types.ChangeStatusInsync, do(t, dns.GetChange, &route53.GetChangeInput{Id: &id}).ChangeInfo.Status)
	}
	insync(made.ChangeInfo)
	read := do(t, dns.GetHostedZone, &route53.GetHostedZoneInput{Id: zone})
	require.Len(t, read.DelegationSet.NameServers, 4)
	require.Equal(t, "example.com.", *read.HostedZone.Name)
	do(t, dns.ListTagsForResource, &route53.ListTagsForResourceInput{ResourceId: zone, ResourceType: r53types.TagResourceTypeHostedzone})
	// zone_data_source.go looks through all zones.
	require.Len(t, do(t, dns.ListHostedZones, &route53.ListHostedZonesInput{}).HostedZones, 1)

	// The certificate, until its record is known.
	requested := do(t, certs.RequestCertificate, &acm.RequestCertificateInput{DomainName: aws.String("oidc.example.com"), IdempotencyToken: aws.String("tf20260101000000000000000001"),
		ValidationMethod: acmtypes.ValidationMethodDns, Options: &acmtypes.CertificateOptions{CertificateTransparencyLoggingPreference: acmtypes.CertificateTransparencyLoggingPreferenceEnabled}, //nolint:staticcheck // the provider sends it
		Tags: []acmtypes.Tag{{Key: aws.String("Name"), Value: aws.String("issuer")}}})
	certificate := func() *acmtypes.CertificateDetail {
		return do(t, certs.DescribeCertificate, &acm.DescribeCertificateInput{CertificateArn: requested.CertificateArn}).Certificate
	}
	detail := certificate()
	require.Equal(t, acmtypes.CertificateStatusPendingValidation, detail.Status)
	require.Equal(t, acmtypes.CertificateTypeAmazonIssued, detail.Type)
	require.Equal(t, acmtypes.ValidationMethodDns, detail.DomainValidationOptions[0].ValidationMethod)
	require.NotNil(t, detail.Options)
	record := detail.DomainValidationOptions[0].ResourceRecord
	require.Equal(t, "issuer", *do(t, certs.ListTagsForCertificate, &acm.ListTagsForCertificateInput{CertificateArn: requested.CertificateArn}).Tags[0].Value)

	// The record: the zone, the change, its wait, and the read from its name and type on.
	cname := &r53types.ResourceRecordSet{Name: record.Name, Type: r53types.RRTypeCname, TTL: aws.Int64(60), ResourceRecords: []r53types.ResourceRecord{{Value: record.Value}}}
	change := func(action r53types.ChangeAction, set *r53types.ResourceRecordSet) {
		t.Helper()
		do(t, dns.GetHostedZone, &route53.GetHostedZoneInput{Id: zone})
		out := do(t, dns.ChangeResourceRecordSets, &route53.ChangeResourceRecordSetsInput{HostedZoneId: zone, ChangeBatch: &r53types.ChangeBatch{Comment: aws.String("Managed by Terraform"),
			Changes: []r53types.Change{{Action: action, ResourceRecordSet: set}}}})
		insync(out.ChangeInfo)
	}
	change(r53types.ChangeActionCreate, cname)
	records := do(t, dns.ListResourceRecordSets, &route53.ListResourceRecordSetsInput{HostedZoneId: zone, StartRecordName: record.Name, StartRecordType: r53types.RRTypeCname, MaxItems: aws.Int32(1)})
	require.Equal(t, strings.ToLower(*record.Name), *records.ResourceRecordSets[0].Name)
	require.EqualValues(t, 60, *records.ResourceRecordSets[0].TTL)
	require.Equal(t, *record.Value, *records.ResourceRecordSets[0].ResourceRecords[0].Value)
	refused(t, "InvalidChangeBatch", dns.ChangeResourceRecordSets, &route53.ChangeResourceRecordSetsInput{HostedZoneId: zone, ChangeBatch: &r53types.ChangeBatch{
		Changes: []r53types.Change{{Action: r53types.ChangeActionCreate, ResourceRecordSet: cname}}}})
	detail = certificate()
	require.Equal(t, acmtypes.CertificateStatusIssued, detail.Status)
	require.NotNil(t, detail.NotAfter)
	require.NotNil(t, detail.NotBefore)
	require.NotNil(t, detail.IssuedAt)
	require.Equal(t, acmtypes.RenewalEligibilityIneligible, detail.RenewalEligibility)

	// What the distribution stands on.
	oac := do(t, cdn.CreateOriginAccessControl, &cloudfront.CreateOriginAccessControlInput{OriginAccessControlConfig: &cftypes.OriginAccessControlConfig{Name: aws.String("issuer-oac"),
		Description: aws.String("Managed by Pulumi"), OriginAccessControlOriginType: cftypes.OriginAccessControlOriginTypesS3, SigningBehavior: cftypes.OriginAccessControlSigningBehaviorsAlways,
		SigningProtocol: cftypes.OriginAccessControlSigningProtocolsSigv4}})
	control := do(t, cdn.GetOriginAccessControl, &cloudfront.GetOriginAccessControlInput{Id: oac.OriginAccessControl.Id})
	require.Equal(t, "issuer-oac", *control.OriginAccessControl.OriginAccessControlConfig.Name)
	none := cftypes.CachePolicyCookieBehaviorNone
	config := &cftypes.CachePolicyConfig{Name: aws.String("issuer-cache"), Comment: aws.String(""), MinTTL: aws.Int64(0), DefaultTTL: aws.Int64(300), MaxTTL: aws.Int64(300),
		ParametersInCacheKeyAndForwardedToOrigin: &cftypes.ParametersInCacheKeyAndForwardedToOrigin{CookiesConfig: &cftypes.CachePolicyCookiesConfig{CookieBehavior: none},
			HeadersConfig:      &cftypes.CachePolicyHeadersConfig{HeaderBehavior: cftypes.CachePolicyHeaderBehaviorNone},
			QueryStringsConfig: &cftypes.CachePolicyQueryStringsConfig{QueryStringBehavior: cftypes.CachePolicyQueryStringBehaviorNone}, EnableAcceptEncodingBrotli: aws.Bool(true),
			EnableAcceptEncodingGzip: aws.Bool(true)}}
	caching := do(t, cdn.CreateCachePolicy, &cloudfront.CreateCachePolicyInput{CachePolicyConfig: config})
	cached := do(t, cdn.GetCachePolicy, &cloudfront.GetCachePolicyInput{Id: caching.CachePolicy.Id})
	require.Equal(t, none, cached.CachePolicy.CachePolicyConfig.ParametersInCacheKeyAndForwardedToOrigin.CookiesConfig.CookieBehavior)
	do(t, cdn.UpdateCachePolicy, &cloudfront.UpdateCachePolicyInput{Id: caching.CachePolicy.Id, IfMatch: cached.ETag, CachePolicyConfig: config})

	bucket := aws.String("issuer-1a2b3c4")
	do(t, buckets.CreateBucket, &s3.CreateBucketInput{Bucket: bucket, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(region)}})
	// expandDistributionConfig sends every structure, empty ones with their quantity.
	distribution := &cftypes.DistributionConfig{
		Aliases: &cftypes.Aliases{Quantity: aws.Int32(1), Items: []string{"oidc.example.com"}}, CallerReference: aws.String("terraform-2"), Comment: aws.String("issuer"),
		CacheBehaviors: &cftypes.CacheBehaviors{Quantity: aws.Int32(0)}, ContinuousDeploymentPolicyId: aws.String(""), CustomErrorResponses: &cftypes.CustomErrorResponses{Quantity: aws.Int32(0)},
		DefaultCacheBehavior: &cftypes.DefaultCacheBehavior{
			AllowedMethods: &cftypes.AllowedMethods{Quantity: aws.Int32(2), Items: []cftypes.Method{"GET", "HEAD"},
				CachedMethods: &cftypes.CachedMethods{Quantity: aws.Int32(2), Items: []cftypes.Method{"GET", "HEAD"}}},
			CachePolicyId: caching.CachePolicy.Id, Compress: aws.Bool(true), FieldLevelEncryptionId: aws.String(""), FunctionAssociations: &cftypes.FunctionAssociations{Quantity: aws.Int32(0)},
			LambdaFunctionAssociations: &cftypes.LambdaFunctionAssociations{Quantity: aws.Int32(0)}, OriginRequestPolicyId: aws.String(""), ResponseHeadersPolicyId: aws.String(""),
			SmoothStreaming: aws.Bool(false), TargetOriginId: aws.String("documents"), TrustedKeyGroups: &cftypes.TrustedKeyGroups{Enabled: aws.Bool(false), Quantity: aws.Int32(0)},
			TrustedSigners: &cftypes.TrustedSigners{Enabled: aws.Bool(false), Quantity: aws.Int32(0)}, ViewerProtocolPolicy: cftypes.ViewerProtocolPolicyRedirectToHttps,
			GrpcConfig: &cftypes.GrpcConfig{Enabled: aws.Bool(false)},
		},
		DefaultRootObject: aws.String(""), Enabled: aws.Bool(true), HttpVersion: cftypes.HttpVersionHttp2and3, IsIPV6Enabled: aws.Bool(true),
		Logging:      &cftypes.LoggingConfig{Bucket: aws.String(""), Enabled: aws.Bool(false), IncludeCookies: aws.Bool(false), Prefix: aws.String("")},
		OriginGroups: &cftypes.OriginGroups{Quantity: aws.Int32(0)},
		Origins: &cftypes.Origins{Quantity: aws.Int32(1), Items: []cftypes.Origin{{DomainName: aws.String(*bucket + ".s3." + region + ".amazonaws.com"), Id: aws.String("documents"),
			ConnectionAttempts: aws.Int32(3), ConnectionTimeout: aws.Int32(10), CustomHeaders: &cftypes.CustomHeaders{Quantity: aws.Int32(0)}, OriginAccessControlId: oac.OriginAccessControl.Id,
			OriginPath: aws.String(""), S3OriginConfig: &cftypes.S3OriginConfig{OriginAccessIdentity: aws.String("")}}}},
		PriceClass: cftypes.PriceClassPriceClass100, Restrictions: &cftypes.Restrictions{GeoRestriction: &cftypes.GeoRestriction{Quantity: aws.Int32(0), RestrictionType: cftypes.GeoRestrictionTypeNone}},
		Staging: aws.Bool(false), WebACLId: aws.String(""),
		ViewerCertificate: &cftypes.ViewerCertificate{ACMCertificateArn: requested.CertificateArn, CloudFrontDefaultCertificate: aws.Bool(false),
			MinimumProtocolVersion: cftypes.MinimumProtocolVersionTLSv122021, SSLSupportMethod: cftypes.SSLSupportMethodSniOnly},
	}
	created := do(t, cdn.CreateDistributionWithTags, &cloudfront.CreateDistributionWithTagsInput{DistributionConfigWithTags: &cftypes.DistributionConfigWithTags{DistributionConfig: distribution,
		Tags: &cftypes.Tags{Items: []cftypes.Tag{{Key: aws.String("Name"), Value: aws.String("issuer")}}}}})
	get := func() *cloudfront.GetDistributionOutput {
		return do(t, cdn.GetDistribution, &cloudfront.GetDistributionInput{Id: created.Distribution.Id})
	}
	require.Equal(t, "Deployed", *get().Distribution.Status)
	got := get().Distribution
	require.NotNil(t, got.LastModifiedTime)
	require.NotNil(t, got.InProgressInvalidationBatches)
	require.NotNil(t, got.ActiveTrustedKeyGroups)
	require.NotNil(t, got.ActiveTrustedSigners)
	c := got.DistributionConfig
	require.EqualValues(t, 0, *c.CacheBehaviors.Quantity)
	require.EqualValues(t, 0, *c.CustomErrorResponses.Quantity)
	require.False(t, *c.Logging.Enabled)
	require.Equal(t, cftypes.GeoRestrictionTypeNone, c.Restrictions.GeoRestriction.RestrictionType)
	require.Equal(t, *requested.CertificateArn, *c.ViewerCertificate.ACMCertificateArn)
	require.EqualValues(t, 2, *c.DefaultCacheBehavior.AllowedMethods.CachedMethods.Quantity)
	require.Equal(t, "", *c.Origins.Items[0].S3OriginConfig.OriginAccessIdentity)
	require.False(t, *c.Origins.Items[0].OriginShield.Enabled)
	require.Equal(t, "issuer", *do(t, cdn.ListTagsForResource, &cloudfront.ListTagsForResourceInput{Resource: got.ARN}).Tags.Items[0].Value)

	// An alias to it.
	alias := &r53types.ResourceRecordSet{Name: aws.String("oidc.example.com"), Type: r53types.RRTypeA, AliasTarget: &r53types.AliasTarget{DNSName: got.DomainName,
		HostedZoneId: aws.String("Z2FDTNDATAQYW2"), EvaluateTargetHealth: false}}
	change(r53types.ChangeActionCreate, alias)
	aliased := do(t, dns.ListResourceRecordSets, &route53.ListResourceRecordSetsInput{HostedZoneId: zone, StartRecordName: alias.Name, StartRecordType: r53types.RRTypeA, MaxItems: aws.Int32(1)})
	require.Equal(t, *got.DomainName+".", *aliased.ResourceRecordSets[0].AliasTarget.DNSName)
	require.Nil(t, aliased.ResourceRecordSets[0].TTL)

	// Destroy: what is in use stays; the distribution is turned off first.
	change(r53types.ChangeActionDelete, alias)
	refused(t, "DistributionNotDisabled", cdn.DeleteDistribution, &cloudfront.DeleteDistributionInput{Id: got.Id, IfMatch: get().ETag})
	current := get()
	c = current.Distribution.DistributionConfig
	c.Enabled = aws.Bool(false)
	do(t, cdn.UpdateDistribution, &cloudfront.UpdateDistributionInput{Id: got.Id, IfMatch: current.ETag, DistributionConfig: c})
	require.Equal(t, "Deployed", *get().Distribution.Status)
	refused(t, "PreconditionFailed", cdn.DeleteDistribution, &cloudfront.DeleteDistributionInput{Id: got.Id, IfMatch: current.ETag})
	refused(t, "ResourceInUseException", certs.DeleteCertificate, &acm.DeleteCertificateInput{CertificateArn: requested.CertificateArn})
	refused(t, "OriginAccessControlInUse", cdn.DeleteOriginAccessControl, &cloudfront.DeleteOriginAccessControlInput{Id: oac.OriginAccessControl.Id, IfMatch: control.ETag})
	do(t, cdn.DeleteDistribution, &cloudfront.DeleteDistributionInput{Id: got.Id, IfMatch: get().ETag})
	refused(t, "NoSuchDistribution", cdn.GetDistribution, &cloudfront.GetDistributionInput{Id: got.Id})
	do(t, cdn.DeleteOriginAccessControl, &cloudfront.DeleteOriginAccessControlInput{Id: oac.OriginAccessControl.Id, IfMatch: control.ETag})
	refused(t, "NoSuchOriginAccessControl", cdn.GetOriginAccessControl, &cloudfront.GetOriginAccessControlInput{Id: oac.OriginAccessControl.Id})
	do(t, cdn.DeleteCachePolicy, &cloudfront.DeleteCachePolicyInput{Id: caching.CachePolicy.Id, IfMatch: do(t, cdn.GetCachePolicy, &cloudfront.GetCachePolicyInput{Id: caching.CachePolicy.Id}).ETag})
	refused(t, "NoSuchCachePolicy", cdn.GetCachePolicy, &cloudfront.GetCachePolicyInput{Id: caching.CachePolicy.Id})
	do(t, certs.DeleteCertificate, &acm.DeleteCertificateInput{CertificateArn: requested.CertificateArn})
	refused(t, "ResourceNotFoundException", certs.DescribeCertificate, &acm.DescribeCertificateInput{CertificateArn: requested.CertificateArn})
	change(r53types.ChangeActionDelete, cname)
	refused(t, "InvalidChangeBatch", dns.ChangeResourceRecordSets, &route53.ChangeResourceRecordSetsInput{HostedZoneId: zone, ChangeBatch: &r53types.ChangeBatch{
		Changes: []r53types.Change{{Action: r53types.ChangeActionDelete, ResourceRecordSet: cname}}}}) // deleteResourceRecordSet takes it as gone
	require.Equal(t, "NOT_SIGNING", *do(t, dns.GetDNSSEC, &route53.GetDNSSECInput{HostedZoneId: zone}).Status.ServeSignature) // disableDNSSECForHostedZone
	insync(do(t, dns.DeleteHostedZone, &route53.DeleteHostedZoneInput{Id: zone}).ChangeInfo)
	refused(t, "NoSuchHostedZone", dns.GetHostedZone, &route53.GetHostedZoneInput{Id: zone})
}

// TestProviderBalancer follows elbv2/load_balancer.go, target_group.go, listener.go and target_group_attachment.go.
func TestProviderBalancer(t *testing.T) {
	p := newPublished(t).deploying(append(underlay, "aws:lb/listener:Listener", "aws:lb/loadBalancer:LoadBalancer", "aws:lb/targetGroup:TargetGroup", "aws:lb/targetGroupAttachment:TargetGroupAttachment")...)
	m := newMachine(p)
	c := elb.NewFromConfig(p.at(region))
	tags := []elbtypes.Tag{{Key: aws.String("Name"), Value: aws.String("api")}}

	refused(t, "LoadBalancerNotFound", c.DescribeLoadBalancers, &elb.DescribeLoadBalancersInput{Names: []string{"api"}}) // is the name free?
	made := do(t, c.CreateLoadBalancer, &elb.CreateLoadBalancerInput{Name: aws.String("api"), Type: elbtypes.LoadBalancerTypeEnumNetwork, Scheme: elbtypes.LoadBalancerSchemeEnumInternal,
		Subnets: []string{m.subnet}, SecurityGroups: []string{m.sg}, Tags: tags}).LoadBalancers[0]
	balancer := func() elbtypes.LoadBalancer {
		out := do(t, c.DescribeLoadBalancers, &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{*made.LoadBalancerArn}})
		require.Len(t, out.LoadBalancers, 1)
		return out.LoadBalancers[0]
	}
	require.Equal(t, elbtypes.LoadBalancerStateEnumActive, balancer().State.Code)
	// modifyLoadBalancerAttributes drops a key that is not recognized and tries again, by the message.
	_, err := c.ModifyLoadBalancerAttributes(t.Context(), &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: made.LoadBalancerArn,
		Attributes: []elbtypes.LoadBalancerAttribute{{Key: aws.String("routing.http2.enabled"), Value: aws.String("true")}}})
	require.Regexp(t, `attribute key ('|")?([^'" ]+)('|")? is not (recognized|supported)`, err)
	do(t, c.ModifyLoadBalancerAttributes, &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: made.LoadBalancerArn, Attributes: []elbtypes.LoadBalancerAttribute{
		{Key: aws.String("access_logs.s3.enabled"), Value: aws.String("false")}, {Key: aws.String("load_balancing.cross_zone.enabled"), Value: aws.String("true")},
		{Key: aws.String("deletion_protection.enabled"), Value: aws.String("false")}, {Key: aws.String("zonal_shift.config.enabled"), Value: aws.String("false")},
		{Key: aws.String("dns_record.client_routing_policy"), Value: aws.String("any_availability_zone")}}})
	b := balancer()
	require.Equal(t, "on", *b.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic)
	require.Equal(t, elbtypes.LoadBalancerSchemeEnumInternal, b.Scheme)
	require.Equal(t, m.subnet, *b.AvailabilityZones[0].SubnetId)
	require.NotEmpty(t, *b.CanonicalHostedZoneId)
	attributes := map[string]string{}
	for _, a := range do(t, c.DescribeLoadBalancerAttributes, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: made.LoadBalancerArn}).Attributes {
		attributes[*a.Key] = *a.Value
	}
	require.Equal(t, "true", attributes["load_balancing.cross_zone.enabled"])
	require.Nil(t, do(t, c.DescribeCapacityReservation, &elb.DescribeCapacityReservationInput{LoadBalancerArn: made.LoadBalancerArn}).MinimumLoadBalancerCapacity)
	require.Equal(t, "api", *do(t, c.DescribeTags, &elb.DescribeTagsInput{ResourceArns: []string{*made.LoadBalancerArn}}).TagDescriptions[0].Tags[0].Value)

	refused(t, "TargetGroupNotFound", c.DescribeTargetGroups, &elb.DescribeTargetGroupsInput{Names: []string{"api"}})
	group := do(t, c.CreateTargetGroup, &elb.CreateTargetGroupInput{Name: aws.String("api"), Port: aws.Int32(6443), Protocol: elbtypes.ProtocolEnumTcp, TargetType: elbtypes.TargetTypeEnumInstance,
		VpcId: &m.vpc, HealthCheckEnabled: aws.Bool(true), HealthCheckIntervalSeconds: aws.Int32(10), HealthyThresholdCount: aws.Int32(2), UnhealthyThresholdCount: aws.Int32(2),
		HealthCheckPath: aws.String("/readyz"), HealthCheckPort: aws.String("traffic-port"), HealthCheckProtocol: elbtypes.ProtocolEnumHttps,
		Matcher: &elbtypes.Matcher{HttpCode: aws.String("200,401")}, Tags: tags}).TargetGroups[0]
	do(t, c.ModifyTargetGroupAttributes, &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: group.TargetGroupArn, Attributes: []elbtypes.TargetGroupAttribute{
		{Key: aws.String("deregistration_delay.timeout_seconds"), Value: aws.String("60")}, {Key: aws.String("preserve_client_ip.enabled"), Value: aws.String("false")}}})
	g := do(t, c.DescribeTargetGroups, &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{*group.TargetGroupArn}}).TargetGroups[0]
	require.Equal(t, "200,401", *g.Matcher.HttpCode)
	require.EqualValues(t, 10, *g.HealthCheckIntervalSeconds)
	require.NotEmpty(t, do(t, c.DescribeTargetGroupAttributes, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: group.TargetGroupArn}).Attributes)
	do(t, c.ModifyTargetGroup, &elb.ModifyTargetGroupInput{TargetGroupArn: group.TargetGroupArn, HealthCheckEnabled: aws.Bool(true), HealthCheckIntervalSeconds: aws.Int32(15),
		HealthyThresholdCount: aws.Int32(2), UnhealthyThresholdCount: aws.Int32(2), HealthCheckTimeoutSeconds: aws.Int32(10), HealthCheckPath: aws.String("/readyz"),
		HealthCheckPort: aws.String("traffic-port"), HealthCheckProtocol: elbtypes.ProtocolEnumHttps, Matcher: &elbtypes.Matcher{HttpCode: aws.String("200,401")}})

	listener := do(t, c.CreateListener, &elb.CreateListenerInput{LoadBalancerArn: made.LoadBalancerArn, Port: aws.Int32(6443), Protocol: elbtypes.ProtocolEnumTcp, Tags: tags,
		DefaultActions: []elbtypes.Action{{Order: aws.Int32(1), Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: group.TargetGroupArn}}}).Listeners[0]
	l := do(t, c.DescribeListeners, &elb.DescribeListenersInput{ListenerArns: []string{*listener.ListenerArn}}).Listeners[0]
	require.Equal(t, *group.TargetGroupArn, *l.DefaultActions[0].TargetGroupArn)
	require.EqualValues(t, 1, *l.DefaultActions[0].Order)
	require.Equal(t, "tcp.idle_timeout.seconds", *do(t, c.DescribeListenerAttributes, &elb.DescribeListenerAttributesInput{ListenerArn: listener.ListenerArn}).Attributes[0].Key)
	do(t, c.ModifyListenerAttributes, &elb.ModifyListenerAttributesInput{ListenerArn: listener.ListenerArn,
		Attributes: []elbtypes.ListenerAttribute{{Key: aws.String("tcp.idle_timeout.seconds"), Value: aws.String("350")}}})
	do(t, c.DescribeTags, &elb.DescribeTagsInput{ResourceArns: []string{*listener.ListenerArn}})
	do(t, c.ModifyListener, &elb.ModifyListenerInput{ListenerArn: listener.ListenerArn, Port: aws.Int32(6443), Protocol: elbtypes.ProtocolEnumTcp})

	image := do(t, m.DescribeImages, &ec2.DescribeImagesInput{Filters: by("name", "*noble*", "architecture", "x86_64")}).Images[0]
	instance := do(t, m.RunInstances, &ec2.RunInstancesInput{ImageId: image.ImageId, InstanceType: types.InstanceTypeT3Medium, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		SubnetId: &m.subnet, SecurityGroupIds: []string{m.sg}}).Instances[0].InstanceId
	target := []elbtypes.TargetDescription{{Id: instance, Port: aws.Int32(6443)}}
	do(t, c.RegisterTargets, &elb.RegisterTargetsInput{TargetGroupArn: group.TargetGroupArn, Targets: target})
	health := func() string {
		out := do(t, c.DescribeTargetHealth, &elb.DescribeTargetHealthInput{TargetGroupArn: group.TargetGroupArn, Targets: target})
		return string(out.TargetHealthDescriptions[0].TargetHealth.Reason)
	}
	require.NotContains(t, []string{"Target.NotRegistered", "Target.DeregistrationInProgress"}, health())
	do(t, c.DeregisterTargets, &elb.DeregisterTargetsInput{TargetGroupArn: group.TargetGroupArn, Targets: target})
	require.Equal(t, "Target.NotRegistered", health())

	_, err = c.DeleteTargetGroup(t.Context(), &elb.DeleteTargetGroupInput{TargetGroupArn: group.TargetGroupArn})
	requireCode(t, err, "ResourceInUse", "is currently in use by a listener or a rule")
	do(t, c.DeleteListener, &elb.DeleteListenerInput{ListenerArn: listener.ListenerArn})
	refused(t, "ListenerNotFound", c.DescribeListeners, &elb.DescribeListenersInput{ListenerArns: []string{*listener.ListenerArn}})
	do(t, c.DeleteTargetGroup, &elb.DeleteTargetGroupInput{TargetGroupArn: group.TargetGroupArn})
	refused(t, "TargetGroupNotFound", c.DescribeTargetGroups, &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{*group.TargetGroupArn}})
	do(t, c.DeleteLoadBalancer, &elb.DeleteLoadBalancerInput{LoadBalancerArn: made.LoadBalancerArn})
	refused(t, "LoadBalancerNotFound", c.DescribeLoadBalancers, &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{*made.LoadBalancerArn}})
	refused(t, "LoadBalancerNotFound", c.DescribeLoadBalancerAttributes, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: made.LoadBalancerArn})
	// waitForALBNetworkInterfacesToDetach, waitForNLBNetworkInterfacesToDetach
	for _, owner := range []string{"amazon-elb", "amazon-aws"} {
		require.Empty(t, do(t, m.DescribeNetworkInterfaces, &ec2.DescribeNetworkInterfacesInput{Filters: by("attachment.instance-owner-id", owner, "description", "ELB net/api/0")}).NetworkInterfaces)
	}
	do(t, m.TerminateInstances, &ec2.TerminateInstancesInput{InstanceIds: []string{*instance}})
	m.dropNetwork()
}

// TestProviderLookups makes the calls of the data sources that the program may use: ec2/ec2_ami_data_source.go,
// ec2/ec2_availability_zones_data_source.go, cloudfront/cache_policy_data_source.go,
// route53/zone_data_source.go; and follows cloudfront/response_headers_policy.go and ec2/ec2_launch_template.go.
func TestProviderLookups(t *testing.T) {
	p := newPublished(t)
	machines, cdn := ec2.NewFromConfig(p.at(region)), cloudfront.NewFromConfig(p.at(region))
	images := do(t, machines.DescribeImages, &ec2.DescribeImagesInput{IncludeDeprecated: aws.Bool(false), Owners: []string{"099720109477"},
		Filters: by("name", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*")})
	require.NotEmpty(t, images.Images)
	zones := do(t, machines.DescribeAvailabilityZones, &ec2.DescribeAvailabilityZonesInput{AllAvailabilityZones: aws.Bool(false), Filters: by("state", "available")})
	require.Len(t, zones.AvailabilityZones, 3)
	var id *string
	for _, x := range do(t, cdn.ListCachePolicies, &cloudfront.ListCachePoliciesInput{}).CachePolicyList.Items {
		if *x.CachePolicy.CachePolicyConfig.Name == "Managed-CachingOptimized" {
			id = x.CachePolicy.Id
		}
	}
	require.Equal(t, *id, *do(t, cdn.GetCachePolicy, &cloudfront.GetCachePolicyInput{Id: id}).CachePolicy.Id)

	config := &cftypes.ResponseHeadersPolicyConfig{Name: aws.String("issuer-headers"), Comment: aws.String(""), SecurityHeadersConfig: &cftypes.ResponseHeadersPolicySecurityHeadersConfig{
		ContentTypeOptions: &cftypes.ResponseHeadersPolicyContentTypeOptions{Override: aws.Bool(true)}}}
	headers := do(t, cdn.CreateResponseHeadersPolicy, &cloudfront.CreateResponseHeadersPolicyInput{ResponseHeadersPolicyConfig: config}).ResponseHeadersPolicy
	got := do(t, cdn.GetResponseHeadersPolicy, &cloudfront.GetResponseHeadersPolicyInput{Id: headers.Id})
	require.True(t, *got.ResponseHeadersPolicy.ResponseHeadersPolicyConfig.SecurityHeadersConfig.ContentTypeOptions.Override)
	do(t, cdn.UpdateResponseHeadersPolicy, &cloudfront.UpdateResponseHeadersPolicyInput{Id: headers.Id, IfMatch: got.ETag, ResponseHeadersPolicyConfig: config})
	do(t, cdn.DeleteResponseHeadersPolicy, &cloudfront.DeleteResponseHeadersPolicyInput{Id: headers.Id,
		IfMatch: do(t, cdn.GetResponseHeadersPolicy, &cloudfront.GetResponseHeadersPolicyInput{Id: headers.Id}).ETag})
	refused(t, "NoSuchResponseHeadersPolicy", cdn.GetResponseHeadersPolicy, &cloudfront.GetResponseHeadersPolicyInput{Id: headers.Id})

	data := &types.RequestLaunchTemplateData{ImageId: images.Images[0].ImageId, InstanceType: types.InstanceTypeT3Medium,
		MetadataOptions: &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: types.LaunchTemplateHttpTokensStateRequired}}
	template := do(t, machines.CreateLaunchTemplate, &ec2.CreateLaunchTemplateInput{ClientToken: aws.String("terraform-1"), LaunchTemplateName: aws.String("nodes"), LaunchTemplateData: data,
		TagSpecifications: tagged(types.ResourceTypeLaunchTemplate, "nodes")}).LaunchTemplate
	do(t, machines.CreateLaunchTemplateVersion, &ec2.CreateLaunchTemplateVersionInput{ClientToken: aws.String("terraform-2"), LaunchTemplateId: template.LaunchTemplateId, LaunchTemplateData: data})
	read := do(t, machines.DescribeLaunchTemplates, &ec2.DescribeLaunchTemplatesInput{LaunchTemplateIds: []string{*template.LaunchTemplateId}}).LaunchTemplates[0]
	require.EqualValues(t, 2, *read.LatestVersionNumber)
	versions := do(t, machines.DescribeLaunchTemplateVersions, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: template.LaunchTemplateId, Versions: []string{"2"}})
	require.Equal(t, *images.Images[0].ImageId, *versions.LaunchTemplateVersions[0].LaunchTemplateData.ImageId)
	do(t, machines.DeleteLaunchTemplate, &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: template.LaunchTemplateId})
	refused(t, "InvalidLaunchTemplateId.NotFound", machines.DescribeLaunchTemplates, &ec2.DescribeLaunchTemplatesInput{LaunchTemplateIds: []string{*template.LaunchTemplateId}})
}

// TestProviderAlarms follows sns/topic.go, topic_policy.go, topic_subscription.go; events/rule.go, target.go;
// cloudwatch/metric_alarm.go.
func TestProviderAlarms(t *testing.T) {
	p := newPublished(t).deploying("aws:cloudwatch/eventRule:EventRule", "aws:cloudwatch/eventTarget:EventTarget", "aws:cloudwatch/metricAlarm:MetricAlarm", "aws:sns/topic:Topic",
		"aws:sns/topicPolicy:TopicPolicy", "aws:sns/topicSubscription:TopicSubscription")
	topics, rules, alarms := sns.NewFromConfig(p.at(region)), eventbridge.NewFromConfig(p.at(region)), cloudwatch.NewFromConfig(p.at(region))

	topic := do(t, topics.CreateTopic, &sns.CreateTopicInput{Name: aws.String("alarms-1a2b3c4"), Tags: []snstypes.Tag{{Key: aws.String("Name"), Value: aws.String("alarms")}}}).TopicArn
	attributes := func() map[string]string {
		return do(t, topics.GetTopicAttributes, &sns.GetTopicAttributesInput{TopicArn: topic}).Attributes
	}
	// Whole numbers that are optional and not computed are sent as 0 (internal/attrmap): topicAttributeMap has five.
	for _, of := range []string{"Application", "Firehose", "HTTP", "Lambda", "SQS"} {
		name := of + "SuccessFeedbackSampleRate"
		do(t, topics.SetTopicAttributes, &sns.SetTopicAttributesInput{TopicArn: topic, AttributeName: &name, AttributeValue: aws.String("0")})
		require.Equal(t, "0", attributes()[name])
	}
	require.Equal(t, *topic, attributes()["TopicArn"])
	require.Equal(t, account, attributes()["Owner"])
	require.Equal(t, "alarms", *do(t, topics.ListTagsForResource, &sns.ListTagsForResourceInput{ResourceArn: topic}).Tags[0].Value)
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sns:Publish","Resource":"` + *topic + `"}]}`
	do(t, topics.SetTopicAttributes, &sns.SetTopicAttributesInput{TopicArn: topic, AttributeName: aws.String("Policy"), AttributeValue: &policy})
	require.JSONEq(t, policy, attributes()["Policy"])
	subscription := do(t, topics.Subscribe, &sns.SubscribeInput{TopicArn: topic, Protocol: aws.String("email"), Endpoint: aws.String("ops@example.com"), ReturnSubscriptionArn: true,
		Attributes: map[string]string{}}).SubscriptionArn
	subscribed := do(t, topics.GetSubscriptionAttributes, &sns.GetSubscriptionAttributesInput{SubscriptionArn: subscription}).Attributes
	require.Equal(t, "true", subscribed["PendingConfirmation"])
	require.Equal(t, "ops@example.com", subscribed["Endpoint"])

	rule := aws.String("alarms-1a2b3c4")
	pattern := `{"source":["aws.rolesanywhere"]}`
	bus := aws.String("default")
	put := &eventbridge.PutRuleInput{Name: rule, EventBusName: bus, EventPattern: &pattern, Description: aws.String("expiry"), State: ebtypes.RuleStateEnabled,
		Tags: []ebtypes.Tag{{Key: aws.String("Name"), Value: aws.String("alarms")}}}
	arn := do(t, rules.PutRule, put).RuleArn
	described := do(t, rules.DescribeRule, &eventbridge.DescribeRuleInput{Name: rule, EventBusName: bus})
	require.JSONEq(t, pattern, *described.EventPattern)
	require.Equal(t, ebtypes.RuleStateEnabled, described.State)
	require.Equal(t, "alarms", *do(t, rules.ListTagsForResource, &eventbridge.ListTagsForResourceInput{ResourceARN: arn}).Tags[0].Value)
	do(t, rules.PutRule, put) // an update sends the tags again
	target := ebtypes.Target{Id: aws.String("topic"), Arn: topic, InputTransformer: &ebtypes.InputTransformer{InputPathsMap: map[string]string{"at": "$.time"}, InputTemplate: aws.String(`"at <at>"`)}}
	require.EqualValues(t, 0, do(t, rules.PutTargets, &eventbridge.PutTargetsInput{Rule: rule, EventBusName: bus, Targets: []ebtypes.Target{target}}).FailedEntryCount)
	listed := do(t, rules.ListTargetsByRule, &eventbridge.ListTargetsByRuleInput{Rule: rule, EventBusName: bus, Limit: aws.Int32(100)})
	require.Equal(t, []ebtypes.Target{target}, listed.Targets)

	alarm := &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("edge"), ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold, EvaluationPeriods: aws.Int32(1), ActionsEnabled: aws.Bool(true),
		AlarmActions: []string{*topic}, Namespace: aws.String("AWS/CloudFront"), MetricName: aws.String("5xxErrorRate"), Statistic: cwtypes.StatisticAverage, Period: aws.Int32(300),
		Threshold: aws.Float64(0), TreatMissingData: aws.String("notBreaching"), Dimensions: []cwtypes.Dimension{{Name: aws.String("DistributionId"), Value: aws.String("E1")}},
		Tags: []cwtypes.Tag{{Key: aws.String("Name"), Value: aws.String("edge")}}}
	find := &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"edge"}, AlarmTypes: []cwtypes.AlarmType{cwtypes.AlarmTypeMetricAlarm}}
	require.Empty(t, do(t, alarms.DescribeAlarms, find).MetricAlarms)
	do(t, alarms.PutMetricAlarm, alarm)
	a := do(t, alarms.DescribeAlarms, find).MetricAlarms[0]
	require.Equal(t, "notBreaching", *a.TreatMissingData)
	require.Equal(t, alarm.Dimensions, a.Dimensions)
	require.EqualValues(t, 0, *a.Threshold)
	require.Equal(t, "edge", *do(t, alarms.ListTagsForResource, &cloudwatch.ListTagsForResourceInput{ResourceARN: a.AlarmArn}).Tags[0].Value)
	do(t, alarms.DeleteAlarms, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{"edge"}})
	require.Empty(t, do(t, alarms.DescribeAlarms, find).MetricAlarms)

	do(t, rules.RemoveTargets, &eventbridge.RemoveTargetsInput{Rule: rule, EventBusName: bus, Ids: []string{"topic"}})
	do(t, rules.DeleteRule, &eventbridge.DeleteRuleInput{Name: rule, EventBusName: bus})
	refused(t, "ResourceNotFoundException", rules.DescribeRule, &eventbridge.DescribeRuleInput{Name: rule, EventBusName: bus})
	refused(t, "ResourceNotFoundException", rules.RemoveTargets, &eventbridge.RemoveTargetsInput{Rule: rule, EventBusName: bus, Ids: []string{"topic"}})
	_, err := topics.Unsubscribe(t.Context(), &sns.UnsubscribeInput{SubscriptionArn: subscription})
	requireCode(t, err, "InvalidParameter", "Cannot unsubscribe a subscription that is pending confirmation") // which the provider takes
	// A topic's policy cannot be taken away: its delete puts the default one there.
	fallback := `{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[{"Sid":"__default_statement_ID","Effect":"Allow","Principal":{"AWS":"*"},"Action":["SNS:GetTopicAttributes",` +
		`"SNS:SetTopicAttributes","SNS:AddPermission","SNS:RemovePermission","SNS:DeleteTopic","SNS:Subscribe","SNS:ListSubscriptionsByTopic","SNS:Publish"],"Resource":"` + *topic +
		`","Condition":{"StringEquals":{"AWS:SourceOwner":"` + account + `"}}}]}`
	do(t, topics.SetTopicAttributes, &sns.SetTopicAttributesInput{TopicArn: topic, AttributeName: aws.String("Policy"), AttributeValue: &fallback})
	do(t, topics.DeleteTopic, &sns.DeleteTopicInput{TopicArn: topic})
	refused(t, "NotFound", topics.GetTopicAttributes, &sns.GetTopicAttributesInput{TopicArn: topic})
	refused(t, "NotFound", topics.GetSubscriptionAttributes, &sns.GetSubscriptionAttributesInput{SubscriptionArn: subscription})
}

// TestProviderAlarmsByQuery makes the alarm's calls in the query protocol, which is what the cloudwatch client of the
// provider speaks: terraform-provider-aws v5.100 has github.com/aws/aws-sdk-go-v2/service/cloudwatch v1.45, whose
// serializers.go are awsAwsquery's.
func TestProviderAlarmsByQuery(t *testing.T) {
	p := newPublished(t).deploying("aws:cloudwatch/metricAlarm:MetricAlarm")
	type document struct {
		Alarms []struct {
			Name, AlarmArn, StateValue, TreatMissingData string
			AlarmName                                    string
			Threshold                                    float64
			EvaluationPeriods, Period                    int
			ActionsEnabled                               bool
			AlarmActions                                 []string                       `xml:"AlarmActions>member"`
			Updated                                      time.Time                      `xml:"AlarmConfigurationUpdatedTimestamp"`
			Dimensions                                   []struct{ Name, Value string } `xml:"Dimensions>member"`
			Metrics                                      []struct {
				ID         string `xml:"Id"`
				Expression string
				ReturnData bool
				Stat       string `xml:"MetricStat>Stat"`
			} `xml:"Metrics>member"`
		} `xml:"DescribeAlarmsResult>MetricAlarms>member"`
		Tags  []struct{ Key, Value string } `xml:"ListTagsForResourceResult>Tags>member"`
		Error struct{ Code, Message string }
	}
	call := func(status int, action string, pairs ...string) document {
		t.Helper()
		form := url.Values{"Action": {action}, "Version": {"2010-08-01"}}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		body := form.Encode()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://monitoring."+region+".amazonaws.com/", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		c := p.at(region)
		keys, err := c.Credentials.Retrieve(t.Context())
		require.NoError(t, err)
		sum := sha256.Sum256([]byte(body))
		require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), keys, r, hex.EncodeToString(sum[:]), "monitoring", region, time.Now()))
		res, err := c.HTTPClient.Do(r)
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		answer, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, status, res.StatusCode, "%s", answer)
		require.True(t, bytes.HasPrefix(answer, []byte(xml.Header)))
		var d document
		require.NoError(t, xml.Unmarshal(answer, &d), "%s", answer)
		return d
	}
	require.Empty(t, call(200, "DescribeAlarms", "AlarmNames.member.1", "edge", "AlarmTypes.member.1", "MetricAlarm").Alarms)
	call(200, "PutMetricAlarm", "AlarmName", "edge", "ComparisonOperator", "GreaterThanThreshold", "EvaluationPeriods", "2", "ActionsEnabled", "true", "AlarmActions.member.1",
		"arn:aws:sns:"+region+":"+account+":alarms", "Namespace", "AWS/CloudFront", "MetricName", "5xxErrorRate", "Statistic", "Average", "Period", "300", "Threshold", "0.5",
		"TreatMissingData", "notBreaching", "Dimensions.member.1.Name", "DistributionId", "Dimensions.member.1.Value", "E1", "Dimensions.member.2.Name", "Region", "Dimensions.member.2.Value", "Global",
		"Tags.member.1.Key", "Name", "Tags.member.1.Value", "edge & <core>")
	a := call(200, "DescribeAlarms", "AlarmNames.member.1", "edge", "AlarmTypes.member.1", "MetricAlarm").Alarms[0]
	require.Equal(t, "edge", a.AlarmName)
	require.Equal(t, "INSUFFICIENT_DATA", a.StateValue)
	require.Equal(t, 0.5, a.Threshold)
	require.Equal(t, []int{2, 300}, []int{a.EvaluationPeriods, a.Period})
	require.True(t, a.ActionsEnabled)
	require.Equal(t, "notBreaching", a.TreatMissingData)
	require.Equal(t, []struct{ Name, Value string }{{"DistributionId", "E1"}, {"Region", "Global"}}, a.Dimensions)
	require.Len(t, a.AlarmActions, 1)
	require.WithinDuration(t, time.Now(), a.Updated, time.Hour)
	require.Equal(t, "edge & <core>", call(200, "ListTagsForResource", "ResourceARN", a.AlarmArn).Tags[0].Value)
	call(200, "UntagResource", "ResourceARN", a.AlarmArn, "TagKeys.member.1", "Name")
	call(200, "TagResource", "ResourceARN", a.AlarmArn, "Tags.member.1.Key", "Name", "Tags.member.1.Value", "other")
	require.Equal(t, "other", call(200, "ListTagsForResource", "ResourceARN", a.AlarmArn).Tags[0].Value)
	// An alarm on an expression.
	call(200, "PutMetricAlarm", "AlarmName", "edge", "ComparisonOperator", "LessThanThreshold", "EvaluationPeriods", "1", "Threshold", "30", "AlarmDescription", "", "Metrics.member.1.Id", "e1",
		"Metrics.member.1.Expression", "m1 / 2", "Metrics.member.1.ReturnData", "true", "Metrics.member.2.Id", "m1", "Metrics.member.2.ReturnData", "false", "Metrics.member.2.MetricStat.Stat", "Minimum",
		"Metrics.member.2.MetricStat.Period", "86400", "Metrics.member.2.MetricStat.Metric.Namespace", "AWS/CertificateManager", "Metrics.member.2.MetricStat.Metric.MetricName", "DaysToExpiry")
	a = call(200, "DescribeAlarms", "AlarmNames.member.1", "edge").Alarms[0]
	require.Equal(t, "m1 / 2", a.Metrics[0].Expression)
	require.Equal(t, "Minimum", a.Metrics[1].Stat)
	require.True(t, a.Metrics[0].ReturnData)
	require.Equal(t, "ValidationError", call(400, "PutMetricAlarm", "AlarmName", "edge").Error.Code)
	require.Equal(t, "MalformedInput", call(400, "PutMetricAlarm", "AlarmName", "edge", "Period", "soon").Error.Code)
	call(200, "DeleteAlarms", "AlarmNames.member.1", "edge")
	require.Equal(t, "ResourceNotFound", call(404, "DeleteAlarms", "AlarmNames.member.1", "edge").Error.Code)
}
