package elbv2

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

type balancer struct {
	arn, name, region, scheme, vpc, kind string
	zones                                []zone
	enforce                              string   // the groups' rules for traffic of PrivateLink, on or off; empty without groups
	groups                               []string // security groups
	attributes                           map[string]string
	created                              time.Time
}

// zone is a subnet with the load balancer's address in it.
type zone struct{ subnet, name, address, allocation string }

// zoneIDs are the hosted zones of Network Load Balancers' names (AWS General Reference).
var zoneIDs = map[string]string{"eu-central-1": "Z3F0SRJ5LGBH90", "eu-west-1": "Z2IFOLAFXWLO4F", "us-east-1": "Z26RNL4JYFTOTI", "us-east-2": "ZLMOA37VPKANP", "us-west-2": "Z18D5FSROUN65G"}

func balancerAttributes() map[string]string {
	return map[string]string{"deletion_protection.enabled": "false", "access_logs.s3.enabled": "false", "access_logs.s3.bucket": "", "access_logs.s3.prefix": "",
		"load_balancing.cross_zone.enabled": "false", "dns_record.client_routing_policy": "any_availability_zone", "ipv6.deny_all_igw_traffic": "false",
		"zonal_shift.config.enabled": "false", "secondary_ips.auto_assigned.per_subnet": "0"}
}

