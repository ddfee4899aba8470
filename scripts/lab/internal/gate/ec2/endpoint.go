package ec2

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// endpoint is a VPC endpoint of one of AWS's services.
type endpoint struct {
	id, vpc, service, kind, token string
	policy, dnsRecords            string
	tables, groups                []string
	interfaces                    []*serviceInterface // one a subnet
	privateDNS                    bool
	created                       time.Time
}

const (
	gatewayType   = "Gateway"
	interfaceType = "Interface"
)

// endpointServices are the services that the lab knows endpoints of, with the endpoints' types.
var endpointServices = map[string][]string{
	"s3": {gatewayType, interfaceType}, "dynamodb": {gatewayType, interfaceType},
	"ssm": {interfaceType}, "ssmmessages": {interfaceType}, "ec2messages": {interfaceType}, "sts": {interfaceType}, "ec2": {interfaceType},
	"ecr.api": {interfaceType}, "ecr.dkr": {interfaceType}, "kms": {interfaceType}, "logs": {interfaceType}, "secretsmanager": {interfaceType},
	"elasticloadbalancing": {interfaceType},
}

// since2024 are regions that AWS has opened since 2024, in which there is no ec2messages
// (https://docs.aws.amazon.com/systems-manager/latest/userguide/setup-create-vpc.html).
var since2024 = []string{"ap-southeast-5", "mx-central-1", "ap-southeast-7", "ap-east-2", "ap-southeast-6", "eusc-de-east-1"}

// The policies that endpoints have where none is given, as EC2 spells them.
const (
	openGateway   = `{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`
	openInterface = `{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}]}`
)

// vpceZones are the hosted zones of interface endpoints' own names (vpce.amazonaws.com) in a few regions.
var vpceZones = map[string]string{"eu-central-1": "Z273ZU8SZ5RJPC", "us-east-1": "Z7HUB22UULQXV"}

// prefixes are the lists of a service's addresses that routes to gateway endpoints name, in a few regions.
var prefixes = map[string]string{
	"com.amazonaws.eu-central-1.s3": "pl-6ea54007", "com.amazonaws.eu-central-1.dynamodb": "pl-66a5400f",
	"com.amazonaws.us-east-1.s3": "pl-63a5400a", "com.amazonaws.us-east-1.dynamodb": "pl-02cd2c6b",
}

// prefixList returns the id of a service's list; in regions not listed above it is the lab's own.
func prefixList(service string) string {
	if id, ok := prefixes[service]; ok {
		return id
	}
	var sum uint32
	for _, b := range []byte(service) {
		sum = sum*16777619 ^ uint32(b)
	}
	const digits = "0123456789abcdef"
	id := make([]byte, 8)
	for i := range id {
		id[i] = digits[sum>>(4*i)&15]
	}
	return "pl-" + string(id)
}

func init() {
	const change = "AddRouteTableId RemoveRouteTableId AddSubnetId RemoveSubnetId AddSecurityGroupId RemoveSecurityGroupId"
	register(map[string]action{
		"CreateVpcEndpoint": {"VpcId ServiceName ServiceRegion VpcEndpointType RouteTableId SubnetId SecurityGroupId PolicyDocument PrivateDnsEnabled " +
			"IpAddressType DnsOptions ClientToken TagSpecification", createVpcEndpoint, endpointResources},
		"DescribeVpcEndpoints": {"VpcEndpointId Filter MaxResults NextToken", describeVpcEndpoints, nil},
		"ModifyVpcEndpoint": {"VpcEndpointId PolicyDocument ResetPolicy PrivateDnsEnabled IpAddressType DnsOptions " + change, modifyVpcEndpoint,
			named("VpcEndpointId", "AddRouteTableId", "RemoveRouteTableId", "AddSubnetId", "RemoveSubnetId", "AddSecurityGroupId", "RemoveSecurityGroupId")},
		"DeleteVpcEndpoints":  {"VpcEndpointId", deleteVpcEndpoints, named("VpcEndpointId")},
		"DescribePrefixLists": {"PrefixListId Filter MaxResults NextToken", describePrefixLists, nil},
	})
}

func endpointResources(q *request) []string {
	return append([]string{"vpc-endpoint/*"}, named("VpcId", "RouteTableId", "SubnetId", "SecurityGroupId")(q)...)
}

var noEndpoint = notFound("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist")

func parameter(format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, "InvalidParameter", format, args...)
}

// short is the service's part of an endpoint service's name in the request's region.
func (q *request) short(service string) (string, bool) {
	return strings.CutPrefix(service, "com.amazonaws."+q.r.name+".")
}

