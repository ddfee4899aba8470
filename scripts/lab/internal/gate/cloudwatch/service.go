// Package cloudwatch is Amazon CloudWatch's metric alarms, as configuration: they are kept with everything that was put
// into them, and stay INSUFFICIENT_DATA, since the lab has no metrics. Metrics, dashboards and composite alarms answer
// NotImplemented. The wire protocols are Smithy RPC v2 CBOR, which today's AWS SDKs speak, and query.
package cloudwatch

import (
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
)

// Service implements gate.Service and gate.Inventory. Make it with New.
type Service struct {
	g *gate.Gate

	mu     sync.Mutex
	alarms map[string]map[string]*alarm // by region and name
}

type alarm struct {
	config cbor.Map
	since  time.Time
	tags   map[string]string
}

// New makes the service for a gate's account.
func New(g *gate.Gate) *Service {
	return &Service{g: g, alarms: map[string]map[string]*alarm{}}
}

// Name is the signing name.
func (s *Service) Name() string { return "monitoring" }

// Protocol is CBOR; ProtocolFor has the calls that are in another one.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolCBOR }

// pathPrefix precedes the operation in a request's path.
const pathPrefix = "/service/GraniteServiceVersion20100801/operation/"

// call is a parsed call.
type call struct {
	*gate.Call
	in cbor.Map
}

type operation struct {
	members string
	handle  func(*Service, *call) (cbor.Map, error)
}

var operations = map[string]operation{
	"PutMetricAlarm": {"AlarmName AlarmDescription ActionsEnabled OKActions AlarmActions InsufficientDataActions MetricName Namespace Statistic ExtendedStatistic Dimensions Period Unit " +
		"EvaluationPeriods DatapointsToAlarm Threshold ComparisonOperator TreatMissingData EvaluateLowSampleCountPercentile Metrics Tags ThresholdMetricId", (*Service).put},
	"DescribeAlarms":      {"AlarmNames AlarmNamePrefix AlarmTypes MaxRecords NextToken", (*Service).describe},
	"DeleteAlarms":        {"AlarmNames", (*Service).remove},
	"ListTagsForResource": {"ResourceARN", (*Service).listTags},
	"TagResource":         {"ResourceARN Tags", (*Service).tag},
	"UntagResource":       {"ResourceARN TagKeys", (*Service).untag},
}

func (s *Service) arn(region, name string) string {
	return s.g.ARN("cloudwatch", region, "alarm:"+name)
}

// Requirements parses the call.
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	name, isCBOR := strings.CutPrefix(c.R.URL.Path, pathPrefix)
	if !isCBOR {
		name = c.Action
	}
	c.Action = name
	op, ok := operations[name]
	if !ok {
		return nil, gate.NotImplemented("CloudWatch action " + name)
	}
	in := cbor.Map{}
	switch {
	case !isCBOR:
		var err error
		if in, err = fromQuery(c.Form); err != nil {
			return nil, err
		}
	case len(c.Body) > 0:
		v, err := cbor.Decode(c.Body)
		m, isMap := v.(cbor.Map)
		if err != nil || !isMap {
			return nil, gate.Errorf(http.StatusBadRequest, "SerializationException", "the body is not a CBOR map")
		}
		in = m
	}
	for member := range in {
		if !strings.Contains(" "+op.members+" ", " "+member+" ") {
			return nil, gate.NotImplemented("member " + member + " of CloudWatch action " + name)
		}
	}
	c.Data = &call{c, in}
	resources := []string{s.arn(c.Region, "*")}
	switch name {
	case "PutMetricAlarm":
		resources = []string{s.arn(c.Region, text(in["AlarmName"]))}
	case "DeleteAlarms":
		resources = nil
		for _, n := range strs(in["AlarmNames"]) {
			resources = append(resources, s.arn(c.Region, n))
		}
	case "ListTagsForResource", "TagResource", "UntagResource":
		resources = []string{text(in["ResourceARN"])}
	}
	var out []policy.Request
	for _, r := range resources {
		out = append(out, policy.Request{Action: "cloudwatch:" + name, Resource: r})
	}
	if tags, _ := in["Tags"].(cbor.List); name == "PutMetricAlarm" && len(tags) > 0 { // "To use it, you must have cloudwatch:TagResource"
		out = append(out, policy.Request{Action: "cloudwatch:TagResource", Resource: resources[0]})
	}
	return out, nil
}

// Serve runs the operation.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	s.mu.Lock()
	out, err := operations[c.Action].handle(s, c.Data.(*call))
	s.mu.Unlock()
	if err != nil {
		gate.WriteError(w, c, err)
		return
	}
	if c.Form != nil {
		writeQuery(w, c, out)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/cbor")
	h.Set("Smithy-Protocol", "rpc-v2-cbor")
	h.Set("x-amzn-RequestId", c.RequestID)
	_, _ = w.Write(cbor.Encode(out))
}

// Inventory lists the alarms.
func (s *Service) Inventory() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, r := range s.alarms {
		for name := range r {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return map[string][]string{"cloudwatch alarm": out}
}

func text(v cbor.Value) string {
	s, _ := v.(cbor.String)
	return string(s)
}

func strs(v cbor.Value) []string {
	var out []string
	list, _ := v.(cbor.List)
	for _, x := range list {
		out = append(out, text(x))
	}
	return out
}

func number(v cbor.Value) int64 {
	n, _ := cbor.AsInt64(v)
	return n
}

func instant(t time.Time) cbor.Value {
	return &cbor.Tag{ID: 1, Value: cbor.Float64(float64(t.UnixMilli()) / 1000)}
}

func validation(format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, "ValidationError", format, args...)
}

