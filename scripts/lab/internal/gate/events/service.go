// Package events is Amazon EventBridge: rules of the default event bus with an event pattern, and SNS topics as their
// targets. Which events come to the bus is up to the gate. Schedules, other buses and other targets answer NotImplemented.
package events

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
)

const defaultBus = "default"

// Topics publishes what EventBridge sends to a topic, as far as the topic's policy lets it.
type Topics interface {
	PublishFor(service, topicARN, message string) error
}

// Service implements gate.Service, gate.Bus and gate.Inventory. Make it with New.
type Service struct {
	g      *gate.Gate
	topics Topics

	mu    sync.Mutex
	rules map[string]map[string]*rule // by region and name
}

type rule struct {
	name, arn, description, pattern, state string
	targets                                map[string]target
	tags                                   map[string]string
}

type target struct {
	ID               string            `json:"Id"`
	ARN              string            `json:"Arn"`
	Input            string            `json:",omitempty"`
	InputPath        string            `json:",omitempty"`
	InputTransformer *inputTransformer `json:",omitempty"`
}

type inputTransformer struct {
	InputPathsMap map[string]string `json:",omitempty"`
	InputTemplate string
}

type tag struct{ Key, Value string }

// New makes the service for a gate's account. topics takes what rules send.
func New(g *gate.Gate, topics Topics) *Service {
	return &Service{g: g, topics: topics, rules: map[string]map[string]*rule{}}
}

// Name is the signing name.
func (s *Service) Name() string { return "events" }

// Protocol is JSON 1.1.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolJSON11 }

// input has the members of all operations that the lab knows; each operation accepts those that it lists.
type input struct {
	Name, Rule, EventBusName, Description, EventPattern, State, ResourceARN, NamePrefix string
	Targets                                                                             []target
	IDs                                                                                 []string `json:"Ids"`
	Tags                                                                                []tag
	TagKeys                                                                             []string
	Force                                                                               bool
	Limit                                                                               int
}

type operation struct {
	members string
	handle  func(*Service, *gate.Call, *input) (any, error)
}

var operations = map[string]operation{
	"PutRule":             {"Name Description EventBusName EventPattern State Tags", (*Service).putRule},
	"DescribeRule":        {"Name EventBusName", (*Service).describeRule},
	"DeleteRule":          {"Name EventBusName Force", (*Service).deleteRule},
	"ListRules":           {"NamePrefix EventBusName Limit", (*Service).listRules},
	"PutTargets":          {"Rule EventBusName Targets", (*Service).putTargets},
	"RemoveTargets":       {"Rule EventBusName Ids Force", (*Service).removeTargets},
	"ListTargetsByRule":   {"Rule EventBusName Limit", (*Service).listTargets},
	"TagResource":         {"ResourceARN Tags", (*Service).tag},
	"UntagResource":       {"ResourceARN TagKeys", (*Service).untag},
	"ListTagsForResource": {"ResourceARN", (*Service).listTags},
}

func (s *Service) arn(region, name string) string { return s.g.ARN("events", region, "rule/"+name) }

// Requirements parses the call: an unknown action or member is NotImplemented.
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	op, ok := operations[c.Action]
	if !ok {
		return nil, gate.NotImplemented("EventBridge action " + c.Action)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(c.Body, &members); err != nil {
		return nil, gate.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	for name := range members {
		if !strings.Contains(" "+op.members+" ", " "+name+" ") {
			return nil, gate.NotImplemented("member " + name + " of EventBridge action " + c.Action)
		}
	}
	in := &input{}
	d := json.NewDecoder(bytes.NewReader(c.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return nil, gate.NotImplemented("member " + field + " of EventBridge action " + c.Action)
		}
		return nil, gate.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
	}
	if in.EventBusName != "" && in.EventBusName != defaultBus {
		return nil, gate.NotImplemented("event bus " + in.EventBusName)
	}
	c.Data = in
	req := policy.Request{Action: "events:" + c.Action, Resource: in.ResourceARN, Context: map[string][]string{}}
	if req.Resource == "" {
		req.Resource = s.arn(c.Region, in.Name+in.Rule)
	}
	if c.Action == "ListRules" {
		req.Resource = s.arn(c.Region, "*")
	}
	for _, t := range in.Tags {
		req.Context["aws:RequestTag/"+t.Key] = []string{t.Value}
		req.Context["aws:TagKeys"] = append(req.Context["aws:TagKeys"], t.Key)
	}
	for _, t := range in.Targets {
		req.Context["events:TargetArn"] = append(req.Context["events:TargetArn"], t.ARN)
	}
	out := []policy.Request{req}
	if c.Action == "PutRule" && len(in.Tags) > 0 {
		req.Action = "events:TagResource"
		out = append(out, req)
	}
	return out, nil
}

// Serve runs the operation.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	s.mu.Lock()
	out, err := operations[c.Action].handle(s, c, c.Data.(*input))
	s.mu.Unlock()
	if err != nil {
		gate.WriteError(w, c, err)
		return
	}
	gate.WriteJSON(w, c, http.StatusOK, out)
}

