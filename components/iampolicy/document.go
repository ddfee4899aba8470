// Package iampolicy builds IAM policy documents from typed values.
//
// Documents are marshalled by encoding/json, never put together from text, so
// that no value can break out of its place, and they are deterministic: the
// same statements always give the same bytes, which keeps previews empty. The
// package knows nothing of Pulumi: documents are plain values that callers
// build inside or outside an apply.
package iampolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Version is the policy language version of every document. The older
// 2008-10-17 has no policy variables and is never what is wanted.
const Version = "2012-10-17"

// Effects of a statement.
const (
	Allow = "Allow"
	Deny  = "Deny"
)

// Statement is one statement of a policy document. The lower-case keys are how
// statements are written in stack configuration; the capitalised keys of IAM's
// own grammar are written by [Document.JSON].
//
// An empty Effect means Allow. Principal exists only in trust and resource
// policies and so cannot come from configuration.
type Statement struct {
	Sid          string                         `json:"sid,omitempty" yaml:"sid,omitempty"`
	Effect       string                         `json:"effect,omitempty" yaml:"effect,omitempty"`
	Principal    *Principal                     `json:"-" yaml:"-"`
	Actions      []string                       `json:"actions,omitempty" yaml:"actions,omitempty"`
	NotActions   []string                       `json:"notActions,omitempty" yaml:"notActions,omitempty"`
	Resources    []string                       `json:"resources,omitempty" yaml:"resources,omitempty"`
	NotResources []string                       `json:"notResources,omitempty" yaml:"notResources,omitempty"`
	Conditions   map[string]map[string][]string `json:"conditions,omitempty" yaml:"conditions,omitempty"`
}

// Principal says whom a statement of a trust or resource policy is about.
// Anyone is the anonymous principal "*" and excludes the other fields.
type Principal struct {
	Anyone    bool
	AWS       []string
	Service   []string
	Federated []string
}

// Document is a policy document: an ordered list of statements.
type Document struct {
	Statements []Statement
}

// New returns the document of the given statements, in their order. It checks
// nothing; [Document.JSON] does.
func New(statements ...Statement) Document {
	return Document{Statements: statements}
}

// JSON returns the document as compact JSON. One value is written as a string
// and several as a list, as IAM itself writes them back, and map keys are
// sorted. It fails with every fault of the document (see [Document.Validate])
// instead of writing one that IAM would refuse or, worse, read otherwise.
func (d Document) JSON() (string, error) {
	if err := d.Validate(); err != nil {
		return "", err
	}
	body, err := d.MarshalJSON()
	if err != nil {
		return "", err
	}
	return string(body), nil
}

// MarshalJSON writes the document in IAM's grammar without validating it.
func (d Document) MarshalJSON() ([]byte, error) {
	wire := wireDocument{Version: Version, Statement: make([]wireStatement, 0, len(d.Statements))}
	for _, s := range d.Statements {
		wire.Statement = append(wire.Statement, s.wire())
	}
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	// IAM documents are not HTML: "<", ">" and "&" stay themselves, so that a
	// policy reads in a diff as it was written.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(wire); err != nil {
		return nil, fmt.Errorf("marshal policy document: %w", err)
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// Validate reports everything that makes the document unfit to send, joined
// into one error, or nil. Statements are named by position, and by Sid if they
// have one.
func (d Document) Validate() error {
	if len(d.Statements) == 0 {
		return errors.New("policy document has no statements")
	}
	var errs []error
	sids := map[string]int{}
	for i, s := range d.Statements {
		where := fmt.Sprintf("statement %d", i)
		if s.Sid != "" {
			where += fmt.Sprintf(" (%s)", s.Sid)
			if first, taken := sids[s.Sid]; taken {
				errs = append(errs, fmt.Errorf("%s: sid is also that of statement %d; sids are unique in a document", where, first))
			} else {
				sids[s.Sid] = i
			}
		}
		if s.Principal == nil && len(s.Resources) == 0 && len(s.NotResources) == 0 {
			errs = append(errs, fmt.Errorf("%s: has neither a principal nor resources, and so fits no kind of policy", where))
		}
		for _, err := range s.faults() {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		}
	}
	return errors.Join(errs...)
}

// wireDocument, wireStatement and values are the document as IAM reads it.
type wireDocument struct {
	Version   string          `json:"Version"`
	Statement []wireStatement `json:"Statement"`
}

type wireStatement struct {
	Sid         string                       `json:"Sid,omitempty"`
	Effect      string                       `json:"Effect"`
	Principal   any                          `json:"Principal,omitempty"`
	Action      values                       `json:"Action,omitempty"`
	NotAction   values                       `json:"NotAction,omitempty"`
	Resource    values                       `json:"Resource,omitempty"`
	NotResource values                       `json:"NotResource,omitempty"`
	Condition   map[string]map[string]values `json:"Condition,omitempty"`
}

// values marshals to a string when it has one element and to a list otherwise.
type values []string

// MarshalJSON implements json.Marshaler.
func (v values) MarshalJSON() ([]byte, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	var err error
	if len(v) == 1 {
		err = encoder.Encode(v[0])
	} else {
		err = encoder.Encode([]string(v))
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), err
}

func (s Statement) wire() wireStatement {
	wire := wireStatement{
		Sid:         s.Sid,
		Effect:      s.Effect,
		Action:      s.Actions,
		NotAction:   s.NotActions,
		Resource:    s.Resources,
		NotResource: s.NotResources,
	}
	if wire.Effect == "" {
		wire.Effect = Allow
	}
	if s.Principal != nil {
		wire.Principal = s.Principal.wire()
	}
	if len(s.Conditions) > 0 {
		wire.Condition = make(map[string]map[string]values, len(s.Conditions))
		for operator, keys := range s.Conditions {
			block := make(map[string]values, len(keys))
			for key, want := range keys {
				block[key] = want
			}
			wire.Condition[operator] = block
		}
	}
	return wire
}

func (p Principal) wire() any {
	if p.Anyone {
		return "*"
	}
	kinds := map[string]values{}
	for kind, ids := range map[string][]string{"AWS": p.AWS, "Service": p.Service, "Federated": p.Federated} {
		if len(ids) > 0 {
			kinds[kind] = ids
		}
	}
	return kinds
}
