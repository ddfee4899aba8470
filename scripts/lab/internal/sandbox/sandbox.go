// Package sandbox gives the lab machines and pods without a hypervisor or a container runtime: it starts the sandbox
// binary in user, mount, pid and network namespaces of its own and asks it for nodes (a network namespace with the
// metadata service's address behind one hop), pods (a namespace routed through their node's, so that an IP TTL of one
// sent by the metadata service reaches the node and never a pod) and containers (processes with a scratch root).
//
// Nothing here needs privileges: a single user id is mapped, so it works as root and as a normal user. Where the
// system has no namespaces or refuses them, Start says so with ErrUnsupported.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k3s-aws-auth/scripts/lab/internal/sandbox/wire"
)

// ErrUnsupported is wrapped by Start's error where this system cannot run sandboxes.
var ErrUnsupported = errors.New("sandboxes are not supported here")

// ErrClosed is wrapped by the errors of a sandbox that was closed or whose binary ended.
var ErrClosed = errors.New("sandbox is closed")

// ErrNotFound is wrapped by Run's and Exec's error where the program does not exist in the container.
var ErrNotFound = errors.New("executable file not found")

// Mount puts a file or directory of the host, or an empty memory file system, into a container's root.
type Mount = wire.Mount

// File is written into a container's root before mounts are made.
type File = wire.File

// Options says how to start a sandbox.
type Options struct {
	Binary string    // path of the sandbox binary
	Dir    string    // a directory for the sandbox's own files; made where missing
	CA     string    // path of the PEM bundle that containers trust; "" = they trust nobody
	Log    io.Writer // what the binary says on stderr; nil discards it
}

// Sandbox is a running sandbox binary.
type Sandbox struct {
	options Options
	rootDir string
	conn    *wire.Conn
	stop    func() // ends the binary and waits for it

	mu      sync.Mutex
	closed  error
	next    uint64
	pending map[uint64]chan reply
	running map[uint64]*Process
	early   map[uint64]wire.Exit // exits that arrived before the reply that names the process was taken
	done    chan struct{}
}

type reply struct {
	wire.Response
	files []*os.File
	err   error
}

// NodeNet is a node's network as the daemon sees it: sockets that live in the node's namespaces.
type NodeNet struct {
	Metadata net.Listener   // 169.254.169.254:80, one hop from the node, two from its pods
	HTTPS    net.Listener   // 127.0.0.1:443 on the node
	DNS      net.PacketConn // 127.0.0.1:53/udp on the node
}

// Close closes the sockets.
func (n NodeNet) Close() error { return closeSockets(n.Metadata, n.HTTPS, n.DNS) }

// PodNet is a pod's network as the daemon sees it.
type PodNet struct {
	IP    string
	HTTPS net.Listener   // 127.0.0.1:443 in the pod
	DNS   net.PacketConn // 127.0.0.1:53/udp in the pod
}

// Close closes the sockets.
func (p PodNet) Close() error { return closeSockets(p.HTTPS, p.DNS) }

