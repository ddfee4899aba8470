package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"k3s-aws-auth/scripts/lab/internal/sandbox/wire"
)

// Addresses. A node's pods are in 10.42.<node index>.0/24, K3s's default cluster CIDR; .1 is the node itself.
const (
	metadataIP     = "169.254.169.254"
	nodeLinkIP     = "169.254.0.1" // the node's own address on the link to its metadata service
	linkPrefix     = 16
	firstPod       = 2
	lastPod        = 254
	maxNodes       = 256
	defaultTimeout = 10 * time.Second
)

// network is the set of network namespaces: per node one for the machine and one for its metadata service, and one per
// pod, linked metadata - node - pods.
type network struct {
	mu    sync.Mutex
	nodes map[string]*nodeNet
	pods  map[string]*podNet
}

type nodeNet struct {
	index    int
	ns, imds *os.File
	used     map[int]bool
}

type podNet struct {
	node   string
	number int
	ns     *os.File
}

func newNetwork() *network {
	return &network{nodes: map[string]*nodeNet{}, pods: map[string]*podNet{}}
}

// inNamespace runs f on a thread in the network namespace and throws the thread away.
func inNamespace(ns *os.File, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// newNamespace makes a network namespace with its loopback interface up. The file keeps it alive.
func newNamespace() (*os.File, error) {
	type result struct {
		ns  *os.File
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- result{err: fmt.Errorf("new network namespace: %w", err)}
			return
		}
		ns, err := os.Open("/proc/thread-self/ns/net")
		if err == nil {
			err = configure(func(h *netlink.Handle) error { return up(h, "lo") })
		}
		// Programs in containers have no capabilities here, yet port 80 in a container is an everyday thing.
		if err == nil {
			err = sysctl("net/ipv4/ip_unprivileged_port_start", "0")
		}
		done <- result{ns, err}
	}()
	r := <-done
	return r.ns, r.err
}

func configure(f func(*netlink.Handle) error) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	defer h.Close()
	return f(h)
}

func up(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("interface %s: up: %w", name, err)
	}
	return nil
}

func address(h *netlink.Handle, name, cidr string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if err := h.AddrAdd(link, addr); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("address %s on %s: %w", cidr, name, err)
	}
	return nil
}

// route adds a route to dst (nil = default) through a gateway, or to the link itself where gateway is "".
func route(h *netlink.Handle, name, dst, gateway string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK}
	if dst != "" {
		if _, r.Dst, err = net.ParseCIDR(dst); err != nil {
			return err
		}
	}
	if gateway != "" {
		r.Gw, r.Scope = net.ParseIP(gateway), netlink.SCOPE_UNIVERSE
	}
	if err := h.RouteAdd(r); err != nil {
		return fmt.Errorf("route to %s by %s %s: %w", dst, name, gateway, err)
	}
	return nil
}

func sysctl(name, value string) error {
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
		return fmt.Errorf("sysctl %s: %w", name, err)
	}
	return nil
}

