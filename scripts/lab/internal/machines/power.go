package machines

import "k3s-aws-auth/scripts/lab/internal/gate/ec2"

// Stop ends what runs on an instance and keeps its disk: K3s's data among it. Nobody reaches its API server from the
// first moment on, whatever still runs.
func (m *Machines) Stop(id string) {
	m.mu.Lock()
	vm := m.machines[id]
	if vm != nil {
		vm.server = nil
	}
	m.mu.Unlock()
	if vm == nil {
		return
	}
	vm.cancel()
	<-vm.done
}

// Start boots an instance from the disk that it has, with the user data that it has now.
func (m *Machines) Start(i ec2.Instance) { m.Run(i) }
