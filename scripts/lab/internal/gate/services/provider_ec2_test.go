package services_test

import (
	"encoding/base64"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/stretchr/testify/require"
)

func by(pairs ...string) []types.Filter {
	var out []types.Filter
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, types.Filter{Name: &pairs[i], Values: []string{pairs[i+1]}})
	}
	return out
}

func tagged(kind types.ResourceType, name string) []types.TagSpecification {
	return []types.TagSpecification{{ResourceType: kind, Tags: []types.Tag{{Key: aws.String("Name"), Value: &name}}}}
}

// machine is what the scenarios of EC2 share: a VPC as the provider makes it, with a subnet, a group and a gateway.
type machine struct {
	*ec2.Client
	t                               *testing.T
	vpc, subnet, gateway, table, sg string
}

// newVpc makes the calls of ec2/vpc_.go's create: the VPC, its wait, and one attribute after the other with its wait.
func (m *machine) newVpc() {
	t := m.t
	made := do(t, m.CreateVpc, &ec2.CreateVpcInput{AmazonProvidedIpv6CidrBlock: aws.Bool(false), CidrBlock: aws.String("10.0.0.0/16"),
		InstanceTenancy: types.TenancyDefault, TagSpecifications: tagged(types.ResourceTypeVpc, "lab")})
	m.vpc = *made.Vpc.VpcId
	seen := do(t, m.DescribeVpcs, &ec2.DescribeVpcsInput{VpcIds: []string{m.vpc}})
	require.Equal(t, types.VpcStateAvailable, seen.Vpcs[0].State)
	do(t, m.ModifyVpcAttribute, &ec2.ModifyVpcAttributeInput{VpcId: &m.vpc, EnableDnsHostnames: &types.AttributeBooleanValue{Value: aws.Bool(true)}})
	require.True(t, m.attribute(types.VpcAttributeNameEnableDnsHostnames))
}

func (m *machine) attribute(name types.VpcAttributeName) bool {
	out := do(m.t, m.DescribeVpcAttribute, &ec2.DescribeVpcAttributeInput{VpcId: &m.vpc, Attribute: name})
	values := map[types.VpcAttributeName]*types.AttributeBooleanValue{types.VpcAttributeNameEnableDnsHostnames: out.EnableDnsHostnames,
		types.VpcAttributeNameEnableDnsSupport: out.EnableDnsSupport, types.VpcAttributeNameEnableNetworkAddressUsageMetrics: out.EnableNetworkAddressUsageMetrics}
	require.NotNil(m.t, values[name], name)
	return *values[name].Value
}

