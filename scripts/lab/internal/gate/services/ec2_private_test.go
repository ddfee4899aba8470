package services_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"
)

func TestEC2NatGateway(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := ec2.NewFromConfig(l.config(region))
	n := l.network(c)
	eip, err := c.AllocateAddress(ctx, &ec2.AllocateAddressInput{})
	require.NoError(t, err)

	_, err = c.CreateNatGateway(ctx, &ec2.CreateNatGatewayInput{SubnetId: &n.subnet})
	requireCode(t, err, "MissingParameter", "AllocationId")
	_, err = c.CreateNatGateway(ctx, &ec2.CreateNatGatewayInput{SubnetId: aws.String("subnet-0"), AllocationId: eip.AllocationId})
	requireCode(t, err, "InvalidSubnetID.NotFound")
	_, err = c.CreateNatGateway(ctx, &ec2.CreateNatGatewayInput{SubnetId: &n.subnet, AllocationId: aws.String("eipalloc-0")})
	requireCode(t, err, "InvalidAllocationID.NotFound")
	in := &ec2.CreateNatGatewayInput{SubnetId: &n.subnet, AllocationId: eip.AllocationId, ClientToken: aws.String("once"),
		TagSpecifications: []types.TagSpecification{{ResourceType: "natgateway", Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}}}
	made, err := c.CreateNatGateway(ctx, in)
	require.NoError(t, err)
	id := made.NatGateway.NatGatewayId
	require.Equal(t, types.NatGatewayStatePending, made.NatGateway.State)
	again, err := c.CreateNatGateway(ctx, in)
	require.NoError(t, err)
	require.Equal(t, id, again.NatGateway.NatGatewayId, "one token makes one gateway")
	require.NoError(t, ec2.NewNatGatewayAvailableWaiter(c).Wait(ctx, &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{*id}}, time.Second))
	seen, err := c.DescribeNatGateways(ctx, &ec2.DescribeNatGatewaysInput{Filter: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{n.vpc}}}})
	require.NoError(t, err)
	require.Len(t, seen.NatGateways, 1)
	require.Equal(t, "b", *seen.NatGateways[0].Tags[0].Value)
	address := seen.NatGateways[0].NatGatewayAddresses[0]
	require.Equal(t, *eip.PublicIp, *address.PublicIp)
	interfaces, err := c.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{*address.NetworkInterfaceId}})
	require.NoError(t, err)
	require.EqualValues(t, "nat_gateway", interfaces.NetworkInterfaces[0].InterfaceType, "as the filter of that name has it, and EC2 answers")
	require.Contains(t, l.Inventory()["ec2 nat gateway"], *id)

	other, err := c.CreateNatGateway(ctx, &ec2.CreateNatGatewayInput{SubnetId: &n.subnet, AllocationId: eip.AllocationId})
	require.NoError(t, err, "EC2 takes the call")
	failed, err := c.DescribeNatGateways(ctx, &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{*other.NatGateway.NatGatewayId}})
	require.NoError(t, err)
	require.Equal(t, types.NatGatewayStateFailed, failed.NatGateways[0].State)
	require.Equal(t, "Resource.AlreadyAssociated", *failed.NatGateways[0].FailureCode)

	private, err := c.CreateRouteTable(ctx, &ec2.CreateRouteTableInput{VpcId: &n.vpc})
	require.NoError(t, err)
	table := private.RouteTable.RouteTableId
	route := &ec2.CreateRouteInput{RouteTableId: table, DestinationCidrBlock: aws.String("0.0.0.0/0"), NatGatewayId: aws.String("nat-0")}
	_, err = c.CreateRoute(ctx, route)
	requireCode(t, err, "InvalidNatGatewayID.NotFound")
	route.NatGatewayId = id
	_, err = c.CreateRoute(ctx, route)
	require.NoError(t, err)
	state := func() types.RouteState {
		out, err := c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{*table}})
		require.NoError(t, err)
		require.Equal(t, *id, *out.RouteTables[0].Routes[1].NatGatewayId)
		return out.RouteTables[0].Routes[1].State
	}
	require.Equal(t, types.RouteStateActive, state())

	// What still has dependents does not go.
	_, err = c.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: eip.AllocationId})
	requireCode(t, err, "InvalidIPAddress.InUse")
	_, err = c.DisassociateAddress(ctx, &ec2.DisassociateAddressInput{AssociationId: address.AssociationId})
	requireCode(t, err, "AuthFailure")
	_, err = c.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &n.gateway, VpcId: &n.vpc})
	requireCode(t, err, "DependencyViolation", "mapped public address")
	_, err = c.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &n.subnet})
	requireCode(t, err, "DependencyViolation")

	for _, gateway := range []*string{id, other.NatGateway.NatGatewayId} {
		_, err = c.DeleteNatGateway(ctx, &ec2.DeleteNatGatewayInput{NatGatewayId: gateway})
		require.NoError(t, err)
	}
	require.NoError(t, ec2.NewNatGatewayDeletedWaiter(c).Wait(ctx, &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{*id}}, time.Second))
	require.Empty(t, l.Inventory()["ec2 nat gateway"])
	require.Equal(t, types.RouteStateBlackhole, state())
	_, err = c.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: eip.AllocationId})
	require.NoError(t, err)
	_, err = c.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &n.gateway, VpcId: &n.vpc})
	require.NoError(t, err)
	_, err = c.DeleteNatGateway(ctx, &ec2.DeleteNatGatewayInput{NatGatewayId: aws.String("nat-0")})
	requireCode(t, err, "NatGatewayNotFound")

	// Without an internet gateway a public one fails.
	eip, err = c.AllocateAddress(ctx, &ec2.AllocateAddressInput{})
	require.NoError(t, err)
	made, err = c.CreateNatGateway(ctx, &ec2.CreateNatGatewayInput{SubnetId: &n.subnet, AllocationId: eip.AllocationId})
	require.NoError(t, err)
	failed, err = c.DescribeNatGateways(ctx, &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{*made.NatGateway.NatGatewayId}})
	require.NoError(t, err)
	require.Equal(t, "Gateway.NotAttached", *failed.NatGateways[0].FailureCode)
}

