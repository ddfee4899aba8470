package services_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

func (l *lab) bucket(name string) *s3.Client {
	l.t.Helper()
	c := s3.NewFromConfig(l.config(region))
	_, err := c.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: &name,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}})
	require.NoError(l.t, err)
	l.t.Cleanup(func() { // the emulator in the process outlives the lab
		l.empty(c, name)
		_, _ = c.DeleteBucket(context.Background(), &s3.DeleteBucketInput{Bucket: &name})
	})
	return c
}

func (l *lab) empty(c *s3.Client, name string) {
	out, err := c.ListObjectVersions(context.Background(), &s3.ListObjectVersionsInput{Bucket: &name})
	if err != nil {
		return
	}
	var ids []types.ObjectIdentifier
	for _, v := range out.Versions {
		ids = append(ids, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
	}
	for _, v := range out.DeleteMarkers {
		ids = append(ids, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
	}
	if len(ids) > 0 {
		_, err = c.DeleteObjects(context.Background(), &s3.DeleteObjectsInput{Bucket: &name, Delete: &types.Delete{Objects: ids}})
		require.NoError(l.t, err)
	}
}

func put(c *s3.Client, bucket, key, body string, opts ...func(*s3.PutObjectInput)) error {
	in := &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)}
	for _, o := range opts {
		o(in)
	}
	_, err := c.PutObject(context.Background(), in)
	return err
}

// anonymous fetches a URL without credentials.
func (l *lab) anonymous(url string) (int, string, http.Header) {
	l.t.Helper()
	res, err := l.Client(10 * time.Second).Get(url)
	require.NoError(l.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(l.t, err)
	return res.StatusCode, string(body), res.Header
}

const publicRead = `{"Version":"2012-10-17","Statement":[{"Sid":"Public","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":["arn:aws:s3:::%[1]s/.well-known/openid-configuration","arn:aws:s3:::%[1]s/keys.json"]}]}`

func TestS3BucketLifecycle(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	const name = "lifecycle-lab"
	c := l.bucket(name)
	_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(name), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-central-1"}})
	requireCode(t, err, "BucketAlreadyOwnedByYou")
	_, err = c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("elsewhere-lab")})
	requireCode(t, err, "IllegalLocationConstraintException", "unspecified location constraint")
	_, err = c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("Not_valid"), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-central-1"}})
	require.Error(t, err)
	head, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	require.Equal(t, region, *head.BucketRegion)
	_, err = c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("nowhere-lab")})
	requireCode(t, err, "NotFound")
	_, err = s3.NewFromConfig(l.config("us-east-1")).GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String(name)})
	require.ErrorContains(t, err, "301")

	// The defaults of a new bucket.
	block, err := c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	b := block.PublicAccessBlockConfiguration
	require.True(t, *b.BlockPublicAcls && *b.BlockPublicPolicy && *b.IgnorePublicAcls && *b.RestrictPublicBuckets)
	own, err := c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	require.Equal(t, types.ObjectOwnershipBucketOwnerEnforced, own.OwnershipControls.Rules[0].ObjectOwnership)
	enc, err := c.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	require.Equal(t, types.ServerSideEncryptionAes256, enc.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm)
	_, err = c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String(name)})
	requireCode(t, err, "NoSuchTagSet")
	_, err = c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: aws.String(name)})
	requireCode(t, err, "NoSuchBucketPolicy")
	_, err = c.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: aws.String(name)})
	requireCode(t, err, "NoSuchCORSConfiguration")
	_, err = c.PutBucketWebsite(ctx, &s3.PutBucketWebsiteInput{Bucket: aws.String(name), WebsiteConfiguration: &types.WebsiteConfiguration{IndexDocument: &types.IndexDocument{Suffix: aws.String("x")}}})
	requireCode(t, err, "NotImplemented", "website")
	loc, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	require.EqualValues(t, region, loc.LocationConstraint)

	_, err = c.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: aws.String(name), Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}}})
	require.NoError(t, err)
	tags, err := c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	require.Equal(t, "1", *tags.TagSet[0].Value)
	_, err = c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: aws.String(name), VersioningConfiguration: &types.VersioningConfiguration{Status: "Enabled"}})
	require.NoError(t, err)
	_, err = c.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: aws.String(name), ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
		Rules: []types.ServerSideEncryptionRule{{BucketKeyEnabled: aws.Bool(true), ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: "AES256"}}}}})
	require.NoError(t, err)

	require.NoError(t, put(c, name, "dir/a b+c.txt", "one", func(in *s3.PutObjectInput) {
		in.ContentType, in.CacheControl, in.Metadata = aws.String("text/plain"), aws.String("max-age=5"), map[string]string{"k": "v"}
		in.Tagging = aws.String("x=y")
	}))
	require.NoError(t, put(c, name, "dir/a b+c.txt", "two"))
	got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(name), Key: aws.String("dir/a b+c.txt"), ChecksumMode: "ENABLED"})
	require.NoError(t, err)
	body, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.Equal(t, "two", string(body))
	require.NotEmpty(t, *got.VersionId)
	require.NotNil(t, got.ChecksumCRC32)
	require.Equal(t, types.ServerSideEncryptionAes256, got.ServerSideEncryption)
	versions, err := c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	require.Len(t, versions.Versions, 2)
	list, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(name), Prefix: aws.String("dir/")})
	require.NoError(t, err)
	require.Equal(t, "dir/a b+c.txt", *list.Contents[0].Key)
	_, err = c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: aws.String(name), Key: aws.String("dir/a b+c.txt"), Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("t"), Value: aws.String("u")}}}})
	require.NoError(t, err)
	objectTags, err := c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: aws.String(name), Key: aws.String("dir/a b+c.txt")})
	require.NoError(t, err)
	require.Equal(t, "u", *objectTags.TagSet[0].Value)
	_, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(name), Key: aws.String("missing")})
	requireCode(t, err, "NotFound")
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(name), Key: aws.String("missing")})
	requireCode(t, err, "NoSuchKey")
	_, err = c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(name)})
	requireCode(t, err, "BucketNotEmpty")
	require.Equal(t, []string{name}, l.Inventory()["s3 bucket"])
	l.empty(c, name)
	_, err = c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	require.Empty(t, l.Inventory())
}

