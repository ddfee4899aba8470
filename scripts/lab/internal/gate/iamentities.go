package gate

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
)

type xmlBoundary struct {
	Type string `xml:"PermissionsBoundaryType"`
	ARN  string `xml:"PermissionsBoundaryArn"`
}

func boundaryXML(arn string) *xmlBoundary {
	if arn == "" {
		return nil
	}
	return &xmlBoundary{Type: "PermissionsBoundaryPolicy", ARN: arn}
}

type xmlLastUsed struct {
	Date   string `xml:"LastUsedDate,omitempty"`
	Region string `xml:"Region,omitempty"`
}

type xmlRole struct {
	Path        string       `xml:"Path"`
	Name        string       `xml:"RoleName"`
	ID          string       `xml:"RoleId"`
	ARN         string       `xml:"Arn"`
	Created     string       `xml:"CreateDate"`
	Trust       string       `xml:"AssumeRolePolicyDocument"`
	Description string       `xml:"Description,omitempty"`
	MaxSession  int          `xml:"MaxSessionDuration"`
	Boundary    *xmlBoundary `xml:"PermissionsBoundary"`
	Tags        []tag        `xml:"Tags>member"`
	LastUsed    *xmlLastUsed `xml:"RoleLastUsed"`
}

func (r *iamRole) xml(full bool) xmlRole {
	out := xmlRole{Path: r.path, Name: r.name, ID: r.id, ARN: r.arn, Created: stamp(r.created), Trust: encodeDocument(r.trust.text),
		Description: r.description, MaxSession: r.maxSession}
	if full {
		out.Boundary, out.Tags = boundaryXML(r.boundary), r.tags.clone()
		out.LastUsed = &xmlLastUsed{}
		if !r.lastUsed.IsZero() {
			*out.LastUsed = xmlLastUsed{Date: stamp(r.lastUsed), Region: r.lastRegion}
		}
	}
	return out
}

type xmlUser struct {
	Path     string       `xml:"Path"`
	Name     string       `xml:"UserName"`
	ID       string       `xml:"UserId"`
	ARN      string       `xml:"Arn"`
	Created  string       `xml:"CreateDate"`
	Boundary *xmlBoundary `xml:"PermissionsBoundary"`
	Tags     []tag        `xml:"Tags>member"`
}

func (e *iamEntity) xml(full bool) xmlUser {
	out := xmlUser{Path: e.path, Name: e.name, ID: e.id, ARN: e.arn, Created: stamp(e.created)}
	if full {
		out.Boundary, out.Tags = boundaryXML(e.boundary), e.tags.clone()
	}
	return out
}

type xmlPage struct {
	IsTruncated bool   `xml:"IsTruncated"`
	Marker      string `xml:"Marker,omitempty"`
}

// Pages of results under their member lists.

type roleList struct {
	Roles []xmlRole `xml:"Roles>member"`
	xmlPage
}

type userList struct {
	Users []xmlUser `xml:"Users>member"`
	xmlPage
}

type nameList struct {
	Names []string `xml:"PolicyNames>member"`
	xmlPage
}

type tagList struct {
	Tags []tag `xml:"Tags>member"`
	xmlPage
}

type attachedPolicy struct {
	Name string `xml:"PolicyName"`
	ARN  string `xml:"PolicyArn"`
}

type attachedList struct {
	Policies []attachedPolicy `xml:"AttachedPolicies>member"`
	xmlPage
}

// paged cuts a page of items.
func paged[T any](f url.Values, items []T) ([]T, xmlPage, error) {
	from, to, marker, err := page(f, len(items))
	if err != nil {
		return nil, xmlPage{}, err
	}
	return items[from:to], xmlPage{IsTruncated: marker != "", Marker: marker}, nil
}

