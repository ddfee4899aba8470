package machines

import (
	"net"
	"strconv"

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

// healthyTarget is the API server of one of a listener's healthy targets, in turn; empty where there is none.
func (m *Machines) healthyTarget(address string) string {
	var healthy []string
	for _, t := range m.targets(address) {
		if server := m.serverOf(t.InstanceID); server != nil {
			healthy = append(healthy, server.Address)
		}
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

// healthy is a target group's health check: the machine has an API server.
func (m *Machines) healthy(instanceID string, _ int) bool { return m.serverOf(instanceID) != nil }

// openBalancers lets a machine's programs reach the load balancers at their own addresses.
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
	return closeAll, nil
}
