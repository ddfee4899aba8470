package program

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/auto/events"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"k3s-aws-auth/scripts/lab/internal/state"
)

func TestChange(t *testing.T) {
	for assignment, want := range map[string]string{
		"clusterName=other":                `{"k3s-aws-auth:clusterName": "other", "k3s-aws-auth:demo": "true", "k3s-aws-auth:cluster": {"agents": 2, "servers": 1}}`,
		"cluster.agents=1":                 `{"k3s-aws-auth:demo": "true", "k3s-aws-auth:cluster": {"agents": 1, "servers": 1}}`,
		"cluster={agents: 3}":              `{"k3s-aws-auth:demo": "true", "k3s-aws-auth:cluster": {"agents": 3}}`,
		"rolesAnywhere.helper.mode=serve":  `{"k3s-aws-auth:rolesAnywhere": {"helper": {"mode": "serve"}}, "k3s-aws-auth:demo": "true", "k3s-aws-auth:cluster": {"agents": 2, "servers": 1}}`,
		"aws:region=eu-west-1":             `{"aws:region": "eu-west-1", "k3s-aws-auth:demo": "true", "k3s-aws-auth:cluster": {"agents": 2, "servers": 1}}`,
		"tags={a: b=c}":                    `{"k3s-aws-auth:tags": {"a": "b=c"}, "k3s-aws-auth:demo": "true", "k3s-aws-auth:cluster": {"agents": 2, "servers": 1}}`,
		"k3s-aws-auth:cluster.servers=[1]": `{"k3s-aws-auth:demo": "true", "k3s-aws-auth:cluster": {"agents": 2, "servers": [1]}}`,
		"demo=":                            `{"k3s-aws-auth:cluster": {"agents": 2, "servers": 1}}`,
	} {
		t.Run(assignment, func(t *testing.T) {
			config := testConfig(t)
			require.NoError(t, change(config, "k3s-aws-auth", assignment))
			got, err := yaml.Marshal(config)
			require.NoError(t, err)
			require.YAMLEq(t, want, string(got))
		})
	}
	for assignment, want := range map[string]string{
		"demo":               "must be key=value",
		"=true":              "must be key=value",
		"cluster.=1":         "must be key=value",
		"cluster..agents=1":  "must be key=value",
		"cluster={":          "--config cluster:",
		"demo.x=1":           "k3s-aws-auth:demo is no object",
		"cluster.agents.x=1": "k3s-aws-auth:cluster.agents is no object",
	} {
		t.Run("refuses "+assignment, func(t *testing.T) {
			config := testConfig(t)
			require.ErrorContains(t, change(config, "k3s-aws-auth", assignment), want)
			require.Equal(t, testConfig(t), config, "and changes nothing")
		})
	}
}

func testConfig(t *testing.T) map[string]any {
	t.Helper()
	config := map[string]any{}
	require.NoError(t, yaml.Unmarshal([]byte(`{"k3s-aws-auth:demo": "true", "k3s-aws-auth:cluster": {agents: 2, servers: 1}}`), &config))
	return config
}

