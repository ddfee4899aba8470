package services_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/lab/internal/gate"
	labec2 "k3s-aws-auth/scripts/lab/internal/gate/ec2"
)

// log records what Machines is told.
type machineLog struct {
	mu    sync.Mutex
	lines []string
	last  labec2.Instance
}

func (m *machineLog) add(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, fmt.Sprintf(format, args...))
}
func (m *machineLog) Run(i labec2.Instance) {
	m.mu.Lock()
	m.last = i
	m.mu.Unlock()
	m.add("run %s", i.State)
}
func (m *machineLog) Terminate(string)        { m.add("terminate") }
func (m *machineLog) Associate(ip, _ string)  { m.add("associate %s", ip) }
func (m *machineLog) Disassociate(ip string)  { m.add("disassociate %s", ip) }
func (m *machineLog) Stop(string)             { m.add("stop") }
func (m *machineLog) Start(i labec2.Instance) { m.add("start %s", i.UserData) }
func (m *machineLog) MetadataOptions(_ string, o labec2.MetadataOptions) {
	m.add("metadata %s %d", o.HTTPTokens, o.HopLimit)
}
func (m *machineLog) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.lines...)
}

const trustEC2 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

func (l *lab) instanceProfile(name string) {
	l.t.Helper()
	ctx := context.Background()
	c := iam.NewFromConfig(l.config(region))
	_, err := c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trustEC2)})
	require.NoError(l.t, err)
	_, err = c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: &name})
	require.NoError(l.t, err)
	_, err = c.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &name, RoleName: &name})
	require.NoError(l.t, err)
}

// network is a VPC with a public subnet.
type network struct{ vpc, subnet, gateway, table, association, group string }

func (l *lab) network(c *ec2.Client) network {
	l.t.Helper()
	ctx := context.Background()
	vpc, err := c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16"), TagSpecifications: []types.TagSpecification{{ResourceType: "vpc", Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("lab")}}}}})
	require.NoError(l.t, err)
	n := network{vpc: *vpc.Vpc.VpcId}
	require.Equal(l.t, "lab", *vpc.Vpc.Tags[0].Value)
	require.NoError(l.t, ec2.NewVpcAvailableWaiter(c).Wait(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{n.vpc}}, time.Second))
	_, err = c.ModifyVpcAttribute(ctx, &ec2.ModifyVpcAttributeInput{VpcId: &n.vpc, EnableDnsHostnames: &types.AttributeBooleanValue{Value: aws.Bool(true)}})
	require.NoError(l.t, err)
	attribute, err := c.DescribeVpcAttribute(ctx, &ec2.DescribeVpcAttributeInput{VpcId: &n.vpc, Attribute: "enableDnsHostnames"})
	require.NoError(l.t, err)
	require.True(l.t, *attribute.EnableDnsHostnames.Value)
	subnet, err := c.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &n.vpc, CidrBlock: aws.String("10.0.1.0/24"), AvailabilityZone: aws.String("eu-central-1b")})
	require.NoError(l.t, err)
	n.subnet = *subnet.Subnet.SubnetId
	require.EqualValues(l.t, 251, *subnet.Subnet.AvailableIpAddressCount)
	_, err = c.ModifySubnetAttribute(ctx, &ec2.ModifySubnetAttributeInput{SubnetId: &n.subnet, MapPublicIpOnLaunch: &types.AttributeBooleanValue{Value: aws.Bool(true)}})
	require.NoError(l.t, err)
	gateway, err := c.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{})
	require.NoError(l.t, err)
	n.gateway = *gateway.InternetGateway.InternetGatewayId
	_, err = c.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: &n.gateway, VpcId: &n.vpc})
	require.NoError(l.t, err)
	table, err := c.CreateRouteTable(ctx, &ec2.CreateRouteTableInput{VpcId: &n.vpc})
	require.NoError(l.t, err)
	n.table = *table.RouteTable.RouteTableId
	_, err = c.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: &n.table, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: &n.gateway})
	require.NoError(l.t, err)
	association, err := c.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: &n.table, SubnetId: &n.subnet})
	require.NoError(l.t, err)
	n.association = *association.AssociationId
	group, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("nodes"), Description: aws.String("nodes"), VpcId: &n.vpc})
	require.NoError(l.t, err)
	n.group = *group.GroupId
	return n
}

