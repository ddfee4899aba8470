package ec2

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/catalog"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

type state struct {
	code int
	name string
}

// The states of an instance (EC2 API Reference, InstanceState).
var (
	statePending      = state{0, "pending"}
	stateRunning      = state{16, "running"}
	stateShuttingDown = state{32, "shutting-down"}
	stateTerminated   = state{48, "terminated"}
	stateStopping     = state{64, "stopping"}
	stateStopped      = state{80, "stopped"}
)

type instance struct {
	id, region, image, kind, arch, reservation, clientToken string
	zone, vpc, subnet, privateIP, publicIP, autoIP          string
	eni, eniAttachment, mac                                 string
	groups                                                  []string
	userData                                                []byte
	profileARN, profileID, profileAssociation               string
	profileSince                                            time.Time
	metadata                                                MetadataOptions
	state                                                   state
	launched                                                time.Time
	credits, shutdown, tenancy, recovery, hostnameType      string
	dnsA, dnsAAAA                                           bool
	monitoring, ebsOptimized, noStop, noTerminate, check    bool
	rootDevice                                              string
	volumes                                                 []string
	template, templateVersion                               string
}

type volume struct {
	id, zone, kind, snapshot, device, instance, kms string
	size, iops, throughput                          int
	encrypted, deleteOnTermination                  bool
	created                                         time.Time
}

func (i *instance) privateDNS() string {
	zone := i.region + ".compute.internal"
	if i.region == "us-east-1" {
		zone = "ec2.internal"
	}
	return "ip-" + strings.ReplaceAll(i.privateIP, ".", "-") + "." + zone
}

const maxUserData = 16384

var (
	noInstance = notFound("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist")
	noENI      = notFound("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist")
	noVolume   = notFound("InvalidVolume.NotFound", "The volume '%s' does not exist.")
)

func init() {
	register(map[string]action{
		"RunInstances": {"ImageId InstanceType MinCount MaxCount KeyName SubnetId SecurityGroupId NetworkInterface IamInstanceProfile UserData " +
			"MetadataOptions BlockDeviceMapping CreditSpecification Monitoring DisableApiTermination DisableApiStop EbsOptimized " +
			"InstanceInitiatedShutdownBehavior Placement PrivateIpAddress TagSpecification ClientToken LaunchTemplate MaintenanceOptions " +
			"PrivateDnsNameOptions EnclaveOptions CapacityReservationSpecification HibernationOptions", runInstances, runResources},
	})
}

// profile is an instance profile as IAM has it.
type profile struct {
	ARN, ID, RoleARN string
}

func (q *request) instance(id string) (*instance, error) {
	if i, ok := q.r.instances.get(id); ok {
		return i, nil
	}
	return nil, noInstance(id)
}

func (q *request) byENI(eni string) *instance {
	for _, i := range q.r.instances.all() {
		if eni != "" && i.eni == eni && i.state != stateTerminated {
			return i
		}
	}
	return nil
}

// launch is what RunInstances works with: the request's parameters over those of a launch template.
type launch struct {
	own, template wire.Params
	hasTemplate   bool
}

// from picks the parameters that have a name: the request's own win as a whole.
func (l launch) from(name string) wire.Params {
	if l.hasTemplate && !l.own.Has(name) {
		return l.template
	}
	return l.own
}

func (q *request) launch() (launch, *launchTemplate, int, error) {
	l := launch{own: q.Params}
	if !q.Has("LaunchTemplate") {
		return l, nil, 0, nil
	}
	t, version, err := q.templateVersion(q.Sub("LaunchTemplate"))
	if err != nil {
		return l, nil, 0, err
	}
	l.template, l.hasTemplate = version.data, true
	return l, t, version.number, nil
}

// interfaceOf returns the parameters of the one network interface of a launch, if it names one.
func (l launch) networkInterface() (wire.Params, bool, error) {
	list := l.from("NetworkInterface").Structs("NetworkInterface")
	if len(list) == 0 {
		return wire.Params{}, false, nil
	}
	if len(list) > 1 || list[0].Int("DeviceIndex", 0) != 0 {
		return wire.Params{}, false, gate.NotImplemented("more than one network interface")
	}
	if list[0].Has("NetworkInterfaceId") {
		return wire.Params{}, false, gate.NotImplemented("an existing network interface")
	}
	return list[0], true, nil
}

