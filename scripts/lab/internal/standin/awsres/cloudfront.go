package awsres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var cloudfrontResources = map[string]*resource{
	"aws:cloudfront/distribution:Distribution": {
		Create: createDistribution, Read: readDistribution, Update: updateDistribution, Delete: deleteDistribution, Check: checkDistribution,
	},
	"aws:cloudfront/originAccessControl:OriginAccessControl": {
		Create: createOAC, Read: readOAC, Update: updateOAC, Delete: deleteOAC, Volatile: etagOnly,
	},
	"aws:cloudfront/cachePolicy:CachePolicy": {
		Create: createCachePolicy, Read: readCachePolicy, Update: updateCachePolicy, Delete: deleteCachePolicy, Volatile: etagOnly,
	},
	"aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy": {
		Create: createHeadersPolicy, Read: readHeadersPolicy, Update: updateHeadersPolicy, Delete: deleteHeadersPolicy, Check: checkHeadersPolicy, Volatile: etagOnly,
	},
}

var cloudfrontFunctions = map[string]function{"aws:cloudfront/getCachePolicy:getCachePolicy": getCachePolicy}

func etagOnly(map[string]bool) []string { return []string{"etag"} }

// distributionZone is the Route 53 zone of every distribution's own name.
const distributionZone = "Z2FDTNDATAQYW2"

const deployTime = 90 * time.Minute

// --- Distribution

// distributionSkips are the properties of a distribution that are not part of its configuration's generic form.
var distributionSkips = names{
	"tags": "-", "tagsAll": "-", "retainOnDelete": "-", "waitForDeployment": "-", "loggingConfig": "Logging",
	"isIpv6Enabled": "IsIPV6Enabled", "webAclId": "WebACLId", "orderedCacheBehaviors": "CacheBehaviors",
	"origins.customOriginConfig.httpPort": "HTTPPort", "origins.customOriginConfig.httpsPort": "HTTPSPort", "origins.originId": "Id",
	"origins.customHeaders.name": "HeaderName", "origins.customHeaders.value": "HeaderValue",
	"viewerCertificate.acmCertificateArn": "ACMCertificateArn", "viewerCertificate.iamCertificateId": "IAMCertificateId",
	"viewerCertificate.cloudfrontDefaultCertificate": "CloudFrontDefaultCertificate", "viewerCertificate.sslSupportMethod": "SSLSupportMethod",
	"defaultCacheBehavior.cachedMethods": "-", "orderedCacheBehaviors.cachedMethods": "-",
	"defaultCacheBehavior.trustedSigners": "-", "orderedCacheBehaviors.trustedSigners": "-",
	"defaultCacheBehavior.trustedKeyGroups": "-", "orderedCacheBehaviors.trustedKeyGroups": "-",
	"restrictions.geoRestriction.locations":                 "Items",
	"forwardedValues.cookies.whitelistedNames":              "WhitelistedNames",
	"defaultCacheBehavior.functionAssociations.functionArn": "FunctionARN", "orderedCacheBehaviors.functionAssociations.functionArn": "FunctionARN",
	"defaultCacheBehavior.lambdaFunctionAssociations.lambdaArn": "LambdaFunctionARN", "orderedCacheBehaviors.lambdaFunctionAssociations.lambdaArn": "LambdaFunctionARN",
	"originGroups.originId": "Id", "customErrorResponses.errorCachingMinTtl": "ErrorCachingMinTTL",
	// The legacy way of caching: a cache policy takes its place, and AWS refuses both together.
	"defaultTtl": "-", "maxTtl": "-", "minTtl": "-", "forwardedValues": "-",
}

func checkDistribution(c *checker) {
	for _, b := range append(engine.Objs(c.In, "orderedCacheBehaviors"), engine.Obj(c.In, "defaultCacheBehavior")) {
		for _, name := range []string{"trustedSigners", "trustedKeyGroups"} {
			if len(engine.Strs(b, name)) > 0 {
				c.Fail("defaultCacheBehavior."+name, "The stand-in aws provider does not make signed distributions.")
			}
		}
		if engine.Has(b, "forwardedValues") {
			c.Fail("defaultCacheBehavior.forwardedValues", "The stand-in aws provider does not set the legacy forwardedValues: use cachePolicyId.")
		}
	}
	cert := engine.Obj(c.In, "viewerCertificate")
	if (engine.Has(cert, "acmCertificateArn") || engine.Has(cert, "iamCertificateId")) && !engine.Has(cert, "sslSupportMethod") {
		c.Fail("viewerCertificate.sslSupportMethod", "Missing required argument. A certificate needs an sslSupportMethod.")
	}
	origins, _ := c.In["origins"].([]any)
	for i, e := range origins {
		o, _ := e.(m)
		if engine.Has(o, "customOriginConfig") && engine.Has(o, "s3OriginConfig") {
			c.Fail(fmt.Sprintf("origins[%d].customOriginConfig", i), "Conflicting configuration arguments. %q: conflicts with s3OriginConfig.", "customOriginConfig")
		}
	}
}