func (l *lab) image(arch string) string {
	l.t.Helper()
	p, err := ssm.NewFromConfig(l.config(region)).GetParameter(context.Background(), &ssm.GetParameterInput{
		Name: aws.String("/aws/service/canonical/ubuntu/server/24.04/stable/current/" + arch + "/hvm/ebs-gp3/ami-id")})
	require.NoError(l.t, err)
	return *p.Parameter.Value
}

func (l *lab) run(c *ec2.Client, n network, change ...func(*ec2.RunInstancesInput)) (*types.Instance, error) {
	in := &ec2.RunInstancesInput{ImageId: aws.String(l.image("amd64")), InstanceType: "t3.medium", MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: &n.subnet,
		SecurityGroupIds: []string{n.group}, IamInstanceProfile: &types.IamInstanceProfileSpecification{Name: aws.String("node")},
		UserData:            aws.String(base64.StdEncoding.EncodeToString([]byte("#cloud-config\n"))),
		MetadataOptions:     &types.InstanceMetadataOptionsRequest{HttpTokens: "required", HttpPutResponseHopLimit: aws.Int32(1), HttpEndpoint: "enabled"},
		CreditSpecification: &types.CreditSpecificationRequest{CpuCredits: aws.String("standard")},
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/sda1"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(20), Encrypted: aws.Bool(true), VolumeType: "gp3"}}},
		TagSpecifications:   []types.TagSpecification{{ResourceType: "instance", Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("server-0")}}}, {ResourceType: "volume", Tags: []types.Tag{{Key: aws.String("v"), Value: aws.String("1")}}}}}
	for _, f := range change {
		f(in)
	}
	out, err := c.RunInstances(context.Background(), in)
	if err != nil {
		return nil, err
	}
	require.Equal(l.t, types.InstanceStateNamePending, out.Instances[0].State.Name)
	seen, err := c.DescribeInstances(context.Background(), &ec2.DescribeInstancesInput{InstanceIds: []string{*out.Instances[0].InstanceId}})
	if err != nil {
		return nil, err
	}
	return &seen.Reservations[0].Instances[0], nil
}

