package awsres

import (
	"context"
	"crypto/sha1" // #nosec G505 -- the state form of user data in pulumi-aws
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var ec2Compute = map[string]*resource{
	"aws:ec2/instance:Instance": {
		Create: createInstance, Read: readInstance, Update: updateInstance, Recorded: true, Delete: deleteInstance,
		Check: checkInstance, Diff: diffInstance,
		Echo: map[string]func(any) any{"userData": userDataHash}, PreviewEcho: true,
		Same: map[string]func(old, new any) bool{"iamInstanceProfile": sameProfile},
		Volatile: func(changed map[string]bool) []string {
			var out []string
			if changed["userData"] || changed["userDataBase64"] || changed["instanceType"] { // a stop and start
				out = append(out, "publicIp", "publicDns")
			}
			return out
		},
	},
	"aws:ec2/eip:Eip":                       {Create: createEip, Read: readEip, Update: updateEip, Delete: deleteEip},
	"aws:ec2/eipAssociation:EipAssociation": {Create: createEipAssociation, Read: readEipAssociation, Delete: deleteEipAssociation},
	"aws:ec2/launchTemplate:LaunchTemplate": {
		Create: createTemplate, Read: readTemplate, Update: updateTemplate, Delete: deleteTemplate,
		Volatile: func(changed map[string]bool) []string {
			if newVersion(changed) {
				return []string{"latestVersion", "defaultVersion"}
			}
			return nil
		},
	},
}

// userDataHash is the form of user data in the state: the SHA-1 of the text or, where that is base64, of what it
// encodes.
func userDataHash(v any) any {
	text, ok := v.(string)
	if !ok {
		return v
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		raw = []byte(text)
	}
	sum := sha1.Sum(raw) // #nosec G401 -- see the import
	return hex.EncodeToString(sum[:])
}

// sameProfile takes a profile's ARN for its name, since the API reports the ARN.
func sameProfile(old, new any) bool {
	a, _ := old.(string)
	b, _ := new.(string)
	return a[strings.LastIndex(a, "/")+1:] == b
}

// --- Instance

func checkInstance(c *checker) {
	if !c.Given("launchTemplate") {
		for _, name := range []string{"ami", "instanceType"} {
			if !c.Given(name) {
				c.Fail(name, "Missing required argument. %q: one of `%s,launchTemplate` must be specified.", name, name)
			}
		}
	}
	if c.Given("networkInterfaces") {
		for _, name := range []string{"subnetId", "vpcSecurityGroupIds", "securityGroups", "associatePublicIpAddress", "privateIp"} {
			if c.Given(name) {
				c.Fail("networkInterfaces", "Conflicting configuration arguments. %q: conflicts with %s.", "networkInterfaces", name)
			}
		}
	}
}

func diffInstance(d *diff) {
	if engine.Bool(d.In, "userDataReplaceOnChange") {
		d.Replace("userData", "userDataBase64")
	}
}

func createInstance(ctx context.Context, c *call) (string, m, error) {
	in, err := runInput(ctx, c)
	if err != nil {
		return "", nil, err
	}
	var out *ec2.RunInstancesOutput
	err = engine.Retry(ctx, ec2Propagation, func(err error) bool {
		// A profile that IAM has made but EC2 does not see yet.
		return says(err, "InvalidParameterValue", "Invalid IAM Instance Profile") ||
			says(err, "InvalidParameterValue", "has no associated IAM Roles")
	}, func(ctx context.Context) error {
		out, err = c.Client.ec2().RunInstances(ctx, in)
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating EC2 Instance: %w", err)
	}
	if len(out.Instances) == 0 {
		return "", nil, errors.New("creating EC2 Instance: the answer names no instance")
	}
	id := aws.ToString(out.Instances[0].InstanceId)
	if err := c.Client.waitInstance(ctx, id, types.InstanceStateNameRunning); err != nil {
		return id, nil, err
	}
	if engine.Has(c.In, "sourceDestCheck") && !engine.Bool(c.In, "sourceDestCheck") {
		if err := c.Client.instanceAttribute(ctx, "sourceDestCheck", &ec2.ModifyInstanceAttributeInput{
			InstanceId: &id, SourceDestCheck: &types.AttributeBooleanValue{Value: aws.Bool(false)},
		}); err != nil {
			return id, nil, err
		}
	}
	return id, nil, tagRoot(ctx, c, id)
}

// tagRoot gives a new instance's root volume the tags of rootBlockDevice, as the provider does once it runs.
func tagRoot(ctx context.Context, c *call, id string) error {
	tags := engine.StrMap(engine.Obj(c.In, "rootBlockDevice"), "tags")
	if len(tags) == 0 {
		return nil
	}
	i, err := findInstance(ctx, c.Client, id)
	if err != nil {
		return err
	}
	for _, d := range i.BlockDeviceMappings {
		if d.Ebs == nil || aws.ToString(d.DeviceName) != aws.ToString(i.RootDeviceName) {
			continue
		}
		if _, err := c.Client.ec2().CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{aws.ToString(d.Ebs.VolumeId)}, Tags: ec2Tags(tags)}); err != nil {
			return fmt.Errorf("tagging the root volume of EC2 Instance (%s): %w", id, err)
		}
	}
	return nil
}