func TestEC2VpcEndpoint(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := ec2.NewFromConfig(l.config(region))
	n := l.network(c)
	const s3, sts = "com.amazonaws.eu-central-1.s3", "com.amazonaws.eu-central-1.sts"
	endpoint := func(service, kind string, change func(*ec2.CreateVpcEndpointInput)) (string, error) {
		in := &ec2.CreateVpcEndpointInput{VpcId: &n.vpc, ServiceName: aws.String(service), VpcEndpointType: types.VpcEndpointType(kind)}
		if kind == "Interface" {
			in.SubnetIds, in.SecurityGroupIds = []string{n.subnet}, []string{n.group}
		}
		if change != nil {
			change(in)
		}
		out, err := c.CreateVpcEndpoint(ctx, in)
		if err != nil {
			return "", err
		}
		return *out.VpcEndpoint.VpcEndpointId, nil
	}
	describe := func(id string) types.VpcEndpoint {
		out, err := c.DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{id}})
		require.NoError(t, err)
		return out.VpcEndpoints[0]
	}
	free := func() int32 {
		out, err := c.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{n.subnet}})
		require.NoError(t, err)
		return *out.Subnets[0].AvailableIpAddressCount
	}

	_, err := endpoint("com.amazonaws.eu-central-1.nothing", "Interface", nil)
	requireCode(t, err, "InvalidServiceName")
	_, err = endpoint("com.amazonaws.eu-west-1.sts", "Interface", nil)
	requireCode(t, err, "InvalidServiceName")
	_, err = endpoint(sts, "Gateway", nil)
	requireCode(t, err, "InvalidParameter", "does not match available service types")
	_, err = endpoint(s3, "Gateway", func(in *ec2.CreateVpcEndpointInput) { in.SubnetIds = []string{n.subnet} })
	requireCode(t, err, "InvalidParameter")
	_, err = endpoint(sts, "Interface", func(in *ec2.CreateVpcEndpointInput) { in.SubnetIds = []string{n.subnet, n.subnet} })
	requireCode(t, err, "DuplicateSubnetsInSameZone")
	require.EqualValues(t, 251, free(), "a refused call leaves nothing")

	gateway, err := endpoint(s3, "Gateway", func(in *ec2.CreateVpcEndpointInput) { in.RouteTableIds = []string{n.table} })
	require.NoError(t, err)
	require.Contains(t, *describe(gateway).PolicyDocument, `"Principal":"*"`)
	_, err = endpoint(s3, "Gateway", func(in *ec2.CreateVpcEndpointInput) { in.RouteTableIds = []string{n.table} })
	requireCode(t, err, "RouteAlreadyExists")
	tables, err := c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{n.table}})
	require.NoError(t, err)
	last := tables.RouteTables[0].Routes[len(tables.RouteTables[0].Routes)-1]
	require.Equal(t, gateway, *last.GatewayId)
	lists, err := c.DescribePrefixLists(ctx, &ec2.DescribePrefixListsInput{Filters: []types.Filter{{Name: aws.String("prefix-list-name"), Values: []string{s3}}}})
	require.NoError(t, err)
	require.Equal(t, *lists.PrefixLists[0].PrefixListId, *last.DestinationPrefixListId)

	private, err := endpoint(sts, "Interface", func(in *ec2.CreateVpcEndpointInput) { in.PrivateDnsEnabled = aws.Bool(true) })
	require.NoError(t, err)
	_, err = endpoint(sts, "Interface", func(in *ec2.CreateVpcEndpointInput) { in.PrivateDnsEnabled = aws.Bool(true) })
	requireCode(t, err, "InvalidParameter", "conflicting DNS domain for sts.eu-central-1.amazonaws.com")
	e := describe(private)
	require.Equal(t, []string{n.subnet}, e.SubnetIds)
	require.Equal(t, n.group, *e.Groups[0].GroupId)
	require.Equal(t, "sts.eu-central-1.amazonaws.com", *e.DnsEntries[len(e.DnsEntries)-1].DnsName)
	require.EqualValues(t, 250, free())

	_, err = c.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &n.subnet})
	requireCode(t, err, "DependencyViolation")
	_, err = c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &n.group})
	requireCode(t, err, "DependencyViolation")
	_, err = c.ModifyVpcEndpoint(ctx, &ec2.ModifyVpcEndpointInput{VpcEndpointId: &private, RemoveSubnetIds: []string{n.subnet}, AddSubnetIds: []string{"subnet-0"}})
	requireCode(t, err, "InvalidSubnetID.NotFound")
	require.Equal(t, []string{n.subnet}, describe(private).SubnetIds, "a refused call changes nothing")
	_, err = c.ModifyVpcEndpoint(ctx, &ec2.ModifyVpcEndpointInput{VpcEndpointId: &private, RemoveSubnetIds: []string{n.subnet}, PrivateDnsEnabled: aws.Bool(false)})
	require.NoError(t, err)
	require.Empty(t, describe(private).NetworkInterfaceIds)
	require.EqualValues(t, 251, free())
	_, err = c.ModifyVpcEndpoint(ctx, &ec2.ModifyVpcEndpointInput{VpcEndpointId: &gateway, RemoveRouteTableIds: []string{n.table}, PolicyDocument: aws.String(`{"Statement":[]}`)})
	require.NoError(t, err)
	require.Empty(t, describe(gateway).RouteTableIds)
	require.Equal(t, `{"Statement":[]}`, *describe(gateway).PolicyDocument)
	_, err = c.ModifyVpcEndpoint(ctx, &ec2.ModifyVpcEndpointInput{VpcEndpointId: &gateway, ResetPolicy: aws.Bool(true)})
	require.NoError(t, err)
	require.True(t, strings.Contains(*describe(gateway).PolicyDocument, "Allow"))

	require.Len(t, l.Inventory()["ec2 vpc endpoint"], 2)
	out, err := c.DeleteVpcEndpoints(ctx, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{gateway, private, "vpce-0"}})
	require.NoError(t, err)
	require.Len(t, out.Unsuccessful, 1)
	require.Empty(t, l.Inventory()["ec2 vpc endpoint"])
	_, err = c.DescribeVpcEndpoints(ctx, &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{gateway}})
	requireCode(t, err, "InvalidVpcEndpointId.NotFound")
}
