package gate

import (
	"net/url"
	"strings"
)

type xmlProfile struct {
	Path    string    `xml:"Path"`
	Name    string    `xml:"InstanceProfileName"`
	ID      string    `xml:"InstanceProfileId"`
	ARN     string    `xml:"Arn"`
	Created string    `xml:"CreateDate"`
	Roles   []xmlRole `xml:"Roles>member"`
	Tags    []tag     `xml:"Tags>member"`
}

type profileList struct {
	Profiles []xmlProfile `xml:"InstanceProfiles>member"`
	xmlPage
}

func init() {
	registerIAM(profileResource, map[string]func(*iamStore, url.Values) (any, error){
		"CreateInstanceProfile":         createInstanceProfile,
		"GetInstanceProfile":            getInstanceProfile,
		"DeleteInstanceProfile":         deleteInstanceProfile,
		"AddRoleToInstanceProfile":      addRoleToInstanceProfile,
		"RemoveRoleFromInstanceProfile": removeRoleFromInstanceProfile,
		"TagInstanceProfile":            tagInstanceProfile,
		"UntagInstanceProfile":          untagInstanceProfile,
		"ListInstanceProfileTags":       listInstanceProfileTags,
	})
	registerIAM(anyResource, map[string]func(*iamStore, url.Values) (any, error){"ListInstanceProfiles": listInstanceProfiles})
}

func (s *iamStore) profileXML(p *instanceProfile, full bool) xmlProfile {
	out := xmlProfile{Path: p.path, Name: p.name, ID: p.id, ARN: p.arn, Created: stamp(p.created)}
	if r, ok := s.roles[p.role]; ok {
		out.Roles = []xmlRole{r.xml(false)}
	}
	if full {
		out.Tags = p.tags.clone()
	}
	return out
}

func createInstanceProfile(s *iamStore, f url.Values) (any, error) {
	name := f.Get("InstanceProfileName")
	if err := checkName("instanceProfileName", name, 128); err != nil {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	for existing := range s.profiles {
		if strings.EqualFold(existing, name) {
			return nil, alreadyExists("Instance Profile %s already exists.", name)
		}
	}
	p := &instanceProfile{name: name, path: path, id: newID("AIPA"), arn: s.arn("instance-profile", path, name), created: s.g.Now()}
	p.tags.set(tags)
	s.profiles[name] = p
	return struct{ InstanceProfile xmlProfile }{s.profileXML(p, true)}, nil
}

func getInstanceProfile(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.profile(f.Get("InstanceProfileName"))
	if err != nil {
		return nil, err
	}
	return struct{ InstanceProfile xmlProfile }{s.profileXML(p, true)}, nil
}

func listInstanceProfiles(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []xmlProfile
	for _, name := range sortedKeys(s.profiles) {
		if p := s.profiles[name]; hasPathPrefix(p.path, f) {
			all = append(all, s.profileXML(p, false))
		}
	}
	items, p, err := paged(f, all)
	return profileList{items, p}, err
}

func listProfilesForRole(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, err := s.role(f.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	var all []xmlProfile
	for _, name := range sortedKeys(s.profiles) {
		if p := s.profiles[name]; p.role == r.name {
			all = append(all, s.profileXML(p, false))
		}
	}
	items, p, err := paged(f, all)
	return profileList{items, p}, err
}

func deleteInstanceProfile(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.profile(f.Get("InstanceProfileName"))
	if err != nil {
		return nil, err
	}
	if p.role != "" {
		return nil, deleteConflict("Cannot delete entity, must remove roles from instance profile first.")
	}
	delete(s.profiles, p.name)
	return nil, nil
}

func addRoleToInstanceProfile(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.profile(f.Get("InstanceProfileName"))
	if err != nil {
		return nil, err
	}
	r, err := s.role(f.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	if p.role != "" {
		return nil, limitExceeded("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	}
	p.role = r.name
	return nil, nil
}

func removeRoleFromInstanceProfile(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.profile(f.Get("InstanceProfileName"))
	if err != nil {
		return nil, err
	}
	name := f.Get("RoleName")
	if p.role != name {
		return nil, noSuchEntity("The role with name %s cannot be found.", name)
	}
	p.role = ""
	return nil, nil
}

func tagInstanceProfile(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.profile(f.Get("InstanceProfileName"))
	if err != nil {
		return nil, err
	}
	return nil, tagWith(&p.tags, formTags(f))
}

func untagInstanceProfile(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.profile(f.Get("InstanceProfileName"))
	if err != nil {
		return nil, err
	}
	p.tags.remove(formList(f, "TagKeys"))
	return nil, nil
}

func listInstanceProfileTags(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, err := s.profile(f.Get("InstanceProfileName"))
	if err != nil {
		return nil, err
	}
	items, pg, err := paged(f, p.tags.clone())
	return tagList{items, pg}, err
}
