package k3s

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ssm"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/instanceprofile"
	"k3s-aws-auth/components/keyset"
)

// nodes describes the machines of one role.
type nodes struct {
	role         string
	instanceType string
	images       map[string]pulumi.StringOutput // by architecture
	hopLimit     int
	group        pulumi.StringOutput
	profile      *instanceprofile.InstanceProfile
	// after must exist before a machine boots, and outlive it.
	after []pulumi.Resource
	// deleteFirst has a machine that is replaced removed before the new one is
	// made.
	deleteFirst bool
}

// newNode makes machine number i, in one of the subnets in their order, after
// the machines that it waits for.
//
// A change of user data (an issuer, a feature gate, the K3s version) restarts
// the machine in place, and the boot script applies it; see boot.sh. Replacing
// is not asked for: it would take a server's etcd with its volume, and leave the
// nodes of replaced agents behind in the cluster.
func newNode(ctx *pulumi.Context, name string, args *ClusterArgs, n nodes, i int, userData pulumi.StringOutput,
	after []pulumi.Resource, parent pulumi.ResourceOption) (*ec2.Instance, error) {
	opts := []pulumi.ResourceOption{
		parent,
		// The boot script reads its parameters with the role's permissions as
		// soon as the machine runs. The profile's name alone would not wait for
		// the policies.
		pulumi.DependsOn(slices.Concat(n.profile.Permissions, n.after, after)),
	}
	if args.AmiID == "" {
		// Canonical moves its current image every few weeks, and another image
		// replaces a machine. New nodes get the new one; one that is asked for by
		// AmiID does replace.
		opts = append(opts, pulumi.IgnoreChanges([]string{"ami"}))
	}
	if n.deleteFirst {
		opts = append(opts, pulumi.DeleteBeforeReplace(true))
	}
	machineName := fmt.Sprintf("%s-%s-%d", name, n.role, i)
	instance := &ec2.InstanceArgs{
		Ami:                 n.images[architecture(n.instanceType)],
		InstanceType:        pulumi.String(n.instanceType),
		SubnetId:            subnetFor(args, i),
		VpcSecurityGroupIds: pulumi.StringArray{n.group},
		IamInstanceProfile:  n.profile.ProfileName,
		UserData:            userData,
		// IMDSv2 only, and the hop limit always said: an image can bring its
		// own. Tags stay out of the metadata, as for a new account.
		MetadataOptions: ec2.InstanceMetadataOptionsArgs{
			HttpEndpoint:            pulumi.String("enabled"),
			HttpTokens:              pulumi.String("required"),
			HttpPutResponseHopLimit: pulumi.Int(n.hopLimit),
			InstanceMetadataTags:    pulumi.String("disabled"),
		},
		RootBlockDevice: ec2.InstanceRootBlockDeviceArgs{
			VolumeType:          pulumi.String("gp3"),
			VolumeSize:          pulumi.Int(args.RootVolumeGiB),
			Encrypted:           pulumi.Bool(true),
			DeleteOnTermination: pulumi.Bool(true),
			Tags:                args.named(machineName),
		},
		Tags: args.named(machineName),
	}
	if burstable(n.instanceType) {
		instance.CreditSpecification = ec2.InstanceCreditSpecificationArgs{CpuCredits: pulumi.String(args.CPUCredits)}
	}
	machine, err := ec2.NewInstance(ctx, machineName, instance, opts...)
	if err != nil {
		return nil, fmt.Errorf("instance %s: %w", machineName, err)
	}
	return machine, nil
}

// serverPlan is what makes machines servers.
type serverPlan struct {
	nodes    nodes
	here     place
	entrance *entrance
	files    []secretFile
	signing  []keyset.Member
	settled  settled
}

// settled waits for a server, by its number, to be well; way is how it is reached.
type settled func(number int, server *ec2.Instance, way []pulumi.Resource) pulumi.StringOutput

// servers are the machines of the control plane, the ways to them, and an output
// that resolves when the last of them is well.
type servers struct {
	machines []*ec2.Instance
	ways     []pulumi.Resource
	well     pulumi.StringOutput
}

// newServers makes the servers, one after the other: each waits, also when all
// of them change, until the one before is a healthy member again, so that etcd
// keeps its majority.
//
// A server that is replaced goes before its successor comes: that keeps the
// count of etcd's members at what it should be. The successor joins by the load
// balancer and removes the old one's Node, by which K3s removes it from etcd.
func newServers(ctx *pulumi.Context, name string, args *ClusterArgs, plan serverPlan, parent pulumi.ResourceOption) (*servers, error) {
	made := &servers{well: pulumi.String("").ToStringOutput()}
	plan.nodes.deleteFirst = args.Servers > 1
	var before []pulumi.Resource
	for i := range args.Servers {
		userData := serverUserData(args, plan, i, made.well)
		server, err := newNode(ctx, name, args, plan.nodes, i, userData, before, parent)
		if err != nil {
			return nil, err
		}
		way, err := plan.entrance.lead(ctx, name, i, server, parent)
		if err != nil {
			return nil, err
		}
		if args.Servers > 1 {
			made.well = plan.settled(i, server, way)
		}
		made.machines, made.ways = append(made.machines, server), append(made.ways, way...)
		before = append([]pulumi.Resource{server}, way...)
	}
	return made, nil
}

