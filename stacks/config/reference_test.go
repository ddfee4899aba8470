package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"k3s-aws-auth/components/presets"
)

// What people read of the keys is made of the types here: `make generate` writes
// it, and TestGenerated fails where it is stale.

var update = flag.Bool("update", false, "write what is made of the configuration's types")

// schemaFile is the JSON schema of stack files, for editors.
const schemaFile = "stack.schema.json"

// key is one key of the configuration, or the object that has it.
type key struct {
	path    string
	value   reflect.Value // its default
	meaning string        // the field's comment: Markdown, with links as in docs/
	tag     reflect.StructTag
	setups  string // those that use it, or "all"
	below   []*key // of an object, and of the entries of a list
}

// entryOf is a new entry of a list of objects, with its defaults.
func entryOf(list reflect.Type) reflect.Value {
	entry := reflect.New(list.Elem())
	entry.Interface().(defaulter).setDefaults()
	return entry.Elem()
}

// allKeys returns the keys of the configuration in the order of the types.
func allKeys(t *testing.T) []*key {
	t.Helper()
	packages, err := parser.ParseDir(token.NewFileSet(), ".", nil, parser.ParseComments) //nolint:staticcheck // no build tags here
	require.NoError(t, err)
	meanings := map[string]string{} // of Type.Field
	ast.Inspect(packages["config"], func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						meanings[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
					}
				}
			}
		}
		return true
	})
	var below func(path, setups string, value reflect.Value) []*key
	below = func(path, setups string, value reflect.Value) (keys []*key) {
		for i := range value.NumField() {
			f := value.Type().Field(i)
			if !f.IsExported() {
				continue // no key
			}
			k := &key{path: join(path, keyOf(f)), value: value.Field(i), tag: f.Tag, setups: setups, meaning: meanings[value.Type().Name()+"."+f.Name]}
			require.NotEmpty(t, k.meaning, "%s.%s has no comment that says what the key means", value.Type(), f.Name)
			if keyOf(f) == "" {
				k.path = f.Tag.Get("key")
			}
			if own, ok := f.Tag.Lookup("setups"); ok {
				k.setups = strings.ReplaceAll(own, ",", ", ")
			}
			switch {
			case f.Type.Kind() == reflect.Struct:
				k.below = below(k.path, k.setups, k.value)
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
				k.below = below(k.path+"[]", k.setups, entryOf(f.Type))
			}
			keys = append(keys, k)
		}
		return keys
	}
	return below("", "all", reflect.ValueOf(Defaults("")))
}

// rows are the key's row in a table of docs/config.md, and those of the keys below it.
func (k *key) rows() string {
	var rows strings.Builder
	if kind, fallback := k.kind(), k.fallback(); k.value.Kind() != reflect.Struct {
		fmt.Fprintf(&rows, "| `%s` | %s | %s | %s | %s |\n", k.path, kind, fallback, k.meaning, k.setups)
	}
	for _, b := range k.below {
		rows.WriteString(b.rows())
	}
	return rows.String()
}

// kind is the type of the key's value in words.
func (k *key) kind() string {
	switch k.value.Kind() {
	case reflect.Slice:
		if k.below != nil {
			return "list of objects"
		}
		return "list of text"
	case reflect.Map:
		if k.value.Type().Elem().Kind() == reflect.String {
			return "object of text"
		}
		return "object"
	case reflect.Bool:
		return "true/false"
	case reflect.Int:
		return "number"
	default:
		return "text"
	}
}

// fallback is the key's default as the documentation shows it.
func (k *key) fallback() string {
	if k.tag.Get("required") != "" {
		return "required"
	}
	if text := k.tag.Get("default"); text != "" {
		return text
	}
	if k.value.Kind() == reflect.Slice || k.value.Kind() == reflect.Map || k.value.Kind() == reflect.String && k.value.String() == "" {
		return "–"
	}
	return fmt.Sprintf("`%v`", k.value)
}

var link = regexp.MustCompile(`\[([^\]]+)\]\([^)]+\)`)

// plain is the meaning without links, for readers who are not in docs/.
func (k *key) plain() string { return link.ReplaceAllString(k.meaning, "$1") }

// brief is the meaning's first sentence, with who uses the key and what it is where
// it is empty.
func (k *key) brief() string {
	first, _, _ := strings.Cut(k.plain()+" ", ". ")
	first = strings.ReplaceAll(strings.TrimSuffix(strings.TrimSpace(first), "."), "`", "")
	if k.setups != "all" {
		first += " (" + k.setups + ")"
	}
	if text := k.tag.Get("default"); text != "" {
		first += "; " + text + " where it is empty"
	}
	return first
}

