package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/stretchr/testify/require"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/internal/setups"
	"k3s-aws-auth/scripts/lab/internal/build"
	"k3s-aws-auth/scripts/lab/internal/prove"
	"k3s-aws-auth/scripts/lab/internal/state"
	"k3s-aws-auth/scripts/lab/internal/verify"
)

func TestChosen(t *testing.T) {
	product, _, err := directories()
	require.NoError(t, err)
	list, err := setups.Load(product)
	require.NoError(t, err)
	require.NotEmpty(t, list)
	all, err := chosen("all", true)
	require.NoError(t, err)
	require.Equal(t, list.Names(), all)
	for _, s := range list.Names() {
		one, err := chosen(s, false)
		require.NoError(t, err)
		require.Equal(t, []string{s}, one)
	}
	for _, c := range []struct {
		setup string
		all   bool
	}{{"all", false}, {"", true}, {"irsa", true}, {"IRSA-S3", false}} {
		_, err := chosen(c.setup, c.all)
		require.ErrorAs(t, err, new(cli.UsageError), "%q", c.setup)
		require.ErrorContains(t, err, "irsa-cloudfront", "it says what there is")
	}
}

// TestImportsNothingOfTheProduct holds that the lab runs the project's program as what it is, a program: whoever renames
// or adds packages there still has a lab.
func TestImportsNothingOfTheProduct(t *testing.T) {
	_, scripts, err := directories()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}",
		"./lab", "./lab/command", "./lab/pulumi-language-go", "./lab/pulumi-resource-aws", "./lab/pulumi-resource-tls", "./lab/machine-commands", "./lab/awscli", "./lab/sandbox", "./lab/clients/go")
	cmd.Dir = scripts
	out, err := cmd.Output()
	require.NoError(t, err)
	modules := strings.Fields(string(out))
	const lab = "k3s-aws-auth/scripts"
	require.Contains(t, modules, lab)
	require.NotContains(t, modules, path.Dir(lab))
	for _, m := range modules {
		for _, sdk := range []string{"aws", "kubernetes", "tls"} {
			require.False(t, strings.HasPrefix(m, "github.com/pulumi/pulumi-"+sdk+"/sdk/"), "%s is what the program is made of", m)
		}
	}
}

// TestCommandLine holds which mistakes are the caller's (exit code 2).
func TestCommandLine(t *testing.T) {
	for _, args := range []string{"up --setup none", "up --sutep irsa-s3", "up irsa-s3", "run --setup none", "run all", "down --setup none",
		"verify --setup none", "env --setup none", "env irsa-s3", "status now", "serve", "tools x", "pulumi", "clients", "clients --setup none -- x"} {
		t.Run(args, func(t *testing.T) {
			cmd := root()
			cmd.SetArgs(strings.Fields(args))
			cmd.SetOut(io.Discard)
			cmd.SetErr(io.Discard)
			require.ErrorAs(t, cmd.ExecuteContext(t.Context()), new(cli.UsageError))
		})
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, c := range root().Commands() {
		require.NotEmpty(t, c.Short, c.Name())
		require.Contains(t, c.Example, "lab "+c.Name(), c.Name())
		require.NotNil(t, c.RunE, c.Name())
		require.NotNil(t, c.Args, "%s refuses arguments", c.Name())
	}
}

func TestDirectories(t *testing.T) {
	product, scripts, err := directories()
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(product, "Pulumi.yaml"))
	require.FileExists(t, filepath.Join(scripts, "go.mod"))
	require.Equal(t, product, filepath.Dir(scripts))
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	table(&out, []row{
		{up: &upResult{Setup: "irsa-s3", Resources: 61, Seconds: 12.345, Identities: []prove.Identity{
			{Name: "uploader", CallerARN: "arn:aws:sts::111122223333:assumed-role/r/default.uploader", SessionName: "default.uploader", PutObject: "ok"},
			{Name: "reader", CallerARN: "arn:aws:sts::111122223333:assumed-role/r2/default.reader", SessionName: "default.reader", PutObject: "AccessDenied"},
		}}, checked: &verification{Refused: make([]verify.Case, 9)}, total: 20},
		{up: &upResult{Setup: "roles-anywhere", Resources: 70, Seconds: 9, Identities: []prove.Identity{{Name: "uploader", PutObject: "ok"}}}},
	})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 4, "a line for each identity:\n%s", out.String())
	column := strings.Index(lines[0], "RESOURCES")
	for _, l := range lines[1:] {
		require.Equal(t, byte(' '), l[column-1], "columns are aligned:\n%s", out.String())
	}
	require.Equal(t, []string{"irsa-s3", "uploader", "arn:aws:sts::111122223333:assumed-role/r/default.uploader", "default.uploader", "ok", "9", "61", "12.3", "20.0"}, strings.Fields(lines[1]))
	require.Contains(t, lines[2], "AccessDenied")
	require.Equal(t, []string{"roles-anywhere", "uploader", "ok", "-", "70", "9.0", "-"}, strings.Fields(lines[3]), "what was not looked at is not counted")
}