// newNetwork goes on with ec2/vpc_subnet.go, vpc_internet_gateway.go, vpc_route_table.go, vpc_route.go,
// vpc_route_table_association.go and vpc_security_group.go.
func (m *machine) newNetwork() {
	t := m.t
	subnet := do(t, m.CreateSubnet, &ec2.CreateSubnetInput{VpcId: &m.vpc, CidrBlock: aws.String("10.0.1.0/24"),
		AvailabilityZone: aws.String(region + "a"), TagSpecifications: tagged(types.ResourceTypeSubnet, "lab")})
	m.subnet = *subnet.Subnet.SubnetId
	require.Equal(t, types.SubnetStateAvailable, m.readSubnet().State)
	do(t, m.ModifySubnetAttribute, &ec2.ModifySubnetAttributeInput{SubnetId: &m.subnet, MapPublicIpOnLaunch: &types.AttributeBooleanValue{Value: aws.Bool(true)}})
	require.True(t, *m.readSubnet().MapPublicIpOnLaunch)

	gateway := do(t, m.CreateInternetGateway, &ec2.CreateInternetGatewayInput{TagSpecifications: tagged(types.ResourceTypeInternetGateway, "lab")})
	m.gateway = *gateway.InternetGateway.InternetGatewayId
	do(t, m.AttachInternetGateway, &ec2.AttachInternetGatewayInput{InternetGatewayId: &m.gateway, VpcId: &m.vpc})
	read := do(t, m.DescribeInternetGateways, &ec2.DescribeInternetGatewaysInput{InternetGatewayIds: []string{m.gateway}})
	require.Equal(t, m.vpc, *read.InternetGateways[0].Attachments[0].VpcId)
	require.EqualValues(t, "available", read.InternetGateways[0].Attachments[0].State, "the wait's target, which EC2's own model does not list")
	require.Equal(t, account, *read.InternetGateways[0].OwnerId)

	table := do(t, m.CreateRouteTable, &ec2.CreateRouteTableInput{ClientToken: aws.String("terraform-20260101"), VpcId: &m.vpc,
		TagSpecifications: tagged(types.ResourceTypeRouteTable, "lab")})
	m.table = *table.RouteTable.RouteTableId
	require.Equal(t, m.vpc, *m.readTable().VpcId)
	again := do(t, m.CreateRouteTable, &ec2.CreateRouteTableInput{ClientToken: aws.String("terraform-20260101"), VpcId: &m.vpc}) // an answer that was lost
	require.Equal(t, m.table, *again.RouteTable.RouteTableId)
	do(t, m.CreateRoute, &ec2.CreateRouteInput{RouteTableId: &m.table, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: &m.gateway})
	require.Contains(t, m.routes(), "0.0.0.0/0 active")
	association := do(t, m.AssociateRouteTable, &ec2.AssociateRouteTableInput{RouteTableId: &m.table, SubnetId: &m.subnet})
	tables := do(t, m.DescribeRouteTables, &ec2.DescribeRouteTablesInput{
		Filters: by("association.route-table-association-id", *association.AssociationId)})
	require.Equal(t, types.RouteTableAssociationStateCodeAssociated, tables.RouteTables[0].Associations[0].AssociationState.State)

	group := do(t, m.CreateSecurityGroup, &ec2.CreateSecurityGroupInput{GroupName: aws.String("lab"), Description: aws.String("Managed by Pulumi"),
		VpcId: &m.vpc, TagSpecifications: tagged(types.ResourceTypeSecurityGroup, "lab")})
	m.sg = *group.GroupId
	require.Equal(t, "lab", *m.readGroup(m.sg).GroupName)
	all := types.IpPermission{FromPort: aws.Int32(0), ToPort: aws.Int32(0), IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}
	do(t, m.RevokeSecurityGroupEgress, &ec2.RevokeSecurityGroupEgressInput{GroupId: &m.sg, IpPermissions: []types.IpPermission{all}})
	all.IpRanges, all.Ipv6Ranges = nil, []types.Ipv6Range{{CidrIpv6: aws.String("::/0")}}
	refused(t, "InvalidPermission.NotFound", m.RevokeSecurityGroupEgress, &ec2.RevokeSecurityGroupEgressInput{GroupId: &m.sg, IpPermissions: []types.IpPermission{all}}) // which the provider takes
	require.Empty(t, m.readGroup(m.sg).IpPermissionsEgress)
}

func (m *machine) readSubnet() types.Subnet {
	out := do(m.t, m.DescribeSubnets, &ec2.DescribeSubnetsInput{SubnetIds: []string{m.subnet}})
	require.Len(m.t, out.Subnets, 1)
	return out.Subnets[0]
}

func (m *machine) readTable() types.RouteTable {
	out := do(m.t, m.DescribeRouteTables, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{m.table}})
	require.Len(m.t, out.RouteTables, 1)
	return out.RouteTables[0]
}

func (m *machine) routes() []string {
	var out []string
	for _, r := range m.readTable().Routes {
		out = append(out, aws.ToString(r.DestinationCidrBlock)+" "+string(r.State))
	}
	return out
}

func (m *machine) readGroup(id string) types.SecurityGroup {
	out := do(m.t, m.DescribeSecurityGroups, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{id}})
	require.Len(m.t, out.SecurityGroups, 1)
	return out.SecurityGroups[0]
}

// lingering looks for interfaces that services left behind, as a security group's and a subnet's delete does first
// (ec2/vpc_security_group.go, deleteLingeringENIs): those of Lambda by their description, those of others
// among all.
func (m *machine) lingering(filter, id string) {
	for _, filters := range [][]types.Filter{by(filter, id, "description", "AWS Lambda VPC ENI*"), by(filter, id)} {
		require.Empty(m.t, do(m.t, m.DescribeNetworkInterfaces, &ec2.DescribeNetworkInterfacesInput{Filters: filters}).NetworkInterfaces)
	}
}