func createVpcEndpoint(q *request) ([]wire.Node, error) {
	tags, err := q.specTags("vpc-endpoint")
	if err != nil {
		return nil, err
	}
	if token := q.Str("ClientToken"); token != "" {
		for _, e := range q.r.endpoints.all() {
			if e.token == token {
				return nodes(wire.Elem("vpcEndpoint", q.endpointNodes(e)...), wire.Text("clientToken", token)), nil
			}
		}
	}
	v, err := q.vpc(q.Str("VpcId"))
	if err != nil {
		return nil, err
	}
	e := &endpoint{id: wire.HexID("vpce-"), vpc: v.id, service: q.Str("ServiceName"), kind: q.Str("VpcEndpointType"), token: q.Str("ClientToken"), created: q.now()}
	if e.kind == "" {
		e.kind = gatewayType
	}
	if region := q.Str("ServiceRegion"); region != "" && region != q.r.name {
		return nil, gate.NotImplemented("an endpoint of another region's service")
	}
	short, ok := q.short(e.service)
	types := endpointServices[short]
	switch {
	case e.service == "":
		return nil, missing("ServiceName")
	case !ok || types == nil || short == "ec2messages" && slices.Contains(since2024, q.r.name):
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", e.service)
	case !slices.Contains(types, e.kind):
		return nil, parameter("Endpoint type (%s) does not match available service types ([%s]).", e.kind, strings.Join(types, ", "))
	}
	e.policy, e.dnsRecords = openGateway, "service-defined"
	if e.kind == interfaceType {
		e.policy, e.dnsRecords = openInterface, "ipv4"
	}
	if err := q.changeEndpoint(e, "", e.kind == interfaceType); err != nil {
		for _, eni := range e.interfaces {
			q.r.interfaces.remove(eni.id)
		}
		return nil, err
	}
	q.r.endpoints.put(e.id, e)
	q.setTags(e.id, tags["vpc-endpoint"])
	return nodes(wire.Elem("vpcEndpoint", q.endpointNodes(e)...), wire.Opt("clientToken", e.token)), nil
}

// changeEndpoint checks what a call says of an endpoint and takes it over. prefix is what the names of the lists to add
// begin with; private DNS is off unless the call says else, or on by default where initial is set, as in EC2.
func (q *request) changeEndpoint(e *endpoint, prefix string, initial bool) error {
	tables, subnets, groups := q.Strings(prefix+"RouteTableId"), q.Strings(prefix+"SubnetId"), q.Strings(prefix+"SecurityGroupId")
	if t := q.Str("IpAddressType"); t != "" && t != "ipv4" {
		return gate.NotImplemented("IPv6 addresses of an endpoint")
	}
	if q.Bool("DnsOptions.PrivateDnsOnlyForInboundResolverEndpoint", false) {
		return gate.NotImplemented("private DNS for inbound resolver endpoints only")
	}
	switch {
	case e.kind == gatewayType && len(subnets) > 0:
		return parameter("Subnets cannot be specified for Gateway Vpc endpoints.")
	case e.kind == gatewayType && len(groups) > 0:
		return parameter("Security groups cannot be specified for Gateway Vpc endpoints.")
	case e.kind == gatewayType && q.Bool("PrivateDnsEnabled", false):
		return parameter("Private DNS can't be enabled for Gateway Vpc endpoints.")
	case e.kind == interfaceType && len(tables) > 0:
		return parameter("Route table IDs are only supported for Gateway type VPC Endpoint.")
	}
	if d := q.Str("PolicyDocument"); d != "" {
		e.policy = d
	}
	if r := q.Str("DnsOptions.DnsRecordIpType"); r != "" {
		if r != "ipv4" && (e.kind != gatewayType || r != "service-defined") {
			return gate.NotImplemented("DNS records of type " + r + " for an endpoint")
		}
		e.dnsRecords = r
	}
	if e.kind == gatewayType {
		return q.addTables(e, tables)
	}
	private := q.Bool("PrivateDnsEnabled", e.privateDNS || initial)
	if err := q.checkPrivateDNS(e, private); err != nil {
		return err
	}
	e.privateDNS = private
	return q.addSubnets(e, subnets, groups)
}

func (q *request) addTables(e *endpoint, ids []string) error {
	for _, id := range ids {
		t, err := q.table(id)
		if err != nil {
			return err
		}
		if t.vpc != e.vpc {
			return parameter("Route table %s does not belong to VPC %s.", id, e.vpc)
		}
		for _, other := range q.r.endpoints.all() {
			if other != e && other.service == e.service && slices.Contains(other.tables, id) {
				return gate.Errorf(http.StatusBadRequest, "RouteAlreadyExists", "route table %s already has a route with destination-prefix-list-id %s",
					id, prefixList(e.service))
			}
		}
		if !slices.Contains(e.tables, id) {
			e.tables = append(e.tables, id)
		}
	}
	return nil
}

