package k3s

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/internal/pulumitest"
)

func TestServersResources(t *testing.T) {
	pulumitest.Golden(t, "servers/resources.golden", preview(t, prodArgs()).Graph())
}

func TestServersUserData(t *testing.T) {
	c := preview(t, prodArgs())
	for name, instance := range map[string]string{"init": "lab-server-0", "join": "lab-server-2", "agent": "lab-agent-0"} {
		files := c.bootFiles(t, instance)
		pulumitest.Golden(t, "servers/"+name+"-config.yaml", files["/etc/rancher/k3s/config.yaml"])
		pulumitest.Golden(t, "servers/"+name+"-boot.env", files["/etc/k3s-aws-auth/boot.env"])
		require.NotContains(t, files["/etc/k3s-aws-auth/parameters"], "founder", "the founder is not a file of K3s")
	}
}

// The longest that the arguments let through still boots.
func TestServersUserDataSize(t *testing.T) {
	args := prodArgs()
	args.ClusterName = strings.Repeat("c", 32)
	args.EtcdSnapshots.Bucket = strings.Repeat("b", 63)
	var issuers []string
	for i := range 4 {
		issuers = append(issuers, fmt.Sprintf("https://%d%s.s3.ap-southeast-1.amazonaws.com", i, strings.Repeat("i", 62)))
	}
	args.Issuers = pulumi.ToStringArray(issuers)
	args.FeatureGates = []string{"MutatingAdmissionPolicy=true"}
	args.RuntimeConfig = []string{"admissionregistration.k8s.io/v1beta1=true"}
	size := len(plain(preview(t, args).Find(t, "aws:ec2/instance:Instance", "lab-server-0").Inputs["userData"]).StringValue())
	t.Logf("the largest user data has %d bytes of %d", size, maxUserData)
	require.Less(t, size, maxUserData-1024)
}

// K3s does not start with a flag that it does not know.
func TestSnapshotRetentionOfOlderVersions(t *testing.T) {
	args := prodArgs()
	args.Version = "v1.33.1+k3s1"
	config := newSnapshotConfig(args, place{region: "eu-central-1", dnsSuffix: "amazonaws.com"})
	require.Equal(t, 12, config.Retention)
	require.Zero(t, config.S3Retention)
	args.EtcdSnapshots = nil
	require.Zero(t, newSnapshotConfig(args, place{}))
}

func TestServersPolicies(t *testing.T) {
	c := preview(t, prodArgs())
	for _, name := range []string{"lab-server-boot", "lab-server-etcd-snapshots"} {
		r := c.Find(t, "aws:iam/rolePolicy:RolePolicy", name)
		pulumitest.Golden(t, "servers/"+name+".json", pulumitest.IndentJSON(t, r.Inputs["policy"].StringValue()))
	}
	for _, r := range c.OfType("aws:iam/rolePolicy:RolePolicy") {
		if r.Parent == "lab-agent" {
			require.NotContains(t, r.Inputs["policy"].StringValue(), "s3:", r)
			require.NotContains(t, r.Inputs["policy"].StringValue(), "Put", r)
		}
	}
}

func TestServersFirewall(t *testing.T) {
	for _, balancer := range []string{LoadBalancerInternet, LoadBalancerInternal} {
		args := prodArgs()
		args.LoadBalancer = balancer
		pulumitest.Golden(t, "servers/firewall-"+balancer+".golden", rules(preview(t, args)))
	}
}

func TestBalancers(t *testing.T) {
	c := preview(t, prodArgs())
	for name, internal := range map[string]bool{"lab-join": true, "lab-api": false} {
		r := c.Find(t, "aws:lb/loadBalancer:LoadBalancer", name)
		require.Equal(t, "network", r.Input("loadBalancerType"))
		require.Equal(t, internal, r.Input("internal"), name)
		require.Equal(t, []any{name + "-id"}, r.Input("securityGroups"), "a balancer without a group never gets one")
		require.Equal(t, true, r.Input("enableCrossZoneLoadBalancing"))
		subnets := map[bool][]any{true: {"subnet-a", "subnet-b", "subnet-c"}, false: {"public-a", "public-b", "public-c"}}
		require.Equal(t, subnets[internal], r.Input("subnets"), name)
		target := c.Find(t, "aws:lb/targetGroup:TargetGroup", name)
		require.Equal(t, "TCP", target.Input("protocol"))
		require.Equal(t, "false", target.Input("preserveClientIp"), "a server would not reach itself")
		check := target.Input("healthCheck").(map[string]any)
		require.Equal(t, "HTTPS", check["protocol"], "the provider's default is HTTP, which no server speaks")
		require.Equal(t, "200,401", check["matcher"])
		for i := range 3 {
			attachment := c.Find(t, "aws:lb/targetGroupAttachment:TargetGroupAttachment", fmt.Sprintf("%s-server-%d", name, i))
			require.Equal(t, fmt.Sprintf("lab-server-%d-id", i), attachment.Input("targetId"))
		}
	}
	require.Empty(t, c.OfType("aws:ec2/eip:Eip"))
	provider := c.Find(t, "pulumi:providers:kubernetes", "lab-kubernetes")
	for _, needed := range []string{"lab-server-2", "lab-api", "lab-api-server-1", "lab-join-server-2"} {
		require.Contains(t, provider.DependsOn, needed)
	}
	require.Contains(t, fmt.Sprint(provider.Input("kubeconfig")), "server: https://lab-api-0a1b2c3-0123456789abcdef.elb.eu-central-1.amazonaws.com:6443")

	args := prodArgs()
	args.LoadBalancer = LoadBalancerInternal
	c = preview(t, args)
	require.Len(t, c.OfType("aws:lb/loadBalancer:LoadBalancer"), 1)
	require.Contains(t, fmt.Sprint(c.Find(t, "pulumi:providers:kubernetes", "lab-kubernetes").Input("kubeconfig")), "server: https://lab-join-")
}