func TestS3BodiesAndMultipart(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	const name = "bodies-lab"
	c := l.bucket(name)
	// A stream of unknown length goes aws-chunked with a trailing checksum.
	_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(name), Key: aws.String("stream"), Body: io.NopCloser(bytes.NewReader(bytes.Repeat([]byte("x"), 200000))), ContentLength: aws.Int64(200000)})
	require.NoError(t, err)
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(name), Key: aws.String("stream")})
	require.NoError(t, err)
	require.EqualValues(t, 200000, *head.ContentLength)
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(name), Key: aws.String("big")})
	require.NoError(t, err)
	part, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String(name), Key: aws.String("big"), UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("part")})
	require.NoError(t, err)
	_, err = c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: aws.String(name), Key: aws.String("big"), UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: part.ETag, PartNumber: aws.Int32(1)}}}})
	require.NoError(t, err)
	_, err = c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String(name), Key: aws.String("copy"), CopySource: aws.String(name + "/big")})
	require.NoError(t, err)
	signed, err := s3.NewPresignClient(c).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(name), Key: aws.String("copy")})
	require.NoError(t, err)
	status, body, _ := l.anonymous(signed.URL)
	require.Equal(t, 200, status)
	require.Equal(t, "part", body)
	err = put(c, name, "bad", "x", func(in *s3.PutObjectInput) {
		in.ChecksumSHA256 = aws.String("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	})
	requireCode(t, err, "BadDigest")
}

func TestS3PublicAccess(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	const name = "issuer-lab"
	c := l.bucket(name)
	url := "https://" + name + ".s3.eu-central-1.amazonaws.com/"
	require.NoError(t, put(c, name, ".well-known/openid-configuration", "{}", func(in *s3.PutObjectInput) { in.ContentType = aws.String("application/json") }))
	require.NoError(t, put(c, name, "secret", "s"))
	status, body, _ := l.anonymous(url + ".well-known/openid-configuration")
	require.Equal(t, 403, status)
	require.Contains(t, body, "<Code>AccessDenied</Code>")

	policy := fmt.Sprintf(publicRead, name)
	putPolicy := func() error {
		_, err := c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(name), Policy: &policy})
		return err
	}
	requireCode(t, putPolicy(), "AccessDenied", `User: arn:aws:iam::111122223333:user/admin is not authorized to perform: s3:PutBucketPolicy on resource: "arn:aws:s3:::issuer-lab" because public policies are blocked by the BlockPublicPolicy block public access setting.`)
	block := func(policy, restrict bool) {
		_, err := c.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: aws.String(name), PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
			BlockPublicAcls: aws.Bool(true), IgnorePublicAcls: aws.Bool(true), BlockPublicPolicy: &policy, RestrictPublicBuckets: &restrict}})
		require.NoError(t, err)
	}
	block(false, true)
	requireCode(t, putPolicy(), "AccessDenied", "BlockPublicPolicy") // for a while yet
	require.Eventually(t, func() bool { return putPolicy() == nil }, 20*time.Second, 200*time.Millisecond)
	status, _, _ = l.anonymous(url + ".well-known/openid-configuration")
	require.Equal(t, 403, status, "RestrictPublicBuckets must keep anonymous callers out")
	block(false, false)
	status, body, header := l.anonymous(url + ".well-known/openid-configuration")
	require.Equal(t, 200, status)
	require.Equal(t, "{}", body)
	require.Equal(t, "application/json", header.Get("Content-Type"))
	for _, key := range []string{"secret", "nothing"} {
		status, _, _ = l.anonymous(url + key)
		require.Equal(t, 403, status, key)
	}
	status, _, _ = l.anonymous(url + "keys.json") // allowed to read, not to know that it is missing
	require.Equal(t, 403, status)
	status, _, _ = l.anonymous(url)
	require.Equal(t, 403, status)
	status, _, _ = l.anonymous("https://no-such-lab.s3.eu-central-1.amazonaws.com/x")
	require.Equal(t, 404, status)
	st, err := c.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	require.True(t, *st.PolicyStatus.IsPublic)
	got, err := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	require.JSONEq(t, policy, *got.Policy)

	err = put(c, name, "acl", "x", func(in *s3.PutObjectInput) { in.ACL = "public-read" })
	requireCode(t, err, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	require.NoError(t, put(c, name, "acl", "x", func(in *s3.PutObjectInput) { in.ACL = "bucket-owner-full-control" }))
	bad := strings.ReplaceAll(policy, name, "other-lab")
	_, err = c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(name), Policy: &bad})
	requireCode(t, err, "MalformedPolicy", "Policy has invalid resource")

	// With ACLs in use, public ones count unless the block ignores or refuses them.
	_, err = c.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{Bucket: aws.String(name), OwnershipControls: &types.OwnershipControls{
		Rules: []types.OwnershipControlsRule{{ObjectOwnership: "BucketOwnerPreferred"}}}})
	require.NoError(t, err)
	acl := func() error {
		return put(c, name, "acl", "x", func(in *s3.PutObjectInput) { in.ACL = "public-read" })
	}
	requireCode(t, acl(), "AccessDenied", "blocked by the BlockPublicAcls block public access setting")
	_, err = c.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	require.NoError(t, acl())
	status, _, _ = l.anonymous(url + "acl")
	require.Equal(t, 200, status)
	_, err = c.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: aws.String(name), PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{IgnorePublicAcls: aws.Bool(true)}})
	require.NoError(t, err)
	status, _, _ = l.anonymous(url + "acl")
	require.Equal(t, 403, status)
}

