package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Versions of the policy language.
const (
	Version2012 = "2012-10-17"
	Version2008 = "2008-10-17"
)

// ErrSyntax is wrapped by every error of Parse.
var ErrSyntax = errors.New("syntax errors in policy")

const maxDepth = 8

// Parse reads a policy document. Element names are case-sensitive, unknown and repeated elements are errors, and
// mutually exclusive elements (Action and NotAction, ...) may not meet in one statement. All errors wrap ErrSyntax.
// What a use of a policy demands beyond the grammar is checked by Validate.
func Parse(document []byte) (*Document, error) {
	d, err := parse(document)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return d, nil
}

func parse(document []byte) (*Document, error) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	value, err := readValue(decoder, 0)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the document")
	}
	root, ok := value.(object)
	if !ok {
		return nil, errors.New("the document is not an object")
	}
	d := &Document{Version: Version2008}
	seen := false
	for _, m := range root {
		switch m.name {
		case "Version":
			if d.Version, err = text(m); err != nil {
				return nil, err
			}
			if d.Version != Version2012 && d.Version != Version2008 {
				return nil, fmt.Errorf("the Version %q is not %s or %s", d.Version, Version2012, Version2008)
			}
		case "Id":
			if d.ID, err = text(m); err != nil {
				return nil, err
			}
		case "Statement":
			seen = true
			list, ok := m.value.([]any)
			if !ok {
				list = []any{m.value}
			}
			for i, v := range list {
				s, err := parseStatement(v)
				if err != nil {
					return nil, fmt.Errorf("statement %d: %w", i, err)
				}
				d.Statements = append(d.Statements, s)
			}
		default:
			return nil, fmt.Errorf("unknown element %q", m.name)
		}
	}
	if !seen {
		return nil, errors.New("no Statement")
	}
	sids := map[string]bool{}
	for _, s := range d.Statements {
		if s.SID != "" && sids[s.SID] {
			return nil, fmt.Errorf("statement id %q is not unique", s.SID)
		}
		sids[s.SID] = true
	}
	return d, nil
}

func parseStatement(v any) (Statement, error) {
	var s Statement
	o, ok := v.(object)
	if !ok {
		return s, errors.New("not an object")
	}
	for _, m := range o {
		var err error
		switch m.name {
		case "Sid":
			s.SID, err = text(m)
		case "Effect":
			s.Effect, err = text(m)
		case "Principal":
			s.Principal, err = parsePrincipal(m)
		case "NotPrincipal":
			s.NotPrincipal, err = parsePrincipal(m)
		case "Action":
			s.Actions, err = texts(m, false)
		case "NotAction":
			s.NotActions, err = texts(m, false)
		case "Resource":
			s.Resources, err = texts(m, false)
		case "NotResource":
			s.NotResources, err = texts(m, false)
		case "Condition":
			s.Conditions, err = parseConditions(m)
		default:
			err = fmt.Errorf("unknown element %q", m.name)
		}
		if err != nil {
			return s, err
		}
	}
	switch {
	case s.Effect != "Allow" && s.Effect != "Deny":
		return s, fmt.Errorf("the Effect %q is not Allow or Deny", s.Effect)
	case s.Actions != nil && s.NotActions != nil:
		return s, errors.New("both Action and NotAction")
	case s.Actions == nil && s.NotActions == nil:
		return s, errors.New("neither Action nor NotAction")
	case s.Resources != nil && s.NotResources != nil:
		return s, errors.New("both Resource and NotResource")
	case s.Principal != nil && s.NotPrincipal != nil:
		return s, errors.New("both Principal and NotPrincipal")
	}
	return s, nil
}

func parsePrincipal(m member) (*PrincipalElement, error) {
	if t, ok := m.value.(string); ok {
		if t != "*" {
			return nil, fmt.Errorf("%s %q is not \"*\" or an object", m.name, t)
		}
		return &PrincipalElement{Any: true}, nil
	}
	o, ok := m.value.(object)
	if !ok {
		return nil, fmt.Errorf("%s is not \"*\" or an object", m.name)
	}
	p := &PrincipalElement{}
	for _, kind := range o {
		list, err := texts(kind, false)
		if err != nil {
			return nil, err
		}
		switch kind.name {
		case "AWS":
			p.AWS = list
		case "Service":
			p.Service = list
		case "Federated":
			p.Federated = list
		case "CanonicalUser":
			p.CanonicalUser = list
		default:
			return nil, fmt.Errorf("unknown kind of principal %q", kind.name)
		}
	}
	return p, nil
}

func parseConditions(m member) ([]Condition, error) {
	o, ok := m.value.(object)
	if !ok {
		return nil, errors.New("Condition is not an object")
	}
	var out []Condition
	for _, operator := range o {
		keys, ok := operator.value.(object)
		if !ok {
			return nil, fmt.Errorf("condition operator %q is not an object", operator.name)
		}
		for _, key := range keys {
			values, err := texts(key, true)
			if err != nil {
				return nil, err
			}
			out = append(out, Condition{Operator: operator.name, Key: key.name, Values: values})
		}
	}
	return out, nil
}

