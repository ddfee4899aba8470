package gate

import (
	"fmt"

	"k3s-aws-auth/scripts/internal/policy"
)

// linkedRoles are the service-linked roles that services make at their first use in an account, in the caller's name: who
// makes the first load balancer or trust anchor needs iam:CreateServiceLinkedRole
// (https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-service-linked-roles.html,
// https://docs.aws.amazon.com/rolesanywhere/latest/userguide/using-service-linked-roles.html).
var linkedRoles = map[string]string{
	"elasticloadbalancing.amazonaws.com": "AWSServiceRoleForElasticLoadBalancing",
	"rolesanywhere.amazonaws.com":        "AWSServiceRoleForRolesAnywhere",
}

const linkedPath = "/aws-service-role/"

// NeedsLinkedRole is what a caller must be allowed for the first use of a service: nothing once its role is there.
func (g *Gate) NeedsLinkedRole(service string) []policy.Request {
	s := g.iam
	s.mu.RLock()
	defer s.mu.RUnlock()
	name := linkedRoles[service]
	if _, there := s.roles[name]; there {
		return nil
	}
	return []policy.Request{{Action: "iam:CreateServiceLinkedRole", Resource: s.arn("role", linkedPath+service+"/", name),
		Context: map[string][]string{"iam:AWSServiceName": {service}}}}
}

// MakeLinkedRole makes the service's role where it is not there yet. It stays when what it was made for goes, as on AWS.
func (g *Gate) MakeLinkedRole(service string) error {
	s := g.iam
	s.mu.Lock()
	defer s.mu.Unlock()
	name := linkedRoles[service]
	if _, there := s.roles[name]; there {
		return nil
	}
	trust, err := s.parseTrust(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, service))
	if err != nil {
		return err
	}
	path := linkedPath + service + "/"
	s.roles[name] = &iamRole{trust: trust, maxSession: 3600, iamEntity: iamEntity{name: name, path: path, arn: s.arn("role", path, name),
		id: newID("AROA"), created: s.g.Now(), inline: map[string]*policyText{}}}
	return nil
}
