// Package k3s makes a K3s cluster of EC2 machines: its keys and certificates,
// the machines with the user data that turns them into nodes, and an admin's
// kubeconfig. Everything a node needs is known before it boots, so one update
// makes a running cluster, without SSH and without a second step.
package k3s

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/instanceprofile"
	"k3s-aws-auth/components/kubeclient"
	"k3s-aws-auth/components/outputs"
)

// Type is the component's type token. Changing it needs an alias.
const Type = "k3s-aws-auth:k3s:Cluster"

// Cluster is a K3s cluster.
type Cluster struct {
	pulumi.ResourceState

	// Kubeconfig is an admin's, secret. It resolves once the API server is
	// ready and depends on all nodes: what uses it exists only while the cluster
	// can serve it, also on the way down.
	Kubeconfig pulumi.StringOutput `pulumi:"kubeconfig"`
	// Endpoint is the API's URL: of the elastic address, or of the load balancer.
	Endpoint pulumi.StringOutput `pulumi:"endpoint"`
	// AgentRoleArn, AgentRoleName and ServerRoleArn are the nodes' roles.
	AgentRoleArn  pulumi.StringOutput `pulumi:"agentRoleArn"`
	AgentRoleName pulumi.StringOutput `pulumi:"agentRoleName"`
	ServerRoleArn pulumi.StringOutput `pulumi:"serverRoleArn"`
	// ServerInstanceIDs and AgentInstanceIDs are the machines.
	ServerInstanceIDs pulumi.StringArrayOutput `pulumi:"serverInstanceIds"`
	AgentInstanceIDs  pulumi.StringArrayOutput `pulumi:"agentInstanceIds"`
	// Provider makes Kubernetes resources in the cluster.
	Provider *kubernetes.Provider
}

