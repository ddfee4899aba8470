// Package network makes the VPC that a cluster of its own lives in: public
// subnets, one per availability zone, behind an internet gateway. There are no
// NAT gateways: nodes have public addresses, and the security groups of the
// cluster decide who reaches them.
package network

import (
	"fmt"
	"maps"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Type is the component's type token. Changing it needs an alias.
const Type = "k3s-aws-auth:network:Network"

// NetworkArgs are the inputs of [NewNetwork]. All of them shape the graph, so
// they are plain values.
type NetworkArgs struct {
	// CIDR is the VPC's IPv4 range, /16 to /24, for example 10.0.0.0/16.
	CIDR string
	// Zones are availability zones of the provider's region, for example
	// eu-central-1a. A zone's range depends on its position: append new zones
	// at the end, or the subnets behind them are replaced.
	Zones []string
	// Tags are put on every resource, beside its Name.
	Tags map[string]string
}

// Network is a VPC with one public subnet per zone.
type Network struct {
	pulumi.ResourceState

	// VpcID is the VPC's id.
	VpcID pulumi.StringOutput `pulumi:"vpcId"`
	// SubnetIDs are the public subnets in the order of the zones. They resolve
	// once a subnet really leads to the internet, so whatever uses them is
	// created after the routes and destroyed before them.
	SubnetIDs pulumi.StringArrayOutput `pulumi:"subnetIds"`
}

// NewNetwork makes a VPC, its internet gateway, a route table with a default
// route, and a public subnet with its association for each zone.
//
// It fails before registering anything if args is nil or incomplete, or if the
// range cannot hold a subnet for each zone.
func NewNetwork(ctx *pulumi.Context, name string, args *NetworkArgs, opts ...pulumi.ResourceOption) (*Network, error) {
	subnets, err := args.subnets()
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", name, err)
	}
	network := &Network{}
	if err := ctx.RegisterComponentResource(Type, name, network, opts...); err != nil {
		return nil, fmt.Errorf("network %s: %w", name, err)
	}
	parent := pulumi.Parent(network)

	vpc, err := ec2.NewVpc(ctx, name+"-vpc", &ec2.VpcArgs{
		CidrBlock:          pulumi.String(args.CIDR),
		EnableDnsSupport:   pulumi.Bool(true),
		EnableDnsHostnames: pulumi.Bool(true),
		Tags:               args.tags(name + "-vpc"),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("network %s: vpc: %w", name, err)
	}
	gateway, err := ec2.NewInternetGateway(ctx, name+"-gateway", &ec2.InternetGatewayArgs{
		VpcId: vpc.ID(),
		Tags:  args.tags(name + "-gateway"),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("network %s: internet gateway: %w", name, err)
	}
	// Routes stay out of the table's own list: inline and separate routes on
	// one table remove each other.
	table, err := ec2.NewRouteTable(ctx, name+"-public", &ec2.RouteTableArgs{
		VpcId: vpc.ID(),
		Tags:  args.tags(name + "-public"),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("network %s: route table: %w", name, err)
	}
	route, err := ec2.NewRoute(ctx, name+"-internet", &ec2.RouteArgs{
		RouteTableId:         table.ID(),
		DestinationCidrBlock: pulumi.String("0.0.0.0/0"),
		GatewayId:            gateway.ID(),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("network %s: default route: %w", name, err)
	}

	ids := make(pulumi.StringArray, len(args.Zones))
	for i, zone := range args.Zones {
		subnet, err := ec2.NewSubnet(ctx, name+"-public-"+zone, &ec2.SubnetArgs{
			VpcId:            vpc.ID(),
			AvailabilityZone: pulumi.String(zone),
			CidrBlock:        pulumi.String(subnets[i]),
			// Machines download K3s and read their parameters as soon as they
			// boot, before an elastic address could be attached to them.
			MapPublicIpOnLaunch: pulumi.Bool(true),
			Tags:                args.tags(name + "-public-" + zone),
		}, parent)
		if err != nil {
			return nil, fmt.Errorf("network %s: subnet in %s: %w", name, zone, err)
		}
		association, err := ec2.NewRouteTableAssociation(ctx, name+"-public-"+zone, &ec2.RouteTableAssociationArgs{
			RouteTableId: table.ID(),
			SubnetId:     subnet.ID(),
		}, parent)
		if err != nil {
			return nil, fmt.Errorf("network %s: route table association in %s: %w", name, zone, err)
		}
		ids[i] = pulumi.All(subnet.ID(), association.ID(), route.ID()).ApplyT(func(parts []any) string {
			return string(parts[0].(pulumi.ID))
		}).(pulumi.StringOutput)
	}

	network.VpcID = vpc.ID().ToStringOutput()
	network.SubnetIDs = ids.ToStringArrayOutput()
	err = ctx.RegisterResourceOutputs(network, pulumi.Map{
		"vpcId":     network.VpcID,
		"subnetIds": network.SubnetIDs,
	})
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", name, err)
	}
	return network, nil
}

// tags are the caller's tags and a Name.
func (args *NetworkArgs) tags(name string) pulumi.StringMap {
	tags := maps.Clone(args.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags["Name"] = name
	return pulumi.ToStringMap(tags)
}
