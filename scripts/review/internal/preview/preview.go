// Package preview reads what `pulumi preview --json` prints, and the state that `pulumi stack export` prints, into two
// pictures of a stack: before the change and after it.
//
// A preview says "[secret]" for every secret and a fixed UUID for what is known only once the change is made. Without
// --show-sames it has only resources that change; the stack's state, where given, has the others.
package preview

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

const (
	// Unknown is the engine's text for a value that is known only after the update (plugin.UnknownStringValue).
	Unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
	// Secret is what stands for a secret in a preview.
	Secret = "[secret]"

	signature       = "4dabf18193072939515e22adb298388d" // key of the engine's wrapped values
	secretSignature = "1b47061264138c4ac30d75fd1eb44270"
)

// Op is what happens to a resource.
type Op string

// The operations of a preview that the review tells apart; a replacement counts once.
const (
	Same    Op = "same"
	Create  Op = "create"
	Update  Op = "update"
	Replace Op = "replace"
	Delete  Op = "delete"
	// Import takes over what exists: nothing changes in the cloud.
	Import Op = "import"
)

// Resource is a resource at one point in time. Secrets are [Secret], whatever they were read from.
type Resource struct {
	URN                     string
	Type                    string
	ID                      string
	Custom                  bool
	Inputs, Outputs         map[string]any
	Parent                  string
	Protect, RetainOnDelete bool
	Dependencies            []string
	PropertyDependencies    map[string][]string
	// SecretOutputs are the outputs that the program marks as secret.
	SecretOutputs []string
	// Provider is the URN and id of the provider.
	Provider string
	// Created and Modified are when the resource was made and last changed, as the state says; zero where it does not.
	Created, Modified time.Time
}

// Name is the logical name.
func (r *Resource) Name() string {
	if i := strings.LastIndex(r.URN, "::"); i >= 0 {
		return r.URN[i+2:]
	}
	return r.URN
}

// ParentType is the type of the parent, empty for children of the stack.
func (r *Resource) ParentType() string { return TypeOf(r.Parent) }

// TypeOf returns the type in a URN, without those of its parents.
func TypeOf(urn string) string {
	parts := strings.SplitN(urn, "::", 4)
	if len(parts) < 4 {
		return ""
	}
	types := strings.Split(parts[2], "$")
	return types[len(types)-1]
}

// Value returns a property of the inputs by its path, nil where there is none.
func (r *Resource) Value(path ...string) any {
	if r == nil {
		return nil
	}
	return at(r.Inputs, path)
}

// Output returns a property of the outputs by its path, nil where there is none.
func (r *Resource) Output(path ...string) any {
	if r == nil {
		return nil
	}
	return at(r.Outputs, path)
}

// Text returns a text property: of the inputs, else of the outputs. known is false where it is absent, secret, or known
// only after the update.
func (r *Resource) Text(path ...string) (text string, known bool) {
	for _, v := range []any{r.Value(path...), r.Output(path...)} {
		if s, ok := v.(string); ok && s != "" {
			return s, s != Unknown && s != Secret
		}
	}
	return "", false
}

func at(m map[string]any, path []string) any {
	var v any = m
	for _, p := range path {
		o, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = o[p]
	}
	return v
}

// Change is what a preview says about one resource.
type Change struct {
	Op Op
	// Before is nil for what is created, After for what is deleted.
	Before, After *Resource
	// Properties are the paths that differ, sorted; Reasons are those that ask for a replacement.
	Properties, Reasons []string
}