// dropNetwork destroys what newNetwork and newVpc made, in reverse.
func (m *machine) dropNetwork() {
	t := m.t
	m.lingering("group-id", m.sg)
	do(t, m.DeleteSecurityGroup, &ec2.DeleteSecurityGroupInput{GroupId: &m.sg})
	refused(t, "InvalidGroup.NotFound", m.DescribeSecurityGroups, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{m.sg}})

	association := *m.readTable().Associations[0].RouteTableAssociationId
	do(t, m.DisassociateRouteTable, &ec2.DisassociateRouteTableInput{AssociationId: &association})
	gone := do(t, m.DescribeRouteTables, &ec2.DescribeRouteTablesInput{Filters: by("association.route-table-association-id", association)})
	require.Empty(t, gone.RouteTables)
	refused(t, "InvalidAssociationID.NotFound", m.DisassociateRouteTable, &ec2.DisassociateRouteTableInput{AssociationId: &association})
	do(t, m.DeleteRoute, &ec2.DeleteRouteInput{RouteTableId: &m.table, DestinationCidrBlock: aws.String("0.0.0.0/0")})
	require.Equal(t, []string{"10.0.0.0/16 active"}, m.routes())
	refused(t, "InvalidRoute.NotFound", m.DeleteRoute, &ec2.DeleteRouteInput{RouteTableId: &m.table, DestinationCidrBlock: aws.String("0.0.0.0/0")})
	do(t, m.DeleteRouteTable, &ec2.DeleteRouteTableInput{RouteTableId: &m.table})
	refused(t, "InvalidRouteTableID.NotFound", m.DescribeRouteTables, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{m.table}})

	do(t, m.DetachInternetGateway, &ec2.DetachInternetGatewayInput{InternetGatewayId: &m.gateway, VpcId: &m.vpc})
	detached := do(t, m.DescribeInternetGateways, &ec2.DescribeInternetGatewaysInput{InternetGatewayIds: []string{m.gateway}})
	require.Empty(t, detached.InternetGateways[0].Attachments)
	do(t, m.DeleteInternetGateway, &ec2.DeleteInternetGatewayInput{InternetGatewayId: &m.gateway})
	refused(t, "InvalidInternetGatewayID.NotFound", m.DescribeInternetGateways, &ec2.DescribeInternetGatewaysInput{InternetGatewayIds: []string{m.gateway}})

	m.lingering("subnet-id", m.subnet)
	do(t, m.DeleteSubnet, &ec2.DeleteSubnetInput{SubnetId: &m.subnet})
	refused(t, "InvalidSubnetID.NotFound", m.DescribeSubnets, &ec2.DescribeSubnetsInput{SubnetIds: []string{m.subnet}})
	do(t, m.DeleteVpc, &ec2.DeleteVpcInput{VpcId: &m.vpc})
	refused(t, "InvalidVpcID.NotFound", m.DescribeVpcs, &ec2.DescribeVpcsInput{VpcIds: []string{m.vpc}})
}

func newMachine(p *published) *machine {
	m := &machine{Client: ec2.NewFromConfig(p.at(region)), t: p.t}
	m.newVpc()
	m.newNetwork()
	return m
}

// TestProviderVpc reads a VPC as ec2/vpc_.go does, with what belongs to it from birth, and follows the whole network
// through create, read, update and delete.
func TestProviderVpc(t *testing.T) {
	p := newPublished(t).deploying(underlay...)
	m := newMachine(p)

	v := do(t, m.DescribeVpcs, &ec2.DescribeVpcsInput{VpcIds: []string{m.vpc}}).Vpcs[0]
	require.Equal(t, "10.0.0.0/16", *v.CidrBlock)
	require.NotEmpty(t, *v.DhcpOptionsId)
	require.Equal(t, account, *v.OwnerId)
	require.Equal(t, types.TenancyDefault, v.InstanceTenancy)
	require.Equal(t, types.VpcCidrBlockStateCodeAssociated, v.CidrBlockAssociationSet[0].CidrBlockState.State)
	require.Empty(t, v.Ipv6CidrBlockAssociationSet)
	require.True(t, m.attribute(types.VpcAttributeNameEnableDnsSupport))
	require.False(t, m.attribute(types.VpcAttributeNameEnableNetworkAddressUsageMetrics))
	acls := do(t, m.DescribeNetworkAcls, &ec2.DescribeNetworkAclsInput{Filters: by("default", "true", "vpc-id", m.vpc)})
	require.Len(t, acls.NetworkAcls, 1)
	main := do(t, m.DescribeRouteTables, &ec2.DescribeRouteTablesInput{Filters: by("association.main", "true", "vpc-id", m.vpc)})
	require.Len(t, main.RouteTables, 1)
	groups := do(t, m.DescribeSecurityGroups, &ec2.DescribeSecurityGroupsInput{Filters: by("group-name", "default", "vpc-id", m.vpc)})
	require.Len(t, groups.SecurityGroups, 1)

	s := m.readSubnet()
	require.Equal(t, "arn:aws:ec2:"+region+":"+account+":subnet/"+m.subnet, *s.SubnetArn)
	require.NotNil(t, s.PrivateDnsNameOptionsOnLaunch)
	require.NotNil(t, s.AssignIpv6AddressOnCreation)
	require.NotNil(t, s.EnableDns64)
	require.Equal(t, "arn:aws:ec2:"+region+":"+account+":security-group/"+m.sg, *m.readGroup(m.sg).SecurityGroupArn)

	// Tags change by ec2/tags_gen.go: what goes, then what comes.
	do(t, m.DeleteTags, &ec2.DeleteTagsInput{Resources: []string{m.vpc}, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("lab")}}})
	do(t, m.CreateTags, &ec2.CreateTagsInput{Resources: []string{m.vpc}, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("other")}}})
	v = do(t, m.DescribeVpcs, &ec2.DescribeVpcsInput{VpcIds: []string{m.vpc}}).Vpcs[0]
	require.Equal(t, "other", *v.Tags[0].Value)
	m.dropNetwork()
}

