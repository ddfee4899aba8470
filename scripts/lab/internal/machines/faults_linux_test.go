package machines

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestBootFaults breaks the boot of a server in one place each. The machine must report it, the last line of the
// console must say where it failed, a line before it why, and nothing of a cluster may run.
func TestBootFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		// change breaks the user data, the account or the call.
		change func(t *testing.T, r *rig, n *node)
		call   func(*ec2.RunInstancesInput)
		// step is in the last line, reason in one before it.
		step, reason string
	}{
		{
			name:   "wrong checksum",
			change: func(_ *testing.T, _ *rig, n *node) { n.replace("K3S_SHA256=", "K3S_SHA256="+strings.Repeat("0", 64)) },
			step:   "installing K3s v1.35.4+k3s1", reason: "does not have the expected digest, " + strings.Repeat("0", 64),
		},
		{
			name:   "missing parameter",
			change: func(_ *testing.T, r *rig, _ *node) { r.remove("server/service.key") },
			step:   "fetching /k3s-aws-auth/lab/server/service.key", reason: "ParameterNotFound",
		},
		{
			name: "denied parameter",
			change: func(t *testing.T, r *rig, _ *node) {
				// The agents' policy, on a server.
				r.allow("server", read(t, filepath.Join(product, "testdata/lab-agent-boot.json")))
			},
			step: "fetching /k3s-aws-auth/lab/server/server-ca.crt", reason: "AccessDeniedException",
		},
		{
			name: "metadata off",
			call: func(in *ec2.RunInstancesInput) { in.MetadataOptions.HttpEndpoint = "disabled" },
			step: "fetching /k3s-aws-auth/lab/server/server-ca.crt", reason: "no credentials of an instance profile",
		},
		{
			name: "no instance profile",
			call: func(in *ec2.RunInstancesInput) { in.IamInstanceProfile = nil },
			step: "fetching /k3s-aws-auth/lab/server/server-ca.crt", reason: "no credentials of an instance profile",
		},
		{
			name: "CA of another cluster",
			change: func(t *testing.T, r *rig, _ *node) {
				certificate, _ := authority(t, "another")
				r.put("server/server-ca.crt", certificate)
			},
			step: "starting k3s", reason: "server-ca.key is not the key of server-ca.crt",
		},
		{
			name:   "clock off by hours",
			change: func(_ *testing.T, r *rig, _ *node) { r.gate.SetSkew("node/", -5*time.Hour) },
			step:   "fetching /k3s-aws-auth/lab/server/server-ca.crt", reason: "InvalidSignatureException",
		},
		{
			name: "no way to the releases",
			change: func(_ *testing.T, _ *rig, n *node) {
				n.run = []string{"no_proxy=amazonaws.com,169.254.169.254 https_proxy=http://127.0.0.1:9 " + boot}
			},
			step: "installing K3s v1.35.4+k3s1", reason: "cannot download https://github.com/k3s-io/k3s/releases/download/v1.35.4%2Bk3s1/sha256sum-amd64.txt",
		},
		{
			name: "full disk",
			change: func(t *testing.T, r *rig, _ *node) {
				r.before = func(root string) {
					path := filepath.Join(root, "var/lib")
					if err := os.MkdirAll(path, 0o755); err != nil {
						t.Error(err)
					}
					if err := r.sandbox.Tmpfs(path, 4096); err != nil {
						t.Error(err)
					}
				}
			},
			step: "", reason: "No space left on device",
		},
		{
			name:   "script cut short",
			change: func(_ *testing.T, _ *rig, n *node) { n.script = n.script[:len(n.script)*2/3] },
			step:   "", reason: "unexpected",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			n := productNode(t, "server")
			if c.change != nil {
				c.change(t, r, n)
			}
			id := r.launch("server", goldenServer, n.userData(t), c.call)
			err := r.failure(id, 4*time.Minute)
			console := strings.TrimSpace(r.console(id))
			t.Logf("%v\n%s", err, lastLines(console, 4))
			last := console[strings.LastIndex(console, "\n")+1:]
			require.Contains(t, err.Error(), last, "the machine's error has the last line")
			require.Contains(t, console, c.reason)
			if c.step != "" {
				require.Contains(t, last, "k3s-boot: FAILED while "+c.step+" (exit status 1)")
			}
			require.NotContains(t, console, "done: K3s")
			require.Empty(t, r.machines.Servers(), "a control plane runs")
			require.NoFileExists(t, filepath.Join(r.dir, "machines", id, "control-plane", "apiserver.log"))
		})
	}
}