func runResources(q *request) []string {
	l, t, _, err := q.launch()
	if err != nil {
		return []string{"instance/*"}
	}
	out := []string{"image/" + l.from("ImageId").Str("ImageId"), "instance/*", "network-interface/*", "volume/*"}
	if t != nil {
		out = append(out, "launch-template/"+t.id)
	}
	subnetID, groups := l.from("SubnetId").Str("SubnetId"), l.from("SecurityGroupId").Strings("SecurityGroupId")
	if n, ok, err := l.networkInterface(); err == nil && ok {
		subnetID, groups = n.Str("SubnetId"), n.Strings("SecurityGroupId")
	}
	if subnetID != "" {
		out = append(out, "subnet/"+subnetID)
	}
	for _, g := range groups {
		out = append(out, "security-group/"+g)
	}
	return out
}

// wantedProfile is the name or ARN of the instance profile that the call would put on an instance.
func (q *request) wantedProfile() (string, error) {
	p := q.Params
	switch q.call.Action {
	case "RunInstances":
		l, _, _, err := q.launch()
		if err != nil {
			return "", err
		}
		p = l.from("IamInstanceProfile")
	case "AssociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation":
	default:
		return "", nil
	}
	if arn := p.Str("IamInstanceProfile.Arn"); arn != "" {
		return arn, nil
	}
	return p.Str("IamInstanceProfile.Name"), nil
}

// passRole requires iam:PassRole for the role that the instance would get.
func (s *Service) passRole(q *request) ([]policy.Request, error) {
	want, err := q.wantedProfile()
	if err != nil || want == "" {
		return nil, err
	}
	p, err := s.lookupProfile(want)
	if err != nil {
		return nil, err
	}
	return []policy.Request{{Action: "iam:PassRole", Resource: p.RoleARN, Context: map[string][]string{
		"iam:PassedToService": {"ec2." + gate.DNSSuffix}, "iam:AssociatedResourceArn": {q.arn("instance/*")}}}}, nil
}

// lookupProfile looks an instance profile up in IAM. The texts are those that the provider retries on.
func (s *Service) lookupProfile(nameOrARN string) (profile, error) {
	arn, id, role, ok := s.g.InstanceProfileRole(nameOrARN)
	p := profile{ARN: arn, ID: id, RoleARN: role}
	field := "name"
	if strings.HasPrefix(nameOrARN, "arn:") {
		field = "arn"
	}
	if !ok {
		return p, invalid("Value (%s) for parameter iamInstanceProfile.%s is invalid. Invalid IAM Instance Profile %s", nameOrARN, field,
			map[string]string{"name": "name", "arn": "ARN"}[field])
	}
	if p.RoleARN == "" {
		return p, invalid("IAM Instance Profile %q has no associated IAM Roles", p.ARN)
	}
	return p, nil
}

