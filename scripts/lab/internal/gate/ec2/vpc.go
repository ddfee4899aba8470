package ec2

import (
	"encoding/binary"
	"net/http"
	"net/netip"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/catalog"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

type vpc struct {
	id, association, tenancy string
	cidr                     netip.Prefix
	dnsSupport, dnsHostnames bool
	usageMetrics             bool
	acl                      string // the default network ACL
	group                    string // the default security group
}

type subnet struct {
	id, vpc                         string
	zone                            catalog.Zone
	cidr                            netip.Prefix
	mapPublic, dns64, dnsA, dnsAAAA bool
	hostname                        string
	aclAssociation                  string
}

type internetGateway struct{ id, vpc string }

func init() {
	register(map[string]action{
		"CreateVpc":            {"CidrBlock InstanceTenancy AmazonProvidedIpv6CidrBlock TagSpecification", createVpc, created("vpc")},
		"DescribeVpcs":         {"VpcId Filter MaxResults NextToken", describeVpcs, nil},
		"DeleteVpc":            {"VpcId", deleteVpc, named("VpcId")},
		"ModifyVpcAttribute":   {"VpcId EnableDnsHostnames EnableDnsSupport EnableNetworkAddressUsageMetrics", modifyVpcAttribute, named("VpcId")},
		"DescribeVpcAttribute": {"VpcId Attribute", describeVpcAttribute, named("VpcId")},
		"DescribeNetworkAcls":  {"NetworkAclId Filter MaxResults NextToken", describeNetworkAcls, nil},
		"CreateSubnet": {"VpcId CidrBlock AvailabilityZone AvailabilityZoneId Ipv6Native TagSpecification", createSubnet,
			created("subnet", "VpcId")},
		"DescribeSubnets": {"SubnetId Filter MaxResults NextToken", describeSubnets, nil},
		"DeleteSubnet":    {"SubnetId", deleteSubnet, named("SubnetId")},
		"ModifySubnetAttribute": {"SubnetId MapPublicIpOnLaunch EnableDns64 EnableResourceNameDnsARecordOnLaunch " +
			"EnableResourceNameDnsAAAARecordOnLaunch PrivateDnsHostnameTypeOnLaunch AssignIpv6AddressOnCreation", modifySubnetAttribute, named("SubnetId")},
		"CreateInternetGateway":    {"TagSpecification", createInternetGateway, created("internet-gateway")},
		"DescribeInternetGateways": {"InternetGatewayId Filter MaxResults NextToken", describeInternetGateways, nil},
		"AttachInternetGateway":    {"InternetGatewayId VpcId", attachInternetGateway, named("InternetGatewayId", "VpcId")},
		"DetachInternetGateway":    {"InternetGatewayId VpcId", detachInternetGateway, named("InternetGatewayId", "VpcId")},
		"DeleteInternetGateway":    {"InternetGatewayId", deleteInternetGateway, named("InternetGatewayId")},
	})
}

var (
	noVpc     = notFound("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist")
	noSubnet  = notFound("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist")
	noGateway = notFound("InvalidInternetGatewayID.NotFound", "The internetGateway ID '%s' does not exist")
	noACL     = notFound("InvalidNetworkAclID.NotFound", "The networkAcl ID '%s' does not exist")
)

func (q *request) vpc(id string) (*vpc, error) {
	if v, ok := q.r.vpcs.get(id); ok {
		return v, nil
	}
	return nil, noVpc(id)
}

// cidr parses an IPv4 block of /16 to /28. Host bits that are set are dropped, as EC2 does.
func cidr(parameter, value, rangeCode string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(value)
	if err != nil || !p.Addr().Is4() {
		return p, gate.Errorf(http.StatusBadRequest, "InvalidParameterValue",
			"Value (%s) for parameter %s is invalid. This is not a valid CIDR block.", value, parameter)
	}
	if p.Bits() < 16 || p.Bits() > 28 {
		return p, gate.Errorf(http.StatusBadRequest, rangeCode, "The CIDR '%s' is invalid.", value)
	}
	return p.Masked(), nil
}

func createVpc(q *request) ([]wire.Node, error) {
	tags, err := q.specTags("vpc")
	if err != nil {
		return nil, err
	}
	if q.Bool("AmazonProvidedIpv6CidrBlock", false) {
		return nil, gate.NotImplemented("an IPv6 block for a VPC")
	}
	if q.Str("CidrBlock") == "" {
		return nil, missing("cidrBlock")
	}
	block, err := cidr("cidrBlock", q.Str("CidrBlock"), "InvalidVpc.Range")
	if err != nil {
		return nil, err
	}
	v := &vpc{id: wire.HexID("vpc-"), association: wire.HexID("vpc-cidr-assoc-"), cidr: block, dnsSupport: true,
		tenancy: q.Str("InstanceTenancy"), acl: wire.HexID("acl-")}
	if v.tenancy == "" {
		v.tenancy = "default"
	}
	q.r.vpcs.put(v.id, v)
	q.setTags(v.id, tags["vpc"])
	q.newRouteTable(v, true)
	v.group = q.newGroup(v.id, "default", "default VPC security group", true).id
	return nodes(wire.Elem("vpc", q.vpcNodes(v)...)), nil
}

func (q *request) vpcNodes(v *vpc) []wire.Node {
	return nodes(wire.Text("vpcId", v.id), wire.Text("ownerId", q.s.g.AccountID()), wire.Text("state", "available"),
		wire.Text("cidrBlock", v.cidr.String()),
		wire.Elem("cidrBlockAssociationSet", wire.Elem("item", wire.Text("cidrBlock", v.cidr.String()),
			wire.Text("associationId", v.association), wire.Elem("cidrBlockState", wire.Text("state", "associated")))),
		wire.Text("dhcpOptionsId", q.r.dhcpOptions), q.tagSet(v.id), wire.Text("instanceTenancy", v.tenancy),
		wire.Text("isDefault", false))
}

func describeVpcs(q *request) ([]wire.Node, error) {
	all, err := selected(&q.r.vpcs, q.Strings("VpcId"), noVpc)
	if err != nil {
		return nil, err
	}
	all, err = filtered(q, all, func(v *vpc) string { return v.id }, func(v *vpc, name string) ([]string, bool) {
		switch name {
		case "vpc-id":
			return []string{v.id}, true
		case "cidr", "cidr-block-association.cidr-block":
			return []string{v.cidr.String()}, true
		case "state":
			return []string{"available"}, true
		case "is-default", "isDefault":
			return yesNo(false), true
		case "owner-id":
			return []string{q.s.g.AccountID()}, true
		case "dhcp-options-id":
			return []string{q.r.dhcpOptions}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("vpcSet", "item", all, q.vpcNodes)), nil
}

func deleteVpc(q *request) ([]wire.Node, error) {
	v, err := q.vpc(q.Str("VpcId"))
	if err != nil {
		return nil, err
	}
	refuse := dependency("The vpc '%s' has dependencies and cannot be deleted.", v.id)
	for _, s := range q.r.subnets.all() {
		if s.vpc == v.id {
			return nil, refuse
		}
	}
	for _, g := range q.r.gateways.all() {
		if g.vpc == v.id {
			return nil, refuse
		}
	}
	for _, g := range q.r.groups.all() {
		if g.vpc == v.id && g.id != v.group {
			return nil, refuse
		}
	}
	for _, e := range q.r.endpoints.all() {
		if e.vpc == v.id {
			return nil, refuse
		}
	}
	var main string
	for _, t := range q.r.routeTables.all() {
		if t.vpc != v.id {
			continue
		}
		if !t.main() {
			return nil, refuse
		}
		main = t.id
	}
	q.r.routeTables.remove(main)
	q.dropGroup(v.group)
	for _, id := range []string{v.id, main, v.acl} {
		delete(q.s.tags, id)
	}
	q.r.vpcs.remove(v.id)
	return returnTrue, nil
}

func modifyVpcAttribute(q *request) ([]wire.Node, error) {
	v, err := q.vpc(q.Str("VpcId"))
	if err != nil {
		return nil, err
	}
	hostnames := q.Bool("EnableDnsHostnames.Value", v.dnsHostnames)
	support := q.Bool("EnableDnsSupport.Value", v.dnsSupport)
	if hostnames && !support {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidParameterCombination",
			"The parameter enableDnsHostnames cannot be used with the parameter enableDnsSupport")
	}
	v.dnsHostnames, v.dnsSupport = hostnames, support
	v.usageMetrics = q.Bool("EnableNetworkAddressUsageMetrics.Value", v.usageMetrics)
	return returnTrue, nil
}

func describeVpcAttribute(q *request) ([]wire.Node, error) {
	v, err := q.vpc(q.Str("VpcId"))
	if err != nil {
		return nil, err
	}
	name := q.Str("Attribute")
	value, ok := map[string]bool{"enableDnsSupport": v.dnsSupport, "enableDnsHostnames": v.dnsHostnames,
		"enableNetworkAddressUsageMetrics": v.usageMetrics}[name]
	if !ok {
		return nil, invalid("Value (%s) for parameter attribute is invalid. Unknown attribute.", name)
	}
	return nodes(wire.Text("vpcId", v.id), wire.Elem(name, wire.Text("value", value))), nil
}

// describeNetworkAcls answers with the default ACL of each VPC, which lets everything through.
func describeNetworkAcls(q *request) ([]wire.Node, error) {
	all := q.r.vpcs.all()
	for _, id := range q.Strings("NetworkAclId") {
		found := false
		for _, v := range all {
			if v.acl == id {
				all, found = []*vpc{v}, true
			}
		}
		if !found {
			return nil, noACL(id)
		}
	}
	associated := func(v *vpc) []*subnet {
		var out []*subnet
		for _, s := range q.r.subnets.all() {
			if s.vpc == v.id {
				out = append(out, s)
			}
		}
		return out
	}
	all, err := filtered(q, all, func(v *vpc) string { return v.acl }, func(v *vpc, name string) ([]string, bool) {
		switch name {
		case "vpc-id":
			return []string{v.id}, true
		case "default":
			return yesNo(true), true
		case "network-acl-id":
			return []string{v.acl}, true
		case "association.subnet-id":
			var ids []string
			for _, s := range associated(v) {
				ids = append(ids, s.id)
			}
			return ids, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	entry := func(number int, egress bool, ruleAction string) wire.Node {
		return wire.Elem("item", wire.Text("ruleNumber", number), wire.Text("protocol", "-1"), wire.Text("ruleAction", ruleAction),
			wire.Text("egress", egress), wire.Text("cidrBlock", "0.0.0.0/0"))
	}
	return nodes(wire.List("networkAclSet", "item", all, func(v *vpc) []wire.Node {
		return nodes(wire.Text("networkAclId", v.acl), wire.Text("vpcId", v.id), wire.Text("default", true),
			wire.Text("ownerId", q.s.g.AccountID()),
			wire.Elem("entrySet", entry(100, true, "allow"), entry(32767, true, "deny"), entry(100, false, "allow"), entry(32767, false, "deny")),
			wire.List("associationSet", "item", associated(v), func(s *subnet) []wire.Node {
				return nodes(wire.Text("networkAclAssociationId", s.aclAssociation), wire.Text("networkAclId", v.acl), wire.Text("subnetId", s.id))
			}), q.tagSet(v.acl))
	})), nil
}

func createSubnet(q *request) ([]wire.Node, error) {
	tags, err := q.specTags("subnet")
	if err != nil {
		return nil, err
	}
	v, err := q.vpc(q.Str("VpcId"))
	if err != nil {
		return nil, err
	}
	if q.Bool("Ipv6Native", false) {
		return nil, gate.NotImplemented("an IPv6-only subnet")
	}
	block, err := cidr("cidrBlock", q.Str("CidrBlock"), "InvalidSubnet.Range")
	if err != nil {
		return nil, err
	}
	if !v.cidr.Contains(block.Addr()) || block.Bits() < v.cidr.Bits() {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidSubnet.Range", "The CIDR '%s' is invalid.", block)
	}
	for _, s := range q.r.subnets.all() {
		if s.vpc == v.id && s.cidr.Overlaps(block) {
			return nil, gate.Errorf(http.StatusBadRequest, "InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", block)
		}
	}
	want := q.Str("AvailabilityZone") + q.Str("AvailabilityZoneId")
	zone := catalog.Zones(q.r.name)[0]
	if want != "" {
		var ok bool
		if zone, ok = catalog.FindZone(q.r.name, want); !ok {
			return nil, invalid("Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.",
				want, strings.Join(zoneNames(q.r.name), ", "))
		}
	}
	s := &subnet{id: wire.HexID("subnet-"), vpc: v.id, zone: zone, cidr: block, hostname: "ip-name", aclAssociation: wire.HexID("aclassoc-")}
	q.r.subnets.put(s.id, s)
	q.setTags(s.id, tags["subnet"])
	return nodes(wire.Elem("subnet", q.subnetNodes(s)...)), nil
}

func zoneNames(region string) []string {
	var out []string
	for _, z := range catalog.Zones(region) {
		out = append(out, z.Name)
	}
	return out
}

// free counts the subnet's addresses that are left: five are AWS's own.
func (q *request) free(s *subnet) int {
	n := 1<<(32-s.cidr.Bits()) - 5 - q.interfacesIn(s.id)
	for _, i := range q.r.instances.all() {
		if i.subnet == s.id && i.state != stateTerminated {
			n--
		}
	}
	return n
}

// pick returns the lowest free address of the subnet; the first four and the last are AWS's own.
func (q *request) pick(s *subnet) (string, error) {
	used := map[string]bool{}
	for _, i := range q.r.instances.all() {
		if i.subnet == s.id && i.state != stateTerminated {
			used[i.privateIP] = true
		}
	}
	for _, e := range q.r.interfaces.all() {
		used[e.privateIP] = used[e.privateIP] || e.subnet == s.id
	}
	base := s.cidr.Addr().As4()
	start := binary.BigEndian.Uint32(base[:])
	size := uint32(1) << (32 - s.cidr.Bits())
	for n := uint32(4); n < size-1; n++ {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], start+n)
		if ip := netip.AddrFrom4(b).String(); !used[ip] {
			return ip, nil
		}
	}
	return "", gate.Errorf(http.StatusBadRequest, "InsufficientFreeAddressesInSubnet",
		"There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", s.id)
}

func (q *request) subnetNodes(s *subnet) []wire.Node {
	return nodes(wire.Text("subnetId", s.id), wire.Text("subnetArn", q.arn("subnet/"+s.id)), wire.Text("state", "available"),
		wire.Text("ownerId", q.s.g.AccountID()), wire.Text("vpcId", s.vpc), wire.Text("cidrBlock", s.cidr.String()),
		wire.Elem("ipv6CidrBlockAssociationSet"), wire.Text("availableIpAddressCount", q.free(s)),
		wire.Text("availabilityZone", s.zone.Name), wire.Text("availabilityZoneId", s.zone.ID), wire.Text("defaultForAz", false),
		wire.Text("mapPublicIpOnLaunch", s.mapPublic), wire.Text("mapCustomerOwnedIpOnLaunch", false),
		wire.Text("assignIpv6AddressOnCreation", false), wire.Text("enableDns64", s.dns64), wire.Text("ipv6Native", false),
		wire.Elem("privateDnsNameOptionsOnLaunch", wire.Text("hostnameType", s.hostname),
			wire.Text("enableResourceNameDnsARecord", s.dnsA), wire.Text("enableResourceNameDnsAAAARecord", s.dnsAAAA)),
		q.tagSet(s.id))
}

func describeSubnets(q *request) ([]wire.Node, error) {
	all, err := selected(&q.r.subnets, q.Strings("SubnetId"), noSubnet)
	if err != nil {
		return nil, err
	}
	all, err = filtered(q, all, func(s *subnet) string { return s.id }, func(s *subnet, name string) ([]string, bool) {
		switch name {
		case "subnet-id":
			return []string{s.id}, true
		case "vpc-id":
			return []string{s.vpc}, true
		case "cidr-block", "cidr", "cidrBlock":
			return []string{s.cidr.String()}, true
		case "availability-zone", "availabilityZone":
			return []string{s.zone.Name}, true
		case "availability-zone-id", "availabilityZoneId":
			return []string{s.zone.ID}, true
		case "state":
			return []string{"available"}, true
		case "default-for-az", "defaultForAz":
			return yesNo(false), true
		case "map-public-ip-on-launch":
			return yesNo(s.mapPublic), true
		case "owner-id":
			return []string{q.s.g.AccountID()}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("subnetSet", "item", all, q.subnetNodes)), nil
}

func deleteSubnet(q *request) ([]wire.Node, error) {
	s, ok := q.r.subnets.get(q.Str("SubnetId"))
	if !ok {
		return nil, noSubnet(q.Str("SubnetId"))
	}
	if q.s.holds[s.id] > 0 || q.interfacesIn(s.id) > 0 {
		return nil, dependency("The subnet '%s' has dependencies and cannot be deleted.", s.id)
	}
	for _, i := range q.r.instances.all() {
		if i.subnet == s.id && i.state != stateTerminated {
			return nil, dependency("The subnet '%s' has dependencies and cannot be deleted.", s.id)
		}
	}
	for _, t := range q.r.routeTables.all() {
		for id, a := range t.associations.m {
			if a.subnet == s.id {
				t.associations.remove(id)
			}
		}
	}
	q.r.subnets.remove(s.id)
	delete(q.s.tags, s.id)
	return returnTrue, nil
}

func modifySubnetAttribute(q *request) ([]wire.Node, error) {
	s, ok := q.r.subnets.get(q.Str("SubnetId"))
	if !ok {
		return nil, noSubnet(q.Str("SubnetId"))
	}
	if q.Bool("AssignIpv6AddressOnCreation.Value", false) {
		return nil, gate.NotImplemented("IPv6 addresses in a subnet")
	}
	s.mapPublic = q.Bool("MapPublicIpOnLaunch.Value", s.mapPublic)
	s.dns64 = q.Bool("EnableDns64.Value", s.dns64)
	s.dnsA = q.Bool("EnableResourceNameDnsARecordOnLaunch.Value", s.dnsA)
	s.dnsAAAA = q.Bool("EnableResourceNameDnsAAAARecordOnLaunch.Value", s.dnsAAAA)
	if v := q.Str("PrivateDnsHostnameTypeOnLaunch"); v != "" {
		s.hostname = v
	}
	return returnTrue, nil
}

func createInternetGateway(q *request) ([]wire.Node, error) {
	tags, err := q.specTags("internet-gateway")
	if err != nil {
		return nil, err
	}
	g := &internetGateway{id: wire.HexID("igw-")}
	q.r.gateways.put(g.id, g)
	q.setTags(g.id, tags["internet-gateway"])
	return nodes(wire.Elem("internetGateway", q.gatewayNodes(g)...)), nil
}

func (q *request) gatewayNodes(g *internetGateway) []wire.Node {
	attachments := wire.Elem("attachmentSet")
	if g.vpc != "" {
		attachments = wire.Elem("attachmentSet", wire.Elem("item", wire.Text("vpcId", g.vpc), wire.Text("state", "available")))
	}
	return nodes(wire.Text("internetGatewayId", g.id), attachments, wire.Text("ownerId", q.s.g.AccountID()), q.tagSet(g.id))
}

func describeInternetGateways(q *request) ([]wire.Node, error) {
	all, err := selected(&q.r.gateways, q.Strings("InternetGatewayId"), noGateway)
	if err != nil {
		return nil, err
	}
	all, err = filtered(q, all, func(g *internetGateway) string { return g.id }, func(g *internetGateway, name string) ([]string, bool) {
		switch name {
		case "internet-gateway-id":
			return []string{g.id}, true
		case "attachment.vpc-id":
			if g.vpc == "" {
				return nil, true
			}
			return []string{g.vpc}, true
		case "attachment.state":
			if g.vpc == "" {
				return nil, true
			}
			return []string{"available"}, true
		case "owner-id":
			return []string{q.s.g.AccountID()}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("internetGatewaySet", "item", all, q.gatewayNodes)), nil
}

func attachInternetGateway(q *request) ([]wire.Node, error) {
	g, ok := q.r.gateways.get(q.Str("InternetGatewayId"))
	if !ok {
		return nil, noGateway(q.Str("InternetGatewayId"))
	}
	v, err := q.vpc(q.Str("VpcId"))
	if err != nil {
		return nil, err
	}
	if g.vpc != "" {
		return nil, gate.Errorf(http.StatusBadRequest, "Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.id, g.vpc)
	}
	if q.gatewayOf(v.id) != nil {
		return nil, invalid("Network %s already has an internet gateway attached", v.id)
	}
	g.vpc = v.id
	return returnTrue, nil
}

func (q *request) gatewayOf(vpc string) *internetGateway {
	for _, g := range q.r.gateways.all() {
		if g.vpc == vpc {
			return g
		}
	}
	return nil
}

func detachInternetGateway(q *request) ([]wire.Node, error) {
	g, ok := q.r.gateways.get(q.Str("InternetGatewayId"))
	if !ok {
		return nil, noGateway(q.Str("InternetGatewayId"))
	}
	if g.vpc == "" || g.vpc != q.Str("VpcId") {
		return nil, gate.Errorf(http.StatusBadRequest, "Gateway.NotAttached", "resource %s is not attached to network %s", g.id, q.Str("VpcId"))
	}
	for _, i := range q.r.instances.all() {
		if i.vpc == g.vpc && i.publicIP != "" && i.state != stateTerminated {
			return nil, dependency("Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.", g.vpc)
		}
	}
	for _, n := range q.r.nats.all() {
		if n.vpc == g.vpc && n.publicIP != "" && n.working() {
			return nil, dependency("Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.", g.vpc)
		}
	}
	g.vpc = ""
	return returnTrue, nil
}

func deleteInternetGateway(q *request) ([]wire.Node, error) {
	g, ok := q.r.gateways.get(q.Str("InternetGatewayId"))
	if !ok {
		return nil, noGateway(q.Str("InternetGatewayId"))
	}
	if g.vpc != "" {
		return nil, dependency("The internetGateway '%s' has dependencies and cannot be deleted.", g.id)
	}
	q.r.gateways.remove(g.id)
	delete(q.s.tags, g.id)
	return returnTrue, nil
}
