// Package alarms tells people when the chain that gives pods their identities is
// about to fail, or is tried by somebody who must not use it: refused attempts to
// assume the cluster's roles, certificates that are about to expire, and errors
// of the distribution that serves the issuer.
package alarms

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/names"
	"k3s-aws-auth/components/outputs"
	"k3s-aws-auth/components/rules"
)

// Type is the component's type token. Changing it needs an alias.
const Type = "k3s-aws-auth:alarms:Alarms"

// Thresholds of the alarms.
const (
	// CAExpiryDays is when a CA's end is told: as early as Roles Anywhere speaks
	// of it by itself, since exchanging a CA takes a rotation.
	CAExpiryDays = 45
	// TLSExpiryDays is when the end of the distribution's certificate is told.
	// ACM renews 60 days before, so a month later something is in its way.
	TLSExpiryDays = 30
)

// Limits of names: 64 of EventBridge's rules, 256 of SNS's topics, 255 of
// CloudWatch's alarms.
const (
	maxRule  = 64
	maxTopic = 256
	maxAlarm = 255
)

var prefixPattern = regexp.MustCompile(`^[a-zA-Z0-9+=,.@_-]{1,60}$`)

// Distribution is a CloudFront distribution to watch.
type Distribution struct {
	// ID is the distribution's id.
	ID pulumi.StringInput
	// CertificateArn is the ARN of its certificate in us-east-1.
	CertificateArn pulumi.StringInput
	// UsEast1 is an AWS provider for us-east-1, where CloudFront's metrics are.
	// An alarm notifies topics of its own region only, so there is a topic too.
	UsEast1 pulumi.ProviderResource
}

// RolesAnywhere is a trust anchor to watch, and the certificates below it.
type RolesAnywhere struct {
	TrustAnchorArn pulumi.StringInput
	// LeafRenewalHours is how long before its end a deployment renews a leaf.
	LeafRenewalHours int
}

// AlarmsArgs are the inputs of [NewAlarms].
type AlarmsArgs struct {
	// ClusterName is what mails call the cluster.
	ClusterName string
	// AccountID and Partition are those of the deployment.
	AccountID, Partition string
	// RolePrefix is how the names of the cluster's roles begin: attempts to
	// assume other roles are not told.
	RolePrefix string
	// Emails get a mail each; AWS asks each address to confirm first. None is
	// valid: the topics are then for somebody else to subscribe to.
	Emails []string
	// Distribution and RolesAnywhere are what is watched beside the roles; nil
	// where there is none.
	Distribution  *Distribution
	RolesAnywhere *RolesAnywhere
	Tags          map[string]string
}

// Alarms are the topics that alarms go to.
type Alarms struct {
	pulumi.ResourceState

	// TopicArns are the topics: that of the region and, with a distribution,
	// that of us-east-1.
	TopicArns pulumi.StringArrayOutput `pulumi:"topicArns"`
}

// NewAlarms makes the topics with their subscriptions, and the alarms and rules
// that notify them.
//
// What is told by CloudTrail (refused calls) needs a trail of the account that
// logs management events in the region, Read events among them, since CloudTrail
// counts every call of STS as reading: without it EventBridge gets no such events.
// What Roles Anywhere tells needs none.
//
// Names of events and metrics are those of
//   - https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-sts.html
//   - https://docs.aws.amazon.com/rolesanywhere/latest/userguide/monitoring-eventbridge.html
//   - https://docs.aws.amazon.com/rolesanywhere/latest/userguide/customize-notification-settings.html
//   - https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/programming-cloudwatch-metrics.html
//   - https://docs.aws.amazon.com/acm/latest/userguide/cloudwatch-metrics.html
func NewAlarms(ctx *pulumi.Context, name string, args *AlarmsArgs, opts ...pulumi.ResourceOption) (*Alarms, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	component := &Alarms{}
	if err := ctx.RegisterComponentResource(Type, name, component, opts...); err != nil {
		return nil, fmt.Errorf("register %s %q: %w", Type, name, err)
	}
	maker := &maker{ctx: ctx, name: name, args: args, parent: component}
	topic, err := maker.topic(name, pulumi.Parent(component))
	if err != nil {
		return nil, err
	}
	topics := pulumi.StringArray{topic}
	if err := maker.refusedRoles(topic); err != nil {
		return nil, err
	}
	if args.RolesAnywhere != nil {
		if err := maker.rolesAnywhere(topic); err != nil {
			return nil, err
		}
	}
	if args.Distribution != nil {
		topic, err := maker.distribution()
		if err != nil {
			return nil, err
		}
		topics = append(topics, topic)
	}
	component.TopicArns = topics.ToStringArrayOutput()
	if err := outputs.Register(ctx, component); err != nil {
		return nil, fmt.Errorf("%s %q: %w", Type, name, err)
	}
	return component, nil
}

