package gate

import (
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
)

// Credentials are temporary credentials.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
	LastUpdated     time.Time
}

type session struct {
	secret, token string
	roleID        string
	principal     Principal
}

// sessionStore holds all sessions that have not been expired for a day.
type sessionStore struct {
	mu    sync.RWMutex
	byKey map[string]*session
}

func newSessionStore() *sessionStore { return &sessionStore{byKey: map[string]*session{}} }

// sessionSpec is what makes a session of a role.
type sessionSpec struct {
	role           roleView
	name           string
	duration       time.Duration
	sourceIdentity string
	tags           map[string]string
	transitive     []string
	policies       []*policy.Document
	context        map[string][]string
	region         string
}

// newSession makes temporary credentials for a role whose trust has been decided.
func (g *Gate) newSession(spec sessionSpec) (Credentials, *Principal) {
	now := g.Now()
	tags := map[string]string{}
	for k, v := range spec.role.tags {
		tags[k] = v
	}
	for k, v := range spec.tags {
		for old := range tags {
			if strings.EqualFold(old, k) {
				delete(tags, old)
			}
		}
		tags[k] = v
	}
	credentials := Credentials{AccessKeyID: newID("ASIA"), SecretAccessKey: newSecret(), SessionToken: newToken(),
		Expiration: now.Add(g.cut(spec.duration)).Truncate(time.Second), LastUpdated: now}
	p := Principal{Type: TypeAssumedRole, ARN: g.ARN("sts", "", "assumed-role/"+spec.role.name+"/"+spec.name), RoleARN: spec.role.arn,
		Account: g.AccountID(), UserID: spec.role.id + ":" + spec.name, RoleName: spec.role.name, SessionName: spec.name,
		SourceIdentity: spec.sourceIdentity, Tags: tags, TransitiveTags: spec.transitive, AccessKeyID: credentials.AccessKeyID,
		Issued: now, Expires: credentials.Expiration, SessionPolicies: spec.policies, Context: spec.context}
	g.sessions.add(&session{secret: credentials.SecretAccessKey, token: credentials.SessionToken, roleID: spec.role.id, principal: p}, now)
	g.iam.used(spec.role.name, spec.region)
	return credentials, &p
}

// issued puts a new session into the event record, so that readers can follow it.
func (c *Call) issued(p *Principal) {
	c.Detail("session", p.ARN)
	c.Detail("sessionAccessKeyId", p.AccessKeyID)
	c.Detail("expiration", stamp(p.Expires))
}

func (s *sessionStore) add(n *session, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byKey)%256 == 255 {
		for id, old := range s.byKey {
			if now.Sub(old.principal.Expires) > 24*time.Hour {
				delete(s.byKey, id)
			}
		}
	}
	s.byKey[n.principal.AccessKeyID] = n
}

func (s *sessionStore) get(id string) (*session, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n, ok := s.byKey[id]
	return n, ok
}

// credentials finds the secret and the principal of an access key id. failure is empty where the key is good. A session
// has to bring its token, a user's key none: without one the key of a session is unknown.
func (g *Gate) credentials(id, token string) (secret string, p *Principal, failure authFailure) {
	if s, ok := g.sessions.get(id); ok {
		switch {
		case token == "":
			return "", nil, failUnknownKey
		case subtle.ConstantTimeCompare([]byte(s.token), []byte(token)) != 1:
			return "", nil, failBadToken
		case !g.Now().Before(s.principal.Expires):
			return "", nil, failExpiredToken
		case !g.iam.roleExists(s.principal.RoleName, s.roleID):
			return "", nil, failBadToken
		}
		copied := s.principal
		return s.secret, &copied, ""
	}
	s := g.iam
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, ok := s.keys[id]
	if !ok || !k.active {
		return "", nil, failUnknownKey
	}
	if token != "" {
		return "", nil, failBadToken
	}
	u, ok := s.users[k.user]
	if !ok {
		return "", nil, failUnknownKey
	}
	return k.secret, &Principal{Type: TypeUser, ARN: u.arn, Account: g.AccountID(), UserID: u.id, UserName: u.name, Tags: u.tags.asMap(),
		AccessKeyID: id}, ""
}

// nodeSessions are the sessions of machines, by instance id.
type nodeSessions struct {
	mu   sync.Mutex
	byID map[string]nodeSession
}

type nodeSession struct {
	credentials Credentials
	roleID      string
}

const (
	// nodeDuration is how long EC2's sessions live, nodeRefresh how long before their end new ones are there.
	nodeDuration = 6 * time.Hour
	nodeRefresh  = time.Hour
)

// NodeRoleCredentials returns the credentials that a machine finds in its metadata: a session of the role in its
// instance profile, named by the instance id, made new an hour before it ends or when the role changes. Errors (*Error):
// the machine has no profile, the profile no role, or the role does not trust ec2.amazonaws.com.
func (g *Gate) NodeRoleCredentials(instanceID string) (Credentials, error) {
	profile, ok := "", false
	for _, s := range g.each() {
		if machines, is := s.(InstanceProfiles); is {
			if profile, ok = machines.InstanceProfileOf(instanceID); ok {
				break
			}
		}
	}
	if !ok || profile == "" {
		return Credentials{}, Errorf(http.StatusNotFound, "NoInstanceProfile", "instance %s has no instance profile", instanceID)
	}
	_, _, roleARN, ok := g.InstanceProfileRole(profile)
	if !ok || roleARN == "" {
		return Credentials{}, Errorf(http.StatusNotFound, "InstanceProfileNotFound", "instance profile %s has no role", profile)
	}
	role, ok := g.iam.roleByARN(roleARN)
	if !ok {
		return Credentials{}, Errorf(http.StatusNotFound, "InstanceProfileNotFound", "role %s is gone", roleARN)
	}
	result := policy.Evaluate(policy.Request{Action: "sts:AssumeRole", Resource: role.arn, Principal: &policy.Principal{Service: "ec2.amazonaws.com"},
		Context: map[string][]string{"aws:PrincipalIsAWSService": {"true"}, "aws:PrincipalServiceName": {"ec2.amazonaws.com"}}}, role.trust)
	if result.Decision != policy.Allow {
		return Credentials{}, Errorf(http.StatusForbidden, "AssumeRoleUnauthorizedAccess", "EC2 cannot assume the role %s. Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html.", role.name)
	}
	g.nodes.mu.Lock()
	defer g.nodes.mu.Unlock()
	if have, ok := g.nodes.byID[instanceID]; ok && have.roleID == role.id && have.credentials.Expiration.Sub(g.Now()) > nodeRefresh {
		return have.credentials, nil
	}
	credentials, _ := g.newSession(sessionSpec{role: role, name: instanceID, duration: nodeDuration, region: g.Region(), context: map[string][]string{
		"ec2:SourceInstanceARN": {g.ARN("ec2", g.Region(), "instance/"+instanceID)},
		"ec2:RoleDelivery":      {"2.0"},
	}})
	g.nodes.byID[instanceID] = nodeSession{credentials, role.id}
	return credentials, nil
}
