package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// binary is the sandbox binary: LAB_SANDBOX where set (to run the compiled tests as another user), else built here.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("LAB_SANDBOX"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "sandbox-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "sandbox")
	cmd := exec.Command("go", "build", "-o", path, "k3s-aws-auth/scripts/lab/sandbox")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build sandbox: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil && os.Getenv("LAB_SANDBOX") == "" {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func newSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, []byte("the lab's CA\n"), 0o644))
	s, err := sandbox.Start(context.Background(), sandbox.Options{Binary: path, Dir: t.TempDir(), CA: ca, Log: testLog{t}})
	if errors.Is(err, sandbox.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

const path = "PATH=/usr/local/bin:/usr/bin:/bin"

// output runs a shell script in a container and returns its output and status.
func output(t *testing.T, s *sandbox.Sandbox, spec sandbox.ContainerSpec, script string) (string, sandbox.ExitStatus) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	spec.Args, spec.Stdout, spec.Stderr = []string{"/bin/sh", "-c", script}, w, w
	if spec.Env == nil {
		spec.Env = []string{path}
	}
	p, err := s.Run(spec)
	require.NoError(t, err)
	_ = w.Close()
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(out), p.Wait()
}

func TestContainerRoot(t *testing.T) {
	s := newSandbox(t)
	node, err := s.AddNode("n1")
	require.NoError(t, err)
	defer func() { _ = node.Close() }()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("token"), 0o600))
	program := filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\necho ran\n"), 0o755))
	work := t.TempDir()

	base := sandbox.ContainerSpec{
		Node: "n1", UID: 65532, GID: 65532, Hostname: "a-pod", Env: []string{path, "A=b c"},
		Mounts: []sandbox.Mount{
			{Source: dir, Target: "/var/run/secrets/eks.amazonaws.com/serviceaccount", ReadOnly: true},
			{Source: dir, Target: "/volume", ReadOnly: true, NoExec: true},
			{Source: program, Target: "/usr/local/bin/own-program"},
			{Source: work, Target: "/scratch"},
			{Target: "/memory"},
		},
		NoNewPrivileges: true, DropCapabilities: true,
	}
	readOnly := base
	readOnly.ReadOnlyRoot = true
	root := base
	root.UID, root.GID, root.NoNewPrivileges, root.DropCapabilities = 0, 0, false, false

	for _, test := range []struct {
		name   string
		spec   sandbox.ContainerSpec
		script string
		want   string // "!" in front: must fail
	}{
		{"user", base, "id -u; id -g; hostname; echo $A; echo $$", "65532\n65532\na-pod\nb c\n1\n"},
		{"secret by the link in /var", base, "cat /var/run/secrets/eks.amazonaws.com/serviceaccount/secret", "token"},
		{"read-only mount", base, "touch /volume/x", "!Read-only"},
		{"read-write mount", base, "echo hi > /scratch/x && cat /scratch/x", "hi\n"},
		{"memory", base, "echo hi > /memory/x && cat /memory/x", "hi\n"},
		{"noexec mount", base, "/volume/program", "!ermission denied"},
		{"program added to the host's directory", base, "own-program; ls /usr/bin/env", "ran\n/usr/bin/env\n"},
		{"host's programs are read-only", root, "touch /usr/bin/x || touch /usr/local/bin/sub/x", "!Read-only"},
		{"own etc", base, "touch /etc/x /tmp/x /run/x /var/lib/x && echo ok", "ok\n"},
		{"read-only root", readOnly, "touch /etc/x", "!Read-only"},
		{"read-only root tmp", readOnly, "touch /tmp/x", "!Read-only"},
		{"read-only root, mount", readOnly, "touch /scratch/y && echo ok", "ok\n"},
		{"resolver", base, "head -1 /etc/resolv.conf", "nameserver 127.0.0.1\n"},
		{"trust", base, "cat /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt", "the lab's CA\nthe lab's CA\n"},
		{"no home of the host", base, "ls -A /home /root | grep -v :$ | grep .", "!"},
		{"no old root", root, "ls -A / | grep old", "!"},
		{"no capabilities", base, "grep -E 'Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs' /proc/self/status | tr -s '[:space:]' ' '", "CapPrm: 0000000000000000 CapEff: 0000000000000000 CapBnd: 0000000000000000 CapAmb: 0000000000000000 NoNewPrivs: 1 "},
		{"root has the runtimes' capabilities", root, "id -u; grep CapEff /proc/self/status | tr -s '[:space:]' ' '", "0\nCapEff: 00000000a80425fb "},
		{"root cannot remount", root, "mount -o remount,rw /usr", "!"},
		{"root cannot change the network", root, "ip link set lo down", "!not permitted"},
		{"devices", base, "echo x > /dev/null; head -c 4 /dev/zero | wc -c; ls -d /dev/pts/ptmx", "4\n/dev/pts/ptmx\n"},
		// Where the host's /proc is masked, as in many container images, containers see the host's.
		{"own pids", base, "[ $(readlink /proc/self) -gt 20 ] || ls -d /proc/[0-9]* | wc -l | grep -qE '^[1-6]$' && echo few", "few\n"},
		{"status", base, "exit 7", "!"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, status := output(t, s, test.spec, test.script)
			if want, fails := strings.CutPrefix(test.want, "!"); fails {
				require.NotZero(t, status.Code, out)
				require.Contains(t, out, want)
				return
			}
			require.Equal(t, test.want, out)
			require.Zero(t, status.Code)
		})
	}

	t.Run("status is passed on", func(t *testing.T) {
		_, status := output(t, s, base, "exit 7")
		require.Equal(t, sandbox.ExitStatus{Code: 7}, status)
		_, status = output(t, s, base, "sh -c 'kill -9 $$'; exit $?")
		require.Equal(t, sandbox.ExitStatus{Code: 137}, status)
	})
	t.Run("missing program", func(t *testing.T) {
		spec := base
		spec.Args = []string{"no-such-program"}
		_, err := s.Run(spec)
		require.ErrorIs(t, err, sandbox.ErrNotFound)
	})
	t.Run("machine's root persists", func(t *testing.T) {
		machine := t.TempDir()
		mounts, err := sandbox.NodeMounts(machine)
		require.NoError(t, err)
		spec := sandbox.ContainerSpec{Node: "n1", Mounts: mounts}
		_, status := output(t, s, spec, "mkdir -p /etc/rancher/k3s /usr/local/sbin && echo x > /etc/rancher/k3s/config.yaml && install -m 0755 -o root -g root /bin/true /usr/local/sbin/boot")
		require.Zero(t, status.Code)
		out, status := output(t, s, spec, "cat /etc/rancher/k3s/config.yaml && /usr/local/sbin/boot && echo booted")
		require.Zero(t, status.Code)
		require.Equal(t, "x\nbooted\n", out)
		data, err := os.ReadFile(filepath.Join(machine, "etc/rancher/k3s/config.yaml"))
		require.NoError(t, err)
		require.Equal(t, "x\n", string(data))
	})
}

