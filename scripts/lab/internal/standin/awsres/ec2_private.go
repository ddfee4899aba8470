package awsres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// ec2Private are the ways out of private subnets.
var ec2Private = map[string]*resource{
	"aws:ec2/natGateway:NatGateway": {Create: createNat, Read: readNat, Update: updateNat, Delete: deleteNat, Check: checkNat},
	"aws:ec2/vpcEndpoint:VpcEndpoint": {
		Create: createEndpoint, Read: readEndpoint, Update: updateEndpoint, Delete: deleteEndpoint, Diff: diffEndpoint,
		Volatile: func(changed map[string]bool) []string {
			if changed["subnetIds"] {
				return []string{"networkInterfaceIds"}
			}
			return nil
		},
		Same: map[string]func(old, new any) bool{"ipAddressType": func(old, new any) bool {
			a, _ := old.(string)
			b, _ := new.(string)
			return strings.EqualFold(a, b)
		}},
	},
}

// How long AWS may take for each step, as in the provider.
const (
	natCreate      = 10 * time.Minute
	natDelete      = 30 * time.Minute
	endpointChange = 10 * time.Minute
)

// --- NAT gateway

func checkNat(c *checker) {
	switch engine.Str(c.In, "connectivityType") {
	case "private":
		for _, name := range []string{"allocationId", "secondaryAllocationIds"} {
			if c.Given(name) {
				c.Fail(name, `%s is not supported with connectivityType = "private"`, name)
			}
		}
	case "public":
		if c.Given("secondaryPrivateIpAddressCount") {
			c.Fail("secondaryPrivateIpAddressCount", `secondaryPrivateIpAddressCount is not supported with connectivityType = "public"`)
		}
	}
}

func createNat(ctx context.Context, c *call) (string, m, error) {
	out, err := c.Client.ec2().CreateNatGateway(ctx, &ec2.CreateNatGatewayInput{
		SubnetId: engine.StrPtr(c.In, "subnetId"), AllocationId: engine.StrPtr(c.In, "allocationId"),
		ConnectivityType: types.ConnectivityType(engine.Str(c.In, "connectivityType")), PrivateIpAddress: engine.StrPtr(c.In, "privateIp"),
		SecondaryAllocationIds:         engine.Strs(c.In, "secondaryAllocationIds"),
		SecondaryPrivateIpAddressCount: engine.IntPtr(c.In, "secondaryPrivateIpAddressCount"),
		SecondaryPrivateIpAddresses:    engine.Strs(c.In, "secondaryPrivateIpAddresses"),
		TagSpecifications:              tagSpec(types.ResourceTypeNatgateway, c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating EC2 NAT Gateway: %w", err)
	}
	id := aws.ToString(out.NatGateway.NatGatewayId)
	err = engine.Wait(ctx, natCreate, "EC2 NAT Gateway "+id, func(ctx context.Context) (bool, error) {
		n, err := findNat(ctx, c.Client, id)
		switch {
		case errors.Is(err, engine.ErrGone):
			return false, nil
		case err != nil:
			return false, err
		case n.State == types.NatGatewayStateFailed:
			return false, fmt.Errorf("waiting for EC2 NAT Gateway (%s) create: %s: %s", id, aws.ToString(n.FailureCode), aws.ToString(n.FailureMessage))
		}
		return n.State == types.NatGatewayStateAvailable, nil
	})
	return id, nil, err
}

// findNat finds a gateway that is not deleted.
func findNat(ctx context.Context, c *Client, id string) (*types.NatGateway, error) {
	out, err := c.ec2().DescribeNatGateways(ctx, &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{id}})
	if is(err, "NatGatewayNotFound") || err == nil && (len(out.NatGateways) == 0 || out.NatGateways[0].State == types.NatGatewayStateDeleted) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading EC2 NAT Gateway (%s): %w", id, err)
	}
	return &out.NatGateways[0], nil
}

