package machines

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"k3s-aws-auth/scripts/lab/internal/gate"
	labec2 "k3s-aws-auth/scripts/lab/internal/gate/ec2"
	"k3s-aws-auth/scripts/lab/internal/gate/services"
	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// product has what the program gives its nodes: the goldens of its own tests, and the boot script.
const product = "../../../../components/k3s"

// The server of the product's goldens.
const (
	goldenServer = "10.0.0.4"
	goldenRoot   = "/k3s-aws-auth/lab/"
)

// quick lets a script's clock run ahead while it sleeps, so that minutes of patience pass in seconds: bash reads it
// before a script ($BASH_ENV). The script itself is the product's, byte for byte.
const quick = `sleep() { command sleep 0.2; SECONDS=$((SECONDS + ${1%.*})); }
# KILL_AT: the process dies when the script enters the step that begins so, KILL_AFTER seconds later.
if [[ -n ${KILL_AT-} && $0 == */k3s-boot ]]; then
  set -T
  trap 'if [[ ${step-} == "$KILL_AT"* && -z ${killing-} ]]; then killing=yes; if [[ -z ${KILL_AFTER-} ]]; then kill -KILL $$; else (command sleep "$KILL_AFTER"; kill -KILL $$) & fi; fi' DEBUG
fi
`

// rig is an account with machines in it, each of which boots what a test gives it.
type rig struct {
	t        *testing.T
	gate     *gate.Gate
	machines *Machines
	sandbox  *sandbox.Sandbox
	dir      string
	config   aws.Config
	subnet   string
	ami      string
	// before is called with the root directory of a machine that is about to boot.
	before func(root string)
}

var stand struct {
	sync.Once
	k3s string
	err error
}

// newRig starts an account with the parameters of a cluster, and roles that may read them by the product's policies.
func newRig(t *testing.T) *rig {
	t.Helper()
	kubernetes, binary := os.Getenv("LAB_KUBERNETES"), os.Getenv("LAB_SANDBOX")
	if kubernetes == "" || binary == "" {
		t.Skip("LAB_KUBERNETES and LAB_SANDBOX do not name the lab's built tools; `make lab` builds them below ~/.cache/k3s-aws-auth/tools")
	}
	if missing := missingTools(); len(missing) > 0 {
		t.Skipf("this system lacks %s", strings.Join(missing, ", "))
	}
	stand.Do(func() {
		var dir string
		if dir, stand.err = os.MkdirTemp("", "k3s-"); stand.err != nil {
			return
		}
		stand.k3s = filepath.Join(dir, "k3s")
		build := exec.Command("go", "build", "-o", stand.k3s, "../../machine-commands")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			stand.err = errors.Join(err, errors.New(string(out)))
		}
	})
	require.NoError(t, stand.err)

	r := &rig{t: t, dir: t.TempDir()}
	log := &testLog{t: t}
	t.Cleanup(log.end)
	var err error
	r.gate, err = gate.New(gate.Options{Dir: r.dir, AccountID: "111122223333", Region: "eu-central-1", Log: io.Discard})
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.gate.Close() })
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(t.Name()))
	n := sum.Sum32()
	served, err := services.Register(r.gate, services.Options{AddressBase: netip.AddrFrom4([4]byte{127, byte(20 + n%200), byte(n >> 8), 1})})
	require.NoError(t, err)
	t.Cleanup(served.Close)
	ca := filepath.Join(r.dir, "ca.pem")
	require.NoError(t, os.WriteFile(ca, r.gate.CA(), 0o600))
	r.sandbox, err = sandbox.Start(context.Background(), sandbox.Options{Binary: binary, Dir: filepath.Join(r.dir, "sandbox"), CA: ca, Log: log})
	if errors.Is(err, sandbox.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.sandbox.Close() })
	key, secret := r.gate.Admin()
	r.config = aws.Config{Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""), HTTPClient: r.gate.Client(time.Minute)}
	sockets, err := os.MkdirTemp("", "rig-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	r.machines, err = New(Options{Dir: filepath.Join(r.dir, "machines"), Sockets: sockets, Kubernetes: kubernetes, K3s: stand.k3s,
		Gate: r.gate, EC2: served.EC2, ELB: served.ELB, Sandbox: r.sandbox, AWS: r.config, Log: log})
	require.NoError(t, err)
	t.Cleanup(r.machines.Close)
	served.EC2.SetMachines(prepared{Machines: r.machines, rig: r})

	ctx := context.Background()
	ec2Client, ssmClient := ec2.NewFromConfig(r.config), ssm.NewFromConfig(r.config)
	vpc, err := ec2Client.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
	require.NoError(t, err)
	subnet, err := ec2Client.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: vpc.Vpc.VpcId, CidrBlock: aws.String("10.0.0.0/24")})
	require.NoError(t, err)
	r.subnet = *subnet.Subnet.SubnetId
	image, err := ssmClient.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id")})
	require.NoError(t, err)
	r.ami = *image.Parameter.Value
	for _, role := range []string{"server", "agent"} {
		r.role(role, read(t, filepath.Join(product, "testdata", "lab-"+role+"-boot.json")))
	}
	for name, value := range secrets(t) {
		r.put(name, value)
	}
	return r
}