func TestExecAndSignals(t *testing.T) {
	s := newSandbox(t)
	_, err := s.AddNode("n1")
	require.NoError(t, err)
	spec := sandbox.ContainerSpec{Node: "n1", UID: 1234, GID: 99, Hostname: "h", Env: []string{path}, ReadOnlyRoot: true, DropCapabilities: true,
		Mounts: []sandbox.Mount{{Target: "/tmp"}},
		Args:   []string{"/bin/sh", "-c", "trap 'exit 3' TERM; touch /tmp/ready; while :; do sleep 0.01; done"}}
	p, err := s.Run(spec)
	require.NoError(t, err)
	run := func(script string) (string, int) {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		e, err := p.Exec(sandbox.ExecSpec{Args: []string{"sh", "-c", script}, Env: []string{path, "X=y"}, Stdout: w, Stderr: w})
		require.NoError(t, err)
		_ = w.Close()
		out, err := io.ReadAll(r)
		require.NoError(t, err)
		return string(out), e.Wait().Code
	}
	require.Eventually(t, func() bool { _, code := run("test -f /tmp/ready"); return code == 0 }, 2*time.Second, 5*time.Millisecond)
	out, code := run("id -u; id -g; hostname; echo $X; touch /etc/x; grep CapEff /proc/self/status")
	require.Contains(t, out, "1234\n99\nh\ny\n")
	require.Contains(t, out, "Read-only")
	require.Contains(t, out, "CapEff:\t0000000000000000\n")
	require.Zero(t, code)
	_, code = run("exit 5")
	require.Equal(t, 5, code)
	_, err = p.Exec(sandbox.ExecSpec{Args: []string{"nothing"}, Env: []string{path}})
	require.ErrorIs(t, err, sandbox.ErrNotFound)

	require.Equal(t, sandbox.ExitStatus{Code: 3}, p.Kill(5*time.Second), "the trap ran")
	_, err = p.Exec(sandbox.ExecSpec{Args: []string{"true"}, Env: []string{path}})
	require.Error(t, err)

	// Without a handler the first process of a container does not even notice SIGTERM, as in a container runtime.
	spec.Args = []string{"sleep", "100"}
	p, err = s.Run(spec)
	require.NoError(t, err)
	begin := time.Now()
	require.Equal(t, sandbox.ExitStatus{Code: 137, Signal: int(syscall.SIGKILL)}, p.Kill(200*time.Millisecond))
	require.GreaterOrEqual(t, time.Since(begin), 200*time.Millisecond)
}

