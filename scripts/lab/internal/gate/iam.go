package gate

import (
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"k3s-aws-auth/scripts/internal/policy"
)

const iamNamespace = "https://iam.amazonaws.com/doc/2010-05-08/"

// iamStore is the state of IAM. Objects in it are changed under mu only; what leaves it is copied.
type iamStore struct {
	g  *Gate
	mu sync.RWMutex

	users     map[string]*iamEntity
	groups    map[string]*iamGroup
	roles     map[string]*iamRole
	policies  map[string]*managedPolicy // by ARN; AWS-managed ones are in awsManaged
	profiles  map[string]*instanceProfile
	providers map[string]*oidcProvider // by ARN
	keys      map[string]*accessKey
}

// iamEntity is what users, groups and roles have in common.
type iamEntity struct {
	name, path, id, arn string
	created             time.Time
	inline              map[string]*policyText
	attached            []string // policy ARNs
	boundary            string   // policy ARN
	tags                tagSet
}

type iamRole struct {
	iamEntity
	description string
	trust       *policyText
	maxSession  int // seconds
	lastUsed    time.Time
	lastRegion  string
}

type policyText struct {
	text string
	doc  *policy.Document
}

type managedPolicy struct {
	name, path, id, arn, description string
	created, updated                 time.Time
	versions                         []*policyVersion // oldest first
	defaultVersion                   string
	nextVersion                      int
	tags                             tagSet
}

type policyVersion struct {
	id      string
	created time.Time
	policyText
}

type instanceProfile struct {
	name, path, id, arn string
	created             time.Time
	role                string
	tags                tagSet
}

type oidcProvider struct {
	url         string // without https://
	arn         string
	created     time.Time
	clientIDs   []string
	thumbprints []string
	tags        tagSet
}

type accessKey struct {
	id, secret, user string
	created          time.Time
	active           bool
}

func newIAMStore(g *Gate) *iamStore {
	return &iamStore{g: g, users: map[string]*iamEntity{}, groups: map[string]*iamGroup{}, roles: map[string]*iamRole{}, policies: map[string]*managedPolicy{},
		profiles: map[string]*instanceProfile{}, providers: map[string]*oidcProvider{}, keys: map[string]*accessKey{}}
}

// tagSet keeps tags in the order in which they were first set.
type tagSet []tag

type tag struct {
	Key   string `xml:"Key" json:"key"`
	Value string `xml:"Value" json:"value"`
}

func (t *tagSet) set(tags []tag) {
next:
	for _, n := range tags {
		for i := range *t {
			if strings.EqualFold((*t)[i].Key, n.Key) {
				(*t)[i] = n
				continue next
			}
		}
		*t = append(*t, n)
	}
}

func (t *tagSet) remove(keys []string) {
	kept := make(tagSet, 0, len(*t))
next:
	for _, have := range *t {
		for _, k := range keys {
			if strings.EqualFold(have.Key, k) {
				continue next
			}
		}
		kept = append(kept, have)
	}
	*t = kept
}

func (t tagSet) clone() tagSet { return append(tagSet(nil), t...) }

func (t tagSet) asMap() map[string]string {
	out := make(map[string]string, len(t))
	for _, v := range t {
		out[v.Key] = v.Value
	}
	return out
}

// Errors of IAM by kind.

func noSuchEntity(format string, args ...any) *Error {
	return Errorf(http.StatusNotFound, "NoSuchEntity", format, args...)
}

func alreadyExists(format string, args ...any) *Error {
	return Errorf(http.StatusConflict, "EntityAlreadyExists", format, args...)
}

func deleteConflict(format string, args ...any) *Error {
	return Errorf(http.StatusConflict, "DeleteConflict", format, args...)
}

func limitExceeded(format string, args ...any) *Error {
	return Errorf(http.StatusConflict, "LimitExceeded", format, args...)
}

func validationError(format string, args ...any) *Error {
	return Errorf(http.StatusBadRequest, "ValidationError", format, args...)
}

func invalidInput(format string, args ...any) *Error {
	return Errorf(http.StatusBadRequest, "InvalidInput", format, args...)
}

func malformedPolicy(err error) *Error {
	return &Error{Code: "MalformedPolicyDocument", Message: err.Error(), Status: http.StatusBadRequest}
}

// role finds a role; the caller holds mu.
func (s *iamStore) role(name string) (*iamRole, error) {
	if r, ok := s.roles[name]; ok {
		return r, nil
	}
	return nil, noSuchEntity("The role with name %s cannot be found.", name)
}