// runInput turns the inputs of an instance into the request that launches it.
func runInput(ctx context.Context, c *call) (*ec2.RunInstancesInput, error) {
	in := c.In
	req := &ec2.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		ImageId:                           engine.StrPtr(in, "ami"),
		InstanceType:                      types.InstanceType(engine.Str(in, "instanceType")),
		KeyName:                           engine.StrPtr(in, "keyName"),
		DisableApiTermination:             engine.BoolPtr(in, "disableApiTermination"),
		DisableApiStop:                    engine.BoolPtr(in, "disableApiStop"),
		EbsOptimized:                      engine.BoolPtr(in, "ebsOptimized"),
		InstanceInitiatedShutdownBehavior: types.ShutdownBehavior(engine.Str(in, "instanceInitiatedShutdownBehavior")),
		TagSpecifications:                 tagSpec(types.ResourceTypeInstance, c.Tags()),
	}
	if tags := engine.StrMap(in, "volumeTags"); len(tags) > 0 {
		req.TagSpecifications = append(req.TagSpecifications, tagSpec(types.ResourceTypeVolume, tags)...)
	}
	if s := engine.Str(in, "iamInstanceProfile"); s != "" {
		req.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(s)}
	}
	if s := engine.Str(in, "userDataBase64"); s != "" {
		req.UserData = aws.String(s)
	}
	if s := engine.Str(in, "userData"); s != "" {
		if _, err := base64.StdEncoding.DecodeString(s); err != nil {
			s = base64.StdEncoding.EncodeToString([]byte(s))
		}
		req.UserData = aws.String(s)
	}
	if o := engine.Obj(in, "creditSpecification"); engine.Str(o, "cpuCredits") != "" && strings.HasPrefix(string(req.InstanceType), "t") {
		req.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: engine.StrPtr(o, "cpuCredits")}
	}
	if b := engine.BoolPtr(in, "monitoring"); b != nil {
		req.Monitoring = &types.RunInstancesMonitoringEnabled{Enabled: b}
	}
	if b := engine.BoolPtr(in, "hibernation"); b != nil {
		req.HibernationOptions = &types.HibernationOptionsRequest{Configured: b}
	}
	if engine.Has(in, "availabilityZone") || engine.Has(in, "placementGroup") || engine.Has(in, "tenancy") {
		req.Placement = &types.Placement{
			AvailabilityZone: engine.StrPtr(in, "availabilityZone"), GroupName: engine.StrPtr(in, "placementGroup"),
			Tenancy: types.Tenancy(engine.Str(in, "tenancy")),
		}
	}
	for _, block := range []struct {
		name string
		dst  any
		set  func(any)
	}{
		{"metadataOptions", &types.InstanceMetadataOptionsRequest{}, func(v any) { req.MetadataOptions = v.(*types.InstanceMetadataOptionsRequest) }},
		{"maintenanceOptions", &types.InstanceMaintenanceOptionsRequest{}, func(v any) { req.MaintenanceOptions = v.(*types.InstanceMaintenanceOptionsRequest) }},
		{"privateDnsNameOptions", &types.PrivateDnsNameOptionsRequest{}, func(v any) { req.PrivateDnsNameOptions = v.(*types.PrivateDnsNameOptionsRequest) }},
		{"launchTemplate", &types.LaunchTemplateSpecification{}, func(v any) { req.LaunchTemplate = v.(*types.LaunchTemplateSpecification) }},
	} {
		if o := engine.Obj(in, block.name); o != nil {
			if err := fill(block.dst, o, names{"id": "LaunchTemplateId", "name": "LaunchTemplateName"}); err != nil {
				return nil, fmt.Errorf("%s: %w", block.name, err)
			}
			block.set(block.dst)
		}
	}
	if err := interfaces(req, in); err != nil {
		return nil, err
	}
	return req, devices(ctx, req, c)
}

