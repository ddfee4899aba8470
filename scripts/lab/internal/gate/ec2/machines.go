package ec2

import (
	"context"
	"sync"
	"time"
)

// Instance is what a machine is made of, as whoever runs machines sees it.
type Instance struct {
	ID, Region, Zone, Type, Architecture, ImageID string
	// UserData is decoded: what cloud-init would read.
	UserData []byte
	// ProfileARN is the instance profile, empty for none.
	ProfileARN                           string
	VPCID, SubnetID, PrivateIP, PublicIP string
	PrivateDNS                           string
	SecurityGroupIDs                     []string
	MetadataOptions                      MetadataOptions
	Tags                                 map[string]string
	LaunchTime                           time.Time
	// State is pending, running, stopping, stopped, shutting-down or terminated.
	State string
}

// MetadataOptions are an instance's settings of its metadata service.
type MetadataOptions struct {
	HTTPEndpoint string // enabled, disabled
	HTTPTokens   string // required, optional
	HopLimit     int    // 1 to 64: the IP TTL of the answer to the token request
	InstanceTags string // enabled, disabled
	HTTPIPv6     string // enabled, disabled
}

// Machines gets to know what happens to instances and addresses. Its methods are called one after the other, in the
// order of the API calls, after the call was answered.
type Machines interface {
	Run(Instance)
	Terminate(id string)
	// Associate gives an instance a public address, Disassociate takes it away.
	Associate(publicIP, instanceID string)
	Disassociate(publicIP string)
	MetadataOptions(id string, o MetadataOptions)
}

// Power is implemented by Machines that also follow stops and starts. Without it these are only states.
type Power interface {
	Stop(id string)
	// Start begins a machine again, with the user data that it has now.
	Start(Instance)
}

// queue calls Machines in order without holding up the API.
type queue struct {
	mu       sync.Mutex
	machines Machines
	pending  []func(Machines)
	running  bool
}

func newQueue() *queue { return &queue{} }

func (q *queue) set(m Machines) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.machines = m
	q.start()
}

func (q *queue) add(f func(Machines)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = append(q.pending, f)
	q.start()
}

// start lets one goroutine work off what is pending. Without Machines, calls wait for SetMachines.
func (q *queue) start() {
	if q.running || q.machines == nil || len(q.pending) == 0 {
		return
	}
	q.running = true
	go func() {
		for {
			q.mu.Lock()
			if len(q.pending) == 0 {
				q.running = false
				q.mu.Unlock()
				return
			}
			f, m := q.pending[0], q.machines
			q.pending = q.pending[1:]
			q.mu.Unlock()
			f(m)
		}
	}()
}

// Settle returns once Machines has been told everything that was answered so far, or when ctx ends.
func (s *Service) Settle(ctx context.Context) {
	told := make(chan struct{})
	s.queue.add(func(Machines) { close(told) })
	select {
	case <-told:
	case <-ctx.Done():
	}
}

// SetMachines sets who runs the machines; what happened before is told to it first.
func (s *Service) SetMachines(m Machines) { s.queue.set(m) }

// Instances returns all instances that are not terminated, in the order of launch.
func (s *Service) Instances() []Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Instance
	for _, r := range s.regions {
		for _, i := range r.instances.all() {
			if i.state != stateTerminated {
				out = append(out, s.export(i))
			}
		}
	}
	return out
}

// Instance returns one instance by id, terminated ones too.
func (s *Service) Instance(id string) (Instance, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.find(id)
	if !ok {
		return Instance{}, false
	}
	return s.export(i), true
}

func (s *Service) find(id string) (*instance, bool) {
	for _, r := range s.regions {
		if i, ok := r.instances.get(id); ok {
			return i, true
		}
	}
	return nil, false
}

func (s *Service) export(i *instance) Instance {
	tags := map[string]string{}
	for k, v := range s.tags[i.id] {
		tags[k] = v
	}
	return Instance{ID: i.id, Region: i.region, Zone: i.zone, Type: i.kind, Architecture: i.arch, ImageID: i.image,
		UserData: append([]byte(nil), i.userData...), ProfileARN: i.profileARN, VPCID: i.vpc, SubnetID: i.subnet,
		PrivateIP: i.privateIP, PublicIP: i.publicIP, PrivateDNS: i.privateDNS(),
		SecurityGroupIDs: append([]string(nil), i.groups...), MetadataOptions: i.metadata, Tags: tags,
		LaunchTime: i.launched, State: i.state.name}
}

// InstanceProfileOf returns the ARN of the instance profile of a machine that is not terminated.
func (s *Service) InstanceProfileOf(id string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.find(id)
	if !ok || i.state == stateTerminated || i.profileARN == "" {
		return "", false
	}
	return i.profileARN, true
}