// Now returns the resource as it will be, or as it was where it goes.
func (c *Change) Now() *Resource {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// Preview is a whole preview.
type Preview struct {
	Stack, Project string
	// Changes has every resource that the input tells about, unchanged ones too, sorted by URN.
	Changes []*Change
	// Errors are the messages of a preview that failed.
	Errors []string
	// Complete tells whether unchanged resources are among the changes.
	Complete bool
	// Lost counts changes that the summary has and the steps have not.
	Lost int
	// Contradictions are what a preview says that cannot be, a sentence each.
	Contradictions []string
	// Now is when the preview is judged; zero where nobody says.
	Now time.Time
}

type resourceJSON struct {
	URN                  string              `json:"urn"`
	Type                 string              `json:"type"`
	ID                   string              `json:"id"`
	Custom               bool                `json:"custom"`
	Delete               bool                `json:"delete"`
	Inputs               map[string]any      `json:"inputs"`
	Outputs              map[string]any      `json:"outputs"`
	Parent               string              `json:"parent"`
	Protect              bool                `json:"protect"`
	RetainOnDelete       bool                `json:"retainOnDelete"`
	Dependencies         []string            `json:"dependencies"`
	PropertyDependencies map[string][]string `json:"propertyDependencies"`
	SecretOutputs        []string            `json:"additionalSecretOutputs"`
	Provider             string              `json:"provider"`
	Aliases              []string            `json:"aliases"`
	Created              *time.Time          `json:"created"`
	Modified             *time.Time          `json:"modified"`
}

// renamed gives a state, and what it refers to, the names of the new program. A resource that an alias carries over keeps its
// old URN in its old state, and its new state has in `aliases` the one that was found (pulumi/pulumi,
// pkg/resource/deploy/step_generator.go, getOldResource).
func (r *resourceJSON) renamed(names map[string]string) {
	if r == nil || len(names) == 0 {
		return
	}
	now := func(urn string) string { return cmp.Or(names[urn], urn) }
	r.URN, r.Parent = now(r.URN), now(r.Parent)
	for i, urn := range r.Dependencies {
		r.Dependencies[i] = now(urn)
	}
	for _, list := range r.PropertyDependencies {
		for i, urn := range list {
			list[i] = now(urn)
		}
	}
	if i := strings.LastIndex(r.Provider, "::"); i >= 0 {
		r.Provider = now(r.Provider[:i]) + r.Provider[i:]
	}
}

// rename finds the resources that aliases carry over, and names them all as the new program does.
func (d *digest) rename() map[string]string {
	names := map[string]string{}
	for _, s := range d.Steps {
		if s.Old != nil && s.New != nil && s.Old.URN != s.URN && s.Old.URN != "" && slices.Contains(s.New.Aliases, s.Old.URN) {
			names[s.Old.URN] = s.URN
		}
	}
	for i := range d.Steps {
		s := &d.Steps[i]
		s.URN = cmp.Or(names[s.URN], s.URN)
		s.Old.renamed(names)
		s.New.renamed(names)
	}
	return names
}

// resource makes a resource of a state. The step's URN counts.
func (r *resourceJSON) resource(urn string) *Resource {
	if r == nil {
		return nil
	}
	if r.Type == "" {
		r.Type = TypeOf(urn)
	}
	var created, modified time.Time
	if r.Created != nil {
		created = *r.Created
	}
	if r.Modified != nil {
		modified = *r.Modified
	}
	return &Resource{
		Created: created, Modified: modified,
		URN: urn, Type: r.Type, ID: r.ID, Custom: r.Custom,
		Inputs: masked(r.Inputs), Outputs: masked(r.Outputs), Parent: r.Parent,
		Protect: r.Protect, RetainOnDelete: r.RetainOnDelete,
		Dependencies: r.Dependencies, PropertyDependencies: r.PropertyDependencies,
		SecretOutputs: r.SecretOutputs, Provider: r.Provider,
	}
}

// masked replaces the state's wrapped secrets by [Secret].
func masked(m map[string]any) map[string]any {
	for k, v := range m {
		m[k] = mask(v)
	}
	return m
}

func mask(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v[signature] == secretSignature {
			return Secret
		}
		return masked(v)
	case []any:
		for i := range v {
			v[i] = mask(v[i])
		}
	}
	return v
}

type digest struct {
	Steps []struct {
		Op             string              `json:"op"`
		URN            string              `json:"urn"`
		Old            *resourceJSON       `json:"oldState"`
		New            *resourceJSON       `json:"newState"`
		DiffReasons    []string            `json:"diffReasons"`
		ReplaceReasons []string            `json:"replaceReasons"`
		DetailedDiff   map[string]struct{} `json:"detailedDiff"`
	} `json:"steps"`
	Diagnostics []struct {
		URN      string `json:"urn"`
		Message  string `json:"message"`
		Severity string `json:"severity"`
	} `json:"diagnostics"`
	ChangeSummary map[string]int `json:"changeSummary"`
}

// errTwice says that a field of a preview is there more than once, of which each reader takes another.
var errTwice = errors.New("the preview contradicts itself")

