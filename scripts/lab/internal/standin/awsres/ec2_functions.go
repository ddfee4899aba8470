package awsres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var ec2Functions = map[string]function{
	"aws:ec2/getAmi:getAmi":                               getAmi,
	"aws:ec2/getInstances:getInstances":                   getInstances,
	"aws:ec2/getInstance:getInstance":                     getInstance,
	"aws:index/getAvailabilityZones:getAvailabilityZones": getZones,
}

func filtersOf(in m) []types.Filter {
	var out []types.Filter
	for _, f := range engine.Objs(in, "filters") {
		out = append(out, filter(engine.Str(f, "name"), engine.Strs(f, "values")...))
	}
	return out
}

// getAmi finds one image. No match is an error, and so are several without mostRecent.
func getAmi(ctx context.Context, c *call) (m, error) {
	filters := filtersOf(c.In)
	if engine.Bool(c.In, "mostRecent") && len(engine.Strs(c.In, "owners")) == 0 {
		narrowed := false
		for _, f := range filters {
			narrowed = narrowed || aws.ToString(f.Name) == "image-id" || aws.ToString(f.Name) == "owner-id"
		}
		if !narrowed {
			return nil, errors.New("most_recent without owners or a filter on image-id or owner-id would take anybody's image: give owners")
		}
	}
	out, err := c.Client.ec2().DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners: engine.Strs(c.In, "owners"), ExecutableUsers: engine.Strs(c.In, "executableUsers"), Filters: filters,
		IncludeDeprecated: trueOrNil(c.In, "includeDeprecated"),
	})
	if err != nil {
		return nil, fmt.Errorf("reading EC2 AMIs: %w", err)
	}
	images := out.Images
	if s := engine.Str(c.In, "nameRegex"); s != "" {
		pattern, err := regexp.Compile(s)
		if err != nil {
			return nil, fmt.Errorf("nameRegex: %w", err)
		}
		images = nil
		for _, i := range out.Images {
			if pattern.MatchString(aws.ToString(i.Name)) {
				images = append(images, i)
			}
		}
	}
	switch {
	case len(images) == 0:
		return nil, errors.New("your query returned no results. Please change your search criteria and try again")
	case len(images) > 1 && !engine.Bool(c.In, "mostRecent"):
		return nil, errors.New("your query returned more than one result. Please try a more specific search criteria, or set mostRecent")
	}
	sort.SliceStable(images, func(i, j int) bool {
		return aws.ToString(images[i].CreationDate) > aws.ToString(images[j].CreationDate)
	})
	return imageState(c.Client, images[0]), nil
}

func imageState(c *Client, i types.Image) m {
	id := aws.ToString(i.ImageId)
	state := m{
		"id": id, "imageId": id, "arn": fmt.Sprintf("arn:%s:ec2:%s::image/%s", c.Partition, c.Region, id),
		"architecture": string(i.Architecture), "bootMode": string(i.BootMode), "description": aws.ToString(i.Description),
		"hypervisor": string(i.Hypervisor), "imageLocation": aws.ToString(i.ImageLocation), "imageOwnerAlias": aws.ToString(i.ImageOwnerAlias),
		"imageType": string(i.ImageType), "imdsSupport": string(i.ImdsSupport), "kernelId": aws.ToString(i.KernelId),
		"lastLaunchedTime": aws.ToString(i.LastLaunchedTime), "name": aws.ToString(i.Name), "ownerId": aws.ToString(i.OwnerId),
		"platform": string(i.Platform), "platformDetails": aws.ToString(i.PlatformDetails), "ramdiskId": aws.ToString(i.RamdiskId),
		"rootDeviceName": aws.ToString(i.RootDeviceName), "rootDeviceType": string(i.RootDeviceType), "sriovNetSupport": aws.ToString(i.SriovNetSupport),
		"state": string(i.State), "tpmSupport": string(i.TpmSupport), "usageOperation": aws.ToString(i.UsageOperation),
		"virtualizationType": string(i.VirtualizationType), "creationDate": aws.ToString(i.CreationDate), "deprecationTime": aws.ToString(i.DeprecationTime),
		"enaSupport": aws.ToBool(i.EnaSupport), "public": aws.ToBool(i.Public), "rootSnapshotId": "", "tags": readTags(i.Tags),
	}
	codes := []any{}
	for _, p := range i.ProductCodes {
		codes = append(codes, m{"productCodeId": aws.ToString(p.ProductCodeId), "productCodeType": string(p.ProductCodeType)})
	}
	state["productCodes"] = codes
	devices := []any{}
	for _, d := range i.BlockDeviceMappings {
		device := m{
			"deviceName": aws.ToString(d.DeviceName), "noDevice": aws.ToString(d.NoDevice), "virtualName": aws.ToString(d.VirtualName), "ebs": m{},
		}
		if e := d.Ebs; e != nil {
			device["ebs"] = m{
				"delete_on_termination": strconv.FormatBool(aws.ToBool(e.DeleteOnTermination)), "encrypted": strconv.FormatBool(aws.ToBool(e.Encrypted)),
				"iops": fmt.Sprint(aws.ToInt32(e.Iops)), "throughput": fmt.Sprint(aws.ToInt32(e.Throughput)), "snapshot_id": aws.ToString(e.SnapshotId),
				"volume_size": fmt.Sprint(aws.ToInt32(e.VolumeSize)), "volume_type": string(e.VolumeType),
			}
			if device["deviceName"] == state["rootDeviceName"] {
				state["rootSnapshotId"] = aws.ToString(e.SnapshotId)
			}
		}
		devices = append(devices, device)
	}
	state["blockDeviceMappings"] = devices
	reason := m{"code": "UNSET", "message": "UNSET"}
	if r := i.StateReason; r != nil {
		reason = m{"code": aws.ToString(r.Code), "message": aws.ToString(r.Message)}
	}
	state["stateReason"] = reason
	return state
}

