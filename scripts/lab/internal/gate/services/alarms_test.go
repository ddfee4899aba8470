package services_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	cf "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eb "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"
)

func TestTopics(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := sns.NewFromConfig(l.config(region))
	made, err := c.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("alarms")})
	require.NoError(t, err)
	arn := made.TopicArn
	require.Equal(t, "arn:aws:sns:eu-central-1:111122223333:alarms", *arn)
	_, err = c.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("no spaces")})
	requireCode(t, err, "InvalidParameter")
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sns:Publish","Resource":%q}]}`, *arn)
	set := func(text string) error {
		_, err := c.SetTopicAttributes(ctx, &sns.SetTopicAttributesInput{TopicArn: arn, AttributeName: aws.String("Policy"), AttributeValue: &text})
		return err
	}
	require.NoError(t, set(policy))
	requireCode(t, set(strings.Replace(policy, "sns:Publish", "s3:GetObject", 1)), "InvalidParameter", "out of service scope")
	requireCode(t, set("{"), "InvalidParameter")
	got, err := c.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: arn})
	require.NoError(t, err)
	require.JSONEq(t, policy, got.Attributes["Policy"])
	_, err = c.SetTopicAttributes(ctx, &sns.SetTopicAttributesInput{TopicArn: arn, AttributeName: aws.String("KmsMasterKeyId"), AttributeValue: aws.String("alias/x")})
	requireCode(t, err, "NotImplemented", "KmsMasterKeyId")

	subscribe := func(protocol, endpoint string) (string, error) {
		out, err := c.Subscribe(ctx, &sns.SubscribeInput{TopicArn: arn, Protocol: &protocol, Endpoint: &endpoint, ReturnSubscriptionArn: true})
		if err != nil {
			return "", err
		}
		return *out.SubscriptionArn, nil
	}
	first, err := subscribe("email", "ops@example.com")
	require.NoError(t, err)
	again, err := subscribe("email", "ops@example.com")
	require.NoError(t, err)
	require.Equal(t, first, again)
	_, err = subscribe("email", "nobody")
	requireCode(t, err, "InvalidParameter")
	_, err = subscribe("sms", "+4900000")
	requireCode(t, err, "NotImplemented", "sms")
	of, err := c.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &first})
	require.NoError(t, err)
	require.Equal(t, "true", of.Attributes["PendingConfirmation"], "the lab sends no mail, so nobody confirms")
	_, err = c.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: &first})
	requireCode(t, err, "InvalidParameter", "pending confirmation")
	_, err = c.Publish(ctx, &sns.PublishInput{TopicArn: arn, Message: aws.String("x")})
	requireCode(t, err, "NotImplemented", "Publish")
	require.Contains(t, l.Inventory(), "sns topic")
	require.Contains(t, l.Inventory(), "sns subscription")

	// Permission comes by action and topic.
	other := sns.NewFromConfig(l.user("reader", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sns:GetTopicAttributes","Resource":"*"}]}`))
	_, err = other.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: arn})
	require.NoError(t, err)
	_, err = other.DeleteTopic(ctx, &sns.DeleteTopicInput{TopicArn: arn})
	requireCode(t, err, "AccessDenied", "sns:DeleteTopic")

	_, err = c.DeleteTopic(ctx, &sns.DeleteTopicInput{TopicArn: arn})
	require.NoError(t, err)
	require.NotContains(t, l.Inventory(), "sns topic")
	require.NotContains(t, l.Inventory(), "sns subscription", "it ends with its topic")
	_, err = c.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: arn})
	requireCode(t, err, "NotFound")
}

