package stacks

import (
	"slices"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/require"
)

// replacedBy lists, of the types whose replacement matters, the inputs that
// cannot change in place, as terraform-provider-aws has them.
var replacedBy = map[string][]string{
	"aws:ec2/instance:Instance": {
		"ami", "subnetId", "availabilityZone", "associatePublicIpAddress", "privateIp", "keyName", "ebsOptimized",
		"hibernation", "placementGroup", "tenancy", "ebsBlockDevices", "networkInterfaces", "launchTemplate",
	},
	"aws:lb/loadBalancer:LoadBalancer":                   {"name", "internal", "loadBalancerType"},
	"aws:lb/targetGroup:TargetGroup":                     {"name", "port", "protocol", "targetType", "vpcId"},
	"aws:lb/targetGroupAttachment:TargetGroupAttachment": {"targetGroupArn", "targetId", "port"},
	"aws:ec2/eipAssociation:EipAssociation":              {"allocationId", "instanceId"},
	"aws:ec2/vpc:Vpc":                                    {"cidrBlock"},
	"aws:ec2/subnet:Subnet":                              {"vpcId", "cidrBlock", "availabilityZone"},
	"aws:ec2/securityGroup:SecurityGroup":                {"name", "description", "vpcId"},
	"aws:ssm/parameter:Parameter":                        {"name"},
}

// changes is what a preview would show between two runs: for each resource of
// those types that differs, whether it is created, deleted, updated or replaced.
// Options that hide changes are honoured, as the engine does.
func changes(before, after *testEngine) map[string]string {
	found := map[string]string{}
	old := map[string]registered{}
	for _, r := range before.resources {
		if _, ok := replacedBy[r.Type]; ok {
			old[r.URN] = r
		}
	}
	for _, r := range after.resources {
		forceNew, ok := replacedBy[r.Type]
		if !ok {
			continue
		}
		was, existed := old[r.URN]
		delete(old, r.URN)
		if !existed {
			found[r.Name] = "create"
			continue
		}
		for _, key := range r.Inputs.StableKeys() {
			if slices.Contains(r.IgnoreChanges, string(key)) || was.Inputs[key].DeepEquals(r.Inputs[key]) {
				continue
			}
			if slices.Contains(forceNew, string(key)) {
				found[r.Name] = "replace"
			} else if found[r.Name] == "" {
				found[r.Name] = "update"
			}
		}
	}
	for _, r := range old {
		found[r.Name] = "delete"
	}
	return found
}

// nodes are the machines of a cluster with what happens to each.
func nodes(what string, names ...string) map[string]string {
	all := map[string]string{}
	for _, name := range names {
		all["lab-cluster-"+name] = what
	}
	return all
}

func three(values map[string]string) {
	values["k3s-aws-auth:cluster"] = `{"servers":3}`
	values["k3s-aws-auth:network"] = `{"zones":["eu-central-1a","eu-central-1b","eu-central-1c"],"apiCidrs":["203.0.113.7/32"]}`
}

// TestReplacement holds what replaces machines, what restarts them and what
// leaves them alone, for one server and for three.
func TestReplacement(t *testing.T) {
	one := func(map[string]string) {}
	servers := map[string][]string{"one": {"server-0"}, "three": {"server-0", "server-1", "server-2"}}
	for shape, base := range map[string]func(map[string]string){"one": one, "three": three} {
		with := func(key, value string) func(map[string]string) {
			return func(values map[string]string) {
				base(values)
				values[key] = value
			}
		}
		count := map[string]string{"one": "1", "three": "3"}[shape]
		run := func(f func(map[string]string)) *testEngine { return runLab(t, "irsa-s3", true, f) }
		before := run(base)
		all := append(slices.Clone(servers[shape]), "agent-0", "agent-1")

		t.Run(shape+"/nothing", func(t *testing.T) {
			require.Empty(t, changes(before, run(base)))
		})
		t.Run(shape+"/Canonical's image moves", func(t *testing.T) {
			e := &testEngine{known: true, image: "ami-0fedcba9876543210"}
			values := labConfig(t)
			base(values)
			require.NoError(t, e.run(t, values))
			require.Empty(t, changes(before, e))
		})
		t.Run(shape+"/version", func(t *testing.T) {
			after := run(with("k3s-aws-auth:cluster", `{"servers":`+count+`,"version":"v1.35.5+k3s1"}`))
			require.Equal(t, nodes("update", all...), changes(before, after), "every node restarts, none is replaced")
		})
		t.Run(shape+"/issuer", func(t *testing.T) {
			after := run(with("k3s-aws-auth:issuer", `{"bucket":"another-issuer"}`))
			require.Equal(t, nodes("update", servers[shape]...), changes(before, after), "servers restart, agents do not know of issuers")
		})
		t.Run(shape+"/image by decision", func(t *testing.T) {
			asked := run(with("k3s-aws-auth:cluster", `{"servers":`+count+`,"amiId":"ami-0123456789abcdef0"}`))
			require.Empty(t, changes(before, asked), "to ask for the image that nodes have changes nothing")
			after := run(with("k3s-aws-auth:cluster", `{"servers":`+count+`,"amiId":"ami-0fedcba9876543210"}`))
			require.Equal(t, nodes("replace", all...), changes(asked, after))
			for _, r := range after.of("aws:ec2/instance:Instance") {
				require.Equal(t, shape == "three" && r.Name != "lab-cluster-agent-0" && r.Name != "lab-cluster-agent-1", r.DeleteBeforeReplace, r.Name)
			}
		})
		t.Run(shape+"/another API range", func(t *testing.T) {
			network := `{"zones":["eu-central-1a"],"apiCidrs":["0.0.0.0/0","203.0.113.9/32"]}`
			if shape == "three" {
				network = `{"zones":["eu-central-1a","eu-central-1b","eu-central-1c"],"apiCidrs":["203.0.113.9/32"]}`
			}
			require.Empty(t, changes(before, run(with("k3s-aws-auth:network", network))))
		})
		t.Run(shape+"/another zone", func(t *testing.T) {
			if shape == "one" {
				t.Skip("with one more zone the second agent moves there")
			}
			after := run(with("k3s-aws-auth:network", `{"zones":["eu-central-1a","eu-central-1b","eu-central-1c","eu-central-1d"],"apiCidrs":["203.0.113.7/32"]}`))
			require.Equal(t, map[string]string{
				"lab-network-public-eu-central-1d": "create",
				"lab-cluster-join":                 "update", "lab-cluster-api": "update",
			}, changes(before, after))
		})
		t.Run(shape+"/one agent more", func(t *testing.T) {
			after := run(with("k3s-aws-auth:cluster", `{"servers":`+count+`,"agents":3}`))
			require.Equal(t, nodes("create", "agent-2"), changes(before, after))
		})
	}
}

