package awsres

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// stale recognises an update or delete whose etag was overtaken.
func stale(err error) bool { return is(err, "PreconditionFailed", "InvalidIfMatchVersion") }

// ifMatch calls do with the etag of the state, and once more with a fresh one where that was overtaken.
func ifMatch(ctx context.Context, known string, fresh func(context.Context) (*string, error), do func(context.Context, *string) error) error {
	err := do(ctx, &known)
	if known != "" && !stale(err) {
		return err
	}
	etag, freshErr := fresh(ctx)
	if freshErr != nil {
		return freshErr
	}
	return do(ctx, etag)
}

// --- Origin access control

func oacConfig(in m) *types.OriginAccessControlConfig {
	return &types.OriginAccessControlConfig{
		Name: engine.StrPtr(in, "name"), Description: aws.String(engine.Str(in, "description")),
		OriginAccessControlOriginType: types.OriginAccessControlOriginTypes(engine.Str(in, "originAccessControlOriginType")),
		SigningBehavior:               types.OriginAccessControlSigningBehaviors(engine.Str(in, "signingBehavior")),
		SigningProtocol:               types.OriginAccessControlSigningProtocols(engine.Str(in, "signingProtocol")),
	}
}

func createOAC(ctx context.Context, c *call) (string, m, error) {
	out, err := c.Client.cloudfront().CreateOriginAccessControl(ctx, &cloudfront.CreateOriginAccessControlInput{OriginAccessControlConfig: oacConfig(c.In)})
	if err != nil {
		return "", nil, fmt.Errorf("creating CloudFront Origin Access Control (%s): %w", engine.Str(c.In, "name"), err)
	}
	return aws.ToString(out.OriginAccessControl.Id), nil, nil
}

func readOAC(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.cloudfront().GetOriginAccessControl(ctx, &cloudfront.GetOriginAccessControlInput{Id: &c.ID})
	if is(err, "NoSuchOriginAccessControl") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading CloudFront Origin Access Control (%s): %w", c.ID, err)
	}
	state := dump(out.OriginAccessControl.OriginAccessControlConfig, c.Type.Inputs, nil)
	state["arn"] = c.Client.cloudfrontARN("origin-access-control/" + c.ID)
	state["etag"] = aws.ToString(out.ETag)
	return state, nil
}

func (c *etags) oacEtag(ctx context.Context) (*string, error) {
	out, err := c.Client.cloudfront().GetOriginAccessControl(ctx, &cloudfront.GetOriginAccessControlInput{Id: &c.ID})
	if err != nil {
		return nil, err
	}
	return out.ETag, nil
}

