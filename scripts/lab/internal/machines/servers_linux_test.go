package machines

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// servers is a rig with a control plane of several machines behind a load balancer.
type servers struct {
	*rig
	elb          *elb.Client
	group, entry string // the target group, and the balancer's name
	ids          map[int]string
	// run is what the machines to come run at their boot, where it is not the script with its clock ahead.
	run []string
}

// The name of the load balancer in the product's goldens.
const goldenEntry = "lab-join-0a1b2c3-0123456789abcdef.elb.eu-central-1.amazonaws.com"

func newServers(t *testing.T, matcher string) *servers {
	t.Helper()
	s := &servers{rig: newRig(t), ids: map[int]string{}}
	ctx := context.Background()
	s.elb = elb.NewFromConfig(s.config)
	balancer, err := s.elb.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String("join"), Type: elbtypes.LoadBalancerTypeEnumNetwork,
		Scheme: elbtypes.LoadBalancerSchemeEnumInternal, Subnets: []string{s.subnet}})
	require.NoError(t, err)
	s.entry = *balancer.LoadBalancers[0].DNSName
	subnets, err := ec2.NewFromConfig(s.config).DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{s.subnet}})
	require.NoError(t, err)
	group, err := s.elb.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{Name: aws.String("join"), Port: aws.Int32(6443), Protocol: elbtypes.ProtocolEnumTcp,
		VpcId: subnets.Subnets[0].VpcId, TargetType: elbtypes.TargetTypeEnumInstance, HealthCheckProtocol: elbtypes.ProtocolEnumHttps,
		HealthCheckPath: aws.String("/readyz"), Matcher: &elbtypes.Matcher{HttpCode: &matcher}})
	require.NoError(t, err)
	s.group = *group.TargetGroups[0].TargetGroupArn
	_, err = s.elb.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: balancer.LoadBalancers[0].LoadBalancerArn, Port: aws.Int32(6443), Protocol: elbtypes.ProtocolEnumTcp,
		DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &s.group}}})
	require.NoError(t, err)
	s.allow("server", read(t, filepath.Join(product, "testdata/servers/lab-server-boot.json")))
	_, err = iam.NewFromConfig(s.config).PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("server"), PolicyName: aws.String("etcd-snapshots"),
		PolicyDocument: aws.String(read(t, filepath.Join(product, "testdata/servers/lab-server-etcd-snapshots.json")))})
	require.NoError(t, err)
	_, err = s3.NewFromConfig(s.config).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("acme-backups"),
		CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: "eu-central-1"}})
	// The emulator behind S3 is one for all tests of this process, and the name that of the program's policy.
	if !errors.As(err, new(*s3types.BucketAlreadyOwnedByYou)) {
		require.NoError(t, err)
	}
	s.put("server/founder", "none")
	return s
}

// boot starts server number i at an address and makes it a target.
func (s *servers) boot(i int, address string) string {
	s.t.Helper()
	n := productNode(s.t, "server")
	if s.run != nil {
		n.run = s.run
	}
	first, env := "join", "join"
	if i == 0 {
		first, env = "init", "init"
	}
	golden := func(name string) string {
		return strings.ReplaceAll(read(s.t, filepath.Join(product, "testdata/servers", name)), goldenEntry, s.entry)
	}
	n.config = strings.ReplaceAll(golden(first+"-config.yaml"), "k3s-aws-auth/server=2", fmt.Sprintf("k3s-aws-auth/server=%d", i))
	n.env = strings.ReplaceAll(golden(env+"-boot.env"), "SERVER=2", fmt.Sprintf("SERVER=%d", i))
	id := s.launch("server", address, n.userData(s.t), nil)
	s.ids[i] = id
	require.Eventually(s.t, func() bool {
		_, err := s.elb.RegisterTargets(context.Background(), &elb.RegisterTargetsInput{TargetGroupArn: &s.group, Targets: []elbtypes.TargetDescription{{Id: &id}}})
		return err == nil
	}, 20*time.Second, 50*time.Millisecond)
	return id
}

// up boots servers 0 to n-1, one after the other.
func (s *servers) up(n int) {
	s.t.Helper()
	for i := range n {
		s.said(s.boot(i, fmt.Sprintf("10.0.0.%d", 10+i)), "done: K3s", 1, 3*time.Minute)
	}
	s.voters(n)
}

func (s *servers) terminate(i int) {
	s.t.Helper()
	_, err := ec2.NewFromConfig(s.config).TerminateInstances(context.Background(), &ec2.TerminateInstancesInput{InstanceIds: []string{s.ids[i]}})
	require.NoError(s.t, err)
	require.Eventually(s.t, func() bool { return s.machines.serverOf(s.ids[i]) == nil }, time.Minute, 50*time.Millisecond)
}

// sh runs a command on a machine, as one does in a session there.
func (s *rig) sh(id, command string) (string, error) {
	s.t.Helper()
	s.machines.mu.Lock()
	vm := s.machines.machines[id]
	s.machines.mu.Unlock()
	path := filepath.Join(s.t.TempDir(), "out")
	out, err := os.Create(path)
	require.NoError(s.t, err)
	defer out.Close()
	err = s.machines.run(context.Background(), vm, []string{"/bin/bash", "-c", command}, out)
	return read(s.t, path), err
}

