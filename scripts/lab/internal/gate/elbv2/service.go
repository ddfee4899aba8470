// Package elbv2 is Elastic Load Balancing for Network Load Balancers: load balancers, target groups, TCP listeners,
// targets, attributes and tags. The lab gives a load balancer a loopback address, which is its DNS name too, so that its
// listeners can be reached from the host; carrying the traffic is up to whoever follows Listeners. Application and
// Gateway Load Balancers answer NotImplemented.
package elbv2

import (
	"net/http"
	"sort"
	"strings"
	"sync"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/ec2"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

const namespace = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"

// Service implements gate.Service and gate.Inventory. Make it with New.
type Service struct {
	g       *gate.Gate
	network *ec2.Service

	mu        sync.Mutex
	balancers []*balancer
	groups    []*group
	listeners []*listener
	tags      map[string]map[string]string // by ARN
	health    func(Target) bool
	changed   func()
}

// New makes the service. network is where subnets, groups, instances and addresses come from.
func New(g *gate.Gate, network *ec2.Service) *Service {
	return &Service{g: g, network: network, tags: map[string]map[string]string{}, changed: func() {}}
}

// SetHealth sets who knows whether a target answers; without it targets stay initial.
func (s *Service) SetHealth(f func(Target) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = f
}

// SetChanged sets a function that is called, without locks held, whenever Listeners may answer differently.
func (s *Service) SetChanged(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = f
}

// Listener is a port of a load balancer with the targets behind it.
type Listener struct {
	ARN, Address string
	Port         int
	Targets      []Target
}

// Target is an instance and its port, with the health check of its group.
type Target struct {
	InstanceID string
	Port       int
	// Protocol is that of the check; Path and Matcher (such as 200 or 200-399,401) are of HTTP and HTTPS.
	Protocol, Path, Matcher string
}

func (g *group) target(t target) Target {
	return Target{InstanceID: t.id, Port: t.port, Protocol: g.checkProtocol, Path: g.checkPath, Matcher: g.matcher}
}

// Listeners returns all listeners with their targets, one for each address of the load balancer.
func (s *Service) Listeners() []Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Listener
	for _, l := range s.listeners {
		b := s.balancer(l.balancer)
		g := s.group(l.target)
		if b == nil || g == nil {
			continue
		}
		for _, z := range b.zones {
			x := Listener{ARN: l.arn, Address: z.address, Port: l.port}
			for _, t := range g.targets {
				x.Targets = append(x.Targets, g.target(t))
			}
			out = append(out, x)
		}
	}
	return out
}

// Name is the signing name.
func (s *Service) Name() string { return "elasticloadbalancing" }

// Protocol is query.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolQuery }

// request is one action; handlers run with the lock held.
type request struct {
	wire.Params
	call *gate.Call
}

type action struct {
	parameters string
	handle     func(*Service, *request) ([]wire.Node, error)
	// resource names the parameters with ARNs that the caller needs the action on; "*KIND" stands for a new resource,
	// empty for everything.
	resource string
}

const (
	page  = " Marker PageSize"
	check = " HealthCheckEnabled HealthCheckIntervalSeconds HealthCheckPath HealthCheckPort HealthCheckProtocol HealthCheckTimeoutSeconds HealthyThresholdCount UnhealthyThresholdCount Matcher"
)

