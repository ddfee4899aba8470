package awsres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var ec2Security = map[string]*resource{
	"aws:ec2/securityGroup:SecurityGroup": {
		Create: createGroup, Read: readGroup, Update: updateGroup, Delete: deleteGroup, Check: checkGroup,
	},
	"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": groupRule(true),
	"aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule":   groupRule(false),
}

// protocolNames are the IP protocol numbers that EC2 shows by name.
var protocolNames = map[string]string{"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}

func protocolName(s string) string {
	s = strings.ToLower(s)
	if name, ok := protocolNames[s]; ok {
		return name
	}
	return s
}

// --- Security group

func checkGroup(c *checker) {
	if s, ok := c.In["name"].(string); ok && strings.HasPrefix(strings.ToLower(s), "sg-") {
		c.Fail("name", "invalid value for name (cannot begin with sg-).")
	}
	for _, side := range []string{"ingress", "egress"} {
		list, _ := c.In[side].([]any)
		for i, e := range list {
			rule, ok := e.(m)
			if !ok {
				continue
			}
			if s, ok := rule["protocol"].(string); ok {
				rule["protocol"] = protocolName(s)
				if rule["protocol"] == "-1" && (known(rule["fromPort"]) != 0 || known(rule["toPort"]) != 0) {
					c.Fail(fmt.Sprintf("%s[%d].fromPort", side, i), "from_port and to_port must both be 0 to use the 'ALL' \"-1\" protocol.")
				}
			}
		}
	}
}

// known returns a number, 0 where it is unknown or absent.
func known(v any) float64 { f, _ := v.(float64); return f }

func createGroup(ctx context.Context, c *call) (string, m, error) {
	out, err := c.Client.ec2().CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: engine.StrPtr(c.In, "name"), Description: aws.String(engine.Str(c.In, "description")),
		VpcId:             engine.StrPtr(c.In, "vpcId"),
		TagSpecifications: tagSpec(types.ResourceTypeSecurityGroup, c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating Security Group (%s): %w", engine.Str(c.In, "name"), err)
	}
	id := aws.ToString(out.GroupId)
	err = engine.Wait(ctx, ec2Propagation, "Security Group "+id, func(ctx context.Context) (bool, error) {
		_, err := findGroup(ctx, c.Client, id)
		if errors.Is(err, engine.ErrGone) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return id, nil, err
	}
	// AWS lets a new group send anywhere; a group without declared egress must send nowhere.
	everything := types.IpPermission{IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}
	if err := c.Client.revoke(ctx, id, false, everything); err != nil {
		return id, nil, err
	}
	everything6 := types.IpPermission{IpProtocol: aws.String("-1"), Ipv6Ranges: []types.Ipv6Range{{CidrIpv6: aws.String("::/0")}}}
	if err := c.Client.revoke(ctx, id, false, everything6); err != nil && !is(err, "InvalidParameterValue") {
		return id, nil, err
	}
	for _, ingress := range []bool{true, false} {
		for _, rule := range engine.Objs(c.In, side(ingress)) {
			if err := c.Client.authorize(ctx, id, ingress, permission(rule, id)); err != nil {
				return id, nil, err
			}
		}
	}
	return id, nil, nil
}

func side(ingress bool) string {
	if ingress {
		return "ingress"
	}
	return "egress"
}

// permission turns an inline rule into the API's form.
func permission(rule m, group string) types.IpPermission {
	p := types.IpPermission{IpProtocol: aws.String(protocolName(engine.Str(rule, "protocol")))}
	if aws.ToString(p.IpProtocol) != "-1" {
		p.FromPort, p.ToPort = aws.Int32(engine.Int(rule, "fromPort")), aws.Int32(engine.Int(rule, "toPort"))
	}
	text := engine.StrPtr(rule, "description")
	for _, cidr := range engine.Strs(rule, "cidrBlocks") {
		p.IpRanges = append(p.IpRanges, types.IpRange{CidrIp: aws.String(cidr), Description: text})
	}
	for _, cidr := range engine.Strs(rule, "ipv6CidrBlocks") {
		p.Ipv6Ranges = append(p.Ipv6Ranges, types.Ipv6Range{CidrIpv6: aws.String(cidr), Description: text})
	}
	for _, id := range engine.Strs(rule, "prefixListIds") {
		p.PrefixListIds = append(p.PrefixListIds, types.PrefixListId{PrefixListId: aws.String(id), Description: text})
	}
	groups := engine.Strs(rule, "securityGroups")
	if engine.Bool(rule, "self") {
		groups = append(groups, group)
	}
	for _, id := range groups {
		p.UserIdGroupPairs = append(p.UserIdGroupPairs, types.UserIdGroupPair{GroupId: aws.String(id), Description: text})
	}
	return p
}

func (c *Client) authorize(ctx context.Context, id string, ingress bool, p types.IpPermission) error {
	var err error
	if ingress {
		_, err = c.ec2().AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &id, IpPermissions: []types.IpPermission{p}})
	} else {
		_, err = c.ec2().AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{GroupId: &id, IpPermissions: []types.IpPermission{p}})
	}
	if err != nil {
		return fmt.Errorf("authorizing Security Group (%s) %s: %w", id, side(ingress), err)
	}
	return nil
}

