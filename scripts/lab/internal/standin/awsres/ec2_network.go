package awsres

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var ec2Network = map[string]*resource{
	"aws:ec2/vpc:Vpc":                                     {Create: createVpc, Read: readVpc, Update: updateVpc, Delete: deleteVpc, Check: checkVpc, Diff: diffVpc},
	"aws:ec2/subnet:Subnet":                               {Create: createSubnet, Read: readSubnet, Update: updateSubnet, Delete: deleteSubnet, Diff: diffSubnet},
	"aws:ec2/internetGateway:InternetGateway":             {Create: createGateway, Read: readGateway, Update: updateGateway, Delete: deleteGateway},
	"aws:ec2/routeTable:RouteTable":                       {Create: createRouteTable, Read: readRouteTable, Update: updateRouteTable, Delete: deleteRouteTable, Check: checkRouteTable},
	"aws:ec2/route:Route":                                 {Create: createRoute, Read: readRoute, Update: updateRoute, Delete: deleteRoute, Check: checkRoute},
	"aws:ec2/routeTableAssociation:RouteTableAssociation": {Create: createAssociation, Read: readAssociation, Update: updateAssociation, Delete: deleteAssociation},
}

// --- VPC

func checkVpc(c *checker) {
	if !c.Given("cidrBlock") && !c.Given("ipv4IpamPoolId") {
		return // AWS refuses it; the provider's preview does not
	}
	if s, ok := c.In["cidrBlock"].(string); ok {
		if p, err := netip.ParsePrefix(s); err == nil && (p.Bits() < 16 || p.Bits() > 28) {
			c.Fail("cidrBlock", "expected %q to contain a network Value with between 16 and 28 significant bits, got: %d.", "cidrBlock", p.Bits())
		}
	}
}

func diffVpc(d *diff) {
	// Dedicated to default is the one change of tenancy that AWS makes in place.
	if engine.Str(d.Old, "instanceTenancy") != "dedicated" {
		d.Replace("instanceTenancy")
	}
}

func createVpc(ctx context.Context, c *call) (string, m, error) {
	out, err := c.Client.ec2().CreateVpc(ctx, &ec2.CreateVpcInput{
		CidrBlock:                       engine.StrPtr(c.In, "cidrBlock"),
		InstanceTenancy:                 types.Tenancy(engine.Str(c.In, "instanceTenancy")),
		AmazonProvidedIpv6CidrBlock:     engine.BoolPtr(c.In, "assignGeneratedIpv6CidrBlock"),
		Ipv4IpamPoolId:                  engine.StrPtr(c.In, "ipv4IpamPoolId"),
		Ipv4NetmaskLength:               engine.IntPtr(c.In, "ipv4NetmaskLength"),
		Ipv6IpamPoolId:                  engine.StrPtr(c.In, "ipv6IpamPoolId"),
		Ipv6CidrBlock:                   engine.StrPtr(c.In, "ipv6CidrBlock"),
		Ipv6NetmaskLength:               engine.IntPtr(c.In, "ipv6NetmaskLength"),
		Ipv6CidrBlockNetworkBorderGroup: engine.StrPtr(c.In, "ipv6CidrBlockNetworkBorderGroup"),
		TagSpecifications:               tagSpec(types.ResourceTypeVpc, c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating EC2 VPC: %w", err)
	}
	id := aws.ToString(out.Vpc.VpcId)
	err = engine.Wait(ctx, ec2Propagation, "EC2 VPC "+id, func(ctx context.Context) (bool, error) {
		v, err := findVpc(ctx, c.Client, id)
		if errors.Is(err, engine.ErrGone) {
			return false, nil
		}
		return err == nil && v.State == types.VpcStateAvailable, err
	})
	if err != nil {
		return id, nil, err
	}
	// AWS's initial values: DNS support on, the rest off. Only what differs is set.
	if engine.Has(c.In, "enableDnsSupport") && !engine.Bool(c.In, "enableDnsSupport") {
		err = c.Client.vpcAttribute(ctx, id, "enableDnsSupport", false)
	}
	for _, name := range []string{"enableDnsHostnames", "enableNetworkAddressUsageMetrics"} {
		if err == nil && engine.Bool(c.In, name) {
			err = c.Client.vpcAttribute(ctx, id, name, true)
		}
	}
	return id, nil, err
}

func (c *Client) vpcAttribute(ctx context.Context, id, name string, on bool) error {
	in := &ec2.ModifyVpcAttributeInput{VpcId: aws.String(id)}
	value := &types.AttributeBooleanValue{Value: aws.Bool(on)}
	switch name {
	case "enableDnsSupport":
		in.EnableDnsSupport = value
	case "enableDnsHostnames":
		in.EnableDnsHostnames = value
	case "enableNetworkAddressUsageMetrics":
		in.EnableNetworkAddressUsageMetrics = value
	}
	if _, err := c.ec2().ModifyVpcAttribute(ctx, in); err != nil {
		return fmt.Errorf("modifying EC2 VPC (%s) %s: %w", id, name, err)
	}
	return nil
}

func findVpc(ctx context.Context, c *Client, id string) (*types.Vpc, error) {
	out, err := c.ec2().DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{id}})
	if is(err, "InvalidVpcID.NotFound") || err == nil && len(out.Vpcs) == 0 {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading EC2 VPC (%s): %w", id, err)
	}
	return &out.Vpcs[0], nil
}