func runInstances(q *request) ([]wire.Node, error) {
	tags, err := q.specTags("instance", "volume", "network-interface")
	if err != nil {
		return nil, err
	}
	account := q.s.g.AccountID()
	if token := q.Str("ClientToken"); token != "" {
		if reservation, ok := q.r.reservations[token]; ok {
			return q.reservation(reservation, account), nil
		}
	}
	l, template, templateVersion, err := q.launch()
	if err != nil {
		return nil, err
	}
	low, high := q.Int("MinCount", 1), q.Int("MaxCount", 1)
	if low < 1 || high < low {
		return nil, invalid("Value (%d) for parameter minCount is invalid.", low)
	}
	proto, err := q.prototype(l)
	if err != nil {
		return nil, err
	}
	if template != nil {
		proto.template, proto.templateVersion = template.id, itoa(templateVersion)
		for _, spec := range l.template.Structs("TagSpecification") {
			kind := spec.Str("ResourceType")
			merged := map[string]string{}
			for _, t := range spec.Structs("Tag") {
				merged[t.Str("Key")] = t.Str("Value")
			}
			for k, v := range tags[kind] {
				merged[k] = v
			}
			tags[kind] = merged
		}
	}
	subnet, _ := q.r.subnets.get(proto.subnet)
	if q.free(subnet) < low {
		return nil, gate.Errorf(http.StatusBadRequest, "InsufficientFreeAddressesInSubnet",
			"There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", subnet.id)
	}
	wantPublic := subnet.mapPublic
	if n, ok, _ := l.networkInterface(); ok {
		wantPublic = n.Bool("AssociatePublicIpAddress", wantPublic)
	}
	reservation := wire.HexID("r-")
	if token := q.Str("ClientToken"); token != "" {
		q.r.reservations[token] = reservation
	}
	for n := 0; n < high; n++ {
		i := *proto
		i.id, i.reservation, i.clientToken, i.launched = wire.HexID("i-"), reservation, q.Str("ClientToken"), q.now()
		i.groups = append([]string(nil), proto.groups...)
		i.eni, i.eniAttachment = wire.HexID("eni-"), wire.HexID("eni-attach-")
		if i.privateIP == "" {
			if i.privateIP, err = q.pick(subnet); err != nil {
				break // fewer than MaxCount are fine from MinCount on
			}
		}
		h := wire.Hex(10)
		i.mac = "02:" + strings.Join([]string{h[:2], h[2:4], h[4:6], h[6:8], h[8:]}, ":")
		if i.profileARN != "" {
			i.profileAssociation, i.profileSince = wire.HexID("iip-assoc-"), q.now()
		}
		if wantPublic {
			i.publicIP = q.publicAddress()
			i.autoIP = i.publicIP
		}
		i.state = statePending
		q.r.instances.put(i.id, &i)
		q.attachVolumes(&i, l, tags["volume"])
		q.setTags(i.id, tags["instance"])
		q.setTags(i.eni, tags["network-interface"])
	}
	answer := q.reservation(reservation, account)
	for _, i := range q.r.instances.all() {
		if i.reservation != reservation {
			continue
		}
		// The answer says pending; the next call sees the instance running.
		i.state = stateRunning
		exported := q.s.export(i)
		q.s.queue.add(func(m Machines) { m.Run(exported) })
		if ip, id := i.publicIP, i.id; ip != "" {
			q.s.queue.add(func(m Machines) { m.Associate(ip, id) })
		}
	}
	return answer, nil
}

