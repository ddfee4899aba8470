package k3s

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// apiPort is where servers answer kubectl, agents and each other.
const apiPort = 6443

// firewall is the security groups of a cluster and their rules.
type firewall struct {
	servers, agents pulumi.StringOutput
	// join and api are those of the load balancers: of the one that nodes join
	// by, and of the one that faces the internet. Unset where there is none.
	join, api pulumi.StringOutput
	// rules are all rules: what needs the network must depend on them.
	rules []pulumi.Resource
}

// rule admits one kind of traffic to a group, from a group or a range.
type rule struct {
	name, description string
	to                pulumi.StringOutput
	protocol          string
	from, until       int
	sourceGroup       pulumi.StringOutput
	sourceCIDR        string
}

// newFirewall makes the groups and the rules that K3s needs, no more: the API
// from nodes and from the given ranges, these by the load balancer where there
// is one, the pod network (VXLAN) and the kubelets
// among all nodes, etcd among servers. Nodes are named by their group, so that a
// new node needs no new rule.
func newFirewall(ctx *pulumi.Context, name string, args *ClusterArgs, parent pulumi.ResourceOption) (*firewall, error) {
	f := &firewall{}
	var err error
	if f.servers, err = newGroup(ctx, name+"-servers", "K3s servers of "+args.ClusterName, args, parent); err != nil {
		return nil, err
	}
	if f.agents, err = newGroup(ctx, name+"-agents", "K3s agents of "+args.ClusterName, args, parent); err != nil {
		return nil, err
	}
	entrances, err := f.entrances(ctx, name, args, parent)
	if err != nil {
		return nil, err
	}
	rules := []rule{
		{name: "servers-api-from-servers", description: "Kubernetes API from servers", to: f.servers, protocol: "tcp", from: apiPort, until: apiPort, sourceGroup: f.servers},
		{name: "servers-api-from-agents", description: "Kubernetes API from agents", to: f.servers, protocol: "tcp", from: apiPort, until: apiPort, sourceGroup: f.agents},
		{name: "servers-etcd-from-servers", description: "etcd among servers", to: f.servers, protocol: "tcp", from: 2379, until: 2380, sourceGroup: f.servers},
	}
	// The given ranges reach the last of the entrances: the only server, or the
	// load balancer for everybody outside.
	outermost := entrances[len(entrances)-1]
	for _, cidr := range args.APICIDRs {
		rules = append(rules, rule{
			name:        outermost.name + "-api-from-" + strings.NewReplacer(".", "-", "/", "-").Replace(cidr),
			description: "Kubernetes API from " + cidr,
			to:          outermost.id, protocol: "tcp", from: apiPort, until: apiPort, sourceCIDR: cidr,
		})
	}
	if args.balanced() {
		for _, source := range []group{{"servers", f.servers}, {"agents", f.agents}} {
			rules = append(rules, rule{name: "join-api-from-" + source.name, description: "Kubernetes API from " + source.name,
				to: f.join, protocol: "tcp", from: apiPort, until: apiPort, sourceGroup: source.id})
		}
		for _, balancer := range entrances {
			rules = append(rules, rule{name: "servers-api-from-" + balancer.name, description: "Kubernetes API from the load balancer " + balancer.name,
				to: f.servers, protocol: "tcp", from: apiPort, until: apiPort, sourceGroup: balancer.id})
		}
	}
	groups := []group{{"servers", f.servers}, {"agents", f.agents}}
	for _, to := range groups {
		for _, source := range groups {
			rules = append(rules,
				rule{name: to.name + "-vxlan-from-" + source.name, description: "Pod network from " + source.name, to: to.id, protocol: "udp", from: 8472, until: 8472, sourceGroup: source.id},
				rule{name: to.name + "-kubelet-from-" + source.name, description: "Kubelet from " + source.name, to: to.id, protocol: "tcp", from: 10250, until: 10250, sourceGroup: source.id})
		}
	}
	for _, r := range rules {
		ingress := &vpc.SecurityGroupIngressRuleArgs{
			SecurityGroupId: r.to,
			Description:     pulumi.String(r.description),
			IpProtocol:      pulumi.String(r.protocol),
			FromPort:        pulumi.Int(r.from),
			ToPort:          pulumi.Int(r.until),
			Tags:            pulumi.ToStringMap(args.Tags),
		}
		if r.sourceCIDR != "" {
			ingress.CidrIpv4 = pulumi.String(r.sourceCIDR)
		} else {
			ingress.ReferencedSecurityGroupId = r.sourceGroup
		}
		made, err := vpc.NewSecurityGroupIngressRule(ctx, name+"-"+r.name, ingress, parent)
		if err != nil {
			return nil, fmt.Errorf("ingress rule %s: %w", r.name, err)
		}
		f.rules = append(f.rules, made)
	}
	for _, group := range groups {
		// The provider removes the rule that AWS gives every new group, so that
		// without this one a node could not even fetch its parameters.
		made, err := vpc.NewSecurityGroupEgressRule(ctx, name+"-"+group.name+"-egress", &vpc.SecurityGroupEgressRuleArgs{
			SecurityGroupId: group.id,
			Description:     pulumi.String("Everything outbound"),
			IpProtocol:      pulumi.String("-1"), // no ports: all protocols have none
			CidrIpv4:        pulumi.String("0.0.0.0/0"),
			Tags:            pulumi.ToStringMap(args.Tags),
		}, parent)
		if err != nil {
			return nil, fmt.Errorf("egress rule of %s: %w", group.name, err)
		}
		f.rules = append(f.rules, made)
	}
	if args.balanced() {
		for _, balancer := range entrances {
			made, err := vpc.NewSecurityGroupEgressRule(ctx, name+"-"+balancer.name+"-egress", &vpc.SecurityGroupEgressRuleArgs{
				SecurityGroupId:           balancer.id,
				Description:               pulumi.String("Kubernetes API of servers"),
				IpProtocol:                pulumi.String("tcp"),
				FromPort:                  pulumi.Int(apiPort),
				ToPort:                    pulumi.Int(apiPort),
				ReferencedSecurityGroupId: f.servers,
				Tags:                      pulumi.ToStringMap(args.Tags),
			}, parent)
			if err != nil {
				return nil, fmt.Errorf("egress rule of %s: %w", balancer.name, err)
			}
			f.rules = append(f.rules, made)
		}
	}
	return f, nil
}

