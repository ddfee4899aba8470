package awsres

import (
	"strings"

	"github.com/stretchr/testify/require"
)

const logPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject",` +
	`"Resource":"arn:aws:s3:::k3s-aws-auth-test-logs/*","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::k3s-aws-auth-test-source"}}}]}`

func logsScenario(w *world) {
	source := w.create("aws:s3/bucketV2:BucketV2", "source", m{"bucket": "k3s-aws-auth-test-source"})
	logs := w.create("aws:s3/bucketV2:BucketV2", "logs", m{"bucket": "k3s-aws-auth-test-logs", "forceDestroy": true}) // moto delivers logs
	policy := w.create("aws:s3/bucketPolicy:BucketPolicy", "logs", m{"bucket": logs.id, "policy": logPolicy})
	expiry := w.create("aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", "logs", m{
		"bucket": logs.id, "rules": []any{m{"id": "expire", "status": "Enabled", "filter": m{"prefix": ""}, "expiration": m{"days": 90}}},
	})
	expiry.update(m{
		"bucket": logs.id, "rules": []any{m{"id": "expire", "status": "Enabled", "filter": m{"prefix": ""}, "expiration": m{"days": 30}}},
	}, "rules")
	logging := w.create("aws:s3/bucketLoggingV2:BucketLoggingV2", "source", m{"bucket": source.id, "targetBucket": logs.id, "targetPrefix": "s3/"})
	logging.update(m{"bucket": source.id, "targetBucket": logs.id, "targetPrefix": "s3/a/"}, "targetPrefix")
	logging.replaces(m{"bucket": "k3s-aws-auth-other", "targetBucket": logs.id, "targetPrefix": "s3/"}, "bucket")
	for _, f := range []*fixture{logging, expiry, policy, logs, source} {
		f.delete()
		f.gone()
	}
}

// versionsScenario takes a bucket through versions that are switched on and off around its objects: a destroy leaves
// nothing all the same.
func versionsScenario(w *world) {
	const name = "k3s-aws-auth-test-versions"
	bucket := w.create("aws:s3/bucketV2:BucketV2", "issuer", m{"bucket": name, "forceDestroy": true})
	object := func(key, content string) m { return m{"bucket": name, "key": key, "content": content} }
	before := w.create("aws:s3/bucketObjectv2:BucketObjectv2", "before", object("before", "1"))
	on := m{"bucket": name, "versioningConfiguration": m{"status": "Enabled"}}
	versioning := w.create("aws:s3/bucketVersioningV2:BucketVersioningV2", "issuer", on)
	during := w.create("aws:s3/bucketObjectv2:BucketObjectv2", "during", object("during", "1"))
	during.update(object("during", "2"), "content")
	require.NotEmpty(w.t, during.text("versionId"))
	versioning.delete() // which suspends it
	after := w.create("aws:s3/bucketObjectv2:BucketObjectv2", "after", object("after", "1"))
	before.refresh() // now it is one version among others
	if !w.moto {     // which says no version of it
		require.Equal(w.t, "null", before.text("versionId"))
	}
	for _, f := range []*fixture{after, during, before, bucket} {
		f.delete()
		f.gone()
	}
}

const alarmTopicPolicy = `{"Version":"2012-10-17","Statement":[{"Sid":"PublishEvents","Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sns:Publish","Resource":"ARN"}]}`

func topicScenario(w *world) {
	topic := w.create("aws:sns/topic:Topic", "alarms", m{"displayName": "Alarms", "tags": tags("alarms")})
	require.Regexp(w.t, `^arn:aws:sns:eu-central-1:\d+:alarms-[0-9a-f]{7}$`, topic.id)
	topic.update(m{"displayName": "Other", "tags": tags("other")}, "displayName", "tags", "tagsAll")
	text := strings.Replace(alarmTopicPolicy, "ARN", topic.id, 1)
	policy := w.create("aws:sns/topicPolicy:TopicPolicy", "alarms", m{"arn": topic.id, "policy": text})
	policy.update(m{"arn": topic.id, "policy": strings.Replace(text, "PublishEvents", "Publish", 1)}, "policy")
	topic.refresh()
	topic.unchanged("with a policy of its own")
	mail := w.create("aws:sns/topicSubscription:TopicSubscription", "ops", m{"topic": topic.id, "protocol": "email", "endpoint": "ops@example.com"})
	mail.replaces(m{"topic": topic.id, "protocol": "email", "endpoint": "other@example.com"}, "endpoint")
	_, failures := w.check(mail.token, "sms", m{"topic": topic.id, "protocol": "sms", "endpoint": "+4900000"}, nil)
	require.NotEmpty(w.t, failures)

	rule := w.create("aws:cloudwatch/eventRule:EventRule", "refused", m{
		"description": "refused", "eventPattern": `{"source":["aws.sts"],"detail":{"errorCode":["AccessDenied"]}}`, "tags": tags("refused"),
	})
	require.Equal(w.t, "ENABLED", rule.text("state"))
	in := m{
		"rule": rule.text("name"), "targetId": "topic", "arn": topic.id,
		"inputTransformer": m{"inputPaths": m{"error": "$.detail.errorMessage"}, "inputTemplate": `"refused: <error>"`},
	}
	target := w.create("aws:cloudwatch/eventTarget:EventTarget", "refused", in)
	in["inputTransformer"] = m{"inputPaths": m{"error": "$.detail.errorCode"}, "inputTemplate": `"refused: <error>"`}
	target.update(in, "inputTransformer")
	rule.update(m{
		"description": "refused", "eventPattern": `{"source":["aws.sts"],"detail":{"errorCode":["AccessDenied","AccessDeniedException"]}}`, "tags": tags("other"),
	}, "eventPattern", "tags", "tagsAll")
	for _, f := range []*fixture{target, rule} {
		f.delete()
		f.gone()
	}
	mail.delete()
	policy.delete()
	topic.delete()
	topic.gone()
	mail.gone()
}