func TestEventRules(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := eventbridge.NewFromConfig(l.config(region))
	pattern := `{"source":["aws.sts"],"detail":{"errorCode":["AccessDenied"],"requestParameters":{"roleArn":[{"prefix":"arn:aws:iam::111122223333:role/lab-"}]}}}`
	put := func(pattern string) error {
		_, err := c.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("refused"), EventPattern: &pattern})
		return err
	}
	for _, bad := range []string{`[]`, `{}`, `{"source":"aws.sts"}`, `{"source":[]}`, `{"detail":{}}`, `{"detail":{"days":[{"less":[3]}]}}`, `{"detail":{"days":[{"numeric":["<"]}]}}`} {
		requireCode(t, put(bad), "InvalidEventPatternException")
	}
	for _, unknown := range []string{`{"$or":[{"source":["x"]}]}`, `{"source":[{"wildcard":"a*"}]}`, `{"source":[{"anything-but":{"prefix":"a"}}]}`} {
		requireCode(t, put(unknown), "NotImplemented")
	}
	require.NoError(t, put(pattern))
	rule, err := c.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: aws.String("refused")})
	require.NoError(t, err)
	require.JSONEq(t, pattern, *rule.EventPattern)
	require.Equal(t, eb.RuleStateEnabled, rule.State)
	_, err = c.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("cron"), ScheduleExpression: aws.String("rate(1 hour)")})
	requireCode(t, err, "NotImplemented", "ScheduleExpression")
	_, err = c.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("no spaces"), EventPattern: &pattern})
	requireCode(t, err, "ValidationException")

	target := func(to, template string, paths map[string]string) error {
		_, err := c.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("refused"), Targets: []eb.Target{{Id: aws.String("topic"), Arn: &to,
			InputTransformer: &eb.InputTransformer{InputTemplate: &template, InputPathsMap: paths}}}})
		return err
	}
	const topic = "arn:aws:sns:eu-central-1:111122223333:alarms"
	requireCode(t, target("arn:aws:sqs:eu-central-1:111122223333:q", `"x"`, nil), "NotImplemented")
	requireCode(t, target("arn:aws:sns:us-east-1:111122223333:alarms", `"x"`, nil), "NotImplemented")
	requireCode(t, target(topic, `"refused: <error>"`, nil), "ValidationException", "placeholder")
	require.NoError(t, target(topic, `"refused: <error>"`, map[string]string{"error": "$.detail.errorMessage"}))
	targets, err := c.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: aws.String("refused")})
	require.NoError(t, err)
	require.Equal(t, `"refused: <error>"`, *targets.Targets[0].InputTransformer.InputTemplate)
	require.Contains(t, l.Inventory(), "event rule")
	_, err = c.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: aws.String("refused")})
	requireCode(t, err, "ValidationException", "Rule can't be deleted since it has targets")
	_, err = eventbridge.NewFromConfig(l.user("nobody", "")).DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: aws.String("refused")})
	requireCode(t, err, "AccessDeniedException", "events:DescribeRule")
	_, err = c.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []eb.PutEventsRequestEntry{{Source: aws.String("x"), DetailType: aws.String("y"), Detail: aws.String("{}")}}})
	requireCode(t, err, "NotImplemented", "PutEvents")
	_, err = c.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: aws.String("refused"), Ids: []string{"topic"}})
	require.NoError(t, err)
	_, err = c.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: aws.String("refused")})
	require.NoError(t, err)
	require.NotContains(t, l.Inventory(), "event rule")
}