// object is a JSON object in the order of the text.
type object []member

type member struct {
	name  string
	value any
}

// readValue reads one JSON value: nil, bool, string, json.Number, []any or object. Repeated names are errors.
func readValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	switch delim {
	case '[':
		list := []any{}
		for d.More() {
			v, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	case '{':
		o := object{}
		names := map[string]bool{}
		for d.More() {
			token, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, ok := token.(string)
			if !ok {
				return nil, errors.New("an object's name is not a string")
			}
			if names[name] {
				return nil, fmt.Errorf("element %q is repeated", name)
			}
			names[name] = true
			v, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			o = append(o, member{name: name, value: v})
		}
		_, err := d.Token()
		return o, err
	default:
		return nil, fmt.Errorf("unexpected %q", delim.String())
	}
}

func text(m member) (string, error) {
	t, ok := m.value.(string)
	if !ok {
		return "", fmt.Errorf("%s is not a string", m.name)
	}
	return t, nil
}

// texts reads a string or a list of strings, never returning nil without an error. Where scalars is true, booleans and
// numbers count as their text, as in conditions.
func texts(m member, scalars bool) ([]string, error) {
	list, ok := m.value.([]any)
	if !ok {
		list = []any{m.value}
	}
	out := make([]string, 0, len(list))
	for _, v := range list {
		switch v := v.(type) {
		case string:
			out = append(out, v)
			continue
		case bool:
			if scalars {
				out = append(out, fmt.Sprint(v))
				continue
			}
		case json.Number:
			if scalars {
				out = append(out, v.String())
				continue
			}
		}
		return nil, fmt.Errorf("%s is not a string or a list of strings", m.name)
	}
	return out, nil
}

// Kind is a use of a policy, which decides the elements it must and must not have.
type Kind int

const (
	// Identity policies (also boundaries and session policies): no Principal, a Resource in each statement.
	Identity Kind = iota
	// Trust policies of roles: a Principal, no Resource.
	Trust
	// ResourceBased policies (buckets): a Principal and a Resource.
	ResourceBased
)

// malformed is a finding of Validate in IAM's own words, which begin with capitals and end with full stops.
type malformed string

// Error returns the text.
func (m malformed) Error() string { return string(m) }

// Texts of IAM's MalformedPolicyDocument.
const (
	textSyntax       malformed = "Syntax errors in policy."
	textPrincipal    malformed = "Policy document should not specify a principal."
	textNoPrincipal  malformed = "Missing required field Principal"
	textNobody       malformed = "Missing required field Principal cannot be empty!"
	textProhibited   malformed = "Has prohibited field Resource"
	textNoResources  malformed = "Policy statement must contain resources."
	textNoActions    malformed = "Policy statement must contain actions."
	textVendorPrefix malformed = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
)

// Validate checks what a use of a policy demands beyond the grammar. The messages are IAM's where it has one for the
// case (MalformedPolicyDocument).
func (d *Document) Validate(kind Kind) error {
	if len(d.Statements) == 0 {
		return textSyntax
	}
	for i, s := range d.Statements {
		if err := s.validate(kind); err != nil {
			if s.SID != "" {
				return fmt.Errorf("%w (statement %s)", err, s.SID)
			}
			return fmt.Errorf("%w (statement %d)", err, i)
		}
	}
	return nil
}

func (s *Statement) validate(kind Kind) error {
	hasPrincipal := s.Principal != nil || s.NotPrincipal != nil
	hasResource := s.Resources != nil || s.NotResources != nil
	switch {
	case kind == Identity && hasPrincipal:
		return textPrincipal
	case kind != Identity && !hasPrincipal:
		return textNoPrincipal
	case kind == Trust && hasResource:
		return textProhibited
	case kind != Trust && (!hasResource || len(s.Resources)+len(s.NotResources) == 0):
		return textNoResources
	case len(s.Actions)+len(s.NotActions) == 0:
		return textNoActions
	}
	for _, p := range []*PrincipalElement{s.Principal, s.NotPrincipal} {
		if p != nil && !p.Any && len(p.AWS)+len(p.Service)+len(p.Federated)+len(p.CanonicalUser) == 0 {
			return textNobody
		}
	}
	for _, a := range append(append([]string(nil), s.Actions...), s.NotActions...) {
		vendor, name, ok := strings.Cut(a, ":")
		if a != "*" && (!ok || vendor == "" || name == "") {
			return textVendorPrefix
		}
	}
	for _, r := range append(append([]string(nil), s.Resources...), s.NotResources...) {
		if r != "*" && !strings.HasPrefix(r, "arn:") {
			return malformed("Resource " + r + " must be in ARN format or \"*\".")
		}
	}
	for _, c := range s.Conditions {
		if _, err := parseOperator(c.Operator); err != nil {
			return malformed("Invalid Condition type : " + c.Operator + ".")
		}
		if !strings.Contains(c.Key, ":") {
			return textVendorPrefix
		}
	}
	return nil
}
