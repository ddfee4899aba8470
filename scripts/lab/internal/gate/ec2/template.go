package ec2

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

type launchTemplate struct {
	id, name       string
	created        time.Time
	createdBy      string
	defaultVersion int
	versions       []templateVersion
}

// templateVersion keeps the data as it was sent, so that a launch reads it as it reads its own parameters.
type templateVersion struct {
	number      int
	description string
	created     time.Time
	createdBy   string
	values      url.Values
	data        wire.Params
}

func init() {
	register(map[string]action{
		"CreateLaunchTemplate":           {"ClientToken LaunchTemplateName LaunchTemplateData TagSpecification VersionDescription", createLaunchTemplate, created("launch-template")},
		"CreateLaunchTemplateVersion":    {"ClientToken LaunchTemplateId LaunchTemplateName LaunchTemplateData VersionDescription", createLaunchTemplateVersion, named("LaunchTemplateId")},
		"DescribeLaunchTemplates":        {"LaunchTemplateId LaunchTemplateName Filter MaxResults NextToken", describeLaunchTemplates, nil},
		"DescribeLaunchTemplateVersions": {"LaunchTemplateId LaunchTemplateName LaunchTemplateVersion MinVersion MaxVersion MaxResults NextToken", describeLaunchTemplateVersions, nil},
		"ModifyLaunchTemplate":           {"ClientToken LaunchTemplateId LaunchTemplateName SetDefaultVersion", modifyLaunchTemplate, named("LaunchTemplateId")},
		"DeleteLaunchTemplate":           {"LaunchTemplateId LaunchTemplateName", deleteLaunchTemplate, named("LaunchTemplateId")},
	})
}

var templateName = regexp.MustCompile(`^[a-zA-Z0-9().\-/_]{3,128}$`)

// templateParameters are the launch template data that the lab keeps and shows.
var templateParameters = map[string]bool{"ImageId": true, "InstanceType": true, "KeyName": true, "UserData": true, "SecurityGroupId": true,
	"IamInstanceProfile": true, "MetadataOptions": true, "BlockDeviceMapping": true, "NetworkInterface": true, "CreditSpecification": true,
	"Monitoring": true, "DisableApiTermination": true, "DisableApiStop": true, "EbsOptimized": true, "InstanceInitiatedShutdownBehavior": true,
	"TagSpecification": true, "Placement": true, "MaintenanceOptions": true}

// newVersion copies the LaunchTemplateData of the request into a parameter set of its own.
func (q *request) newVersion(number int) (templateVersion, error) {
	data := q.Sub("LaunchTemplateData")
	for _, name := range data.Top() {
		if !templateParameters[name] {
			return templateVersion{}, gate.NotImplemented("launch template data " + name)
		}
	}
	values := url.Values{}
	for k, v := range q.call.Form {
		if rest, ok := strings.CutPrefix(k, "LaunchTemplateData."); ok {
			values[rest] = v
		}
	}
	if len(values) == 0 {
		return templateVersion{}, missing("LaunchTemplateData")
	}
	return templateVersion{number: number, description: q.Str("VersionDescription"), created: q.now(), createdBy: q.caller(), values: values, data: wire.NewParams(values)}, nil
}

func (q *request) caller() string {
	if p := q.call.Principal; p != nil {
		return p.ARN
	}
	return ""
}

func (q *request) template(p wire.Params) (*launchTemplate, error) {
	id, name := p.Str("LaunchTemplateId"), p.Str("LaunchTemplateName")
	for _, t := range q.r.templates.all() {
		if (id != "" && t.id == id) || (id == "" && name != "" && t.name == name) {
			return t, nil
		}
	}
	if id != "" {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
	}
	return nil, gate.Errorf(http.StatusBadRequest, "InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %s, does not exist.", name)
}

// version finds a version by number, $Latest or $Default (the empty string is $Default).
func (t *launchTemplate) version(want string) (templateVersion, error) {
	number := t.defaultVersion
	switch want {
	case "", "$Default":
	case "$Latest":
		number = t.versions[len(t.versions)-1].number
	default:
		n, err := strconv.Atoi(want)
		if err != nil {
			return templateVersion{}, invalid("Invalid launch template version: %s", want)
		}
		number = n
	}
	for _, v := range t.versions {
		if v.number == number {
			return v, nil
		}
	}
	return templateVersion{}, gate.Errorf(http.StatusBadRequest, "InvalidLaunchTemplateId.VersionNotFound",
		"Could not find the specified version %s for the launch template with ID %s.", want, t.id)
}

// templateVersion resolves a launch's LaunchTemplate structure.
func (q *request) templateVersion(p wire.Params) (*launchTemplate, templateVersion, error) {
	t, err := q.template(p)
	if err != nil {
		return nil, templateVersion{}, err
	}
	v, err := t.version(p.Str("Version"))
	return t, v, err
}