// TestProviderSecurityGroupRule follows a rule (ec2/vpc_security_group_ingress_rule.go, _egress_rule.go).
func TestProviderSecurityGroupRule(t *testing.T) {
	p := newPublished(t).deploying(append(underlay, "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")...)
	m := newMachine(p)
	in := do(t, m.AuthorizeSecurityGroupIngress, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &m.sg,
		IpPermissions: []types.IpPermission{{FromPort: aws.Int32(6443), ToPort: aws.Int32(6443), IpProtocol: aws.String("tcp"),
			IpRanges: []types.IpRange{{CidrIp: aws.String("192.0.2.0/24"), Description: aws.String("API")}}}}})
	id := *in.SecurityGroupRules[0].SecurityGroupRuleId
	// Its tags come by a call of their own (createTags of vpc_security_group_ingress_rule.go).
	do(t, m.CreateTags, &ec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("api")}}})
	peer := do(t, m.AuthorizeSecurityGroupIngress, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &m.sg,
		IpPermissions: []types.IpPermission{{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &m.sg, Description: aws.String("members")}}}}})
	out := do(t, m.AuthorizeSecurityGroupEgress, &ec2.AuthorizeSecurityGroupEgressInput{GroupId: &m.sg,
		IpPermissions: []types.IpPermission{{IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}})
	read := func(id string) types.SecurityGroupRule {
		out := do(t, m.DescribeSecurityGroupRules, &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{id}})
		require.Len(t, out.SecurityGroupRules, 1)
		return out.SecurityGroupRules[0]
	}
	r := read(id)
	require.False(t, *r.IsEgress)
	require.Equal(t, "192.0.2.0/24", *r.CidrIpv4)
	require.Equal(t, "api", *r.Tags[0].Value)
	require.Equal(t, m.sg, *read(*peer.SecurityGroupRules[0].SecurityGroupRuleId).ReferencedGroupInfo.GroupId)
	all := read(*out.SecurityGroupRules[0].SecurityGroupRuleId)
	require.True(t, *all.IsEgress)
	require.EqualValues(t, -1, *all.FromPort)

	do(t, m.ModifySecurityGroupRules, &ec2.ModifySecurityGroupRulesInput{GroupId: &m.sg,
		SecurityGroupRules: []types.SecurityGroupRuleUpdate{{SecurityGroupRuleId: &id, SecurityGroupRule: &types.SecurityGroupRuleRequest{CidrIpv4: aws.String("198.51.100.0/24"),
			Description: aws.String("API"), FromPort: aws.Int32(6443), ToPort: aws.Int32(6443), IpProtocol: aws.String("tcp")}}}})
	require.Equal(t, "198.51.100.0/24", *read(id).CidrIpv4)
	do(t, m.RevokeSecurityGroupIngress, &ec2.RevokeSecurityGroupIngressInput{GroupId: &m.sg, SecurityGroupRuleIds: []string{id}})
	do(t, m.RevokeSecurityGroupEgress, &ec2.RevokeSecurityGroupEgressInput{GroupId: &m.sg,
		SecurityGroupRuleIds: []string{*out.SecurityGroupRules[0].SecurityGroupRuleId}})
	refused(t, "InvalidSecurityGroupRuleId.NotFound", m.DescribeSecurityGroupRules, &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{id}})
	// A rule whose group has gone is gone too (errCodeInvalidGroupNotFound).
	do(t, m.DeleteSecurityGroup, &ec2.DeleteSecurityGroupInput{GroupId: &m.sg})
	refused(t, "InvalidGroup.NotFound", m.RevokeSecurityGroupIngress, &ec2.RevokeSecurityGroupIngressInput{GroupId: &m.sg, SecurityGroupRuleIds: []string{*peer.SecurityGroupRules[0].SecurityGroupRuleId}})
}