// maker is what the parts of one component share.
type maker struct {
	ctx    *pulumi.Context
	name   string
	args   *AlarmsArgs
	parent pulumi.Resource
}

// topic makes a topic, its policy and its subscriptions, and returns its ARN,
// which resolves once alarms may be published to it.
//
// It is not encrypted by KMS: what alarms say is in CloudTrail and CloudWatch
// too, and AWS's own key of SNS lets neither EventBridge nor CloudWatch in.
func (m *maker) topic(name string, opts ...pulumi.ResourceOption) (pulumi.StringOutput, error) {
	none := pulumi.StringOutput{}
	topic, err := sns.NewTopic(m.ctx, names.Autonamed(name+"-topic", maxTopic), &sns.TopicArgs{
		DisplayName: pulumi.String("Identities of cluster " + m.args.ClusterName),
		Tags:        pulumi.ToStringMap(m.args.Tags),
	}, opts...)
	if err != nil {
		return none, fmt.Errorf("alarms %s: topic: %w", name, err)
	}
	policy, err := sns.NewTopicPolicy(m.ctx, name+"-policy", &sns.TopicPolicyArgs{
		Arn: topic.Arn,
		Policy: topic.Arn.ApplyT(func(arn string) (string, error) {
			return topicPolicy(arn, m.args.AccountID).JSON()
		}).(pulumi.StringOutput),
	}, opts...)
	if err != nil {
		return none, fmt.Errorf("alarms %s: policy of the topic: %w", name, err)
	}
	for _, email := range m.args.Emails {
		if _, err := sns.NewTopicSubscription(m.ctx, name+"-"+email, &sns.TopicSubscriptionArgs{
			Topic:    topic.Arn,
			Protocol: pulumi.String("email"),
			Endpoint: pulumi.String(email),
		}, opts...); err != nil {
			return none, fmt.Errorf("alarms %s: subscription of %s: %w", name, email, err)
		}
	}
	return policy.Arn, nil
}

// topicPolicy lets EventBridge and the account's own CloudWatch publish to the
// topic, and nobody else beside the account's identities.
//
// The statement of EventBridge has no condition: AWS does not support any in a
// topic's policy for it ("You can't use Condition blocks in Amazon SNS topic
// policies for EventBridge", EventBridge User Guide), and with one the rules
// would match and every notification be dropped without a word.
func topicPolicy(topicArn, accountID string) iampolicy.Document {
	return iampolicy.New(
		iampolicy.Statement{
			Sid:       "PublishAlarms",
			Principal: &iampolicy.Principal{Service: []string{"cloudwatch.amazonaws.com"}},
			Actions:   []string{"sns:Publish"},
			Resources: []string{topicArn},
			Conditions: map[string]map[string][]string{
				"StringEquals": {"aws:SourceAccount": {accountID}},
			},
		},
		iampolicy.Statement{
			Sid:       "PublishEvents",
			Principal: &iampolicy.Principal{Service: []string{"events.amazonaws.com"}},
			Actions:   []string{"sns:Publish"},
			Resources: []string{topicArn},
		},
	)
}