func TestEC2Machine(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := ec2.NewFromConfig(l.config(region))
	machines := &machineLog{}
	l.EC2.SetMachines(machines)
	n := l.network(c)
	_, err := l.run(c, n)
	requireCode(t, err, "InvalidParameterValue", "Invalid IAM Instance Profile")
	l.instanceProfile("node")
	_, err = l.run(c, n, func(in *ec2.RunInstancesInput) { in.InstanceType = "t4g.medium" })
	requireCode(t, err, "InvalidParameterValue", "does not match the architecture")
	_, err = l.run(c, n, func(in *ec2.RunInstancesInput) { in.ImageId = aws.String("ami-0") })
	requireCode(t, err, "InvalidAMIID.NotFound")
	_, err = l.run(c, n, func(in *ec2.RunInstancesInput) {
		in.UserData = aws.String(base64.StdEncoding.EncodeToString(make([]byte, 16385)))
	})
	requireCode(t, err, "InvalidParameterValue", "User data is limited to 16384 bytes")
	_, err = l.run(c, n, func(in *ec2.RunInstancesInput) { in.Placement = &types.Placement{GroupName: aws.String("g")} })
	requireCode(t, err, "NotImplemented")

	i, err := l.run(c, n)
	require.NoError(t, err)
	require.Equal(t, types.InstanceStateNameRunning, i.State.Name)
	require.Equal(t, "10.0.1.4", *i.PrivateIpAddress)
	require.Equal(t, "ip-10-0-1-4.eu-central-1.compute.internal", *i.PrivateDnsName)
	require.Equal(t, "arn:aws:iam::111122223333:instance-profile/node", *i.IamInstanceProfile.Arn)
	require.EqualValues(t, 1, *i.MetadataOptions.HttpPutResponseHopLimit)
	require.Equal(t, types.HttpTokensStateRequired, i.MetadataOptions.HttpTokens)
	require.True(t, strings.HasPrefix(*i.PublicIpAddress, "127.20."))
	require.Equal(t, "server-0", *i.Tags[0].Value)
	data, err := c.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{InstanceId: i.InstanceId, Attribute: "userData"})
	require.NoError(t, err)
	require.Equal(t, "I2Nsb3VkLWNvbmZpZwo=", *data.UserData.Value)
	volumes, err := c.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{Filters: []types.Filter{{Name: aws.String("attachment.instance-id"), Values: []string{*i.InstanceId}}}})
	require.NoError(t, err)
	require.EqualValues(t, 20, *volumes.Volumes[0].Size)
	require.True(t, *volumes.Volumes[0].Encrypted)
	require.EqualValues(t, 3000, *volumes.Volumes[0].Iops)
	require.Equal(t, "1", *volumes.Volumes[0].Tags[0].Value)
	credits, err := c.DescribeInstanceCreditSpecifications(ctx, &ec2.DescribeInstanceCreditSpecificationsInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	require.Equal(t, "standard", *credits.InstanceCreditSpecifications[0].CpuCredits)
	kinds, err := c.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"t3.medium", "t4g.medium"}})
	require.NoError(t, err)
	require.EqualValues(t, 4096, *kinds.InstanceTypes[0].MemoryInfo.SizeInMiB)
	require.Equal(t, types.ArchitectureTypeArm64, kinds.InstanceTypes[1].ProcessorInfo.SupportedArchitectures[0])

	// An Elastic IP takes the place of the automatic address.
	eip, err := c.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: "vpc"})
	require.NoError(t, err)
	association, err := c.AssociateAddress(ctx, &ec2.AssociateAddressInput{AllocationId: eip.AllocationId, InstanceId: i.InstanceId})
	require.NoError(t, err)
	addresses, err := c.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{AllocationIds: []string{*eip.AllocationId}})
	require.NoError(t, err)
	require.Equal(t, *i.InstanceId, *addresses.Addresses[0].InstanceId)
	require.Equal(t, *association.AssociationId, *addresses.Addresses[0].AssociationId)
	res, ok := l.Resolve("ec2-" + strings.ReplaceAll(*eip.PublicIp, ".", "-") + ".eu-central-1.compute.amazonaws.com")
	require.True(t, ok)
	require.Equal(t, []string{*eip.PublicIp}, res.Addrs)
	_, err = c.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: eip.AllocationId})
	requireCode(t, err, "InvalidIPAddress.InUse")

	_, err = c.ModifyInstanceMetadataOptions(ctx, &ec2.ModifyInstanceMetadataOptionsInput{InstanceId: i.InstanceId, HttpPutResponseHopLimit: aws.Int32(2)})
	require.NoError(t, err)
	userData := &ec2.ModifyInstanceAttributeInput{InstanceId: i.InstanceId, UserData: &types.SecureBlobAttributeValue{Value: []byte("new")}}
	_, err = c.ModifyInstanceAttribute(ctx, userData)
	requireCode(t, err, "IncorrectInstanceState")
	_, err = c.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	_, err = c.ModifyInstanceAttribute(ctx, userData)
	require.NoError(t, err)
	_, err = c.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)

	// What still has dependents does not go.
	_, err = c.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &n.gateway, VpcId: &n.vpc})
	requireCode(t, err, "DependencyViolation", "mapped public address")
	for _, call := range []func() error{
		func() error { _, err := c.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: &n.vpc}); return err },
		func() error { _, err := c.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &n.subnet}); return err },
		func() error {
			_, err := c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &n.group})
			return err
		},
		func() error {
			_, err := c.DeleteRouteTable(ctx, &ec2.DeleteRouteTableInput{RouteTableId: &n.table})
			return err
		},
	} {
		requireCode(t, call(), "DependencyViolation")
	}
	_, err = c.DisassociateAddress(ctx, &ec2.DisassociateAddressInput{AssociationId: association.AssociationId})
	require.NoError(t, err)
	_, err = c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	require.NoError(t, err)
	_, err = c.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: eip.AllocationId})
	require.NoError(t, err)
	_, err = c.DisassociateRouteTable(ctx, &ec2.DisassociateRouteTableInput{AssociationId: &n.association})
	require.NoError(t, err)
	for _, call := range []func() error{
		func() error {
			_, err := c.DeleteRouteTable(ctx, &ec2.DeleteRouteTableInput{RouteTableId: &n.table})
			return err
		},
		func() error {
			_, err := c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &n.group})
			return err
		},
		func() error {
			_, err := c.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &n.gateway, VpcId: &n.vpc})
			return err
		},
		func() error {
			_, err := c.DeleteInternetGateway(ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: &n.gateway})
			return err
		},
		func() error { _, err := c.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &n.subnet}); return err },
		func() error { _, err := c.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: &n.vpc}); return err },
	} {
		require.NoError(t, call())
	}
	_, err = c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{n.vpc}})
	requireCode(t, err, "InvalidVpcID.NotFound", "The vpc ID '"+n.vpc+"' does not exist")
	_, err = c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{"i-0123456789abcdef0"}})
	requireCode(t, err, "InvalidInstanceID.NotFound")
	for kind := range l.Inventory() {
		require.False(t, strings.HasPrefix(kind, "ec2 "), kind)
	}
	auto, ip := *i.PublicIpAddress, *eip.PublicIp
	require.Eventually(t, func() bool { return len(machines.all()) >= 10 }, time.Second, 5*time.Millisecond, "%v", machines.all())
	require.Equal(t, []string{"run running", "associate " + auto, "disassociate " + auto, "associate " + ip, "metadata required 2", "stop", "start new", "associate " + ip,
		"disassociate " + ip, "terminate"}, machines.all())
	require.Equal(t, "#cloud-config\n", string(machines.last.UserData))
}

