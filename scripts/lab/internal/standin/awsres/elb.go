package awsres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var elbResources = map[string]*resource{
	"aws:lb/loadBalancer:LoadBalancer": {
		Create: createLB, Read: readLB, Update: updateLB, Delete: deleteLB, Check: checkLB, Diff: diffLB,
	},
	"aws:lb/targetGroup:TargetGroup": {
		Create: createTargetGroup, Read: readTargetGroup, Update: updateTargetGroup, Delete: deleteTargetGroup, Check: checkTargetGroup,
	},
	"aws:lb/targetGroupAttachment:TargetGroupAttachment": {Create: createTarget, Read: readTarget, Delete: deleteTarget},
	"aws:lb/listener:Listener": {
		Create: createListener, Read: readListener, Update: updateListener, Delete: deleteListener, Check: checkListener,
	},
}

// elbZones are the Route 53 zones of load balancer names by region: of application ones, then of network ones.
var elbZones = map[string][2]string{
	"us-east-1": {"Z35SXDOTRQ7X7K", "Z26RNL4JYFTOTI"}, "us-east-2": {"Z3AADJGX6KTTL2", "ZLMOA37VPKANP"},
	"us-west-1": {"Z368ELLRRE2KJ0", "Z24FKFUX50B4VW"}, "us-west-2": {"Z1H1FL5HABSF5", "Z18D5FSROUN65G"},
	"eu-central-1": {"Z215JYRZR1TBD5", "Z3F0SRJ5LGBH90"}, "eu-west-1": {"Z32O12XQLNTSW2", "Z2IFOLAFXWLO4F"},
	"eu-west-2": {"ZHURV8PSTC4K8", "ZD4D7Y8KGAS4G"}, "eu-west-3": {"Z3Q77PNBQS71R4", "Z1CMS0P5QUZ6D5"},
	"eu-north-1": {"Z23TAZ6LKFMNIO", "Z1UDT6IFJ4EJM"}, "ap-southeast-1": {"Z1LMS91P8CMLE5", "ZKVM4W9LS7TM"},
	"ap-southeast-2": {"Z1GM3OXH4ZPM65", "ZCT6FZBF4DROD"}, "ap-northeast-1": {"Z14GRHDCWA56QT", "Z31USIVHYNEOWT"},
}

func elbTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range sorted(tags) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

func (c *Client) readELBTags(ctx context.Context, arn string) (m, error) {
	out, err := c.elb().DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: []string{arn}})
	if err != nil {
		return m{}, optional(err)
	}
	tags := m{}
	for _, d := range out.TagDescriptions {
		for _, t := range d.Tags {
			tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
	}
	return tags, nil
}

func updateELBTags(ctx context.Context, c *call) error {
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		if _, err := c.Client.elb().RemoveTags(ctx, &elb.RemoveTagsInput{ResourceArns: []string{c.ID}, TagKeys: remove}); err != nil {
			return fmt.Errorf("removing tags of %s: %w", c.ID, err)
		}
	}
	if len(set) > 0 {
		if _, err := c.Client.elb().AddTags(ctx, &elb.AddTagsInput{ResourceArns: []string{c.ID}, Tags: elbTags(set)}); err != nil {
			return fmt.Errorf("setting tags of %s: %w", c.ID, err)
		}
	}
	return nil
}

// attributes is a table of settings that the ELB API holds as texts by key: the property, the key and the kinds of load
// balancer (or target group protocol) that have it ("" for all).
type attribute struct {
	property, key string
	only          string
}

// text gives a property the form of an attribute.
func text(v any) string {
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		return v
	}
	return ""
}

// untext gives an attribute the form of a property of the kind.
func untext(s, kind string) any {
	switch kind {
	case "bool":
		return s == "true"
	case "int", "number":
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil
		}
		return f
	}
	return s
}

// --- Load balancer