func (s *rig) client() kubernetes.Interface {
	s.t.Helper()
	var client kubernetes.Interface
	require.Eventually(s.t, func() bool {
		running := s.machines.Servers()
		if len(running) == 0 {
			return false
		}
		var err error
		client, err = admin(running[0])
		return err == nil
	}, time.Minute, 50*time.Millisecond)
	return client
}

// voters waits until so many Nodes are ready and full members of etcd, and no other is a server.
func (s *servers) voters(n int) {
	s.t.Helper()
	seen := ""
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		list, err := s.client().CoreV1().Nodes().List(context.Background(), metav1.ListOptions{LabelSelector: etcdLabel})
		if err != nil {
			continue
		}
		var well []string
		seen = ""
		for _, node := range list.Items {
			states := map[corev1.NodeConditionType]corev1.ConditionStatus{}
			for _, c := range node.Status.Conditions {
				states[c.Type] = c.Status
			}
			seen += fmt.Sprintf("%s %v; ", node.Name, states)
			if states[corev1.NodeReady] == corev1.ConditionTrue && states[voterCondition] == corev1.ConditionTrue {
				well = append(well, node.Name)
			}
		}
		if len(well) == n && len(list.Items) == n {
			return
		}
	}
	s.t.Fatalf("%d full members of etcd are wanted, there are %s", n, seen)
}

// TestRestore takes all servers away and restores a snapshot, as docs/cluster.md says. What the stand-in for K3s refuses
// on the way is what K3s refuses.
func TestRestore(t *testing.T) {
	s := newServers(t, "200")
	s.up(3)
	ctx := context.Background()
	keep := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}
	_, err := s.client().CoreV1().ConfigMaps("default").Create(ctx, keep, metav1.CreateOptions{})
	require.NoError(t, err)
	out, err := s.sh(s.ids[0], "k3s etcd-snapshot save")
	require.NoError(t, err, out)
	snapshot := strings.Fields(out)[1]
	out, err = s.sh(s.ids[0], "k3s etcd-snapshot ls")
	require.NoError(t, err, out)
	require.Contains(t, out, "s3://acme-backups/lab/"+snapshot)

	// All machines are lost. New ones make an empty cluster.
	for i := range 3 {
		s.terminate(i)
	}
	s.put("server/founder", "none")
	s.up(3)
	_, err = s.client().CoreV1().ConfigMaps("default").Get(ctx, "kept", metav1.GetOptions{})
	require.Error(t, err, "this is another cluster")

	restore := "k3s server --cluster-reset --cluster-reset-restore-path=" + snapshot
	out, err = s.sh(s.ids[0], restore)
	require.Error(t, err)
	require.Contains(t, out, "address already in use", "K3s still runs")
	for i := range 3 {
		out, err = s.sh(s.ids[i], "systemctl stop k3s")
		require.NoError(t, err, out)
	}
	out, err = s.sh(s.ids[1], restore)
	require.Error(t, err)
	require.Contains(t, out, "cannot perform cluster-reset while server URL is set - remove server from configuration before resetting")
	out, err = s.sh(s.ids[0], "k3s server --cluster-reset --cluster-reset-restore-path=/var/lib/rancher/k3s/server/db/snapshots/"+snapshot)
	require.Error(t, err)
	require.Contains(t, out, "failed to download snapshot from S3", "with etcd-s3 a path is the name of an object")
	out, err = s.sh(s.ids[0], "k3s server --cluster-reset --etcd-s3=false --cluster-reset-restore-path=/var/lib/rancher/k3s/server/db/snapshots/"+snapshot)
	require.Error(t, err)
	require.Contains(t, out, "snapshot path does not exist", "the disk is new")

	out, err = s.sh(s.ids[0], restore)
	require.NoError(t, err, out)
	require.Contains(t, out, "Managed etcd cluster membership has been reset")
	out, err = s.sh(s.ids[0], restore)
	require.Error(t, err, "not twice in a row")
	require.Contains(t, out, "was previously reset")
	out, err = s.sh(s.ids[0], "systemctl start k3s")
	require.NoError(t, err, out)
	_, err = s.client().CoreV1().ConfigMaps("default").Get(ctx, "kept", metav1.GetOptions{})
	require.NoError(t, err)

	// The others still have what the empty cluster had in common.
	out, err = s.sh(s.ids[1], "rm -rf /var/lib/rancher/k3s/server/db && systemctl start k3s")
	require.Error(t, err)
	require.Contains(t, out, "newer than datastore and could cause a cluster outage")
	require.Contains(t, out, "/var/lib/rancher/k3s/server/cred/")
	for i := 1; i < 3; i++ {
		out, err = s.sh(s.ids[i], "systemctl stop k3s; rm -rf /var/lib/rancher/k3s/server/db /var/lib/rancher/k3s/server/cred && systemctl start k3s")
		require.NoError(t, err, out)
	}
	s.voters(3)
	_, err = s.client().CoreV1().ConfigMaps("default").Get(ctx, "kept", metav1.GetOptions{})
	require.NoError(t, err)
}

