package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k3s-aws-auth/scripts/internal/kube"
	"k3s-aws-auth/scripts/lab/internal/build"
	"k3s-aws-auth/scripts/lab/internal/program"
	"k3s-aws-auth/scripts/lab/internal/state"
)

// whole is a lab that a test drives by the lab's built command, in a directory of labs of its own.
type whole struct {
	t       *testing.T
	ctx     context.Context
	command string
	setup   string
	lab     *state.Lab
	dir     string
	// programs is where rotate and review are, once they are built.
	programs string
}

// newWhole is ready for `lab up` of a setup. It takes the lab's programs, so it is skipped where they are not built.
func newWhole(t *testing.T, setup string) *whole {
	t.Helper()
	if os.Getenv("LAB_KUBERNETES") == "" || os.Getenv("LAB_SANDBOX") == "" {
		t.Skip("the lab's programs are not built: see make test-lab")
	}
	dir, err := os.MkdirTemp("", "labs-") // short, since sockets are in it
	require.NoError(t, err)
	t.Setenv("K3S_AWS_AUTH_LABS", dir)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	t.Cleanup(cancel)
	command := filepath.Join(dir, "lab")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", command, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return &whole{t: t, ctx: ctx, command: command, setup: setup}
}

func (w *whole) run(args ...string) {
	w.t.Helper()
	w.t.Log("lab", strings.Join(args, " "))
	cmd := exec.CommandContext(w.ctx, w.command, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(w.t, err, string(out))
	w.t.Log(string(out))
}

// up deploys the setup with changes of the configuration, and proves its identities.
func (w *whole) up(changes ...string) {
	w.t.Helper()
	args := []string{"up", "--setup", w.setup, "--json"}
	for _, c := range changes {
		args = append(args, "--config", c)
	}
	w.run(args...)
	var err error
	w.lab, w.dir, err = state.Load(w.setup)
	require.NoError(w.t, err)
}

// downAtEnd takes the lab down when the test ends. It must leave nothing.
func (w *whole) downAtEnd() {
	w.t.Cleanup(func() {
		down := exec.Command(w.command, "down", "--setup", w.setup, "--json")
		down.Stderr = os.Stderr
		out, err := down.Output()
		require.NoError(w.t, err, string(out))
		require.Contains(w.t, string(out), `"remaining":0`)
	})
}

// environ is the environment that leads tools to the lab.
func (w *whole) environ() []string {
	var out []string
	for k, v := range program.Environment(w.lab, w.dir) {
		out = append(out, k+"="+v)
	}
	return out
}

func (w *whole) ec2() *ec2.Client {
	w.t.Helper()
	for k, v := range program.Environment(w.lab, w.dir) {
		if strings.HasPrefix(k, "AWS_") {
			w.t.Setenv(k, v)
		}
	}
	c, err := config.LoadDefaultConfig(w.ctx)
	require.NoError(w.t, err)
	return ec2.NewFromConfig(c)
}

// servers are the running servers' instance ids by name.
func (w *whole) servers(c *ec2.Client) map[string]string {
	w.t.Helper()
	out, err := c.DescribeInstances(w.ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{
		{Name: aws.String("tag:Name"), Values: []string{"*server*"}}, {Name: aws.String("instance-state-name"), Values: []string{"running"}}}})
	require.NoError(w.t, err)
	found := map[string]string{}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			for _, tag := range i.Tags {
				if *tag.Key == "Name" {
					found[*tag.Value] = *i.InstanceId
				}
			}
		}
	}
	return found
}

func (w *whole) kube() *kube.Cluster {
	w.t.Helper()
	c, err := kube.Connect(state.Kubeconfig(w.dir))
	require.NoError(w.t, err)
	return c
}

// demo is the demo pod of the lab's identity.
func (w *whole) demo(c *kube.Cluster) *corev1.Pod {
	w.t.Helper()
	return w.demoOf(c, "uploader")
}

// demoOf is the demo pod of a service account.
func (w *whole) demoOf(c *kube.Cluster, account string) *corev1.Pod {
	w.t.Helper()
	pods, err := c.Client.CoreV1().Pods("default").List(w.ctx, metav1.ListOptions{})
	require.NoError(w.t, err)
	for i := range pods.Items {
		if pods.Items[i].Spec.ServiceAccountName == account {
			return &pods.Items[i]
		}
	}
	w.t.Fatal("no demo pod")
	return nil
}

