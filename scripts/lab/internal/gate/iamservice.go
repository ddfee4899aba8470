package gate

import (
	"net/http"
	"net/url"
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
)

// iamService is IAM's query API (version 2010-05-08).
type iamService struct {
	g     *Gate
	store *iamStore
}

// iamAction is one operation: the ARN that it needs permission for, and what it does. do returns the result's struct,
// nil for operations without one.
type iamAction struct {
	resource func(s *iamStore, f url.Values) string
	do       func(s *iamStore, f url.Values) (any, error)
}

// iamActions has the operations by name; a name that is not here is NotImplemented.
var iamActions = map[string]iamAction{}

func registerIAM(resource func(*iamStore, url.Values) string, actions map[string]func(*iamStore, url.Values) (any, error)) {
	for name, do := range actions {
		iamActions[name] = iamAction{resource: resource, do: do}
	}
}

// Name is iam.
func (s *iamService) Name() string { return "iam" }

// Protocol is query.
func (s *iamService) Protocol() Protocol { return ProtocolQuery }

// Requirements asks for iam:<Action> on the entity of the call, and for iam:PassRole where a role is handed on.
func (s *iamService) Requirements(c *Call) ([]policy.Request, error) {
	action, ok := iamActions[c.Action]
	if !ok {
		return nil, NotImplemented("iam:" + c.Action)
	}
	if callerActions[c.Action] && c.Form.Get("UserName") == "" && c.Principal.UserName != "" {
		c.Form.Set("UserName", c.Principal.UserName)
	}
	context := map[string][]string{}
	if arn := c.Form.Get("PolicyArn"); arn != "" && (strings.HasPrefix(c.Action, "Attach") || strings.HasPrefix(c.Action, "Detach")) {
		context["iam:PolicyARN"] = []string{arn}
	}
	if arn := c.Form.Get("PermissionsBoundary"); arn != "" {
		context["iam:PermissionsBoundary"] = []string{arn}
	}
	for _, t := range formTags(c.Form) {
		context["aws:RequestTag/"+t.Key] = []string{t.Value}
		context["aws:TagKeys"] = append(context["aws:TagKeys"], t.Key)
	}
	requests := []policy.Request{{Action: "iam:" + c.Action, Resource: action.resource(s.store, c.Form), Context: context}}
	if c.Action == "AddRoleToInstanceProfile" {
		requests = append(requests, policy.Request{Action: "iam:PassRole", Resource: roleResource(s.store, c.Form),
			Context: map[string][]string{"iam:PassedToService": {"ec2.amazonaws.com"}}})
	}
	// Tags at creation need the permission to tag
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html).
	if kind, creates := strings.CutPrefix(c.Action, "Create"); creates && len(context["aws:TagKeys"]) > 0 {
		requests = append(requests, policy.Request{Action: "iam:Tag" + kind, Resource: requests[0].Resource, Context: context})
	}
	return requests, nil
}

// callerActions are about the calling user where they name none.
var callerActions = map[string]bool{"GetUser": true, "ListAccessKeys": true, "CreateAccessKey": true, "DeleteAccessKey": true, "UpdateAccessKey": true}

// Serve runs the operation.
func (s *iamService) Serve(w http.ResponseWriter, c *Call) {
	result, err := iamActions[c.Action].do(s.store, c.Form)
	if err != nil {
		WriteError(w, c, err)
		return
	}
	WriteQuery(w, c, iamNamespace, result)
}

// Inventory lists what was made in IAM, without the admin user and AWS-managed policies.
func (s *iamService) Inventory() map[string][]string { return s.store.inventory() }

// Resources of requirements.

func anyResource(*iamStore, url.Values) string { return "*" }

func roleResource(s *iamStore, f url.Values) string {
	return s.resource(asRole, "role", f.Get("RoleName"), f)
}

func userResource(s *iamStore, f url.Values) string {
	return s.resource(asUser, "user", f.Get("UserName"), f)
}

func groupResource(s *iamStore, f url.Values) string {
	return s.resource(asGroup, "group", f.Get("GroupName"), f)
}

// resource is the ARN of an entity that is there, or of one that is to be made.
func (s *iamStore) resource(find finder, kind, name string, f url.Values) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e, err := find(s, f); err == nil {
		return e.arn
	}
	return s.arn(kind, orText(f.Get("Path"), "/"), name)
}

func policyResource(s *iamStore, f url.Values) string {
	if arn := f.Get("PolicyArn"); arn != "" {
		return arn
	}
	return s.arn("policy", orText(f.Get("Path"), "/"), f.Get("PolicyName"))
}

func profileResource(s *iamStore, f url.Values) string {
	name := f.Get("InstanceProfileName")
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p, ok := s.profiles[name]; ok {
		return p.arn
	}
	return s.arn("instance-profile", orText(f.Get("Path"), "/"), name)
}

func providerResource(s *iamStore, f url.Values) string {
	if arn := f.Get("OpenIDConnectProviderArn"); arn != "" {
		return arn
	}
	return s.arn("oidc-provider", "/", strings.TrimPrefix(f.Get("Url"), "https://"))
}