// user finds a user; the caller holds mu.
func (s *iamStore) user(name string) (*iamEntity, error) {
	if u, ok := s.users[name]; ok {
		return u, nil
	}
	return nil, noSuchEntity("The user with name %s cannot be found.", name)
}

func (s *iamStore) profile(name string) (*instanceProfile, error) {
	if p, ok := s.profiles[name]; ok {
		return p, nil
	}
	return nil, noSuchEntity("Instance Profile %s cannot be found.", name)
}

func (s *iamStore) provider(arn string) (*oidcProvider, error) {
	if p, ok := s.providers[arn]; ok {
		return p, nil
	}
	return nil, noSuchEntity("OpenIDConnect Provider not found for arn %s", arn)
}

// managed finds a customer-managed or an AWS-managed policy; the caller holds mu.
func (s *iamStore) managed(arn string) (*managedPolicy, error) {
	if p, ok := s.policies[arn]; ok {
		return p, nil
	}
	if p, ok := awsManaged(arn); ok {
		return p, nil
	}
	if strings.HasPrefix(arn, "arn:"+Partition+":iam::aws:policy/") {
		s.g.logf("iam: AWS-managed policy %s is not in the lab's table, which has: %s", arn, strings.Join(awsManagedNames(), ", "))
	}
	return nil, noSuchEntity("Policy %s was not found.", arn)
}

func (p *managedPolicy) version(id string) (*policyVersion, error) {
	for _, v := range p.versions {
		if v.id == id {
			return v, nil
		}
	}
	return nil, noSuchEntity("Policy %s version %s does not exist or is not attachable.", p.arn, id)
}

// document of the default version.
func (p *managedPolicy) document() *policy.Document {
	v, err := p.version(p.defaultVersion)
	if err != nil {
		return nil
	}
	return labelled(v.doc, "managed policy "+p.arn)
}

// labelled is a copy of a document with a source for notes.
func labelled(d *policy.Document, source string) *policy.Document {
	out := *d
	out.Source = source
	return &out
}

// documents collects the identity policies and the boundary of an entity; the caller holds mu.
func (s *iamStore) documents(e *iamEntity, kind string) (identity, boundary []*policy.Document) {
	for _, name := range sortedKeys(e.inline) {
		identity = append(identity, labelled(e.inline[name].doc, "inline policy "+name+" of "+kind+" "+e.name))
	}
	for _, arn := range e.attached {
		if p, err := s.managed(arn); err == nil {
			if d := p.document(); d != nil {
				identity = append(identity, d)
			}
		}
	}
	if e.boundary != "" {
		boundary = []*policy.Document{}
		if p, err := s.managed(e.boundary); err == nil {
			if d := p.document(); d != nil {
				boundary = append(boundary, d)
			}
		}
	}
	return identity, boundary
}

// policiesOf returns the identity policies, those of groups among them, and the permissions boundary (nil for none) of a user
// or a session's role.
func (s *iamStore) policiesOf(p *Principal) (identity, boundary []*policy.Document) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch p.Type {
	case TypeUser:
		if u, ok := s.users[p.UserName]; ok {
			identity, boundary = s.documents(u, "user")
			for _, g := range s.groupsOf(u.name) {
				more, _ := s.documents(&g.iamEntity, "group")
				identity = append(identity, more...)
			}
			return identity, boundary
		}
	case TypeAssumedRole:
		if r, ok := s.roles[p.RoleName]; ok && r.arn == p.RoleARN {
			return s.documents(&r.iamEntity, "role")
		}
	}
	return nil, nil
}

// roleView is a copy of what sessions need of a role.
type roleView struct {
	name, arn, id string
	maxSession    int
	trust         *policy.Document
	tags          map[string]string
}

func (r *iamRole) view() roleView {
	return roleView{name: r.name, arn: r.arn, id: r.id, maxSession: r.maxSession,
		trust: labelled(r.trust.doc, "trust policy of role "+r.name), tags: r.tags.asMap()}
}

// roleByARN finds a role of the account by its ARN.
func (s *iamStore) roleByARN(arn string) (roleView, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.roles[arn[strings.LastIndexByte(arn, '/')+1:]]
	if !ok || r.arn != arn {
		return roleView{}, false
	}
	return r.view(), true
}

// roleExists tells whether a session's role is still the one that it was made from.
func (s *iamStore) roleExists(name, id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.roles[name]
	return ok && r.id == id
}

// used notes the last use of a role.
func (s *iamStore) used(name, region string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.roles[name]; ok {
		r.lastUsed, r.lastRegion = s.g.Now(), region
	}
}