// TestCopyStack holds what of the user's stack file, of the lab's own and of the changes counts.
func TestCopyStack(t *testing.T) {
	root, work := t.TempDir(), t.TempDir()
	write := func(path, text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write(filepath.Join(root, "Pulumi.yaml"), "name: k3s-aws-auth\n")
	write(filepath.Join(root, "Pulumi.lab.yaml"), "encryptionsalt: theirs\nconfig: {\"k3s-aws-auth:setup\": irsa-s3, \"k3s-aws-auth:demo\": \"true\"}\n")
	copied := filepath.Join(work, "Pulumi.lab.yaml")
	holds := func(want string) {
		t.Helper()
		got, err := os.ReadFile(copied)
		require.NoError(t, err)
		require.YAMLEq(t, want, string(got))
	}

	fresh, err := copyStack(root, work, &state.Lab{Setup: "roles-anywhere", HostedZoneID: "Z1"}, Changes{Values: []string{"demo=\"false\""}}, "/cache/program")
	require.NoError(t, err)
	require.True(t, fresh)
	holds(`config: {"k3s-aws-auth:setup": roles-anywhere, "k3s-aws-auth:demo": "false"}`)
	project, err := os.ReadFile(filepath.Join(work, "Pulumi.yaml"))
	require.NoError(t, err)
	require.YAMLEq(t, "name: k3s-aws-auth\nruntime: {name: go, options: {binary: /cache/program}}\n", string(project))

	// The engine has added its salt meanwhile. Later commands name no changes and still mean the same stack.
	write(copied, `{"encryptionsalt": "ours", "config": {"k3s-aws-auth:setup": "roles-anywhere", "k3s-aws-auth:demo": "false"}}`)
	fresh, err = copyStack(root, work, &state.Lab{Setup: "roles-anywhere", HostedZoneID: "Z1"}, Changes{}, "/cache/program")
	require.NoError(t, err)
	require.False(t, fresh)
	holds(`{encryptionsalt: ours, config: {"k3s-aws-auth:setup": roles-anywhere, "k3s-aws-auth:demo": "false"}}`)

	// Another up with changes begins from the project's file again.
	_, err = copyStack(root, work, &state.Lab{Setup: "roles-anywhere", HostedZoneID: "Z1"}, Changes{Values: []string{"clusterName=other"}}, "/cache/program")
	require.NoError(t, err)
	holds(`{encryptionsalt: ours, config: {"k3s-aws-auth:setup": roles-anywhere, "k3s-aws-auth:demo": "true", "k3s-aws-auth:clusterName": other}}`)

	_, err = copyStack(root, work, &state.Lab{Setup: "roles-anywhere", HostedZoneID: "Z1"}, Changes{Values: []string{"nonsense"}}, "/cache/program")
	require.ErrorContains(t, err, "must be key=value")
	write(filepath.Join(root, "Pulumi.lab.yaml"), "{}\n")
	_, err = copyStack(root, work, &state.Lab{Setup: "irsa-s3", HostedZoneID: "Z1"}, Changes{}, "/cache/program")
	require.ErrorContains(t, err, "no config in Pulumi.lab.yaml")
}

// TestCopyStackOfAnotherAccount holds what a stack for an account of its own becomes in the lab.
func TestCopyStackOfAnotherAccount(t *testing.T) {
	root, work := t.TempDir(), t.TempDir()
	write := func(path, text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write(filepath.Join(root, "Pulumi.yaml"), "name: k3s-aws-auth\n")
	const boundary = "arn:aws:iam::111122223333:policy/the-labs"
	write(filepath.Join(root, "Pulumi.prod.yaml"), `config:
  k3s-aws-auth:setup: irsa-cloudfront
  k3s-aws-auth:permissionsBoundary: arn:aws:iam::444455556666:policy/theirs
  k3s-aws-auth:issuer: {domain: oidc.example.com, dns: route53, hostedZoneId: ZTHEIRS}
  k3s-aws-auth:identities:
    - {name: reports, statements: [{actions: ["s3:GetObject"], resources: ["arn:aws:s3:::invoices/*"]}]}
    - {name: bare}
    - {name: demo, statements: [{actions: ["s3:PutObject"], resources: ["${demo.bucketArn}/demo/*"]}]}
`)
	setup, err := Setup(root, "prod")
	require.NoError(t, err)
	require.Equal(t, "irsa-cloudfront", setup)
	_, err = Setup(root, "none")
	require.ErrorContains(t, err, "Pulumi.none.yaml")

	fresh, err := copyStack(root, work, &state.Lab{Setup: setup, HostedZoneID: "ZLAB", BoundaryARN: boundary}, Changes{Stack: "prod", Values: []string{"issuer.cacheTtlSeconds=60"}}, "/cache/program")
	require.NoError(t, err)
	require.True(t, fresh)
	want := `config:
  k3s-aws-auth:setup: irsa-cloudfront
  k3s-aws-auth:demo: "true"
  k3s-aws-auth:permissionsBoundary: ` + boundary + `
  k3s-aws-auth:issuer: {domain: oidc.lab.example.com, dns: route53, hostedZoneId: ZLAB, cacheTtlSeconds: 60}
  k3s-aws-auth:identities:
    - name: reports
      statements:
        - {actions: ["s3:GetObject"], resources: ["arn:aws:s3:::invoices/*"]}
        - {actions: ["s3:PutObject"], resources: ["${demo.bucketArn}/reports/*"]}
    - {name: bare, statements: [{actions: ["s3:PutObject"], resources: ["${demo.bucketArn}/bare/*"]}]}
    - {name: demo, statements: [{actions: ["s3:PutObject"], resources: ["${demo.bucketArn}/demo/*"]}]}
`
	holds := func() {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(work, "Pulumi.lab.yaml"))
		require.NoError(t, err)
		require.YAMLEq(t, want, string(got))
	}
	holds()
	// A later command names no stack and means the one that is there.
	write(filepath.Join(root, "Pulumi.lab.yaml"), "config: {\"k3s-aws-auth:clusterName\": lab}\n")
	_, err = copyStack(root, work, &state.Lab{Setup: setup, HostedZoneID: "ZLAB", BoundaryARN: boundary}, Changes{}, "/cache/program")
	require.NoError(t, err)
	holds()
}

func TestRefuse(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "Pulumi.yaml"), []byte("name: k3s-aws-auth\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(root, "Pulumi.lab.yaml"), []byte("config:\n  k3s-aws-auth:setup: irsa-s3\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(root, "Pulumi.hook.yaml"), []byte("config:\n  k3s-aws-auth:injection: webhook\n"), 0o600))
	require.NoError(t, Refuse(root, Changes{}))
	require.NoError(t, Refuse(root, Changes{Values: []string{"injection=admission-policy"}}))
	require.ErrorContains(t, Refuse(root, Changes{Values: []string{"injection=webhook"}}), "injection webhook: the lab")
	require.ErrorContains(t, Refuse(root, Changes{Stack: "hook"}), "injection webhook: the lab")
	require.NoError(t, Refuse(root, Changes{Stack: "hook", Values: []string{"injection=manifest"}}))
	require.ErrorContains(t, Refuse(root, Changes{Values: []string{"injection"}}), "must be key=value")
}

