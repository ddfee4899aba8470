package elbv2

import (
	"slices"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

type group struct {
	arn, name, region, protocol, vpc, kind       string
	port                                         int
	checkProtocol, checkPort, checkPath, matcher string
	interval, timeout, healthy, unhealthy        int
	targets                                      []target
	attributes                                   map[string]string
}

type target struct {
	id   string
	port int
}

type listener struct {
	arn, balancer, protocol, target string
	port                            int
	attributes                      map[string]string
}

func groupAttributes() map[string]string {
	return map[string]string{"deregistration_delay.timeout_seconds": "300", "deregistration_delay.connection_termination.enabled": "false", "preserve_client_ip.enabled": "true",
		"proxy_protocol_v2.enabled": "false", "stickiness.enabled": "false", "stickiness.type": "source_ip", "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
		"target_group_health.dns_failover.minimum_healthy_targets.count": "1", "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1", "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
		"target_health_state.unhealthy.connection_termination.enabled": "true", "target_health_state.unhealthy.draining_interval_seconds": "0"}
}

func (s *Service) group(arn string) *group {
	for _, g := range s.groups {
		if g.arn == arn {
			return g
		}
	}
	return nil
}

func (s *Service) listener(arn string) *listener {
	for _, l := range s.listeners {
		if l.arn == arn {
			return l
		}
	}
	return nil
}

func (s *Service) createGroup(q *request) ([]wire.Node, error) {
	name := q.Str("Name")
	kind := q.Str("TargetType")
	if kind == "" {
		kind = "instance"
	}
	switch {
	case !nameSyntax.MatchString(name):
		return nil, bad("ValidationError", "Target group name '%s' cannot be longer than '32' characters, and may contain only letters, digits and hyphens, not at its ends", name)
	case kind != "instance":
		return nil, gate.NotImplemented("target type " + kind)
	case q.Str("Protocol") != "TCP":
		return nil, gate.NotImplemented("target group protocol " + q.Str("Protocol"))
	case q.Int("Port", 0) < 1 || q.Int("Port", 0) > 65535:
		return nil, bad("ValidationError", "A port must be specified")
	case !s.network.VPCExists(q.call.Region, q.Str("VpcId")):
		return nil, bad("ValidationError", "The VPC ID '%s' is not found", q.Str("VpcId"))
	}
	for _, g := range s.groups {
		if g.name == name && g.region == q.call.Region {
			return nil, bad("DuplicateTargetGroupName", "A target group with the same name '%s' exists, but with different settings", name)
		}
	}
	g := &group{arn: s.g.ARN("elasticloadbalancing", q.call.Region, "targetgroup/"+name+"/"+wire.Hex(16)), name: name, region: q.call.Region, protocol: "TCP",
		vpc: q.Str("VpcId"), kind: kind, port: q.Int("Port", 0), checkProtocol: "TCP", checkPort: "traffic-port", interval: 30, timeout: 10, healthy: 5, unhealthy: 2,
		attributes: groupAttributes()}
	if err := g.check(q); err != nil {
		return nil, err
	}
	s.groups = append(s.groups, g)
	s.setTags(g.arn, q)
	return []wire.Node{s.groupNodes(g)}, nil
}

// check puts the request's health check settings over the group's.
func (g *group) check(q *request) error {
	n := *g
	pick := func(dst *string, name string) {
		if v := q.Str(name); v != "" {
			*dst = v
		}
	}
	pick(&n.checkProtocol, "HealthCheckProtocol")
	pick(&n.checkPort, "HealthCheckPort")
	n.interval, n.timeout = q.Int("HealthCheckIntervalSeconds", n.interval), q.Int("HealthCheckTimeoutSeconds", n.timeout)
	n.healthy, n.unhealthy = q.Int("HealthyThresholdCount", n.healthy), q.Int("UnhealthyThresholdCount", n.unhealthy)
	switch n.checkProtocol {
	case "TCP":
		if q.Str("HealthCheckPath") != "" {
			return bad("ValidationError", "You cannot specify a health check path for a target group with the TCP health check protocol")
		}
		n.checkPath, n.matcher = "", ""
	case "HTTP", "HTTPS":
		if n.checkPath == "" {
			n.checkPath, n.matcher = "/", "200-399"
		}
		pick(&n.checkPath, "HealthCheckPath")
		pick(&n.matcher, "Matcher.HttpCode")
	default:
		return bad("ValidationError", "Health check protocol '%s' is not valid", n.checkProtocol)
	}
	switch {
	case n.interval < 5 || n.interval > 300:
		return bad("ValidationError", "Health check interval must be between 5 and 300")
	case n.timeout < 2 || n.timeout > 120:
		return bad("ValidationError", "Health check timeout must be between 2 and 120")
	case n.healthy < 2 || n.healthy > 10 || n.unhealthy < 2 || n.unhealthy > 10:
		return bad("ValidationError", "Health check thresholds must be between 2 and 10")
	}
	*g = n
	return nil
}

func (s *Service) groupNodes(groups ...*group) wire.Node {
	return wire.List("TargetGroups", "member", groups, func(g *group) []wire.Node {
		var users []string
		for _, l := range s.listeners {
			if l.target == g.arn && !slices.Contains(users, l.balancer) {
				users = append(users, l.balancer)
			}
		}
		out := []wire.Node{wire.Text("TargetGroupArn", g.arn), wire.Text("TargetGroupName", g.name), wire.Text("Protocol", g.protocol), wire.Text("Port", g.port),
			wire.Text("VpcId", g.vpc), wire.Text("HealthCheckProtocol", g.checkProtocol), wire.Text("HealthCheckPort", g.checkPort), wire.Text("HealthCheckEnabled", true),
			wire.Text("HealthCheckIntervalSeconds", g.interval), wire.Text("HealthCheckTimeoutSeconds", g.timeout), wire.Text("HealthyThresholdCount", g.healthy),
			wire.Text("UnhealthyThresholdCount", g.unhealthy), wire.Opt("HealthCheckPath", g.checkPath), wire.Texts("LoadBalancerArns", "member", users),
			wire.Text("TargetType", g.kind), wire.Text("IpAddressType", "ipv4")}
		if g.matcher != "" {
			out = append(out, wire.Elem("Matcher", wire.Text("HttpCode", g.matcher)))
		}
		return out
	})
}

func (s *Service) describeGroups(q *request) ([]wire.Node, error) {
	arns, names, user := q.Strings("TargetGroupArns"), q.Strings("Names"), q.Str("LoadBalancerArn")
	var out []*group
	for _, g := range s.groups {
		used := slices.ContainsFunc(s.listeners, func(l *listener) bool { return l.target == g.arn && l.balancer == user })
		all := len(arns)+len(names) == 0 && user == ""
		if g.region == q.call.Region && (all || slices.Contains(arns, g.arn) || slices.Contains(names, g.name) || (user != "" && used)) {
			out = append(out, g)
		}
	}
	if len(out) < len(arns)+len(names) {
		return nil, bad("TargetGroupNotFound", "One or more target groups not found")
	}
	return []wire.Node{s.groupNodes(out...)}, nil
}

func (s *Service) modifyGroup(q *request) ([]wire.Node, error) {
	g := s.group(q.Str("TargetGroupArn"))
	if g == nil {
		return nil, missing(q.Str("TargetGroupArn"))
	}
	if err := g.check(q); err != nil {
		return nil, err
	}
	return []wire.Node{s.groupNodes(g)}, nil
}

func (s *Service) deleteGroup(q *request) ([]wire.Node, error) {
	arn := q.Str("TargetGroupArn")
	for _, l := range s.listeners {
		if l.target == arn {
			return nil, bad("ResourceInUse", "Target group '%s' is currently in use by a listener or a rule", arn)
		}
	}
	s.groups = slices.DeleteFunc(s.groups, func(g *group) bool { return g.arn == arn })
	delete(s.tags, arn)
	return nil, nil
}

// targets reads a call's targets; a target without a port has the group's.
func targets(q *request, g *group) []target {
	var out []target
	for _, t := range q.Structs("Targets") {
		out = append(out, target{t.Str("Id"), t.Int("Port", g.port)})
	}
	return out
}

func (s *Service) register(q *request) ([]wire.Node, error) {
	g := s.group(q.Str("TargetGroupArn"))
	if g == nil {
		return nil, missing(q.Str("TargetGroupArn"))
	}
	wanted := targets(q, g)
	for _, t := range wanted {
		i, ok := s.network.Instance(t.id)
		switch {
		case !ok || i.State != "running":
			return nil, bad("InvalidTarget", "The following targets are not in a running state and cannot be registered: '%s'", t.id)
		case i.VPCID != g.vpc:
			return nil, bad("InvalidTarget", "The following targets are not in the target group VPC '%s': '%s'", g.vpc, t.id)
		}
	}
	for _, t := range wanted {
		if !slices.Contains(g.targets, t) {
			g.targets = append(g.targets, t)
		}
	}
	return nil, nil
}

func (s *Service) deregister(q *request) ([]wire.Node, error) {
	g := s.group(q.Str("TargetGroupArn"))
	if g == nil {
		return nil, missing(q.Str("TargetGroupArn"))
	}
	gone := targets(q, g)
	g.targets = slices.DeleteFunc(g.targets, func(t target) bool { return slices.Contains(gone, t) })
	return nil, nil
}

func (s *Service) describeHealth(q *request) ([]wire.Node, error) {
	g := s.group(q.Str("TargetGroupArn"))
	if g == nil {
		return nil, missing(q.Str("TargetGroupArn"))
	}
	shown := g.targets
	if q.Has("Targets") {
		shown = targets(q, g)
	}
	used := slices.ContainsFunc(s.listeners, func(l *listener) bool { return l.target == g.arn })
	return []wire.Node{wire.List("TargetHealthDescriptions", "member", shown, func(t target) []wire.Node {
		state, reason := "initial", "Elb.RegistrationInProgress"
		switch {
		case !slices.Contains(g.targets, t):
			state, reason = "unused", "Target.NotRegistered"
		case !used:
			state, reason = "unused", "Target.NotInUse"
		case s.health != nil && s.health(g.target(t)):
			state, reason = "healthy", ""
		case s.health != nil:
			state, reason = "unhealthy", "Target.FailedHealthChecks"
		}
		return []wire.Node{wire.Elem("Target", wire.Text("Id", t.id), wire.Text("Port", t.port)), wire.Text("HealthCheckPort", t.port),
			wire.Elem("TargetHealth", wire.Text("State", state), wire.Opt("Reason", reason))}
	})}, nil
}

// forward reads the one action that a TCP listener has.
func (s *Service) forward(q *request) (string, error) {
	list := q.Structs("DefaultActions")
	if len(list) != 1 || list[0].Str("Type") != "forward" {
		return "", gate.NotImplemented("default actions other than one forward")
	}
	arn := list[0].Str("TargetGroupArn")
	if arn == "" {
		groups := list[0].Sub("ForwardConfig").Structs("TargetGroups")
		if len(groups) != 1 {
			return "", gate.NotImplemented("forwarding to several target groups")
		}
		arn = groups[0].Str("TargetGroupArn")
	}
	if s.group(arn) == nil {
		return "", bad("TargetGroupNotFound", "Target group '%s' not found", arn)
	}
	return arn, nil
}

func (s *Service) createListener(q *request) ([]wire.Node, error) {
	b := s.balancer(q.Str("LoadBalancerArn"))
	if b == nil {
		return nil, missing(q.Str("LoadBalancerArn"))
	}
	if p := q.Str("Protocol"); p != "TCP" {
		return nil, gate.NotImplemented("listener protocol " + p)
	}
	port := q.Int("Port", 0)
	if port < 1 || port > 65535 {
		return nil, bad("ValidationError", "1 validation error detected: Value '%d' at 'port' failed to satisfy constraint", port)
	}
	for _, l := range s.listeners {
		if l.balancer == b.arn && l.port == port {
			return nil, bad("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", b.arn)
		}
	}
	arn, err := s.forward(q)
	if err != nil {
		return nil, err
	}
	l := &listener{arn: strings.Replace(b.arn, ":loadbalancer/", ":listener/", 1) + "/" + wire.Hex(16), balancer: b.arn, protocol: "TCP", target: arn, port: port,
		attributes: map[string]string{"tcp.idle_timeout.seconds": "350"}}
	s.listeners = append(s.listeners, l)
	s.setTags(l.arn, q)
	return []wire.Node{listenerNodes(l)}, nil
}

func listenerNodes(listeners ...*listener) wire.Node {
	return wire.List("Listeners", "member", listeners, func(l *listener) []wire.Node {
		return []wire.Node{wire.Text("ListenerArn", l.arn), wire.Text("LoadBalancerArn", l.balancer), wire.Text("Port", l.port), wire.Text("Protocol", l.protocol),
			wire.Elem("DefaultActions", wire.Elem("member", wire.Text("Type", "forward"), wire.Text("Order", 1), wire.Text("TargetGroupArn", l.target),
				wire.Elem("ForwardConfig", wire.Elem("TargetGroups", wire.Elem("member", wire.Text("TargetGroupArn", l.target))))))}
	})
}

func (s *Service) describeListeners(q *request) ([]wire.Node, error) {
	arns, of := q.Strings("ListenerArns"), q.Str("LoadBalancerArn")
	if of != "" && s.balancer(of) == nil {
		return nil, missing(of)
	}
	var out []*listener
	for _, l := range s.listeners {
		if slices.Contains(arns, l.arn) || (of != "" && l.balancer == of) {
			out = append(out, l)
		}
	}
	if len(out) < len(arns) {
		return nil, bad("ListenerNotFound", "One or more listeners not found")
	}
	return []wire.Node{listenerNodes(out...)}, nil
}

func (s *Service) modifyListener(q *request) ([]wire.Node, error) {
	l := s.listener(q.Str("ListenerArn"))
	if l == nil {
		return nil, missing(q.Str("ListenerArn"))
	}
	if p := q.Str("Protocol"); p != "" && p != "TCP" {
		return nil, gate.NotImplemented("listener protocol " + p)
	}
	next := *l
	next.port = q.Int("Port", l.port)
	for _, o := range s.listeners {
		if o != l && o.balancer == l.balancer && o.port == next.port {
			return nil, bad("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", l.balancer)
		}
	}
	if q.Has("DefaultActions") {
		arn, err := s.forward(q)
		if err != nil {
			return nil, err
		}
		next.target = arn
	}
	*l = next
	return []wire.Node{listenerNodes(l)}, nil
}

func (s *Service) deleteListener(q *request) ([]wire.Node, error) {
	l := s.listener(q.Str("ListenerArn"))
	if l == nil {
		return nil, missing(q.Str("ListenerArn"))
	}
	s.drop(l)
	return nil, nil
}

func (s *Service) drop(l *listener) {
	s.listeners = slices.DeleteFunc(s.listeners, func(o *listener) bool { return o == l })
	delete(s.tags, l.arn)
}