// distributionConfig turns the inputs into the whole configuration, which is what every create and update sends.
func distributionConfig(in m, reference string) (*types.DistributionConfig, error) {
	config := &types.DistributionConfig{CallerReference: aws.String(reference), Comment: aws.String("")}
	if err := fill(config, in, distributionSkips); err != nil {
		return nil, fmt.Errorf("distribution: %w", err)
	}
	behaviors := engine.Objs(in, "orderedCacheBehaviors")
	if config.CacheBehaviors == nil {
		config.CacheBehaviors = &types.CacheBehaviors{Quantity: aws.Int32(0)}
	}
	for i := range config.CacheBehaviors.Items {
		b := &config.CacheBehaviors.Items[i]
		b.AllowedMethods = methods(behaviors[i])
		b.SmoothStreaming = aws.Bool(engine.Bool(behaviors[i], "smoothStreaming"))
		b.FieldLevelEncryptionId = aws.String(engine.Str(behaviors[i], "fieldLevelEncryptionId"))
	}
	def := engine.Obj(in, "defaultCacheBehavior")
	d := config.DefaultCacheBehavior
	d.AllowedMethods = methods(def)
	d.SmoothStreaming = aws.Bool(engine.Bool(def, "smoothStreaming"))
	d.FieldLevelEncryptionId = aws.String(engine.Str(def, "fieldLevelEncryptionId"))
	if config.Aliases == nil {
		config.Aliases = &types.Aliases{Quantity: aws.Int32(0)}
	}
	if config.DefaultRootObject == nil {
		config.DefaultRootObject = aws.String("")
	}
	if config.WebACLId == nil {
		config.WebACLId = aws.String("")
	}
	if l := config.Logging; l == nil {
		config.Logging = &types.LoggingConfig{Enabled: aws.Bool(false), IncludeCookies: aws.Bool(false), Bucket: aws.String(""), Prefix: aws.String("")}
	} else {
		l.Enabled = aws.Bool(true)
	}
	if config.Restrictions != nil && config.Restrictions.GeoRestriction != nil && config.Restrictions.GeoRestriction.Quantity == nil {
		config.Restrictions.GeoRestriction.Quantity = aws.Int32(int32(len(config.Restrictions.GeoRestriction.Items))) // #nosec G115 -- a list of countries
	}
	for i, o := range engine.Objs(in, "origins") {
		origin := &config.Origins.Items[i]
		if origin.OriginAccessControlId == nil {
			origin.OriginAccessControlId = aws.String("")
		}
		if !engine.Has(o, "customOriginConfig") && !engine.Has(o, "s3OriginConfig") { // the API wants one of the two
			origin.S3OriginConfig = &types.S3OriginConfig{OriginAccessIdentity: aws.String("")}
		}
		if origin.CustomHeaders == nil {
			origin.CustomHeaders = &types.CustomHeaders{Quantity: aws.Int32(0)}
		}
	}
	return config, nil
}

// methods joins what the provider holds apart and the API together.
func methods(behavior m) *types.AllowedMethods {
	set := func(list []string) (out []types.Method, n *int32) {
		for _, s := range list {
			out = append(out, types.Method(s))
		}
		return out, aws.Int32(int32(len(out))) // #nosec G115 -- at most seven methods
	}
	allowed := &types.AllowedMethods{CachedMethods: &types.CachedMethods{}}
	allowed.Items, allowed.Quantity = set(engine.Strs(behavior, "allowedMethods"))
	allowed.CachedMethods.Items, allowed.CachedMethods.Quantity = set(engine.Strs(behavior, "cachedMethods"))
	return allowed
}

func cloudfrontTags(tags map[string]string) *types.Tags {
	var out []types.Tag
	for _, k := range sorted(tags) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return &types.Tags{Items: out}
}

// certificateNotSeen recognises a certificate that was issued a moment ago.
func certificateNotSeen(err error) bool { return is(err, "InvalidViewerCertificate") }