// NewCluster makes a cluster of one, three or five servers and any number of
// agents and waits, except in previews, until its API is ready.
//
// It fails before registering anything if args is nil or incomplete, each line
// of the error naming the argument. If the API is not ready in time, Kubeconfig
// fails with how to find out why.
func NewCluster(ctx *pulumi.Context, name string, args *ClusterArgs, opts ...pulumi.ResourceOption) (*Cluster, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	cluster := &Cluster{}
	if err := ctx.RegisterComponentResource(Type, name, cluster, opts...); err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	parent := pulumi.Parent(cluster)
	here, err := lookUpPlace(ctx, args.Region, parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}

	// Keys, certificates and tokens, and their way to the nodes.
	keys, err := newPKI(ctx, name, args, parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	tokens, err := newTokens(ctx, name, keys, pulumi.Protect(args.Protect), parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	parameters, err := newParameters(ctx, name, args, serverSecrets(keys, tokens), parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	founder, err := newFounder(ctx, name, args, parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}

	// What nodes may do, and who may reach them.
	serverProfile, err := newServerProfile(ctx, name, args, here, parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	agentProfile, err := newAgentProfile(ctx, name, args, here, parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	firewall, err := newFirewall(ctx, name, args, parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}

	// The machines. What they are reached by is made first, since certificates
	// name it.
	entrance, err := newEntrance(ctx, name, args, firewall, parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	images, err := newImages(ctx, args, parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	before := slices.Concat(parameters, founder, firewall.rules, entrance.ready())
	servers, err := newServers(ctx, name, args, serverPlan{
		nodes: nodes{
			role: serverRole, instanceType: args.ServerInstanceType,
			images: images, hopLimit: 1, group: firewall.servers, profile: serverProfile, after: before,
		},
		here: here, entrance: entrance, files: serverSecrets(keys, tokens), signing: members(keys.signing),
		settled: cluster.settled(ctx, args, keys, entrance, firewall),
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	join := entrance.join
	if !args.balanced() {
		join = servers.machines[0].PrivateIp.ApplyT(apiURL).(pulumi.StringOutput)
	}
	agents, err := newAgents(ctx, name, args, nodes{
		role: agentRole, instanceType: args.AgentInstanceType,
		images: images, hopLimit: args.AgentHopLimit, group: firewall.agents, profile: agentProfile, after: before,
	}, agentUserData(args, here, join, servers.well, agentSecrets(tokens)), parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}

	// The way in.
	cluster.Endpoint = entrance.endpoint
	cluster.ServerInstanceIDs = instanceIDs(servers.machines)
	cluster.AgentInstanceIDs = instanceIDs(agents)
	cluster.Kubeconfig = cluster.readyKubeconfig(ctx, args, keys, slices.Concat(servers.ways, entrance.ready(), firewall.rules))
	cluster.Provider, err = kubernetes.NewProvider(ctx, name+"-kubernetes", kubeclient.ProviderArgs(cluster.Kubeconfig, args.ClusterName), parent)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: kubernetes provider: %w", name, err)
	}

	cluster.AgentRoleArn = agentProfile.RoleArn
	cluster.AgentRoleName = agentProfile.RoleName
	cluster.ServerRoleArn = serverProfile.RoleArn
	err = outputs.Register(ctx, cluster)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	return cluster, nil
}

// newServerProfile gives servers a role that reads the cluster's secrets, does
// what several servers and their snapshots need, and nothing else.
func newServerProfile(ctx *pulumi.Context, name string, args *ClusterArgs, here place, parent pulumi.ResourceOption) (*instanceprofile.InstanceProfile, error) {
	policies, err := serverPolicies(here, args)
	if err != nil {
		return nil, err
	}
	return instanceprofile.NewInstanceProfile(ctx, name+"-server", &instanceprofile.InstanceProfileArgs{
		Policies:            policies,
		PermissionsBoundary: args.PermissionsBoundary,
		Tags:                args.Tags,
	}, parent)
}

// newAgentProfile gives agents a role that reads the agents' token, and what
// the caller adds.
func newAgentProfile(ctx *pulumi.Context, name string, args *ClusterArgs, here place, parent pulumi.ResourceOption) (*instanceprofile.InstanceProfile, error) {
	policies, err := agentPolicies(here, args)
	if err != nil {
		return nil, err
	}
	for policy, document := range args.AgentPolicies {
		policies[policy] = document
	}
	return instanceprofile.NewInstanceProfile(ctx, name+"-agent", &instanceprofile.InstanceProfileArgs{
		Policies:            policies,
		ManagedPolicyArns:   args.AgentManagedPolicyArns,
		PermissionsBoundary: args.PermissionsBoundary,
		Tags:                args.Tags,
	}, parent)
}

// readyKubeconfig is the admin's kubeconfig, held back until the API server is
// ready. It depends on the machines, the ways to them and the firewall beyond
// the values it needs, so that on destroy everything in the cluster goes first,
// while the API still answers and agents still end their pods.
func (cluster *Cluster) readyKubeconfig(ctx *pulumi.Context, args *ClusterArgs, keys *keyring, after []pulumi.Resource) pulumi.StringOutput {
	needed := []any{
		cluster.Endpoint, keys.server.bundlePEM, keys.adminCertPEM, keys.adminKeyPEM, cluster.ServerInstanceIDs,
		cluster.AgentInstanceIDs,
	}
	for _, resource := range after {
		needed = append(needed, resource.(pulumi.CustomResource).ID())
	}
	ready := pulumi.All(needed...).ApplyTWithContext(ctx.Context(), func(waiting context.Context, values []any) (string, error) {
		access := adminOf(args.ClusterName, values)
		config, err := access.Kubeconfig()
		if err != nil || ctx.DryRun() {
			return config, err // a preview changes nothing, so there is nothing to wait for
		}
		progress := func(answer string) {
			_ = ctx.Log.Info("waiting for the Kubernetes API: "+answer, &pulumi.LogArgs{Resource: cluster, Ephemeral: true})
		}
		hint := bootHint(values[4].([]string)[0], args.Region)
		return config, waitForAPI(waiting, access, apiDeadline, hint, progress)
	}).(pulumi.StringOutput)
	return pulumi.ToSecret(ready).(pulumi.StringOutput)
}

// adminOf is the admin's way in, from values that begin with the endpoint, the
// server CA, and the client's certificate and key.
func adminOf(clusterName string, values []any) kubeclient.Admin {
	return kubeclient.Admin{
		ClusterName: clusterName,
		Endpoint:    values[0].(string),
		CAPem:       values[1].(string),
		CertPem:     values[2].(string),
		KeyPem:      values[3].(string),
	}
}

// settled returns the function that waits, except in previews, for a server to
// be a healthy node of the wanted version, with all other servers well too; see
// [serverWait].
func (cluster *Cluster) settled(ctx *pulumi.Context, args *ClusterArgs, keys *keyring, e *entrance, f *firewall) settled {
	return func(number int, server *ec2.Instance, ways []pulumi.Resource) pulumi.StringOutput {
		needed := []any{e.endpoint, keys.server.bundlePEM, keys.adminCertPEM, keys.adminKeyPEM, server.PrivateIp, server.ID(), f.servers}
		for _, way := range ways {
			needed = append(needed, way.(pulumi.CustomResource).ID())
		}
		well := pulumi.All(needed...).ApplyTWithContext(ctx.Context(), func(waiting context.Context, values []any) (string, error) {
			if ctx.DryRun() {
				return "", nil
			}
			id := string(values[5].(pulumi.ID))
			wait := serverWait{
				access: adminOf(args.ClusterName, values),
				number: number, servers: args.Servers, privateIP: values[4].(string), instanceID: id, version: args.Version,
				machines: func(_ context.Context, ages bool) (fleet, error) {
					return serversIn(ctx, values[6].(string), ages, pulumi.Parent(cluster))
				},
				hint: bootHint(id, args.Region),
			}
			wait.progress = func(answer string) {
				_ = ctx.Log.Info("waiting for server "+wait.privateIP+": "+answer, &pulumi.LogArgs{Resource: cluster, Ephemeral: true})
			}
			return "", wait.wait(waiting, apiDeadline)
		}).(pulumi.StringOutput)
		// That a server is well is no secret, though the key that asks is one.
		return pulumi.Unsecret(well).(pulumi.StringOutput)
	}
}

// serversIn asks EC2 which machines are in the servers' security group, and,
// if wanted, since when.
func serversIn(ctx *pulumi.Context, group string, ages bool, parent pulumi.InvokeOption) (fleet, error) {
	found, err := ec2.GetInstances(ctx, &ec2.GetInstancesArgs{
		Filters:            []ec2.GetInstancesFilter{{Name: "instance.group-id", Values: []string{group}}},
		InstanceStateNames: []string{"pending", "running", "stopping", "stopped"},
	}, parent)
	if err != nil {
		return fleet{}, fmt.Errorf("list the servers' machines: %w", err)
	}
	machines := fleet{ids: found.Ids, privateIPs: found.PrivateIps}
	for _, id := range found.Ids {
		if !ages {
			break
		}
		one, err := ec2.LookupInstance(ctx, &ec2.LookupInstanceArgs{InstanceId: &id}, parent)
		if err != nil {
			return fleet{}, fmt.Errorf("look up %s: %w", id, err)
		}
		at, err := time.Parse(time.RFC3339, one.LaunchTime)
		if err != nil {
			return fleet{}, fmt.Errorf("launch time of %s: %w", id, err)
		}
		machines.launched = append(machines.launched, at)
	}
	return machines, nil
}
