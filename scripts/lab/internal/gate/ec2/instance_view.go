package ec2

import (
	"encoding/base64"
	"strconv"

	"k3s-aws-auth/scripts/lab/internal/gate/catalog"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

func itoa(n int) string { return strconv.Itoa(n) }

func init() {
	register(map[string]action{
		"DescribeInstances":                    {"InstanceId Filter MaxResults NextToken IncludeManagedResources", describeInstances, nil},
		"DescribeInstanceStatus":               {"InstanceId Filter IncludeAllInstances MaxResults NextToken", describeInstanceStatus, nil},
		"DescribeInstanceAttribute":            {"InstanceId Attribute", describeInstanceAttribute, named("InstanceId")},
		"DescribeVolumes":                      {"VolumeId Filter MaxResults NextToken IncludeManagedResources", describeVolumes, nil},
		"DescribeNetworkInterfaces":            {"NetworkInterfaceId Filter MaxResults NextToken IncludeManagedResources", describeNetworkInterfaces, nil},
		"DescribeInstanceCreditSpecifications": {"InstanceId Filter MaxResults NextToken", describeCredits, nil},
	})
}

func (q *request) reservation(id, account string) []wire.Node {
	var members []*instance
	for _, i := range q.r.instances.all() {
		if i.reservation == id {
			members = append(members, i)
		}
	}
	return nodes(wire.Text("reservationId", id), wire.Text("ownerId", account), wire.Elem("groupSet"),
		wire.List("instancesSet", "item", members, q.instanceNodes))
}

func stateNode(name string, s state) wire.Node {
	return wire.Elem(name, wire.Text("code", s.code), wire.Text("name", s.name))
}

func (q *request) groupSet(i *instance) wire.Node {
	return wire.List("groupSet", "item", i.groups, func(id string) []wire.Node {
		name := ""
		if g, ok := q.r.groups.get(id); ok {
			name = g.name
		}
		return nodes(wire.Text("groupId", id), wire.Text("groupName", name))
	})
}

// associationNode is the public side of an instance's interface; empty without a public address.
func (q *request) associationNode(i *instance) wire.Node {
	if i.publicIP == "" {
		return wire.Node{}
	}
	owner := "amazon"
	if i.publicIP != i.autoIP {
		owner = q.s.g.AccountID()
	}
	return wire.Elem("association", wire.Text("publicIp", i.publicIP), wire.Text("publicDnsName", publicDNS(i.publicIP, i.region)), wire.Text("ipOwnerId", owner))
}

func metadataNodes(m MetadataOptions) []wire.Node {
	return nodes(wire.Text("state", "applied"), wire.Text("httpTokens", m.HTTPTokens), wire.Text("httpPutResponseHopLimit", m.HopLimit),
		wire.Text("httpEndpoint", m.HTTPEndpoint), wire.Text("httpProtocolIpv6", m.HTTPIPv6), wire.Text("instanceMetadataTags", m.InstanceTags))
}

func (q *request) instanceNodes(i *instance) []wire.Node {
	kind, _ := catalog.FindInstanceType(i.kind)
	monitoring := "disabled"
	if i.monitoring {
		monitoring = "enabled"
	}
	zone, _ := catalog.FindZone(q.r.name, i.zone)
	out := nodes(wire.Text("instanceId", i.id), wire.Text("imageId", i.image), stateNode("instanceState", i.state),
		wire.Text("amiLaunchIndex", 0), wire.Elem("productCodes"), wire.Text("instanceType", i.kind), wire.Text("launchTime", i.launched),
		wire.Elem("placement", wire.Text("availabilityZone", i.zone), wire.Text("availabilityZoneId", zone.ID), wire.Text("groupName", ""), wire.Text("tenancy", i.tenancy)),
		wire.Elem("monitoring", wire.Text("state", monitoring)), wire.Text("architecture", i.arch), wire.Text("rootDeviceType", "ebs"),
		wire.Text("rootDeviceName", i.rootDevice), wire.Text("virtualizationType", "hvm"), wire.Opt("clientToken", i.clientToken),
		wire.Text("hypervisor", "xen"), wire.Text("ebsOptimized", i.ebsOptimized), wire.Text("enaSupport", true), q.tagSet(i.id),
		wire.Elem("cpuOptions", wire.Text("coreCount", kind.VCPUs/max(kind.ThreadsPerCore, 1)), wire.Text("threadsPerCore", kind.ThreadsPerCore)),
		wire.Elem("capacityReservationSpecification", wire.Text("capacityReservationPreference", "open")),
		wire.Elem("hibernationOptions", wire.Text("configured", false)), wire.Elem("enclaveOptions", wire.Text("enabled", false)),
		wire.Elem("metadataOptions", metadataNodes(i.metadata)...), wire.Elem("maintenanceOptions", wire.Text("autoRecovery", i.recovery)),
		wire.Text("platformDetails", "Linux/UNIX"), wire.Text("usageOperation", "RunInstances"), wire.Text("usageOperationUpdateTime", i.launched),
		wire.Text("currentInstanceBootMode", "uefi"))
	if i.profileARN != "" {
		out = append(out, wire.Elem("iamInstanceProfile", wire.Text("arn", i.profileARN), wire.Text("id", i.profileID)))
	}
	if i.state == stateTerminated {
		return append(out, wire.Elem("stateReason", wire.Text("code", "Client.UserInitiatedShutdown"),
			wire.Text("message", "Client.UserInitiatedShutdown: User initiated shutdown")), wire.Elem("groupSet"), wire.Elem("networkInterfaceSet"), wire.Elem("blockDeviceMapping"))
	}
	association := q.associationNode(i)
	out = append(out, wire.Text("privateIpAddress", i.privateIP), wire.Text("privateDnsName", i.privateDNS()), wire.Opt("ipAddress", i.publicIP),
		wire.Text("dnsName", publicDNS(i.publicIP, i.region)), wire.Text("subnetId", i.subnet), wire.Text("vpcId", i.vpc), wire.Text("sourceDestCheck", i.check),
		q.groupSet(i), wire.Elem("privateDnsNameOptions", wire.Text("hostnameType", i.hostnameType), wire.Text("enableResourceNameDnsARecord", i.dnsA),
			wire.Text("enableResourceNameDnsAAAARecord", i.dnsAAAA)),
		wire.List("blockDeviceMapping", "item", i.volumes, func(id string) []wire.Node {
			v, ok := q.r.volumes.get(id)
			if !ok {
				return nil
			}
			return nodes(wire.Text("deviceName", v.device), wire.Elem("ebs", wire.Text("volumeId", v.id), wire.Text("status", "attached"),
				wire.Text("attachTime", v.created), wire.Text("deleteOnTermination", v.deleteOnTermination)))
		}),
		wire.Elem("networkInterfaceSet", wire.Elem("item", wire.Text("networkInterfaceId", i.eni), wire.Text("subnetId", i.subnet), wire.Text("vpcId", i.vpc),
			wire.Text("description", ""), wire.Text("ownerId", q.s.g.AccountID()), wire.Text("status", "in-use"), wire.Text("macAddress", i.mac),
			wire.Text("privateIpAddress", i.privateIP), wire.Text("privateDnsName", i.privateDNS()), wire.Text("sourceDestCheck", i.check), q.groupSet(i),
			wire.Elem("attachment", wire.Text("attachmentId", i.eniAttachment), wire.Text("deviceIndex", 0), wire.Text("status", "attached"),
				wire.Text("attachTime", i.launched), wire.Text("deleteOnTermination", true), wire.Text("networkCardIndex", 0)),
			association, wire.Text("interfaceType", "interface"), wire.Elem("ipv6AddressesSet"),
			wire.Elem("privateIpAddressesSet", wire.Elem("item", wire.Text("privateIpAddress", i.privateIP), wire.Text("privateDnsName", i.privateDNS()),
				wire.Text("primary", true), association)))))
	return out
}

func (q *request) instanceFilter(i *instance, name string) ([]string, bool) {
	set := func(v string) []string {
		if v == "" {
			return nil
		}
		return []string{v}
	}
	switch name {
	case "instance-id":
		return set(i.id), true
	case "instance-state-name":
		return set(i.state.name), true
	case "instance-state-code":
		return set(itoa(i.state.code)), true
	case "vpc-id", "network-interface.vpc-id":
		return set(i.vpc), true
	case "subnet-id", "network-interface.subnet-id":
		return set(i.subnet), true
	case "image-id":
		return set(i.image), true
	case "instance-type":
		return set(i.kind), true
	case "availability-zone":
		return set(i.zone), true
	case "private-ip-address":
		return set(i.privateIP), true
	case "ip-address":
		return set(i.publicIP), true
	case "private-dns-name":
		return set(i.privateDNS()), true
	case "architecture":
		return set(i.arch), true
	case "reservation-id":
		return set(i.reservation), true
	case "client-token":
		return set(i.clientToken), true
	case "iam-instance-profile.arn":
		return set(i.profileARN), true
	case "instance.group-id", "group-id", "network-interface.group-id":
		return i.groups, true
	case "owner-id":
		return set(q.s.g.AccountID()), true
	}
	return nil, false
}

func instanceID(i *instance) string { return i.id }

func (q *request) instances() ([]*instance, error) {
	all, err := selected(&q.r.instances, q.Strings("InstanceId"), noInstance)
	if err != nil {
		return nil, err
	}
	return filtered(q, all, instanceID, q.instanceFilter)
}

func describeInstances(q *request) ([]wire.Node, error) {
	all, err := q.instances()
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("reservationSet", "item", all, func(i *instance) []wire.Node {
		return nodes(wire.Text("reservationId", i.reservation), wire.Text("ownerId", q.s.g.AccountID()), wire.Elem("groupSet"),
			wire.Elem("instancesSet", wire.Elem("item", q.instanceNodes(i)...)))
	})), nil
}

