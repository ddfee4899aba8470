package ec2

import "k3s-aws-auth/scripts/lab/internal/gate/wire"

// What follows is for services that put interfaces of their own into subnets: load balancers.

// Subnet returns a subnet's VPC and zone.
func (s *Service) Subnet(regionName, id string) (vpc, zone string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sn, ok := s.region(regionName).subnets.get(id)
	if !ok {
		return "", "", false
	}
	return sn.vpc, sn.zone.Name, true
}

// SecurityGroupVPC returns the VPC of a security group.
func (s *Service) SecurityGroupVPC(regionName, id string) (vpc string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.region(regionName).groups.get(id)
	if !ok {
		return "", false
	}
	return g.vpc, true
}

// VPCExists tells whether a region has a VPC.
func (s *Service) VPCExists(regionName, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.region(regionName).vpcs.get(id)
	return ok
}

// Hold keeps subnets and security groups from being deleted until Release is called with the same ids.
func (s *Service) Hold(ids ...string) { s.hold(1, ids) }

// Release undoes Hold.
func (s *Service) Release(ids ...string) { s.hold(-1, ids) }

func (s *Service) hold(n int, ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if s.holds[id] += n; s.holds[id] <= 0 {
			delete(s.holds, id)
		}
	}
}

// TakeAddress gives out a public address that belongs to AWS's side, or, with an allocation id, the Elastic IP of that
// allocation. ok is false where the allocation does not exist or is in use.
func (s *Service) TakeAddress(regionName, allocationID string) (ip string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.region(regionName)
	if allocationID == "" {
		q := &request{s: s, r: r}
		ip = q.publicAddress()
		s.holds[ip]++
		return ip, true
	}
	a, ok := r.addresses.get(allocationID)
	if !ok || a.association != "" {
		return "", false
	}
	a.association = wire.HexID("eipassoc-")
	return a.ip, true
}

// FreeAddress gives back what TakeAddress gave out.
func (s *Service) FreeAddress(regionName, ip string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.holds, ip)
	for _, a := range s.region(regionName).addresses.all() {
		if a.ip == ip && a.instance == "" {
			a.association = ""
		}
	}
}