func (q *request) checkPrivateDNS(e *endpoint, on bool) error {
	if !on {
		return nil
	}
	if v, ok := q.r.vpcs.get(e.vpc); ok && (!v.dnsSupport || !v.dnsHostnames) {
		return parameter("Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for %s", e.vpc)
	}
	for _, other := range q.r.endpoints.all() {
		if other != e && other.vpc == e.vpc && other.service == e.service && other.privateDNS {
			return parameter("private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s in the VPC %s",
				q.privateName(e), e.vpc)
		}
	}
	return nil
}

// addSubnets puts interfaces into subnets, and security groups on all of the endpoint's interfaces.
func (q *request) addSubnets(e *endpoint, subnets, groups []string) error {
	for _, id := range groups {
		g, err := q.group(id)
		if err != nil {
			return err
		}
		if g.vpc != e.vpc {
			return parameter("Security group %s does not belong to VPC %s.", id, e.vpc)
		}
		if !slices.Contains(e.groups, id) {
			e.groups = append(e.groups, id)
		}
	}
	if v, ok := q.r.vpcs.get(e.vpc); ok && len(e.groups) == 0 {
		e.groups = []string{v.group}
	}
	for _, id := range subnets {
		s, ok := q.r.subnets.get(id)
		if !ok {
			return noSubnet(id)
		}
		if s.vpc != e.vpc {
			return parameter("Subnet %s does not belong to VPC %s.", id, e.vpc)
		}
		for _, other := range e.interfaces {
			if other.zone == s.zone.Name {
				return gate.Errorf(http.StatusBadRequest, "DuplicateSubnetsInSameZone", "Found another VPC endpoint subnet in the availability zone of %s", id)
			}
		}
		eni, err := q.newInterface(s, "vpc_endpoint", "VPC Endpoint Interface "+e.id, nil)
		if err != nil {
			return err
		}
		e.interfaces = append(e.interfaces, eni)
	}
	for _, eni := range e.interfaces {
		eni.groups = e.groups
	}
	return nil
}

func modifyVpcEndpoint(q *request) ([]wire.Node, error) {
	e, ok := q.r.endpoints.get(q.Str("VpcEndpointId"))
	if !ok {
		return nil, noEndpoint(q.Str("VpcEndpointId"))
	}
	without := func(have []string, list string) []string {
		gone := q.Strings(list)
		return slices.DeleteFunc(slices.Clone(have), func(id string) bool { return slices.Contains(gone, id) })
	}
	next := *e
	next.tables, next.groups = without(e.tables, "RemoveRouteTableId"), without(e.groups, "RemoveSecurityGroupId")
	subnets := q.Strings("RemoveSubnetId")
	next.interfaces = slices.DeleteFunc(slices.Clone(e.interfaces), func(eni *serviceInterface) bool { return slices.Contains(subnets, eni.subnet) })
	if q.Bool("ResetPolicy", false) {
		next.policy = map[string]string{gatewayType: openGateway, interfaceType: openInterface}[e.kind]
	}
	// Nothing of a refused call stays: the copy is dropped, and so are the interfaces that it made.
	before := slices.Clone(q.r.interfaces.ids)
	old := *e
	*e = next
	if err := q.changeEndpoint(e, "Add", false); err != nil {
		*e = old
		for _, id := range slices.Clone(q.r.interfaces.ids) {
			if !slices.Contains(before, id) {
				q.r.interfaces.remove(id)
			}
		}
		for _, eni := range e.interfaces {
			eni.groups = e.groups
		}
		return nil, err
	}
	for _, eni := range old.interfaces {
		if !slices.Contains(e.interfaces, eni) {
			q.r.interfaces.remove(eni.id)
		}
	}
	return returnTrue, nil
}

func deleteVpcEndpoints(q *request) ([]wire.Node, error) {
	ids := q.Strings("VpcEndpointId")
	if len(ids) == 0 {
		return nil, missing("VpcEndpointId")
	}
	var unknown []string
	for _, id := range ids {
		e, ok := q.r.endpoints.get(id)
		if !ok {
			unknown = append(unknown, id)
			continue
		}
		for _, eni := range e.interfaces {
			q.r.interfaces.remove(eni.id)
		}
		q.r.endpoints.remove(id)
		delete(q.s.tags, id)
	}
	return nodes(wire.List("unsuccessful", "item", unknown, func(id string) []wire.Node {
		return nodes(wire.Text("resourceId", id), wire.Elem("error", wire.Text("code", "InvalidVpcEndpoint.NotFound"),
			wire.Text("message", "The Vpc Endpoint Id '"+id+"' does not exist")))
	})), nil
}

