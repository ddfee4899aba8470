package k3s

import (
	"errors"
	"fmt"
	"maps"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ssm"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/instanceprofile"
)

// nodes describes the machines of one role.
type nodes struct {
	role         string
	count        int
	instanceType string
	images       map[string]pulumi.StringOutput // by architecture
	hopLimit     int
	group        pulumi.StringOutput
	profile      *instanceprofile.InstanceProfile
	userData     pulumi.StringOutput
	// after must exist before a machine boots, and outlive it.
	after []pulumi.Resource
}

// newNodes makes the machines, spread over the subnets in their order.
//
// A change of user data (an issuer, a feature gate, the K3s version) restarts
// the machine in place, and the boot script applies it; see boot.sh. Replacing
// is not asked for: it would take a server's etcd with its volume, and leave the
// nodes of replaced agents behind in the cluster. Restarted agents are all away
// for about a minute.
func newNodes(ctx *pulumi.Context, name string, args *ClusterArgs, n nodes, parent pulumi.ResourceOption) ([]*ec2.Instance, error) {
	opts := []pulumi.ResourceOption{
		parent,
		// The boot script reads its parameters with the role's permissions as
		// soon as the machine runs. The profile's name alone would not wait for
		// the policies.
		pulumi.DependsOn(append([]pulumi.Resource{n.profile}, n.after...)),
	}
	if args.AmiID == "" {
		// Canonical moves its current image every few weeks, and another image
		// replaces a machine. New nodes get the new one; one that is asked for by
		// AmiID does replace.
		opts = append(opts, pulumi.IgnoreChanges([]string{"ami"}))
	}
	machines := make([]*ec2.Instance, 0, n.count)
	for i := range n.count {
		machineName := fmt.Sprintf("%s-%s-%d", name, n.role, i)
		instance := &ec2.InstanceArgs{
			Ami:                 n.images[architecture(n.instanceType)],
			InstanceType:        pulumi.String(n.instanceType),
			SubnetId:            subnetFor(args, i),
			VpcSecurityGroupIds: pulumi.StringArray{n.group},
			IamInstanceProfile:  n.profile.ProfileName,
			UserData:            n.userData,
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
		machines = append(machines, machine)
	}
	return machines, nil
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

// serverUserData is the user data of a server that is reached by address.
func serverUserData(args *ClusterArgs, here place, address pulumi.StringOutput, files []secretFile) pulumi.StringOutput {
	issuers := args.Issuers
	if issuers == nil {
		issuers = pulumi.StringArray{}
	}
	return pulumi.All(address, issuers).ApplyT(func(values []any) (string, error) {
		config, err := newServerConfig(args, values[0].(string), values[1].([]string))
		if err != nil {
			return "", err
		}
		return userData(serverRole, args, here, config, files)
	}).(pulumi.StringOutput)
}

// agentUserData is the user data of an agent that joins the server at address.
func agentUserData(args *ClusterArgs, here place, address pulumi.StringOutput, files []secretFile) pulumi.StringOutput {
	return address.ApplyT(func(address string) (string, error) {
		return userData(agentRole, args, here, newAgentConfig(address), files)
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
