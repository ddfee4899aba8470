package kubelet_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"sigs.k8s.io/yaml"

	"k3s-aws-auth/scripts/lab/internal/kubelet"
	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// authority is a CA for the test cluster.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a authority) issue(t *testing.T, name string, groups ...string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: groups},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	require.NoError(t, err)
	b, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b})
}

type cluster struct {
	dir     string
	url     string
	clients authority
	admin   *kubernetes.Clientset
	config  *rest.Config
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// startCluster runs a real control plane from the binary that LAB_KUBERNETES names.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	binary := os.Getenv("LAB_KUBERNETES")
	if binary == "" {
		t.Skip("LAB_KUBERNETES does not name the lab's kubernetes binary")
	}
	c := &cluster{dir: t.TempDir(), clients: newAuthority(t, "clients")}
	write := func(name string, data []byte) string {
		path := filepath.Join(c.dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	start := func(name string, args ...string) {
		log, err := os.Create(filepath.Join(c.dir, name+".log"))
		require.NoError(t, err)
		cmd := exec.Command(binary, append([]string{name}, args...)...)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				data, _ := os.ReadFile(log.Name())
				t.Logf("%s: ...%s", name, data[max(0, len(data)-3000):])
			}
		})
	}
	etcd := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	start("etcd", "--data-dir", filepath.Join(c.dir, "etcd"), "--client-url", etcd,
		"--peer-url", fmt.Sprintf("http://127.0.0.1:%d", freePort(t)))
	sa, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	saKey := write("sa.key", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(sa)}))
	public, err := x509.MarshalPKIXPublicKey(sa.Public())
	require.NoError(t, err)
	saPub := write("sa.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	servers := newAuthority(t, "servers")
	cert, key := servers.issue(t, "kube-apiserver")
	kubeletCert, kubeletKey := c.clients.issue(t, "system:kube-apiserver", "system:masters")
	port := freePort(t)
	start("apiserver", "--etcd-servers="+etcd, "--service-account-issuer=https://issuer.test", "--service-account-key-file="+saPub,
		"--service-account-signing-key-file="+saKey, "--service-cluster-ip-range=10.43.0.0/16", fmt.Sprintf("--secure-port=%d", port), "--bind-address=127.0.0.1",
		"--cert-dir="+c.dir, "--authorization-mode=Node,RBAC", "--kubelet-preferred-address-types=InternalIP", "--tls-cert-file="+write("api.crt", cert), "--tls-private-key-file="+write("api.key", key),
		"--client-ca-file="+write("clients.crt", c.clients.pem), "--kubelet-client-certificate="+write("kubelet.crt", kubeletCert), "--kubelet-client-key="+write("kubelet.key", kubeletKey))
	c.url = fmt.Sprintf("https://127.0.0.1:%d", port)
	c.config = c.user(t, servers.pem, "admin", "system:masters")
	c.admin = kubernetes.NewForConfigOrDie(c.config)
	require.Eventually(t, func() bool {
		_, err := c.admin.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(context.Background())
		return err == nil
	}, 60*time.Second, 50*time.Millisecond)
	kubeconfig := write("kubeconfig", c.kubeconfig(t))
	start("controller-manager", "--kubeconfig="+kubeconfig, "--leader-elect=false", "--use-service-account-credentials=false", "--secure-port=0",
		"--controllers=serviceaccount-controller,root-ca-certificate-publisher-controller,namespace-controller,garbage-collector-controller",
		"--root-ca-file="+write("root.crt", servers.pem), "--service-account-private-key-file="+saKey)
	start("scheduler", "--kubeconfig="+kubeconfig, "--leader-elect=false", "--secure-port=0")
	require.Eventually(t, func() bool {
		_, err := c.admin.CoreV1().ServiceAccounts("default").Get(context.Background(), "default", metav1.GetOptions{})
		return err == nil
	}, 60*time.Second, 50*time.Millisecond)
	return c
}

func (c *cluster) user(t *testing.T, ca []byte, name string, groups ...string) *rest.Config {
	cert, key := c.clients.issue(t, name, groups...)
	return &rest.Config{Host: c.url, TLSClientConfig: rest.TLSClientConfig{CAData: ca, CertData: cert, KeyData: key}, QPS: 200, Burst: 400}
}

func (c *cluster) kubeconfig(t *testing.T) []byte {
	data, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: c.url, CertificateAuthorityData: c.config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {ClientCertificateData: c.config.CertData, ClientKeyData: c.config.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	})
	require.NoError(t, err)
	return data
}

