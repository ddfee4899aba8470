package gate

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
)

type xmlPolicy struct {
	Name           string `xml:"PolicyName"`
	ID             string `xml:"PolicyId"`
	ARN            string `xml:"Arn"`
	Path           string `xml:"Path"`
	DefaultVersion string `xml:"DefaultVersionId"`
	Attachments    int    `xml:"AttachmentCount"`
	Boundaries     int    `xml:"PermissionsBoundaryUsageCount"`
	Attachable     bool   `xml:"IsAttachable"`
	Description    string `xml:"Description,omitempty"`
	Created        string `xml:"CreateDate"`
	Updated        string `xml:"UpdateDate"`
	Tags           []tag  `xml:"Tags>member"`
}

type xmlVersion struct {
	Document  string `xml:"Document,omitempty"`
	ID        string `xml:"VersionId"`
	IsDefault bool   `xml:"IsDefaultVersion"`
	Created   string `xml:"CreateDate"`
}

func init() {
	registerIAM(policyResource, map[string]func(*iamStore, url.Values) (any, error){
		"CreatePolicy":            createPolicy,
		"GetPolicy":               getPolicy,
		"DeletePolicy":            deletePolicy,
		"CreatePolicyVersion":     createPolicyVersion,
		"GetPolicyVersion":        getPolicyVersion,
		"ListPolicyVersions":      listPolicyVersions,
		"DeletePolicyVersion":     deletePolicyVersion,
		"SetDefaultPolicyVersion": setDefaultPolicyVersion,
		"ListEntitiesForPolicy":   listEntitiesForPolicy,
		"TagPolicy":               tagPolicy,
		"UntagPolicy":             untagPolicy,
		"ListPolicyTags":          listPolicyTags,
	})
	registerIAM(anyResource, map[string]func(*iamStore, url.Values) (any, error){"ListPolicies": listPolicies})
}

// attachments are the names of the roles, users and groups that a policy is attached to, and the number of entities that it
// bounds; the caller holds mu.
func (s *iamStore) attachments(arn string) (roles, users, groups []string, boundaries int) {
	for _, name := range sortedKeys(s.roles) {
		r := s.roles[name]
		if slices.Contains(r.attached, arn) {
			roles = append(roles, name)
		}
		if r.boundary == arn {
			boundaries++
		}
	}
	for _, name := range sortedKeys(s.users) {
		u := s.users[name]
		if slices.Contains(u.attached, arn) {
			users = append(users, name)
		}
		if u.boundary == arn {
			boundaries++
		}
	}
	for _, name := range sortedKeys(s.groups) {
		if slices.Contains(s.groups[name].attached, arn) {
			groups = append(groups, name)
		}
	}
	return roles, users, groups, boundaries
}

func (s *iamStore) policyXML(p *managedPolicy, full bool) xmlPolicy {
	roles, users, groups, boundaries := s.attachments(p.arn)
	out := xmlPolicy{Name: p.name, ID: p.id, ARN: p.arn, Path: p.path, DefaultVersion: p.defaultVersion,
		Attachments: len(roles) + len(users) + len(groups), Boundaries: boundaries, Attachable: true, Created: stamp(p.created), Updated: stamp(p.updated)}
	if full {
		out.Description, out.Tags = p.description, p.tags.clone()
	}
	return out
}

func (p *managedPolicy) versionXML(v *policyVersion, full bool) xmlVersion {
	out := xmlVersion{ID: v.id, IsDefault: v.id == p.defaultVersion, Created: stamp(v.created)}
	if full {
		out.Document = encodeDocument(v.text)
	}
	return out
}

// parseManaged reads the document of a managed policy.
func parseManaged(document string) (*policyText, error) {
	if size(document) > 6144 {
		return nil, limitExceeded("Cannot exceed quota for PolicySize: 6144")
	}
	return parsePolicy(document, policy.Identity)
}

func createPolicy(s *iamStore, f url.Values) (any, error) {
	name := f.Get("PolicyName")
	if err := checkName("policyName", name, 128); err != nil {
		return nil, err
	}
	path, err := checkPath(f.Get("Path"))
	if err != nil {
		return nil, err
	}
	tags := formTags(f)
	if err := checkTags(nil, tags); err != nil {
		return nil, err
	}
	text, err := parseManaged(f.Get("PolicyDocument"))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.policies {
		if strings.EqualFold(p.name, name) {
			return nil, alreadyExists("A policy called %s already exists. Duplicate names are not allowed.", name)
		}
	}
	now := s.g.Now()
	p := &managedPolicy{name: name, path: path, id: newID("ANPA"), arn: s.arn("policy", path, name), description: f.Get("Description"),
		created: now, updated: now, defaultVersion: "v1", nextVersion: 2,
		versions: []*policyVersion{{id: "v1", created: now, policyText: *text}}}
	p.tags.set(tags)
	s.policies[p.arn] = p
	return struct{ Policy xmlPolicy }{s.policyXML(p, true)}, nil
}

func getPolicy(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.managed(f.Get("PolicyArn"))
	if err != nil {
		return nil, err
	}
	return struct{ Policy xmlPolicy }{s.policyXML(p, true)}, nil
}