// interfaces sets the network side of a launch. An explicit choice of a public address can only be made on an interface.
func interfaces(req *ec2.RunInstancesInput, in m) error {
	for _, o := range engine.Objs(in, "networkInterfaces") {
		var n types.InstanceNetworkInterfaceSpecification
		if err := fill(&n, o, nil); err != nil {
			return fmt.Errorf("networkInterfaces: %w", err)
		}
		req.NetworkInterfaces = append(req.NetworkInterfaces, n)
	}
	if len(req.NetworkInterfaces) > 0 {
		return nil
	}
	groups := engine.Strs(in, "vpcSecurityGroupIds")
	if public := engine.BoolPtr(in, "associatePublicIpAddress"); public != nil {
		n := types.InstanceNetworkInterfaceSpecification{
			DeviceIndex: aws.Int32(0), AssociatePublicIpAddress: public, SubnetId: engine.StrPtr(in, "subnetId"),
			PrivateIpAddress: engine.StrPtr(in, "privateIp"), Groups: groups, Ipv6AddressCount: engine.IntPtr(in, "ipv6AddressCount"),
		}
		for _, ip := range engine.Strs(in, "secondaryPrivateIps") {
			n.PrivateIpAddresses = append(n.PrivateIpAddresses, types.PrivateIpAddressSpecification{PrivateIpAddress: aws.String(ip)})
		}
		for _, ip := range engine.Strs(in, "ipv6Addresses") {
			n.Ipv6Addresses = append(n.Ipv6Addresses, types.InstanceIpv6Address{Ipv6Address: aws.String(ip)})
		}
		req.NetworkInterfaces = append(req.NetworkInterfaces, n)
		return nil
	}
	req.SubnetId = engine.StrPtr(in, "subnetId")
	req.PrivateIpAddress = engine.StrPtr(in, "privateIp")
	req.SecurityGroupIds = groups
	req.SecurityGroups = engine.Strs(in, "securityGroups")
	req.Ipv6AddressCount = engine.IntPtr(in, "ipv6AddressCount")
	for _, ip := range engine.Strs(in, "ipv6Addresses") {
		req.Ipv6Addresses = append(req.Ipv6Addresses, types.InstanceIpv6Address{Ipv6Address: aws.String(ip)})
	}
	return nil
}

