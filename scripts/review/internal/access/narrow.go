package access

import (
	"strings"

	"k3s-aws-auth/scripts/internal/policy"
)

// narrowed are policies from which the patterns that cannot match a request are left out, so that thousands of requests
// to long policies take little time. What could match stays: the evaluator decides.
type narrowed struct {
	identity, boundary []narrowedDocument
	bounded            bool
}

type narrowedDocument struct {
	*policy.Document
	// byAction and byResource have, for a request's text, the patterns of each statement that may match it.
	byAction, byResource map[string][][]string
}

func narrow(p Policies) *narrowed {
	wrap := func(docs []*policy.Document) []narrowedDocument {
		var list []narrowedDocument
		for _, d := range docs {
			if d != nil {
				list = append(list, narrowedDocument{d, map[string][][]string{}, map[string][][]string{}})
			}
		}
		return list
	}
	return &narrowed{identity: wrap(p.Identity), boundary: wrap(p.Boundary), bounded: p.Boundary != nil}
}

// to returns the policies for one request.
func (n *narrowed) to(req policy.Request) Policies {
	p := Policies{Identity: narrowAll(n.identity, req)}
	if n.bounded {
		p.Boundary = append([]*policy.Document{}, narrowAll(n.boundary, req)...)
	}
	return p
}

func narrowAll(docs []narrowedDocument, req policy.Request) []*policy.Document {
	list := make([]*policy.Document, 0, len(docs))
	for _, d := range docs {
		list = append(list, d.to(req))
	}
	return list
}

func (d narrowedDocument) to(req policy.Request) *policy.Document {
	actions := matching(d.byAction, req.Action, d.Statements, func(s *policy.Statement) []string { return s.Actions }, coversAction)
	resources := matching(d.byResource, req.Resource, d.Statements, func(s *policy.Statement) []string { return s.Resources }, coversResource)
	out := &policy.Document{Version: d.Version, Source: d.Source}
	for i := range d.Statements {
		s := d.Statements[i]
		if s.Actions != nil {
			if s.Actions = actions[i]; len(s.Actions) == 0 {
				continue
			}
		}
		if s.Resources != nil {
			if s.Resources = resources[i]; len(s.Resources) == 0 {
				continue
			}
		}
		out.Statements = append(out.Statements, s)
	}
	return out
}

func matching(cache map[string][][]string, text string, statements []policy.Statement, patterns func(*policy.Statement) []string, covers func(broad, narrow string) bool) [][]string {
	if found, ok := cache[text]; ok {
		return found
	}
	found := make([][]string, len(statements))
	for i := range statements {
		for _, p := range patterns(&statements[i]) {
			if strings.Contains(p, "${") || strings.Contains(p, "?") || strings.Contains(text, "*") || covers(p, text) {
				found[i] = append(found[i], p)
			}
		}
	}
	cache[text] = found
	return found
}