func (c *Client) revoke(ctx context.Context, id string, ingress bool, p types.IpPermission) error {
	var err error
	if ingress {
		_, err = c.ec2().RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &id, IpPermissions: []types.IpPermission{p}})
	} else {
		_, err = c.ec2().RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: &id, IpPermissions: []types.IpPermission{p}})
	}
	if err = absent(err, "InvalidPermission.NotFound", "InvalidGroup.NotFound"); err != nil {
		return fmt.Errorf("revoking Security Group (%s) %s: %w", id, side(ingress), err)
	}
	return nil
}

func findGroup(ctx context.Context, c *Client, id string) (*types.SecurityGroup, error) {
	out, err := c.ec2().DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{id}})
	if is(err, "InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidSecurityGroupID.NotFound") || err == nil && len(out.SecurityGroups) == 0 {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading Security Group (%s): %w", id, err)
	}
	return &out.SecurityGroups[0], nil
}

// rulesOf returns a group's permissions in the form of inline rules: one for each protocol, port range and description.
func rulesOf(permissions []types.IpPermission, group string) []any {
	out := []any{}
	for _, p := range permissions {
		byText := map[string]m{}
		var order []string
		rule := func(text *string) m {
			d := aws.ToString(text)
			r, ok := byText[d]
			if !ok {
				r = m{
					"protocol": aws.ToString(p.IpProtocol), "fromPort": float64(aws.ToInt32(p.FromPort)), "toPort": float64(aws.ToInt32(p.ToPort)),
					"self": false, "description": d,
				}
				byText[d] = r
				order = append(order, d)
			}
			return r
		}
		add := func(r m, list, v string) {
			old, _ := r[list].([]any)
			r[list] = append(old, v)
		}
		for _, x := range p.IpRanges {
			add(rule(x.Description), "cidrBlocks", aws.ToString(x.CidrIp))
		}
		for _, x := range p.Ipv6Ranges {
			add(rule(x.Description), "ipv6CidrBlocks", aws.ToString(x.CidrIpv6))
		}
		for _, x := range p.PrefixListIds {
			add(rule(x.Description), "prefixListIds", aws.ToString(x.PrefixListId))
		}
		for _, x := range p.UserIdGroupPairs {
			r := rule(x.Description)
			if aws.ToString(x.GroupId) == group {
				r["self"] = true
			} else {
				add(r, "securityGroups", aws.ToString(x.GroupId))
			}
		}
		for _, d := range order {
			out = append(out, byText[d])
		}
	}
	return out
}

func readGroup(ctx context.Context, c *call) (m, error) {
	g, err := findGroup(ctx, c.Client, c.ID)
	if err != nil {
		return nil, err
	}
	return m{
		"arn": c.Client.arn("ec2", "security-group/"+c.ID), "ownerId": owner(c.Client, g.OwnerId),
		"name": aws.ToString(g.GroupName), "description": aws.ToString(g.Description), "vpcId": aws.ToString(g.VpcId),
		"ingress": rulesOf(g.IpPermissions, c.ID), "egress": rulesOf(g.IpPermissionsEgress, c.ID), "tags": readTags(g.Tags),
	}, nil
}

func updateGroup(ctx context.Context, c *call) (m, error) {
	for _, ingress := range []bool{true, false} {
		if !c.Changed[side(ingress)] {
			continue
		}
		g, err := findGroup(ctx, c.Client, c.ID)
		if err != nil {
			return nil, err
		}
		have := g.IpPermissionsEgress
		if ingress {
			have = g.IpPermissions
		}
		for _, p := range have {
			if err := c.Client.revoke(ctx, c.ID, ingress, p); err != nil {
				return nil, err
			}
		}
		for _, rule := range engine.Objs(c.In, side(ingress)) {
			if err := c.Client.authorize(ctx, c.ID, ingress, permission(rule, c.ID)); err != nil {
				return nil, err
			}
		}
	}
	return nil, updateEC2Tags(ctx, c, c.ID)
}

