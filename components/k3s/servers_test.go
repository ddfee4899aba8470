package k3s

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/components/internal/pulumitest"
	"k3s-aws-auth/components/rules"
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
	args.ClusterName = strings.Repeat("c", rules.MaxClusterName)
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
		pulumitest.Golden(t, "servers/firewall-"+balancer+".golden", firewallRules(preview(t, args)))
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
		require.Equal(t, "200", check["matcher"], "401 is what a server answers whose etcd hangs")
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

// The health check asks what anonymous callers may ask, and nothing else may be
// asked so. Versions that cannot say it for single paths stay as they were.
func TestAnonymousReadiness(t *testing.T) {
	files := preview(t, prodArgs()).bootFiles(t, "lab-server-1")
	require.Contains(t, files["/etc/rancher/k3s/config.yaml"], "authentication-config=/etc/rancher/k3s/authentication.yaml\n")
	require.Equal(t, "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous:\n  enabled: true\n  conditions:\n    - path: /readyz\n",
		files["/etc/rancher/k3s/authentication.yaml"])
	require.NotContains(t, preview(t, prodArgs()).bootFiles(t, "lab-agent-0"), "/etc/rancher/k3s/authentication.yaml")
	for version, want := range map[string]string{"v1.31.9+k3s1": "200,401", "v1.33.1+k3s1": "200", "v1.36.0+k3s1": "200"} {
		require.Equal(t, want, readyMatcher(version), version)
	}
	require.Contains(t, authentication("v1.33.1+k3s1"), "/v1beta1\n")
}

// machineNode is a server's or agent's node as the API lists it.
func machineNode(number int, version string, ready, server bool) map[string]any {
	name, labels := fmt.Sprintf("ip-10-0-0-%d", number), map[string]string{}
	conditions := []any{map[string]string{"type": "Ready", "status": map[bool]string{true: "True", false: "Unknown"}[ready]}}
	if server {
		labels = map[string]string{"node-role.kubernetes.io/control-plane": "true", serverLabel: fmt.Sprint(number)}
		conditions = append(conditions, map[string]string{"type": "EtcdIsVoter", "status": "True"})
	}
	return map[string]any{
		"metadata": map[string]any{"name": name, "labels": labels},
		"spec":     map[string]any{"providerID": fmt.Sprintf("aws:///eu-central-1a/i-%d", number)},
		"status": map[string]any{
			"addresses":  []any{map[string]string{"type": "Hostname", "address": name}, map[string]string{"type": "InternalIP", "address": fmt.Sprintf("10.0.0.%d", number)}},
			"conditions": conditions,
			"nodeInfo":   map[string]string{"kubeletVersion": version},
		},
	}
}

func learner(n map[string]any) map[string]any {
	n["status"].(map[string]any)["conditions"].([]any)[1].(map[string]string)["status"] = "False"
	return n
}

func unnamed(n map[string]any) map[string]any {
	n["spec"] = map[string]any{"providerID": "k3s://" + n["metadata"].(map[string]any)["name"].(string)}
	return n
}