var lbAttributes = []attribute{
	{"enableDeletionProtection", "deletion_protection.enabled", ""},
	{"enableCrossZoneLoadBalancing", "load_balancing.cross_zone.enabled", "network gateway"},
	{"enableHttp2", "routing.http2.enabled", "application"},
	{"idleTimeout", "idle_timeout.timeout_seconds", "application"},
	{"clientKeepAlive", "client_keep_alive.seconds", "application"},
	{"desyncMitigationMode", "routing.http.desync_mitigation_mode", "application"},
	{"dnsRecordClientRoutingPolicy", "dns_record.client_routing_policy", "network"},
	{"dropInvalidHeaderFields", "routing.http.drop_invalid_header_fields.enabled", "application"},
	{"enableTlsVersionAndCipherSuiteHeaders", "routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "application"},
	{"enableWafFailOpen", "waf.fail_open.enabled", "application"},
	{"enableXffClientPort", "routing.http.xff_client_port.enabled", "application"},
	{"enableZonalShift", "zonal_shift.config.enabled", "application network"},
	{"preserveHostHeader", "routing.http.preserve_host_header.enabled", "application"},
	{"xffHeaderProcessingMode", "routing.http.xff_header_processing.mode", "application"},
}

func checkLB(c *checker) {
	if s, ok := c.In["name"].(string); ok && (strings.HasPrefix(s, "-") || strings.HasSuffix(s, "-")) {
		c.Fail("name", "%q cannot begin or end with a hyphen: %q.", "name", s)
	}
	for _, name := range []string{"connectionLogs", "minimumLoadBalancerCapacity", "ipamPools"} {
		if c.Given(name) {
			c.Fail(name, "The stand-in aws provider does not set %q.", name)
		}
	}
}

// diffLB adds what a network load balancer cannot change in place.
func diffLB(d *diff) {
	if engine.Str(d.In, "loadBalancerType") != "network" {
		return
	}
	if d.Has("subnets") {
		if _, removed := engine.SetChanges(engine.Strs(d.Old, "subnets"), engine.Strs(d.In, "subnets")); len(removed) > 0 {
			d.Replace("subnets")
		}
	}
	if (len(engine.Strs(d.Old, "securityGroups")) == 0) != (len(engine.Strs(d.In, "securityGroups")) == 0) {
		d.Replace("securityGroups")
	}
}

func createLB(ctx context.Context, c *call) (string, m, error) {
	name, kind := engine.Str(c.In, "name"), types.LoadBalancerTypeEnum(engine.Str(c.In, "loadBalancerType"))
	existing, err := c.Client.elb().DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{name}})
	if err == nil && len(existing.LoadBalancers) > 0 {
		return "", nil, fmt.Errorf("creating ELBv2 %s Load Balancer (%s): the name exists already", kind, name)
	}
	if err = absent(err, "LoadBalancerNotFound"); err != nil {
		return "", nil, fmt.Errorf("creating ELBv2 %s Load Balancer (%s): %w", kind, name, err)
	}
	in := &elb.CreateLoadBalancerInput{
		Name: &name, Type: kind, Subnets: engine.Strs(c.In, "subnets"), SecurityGroups: engine.Strs(c.In, "securityGroups"),
		IpAddressType: types.IpAddressType(engine.Str(c.In, "ipAddressType")), CustomerOwnedIpv4Pool: engine.StrPtr(c.In, "customerOwnedIpv4Pool"),
		Tags: elbTags(c.Tags()),
	}
	if engine.Bool(c.In, "internal") {
		in.Scheme = types.LoadBalancerSchemeEnumInternal
	}
	for _, s := range engine.Objs(c.In, "subnetMappings") {
		in.SubnetMappings = append(in.SubnetMappings, types.SubnetMapping{
			SubnetId: engine.StrPtr(s, "subnetId"), AllocationId: engine.StrPtr(s, "allocationId"),
			PrivateIPv4Address: engine.StrPtr(s, "privateIpv4Address"), IPv6Address: engine.StrPtr(s, "ipv6Address"),
		})
	}
	out, err := c.Client.elb().CreateLoadBalancer(ctx, in)
	if err != nil {
		return "", nil, fmt.Errorf("creating ELBv2 %s Load Balancer (%s): %w", kind, name, err)
	}
	if len(out.LoadBalancers) == 0 {
		return "", nil, fmt.Errorf("creating ELBv2 %s Load Balancer (%s): the answer names no load balancer", kind, name)
	}
	arn := aws.ToString(out.LoadBalancers[0].LoadBalancerArn)
	err = engine.Wait(ctx, 10*time.Minute, "ELBv2 Load Balancer "+name, func(ctx context.Context) (bool, error) {
		lb, err := findLB(ctx, c.Client, arn)
		if err != nil {
			return false, err
		}
		if lb.State != nil && lb.State.Code == types.LoadBalancerStateEnumFailed {
			return false, fmt.Errorf("ELBv2 Load Balancer %s: %s", name, aws.ToString(lb.State.Reason))
		}
		return lb.State == nil || lb.State.Code == types.LoadBalancerStateEnumActive, nil
	})
	if err != nil {
		return arn, nil, err
	}
	return arn, nil, lbAttributesUpdate(ctx, c, arn, true)
}

