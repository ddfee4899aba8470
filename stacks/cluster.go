package stacks

import (
	"fmt"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/existing"
	"k3s-aws-auth/components/k3s"
	"k3s-aws-auth/components/kubeclient"
	"k3s-aws-auth/components/network"
	"k3s-aws-auth/stacks/config"
)

// identityPlane is what a setup gives to its cluster. Its zero value is a
// cluster that signs with a key of its own and whose pods reach no node role.
type identityPlane struct {
	// issuers and signingKeys are those of ServiceAccount tokens; the first issuer
	// is active.
	issuers     pulumi.StringArrayInput
	signingKeys []k3s.SigningKey
	// podsUseNodeRole lets pods on the agents have the agents' role, whose
	// further permissions are nodePolicies (JSON, by name) and
	// nodeManagedPolicyArns.
	podsUseNodeRole       bool
	nodePolicies          map[string]pulumi.StringInput
	nodeManagedPolicyArns []string
	// featureGates and runtimeConfig are what API servers need beyond K3s's
	// defaults.
	featureGates, runtimeConfig []string
}

// cluster is where pods run, whoever made it.
type cluster struct {
	// kubeconfig is an administrator's, secret.
	kubeconfig, endpoint pulumi.StringOutput
	// agentRoleArn is the role of the machines that pods run on. Nobody knows
	// that of an existing cluster.
	agentRoleArn pulumi.StringOutput
	provider     *kubernetes.Provider
	// identifier is the provider's of the cluster: another one would replace
	// everything in it.
	identifier string
	adopts     *kubernetes.Provider
}

// adopting returns the provider of objects that may be there already and are then
// the stack's own: they outlive what Pulumi knows of them. From 4.29 on, the
// Kubernetes provider makes no object that exists unless it is told to, and the
// annotation pulumi.com/patchForce does not count at create
// (https://github.com/pulumi/pulumi-kubernetes/pull/4278). All other objects are
// made by the strict one.
func (c *cluster) adopting(ctx *pulumi.Context, cfg *config.Config) (*kubernetes.Provider, error) {
	if c.adopts != nil {
		return c.adopts, nil
	}
	args := kubeclient.ProviderArgs(c.kubeconfig, c.identifier)
	args.UpsertExistingObjects = pulumi.Bool(true)
	provider, err := kubernetes.NewProvider(ctx, named(cfg, "kubernetes-adopting"), args)
	if err != nil {
		return nil, fmt.Errorf("kubernetes provider of the stack's own objects: %w", err)
	}
	c.adopts = provider
	return provider, nil
}

// newCluster makes the network and the K3s cluster in it, or the way into the
// existing cluster.
func newCluster(ctx *pulumi.Context, cfg *config.Config, plane identityPlane) (*cluster, error) {
	if cfg.Existing() {
		found, err := existing.NewCluster(ctx, named(cfg, "cluster"), &existing.ClusterArgs{Kubeconfig: cfg.Cluster.Kubeconfig})
		if err != nil {
			return nil, err
		}
		return &cluster{kubeconfig: found.Kubeconfig, endpoint: found.Endpoint, provider: found.Provider, identifier: named(cfg, "cluster")}, nil
	}
	net, err := network.NewNetwork(ctx, named(cfg, "network"), &network.NetworkArgs{
		CIDR:      cfg.Network.CIDR,
		Zones:     cfg.Network.Zones,
		Private:   cfg.Network.Private,
		NAT:       cfg.Network.NAT,
		Endpoints: cfg.Network.VPCEndpoints,
		Region:    cfg.Region,
		Tags:      cfg.ResourceTags(),
	})
	if err != nil {
		return nil, err
	}
	subnets := net.SubnetIDs
	if cfg.Network.Private {
		subnets = net.PrivateSubnetIDs
	}
	if cfg.ThrottledServers() {
		if err := ctx.Log.Warn(throttled(cfg), nil); err != nil {
			return nil, err
		}
	}
	hopLimit := 1
	if plane.podsUseNodeRole {
		hopLimit = 2
	}
	made, err := k3s.NewCluster(ctx, named(cfg, "cluster"), &k3s.ClusterArgs{
		ClusterName:            cfg.ClusterName,
		Version:                cfg.Cluster.Version,
		BinarySHA256:           cfg.Cluster.BinarySHA256,
		Servers:                cfg.Cluster.Servers,
		Agents:                 cfg.Cluster.Agents,
		ServerInstanceType:     cfg.Cluster.ServerInstanceType,
		AgentInstanceType:      cfg.Cluster.AgentInstanceType,
		AmiID:                  cfg.Cluster.AmiID,
		RootVolumeGiB:          cfg.Cluster.RootVolumeGiB,
		CPUCredits:             cfg.Cluster.CPUCredits,
		VpcID:                  net.VpcID,
		SubnetIDs:              subnets,
		PublicSubnetIDs:        net.SubnetIDs,
		LoadBalancer:           loadBalancer(cfg),
		EtcdSnapshots:          etcdSnapshots(cfg),
		VpcCIDR:                cfg.Network.CIDR,
		APICIDRs:               cfg.Network.APICIDRs,
		Issuers:                plane.issuers,
		SigningKeys:            plane.signingKeys,
		FeatureGates:           plane.featureGates,
		RuntimeConfig:          plane.runtimeConfig,
		AgentHopLimit:          hopLimit,
		AgentPolicies:          plane.nodePolicies,
		AgentManagedPolicyArns: plane.nodeManagedPolicyArns,
		ImagePulls:             imagePulls(cfg),
		PermissionsBoundary:    cfg.PermissionsBoundary,
		Protect:                cfg.Production,
		Region:                 cfg.Region,
		Tags:                   cfg.ResourceTags(),
	})
	if err != nil {
		return nil, err
	}
	return &cluster{kubeconfig: made.Kubeconfig, endpoint: made.Endpoint, agentRoleArn: made.AgentRoleArn, provider: made.Provider,
		identifier: cfg.ClusterName}, nil
}

// throttled says what servers without credits are in for.
func throttled(cfg *config.Config) string {
	return fmt.Sprintf("cluster.cpuCredits is standard, and %s gets no credits at launch: servers boot at their baseline, in 4 to 6 minutes "+
		"where unlimited takes 2 to 3, and whenever credits run out etcd and leases may miss their deadlines. "+
		"unlimited costs extra only for what is used above the baseline, by the day.", cfg.Cluster.ServerInstanceType)
}

// loadBalancer is the one that the API needs, if any.
func loadBalancer(cfg *config.Config) string {
	switch {
	case !cfg.Balanced():
		return k3s.LoadBalancerNone
	case cfg.Cluster.APIAccess == config.APIPrivate:
		return k3s.LoadBalancerInternal
	}
	return k3s.LoadBalancerInternet
}

func etcdSnapshots(cfg *config.Config) *k3s.EtcdSnapshots {
	s := cfg.Cluster.EtcdSnapshots
	if s.Bucket == "" {
		return nil
	}
	return &k3s.EtcdSnapshots{Bucket: s.Bucket, Schedule: s.Schedule, Retention: s.Retention}
}
