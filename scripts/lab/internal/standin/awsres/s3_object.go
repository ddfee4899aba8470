package awsres

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// objectContent are the properties whose change uploads the object again.
var objectContent = []string{
	"content", "contentBase64", "source", "sourceHash", "cacheControl", "contentDisposition", "contentEncoding", "contentLanguage",
	"contentType", "checksumAlgorithm", "etag", "kmsKeyId", "metadata", "serverSideEncryption", "storageClass", "websiteRedirect",
	"bucketKeyEnabled",
}

var objectResource = &resource{
	Create: createObject, Read: readObject, Update: updateObject, Delete: deleteObject, Check: checkObject,
	Same: map[string]func(old, new any) bool{
		"key": func(old, new any) bool {
			a, _ := old.(string)
			b, _ := new.(string)
			return cleanKey(a) == cleanKey(b)
		},
	},
	Volatile: func(changed map[string]bool) []string {
		for _, name := range objectContent {
			if changed[name] {
				return []string{"versionId", "etag", "checksumCrc32", "checksumCrc32c", "checksumCrc64nvme", "checksumSha1", "checksumSha256"}
			}
		}
		return nil
	},
}

var slashes = regexp.MustCompile(`/+`)

// cleanKey drops leading and doubled slashes, as the provider does.
func cleanKey(key string) string { return strings.TrimPrefix(slashes.ReplaceAllString(key, "/"), "/") }

func checkObject(c *checker) {
	for key := range engine.Obj(c.In, "metadata") {
		if key != strings.ToLower(key) {
			c.Fail("metadata", "Metadata must be lowercase only. Offending key: %q.", key)
		}
	}
	if c.Given("overrideProvider") {
		c.Fail("overrideProvider", "The stand-in aws provider does not override the provider's default tags.")
	}
}

func objectID(in m) (bucket, key string) {
	return engine.Str(in, "bucket"), cleanKey(engine.Str(in, "key"))
}

func objectBody(ctx context.Context, in m) ([]byte, error) {
	switch {
	case engine.Has(in, "source"):
		asset, ok := in["source"].(*engine.Asset)
		if !ok {
			return nil, fmt.Errorf("source: an asset is needed")
		}
		return asset.Bytes(ctx)
	case engine.Has(in, "contentBase64"):
		return base64.StdEncoding.DecodeString(engine.Str(in, "contentBase64"))
	}
	return []byte(engine.Str(in, "content")), nil
}

func (c *Client) putObject(ctx context.Context, in m, tags map[string]string) error {
	bucket, key := objectID(in)
	body, err := objectBody(ctx, in)
	if err != nil {
		return fmt.Errorf("reading the contents of S3 Object (%s/%s): %w", bucket, key, err)
	}
	req := &s3.PutObjectInput{
		Bucket: &bucket, Key: &key, Body: bytes.NewReader(body),
		ACL: types.ObjectCannedACL(engine.Str(in, "acl")), BucketKeyEnabled: engine.BoolPtr(in, "bucketKeyEnabled"),
		CacheControl: engine.StrPtr(in, "cacheControl"), ContentDisposition: engine.StrPtr(in, "contentDisposition"),
		ContentEncoding: engine.StrPtr(in, "contentEncoding"), ContentLanguage: engine.StrPtr(in, "contentLanguage"),
		ContentType: engine.StrPtr(in, "contentType"), ChecksumAlgorithm: types.ChecksumAlgorithm(engine.Str(in, "checksumAlgorithm")),
		SSEKMSKeyId: engine.StrPtr(in, "kmsKeyId"), ServerSideEncryption: types.ServerSideEncryption(engine.Str(in, "serverSideEncryption")),
		StorageClass: types.StorageClass(engine.Str(in, "storageClass")), WebsiteRedirectLocation: engine.StrPtr(in, "websiteRedirect"),
		ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatus(engine.Str(in, "objectLockLegalHoldStatus")),
		ObjectLockMode:            types.ObjectLockMode(engine.Str(in, "objectLockMode")),
	}
	if md := engine.StrMap(in, "metadata"); len(md) > 0 {
		req.Metadata = md
	}
	if req.SSEKMSKeyId != nil && req.ServerSideEncryption == "" {
		req.ServerSideEncryption = types.ServerSideEncryptionAwsKms
	}
	if s := engine.Str(in, "objectLockRetainUntilDate"); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return fmt.Errorf("objectLockRetainUntilDate: %w", err)
		}
		req.ObjectLockRetainUntilDate = &t
	}
	if len(tags) > 0 {
		q := url.Values{}
		for k, v := range tags {
			q.Set(k, v)
		}
		req.Tagging = aws.String(q.Encode())
	}
	if _, err := c.s3().PutObject(ctx, req); err != nil {
		return fmt.Errorf("uploading S3 Object (%s) to Bucket (%s): %w", key, bucket, err)
	}
	return nil
}

