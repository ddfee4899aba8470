package machines

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k3s-aws-auth/scripts/lab/internal/gate/elbv2"
)

// balance follows the account's load balancers: each listener's address leads to a healthy target. It is called
// whenever one of them has changed.
func (m *Machines) balance() {
	m.balancing.Lock()
	defer m.balancing.Unlock()
	wanted := map[string]bool{}
	for _, l := range m.o.ELB.Listeners() {
		address := net.JoinHostPort(l.Address, strconv.Itoa(l.Port))
		wanted[address] = true
		if m.balancers[address] != nil {
			continue
		}
		f, err := forward(address, func() string { return m.healthyTarget(address) })
		if err != nil {
			m.log.Printf("load balancer at %s: %v", address, err)
			continue
		}
		m.balancers[address] = f
	}
	for address, f := range m.balancers {
		if !wanted[address] {
			delete(m.balancers, address)
			if err := f.Close(); err != nil {
				m.log.Printf("load balancer at %s: %v", address, err)
			}
		}
	}
}

// healthyTarget is the API server of one of a listener's healthy targets, in turn. Where none is healthy it is one of all,
// as with a network load balancer ("fail open",
// https://docs.aws.amazon.com/elasticloadbalancing/latest/network/target-group-health-checks.html); empty where nobody
// listens on any.
func (m *Machines) healthyTarget(address string) string {
	var healthy, all []string
	for _, t := range m.targets(address) {
		if server := m.serverOf(t.InstanceID); server != nil {
			all = append(all, server.Address)
			if m.healthy(t) {
				healthy = append(healthy, server.Address)
			}
		}
	}
	if len(healthy) == 0 {
		healthy = all
	}
	if len(healthy) == 0 {
		return ""
	}
	return healthy[int(m.turn.Add(1))%len(healthy)]
}

// targets are those of the listener at an address and port.
func (m *Machines) targets(address string) []elbv2.Target {
	for _, l := range m.o.ELB.Listeners() {
		if net.JoinHostPort(l.Address, strconv.Itoa(l.Port)) == address {
			return l.Targets
		}
	}
	return nil
}

// healthInterval is how often targets are asked. A balancer asks every five seconds at most, and believes two answers.
const healthInterval = time.Second

// healthy is the last answer to a target's health check.
func (m *Machines) healthy(t elbv2.Target) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.health[t]
}

// checkHealth asks all targets, again and again, as their groups' health checks say: without credentials, and without
// looking at the certificate, as a load balancer does.
func (m *Machines) checkHealth(ctx context.Context) {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // see above
	for wait(ctx, healthInterval) {
		asked := map[elbv2.Target]bool{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for _, l := range m.o.ELB.Listeners() {
			for _, t := range l.Targets {
				mu.Lock()
				_, known := asked[t]
				asked[t] = asked[t] || false
				mu.Unlock()
				if known {
					continue
				}
				all.Go(func() {
					ok := m.checkTarget(ctx, client, t)
					mu.Lock()
					asked[t] = ok
					mu.Unlock()
				})
			}
		}
		all.Wait()
		m.mu.Lock()
		m.health = asked
		m.mu.Unlock()
	}
}

func (m *Machines) checkTarget(ctx context.Context, client *http.Client, t elbv2.Target) bool {
	server := m.serverOf(t.InstanceID)
	if server == nil {
		return false
	}
	if t.Protocol == "TCP" {
		conn, err := net.DialTimeout("tcp", server.Address, client.Timeout)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.ToLower(t.Protocol)+"://"+server.Address+t.Path, nil)
	if err != nil {
		return false
	}
	answer, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return matches(t.Matcher, answer.StatusCode)
}

// matches tells whether a matcher, such as 200 or 200-399,401, has a status.
func matches(matcher string, status int) bool {
	for part := range strings.SplitSeq(matcher, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		low, err1 := strconv.Atoi(from)
		high, err2 := strconv.Atoi(to)
		if err1 == nil && err2 == nil && low <= status && status <= high {
			return true
		}
	}
	return false
}

// openBalancers lets a machine's programs reach the load balancers at their own addresses, and a server's its own API.
func (m *Machines) openBalancers(vm *machine) (closeAll func(), err error) {
	var open []*forwarder
	closeAll = func() {
		for _, f := range open {
			_ = f.Close()
		}
	}
	for _, l := range m.o.ELB.Listeners() {
		address := net.JoinHostPort(l.Address, strconv.Itoa(l.Port))
		listener, err := m.o.Sandbox.ListenNode(vm.instance.ID, address)
		if err != nil {
			closeAll()
			return nil, err
		}
		open = append(open, forwardFrom(listener, func() string { return m.healthyTarget(address) }))
	}
	// A server's own API, which its boot script asks.
	own, err := m.o.Sandbox.ListenNode(vm.instance.ID, net.JoinHostPort("127.0.0.1", apiPort))
	if err != nil {
		closeAll()
		return nil, err
	}
	open = append(open, forwardFrom(own, func() string {
		if server := m.serverOf(vm.instance.ID); server != nil {
			return server.Address
		}
		return ""
	}))
	// The API server's Service, which kube-proxy leads to one server after the other.
	service, err := m.o.Sandbox.ListenNode(vm.instance.ID, net.JoinHostPort(serviceIP, "443"))
	if err != nil {
		closeAll()
		return nil, err
	}
	open = append(open, forwardFrom(service, m.anyServer))
	return closeAll, nil
}

// anyServer is the address of a server that runs; empty where none does.
func (m *Machines) anyServer() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, vm := range m.machines {
		if vm.server != nil {
			all = append(all, vm.server.Address)
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return all[int(m.turn.Add(1))%len(all)]
}
