// Package preview reads what `pulumi preview --json` prints, and the state that `pulumi stack export` prints, into two
// pictures of a stack: before the change and after it.
//
// A preview says "[secret]" for every secret and a fixed UUID for what is known only once the change is made. Without
// --show-sames it has only resources that change; the stack's state, where given, has the others.
package preview

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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
}

// Name is the logical name.
func (r *Resource) Name() string {
	return r.URN[strings.LastIndex(r.URN, "::")+2:]
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
}

func (r *resourceJSON) resource() *Resource {
	if r == nil {
		return nil
	}
	return &Resource{
		URN: r.URN, Type: r.Type, ID: r.ID, Custom: r.Custom,
		Inputs: masked(r.Inputs), Outputs: masked(r.Outputs), Parent: r.Parent,
		Protect: r.Protect, RetainOnDelete: r.RetainOnDelete,
		Dependencies: r.Dependencies, PropertyDependencies: r.PropertyDependencies,
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

// Parse reads a preview, and the state of the stack before it, which may be nil. Text in front of the preview's JSON is
// skipped. It is an error where the input is not a preview, so that an empty file never passes as an empty change.
func Parse(previewJSON, stateJSON []byte) (*Preview, error) {
	start := bytes.IndexByte(previewJSON, '{')
	if start < 0 {
		return nil, errors.New("the preview has no JSON: it must be what `pulumi preview --json` prints")
	}
	var d digest
	if err := json.NewDecoder(bytes.NewReader(previewJSON[start:])).Decode(&d); err != nil {
		return nil, fmt.Errorf("the preview: %w", err)
	}
	if d.Steps == nil && d.ChangeSummary == nil && len(d.Diagnostics) == 0 {
		return nil, errors.New("the preview has neither steps nor a summary: it must be what `pulumi preview --json` prints")
	}
	p := &Preview{}
	for _, m := range d.Diagnostics {
		if m.Severity == "error" {
			p.Errors = append(p.Errors, strings.TrimSpace(m.Message))
		}
	}
	changes := map[string]*Change{}
	if stateJSON != nil {
		if err := readState(stateJSON, changes); err != nil {
			return nil, err
		}
		p.Complete = true
	}
	for _, s := range d.Steps {
		if s.URN == "" {
			return nil, errors.New("the preview has a step without URN")
		}
		c, known := changes[s.URN]
		if !known || c.Op == Same {
			c = &Change{Op: Same}
			changes[s.URN] = c
		}
		before, after := s.Old.resource(), s.New.resource()
		switch s.Op {
		case "same", "refresh", "read":
			p.Complete = p.Complete || s.Op == "same"
			c.Before, c.After = before, after
			if s.Op == "read" && before == nil {
				c.Before = after
			}
		case "create", "import":
			c.Op, c.After = Create, after
		case "update":
			c.Op, c.Before, c.After = Update, before, after
		case "delete", "discard":
			c.Op, c.Before = Delete, before
		case "replace", "create-replacement", "delete-replaced", "read-replacement", "discard-replaced", "import-replacement", "remove-pending-replace":
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
		if c.Before == nil && c.After == nil {
			return nil, fmt.Errorf("the preview says nothing about %s", urn)
		}
		// Where only metadata differ, such as protect, the step is "same" and the two states tell.
		p.Changes = append(p.Changes, c)
	}
	slices.SortFunc(p.Changes, func(a, b *Change) int { return strings.Compare(a.Now().URN, b.Now().URN) })
	for _, c := range p.Changes {
		if parts := strings.SplitN(c.Now().URN, "::", 3); len(parts) == 3 {
			p.Stack, p.Project = strings.TrimPrefix(parts[0], "urn:pulumi:"), parts[1]
			break
		}
	}
	return p, nil
}

func readState(stateJSON []byte, changes map[string]*Change) error {
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
		res := r.resource()
		changes[r.URN] = &Change{Op: Same, Before: res, After: res}
	}
	return nil
}