func TestPassphraseIsMadeOnceForTheUserAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passphrase")
	require.NoError(t, passphrase(path))
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, first, 32)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, passphrase(path))
	second, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, first, second)
}

// TestEnvironmentIsTheLabsAlone holds that no file of the user's and no server but the lab's is in reach.
func TestEnvironmentIsTheLabsAlone(t *testing.T) {
	l := &state.Lab{Endpoint: "https://127.0.0.1:1", Proxy: "http://127.0.0.1:2", Region: "eu-central-1", AccessKeyID: "AKIA", SecretKey: "s"}
	env := Environment(l, "/labs/irsa-s3")
	require.Equal(t, "https://127.0.0.1:1", env["AWS_ENDPOINT_URL"])
	require.Equal(t, "http://127.0.0.1:2", env["HTTPS_PROXY"])
	require.Equal(t, "true", env["AWS_EC2_METADATA_DISABLED"])
	for _, variable := range []string{"AWS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "KUBECONFIG", "PULUMI_CONFIG_PASSPHRASE_FILE"} {
		require.Equal(t, "/labs/irsa-s3", filepath.Dir(env[variable]), variable)
	}
	require.Equal(t, "file:///labs/irsa-s3/pulumi", env["PULUMI_BACKEND_URL"])
}

func TestFollowCounts(t *testing.T) {
	seen := 0
	stream, counted := follow(func(apitype.EngineEvent) { seen++ })
	resource := func(op apitype.OpType, kind string) {
		stream <- events.EngineEvent{EngineEvent: apitype.EngineEvent{ResourcePreEvent: &apitype.ResourcePreEvent{
			Metadata: apitype.StepEventMetadata{Op: op, Type: kind}}}}
	}
	resource(apitype.OpSame, "pulumi:pulumi:Stack")
	resource(apitype.OpSame, "pulumi:providers:aws")
	resource(apitype.OpSame, "aws:iam/role:Role")
	resource(apitype.OpUpdate, "aws:iam/role:Role")
	resource(apitype.OpCreate, "aws:iam/rolePolicy:RolePolicy")
	for severity, message := range map[string]string{"error": "broken", "warning": "odd"} {
		stream <- events.EngineEvent{EngineEvent: apitype.EngineEvent{DiagnosticEvent: &apitype.DiagnosticEvent{URN: "urn", Severity: severity, Message: message}}}
	}
	close(stream)
	c := counted()
	require.Equal(t, map[string]int{"update": 1, "create": 1}, c.changes)
	require.Equal(t, 3, c.resources, "neither the stack nor its providers")
	require.Equal(t, []string{"urn: broken"}, c.problems)
	require.Equal(t, 7, seen)
}

func TestChanged(t *testing.T) {
	require.False(t, (&Result{}).Changed())
	require.False(t, (&Result{Changes: map[string]int{"same": 40, "create": 0}}).Changed())
	require.True(t, (&Result{Changes: map[string]int{"same": 40, "update": 1}}).Changed())
}

func TestFailureNamesTheProblems(t *testing.T) {
	cause := errors.New("exit status 255")
	require.ErrorIs(t, failure("up", cause, count{}, "log"), cause)
	err := failure("up", cause, count{problems: []string{"a: one", "b: two"}}, "/labs/pulumi.log")
	for _, want := range []string{"pulumi up failed", "/labs/pulumi.log", "a: one", "b: two"} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "255", "what the engine's process ended with says nothing")
}

// TestFollowEnds: the engine's events are counted to the last, and an engine that tells none holds nobody up.
func TestFollowEnds(t *testing.T) {
	for _, closed := range []bool{true, false} {
		seen := 0
		stream, counted := follow(func(apitype.EngineEvent) { seen++ })
		for range 50 {
			stream <- events.EngineEvent{EngineEvent: apitype.EngineEvent{DiagnosticEvent: &apitype.DiagnosticEvent{Severity: "error", Message: "no"}}}
		}
		if closed {
			close(stream)
		}
		require.Len(t, counted().problems, 50)
		require.Equal(t, 50, seen)
	}
	_, counted := follow(nil)
	require.Empty(t, counted().problems)
}
