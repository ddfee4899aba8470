package cloudcontrol

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/typeschema"
)

// resourceType is a type: its schema, and what its handlers do in the name of whoever called Cloud Control.
type resourceType struct {
	schema string
	// check refuses what a valid state has and the lab does not, and looks up what the handlers look up. Nil where there is
	// nothing.
	check, lookUp func(h *handler, m typeschema.Model) error
	create        func(h *handler, m typeschema.Model) (id string, err error)
	read          func(h *handler, id string) (m typeschema.Model, arn string, err error)
	// update is given the whole state, and leaves tags alone.
	update func(h *handler, id string, desired typeschema.Model) error
	delete func(h *handler, id string) error
}

var types = map[string]*resourceType{profileName: profileType, "AWS::RolesAnywhere::CRL": crlType}

const profileName = "AWS::RolesAnywhere::Profile"

// profileSchema is pulumi/pulumi-aws-native aws-cloudformation-schema/aws-rolesanywhere-profile.json, with the
// two properties that CloudFormation's reference has beside
// (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rolesanywhere-profile.html).
//
//go:embed profile.json
var profileSchema string

// profileType makes the calls of aws-cloudformation/aws-cloudformation-resource-providers-rolesanywhere
// (aws-rolesanywhere-profile: CreateHandler.java, UpdateHandler.java and so on), and looks up roles and policies, for which the
// schema's handlers list permissions too.
var profileType = &resourceType{
	schema: profileSchema,
	check: func(_ *handler, m typeschema.Model) error {
		if _, set := m["AttributeMappings"]; set {
			return gate.NotImplemented("AttributeMappings of " + profileName)
		}
		return nil
	},
	lookUp: (*handler).lookUp,
	create: (*handler).createProfile,
	read:   (*handler).readProfile,
	update: func(h *handler, id string, desired typeschema.Model) error {
		at := "/profile/" + url.PathEscape(id)
		if _, err := h.profile(http.MethodPost, at+verb(desired["Enabled"]), nil); err != nil {
			return err
		}
		_, err := h.profile(http.MethodPatch, at, bodyOf(desired))
		return err
	},
	delete: func(h *handler, id string) error {
		_, err := h.profile(http.MethodDelete, "/profile/"+url.PathEscape(id), nil)
		return err
	},
}

var typePattern = regexp.MustCompile(`^[A-Za-z0-9]{2,64}::[A-Za-z0-9]{2,64}::[A-Za-z0-9]{2,64}(::MODULE)?$`)

// checkType refuses what is no type, and tells a type that the lab does not have from one that nobody has by its vendor.
func checkType(name string) error {
	switch {
	case !typePattern.MatchString(name):
		return validation("1 validation error detected: Value '%s' at 'typeName' failed to satisfy constraint: Member must satisfy regular expression pattern: [A-Za-z0-9]{2,64}::[A-Za-z0-9]{2,64}::[A-Za-z0-9]{2,64}", name)
	case types[name] != nil:
		return nil
	case strings.HasPrefix(name, "AWS::"):
		return gate.NotImplemented("resource type " + name)
	}
	return gate.Errorf(http.StatusBadRequest, "TypeNotFoundException", "The type '%s' cannot be found.", name)
}

// handler runs a type's handlers for a call.
type handler struct {
	g *gate.Gate
	c *gate.Call
	t *resourceType
}

func (h *handler) valid(m typeschema.Model) error {
	s, err := typeschema.Parse(h.t.schema)
	if err != nil {
		return err
	}
	if err := s.Validate(m); err != nil {
		return gate.Errorf(http.StatusBadRequest, "InvalidRequest", "%v", err)
	}
	for _, name := range s.ReadOnly {
		if _, set := m[path.Base(name)]; set {
			return gate.Errorf(http.StatusBadRequest, "InvalidRequest", "Encountered unsupported property %s", path.Base(name))
		}
	}
	if h.t.check != nil {
		return h.t.check(h, m)
	}
	return nil
}

type profile struct {
	ID                    string   `json:"profileId"`
	ARN                   string   `json:"profileArn"`
	Name                  string   `json:"name"`
	Enabled               bool     `json:"enabled"`
	RoleARNs              []string `json:"roleArns"`
	ManagedPolicyARNs     []string `json:"managedPolicyArns"`
	SessionPolicy         string   `json:"sessionPolicy"`
	DurationSeconds       int      `json:"durationSeconds"`
	AcceptRoleSessionName bool     `json:"acceptRoleSessionName"`
	InstanceProperties    bool     `json:"requireInstanceProperties"`
}