// Inventory lists rules and targets.
func (s *Service) Inventory() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]string{}
	for _, region := range slices.Sorted(maps.Keys(s.rules)) {
		for _, name := range slices.Sorted(maps.Keys(s.rules[region])) {
			r := s.rules[region][name]
			out["event rule"] = append(out["event rule"], r.arn)
			for _, id := range slices.Sorted(maps.Keys(r.targets)) {
				out["event target"] = append(out["event target"], r.arn+" "+id)
			}
		}
	}
	return out
}

func validation(format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, "ValidationException", format, args...)
}

func (s *Service) find(c *gate.Call, name string) (*rule, error) {
	if r, ok := s.rules[c.Region][name]; ok {
		return r, nil
	}
	return nil, gate.Errorf(http.StatusBadRequest, "ResourceNotFoundException", "Rule %s does not exist on EventBus default.", name)
}

var ruleName = regexp.MustCompile(`^[.\-_A-Za-z0-9]{1,64}$`)

// putRule makes a rule or changes it; tags count at its creation only.
func (s *Service) putRule(c *gate.Call, in *input) (any, error) {
	if !ruleName.MatchString(in.Name) {
		return nil, validation("1 validation error detected: Value '%s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+ and have at most 64 characters", in.Name)
	}
	if in.EventPattern == "" {
		return nil, gate.NotImplemented("a rule without an event pattern")
	}
	if err := checkPattern(in.EventPattern); err != nil {
		return nil, err
	}
	switch in.State {
	case "":
		in.State = "ENABLED"
	case "ENABLED", "DISABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS":
	default:
		return nil, validation("1 validation error detected: Value '%s' at 'state' failed to satisfy constraint", in.State)
	}
	if s.rules[c.Region] == nil {
		s.rules[c.Region] = map[string]*rule{}
	}
	r, ok := s.rules[c.Region][in.Name]
	if !ok {
		r = &rule{name: in.Name, arn: s.arn(c.Region, in.Name), targets: map[string]target{}, tags: map[string]string{}}
		for _, t := range in.Tags {
			r.tags[t.Key] = t.Value
		}
		s.rules[c.Region][in.Name] = r
	}
	r.description, r.pattern, r.state = in.Description, in.EventPattern, in.State
	return map[string]string{"RuleArn": r.arn}, nil
}

func (s *Service) view(r *rule) map[string]any {
	out := map[string]any{"Name": r.name, "Arn": r.arn, "EventPattern": r.pattern, "State": r.state, "EventBusName": defaultBus}
	if r.description != "" {
		out["Description"] = r.description
	}
	return out
}

func (s *Service) describeRule(c *gate.Call, in *input) (any, error) {
	r, err := s.find(c, in.Name)
	if err != nil {
		return nil, err
	}
	out := s.view(r)
	out["CreatedBy"] = s.g.AccountID()
	return out, nil
}

func (s *Service) deleteRule(c *gate.Call, in *input) (any, error) {
	if r, ok := s.rules[c.Region][in.Name]; ok {
		if len(r.targets) > 0 {
			return nil, validation("Rule can't be deleted since it has targets.")
		}
		delete(s.rules[c.Region], in.Name)
	}
	return map[string]string{}, nil
}

