package gate

import (
	"net/url"
	"slices"
	"strings"
)

// iamGroup is a group of users, who have its policies besides their own. Groups have neither tags nor a boundary, are no
// principals, and are not in each other (IAM User Guide, "IAM user groups").
type iamGroup struct {
	iamEntity
	users []string // names, in the order in which they came
}

const (
	groupsPerUser  = 10   // IAM and AWS STS quotas, "Groups an IAM user can be a member of"
	groupInlineMax = 5120 // characters of all inline policies of a group
)

type xmlGroup struct {
	Path    string `xml:"Path"`
	Name    string `xml:"GroupName"`
	ID      string `xml:"GroupId"`
	ARN     string `xml:"Arn"`
	Created string `xml:"CreateDate"`
}

func (g *iamGroup) xml() xmlGroup {
	return xmlGroup{Path: g.path, Name: g.name, ID: g.id, ARN: g.arn, Created: stamp(g.created)}
}

type groupList struct {
	Groups []xmlGroup `xml:"Groups>member"`
	xmlPage
}

func init() {
	registerIAM(groupResource, map[string]func(*iamStore, url.Values) (any, error){
		"CreateGroup":               createGroup,
		"GetGroup":                  getGroup,
		"DeleteGroup":               deleteGroup,
		"AddUserToGroup":            addUserToGroup,
		"RemoveUserFromGroup":       removeUserFromGroup,
		"PutGroupPolicy":            putInline(asGroup, "group"),
		"GetGroupPolicy":            getInline(asGroup, "group"),
		"DeleteGroupPolicy":         deleteInline(asGroup, "group"),
		"ListGroupPolicies":         listInline(asGroup),
		"AttachGroupPolicy":         attach(asGroup, "Group"),
		"DetachGroupPolicy":         detach(asGroup),
		"ListAttachedGroupPolicies": listAttached(asGroup),
	})
	registerIAM(userResource, map[string]func(*iamStore, url.Values) (any, error){"ListGroupsForUser": listGroupsForUser})
	registerIAM(anyResource, map[string]func(*iamStore, url.Values) (any, error){"ListGroups": listGroups})
}

// group finds a group; the caller holds mu.
func (s *iamStore) group(name string) (*iamGroup, error) {
	if g, ok := s.groups[name]; ok {
		return g, nil
	}
	return nil, noSuchEntity("The group with name %s cannot be found.", name)
}

func asGroup(s *iamStore, f url.Values) (*iamEntity, error) {
	g, err := s.group(f.Get("GroupName"))
	if err != nil {
		return nil, err
	}
	return &g.iamEntity, nil
}

// groupsOf are the groups of a user, by name; the caller holds mu.
func (s *iamStore) groupsOf(user string) (list []*iamGroup) {
	for _, name := range sortedKeys(s.groups) {
		if slices.Contains(s.groups[name].users, user) {
			list = append(list, s.groups[name])
		}
	}
	return list
}

func createGroup(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := f.Get("GroupName")
	if err := checkName("groupName", name, 128); err != nil {
		return nil, err
	}
	path, err := checkPath(f.Get("Path"))
	if err != nil {
		return nil, err
	}
	for existing := range s.groups {
		if strings.EqualFold(existing, name) {
			return nil, alreadyExists("Group with name %s already exists.", name)
		}
	}
	g := &iamGroup{iamEntity: iamEntity{name: name, path: path, id: newID("AGPA"), arn: s.arn("group", path, name), created: s.g.Now(), inline: map[string]*policyText{}}}
	s.groups[name] = g
	return struct{ Group xmlGroup }{g.xml()}, nil
}

func getGroup(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	g, err := s.group(f.Get("GroupName"))
	if err != nil {
		return nil, err
	}
	var all []xmlUser
	for _, name := range g.users {
		all = append(all, s.users[name].xml(false))
	}
	items, p, err := paged(f, all)
	return struct {
		Group xmlGroup
		Users []xmlUser `xml:"Users>member"`
		xmlPage
	}{g.xml(), items, p}, err
}

func deleteGroup(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(f.Get("GroupName"))
	if err != nil {
		return nil, err
	}
	if len(g.users) > 0 {
		return nil, deleteConflict("Cannot delete entity, must remove users from group first.")
	}
	if err := g.deletable(); err != nil {
		return nil, err
	}
	delete(s.groups, g.name)
	return nil, nil
}

// membership is the group and the user that a call is about; the caller holds mu.
func (s *iamStore) membership(f url.Values) (*iamGroup, *iamEntity, error) {
	g, err := s.group(f.Get("GroupName"))
	if err != nil {
		return nil, nil, err
	}
	u, err := s.user(f.Get("UserName"))
	return g, u, err
}

func addUserToGroup(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, u, err := s.membership(f)
	switch {
	case err != nil:
		return nil, err
	case slices.Contains(g.users, u.name):
	case len(s.groupsOf(u.name)) >= groupsPerUser:
		return nil, limitExceeded("Cannot exceed quota for GroupsPerUser: %d", groupsPerUser)
	default:
		g.users = append(g.users, u.name)
	}
	return nil, nil
}

func removeUserFromGroup(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, u, err := s.membership(f)
	if err != nil {
		return nil, err
	}
	g.users = slices.DeleteFunc(slices.Clone(g.users), func(name string) bool { return name == u.name })
	return nil, nil
}

func listGroups(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []xmlGroup
	for _, name := range sortedKeys(s.groups) {
		if g := s.groups[name]; hasPathPrefix(g.path, f) {
			all = append(all, g.xml())
		}
	}
	items, p, err := paged(f, all)
	return groupList{items, p}, err
}

func listGroupsForUser(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	u, err := asUser(s, f)
	if err != nil {
		return nil, err
	}
	var all []xmlGroup
	for _, g := range s.groupsOf(u.name) {
		all = append(all, g.xml())
	}
	items, p, err := paged(f, all)
	return groupList{items, p}, err
}
