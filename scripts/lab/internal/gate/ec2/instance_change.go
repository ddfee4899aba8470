package ec2

import (
	"net/http"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/catalog"
	"k3s-aws-auth/scripts/lab/internal/gate/wire"
)

func init() {
	register(map[string]action{
		"StartInstances":     {"InstanceId", startInstances, named("InstanceId")},
		"StopInstances":      {"InstanceId Force", stopInstances, named("InstanceId")},
		"RebootInstances":    {"InstanceId", rebootInstances, named("InstanceId")},
		"TerminateInstances": {"InstanceId", terminateInstances, named("InstanceId")},
		"ModifyInstanceAttribute": {"InstanceId Attribute Value UserData InstanceType DisableApiTermination DisableApiStop EbsOptimized GroupId " +
			"InstanceInitiatedShutdownBehavior SourceDestCheck", modifyInstanceAttribute, named("InstanceId")},
		"ModifyInstanceMetadataOptions": {"InstanceId HttpEndpoint HttpTokens HttpPutResponseHopLimit InstanceMetadataTags HttpProtocolIpv6",
			modifyInstanceMetadataOptions, named("InstanceId")},
		"ModifyInstanceCreditSpecification":      {"ClientToken InstanceCreditSpecification", modifyCredits, nil},
		"ModifyInstanceMaintenanceOptions":       {"InstanceId AutoRecovery", modifyMaintenance, named("InstanceId")},
		"MonitorInstances":                       {"InstanceId", monitor(true), named("InstanceId")},
		"UnmonitorInstances":                     {"InstanceId", monitor(false), named("InstanceId")},
		"ModifyNetworkInterfaceAttribute":        {"NetworkInterfaceId SourceDestCheck SecurityGroupId", modifyNetworkInterface, named("NetworkInterfaceId")},
		"DescribeIamInstanceProfileAssociations": {"AssociationId Filter MaxResults NextToken", describeProfileAssociations, nil},
		"AssociateIamInstanceProfile":            {"InstanceId IamInstanceProfile", associateProfile, named("InstanceId")},
		"ReplaceIamInstanceProfileAssociation":   {"AssociationId IamInstanceProfile", replaceProfile, nil},
		"DisassociateIamInstanceProfile":         {"AssociationId", disassociateProfile, nil},
	})
}

// transition applies a change of state to each named instance and answers with both states. change returns the state
// to show and the one that the next call sees.
func (q *request) transition(change func(*instance) (shown, next state, err error)) ([]wire.Node, error) {
	all, err := selected(&q.r.instances, q.Strings("InstanceId"), noInstance)
	if err != nil {
		return nil, err
	}
	if len(q.Strings("InstanceId")) == 0 {
		return nil, missing("InstanceId")
	}
	type step struct {
		i                    *instance
		before, shown, after state
	}
	var steps []step
	for _, i := range all { // nothing changes unless everything may
		shown, next, err := change(i)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{i, i.state, shown, next})
	}
	for _, s := range steps {
		q.enter(s.i, s.after)
	}
	return nodes(wire.List("instancesSet", "item", steps, func(s step) []wire.Node {
		return nodes(wire.Text("instanceId", s.i.id), stateNode("currentState", s.shown), stateNode("previousState", s.before))
	})), nil
}

// enter moves an instance into a state, with what that does to its addresses, volumes and machine.
func (q *request) enter(i *instance, next state) {
	if i.state == next {
		return
	}
	i.state = next
	id := i.id
	switch next {
	case stateRunning:
		if i.autoIP != "" && i.publicIP == "" {
			i.publicIP = q.publicAddress() // another one than before the stop
			i.autoIP = i.publicIP
		}
		exported := q.s.export(i)
		q.s.queue.add(func(m Machines) {
			if p, ok := m.(Power); ok {
				p.Start(exported)
			}
		})
		if ip := i.publicIP; ip != "" {
			q.s.queue.add(func(m Machines) { m.Associate(ip, id) })
		}
	case stateStopped:
		if i.publicIP != "" && i.publicIP == i.autoIP {
			q.releasePublic(i)
		}
		q.s.queue.add(func(m Machines) {
			if p, ok := m.(Power); ok {
				p.Stop(id)
			}
		})
	case stateTerminated:
		for _, a := range q.r.addresses.all() {
			if a.instance == i.id {
				q.disassociate(a)
			}
		}
		q.releasePublic(i)
		for _, v := range i.volumes {
			if vol, ok := q.r.volumes.get(v); ok && vol.deleteOnTermination {
				q.r.volumes.remove(v)
				delete(q.s.tags, v)
			} else if ok {
				vol.instance, vol.device = "", ""
			}
		}
		delete(q.s.tags, i.eni)
		i.profileAssociation = ""
		q.s.queue.add(func(m Machines) { m.Terminate(id) })
	}
}

func incorrect(i *instance, verb string) error {
	return gate.Errorf(http.StatusBadRequest, "IncorrectInstanceState", "The instance '%s' is not in a state from which it can be %s.", i.id, verb)
}