func (h *handler) createProfile(m typeschema.Model) (string, error) {
	if err := h.lookUp(m); err != nil {
		return "", err
	}
	body := bodyOf(m)
	if v, ok := m["RequireInstanceProperties"]; ok {
		body["requireInstanceProperties"] = v
	}
	if v, ok := m["Enabled"]; ok {
		body["enabled"] = v
	}
	if tags := tagsOf(m); len(tags) > 0 {
		body["tags"] = tags
	}
	p, err := h.profile(http.MethodPost, "/profiles", body)
	if err != nil {
		return "", err
	}
	_, err = h.tags(p.ARN)
	return p.ID, err
}

// members are the properties that creating and changing a profile both take, and the API's names of them.
var members = map[string]string{
	"Name": "name", "RoleArns": "roleArns", "ManagedPolicyArns": "managedPolicyArns", "SessionPolicy": "sessionPolicy",
	"DurationSeconds": "durationSeconds", "AcceptRoleSessionName": "acceptRoleSessionName",
}

func bodyOf(m typeschema.Model) map[string]any {
	body := map[string]any{}
	for name, key := range members {
		if v, ok := m[name]; ok {
			body[key] = v
		}
	}
	return body
}

func (h *handler) readProfile(id string) (typeschema.Model, string, error) {
	p, err := h.profile(http.MethodGet, "/profile/"+url.PathEscape(id), nil)
	if err != nil {
		return nil, "", err
	}
	tags, err := h.tags(p.ARN)
	if err != nil {
		return nil, "", err
	}
	m := typeschema.Model{"ProfileId": p.ID, "ProfileArn": p.ARN, "Name": p.Name, "Enabled": p.Enabled, "RoleArns": anyList(p.RoleARNs),
		"DurationSeconds": float64(p.DurationSeconds), "AcceptRoleSessionName": p.AcceptRoleSessionName,
		"RequireInstanceProperties": p.InstanceProperties, "ManagedPolicyArns": anyList(p.ManagedPolicyARNs)}
	if p.SessionPolicy != "" {
		m["SessionPolicy"] = p.SessionPolicy
	}
	m["Tags"] = tagList(tags)
	return m, p.ARN, nil
}

// tagList are tags as a state has them.
func tagList(tags []tag) []any {
	list := []any{}
	for _, t := range tags {
		list = append(list, map[string]any{"Key": t.Key, "Value": t.Value})
	}
	return list
}

// verb is the path by which an object of Roles Anywhere is switched on or off.
func verb(on any) string {
	if on == true {
		return "/enable"
	}
	return "/disable"
}

func anyList(list []string) []any {
	out := []any{}
	for _, e := range list {
		out = append(out, e)
	}
	return out
}

// change applies a patch to what is there, and hands the whole to the handler
// (https://docs.aws.amazon.com/cloudcontrolapi/latest/userguide/resource-operations-update.html#resource-operations-update-details).
func (h *handler) change(id string, patch []typeschema.Operation) error {
	s, err := typeschema.Parse(h.t.schema)
	if err != nil {
		return err
	}
	was, arn, err := h.t.read(h, id)
	if err != nil {
		return err
	}
	for _, o := range patch {
		switch {
		case !slices.Contains([]string{"add", "remove", "replace"}, o.Op):
			return gate.NotImplemented("patch operation " + o.Op)
		case typeschema.Listed(s.CreateOnly, o.Path), typeschema.Listed(s.ReadOnly, o.Path):
			return gate.Errorf(http.StatusBadRequest, "NotUpdatable", "Invalid patch update: %s cannot be changed", o.Path)
		}
	}
	is, err := typeschema.Patch(was, patch)
	if err != nil {
		return gate.Errorf(http.StatusBadRequest, "InvalidRequest", "Invalid patch: %v", err)
	}
	desired := typeschema.Model{}
	for name, v := range is {
		if !typeschema.Listed(s.ReadOnly, "/"+name) {
			desired[name] = v
		}
	}
	if err := h.valid(desired); err != nil {
		return err
	}
	if h.t.lookUp != nil {
		if err := h.t.lookUp(h, desired); err != nil {
			return err
		}
	}
	if err := h.t.update(h, id, desired); err != nil {
		return err
	}
	return h.retag(arn, tagsOf(was), tagsOf(desired))
}