// privateName is the service's own host name, which private DNS leads to the endpoint.
func (q *request) privateName(e *endpoint) string {
	short, _ := q.short(e.service)
	return short + "." + q.r.name + "." + gate.DNSSuffix
}

func (q *request) endpointNodes(e *endpoint) []wire.Node {
	type entry struct{ name, zone string }
	var names []entry
	var subnets, interfaces []string
	for _, eni := range e.interfaces {
		subnets, interfaces = append(subnets, eni.subnet), append(interfaces, eni.id)
	}
	if e.kind == interfaceType && len(e.interfaces) > 0 {
		short, _ := q.short(e.service)
		label := e.id + "-" + e.id[len(e.id)-8:]
		rest := "." + short + "." + q.r.name + ".vpce." + gate.DNSSuffix
		zone := vpceZones[q.r.name]
		if zone == "" {
			zone = "Z00000000000VPCE"
		}
		names = append(names, entry{label + rest, zone})
		for _, eni := range e.interfaces {
			names = append(names, entry{label + "-" + eni.zone + rest, zone})
		}
		if e.privateDNS {
			names = append(names, entry{q.privateName(e), "Z" + strings.ToUpper(e.id[len(e.id)-14:])})
		}
	}
	return nodes(wire.Text("vpcEndpointId", e.id), wire.Text("vpcEndpointType", e.kind), wire.Text("vpcId", e.vpc), wire.Text("serviceName", e.service),
		wire.Text("serviceRegion", q.r.name), wire.Text("state", "available"), wire.Text("policyDocument", e.policy),
		wire.Texts("routeTableIdSet", "item", e.tables),
		wire.Texts("subnetIdSet", "item", subnets),
		q.groupList(e.groups), wire.Text("ipAddressType", "ipv4"),
		wire.Elem("dnsOptions", wire.Text("dnsRecordIpType", e.dnsRecords), wire.Text("privateDnsOnlyForInboundResolverEndpoint", false)),
		wire.Text("privateDnsEnabled", e.privateDNS), wire.Text("requesterManaged", false),
		wire.Texts("networkInterfaceIdSet", "item", interfaces),
		wire.List("dnsEntrySet", "item", names, func(n entry) []wire.Node {
			return nodes(wire.Text("dnsName", n.name), wire.Text("hostedZoneId", n.zone))
		}),
		wire.Text("creationTimestamp", e.created), wire.Text("ownerId", q.s.g.AccountID()), q.tagSet(e.id))
}

func describeVpcEndpoints(q *request) ([]wire.Node, error) {
	all, err := selected(&q.r.endpoints, q.Strings("VpcEndpointId"), noEndpoint)
	if err != nil {
		return nil, err
	}
	all, err = filtered(q, all, func(e *endpoint) string { return e.id }, func(e *endpoint, name string) ([]string, bool) {
		switch name {
		case "vpc-endpoint-id":
			return []string{e.id}, true
		case "vpc-id":
			return []string{e.vpc}, true
		case "service-name":
			return []string{e.service}, true
		case "vpc-endpoint-type":
			return []string{e.kind}, true
		case "vpc-endpoint-state":
			return []string{"available"}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("vpcEndpointSet", "item", all, q.endpointNodes)), nil
}

// describePrefixLists lists the services that have gateway endpoints. Their addresses are documentation's
// (RFC 5737): nothing in the lab routes by them.
func describePrefixLists(q *request) ([]wire.Node, error) {
	var all table[string]
	for _, short := range []string{"dynamodb", "s3"} {
		name := "com.amazonaws." + q.r.name + "." + short
		all.put(prefixList(name), name)
	}
	names, err := selected(&all, q.Strings("PrefixListId"), notFound("InvalidPrefixListId.NotFound", "The prefix list ID '%s' does not exist"))
	if err != nil {
		return nil, err
	}
	names, err = filtered(q, names, prefixList, func(name, filter string) ([]string, bool) {
		switch filter {
		case "prefix-list-id":
			return []string{prefixList(name)}, true
		case "prefix-list-name":
			return []string{name}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("prefixListSet", "item", names, func(name string) []wire.Node {
		return nodes(wire.Text("prefixListId", prefixList(name)), wire.Text("prefixListName", name), wire.Texts("cidrSet", "item", []string{"198.51.100.0/24"}))
	})), nil
}

// endpointRoutes are the routes that gateway endpoints have put into a table.
func (q *request) endpointRoutes(table string) []route {
	var out []route
	for _, e := range q.r.endpoints.all() {
		if slices.Contains(e.tables, table) {
			out = append(out, route{prefixList: prefixList(e.service), gateway: e.id, origin: "CreateRoute"})
		}
	}
	return out
}
