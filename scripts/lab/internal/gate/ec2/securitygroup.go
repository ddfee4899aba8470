package ec2

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

type securityGroup struct {
	id, vpc, name, description string
}

// rule is one security group rule: EC2 keeps one for each protocol, port range and peer.
type rule struct {
	id, group          string
	egress             bool
	protocol           string // tcp, udp, icmp, icmpv6, a number, or -1 for all
	from, to           int    // -1 for all
	cidr4, cidr6, peer string // exactly one is set; peer is a security group
	description        string
}

// same tells whether two rules let the same traffic through.
func (r *rule) same(o *rule) bool {
	return r.group == o.group && r.egress == o.egress && r.protocol == o.protocol && r.from == o.from && r.to == o.to &&
		r.cidr4 == o.cidr4 && r.cidr6 == o.cidr6 && r.peer == o.peer
}

func init() {
	const permissions = "GroupId IpPermissions IpProtocol FromPort ToPort CidrIp "
	register(map[string]action{
		"CreateSecurityGroup":                        {"GroupName GroupDescription VpcId TagSpecification", createSecurityGroup, created("security-group", "VpcId")},
		"DescribeSecurityGroups":                     {"GroupId GroupName Filter MaxResults NextToken", describeSecurityGroups, nil},
		"DeleteSecurityGroup":                        {"GroupId", deleteSecurityGroup, named("GroupId")},
		"AuthorizeSecurityGroupIngress":              {permissions + "TagSpecification", authorize(false), named("GroupId")},
		"AuthorizeSecurityGroupEgress":               {permissions + "TagSpecification", authorize(true), named("GroupId")},
		"RevokeSecurityGroupIngress":                 {permissions + "SecurityGroupRuleId", revoke(false), named("GroupId")},
		"RevokeSecurityGroupEgress":                  {permissions + "SecurityGroupRuleId", revoke(true), named("GroupId")},
		"DescribeSecurityGroupRules":                 {"SecurityGroupRuleId Filter MaxResults NextToken", describeSecurityGroupRules, nil},
		"ModifySecurityGroupRules":                   {"GroupId SecurityGroupRule", modifySecurityGroupRules, named("GroupId")},
		"UpdateSecurityGroupRuleDescriptionsIngress": {"GroupId SecurityGroupRuleDescription", describeRules(false), named("GroupId")},
		"UpdateSecurityGroupRuleDescriptionsEgress":  {"GroupId SecurityGroupRuleDescription", describeRules(true), named("GroupId")},
	})
}

var (
	noGroup = notFound("InvalidGroup.NotFound", "The security group '%s' does not exist")
	noRule  = notFound("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist")
)

func (q *request) group(id string) (*securityGroup, error) {
	if g, ok := q.r.groups.get(id); ok {
		return g, nil
	}
	return nil, noGroup(id)
}

// newGroup makes a group with EC2's allow-all egress rule; the default group also lets its own members in.
func (q *request) newGroup(vpc, name, description string, isDefault bool) *securityGroup {
	g := &securityGroup{id: wire.HexID("sg-"), vpc: vpc, name: name, description: description}
	q.r.groups.put(g.id, g)
	out := &rule{id: wire.HexID("sgr-"), group: g.id, egress: true, protocol: "-1", from: -1, to: -1, cidr4: "0.0.0.0/0"}
	q.r.rules.put(out.id, out)
	if isDefault {
		in := &rule{id: wire.HexID("sgr-"), group: g.id, protocol: "-1", from: -1, to: -1, peer: g.id}
		q.r.rules.put(in.id, in)
	}
	return g
}

func (q *request) dropGroup(id string) {
	for _, r := range q.rulesOf(id) {
		q.dropRule(r)
	}
	q.r.groups.remove(id)
	delete(q.s.tags, id)
}

func (q *request) dropRule(r *rule) {
	q.r.rules.remove(r.id)
	delete(q.s.tags, r.id)
}

