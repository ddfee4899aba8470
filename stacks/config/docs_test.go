package config

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

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
	delete(project.Config, "pulumi:tags") // `pulumi new` adds it, and takes the template away
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

var setCommand = regexp.MustCompile(`(?m)^ *pulumi config set --path '([^']+)' '?([^'\n]+)'?$`)

// TestPulumiNew holds that a project that `pulumi new` makes of this one is valid
// with what is proposed, once the commands that are shown at the end have run.
func TestPulumiNew(t *testing.T) {
	project, err := workspace.LoadProject("../../Pulumi.yaml")
	require.NoError(t, err)
	if project.Template == nil {
		t.Skip("this was made by pulumi new")
	}
	stack := config.Map{}
	set := func(key, value string) {
		if !strings.Contains(key, ":") {
			key = Project + ":" + key
		}
		require.NoError(t, stack.Set(config.MustParseKey(key), config.NewValue(value), true))
	}
	for key, asks := range project.Template.Config {
		require.NotEmpty(t, asks.Description, key)
		if asks.Default != "" {
			set(key, asks.Default)
		}
	}
	for _, command := range setCommand.FindAllStringSubmatch(project.Template.Quickstart, -1) {
		set(command[1], command[2])
	}
	decrypted, err := stack.Decrypt(config.NopDecrypter)
	require.NoError(t, err)
	values := map[string]string{}
	for key, value := range decrypted {
		values[key.String()] = value
	}
	got, err := Parse(values, nil, "dev", listedSetups(t))
	require.NoError(t, err)
	require.True(t, got.Demo)
	require.Equal(t, "dev", got.ClusterName)
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
		cfg, err := Parse(values, nil, stack, listedSetups(t))
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
	// What docs/experiments.md was measured with.
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
