package ec2

import (
	"fmt"
	"net/http"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/catalog"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

func init() {
	register(map[string]action{
		"DescribeAvailabilityZones": {"AllAvailabilityZones ZoneName ZoneId Filter", describeZones, nil},
		"DescribeImages":            {"ImageId Owner ExecutableBy Filter IncludeDeprecated IncludeDisabled MaxResults NextToken", describeImages, nil},
		"DescribeInstanceTypes":     {"InstanceType Filter MaxResults NextToken", describeInstanceTypes, nil},
		"DescribeRegions":           {"RegionName AllRegions Filter", describeRegions, nil},
		"DescribeAccountAttributes": {"AttributeName", describeAccountAttributes, nil},
	})
}

func noImage(id string) error {
	return gate.Errorf(http.StatusBadRequest, "InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
}

func describeZones(q *request) ([]wire.Node, error) {
	all := catalog.Zones(q.r.name)
	if wanted := append(q.Strings("ZoneName"), q.Strings("ZoneId")...); len(wanted) > 0 {
		all = nil
		for _, w := range wanted {
			z, ok := catalog.FindZone(q.r.name, w)
			if !ok {
				return nil, invalid("Invalid availability zone: [%s]", w)
			}
			all = append(all, z)
		}
	}
	all, err := filtered(q, all, func(z catalog.Zone) string { return z.ID }, func(z catalog.Zone, name string) ([]string, bool) {
		switch name {
		case "zone-name":
			return []string{z.Name}, true
		case "zone-id":
			return []string{z.ID}, true
		case "state":
			return []string{"available"}, true
		case "region-name", "group-name":
			return []string{z.Region}, true
		case "opt-in-status":
			return []string{"opt-in-not-required"}, true
		case "zone-type":
			return []string{"availability-zone"}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("availabilityZoneInfo", "item", all, func(z catalog.Zone) []wire.Node {
		return nodes(wire.Text("zoneName", z.Name), wire.Text("zoneId", z.ID), wire.Text("zoneState", "available"), wire.Text("regionName", z.Region),
			wire.Text("groupName", z.Region+"-zg-1"), wire.Text("networkBorderGroup", z.Region), wire.Text("optInStatus", "opt-in-not-required"),
			wire.Text("zoneType", "availability-zone"), wire.Elem("messageSet"))
	})), nil
}

func describeRegions(q *request) ([]wire.Node, error) {
	names := q.Strings("RegionName")
	if len(names) == 0 {
		names = []string{"eu-central-1", "eu-north-1", "eu-west-1", "us-east-1", "us-east-2", "us-west-2"}
	}
	all, err := filtered(q, names, func(n string) string { return n }, func(n, name string) ([]string, bool) {
		switch name {
		case "region-name":
			return []string{n}, true
		case "opt-in-status":
			return []string{"opt-in-not-required"}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("regionInfo", "item", all, func(n string) []wire.Node {
		return nodes(wire.Text("regionName", n), wire.Text("regionEndpoint", "ec2."+n+"."+gate.DNSSuffix), wire.Text("optInStatus", "opt-in-not-required"))
	})), nil
}

// describeAccountAttributes says that the account has VPCs only, and no default one.
func describeAccountAttributes(q *request) ([]wire.Node, error) {
	values := []struct{ name, value string }{{"supported-platforms", "VPC"}, {"default-vpc", "none"}}
	wanted := q.Strings("AttributeName")
	shown := values[:0:0]
	for _, v := range values {
		if len(wanted) == 0 || matchAny([]string{v.name}, wanted) {
			shown = append(shown, v)
		}
	}
	return nodes(wire.List("accountAttributeSet", "item", shown, func(v struct{ name, value string }) []wire.Node {
		return nodes(wire.Text("attributeName", v.name), wire.Elem("attributeValueSet", wire.Elem("item", wire.Text("attributeValue", v.value))))
	})), nil
}

func describeImages(q *request) ([]wire.Node, error) {
	all := catalog.Images(q.r.name)
	if ids := q.Strings("ImageId"); len(ids) > 0 {
		all = nil
		for _, id := range ids {
			i, ok := catalog.FindImage(q.r.name, id)
			if !ok {
				return nil, noImage(id)
			}
			all = append(all, i)
		}
	}
	if owners := q.Strings("Owner"); len(owners) > 0 {
		kept := all[:0:0]
		for _, i := range all {
			if matchAny([]string{i.Owner}, owners) {
				kept = append(kept, i)
			}
		}
		all = kept
	}
	all, err := filtered(q, all, func(i catalog.Image) string { return i.ID }, func(i catalog.Image, name string) ([]string, bool) {
		switch name {
		case "image-id":
			return []string{i.ID}, true
		case "name":
			return []string{i.Name}, true
		case "architecture":
			return []string{i.Architecture}, true
		case "owner-id":
			return []string{i.Owner}, true
		case "owner-alias":
			return nil, true
		case "virtualization-type":
			return []string{"hvm"}, true
		case "root-device-type":
			return []string{"ebs"}, true
		case "state":
			return []string{"available"}, true
		case "is-public":
			return yesNo(true), true
		case "image-type":
			return []string{"machine"}, true
		case "description":
			return []string{i.Description}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("imagesSet", "item", all, func(i catalog.Image) []wire.Node {
		imds := wire.Node{}
		if i.Codename == "noble" {
			imds = wire.Text("imdsSupport", "v2.0")
		}
		return nodes(wire.Text("imageId", i.ID), wire.Text("imageLocation", "amazon/"+i.Name), wire.Text("imageState", "available"), wire.Text("imageOwnerId", i.Owner),
			wire.Text("creationDate", i.Created), wire.Text("isPublic", true), wire.Text("architecture", i.Architecture), wire.Text("imageType", "machine"),
			wire.Text("name", i.Name), wire.Text("description", i.Description), wire.Text("rootDeviceType", "ebs"), wire.Text("rootDeviceName", i.RootDevice),
			wire.Elem("blockDeviceMapping", wire.Elem("item", wire.Text("deviceName", i.RootDevice), wire.Elem("ebs", wire.Text("snapshotId", i.SnapshotID),
				wire.Text("volumeSize", i.RootGiB), wire.Text("deleteOnTermination", true), wire.Text("volumeType", "gp3"), wire.Text("encrypted", false)))),
			wire.Text("virtualizationType", "hvm"), wire.Text("hypervisor", "xen"), wire.Text("enaSupport", true), wire.Text("sriovNetSupport", "simple"),
			wire.Text("platformDetails", "Linux/UNIX"), wire.Text("usageOperation", "RunInstances"), wire.Text("bootMode", "uefi-preferred"), imds, wire.Elem("tagSet"))
	})), nil
}

func describeInstanceTypes(q *request) ([]wire.Node, error) {
	all := catalog.InstanceTypes()
	if names := q.Strings("InstanceType"); len(names) > 0 {
		all = nil
		for _, n := range names {
			t, ok := catalog.FindInstanceType(n)
			if !ok {
				return nil, gate.Errorf(http.StatusBadRequest, "InvalidInstanceType", "The following supplied instance types do not exist: [%s]", n)
			}
			all = append(all, t)
		}
	}
	all, err := filtered(q, all, func(t catalog.InstanceType) string { return t.Name }, func(t catalog.InstanceType, name string) ([]string, bool) {
		switch name {
		case "instance-type":
			return []string{t.Name}, true
		case "processor-info.supported-architecture":
			return []string{t.Architecture}, true
		case "burstable-performance-supported":
			return yesNo(t.Burstable), true
		case "current-generation":
			return yesNo(true), true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("instanceTypeSet", "item", all, func(t catalog.InstanceType) []wire.Node {
		return nodes(wire.Text("instanceType", t.Name), wire.Text("currentGeneration", true), wire.Text("freeTierEligible", t.Name == "t3.micro"),
			wire.Elem("supportedUsageClasses", wire.Text("item", "on-demand"), wire.Text("item", "spot")),
			wire.Elem("supportedRootDeviceTypes", wire.Text("item", "ebs")), wire.Elem("supportedVirtualizationTypes", wire.Text("item", "hvm")),
			wire.Text("bareMetal", false), wire.Text("hypervisor", "nitro"),
			wire.Elem("processorInfo", wire.Elem("supportedArchitectures", wire.Text("item", t.Architecture)),
				wire.Text("sustainedClockSpeedInGhz", fmt.Sprintf("%.1f", t.ClockGHz)), wire.Text("manufacturer", t.Manufacturer)),
			wire.Elem("vCpuInfo", wire.Text("defaultVCpus", t.VCPUs), wire.Text("defaultCores", t.VCPUs/t.ThreadsPerCore), wire.Text("defaultThreadsPerCore", t.ThreadsPerCore)),
			wire.Elem("memoryInfo", wire.Text("sizeInMiB", t.MemoryMiB)), wire.Text("instanceStorageSupported", false),
			wire.Elem("ebsInfo", wire.Text("ebsOptimizedSupport", "default"), wire.Text("encryptionSupport", "supported"), wire.Text("nvmeSupport", "required")),
			wire.Elem("networkInfo", wire.Text("networkPerformance", t.Performance), wire.Text("maximumNetworkInterfaces", t.MaxInterfaces),
				wire.Text("ipv4AddressesPerInterface", t.AddressesPerENI), wire.Text("ipv6Supported", true), wire.Text("enaSupport", "required"),
				wire.Text("maximumNetworkCards", 1), wire.Text("defaultNetworkCardIndex", 0)),
			wire.Text("hibernationSupported", false), wire.Text("burstablePerformanceSupported", t.Burstable), wire.Text("dedicatedHostsSupported", !t.Burstable),
			wire.Text("autoRecoverySupported", true))
	})), nil
}
