package gate

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
)

// authorize checks every requirement of a call; the first that is not allowed is the error.
func (g *Gate) authorize(c *Call, service Service, requests []policy.Request) *Error {
	for _, req := range requests {
		verdict, err := g.decide(c, service, req)
		if err != nil {
			return AsError(err)
		}
		if !verdict.Allowed() {
			g.explain(c, req, verdict)
			return accessDenied(c, req, verdict)
		}
	}
	return nil
}

// Allowed decides a further requirement while a call is served, for services that learn what is needed only then. A nil
// error means allowed; else it is the error to answer.
func (g *Gate) Allowed(c *Call, req policy.Request) error {
	service, ok := g.Service(c.Service)
	if !ok {
		return NotImplemented("service " + c.Service)
	}
	return g.AllowedBy(c, service, req)
}

// AllowedBy is Allowed for a requirement on a resource of another service than the call's: what a service does there in
// its caller's name.
func (g *Gate) AllowedBy(c *Call, service Service, req policy.Request) error {
	if e := g.authorize(c, service, []policy.Request{req}); e != nil {
		return e
	}
	return nil
}

func (g *Gate) decide(c *Call, service Service, req policy.Request) (policy.Verdict, error) {
	in := policy.Input{Request: g.request(c, req)}
	if owner, ok := service.(ResourcePolicies); ok {
		docs, err := owner.ResourcePolicies(c, in.Request)
		if err != nil {
			return policy.Verdict{}, err
		}
		in.Resource = docs
	}
	if p := c.Principal; p != nil && p.Service == "" {
		in.Identity, in.Boundary = g.iam.policiesOf(p)
		in.Session = p.SessionPolicies
	}
	verdict := policy.Authorize(in)
	if g.options.Decided != nil {
		g.options.Decided(in.Request, verdict)
	}
	return verdict, nil
}

// request completes a requirement with the caller and the global condition keys.
func (g *Gate) request(c *Call, req policy.Request) policy.Request {
	context := g.globalContext(c)
	for k, v := range req.Context {
		setKey(context, k, v)
	}
	req.Context = context
	if req.Principal == nil {
		req.Principal = c.Principal.policyPrincipal()
	}
	return req
}

// setKey sets a condition key, replacing one that differs in case only.
func setKey(context map[string][]string, key string, values []string) {
	for k := range context {
		if k != key && strings.EqualFold(k, key) {
			delete(context, k)
		}
	}
	context[key] = values
}

// globalContext has the condition keys that are there for every service ("AWS global condition context keys").
func (g *Gate) globalContext(c *Call) map[string][]string {
	context := map[string][]string{
		"aws:CurrentTime":           {c.Time.UTC().Format(time.RFC3339)},
		"aws:EpochTime":             {strconv.FormatInt(c.Time.Unix(), 10)},
		"aws:SecureTransport":       {strconv.FormatBool(c.R.TLS != nil || c.internal)},
		"aws:RequestedRegion":       {c.Region},
		"aws:ResourceAccount":       {g.AccountID()},
		"aws:PrincipalIsAWSService": {"false"},
		"aws:ViaAWSService":         {"false"},
	}
	if ip := remoteIP(c.R); ip != "" {
		context["aws:SourceIp"] = []string{ip}
	}
	if agent := c.R.UserAgent(); agent != "" {
		context["aws:UserAgent"] = []string{agent}
	}
	if referer := c.R.Referer(); referer != "" {
		context["aws:Referer"] = []string{referer}
	}
	p := c.Principal
	if p == nil {
		context["aws:PrincipalType"] = []string{"Anonymous"}
		return context
	}
	for k, v := range p.Context {
		context[k] = v
	}
	if p.Service != "" {
		return context
	}
	// What a service calls in its caller's name (forward access sessions).
	context["aws:ViaAWSService"] = []string{strconv.FormatBool(c.internal)}
	arn := p.ARN
	if p.RoleARN != "" {
		arn = p.RoleARN
	}
	context["aws:PrincipalArn"] = []string{arn}
	context["aws:PrincipalAccount"] = []string{p.Account}
	context["aws:PrincipalType"] = []string{string(p.Type)}
	context["aws:userid"] = []string{p.UserID}
	if p.UserName != "" {
		context["aws:username"] = []string{p.UserName}
	}
	if p.SourceIdentity != "" {
		context["aws:SourceIdentity"] = []string{p.SourceIdentity}
	}
	// Only with temporary credentials, and when these were issued ("aws:TokenIssueTime" in "AWS global condition context keys"):
	// a session that is assumed by another session has a time of its own.
	if !p.Issued.IsZero() {
		context["aws:TokenIssueTime"] = []string{p.Issued.UTC().Format(time.RFC3339)}
	}
	for k, v := range p.Tags {
		context["aws:PrincipalTag/"+k] = []string{v}
	}
	return context
}

// explain logs why a request was denied: what AWS does not tell its callers, the lab's log does.
func (g *Gate) explain(c *Call, req policy.Request, v policy.Verdict) {
	for _, note := range v.Notes {
		g.logf("%s by %s on %s: %s", req.Action, c.Principal.caller(), req.Resource, note)
	}
}

// accessDenied words a denial as AWS does ("Troubleshoot access denied error messages").
func accessDenied(c *Call, req policy.Request, v policy.Verdict) *Error {
	code, status := deniedCode(c.protocol)
	if c.Principal == nil || c.Principal.Service != "" {
		message := "Access Denied"
		if c.protocol != ProtocolS3 {
			message = "User: " + c.Principal.caller() + " is not authorized to perform: " + req.Action
		}
		return &Error{Code: code, Message: message, Status: status}
	}
	resource := req.Resource
	if c.protocol == ProtocolS3 && resource != "*" {
		resource = `"` + resource + `"`
	}
	message := "User: " + c.Principal.ARN + " is not authorized to perform: " + req.Action
	if resource != "*" {
		message += " on resource: " + resource
	}
	message += reason(req.Action, v)
	if c.protocol == ProtocolEC2 {
		message = "You are not authorized to perform this operation. " + message
	}
	return &Error{Code: code, Message: message, Status: status}
}

func reason(action string, v policy.Verdict) string {
	if v.Decision == policy.ExplicitDeny {
		article := "a "
		if strings.ContainsRune("aeiou", rune(v.Layer[0])) {
			article = "an "
		}
		return " with an explicit deny in " + article + string(v.Layer)
	}
	return " because no " + string(v.Layer) + " allows the " + action + " action"
}

// deniedCode is the code and status of a denial by protocol.
func deniedCode(p Protocol) (string, int) {
	switch p {
	case ProtocolEC2:
		return "UnauthorizedOperation", http.StatusForbidden
	case ProtocolJSON11, ProtocolJSON10:
		return "AccessDeniedException", http.StatusBadRequest
	case ProtocolRESTJSON:
		return "AccessDeniedException", http.StatusForbidden
	}
	return "AccessDenied", http.StatusForbidden
}