// refusedRoles tells of refused attempts to assume a role of the cluster.
func (m *maker) refusedRoles(topic pulumi.StringInput) error {
	pattern, err := marshal(map[string]any{
		"source":      []string{"aws.sts"},
		"detail-type": []string{"AWS API Call via CloudTrail"},
		"detail": map[string]any{
			"eventSource": []string{"sts.amazonaws.com"},
			"eventName":   []string{"AssumeRole", "AssumeRoleWithWebIdentity"},
			"errorCode":   []string{"AccessDenied"},
			"requestParameters": map[string]any{
				"roleArn": []any{map[string]string{"prefix": m.rolePrefix()}},
			},
		},
	})
	if err != nil {
		return err
	}
	return m.rule("refused", m.trail(), "Refused attempts to assume roles of cluster "+m.args.ClusterName, pulumi.String(pattern), topic,
		message{
			text: "Cluster " + m.args.ClusterName + ": <event> of <role> was refused at <time>, asked for from <address>: <error>. " +
				"Either a pod's service account and its role do not belong together, or somebody tries.",
			paths: map[string]string{
				"event": "$.detail.eventName", "role": "$.detail.requestParameters.roleArn", "time": "$.detail.eventTime",
				"address": "$.detail.sourceIPAddress", "error": "$.detail.errorMessage",
			},
		})
}

// trail is the state of a rule for calls that CloudTrail records. A rule that is
// just ENABLED sees none that read only, and so no call of STS
// (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html).
func (m *maker) trail() pulumi.StringPtrInput {
	return pulumi.String("ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")
}

// rolePrefix is how the ARNs of the cluster's roles begin.
func (m *maker) rolePrefix() string {
	return fmt.Sprintf("arn:%s:iam::%s:role/%s", m.args.Partition, m.args.AccountID, m.args.RolePrefix)
}

// rolesAnywhere tells of refused sessions, and of certificates that end soon.
func (m *maker) rolesAnywhere(topic pulumi.StringInput) error {
	anchor := m.args.RolesAnywhere.TrustAnchorArn.ToStringOutput()
	refused := anchor.ApplyT(func(arn string) (string, error) {
		return marshal(map[string]any{
			"source":      []string{"aws.rolesanywhere"},
			"detail-type": []string{"AWS API Call via CloudTrail"},
			"detail": map[string]any{
				"eventSource": []string{"rolesanywhere.amazonaws.com"},
				"eventName":   []string{"CreateSession"},
				"errorCode":   []any{map[string]bool{"exists": true}},
				// A record without parameters tells too: no published one shows
				// whether a refused call has them, and better an alarm that is
				// another cluster's than none.
				"requestParameters": map[string]any{"trustAnchorArn": []any{arn, map[string]bool{"exists": false}}},
			},
		})
	}).(pulumi.StringOutput)
	err := m.rule("refused-sessions", m.trail(), "Refused sessions of Roles Anywhere for cluster "+m.args.ClusterName, refused, topic,
		message{
			text: "Cluster " + m.args.ClusterName + ": a session of Roles Anywhere was refused at <time>, asked for from <address>: <code> <error> " +
				"(role: <role>). Where no role is named, it may have been asked of another trust anchor of the account.",
			paths: map[string]string{
				"role": "$.detail.requestParameters.roleArn", "time": "$.detail.eventTime", "address": "$.detail.sourceIPAddress",
				"code": "$.detail.errorCode", "error": "$.detail.errorMessage",
			},
		})
	if err != nil {
		return err
	}
	authority := anchor.ApplyT(func(arn string) (string, error) {
		pattern := expiry(CAExpiryDays)
		pattern["resources"] = []string{arn}
		return marshal(pattern)
	}).(pulumi.StringOutput)
	paths := map[string]string{
		"serial": "$.detail.certificate-serial-number", "days": "$.detail.days-to-expiry", "issuer": "$.detail.issuer",
	}
	err = m.rule("ca-expiry", nil, "The CA of cluster "+m.args.ClusterName+" ends soon", authority, topic, message{
		text: "Cluster " + m.args.ClusterName + ": CA certificate <serial> (<issuer>) of the trust anchor ends in <days> days. " +
			"With it every identity of the cluster ends: replace the CA before.",
		paths: paths,
	})
	if err != nil {
		return err
	}
	days := LeafExpiryDays(m.args.RolesAnywhere.LeafRenewalHours)
	// The event names neither the trust anchor nor the subject, so this is about
	// every certificate that is used in account and region.
	// A CA's names its trust anchor, and is another rule's.
	pattern := expiry(days)
	pattern["resources"] = []any{map[string]bool{"exists": false}}
	leaves, err := marshal(pattern)
	if err != nil {
		return err
	}
	return m.rule("leaf-expiry", nil, fmt.Sprintf("Certificates in use that end within %d days", days), pulumi.String(leaves), topic, message{
		text: "Certificate <serial> of <issuer> is in use and ends in <days> days. If it is one of cluster " + m.args.ClusterName +
			", run `pulumi up`: nothing else renews it.",
		paths: paths,
	})
}

