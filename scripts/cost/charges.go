package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"k3s-aws-auth/scripts/internal/graph"
)

// free are types, by their beginnings, that cost nothing by being there. Of buckets it is what they hold that costs, and of
// distributions who reads them.
var free = []string{
	"aws:acm/certificateValidation:", "aws:cloudcontrol/resource:", "aws:cloudfront/", "aws:cloudwatch/eventRule:", "aws:cloudwatch/eventTarget:",
	"aws:ec2/eipAssociation:", "aws:ec2/internetGateway:", "aws:ec2/route", "aws:ec2/securityGroup:", "aws:ec2/subnet:", "aws:ec2/vpc:",
	"aws:iam/", "aws:lb/listener:", "aws:lb/targetGroup", "aws:rolesanywhere/", "aws:route53/record:", "aws:s3/bucket", "aws:sns/topic", "aws:vpc/securityGroup",
}

// shown is the order of items, by the beginnings of their prices.
var shown = []string{"ec2.", "ebs.", "vpc.ipv4", "vpc.nat", "elb.", "vpc.endpoint", "ssm.", "s3.storage", "acm.", "cloudfront.", "s3.get", "route53.", "rolesanywhere",
	"cloudwatch.", "sns."}

// bill collects what a stack's resources cost.
type bill struct {
	made  *graph.Graph
	items []item
	count map[string]int // by part and what one is
}

// charge adds one thing of a kind, with its quantity in the price's unit.
func (b *bill) charge(part, one, key string, quantity float64) {
	b.add(part, one, key, 1, quantity)
}

func (b *bill) add(part, one, key string, count int, quantity float64) {
	if count == 0 {
		return
	}
	b.count[part+one] += count
	what := fmt.Sprintf("%d × %s", b.count[part+one], one)
	same := func(i item) bool { return i.Part == part && i.Key == key && strings.HasSuffix(i.What, " × "+one) }
	if i := slices.IndexFunc(b.items, same); i >= 0 {
		b.items[i].What, b.items[i].Quantity = what, b.items[i].Quantity+quantity
		return
	}
	b.items = append(b.items, item{Part: part, What: what, Key: key, Quantity: quantity})
}

// use adds what costs by being used.
func (b *bill) use(part, what, key string, quantity float64) {
	b.items = append(b.items, item{Part: part, What: what, Key: key, Quantity: quantity})
}

// resources adds what costs by being there. A type of which nobody has said what it costs is an error, not free.
func (b *bill) resources() error {
	unknown := map[string]bool{}
	zones := map[string]bool{}
	for _, r := range b.made.Resources {
		if !r.Custom || !strings.HasPrefix(r.Type, "aws:") {
			continue
		}
		part := partOf(r)
		switch r.Type {
		case "aws:ec2/instance:Instance":
			b.charge(part, text(r.Inputs, "instanceType"), "ec2."+text(r.Inputs, "instanceType"), hours)
			if volume := r.Inputs["rootBlockDevice"]; volume.IsObject() {
				kind, size := text(volume.ObjectValue(), "volumeType"), number(volume.ObjectValue(), "volumeSize")
				b.charge(part, fmt.Sprintf("%.0f GiB %s", size, kind), "ebs."+kind, size)
			}
			if b.public(r) {
				b.charge(part, "public IPv4", "vpc.ipv4", hours)
			}
		case "aws:ec2/eip:Eip":
			b.charge(part, "public IPv4", "vpc.ipv4", hours)
		case "aws:ec2/natGateway:NatGateway":
			b.charge(part, "NAT gateway", "vpc.nat", hours)
		case "aws:lb/loadBalancer:LoadBalancer":
			kind := text(r.Inputs, "loadBalancerType")
			b.charge(part, kind+" load balancer", "elb."+kind, hours)
			if !r.Inputs["internal"].IsBool() || !r.Inputs["internal"].BoolValue() { // an address in each zone
				n := length(r.Inputs, "subnets")
				b.add(part, "public IPv4", "vpc.ipv4", n, float64(n*hours))
			}
		case "aws:ec2/vpcEndpoint:VpcEndpoint":
			if n := length(r.Inputs, "subnetIds"); n > 0 { // those of gateways have none, and are free
				b.charge(part, fmt.Sprintf("interface endpoint in %d zones", n), "vpc.endpoint", float64(n*hours))
			}
		case "aws:ssm/parameter:Parameter":
			if text(r.Inputs, "tier") == "Advanced" {
				b.charge(part, "advanced parameter", "ssm.advanced", 1)
			}
		case "aws:acm/certificate:Certificate":
			b.charge(part, "public certificate", "acm.public", 1)
		case "aws:rolesanywhere/trustAnchor:TrustAnchor":
			b.charge(part, "trust anchor with its sessions", "rolesanywhere", 1)
		case "aws:cloudwatch/metricAlarm:MetricAlarm":
			b.charge(part, "alarm", "cloudwatch.alarm", 1)
		case "aws:route53/record:Record":
			if zone := text(r.Inputs, "zoneId"); !zones[zone] {
				zones[zone] = true
				b.charge(part, "hosted zone", "route53.zone", 1)
			}
		default:
			if !slices.ContainsFunc(free, func(prefix string) bool { return strings.HasPrefix(r.Type, prefix) }) {
				unknown[r.Type] = true
			}
		}
	}
	return missing(unknown)
}

// public reports whether a machine gets an address of its subnet's. One that is given an Elastic IP has that one alone.
func (b *bill) public(machine graph.Resource) bool {
	open := false
	for _, r := range b.made.Resources {
		switch {
		case r.Type == "aws:ec2/eipAssociation:EipAssociation" && text(r.Inputs, "instanceId") == machine.ID:
			return false
		case r.Type == "aws:ec2/subnet:Subnet" && r.ID == text(machine.Inputs, "subnetId"):
			open = r.Inputs["mapPublicIpOnLaunch"].IsBool() && r.Inputs["mapPublicIpOnLaunch"].BoolValue()
		}
	}
	return open
}

// has reports whether there is a resource of a type, of which something is true.
func (b *bill) has(typ string, is func(graph.Resource) bool) bool {
	return slices.ContainsFunc(b.made.Resources, func(r graph.Resource) bool { return r.Type == typ && is(r) })
}

// partOf is the part of a bill that a resource is in, by the component that makes it.
func partOf(r graph.Resource) string {
	for _, component := range r.Within {
		switch strings.Split(component, ":")[1] {
		case "network", "k3s":
			return partCluster
		case "alarms":
			return partAlarms
		}
	}
	return partIdentity
}

func text(inputs resource.PropertyMap, key resource.PropertyKey) string {
	if v := inputs[key]; v.IsString() {
		return v.StringValue()
	}
	return ""
}

func number(inputs resource.PropertyMap, key resource.PropertyKey) float64 {
	if v := inputs[key]; v.IsNumber() {
		return v.NumberValue()
	}
	return 0
}

func length(inputs resource.PropertyMap, key resource.PropertyKey) int {
	if v := inputs[key]; v.IsArray() {
		return len(v.ArrayValue())
	}
	return 0
}
