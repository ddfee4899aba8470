package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v5"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// stackFile reads a stack's file, or a part of one, as JSON has it.
func stackFile(t *testing.T, content []byte) (file map[string]any) {
	t.Helper()
	require.NoError(t, yaml.Unmarshal(content, &file), "%s", content)
	encoded, err := json.Marshal(file)
	require.NoError(t, err)
	file = nil
	require.NoError(t, json.Unmarshal(encoded, &file))
	return file
}

// TestStackFilesFitTheSchema holds that the project's own stack files fit the schema
// that editors hold them against, and name it.
func TestStackFilesFitTheSchema(t *testing.T) {
	schema, err := jsonschema.Compile(schemaFile)
	require.NoError(t, err)
	for _, name := range []string{"../../Pulumi.lab.yaml", "../../Pulumi.prod.yaml"} {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, schema.Validate(stackFile(t, content)), name)
		named := regexp.MustCompile(`\A# yaml-language-server: \$schema=(\S+)\n`).FindSubmatch(content)
		require.NotNil(t, named, "%s: its first line does not name the schema", name)
		require.FileExists(t, filepath.Join(filepath.Dir(name), string(named[1])))
	}
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// TestExamplesFitTheSchema holds the same of the examples in the documents, which
// are parts of stack files.
func TestExamplesFitTheSchema(t *testing.T) {
	content, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	var partial map[string]any
	require.NoError(t, json.Unmarshal(content, &partial))
	delete(partial["properties"].(map[string]any)["config"].(map[string]any), "required")
	content, err = json.Marshal(partial)
	require.NoError(t, err)
	schema, err := jsonschema.CompileString("partial", string(content))
	require.NoError(t, err)
	files, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	found := 0
	for _, name := range append(files, "../../README.md") {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, block := range yamlBlock.FindAllSubmatch(content, -1) {
			if example := stackFile(t, block[1]); strings.Contains(string(block[1]), Project+":") {
				found++
				require.NoError(t, schema.Validate(map[string]any{"config": example}), "%s:\n%s", name, block[1])
			}
		}
	}
	require.Greater(t, found, 3)
}

// TestSchemaRefuses holds that the schema finds what an editor should mark.
func TestSchemaRefuses(t *testing.T) {
	schema, err := jsonschema.Compile(schemaFile)
	require.NoError(t, err)
	const head = "config:\n  aws:region: eu-central-1\n  aws:profile: dev\n  other:key: x\n"
	const setup, identities = "  k3s-aws-auth:setup: irsa-s3\n", "  k3s-aws-auth:identities: [{name: a}]\n"
	require.NoError(t, schema.Validate(stackFile(t, []byte(head+setup+identities))))
	for name, text := range map[string]string{
		"no setup":        head + identities,
		"an unknown one":  head + identities + "  k3s-aws-auth:setup: irsa\n",
		"an unknown key":  head + setup + identities + "  k3s-aws-auth:clustername: x\n",
		"one inside":      head + setup + identities + "  k3s-aws-auth:cluster: {versio: x}\n",
		"one in a list":   head + setup + "  k3s-aws-auth:identities: [{name: a, namspace: b}]\n",
		"no name":         head + setup + "  k3s-aws-auth:identities: [{namespace: b}]\n",
		"text for number": head + setup + identities + "  k3s-aws-auth:cluster: {servers: three}\n",
		"a wrong choice":  head + setup + identities + "  k3s-aws-auth:network: {nat: double}\n",
		"a preset":        head + setup + "  k3s-aws-auth:identities: [{name: a, preset: {name: karpenter}}]\n",
		"a plain secret":  head + setup + identities + "  k3s-aws-auth:cluster: {kubeconfig: x}\n",
		"no list":         head + setup + identities + "  k3s-aws-auth:network: {zones: eu-central-1a}\n",
		"not true":        head + setup + identities + "  k3s-aws-auth:demo: maybe\n",
		"conditions":      head + setup + "  k3s-aws-auth:identities: [{name: a, statements: [{conditions: {Bool: {a: b}}}]}]\n",
	} {
		require.Error(t, schema.Validate(stackFile(t, []byte(text))), name)
	}
}

// TestChoicesAreOfKeys holds that every entry of choices is of a key, and that its
// default, where it has one, is among its values.
func TestChoicesAreOfKeys(t *testing.T) {
	left := map[string]bool{}
	for path := range choices {
		left[path] = true
	}
	var visit func([]*key)
	visit = func(keys []*key) {
		for _, k := range keys {
			if few := choices[k.path]; few != nil {
				require.Equal(t, reflect.String, k.value.Kind(), k.path)
				if k.tag.Get("required") == "" {
					require.Contains(t, few, k.value.String(), k.path)
				}
				delete(left, k.path)
			}
			visit(k.below)
		}
	}
	visit(allKeys(t))
	require.Empty(t, left)
}