// lbAttributesUpdate sends the attributes that differ from the API's initial values (new) or from the old state.
func lbAttributesUpdate(ctx context.Context, c *call, arn string, isNew bool) error {
	kind := engine.Str(c.In, "loadBalancerType")
	var attributes []types.LoadBalancerAttribute
	add := func(key, value string) {
		attributes = append(attributes, types.LoadBalancerAttribute{Key: aws.String(key), Value: aws.String(value)})
	}
	for _, a := range lbAttributes {
		if a.only != "" && !strings.Contains(a.only, kind) {
			continue
		}
		p := c.Type.Property(a.property)
		if v, ok := c.In[a.property]; ok && (c.Changed[a.property] || isNew && v != p.DefaultValue) {
			add(a.key, text(v))
		}
	}
	if logs := engine.Obj(c.In, "accessLogs"); logs != nil && (isNew || c.Changed["accessLogs"]) {
		add("access_logs.s3.enabled", text(engine.Bool(logs, "enabled")))
		if engine.Bool(logs, "enabled") {
			add("access_logs.s3.bucket", engine.Str(logs, "bucket"))
			add("access_logs.s3.prefix", engine.Str(logs, "prefix"))
		}
	}
	if len(attributes) == 0 {
		return nil
	}
	if _, err := c.Client.elb().ModifyLoadBalancerAttributes(ctx, &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: &arn, Attributes: attributes}); err != nil {
		return fmt.Errorf("modifying ELBv2 Load Balancer (%s) attributes: %w", arn, err)
	}
	return nil
}

func findLB(ctx context.Context, c *Client, arn string) (*types.LoadBalancer, error) {
	out, err := c.elb().DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{arn}})
	if is(err, "LoadBalancerNotFound") || err == nil && len(out.LoadBalancers) == 0 {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading ELBv2 Load Balancer (%s): %w", arn, err)
	}
	return &out.LoadBalancers[0], nil
}

func suffixOf(arn, after string) string {
	if i := strings.Index(arn, after); i >= 0 {
		return arn[i+len(after):]
	}
	return ""
}

func readLB(ctx context.Context, c *call) (m, error) {
	lb, err := findLB(ctx, c.Client, c.ID)
	if err != nil {
		return nil, err
	}
	zone := aws.ToString(lb.CanonicalHostedZoneId)
	if zone == "" {
		zones := elbZones[c.Client.Region]
		zone = zones[0]
		if lb.Type == types.LoadBalancerTypeEnumNetwork {
			zone = zones[1]
		}
	}
	subnets, mappings := []string{}, []any{}
	for _, z := range lb.AvailabilityZones {
		subnets = append(subnets, aws.ToString(z.SubnetId))
		mapping := m{"subnetId": aws.ToString(z.SubnetId)}
		for _, a := range z.LoadBalancerAddresses {
			mapping["allocationId"], mapping["privateIpv4Address"] = aws.ToString(a.AllocationId), aws.ToString(a.PrivateIPv4Address)
			mapping["ipv6Address"] = aws.ToString(a.IPv6Address)
		}
		mappings = append(mappings, mapping)
	}
	state := m{
		"arn": c.ID, "arnSuffix": suffixOf(c.ID, ":loadbalancer/"), "name": aws.ToString(lb.LoadBalancerName), "dnsName": aws.ToString(lb.DNSName),
		"vpcId": aws.ToString(lb.VpcId), "zoneId": zone, "internal": lb.Scheme == types.LoadBalancerSchemeEnumInternal, "loadBalancerType": string(lb.Type),
		"ipAddressType": string(lb.IpAddressType), "securityGroups": engine.SortedList(lb.SecurityGroups), "subnets": engine.SortedList(subnets),
		"subnetMappings": mappings, "customerOwnedIpv4Pool": aws.ToString(lb.CustomerOwnedIpv4Pool),
	}
	out, err := c.Client.elb().DescribeLoadBalancerAttributes(ctx, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: &c.ID})
	if optional(err) != nil {
		return nil, fmt.Errorf("reading ELBv2 Load Balancer (%s) attributes: %w", c.ID, err)
	}
	if err == nil {
		have := map[string]string{}
		for _, a := range out.Attributes {
			have[aws.ToString(a.Key)] = aws.ToString(a.Value)
		}
		for _, a := range lbAttributes {
			if v, ok := have[a.key]; ok && (a.only == "" || strings.Contains(a.only, string(lb.Type))) {
				state[a.property] = untext(v, c.Type.Property(a.property).Type)
			}
		}
		if have["access_logs.s3.enabled"] == "true" {
			state["accessLogs"] = m{"enabled": true, "bucket": have["access_logs.s3.bucket"], "prefix": have["access_logs.s3.prefix"]}
		}
	}
	// Capacity units of a balancer are not in the state of one that has none (elbv2/load_balancer.go).
	if _, err := c.Client.elb().DescribeCapacityReservation(ctx, &elb.DescribeCapacityReservationInput{LoadBalancerArn: &c.ID}); optional(err) != nil {
		return nil, fmt.Errorf("reading ELBv2 Load Balancer (%s) capacity reservation: %w", c.ID, err)
	}
	state["tags"], err = c.Client.readELBTags(ctx, c.ID)
	return state, err
}