// devices sets the volumes of a launch. The root device's name comes from the image, or is what Ubuntu and Amazon Linux
// use where the image cannot be read.
func devices(ctx context.Context, req *ec2.RunInstancesInput, c *call) error {
	device := func(o m) (*types.EbsBlockDevice, error) {
		var e types.EbsBlockDevice
		err := fill(&e, o, names{"tags": "-", "deviceName": "-"})
		return &e, err
	}
	if root := engine.Obj(c.In, "rootBlockDevice"); root != nil {
		e, err := device(root)
		if err != nil {
			return fmt.Errorf("rootBlockDevice: %w", err)
		}
		name := "/dev/sda1"
		out, err := c.Client.ec2().DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{engine.Str(c.In, "ami")}})
		if err == nil && len(out.Images) > 0 && aws.ToString(out.Images[0].RootDeviceName) != "" {
			name = aws.ToString(out.Images[0].RootDeviceName)
		} else if err = optional(err); err != nil && engine.Has(c.In, "ami") {
			return fmt.Errorf("finding the root device of %s: %w", engine.Str(c.In, "ami"), err)
		}
		req.BlockDeviceMappings = append(req.BlockDeviceMappings, types.BlockDeviceMapping{DeviceName: aws.String(name), Ebs: e})
	}
	for _, o := range engine.Objs(c.In, "ebsBlockDevices") {
		e, err := device(o)
		if err != nil {
			return fmt.Errorf("ebsBlockDevices: %w", err)
		}
		req.BlockDeviceMappings = append(req.BlockDeviceMappings, types.BlockDeviceMapping{DeviceName: engine.StrPtr(o, "deviceName"), Ebs: e})
	}
	return nil
}

func (c *Client) waitInstance(ctx context.Context, id string, want types.InstanceStateName) error {
	what := fmt.Sprintf("EC2 Instance (%s) %s", id, want)
	return engine.Wait(ctx, 10*time.Minute, what, func(ctx context.Context) (bool, error) {
		i, err := findInstance(ctx, c, id)
		if errors.Is(err, engine.ErrGone) {
			return want == types.InstanceStateNameTerminated, nil
		}
		if err != nil {
			return false, err
		}
		if i.State.Name == types.InstanceStateNameTerminated && want != types.InstanceStateNameTerminated {
			reason := ""
			if i.StateReason != nil {
				reason = aws.ToString(i.StateReason.Message)
			}
			return false, fmt.Errorf("waiting for %s: the instance is terminated: %s", what, reason)
		}
		return i.State.Name == want, nil
	})
}

// findInstance returns an instance, terminated ones included while AWS still shows them.
func findInstance(ctx context.Context, c *Client, id string) (*types.Instance, error) {
	out, err := c.ec2().DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if is(err, "InvalidInstanceID.NotFound") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading EC2 Instance (%s): %w", id, err)
	}
	for _, r := range out.Reservations {
		if len(r.Instances) == 0 {
			continue
		}
		i := r.Instances[0]
		if i.State == nil {
			i.State = &types.InstanceState{}
		}
		return &i, nil
	}
	return nil, engine.ErrGone
}