// identity lets a pod ask AWS who it is, which takes new credentials, and write an object.
func (w *whole) identity(c *kube.Cluster, pod *corev1.Pod) {
	w.t.Helper()
	var said string
	var err error
	// The first try may go by a connection to a server that is gone.
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Second) {
		if said, err = w.ask(c, pod); err == nil {
			break
		}
	}
	require.NoError(w.t, err)
	require.Contains(w.t, said, ":assumed-role/")
}

func (w *whole) ask(c *kube.Cluster, pod *corev1.Pod) (string, error) {
	return c.Exec(w.ctx, pod.Namespace, pod.Name, "app", "/bin/sh", "-ec",
		`aws sts get-caller-identity --output json; echo again >/tmp/again; aws s3api put-object --bucket "$DEMO_BUCKET" --key "$DEMO_KEY" --body /tmp/again`)
}

// another starts a pod as a demo pod is, and waits until it has proven itself.
func (w *whole) another(c *kube.Cluster, demo *corev1.Pod, name string) *corev1.Pod {
	w.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: demo.Namespace}, Spec: *demo.Spec.DeepCopy()}
	pod.Spec.NodeName = ""
	pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return strings.HasPrefix(v.Name, "kube-api-access-") })
	for i := range pod.Spec.Containers {
		m := &pod.Spec.Containers[i]
		m.VolumeMounts = slices.DeleteFunc(m.VolumeMounts, func(v corev1.VolumeMount) bool { return strings.HasPrefix(v.Name, "kube-api-access-") })
	}
	pods := c.Client.CoreV1().Pods(demo.Namespace)
	// A connection to the lost server breaks in the middle; the next one leads to another.
	require.Eventually(w.t, func() bool {
		_, err := pods.Create(w.ctx, pod, metav1.CreateOptions{})
		return err == nil || apierrors.IsAlreadyExists(err)
	}, 30*time.Second, time.Second, "pod %s cannot be made", name)
	require.Eventually(w.t, func() bool {
		p, err := pods.Get(w.ctx, name, metav1.GetOptions{})
		return err == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	}, 2*time.Minute, 200*time.Millisecond, "pod %s is not ready", name)
	pod, err := pods.Get(w.ctx, name, metav1.GetOptions{})
	require.NoError(w.t, err)
	return pod
}

// refresh runs `pulumi refresh`, as one does where a machine is gone.
func (w *whole) refresh() {
	w.t.Helper()
	w.pulumi("refresh", "--yes", "--skip-preview", "--stack", "lab")
}

// pulumi runs the engine's own command on the lab's stack.
func (w *whole) pulumi(args ...string) {
	w.t.Helper()
	w.t.Log("pulumi", strings.Join(args, " "))
	root, env := w.pulumiEnviron()
	cmd := exec.CommandContext(w.ctx, filepath.Join(root, "bin/pulumi"), args...)
	cmd.Dir, cmd.Env = filepath.Join(w.dir, "work"), env
	out, err := cmd.CombinedOutput()
	require.NoError(w.t, err, string(out))
}

// pulumiEnviron is where Pulumi's CLI is, and the environment with which it works on the lab's stack.
func (w *whole) pulumiEnviron() (root string, env []string) {
	w.t.Helper()
	_, scripts, err := directories()
	require.NoError(w.t, err)
	tools, err := build.All(w.ctx, scripts, os.Stderr, build.Wish{})
	require.NoError(w.t, err)
	return tools.PulumiRoot, append(w.environ(), "PULUMI_HOME="+tools.PulumiHome, "PATH="+os.Getenv("PATH"), "HOME="+w.dir)
}

// conditionOf is a condition's status on a Node; empty where it has none.
func conditionOf(n *corev1.Node, kind corev1.NodeConditionType) corev1.ConditionStatus {
	for _, c := range n.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return ""
}

// etcdNodes are the Nodes of servers.
func (w *whole) etcdNodes(c *kube.Cluster) []corev1.Node {
	w.t.Helper()
	var nodes *corev1.NodeList
	// The first try may go by a connection to a server that is gone.
	require.Eventually(w.t, func() bool {
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
		defer cancel()
		var err error
		nodes, err = c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "node-role.kubernetes.io/etcd"})
		return err == nil
	}, time.Minute, time.Second)
	return nodes.Items
}

// readyServers are the UIDs of the cluster's Nodes that are ready and full members of etcd, by the number of their server.
func (w *whole) readyServers(c *kube.Cluster) map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, n := range w.etcdNodes(c) {
		if conditionOf(&n, corev1.NodeReady) == corev1.ConditionTrue && conditionOf(&n, "EtcdIsVoter") == corev1.ConditionTrue {
			number := n.Labels["k3s-aws-auth/server"]
			require.Empty(w.t, out[number], "two Nodes are server %s", number)
			out[number] = string(n.UID)
		}
	}
	return out
}