func createDistribution(ctx context.Context, c *call) (string, m, error) {
	config, err := distributionConfig(c.In, engine.UniqueSuffix())
	if err != nil {
		return "", nil, err
	}
	var out *cloudfront.CreateDistributionWithTagsOutput
	err = engine.Retry(ctx, time.Minute, certificateNotSeen, func(ctx context.Context) error {
		out, err = c.Client.cloudfront().CreateDistributionWithTags(ctx, &cloudfront.CreateDistributionWithTagsInput{
			DistributionConfigWithTags: &types.DistributionConfigWithTags{DistributionConfig: config, Tags: cloudfrontTags(c.Tags())},
		})
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating CloudFront Distribution: %w", err)
	}
	id := aws.ToString(out.Distribution.Id)
	if engine.Bool(c.In, "waitForDeployment") {
		return id, nil, c.Client.deployed(ctx, id)
	}
	return id, nil, nil
}

func (c *Client) deployed(ctx context.Context, id string) error {
	return engine.Wait(ctx, deployTime, "CloudFront Distribution "+id+" to be deployed", func(ctx context.Context) (bool, error) {
		out, err := findDistribution(ctx, c, id)
		if err != nil {
			return false, err
		}
		return aws.ToString(out.Distribution.Status) == "Deployed", nil
	})
}

func findDistribution(ctx context.Context, c *Client, id string) (*cloudfront.GetDistributionOutput, error) {
	out, err := c.cloudfront().GetDistribution(ctx, &cloudfront.GetDistributionInput{Id: &id})
	if is(err, "NoSuchDistribution") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading CloudFront Distribution (%s): %w", id, err)
	}
	return out, nil
}