func readInstance(ctx context.Context, c *call) (m, error) {
	i, err := findInstance(ctx, c.Client, c.ID)
	if err != nil {
		return nil, err
	}
	if i.State.Name == types.InstanceStateNameTerminated {
		return nil, engine.ErrGone
	}
	state := m{
		"arn": c.Client.arn("ec2", "instance/"+c.ID), "ami": aws.ToString(i.ImageId), "instanceType": string(i.InstanceType),
		"instanceState": string(i.State.Name), "instanceLifecycle": string(i.InstanceLifecycle), "keyName": aws.ToString(i.KeyName),
		"outpostArn": aws.ToString(i.OutpostArn), "privateDns": aws.ToString(i.PrivateDnsName), "privateIp": aws.ToString(i.PrivateIpAddress),
		"publicDns": aws.ToString(i.PublicDnsName), "publicIp": aws.ToString(i.PublicIpAddress), "subnetId": aws.ToString(i.SubnetId),
		"spotInstanceRequestId": aws.ToString(i.SpotInstanceRequestId), "ebsOptimized": aws.ToBool(i.EbsOptimized),
		"sourceDestCheck": i.SourceDestCheck == nil || *i.SourceDestCheck, "passwordData": "", "iamInstanceProfile": "",
		"primaryNetworkInterfaceId": "", "secondaryPrivateIps": []any{}, "tags": readTags(i.Tags),
	}
	if p := i.IamInstanceProfile; p != nil {
		arn := aws.ToString(p.Arn)
		state["iamInstanceProfile"] = arn[strings.LastIndex(arn, "/")+1:]
	}
	if p := i.Placement; p != nil {
		state["availabilityZone"] = aws.ToString(p.AvailabilityZone)
		state["placementGroup"] = aws.ToString(p.GroupName)
		state["tenancy"] = string(p.Tenancy)
	}
	if mon := i.Monitoring; mon != nil {
		state["monitoring"] = mon.State == types.MonitoringStateEnabled || mon.State == types.MonitoringStatePending
	}
	if o := i.MetadataOptions; o != nil {
		options := dump(o, c.Type.Property("metadataOptions").Object, nil)
		if options["httpProtocolIpv6"] == "disabled" && !engine.Has(engine.Obj(c.Old, "metadataOptions"), "httpProtocolIpv6") {
			delete(options, "httpProtocolIpv6") // AWS's word for "not asked for"
		}
		state["metadataOptions"] = options
	}
	if o := i.MaintenanceOptions; o != nil {
		state["maintenanceOptions"] = dump(o, c.Type.Property("maintenanceOptions").Object, nil)
	}
	if o := i.PrivateDnsNameOptions; o != nil {
		state["privateDnsNameOptions"] = dump(o, c.Type.Property("privateDnsNameOptions").Object, nil)
	}
	// What the provider asks for beside, and without which it fails (terraform-provider-aws v5,
	// internal/service/ec2/ec2_instance.go, resourceInstanceRead).
	kinds, err := c.Client.ec2().DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{i.InstanceType}})
	if optional(err) != nil {
		return nil, fmt.Errorf("reading EC2 Instance Type (%s): %w", i.InstanceType, err)
	}
	if err == nil && len(kinds.InstanceTypes) == 1 && aws.ToBool(kinds.InstanceTypes[0].BurstablePerformanceSupported) {
		_, err := c.Client.ec2().DescribeInstanceCreditSpecifications(ctx, &ec2.DescribeInstanceCreditSpecificationsInput{InstanceIds: []string{c.ID}})
		if optional(err) != nil {
			return nil, fmt.Errorf("reading EC2 Instance (%s) credit specification: %w", c.ID, err)
		}
	}
	readInterfaces(i, c.Old, state)
	// The launch template that an instance is from is in a tag of AWS's own (flattenInstanceLaunchTemplate in
	// ec2/ec2_instance.go); what the program said of it stays as it is.
	if _, err := c.Client.ec2().DescribeTags(ctx, &ec2.DescribeTagsInput{
		Filters: []types.Filter{filter("resource-id", c.ID), filter("key", "aws:ec2launchtemplate:id")},
	}); err != nil {
		return nil, fmt.Errorf("reading EC2 Instance (%s) launch template: %w", c.ID, err)
	}
	if err := readRoot(ctx, c, i, state); err != nil {
		return nil, err
	}
	return state, readUserData(ctx, c, state)
}

func readInterfaces(i *types.Instance, old, state m) {
	groups := []string{}
	for _, g := range i.SecurityGroups {
		groups = append(groups, aws.ToString(g.GroupId))
	}
	state["vpcSecurityGroupIds"] = engine.SortedList(groups)
	if !engine.Has(old, "associatePublicIpAddress") {
		state["associatePublicIpAddress"] = aws.ToString(i.PublicIpAddress) != ""
	}
	for _, n := range i.NetworkInterfaces {
		if n.Attachment == nil || aws.ToInt32(n.Attachment.DeviceIndex) != 0 {
			continue
		}
		state["primaryNetworkInterfaceId"] = aws.ToString(n.NetworkInterfaceId)
		if a := n.Association; a != nil { // an elastic address is the account's own: it does not count
			state["associatePublicIpAddress"] = aws.ToString(a.IpOwnerId) == "amazon"
		}
		v6 := []string{}
		for _, a := range n.Ipv6Addresses {
			v6 = append(v6, aws.ToString(a.Ipv6Address))
		}
		state["ipv6Addresses"], state["ipv6AddressCount"] = engine.List(v6), float64(len(v6))
		var secondary []string
		for _, a := range n.PrivateIpAddresses {
			if !aws.ToBool(a.Primary) {
				secondary = append(secondary, aws.ToString(a.PrivateIpAddress))
			}
		}
		state["secondaryPrivateIps"] = engine.SortedList(secondary)
	}
}