func (q *request) rulesOf(group string) []*rule {
	var out []*rule
	for _, r := range q.r.rules.all() {
		if r.group == group {
			out = append(out, r)
		}
	}
	return out
}

func createSecurityGroup(q *request) ([]wire.Node, error) {
	tags, err := q.specTags("security-group")
	if err != nil {
		return nil, err
	}
	name, description := q.Str("GroupName"), q.Str("GroupDescription")
	switch {
	case name == "":
		return nil, missing("groupName")
	case description == "":
		return nil, missing("GroupDescription")
	case q.Str("VpcId") == "":
		return nil, gate.Errorf(http.StatusBadRequest, "VPCIdNotSpecified", "No default VPC for this user")
	case len(name) > 255 || strings.HasPrefix(strings.ToLower(name), "sg-"):
		return nil, invalid("Value (%s) for parameter GroupName is invalid. Character sets beyond ASCII, names over 255 characters and names starting with sg- are not supported.", name)
	case len(description) > 255:
		return nil, invalid("Value (%s) for parameter GroupDescription is invalid. Character sets beyond ASCII and more than 255 characters are not supported.", description)
	}
	v, err := q.vpc(q.Str("VpcId"))
	if err != nil {
		return nil, err
	}
	for _, g := range q.r.groups.all() {
		if g.vpc == v.id && g.name == name {
			return nil, gate.Errorf(http.StatusBadRequest, "InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, v.id)
		}
	}
	g := q.newGroup(v.id, name, description, false)
	q.setTags(g.id, tags["security-group"])
	return nodes(wire.Text("return", true), wire.Text("groupId", g.id), wire.Text("securityGroupArn", q.arn("security-group/"+g.id)),
		q.tagSet(g.id)), nil
}

func (q *request) groupNodes(g *securityGroup) []wire.Node {
	return nodes(wire.Text("ownerId", q.s.g.AccountID()), wire.Text("groupId", g.id), wire.Text("groupName", g.name),
		wire.Text("groupDescription", g.description), wire.Text("vpcId", g.vpc), wire.Text("securityGroupArn", q.arn("security-group/"+g.id)),
		q.permissions("ipPermissions", g.id, false), q.permissions("ipPermissionsEgress", g.id, true), q.tagSet(g.id))
}

// permissions groups a group's rules by protocol and ports, as DescribeSecurityGroups shows them.
func (q *request) permissions(name, group string, egress bool) wire.Node {
	type key struct {
		protocol string
		from, to int
	}
	var order []key
	by := map[key][]*rule{}
	for _, r := range q.rulesOf(group) {
		if r.egress != egress {
			continue
		}
		k := key{r.protocol, r.from, r.to}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], r)
	}
	return wire.List(name, "item", order, func(k key) []wire.Node {
		groups, ranges, ranges6 := wire.Elem("groups"), wire.Elem("ipRanges"), wire.Elem("ipv6Ranges")
		for _, r := range by[k] {
			d := wire.Opt("description", r.description)
			switch {
			case r.peer != "":
				groups.Children = append(groups.Children, wire.Elem("item", wire.Text("userId", q.s.g.AccountID()), wire.Text("groupId", r.peer), d))
			case r.cidr6 != "":
				ranges6.Children = append(ranges6.Children, wire.Elem("item", wire.Text("cidrIpv6", r.cidr6), d))
			default:
				ranges.Children = append(ranges.Children, wire.Elem("item", wire.Text("cidrIp", r.cidr4), d))
			}
		}
		out := nodes(wire.Text("ipProtocol", k.protocol))
		if k.protocol != "-1" {
			out = append(out, wire.Text("fromPort", k.from), wire.Text("toPort", k.to))
		}
		return append(out, groups, ranges, ranges6, wire.Elem("prefixListIds"))
	})
}

