// Package sns is Amazon SNS: standard topics with their attributes and policy, and subscriptions by mail, which stay
// unconfirmed, since the lab sends none. What AWS services publish is kept for the lab's own interface, where the topic's
// policy lets them. The API's Publish, FIFO topics and other protocols answer NotImplemented.
package sns

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/mail"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

const namespace = "http://sns.amazonaws.com/doc/2010-03-31/"

// Service implements gate.Service, gate.ResourcePolicies and gate.Inventory. Make it with New.
type Service struct {
	g *gate.Gate

	mu            sync.Mutex
	topics        map[string]*topic        // by ARN
	subscriptions map[string]*subscription // by ARN
	messages      []Message
}

// Message is what was published to a topic.
type Message struct {
	Topic string    `json:"topic"`
	From  string    `json:"from"`
	Text  string    `json:"text"`
	Time  time.Time `json:"time"`
}

// maxMessages bounds what is kept; the oldest go first.
const maxMessages = 1000

type topic struct {
	arn, displayName, policyText string
	policy                       *policy.Document
	rates                        map[string]string // sample rates of successful deliveries, by attribute
	tags                         map[string]string
}

// sampleRate is an attribute with the percentage of successful deliveries to log. The lab delivers nothing, and keeps it.
var sampleRate = regexp.MustCompile(`^(Application|Firehose|HTTP|Lambda|SQS)SuccessFeedbackSampleRate$`)

type subscription struct{ arn, topic, protocol, endpoint string }

// New makes the service for a gate's account.
func New(g *gate.Gate) *Service {
	return &Service{g: g, topics: map[string]*topic{}, subscriptions: map[string]*subscription{}}
}

// Name is the signing name.
func (s *Service) Name() string { return "sns" }

// Protocol is query.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolQuery }

type request struct {
	wire.Params
	call *gate.Call
}

type action struct {
	parameters string
	handle     func(*Service, *request) ([]wire.Node, error)
	// resource is the parameter with the ARN that the caller needs the action on; "Name" stands for a new topic.
	resource string
}

var actions = map[string]action{
	"CreateTopic":               {"Name Attributes Tags", (*Service).createTopic, "Name"},
	"GetTopicAttributes":        {"TopicArn", (*Service).getTopic, "TopicArn"},
	"SetTopicAttributes":        {"TopicArn AttributeName AttributeValue", (*Service).setTopic, "TopicArn"},
	"DeleteTopic":               {"TopicArn", (*Service).deleteTopic, "TopicArn"},
	"ListTopics":                {"NextToken", (*Service).listTopics, ""},
	"Subscribe":                 {"TopicArn Protocol Endpoint ReturnSubscriptionArn Attributes", (*Service).subscribe, "TopicArn"},
	"Unsubscribe":               {"SubscriptionArn", (*Service).unsubscribe, "SubscriptionArn"},
	"GetSubscriptionAttributes": {"SubscriptionArn", (*Service).getSubscription, "SubscriptionArn"},
	"ListSubscriptionsByTopic":  {"TopicArn NextToken", (*Service).listSubscriptions, "TopicArn"},
	"TagResource":               {"ResourceArn Tags", (*Service).tag, "ResourceArn"},
	"UntagResource":             {"ResourceArn TagKeys", (*Service).untag, "ResourceArn"},
	"ListTagsForResource":       {"ResourceArn", (*Service).listTags, "ResourceArn"},
}

// Requirements refuses what is not modelled.
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	a, ok := actions[c.Action]
	if !ok {
		return nil, gate.NotImplemented("SNS action " + c.Action)
	}
	params := wire.NewParams(c.Form)
	for _, name := range params.Top() {
		if !strings.Contains(" Action Version "+a.parameters+" ", " "+name+" ") {
			return nil, gate.NotImplemented("parameter " + name + " of SNS action " + c.Action)
		}
	}
	req := policy.Request{Action: "sns:" + c.Action, Resource: "*", Context: map[string][]string{}}
	for _, t := range params.Structs("Tags") {
		req.Context["aws:RequestTag/"+t.Str("Key")] = []string{t.Str("Value")}
		req.Context["aws:TagKeys"] = append(req.Context["aws:TagKeys"], t.Str("Key"))
	}
	switch a.resource {
	case "":
	case "Name":
		req.Resource = s.g.ARN("sns", c.Region, params.Str("Name"))
	case "SubscriptionArn": // a subscription is of its topic
		req.Resource = topicOf(params.Str("SubscriptionArn"))
	default:
		req.Resource = params.Str(a.resource)
	}
	if c.Action == "Subscribe" {
		req.Context["sns:Protocol"], req.Context["sns:Endpoint"] = []string{params.Str("Protocol")}, []string{params.Str("Endpoint")}
	}
	out := []policy.Request{req}
	if c.Action == "CreateTopic" && len(req.Context["aws:TagKeys"]) > 0 {
		req.Action = "sns:TagResource"
		out = append(out, req)
	}
	return out, nil
}

