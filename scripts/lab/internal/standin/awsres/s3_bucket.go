package awsres

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var s3Resources = map[string]*resource{
	"aws:s3/bucketV2:BucketV2":                               {Create: createBucket, Read: readBucket, Update: updateBucket, Delete: deleteBucket, Check: checkBucket},
	"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": {Create: createBlock, Read: readBlock, Update: putBlock, Delete: deleteBlock},
	"aws:s3/bucketPolicy:BucketPolicy":                       {Create: createBucketPolicy, Read: readBucketPolicy, Update: putBucketPolicy, Delete: deleteBucketPolicy},
	"aws:s3/bucketOwnershipControls:BucketOwnershipControls": {Create: createOwnership, Read: readOwnership, Update: putOwnership, Delete: deleteOwnership},
	"aws:s3/bucketObjectv2:BucketObjectv2":                   objectResource,
	"aws:s3/bucketVersioningV2:BucketVersioningV2":           {Create: createVersioning, Read: readVersioning, Update: putVersioning, Delete: deleteVersioning},
	"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2": {
		Create: createEncryption, Read: readEncryption, Update: putEncryption, Delete: deleteEncryption,
	},
}

// bucketPropagation is how long S3 may take to make a new bucket known everywhere.
const bucketPropagation = 2 * time.Minute

// operationAborted covers a bucket name that was deleted a moment ago.
const operationAborted = 20 * time.Minute

const noSuchBucket = "NoSuchBucket"

// eventually retries a call on a bucket that S3 does not know yet or is busy with.
func eventually(ctx context.Context, do func(context.Context) error, codes ...string) error {
	codes = append([]string{noSuchBucket, "OperationAborted"}, codes...)
	return engine.Retry(ctx, bucketPropagation, func(err error) bool { return is(err, codes...) }, do)
}

// --- Bucket

// legacyBucket are the settings that a bucket may carry inline; they have resources of their own, and the stand-in only
// knows those.
var legacyBucket = []string{
	"acl", "grants", "accelerationStatus", "policy", "requestPayer", "corsRules", "lifecycleRules", "loggings", "replicationConfigurations",
	"serverSideEncryptionConfigurations", "versionings", "websites", "objectLockConfiguration",
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func checkBucket(c *checker) {
	for _, name := range legacyBucket {
		if c.Given(name) {
			c.Fail(name, "The stand-in aws provider does not set %q inline: use the separate resource.", name)
		}
	}
}

func createBucket(ctx context.Context, c *call) (string, m, error) {
	name := engine.Str(c.In, "bucket")
	if !bucketName.MatchString(name) || strings.Contains(name, "..") {
		return "", nil, fmt.Errorf("validating S3 Bucket (%s) name: only 3 to 63 lower case letters, digits, dots and hyphens, beginning and ending with a letter or digit", name)
	}
	in := &s3.CreateBucketInput{Bucket: &name}
	if c.Client.Region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(c.Client.Region)}
	} else if _, err := c.Client.s3().HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &name}); err == nil {
		// There S3 takes a second create by the owner for a success.
		return "", nil, fmt.Errorf("creating S3 Bucket (%s): BucketAlreadyExists", name)
	}
	if engine.Bool(c.In, "objectLockEnabled") {
		in.ObjectLockEnabledForBucket = aws.Bool(true)
	}
	err := engine.Retry(ctx, operationAborted, func(err error) bool { return is(err, "OperationAborted") }, func(ctx context.Context) error {
		_, err := c.Client.s3().CreateBucket(ctx, in)
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating S3 Bucket (%s): %w", name, err)
	}
	err = engine.Wait(ctx, bucketPropagation, "S3 Bucket "+name, func(ctx context.Context) (bool, error) {
		_, err := c.Client.s3().HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &name})
		if is(err, noSuchBucket, "NotFound", "404") {
			return false, nil
		}
		return err == nil, err
	})
	if err == nil {
		err = c.Client.bucketTags(ctx, name, c.Tags(), nil)
	}
	return name, nil, err
}