func updateLB(ctx context.Context, c *call) (m, error) {
	if c.Changed["securityGroups"] {
		if _, err := c.Client.elb().SetSecurityGroups(ctx, &elb.SetSecurityGroupsInput{LoadBalancerArn: &c.ID, SecurityGroups: engine.Strs(c.In, "securityGroups")}); err != nil {
			return nil, fmt.Errorf("setting ELBv2 Load Balancer (%s) security groups: %w", c.ID, err)
		}
	}
	if c.HasChanged("subnets", "subnetMappings") {
		in := &elb.SetSubnetsInput{LoadBalancerArn: &c.ID, Subnets: engine.Strs(c.In, "subnets")}
		for _, s := range engine.Objs(c.In, "subnetMappings") {
			in.SubnetMappings = append(in.SubnetMappings, types.SubnetMapping{SubnetId: engine.StrPtr(s, "subnetId"), AllocationId: engine.StrPtr(s, "allocationId")})
		}
		if _, err := c.Client.elb().SetSubnets(ctx, in); err != nil {
			return nil, fmt.Errorf("setting ELBv2 Load Balancer (%s) subnets: %w", c.ID, err)
		}
	}
	if c.Changed["ipAddressType"] {
		if _, err := c.Client.elb().SetIpAddressType(ctx, &elb.SetIpAddressTypeInput{
			LoadBalancerArn: &c.ID, IpAddressType: types.IpAddressType(engine.Str(c.In, "ipAddressType")),
		}); err != nil {
			return nil, fmt.Errorf("setting ELBv2 Load Balancer (%s) address type: %w", c.ID, err)
		}
	}
	if err := lbAttributesUpdate(ctx, c, c.ID, false); err != nil {
		return nil, err
	}
	return nil, updateELBTags(ctx, c)
}

func deleteLB(ctx context.Context, c *call) error {
	_, err := c.Client.elb().DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: &c.ID})
	if err = absent(err, "LoadBalancerNotFound"); err != nil {
		return fmt.Errorf("deleting ELBv2 Load Balancer (%s): %w", c.ID, err)
	}
	return nil
}

// --- Target group

var targetGroupAttributes = []attribute{
	{"connectionTermination", "deregistration_delay.connection_termination.enabled", "TCP UDP TLS TCP_UDP"},
	{"deregistrationDelay", "deregistration_delay.timeout_seconds", ""},
	{"loadBalancingAlgorithmType", "load_balancing.algorithm.type", "HTTP HTTPS"},
	{"loadBalancingAnomalyMitigation", "load_balancing.algorithm.anomaly_mitigation", "HTTP HTTPS"},
	{"loadBalancingCrossZoneEnabled", "load_balancing.cross_zone.enabled", ""},
	{"preserveClientIp", "preserve_client_ip.enabled", "TCP UDP TLS TCP_UDP"},
	{"proxyProtocolV2", "proxy_protocol_v2.enabled", "TCP UDP TLS TCP_UDP"},
	{"slowStart", "slow_start.duration_seconds", "HTTP HTTPS"},
}

func (a attribute) appliesTo(protocol string) bool {
	if a.only == "" {
		return true
	}
	return listed(strings.Fields(a.only), protocol)
}

func checkTargetGroup(c *checker) {
	for _, name := range []string{"targetFailovers", "targetHealthStates", "targetGroupHealth", "lambdaMultiValueHeadersEnabled"} {
		if v, ok := c.In[name]; ok && v != false {
			c.Fail(name, "The stand-in aws provider does not set %q.", name)
		}
	}
	if c.In["targetType"] != "lambda" {
		for _, name := range []string{"port", "protocol", "vpcId"} {
			if !c.Given(name) {
				c.Fail(name, "Missing required argument. %q must be set when targetType is not lambda.", name)
			}
		}
	}
	check := engine.Obj(c.In, "healthCheck")
	if engine.Str(check, "protocol") == "TCP" {
		for _, name := range []string{"matcher", "path"} {
			if engine.Str(check, name) != "" {
				c.Fail("healthCheck."+name, "Attribute %q cannot be specified when healthCheck.protocol is TCP.", name)
			}
		}
		if p := engine.Str(c.In, "protocol"); p == "HTTP" || p == "HTTPS" {
			c.Fail("healthCheck.protocol", "TCP health checks are not supported for %s target groups.", p)
		}
	}
}