func describeSecurityGroups(q *request) ([]wire.Node, error) {
	all, err := selected(&q.r.groups, q.Strings("GroupId"), noGroup)
	if err != nil {
		return nil, err
	}
	if len(q.Strings("GroupName")) > 0 {
		return nil, gate.Errorf(http.StatusBadRequest, "VPCIdNotSpecified", "No default VPC for this user")
	}
	all, err = filtered(q, all, func(g *securityGroup) string { return g.id }, func(g *securityGroup, name string) ([]string, bool) {
		switch name {
		case "group-id":
			return []string{g.id}, true
		case "group-name":
			return []string{g.name}, true
		case "vpc-id":
			return []string{g.vpc}, true
		case "description":
			return []string{g.description}, true
		case "owner-id":
			return []string{q.s.g.AccountID()}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("securityGroupInfo", "item", all, q.groupNodes)), nil
}

func deleteSecurityGroup(q *request) ([]wire.Node, error) {
	g, err := q.group(q.Str("GroupId"))
	if err != nil {
		return nil, err
	}
	if g.name == "default" {
		return nil, gate.Errorf(http.StatusBadRequest, "CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", g.id)
	}
	refuse := dependency("resource %s has a dependent object", g.id)
	if q.s.holds[g.id] > 0 || q.groupInUse(g.id) {
		return nil, refuse
	}
	for _, i := range q.r.instances.all() {
		if i.state == stateTerminated {
			continue
		}
		for _, id := range i.groups {
			if id == g.id {
				return nil, refuse
			}
		}
	}
	for _, r := range q.r.rules.all() {
		if r.peer == g.id && r.group != g.id {
			return nil, refuse
		}
	}
	q.dropGroup(g.id)
	return nodes(wire.Text("return", true), wire.Text("groupId", g.id)), nil
}

// protocols maps IANA numbers to the names that EC2 answers with.
var protocols = map[string]string{"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}

// newRule checks and normalises one rule of a group.
func (q *request) newRule(r rule) (*rule, error) {
	r.protocol = strings.ToLower(r.protocol)
	if name, ok := protocols[r.protocol]; ok {
		r.protocol = name
	}
	switch r.protocol {
	case "":
		return nil, missing("ipProtocol")
	case "-1":
		r.from, r.to = -1, -1
	case "tcp", "udp":
		if r.from < 0 || r.to > 65535 || r.from > r.to {
			return nil, invalid("Invalid value '%d-%d' for portRange. Must specify both from and to ports with TCP/UDP.", r.from, r.to)
		}
	case "icmp", "icmpv6":
	default:
		if n, err := strconv.Atoi(r.protocol); err != nil || n < 0 || n > 255 {
			return nil, gate.Errorf(http.StatusBadRequest, "InvalidParameterValue", "Invalid value '%s' for IP protocol. Unknown protocol.", r.protocol)
		}
		r.from, r.to = -1, -1
	}
	peers := 0
	if r.cidr4 != "" {
		peers++
		p, err := netip.ParsePrefix(r.cidr4)
		if err != nil || !p.Addr().Is4() {
			return nil, invalid("CIDR block %s is malformed", r.cidr4)
		}
		r.cidr4 = p.Masked().String()
	}
	if r.cidr6 != "" {
		peers++
		p, err := netip.ParsePrefix(r.cidr6)
		if err != nil || p.Addr().Is4() {
			return nil, invalid("CIDR block %s is malformed", r.cidr6)
		}
		r.cidr6 = p.Masked().String()
	}
	if r.peer != "" {
		peers++
		if _, err := q.group(r.peer); err != nil {
			return nil, err
		}
	}
	if peers != 1 {
		return nil, gate.Errorf(http.StatusBadRequest, "MissingParameter", "A rule must have exactly one of an IPv4 range, an IPv6 range or a security group")
	}
	if len(r.description) > 255 {
		return nil, invalid("Invalid rule description. Descriptions must be less than 256 characters in length.")
	}
	return &r, nil
}

// requested reads the rules of an Authorize or Revoke call: IpPermissions, or the flat form.
func (q *request) requested(group string, egress bool) ([]*rule, error) {
	var out []*rule
	add := func(p wire.Params, r rule) error {
		r.group, r.egress, r.protocol, r.from, r.to = group, egress, p.Str("IpProtocol"), p.Int("FromPort", -1), p.Int("ToPort", -1)
		n, err := q.newRule(r)
		if err == nil {
			out = append(out, n)
		}
		return err
	}
	for _, p := range q.Structs("IpPermissions") {
		if p.Has("PrefixListIds") {
			return nil, gate.NotImplemented("a prefix list in a security group rule")
		}
		for _, x := range p.Structs("IpRanges") {
			if err := add(p, rule{cidr4: x.Str("CidrIp"), description: x.Str("Description")}); err != nil {
				return nil, err
			}
		}
		for _, x := range p.Structs("Ipv6Ranges") {
			if err := add(p, rule{cidr6: x.Str("CidrIpv6"), description: x.Str("Description")}); err != nil {
				return nil, err
			}
		}
		for _, x := range p.Structs("Groups") {
			if err := add(p, rule{peer: x.Str("GroupId"), description: x.Str("Description")}); err != nil {
				return nil, err
			}
		}
	}
	if q.Has("CidrIp") {
		if err := add(q.Params, rule{cidr4: q.Str("CidrIp")}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *rule) String() string {
	peer, ports := r.cidr4+r.cidr6+r.peer, "ALL"
	if r.protocol != "-1" {
		ports = fmt.Sprintf("%s, from port: %d, to port: %d", strings.ToUpper(r.protocol), r.from, r.to)
	}
	return fmt.Sprintf("peer: %s, %s, ALLOW", peer, ports)
}

func authorize(egress bool) func(*request) ([]wire.Node, error) {
	return func(q *request) ([]wire.Node, error) {
		tags, err := q.specTags("security-group-rule")
		if err != nil {
			return nil, err
		}
		g, err := q.group(q.Str("GroupId"))
		if err != nil {
			return nil, err
		}
		rules, err := q.requested(g.id, egress)
		if err != nil {
			return nil, err
		}
		if len(rules) == 0 {
			return nil, missing("ipPermissions")
		}
		for i, r := range rules {
			for _, old := range append(q.rulesOf(g.id), rules[:i]...) {
				if r.same(old) {
					return nil, gate.Errorf(http.StatusBadRequest, "InvalidPermission.Duplicate", "the specified rule %q already exists", r)
				}
			}
		}
		for _, r := range rules {
			r.id = wire.HexID("sgr-")
			q.r.rules.put(r.id, r)
			q.setTags(r.id, tags["security-group-rule"])
		}
		return nodes(wire.Text("return", true), wire.List("securityGroupRuleSet", "item", rules, q.ruleNodes)), nil
	}
}

func (q *request) ruleNodes(r *rule) []wire.Node {
	out := nodes(wire.Text("securityGroupRuleId", r.id), wire.Text("securityGroupRuleArn", q.arn("security-group-rule/"+r.id)),
		wire.Text("groupId", r.group), wire.Text("groupOwnerId", q.s.g.AccountID()), wire.Text("isEgress", r.egress),
		wire.Text("ipProtocol", r.protocol), wire.Text("fromPort", r.from), wire.Text("toPort", r.to),
		wire.Opt("cidrIpv4", r.cidr4), wire.Opt("cidrIpv6", r.cidr6), wire.Opt("description", r.description))
	if r.peer != "" {
		out = append(out, wire.Elem("referencedGroupInfo", wire.Text("groupId", r.peer), wire.Text("userId", q.s.g.AccountID())))
	}
	return append(out, q.tagSet(r.id))
}

func revoke(egress bool) func(*request) ([]wire.Node, error) {
	return func(q *request) ([]wire.Node, error) {
		g, err := q.group(q.Str("GroupId"))
		if err != nil {
			return nil, err
		}
		var gone []*rule
		for _, id := range q.Strings("SecurityGroupRuleId") {
			r, ok := q.r.rules.get(id)
			if !ok || r.group != g.id || r.egress != egress {
				return nil, noRule(id)
			}
			gone = append(gone, r)
		}
		wanted, err := q.requested(g.id, egress)
		if err != nil {
			return nil, err
		}
		for _, w := range wanted {
			found := false
			for _, r := range q.rulesOf(g.id) {
				if r.same(w) {
					gone, found = append(gone, r), true
				}
			}
			if !found {
				return nil, gate.Errorf(http.StatusBadRequest, "InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
		}
		if len(gone) == 0 {
			return nil, missing("ipPermissions")
		}
		for _, r := range gone {
			q.dropRule(r)
		}
		return nodes(wire.Text("return", true), wire.List("revokedSecurityGroupRuleSet", "item", gone, func(r *rule) []wire.Node {
			return nodes(wire.Text("securityGroupRuleId", r.id), wire.Text("groupId", r.group), wire.Text("isEgress", r.egress),
				wire.Text("ipProtocol", r.protocol), wire.Text("fromPort", r.from), wire.Text("toPort", r.to), wire.Opt("cidrIpv4", r.cidr4),
				wire.Opt("cidrIpv6", r.cidr6), wire.Opt("referencedGroupId", r.peer), wire.Opt("description", r.description))
		})), nil
	}
}

func describeSecurityGroupRules(q *request) ([]wire.Node, error) {
	all, err := selected(&q.r.rules, q.Strings("SecurityGroupRuleId"), noRule)
	if err != nil {
		return nil, err
	}
	all, err = filtered(q, all, func(r *rule) string { return r.id }, func(r *rule, name string) ([]string, bool) {
		switch name {
		case "group-id":
			return []string{r.group}, true
		case "security-group-rule-id":
			return []string{r.id}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("securityGroupRuleSet", "item", all, q.ruleNodes)), nil
}

func modifySecurityGroupRules(q *request) ([]wire.Node, error) {
	g, err := q.group(q.Str("GroupId"))
	if err != nil {
		return nil, err
	}
	changed := map[*rule]rule{}
	for _, u := range q.Structs("SecurityGroupRule") {
		old, ok := q.r.rules.get(u.Str("SecurityGroupRuleId"))
		if !ok || old.group != g.id {
			return nil, noRule(u.Str("SecurityGroupRuleId"))
		}
		n := u.Sub("SecurityGroupRule")
		if n.Has("PrefixListId") {
			return nil, gate.NotImplemented("a prefix list in a security group rule")
		}
		next, err := q.newRule(rule{id: old.id, group: g.id, egress: old.egress, protocol: n.Str("IpProtocol"), from: n.Int("FromPort", -1),
			to: n.Int("ToPort", -1), cidr4: n.Str("CidrIpv4"), cidr6: n.Str("CidrIpv6"), peer: n.Str("ReferencedGroupId"), description: n.Str("Description")})
		if err != nil {
			return nil, err
		}
		for _, other := range q.rulesOf(g.id) {
			if other != old && other.same(next) {
				return nil, gate.Errorf(http.StatusBadRequest, "InvalidPermission.Duplicate", "the specified rule %q already exists", next)
			}
		}
		changed[old] = *next
	}
	for old, next := range changed {
		*old = next
	}
	return returnTrue, nil
}

// describeRules sets descriptions by rule id.
func describeRules(egress bool) func(*request) ([]wire.Node, error) {
	return func(q *request) ([]wire.Node, error) {
		g, err := q.group(q.Str("GroupId"))
		if err != nil {
			return nil, err
		}
		for _, d := range q.Structs("SecurityGroupRuleDescription") {
			r, ok := q.r.rules.get(d.Str("SecurityGroupRuleId"))
			if !ok || r.group != g.id || r.egress != egress {
				return nil, noRule(d.Str("SecurityGroupRuleId"))
			}
			r.description = d.Str("Description")
		}
		return returnTrue, nil
	}
}