func TestAccessLogs(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	const source, logs = "logged-lab", "logs-lab"
	c := l.bucket(source)
	l.bucket(logs)
	enable := func(target string) error {
		_, err := c.PutBucketLogging(ctx, &s3.PutBucketLoggingInput{Bucket: aws.String(source), BucketLoggingStatus: &types.BucketLoggingStatus{
			LoggingEnabled: &types.LoggingEnabled{TargetBucket: &target, TargetPrefix: aws.String("s3/")}}})
		return err
	}
	requireCode(t, enable("nowhere-lab"), "InvalidTargetBucketForLogging")
	requireCode(t, enable(logs), "InvalidTargetBucketForLogging", "bucket policy")
	allow := func(from, account, prefix string) {
		policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::%s/%s*",`+
			`"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::%s"},"StringEquals":{"aws:SourceAccount":"%s"}}}]}`, logs, prefix, from, account)
		_, err := c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String(logs), Policy: &policy})
		require.NoError(t, err)
	}
	for _, wrong := range [][3]string{{"other-lab", account, "s3/"}, {source, "444455556666", "s3/"}, {source, account, "elsewhere/"}} {
		allow(wrong[0], wrong[1], wrong[2])
		requireCode(t, enable(logs), "InvalidTargetBucketForLogging")
	}
	allow(source, account, "s3/")
	require.NoError(t, enable(logs))
	got, err := c.GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: aws.String(source)})
	require.NoError(t, err)
	require.Equal(t, logs, *got.LoggingEnabled.TargetBucket)
	_, err = c.PutBucketLogging(ctx, &s3.PutBucketLoggingInput{Bucket: aws.String(source), BucketLoggingStatus: &types.BucketLoggingStatus{}})
	require.NoError(t, err)
	got, err = c.GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: aws.String(source)})
	require.NoError(t, err)
	require.Nil(t, got.LoggingEnabled)

	rule := types.LifecycleRule{ID: aws.String("expire"), Status: "Enabled", Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(90)}}
	expire := func(rules ...types.LifecycleRule) error {
		_, err := c.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{Bucket: aws.String(logs), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules}})
		return err
	}
	require.NoError(t, expire(rule))
	lifecycle, err := c.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: aws.String(logs)})
	require.NoError(t, err)
	require.EqualValues(t, 90, *lifecycle.Rules[0].Expiration.Days)
	requireCode(t, expire(rule, rule), "InvalidArgument", "unique")
	rule.Transitions = []types.Transition{{Days: aws.Int32(1), StorageClass: "GLACIER"}}
	requireCode(t, expire(rule), "NotImplemented", "Transition")
	rule.Transitions, rule.Expiration.Days = nil, aws.Int32(0)
	requireCode(t, expire(rule), "InvalidArgument")
	_, err = c.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: aws.String(logs)})
	require.NoError(t, err)
	_, err = c.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: aws.String(logs)})
	requireCode(t, err, "NoSuchLifecycleConfiguration")
}

// TestVersionsOfFormerObjects holds that an object that was there before its bucket kept versions is a version afterwards.
func TestVersionsOfFormerObjects(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	const name = "versions-lab"
	c := l.bucket(name)
	require.NoError(t, put(c, name, "a", "before"))
	versioning := func(status types.BucketVersioningStatus) {
		_, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: aws.String(name), VersioningConfiguration: &types.VersioningConfiguration{Status: status}})
		require.NoError(t, err)
	}
	versioning("Enabled")
	require.NoError(t, put(c, name, "a", "after"))
	read := func(version string) string {
		in := &s3.GetObjectInput{Bucket: aws.String(name), Key: aws.String("a")}
		if version != "" {
			in.VersionId = &version
		}
		out, err := c.GetObject(ctx, in)
		require.NoError(t, err)
		body := make([]byte, 16)
		n, _ := out.Body.Read(body)
		return string(body[:n])
	}
	require.Equal(t, "after", read(""))
	require.Equal(t, "before", read("null"))
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(name), Key: aws.String("a")})
	require.NoError(t, err)
	require.NotEmpty(t, *head.VersionId)
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(name), Key: aws.String("a")})
	require.NoError(t, err)
	all, err := c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: aws.String(name)})
	require.NoError(t, err)
	require.Len(t, all.Versions, 2)
	require.Len(t, all.DeleteMarkers, 1)
	_, err = c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(name)})
	requireCode(t, err, "BucketNotEmpty")
	versioning("Suspended")
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(name), Key: aws.String("a")})
	requireCode(t, err, "NotImplemented", "suspended versioning")
	l.empty(c, name)
	_, err = c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(name)})
	require.NoError(t, err)
}