func readNat(ctx context.Context, c *call) (m, error) {
	n, err := findNat(ctx, c.Client, c.ID)
	if err != nil {
		return nil, err
	}
	state := m{"connectivityType": string(n.ConnectivityType), "subnetId": aws.ToString(n.SubnetId), "tags": readTags(n.Tags)}
	var allocations, addresses []string
	for _, a := range n.NatGatewayAddresses {
		if aws.ToBool(a.IsPrimary) || len(n.NatGatewayAddresses) == 1 {
			for name, v := range map[string]*string{"allocationId": a.AllocationId, "associationId": a.AssociationId,
				"networkInterfaceId": a.NetworkInterfaceId, "privateIp": a.PrivateIp, "publicIp": a.PublicIp} {
				state[name] = aws.ToString(v)
			}
			continue
		}
		if id := aws.ToString(a.AllocationId); id != "" {
			allocations = append(allocations, id)
		}
		if ip := aws.ToString(a.PrivateIp); ip != "" {
			addresses = append(addresses, ip)
		}
	}
	state["secondaryAllocationIds"] = engine.SortedList(allocations)
	state["secondaryPrivateIpAddresses"] = engine.SortedList(addresses)
	state["secondaryPrivateIpAddressCount"] = float64(len(addresses))
	return state, nil
}

func updateNat(ctx context.Context, c *call) (m, error) {
	if c.HasChanged("secondaryAllocationIds", "secondaryPrivateIpAddresses") {
		return nil, fmt.Errorf("modifying EC2 NAT Gateway (%s) secondary addresses: not supported by the stand-in provider", c.ID)
	}
	return nil, updateEC2Tags(ctx, c, c.ID)
}

func deleteNat(ctx context.Context, c *call) error {
	_, err := c.Client.ec2().DeleteNatGateway(ctx, &ec2.DeleteNatGatewayInput{NatGatewayId: &c.ID})
	if is(err, "NatGatewayNotFound") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting EC2 NAT Gateway (%s): %w", c.ID, err)
	}
	return engine.Wait(ctx, natDelete, "EC2 NAT Gateway "+c.ID+" delete", func(ctx context.Context) (bool, error) {
		_, err := findNat(ctx, c.Client, c.ID)
		if errors.Is(err, engine.ErrGone) {
			return true, nil
		}
		return false, err
	})
}

// --- VPC endpoint

// diffEndpoint replaces where private DNS changes on an endpoint that cannot have it.
func diffEndpoint(d *diff) {
	if engine.Str(d.Old, "vpcEndpointType") != string(types.VpcEndpointTypeInterface) {
		d.Replace("privateDnsEnabled")
	}
}

// dnsOptions are the endpoint's, nil where there are none. Only S3's interface endpoints know the one about inbound
// resolvers.
func dnsOptions(in m) *types.DnsOptionsSpecification {
	o := engine.Obj(in, "dnsOptions")
	if o == nil {
		return nil
	}
	out := &types.DnsOptionsSpecification{DnsRecordIpType: types.DnsRecordIpType(engine.Str(o, "dnsRecordIpType"))}
	if strings.HasSuffix(engine.Str(in, "serviceName"), ".s3") && engine.Str(in, "vpcEndpointType") == string(types.VpcEndpointTypeInterface) {
		out.PrivateDnsOnlyForInboundResolverEndpoint = engine.BoolPtr(o, "privateDnsOnlyForInboundResolverEndpoint")
	}
	return out
}