// topicOf is the ARN of a subscription's topic: what stands before the last colon.
func topicOf(subscription string) string {
	if i := strings.LastIndexByte(subscription, ':'); i >= 0 {
		return subscription[:i]
	}
	return subscription
}

// ResourcePolicies returns the policy of the topic.
func (s *Service) ResourcePolicies(_ *gate.Call, req policy.Request) ([]*policy.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.topics[req.Resource]; ok {
		return []*policy.Document{t.policy}, nil
	}
	return nil, nil
}

// Serve runs the action.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	s.mu.Lock()
	nodes, err := actions[c.Action].handle(s, &request{wire.NewParams(c.Form), c})
	s.mu.Unlock()
	if err != nil {
		gate.WriteError(w, c, err)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("x-amzn-RequestId", c.RequestID)
	_, _ = w.Write(wire.Elem(c.Action+"Response", wire.Elem(c.Action+"Result", nodes...),
		wire.Elem("ResponseMetadata", wire.Text("RequestId", c.RequestID))).NS(namespace).Bytes())
}

// Inventory lists topics and subscriptions.
func (s *Service) Inventory() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]string{}
	if len(s.topics) > 0 {
		out["sns topic"] = slices.Sorted(maps.Keys(s.topics))
	}
	if len(s.subscriptions) > 0 {
		out["sns subscription"] = slices.Sorted(maps.Keys(s.subscriptions))
	}
	return out
}

// PublishFor publishes for an AWS service, as far as the topic's policy lets it. The request has no condition keys: for
// EventBridge AWS supports none in policies of topics.
func (s *Service) PublishFor(service, topicARN, message string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(topicARN)
	if err != nil {
		return err
	}
	request := policy.Request{Action: "sns:Publish", Resource: topicARN, Principal: &policy.Principal{Service: service}}
	if policy.Evaluate(request, t.policy).Decision != policy.Allow {
		return gate.Errorf(http.StatusForbidden, "AuthorizationError", "%s is not authorized to perform: SNS:Publish on resource: %s", service, topicARN)
	}
	if len(s.messages) >= maxMessages {
		s.messages = slices.Clone(s.messages[1:])
	}
	s.messages = append(s.messages, Message{Topic: topicARN, From: service, Text: message, Time: s.g.Now()})
	return nil
}

// Messages returns what was published, oldest first.
func (s *Service) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message{}, s.messages...)
}

func invalid(format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, "InvalidParameter", format, args...)
}

func notFound(what string) error {
	return gate.Errorf(http.StatusNotFound, "NotFound", "%s does not exist", what)
}

func (s *Service) find(arn string) (*topic, error) {
	if t, ok := s.topics[arn]; ok {
		return t, nil
	}
	return nil, notFound("Topic")
}

var topicName = regexp.MustCompile(`^[0-9A-Za-z_-]{1,256}$`)

// createTopic answers for a topic of the same name with that one.
func (s *Service) createTopic(q *request) ([]wire.Node, error) {
	name := q.Str("Name")
	if strings.HasSuffix(name, ".fifo") || q.Has("Attributes") {
		return nil, gate.NotImplemented("a FIFO topic, or attributes at a topic's creation")
	}
	if !topicName.MatchString(name) {
		return nil, invalid("Invalid parameter: Topic Name")
	}
	arn := s.g.ARN("sns", q.call.Region, name)
	if _, ok := s.topics[arn]; !ok {
		t := &topic{arn: arn, rates: map[string]string{}, tags: map[string]string{}}
		if err := t.setPolicy(s.defaultPolicy(arn)); err != nil {
			return nil, err
		}
		for _, x := range q.Structs("Tags") {
			t.tags[x.Str("Key")] = x.Str("Value")
		}
		s.topics[arn] = t
	}
	return []wire.Node{wire.Text("TopicArn", arn)}, nil
}