// setupNames are the values of the key setup.
func setupNames(t *testing.T) (names []string) {
	t.Helper()
	for _, s := range listedSetups(t) {
		names = append(names, s.Name)
	}
	return names
}

// listedSetups are the program's setups, without the rules of their own.
func listedSetups(t *testing.T) (setups []Setup) {
	t.Helper()
	content, err := os.ReadFile("../setups.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &setups))
	return setups
}

// schema is the JSON schema of the key's value. setups are the values of the key
// setup.
func (k *key) schema(setups []string) map[string]any {
	s := map[string]any{"description": k.plain()}
	top := !strings.ContainsAny(k.path, ".[")
	switch k.value.Kind() {
	case reflect.Struct:
		objectSchema(s, k.below, setups)
	case reflect.Slice:
		s["type"], s["items"] = "array", map[string]any{"type": "string"}
		if k.below != nil {
			s["items"] = objectSchema(map[string]any{}, k.below, setups)
		}
	case reflect.Map:
		s["type"] = "object"
		if k.value.Type().Elem().Kind() == reflect.String {
			s["additionalProperties"] = map[string]any{"type": "string"}
		} else {
			values := map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
			s["additionalProperties"] = map[string]any{"type": "object", "additionalProperties": values}
		}
	case reflect.Bool:
		s["type"], s["default"] = "boolean", k.value.Bool()
		if top { // what `pulumi config set` writes
			delete(s, "type")
			s["enum"] = []any{true, false, "true", "false"}
		}
	case reflect.Int:
		s["type"], s["default"] = "integer", k.value.Int()
	default:
		s["type"] = "string"
		if text := k.value.String(); text != "" {
			s["default"] = text
		}
	}
	switch few := choices[k.path]; {
	case k.path == "setup":
		s["enum"] = setups
	case k.path == "identities[].preset.name":
		s["enum"] = presets.Names()
	case few != nil:
		s["enum"] = few
	case k.path == "cluster.kubeconfig": // the one secret
		s["type"], s["required"] = "object", []string{"secure"}
		s["properties"] = map[string]any{"secure": map[string]any{"type": "string"}}
	}
	return s
}

// objectSchema adds to s what says which keys an object has.
func objectSchema(s map[string]any, keys []*key, setups []string) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, k := range keys {
		name := k.path[strings.LastIndexAny(k.path, ".")+1:]
		properties[name] = k.schema(setups)
		if k.tag.Get("required") == "always" {
			required = append(required, name)
		}
	}
	s["type"], s["properties"], s["additionalProperties"] = "object", properties, false
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// stackSchema is the JSON schema of a stack's file.
func stackSchema(t *testing.T, keys []*key) string {
	t.Helper()
	setups := setupNames(t)
	properties, required, ours := map[string]any{}, []string{}, []string{}
	for _, k := range keys {
		full := k.path
		if !strings.Contains(full, ":") {
			full = Project + ":" + full
			ours = append(ours, full)
		}
		properties[full] = k.schema(setups)
		if k.tag.Get("required") == "always" {
			required = append(required, full)
		}
	}
	text := &bytes.Buffer{}
	encoder := json.NewEncoder(text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	require.NoError(t, encoder.Encode(map[string]any{
		"$schema": "http://json-schema.org/draft-07/schema#",
		"title":   "A stack of " + Project,
		"type":    "object",
		"properties": map[string]any{"config": map[string]any{
			"type": "object", "properties": properties, "required": required,
			// Other namespaces are the providers'.
			"propertyNames": map[string]any{"anyOf": []any{
				map[string]any{"enum": ours}, map[string]any{"not": map[string]any{"pattern": "^" + Project + ":"}},
			}},
		}},
		"required": []string{"config"},
	}))
	return text.String()
}

// projectConfig is the section of Pulumi.yaml that declares the keys.
func projectConfig(t *testing.T, keys []*key) string {
	t.Helper()
	section := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range keys {
		if strings.Contains(k.path, ":") {
			continue // not the project's
		}
		declared := &yaml.Node{Kind: yaml.MappingNode}
		set := func(key string, value *yaml.Node) {
			declared.Content = append(declared.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
		}
		text := func(s string) *yaml.Node { n := &yaml.Node{}; n.SetString(s); return n }
		types := map[reflect.Kind]string{reflect.Bool: "boolean", reflect.Int: "integer", reflect.String: "string", reflect.Slice: "array"}
		if types[k.value.Kind()] == "" {
			types[k.value.Kind()] = "object"
		}
		set("type", text(types[k.value.Kind()]))
		if k.value.Kind() == reflect.Slice {
			set("items", &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("type"), text("object")}})
		}
		set("description", text(k.brief()))
		if k.path != "setup" { // the setup is for the user to choose
			set("default", k.yaml())
		}
		section.Content = append(section.Content, text(k.path), declared)
	}
	return encodeYAML(t, "config", section)
}

// yaml is the key's default.
func (k *key) yaml() *yaml.Node {
	node := &yaml.Node{}
	switch k.value.Kind() {
	case reflect.Struct:
		node.Kind = yaml.MappingNode
		for _, b := range k.below {
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: b.path[strings.LastIndex(b.path, ".")+1:]}, b.yaml())
		}
	case reflect.Slice:
		node.Kind, node.Style = yaml.SequenceNode, yaml.FlowStyle
	case reflect.Map:
		node.Kind, node.Style = yaml.MappingNode, yaml.FlowStyle
	case reflect.String:
		node.SetString(k.value.String())
	default:
		node.Kind, node.Value = yaml.ScalarNode, fmt.Sprint(k.value)
	}
	return node
}

