package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/components/k3s"
	"k3s-aws-auth/components/network"
	"k3s-aws-auth/stacks/config"
)

// identityPlane is what a setup gives to its cluster. Its zero value is a
// cluster that signs with a key of its own and whose pods reach no node role.
type identityPlane struct {
	// issuers and signingKeys are those of ServiceAccount tokens; the first of
	// each is active.
	issuers     pulumi.StringArrayInput
	signingKeys pulumi.StringArrayInput
	// podsUseNodeRole lets pods on the agents have the agents' role, whose
	// further permissions are nodePolicies (JSON, by name) and
	// nodeManagedPolicyArns.
	podsUseNodeRole       bool
	nodePolicies          map[string]pulumi.StringInput
	nodeManagedPolicyArns []string
}

// newCluster makes the network and the K3s cluster in it.
func newCluster(ctx *pulumi.Context, cfg *config.Config, plane identityPlane) (*k3s.Cluster, error) {
	net, err := network.NewNetwork(ctx, named(cfg, "network"), &network.NetworkArgs{
		CIDR:  cfg.Network.CIDR,
		Zones: cfg.Network.Zones,
		Tags:  cfg.ResourceTags(),
	})
	if err != nil {
		return nil, err
	}
	hopLimit := 1
	if plane.podsUseNodeRole {
		hopLimit = 2
	}
	return k3s.NewCluster(ctx, named(cfg, "cluster"), &k3s.ClusterArgs{
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
		SubnetIDs:              net.SubnetIDs,
		VpcCIDR:                cfg.Network.CIDR,
		APICIDRs:               cfg.Network.APICIDRs,
		Issuers:                plane.issuers,
		SigningKeys:            plane.signingKeys,
		AgentHopLimit:          hopLimit,
		AgentPolicies:          plane.nodePolicies,
		AgentManagedPolicyArns: plane.nodeManagedPolicyArns,
		Region:                 cfg.Region,
		Tags:                   cfg.ResourceTags(),
	})
}