func createEndpoint(ctx context.Context, c *call) (string, m, error) {
	service := engine.Str(c.In, "serviceName")
	out, err := c.Client.ec2().CreateVpcEndpoint(ctx, &ec2.CreateVpcEndpointInput{
		VpcId: engine.StrPtr(c.In, "vpcId"), ServiceName: engine.StrPtr(c.In, "serviceName"), ServiceRegion: engine.StrPtr(c.In, "serviceRegion"),
		VpcEndpointType:   types.VpcEndpointType(engine.Str(c.In, "vpcEndpointType")),
		PrivateDnsEnabled: aws.Bool(engine.Bool(c.In, "privateDnsEnabled")), IpAddressType: types.IpAddressType(engine.Str(c.In, "ipAddressType")),
		DnsOptions: dnsOptions(c.In), PolicyDocument: engine.StrPtr(c.In, "policy"),
		RouteTableIds: engine.Strs(c.In, "routeTableIds"), SubnetIds: engine.Strs(c.In, "subnetIds"), SecurityGroupIds: engine.Strs(c.In, "securityGroupIds"),
		TagSpecifications: tagSpec(types.ResourceTypeVpcEndpoint, c.Tags()),
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating EC2 VPC Endpoint (%s): %w", service, err)
	}
	id := aws.ToString(out.VpcEndpoint.VpcEndpointId)
	return id, nil, c.Client.endpointAvailable(ctx, id)
}

func (c *Client) endpointAvailable(ctx context.Context, id string) error {
	return engine.Wait(ctx, endpointChange, "EC2 VPC Endpoint "+id, func(ctx context.Context) (bool, error) {
		e, err := findEndpoint(ctx, c, id)
		if errors.Is(err, engine.ErrGone) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		// States are spelled in more than one way.
		switch state := string(e.State); {
		case strings.EqualFold(state, "failed"), strings.EqualFold(state, "rejected"):
			return false, fmt.Errorf("waiting for EC2 VPC Endpoint (%s): its state is %s", id, state)
		default:
			return strings.EqualFold(state, "available") || strings.EqualFold(state, "pendingAcceptance"), nil
		}
	})
}

func findEndpoint(ctx context.Context, c *Client, id string) (*types.VpcEndpoint, error) {
	out, err := c.ec2().DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{id}})
	if is(err, "InvalidVpcEndpointId.NotFound", "InvalidVpcEndpoint.NotFound") ||
		err == nil && (len(out.VpcEndpoints) == 0 || strings.EqualFold(string(out.VpcEndpoints[0].State), "deleted")) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading EC2 VPC Endpoint (%s): %w", id, err)
	}
	return &out.VpcEndpoints[0], nil
}

func readEndpoint(ctx context.Context, c *call) (m, error) {
	e, err := findEndpoint(ctx, c.Client, c.ID)
	if err != nil {
		return nil, err
	}
	var groups []string
	for _, g := range e.Groups {
		groups = append(groups, aws.ToString(g.GroupId))
	}
	names := []any{}
	for _, n := range e.DnsEntries {
		names = append(names, m{"dnsName": aws.ToString(n.DnsName), "hostedZoneId": aws.ToString(n.HostedZoneId)})
	}
	state := m{
		"arn": c.Client.arn("ec2", "vpc-endpoint/"+c.ID), "dnsEntries": names, "ipAddressType": string(e.IpAddressType),
		"networkInterfaceIds": engine.SortedList(e.NetworkInterfaceIds), "ownerId": aws.ToString(e.OwnerId),
		"privateDnsEnabled": aws.ToBool(e.PrivateDnsEnabled), "requesterManaged": aws.ToBool(e.RequesterManaged),
		"routeTableIds": engine.SortedList(e.RouteTableIds), "securityGroupIds": engine.SortedList(groups), "serviceName": aws.ToString(e.ServiceName),
		"serviceRegion": aws.ToString(e.ServiceRegion), "state": string(e.State), "subnetIds": engine.SortedList(e.SubnetIds),
		"vpcEndpointType": string(e.VpcEndpointType), "vpcId": aws.ToString(e.VpcId), "tags": readTags(e.Tags),
		"policy": aws.ToString(e.PolicyDocument), "cidrBlocks": []any{}, "prefixListId": "",
	}
	// Terraform keeps the text that it knows where AWS's means the same.
	if was := engine.Str(c.Old, "policy"); was != "" && engine.SameJSON(was, engine.Str(state, "policy")) {
		state["policy"] = was
	}
	if e.VpcEndpointType == "" {
		state["vpcEndpointType"] = string(types.VpcEndpointTypeGateway)
	}
	if o := e.DnsOptions; o != nil {
		state["dnsOptions"] = m{"dnsRecordIpType": string(o.DnsRecordIpType),
			"privateDnsOnlyForInboundResolverEndpoint": aws.ToBool(o.PrivateDnsOnlyForInboundResolverEndpoint)}
	}
	lists, err := c.Client.ec2().DescribePrefixLists(ctx, &ec2.DescribePrefixListsInput{
		Filters: []types.Filter{filter("prefix-list-name", aws.ToString(e.ServiceName))},
	})
	if err != nil {
		return nil, fmt.Errorf("reading EC2 Prefix List (%s): %w", aws.ToString(e.ServiceName), err)
	}
	for _, l := range lists.PrefixLists {
		state["cidrBlocks"], state["prefixListId"] = engine.List(l.Cidrs), aws.ToString(l.PrefixListId)
	}
	return state, nil
}