// bucketTags replaces the whole tag set of a bucket.
func (c *Client) bucketTags(ctx context.Context, name string, tags, old map[string]string) error {
	var set []types.Tag
	for _, k := range sorted(tags) {
		set = append(set, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	switch {
	case len(set) > 0:
		err := eventually(ctx, func(ctx context.Context) error {
			_, err := c.s3().PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: &name, Tagging: &types.Tagging{TagSet: set}})
			return err
		})
		if err != nil {
			return fmt.Errorf("setting S3 Bucket (%s) tags: %w", name, err)
		}
	case len(old) > 0:
		if _, err := c.s3().DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: &name}); err != nil {
			return fmt.Errorf("deleting S3 Bucket (%s) tags: %w", name, err)
		}
	}
	return nil
}

// websiteZones are the Route 53 zones of S3's website endpoints by region.
var websiteZones = map[string]string{
	"us-east-1": "Z3AQBSTGFYJSTF", "us-east-2": "Z2O1EMRO9K5GLX", "us-west-1": "Z2F56UZL2M1ACD", "us-west-2": "Z3BJ6K6RIION7M",
	"eu-west-1": "Z1BKCTXD74EZPE", "eu-west-2": "Z3GKZC51ZF0DB4", "eu-west-3": "Z3R1K369G5AVDG", "eu-central-1": "Z21DNDUVLTQW6Q",
	"eu-north-1": "Z3BAZG2TWCNX0D", "eu-south-1": "Z30OZKI7KPW7MI", "ap-south-1": "Z11RGJOFQNVJUP", "ap-northeast-1": "Z2M4EHUR26P7ZW",
	"ap-southeast-1": "Z3O0J2DXBE1FTB", "ap-southeast-2": "Z1WCIGYICN2BYD", "ca-central-1": "Z1QDHH18159H29", "sa-east-1": "Z7KQH4QJS55SO",
}

func readBucket(ctx context.Context, c *call) (m, error) {
	name := c.ID
	_, err := c.Client.s3().HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &name})
	if is(err, noSuchBucket, "NotFound", "404") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading S3 Bucket (%s): %w", name, err)
	}
	state := m{
		"bucket": name, "arn": fmt.Sprintf("arn:%s:s3:::%s", c.Client.Partition, name),
		"bucketDomainName":         name + ".s3." + c.Client.DNSSuffix,
		"bucketRegionalDomainName": fmt.Sprintf("%s.s3.%s.%s", name, c.Client.Region, c.Client.DNSSuffix),
		"hostedZoneId":             websiteZones[c.Client.Region], "region": c.Client.Region, "tags": m{},
	}
	tags, err := c.Client.s3().GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &name})
	if err = optional(absent(err, "NoSuchTagSet")); err != nil {
		return nil, fmt.Errorf("reading S3 Bucket (%s) tags: %w", name, err)
	}
	if tags != nil {
		out := m{}
		for _, t := range tags.TagSet {
			out[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		state["tags"] = out
	}
	if err := c.Client.bucketReads(ctx, name); err != nil {
		return nil, err
	}
	if engine.Has(c.Old, "objectLockEnabled") {
		lock, err := c.Client.s3().GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &name})
		if err := optional(absent(err, "ObjectLockConfigurationNotFoundError")); err != nil {
			return nil, fmt.Errorf("reading S3 Bucket (%s) object lock: %w", name, err)
		}
		state["objectLockEnabled"] = lock != nil && lock.ObjectLockConfiguration != nil &&
			lock.ObjectLockConfiguration.ObjectLockEnabled == types.ObjectLockEnabledEnabled
	}
	return state, nil
}