func createTargetGroup(ctx context.Context, c *call) (string, m, error) {
	name := engine.Str(c.In, "name")
	existing, err := c.Client.elb().DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{Names: []string{name}})
	if err == nil && len(existing.TargetGroups) > 0 {
		return "", nil, fmt.Errorf("creating ELBv2 Target Group (%s): the name exists already", name)
	}
	if err = absent(err, "TargetGroupNotFound"); err != nil {
		return "", nil, fmt.Errorf("creating ELBv2 Target Group (%s): %w", name, err)
	}
	in := &elb.CreateTargetGroupInput{
		Name: &name, Port: engine.IntPtr(c.In, "port"), Protocol: types.ProtocolEnum(engine.Str(c.In, "protocol")),
		TargetType: types.TargetTypeEnum(engine.Str(c.In, "targetType")), VpcId: engine.StrPtr(c.In, "vpcId"),
		ProtocolVersion: engine.StrPtr(c.In, "protocolVersion"), IpAddressType: types.TargetGroupIpAddressTypeEnum(engine.Str(c.In, "ipAddressType")),
		Tags: elbTags(c.Tags()),
	}
	if h := engine.Obj(c.In, "healthCheck"); h != nil {
		in.HealthCheckEnabled, in.HealthCheckIntervalSeconds = engine.BoolPtr(h, "enabled"), engine.IntPtr(h, "interval")
		in.HealthCheckPort, in.HealthCheckProtocol = engine.StrPtr(h, "port"), types.ProtocolEnum(engine.Str(h, "protocol"))
		in.HealthCheckTimeoutSeconds, in.HealthyThresholdCount = engine.IntPtr(h, "timeout"), engine.IntPtr(h, "healthyThreshold")
		in.UnhealthyThresholdCount, in.HealthCheckPath = engine.IntPtr(h, "unhealthyThreshold"), engine.StrPtr(h, "path")
		in.Matcher = matcher(h, engine.Str(c.In, "protocolVersion"))
	}
	out, err := c.Client.elb().CreateTargetGroup(ctx, in)
	if err != nil {
		return "", nil, fmt.Errorf("creating ELBv2 Target Group (%s): %w", name, err)
	}
	if len(out.TargetGroups) == 0 {
		return "", nil, fmt.Errorf("creating ELBv2 Target Group (%s): the answer names no group", name)
	}
	arn := aws.ToString(out.TargetGroups[0].TargetGroupArn)
	return arn, nil, targetGroupAttributesUpdate(ctx, c, arn, true)
}

func matcher(h m, version string) *types.Matcher {
	codes := engine.StrPtr(h, "matcher")
	switch {
	case codes == nil:
		return nil
	case version == "GRPC":
		return &types.Matcher{GrpcCode: codes}
	}
	return &types.Matcher{HttpCode: codes}
}

func targetGroupAttributesUpdate(ctx context.Context, c *call, arn string, isNew bool) error {
	protocol := engine.Str(c.In, "protocol")
	var attributes []types.TargetGroupAttribute
	add := func(key, value string) {
		attributes = append(attributes, types.TargetGroupAttribute{Key: aws.String(key), Value: aws.String(value)})
	}
	for _, a := range targetGroupAttributes {
		p := c.Type.Property(a.property)
		if v, ok := c.In[a.property]; ok && a.appliesTo(protocol) && (c.Changed[a.property] || isNew && v != p.DefaultValue) {
			add(a.key, text(v))
		}
	}
	if s := engine.Obj(c.In, "stickiness"); s != nil && (isNew || c.Changed["stickiness"]) {
		kind := engine.Str(s, "type")
		add("stickiness.enabled", text(engine.Bool(s, "enabled")))
		add("stickiness.type", kind)
		switch kind {
		case "lb_cookie":
			add("stickiness.lb_cookie.duration_seconds", text(s["cookieDuration"]))
		case "app_cookie":
			add("stickiness.app_cookie.duration_seconds", text(s["cookieDuration"]))
			add("stickiness.app_cookie.cookie_name", engine.Str(s, "cookieName"))
		}
	}
	if len(attributes) == 0 {
		return nil
	}
	if _, err := c.Client.elb().ModifyTargetGroupAttributes(ctx, &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: &arn, Attributes: attributes}); err != nil {
		return fmt.Errorf("modifying ELBv2 Target Group (%s) attributes: %w", arn, err)
	}
	return nil
}