// put overwrites an alarm of the same name; its tags stay.
func (s *Service) put(c *call) (cbor.Map, error) {
	name := text(c.in["AlarmName"])
	metrics, _ := c.in["Metrics"].(cbor.List)
	switch {
	case name == "" || len(name) > 255:
		return nil, validation("The parameter AlarmName must have 1 to 255 characters.")
	case text(c.in["ComparisonOperator"]) == "":
		return nil, validation("The parameter ComparisonOperator is required.")
	case number(c.in["EvaluationPeriods"]) < 1:
		return nil, validation("The parameter EvaluationPeriods must be greater than or equal to 1.")
	case len(metrics) == 0 && (text(c.in["MetricName"]) == "" || text(c.in["Namespace"]) == ""):
		return nil, validation("The parameters MetricName and Namespace, or Metrics, are required.")
	case len(metrics) == 0 && text(c.in["Statistic"]) == "" && text(c.in["ExtendedStatistic"]) == "":
		return nil, validation("The parameter Statistic or ExtendedStatistic is required.")
	case c.in["DatapointsToAlarm"] != nil && number(c.in["DatapointsToAlarm"]) > number(c.in["EvaluationPeriods"]):
		return nil, validation("The parameter DatapointsToAlarm must be smaller than or equal to EvaluationPeriods.")
	}
	for _, actions := range []string{"AlarmActions", "OKActions", "InsufficientDataActions"} {
		for _, arn := range strs(c.in[actions]) {
			if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[2] == "sns" && parts[3] != c.Region {
				return nil, validation("Invalid region %s specified. Only %s is supported.", parts[3], c.Region)
			}
		}
	}
	region := s.alarms[c.Region]
	if region == nil {
		region = map[string]*alarm{}
		s.alarms[c.Region] = region
	}
	a := &alarm{config: c.in, since: c.Time, tags: map[string]string{}}
	if old, ok := region[name]; ok {
		a.tags = old.tags
	} else {
		a.addTags(c.in["Tags"])
	}
	region[name] = a
	return cbor.Map{}, nil
}

func (a *alarm) addTags(v cbor.Value) {
	list, _ := v.(cbor.List)
	for _, x := range list {
		if t, ok := x.(cbor.Map); ok {
			a.tags[text(t["Key"])] = text(t["Value"])
		}
	}
}

func (s *Service) describe(c *call) (cbor.Map, error) {
	wanted, prefix, types := strs(c.in["AlarmNames"]), text(c.in["AlarmNamePrefix"]), strs(c.in["AlarmTypes"])
	var names []string
	for name := range s.alarms[c.Region] {
		ok := len(wanted) == 0 && strings.HasPrefix(name, prefix)
		for _, w := range wanted {
			ok = ok || w == name
		}
		if ok && (len(types) == 0 || strings.Contains(strings.Join(types, " "), "MetricAlarm")) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	out := cbor.List{}
	for _, name := range names {
		a := s.alarms[c.Region][name]
		m := cbor.Map{"ActionsEnabled": cbor.Bool(true), "OKActions": cbor.List{}, "AlarmActions": cbor.List{}, "InsufficientDataActions": cbor.List{}, "Dimensions": cbor.List{}}
		for k, v := range a.config {
			if k != "Tags" {
				m[k] = v
			}
		}
		m["AlarmArn"], m["StateValue"] = cbor.String(s.arn(c.Region, name)), cbor.String("INSUFFICIENT_DATA")
		m["StateReason"] = cbor.String("Unchecked: Initial alarm creation")
		m["AlarmConfigurationUpdatedTimestamp"], m["StateUpdatedTimestamp"], m["StateTransitionedTimestamp"] = instant(a.since), instant(a.since), instant(a.since)
		out = append(out, m)
	}
	return cbor.Map{"MetricAlarms": out, "CompositeAlarms": cbor.List{}}, nil
}

func (s *Service) remove(c *call) (cbor.Map, error) {
	names := strs(c.in["AlarmNames"])
	for _, n := range names {
		if _, ok := s.alarms[c.Region][n]; !ok {
			return nil, gate.Errorf(http.StatusNotFound, "ResourceNotFound", "Alarm %s does not exist", n)
		}
	}
	for _, n := range names {
		delete(s.alarms[c.Region], n)
	}
	return cbor.Map{}, nil
}

// tagged finds the alarm of a tag call.
func (s *Service) tagged(c *call) (*alarm, error) {
	name, ok := strings.CutPrefix(text(c.in["ResourceARN"]), s.arn(c.Region, ""))
	if a, found := s.alarms[c.Region][name]; ok && found {
		return a, nil
	}
	return nil, gate.Errorf(http.StatusNotFound, "ResourceNotFoundException", "%s does not exist", text(c.in["ResourceARN"]))
}

func (s *Service) listTags(c *call) (cbor.Map, error) {
	a, err := s.tagged(c)
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(a.tags))
	for k := range a.tags {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	out := cbor.List{}
	for _, k := range keys {
		out = append(out, cbor.Map{"Key": cbor.String(k), "Value": cbor.String(a.tags[k])})
	}
	return cbor.Map{"Tags": out}, nil
}

func (s *Service) tag(c *call) (cbor.Map, error) {
	a, err := s.tagged(c)
	if err == nil {
		a.addTags(c.in["Tags"])
	}
	return cbor.Map{}, err
}

func (s *Service) untag(c *call) (cbor.Map, error) {
	a, err := s.tagged(c)
	if err == nil {
		for _, k := range strs(c.in["TagKeys"]) {
			delete(a.tags, k)
		}
	}
	return cbor.Map{}, err
}