// prototype reads and checks everything that the instances of one call share.
func (q *request) prototype(l launch) (*instance, error) {
	str := func(name string) string { return l.from(strings.SplitN(name, ".", 2)[0]).Str(name) }
	i := &instance{region: q.r.name, image: str("ImageId"), kind: str("InstanceType"), check: true}
	if i.image == "" {
		return nil, missing("ImageId")
	}
	image, ok := catalog.FindImage(q.r.name, i.image)
	if !ok {
		return nil, noImage(i.image)
	}
	if i.kind == "" {
		i.kind = "m1.small" // EC2's own default, which no VPC of today takes
	}
	kind, ok := catalog.FindInstanceType(i.kind)
	if !ok {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidParameterValue", "Invalid value '%s' for InstanceType.", i.kind)
	}
	if kind.Architecture != image.Architecture {
		return nil, invalid("The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.",
			kind.Architecture, image.Architecture)
	}
	i.arch, i.rootDevice = image.Architecture, image.RootDevice
	if key := str("KeyName"); key != "" {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidKeyPair.NotFound", "The key pair '%s' does not exist", key)
	}
	if err := q.placement(l, i); err != nil {
		return nil, err
	}
	if p := l.from("UserData"); p.Has("UserData") {
		i.userData = p.Blob("UserData")
		if len(i.userData) > maxUserData {
			return nil, invalid("User data is limited to %d bytes", maxUserData)
		}
	}
	want, err := q.wantedProfile()
	if err != nil {
		return nil, err
	}
	if want != "" {
		p, err := q.s.lookupProfile(want)
		if err != nil {
			return nil, err
		}
		i.profileARN, i.profileID = p.ARN, p.ID
	}
	i.metadata = MetadataOptions{HTTPEndpoint: "enabled", HTTPTokens: "optional", HopLimit: 1, InstanceTags: "disabled", HTTPIPv6: "disabled"}
	if strings.Contains(image.Name, "noble") { // the image was registered with ImdsSupport v2.0
		i.metadata.HTTPTokens, i.metadata.HopLimit = "required", 2
	}
	if err := applyMetadata(&i.metadata, l.from("MetadataOptions").Sub("MetadataOptions")); err != nil {
		return nil, err
	}
	i.credits = str("CreditSpecification.CpuCredits")
	switch {
	case !kind.Burstable && i.credits != "":
		return nil, invalid("The request included a CPU credits specification, but the instance type %s does not support it.", i.kind)
	case kind.Burstable && i.credits == "":
		i.credits = "unlimited" // T3 and T4g launch unlimited unless told otherwise
	case i.credits != "" && i.credits != "standard" && i.credits != "unlimited":
		return nil, invalid("Value (%s) for parameter cpuCredits is invalid.", i.credits)
	}
	b := func(name string) bool { return l.from(strings.SplitN(name, ".", 2)[0]).Bool(name, false) }
	i.monitoring, i.ebsOptimized = b("Monitoring.Enabled"), b("EbsOptimized")
	i.noStop, i.noTerminate = b("DisableApiStop"), b("DisableApiTermination")
	if b("EnclaveOptions.Enabled") || b("HibernationOptions.Configured") {
		return nil, gate.NotImplemented("enclaves and hibernation")
	}
	i.shutdown, i.recovery = orElse(str("InstanceInitiatedShutdownBehavior"), "stop"), orElse(str("MaintenanceOptions.AutoRecovery"), "default")
	i.dnsA, i.dnsAAAA = b("PrivateDnsNameOptions.EnableResourceNameDnsARecord"), b("PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord")
	i.hostnameType = orElse(str("PrivateDnsNameOptions.HostnameType"), "ip-name")
	return i, nil
}