func init() {
	registerIAM(roleResource, map[string]func(*iamStore, url.Values) (any, error){
		"CreateRole":                    createRole,
		"GetRole":                       getRole,
		"UpdateRole":                    updateRole,
		"UpdateRoleDescription":         updateRoleDescription,
		"UpdateAssumeRolePolicy":        updateAssumeRolePolicy,
		"DeleteRole":                    deleteRole,
		"TagRole":                       entityTag(asRole),
		"UntagRole":                     entityUntag(asRole),
		"ListRoleTags":                  entityTags(asRole),
		"PutRolePolicy":                 putInline(asRole, "role"),
		"GetRolePolicy":                 getInline(asRole, "role"),
		"DeleteRolePolicy":              deleteInline(asRole, "role"),
		"ListRolePolicies":              listInline(asRole),
		"AttachRolePolicy":              attach(asRole, "Role"),
		"DetachRolePolicy":              detach(asRole),
		"ListAttachedRolePolicies":      listAttached(asRole),
		"PutRolePermissionsBoundary":    putBoundary(asRole),
		"DeleteRolePermissionsBoundary": deleteBoundary(asRole),
		"ListInstanceProfilesForRole":   listProfilesForRole,
	})
	registerIAM(userResource, map[string]func(*iamStore, url.Values) (any, error){
		"CreateUser":                    createUser,
		"GetUser":                       getUser,
		"DeleteUser":                    deleteUser,
		"TagUser":                       entityTag(asUser),
		"UntagUser":                     entityUntag(asUser),
		"ListUserTags":                  entityTags(asUser),
		"PutUserPolicy":                 putInline(asUser, "user"),
		"GetUserPolicy":                 getInline(asUser, "user"),
		"DeleteUserPolicy":              deleteInline(asUser, "user"),
		"ListUserPolicies":              listInline(asUser),
		"AttachUserPolicy":              attach(asUser, "User"),
		"DetachUserPolicy":              detach(asUser),
		"ListAttachedUserPolicies":      listAttached(asUser),
		"PutUserPermissionsBoundary":    putBoundary(asUser),
		"DeleteUserPermissionsBoundary": deleteBoundary(asUser),
		"CreateAccessKey":               createAccessKey,
		"DeleteAccessKey":               deleteAccessKey,
		"ListAccessKeys":                listAccessKeys,
		"UpdateAccessKey":               updateAccessKey,
	})
	registerIAM(anyResource, map[string]func(*iamStore, url.Values) (any, error){
		"ListRoles":          listRoles,
		"ListUsers":          listUsers,
		"ListAccountAliases": listAccountAliases,
	})
}

func asRole(s *iamStore, f url.Values) (*iamEntity, error) {
	r, err := s.role(f.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	return &r.iamEntity, nil
}

func asUser(s *iamStore, f url.Values) (*iamEntity, error) { return s.user(f.Get("UserName")) }

type finder func(*iamStore, url.Values) (*iamEntity, error)

// readSessionLimit reads MaxSessionDuration in seconds; 0 where absent.
func readSessionLimit(f url.Values) (int, error) {
	text := f.Get("MaxSessionDuration")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 3600:
		return 0, validationError("1 validation error detected: Value '%s' at 'maxSessionDuration' failed to satisfy constraint: Member must have value greater than or equal to 3600", text)
	case n > 43200:
		return 0, validationError("1 validation error detected: Value '%s' at 'maxSessionDuration' failed to satisfy constraint: Member must have value less than or equal to 43200", text)
	}
	return n, nil
}

// newEntity checks what CreateRole and CreateUser share; the caller holds mu.
func (s *iamStore) newEntity(f url.Values, kind, field, name, prefix string) (iamEntity, error) {
	e := iamEntity{name: name, inline: map[string]*policyText{}, created: s.g.Now(), id: newID(prefix)}
	if err := checkName(field, name, 64); err != nil {
		return e, err
	}
	var err error
	if e.path, err = checkPath(f.Get("Path")); err != nil {
		return e, err
	}
	tags := formTags(f)
	if err := checkTags(nil, tags); err != nil {
		return e, err
	}
	e.tags.set(tags)
	if e.boundary = f.Get("PermissionsBoundary"); e.boundary != "" {
		if _, err := s.managed(e.boundary); err != nil {
			return e, noSuchEntity("Scope ARN: %s does not exist or is not attachable.", e.boundary)
		}
	}
	e.arn = s.arn(kind, e.path, e.name)
	return e, nil
}

