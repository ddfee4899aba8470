// Package drift turns the preview of an unchanged program around. What `pulumi preview --refresh` prints leads from AWS
// to the program: it says what an update would do. Drift is the way from the program to AWS: what somebody has added by
// hand is a gain, by them, and the same signs judge it.
package drift

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// step is a step of a preview, as far as it is turned around; the rest is kept as it is.
type step map[string]json.RawMessage

// reversed are the operations by what they are from the other side. Those of one replacement become one.
var reversed = map[string]string{
	"same": "same", "read": "same",
	"create": "delete", "import": "delete",
	"delete": "create", "discard": "create",
	"update":  "update",
	"replace": "replace", "create-replacement": "replace", "delete-replaced": "replace",
}

// Preview is a preview that leads from the program to AWS.
type Preview struct {
	fields map[string]json.RawMessage
	steps  []step
	// stack and project are those of the URNs.
	stack, project string
}

// Reverse turns a preview around. Steps that it does not know are an error, never left out.
func Reverse(data []byte) (*Preview, error) {
	start := bytes.IndexByte(data, '{')
	if start < 0 {
		return nil, errors.New("the preview has no JSON: it must be what `pulumi preview --refresh --json` prints")
	}
	p := &Preview{}
	if err := json.Unmarshal(data[start:], &p.fields); err != nil {
		return nil, fmt.Errorf("the preview: %w", err)
	}
	var steps []step
	if err := json.Unmarshal(p.fields["steps"], &steps); err != nil || len(steps) == 0 {
		return nil, errors.Join(errors.New("the preview has no steps: run it with --show-sames"), err)
	}
	// A refresh says how AWS differs from the state. Where the program has the resource too, a later step says how AWS
	// differs from the program, which counts here.
	told := map[string]bool{}
	for _, s := range steps {
		if op := s.text("op"); op != "refresh" {
			told[s.text("urn")] = true
		}
	}
	for _, s := range steps {
		op, urn := s.text("op"), s.text("urn")
		if parts := strings.SplitN(urn, "::", 3); len(parts) == 3 && p.stack == "" {
			p.stack, p.project = strings.TrimPrefix(parts[0], "urn:pulumi:"), parts[1]
		}
		if op == "refresh" {
			if !told[urn] {
				return nil, fmt.Errorf("the preview refreshes %s, and says nothing about it afterwards", urn)
			}
			continue
		}
		turned, known := reversed[op]
		if !known {
			return nil, fmt.Errorf("the preview has a step %q that this tool cannot turn around, for %s", op, urn)
		}
		if turned == "same" {
			if err := settle(s); err != nil {
				return nil, fmt.Errorf("%s: %w", urn, err)
			}
		} else {
			aws, program := s["oldState"], s["newState"]
			filled, err := fill(program, aws)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", urn, err)
			}
			s["oldState"], s["newState"] = filled, aws
		}
		s["op"] = quoted(turned)
		p.steps = append(p.steps, s)
	}
	return p, nil
}

// passedOver are inputs of which AWS never says what the program says, and whose difference the provider passes over: by
// type, the input and the program's value. A parameter of Intelligent-Tiering has one of the other tiers in AWS
// (terraform-provider-aws, internal/service/ssm/parameter.go, DiffSuppressFunc of tier).
var passedOver = map[string]struct{ input, value string }{
	"aws:ssm/parameter:Parameter": {"tier", "Intelligent-Tiering"},
}

// settle gives AWS's side of a resource that does not differ what the program says of such an input.
func settle(s step) error {
	var aws, program map[string]json.RawMessage
	if err := errors.Join(object(s["oldState"], &aws), object(s["newState"], &program)); err != nil {
		return err
	}
	var typ string
	if aws == nil || program == nil || json.Unmarshal(program["type"], &typ) != nil {
		return nil
	}
	over, ok := passedOver[typ]
	if !ok {
		return nil
	}
	var said map[string]json.RawMessage
	if err := object(program["inputs"], &said); err != nil {
		return err
	}
	if string(said[over.input]) != string(quoted(over.value)) {
		return nil
	}
	for _, side := range []string{"inputs", "outputs"} {
		var values map[string]json.RawMessage
		if err := object(aws[side], &values); err != nil {
			return err
		}
		if values == nil || null(values[over.input]) {
			continue
		}
		values[over.input] = said[over.input]
		text, err := json.Marshal(values)
		if err != nil {
			return err
		}
		aws[side] = text
	}
	text, err := json.Marshal(aws)
	s["oldState"] = text
	return err
}

func (s step) text(key string) string {
	var t string
	_ = json.Unmarshal(s[key], &t) // what is no text is none
	return t
}

func quoted(s string) json.RawMessage {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always becomes JSON
	}
	return text
}