func TestS3Identity(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	const name = "demo-lab"
	admin := l.bucket(name)
	require.NoError(t, put(admin, name, "there", "x"))
	u := s3.NewFromConfig(l.user("uploader", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject","s3:DeleteObject"],"Resource":"arn:aws:s3:::demo-lab/uploader/*"}]}`))
	require.NoError(t, put(u, name, "uploader/pod.json", "{}"))
	requireCode(t, put(u, name, "other/pod.json", "{}"), "AccessDenied", `User: arn:aws:iam::111122223333:user/uploader is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::demo-lab/other/pod.json" because no identity-based policy allows the s3:PutObject action`)
	_, err := u.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(name), Key: aws.String("uploader/missing")})
	requireCode(t, err, "AccessDenied", "s3:ListBucket")
	requireCode(t, put(u, name, "uploader/tagged", "x", func(in *s3.PutObjectInput) { in.Tagging = aws.String("a=b") }), "AccessDenied", "s3:PutObjectTagging")
	out, err := u.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String(name), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("there")}, {Key: aws.String("uploader/pod.json")}}}})
	require.NoError(t, err)
	require.Len(t, out.Deleted, 1)
	require.Len(t, out.Errors, 1)
	require.Equal(t, "AccessDenied", *out.Errors[0].Code)
	_, err = admin.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(name), Key: aws.String("there")})
	require.NoError(t, err)
}
