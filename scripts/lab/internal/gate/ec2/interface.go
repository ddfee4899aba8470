package ec2

import (
	"net/http"
	"slices"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// serviceInterface is a network interface that AWS itself holds in a subnet: a NAT gateway's or a VPC endpoint's. It
// takes an address of the subnet, and keeps subnet and security groups from being deleted.
type serviceInterface struct {
	id, vpc, subnet, zone, privateIP string
	kind, description                string // as DescribeNetworkInterfaces has them
	groups                           []string
}

// newInterface puts an interface into a subnet, at an address that nobody has.
func (q *request) newInterface(s *subnet, kind, description string, groups []string) (*serviceInterface, error) {
	ip, err := q.pick(s)
	if err != nil {
		return nil, err
	}
	e := &serviceInterface{id: wire.HexID("eni-"), vpc: s.vpc, subnet: s.id, zone: s.zone.Name, privateIP: ip, kind: kind,
		description: description, groups: groups}
	q.r.interfaces.put(e.id, e)
	return e, nil
}

// interfacesIn counts the interfaces that services have in a subnet.
func (q *request) interfacesIn(subnet string) int {
	n := 0
	for _, e := range q.r.interfaces.all() {
		if e.subnet == subnet {
			n++
		}
	}
	return n
}

// groupInUse tells whether an interface of a service has a security group.
func (q *request) groupInUse(id string) bool {
	return slices.ContainsFunc(q.r.interfaces.all(), func(e *serviceInterface) bool { return slices.Contains(e.groups, id) })
}

// groupList is the groupSet element of the given groups.
func (q *request) groupList(ids []string) wire.Node {
	return wire.List("groupSet", "item", ids, func(id string) []wire.Node {
		name := ""
		if g, ok := q.r.groups.get(id); ok {
			name = g.name
		}
		return nodes(wire.Text("groupId", id), wire.Text("groupName", name))
	})
}

// serviceInterfaces are the members of DescribeNetworkInterfaces' answer that belong to services, out of the given ids
// or of all.
func (q *request) serviceInterfaces(ids []string) ([]wire.Node, error) {
	all := q.r.interfaces.all()
	if len(ids) > 0 {
		all = slices.DeleteFunc(all, func(e *serviceInterface) bool { return !slices.Contains(ids, e.id) })
	}
	all, err := filtered(q, all, func(e *serviceInterface) string { return e.id }, func(e *serviceInterface, name string) ([]string, bool) {
		switch name {
		case "network-interface-id":
			return []string{e.id}, true
		case "vpc-id":
			return []string{e.vpc}, true
		case "subnet-id":
			return []string{e.subnet}, true
		case "availability-zone":
			return []string{e.zone}, true
		case "group-id":
			return e.groups, true
		case "interface-type":
			return []string{e.kind}, true
		case "description":
			return []string{e.description}, true
		case "status":
			return []string{"in-use"}, true
		case "requester-managed":
			return yesNo(true), true
		case "attachment.instance-owner-id":
			return []string{"amazon-aws"}, true
		case "addresses.private-ip-address", "private-ip-address":
			return []string{e.privateIP}, true
		}
		return nil, true // what only an instance's interface has
	})
	if err != nil {
		return nil, err
	}
	var out []wire.Node
	for _, e := range all {
		out = append(out, wire.Elem("item", wire.Text("networkInterfaceId", e.id), wire.Text("subnetId", e.subnet), wire.Text("vpcId", e.vpc),
			wire.Text("availabilityZone", e.zone), wire.Text("description", e.description), wire.Text("ownerId", q.s.g.AccountID()),
			wire.Text("requesterManaged", true), wire.Text("status", "in-use"), wire.Text("privateIpAddress", e.privateIP),
			wire.Text("sourceDestCheck", e.kind != "nat_gateway"), q.groupList(e.groups), wire.Elem("tagSet"), wire.Text("interfaceType", e.kind)))
	}
	return out, nil
}

// notYours is EC2's answer to who handles what belongs to a NAT gateway.
func notYours() error {
	return gate.Errorf(http.StatusBadRequest, "AuthFailure", "You do not have permission to access the specified resource.")
}
