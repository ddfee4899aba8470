package policy

import (
	"fmt"
)

// Evaluate puts a request to policies: an applicable Deny wins over everything, then an applicable Allow, else the
// request is implicitly denied. Statements with a Principal element apply only to the principals they name; statements
// without one (identity policies) apply to whoever they are attached to.
//
// An operator that is not known denies and is noted: an Allow statement with it never applies, a Deny statement with it
// always does.
func Evaluate(req Request, docs ...*Document) Result {
	a := newAttributes(req.Context)
	result := Result{}
	for _, d := range docs {
		if d == nil {
			continue
		}
		for i := range d.Statements {
			s := &d.Statements[i]
			applies, match, notes := s.applies(&req, d.Version, a)
			for _, n := range notes {
				result.Notes = append(result.Notes, d.label(i)+": "+n)
			}
			if !applies {
				continue
			}
			if s.Effect == "Deny" {
				result.Decision, result.SID, result.Source, result.Match = ExplicitDeny, s.SID, d.Source, match
				return result
			}
			if result.Decision != Allow || match > result.Match {
				result.Decision, result.SID, result.Source, result.Match = Allow, s.SID, d.Source, match
			}
		}
	}
	return result
}

// label names a statement for notes.
func (d *Document) label(i int) string {
	name := fmt.Sprintf("statement %d", i)
	if sid := d.Statements[i].SID; sid != "" {
		name = "statement " + sid
	}
	if d.Source != "" {
		name += " of " + d.Source
	}
	return name
}

func (s *Statement) applies(req *Request, version string, a attributes) (bool, PrincipalMatch, []string) {
	match := NoPrincipal
	switch {
	case s.Principal != nil:
		if match = s.Principal.match(req.Principal); match == NoPrincipal {
			return false, match, nil
		}
	case s.NotPrincipal != nil:
		if s.NotPrincipal.match(req.Principal) != NoPrincipal {
			return false, match, nil
		}
		match = MatchAny
	}
	if !s.matchesAction(req.Action) || !s.matchesResource(req.Resource, version, a) {
		return false, match, nil
	}
	var notes []string
	holds := true
	for i := range s.Conditions {
		ok, note, err := s.Conditions[i].holds(version, a)
		switch {
		case err != nil:
			notes = append(notes, err.Error()+" denies")
			if s.Effect == "Deny" {
				return true, match, notes
			}
			holds = false
		case !ok:
			holds = false
			notes = append(notes, note)
		}
	}
	if s.Effect == "Deny" {
		notes = nil // a Deny that does not apply explains nothing
	}
	return holds, match, notes
}

func (s *Statement) matchesAction(action string) bool {
	for _, p := range s.Actions {
		if matchAction(p, action) {
			return true
		}
	}
	if s.NotActions == nil {
		return false
	}
	for _, p := range s.NotActions {
		if matchAction(p, action) {
			return false
		}
	}
	return true
}

func (s *Statement) matchesResource(resource, version string, a attributes) bool {
	if s.Resources == nil && s.NotResources == nil { // trust policies: the resource is the role itself
		return true
	}
	for _, p := range s.Resources {
		if matchResource(p, resource, version, a) {
			return true
		}
	}
	if s.NotResources == nil {
		return false
	}
	for _, p := range s.NotResources {
		if matchResource(p, resource, version, a) {
			return false
		}
	}
	return true
}

// Input is everything that decides a request within one account.
type Input struct {
	Request Request
	// Identity are the policies of the user or role.
	Identity []*Document
	// Boundary and Session are the permissions boundary and the session policies; nil where there are none.
	Boundary, Session []*Document
	// Resource are the policies of the resource.
	Resource []*Document
	// ResourceMustAllow: the resource's policy has to allow, whatever the identity's policies do (role trust).
	ResourceMustAllow bool
}

// Layer is a kind of policy in the words of AWS's messages.
type Layer string

// The layers.
const (
	LayerIdentity Layer = "identity-based policy"
	LayerResource Layer = "resource-based policy"
	LayerBoundary Layer = "permissions boundary"
	LayerSession  Layer = "session policy"
)

// Verdict is the outcome of Authorize.
type Verdict struct {
	Decision Decision
	// Layer denied, or allowed.
	Layer Layer
	// Result of that layer.
	Result Result
	// Notes of all layers.
	Notes []string
}

// Allowed tells whether the request may go on.
func (v Verdict) Allowed() bool { return v.Decision == Allow }

// Authorize combines the policies of a request whose caller and resource are in one account, by the IAM User Guide's
// "Policy evaluation logic": an explicit deny anywhere wins; the resource's and the identity's policies form a union; a
// permissions boundary and session policies intersect with it, except with what the resource's policy grants to the
// user or the session itself. A resource policy that names the account only delegates to the identity's policies.
func Authorize(in Input) Verdict {
	layers := []struct {
		name Layer
		docs []*Document
	}{
		{LayerIdentity, in.Identity}, {LayerResource, in.Resource}, {LayerBoundary, in.Boundary}, {LayerSession, in.Session},
	}
	var notes []string
	results := map[Layer]Result{}
	denied := Verdict{}
	for _, l := range layers {
		r := Evaluate(in.Request, l.docs...)
		results[l.name] = r
		notes = append(notes, r.Notes...)
		if r.Decision == ExplicitDeny && denied.Layer == "" {
			denied = Verdict{Decision: ExplicitDeny, Layer: l.name, Result: r}
		}
	}
	if denied.Layer != "" {
		denied.Notes = notes
		return denied
	}
	verdict := func(d Decision, l Layer) Verdict {
		return Verdict{Decision: d, Layer: l, Result: results[l], Notes: notes}
	}
	resource, identity := results[LayerResource], results[LayerIdentity]
	if in.ResourceMustAllow && resource.Decision != Allow {
		return verdict(ImplicitDeny, LayerResource)
	}
	granted := resource.Decision == Allow
	p := in.Request.Principal
	if p == nil || p.Service != "" || p.Federated != "" { // they have no policies of their own
		if !granted || resource.Match == MatchAccount {
			return verdict(ImplicitDeny, LayerResource)
		}
		return verdict(Allow, LayerResource)
	}
	if granted && resource.Match == MatchExact {
		return verdict(Allow, LayerResource)
	}
	by := LayerIdentity
	switch {
	case identity.Decision == Allow:
	case granted && resource.Match != MatchAccount:
		by = LayerResource
	default:
		return verdict(ImplicitDeny, LayerIdentity)
	}
	if in.Boundary != nil && results[LayerBoundary].Decision != Allow {
		return verdict(ImplicitDeny, LayerBoundary)
	}
	if in.Session != nil && results[LayerSession].Decision != Allow {
		return verdict(ImplicitDeny, LayerSession)
	}
	return verdict(Allow, by)
}