func closeSockets(sockets ...io.Closer) error {
	var errs []error
	for _, s := range sockets {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

func newSandbox(o Options, socket *os.File, stop func()) (*Sandbox, error) {
	conn, err := wire.NewConn(socket)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{
		options: o, rootDir: filepath.Join(o.Dir, "root"), conn: conn, stop: stop,
		pending: map[uint64]chan reply{}, running: map[uint64]*Process{}, early: map[uint64]wire.Exit{}, done: make(chan struct{}),
	}
	go s.receive()
	return s, nil
}

// receive hands each message to the call that waits for it, until the socket ends.
func (s *Sandbox) receive() {
	defer close(s.done)
	for {
		var r reply
		r.files, r.err = s.conn.Receive(&r.Response)
		if r.err != nil {
			s.fail(r.err)
			return
		}
		s.mu.Lock()
		switch {
		case r.Exit != nil:
			if p := s.running[r.Exit.Process]; p != nil {
				delete(s.running, r.Exit.Process)
				p.finish(ExitStatus{Code: r.Exit.Code, Signal: r.Exit.Signal})
			} else {
				s.early[r.Exit.Process] = *r.Exit
			}
		case s.pending[r.ID] != nil:
			s.pending[r.ID] <- r
			delete(s.pending, r.ID)
		default:
			for _, f := range r.files {
				_ = f.Close()
			}
		}
		s.mu.Unlock()
	}
}

// fail ends every call and process with the reason that the socket ended.
func (s *Sandbox) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed == nil {
		s.closed = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	for id, ch := range s.pending {
		delete(s.pending, id)
		ch <- reply{err: s.closed}
	}
	for id, p := range s.running {
		delete(s.running, id)
		p.finish(ExitStatus{Code: 137, Signal: 9})
	}
}

// call sends a request and waits for its answer.
func (s *Sandbox) call(req wire.Request, files ...*os.File) (reply, error) {
	ch := make(chan reply, 1)
	s.mu.Lock()
	if s.closed != nil {
		s.mu.Unlock()
		return reply{}, s.closed
	}
	s.next++
	req.ID = s.next
	s.pending[req.ID] = ch
	s.mu.Unlock()
	if err := s.conn.Send(req, files...); err != nil {
		s.mu.Lock()
		delete(s.pending, req.ID)
		s.mu.Unlock()
		return reply{}, fmt.Errorf("sandbox %s: %w", req.Op, err)
	}
	r := <-ch
	if r.err != nil {
		return reply{}, r.err
	}
	if r.Error != "" {
		return reply{}, wireError(r.Error)
	}
	return r, nil
}

// AddNode makes a node's network. Addresses (IPv4) become the node's own, such as its private address.
func (s *Sandbox) AddNode(name string, addresses ...string) (NodeNet, error) {
	r, err := s.call(wire.Request{Op: wire.OpAddNode, Node: &wire.Node{Name: name, Addresses: addresses}})
	if err != nil {
		return NodeNet{}, fmt.Errorf("network of node %s: %w", name, err)
	}
	var n NodeNet
	if err := sockets(r.files, &n.Metadata, &n.HTTPS, &n.DNS); err != nil {
		return NodeNet{}, errors.Join(fmt.Errorf("network of node %s: %w", name, err), n.Close())
	}
	return n, nil
}

// AddPod makes a pod's network behind a node's.
func (s *Sandbox) AddPod(node, pod string) (PodNet, error) {
	r, err := s.call(wire.Request{Op: wire.OpAddPod, Pod: &wire.Pod{Name: pod, Node: node}})
	if err != nil {
		return PodNet{}, fmt.Errorf("network of pod %s: %w", pod, err)
	}
	var p PodNet
	if len(r.Addresses) > 0 {
		p.IP = r.Addresses[0]
	}
	if err := sockets(r.files, &p.HTTPS, &p.DNS); err != nil {
		return PodNet{}, errors.Join(fmt.Errorf("network of pod %s: %w", pod, err), p.Close())
	}
	return p, nil
}

// RemovePod takes a pod's network away. The daemon's sockets in it stay open until they are closed.
func (s *Sandbox) RemovePod(pod string) error {
	_, err := s.call(wire.Request{Op: wire.OpRemovePod, Name: pod})
	return err
}

// RemoveNode takes a node's network away, and those of its pods.
func (s *Sandbox) RemoveNode(name string) error {
	_, err := s.call(wire.Request{Op: wire.OpRemoveNode, Name: name})
	return err
}

// ListenNode opens a TCP listener at a literal address inside a node's network.
func (s *Sandbox) ListenNode(node, address string) (net.Listener, error) {
	return s.listen(wire.NodeNamespace(node), address)
}

// ListenPod opens a TCP listener at a literal address inside a pod's network.
func (s *Sandbox) ListenPod(pod, address string) (net.Listener, error) {
	return s.listen(wire.PodNamespace(pod), address)
}

func (s *Sandbox) listen(namespace, address string) (net.Listener, error) {
	r, err := s.call(wire.Request{Op: wire.OpListen, Socket: &wire.Socket{Namespace: namespace, Network: "tcp4", Address: address}})
	if err != nil {
		return nil, fmt.Errorf("listen on %s in %s: %w", address, namespace, err)
	}
	var l net.Listener
	return l, sockets(r.files, &l)
}

// DialPod connects by TCP to a literal address from inside a pod's network.
func (s *Sandbox) DialPod(ctx context.Context, pod, address string) (net.Conn, error) {
	return s.dial(ctx, wire.PodNamespace(pod), address)
}

// DialNode connects by TCP to a literal address from inside a node's network.
func (s *Sandbox) DialNode(ctx context.Context, node, address string) (net.Conn, error) {
	return s.dial(ctx, wire.NodeNamespace(node), address)
}

func (s *Sandbox) dial(ctx context.Context, namespace, address string) (net.Conn, error) {
	timeout := 10 * time.Second
	if d, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(d), time.Millisecond)
	}
	r, err := s.call(wire.Request{Op: wire.OpDial, Socket: &wire.Socket{
		Namespace: namespace, Network: "tcp4", Address: address, TimeoutMS: int(timeout.Milliseconds()) + 1}})
	if err != nil {
		return nil, fmt.Errorf("connect to %s from %s: %w", address, namespace, err)
	}
	var c net.Conn
	return c, sockets(r.files, &c)
}

// Tmpfs puts a memory file system on an existing directory, for containers that start later. The host does not see it.
func (s *Sandbox) Tmpfs(path string, bytes int64) error {
	_, err := s.call(wire.Request{Op: wire.OpTmpfs, Tmpfs: &wire.Tmpfs{Path: path, Bytes: bytes}})
	return err
}

// Unmount takes a memory file system away again.
func (s *Sandbox) Unmount(path string) error {
	_, err := s.call(wire.Request{Op: wire.OpUnmount, Name: path})
	return err
}

// Done is closed when the sandbox binary has ended, by Close or by itself.
func (s *Sandbox) Done() <-chan struct{} { return s.done }

// Close kills every process of the sandbox and waits until they are gone.
func (s *Sandbox) Close() error {
	s.mu.Lock()
	if s.closed == nil {
		s.closed = ErrClosed
	}
	s.mu.Unlock()
	err := s.conn.Close()
	s.stop()
	<-s.done
	return err
}

// sockets turns received files into the listeners, packet sockets and connections that the targets point to.
func sockets(files []*os.File, targets ...any) error {
	var errs []error
	if len(files) != len(targets) {
		errs = append(errs, fmt.Errorf("sandbox sent %d sockets instead of %d", len(files), len(targets)))
	}
	for i, f := range files {
		if i < len(targets) {
			var err error
			switch t := targets[i].(type) {
			case *net.Listener:
				*t, err = net.FileListener(f)
			case *net.PacketConn:
				*t, err = net.FilePacketConn(f)
			case *net.Conn:
				*t, err = net.FileConn(f)
			}
			errs = append(errs, err)
		}
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
