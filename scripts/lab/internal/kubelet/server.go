package kubelet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/kubelet/pkg/cri/streaming"
	utilexec "k8s.io/utils/exec"

	"k3s-aws-auth/scripts/lab/internal/sandbox"
)

// server serves the kubelet API that the API server uses for kubectl logs, exec and port-forward, over TLS and only to
// clients with a certificate of the given CA.
type server struct {
	k        *Kubelet
	listener net.Listener
	http     *http.Server
	stream   streaming.Server
}

func newServer(k *Kubelet) (*server, error) {
	listener, err := net.Listen("tcp", k.o.ListenAddress)
	if err != nil {
		return nil, err
	}
	certificate := k.o.ServingCert
	if certificate == nil {
		if certificate, err = selfSigned(k.o.NodeName, listener.Addr()); err != nil {
			return nil, errors.Join(err, listener.Close())
		}
	}
	config := streaming.DefaultConfig
	config.BaseURL = &url.URL{Path: "/cri/"}
	stream, err := streaming.NewServer(config, streamRuntime{k})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s := &server{k: k, listener: listener, stream: stream}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
	for _, path := range []string{"/exec/{namespace}/{pod}/{container}", "/exec/{namespace}/{pod}/{uid}/{container}"} {
		mux.HandleFunc(path, s.exec)
	}
	for _, path := range []string{"/portForward/{namespace}/{pod}", "/portForward/{namespace}/{pod}/{uid}"} {
		mux.HandleFunc(path, s.portForward)
	}
	s.http = &http.Server{
		Handler: s.authorized(mux), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: k.o.ClientCAs,
			NextProtos: []string{"http/1.1"}, // exec upgrades the connection, which HTTP/2 has not
		},
	}
	return s, nil
}

func (s *server) port() int32 { return int32(s.listener.Addr().(*net.TCPAddr).Port) }
func (s *server) serve() error {
	return s.http.ServeTLS(s.listener, "", "")
}
func (s *server) close() { _ = s.http.Close() }

// authorized lets only clients in whose certificate is allowed; the TLS handshake has verified it.
func (s *server) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || !s.k.o.AllowClient(r.TLS.PeerCertificates[0]) {
			http.Error(w, "Forbidden", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// selfSigned makes a serving certificate for the address; the API server does not verify it unless it is told a CA.
func selfSigned(name string, address net.Addr) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address.String())
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// container finds what a request's path names.
func (s *server) container(r *http.Request) (*worker, *container, error) {
	namespace, pod, name := r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")
	w := s.k.find(namespace, pod, r.PathValue("uid"))
	if w == nil {
		return nil, nil, fmt.Errorf("pod %q not found in namespace %q", pod, namespace)
	}
	for _, c := range w.containers {
		if c.spec.Name == name {
			return w, c, nil
		}
	}
	return nil, nil, fmt.Errorf("container %q not found in pod %q", name, pod)
}

func (s *server) logs(rw http.ResponseWriter, r *http.Request) {
	w, c, err := s.container(r)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusNotFound)
		return
	}
	q := r.URL.Query()
	o := logOptions{follow: q.Get("follow") == "true", timestamps: q.Get("timestamps") == "true", tail: -1}
	number := func(name string, set func(int64)) bool {
		v := q.Get(name)
		if v == "" {
			return true
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			http.Error(rw, fmt.Sprintf("%s %q is not a number", name, v), http.StatusBadRequest)
			return false
		}
		set(n)
		return true
	}
	if !number("tailLines", func(n int64) { o.tail = n }) || !number("limitBytes", func(n int64) { o.limit = n }) ||
		!number("sinceSeconds", func(n int64) { o.since = time.Now().Add(-time.Duration(n) * time.Second) }) {
		return
	}
	if v := q.Get("sinceTime"); v != "" {
		if o.since, err = time.Parse(time.RFC3339, v); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
	}
	previous := q.Get("previous") == "true"
	w.mu.Lock()
	pod, start, proc := w.pod, c.starts-1, c.proc
	waiting := c.state.Waiting
	w.mu.Unlock()
	if previous {
		start, proc = start-1, nil
	}
	if start < 0 {
		message := fmt.Sprintf("container %q in pod %q is waiting to start", c.spec.Name, pod.Name)
		if previous {
			message = fmt.Sprintf("previous terminated container %q in pod %q not found", c.spec.Name, pod.Name)
		} else if waiting != nil {
			message += ": " + waiting.Message
		}
		http.Error(rw, message, http.StatusBadRequest)
		return
	}
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	ended := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return proc == nil || c.proc != proc
	}
	out := &flushWriter{w: rw}
	out.flush()
	path := s.k.logPath(pod.Namespace, pod.Name, string(pod.UID), c.spec.Name, start)
	if err := readLogs(r.Context(), out, path, o, ended); err != nil {
		_, _ = fmt.Fprintf(rw, "failed to read the log: %v", errors.Unwrap(err))
	}
}

type flushWriter struct{ w http.ResponseWriter }

func (f *flushWriter) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.flush()
	return n, err
}

func (f *flushWriter) flush() {
	if flusher, ok := f.w.(http.Flusher); ok {
		flusher.Flush()
	}
}

// containerName joins what Exec needs to find a container again; none of the parts can contain a slash.
func containerName(w *worker, c *container) string {
	pod := w.current()
	return strings.Join([]string{pod.Namespace, pod.Name, string(pod.UID), c.spec.Name}, "/")
}