func updateOAC(ctx context.Context, c *call) (m, error) {
	err := ifMatch(ctx, engine.Str(c.Old, "etag"), (&etags{c}).oacEtag, func(ctx context.Context, etag *string) error {
		_, err := c.Client.cloudfront().UpdateOriginAccessControl(ctx, &cloudfront.UpdateOriginAccessControlInput{
			Id: &c.ID, IfMatch: etag, OriginAccessControlConfig: oacConfig(c.In),
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("updating CloudFront Origin Access Control (%s): %w", c.ID, err)
	}
	return nil, nil
}

func deleteOAC(ctx context.Context, c *call) error {
	err := ifMatch(ctx, engine.Str(c.Old, "etag"), (&etags{c}).oacEtag, func(ctx context.Context, etag *string) error {
		_, err := c.Client.cloudfront().DeleteOriginAccessControl(ctx, &cloudfront.DeleteOriginAccessControlInput{Id: &c.ID, IfMatch: etag})
		return err
	})
	if err = absent(err, "NoSuchOriginAccessControl"); err != nil {
		return fmt.Errorf("deleting CloudFront Origin Access Control (%s): %w", c.ID, err)
	}
	return nil
}

// etags carries the look-ups of etags.
type etags struct{ *call }

// --- Cache policy

var cachePolicyNames = names{
	"defaultTtl": "DefaultTTL", "maxTtl": "MaxTTL", "minTtl": "MinTTL", "etag": "-",
}

func cachePolicyConfig(in m) (*types.CachePolicyConfig, error) {
	config := &types.CachePolicyConfig{}
	if err := fill(config, in, cachePolicyNames); err != nil {
		return nil, fmt.Errorf("cache policy: %w", err)
	}
	p := config.ParametersInCacheKeyAndForwardedToOrigin
	if p.EnableAcceptEncodingGzip == nil {
		p.EnableAcceptEncodingGzip = aws.Bool(false)
	}
	if p.EnableAcceptEncodingBrotli == nil {
		p.EnableAcceptEncodingBrotli = aws.Bool(false)
	}
	return config, nil
}

func createCachePolicy(ctx context.Context, c *call) (string, m, error) {
	config, err := cachePolicyConfig(c.In)
	if err != nil {
		return "", nil, err
	}
	out, err := c.Client.cloudfront().CreateCachePolicy(ctx, &cloudfront.CreateCachePolicyInput{CachePolicyConfig: config})
	if err != nil {
		return "", nil, fmt.Errorf("creating CloudFront Cache Policy (%s): %w", engine.Str(c.In, "name"), err)
	}
	return aws.ToString(out.CachePolicy.Id), nil, nil
}

func readCachePolicy(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.cloudfront().GetCachePolicy(ctx, &cloudfront.GetCachePolicyInput{Id: &c.ID})
	if is(err, "NoSuchCachePolicy") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading CloudFront Cache Policy (%s): %w", c.ID, err)
	}
	state := dump(out.CachePolicy.CachePolicyConfig, c.Type.Inputs, cachePolicyNames)
	state["arn"] = c.Client.cloudfrontARN("cache-policy/" + c.ID)
	state["etag"] = aws.ToString(out.ETag)
	return state, nil
}

func (c *etags) cachePolicyEtag(ctx context.Context) (*string, error) {
	out, err := c.Client.cloudfront().GetCachePolicy(ctx, &cloudfront.GetCachePolicyInput{Id: &c.ID})
	if err != nil {
		return nil, err
	}
	return out.ETag, nil
}

func updateCachePolicy(ctx context.Context, c *call) (m, error) {
	config, err := cachePolicyConfig(c.In)
	if err != nil {
		return nil, err
	}
	err = ifMatch(ctx, engine.Str(c.Old, "etag"), (&etags{c}).cachePolicyEtag, func(ctx context.Context, etag *string) error {
		_, err := c.Client.cloudfront().UpdateCachePolicy(ctx, &cloudfront.UpdateCachePolicyInput{Id: &c.ID, IfMatch: etag, CachePolicyConfig: config})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("updating CloudFront Cache Policy (%s): %w", c.ID, err)
	}
	return nil, nil
}

// inUse recognises a policy that a distribution still names: one that was changed a moment ago lets go of it soon.
func inUse(err error) bool { return is(err, "CachePolicyInUse", "ResponseHeadersPolicyInUse") }

func deleteCachePolicy(ctx context.Context, c *call) error {
	err := engine.Retry(ctx, time.Minute, inUse, func(ctx context.Context) error {
		return ifMatch(ctx, engine.Str(c.Old, "etag"), (&etags{c}).cachePolicyEtag, func(ctx context.Context, etag *string) error {
			_, err := c.Client.cloudfront().DeleteCachePolicy(ctx, &cloudfront.DeleteCachePolicyInput{Id: &c.ID, IfMatch: etag})
			return err
		})
	})
	if err = absent(err, "NoSuchCachePolicy"); err != nil {
		return fmt.Errorf("deleting CloudFront Cache Policy (%s): %w", c.ID, err)
	}
	return nil
}

// getCachePolicy finds a cache policy by its id or, among the managed and the account's own, by its name.
func getCachePolicy(ctx context.Context, c *call) (m, error) {
	id := engine.Str(c.In, "id")
	if name := engine.Str(c.In, "name"); id == "" {
		in := &cloudfront.ListCachePoliciesInput{}
		for id == "" {
			out, err := c.Client.cloudfront().ListCachePolicies(ctx, in)
			if err != nil {
				return nil, fmt.Errorf("listing CloudFront Cache Policies: %w", err)
			}
			for _, p := range out.CachePolicyList.Items {
				if aws.ToString(p.CachePolicy.CachePolicyConfig.Name) == name {
					id = aws.ToString(p.CachePolicy.Id)
				}
			}
			if in.Marker = out.CachePolicyList.NextMarker; in.Marker == nil {
				break
			}
		}
		if id == "" {
			return nil, fmt.Errorf("no matching CloudFront Cache Policy (%s)", name)
		}
	}
	out, err := c.Client.cloudfront().GetCachePolicy(ctx, &cloudfront.GetCachePolicyInput{Id: &id})
	if err != nil {
		return nil, fmt.Errorf("reading CloudFront Cache Policy (%s): %w", id, err)
	}
	config := out.CachePolicy.CachePolicyConfig
	state := m{
		"id": id, "arn": c.Client.cloudfrontARN("cache-policy/" + id), "name": aws.ToString(config.Name), "comment": aws.ToString(config.Comment),
		"etag": aws.ToString(out.ETag), "defaultTtl": float64(aws.ToInt64(config.DefaultTTL)), "maxTtl": float64(aws.ToInt64(config.MaxTTL)),
		"minTtl": float64(aws.ToInt64(config.MinTTL)), "parametersInCacheKeyAndForwardedToOrigins": []any{},
	}
	if p := config.ParametersInCacheKeyAndForwardedToOrigin; p != nil {
		block := func(behaviour, value, list string, items []string) m {
			out := m{behaviour: value}
			if len(items) > 0 {
				out[list] = []any{m{"items": engine.SortedList(items)}}
			}
			return out
		}
		parameters := m{
			"enableAcceptEncodingBrotli": aws.ToBool(p.EnableAcceptEncodingBrotli), "enableAcceptEncodingGzip": aws.ToBool(p.EnableAcceptEncodingGzip),
			"cookiesConfigs": []any{}, "headersConfigs": []any{}, "queryStringsConfigs": []any{},
		}
		if v := p.CookiesConfig; v != nil {
			var items []string
			if v.Cookies != nil {
				items = v.Cookies.Items
			}
			parameters["cookiesConfigs"] = []any{block("cookieBehavior", string(v.CookieBehavior), "cookies", items)}
		}
		if v := p.HeadersConfig; v != nil {
			var items []string
			if v.Headers != nil {
				items = v.Headers.Items
			}
			parameters["headersConfigs"] = []any{block("headerBehavior", string(v.HeaderBehavior), "headers", items)}
		}
		if v := p.QueryStringsConfig; v != nil {
			var items []string
			if v.QueryStrings != nil {
				items = v.QueryStrings.Items
			}
			parameters["queryStringsConfigs"] = []any{block("queryStringBehavior", string(v.QueryStringBehavior), "queryStrings", items)}
		}
		state["parametersInCacheKeyAndForwardedToOrigins"] = []any{parameters}
	}
	return state, nil
}

// --- Response headers policy

var headersPolicyNames = names{
	"etag": "-", "securityHeadersConfig.xssProtection": "XSSProtection",
}

func checkHeadersPolicy(c *checker) {
	for _, name := range []string{"corsConfig", "customHeadersConfig", "removeHeadersConfig", "securityHeadersConfig", "serverTimingHeadersConfig"} {
		if c.Given(name) {
			return
		}
	}
	c.Fail("corsConfig", "Missing required argument. At least one of the policy's *Config blocks must be specified.")
}

func headersPolicyConfig(in m) (*types.ResponseHeadersPolicyConfig, error) {
	config := &types.ResponseHeadersPolicyConfig{}
	if err := fill(config, in, headersPolicyNames); err != nil {
		return nil, fmt.Errorf("response headers policy: %w", err)
	}
	return config, nil
}

func createHeadersPolicy(ctx context.Context, c *call) (string, m, error) {
	config, err := headersPolicyConfig(c.In)
	if err != nil {
		return "", nil, err
	}
	out, err := c.Client.cloudfront().CreateResponseHeadersPolicy(ctx, &cloudfront.CreateResponseHeadersPolicyInput{ResponseHeadersPolicyConfig: config})
	if err != nil {
		return "", nil, fmt.Errorf("creating CloudFront Response Headers Policy (%s): %w", engine.Str(c.In, "name"), err)
	}
	return aws.ToString(out.ResponseHeadersPolicy.Id), nil, nil
}

func readHeadersPolicy(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.cloudfront().GetResponseHeadersPolicy(ctx, &cloudfront.GetResponseHeadersPolicyInput{Id: &c.ID})
	if is(err, "NoSuchResponseHeadersPolicy") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading CloudFront Response Headers Policy (%s): %w", c.ID, err)
	}
	state := dump(out.ResponseHeadersPolicy.ResponseHeadersPolicyConfig, c.Type.Inputs, headersPolicyNames)
	state["arn"] = c.Client.cloudfrontARN("response-headers-policy/" + c.ID)
	state["etag"] = aws.ToString(out.ETag)
	return state, nil
}

func (c *etags) headersPolicyEtag(ctx context.Context) (*string, error) {
	out, err := c.Client.cloudfront().GetResponseHeadersPolicy(ctx, &cloudfront.GetResponseHeadersPolicyInput{Id: &c.ID})
	if err != nil {
		return nil, err
	}
	return out.ETag, nil
}

func updateHeadersPolicy(ctx context.Context, c *call) (m, error) {
	config, err := headersPolicyConfig(c.In)
	if err != nil {
		return nil, err
	}
	err = ifMatch(ctx, engine.Str(c.Old, "etag"), (&etags{c}).headersPolicyEtag, func(ctx context.Context, etag *string) error {
		_, err := c.Client.cloudfront().UpdateResponseHeadersPolicy(ctx, &cloudfront.UpdateResponseHeadersPolicyInput{
			Id: &c.ID, IfMatch: etag, ResponseHeadersPolicyConfig: config,
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("updating CloudFront Response Headers Policy (%s): %w", c.ID, err)
	}
	return nil, nil
}

func deleteHeadersPolicy(ctx context.Context, c *call) error {
	err := engine.Retry(ctx, time.Minute, inUse, func(ctx context.Context) error {
		return ifMatch(ctx, engine.Str(c.Old, "etag"), (&etags{c}).headersPolicyEtag, func(ctx context.Context, etag *string) error {
			_, err := c.Client.cloudfront().DeleteResponseHeadersPolicy(ctx, &cloudfront.DeleteResponseHeadersPolicyInput{Id: &c.ID, IfMatch: etag})
			return err
		})
	})
	if err = absent(err, "NoSuchResponseHeadersPolicy"); err != nil {
		return fmt.Errorf("deleting CloudFront Response Headers Policy (%s): %w", c.ID, err)
	}
	return nil
}
