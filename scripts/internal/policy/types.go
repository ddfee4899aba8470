// Package policy parses and evaluates IAM policy documents: identity policies, permissions boundaries, session
// policies, resource policies and trust policies. It knows the JSON grammar of the IAM User Guide ("IAM JSON policy
// element reference") and its evaluation logic, and nothing of HTTP, AWS services or storage.
package policy

// Document is a parsed policy.
type Document struct {
	// Version is "2012-10-17" or "2008-10-17" (the default where absent, in which policy variables are plain text).
	Version string
	// ID is the optional Id element.
	ID string
	// Statements in the order of the document.
	Statements []Statement
	// Source names where the document comes from ("role/x inline y"); it is copied into Result.Source. Callers set it.
	Source string
}

// Statement is one statement of a policy. Lists hold one entry where the document has a plain string.
type Statement struct {
	SID    string
	Effect string // "Allow" or "Deny"
	// Principal and NotPrincipal are nil where absent, as in identity policies.
	Principal, NotPrincipal *PrincipalElement
	Actions, NotActions     []string
	Resources, NotResources []string
	// Conditions in the order of operator and key, so that notes are deterministic.
	Conditions []Condition
}

// Condition is one key of one operator block.
type Condition struct {
	Operator string // as written, e.g. "ForAnyValue:StringLike" or "StringEqualsIfExists"
	Key      string
	Values   []string
}

// PrincipalElement is a Principal or NotPrincipal element.
type PrincipalElement struct {
	Any           bool // the bare "*"
	AWS           []string
	Service       []string
	Federated     []string
	CanonicalUser []string
}

// Principal is who makes a request. The zero value and nil are anonymous callers.
type Principal struct {
	// ARN is the most specific ARN: a user's, or a role session's (arn:aws:sts::A:assumed-role/R/S).
	ARN string
	// RoleARN is the role of a session (arn:aws:iam::A:role/path/R); empty for users.
	RoleARN string
	// Account is the twelve-digit account of the caller; empty for services and anonymous callers.
	Account string
	// Service is a service principal's name, e.g. cloudfront.amazonaws.com.
	Service string
	// Federated is the ARN of the OIDC provider that vouches for a web identity.
	Federated string
}

// Request is the question put to policies.
type Request struct {
	Action   string // service:Operation
	Resource string // ARN, or "*" where the action has no resource
	// Principal is nil for an anonymous caller.
	Principal *Principal
	// Context has the condition keys of the request. Names compare case-insensitively.
	Context map[string][]string
}

// Decision is what evaluation came to.
type Decision int

const (
	// ImplicitDeny means that no statement applied.
	ImplicitDeny Decision = iota
	// Allow means that a statement allowed and none denied.
	Allow
	// ExplicitDeny means that a Deny statement applied.
	ExplicitDeny
)

// String returns the decision's name.
func (d Decision) String() string {
	switch d {
	case Allow:
		return "Allow"
	case ExplicitDeny:
		return "ExplicitDeny"
	default:
		return "ImplicitDeny"
	}
}

// Result is the outcome of an evaluation with the statement that decided it.
type Result struct {
	Decision Decision
	// SID and Source of the deciding statement; empty for an implicit deny.
	SID, Source string
	// Match tells how the deciding Allow named the caller; NoPrincipal for identity policies.
	Match PrincipalMatch
	// Notes has one line for everything that a reader of a denial wants to know: unknown operators, conditions that
	// did not hold.
	Notes []string
}

// PrincipalMatch tells by which form of the Principal element a caller was matched, weakest first.
type PrincipalMatch int

const (
	// NoPrincipal means that the statement has no Principal element, or it does not match.
	NoPrincipal PrincipalMatch = iota
	// MatchAccount is a match of the caller's account (its root ARN or its number), which delegates to that account's identity policies.
	MatchAccount
	// MatchAny is a match of the wildcard.
	MatchAny
	// MatchRole is a match of the role of the session.
	MatchRole
	// MatchExact is a match of the user, the session, the service or the federated provider itself.
	MatchExact
)