func readTargetGroup(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.elb().DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{c.ID}})
	if is(err, "TargetGroupNotFound") || err == nil && len(out.TargetGroups) == 0 {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading ELBv2 Target Group (%s): %w", c.ID, err)
	}
	g := out.TargetGroups[0]
	state := m{
		"arn": c.ID, "arnSuffix": "targetgroup/" + suffixOf(c.ID, ":targetgroup/"), "name": aws.ToString(g.TargetGroupName), "protocol": string(g.Protocol),
		"protocolVersion": aws.ToString(g.ProtocolVersion), "targetType": string(g.TargetType), "vpcId": aws.ToString(g.VpcId),
		"ipAddressType": string(g.IpAddressType), "loadBalancerArns": engine.SortedList(g.LoadBalancerArns),
	}
	if g.Port != nil {
		state["port"] = float64(*g.Port)
	}
	check := m{"enabled": aws.ToBool(g.HealthCheckEnabled), "port": aws.ToString(g.HealthCheckPort), "protocol": string(g.HealthCheckProtocol), "path": aws.ToString(g.HealthCheckPath)}
	for name, v := range map[string]*int32{
		"healthyThreshold": g.HealthyThresholdCount, "unhealthyThreshold": g.UnhealthyThresholdCount, "interval": g.HealthCheckIntervalSeconds,
		"timeout": g.HealthCheckTimeoutSeconds,
	} {
		if v != nil {
			check[name] = float64(*v)
		}
	}
	check["matcher"] = ""
	if g.Matcher != nil {
		check["matcher"] = aws.ToString(g.Matcher.HttpCode) + aws.ToString(g.Matcher.GrpcCode)
	}
	state["healthCheck"] = check
	attributes, err := c.Client.elb().DescribeTargetGroupAttributes(ctx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: &c.ID})
	if optional(err) != nil {
		return nil, fmt.Errorf("reading ELBv2 Target Group (%s) attributes: %w", c.ID, err)
	}
	if err == nil {
		have := map[string]string{}
		for _, a := range attributes.Attributes {
			have[aws.ToString(a.Key)] = aws.ToString(a.Value)
		}
		for _, a := range targetGroupAttributes {
			if v, ok := have[a.key]; ok {
				state[a.property] = untext(v, c.Type.Property(a.property).Type)
			}
		}
		if kind := have["stickiness.type"]; kind != "" {
			s := m{"type": kind, "enabled": have["stickiness.enabled"] == "true"}
			if v := untext(have["stickiness."+kind+".duration_seconds"], "int"); v != nil {
				s["cookieDuration"] = v
			}
			if v := have["stickiness.app_cookie.cookie_name"]; v != "" {
				s["cookieName"] = v
			}
			state["stickiness"] = s
		}
	}
	state["tags"], err = c.Client.readELBTags(ctx, c.ID)
	return state, err
}

func updateTargetGroup(ctx context.Context, c *call) (m, error) {
	if h := engine.Obj(c.In, "healthCheck"); h != nil && c.Changed["healthCheck"] {
		if _, err := c.Client.elb().ModifyTargetGroup(ctx, &elb.ModifyTargetGroupInput{
			TargetGroupArn: &c.ID, HealthCheckEnabled: engine.BoolPtr(h, "enabled"), HealthCheckIntervalSeconds: engine.IntPtr(h, "interval"),
			HealthCheckPath: engine.StrPtr(h, "path"), HealthCheckPort: engine.StrPtr(h, "port"), HealthCheckProtocol: types.ProtocolEnum(engine.Str(h, "protocol")),
			HealthCheckTimeoutSeconds: engine.IntPtr(h, "timeout"), HealthyThresholdCount: engine.IntPtr(h, "healthyThreshold"),
			UnhealthyThresholdCount: engine.IntPtr(h, "unhealthyThreshold"), Matcher: matcher(h, engine.Str(c.In, "protocolVersion")),
		}); err != nil {
			return nil, fmt.Errorf("modifying ELBv2 Target Group (%s): %w", c.ID, err)
		}
	}
	if err := targetGroupAttributesUpdate(ctx, c, c.ID, false); err != nil {
		return nil, err
	}
	return nil, updateELBTags(ctx, c)
}