type node struct {
	sandbox  *sandbox.Sandbox
	dir      string
	hopLimit atomic.Int32
	pods     chan string
	stop     func()
}

func (c *cluster) startNode(t *testing.T, name string, runner func(*node) kubelet.Runner) *node {
	t.Helper()
	n := &node{dir: t.TempDir(), pods: make(chan string, 100)}
	n.hopLimit.Store(1)
	r := runner(n)
	tool := filepath.Join(n.dir, "tool")
	require.NoError(t, os.WriteFile(tool, []byte("#!/bin/sh\necho tool ran\n"), 0o755))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.clients.pem)
	k, err := kubelet.New(kubelet.Options{
		NodeName: name, ProviderID: "aws:///eu-central-1a/i-1", Labels: map[string]string{"role": name}, Runner: r, Dir: filepath.Join(n.dir, "kubelet"), ClientCAs: roots,
		Client: kubernetes.NewForConfigOrDie(c.user(t, c.config.CAData, "system:node:"+name, "system:nodes")),
		Images: map[string]kubelet.Image{
			"registry.test/shell": {Entrypoint: []string{"/bin/sh"}, User: 0},
			"registry.test/tool":  {Files: map[string]string{"/bin/tool": tool}},
		},
		OnPodNetwork: func(pod *corev1.Pod, _ sandbox.PodNet) { n.pods <- pod.Name },
		Log:          logTo{t},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	n.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("kubelet: %v", err)
		}
		n.stop = func() {}
	}
	t.Cleanup(func() { n.stop() })
	select {
	case <-k.Ready():
	case <-time.After(30 * time.Second):
		t.Fatal("the node did not become ready")
	}
	return n
}

type logTo struct{ t *testing.T }

func (l logTo) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

func buildSandbox(t *testing.T, path string) {
	t.Helper()
	build := exec.Command("go", "build", "-o", path, "k3s-aws-auth/scripts/lab/sandbox")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
}

// sandboxed runs pods in a sandbox: of the binary that LAB_SANDBOX names, or of one built here.
func sandboxed(t *testing.T, name string) func(*node) kubelet.Runner {
	return func(n *node) kubelet.Runner {
		binary := os.Getenv("LAB_SANDBOX")
		if binary == "" {
			binary = filepath.Join(n.dir, "sandbox")
			buildSandbox(t, binary)
		}
		s, err := sandbox.Start(context.Background(), sandbox.Options{Binary: binary, Dir: filepath.Join(n.dir, "s"), Log: logTo{t}})
		if errors.Is(err, sandbox.ErrUnsupported) {
			t.Skip(err)
		}
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		n.sandbox = s
		net, err := s.AddNode(name)
		require.NoError(t, err)
		go serveMetadata(net.Metadata, &n.hopLimit)
		return kubelet.NewSandboxRunner(s, name)
	}
}