var actions = map[string]action{
	"CreateLoadBalancer":             {"Name Type Scheme Subnets SubnetMappings SecurityGroups IpAddressType Tags", (*Service).createBalancer, "*loadbalancer/net/*"},
	"DescribeLoadBalancers":          {"LoadBalancerArns Names" + page, (*Service).describeBalancers, ""},
	"DeleteLoadBalancer":             {"LoadBalancerArn", (*Service).deleteBalancer, "LoadBalancerArn"},
	"SetSubnets":                     {"LoadBalancerArn Subnets SubnetMappings", (*Service).setSubnets, "LoadBalancerArn"},
	"SetSecurityGroups":              {"LoadBalancerArn SecurityGroups EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", (*Service).setSecurityGroups, "LoadBalancerArn"},
	"ModifyLoadBalancerAttributes":   {"LoadBalancerArn Attributes", (*Service).modifyAttributes, "LoadBalancerArn"},
	"DescribeLoadBalancerAttributes": {"LoadBalancerArn", (*Service).describeAttributes, ""},
	"CreateTargetGroup":              {"Name Protocol Port VpcId TargetType IpAddressType Tags" + check, (*Service).createGroup, "*targetgroup/*"},
	"DescribeTargetGroups":           {"TargetGroupArns Names LoadBalancerArn" + page, (*Service).describeGroups, ""},
	"ModifyTargetGroup":              {"TargetGroupArn" + check, (*Service).modifyGroup, "TargetGroupArn"},
	"DeleteTargetGroup":              {"TargetGroupArn", (*Service).deleteGroup, "TargetGroupArn"},
	"ModifyTargetGroupAttributes":    {"TargetGroupArn Attributes", (*Service).modifyAttributes, "TargetGroupArn"},
	"DescribeTargetGroupAttributes":  {"TargetGroupArn", (*Service).describeAttributes, ""},
	"RegisterTargets":                {"TargetGroupArn Targets", (*Service).register, "TargetGroupArn"},
	"DeregisterTargets":              {"TargetGroupArn Targets", (*Service).deregister, "TargetGroupArn"},
	"DescribeTargetHealth":           {"TargetGroupArn Targets", (*Service).describeHealth, ""},
	"CreateListener":                 {"LoadBalancerArn Port Protocol DefaultActions Tags", (*Service).createListener, "LoadBalancerArn"},
	"DescribeListeners":              {"ListenerArns LoadBalancerArn" + page, (*Service).describeListeners, ""},
	"ModifyListener":                 {"ListenerArn Port Protocol DefaultActions", (*Service).modifyListener, "ListenerArn"},
	"DeleteListener":                 {"ListenerArn", (*Service).deleteListener, "ListenerArn"},
	"DescribeCapacityReservation":    {"LoadBalancerArn", (*Service).describeCapacity, ""},
	"DescribeListenerAttributes":     {"ListenerArn", (*Service).describeAttributes, ""},
	"ModifyListenerAttributes":       {"ListenerArn Attributes", (*Service).modifyAttributes, "ListenerArn"},
	"AddTags":                        {"ResourceArns Tags", (*Service).addTags, "ResourceArns"},
	"RemoveTags":                     {"ResourceArns TagKeys", (*Service).removeTags, "ResourceArns"},
	"DescribeTags":                   {"ResourceArns", (*Service).describeTags, ""},
}

// Requirements refuses what is not modelled.
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	a, ok := actions[c.Action]
	if !ok {
		return nil, gate.NotImplemented("Elastic Load Balancing action " + c.Action)
	}
	params := wire.NewParams(c.Form)
	accepted := " Action Version " + a.parameters + " "
	for _, name := range params.Top() {
		if !strings.Contains(accepted, " "+name+" ") {
			return nil, gate.NotImplemented("parameter " + name + " of Elastic Load Balancing action " + c.Action)
		}
	}
	context := map[string][]string{}
	for _, t := range params.Structs("Tags") {
		context["aws:RequestTag/"+t.Str("Key")] = []string{t.Str("Value")}
		context["aws:TagKeys"] = append(context["aws:TagKeys"], t.Str("Key"))
	}
	resources := []string{"*"}
	if kind, ok := strings.CutPrefix(a.resource, "*"); ok {
		resources = []string{s.g.ARN("elasticloadbalancing", c.Region, kind)}
	} else if a.resource != "" {
		resources = params.Strings(a.resource)
		if v := params.Str(a.resource); v != "" {
			resources = append(resources, v)
		}
	}
	var out []policy.Request
	for _, r := range resources {
		x := map[string][]string{}
		for k, v := range context {
			x[k] = v
		}
		s.mu.Lock()
		for k, v := range s.tags[r] {
			x["aws:ResourceTag/"+k] = []string{v}
		}
		s.mu.Unlock()
		out = append(out, policy.Request{Action: "elasticloadbalancing:" + c.Action, Resource: r, Context: x})
	}
	if len(context["aws:TagKeys"]) > 0 && strings.HasPrefix(c.Action, "Create") {
		out = append(out, policy.Request{Action: "elasticloadbalancing:AddTags", Resource: out[0].Resource, Context: context})
	}
	if c.Action == "CreateLoadBalancer" {
		out = append(out, s.g.NeedsLinkedRole("elasticloadbalancing.amazonaws.com")...)
	}
	return out, nil
}