// readRoot reads the root volume.
func readRoot(ctx context.Context, c *call, i *types.Instance, state m) error {
	for _, d := range i.BlockDeviceMappings {
		if d.Ebs == nil || aws.ToString(d.DeviceName) != aws.ToString(i.RootDeviceName) {
			continue
		}
		root := m{"deleteOnTermination": aws.ToBool(d.Ebs.DeleteOnTermination)}
		out, err := c.Client.ec2().DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{aws.ToString(d.Ebs.VolumeId)}})
		if optional(err) != nil && !is(err, "InvalidVolume.NotFound") {
			return fmt.Errorf("reading EC2 Instance (%s) root volume: %w", c.ID, err)
		}
		if err == nil && len(out.Volumes) > 0 {
			v := out.Volumes[0]
			root["volumeSize"], root["volumeType"] = float64(aws.ToInt32(v.Size)), string(v.VolumeType)
			root["encrypted"], root["kmsKeyId"] = aws.ToBool(v.Encrypted), aws.ToString(v.KmsKeyId)
			if v.Iops != nil {
				root["iops"] = float64(*v.Iops)
			}
			if v.Throughput != nil {
				root["throughput"] = float64(*v.Throughput)
			}
			if tags := c.Client.ownTags(readTags(v.Tags), nil); len(tags) > 0 && !engine.Has(c.Old, "volumeTags") {
				root["tags"] = tags
			}
		}
		state["rootBlockDevice"] = root
	}
	return nil
}

// readUserData reads the user data into whichever form the state has.
func readUserData(ctx context.Context, c *call, state m) error {
	for _, attribute := range []types.InstanceAttributeName{types.InstanceAttributeNameUserData, types.InstanceAttributeNameDisableApiTermination} {
		out, err := c.Client.ec2().DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{InstanceId: &c.ID, Attribute: attribute})
		if optional(err) != nil {
			return fmt.Errorf("reading EC2 Instance (%s) %s: %w", c.ID, attribute, err)
		}
		if err != nil {
			continue
		}
		if v := out.DisableApiTermination; v != nil {
			state["disableApiTermination"] = aws.ToBool(v.Value)
		}
		if v := out.UserData; attribute == types.InstanceAttributeNameUserData && v != nil {
			switch text := aws.ToString(v.Value); {
			case engine.Has(c.Old, "userDataBase64"):
				state["userDataBase64"] = text
			case text == "":
				state["userData"] = ""
			default:
				state["userData"] = userDataHash(text)
			}
		}
	}
	return nil
}

func (c *Client) instanceAttribute(ctx context.Context, name string, in *ec2.ModifyInstanceAttributeInput) error {
	if _, err := c.ec2().ModifyInstanceAttribute(ctx, in); err != nil {
		return fmt.Errorf("modifying EC2 Instance (%s) %s attribute: %w", aws.ToString(in.InstanceId), name, err)
	}
	return nil
}