// bucketReads asks for what the provider reads of every bucket, though the type's own properties for it are deprecated: a
// deployer who may not read one of them can't have a bucket (terraform-provider-aws v5, internal/service/s3/bucket.go,
// resourceBucketRead). What is not there is fine.
func (c *Client) bucketReads(ctx context.Context, name string) error {
	api, bucket := c.s3(), aws.String(name)
	for _, read := range []struct {
		what string
		do   func() error
		none string
	}{
		{"policy", func() error { _, err := api.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: bucket}); return err }, "NoSuchBucketPolicy"},
		{"ACL", func() error { _, err := api.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: bucket}); return err }, ""},
		{"CORS rules", func() error { _, err := api.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: bucket}); return err }, "NoSuchCORSConfiguration"},
		{"website", func() error {
			_, err := api.GetBucketWebsite(ctx, &s3.GetBucketWebsiteInput{Bucket: bucket})
			return err
		}, "NoSuchWebsiteConfiguration"},
		{"versioning", func() error {
			_, err := api.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: bucket})
			return err
		}, ""},
		{"acceleration", func() error {
			_, err := api.GetBucketAccelerateConfiguration(ctx, &s3.GetBucketAccelerateConfigurationInput{Bucket: bucket})
			return err
		}, ""},
		{"request payment", func() error {
			_, err := api.GetBucketRequestPayment(ctx, &s3.GetBucketRequestPaymentInput{Bucket: bucket})
			return err
		}, ""},
		{"logging", func() error {
			_, err := api.GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: bucket})
			return err
		}, ""},
		{"lifecycle", func() error {
			_, err := api.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})
			return err
		}, "NoSuchLifecycleConfiguration"},
		{"replication", func() error {
			_, err := api.GetBucketReplication(ctx, &s3.GetBucketReplicationInput{Bucket: bucket})
			return err
		}, "ReplicationConfigurationNotFoundError"},
		{"encryption", func() error {
			_, err := api.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: bucket})
			return err
		}, "ServerSideEncryptionConfigurationNotFoundError"},
		{"object lock", func() error {
			_, err := api.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: bucket})
			return err
		}, "ObjectLockConfigurationNotFoundError"},
	} {
		if err := optional(read.do()); err != nil && !is(err, read.none) {
			return fmt.Errorf("reading S3 Bucket (%s) %s: %w", name, read.what, err)
		}
	}
	return nil
}

func updateBucket(ctx context.Context, c *call) (m, error) {
	if c.Changed["tagsAll"] {
		return nil, c.Client.bucketTags(ctx, c.ID, c.Tags(), c.OldTags())
	}
	return nil, nil
}

func deleteBucket(ctx context.Context, c *call) error {
	name := c.ID
	_, err := c.Client.s3().DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
	if is(err, "BucketNotEmpty") && engine.Bool(c.Old, "forceDestroy") {
		if err := c.Client.emptyBucket(ctx, name, ""); err != nil {
			return err
		}
		_, err = c.Client.s3().DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
	}
	if err = absent(err, noSuchBucket); err != nil {
		return fmt.Errorf("deleting S3 Bucket (%s): %w", name, err)
	}
	return nil
}