// hopLimited answers every request with the IP TTL that the test sets, as the metadata service does for its token.
func hopLimited(l net.Listener, ttl func() int) {
	server := &http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			raw, err := c.(*net.TCPConn).SyscallConn()
			if err == nil {
				_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl()) })
			}
			return ctx
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "token") }),
	}
	_ = server.Serve(l)
}

func TestHopLimit(t *testing.T) {
	s := newSandbox(t)
	ttl := 1
	var mu sync.Mutex
	node, err := s.AddNode("n1", "10.0.1.5")
	require.NoError(t, err)
	go hopLimited(node.Metadata, func() int { mu.Lock(); defer mu.Unlock(); return ttl })
	other, err := s.AddNode("n2")
	require.NoError(t, err)
	pod, err := s.AddPod("n1", "p1")
	require.NoError(t, err)
	require.Equal(t, "10.42.0.2", pod.IP)
	second, err := s.AddPod("n1", "p2")
	require.NoError(t, err)
	require.Equal(t, "10.42.0.3", second.IP)
	third, err := s.AddPod("n2", "p3")
	require.NoError(t, err)
	require.Equal(t, "10.42.1.2", third.IP)

	ask := func(dial func(context.Context, string, string) (net.Conn, error), from string) error {
		ctx, cancel := context.WithTimeout(context.Background(), 700*time.Millisecond)
		defer cancel()
		c, err := dial(ctx, from, "169.254.169.254:80")
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(700 * time.Millisecond))
		if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			return err
		}
		answer, err := io.ReadAll(c)
		if err == nil && !strings.HasSuffix(string(answer), "token") {
			err = fmt.Errorf("answer %q", answer)
		}
		return err
	}
	require.NoError(t, ask(s.DialNode, "n1"), "one hop reaches the node")
	require.Error(t, ask(s.DialPod, "p1"), "one hop does not reach a pod")
	mu.Lock()
	ttl = 2
	mu.Unlock()
	require.NoError(t, ask(s.DialNode, "n1"))
	require.NoError(t, ask(s.DialPod, "p1"), "two hops reach a pod")
	require.NoError(t, ask(s.DialPod, "p2"))

	// Sockets of the daemon inside the namespaces, and each pod's loopback apart from the others'.
	answers := func(l net.Listener, text string) {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, text)
				_ = c.Close()
			}
		}()
	}
	answers(pod.HTTPS, "first")
	answers(second.HTTPS, "second")
	answers(node.HTTPS, "node")
	answers(other.HTTPS, "other")
	read := func(c net.Conn, err error) string {
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		b, err := io.ReadAll(c)
		require.NoError(t, err)
		return string(b)
	}
	ctx := context.Background()
	require.Equal(t, "first", read(s.DialPod(ctx, "p1", "127.0.0.1:443")))
	require.Equal(t, "second", read(s.DialPod(ctx, "p2", "127.0.0.1:443")))
	require.Equal(t, "node", read(s.DialNode(ctx, "n1", "127.0.0.1:443")))
	require.Equal(t, "other", read(s.DialNode(ctx, "n2", "127.0.0.1:443")))
	web, err := s.ListenPod("p2", "10.42.0.3:80")
	require.NoError(t, err)
	answers(web, "web")
	require.Equal(t, "web", read(s.DialPod(ctx, "p1", "10.42.0.3:80")), "pods of one node reach each other")
	api, err := s.ListenNode("n1", "10.0.1.5:6443")
	require.NoError(t, err)
	answers(api, "api")
	require.Equal(t, "api", read(s.DialPod(ctx, "p1", "10.0.1.5:6443")))

	// DNS sockets answer to programs in the pod.
	go func() {
		b := make([]byte, 512)
		n, from, err := pod.DNS.ReadFrom(b)
		if err == nil && n > 0 {
			_, _ = pod.DNS.WriteTo([]byte("echo"), from)
		}
	}()

	require.NoError(t, s.RemovePod("p1"))
	require.NoError(t, pod.Close())
	again, err := s.AddPod("n1", "p1")
	require.NoError(t, err)
	require.Equal(t, "10.42.0.2", again.IP, "an address is used again")
	require.NoError(t, s.RemoveNode("n1"))
	_, err = s.AddPod("n1", "p9")
	require.Error(t, err)
	_, err = s.AddNode("n1")
	require.NoError(t, err, "a node's name is free again")
}