func (s *Service) listRules(c *gate.Call, in *input) (any, error) {
	rules := []any{}
	for _, name := range slices.Sorted(maps.Keys(s.rules[c.Region])) {
		if strings.HasPrefix(name, in.NamePrefix) {
			rules = append(rules, s.view(s.rules[c.Region][name]))
		}
	}
	return map[string]any{"Rules": rules}, nil
}

var placeholder = regexp.MustCompile(`<([A-Za-z0-9_.-]+)>`)

func (s *Service) putTargets(c *gate.Call, in *input) (any, error) {
	r, err := s.find(c, in.Rule)
	if err != nil {
		return nil, err
	}
	for _, t := range in.Targets {
		if !ruleName.MatchString(t.ID) {
			return nil, validation("Invalid target id %q", t.ID)
		}
		if !strings.HasPrefix(t.ARN, s.g.ARN("sns", c.Region, "")) {
			return nil, gate.NotImplemented("a target other than an SNS topic of account and region (" + t.ARN + ")")
		}
		if x := t.InputTransformer; x != nil {
			for _, m := range placeholder.FindAllStringSubmatch(x.InputTemplate, -1) {
				if _, ok := x.InputPathsMap[m[1]]; !ok && !strings.HasPrefix(m[1], "aws.events.") {
					return nil, validation("Invalid InputTemplate for target %s : [Template contains a placeholder that is not in InputPathsMap: %s]", t.ID, m[1])
				}
			}
			for _, path := range x.InputPathsMap {
				if !strings.HasPrefix(path, "$.") {
					return nil, validation("Invalid InputPath for target %s.", t.ID)
				}
			}
		}
	}
	known := maps.Clone(r.targets)
	for _, t := range in.Targets {
		known[t.ID] = t
	}
	if len(known) > 5 {
		return nil, gate.Errorf(http.StatusBadRequest, "LimitExceededException", "The requested resource exceeds the maximum number allowed.")
	}
	r.targets = known
	return map[string]any{"FailedEntryCount": 0, "FailedEntries": []any{}}, nil
}

func (s *Service) removeTargets(c *gate.Call, in *input) (any, error) {
	r, err := s.find(c, in.Rule)
	if err != nil {
		return nil, err
	}
	for _, id := range in.IDs {
		delete(r.targets, id)
	}
	return map[string]any{"FailedEntryCount": 0, "FailedEntries": []any{}}, nil
}

func (s *Service) listTargets(c *gate.Call, in *input) (any, error) {
	r, err := s.find(c, in.Rule)
	if err != nil {
		return nil, err
	}
	targets := []target{}
	for _, id := range slices.Sorted(maps.Keys(r.targets)) {
		targets = append(targets, r.targets[id])
	}
	return map[string]any{"Targets": targets}, nil
}

func (s *Service) tagged(c *gate.Call, in *input) (*rule, error) {
	if name, ok := strings.CutPrefix(in.ResourceARN, s.arn(c.Region, "")); ok {
		return s.find(c, name)
	}
	return nil, gate.Errorf(http.StatusBadRequest, "ResourceNotFoundException", "%s does not exist.", in.ResourceARN)
}

func (s *Service) tag(c *gate.Call, in *input) (any, error) {
	r, err := s.tagged(c, in)
	if err == nil {
		for _, t := range in.Tags {
			r.tags[t.Key] = t.Value
		}
	}
	return map[string]string{}, err
}

func (s *Service) untag(c *gate.Call, in *input) (any, error) {
	r, err := s.tagged(c, in)
	if err == nil {
		for _, k := range in.TagKeys {
			delete(r.tags, k)
		}
	}
	return map[string]string{}, err
}

func (s *Service) listTags(c *gate.Call, in *input) (any, error) {
	r, err := s.tagged(c, in)
	if err != nil {
		return nil, err
	}
	tags := []tag{}
	for _, k := range slices.Sorted(maps.Keys(r.tags)) {
		tags = append(tags, tag{k, r.tags[k]})
	}
	return map[string]any{"Tags": tags}, nil
}
