// Package impact says what a change of a stack does to who can do what, and names what is dangerous about it.
package impact

import (
	"cmp"
	"fmt"
	"slices"

	"k3s-aws-auth/scripts/internal/access"
	"k3s-aws-auth/scripts/review/internal/preview"
)

// Level is how bad a sign is.
type Level string

// The levels, and the verdict where there is no sign at all.
const (
	Danger  Level = "danger"
	Warning Level = "warning"
	Quiet   Level = "ok"
)

// Sign is a danger sign, or a warning.
type Sign struct {
	ID    string `json:"id"`
	Level Level  `json:"level"`
	// What happens, Why that is bad, and the Safe way to what was probably meant: each a sentence.
	What string `json:"what"`
	Why  string `json:"why"`
	Safe string `json:"safe"`
	// Resources are the logical names concerned.
	Resources []string `json:"resources"`
}

// Kind is what a role is for.
type Kind string

// The kinds of roles.
const (
	Pod   Kind = "pod"   // assumed with a token or certificate
	Node  Kind = "node"  // the machines'
	Other Kind = "other" // everything else
)

// Identity is a role before and after the change.
type Identity struct {
	Name string     `json:"name"`
	Role string     `json:"role"` // logical name
	Kind Kind       `json:"kind"`
	Op   preview.Op `json:"op"`

	PermissionsGained []access.Grant   `json:"permissionsGained"`
	PermissionsLost   []access.Grant   `json:"permissionsLost"`
	TrustGained       []access.Trustee `json:"trustGained"`
	TrustLost         []access.Trustee `json:"trustLost"`
	ManagedGained     []string         `json:"managedPoliciesGained"`
	ManagedLost       []string         `json:"managedPoliciesLost"`
	// Session is the longest session in seconds; 0 where there is no role.
	SessionBefore int `json:"sessionSecondsBefore"`
	SessionAfter  int `json:"sessionSecondsAfter"`
	// Reach is how much a thief of the identity has.
	ReachBefore Reach `json:"reachBefore"`
	ReachAfter  Reach `json:"reachAfter"`
	urn         string
	// Elsewhere is set for what is not in the preview: who can be it is not known.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// Unclear names what is known only once the change is made.
	Unclear []string `json:"unclear,omitempty"`
}

// Changed tells whether anything about who or what differs.
func (i *Identity) Changed() bool {
	return len(i.PermissionsGained)+len(i.PermissionsLost)+len(i.TrustGained)+len(i.TrustLost)+
		len(i.ManagedGained)+len(i.ManagedLost)+len(i.Unclear) > 0 ||
		i.SessionBefore != i.SessionAfter || i.ReachBefore.Pods != i.ReachAfter.Pods || i.Op == preview.Create || i.Op == preview.Delete
}

// Reach weighs what an identity may do, and who may be it.
type Reach struct {
	Actions   int      `json:"actions"`        // distinct actions by name
	Wide      []string `json:"actionPatterns"` // patterns of actions, such as s3:*
	Resources int      `json:"resources"`      // distinct resources and patterns of them
	Managed   int      `json:"managed"`        // managed policies whose content is not known: treat each as everything
	Trusted   int      `json:"trusted"`        // who may assume the role
	Open      bool     `json:"open"`           // the trust lets in strangers
	Unclear   bool     `json:"unclear"`        // the preview does not tell all of its policies
	// EveryAction and EveryResource tell that there is no limit.
	EveryAction   bool `json:"everyAction"`
	EveryResource bool `json:"everyResource"`
	// Pods tells, for machines' roles, whether pods reach it through the metadata service.
	Pods bool `json:"pods"`
}

// Resource is a changed resource.
type Resource struct {
	Name       string     `json:"name"`
	Type       string     `json:"type"`
	Op         preview.Op `json:"op"`
	Properties []string   `json:"properties,omitempty"`
}

// Report is the whole review.
type Report struct {
	Stack   string `json:"stack"`
	Project string `json:"project"`
	// Verdict is the worst level of all signs.
	Verdict Level  `json:"verdict"`
	Signs   []Sign `json:"signs"`
	// Rotation are the steps of a key's, an issuer's or a CA's rotation that this change is.
	Rotation []Step `json:"rotation,omitempty"`
	// Identities are those that change, pods' first.
	Identities []Identity `json:"identities"`
	// RolesBefore and RolesAfter count the pod identities: what the signing key, or the CA, can be.
	PodsBefore int `json:"podIdentitiesBefore"`
	PodsAfter  int `json:"podIdentitiesAfter"`
	// Changes counts resources by operation.
	Changes map[preview.Op]int `json:"changes"`
	// Resources are all that change.
	Resources []Resource `json:"resources"`
	// Complete is false where unchanged resources are not known, so that policies beside the changed ones are missing.
	Complete bool `json:"complete"`
}

