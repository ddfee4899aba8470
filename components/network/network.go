// Package network makes the VPC that a cluster of its own lives in: public
// subnets, one per availability zone, behind an internet gateway, and, where they
// are asked for, private subnets with or without NAT gateways and VPC endpoints.
package network

import (
	"fmt"
	"maps"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/outputs"
)

// Type is the component's type token. Changing it needs an alias.
const Type = "k3s-aws-auth:network:Network"

// Values of NetworkArgs.NAT.
const (
	// NATNone leaves private subnets without a way to the internet.
	NATNone = "none"
	// NATSingle is one gateway for all private subnets, in the first zone: the
	// others lose their way out with that zone, and pay for traffic between zones.
	NATSingle = "single"
	// NATPerZone is a gateway in each zone.
	NATPerZone = "per-zone"
)

// NetworkArgs are the inputs of [NewNetwork]. All of them shape the graph, so
// they are plain values.
type NetworkArgs struct {
	// CIDR is the VPC's IPv4 range, /16 to /24, for example 10.0.0.0/16.
	CIDR string
	// Zones are availability zones of the provider's region, for example
	// eu-central-1a. A zone's ranges depend on its position: append new zones
	// at the end, or the subnets behind them are replaced.
	Zones []string
	// Private makes a private subnet beside the public one in each zone.
	Private bool
	// NAT is how private subnets get out: NATNone, NATSingle or NATPerZone.
	NAT string
	// Endpoints makes VPC endpoints for what nodes talk to: S3, SSM (parameters
	// and Session Manager) and STS. Traffic to these then stays in AWS's network,
	// also from subnets without any other way out.
	Endpoints bool
	// Region is the provider's region, which the endpoints' services are named
	// by. It must be of the partition aws or aws-us-gov.
	Region string
	// Tags are put on every resource, beside its Name.
	Tags map[string]string
}

// Network is a VPC with one public subnet per zone, and perhaps a private one.
type Network struct {
	pulumi.ResourceState

	// VpcID is the VPC's id.
	VpcID pulumi.StringOutput `pulumi:"vpcId"`
	// SubnetIDs are the public subnets in the order of the zones. They resolve
	// once a subnet really leads to the internet, so whatever uses them is
	// created after the routes and destroyed before them.
	SubnetIDs pulumi.StringArrayOutput `pulumi:"subnetIds"`
	// PrivateSubnetIDs are the private subnets in the order of the zones, none
	// without them. They resolve once their ways out exist.
	PrivateSubnetIDs pulumi.StringArrayOutput `pulumi:"privateSubnetIds"`
}

// NewNetwork makes a VPC, its internet gateway, and a public subnet for each
// zone; a private subnet for each zone with its way out; and VPC endpoints.
//
// It fails before registering anything if args is nil or incomplete, or if the
// range cannot hold the subnets.
func NewNetwork(ctx *pulumi.Context, name string, args *NetworkArgs, opts ...pulumi.ResourceOption) (*Network, error) {
	public, private, err := args.subnets()
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", name, err)
	}
	network := &Network{}
	if err := ctx.RegisterComponentResource(Type, name, network, opts...); err != nil {
		return nil, fmt.Errorf("network %s: %w", name, err)
	}
	b := &builder{ctx: ctx, name: name, args: args, parent: pulumi.Parent(network)}
	if err := b.build(public, private); err != nil {
		return nil, fmt.Errorf("network %s: %w", name, err)
	}

	network.VpcID = b.vpc.ID().ToStringOutput()
	network.SubnetIDs = b.usable(b.public)
	network.PrivateSubnetIDs = b.usable(b.private)
	err = outputs.Register(ctx, network)
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", name, err)
	}
	return network, nil
}

// builder holds what the parts of one network share.
type builder struct {
	ctx    *pulumi.Context
	name   string
	args   *NetworkArgs
	parent pulumi.ResourceOption

	vpc             *ec2.Vpc
	public, private []place
	endpoints       []pulumi.Resource
}

// place is a subnet with its route table, and what its way out consists of.
type place struct {
	subnet *ec2.Subnet
	table  *ec2.RouteTable
	way    []pulumi.Resource
}

func (b *builder) build(public, private []string) error {
	var err error
	b.vpc, err = ec2.NewVpc(b.ctx, b.name+"-vpc", &ec2.VpcArgs{
		CidrBlock:          pulumi.String(b.args.CIDR),
		EnableDnsSupport:   pulumi.Bool(true),
		EnableDnsHostnames: pulumi.Bool(true),
		Tags:               b.tags("vpc"),
	}, b.parent)
	if err != nil {
		return fmt.Errorf("vpc: %w", err)
	}
	if err := b.buildPublic(public); err != nil {
		return err
	}
	if err := b.buildPrivate(private); err != nil {
		return err
	}
	if b.args.Endpoints {
		return b.buildEndpoints()
	}
	return nil
}

// buildPublic makes the internet gateway and the public subnets, which share a
// route table.
func (b *builder) buildPublic(ranges []string) error {
	gateway, err := ec2.NewInternetGateway(b.ctx, b.name+"-gateway", &ec2.InternetGatewayArgs{
		VpcId: b.vpc.ID(),
		Tags:  b.tags("gateway"),
	}, b.parent)
	if err != nil {
		return fmt.Errorf("internet gateway: %w", err)
	}
	table, err := b.routeTable("public")
	if err != nil {
		return err
	}
	route, err := ec2.NewRoute(b.ctx, b.name+"-internet", &ec2.RouteArgs{
		RouteTableId:         table.ID(),
		DestinationCidrBlock: pulumi.String("0.0.0.0/0"),
		GatewayId:            gateway.ID(),
	}, b.parent)
	if err != nil {
		return fmt.Errorf("default route: %w", err)
	}
	for i, zone := range b.args.Zones {
		// Machines download K3s and read their parameters as soon as they boot,
		// before an elastic address could be attached to them.
		place, err := b.subnet("public-"+zone, zone, ranges[i], true, table)
		if err != nil {
			return err
		}
		place.way = append(place.way, route)
		b.public = append(b.public, place)
	}
	return nil
}