// defaultPolicy is the policy that SNS gives a new topic.
func (s *Service) defaultPolicy(arn string) string {
	text, _ := json.Marshal(map[string]any{"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": []any{map[string]any{
		"Sid": "__default_statement_ID", "Effect": "Allow", "Principal": map[string]string{"AWS": "*"},
		"Action": []string{"SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:AddPermission", "SNS:RemovePermission", "SNS:DeleteTopic",
			"SNS:Subscribe", "SNS:ListSubscriptionsByTopic", "SNS:Publish"},
		"Resource": arn, "Condition": map[string]any{"StringEquals": map[string]string{"AWS:SourceOwner": s.g.AccountID()}},
	}}})
	return string(text)
}

func (t *topic) setPolicy(text string) error {
	d, err := policy.Parse([]byte(text))
	if err != nil {
		return invalid("Invalid parameter: Policy Error: %v", err)
	}
	for _, st := range d.Statements {
		if st.Principal == nil && st.NotPrincipal == nil {
			return invalid("Invalid parameter: Policy Error: null")
		}
		for _, a := range st.Actions {
			if !strings.HasPrefix(strings.ToLower(a), "sns:") {
				return invalid("Invalid parameter: Policy statement action out of service scope!")
			}
		}
	}
	d.Source = "topic/" + t.arn
	t.policy, t.policyText = d, text
	return nil
}

// entries is a map as the query protocol writes it.
func entries(name string, values map[string]string) wire.Node {
	return wire.List(name, "entry", slices.Sorted(maps.Keys(values)), func(k string) []wire.Node {
		return []wire.Node{wire.Text("key", k), wire.Text("value", values[k])}
	})
}

const deliveryPolicy = `{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,` +
	`"numMinDelayRetries":0,"backoffFunction":"linear"},"disableSubscriptionOverrides":false,"defaultRequestPolicy":{"headerContentType":"text/plain; charset=UTF-8"}}}`

func (s *Service) getTopic(q *request) ([]wire.Node, error) {
	t, err := s.find(q.Str("TopicArn"))
	if err != nil {
		return nil, err
	}
	pending := 0
	for _, x := range s.subscriptions {
		if x.topic == t.arn {
			pending++
		}
	}
	out := maps.Clone(t.rates)
	maps.Copy(out, map[string]string{
		"TopicArn": t.arn, "Owner": s.g.AccountID(), "Policy": t.policyText, "DisplayName": t.displayName, "EffectiveDeliveryPolicy": deliveryPolicy,
		"SubscriptionsConfirmed": "0", "SubscriptionsDeleted": "0", "SubscriptionsPending": strconv.Itoa(pending),
	})
	return []wire.Node{entries("Attributes", out)}, nil
}

func (s *Service) setTopic(q *request) ([]wire.Node, error) {
	t, err := s.find(q.Str("TopicArn"))
	if err != nil {
		return nil, err
	}
	name, value := q.Str("AttributeName"), q.Str("AttributeValue")
	if sampleRate.MatchString(name) {
		if n, err := strconv.Atoi(value); err != nil || n < 0 || n > 100 {
			return nil, invalid("Invalid parameter: Attributes Reason: %s: must be an integer between 0 and 100", name)
		}
		t.rates[name] = value
		return nil, nil
	}
	switch name {
	case "DisplayName":
		if len(value) > 100 {
			return nil, invalid("Invalid parameter: DisplayName")
		}
		t.displayName = value
	case "Policy":
		return nil, t.setPolicy(value)
	default:
		return nil, gate.NotImplemented("attribute " + name + " of SNS topics")
	}
	return nil, nil
}

// deleteTopic ends the topic and its subscriptions.
func (s *Service) deleteTopic(q *request) ([]wire.Node, error) {
	arn := q.Str("TopicArn")
	delete(s.topics, arn)
	maps.DeleteFunc(s.subscriptions, func(_ string, x *subscription) bool { return x.topic == arn })
	return nil, nil
}

func (s *Service) listTopics(q *request) ([]wire.Node, error) {
	var arns []string
	for arn := range s.topics {
		if strings.Contains(arn, ":"+q.call.Region+":") {
			arns = append(arns, arn)
		}
	}
	sort.Strings(arns)
	return []wire.Node{wire.List("Topics", "member", arns, func(arn string) []wire.Node { return []wire.Node{wire.Text("TopicArn", arn)} })}, nil
}