// prepared lets a test change a machine's root before it boots.
type prepared struct {
	*Machines
	rig *rig
}

// Run boots an instance.
func (p prepared) Run(i labec2.Instance) {
	if p.rig.before != nil {
		p.rig.before(filepath.Join(p.rig.dir, "machines", i.ID, "root"))
	}
	p.Machines.Run(i)
}

func (r *rig) role(name, policy string) {
	r.t.Helper()
	ctx, c := context.Background(), iam.NewFromConfig(r.config)
	_, err := c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	require.NoError(r.t, err)
	_, err = c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: &name})
	require.NoError(r.t, err)
	_, err = c.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &name, RoleName: &name})
	require.NoError(r.t, err)
	r.allow(name, policy)
}

// allow gives a role its only policy.
func (r *rig) allow(role, policy string) {
	r.t.Helper()
	_, err := iam.NewFromConfig(r.config).PutRolePolicy(context.Background(), &iam.PutRolePolicyInput{RoleName: &role, PolicyName: aws.String("boot"), PolicyDocument: &policy})
	require.NoError(r.t, err)
}

// put writes a parameter of the cluster.
func (r *rig) put(name, value string) {
	r.t.Helper()
	_, err := ssm.NewFromConfig(r.config).PutParameter(context.Background(), &ssm.PutParameterInput{
		Name: aws.String(goldenRoot + name), Value: &value, Type: "SecureString", Overwrite: aws.Bool(true)})
	require.NoError(r.t, err)
}

func (r *rig) get(name string) string {
	r.t.Helper()
	out, err := ssm.NewFromConfig(r.config).GetParameter(context.Background(), &ssm.GetParameterInput{Name: aws.String(goldenRoot + name), WithDecryption: aws.Bool(true)})
	require.NoError(r.t, err)
	return *out.Parameter.Value
}

// remove deletes a parameter of the cluster.
func (r *rig) remove(name string) {
	r.t.Helper()
	_, err := ssm.NewFromConfig(r.config).DeleteParameter(context.Background(), &ssm.DeleteParameterInput{Name: aws.String(goldenRoot + name)})
	require.NoError(r.t, err)
}

// launch starts a machine of a role. change has the last word on the call.
func (r *rig) launch(role, privateIP, userData string, change func(*ec2.RunInstancesInput)) (id string) {
	r.t.Helper()
	in := &ec2.RunInstancesInput{ImageId: &r.ami, InstanceType: "t3.medium", MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: &r.subnet,
		PrivateIpAddress: &privateIP, IamInstanceProfile: &types.IamInstanceProfileSpecification{Name: &role},
		UserData:        aws.String(base64.StdEncoding.EncodeToString([]byte(userData))),
		MetadataOptions: &types.InstanceMetadataOptionsRequest{HttpTokens: "required", HttpPutResponseHopLimit: aws.Int32(1), HttpEndpoint: "enabled"}}
	if change != nil {
		change(in)
	}
	out, err := ec2.NewFromConfig(r.config).RunInstances(context.Background(), in)
	require.NoError(r.t, err)
	return *out.Instances[0].InstanceId
}

// console is what a machine's boot has said so far.
func (r *rig) console(id string) string {
	data, _ := os.ReadFile(filepath.Join(r.dir, "machines", id, "console.log"))
	return string(data)
}

// failure waits for the machine's error.
func (r *rig) failure(id string, patience time.Duration) error {
	r.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		r.machines.mu.Lock()
		vm := r.machines.machines[id]
		var err error
		if vm != nil {
			err = vm.err
		}
		r.machines.mu.Unlock()
		if err != nil {
			return err
		}
	}
	r.t.Fatalf("the machine reports no error; its console:\n%s", r.console(id))
	return nil
}