func listPolicies(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []xmlPolicy
	add := func(set map[string]*managedPolicy) {
		for _, arn := range sortedKeys(set) {
			p := set[arn]
			x := s.policyXML(p, false)
			if hasPathPrefix(p.path, f) && (f.Get("OnlyAttached") != "true" || x.Attachments > 0) {
				all = append(all, x)
			}
		}
	}
	if scope := f.Get("Scope"); scope != "AWS" {
		add(s.policies)
	}
	if scope := f.Get("Scope"); scope != "Local" {
		add(loadAWSManaged())
	}
	items, p, err := paged(f, all)
	return struct {
		Policies []xmlPolicy `xml:"Policies>member"`
		xmlPage
	}{items, p}, err
}

// own finds a customer-managed policy for a change; the caller holds mu.
func (s *iamStore) own(arn string) (*managedPolicy, error) {
	p, err := s.managed(arn)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(arn, awsManagedPrefix) {
		return nil, Errorf(http.StatusForbidden, "AccessDenied", "Policy is outside your own account.")
	}
	return p, nil
}

func deletePolicy(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.own(f.Get("PolicyArn"))
	if err != nil {
		return nil, err
	}
	roles, users, groups, boundaries := s.attachments(p.arn)
	switch {
	case len(roles)+len(users)+len(groups)+boundaries > 0:
		return nil, deleteConflict("Cannot delete a policy attached to entities.")
	case len(p.versions) > 1:
		return nil, deleteConflict("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	}
	delete(s.policies, p.arn)
	return nil, nil
}

func createPolicyVersion(s *iamStore, f url.Values) (any, error) {
	text, err := parseManaged(f.Get("PolicyDocument"))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.own(f.Get("PolicyArn"))
	if err != nil {
		return nil, err
	}
	if len(p.versions) >= 5 {
		return nil, limitExceeded("A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")
	}
	v := &policyVersion{id: "v" + strconv.Itoa(p.nextVersion), created: s.g.Now(), policyText: *text}
	p.nextVersion++
	p.versions = append(p.versions, v)
	if f.Get("SetAsDefault") == "true" {
		p.defaultVersion = v.id
	}
	p.updated = v.created
	return struct{ PolicyVersion xmlVersion }{p.versionXML(v, false)}, nil
}

func getPolicyVersion(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.managed(f.Get("PolicyArn"))
	if err != nil {
		return nil, err
	}
	v, err := p.version(f.Get("VersionId"))
	if err != nil {
		return nil, err
	}
	return struct{ PolicyVersion xmlVersion }{p.versionXML(v, true)}, nil
}

func listPolicyVersions(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.managed(f.Get("PolicyArn"))
	if err != nil {
		return nil, err
	}
	var all []xmlVersion
	for i := len(p.versions) - 1; i >= 0; i-- {
		all = append(all, p.versionXML(p.versions[i], false))
	}
	items, pg, err := paged(f, all)
	return struct {
		Versions []xmlVersion `xml:"Versions>member"`
		xmlPage
	}{items, pg}, err
}

func deletePolicyVersion(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.own(f.Get("PolicyArn"))
	if err != nil {
		return nil, err
	}
	v, err := p.version(f.Get("VersionId"))
	if err != nil {
		return nil, err
	}
	if v.id == p.defaultVersion {
		return nil, deleteConflict("Cannot delete the default version of a policy.")
	}
	p.versions = slices.DeleteFunc(p.versions, func(other *policyVersion) bool { return other == v })
	return nil, nil
}

func setDefaultPolicyVersion(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.own(f.Get("PolicyArn"))
	if err != nil {
		return nil, err
	}
	v, err := p.version(f.Get("VersionId"))
	if err != nil {
		return nil, err
	}
	p.defaultVersion, p.updated = v.id, s.g.Now()
	return nil, nil
}

func listEntitiesForPolicy(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.managed(f.Get("PolicyArn"))
	if err != nil {
		return nil, err
	}
	type entity struct {
		RoleName  string `xml:"RoleName,omitempty"`
		RoleID    string `xml:"RoleId,omitempty"`
		UserName  string `xml:"UserName,omitempty"`
		UserID    string `xml:"UserId,omitempty"`
		GroupName string `xml:"GroupName,omitempty"`
		GroupID   string `xml:"GroupId,omitempty"`
	}
	out := struct {
		Roles  []entity `xml:"PolicyRoles>member"`
		Users  []entity `xml:"PolicyUsers>member"`
		Groups []entity `xml:"PolicyGroups>member"`
		xmlPage
	}{}
	roles, users, groups, _ := s.attachments(p.arn)
	for _, name := range roles {
		out.Roles = append(out.Roles, entity{RoleName: name, RoleID: s.roles[name].id})
	}
	for _, name := range users {
		out.Users = append(out.Users, entity{UserName: name, UserID: s.users[name].id})
	}
	for _, name := range groups {
		out.Groups = append(out.Groups, entity{GroupName: name, GroupID: s.groups[name].id})
	}
	return out, nil
}

func tagPolicy(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.own(f.Get("PolicyArn"))
	if err != nil {
		return nil, err
	}
	return nil, tagWith(&p.tags, formTags(f))
}

func untagPolicy(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.own(f.Get("PolicyArn"))
	if err != nil {
		return nil, err
	}
	p.tags.remove(formList(f, "TagKeys"))
	return nil, nil
}

func listPolicyTags(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.managed(f.Get("PolicyArn"))
	if err != nil {
		return nil, err
	}
	items, pg, err := paged(f, p.tags.clone())
	return tagList{items, pg}, err
}

func hasPathPrefix(path string, f url.Values) bool {
	return strings.HasPrefix(path, f.Get("PathPrefix"))
}