// lose terminates servers, by the ends of their names, and waits until the control plane has noticed: 40 to 50 s. It
// returns the machines that there were and the Nodes' UIDs by number.
func (w *whole) lose(aws *ec2.Client, c *kube.Cluster, ends ...string) (machines, nodes map[string]string, lost []string) {
	w.t.Helper()
	machines, nodes = w.servers(aws), w.readyServers(c)
	require.Len(w.t, nodes, len(machines))
	var ids []string
	for name, id := range machines {
		if slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(name, end) }) {
			lost, ids = append(lost, name), append(ids, id)
		}
	}
	require.Len(w.t, lost, len(ends), "%v", machines)
	w.t.Logf("losing %v", lost)
	_, err := aws.TerminateInstances(w.ctx, &ec2.TerminateInstancesInput{InstanceIds: ids})
	require.NoError(w.t, err)
	require.Eventually(w.t, func() bool { return len(w.servers(aws)) == len(machines)-len(lost) }, time.Minute, 100*time.Millisecond)
	begin := time.Now()
	require.Eventually(w.t, func() bool {
		unknown := 0
		for _, n := range w.etcdNodes(c) {
			if conditionOf(&n, corev1.NodeReady) == corev1.ConditionUnknown {
				unknown++
			}
		}
		return unknown == len(lost)
	}, 2*time.Minute, time.Second, "the lost servers' Nodes do not turn NotReady")
	w.t.Logf("NotReady after %s", time.Since(begin).Round(time.Second))
	return machines, nodes, lost
}

// replaced asserts that the lost servers are other machines and Nodes, and no other is.
func (w *whole) replaced(aws *ec2.Client, c *kube.Cluster, machines, nodes map[string]string, lost []string) {
	w.t.Helper()
	after := w.servers(aws)
	require.Len(w.t, after, len(machines))
	require.Eventually(w.t, func() bool { return len(w.readyServers(c)) == len(machines) }, time.Minute, 200*time.Millisecond)
	is := w.readyServers(c)
	for name, id := range machines {
		gone, number := slices.Contains(lost, name), name[len(name)-1:]
		require.Equal(w.t, !gone, after[name] == id, "%s: only a lost server is another machine", name)
		require.Equal(w.t, !gone, is[number] == nodes[number], "server %s", number)
	}
	require.Len(w.t, w.etcdNodes(c), len(machines), "the lost servers' Nodes are gone")
}

// TestLosingAServer takes away servers of three, one after the other, and waits each time until the Node has really turned
// NotReady: identities go on, `pulumi refresh` and `up` make the server again, and it joins the cluster that there is.
func TestLosingAServer(t *testing.T) {
	w := newWhole(t, "irsa-s3")
	w.up("cluster.servers=3", "cluster.agents=1")
	w.downAtEnd()
	aws, c := w.ec2(), w.kube()
	demo := w.demo(c)
	w.identity(c, demo)
	space, err := c.Client.CoreV1().Namespaces().Get(w.ctx, "kube-system", metav1.GetOptions{})
	require.NoError(t, err)
	// Server 0 is the one that started the cluster.
	for i, name := range []string{"server-2", "server-0"} {
		machines, nodes, lost := w.lose(aws, c, name)

		// Nothing is repaired yet.
		w.identity(c, demo)
		w.identity(c, w.another(c, demo, fmt.Sprintf("without-a-server-%d", i)))

		w.refresh()
		w.up()
		w.replaced(aws, c, machines, nodes, lost)
		same, err := c.Client.CoreV1().Namespaces().Get(w.ctx, "kube-system", metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, space.UID, same.UID, "another cluster stands where this one was")
		w.identity(c, w.demo(c))
		w.identity(c, w.another(c, demo, fmt.Sprintf("with-a-new-server-%d", i)))
	}
}

// TestLosingTwoOfFive takes away two servers of five at a time: etcd admits neither's successor while the other's member
// is there.
func TestLosingTwoOfFive(t *testing.T) {
	w := newWhole(t, "irsa-s3")
	w.up("cluster.servers=5", "cluster.agents=1")
	w.downAtEnd()
	aws, c := w.ec2(), w.kube()
	machines, nodes, lost := w.lose(aws, c, "server-1", "server-3")
	w.refresh()
	w.up()
	w.replaced(aws, c, machines, nodes, lost)
	w.identity(c, w.demo(c))
}
