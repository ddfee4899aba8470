// Package machines runs the lab's EC2 instances: it gives each a root directory from its user data, a network with the
// metadata service behind one hop, the secrets that its own role may read, and the part of the cluster that the boot
// found out from them. It knows nothing of the program: only what the instance was given.
package machines

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"k8s.io/client-go/rest"

	"k3s-aws-auth/scripts/lab/internal/cluster"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/ec2"
	"k3s-aws-auth/scripts/lab/internal/gate/elbv2"
	"k3s-aws-auth/scripts/lab/internal/kubelet"
	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// Options is what machines are made with.
type Options struct {
	// Dir gets one directory for each instance, Sockets their sockets: its path must be short.
	Dir, Sockets string
	// Kubernetes is the control plane's binary, K3s the stand-in for K3s and systemd on machines.
	Kubernetes, K3s string
	Gate            *gate.Gate
	EC2             *ec2.Service
	ELB             *elbv2.Service
	// Sandbox is nil where the system has no namespaces.
	Sandbox *sandbox.Sandbox
	// AWS has the endpoint of the gate; its credentials are replaced by each machine's own.
	AWS aws.Config
	// HostEnv leads clients to the gate where pods run on the host's network.
	HostEnv []string
	// CredentialProvider returns the path of ECR's credential provider, which machines may download; nil where there is
	// none.
	CredentialProvider func() (string, error)
	// Images resolves container images to programs of this machine.
	Images map[string]kubelet.Image
	Log    io.Writer
}

// Machines implements the EC2 service's hook.
type Machines struct {
	o   Options
	log *log.Logger

	// readsInputs says why boot scripts are not run here; empty where they are.
	readsInputs string

	balancing sync.Mutex
	balancers map[string]*forwarder // by address and port
	turn      atomic.Uint32

	mu        sync.Mutex
	machines  map[string]*machine
	addresses map[string]*address
	health    map[elbv2.Target]bool
	// over ends with Close.
	over context.Context
	end  context.CancelFunc
}

type machine struct {
	instance ec2.Instance
	name     string
	root     string
	// socket is where the machine's programs reach the daemon.
	socket string
	// metadataURL is where the metadata service is on a host without namespaces.
	metadataURL string
	cancel      context.CancelFunc
	done        chan struct{}
	// init is set once the machine runs its user data.
	init *initSystem
	// server is set where the machine has a running control plane.
	server *cluster.Server
	// kubelet is set where the machine has a running node.
	kubelet *kubelet.Kubelet
	// err is why the boot failed.
	err error
}

type address struct {
	instance  string
	forwarder *forwarder
}

// apiPort is where K3s's API server listens on a server.
const apiPort = "6443"

// serviceIP is that of the Service default/kubernetes: the first of K3s's default service CIDR
// (https://docs.k3s.io/cli/server#networking), of which the certificate of its API servers has it too.
const serviceIP = "10.43.0.1"

// New makes a hook for the EC2 service.
func New(o Options) (*Machines, error) {
	m := &Machines{o: o, log: log.New(o.Log, "machines: ", log.LstdFlags), machines: map[string]*machine{}, addresses: map[string]*address{}, balancers: map[string]*forwarder{}}
	m.over, m.end = context.WithCancel(context.Background())
	missing := missingTools()
	switch {
	case o.Sandbox == nil:
		m.readsInputs = "this system has no namespaces"
	case len(missing) > 0:
		m.readsInputs = "this system lacks " + strings.Join(missing, ", ")
	default:
		releases, err := newReleases(o.Gate, o.K3s, o.CredentialProvider)
		if err != nil {
			return nil, err
		}
		o.Gate.Register(releases)
	}
	o.ELB.SetHealth(m.healthy)
	o.ELB.SetChanged(m.balance)
	go m.checkHealth(m.over)
	if m.readsInputs != "" {
		m.log.Printf("boot scripts are not run: %s. The lab reads their inputs instead", m.readsInputs)
	}
	return m, nil
}

// Weaker says which of the lab's checks this host does not make; none where it makes all.
func (m *Machines) Weaker() []string {
	var weaker []string
	if m.readsInputs != "" {
		weaker = append(weaker, "boot scripts are not run: "+m.readsInputs)
	}
	if m.o.Sandbox == nil {
		weaker = append(weaker, kubelet.NewHostRunner("", nil).Weaker()...)
	}
	return weaker
}

// Run boots an instance in the background.
func (m *Machines) Run(i ec2.Instance) {
	ctx, cancel := context.WithCancel(context.Background())
	// EC2 names a host after its private address, and K3s the node after its host.
	name := "ip-" + strings.ReplaceAll(i.PrivateIP, ".", "-")
	vm := &machine{instance: i, name: name, root: filepath.Join(m.o.Dir, i.ID, "root"),
		socket: filepath.Join(m.o.Sockets, i.ID, "machine.sock"), cancel: cancel, done: make(chan struct{})}
	m.mu.Lock()
	m.machines[i.ID] = vm
	m.mu.Unlock()
	go func() {
		defer close(vm.done)
		if err := m.boot(ctx, vm); err != nil && ctx.Err() == nil {
			m.failed(vm, err)
		}
	}()
}