func deleteTargetGroup(ctx context.Context, c *call) error {
	err := engine.Retry(ctx, 2*time.Minute, func(err error) bool { return is(err, "ResourceInUse") }, func(ctx context.Context) error {
		_, err := c.Client.elb().DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: &c.ID})
		return err
	})
	if err = absent(err, "TargetGroupNotFound"); err != nil {
		return fmt.Errorf("deleting ELBv2 Target Group (%s): %w", c.ID, err)
	}
	return nil
}

// --- Target

func target(in m) types.TargetDescription {
	return types.TargetDescription{Id: engine.StrPtr(in, "targetId"), Port: engine.IntPtr(in, "port"), AvailabilityZone: engine.StrPtr(in, "availabilityZone")}
}

func createTarget(ctx context.Context, c *call) (string, m, error) {
	arn := engine.Str(c.In, "targetGroupArn")
	err := engine.Retry(ctx, 10*time.Minute, func(err error) bool { return is(err, "InvalidTarget") }, func(ctx context.Context) error {
		_, err := c.Client.elb().RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &arn, Targets: []types.TargetDescription{target(c.In)}})
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("registering ELBv2 Target Group (%s) target: %w", arn, err)
	}
	return arn + "-" + engine.UniqueSuffix(), nil, nil
}

func readTarget(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.elb().DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{
		TargetGroupArn: engine.StrPtr(c.Old, "targetGroupArn"), Targets: []types.TargetDescription{target(c.Old)},
	})
	if is(err, "TargetGroupNotFound", "InvalidTarget") {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading ELBv2 Target Group Attachment (%s): %w", c.ID, err)
	}
	for _, d := range out.TargetHealthDescriptions {
		h := d.TargetHealth
		gone := h != nil && (h.Reason == types.TargetHealthReasonEnumNotRegistered || h.Reason == types.TargetHealthReasonEnumDeregistrationInProgress)
		if d.Target != nil && aws.ToString(d.Target.Id) == engine.Str(c.Old, "targetId") && !gone {
			return m{}, nil
		}
	}
	return nil, engine.ErrGone
}

func deleteTarget(ctx context.Context, c *call) error {
	_, err := c.Client.elb().DeregisterTargets(ctx, &elb.DeregisterTargetsInput{
		TargetGroupArn: engine.StrPtr(c.Old, "targetGroupArn"), Targets: []types.TargetDescription{target(c.Old)},
	})
	if err = absent(err, "TargetGroupNotFound", "InvalidTarget"); err != nil {
		return fmt.Errorf("deregistering ELBv2 Target Group target (%s): %w", c.ID, err)
	}
	return nil
}

// --- Listener

var actionNames = names{
	"defaultActions.fixedResponse": "FixedResponseConfig", "defaultActions.redirect": "RedirectConfig", "defaultActions.forward": "ForwardConfig",
	"defaultActions.forward.targetGroups.arn": "TargetGroupArn", "defaultActions.forward.stickiness": "TargetGroupStickinessConfig",
	"defaultActions.forward.stickiness.duration": "DurationSeconds",
}

func checkListener(c *checker) {
	for _, name := range []string{"mutualAuthentication", "tcpIdleTimeoutSeconds"} {
		if c.Given(name) {
			c.Fail(name, "The stand-in aws provider does not set %q.", name)
		}
	}
	if s, ok := c.In["protocol"].(string); ok {
		c.In["protocol"] = strings.ToUpper(s)
		if !listed([]string{"HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP"}, strings.ToUpper(s)) {
			c.Fail("protocol", "expected %q to be one of HTTP, HTTPS, TCP, TLS, UDP, TCP_UDP, got %s.", "protocol", s)
		}
	}
}

func actions(in m) ([]types.Action, error) {
	var holder struct{ DefaultActions []types.Action }
	if err := fill(&holder, m{"defaultActions": in["defaultActions"]}, actionNames); err != nil {
		return nil, fmt.Errorf("listener: %w", err)
	}
	for i := range holder.DefaultActions {
		if holder.DefaultActions[i].Order == nil && len(holder.DefaultActions) > 1 {
			holder.DefaultActions[i].Order = aws.Int32(int32(i + 1)) // #nosec G115 -- a handful of actions
		}
	}
	return holder.DefaultActions, nil
}

func certificates(in m) []types.Certificate {
	if arn := engine.StrPtr(in, "certificateArn"); arn != nil {
		return []types.Certificate{{CertificateArn: arn}}
	}
	return nil
}

func alpn(in m) []string {
	if s := engine.Str(in, "alpnPolicy"); s != "" {
		return []string{s}
	}
	return nil
}