func startInstances(q *request) ([]wire.Node, error) {
	return q.transition(func(i *instance) (state, state, error) {
		switch i.state {
		case stateRunning:
			return stateRunning, stateRunning, nil
		case stateStopped:
			return statePending, stateRunning, nil
		}
		return i.state, i.state, incorrect(i, "started")
	})
}

func stopInstances(q *request) ([]wire.Node, error) {
	return q.transition(func(i *instance) (state, state, error) {
		switch {
		case i.noStop:
			return i.state, i.state, gate.Errorf(http.StatusBadRequest, "OperationNotPermitted",
				"The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", i.id)
		case i.state == stateRunning:
			return stateStopping, stateStopped, nil
		case i.state == stateStopped:
			return stateStopped, stateStopped, nil
		}
		return i.state, i.state, incorrect(i, "stopped")
	})
}

func rebootInstances(q *request) ([]wire.Node, error) {
	_, err := q.transition(func(i *instance) (state, state, error) {
		if i.state != stateRunning {
			return i.state, i.state, incorrect(i, "rebooted")
		}
		return i.state, i.state, gate.NotImplemented("a reboot (stop and start the instance)")
	})
	return returnTrue, err
}

func terminateInstances(q *request) ([]wire.Node, error) {
	return q.transition(func(i *instance) (state, state, error) {
		switch {
		case i.state == stateTerminated:
			return stateTerminated, stateTerminated, nil
		case i.noTerminate:
			return i.state, i.state, gate.Errorf(http.StatusBadRequest, "OperationNotPermitted",
				"The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", i.id)
		}
		return stateShuttingDown, stateTerminated, nil
	})
}

// alive returns a named instance that is not terminated.
func (q *request) alive(id string) (*instance, error) {
	i, err := q.instance(id)
	if err == nil && i.state == stateTerminated {
		return nil, gate.Errorf(http.StatusBadRequest, "IncorrectInstanceState", "The instance '%s' is in the state 'terminated'.", id)
	}
	return i, err
}

func modifyInstanceAttribute(q *request) ([]wire.Node, error) {
	i, err := q.alive(q.Str("InstanceId"))
	if err != nil {
		return nil, err
	}
	if q.Has("Attribute") {
		return nil, gate.NotImplemented("the Attribute and Value form of ModifyInstanceAttribute")
	}
	stopped := func(what string) error {
		if i.state == stateStopped {
			return nil
		}
		return gate.Errorf(http.StatusBadRequest, "IncorrectInstanceState", "The instance '%s' must be in the 'stopped' state to modify its %s.", i.id, what)
	}
	if q.Has("UserData") {
		if err := stopped("userData"); err != nil {
			return nil, err
		}
		data := q.Blob("UserData.Value")
		if len(data) > maxUserData {
			return nil, invalid("User data is limited to %d bytes", maxUserData)
		}
		i.userData = data
	}
	if kind := q.Str("InstanceType.Value"); kind != "" && kind != i.kind {
		if err := stopped("instanceType"); err != nil {
			return nil, err
		}
		t, ok := catalog.FindInstanceType(kind)
		if !ok || t.Architecture != i.arch {
			return nil, invalid("Invalid value '%s' for instanceType.", kind)
		}
		i.kind = kind
	}
	if q.Has("EbsOptimized") {
		if err := stopped("ebsOptimized"); err != nil {
			return nil, err
		}
		i.ebsOptimized = q.Bool("EbsOptimized.Value", i.ebsOptimized)
	}
	if groups := q.Strings("GroupId"); len(groups) > 0 {
		for _, id := range groups {
			if _, err := q.group(id); err != nil {
				return nil, err
			}
		}
		i.groups = groups
	}
	i.noTerminate = q.Bool("DisableApiTermination.Value", i.noTerminate)
	i.noStop = q.Bool("DisableApiStop.Value", i.noStop)
	i.check = q.Bool("SourceDestCheck.Value", i.check)
	i.shutdown = orElse(q.Str("InstanceInitiatedShutdownBehavior.Value"), i.shutdown)
	return returnTrue, nil
}

func modifyInstanceMetadataOptions(q *request) ([]wire.Node, error) {
	i, err := q.alive(q.Str("InstanceId"))
	if err != nil {
		return nil, err
	}
	next := i.metadata
	if err := applyMetadata(&next, q.Params); err != nil {
		return nil, err
	}
	i.metadata = next
	id := i.id
	q.s.queue.add(func(m Machines) { m.MetadataOptions(id, next) })
	return nodes(wire.Text("instanceId", i.id), wire.Elem("instanceMetadataOptions", metadataNodes(next)...)), nil
}

func modifyCredits(q *request) ([]wire.Node, error) {
	var done []string
	for _, c := range q.Structs("InstanceCreditSpecification") {
		i, err := q.alive(c.Str("InstanceId"))
		if err != nil {
			return nil, err
		}
		if kind, _ := catalog.FindInstanceType(i.kind); !kind.Burstable {
			return nil, invalid("The instance type %s does not support CPU credits.", i.kind)
		}
		i.credits = c.Str("CpuCredits")
		done = append(done, i.id)
	}
	return nodes(wire.List("successfulInstanceCreditSpecificationSet", "item", done, func(id string) []wire.Node {
		return nodes(wire.Text("instanceId", id))
	}), wire.Elem("unsuccessfulInstanceCreditSpecificationSet")), nil
}