func describeInstanceStatus(q *request) ([]wire.Node, error) {
	all, err := q.instances()
	if err != nil {
		return nil, err
	}
	shown := all[:0:0]
	for _, i := range all {
		if i.state == stateRunning || q.Bool("IncludeAllInstances", false) {
			shown = append(shown, i)
		}
	}
	return nodes(wire.List("instanceStatusSet", "item", shown, func(i *instance) []wire.Node {
		status := "not-applicable"
		if i.state == stateRunning {
			status = "ok"
		}
		return nodes(wire.Text("instanceId", i.id), wire.Text("availabilityZone", i.zone), stateNode("instanceState", i.state),
			wire.Elem("systemStatus", wire.Text("status", status)), wire.Elem("instanceStatus", wire.Text("status", status)))
	})), nil
}

func describeInstanceAttribute(q *request) ([]wire.Node, error) {
	i, err := q.instance(q.Str("InstanceId"))
	if err != nil {
		return nil, err
	}
	value := func(name string, v any) []wire.Node {
		return nodes(wire.Text("instanceId", i.id), wire.Elem(name, wire.Text("value", v)))
	}
	switch name := q.Str("Attribute"); name {
	case "userData":
		if len(i.userData) == 0 {
			return nodes(wire.Text("instanceId", i.id), wire.Elem("userData")), nil
		}
		return value(name, base64.StdEncoding.EncodeToString(i.userData)), nil
	case "instanceType":
		return value(name, i.kind), nil
	case "disableApiTermination":
		return value(name, i.noTerminate), nil
	case "disableApiStop":
		return value(name, i.noStop), nil
	case "instanceInitiatedShutdownBehavior":
		return value(name, i.shutdown), nil
	case "ebsOptimized":
		return value(name, i.ebsOptimized), nil
	case "sourceDestCheck":
		return value(name, i.check), nil
	case "enaSupport":
		return value(name, true), nil
	case "rootDeviceName":
		return value(name, i.rootDevice), nil
	case "groupSet":
		return nodes(wire.Text("instanceId", i.id), q.groupSet(i)), nil
	default:
		return nil, invalid("Value (%s) for parameter attribute is invalid. Unknown attribute.", name)
	}
}