// placement settles subnet, zone, addresses and groups.
func (q *request) placement(l launch, i *instance) error {
	subnetID, groups, private := l.from("SubnetId").Str("SubnetId"), l.from("SecurityGroupId").Strings("SecurityGroupId"), l.from("PrivateIpAddress").Str("PrivateIpAddress")
	n, ok, err := l.networkInterface()
	if err != nil {
		return err
	}
	if ok {
		if q.Has("SubnetId") || q.Has("SecurityGroupId") {
			return gate.Errorf(http.StatusBadRequest, "InvalidParameterCombination",
				"Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request")
		}
		subnetID, groups, private = n.Str("SubnetId"), n.Strings("SecurityGroupId"), n.Str("PrivateIpAddress")
	}
	if subnetID == "" {
		return gate.Errorf(http.StatusBadRequest, "MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
	}
	s, ok := q.r.subnets.get(subnetID)
	if !ok {
		return noSubnet(subnetID)
	}
	i.subnet, i.vpc, i.zone = s.id, s.vpc, s.zone.Name
	p := l.from("Placement").Sub("Placement")
	if zone := p.Str("AvailabilityZone"); zone != "" && zone != i.zone {
		return invalid("The specified subnet %s is not in the availability zone %s", s.id, zone)
	}
	if p.Has("GroupName") || p.Has("HostId") {
		return gate.NotImplemented("placement groups and dedicated hosts")
	}
	i.tenancy = orElse(p.Str("Tenancy"), "default")
	if private != "" {
		ip, err := netip.ParseAddr(private)
		if err != nil || !s.cidr.Contains(ip) {
			return invalid("Address %s does not fall within the subnet's address range", private)
		}
		for _, other := range q.r.instances.all() {
			if other.subnet == s.id && other.privateIP == private && other.state != stateTerminated {
				return gate.Errorf(http.StatusBadRequest, "InvalidIPAddress.InUse", "Address %s is in use.", private)
			}
		}
		i.privateIP = private
	}
	for _, id := range groups {
		g, err := q.group(id)
		if err != nil {
			return err
		}
		if g.vpc != s.vpc {
			return gate.Errorf(http.StatusBadRequest, "InvalidParameter", "Security group %s and subnet %s belong to different networks.", g.id, s.id)
		}
	}
	if len(groups) == 0 {
		if v, ok := q.r.vpcs.get(s.vpc); ok {
			groups = []string{v.group}
		}
	}
	i.groups = groups
	return nil
}

// applyMetadata puts requested metadata options over the present ones.
func applyMetadata(m *MetadataOptions, p wire.Params) error {
	choose := func(dst *string, name string, allowed ...string) error {
		v := p.Str(name)
		if v == "" {
			return nil
		}
		for _, a := range allowed {
			if v == a {
				*dst = v
				return nil
			}
		}
		return invalid("Value (%s) for parameter %s is invalid.", v, name)
	}
	for _, err := range []error{
		choose(&m.HTTPEndpoint, "HttpEndpoint", "enabled", "disabled"), choose(&m.HTTPTokens, "HttpTokens", "required", "optional"),
		choose(&m.InstanceTags, "InstanceMetadataTags", "enabled", "disabled"), choose(&m.HTTPIPv6, "HttpProtocolIpv6", "enabled", "disabled"),
	} {
		if err != nil {
			return err
		}
	}
	if p.Has("HttpPutResponseHopLimit") {
		n := p.Int("HttpPutResponseHopLimit", 0)
		if n < 1 || n > 64 {
			return invalid("Value (%s) for parameter HttpPutResponseHopLimit is invalid. Valid values are 1 to 64.", p.Str("HttpPutResponseHopLimit"))
		}
		m.HopLimit = n
	}
	return nil
}

// attachVolumes makes the root volume of the image, changed by the launch's mappings, and further volumes.
func (q *request) attachVolumes(i *instance, l launch, tags map[string]string) {
	image, _ := catalog.FindImage(q.r.name, i.image)
	byDevice := map[string]*volume{image.RootDevice: {kind: "gp3", size: image.RootGiB, snapshot: image.SnapshotID, deleteOnTermination: true}}
	order := []string{image.RootDevice}
	for _, m := range l.from("BlockDeviceMapping").Structs("BlockDeviceMapping") {
		device, e := m.Str("DeviceName"), m.Sub("Ebs")
		v, ok := byDevice[device]
		if !ok {
			v = &volume{kind: "gp2", deleteOnTermination: true}
			byDevice[device] = v
			order = append(order, device)
		}
		v.kind, v.size, v.kms = orElse(e.Str("VolumeType"), v.kind), e.Int("VolumeSize", v.size), e.Str("KmsKeyId")
		v.iops, v.throughput = e.Int("Iops", v.iops), e.Int("Throughput", v.throughput)
		v.encrypted, v.deleteOnTermination = e.Bool("Encrypted", v.encrypted), e.Bool("DeleteOnTermination", v.deleteOnTermination)
		v.snapshot = orElse(e.Str("SnapshotId"), v.snapshot)
	}
	for _, device := range order {
		v := byDevice[device]
		v.id, v.zone, v.device, v.instance, v.created = wire.HexID("vol-"), i.zone, device, i.id, q.now()
		v.defaults()
		q.r.volumes.put(v.id, v)
		q.setTags(v.id, tags)
		i.volumes = append(i.volumes, v.id)
	}
}

// defaults fills the performance that a volume type has from birth (EBS User Guide).
func (v *volume) defaults() {
	switch v.kind {
	case "gp3":
		v.iops, v.throughput = max(v.iops, 3000), max(v.throughput, 125)
	case "gp2":
		v.iops, v.throughput = min(max(3*v.size, 100), 16000), 0
	}
}

func orElse(v, fallback string) string {
	if v == "" {
		return fallback
	}
	return v
}