// group is a security group and the part of its name behind the cluster's.
type group struct {
	name string
	id   pulumi.StringOutput
}

// entrances makes the load balancers' groups and returns the groups that the API
// is entered by, the outermost last: the servers' own where there is no load
// balancer.
func (f *firewall) entrances(ctx *pulumi.Context, name string, args *ClusterArgs, parent pulumi.ResourceOption) ([]group, error) {
	if !args.balanced() {
		return []group{{"servers", f.servers}}, nil
	}
	var err error
	if f.join, err = newGroup(ctx, name+"-join", "Load balancer by which nodes of "+args.ClusterName+" join", args, parent); err != nil {
		return nil, err
	}
	if args.LoadBalancer == LoadBalancerInternal {
		return []group{{"join", f.join}}, nil
	}
	if f.api, err = newGroup(ctx, name+"-api", "Load balancer of the Kubernetes API of "+args.ClusterName, args, parent); err != nil {
		return nil, err
	}
	return []group{{"join", f.join}, {"api", f.api}}, nil
}

// newGroup makes a security group without rules. Its description is part of its
// identity: another one would replace it under running machines.
func newGroup(ctx *pulumi.Context, name, description string, args *ClusterArgs, parent pulumi.ResourceOption) (pulumi.StringOutput, error) {
	group, err := ec2.NewSecurityGroup(ctx, name, &ec2.SecurityGroupArgs{
		Description: pulumi.String(description),
		VpcId:       args.VpcID.ToStringOutput(),
		Tags:        args.named(name),
	}, parent)
	if err != nil {
		return pulumi.StringOutput{}, fmt.Errorf("security group %s: %w", name, err)
	}
	return group.ID().ToStringOutput(), nil
}