func (s *server) exec(rw http.ResponseWriter, r *http.Request) {
	w, c, err := s.container(r)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusNotFound)
		return
	}
	q := r.URL.Query()
	on := func(names ...string) bool {
		for _, n := range names {
			if v := q.Get(n); v == "1" || v == "true" {
				return true
			}
		}
		return false
	}
	request := &runtimeapi.ExecRequest{
		ContainerId: containerName(w, c), Cmd: q["command"], Tty: on("tty"),
		Stdin: on("input", "stdin"), Stdout: on("output", "stdout"), Stderr: on("error", "stderr"),
	}
	if request.Tty {
		request.Stderr = false
	}
	answer, err := s.stream.GetExec(request)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	s.forward(rw, r, answer.Url)
}

func (s *server) portForward(rw http.ResponseWriter, r *http.Request) {
	w := s.k.find(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("uid"))
	if w == nil {
		http.Error(rw, fmt.Sprintf("pod %q not found", r.PathValue("pod")), http.StatusNotFound)
		return
	}
	request := &runtimeapi.PortForwardRequest{PodSandboxId: string(w.current().UID)}
	for _, port := range r.URL.Query()["port"] {
		n, err := strconv.ParseInt(port, 10, 32)
		if err != nil {
			http.Error(rw, fmt.Sprintf("port %q is not a number", port), http.StatusBadRequest)
			return
		}
		request.Port = append(request.Port, int32(n))
	}
	answer, err := s.stream.GetPortForward(request)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	s.forward(rw, r, answer.Url)
}

// forward lets the streaming server answer under the address that it just made up for the request.
func (s *server) forward(rw http.ResponseWriter, r *http.Request, address string) {
	u, err := url.Parse(address)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = u.Path, ""
	s.stream.ServeHTTP(rw, r)
}

// streamRuntime runs what the streaming server is asked for.
type streamRuntime struct{ k *Kubelet }

func (s streamRuntime) Exec(ctx context.Context, id string, command []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	parts := strings.Split(id, "/")
	w := s.k.find(parts[0], parts[1], parts[2])
	if w == nil {
		return fmt.Errorf("pod %s/%s is gone", parts[0], parts[1])
	}
	var proc Process
	spec := sandbox.ExecSpec{Args: command, TTY: tty}
	w.mu.Lock()
	for _, c := range w.containers {
		if c.spec.Name == parts[3] {
			proc, spec.Env, spec.Dir = c.proc, c.env, c.dir
		}
	}
	w.mu.Unlock()
	if proc == nil {
		return fmt.Errorf("container not found (%q)", parts[3])
	}
	var status sandbox.ExitStatus
	var err error
	if tty {
		status, err = execTerminal(ctx, proc, spec, in, out, resize)
	} else {
		status, err = execPipes(ctx, proc, spec, in, out, errOut)
	}
	if err != nil {
		return err
	}
	if status.Code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", status.Code), Code: status.Code}
	}
	return nil
}

// execPipes runs a process with pipes for its streams and waits for its end and for all of its output.
func execPipes(ctx context.Context, proc Process, spec sandbox.ExecSpec, in io.Reader, out, errOut io.WriteCloser) (sandbox.ExitStatus, error) {
	var ours, theirs []*os.File
	defer func() {
		for _, f := range ours {
			_ = f.Close()
		}
	}()
	var copies sync.WaitGroup
	closeTheirs := func() {
		for _, f := range theirs {
			_ = f.Close()
		}
	}
	for _, stream := range []struct {
		to   io.WriteCloser
		file **os.File
	}{{out, &spec.Stdout}, {errOut, &spec.Stderr}} {
		if stream.to == nil {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			closeTheirs()
			return sandbox.ExitStatus{}, err
		}
		*stream.file = w
		ours, theirs = append(ours, r), append(theirs, w)
		copies.Go(func() { _, _ = io.Copy(stream.to, r) })
	}
	var stdin *os.File
	if in != nil {
		r, w, err := os.Pipe()
		if err != nil {
			closeTheirs()
			return sandbox.ExitStatus{}, err
		}
		spec.Stdin, stdin = r, w
		theirs = append(theirs, r)
	}
	e, err := proc.Exec(spec)
	closeTheirs()
	if err != nil {
		if stdin != nil {
			_ = stdin.Close()
		}
		return sandbox.ExitStatus{}, err
	}
	if stdin != nil {
		go func() {
			_, _ = io.Copy(stdin, in)
			_ = stdin.Close()
		}()
	}
	select {
	case <-e.Done():
	case <-ctx.Done():
		e.Kill(0)
	}
	copies.Wait()
	return e.Wait(), nil
}

func (s streamRuntime) Attach(context.Context, string, io.Reader, io.WriteCloser, io.WriteCloser, bool, <-chan remotecommand.TerminalSize) error {
	return errors.New("the lab's kubelet cannot attach")
}

func (s streamRuntime) PortForward(ctx context.Context, uid string, port int32, stream io.ReadWriteCloser) error {
	s.k.mu.Lock()
	var w *worker
	for id, x := range s.k.workers {
		if string(id) == uid {
			w = x
		}
	}
	s.k.mu.Unlock()
	if w == nil {
		return fmt.Errorf("pod %s is gone", uid)
	}
	conn, err := s.k.o.Runner.Dial(ctx, w.namespace(w.current()), net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(stream, conn)
	}()
	_, _ = io.Copy(conn, stream)
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	return nil
}