func readVpc(ctx context.Context, c *call) (m, error) {
	v, err := findVpc(ctx, c.Client, c.ID)
	if err != nil {
		return nil, err
	}
	state := m{
		"arn":             c.Client.arn("ec2", "vpc/"+c.ID),
		"cidrBlock":       aws.ToString(v.CidrBlock),
		"dhcpOptionsId":   aws.ToString(v.DhcpOptionsId),
		"instanceTenancy": string(v.InstanceTenancy),
		"ownerId":         aws.ToString(v.OwnerId),
		"tags":            readTags(v.Tags),
	}
	state["ipv6CidrBlock"], state["ipv6AssociationId"], state["ipv6CidrBlockNetworkBorderGroup"] = "", "", ""
	for _, a := range v.Ipv6CidrBlockAssociationSet {
		if a.Ipv6CidrBlockState != nil && a.Ipv6CidrBlockState.State == types.VpcCidrBlockStateCodeAssociated {
			state["ipv6CidrBlock"] = aws.ToString(a.Ipv6CidrBlock)
			state["ipv6AssociationId"] = aws.ToString(a.AssociationId)
			state["ipv6CidrBlockNetworkBorderGroup"] = aws.ToString(a.NetworkBorderGroup)
		}
	}
	for _, name := range []types.VpcAttributeName{
		types.VpcAttributeNameEnableDnsSupport, types.VpcAttributeNameEnableDnsHostnames,
		types.VpcAttributeNameEnableNetworkAddressUsageMetrics,
	} {
		out, err := c.Client.ec2().DescribeVpcAttribute(ctx, &ec2.DescribeVpcAttributeInput{VpcId: &c.ID, Attribute: name})
		if optional(err) != nil {
			return nil, fmt.Errorf("reading EC2 VPC (%s) attribute %s: %w", c.ID, name, err)
		}
		if err != nil {
			continue
		}
		for _, value := range []*types.AttributeBooleanValue{
			out.EnableDnsSupport, out.EnableDnsHostnames, out.EnableNetworkAddressUsageMetrics,
		} {
			if value != nil {
				state[string(name)] = aws.ToBool(value.Value)
			}
		}
	}
	if err := readVpcDefaults(ctx, c, state); err != nil {
		return nil, err
	}
	return state, nil
}

// readVpcDefaults looks up what AWS makes together with a VPC.
func readVpcDefaults(ctx context.Context, c *call, state m) error {
	acls, err := c.Client.ec2().DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{
		Filters: []types.Filter{filter("default", "true"), filter("vpc-id", c.ID)},
	})
	if optional(err) != nil {
		return fmt.Errorf("reading EC2 VPC (%s) default NACL: %w", c.ID, err)
	}
	if err == nil && len(acls.NetworkAcls) > 0 {
		state["defaultNetworkAclId"] = aws.ToString(acls.NetworkAcls[0].NetworkAclId)
	}
	tables, err := c.Client.ec2().DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{
		Filters: []types.Filter{filter("association.main", "true"), filter("vpc-id", c.ID)},
	})
	if optional(err) != nil {
		return fmt.Errorf("reading EC2 VPC (%s) main Route Table: %w", c.ID, err)
	}
	if err == nil && len(tables.RouteTables) > 0 {
		id := aws.ToString(tables.RouteTables[0].RouteTableId)
		state["mainRouteTableId"], state["defaultRouteTableId"] = id, id
	}
	groups, err := c.Client.ec2().DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{filter("group-name", "default"), filter("vpc-id", c.ID)},
	})
	if optional(err) != nil {
		return fmt.Errorf("reading EC2 VPC (%s) default Security Group: %w", c.ID, err)
	}
	if err == nil && len(groups.SecurityGroups) > 0 {
		state["defaultSecurityGroupId"] = aws.ToString(groups.SecurityGroups[0].GroupId)
	}
	return nil
}

func updateVpc(ctx context.Context, c *call) (m, error) {
	for _, name := range []string{"enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics"} {
		if c.Changed[name] {
			if err := c.Client.vpcAttribute(ctx, c.ID, name, engine.Bool(c.In, name)); err != nil {
				return nil, err
			}
		}
	}
	if c.Changed["instanceTenancy"] {
		if _, err := c.Client.ec2().ModifyVpcTenancy(ctx, &ec2.ModifyVpcTenancyInput{
			VpcId: &c.ID, InstanceTenancy: types.VpcTenancy(engine.Str(c.In, "instanceTenancy")),
		}); err != nil {
			return nil, fmt.Errorf("modifying EC2 VPC (%s) tenancy: %w", c.ID, err)
		}
	}
	if c.HasChanged("assignGeneratedIpv6CidrBlock", "ipv6CidrBlock", "ipv6IpamPoolId", "ipv6NetmaskLength") {
		return nil, fmt.Errorf("modifying EC2 VPC (%s) IPv6 association: not supported by the stand-in provider", c.ID)
	}
	return nil, updateEC2Tags(ctx, c, c.ID)
}