func (c *cluster) apply(t *testing.T, manifest string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(manifest), pod))
	created, err := c.admin.CoreV1().Pods("default").Create(context.Background(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
	return created
}

func (c *cluster) waitFor(t *testing.T, name string, timeout time.Duration, what string, ok func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	deadline := time.Now().Add(timeout)
	for {
		var err error
		pod, err = c.admin.CoreV1().Pods("default").Get(context.Background(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			pod = nil
		} else {
			require.NoError(t, err)
		}
		if ok(pod) {
			return pod
		}
		if time.Now().After(deadline) {
			text, _ := yaml.Marshal(pod)
			t.Fatalf("pod %s: no %s within %v: %s", name, what, timeout, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func isReady(p *corev1.Pod) bool {
	if p == nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (c *cluster) exec(t *testing.T, pod, container string, websocket bool, stdin string, command ...string) (string, int) {
	t.Helper()
	request := c.admin.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdin: stdin != "", Stdout: true, Stderr: true}, scheme.ParameterCodec)
	var executor remotecommand.Executor
	var err error
	if websocket {
		executor, err = remotecommand.NewWebSocketExecutor(c.config, http.MethodGet, request.URL().String())
	} else {
		executor, err = remotecommand.NewSPDYExecutor(c.config, http.MethodPost, request.URL())
	}
	require.NoError(t, err)
	var out, errOut bytes.Buffer
	o := remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}
	if stdin != "" {
		o.Stdin = strings.NewReader(stdin)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = executor.StreamWithContext(ctx, o)
	var exit utilexec.CodeExitError
	if errors.As(err, &exit) {
		return out.String() + errOut.String(), exit.Code
	}
	require.NoError(t, err)
	return out.String() + errOut.String(), 0
}

func (c *cluster) logs(t *testing.T, pod string, o corev1.PodLogOptions) string {
	t.Helper()
	data, err := c.admin.CoreV1().Pods("default").GetLogs(pod, &o).DoRaw(context.Background())
	require.NoError(t, err)
	return string(data)
}

func (c *cluster) events(t *testing.T, pod string) string {
	t.Helper()
	list, err := c.admin.CoreV1().Events("default").List(context.Background(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + pod})
	require.NoError(t, err)
	var b strings.Builder
	for _, e := range list.Items {
		fmt.Fprintf(&b, "%s %s: %s\n", e.Type, e.Reason, e.Message)
	}
	return b.String()
}

const identityPod = `
apiVersion: v1
kind: Pod
metadata:
  name: identity
  labels: {app: demo}
  annotations: {note: "hello there"}
spec:
  nodeSelector: {role: n1}
  terminationGracePeriodSeconds: 5
  securityContext: {runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  initContainers:
  - name: prepare
    image: registry.test/shell:1
    command: ["/bin/sh", "-ec", "cp /tool/bin/tool /shared/tool; if /tool/bin/tool; then exit 9; fi; sleep 0.2"]
    volumeMounts: [{name: shared, mountPath: /shared}, {name: tool, mountPath: /tool}]
  - name: helper
    image: registry.test/shell:1
    restartPolicy: Always
    command: ["/bin/sh", "-c", "trap 'exit 0' TERM; touch /shared/sidecar; while :; do sleep 0.05; done"]
    startupProbe: {exec: {command: ["test", "-f", "/shared/sidecar"]}, periodSeconds: 1}
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: app
    image: registry.test/shell@sha256:0123
    command: ["/bin/sh", "-ec"]
    args:
    - |
      trap 'echo bye; exit 0' TERM
      test -f /shared/sidecar
      /shared/tool
      echo "$GREETING $POD_NAME $POD_IP $NODE $SA $NOTE $FROM_SECRET $USER_key"
      echo problem >&2
      sleep 0.3
      touch /tmp/proven
      while :; do sleep 0.05; done
    env:
    - {name: WHO, value: world}
    - {name: GREETING, value: "hello $(WHO) $$(WHO) $(NOBODY)"}
    - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: SA, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
    - {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['note']"}}}
    - {name: FROM_SECRET, valueFrom: {secretKeyRef: {name: cert, key: tls.crt}}}
    envFrom: [{prefix: USER_, configMapRef: {name: settings}}]
    readinessProbe: {exec: {command: ["test", "-f", "/tmp/proven"]}, periodSeconds: 1}
    livenessProbe: {exec: {command: ["test", "!", "-f", "/tmp/dead"]}, periodSeconds: 1, failureThreshold: 1}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    volumeMounts:
    - {name: tmp, mountPath: /tmp}
    - {name: shared, mountPath: /shared}
    - {name: token, mountPath: /var/run/secrets/eks.amazonaws.com/serviceaccount, readOnly: true}
    - {name: cert, mountPath: /etc/cert}
    - {name: settings, mountPath: /etc/settings}
    - {name: info, mountPath: /etc/info}
    - {name: memory, mountPath: /memory}
    - {name: machine, mountPath: /machine}
    - {name: settings, mountPath: /etc/one-file, subPath: key}
  volumes:
  - {name: tmp, emptyDir: {}}
  - {name: shared, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: tool, image: {reference: "registry.test/tool:2", pullPolicy: IfNotPresent}}
  - {name: cert, secret: {secretName: cert, defaultMode: 0400}}
  - {name: settings, configMap: {name: settings}}
  - {name: machine, hostPath: {path: /var/lib/k3s-aws-auth, type: DirectoryOrCreate}}
  - name: info
    downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
  - name: token
    projected:
      sources:
      - serviceAccountToken: {audience: sts.amazonaws.com, expirationSeconds: 86400, path: token}
`

func TestPodsWithSandbox(t *testing.T) {
	c := startCluster(t)
	n := c.startNode(t, "n1", sandboxed(t, "n1"))
	ctx := context.Background()
	core := c.admin.CoreV1()

	_, err := core.ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"key": "one"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	begin := time.Now()
	c.apply(t, identityPod)
	c.waitFor(t, "identity", time.Minute, "wait for the secret", func(p *corev1.Pod) bool {
		return strings.Contains(c.events(t, "identity"), `Warning FailedMount: MountVolume.SetUp failed for volume "cert" : secret "cert" not found`)
	})
	pending := c.waitFor(t, "identity", time.Minute, "status while it waits", func(p *corev1.Pod) bool { return len(p.Status.ContainerStatuses) > 0 })
	require.Equal(t, corev1.PodPending, pending.Status.Phase)
	require.Equal(t, "PodInitializing", pending.Status.ContainerStatuses[0].State.Waiting.Reason)
	_, err = core.Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "cert"}, Data: map[string][]byte{"tls.crt": []byte("leaf")}}, metav1.CreateOptions{})
	require.NoError(t, err)
	pod := c.waitFor(t, "identity", time.Minute, "readiness", isReady)
	t.Logf("ready after %v", time.Since(begin))
	require.Equal(t, "identity", <-n.pods)
	require.Equal(t, corev1.PodRunning, pod.Status.Phase)
	require.Equal(t, "10.42.0.2", pod.Status.PodIP)
	require.Equal(t, "Completed", pod.Status.InitContainerStatuses[0].State.Terminated.Reason)
	require.True(t, *pod.Status.InitContainerStatuses[1].Started)
	require.Zero(t, pod.Status.ContainerStatuses[0].RestartCount)

	t.Run("logs", func(t *testing.T) {
		text := c.logs(t, "identity", corev1.PodLogOptions{Container: "app"})
		for _, line := range []string{"tool ran\n", "hello world $(WHO) $(NOBODY) identity 10.42.0.2 n1 default hello there leaf one\n", "problem\n"} {
			require.Contains(t, text, line)
		}
		one := int64(1)
		require.Equal(t, 1, strings.Count(c.logs(t, "identity", corev1.PodLogOptions{Container: "app", TailLines: &one}), "\n"))
		require.Contains(t, c.logs(t, "identity", corev1.PodLogOptions{Container: "prepare"}), "ermission denied", "an image volume is noexec")
	})
	t.Run("exec", func(t *testing.T) {
		for _, websocket := range []bool{false, true} {
			out, code := c.exec(t, "identity", "app", websocket, "input", "sh", "-c", "id -u; cat; ls /etc/cert; echo $GREETING; exit 3")
			require.Equal(t, 3, code)
			require.Equal(t, "65532\ninputtls.crt\nhello world $(WHO) $(NOBODY)\n", out)
		}
		var terminal bytes.Buffer
		request := c.admin.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("identity").SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{Container: "app", Command: []string{"sh", "-c", "test -t 0 && test -t 1 && echo terminal"}, Stdin: true, Stdout: true, TTY: true}, scheme.ParameterCodec)
		executor, err := remotecommand.NewWebSocketExecutor(c.config, http.MethodGet, request.URL().String())
		require.NoError(t, err)
		require.NoError(t, executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader(""), Stdout: &terminal, Tty: true}))
		require.Equal(t, "terminal\r\n", terminal.String())
		_, code := c.exec(t, "identity", "app", true, "", "touch", "/etc/x")
		require.NotZero(t, code, "the root file system is read-only")
		out, code := c.exec(t, "identity", "app", true, "", "sh", "-c", "touch /tmp/x /memory/x /machine/x && df /memory | tail -1 | cut -d' ' -f1; cat /etc/one-file; cat /etc/info/labels")
		require.Zero(t, code, out)
		require.Equal(t, "tmpfs\noneapp=\"demo\"", out)
		require.FileExists(t, filepath.Join(n.dir, "kubelet/root/var/lib/k3s-aws-auth/x"))
	})
	t.Run("token", func(t *testing.T) {
		out, code := c.exec(t, "identity", "app", true, "", "cat", "/var/run/secrets/eks.amazonaws.com/serviceaccount/token")
		require.Zero(t, code)
		claims := map[string]any{}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(out, ".")[1])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(payload, &claims))
		require.Equal(t, []any{"sts.amazonaws.com"}, claims["aud"])
		require.Equal(t, "system:serviceaccount:default:default", claims["sub"])
		require.Equal(t, "https://issuer.test", claims["iss"])
		out, code = c.exec(t, "identity", "app", true, "", "ls", "/var/run/secrets/kubernetes.io/serviceaccount")
		require.Zero(t, code)
		require.Equal(t, "ca.crt\nnamespace\ntoken\n", out)
	})
	t.Run("update in place", func(t *testing.T) {
		_, err := core.ConfigMaps("default").Update(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"key": "two", "more": "3"}}, metav1.UpdateOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			out, _ := c.exec(t, "identity", "app", true, "", "sh", "-c", "cat /etc/settings/key /etc/settings/more")
			return out == "two3"
		}, 2*time.Second, 50*time.Millisecond)
	})
	t.Run("hop limit", func(t *testing.T) {
		ask := func() (string, int) {
			return c.exec(t, "identity", "app", true, "", "curl", "-s", "-m", "1", "-X", "PUT", "http://169.254.169.254/latest/api/token")
		}
		out, code := ask()
		require.NotZero(t, code, out)
		n.hopLimit.Store(2)
		out, code = ask()
		require.Zero(t, code)
		require.Equal(t, "token", out)
	})
	t.Run("liveness restarts", func(t *testing.T) {
		_, code := c.exec(t, "identity", "app", true, "", "rm", "/tmp/proven")
		require.Zero(t, code)
		_, code = c.exec(t, "identity", "app", true, "", "touch", "/tmp/dead")
		require.Zero(t, code)
		c.waitFor(t, "identity", time.Minute, "restart", func(p *corev1.Pod) bool { return p.Status.ContainerStatuses[0].RestartCount > 0 })
		require.Contains(t, c.events(t, "identity"), "Killing: Container app failed liveness probe, will be restarted")
		require.Contains(t, c.logs(t, "identity", corev1.PodLogOptions{Container: "app", Previous: true}), "bye\n")
	})
	t.Run("deletion", func(t *testing.T) {
		begin := time.Now()
		require.NoError(t, core.Pods("default").Delete(ctx, "identity", metav1.DeleteOptions{}))
		c.waitFor(t, "identity", 20*time.Second, "deletion", func(p *corev1.Pod) bool { return p == nil })
		require.Less(t, time.Since(begin), 3*time.Second, "the traps ran")
		require.Eventually(t, func() bool {
			entries, err := os.ReadDir(filepath.Join(n.dir, "kubelet/pods"))
			return err == nil && len(entries) == 0
		}, 5*time.Second, 20*time.Millisecond, "volumes are left behind")
	})
	t.Run("port-forward target", func(t *testing.T) {
		c.apply(t, simplePod("web", "registry.test/shell", `trap 'exit 0' TERM; while :; do sleep 0.05; done`))
		p := c.waitFor(t, "web", time.Minute, "readiness", isReady)
		l, err := n.sandbox.ListenPod(string(p.UID), "127.0.0.1:8080")
		require.NoError(t, err)
		require.NoError(t, l.Close())
	})
	t.Run("failures", func(t *testing.T) { failures(t, c) })
	t.Run("job", func(t *testing.T) {
		c.apply(t, strings.Replace(simplePod("job", "registry.test/shell", "echo done > /dev/termination-log"), "spec:", "spec:\n  restartPolicy: Never", 1))
		p := c.waitFor(t, "job", time.Minute, "success", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
		require.Equal(t, "done\n", p.Status.ContainerStatuses[0].State.Terminated.Message)
		require.NoError(t, core.Pods("default").Delete(ctx, "job", metav1.DeleteOptions{}))
		c.waitFor(t, "job", 20*time.Second, "deletion", func(p *corev1.Pod) bool { return p == nil })
	})
	t.Run("host network", func(t *testing.T) {
		n.hopLimit.Store(1)
		c.apply(t, strings.Replace(simplePod("host", "registry.test/shell", "trap 'exit 0' TERM; echo $(curl -s -m 2 http://169.254.169.254/); while :; do sleep 0.05; done"), "spec:", "spec:\n  hostNetwork: true", 1))
		c.waitFor(t, "host", time.Minute, "readiness", isReady)
		require.Eventually(t, func() bool { return c.logs(t, "host", corev1.PodLogOptions{}) == "token\n" }, 3*time.Second, 50*time.Millisecond)
	})
	node, err := core.Nodes().Get(ctx, "n1", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "aws:///eu-central-1a/i-1", node.Spec.ProviderID)
	require.Empty(t, node.Spec.Taints)
	n.stop()
}