func createRole(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := f.Get("RoleName")
	e, err := s.newEntity(f, "role", "roleName", name, "AROA")
	if err != nil {
		return nil, err
	}
	for existing := range s.roles { // names are unique without regard to case
		if strings.EqualFold(existing, name) {
			return nil, alreadyExists("Role with name %s already exists.", name)
		}
	}
	r := &iamRole{iamEntity: e, description: f.Get("Description")}
	if len(r.description) > 1000 {
		return nil, validationError("1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to 1000")
	}
	if r.maxSession, err = readSessionLimit(f); err != nil {
		return nil, err
	}
	if r.maxSession == 0 {
		r.maxSession = 3600
	}
	if r.trust, err = s.parseTrust(f.Get("AssumeRolePolicyDocument")); err != nil {
		return nil, err
	}
	s.roles[name] = r
	return struct{ Role xmlRole }{r.xml(true)}, nil
}

func getRole(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, err := s.role(f.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	return struct{ Role xmlRole }{r.xml(true)}, nil
}

func listRoles(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []xmlRole
	for _, name := range sortedKeys(s.roles) {
		if r := s.roles[name]; hasPathPrefix(r.path, f) {
			all = append(all, r.xml(false))
		}
	}
	items, p, err := paged(f, all)
	return roleList{items, p}, err
}

func updateRole(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.role(f.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	limit, err := readSessionLimit(f)
	if err != nil {
		return nil, err
	}
	if limit != 0 {
		r.maxSession = limit
	}
	if f.Has("Description") {
		r.description = f.Get("Description")
	}
	return struct{}{}, nil
}

func updateRoleDescription(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.role(f.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	r.description = f.Get("Description")
	return struct{ Role xmlRole }{r.xml(true)}, nil
}

func updateAssumeRolePolicy(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.role(f.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	trust, err := s.parseTrust(f.Get("PolicyDocument"))
	if err != nil {
		return nil, err
	}
	r.trust = trust
	return nil, nil
}

func deleteRole(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.role(f.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	for _, p := range s.profiles {
		if p.role == r.name {
			return nil, deleteConflict("Cannot delete entity, must remove roles from instance profile first.")
		}
	}
	if err := r.deletable(); err != nil {
		return nil, err
	}
	delete(s.roles, r.name)
	return nil, nil
}

func (e *iamEntity) deletable() error {
	switch {
	case len(e.attached) > 0:
		return deleteConflict("Cannot delete entity, must detach all policies first.")
	case len(e.inline) > 0:
		return deleteConflict("Cannot delete entity, must delete policies first.")
	}
	return nil
}

func createUser(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := f.Get("UserName")
	e, err := s.newEntity(f, "user", "userName", name, "AIDA")
	if err != nil {
		return nil, err
	}
	for existing := range s.users {
		if strings.EqualFold(existing, name) {
			return nil, alreadyExists("User with name %s already exists.", name)
		}
	}
	s.users[name] = &e
	return struct{ User xmlUser }{e.xml(true)}, nil
}

func getUser(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	u, err := asUser(s, f)
	if err != nil {
		return nil, err
	}
	return struct{ User xmlUser }{u.xml(true)}, nil
}

func listUsers(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []xmlUser
	for _, name := range sortedKeys(s.users) {
		if u := s.users[name]; hasPathPrefix(u.path, f) {
			all = append(all, u.xml(false))
		}
	}
	items, p, err := paged(f, all)
	return userList{items, p}, err
}

func deleteUser(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := asUser(s, f)
	if err != nil {
		return nil, err
	}
	for _, k := range s.keys {
		if k.user == u.name {
			return nil, deleteConflict("Cannot delete entity, must delete access keys first.")
		}
	}
	if err := u.deletable(); err != nil {
		return nil, err
	}
	if len(s.groupsOf(u.name)) > 0 {
		return nil, deleteConflict("Cannot delete entity, must remove users from group first.")
	}
	delete(s.users, u.name)
	return nil, nil
}

func listAccountAliases(*iamStore, url.Values) (any, error) {
	return struct {
		Aliases []string `xml:"AccountAliases>member"`
		xmlPage
	}{}, nil
}

type xmlAccessKey struct {
	User    string `xml:"UserName"`
	ID      string `xml:"AccessKeyId"`
	Status  string `xml:"Status"`
	Secret  string `xml:"SecretAccessKey,omitempty"`
	Created string `xml:"CreateDate"`
}

func (k *accessKey) xml(secret bool) xmlAccessKey {
	out := xmlAccessKey{User: k.user, ID: k.id, Status: "Inactive", Created: stamp(k.created)}
	if k.active {
		out.Status = "Active"
	}
	if secret {
		out.Secret = k.secret
	}
	return out
}

func createAccessKey(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := asUser(s, f)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, k := range s.keys {
		if k.user == u.name {
			n++
		}
	}
	if n >= 2 {
		return nil, limitExceeded("Cannot exceed quota for AccessKeysPerUser: 2")
	}
	k := s.newKey(u.name)
	s.keys[k.id] = k
	return struct{ AccessKey xmlAccessKey }{k.xml(true)}, nil
}

// key finds an access key of a user; the caller holds mu.
func (s *iamStore) key(f url.Values) (*accessKey, error) {
	id := f.Get("AccessKeyId")
	k, ok := s.keys[id]
	if !ok || f.Get("UserName") != "" && k.user != f.Get("UserName") {
		return nil, noSuchEntity("The Access Key with id %s cannot be found", id)
	}
	return k, nil
}

func deleteAccessKey(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.key(f)
	if err != nil {
		return nil, err
	}
	delete(s.keys, k.id)
	return nil, nil
}

func updateAccessKey(s *iamStore, f url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.key(f)
	if err != nil {
		return nil, err
	}
	switch f.Get("Status") {
	case "Active":
		k.active = true
	case "Inactive":
		k.active = false
	default:
		return nil, validationError("1 validation error detected: Value '%s' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]", f.Get("Status"))
	}
	return nil, nil
}

func listAccessKeys(s *iamStore, f url.Values) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	u, err := asUser(s, f)
	if err != nil {
		return nil, err
	}
	out := struct {
		Keys []xmlAccessKey `xml:"AccessKeyMetadata>member"`
		xmlPage
	}{}
	for _, id := range sortedKeys(s.keys) {
		if s.keys[id].user == u.name {
			out.Keys = append(out.Keys, s.keys[id].xml(false))
		}
	}
	return out, nil
}

// What roles, users and groups share.

func entityTag(find finder) func(*iamStore, url.Values) (any, error) {
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		return nil, tagWith(&e.tags, formTags(f))
	}
}

func tagWith(have *tagSet, add []tag) error {
	if err := checkTags(*have, add); err != nil {
		return err
	}
	have.set(add)
	return nil
}

func entityUntag(find finder) func(*iamStore, url.Values) (any, error) {
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		e.tags.remove(formList(f, "TagKeys"))
		return nil, nil
	}
}

func entityTags(find finder) func(*iamStore, url.Values) (any, error) {
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		items, p, err := paged(f, e.tags.clone())
		return tagList{items, p}, err
	}
}

func putInline(find finder, kind string) func(*iamStore, url.Values) (any, error) {
	limit := map[string]int{"role": 10240, "user": 2048, "group": groupInlineMax}[kind]
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		name := f.Get("PolicyName")
		if err := checkName("policyName", name, 128); err != nil {
			return nil, err
		}
		p, err := parsePolicy(f.Get("PolicyDocument"), policy.Identity)
		if err != nil {
			return nil, err
		}
		total := size(p.text)
		for other, v := range e.inline {
			if other != name {
				total += size(v.text)
			}
		}
		if total > limit {
			return nil, limitExceeded("Maximum policy size of %d bytes exceeded for %s %s", limit, kind, e.name)
		}
		e.inline[name] = p
		return nil, nil
	}
}