// Reaches tells whether the verdict is at least a level.
func (r *Report) Reaches(l Level) bool {
	return l == Danger && r.Verdict == Danger || l == Warning && r.Verdict != Quiet
}

// Review judges a preview.
func Review(p *preview.Preview) *Report {
	p = typed(p)
	w := newWorld(p)
	r := &Report{
		Stack: p.Stack, Project: p.Project, Complete: p.Complete, Changes: map[preview.Op]int{},
		Signs: []Sign{}, Identities: []Identity{}, Resources: []Resource{},
	}
	for _, c := range p.Changes {
		r.Changes[c.Op]++
		if c.Op != preview.Same || c.Before != c.After && c.Now().Custom && len(changedProperties(c)) > 0 {
			now := c.Now()
			r.Resources = append(r.Resources, Resource{Name: now.Name(), Type: now.Type, Op: c.Op, Properties: c.Properties})
		}
	}
	identities, signs := w.identities()
	for _, i := range identities {
		if i.Kind == Pod {
			r.PodsBefore += one(i.Op != preview.Create)
			r.PodsAfter += one(i.Op != preview.Delete)
		}
		if i.Changed() {
			r.Identities = append(r.Identities, i)
		}
	}
	signs = append(signs, w.signs()...)
	signs = append(signs, w.unsaid(signs)...)
	signs = append(signs, previewSigns(p)...)
	r.Signs = append(r.Signs, merged(signs)...)
	if !slices.ContainsFunc(r.Signs, func(s Sign) bool { return s.Level == Danger && s.ID != early }) {
		r.Rotation = w.steps
	}
	r.Verdict = Quiet
	for _, s := range r.Signs {
		if s.Level == Danger || r.Verdict == Quiet {
			r.Verdict = s.Level
		}
	}
	return r
}

// previewSigns say what a preview is that cannot be judged in full.
func previewSigns(p *preview.Preview) []Sign {
	var signs []Sign
	add := func(level Level, id, what, why, safe string) {
		signs = append(signs, Sign{ID: id, Level: level, What: what, Why: why, Safe: safe, Resources: []string{orNone(p.Stack)}})
	}
	for _, e := range p.Errors {
		add(Danger, "preview-failed", "the preview failed: "+firstLine(e), "what it shows may be incomplete", "repair the program or its configuration first")
	}
	if p.Lost > 0 {
		add(Danger, "preview-incomplete", fmt.Sprintf("the preview's summary counts %d more resources than it has steps", p.Lost), "what is missing may be anything", "make the preview again, and do not edit it")
	}
	for _, c := range p.Contradictions {
		add(Danger, "preview-contradictory", "the preview contradicts itself: "+firstLine(c), "one of the two is not what will happen", "make the preview again, and do not edit it")
	}
	if !p.Complete && len(p.Errors) == 0 && slices.ContainsFunc(p.Changes, func(c *preview.Change) bool { return c.Op != preview.Same }) {
		add(Warning, "preview-partial", "unchanged resources are not part of this preview", "policies beside the changed ones are missing, so what is gained and lost may be wrong", "run it with --show-sames, or give --state")
	}
	return signs
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// merged joins signs that differ in the resources alone, the worst first.
func merged(signs []Sign) []Sign {
	type key struct {
		id, what string
		level    Level
	}
	index := map[key]int{}
	var list []Sign
	for _, s := range signs {
		k := key{s.ID, s.What, s.Level}
		if i, ok := index[k]; ok {
			list[i].Resources = append(list[i].Resources, s.Resources...)
			continue
		}
		index[k] = len(list)
		list = append(list, s)
	}
	for i := range list {
		slices.Sort(list[i].Resources)
		list[i].Resources = slices.Compact(list[i].Resources)
	}
	slices.SortStableFunc(list, func(a, b Sign) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.ID, b.ID), cmp.Compare(a.What, b.What))
	})
	return list
}

// severity orders the signs of one level: what lets strangers in comes before what breaks.
var severity = []string{"preview-", "trust-", "permissions-", "reads-signing-key", "writes-", "jwks-", "issuer-", "reaches-", "secret-", "bucket-public", "imds", "hop-limit", "boundary-"}

func rank(s Sign) int {
	n := len(severity)
	for i, prefix := range severity {
		if len(s.ID) >= len(prefix) && s.ID[:len(prefix)] == prefix {
			n = i
			break
		}
	}
	if s.Level != Danger {
		n += 100
	}
	return n
}