func simplePod(name, image, script string) string {
	text, _ := json.Marshal(script)
	return fmt.Sprintf("metadata: {name: %s}\nspec:\n  terminationGracePeriodSeconds: 2\n  containers:\n  - {name: app, image: %q, command: [/bin/sh, -c, %s]}\n", name, image, text)
}

// failures are pods that cannot run, in a kubelet's words.
func failures(t *testing.T, c *cluster) {
	for _, test := range []struct {
		name, manifest, reason, message, event string
	}{
		{"no-image", simplePod("no-image", "registry.test/nothing:1", "true"), "ImagePullBackOff", `Back-off pulling image "registry.test/nothing:1"`, "Warning Failed: Error: ErrImagePull"},
		{"crash", simplePod("crash", "registry.test/shell", "echo out; exit 3"), "CrashLoopBackOff", "back-off 1s restarting failed container=app pod=crash_default(", "Warning BackOff: Back-off restarting failed container app in pod crash_default("},
		{"root", strings.Replace(simplePod("root", "registry.test/shell", "true"), "spec:", "spec:\n  securityContext: {runAsNonRoot: true}", 1),
			"CreateContainerConfigError", "container has runAsNonRoot and image will run as root", "Warning Failed: Error: container has runAsNonRoot"},
		{"no-secret", strings.Replace(simplePod("no-secret", "registry.test/shell", "true"), "command:", "envFrom: [{secretRef: {name: missing}}], command:", 1),
			"CreateContainerConfigError", `secret "missing" not found`, `Warning Failed: Error: secret "missing" not found`},
		{"no-program", strings.Replace(simplePod("no-program", "registry.test/shell", ""), "[/bin/sh, -c, \"\"]", "[no-such-program]", 1),
			"CrashLoopBackOff", "back-off", `executable file not found in $PATH`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c.apply(t, test.manifest)
			c.waitFor(t, test.name, 15*time.Second, test.reason, func(p *corev1.Pod) bool {
				if len(p.Status.ContainerStatuses) == 0 {
					return false
				}
				w := p.Status.ContainerStatuses[0].State.Waiting
				return w != nil && w.Reason == test.reason && strings.Contains(w.Message, test.message)
			})
			require.Eventually(t, func() bool { return strings.Contains(c.events(t, test.name), test.event) }, 5*time.Second, 50*time.Millisecond, test.event)
			require.NoError(t, c.admin.CoreV1().Pods("default").Delete(context.Background(), test.name, metav1.DeleteOptions{}))
			c.waitFor(t, test.name, 5*time.Second, "deletion", func(p *corev1.Pod) bool { return p == nil })
		})
	}
}