func TestEC2SecurityGroupRules(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := ec2.NewFromConfig(l.config(region))
	n := l.network(c)
	open := []types.IpPermission{{IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}
	_, err := c.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: &n.group, IpPermissions: open})
	require.NoError(t, err)
	_, err = c.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: &n.group, IpPermissions: open})
	requireCode(t, err, "InvalidPermission.NotFound")
	api := []types.IpPermission{{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(6443), ToPort: aws.Int32(6443), IpRanges: []types.IpRange{{CidrIp: aws.String("192.0.2.0/24"), Description: aws.String("api")}}}}
	in, err := c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &n.group, IpPermissions: api,
		TagSpecifications: []types.TagSpecification{{ResourceType: "security-group-rule", Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}}})
	require.NoError(t, err)
	id := in.SecurityGroupRules[0].SecurityGroupRuleId
	_, err = c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &n.group, IpPermissions: api})
	requireCode(t, err, "InvalidPermission.Duplicate", "already exists")
	_, err = c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &n.group, IpPermissions: []types.IpPermission{{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &n.group}}}}})
	require.NoError(t, err)
	_, err = c.ModifySecurityGroupRules(ctx, &ec2.ModifySecurityGroupRulesInput{GroupId: &n.group, SecurityGroupRules: []types.SecurityGroupRuleUpdate{{SecurityGroupRuleId: id,
		SecurityGroupRule: &types.SecurityGroupRuleRequest{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(6443), ToPort: aws.Int32(6444), CidrIpv4: aws.String("198.51.100.0/24"), Description: aws.String("changed")}}}})
	require.NoError(t, err)
	rules, err := c.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{*id}})
	require.NoError(t, err)
	r := rules.SecurityGroupRules[0]
	require.Equal(t, "198.51.100.0/24 6444 changed v", fmt.Sprint(*r.CidrIpv4, " ", *r.ToPort, " ", *r.Description, " ", *r.Tags[0].Value))
	groups, err := c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{n.group}})
	require.NoError(t, err)
	require.Len(t, groups.SecurityGroups[0].IpPermissions, 2)
	require.Empty(t, groups.SecurityGroups[0].IpPermissionsEgress)
	_, err = c.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &n.group, SecurityGroupRuleIds: []string{*id}})
	require.NoError(t, err)
	_, err = c.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{*id}})
	requireCode(t, err, "InvalidSecurityGroupRuleId.NotFound")
	_, err = c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{{Name: aws.String("ip-permission.cidr"), Values: []string{"x"}}}})
	requireCode(t, err, "NotImplemented")
}