func TestUpPrintsItsContract(t *testing.T) {
	out, err := json.Marshal(upResult{Setup: "irsa-s3", Resources: 1, Seconds: 2, Identities: []prove.Identity{{Name: "uploader"}}})
	require.NoError(t, err)
	require.JSONEq(t, `{"setup":"irsa-s3","resources":1,"seconds":2,"identities":[{"name":"uploader","namespace":"","serviceAccount":"",
		"roleArn":"","callerArn":"","sessionName":"","putObject":""}]}`, string(out))
}

func TestKubeconfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	for name, outputs := range map[string]auto.OutputMap{
		"no output kubeconfig": {},
		"is not secret":        {"kubeconfig": {Value: "apiVersion: v1"}},
	} {
		require.ErrorContains(t, writeKubeconfig(path, outputs), name)
	}
	require.Error(t, writeKubeconfig(path, auto.OutputMap{"kubeconfig": {Value: "", Secret: true}}))
	require.Error(t, writeKubeconfig(path, auto.OutputMap{"kubeconfig": {Value: map[string]any{}, Secret: true}}))
	require.NoFileExists(t, path)

	require.NoError(t, writeKubeconfig(path, auto.OutputMap{"kubeconfig": {Value: "apiVersion: v1", Secret: true}}))
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "apiVersion: v1", string(written))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestExportsSurviveTheShell(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, exports(&out, map[string]string{"B": "it's $HOME; `id`", "A": "x y"}))
	require.Equal(t, "export A='x y'\nexport B='it'\\''s $HOME; `id`'\n", out.String())
}

func TestToolPathsLeaveOutWhatIsMissing(t *testing.T) {
	require.Equal(t, map[string]string{"LAB_KUBERNETES": "/k"}, toolPaths(&build.Tools{Kubernetes: "/k"}))
	require.Equal(t, map[string]string{"LAB_KUBERNETES": "/k", "LAB_SANDBOX": "/s"}, toolPaths(&build.Tools{Kubernetes: "/k", Sandbox: "/s"}))
}

// runningLab makes it look as if this process held a lab of the setup, with the given control interface.
func runningLab(t *testing.T, setup string, control http.Handler) *state.Lab {
	t.Helper()
	server := httptest.NewServer(control)
	t.Cleanup(server.Close)
	dir, err := state.Dir(setup)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	l := &state.Lab{Setup: setup, PID: os.Getpid(), Control: server.URL, ControlToken: "token"}
	require.NoError(t, l.Save(dir))
	return l
}

func TestOnlyOne(t *testing.T) {
	t.Setenv(state.RootVariable, t.TempDir())
	_, err := onlyOne("")
	require.ErrorIs(t, err, state.ErrNotRunning)
	runningLab(t, "irsa-s3", nil)
	setup, err := onlyOne("")
	require.NoError(t, err)
	require.Equal(t, "irsa-s3", setup)
	setup, err = onlyOne("roles-anywhere")
	require.NoError(t, err)
	require.Equal(t, "roles-anywhere", setup, "what is asked for, running or not")
	runningLab(t, "roles-anywhere", nil)
	_, err = onlyOne("")
	require.ErrorAs(t, err, new(cli.UsageError))
	require.ErrorContains(t, err, "irsa-s3, roles-anywhere")
}