// buildPrivate makes the private subnets, each with a route table of its own, so
// that the choice of NAT changes routes and never a subnet.
func (b *builder) buildPrivate(ranges []string) error {
	var gateways []*ec2.NatGateway
	for i, zone := range b.args.Zones {
		if b.args.NAT == NATPerZone || b.args.NAT == NATSingle && i == 0 {
			gateway, err := b.natGateway(zone, b.public[i])
			if err != nil {
				return err
			}
			gateways = append(gateways, gateway)
		}
	}
	for i, block := range ranges {
		zone := b.args.Zones[i]
		part := "private-" + zone
		table, err := b.routeTable(part)
		if err != nil {
			return err
		}
		place, err := b.subnet(part, zone, block, false, table)
		if err != nil {
			return err
		}
		if len(gateways) > 0 {
			route, err := ec2.NewRoute(b.ctx, b.name+"-nat-"+zone, &ec2.RouteArgs{
				RouteTableId:         table.ID(),
				DestinationCidrBlock: pulumi.String("0.0.0.0/0"),
				NatGatewayId:         gateways[min(i, len(gateways)-1)].ID(),
			}, b.parent)
			if err != nil {
				return fmt.Errorf("route of %s by NAT: %w", zone, err)
			}
			place.way = append(place.way, route)
		}
		b.private = append(b.private, place)
	}
	return nil
}

// natGateway makes a NAT gateway with an elastic address of its own in a zone's
// public subnet.
func (b *builder) natGateway(zone string, public place) (*ec2.NatGateway, error) {
	part := "nat-" + zone
	address, err := ec2.NewEip(b.ctx, b.name+"-"+part, &ec2.EipArgs{
		Domain: pulumi.String("vpc"),
		Tags:   b.tags(part),
	}, b.parent)
	if err != nil {
		return nil, fmt.Errorf("address of the NAT gateway in %s: %w", zone, err)
	}
	gateway, err := ec2.NewNatGateway(b.ctx, b.name+"-"+part, &ec2.NatGatewayArgs{
		AllocationId: address.AllocationId,
		SubnetId:     public.subnet.ID(),
		Tags:         b.tags(part),
	}, b.parent,
		// AWS refuses a NAT gateway in a VPC that has no internet gateway yet.
		pulumi.DependsOn(public.way))
	if err != nil {
		return nil, fmt.Errorf("NAT gateway in %s: %w", zone, err)
	}
	return gateway, nil
}

// routeTable makes an empty route table. Routes stay out of the table's own
// list: inline and separate routes on one table remove each other.
func (b *builder) routeTable(part string) (*ec2.RouteTable, error) {
	table, err := ec2.NewRouteTable(b.ctx, b.name+"-"+part, &ec2.RouteTableArgs{
		VpcId: b.vpc.ID(),
		Tags:  b.tags(part),
	}, b.parent)
	if err != nil {
		return nil, fmt.Errorf("route table %s: %w", part, err)
	}
	return table, nil
}

// subnet makes a subnet that uses a route table.
func (b *builder) subnet(part, zone, block string, public bool, table *ec2.RouteTable) (place, error) {
	subnet, err := ec2.NewSubnet(b.ctx, b.name+"-"+part, &ec2.SubnetArgs{
		VpcId:               b.vpc.ID(),
		AvailabilityZone:    pulumi.String(zone),
		CidrBlock:           pulumi.String(block),
		MapPublicIpOnLaunch: pulumi.Bool(public),
		Tags:                b.tags(part),
	}, b.parent)
	if err != nil {
		return place{}, fmt.Errorf("subnet %s: %w", part, err)
	}
	association, err := ec2.NewRouteTableAssociation(b.ctx, b.name+"-"+part, &ec2.RouteTableAssociationArgs{
		RouteTableId: table.ID(),
		SubnetId:     subnet.ID(),
	}, b.parent)
	if err != nil {
		return place{}, fmt.Errorf("route table association of %s: %w", part, err)
	}
	return place{subnet: subnet, table: table, way: []pulumi.Resource{association}}, nil
}

// usable are the ids of subnets once all that their way out consists of exists.
func (b *builder) usable(places []place) pulumi.StringArrayOutput {
	ids := make(pulumi.StringArray, len(places))
	for i, p := range places {
		needed := []any{p.subnet.ID()}
		for _, resource := range append(p.way, b.endpoints...) {
			needed = append(needed, resource.(pulumi.CustomResource).ID())
		}
		ids[i] = pulumi.All(needed...).ApplyT(func(parts []any) string {
			return string(parts[0].(pulumi.ID))
		}).(pulumi.StringOutput)
	}
	return ids.ToStringArrayOutput()
}

// tags are the caller's tags and a Name.
func (b *builder) tags(part string) pulumi.StringMap {
	tags := maps.Clone(b.args.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags["Name"] = b.name + "-" + part
	return pulumi.ToStringMap(tags)
}