// decodeOne reads one preview. Fields are told apart as JSON does, with regard to case.
func decodeOne(decoder *json.Decoder) (digest, error) {
	var d digest
	if t, err := decoder.Token(); err != nil || t != json.Delim('{') {
		return d, cmp.Or(err, errors.New("not an object"))
	}
	fields := map[string]any{"steps": &d.Steps, "diagnostics": &d.Diagnostics, "changeSummary": &d.ChangeSummary}
	seen := map[string]bool{}
	for decoder.More() {
		t, err := decoder.Token()
		if err != nil {
			return d, err
		}
		name, _ := t.(string)
		if seen[name] {
			return d, fmt.Errorf("%w: it has the field %q twice", errTwice, name)
		}
		seen[name] = true
		into := fields[name]
		if into == nil {
			into = &json.RawMessage{}
		}
		if err := decoder.Decode(into); err != nil {
			return d, err
		}
	}
	_, err := decoder.Token()
	return d, err
}

// decode finds the preview's JSON in what a shell wrote to a file: there may be messages around it, and nothing else.
func decode(text []byte) (d digest, rest []byte, err error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	first := error(nil)
	for start := bytes.IndexByte(text, '{'); start >= 0; {
		decoder := json.NewDecoder(bytes.NewReader(text[start:]))
		d, err = decodeOne(decoder)
		if errors.Is(err, errTwice) {
			return d, nil, err
		}
		if err == nil && (d.Steps != nil || d.ChangeSummary != nil || len(d.Diagnostics) > 0) {
			return d, bytes.TrimSpace(text[start+int(decoder.InputOffset()):]), nil
		}
		if first == nil && err != nil {
			first = fmt.Errorf("the preview: %w", err)
		}
		line := bytes.Index(text[start:], []byte("\n{"))
		if line < 0 {
			break
		}
		start += line + 1
	}
	switch {
	case first != nil:
		return d, nil, first
	case bytes.IndexByte(text, '{') < 0:
		return d, nil, errors.New("the preview has no JSON: it must be what `pulumi preview --json` prints")
	}
	return d, nil, errors.New("the preview has neither steps nor a summary: it must be what `pulumi preview --json` prints")
}