// The wait for a server 0 of three or five, with what the API and EC2 say.
func TestWaitForServer(t *testing.T) {
	const version, older = "v1.35.4+k3s1", "v1.35.3+k3s1"
	node := func(number int) map[string]any { return machineNode(number, version, true, true) }
	lost := func(number int) map[string]any { return machineNode(number, version, false, true) }
	tests := []struct {
		name     string
		servers  int
		nodes    []any
		machines []int
		age      time.Duration
		// deleted are the nodes that the wait deletes.
		deleted []string
		want    string
	}{
		{"well", 3, []any{node(0), node(1), machineNode(7, version, false, false)}, []int{0, 1}, 9 * time.Second, nil, ""},
		{"not there", 3, []any{node(1)}, []int{0, 1}, 0, nil, "no node has the address 10.0.0.0 yet"},
		{"old version", 3, []any{machineNode(0, older, true, true)}, []int{0}, 0, nil, "node ip-10-0-0-0 has K3s " + older + " and should have " + version},
		{"not ready", 3, []any{lost(0)}, []int{0}, 0, nil, "node ip-10-0-0-0 is not ready"},
		{"a learner", 3, []any{learner(node(0)), node(1)}, []int{0, 1}, 0, nil, "node ip-10-0-0-0 is not a voting member of etcd yet"},
		{"another is broken", 3, []any{node(0), lost(1)}, []int{0, 1}, 0, nil, "aws ec2 terminate-instances --instance-ids i-1"},
		{"another is gone", 3, []any{node(0), lost(1), node(2)}, []int{0, 2}, 0, []string{"ip-10-0-0-1"}, ""},
		{"another is gone, named by K3s", 3, []any{node(0), unnamed(lost(1)), unnamed(node(2))}, []int{0, 2}, 0, []string{"ip-10-0-0-1"}, ""},
		{"two of five are gone", 5, []any{node(0), node(1), lost(2), node(3), lost(4)}, []int{0, 1, 3}, 0, []string{"ip-10-0-0-2", "ip-10-0-0-4"}, ""},
		{"restarting", 3, []any{node(0)}, []int{0}, 30 * time.Second, nil, "node ip-10-0-0-0 has not been heard from for"},
		{"upgrade of the last two", 3, []any{node(0), machineNode(1, older, true, true)}, []int{0, 1}, 0, nil, "pulumi config set --path cluster.version " + older},
		{"upgrade of four of five", 5, []any{node(0), machineNode(1, older, true, true), node(2), node(3)}, []int{0, 1, 2, 3}, 0, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			nodes := slices.Clone(tt.nodes)
			var deleted []string
			access := testAccess(t, func(w http.ResponseWriter, r *http.Request) {
				name, isNode := strings.CutPrefix(r.URL.Path, "/api/v1/nodes/")
				switch {
				case r.URL.Path == "/readyz":
				case r.URL.Path == "/api/v1/nodes":
					_ = json.NewEncoder(w).Encode(map[string]any{"items": nodes})
				case isNode && r.Method == http.MethodDelete:
					deleted = append(deleted, name)
					nodes = slices.DeleteFunc(nodes, func(n any) bool { return n.(map[string]any)["metadata"].(map[string]any)["name"] == name })
				case r.URL.Path == "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/ip-10-0-0-0":
					// The server's clock is an hour ahead of this machine's.
					now := time.Now().Add(time.Hour)
					w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
					_ = json.NewEncoder(w).Encode(map[string]any{"spec": map[string]any{"renewTime": now.Add(-tt.age).UTC().Format("2006-01-02T15:04:05.000000Z07:00")}})
				default:
					http.NotFound(w, r)
				}
			})
			w := serverWait{access: access, servers: tt.servers, instanceID: "i-0", privateIP: "10.0.0.0", version: version, hint: "The hint.", progress: func(string) {},
				machines: func(context.Context, bool) (fleet, error) {
					var f fleet
					for _, n := range tt.machines {
						f.ids, f.privateIPs = append(f.ids, fmt.Sprintf("i-%d", n)), append(f.privateIPs, fmt.Sprintf("10.0.0.%d", n))
					}
					return f, nil
				}}
			err := w.wait(t.Context(), 1200*time.Millisecond)
			require.Equal(t, tt.deleted, deleted)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, errServerNotWell)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// A cluster without a majority cannot be mended by waiting; one that is new can.
func TestNoMajority(t *testing.T) {
	old, young := time.Now().Add(-time.Hour), time.Now()
	for _, tt := range []struct {
		name     string
		launched []time.Time
		lost     bool
	}{
		{"first boot", []time.Time{young}, false},
		{"one of three is left", []time.Time{old}, true},
		{"one of three is left, and its successors came", []time.Time{old, young, young}, true},
		{"two of three", []time.Time{old, old, young}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := serverWait{servers: 3, hint: "The hint.", machines: func(_ context.Context, ages bool) (fleet, error) {
				require.True(t, ages)
				return fleet{launched: tt.launched}, nil
			}}
			err := w.noMajority(t.Context())
			if !tt.lost {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, errNoMajority)
			require.ErrorContains(t, err, "sudo k3s server --cluster-reset")
		})
	}
}