// TestProviderInstance follows an instance (ec2/ec2_instance.go) with its elastic address (ec2/ec2_eip.go,
// ec2_eip_association.go).
func TestProviderInstance(t *testing.T) {
	p := newPublished(t).deploying(append(underlay, "aws:iam/role:Role", "aws:iam/instanceProfile:InstanceProfile", "aws:ec2/eip:Eip", "aws:ec2/eipAssociation:EipAssociation")...)
	m := newMachine(p)
	name := p.profile("node")
	image := do(t, m.DescribeImages, &ec2.DescribeImagesInput{Filters: by("name", "*noble*", "architecture", "x86_64")}).Images[0]

	// The root device's name for root_block_device (findImageByID).
	described := do(t, m.DescribeImages, &ec2.DescribeImagesInput{ImageIds: []string{*image.ImageId}}).Images[0]
	require.Equal(t, *described.RootDeviceName, *described.BlockDeviceMappings[0].DeviceName)
	require.Equal(t, types.DeviceTypeEbs, described.RootDeviceType)
	run := do(t, m.RunInstances, &ec2.RunInstancesInput{
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: described.RootDeviceName, Ebs: &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(true),
			Encrypted: aws.Bool(true), VolumeSize: aws.Int32(20), VolumeType: types.VolumeTypeGp3}}},
		ClientToken: aws.String("terraform-20260101000000000000000001"), CreditSpecification: &types.CreditSpecificationRequest{CpuCredits: aws.String("standard")},
		DisableApiTermination: aws.Bool(false), IamInstanceProfile: &types.IamInstanceProfileSpecification{Name: &name}, ImageId: image.ImageId,
		InstanceType: types.InstanceTypeT3Medium, MaxCount: aws.Int32(1), MinCount: aws.Int32(1),
		MetadataOptions: &types.InstanceMetadataOptionsRequest{HttpEndpoint: types.InstanceMetadataEndpointStateEnabled, HttpTokens: types.HttpTokensStateRequired,
			HttpPutResponseHopLimit: aws.Int32(1), HttpProtocolIpv6: types.InstanceMetadataProtocolStateDisabled, InstanceMetadataTags: types.InstanceMetadataTagsStateDisabled},
		Monitoring: &types.RunInstancesMonitoringEnabled{Enabled: aws.Bool(false)},
		NetworkInterfaces: []types.InstanceNetworkInterfaceSpecification{{AssociatePublicIpAddress: aws.Bool(true), DeviceIndex: aws.Int32(0), SubnetId: &m.subnet,
			Groups: []string{m.sg}}},
		Placement: &types.Placement{}, TagSpecifications: tagged(types.ResourceTypeInstance, "node"), UserData: aws.String(base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\n"))),
	})
	id := *run.Instances[0].InstanceId
	instance := func() types.Instance {
		out := do(t, m.DescribeInstances, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		require.Len(t, out.Reservations, 1)
		require.Len(t, out.Reservations[0].Instances, 1)
		return out.Reservations[0].Instances[0]
	}
	i := instance()
	require.Equal(t, types.InstanceStateNameRunning, i.State.Name)

	// What the read takes of it, without a check for nil.
	require.NotNil(t, i.Placement.AvailabilityZone)
	require.EqualValues(t, 1, *i.CpuOptions.CoreCount)
	require.False(t, *i.HibernationOptions.Configured)
	require.False(t, *i.EnclaveOptions.Enabled)
	require.Equal(t, types.InstanceAutoRecoveryStateDefault, i.MaintenanceOptions.AutoRecovery)
	require.Equal(t, types.InstanceMetadataOptionsStateApplied, i.MetadataOptions.State)
	require.Equal(t, types.HostnameTypeIpName, i.PrivateDnsNameOptions.HostnameType)
	require.Equal(t, types.CapacityReservationPreferenceOpen, i.CapacityReservationSpecification.CapacityReservationPreference)
	require.Equal(t, "arn:aws:iam::"+account+":instance-profile/"+name, *i.IamInstanceProfile.Arn)
	eni := i.NetworkInterfaces[0]
	require.EqualValues(t, 0, *eni.Attachment.DeviceIndex)
	require.EqualValues(t, 0, *eni.Attachment.NetworkCardIndex)
	require.True(t, *eni.PrivateIpAddresses[0].Primary)
	require.True(t, *eni.SourceDestCheck)
	require.NotNil(t, eni.Association)
	require.Equal(t, m.sg, *i.SecurityGroups[0].GroupId)
	kinds := do(t, m.DescribeInstanceTypes, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{i.InstanceType}})
	require.True(t, *kinds.InstanceTypes[0].BurstablePerformanceSupported)
	for _, key := range []string{"aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version"} { // flattenInstanceLaunchTemplate
		require.Empty(t, do(t, m.DescribeTags, &ec2.DescribeTagsInput{Filters: by("resource-id", id, "key", key)}).Tags)
	}
	attribute := func(name types.InstanceAttributeName) *ec2.DescribeInstanceAttributeOutput {
		return do(t, m.DescribeInstanceAttribute, &ec2.DescribeInstanceAttributeInput{InstanceId: &id, Attribute: name})
	}
	require.Equal(t, "stop", *attribute(types.InstanceAttributeNameInstanceInitiatedShutdownBehavior).InstanceInitiatedShutdownBehavior.Value)
	require.False(t, *attribute(types.InstanceAttributeNameDisableApiStop).DisableApiStop.Value)
	require.False(t, *attribute(types.InstanceAttributeNameDisableApiTermination).DisableApiTermination.Value)
	data, err := base64.StdEncoding.DecodeString(*attribute(types.InstanceAttributeNameUserData).UserData.Value)
	require.NoError(t, err)
	require.Equal(t, "#!/bin/sh\n", string(data))
	volumes := do(t, m.DescribeVolumes, &ec2.DescribeVolumesInput{VolumeIds: []string{*i.BlockDeviceMappings[0].Ebs.VolumeId}})
	require.Equal(t, *i.RootDeviceName, *i.BlockDeviceMappings[0].DeviceName)
	require.EqualValues(t, 20, *volumes.Volumes[0].Size)
	require.EqualValues(t, 3000, *volumes.Volumes[0].Iops)
	require.EqualValues(t, 125, *volumes.Volumes[0].Throughput)
	require.True(t, *volumes.Volumes[0].Encrypted)
	require.NotEmpty(t, *volumes.Volumes[0].KmsKeyId)
	credits := do(t, m.DescribeInstanceCreditSpecifications, &ec2.DescribeInstanceCreditSpecificationsInput{InstanceIds: []string{id}})
	require.Equal(t, id, *credits.InstanceCreditSpecifications[0].InstanceId)
	require.Equal(t, "standard", *credits.InstanceCreditSpecifications[0].CpuCredits)

	// Tags of root_block_device are put on the volume (blockDeviceTagsToCreate).
	do(t, m.CreateTags, &ec2.CreateTagsInput{Resources: []string{*i.BlockDeviceMappings[0].Ebs.VolumeId}, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("node")}}})
	require.Len(t, do(t, m.DescribeVolumes, &ec2.DescribeVolumesInput{VolumeIds: []string{*i.BlockDeviceMappings[0].Ebs.VolumeId}}).Volumes[0].Tags, 1)

	// An elastic address and its association.
	address := do(t, m.AllocateAddress, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc, TagSpecifications: tagged(types.ResourceTypeElasticIp, "api")})
	eip := func() types.Address {
		out := do(t, m.DescribeAddresses, &ec2.DescribeAddressesInput{AllocationIds: []string{*address.AllocationId}})
		require.Len(t, out.Addresses, 1)
		return out.Addresses[0]
	}
	require.Equal(t, types.DomainTypeVpc, eip().Domain)
	names := do(t, m.DescribeAddressesAttribute, &ec2.DescribeAddressesAttributeInput{AllocationIds: []string{*address.AllocationId},
		Attribute: types.AddressAttributeNameDomainName})
	require.Len(t, names.Addresses, 1)
	association := do(t, m.AssociateAddress, &ec2.AssociateAddressInput{AllocationId: address.AllocationId, InstanceId: &id})
	found := do(t, m.DescribeAddresses, &ec2.DescribeAddressesInput{Filters: by("association-id", *association.AssociationId)})
	require.Equal(t, id, *found.Addresses[0].InstanceId)
	require.Equal(t, *i.NetworkInterfaces[0].NetworkInterfaceId, *found.Addresses[0].NetworkInterfaceId)
	require.NotEmpty(t, *found.Addresses[0].PrivateIpAddress)

	// Updates: user data with a stop, groups on the interface, metadata options, the profile.
	do(t, m.StopInstances, &ec2.StopInstancesInput{InstanceIds: []string{id}, Force: aws.Bool(false)})
	require.Equal(t, types.InstanceStateNameStopped, instance().State.Name)
	do(t, m.ModifyInstanceAttribute, &ec2.ModifyInstanceAttributeInput{InstanceId: &id, UserData: &types.SecureBlobAttributeValue{Value: []byte("#!/bin/sh\ntrue\n")}})
	do(t, m.StartInstances, &ec2.StartInstancesInput{InstanceIds: []string{id}})
	require.Equal(t, types.InstanceStateNameRunning, instance().State.Name)
	do(t, m.ModifyNetworkInterfaceAttribute, &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: eni.NetworkInterfaceId, Groups: []string{m.sg}})
	do(t, m.ModifyInstanceMetadataOptions, &ec2.ModifyInstanceMetadataOptionsInput{InstanceId: &id,
		HttpEndpoint: types.InstanceMetadataEndpointStateEnabled, HttpPutResponseHopLimit: aws.Int32(2), HttpTokens: types.HttpTokensStateRequired,
		InstanceMetadataTags: types.InstanceMetadataTagsStateDisabled})
	require.EqualValues(t, 2, *instance().MetadataOptions.HttpPutResponseHopLimit)
	profiles := do(t, m.DescribeIamInstanceProfileAssociations,
		&ec2.DescribeIamInstanceProfileAssociationsInput{Filters: by("instance-id", id)})
	other := p.profile("other")
	do(t, m.ReplaceIamInstanceProfileAssociation, &ec2.ReplaceIamInstanceProfileAssociationInput{
		AssociationId: profiles.IamInstanceProfileAssociations[0].AssociationId, IamInstanceProfile: &types.IamInstanceProfileSpecification{Name: &other}})
	require.Contains(t, *instance().IamInstanceProfile.Arn, "/other")

	// Deletes. A release of the state's association that has gone since is InvalidAssociationID.NotFound.
	do(t, m.DisassociateAddress, &ec2.DisassociateAddressInput{AssociationId: association.AssociationId})
	refused(t, "InvalidAssociationID.NotFound", m.DisassociateAddress, &ec2.DisassociateAddressInput{AssociationId: association.AssociationId})
	require.Empty(t, do(t, m.DescribeAddresses, &ec2.DescribeAddressesInput{Filters: by("association-id", *association.AssociationId)}).Addresses)
	do(t, m.ReleaseAddress, &ec2.ReleaseAddressInput{AllocationId: address.AllocationId, NetworkBorderGroup: address.NetworkBorderGroup})
	refused(t, "InvalidAllocationID.NotFound", m.DescribeAddresses, &ec2.DescribeAddressesInput{AllocationIds: []string{*address.AllocationId}})
	do(t, m.ModifyInstanceAttribute, &ec2.ModifyInstanceAttributeInput{InstanceId: &id, DisableApiTermination: &types.AttributeBooleanValue{Value: aws.Bool(false)}})
	do(t, m.TerminateInstances, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	require.Equal(t, types.InstanceStateNameTerminated, instance().State.Name)
	m.dropNetwork()
}