// failed writes down why a machine did not boot, once.
func (m *Machines) failed(vm *machine, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if vm.err != nil {
		return
	}
	m.log.Printf("%s (%s) did not boot: %v", vm.instance.ID, vm.name, err)
	vm.err = err
}

// Terminate ends an instance and everything that runs on it.
func (m *Machines) Terminate(id string) {
	m.mu.Lock()
	vm := m.machines[id]
	delete(m.machines, id)
	m.mu.Unlock()
	if vm == nil {
		return
	}
	vm.cancel()
	<-vm.done
	if err := os.RemoveAll(filepath.Join(m.o.Dir, id)); err != nil {
		m.log.Printf("%s: %v", id, err)
	}
}

// Associate lets a public address lead to an instance's API server.
func (m *Machines) Associate(publicIP, instanceID string) {
	m.Disassociate(publicIP)
	f, err := forward(net.JoinHostPort(publicIP, apiPort), func() string {
		if server := m.serverOf(instanceID); server != nil {
			return server.Address
		}
		return ""
	})
	if err != nil {
		m.log.Printf("address %s: %v", publicIP, err)
		return
	}
	m.mu.Lock()
	m.addresses[publicIP] = &address{instance: instanceID, forwarder: f}
	m.mu.Unlock()
}

// Disassociate ends a public address.
func (m *Machines) Disassociate(publicIP string) {
	m.mu.Lock()
	a := m.addresses[publicIP]
	delete(m.addresses, publicIP)
	m.mu.Unlock()
	if a != nil {
		if err := a.forwarder.Close(); err != nil {
			m.log.Printf("address %s: %v", publicIP, err)
		}
	}
}

// MetadataOptions needs nothing here: the metadata service asks for the options at each call.
func (m *Machines) MetadataOptions(string, ec2.MetadataOptions) {}

// Close ends all machines.
func (m *Machines) Close() {
	m.end()
	m.mu.Lock()
	var ids, ips []string
	for id := range m.machines {
		ids = append(ids, id)
	}
	for ip := range m.addresses {
		ips = append(ips, ip)
	}
	m.mu.Unlock()
	for _, ip := range ips {
		m.Disassociate(ip)
	}
	for _, id := range ids {
		m.Terminate(id)
	}
}

// Settle returns once the machines have heard of everything that EC2 has answered so far, or when ctx ends.
func (m *Machines) Settle(ctx context.Context) { m.o.EC2.Settle(ctx) }

// Remaining counts what runs on machines, by kind.
func (m *Machines) Remaining() map[string][]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := map[string][]string{}
	for id := range m.machines {
		left["machine"] = append(left["machine"], id)
	}
	for ip := range m.addresses {
		left["forwarded address"] = append(left["forwarded address"], ip)
	}
	return left
}

// Servers returns the control planes that run.
func (m *Machines) Servers() []*cluster.Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	var servers []*cluster.Server
	for _, vm := range m.machines {
		if vm.server != nil {
			servers = append(servers, vm.server)
		}
	}
	return servers
}

// Errors tells why machines did not boot.
func (m *Machines) Errors() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for id, vm := range m.machines {
		if vm.err != nil {
			errs = append(errs, fmt.Errorf("%s (%s): %w", id, vm.name, vm.err))
		}
		if vm.server != nil {
			errs = append(errs, vm.server.Err())
		}
	}
	return errors.Join(errs...)
}