func describeVolumes(q *request) ([]wire.Node, error) {
	all, err := selected(&q.r.volumes, q.Strings("VolumeId"), noVolume)
	if err != nil {
		return nil, err
	}
	all, err = filtered(q, all, func(v *volume) string { return v.id }, func(v *volume, name string) ([]string, bool) {
		switch name {
		case "volume-id":
			return []string{v.id}, true
		case "attachment.instance-id":
			return []string{v.instance}, true
		case "attachment.device":
			return []string{v.device}, true
		case "attachment.status":
			return []string{"attached"}, true
		case "status":
			return []string{"in-use"}, true
		case "availability-zone":
			return []string{v.zone}, true
		case "volume-type":
			return []string{v.kind}, true
		case "encrypted":
			return yesNo(v.encrypted), true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("volumeSet", "item", all, func(v *volume) []wire.Node {
		out := nodes(wire.Text("volumeId", v.id), wire.Text("size", v.size), wire.Opt("snapshotId", v.snapshot), wire.Text("availabilityZone", v.zone),
			wire.Text("createTime", v.created), wire.Text("volumeType", v.kind), wire.Text("encrypted", v.encrypted), wire.Opt("kmsKeyId", v.kmsKey(q)),
			wire.Text("multiAttachEnabled", false), q.tagSet(v.id))
		if v.instance == "" {
			return append(out, wire.Text("status", "available"))
		}
		if v.iops > 0 {
			out = append(out, wire.Text("iops", v.iops))
		}
		if v.throughput > 0 {
			out = append(out, wire.Text("throughput", v.throughput))
		}
		return append(out, wire.Text("status", "in-use"), wire.Elem("attachmentSet", wire.Elem("item", wire.Text("volumeId", v.id), wire.Text("instanceId", v.instance),
			wire.Text("device", v.device), wire.Text("status", "attached"), wire.Text("attachTime", v.created), wire.Text("deleteOnTermination", v.deleteOnTermination))))
	})), nil
}

// kmsKey is the key of an encrypted volume: the one that was asked for, else the account's key for EBS.
func (v *volume) kmsKey(q *request) string {
	if !v.encrypted || v.kms != "" {
		return v.kms
	}
	return q.s.g.ARN("kms", q.r.name, "key/"+"00000000-0000-4000-8000-0000000000eb")
}

func describeNetworkInterfaces(q *request) ([]wire.Node, error) {
	all := []*instance{}
	for _, i := range q.r.instances.all() {
		if i.state != stateTerminated {
			all = append(all, i)
		}
	}
	ids := q.Strings("NetworkInterfaceId")
	services, err := q.serviceInterfaces(ids)
	if err != nil {
		return nil, err
	}
	if len(ids) > 0 {
		all = all[:0:0]
		for _, id := range ids {
			if _, ok := q.r.interfaces.get(id); ok {
				continue
			}
			i := q.byENI(id)
			if i == nil {
				return nil, noENI(id)
			}
			all = append(all, i)
		}
	}
	all, err = filtered(q, all, func(i *instance) string { return i.eni }, func(i *instance, name string) ([]string, bool) {
		switch name {
		case "network-interface-id":
			return []string{i.eni}, true
		case "attachment.instance-id":
			return []string{i.id}, true
		case "attachment.attachment-id":
			return []string{i.eniAttachment}, true
		case "attachment.instance-owner-id":
			return []string{q.s.g.AccountID()}, true
		case "attachment.device-index":
			return []string{"0"}, true
		case "description":
			return []string{""}, true
		case "status":
			return []string{"in-use"}, true
		case "interface-type":
			return []string{"interface"}, true
		case "requester-id":
			return nil, true
		case "requester-managed":
			return yesNo(false), true
		case "addresses.private-ip-address", "private-ip-address":
			return []string{i.privateIP}, true
		}
		return q.instanceFilter(i, name)
	})
	if err != nil {
		return nil, err
	}
	set := wire.List("networkInterfaceSet", "item", all, func(i *instance) []wire.Node {
		return nodes(wire.Text("networkInterfaceId", i.eni), wire.Text("subnetId", i.subnet), wire.Text("vpcId", i.vpc), wire.Text("availabilityZone", i.zone),
			wire.Text("description", ""), wire.Text("ownerId", q.s.g.AccountID()), wire.Text("requesterManaged", false), wire.Text("status", "in-use"),
			wire.Text("macAddress", i.mac), wire.Text("privateIpAddress", i.privateIP), wire.Text("privateDnsName", i.privateDNS()), wire.Text("sourceDestCheck", i.check),
			q.groupSet(i), wire.Elem("attachment", wire.Text("attachmentId", i.eniAttachment), wire.Text("instanceId", i.id), wire.Text("instanceOwnerId", q.s.g.AccountID()),
				wire.Text("deviceIndex", 0), wire.Text("status", "attached"), wire.Text("attachTime", i.launched), wire.Text("deleteOnTermination", true)),
			q.associationNode(i), q.tagSet(i.eni), wire.Text("interfaceType", "interface"))
	})
	set.Children = append(set.Children, services...)
	return nodes(set), nil
}

func describeCredits(q *request) ([]wire.Node, error) {
	all, err := q.instances()
	if err != nil {
		return nil, err
	}
	shown := all[:0:0]
	for _, i := range all {
		if kind, _ := catalog.FindInstanceType(i.kind); kind.Burstable && (i.state == stateRunning || i.state == stateStopped) {
			shown = append(shown, i)
		}
	}
	return nodes(wire.List("instanceCreditSpecificationSet", "item", shown, func(i *instance) []wire.Node {
		return nodes(wire.Text("instanceId", i.id), wire.Text("cpuCredits", i.credits))
	})), nil
}