// fill gives the program's side of a resource what only AWS knows (ARN, id): the preview does not have it there. What the
// program says itself stays.
func fill(program, aws json.RawMessage) (json.RawMessage, error) {
	if null(program) || null(aws) {
		return program, nil
	}
	var p, a map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(program, &p), json.Unmarshal(aws, &a)); err != nil {
		return nil, err
	}
	var inputs, outputs map[string]json.RawMessage
	if err := errors.Join(object(p["inputs"], &inputs), object(a["outputs"], &outputs)); err != nil {
		return nil, err
	}
	if outputs == nil {
		outputs = map[string]json.RawMessage{}
	}
	maps.Copy(outputs, inputs)
	text, err := json.Marshal(outputs)
	if err != nil {
		return nil, err
	}
	p["outputs"] = text
	if null(p["id"]) || string(p["id"]) == `""` {
		p["id"] = a["id"]
	}
	return json.Marshal(p)
}

func null(m json.RawMessage) bool { return len(m) == 0 || string(m) == "null" }

func object(m json.RawMessage, into *map[string]json.RawMessage) error {
	if null(m) {
		return nil
	}
	return json.Unmarshal(m, into)
}

// JSON is the preview, as `pulumi preview --json` would print it.
func (p *Preview) JSON() ([]byte, error) {
	steps, err := json.Marshal(p.steps)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, s := range p.steps {
		count[s.text("op")]++
	}
	summary, err := json.Marshal(count)
	if err != nil {
		return nil, err
	}
	fields := maps.Clone(p.fields)
	fields["steps"], fields["changeSummary"] = steps, summary
	return json.Marshal(fields)
}

// add makes a resource of what AWS has and no resource of the stack is.
func (p *Preview) add(typ, name, id string, properties map[string]any) error {
	urn := fmt.Sprintf("urn:pulumi:%s::%s::%s::%s", p.stack, p.project, typ, name)
	state, err := json.Marshal(map[string]any{"urn": urn, "type": typ, "id": id, "custom": true, "inputs": properties, "outputs": properties})
	if err != nil {
		return err
	}
	p.steps = append(p.steps, step{"op": quoted("create"), "urn": quoted(urn), "newState": state})
	return nil
}

// role is a role of the stack, with the policies that the stack has for it.
type role struct {
	name             string
	inline, attached map[string]bool
}

// policies are the ARNs of the stack's own managed policies.
func (p *Preview) roles() (roles []*role, policies map[string]bool, err error) {
	type resource struct {
		Type    string         `json:"type"`
		ID      string         `json:"id"`
		Inputs  map[string]any `json:"inputs"`
		Outputs map[string]any `json:"outputs"`
	}
	policies = map[string]bool{}
	byName := map[string]*role{}
	named := func(name string) *role {
		if byName[name] == nil {
			byName[name] = &role{name: name, inline: map[string]bool{}, attached: map[string]bool{}}
		}
		return byName[name]
	}
	text := func(r *resource, key string) string {
		for _, m := range []map[string]any{r.Outputs, r.Inputs} {
			if s, ok := m[key].(string); ok && s != "" {
				return s
			}
		}
		return ""
	}
	stackRoles := map[string]bool{}
	for _, s := range p.steps {
		if s.text("op") == "create" {
			continue // AWS's own: not what the program says
		}
		state := s["oldState"]
		if null(state) {
			state = s["newState"]
		}
		if null(state) {
			continue
		}
		var r resource
		if err := json.Unmarshal(state, &r); err != nil {
			return nil, nil, err
		}
		switch r.Type {
		case "aws:iam/role:Role":
			if r.ID == "" || s.text("op") == "delete" {
				continue // not in AWS
			}
			stackRoles[r.ID] = true
			one := named(r.ID)
			for _, p := range list(r.Inputs["inlinePolicies"]) {
				if m, ok := p.(map[string]any); ok {
					name, _ := m["name"].(string)
					one.inline[name] = true
				}
			}
			for _, arn := range list(r.Inputs["managedPolicyArns"]) {
				if arn, ok := arn.(string); ok {
					one.attached[arn] = true
				}
			}
		case "aws:iam/rolePolicy:RolePolicy":
			// Its id is role:name.
			name, policy, ok := strings.Cut(r.ID, ":")
			if !ok {
				name, policy = text(&r, "role"), text(&r, "name")
			}
			named(name).inline[policy] = true
		case "aws:iam/rolePolicyAttachment:RolePolicyAttachment":
			named(text(&r, "role")).attached[text(&r, "policyArn")] = true
		case "aws:iam/policyAttachment:PolicyAttachment":
			for _, name := range list(r.Inputs["roles"]) {
				if name, ok := name.(string); ok {
					named(name).attached[text(&r, "policyArn")] = true
				}
			}
		case "aws:iam/policy:Policy":
			policies[text(&r, "arn")] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(stackRoles)) {
		roles = append(roles, byName[name])
	}
	return roles, policies, nil
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}
