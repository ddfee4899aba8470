package gate

import (
	"net/url"
	"slices"
	"strings"
)

func init() {
	registerIAM(anyResource, map[string]func(*iamStore, url.Values) (any, error){"GetAccountAuthorizationDetails": accountDetails})
}

type xmlInline struct {
	Name     string `xml:"PolicyName"`
	Document string `xml:"PolicyDocument"`
}

type xmlUserDetail struct {
	xmlUser
	Inline   []xmlInline      `xml:"UserPolicyList>member"`
	Groups   []string         `xml:"GroupList>member"`
	Attached []attachedPolicy `xml:"AttachedManagedPolicies>member"`
}

type xmlGroupDetail struct {
	xmlGroup
	Inline   []xmlInline      `xml:"GroupPolicyList>member"`
	Attached []attachedPolicy `xml:"AttachedManagedPolicies>member"`
}

// xmlRoleDetail has neither the description nor the longest session of a role, which GetRole tells.
type xmlRoleDetail struct {
	Path     string           `xml:"Path"`
	Name     string           `xml:"RoleName"`
	ID       string           `xml:"RoleId"`
	ARN      string           `xml:"Arn"`
	Created  string           `xml:"CreateDate"`
	Trust    string           `xml:"AssumeRolePolicyDocument"`
	Profiles []xmlProfile     `xml:"InstanceProfileList>member"`
	Inline   []xmlInline      `xml:"RolePolicyList>member"`
	Attached []attachedPolicy `xml:"AttachedManagedPolicies>member"`
	Boundary *xmlBoundary     `xml:"PermissionsBoundary"`
	Tags     []tag            `xml:"Tags>member"`
	LastUsed *xmlLastUsed     `xml:"RoleLastUsed"`
}

type xmlPolicyDetail struct {
	xmlPolicy
	Versions []xmlVersion `xml:"PolicyVersionList>member"`
}

// accountDetail is one entry of the answer, in the list that it belongs to.
type accountDetail struct {
	user   *xmlUserDetail
	group  *xmlGroupDetail
	role   *xmlRoleDetail
	policy *xmlPolicyDetail
}

func (s *iamStore) inlineXML(e *iamEntity) []xmlInline {
	var out []xmlInline
	for _, name := range sortedKeys(e.inline) {
		out = append(out, xmlInline{name, encodeDocument(e.inline[name].text)})
	}
	return out
}

func (s *iamStore) attachedXML(e *iamEntity) []attachedPolicy {
	var out []attachedPolicy
	for _, arn := range e.attached {
		out = append(out, attachedPolicy{Name: arn[strings.LastIndexByte(arn, '/')+1:], ARN: arn})
	}
	return out
}

// accountDetails is a snapshot of users, groups, roles and managed policies, a page at a time over all of them: MaxItems and
// Marker count entries of any kind. Documents are URL-encoded; of managed policies all versions come with theirs. Filter
// keeps some kinds (IAM API reference, GetAccountAuthorizationDetails). Which of AWS's own policies come is not documented:
// here those that are in use, as in the reference's example, so whoever calls has to look for others by themselves.
func accountDetails(s *iamStore, f url.Values) (any, error) {
	filter := formList(f, "Filter")
	kinds := []string{"User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy"}
	for _, kind := range filter {
		if !slices.Contains(kinds, kind) {
			return nil, validationError("1 validation error detected: Value '[%s]' at 'filter' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [Role, AWSManagedPolicy, User, LocalManagedPolicy, Group]]", strings.Join(filter, ", "))
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := map[string][]accountDetail{}
	for _, name := range sortedKeys(s.users) {
		u := s.users[name]
		d := &xmlUserDetail{xmlUser: u.xml(true), Inline: s.inlineXML(u), Attached: s.attachedXML(u)}
		for _, g := range s.groupsOf(name) {
			d.Groups = append(d.Groups, g.name)
		}
		all["User"] = append(all["User"], accountDetail{user: d})
	}
	for _, name := range sortedKeys(s.groups) {
		g := s.groups[name]
		all["Group"] = append(all["Group"], accountDetail{group: &xmlGroupDetail{g.xml(), s.inlineXML(&g.iamEntity), s.attachedXML(&g.iamEntity)}})
	}
	for _, name := range sortedKeys(s.roles) {
		all["Role"] = append(all["Role"], accountDetail{role: s.roleDetail(s.roles[name])})
	}
	add := func(kind string, policies map[string]*managedPolicy, used bool) {
		for _, arn := range sortedKeys(policies) {
			p := policies[arn]
			d := &xmlPolicyDetail{xmlPolicy: s.policyXML(p, false)}
			if used && d.Attachments+d.Boundaries == 0 {
				continue
			}
			for i := len(p.versions) - 1; i >= 0; i-- {
				d.Versions = append(d.Versions, p.versionXML(p.versions[i], true))
			}
			all[kind] = append(all[kind], accountDetail{policy: d})
		}
	}
	add("LocalManagedPolicy", s.policies, false)
	add("AWSManagedPolicy", loadAWSManaged(), true)
	var chosen []accountDetail
	for _, kind := range kinds {
		if len(filter) == 0 || slices.Contains(filter, kind) {
			chosen = append(chosen, all[kind]...)
		}
	}
	items, p, err := paged(f, chosen)
	out := struct {
		Users    []*xmlUserDetail   `xml:"UserDetailList>member"`
		Groups   []*xmlGroupDetail  `xml:"GroupDetailList>member"`
		Roles    []*xmlRoleDetail   `xml:"RoleDetailList>member"`
		Policies []*xmlPolicyDetail `xml:"Policies>member"`
		xmlPage
	}{xmlPage: p}
	for _, d := range items {
		switch {
		case d.user != nil:
			out.Users = append(out.Users, d.user)
		case d.group != nil:
			out.Groups = append(out.Groups, d.group)
		case d.role != nil:
			out.Roles = append(out.Roles, d.role)
		default:
			out.Policies = append(out.Policies, d.policy)
		}
	}
	return out, err
}

func (s *iamStore) roleDetail(r *iamRole) *xmlRoleDetail {
	x := r.xml(true)
	d := &xmlRoleDetail{Path: x.Path, Name: x.Name, ID: x.ID, ARN: x.ARN, Created: x.Created, Trust: x.Trust, Inline: s.inlineXML(&r.iamEntity),
		Attached: s.attachedXML(&r.iamEntity), Boundary: x.Boundary, Tags: x.Tags, LastUsed: x.LastUsed}
	for _, name := range sortedKeys(s.profiles) {
		if p := s.profiles[name]; p.role == r.name {
			d.Profiles = append(d.Profiles, s.profileXML(p, false))
		}
	}
	return d
}