func deleteVpc(ctx context.Context, c *call) error {
	return deleteEC2(ctx, "VPC", c.ID, []string{"InvalidVpcID.NotFound"}, func(ctx context.Context) error {
		_, err := c.Client.ec2().DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: &c.ID})
		return err
	})
}

// --- Subnet

// subnetAttributes are set by separate calls once the subnet is there.
var subnetAttributes = []string{
	"assignIpv6AddressOnCreation", "enableDns64", "enableLniAtDeviceIndex", "enableResourceNameDnsAaaaRecordOnLaunch",
	"enableResourceNameDnsARecordOnLaunch", "mapPublicIpOnLaunch", "privateDnsHostnameTypeOnLaunch",
}

func diffSubnet(d *diff) {
	if engine.Bool(d.Old, "assignIpv6AddressOnCreation") {
		d.Replace("ipv6CidrBlock")
	}
}

func createSubnet(ctx context.Context, c *call) (string, m, error) {
	out, err := c.Client.ec2().CreateSubnet(ctx, &ec2.CreateSubnetInput{
		VpcId:              engine.StrPtr(c.In, "vpcId"),
		CidrBlock:          engine.StrPtr(c.In, "cidrBlock"),
		AvailabilityZone:   engine.StrPtr(c.In, "availabilityZone"),
		AvailabilityZoneId: engine.StrPtr(c.In, "availabilityZoneId"),
		Ipv6CidrBlock:      engine.StrPtr(c.In, "ipv6CidrBlock"),
		Ipv6Native:         trueOrNil(c.In, "ipv6Native"),
		OutpostArn:         engine.StrPtr(c.In, "outpostArn"),
		TagSpecifications:  tagSpec(types.ResourceTypeSubnet, c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating EC2 Subnet: %w", err)
	}
	id := aws.ToString(out.Subnet.SubnetId)
	err = engine.Wait(ctx, 10*time.Minute, "EC2 Subnet "+id, func(ctx context.Context) (bool, error) {
		s, err := findSubnet(ctx, c.Client, id)
		if errors.Is(err, engine.ErrGone) {
			return false, nil
		}
		return err == nil && s.State == types.SubnetStateAvailable, err
	})
	if err != nil {
		return id, nil, err
	}
	for _, name := range subnetAttributes {
		v := c.In[name]
		if v == nil || v == false {
			continue // AWS's initial value
		}
		if err := c.Client.subnetAttribute(ctx, id, name, c.In); err != nil {
			return id, nil, err
		}
	}
	return id, nil, nil
}

// trueOrNil leaves a false out of a request: it is what AWS takes anyway.
func trueOrNil(in m, name string) *bool {
	if engine.Bool(in, name) {
		return aws.Bool(true)
	}
	return nil
}

func (c *Client) subnetAttribute(ctx context.Context, id, name string, in m) error {
	req := &ec2.ModifySubnetAttributeInput{SubnetId: aws.String(id)}
	value := &types.AttributeBooleanValue{Value: aws.Bool(engine.Bool(in, name))}
	switch name {
	case "assignIpv6AddressOnCreation":
		req.AssignIpv6AddressOnCreation = value
	case "enableDns64":
		req.EnableDns64 = value
	case "enableLniAtDeviceIndex":
		req.EnableLniAtDeviceIndex = engine.IntPtr(in, name)
	case "enableResourceNameDnsAaaaRecordOnLaunch":
		req.EnableResourceNameDnsAAAARecordOnLaunch = value
	case "enableResourceNameDnsARecordOnLaunch":
		req.EnableResourceNameDnsARecordOnLaunch = value
	case "mapPublicIpOnLaunch":
		req.MapPublicIpOnLaunch = value
	case "privateDnsHostnameTypeOnLaunch":
		req.PrivateDnsHostnameTypeOnLaunch = types.HostnameType(engine.Str(in, name))
	}
	if _, err := c.ec2().ModifySubnetAttribute(ctx, req); err != nil {
		return fmt.Errorf("setting EC2 Subnet (%s) %s: %w", id, name, err)
	}
	return nil
}

func findSubnet(ctx context.Context, c *Client, id string) (*types.Subnet, error) {
	out, err := c.ec2().DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{id}})
	if is(err, "InvalidSubnetID.NotFound") || err == nil && len(out.Subnets) == 0 {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading EC2 Subnet (%s): %w", id, err)
	}
	return &out.Subnets[0], nil
}