func noInline(kind, name string) error {
	return noSuchEntity("The %s policy with name %s cannot be found.", kind, name)
}

func getInline(find finder, kind string) func(*iamStore, url.Values) (any, error) {
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		name := f.Get("PolicyName")
		p, ok := e.inline[name]
		if !ok {
			return nil, noInline(kind, name)
		}
		out := struct {
			RoleName       string `xml:"RoleName,omitempty"`
			UserName       string `xml:"UserName,omitempty"`
			GroupName      string `xml:"GroupName,omitempty"`
			PolicyName     string
			PolicyDocument string
		}{PolicyName: name, PolicyDocument: encodeDocument(p.text)}
		switch kind {
		case "role":
			out.RoleName = e.name
		case "user":
			out.UserName = e.name
		default:
			out.GroupName = e.name
		}
		return out, nil
	}
}

func deleteInline(find finder, kind string) func(*iamStore, url.Values) (any, error) {
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		name := f.Get("PolicyName")
		if _, ok := e.inline[name]; !ok {
			return nil, noInline(kind, name)
		}
		delete(e.inline, name)
		return nil, nil
	}
}

func listInline(find finder) func(*iamStore, url.Values) (any, error) {
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		items, p, err := paged(f, sortedKeys(e.inline))
		return nameList{items, p}, err
	}
}

