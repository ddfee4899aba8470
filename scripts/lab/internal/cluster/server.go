package cluster

import (
	"bytes"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// defaultIssuer is K3s's issuer where no service-account-issuer is given.
const defaultIssuer = "https://kubernetes.default.svc.cluster.local"

// ServerOptions says where a server's inputs are and where its processes may write.
type ServerOptions struct {
	// Root is the node's root directory: etc/rancher/k3s/config.yaml and var/lib/rancher/k3s are read below it.
	Root string
	// Dir gets etcd's data, certificates and logs.
	Dir string
	// Kubernetes is the control plane's binary.
	Kubernetes string
	// PrivateIP is the node's address in its network; it becomes a name of the server certificate.
	PrivateIP string
	// Name is the node's name, and so that of its member of etcd.
	Name string
	// Join is a running server of the cluster that config.yaml tells to join; nil for the server that starts one.
	Join *Server
}

// Server is a running control plane.
type Server struct {
	// Address is where the API server listens: host and port on the loopback interface.
	Address string
	// Config is what the node was given.
	Config *Config

	dir, name string
	data      dataDir
	// member is the server's name in etcd.
	member              string
	kubernetes, etcd    string
	serverCA, clientCA  *authority
	requestHeaderCA     *authority
	password, agentPass string
	life                context.Context
	stop                context.CancelFunc
	running             sync.WaitGroup
	restarting          sync.Mutex
	plane               controlPlane
	mu                  sync.Mutex
	exited              error
	failed              chan struct{}
	etcdProcess         *os.Process
}

// StartServer starts etcd, the API server, the controller manager and the scheduler as K3s would with the node's
// config.yaml and custom CAs, and returns once the API server is ready. A missing or wrong input is an error.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	config, err := ReadConfig(o.Root)
	if err != nil {
		return nil, err
	}
	s := &Server{Config: config, dir: o.Dir, name: o.Name, kubernetes: o.Kubernetes, failed: make(chan struct{}),
		data: dataDir{root: o.Root, dir: filepath.Join(o.Root, config.DataDir, "server")}}
	if s.password, err = s.passwordOf(o.Root, config.Token, config.TokenFile, "token"); err != nil {
		return nil, err
	}
	s.agentPass = s.password
	if config.AgentToken != "" || config.AgentTokenFile != "" {
		if s.agentPass, err = s.passwordOf(o.Root, config.AgentToken, config.AgentTokenFile, "agent-token"); err != nil {
			return nil, err
		}
	}
	var errs []error
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	ports, err := keepPorts(filepath.Join(o.Dir, "ports"), 3)
	if err != nil {
		return nil, err
	}
	s.Address = fmt.Sprintf("127.0.0.1:%d", ports[0])
	s.etcd = fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	data := s.data
	if err := data.forgetRemoved(); err != nil {
		return nil, err
	}
	if s.member, err = data.memberName(o.Name, false); err != nil {
		return nil, err
	}
	member := []string{"--name", s.member, "--data-dir", data.etcd(), "--client-url", s.etcd,
		"--peer-url", fmt.Sprintf("http://127.0.0.1:%d", ports[2]), "--members", filepath.Join(o.Dir, membersFile)}
	// A normal start clears the mark of a reset (Cluster.start in pkg/cluster/managed.go).
	if err := os.Remove(data.path("db/reset-flag")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// A server that has a datastore goes on with it, whatever server its configuration tells it to join, and compares its
	// files with the cluster's: by that server where it answers, else by its own datastore (Cluster.Bootstrap in
	// pkg/cluster/bootstrap.go).
	initialized := data.initialized()
	switch {
	case !initialized && config.Server != "":
		if o.Join == nil {
			return nil, fmt.Errorf("no server answers at %s", config.Server)
		}
		if err := o.Join.admits(o.Root, config); err != nil {
			return nil, fmt.Errorf("join %s: %w", config.Server, err)
		}
		files, err := o.Join.bootstrapData()
		if err != nil {
			return nil, err
		}
		if err := data.reconcile(files, false); err != nil {
			return nil, err
		}
		member = append(member, "--join", o.Join.etcd)
	case initialized && config.Server != "" && o.Join != nil:
		if files, err := o.Join.bootstrapData(); err == nil {
			if err := data.reconcile(files, false); err != nil {
				return nil, err
			}
		}
	}
	if err := data.complete(config.SecretsEncryption); err != nil {
		return nil, err
	}

	tlsDir := filepath.Join(o.Root, config.DataDir, "server/tls")
	load := func(name string) *authority {
		a, err := loadAuthority(tlsDir, name)
		errs = append(errs, err)
		return a
	}
	s.serverCA, s.clientCA = load("server-ca"), load("client-ca")
	s.requestHeaderCA = load("request-header-ca")
	load("etcd/server-ca")
	load("etcd/peer-ca")
	signingKey, keyErr := currentKey(filepath.Join(tlsDir, "service.key"))
	if err := errors.Join(append(errs, keyErr)...); err != nil {
		return nil, fmt.Errorf("custom CA files: %w", err)
	}

	file := func(name string, data []byte) string {
		path := filepath.Join(o.Dir, name)
		errs = append(errs, os.WriteFile(path, data, 0o600))
		return path
	}
	pair := func(a *authority, name, cn string, org, names []string) (crt, key string) {
		crt, key = filepath.Join(tlsDir, name+".crt"), filepath.Join(tlsDir, name+".key")
		errs = append(errs, a.keep(crt, key, cn, org, names))
		return crt, key
	}
	names := append([]string{"127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local", "10.43.0.1", o.PrivateIP}, config.TLSSAN...)
	servingCrt, servingKey := pair(s.serverCA, "serving-kube-apiserver", "kube-apiserver", nil, names)
	kubeletCrt, kubeletKey := pair(s.clientCA, "client-kube-apiserver", "system:apiserver", []string{"system:masters"}, nil)
	proxyCrt, proxyKey := pair(s.requestHeaderCA, "client-auth-proxy", "system:auth-proxy", nil, nil)
	signing := file("service.current.key", signingKey)
	client := func(name, user string) string {
		crt, key := pair(s.clientCA, "client-"+name, user, nil, nil)
		config, err := s.kubeconfig(crt, key)
		errs = append(errs, err)
		return file(name+".kubeconfig", config)
	}
	manager, scheduler := client("controller", "system:kube-controller-manager"), client("scheduler", "system:kube-scheduler")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	// K3s v1.35's own defaults, as far as they concern authentication and what the lab can run.
	defaults := map[string]string{
		"api-audiences":                      defaultIssuer + ",k3s",
		"authorization-mode":                 "Node,RBAC",
		"bind-address":                       "127.0.0.1",
		"cert-dir":                           filepath.Join(o.Dir, "temporary-certs"),
		"client-ca-file":                     filepath.Join(tlsDir, "client-ca.crt"),
		"enable-admission-plugins":           "NodeRestriction",
		"endpoint-reconciler-type":           "none",
		"etcd-servers":                       s.etcd,
		"kubelet-certificate-authority":      filepath.Join(tlsDir, "server-ca.crt"),
		"kubelet-client-certificate":         kubeletCrt,
		"kubelet-client-key":                 kubeletKey,
		"kubelet-preferred-address-types":    "ExternalIP,InternalIP,Hostname",
		"profiling":                          "false",
		"proxy-client-cert-file":             proxyCrt,
		"proxy-client-key-file":              proxyKey,
		"requestheader-allowed-names":        "system:auth-proxy",
		"requestheader-client-ca-file":       filepath.Join(tlsDir, "request-header-ca.crt"),
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"secure-port":                        fmt.Sprint(ports[0]),
		"service-account-issuer":             defaultIssuer,
		"service-account-key-file":           filepath.Join(tlsDir, "service.key"),
		"service-account-signing-key-file":   signing,
		"service-cluster-ip-range":           config.ServiceCIDR,
		"tls-cert-file":                      servingCrt,
		"tls-private-key-file":               servingKey,
	}
	if config.SecretsEncryption {
		defaults["encryption-provider-config"] = data.path("cred/encryption-config.json")
	}
	// K3s leaves anonymous-auth out where there is a configuration of authentication, which may allow it for paths
	// (apiServer in pkg/daemons/control/server.go).
	if !slices.ContainsFunc(config.APIServerArg, func(a string) bool { return strings.HasPrefix(strings.TrimPrefix(a, "--"), "authentication-config=") }) {
		defaults["anonymous-auth"] = "false"
	}
	apiserver, err := renderArgs(defaults, onMachine(o.Root, config.APIServerArg))
	if err != nil {
		return nil, fmt.Errorf("kube-apiserver-arg: %w", err)
	}
	controllers := "garbage-collector-controller,namespace-controller,serviceaccount-controller," +
		"root-ca-certificate-publisher-controller,pod-garbage-collector-controller,deployment-controller," +
		"replicaset-controller,statefulset-controller,job-controller,cronjob-controller,node-lifecycle-controller"
	managerArgs, err := renderArgs(map[string]string{
		"authentication-kubeconfig":        manager,
		"authorization-kubeconfig":         manager,
		"bind-address":                     "127.0.0.1",
		"controllers":                      controllers,
		"kubeconfig":                       manager,
		"profiling":                        "false",
		"root-ca-file":                     filepath.Join(tlsDir, "server-ca.crt"),
		"secure-port":                      "0",
		"service-account-private-key-file": signing,
		"use-service-account-credentials":  "true",
	}, onMachine(o.Root, config.ControllerManagerArg))
	if err != nil {
		return nil, fmt.Errorf("kube-controller-manager-arg: %w", err)
	}
	schedulerArgs, err := renderArgs(map[string]string{
		"authentication-kubeconfig": scheduler,
		"authorization-kubeconfig":  scheduler,
		"bind-address":              "127.0.0.1",
		"kubeconfig":                scheduler,
		"profiling":                 "false",
		"secure-port":               "0",
	}, config.SchedulerArg)
	if err != nil {
		return nil, fmt.Errorf("kube-scheduler-arg: %w", err)
	}

	life, stop := context.WithCancel(context.Background())
	s.life, s.stop = life, stop
	s.plane = controlPlane{options: o, apiServer: apiserver, manager: managerArgs, scheduler: schedulerArgs}
	_, err = s.start(life, o, "etcd", member, nil)
	if err == nil {
		// K3s waits for its datastore as long as it takes: an etcd that admits no member, or has no majority, makes
		// `systemctl restart` of a notify service block.
		err = s.waitEtcd(ctx, member)
	}
	if err == nil {
		err = s.keepBootstrapData(config.Server == "")
	}
	if err == nil {
		err = s.startControlPlane(ctx, apiserver, nil)
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// fileFlags are the flags of the control plane that name a file and that a configuration may give.
var fileFlags = []string{"authentication-config", "service-account-key-file", "service-account-signing-key-file", "service-account-private-key-file"}

// onMachine lets arguments that name a file of the machine name it below the machine's root.
func onMachine(root string, args []string) []string {
	out := slices.Clone(args)
	for i, a := range out {
		key, value, _ := strings.Cut(a, "=")
		if slices.Contains(fileFlags, strings.TrimPrefix(key, "--")) {
			out[i] = key + "=" + filepath.Join(root, value)
		}
	}
	return out
}

func (s *Server) passwordOf(root, value, file, where string) (string, error) {
	t, err := token(root, value, file, where)
	if err != nil {
		return "", err
	}
	_, password, err := credential(t)
	return password, err
}

// currentKey returns the first key of a service.key: the one that signs.
func currentKey(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("service.key has no PEM block")
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
		return nil, fmt.Errorf("service.key must be a traditional RSA key (RSA PRIVATE KEY), found %s: %w", block.Type, err)
	}
	return pem.EncodeToMemory(block), nil
}

// start runs one component until life ends; the channel is closed when the process has ended. One that ends by itself is
// remembered and reported. env is added to the daemon's own.
func (s *Server) start(life context.Context, o ServerOptions, name string, args, env []string) (<-chan struct{}, error) {
	log, err := os.Create(filepath.Join(o.Dir, name+".log"))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(log, "%s %q\n", name, args)
	cmd := exec.Command(o.Kubernetes, append([]string{name}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, o.Dir
	cmd.SysProcAttr = processAttributes()
	if len(env) > 0 {
		cmd.Env = append(os.Environ(), env...)
	}
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, err
	}
	if name == "etcd" {
		s.mu.Lock()
		s.etcdProcess = cmd.Process
		s.mu.Unlock()
	}
	ended := make(chan struct{})
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		defer log.Close()
		_ = cmd.Wait() // the process state says how it ended
		close(ended)
		if life.Err() == nil {
			s.mu.Lock()
			if s.exited == nil {
				close(s.failed)
			}
			s.exited = errors.Join(s.exited, fmt.Errorf("%s ended: %s\n%s", name, cmd.ProcessState, tail(log.Name())))
			s.mu.Unlock()
		}
	}()
	go func() {
		select {
		case <-ended:
			return
		case <-life.Done():
		}
		_ = cmd.Process.Signal(syscall.SIGCONT) // one that hangs would not hear the next
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(3 * time.Second):
			_ = cmd.Process.Kill()
		}
	}()
	return ended, nil
}

// Failed is closed when a component has ended by itself. K3s is one process, and would have ended with it: as where a
// controller manager loses its lease.
func (s *Server) Failed() <-chan struct{} { return s.failed }

// Err tells whether a component has ended by itself, and with what last words.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exited
}