// said waits until a machine's console has a line n times.
func (r *rig) said(id, line string, n int, patience time.Duration) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if strings.Count(r.console(id), line) >= n {
			return
		}
		if err := r.machines.Errors(); err != nil {
			r.t.Fatalf("%v; the console:\n%s", err, r.console(id))
		}
	}
	r.t.Fatalf("no %q on the console:\n%s", line, r.console(id))
}

// node is the user data of a node, from the product's goldens and its script, with quick beside it.
type node struct {
	config, env, parameters, script string
	run                             []string
}

func productNode(t *testing.T, role string) *node {
	t.Helper()
	golden := func(name string) string { return read(t, filepath.Join(product, "testdata", role+"-"+name)) }
	return &node{config: golden("config.yaml"), env: golden("boot.env"), parameters: golden("parameters"),
		script: withoutComments(read(t, filepath.Join(product, "boot.sh"))), run: []string{boot}}
}

// withoutComments leaves out the lines that are only a comment, as the product does: user data is limited.
func withoutComments(script string) string {
	var kept strings.Builder
	for i, line := range strings.SplitAfter(script, "\n") {
		if i == 0 || !strings.HasPrefix(strings.TrimSpace(line), "#") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// authenticationPath is what the product's configuration of servers names.
const authenticationPath = "/etc/rancher/k3s/authentication.yaml"

// boot runs the script with quick.
const boot = "BASH_ENV=/etc/k3s-aws-auth/quick /usr/local/sbin/k3s-boot"

// userData is in the order of the product's: the command comes last.
func (n *node) userData(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	out.WriteString("#cloud-config\nwrite_files:\n")
	type file struct{ path, mode, content string }
	files := []file{
		{"/etc/rancher/k3s/config.yaml", "0600", n.config},
		{"/etc/k3s-aws-auth/boot.env", "0644", n.env},
		{"/etc/k3s-aws-auth/parameters", "0644", n.parameters},
		{"/etc/k3s-aws-auth/quick", "0644", quick},
		{"/usr/local/sbin/k3s-boot", "0755", n.script},
	}
	if strings.Contains(n.config, authenticationPath) {
		files = append(files, file{authenticationPath, "0644", "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n" +
			"anonymous:\n  enabled: true\n  conditions:\n    - path: /readyz\n"})
	}
	for _, f := range files {
		if f.path == "/usr/local/sbin/k3s-boot" {
			// As the product does: user data is limited.
			fmt.Fprintf(&out, "  - path: %s\n    permissions: %q\n    encoding: gz+b64\n    content: %s\n", f.path, f.mode, packed(t, f.content))
			continue
		}
		fmt.Fprintf(&out, "  - path: %s\n    permissions: %q\n    content: |\n", f.path, f.mode)
		for line := range strings.Lines(f.content) {
			out.WriteString("      " + line)
		}
		if !strings.HasSuffix(f.content, "\n") {
			out.WriteString("\n")
		}
	}
	run, err := yaml.Marshal(map[string]any{"runcmd": n.run})
	require.NoError(t, err)
	return out.String() + string(run)
}

func packed(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return base64.StdEncoding.EncodeToString(out.Bytes())
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// secrets are the values of a cluster's parameters.
func secrets(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"server-ca", "client-ca", "request-header-ca", "etcd/peer-ca", "etcd/server-ca"} {
		out["server/"+name+".crt"], out["server/"+name+".key"] = authority(t, name)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	out["server/service.key"] = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	out["server/token"] = token(out["server/server-ca.crt"], "server", "the servers'")
	out["agent/token"] = token(out["server/server-ca.crt"], "node", "the agents'")
	return out
}

// token is a token of K3s's secure form that pins a CA of one certificate.
func token(caPEM, user, password string) string {
	sum := sha256.Sum256([]byte(caPEM))
	return "K10" + hex.EncodeToString(sum[:]) + "::" + user + ":" + password
}

func authority(t *testing.T, name string) (certPEM, keyPEM string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
}

// testLog sends a log to the test's until the test ends.
type testLog struct {
	mu sync.Mutex
	t  *testing.T
}

// Write logs.
func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t != nil {
		l.t.Logf("%s", strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

func (l *testLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t = nil
}
