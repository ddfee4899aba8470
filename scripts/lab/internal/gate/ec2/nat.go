package ec2

import (
	"fmt"
	"net/http"
	"time"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// natGateway is a NAT gateway with one address. One that is deleted stays to be described, as in EC2, where it does so
// for about an hour.
type natGateway struct {
	id, vpc, subnet, kind, token string
	state, failure, message      string
	allocation, publicIP         string
	eni, privateIP               string
	created, deleted             time.Time
}

// The states that a NAT gateway is found in: one in the state pending is ready by the next call.
const (
	natAvailable = "available"
	natFailed    = "failed"
	natDeleted   = "deleted"
)

func init() {
	register(map[string]action{
		"CreateNatGateway": {"SubnetId AllocationId ConnectivityType PrivateIpAddress ClientToken TagSpecification", createNatGateway,
			created("natgateway", "SubnetId", "AllocationId")},
		"DescribeNatGateways": {"NatGatewayId Filter MaxResults NextToken", describeNatGateways, nil},
		"DeleteNatGateway":    {"NatGatewayId", deleteNatGateway, named("NatGatewayId")},
	})
}

var (
	noNat = notFound("NatGatewayNotFound", "NAT gateway %s was not found")
	// noNatTarget is what a route to a missing NAT gateway answers.
	noNatTarget = notFound("InvalidNatGatewayID.NotFound", "The natGateway ID '%s' does not exist")
)

// working tells whether a NAT gateway passes traffic on.
func (n *natGateway) working() bool { return n.state == natAvailable }

func createNatGateway(q *request) ([]wire.Node, error) {
	tags, err := q.specTags("natgateway")
	if err != nil {
		return nil, err
	}
	if token := q.Str("ClientToken"); token != "" {
		for _, n := range q.r.nats.all() {
			if n.token == token {
				return nodes(wire.Text("clientToken", token), wire.Elem("natGateway", q.natNodes(n, n.state)...)), nil
			}
		}
	}
	kind := q.Str("ConnectivityType")
	switch kind {
	case "":
		kind = "public"
	case "public", "private":
	default:
		return nil, invalid("Value (%s) for parameter connectivityType is invalid.", kind)
	}
	if q.Str("PrivateIpAddress") != "" {
		return nil, gate.NotImplemented("a given private address of a NAT gateway")
	}
	if q.Str("SubnetId") == "" {
		return nil, missing("subnetId")
	}
	s, ok := q.r.subnets.get(q.Str("SubnetId"))
	if !ok {
		return nil, noSubnet(q.Str("SubnetId"))
	}
	var a *address
	switch id := q.Str("AllocationId"); {
	case kind == "private" && id != "":
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidParameterCombination", "The parameter AllocationId cannot be used with a private NAT gateway")
	case kind == "public" && id == "":
		return nil, missing("AllocationId")
	case id != "":
		if a, err = q.addressBy(id, ""); err != nil {
			return nil, err
		}
	}
	n := &natGateway{id: wire.HexID("nat-"), vpc: s.vpc, subnet: s.id, kind: kind, token: q.Str("ClientToken"), created: q.now()}
	q.startNat(n, s, a)
	q.r.nats.put(n.id, n)
	q.setTags(n.id, tags["natgateway"])
	return nodes(wire.Opt("clientToken", n.token), wire.Elem("natGateway", q.natNodes(n, "pending")...)), nil
}

// startNat gives a gateway its interface and address. What is in its way does not refuse the call but shows in the
// gateway's state, with the codes and texts of the VPC guide's troubleshooting page for NAT gateways.
func (q *request) startNat(n *natGateway, s *subnet, a *address) {
	n.state = natFailed
	switch {
	case a != nil && q.gatewayOf(n.vpc) == nil:
		n.failure, n.message = "Gateway.NotAttached", fmt.Sprintf("Network %s has no Internet gateway attached", n.vpc)
		return
	case a != nil && a.association != "":
		n.failure, n.message = "Resource.AlreadyAssociated", fmt.Sprintf("Elastic IP address %s is already associated", a.id)
		return
	}
	e, err := q.newInterface(s, "nat_gateway", "Interface for NAT Gateway "+n.id, nil)
	if err != nil {
		n.failure, n.message = "InsufficientFreeAddressesInSubnet", "Subnet has insufficient free addresses to create this NAT gateway"
		return
	}
	n.state, n.eni, n.privateIP = natAvailable, e.id, e.privateIP
	if a != nil {
		a.association, a.nat = wire.HexID("eipassoc-"), n.id
		n.allocation, n.publicIP = a.id, a.ip
	}
}

func (q *request) natNodes(n *natGateway, state string) []wire.Node {
	var association string
	if a, ok := q.r.addresses.get(n.allocation); ok && a.nat == n.id {
		association = a.association
	}
	out := nodes(wire.Text("natGatewayId", n.id), wire.Text("vpcId", n.vpc), wire.Text("subnetId", n.subnet), wire.Text("state", state),
		wire.Text("connectivityType", n.kind), wire.Text("createTime", n.created))
	if state == natFailed {
		out = append(out, wire.Text("failureCode", n.failure), wire.Text("failureMessage", n.message))
	}
	if state == natDeleted {
		out = append(out, wire.Text("deleteTime", n.deleted))
	}
	if n.eni != "" {
		out = append(out, wire.Elem("natGatewayAddressSet", wire.Elem("item", wire.Opt("allocationId", n.allocation), wire.Opt("associationId", association),
			wire.Text("isPrimary", true), wire.Text("networkInterfaceId", n.eni), wire.Text("privateIp", n.privateIP), wire.Opt("publicIp", n.publicIP),
			wire.Text("status", "succeeded"))))
	}
	return append(out, q.tagSet(n.id))
}

func describeNatGateways(q *request) ([]wire.Node, error) {
	all, err := selected(&q.r.nats, q.Strings("NatGatewayId"), noNat)
	if err != nil {
		return nil, err
	}
	all, err = filtered(q, all, func(n *natGateway) string { return n.id }, func(n *natGateway, name string) ([]string, bool) {
		switch name {
		case "nat-gateway-id":
			return []string{n.id}, true
		case "vpc-id":
			return []string{n.vpc}, true
		case "subnet-id":
			return []string{n.subnet}, true
		case "state":
			return []string{n.state}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("natGatewaySet", "item", all, func(n *natGateway) []wire.Node { return q.natNodes(n, n.state) })), nil
}

func deleteNatGateway(q *request) ([]wire.Node, error) {
	n, ok := q.r.nats.get(q.Str("NatGatewayId"))
	if !ok {
		return nil, noNat(q.Str("NatGatewayId"))
	}
	if n.state != natDeleted {
		if a, ok := q.r.addresses.get(n.allocation); ok && a.nat == n.id {
			a.association, a.nat = "", ""
		}
		q.r.interfaces.remove(n.eni)
		n.state, n.deleted = natDeleted, q.now()
	}
	return nodes(wire.Text("natGatewayId", n.id)), nil
}
