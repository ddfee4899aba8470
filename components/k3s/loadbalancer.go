package k3s

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lb"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/names"
)

// maxBalancerName is ELB's limit for the names of load balancers and target
// groups.
const maxBalancerName = 32

// entrance is how the API is reached.
type entrance struct {
	// endpoint is the API's URL for everybody outside the cluster.
	endpoint pulumi.StringOutput
	// join is the URL of the load balancer that nodes join by. Without one it is
	// not set: agents then join at the only server's private address.
	join pulumi.StringOutput
	// names are what servers are reached by: their certificates have them.
	names pulumi.StringArray

	address   *ec2.Eip
	balancers []*balancer
}

// balancer is a network load balancer with one target group.
type balancer struct {
	name        string
	dnsName     pulumi.StringOutput
	targetGroup *lb.TargetGroup
	// ready must exist before the balancer carries anything.
	ready pulumi.Resource
}

// newEntrance makes what stands before the servers, before these: their
// certificates name it.
//
// Where the API faces the internet there are two load balancers. Security groups
// see nodes as their group only on private addresses, and the addresses of a
// balancer that faces the internet are public also from within the VPC: nodes
// need one of their own.
func newEntrance(ctx *pulumi.Context, name string, args *ClusterArgs, f *firewall, parent pulumi.ResourceOption) (*entrance, error) {
	e := &entrance{}
	if !args.balanced() {
		var err error
		e.address, err = ec2.NewEip(ctx, name+"-api", &ec2.EipArgs{
			Domain: pulumi.String("vpc"),
			Tags:   args.named(name + "-api"),
		}, parent)
		if err != nil {
			return nil, fmt.Errorf("elastic address: %w", err)
		}
		e.names = pulumi.StringArray{e.address.PublicIp}
		e.endpoint = pulumi.Sprintf("https://%s:%d", e.address.PublicIp, apiPort)
		return e, nil
	}
	join, err := newBalancer(ctx, name, "join", args, true, args.SubnetIDs, f.join, parent)
	if err != nil {
		return nil, err
	}
	e.balancers = []*balancer{join}
	front := join
	if args.LoadBalancer == LoadBalancerInternet {
		subnets := args.PublicSubnetIDs
		if subnets == nil {
			subnets = args.SubnetIDs
		}
		if front, err = newBalancer(ctx, name, "api", args, false, subnets, f.api, parent); err != nil {
			return nil, err
		}
		e.balancers = append(e.balancers, front)
	}
	for _, b := range e.balancers {
		e.names = append(e.names, b.dnsName)
	}
	e.endpoint = pulumi.Sprintf("https://%s:%d", front.dnsName, apiPort)
	e.join = pulumi.Sprintf("https://%s:%d", join.dnsName, apiPort)
	return e, nil
}

// newBalancer makes a network load balancer, its listener for the API and the
// target group of the servers.
func newBalancer(ctx *pulumi.Context, name, part string, args *ClusterArgs, internal bool, subnets pulumi.StringArrayInput,
	group pulumi.StringOutput, parent pulumi.ResourceOption) (*balancer, error) {
	full := name + "-" + part
	limited := names.Autonamed(full, maxBalancerName)
	made, err := lb.NewLoadBalancer(ctx, limited, &lb.LoadBalancerArgs{
		LoadBalancerType: pulumi.String("network"),
		Internal:         pulumi.Bool(internal),
		Subnets:          subnets,
		// Given from the start: a network load balancer without a group can never
		// get one.
		SecurityGroups: pulumi.StringArray{group},
		// One zone's address then leads to the servers of all zones.
		EnableCrossZoneLoadBalancing: pulumi.Bool(true),
		Tags:                         args.named(full),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("load balancer %s: %w", part, err)
	}
	target, err := lb.NewTargetGroup(ctx, limited, &lb.TargetGroupArgs{
		Port:       pulumi.Int(apiPort),
		Protocol:   pulumi.String("TCP"),
		TargetType: pulumi.String("instance"),
		VpcId:      args.VpcID.ToStringOutput(),
		// A server that joins through the balancer may be led to itself, which
		// does not work with the client's own address. What servers admit goes by
		// the balancer's group.
		PreserveClientIp:    pulumi.String("false"),
		DeregistrationDelay: pulumi.Int(60),
		HealthCheck: lb.TargetGroupHealthCheckArgs{
			// 503 until K3s can answer, 500 while its etcd does not. The servers'
			// API lets anybody ask this one thing; see authenticationFile.
			Protocol:           pulumi.String("HTTPS"),
			Path:               pulumi.String("/readyz"),
			Matcher:            pulumi.String(readyMatcher(args.Version)),
			Port:               pulumi.String("traffic-port"),
			Interval:           pulumi.Int(10),
			HealthyThreshold:   pulumi.Int(2),
			UnhealthyThreshold: pulumi.Int(2),
		},
		Tags: args.named(full),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("target group %s: %w", part, err)
	}
	listener, err := lb.NewListener(ctx, full, &lb.ListenerArgs{
		LoadBalancerArn: made.Arn,
		Port:            pulumi.Int(apiPort),
		Protocol:        pulumi.String("TCP"),
		DefaultActions: lb.ListenerDefaultActionArray{lb.ListenerDefaultActionArgs{
			Type:           pulumi.String("forward"),
			TargetGroupArn: target.Arn,
		}},
		Tags: args.named(full),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", part, err)
	}
	return &balancer{name: full, dnsName: made.DnsName, targetGroup: target, ready: listener}, nil
}

// lead makes the way to a server: the elastic address, or a target of each load
// balancer. It returns what was made.
func (e *entrance) lead(ctx *pulumi.Context, name string, number int, server *ec2.Instance, parent pulumi.ResourceOption) ([]pulumi.Resource, error) {
	if e.address != nil {
		association, err := ec2.NewEipAssociation(ctx, name+"-api", &ec2.EipAssociationArgs{
			AllocationId: e.address.AllocationId,
			InstanceId:   server.ID(),
			// A replaced server takes the address over while the old one still has it.
			AllowReassociation: pulumi.Bool(true),
		}, parent)
		if err != nil {
			return nil, fmt.Errorf("associate the elastic address: %w", err)
		}
		return []pulumi.Resource{association}, nil
	}
	ways := make([]pulumi.Resource, 0, len(e.balancers))
	for _, b := range e.balancers {
		target, err := lb.NewTargetGroupAttachment(ctx, fmt.Sprintf("%s-server-%d", b.name, number), &lb.TargetGroupAttachmentArgs{
			TargetGroupArn: b.targetGroup.Arn,
			TargetId:       server.ID(),
			Port:           pulumi.Int(apiPort),
		}, parent)
		if err != nil {
			return nil, fmt.Errorf("target of %s: %w", b.name, err)
		}
		ways = append(ways, target)
	}
	return ways, nil
}

// ready is what must exist before servers are reached.
func (e *entrance) ready() []pulumi.Resource {
	var resources []pulumi.Resource
	for _, b := range e.balancers {
		resources = append(resources, b.ready)
	}
	return resources
}
