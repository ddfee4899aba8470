// Package distill turns the project's schema facts (schema.json, prose and rules included) into the tables that
// the stand-in providers carry: one JSON document a provider, with what Check and Diff decide on and nothing else.
package distill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// source is one entry of schema.json.
type source struct {
	Kind                string              `json:"kind"`
	Inputs              map[string]property `json:"inputs"`
	Outputs             map[string]string   `json:"outputs"`
	AutoName            *autoName           `json:"autoName"`
	SecretOutputs       []string            `json:"secretOutputs"`
	DeleteBeforeReplace bool                `json:"deleteBeforeReplace"`
	Aliases             []string            `json:"aliases"`
}

type property struct {
	Type       string          `json:"type"`
	Elem       string          `json:"elem"`
	Required   bool            `json:"required"`
	ForceNew   bool            `json:"forceNew"`
	Computed   bool            `json:"computed"`
	Set        bool            `json:"set"`
	Deprecated bool            `json:"deprecated"`
	Sensitive  bool            `json:"sensitive"`
	MaxItems   int             `json:"maxItems"`
	Default    json.RawMessage `json:"default"`
	Rules      []string        `json:"rules"`
}

type autoName struct {
	Property  string `json:"property"`
	MaxLen    int    `json:"maxLen"`
	Transform string `json:"transform"`
	Random    *bool  `json:"random"`
	Note      string `json:"note"`
}

// Entry is one type or function of a distilled table.
type Entry struct {
	Function            bool             `json:"function,omitempty"`
	Inputs              map[string]Input `json:"inputs,omitempty"`
	Outputs             []string         `json:"outputs,omitempty"`
	AutoName            *AutoName        `json:"autoName,omitempty"`
	SecretOutputs       []string         `json:"secretOutputs,omitempty"`
	DeleteBeforeReplace bool             `json:"deleteBeforeReplace,omitempty"`
}

// AutoName says how a missing name is made.
type AutoName struct {
	// Property is the input that receives the name.
	Property string `json:"property"`
	// MaxLen is the greatest length that the autonamer makes, 0 for no limit.
	MaxLen int `json:"maxLen,omitempty"`
	// Lower asks for lower case.
	Lower bool `json:"lower,omitempty"`
	// Exact takes the logical name as it is, without random digits.
	Exact bool `json:"exact,omitempty"`
}

// Input holds the facts of one input property. Nested properties have dotted keys (`rule.objectOwnership`).
type Input struct {
	Type       string          `json:"type"`
	Elem       string          `json:"elem,omitempty"`
	Required   bool            `json:"required,omitempty"`
	ForceNew   bool            `json:"forceNew,omitempty"`
	Computed   bool            `json:"computed,omitempty"`
	Set        bool            `json:"set,omitempty"`
	Deprecated bool            `json:"deprecated,omitempty"`
	Sensitive  bool            `json:"sensitive,omitempty"`
	MaxItems   int             `json:"maxItems,omitempty"`
	Default    json.RawMessage `json:"default,omitempty"`

	// Enum lists the values that the provider accepts; absent where the list is open or was not verified.
	Enum []string `json:"enum,omitempty"`
	// Min and Max bound a number, or the length of a text (or of each text of a list).
	Min *int `json:"min,omitempty"`
	Max *int `json:"max,omitempty"`
	// Format is json, arn or ipv4cidr.
	Format string `json:"format,omitempty"`
	// Conflicts, OneOf and Requires name sibling properties.
	Conflicts []string `json:"conflicts,omitempty"`
	OneOf     []string `json:"oneOf,omitempty"`
	Requires  []string `json:"requires,omitempty"`
}

// unverifiedEnums are the properties whose value lists the schema facts completed from general knowledge: an unlisted
// value must pass there.
var unverifiedEnums = map[string]bool{
	"aws:route53/record:Record.type": true,
	"aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy.securityHeadersConfig.referrerPolicy.referrerPolicy": true,
	"aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy.securityHeadersConfig.frameOptions.frameOption":      true,
	// Certificate.subjectAlternativeNames and friends carry no list; Listener protocols are upper-cased first.
	"aws:lb/listener:Listener.protocol": true,
}

// Tables reads schema.json and returns the tables of its providers (aws, tls), each as indented JSON with sorted
// keys and a final newline, keyed by package name.
func Tables(schema []byte) (map[string][]byte, error) {
	var all map[string]source
	if err := json.Unmarshal(schema, &all); err != nil {
		return nil, fmt.Errorf("reading the schema facts: %w", err)
	}
	tables := map[string]map[string]Entry{}
	for token, src := range all {
		if strings.HasPrefix(token, "_") {
			continue
		}
		pkg, _, ok := strings.Cut(token, ":")
		if !ok {
			return nil, fmt.Errorf("schema facts: %q is not a type token", token)
		}
		if tables[pkg] == nil {
			tables[pkg] = map[string]Entry{}
		}
		tables[pkg][token] = entry(token, src)
	}
	out := map[string][]byte{}
	for pkg, table := range tables {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		if err := enc.Encode(table); err != nil {
			return nil, fmt.Errorf("writing the %s table: %w", pkg, err)
		}
		out[pkg] = b.Bytes()
	}
	return out, nil
}

