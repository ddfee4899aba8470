package ec2

import (
	"net/http"
	"net/netip"
	"slices"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

type routeTable struct {
	id, vpc      string
	token        string // of the call that made it
	routes       []route
	associations table[*association]
}

// route of an IPv4 block to a gateway ("local" for the VPC's own), a NAT gateway or an instance's interface. One of a
// prefix list belongs to a gateway endpoint.
type route struct {
	destination, prefixList             string
	gateway, nat, instance, eni, origin string
}

// association of a table with a subnet; the main one has no subnet.
type association struct {
	id, table, subnet string
	main              bool
}

func (t *routeTable) main() bool {
	for _, a := range t.associations.m {
		if a.main {
			return true
		}
	}
	return false
}

func init() {
	const route = "RouteTableId DestinationCidrBlock GatewayId NatGatewayId InstanceId NetworkInterfaceId"
	register(map[string]action{
		"CreateRouteTable":             {"VpcId ClientToken TagSpecification", createRouteTable, created("route-table", "VpcId")},
		"DescribeRouteTables":          {"RouteTableId Filter MaxResults NextToken", describeRouteTables, nil},
		"DeleteRouteTable":             {"RouteTableId", deleteRouteTable, named("RouteTableId")},
		"CreateRoute":                  {route, createRoute, named("RouteTableId")},
		"ReplaceRoute":                 {route, replaceRoute, named("RouteTableId")},
		"DeleteRoute":                  {"RouteTableId DestinationCidrBlock", deleteRoute, named("RouteTableId")},
		"AssociateRouteTable":          {"RouteTableId SubnetId", associateRouteTable, named("RouteTableId", "SubnetId")},
		"ReplaceRouteTableAssociation": {"RouteTableId AssociationId", replaceRouteTableAssociation, named("RouteTableId")},
		"DisassociateRouteTable":       {"AssociationId", disassociateRouteTable, nil},
	})
}

var (
	noTable       = notFound("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist")
	noAssociation = notFound("InvalidAssociationID.NotFound", "The association ID '%s' does not exist")
)

func (q *request) table(id string) (*routeTable, error) {
	if t, ok := q.r.routeTables.get(id); ok {
		return t, nil
	}
	return nil, noTable(id)
}

func (q *request) newRouteTable(v *vpc, main bool) *routeTable {
	t := &routeTable{id: wire.HexID("rtb-"), vpc: v.id, routes: []route{{destination: v.cidr.String(), gateway: "local", origin: "CreateRouteTable"}}}
	if main {
		a := &association{id: wire.HexID("rtbassoc-"), table: t.id, main: true}
		t.associations.put(a.id, a)
	}
	q.r.routeTables.put(t.id, t)
	return t
}

func createRouteTable(q *request) ([]wire.Node, error) {
	tags, err := q.specTags("route-table")
	if err != nil {
		return nil, err
	}
	v, err := q.vpc(q.Str("VpcId"))
	if err != nil {
		return nil, err
	}
	token := q.Str("ClientToken")
	for _, t := range q.r.routeTables.all() {
		if token != "" && t.token == token {
			return nodes(wire.Elem("routeTable", q.tableNodes(t)...), wire.Text("clientToken", token)), nil
		}
	}
	t := q.newRouteTable(v, false)
	t.token = token
	q.setTags(t.id, tags["route-table"])
	return nodes(wire.Elem("routeTable", q.tableNodes(t)...)), nil
}

// state of a route: one to a detached or deleted target is a blackhole.
func (q *request) routeState(t *routeTable, r route) string {
	switch {
	case r.gateway == "local" || r.prefixList != "":
		return "active"
	case r.nat != "":
		if n, ok := q.r.nats.get(r.nat); ok && n.working() {
			return "active"
		}
	case r.gateway != "":
		if g, ok := q.r.gateways.get(r.gateway); ok && g.vpc == t.vpc {
			return "active"
		}
	case r.instance != "":
		if i, ok := q.r.instances.get(r.instance); ok && i.state == stateRunning {
			return "active"
		}
	}
	return "blackhole"
}

func (q *request) tableNodes(t *routeTable) []wire.Node {
	return nodes(wire.Text("routeTableId", t.id), wire.Text("vpcId", t.vpc), wire.Text("ownerId", q.s.g.AccountID()),
		wire.List("routeSet", "item", append(t.routes[:len(t.routes):len(t.routes)], q.endpointRoutes(t.id)...), func(r route) []wire.Node {
			owner := ""
			if r.instance != "" {
				owner = q.s.g.AccountID()
			}
			return nodes(wire.Opt("destinationCidrBlock", r.destination), wire.Opt("destinationPrefixListId", r.prefixList),
				wire.Opt("gatewayId", r.gateway), wire.Opt("natGatewayId", r.nat), wire.Opt("instanceId", r.instance),
				wire.Opt("instanceOwnerId", owner), wire.Opt("networkInterfaceId", r.eni), wire.Text("state", q.routeState(t, r)),
				wire.Text("origin", r.origin))
		}),
		wire.List("associationSet", "item", t.associations.all(), func(a *association) []wire.Node {
			return nodes(wire.Text("routeTableAssociationId", a.id), wire.Text("routeTableId", t.id), wire.Opt("subnetId", a.subnet),
				wire.Text("main", a.main), wire.Elem("associationState", wire.Text("state", "associated")))
		}),
		wire.Elem("propagatingVgwSet"), q.tagSet(t.id))
}

func describeRouteTables(q *request) ([]wire.Node, error) {
	all, err := selected(&q.r.routeTables, q.Strings("RouteTableId"), noTable)
	if err != nil {
		return nil, err
	}
	all, err = filtered(q, all, func(t *routeTable) string { return t.id }, func(t *routeTable, name string) ([]string, bool) {
		var out []string
		switch name {
		case "vpc-id":
			return []string{t.vpc}, true
		case "route-table-id", "association.route-table-id":
			return []string{t.id}, true
		case "owner-id":
			return []string{q.s.g.AccountID()}, true
		case "association.main":
			return yesNo(t.main()), true
		case "association.route-table-association-id":
			return t.associations.ids, true
		case "association.subnet-id":
			for _, a := range t.associations.all() {
				if a.subnet != "" {
					out = append(out, a.subnet)
				}
			}
			return out, true
		case "route.destination-cidr-block":
			for _, r := range t.routes {
				out = append(out, r.destination)
			}
			return out, true
		case "route.nat-gateway-id":
			for _, r := range t.routes {
				out = append(out, r.nat)
			}
			return out, true
		case "route.gateway-id":
			for _, r := range t.routes {
				out = append(out, r.gateway)
			}
			return out, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("routeTableSet", "item", all, q.tableNodes)), nil
}

func deleteRouteTable(q *request) ([]wire.Node, error) {
	t, err := q.table(q.Str("RouteTableId"))
	if err != nil {
		return nil, err
	}
	if len(t.associations.ids) > 0 {
		return nil, dependency("The routeTable '%s' has dependencies and cannot be deleted.", t.id)
	}
	for _, e := range q.r.endpoints.all() {
		e.tables = slices.DeleteFunc(e.tables, func(id string) bool { return id == t.id })
	}
	q.r.routeTables.remove(t.id)
	delete(q.s.tags, t.id)
	return returnTrue, nil
}

// parseRoute reads and checks a route for a table.
func (q *request) parseRoute(t *routeTable) (route, error) {
	p, err := netip.ParsePrefix(q.Str("DestinationCidrBlock"))
	if err != nil || !p.Addr().Is4() {
		return route{}, invalid("Value (%s) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block.", q.Str("DestinationCidrBlock"))
	}
	r := route{destination: p.Masked().String(), gateway: q.Str("GatewayId"), nat: q.Str("NatGatewayId"), instance: q.Str("InstanceId"), eni: q.Str("NetworkInterfaceId"), origin: "CreateRoute"}
	switch {
	case r.gateway != "" && r.gateway != "local":
		g, ok := q.r.gateways.get(r.gateway)
		if !ok {
			return r, noGateway(r.gateway)
		}
		if g.vpc != t.vpc {
			return r, invalid("route table %s and network gateway %s belong to different networks", t.id, g.id)
		}
	case r.nat != "":
		n, ok := q.r.nats.get(r.nat)
		if !ok {
			return r, noNatTarget(r.nat)
		}
		if n.vpc != t.vpc {
			return r, invalid("route table %s and network gateway %s belong to different networks", t.id, n.id)
		}
	case r.instance != "":
		i, ok := q.r.instances.get(r.instance)
		if !ok {
			return r, noInstance(r.instance)
		}
		r.eni = i.eni
	case r.eni != "":
		i := q.byENI(r.eni)
		if i == nil {
			return r, noENI(r.eni)
		}
		r.instance = i.id
	case r.gateway == "":
		return r, gate.Errorf(http.StatusBadRequest, "MissingParameter", "The request must contain exactly one of gatewayId, natGatewayId, networkInterfaceId, vpcPeeringConnectionId, egressOnlyInternetGatewayId, transitGatewayId, localGatewayId, carrierGatewayId, vpcEndpointId or coreNetworkArn")
	}
	return r, nil
}

func createRoute(q *request) ([]wire.Node, error) {
	t, err := q.table(q.Str("RouteTableId"))
	if err != nil {
		return nil, err
	}
	r, err := q.parseRoute(t)
	if err != nil {
		return nil, err
	}
	for i, old := range t.routes {
		if old.destination != r.destination {
			continue
		}
		if old.gateway == r.gateway && old.nat == r.nat && old.eni == r.eni {
			return returnTrue, nil // EC2 takes an identical route again
		}
		if q.routeState(t, old) == "blackhole" {
			t.routes[i] = r
			return returnTrue, nil
		}
		return nil, gate.Errorf(http.StatusBadRequest, "RouteAlreadyExists", "The route identified by %s already exists.", r.destination)
	}
	t.routes = append(t.routes, r)
	return returnTrue, nil
}

func noRoute(t *routeTable, destination string) error {
	return gate.Errorf(http.StatusBadRequest, "InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", destination, t.id)
}

func replaceRoute(q *request) ([]wire.Node, error) {
	t, err := q.table(q.Str("RouteTableId"))
	if err != nil {
		return nil, err
	}
	r, err := q.parseRoute(t)
	if err != nil {
		return nil, err
	}
	for i, old := range t.routes {
		if old.destination == r.destination {
			t.routes[i] = r
			return returnTrue, nil
		}
	}
	return nil, gate.Errorf(http.StatusBadRequest, "InvalidParameterValue",
		"There is no route defined for '%s' in the route table. Use CreateRoute instead.", r.destination)
}

func deleteRoute(q *request) ([]wire.Node, error) {
	t, err := q.table(q.Str("RouteTableId"))
	if err != nil {
		return nil, err
	}
	destination := q.Str("DestinationCidrBlock")
	for i, old := range t.routes {
		if old.destination != destination {
			continue
		}
		if old.gateway == "local" {
			return nil, invalid("cannot remove local route %s in route table %s", destination, t.id)
		}
		t.routes = append(t.routes[:i:i], t.routes[i+1:]...)
		return returnTrue, nil
	}
	return nil, noRoute(t, destination)
}

// associationOf finds an association and its table.
func (q *request) associationOf(id string) (*routeTable, *association) {
	for _, t := range q.r.routeTables.all() {
		if a, ok := t.associations.get(id); ok {
			return t, a
		}
	}
	return nil, nil
}

func associateRouteTable(q *request) ([]wire.Node, error) {
	t, err := q.table(q.Str("RouteTableId"))
	if err != nil {
		return nil, err
	}
	s, ok := q.r.subnets.get(q.Str("SubnetId"))
	if !ok {
		return nil, noSubnet(q.Str("SubnetId"))
	}
	if s.vpc != t.vpc {
		return nil, invalid("route table %s and subnet %s belong to different networks", t.id, s.id)
	}
	for _, other := range q.r.routeTables.all() {
		for _, a := range other.associations.all() {
			if a.subnet != s.id {
				continue
			}
			if other != t {
				return nil, gate.Errorf(http.StatusBadRequest, "Resource.AlreadyAssociated",
					"the specified association for route table %s conflicts with an existing association", t.id)
			}
			return associated("associationId", a.id), nil
		}
	}
	a := &association{id: wire.HexID("rtbassoc-"), table: t.id, subnet: s.id}
	t.associations.put(a.id, a)
	return associated("associationId", a.id), nil
}

func associated(name, id string) []wire.Node {
	return nodes(wire.Text(name, id), wire.Elem("associationState", wire.Text("state", "associated")))
}

func replaceRouteTableAssociation(q *request) ([]wire.Node, error) {
	t, err := q.table(q.Str("RouteTableId"))
	if err != nil {
		return nil, err
	}
	old, a := q.associationOf(q.Str("AssociationId"))
	if a == nil {
		return nil, noAssociation(q.Str("AssociationId"))
	}
	old.associations.remove(a.id)
	next := &association{id: wire.HexID("rtbassoc-"), table: t.id, subnet: a.subnet, main: a.main}
	t.associations.put(next.id, next)
	return associated("newAssociationId", next.id), nil
}

func disassociateRouteTable(q *request) ([]wire.Node, error) {
	t, a := q.associationOf(q.Str("AssociationId"))
	if a == nil {
		return nil, noAssociation(q.Str("AssociationId"))
	}
	if a.main {
		return nil, invalid("cannot disassociate the main route table association %s", a.id)
	}
	t.associations.remove(a.id)
	return returnTrue, nil
}