func createObject(ctx context.Context, c *call) (string, m, error) {
	if err := c.Client.putObject(ctx, c.In, c.Tags()); err != nil {
		return "", nil, err
	}
	_, key := objectID(c.In)
	return key, nil, nil
}

func readObject(ctx context.Context, c *call) (m, error) {
	bucket, key := objectID(c.Old)
	if bucket == "" { // an import: BUCKET/KEY
		var ok bool
		if bucket, key, ok = strings.Cut(strings.TrimPrefix(c.ID, "s3://"), "/"); !ok {
			return nil, fmt.Errorf("id %s should be in format <bucket>/<key> or s3://<bucket>/<key>", c.ID)
		}
	}
	out, err := c.Client.s3().HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if is(err, noSuchBucket, "NoSuchKey", "NotFound", "404") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading S3 Object (%s/%s): %w", bucket, key, err)
	}
	storage := string(out.StorageClass)
	if storage == "" {
		storage = string(types.StorageClassStandard)
	}
	state := m{
		"arn":    fmt.Sprintf("arn:%s:s3:::%s/%s", c.Client.Partition, bucket, key),
		"bucket": bucket, "key": key, "etag": strings.Trim(aws.ToString(out.ETag), `"`), "versionId": aws.ToString(out.VersionId),
		"cacheControl": aws.ToString(out.CacheControl), "contentDisposition": aws.ToString(out.ContentDisposition),
		"contentEncoding": aws.ToString(out.ContentEncoding), "contentLanguage": aws.ToString(out.ContentLanguage),
		"contentType": aws.ToString(out.ContentType), "bucketKeyEnabled": aws.ToBool(out.BucketKeyEnabled), "storageClass": storage,
		"serverSideEncryption": string(out.ServerSideEncryption), "kmsKeyId": "", "websiteRedirect": aws.ToString(out.WebsiteRedirectLocation),
		"checksumCrc32": aws.ToString(out.ChecksumCRC32), "checksumCrc32c": aws.ToString(out.ChecksumCRC32C), "checksumSha1": aws.ToString(out.ChecksumSHA1),
		"checksumSha256": aws.ToString(out.ChecksumSHA256), "checksumCrc64nvme": aws.ToString(out.ChecksumCRC64NVME), "tags": m{},
	}
	if engine.Str(c.Old, "kmsKeyId") != "" {
		state["kmsKeyId"] = aws.ToString(out.SSEKMSKeyId)
	}
	md := m{}
	for k, v := range out.Metadata {
		md[strings.ToLower(k)] = v
	}
	state["metadata"] = md
	tags, err := c.Client.s3().GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &bucket, Key: &key})
	if err = optional(absent(err, "NoSuchTagSet")); err != nil {
		return nil, fmt.Errorf("reading S3 Object (%s/%s) tags: %w", bucket, key, err)
	}
	if tags != nil {
		all := m{}
		for _, t := range tags.TagSet {
			all[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		state["tags"] = all
	}
	return state, nil
}

func updateObject(ctx context.Context, c *call) (m, error) {
	if c.HasChanged(objectContent...) || c.HasChanged("acl", "objectLockLegalHoldStatus", "objectLockMode", "objectLockRetainUntilDate") {
		return nil, c.Client.putObject(ctx, c.In, c.Tags())
	}
	if c.Changed["tagsAll"] {
		bucket, key := objectID(c.In)
		var set []types.Tag
		tags := c.Tags()
		for _, k := range sorted(tags) {
			set = append(set, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
		}
		if _, err := c.Client.s3().PutObjectTagging(ctx, &s3.PutObjectTaggingInput{
			Bucket: &bucket, Key: &key, Tagging: &types.Tagging{TagSet: set},
		}); err != nil {
			return nil, fmt.Errorf("updating S3 Object (%s/%s) tags: %w", bucket, key, err)
		}
	}
	return nil, nil
}

func deleteObject(ctx context.Context, c *call) error {
	bucket, key := objectID(c.Old)
	if engine.Str(c.Old, "versionId") != "" { // a versioned object goes with all of its versions
		return c.Client.emptyBucket(ctx, bucket, key)
	}
	_, err := c.Client.s3().DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	if err = absent(err, noSuchBucket, "NoSuchKey"); err != nil {
		return fmt.Errorf("deleting S3 Object (%s/%s): %w", bucket, key, err)
	}
	return nil
}