// TestDistributionLogs holds what a distribution's log bucket must be, and that CloudFront's log delivery gets into its ACL.
func TestDistributionLogs(t *testing.T) {
	e, ctx := newEdge(t, "dist-logged-lab"), context.Background()
	const logs = "dist-logs-lab"
	e.lab.bucket(logs)
	config := e.config()
	config.CallerReference, config.Aliases, config.ViewerCertificate = aws.String("logged"), nil, nil
	create := func(c *cloudfront.Client, bucket string) error {
		config.Logging = &cf.LoggingConfig{Enabled: aws.Bool(true), Bucket: &bucket, Prefix: aws.String("cloudfront/"), IncludeCookies: aws.Bool(false)}
		made, err := c.CreateDistribution(ctx, &cloudfront.CreateDistributionInput{DistributionConfig: config})
		if err == nil {
			require.Equal(t, "cloudfront/", *made.Distribution.DistributionConfig.Logging.Prefix)
		}
		return err
	}
	requireCode(t, create(e.cf, "nowhere-lab.s3.amazonaws.com"), "InvalidArgument", "valid S3 bucket")
	requireCode(t, create(e.cf, logs), "InvalidArgument", "valid S3 bucket")
	requireCode(t, create(e.cf, logs+".s3.amazonaws.com"), "InvalidArgument", "does not enable ACL access")
	_, err := e.s3.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{Bucket: aws.String(logs), OwnershipControls: &types.OwnershipControls{
		Rules: []types.OwnershipControlsRule{{ObjectOwnership: "BucketOwnerPreferred"}}}})
	require.NoError(t, err)
	narrow := cloudfront.NewFromConfig(e.user("cdn", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"cloudfront:*","Resource":"*"}]}`))
	requireCode(t, create(narrow, logs+".s3.amazonaws.com"), "AccessDenied", "s3:GetBucketAcl")
	require.NoError(t, create(e.cf, logs+".s3.amazonaws.com"))
	acl, err := e.s3.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: aws.String(logs)})
	require.NoError(t, err)
	require.Len(t, acl.Grants, 2)
	require.Equal(t, types.PermissionFullControl, acl.Grants[1].Permission)
	require.NotEqual(t, *acl.Owner.ID, *acl.Grants[1].Grantee.ID)
	_, err = e.s3.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{Bucket: aws.String(logs), OwnershipControls: &types.OwnershipControls{
		Rules: []types.OwnershipControlsRule{{ObjectOwnership: "BucketOwnerEnforced"}}}})
	requireCode(t, err, "InvalidBucketAclWithObjectOwnership")
}

// TestAlarmsAreTold takes a refused call from STS to the topic: the trail, the rule's pattern, its text, and the topic's
// policy decide.
func TestAlarmsAreTold(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	topics, rules := sns.NewFromConfig(l.config(region)), eventbridge.NewFromConfig(l.config(region))
	made, err := topics.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("alarms")})
	require.NoError(t, err)
	policy := func(condition string) {
		text := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sns:Publish","Resource":%q%s}]}`, *made.TopicArn, condition)
		_, err := topics.SetTopicAttributes(ctx, &sns.SetTopicAttributesInput{TopicArn: made.TopicArn, AttributeName: aws.String("Policy"), AttributeValue: &text})
		require.NoError(t, err)
	}
	rule := func(state eb.RuleState) {
		_, err := rules.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("refused"), State: state, EventPattern: aws.String(
			`{"source":["aws.sts"],"detail":{"eventName":["AssumeRole"],"errorCode":["AccessDenied"],"requestParameters":{"roleArn":[{"prefix":"arn:aws:iam::111122223333:role/lab-"}]}}}`)})
		require.NoError(t, err)
	}
	rule("")
	_, err = rules.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("refused"), Targets: []eb.Target{{Id: aws.String("topic"), Arn: made.TopicArn,
		InputTransformer: &eb.InputTransformer{InputTemplate: aws.String(`"<event> of <role>: <error>"`), InputPathsMap: map[string]string{
			"event": "$.detail.eventName", "role": "$.detail.requestParameters.roleArn", "error": "$.detail.errorCode"}}}}})
	require.NoError(t, err)
	try := func(role string) {
		_, err := sts.NewFromConfig(l.config(region)).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::111122223333:role/" + role), RoleSessionName: aws.String("somebody")})
		requireCode(t, err, "AccessDenied")
	}
	try("lab-uploader")
	require.Empty(t, l.SNS.Messages(), "the topic's default policy lets nobody but the account publish")
	policy(`,"Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"}}`)
	try("lab-uploader")
	require.Empty(t, l.SNS.Messages(), "EventBridge brings no condition keys")
	policy("")
	try("lab-uploader")
	require.Empty(t, l.SNS.Messages(), "calls of STS read only, and a rule that is just enabled does not see them")
	rule(eb.RuleStateEnabledWithAllCloudtrailManagementEvents)
	try("other")
	require.Empty(t, l.SNS.Messages(), "another cluster's role")
	try("lab-uploader")
	require.Len(t, l.SNS.Messages(), 1)
	require.Equal(t, `"AssumeRole of arn:aws:iam::111122223333:role/lab-uploader: AccessDenied"`, l.SNS.Messages()[0].Text)
	_, err = rules.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: aws.String("refused")})
	requireCode(t, err, "NotImplemented")
}