// boot does what the machine's user data says and runs its part of the cluster until ctx ends.
func (m *Machines) boot(ctx context.Context, vm *machine) error {
	config, err := parseCloudConfig(vm.instance.UserData)
	if err != nil {
		return err
	}
	if len(config.RunCmd) == 0 {
		return errors.New("the user data runs no command: this machine would never do anything. Is it cut short?")
	}
	// cloud-init does both, write_files and runcmd, once for an instance.
	mark := filepath.Join(m.o.Dir, vm.instance.ID, "booted")
	_, err = os.Stat(mark)
	later := err == nil && m.readsInputs == ""
	if !later {
		if err := config.apply(vm.root); err != nil {
			return err
		}
		if err := os.WriteFile(mark, nil, 0o600); err != nil {
			return err
		}
	}
	if m.o.Sandbox != nil {
		network, err := m.o.Sandbox.AddNode(vm.instance.ID, vm.instance.PrivateIP, serviceIP)
		if err != nil {
			return err
		}
		defer func() {
			err := errors.Join(network.Close(), m.o.Sandbox.RemoveNode(vm.instance.ID))
			if err != nil {
				m.log.Printf("network of %s: %v", vm.name, err)
			}
		}()
		go m.serve(vm.name+" metadata", func() error { return m.serveMetadata(vm, network.Metadata) })
		go m.serve(vm.name, func() error { return m.o.Gate.ServeTLS(network.HTTPS, "node/"+vm.name) })
		go serveDNS(network.DNS, m.resolve)
		closeBalancers, err := m.openBalancers(vm)
		if err != nil {
			return err
		}
		defer closeBalancers()
	} else {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		vm.metadataURL = "http://" + l.Addr().String()
		go m.serve(vm.name+" metadata", func() error { return m.serveMetadata(vm, l) })
	}
	if m.readsInputs != "" {
		return m.bootFromInputs(ctx, vm)
	}
	init := &initSystem{m: m, vm: vm, ctx: ctx}
	listener, err := init.listen()
	if err != nil {
		return err
	}
	defer init.running.Wait()
	defer listener.Close()
	m.mu.Lock()
	vm.init = init
	m.mu.Unlock()
	if later {
		err = m.laterBoot(ctx, vm, config, init)
	} else {
		err = m.runCommands(ctx, vm, config)
	}
	if err != nil {
		if ctx.Err() == nil {
			m.failed(vm, err) // at once: what systemd goes on trying ends with the machine only
		}
		return err
	}
	<-ctx.Done()
	return nil
}

// bootFromInputs is for hosts that cannot run the boot script: it reads what the script would read, with the machine's
// own credentials, and starts the machine's role.
func (m *Machines) bootFromInputs(ctx context.Context, vm *machine) error {
	env, err := readEnv(filepath.Join(vm.root, bootEnvPath))
	if err != nil {
		return err
	}
	own := m.o.AWS.Copy()
	own.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return m.roleCredentials(vm)
	}))
	own.Region = vm.instance.Region
	if err := fetch(ctx, ssm.NewFromConfig(own), vm.root); err != nil {
		return err
	}
	return m.runRole(ctx, vm, env["ROLE"], func() {})
}

// runRole runs a machine's part of the cluster until ctx ends; started is called once it runs.
func (m *Machines) runRole(ctx context.Context, vm *machine, role string, started func()) error {
	switch role {
	case "server":
		return m.runServer(ctx, vm, started)
	case "agent":
		return m.runAgent(ctx, vm, started)
	}
	return fmt.Errorf("a machine is a server or an agent, not %q", role)
}

func (m *Machines) roleCredentials(vm *machine) (aws.Credentials, error) {
	c, err := m.o.Gate.NodeRoleCredentials(vm.instance.ID)
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		CanExpire: true, Expires: c.Expiration}, err
}

// serveMetadata serves a machine's metadata with the hop limit that it has at each call.
func (m *Machines) serveMetadata(vm *machine, l net.Listener) error {
	hopLimit := func() int {
		i, _ := m.o.EC2.Instance(vm.instance.ID)
		return i.MetadataOptions.HopLimit
	}
	return ec2.ServeMetadata(l, hopLimit, m.o.EC2.Metadata(vm.instance.ID))
}

func (m *Machines) serve(what string, f func() error) {
	if err := f(); err != nil && !errors.Is(err, net.ErrClosed) {
		m.log.Printf("%s: %v", what, err)
	}
}

// resolve answers DNS inside a node or pod: every name that the gate knows is reached at the gate.
func (m *Machines) resolve(name string) ([]string, bool) {
	r, ok := m.o.Gate.Resolve(name)
	return r.Addrs, ok
}

func (m *Machines) runServer(ctx context.Context, vm *machine, started func()) error {
	config, err := cluster.ReadConfig(vm.root)
	if err != nil {
		return err
	}
	var join *cluster.Server
	if config.Server != "" {
		join = m.otherServer(vm, config.Server)
	}
	server, err := cluster.StartServer(ctx, cluster.ServerOptions{
		Name: vm.name, Join: join, Root: vm.root, Dir: filepath.Join(m.o.Dir, vm.instance.ID, "control-plane"),
		Kubernetes: m.o.Kubernetes, PrivateIP: vm.instance.PrivateIP,
	})
	if err != nil {
		return err
	}
	m.setServer(vm, server)
	defer func() {
		m.setServer(vm, nil)
		server.Stop()
	}()
	member, err := server.Self(vm.name, kubeletIP, vm.instance.PrivateIP)
	if err != nil {
		return err
	}
	if err := keepAdmission(vm.root, config, member); err != nil {
		return err
	}
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-server.Failed():
			cancel()
		case <-alive.Done():
		}
	}()
	go m.followMembers(alive, server)
	err = m.runKubelet(alive, vm, server.Config, member, func() {
		if err := m.markServer(alive, vm, server); err != nil && alive.Err() == nil {
			m.log.Printf("%s: %v", vm.name, err)
		}
		started()
	})
	if failed := server.Err(); failed != nil {
		return failed
	}
	return err
}

