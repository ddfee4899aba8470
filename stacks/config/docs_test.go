package config

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// documented is one row of docs/config.md.
type documented struct{ kind, fallback string }

var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\| ([^|]+) \\| [^|]+ \\| ([^|]+) \\|$")

// TestDocumentation holds docs/config.md against the types and the defaults:
// every key has exactly one row, with its type and its default.
func TestDocumentation(t *testing.T) {
	content, err := os.ReadFile("../../docs/config.md")
	require.NoError(t, err)
	rows := map[string]documented{}
	for _, match := range row.FindAllStringSubmatch(string(content), -1) {
		require.NotContains(t, rows, match[1], "documented twice")
		rows[match[1]] = documented{strings.TrimSpace(match[2]), strings.TrimSpace(match[3])}
		require.Regexp(t, `^(all|((instance-profile|irsa-s3|irsa-cloudfront|roles-anywhere)(, )?)+)$`, strings.TrimSpace(match[4]), match[1])
	}
	require.Equal(t, documented{"text", "required"}, rows["aws:region"])
	delete(rows, "aws:region")

	keys := map[string]documented{}
	defaults := Defaults("")
	walk("", reflect.ValueOf(defaults), keys)
	for key, want := range keys {
		got, ok := rows[key]
		if !ok {
			t.Errorf("%s: has no row in docs/config.md", key)
			continue
		}
		require.Equal(t, want.kind, got.kind, key)
		if want.fallback == "" {
			require.Contains(t, []string{"–", "required", "the stack's name"}, got.fallback, key)
		} else {
			require.Equal(t, "`"+want.fallback+"`", got.fallback, key)
		}
	}
	for key := range rows {
		require.Contains(t, keys, key, "documented, but no key")
	}
}

// walk lists every key below a value with its type and default.
func walk(path string, value reflect.Value, keys map[string]documented) {
	for i := range value.NumField() {
		key, field := keyOf(value.Type().Field(i)), value.Field(i)
		if key == "" {
			continue
		}
		at := join(path, key)
		switch field.Kind() {
		case reflect.Struct:
			walk(at, field, keys)
		case reflect.Slice:
			if field.Type().Elem().Kind() != reflect.Struct {
				keys[at] = documented{"list of text", ""}
				continue
			}
			keys[at] = documented{"list of objects", ""}
			entry := reflect.New(field.Type().Elem())
			entry.Interface().(defaulter).setDefaults()
			walk(at+"[]", entry.Elem(), keys)
		case reflect.Map:
			kind := "object"
			if field.Type().Elem().Kind() == reflect.String {
				kind = "object of text"
			}
			keys[at] = documented{kind, ""}
		case reflect.Bool:
			keys[at] = documented{"true/false", fmt.Sprint(field.Bool())}
		case reflect.Int:
			keys[at] = documented{"number", fmt.Sprint(field.Int())}
		default:
			keys[at] = documented{"text", field.String()}
		}
	}
}

// TestProjectFile holds Pulumi.yaml against the types: Pulumi itself takes it,
// it declares every key and no other, each with a description, and its defaults
// are the program's.
func TestProjectFile(t *testing.T) {
	project, err := workspace.LoadProject("../../Pulumi.yaml")
	require.NoError(t, err)
	require.NoError(t, project.Validate())
	require.Equal(t, Project, project.Name.String())
	require.Equal(t, "go", project.Runtime.Name())

	defaults := Defaults("")
	target := reflect.ValueOf(&defaults).Elem()
	require.Equal(t, keysOf(target.Type()), sortedKeys(project.Config))
	for key, declared := range project.Config {
		require.NotEmpty(t, declared.Description, key)
		if key == "setup" {
			require.Nil(t, declared.Default, "the setup is for the user to choose")
			continue
		}
		text, ok := declared.Default.(string)
		if !ok {
			encoded, err := json.Marshal(declared.Default)
			require.NoError(t, err, key)
			text = string(encoded)
		}
		got, p := reflect.New(fieldOf(target, key).Type()).Elem(), &Problems{}
		decodeTop(key, text, got, p)
		require.NoError(t, p.Err())
		want := fieldOf(target, key).Interface()
		// An empty list and none are the same to a user.
		wantJSON, err := json.Marshal(want)
		require.NoError(t, err)
		gotJSON, err := json.Marshal(got.Interface())
		require.NoError(t, err)
		empty := strings.NewReplacer("[]", "null", "{}", "null")
		require.Equal(t, empty.Replace(string(wantJSON)), empty.Replace(string(gotJSON)), key)
	}
}

// TestStackFiles holds that each stack file of the project is valid for every
// rule that holds for all setups.
func TestStackFiles(t *testing.T) {
	read := func(stack string) *Config {
		content, err := os.ReadFile("../../Pulumi." + stack + ".yaml")
		require.NoError(t, err)
		var file struct{ Config map[string]any }
		require.NoError(t, yaml.Unmarshal(content, &file))
		values := map[string]string{}
		for key, value := range file.Config {
			text, ok := value.(string)
			if !ok {
				encoded, err := json.Marshal(value)
				require.NoError(t, err)
				text = string(encoded)
			}
			values[key] = text
		}
		cfg, err := Parse(values, nil, stack, []Setup{{Name: "irsa-s3"}, {Name: "irsa-cloudfront"}})
		require.NoError(t, err, stack)
		return cfg
	}
	prod := read("prod")
	require.True(t, prod.Production)
	require.Equal(t, 3, prod.Cluster.Servers)
	require.True(t, prod.Network.Private)
	require.Len(t, prod.Network.Zones, 3)
	require.Equal(t, APIPrivate, prod.Cluster.APIAccess, "no public API by default")
	require.NotEmpty(t, prod.Cluster.EtcdSnapshots.Bucket)
	require.NotEmpty(t, prod.PermissionsBoundary)
	require.Equal(t, 90, prod.Issuer.AccessLogDays)
	require.True(t, prod.Alarms.Enabled)
	require.NotEmpty(t, prod.Alarms.Emails)
	require.NotEmpty(t, prod.Tags)
	require.False(t, prod.Demo)
	cfg := read("lab")
	// The lab of the article.
	require.Equal(t, Cluster{
		Mode: "create", Version: "v1.35.4+k3s1", Servers: 1, Agents: 2,
		ServerInstanceType: "t3.medium", AgentInstanceType: "t3.medium", RootVolumeGiB: 20, CPUCredits: "unlimited",
		APIAccess: "public", EtcdSnapshots: EtcdSnapshots{Schedule: "0 */12 * * *", Retention: 5},
	}, cfg.Cluster)
	require.Equal(t, "eu-central-1", cfg.Region)
	require.Equal(t, []string{"eu-central-1a"}, cfg.Network.Zones)
	require.True(t, cfg.Demo)
	require.True(t, slices.ContainsFunc(cfg.Identities, func(i Identity) bool {
		return i.Name == "uploader" && i.Namespace == "default" && i.ServiceAccount == "uploader"
	}))
	statements, err := cfg.Permissions(cfg.Identities[0], Site{DemoBucketArn: "arn:aws:s3:::b"})
	require.NoError(t, err)
	require.Equal(t, []string{"s3:PutObject"}, statements[0].Actions)
	require.Equal(t, []string{"arn:aws:s3:::b/uploader/*"}, statements[0].Resources)
}