func updateInstance(ctx context.Context, c *call) (m, error) {
	id := &c.ID
	if c.Changed["iamInstanceProfile"] {
		if err := updateProfile(ctx, c); err != nil {
			return nil, err
		}
	}
	if c.HasChanged("instanceType", "userData", "userDataBase64") {
		if err := stopped(ctx, c, func() error {
			if c.Changed["instanceType"] {
				if err := c.Client.instanceAttribute(ctx, "instanceType", &ec2.ModifyInstanceAttributeInput{
					InstanceId: id, InstanceType: &types.AttributeValue{Value: engine.StrPtr(c.In, "instanceType")},
				}); err != nil {
					return err
				}
			}
			if !c.HasChanged("userData", "userDataBase64") {
				return nil
			}
			raw := []byte(engine.Str(c.In, "userData"))
			if s := engine.Str(c.In, "userDataBase64"); s != "" {
				var err error
				if raw, err = base64.StdEncoding.DecodeString(s); err != nil {
					return fmt.Errorf("userDataBase64: %w", err)
				}
			}
			return c.Client.instanceAttribute(ctx, "userData", &ec2.ModifyInstanceAttributeInput{
				InstanceId: id, UserData: &types.SecureBlobAttributeValue{Value: raw},
			})
		}); err != nil {
			return nil, err
		}
	}
	if c.Changed["metadataOptions"] {
		req := &ec2.ModifyInstanceMetadataOptionsInput{InstanceId: id}
		if err := fill(req, engine.Obj(c.In, "metadataOptions"), nil); err != nil {
			return nil, fmt.Errorf("metadataOptions: %w", err)
		}
		if _, err := c.Client.ec2().ModifyInstanceMetadataOptions(ctx, req); err != nil {
			return nil, fmt.Errorf("updating EC2 Instance (%s) metadata options: %w", c.ID, err)
		}
	}
	for _, change := range []struct {
		name string
		in   *ec2.ModifyInstanceAttributeInput
	}{
		{"vpcSecurityGroupIds", &ec2.ModifyInstanceAttributeInput{Groups: engine.Strs(c.In, "vpcSecurityGroupIds")}},
		{"sourceDestCheck", &ec2.ModifyInstanceAttributeInput{SourceDestCheck: boolAttribute(c.In, "sourceDestCheck")}},
		{"disableApiTermination", &ec2.ModifyInstanceAttributeInput{DisableApiTermination: boolAttribute(c.In, "disableApiTermination")}},
		{"disableApiStop", &ec2.ModifyInstanceAttributeInput{DisableApiStop: boolAttribute(c.In, "disableApiStop")}},
		{"instanceInitiatedShutdownBehavior", &ec2.ModifyInstanceAttributeInput{
			InstanceInitiatedShutdownBehavior: &types.AttributeValue{Value: engine.StrPtr(c.In, "instanceInitiatedShutdownBehavior")}}},
	} {
		if !c.Changed[change.name] {
			continue
		}
		change.in.InstanceId = id
		if err := c.Client.instanceAttribute(ctx, change.name, change.in); err != nil {
			return nil, err
		}
	}
	if c.Changed["creditSpecification"] {
		if _, err := c.Client.ec2().ModifyInstanceCreditSpecification(ctx, &ec2.ModifyInstanceCreditSpecificationInput{
			InstanceCreditSpecifications: []types.InstanceCreditSpecificationRequest{{
				InstanceId: id, CpuCredits: engine.StrPtr(engine.Obj(c.In, "creditSpecification"), "cpuCredits"),
			}},
		}); err != nil {
			return nil, fmt.Errorf("updating EC2 Instance (%s) credit specification: %w", c.ID, err)
		}
	}
	if c.Changed["monitoring"] {
		var err error
		if engine.Bool(c.In, "monitoring") {
			_, err = c.Client.ec2().MonitorInstances(ctx, &ec2.MonitorInstancesInput{InstanceIds: []string{c.ID}})
		} else {
			_, err = c.Client.ec2().UnmonitorInstances(ctx, &ec2.UnmonitorInstancesInput{InstanceIds: []string{c.ID}})
		}
		if err != nil {
			return nil, fmt.Errorf("updating EC2 Instance (%s) monitoring: %w", c.ID, err)
		}
	}
	if c.Changed["rootBlockDevice"] {
		if err := updateRoot(ctx, c); err != nil {
			return nil, err
		}
	}
	if c.HasChanged("maintenanceOptions", "secondaryPrivateIps", "volumeTags", "networkInterfaces", "launchTemplate") {
		return nil, fmt.Errorf("updating EC2 Instance (%s): the stand-in provider does not change %s in place",
			c.ID, "maintenanceOptions, secondaryPrivateIps, volumeTags, networkInterfaces or launchTemplate")
	}
	return nil, updateEC2Tags(ctx, c, c.ID)
}