// expiry matches certificates that end within a number of days. Roles Anywhere
// sends an event a day, beginning 45 days before the end by its default
// notification settings. These are left alone, and the rules choose among the
// events by their age: settings of one's own would replace the trust anchor, and
// with it the ARN that every role trusts.
func expiry(days int) map[string]any {
	return map[string]any{
		"source":      []string{"aws.rolesanywhere"},
		"detail-type": []string{"Roles Anywhere Certificate Expiration State Change"},
		"detail": map[string]any{
			"days-to-expiry": []any{map[string]any{"numeric": []any{"<=", days}}},
		},
	}
}

// LeafExpiryDays is how many days before a leaf's end its expiry is told: in the
// middle of the time in which a deployment would have renewed it, so that nobody
// is told who deploys in time, and half of that time is left. At most 45 days,
// before which Roles Anywhere is silent, and at least one.
func LeafExpiryDays(renewalHours int) int {
	return min(max(renewalHours/24/2, 1), 45)
}

// distribution tells of errors of the distribution and of the end of its
// certificate, in us-east-1, and returns the ARN of the topic there.
func (m *maker) distribution() (pulumi.StringOutput, error) {
	d := m.args.Distribution
	opts := []pulumi.ResourceOption{pulumi.Parent(m.parent), pulumi.Provider(d.UsEast1)}
	topic, err := m.topic(m.name+"-us-east-1", opts...)
	if err != nil {
		return topic, err
	}
	cdn := pulumi.StringMap{"DistributionId": d.ID, "Region": pulumi.String("Global")}
	for _, a := range []struct {
		part, description, namespace, metric, statistic, comparison string
		dimensions                                                  pulumi.StringMap
		threshold                                                   float64
		period, of, within                                          int
	}{
		{
			part: "5xx", namespace: "AWS/CloudFront", metric: "5xxErrorRate", statistic: "Average", comparison: "GreaterThanThreshold",
			// Few requests come, so that one error is a high rate: it must last.
			threshold: 5, period: 300, of: 2, within: 3, dimensions: cdn,
			description: "CloudFront cannot serve the issuer's documents: soon no token of cluster %s is accepted",
		},
		{
			part: "4xx", namespace: "AWS/CloudFront", metric: "4xxErrorRate", statistic: "Average", comparison: "GreaterThanThreshold",
			// Whoever scans the internet asks for what is not there, which is 403.
			// Where nearly all requests fail for an hour, the documents are what
			// is missing.
			threshold: 90, period: 900, of: 4, within: 4, dimensions: cdn,
			description: "Nearly all requests to the issuer of cluster %s fail: are its two documents there?",
		},
		{
			part: "certificate", namespace: "AWS/CertificateManager", metric: "DaysToExpiry", statistic: "Minimum", comparison: "LessThanThreshold",
			// Published twice a day.
			threshold: TLSExpiryDays, period: 86400, of: 1, within: 1,
			dimensions:  pulumi.StringMap{"CertificateArn": d.CertificateArn},
			description: "ACM has not renewed the certificate of the issuer of cluster %s: is the validation record still there?",
		},
	} {
		name := m.name + "-" + a.part
		if _, err := cloudwatch.NewMetricAlarm(m.ctx, names.Autonamed(name, maxAlarm), &cloudwatch.MetricAlarmArgs{
			AlarmDescription:   pulumi.String(fmt.Sprintf(a.description, m.args.ClusterName)),
			Namespace:          pulumi.String(a.namespace),
			MetricName:         pulumi.String(a.metric),
			Dimensions:         a.dimensions,
			Statistic:          pulumi.String(a.statistic),
			ComparisonOperator: pulumi.String(a.comparison),
			Threshold:          pulumi.Float64(a.threshold),
			Period:             pulumi.Int(a.period),
			DatapointsToAlarm:  pulumi.Int(a.of),
			EvaluationPeriods:  pulumi.Int(a.within),
			// No request, no error; and STS asks rarely, since it caches.
			TreatMissingData: pulumi.String("notBreaching"),
			AlarmActions:     pulumi.Array{topic},
			OkActions:        pulumi.Array{topic},
			Tags:             pulumi.ToStringMap(m.args.Tags),
		}, opts...); err != nil {
			return topic, fmt.Errorf("alarm %s: %w", name, err)
		}
	}
	return topic, nil
}