// Serve runs the action.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	s.mu.Lock()
	nodes, err := actions[c.Action].handle(s, &request{wire.NewParams(c.Form), c})
	changed := s.changed
	s.mu.Unlock()
	if err != nil {
		gate.WriteError(w, c, err)
		return
	}
	if !strings.HasPrefix(c.Action, "Describe") {
		changed()
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("x-amzn-RequestId", c.RequestID)
	_, _ = w.Write(wire.Elem(c.Action+"Response", wire.Elem(c.Action+"Result", nodes...),
		wire.Elem("ResponseMetadata", wire.Text("RequestId", c.RequestID))).NS(namespace).Bytes())
}

// Inventory lists load balancers, target groups and listeners.
func (s *Service) Inventory() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]string{}
	for _, b := range s.balancers {
		out["elb load balancer"] = append(out["elb load balancer"], b.arn)
	}
	for _, g := range s.groups {
		out["elb target group"] = append(out["elb target group"], g.arn)
	}
	for _, l := range s.listeners {
		out["elb listener"] = append(out["elb listener"], l.arn)
	}
	for _, arns := range out {
		sort.Strings(arns)
	}
	return out
}

func bad(code, format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, code, format, args...)
}

func (s *Service) setTags(arn string, q *request) {
	if s.tags[arn] == nil {
		s.tags[arn] = map[string]string{}
	}
	for _, t := range q.Structs("Tags") {
		s.tags[arn][t.Str("Key")] = t.Str("Value")
	}
}

// each runs f on the ARNs of a tag call, all of which must exist.
func (s *Service) each(q *request, f func(arn string)) error {
	arns := q.Strings("ResourceArns")
	for _, arn := range arns {
		if s.balancer(arn) == nil && s.group(arn) == nil && s.listener(arn) == nil {
			return missing(arn)
		}
	}
	for _, arn := range arns {
		f(arn)
	}
	return nil
}

// missing is the error for an ARN, by what it names.
func missing(arn string) error {
	switch {
	case strings.Contains(arn, ":targetgroup/"):
		return bad("TargetGroupNotFound", "Target groups '%s' not found", arn)
	case strings.Contains(arn, ":listener/"):
		return bad("ListenerNotFound", "One or more listeners not found")
	}
	return bad("LoadBalancerNotFound", "Load balancers '[%s]' not found", arn)
}

func (s *Service) addTags(q *request) ([]wire.Node, error) {
	return nil, s.each(q, func(arn string) { s.setTags(arn, q) })
}

func (s *Service) removeTags(q *request) ([]wire.Node, error) {
	return nil, s.each(q, func(arn string) {
		for _, k := range q.Strings("TagKeys") {
			delete(s.tags[arn], k)
		}
	})
}

func (s *Service) describeTags(q *request) ([]wire.Node, error) {
	out := wire.Elem("TagDescriptions")
	err := s.each(q, func(arn string) {
		keys := make([]string, 0, len(s.tags[arn]))
		for k := range s.tags[arn] {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		out.Children = append(out.Children, wire.Elem("member", wire.Text("ResourceArn", arn), wire.List("Tags", "member", keys, func(k string) []wire.Node {
			return []wire.Node{wire.Text("Key", k), wire.Text("Value", s.tags[arn][k])}
		})))
	})
	return []wire.Node{out}, err
}