func boolAttribute(in m, name string) *types.AttributeBooleanValue {
	return &types.AttributeBooleanValue{Value: aws.Bool(engine.Bool(in, name))}
}

// updateProfile replaces the association of the instance with its profile.
func updateProfile(ctx context.Context, c *call) error {
	out, err := c.Client.ec2().DescribeIamInstanceProfileAssociations(ctx, &ec2.DescribeIamInstanceProfileAssociationsInput{
		Filters: []types.Filter{filter("instance-id", c.ID)},
	})
	if err != nil {
		return fmt.Errorf("reading EC2 Instance (%s) profile association: %w", c.ID, err)
	}
	profile := &types.IamInstanceProfileSpecification{Name: engine.StrPtr(c.In, "iamInstanceProfile")}
	transient := func(err error) bool { return says(err, "InvalidParameterValue", "Invalid IAM Instance Profile") }
	err = engine.Retry(ctx, ec2Propagation, transient, func(ctx context.Context) error {
		var err error
		switch {
		case len(out.IamInstanceProfileAssociations) == 0:
			_, err = c.Client.ec2().AssociateIamInstanceProfile(ctx, &ec2.AssociateIamInstanceProfileInput{InstanceId: &c.ID, IamInstanceProfile: profile})
		case profile.Name == nil:
			_, err = c.Client.ec2().DisassociateIamInstanceProfile(ctx, &ec2.DisassociateIamInstanceProfileInput{
				AssociationId: out.IamInstanceProfileAssociations[0].AssociationId,
			})
		default:
			_, err = c.Client.ec2().ReplaceIamInstanceProfileAssociation(ctx, &ec2.ReplaceIamInstanceProfileAssociationInput{
				AssociationId: out.IamInstanceProfileAssociations[0].AssociationId, IamInstanceProfile: profile,
			})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("updating EC2 Instance (%s) instance profile: %w", c.ID, err)
	}
	return nil
}

// stopped runs change while the instance is stopped.
func stopped(ctx context.Context, c *call, change func() error) error {
	ids := []string{c.ID}
	if _, err := c.Client.ec2().StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: ids}); err != nil {
		return fmt.Errorf("stopping EC2 Instance (%s): %w", c.ID, err)
	}
	if err := c.Client.waitInstance(ctx, c.ID, types.InstanceStateNameStopped); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	if _, err := c.Client.ec2().StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: ids}); err != nil {
		return fmt.Errorf("starting EC2 Instance (%s): %w", c.ID, err)
	}
	return c.Client.waitInstance(ctx, c.ID, types.InstanceStateNameRunning)
}

func updateRoot(ctx context.Context, c *call) error {
	i, err := findInstance(ctx, c.Client, c.ID)
	if err != nil {
		return err
	}
	root := engine.Obj(c.In, "rootBlockDevice")
	for _, d := range i.BlockDeviceMappings {
		if d.Ebs == nil || aws.ToString(d.DeviceName) != aws.ToString(i.RootDeviceName) {
			continue
		}
		if _, err := c.Client.ec2().ModifyVolume(ctx, &ec2.ModifyVolumeInput{
			VolumeId: d.Ebs.VolumeId, Size: engine.IntPtr(root, "volumeSize"), Iops: engine.IntPtr(root, "iops"),
			Throughput: engine.IntPtr(root, "throughput"), VolumeType: types.VolumeType(engine.Str(root, "volumeType")),
		}); err != nil {
			return fmt.Errorf("modifying EC2 Instance (%s) root volume: %w", c.ID, err)
		}
	}
	return nil
}

func deleteInstance(ctx context.Context, c *call) error {
	_, err := c.Client.ec2().TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{c.ID}})
	if is(err, "InvalidInstanceID.NotFound") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("terminating EC2 Instance (%s): %w", c.ID, err)
	}
	return c.Client.waitInstance(ctx, c.ID, types.InstanceStateNameTerminated)
}