func modifyMaintenance(q *request) ([]wire.Node, error) {
	i, err := q.alive(q.Str("InstanceId"))
	if err != nil {
		return nil, err
	}
	i.recovery = orElse(q.Str("AutoRecovery"), i.recovery)
	return nodes(wire.Text("instanceId", i.id), wire.Text("autoRecovery", i.recovery)), nil
}

func monitor(on bool) func(*request) ([]wire.Node, error) {
	return func(q *request) ([]wire.Node, error) {
		all, err := selected(&q.r.instances, q.Strings("InstanceId"), noInstance)
		if err != nil {
			return nil, err
		}
		name := "disabling"
		if on {
			name = "pending"
		}
		for _, i := range all {
			i.monitoring = on
		}
		return nodes(wire.List("instancesSet", "item", all, func(i *instance) []wire.Node {
			return nodes(wire.Text("instanceId", i.id), wire.Elem("monitoring", wire.Text("state", name)))
		})), nil
	}
}

func modifyNetworkInterface(q *request) ([]wire.Node, error) {
	i := q.byENI(q.Str("NetworkInterfaceId"))
	if i == nil {
		return nil, noENI(q.Str("NetworkInterfaceId"))
	}
	if groups := q.Strings("SecurityGroupId"); len(groups) > 0 {
		for _, id := range groups {
			if _, err := q.group(id); err != nil {
				return nil, err
			}
		}
		i.groups = groups
	}
	i.check = q.Bool("SourceDestCheck.Value", i.check)
	return returnTrue, nil
}

func profileAssociationNodes(i *instance, state string) []wire.Node {
	return nodes(wire.Text("associationId", i.profileAssociation), wire.Text("instanceId", i.id), wire.Text("state", state), wire.Text("timestamp", i.profileSince),
		wire.Elem("iamInstanceProfile", wire.Text("arn", i.profileARN), wire.Text("id", i.profileID)))
}

func (q *request) profileAssociation(id string) (*instance, error) {
	for _, i := range q.r.instances.all() {
		if id != "" && i.profileAssociation == id {
			return i, nil
		}
	}
	return nil, gate.Errorf(http.StatusBadRequest, "InvalidAssociationID.NotFound", "An invalid association-id of '%s' was given", id)
}

func describeProfileAssociations(q *request) ([]wire.Node, error) {
	var all []*instance
	for _, i := range q.r.instances.all() {
		if i.profileAssociation != "" {
			all = append(all, i)
		}
	}
	if ids := q.Strings("AssociationId"); len(ids) > 0 {
		all = nil
		for _, id := range ids {
			i, err := q.profileAssociation(id)
			if err != nil {
				return nil, err
			}
			all = append(all, i)
		}
	}
	all, err := filtered(q, all, instanceID, func(i *instance, name string) ([]string, bool) {
		switch name {
		case "instance-id":
			return []string{i.id}, true
		case "state":
			return []string{"associated"}, true
		}
		return nil, false
	})
	if err != nil {
		return nil, err
	}
	return nodes(wire.List("iamInstanceProfileAssociationSet", "item", all, func(i *instance) []wire.Node {
		return profileAssociationNodes(i, "associated")
	})), nil
}

// setProfile gives an instance the profile that the request names.
func (q *request) setProfile(i *instance) ([]wire.Node, error) {
	want, err := q.wantedProfile()
	if err != nil {
		return nil, err
	}
	p, err := q.s.lookupProfile(want)
	if err != nil {
		return nil, err
	}
	i.profileARN, i.profileID, i.profileAssociation, i.profileSince = p.ARN, p.ID, wire.HexID("iip-assoc-"), q.now()
	return nodes(wire.Elem("iamInstanceProfileAssociation", profileAssociationNodes(i, "associating")...)), nil
}

func associateProfile(q *request) ([]wire.Node, error) {
	i, err := q.alive(q.Str("InstanceId"))
	if err != nil {
		return nil, err
	}
	if i.profileAssociation != "" {
		return nil, gate.Errorf(http.StatusBadRequest, "IncorrectState", "There is an existing association for instance %s", i.id)
	}
	return q.setProfile(i)
}

func replaceProfile(q *request) ([]wire.Node, error) {
	i, err := q.profileAssociation(q.Str("AssociationId"))
	if err != nil {
		return nil, err
	}
	return q.setProfile(i)
}

func disassociateProfile(q *request) ([]wire.Node, error) {
	i, err := q.profileAssociation(q.Str("AssociationId"))
	if err != nil {
		return nil, err
	}
	out := nodes(wire.Elem("iamInstanceProfileAssociation", profileAssociationNodes(i, "disassociating")...))
	i.profileARN, i.profileID, i.profileAssociation = "", "", ""
	return out, nil
}
