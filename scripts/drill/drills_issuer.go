package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	cloudfronttypes "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"k3s-aws-auth/scripts/internal/setups"
)

func issuerDrills() []*Drill {
	return []*Drill{
		{
			ID: "jwks-emptied", Title: "JWKS emptied",
			Does:   "write a key set without keys in place of the issuer's JWKS (and drop it from CloudFront's caches)",
			Told:   toldAlways("jwks-empty"),
			Expect: withToken(sessionsGoOn(noKey), noOIDC),
			Inject: emptyKeySet,
		},
		{
			ID: "issuer-bucket-blocked", Title: "discovery unreachable: bucket blocked",
			Does:   "switch Block Public Access on for the issuer's bucket",
			Told:   toldAlways("discovery-refused"),
			Expect: withIssuer(setups.Bucket, sessionsGoOn(noKey), "the bucket is private already; see issuer-distribution-disabled"),
			Note:   "An account-level or organization-level block does the same.",
			Inject: blockBucket,
		},
		{
			ID: "issuer-distribution-disabled", Title: "discovery unreachable: distribution disabled",
			Does:   "disable the issuer's CloudFront distribution",
			Told:   toldAlways("distribution-refuses"),
			Expect: withIssuer(setups.Distribution, sessionsGoOn("InvalidIdentityToken|IDPCommunicationError"), "no CDN in this setup; see issuer-bucket-blocked"),
			Note:   "On AWS a distribution takes minutes to be disabled everywhere, and as long to come back.",
			Inject: disableDistribution,
		},
	}
}

// withIssuer is e where the issuer's documents are in one place; why says what is so where they are in the other.
func withIssuer(place string, e Expectation, why string) Rule {
	return func(s setups.Setup) (Expectation, string) {
		switch s.Issuer {
		case place:
			return e, ""
		case setups.Nowhere:
			return Expectation{}, noOIDC
		}
		return Expectation{}, why
	}
}

// issuerBucket is the bucket behind the issuer, and the distribution in front of it where there is one.
func issuerBucket(ctx context.Context, t *Target) (bucket, distribution string, err error) {
	if t.Setup.IssuerIsBucket() {
		bucket, _, _ = strings.Cut(t.IssuerHost, ".")
		return bucket, "", nil
	}
	pages := cloudfront.NewListDistributionsPaginator(t.CloudFront(), &cloudfront.ListDistributionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", "", err
		}
		for _, d := range page.DistributionList.Items {
			if d.Aliases == nil || !slices.Contains(d.Aliases.Items, t.IssuerHost) || d.Origins == nil || len(d.Origins.Items) == 0 {
				continue
			}
			bucket, _, _ = strings.Cut(aws.ToString(d.Origins.Items[0].DomainName), ".")
			return bucket, aws.ToString(d.Id), nil
		}
	}
	return "", "", fmt.Errorf("no distribution of this account has the name %s", t.IssuerHost)
}

// emptyKeySet replaces the JWKS. It is found as AWS finds it: by the discovery document.
func emptyKeySet(ctx context.Context, t *Target, r *Recovery) error {
	bucket, distribution, err := issuerBucket(ctx, t)
	if err != nil {
		return err
	}
	client := t.S3()
	read := func(key string) (*s3.GetObjectOutput, []byte, error) {
		out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return nil, nil, fmt.Errorf("s3://%s/%s: %w", bucket, key, err)
		}
		defer func() { _ = out.Body.Close() }()
		data, err := io.ReadAll(out.Body)
		return out, data, err
	}
	_, discovery, err := read(".well-known/openid-configuration")
	if err != nil {
		return err
	}
	var document struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(discovery, &document); err != nil {
		return err
	}
	where, err := url.Parse(document.JWKS)
	if err != nil {
		return err
	}
	key := strings.TrimPrefix(where.Path, "/")
	object, keys, err := read(key)
	if err != nil {
		return err
	}
	write := func(ctx context.Context, data []byte) error {
		_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(data),
			ContentType: object.ContentType, CacheControl: object.CacheControl, Metadata: object.Metadata})
		if err != nil {
			return err
		}
		if distribution != "" {
			if err := invalidate(ctx, t, distribution, "/"+key); err != nil {
				return err
			}
		}
		return t.Hands.ForgetKeys(ctx)
	}
	r.Add("restore s3://"+bucket+"/"+key, func(ctx context.Context) error { return write(ctx, keys) })
	return write(ctx, []byte(`{"keys":[]}`))
}

func invalidate(ctx context.Context, t *Target, distribution, path string) error {
	_, err := t.CloudFront().CreateInvalidation(ctx, &cloudfront.CreateInvalidationInput{DistributionId: &distribution,
		InvalidationBatch: &cloudfronttypes.InvalidationBatch{CallerReference: aws.String(fmt.Sprintf("drill-%d", time.Now().UnixNano())),
			Paths: &cloudfronttypes.Paths{Quantity: aws.Int32(1), Items: []string{path}}}})
	if err != nil {
		return fmt.Errorf("drop %s from CloudFront's caches: %w", path, err)
	}
	return nil
}

func blockBucket(ctx context.Context, t *Target, r *Recovery) error {
	bucket, _, err := issuerBucket(ctx, t)
	if err != nil {
		return err
	}
	client := t.S3()
	before, err := client.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: &bucket})
	if err != nil {
		return err
	}
	put := func(ctx context.Context, c *types.PublicAccessBlockConfiguration) error {
		_, err := client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: &bucket, PublicAccessBlockConfiguration: c})
		if err != nil {
			return err
		}
		return t.Hands.ForgetKeys(ctx)
	}
	r.Add("restore the public access block of "+bucket, func(ctx context.Context) error {
		return put(ctx, before.PublicAccessBlockConfiguration)
	})
	return put(ctx, &types.PublicAccessBlockConfiguration{BlockPublicAcls: aws.Bool(true), IgnorePublicAcls: aws.Bool(true),
		BlockPublicPolicy: aws.Bool(true), RestrictPublicBuckets: aws.Bool(true)})
}

func disableDistribution(ctx context.Context, t *Target, r *Recovery) error {
	_, id, err := issuerBucket(ctx, t)
	if err != nil {
		return err
	}
	client := t.CloudFront()
	set := func(ctx context.Context, enabled bool) error {
		c, err := client.GetDistributionConfig(ctx, &cloudfront.GetDistributionConfigInput{Id: &id})
		if err != nil {
			return err
		}
		c.DistributionConfig.Enabled = &enabled
		if _, err := client.UpdateDistribution(ctx, &cloudfront.UpdateDistributionInput{Id: &id, IfMatch: c.ETag,
			DistributionConfig: c.DistributionConfig}); err != nil {
			return err
		}
		return t.Hands.ForgetKeys(ctx)
	}
	r.Add("enable distribution "+id, func(ctx context.Context) error { return set(ctx, true) })
	return set(ctx, false)
}