// InstanceProfileRole returns the role in an instance profile given by name or ARN. ok is false where the profile does
// not exist; roleARN is empty where it holds no role.
func (g *Gate) InstanceProfileRole(profile string) (profileARN, profileID, roleARN string, ok bool) {
	s := g.iam
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, found := s.profiles[profile[strings.LastIndexByte(profile, '/')+1:]]
	if !found || strings.HasPrefix(profile, "arn:") && p.arn != profile {
		return "", "", "", false
	}
	if r, ok := s.roles[p.role]; ok {
		roleARN = r.arn
	}
	return p.arn, p.id, roleARN, true
}

// Admin returns the access key of the admin user, with which an account begins.
func (g *Gate) Admin() (accessKeyID, secretAccessKey string) {
	g.iam.mu.RLock()
	defer g.iam.mu.RUnlock()
	for _, k := range g.iam.keys {
		if k.user == adminUser {
			return k.id, k.secret
		}
	}
	return "", ""
}

const (
	adminUser   = "admin"
	adminPolicy = "arn:" + Partition + ":iam::aws:policy/AdministratorAccess"
)

// bootstrap makes the admin user.
func (s *iamStore) bootstrap() {
	s.users[adminUser] = &iamEntity{name: adminUser, path: "/", id: newID("AIDA"), arn: s.arn("user", "/", adminUser),
		created: s.g.Now(), inline: map[string]*policyText{}, attached: []string{adminPolicy}}
	k := s.newKey(adminUser)
	s.keys[k.id] = k
}

func (s *iamStore) newKey(user string) *accessKey {
	return &accessKey{id: newID("AKIA"), secret: newSecret(), user: user, created: s.g.Now(), active: true}
}

// arn makes the ARN of a resource with a path.
func (s *iamStore) arn(kind, path, name string) string { return s.g.ARN("iam", "", kind+path+name) }

// Checks of input.

var (
	namePattern = regexp.MustCompile(`^[\w+=,.@-]+$`)
	pathPattern = regexp.MustCompile(`^/([!-~]+/)?$`)
)

func checkName(field, value string, limit int) error {
	if value == "" {
		return validationError("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", field)
	}
	if len(value) > limit {
		return validationError("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", value, field, limit)
	}
	if !namePattern.MatchString(value) {
		return validationError("The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-", field)
	}
	return nil
}