// message is what a mail says: a text with <names> of values, which are taken
// from paths of the event.
type message struct {
	text  string
	paths map[string]string
}

// rule makes a rule that sends messages to the topic. Its state is ENABLED where
// it is nil.
func (m *maker) rule(part string, state pulumi.StringPtrInput, description string, pattern, topic pulumi.StringInput, text message) error {
	name := m.name + "-" + part
	child := pulumi.Parent(m.parent)
	rule, err := cloudwatch.NewEventRule(m.ctx, names.Autonamed(name, maxRule), &cloudwatch.EventRuleArgs{
		Description:  pulumi.String(description),
		EventPattern: pattern,
		State:        state,
		Tags:         pulumi.ToStringMap(m.args.Tags),
	}, child)
	if err != nil {
		return fmt.Errorf("rule %s: %w", name, err)
	}
	template, err := marshal(text.text)
	if err != nil {
		return err
	}
	if _, err := cloudwatch.NewEventTarget(m.ctx, name, &cloudwatch.EventTargetArgs{
		Rule:     rule.Name,
		TargetId: pulumi.String("topic"),
		Arn:      topic,
		InputTransformer: cloudwatch.EventTargetInputTransformerArgs{
			InputPaths:    pulumi.ToStringMap(text.paths),
			InputTemplate: pulumi.String(template),
		},
	}, child); err != nil {
		return fmt.Errorf("target of rule %s: %w", name, err)
	}
	return nil
}

// marshal is JSON that leaves < and > as they are, which templates and patterns
// need.
func marshal(value any) (string, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", fmt.Errorf("marshal %v: %w", value, err)
	}
	return strings.TrimSuffix(text.String(), "\n"), nil
}

func (args *AlarmsArgs) validate(name string) error {
	if args == nil {
		return fmt.Errorf("alarms %q: args are missing", name)
	}
	var errs []error
	check := func(ok bool, format string, a ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	check(args.ClusterName != "", "ClusterName is missing")
	errs = append(errs, rules.Fault("AccountID", args.AccountID, rules.Account(args.AccountID)))
	check(args.Partition != "", "Partition is missing")
	check(prefixPattern.MatchString(args.RolePrefix), "RolePrefix is %q, must be 1 to 60 characters of a role's name", args.RolePrefix)
	seen := map[string]bool{}
	for i, email := range args.Emails {
		parsed, err := mail.ParseAddress(email)
		check(err == nil && parsed.Address == email, "Emails[%d] is %q, must be a mail address", i, email)
		check(!seen[email], "Emails[%d]: %s is listed twice", i, email)
		seen[email] = true
	}
	if d := args.Distribution; d != nil {
		check(d.ID != nil, "Distribution.ID is missing")
		check(d.CertificateArn != nil, "Distribution.CertificateArn is missing")
		check(d.UsEast1 != nil, "Distribution.UsEast1 is missing: CloudFront's metrics are in us-east-1 only")
	}
	if r := args.RolesAnywhere; r != nil {
		check(r.TrustAnchorArn != nil, "RolesAnywhere.TrustAnchorArn is missing")
		check(r.LeafRenewalHours >= 0, "RolesAnywhere.LeafRenewalHours is %d, must not be negative", r.LeafRenewalHours)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("alarms %q: %w", name, err)
	}
	return nil
}