func steps(errs ...func() error) error {
	for _, f := range errs {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (n *nodeNet) subnet() string          { return fmt.Sprintf("10.42.%d.0/24", n.index) }
func (n *nodeNet) gateway() string         { return fmt.Sprintf("10.42.%d.1", n.index) }
func (n *nodeNet) address(host int) string { return fmt.Sprintf("10.42.%d.%d", n.index, host) }

// addNode makes a node's two namespaces and returns the sockets for metadata, HTTPS and DNS.
func (n *network) addNode(spec wire.Node) (files []*os.File, err error) {
	n.mu.Lock()
	if n.nodes[spec.Name] != nil || spec.Name == "" {
		n.mu.Unlock()
		return nil, fmt.Errorf("node %q exists already or has no name", spec.Name)
	}
	taken := map[int]bool{}
	for _, other := range n.nodes {
		taken[other.index] = true
	}
	node := &nodeNet{used: map[int]bool{}}
	for taken[node.index] {
		node.index++
	}
	if node.index >= maxNodes {
		n.mu.Unlock()
		return nil, fmt.Errorf("no pod subnet is left for a node more than %d", maxNodes)
	}
	n.nodes[spec.Name] = node
	n.mu.Unlock()
	defer func() {
		if err != nil {
			closeFiles(files)
			files = nil
			_ = n.removeNode(spec.Name)
		}
	}()

	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	imds, err := newNamespace()
	if err != nil {
		_ = ns.Close()
		return nil, err
	}
	n.mu.Lock()
	node.ns, node.imds = ns, imds
	n.mu.Unlock()

	err = inNamespace(imds, func() error {
		return configure(func(h *netlink.Handle) error {
			return steps(
				func() error { return veth(h, "eth0", "imds0", ns) },
				func() error { return address(h, "eth0", fmt.Sprintf("%s/%d", metadataIP, linkPrefix)) },
				func() error { return up(h, "eth0") },
				func() error { return route(h, "eth0", node.subnet(), nodeLinkIP) },
			)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("metadata namespace: %w", err)
	}
	err = inNamespace(ns, func() error {
		return configure(func(h *netlink.Handle) error {
			do := []func() error{
				func() error { return sysctl("net/ipv4/ip_forward", "1") },
				func() error { return address(h, "imds0", fmt.Sprintf("%s/%d", nodeLinkIP, linkPrefix)) },
				func() error { return up(h, "imds0") },
				func() error { return address(h, "lo", node.gateway()+"/32") },
			}
			for _, a := range spec.Addresses {
				do = append(do, func() error { return address(h, "lo", a+"/32") })
			}
			return steps(do...)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("node namespace: %w", err)
	}
	listener, err := listen(imds, "tcp4", metadataIP+":80")
	if err != nil {
		return nil, err
	}
	files = append(files, listener)
	local, err := localServices(ns)
	return append(files, local...), err
}

// localServices opens the sockets of the daemon's own services in a namespace: HTTPS and DNS on the loopback address.
func localServices(ns *os.File) ([]*os.File, error) {
	https, err := listen(ns, "tcp4", "127.0.0.1:443")
	if err != nil {
		return nil, err
	}
	dns, err := listen(ns, "udp4", "127.0.0.1:53")
	if err != nil {
		_ = https.Close()
		return nil, err
	}
	return []*os.File{https, dns}, nil
}

// veth makes a link between the handle's namespace and another one.
func veth(h *netlink.Handle, name, peer string, peerNS *os.File) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	link := &netlink.Veth{LinkAttrs: attrs, PeerName: peer, PeerNamespace: netlink.NsFd(int(peerNS.Fd()))}
	if err := h.LinkAdd(link); err != nil {
		return fmt.Errorf("link %s - %s: %w", name, peer, err)
	}
	return nil
}

// addPod makes a pod's namespace behind its node's and returns its address and the sockets for HTTPS and DNS.
func (n *network) addPod(spec wire.Pod) (ip string, files []*os.File, err error) {
	n.mu.Lock()
	node := n.nodes[spec.Node]
	if node == nil || node.ns == nil || n.pods[spec.Name] != nil || spec.Name == "" {
		n.mu.Unlock()
		return "", nil, fmt.Errorf("node %q does not exist, or pod %q does already", spec.Node, spec.Name)
	}
	pod := &podNet{node: spec.Node, number: firstPod}
	for node.used[pod.number] {
		pod.number++
	}
	if pod.number > lastPod {
		n.mu.Unlock()
		return "", nil, fmt.Errorf("no address is left in %s", node.subnet())
	}
	node.used[pod.number] = true
	n.pods[spec.Name] = pod
	n.mu.Unlock()
	defer func() {
		if err != nil {
			_ = n.removePod(spec.Name)
		}
	}()

	ns, err := newNamespace()
	if err != nil {
		return "", nil, err
	}
	n.mu.Lock()
	pod.ns = ns
	n.mu.Unlock()
	ip = node.address(pod.number)
	link := fmt.Sprintf("pod%d", pod.number)
	err = inNamespace(node.ns, func() error {
		return configure(func(h *netlink.Handle) error {
			return steps(
				func() error { return veth(h, link, "eth0", ns) },
				func() error { return up(h, link) },
				func() error { return route(h, link, ip+"/32", "") },
			)
		})
	})
	if err != nil {
		return "", nil, fmt.Errorf("node's side: %w", err)
	}
	err = inNamespace(ns, func() error {
		return configure(func(h *netlink.Handle) error {
			return steps(
				func() error { return address(h, "eth0", ip+"/32") },
				func() error { return up(h, "eth0") },
				func() error { return route(h, "eth0", node.gateway()+"/32", "") },
				func() error { return route(h, "eth0", "", node.gateway()) },
			)
		})
	})
	if err != nil {
		return "", nil, fmt.Errorf("pod's side: %w", err)
	}
	files, err = localServices(ns)
	return ip, files, err
}

func (n *network) removePod(name string) error {
	n.mu.Lock()
	pod := n.pods[name]
	delete(n.pods, name)
	var node *nodeNet
	if pod != nil {
		node = n.nodes[pod.node]
	}
	n.mu.Unlock()
	if pod == nil {
		return nil
	}
	var errs []error
	// The link must be gone before its name and address are given to another pod; the namespace itself lives on while
	// a socket in it is open.
	if node != nil && node.ns != nil {
		errs = append(errs, inNamespace(node.ns, func() error {
			return configure(func(h *netlink.Handle) error {
				link, err := h.LinkByName(fmt.Sprintf("pod%d", pod.number))
				if errors.As(err, &netlink.LinkNotFoundError{}) {
					return nil
				}
				if err != nil {
					return err
				}
				return h.LinkDel(link)
			})
		}))
	}
	if pod.ns != nil {
		errs = append(errs, pod.ns.Close())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if node != nil {
		delete(node.used, pod.number)
	}
	return errors.Join(errs...)
}

func (n *network) removeNode(name string) error {
	n.mu.Lock()
	var pods []string
	for pod, p := range n.pods {
		if p.node == name {
			pods = append(pods, pod)
		}
	}
	n.mu.Unlock()
	var errs []error
	for _, pod := range pods {
		errs = append(errs, n.removePod(pod))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if node := n.nodes[name]; node != nil {
		delete(n.nodes, name)
		closeFiles([]*os.File{node.ns, node.imds})
	}
	return errors.Join(errs...)
}

// namespace finds a namespace by its name on the wire. The caller closes the copy.
func (n *network) namespace(name string) (*os.File, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	find := func() *os.File {
		for node, x := range n.nodes {
			switch name {
			case wire.NodeNamespace(node):
				return x.ns
			case wire.MetadataNamespace(node):
				return x.imds
			}
		}
		for pod, x := range n.pods {
			if name == wire.PodNamespace(pod) {
				return x.ns
			}
		}
		return nil
	}
	ns := find()
	if ns == nil {
		return nil, fmt.Errorf("network namespace %q does not exist", name)
	}
	fd, err := unix.FcntlInt(ns.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// socket opens a listening or connected socket in a namespace.
func (n *network) socket(op wire.Op, spec wire.Socket) ([]*os.File, error) {
	ns, err := n.namespace(spec.Namespace)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ns.Close() }()
	if op == wire.OpListen {
		f, err := listen(ns, spec.Network, spec.Address)
		return []*os.File{f}, err
	}
	timeout := defaultTimeout
	if spec.TimeoutMS > 0 {
		timeout = time.Duration(spec.TimeoutMS) * time.Millisecond
	}
	var f *os.File
	err = inNamespace(ns, func() error {
		c, err := net.DialTimeout(spec.Network, spec.Address, timeout)
		if err != nil {
			return err
		}
		f, err = fileOf(c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return []*os.File{f}, nil
}

func listen(ns *os.File, network, address string) (*os.File, error) {
	var f *os.File
	err := inNamespace(ns, func() error {
		if network == "udp4" {
			c, err := net.ListenPacket(network, address)
			if err != nil {
				return err
			}
			f, err = fileOf(c)
			return err
		}
		l, err := net.Listen(network, address)
		if err != nil {
			return err
		}
		f, err = fileOf(l)
		return err
	})
	return f, err
}

// fileOf returns a copy of a socket and closes the original.
func fileOf(socket interface{ Close() error }) (*os.File, error) {
	filer, ok := socket.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T has no file", socket), socket.Close())
	}
	f, err := filer.File()
	return f, errors.Join(err, socket.Close())
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// enterNetwork moves the calling thread into a namespace and returns what moves it back.
func enterNetwork(ns *os.File) (back func() error, err error) {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	if err := netns.Set(netns.NsHandle(ns.Fd())); err != nil {
		_ = own.Close()
		return nil, err
	}
	return func() error {
		return errors.Join(netns.Set(netns.NsHandle(own.Fd())), own.Close())
	}, nil
}
