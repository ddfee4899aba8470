package gate

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/internal/sigv4"
)

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// stsService is STS's query API (version 2011-06-15): GetCallerIdentity, AssumeRole, AssumeRoleWithWebIdentity,
// GetAccessKeyInfo.
type stsService struct {
	g    *Gate
	keys *jwksCache
}

func newSTS(g *Gate) *stsService { return &stsService{g: g, keys: newJWKSCache()} }

// Name is sts.
func (s *stsService) Name() string { return "sts" }

// Protocol is query.
func (s *stsService) Protocol() Protocol { return ProtocolQuery }

// authenticateCall lets AssumeRoleWithWebIdentity through without looking at a signature: it never has one.
func (s *stsService) authenticateCall(c *Call, _ *sigv4.Signature, _ []byte) (bool, error) { //nolint:unparam // its interface has errors
	return c.Action == "AssumeRoleWithWebIdentity", nil
}

// Requirements is empty: GetCallerIdentity needs no permission, and assuming a role is decided by its trust policy.
func (s *stsService) Requirements(c *Call) ([]policy.Request, error) {
	switch c.Action {
	case "GetCallerIdentity", "AssumeRole", "AssumeRoleWithWebIdentity":
		c.Resource = c.Form.Get("RoleArn")
		return nil, nil
	case "GetAccessKeyInfo":
		return []policy.Request{{Action: "sts:GetAccessKeyInfo", Resource: "*"}}, nil
	}
	return nil, NotImplemented("sts:" + c.Action)
}

// Serve runs the operation.
func (s *stsService) Serve(w http.ResponseWriter, c *Call) {
	var result any
	var err error
	switch c.Action {
	case "GetCallerIdentity":
		result = struct {
			ARN     string `xml:"Arn"`
			UserID  string `xml:"UserId"`
			Account string `xml:"Account"`
		}{c.Principal.ARN, c.Principal.UserID, c.Principal.Account}
	case "GetAccessKeyInfo":
		result = struct{ Account string }{s.g.AccountID()}
	case "AssumeRole":
		result, err = s.assumeRole(c)
	case "AssumeRoleWithWebIdentity":
		result, err = s.assumeRoleWithWebIdentity(c)
	default:
		err = NotImplemented("sts:" + c.Action)
	}
	if err != nil {
		WriteError(w, c, err)
		return
	}
	WriteQuery(w, c, stsNamespace, result)
}

type xmlCredentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string `xml:"SecretAccessKey"`
	SessionToken    string `xml:"SessionToken"`
	Expiration      string `xml:"Expiration"`
}

func (c Credentials) xml() xmlCredentials {
	return xmlCredentials{c.AccessKeyID, c.SecretAccessKey, c.SessionToken, stamp(c.Expiration)}
}

type xmlAssumedRole struct {
	ID  string `xml:"AssumedRoleId"`
	ARN string `xml:"Arn"`
}