// Parse reads a preview, and the state of the stack before it, which may be nil. Text around the preview's JSON is
// skipped. It is an error where the input is not one preview, so that an empty file never passes as an empty change.
func Parse(previewJSON, stateJSON []byte) (*Preview, error) {
	d, rest, err := decode(previewJSON)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(rest, []byte("{")) || bytes.Contains(rest, []byte("\n{")) {
		return nil, errors.New("there is more than one JSON object in the file: give one preview at a time")
	}
	p := &Preview{}
	for _, m := range d.Diagnostics {
		if m.Severity == "error" {
			p.Errors = append(p.Errors, strings.TrimSpace(m.Message))
		}
	}
	for _, line := range strings.Split(string(rest), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "error:") {
			p.Errors = append(p.Errors, strings.TrimSpace(line))
		}
	}
	total, same := 0, 0
	for op, n := range d.ChangeSummary {
		total += max(n, 0)
		if op == string(Same) {
			same = max(n, 0)
		}
	}
	if len(d.Steps) == 0 && total == 0 && len(p.Errors) == 0 {
		return nil, errors.New("the preview is empty: it has no step, no summary and no error, so it says nothing about the stack")
	}
	names := d.rename()
	changes := map[string]*Change{}
	if stateJSON != nil {
		if err := readState(stateJSON, changes, names); err != nil {
			return nil, err
		}
	}
	if err := sameStack(d, changes); err != nil {
		return nil, err
	}
	sames, others := 0, 0
	stepped := map[string]string{} // URN → operation
	for _, s := range d.Steps {
		if s.URN == "" {
			return nil, errors.New("the preview has a step without URN")
		}
		for _, r := range []*resourceJSON{s.Old, s.New} {
			if r != nil && r.URN != "" && r.URN != s.URN {
				p.contradict("the step for %s shows the state of %s", s.URN, r.URN)
			}
		}
		var known *Resource
		c := changes[s.URN]
		earlier, again := stepped[s.URN]
		if !again {
			if c != nil {
				known = c.Before
			}
			c = &Change{Op: Same}
			changes[s.URN] = c
		}
		before, after := s.Old.resource(s.URN), s.New.resource(s.URN)
		if before == nil && known != nil && s.Op != "create" && s.Op != "import" {
			before = known
		}
		before.completed(known)
		if s.Op != "create" && s.Op != "create-replacement" && s.Op != "replace" && s.Op != "import" {
			after.completed(before)
		}
		if s.Op == "same" {
			sames++
		} else {
			others++
		}
		switch s.Op {
		case "same", "refresh", "read":
			if again && earlier != "delete-replaced" && earlier != "refresh" {
				p.contradict("%s is called %s and %s", s.URN, earlier, s.Op)
				break
			}
			c.Before, c.After = before, after
			if s.Op == "read" && before == nil {
				c.Before = after
			}
			if c.After == nil {
				c.After = c.Before
			}
			if c.Before != nil && !reflect.DeepEqual(c.Before.Inputs, c.After.Inputs) {
				c.Op = Update // the provider sees no difference; the program does
			}
		case "import":
			c.Op, c.Before, c.After = Import, after, after
			p.twice(s.URN, earlier, again, s.Op)
		case "create":
			c.Op, c.After = Create, after
			p.twice(s.URN, earlier, again && earlier != "delete-replaced", s.Op)
		case "update":
			c.Op, c.Before, c.After = Update, before, after
			p.twice(s.URN, earlier, again && earlier != "delete-replaced" && earlier != "refresh", s.Op)
		case "delete", "discard":
			if again && earlier != "refresh" { // what is left of an interrupted replacement
				break
			}
			c.Op, c.Before = Delete, before
		case "delete-replaced", "discard-replaced", "remove-pending-replace":
			// The old half of a replacement, or what is left of an interrupted one: then the resource itself has a step of its own.
			switch {
			case !again:
				c.Before = before
			case c.Op == Replace && before != nil:
				c.Before = before
			}
			if again {
				s.Op = earlier
			}
		case "replace", "create-replacement", "read-replacement", "import-replacement":
			c.Op = Replace
			if before != nil {
				c.Before = before
			}
			if after != nil {
				c.After = after
			}
		default:
			return nil, fmt.Errorf("the preview has a step %q that this tool does not know, for %s", s.Op, s.URN)
		}
		stepped[s.URN] = s.Op
		for path := range s.DetailedDiff {
			c.Properties = append(c.Properties, path)
		}
		c.Properties = append(c.Properties, s.DiffReasons...)
		slices.Sort(c.Properties)
		c.Properties = slices.Compact(c.Properties)
		c.Reasons = append(c.Reasons, s.ReplaceReasons...)
		slices.Sort(c.Reasons)
		c.Reasons = slices.Compact(c.Reasons)
	}
	for urn, c := range changes {
		switch {
		case c.Before == nil && c.After == nil:
			return nil, fmt.Errorf("the preview says nothing about %s", urn)
		case c.Op == Same && c.After == nil: // only the old half of a replacement
			c.After = c.Before
		case c.Op == Update && (c.Before == nil || c.After == nil), c.Op == Replace && (c.Before == nil || c.After == nil):
			p.contradict("%s is to %s, but only one of its two states is there", urn, c.Op)
			if c.After == nil {
				c.After = &Resource{URN: urn, Type: c.Before.Type, Parent: c.Before.Parent}
			}
		}
		p.Changes = append(p.Changes, c)
	}
	slices.SortFunc(p.Changes, func(a, b *Change) int { return strings.Compare(a.Now().URN, b.Now().URN) })
	slices.Sort(p.Contradictions)
	p.Contradictions = slices.Compact(p.Contradictions)
	p.complete(stateJSON != nil, total, same, sames, others, changes)
	for _, c := range p.Changes {
		if parts := strings.SplitN(c.Now().URN, "::", 3); len(parts) == 3 {
			p.Stack, p.Project = strings.TrimPrefix(parts[0], "urn:pulumi:"), parts[1]
			break
		}
	}
	return p, nil
}