// newAgents makes the agents in as many lanes as a tenth of them, at least one.
// Within a lane one follows the other, so that a change restarts few at a time
// and pods find room elsewhere.
func newAgents(ctx *pulumi.Context, name string, args *ClusterArgs, n nodes, userData pulumi.StringOutput, parent pulumi.ResourceOption) ([]*ec2.Instance, error) {
	lanes := max(1, args.Agents/10)
	var agents []*ec2.Instance
	for i := range args.Agents {
		var before []pulumi.Resource
		if i >= lanes {
			before = []pulumi.Resource{agents[i-lanes]}
		}
		agent, err := newNode(ctx, name, args, n, i, userData, before, parent)
		if err != nil {
			return nil, err
		}
		agents = append(agents, agent)
	}
	return agents, nil
}

// newImages finds the image for each architecture in use: the given one, or
// Canonical's current Ubuntu 24.04 server by its public SSM parameter.
func newImages(ctx *pulumi.Context, args *ClusterArgs, parent pulumi.ResourceOrInvokeOption) (map[string]pulumi.StringOutput, error) {
	images := map[string]pulumi.StringOutput{}
	for _, instanceType := range []string{args.ServerInstanceType, args.AgentInstanceType} {
		arch := architecture(instanceType)
		if _, found := images[arch]; found {
			continue
		}
		if args.AmiID != "" {
			images[arch] = pulumi.String(args.AmiID).ToStringOutput()
			continue
		}
		parameter := ssm.LookupParameterOutput(ctx, ssm.LookupParameterOutputArgs{
			Name: pulumi.Sprintf("/aws/service/canonical/ubuntu/server/24.04/stable/current/%s/hvm/ebs-gp3/ami-id", arch),
		}, parent)
		// The provider calls every parameter's value a secret; an image id is not.
		image, ok := pulumi.Unsecret(parameter.Value()).(pulumi.StringOutput)
		if !ok {
			return nil, errors.New("the image's parameter is not text")
		}
		images[arch] = image
	}
	return images, nil
}

// subnetFor spreads nodes over the subnets by their number.
func subnetFor(args *ClusterArgs, node int) pulumi.StringOutput {
	return args.SubnetIDs.ToStringArrayOutput().ApplyT(func(ids []string) (string, error) {
		if len(ids) == 0 {
			return "", errors.New("args.SubnetIDs: is empty, must have at least one subnet")
		}
		return ids[node%len(ids)], nil
	}).(pulumi.StringOutput)
}

// serverUserData is the user data of server number i, once the server before it
// is well.
func serverUserData(args *ClusterArgs, plan serverPlan, i int, well pulumi.StringOutput) pulumi.StringOutput {
	issuers := args.Issuers
	if issuers == nil {
		issuers = pulumi.StringArray{}
	}
	join := plan.entrance.join
	if args.Servers == 1 {
		join = pulumi.String("").ToStringOutput() // the only server joins nobody
	}
	return pulumi.All(plan.entrance.names, issuers, join, well).ApplyT(func(values []any) (string, error) {
		m := member{number: i, join: values[2].(string)}
		config, err := newServerConfig(args, plan.here, m, plan.signing, values[0].([]string), values[1].([]string))
		if err != nil {
			return "", err
		}
		return userData(serverRole, args, plan.here, m, config, plan.files)
	}).(pulumi.StringOutput)
}

// agentUserData is the user data of agents that join at a URL, once the servers
// are well: Kubernetes allows a kubelet that is older than the API server, not
// one that is newer, so that servers change their version first.
func agentUserData(args *ClusterArgs, here place, join, well pulumi.StringOutput, files []secretFile) pulumi.StringOutput {
	return pulumi.All(join, well).ApplyT(func(values []any) (string, error) {
		return userData(agentRole, args, here, member{}, newAgentConfig(args, values[0].(string)), files)
	}).(pulumi.StringOutput)
}

func instanceIDs(machines []*ec2.Instance) pulumi.StringArrayOutput {
	ids := make(pulumi.StringArray, len(machines))
	for i, machine := range machines {
		ids[i] = machine.ID()
	}
	return ids.ToStringArrayOutput()
}

// named are the caller's tags and a Name.
func (args *ClusterArgs) named(name string) pulumi.StringMap {
	tags := maps.Clone(args.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags["Name"] = name
	return pulumi.ToStringMap(tags)
}
