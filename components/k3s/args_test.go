package k3s

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"
)

func TestNewClusterRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*ClusterArgs)
		want   []string
	}{
		{"names", func(a *ClusterArgs) { a.ClusterName, a.Region = "Lab", "Frankfurt" }, []string{"ClusterName: is", "Region: is"}},
		{"long name", func(a *ClusterArgs) { a.ClusterName = "a23456789-123456789-123456789-123" }, []string{"ClusterName: is"}},
		{"version without k3s", func(a *ClusterArgs) { a.Version = "v1.35.4" }, []string{"Version: is"}},
		{"version to a shell", func(a *ClusterArgs) { a.Version = "v1.35.4+k3s1;reboot" }, []string{"Version: is"}},
		{"digest", func(a *ClusterArgs) { a.BinarySHA256 = "abc" }, []string{"BinarySHA256: is"}},
		{"counts", func(a *ClusterArgs) { a.Servers, a.Agents = 2, 0 }, []string{"Servers: is 2", "Agents: is 0"}},
		{"servers without a balancer", func(a *ClusterArgs) { a.Servers = 3 }, []string{"LoadBalancer: is empty, must be internet or internal for 3 servers"}},
		{"balancer", func(a *ClusterArgs) { a.LoadBalancer = "public" }, []string{`LoadBalancer: is "public"`}},
		{"snapshots", func(a *ClusterArgs) { a.EtcdSnapshots = &EtcdSnapshots{Bucket: "B", Schedule: "hourly\nx: y"} },
			[]string{`EtcdSnapshots.Bucket: is "B"`, "EtcdSnapshots.Schedule: is", "EtcdSnapshots.Retention: is 0"}},
		{"types", func(a *ClusterArgs) { a.ServerInstanceType, a.AgentInstanceType = "", "t3" }, []string{"ServerInstanceType: is", "AgentInstanceType: is"}},
		{"two architectures", func(a *ClusterArgs) {
			a.AgentInstanceType = "t4g.medium"
			a.AmiID = "ami-0123456789abcdef0"
			a.BinarySHA256 = "0000000000000000000000000000000000000000000000000000000000000000"
		}, []string{"AmiID: is one image", "BinarySHA256: is one digest"}},
		{"image", func(a *ClusterArgs) { a.AmiID = "ubuntu" }, []string{"AmiID: is"}},
		{"volume", func(a *ClusterArgs) { a.RootVolumeGiB = 0 }, []string{"RootVolumeGiB: is 0"}},
		{"credits", func(a *ClusterArgs) { a.CPUCredits = "" }, []string{"CPUCredits: is"}},
		{"network", func(a *ClusterArgs) { a.VpcID, a.SubnetIDs = nil, nil }, []string{"VpcID: is nil", "SubnetIDs: is nil"}},
		{"ranges", func(a *ClusterArgs) { a.VpcCIDR = "10.43.128.0/20" }, []string{"overlaps 10.43.0.0/16", "services"}},
		{"VPC over both", func(a *ClusterArgs) { a.VpcCIDR = "10.0.0.0/8" }, []string{"pods", "services"}},
		{"nobody may reach the API", func(a *ClusterArgs) { a.APICIDRs = nil }, []string{"APICIDRs: is empty"}},
		{"API ranges", func(a *ClusterArgs) { a.APICIDRs = []string{"me", "198.51.100.7/24", "0.0.0.0/0", "0.0.0.0/0"} },
			[]string{"APICIDRs[0]", "APICIDRs[1]", "APICIDRs[3]: 0.0.0.0/0 is listed twice"}},
		{"hops", func(a *ClusterArgs) { a.AgentHopLimit = 0 }, []string{"AgentHopLimit: is 0"}},
		{"policy names", func(a *ClusterArgs) {
			a.AgentPolicies = map[string]pulumi.StringInput{"boot": pulumi.String("{}")}
		}, []string{"AgentPolicies[boot]"}},
		{"flags", func(a *ClusterArgs) {
			a.FeatureGates, a.RuntimeConfig = []string{"A=true", "A"}, []string{"x"}
		}, []string{"FeatureGates[1]", "RuntimeConfig[0]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := labArgs()
			tt.change(args)
			c := newCloud(t)
			err := c.run(true, newLab(args))
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.Empty(t, c.Resources(), "something was registered before the error")
		})
	}
	var none *ClusterArgs
	require.ErrorContains(t, none.validate(), "args are nil")
	require.Error(t, (&ClusterArgs{}).validate())
	require.NoError(t, labArgs().validate())
}

func TestSubnetsMustNotBeEmpty(t *testing.T) {
	args := labArgs()
	args.SubnetIDs = pulumi.StringArray{}
	require.ErrorContains(t, newCloud(t).run(true, newLab(args)), "SubnetIDs: is empty")
}

func TestArchitecture(t *testing.T) {
	for _, arm := range []string{"a1.large", "t4g.medium", "m6g.large", "m7gd.xlarge",
		"c6gn.large", "c8gn.large", "r8gb.large", "x2gd.medium", "im4gn.large", "is4gen.large", "i4g.large",
		"g5g.xlarge", "hpc7g.4xlarge"} {
		require.Equal(t, "arm64", architecture(arm), arm)
	}
	for _, amd := range []string{"t2.micro", "t3.medium", "t3a.small", "m5.large", "m7i-flex.large", "m7a.large", "c5n.large",
		"i4i.large", "i7ie.large", "g4dn.xlarge", "g6.xlarge", "g6e.xlarge", "gr6.4xlarge",
		"p5en.48xlarge", "u-6tb1.56xlarge", "u7i-12tb.224xlarge", "x2iedn.xlarge"} {
		require.Equal(t, "amd64", architecture(amd), amd)
	}
	for instanceType, want := range map[string]bool{"t2.micro": true, "t3.medium": true, "t4g.small": true, "trn1.2xlarge": false, "m5.large": false} {
		require.Equal(t, want, burstable(instanceType), instanceType)
	}
}