// A server of one's own in private subnets is reached by a balancer too, and
// starts alone.
func TestOneServerBehindABalancer(t *testing.T) {
	args := labArgs()
	args.LoadBalancer = LoadBalancerInternal
	c := preview(t, args)
	require.Empty(t, c.OfType("aws:ec2/eip:Eip"))
	files := c.bootFiles(t, "lab-server-0")
	require.Contains(t, files["/etc/rancher/k3s/config.yaml"], "cluster-init: true\n")
	require.NotContains(t, files["/etc/k3s-aws-auth/boot.env"], "FOUNDER")
	require.Contains(t, c.bootFiles(t, "lab-agent-0")["/etc/rancher/k3s/config.yaml"], "server: https://lab-join-")
}

// Servers change and are replaced one after the other, then agents.
func TestServersFollowEachOther(t *testing.T) {
	c := preview(t, prodArgs())
	for i := range 3 {
		r := c.Find(t, "aws:ec2/instance:Instance", fmt.Sprintf("lab-server-%d", i))
		require.True(t, r.DeleteBeforeReplace, "%s: a fourth member would be one too many for the majority", r.Name)
		require.Equal(t, []string{"ami"}, r.IgnoreChanges)
		require.False(t, r.Inputs["userData"].IsSecret(), "the wait asks with a secret key, and user data is none")
		require.Contains(t, r.DependsOn, "lab-founder", "it signs there")
		if i > 0 {
			require.Contains(t, r.DependsOn, fmt.Sprintf("lab-server-%d", i-1))
			require.Contains(t, r.DependsOn, fmt.Sprintf("lab-join-server-%d", i-1))
		}
		for j := i + 1; j < 3; j++ {
			require.NotContains(t, r.DependsOn, fmt.Sprintf("lab-server-%d", j))
		}
	}
	agent := c.Find(t, "aws:ec2/instance:Instance", "lab-agent-0")
	require.Contains(t, agent.DependsOn, "lab-server-2", "no kubelet is newer than its API server")
	require.False(t, agent.DeleteBeforeReplace)
	founder := c.Find(t, "aws:ssm/parameter:Parameter", "lab-founder")
	require.Equal(t, []string{"value", "description"}, founder.IgnoreChanges)
	require.Equal(t, "none", founder.Input("value"))
}

// A tenth of the agents, at least one, may be away at a time.
func TestAgentsFollowInLanes(t *testing.T) {
	args := labArgs()
	args.Agents = 25
	c := preview(t, args)
	for i := range 25 {
		r := c.Find(t, "aws:ec2/instance:Instance", fmt.Sprintf("lab-agent-%d", i))
		for j := range 25 {
			before := fmt.Sprintf("lab-agent-%d", j)
			if j == i-2 {
				require.Contains(t, r.DependsOn, before)
			} else if j != i {
				require.NotContains(t, strings.Join(r.DependsOn, " ")+" ", before+" ", r.Name)
			}
		}
	}
}

// machineNode is a node as the API lists it.
func machineNode(name, address, version string, ready, server bool) map[string]any {
	labels := map[string]string{}
	if server {
		labels["node-role.kubernetes.io/control-plane"] = "true"
	}
	return map[string]any{
		"metadata": map[string]any{"name": name, "labels": labels},
		"status": map[string]any{
			"addresses":  []any{map[string]string{"type": "Hostname", "address": name}, map[string]string{"type": "InternalIP", "address": address}},
			"conditions": []any{map[string]string{"type": "Ready", "status": map[bool]string{true: "True", false: "Unknown"}[ready]}},
			"nodeInfo":   map[string]string{"kubeletVersion": version},
		},
	}
}

func TestWaitForServer(t *testing.T) {
	const version = "v1.35.4+k3s1"
	self := machineNode("one", "10.0.0.5", version, true, true)
	tests := []struct {
		name  string
		nodes []any
		age   time.Duration
		want  string
	}{
		{"well", []any{self, machineNode("two", "10.0.0.6", "v1.35.3+k3s1", true, true), machineNode("agent", "10.0.0.7", version, false, false)}, 9 * time.Second, ""},
		{"not there", []any{machineNode("two", "10.0.0.6", version, true, true)}, 0, "no node has the address 10.0.0.5 yet"},
		{"old version", []any{machineNode("one", "10.0.0.5", "v1.35.3+k3s1", true, true)}, 0, "node one has K3s v1.35.3+k3s1 and should have " + version},
		{"not ready", []any{machineNode("one", "10.0.0.5", version, false, true)}, 0, "node one, a server, is not ready"},
		{"another server is lost", []any{self, machineNode("two", "10.0.0.6", version, false, true)}, 0, "kubectl delete node two"},
		{"restarting", []any{self}, 30 * time.Second, "node one has not been heard of for"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			access := testAccess(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/readyz":
				case "/api/v1/nodes":
					_ = json.NewEncoder(w).Encode(map[string]any{"items": tt.nodes})
				case "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/one":
					// The server's clock is an hour ahead of this machine's.
					now := time.Now().Add(time.Hour)
					w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
					_ = json.NewEncoder(w).Encode(map[string]any{"spec": map[string]any{"renewTime": now.Add(-tt.age).UTC().Format("2006-01-02T15:04:05.000000Z07:00")}})
				default:
					http.NotFound(w, r)
				}
			})
			err := waitForServer(t.Context(), access, "10.0.0.5", version, 600*time.Millisecond, "The hint.", func(string) {})
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, errServerNotWell)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "The hint.")
		})
	}
}