var (
	sessionNamePattern = regexp.MustCompile(`^[\w+=,.@-]*$`)
	roleARNPattern     = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:role/.+$`)
)

// sessionInput is what AssumeRole and AssumeRoleWithWebIdentity have in common.
type sessionInput struct {
	roleARN, name string
	seconds       int // 0 where not given
	policies      []*policy.Document
	packed        int // percent of the allowed packed size
}

// maxPacked is the size in characters that STS allows for session policies.
const maxPacked = 2048

func (s *stsService) readInput(f url.Values) (sessionInput, error) {
	in := sessionInput{roleARN: f.Get("RoleArn"), name: f.Get("RoleSessionName")}
	if in.roleARN == "" {
		return in, validationError("1 validation error detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null")
	}
	if len(in.roleARN) < 20 {
		return in, validationError("1 validation error detected: Value '%s' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20", in.roleARN)
	}
	if !roleARNPattern.MatchString(in.roleARN) {
		return in, validationError("%s is invalid", in.roleARN)
	}
	if err := checkSessionName("roleSessionName", in.name); err != nil {
		return in, err
	}
	var err error
	if in.seconds, err = readDuration(f.Get("DurationSeconds")); err != nil {
		return in, err
	}
	total := 0
	if text := f.Get("Policy"); text != "" {
		p, err := parsePolicy(text, policy.Identity)
		if err != nil {
			return in, err
		}
		in.policies = append(in.policies, labelled(p.doc, "session policy"))
		total += len(text)
	}
	arns := formPolicyARNs(f)
	if len(arns) > 10 {
		return in, validationError("1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to 10")
	}
	for _, arn := range arns {
		docs, err := s.g.managedDocument(arn)
		if err != nil {
			return in, err
		}
		in.policies = append(in.policies, docs)
		total += len(arn)
	}
	if total > maxPacked {
		return in, Errorf(http.StatusBadRequest, "PackedPolicyTooLarge", "Packed policy consumes %d%% of allotted space, please use smaller policy.", total*100/maxPacked)
	}
	in.packed = total * 100 / maxPacked
	return in, nil
}

// managedDocument is the default version of a managed policy, as a session policy.
func (g *Gate) managedDocument(arn string) (*policy.Document, error) {
	g.iam.mu.RLock()
	defer g.iam.mu.RUnlock()
	p, err := g.iam.managed(arn)
	if err != nil {
		return nil, Errorf(http.StatusBadRequest, "MalformedPolicyDocument", "PolicyARN %s does not exist or is not attachable.", arn)
	}
	return labelled(p.document(), "session policy "+arn), nil
}

func formPolicyARNs(f url.Values) []string {
	var out []string
	for i := 1; ; i++ {
		name := "PolicyArns.member." + strconv.Itoa(i) + ".arn"
		if !f.Has(name) {
			return out
		}
		out = append(out, f.Get(name))
	}
}

func checkSessionName(field, name string) error {
	var constraint string
	switch {
	case name == "":
		return validationError("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", field)
	case len(name) < 2:
		constraint = "Member must have length greater than or equal to 2"
	case len(name) > 64:
		constraint = "Member must have length less than or equal to 64"
	case !sessionNamePattern.MatchString(name):
		constraint = `Member must satisfy regular expression pattern: [\w+=,.@-]*`
	default:
		return nil
	}
	return validationError("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", name, field, constraint)
}

// readDuration reads DurationSeconds: 900 to 43200, 0 where absent.
func readDuration(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	var constraint string
	switch {
	case err != nil || n < 900:
		constraint = "Member must have value greater than or equal to 900"
	case n > 43200:
		constraint = "Member must have value less than or equal to 43200"
	default:
		return n, nil
	}
	return 0, validationError("1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy constraint: %s", text, constraint)
}

const tooLong = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."

// sessionDuration applies the role's maximum; the default is an hour.
func sessionDuration(seconds int, role roleView) (time.Duration, error) {
	if seconds == 0 {
		seconds = 3600
	}
	if seconds > role.maxSession {
		return 0, validationError(tooLong)
	}
	return time.Duration(seconds) * time.Second, nil
}

// sessionTags are tags passed to a session.
type sessionTags struct {
	tags       map[string]string
	transitive []string
}

func (t sessionTags) check() error {
	if len(t.tags) > 50 {
		return validationError("1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50")
	}
	for _, k := range sortedKeys(t.tags) {
		switch {
		case k == "" || len(k) > 128 || len(t.tags[k]) > 256:
			return validationError("1 validation error detected: Value at 'tags' failed to satisfy constraint: keys have 1 to 128, values up to 256 characters")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return invalidParameter("System tags cannot be added/updated/removed. Tag keys cannot start with aws:.")
		}
	}
	for _, k := range t.transitive {
		if _, ok := t.tags[k]; !ok {
			return invalidParameter("The specified transitive tag key must be included in the requested tags.")
		}
	}
	return nil
}

// invalidParameter is STS's error for tags.
func invalidParameter(message string) *Error {
	return &Error{Code: "InvalidParameterValue", Message: message, Status: http.StatusBadRequest}
}

// context adds the condition keys of session tags.
func (t sessionTags) context(context map[string][]string) {
	for _, k := range sortedKeys(t.tags) {
		context["aws:RequestTag/"+k] = []string{t.tags[k]}
		context["aws:TagKeys"] = append(context["aws:TagKeys"], k)
	}
	if len(t.transitive) > 0 {
		context["sts:TransitiveTagKeys"] = t.transitive
	}
}

// assumeRole decides by the role's trust policy and, where that only names the account, by the caller's own policies.
func (s *stsService) assumeRole(c *Call) (any, error) {
	f := c.Form
	in, err := s.readInput(f)
	if err != nil {
		return nil, err
	}
	caller := c.Principal
	tags := sessionTags{tags: map[string]string{}, transitive: formList(f, "TransitiveTagKeys")}
	for _, t := range formTags(f) {
		tags.tags[t.Key] = t.Value
	}
	if err := tags.check(); err != nil {
		return nil, err
	}
	source := f.Get("SourceIdentity")
	if source != "" {
		if err := checkSessionName("sourceIdentity", source); err != nil {
			return nil, err
		}
	}
	context := map[string][]string{"sts:RoleSessionName": {in.name}}
	if id := f.Get("ExternalId"); id != "" {
		context["sts:ExternalId"] = []string{id}
	}
	tags.context(context)
	if caller.Type == TypeAssumedRole { // transitive tags and the source identity persist
		for _, k := range caller.TransitiveTags {
			if _, ok := tags.tags[k]; ok {
				return nil, invalidParameter("One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
			}
		}
		if caller.SourceIdentity != "" {
			if source != "" && source != caller.SourceIdentity {
				return nil, Errorf(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: sts:SetSourceIdentity on resource: %s", caller.ARN, in.roleARN)
			}
			source = caller.SourceIdentity
		}
	}
	if source != "" {
		context["sts:SourceIdentity"] = []string{source}
	}
	actions := []string{"sts:AssumeRole"}
	if len(tags.tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if source != "" { // also one that the calling session hands on
		actions = append(actions, "sts:SetSourceIdentity")
	}
	role, exists := s.g.iam.roleByARN(in.roleARN)
	for _, action := range actions {
		req := s.g.request(c, policy.Request{Action: action, Resource: in.roleARN, Context: context})
		if exists {
			input := policy.Input{Request: req, Resource: []*policy.Document{role.trust}, ResourceMustAllow: true, Session: caller.SessionPolicies}
			input.Identity, input.Boundary = s.g.iam.policiesOf(caller)
			verdict := policy.Authorize(input)
			if verdict.Allowed() {
				continue
			}
			s.g.explain(c, req, verdict)
		}
		return nil, Errorf(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: %s on resource: %s", caller.ARN, action, in.roleARN)
	}
	duration, err := sessionDuration(in.seconds, role)
	if err != nil {
		return nil, err
	}
	if caller.Type == TypeAssumedRole {
		if in.seconds > 3600 {
			return nil, validationError("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
		}
		for _, k := range caller.TransitiveTags {
			tags.tags[k] = caller.Tags[k]
			tags.transitive = append(tags.transitive, k)
		}
	}
	credentials, p := s.g.newSession(sessionSpec{role: role, name: in.name, duration: duration, sourceIdentity: source, tags: tags.tags,
		transitive: tags.transitive, policies: in.policies, region: c.Region})
	c.issued(p)
	return struct {
		User           xmlAssumedRole `xml:"AssumedRoleUser"`
		Credentials    xmlCredentials `xml:"Credentials"`
		PackedSize     int            `xml:"PackedPolicySize"`
		SourceIdentity string         `xml:"SourceIdentity,omitempty"`
	}{xmlAssumedRole{p.UserID, p.ARN}, credentials.xml(), in.packed, source}, nil
}
