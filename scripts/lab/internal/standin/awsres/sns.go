package awsres

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var snsResources = map[string]*resource{
	"aws:sns/topic:Topic":                         {Create: createTopic, Read: readTopic, Update: updateTopic, Delete: deleteTopic},
	"aws:sns/topicPolicy:TopicPolicy":             {Create: createTopicPolicy, Read: readTopicPolicy, Update: putTopicPolicy, Delete: deleteTopicPolicy},
	"aws:sns/topicSubscription:TopicSubscription": {Create: createSubscription, Read: readSubscription, Update: updateSubscription, Delete: deleteSubscription, Check: checkSubscription},
}

func topicTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range sorted(tags) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

func (c *Client) setTopic(ctx context.Context, arn, name, value string) error {
	_, err := c.sns().SetTopicAttributes(ctx, &sns.SetTopicAttributesInput{TopicArn: &arn, AttributeName: &name, AttributeValue: &value})
	if err != nil {
		return fmt.Errorf("setting SNS Topic (%s) attribute (%s): %w", arn, name, err)
	}
	return nil
}

// topicAttributes maps the properties that are attributes of a topic.
var topicAttributes = []struct{ property, attribute string }{{"displayName", "DisplayName"}, {"policy", "Policy"}}

func createTopic(ctx context.Context, c *call) (string, m, error) {
	name := engine.Str(c.In, "name")
	out, err := c.Client.sns().CreateTopic(ctx, &sns.CreateTopicInput{Name: &name, Tags: topicTags(c.Tags())})
	if err != nil {
		return "", nil, fmt.Errorf("creating SNS Topic (%s): %w", name, err)
	}
	arn := aws.ToString(out.TopicArn)
	for _, a := range topicAttributes {
		if v := engine.Str(c.In, a.property); v != "" {
			if err := c.Client.setTopic(ctx, arn, a.attribute, v); err != nil {
				return arn, nil, err
			}
		}
	}
	return arn, nil, nil
}

func readTopic(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.sns().GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &c.ID})
	if is(err, "NotFound", "NotFoundException") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading SNS Topic (%s): %w", c.ID, err)
	}
	tags, err := c.Client.sns().ListTagsForResource(ctx, &sns.ListTagsForResourceInput{ResourceArn: &c.ID})
	if err != nil {
		return nil, fmt.Errorf("listing tags of SNS Topic (%s): %w", c.ID, err)
	}
	all := m{}
	for _, t := range tags.Tags {
		all[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m{
		"arn": c.ID, "name": c.ID[strings.LastIndexByte(c.ID, ':')+1:], "displayName": out.Attributes["DisplayName"], "owner": out.Attributes["Owner"],
		"policy": out.Attributes["Policy"], "tags": all,
	}, nil
}

func updateTopic(ctx context.Context, c *call) (m, error) {
	for _, a := range topicAttributes {
		if c.Changed[a.property] && engine.Has(c.In, a.property) {
			if err := c.Client.setTopic(ctx, c.ID, a.attribute, engine.Str(c.In, a.property)); err != nil {
				return nil, err
			}
		}
	}
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		if _, err := c.Client.sns().UntagResource(ctx, &sns.UntagResourceInput{ResourceArn: &c.ID, TagKeys: remove}); err != nil {
			return nil, fmt.Errorf("removing tags of SNS Topic (%s): %w", c.ID, err)
		}
	}
	if len(set) > 0 {
		if _, err := c.Client.sns().TagResource(ctx, &sns.TagResourceInput{ResourceArn: &c.ID, Tags: topicTags(set)}); err != nil {
			return nil, fmt.Errorf("setting tags of SNS Topic (%s): %w", c.ID, err)
		}
	}
	return nil, nil
}

func deleteTopic(ctx context.Context, c *call) error {
	_, err := c.Client.sns().DeleteTopic(ctx, &sns.DeleteTopicInput{TopicArn: &c.ID})
	if err = absent(err, "NotFound", "NotFoundException"); err != nil {
		return fmt.Errorf("deleting SNS Topic (%s): %w", c.ID, err)
	}
	return nil
}

// --- Topic policy

func createTopicPolicy(ctx context.Context, c *call) (string, m, error) {
	_, err := putTopicPolicy(ctx, c)
	return engine.Str(c.In, "arn"), nil, err
}

func putTopicPolicy(ctx context.Context, c *call) (m, error) {
	return nil, c.Client.setTopic(ctx, engine.Str(c.In, "arn"), "Policy", engine.Str(c.In, "policy"))
}

func readTopicPolicy(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.sns().GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &c.ID})
	if is(err, "NotFound", "NotFoundException") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading SNS Topic Policy (%s): %w", c.ID, err)
	}
	return m{"arn": c.ID, "owner": out.Attributes["Owner"], "policy": out.Attributes["Policy"]}, nil
}

// deleteTopicPolicy puts the policy back that SNS gives a new topic, as the provider does: a topic always has one.
func deleteTopicPolicy(ctx context.Context, c *call) error {
	text := fmt.Sprintf(`{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[{"Sid":"__default_statement_ID","Effect":"Allow","Principal":{"AWS":"*"},`+
		`"Action":["SNS:GetTopicAttributes","SNS:SetTopicAttributes","SNS:AddPermission","SNS:RemovePermission","SNS:DeleteTopic","SNS:Subscribe",`+
		`"SNS:ListSubscriptionsByTopic","SNS:Publish"],"Resource":%q,"Condition":{"StringEquals":{"AWS:SourceOwner":%q}}}]}`, c.ID, c.Client.Account)
	return absent(c.Client.setTopic(ctx, c.ID, "Policy", text), "NotFound", "NotFoundException")
}

// --- Subscription

func checkSubscription(c *checker) {
	if p := engine.Str(c.In, "protocol"); p != "" && p != "email" {
		c.Fail("protocol", "The stand-in aws provider makes subscriptions by email only.")
	}
}

func createSubscription(ctx context.Context, c *call) (string, m, error) {
	out, err := c.Client.sns().Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: engine.StrPtr(c.In, "topic"), Protocol: engine.StrPtr(c.In, "protocol"), Endpoint: engine.StrPtr(c.In, "endpoint"), ReturnSubscriptionArn: true,
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating SNS Topic Subscription: %w", err)
	}
	return aws.ToString(out.SubscriptionArn), nil, nil
}

func readSubscription(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.sns().GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &c.ID})
	if is(err, "NotFound", "NotFoundException") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading SNS Topic Subscription (%s): %w", c.ID, err)
	}
	a := out.Attributes
	return m{
		"arn": c.ID, "topic": a["TopicArn"], "protocol": a["Protocol"], "endpoint": a["Endpoint"], "ownerId": a["Owner"],
		"pendingConfirmation": a["PendingConfirmation"] == "true", "confirmationWasAuthenticated": a["ConfirmationWasAuthenticated"] == "true",
		"rawMessageDelivery": a["RawMessageDelivery"] == "true",
	}, nil
}

// updateSubscription has nothing to send: what can change of a subscription by email is the provider's own.
func updateSubscription(context.Context, *call) (m, error) { return nil, nil }

// deleteSubscription leaves one that nobody has confirmed to SNS, which drops it by itself.
func deleteSubscription(ctx context.Context, c *call) error {
	_, err := c.Client.sns().Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: &c.ID})
	if err != nil && strings.Contains(err.Error(), "Cannot unsubscribe a subscription that is pending confirmation") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting SNS Topic Subscription (%s): %w", c.ID, err)
	}
	return nil
}