func attach(find finder, kind string) func(*iamStore, url.Values) (any, error) {
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		arn := f.Get("PolicyArn")
		if _, err := s.managed(arn); err != nil {
			return nil, noSuchEntity("Policy %s does not exist or is not attachable.", arn)
		}
		if slices.Contains(e.attached, arn) {
			return nil, nil
		}
		if len(e.attached) >= 10 {
			return nil, limitExceeded("Cannot exceed quota for PoliciesPer%s: 10", kind)
		}
		e.attached = append(e.attached, arn)
		return nil, nil
	}
}

func detach(find finder) func(*iamStore, url.Values) (any, error) {
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		arn := f.Get("PolicyArn")
		i := slices.Index(e.attached, arn)
		if i < 0 {
			return nil, noSuchEntity("Policy %s was not found.", arn)
		}
		e.attached = slices.Delete(e.attached, i, i+1)
		return nil, nil
	}
}

func listAttached(find finder) func(*iamStore, url.Values) (any, error) {
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		var all []attachedPolicy
		for _, arn := range e.attached {
			if p, err := s.managed(arn); err == nil && hasPathPrefix(p.path, f) {
				all = append(all, attachedPolicy{Name: p.name, ARN: arn})
			}
		}
		items, p, err := paged(f, all)
		return attachedList{items, p}, err
	}
}

func putBoundary(find finder) func(*iamStore, url.Values) (any, error) {
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		arn := f.Get("PermissionsBoundary")
		if _, err := s.managed(arn); err != nil {
			return nil, noSuchEntity("Scope ARN: %s does not exist or is not attachable.", arn)
		}
		e.boundary = arn
		return nil, nil
	}
}

func deleteBoundary(find finder) func(*iamStore, url.Values) (any, error) {
	return func(s *iamStore, f url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		e, err := find(s, f)
		if err != nil {
			return nil, err
		}
		if e.boundary == "" {
			return nil, noSuchEntity("Permissions boundary of %s cannot be found.", e.name)
		}
		e.boundary = ""
		return nil, nil
	}
}