// emptyBucket deletes every version of every object (or of the object at key), delete markers included.
func (c *Client) emptyBucket(ctx context.Context, bucket, key string) error {
	in := &s3.ListObjectVersionsInput{Bucket: &bucket}
	if key != "" {
		in.Prefix = &key
	}
	for {
		page, err := c.s3().ListObjectVersions(ctx, in)
		if is(err, noSuchBucket) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("emptying S3 Bucket (%s): listing versions: %w", bucket, err)
		}
		var doomed []types.ObjectIdentifier
		for _, v := range page.Versions {
			doomed = append(doomed, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
		for _, v := range page.DeleteMarkers {
			doomed = append(doomed, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
		for _, o := range doomed {
			if key != "" && aws.ToString(o.Key) != key {
				continue
			}
			_, err := c.s3().DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: o.Key, VersionId: o.VersionId})
			if err = absent(err, "NoSuchKey", "NoSuchVersion", noSuchBucket); err != nil {
				return fmt.Errorf("emptying S3 Bucket (%s): deleting %s: %w", bucket, aws.ToString(o.Key), err)
			}
		}
		if !aws.ToBool(page.IsTruncated) {
			return nil
		}
		in.KeyMarker, in.VersionIdMarker = page.NextKeyMarker, page.NextVersionIdMarker
	}
}

// --- Public access block

func createBlock(ctx context.Context, c *call) (string, m, error) {
	bucket := engine.Str(c.In, "bucket")
	if _, err := putBlock(ctx, c); err != nil {
		return "", nil, err
	}
	return bucket, nil, nil
}

// putBlock sends all four flags: one that the program leaves out is sent as false.
func putBlock(ctx context.Context, c *call) (m, error) {
	bucket := engine.Str(c.In, "bucket")
	err := eventually(ctx, func(ctx context.Context) error {
		_, err := c.Client.s3().PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
			Bucket: &bucket,
			PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
				BlockPublicAcls: aws.Bool(engine.Bool(c.In, "blockPublicAcls")), BlockPublicPolicy: aws.Bool(engine.Bool(c.In, "blockPublicPolicy")),
				IgnorePublicAcls: aws.Bool(engine.Bool(c.In, "ignorePublicAcls")), RestrictPublicBuckets: aws.Bool(engine.Bool(c.In, "restrictPublicBuckets")),
			},
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("creating S3 Bucket (%s) Public Access Block: %w", bucket, err)
	}
	return nil, nil
}

func readBlock(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.s3().GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: &c.ID})
	if is(err, noSuchBucket, "NoSuchPublicAccessBlockConfiguration") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading S3 Bucket (%s) Public Access Block: %w", c.ID, err)
	}
	b := out.PublicAccessBlockConfiguration
	return m{
		"bucket": c.ID, "blockPublicAcls": aws.ToBool(b.BlockPublicAcls), "blockPublicPolicy": aws.ToBool(b.BlockPublicPolicy),
		"ignorePublicAcls": aws.ToBool(b.IgnorePublicAcls), "restrictPublicBuckets": aws.ToBool(b.RestrictPublicBuckets),
	}, nil
}

func deleteBlock(ctx context.Context, c *call) error {
	err := eventuallyAborted(ctx, func(ctx context.Context) error {
		_, err := c.Client.s3().DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: &c.ID})
		return err
	})
	if err = absent(err, noSuchBucket, "NoSuchPublicAccessBlockConfiguration"); err != nil {
		return fmt.Errorf("deleting S3 Bucket (%s) Public Access Block: %w", c.ID, err)
	}
	return nil
}

// eventuallyAborted retries a call that collides with another change of the same bucket.
func eventuallyAborted(ctx context.Context, do func(context.Context) error) error {
	return engine.Retry(ctx, bucketPropagation, func(err error) bool { return is(err, "OperationAborted") }, do)
}

// --- Bucket policy

func createBucketPolicy(ctx context.Context, c *call) (string, m, error) {
	if _, err := putBucketPolicy(ctx, c); err != nil {
		return "", nil, err
	}
	return engine.Str(c.In, "bucket"), nil, nil
}

func putBucketPolicy(ctx context.Context, c *call) (m, error) {
	bucket := engine.Str(c.In, "bucket")
	// Not AccessDenied: a public policy must wait for the public access block that allows it.
	err := eventually(ctx, func(ctx context.Context) error {
		_, err := c.Client.s3().PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &bucket, Policy: engine.StrPtr(c.In, "policy")})
		return err
	}, "MalformedPolicy")
	if err != nil {
		return nil, fmt.Errorf("putting S3 Bucket (%s) Policy: %w", bucket, err)
	}
	return nil, nil
}

