package gate

import (
	"net/http"
	"net/url"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
)

// Call is one AWS API call on its way through the gate. It belongs to one goroutine.
type Call struct {
	// Service is the signing name, Region the region of the credential scope or of the host name.
	Service, Region string
	// Action is the operation ("PutObject"). The gate sets it for query and JSON protocols, Requirements for REST.
	Action string
	// Principal is nil for an anonymous caller.
	Principal *Principal
	// R is the request; its body is consumed, use Body. R.Host is the host as the client sent it.
	R *http.Request
	// Host is the lower-case host name without port. Virtual-hosted buckets are the service's business.
	Host string
	// Body is the whole payload, with aws-chunked framing removed (and R.Header's Content-Encoding adapted).
	Body []byte
	// Form has the parameters of query protocol calls, nil otherwise.
	Form url.Values
	// RequestID is a UUID in upper or lower case as the service would have it.
	RequestID string
	// Time is the gate's clock at arrival.
	Time time.Time
	// Source says where the call came from: "host", a node or a pod ("node/agent-0", "pod/default/uploader").
	Source string
	// Resource is the ARN for the event record; the gate sets it from the first requirement if it is empty.
	Resource string
	// Data is for the service: what Requirements parsed and Serve needs.
	Data any
	// Header is the answer's, from Requirements on: what it says of the resource even where the call is refused.
	Header http.Header
	// Details go into the event record.
	Details map[string]string

	gate     *Gate
	protocol Protocol
	failure  *Error
	internal bool
	skew     time.Duration
}

// Gate returns the gate that carries the call.
func (c *Call) Gate() *Gate { return c.gate }

// Detail adds a detail to the event record.
func (c *Call) Detail(key, value string) {
	if c.Details == nil {
		c.Details = map[string]string{}
	}
	c.Details[key] = value
}

// Failure is the error that was written, nil so far.
func (c *Call) Failure() *Error { return c.failure }

// PrincipalType tells kinds of callers apart, as aws:PrincipalType does.
type PrincipalType string

// The types of callers.
const (
	TypeUser        PrincipalType = "User"
	TypeAssumedRole PrincipalType = "AssumedRole"
	TypeService     PrincipalType = "Service"
)

// Principal is an authenticated caller.
type Principal struct {
	Type PrincipalType
	// ARN is what GetCallerIdentity returns: a user's ARN or arn:<partition>:sts::<account>:assumed-role/<role>/<session>.
	ARN string
	// RoleARN is the ARN (with path) of the role behind a session.
	RoleARN string
	Account string
	// UserID is AIDA… for users and AROA…:<session> for role sessions.
	UserID string
	// UserName is set for users only, RoleName and SessionName for sessions only.
	UserName, RoleName, SessionName string
	SourceIdentity                  string
	// Tags are the principal's tags: the user's or role's own with the session's over them.
	Tags map[string]string
	// TransitiveTags are the keys of session tags that persist through role chaining.
	TransitiveTags []string
	// AccessKeyID signed the call.
	AccessKeyID string
	// Issued and Expires bound a session; zero for users.
	Issued, Expires time.Time
	// SessionPolicies intersect with the role's policies.
	SessionPolicies []*policy.Document
	// Service is the name of a service principal, e.g. cloudfront.amazonaws.com.
	Service string
	// Context are further condition keys that hold for everything the principal does: aws:SourceArn of a service,
	// aws:FederatedProvider, ec2:SourceInstanceARN.
	Context map[string][]string
}

// ServicePrincipal is an AWS service that acts for a resource: sourceArn and account become aws:SourceArn and
// aws:SourceAccount.
func ServicePrincipal(name, sourceArn, account string) *Principal {
	context := map[string][]string{"aws:PrincipalIsAWSService": {"true"}, "aws:PrincipalServiceName": {name}}
	if sourceArn != "" {
		context["aws:SourceArn"] = []string{sourceArn}
	}
	if account != "" {
		context["aws:SourceAccount"] = []string{account}
	}
	return &Principal{Type: TypeService, Service: name, Context: context}
}

// policyPrincipal is the form that policies know.
func (p *Principal) policyPrincipal() *policy.Principal {
	if p == nil {
		return nil
	}
	return &policy.Principal{ARN: p.ARN, RoleARN: p.RoleARN, Account: p.Account, Service: p.Service}
}