// Stop ends all components and waits for them.
func (s *Server) Stop() {
	s.stop()
	s.running.Wait()
}

func (s *Server) waitReady(ctx context.Context) error {
	config, err := s.RESTConfig("system:admin", []string{"system:masters"})
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var last error
	for {
		if err := s.Err(); err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err != nil {
			last = err
		} else {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			last = fmt.Errorf("%s: %s", resp.Status, body)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server is not ready: %w\n%s", last, tail(filepath.Join(s.dir, "apiserver.log")))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// RESTConfig makes a client certificate for a user and the configuration to use it.
func (s *Server) RESTConfig(user string, groups []string) (*rest.Config, error) {
	crt, key, err := s.clientCA.issue(user, groups, nil)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            "https://" + s.Address,
		TLSClientConfig: rest.TLSClientConfig{CAData: s.serverCA.pem, CertData: crt, KeyData: key},
		QPS:             -1,
	}, nil
}

func (s *Server) kubeconfig(crt, key string) ([]byte, error) {
	k := clientcmdapi.NewConfig()
	k.Clusters["lab"] = &clientcmdapi.Cluster{Server: "https://" + s.Address, CertificateAuthorityData: s.serverCA.pem}
	k.AuthInfos["lab"] = &clientcmdapi.AuthInfo{ClientCertificate: crt, ClientKey: key}
	k.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: "lab"}
	k.CurrentContext = "lab"
	return clientcmd.Write(*k)
}

// Admission is what a node gets when it joins.
type Admission struct {
	// REST has the node's own client certificate (system:node:<name>).
	REST *rest.Config
	// Serving is the certificate of the node's kubelet, from the server CA.
	Serving tls.Certificate
	// ClientCA verifies the API server's calls to the kubelet.
	ClientCA *x509.CertPool
}

// Join admits a node by its token, as K3s does: the CA that the token pins must be the server's, and the password the
// agents' or the servers'. name is the node's name and ips are the addresses of its kubelet.
func (s *Server) Join(nodeToken, name string, ips ...string) (*Admission, error) {
	caHash, password, err := credential(nodeToken)
	if err != nil {
		return nil, err
	}
	if caHash != "" && caHash != s.serverCA.hash() {
		return nil, fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", caHash, s.serverCA.hash())
	}
	same := func(p string) bool { return subtle.ConstantTimeCompare([]byte(p), []byte(password)) == 1 }
	if !same(s.agentPass) && !same(s.password) {
		return nil, errors.New("not authorized: the token's password is not the cluster's")
	}
	return s.admission(name, ips)
}

// Self is the server's own membership: a K3s server is a node too.
func (s *Server) Self(name string, ips ...string) (*Admission, error) { return s.admission(name, ips) }

func (s *Server) admission(name string, ips []string) (*Admission, error) {
	config, err := s.RESTConfig("system:node:"+name, []string{"system:nodes"})
	if err != nil {
		return nil, err
	}
	crt, key, err := s.serverCA.issue(name, nil, append([]string{name}, ips...))
	if err != nil {
		return nil, err
	}
	serving, err := tls.X509KeyPair(crt, key)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.clientCA.cert)
	return &Admission{REST: config, Serving: serving, ClientCA: pool}, nil
}