func entry(token string, src source) Entry {
	e := Entry{
		Function:            src.Kind == "function",
		SecretOutputs:       src.SecretOutputs,
		DeleteBeforeReplace: src.DeleteBeforeReplace,
		Inputs:              map[string]Input{},
	}
	for name := range src.Outputs {
		e.Outputs = append(e.Outputs, name)
	}
	sort.Strings(e.Outputs)
	for name, p := range src.Inputs {
		e.Inputs[name] = input(token, name, p, src.Inputs)
	}
	if a := src.AutoName; a != nil {
		e.AutoName = &AutoName{
			Property: a.Property,
			MaxLen:   a.MaxLen,
			Lower:    a.Transform == "lower",
			Exact:    a.Random != nil && !*a.Random,
		}
		if m := validatorAllows.FindStringSubmatch(a.Note); m != nil {
			p := e.Inputs[a.Property]
			if p.Max == nil {
				p.Max = number(m[1])
				e.Inputs[a.Property] = p
			}
		}
	}
	return e
}

var (
	validatorAllows = regexp.MustCompile(`^validator allows (\d+)$`)
	ranged          = regexp.MustCompile(`^(?:each )?(-?\d+) to (\d+)(?:$| of letters| days$| in the version read$)`)
	upTo            = regexp.MustCompile(`^up to (\d+)(?:$| characters| of letters)`)
	exactly         = regexp.MustCompile(`^each exactly (\d+) hex characters$`)
	atLeast         = regexp.MustCompile(`^(?:at least (\d+)|(\d+) or more)$`)
	name            = regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)
	separators      = regexp.MustCompile(`,? and |, `)
)

func input(token, path string, p property, all map[string]property) Input {
	in := Input{
		Type: p.Type, Elem: p.Elem, Required: p.Required, ForceNew: p.ForceNew, Computed: p.Computed, Set: p.Set,
		Deprecated: p.Deprecated, Sensitive: p.Sensitive, MaxItems: p.MaxItems, Default: p.Default,
	}
	siblings := func(list string) []string {
		parent := ""
		if i := strings.LastIndex(path, "."); i >= 0 {
			parent = path[:i+1]
		}
		names := separators.Split(list, -1)
		for _, n := range names {
			if _, ok := all[parent+n]; !ok || !name.MatchString(n) {
				return nil
			}
		}
		return names
	}
	for _, rule := range p.Rules {
		if strings.Contains(rule, "[AWS]") {
			continue // a limit of the service: the service refuses it, the provider's preview does not
		}
		switch {
		case strings.HasPrefix(rule, "enum "):
			in.Enum = enum(token+"."+path, strings.TrimPrefix(rule, "enum "))
		case rule == "stop or terminate":
			in.Enum = []string{"stop", "terminate"}
		case rule == `string "true" or "false"` || rule == "text true or false":
			in.Enum = []string{"true", "false"}
		case ranged.MatchString(rule):
			m := ranged.FindStringSubmatch(rule)
			in.Min, in.Max = number(m[1]), number(m[2])
		case upTo.MatchString(rule):
			in.Max = number(upTo.FindStringSubmatch(rule)[1])
		case exactly.MatchString(rule):
			n := number(exactly.FindStringSubmatch(rule)[1])
			in.Min, in.Max = n, n
		case atLeast.MatchString(rule):
			m := atLeast.FindStringSubmatch(rule)
			in.Min = number(m[1] + m[2])
		case strings.HasPrefix(rule, "JSON"):
			in.Format = "json"
		case rule == "ARN" || rule == "ARNs":
			in.Format = "arn"
		case strings.HasPrefix(rule, "IPv4 CIDR"):
			in.Format = "ipv4cidr"
		case strings.HasPrefix(rule, "conflicts with "):
			in.Conflicts = append(in.Conflicts, siblings(strings.TrimPrefix(rule, "conflicts with "))...)
		case strings.HasPrefix(rule, "exactly one of "):
			in.OneOf = siblings(strings.TrimPrefix(rule, "exactly one of "))
		case strings.HasPrefix(rule, "requires "):
			in.Requires = append(in.Requires, siblings(strings.TrimPrefix(rule, "requires "))...)
		}
	}
	return in
}

// enum returns the words of a closed list; nil for a list that is open ("such as", "and so on") or not fully verified.
func enum(path, list string) []string {
	if unverifiedEnums[path] || strings.Contains(list, "such as") || strings.Contains(list, "and so on") ||
		strings.Contains(list, "(") || strings.HasPrefix(list, "of ") {
		return nil
	}
	return strings.Split(list, ", ")
}

func number(text string) *int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil
	}
	return &n
}