func deleteGroup(ctx context.Context, c *call) error {
	if err := lingering(ctx, c, "group-id"); err != nil {
		return fmt.Errorf("deleting ENIs using Security Group (%s): %w", c.ID, err)
	}
	if engine.Bool(c.Old, "revokeRulesOnDelete") {
		g, err := findGroup(ctx, c.Client, c.ID)
		if errors.Is(err, engine.ErrGone) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, p := range g.IpPermissions {
			if err := c.Client.revoke(ctx, c.ID, true, p); err != nil {
				return err
			}
		}
		for _, p := range g.IpPermissionsEgress {
			if err := c.Client.revoke(ctx, c.ID, false, p); err != nil {
				return err
			}
		}
	}
	return deleteEC2(ctx, "Security Group", c.ID, []string{"InvalidGroup.NotFound"}, func(ctx context.Context) error {
		_, err := c.Client.ec2().DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &c.ID})
		return err
	})
}

// --- Rules of a group

// ruleSources are the four kinds of peer that a rule names one of.
var ruleSources = []string{"cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId"}

func groupRule(ingress bool) *resource {
	return &resource{
		Check: func(c *checker) {
			c.Exactly(ruleSources...)
			if s, ok := c.In["ipProtocol"].(string); ok && protocolName(s) == "-1" && (c.Given("fromPort") || c.Given("toPort")) {
				c.Fail("fromPort", "fromPort and toPort must not be set when ipProtocol is \"-1\".")
			}
		},
		Diff: func(d *diff) {
			for _, name := range ruleSources { // another kind of peer is another rule
				if engine.Has(d.In, name) != (engine.Str(d.Old, name) != "") {
					d.Replace(ruleSources...)
				}
			}
		},
		Same: map[string]func(old, new any) bool{
			"ipProtocol": func(old, new any) bool {
				a, _ := old.(string)
				b, _ := new.(string)
				return protocolName(a) == protocolName(b)
			},
		},
		Volatile: func(map[string]bool) []string { return []string{"arn", "securityGroupRuleId"} },
		Create: func(ctx context.Context, c *call) (string, m, error) {
			return createRule(ctx, c, ingress)
		},
		Read:   func(ctx context.Context, c *call) (m, error) { return readRule(ctx, c, ingress) },
		Update: updateRule,
		Delete: func(ctx context.Context, c *call) error { return deleteRule(ctx, c, ingress) },
	}
}

func rulePermission(in m) types.IpPermission {
	p := types.IpPermission{
		IpProtocol: aws.String(engine.Str(in, "ipProtocol")),
		FromPort:   engine.IntPtr(in, "fromPort"), ToPort: engine.IntPtr(in, "toPort"),
	}
	text := engine.StrPtr(in, "description")
	switch {
	case engine.Str(in, "cidrIpv4") != "":
		p.IpRanges = []types.IpRange{{CidrIp: engine.StrPtr(in, "cidrIpv4"), Description: text}}
	case engine.Str(in, "cidrIpv6") != "":
		p.Ipv6Ranges = []types.Ipv6Range{{CidrIpv6: engine.StrPtr(in, "cidrIpv6"), Description: text}}
	case engine.Str(in, "prefixListId") != "":
		p.PrefixListIds = []types.PrefixListId{{PrefixListId: engine.StrPtr(in, "prefixListId"), Description: text}}
	default:
		pair := types.UserIdGroupPair{Description: text}
		account, group, peered := strings.Cut(engine.Str(in, "referencedSecurityGroupId"), "/")
		if peered {
			pair.UserId, pair.GroupId = aws.String(account), aws.String(group)
		} else {
			pair.GroupId = aws.String(account)
		}
		p.UserIdGroupPairs = []types.UserIdGroupPair{pair}
	}
	return p
}

func createRule(ctx context.Context, c *call, ingress bool) (string, m, error) {
	group := engine.Str(c.In, "securityGroupId")
	permissions := []types.IpPermission{rulePermission(c.In)}
	tags := tagSpec(types.ResourceTypeSecurityGroupRule, c.Tags())
	var rules []types.SecurityGroupRule
	var err error
	if ingress {
		var out *ec2.AuthorizeSecurityGroupIngressOutput
		out, err = c.Client.ec2().AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
			GroupId: &group, IpPermissions: permissions, TagSpecifications: tags,
		})
		if err == nil {
			rules = out.SecurityGroupRules
		}
	} else {
		var out *ec2.AuthorizeSecurityGroupEgressOutput
		out, err = c.Client.ec2().AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{
			GroupId: &group, IpPermissions: permissions, TagSpecifications: tags,
		})
		if err == nil {
			rules = out.SecurityGroupRules
		}
	}
	if err != nil {
		return "", nil, fmt.Errorf("creating VPC Security Group Rule: %w", err)
	}
	if len(rules) == 0 {
		return "", nil, fmt.Errorf("creating VPC Security Group Rule: the answer names no rule")
	}
	return aws.ToString(rules[0].SecurityGroupRuleId), nil, nil
}

