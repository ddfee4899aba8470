package awsres

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var s3LogResources = map[string]*resource{
	"aws:s3/bucketLoggingV2:BucketLoggingV2":                               {Create: createLogging, Read: readLogging, Update: putLogging, Delete: deleteLogging},
	"aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2": {Create: createLifecycle, Read: readLifecycle, Update: putLifecycle, Delete: deleteLifecycle},
}

// --- Server access logs

func createLogging(ctx context.Context, c *call) (string, m, error) {
	_, err := putLogging(ctx, c)
	return ownedID(c.In), nil, err
}

func putLogging(ctx context.Context, c *call) (m, error) {
	err := eventually(ctx, func(ctx context.Context) error {
		_, err := c.Client.s3().PutBucketLogging(ctx, &s3.PutBucketLoggingInput{
			Bucket: engine.StrPtr(c.In, "bucket"), ExpectedBucketOwner: engine.StrPtr(c.In, "expectedBucketOwner"),
			BucketLoggingStatus: &types.BucketLoggingStatus{LoggingEnabled: &types.LoggingEnabled{
				TargetBucket: engine.StrPtr(c.In, "targetBucket"), TargetPrefix: aws.String(engine.Str(c.In, "targetPrefix")),
			}},
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("creating S3 Bucket (%s) Logging: %w", engine.Str(c.In, "bucket"), err)
	}
	return nil, nil
}

func readLogging(ctx context.Context, c *call) (m, error) {
	bucket, expected := splitOwned(c.ID)
	out, err := c.Client.s3().GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: &bucket, ExpectedBucketOwner: expected})
	if is(err, noSuchBucket) || (err == nil && out.LoggingEnabled == nil) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading S3 Bucket Logging (%s): %w", c.ID, err)
	}
	return m{"bucket": bucket, "targetBucket": aws.ToString(out.LoggingEnabled.TargetBucket), "targetPrefix": aws.ToString(out.LoggingEnabled.TargetPrefix)}, nil
}

func deleteLogging(ctx context.Context, c *call) error {
	bucket, expected := splitOwned(c.ID)
	_, err := c.Client.s3().PutBucketLogging(ctx, &s3.PutBucketLoggingInput{Bucket: &bucket, ExpectedBucketOwner: expected, BucketLoggingStatus: &types.BucketLoggingStatus{}})
	if err = absent(err, noSuchBucket); err != nil {
		return fmt.Errorf("deleting S3 Bucket Logging (%s): %w", c.ID, err)
	}
	return nil
}

// --- Lifecycle

func createLifecycle(ctx context.Context, c *call) (string, m, error) {
	_, err := putLifecycle(ctx, c)
	return ownedID(c.In), nil, err
}

func putLifecycle(ctx context.Context, c *call) (m, error) {
	config := &types.BucketLifecycleConfiguration{}
	for _, r := range engine.Objs(c.In, "rules") {
		rule := types.LifecycleRule{ID: engine.StrPtr(r, "id"), Status: types.ExpirationStatus(engine.Str(r, "status"))}
		if f := engine.Obj(r, "filter"); f != nil {
			rule.Filter = &types.LifecycleRuleFilter{Prefix: aws.String(engine.Str(f, "prefix"))}
		}
		if e := engine.Obj(r, "expiration"); e != nil {
			rule.Expiration = &types.LifecycleExpiration{Days: engine.IntPtr(e, "days")}
		}
		config.Rules = append(config.Rules, rule)
	}
	err := eventually(ctx, func(ctx context.Context) error {
		_, err := c.Client.s3().PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
			Bucket: engine.StrPtr(c.In, "bucket"), ExpectedBucketOwner: engine.StrPtr(c.In, "expectedBucketOwner"), LifecycleConfiguration: config,
			TransitionDefaultMinimumObjectSize: types.TransitionDefaultMinimumObjectSize(engine.Str(c.In, "transitionDefaultMinimumObjectSize")),
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("creating S3 Bucket (%s) Lifecycle Configuration: %w", engine.Str(c.In, "bucket"), err)
	}
	return nil, nil
}

func readLifecycle(ctx context.Context, c *call) (m, error) {
	bucket, expected := splitOwned(c.ID)
	out, err := c.Client.s3().GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &bucket, ExpectedBucketOwner: expected})
	if is(err, noSuchBucket, "NoSuchLifecycleConfiguration") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading S3 Bucket (%s) Lifecycle Configuration: %w", c.ID, err)
	}
	rules := []any{}
	for _, r := range out.Rules {
		rule := m{"id": aws.ToString(r.ID), "status": string(r.Status)}
		if r.Filter != nil {
			rule["filter"] = m{"prefix": aws.ToString(r.Filter.Prefix)}
		}
		if r.Expiration != nil && r.Expiration.Days != nil {
			rule["expiration"] = m{"days": float64(*r.Expiration.Days)}
		}
		rules = append(rules, rule)
	}
	state := m{"bucket": bucket, "rules": rules, "transitionDefaultMinimumObjectSize": string(out.TransitionDefaultMinimumObjectSize), "expectedBucketOwner": aws.ToString(expected)}
	return state, nil
}

func deleteLifecycle(ctx context.Context, c *call) error {
	bucket, expected := splitOwned(c.ID)
	_, err := c.Client.s3().DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: &bucket, ExpectedBucketOwner: expected})
	if err = absent(err, noSuchBucket, "NoSuchLifecycleConfiguration"); err != nil {
		return fmt.Errorf("deleting S3 Bucket (%s) Lifecycle Configuration: %w", c.ID, err)
	}
	return nil
}