func readBucketPolicy(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.s3().GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &c.ID})
	if is(err, noSuchBucket, "NoSuchBucketPolicy") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading S3 Bucket (%s) Policy: %w", c.ID, err)
	}
	return m{"bucket": c.ID, "policy": aws.ToString(out.Policy)}, nil
}

func deleteBucketPolicy(ctx context.Context, c *call) error {
	_, err := c.Client.s3().DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: &c.ID})
	if err = absent(err, noSuchBucket, "NoSuchBucketPolicy"); err != nil {
		return fmt.Errorf("deleting S3 Bucket (%s) Policy: %w", c.ID, err)
	}
	return nil
}

// --- Ownership controls

func createOwnership(ctx context.Context, c *call) (string, m, error) {
	if _, err := putOwnership(ctx, c); err != nil {
		return "", nil, err
	}
	return engine.Str(c.In, "bucket"), nil, nil
}

func putOwnership(ctx context.Context, c *call) (m, error) {
	bucket := engine.Str(c.In, "bucket")
	err := eventually(ctx, func(ctx context.Context) error {
		_, err := c.Client.s3().PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{
			Bucket: &bucket,
			OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{
				ObjectOwnership: types.ObjectOwnership(engine.Str(engine.Obj(c.In, "rule"), "objectOwnership")),
			}}},
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("creating S3 Bucket (%s) Ownership Controls: %w", bucket, err)
	}
	return nil, nil
}

func readOwnership(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.s3().GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: &c.ID})
	if is(err, noSuchBucket, "OwnershipControlsNotFoundError") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading S3 Bucket (%s) Ownership Controls: %w", c.ID, err)
	}
	state := m{"bucket": c.ID}
	if o := out.OwnershipControls; o != nil && len(o.Rules) > 0 {
		state["rule"] = m{"objectOwnership": string(o.Rules[0].ObjectOwnership)}
	}
	return state, nil
}

func deleteOwnership(ctx context.Context, c *call) error {
	err := eventuallyAborted(ctx, func(ctx context.Context) error {
		_, err := c.Client.s3().DeleteBucketOwnershipControls(ctx, &s3.DeleteBucketOwnershipControlsInput{Bucket: &c.ID})
		return err
	})
	if err = absent(err, noSuchBucket, "OwnershipControlsNotFoundError"); err != nil {
		return fmt.Errorf("deleting S3 Bucket (%s) Ownership Controls: %w", c.ID, err)
	}
	return nil
}

// --- Versioning

// ownedID is the id of a bucket setting that may name the bucket's expected owner.
func ownedID(in m) string {
	if o := engine.Str(in, "expectedBucketOwner"); o != "" {
		return engine.Str(in, "bucket") + "," + o
	}
	return engine.Str(in, "bucket")
}

// splitOwned is the reverse of ownedID.
func splitOwned(id string) (bucket string, ownerID *string) {
	bucket, o, ok := strings.Cut(id, ",")
	if ok {
		return bucket, &o
	}
	return bucket, nil
}

func createVersioning(ctx context.Context, c *call) (string, m, error) {
	if engine.Str(engine.Obj(c.In, "versioningConfiguration"), "status") == "Disabled" {
		return ownedID(c.In), nil, nil
	}
	if _, err := putVersioning(ctx, c); err != nil {
		return "", nil, err
	}
	return ownedID(c.In), nil, nil
}