// getZones lists the availability zones of the region, sorted by name.
func getZones(ctx context.Context, c *call) (m, error) {
	filters := filtersOf(c.In)
	if s := engine.Str(c.In, "state"); s != "" {
		filters = append(filters, filter("state", s))
	}
	out, err := c.Client.ec2().DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{
		Filters: filters, AllAvailabilityZones: trueOrNil(c.In, "allAvailabilityZones"),
	})
	if err != nil {
		return nil, fmt.Errorf("reading EC2 Availability Zones: %w", err)
	}
	zones := out.AvailabilityZones
	sort.Slice(zones, func(i, j int) bool { return aws.ToString(zones[i].ZoneName) < aws.ToString(zones[j].ZoneName) })
	zoneNames, ids, groups := []any{}, []any{}, map[string]string{}
	for _, z := range zones {
		name, id := aws.ToString(z.ZoneName), aws.ToString(z.ZoneId)
		if listed(engine.Strs(c.In, "excludeNames"), name) || listed(engine.Strs(c.In, "excludeZoneIds"), id) {
			continue
		}
		zoneNames, ids = append(zoneNames, name), append(ids, id)
		if g := aws.ToString(z.GroupName); g != "" {
			groups[g] = ""
		}
	}
	return m{"id": c.Client.Region, "names": zoneNames, "zoneIds": ids, "groupNames": engine.List(sorted(groups))}, nil
}

// getInstances lists instances, those that run where no state is asked for
// (terraform-provider-aws, internal/service/ec2/ec2_instances_data_source.go). None is no error.
func getInstances(ctx context.Context, c *call) (m, error) {
	states := engine.Strs(c.In, "instanceStateNames")
	if len(states) == 0 {
		states = []string{"running"}
	}
	out, err := c.Client.ec2().DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: append(filtersOf(c.In), filter("instance-state-name", states...))})
	if err != nil {
		return nil, fmt.Errorf("reading EC2 Instances: %w", err)
	}
	ids, private, public := []any{}, []any{}, []any{}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			ids = append(ids, aws.ToString(i.InstanceId))
			if ip := aws.ToString(i.PrivateIpAddress); ip != "" {
				private = append(private, ip)
			}
			if ip := aws.ToString(i.PublicIpAddress); ip != "" {
				public = append(public, ip)
			}
		}
	}
	return m{"id": c.Client.Region, "ids": ids, "privateIps": private, "publicIps": public, "ipv6Addresses": []any{}, "instanceTags": m{}, "instanceStateNames": toAny(states)}, nil
}

// getInstance finds one instance by its id, of which the program reads the launch time alone.
func getInstance(ctx context.Context, c *call) (m, error) {
	id := engine.Str(c.In, "instanceId")
	if id == "" {
		return nil, errors.New("the lab finds an instance by instanceId alone")
	}
	out, err := c.Client.ec2().DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return nil, fmt.Errorf("reading EC2 Instance: %w", err)
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			return m{"id": id, "instanceId": id, "launchTime": aws.ToTime(i.LaunchTime).Format(time.RFC3339), "ami": aws.ToString(i.ImageId),
				"instanceType": string(i.InstanceType), "privateIp": aws.ToString(i.PrivateIpAddress), "instanceState": string(i.State.Name),
				"subnetId": aws.ToString(i.SubnetId), "tags": readTags(i.Tags)}, nil
		}
	}
	return nil, errors.New("your query returned no results. Please change your search criteria and try again")
}

func toAny(in []string) []any {
	out := make([]any, len(in))
	for i, v := range in {
		out[i] = v
	}
	return out
}