func TestControl(t *testing.T) {
	t.Setenv(state.RootVariable, t.TempDir())
	lab := runningLab(t, "irsa-s3", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token" {
			http.Error(w, "who is it", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"iam": ["role/a"]}`)
	}))
	left, err := inventory(t.Context(), lab)
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"iam": {"role/a"}}, left)

	lab.ControlToken = "other"
	_, err = inventory(t.Context(), lab)
	require.ErrorContains(t, err, "GET /_lab/inventory: 401 Unauthorized: who is it")
}

// TestDownKeepsAnythingThatItCannotRead holds that a damaged state file does not pass for a lab that has ended.
func TestDownKeepsAnythingThatItCannotRead(t *testing.T) {
	root := t.TempDir()
	t.Setenv(state.RootVariable, root)
	dir := filepath.Join(root, "irsa-s3")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lab.json"), []byte("{"), 0o600))
	_, err := down(t.Context(), "irsa-s3")
	require.Error(t, err)
	require.FileExists(t, filepath.Join(dir, "lab.json"))

	require.NoError(t, os.Remove(filepath.Join(dir, "lab.json")))
	remaining, err := down(t.Context(), "irsa-s3")
	require.NoError(t, err)
	require.Zero(t, remaining)
	require.NoDirExists(t, dir, "what a lab that has ended left")
}

func TestWatchMachinesEndsTheDeployment(t *testing.T) {
	t.Setenv(state.RootVariable, t.TempDir())
	lab := runningLab(t, "irsa-s3", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"error": "i-1: no such parameter"}`)
	}))
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	watchMachines(ctx, lab, stop)
	require.EqualError(t, context.Cause(ctx), "a machine did not boot: i-1: no such parameter")
}

// TestExternalDNS holds that each record is added once, as the deployment shows it, and that nothing else is.
func TestExternalDNS(t *testing.T) {
	t.Setenv(state.RootVariable, t.TempDir())
	added := make(chan map[string]string, 8)
	lab := runningLab(t, "irsa-cloudfront", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		record := map[string]string{"method": r.Method, "path": r.URL.Path}
		_ = json.NewDecoder(r.Body).Decode(&record)
		added <- record
	}))
	watch := externalDNS(t.Context(), lab)
	watch(apitype.EngineEvent{})
	say := func(message string) {
		watch(apitype.EngineEvent{DiagnosticEvent: &apitype.DiagnosticEvent{Severity: "warning", Message: message}})
	}
	say("an unrelated warning")
	const record = "DNS record needed: _a.oidc.lab.example.com CNAME _b.acm-validations.aws (validates the certificate)"
	say(record)
	say(record)
	select {
	case got := <-added:
		require.Equal(t, map[string]string{"method": "POST", "path": "/_lab/dns", "name": "_a.oidc.lab.example.com", "type": "CNAME", "value": "_b.acm-validations.aws"}, got)
	case <-time.After(10 * time.Second):
		t.Fatal("no record was added")
	}
	select {
	case got := <-added:
		t.Fatalf("added as well: %v", got)
	case <-time.After(2 * readingTime):
	}
}

func TestProgressPassesOnWhatTheProgramLogs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	out, err := os.Create(path)
	require.NoError(t, err)
	defer out.Close()
	p := newProgress(out, "up")
	seen := 0
	watch := p.and(func(apitype.EngineEvent) { seen++ })
	for _, d := range []apitype.DiagnosticEvent{
		{Severity: "warning", Message: "every pod has it\n"}, {Severity: "info", Message: "waits", Ephemeral: true},
		{Severity: "error", Message: "shown at the end"}, {Severity: "debug", Message: "chatter"},
	} {
		watch(apitype.EngineEvent{DiagnosticEvent: &d})
	}
	p.and(nil)(apitype.EngineEvent{ResOutputsEvent: &apitype.ResOutputsEvent{}})
	p.end()
	said, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(said), "every pod has it\n")
	for _, silent := range []string{"waits", "shown at the end", "chatter"} {
		require.NotContains(t, string(said), silent)
	}
	require.Equal(t, 4, seen)
}