func (m *Machines) setServer(vm *machine, server *cluster.Server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	vm.server = server
}

func (m *Machines) runAgent(ctx context.Context, vm *machine, started func()) error {
	config, token, err := cluster.AgentInputs(vm.root)
	if err != nil {
		return err
	}
	server, err := m.serverAt(ctx, vm, config.Server)
	if err != nil {
		return err
	}
	member, err := server.Join(token, vm.name, kubeletIP, vm.instance.PrivateIP)
	if err != nil {
		return fmt.Errorf("join %s: %w", config.Server, err)
	}
	if host := hostOf(config.Server); net.ParseIP(host).IsLoopback() {
		// A load balancer: the node outlives the server that admitted it.
		member.REST.Host = config.Server
	}
	if err := keepAdmission(vm.root, config, member); err != nil {
		return err
	}
	return m.runKubelet(ctx, vm, config, member, started)
}

// keepAdmission writes what a node was admitted with where K3s's agent has it, and lets the node use it from there, so that
// it ages on the disk as it does in the world.
func keepAdmission(root string, config *cluster.Config, a *cluster.Admission) error {
	crt, key := filepath.Join(config.DataDir, "agent/client-kubelet.crt"), filepath.Join(config.DataDir, "agent/client-kubelet.key")
	// The key first: by the certificate a boot script knows that the node is admitted.
	if err := writeBelow(root, key, a.REST.KeyData, 0o600); err != nil {
		return err
	}
	if err := writeBelow(root, crt, a.REST.CertData, 0o600); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(a.REST.CAData) {
		return errors.New("the server CA has no certificate")
	}
	// A connection that is not used ends soon: the next one begins with what is on the disk then.
	a.REST.Transport = &http.Transport{IdleConnTimeout: 5 * time.Second, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(filepath.Join(root, crt), filepath.Join(root, key))
			return &pair, err
		}}}
	a.REST.TLSClientConfig = rest.TLSClientConfig{}
	return nil
}

// Age lets the leaf certificates of all machines be as they are when so much time has passed.
func (m *Machines) Age(d time.Duration) error {
	m.mu.Lock()
	var roots []string
	var server *cluster.Server
	for _, vm := range m.machines {
		roots = append(roots, vm.root)
		if vm.server != nil {
			server = vm.server
		}
	}
	m.mu.Unlock()
	if server == nil {
		return errors.New("no server runs")
	}
	var errs []error
	for _, root := range roots {
		errs = append(errs, server.Age(root, d))
	}
	return errors.Join(errs...)
}

// serverAt waits for a server at the URL that an agent was given: a server's private address, or a load balancer.
func (m *Machines) serverAt(ctx context.Context, vm *machine, url string) (*cluster.Server, error) {
	for {
		if server := m.otherServer(vm, url); server != nil {
			return server, nil
		}
		if err := m.bootErrorAt(vm, hostOf(url)); err != nil {
			return nil, fmt.Errorf("the server at %s did not boot: %w", url, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no server at %s: %w", url, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// bootErrorAt is why the machine with a private address of another's VPC did not boot; nil where it did or is still at
// it.
func (m *Machines) bootErrorAt(from *machine, privateIP string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, vm := range m.machines {
		if vm.at(from, privateIP) && vm.err != nil {
			return vm.err
		}
	}
	return nil
}

// otherServer is a running server at a URL, as the given machine reaches it, that is not that machine; nil where there is
// none now.
func (m *Machines) otherServer(self *machine, url string) *cluster.Server {
	var candidates []string
	for _, t := range m.targets(net.JoinHostPort(hostOf(url), apiPort)) {
		candidates = append(candidates, t.InstanceID)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, vm := range m.machines {
		if vm != self && vm.server != nil && (vm.at(self, hostOf(url)) || slices.Contains(candidates, id)) {
			return vm.server
		}
	}
	return nil
}

// at tells whether a machine is the one that another one reaches at a private address: the VPCs of an account may have
// the same addresses, and each is a network of its own.
func (vm *machine) at(from *machine, privateIP string) bool {
	return vm.instance.PrivateIP == privateIP && vm.instance.VPCID == from.instance.VPCID
}

// serverOf is an instance's control plane; nil where it has none now.
func (m *Machines) serverOf(instanceID string) *cluster.Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	if vm := m.machines[instanceID]; vm != nil {
		return vm.server
	}
	return nil
}

func hostOf(url string) string {
	return strings.TrimSuffix(strings.TrimPrefix(url, "https://"), ":"+apiPort)
}