func putVersioning(ctx context.Context, c *call) (m, error) {
	config := engine.Obj(c.In, "versioningConfiguration")
	if engine.Str(config, "status") == "Disabled" {
		return nil, fmt.Errorf("versioning_configuration.status cannot be updated from '%s' to 'Disabled'",
			engine.Str(engine.Obj(c.Old, "versioningConfiguration"), "status"))
	}
	err := eventually(ctx, func(ctx context.Context) error {
		_, err := c.Client.s3().PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
			Bucket: engine.StrPtr(c.In, "bucket"), ExpectedBucketOwner: engine.StrPtr(c.In, "expectedBucketOwner"), MFA: engine.StrPtr(c.In, "mfa"),
			VersioningConfiguration: &types.VersioningConfiguration{
				Status: types.BucketVersioningStatus(engine.Str(config, "status")), MFADelete: types.MFADelete(engine.Str(config, "mfaDelete")),
			},
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("creating S3 bucket versioning for %s: %w", engine.Str(c.In, "bucket"), err)
	}
	return nil, nil
}

func readVersioning(ctx context.Context, c *call) (m, error) {
	bucket, expected := splitOwned(c.ID)
	out, err := c.Client.s3().GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &bucket, ExpectedBucketOwner: expected})
	if is(err, noSuchBucket) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading S3 bucket versioning (%s): %w", c.ID, err)
	}
	status := string(out.Status)
	if status == "" {
		status = "Disabled"
	}
	return m{"bucket": bucket, "versioningConfiguration": m{"status": status, "mfaDelete": string(out.MFADelete)}}, nil
}

func deleteVersioning(ctx context.Context, c *call) error {
	if engine.Str(engine.Obj(c.Old, "versioningConfiguration"), "status") == "Disabled" {
		return nil
	}
	bucket, expected := splitOwned(c.ID)
	_, err := c.Client.s3().PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: &bucket, ExpectedBucketOwner: expected,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended},
	})
	if err = absent(err, noSuchBucket); err != nil {
		return fmt.Errorf("suspending S3 bucket versioning (%s): %w", c.ID, err)
	}
	return nil
}

// --- Encryption

var encryptionNames = names{"sseAlgorithm": "SSEAlgorithm", "kmsMasterKeyId": "KMSMasterKeyID"}

func createEncryption(ctx context.Context, c *call) (string, m, error) {
	if _, err := putEncryption(ctx, c); err != nil {
		return "", nil, err
	}
	return ownedID(c.In), nil, nil
}

func putEncryption(ctx context.Context, c *call) (m, error) {
	config := &types.ServerSideEncryptionConfiguration{}
	if err := fill(config, m{"rules": c.In["rules"]}, encryptionNames); err != nil {
		return nil, err
	}
	err := eventually(ctx, func(ctx context.Context) error {
		_, err := c.Client.s3().PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{
			Bucket: engine.StrPtr(c.In, "bucket"), ExpectedBucketOwner: engine.StrPtr(c.In, "expectedBucketOwner"),
			ServerSideEncryptionConfiguration: config,
		})
		return err
	}, "ServerSideEncryptionConfigurationNotFoundError")
	if err != nil {
		return nil, fmt.Errorf("creating S3 Bucket (%s) Server-side Encryption Configuration: %w", engine.Str(c.In, "bucket"), err)
	}
	return nil, nil
}

func readEncryption(ctx context.Context, c *call) (m, error) {
	bucket, expected := splitOwned(c.ID)
	out, err := c.Client.s3().GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: &bucket, ExpectedBucketOwner: expected})
	if is(err, noSuchBucket, "ServerSideEncryptionConfigurationNotFoundError") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading S3 Bucket (%s) Server-side Encryption Configuration: %w", c.ID, err)
	}
	state := dump(out.ServerSideEncryptionConfiguration, c.Type.Inputs, encryptionNames)
	state["bucket"] = bucket
	return state, nil
}

func deleteEncryption(ctx context.Context, c *call) error {
	bucket, expected := splitOwned(c.ID)
	_, err := c.Client.s3().DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: &bucket, ExpectedBucketOwner: expected})
	if err = absent(err, noSuchBucket, "ServerSideEncryptionConfigurationNotFoundError"); err != nil {
		return fmt.Errorf("deleting S3 Bucket (%s) Server-side Encryption Configuration: %w", c.ID, err)
	}
	return nil
}