func readDistribution(ctx context.Context, c *call) (m, error) {
	out, err := findDistribution(ctx, c.Client, c.ID)
	if err != nil {
		return nil, err
	}
	d := out.Distribution
	config := d.DistributionConfig
	state := dump(config, c.Type.Inputs, distributionSkips)
	fix := func(behavior m, allowed *types.AllowedMethods) {
		if behavior == nil || allowed == nil {
			return
		}
		list := []any{}
		if allowed.CachedMethods != nil {
			for _, v := range allowed.CachedMethods.Items {
				list = append(list, string(v))
			}
		}
		behavior["cachedMethods"] = list
	}
	if config.DefaultCacheBehavior != nil {
		fix(engine.Obj(state, "defaultCacheBehavior"), config.DefaultCacheBehavior.AllowedMethods)
	}
	if config.CacheBehaviors != nil {
		for i, b := range engine.Objs(state, "orderedCacheBehaviors") {
			fix(b, config.CacheBehaviors.Items[i].AllowedMethods)
		}
	}
	if config.Logging == nil || !aws.ToBool(config.Logging.Enabled) {
		delete(state, "loggingConfig")
	}
	for _, o := range engine.Objs(state, "origins") {
		if s3 := engine.Obj(o, "s3OriginConfig"); s3 != nil && engine.Str(s3, "originAccessIdentity") == "" {
			delete(o, "s3OriginConfig") // what stands for "neither" in the API
		}
		if shield := engine.Obj(o, "originShield"); shield != nil && !engine.Bool(shield, "enabled") {
			delete(o, "originShield") // the API spells out that there is none
		}
	}
	if v := engine.Obj(state, "viewerCertificate"); engine.Bool(v, "cloudfrontDefaultCertificate") {
		delete(v, "acmCertificateArn")
		delete(v, "iamCertificateId")
		delete(v, "sslSupportMethod") // the API's own choice for its own certificate
	}
	state["arn"], state["domainName"], state["status"] = aws.ToString(d.ARN), aws.ToString(d.DomainName), aws.ToString(d.Status)
	state["etag"], state["hostedZoneId"], state["callerReference"] = aws.ToString(out.ETag), distributionZone, aws.ToString(config.CallerReference)
	state["inProgressValidationBatches"] = float64(aws.ToInt32(d.InProgressInvalidationBatches))
	state["lastModifiedTime"] = aws.ToTime(d.LastModifiedTime).UTC().String()
	state["trustedSigners"] = []any{m{"enabled": false, "items": []any{}}}
	state["trustedKeyGroups"] = []any{m{"enabled": false, "items": []any{}}}
	tags, err := c.Client.cloudfront().ListTagsForResource(ctx, &cloudfront.ListTagsForResourceInput{Resource: d.ARN})
	if optional(err) != nil {
		return nil, fmt.Errorf("listing tags of CloudFront Distribution (%s): %w", c.ID, err)
	}
	state["tags"] = m{}
	if err == nil && tags.Tags != nil {
		all := m{}
		for _, t := range tags.Tags.Items {
			all[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		state["tags"] = all
	}
	return state, nil
}

func updateDistribution(ctx context.Context, c *call) (m, error) {
	if onlyTagsChanged(c.Changed, "retainOnDelete", "waitForDeployment") {
		return nil, updateDistributionTags(ctx, c)
	}
	config, err := distributionConfig(c.In, engine.Str(c.Old, "callerReference"))
	if err != nil {
		return nil, err
	}
	etag := engine.Str(c.Old, "etag")
	refetched := false
	err = engine.Retry(ctx, time.Minute, func(err error) bool {
		return certificateNotSeen(err) || is(err, "IllegalUpdate") || is(err, "PreconditionFailed", "InvalidIfMatchVersion") && !refetched
	}, func(ctx context.Context) error {
		_, err := c.Client.cloudfront().UpdateDistribution(ctx, &cloudfront.UpdateDistributionInput{Id: &c.ID, IfMatch: &etag, DistributionConfig: config})
		if is(err, "PreconditionFailed", "InvalidIfMatchVersion") && !refetched {
			out, findErr := findDistribution(ctx, c.Client, c.ID)
			if findErr != nil {
				return findErr
			}
			etag, refetched = aws.ToString(out.ETag), true
			_, err = c.Client.cloudfront().UpdateDistribution(ctx, &cloudfront.UpdateDistributionInput{Id: &c.ID, IfMatch: &etag, DistributionConfig: config})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("updating CloudFront Distribution (%s): %w", c.ID, err)
	}
	if engine.Bool(c.In, "waitForDeployment") {
		if err := c.Client.deployed(ctx, c.ID); err != nil {
			return nil, err
		}
	}
	return nil, updateDistributionTags(ctx, c)
}

// onlyTagsChanged says whether nothing but tags and the given properties differ.
func onlyTagsChanged(changed map[string]bool, others ...string) bool {
	for name := range changed {
		if name != "tags" && name != "tagsAll" && !listed(others, name) {
			return false
		}
	}
	return true
}

func updateDistributionTags(ctx context.Context, c *call) error {
	arn := engine.StrPtr(c.Old, "arn")
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		if _, err := c.Client.cloudfront().UntagResource(ctx, &cloudfront.UntagResourceInput{Resource: arn, TagKeys: &types.TagKeys{Items: remove}}); err != nil {
			return fmt.Errorf("removing tags of CloudFront Distribution (%s): %w", c.ID, err)
		}
	}
	if len(set) > 0 {
		if _, err := c.Client.cloudfront().TagResource(ctx, &cloudfront.TagResourceInput{Resource: arn, Tags: cloudfrontTags(set)}); err != nil {
			return fmt.Errorf("setting tags of CloudFront Distribution (%s): %w", c.ID, err)
		}
	}
	return nil
}

// deleteDistribution disables, waits until that is deployed, and deletes.
func deleteDistribution(ctx context.Context, c *call) error {
	out, err := findDistribution(ctx, c.Client, c.ID)
	if errors.Is(err, engine.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	if config := out.Distribution.DistributionConfig; aws.ToBool(config.Enabled) {
		config.Enabled = aws.Bool(false)
		_, err := c.Client.cloudfront().UpdateDistribution(ctx, &cloudfront.UpdateDistributionInput{Id: &c.ID, IfMatch: out.ETag, DistributionConfig: config})
		if is(err, "NoSuchDistribution") {
			return nil
		}
		if err != nil {
			return fmt.Errorf("disabling CloudFront Distribution (%s): %w", c.ID, err)
		}
	}
	if engine.Bool(c.Old, "retainOnDelete") {
		return nil
	}
	if err := c.Client.deployed(ctx, c.ID); err != nil {
		return err
	}
	err = engine.Retry(ctx, 5*time.Minute, func(err error) bool {
		return is(err, "DistributionNotDisabled", "PreconditionFailed", "InvalidIfMatchVersion")
	}, func(ctx context.Context) error {
		out, err := findDistribution(ctx, c.Client, c.ID)
		if errors.Is(err, engine.ErrGone) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = c.Client.cloudfront().DeleteDistribution(ctx, &cloudfront.DeleteDistributionInput{Id: &c.ID, IfMatch: out.ETag})
		return err
	})
	if err = absent(err, "NoSuchDistribution"); err != nil {
		return fmt.Errorf("deleting CloudFront Distribution (%s): %w", c.ID, err)
	}
	return nil
}