// retag adds and takes off tags, where they differ.
func (h *handler) retag(arn string, have, want []tag) error {
	var gone []string
	for _, t := range have {
		if !slices.ContainsFunc(want, func(o tag) bool { return o.Key == t.Key }) {
			gone = append(gone, t.Key)
		}
	}
	set := slices.DeleteFunc(slices.Clone(want), func(t tag) bool { return slices.Contains(have, t) })
	if len(gone) > 0 {
		if err := h.ask(http.MethodPost, "/UntagResource", map[string]any{"resourceArn": arn, "tagKeys": gone}, nil); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		if err := h.ask(http.MethodPost, "/TagResource", map[string]any{"resourceArn": arn, "tags": set}, nil); err != nil {
			return err
		}
	}
	_, err := h.tags(arn)
	return err
}

func (h *handler) profile(method, target string, body any) (*profile, error) {
	var out struct{ Profile profile }
	err := h.ask(method, target, body, &out)
	return &out.Profile, err
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (h *handler) tags(arn string) ([]tag, error) {
	var out struct{ Tags []tag }
	err := h.ask(http.MethodGet, "/ListTagsForResource?resourceArn="+url.QueryEscape(arn), nil, &out)
	return out.Tags, err
}

// tagsOf are a valid model's tags.
func tagsOf(m typeschema.Model) []tag {
	var out []tag
	list, _ := m["Tags"].([]any)
	for _, e := range list {
		t := e.(map[string]any)
		out = append(out, tag{t["Key"].(string), t["Value"].(string)})
	}
	return out
}

// lookUp asks IAM for each role and policy of a profile.
func (h *handler) lookUp(m typeschema.Model) error {
	roles, _ := m["RoleArns"].([]any)
	for _, arn := range roles {
		if err := h.iam(url.Values{"Action": {"GetRole"}, "RoleName": {path.Base(arn.(string))}}); err != nil {
			return err
		}
	}
	policies, _ := m["ManagedPolicyArns"].([]any)
	for _, arn := range policies {
		if err := h.iam(url.Values{"Action": {"GetPolicy"}, "PolicyArn": {arn.(string)}}); err != nil {
			return err
		}
	}
	return nil
}

func (h *handler) iam(form url.Values) error {
	form.Set("Version", "2010-05-08")
	body := []byte(form.Encode())
	r := h.request(http.MethodPost, "iam."+gate.DNSSuffix, "/", body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return h.send("iam", "us-east-1", r, body, nil)
}

// ask calls Roles Anywhere.
func (h *handler) ask(method, target string, body, into any) error {
	var text []byte
	if body != nil {
		text = []byte(marshal(body))
	}
	return h.send("rolesanywhere", h.c.Region, h.request(method, "rolesanywhere."+h.c.Region+"."+gate.DNSSuffix, target, text), text, into)
}

func (h *handler) request(method, host, target string, body []byte) *http.Request {
	r, err := http.NewRequestWithContext(h.c.R.Context(), method, "https://"+host+target, bytes.NewReader(body))
	if err != nil {
		panic("cloudcontrol: " + err.Error()) // method and host are the package's own, and the rest is escaped
	}
	r.Header.Set("User-Agent", "cloudformation."+gate.DNSSuffix)
	return r
}

// send makes a call in the caller's name, and reads a JSON answer.
func (h *handler) send(service, region string, r *http.Request, body []byte, into any) error {
	call := &gate.Call{Service: service, Region: region, Principal: h.c.Principal, R: r, Body: body, Source: h.c.Source}
	w := &answer{header: http.Header{}}
	h.g.Dispatch(w, call)
	if e := call.Failure(); e != nil {
		return &gate.Error{Code: e.Code, Status: e.Status, Message: fmt.Sprintf("%s (Service: %s, Status Code: %d, Request ID: %s)",
			e.Message, map[string]string{"iam": "Iam", "rolesanywhere": "RolesAnywhere"}[service], e.Status, call.RequestID)}
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(&w.body).Decode(into); err != nil && err != io.EOF {
		return err
	}
	return nil
}

// answer keeps an answer of the gate.
type answer struct {
	header http.Header
	body   bytes.Buffer
}

// Header returns the answer's headers.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader forgets the status: the call tells of failures.
func (a *answer) WriteHeader(int) {}

// Write keeps a part of the body.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