var nameSyntax = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?$`)

func (s *Service) balancer(arn string) *balancer {
	for _, b := range s.balancers {
		if b.arn == arn {
			return b
		}
	}
	return nil
}

// placed checks subnets and gives the load balancer an address in each. The caller frees the addresses on failure.
func (s *Service) placed(q *request) (zones []zone, vpc string, err error) {
	type wanted struct{ subnet, allocation string }
	var want []wanted
	for _, id := range q.Strings("Subnets") {
		want = append(want, wanted{id, ""})
	}
	for _, m := range q.Structs("SubnetMappings") {
		if m.Has("PrivateIPv4Address") || m.Has("IPv6Address") {
			return nil, "", gate.NotImplemented("given addresses of a load balancer")
		}
		want = append(want, wanted{m.Str("SubnetId"), m.Str("AllocationId")})
	}
	if len(want) == 0 {
		return nil, "", bad("ValidationError", "At least one subnet must be specified")
	}
	seen := map[string]bool{}
	for _, x := range want {
		v, name, ok := s.network.Subnet(q.call.Region, x.subnet)
		switch {
		case !ok:
			err = bad("SubnetNotFound", "The subnet ID '%s' does not exist", x.subnet)
		case vpc != "" && v != vpc:
			err = bad("InvalidConfigurationRequest", "All subnets must belong to the same VPC: '%s'", vpc)
		case seen[name]:
			err = bad("InvalidConfigurationRequest", "A load balancer cannot be attached to multiple subnets in the same Availability Zone")
		}
		if err != nil {
			return zones, vpc, err
		}
		vpc, seen[name] = v, true
		ip, ok := s.network.TakeAddress(q.call.Region, x.allocation)
		if !ok {
			return zones, vpc, bad("AllocationIdNotFound", "The allocation IDs '%s' are not available for use", x.allocation)
		}
		zones = append(zones, zone{x.subnet, name, ip, x.allocation})
	}
	return zones, vpc, nil
}

func (s *Service) free(region string, zones []zone) {
	for _, z := range zones {
		s.network.FreeAddress(region, z.address)
	}
}

func subnets(zones []zone) []string {
	var out []string
	for _, z := range zones {
		out = append(out, z.subnet)
	}
	return out
}

func (s *Service) checkGroups(region, vpc string, ids []string) error {
	for _, id := range ids {
		v, ok := s.network.SecurityGroupVPC(region, id)
		if !ok {
			return bad("InvalidSecurityGroup", "Security group '%s' does not exist", id)
		}
		if v != vpc {
			return bad("InvalidConfigurationRequest", "One or more security groups are invalid: '%s'", id)
		}
	}
	return nil
}

func (s *Service) createBalancer(q *request) ([]wire.Node, error) {
	name := q.Str("Name")
	switch {
	case q.Str("Type") != "network":
		return nil, gate.NotImplemented("a load balancer of a type other than network")
	case q.Str("IpAddressType") != "" && q.Str("IpAddressType") != "ipv4":
		return nil, gate.NotImplemented("a load balancer with IPv6 addresses")
	case !nameSyntax.MatchString(name) || strings.HasPrefix(name, "internal-"):
		return nil, bad("ValidationError", "The load balancer name '%s' cannot be longer than '32' characters, and may contain only letters, digits and hyphens, not at its ends", name)
	}
	for _, b := range s.balancers {
		if b.name == name && b.region == q.call.Region {
			return nil, bad("DuplicateLoadBalancerName", "A load balancer with the same name '%s' exists, but with different settings", name)
		}
	}
	scheme := q.Str("Scheme")
	if scheme == "" {
		scheme = "internet-facing"
	}
	zones, vpc, err := s.placed(q)
	if err == nil {
		err = s.checkGroups(q.call.Region, vpc, q.Strings("SecurityGroups"))
	}
	if err != nil {
		s.free(q.call.Region, zones)
		return nil, err
	}
	b := &balancer{arn: s.g.ARN("elasticloadbalancing", q.call.Region, "loadbalancer/net/"+name+"/"+wire.Hex(16)), name: name, region: q.call.Region, scheme: scheme,
		vpc: vpc, kind: "network", zones: zones, groups: q.Strings("SecurityGroups"), attributes: balancerAttributes(), created: q.call.Time}
	if len(b.groups) > 0 {
		b.enforce = "on"
	}
	s.network.Hold(append(subnets(zones), b.groups...)...)
	s.balancers = append(s.balancers, b)
	s.setTags(b.arn, q)
	if err := s.g.MakeLinkedRole("elasticloadbalancing.amazonaws.com"); err != nil {
		return nil, err
	}
	return []wire.Node{wire.Elem("LoadBalancers", wire.Elem("member", b.nodes("provisioning")...))}, nil
}

// nodes describe a load balancer. Its DNS name is the first of its addresses.
func (b *balancer) nodes(state string) []wire.Node {
	return []wire.Node{wire.Text("LoadBalancerArn", b.arn), wire.Text("DNSName", b.zones[0].address), wire.Text("CanonicalHostedZoneId", zoneIDs[b.region]),
		wire.Text("CreatedTime", b.created), wire.Text("LoadBalancerName", b.name), wire.Text("Scheme", b.scheme), wire.Text("VpcId", b.vpc),
		wire.Elem("State", wire.Text("Code", state)), wire.Text("Type", b.kind), b.zoneNodes(), wire.Texts("SecurityGroups", "member", b.groups), wire.Text("IpAddressType", "ipv4"),
		wire.Opt("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", b.enforce)}
}

func (b *balancer) zoneNodes() wire.Node {
	return wire.List("AvailabilityZones", "member", b.zones, func(z zone) []wire.Node {
		addresses := wire.Elem("LoadBalancerAddresses")
		if z.allocation != "" {
			addresses = wire.Elem("LoadBalancerAddresses", wire.Elem("member", wire.Text("IpAddress", z.address), wire.Text("AllocationId", z.allocation)))
		}
		return []wire.Node{wire.Text("ZoneName", z.name), wire.Text("SubnetId", z.subnet), addresses}
	})
}

// wanted selects by ARN and name; an ARN or name that is not there is an error.
func (s *Service) describeBalancers(q *request) ([]wire.Node, error) {
	arns, names := q.Strings("LoadBalancerArns"), q.Strings("Names")
	var out []*balancer
	for _, b := range s.balancers {
		if b.region == q.call.Region && (len(arns)+len(names) == 0 || slices.Contains(arns, b.arn) || slices.Contains(names, b.name)) {
			out = append(out, b)
		}
	}
	if len(out) < len(arns)+len(names) {
		return nil, missing(strings.Join(append(arns, names...), ", "))
	}
	return []wire.Node{wire.List("LoadBalancers", "member", out, func(b *balancer) []wire.Node { return b.nodes("active") })}, nil
}

func (s *Service) deleteBalancer(q *request) ([]wire.Node, error) {
	arn := q.Str("LoadBalancerArn")
	b := s.balancer(arn)
	if b == nil {
		return nil, nil // deleting what is not there succeeds
	}
	if b.attributes["deletion_protection.enabled"] == "true" {
		return nil, bad("OperationNotPermitted", "Load balancer '%s' cannot be deleted because deletion protection is enabled", arn)
	}
	for _, l := range slices.Clone(s.listeners) {
		if l.balancer == arn {
			s.drop(l)
		}
	}
	s.free(b.region, b.zones)
	s.network.Release(append(subnets(b.zones), b.groups...)...)
	s.balancers = slices.DeleteFunc(s.balancers, func(o *balancer) bool { return o == b })
	delete(s.tags, arn)
	return nil, nil
}

func (s *Service) setSubnets(q *request) ([]wire.Node, error) {
	b := s.balancer(q.Str("LoadBalancerArn"))
	if b == nil {
		return nil, missing(q.Str("LoadBalancerArn"))
	}
	zones, vpc, err := s.placed(q)
	if err == nil && vpc != b.vpc {
		err = bad("InvalidConfigurationRequest", "All subnets must belong to the same VPC: '%s'", b.vpc)
	}
	if err != nil {
		s.free(b.region, zones)
		return nil, err
	}
	for i, z := range zones { // a subnet that stays keeps its address
		for _, old := range b.zones {
			if old.subnet == z.subnet && old.allocation == z.allocation {
				s.network.FreeAddress(b.region, z.address)
				zones[i].address = old.address
			}
		}
	}
	for _, old := range b.zones {
		if !slices.ContainsFunc(zones, func(z zone) bool { return z.address == old.address }) {
			s.network.FreeAddress(b.region, old.address)
		}
	}
	s.network.Hold(subnets(zones)...)
	s.network.Release(subnets(b.zones)...)
	b.zones = zones
	return []wire.Node{b.zoneNodes(), wire.Text("IpAddressType", "ipv4")}, nil
}

func (s *Service) setSecurityGroups(q *request) ([]wire.Node, error) {
	b := s.balancer(q.Str("LoadBalancerArn"))
	if b == nil {
		return nil, missing(q.Str("LoadBalancerArn"))
	}
	ids, enforce := q.Strings("SecurityGroups"), q.Str("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic")
	if !slices.Contains([]string{"", "on", "off"}, enforce) {
		return nil, bad("ValidationError", "1 validation error detected: Value '%s' at 'enforceSecurityGroupInboundRulesOnPrivateLinkTraffic' failed to satisfy constraint", enforce)
	}
	if len(b.groups) == 0 && len(ids) > 0 {
		return nil, bad("InvalidConfigurationRequest", "You cannot set security groups on a Network Load Balancer that was created without any")
	}
	if err := s.checkGroups(b.region, b.vpc, ids); err != nil {
		return nil, err
	}
	s.network.Hold(ids...)
	s.network.Release(b.groups...)
	b.groups = ids
	if enforce != "" {
		b.enforce = enforce
	}
	return []wire.Node{wire.Texts("SecurityGroupIds", "member", ids), wire.Opt("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", b.enforce)}, nil
}

// describeCapacity says that no capacity is reserved. Reserving some is not modelled.
func (s *Service) describeCapacity(q *request) ([]wire.Node, error) {
	if s.balancer(q.Str("LoadBalancerArn")) == nil {
		return nil, missing(q.Str("LoadBalancerArn"))
	}
	return []wire.Node{wire.Text("DecreaseRequestsRemaining", 2), wire.Elem("CapacityReservationState")}, nil
}

// attributesOf finds the attributes of the load balancer, target group or listener that a call names.
func (s *Service) attributesOf(q *request) (map[string]string, error) {
	for _, name := range []string{"LoadBalancerArn", "TargetGroupArn", "ListenerArn"} {
		arn := q.Str(name)
		if b := s.balancer(arn); b != nil {
			return b.attributes, nil
		}
		if g := s.group(arn); g != nil {
			return g.attributes, nil
		}
		if l := s.listener(arn); l != nil {
			return l.attributes, nil
		}
		if arn != "" {
			return nil, missing(arn)
		}
	}
	return nil, bad("ValidationError", "An ARN is required")
}

func attributeNodes(attributes map[string]string) wire.Node {
	keys := make([]string, 0, len(attributes))
	for k := range attributes {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return wire.List("Attributes", "member", keys, func(k string) []wire.Node {
		return []wire.Node{wire.Text("Key", k), wire.Text("Value", attributes[k])}
	})
}

func (s *Service) describeAttributes(q *request) ([]wire.Node, error) {
	a, err := s.attributesOf(q)
	if err != nil {
		return nil, err
	}
	return []wire.Node{attributeNodes(a)}, nil
}

func (s *Service) modifyAttributes(q *request) ([]wire.Node, error) {
	a, err := s.attributesOf(q)
	if err != nil {
		return nil, err
	}
	for _, x := range q.Structs("Attributes") {
		if _, ok := a[x.Str("Key")]; !ok {
			return nil, bad("InvalidConfigurationRequest", "Load balancer attribute key '%s' is not recognized", x.Str("Key"))
		}
		if x.Str("Key") == "access_logs.s3.enabled" && x.Str("Value") == "true" {
			return nil, gate.NotImplemented("access logs of a load balancer")
		}
	}
	for _, x := range q.Structs("Attributes") {
		a[x.Str("Key")] = x.Str("Value")
	}
	return []wire.Node{attributeNodes(a)}, nil
}