func TestPodsWithoutSandbox(t *testing.T) {
	c := startCluster(t)
	c.startNode(t, "n1", func(n *node) kubelet.Runner {
		return kubelet.NewHostRunner(filepath.Join(n.dir, "host"), []string{"AWS_ENDPOINT_URL=http://127.0.0.1:1"})
	})
	ctx := context.Background()
	_, err := c.admin.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"key": "one", "config": "token=/var/run/secrets/eks.amazonaws.com/serviceaccount/token\n"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.admin.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "cert"}, Data: map[string][]byte{"tls.crt": []byte("leaf")}}, metav1.CreateOptions{})
	require.NoError(t, err)
	// Without namespaces noexec is not enforced, which the manifest's init container checks.
	c.apply(t, strings.Replace(identityPod, "if /tool/bin/tool; then exit 9; fi; ", "", 1))
	c.waitFor(t, "identity", time.Minute, "readiness", isReady)
	// Which of two streams comes first is not given.
	for _, line := range []string{"tool ran\n", "hello world ", "problem\n"} {
		require.Contains(t, c.logs(t, "identity", corev1.PodLogOptions{Container: "app"}), line)
	}
	out, code := c.exec(t, "identity", "app", true, "", "sh", "-c", "test -s /var/run/secrets/eks.amazonaws.com/serviceaccount/token && cat $(cut -d= -f2 /etc/settings/config) | wc -l; echo $AWS_ENDPOINT_URL")
	require.Zero(t, code, out)
	require.Contains(t, out, "http://127.0.0.1:1\n")
	require.NoError(t, c.admin.CoreV1().Pods("default").Delete(ctx, "identity", metav1.DeleteOptions{}))
	c.waitFor(t, "identity", 20*time.Second, "deletion", func(p *corev1.Pod) bool { return p == nil })
}

// serveMetadata answers with the hop limit as its IP TTL.
func serveMetadata(l net.Listener, limit *atomic.Int32) {
	server := &http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if raw, err := c.(*net.TCPConn).SyscallConn(); err == nil {
				_ = raw.Control(func(fd uintptr) {
					_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL, int(limit.Load()))
				})
			}
			return ctx
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "token") }),
	}
	_ = server.Serve(l)
}