func checkPath(path string) (string, error) {
	if path == "" {
		return "/", nil
	}
	if !pathPattern.MatchString(path) || len(path) > 512 {
		return "", validationError("The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return path, nil
}

func checkTags(have tagSet, add []tag) error {
	seen := map[string]bool{}
	for _, t := range add {
		k := strings.ToLower(t.Key)
		switch {
		case t.Key == "" || len(t.Key) > 128 || len(t.Value) > 256:
			return validationError("1 validation error detected: Value at 'tags' failed to satisfy constraint: keys have 1 to 128, values up to 256 characters")
		case strings.HasPrefix(k, "aws:"):
			return invalidInput("User tags can not start with \"aws:\"")
		case seen[k]:
			return invalidInput("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[k] = true
	}
	all := have.clone()
	all.set(add)
	if len(all) > 50 {
		return limitExceeded("The number of tags has reached the maximum limit.")
	}
	return nil
}

// size counts a document as the quotas do: without white space.
func size(document string) int {
	n := 0
	for _, r := range document {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// parsePolicy reads and validates a document of a request.
func parsePolicy(document string, kind policy.Kind) (*policyText, error) {
	doc, err := policy.Parse([]byte(document))
	if err != nil {
		return nil, Errorf(http.StatusBadRequest, "MalformedPolicyDocument", "Syntax errors in policy. (%s)", strings.TrimPrefix(err.Error(), policy.ErrSyntax.Error()+": "))
	}
	if err := doc.Validate(kind); err != nil {
		return nil, malformedPolicy(err)
	}
	return &policyText{text: document, doc: doc}, nil
}

// parseTrust also checks the principals of a trust policy: users and roles of this account have to exist.
func (s *iamStore) parseTrust(document string) (*policyText, error) {
	if size(document) > 2048 {
		return nil, limitExceeded("Cannot exceed quota for ACLSizePerRole: 2048")
	}
	p, err := parsePolicy(document, policy.Trust)
	if err != nil {
		return nil, err
	}
	for _, st := range p.doc.Statements {
		for _, a := range append(append([]string(nil), st.Actions...), st.NotActions...) {
			if a != "*" && !strings.HasPrefix(strings.ToLower(a), "sts:") {
				return nil, Errorf(http.StatusBadRequest, "MalformedPolicyDocument", "AssumeRole policy may only specify STS AssumeRole actions.")
			}
		}
		for _, e := range []*policy.PrincipalElement{st.Principal, st.NotPrincipal} {
			if e == nil {
				continue
			}
			if err := s.checkPrincipals(e); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

var (
	servicePattern = regexp.MustCompile(`^[a-z0-9.-]+\.amazonaws\.com$`)
	domainPattern  = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`)
)

func (s *iamStore) checkPrincipals(e *policy.PrincipalElement) error {
	invalid := func(kind, value string) error {
		return Errorf(http.StatusBadRequest, "MalformedPolicyDocument", "Invalid principal in policy: %q:%q", kind, value)
	}
	for _, v := range e.AWS {
		if v == "*" || accountPattern.MatchString(v) {
			continue
		}
		parts := strings.SplitN(v, ":", 6)
		if len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" && parts[2] != "sts" || !accountPattern.MatchString(parts[4]) {
			return invalid("AWS", v)
		}
		if parts[4] != s.g.AccountID() || parts[5] == "root" {
			continue
		}
		kind, rest, _ := strings.Cut(parts[5], "/")
		name := rest[strings.LastIndexByte(rest, '/')+1:]
		switch kind {
		case "role":
			if r, ok := s.roles[name]; !ok || r.arn != v {
				return invalid("AWS", v)
			}
		case "user":
			if u, ok := s.users[name]; !ok || u.arn != v {
				return invalid("AWS", v)
			}
		case "assumed-role":
			role, _, _ := strings.Cut(rest, "/")
			if _, ok := s.roles[role]; !ok {
				return invalid("AWS", v)
			}
		default:
			return invalid("AWS", v)
		}
	}
	for _, v := range e.Service {
		if !servicePattern.MatchString(v) {
			return invalid("SERVICE", v)
		}
	}
	for _, v := range e.Federated {
		if !strings.Contains(v, ":oidc-provider/") && !strings.Contains(v, ":saml-provider/") && !domainPattern.MatchString(v) {
			return Errorf(http.StatusBadRequest, "MalformedPolicyDocument", "Federated principals must be valid domain names or SAML metadata ARNs")
		}
	}
	if e.CanonicalUser != nil {
		return invalid("CanonicalUser", strings.Join(e.CanonicalUser, ","))
	}
	return nil
}

// Reading forms.

func formList(f url.Values, prefix string) []string {
	var out []string
	for i := 1; ; i++ {
		name := prefix + ".member." + strconv.Itoa(i)
		if !f.Has(name) {
			return out
		}
		out = append(out, f.Get(name))
	}
}

func formTags(f url.Values) []tag {
	var out []tag
	for i := 1; ; i++ {
		name := "Tags.member." + strconv.Itoa(i)
		if !f.Has(name + ".Key") {
			return out
		}
		out = append(out, tag{Key: f.Get(name + ".Key"), Value: f.Get(name + ".Value")})
	}
}

// page cuts one page out of n sorted items by Marker (an index) and MaxItems.
func page(f url.Values, n int) (from, to int, marker string, err error) {
	limit := 100
	if text := f.Get("MaxItems"); text != "" {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > 1000 {
			return 0, 0, "", validationError("1 validation error detected: Value '%s' at 'maxItems' failed to satisfy constraint: Member must have value between 1 and 1000", text)
		}
	}
	if text := f.Get("Marker"); text != "" {
		from, err = strconv.Atoi(text)
		if err != nil || from < 0 || from > n {
			return 0, 0, "", invalidInput("Invalid Marker.")
		}
	}
	to = min(from+limit, n)
	if to < n {
		marker = strconv.Itoa(to)
	}
	return from, to, marker, nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func encodeDocument(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

// Inventory of IAM: what was made, without the admin user.
func (s *iamStore) inventory() map[string][]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[string][]string{}
	for name := range s.users {
		if name != adminUser {
			out["iam user"] = append(out["iam user"], name)
		}
	}
	for name := range s.groups {
		out["iam group"] = append(out["iam group"], name)
	}
	for name, r := range s.roles {
		if !strings.HasPrefix(r.path, linkedPath) { // which are the services'
			out["iam role"] = append(out["iam role"], name)
		}
	}
	for arn := range s.policies {
		out["iam policy"] = append(out["iam policy"], arn)
	}
	for name := range s.profiles {
		out["iam instance profile"] = append(out["iam instance profile"], name)
	}
	for arn := range s.providers {
		out["iam oidc provider"] = append(out["iam oidc provider"], arn)
	}
	for _, ids := range out {
		sort.Strings(ids)
	}
	return out
}
