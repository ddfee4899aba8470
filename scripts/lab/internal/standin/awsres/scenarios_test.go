package awsres

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/require"
)

// scenario takes a few types through create, refresh, update and delete.
type scenario struct {
	name string
	run  func(w *world)
	// notMoto says why moto cannot serve the scenario; "" where it can.
	notMoto string
	// notGate says why the lab's gate does not serve the scenario; "" where it does.
	notGate string
}

const trustEC2 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// trustEC2Again means the same as trustEC2.
const trustEC2Again = `{"Statement":{"Principal":{"Service":["ec2.amazonaws.com"]},"Action":["sts:AssumeRole"],"Effect":"Allow"},"Version":"2012-10-17"}`

const putObjects = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::demo/*"}]}`

const getObjects = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::demo/*"}]}`

const thumbprint = "9e99a48a9960b14926bb7f3b02e22da2b0ab7280"

var scenarios = []scenario{
	{name: "network", run: network},
	{name: "private", run: private, notMoto: "moto does not describe endpoints as the service does"},
	{name: "iam", run: iamScenario},
	{name: "compute", run: compute},
	{name: "template", run: template},
	{name: "bucket", run: bucketScenario},
	{name: "ssm", run: ssmScenario},
	{name: "dns", run: dnsScenario},
	{name: "certificate", run: certificateScenario},
	{name: "cloudfront", run: cloudfrontScenario},
	{name: "loadbalancer", run: lbScenario, notGate: "the lab has no load balancers"},
	{name: "alarm", run: alarmScenario, notMoto: "moto does not speak the RPC v2 CBOR protocol"},
	{name: "logs", run: logsScenario},
	{name: "versions", run: versionsScenario},
	{name: "topic", run: topicScenario},
	{name: "rolesanywhere", run: anywhereScenario, notMoto: "moto has no Roles Anywhere"},
	{name: "cloudcontrol", run: cloudControlScenario, notMoto: "moto has no Cloud Control"},
	{name: "domain", run: domainScenario, notMoto: "moto issues certificates without looking at DNS"},
	{name: "account", run: accountScenario},
}

func tags(name string) m { return m{"Name": name} }

// net is a network to put things into.
type vpcSet struct{ vpc, igw, subnet, table, route, association *fixture }

func (w *world) network() vpcSet {
	w.t.Helper()
	var n vpcSet
	n.vpc = w.create("aws:ec2/vpc:Vpc", "net", m{"cidrBlock": "10.0.0.0/16", "enableDnsHostnames": true, "tags": tags("net")})
	id := n.vpc.id
	n.igw = w.create("aws:ec2/internetGateway:InternetGateway", "net-igw", m{"vpcId": id})
	n.subnet = w.create("aws:ec2/subnet:Subnet", "net-a", m{
		"vpcId": id, "cidrBlock": "10.0.0.0/24", "availabilityZone": "eu-central-1a", "mapPublicIpOnLaunch": true,
	})
	n.table = w.create("aws:ec2/routeTable:RouteTable", "net-rt", m{"vpcId": id})
	n.route = w.create("aws:ec2/route:Route", "net-default", m{"routeTableId": n.table.id, "destinationCidrBlock": "0.0.0.0/0", "gatewayId": n.igw.id})
	n.association = w.create("aws:ec2/routeTableAssociation:RouteTableAssociation", "net-a", m{"routeTableId": n.table.id, "subnetId": n.subnet.id})
	return n
}

func (n vpcSet) delete() {
	for _, f := range []*fixture{n.association, n.route, n.table, n.subnet, n.igw, n.vpc} {
		f.delete()
		f.gone()
	}
}

func network(w *world) {
	n := w.network()
	n.vpc.update(m{"cidrBlock": "10.0.0.0/16", "enableDnsHostnames": true, "tags": m{"Name": "net", "More": "yes"}}, "tags", "tagsAll")
	n.vpc.replaces(m{"cidrBlock": "10.1.0.0/16"}, "cidrBlock")
	n.subnet.update(m{
		"vpcId": n.vpc.id, "cidrBlock": "10.0.0.0/24", "availabilityZone": "eu-central-1a", "mapPublicIpOnLaunch": false,
	}, "mapPublicIpOnLaunch")

	group := w.create("aws:ec2/securityGroup:SecurityGroup", "server", m{"vpcId": n.vpc.id, "tags": tags("server")})
	require.Regexp(w.t, `^server-[0-9a-f]{7}$`, group.text("name"))
	require.Equal(w.t, "Managed by Pulumi", group.text("description"))
	require.Empty(w.t, group.state.GetFields()["egress"].GetListValue().GetValues(), "AWS's egress rule must be gone")
	group.replaces(m{"vpcId": n.vpc.id, "description": "other"}, "description")
	in := w.create("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "api", m{
		"securityGroupId": group.id, "ipProtocol": "tcp", "fromPort": 6443, "toPort": 6443, "cidrIpv4": "10.0.0.0/16", "tags": tags("api"),
	})
	in.replaces(m{
		"securityGroupId": group.id, "ipProtocol": "tcp", "fromPort": 6443, "toPort": 6443, "referencedSecurityGroupId": group.id,
	}, "cidrIpv4", "referencedSecurityGroupId")
	in.update(m{
		"securityGroupId": group.id, "ipProtocol": "6", "fromPort": 6443, "toPort": 6444, "cidrIpv4": "10.0.0.0/16", "tags": tags("api"),
	}, "toPort")
	out := w.create("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "out", m{
		"securityGroupId": group.id, "ipProtocol": "-1", "cidrIpv4": "0.0.0.0/0",
	})
	peer := w.create("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "peer", m{
		"securityGroupId": group.id, "ipProtocol": "-1", "referencedSecurityGroupId": group.id,
	})
	inline := w.create("aws:ec2/securityGroup:SecurityGroup", "inline", m{
		"vpcId": n.vpc.id, "ingress": []any{m{"protocol": "tcp", "fromPort": 443, "toPort": 443, "cidrBlocks": []any{"0.0.0.0/0"}}},
		"egress": []any{m{"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": []any{"0.0.0.0/0"}}},
	})
	inline.update(m{
		"vpcId": n.vpc.id, "ingress": []any{m{"protocol": "tcp", "fromPort": 80, "toPort": 80, "cidrBlocks": []any{"0.0.0.0/0"}}},
		"egress": []any{m{"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": []any{"0.0.0.0/0"}}},
	}, "ingress")
	for _, f := range []*fixture{inline, peer, out, in, group} {
		f.delete()
		f.gone()
	}
	n.delete()
}

// private is the ways out of a private subnet.
func private(w *world) {
	n := w.network()
	subnet := w.create("aws:ec2/subnet:Subnet", "private-a", m{"vpcId": n.vpc.id, "cidrBlock": "10.0.1.0/24", "availabilityZone": "eu-central-1b"})
	table := w.create("aws:ec2/routeTable:RouteTable", "private-a", m{"vpcId": n.vpc.id})
	eip := w.create("aws:ec2/eip:Eip", "nat", m{"domain": "vpc"})
	in := m{"subnetId": n.subnet.id, "allocationId": eip.text("allocationId"), "tags": tags("nat")}
	nat := w.create("aws:ec2/natGateway:NatGateway", "nat", in)
	eip.refresh()
	require.Equal(w.t, eip.text("publicIp"), nat.text("publicIp"))
	require.Equal(w.t, eip.text("associationId"), nat.text("associationId"))
	in["tags"] = m{"Name": "nat", "More": "yes"}
	nat.update(in, "tags", "tagsAll")
	nat.replaces(m{"subnetId": subnet.id, "allocationId": "eipalloc-1", "tags": in["tags"]}, "subnetId", "allocationId")
	_, failures := w.check(nat.token, nat.name, m{"subnetId": subnet.id, "connectivityType": "private", "allocationId": "eipalloc-1"}, nil)
	require.NotEmpty(w.t, failures)
	route := w.create("aws:ec2/route:Route", "nat", m{"routeTableId": table.id, "destinationCidrBlock": "0.0.0.0/0", "natGatewayId": nat.id})
	require.Equal(w.t, "active", route.text("state"))
	// Another gateway can't have the same address: EC2 makes it, and it fails.
	inputs, _ := w.check(nat.token, "other", m{"subnetId": n.subnet.id, "allocationId": eip.text("allocationId")}, nil)
	_, err := w.server.Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn(nat.token, "other"), Properties: inputs})
	require.ErrorContains(w.t, err, "Resource.AlreadyAssociated")

	group := w.create("aws:ec2/securityGroup:SecurityGroup", "endpoints", m{"vpcId": n.vpc.id})
	in = m{"vpcId": n.vpc.id, "serviceName": "com.amazonaws.eu-central-1.s3", "routeTableIds": []any{table.id}, "tags": tags("s3")}
	gateway := w.create("aws:ec2/vpcEndpoint:VpcEndpoint", "s3", in)
	require.Equal(w.t, "pl-6ea54007", gateway.text("prefixListId"))
	in["routeTableIds"] = []any{n.table.id, table.id}
	gateway.update(in, "routeTableIds")
	in["policy"] = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}]}`
	gateway.update(in, "policy")
	table.refresh()
	table.unchanged("with the endpoint's route, which is not the table's own")
	gateway.replaces(m{"vpcId": n.vpc.id, "serviceName": "com.amazonaws.eu-central-1.dynamodb"}, "serviceName")
	in = m{
		"vpcId": n.vpc.id, "serviceName": "com.amazonaws.eu-central-1.sts", "vpcEndpointType": "Interface", "privateDnsEnabled": true,
		"subnetIds": []any{subnet.id}, "securityGroupIds": []any{group.id}, "tags": tags("sts"),
	}
	sts := w.create("aws:ec2/vpcEndpoint:VpcEndpoint", "sts", in)
	require.Len(w.t, sts.state.GetFields()["networkInterfaceIds"].GetListValue().GetValues(), 1)
	require.Empty(w.t, sts.text("prefixListId"))
	in["subnetIds"] = []any{n.subnet.id, subnet.id}
	sts.update(in, "subnetIds")
	in["privateDnsEnabled"], in["tags"] = false, m{}
	sts.update(in, "privateDnsEnabled", "tags", "tagsAll")
	for _, f := range []*fixture{sts, gateway, group, route, nat, eip, table, subnet} {
		f.delete()
		f.gone()
	}
	n.delete()
}

func iamScenario(w *world) {
	role := w.create("aws:iam/role:Role", "node", m{"assumeRolePolicy": trustEC2, "tags": tags("node")})
	require.True(w.t, strings.HasPrefix(role.text("arn"), "arn:aws:iam::"))
	role.update(m{"assumeRolePolicy": trustEC2, "maxSessionDuration": 7200, "tags": m{"Name": "node2"}}, "maxSessionDuration", "tags", "tagsAll")
	// The same trust policy in another form is no change.
	inputs, failures := w.check(role.token, role.name, m{"assumeRolePolicy": trustEC2Again, "maxSessionDuration": 7200, "tags": m{"Name": "node2"}}, role.inputs)
	require.Empty(w.t, failures)
	require.Equal(w.t, pulumirpc.DiffResponse_DIFF_NONE, role.diff(inputs).GetChanges())
	role.replaces(m{"assumeRolePolicy": trustEC2, "name": "other"}, "name")

	inline := w.create("aws:iam/rolePolicy:RolePolicy", "node-demo", m{"role": role.id, "policy": putObjects})
	inline.update(m{"role": role.id, "policy": getObjects}, "policy")
	policy := w.create("aws:iam/policy:Policy", "demo", m{"policy": putObjects})
	policy.update(m{"policy": getObjects}, "policy")
	attachment := w.create("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "node-demo", m{"role": role.id, "policyArn": policy.id})
	moved, failures := w.check(attachment.token, attachment.name, m{"role": role.id, "policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}, attachment.inputs)
	require.Empty(w.t, failures)
	require.True(w.t, attachment.diff(moved).GetDeleteBeforeReplace())
	profile := w.create("aws:iam/instanceProfile:InstanceProfile", "node", m{"role": role.id})

	oidc := w.create("aws:iam/openIdConnectProvider:OpenIdConnectProvider", "issuer", m{
		"url": "https://issuer.example.com/path", "clientIdLists": []any{"sts.amazonaws.com"}, "thumbprintLists": []any{thumbprint},
	})
	require.Equal(w.t, "issuer.example.com/path", oidc.text("url"))
	if !w.moto { // which has no AddClientIDToOpenIDConnectProvider
		// Thumbprints, once set, cannot be cleared: their removal is no change.
		oidc.update(m{"url": "https://issuer.example.com/path", "clientIdLists": []any{"sts.amazonaws.com", "other"}}, "clientIdLists")
	}
	oidc.replaces(m{"url": "https://other.example.com", "clientIdLists": []any{"sts.amazonaws.com"}}, "url")
	for _, f := range []*fixture{oidc, profile, attachment, policy, inline, role} {
		f.delete()
		f.gone()
	}
}

func compute(w *world) {
	n := w.network()
	role := w.create("aws:iam/role:Role", "node", m{"assumeRolePolicy": trustEC2})
	profile := w.create("aws:iam/instanceProfile:InstanceProfile", "node", m{"role": role.id})
	group := w.create("aws:ec2/securityGroup:SecurityGroup", "node", m{"vpcId": n.vpc.id})
	ami := w.ami()
	in := m{
		"ami": ami, "instanceType": "t3.medium", "subnetId": n.subnet.id, "vpcSecurityGroupIds": []any{group.id}, "iamInstanceProfile": profile.id,
		"userData": "#cloud-config\nruncmd: [[true]]\n", "metadataOptions": m{"httpTokens": "required", "httpPutResponseHopLimit": 1},
		"rootBlockDevice": m{"volumeType": "gp3", "volumeSize": 20, "encrypted": true}, "creditSpecification": m{"cpuCredits": "standard"},
		"tags": tags("node"),
	}
	instance := w.create("aws:ec2/instance:Instance", "node", in)
	require.Equal(w.t, userDataHash(in["userData"]), instance.text("userData"))
	require.Equal(w.t, "running", instance.text("instanceState"))
	require.NotEmpty(w.t, instance.text("privateIp"))
	in["tags"] = m{"Name": "node", "Role": "agent"}
	instance.update(in, "tags", "tagsAll")
	other := m{}
	for k, v := range in {
		other[k] = v
	}
	other["ami"] = "ami-0123456789abcdef0"
	instance.replaces(other, "ami")
	other["ami"], other["userData"], other["userDataReplaceOnChange"] = in["ami"], "#cloud-config\n{}\n", true
	instance.replaces(other, "userData")
	in["metadataOptions"] = m{"httpTokens": "required", "httpPutResponseHopLimit": 2}
	instance.update(in, "metadataOptions")
	if !w.moto { // which decodes changed user data twice
		in["userData"] = "#cloud-config\nruncmd: [[false]]\n"
		instance.update(in, "userData")
	}
	in["instanceType"] = "t3.large"
	instance.update(in, "instanceType")
	require.Equal(w.t, "running", instance.text("instanceState"), "a change of type stops and starts the machine")
	second := w.create("aws:ec2/securityGroup:SecurityGroup", "second", m{"vpcId": n.vpc.id})
	in["vpcSecurityGroupIds"] = []any{second.id, group.id}
	instance.update(in, "vpcSecurityGroupIds")
	in["vpcSecurityGroupIds"] = []any{group.id, second.id} // a set has no order
	inputs, failures := w.check(instance.token, instance.name, in, instance.inputs)
	require.Empty(w.t, failures)
	require.Equal(w.t, pulumirpc.DiffResponse_DIFF_NONE, instance.diff(inputs).GetChanges())
	profile2 := w.create("aws:iam/instanceProfile:InstanceProfile", "other", m{"role": role.id})
	if !w.moto { // whose instances do not show another profile
		in["iamInstanceProfile"] = profile2.id
		instance.update(in, "iamInstanceProfile")
	}

	eip := w.create("aws:ec2/eip:Eip", "server", m{"domain": "vpc", "tags": tags("server")})
	require.NotEmpty(w.t, eip.text("publicIp"))
	association := w.create("aws:ec2/eipAssociation:EipAssociation", "server", m{"allocationId": eip.id, "instanceId": instance.id})
	instance.refresh()
	instance.unchanged("with an elastic address")
	for _, f := range []*fixture{association, eip, instance} {
		f.delete()
		f.gone()
	}
	for _, f := range []*fixture{second, group, profile2, profile, role} {
		f.delete()
	}
	n.delete()
}

// ami finds an image that the endpoint has.
func (w *world) ami() string {
	w.t.Helper()
	out, err := w.server.Invoke(context.Background(), &pulumirpc.InvokeRequest{Tok: "aws:ssm/getParameter:getParameter", Args: object(w.t, m{
		"name": "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
	})})
	if err == nil {
		if v, ok := out.GetReturn().AsMap()["insecureValue"].(string); ok {
			return v
		}
	}
	found := w.invoke("aws:ec2/getAmi:getAmi", m{"owners": []any{"amazon"}, "mostRecent": true})
	return found["id"].(string)
}

func template(w *world) {
	in := m{
		"imageId": w.ami(), "instanceType": "t3.medium", "metadataOptions": m{"httpTokens": "required", "httpPutResponseHopLimit": 1},
		"userData": base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\n")), "tagSpecifications": []any{m{"resourceType": "instance", "tags": m{"Name": "x"}}},
		"blockDeviceMappings": []any{m{"deviceName": "/dev/sda1", "ebs": m{"volumeSize": 20, "volumeType": "gp3", "encrypted": "true"}}},
	}
	lt := w.create("aws:ec2/launchTemplate:LaunchTemplate", "node", in)
	require.EqualValues(w.t, 1, lt.state.GetFields()["latestVersion"].GetNumberValue())
	in["instanceType"] = "t3.large"
	lt.update(in, "instanceType")
	require.EqualValues(w.t, 2, lt.state.GetFields()["latestVersion"].GetNumberValue())
	require.EqualValues(w.t, 1, lt.state.GetFields()["defaultVersion"].GetNumberValue(), "the default version does not move")
	lt.delete()
	lt.gone()
}

func bucketScenario(w *world) {
	const name = "k3s-aws-auth-test-issuer"
	bucket := w.create("aws:s3/bucketV2:BucketV2", "issuer", m{"bucket": name, "forceDestroy": true, "tags": tags("issuer")})
	require.Equal(w.t, name+".s3.eu-central-1.amazonaws.com", bucket.text("bucketRegionalDomainName"))
	bucket.update(m{"bucket": name, "forceDestroy": true, "tags": m{"Name": "other"}}, "tags", "tagsAll")
	ownership := w.create("aws:s3/bucketOwnershipControls:BucketOwnershipControls", "issuer", m{
		"bucket": name, "rule": m{"objectOwnership": "BucketOwnerEnforced"},
	})
	block := w.create("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "issuer", m{
		"bucket": name, "blockPublicAcls": true, "ignorePublicAcls": true,
	})
	statement := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + name + `/keys.json"}]}`
	if !w.moto {
		time.Sleep(5 * time.Second) // S3 refuses a public policy for a while after the block allows it, and the provider does not try again
	}
	policy := w.create("aws:s3/bucketPolicy:BucketPolicy", "issuer", m{"bucket": name, "policy": statement})
	policy.update(m{"bucket": name, "policy": strings.Replace(statement, "keys.json", "*", 1)}, "policy")
	object := w.create("aws:s3/bucketObjectv2:BucketObjectv2", "keys.json", m{
		"bucket": name, "content": `{"keys":[]}`, "contentType": "application/json", "cacheControl": "max-age=300",
	})
	require.Equal(w.t, "keys.json", object.id)
	object.update(m{
		"bucket": name, "content": `{"keys":[1]}`, "contentType": "application/json", "cacheControl": "max-age=60",
	}, "content", "cacheControl")
	object.replaces(m{"bucket": name, "key": "other.json", "content": ""}, "key")
	versioning := w.create("aws:s3/bucketVersioningV2:BucketVersioningV2", "issuer", m{"bucket": name, "versioningConfiguration": m{"status": "Enabled"}})
	versioning.update(m{"bucket": name, "versioningConfiguration": m{"status": "Suspended"}}, "versioningConfiguration")
	encryption := w.create("aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", "issuer", m{
		"bucket": name, "rules": []any{m{"applyServerSideEncryptionByDefault": m{"sseAlgorithm": "AES256"}}},
	})
	for _, f := range []*fixture{encryption, versioning} {
		f.delete()
	}
	for _, f := range []*fixture{policy, block, ownership} {
		f.delete()
		f.gone()
	}
	bucket.delete() // with the object in it: forceDestroy
	bucket.gone()
	object.gone()
	object.delete()
}

func ssmScenario(w *world) {
	p := w.create("aws:ssm/parameter:Parameter", "key", m{"name": "/lab/server/key", "type": "SecureString", "value": "one", "tags": tags("key")})
	require.True(w.t, p.secret("value"))
	require.Equal(w.t, "one", p.text("value"))
	require.True(w.t, strings.HasSuffix(p.text("arn"), ":parameter/lab/server/key"), p.text("arn"))
	p.update(m{"name": "/lab/server/key", "type": "SecureString", "value": "two", "tags": tags("key")}, "value")
	require.EqualValues(w.t, 2, p.state.GetFields()["version"].GetNumberValue())
	got := w.invoke("aws:ssm/getParameter:getParameter", m{"name": "/lab/server/key"})
	require.IsType(w.t, m{}, got["value"], "the value of getParameter is secret")
	plain := w.create("aws:ssm/parameter:Parameter", "plain", m{"name": "/lab/plain", "type": "String", "insecureValue": "seen"})
	for _, f := range []*fixture{plain, p} {
		f.delete()
		f.gone()
	}
}

func dnsScenario(w *world) {
	zone := w.create("aws:route53/zone:Zone", "zone", m{"name": "example.org", "forceDestroy": true, "tags": tags("zone")})
	require.Len(w.t, zone.state.GetFields()["nameServers"].GetListValue().GetValues(), 4)
	record := w.create("aws:route53/record:Record", "cname", m{
		"zoneId": zone.id, "name": "_a.Issuer.example.org.", "type": "CNAME", "ttl": 60, "records": []any{"_b.acm-validations.aws."},
	})
	require.Equal(w.t, zone.id+"__a.issuer.example.org_CNAME", record.id)
	require.Equal(w.t, "_a.issuer.example.org", record.text("fqdn"))
	record.update(m{
		"zoneId": zone.id, "name": "_a.Issuer.example.org.", "type": "CNAME", "ttl": 300, "records": []any{"_b.acm-validations.aws."},
	}, "ttl")
	txt := w.create("aws:route53/record:Record", "txt", m{"zoneId": zone.id, "name": "txt", "type": "TXT", "ttl": 60, "records": []any{"hello world"}})
	require.Equal(w.t, "txt.example.org", txt.text("fqdn"))
	alias := w.create("aws:route53/record:Record", "alias", m{
		"zoneId": zone.id, "name": "issuer.example.org", "type": "A",
		"aliases": []any{m{"name": "d111.cloudfront.net", "zoneId": distributionZone, "evaluateTargetHealth": false}},
	})
	found := w.invoke("aws:route53/getZone:getZone", m{"name": "example.org."})
	require.Equal(w.t, zone.id, found["zoneId"])
	for _, f := range []*fixture{alias, record} {
		f.delete()
		f.gone()
	}
	zone.delete() // with the TXT record in it: forceDestroy
	zone.gone()
	txt.gone()
}

func certificateScenario(w *world) {
	cert := w.create("aws:acm/certificate:Certificate", "issuer", m{"domainName": "issuer.example.org", "validationMethod": "DNS", "tags": tags("issuer")})
	options := cert.state.GetFields()["domainValidationOptions"].GetListValue().GetValues()
	require.Len(w.t, options, 1)
	require.Equal(w.t, "issuer.example.org", options[0].GetStructValue().GetFields()["domainName"].GetStringValue())
	require.True(w.t, strings.HasSuffix(options[0].GetStructValue().GetFields()["resourceRecordName"].GetStringValue(), "."))
	cert.replaces(m{"domainName": "other.example.org", "validationMethod": "DNS"}, "domainName")
	cert.update(m{"domainName": "issuer.example.org", "validationMethod": "DNS", "tags": m{"Name": "other"}}, "tags", "tagsAll")
	cert.delete()
	cert.gone()
}

func distributionInput(oac, domain string) m {
	return m{
		"enabled": true, "comment": "issuer", "priceClass": "PriceClass_100",
		"origins": []any{m{"originId": "bucket", "domainName": domain, "originAccessControlId": oac}},
		"defaultCacheBehavior": m{
			"targetOriginId": "bucket", "viewerProtocolPolicy": "https-only", "allowedMethods": []any{"GET", "HEAD"},
			"cachedMethods": []any{"GET", "HEAD"}, "cachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
		},
		"restrictions":      m{"geoRestriction": m{"restrictionType": "none"}},
		"viewerCertificate": m{"cloudfrontDefaultCertificate": true, "minimumProtocolVersion": "TLSv1"},
		"tags":              tags("issuer"),
	}
}

func cloudfrontScenario(w *world) {
	bucket := w.create("aws:s3/bucketV2:BucketV2", "origin", m{"bucket": "k3s-aws-auth-test-origin"})
	oac := w.create("aws:cloudfront/originAccessControl:OriginAccessControl", "issuer", m{
		"originAccessControlOriginType": "s3", "signingBehavior": "always", "signingProtocol": "sigv4",
	})
	oac.update(m{"originAccessControlOriginType": "s3", "signingBehavior": "no-override", "signingProtocol": "sigv4"}, "signingBehavior")
	in := distributionInput(oac.id, bucket.text("bucketRegionalDomainName"))
	if w.moto { // which forgets originAccessControlId
		delete(in["origins"].([]any)[0].(m), "originAccessControlId")
	}
	d := w.create("aws:cloudfront/distribution:Distribution", "issuer", in)
	require.Equal(w.t, distributionZone, d.text("hostedZoneId"))
	require.Equal(w.t, "Deployed", d.text("status"))
	require.True(w.t, strings.HasSuffix(d.text("domainName"), ".cloudfront.net"))
	in["comment"] = "other"
	d.update(in, "comment")
	d.delete()
	d.gone()
	if !w.moto { // which fails to say that an access control is gone
		oac.delete()
		oac.gone()
	}
	bucket.delete()
}

func lbScenario(w *world) {
	n := w.network()
	lb := w.create("aws:lb/loadBalancer:LoadBalancer", "api", m{
		"loadBalancerType": "network", "subnets": []any{n.subnet.id}, "enableCrossZoneLoadBalancing": true, "tags": tags("api"),
	})
	group := w.create("aws:lb/targetGroup:TargetGroup", "api", m{
		"port": 6443, "protocol": "TCP", "vpcId": n.vpc.id, "healthCheck": m{"protocol": "TCP", "interval": 10}, "deregistrationDelay": 30,
	})
	group.update(m{
		"port": 6443, "protocol": "TCP", "vpcId": n.vpc.id, "healthCheck": m{"protocol": "TCP", "interval": 30}, "deregistrationDelay": 60,
	}, "healthCheck", "deregistrationDelay")
	group.replaces(m{"port": 6444, "protocol": "TCP", "vpcId": n.vpc.id, "healthCheck": m{"protocol": "TCP"}}, "port")
	listener := w.create("aws:lb/listener:Listener", "api", m{
		"loadBalancerArn": lb.id, "port": 6443, "protocol": "TCP", "defaultActions": []any{m{"type": "forward", "targetGroupArn": group.id}},
	})
	for _, f := range []*fixture{listener, lb, group} {
		f.delete()
		f.gone()
	}
	n.delete()
}

func alarmScenario(w *world) {
	in := m{
		"comparisonOperator": "LessThanThreshold", "evaluationPeriods": 2, "metricName": "Renewals", "namespace": "Lab", "period": 300,
		"statistic": "Sum", "threshold": 1, "dimensions": m{"Cluster": "lab"}, "alarmActions": []any{"arn:aws:sns:eu-central-1:123456789012:ops"},
		"tags": tags("alarm"),
	}
	alarm := w.create("aws:cloudwatch/metricAlarm:MetricAlarm", "renewals", in)
	in["threshold"] = 2
	alarm.update(in, "threshold")
	alarm.delete()
	alarm.gone()
}

func accountScenario(w *world) {
	who := w.invoke("aws:index/getCallerIdentity:getCallerIdentity", m{})
	require.Len(w.t, who["accountId"], 12)
	partition := w.invoke("aws:index/getPartition:getPartition", m{})
	require.Equal(w.t, "aws", partition["partition"])
	require.Equal(w.t, "com.amazonaws", partition["reverseDnsPrefix"])
	region := w.invoke("aws:index/getRegion:getRegion", m{})
	require.Equal(w.t, "Europe (Frankfurt)", region["description"])
	zones := w.invoke("aws:index/getAvailabilityZones:getAvailabilityZones", m{"state": "available"})
	require.Contains(w.t, zones["names"], "eu-central-1a")
}

func anywhereScenario(w *world) {
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rolesanywhere.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`
	role := w.create("aws:iam/role:Role", "pod", m{"assumeRolePolicy": trust})
	in := m{
		"source":  m{"sourceType": "CERTIFICATE_BUNDLE", "sourceData": m{"x509CertificateData": testCA(w.t)}},
		"enabled": true, "tags": tags("ca"),
	}
	anchor := w.create("aws:rolesanywhere/trustAnchor:TrustAnchor", "ca", in)
	in["source"] = m{"sourceType": "CERTIFICATE_BUNDLE", "sourceData": m{"x509CertificateData": testCA(w.t)}}
	anchor.update(in, "source")
	profile := w.create("aws:rolesanywhere/profile:Profile", "pods", m{
		"roleArns": []any{role.text("arn")}, "durationSeconds": 3600, "enabled": true, "tags": tags("pods"),
	})
	profile.update(m{"roleArns": []any{role.text("arn")}, "durationSeconds": 900, "enabled": true, "tags": tags("pods")}, "durationSeconds")
	for _, f := range []*fixture{profile, anchor, role} {
		f.delete()
		f.gone()
	}
}

// cloudControlScenario is a profile by Cloud Control.
func cloudControlScenario(w *world) {
	t := w.t
	t.Helper()
	const token = "aws:cloudcontrol/resource:Resource"
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rolesanywhere.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`
	one := w.create("aws:iam/role:Role", "one", m{"assumeRolePolicy": trust})
	two := w.create("aws:iam/role:Role", "two", m{"assumeRolePolicy": trust})
	of := func(rest string, roles ...*fixture) m {
		var arns []string
		for _, r := range roles {
			arns = append(arns, strconv.Quote(r.text("arn")))
		}
		return m{"typeName": "AWS::RolesAnywhere::Profile",
			"desiredState": `{"AcceptRoleSessionName":true,"Enabled":true,"Name":"pods","RoleArns":[` + strings.Join(arns, ",") + `]` + rest + `}`}
	}
	pods := w.create(token, "pods", of(`,"Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":"2"}]`, one))
	require.True(t, pods.secret("schema"), "the provider marks the schema as sensitive")
	properties := func() m {
		var out m
		require.NoError(t, json.Unmarshal([]byte(pods.text("properties")), &out))
		return out
	}
	require.Regexp(t, "^arn:aws:rolesanywhere:eu-central-1:[0-9]{12}:profile/"+pods.id+"$", properties()["ProfileArn"], "the ARN ends in the identifier")
	require.Equal(t, true, properties()["AcceptRoleSessionName"])
	require.EqualValues(t, 3600, properties()["DurationSeconds"])

	pods.update(of(`,"DurationSeconds":900,"Tags":[{"Key":"b","Value":"3"}]`, one, two), "desiredState")
	require.Equal(t, []any{one.text("arn"), two.text("arn")}, properties()["RoleArns"])
	require.Equal(t, []any{m{"Key": "b", "Value": "3"}}, properties()["Tags"])
	pods.update(of(`,"DurationSeconds":900,"Tags":[{"Key":"b","Value":"3"}]`, two), "desiredState")
	require.Equal(t, []any{two.text("arn")}, properties()["RoleArns"])

	// What others change is seen in the properties, and differs in nothing that the program said.
	client, err := configure(context.Background(), m{"region": "eu-central-1"})
	require.NoError(t, err)
	_, err = client.anywhere().DisableProfile(context.Background(), &rolesanywhere.DisableProfileInput{ProfileId: &pods.id})
	require.NoError(t, err)
	pods.refresh()
	require.Equal(t, false, properties()["Enabled"])
	pods.unchanged("after somebody else's change")

	for state, want := range map[string]string{
		`{"Name":"x","RoleArns":[],"RequireCertificate":true}`: "extraneous key [RequireCertificate] is not permitted",
		`{"Name":"x"}`: "required key [RoleArns] not found",
		`{"Name":"x","RoleArns":[],"AcceptRoleSessionName":"true"}`:   "expected type: boolean, found: string",
		`{"Name":"x","RoleArns":["arn:aws:iam::1:role/a"]`:            "unexpected EOF",
		`{"Name":"x","RoleArns":[],"DurationSeconds":43201}`:          "43201 is not less or equal to 43200",
		`{"Name":"x","RoleArns":[],"Tags":[{"Key":"a","Wert":"b"}]}`:  "extraneous key [Wert]",
		`{"Name":"x","RoleArns":[],"Tags":{"a":"b"},"Enabled":"yes"}`: "expected type: array, found: object",
	} {
		_, failures := w.check(token, "bad", m{"typeName": "AWS::RolesAnywhere::Profile", "desiredState": state}, nil)
		require.Len(t, failures, 1, state)
		require.Contains(t, failures[0].GetReason(), want, state)
	}
	_, failures := w.check(token, "bad", m{"typeName": "Own::Lab::Thing", "desiredState": "{}"}, nil)
	require.Len(t, failures, 1)
	require.Contains(t, failures[0].GetReason(), "reading CloudFormation Type (Own::Lab::Thing)")

	// A handler's failure comes out in waiting for it, and nothing is left.
	inputs, failures := w.check(token, "gone", of("", &fixture{state: object(t, m{"arn": "arn:aws:iam::111122223333:role/gone"})}), nil)
	require.Empty(t, failures)
	_, err = w.server.Create(context.Background(), &pulumirpc.CreateRequest{Urn: urn(token, "gone"), Properties: inputs})
	require.ErrorContains(t, err, "waiting for Cloud Control API (AWS::RolesAnywhere::Profile) Resource () create: unexpected state 'FAILED'")
	require.ErrorContains(t, err, "NotFound: The role with name gone cannot be found")
	// There is no importer: the type of what is to be imported is not known.
	_, err = w.server.Read(context.Background(), &pulumirpc.ReadRequest{Id: pods.id, Urn: urn(token, "imported")})
	require.ErrorContains(t, err, "at 'typeName' failed to satisfy constraint")
	for _, f := range []*fixture{pods, two, one} {
		f.delete()
		f.gone()
	}
}

// domainScenario is the chain of a domain of its own: certificate, its proof in DNS, distribution, alias.
func domainScenario(w *world) {
	global := newWorld(w.t, "us-east-1", nil)
	zone := w.create("aws:route53/zone:Zone", "zone", m{"name": "example.org"})
	cert := global.create("aws:acm/certificate:Certificate", "issuer", m{"domainName": "issuer.example.org", "validationMethod": "DNS"})
	proof := cert.state.GetFields()["domainValidationOptions"].GetListValue().GetValues()[0].GetStructValue().AsMap()
	record := w.create("aws:route53/record:Record", "proof", m{
		"zoneId": zone.id, "name": proof["resourceRecordName"], "type": proof["resourceRecordType"], "ttl": 60, "records": []any{proof["resourceRecordValue"]},
	})
	validation := global.create("aws:acm/certificateValidation:CertificateValidation", "issuer", m{
		"certificateArn": cert.id, "validationRecordFqdns": []any{record.text("fqdn")},
	})
	bucket := w.create("aws:s3/bucketV2:BucketV2", "origin", m{"bucket": "k3s-aws-auth-test-origin"})
	oac := w.create("aws:cloudfront/originAccessControl:OriginAccessControl", "issuer", m{
		"originAccessControlOriginType": "s3", "signingBehavior": "always", "signingProtocol": "sigv4",
	})
	cache := w.create("aws:cloudfront/cachePolicy:CachePolicy", "short", m{
		"minTtl": 0, "defaultTtl": 60, "maxTtl": 300, "parametersInCacheKeyAndForwardedToOrigin": m{
			"cookiesConfig": m{"cookieBehavior": "none"}, "headersConfig": m{"headerBehavior": "none"},
			"queryStringsConfig": m{"queryStringBehavior": "none"},
		},
	})
	headers := w.create("aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy", "hsts", m{
		"securityHeadersConfig": m{"strictTransportSecurity": m{"accessControlMaxAgeSec": 31536000, "override": true}},
	})
	in := distributionInput(oac.id, bucket.text("bucketRegionalDomainName"))
	behavior := in["defaultCacheBehavior"].(m)
	behavior["cachePolicyId"], behavior["responseHeadersPolicyId"] = cache.id, headers.id
	in["aliases"] = []any{"issuer.example.org"}
	in["viewerCertificate"] = m{"acmCertificateArn": validation.text("certificateArn"), "sslSupportMethod": "sni-only", "minimumProtocolVersion": "TLSv1.2_2021"}
	d := w.create("aws:cloudfront/distribution:Distribution", "issuer", in)
	alias := w.create("aws:route53/record:Record", "alias", m{
		"zoneId": zone.id, "name": "issuer.example.org", "type": "A",
		"aliases": []any{m{"name": d.text("domainName"), "zoneId": d.text("hostedZoneId"), "evaluateTargetHealth": false}},
	})
	managed := w.invoke("aws:cloudfront/getCachePolicy:getCachePolicy", m{"name": "Managed-CachingOptimized"})
	require.Equal(w.t, "658327ea-f89d-4fab-a63d-7e88639e58f6", managed["id"])
	for _, f := range []*fixture{alias, d, headers, cache, oac, bucket, validation, record} {
		f.delete()
	}
	for _, f := range []*fixture{cert, zone} {
		f.delete()
		f.gone()
	}
}