// asked are the keys that `pulumi new` asks for, with what it proposes: it can ask
// for plain values alone.
var asked = []struct{ path, proposed string }{
	{"setup", "irsa-s3"}, {"clusterName", ""}, {"demo", "true"}, {"aws:region", "eu-central-1"},
}

// templateConfig is the part of Pulumi.yaml's template that says what to ask for.
func templateConfig(t *testing.T, keys []*key) string {
	t.Helper()
	section := &yaml.Node{Kind: yaml.MappingNode}
	for _, a := range asked {
		i := slices.IndexFunc(keys, func(k *key) bool { return k.path == a.path })
		require.NotEqual(t, -1, i, a.path)
		asks := map[string]string{"description": keys[i].brief()}
		if a.proposed != "" {
			asks["default"] = a.proposed
		}
		name, value := &yaml.Node{}, &yaml.Node{}
		name.SetString(a.path)
		require.NoError(t, value.Encode(asks))
		section.Content = append(section.Content, name, value)
	}
	return indent("  ", encodeYAML(t, "config", section))
}

func encodeYAML(t *testing.T, name string, value *yaml.Node) string {
	t.Helper()
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	require.NoError(t, encoder.Encode(map[string]*yaml.Node{name: value}))
	return text.String()
}

func indent(by, text string) string {
	return regexp.MustCompile("(?m)^(.)").ReplaceAllString(text, by+"$1")
}

// made is the part of a file that is made of the types, with the lines around it.
var made = regexp.MustCompile(`(?ms)^([ ]*(?:#|<!--) made by make generate: (.*?)(?: -->)?\n)(.*?)(^[ ]*(?:#|<!--) end of what is made(?: -->)?$)`)

// TestGenerated holds docs/config.md, Pulumi.yaml and the schema against the types
// and their comments. With -update it writes them.
func TestGenerated(t *testing.T) {
	keys := allKeys(t)
	tabled := map[string]int{}
	parts := func(what string) string {
		switch what {
		case "the keys that pulumi new asks for":
			return templateConfig(t, keys)
		case "the keys":
			return projectConfig(t, keys)
		}
		table := "| key | type | default | meaning | used by |\n|---|---|---|---|---|\n"
		for _, path := range strings.Fields(what) {
			i := slices.IndexFunc(keys, func(k *key) bool { return k.path == path })
			require.NotEqual(t, -1, i, "%s is no key", path)
			table += keys[i].rows()
			tabled[path]++
		}
		return table
	}
	for _, file := range []string{"../../docs/config.md", "../../Pulumi.yaml", schemaFile} {
		before, err := os.ReadFile(file)
		require.NoError(t, err)
		after := stackSchema(t, keys)
		if file != schemaFile {
			require.True(t, made.Match(before), file)
			after = made.ReplaceAllStringFunc(string(before), func(found string) string {
				part := made.FindStringSubmatch(found)
				tags := "" // `pulumi new` puts them at the end of the keys
				if i := strings.Index(part[3], "  pulumi:tags:\n"); i >= 0 {
					tags = part[3][i:]
				}
				return part[1] + parts(part[2]) + tags + part[4]
			})
		}
		switch {
		case string(before) == after:
		case *update:
			require.NoError(t, os.WriteFile(file, []byte(after), 0o600))
		default:
			require.Equal(t, string(before), after, "%s is stale: run `make generate`", file)
		}
	}
	for _, k := range keys {
		require.Equal(t, 1, tabled[k.path], "%s: in how many tables of docs/config.md", k.path)
	}
}