// subscribe keeps a subscription that waits for somebody to confirm it. The same one again is not a second one.
func (s *Service) subscribe(q *request) ([]wire.Node, error) {
	t, err := s.find(q.Str("TopicArn"))
	if err != nil {
		return nil, err
	}
	protocol, endpoint := q.Str("Protocol"), q.Str("Endpoint")
	if protocol != "email" || q.Has("Attributes") {
		return nil, gate.NotImplemented("a subscription by " + protocol + ", or one with attributes")
	}
	if parsed, err := mail.ParseAddress(endpoint); err != nil || parsed.Address != endpoint {
		return nil, invalid("Invalid parameter: Email address")
	}
	for _, x := range s.subscriptions {
		if x.topic == t.arn && x.endpoint == endpoint {
			return []wire.Node{wire.Text("SubscriptionArn", x.shown(q))}, nil
		}
	}
	x := &subscription{arn: t.arn + ":" + wire.UUID(), topic: t.arn, protocol: protocol, endpoint: endpoint}
	s.subscriptions[x.arn] = x
	return []wire.Node{wire.Text("SubscriptionArn", x.shown(q))}, nil
}

// shown is what Subscribe says of a subscription that is not confirmed.
func (x *subscription) shown(q *request) string {
	if q.Bool("ReturnSubscriptionArn", false) {
		return x.arn
	}
	return "pending confirmation"
}

func (s *Service) unsubscribe(q *request) ([]wire.Node, error) {
	if _, ok := s.subscriptions[q.Str("SubscriptionArn")]; !ok {
		return nil, nil // as SNS does
	}
	return nil, invalid("Invalid parameter: This operation can only be performed on confirmed subscriptions. Cannot unsubscribe a subscription that is pending confirmation")
}

func (s *Service) getSubscription(q *request) ([]wire.Node, error) {
	x, ok := s.subscriptions[q.Str("SubscriptionArn")]
	if !ok {
		return nil, notFound("Subscription")
	}
	return []wire.Node{entries("Attributes", map[string]string{
		"SubscriptionArn": x.arn, "TopicArn": x.topic, "Protocol": x.protocol, "Endpoint": x.endpoint, "Owner": s.g.AccountID(),
		"PendingConfirmation": "true", "ConfirmationWasAuthenticated": "false", "RawMessageDelivery": "false", "SubscriptionPrincipal": q.call.Principal.ARN,
	})}, nil
}

func (s *Service) listSubscriptions(q *request) ([]wire.Node, error) {
	t, err := s.find(q.Str("TopicArn"))
	if err != nil {
		return nil, err
	}
	var arns []string
	for arn, x := range s.subscriptions {
		if x.topic == t.arn {
			arns = append(arns, arn)
		}
	}
	sort.Strings(arns)
	return []wire.Node{wire.List("Subscriptions", "member", arns, func(arn string) []wire.Node {
		x := s.subscriptions[arn]
		return []wire.Node{wire.Text("SubscriptionArn", "PendingConfirmation"), wire.Text("TopicArn", x.topic), wire.Text("Protocol", x.protocol),
			wire.Text("Endpoint", x.endpoint), wire.Text("Owner", s.g.AccountID())}
	})}, nil
}

func (s *Service) tagged(q *request) (*topic, error) {
	if t, ok := s.topics[q.Str("ResourceArn")]; ok {
		return t, nil
	}
	return nil, gate.Errorf(http.StatusNotFound, "ResourceNotFound", "Resource does not exist")
}

func (s *Service) tag(q *request) ([]wire.Node, error) {
	t, err := s.tagged(q)
	if err == nil {
		for _, x := range q.Structs("Tags") {
			t.tags[x.Str("Key")] = x.Str("Value")
		}
	}
	return nil, err
}

func (s *Service) untag(q *request) ([]wire.Node, error) {
	t, err := s.tagged(q)
	if err == nil {
		for _, k := range q.Strings("TagKeys") {
			delete(t.tags, k)
		}
	}
	return nil, err
}

func (s *Service) listTags(q *request) ([]wire.Node, error) {
	t, err := s.tagged(q)
	if err != nil {
		return nil, err
	}
	return []wire.Node{wire.List("Tags", "member", slices.Sorted(maps.Keys(t.tags)), func(k string) []wire.Node {
		return []wire.Node{wire.Text("Key", k), wire.Text("Value", t.tags[k])}
	})}, nil
}