func TestEC2LaunchTemplate(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := ec2.NewFromConfig(l.config(region))
	n := l.network(c)
	l.instanceProfile("node")
	made, err := c.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("nodes"), LaunchTemplateData: &types.RequestLaunchTemplateData{
		ImageId: aws.String(l.image("arm64")), InstanceType: "t4g.medium", UserData: aws.String("eA=="),
		MetadataOptions: &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: "required", HttpPutResponseHopLimit: aws.Int32(1)}}})
	require.NoError(t, err)
	id := made.LaunchTemplate.LaunchTemplateId
	_, err = c.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: id, LaunchTemplateData: &types.RequestLaunchTemplateData{InstanceType: "t4g.small"}})
	require.NoError(t, err)
	got, err := c.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{LaunchTemplateNames: []string{"nodes"}})
	require.NoError(t, err)
	require.EqualValues(t, 1, *got.LaunchTemplates[0].DefaultVersionNumber)
	require.EqualValues(t, 2, *got.LaunchTemplates[0].LatestVersionNumber)
	versions, err := c.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: id, Versions: []string{"$Default"}})
	require.NoError(t, err)
	require.EqualValues(t, 1, *versions.LaunchTemplateVersions[0].LaunchTemplateData.MetadataOptions.HttpPutResponseHopLimit)
	out, err := c.RunInstances(ctx, &ec2.RunInstancesInput{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: id}, MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: &n.subnet})
	require.NoError(t, err)
	require.Equal(t, types.InstanceTypeT4gMedium, out.Instances[0].InstanceType)
	_, err = c.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: id})
	require.NoError(t, err)
	_, err = c.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{LaunchTemplateIds: []string{*id}})
	requireCode(t, err, "InvalidLaunchTemplateId.NotFound")
}