// profile makes an instance profile with a role.
func (p *published) profile(name string) string {
	p.t.Helper()
	c := iam.NewFromConfig(p.at(region))
	do(p.t, c.CreateRole, &iam.CreateRoleInput{RoleName: &name,
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	do(p.t, c.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: &name})
	do(p.t, c.AddRoleToInstanceProfile, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &name, RoleName: &name})
	return name
}

// TestProviderPrivateNetwork follows a NAT gateway (ec2/vpc_nat_gateway.go) and VPC endpoints (ec2/vpc_endpoint.go).
func TestProviderPrivateNetwork(t *testing.T) {
	p := newPublished(t).deploying(append(underlay, "aws:ec2/eip:Eip", "aws:ec2/natGateway:NatGateway", "aws:ec2/vpcEndpoint:VpcEndpoint")...)
	m := newMachine(p)
	address := do(t, m.AllocateAddress, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc})
	nat := do(t, m.CreateNatGateway, &ec2.CreateNatGatewayInput{AllocationId: address.AllocationId, ClientToken: aws.String("terraform-1"),
		ConnectivityType: types.ConnectivityTypePublic, SubnetId: &m.subnet, TagSpecifications: tagged(types.ResourceTypeNatgateway, "nat")})
	gateway := func() types.NatGateway {
		out := do(t, m.DescribeNatGateways, &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{*nat.NatGateway.NatGatewayId}})
		require.Len(t, out.NatGateways, 1)
		return out.NatGateways[0]
	}
	g := gateway()
	require.Equal(t, types.NatGatewayStateAvailable, g.State)
	a := g.NatGatewayAddresses[0]
	require.True(t, *a.IsPrimary)
	require.Equal(t, *address.AllocationId, *a.AllocationId)
	require.NotEmpty(t, *a.AssociationId)
	require.NotEmpty(t, *a.NetworkInterfaceId)
	require.NotEmpty(t, *a.PrivateIp)
	require.Equal(t, *address.PublicIp, *a.PublicIp)
	require.Equal(t, types.NatGatewayAddressStatusSucceeded, a.Status)

	s3 := do(t, m.CreateVpcEndpoint, &ec2.CreateVpcEndpointInput{ClientToken: aws.String("terraform-2"), PrivateDnsEnabled: aws.Bool(false),
		VpcEndpointType: types.VpcEndpointTypeGateway, VpcId: &m.vpc, RouteTableIds: []string{m.table}, ServiceName: aws.String("com.amazonaws." + region + ".s3"),
		TagSpecifications: tagged(types.ResourceTypeVpcEndpoint, "s3")})
	ssm := do(t, m.CreateVpcEndpoint, &ec2.CreateVpcEndpointInput{ClientToken: aws.String("terraform-3"), PrivateDnsEnabled: aws.Bool(true),
		VpcEndpointType: types.VpcEndpointTypeInterface, VpcId: &m.vpc, SubnetIds: []string{m.subnet}, SecurityGroupIds: []string{m.sg}, ServiceName: aws.String("com.amazonaws." + region + ".ssm"),
		TagSpecifications: tagged(types.ResourceTypeVpcEndpoint, "ssm")})
	for _, made := range []*ec2.CreateVpcEndpointOutput{s3, ssm} {
		out := do(t, m.DescribeVpcEndpoints, &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{*made.VpcEndpoint.VpcEndpointId}})
		e := out.VpcEndpoints[0]
		require.EqualValues(t, "available", e.State)
		require.NotEmpty(t, *e.OwnerId)
		require.NotEmpty(t, *e.PolicyDocument)
		require.NotNil(t, e.DnsOptions)
		require.NotNil(t, e.RequesterManaged)
		lists := do(t, m.DescribePrefixLists, &ec2.DescribePrefixListsInput{Filters: by("prefix-list-name", *e.ServiceName)})
		if e.VpcEndpointType == types.VpcEndpointTypeGateway {
			require.Len(t, lists.PrefixLists, 1)
			require.NotEmpty(t, lists.PrefixLists[0].Cidrs)
		} else {
			require.Empty(t, lists.PrefixLists)
			require.NotEmpty(t, e.DnsEntries)
			owned := do(t, m.DescribeNetworkInterfaces, &ec2.DescribeNetworkInterfacesInput{Filters: by("attachment.instance-owner-id", "amazon-aws", "description", "VPC Endpoint Interface "+*e.VpcEndpointId)})
			require.Len(t, owned.NetworkInterfaces, 1)
		}
		for _, eni := range e.NetworkInterfaceIds { // findSubnetConfigurationsByNetworkInterfaceIDs
			interfaces := do(t, m.DescribeNetworkInterfaces, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{eni}})
			require.NotEmpty(t, *interfaces.NetworkInterfaces[0].PrivateIpAddress)
			require.Equal(t, m.subnet, *interfaces.NetworkInterfaces[0].SubnetId)
		}
	}
	do(t, m.ModifyVpcEndpoint, &ec2.ModifyVpcEndpointInput{VpcEndpointId: s3.VpcEndpoint.VpcEndpointId,
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[]}`)})
	// A route to an endpoint is the endpoint's: the route table's read leaves it out by its gateway.
	require.Len(t, m.readTable().Routes, 3)
	for _, made := range []*ec2.CreateVpcEndpointOutput{s3, ssm} {
		id := *made.VpcEndpoint.VpcEndpointId
		require.Empty(t, do(t, m.DeleteVpcEndpoints, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{id}}).Unsuccessful)
		refused(t, "InvalidVpcEndpointId.NotFound", m.DescribeVpcEndpoints, &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{id}})
		again := do(t, m.DeleteVpcEndpoints, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{id}}).Unsuccessful
		require.Equal(t, "InvalidVpcEndpoint.NotFound", *again[0].Error.Code)
	}
	do(t, m.DeleteNatGateway, &ec2.DeleteNatGatewayInput{NatGatewayId: nat.NatGateway.NatGatewayId})
	require.Equal(t, types.NatGatewayStateDeleted, gateway().State)
	refused(t, "InvalidAssociationID.NotFound", m.DisassociateAddress, &ec2.DisassociateAddressInput{AssociationId: a.AssociationId}) // by the address's delete, from the state
	do(t, m.ReleaseAddress, &ec2.ReleaseAddressInput{AllocationId: address.AllocationId, NetworkBorderGroup: address.NetworkBorderGroup})
	m.dropNetwork()
}