// AgentInputs reads what an agent was given: the server to join and the token.
func AgentInputs(root string) (config *Config, nodeToken string, err error) {
	if config, err = ReadConfig(root); err != nil {
		return nil, "", err
	}
	if config.Server == "" {
		return nil, "", errors.New("config.yaml of an agent names no server")
	}
	nodeToken, err = token(root, config.Token, config.TokenFile, "token")
	return config, nodeToken, err
}

// admits checks a joining server's token: the CA that it pins and the servers' password.
func (s *Server) admits(root string, joining *Config) error {
	t, err := token(root, joining.Token, joining.TokenFile, "token")
	if err != nil {
		return err
	}
	caHash, password, err := credential(t)
	if err != nil {
		return err
	}
	if caHash != "" && caHash != s.serverCA.hash() {
		return fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", caHash, s.serverCA.hash())
	}
	if subtle.ConstantTimeCompare([]byte(password), []byte(s.password)) != 1 {
		return errors.New("not authorized: the token's password is not the servers'")
	}
	return nil
}

// Forget takes a member out of etcd, as K3s does when its Node is deleted.
func (s *Server) Forget(ctx context.Context, member string) error {
	_, err := s.etcdCommand(ctx, nil, "etcd-remove", "--name", member)
	return err
}

// etcdCommand asks this server's member.
func (s *Server) etcdCommand(ctx context.Context, input []byte, command string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.kubernetes, append([]string{command, "--client-url", s.etcd}, args...)...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w: %s", command, args, err, bytes.TrimSpace(said.Bytes()))
	}
	return out, nil
}

// keepPorts chooses ports once and then keeps them: the members of etcd know each other by them.
func keepPorts(path string, n int) ([]int, error) {
	if data, err := os.ReadFile(path); err == nil {
		var ports []int
		if err := json.Unmarshal(data, &ports); err == nil && len(ports) == n {
			return ports, nil
		}
	}
	ports, err := freePorts(n)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(ports)
	if err != nil {
		return nil, err
	}
	return ports, os.WriteFile(path, data, 0o600)
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// tail returns the last lines of a log for an error message.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-12):], []byte("\n")))
}