// TestHealth hangs the etcd of one server of three: it leaves the target group, and comes back. With 401 in the matcher, as
// a server answers to whom it does not know before it looks at its etcd, it would stay.
func TestHealth(t *testing.T) {
	s := newServers(t, "200")
	s.up(3)
	state := func(i int) string {
		out, err := s.elb.DescribeTargetHealth(context.Background(), &elb.DescribeTargetHealthInput{TargetGroupArn: &s.group})
		require.NoError(t, err)
		for _, h := range out.TargetHealthDescriptions {
			if *h.Target.Id == s.ids[i] {
				return string(h.TargetHealth.State)
			}
		}
		return ""
	}
	await := func(i int, want string) {
		t.Helper()
		require.Eventually(t, func() bool { return state(i) == want }, time.Minute, 100*time.Millisecond, "server %d is not %s", i, want)
	}
	for i := range 3 {
		await(i, "healthy")
	}
	require.NoError(t, s.machines.serverOf(s.ids[1]).HangEtcd(true))
	await(1, "unhealthy")
	await(0, "healthy")
	await(2, "healthy")
	require.NoError(t, s.machines.serverOf(s.ids[1]).HangEtcd(false))
	await(1, "healthy")
}

// TestJoinWaitsForALostMember boots a server in place of one of five while another is lost too: etcd admits nobody until
// that one's Node is deleted. The boot script must say so meanwhile, and go on by itself afterwards.
func TestJoinWaitsForALostMember(t *testing.T) {
	s := newServers(t, "200")
	s.up(5)
	s.terminate(2)
	s.terminate(4)
	// The script's own clock: what it waits for here takes as long as it takes.
	s.run = []string{"/usr/local/sbin/k3s-boot"}
	id := s.boot(2, "10.0.0.22")
	const waiting = "Waiting for other members to finish joining etcd cluster: etcdserver: unhealthy cluster"
	require.Eventually(t, func() bool { return strings.Contains(s.console(id), waiting) }, 4*time.Minute, 100*time.Millisecond)
	require.NoError(t, s.client().CoreV1().Nodes().Delete(context.Background(), "ip-10-0-0-14", metav1.DeleteOptions{}))
	s.said(id, "done: K3s", 1, 4*time.Minute)
	s.voters(4)
}

// TestYears lets K3s's own certificates age: with the product's timers a cluster survives what it would not without.
func TestYears(t *testing.T) {
	r := newRig(t)
	server := r.launch("server", goldenServer, productNode(t, "server").userData(t), nil)
	r.said(server, "done: K3s v1.35.4+k3s1, server", 1, 3*time.Minute)
	agent := r.launch("agent", "10.0.0.14", productNode(t, "agent").userData(t), nil)
	r.said(agent, "done: K3s v1.35.4+k3s1, agent", 1, 2*time.Minute)
	ends := func(id, name string) time.Time {
		block, _ := pem.Decode([]byte(read(t, filepath.Join(r.dir, "machines", id, "root/var/lib/rancher/k3s", name))))
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		return cert.NotAfter
	}
	works := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err := r.client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		return err
	}
	// K3s restarts by chance as the year begins.
	out, err := r.sh(server, "systemctl stop k3s")
	require.NoError(t, err, out)
	started := make(chan error, 1)
	time.AfterFunc(2*time.Second, func() { started <- r.machines.machines[server].init.start("k3s.service", false, true) })
	require.NoError(t, r.machines.Pass(context.Background(), 400*24*time.Hour))
	require.NoError(t, <-started)
	require.Eventually(t, func() bool { return works() == nil }, time.Minute, 200*time.Millisecond)
	out, err = r.sh(server, "BASH_ENV="+clockFile+" bash -c 'echo $((EPOCHSECONDS / 86400))'")
	require.NoError(t, err, out)
	day, err := strconv.Atoi(strings.TrimSpace(out))
	require.NoError(t, err)
	require.Greater(t, day, int(time.Now().Unix()/86400)+390, "scripts see the day that it would be")
	for id, name := range map[string]string{server: "server/tls/serving-kube-apiserver.crt", agent: "agent/client-kubelet.crt"} {
		require.Greater(t, time.Until(ends(id, name)), 200*24*time.Hour, name)
	}
	require.Eventually(t, func() bool {
		nodes, err := r.client().CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
		return err == nil && len(nodes.Items) == 2 && !slices.ContainsFunc(nodes.Items, func(n corev1.Node) bool {
			return !slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
				return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
			})
		})
	}, 2*time.Minute, 200*time.Millisecond)

	// Without a restart it is over.
	require.NoError(t, r.machines.Age(400*24*time.Hour))
	require.Eventually(t, func() bool { err := works(); return err != nil && strings.Contains(err.Error(), "expired") }, 2*time.Minute, time.Second)
	out, err = r.sh(server, "systemctl restart k3s")
	require.NoError(t, err, out)
	require.Eventually(t, func() bool { return works() == nil }, time.Minute, 200*time.Millisecond)
}