func createLaunchTemplate(q *request) ([]wire.Node, error) {
	tags, err := q.specTags("launch-template")
	if err != nil {
		return nil, err
	}
	name := q.Str("LaunchTemplateName")
	if !templateName.MatchString(name) {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidLaunchTemplateName.MalformedException", "Launch template names must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _")
	}
	for _, t := range q.r.templates.all() {
		if t.name == name {
			return nil, gate.Errorf(http.StatusBadRequest, "InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
		}
	}
	v, err := q.newVersion(1)
	if err != nil {
		return nil, err
	}
	t := &launchTemplate{id: wire.HexID("lt-"), name: name, created: q.now(), createdBy: q.caller(), defaultVersion: 1, versions: []templateVersion{v}}
	q.r.templates.put(t.id, t)
	q.setTags(t.id, tags["launch-template"])
	return nodes(wire.Elem("launchTemplate", q.templateNodes(t)...)), nil
}

func (q *request) templateNodes(t *launchTemplate) []wire.Node {
	return nodes(wire.Text("launchTemplateId", t.id), wire.Text("launchTemplateName", t.name), wire.Text("createTime", t.created),
		wire.Text("createdBy", t.createdBy), wire.Text("defaultVersionNumber", t.defaultVersion),
		wire.Text("latestVersionNumber", t.versions[len(t.versions)-1].number), q.tagSet(t.id))
}

func createLaunchTemplateVersion(q *request) ([]wire.Node, error) {
	t, err := q.template(q.Params)
	if err != nil {
		return nil, err
	}
	v, err := q.newVersion(t.versions[len(t.versions)-1].number + 1)
	if err != nil {
		return nil, err
	}
	t.versions = append(t.versions, v)
	return nodes(wire.Elem("launchTemplateVersion", q.versionNodes(t, v)...)), nil
}

func (q *request) versionNodes(t *launchTemplate, v templateVersion) []wire.Node {
	return nodes(wire.Text("launchTemplateId", t.id), wire.Text("launchTemplateName", t.name), wire.Text("versionNumber", v.number),
		wire.Opt("versionDescription", v.description), wire.Text("createTime", v.created), wire.Text("createdBy", v.createdBy),
		wire.Text("defaultVersion", v.number == t.defaultVersion), wire.Elem("launchTemplateData", templateData(v.data)...))
}

// templateData answers with the data as sent, under the answer's names.
func templateData(p wire.Params) []wire.Node {
	opt := func(name, parameter string) wire.Node { return wire.Opt(name, p.Ptr(parameter)) }
	group := func(name, parameter string, fields ...[2]string) wire.Node {
		if !p.Has(parameter) {
			return wire.Node{}
		}
		out := wire.Elem(name)
		for _, f := range fields {
			out.Children = append(out.Children, wire.Opt(f[0], p.Ptr(parameter+"."+f[1])))
		}
		return out
	}
	out := nodes(opt("imageId", "ImageId"), opt("instanceType", "InstanceType"), opt("keyName", "KeyName"), opt("userData", "UserData"),
		opt("disableApiTermination", "DisableApiTermination"), opt("disableApiStop", "DisableApiStop"), opt("ebsOptimized", "EbsOptimized"),
		opt("instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior"),
		group("iamInstanceProfile", "IamInstanceProfile", [2]string{"arn", "Arn"}, [2]string{"name", "Name"}),
		group("creditSpecification", "CreditSpecification", [2]string{"cpuCredits", "CpuCredits"}),
		group("monitoring", "Monitoring", [2]string{"enabled", "Enabled"}),
		group("maintenanceOptions", "MaintenanceOptions", [2]string{"autoRecovery", "AutoRecovery"}),
		group("placement", "Placement", [2]string{"availabilityZone", "AvailabilityZone"}, [2]string{"groupName", "GroupName"}, [2]string{"tenancy", "Tenancy"}),
		group("metadataOptions", "MetadataOptions", [2]string{"httpEndpoint", "HttpEndpoint"}, [2]string{"httpTokens", "HttpTokens"},
			[2]string{"httpPutResponseHopLimit", "HttpPutResponseHopLimit"}, [2]string{"httpProtocolIpv6", "HttpProtocolIpv6"},
			[2]string{"instanceMetadataTags", "InstanceMetadataTags"}))
	if g := p.Strings("SecurityGroupId"); len(g) > 0 {
		out = append(out, wire.Texts("securityGroupIdSet", "item", g))
	}
	if m := p.Structs("BlockDeviceMapping"); len(m) > 0 {
		out = append(out, wire.List("blockDeviceMappingSet", "item", m, func(m wire.Params) []wire.Node {
			e := m.Sub("Ebs")
			ebs := wire.Node{}
			if m.Has("Ebs") {
				ebs = wire.Elem("ebs", wire.Opt("volumeSize", e.Ptr("VolumeSize")), wire.Opt("volumeType", e.Ptr("VolumeType")), wire.Opt("encrypted", e.Ptr("Encrypted")),
					wire.Opt("deleteOnTermination", e.Ptr("DeleteOnTermination")), wire.Opt("iops", e.Ptr("Iops")), wire.Opt("throughput", e.Ptr("Throughput")),
					wire.Opt("kmsKeyId", e.Ptr("KmsKeyId")), wire.Opt("snapshotId", e.Ptr("SnapshotId")))
			}
			return nodes(wire.Opt("deviceName", m.Ptr("DeviceName")), wire.Opt("noDevice", m.Ptr("NoDevice")), wire.Opt("virtualName", m.Ptr("VirtualName")), ebs)
		}))
	}
	if n := p.Structs("NetworkInterface"); len(n) > 0 {
		out = append(out, wire.List("networkInterfaceSet", "item", n, func(n wire.Params) []wire.Node {
			return nodes(wire.Opt("deviceIndex", n.Ptr("DeviceIndex")), wire.Opt("subnetId", n.Ptr("SubnetId")), wire.Opt("associatePublicIpAddress", n.Ptr("AssociatePublicIpAddress")),
				wire.Opt("deleteOnTermination", n.Ptr("DeleteOnTermination")), wire.Opt("description", n.Ptr("Description")), wire.Opt("privateIpAddress", n.Ptr("PrivateIpAddress")),
				wire.Texts("groupSet", "groupId", n.Strings("SecurityGroupId")))
		}))
	}
	if t := p.Structs("TagSpecification"); len(t) > 0 {
		out = append(out, wire.List("tagSpecificationSet", "item", t, func(t wire.Params) []wire.Node {
			tags := map[string]string{}
			for _, x := range t.Structs("Tag") {
				tags[x.Str("Key")] = x.Str("Value")
			}
			return nodes(wire.Text("resourceType", t.Str("ResourceType")), tagNode(tags))
		}))
	}
	return out
}

func describeLaunchTemplates(q *request) ([]wire.Node, error) {
	all := q.r.templates.all()
	ids, names := q.Strings("LaunchTemplateId"), q.Strings("LaunchTemplateName")
	if len(ids)+len(names) > 0 {
		all = nil
		for _, id := range ids {
			t, err := q.template(wire.NewParams(url.Values{"LaunchTemplateId": {id}}))
			if err != nil {
				return nil, err
			}
			all = append(all, t)
		}
		for _, name := range names {
			t, err := q.template(wire.NewParams(url.Values{"LaunchTemplateName": {name}}))
			if err != nil {
				return nil, err
			}
			all = append(all, t)
		}
	}
	all, err := filtered(q, all, func(t *launchTemplate) string { return t.id }, func(t *launchTemplate, name string) ([]string, bool) {
		if name == "launch-template-name" {
			return []string{t.name}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("launchTemplates", "item", all, q.templateNodes)), nil
}

func describeLaunchTemplateVersions(q *request) ([]wire.Node, error) {
	t, err := q.template(q.Params)
	if err != nil {
		return nil, err
	}
	low, high := q.Int("MinVersion", 0), q.Int("MaxVersion", 0)
	wanted := q.Strings("LaunchTemplateVersion")
	var out []templateVersion
	for _, w := range wanted {
		v, err := t.version(w)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	for n := len(t.versions) - 1; n >= 0 && len(wanted) == 0; n-- {
		v := t.versions[n]
		if (low == 0 || v.number >= low) && (high == 0 || v.number <= high) {
			out = append(out, v)
		}
	}
	return nodes(wire.List("launchTemplateVersionSet", "item", out, func(v templateVersion) []wire.Node { return q.versionNodes(t, v) })), nil
}

func modifyLaunchTemplate(q *request) ([]wire.Node, error) {
	t, err := q.template(q.Params)
	if err != nil {
		return nil, err
	}
	v, err := t.version(q.Str("SetDefaultVersion"))
	if err != nil {
		return nil, err
	}
	t.defaultVersion = v.number
	return nodes(wire.Elem("launchTemplate", q.templateNodes(t)...)), nil
}

func deleteLaunchTemplate(q *request) ([]wire.Node, error) {
	t, err := q.template(q.Params)
	if err != nil {
		return nil, err
	}
	out := nodes(wire.Elem("launchTemplate", q.templateNodes(t)...))
	q.r.templates.remove(t.id)
	delete(q.s.tags, t.id)
	return out, nil
}