func readSubnet(ctx context.Context, c *call) (m, error) {
	s, err := findSubnet(ctx, c.Client, c.ID)
	if err != nil {
		return nil, err
	}
	state := m{
		"arn":                         aws.ToString(s.SubnetArn),
		"vpcId":                       aws.ToString(s.VpcId),
		"cidrBlock":                   aws.ToString(s.CidrBlock),
		"availabilityZone":            aws.ToString(s.AvailabilityZone),
		"availabilityZoneId":          aws.ToString(s.AvailabilityZoneId),
		"assignIpv6AddressOnCreation": aws.ToBool(s.AssignIpv6AddressOnCreation),
		"enableDns64":                 aws.ToBool(s.EnableDns64),
		"ipv6Native":                  aws.ToBool(s.Ipv6Native),
		"mapPublicIpOnLaunch":         aws.ToBool(s.MapPublicIpOnLaunch),
		"ownerId":                     aws.ToString(s.OwnerId),
		"tags":                        readTags(s.Tags),
		"ipv6CidrBlock":               "",
		"ipv6CidrBlockAssociationId":  "",
	}
	if state["arn"] == "" {
		state["arn"] = c.Client.arn("ec2", "subnet/"+c.ID)
	}
	for _, a := range s.Ipv6CidrBlockAssociationSet {
		if a.Ipv6CidrBlockState != nil && a.Ipv6CidrBlockState.State == types.SubnetCidrBlockStateCodeAssociated {
			state["ipv6CidrBlock"] = aws.ToString(a.Ipv6CidrBlock)
			state["ipv6CidrBlockAssociationId"] = aws.ToString(a.AssociationId)
		}
	}
	if o := s.PrivateDnsNameOptionsOnLaunch; o != nil {
		state["privateDnsHostnameTypeOnLaunch"] = string(o.HostnameType)
		state["enableResourceNameDnsARecordOnLaunch"] = aws.ToBool(o.EnableResourceNameDnsARecord)
		state["enableResourceNameDnsAaaaRecordOnLaunch"] = aws.ToBool(o.EnableResourceNameDnsAAAARecord)
	}
	return state, nil
}

func updateSubnet(ctx context.Context, c *call) (m, error) {
	for _, name := range subnetAttributes {
		if c.Changed[name] {
			if err := c.Client.subnetAttribute(ctx, c.ID, name, c.In); err != nil {
				return nil, err
			}
		}
	}
	return nil, updateEC2Tags(ctx, c, c.ID)
}

func deleteSubnet(ctx context.Context, c *call) error {
	if err := lingering(ctx, c, "subnet-id"); err != nil {
		return fmt.Errorf("deleting ENIs for EC2 Subnet (%s): %w", c.ID, err)
	}
	return deleteEC2(ctx, "Subnet", c.ID, []string{"InvalidSubnetID.NotFound"}, func(ctx context.Context) error {
		_, err := c.Client.ec2().DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &c.ID})
		return err
	})
}

// --- Internet gateway

func createGateway(ctx context.Context, c *call) (string, m, error) {
	out, err := c.Client.ec2().CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{
		TagSpecifications: tagSpec(types.ResourceTypeInternetGateway, c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating EC2 Internet Gateway: %w", err)
	}
	id := aws.ToString(out.InternetGateway.InternetGatewayId)
	if vpc := engine.Str(c.In, "vpcId"); vpc != "" {
		return id, nil, c.Client.attachGateway(ctx, id, vpc)
	}
	return id, nil, nil
}

func (c *Client) attachGateway(ctx context.Context, id, vpc string) error {
	err := engine.Retry(ctx, ec2Propagation, func(err error) bool { return is(err, "InvalidInternetGatewayID.NotFound") },
		func(ctx context.Context) error {
			_, err := c.ec2().AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: &id, VpcId: &vpc})
			return err
		})
	if err != nil {
		return fmt.Errorf("attaching EC2 Internet Gateway (%s) to VPC (%s): %w", id, vpc, err)
	}
	return nil
}

func (c *Client) detachGateway(ctx context.Context, id, vpc string) error {
	err := engine.Retry(ctx, dependencyWait, func(err error) bool { return is(err, "DependencyViolation") },
		func(ctx context.Context) error {
			_, err := c.ec2().DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &id, VpcId: &vpc})
			return err
		})
	if err = absent(err, "Gateway.NotAttached", "InvalidInternetGatewayID.NotFound"); err != nil {
		return fmt.Errorf("detaching EC2 Internet Gateway (%s) from VPC (%s): %w", id, vpc, err)
	}
	return nil
}

func readGateway(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.ec2().DescribeInternetGateways(ctx, &ec2.DescribeInternetGatewaysInput{InternetGatewayIds: []string{c.ID}})
	if is(err, "InvalidInternetGatewayID.NotFound") || err == nil && len(out.InternetGateways) == 0 {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading EC2 Internet Gateway (%s): %w", c.ID, err)
	}
	g := out.InternetGateways[0]
	state := m{
		"arn": c.Client.arn("ec2", "internet-gateway/"+c.ID), "ownerId": owner(c.Client, g.OwnerId),
		"tags": readTags(g.Tags), "vpcId": "",
	}
	if len(g.Attachments) > 0 {
		state["vpcId"] = aws.ToString(g.Attachments[0].VpcId)
	}
	return state, nil
}

// owner returns an owner that the API reports, or the provider's own account where it reports none.
func owner(c *Client, id *string) string {
	if s := aws.ToString(id); s != "" {
		return s
	}
	return c.Account
}

func updateGateway(ctx context.Context, c *call) (m, error) {
	if c.Changed["vpcId"] {
		if old := engine.Str(c.Old, "vpcId"); old != "" {
			if err := c.Client.detachGateway(ctx, c.ID, old); err != nil {
				return nil, err
			}
		}
		if vpc := engine.Str(c.In, "vpcId"); vpc != "" {
			if err := c.Client.attachGateway(ctx, c.ID, vpc); err != nil {
				return nil, err
			}
		}
	}
	return nil, updateEC2Tags(ctx, c, c.ID)
}