func TestMemoryIsSharedByContainers(t *testing.T) {
	s := newSandbox(t)
	_, err := s.AddNode("n1")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, s.Tmpfs(dir, 1<<20))
	spec := sandbox.ContainerSpec{Node: "n1", UID: 7, Mounts: []sandbox.Mount{{Source: dir, Target: "/cache"}}}
	_, status := output(t, s, spec, "echo shared > /cache/x")
	require.Zero(t, status.Code)
	out, _ := output(t, s, spec, "cat /cache/x")
	require.Equal(t, "shared\n", out)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing of it is on the host's disk")
	require.NoError(t, s.Unmount(dir))
}

func TestCloseEndsEverything(t *testing.T) {
	s := newSandbox(t)
	_, err := s.AddNode("n1")
	require.NoError(t, err)
	dir := t.TempDir()
	p, err := s.Run(sandbox.ContainerSpec{Node: "n1", Env: []string{path}, Mounts: []sandbox.Mount{{Source: dir, Target: "/out"}},
		Args: []string{"/bin/sh", "-c", "trap '' TERM; (setsid sh -c 'while :; do date +%s%N > /out/alive; sleep 0.02; done' &) ; sleep 1000"}})
	require.NoError(t, err)
	alive := filepath.Join(dir, "alive")
	require.Eventually(t, func() bool { _, err := os.Stat(alive); return err == nil }, 5*time.Second, 10*time.Millisecond)
	require.NoError(t, s.Close())
	require.Equal(t, 137, p.Wait().Code)
	before, _ := os.ReadFile(alive)
	time.Sleep(150 * time.Millisecond)
	after, _ := os.ReadFile(alive)
	require.Equal(t, string(before), string(after), "a process of the container outlived the sandbox")
	_, err = s.AddNode("n2")
	require.ErrorIs(t, err, sandbox.ErrClosed)
}

func BenchmarkRun(b *testing.B) {
	path, err := binary()
	require.NoError(b, err)
	s, err := sandbox.Start(context.Background(), sandbox.Options{Binary: path, Dir: b.TempDir()})
	if errors.Is(err, sandbox.ErrUnsupported) {
		b.Skip(err)
	}
	require.NoError(b, err)
	defer func() { _ = s.Close() }()
	_, err = s.AddNode("n1")
	require.NoError(b, err)
	for b.Loop() {
		p, err := s.Run(sandbox.ContainerSpec{Node: "n1", UID: 1, Args: []string{"/bin/true"}})
		require.NoError(b, err)
		require.Zero(b, p.Wait().Code)
	}
}

func BenchmarkAddPod(b *testing.B) {
	path, err := binary()
	require.NoError(b, err)
	s, err := sandbox.Start(context.Background(), sandbox.Options{Binary: path, Dir: b.TempDir()})
	if errors.Is(err, sandbox.ErrUnsupported) {
		b.Skip(err)
	}
	require.NoError(b, err)
	defer func() { _ = s.Close() }()
	_, err = s.AddNode("n1")
	require.NoError(b, err)
	for b.Loop() {
		p, err := s.AddPod("n1", "p")
		require.NoError(b, err)
		require.NoError(b, p.Close())
		require.NoError(b, s.RemovePod("p"))
	}
}
