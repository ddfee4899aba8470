// Package ec2 is the part of Amazon EC2 that a cluster of virtual machines needs: VPCs, subnets, gateways, NAT
// gateways, VPC endpoints, routes, security groups and their rules, Elastic IP addresses, instances with user data, metadata options and instance
// profile, launch templates, and the catalogues of images, types and zones. It also answers as the instances' metadata
// service (IMDSv2). Machines themselves belong to whoever implements Machines.
//
// Answers follow the EC2 API Reference (2016-11-15); what is left out (other actions, other parameters) answers
// NotImplemented.
package ec2

import (
	"net/http"
	"net/netip"
	"sort"
	"strings"
	"sync"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

const namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

// Options configures the service.
type Options struct {
	// AddressBase is the first public address that is handed out, on the loopback network so that it works from the
	// host; 127.20.0.1 where zero. Labs side by side take different bases.
	AddressBase netip.Addr
	// Machines gets to know what happens to instances and addresses; nil for none. SetMachines sets it later.
	Machines Machines
}

// Service implements gate.Service, gate.InstanceProfiles, gate.Resolver and gate.Inventory. Make it with New.
type Service struct {
	g       *gate.Gate
	options Options
	queue   *queue

	mu      sync.Mutex
	regions map[string]*region
	nextIP  netip.Addr
	// tags by resource id; ids are unique over regions.
	tags map[string]map[string]string
	imds imdsTokens
	// holds counts what other services have put on subnets, groups and addresses.
	holds map[string]int
}

// New makes the service for a gate's account.
func New(g *gate.Gate, o Options) *Service {
	if !o.AddressBase.IsValid() {
		o.AddressBase = netip.AddrFrom4([4]byte{127, 20, 0, 1})
	}
	s := &Service{g: g, options: o, regions: map[string]*region{}, nextIP: o.AddressBase, tags: map[string]map[string]string{},
		holds: map[string]int{}, queue: newQueue()}
	s.queue.set(o.Machines)
	return s
}

// region is the state of one region.
type region struct {
	name         string
	vpcs         table[*vpc]
	subnets      table[*subnet]
	gateways     table[*internetGateway]
	routeTables  table[*routeTable]
	groups       table[*securityGroup]
	rules        table[*rule]
	addresses    table[*address]
	instances    table[*instance]
	volumes      table[*volume]
	interfaces   table[*serviceInterface]
	nats         table[*natGateway]
	endpoints    table[*endpoint]
	templates    table[*launchTemplate]
	dhcpOptions  string
	reservations map[string]string // client token to reservation id
}

// table keeps resources by id in the order of creation.
type table[T any] struct {
	ids []string
	m   map[string]T
}

func (t *table[T]) put(id string, v T) {
	if t.m == nil {
		t.m = map[string]T{}
	}
	if _, ok := t.m[id]; !ok {
		t.ids = append(t.ids, id)
	}
	t.m[id] = v
}

func (t *table[T]) get(id string) (T, bool) {
	v, ok := t.m[id]
	return v, ok
}

func (t *table[T]) remove(id string) {
	delete(t.m, id)
	for i, other := range t.ids {
		if other == id {
			t.ids = append(t.ids[:i:i], t.ids[i+1:]...)
			return
		}
	}
}

func (t *table[T]) all() []T {
	out := make([]T, 0, len(t.ids))
	for _, id := range t.ids {
		out = append(out, t.m[id])
	}
	return out
}

func (s *Service) region(name string) *region {
	r, ok := s.regions[name]
	if !ok {
		r = &region{name: name, dhcpOptions: wire.HexID("dopt-"), reservations: map[string]string{}}
		s.regions[name] = r
	}
	return r
}

// request is one action on its way through a handler, which runs with the service's lock held.
type request struct {
	wire.Params
	s    *Service
	r    *region
	call *gate.Call
}

func (q *request) arn(resource string) string {
	return q.s.g.ARN("ec2", q.r.name, resource)
}

func (q *request) now() time.Time { return q.call.Time }

// action is one entry of the dispatch table.
type action struct {
	// parameters are the accepted top-level names, beside Action, Version and DryRun.
	parameters string
	handle     func(*request) ([]wire.Node, error)
	// resources lists the ARN resources that the caller must be allowed the action on; nil means "*".
	resources func(*request) []string
}

// Name is the signing name.
func (s *Service) Name() string { return "ec2" }

// Protocol is EC2's query variant.
func (s *Service) Protocol() gate.Protocol { return gate.ProtocolEC2 }

// Requirements refuses what is not modelled and names the action on its resources, with ec2:CreateTags where tags come
// with a create, and iam:PassRole where an instance gets a profile.
func (s *Service) Requirements(c *gate.Call) ([]policy.Request, error) {
	a, ok := actions[c.Action]
	if !ok {
		return nil, gate.NotImplemented("EC2 action " + c.Action)
	}
	params := wire.NewParams(c.Form)
	accepted := map[string]bool{"Action": true, "Version": true, "DryRun": true, "AWSAccessKeyId": true}
	for _, name := range strings.Fields(a.parameters) {
		accepted[name] = true
	}
	for _, name := range params.Top() {
		if !accepted[name] {
			return nil, gate.NotImplemented("parameter " + name + " of EC2 action " + c.Action)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &request{Params: params, s: s, r: s.region(c.Region), call: c}
	resources := []string{"*"}
	if a.resources != nil {
		resources = resources[:0]
		for _, r := range a.resources(q) {
			resources = append(resources, q.resourceARN(r))
		}
	}
	var out []policy.Request
	for _, r := range resources {
		out = append(out, policy.Request{Action: "ec2:" + c.Action, Resource: r, Context: q.context(r)})
	}
	if c.Action != "CreateTags" {
		for _, spec := range params.Structs("TagSpecification") {
			if len(spec.Structs("Tag")) == 0 {
				continue
			}
			out = append(out, policy.Request{Action: "ec2:CreateTags", Resource: q.arn(spec.Str("ResourceType") + "/*"),
				Context: mergeContext(tagContext(spec), map[string][]string{"ec2:CreateAction": {c.Action}})})
		}
	}
	pass, err := s.passRole(q)
	if err != nil {
		return nil, err
	}
	return append(out, pass...), nil
}

// resourceARN turns "vpc/vpc-1" into an ARN; images belong to no account, and full ARNs stay.
func (q *request) resourceARN(resource string) string {
	switch {
	case resource == "*" || strings.HasPrefix(resource, "arn:"):
		return resource
	case strings.HasPrefix(resource, "image/"):
		return "arn:" + gate.Partition + ":ec2:" + q.r.name + "::" + resource
	default:
		return q.arn(resource)
	}
}

// context has ec2's condition keys for a resource: its tags, and the request's tags.
func (q *request) context(arn string) map[string][]string {
	out := map[string][]string{"ec2:Region": {q.r.name}}
	if i := strings.LastIndex(arn, "/"); i >= 0 {
		for k, v := range q.s.tags[arn[i+1:]] {
			out["aws:ResourceTag/"+k] = []string{v}
			out["ec2:ResourceTag/"+k] = []string{v}
		}
	}
	for _, spec := range q.Structs("TagSpecification") {
		out = mergeContext(out, tagContext(spec))
	}
	return mergeContext(out, tagContext(q.Params))
}

// tagContext has aws:RequestTag and aws:TagKeys for the Tag list below the parameters.
func tagContext(p wire.Params) map[string][]string {
	out := map[string][]string{}
	for _, t := range p.Structs("Tag") {
		out["aws:RequestTag/"+t.Str("Key")] = []string{t.Str("Value")}
		out["aws:TagKeys"] = append(out["aws:TagKeys"], t.Str("Key"))
	}
	return out
}

func mergeContext(a, b map[string][]string) map[string][]string {
	out := map[string][]string{}
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = v
	}
	return out
}

// Serve runs the action and writes its answer.
func (s *Service) Serve(w http.ResponseWriter, c *gate.Call) {
	if c.Form.Get("DryRun") == "true" {
		gate.WriteError(w, c, gate.Errorf(http.StatusPreconditionFailed, "DryRunOperation",
			"Request would have succeeded, but DryRun flag is set."))
		return
	}
	s.mu.Lock()
	q := &request{Params: wire.NewParams(c.Form), s: s, r: s.region(c.Region), call: c}
	nodes, err := actions[c.Action].handle(q)
	s.mu.Unlock()
	if err != nil {
		gate.WriteError(w, c, err)
		return
	}
	answer := wire.Elem(c.Action+"Response", append([]wire.Node{wire.Text("requestId", c.RequestID)}, nodes...)...).NS(namespace)
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("x-amzn-RequestId", c.RequestID)
	_, _ = w.Write(answer.Bytes())
}

var returnTrue = []wire.Node{wire.Text("return", true)}

// Inventory lists what is left: terminated instances, deleted NAT gateways, default groups and main route tables do not count.
func (s *Service) Inventory() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]string{}
	add := func(kind, id string) { out["ec2 "+kind] = append(out["ec2 "+kind], id) }
	for _, r := range s.regions {
		for _, id := range r.vpcs.ids {
			add("vpc", id)
		}
		for _, id := range r.subnets.ids {
			add("subnet", id)
		}
		for _, id := range r.gateways.ids {
			add("internet gateway", id)
		}
		for _, t := range r.routeTables.all() {
			if !t.main() {
				add("route table", t.id)
			}
		}
		for _, g := range r.groups.all() {
			if g.name != "default" {
				add("security group", g.id)
			}
		}
		for _, id := range r.addresses.ids {
			add("elastic ip", id)
		}
		for _, i := range r.instances.all() {
			if i.state != stateTerminated {
				add("instance", i.id)
			}
		}
		for _, id := range r.volumes.ids {
			add("volume", id)
		}
		for _, n := range r.nats.all() {
			if n.state != natDeleted {
				add("nat gateway", n.id)
			}
		}
		for _, id := range r.endpoints.ids {
			add("vpc endpoint", id)
		}
		for _, id := range r.templates.ids {
			add("launch template", id)
		}
	}
	for _, ids := range out {
		sort.Strings(ids)
	}
	return out
}

// LookupDNS answers for the public and private names of instances and addresses.
func (s *Service) LookupDNS(name string) []gate.DNSRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.regions {
		for _, a := range r.addresses.all() {
			if publicDNS(a.ip, r.name) == name {
				return []gate.DNSRecord{{Name: name, Type: "A", Value: a.ip, TTL: 60}}
			}
		}
		for _, i := range r.instances.all() {
			switch {
			case i.state == stateTerminated:
			case i.privateDNS() == name:
				return []gate.DNSRecord{{Name: name, Type: "A", Value: i.privateIP, TTL: 60}}
			case i.publicIP != "" && publicDNS(i.publicIP, r.name) == name:
				return []gate.DNSRecord{{Name: name, Type: "A", Value: i.publicIP, TTL: 60}}
			}
		}
	}
	return nil
}