func deleteGateway(ctx context.Context, c *call) error {
	if vpc := engine.Str(c.Old, "vpcId"); vpc != "" {
		if err := c.Client.detachGateway(ctx, c.ID, vpc); err != nil {
			return err
		}
	}
	return deleteEC2(ctx, "Internet Gateway", c.ID, []string{"InvalidInternetGatewayID.NotFound"}, func(ctx context.Context) error {
		_, err := c.Client.ec2().DeleteInternetGateway(ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: &c.ID})
		return err
	})
}

// --- Route table

var routeTargets = []string{
	"carrierGatewayId", "coreNetworkArn", "egressOnlyGatewayId", "gatewayId", "localGatewayId", "natGatewayId",
	"networkInterfaceId", "transitGatewayId", "vpcEndpointId", "vpcPeeringConnectionId",
}

func checkRouteTable(c *checker) {
	routes, _ := c.In["routes"].([]any)
	for i, e := range routes {
		route, ok := e.(m)
		if !ok {
			continue
		}
		path := fmt.Sprintf("routes[%d]", i)
		if n := countGiven(route, "cidrBlock", "ipv6CidrBlock", "destinationPrefixListId"); n != 1 {
			c.Fail(path, "exactly one of cidrBlock, ipv6CidrBlock, destinationPrefixListId is needed, got %d.", n)
		}
		if n := countGiven(route, routeTargets...); n != 1 {
			c.Fail(path, "exactly one target is needed, got %d.", n)
		}
	}
}

func countGiven(in m, properties ...string) int {
	n := 0
	for _, name := range properties {
		if v, ok := in[name]; ok && v != "" {
			n++
		}
	}
	return n
}

func createRouteTable(ctx context.Context, c *call) (string, m, error) {
	out, err := c.Client.ec2().CreateRouteTable(ctx, &ec2.CreateRouteTableInput{
		VpcId: engine.StrPtr(c.In, "vpcId"), TagSpecifications: tagSpec(types.ResourceTypeRouteTable, c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating Route Table: %w", err)
	}
	id := aws.ToString(out.RouteTable.RouteTableId)
	for _, gateway := range engine.Strs(c.In, "propagatingVgws") {
		if err := c.Client.propagate(ctx, id, gateway, true); err != nil {
			return id, nil, err
		}
	}
	for _, route := range engine.Objs(c.In, "routes") {
		if err := c.Client.addRoute(ctx, id, inlineRoute(route)); err != nil {
			return id, nil, err
		}
	}
	return id, nil, nil
}

func (c *Client) propagate(ctx context.Context, table, gateway string, on bool) error {
	var err error
	if on {
		_, err = c.ec2().EnableVgwRoutePropagation(ctx, &ec2.EnableVgwRoutePropagationInput{RouteTableId: &table, GatewayId: &gateway})
	} else {
		_, err = c.ec2().DisableVgwRoutePropagation(ctx, &ec2.DisableVgwRoutePropagationInput{RouteTableId: &table, GatewayId: &gateway})
	}
	if err != nil {
		return fmt.Errorf("route propagation of %s to Route Table (%s): %w", gateway, table, err)
	}
	return nil
}

// inlineRoute names the destination of an inline route as ec2.Route does.
func inlineRoute(route m) m {
	out := m{}
	for k, v := range route {
		switch k {
		case "cidrBlock":
			k = "destinationCidrBlock"
		case "ipv6CidrBlock":
			k = "destinationIpv6CidrBlock"
		}
		out[k] = v
	}
	return out
}

func findRouteTable(ctx context.Context, c *Client, id string) (*types.RouteTable, error) {
	out, err := c.ec2().DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{id}})
	if is(err, "InvalidRouteTableID.NotFound") || err == nil && len(out.RouteTables) == 0 {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading Route Table (%s): %w", id, err)
	}
	return &out.RouteTables[0], nil
}

func readRouteTable(ctx context.Context, c *call) (m, error) {
	t, err := findRouteTable(ctx, c.Client, c.ID)
	if err != nil {
		return nil, err
	}
	gateways := []string{}
	for _, g := range t.PropagatingVgws {
		gateways = append(gateways, aws.ToString(g.GatewayId))
	}
	routes := []any{}
	for _, r := range t.Routes {
		if aws.ToString(r.GatewayId) == "local" || r.Origin == types.RouteOriginEnableVgwRoutePropagation {
			continue
		}
		route := routeState(r)
		if v, ok := route["destinationCidrBlock"]; ok {
			route["cidrBlock"] = v
		}
		if v, ok := route["destinationIpv6CidrBlock"]; ok {
			route["ipv6CidrBlock"] = v
		}
		for _, name := range []string{"destinationCidrBlock", "destinationIpv6CidrBlock", "instanceId", "instanceOwnerId", "origin", "state"} {
			delete(route, name)
		}
		routes = append(routes, route)
	}
	return m{
		"arn": c.Client.arn("ec2", "route-table/"+c.ID), "ownerId": owner(c.Client, t.OwnerId), "vpcId": aws.ToString(t.VpcId),
		"propagatingVgws": engine.SortedList(gateways), "routes": routes, "tags": readTags(t.Tags),
	}, nil
}