func TestEC2Authorization(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	admin := ec2.NewFromConfig(l.config(region))
	n := l.network(admin)
	l.instanceProfile("node")
	_, err := ec2.NewFromConfig(l.user("nobody", "")).DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	requireCode(t, err, "UnauthorizedOperation", "ec2:DescribeVpcs")
	noPass := l.user("launcher", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:*","ssm:*"],"Resource":"*"}]}`)
	_, err = l.run(ec2.NewFromConfig(noPass), n)
	requireCode(t, err, "UnauthorizedOperation", "iam:PassRole")
	_, err = admin.DescribeHosts(ctx, &ec2.DescribeHostsInput{})
	requireCode(t, err, "NotImplemented", "DescribeHosts")
}

func TestIMDS(t *testing.T) {
	l, ctx := newLab(t), context.Background()
	c := ec2.NewFromConfig(l.config(region))
	n := l.network(c)
	l.instanceProfile("node")
	i, err := l.run(c, n)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	hops := func() int { in, _ := l.EC2.Instance(*i.InstanceId); return in.MetadataOptions.HopLimit }
	go func() { done <- labec2.ServeMetadata(listener, hops, l.EC2.Metadata(*i.InstanceId)) }()
	t.Cleanup(func() { _ = listener.Close(); require.NoError(t, <-done) })
	base := "http://" + listener.Addr().String()
	do := func(method, path string, header ...string) (int, string) {
		req, err := http.NewRequest(method, base+path, nil)
		require.NoError(t, err)
		for k := 0; k < len(header); k += 2 {
			req.Header.Set(header[k], header[k+1])
		}
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		return res.StatusCode, readAll(t, res)
	}
	const ttl, tok = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
	status, _ := do("GET", "/latest/meta-data/instance-id")
	require.Equal(t, 401, status)
	for _, bad := range [][]string{{}, {ttl, "0"}, {ttl, "21601"}, {ttl, "x"}} {
		status, _ = do("PUT", "/latest/api/token", bad...)
		require.Equal(t, 400, status, bad)
	}
	status, _ = do("PUT", "/latest/api/token", ttl, "60", "X-Forwarded-For", "10.0.0.1")
	require.Equal(t, 403, status)
	status, token := do("PUT", "/latest/api/token", ttl, "60")
	require.Equal(t, 200, status)
	get := func(path string) string {
		status, body := do("GET", path, tok, token)
		require.Equal(t, 200, status, path)
		return body
	}
	require.Equal(t, *i.InstanceId, get("/latest/meta-data/instance-id"))
	require.Equal(t, "eu-central-1", get("/latest/meta-data/placement/region"))
	require.Equal(t, "node", get("/latest/meta-data/iam/security-credentials/"))
	require.Equal(t, "#cloud-config\n", get("/latest/user-data"))
	require.Contains(t, get("/latest/meta-data/"), "iam/")
	require.Contains(t, get("/latest/meta-data/iam/info"), `"InstanceProfileArn": "arn:aws:iam::111122223333:instance-profile/node"`)
	status, _ = do("GET", "/latest/meta-data/nothing", tok, token)
	require.Equal(t, 404, status)
	status, _ = do("GET", "/latest/meta-data/instance-id", tok, "forged")
	require.Equal(t, 401, status)
	status, _ = do("GET", "/latest/meta-data/iam/security-credentials/other", tok, token)
	require.Equal(t, 404, status)
	var doc struct{ AccountID, Region, InstanceID string }
	require.NoError(t, json.Unmarshal([]byte(get("/latest/dynamic/instance-identity/document")), &doc))
	require.Equal(t, account, doc.AccountID)
	events := l.Events()
	last := events[len(events)-1]
	require.Equal(t, []any{"imds", "GET", "/latest/dynamic/instance-identity/document", 200, "node/" + *i.InstanceId, "127.0.0.1"},
		[]any{last.Service, last.Action, last.Resource, last.Status, last.Source, last.SourceIP}, "requests are counted")
	require.NoError(t, l.SetLatency([]gate.LatencyRule{{Host: gate.MetadataHost, RequestMs: 30}}))
	started := time.Now()
	get("/latest/meta-data/instance-id")
	require.GreaterOrEqual(t, time.Since(started), 30*time.Millisecond)
	require.NoError(t, l.SetLatency(nil))

	// The SDK's own client takes the credentials, and they are the role's session named by the instance.
	m := imds.New(imds.Options{Endpoint: base})
	got, err := m.GetMetadata(ctx, &imds.GetMetadataInput{Path: "iam/security-credentials/node"})
	require.NoError(t, err)
	var keys struct{ Code, AccessKeyID, SecretAccessKey, Token string } // JSON names match in any case
	require.NoError(t, json.NewDecoder(got.Content).Decode(&keys))
	require.Equal(t, "Success", keys.Code)
	who, err := sts.NewFromConfig(l.config(region, keys.AccessKeyID, keys.SecretAccessKey, keys.Token)).GetCallerIdentity(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, "arn:aws:sts::111122223333:assumed-role/node/"+*i.InstanceId, *who.Arn)

	l.later(61 * time.Second)
	status, _ = do("GET", "/latest/meta-data/instance-id", tok, token)
	require.Equal(t, 401, status, "tokens expire")
	_, err = c.ModifyInstanceMetadataOptions(ctx, &ec2.ModifyInstanceMetadataOptionsInput{InstanceId: i.InstanceId, HttpTokens: "optional"})
	require.NoError(t, err)
	status, _ = do("GET", "/latest/meta-data/instance-id")
	require.Equal(t, 200, status, "IMDSv1 where tokens are optional")
	_, err = c.ModifyInstanceMetadataOptions(ctx, &ec2.ModifyInstanceMetadataOptionsInput{InstanceId: i.InstanceId, HttpEndpoint: "disabled"})
	require.NoError(t, err)
	status, _ = do("GET", "/latest/meta-data/instance-id")
	require.Equal(t, 403, status)
}