// Date reads of a stack's state, or of what is left of one, when each resource was made and last changed. A preview does not
// say it.
func (p *Preview) Date(stateJSON []byte) error {
	var state struct {
		Deployment struct {
			Resources []struct {
				URN      string    `json:"urn"`
				Delete   bool      `json:"delete"`
				Created  time.Time `json:"created"`
				Modified time.Time `json:"modified"`
			} `json:"resources"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal(stateJSON, &state); err != nil {
		return fmt.Errorf("the times of the state: %w", err)
	}
	created, modified := map[string]time.Time{}, map[string]time.Time{}
	for _, r := range state.Deployment.Resources {
		if !r.Delete {
			created[r.URN], modified[r.URN] = r.Created, r.Modified
		}
	}
	for _, c := range p.Changes {
		if c.Before != nil && c.Before.Modified.IsZero() {
			c.Before.Created, c.Before.Modified = created[c.Before.URN], modified[c.Before.URN]
		}
	}
	return nil
}

func (p *Preview) contradict(format string, args ...any) {
	p.Contradictions = append(p.Contradictions, fmt.Sprintf(format, args...))
}

func (p *Preview) twice(urn, earlier string, again bool, op string) {
	if again && earlier != op {
		p.contradict("%s is called %s and %s", urn, earlier, op)
	}
}

// complete judges what is missing: resources that the summary counts and the steps do not have, and resources that others
// refer to and nothing is known of.
func (p *Preview) complete(state bool, total, same, sames, others int, changes map[string]*Change) {
	if sames >= same {
		p.Lost = max(0, total-sames-others)
	} else {
		p.Lost = max(0, total-same-others)
	}
	if state {
		p.Complete = true
		return
	}
	p.Complete = sames >= same || sames+others >= total
	for _, c := range p.Changes {
		for _, r := range []*Resource{c.Before, c.After} {
			if r == nil {
				continue
			}
			for _, urn := range append(slices.Clone(r.Dependencies), r.Parent) {
				if urn != "" && changes[urn] == nil && r.Type != "pulumi:pulumi:Stack" && TypeOf(urn) != "pulumi:pulumi:Stack" && c.Op != Delete && r == c.After {
					p.Complete = false
				}
			}
		}
	}
}

// completed adds to a state what an earlier one of the same resource knows: steps of resources that stay lack outputs and id.
func (r *Resource) completed(earlier *Resource) {
	if r == nil || earlier == nil || r == earlier {
		return
	}
	if r.ID == "" {
		r.ID = earlier.ID
	}
	if r.Modified.IsZero() { // previews do not say it
		r.Modified = earlier.Modified
	}
	if r.Inputs == nil && earlier.Inputs != nil && r.Outputs == nil {
		r.Inputs = earlier.Inputs
	}
	if len(r.Outputs) > 0 {
		return
	}
	r.Outputs = map[string]any{}
	for k, v := range earlier.Outputs {
		// An output that is an input too is what the input will be.
		if _, input := r.Inputs[k]; !input {
			if _, was := earlier.Inputs[k]; !was {
				r.Outputs[k] = v
			}
		}
	}
	for k, v := range r.Inputs {
		r.Outputs[k] = v
	}
}

// sameStack refuses a state of another stack: what it says of the rest would be of nobody whom the preview is about.
func sameStack(d digest, state map[string]*Change) error {
	of := func(urn string) string {
		return strings.Join(strings.SplitN(urn, "::", 3)[:min(2, strings.Count(urn, "::"))], "::")
	}
	if len(d.Steps) == 0 {
		return nil
	}
	is := of(d.Steps[0].URN) // steps of several stacks contradict each other, whatever the state
	for urn := range state {
		if was := of(urn); is != was {
			return fmt.Errorf("the state is of %s, the preview of %s: give the state of the same stack", strings.TrimPrefix(was, "urn:pulumi:"), strings.TrimPrefix(is, "urn:pulumi:"))
		}
	}
	return nil
}

func readState(stateJSON []byte, changes map[string]*Change, names map[string]string) error {
	var state struct {
		Deployment *struct {
			Resources []*resourceJSON `json:"resources"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal(stateJSON, &state); err != nil {
		return fmt.Errorf("the state: %w", err)
	}
	if state.Deployment == nil {
		return errors.New("the state has no deployment: it must be what `pulumi stack export` prints")
	}
	for _, r := range state.Deployment.Resources {
		if r == nil || r.URN == "" {
			return errors.New("the state has a resource without URN")
		}
		if r.Delete { // left of an interrupted replacement: its successor has the same URN
			continue
		}
		r.renamed(names)
		res := r.resource(r.URN)
		changes[r.URN] = &Change{Op: Same, Before: res, After: res}
	}
	return nil
}