func updateRouteTable(ctx context.Context, c *call) (m, error) {
	if c.Changed["propagatingVgws"] {
		add, remove := engine.SetChanges(engine.Strs(c.Old, "propagatingVgws"), engine.Strs(c.In, "propagatingVgws"))
		for _, g := range remove {
			if err := c.Client.propagate(ctx, c.ID, g, false); err != nil {
				return nil, err
			}
		}
		for _, g := range add {
			if err := c.Client.propagate(ctx, c.ID, g, true); err != nil {
				return nil, err
			}
		}
	}
	if c.Changed["routes"] {
		old, now := map[string]m{}, map[string]m{}
		for _, r := range engine.Objs(c.Old, "routes") {
			old[destination(inlineRoute(r))] = inlineRoute(r)
		}
		for _, r := range engine.Objs(c.In, "routes") {
			now[destination(inlineRoute(r))] = inlineRoute(r)
		}
		for d, r := range old {
			if _, kept := now[d]; !kept {
				if err := c.Client.removeRoute(ctx, c.ID, r); err != nil {
					return nil, err
				}
			}
		}
		for d, r := range now {
			var err error
			if _, had := old[d]; had {
				err = c.Client.replaceRoute(ctx, c.ID, r)
			} else {
				err = c.Client.addRoute(ctx, c.ID, r)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return nil, updateEC2Tags(ctx, c, c.ID)
}

func deleteRouteTable(ctx context.Context, c *call) error {
	t, err := findRouteTable(ctx, c.Client, c.ID)
	if errors.Is(err, engine.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, a := range t.Associations {
		if aws.ToBool(a.Main) {
			continue
		}
		if err := c.Client.disassociate(ctx, aws.ToString(a.RouteTableAssociationId)); err != nil {
			return err
		}
	}
	return deleteEC2(ctx, "Route Table", c.ID, []string{"InvalidRouteTableID.NotFound"}, func(ctx context.Context) error {
		_, err := c.Client.ec2().DeleteRouteTable(ctx, &ec2.DeleteRouteTableInput{RouteTableId: &c.ID})
		return err
	})
}

// --- Route

func checkRoute(c *checker) {
	c.Exactly("destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId")
	c.Exactly(routeTargets...)
	for target, dest := range map[string]string{
		"carrierGatewayId": "destinationIpv6CidrBlock", "egressOnlyGatewayId": "destinationCidrBlock",
		"vpcEndpointId": "destinationPrefixListId",
	} {
		if c.Given(target) && c.Given(dest) {
			c.Fail(target, "Conflicting configuration arguments. %q: conflicts with %s.", target, dest)
		}
	}
	if c.In["gatewayId"] == "local" {
		c.Fail("gatewayId", "cannot create a route with the local target: AWS makes it.")
	}
}

func destination(in m) string {
	return engine.Str(in, "destinationCidrBlock") + engine.Str(in, "destinationIpv6CidrBlock") + engine.Str(in, "destinationPrefixListId")
}

func (c *Client) addRoute(ctx context.Context, table string, in m) error {
	err := engine.Retry(ctx, ec2Propagation, func(err error) bool {
		return is(err, "InvalidParameterException", "InvalidTransitGatewayID.NotFound", "InvalidRouteTableID.NotFound", "InvalidGatewayID.NotFound")
	}, func(ctx context.Context) error {
		_, err := c.ec2().CreateRoute(ctx, &ec2.CreateRouteInput{
			RouteTableId:                &table,
			DestinationCidrBlock:        engine.StrPtr(in, "destinationCidrBlock"),
			DestinationIpv6CidrBlock:    engine.StrPtr(in, "destinationIpv6CidrBlock"),
			DestinationPrefixListId:     engine.StrPtr(in, "destinationPrefixListId"),
			CarrierGatewayId:            engine.StrPtr(in, "carrierGatewayId"),
			CoreNetworkArn:              engine.StrPtr(in, "coreNetworkArn"),
			EgressOnlyInternetGatewayId: engine.StrPtr(in, "egressOnlyGatewayId"),
			GatewayId:                   engine.StrPtr(in, "gatewayId"),
			LocalGatewayId:              engine.StrPtr(in, "localGatewayId"),
			NatGatewayId:                engine.StrPtr(in, "natGatewayId"),
			NetworkInterfaceId:          engine.StrPtr(in, "networkInterfaceId"),
			TransitGatewayId:            engine.StrPtr(in, "transitGatewayId"),
			VpcEndpointId:               engine.StrPtr(in, "vpcEndpointId"),
			VpcPeeringConnectionId:      engine.StrPtr(in, "vpcPeeringConnectionId"),
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("creating Route in Route Table (%s) with destination (%s): %w", table, destination(in), err)
	}
	return nil
}

func (c *Client) replaceRoute(ctx context.Context, table string, in m) error {
	_, err := c.ec2().ReplaceRoute(ctx, &ec2.ReplaceRouteInput{
		RouteTableId:                &table,
		DestinationCidrBlock:        engine.StrPtr(in, "destinationCidrBlock"),
		DestinationIpv6CidrBlock:    engine.StrPtr(in, "destinationIpv6CidrBlock"),
		DestinationPrefixListId:     engine.StrPtr(in, "destinationPrefixListId"),
		CarrierGatewayId:            engine.StrPtr(in, "carrierGatewayId"),
		CoreNetworkArn:              engine.StrPtr(in, "coreNetworkArn"),
		EgressOnlyInternetGatewayId: engine.StrPtr(in, "egressOnlyGatewayId"),
		GatewayId:                   engine.StrPtr(in, "gatewayId"),
		LocalGatewayId:              engine.StrPtr(in, "localGatewayId"),
		NatGatewayId:                engine.StrPtr(in, "natGatewayId"),
		NetworkInterfaceId:          engine.StrPtr(in, "networkInterfaceId"),
		TransitGatewayId:            engine.StrPtr(in, "transitGatewayId"),
		VpcEndpointId:               engine.StrPtr(in, "vpcEndpointId"),
		VpcPeeringConnectionId:      engine.StrPtr(in, "vpcPeeringConnectionId"),
	})
	if err != nil {
		return fmt.Errorf("updating Route in Route Table (%s) with destination (%s): %w", table, destination(in), err)
	}
	return nil
}

func (c *Client) removeRoute(ctx context.Context, table string, in m) error {
	_, err := c.ec2().DeleteRoute(ctx, &ec2.DeleteRouteInput{
		RouteTableId:             &table,
		DestinationCidrBlock:     engine.StrPtr(in, "destinationCidrBlock"),
		DestinationIpv6CidrBlock: engine.StrPtr(in, "destinationIpv6CidrBlock"),
		DestinationPrefixListId:  engine.StrPtr(in, "destinationPrefixListId"),
	})
	if err = absent(err, "InvalidRoute.NotFound", "InvalidRouteTableID.NotFound"); err != nil {
		return fmt.Errorf("deleting Route in Route Table (%s) with destination (%s): %w", table, destination(in), err)
	}
	return nil
}

func createRoute(ctx context.Context, c *call) (string, m, error) {
	table := engine.Str(c.In, "routeTableId")
	if err := c.Client.addRoute(ctx, table, c.In); err != nil {
		return "", nil, err
	}
	// Terraform's id of a route: the table and a hash of the destination.
	id := fmt.Sprintf("r-%s%d", table, crc32.ChecksumIEEE([]byte(destination(c.In))))
	err := engine.Wait(ctx, ec2Propagation, "Route "+id, func(ctx context.Context) (bool, error) {
		_, err := findRoute(ctx, c.Client, table, c.In)
		if errors.Is(err, engine.ErrGone) {
			return false, nil
		}
		return err == nil, err
	})
	return id, nil, err
}

func findRoute(ctx context.Context, c *Client, table string, in m) (*types.Route, error) {
	t, err := findRouteTable(ctx, c, table)
	if err != nil {
		return nil, err
	}
	want := destination(in)
	for i, r := range t.Routes {
		if want == aws.ToString(r.DestinationCidrBlock)+aws.ToString(r.DestinationIpv6CidrBlock)+aws.ToString(r.DestinationPrefixListId) {
			return &t.Routes[i], nil
		}
	}
	return nil, engine.ErrGone
}

func routeState(r types.Route) m {
	state := m{"origin": string(r.Origin), "state": string(r.State)}
	gateway := aws.ToString(r.GatewayId)
	for name, v := range map[string]*string{
		"destinationCidrBlock": r.DestinationCidrBlock, "destinationIpv6CidrBlock": r.DestinationIpv6CidrBlock,
		"destinationPrefixListId": r.DestinationPrefixListId, "carrierGatewayId": r.CarrierGatewayId,
		"coreNetworkArn": r.CoreNetworkArn, "egressOnlyGatewayId": r.EgressOnlyInternetGatewayId, "instanceId": r.InstanceId,
		"instanceOwnerId": r.InstanceOwnerId, "localGatewayId": r.LocalGatewayId, "natGatewayId": r.NatGatewayId,
		"networkInterfaceId": r.NetworkInterfaceId, "transitGatewayId": r.TransitGatewayId,
		"vpcPeeringConnectionId": r.VpcPeeringConnectionId,
	} {
		if s := aws.ToString(v); s != "" {
			state[name] = s
		}
	}
	switch {
	case strings.HasPrefix(gateway, "vpce-"):
		state["vpcEndpointId"] = gateway
	case gateway != "":
		state["gatewayId"] = gateway
	}
	return state
}

func readRoute(ctx context.Context, c *call) (m, error) {
	in := c.Old
	table := engine.Str(in, "routeTableId")
	if table == "" { // an import: ROUTETABLE_DESTINATION
		var dest string
		var ok bool
		if table, dest, ok = strings.Cut(c.ID, "_"); !ok {
			return nil, fmt.Errorf("unexpected format of ID (%s), expected ROUTETABLEID_DESTINATION", c.ID)
		}
		in = m{"destinationCidrBlock": dest}
	}
	r, err := findRoute(ctx, c.Client, table, in)
	if err != nil {
		return nil, err
	}
	state := routeState(*r)
	state["routeTableId"] = table
	for _, target := range routeTargets { // a changed target shows as the old one gone
		if engine.Has(c.Old, target) && !engine.Has(state, target) {
			state[target] = ""
		}
	}
	for _, name := range []string{"instanceId", "instanceOwnerId", "networkInterfaceId"} {
		if !engine.Has(state, name) {
			state[name] = ""
		}
	}
	return state, nil
}

func updateRoute(ctx context.Context, c *call) (m, error) {
	return nil, c.Client.replaceRoute(ctx, engine.Str(c.In, "routeTableId"), c.In)
}

func deleteRoute(ctx context.Context, c *call) error {
	return c.Client.removeRoute(ctx, engine.Str(c.Old, "routeTableId"), c.Old)
}

// --- Route table association

func createAssociation(ctx context.Context, c *call) (string, m, error) {
	var id string
	err := engine.Retry(ctx, ec2Propagation, func(err error) bool { return is(err, "InvalidRouteTableID.NotFound") },
		func(ctx context.Context) error {
			out, err := c.Client.ec2().AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{
				RouteTableId: engine.StrPtr(c.In, "routeTableId"),
				SubnetId:     engine.StrPtr(c.In, "subnetId"), GatewayId: engine.StrPtr(c.In, "gatewayId"),
			})
			if err == nil {
				id = aws.ToString(out.AssociationId)
			}
			return err
		})
	if err != nil {
		return "", nil, fmt.Errorf("creating Route Table Association: %w", err)
	}
	err = engine.Wait(ctx, ec2Propagation, "Route Table Association "+id, func(ctx context.Context) (bool, error) {
		a, err := findAssociation(ctx, c.Client, id, c.In)
		if errors.Is(err, engine.ErrGone) {
			return false, nil
		}
		return err == nil && (a.AssociationState == nil || a.AssociationState.State == types.RouteTableAssociationStateCodeAssociated), err
	})
	return id, nil, err
}

// findAssociation finds an association by its id or, since changing the table makes a new id, by what it associates.
func findAssociation(ctx context.Context, c *Client, id string, in m) (*types.RouteTableAssociation, error) {
	filters := []types.Filter{filter("association.route-table-association-id", id)}
	subnet, gateway := engine.Str(in, "subnetId"), engine.Str(in, "gatewayId")
	switch {
	case subnet != "":
		filters = []types.Filter{filter("association.subnet-id", subnet)}
	case gateway != "":
		filters = []types.Filter{filter("association.gateway-id", gateway)}
	}
	out, err := c.ec2().DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: filters})
	if err != nil {
		return nil, fmt.Errorf("reading Route Table Association (%s): %w", id, err)
	}
	for _, t := range out.RouteTables {
		for i, a := range t.Associations {
			if aws.ToString(a.RouteTableAssociationId) == id ||
				subnet != "" && aws.ToString(a.SubnetId) == subnet || gateway != "" && aws.ToString(a.GatewayId) == gateway {
				if a.RouteTableId == nil {
					t.Associations[i].RouteTableId = t.RouteTableId
				}
				return &t.Associations[i], nil
			}
		}
	}
	return nil, engine.ErrGone
}

func readAssociation(ctx context.Context, c *call) (m, error) {
	a, err := findAssociation(ctx, c.Client, c.ID, c.Old)
	if err != nil {
		return nil, err
	}
	return m{
		"routeTableId": aws.ToString(a.RouteTableId), "subnetId": aws.ToString(a.SubnetId), "gatewayId": aws.ToString(a.GatewayId),
	}, nil
}

func updateAssociation(ctx context.Context, c *call) (m, error) {
	a, err := findAssociation(ctx, c.Client, c.ID, c.Old)
	if err != nil {
		return nil, err
	}
	if _, err := c.Client.ec2().ReplaceRouteTableAssociation(ctx, &ec2.ReplaceRouteTableAssociationInput{
		AssociationId: a.RouteTableAssociationId, RouteTableId: engine.StrPtr(c.In, "routeTableId"),
	}); err != nil {
		return nil, fmt.Errorf("updating Route Table Association (%s): %w", c.ID, err)
	}
	return nil, nil
}

func (c *Client) disassociate(ctx context.Context, id string) error {
	_, err := c.ec2().DisassociateRouteTable(ctx, &ec2.DisassociateRouteTableInput{AssociationId: &id})
	if err = absent(err, "InvalidAssociationID.NotFound"); err != nil {
		return fmt.Errorf("deleting Route Table Association (%s): %w", id, err)
	}
	return nil
}

func deleteAssociation(ctx context.Context, c *call) error {
	a, err := findAssociation(ctx, c.Client, c.ID, c.Old)
	if errors.Is(err, engine.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	id := aws.ToString(a.RouteTableAssociationId)
	if id != c.ID && aws.ToString(a.RouteTableId) != engine.Str(c.Old, "routeTableId") {
		return nil // somebody else's, on the same subnet
	}
	return c.Client.disassociate(ctx, id)
}