func readRule(ctx context.Context, c *call, ingress bool) (m, error) {
	out, err := c.Client.ec2().DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{c.ID}})
	if is(err, "InvalidSecurityGroupRuleId.NotFound", "InvalidSecurityGroupRuleID.NotFound", "InvalidGroup.NotFound") || err == nil && len(out.SecurityGroupRules) == 0 {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading VPC Security Group Rule (%s): %w", c.ID, err)
	}
	r := out.SecurityGroupRules[0]
	if r.IsEgress != nil && aws.ToBool(r.IsEgress) == ingress {
		return nil, engine.ErrGone
	}
	state := m{
		"arn": aws.ToString(r.SecurityGroupRuleArn), "securityGroupRuleId": c.ID,
		"securityGroupId": aws.ToString(r.GroupId), "ipProtocol": aws.ToString(r.IpProtocol),
		"cidrIpv4": aws.ToString(r.CidrIpv4), "cidrIpv6": aws.ToString(r.CidrIpv6), "prefixListId": aws.ToString(r.PrefixListId),
		"description": aws.ToString(r.Description), "referencedSecurityGroupId": "", "tags": readTags(r.Tags),
	}
	if state["arn"] == "" {
		state["arn"] = c.Client.arn("ec2", "security-group-rule/"+c.ID)
	}
	if g := r.ReferencedGroupInfo; g != nil {
		id := aws.ToString(g.GroupId)
		if strings.Contains(engine.Str(c.Old, "referencedSecurityGroupId"), "/") {
			id = aws.ToString(g.UserId) + "/" + id
		}
		state["referencedSecurityGroupId"] = id
	}
	for name, port := range map[string]*int32{"fromPort": r.FromPort, "toPort": r.ToPort} {
		if port != nil && (*port != -1 || engine.Has(c.Old, name)) { // -1 is how the API says "none"
			state[name] = float64(*port)
		}
	}
	return state, nil
}

func updateRule(ctx context.Context, c *call) (m, error) {
	if c.HasChanged(append([]string{"ipProtocol", "fromPort", "toPort", "description"}, ruleSources...)...) {
		request := &types.SecurityGroupRuleRequest{
			IpProtocol: aws.String(engine.Str(c.In, "ipProtocol")),
			FromPort:   engine.IntPtr(c.In, "fromPort"), ToPort: engine.IntPtr(c.In, "toPort"),
			CidrIpv4: engine.StrPtr(c.In, "cidrIpv4"), CidrIpv6: engine.StrPtr(c.In, "cidrIpv6"),
			PrefixListId: engine.StrPtr(c.In, "prefixListId"), Description: aws.String(engine.Str(c.In, "description")),
		}
		if ref := engine.Str(c.In, "referencedSecurityGroupId"); ref != "" {
			request.ReferencedGroupId = aws.String(ref[strings.Index(ref, "/")+1:])
		}
		_, err := c.Client.ec2().ModifySecurityGroupRules(ctx, &ec2.ModifySecurityGroupRulesInput{
			GroupId:            engine.StrPtr(c.In, "securityGroupId"),
			SecurityGroupRules: []types.SecurityGroupRuleUpdate{{SecurityGroupRuleId: &c.ID, SecurityGroupRule: request}},
		})
		if err != nil {
			return nil, fmt.Errorf("updating VPC Security Group Rule (%s): %w", c.ID, err)
		}
	}
	return nil, updateEC2Tags(ctx, c, c.ID)
}

func deleteRule(ctx context.Context, c *call, ingress bool) error {
	group := engine.StrPtr(c.Old, "securityGroupId")
	var err error
	if ingress {
		_, err = c.Client.ec2().RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: group, SecurityGroupRuleIds: []string{c.ID}})
	} else {
		_, err = c.Client.ec2().RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: group, SecurityGroupRuleIds: []string{c.ID}})
	}
	err = absent(err, "InvalidSecurityGroupRuleId.NotFound", "InvalidSecurityGroupRuleID.NotFound", "InvalidGroup.NotFound", "InvalidPermission.NotFound")
	if err != nil {
		return fmt.Errorf("deleting VPC Security Group Rule (%s): %w", c.ID, err)
	}
	return nil
}