func updateEndpoint(ctx context.Context, c *call) (m, error) {
	if c.HasChanged("dnsOptions", "ipAddressType", "policy", "privateDnsEnabled", "routeTableIds", "securityGroupIds", "subnetIds") {
		in := &ec2.ModifyVpcEndpointInput{VpcEndpointId: &c.ID}
		if c.Changed["dnsOptions"] {
			in.DnsOptions = dnsOptions(c.In)
		}
		if c.Changed["ipAddressType"] {
			in.IpAddressType = types.IpAddressType(engine.Str(c.In, "ipAddressType"))
		}
		if c.Changed["privateDnsEnabled"] {
			in.PrivateDnsEnabled = engine.BoolPtr(c.In, "privateDnsEnabled")
		}
		change := func(name string) (add, remove []string) {
			if !c.Changed[name] {
				return nil, nil
			}
			return engine.SetChanges(engine.Strs(c.Old, name), engine.Strs(c.In, name))
		}
		in.AddRouteTableIds, in.RemoveRouteTableIds = change("routeTableIds")
		in.AddSecurityGroupIds, in.RemoveSecurityGroupIds = change("securityGroupIds")
		in.AddSubnetIds, in.RemoveSubnetIds = change("subnetIds")
		if c.Changed["policy"] {
			if in.PolicyDocument = engine.StrPtr(c.In, "policy"); aws.ToString(in.PolicyDocument) == "" {
				in.PolicyDocument, in.ResetPolicy = nil, aws.Bool(true)
			}
		}
		if _, err := c.Client.ec2().ModifyVpcEndpoint(ctx, in); err != nil {
			return nil, fmt.Errorf("updating EC2 VPC Endpoint (%s): %w", c.ID, err)
		}
		if err := c.Client.endpointAvailable(ctx, c.ID); err != nil {
			return nil, err
		}
	}
	return nil, updateEC2Tags(ctx, c, c.ID)
}

func deleteEndpoint(ctx context.Context, c *call) error {
	out, err := c.Client.ec2().DeleteVpcEndpoints(ctx, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{c.ID}})
	if err = absent(err, "InvalidVpcEndpointId.NotFound"); err != nil {
		return fmt.Errorf("deleting EC2 VPC Endpoint (%s): %w", c.ID, err)
	}
	if out != nil {
		for _, u := range out.Unsuccessful {
			if code := aws.ToString(u.Error.Code); !strings.HasPrefix(code, "InvalidVpcEndpoint") {
				return fmt.Errorf("deleting EC2 VPC Endpoint (%s): %s: %s", c.ID, code, aws.ToString(u.Error.Message))
			}
		}
	}
	return engine.Wait(ctx, endpointChange, "EC2 VPC Endpoint "+c.ID+" delete", func(ctx context.Context) (bool, error) {
		_, err := findEndpoint(ctx, c.Client, c.ID)
		if errors.Is(err, engine.ErrGone) {
			return true, nil
		}
		return false, err
	})
}