func createListener(ctx context.Context, c *call) (string, m, error) {
	list, err := actions(c.In)
	if err != nil {
		return "", nil, err
	}
	protocol := types.ProtocolEnum(engine.Str(c.In, "protocol"))
	if protocol == "" && strings.Contains(engine.Str(c.In, "loadBalancerArn"), "loadbalancer/app/") {
		protocol = types.ProtocolEnumHttp
	}
	var out *elb.CreateListenerOutput
	err = engine.Retry(ctx, 5*time.Minute, func(err error) bool { return is(err, "CertificateNotFound") }, func(ctx context.Context) error {
		var err error
		out, err = c.Client.elb().CreateListener(ctx, &elb.CreateListenerInput{
			LoadBalancerArn: engine.StrPtr(c.In, "loadBalancerArn"), DefaultActions: list, Port: engine.IntPtr(c.In, "port"), Protocol: protocol,
			SslPolicy: engine.StrPtr(c.In, "sslPolicy"), Certificates: certificates(c.In), AlpnPolicy: alpn(c.In), Tags: elbTags(c.Tags()),
		})
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("creating ELBv2 Listener (%s): %w", engine.Str(c.In, "loadBalancerArn"), err)
	}
	if len(out.Listeners) == 0 {
		return "", nil, fmt.Errorf("creating ELBv2 Listener (%s): the answer names no listener", engine.Str(c.In, "loadBalancerArn"))
	}
	return aws.ToString(out.Listeners[0].ListenerArn), nil, nil
}

func readListener(ctx context.Context, c *call) (m, error) {
	out, err := c.Client.elb().DescribeListeners(ctx, &elb.DescribeListenersInput{ListenerArns: []string{c.ID}})
	if is(err, "ListenerNotFound") || err == nil && len(out.Listeners) == 0 {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading ELBv2 Listener (%s): %w", c.ID, err)
	}
	if _, err := c.Client.elb().DescribeListenerAttributes(ctx, &elb.DescribeListenerAttributesInput{ListenerArn: &c.ID}); optional(err) != nil {
		return nil, fmt.Errorf("reading ELBv2 Listener (%s) attributes: %w", c.ID, err)
	}
	l := out.Listeners[0]
	state := m{
		"arn": c.ID, "loadBalancerArn": aws.ToString(l.LoadBalancerArn), "protocol": string(l.Protocol), "sslPolicy": aws.ToString(l.SslPolicy),
		"certificateArn": "", "alpnPolicy": "",
	}
	if l.Port != nil {
		state["port"] = float64(*l.Port)
	}
	if len(l.Certificates) > 0 {
		state["certificateArn"] = aws.ToString(l.Certificates[0].CertificateArn)
	}
	if len(l.AlpnPolicy) > 0 {
		state["alpnPolicy"] = l.AlpnPolicy[0]
	}
	holder := struct{ DefaultActions []types.Action }{l.DefaultActions}
	given := engine.Objs(c.Old, "defaultActions")
	list := engine.Objs(dump(&holder, c.Type.Inputs, actionNames), "defaultActions")
	out2 := []any{}
	for i, a := range list { // the API answers both forms of a forward; the state has the one that the program chose
		simple := i >= len(given) || !engine.Has(given[i], "forward")
		if simple && engine.Str(a, "targetGroupArn") != "" {
			delete(a, "forward")
		} else if !simple {
			delete(a, "targetGroupArn")
		}
		out2 = append(out2, a)
	}
	state["defaultActions"] = out2
	state["tags"], err = c.Client.readELBTags(ctx, c.ID)
	return state, err
}

func updateListener(ctx context.Context, c *call) (m, error) {
	if !onlyTagsChanged(c.Changed) {
		list, err := actions(c.In)
		if err != nil {
			return nil, err
		}
		if _, err := c.Client.elb().ModifyListener(ctx, &elb.ModifyListenerInput{
			ListenerArn: &c.ID, DefaultActions: list, Port: engine.IntPtr(c.In, "port"), Protocol: types.ProtocolEnum(engine.Str(c.In, "protocol")),
			SslPolicy: engine.StrPtr(c.In, "sslPolicy"), Certificates: certificates(c.In), AlpnPolicy: alpn(c.In),
		}); err != nil {
			return nil, fmt.Errorf("modifying ELBv2 Listener (%s): %w", c.ID, err)
		}
	}
	return nil, updateELBTags(ctx, c)
}

func deleteListener(ctx context.Context, c *call) error {
	_, err := c.Client.elb().DeleteListener(ctx, &elb.DeleteListenerInput{ListenerArn: &c.ID})
	if err = absent(err, "ListenerNotFound"); err != nil {
		return fmt.Errorf("deleting ELBv2 Listener (%s): %w", c.ID, err)
	}
	return nil
}
