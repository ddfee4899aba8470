package ec2

import (
	"net/http"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

// address is an Elastic IP address.
type address struct {
	id, ip                string
	association, instance string
	nat                   string // the NAT gateway that has the address
}

func init() {
	register(map[string]action{
		"AllocateAddress":            {"Domain NetworkBorderGroup TagSpecification", allocateAddress, created("elastic-ip")},
		"DescribeAddresses":          {"AllocationId PublicIp Filter", describeAddresses, nil},
		"DescribeAddressesAttribute": {"AllocationId Attribute MaxResults NextToken", describeAddressesAttribute, nil},
		"AssociateAddress":           {"AllocationId PublicIp InstanceId NetworkInterfaceId PrivateIpAddress AllowReassociation", associateAddress, named("AllocationId", "InstanceId")},
		"DisassociateAddress":        {"AssociationId PublicIp", disassociateAddress, nil},
		"ReleaseAddress":             {"AllocationId NetworkBorderGroup PublicIp", releaseAddress, named("AllocationId")},
	})
}

var noAddress = notFound("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist")

// publicAddress takes the next address of the pool that nobody holds.
func (q *request) publicAddress() string {
	used := map[string]bool{}
	for _, r := range q.s.regions {
		for _, a := range r.addresses.all() {
			used[a.ip] = true
		}
		for _, i := range r.instances.all() {
			if i.state != stateTerminated {
				used[i.publicIP] = true
			}
		}
	}
	for {
		ip := q.s.nextIP
		q.s.nextIP = ip.Next()
		b := ip.As4()
		if b[3] != 0 && b[3] != 255 && !used[ip.String()] && q.s.holds[ip.String()] == 0 {
			return ip.String()
		}
	}
}

// publicDNS is the name that EC2 gives a public address.
func publicDNS(ip, region string) string {
	if ip == "" {
		return ""
	}
	zone := region + ".compute"
	if region == "us-east-1" {
		zone = "compute-1"
	}
	return "ec2-" + strings.ReplaceAll(ip, ".", "-") + "." + zone + "." + gate.DNSSuffix
}

func allocateAddress(q *request) ([]wire.Node, error) {
	tags, err := q.specTags("elastic-ip")
	if err != nil {
		return nil, err
	}
	if d := q.Str("Domain"); d != "" && d != "vpc" {
		return nil, invalid("Invalid value '%s' for domain. Only vpc is supported.", d)
	}
	if g := q.Str("NetworkBorderGroup"); g != "" && g != q.r.name {
		return nil, gate.NotImplemented("network border group " + g)
	}
	a := &address{id: wire.HexID("eipalloc-"), ip: q.publicAddress()}
	q.r.addresses.put(a.id, a)
	q.setTags(a.id, tags["elastic-ip"])
	return nodes(wire.Text("publicIp", a.ip), wire.Text("publicIpv4Pool", "amazon"), wire.Text("domain", "vpc"), wire.Text("allocationId", a.id),
		wire.Text("networkBorderGroup", q.r.name)), nil
}

func (q *request) addressBy(id, ip string) (*address, error) {
	for _, a := range q.r.addresses.all() {
		if (id != "" && a.id == id) || (id == "" && a.ip == ip) {
			return a, nil
		}
	}
	if id != "" {
		return nil, noAddress(id)
	}
	return nil, gate.Errorf(http.StatusBadRequest, "InvalidAddress.NotFound", "Address '%s' not found.", ip)
}

func describeAddresses(q *request) ([]wire.Node, error) {
	all := q.r.addresses.all()
	ids, ips := q.Strings("AllocationId"), q.Strings("PublicIp")
	if len(ids)+len(ips) > 0 {
		all = nil
		for _, id := range ids {
			a, err := q.addressBy(id, "")
			if err != nil {
				return nil, err
			}
			all = append(all, a)
		}
		for _, ip := range ips {
			a, err := q.addressBy("", ip)
			if err != nil {
				return nil, err
			}
			all = append(all, a)
		}
	}
	all, err := filtered(q, all, func(a *address) string { return a.id }, func(a *address, name string) ([]string, bool) {
		set := func(v string) []string {
			if v == "" {
				return nil
			}
			return []string{v}
		}
		switch name {
		case "allocation-id":
			return set(a.id), true
		case "association-id":
			return set(a.association), true
		case "public-ip":
			return set(a.ip), true
		case "instance-id":
			return set(a.instance), true
		case "domain":
			return set("vpc"), true
		case "network-interface-id":
			if i, ok := q.r.instances.get(a.instance); ok {
				return set(i.eni), true
			}
			if n, ok := q.r.nats.get(a.nat); ok {
				return set(n.eni), true
			}
			return nil, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("addressesSet", "item", all, func(a *address) []wire.Node {
		out := nodes(wire.Text("publicIp", a.ip), wire.Text("allocationId", a.id), wire.Text("domain", "vpc"), wire.Text("publicIpv4Pool", "amazon"),
			wire.Text("networkBorderGroup", q.r.name))
		if i, ok := q.r.instances.get(a.instance); ok && a.association != "" {
			out = append(out, wire.Text("associationId", a.association), wire.Text("instanceId", i.id), wire.Text("networkInterfaceId", i.eni),
				wire.Text("networkInterfaceOwnerId", q.s.g.AccountID()), wire.Text("privateIpAddress", i.privateIP))
		}
		if n, ok := q.r.nats.get(a.nat); ok {
			out = append(out, wire.Text("associationId", a.association), wire.Text("networkInterfaceId", n.eni),
				wire.Text("networkInterfaceOwnerId", q.s.g.AccountID()), wire.Text("privateIpAddress", n.privateIP))
		}
		return append(out, q.tagSet(a.id))
	})), nil
}

func describeAddressesAttribute(q *request) ([]wire.Node, error) {
	ids := q.Strings("AllocationId")
	all, err := selected(&q.r.addresses, ids, noAddress)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 { // without ids only addresses that have the attribute are listed
		all = nil
	}
	return nodes(wire.List("addressSet", "item", all, func(a *address) []wire.Node {
		return nodes(wire.Text("publicIp", a.ip), wire.Text("allocationId", a.id))
	})), nil
}

func associateAddress(q *request) ([]wire.Node, error) {
	a, err := q.addressBy(q.Str("AllocationId"), q.Str("PublicIp"))
	if err != nil {
		return nil, err
	}
	i := q.byENI(q.Str("NetworkInterfaceId"))
	if id := q.Str("InstanceId"); id != "" {
		var ok bool
		if i, ok = q.r.instances.get(id); !ok {
			return nil, noInstance(id)
		}
	} else if i == nil {
		if id := q.Str("NetworkInterfaceId"); id != "" {
			return nil, noENI(id)
		}
		return nil, gate.Errorf(http.StatusBadRequest, "MissingParameter", "Either instance ID or network interface id must be specified")
	}
	switch {
	case i.state != stateRunning && i.state != stateStopped:
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidInstanceID", "The %s instance '%s' is not in a valid state for this operation.", i.state.name, i.id)
	case q.gatewayOf(i.vpc) == nil:
		return nil, gate.Errorf(http.StatusBadRequest, "Gateway.NotAttached", "Network %s is not attached to any internet gateway", i.vpc)
	case q.Str("PrivateIpAddress") != "" && q.Str("PrivateIpAddress") != i.privateIP:
		return nil, invalid("The private ip address '%s' is not assigned to instance '%s'", q.Str("PrivateIpAddress"), i.id)
	case a.instance == i.id:
		return nodes(wire.Text("return", true), wire.Text("associationId", a.association)), nil
	}
	reassociate := q.Bool("AllowReassociation", false)
	if a.nat != "" {
		return nil, notYours()
	}
	if a.association != "" && !reassociate {
		return nil, gate.Errorf(http.StatusBadRequest, "Resource.AlreadyAssociated",
			"resource %s is already associated with associate-id %s", a.id, a.association)
	}
	if a.association != "" {
		q.disassociate(a)
	}
	for _, other := range q.r.addresses.all() {
		if other.instance == i.id {
			if !reassociate {
				return nil, gate.Errorf(http.StatusBadRequest, "Resource.AlreadyAssociated",
					"resource %s is already associated with associate-id %s", i.eni, other.association)
			}
			q.disassociate(other)
		}
	}
	q.releasePublic(i)
	a.association, a.instance, i.publicIP = wire.HexID("eipassoc-"), i.id, a.ip
	ip, id := a.ip, i.id
	q.s.queue.add(func(m Machines) { m.Associate(ip, id) })
	return nodes(wire.Text("return", true), wire.Text("associationId", a.association)), nil
}

// releasePublic takes an instance's automatically assigned address away.
func (q *request) releasePublic(i *instance) {
	if ip := i.publicIP; ip != "" {
		q.s.queue.add(func(m Machines) { m.Disassociate(ip) })
	}
	i.publicIP = ""
}

// disassociate takes an Elastic IP from its instance.
func (q *request) disassociate(a *address) {
	if i, ok := q.r.instances.get(a.instance); ok && i.publicIP == a.ip {
		q.releasePublic(i)
	}
	a.association, a.instance = "", ""
}

func disassociateAddress(q *request) ([]wire.Node, error) {
	id, ip := q.Str("AssociationId"), q.Str("PublicIp")
	for _, a := range q.r.addresses.all() {
		if (id != "" && a.association == id) || (id == "" && ip != "" && a.ip == ip) {
			if a.nat != "" {
				return nil, notYours()
			}
			q.disassociate(a)
			return returnTrue, nil
		}
	}
	if id == "" {
		return nil, missing("AssociationId")
	}
	return nil, gate.Errorf(http.StatusBadRequest, "InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id)
}

func releaseAddress(q *request) ([]wire.Node, error) {
	a, err := q.addressBy(q.Str("AllocationId"), q.Str("PublicIp"))
	if err != nil {
		return nil, err
	}
	if a.association != "" {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidIPAddress.InUse", "Address %s is in use.", a.ip)
	}
	q.r.addresses.remove(a.id)
	delete(q.s.tags, a.id)
	return returnTrue, nil
}
