package accesslogs

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/internal/pulumitest"
)

func answers(r pulumitest.Resource) resource.PropertyMap {
	if r.Type != "aws:s3/bucketV2:BucketV2" {
		return nil
	}
	return resource.PropertyMap{"arn": resource.NewProperty("arn:aws:s3:::" + r.Input("bucket").(string))}
}

func valid() *BucketArgs {
	return &BucketArgs{
		Name: "lab-logs", Days: 90, SourceArns: []string{"arn:aws:s3:::lab-issuer"}, AccountID: "111122223333",
		Tags: map[string]string{"team": "platform"},
	}
}

func run(t *testing.T, args *BucketArgs) (*pulumitest.Recorder, string, error) {
	t.Helper()
	name := ""
	recorder, err := pulumitest.Run(t, pulumitest.Options{Outputs: answers}, func(ctx *pulumi.Context) error {
		logs, err := NewBucket(ctx, "logs", args)
		if err == nil {
			pulumitest.Result(ctx, logs.Name, &name)
		}
		return err
	})
	return recorder, name, err
}

func TestBucket(t *testing.T) {
	args := valid()
	args.CloudFront, args.Protect = true, true
	recorder, _, err := run(t, args)
	require.NoError(t, err)
	pulumitest.Golden(t, "graph.txt", recorder.Graph())
	pulumitest.Golden(t, "policy.json", pulumitest.IndentJSON(t, recorder.Get(t, "logs-policy").Input("policy").(string)))
	pulumitest.Golden(t, "expiry.json", recorder.Get(t, "logs-expiry").JSON())
	require.Equal(t, "BucketOwnerPreferred", recorder.Get(t, "logs-ownership").Input("rule").(map[string]any)["objectOwnership"])
	for _, block := range []string{"blockPublicAcls", "ignorePublicAcls", "blockPublicPolicy", "restrictPublicBuckets"} {
		require.Equal(t, true, recorder.Get(t, "logs-access").Input(block), block)
	}
	// S3 takes one change of a bucket's settings at a time.
	for after, before := range map[string]string{
		"logs-ownership": "logs-access", "logs-encryption": "logs-ownership", "logs-expiry": "logs-encryption", "logs-policy": "logs-expiry",
	} {
		require.Contains(t, recorder.Get(t, after).DependsOn, before)
	}
}

// TestWithoutCloudFront holds that ACLs are off where nobody needs them.
func TestWithoutCloudFront(t *testing.T) {
	recorder, _, err := run(t, valid())
	require.NoError(t, err)
	require.Equal(t, "BucketOwnerEnforced", recorder.Get(t, "logs-ownership").Input("rule").(map[string]any)["objectOwnership"])
	require.False(t, recorder.Get(t, "logs-bucket").Protect)
}

func TestRefusals(t *testing.T) {
	for want, change := range map[string]func(*BucketArgs){
		`Name is "a.b"`:                          func(a *BucketArgs) { a.Name = "a.b" },
		"Days is 0, must be 1 to 3650":           func(a *BucketArgs) { a.Days = 0 },
		"Days is 3651":                           func(a *BucketArgs) { a.Days = 3651 },
		"SourceArns are missing":                 func(a *BucketArgs) { a.SourceArns = nil },
		`SourceArns[0] is "x"`:                   func(a *BucketArgs) { a.SourceArns = []string{"x"} },
		"SourceArns[0] is the log bucket itself": func(a *BucketArgs) { a.SourceArns = []string{"arn:aws:s3:::lab-logs"} },
		`AccountID is "1"`:                       func(a *BucketArgs) { a.AccountID = "1" },
	} {
		args := valid()
		change(args)
		recorder, _, err := run(t, args)
		require.ErrorContains(t, err, want)
		require.Empty(t, recorder.Resources(), want)
	}
	_, _, err := run(t, nil)
	require.ErrorContains(t, err, "args are missing")
	_, _, err = run(t, &BucketArgs{})
	for _, all := range []string{"Name", "Days", "SourceArns", "AccountID"} {
		require.ErrorContains(t, err, all)
	}
}
