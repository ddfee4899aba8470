package network

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// interfaceServices are the services that get an endpoint with addresses in the
// subnets: SSM's parameters, the two of Session Manager (of which ssm is one) and
// STS. Each costs by the hour and zone. Not ec2messages: the agent does without it
// from 3.3.40 on, Ubuntu 24.04 brings a later one, and regions launched since 2024
// have no such endpoint
// (https://docs.aws.amazon.com/systems-manager/latest/userguide/setup-create-vpc.html).
var interfaceServices = []string{"ssm", "ssmmessages", "sts"}

// buildEndpoints makes a gateway endpoint for S3, which is free, in all route
// tables, and interface endpoints in the private subnets, or in the public ones
// where there are no others. Their private DNS leads AWS's own host names to
// them, so that no client needs another endpoint.
func (b *builder) buildEndpoints() error {
	places := b.private
	if len(places) == 0 {
		places = b.public
	}
	var subnets, tables pulumi.StringArray
	var seen []*ec2.RouteTable
	for _, p := range places {
		subnets = append(subnets, p.subnet.ID())
	}
	for _, p := range slices.Concat(b.public, b.private) {
		if !slices.Contains(seen, p.table) {
			seen = append(seen, p.table)
			tables = append(tables, p.table.ID())
		}
	}
	gateway, err := ec2.NewVpcEndpoint(b.ctx, b.name+"-s3", &ec2.VpcEndpointArgs{
		VpcId:           b.vpc.ID(),
		ServiceName:     pulumi.String(b.service("s3")),
		VpcEndpointType: pulumi.String("Gateway"),
		RouteTableIds:   tables,
		Tags:            b.tags("s3"),
	}, b.parent)
	if err != nil {
		return fmt.Errorf("endpoint of S3: %w", err)
	}
	b.endpoints = append(b.endpoints, gateway)
	group, err := b.endpointGroup()
	if err != nil {
		return err
	}
	for _, service := range interfaceServices {
		endpoint, err := ec2.NewVpcEndpoint(b.ctx, b.name+"-"+service, &ec2.VpcEndpointArgs{
			VpcId:             b.vpc.ID(),
			ServiceName:       pulumi.String(b.service(service)),
			VpcEndpointType:   pulumi.String("Interface"),
			PrivateDnsEnabled: pulumi.Bool(true),
			SubnetIds:         subnets,
			SecurityGroupIds:  pulumi.StringArray{group.ID()},
			Tags:              b.tags(service),
		}, b.parent)
		if err != nil {
			return fmt.Errorf("endpoint of %s: %w", service, err)
		}
		b.endpoints = append(b.endpoints, endpoint)
	}
	return nil
}

// endpointGroup admits HTTPS from the whole VPC: whoever is in it may call AWS,
// and what they may do there their credentials say.
func (b *builder) endpointGroup() (*ec2.SecurityGroup, error) {
	group, err := ec2.NewSecurityGroup(b.ctx, b.name+"-endpoints", &ec2.SecurityGroupArgs{
		Description: pulumi.String("VPC endpoints of " + b.name),
		VpcId:       b.vpc.ID(),
		Tags:        b.tags("endpoints"),
	}, b.parent)
	if err != nil {
		return nil, fmt.Errorf("security group of the endpoints: %w", err)
	}
	rule, err := vpc.NewSecurityGroupIngressRule(b.ctx, b.name+"-endpoints-https", &vpc.SecurityGroupIngressRuleArgs{
		SecurityGroupId: group.ID(),
		Description:     pulumi.String("HTTPS from the VPC"),
		IpProtocol:      pulumi.String("tcp"),
		FromPort:        pulumi.Int(443),
		ToPort:          pulumi.Int(443),
		CidrIpv4:        pulumi.String(b.args.CIDR),
		Tags:            pulumi.ToStringMap(b.args.Tags),
	}, b.parent)
	if err != nil {
		return nil, fmt.Errorf("rule of the endpoints: %w", err)
	}
	b.endpoints = append(b.endpoints, rule)
	return group, nil
}

// service is the name by which endpoints know a service, in the partitions aws
// and aws-us-gov: in others some services are named otherwise.
func (b *builder) service(service string) string {
	return "com.amazonaws." + b.args.Region + "." + service
}