// TestThreeServers holds the stack of three servers in private subnets: what is
// where, and what it says of itself.
func TestThreeServers(t *testing.T) {
	e := runLab(t, "roles-anywhere", true, func(values map[string]string) {
		values["k3s-aws-auth:cluster"] = `{"servers":3,"etcdSnapshots":{"bucket":"acme-backups"}}`
		values["k3s-aws-auth:network"] = `{"zones":["eu-central-1a","eu-central-1b","eu-central-1c"],"apiCidrs":["203.0.113.7/32"],"private":true,"nat":"per-zone","vpcEndpoints":true}`
	})
	for i, name := range []string{"server-0", "server-1", "server-2", "agent-0", "agent-1"} {
		machine := e.one(t, "aws:ec2/instance:Instance", "lab-cluster-"+name)
		require.Equal(t, "lab-network-private-eu-central-1"+[]string{"a", "b", "c", "a", "b"}[i]+"-id", machine.Inputs["subnetId"].StringValue())
	}
	subnets := func(name string) (all []string) {
		for _, subnet := range e.one(t, "aws:lb/loadBalancer:LoadBalancer", "lab-cluster-"+name).Inputs["subnets"].ArrayValue() {
			all = append(all, subnet.StringValue())
		}
		return all
	}
	require.Equal(t, []string{"lab-network-private-eu-central-1a-id", "lab-network-private-eu-central-1b-id", "lab-network-private-eu-central-1c-id"}, subnets("join"))
	require.Equal(t, []string{"lab-network-public-eu-central-1a-id", "lab-network-public-eu-central-1b-id", "lab-network-public-eu-central-1c-id"}, subnets("api"))
	require.Equal(t, "https://lab-cluster-api-0000000-0123456789abcdef.elb.eu-central-1.amazonaws.com:6443", e.stackOutputs()["endpoint"].StringValue())
	require.Len(t, e.of("aws:ec2/natGateway:NatGateway"), 3)
	require.Len(t, e.of("aws:ec2/vpcEndpoint:VpcEndpoint"), 4)
	require.Contains(t, e.one(t, "aws:iam/rolePolicy:RolePolicy", "lab-cluster-server-etcd-snapshots").Inputs["policy"].StringValue(), "arn:aws:s3:::acme-backups/lab/*")
	require.Empty(t, e.of("aws:ec2/eipAssociation:EipAssociation"))
}

func TestPrivateAPI(t *testing.T) {
	e := runLab(t, "irsa-s3", true, func(values map[string]string) {
		values["k3s-aws-auth:cluster"] = `{"apiAccess":"private"}`
	})
	balancers := e.of("aws:lb/loadBalancer:LoadBalancer")
	require.Len(t, balancers, 1)
	require.Equal(t, resource.NewProperty(true), balancers[0].Inputs["internal"])
	require.Empty(t, e.of("aws:ec2/eip:Eip"))
}

// TestFirstPreviewOfThreeServers holds that the same graph comes out when
// nothing is known that a provider computes.
func TestFirstPreviewOfThreeServers(t *testing.T) {
	names := func(e *testEngine) (all []string) {
		for _, r := range e.resources {
			all = append(all, r.URN)
		}
		slices.Sort(all)
		return all
	}
	preview := runLab(t, "irsa-s3", false, three)
	require.Equal(t, names(runLab(t, "irsa-s3", true, three)), names(preview))
	require.True(t, preview.one(t, "aws:ec2/instance:Instance", "lab-cluster-server-1").Inputs["userData"].ContainsUnknowns())
}