// TestBootOfTruncatedUserData cuts the user data at several places. What is left is a cloud-config without its end,
// which cloud-init would follow in silence: the machine must not pass for one that booted.
func TestBootOfTruncatedUserData(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := productNode(t, "server")
	n.run = []string{"/usr/local/sbin/k3s-boot"}
	whole := n.userData(t)
	for i, left := range []int{0, 10, 20, 60, 500, len(whole) / 2, len(whole) - 8, strings.LastIndex(whole, "/sbin")} {
		id := r.launch("server", fmt.Sprintf("10.0.0.%d", 20+i), whole[:left], nil)
		t.Logf("%d bytes of %d: %v", left, len(whole), r.failure(id, 30*time.Second))
		require.Empty(t, r.machines.Servers())
	}
}

// TestAgentFaults lets agents join a running server with what does not belong to it: none may become a node.
func TestAgentFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	server := r.launch("server", goldenServer, productNode(t, "server").userData(t), nil)
	r.said(server, "k3s-boot: done: K3s v1.35.4+k3s1, server", 1, 2*time.Minute)
	good := r.get("agent/token")
	another, _ := authority(t, "another")
	for _, c := range []struct{ name, ip, token, reason string }{
		{"wrong token", "10.0.0.11", token(r.get("server/server-ca.crt"), "node", "another's"), "not authorized"},
		{"CA of another cluster", "10.0.0.12", token(another, "node", "the agents'"), "token CA hash does not match the Cluster CA certificate hash"},
		{"no token", "10.0.0.13", "K10", "the token is not of the form"},
	} {
		r.put("agent/token", c.token)
		id := r.launch("agent", c.ip, productNode(t, "agent").userData(t), nil)
		err := r.failure(id, 4*time.Minute)
		t.Logf("%s: %v\n%s", c.name, err, lastLines(r.console(id), 4))
		require.Contains(t, r.console(id), c.reason, c.name)
		require.Contains(t, err.Error(), "k3s-boot: FAILED while ", c.name)
	}
	require.Equal(t, []string{"ip-10-0-0-4"}, r.nodes(), "only the server is a node")

	r.put("agent/token", good)
	id := r.launch("agent", "10.0.0.14", productNode(t, "agent").userData(t), nil)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && !strings.Contains(r.console(id), "done: "); {
		time.Sleep(50 * time.Millisecond)
	}
	require.Contains(t, r.console(id), "k3s-boot: done: K3s v1.35.4+k3s1, agent")
	require.Equal(t, []string{"ip-10-0-0-14", "ip-10-0-0-4"}, r.nodes())
}

func (r *rig) nodes() []string {
	r.t.Helper()
	servers := r.machines.Servers()
	require.Len(r.t, servers, 1)
	client, err := admin(servers[0])
	require.NoError(r.t, err)
	list, err := client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	require.NoError(r.t, err)
	var names []string
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	return names
}

// replace changes a whole line of boot.env.
func (n *node) replace(line, by string) {
	n.env = strings.Replace(n.env, line+"\n", by+"\n", 1)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// TestBootAgain kills the boot script in the middle and runs it again, then once more: it ends well, and the last run
// changes no file.
func TestBootAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, at, after string }{
		{"after secrets", "installing K3s", ""},
		{"after install", "installing the systemd units", ""},
		{"during start", "starting k3s", "0.7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			n := productNode(t, "server")
			const state = `find /etc/rancher /etc/k3s-aws-auth /etc/systemd /usr/local /var/lib/rancher -type f -not -path '*/k3s/server/db/*' -not -path '*/k3s/agent/*' -exec sha256sum {} + | sort -k2`
			n.run = []string{
				"KILL_AT='" + c.at + "' KILL_AFTER=" + c.after + " " + boot + "; echo ended with $?",
				boot,
				state + " > /tmp/first",
				boot,
				state + " > /tmp/second",
				"cmp /tmp/first /tmp/second && echo unchanged",
			}
			id := r.launch("server", goldenServer, n.userData(t), nil)
			r.said(id, "\nunchanged", 1, 3*time.Minute)
			console := r.console(id)
			t.Log(console)
			require.Contains(t, console, "ended with 137")
			require.Equal(t, 2, strings.Count(console, "done: K3s v1.35.4+k3s1, server"))
			require.Equal(t, []string{"ip-10-0-0-4"}, r.nodes())
			require.NoError(t, r.machines.Errors())
		})
	}
}
